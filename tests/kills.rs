//! The program is killed at random moments: every snapshot that shows is whole, every one that was
//! reported shows, and the next run needs no repair.
//!
//! `HAULOUT_KILLS` says how often (of each kind); the moments follow from `HAULOUT_KILLS_SEED`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::local::LocalStore;

use crate::support::Random;
use crate::support::Server;
use crate::support::open;
use crate::support::stream_of;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// The program with these words; a stream is on its standard input.
fn haulout(directory: &Path, line: &str, stream: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAULOUT") {
            command.env_remove(name);
        }
    }
    command.args(["-r", "repo", "-q"]).args(line.split(' ')).current_dir(directory);
    let stdin = stream.map(|name| Stdio::from(File::open(directory.join(name)).unwrap()));
    command.stdin(stdin.unwrap_or_else(Stdio::null)).stderr(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs to the end, and says how long that took.
#[expect(clippy::disallowed_methods, reason = "moments to kill at follow from what a run takes")]
fn whole(mut command: Command) -> Duration {
    let begun = Instant::now();
    assert!(command.status().unwrap().success());
    begun.elapsed()
}

/// Runs until a moment within `longest`; whether it had ended well by then.
fn killed(mut command: Command, random: &mut Random, longest: Duration) -> bool {
    let mut child = command.spawn().unwrap();
    let micros = usize::try_from(longest.as_micros()).unwrap();
    sleep(Duration::from_micros(u64::try_from(random.below(micros)).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap().success()
}

fn repository(directory: &Path, name: &str) -> Option<Repository> {
    let path = directory.join(name);
    if !path.join("config").exists() {
        return None;
    }
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(&path).unwrap());
    Some(open(store, 3).unwrap())
}

/// Checks every snapshot that was not there before; how many there are.
fn check(repository: &Repository, seen: usize, streams: &[Vec<u8>]) -> usize {
    let listing = repository.snapshots().unwrap();
    assert!(listing.damaged.is_empty());
    for stored in &listing.snapshots[seen.min(listing.snapshots.len())..] {
        let stream = stream_of(repository, &stored.id().to_string()).unwrap();
        assert!(streams.contains(&stream), "a snapshot shows that is none of the streams");
    }
    listing.snapshots.len()
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_half_done() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut random = Random(number("HAULOUT_KILLS_SEED", 1));
    let mut server = Server::new(1, 2, 60);
    let mut streams = Vec::new();
    for name in ["even", "odd"] {
        streams.push(server.stream());
        std::fs::write(directory.join(name), streams.last().unwrap()).unwrap();
        server.night(30);
    }
    whole(haulout(directory, "init --no-encryption", None));
    let longest = whole(haulout(directory, "backup --source db", Some("even")));
    let mut seen = 1;
    for round in 0..number("HAULOUT_KILLS", 30) {
        let name = if round % 2 == 0 { "odd" } else { "even" };
        let done =
            killed(haulout(directory, "backup --source db", Some(name)), &mut random, longest);
        let now = check(&repository(directory, "repo").unwrap(), seen, &streams);
        assert!(now >= seen + usize::from(done), "round {round}: a snapshot that was done is gone");
        seen = now;
    }
    whole(haulout(directory, "backup --source db", Some("odd")));
    whole(haulout(directory, "verify --depth blocks", None));
    assert_eq!(check(&repository(directory, "repo").unwrap(), 0, &streams), seen + 1);
}

#[test]
fn a_replication_that_is_killed_leaves_nothing_half_done() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut random = Random(number("HAULOUT_KILLS_SEED", 2));
    let mut server = Server::new(2, 2, 60);
    let mut streams = Vec::new();
    whole(haulout(directory, "init --no-encryption", None));
    for _ in 0..3 {
        streams.push(server.stream());
        std::fs::write(directory.join("stream"), streams.last().unwrap()).unwrap();
        whole(haulout(directory, "backup --source db", Some("stream")));
        server.night(30);
    }
    let longest = whole(haulout(directory, "replicate --to measured", None));
    for round in 0..number("HAULOUT_KILLS", 30) {
        let line = "replicate --to copy";
        let done = killed(haulout(directory, line, None), &mut random, longest);
        let shown = repository(directory, "copy").map_or(0, |copy| check(&copy, 0, &streams));
        assert!(!done || shown == 3, "round {round}: done, and {shown} snapshots show");
        if shown == 3 {
            whole(haulout(directory, line, None));
            std::fs::remove_dir_all(directory.join("copy")).unwrap();
        }
    }
    whole(haulout(directory, "replicate --to copy", None));
    assert_eq!(check(&repository(directory, "copy").unwrap(), 0, &streams), 3);
}
