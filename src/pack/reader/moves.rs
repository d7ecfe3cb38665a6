//! Other places of entries: the relocation records of a repository. Their names are listed once;
//! each is read when an entry of its pack is lacking.
//!
//! A pack that a compaction took away is told from a lost one by its record. While a reader is at
//! work, more packs may be compacted, so a pack that is not there and has no record is a reason to
//! list again, a few times at most.
//!
//! Memory: 64 bytes for the name of a record, and records in a bounded cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::ContentHash;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::RELOCATION_TWINS_PREFIX;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackRecord;
use crate::pack::cache::Cache;
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::store::Store;

/// Decoded records that are kept.
const LIST_CACHE_BYTES: usize = 8 << 20;
/// Listings after the first.
const LISTED_AGAIN_MAX: u32 = 8;

/// What is known of the relocation records.
#[derive(Debug)]
pub(super) struct Moves {
    names: Mutex<Listed>,
    /// The records of the packs that were asked for.
    lists: Mutex<Cache<PackName, Vec<Relocation>>>,
    /// The records of packs that no pack table need name, by the names of the packs.
    records: Mutex<HashMap<PackName, PackRecord>>,
}

/// The names of all records, once they were listed.
#[derive(Debug, Default)]
struct Listed {
    names: Option<Arc<Names>>,
    again: u32,
}

impl Default for Moves {
    fn default() -> Self {
        let lists = Mutex::new(Cache::new(LIST_CACHE_BYTES));
        Self { names: Mutex::default(), lists, records: Mutex::default() }
    }
}

/// Where the relocation records are, and what opens them.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) store: &'s dyn Store,
    pub(super) keyring: &'s Keyring,
}

/// Old packs and the hashes of their records, sorted, each record once.
#[derive(Debug)]
struct Names(Vec<(PackName, ContentHash)>);

impl Names {
    /// Lists the first and the second copies of all records; `None` if the store can't.
    fn list(store: &dyn Store) -> Option<Self> {
        let mut names = Vec::new();
        for folder in [Folder::Moves.prefix(), RELOCATION_TWINS_PREFIX] {
            let listed = store.list(folder, &mut |meta| {
                let object = Object::parse(&meta.name);
                if let Some(
                    Object::Relocation { pack, hash } | Object::RelocationTwin { pack, hash },
                ) = object
                {
                    names.push((pack, hash));
                }
            });
            listed.ok()?;
        }
        names.sort_unstable();
        names.dedup();
        Some(Self(names))
    }

    /// Returns the hashes of the records of a pack.
    fn of(&self, pack: &PackName) -> impl Iterator<Item = ContentHash> {
        let from = self.0.partition_point(|(of, _)| of < pack);
        let own = self.0[from..].iter().take_while(move |(of, _)| of == pack);
        own.map(|(_, hash)| *hash)
    }
}

impl Moves {
    /// Returns other places of an entry, from the relocation records of its pack: that to which a
    /// compaction moved it first.
    pub(super) fn copies_of(&self, source: Source<'_>, address: EntryAddress) -> Vec<EntryAddress> {
        let lists = self.lists(source, &address.pack);
        let find = |list: &Relocation| {
            let (pack, entry) = list.find(address.entry)?;
            Some(EntryAddress { pack, entry })
        };
        let of = |is_moved: bool| lists.iter().filter(move |l| l.compacted.is_some() == is_moved);
        of(true).chain(of(false)).filter_map(find).collect()
    }

    /// Returns the records of a pack if one of them says that it was compacted away, as far as
    /// that is known without a listing.
    pub(super) fn known_compacted(
        &self,
        source: Source<'_>,
        pack: &PackName,
    ) -> Option<Arc<Vec<Relocation>>> {
        let names = lock(&self.names).names.as_ref().map(Arc::clone)?;
        names.of(pack).next()?;
        let lists = self.lists(source, pack);
        lists.iter().any(|list| list.compacted.is_some()).then_some(lists)
    }

