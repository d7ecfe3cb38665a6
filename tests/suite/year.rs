//! A year of nights: several sources, two writers at a time, copies of which one keeps more and one
//! less, a prune and a compaction each week beside the writers, a pack lost each month, a rotation
//! of the keys. At the end of each month every snapshot that any copy keeps restores as it was,
//! a verification finds nothing but what could not be had back, and all garbage is gone.
//!
//! A month is four weeks. `HAULOUT_YEAR_MONTHS` says how many there are, `HAULOUT_YEAR_PAGES` how
//! many pages a table has at first; what happens follows from `HAULOUT_YEAR_SEED`, but for the
//! order of the calls of threads that run side by side.

#![expect(clippy::print_stdout, reason = "what a run that failed shows")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::entropy::SeededEntropy;
use haulout::base::ids::PackName;
use haulout::base::ids::SnapshotId;
use haulout::base::limits::PACK_DIRECTORY_ROOM;
use haulout::base::world::World;
use haulout::format::pack_table::PackTable;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::ops::forget;
use haulout::ops::forget::Choice;
use haulout::ops::forget::Refusal;
use haulout::ops::forget::Who;
use haulout::ops::forget::policy::Period;
use haulout::ops::forget::policy::PeriodRule;
use haulout::ops::forget::policy::Policy;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::ops::repair;
use haulout::ops::repair::RepairReport;
use haulout::ops::replicate;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Gaps;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use tempfile::TempDir;

use crate::support;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::keys_by;
use crate::support::passphrase;
use crate::support::stream_of;

const DAY: u64 = 86_400;
/// A Monday.
const FIRST_DAY: u64 = 1_672_617_600;
const WEEK: u64 = 7;
const MONTH: u64 = 4 * WEEK;
/// The sources, and who backs them up.
const SOURCES: [(&str, usize); 3] = [("shop", 0), ("crm", 0), ("blog", 1)];
/// The source of which full backups are made on Mondays only, and increments on other days.
const CHAIN: &str = "crm";
/// Packs are small, so that there are many.
const PACK_BYTES: usize = PACK_DIRECTORY_ROOM + (96 << 10);
/// Percent of the bytes in use that may be unused after a compaction that may write all again.
const MAX_UNUSED: u64 = 10;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// The time of day, which goes on by a second when it is asked for.
#[derive(Debug)]
struct NightClock(AtomicU64);

impl Clock for NightClock {
    fn unix_seconds(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed) - FIRST_DAY)
    }
}

/// What a process is given: the clock of all, and randomness of its own.
#[derive(Debug)]
struct Worlds {
    clock: Arc<NightClock>,
    seed: AtomicU64,
}

impl Worlds {
    fn next(&self) -> World {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let clock = Arc::clone(&self.clock);
        World { clock, entropy: Arc::new(SeededEntropy::new(seed)), monitor: Arc::default() }
    }
}

/// A repository or a copy of it.
struct Place {
    name: &'static str,
    store: Arc<dyn Store>,
    policy: Policy,
    password: String,
}

impl Place {
    fn new(name: &'static str, store: Arc<dyn Store>, counts: [u32; 3]) -> Self {
        let periods = [Period::Day, Period::Week, Period::Month];
        let rule = |(period, count)| PeriodRule { period, count };
        let periods = periods.into_iter().zip(counts).map(rule).collect();
        let policy = Policy { periods, ..Policy::default() };
        Self { name, store, policy, password: "correct horse".to_owned() }
    }

    /// Opens it, as another program does.
    fn open(&self, world: &World) -> Repository {
        let mut give = || Ok(Credential::Passphrase(passphrase(&self.password)));
        Repository::open(Arc::clone(&self.store), &mut give, &Limits::FOR_TESTS, world).unwrap()
    }

    fn names(&self, prefix: &str) -> Vec<ObjectName> {
        let mut names = Vec::new();
        self.store.list(prefix, &mut |meta| names.push(meta.name)).unwrap();
        names.sort();
        names
    }

    fn bytes_of(&self, prefix: &str) -> u64 {
        let mut bytes = 0;
        self.store.list(prefix, &mut |meta| bytes += meta.size).unwrap();
        bytes
    }

