//! Increments: found their base, stored as changes of it, restored as a chain.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::record::PageCounts;
use haulout::format::snapshot::SnapshotKind;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::restore::INCOMPLETE;
use haulout::ops::restore::Losses;
use haulout::ops::restore::Method;
use haulout::ops::restore::Purpose;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::restore::Target;
use haulout::ops::restore::Unfinished;
use haulout::ops::restore::restore;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::options;
use crate::support::stream_of;

fn repository() -> Repository {
    init(Arc::new(MemoryStore::new()), Protected::Clear, 1)
}

/// A full backup and two increments: what they were, and where the last one ended.
fn three_nights(repository: &Repository, server: &mut Server) -> (Vec<BackupReport>, u64) {
    let mut reports = vec![back_up(repository, &server.stream())];
    for _ in 0..2 {
        let from = server.to_lsn();
        server.night(60);
        reports.push(back_up(repository, &server.increment(from)));
    }
    (reports, server.to_lsn())
}

fn ids(reports: &[BackupReport]) -> Vec<String> {
    reports.iter().map(|report| report.id.to_string()).collect()
}

#[test]
fn an_increment_requires_everything_that_it_builds_on() {
    let repository = repository();
    let (reports, _) = three_nights(&repository, &mut Server::new(7, 4, 300));
    let ids = ids(&reports);
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert_eq!(report.about.requires, ids[..number]);
    }
    assert_eq!(reports[2].about.kind, SnapshotKind::Incremental);
    assert_eq!(repository.find_snapshot("latest").unwrap().id(), reports[2].id);
}

#[test]
fn changed_pages_are_checked_and_stored_as_changes_of_the_base() {
    let repository = repository();
    let mut server = Server::new(7, 4, 300);
    let (reports, _) = three_nights(&repository, &mut server);
    for report in &reports[1..] {
        let counts = &report.counts;
        assert!(counts.pages_verified > 40 && counts.pages_corrupt == 0, "{counts:?}");
        assert!(counts.blocks_delta > 40, "{counts:?}");
        assert!(counts.stored_bytes < 200_000, "{counts:?}");
    }
    // A full backup behind them has the first one to compare with.
    server.night(10);
    let next = back_up(&repository, &server.stream());
    assert!(next.about.requires.is_empty());
    assert!(next.counts.blocks_same > 700, "{:?}", next.counts);
}

/// What `verify` counts of the pages of a snapshot.
fn verify_pages(repository: &Repository, id: SnapshotId) -> PageCounts {
    let snapshots = vec![repository.find_snapshot(&id.to_string()).expect("it is there")];
    let options = VerifyOptions { snapshots, workers: 2, ..VerifyOptions::new(Depth::Pages) };
    let report = verify(repository, &options, &World::of_this_machine()).expect("it runs");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    report.pages
}

#[test]
fn small_pages_are_changes_of_the_blocks_that_they_stand_in() {
    for size in [4096, 8192] {
        let repository = repository();
        let mut server = Server::new(7, 2, 100);
        let mut noise = Random(8);
        let mut letters = |count| -> Vec<u8> {
            (0..count).map(|_| b'a' + noise.next().to_le_bytes()[0] % 26).collect()
        };
        let page = |number| support::page_of(size, (40, number), 1000, &letters(size - 200));
        let pages = (0..201).map(page).collect();
        server.tables.push(("shop/small.ibd".to_owned(), 40, pages));
        let full = back_up(&repository, &server.stream());
        assert_eq!(full.about.verdict, Verdict::Complete, "{:?}", full.about.reasons);

        let from = server.to_lsn();
        server.lsn += 10;
        for page in server.tables.last_mut().unwrap().2.iter_mut().step_by(3) {
            support::change_page(page, server.lsn, (500, b"changed"));
        }
        let stream = server.increment(from);
        let report = back_up(&repository, &stream);
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        let counts = &report.counts;
        assert!(counts.blocks_delta >= 67 && counts.pages_verified >= 67, "{counts:?}");
        assert!(counts.stored_bytes < 40_000, "{counts:?}");
        assert!(stream_of(&repository, &report.id.to_string()).unwrap() == stream);
        let again = verify_pages(&repository, report.id);
        assert_eq!((again.corrupt, again.verified), (0, counts.pages_verified));
    }
}

