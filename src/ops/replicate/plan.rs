//! The plan of a replication: made from listings of both sides before anything is sent.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::CONFIG_BYTES;
use crate::format::config::Features;
use crate::format::intent::Held;
use crate::format::intent::PART_HOLDS_MAX;
use crate::format::intent::held;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::note::Note;
use crate::format::note::RemovedElsewhere;
use crate::format::pack_table::PackRecord;
use crate::ops::replicate::ASKED_SINGLY_MAX;
use crate::ops::replicate::Confirmation;
use crate::ops::replicate::CopyCost;
use crate::ops::replicate::FAR_SIDE;
use crate::ops::replicate::FarFeatures;
use crate::ops::replicate::LISTED_PER_REQUEST;
use crate::ops::replicate::PACK_FOLDERS;
use crate::ops::replicate::ReplicateOptions;
use crate::ops::replicate::destination::Destination;
use crate::ops::replicate::in_order;
use crate::ops::replicate::small::far_features;
use crate::ops::replicate::small::is_intact;
use crate::ops::replicate::small::is_key_slot;
use crate::ops::replicate::small::is_of_later;
use crate::ops::replicate::small::is_wanted;
use crate::ops::replicate::small::other_key_slot;
use crate::ops::replicate::small::rank;
use crate::ops::run_intent::Holds;
use crate::ops::survey::objects_of;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::repo::features::EXTRA_REQUESTS;
use crate::repo::fences::Fences;
use crate::repo::founding::extra_requests;
use crate::repo::inventory::Inventory;
use crate::repo::lineage::TableNodes;
use crate::repo::needs::NeedsReader;
use crate::repo::needs::PackSet;
use crate::repo::removals::Removals;
use crate::repo::renewal::RENEWAL_LISTINGS;
use crate::repo::renewal::Renewal;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The folders that a copy gets.
const REPLICATED: [Folder; 6] =
    [Folder::Packs, Folder::Twins, Folder::Snapshots, Folder::Runs, Folder::Keys, Folder::Notes];

/// A pack that the other side lacks, or may lack.
#[derive(Debug, Clone)]
pub(super) struct Shipment {
    pub(super) record: PackRecord,
    /// The objects that hold it there.
    pub(super) targets: Vec<Target>,
}

/// A compacted pack that the other side gets.
#[derive(Debug)]
pub(super) struct MovedShipment {
    /// The name of the old pack.
    pub(super) pack: PackName,
    /// The packs that hold its entries.
    pub(super) packs: Vec<PackName>,
    /// The copies of its record.
    pub(super) records: Vec<(ObjectName, Bytes)>,
}

/// An object of the other side.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) object: Object,
    pub(super) there: There,
}

/// The state of an object there, as far as it is known before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It is not there.
    Absent,
    /// It is there, and known to be damaged.
    Damaged,
    /// It is there, and shall be read.
    Unread,
}

/// A wanted snapshot, and the packs that no newer one brings.
#[derive(Debug)]
pub(super) struct CopyBatch {
    pub(super) stored: StoredSnapshot,
    /// True if the snapshot itself is there.
    pub(super) there: bool,
    pub(super) packs: Vec<Shipment>,
    /// A note that goes before the snapshot: the one that it follows is not there.
    pub(super) note: Option<(ObjectName, Bytes)>,
    /// Compacted packs whose entries go with it.
    pub(super) moved: Vec<MovedShipment>,
}

