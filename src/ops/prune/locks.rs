//! Locks in a bucket with Object Lock: those of everything that the kept snapshots need to be
//! restored are extended before they end.
//!
//! The rule of a bucket locks an object when it is put, and an object that is put once may be
//! needed for years: without this, what the first backup stored is unprotected when the days of the
//! rule are over.
//!
//! Extended are the locks of `config`, `keys/`, `runs/`, the snapshots that are kept, `notes/`
//! (holds; lists of earlier snapshots), `fences/` and `cleared/` (which snapshots count), needed
//! packs with their second copies, and the relocation records of these packs in both copies. Left
//! out is what nothing is lost without: intents, removals, damage records, records of
//! verifications, claims. Objects of removed snapshots and garbage keep the locks that they have.
//!
//! A lock that lasts for half of the period stays as it is, any other lasts for all of it from then
//! on. So after a prune everything is locked for half of the period at least, and each lock is put
//! once in that time.
//!
//! # Cost
//!
//! One question for each object at every prune, one put for each in half of the period, a page of
//! each listing, and one question for the rule of the bucket. For 1.3 million packs and 35 days
//! that is 1.3 million questions a prune (0.52 USD at the prices of AWS in 2026, some 15 minutes
//! with 32 requests at once of 20 ms each) and as many puts every 17 days (6.50 USD).
//!
//! The store is asked each time, and nothing is recorded. A record would have to be believed: it is
//! wrong in a bucket that was copied, after a put of another version, and if a host that only
//! writes has put it. The price is far below that of a month of the storage.
//!
//! # Time
//!
//! The end of a lock is counted by this machine's clock. A store like S3 refuses requests of a
//! machine whose clock is wrong by a quarter of an hour, so it can't be further off.
//!
//! It is done after the intent of the prune is gone: no replicate waits for it, and a lock that is
//! extended on what another prune is about to delete only delays that.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::crew;
use crate::base::crew::Planner;
use crate::base::crew::Shape;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::ops::prune::view::View;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::PackMarks;
use crate::repo::snapshots::StoredSnapshot;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::lock::LockMode;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::name::ObjectName;

/// Requests at once: as many as a store gets at most.
const AT_ONCE: u32 = 32;
/// Failures after which no further lock is extended.
pub const FAILED_MAX: usize = 100;
/// Other folders whose objects are needed.
const FOLDERS: [Folder; 5] =
    [Folder::Keys, Folder::Runs, Folder::Notes, Folder::Fences, Folder::Cleared];

/// What became of the locks of objects that are needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// The end of the locks that were extended, seconds since 1970.
    pub until: u64,
    /// The lock that objects get when they are put, if it is known.
    pub rule: Option<LockRule>,
    /// The number of objects that are needed.
    pub needed: u64,
    /// The number of locks that last long enough as they are.
    pub stayed: u64,
    /// The number of locks that were extended.
    pub extended: u64,
    /// The number of objects that had no lock and have one now.
    pub new: u64,
    /// The number of objects that were gone when their locks were asked for.
    pub gone: u64,
    /// Locks that could not be extended, in words; at most [`FAILED_MAX`] and those that were
    /// under way then.
    pub failed: Vec<String>,
    /// True if the store failed for longer than requests are repeated.
    is_unreachable: bool,
}

impl Locks {
    /// Returns the number of objects whose locks were not looked at, because too much failed.
    pub fn left(&self) -> u64 {
        let done = self.stayed + self.extended + self.new + self.gone + u64_of(self.failed.len());
        self.needed.saturating_sub(done)
    }
}

/// The objects that the kept snapshots need.
#[derive(Debug)]
pub(super) struct Lockable<'i> {
    inventory: &'i Inventory,
    live: PackMarks<'i>,
    /// Snapshots, and relocation records of needed packs.
    others: Vec<ObjectName>,
}

impl<'i> Lockable<'i> {
    /// Finds the objects, among the packs of an inventory.
    pub(super) fn new(inventory: &'i Inventory, view: &View, live: PackMarks<'i>) -> Self {
        let mut others: Vec<ObjectName> =
            view.kept().map(|stored: &StoredSnapshot| stored.name.object()).collect();
        let moves = view.moves.iter().filter(|(pack, _)| live.contains(pack));
        others.extend(moves.flat_map(|(_, records)| records).map(Object::name));
        Self { inventory, live, others }
    }