#[test]
fn a_long_chain_still_finds_the_full_backup() {
    let repository = repository();
    let mut server = Server::new(7, 2, 200);
    back_up(&repository, &server.stream());
    for _ in 0..9 {
        let from = server.to_lsn();
        server.night(40);
        let report = back_up(&repository, &server.increment(from));
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert!(report.counts.blocks_delta > 20, "{:?}", report.counts);
    }
    let report = back_up(&repository, &server.stream());
    assert!(report.counts.blocks_same > 300, "{:?}", report.counts);
}

#[test]
fn the_stream_of_an_increment_comes_back() {
    let repository = repository();
    let mut server = Server::new(7, 3, 100);
    let from = server.to_lsn();
    back_up(&repository, &server.stream());
    server.night(50);
    let stream = server.increment(from);
    let report = back_up(&repository, &stream);
    assert!(stream_of(&repository, &report.id.to_string()).unwrap() == stream);
}

#[test]
fn a_bad_page_of_an_increment_is_named_by_its_number() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let from = server.to_lsn();
    back_up(&repository, &server.stream());
    server.night(30);
    let (name, number) = ("shop/table0.ibd", 17);
    let table = server.tables.iter_mut().find(|(path, ..)| path == name).unwrap();
    let mut lsn = (from + 1).to_le_bytes();
    lsn.reverse();
    table.2[number][16..24].copy_from_slice(&lsn);
    let report = back_up(&repository, &server.increment(from));
    assert_eq!(report.about.verdict, Verdict::CorruptPages, "{:?}", report.about.reasons);
    let named = format!("{name}.delta, page {number}: ");
    assert!(report.about.reasons[0].contains(&named), "{:?}", report.about.reasons);

    let again = verify_pages(&repository, report.id);
    assert_eq!((again.corrupt, again.verified), (1, report.counts.pages_verified));
}

#[test]
fn an_increment_without_its_base_is_partial_and_never_latest() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let full = back_up(&repository, &server.stream());
    server.night(10);
    let orphan = back_up(&repository, &server.increment(full.about.positions.to_lsn.unwrap() + 1));
    assert_eq!(orphan.about.verdict, Verdict::Partial);
    let reason = &orphan.about.reasons[0];
    assert!(reason.contains("without its base: no snapshot of this source ends"), "{reason}");
    assert!(reason.contains("take a full backup"), "{reason}");
    assert_eq!(repository.find_snapshot("latest").unwrap().id(), full.id);

    // Neither does another source's backup serve as one.
    let elsewhere = BackupOptions { source: "other".to_owned(), ..options() };
    let stream = server.increment(full.about.positions.to_lsn.unwrap());
    let other = back_up_with(&repository, &stream, ProducerExit::Exited(0), &elsewhere).unwrap();
    assert_eq!(other.about.verdict, Verdict::Partial);
}

#[test]
fn a_partial_base_is_none_and_an_unattested_one_shows() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let (stream, from) = (server.stream(), server.to_lsn());
    back_up_with(&repository, &stream, ProducerExit::Exited(1), &options()).unwrap();
    server.night(10);
    let increment = server.increment(from);
    let report = back_up(&repository, &increment);
    assert_eq!(report.about.verdict, Verdict::Partial);
    assert!(report.about.reasons[0].contains("but it is partial"), "{:?}", report.about.reasons);

    back_up_with(&repository, &stream, ProducerExit::Unseen, &options()).unwrap();
    let report = back_up(&repository, &increment);
    assert_eq!(report.about.verdict, Verdict::Unattested, "{:?}", report.about.reasons);
    assert!(report.about.reasons[0].contains("is unattested"), "{:?}", report.about.reasons);
}

#[test]
fn of_several_bases_the_one_with_the_shortest_chain_is_taken() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let full = back_up(&repository, &server.stream());
    let lsn = server.to_lsn();
    let idle = back_up(&repository, &server.increment(lsn));
    assert_eq!(idle.about.requires, [full.id.to_string()]);
    server.night(10);
    let report = back_up(&repository, &server.increment(lsn));
    assert_eq!(report.about.requires, [full.id.to_string()]);
}

