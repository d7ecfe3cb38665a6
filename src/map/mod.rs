//! Maps and tables as stored trees: read in step with a stream, or written beside it (FORMAT.md 7).
//!
//! A map is a tree of pages of entries, a member table a tree of pages of records; both are stored
//! in meta packs as blocks. This module knows the trees; where their pages go is a [`MetaSink`].
//!
//! [`view`] reads maps, its own lineage's or another's; [`writer`] writes them, re-using every page
//! that did not change; [`table`] does both for member tables; [`needs`] counts what they name.

pub mod needs;
pub mod table;
pub mod view;
pub mod writer;

use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;

/// A page of a previous snapshot: what a new version of it is compared with.
#[derive(Clone, Debug)]
pub struct PreviousPage {
    /// The encoded page, decompressed.
    pub text: Vec<u8>,
    /// The entry under which the page is stored.
    pub entry: Entry,
    /// The whole page that it rests on in the end.
    pub whole: EntryAddress,
    /// The packs that it was read from, its own and those of the pages under it.
    pub packs: Vec<PackIndex>,
}

impl PreviousPage {
    /// Steps from this page to a whole one.
    pub fn depth(&self) -> u8 {
        match self.entry.storage {
            Storage::Delta { depth, .. } => depth,
            Storage::Whole(_) | Storage::Zero => 0,
        }
    }
}

/// A sink that stores pages of maps and tables.
pub trait MetaSink {
    /// Hears of an entry that was put into a leaf of a map.
    fn note(&mut self, entry: &Entry);

    /// Stores a page, as its difference to `previous` if that is small, or not at all if it is the
    /// same.
    ///
    /// `number` is the page's number in its tree: it spreads the nights on which chains of deltas
    /// start with a whole page again.
    fn put_page(
        &mut self,
        text: Vec<u8>,
        previous: Option<&PreviousPage>,
        number: u64,
    ) -> Result<Entry>;
}
