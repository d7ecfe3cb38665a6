//! Paths as a stream names them, checked once and then trusted.
//!
//! A path in a stream is a claim by its producer. [`StreamPath`] is that claim after it
//! was found harmless: joined to a directory it can't lead out of it. Code that holds a
//! `StreamPath` never checks again, code that holds bytes must make one first.
//!
//! Invariants of a `StreamPath`:
//! - 1 to 511 bytes, at most [`PATH_DEPTH_MAX`] components, at least one of them a name;
//! - no NUL, no backslash, no leading `/`, no `..` component.
//!
//! It does not decode names (MariaDB writes `we@0020ird`; bytes stay bytes), look at a file system,
//! or rewrite odd spellings. `./a` and `a//b` are kept unchanged, since the stream must be written
//! again byte for byte; [`StreamPath::is_canonical`] tells them apart and [`StreamPath::names`]
//! sees through them.

use std::borrow::Borrow;
use std::fmt;
use std::hash::BuildHasher;
use std::hash::DefaultHasher;
use std::hash::Hasher;

use crate::base::num::u64_of;

/// The shortest length that `mbstream` refuses (`FN_REFLEN`).
pub const PATH_BYTES_END: usize = 512;

/// The most components a path may have. `mbstream` itself creates one directory level only.
pub const PATH_DEPTH_MAX: usize = 32;

/// A path that stays inside the directory it is joined to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPath<'a>(&'a [u8]);

/// A reason why bytes are refused as a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostilePath {
    /// No name is left once `.` and empty components are ignored.
    #[error("the path is empty")]
    Empty,
    /// Longer than any MariaDB writer produces.
    #[error("the path has {0} bytes, the limit is 511")]
    TooLong(u64),
    /// The path has more than [`PATH_DEPTH_MAX`] components.
    #[error("the path has {0} components, the limit is 32")]
    TooDeep(usize),
    /// The path starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// Has a `..` component.
    #[error("the path has a '..' component")]
    Upwards,
    /// Has a NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// Has a backslash, which is a separator on some systems.
    #[error("the path has a backslash")]
    Backslash,
}

impl<'a> StreamPath<'a> {
    /// Accepts `bytes` if they are harmless as a relative path.
    pub fn new(bytes: &'a [u8]) -> Result<Self, HostilePath> {
        if bytes.len() >= PATH_BYTES_END {
            return Err(HostilePath::TooLong(u64_of(bytes.len())));
        }
        if bytes.first() == Some(&b'/') {
            return Err(HostilePath::Absolute);
        }
        if bytes.contains(&0) {
            return Err(HostilePath::Nul);
        }
        if bytes.contains(&b'\\') {
            return Err(HostilePath::Backslash);
        }
        if components(bytes).any(|component| component == b"..") {
            return Err(HostilePath::Upwards);
        }
        let path = Self(bytes);
        match path.names().count() {
            0 => Err(HostilePath::Empty),
            1..=PATH_DEPTH_MAX => Ok(path),
            deep => Err(HostilePath::TooDeep(deep)),
        }
    }

    /// Returns the bytes as the stream spelled them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Iterates over the components that are names, so not over `.` and empty ones.
    pub fn names(self) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        components(self.0).filter(|name| !name.is_empty() && *name != b".")
    }

    /// Tells whether the spelling is the plain one: no `.`, no empty component.
    pub fn is_canonical(self) -> bool {
        components(self.0).all(|name| !name.is_empty() && name != b".")
    }

    /// Returns the last name.
    pub fn file_name(self) -> &'a [u8] {
        self.names().next_back().expect("a path has at least one name")
    }

    /// Returns what stands before the last name, without its separator; empty at the top level.
    pub fn parent(self) -> &'a [u8] {
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.0.get(..cut).expect("cut is a position in the path")
    }
}

impl fmt::Display for StreamPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for StreamPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A [`StreamPath`] that owns its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedPath(Box<[u8]>);

impl OwnedPath {
    /// Lends the path without copying it.
    pub fn as_path(&self) -> StreamPath<'_> {
        StreamPath(&self.0)
    }

    /// Lends the bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<StreamPath<'_>> for OwnedPath {
    fn from(path: StreamPath<'_>) -> Self {
        Self(path.0.into())
    }
}

impl Borrow<[u8]> for OwnedPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for OwnedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

impl fmt::Debug for OwnedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_path(), f)
    }
}

/// Iterates over what stands between the separators.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

/// A secret that keys the hashes of paths in memory, drawn again for every stream.
///
/// Sets of millions of paths are kept as 64-bit hashes. With hashes that anyone can compute, a
/// hostile stream could collide paths at will; behind a secret prefix it can't aim. Chance alone
/// collides among 10 million paths with a probability of 3 in a million.
#[derive(Clone, Copy)]
pub struct PathSeed(u128);

impl PathSeed {
    /// Makes a seed of 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(random))
    }

    /// Hashes the bytes of a path, or of a part of one.
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl fmt::Debug for PathSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathSeed(..)")
    }
}

impl BuildHasher for PathSeed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.0);
        hasher
    }
}

/// Puts values that are hashes already into a table without hashing them again.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_accepted_as_they_are() {
        for good in
            ["ibdata1", "app/t.ibd", "#rocksdb/000012.sst", "a/...", "we@0020ird/x#P#p0.ibd"]
        {
            let path = StreamPath::new(good.as_bytes()).expect(good);
            assert_eq!(path.as_bytes(), good.as_bytes());
            assert!(path.is_canonical(), "{good}");
        }
        assert!(StreamPath::new(&[b'x'; 511]).is_ok());
    }

    #[test]
    fn every_way_out_of_the_directory_is_refused() {
        let deep = "d/".repeat(PATH_DEPTH_MAX) + "x";
        for (bad, why) in [
            (&b""[..], HostilePath::Empty),
            (b".", HostilePath::Empty),
            (b"./", HostilePath::Empty),
            (b"/etc/passwd", HostilePath::Absolute),
            (b"..", HostilePath::Upwards),
            (b"a/../b", HostilePath::Upwards),
            (b"a/..", HostilePath::Upwards),
            (b"a\0b", HostilePath::Nul),
            (b"a\\..\\b", HostilePath::Backslash),
            (&[b'x'; 512], HostilePath::TooLong(512)),
            (deep.as_bytes(), HostilePath::TooDeep(PATH_DEPTH_MAX + 1)),
        ] {
            assert_eq!(StreamPath::new(bad), Err(why), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn odd_spellings_are_kept_but_recognised() {
        for odd in ["./a/b", "a//b", "a/./b", "a/b/"] {
            let path = StreamPath::new(odd.as_bytes()).expect(odd);
            assert!(!path.is_canonical(), "{odd}");
            assert_eq!(path.names().collect::<Vec<_>>(), [b"a", b"b"]);
            assert_eq!(path.file_name(), b"b");
        }
    }

    #[test]
    fn hashes_depend_on_the_seed() {
        let (one, two) = (PathSeed::new([1; 16]), PathSeed::new([2; 16]));
        assert_eq!(one.hash(b"a"), one.hash(b"a"));
        assert_ne!(one.hash(b"a"), two.hash(b"a"));
        assert_ne!(one.hash(b"a"), one.hash(b"b"));
    }
}