    /// Forgets what its policy does not keep, and prunes.
    fn prune(&self, world: &World) -> PruneReport {
        let repository = self.open(world);
        let choice = Choice::ByPolicy { sources: Vec::new(), policy: self.policy.clone() };
        let mut plan = forget::plan(&repository, &choice, &|_| 0, world).unwrap();
        // A week of nights is more than half of what a copy keeps that keeps five days.
        plan.consent(&|refusal| refusal == Refusal::Half);
        assert!(plan.refused.is_empty(), "{}: {:?}", self.name, plan.refused);
        let removes = plan.removes(&Who::default(), world.clock.unix_seconds());
        let options = PruneOptions { removes, ..PruneOptions::default() };
        let report = prune::prune(&repository, &options, world).unwrap();
        assert!(report.refused.is_empty() && report.doubtful.is_empty(), "{report:?}");
        assert!(report.doubted.is_empty(), "{}: {:?}", self.name, report.doubted);
        report
    }

    fn compact(&self, max_rewrite: u64, world: &World) {
        let options = CompactOptions {
            max_unused: MAX_UNUSED,
            max_rewrite,
            pack_bytes: PACK_BYTES,
            first_time: FirstTime::SetsFeature,
            ..CompactOptions::default()
        };
        let report = compact(&self.open(world), &options, world).unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
    }

    fn verify(&self, world: &World) -> VerifyReport {
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
        verify(&self.open(world), &options, world).unwrap()
    }

    fn repair_from(&self, other: &Self, world: &World) -> RepairReport {
        let repository = self.open(world);
        let report = repair::plan_from(&repository, &other.store, 2, world).unwrap().run(world);
        let report = report.unwrap();
        assert!(report.failed.is_empty(), "{}: {:?}", self.name, report.failed);
        report
    }
}

/// What was backed up, and in which order.
#[derive(Debug, Clone)]
struct Night {
    source: &'static str,
    day: u64,
    stream: blake3::Hash,
}

struct Year {
    worlds: Worlds,
    random: Random,
    servers: BTreeMap<&'static str, Server>,
    /// Where the last backup of the source of increments ended.
    from_lsn: u64,
    nights: BTreeMap<SnapshotId, Night>,
    /// The repository, a copy that keeps more, and one that keeps less.
    here: Place,
    long: Place,
    short: Place,
    day: u64,
    _directory: TempDir,
}

