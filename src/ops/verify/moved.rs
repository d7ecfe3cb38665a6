//! Blocks of packs that a compaction took away, or that were healed: the places that they are read
//! from.

use std::collections::HashSet;

use crate::base::error::Result;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::ops::verify::Verification;
use crate::ops::verify::tables::Tables;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;

impl Verification<'_> {
    /// Returns the packs that a block is read from: its own, and those of its bases.
    pub(super) fn packs_of(&self, contents: &Contents, block: &Block) -> Result<Vec<PackName>> {
        let name_of = |at| Ok(self.place_of(contents, contents.packs().address(at)?).pack);
        block.entry.storage.places().map(name_of).collect()
    }

    /// Returns the place that an entry is read from.
    pub(super) fn place_of(&self, contents: &Contents, address: EntryAddress) -> EntryAddress {
        if !self.compacted.contains_key(&address.pack) {
            return address;
        }
        // The reader of this snapshot's packs may not have come across the pack yet.
        let _lists = contents.packs().compacted(&address.pack);
        contents.packs().place_of(address)
    }

    /// Returns the packs in which the entries of a pack are now: itself, if they were not moved.
    pub(super) fn packs_now(&self, pack: PackName) -> Vec<PackName> {
        let mut now = vec![pack];
        for _ in 0..self.compacted.len() {
            if !now.iter().any(|pack| self.compacted.contains_key(pack)) {
                break;
            }
            let to = |pack: PackName| self.compacted.get(&pack).cloned().unwrap_or(vec![pack]);
            now = now.into_iter().flat_map(to).collect();
        }
        now.sort_unstable();
        now.dedup();
        now
    }

    /// Returns packs with those in their places that hold their entries now, each once.
    pub(super) fn packs_now_in_order(&self, order: Vec<PackName>) -> Vec<PackName> {
        if self.compacted.is_empty() {
            return order;
        }
        let mut seen = HashSet::new();
        let now = order.into_iter().flat_map(|pack| self.packs_now(pack));
        now.filter(|pack| seen.insert(*pack)).collect()
    }

    /// Returns the places in tables of the packs that were compacted away.
    pub(super) fn compacted_among(&self, tables: &Tables) -> impl Iterator<Item = usize> {
        self.compacted.keys().filter_map(|pack| tables.place(pack))
    }

    /// Tells whether relocation records name other places of a block, or of its bases, than those
    /// to which a compaction moved them.
    pub(super) fn has_copies(&self, contents: &Contents, block: &Block) -> Result<bool> {
        for at in block.entry.storage.places() {
            let address = contents.packs().address(at)?;
            let place = self.place_of(contents, address);
            let is_other = |copy: &EntryAddress| *copy != place;
            if !contents.packs().copies_of(place).is_empty()
                || contents.packs().copies_of(address).iter().any(is_other)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