/// The plan of a replication.
#[derive(Debug)]
pub struct CopyPlan<'r> {
    pub(super) near: &'r Repository,
    pub(super) far: Arc<dyn Store>,
    pub(super) options: ReplicateOptions,
    /// The features that the copy lacks and gets first.
    pub(super) sets: Features,
    /// A list of snapshots without intents that goes before anything else (FORMAT.md 10.1).
    pub(super) earlier: Option<(ObjectName, Bytes)>,
    /// The records that are sealed again there, before the new keys come.
    pub(super) renewal: Option<Renewal>,
    /// The small objects that will be sent.
    pub(super) small: Vec<(ObjectName, Bytes)>,
    /// The small objects that are there and will be read.
    pub(super) unread: Vec<(ObjectName, Bytes)>,
    pub(super) batches: Vec<CopyBatch>,
    /// Packs that are needed, can't be had here and are not there.
    pub(super) bad: BTreeSet<PackName>,
    /// Snapshots that others require and that can't be had.
    pub(super) lost: HashSet<String>,
    pub(super) damaged: Vec<String>,
    /// The damage that the other side has recorded.
    pub(super) known: KnownDamage,
    pub(super) there: u64,
    /// The features that the other side has, or gets first.
    pub(super) has: Features,
    /// What the other side says about snapshots.
    pub(super) destination: Destination,
    /// The snapshots that are not sent since they were removed there.
    pub(super) removed: Vec<SnapshotId>,
    /// The packs of the wanted snapshots, if the other side has intents.
    pub(super) holds: BTreeSet<Held>,
    /// What the other side listed.
    pub(super) listing: Inventory,
    cost: CopyCost,
}

/// Plans what is to be sent to a store that holds a copy of `near`, or nothing.
pub fn plan<'r>(
    near: &'r Repository,
    far: Arc<dyn Store>,
    mut options: ReplicateOptions,
    world: &World,
) -> Result<CopyPlan<'r>> {
    let here = packs_here(near)?;
    let listing = Inventory::of(&*far, &REPLICATED, FAR_SIDE)?;
    let known = near.known_damage_in(&*far)?;
    let mut lost = HashSet::new();
    let wanted = in_order(near, std::mem::take(&mut options.snapshots), &mut lost)?;
    // After the snapshots were listed: this side has every feature that one of them needs.
    let features = far_features(near, &*far)?;
    let (has, sets) = match features {
        None => (near.features(), Features::NONE),
        Some(FarFeatures { has, lacks }) => (has.with(lacks), lacks),
    };
    let mut destination = Destination::listed_in(&listing);
    let before = match features {
        Some(_) => copy_before(near, &far, has, &listing)?,
        None => None,
    };
    if features.is_some_and(|features| features.has.include(Features::INTENTS)) {
        let copy = match &before {
            Some(before) => before.clone(),
            None => near.copy_in(Arc::clone(&far), has)?,
        };
        destination.look(&copy, &copy.fences()?, wanted.iter())?;
    }
    let renewal = before.map(|before| near.renewal(before)).transpose()?;
    let mut plan = CopyPlan {
        near,
        far,
        options,
        sets,
        earlier: None,
        renewal,
        small: Vec::new(),
        unread: Vec::new(),
        batches: Vec::new(),
        bad: BTreeSet::new(),
        lost,
        damaged: Vec::new(),
        known,
        there: 0,
        has,
        destination,
        removed: Vec::new(),
        holds: BTreeSet::new(),
        listing,
        cost: CopyCost::default(),
    };
    plan.batches(wanted, &here, world)?;
    if features.is_some() {
        plan.list_earlier(world)?;
    }
    plan.small_objects(features)?;
    plan.cost = plan.reckon();
    Ok(plan)
}

/// Returns the copy as keys of an earlier generation show it, if those of a rotation have not come
/// there yet.
fn copy_before(
    near: &Repository,
    far: &Arc<dyn Store>,
    has: Features,
    listing: &Inventory,
) -> Result<Option<Repository>> {
    let generation = near.generation_before(&**far, listing)?;
    let before = |generation| near.copy_before(Arc::clone(far), has, generation);
    generation.map(before).transpose()
}

/// Lists the packs of this side.
fn packs_here(near: &Repository) -> Result<Inventory> {
    Inventory::of(&**near.store(), &PACK_FOLDERS, " on this side")
}

