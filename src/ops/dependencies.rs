//! Checks if a snapshot depends on packs that are lost. The answer takes a walk over all of its
//! maps, so it is asked for only when packs are lost that its need list names, if it has one.
//!
//! A pack table lists every pack of its lineage, and most of a lost pack may have been replaced
//! long ago. So the entries decide: a snapshot depends on the packs that its maps name, and on the
//! packs that those name as bases.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::format::record::MemberRecord;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::needs::NeedsReader;
use crate::repo::needs::PackSet;
use crate::repo::snapshots::StoredSnapshot;

/// Returns in words on which of the packs in `lost` a snapshot depends; `None` if on none.
pub(super) fn first_lost(
    repository: &Repository,
    stored: &StoredSnapshot,
    lost: &BTreeSet<PackName>,
    monitor: &Arc<Monitor>,
) -> Result<Option<String>> {
    if !may_depend(repository, stored, lost, monitor)? {
        return Ok(None);
    }
    match find_lost(repository, stored, lost, monitor) {
        Ok(None) => Ok(None),
        Ok(Some(name)) => Ok(Some(format!("it needs pack {}", name.short()))),
        // What can't be walked is not whole either.
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
            Ok(Some(format!("its maps can't be read: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// Tells whether the snapshot's need list names a pack in `lost`, or there is no list. What it
/// names may have been healed, or not be needed after all: only the walk says what is lost.
fn may_depend(
    repository: &Repository,
    stored: &StoredSnapshot,
    lost: &BTreeSet<PackName>,
    monitor: &Arc<Monitor>,
) -> Result<bool> {
    let mut set = PackSet::new(lost.iter().copied().collect());
    NeedsReader::new(repository, monitor).mark_needed([stored], &mut set)?;
    Ok(set.marked().next().is_some())
}

/// Returns a pack in `lost` that the snapshot depends on.
fn find_lost(
    repository: &Repository,
    stored: &StoredSnapshot,
    lost: &BTreeSet<PackName>,
    monitor: &Arc<Monitor>,
) -> Result<Option<PackName>> {
    let contents = repository.contents(stored, monitor)?;
    let in_table = {
        let table = contents.packs().table();
        lost.iter().any(|name| table.find(name).is_some())
    };
    if !in_table {
        return Ok(None);
    }
    let mut used: BTreeSet<PackIndex> = BTreeSet::new();
    for record in &stored.snapshot.internal {
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
    follow_bases(&contents, names, lost)
}

/// Adds the packs that a member's map names.
fn collect(
    contents: &Contents,
    record: MemberRecord,
    used: &mut BTreeSet<PackIndex>,
    monitor: &Monitor,
) -> Result<()> {
    monitor.check()?;
    let mut entries = contents.entries(record);
    while let Some(block) = entries.next()? {
        used.extend(block.entry.storage.places().map(|at| at.pack));
    }
    Ok(())
}

/// Follows the names of bases from pack to pack: a base may be a delta itself.
fn follow_bases(
    contents: &Contents,
    names: BTreeSet<PackName>,
    lost: &BTreeSet<PackName>,
) -> Result<Option<PackName>> {
    let mut seen = names.clone();
    let mut waiting: Vec<PackName> = names.into_iter().collect();
    while let Some(name) = waiting.pop() {
        if lost.contains(&name) {
            return Ok(Some(name));
        }
        let next = match contents.packs().open(&name) {
            Ok(pack) => pack.directory().base_packs.clone(),
            // What was moved is looked for where it is.
            Err(error) => match contents.packs().compacted(&name) {
                Some(lists) => lists.iter().flat_map(|list| list.packs.clone()).collect(),
                None => return Err(error),
            },
        };
        waiting.extend(next.into_iter().filter(|name| seen.insert(*name)));
    }
    Ok(None)
}
