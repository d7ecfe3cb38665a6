//! A verification in slices: together they find what one run over everything finds, a budget ends
//! each early and names the rest, and no pack is read by two of them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::clock::Clock;
use haulout::base::ids::PackName;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::format::layout::Object;
use haulout::ops::verify::Deadline;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::Slice;
use haulout::ops::verify::SliceReport;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::ops::verify::verify_slice;
use haulout::repo::Repository;
use haulout::repo::inventory::Inventory;
use haulout::source::ProducerExit;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::open;
use crate::support::shared;

type Objects = BTreeMap<ObjectName, Bytes>;
type Counted = Arc<Recording<MemoryStore>>;

/// Three nights in packs that are as small as they may be: more than any queue holds.
fn nights() -> Objects {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(shared(&store), Protected::Encrypted, 1);
    let mut server = Server::new(9, 6, 128);
    let mut options = support::options();
    options.at_once.pack_bytes = (2 << 20) + 4096;
    for _ in 0..3 {
        let ended = ProducerExit::Exited(0);
        support::back_up_with(&repository, &server.stream(), ended, &options).unwrap();
        server.night(60);
    }
    store.objects()
}

/// Loses, cuts or changes every fifth object of a pack.
fn damaged(objects: &Objects) -> Objects {
    let mut damaged = objects.clone();
    let of_packs = objects.iter().filter(|(name, _)| Folder::holds_packs(name));
    for (number, (name, bytes)) in of_packs.enumerate().filter(|(number, _)| number % 5 == 2) {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        match number % 3 {
            0 => bytes.truncate(middle),
            1 => bytes[middle] ^= 1,
            _ => {
                damaged.remove(name);
                continue;
            }
        }
        damaged.insert(name.clone(), Bytes::from(bytes));
    }
    damaged
}

fn on(objects: &Objects) -> (Counted, Repository) {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    let store = Arc::new(Recording::new(store));
    let repository = open(shared(&store), 7).unwrap();
    store.reset();
    (store, repository)
}

fn options(depth: Depth, workers: u32) -> VerifyOptions {
    VerifyOptions { workers, ..VerifyOptions::new(depth) }
}

fn slice_of(repository: &Repository, options: &VerifyOptions, slice: &Slice<'_>) -> SliceReport {
    verify_slice(repository, options, slice, &World::of_this_machine()).unwrap()
}

/// Verifies slice by slice, each of so many bytes, until nothing is left.
fn in_slices(repository: &Repository, options: &VerifyOptions, bytes: u64) -> Vec<SliceReport> {
    let mut slices: Vec<SliceReport> = Vec::new();
    loop {
        let left = slices.last().map(|slice| slice.left.clone());
        if left.as_ref().is_some_and(Vec::is_empty) {
            return slices;
        }
        let slice = Slice { packs: left.as_deref(), bytes_max: Some(bytes), ..Slice::default() };
        slices.push(slice_of(repository, options, &slice));
        assert!(slices.len() < 100, "each slice checks something");
    }
}

fn all_packs(objects: &Objects) -> Vec<PackName> {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    let inventory = Inventory::of(&store, &[Folder::Packs], "").unwrap();
    inventory.packs().map(|(name, _)| name).collect()
}

/// The damage that findings are about: lost ranges of files, in units of the finding, and objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Damage {
    lost: BTreeMap<(Option<SnapshotId>, String), BTreeSet<u64>>,
    objects: BTreeSet<String>,
}

impl Damage {
    fn add(&mut self, finding: &Finding) {
        match &finding.member {
            Some(member) => {
                let lost = self.lost.entry((finding.snapshot, member.clone())).or_default();
                lost.extend(finding.ranges.iter().flat_map(|(at, length)| *at..at + length));
            }
            None => _ = self.objects.insert(finding.what.clone()),
        }
    }

    fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Self {
        let mut damage = Self::default();
        findings.into_iter().for_each(|finding| damage.add(finding));
        damage
    }
}

#[test]
fn slices_together_find_the_damage_of_one_whole_run() {
    let objects = nights();
    let spoiled = damaged(&objects);
    let packs = all_packs(&objects);
    assert!(packs.len() > 30, "{} packs", packs.len());
    let bytes: usize = objects.values().map(Bytes::len).sum();
    for depth in [Depth::Objects, Depth::Stored, Depth::Blocks] {
        for workers in [1, 2, 4] {
            let options = options(depth, workers);
            let (_, whole) = on(&spoiled);
            let found = verify(&whole, &options, &World::of_this_machine()).unwrap().findings;
            let found = Damage::of(&found);
            let (_, sliced) = on(&spoiled);
            let parts = in_slices(&sliced, &options, u64::try_from(bytes / 5).unwrap());
            let also = Damage::of(parts.iter().flat_map(|slice| &slice.report.findings));
            assert!(found == also, "{depth:?} {workers}: {found:#?} {also:#?}");
            assert!(!found.lost.is_empty() && !found.objects.is_empty(), "{found:?}");
            let mut checked: Vec<PackName> =
                parts.iter().flat_map(|slice| slice.checked.clone()).collect();
            checked.sort_unstable();
            assert!(checked == packs, "{depth:?}: each pack is checked once");
            assert!(depth == Depth::Objects || parts.len() >= 5, "{} parts", parts.len());
            let (whole, sliced) = (whole.known_damage().unwrap(), sliced.known_damage().unwrap());
            assert!(whole.packs().eq(sliced.packs()), "{depth:?}: the same packs are recorded");
            for (id, _) in found.lost.keys() {
                let id = id.unwrap();
                assert!(whole.of(&id).is_some() && sliced.of(&id).is_some());
            }
        }
    }
}

