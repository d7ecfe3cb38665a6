//! Which of several hosts runs a job at one of its scheduled times.
//!
//! A claim in the repository decides, since that is what all of them share (FORMAT.md 10.11).
//!
//! ```text
//! list: nothing -> put a claim -> wait -> list: mine is the smallest -> won
//!       a claim -> wait (rank + 1) x takeover -> list: it has gone on -> wait again
//!                                                      it has ended   -> elsewhere
//!                                                      nothing new    -> put a claim after it
//! ```
//!
//! Before it lists, a host waits a tenth of that time for each node that is better, so that the
//! best one mostly wins. Two hosts that list at one time both put a claim; each sees both after the
//! wait, and the smaller one wins. For this a claim has to be there before half of the wait is
//! over, so one that took longer is withdrawn; not for ever, since a slow store must not keep the
//! job from running. Clocks of hosts are not compared: every time here is measured by one host. If
//! all fails, two hosts run the job: that costs time and is no danger to what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::entropy::random;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::ids::SourceId;
use crate::base::world::World;
use crate::repo::Repository;

pub use crate::format::slot::SlotEvent;
pub use crate::format::slot::SlotRecord;

/// The part of the time for a takeover that a host waits for each node that is better.
const YIELD: u32 = 10;

/// A host that stands ready for a slot of a job.
#[derive(Debug, Clone)]
pub struct Entrant {
    /// The name of the job.
    pub job: String,
    /// The scheduled time, seconds since 1970.
    pub slot: u64,
    /// The name of this host.
    pub host: String,
    /// The node of the cluster that it would back up.
    pub node: String,
    /// How many other nodes are better.
    pub rank: u32,
    /// The time without progress after which the next one takes over, times the rank and one.
    pub takeover: Duration,
    /// The time between a claim and the look at the claims of others.
    pub settle: Duration,
    /// Claims that are withdrawn since they came too late; the next one counts all the same.
    pub withdrawals_max: u32,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// This host runs the job.
    Won(Claim),
    /// Another host has run it; its last record.
    Elsewhere(SlotRecord),
}

/// A claim that was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id of the claim, 32 hexadecimal digits.
    pub id: String,
    /// How many claims before it were given up for dead.
    pub generation: u32,
}

/// How a slot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// There is no claim.
    Free,
    /// A claim holds it; how many records there are of it.
    Held { claim: SlotRecord, records: usize },
    /// The run of a claim has ended, with this record.
    Ended(SlotRecord),
}

impl Standing {
    fn of(records: &[SlotRecord]) -> Self {
        let is_of = |claim: &SlotRecord, event, record: &SlotRecord| {
            record.claim == claim.claim && record.about == event
        };
        let claims = records.iter().filter(|record| record.about == SlotEvent::Claim);
        let counts = claims.filter(|claim| {
            !records.iter().any(|record| is_of(claim, SlotEvent::Withdrawn, record))
        });
        let newest = counts.clone().map(|claim| claim.generation).max();
        let newest = counts.filter(|claim| Some(claim.generation) == newest);
        // Only a claim that was won has more than the claim itself. A smaller one beside it came
        // too late, and its host died before it could withdraw it.
        let has_won = |claim: &SlotRecord| {
            let of_winner = [SlotEvent::Progress, SlotEvent::End];
            of_winner
                .into_iter()
                .any(|event| records.iter().any(|other| is_of(claim, event, other)))
        };
        let Some(claim) = newest.min_by_key(|claim| (!has_won(claim), claim.claim.clone())) else {
            return Self::Free;
        };
        if let Some(end) = records.iter().find(|record| is_of(claim, SlotEvent::End, record)) {
            return Self::Ended(end.clone());
        }
        let records = records.iter().filter(|record| record.claim == claim.claim).count();
        Self::Held { claim: claim.clone(), records }
    }
}

/// What a contest does next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// List the records of the slot, and hand them over.
    List,
    /// Put a record about it.
    Put(SlotRecord),
    /// Wait for a time.
    Wait(Duration),
    /// Stop with this result.
    Stop(Taken),
}

/// Where the contest of one host is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// It lets better nodes go first.
    Yield,
    /// It is about to list.
    Look,
    /// It has asked for a list at this time.
    Looking { since: Duration },
    /// It has seen the claim of another host and the number of its records, and waits.
    Watching { claim: String, records: usize },
    /// It puts a claim, after a list that it asked for at this time.
    Claiming { claim: SlotRecord, since: Duration },
    /// It waits for the claims of others to show.
    Settling { claim: SlotRecord },
    /// It lists the claims of others.
    Counting { claim: SlotRecord },
}

/// The contest for a slot, as one host takes part in it: a machine without input and output, so
/// that a test can drive many of them through all orders.
#[derive(Debug, Clone)]
struct Contest<'e> {
    entrant: &'e Entrant,
    phase: Phase,
    /// The claim that was watched, and how many records it had.
    watched: Option<(String, usize)>,
    /// The last claim of this host that was not withdrawn.
    own: Option<String>,
    /// Claims that were withdrawn.
    withdrawn: u32,
}

impl<'e> Contest<'e> {
    fn new(entrant: &'e Entrant) -> Self {
        Self { entrant, phase: Phase::Yield, watched: None, own: None, withdrawn: 0 }
    }

