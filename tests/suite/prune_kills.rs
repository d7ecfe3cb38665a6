//! Backups and prunes run side by side, a call to the store at a time in random order, and are
//! killed at random calls: no backup that was reported good is ever lost, whatever is shown is
//! whole, and the next prune leaves nothing that nothing needs.
//!
//! `HAULOUT_PRUNE_KILLS` says how many are killed; the order follows from `HAULOUT_KILLS_SEED`, as
//! far as one process does one thing at a time.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread;

use bytes::Bytes;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::intent::IntentVerb;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectMeta;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::removing;
use crate::support::stepping_world;
use crate::support::stream_of;

/// Rounds after which a quiet prune must leave only what is needed.
const ROUNDS_UNTIL_QUIET: u64 = 6;
/// Rounds after which a test begins anew with another repository.
const ROUNDS_ON_A_GROUND: u64 = 24;
/// The sources that are backed up.
const SOURCES: [&str; 2] = ["a", "b"];

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// The place where calls wait for their turn.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The process of each call that waits.
    waiting: Vec<usize>,
    /// The process whose turn it is, until it takes it.
    turn: Option<(usize, Turn)>,
    killed: BTreeSet<usize>,
    ended: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    GoOn,
    /// The call has its effect, and the process does not learn of it.
    DieBehindIt,
}

impl Desk {
    /// Has a call of a process wait for its turn; the calls of one that was killed have no effect.
    fn call<T>(
        &self,
        process: usize,
        dead: impl Fn() -> StoreError,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap();
        state.waiting.push(process);
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| {
                let has_turn = state.turn.is_some_and(|(of, _)| of == process);
                !has_turn && !state.killed.contains(&process)
            })
            .unwrap();
        let own = state.waiting.iter().position(|of| *of == process).unwrap();
        state.waiting.swap_remove(own);
        if state.killed.contains(&process) {
            return Err(dead());
        }
        let (_, turn) = state.turn.take().unwrap();
        self.changed.notify_all();
        // Under the lock: one call at a time.
        let outcome = act();
        if turn == Turn::DieBehindIt {
            state.killed.insert(process);
            self.changed.notify_all();
            return Err(dead());
        }
        outcome
    }

    /// Gives turns in random order until all processes have ended; kills `victim` at its call of
    /// this number.
    fn run(&self, processes: usize, random: &mut Random, victim: Option<(usize, usize)>) {
        let mut calls = vec![0; processes];
        loop {
            let state = self.state.lock().unwrap();
            let mut state = self
                .changed
                .wait_while(state, |state| {
                    let is_known = |process| {
                        state.ended.contains(&process) || state.waiting.contains(&process)
                    };
                    state.turn.is_some() || !(0..processes).all(is_known)
                })
                .unwrap();
            let ready: Vec<usize> =
                (0..processes).filter(|process| !state.ended.contains(process)).collect();
            if ready.is_empty() {
                return;
            }
            let process = ready[random.below(ready.len())];
            calls[process] += 1;
            let dies = victim == Some((process, calls[process]));
            if dies && random.below(2) == 0 || state.killed.contains(&process) {
                state.killed.insert(process);
                // Its calls end by themselves.
                state.turn = None;
                self.changed.notify_all();
                drop(
                    self.changed
                        .wait_while(state, |state| !state.ended.contains(&process))
                        .unwrap(),
                );
                continue;
            }
            state.turn = Some((process, if dies { Turn::DieBehindIt } else { Turn::GoOn }));
            self.changed.notify_all();
        }
    }

    fn end(&self, process: usize) {
        self.state.lock().unwrap().ended.insert(process);
        self.changed.notify_all();
    }
}

/// A store as one process sees it.
#[derive(Debug)]
struct Side {
    store: Arc<MemoryStore>,
    desk: Arc<Desk>,
    process: usize,
}

impl Side {
    fn call<T>(
        &self,
        verb: Verb,
        object: &str,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.desk.call(self.process, || StoreError::new(verb, object, Category::Other), act)
    }
}

