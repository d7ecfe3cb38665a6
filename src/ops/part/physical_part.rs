//! A schema of a physical backup, with what is dumped of it.

use crate::ops::part::view::View;

/// A schema with what is dumped of it.
#[derive(Debug, Default)]
pub(super) struct SchemaPart {
    pub(super) name: String,
    pub(super) tables: Vec<String>,
    pub(super) views: Vec<View>,
    /// Tables of a whole schema that are left out.
    pub(super) without: Vec<String>,
    /// True if all of it is wanted, with routines.
    pub(super) is_whole: bool,
}