    /// Returns the records of a pack that is not there, if one of them says that it was compacted
    /// away.
    pub(super) fn compacted(
        &self,
        source: Source<'_>,
        pack: &PackName,
    ) -> Option<Arc<Vec<Relocation>>> {
        let was_listed = lock(&self.names).names.is_some();
        self.names(source.store)?;
        let known = self.known_compacted(source, pack);
        // One with records was lost and is healed.
        let has_records = !self.lists(source, pack).is_empty();
        if has_records || !was_listed || !self.list_again(source.store) {
            return known;
        }
        self.known_compacted(source, pack)
    }

    /// Returns the same, as far as one listing says.
    pub(super) fn compacted_as_listed(
        &self,
        source: Source<'_>,
        pack: &PackName,
    ) -> Option<Arc<Vec<Relocation>>> {
        self.names(source.store)?;
        self.known_compacted(source, pack)
    }

    /// Takes the names of all records from a listing.
    pub(super) fn take_names(&self, mut names: Vec<(PackName, ContentHash)>) {
        names.sort_unstable();
        names.dedup();
        lock(&self.names).names = Some(Arc::new(Names(names)));
    }

    /// Returns the record of a pack that holds what was moved.
    pub(super) fn record(&self, pack: &PackName) -> Option<PackRecord> {
        lock(&self.records).get(pack).copied()
    }

    /// Returns the names of all records. One thread lists them, and others that ask wait for it.
    fn names(&self, store: &dyn Store) -> Option<Arc<Names>> {
        let mut listed = lock(&self.names);
        if listed.names.is_none() {
            listed.names = Names::list(store).map(Arc::new);
        }
        listed.names.as_ref().map(Arc::clone)
    }

    /// Lists the names again; returns `false` if that was done often enough.
    fn list_again(&self, store: &dyn Store) -> bool {
        let mut listed = lock(&self.names);
        if listed.again == LISTED_AGAIN_MAX {
            return false;
        }
        listed.again += 1;
        if let Some(names) = Names::list(store) {
            listed.names = Some(Arc::new(names));
            *lock(&self.lists) = Cache::new(LIST_CACHE_BYTES);
        }
        true
    }

    /// Returns the records of a pack, as far as they can be read.
    pub(super) fn lists(&self, source: Source<'_>, pack: &PackName) -> Arc<Vec<Relocation>> {
        let known = lock(&self.lists).get(pack);
        known.unwrap_or_else(|| {
            let lists = Arc::new(self.read(source, pack));
            for record in lists.iter().filter_map(|list| list.compacted.as_ref()).flatten() {
                lock(&self.records).insert(record.name, *record);
            }
            let memory = lists.iter().map(Relocation::memory).sum::<usize>() + 64;
            lock(&self.lists).put(*pack, Arc::clone(&lists), memory);
            lists
        })
    }

    fn read(&self, Source { store, keyring }: Source<'_>, pack: &PackName) -> Vec<Relocation> {
        // A store that can't list, or a record that can't be opened, leaves the entry as lost as it
        // was.
        let Some(names) = self.names(store) else { return Vec::new() };
        let open = |object: &Object| {
            let bytes = store.get(&object.name(), SMALL_OBJECT_BYTES_MAX).ok()?;
            let text = keyring.open_object(ObjectKind::Relocation, &pack.0, &bytes).ok()?;
            Relocation::decode(&text).ok()
        };
        let copies = |hash: ContentHash| {
            let pack = *pack;
            [Object::Relocation { pack, hash }, Object::RelocationTwin { pack, hash }]
        };
        names.of(pack).filter_map(|hash| copies(hash).iter().find_map(open)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_a_pack_are_found_among_all() {
        let name = |n: u8| PackName([n; 32]);
        let names = [(1, 7), (3, 1), (3, 2), (3, 9), (8, 5)];
        let names = Names(names.map(|(pack, hash)| (name(pack), [hash; 32])).to_vec());
        let of = |pack| names.of(&name(pack)).map(|hash| hash[0]).collect::<Vec<_>>();
        assert_eq!(of(3), [1, 2, 9]);
        assert_eq!([0, 1, 2, 8, 9].map(of).concat(), [7, 5]);
    }
}