impl Year {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(NightClock(AtomicU64::new(FIRST_DAY)));
        let worlds = Worlds { clock, seed: AtomicU64::new(seed << 32) };
        let store: Arc<dyn Store> = Arc::new(LocalStore::create(directory.path()).unwrap());
        support::init(Arc::clone(&store), Protected::Encrypted, seed);
        let pages = usize::try_from(number("HAULOUT_YEAR_PAGES", 12)).unwrap();
        let server = |(n, (source, _))| (source, Server::new(seed + n, 1, pages));
        Self {
            worlds,
            random: Random(seed),
            servers: (0..).zip(SOURCES).map(server).collect(),
            from_lsn: 0,
            nights: BTreeMap::new(),
            here: Place::new("here", store, [7, 4, 3]),
            long: Place::new("long", Arc::new(MemoryStore::new()), [14, 8, 12]),
            short: Place::new("short", Arc::new(MemoryStore::new()), [5, 0, 0]),
            day: 0,
            _directory: directory,
        }
    }

    fn world(&self) -> World {
        self.worlds.next()
    }

    /// Sets the clock to an hour of the day.
    fn at(&self, hour: u64) {
        let time = FIRST_DAY + self.day * DAY + hour * 3600;
        self.worlds.clock.0.fetch_max(time, Ordering::Relaxed);
    }

    /// What the sources give tonight, by who backs them up.
    fn streams(&mut self) -> [Vec<(&'static str, Vec<u8>)>; 2] {
        let mut streams = [Vec::new(), Vec::new()];
        for (source, writer) in SOURCES {
            let server = self.servers.get_mut(source).unwrap();
            server.night(self.random.below(12));
            let is_increment = source == CHAIN && !self.day.is_multiple_of(WEEK);
            let stream =
                if is_increment { server.increment(self.from_lsn) } else { server.stream() };
            if source == CHAIN {
                self.from_lsn = server.to_lsn();
            }
            streams[writer].push((source, stream));
        }
        // Sometimes both writers back up one source.
        if self.random.below(7) == 0 {
            let again = streams[0][0].clone();
            streams[1].push(again);
        }
        streams
    }

    /// Backs up all sources, with two writers at a time, and a prune beside them if it is due.
    fn back_up(&mut self) {
        self.at(2);
        let streams = self.streams();
        let prunes = self.day % WEEK == WEEK - 1;
        let (here, worlds, day) = (&self.here, &self.worlds, self.day);
        let done = thread::scope(|scope| {
            let write = |streams: Vec<_>| {
                scope.spawn(move || {
                    let run = |(source, stream)| written(here, worlds, day, source, stream);
                    streams.into_iter().map(run).collect::<Vec<_>>()
                })
            };
            let writers = streams.map(write);
            if prunes {
                here.prune(&worlds.next());
                here.compact(2, &worlds.next());
            }
            writers.map(|writer| writer.join().unwrap())
        });
        self.nights.extend(done.into_iter().flatten());
    }

    fn replicate(&self, to: &Place) {
        let world = self.world();
        let near = self.here.open(&world);
        let listing = replicate::newest(&near, &[], None).unwrap();
        let options = ReplicateOptions::new(listing.snapshots);
        let plan = replicate::plan(&near, Arc::clone(&to.store), options, &world).unwrap();
        let report = plan.send(&world).unwrap();
        assert!(report.left_out.is_empty() && report.damaged.is_empty(), "{report:?}");
    }

    /// Lives through a day and its night.
    fn live(&mut self) {
        let (month, date) = (self.day / MONTH, self.day % MONTH);
        if date == 9 {
            let place = if month % 2 == 0 { &self.here } else { &self.long };
            lose_a_pack(place, &mut self.random);
        }
        if month == 1 && date == 17 {
            self.rotate();
        }
        self.back_up();
        self.at(5);
        if date == 9 && month % 2 == 0 {
            self.heal_here();
        }
        self.replicate(&self.long);
        if date == 9 && month % 2 == 1 {
            self.heal_long();
        }
        self.long.password.clone_from(&self.here.password);
        if self.day % WEEK == 4 {
            self.replicate(&self.short);
            self.short.password.clone_from(&self.here.password);
        }
        if self.day % WEEK == WEEK - 1 {
            self.at(8);
            for copy in [&self.long, &self.short] {
                copy.prune(&self.world());
                copy.compact(2, &self.world());
            }
        }
        self.day += 1;
        if self.day.is_multiple_of(MONTH) {
            self.end_month();
        }
    }

    /// What the backup after a loss did not store again comes from the copy.
    fn heal_here(&self) {
        let report = self.here.repair_from(&self.long, &self.world());
        assert!(report.lost.is_empty(), "{:?}", report.lost);
        assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    }

    /// What only the copy has is lost with a pack of it: such snapshots are removed by name.
    fn heal_long(&self) {
        let world = self.world();
        let report = self.long.repair_from(&self.here, &world);
        let lost: BTreeSet<SnapshotId> =
            report.left.findings.iter().filter_map(|finding| finding.snapshot).collect();
        let near: BTreeSet<SnapshotId> = self.kept(&self.here).into_iter().collect();
        assert!(lost.is_disjoint(&near), "{lost:?} are whole here");
        if lost.is_empty() {
            assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
            return;
        }
        let repository = self.long.open(&world);
        let mut plan = forget::plan(&repository, &Choice::Named(lost), &|_| 0, &world).unwrap();
        plan.consent(&|refusal| refusal == Refusal::Half);
        assert!(plan.refused.is_empty(), "{:?}", plan.refused);
        let removes = plan.removes(&Who::default(), world.clock.unix_seconds());
        let options = PruneOptions { removes, ..PruneOptions::default() };
        prune::prune(&repository, &options, &world).unwrap();
        let left = self.long.verify(&world).findings;
        assert!(left.is_empty(), "{left:?}");
    }

    fn rotate(&mut self) {
        let new = format!("{}, again", self.here.password);
        let (text, note) =
            (passphrase(&new), KeySlotNote { label: "new".to_owned(), created_unix_seconds: 0 });
        let protection = Protection::Passphrase(&text, KdfCost::FOR_TESTS);
        let keys = keys_by(&self.here.store, &self.here.password).unwrap();
        keys.rotate(protection, &note, Gaps::Refused).unwrap();
        self.here.password = new;
    }

    fn kept(&self, place: &Place) -> Vec<SnapshotId> {
        let listing = place.open(&self.world()).snapshots().unwrap();
        assert!(listing.damaged.is_empty(), "{}: {:?}", place.name, listing.damaged);
        listing.snapshots.iter().map(haulout::repo::snapshots::StoredSnapshot::id).collect()
    }

    fn end_month(&self) {
        self.at(0);
        for place in [&self.here, &self.long, &self.short] {
            // Beside the writers packs were kept that only their runs needed.
            place.prune(&self.world());
            place.compact(100, &self.world());
            place.prune(&self.world());
            self.assert_whole(place);
            self.assert_no_garbage(place);
        }
    }

    /// Checks that every kept snapshot restores as it was, and that nothing is wrong.
    fn assert_whole(&self, place: &Place) {
        let kept = self.kept(place);
        let repository = place.open(&self.world());
        let mut newest = BTreeMap::new();
        for id in kept {
            let night = &self.nights[&id];
            let stream = stream_of(&repository, &id.to_string()).unwrap();
            assert_eq!(blake3::hash(&stream), night.stream, "{}: {night:?}", place.name);
            let day = newest.entry(night.source).or_insert(night.day);
            *day = night.day.max(*day);
        }
        for (source, _) in SOURCES {
            let day = newest[source];
            assert!(day + 3 >= self.day, "{}: {source} ends with day {day}", place.name);
        }
        let report = place.verify(&self.world());
        assert!(report.findings.is_empty(), "{}: {:?}", place.name, report.findings);
    }

    /// Checks that every pack is one that a kept snapshot needs, that no run stands, and that
    /// little is unused.
    fn assert_no_garbage(&self, place: &Place) {
        let world = self.world();
        let repository = place.open(&world);
        assert_eq!(place.names("intents/"), [], "{}", place.name);
        let packs = repository.packs(PackTable::default(), &world.monitor);
        let mut needed: BTreeSet<PackName> = BTreeSet::new();
        for stored in repository.snapshots().unwrap().snapshots {
            repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
                needed.insert(record.name);
            });
        }
        let mut due: Vec<PackName> = needed.iter().copied().collect();
        while let Some(pack) = due.pop() {
            for list in packs.compacted(&pack).iter().flat_map(|lists| lists.iter()) {
                due.extend(list.packs.iter().filter(|next| needed.insert(**next)));
            }
        }
        let needed: BTreeSet<String> = needed.iter().map(ToString::to_string).collect();
        for name in place.names("packs/") {
            let pack = name.as_str().rsplit('/').next().unwrap();
            assert!(needed.contains(pack), "{}: {name} is left", place.name);
        }
        let plan = prune::plan(&repository, &PruneOptions::default(), &world).unwrap();
        assert!(plan.doomed.is_empty() && plan.snapshots.is_empty(), "{plan:?}");
        // A pack of which nine tenths are in use is left as it is.
        let (bytes, unused) = (place.bytes_of("packs/"), plan.unused_bytes);
        let most = (bytes - unused) * (MAX_UNUSED + 2) / 100;
        assert!(unused <= most, "{}: {unused} of {bytes} bytes are unused", place.name);
        println!(
            "day {}, {}: {bytes} bytes, {unused} unused, {} packs",
            self.day, place.name, plan.packs
        );
    }
}

