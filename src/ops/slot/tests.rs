//! Many hosts contend for one slot, in a store whose requests take any time and take effect at any
//! moment of it; hosts die at any request.

use std::collections::BTreeSet;

use super::*;
use crate::base::entropy::Entropy;
use crate::base::entropy::SeededEntropy;

const SETTLE: u64 = 10_000;
const TAKEOVER: u64 = 600_000;

fn entrant(rank: u32) -> Entrant {
    Entrant {
        job: "nightly".to_owned(),
        slot: 1_000,
        host: format!("host{rank}"),
        node: format!("db{rank}"),
        rank,
        takeover: Duration::from_millis(TAKEOVER),
        settle: Duration::from_millis(SETTLE),
        withdrawals_max: u32::MAX,
    }
}

/// What a host is about to do, or what has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Asks { seen: Option<Vec<SlotRecord>> },
    Lists { back: u64 },
    Runs { claim: Claim, records_left: u64 },
    Dead,
    Stopped { has_run: bool },
}

struct Host<'e> {
    contest: Contest<'e>,
    stage: Stage,
    /// The request at which it dies.
    dies_at: Option<u64>,
    requests: u64,
}

/// A simulation: milliseconds, and what happens at them.
struct World<'e> {
    random: SeededEntropy,
    slowest: u64,
    hosts: Vec<Host<'e>>,
    /// The hosts that go on, by time.
    queue: BTreeSet<(u64, usize)>,
    /// The records in the store, by the time from which they are listed.
    stored: Vec<(u64, SlotRecord)>,
    /// The claims that were won.
    won: Vec<(u64, Claim)>,
}

impl<'e> World<'e> {
    fn new(entrants: &'e [Entrant], seed: u64) -> Self {
        let random = SeededEntropy::new(seed);
        // In some worlds a request takes longer than a claim may.
        let slowest = [50, 2_000, 9_000][usize::try_from(below(&random, 3)).unwrap()];
        let hosts = entrants.iter().map(|entrant| Host {
            contest: Contest::new(entrant),
            stage: Stage::Asks { seen: None },
            dies_at: (below(&random, 3) == 0).then(|| below(&random, 12)),
            requests: 0,
        });
        let hosts: Vec<_> = hosts.collect();
        let queue = (0..hosts.len()).map(|host| (below(&random, 2 * SETTLE), host)).collect();
        Self { random, slowest, hosts, queue, stored: Vec::new(), won: Vec::new() }
    }

    fn run(&mut self) {
        for _step in 0..5_000 {
            let Some((now, host)) = self.queue.pop_first() else { return };
            if let Some(next) = self.step(now, host) {
                self.queue.insert((next, host));
            }
        }
        panic!("it goes on for ever");
    }

    /// Lets a host act, and returns when it acts again.
    fn step(&mut self, now: u64, index: usize) -> Option<u64> {
        let host = &mut self.hosts[index];
        match host.stage.clone() {
            Stage::Dead | Stage::Stopped { .. } => None,
            Stage::Runs { claim, records_left } => self.go_on(now, index, &claim, records_left),
            Stage::Lists { back } => {
                let seen = self.stored.iter().filter(|(from, _)| *from <= now);
                let seen = seen.map(|(_, record)| record.clone()).collect();
                self.hosts[index].stage = Stage::Asks { seen: Some(seen) };
                Some(back)
            }
            Stage::Asks { seen } => {
                host.stage = Stage::Asks { seen: None };
                let id = random(&self.random);
                let action = host.contest.next(Duration::from_millis(now), seen.as_deref(), id);
                match action {
                    Action::Wait(time) => Some(now + u64::try_from(time.as_millis()).unwrap()),
                    Action::Stop(Taken::Elsewhere(_)) => {
                        host.stage = Stage::Stopped { has_run: false };
                        None
                    }
                    Action::Stop(Taken::Won(claim)) => {
                        self.won.push((now, claim.clone()));
                        let records_left = 1 + below(&self.random, 6);
                        self.hosts[index].stage = Stage::Runs { claim, records_left };
                        Some(now)
                    }
                    Action::Put(record) => self.put(now, index, record),
                    Action::List => {
                        let (effect, back) = self.request(now, index)?;
                        self.hosts[index].stage = Stage::Lists { back };
                        Some(effect)
                    }
                }
            }
        }
    }

