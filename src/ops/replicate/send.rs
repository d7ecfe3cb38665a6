//! Sends what was planned, and has it confirmed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
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
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::limits::SNAPSHOT_BYTES_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::CONFIG_BYTES;
use crate::format::config::Features;
use crate::format::intent::IntentVerb;
use crate::format::layout::Object;
use crate::format::pack_table::PackRecord;
use crate::ops::copies::replace;
use crate::ops::dependencies::first_lost;
use crate::ops::replicate::ASKED_SINGLY_MAX;
use crate::ops::replicate::Confirmation;
use crate::ops::replicate::CopyCost;
use crate::ops::replicate::FAR_SIDE;
use crate::ops::replicate::LeftOut;
use crate::ops::replicate::PACK_FOLDERS;
use crate::ops::replicate::ReplicateReport;
use crate::ops::replicate::Verified;
use crate::ops::replicate::far_error;
use crate::ops::replicate::plan::CopyBatch;
use crate::ops::replicate::plan::CopyPlan;
use crate::ops::replicate::plan::MovedShipment;
use crate::ops::replicate::plan::Shipment;
use crate::ops::replicate::plan::Target;
use crate::ops::replicate::plan::There;
use crate::ops::replicate::plan::listing_requests;
use crate::ops::replicate::small::is_announcement;
use crate::ops::replicate::small::is_intact;
use crate::ops::replicate::small::is_key_slot;
use crate::ops::run_intent::HoldingRun;
use crate::ops::survey::objects_of;
use crate::repo::features::EXTRA_REQUESTS;
use crate::repo::features::FeaturesSet;
use crate::repo::features::set_features;
use crate::repo::founding::extra_requests;
use crate::repo::founding::found;
use crate::repo::founding::put_and_compare;
use crate::repo::inventory::Inventory;
use crate::repo::renewal::RENEWAL_LISTINGS;
use crate::repo::snapshots::StoredSnapshot;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

impl CopyPlan<'_> {
    /// Sends everything that the plan names.
    pub fn send(mut self, world: &World) -> Result<ReplicateReport> {
        let monitor = &world.monitor;
        monitor.count(Counter::ExpectedBytes, self.cost().bytes + self.unread_bytes());
        let damaged = std::mem::take(&mut self.damaged);
        let first = Sending::new(&self, None, monitor, Spent { damaged, ..Spent::default() });
        first.features()?;
        first.small_objects()?;
        let mut spent = first.spent();
        if !self.needs_intent() {
            return self.send_snapshots(None, spent, monitor);
        }
        spent.cost.requests += self.intent_requests();
        let far = self.near.copy_in(Arc::clone(&self.far), self.has)?;
        let holds = self.held();
        let intent = HoldingRun::begin_with(&far, IntentVerb::Replicate, holds, world)?;
        let looked = intent.look().and_then(|fences| self.look_again(&far, &fences, world));
        if let Err(error) = looked {
            intent.give_up();
            return Err(error);
        }
        let report = self.send_snapshots(Some(&intent), spent, monitor)?;
        intent.finish()?;
        Ok(report)
    }

    /// Sends each snapshot behind all that it needs.
    fn send_snapshots(
        &self,
        intent: Option<&HoldingRun<'_>>,
        mut spent: Spent,
        monitor: &Arc<Monitor>,
    ) -> Result<ReplicateReport> {
        spent.damaged.extend(self.bad.iter().map(|name| {
            let object = Object::Pack(*name).name();
            format!("{object} is missing or has another size than its pack table says")
        }));
        let run = Sending::new(self, intent, monitor, spent);
        let mut report = ReplicateReport {
            there: self.there,
            removed_there: self.removed.clone(),
            ..ReplicateReport::default()
        };
        let mut absent = self.lost.clone();
        for batch in &self.batches {
            let id = batch.stored.id();
            run.packs(&batch.packs)?;
            run.moved(batch)?;
            match run.left_out(batch, &absent)? {
                Some(left_out) => {
                    absent.insert(left_out.snapshot.to_string());
                    report.left_out.push(left_out);
                    continue;
                }
                None if batch.there => run.check_snapshot(&batch.stored)?,
                None => {
                    run.snapshot(batch)?;
                    report.sent.push(id);
                }
            }
            if self.destination.doubtful.contains(&id) {
                report.left_out.extend(run.confirm_doubtful(batch)?);
            }
        }
        report.kept_records = run.resolve()?;
        let Spent { cost, verified, damaged, mended } = run.spent();
        Ok(ReplicateReport { damaged, verified, mended, cost, ..report })
    }
}

/// What a replication has cost and found so far.
#[derive(Debug, Default)]
struct Spent {
    cost: CopyCost,
    verified: Verified,
    damaged: Vec<String>,
    /// The objects that were put in the place of damaged ones.
    mended: Vec<String>,
}

