//! Globs over paths, names and objects: the one place that knows how they are matched.
//!
//! `*` and `?` match any byte, a slash too: `shop/*` has everything below `shop`, and `*.ibd` every
//! tablespace.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::Glob;
use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;

/// A list of globs, of which one has to match.
#[derive(Debug, Clone)]
pub struct Globs {
    set: GlobSet,
    /// The bytes with which all that matches begins.
    prefix: Vec<u8>,
}

impl Globs {
    /// Parses a list of globs.
    pub fn new(globs: &[impl AsRef<str>]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        let mut prefix: Option<&[u8]> = None;
        for glob in globs.iter().map(AsRef::as_ref) {
            set.add(parse(glob)?);
            let literal = literal_prefix(glob);
            prefix = Some(prefix.map_or(literal, |prefix| common_prefix(prefix, literal)));
        }
        let set = set.build().map_err(|e| not_a_glob("the list", e))?;
        Ok(Self { set, prefix: prefix.unwrap_or_default().to_vec() })
    }

    /// Returns the bytes with which every match begins, as far as the globs tell: a walk in the
    /// order of the names can begin there and end after them.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Tells whether one of the globs matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.set.is_match(Path::new(OsStr::from_bytes(name)))
    }
}

/// Returns the characters of a glob before the first that may stand for another one.
fn literal_prefix(glob: &str) -> &[u8] {
    let is_literal = |byte: &u8| byte.is_ascii_graphic() && !b"*?[]{}\\,".contains(byte);
    let bytes = glob.as_bytes();
    &bytes[..bytes.iter().take_while(|byte| is_literal(byte)).count()]
}

fn common_prefix<'g>(one: &'g [u8], other: &[u8]) -> &'g [u8] {
    &one[..one.iter().zip(other).take_while(|(a, b)| a == b).count()]
}

fn parse(glob: &str) -> Result<Glob> {
    let built = GlobBuilder::new(glob).literal_separator(false).build();
    built.map_err(|e| not_a_glob(glob, e))
}

fn not_a_glob(what: &str, cause: globset::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("{what} is not a glob")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_globs_has_to_match() {
        let globs = Globs::new(&["shop/*", "*.frm"]).expect("they are globs");
        for name in ["shop/orders.ibd", "shop/a/b", "other/t.frm"] {
            assert!(globs.matches(name.as_bytes()), "{name}");
        }
        for name in ["shop", "other/t.ibd", ""] {
            assert!(!globs.matches(name.as_bytes()), "{name}");
        }
        assert!(!Globs::new(&[""; 0]).expect("no glob is a list").matches(b"shop"));
    }

    #[test]
    fn what_matches_begins_with_the_prefix() {
        for (globs, prefix) in [
            (&["shop/*"][..], "shop/"),
            (&["shop/orders.ibd"], "shop/orders.ibd"),
            (&["shop/o*", "shop/a?"], "shop/"),
            (&["shop/*", "*.frm"], ""),
            (&["s{hop,tore}/t"], "s"),
            (&["a\\*b"], "a"),
            (&[], ""),
        ] {
            let parsed = Globs::new(globs).expect("they are globs");
            assert_eq!(parsed.prefix(), prefix.as_bytes(), "{globs:?}");
        }
    }

    #[test]
    fn a_text_that_is_no_glob_is_named() {
        let error = Globs::new(&["shop/{"]).expect_err("it is not closed");
        assert!(error.to_string().contains("shop/{ is not a glob"), "{error}");
    }
}