    fn go_on(&mut self, now: u64, index: usize, claim: &Claim, left: u64) -> Option<u64> {
        let Entrant { host, node, .. } = entrant(0);
        let about = if left == 0 { SlotEvent::End } else { SlotEvent::Progress };
        let record = SlotRecord {
            about,
            claim: claim.id.clone(),
            generation: claim.generation,
            time: now,
            host,
            node,
            result: String::new(),
        };
        self.put(now, index, record)?;
        if left == 0 {
            self.hosts[index].stage = Stage::Stopped { has_run: true };
            return None;
        }
        self.hosts[index].stage = Stage::Runs { claim: claim.clone(), records_left: left - 1 };
        Some(now + TAKEOVER / 2)
    }

    /// Counts a request, and returns when it takes effect and when it is answered; nothing if the
    /// host dies at it.
    fn request(&mut self, now: u64, index: usize) -> Option<(u64, u64)> {
        let host = &mut self.hosts[index];
        host.requests += 1;
        if host.dies_at == Some(host.requests) {
            host.stage = Stage::Dead;
            return None;
        }
        let takes = 1 + below(&self.random, self.slowest);
        Some((now + below(&self.random, takes), now + takes))
    }

    fn put(&mut self, now: u64, index: usize, record: SlotRecord) -> Option<u64> {
        // One that dies at a put may have put it.
        let may_be_put = self.hosts[index].stage.clone();
        let Some((effect, back)) = self.request(now, index) else {
            if below(&self.random, 2) == 0 && may_be_put != Stage::Dead {
                self.stored.push((now + self.slowest, record));
            }
            return None;
        };
        self.stored.push((effect, record));
        Some(back)
    }
}

fn below(random: &SeededEntropy, limit: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % limit.max(1)
}

#[test]
fn one_host_runs_the_job_whatever_happens() {
    let (mut taken_over, mut slow) = (0, 0);
    for seed in 0..6_000 {
        let entrants: Vec<Entrant> =
            (0..2 + u32::try_from(seed % 3).unwrap()).map(entrant).collect();
        let mut world = World::new(&entrants, seed);
        world.run();
        let generations: Vec<u32> = world.won.iter().map(|(_, claim)| claim.generation).collect();
        let mut sorted = generations.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), generations.len(), "seed {seed}: two won at one time");
        let has_run = |host: &Host<'_>| host.stage == Stage::Stopped { has_run: true };
        let runs = world.hosts.iter().filter(|host| has_run(host)).count();
        let is_dead = |host: &Host<'_>| host.stage == Stage::Dead;
        let dead = world.hosts.iter().filter(|host| is_dead(host)).count();
        // A host that won and lives has run it, and is not taken over.
        assert!(runs <= 1, "seed {seed}: {runs} hosts ran the job");
        assert!(runs == 1 || dead > 0, "seed {seed}: no host ran the job");
        if dead < world.hosts.len() && runs == 0 {
            // The last one that lived saw the end of a run whose host died after it.
            let ended = world.stored.iter().any(|(_, record)| record.about == SlotEvent::End);
            assert!(ended, "seed {seed}: those that live left it undone");
        }
        taken_over += usize::from(generations.iter().any(|generation| *generation > 0));
        let withdrawn = |(_, record): &(u64, SlotRecord)| record.about == SlotEvent::Withdrawn;
        slow += usize::from(world.stored.iter().any(withdrawn));
    }
    assert!(taken_over > 200 && slow > 200, "{taken_over} were taken over, {slow} withdrew");
}

#[test]
fn a_store_that_is_always_slow_does_not_keep_the_job_from_running() {
    let entrants: Vec<Entrant> =
        (0..2).map(|rank| Entrant { withdrawals_max: 5, ..entrant(rank) }).collect();
    for seed in 0..50 {
        let mut world = World::new(&entrants, seed);
        world.slowest = 60_000;
        world.hosts.iter_mut().for_each(|host| host.dies_at = None);
        world.run();
        let ran = |host: &Host<'_>| host.stage == Stage::Stopped { has_run: true };
        assert!(world.hosts.iter().any(ran), "seed {seed}");
        let withdrawn = |(_, record): &&(u64, SlotRecord)| record.about == SlotEvent::Withdrawn;
        assert!(world.stored.iter().filter(withdrawn).count() <= 10, "seed {seed}");
    }
}
