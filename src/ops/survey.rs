//! Looks at every object that holds a pack which snapshots name: whether it is there, has its size,
//! and (if that is asked for) whether its bytes are what its name says.
//!
//! Objects are read whole, several at a time, as many as their bytes allow.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::buffers::ReadBuffers;
use crate::base::crew::ByteSemaphore;
use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::layout::Object;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::ops::batches;
use crate::ops::batches::Batch;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::lineage::TableNodes;
use crate::repo::needs::NeedsReader;
use crate::repo::needs::PackSet;
use crate::repo::snapshots::StoredSnapshot;
use crate::store::name::ObjectName;

/// Bytes of whole packs that are held at once, to be hashed: for each worker as much as its batches
/// would take, and no more than this.
const HASHED_BYTES_MAX: u64 = 64 << 20;
const HASHED_BYTES_A_WORKER: u64 = 16 << 20;

/// The depth to which a pack is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its size is compared.
    AtItsSize,
    /// Its bytes are read and compared with its name.
    AtItsBytes,
}

/// An object that holds a pack.
#[derive(Debug)]
pub(super) struct Copy {
    /// The object that holds this copy.
    pub(super) object: Object,
    /// The problem with it, if there is one.
    pub(super) problem: Option<Problem>,
}

/// A problem with an object.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is not there.
    Missing,
    /// It is there, and not what it should be, in words.
    Spoiled(String),
}

impl Problem {
    /// Tells what is wrong.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Missing => "is not there",
            Self::Spoiled(words) => words,
        }
    }
}

/// A pack that was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    /// The record of the pack in its table.
    pub(super) record: PackRecord,
    /// Its objects, the first copy first.
    pub(super) copies: Vec<Copy>,
}

impl Looked {
    /// Tells whether one of its objects is good.
    pub(super) fn is_whole(&self) -> bool {
        self.copies.iter().any(|copy| copy.problem.is_none())
    }

    /// Tells whether one of its objects is there, good or not.
    pub(super) fn is_there(&self) -> bool {
        self.copies.iter().any(|copy| !matches!(copy.problem, Some(Problem::Missing)))
    }
}

/// Finds the packs that snapshots name; `fail` hears of pack tables that can't be read.
pub(super) fn named_packs(
    repository: &Repository,
    snapshots: &[StoredSnapshot],
    monitor: &Arc<Monitor>,
    fail: &mut dyn FnMut(&StoredSnapshot, Error),
) -> Vec<PackRecord> {
    let mut packs: BTreeMap<PackName, PackRecord> = BTreeMap::new();
    let mut nodes = TableNodes::new(repository, monitor);
    for stored in snapshots {
        let mut add = |record: &PackRecord| _ = packs.insert(record.name, *record);
        if let Err(error) = nodes.new_records(&stored.snapshot.packs, &mut add) {
            fail(stored, error);
        }
    }
    packs.into_values().collect()
}

/// Leaves out the packs that were not listed, or not both copies of which, and that none of the
/// snapshots needs: whatever is left of them was deleted in part. Returns how many those are.
pub(super) fn leave_out_unneeded(
    repository: &Repository,
    snapshots: &[StoredSnapshot],
    inventory: &Inventory,
    packs: &mut Vec<PackRecord>,
    monitor: &Arc<Monitor>,
) -> Result<u64> {
    let is_listed = |object: &Object| inventory.size(object).is_some();
    let lacking = packs.iter().filter(|record| !objects_of(record).iter().all(is_listed));
    let mut lacking = PackSet::new(lacking.map(|record| record.name).collect());
    if lacking.is_empty() {
        return Ok(0);
    }
    NeedsReader::new(repository, monitor).mark_needed(snapshots, &mut lacking)?;
    let before = packs.len();
    packs.retain(|record| !lacking.is_unmarked(&record.name));
    Ok(u64_of(before - packs.len()))
}

/// Packs that were compacted away, with those to which their entries were moved.
pub(super) type Compacted = BTreeMap<PackName, Vec<PackName>>;

/// Puts in the place of packs that were compacted away those to which their entries were moved;
/// returns what was compacted. A pack that is there stays, moved or not.
pub(super) fn follow_moves(
    repository: &Repository,
    inventory: &Inventory,
    packs: &mut Vec<PackRecord>,
    monitor: &Arc<Monitor>,
) -> Result<Compacted> {
    let is_gone = |record: &PackRecord| {
        let first = Object::Pack(record.name);
        record.class == Class::Data && inventory.size(&first).is_none()
    };
    let mut compacted = Compacted::new();
    let reader = repository.packs(PackTable::default(), monitor);
    let mut names = Vec::new();
    for (object, _) in inventory.others() {
        if let Object::Relocation { pack, hash } | Object::RelocationTwin { pack, hash } = object {
            names.push((pack, hash));
        }
    }
    reader.take_move_names(names);
    loop {
        monitor.check()?;
        let mut added = Vec::new();
        packs.retain(|record| {
            let lists = is_gone(record).then(|| reader.known_compacted(&record.name)).flatten();
            let Some(lists) = lists else { return true };
            let to = lists.iter().filter_map(|list| list.compacted.clone()).flatten();
            let to: Vec<PackRecord> = to.collect();
            compacted.insert(record.name, to.iter().map(|record| record.name).collect());
            added.extend(to);
            false
        });
        added.retain(|record: &PackRecord| !compacted.contains_key(&record.name));
        if added.is_empty() {
            return Ok(compacted);
        }
        packs.extend(added);
        packs.sort_unstable_by_key(|record| record.name);
        packs.dedup_by_key(|record| record.name);
    }
}

