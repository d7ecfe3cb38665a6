//! The packs that something needs: snapshots that are not out, the roots of runs that stand, and
//! what relocation records name for any of these packs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::lists::Relocation;
use crate::ops::prune::view::View;
use crate::ops::prune::wishes::Fewer;
use crate::repo::Repository;
use crate::repo::inventory::InUse;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::PackMarks;
use crate::repo::needs::NeedsReader;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectMeta;

/// Looks at what stands before one that finds something gone is an error.
const LOOKS_MAX: usize = 3;

/// Finds the packs that something needs. What can't be read is an error: it may need anything.
pub(super) fn needed<'i>(
    repository: &Repository,
    inventory: &'i Inventory,
    view: &View,
    monitor: &Arc<Monitor>,
) -> Result<PackMarks<'i>> {
    let mut needed = Needed {
        repository,
        reader: NeedsReader::new(repository, monitor),
        set: inventory.pack_marks(),
        newest: BTreeMap::new(),
    };
    let mut read: BTreeSet<SnapshotId> = BTreeSet::new();
    for stored in view.kept() {
        monitor.check()?;
        needed.add_kept(view, stored)?;
        read.insert(stored.id());
    }
    for name in view.roots().filter(|name| !read.contains(&name.id)) {
        if let Some(stored) = root(repository, view, name)? {
            needed.add(&stored)?;
        }
    }
    needed.follow_moves(view)?;
    needed.check_newest(view)?;
    Ok(needed.set)
}

/// What stands, with the roots of runs that are kept for these only.
pub(super) struct Looked {
    pub(super) view: View,
    pub(super) roots: Vec<StoredSnapshot>,
}

impl Looked {
    /// Looks at everything but packs, and reads the roots.
    pub(super) fn look(repository: &Repository, monitor: &Monitor) -> Result<Self> {
        looked(|| {
            let view = View::look(repository, BTreeSet::new(), Fewer::Refused, monitor)?;
            let roots = roots_of(repository, &view)?;
            Ok(Self { view, roots })
        })
    }
}

/// Looks, and looks again if something is gone that was there a moment before: a run that has ended
/// since may have dropped a root that is out, and its snapshot is listed then.
pub(super) fn looked<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..LOOKS_MAX {
        match look() {
            Err(error) if error.kind() == ErrorKind::Missing => {}
            ended => return ended,
        }
    }
    look()
}

/// Returns the roots of runs that stand, but for snapshots that are kept anyway.
pub(super) fn roots_of(repository: &Repository, view: &View) -> Result<Vec<StoredSnapshot>> {
    let kept: BTreeSet<SnapshotId> = view.kept().map(StoredSnapshot::id).collect();
    let mut names: Vec<&SnapshotName> = view.roots().collect();
    names.sort_unstable();
    names.dedup();
    let mut roots = Vec::new();
    for name in names.into_iter().filter(|name| !kept.contains(&name.id)) {
        roots.extend(root(repository, view, name)?);
    }
    Ok(roots)
}