    fn packs(&self) -> impl Iterator<Item = Object> {
        let packs = self.inventory.packs().map(|(pack, _)| pack);
        let twins = self.inventory.twins().map(|(pack, _)| pack);
        let live = |pack: &_| self.live.contains(pack);
        let firsts = packs.filter(live).map(Object::Pack);
        twins.filter(live).map(Object::Twin).chain(firsts)
    }
}

/// Extends the locks of needed objects to the end of a period, where they end in its first half.
pub(super) fn extend(
    repository: &Repository,
    mut lockable: Lockable<'_>,
    period: Duration,
    world: &World,
) -> Result<Locks> {
    let now = world.clock.unix_seconds();
    let (enough, until) = (now + period.as_secs() / 2, now + period.as_secs());
    let mut locks = Locks { until, ..Locks::default() };
    match repository.store().lock_rule() {
        Ok(rule) => locks.rule = rule,
        // It may be hidden from this user, and extending nevertheless allowed.
        Err(error) if error.category() == Category::Denied => {}
        Err(error) => {
            locks.fail(error)?;
            return Ok(locks);
        }
    }
    // A lock in COMPLIANCE mode can't be undone, so that mode is chosen by the bucket's owner.
    let mode = locks.rule.map_or(LockMode::Governance, |rule| rule.mode);
    let term = LockTerm { enough, until, mode };
    let others = match Inventory::of(&**repository.store(), &FOLDERS, "") {
        Ok(others) => others,
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
        Err(error) => {
            locks.failed.push(error.with_causes());
            return Ok(locks);
        }
    };
    // The list of what a prune kept goes with the next change.
    let is_list = |object: &Object| matches!(object, Object::Note { about: Subject::Kept, .. });
    let objects = others.others().map(|(object, _)| object).filter(|object| !is_list(object));
    lockable.others.extend(objects.map(|object| object.name()));
    locks.needed = 1 + u64_of(lockable.others.len()) + u64_of(lockable.packs().count());
    // What is wrong with all of them is wrong with the first.
    let config = Object::Config.name();
    locks.note(repository.store().extend_lock(&config, &term))?;
    if locks.failed.is_empty() {
        extend_all(repository, &lockable, &term, &mut locks, world)?;
    }
    Ok(locks)
}

/// Extends the locks side by side.
fn extend_all(
    repository: &Repository,
    lockable: &Lockable<'_>,
    term: &LockTerm,
    locks: &mut Locks,
    world: &World,
) -> Result<()> {
    let monitor = &*world.monitor;
    let shape =
        Shape { planner: "plan", workers: AT_ONCE, weight_max: 4 * u64::from(AT_ONCE), monitor };
    let enough = AtomicBool::new(false);
    let plan = |planner: Planner<'_, ObjectName, _>| {
        let mut names =
            lockable.others.iter().cloned().chain(lockable.packs().map(|object| object.name()));
        names.try_for_each(|name| {
            if enough.load(Ordering::Relaxed) { Ok(()) } else { planner.work(1, name) }
        })
    };
    let work = || |name: ObjectName| Ok(repository.store().extend_lock(&name, term));
    crew::in_order(shape, plan, work, |result| {
        locks.note(result)?;
        let is_enough = locks.failed.len() >= FAILED_MAX || locks.is_unreachable;
        enough.fetch_or(is_enough, Ordering::Relaxed);
        Ok(())
    })
}

impl Locks {
    fn note(&mut self, result: std::result::Result<LockOutcome, StoreError>) -> Result<()> {
        match result {
            Ok(LockOutcome::Stays) => self.stayed += 1,
            Ok(LockOutcome::Extended) => self.extended += 1,
            Ok(LockOutcome::New) => self.new += 1,
            Err(error) if error.category() == Category::NotFound => self.gone += 1,
            Err(error) => self.fail(error)?,
        }
        Ok(())
    }

    /// Notes a failure. The deletions are done, so it does not end the prune, as the wish to stop
    /// does.
    fn fail(&mut self, error: StoreError) -> Result<()> {
        if error.category() == Category::Stopped {
            return Err(error.named("locks are not extended"));
        }
        self.is_unreachable |= error.category() == Category::Transient;
        self.failed.push(error.with_causes());
        Ok(())
    }
}
