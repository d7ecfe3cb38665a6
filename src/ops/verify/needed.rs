//! The packs that snapshots need, one bit each: by their need lists, or all of their tables where
//! nothing says what they need.

use std::sync::Arc;

use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::format::config::Features;
use crate::ops::verify::tables::Tables;
use crate::repo::Repository;
use crate::repo::needs::NeedsReader;
use crate::repo::snapshots::StoredSnapshot;

/// A set of packs of the tables.
#[derive(Debug, Clone)]
pub(super) struct PackBits(Vec<u64>);

impl PackBits {
    /// Creates a set without packs of these tables.
    pub(super) fn none(tables: &Tables) -> Self {
        Self(vec![0; tables.len().div_ceil(64)])
    }

    /// Adds a pack to the set.
    pub(super) fn add(&mut self, pack: usize) {
        self.0[pack / 64] |= 1 << (pack % 64);
    }

    /// Tells whether a pack is in the set.
    pub(super) fn has(&self, pack: usize) -> bool {
        self.0[pack / 64] >> (pack % 64) & 1 == 1
    }

    /// Returns the packs of the set.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|pack| self.has(*pack))
    }

    fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }
}

/// The packs that snapshots need.
#[derive(Debug)]
pub(super) struct Needed {
    /// Those of each snapshot; nothing if its table can't be read.
    pub(super) each: Vec<Option<PackBits>>,
    /// Those of any snapshot.
    pub(super) all: PackBits,
}

impl Needed {
    /// Reads what snapshots need, whose tables were read. Nothing is walked.
    pub(super) fn of(
        repository: &Repository,
        snapshots: &[StoredSnapshot],
        tables: &Tables,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let has_lists = repository.features().include(Features::NEEDS);
        let mut reader = NeedsReader::new(repository, monitor);
        let mut needed = Self { each: Vec::new(), all: PackBits::none(tables) };
        for (at, stored) in snapshots.iter().enumerate() {
            monitor.check()?;
            let mut own = PackBits::none(tables);
            let known = if has_lists { reader.known(stored) } else { Ok(None) };
            let is_read = match known {
                Ok(Some(needs)) => {
                    needs.visit(&mut |record, _| {
                        if let Some(pack) = tables.place(&record.name) {
                            own.add(pack);
                        }
                    });
                    true
                }
                Err(error) if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                    return Err(error);
                }
                Ok(None) | Err(_) => {
                    let packs = tables.packs_of(at);
                    packs.map(|packs| packs.for_each(|pack| own.add(pack))).is_some()
                }
            };
            needed.all.add_all(&own);
            needed.each.push(is_read.then_some(own));
        }
        Ok(needed)
    }
}