impl CopyPlan<'_> {
    /// Returns what the replication will cost.
    pub fn cost(&self) -> CopyCost {
        self.cost
    }

    /// Returns the features that will be set on the other side: programs that do not know them
    /// refuse it from then on.
    pub fn sets(&self) -> Features {
        self.sets
    }

    /// Returns the number of snapshots that will be sent.
    pub fn snapshots(&self) -> u64 {
        u64_of(self.batches.iter().filter(|batch| !batch.there).count())
    }

    /// Returns the snapshots that are not sent since they were removed there, the newest first.
    pub fn removed_there(&self) -> &[SnapshotId] {
        &self.removed
    }

    /// Adds a list of the snapshots that are there when intents begin, and of wanted ones of runs
    /// without intents that would be doubtful there.
    fn list_earlier(&mut self, world: &World) -> Result<()> {
        let wanted = self.batches.iter().map(|batch| &batch.stored);
        let mut wanted = wanted.filter(|stored| stored.snapshot.about.protocol.is_none());
        let is_list = |(object, _): (Object, u64)| {
            matches!(object, Object::Note { about: Subject::Began, .. })
        };
        let mut ids = BTreeSet::new();
        if self.sets.include(Features::INTENTS) {
            ids.extend(self.destination.ids());
            ids.extend(wanted.map(StoredSnapshot::id));
        } else if self.listing.others().any(is_list)
            && let Some(first) = wanted.next()
        {
            let earlier = self.near.copy_in(Arc::clone(&self.far), self.has)?.earlier()?;
            let doubted = std::iter::once(first).chain(wanted);
            let doubted =
                doubted.filter(|stored| earlier.doubts(stored.id(), &stored.snapshot.about));
            ids.extend(doubted.map(StoredSnapshot::id));
        }
        if !ids.is_empty() {
            self.earlier = Some(self.near.sealed_earlier(ids, world.clock.unix_seconds())?);
        }
        Ok(())
    }

    /// Adds keys, the config, run records and notes of the snapshots that the other side lacks. The
    /// config goes only to a place without a repository, which has no features, and after the keys:
    /// a reader that sees it finds a key that opens the repository.
    fn small_objects(&mut self, features: Option<FarFeatures>) -> Result<()> {
        let folders = [Folder::Keys, Folder::Runs, Folder::Notes];
        let here = Inventory::of(&**self.near.store(), &folders, "")?;
        let known = here.others().map(|(object, _)| object.name());
        let mut names: Vec<ObjectName> = known.chain(here.unknown().cloned()).collect();
        let ids: HashSet<SnapshotId> = self.batches.iter().map(|batch| batch.stored.id()).collect();
        names.retain(|name| is_wanted(name, &ids));
        if features.is_none() {
            names.push(Object::Config.name());
        }
        names.sort_by_cached_key(|name| (rank(name), name.clone()));
        let read_back = self.options.confirmation == Confirmation::ReadBack;
        let generation = self.near.keyring().generation();
        for name in names {
            let is_there = self.listing.has(&name);
            if is_there && !read_back {
                let near = self.near.store();
                self.damaged.extend(other_key_slot(&**near, &*self.far, &name)?);
                continue;
            }
            let list = if is_there { &mut self.unread } else { &mut self.small };
            match self.near.store().get(&name, SMALL_OBJECT_BYTES_MAX) {
                // Only its holder can seal again what the other side has recorded.
                Ok(bytes) if features.is_some() && is_of_later(&name, &bytes, generation) => {}
                Ok(bytes) if is_intact(&name, &bytes) => list.push((name, bytes)),
                // A run's secret stands in its packs as well, a key may be one of several.
                Ok(_) => self.damaged.push(format!("{name} is damaged")),
                Err(error) if error.category() == Category::NotFound => {}
                Err(error) => return Err(error.named(format!("cannot read {name}"))),
            }
        }
        Ok(())
    }

    /// Decides which packs go with which snapshot.
    fn batches(
        &mut self,
        wanted: Vec<StoredSnapshot>,
        here: &Inventory,
        world: &World,
    ) -> Result<()> {
        let monitor = &world.monitor;
        let there = std::mem::take(&mut self.listing);
        let wanted = self.without_removed(wanted);
        let mut nodes = TableNodes::new(self.near, monitor);
        let mut planned: HashSet<PackName> = HashSet::new();
        let (mut nowhere, mut lacking) = (Vec::new(), Vec::new());
        self.there = 0;
        for stored in wanted {
            let is_there = self.destination.lists(&stored.name);
            self.there += u64::from(is_there);
            let mut packs = Vec::new();
            nodes.new_records(&stored.snapshot.packs, &mut |record| {
                if !planned.insert(record.name) {
                    return;
                }
                let mut targets = targets(record, &there, &self.known, self.options.confirmation);
                let is_lacking = targets.iter().any(|target| target.there == There::Absent);
                lacking.extend(is_lacking.then_some(record.name));
                let can_be_sent =
                    objects_of(record).iter().any(|object| here.size(object) == Some(record.bytes));
                if !can_be_sent {
                    if there.size(&Object::Pack(record.name)).is_none() {
                        nowhere.push(record.name);
                        return;
                    }
                    targets.retain(|target| target.there != There::Absent);
                }
                if !targets.is_empty() {
                    packs.push(Shipment { record: *record, targets });
                }
            })?;
            let (note, moved) = (None, Vec::new());
            self.batches.push(CopyBatch { stored, there: is_there, packs, note, moved });
        }
        if self.has.include(Features::INTENTS) {
            self.holds = planned.iter().map(held).collect();
        }
        self.listing = there;
        self.leave_out_unneeded(nowhere, lacking, monitor)?;
        self.follow_moves(here)?;
        self.note_missing_parents(world)
    }

    /// Takes out the snapshots that were removed there, but for those that are there still because
    /// another one requires them.
    fn without_removed(&mut self, wanted: Vec<StoredSnapshot>) -> Vec<StoredSnapshot> {
        let is_removed = |stored: &StoredSnapshot| self.destination.removed.contains(&stored.id());
        let others = wanted.iter().filter(|stored| !is_removed(stored));
        let required: HashSet<String> =
            others.flat_map(|stored| stored.snapshot.about.requires.clone()).collect();
        let (kept, removed): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|stored| {
            let is_required = required.contains(&stored.id().to_string());
            !is_removed(stored) || is_required && self.destination.lists(&stored.name)
        });
        self.removed.extend(removed.iter().map(StoredSnapshot::id));
        self.lost.extend(removed.iter().map(|stored| stored.id().to_string()));
        kept
    }

    /// Takes out the packs that are lacking there and that no wanted snapshot needs: a prune there
    /// has deleted them, or a run has left them here. Those that are `nowhere` are missed if one
    /// needs them.
    fn leave_out_unneeded(
        &mut self,
        nowhere: Vec<PackName>,
        lacking: Vec<PackName>,
        monitor: &Arc<Monitor>,
    ) -> Result<()> {
        let mut needed = PackSet::new(lacking);
        let wanted = self.batches.iter().map(|batch| &batch.stored);
        NeedsReader::new(self.near, monitor).mark_needed(wanted, &mut needed)?;
        for batch in &mut self.batches {
            batch.packs.retain(|shipment| !needed.is_unmarked(&shipment.record.name));
        }
        self.bad = nowhere.into_iter().filter(|name| needed.is_marked(name)).collect();
        Ok(())
    }

    /// Adds a note to each snapshot that goes there without the one that it follows, since that was
    /// removed here or is left out: whoever misses it there is told why.
    fn note_missing_parents(&mut self, world: &World) -> Result<()> {
        let planned: HashSet<SnapshotId> =
            self.batches.iter().map(|batch| batch.stored.id()).collect();
        let parent = |batch: &CopyBatch| {
            let parent = batch.stored.snapshot.about.parent.as_deref();
            let parent = parent.and_then(SnapshotId::from_hex).filter(|_| !batch.there);
            parent.filter(|id| !planned.contains(id) && !self.destination.knows(*id))
        };
        let missing: Vec<Option<SnapshotId>> = self.batches.iter().map(parent).collect();
        if missing.iter().all(Option::is_none) || !has_newest_key(self.near)? {
            return Ok(());
        }
        let listed = self.near.listed_snapshots(None)?;
        let removals =
            if self.near.has_intents() { self.near.removals(None)? } else { Removals::default() };
        for (batch, parent) in self.batches.iter_mut().zip(missing) {
            let Some(parent) = parent else { continue };
            let is_left_out = match listed.iter().find(|name| name.id == parent) {
                // One that can't be read may come with a later run.
                Some(name) => can_be_read(self.near, name)?,
                None => self.near.removal_of(&removals, parent, &mut Vec::new())?.is_some(),
            };
            if is_left_out {
                let time = world.clock.unix_seconds();
                let note = RemovedElsewhere { time, snapshot: parent.to_string() };
                let note = Note::RemovedElsewhere(note);
                batch.note = Some(self.near.sealed_note(batch.stored.id(), &note)?);
            }
        }
        Ok(())
    }

    /// Looks again behind the intent at what the plan relies on, and plans anew if that has changed
    /// since: a prune there has removed snapshots, or deleted packs.
    pub(super) fn look_again(
        &mut self,
        far: &Repository,
        fences: &Fences,
        world: &World,
    ) -> Result<()> {
        let wanted = self.batches.iter().map(|batch| &batch.stored);
        let removed_more = self.destination.look(far, fences, wanted)?;
        let listing = Inventory::of(&*self.far, &PACK_FOLDERS, FAR_SIDE)?;
        if !removed_more && listing.has_packs_of(&self.listing) {
            return Ok(());
        }
        self.listing = listing;
        let wanted = std::mem::take(&mut self.batches);
        let wanted = wanted.into_iter().map(|batch| batch.stored).collect();
        self.batches(wanted, &packs_here(self.near)?, world)
    }

    /// Tells whether the run relies on anything there that could be deleted meanwhile.
    pub(super) fn needs_intent(&self) -> bool {
        let relies = |batch: &CopyBatch| {
            let is_doubtful = self.destination.doubtful.contains(&batch.stored.id());
            !batch.there || !batch.packs.is_empty() || is_doubtful
        };
        self.has.include(Features::INTENTS) && self.batches.iter().any(relies)
    }

    /// Returns what the intent of the run holds.
    pub(super) fn held(&mut self) -> Holds {
        // One that is there stays valid if this run is broken.
        let puts = self.batches.iter().filter(|batch| !batch.there);
        let puts = puts.map(|batch| batch.stored.id()).collect();
        Holds { packs: std::mem::take(&mut self.holds), puts }
    }

    /// Returns the number of requests that the intent costs, with the looks behind it and the
    /// deletion.
    pub(super) fn intent_requests(&self) -> u64 {
        if !self.needs_intent() {
            return 0;
        }
        let parts = u64_of(self.holds.len().div_ceil(PART_HOLDS_MAX).max(1));
        let keys = u64_of(self.near.keyring().closings().len());
        // Intents, fences and removals are listed, and at the end fences again. Each part of the
        // intent is put, read with the others, and deleted.
        keys + 4 + 3 * parts + listing_requests(self.listing.count_of_packs())
    }

    /// Returns the bytes of packs that are there and are to be read.
    pub(super) fn unread_bytes(&self) -> u64 {
        let shipments = self.batches.iter().flat_map(|batch| &batch.packs);
        let unread = |shipment: &Shipment| {
            let targets = shipment.targets.iter();
            let count = targets.filter(|target| target.there != There::Absent).count();
            shipment.record.bytes * u64_of(count)
        };
        shipments.map(unread).sum()
    }

    /// Returns where the config is among the small objects, after the keys, if the place is a new
    /// one.
    pub(super) fn first_config(&self) -> Option<usize> {
        let config = Object::Config.name();
        self.small.iter().position(|(name, _)| *name == config)
    }

    /// Adds up the cost of what is planned.
    fn reckon(&self) -> CopyCost {
        let mut cost = CopyCost::default();
        if self.sets != Features::NONE {
            cost.object(u64_of(CONFIG_BYTES));
            cost.requests += EXTRA_REQUESTS;
        }
        self.earlier.iter().for_each(|(_, bytes)| cost.object(u64_of(bytes.len())));
        if let Some(renewal) = &self.renewal {
            renewal.objects.iter().for_each(|(_, bytes)| cost.object(u64_of(bytes.len())));
            cost.requests += RENEWAL_LISTINGS;
        }
        self.small.iter().for_each(|(_, bytes)| cost.object(u64_of(bytes.len())));
        cost.requests += match self.first_config() {
            Some(keys) => extra_requests(keys),
            None => u64_of(self.small.iter().filter(|(name, _)| is_key_slot(name)).count()),
        };
        cost.requests += u64_of(self.unread.len());
        cost.requests += self.intent_requests();
        let mut far_packs = self.listing.count_of_packs();
        for batch in &self.batches {
            let mut sent = 0;
            for shipment in &batch.packs {
                for target in &shipment.targets {
                    // What is there is read first, and what is damaged there is deleted.
                    cost.requests += match target.there {
                        There::Absent => 0,
                        There::Unread => 1,
                        There::Damaged => 2,
                    };
                    if target.there != There::Unread {
                        cost.object(shipment.record.bytes);
                        sent += 1;
                        far_packs += u64::from(target.there == There::Absent);
                    }
                }
            }
            cost.requests += self.confirming(sent, far_packs);
            for (_, bytes) in batch.moved.iter().flat_map(|moved| &moved.records) {
                cost.object(u64_of(bytes.len()));
            }
            if let Some((_, bytes)) = &batch.note {
                cost.object(u64_of(bytes.len()));
            }
            if !batch.there {
                cost.object(self.snapshot_bytes(&batch.stored));
                // Fences are listed before and after it.
                cost.requests += if self.has.include(Features::INTENTS) { 2 } else { 0 };
            } else if self.options.confirmation == Confirmation::ReadBack {
                cost.requests += 1;
            }
        }
        cost
    }

    /// Returns the number of requests that confirm `sent` objects.
    fn confirming(&self, sent: usize, far_packs: u64) -> u64 {
        match self.options.confirmation {
            Confirmation::ReadBack => u64_of(sent),
            Confirmation::Listed if sent <= ASKED_SINGLY_MAX => u64_of(sent),
            Confirmation::Listed => listing_requests(far_packs),
        }
    }

    fn snapshot_bytes(&self, stored: &StoredSnapshot) -> u64 {
        // It was read a moment ago, so it has a size.
        self.near.store().size(&stored.name.object()).ok().flatten().unwrap_or_default()
    }
}

