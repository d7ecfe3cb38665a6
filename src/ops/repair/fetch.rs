//! Brings back from another copy of the repository what has no good copy in this one.
//!
//! Objects come by their names: both sides have the same keys, so the same name is the same bytes.
//! A pack is in memory as a whole, and is what its name says, before anything here is changed; then
//! the copy that is bad goes, and the good one takes its name. Stopped anywhere, this leaves an
//! object missing that was bad. Snapshots and notes are replaced by one request, since nothing but
//! their names says that they exist.
//!
//! Where neither side has a pack, but the other one has healed what was in it, the relocation
//! records about it come, and the packs that these name: readers follow them here as they do there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;

use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::crew::lock;
use crate::base::crew::unlocked;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::lists::Relocation;
use crate::ops::copies::replace;
use crate::ops::repair::look::BadCopy;
use crate::ops::repair::look::Content;
use crate::ops::repair::look::Lack;
use crate::ops::repair::look::is_right;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The words with which messages name the repository that objects come from.
const THERE: &str = " on the other side";
/// The folders of the other side from which objects come.
const FOLDERS: [Folder; 7] = [
    Folder::Moves,
    Folder::Packs,
    Folder::Twins,
    Folder::Snapshots,
    Folder::Runs,
    Folder::Keys,
    Folder::Notes,
];
/// Bytes of packs that are on the way at once, for each worker and in all.
const BYTES_A_WORKER: u64 = 16 << 20;
const BYTES_AT_ONCE_MAX: u64 = 64 << 20;

/// An object that comes from the other side.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The names under which it is put here.
    pub objects: Vec<ObjectName>,
    /// The size of the object.
    pub bytes: u64,
    copies: Vec<BadCopy>,
    content: Content,
    /// Its names on the other side.
    from: Vec<ObjectName>,
}

impl Fetch {
    /// Returns the pack that it is, if it is one.
    pub(super) fn pack(&self) -> Option<PackName> {
        match self.content {
            Content::Pack(name) => Some(name),
            Content::Small | Content::Relocation | Content::Snapshot(_) => None,
        }
    }

    /// Tells whether it is what stands for a lack.
    pub(super) fn is_for(&self, lack: &Lack) -> bool {
        self.content == lack.content
            && lack.copies.iter().any(|copy| self.objects.contains(&copy.name))
    }

    /// Returns the name under which it is read on the other side.
    pub(super) fn source(&self) -> &ObjectName {
        self.from.first().expect("it was listed there")
    }

    /// Returns the requests that bringing it takes here.
    pub(super) fn requests(&self) -> u64 {
        // What is there is read once more, and deleted or replaced.
        self.copies.iter().map(|copy| if copy.is_there { 3 } else { 1 }).sum()
    }

    /// Returns the place in the order in which objects are put: whatever names others comes after
    /// them.
    fn rank(&self) -> u8 {
        match self.content {
            Content::Small => 0,
            Content::Pack(_) => 1,
            Content::Relocation => 2,
            Content::Snapshot(_) => 3,
        }
    }
}

/// The other side, as it was listed.
pub(super) struct Far<'f> {
    store: &'f Arc<dyn Store>,
    inventory: Inventory,
    /// Objects there that are not what their names say.
    refused: BTreeSet<ObjectName>,
}

impl<'f> Far<'f> {
    /// Lists the other side.
    pub(super) fn list(store: &'f Arc<dyn Store>) -> Result<Self> {
        let inventory = Inventory::of(&**store, &FOLDERS, THERE)?;
        Ok(Self { store, inventory, refused: BTreeSet::new() })
    }

    /// Never offers an object again.
    pub(super) fn refuse(&mut self, name: ObjectName) {
        self.refused.insert(name);
    }

