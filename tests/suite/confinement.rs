//! Where a restore writes: into its target and nowhere else, whatever another process that may
//! write there does meanwhile.
//!
//! A thread swaps names of the target for links to another place while restores run. A restore may
//! fail over that, and must not write, make, change or remove anything in the other place. As root
//! the target belongs to another user, as when a service's directory is filled.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::snapshot::StreamFormat;
use haulout::ops::restore;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::restore::Sharing;
use haulout::ops::restore::Target;
use haulout::ops::restore::accounts::Accounts;
use haulout::repo::Repository;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::source::ProducerExit;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::options;

/// Restores of each kind of stream; `HAULOUT_TEST_ROUNDS` asks for others.
const ROUNDS: u32 = 40;
/// Who owns the target, if that can be somebody else.
const STRANGER: u32 = 65_534;

fn repository() -> Repository {
    init(Arc::new(MemoryStore::new()), Protected::Clear, 1)
}

fn rounds() -> u32 {
    let asked = std::env::var("HAULOUT_TEST_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
) -> haulout::base::error::Result<RestoreReport> {
    let options = RestoreOptions::new(2);
    let (target, world) = (Target::Directory(target), World::of_this_machine());
    restore::restore(repository, stored, target, &options, &world)
}

/// A place that no restore may touch.
struct Outside {
    directory: tempfile::TempDir,
    victim: PathBuf,
}

impl Outside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o640)).unwrap();
        Self { directory, victim }
    }

    /// What has happened to it, if anything.
    fn damage(&self) -> Option<String> {
        let names: Vec<_> = fs::read_dir(self.directory.path()).unwrap().collect();
        if names.len() != 1 {
            return Some(format!("it has {names:?}"));
        }
        let found = fs::metadata(&self.victim).unwrap();
        let as_it_was = fs::read(&self.victim).unwrap() == b"untouched"
            && found.mode() & 0o7777 == 0o640
            && found.uid() == rustix::process::geteuid().as_raw();
        (!as_it_was).then(|| format!("the victim is {found:?}"))
    }
}

/// Swaps names of the target for links that lead outside, until it is told to stop.
fn swap(target: &Path, names: &[&str], outside: &Outside, stop: &AtomicBool) -> u64 {
    let mut swaps = 0;
    let aside = target.with_extension("aside");
    while !stop.load(Ordering::Relaxed) {
        for name in names {
            let at = target.join(name);
            // Both kinds of link: to the directory, and to the file in it.
            let to = if swaps % 2 == 0 { outside.directory.path() } else { &outside.victim };
            let _previous = fs::rename(&at, &aside);
            if symlink(to, &at).is_ok() {
                swaps += 1;
                std::thread::yield_now();
                let _gone = fs::remove_file(&at);
            }
            let _back = fs::rename(&aside, &at);
        }
    }
    swaps
}

/// Restores a snapshot many times while its names are swapped; how often it succeeded, and what
/// escaped.
fn race(repository: &Repository, stored: &StoredSnapshot, names: &[&str]) -> (u64, Vec<String>) {
    let (mut succeeded, mut escaped) = (0, Vec::new());
    let swaps = AtomicU64::new(0);
    for round in 0..rounds() {
        let (outside, parent) = (Outside::new(), tempfile::tempdir().unwrap());
        let target = parent.path().join("target");
        fs::create_dir(&target).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&target, Some(STRANGER), None).unwrap();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let count = swap(&target, names, &outside, &stop);
                swaps.fetch_add(count, Ordering::Relaxed);
            });
            succeeded += u64::from(restore(repository, stored, &target).is_ok());
            stop.store(true, Ordering::Relaxed);
        });
        escaped.extend(outside.damage().map(|damage| format!("round {round}: {damage}")));
    }
    assert!(swaps.into_inner() > u64::from(rounds()), "the names were swapped");
    (succeeded, escaped)
}

fn assert_confined(repository: &Repository, names: &[&str]) {
    let stored = repository.find_snapshot("latest").unwrap();
    let (succeeded, escaped) = race(repository, &stored, names);
    assert!(escaped.is_empty(), "{} escapes, {succeeded} restores: {escaped:?}", escaped.len());
}

#[test]
fn an_mbstream_stays_in_its_target_while_links_are_swapped_in() {
    let repository = repository();
    back_up(&repository, &Server::new(3, 40, 2).stream());
    assert_confined(&repository, &["shop"]);
    assert_confined(&repository, &["ibdata1", "undo001", "shop", ".haulout-incomplete"]);
}

#[test]
fn a_chain_stays_in_its_target_while_links_are_swapped_in() {
    let repository = repository();
    let mut server = Server::new(7, 12, 20);
    let from = server.to_lsn();
    back_up(&repository, &server.stream());
    server.night(10);
    back_up(&repository, &server.increment(from));
    assert_confined(&repository, &["full", "increment-1", "haulout-chain.json.new"]);
    assert_confined(&repository, &["haulout-chain.json", ".haulout-incomplete", "full/shop"]);
}

