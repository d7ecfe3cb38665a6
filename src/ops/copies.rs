//! The packs of earlier runs that are there, and the two copies of those that hold maps.
//!
//! A backup lists both folders of packs anyway. Of a meta pack of which one copy is missing or has
//! another length it makes that copy again from the other one, so that the redundancy lasts. None
//! of this can fail a backup: what cannot be listed counts as absent and is stored again, and a
//! copy that cannot be made is left to the next run.
//!
//! A needed pack that is not there may have been compacted: its entries are looked for in the packs
//! to which they were moved. Those are in no table, so of packs that the table lacks the listing is
//! kept, 16 bytes each.
//!
//! Packs that nothing needs may have been deleted. So what is lacking is compared with the need
//! lists of the snapshots that the run goes on from: a pack that is not there and not needed is no
//! damage, and only of needed packs a missing copy is made again.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::usize_of_u32;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::lists::Damage;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::pack::reader::Packs;
use crate::pipeline::presence::EntrySet;
use crate::pipeline::presence::PackPresence;
use crate::repo::Repository;
use crate::repo::needs::NeedsReader;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::FindingLog;
use crate::verdict::finding::Severity;

/// Finds which packs of a table are there; makes missing copies again and reports what it did. The
/// run goes on from the `newest` snapshots, of whose first the table is.
pub(super) fn presence_of(
    repository: &Repository,
    packs: &Arc<Packs>,
    newest: &[&StoredSnapshot],
    monitor: &Arc<Monitor>,
    log: &FindingLog,
) -> Result<PackPresence> {
    if packs.table().is_empty() {
        return Ok(PackPresence::default());
    }
    let store = &**repository.store();
    let mut listed = Copies::list(store, &packs.table(), log)?;
    // An ordinary night lacks nothing, and reads no list.
    if listed.is_any_lacking(&packs.table()) {
        let needed = NeededPacks::of(repository, packs, newest, monitor)?;
        if listed.state == Listed::Whole {
            listed.complete(store, &packs.table(), &needed.by_index, log)?;
        }
        if needed.extent == Extent::All {
            listed.firsts.take_needed(&needed.by_index);
        }
    }
    let others = apply_damage_records(repository, &packs.table(), &mut listed.firsts, log)?;
    // A compaction that is the first one and began after this run did is not seen: what it moved
    // is stored again.
    let compacted = repository.features().include(Features::COMPACTED);
    let older = if compacted { Older::MayBeMoved } else { Older::AreGone };
    listed.find_moved(packs, &others, older, monitor)?;
    Ok(listed.firsts)
}

/// The packs of a table that are needed.
struct NeededPacks {
    /// True for each that a snapshot is known to need.
    by_index: Vec<bool>,
    extent: Extent,
}

/// The extent of what is known to be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Nothing else is needed.
    All,
    /// Of a snapshot it is not known.
    Some,
}

impl NeededPacks {
    /// Finds what the snapshots need, without a walk: what can't be read, or is not written down,
    /// is not known.
    fn of(
        repository: &Repository,
        packs: &Arc<Packs>,
        snapshots: &[&StoredSnapshot],
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let count = packs.table().len();
        if !repository.features().include(Features::NEEDS) {
            return Ok(Self { by_index: vec![true; count], extent: Extent::All });
        }
        let mut needed = Self { by_index: vec![false; count], extent: Extent::All };
        let mut reader = NeedsReader::new(repository, monitor);
        if let Some(first) = snapshots.first() {
            reader = reader.knowing(first, packs);
        }
        for stored in snapshots {
            match reader.known(stored) {
                Ok(Some(needs)) => {
                    let mut names = Vec::new();
                    needs.visit(&mut |record, _| names.push(record.name));
                    for at in packs.indices_of(&names) {
                        needed.by_index[usize_of_u32(at.0)] = true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Ok(None) | Err(_) => needed.extent = Extent::Some,
            }
        }
        Ok(needed)
    }
}

/// Which snapshots need a pack, if any does.
#[derive(Debug, Clone, Copy)]
enum Needed {
    /// One that the run goes on from.
    ByNewest,
    /// At most older ones.
    ByOlder,
}

/// What can have become of packs that are not there and that at most older snapshots need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Older {
    /// A compaction may have moved them.
    MayBeMoved,
    /// Nothing was ever compacted here: they were deleted for good, and no record is looked for.
    AreGone,
}

/// The packs of a table that were listed, and second copies of them.
struct Copies {
    firsts: PackPresence,
    twins: PackPresence,
    /// The beginnings of the names of packs that the table lacks, and their sizes, sorted.
    others: Vec<(u64, u64)>,
    state: Listed,
}

/// Returns the beginning of a pack's name, which distinguishes it from others of its size.
fn beginning(name: &PackName) -> u64 {
    u64::from_le_bytes(*name.0.first_chunk().expect("a name has 32 bytes"))
}

impl Copies {
    fn list(store: &dyn Store, table: &PackTable, log: &FindingLog) -> Result<Self> {
        let mut firsts = PackPresence::nothing_of(table);
        let mut twins = PackPresence::nothing_of(table);
        let mut others = Vec::new();
        let firsts_listed = listed(store, Folder::Packs, log, &mut |meta| {
            let Some(Object::Pack(name)) = Object::parse(&meta.name) else { return };
            if table.find(&name).is_none() {
                others.push((beginning(&name), meta.size));
            }
            firsts.saw(table, &name, meta.size);
        })?;
        others.sort_unstable();
        let twins_listed = listed(store, Folder::Twins, log, &mut |meta| {
            if let Some(Object::Twin(name)) = Object::parse(&meta.name) {
                twins.saw(table, &name, meta.size);
            }
        })?;
        let state = if firsts_listed == Listed::Whole { twins_listed } else { firsts_listed };
        Ok(Self { firsts, twins, others, state })
    }