/// Backs up a stream, and returns what it is known as.
fn written(
    here: &Place,
    worlds: &Worlds,
    day: u64,
    source: &'static str,
    stream: Vec<u8>,
) -> (SnapshotId, Night) {
    let world = worlds.next();
    let repository = here.open(&world);
    let at_once = AtOnce { pack_bytes: PACK_BYTES, ..AtOnce::with_workers(1) };
    let options = BackupOptions { source: source.to_owned(), at_once, ..support::options() };
    let hash = blake3::hash(&stream);
    let stream = BytesSource::new(stream, 1 << 20, ProducerExit::Exited(0));
    let report = backup(&repository, Box::new(stream), &options, &world).unwrap();
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    (report.id, Night { source, day, stream: hash })
}

/// Deletes a pack behind the program's back.
fn lose_a_pack(place: &Place, random: &mut Random) {
    let packs = place.names("packs/");
    let lost = &packs[random.below(packs.len())];
    println!("{}: {lost} is lost", place.name);
    place.store.delete(lost).unwrap();
}

#[test]
fn every_kept_night_of_every_copy_restores_at_the_end_of_each_month() {
    let seed = number("HAULOUT_YEAR_SEED", 1);
    println!("HAULOUT_YEAR_SEED={seed}");
    let mut year = Year::new(seed);
    for _ in 0..number("HAULOUT_YEAR_MONTHS", 2) * MONTH {
        year.live();
    }
}
