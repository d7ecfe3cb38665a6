//! Relocation records for lost blocks of which another copy is here (FORMAT.md 9).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Result;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::format::layout::Object;
use crate::format::lists::Relocation;
use crate::pipeline::relocations::seal_record;
use crate::pipeline::uploader::put_confirmed;
use crate::repo::Repository;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

/// Entries of packs, by the names of these, and the places of their copies.
pub(super) type Copies = BTreeMap<PackName, Vec<(EntryNumber, EntryAddress)>>;

/// Puts a record for each pack, in two copies; returns the objects.
pub(super) fn put_records(
    repository: &Repository,
    copies: Copies,
    monitor: &Monitor,
) -> Result<Vec<ObjectName>> {
    let mut put = Vec::new();
    for (pack, copies) in copies {
        monitor.check()?;
        let text = relocation(copies).encode();
        let (keyring, entropy) = (repository.keyring(), &**repository.entropy());
        let record = seal_record(keyring, ObjectKind::Relocation, &pack.0, &text, entropy)?;
        let (twin, bytes) = record.named(|hash| Object::RelocationTwin { pack, hash });
        let (object, _) = record.named(|hash| Object::Relocation { pack, hash });
        for object in [twin, object] {
            put_confirmed(&**repository.store(), monitor, &object, &bytes)?;
            put.push(object);
        }
    }
    Ok(put)
}

/// Returns the record that says where entries of a pack are.
fn relocation(mut copies: Vec<(EntryNumber, EntryAddress)>) -> Relocation {
    copies.sort_by_key(|(entry, _)| *entry);
    copies.dedup_by_key(|(entry, _)| *entry);
    let packs: BTreeSet<PackName> = copies.iter().map(|(_, copy)| copy.pack).collect();
    let packs: Vec<PackName> = packs.into_iter().collect();
    let moves = copies
        .into_iter()
        .filter_map(|(old, copy)| {
            let at = packs.binary_search(&copy.pack).ok()?;
            Some((old, u32_of(at), copy.entry))
        })
        .collect();
    Relocation { packs, moves, compacted: None }
}