    /// Returns what the other side has for a lack; `None` if it has nothing.
    pub(super) fn offer(&self, lack: &Lack) -> Option<Fetch> {
        let mut copies = lack.copies.clone();
        let names: Vec<Object> = match &lack.content {
            Content::Pack(name) => vec![Object::Pack(*name), Object::Twin(*name)],
            Content::Snapshot(id) if copies.is_empty() => {
                let (object, _) = self.inventory.others().find(|(object, _)| {
                    matches!(object, Object::Snapshot { id: own, .. } if own.to_string() == *id)
                })?;
                copies.push(BadCopy { name: object.name(), is_there: false });
                vec![object]
            }
            Content::Small | Content::Relocation | Content::Snapshot(_) => {
                copies.iter().rev().filter_map(|copy| Object::parse(&copy.name)).collect()
            }
        };
        let offered = |object: &Object| {
            let bytes = self.inventory.size(object)?;
            let name = object.name();
            let is_it = lack.bytes.is_none_or(|right| right == bytes);
            (is_it && !self.refused.contains(&name)).then_some((name, bytes))
        };
        let offered: Vec<(ObjectName, u64)> = names.iter().filter_map(offered).collect();
        let (_, bytes) = *offered.first()?;
        let objects = copies.iter().map(|copy| copy.name.clone()).collect();
        let from = offered.into_iter().map(|(name, _)| name).collect();
        Some(Fetch { objects, bytes, copies, content: lack.content.clone(), from })
    }

    /// Returns the relocation records of the other side about a pack that neither side has, and the
    /// packs that they name and this side lacks.
    pub(super) fn records_of(&self, near: &Repository, pack: PackName) -> Result<Vec<Fetch>> {
        let mut found = Vec::new();
        for (object, bytes) in self.inventory.others() {
            let Object::Relocation { pack: old, hash } = object else { continue };
            if old != pack {
                continue;
            }
            let Some(text) = self.record(near, &object)? else { continue };
            let objects = [Object::RelocationTwin { pack, hash }, object].map(|one| one.name());
            let copies = objects.iter().map(|name| BadCopy { name: name.clone(), is_there: false });
            let fetch = Fetch {
                copies: copies.collect(),
                objects: objects.to_vec(),
                bytes,
                content: Content::Relocation,
                from: vec![object.name()],
            };
            found.push(fetch);
            for name in text.packs {
                found.extend(self.pack_for(near, name)?);
            }
        }
        Ok(found)
    }

    /// Reads a relocation record of the other side; `None` if it is gone, or is none.
    fn record(&self, near: &Repository, object: &Object) -> Result<Option<Relocation>> {
        let (Object::Relocation { pack, .. }, name) = (object, object.name()) else {
            return Ok(None);
        };
        let Some(bytes) = read(self.store, &name, SMALL_OBJECT_BYTES_MAX)? else { return Ok(None) };
        if content_hash(&name) != Some(*blake3::hash(&bytes).as_bytes()) {
            return Ok(None);
        }
        let text = near.keyring().open_object(ObjectKind::Relocation, &pack.0, &bytes).ok();
        Ok(text.and_then(|text| Relocation::decode(&text).ok()))
    }

    /// Returns a pack that a relocation record names, unless it is here.
    fn pack_for(&self, near: &Repository, name: PackName) -> Result<Option<Fetch>> {
        let first = Object::Pack(name);
        let here = near.store().size(&first.name());
        if here.map_err(|e| e.named(format!("cannot look for {}", first.name())))?.is_some() {
            return Ok(None);
        }
        let objects = [Object::Twin(name), first];
        // What is stored twice there is stored twice here.
        let listed = objects.into_iter().filter(|one| self.inventory.size(one).is_some());
        let copies = listed.map(|one| BadCopy { name: one.name(), is_there: false }).collect();
        let content = Content::Pack(name);
        Ok(self.offer(&Lack { content, copies, bytes: None, words: Vec::new() }))
    }
}

/// Reads an object of the other side; `None` if it is gone, or can't be had in one piece.
fn read(store: &Arc<dyn Store>, name: &ObjectName, bytes_max: u64) -> Result<Option<Bytes>> {
    match store.get(name, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.category(), Category::NotFound | Category::Damaged) => {
            Ok(None)
        }
        Err(error) => Err(error.named(format!("cannot read {name}{THERE}"))),
    }
}

/// The result of bringing objects.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Names of the objects that were put.
    pub(super) put: Vec<ObjectName>,
    /// Packs of which both copies are whole now.
    pub(super) whole: BTreeSet<PackName>,
    /// What could not be brought, in words.
    pub(super) failed: Vec<String>,
    /// Bytes that were read on the other side.
    pub(super) bytes: u64,
}

