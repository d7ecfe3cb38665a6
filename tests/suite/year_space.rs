//! The space that a repository takes after many nights, over what its snapshots need: with prunes
//! of whole packs only, and with compaction.
//!
//! ```text
//! HAULOUT_SPACE_NIGHTS=400 cargo nextest run --test year_space --run-ignored only --no-capture
//! ```
//!
//! Pages change at random places, as if a row was written: half of them anywhere, half of them more
//! often at the beginning of a table. `HAULOUT_SPACE_MIB` says how large the database is,
//! `HAULOUT_SPACE_CHANGED` which parts of it change in a night, in thousandths, and
//! `HAULOUT_SPACE_ROW` how many bytes a row has: as many as let the bytes that are live at the end
//! grow over those of the first backup as they do in real nights. Packs are small, so that there
//! are as many in relation as in a large database.

#![expect(clippy::print_stdout, reason = "what it measures is for a person")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::limits::PACK_DIRECTORY_ROOM;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::ops::forget;
use haulout::ops::forget::Choice;
use haulout::ops::forget::Who;
use haulout::ops::forget::policy::Period;
use haulout::ops::forget::policy::PeriodRule;
use haulout::ops::forget::policy::Policy;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::repo::Repository;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;

use crate::support;
use crate::support::PAGE;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::change_page;
use crate::support::shared;

const DAY: u64 = 86_400;
const FIRST_DAY: u64 = 1_672_617_600;
/// Bytes of a full pack, without the room for its directory.
const PACK_BYTES: usize = 64 << 10;
/// What is kept: days, weeks, months.
const KEPT: [(Period, u32); 3] = [(Period::Day, 14), (Period::Week, 8), (Period::Month, 12)];
/// Percent of the bytes in use that may be unused.
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
        Duration::ZERO
    }
}

/// A repository that is pruned each week.
struct Place {
    store: Arc<MemoryStore>,
    repository: Repository,
    prunes: Prunes,
    moved_bytes: u64,
    read_bytes: u64,
}

/// What a prune of a place does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prunes {
    WholePacks,
    AndCompacts,
}

/// The bytes of packs.
#[derive(Debug, Clone, Copy)]
struct Space {
    packs: u64,
    bytes: u64,
    unused: u64,
}

impl Place {
    fn new(prunes: Prunes) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = support::init(shared(&store), Protected::Clear, 1);
        Self { store, repository, prunes, moved_bytes: 0, read_bytes: 0 }
    }

    fn back_up(&self, stream: &[u8], world: &World) {
        let repository = support::open(shared(&self.store), 2).unwrap();
        let pack_bytes = PACK_DIRECTORY_ROOM + PACK_BYTES;
        let at_once = AtOnce { pack_bytes, ..AtOnce::with_workers(2) };
        let options = BackupOptions { at_once, ..support::options() };
        let source = BytesSource::new(stream.to_vec(), 1 << 20, ProducerExit::Exited(0));
        backup(&repository, Box::new(source), &options, world).unwrap();
    }

    fn prune(&mut self, world: &World) {
        self.repository = support::open(shared(&self.store), 3).unwrap();
        let periods = KEPT.map(|(period, count)| PeriodRule { period, count }).into();
        let policy = Policy { periods, ..Policy::default() };
        let choice = Choice::ByPolicy { sources: Vec::new(), policy };
        let plan = forget::plan(&self.repository, &choice, &|_| 0, world).unwrap();
        assert!(plan.refused.is_empty(), "{:?}", plan.refused);
        let removes = plan.removes(&Who::default(), 0);
        let options = PruneOptions { removes, ..PruneOptions::default() };
        prune::prune(&self.repository, &options, world).unwrap();
        if self.prunes == Prunes::WholePacks {
            return;
        }
        let options = CompactOptions {
            max_unused: MAX_UNUSED,
            pack_bytes: PACK_DIRECTORY_ROOM + PACK_BYTES,
            first_time: FirstTime::SetsFeature,
            ..CompactOptions::default()
        };
        let plan = prune::compact::plan(&self.repository, &options, world).unwrap();
        let report = compact(&self.repository, &options, world).unwrap();
        assert!(report.left.is_empty() && report.refused.is_empty(), "{report:?}");
        self.moved_bytes += report.written_bytes;
        self.read_bytes += plan.read_bytes;
    }

    fn space(&self) -> Space {
        let repository = support::open(shared(&self.store), 4).unwrap();
        let options = PruneOptions::default();
        let plan = prune::plan(&repository, &options, &World::of_this_machine()).unwrap();
        let mut bytes = 0;
        self.store.list("packs/", &mut |meta| bytes += meta.size).unwrap();
        Space { packs: plan.packs, bytes, unused: plan.unused_bytes }
    }
}