impl Store for Side {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.call(Verb::Put, name.as_str(), || self.store.put(name, payload))
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.call(Verb::Replace, name.as_str(), || self.store.replace(name, payload))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.call(Verb::Get, name.as_str(), || self.store.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.call(Verb::GetRange, name.as_str(), || self.store.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.call(Verb::Size, name.as_str(), || self.store.size(name))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.call(Verb::List, prefix, || self.store.list(prefix, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.call(Verb::Delete, name.as_str(), || self.store.delete(name))
    }

    fn location(&self) -> String {
        self.store.location()
    }
}

/// A process of a round.
enum Process {
    /// A backup of the source with this number.
    Backup(usize, Vec<u8>),
    Prune(PruneOptions),
}

/// The backup that a process reported good, and its stream.
type Reported = Option<(SnapshotId, Vec<u8>)>;

fn run(repository: &Repository, process: Process) -> Reported {
    match process {
        Process::Backup(source, stream) => {
            let options = BackupOptions {
                source: SOURCES[source].to_owned(),
                at_once: AtOnce::with_workers(1),
                checkpoint_bytes: 128 << 10,
                ..support::options()
            };
            let exit = ProducerExit::Exited(0);
            let report = support::back_up_with(repository, &stream, exit, &options).ok()?;
            Some((report.id, stream))
        }
        Process::Prune(options) => {
            // It may be killed, or end because of what others do; what it left is looked at.
            let _ended = prune::prune(repository, &options, &stepping_world());
            None
        }
    }
}

/// A repository, and all that has happened to it.
struct Ground {
    store: Arc<MemoryStore>,
    repository: Repository,
    servers: Vec<Server>,
    /// Backups that were reported good, and were not to be removed.
    good: BTreeMap<SnapshotId, Vec<u8>>,
    /// Those that a prune was to remove, whether it did or not.
    doubtful: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Ground {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        let shared = support::shared(&store);
        let repository = support::init_as_earlier(shared, Protected::Clear, features, seed);
        let servers: Vec<Server> = (0..2).map(|n| Server::new(seed + n, 1, 12)).collect();
        // Packs without any snapshot would be a finding.
        let first = |(source, server): (usize, &Server)| {
            run(&repository, Process::Backup(source, server.stream())).unwrap()
        };
        let good = servers.iter().enumerate().map(first).collect();
        Self { store, repository, servers, good, doubtful: BTreeMap::new() }
    }

    /// Runs some processes side by side; tells whether one was killed.
    fn round(&mut self, random: &mut Random) -> bool {
        let mut processes = Vec::new();
        for _ in 0..=random.below(2) {
            let source = random.below(self.servers.len());
            self.servers[source].night(40);
            processes.push(Process::Backup(source, self.servers[source].stream()));
        }
        for _ in 0..random.below(3) {
            processes.push(Process::Prune(self.wishes(random)));
        }
        let victim = random.below(processes.len());
        let at = 1 + match processes[victim] {
            Process::Backup(..) => random.below(40),
            Process::Prune(_) => random.below(70),
        };
        let is_killed = self.side_by_side(processes, random, (victim, at));
        self.assert_sound();
        is_killed
    }

    fn side_by_side(
        &mut self,
        processes: Vec<Process>,
        random: &mut Random,
        victim: (usize, usize),
    ) -> bool {
        let desk = Arc::new(Desk::default());
        let count = processes.len();
        let reported: Vec<Reported> = thread::scope(|scope| {
            let start = |(number, process)| {
                let desk = Arc::clone(&desk);
                let store = Arc::clone(&self.store);
                let side = Side { store, desk: Arc::clone(&desk), process: number };
                let repository = self.repository.elsewhere(Arc::new(side));
                scope.spawn(move || {
                    let reported = run(&repository, process);
                    desk.end(number);
                    reported
                })
            };
            let started: Vec<_> = processes.into_iter().enumerate().map(start).collect();
            desk.run(count, random, Some(victim));
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let is_killed = !desk.state.lock().unwrap().killed.is_empty();
        self.good.extend(reported.into_iter().flatten());
        is_killed
    }

    /// The wishes of a random prune: snapshots that are not the newest of their source go, and
    /// sometimes runs are taken for dead, whether they are or not.
    fn wishes(&mut self, random: &mut Random) -> PruneOptions {
        let mut options = PruneOptions::default();
        let mut by_source: BTreeMap<String, Vec<StoredSnapshot>> = BTreeMap::new();
        for stored in self.repository.snapshots().unwrap().snapshots {
            by_source.entry(stored.snapshot.about.source.clone()).or_default().push(stored);
        }
        for mut listed in by_source.into_values() {
            listed.sort_by_key(|stored| stored.name.sequence);
            listed.pop();
            for stored in listed {
                if random.below(3) == 0 {
                    let id = stored.name.id;
                    self.doubtful.extend(self.good.remove(&id).map(|stream| (id, stream)));
                    options.removes.push(removing(&stored));
                }
            }
        }
        if random.below(2) == 0 {
            for run in self.repository.standing().unwrap().runs {
                match run.verb {
                    IntentVerb::Prune | IntentVerb::Compaction => options.abandons.insert(run.run),
                    IntentVerb::Backup | IntentVerb::Replicate | IntentVerb::Repair => {
                        options.breaks.insert(run.run)
                    }
                };
            }
        }
        options
    }

    /// Checks that everything good is as it was, and that whatever is shown is whole.
    fn assert_sound(&self) {
        let repository = &self.repository.elsewhere(support::shared(&self.store));
        let shown: BTreeSet<SnapshotId> =
            repository.snapshots().unwrap().snapshots.iter().map(|s| s.name.id).collect();
        for (id, stream) in self.good.iter().chain(&self.doubtful) {
            let is_good = self.good.contains_key(id);
            if shown.contains(id) {
                assert!(stream_of(repository, &id.to_string()).unwrap() == *stream);
            } else {
                assert!(!is_good, "snapshot {} is lost", id.short());
            }
        }
        let options = VerifyOptions::new(Depth::Blocks);
        let report = verify(repository, &options, &World::of_this_machine()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    /// Prunes when nothing else runs, and checks that all garbage goes.
    fn assert_clean_after_prune(&self) {
        let repository = &self.repository.elsewhere(support::shared(&self.store));
        let mut options = PruneOptions::default();
        for run in repository.standing().unwrap().runs {
            match run.verb {
                IntentVerb::Prune | IntentVerb::Compaction => options.abandons.insert(run.run),
                IntentVerb::Backup | IntentVerb::Replicate | IntentVerb::Repair => {
                    options.breaks.insert(run.run)
                }
            };
        }
        prune::prune(repository, &options, &stepping_world()).unwrap();
        let world = World::of_this_machine();
        let mut needed = BTreeSet::new();
        for stored in repository.snapshots().unwrap().snapshots {
            repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
                needed.insert(record.name.to_string());
            });
        }
        for name in self.store.objects().into_keys() {
            let (folder, rest) = name.as_str().split_once('/').unwrap_or_default();
            let of = rest.rsplit('/').next().unwrap();
            let is_pack = folder == "packs" || folder == "twins" && !rest.starts_with("moves/");
            assert!(!is_pack || needed.contains(of), "{name} is left");
            assert_ne!(folder, "intents", "{name} is left");
        }
        self.assert_sound();
    }
}

#[test]
fn nothing_good_is_lost_and_garbage_goes_whoever_is_killed() {
    let kills = number("HAULOUT_PRUNE_KILLS", 300);
    let mut random = Random(number("HAULOUT_KILLS_SEED", 11));
    let (mut killed, mut rounds) = (0, 0);
    let mut ground = Ground::new(1);
    while killed < kills {
        rounds += 1;
        killed += u64::from(ground.round(&mut random));
        if rounds % ROUNDS_UNTIL_QUIET == 0 {
            ground.assert_clean_after_prune();
        }
        if rounds % ROUNDS_ON_A_GROUND == 0 {
            ground = Ground::new(rounds);
        }
    }
}
