//! Sends snapshots to another repository with the same keys: the objects that it lacks, byte for
//! byte.
//!
//! What a snapshot needs is its pack table, so nothing is opened but the meta packs that hold
//! tables. First everything is planned from listings of both sides: what will be sent is known to
//! the byte before anything is. Then the newest snapshot's packs go, then the snapshot, then the
//! next older one, which mostly needs nothing more.
//!
//! Invariants:
//! - A snapshot is put when everything that it needs is there and the other side has said so again
//!   when asked: a listing, or (if wished) the bytes read back.
//! - A pack is sent only if its bytes are what its name says. What is damaged here is not spread;
//!   snapshots that need it are left out and named, others are not held up by it.
//! - An increment goes behind the snapshots that it requires, which go with it.
//! - What is there is not sent again, whatever run put it there: an interrupted run is taken up
//!   where it stopped by the next one, and a copy that has lost packs gets them back.
//! - `moves/` and `damage/` speak of one copy only and are never sent.
//!
//! It does not send to a repository with other keys: that is what [`carry`](super::carry) does.

mod small;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
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
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::wide;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::pack_table::PackRecord;
use crate::format::snapshot::SnapshotKind;
use crate::repo::Repository;
use crate::repo::founding::extra_requests;
use crate::repo::founding::found;
use crate::repo::founding::put_and_compare;
use crate::repo::lineage::TableNodes;
use crate::repo::snapshots::Listing;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::repo::store_error;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

use small::is_holder;
use small::is_intact;
use small::is_new_place;
use small::is_wanted;
use small::other_holder;

use super::needs::needs_any;

/// Objects that one request lists.
const LISTED_PER_REQUEST: u64 = 1000;
/// Where packs are.
const PACK_FOLDERS: [Folder; 2] = [Folder::Packs, Folder::Twins];
/// What a copy gets.
const REPLICATED: [Folder; 6] =
    [Folder::Packs, Folder::Twins, Folder::Snapshots, Folder::Runs, Folder::Keys, Folder::Notes];
/// So many objects are asked for one by one before listing all is cheaper.
const ASKED_SINGLY_MAX: usize = 8;

/// How the other side confirms what it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// It tells names and sizes.
    Listed,
    /// It gives every pack back.
    ReadBack,
}

/// What a user asks of a replication.
#[derive(Debug, Clone)]
pub struct ReplicateOptions {
    /// The snapshots that shall be there, in any order.
    pub snapshots: Vec<StoredSnapshot>,
    /// Packs on their way at a time; each is held in memory.
    pub connections: u32,
    /// How the other side confirms.
    pub confirmation: Confirmation,
}

/// What a replication costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Cost {
    /// Bytes of the objects that are sent.
    pub bytes: u64,
    /// Objects that are sent.
    pub objects: u64,
    /// Requests to the other side, from the first object on.
    pub requests: u64,
}

impl Cost {
    fn object(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.objects += 1;
        self.requests += 1;
    }
}

/// A snapshot that could not be sent whole, and is therefore not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its source.
    pub source: String,
    /// When it was taken, seconds since 1970.
    pub time: u64,
    /// What of it is damaged or missing here.
    pub why: String,
}

impl LeftOut {
    pub(super) fn new(stored: &StoredSnapshot, why: String) -> LeftOut {
        let about = &stored.snapshot.about;
        let (source, time) = (about.source.clone(), about.time);
        LeftOut { snapshot: stored.id(), source, time, why }
    }
}

/// What came of a replication.
#[derive(Debug, Clone, Default)]
pub struct ReplicateReport {
    /// Snapshots that were put there, newest first.
    pub sent: Vec<SnapshotId>,
    /// Snapshots that were there before.
    pub there: u64,
    /// Snapshots that are not there.
    pub left_out: Vec<LeftOut>,
    /// Objects here that are damaged or missing, in words.
    pub damaged: Vec<String>,
    /// What it did cost.
    pub cost: Cost,
}

/// A copy of one object that is on its way.
#[derive(Debug, Clone)]
struct Shipment {
    record: PackRecord,
    /// Under which names the other side lacks it.
    targets: Vec<ObjectName>,
}

