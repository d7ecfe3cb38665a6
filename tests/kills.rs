//! The program is killed at random moments, its repository in a directory or in an object store:
//! every snapshot that shows is whole, every one that was reported shows, and the next run needs no
//! repair.
//!
//! `HAULOUT_KILLS` says how often in each test, a quarter of it where the server in this process is
//! what costs; the moments follow from `HAULOUT_KILLS_SEED`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use std::fs::File;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::name::ObjectName;
use haulout::store::remote::RemoteOptions;
use tempfile::TempDir;

use crate::s3::Conditions;
use crate::s3::S3;
use crate::support::Random;
use crate::support::Server;
use crate::support::open;
use crate::support::stream_of;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

fn kills() -> u64 {
    number("HAULOUT_KILLS", 30)
}

/// A directory for streams, and where the repositories of a test stand.
struct Ground {
    directory: TempDir,
    /// What comes before a repository's name, and how the program gets there; not in a directory.
    bucket: Option<(String, RemoteOptions)>,
}

impl Ground {
    fn local() -> Ground {
        Ground { directory: tempfile::tempdir().unwrap(), bucket: None }
    }

    fn bucket(place: &str, options: RemoteOptions) -> Ground {
        Ground { bucket: Some((place.to_owned(), options)), ..Ground::local() }
    }

    fn write(&self, name: &str, stream: &[u8]) {
        std::fs::write(self.directory.path().join(name), stream).unwrap();
    }

    /// Where a repository of this name is.
    fn at(&self, name: &str) -> String {
        let before = self.bucket.as_ref().map_or("", |(place, _)| place);
        format!("{before}{name}")
    }

    /// The program with these words, and a repository; a stream is on its standard input.
    fn haulout(&self, repository: &str, line: &str, stream: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.args(["-r", repository, "-q"]).args(line.split(' '));
        command.current_dir(self.directory.path());
        if let Some((_, options)) = &self.bucket {
            command.args(["--endpoint", options.endpoint.as_deref().unwrap(), "--allow-http"]);
            command.envs(options.variables.iter().cloned());
        }
        let file = |name| File::open(self.directory.path().join(name)).unwrap();
        let stdin = stream.map_or_else(Stdio::null, |name| Stdio::from(file(name)));
        command.stdin(stdin).stderr(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// A repository, once it is there.
    fn repository(&self, name: &str) -> Option<Repository> {
        let store: Arc<dyn Store> = match &self.bucket {
            Some((_, options)) => Arc::new(s3::open(&self.at(name), options)),
            None => Arc::new(LocalStore::open(&self.directory.path().join(name)).ok()?),
        };
        let config = ObjectName::new("config").unwrap();
        store.size(&config).unwrap()?;
        Some(open(store, 3).unwrap())
    }
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

fn kill_backups(ground: &Ground, rounds: u64) {
    let mut random = Random(number("HAULOUT_KILLS_SEED", 1));
    let mut server = Server::new(1, 2, 60);
    let mut streams = Vec::new();
    for name in ["even", "odd"] {
        streams.push(server.stream());
        ground.write(name, streams.last().unwrap());
        server.night(30);
    }
    let repository = ground.at("repo");
    let run = |line: &str, stream| ground.haulout(&repository, line, stream);
    whole(run("init --no-encryption", None));
    let longest = whole(run("backup --source db", Some("even")));
    let mut seen = 1;
    for round in 0..rounds {
        let name = if round % 2 == 0 { "odd" } else { "even" };
        let done = killed(run("backup --source db", Some(name)), &mut random, longest);
        let now = check(&ground.repository("repo").unwrap(), seen, &streams);
        assert!(now >= seen + usize::from(done), "round {round}: a snapshot that was done is gone");
        seen = now;
    }
    whole(run("backup --source db", Some("odd")));
    whole(run("verify --depth blocks", None));
    assert_eq!(check(&ground.repository("repo").unwrap(), 0, &streams), seen + 1);
}

/// From a directory to wherever the ground is.
fn kill_replications(ground: &Ground, rounds: u64) {
    let mut random = Random(number("HAULOUT_KILLS_SEED", 2));
    let mut server = Server::new(2, 2, 60);
    let mut streams = Vec::new();
    let run = |line: &str, stream| ground.haulout("repo", line, stream);
    whole(run("init --no-encryption", None));
    for _ in 0..3 {
        streams.push(server.stream());
        ground.write("stream", streams.last().unwrap());
        whole(run("backup --source db", Some("stream")));
        server.night(30);
    }
    let replicate = |name: &str| run(&format!("replicate --to {}", ground.at(name)), None);
    let longest = whole(replicate("measured"));
    let mut copies = 0;
    for round in 0..rounds {
        let copy = format!("copy{copies}");
        let done = killed(replicate(&copy), &mut random, longest);
        let shown = ground.repository(&copy).map_or(0, |there| check(&there, 0, &streams));
        assert!(!done || shown == 3, "round {round}: done, and {shown} snapshots show");
        if shown == 3 {
            whole(replicate(&copy));
            copies += 1;
        }
    }
    let copy = format!("copy{copies}");
    whole(replicate(&copy));
    assert_eq!(check(&ground.repository(&copy).unwrap(), 0, &streams), 3);
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_half_done() {
    kill_backups(&Ground::local(), kills());
}

#[test]
fn a_replication_that_is_killed_leaves_nothing_half_done() {
    kill_replications(&Ground::local(), kills());
}

#[test]
fn a_backup_to_a_bucket_that_is_killed_leaves_nothing_half_done() {
    let server = S3::start();
    kill_backups(&Ground::bucket("s3://test/", server.options()), kills() / 4);
}

#[test]
fn a_replication_to_a_bucket_that_is_killed_leaves_nothing_half_done() {
    let server = S3::start_with(Conditions::Ignored);
    kill_replications(&Ground::bucket("s3://test/", server.options()), kills() / 4);
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn a_backup_to_a_real_server_that_is_killed_leaves_nothing_half_done() {
    let (place, options) = s3::outside("kills-backup");
    kill_backups(&Ground::bucket(&format!("{place}/"), options), kills());
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn a_replication_to_a_real_server_that_is_killed_leaves_nothing_half_done() {
    let (place, options) = s3::outside("kills-replicate");
    kill_replications(&Ground::bucket(&format!("{place}/"), options), kills());
}
