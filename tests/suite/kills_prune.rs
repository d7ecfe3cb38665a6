//! A backup and a prune run side by side in one directory, and one of them or both are killed at
//! random moments: what was reported good restores, what the rules keep stays, and a prune with
//! the options that `unlock` names leaves no pack that no snapshot needs.
//!
//! `HAULOUT_KILLS` says how many rounds there are: a tenth of it; the moments follow from
//! `HAULOUT_KILLS_SEED`.

#![expect(clippy::print_stdout, reason = "the seed of a run that failed")]

use crate::support;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::format::lists::Relocation;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::repo::Repository;
use haulout::seal::object::ObjectKind;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::program::Place;
use crate::support::stream_of;

/// Rounds in one repository; after them a prune must leave no garbage.
const ROUNDS_ON_A_GROUND: u64 = 5;
/// Small snapshots that are there at first: with two packs each, more than a batch of deletions.
const NIGHTS: u64 = 200;
/// Small snapshots that each round removes.
const NIGHTS_A_ROUND: u64 = 35;
/// The first of January 2023.
const START: u64 = 1_672_531_200;
const DAY: u64 = 86_400;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// A small stream that can't be compressed, another one for each night.
fn dump(night: u64) -> Vec<u8> {
    let mut random = Random(night);
    let mut out = b"-- a dump\n".to_vec();
    for _ in 0..100 {
        writeln!(out, "-- {:016x}", random.next()).unwrap();
    }
    out
}

/// A directory with a repository in it, and what was backed up there.
struct Ground {
    place: Place,
    /// The streams of the source `db`, in files of these names.
    streams: BTreeMap<&'static str, Vec<u8>>,
    /// The small snapshots, oldest first.
    nights: Vec<String>,
}