/// A replication that is running.
struct Sending<'s> {
    plan: &'s CopyPlan<'s>,
    /// The intent of the run, once it has one.
    intent: Option<&'s HoldingRun<'s>>,
    monitor: &'s Arc<Monitor>,
    bad: Mutex<BTreeSet<PackName>>,
    damaged: Mutex<Vec<String>>,
    cost: Mutex<CopyCost>,
    verified: Mutex<Verified>,
    mended: Mutex<Vec<String>>,
    /// Packs that are whole there, as far as that was found out.
    whole: Mutex<BTreeSet<PackName>>,
}

impl<'s> Sending<'s> {
    fn new(
        plan: &'s CopyPlan<'s>,
        intent: Option<&'s HoldingRun<'s>>,
        monitor: &'s Arc<Monitor>,
        spent: Spent,
    ) -> Self {
        let Spent { cost, verified, damaged, mended } = spent;
        Self {
            plan,
            intent,
            monitor,
            bad: Mutex::new(plan.bad.clone()),
            damaged: Mutex::new(damaged),
            cost: Mutex::new(cost),
            verified: Mutex::new(verified),
            mended: Mutex::new(mended),
            whole: Mutex::default(),
        }
    }

    /// Ends it, and returns what it has cost and found.
    fn spent(self) -> Spent {
        let mut mended = unlocked(self.mended);
        mended.sort();
        Spent {
            cost: unlocked(self.cost),
            verified: unlocked(self.verified),
            damaged: unlocked(self.damaged),
            mended,
        }
    }