#[test]
fn a_dump_stays_in_its_target_while_links_are_swapped_in() {
    let repository = repository();
    let mut dump = b"-- MariaDB dump 10.19\nSET NAMES utf8mb4;\n".to_vec();
    for schema in 0..4 {
        dump.extend_from_slice(format!("--\n-- Current Database: `s{schema}`\n--\n").as_bytes());
        dump.extend_from_slice(
            format!("CREATE DATABASE `s{schema}`;\nUSE `s{schema}`;\n").as_bytes(),
        );
        for table in 0..20 {
            let head = format!("--\n-- Table structure for table `t{table}`\n--\n");
            let text = format!("{head}CREATE TABLE `t{table}` (a int);\n");
            dump.extend_from_slice(text.as_bytes());
        }
    }
    dump.extend_from_slice(b"-- Dump completed on 2026-01-01  0:00:00\n");
    back_up(&repository, &dump);
    let stored = repository.find_snapshot("latest").unwrap();
    assert_eq!(stored.snapshot.about.format, StreamFormat::Sql);
    assert_confined(&repository, &["s0", "s1", "s2", "s3", ".haulout-incomplete"]);
}

#[test]
fn a_tar_stays_in_its_target_while_links_are_swapped_in() {
    let tree = tempfile::tempdir().unwrap();
    let inside = tree.path().join("etc/nova");
    fs::create_dir_all(&inside).unwrap();
    for number in 0..30 {
        fs::write(inside.join(format!("file-{number}")), [7; 3000]).unwrap();
        symlink("nowhere", inside.join(format!("link-{number}"))).unwrap();
        let pipe = tree.path().join(format!("pipe-{number}"));
        let made = Command::new("mkfifo").arg("-m").arg("777").arg(&pipe).status().unwrap();
        assert!(made.success());
    }
    let archive = Command::new("tar").arg("-C").arg(tree.path()).args(["-cf", "-", "."]).output();
    let repository = repository();
    back_up(&repository, &archive.unwrap().stdout);
    let names: Vec<String> = (0..30).map(|number| format!("pipe-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_confined(&repository, &[&names[..], &["etc"]].concat());
    assert_confined(&repository, &["etc", "etc/nova", ".haulout-incomplete"]);
}

#[test]
fn a_plain_stream_writes_nothing_into_a_target() {
    let repository = repository();
    back_up_with(&repository, b"plain text", ProducerExit::Exited(0), &options()).unwrap();
    let stored = repository.find_snapshot("latest").unwrap();
    let target = tempfile::tempdir().unwrap();
    let error = restore(&repository, &stored, target.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_target_that_others_can_write_to_is_refused_unless_that_is_allowed() {
    let repository = repository();
    back_up(&repository, &Server::new(3, 2, 4).stream());
    let stored = repository.find_snapshot("latest").unwrap();
    let top = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (open, sticky, within) =
        (top.path().join("open"), top.path().join("sticky"), top.path().join("open/within"));
    allow(&open, 0o777);
    allow(&sticky, 0o1777);
    allow(&within, 0o700);
    for target in [&open, &sticky, &within, &open.join("new"), &within.join("a/b")] {
        let error = restore(&repository, &stored, target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shared, "{}: {error}", target.display());
    }
    assert!(!open.join("new").exists() && !within.join("a").exists(), "nothing was made");
    restore(&repository, &stored, &sticky.join("new")).unwrap();
    let options = RestoreOptions { sharing: Sharing::Allow, ..RestoreOptions::default() };
    let (target, world) = (Target::Directory(&within), World::of_this_machine());
    restore::restore(&repository, &stored, target, &options, &world).unwrap();
    assert_ne!(Sharing::Allow, Sharing::Refuse(Accounts::default()));
}

#[test]
fn a_target_with_lost_and_found_or_behind_a_link_is_filled() {
    let repository = repository();
    back_up(&repository, &Server::new(3, 2, 4).stream());
    let stored = repository.find_snapshot("latest").unwrap();
    let top = tempfile::tempdir().unwrap();
    let (fresh, link) = (top.path().join("fresh"), top.path().join("link"));
    fs::create_dir_all(fresh.join("lost+found")).unwrap();
    symlink("fresh", &link).unwrap();
    restore(&repository, &stored, &link).unwrap();
    assert!(fresh.join("ibdata1").exists());
    let (dangling, file) = (top.path().join("dangling"), top.path().join("file"));
    symlink("nowhere", &dangling).unwrap();
    File::create(&file).unwrap();
    fs::create_dir(top.path().join("full")).unwrap();
    fs::write(top.path().join("full/lost+found"), "a file").unwrap();
    for (target, words) in [
        (&dangling, "leads nowhere"),
        (&file, "not a directory"),
        (&top.path().join("full"), "has lost+found"),
    ] {
        let error = restore(&repository, &stored, target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Occupied);
        assert!(error.to_string().contains(words), "{error}");
    }
}