/// Returns the objects that hold a pack, the first copy first.
pub(super) fn objects_of(record: &PackRecord) -> Vec<Object> {
    let first = Object::Pack(record.name);
    match record.class {
        Class::Data => vec![first],
        Class::Meta => vec![first, Object::Twin(record.name)],
    }
}

/// A look at many packs.
pub(super) struct Survey<'s> {
    /// The repository that the packs are of.
    pub(super) repository: &'s Repository,
    /// The listings of `packs/` and `twins/`.
    pub(super) inventory: &'s Inventory,
    /// Packs that are looked at side by side.
    pub(super) workers: u32,
    pub(super) monitor: &'s Arc<Monitor>,
}

impl Survey<'_> {
    /// Looks at packs, each as closely as `closely` says, and hands them to `take` in their order.
    pub(super) fn look_at(
        &self,
        packs: &[PackRecord],
        closely: &(dyn Fn(&PackRecord) -> Look + Sync),
        take: &mut dyn FnMut(Looked),
    ) -> Result<()> {
        let affordable = HASHED_BYTES_A_WORKER * u64::from(self.workers);
        let semaphore = ByteSemaphore::new(affordable.min(HASHED_BYTES_MAX));
        let surveyor = Surveyor { survey: self, semaphore };
        let to_read = packs.iter().filter(|record| closely(record) == Look::AtItsBytes);
        let expected = to_read.map(|record| record.bytes * u64_of(objects_of(record).len())).sum();
        self.monitor.count(Counter::ExpectedBytes, expected);
        let plan = |sender: &mut batches::Sender<'_, PackBatch>| {
            packs.iter().try_for_each(|record| sender.send(PackBatch(*record)))
        };
        let work = |PackBatch(record): PackBatch| surveyor.look(record, closely(&record));
        batches::in_order(self.workers, self.monitor, plan, work, |looked| {
            take(looked);
            Ok(())
        })
    }
}

struct Surveyor<'s> {
    survey: &'s Survey<'s>,
    semaphore: ByteSemaphore,
}

impl Surveyor<'_> {
    fn look(&self, record: PackRecord, closely: Look) -> Result<Looked> {
        let mut copies = Vec::new();
        for object in objects_of(&record) {
            self.survey.monitor.check()?;
            let problem = self.problem_of(&record, &object, closely)?;
            copies.push(Copy { object, problem });
        }
        Ok(Looked { record, copies })
    }

    fn problem_of(
        &self,
        record: &PackRecord,
        object: &Object,
        closely: Look,
    ) -> Result<Option<Problem>> {
        let Survey { repository, inventory, monitor, .. } = *self.survey;
        // A listing may be out of date: what it lacks is asked for by name.
        let found = match inventory.size(object) {
            Some(bytes) => Ok(Some(bytes)),
            None => repository.store().size(&object.name()),
        };
        let spoiled = |words| Ok(Some(Problem::Spoiled(words)));
        match found {
            Err(error) => spoiled(format!("can't be looked at: {error}")),
            Ok(None) => Ok(Some(Problem::Missing)),
            Ok(Some(bytes)) if bytes != record.bytes => {
                spoiled(format!("has {bytes} bytes, should have {}", record.bytes))
            }
            Ok(Some(_)) if closely == Look::AtItsSize => Ok(None),
            Ok(Some(bytes)) => {
                let _held = self.semaphore.hold(ReadBuffers::kept_for(bytes), monitor)?;
                Ok(self.read(record, &object.name()).map(Problem::Spoiled))
            }
        }
    }

    /// Returns what is wrong with the bytes of an object.
    fn read(&self, record: &PackRecord, object: &ObjectName) -> Option<String> {
        let bytes = match self.survey.repository.store().get(object, PACK_BYTES_ACCEPTED_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return Some(format!("can't be read: {error}")),
        };
        self.survey.monitor.count(Counter::StreamBytes, u64_of(bytes.len()));
        let right = *blake3::hash(&bytes).as_bytes() == record.name.0;
        (!right).then(|| "does not match its name: its bytes have changed".to_owned())
    }
}

struct PackBatch(PackRecord);

impl Batch for PackBatch {
    fn weight(&self) -> u64 {
        self.0.bytes
    }
}