/// Brings objects from the other side, several at a time.
pub(super) fn bring(
    near: &Repository,
    far: &Arc<dyn Store>,
    fetches: &[Fetch],
    workers: u32,
    monitor: &Monitor,
) -> Result<Brought> {
    let bringing = Bringing { near, far, monitor, done: Mutex::default() };
    let budget = (BYTES_A_WORKER * u64::from(workers.max(1))).min(BYTES_AT_ONCE_MAX);
    for rank in 0..=3 {
        let due = fetches.iter().filter(|fetch| fetch.rank() == rank);
        let shape = Shape { planner: "plan", workers, weight_max: budget, monitor };
        crew::in_order(
            shape,
            |planner| due.into_iter().try_for_each(|fetch| planner.work(fetch.bytes.max(1), fetch)),
            || |fetch: &Fetch| bringing.one(fetch),
            Ok,
        )?;
    }
    Ok(unlocked(bringing.done))
}

struct Bringing<'b> {
    near: &'b Repository,
    far: &'b Arc<dyn Store>,
    monitor: &'b Monitor,
    done: Mutex<Brought>,
}

impl Bringing<'_> {
    /// Brings an object. What goes wrong here is told, and others go on; a side that can't be
    /// reached ends the run.
    fn one(&self, fetch: &Fetch) -> Result<()> {
        self.monitor.check()?;
        let due = self.due(fetch);
        if !due.is_empty() {
            let Some(bytes) = self.bytes(fetch)? else {
                let what = "is not what its name says, or is gone";
                let words = format!("{}{THERE} {what}", fetch.source());
                lock(&self.done).failed.push(words);
                return Ok(());
            };
            for copy in due {
                match self.put(copy, &bytes) {
                    Ok(()) => lock(&self.done).put.push(copy.name.clone()),
                    Err(error) if is_final(error.kind()) => return Err(error),
                    Err(error) => {
                        lock(&self.done).failed.push(error.with_causes());
                        return Ok(());
                    }
                }
            }
        }
        lock(&self.done).whole.extend(fetch.pack());
        Ok(())
    }

    /// Returns the copies that are bad still: what another run has made good since is not touched.
    fn due<'c>(&self, fetch: &'c Fetch) -> Vec<&'c BadCopy> {
        let store = &**self.near.store();
        let is_bad = |copy: &&BadCopy| {
            let object = Object::parse(&copy.name).filter(|_| copy.is_there);
            let there = object.and_then(|one| {
                let bytes = store.get(&copy.name, PACK_BYTES_ACCEPTED_MAX).ok()?;
                Some(is_right(self.near, &one, &bytes))
            });
            there != Some(true)
        };
        fetch.copies.iter().filter(is_bad).collect()
    }

    /// Returns the bytes of an object, from whichever copy of the other side is what its name says.
    fn bytes(&self, fetch: &Fetch) -> Result<Option<Bytes>> {
        let object = fetch.objects.first().and_then(Object::parse);
        for name in &fetch.from {
            let Some(bytes) = read(self.far, name, PACK_BYTES_ACCEPTED_MAX)? else { continue };
            lock(&self.done).bytes += u64_of(bytes.len());
            self.monitor.count(Counter::FetchedBytes, u64_of(bytes.len()));
            self.monitor.count(Counter::StreamBytes, u64_of(bytes.len()));
            if object.is_some_and(|object| is_right(self.near, &object, &bytes)) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn put(&self, copy: &BadCopy, bytes: &Bytes) -> Result<()> {
        self.monitor.check()?;
        let (store, name) = (&**self.near.store(), &copy.name);
        if copy.is_there && Folder::holds_packs(name) {
            replace(store, name, bytes)?;
        } else if copy.is_there {
            // Between a deletion and a put nothing would say that there was a snapshot, or a note.
            let replaced = store.replace(name, std::slice::from_ref(bytes));
            replaced.map_err(|e| e.named(format!("cannot replace {name}")))?;
        } else {
            let put = store.put(name, std::slice::from_ref(bytes));
            put.map_err(|e| e.named(format!("cannot store {name}")))?;
        }
        self.monitor.count(Counter::StoredBytes, u64_of(bytes.len()));
        self.monitor.count(Counter::StoredObjects, 1);
        Ok(())
    }
}

/// Tells whether an error ends the run: there would be more of them.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Cancelled | ErrorKind::Full)
}

/// Returns the error of a place that is no copy of the repository.
pub(super) fn no_copy(far: &dyn Store) -> Error {
    let place = far.location();
    let what = format!("{place} holds another repository, whose packs have other names");
    Error::new(ErrorKind::OtherRepository, what)
}