#[test]
fn a_slice_leaves_the_records_of_other_slices_about_snapshots() {
    let objects = nights();
    let options = options(Depth::Blocks, 2);
    let (store, repository) = on(&damaged(&objects));
    let bytes: usize = objects.values().map(Bytes::len).sum();
    in_slices(&repository, &options, u64::try_from(bytes / 5).unwrap());
    let id = repository.find_snapshot("latest").unwrap().id();
    let recorded = |repository: &Repository| repository.known_damage().unwrap().of(&id).is_some();
    assert!(recorded(&repository));
    // What was lost comes back, and one pack is looked at.
    let mut mended = store.inner().objects();
    mended.extend(objects.clone());
    let (_, repository) = on(&mended);
    let one = [all_packs(&objects)[0]];
    let slice = Slice { packs: Some(&one), ..Slice::default() };
    let report = slice_of(&repository, &options, &slice);
    assert_eq!((report.checked.as_slice(), report.left.len()), (one.as_slice(), 0));
    assert_eq!(report.report.findings, []);
    assert!(recorded(&repository), "it says what other packs lack");
    assert_eq!(slice_of(&repository, &options, &Slice::default()).report.findings, []);
    assert!(!recorded(&repository), "everything was looked at");
}

/// A clock that advances by a second with every object that is read whole.
#[derive(Debug)]
struct ByReads(Counted);

impl Clock for ByReads {
    fn unix_seconds(&self) -> u64 {
        0
    }

    fn elapsed(&self) -> Duration {
        let read = |folder| self.0.calls_under(Verb::Get, folder);
        Duration::from_secs(read("packs/") + read("twins/"))
    }
}

#[test]
fn a_deadline_ends_a_slice_and_the_rest_is_named() {
    let objects = nights();
    let packs = all_packs(&objects);
    let (store, repository) = on(&objects);
    let clock = ByReads(Arc::clone(&store));
    let mut order = packs.clone();
    order.reverse();
    let at = Duration::from_secs(10);
    let deadline = Some(Deadline { clock: &clock, at });
    let slice = Slice { packs: Some(&order), deadline, ..Slice::default() };
    let report = slice_of(&repository, &options(Depth::Stored, 1), &slice);
    assert!((5..=10).contains(&report.checked.len()), "{} packs", report.checked.len());
    let both = [report.checked.clone(), report.left.clone()].concat();
    let both: BTreeSet<PackName> = both.into_iter().collect();
    assert!(both.into_iter().eq(packs.iter().copied()), "none is forgotten");
    assert!(report.checked.len() + report.left.len() == packs.len(), "none is in both");

    // It comes when blocks are about to be read: nothing is read, and all is left.
    let slice = Slice { deadline: Some(Deadline { clock: &clock, at: Duration::ZERO }), ..slice };
    store.reset();
    let report = slice_of(&repository, &options(Depth::Blocks, 1), &slice);
    assert_eq!((report.checked, report.left), (Vec::new(), order.clone()));
    assert_eq!((report.report.findings, report.report.blocks), (Vec::new(), 0));
    assert_eq!(store.calls_under(Verb::Get, "packs/"), 0);
}

#[test]
fn a_budget_of_bytes_ends_before_it_is_exceeded_and_takes_one_pack_at_least() {
    let objects = nights();
    let (_, repository) = on(&objects);
    let options = options(Depth::Stored, 2);
    let of_packs = objects.iter().filter(|(name, _)| Folder::holds_packs(name));
    let all: u64 = of_packs.map(|(_, bytes)| u64::try_from(bytes.len()).unwrap()).sum();
    let third = Slice { bytes_max: Some(all / 3), ..Slice::default() };
    let report = slice_of(&repository, &options, &third);
    let read: u64 = report.checked.iter().map(|name| both_copies(&objects, name)).sum();
    assert!(read <= all / 3 && read > all / 6, "{read} of {all}");
    assert!(!report.left.is_empty());
    let least = Slice { bytes_max: Some(1), ..Slice::default() };
    let report = slice_of(&repository, &options, &least);
    assert_eq!(report.checked.len(), 1);
}

fn both_copies(objects: &Objects, name: &PackName) -> u64 {
    let copies = [Object::Pack(*name).name(), Object::Twin(*name).name()];
    let found = copies.iter().filter_map(|copy| objects.get(copy));
    found.map(|bytes| u64::try_from(bytes.len()).unwrap()).sum()
}

#[test]
fn slices_read_each_pack_once_and_ask_little_more_than_one_run() {
    let objects = nights();
    let bytes: usize = objects.values().map(Bytes::len).sum();
    for depth in [Depth::Stored, Depth::Blocks] {
        let options = options(depth, 2);
        let (whole, repository) = on(&objects);
        verify(&repository, &options, &World::of_this_machine()).unwrap();
        let (sliced, repository) = on(&objects);
        let parts = in_slices(&repository, &options, u64::try_from(bytes / 2).unwrap());
        for folder in ["packs/", "twins/"] {
            let read = |store: &Counted| store.calls_under(Verb::Get, folder);
            assert_eq!(read(&sliced), read(&whole), "{depth:?} {folder}");
        }
        let read = |store: &Counted| store.bytes_under(Verb::GetRange, "packs/");
        let (of_slices, of_whole) = (read(&sliced), read(&whole));
        // Five slices ask 804 times, one run 544 times.
        let (asked, of_one) = (sliced.log().len(), whole.log().len());
        assert!(parts.len() > 1 && asked < of_one * 2, "{depth:?}: {asked}, one run {of_one}");
        assert!(of_slices < of_whole * 2, "{depth:?}: {of_slices} bytes, one run {of_whole}");
    }
}
