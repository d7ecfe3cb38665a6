//! Packs that a compaction took away: where their entries are read from instead.
//!
//! A reader learns that a pack was compacted away when it is not there, or from the names of the
//! records once these were listed. From then on its entries are looked for in the packs that the
//! record names, whose sizes it tells: opening one takes one request, as for a pack of the table.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::format::directory::Content;
use crate::format::layout::ContentHash;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackRecord;
use crate::pack::reader::COPIES_TRIED_MAX;
use crate::pack::reader::OpenPack;
use crate::pack::reader::Packs;
use crate::pack::reader::find;
use crate::pack::reader::lock;
use crate::pack::reader::moves::Source;
use crate::store::name::ObjectName;

/// A pack, or the records of one that was compacted away.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Here(Arc<OpenPack>),
    Moved(Arc<Vec<Relocation>>),
}

/// Returns the place to which an entry was moved.
pub(super) fn moved_to(lists: &[Relocation], address: EntryAddress) -> Result<EntryAddress> {
    let mut lists = lists.iter().filter(|list| list.compacted.is_some());
    let found = lists.find_map(|list| list.find(address.entry));
    let to = found.map(|(pack, entry)| EntryAddress { pack, entry });
    to.ok_or_else(|| {
        let pack = format!("pack {}", address.pack.short());
        Error::damaged(pack, "an entry that was not alive when it was compacted is wanted")
    })
}

impl Packs {
    fn moves_source(&self) -> Source<'_> {
        Source { store: &*self.store, keyring: &self.keyring }
    }

    /// Opens a pack, unless it was compacted away.
    pub(super) fn find_pack(&self, name: &PackName) -> Result<Found> {
        if let Some(lists) = self.moves.known_compacted(self.moves_source(), name) {
            return Ok(Found::Moved(lists));
        }
        match self.open(name) {
            Ok(pack) => Ok(Found::Here(pack)),
            Err(error) if error.kind() == ErrorKind::Missing => {
                self.compacted(name).map(Found::Moved).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the pack that an entry is read from; returns the entry's place in it.
    pub(super) fn open_at(&self, address: EntryAddress) -> Result<(EntryAddress, Arc<OpenPack>)> {
        let mut address = address;
        for _ in 0..COPIES_TRIED_MAX {
            match self.find_pack(&address.pack)? {
                Found::Here(pack) => return Ok((address, pack)),
                Found::Moved(lists) => address = moved_to(&lists, address)?,
            }
        }
        Err(Error::damaged(format!("pack {}", address.pack.short()), "it was moved too often"))
    }

    /// Reads the whole block at a place, verified against the hash in its own directory.
    pub fn whole_block(&self, address: EntryAddress) -> Result<Vec<u8>> {
        let (address, pack) = self.open_at(address)?;
        let Content::Whole(hash) = find(&pack, address.entry)?.content else {
            return Err(pack.damaged("an entry is no whole block"));
        };
        self.block_at(address, hash).map(|chain| chain.bytes)
    }

    /// Returns the relocation records of a pack that is not there, if one of them says that it was
    /// compacted away.
    pub fn compacted(&self, name: &PackName) -> Option<Arc<Vec<Relocation>>> {
        self.moves.compacted(self.moves_source(), name)
    }

    /// Returns the same, as far as the names say that are listed already, or are listed now.
    pub fn compacted_as_listed(&self, name: &PackName) -> Option<Arc<Vec<Relocation>>> {
        self.moves.compacted_as_listed(self.moves_source(), name)
    }

    /// Returns other places of an entry, from the relocation records of its pack.
    pub fn copies_of(&self, address: EntryAddress) -> Vec<EntryAddress> {
        self.moves.copies_of(self.moves_source(), address)
    }

    /// Takes the names of all relocation records from a listing: pack and hash of each.
    pub fn take_move_names(&self, names: Vec<(PackName, ContentHash)>) {
        self.moves.take_names(names);
    }

    /// Returns the relocation records of a pack, as far as they can be read.
    pub fn relocations(&self, name: &PackName) -> Arc<Vec<Relocation>> {
        self.moves.lists(self.moves_source(), name)
    }

    /// Returns the relocation records of a pack if one of them is known to say that it was
    /// compacted away; nothing is listed.
    pub fn known_compacted(&self, name: &PackName) -> Option<Arc<Vec<Relocation>>> {
        self.moves.known_compacted(self.moves_source(), name)
    }

    /// Tells whether a pack is known to have been compacted away.
    pub(super) fn is_known_compacted(&self, name: &PackName) -> bool {
        self.moves.known_compacted(self.moves_source(), name).is_some()
    }

    /// Returns the place that an entry of a compacted pack is read from, after all moves; its own
    /// place if nothing is known of a move.
    pub fn place_of(&self, address: EntryAddress) -> EntryAddress {
        let mut address = address;
        for _ in 0..COPIES_TRIED_MAX {
            let lists = self.moves.known_compacted(self.moves_source(), &address.pack);
            let to = lists.and_then(|lists| moved_to(&lists, address).ok());
            let Some(to) = to else { return address };
            address = to;
        }
        address
    }

    /// Returns the record of a pack, from the pack table or from a record of what was moved.
    pub fn record_of(&self, name: &PackName) -> Option<PackRecord> {
        let known = {
            let table = self.table();
            table.find(name).and_then(|at| table.get(at).copied())
        };
        known.or_else(|| self.moves.record(name))
    }

    /// Forgets an opened pack that turned out to be gone: it was compacted while this reader was at
    /// work.
    pub(super) fn forget_if_gone(&self, object: &ObjectName, error: &Error) {
        if error.kind() == ErrorKind::Missing {
            lock(&self.opened).remove(object);
        }
    }
}