#[test]
fn a_delta_file_that_lost_its_end_is_no_increment() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let from = server.to_lsn();
    back_up(&repository, &server.stream());
    server.night(40);
    // Ended properly, and right in all checksums of the container.
    let mut short = Vec::new();
    let stream = server.increment(from);
    let mut head = Vec::new();
    support::header(&mut head, b'P', "shop/table1.ibd.delta");
    let at = stream.windows(head.len()).position(|window| window == head).unwrap();
    short.extend_from_slice(&stream[..at]);
    let length: [u8; 8] = stream[at + head.len()..][..8].try_into().unwrap();
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap();
    let payload = &stream[at + head.len() + 20..][..length];
    support::file(&mut short, "shop/table1.ibd.delta", &payload[..length - support::PAGE], 1 << 26);
    let mut end = Vec::new();
    support::header(&mut end, b'E', "shop/table1.ibd.delta");
    short.extend_from_slice(&stream[at + head.len() + 20 + length + end.len()..]);
    let report = back_up(&repository, &short);
    assert_eq!(report.about.verdict, Verdict::Partial);
    let found = |reason: &String| reason.contains("'shop/table1.ibd.delta': delta ends before");
    assert!(report.about.reasons.iter().any(found), "{:?}", report.about.reasons);
}

#[test]
fn an_increment_that_was_cut_is_still_called_one() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let from = server.to_lsn();
    back_up(&repository, &server.stream());
    server.night(40);
    let stream = server.increment(from);
    let report = back_up(&repository, &stream[..stream.len() / 2]);
    assert_eq!(report.about.verdict, Verdict::Partial);
    assert_eq!(report.about.kind, SnapshotKind::Incremental);
}

fn restore_latest(repository: &Repository, target: &Path) -> Result<RestoreReport> {
    let stored = repository.find_snapshot("latest")?;
    let options = RestoreOptions::new(2);
    let (target, world) = (Target::Directory(target), World::of_this_machine());
    restore(repository, &stored, target, &options, &world)
}

#[test]
fn a_chain_is_restored_side_by_side() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let (reports, _) = three_nights(&repository, &mut server);
    let target = tempfile::tempdir().unwrap();
    let report = restore_latest(&repository, target.path()).unwrap();
    assert_eq!(report.method, Method::Chain);
    let restored: Vec<_> = report.steps.iter().map(|step| step.snapshot).collect();
    assert_eq!(restored, reports.iter().map(|report| report.id).collect::<Vec<_>>());
    for (directory, file) in [
        ("full", "shop/table1.ibd"),
        ("increment-1", "shop/table1.ibd.delta"),
        ("increment-2", "xtrabackup_checkpoints"),
    ] {
        assert!(target.path().join(directory).join(file).exists(), "{directory}/{file}");
    }
    let last = fs::read(target.path().join("increment-2/shop/table1.ibd.delta")).unwrap();
    assert!(last.starts_with(b"XTRA"));
    let options = RestoreOptions { purpose: Purpose::Prepare, ..RestoreOptions::default() };
    let again = restored_as(&repository, target.path(), &options).unwrap();
    assert_eq!((again.method, again.files), (Method::ChainInPlace, 0), "it waits to be prepared");
    let other = restore_latest(&repository, target.path()).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Occupied, "only a preparation takes it as it is: {other}");
}

#[test]
fn an_increment_without_its_base_is_not_prepared() {
    let repository = repository();
    let mut server = Server::new(7, 2, 100);
    let from = server.to_lsn();
    server.night(40);
    let id = back_up(&repository, &server.increment(from)).id.to_string();
    let stored = repository.find_snapshot(&id).unwrap();
    let target = tempfile::tempdir().unwrap();
    let into = |options: &RestoreOptions| {
        let (target, world) = (Target::Directory(target.path()), World::of_this_machine());
        restore(&repository, &stored, target, options, &world)
    };
    let options = RestoreOptions { purpose: Purpose::Prepare, ..RestoreOptions::default() };
    let error = into(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("is an increment without its base"), "{error}");
    assert!(tree(target.path()).is_empty(), "nothing was written");
    let report = into(&RestoreOptions::default()).unwrap();
    assert_eq!(report.method, Method::Files, "its own files are restored");
}

#[test]
fn a_chain_with_a_gap_is_neither_verified_nor_restored() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(support::shared(&store), Protected::Clear, 1);
    let mut server = Server::new(7, 2, 100);
    let (reports, _) = three_nights(&repository, &mut server);
    let mut names = Vec::new();
    store.list("snapshots/", &mut |meta| names.push(meta.name)).unwrap();
    let lost = reports[1].id.to_string();
    let lost: &ObjectName = names.iter().find(|name| name.as_str().ends_with(&lost)).unwrap();
    store.delete(lost).unwrap();
    let target = tempfile::tempdir().unwrap();
    let error = restore_latest(&repository, target.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains(&reports[1].id.short()), "{error}");
    let options = VerifyOptions::new(Depth::Objects);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(report.findings[0].what.contains("which is missing"), "{:?}", report.findings);

    // Nothing builds on what lost its base.
    let from = server.to_lsn();
    server.night(5);
    let report = back_up(&repository, &server.increment(from));
    assert!(report.about.reasons[0].contains("is gone"), "{:?}", report.about.reasons);
}