/// Changes parts of the pages of a server.
fn change(server: &mut Server, random: &mut Random, thousandths: u64, row_bytes: usize) {
    let pages: usize = server.tables.iter().map(|(_, _, pages)| pages.len()).sum();
    let changes = u64::try_from(pages).unwrap() * thousandths / 1000;
    for change in 0..changes {
        let table = random.below(server.tables.len());
        let count = server.tables[table].2.len() - 1;
        let mut number = random.below(count);
        if change % 2 == 0 {
            number = number * random.below(count) / count;
        }
        server.lsn += 10;
        let lsn = server.lsn;
        let page = &mut server.tables[table].2[1 + number];
        if page.iter().any(|byte| *byte != 0) {
            let row: Vec<u8> = (0..row_bytes).map(|_| random.next().to_le_bytes()[0]).collect();
            change_page(page, lsn, (200 + random.below(11_000), &row));
        }
    }
}

#[test]
#[ignore = "takes minutes: 400 nights, thrice"]
fn the_space_of_400_nights() {
    let nights = number("HAULOUT_SPACE_NIGHTS", 400);
    let pages = usize::try_from(number("HAULOUT_SPACE_MIB", 16)).unwrap() * (1 << 20) / PAGE;
    let row_bytes = usize::try_from(number("HAULOUT_SPACE_ROW", 40)).unwrap();
    let loads = std::env::var("HAULOUT_SPACE_CHANGED").unwrap_or_else(|_| "10,30,70".to_owned());
    for thousandths in loads.split(',').map(|load| load.parse().unwrap()) {
        let mut server = Server::new(1, 1, pages / 3);
        let mut random = Random(2);
        let mut places = [Prunes::WholePacks, Prunes::AndCompacts].map(Place::new);
        let mut first = 0;
        for night in 0..nights {
            let clock = Arc::new(NightClock(AtomicU64::new(FIRST_DAY + night * DAY)));
            let world = World { clock, ..World::of_this_machine() };
            let stream = server.stream();
            for place in &mut places {
                place.back_up(&stream, &world);
                if night == 0 {
                    first = place.space().bytes;
                }
                if night % 7 == 6 || night + 1 == nights {
                    place.prune(&world);
                }
            }
            change(&mut server, &mut random, thousandths, row_bytes);
        }
        for place in &places {
            let Space { packs, bytes, unused } = place.space();
            let live = bytes - unused;
            let percent = |part: u64, of: u64| part * 100 / of;
            let year = |bytes: u64| percent(bytes * 365 / nights, first);
            println!(
                "{thousandths} of 1000 pages, {:?}: {packs} packs, {first} bytes at first, \
                 {live} live ({} %), {bytes} in all ({} %), {} % of what is live; \
                 moved {} %, read {} % a year",
                place.prunes,
                percent(live, first),
                percent(bytes, first),
                percent(bytes, live),
                year(place.moved_bytes),
                year(place.read_bytes),
            );
            // Packs of which nine tenths are in use are left as they are.
            let most = live * (MAX_UNUSED + 5) / 100;
            assert!(
                place.prunes == Prunes::WholePacks || unused <= most,
                "{unused} of {bytes} bytes are unused"
            );
        }
    }
}