/// A wanted snapshot, and the packs that no newer one brings.
#[derive(Debug)]
struct Batch {
    stored: StoredSnapshot,
    /// Whether the snapshot itself is there.
    there: bool,
    packs: Vec<Shipment>,
}

/// What will be sent.
#[derive(Debug)]
pub struct Plan<'r> {
    near: &'r Repository,
    far: Arc<dyn Store>,
    options: ReplicateOptions,
    small: Vec<(ObjectName, Bytes)>,
    batches: Vec<Batch>,
    /// Packs that can't be had here and are not there.
    bad: BTreeSet<PackName>,
    /// Snapshots that others require and that can't be read.
    lost: HashSet<String>,
    damaged: Vec<String>,
    there: u64,
    far_packs: u64,
    cost: Cost,
}

/// Whether a store holds a repository, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarSide {
    /// There is none yet.
    Vacant,
    /// A copy of this one: the same id, the same keys.
    Same,
    /// Another repository.
    Other,
}

fn far_error(
    what: &str,
    name: &ObjectName,
) -> impl FnOnce(crate::store::error::StoreError) -> Error {
    let what = format!("cannot {what} {name} on the other side");
    move |cause| store_error(what, cause)
}

/// Looks what is in a store.
pub fn look(near: &Repository, far: &dyn Store) -> Result<FarSide> {
    let name = Object::Config.name();
    let there = match far.get(&name, SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.category() == Category::NotFound => return Ok(FarSide::Vacant),
        Err(error) => return Err(far_error("read", &name)(error)),
    };
    let here = near
        .store()
        .get(&name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| store_error("cannot read the config", e))?;
    if here == there {
        return Ok(FarSide::Same);
    }
    // The id stands in clear in both: one repository has one config for ever.
    let id = near.keyring().repository();
    let claims_ours = there.windows(id.bytes().len()).any(|window| window == id.bytes());
    if claims_ours {
        let what = format!("{} has the id of this repository and another config", far.location());
        return Err(Error::new(ErrorKind::Distrusted, what));
    }
    Ok(FarSide::Other)
}

/// Plans what is to be sent to a store that holds a copy of `near`, or nothing.
pub fn plan<'r>(
    near: &'r Repository,
    far: Arc<dyn Store>,
    options: ReplicateOptions,
    monitor: &Arc<Monitor>,
) -> Result<Plan<'r>> {
    let here = sizes(&**near.store(), &PACK_FOLDERS, "this side")?;
    let there = sizes(&*far, &REPLICATED, "the other side")?;
    let far_packs = wide(there.keys().filter(|name| Folder::holds_packs(name)).count());
    let mut plan = Plan {
        near,
        far,
        options,
        small: Vec::new(),
        batches: Vec::new(),
        bad: BTreeSet::new(),
        lost: HashSet::new(),
        damaged: Vec::new(),
        there: 0,
        far_packs,
        cost: Cost::default(),
    };
    plan.batches(&here, &there, monitor)?;
    plan.small_objects(&there)?;
    plan.cost = plan.reckon();
    Ok(plan)
}

fn sizes(store: &dyn Store, folders: &[Folder], side: &str) -> Result<HashMap<ObjectName, u64>> {
    let mut found = HashMap::new();
    for folder in folders {
        let prefix = folder.prefix();
        store
            .list(prefix, &mut |meta| {
                found.insert(meta.name, meta.size);
            })
            .map_err(|e| store_error(format!("cannot list {prefix} on {side}"), e))?;
    }
    Ok(found)
}

