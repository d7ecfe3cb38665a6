//! A disk fills up while something is stored: the error says so, nothing half-done shows, and the
//! next run succeeds once there is room.
//!
//! The disk is a small tmpfs, which takes root to mount; where that can't be, it is said.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;

use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::local::LocalStore;

use crate::support::Server;
use crate::support::open;
use crate::support::stream_of;

/// What is left of the disk each time: for nothing, for a part of the packs, for nearly all.
const LEFT_KIB: [u64; 5] = [0, 64, 500, 1100, 1700];

/// A file system of its own; unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that does not run must not look like it did")]
    fn mounted() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "haulout-test"]).arg(directory.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a tmpfs can't be mounted here (that needs root)");
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fills the disk but for so much.
    fn fill(&self, left_kib: u64) {
        let mut ballast = File::create(self.path("ballast")).unwrap();
        let mut bytes = 0;
        while ballast.write_all(&[1; 4096]).is_ok() {
            bytes += 4096;
        }
        ballast.set_len(u64::max(bytes, left_kib << 10) - (left_kib << 10)).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().unwrap();
    }
}

fn haulout(repository: &Path, line: &str, stream: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAULOUT") {
            command.env_remove(name);
        }
    }
    command.arg("-r").arg(repository).args(["-q", "--json"]).args(line.split(' '));
    let stdin = stream.map(|path| Stdio::from(File::open(path).unwrap()));
    command.stdin(stdin.unwrap_or_else(Stdio::null)).output().unwrap()
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether it was done; if not, the error must be that the disk is full.
#[track_caller]
fn done_or_full(output: &Output) -> bool {
    if output.status.success() {
        return true;
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["error"]["kind"], "full", "{told}");
    assert_eq!(output.status.code(), Some(1));
    false
}

/// The streams of all snapshots that show.
fn shown(path: &Path) -> Vec<Vec<u8>> {
    if !path.join("config").exists() {
        return Vec::new();
    }
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(path).unwrap());
    let repository: Repository = open(store, 3).unwrap();
    let listing = repository.snapshots().unwrap();
    assert!(listing.damaged.is_empty());
    let streams = listing.snapshots.iter();
    streams.map(|stored| stream_of(&repository, &stored.id().to_string()).unwrap()).collect()
}

/// The streams of two servers that have nothing in common, as files.
fn streams(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let write = |number: u64| {
        let (path, stream) =
            (directory.join(format!("{number}")), Server::new(number, 1, 60).stream());
        fs::write(&path, &stream).unwrap();
        (path, stream)
    };
    (1..=2).map(write).collect()
}

#[test]
fn a_backup_to_a_full_disk_fails_leaves_nothing_half_done_and_succeeds_with_room() {
    let Some(disk) = Disk::mounted() else { return };
    let directory = tempfile::tempdir().unwrap();
    let streams = streams(directory.path());
    let mut failed = 0;
    for left in LEFT_KIB {
        let repository = disk.path("repo");
        done(&haulout(&repository, "init --no-encryption", None));
        done(&haulout(&repository, "backup --source db", Some(&streams[0].0)));
        disk.fill(left);
        let ended = haulout(&repository, "backup --source db", Some(&streams[1].0));
        let all: Vec<Vec<u8>> = streams.iter().map(|(_, stream)| stream.clone()).collect();
        if done_or_full(&ended) {
            assert!(shown(&repository) == all, "{left} KiB left: done, and not there");
        } else {
            failed += 1;
            assert!(shown(&repository) == all[..1], "{left} KiB left: half a snapshot shows");
            done(&haulout(&repository, "verify --depth blocks", None));
        }
        disk.make_room();
        done(&haulout(&repository, "backup --source db", Some(&streams[1].0)));
        assert!(shown(&repository).last() == Some(&streams[1].1), "{left} KiB left");
        done(&haulout(&repository, "verify --depth blocks", None));
        fs::remove_dir_all(&repository).unwrap();
    }
    assert!(failed >= 3, "{failed} runs found the disk full");
}

#[test]
fn a_replication_to_a_full_disk_fails_leaves_nothing_half_done_and_succeeds_with_room() {
    let Some(disk) = Disk::mounted() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (near, streams) = (directory.path().join("near"), streams(directory.path()));
    done(&haulout(&near, "init --no-encryption", None));
    for (path, _) in &streams {
        done(&haulout(&near, "backup --source db", Some(path)));
    }
    let copy = disk.path("copy");
    let line = format!("replicate --init --to {}", copy.display());
    let mut failed = 0;
    for left in LEFT_KIB {
        disk.fill(left);
        let whole = done_or_full(&haulout(&near, &line, None));
        failed += usize::from(!whole);
        let there = shown(&copy);
        assert!(there.len() == 2 || !whole, "{left} KiB left: done, and not there");
        assert!(there.iter().all(|own| streams.iter().any(|(_, stream)| stream == own)));
        disk.make_room();
        done(&haulout(&near, &line, None));
        assert!(shown(&copy) == shown(&near), "{left} KiB left");
        done(&haulout(&copy, "verify --depth blocks", None));
        fs::remove_dir_all(&copy).unwrap();
    }
    assert!(failed >= 3, "{failed} runs found the disk full");
}