/// Returns the number of requests that list so many packs and second copies.
pub(super) fn listing_requests(packs: u64) -> u64 {
    2.max(packs.div_ceil(LISTED_PER_REQUEST))
}

/// Tells whether the key in use is not retired: what a retired one seals is not believed.
fn has_newest_key(near: &Repository) -> Result<bool> {
    match near.require_newest_key() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::RetiredSlot => Ok(false),
        Err(error) => Err(error),
    }
}

fn can_be_read(near: &Repository, name: &SnapshotName) -> Result<bool> {
    match near.read_any_snapshot(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Store => Err(error),
        Err(_) => Ok(false),
    }
}

/// Returns what the other side lacks of a pack, or may lack.
pub(super) fn targets(
    record: &PackRecord,
    there: &Inventory,
    known: &KnownDamage,
    confirmation: Confirmation,
) -> Vec<Target> {
    let is_damaged = known.names(&record.name);
    let state = |object: &Object| match there.size(object) {
        None => Some(There::Absent),
        Some(bytes) if is_damaged || bytes != record.bytes => Some(There::Damaged),
        Some(_) if confirmation == Confirmation::ReadBack => Some(There::Unread),
        Some(_) => None,
    };
    let target = |object: Object| state(&object).map(|there| Target { object, there });
    objects_of(record).into_iter().filter_map(target).collect()
}
