//! The plan of a replication: made from listings of both sides before anything is sent.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::CONFIG_BYTES;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::pack_table::PackRecord;
use crate::ops::replicate::ASKED_SINGLY_MAX;
use crate::ops::replicate::Confirmation;
use crate::ops::replicate::CopyCost;
use crate::ops::replicate::FAR_SIDE;
use crate::ops::replicate::LISTED_PER_REQUEST;
use crate::ops::replicate::PACK_FOLDERS;
use crate::ops::replicate::ReplicateOptions;
use crate::ops::replicate::in_order;
use crate::ops::replicate::small::is_intact;
use crate::ops::replicate::small::is_key_slot;
use crate::ops::replicate::small::is_wanted;
use crate::ops::replicate::small::lacking_features;
use crate::ops::replicate::small::other_key_slot;
use crate::ops::survey::objects_of;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::repo::features::EXTRA_REQUESTS;
use crate::repo::founding::extra_requests;
use crate::repo::inventory::Inventory;
use crate::repo::lineage::TableNodes;
use crate::repo::needs::NeedsReader;
use crate::repo::needs::PackSet;
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
}

/// The plan of a replication.
#[derive(Debug)]
pub struct CopyPlan<'r> {
    pub(super) near: &'r Repository,
    pub(super) far: Arc<dyn Store>,
    pub(super) options: ReplicateOptions,
    /// The features that the copy lacks and gets first.
    pub(super) sets: Features,
    /// The small objects that will be sent.
    pub(super) small: Vec<(ObjectName, Bytes)>,
    /// The small objects that are there and will be read.
    pub(super) unread: Vec<(ObjectName, Bytes)>,
    pub(super) batches: Vec<CopyBatch>,
    /// Packs that are needed, can't be had here and are not there.
    pub(super) bad: BTreeSet<PackName>,
    /// Snapshots that others require and that can't be read.
    pub(super) lost: HashSet<String>,
    pub(super) damaged: Vec<String>,
    /// The damage that the other side has recorded.
    pub(super) known: KnownDamage,
    pub(super) there: u64,
    far_packs: u64,
    cost: CopyCost,
}

/// Plans what is to be sent to a store that holds a copy of `near`, or nothing.
pub fn plan<'r>(
    near: &'r Repository,
    far: Arc<dyn Store>,
    options: ReplicateOptions,
    world: &World,
) -> Result<CopyPlan<'r>> {
    let monitor = &world.monitor;
    let here = Inventory::of(&**near.store(), &PACK_FOLDERS, " on this side")?;
    let there = Inventory::of(&*far, &REPLICATED, FAR_SIDE)?;
    let known = near.known_damage_in(&*far)?;
    let far_packs = there.count_of_packs();
    let mut plan = CopyPlan {
        near,
        far,
        options,
        sets: Features::NONE,
        small: Vec::new(),
        unread: Vec::new(),
        batches: Vec::new(),
        bad: BTreeSet::new(),
        lost: HashSet::new(),
        damaged: Vec::new(),
        known,
        there: 0,
        far_packs,
        cost: CopyCost::default(),
    };
    plan.batches(&here, &there, monitor)?;
    plan.small_objects(&there)?;
    plan.cost = plan.reckon();
    Ok(plan)
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

    /// Adds keys, the config, run records and notes of the snapshots that the other side lacks. The
    /// config goes after the keys: a reader that sees it finds a key that opens the repository.
    fn small_objects(&mut self, there: &Inventory) -> Result<()> {
        let folders = [Folder::Keys, Folder::Runs, Folder::Notes];
        let here = Inventory::of(&**self.near.store(), &folders, "")?;
        let known = here.others().map(|(object, _)| object.name());
        let mut names: Vec<ObjectName> = known.chain(here.unknown().cloned()).collect();
        let ids: HashSet<SnapshotId> = self.batches.iter().map(|batch| batch.stored.id()).collect();
        names.retain(|name| is_wanted(name, &ids));
        // After the snapshots were listed: this side has every feature that one of them needs.
        match lacking_features(self.near, &*self.far)? {
            None => names.push(Object::Config.name()),
            Some(lacks) => self.sets = lacks,
        }
        let rank = |name: &ObjectName| match Folder::of(name) {
            Some(Folder::Keys) => 0,
            None => 1,
            Some(_) => 2,
        };
        names.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        let read_back = self.options.confirmation == Confirmation::ReadBack;
        for name in names {
            let is_there = there.has(&name);
            if is_there && !read_back {
                let near = self.near.store();
                self.damaged.extend(other_key_slot(&**near, &*self.far, &name)?);
                continue;
            }
            let list = if is_there { &mut self.unread } else { &mut self.small };
            match self.near.store().get(&name, SMALL_OBJECT_BYTES_MAX) {
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
        here: &Inventory,
        there: &Inventory,
        monitor: &Arc<Monitor>,
    ) -> Result<()> {
        let wanted = std::mem::take(&mut self.options.snapshots);
        let wanted = in_order(self.near, wanted, &mut self.lost)?;
        let mut nodes = TableNodes::new(self.near, monitor);
        let mut planned: HashSet<PackName> = HashSet::new();
        let mut nowhere = Vec::new();
        for stored in wanted {
            let is_there = there.has(&stored.name.object());
            self.there += u64::from(is_there);
            let mut packs = Vec::new();
            nodes.new_records(&stored.snapshot.packs, &mut |record| {
                if !planned.insert(record.name) {
                    return;
                }
                let mut targets = targets(record, there, &self.known, self.options.confirmation);
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
            self.batches.push(CopyBatch { stored, there: is_there, packs });
        }
        self.bad = self.needed_of(nowhere, monitor)?;
        self.damaged.extend(self.bad.iter().map(|name| {
            let object = Object::Pack(*name).name();
            format!("{object} is missing or has another size than its pack table says")
        }));
        Ok(())
    }

    /// Returns those of some packs that a wanted snapshot needs: others are absent rightly.
    fn needed_of(
        &self,
        packs: Vec<PackName>,
        monitor: &Arc<Monitor>,
    ) -> Result<BTreeSet<PackName>> {
        if packs.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut packs = PackSet::new(packs);
        let wanted = self.batches.iter().map(|batch| &batch.stored);
        NeedsReader::new(self.near, monitor).mark_needed(wanted, &mut packs)?;
        Ok(packs.marked().copied().collect())
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
        self.small.iter().for_each(|(_, bytes)| cost.object(u64_of(bytes.len())));
        cost.requests += match self.first_config() {
            Some(keys) => extra_requests(keys),
            None => u64_of(self.small.iter().filter(|(name, _)| is_key_slot(name)).count()),
        };
        cost.requests += u64_of(self.unread.len());
        let mut far_packs = self.far_packs;
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
            if !batch.there {
                cost.object(self.snapshot_bytes(&batch.stored));
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
            Confirmation::Listed => 2.max(far_packs.div_ceil(LISTED_PER_REQUEST)),
        }
    }

    fn snapshot_bytes(&self, stored: &StoredSnapshot) -> u64 {
        // It was read a moment ago, so it has a size.
        self.near.store().size(&stored.name.object()).ok().flatten().unwrap_or_default()
    }
}

/// Returns what the other side lacks of a pack, or may lack.
fn targets(
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
