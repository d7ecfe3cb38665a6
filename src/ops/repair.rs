//! Makes good again what one good copy is left of in this repository: the second copies of meta
//! packs and of relocation records.
//!
//! Everything is looked at before anything is changed, and the plan can be shown first. Then each
//! copy is made, read back, and only then are damage records removed that mean nothing any more. A
//! verification of names, sizes and everything that was found damaged then finds what is still
//! lost.
//!
//! Invariants:
//! - A good copy is never touched.
//! - A copy is made only from bytes that are what their name says.
//! - Stopped anywhere, it leaves at least what could be read before; the next run goes on.
//!
//! It needs nothing from elsewhere: what has no good copy here comes back by a
//! [`replicate`](super::replicate) from another repository, or by the next backup.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::slice;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::intent::IntentVerb;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::pack_table::PackRecord;
use crate::ops::copies::replace;
use crate::ops::records;
use crate::ops::run_intent::HoldingRun;
use crate::ops::survey;
use crate::ops::survey::Copy;
use crate::ops::survey::Look;
use crate::ops::survey::Looked;
use crate::ops::survey::Problem;
use crate::ops::survey::Survey;
use crate::ops::verify::Depth;
use crate::ops::verify::VerifyOptions;
use crate::ops::verify::VerifyReport;
use crate::ops::verify::verify;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::repo::inventory::Inventory;
use crate::store::name::ObjectName;

/// A copy that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// Name of the copy that is made.
    pub object: ObjectName,
    /// The object that it is made from.
    pub from: ObjectName,
    /// The problem with the present copy.
    pub why: String,
    /// Something is there that must go first.
    is_there: bool,
}

/// A record that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// Name of the record that is removed.
    pub object: ObjectName,
    /// The reason why it means nothing any more.
    pub why: &'static str,
}

/// The plan of a repair.
#[derive(Debug)]
pub struct RepairPlan<'r> {
    repository: &'r Repository,
    workers: u32,
    /// Copies that the repair makes.
    pub make: Vec<Make>,
    /// Damage records that the repair removes.
    pub remove: Vec<Remove>,
    /// The objects that have no good copy here, in words.
    pub lost: Vec<String>,
}

/// The result of a repair.
#[derive(Debug)]
pub struct RepairReport {
    /// Copies that were made.
    pub made: Vec<ObjectName>,
    /// Records that were removed.
    pub removed: Vec<ObjectName>,
    /// The steps that could not be done, in words.
    pub failed: Vec<String>,
    /// The objects that have no good copy here, in words, unless `left` lists them.
    pub lost: Vec<String>,
    /// The report of what is still wrong.
    pub left: VerifyReport,
}

/// Looks at everything of which a repository has two copies, and at what is known to be damaged.
pub fn plan<'r>(repository: &'r Repository, workers: u32, world: &World) -> Result<RepairPlan<'r>> {
    let monitor = &world.monitor;
    let mut plan =
        RepairPlan { repository, workers, make: Vec::new(), remove: Vec::new(), lost: Vec::new() };
    let known = repository.known_damage()?;
    let listing = repository.snapshots()?;
    let folders = [Folder::Moves, Folder::Packs, Folder::Twins];
    let inventory = Inventory::of(&**repository.store(), &folders, "")?;
    let pairs = records::relocations(repository, &inventory, Look::AtItsBytes);
    let lost_relocations: BTreeSet<PackName> =
        pairs.iter().filter(|pair| good(&pair.copies).is_none()).map(|pair| pair.pack).collect();
    let mut packs = BTreeSet::new();
    let mut whole = BTreeSet::new();
    let closely = |record: &PackRecord| {
        let is_doubtful = known.names(&record.name) || lost_relocations.contains(&record.name);
        if record.class == Class::Meta || is_doubtful { Look::AtItsBytes } else { Look::AtItsSize }
    };
    plan.lost.extend(listing.damaged.iter().map(|(_, error)| error.with_causes()));
    let mut unread = Vec::new();
    let mut named =
        survey::named_packs(repository, &listing.snapshots, monitor, &mut |stored, error| {
            unread.push(format!("snapshot {}: {}", stored.id().short(), error.with_causes()));
        });
    let of = &listing.snapshots;
    let _left_out = survey::leave_out_unneeded(repository, of, &inventory, &mut named, monitor)?;
    let all_are_read = listing.damaged.is_empty() && unread.is_empty();
    plan.lost.extend(unread);
    let survey = Survey { repository, inventory: &inventory, workers, monitor };
    survey.look_at(&named, &closely, &mut |pack| {
        packs.insert(pack.record.name);
        if pack.is_whole() && closely(&pack.record) == Look::AtItsBytes {
            whole.insert(pack.record.name);
        }
        plan.pair(&pack.copies);
        plan.lost.extend(lost_words(&pack));
    })?;
    for pair in &pairs {
        let is_moot = good(&pair.copies).is_none() && whole.contains(&pair.pack);
        if is_moot {
            let there = pair.copies.iter().filter(|copy| !is_missing(copy));
            let why = "its bytes have changed, and its pack is whole";
            plan.remove.extend(there.map(|copy| Remove { object: copy.object.name(), why }));
            continue;
        }
        plan.pair(&pair.copies);
        if good(&pair.copies).is_none() {
            let what = "has changed, and so has its other copy";
            plan.lost.push(format!("{} {what}", pair.copies[0].object.name()));
        }
    }
    plan.lost.extend(repository.notes(None)?.damaged.iter().map(Error::with_causes));
    // A snapshot that can't be read may name any pack.
    plan.records_to_remove(&known, all_are_read.then_some(&packs), &whole);
    Ok(plan)
}

