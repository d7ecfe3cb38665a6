//! Names of objects: checked once, then a type.
//!
//! A name is good in a directory and in every object store as it is, whatever folds case or treats
//! characters specially: lower-case letters, digits, dot and hyphen, in parts separated by slashes.
//! No part is empty or begins with a dot, so a name can't leave the store, and names that do begin
//! with a dot (temporary files) are free for stores to use.
//!
//! It does not know which names a repository uses: [`layout`](crate::format::layout) does.

use std::fmt;

/// Most bytes that a name may have.
pub const NAME_BYTES_MAX: usize = 255;

/// The name of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Box<str>);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no object name: {why}")]
pub struct NameError {
    name: String,
    why: &'static str,
}

impl ObjectName {
    /// Takes a text that follows the rules.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match fault(name) {
            None => Ok(Self(name.into())),
            // What is quoted is bounded, whatever was given.
            Some(why) => Err(NameError { name: name.chars().take(NAME_BYTES_MAX).collect(), why }),
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(name: &str) -> Option<&'static str> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'/');
    if name.len() > NAME_BYTES_MAX {
        return Some("it is longer than 255 bytes");
    }
    if !name.bytes().all(allowed) {
        return Some("only a-z, 0-9, dot, hyphen and slash may be in it");
    }
    if name.split('/').any(str::is_empty) {
        return Some("a part of it is empty");
    }
    if name.split('/').any(|part| part.starts_with('.')) {
        return Some("a part of it begins with a dot");
    }
    None
}

/// Tells whether `prefix` is one that can be listed: empty, or a name and a slash.
pub fn is_prefix(prefix: &str) -> bool {
    match prefix.strip_suffix('/') {
        Some(name) => fault(name).is_none(),
        None => prefix.is_empty(),
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ObjectName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::proptest;

    use super::*;

    #[test]
    fn names_of_repositories_are_names() {
        for name in ["config", "packs/3f/3fa9", "snapshots/00/0000000001-ab", "a.b/c..d"] {
            assert_eq!(ObjectName::new(name).unwrap().as_str(), name);
            assert!(is_prefix(&format!("{name}/")));
        }
    }

    #[test]
    fn what_could_leave_the_store_or_fold_is_no_name() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in [
            "", "/", "/etc", "a/", "a//b", "..", "a/../b", ".", "a/./b", ".tmp-1", "a/.b", "A",
            "a b", "a\\b", "a\0", "a_b", "a%2e", "\u{e9}", &long,
        ] {
            let refused = ObjectName::new(name).unwrap_err();
            assert!(refused.to_string().contains("is no object name"), "{refused}");
        }
        let longest = "a".repeat(NAME_BYTES_MAX);
        assert_eq!(format!("{:?}", ObjectName::new("a/b").unwrap()), "ObjectName(a/b)");
        assert_eq!(ObjectName::new(&longest).unwrap().to_string(), longest);
        assert!(is_prefix("") && !is_prefix("a") && !is_prefix("/") && !is_prefix("../"));
    }

    proptest! {
        #[test]
        fn a_name_stays_below_the_root(text in any::<String>()) {
            if let Ok(name) = ObjectName::new(&text) {
                let path = std::path::Path::new(name.as_str());
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                assert!(path.components().all(plain));
            }
        }
    }
}
