//! Whether a snapshot needs one of some packs: asked only when packs are lost, because answering
//! means to walk all of its maps.
//!
//! A pack table lists every pack of its lineage, and most of a lost pack may long have been
//! replaced. So the entries decide: a snapshot needs the packs that its maps name, and the packs
//! that those name as bases.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::ids::Storage;
use crate::base::monitor::Monitor;
use crate::format::record::MemberRecord;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Returns which of the packs in `bad` a snapshot needs, in words; nothing if none.
pub(super) fn needs_any(
    repository: &Repository,
    stored: &StoredSnapshot,
    bad: &BTreeSet<PackName>,
    monitor: &Arc<Monitor>,
) -> Result<Option<String>> {
    match needed_packs(repository, stored, bad, monitor) {
        Ok(None) => Ok(None),
        Ok(Some(name)) => Ok(Some(format!("it needs pack {}", name.short()))),
        // What can't be walked is not whole either.
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
            Ok(Some(format!("its maps can't be read: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn needed_packs(
    repository: &Repository,
    stored: &StoredSnapshot,
    bad: &BTreeSet<PackName>,
    monitor: &Arc<Monitor>,
) -> Result<Option<PackName>> {
    let contents = repository.contents(stored, monitor)?;
    let in_table = {
        let table = contents.packs().table();
        bad.iter().any(|name| table.find(name).is_some())
    };
    if !in_table {
        return Ok(None);
    }
    let mut used: BTreeSet<PackIndex> = BTreeSet::new();
    for record in &stored.snapshot.inner {
        collect(&contents, record.clone(), &mut used, monitor)?;
    }
    let mut members = contents.table().cursor();
    while let Some(record) = members.next()? {
        collect(&contents, record, &mut used, monitor)?;
    }
    let mut names = BTreeSet::new();
    for at in used {
        let record = contents.packs().table().get(at).copied();
        let record = record.ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "a map names a pack that is not in the pack table")
        })?;
        names.insert(record.name);
    }
    follow_bases(&contents, names, bad)
}

/// Collects the packs that a member's map names.
fn collect(
    contents: &Contents,
    record: MemberRecord,
    used: &mut BTreeSet<PackIndex>,
    monitor: &Monitor,
) -> Result<()> {
    monitor.check()?;
    let mut entries = contents.entries(record);
    while let Some(block) = entries.next()? {
        match block.entry.storage {
            Storage::Zero => {}
            Storage::Whole(at) => {
                used.insert(at.pack);
            }
            Storage::Delta { at, base, .. } => {
                used.extend([at.pack, base.pack]);
            }
        }
    }
    Ok(())
}

/// Follows the names of bases from pack to pack: a base may be a delta itself.
fn follow_bases(
    contents: &Contents,
    names: BTreeSet<PackName>,
    bad: &BTreeSet<PackName>,
) -> Result<Option<PackName>> {
    let mut seen = names.clone();
    let mut waiting: Vec<PackName> = names.into_iter().collect();
    while let Some(name) = waiting.pop() {
        if bad.contains(&name) {
            return Ok(Some(name));
        }
        let pack = contents.packs().open(&name)?;
        for base in &pack.directory().base_packs {
            if seen.insert(*base) {
                waiting.push(*base);
            }
        }
    }
    Ok(None)
}
