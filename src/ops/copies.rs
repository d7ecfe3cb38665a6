//! The packs of earlier runs that are there, and the two copies of those that hold maps.
//!
//! A backup lists both folders of packs anyway. Of a meta pack of which one copy is missing or has
//! another length it makes that copy again from the other one, so that the redundancy lasts. None
//! of this can fail a backup: what cannot be listed counts as absent and is stored again, and a
//! copy that cannot be made is left to the next run.

use std::slice;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::lists::Damage;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::pipeline::presence::PackPresence;
use crate::repo::Repository;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::FindingLog;
use crate::verdict::finding::Severity;

/// Finds which packs of a table are there; makes missing copies again and reports what it did.
pub(super) fn presence_of(
    repository: &Repository,
    table: &PackTable,
    log: &FindingLog,
) -> Result<PackPresence> {
    if table.is_empty() {
        return Ok(PackPresence::default());
    }
    let store = &**repository.store();
    let mut presence = PackPresence::nothing_of(table);
    let mut twins = PackPresence::nothing_of(table);
    let firsts_listed = listed(store, Folder::Packs, log, &mut |meta| {
        if let Some(Object::Pack(name)) = Object::parse(&meta.name) {
            presence.saw(table, &name, meta.size);
        }
    })?;
    let twins_listed = listed(store, Folder::Twins, log, &mut |meta| {
        if let Some(Object::Twin(name)) = Object::parse(&meta.name) {
            twins.saw(table, &name, meta.size);
        }
    })?;
    if firsts_listed == Listed::Whole && twins_listed == Listed::Whole {
        complete(store, table, &mut presence, &twins, log)?;
    }
    apply_damage_records(repository, table, &mut presence, log)?;
    Ok(presence)
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

/// Makes each missing copy of a meta pack from the other one.
fn complete(
    store: &dyn Store,
    table: &PackTable,
    firsts: &mut PackPresence,
    twins: &PackPresence,
    log: &FindingLog,
) -> Result<()> {
    let metas = table.iter().map(|(_, record)| record);
    for record in metas.filter(|record| record.class == Class::Meta) {
        let (first, twin) = (Object::Pack(record.name), Object::Twin(record.name));
        let lacks = (firsts.lacks(table, &record.name), twins.lacks(table, &record.name));
        let (from, to) = match lacks {
            (true, false) => (twin, first),
            (false, true) => (first, twin),
            (true, true) | (false, false) => continue,
        };
        match put_back(store, record, from, to) {
            Ok(()) => {
                firsts.saw(table, &record.name, record.bytes);
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

/// Takes damage records into account.
fn apply_damage_records(
    repository: &Repository,
    table: &PackTable,
    presence: &mut PackPresence,
    log: &FindingLog,
) -> Result<()> {
    let store = &**repository.store();
    let mut records = Vec::new();
    listed(store, Folder::Damage, log, &mut |meta| records.push(meta.name))?;
    for record in records {
        let Some(Object::Damage { pack: name, .. }) = Object::parse(&record) else { continue };
        // A record that can't be read says nothing; what it meant shows when the entries are read.
        if let Some(damage) = read_damage(repository, store, &name, &record) {
            presence.record_damage(table, &name, &damage);
        }
    }
    Ok(())
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