/// Reads a root of a run. One that is out may be gone, if its run has dropped it.
fn root(
    repository: &Repository,
    view: &View,
    name: &SnapshotName,
) -> Result<Option<StoredSnapshot>> {
    match repository.read_any_snapshot(name) {
        Ok(stored) => Ok(Some(stored)),
        Err(error) if error.kind() == ErrorKind::Missing => {
            if view.out.contains(&name.id) && is_root_still(repository, view, name)? {
                return Ok(None);
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Tells whether the intent of a run that has this root is still there: otherwise the run has ended
/// since, or was broken, and its snapshot may need what the root needed.
fn is_root_still(repository: &Repository, view: &View, name: &SnapshotName) -> Result<bool> {
    for run in view.standing.iter().filter(|run| run.roots.contains(name)) {
        for object in &run.objects {
            let there = repository.store().size(object);
            if there.map_err(|e| e.named(format!("cannot look for {object}")))?.is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

struct Needed<'r, 'i> {
    repository: &'r Repository,
    reader: NeedsReader<'r>,
    set: PackMarks<'i>,
    /// The newest snapshot of each source, and what it needs of packs that were not listed.
    newest: BTreeMap<SourceId, (SnapshotId, Vec<PackName>)>,
}

impl Needed<'_, '_> {
    fn add_kept(&mut self, view: &View, stored: &StoredSnapshot) -> Result<()> {
        // It may lack packs, and is not relied upon until a replicate has made it whole, which
        // holds what it relies on.
        let is_doubtful = view.doubts(stored.id());
        match self.add(stored) {
            Ok(unlisted) if !is_doubtful => {
                self.newest.entry(stored.name.source).or_insert((stored.id(), unlisted));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if is_doubtful && error.kind() != ErrorKind::Cancelled => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds what a snapshot needs; returns the packs that were not listed.
    fn add(&mut self, stored: &StoredSnapshot) -> Result<Vec<PackName>> {
        let mut unlisted = Vec::new();
        let set = &mut self.set;
        // A note of what somebody's walk found could be of a host that may only write.
        let needs = match self.reader.listed(stored)? {
            Some(needs) => needs,
            None => self.reader.walked(stored)?,
        };
        needs.visit(&mut |record, need| {
            let entries = u64::from(need.places) + u64::from(need.bases);
            let in_use = match record.class {
                Class::Data => InUse::part(entries, record.entries.into()),
                // Entries of other packs are not counted.
                Class::Meta => InUse::ALL,
            };
            if !set.insert_part(record.name, in_use) {
                unlisted.push(record.name);
            }
        });
        Ok(unlisted)
    }

    /// Adds the packs that relocation records name for needed packs, whether these are there or
    /// not: an entry may be read from either.
    fn follow_moves(&mut self, view: &View) -> Result<()> {
        let mut left: Vec<(&PackName, &Vec<Object>)> = view.moves.iter().collect();
        loop {
            let (due, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(pack, _)| self.set.contains(pack));
            if due.is_empty() {
                return Ok(());
            }
            for (pack, records) in due {
                for relocation in self.relocations(pack, records)? {
                    relocation.packs.into_iter().for_each(|pack| _ = self.set.insert(pack));
                }
            }
            left = others;
        }
    }

    /// Reads the relocation records of a pack, each from the copy that is whole.
    fn relocations(&self, pack: &PackName, records: &[Object]) -> Result<Vec<Relocation>> {
        let mut hashes: BTreeMap<_, Vec<&Object>> = BTreeMap::new();
        for object in records {
            hashes.entry(content_hash(&object.name())).or_default().push(object);
        }
        let whole = |copies: Vec<&Object>| {
            let mut failed = None;
            for object in copies {
                match self.relocation(pack, object) {
                    Ok(relocation) => return Ok(relocation),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.expect("a record has a copy"))
        };
        hashes.into_values().map(whole).collect()
    }

    fn relocation(&self, pack: &PackName, object: &Object) -> Result<Relocation> {
        let name = object.name();
        let bytes = self
            .repository
            .store()
            .get(&name, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| e.named(format!("cannot read {name}")))?;
        let text = self
            .repository
            .keyring()
            .open_object(ObjectKind::Relocation, &pack.0, &bytes)
            .map_err(|e| Error::damaged(&name, e))?;
        Relocation::decode(&text).map_err(|e| Error::damaged(&name, e))
    }

    /// Fails if the newest snapshot of a source lacks a pack: then something is wrong that a
    /// deletion could make worse.
    fn check_newest(&self, view: &View) -> Result<()> {
        for (id, unlisted) in self.newest.values() {
            for pack in unlisted.iter().filter(|pack| !view.moves.contains_key(*pack)) {
                let object = Object::Pack(*pack).name();
                // It may have been put after the packs were listed. A cache may know its size
                // though it is gone, so its folder is listed.
                let name = object.as_str();
                let folder = name.rfind('/').map_or("", |at| &name[..=at]);
                let mut is_there = false;
                let mut look = |meta: ObjectMeta| is_there |= meta.name == object;
                let listed = self.repository.store().list(folder, &mut look);
                listed.map_err(|e| e.named(format!("cannot list {folder}")))?;
                if !is_there {
                    let what = format!(
                        "the newest snapshot of its source, {}, lacks {object}: nothing is deleted",
                        id.short()
                    );
                    return Err(Error::new(ErrorKind::Damaged, what));
                }
            }
        }
        Ok(())
    }
}