impl Plan<'_> {
    /// What it will cost.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Snapshots that will be sent.
    pub fn snapshots(&self) -> u64 {
        wide(self.batches.iter().filter(|batch| !batch.there).count())
    }

    /// Keys, the config, run records and notes of the snapshots that the other side lacks. The
    /// config goes behind the keys: whoever sees one finds a key that opens the repository.
    fn small_objects(&mut self, there: &HashMap<ObjectName, u64>) -> Result<()> {
        let mut names: Vec<ObjectName> = Vec::new();
        for folder in [Folder::Keys, Folder::Runs, Folder::Notes] {
            let prefix = folder.prefix();
            let list = self.near.store().list(prefix, &mut |meta| names.push(meta.name));
            list.map_err(|e| store_error(format!("cannot list {prefix}"), e))?;
        }
        let ids: HashSet<SnapshotId> = self.batches.iter().map(|batch| batch.stored.id()).collect();
        names.retain(|name| is_wanted(name, &ids));
        if is_new_place(self.near, &*self.far)? {
            names.push(Object::Config.name());
        }
        let rank = |name: &ObjectName| match Folder::of(name) {
            Some(Folder::Keys) => 0,
            None => 1,
            Some(_) => 2,
        };
        names.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        for name in names {
            if there.contains_key(&name) {
                let near = self.near.store();
                self.damaged.extend(other_holder(&**near, &*self.far, &name)?);
                continue;
            }
            match self.near.store().get(&name, SMALL_OBJECT_BYTES_MAX) {
                Ok(bytes) if is_intact(&name, &bytes) => self.small.push((name, bytes)),
                // A run's secret stands in its packs as well, a key may be one of several.
                Ok(_) => self.damaged.push(format!("{name} is damaged")),
                Err(error) if error.category() == Category::NotFound => {}
                Err(error) => return Err(store_error(format!("cannot read {name}"), error)),
            }
        }
        Ok(())
    }

    /// Which packs go with which snapshot.
    fn batches(
        &mut self,
        here: &HashMap<ObjectName, u64>,
        there: &HashMap<ObjectName, u64>,
        monitor: &Arc<Monitor>,
    ) -> Result<()> {
        let wanted = std::mem::take(&mut self.options.snapshots);
        let wanted = in_order(self.near, wanted, &mut self.lost)?;
        let mut nodes = TableNodes::new(self.near, monitor);
        let mut planned: HashSet<PackName> = HashSet::new();
        for stored in wanted {
            let is_there = there.contains_key(&stored.name.object());
            self.there += u64::from(is_there);
            let mut packs = Vec::new();
            nodes.new_records(&stored.snapshot.packs, &mut |record| {
                if !planned.insert(record.name) {
                    return;
                }
                let targets = lacking(record, there);
                if targets.is_empty() {
                    return;
                }
                if copies(record).any(|name| here.get(&name) == Some(&record.bytes)) {
                    packs.push(Shipment { record: *record, targets });
                } else if !there.contains_key(&Object::Pack(record.name).name()) {
                    self.bad.insert(record.name);
                }
            })?;
            self.batches.push(Batch { stored, there: is_there, packs });
        }
        self.damaged.extend(self.bad.iter().map(|name| {
            let object = Object::Pack(*name).name();
            format!("{object} is missing or has another size than its pack table says")
        }));
        Ok(())
    }

    /// Where the config is among the small objects, behind the keys, if the place is a new one.
    fn first_config(&self) -> Option<usize> {
        let config = Object::Config.name();
        self.small.iter().position(|(name, _)| *name == config)
    }

    /// The cost of what is planned.
    fn reckon(&self) -> Cost {
        let mut cost = Cost::default();
        self.small.iter().for_each(|(_, bytes)| cost.object(wide(bytes.len())));
        cost.requests += match self.first_config() {
            Some(keys) => extra_requests(keys),
            None => wide(self.small.iter().filter(|(name, _)| is_holder(name)).count()),
        };
        let mut far_packs = self.far_packs;
        for batch in &self.batches {
            let mut sent = 0;
            for shipment in &batch.packs {
                let copies = shipment.targets.len();
                (0..copies).for_each(|_| cost.object(shipment.record.bytes));
                sent += copies;
            }
            far_packs += wide(sent);
            cost.requests += self.confirming(sent, far_packs);
            if !batch.there {
                cost.object(self.snapshot_bytes(&batch.stored));
            }
        }
        cost
    }

    /// Requests that confirm `sent` objects.
    fn confirming(&self, sent: usize, far_packs: u64) -> u64 {
        match self.options.confirmation {
            Confirmation::ReadBack => wide(sent),
            Confirmation::Listed if sent <= ASKED_SINGLY_MAX => wide(sent),
            Confirmation::Listed => 2.max(far_packs.div_ceil(LISTED_PER_REQUEST)),
        }
    }

    fn snapshot_bytes(&self, stored: &StoredSnapshot) -> u64 {
        // It was read a moment ago, so it has a size.
        self.near.store().size(&stored.name.object()).ok().flatten().unwrap_or_default()
    }

    /// Sends everything.
    pub fn send(self, monitor: &Arc<Monitor>) -> Result<ReplicateReport> {
        monitor.count(Counter::ExpectedBytes, self.cost.bytes);
        let run = Sending {
            plan: &self,
            monitor,
            bad: Mutex::new(self.bad.clone()),
            damaged: Mutex::new(self.damaged.clone()),
            cost: Mutex::default(),
        };
        let mut report = ReplicateReport { there: self.there, ..ReplicateReport::default() };
        let mut absent = self.lost.clone();
        run.small_objects()?;
        for batch in &self.batches {
            run.packs(&batch.packs)?;
            match run.left_out(batch, &absent)? {
                Some(left_out) => {
                    absent.insert(left_out.snapshot.to_string());
                    report.left_out.push(left_out);
                }
                None if batch.there => {}
                None => {
                    run.snapshot(&batch.stored)?;
                    report.sent.push(batch.stored.id());
                }
            }
        }
        report.cost = *lock(&run.cost);
        report.damaged = unlocked(run.damaged);
        Ok(report)
    }
}

