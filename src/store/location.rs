//! The location of a repository, as people write it: a path, or a URL.
//!
//! | written | means |
//! |---|---|
//! | `/backup/db`, `backup`, `file:///backup/db` | a directory |
//! | `s3://bucket/prefix` | S3: AWS, Ceph, garage, `MinIO`, ... |
//! | `gs://bucket/prefix` | Google Cloud Storage |
//! | `az://container/prefix` | Azure Blob Storage |
//!
//! A name with a colon before its first slash (`s3:bucket`, `host:/backup`, `C:\\backup`), or with
//! a `~` at its beginning, is meant for something else than a directory of that name, and refused.
//! `./a:b` and `./~` are directories.

use std::fmt;
use std::path::PathBuf;

use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::local::path_of;

/// The location of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory with the repository in it.
    Directory(PathBuf),
    /// A bucket of an object store, and what comes before every name in it.
    Bucket {
        /// The kind of object store.
        service: Service,
        /// Name of the bucket.
        bucket: String,
        /// Prefix without slashes at its ends; empty if the repository has the bucket to itself.
        prefix: String,
    },
}

/// A kind of object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Any store that speaks Amazon's protocol.
    S3,
    /// Google Cloud Storage, `gs://` in URLs.
    Google,
    /// Azure Blob Storage, `az://` in URLs.
    Azure,
}

impl Service {
    const ALL: [(&'static str, Self); 3] =
        [("s3", Self::S3), ("gs", Self::Google), ("az", Self::Azure)];

    /// Returns what the URLs of the service begin with.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// Reads a place as a user writes it.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            refuse_other_notations(text)?;
            return path_of(text).map(Location::Directory);
        };
        let known = Service::ALL.iter().find(|(known, _)| *known == scheme);
        let Some((_, service)) = known else { return path_of(text).map(Location::Directory) };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let odd = |c: char| c.is_control() || c.is_whitespace() || "?#%\\".contains(c);
        let is_odd_part = |part: &str| matches!(part, "" | "." | "..");
        let odd_prefix = !prefix.is_empty() && prefix.split('/').any(is_odd_part);
        if bucket.is_empty() || rest.contains(odd) || bucket.contains(['@', ':']) || odd_prefix {
            return Err(Fault::BadBucketUrl.on(Verb::Open, text));
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self::Bucket { service: *service, bucket, prefix })
    }
}

/// Refuses what other programs take for a place elsewhere, and what a shell would have replaced.
fn refuse_other_notations(text: &str) -> Result<(), StoreError> {
    if text.starts_with('~') {
        return Err(Fault::HomeInName.on(Verb::Open, text));
    }
    let first = text.split('/').next().unwrap_or_default();
    match first.split_once(':') {
        Some((before, _)) => Err(Fault::ColonInName(before.to_owned()).on(Verb::Open, text)),
        None => Ok(()),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(out, "{}", path.display()),
            Self::Bucket { service, bucket, prefix } if prefix.is_empty() => {
                write!(out, "{}://{bucket}", service.scheme())
            }
            Self::Bucket { service, bucket, prefix } => {
                write!(out, "{}://{bucket}/{prefix}", service.scheme())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        for (text, shown) in [
            ("/backup/db", "/backup/db"),
            ("backup", "backup"),
            ("./a:b", "./a:b"),
            ("/mnt/a:b", "/mnt/a:b"),
            ("a/b:c", "a/b:c"),
            ("./~", "./~"),
            ("/home/~x", "/home/~x"),
            ("file:///a%20b", "/a b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/db", "gs://bucket/db"),
            ("az://container/db", "az://container/db"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown, "{text}");
        }
        let Location::Bucket { service, bucket, prefix } = Location::parse("s3://b/c/d").unwrap()
        else {
            panic!("a bucket");
        };
        assert_eq!((service, bucket.as_str(), prefix.as_str()), (Service::S3, "b", "c/d"));
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused() {
        for text in [
            "s3://",
            "s3:///x",
            "s3://key:secret@bucket/x",
            "s3://b/../x",
            "s3://b//x",
            "s3://b/a b",
            "s3://b/x?y",
            "s3://b/%41",
            "http://host/x",
            "ftp://host",
            "S3://bucket",
            "s3:bucket/x",
            "s3:/bucket/x",
            "user@host:/x",
            "rclone:remote:x",
            "C:\\backup",
            "backup:db",
            ":",
            "~",
            "~/x",
            "~user/x",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