/// Returns the good one of several copies.
fn good(copies: &[Copy]) -> Option<&Copy> {
    copies.iter().find(|copy| copy.problem.is_none())
}

fn is_missing(copy: &Copy) -> bool {
    matches!(copy.problem, Some(Problem::Missing))
}

/// Returns what is wrong with a pack that has no good copy. A data pack that is not there may have
/// been replaced since; the verification at the end shows it.
fn lost_words(pack: &Looked) -> Vec<String> {
    if pack.is_whole() || pack.record.class == Class::Data && !pack.is_there() {
        return Vec::new();
    }
    let words = |copy: &Copy| {
        let problem = copy.problem.as_ref()?;
        Some(format!("{} {}", copy.object.name(), problem.words()))
    };
    pack.copies.iter().filter_map(words).collect()
}

impl RepairPlan<'_> {
    /// Plans to make each bad copy from the good one, if there is one.
    fn pair(&mut self, copies: &[Copy]) {
        let Some(from) = good(copies) else { return };
        for copy in copies {
            let Some(problem) = &copy.problem else { continue };
            self.make.push(Make {
                object: copy.object.name(),
                from: from.object.name(),
                why: problem.words().to_owned(),
                is_there: !is_missing(copy),
            });
        }
    }

    /// Plans to remove the damage records that mean nothing any more; `named` are the packs that
    /// snapshots name, if that is known of all of them.
    fn records_to_remove(
        &mut self,
        known: &KnownDamage,
        named: Option<&BTreeSet<PackName>>,
        whole: &BTreeSet<PackName>,
    ) {
        let mut why: BTreeMap<ObjectName, &'static str> = BTreeMap::new();
        for name in known.unreadable() {
            // What it is about is looked at again by the verification at the end.
            why.insert(name.clone(), "it can't be read");
        }
        let is_unnamed = |pack: &PackName| named.is_some_and(|named| !named.contains(pack));
        let unnamed: BTreeSet<PackName> = known.packs().filter(is_unnamed).collect();
        for name in known.resolved_by(&unnamed) {
            why.insert(name, "no snapshot names its pack");
        }
        for name in known.resolved_by(whole) {
            why.insert(name, "what it is about is whole");
        }
        self.remove.extend(why.into_iter().map(|(object, why)| Remove { object, why }));
    }

    /// Makes and removes what was planned, and looks what is left.
    pub fn run(self, world: &World) -> Result<RepairReport> {
        let monitor = &world.monitor;
        let (mut made, mut removed, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let intent = self.begin(world)?;
        for make in &self.make {
            monitor.check()?;
            match self.make(make, monitor) {
                Ok(()) => made.push(make.object.clone()),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => failed.push(error.with_causes()),
            }
        }
        intent.map(HoldingRun::finish).transpose()?;
        let options = VerifyOptions { workers: self.workers, ..VerifyOptions::new(Depth::Objects) };
        let left = verify(self.repository, &options, world)?;
        // Only after what they recorded has been recorded again.
        for Remove { object, .. } in &self.remove {
            monitor.check()?;
            match self.repository.store().delete(object) {
                Ok(()) => removed.push(object.clone()),
                Err(error) => {
                    let error = error.named(format!("cannot remove {object}"));
                    if error.kind() == ErrorKind::Cancelled {
                        return Err(error);
                    }
                    failed.push(error.with_causes());
                }
            }
        }
        let mut lost = self.lost;
        lost.retain(|lost| !left.findings.iter().any(|finding| finding.what == *lost));
        Ok(RepairReport { made, removed, failed, lost, left })
    }

    /// Announces the packs of which copies are made, if there are any: their names may stand on
    /// the list of a prune.
    fn begin(&self, world: &World) -> Result<Option<HoldingRun<'_>>> {
        let pack = |make: &Make| match Object::parse(&make.object) {
            Some(Object::Pack(name) | Object::Twin(name)) => Some(name),
            Some(_) | None => None,
        };
        let packs: BTreeSet<PackName> = self.make.iter().filter_map(pack).collect();
        if packs.is_empty() {
            return Ok(None);
        }
        HoldingRun::begin(self.repository, IntentVerb::Repair, &packs, world).map(Some)
    }

    fn make(&self, make: &Make, monitor: &Monitor) -> Result<()> {
        let Make { object, from, is_there, .. } = make;
        let store = &**self.repository.store();
        let right = |name: &ObjectName| {
            let bytes = store
                .get(name, PACK_BYTES_ACCEPTED_MAX)
                .map_err(|e| e.named(format!("cannot read {name}")))?;
            if content_hash(name) == Some(*blake3::hash(&bytes).as_bytes()) {
                return Ok(bytes);
            }
            Err(Error::damaged(name, "its bytes do not match its name"))
        };
        let bytes = right(from)?;
        if *is_there {
            replace(store, object, &bytes)?;
        } else {
            store
                .put(object, slice::from_ref(&bytes))
                .map_err(|e| e.named(format!("cannot store {object}")))?;
        }
        monitor.count(Counter::StoredBytes, u64_of(bytes.len()));
        monitor.count(Counter::StoredObjects, 1);
        right(object).map(|_| ())
    }
}