    /// Finds the entries of packs that are not there which can be read where a compaction has moved
    /// them. `damaged` are packs that the table lacks and what is damaged in them.
    fn find_moved(
        &mut self,
        packs: &Packs,
        damaged: &HashMap<PackName, Vec<Damage>>,
        older: Older,
        monitor: &Monitor,
    ) -> Result<()> {
        // Of packs that only older snapshots need, which a member may be compared with, most were
        // deleted for good: nothing is listed again for them.
        let lacking = self.firsts.lacking().map(|at| (at, Needed::ByNewest));
        let unneeded = self.firsts.unneeded().filter(|_| older == Older::MayBeMoved);
        let older = unneeded.map(|at| (at, Needed::ByOlder));
        let absent: Vec<(PackIndex, Needed)> = lacking.chain(older).collect();
        for (at, needed) in absent {
            monitor.check()?;
            let record = packs.table().get(at).copied();
            let data = record.filter(|record| record.class == Class::Data);
            let Some(PackRecord { name, .. }) = data else { continue };
            let lists = match needed {
                Needed::ByNewest => packs.compacted(&name),
                Needed::ByOlder => packs.compacted_as_listed(&name),
            };
            let Some(lists) = lists else { continue };
            let mut entries = EntrySet::default();
            for list in lists.iter() {
                // Mostly it is known of a pack as a whole.
                let records = list.compacted.iter().flatten();
                let whole: Vec<bool> =
                    records.map(|to| self.has_whole(packs, to, damaged)).collect();
                for (entry, to, _) in list.moves.iter().filter(|_| list.compacted.is_some()) {
                    let place = || packs.place_of(EntryAddress { pack: name, entry: *entry });
                    if whole[usize_of_u32(*to)] || self.has(packs, &place(), damaged) {
                        entries.insert(*entry);
                    }
                }
            }
            self.firsts.take_moved(at, entries);
        }
        Ok(())
    }

    /// Tells whether a pack that holds what was moved was listed, and nothing in it is known to be
    /// damaged.
    fn has_whole(
        &self,
        packs: &Packs,
        record: &PackRecord,
        damaged: &HashMap<PackName, Vec<Damage>>,
    ) -> bool {
        !damaged.contains_key(&record.name) && self.is_listed(packs, record)
    }

    fn is_listed(&self, packs: &Packs, record: &PackRecord) -> bool {
        if packs.table().find(&record.name).is_some() {
            return !self.firsts.lacks(&packs.table(), &record.name);
        }
        self.others.binary_search(&(beginning(&record.name), record.bytes)).is_ok()
    }

    /// Tells whether a pack that holds what was moved was listed, and an entry of it is not known
    /// to be damaged.
    fn has(
        &self,
        packs: &Packs,
        at: &EntryAddress,
        damaged: &HashMap<PackName, Vec<Damage>>,
    ) -> bool {
        let is_damaged = |damage: &Damage| match damage {
            Damage::Pack => true,
            Damage::Entries(entries) => entries.binary_search(&at.entry).is_ok(),
        };
        if damaged.get(&at.pack).is_some_and(|damages| damages.iter().any(is_damaged)) {
            return false;
        }
        packs.record_of(&at.pack).is_some_and(|record| self.is_listed(packs, &record))
    }

    fn is_any_lacking(&self, table: &PackTable) -> bool {
        let lacks = |record: &PackRecord| {
            self.firsts.lacks(table, &record.name)
                || record.class == Class::Meta && self.twins.lacks(table, &record.name)
        };
        table.iter().any(|(_, record)| lacks(record))
    }