    /// Sets the features that the copy lacks, before it gets anything that may need them.
    fn features(&self) -> Result<()> {
        let CopyPlan { near, far, sets, earlier, .. } = self.plan;
        earlier.iter().try_for_each(|(name, bytes)| self.put(name, bytes))?;
        if *sets == Features::NONE {
            return Ok(());
        }
        self.monitor.check()?;
        match set_features(&**far, near.keyring(), *sets, FAR_SIDE)? {
            FeaturesSet::Now => {
                self.was_put(u64_of(CONFIG_BYTES));
                lock(&self.cost).requests += EXTRA_REQUESTS;
            }
            FeaturesSet::Before => lock(&self.cost).requests += 1,
        }
        Ok(())
    }

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
            first.iter().for_each(|(_, bytes)| self.was_put(u64_of(bytes.len())));
            lock(&self.cost).requests += extra_requests(at);
            rest = others;
        }
        let announcements = rest.iter().take_while(|(name, _)| is_announcement(name)).count();
        let (first, rest) = rest.split_at(announcements);
        first.iter().try_for_each(|(name, bytes)| self.put(name, bytes))?;
        self.renew()?;
        rest.iter().try_for_each(|(name, bytes)| self.put(name, bytes))?;
        self.plan.unread.iter().try_for_each(|(name, bytes)| self.check_small(name, bytes))
    }

    /// Puts what the other side has recorded, sealed with the keys that come next.
    fn renew(&self) -> Result<()> {
        let Some(renewal) = &self.plan.renewal else { return Ok(()) };
        renewal.require_unchanged()?;
        lock(&self.cost).requests += RENEWAL_LISTINGS;
        renewal.objects.iter().try_for_each(|(name, bytes)| self.put(name, bytes))
    }

    /// Reads a small object that is there. If it is not what was stored it is sent again.
    fn check_small(&self, name: &ObjectName, bytes: &Bytes) -> Result<()> {
        match self.read_far(name, SMALL_OBJECT_BYTES_MAX)? {
            Some(there) if is_key_slot(name) && there != *bytes && is_intact(name, &there) => {
                let what = format!("{name} is another one on the other side");
                lock(&self.damaged).push(what);
                Ok(())
            }
            Some(there) if there == *bytes || is_intact(name, &there) => {
                self.was_verified(u64_of(there.len()));
                Ok(())
            }
            Some(_) | None => self.mend(name, bytes),
        }
    }

    fn was_verified(&self, bytes: u64) {
        let mut verified = lock(&self.verified);
        verified.objects += 1;
        verified.bytes += bytes;
    }

    /// Gives an object of the other side, unless it is gone or can't be had in one piece.
    fn read_far(&self, name: &ObjectName, bytes_max: u64) -> Result<Option<Bytes>> {
        self.monitor.check()?;
        lock(&self.cost).requests += 1;
        match self.plan.far.get(name, bytes_max) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.category(), Category::NotFound | Category::Damaged) => {
                Ok(None)
            }
            Err(error) => Err(far_error("read", name)(error)),
        }
    }

    /// Puts an object in the place of a damaged one.
    fn mend(&self, name: &ObjectName, bytes: &Bytes) -> Result<()> {
        self.monitor.check()?;
        replace(&*self.plan.far, name, bytes)?;
        lock(&self.cost).requests += 1;
        self.was_put(u64_of(bytes.len()));
        lock(&self.mended).push(name.to_string());
        Ok(())
    }

    /// Removes damage records of packs that are whole now; the number of those that stay because
    /// they may not be removed.
    fn resolve(&self) -> Result<u64> {
        let mut kept = 0;
        for record in self.plan.known.resolved_by(&lock(&self.whole)) {
            match self.plan.far.delete(&record) {
                Ok(()) => {}
                Err(error) if error.category() == Category::Denied => kept += 1,
                Err(error) => return Err(far_error("remove", &record)(error)),
            }
        }
        Ok(kept)
    }

    fn put(&self, name: &ObjectName, bytes: &Bytes) -> Result<()> {
        self.monitor.check()?;
        let size = u64_of(bytes.len());
        if is_key_slot(name) {
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
        let mut sent: BTreeMap<Object, PackRecord> = BTreeMap::new();
        let connections = self.plan.options.connections.max(1);
        let workers = u32::try_from(packs.len()).map_or(connections, |all| all.min(connections));
        // Only names are handed over; the bytes are with the threads that work.
        let weight_max = u64::from(workers) * 2;
        crew::in_order(
            Shape { planner: "plan", workers, weight_max, monitor: self.monitor },
            |planner| packs.iter().try_for_each(|shipment| planner.work(1, shipment)),
            || |shipment: &Shipment| Ok((shipment.record, self.pack(shipment)?)),
            |(record, objects): (PackRecord, Vec<Object>)| {
                sent.extend(objects.into_iter().map(|object| (object, record)));
                Ok(())
            },
        )?;
        self.confirm(&sent)
    }

    /// Sends one pack, as far as it is lacking there and not damaged here; returns the objects that
    /// were sent.
    fn pack(&self, shipment: &Shipment) -> Result<Vec<Object>> {
        let record = &shipment.record;
        let mut lacking: Vec<&Target> = Vec::new();
        for target in &shipment.targets {
            if target.there == There::Absent || !self.is_right(record, &target.object.name())? {
                lacking.push(target);
            }
        }
        let mut sent = Vec::new();
        if !lacking.is_empty() {
            self.monitor.check()?;
            let Some(bytes) = self.fetch(record)? else {
                lock(&self.bad).insert(record.name);
                return Ok(sent);
            };
            for target in lacking {
                match target.there {
                    There::Absent => self.put(&target.object.name(), &bytes)?,
                    There::Damaged | There::Unread => self.mend(&target.object.name(), &bytes)?,
                }
                sent.push(target.object);
            }
        }
        lock(&self.whole).insert(record.name);
        Ok(sent)
    }

    /// Tells whether an object of the other side is what it should be.
    fn is_right(&self, record: &PackRecord, name: &ObjectName) -> Result<bool> {
        let there = self.read_far(name, PACK_BYTES_ACCEPTED_MAX)?;
        self.monitor.count(Counter::StreamBytes, record.bytes);
        let right = there.is_some_and(|there| *blake3::hash(&there).as_bytes() == record.name.0);
        if right {
            self.was_verified(record.bytes);
        }
        Ok(right)
    }

    /// Returns the bytes of a pack, from whichever copy of it is whole.
    fn fetch(&self, record: &PackRecord) -> Result<Option<Bytes>> {
        for object in objects_of(record) {
            let object = object.name();
            let found = self.plan.near.store().get(&object, PACK_BYTES_ACCEPTED_MAX);
            let problem = match found {
                Ok(bytes) => {
                    self.monitor.count(Counter::FetchedBytes, u64_of(bytes.len()));
                    if *blake3::hash(&bytes).as_bytes() == record.name.0 {
                        return Ok(Some(bytes));
                    }
                    "is damaged: its bytes do not match its name"
                }
                Err(error) if error.category() == Category::NotFound => "is missing",
                Err(error) if error.category() == Category::Damaged => "is damaged",
                Err(error) => return Err(error.named(format!("cannot read {object}"))),
            };
            lock(&self.damaged).push(format!("{object} {problem}"));
        }
        Ok(None)
    }

    /// Asks the other side for what it was sent.
    fn confirm(&self, sent: &BTreeMap<Object, PackRecord>) -> Result<()> {
        if self.plan.options.confirmation == Confirmation::ReadBack {
            return sent.iter().try_for_each(|(object, record)| self.read_back(object, record));
        }
        let far = &*self.plan.far;
        let lost = if sent.len() <= ASKED_SINGLY_MAX {
            let mut lost = None;
            for (object, record) in sent {
                let name = object.name();
                let size = far.size(&name).map_err(far_error("look for", &name))?;
                lost = lost.or((size != Some(record.bytes)).then_some(name));
            }
            lock(&self.cost).requests += u64_of(sent.len());
            lost
        } else {
            let there = Inventory::of(far, &PACK_FOLDERS, FAR_SIDE)?;
            let requests = listing_requests(there.count_of_packs());
            lock(&self.cost).requests += requests;
            let is_lost = |(object, record): &(&Object, &PackRecord)| {
                there.size(object) != Some(record.bytes)
            };
            sent.iter().find(is_lost).map(|(object, _)| object.name())
        };
        let Some(name) = lost else { return Ok(()) };
        // A prune there that has stopped this run deletes what it has sent.
        self.look()?;
        Err(unconfirmed(&name))
    }

    fn read_back(&self, object: &Object, record: &PackRecord) -> Result<()> {
        self.monitor.check()?;
        let name = &object.name();
        let bytes =
            self.plan.far.get(name, PACK_BYTES_ACCEPTED_MAX).map_err(far_error("read", name))?;
        lock(&self.cost).requests += 1;
        if *blake3::hash(&bytes).as_bytes() == record.name.0 {
            self.was_verified(record.bytes);
            return Ok(());
        }
        Err(unconfirmed(name))
    }

    /// Returns why a snapshot can't be there: something that it needs is damaged here.
    fn left_out(&self, batch: &CopyBatch, absent: &HashSet<String>) -> Result<Option<LeftOut>> {
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
        match first_lost(self.plan.near, stored, &bad, self.monitor)? {
            Some(why) => left_out(why),
            None => Ok(None),
        }
    }

    /// Puts the records of packs that were compacted here, when the packs are there to which their
    /// entries were moved.
    fn moved(&self, batch: &CopyBatch) -> Result<()> {
        for MovedShipment { pack, packs, records } in &batch.moved {
            let is_bad = packs.iter().any(|pack| lock(&self.bad).contains(pack));
            if is_bad {
                lock(&self.bad).insert(*pack);
                continue;
            }
            records.iter().try_for_each(|(name, bytes)| self.put(name, bytes))?;
        }
        Ok(())
    }

    /// Puts a snapshot, unless a prune there has stopped the run.
    fn snapshot(&self, batch: &CopyBatch) -> Result<()> {
        if let Some((name, bytes)) = &batch.note {
            self.put(name, bytes)?;
        }
        let bytes = self.snapshot_bytes(&batch.stored)?;
        self.look()?;
        self.put(&batch.stored.name.object(), &bytes)?;
        self.look()
    }

    /// Fails if a fence there names the run.
    fn look(&self) -> Result<()> {
        let Some(intent) = self.intent else { return Ok(()) };
        lock(&self.cost).requests += 1;
        intent.look().map(drop)
    }

    /// Confirms a snapshot that was doubtful there, now that it has all that it needs; returns why
    /// that is not possible.
    fn confirm_doubtful(&self, batch: &CopyBatch) -> Result<Option<LeftOut>> {
        let Some(intent) = self.intent else { return Ok(None) };
        self.look()?;
        lock(&self.cost).requests += 2;
        match intent.confirm(batch.stored.id()) {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::WriteOnly => {
                let why = "it is doubtful on the other side, and this key may not confirm it";
                Ok(Some(LeftOut::new(&batch.stored, why.to_owned())))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a snapshot that is there, if that was asked for.
    fn check_snapshot(&self, stored: &StoredSnapshot) -> Result<()> {
        if self.plan.options.confirmation == Confirmation::Listed {
            return Ok(());
        }
        let name = stored.name.object();
        match self.read_far(&name, u64_of(SNAPSHOT_BYTES_MAX))? {
            Some(there) if *blake3::hash(&there).as_bytes() == stored.id().0 => {
                self.was_verified(u64_of(there.len()));
                Ok(())
            }
            Some(_) | None => self.mend(&name, &self.snapshot_bytes(stored)?),
        }
    }

    fn snapshot_bytes(&self, stored: &StoredSnapshot) -> Result<Bytes> {
        let name = stored.name.object();
        let bytes = self
            .plan
            .near
            .store()
            .get(&name, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| e.named(format!("cannot read {name}")))?;
        if *blake3::hash(&bytes).as_bytes() != stored.id().0 {
            return Err(Error::damaged(&name, "it changed since it was read"));
        }
        Ok(bytes)
    }
}

fn unconfirmed(name: &ObjectName) -> Error {
    let what = format!("the other side took {name} and does not have it as it was sent");
    Error::new(ErrorKind::Store, what)
}