/// All files below a directory.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("it is readable") {
            let path = entry.expect("it is readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(root).expect("it is below").display().to_string();
                found.insert(name, fs::read(&path).expect("it is readable"));
            }
        }
    }
    found
}

/// A chain of three in a store that a test can damage, and the files that it is restored to.
fn chain_in_store() -> (Arc<MemoryStore>, Repository, BTreeMap<String, Vec<u8>>) {
    let store = Arc::new(MemoryStore::new());
    let repository = init(support::shared(&store), Protected::Clear, 1);
    three_nights(&repository, &mut Server::new(7, 4, 300));
    let target = tempfile::tempdir().expect("there is room");
    restore_latest(&repository, target.path()).expect("it is whole");
    (store, repository, tree(target.path()))
}

fn restored_as(
    repository: &Repository,
    target: &Path,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let stored = repository.find_snapshot("latest")?;
    let (target, world) = (Target::Directory(target), World::of_this_machine());
    restore(repository, &stored, target, options, &world)
}

#[test]
fn an_interrupted_restore_of_a_chain_goes_on() {
    let (_, repository, good) = chain_in_store();
    let id = repository.find_snapshot("latest").expect("it is there").id();
    for workers in [1, 2, 4] {
        let target = tempfile::tempdir().expect("there is room");
        let unfinished = Unfinished::Resume;
        let purpose = Purpose::Prepare;
        let options = RestoreOptions { unfinished, purpose, ..RestoreOptions::new(workers) };
        restored_as(&repository, target.path(), &options).expect("it is whole");
        let at = |name: &str| target.path().join(name);
        let mark = format!(
            "{{\"haulout-restore\":1,\"repository\":\"{}\",\"snapshot\":\"{id}\"}}",
            repository.keyring().repository()
        );
        fs::write(at(INCOMPLETE), mark).expect("it is writable");
        fs::remove_file(at("haulout-chain.json")).expect("it is there");
        fs::remove_dir_all(at("increment-2")).expect("it is there");
        fs::remove_file(at("full/shop/table0.ibd")).expect("it is there");
        let cut = fs::File::options().write(true).open(at("full/shop/table1.ibd"));
        cut.expect("it is there").set_len(20_000).expect("it is writable");
        fs::write(at("increment-1/shop/table1.ibd.delta"), b"wrong").expect("it is writable");
        let report = restored_as(&repository, target.path(), &options).expect("it goes on");
        assert_eq!(report.method, Method::Chain, "it did not wait to be prepared");
        assert!(tree(target.path()) == good, "{workers} workers");
    }
}

#[test]
fn of_a_damaged_chain_what_is_whole_is_restored_and_it_is_never_applied() {
    let (store, repository, good) = chain_in_store();
    let objects = store.objects();
    let is_pack = |name: &str| name.starts_with("packs/");
    let largest = objects.iter().filter(|(name, _)| is_pack(name.as_str()));
    let (name, pack) = largest.max_by_key(|(_, bytes)| bytes.len()).expect("there are packs");
    let mut damaged = pack.to_vec();
    damaged[pack.len() / 2] ^= 1;
    let mut all = objects.clone();
    all.insert(name.clone(), damaged.into());
    store.set_objects(all);
    for workers in [1, 2, 4] {
        let options = RestoreOptions::new(workers);
        let target = tempfile::tempdir().expect("there is room");
        let failed = restored_as(&repository, target.path(), &options);
        assert_eq!(failed.expect_err("it is damaged").kind(), ErrorKind::Damaged);
        let options = RestoreOptions { losses: Losses::LeaveOut, ..options };
        let target = tempfile::tempdir().expect("there is room");
        let report = restored_as(&repository, target.path(), &options).expect("the rest is whole");
        let lost: Vec<String> =
            report.lost.iter().map(|it| String::from_utf8_lossy(&it.path).into_owned()).collect();
        assert!(!lost.is_empty() && lost[0].starts_with("full/shop/"), "{lost:?}");
        let mut wanted = good.clone();
        wanted.remove("haulout-chain.json").expect("a whole chain can be applied");
        wanted.retain(|name, _| !lost.contains(name));
        assert!(tree(target.path()) == wanted, "without {lost:?}");
    }
}