    /// Returns what to do next. `seen` are the records that were listed, if a list was asked for;
    /// `id` is random.
    fn next(&mut self, now: Duration, seen: Option<&[SlotRecord]>, id: [u8; 16]) -> Action {
        match self.phase.clone() {
            Phase::Yield => {
                self.phase = Phase::Look;
                Action::Wait(self.entrant.takeover * self.entrant.rank / YIELD)
            }
            Phase::Look => {
                self.phase = Phase::Looking { since: now };
                Action::List
            }
            Phase::Looking { since } => self.looked(since, seen.unwrap_or_default(), id),
            Phase::Watching { claim, records } => {
                self.watched = Some((claim, records));
                self.phase = Phase::Looking { since: now };
                Action::List
            }
            Phase::Claiming { claim, since } => {
                let is_late = now.saturating_sub(since) > self.entrant.settle / 2;
                if is_late && self.withdrawn < self.entrant.withdrawals_max {
                    // It may have come too late for a host that has looked in between.
                    self.withdrawn += 1;
                    self.phase = Phase::Look;
                    self.own = None;
                    return Action::Put(SlotRecord { about: SlotEvent::Withdrawn, ..claim });
                }
                self.phase = Phase::Settling { claim };
                Action::Wait(self.entrant.settle)
            }
            Phase::Settling { claim } => {
                self.phase = Phase::Counting { claim };
                Action::List
            }
            Phase::Counting { claim } => self.counted(&claim, seen.unwrap_or_default()),
        }
    }

    fn looked(&mut self, since: Duration, seen: &[SlotRecord], id: [u8; 16]) -> Action {
        let generation = match Standing::of(seen) {
            Standing::Ended(end) => return Action::Stop(Taken::Elsewhere(end)),
            Standing::Free => 0,
            // The smaller claim, to which it had lost, was withdrawn.
            Standing::Held { claim, .. } if self.own.as_ref() == Some(&claim.claim) => {
                self.phase = Phase::Settling { claim };
                return Action::Wait(self.entrant.settle);
            }
            Standing::Held { claim, records } => {
                let is_dead = self.watched.as_ref() == Some(&(claim.claim.clone(), records));
                if !is_dead {
                    self.phase = Phase::Watching { claim: claim.claim, records };
                    return Action::Wait(self.entrant.takeover * (self.entrant.rank + 1));
                }
                claim.generation + 1
            }
        };
        let Entrant { host, node, .. } = self.entrant.clone();
        let claim = SlotRecord {
            about: SlotEvent::Claim,
            claim: hex::encode(&id),
            generation,
            time: 0,
            host,
            node,
            result: String::new(),
        };
        self.own = Some(claim.claim.clone());
        self.phase = Phase::Claiming { claim: claim.clone(), since };
        Action::Put(claim)
    }

    fn counted(&mut self, own: &SlotRecord, seen: &[SlotRecord]) -> Action {
        match Standing::of(seen) {
            Standing::Held { claim, .. } if claim.claim == own.claim => {
                let won = Claim { id: claim.claim, generation: claim.generation };
                Action::Stop(Taken::Won(won))
            }
            Standing::Ended(end) => Action::Stop(Taken::Elsewhere(end)),
            Standing::Held { .. } | Standing::Free => {
                self.phase = Phase::Look;
                Action::Wait(Duration::ZERO)
            }
        }
    }
}

/// Takes part in the contest for a slot until this host has won it or another one has run the job.
pub fn take(repository: &Repository, entrant: &Entrant, world: &World) -> Result<Taken> {
    let job = repository.slot_job(&entrant.job)?;
    let mut contest = Contest::new(entrant);
    let mut known = BTreeMap::new();
    let mut seen = None;
    loop {
        let now = world.clock.elapsed();
        match contest.next(now, seen.take().as_deref(), random(&*world.entropy)) {
            Action::List => {
                repository.read_slot(job, entrant.slot, &mut known)?;
                seen = Some(known.values().flatten().cloned().collect::<Vec<SlotRecord>>());
            }
            Action::Put(record) => {
                let record = SlotRecord { time: world.clock.unix_seconds(), ..record };
                repository.put_slot_record(job, entrant.slot, &record)?;
            }
            Action::Wait(time) => world.monitor.pause(time)?,
            Action::Stop(taken) => return Ok(taken),
        }
    }
}

/// Returns the last record of the newest slot before this one whose run has ended.
pub fn last(repository: &Repository, job: &str, slot: u64) -> Result<Option<SlotRecord>> {
    let job = repository.slot_job(job)?;
    let mut earlier: Vec<u64> = repository.slots_of(job)?;
    earlier.retain(|other| *other < slot);
    for slot in earlier.into_iter().rev() {
        if let Standing::Ended(end) = Standing::of(&records(repository, job, slot)?) {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// Reads all records about a slot.
fn records(repository: &Repository, job: SourceId, slot: u64) -> Result<Vec<SlotRecord>> {
    let mut known = BTreeMap::new();
    repository.read_slot(job, slot, &mut known)?;
    Ok(known.into_values().flatten().collect())
}

/// Whether a claim still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It is the newest one.
    Yes,
    /// Another host has taken over.
    No,
}

/// Puts a record about a claim that was won: that its run has gone on, or has ended.
pub fn tell(
    repository: &Repository,
    entrant: &Entrant,
    claim: &Claim,
    event: (SlotEvent, String),
    world: &World,
) -> Result<Counts> {
    let job = repository.slot_job(&entrant.job)?;
    let Entrant { host, node, slot, .. } = entrant.clone();
    let Claim { id, generation } = claim.clone();
    let (about, result) = event;
    let time = world.clock.unix_seconds();
    let record = SlotRecord { about, claim: id, generation, time, host, node, result };
    repository.put_slot_record(job, slot, &record)?;
    let seen = records(repository, job, slot)?;
    let is_later = |other: &SlotRecord| other.generation > claim.generation;
    Ok(if seen.iter().any(is_later) { Counts::No } else { Counts::Yes })
}

#[cfg(test)]
#[path = "slot/tests.rs"]
mod tests;
