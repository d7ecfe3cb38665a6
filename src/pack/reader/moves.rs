//! Other places of entries: the relocation records of a repository. Their names are listed once;
//! each is read when an entry of its pack is lacking.
//!
//! Memory: 64 bytes for the name of a record, and the records of the packs that were asked for.

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
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::store::Store;

/// What is known of the relocation records.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Names of all records, once they were listed.
    names: Mutex<Option<Arc<Names>>>,
    /// The records of the packs that were asked for.
    lists: Mutex<HashMap<PackName, Arc<Vec<Relocation>>>>,
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
    /// Returns other places of an entry, from the relocation records of its pack.
    pub(super) fn copies_of(
        &self,
        store: &dyn Store,
        keyring: &Keyring,
        address: EntryAddress,
    ) -> Vec<EntryAddress> {
        let known = lock(&self.lists).get(&address.pack).map(Arc::clone);
        let lists = known.unwrap_or_else(|| {
            let lists = Arc::new(self.read(store, keyring, &address.pack));
            lock(&self.lists).insert(address.pack, Arc::clone(&lists));
            lists
        });
        let found = lists.iter().filter_map(|list| list.find(address.entry));
        found.map(|(pack, entry)| EntryAddress { pack, entry }).collect()
    }

    /// Returns the names of all records. One thread lists them, and others that ask wait for it.
    fn names(&self, store: &dyn Store) -> Option<Arc<Names>> {
        let mut names = lock(&self.names);
        if names.is_none() {
            *names = Names::list(store).map(Arc::new);
        }
        names.as_ref().map(Arc::clone)
    }

    fn read(&self, store: &dyn Store, keyring: &Keyring, pack: &PackName) -> Vec<Relocation> {
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