/// The snapshots, the newest first, but each behind those that it requires, also when nobody asked
/// for them. What is required and can't be read goes to `lost`.
pub(super) fn in_order(
    near: &Repository,
    mut wanted: Vec<StoredSnapshot>,
    lost: &mut HashSet<String>,
) -> Result<Vec<StoredSnapshot>> {
    wanted.sort_by_key(|stored| (stored.snapshot.about.time, stored.name.sequence, stored.id()));
    let chained = wanted.iter().any(|stored| !stored.snapshot.about.requires.is_empty());
    let names = if chained { near.snapshot_names(None)? } else { Vec::new() };
    let mut placed: HashSet<SnapshotId> = HashSet::new();
    let mut order: Vec<StoredSnapshot> = Vec::new();
    for stored in wanted.into_iter().rev() {
        // A chain is told as a whole, the full backup first.
        for id in &stored.snapshot.about.requires {
            let required = names.iter().find(|name| name.id.to_string() == *id);
            match required.map(|name| near.read_snapshot(name)) {
                Some(Ok(required)) if placed.insert(required.id()) => order.push(required),
                Some(Ok(_)) => {}
                Some(Err(error)) if error.kind() == ErrorKind::Store => return Err(error),
                Some(Err(_)) | None => {
                    lost.insert(id.clone());
                }
            }
        }
        if placed.insert(stored.id()) {
            order.push(stored);
        }
    }
    Ok(order)
}

/// Under which names the other side lacks a pack.
fn lacking(record: &PackRecord, there: &HashMap<ObjectName, u64>) -> Vec<ObjectName> {
    copies(record).filter(|name| !there.contains_key(name)).collect()
}

/// The names under which a repository keeps a pack.
fn copies(record: &PackRecord) -> impl Iterator<Item = ObjectName> {
    let twin = (record.class == Class::Meta).then(|| Object::Twin(record.name).name());
    std::iter::once(Object::Pack(record.name).name()).chain(twin)
}

/// A replication on its way.
struct Sending<'s> {
    plan: &'s Plan<'s>,
    monitor: &'s Arc<Monitor>,
    bad: Mutex<BTreeSet<PackName>>,
    damaged: Mutex<Vec<String>>,
    cost: Mutex<Cost>,
}