    /// Makes each missing copy of a needed meta pack from the other one. One that nothing needs is
    /// left: it may be half deleted.
    fn complete(
        &mut self,
        store: &dyn Store,
        table: &PackTable,
        needed: &[bool],
        log: &FindingLog,
    ) -> Result<()> {
        let is_needed = |at: PackIndex| needed.get(usize_of_u32(at.0)).copied().unwrap_or(false);
        for (at, record) in table.iter() {
            if record.class != Class::Meta || !is_needed(at) {
                continue;
            }
            let (first, twin) = (Object::Pack(record.name), Object::Twin(record.name));
            let lacks =
                (self.firsts.lacks(table, &record.name), self.twins.lacks(table, &record.name));
            let (from, to) = match lacks {
                (true, false) => (twin, first),
                (false, true) => (first, twin),
                (true, true) | (false, false) => continue,
            };
            match put_back(store, record, from, to) {
                Ok(()) => {
                    self.firsts.saw(table, &record.name, record.bytes);
                    let text = "it was missing or cut, and was made again from the other copy";
                    let finding = Finding::new(Code::DamagePassedOver, to.name().to_string(), text);
                    log.report(finding.with_severity(Severity::Note));
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    let text = format!(
                        "it is missing or cut, and could not be made again: {}",
                        error.with_causes()
                    );
                    let object = to.name().to_string();
                    log.report(Finding::new(Code::DamagePassedOver, object, text));
                }
            }
        }
        Ok(())
    }
}

/// The outcome of listing a folder: to its end or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Whole,
    Broken,
}

fn listed(
    store: &dyn Store,
    folder: Folder,
    log: &FindingLog,
    each: &mut dyn FnMut(ObjectMeta),
) -> Result<Listed> {
    let Err(error) = store.list(folder.prefix(), each) else { return Ok(Listed::Whole) };
    let error = error.named(format!("cannot list {}", folder.prefix()));
    if error.kind() == ErrorKind::Cancelled {
        return Err(error);
    }
    let text = format!("it could not be listed: {}", error.with_causes());
    log.report(Finding::new(Code::DamagePassedOver, folder.prefix(), text));
    Ok(Listed::Broken)
}

/// Makes one copy of a pack from another one whose bytes are what its name says.
///
/// The bytes are in memory before anything is changed, and the good copy is never touched: whatever
/// stops this leaves at least what was readable before.
pub(super) fn put_back(
    store: &dyn Store,
    record: &PackRecord,
    from: Object,
    to: Object,
) -> Result<()> {
    let (from, to) = (from.name(), to.name());
    let bytes = store
        .get(&from, PACK_BYTES_ACCEPTED_MAX)
        .map_err(|e| e.named(format!("cannot read {from}")))?;
    if *blake3::hash(&bytes).as_bytes() != record.name.0 {
        return Err(Error::damaged(&from, "its bytes do not match its name"));
    }
    let found = store.size(&to).map_err(|e| e.named(format!("cannot look at {to}")))?;
    match found {
        // A store keeps what it has; what has another length is not this pack.
        Some(found) if found != record.bytes => replace(store, &to, &bytes),
        Some(_) | None => put(store, &to, &bytes),
    }
}

/// Puts an object in the place of one whose bytes have changed.
///
/// Nothing is ever overwritten, so the changed one goes first. If that is all that happens, the
/// object is missing, which every run notices, and the next one puts it.
pub(super) fn replace(store: &dyn Store, name: &ObjectName, bytes: &Bytes) -> Result<()> {
    store.delete(name).map_err(|e| e.named(format!("cannot replace {name}")))?;
    put(store, name, bytes)
}

fn put(store: &dyn Store, name: &ObjectName, bytes: &Bytes) -> Result<()> {
    store.put(name, slice::from_ref(bytes)).map_err(|e| e.named(format!("cannot store {name}")))
}

/// Takes damage records into account, and returns those about packs that the table lacks.
fn apply_damage_records(
    repository: &Repository,
    table: &PackTable,
    presence: &mut PackPresence,
    log: &FindingLog,
) -> Result<HashMap<PackName, Vec<Damage>>> {
    let store = &**repository.store();
    let mut others: HashMap<PackName, Vec<Damage>> = HashMap::new();
    let mut records = Vec::new();
    listed(store, Folder::Damage, log, &mut |meta| records.push(meta.name))?;
    for record in records {
        let Some(Object::Damage { pack: name, .. }) = Object::parse(&record) else { continue };
        // A record that can't be read says nothing; what it meant shows when the entries are read.
        let Some(damage) = read_damage(repository, store, &name, &record) else { continue };
        presence.record_damage(table, &name, &damage);
        if table.find(&name).is_none() {
            others.entry(name).or_default().push(damage);
        }
    }
    Ok(others)
}

fn read_damage(
    repository: &Repository,
    store: &dyn Store,
    pack: &PackName,
    record: &ObjectName,
) -> Option<Damage> {
    let bytes = store.get(record, SMALL_OBJECT_BYTES_MAX).ok()?;
    let text = repository.keyring().open_object(ObjectKind::Damage, &pack.0, &bytes).ok()?;
    Damage::decode(&text).ok()
}
