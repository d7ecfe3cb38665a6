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
pub struct Globs(GlobSet);

impl Globs {
    /// Parses a list of globs.
    pub fn new(globs: &[impl AsRef<str>]) -> Result<Globs> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(parse(glob.as_ref())?);
        }
        set.build().map(Globs).map_err(|e| not_a_glob("the list", e))
    }

    /// Tells whether one of the globs matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.is_match(Path::new(OsStr::from_bytes(name)))
    }
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
        let error = Globs::new(&["shop/{"]).expect_err("it is not closed");
        assert!(error.to_string().contains("shop/{ is not a glob"), "{error}");
    }
}