impl Sending<'_> {
    /// Sends keys, the config and other small objects. In a new place, keys and config are put as
    /// `init` puts them: another repository may be made there at the same moment.
    fn small_objects(&self) -> Result<()> {
        let small = &self.plan.small;
        let mut rest = small.as_slice();
        if let Some(at) = self.plan.first_config() {
            let (first, others) = small.split_at(at + 1);
            self.monitor.check()?;
            let entropy = &**self.plan.near.entropy();
            found(&*self.plan.far, &first[..at], &first[at].1, entropy)?;
            first.iter().for_each(|(_, bytes)| self.was_put(wide(bytes.len())));
            lock(&self.cost).requests += extra_requests(at);
            rest = others;
        }
        rest.iter().try_for_each(|(name, bytes)| self.put(name, bytes))
    }

    fn put(&self, name: &ObjectName, bytes: &Bytes) -> Result<()> {
        self.monitor.check()?;
        let size = wide(bytes.len());
        if is_holder(name) {
            put_and_compare(&*self.plan.far, name, bytes)?;
            lock(&self.cost).requests += 1;
        } else {
            let put = self.plan.far.put(name, std::slice::from_ref(bytes));
            put.map_err(far_error("write", name))?;
        }
        self.was_put(size);
        Ok(())
    }

    fn was_put(&self, bytes: u64) {
        self.monitor.count(Counter::StoredBytes, bytes);
        self.monitor.count(Counter::StoredObjects, 1);
        lock(&self.cost).object(bytes);
    }

    /// Sends packs, several at a time, and has them confirmed.
    fn packs(&self, packs: &[Shipment]) -> Result<()> {
        let mut sent: BTreeMap<ObjectName, PackRecord> = BTreeMap::new();
        let connections = self.plan.options.connections.max(1);
        let workers = u32::try_from(packs.len()).map_or(connections, |all| all.min(connections));
        // What is under way is names only; the bytes are with those who work.
        let weight_max = u64::from(workers) * 2;
        crew::in_order(
            Shape { workers, weight_max, monitor: self.monitor },
            |planner| packs.iter().try_for_each(|shipment| planner.work(1, shipment)),
            || |shipment: &Shipment| Ok(self.pack(shipment)?.then_some(shipment)),
            |shipment| {
                if let Some(Shipment { record, targets }) = shipment {
                    sent.extend(targets.iter().map(|name| (name.clone(), *record)));
                }
                Ok(())
            },
        )?;
        self.confirm(&sent)
    }

    /// Sends one pack, unless it is damaged here.
    fn pack(&self, shipment: &Shipment) -> Result<bool> {
        self.monitor.check()?;
        let name = shipment.record.name;
        let Some(bytes) = self.fetch(&shipment.record)? else {
            lock(&self.bad).insert(name);
            return Ok(false);
        };
        for target in &shipment.targets {
            self.put(target, &bytes)?;
        }
        Ok(true)
    }

    /// The bytes of a pack, from whichever copy of it is whole.
    fn fetch(&self, record: &PackRecord) -> Result<Option<Bytes>> {
        for object in copies(record) {
            let found = self.plan.near.store().get(&object, PACK_BYTES_ACCEPTED_MAX);
            let bytes = match found {
                Ok(bytes) => bytes,
                Err(error) => match error.category() {
                    Category::NotFound => {
                        lock(&self.damaged).push(format!("{object} is missing"));
                        continue;
                    }
                    Category::Damaged => {
                        lock(&self.damaged).push(format!("{object} is damaged"));
                        continue;
                    }
                    Category::Denied
                    | Category::Full
                    | Category::Conflict
                    | Category::Transient
                    | Category::Stopped
                    | Category::Other => {
                        return Err(store_error(format!("cannot read {object}"), error));
                    }
                },
            };
            self.monitor.count(Counter::FetchedBytes, wide(bytes.len()));
            if *blake3::hash(&bytes).as_bytes() == record.name.0 {
                return Ok(Some(bytes));
            }
            lock(&self.damaged)
                .push(format!("{object} is damaged: its bytes do not match its name"));
        }
        Ok(None)
    }

    /// Asks the other side for what it was sent.
    fn confirm(&self, sent: &BTreeMap<ObjectName, PackRecord>) -> Result<()> {
        let far = &*self.plan.far;
        if self.plan.options.confirmation == Confirmation::ReadBack {
            return sent.iter().try_for_each(|(name, record)| self.read_back(name, record));
        }
        let mut found: HashMap<ObjectName, u64> = HashMap::new();
        if sent.len() <= ASKED_SINGLY_MAX {
            for name in sent.keys() {
                let size = far.size(name).map_err(far_error("look for", name))?;
                found.extend(size.map(|size| (name.clone(), size)));
            }
            lock(&self.cost).requests += wide(sent.len());
        } else {
            found = sizes(far, &PACK_FOLDERS, "the other side")?;
            let requests = 2.max(wide(found.len()).div_ceil(LISTED_PER_REQUEST));
            lock(&self.cost).requests += requests;
        }
        match sent.iter().find(|(name, record)| found.get(name) != Some(&record.bytes)) {
            None => Ok(()),
            Some((name, _)) => Err(unconfirmed(name)),
        }
    }

    fn read_back(&self, name: &ObjectName, record: &PackRecord) -> Result<()> {
        self.monitor.check()?;
        let bytes =
            self.plan.far.get(name, PACK_BYTES_ACCEPTED_MAX).map_err(far_error("read", name))?;
        lock(&self.cost).requests += 1;
        if *blake3::hash(&bytes).as_bytes() == record.name.0 {
            return Ok(());
        }
        Err(unconfirmed(name))
    }

    /// Why a snapshot can't be there: something that it needs is damaged here.
    fn left_out(&self, batch: &Batch, absent: &HashSet<String>) -> Result<Option<LeftOut>> {
        let stored = &batch.stored;
        let about = &stored.snapshot.about;
        let left_out = |why| Ok(Some(LeftOut::new(stored, why)));
        if let Some(id) = about.requires.iter().find(|id| absent.contains(*id)) {
            let short = id.get(..8).unwrap_or(id);
            return left_out(format!("it requires snapshot {short}, which is not there"));
        }
        let bad = lock(&self.bad).clone();
        if bad.is_empty() {
            return Ok(None);
        }
        match needs_any(self.plan.near, stored, &bad, self.monitor)? {
            Some(why) => left_out(why),
            None => Ok(None),
        }
    }

    fn snapshot(&self, stored: &StoredSnapshot) -> Result<()> {
        let name = stored.name.object();
        let bytes = self
            .plan
            .near
            .store()
            .get(&name, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| store_error(format!("cannot read {name}"), e))?;
        if *blake3::hash(&bytes).as_bytes() != stored.id().0 {
            return Err(Error::damaged(&name, "it changed since it was read"));
        }
        self.put(&name, &bytes)
    }
}