impl Ground {
    fn new(seed: u64) -> Self {
        let (place, store) = (Place::empty(), Arc::new(MemoryStore::new()));
        let repository = support::init(support::shared(&store), Protected::Clear, seed);
        let night = |night: u64| {
            let options = BackupOptions { source: "small".to_owned(), ..support::options() };
            let source = BytesSource::new(dump(night), 1 << 16, ProducerExit::Exited(0));
            let world = support::world_at(START + night * DAY);
            backup(&repository, Box::new(source), &options, &world).unwrap().id.to_string()
        };
        let nights = (0..NIGHTS).map(night).collect();
        for (name, bytes) in store.objects() {
            let path = place.path("repo").join(name.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut server = Server::new(seed, 2, 30);
        let mut streams = BTreeMap::new();
        for name in ["even", "odd"] {
            streams.insert(name, server.stream());
            place.file(name, &streams[name]);
            server.night(60);
        }
        Self { place, streams, nights }
    }

    /// The program with these words; a stream is on its standard input.
    fn haulout(&self, line: &str, stream: Option<&str>) -> Command {
        let mut command = self.place.command(&line.split(' ').collect::<Vec<_>>());
        if let Some(name) = stream {
            command.stdin(Stdio::from(File::open(self.place.path(name)).unwrap()));
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to the end, and says how long that took.
    #[expect(
        clippy::disallowed_methods,
        reason = "moments to kill at follow from what a run takes"
    )]
    fn whole(&self, line: &str, stream: Option<&str>) -> Duration {
        let begun = Instant::now();
        must_end_well(self.haulout(line, stream).spawn().unwrap(), line);
        begun.elapsed()
    }

    fn repository(&self) -> Repository {
        let store: Arc<dyn Store> = Arc::new(LocalStore::open(&self.place.path("repo")).unwrap());
        support::open(store, 3).unwrap()
    }

    /// Restores all snapshots but for some of the small ones, and says how many `db` has had; the
    /// newest small ones must be there.
    fn check(&self, nights_kept: u64, each: usize) -> u64 {
        let repository = self.repository();
        let listing = repository.snapshots().unwrap();
        assert!(listing.damaged.is_empty());
        let listed: BTreeSet<String> =
            listing.snapshots.iter().map(|stored| stored.id().to_string()).collect();
        let first_kept = usize::try_from(NIGHTS - nights_kept).unwrap();
        for (id, night) in self.nights.iter().zip(0..) {
            let is_kept = night >= first_kept;
            assert!(!is_kept || listed.contains(id), "night {night} is gone");
            if listed.contains(id) && night % each == 0 {
                let stream = dump(u64::try_from(night).unwrap());
                assert!(stream_of(&repository, id).unwrap() == stream, "night {night}");
            }
        }
        let mut newest = 0;
        for stored in listing.snapshots.iter().filter(|one| one.snapshot.about.source == "db") {
            newest = newest.max(stored.name.sequence + 1);
            let stream = stream_of(&repository, &stored.id().to_string()).unwrap();
            assert!(self.streams.values().any(|one| *one == stream), "what shows is no stream");
        }
        newest
    }

    /// Prunes with the options that `unlock` names, and checks that no garbage is left.
    fn must_be_clean(&self) {
        let runs = self.place.ran(&["unlock", "--json"]).is(0).json();
        let mut line = "prune --yes --no-compact".to_owned();
        for run in runs["runs"].as_array().unwrap() {
            line += run["command"].as_str().unwrap().strip_prefix("haulout prune").unwrap();
        }
        self.whole(&line, None);
        let (repository, world) = (self.repository(), World::of_this_machine());
        let mut needed = BTreeSet::new();
        for stored in repository.snapshots().unwrap().snapshots {
            let needs = repository.needs_of(&stored, &world.monitor).unwrap();
            needs.visit(&mut |record, _| needed.extend([Object::Pack(record.name).name()]));
        }
        let list = |prefix: &str| {
            let mut names = BTreeSet::new();
            repository.store().list(prefix, &mut |meta| names.extend([meta.name])).unwrap();
            names
        };
        // What was compacted is in the packs that a record names, and these may be compacted again.
        let mut moves = list("moves/");
        moves.extend(list("twins/moves/"));
        for _ in 0..=moves.len() {
            for name in &moves {
                let Some(Object::Relocation { pack, .. } | Object::RelocationTwin { pack, .. }) =
                    Object::parse(name)
                else {
                    continue;
                };
                if needed.contains(&Object::Pack(pack).name()) {
                    let bytes = repository.store().get(name, 1 << 20).unwrap();
                    let keyring = repository.keyring();
                    let text = keyring.open_object(ObjectKind::Relocation, &pack.0, &bytes);
                    let record = Relocation::decode(&text.unwrap()).unwrap();
                    needed.extend(record.packs.iter().map(|pack| Object::Pack(*pack).name()));
                }
            }
        }
        let left: Vec<_> = list("packs/").difference(&needed).cloned().collect();
        assert!(left.is_empty(), "{line}: {left:?}");
        assert!(list("intents/").is_empty(), "{line}");
        self.whole("verify --depth blocks", None);
    }
}

#[track_caller]
fn must_end_well(child: Child, what: &str) {
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {words}", output.status);
}

/// What is killed in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Backup,
    Prune,
    Both,
}

/// Kills a run at a moment within `longest`; whether it had ended well by then.
fn kill(mut child: Child, random: &mut Random, longest: Duration) -> bool {
    let micros = usize::try_from(longest.as_micros()).unwrap();
    sleep(Duration::from_micros(u64::try_from(random.below(micros)).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// How long a backup and a prune take that are not killed.
fn measured() -> [Duration; 2] {
    let ground = Ground::new(0);
    let backup = ground.whole("backup --source db", Some("even"));
    let keep = NIGHTS - NIGHTS_A_ROUND;
    let prune =
        ground.whole(&format!("forget --source small --keep-last {keep} --prune --yes"), None);
    [backup, prune]
}

/// Runs a backup and a prune side by side and kills what is to be killed; how many were.
fn round(ground: &Ground, number: u64, random: &mut Random, longest: [Duration; 2]) -> usize {
    // The stream of the other name becomes garbage while it is backed up again.
    ground.whole("forget --source db --keep-last 1 --yes", None);
    let kept = NIGHTS - (number % ROUNDS_ON_A_GROUND + 1) * NIGHTS_A_ROUND;
    let forget = format!("forget --source small --keep-last {kept} --allow half --yes");
    let prune = if random.below(2) == 0 {
        ground.whole(&forget, None);
        "prune --yes".to_owned()
    } else {
        format!("{forget} --prune")
    };
    let name = if number.is_multiple_of(2) { "odd" } else { "even" };
    let victim = [Victim::Backup, Victim::Prune, Victim::Both][random.below(3)];
    let before = ground.check(kept, 50);
    let backup = ground.haulout("backup --source db", Some(name)).spawn().unwrap();
    let pruning = ground.haulout(&prune, None).spawn().unwrap();
    let (is_stored, killed) = match victim {
        Victim::Backup => {
            let done = kill(backup, random, longest[0] * 2);
            must_end_well(pruning, &prune);
            (done, usize::from(!done))
        }
        Victim::Prune => {
            let done = kill(pruning, random, longest[1] * 2);
            must_end_well(backup, "a backup beside a prune that was killed");
            (true, usize::from(!done))
        }
        Victim::Both => {
            let done = kill(backup, random, longest[0] * 2);
            let pruned = kill(pruning, random, longest[1] / 2);
            (done, usize::from(!done) + usize::from(!pruned))
        }
    };
    let after = ground.check(kept, 10);
    assert!(!is_stored || after > before, "round {number}: what was done is gone");
    killed
}

#[test]
fn nothing_good_is_lost_and_garbage_goes_if_a_backup_or_a_prune_is_killed() {
    let rounds = (number("HAULOUT_KILLS", 50) / 10).max(5);
    let seed = number("HAULOUT_KILLS_SEED", 4);
    let mut random = Random(seed);
    let longest = measured();
    let mut killed = 0;
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_ON_A_GROUND).unwrap()) {
        let ground = Ground::new(first + 1);
        ground.whole("backup --source db", Some("even"));
        for number in first..rounds.min(first + ROUNDS_ON_A_GROUND) {
            killed += round(&ground, number, &mut random, longest);
        }
        ground.must_be_clean();
        ground.check(NIGHTS - ROUNDS_ON_A_GROUND * NIGHTS_A_ROUND, 1);
    }
    println!("{rounds} rounds, {killed} runs were killed; seed {seed}");
    assert!(killed > 0, "seed {seed}: nothing was killed");
}