fn unconfirmed(name: &ObjectName) -> Error {
    let what = format!("the other side took {name} and does not have it as it was sent");
    Error::new(ErrorKind::Store, what)
}

/// The snapshots of some sources (of all if none is named), at most `last` of each, and those that
/// can't be read. A checkpoint is left out when its source has anything newer: nobody restores it.
pub fn newest(near: &Repository, sources: &[String], last: Option<u32>) -> Result<Listing> {
    let mut listing = near.snapshots()?;
    let ids = sources.iter().map(|name| near.source_id(name)).collect::<Result<Vec<_>>>()?;
    let wanted = |name: &SnapshotName| ids.is_empty() || ids.contains(&name.source);
    listing.snapshots.retain(|stored| wanted(&stored.name));
    listing.damaged.retain(|(name, _)| wanted(name));
    listing.snapshots.sort_by_key(|stored| (stored.name.sequence, stored.id()));
    let mut of_source: HashMap<SourceId, u32> = HashMap::new();
    let mut kept: Vec<StoredSnapshot> = Vec::new();
    for stored in std::mem::take(&mut listing.snapshots).into_iter().rev() {
        let count = of_source.entry(stored.name.source).or_default();
        let superseded = *count > 0 && stored.snapshot.about.kind == SnapshotKind::Checkpoint;
        if !superseded && last.is_none_or(|last| *count < last) {
            *count += 1;
            kept.push(stored);
        }
    }
    Ok(Listing { snapshots: kept, ..listing })
}
