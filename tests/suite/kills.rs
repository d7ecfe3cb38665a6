//! The program is killed at random moments, its repository in a directory or in an object store:
//! every snapshot that shows is whole, every one that was reported shows, and the next run needs no
//! repair.
//!
//! `HAULOUT_KILLS` says how often in each test, a quarter of it where the server in this process is
//! what costs; the moments follow from `HAULOUT_KILLS_SEED`. What `HAULOUT_KILLS=4000` makes are
//! 10,000 kills of backups and replications, and 4,000 of rotations of keys.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use haulout::base::entropy::OsEntropy;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::repo::Repository;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::name::ObjectName;
use haulout::store::remote::RemoteOptions;
use tempfile::TempDir;

use crate::support::Random;
use crate::support::Server;
use crate::support::open;
use crate::support::s3;
use crate::support::s3::Conditions;
use crate::support::s3::S3;
use crate::support::stream_of;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

fn kills() -> u64 {
    number("HAULOUT_KILLS", 30)
}

/// Kills after which a test begins anew on another ground: after each, all snapshots are listed.
const KILLS_ON_A_GROUND: u64 = 200;

/// Lets `test` kill so often, on grounds that `make` makes by their numbers.
fn on_grounds(
    kills: u64,
    seed: u64,
    make: impl Fn(u64) -> Ground,
    test: fn(&Ground, &mut Random, u64),
) {
    let mut random = Random(number("HAULOUT_KILLS_SEED", seed));
    for first in (0..kills).step_by(usize::try_from(KILLS_ON_A_GROUND).unwrap()) {
        let ground = make(first / KILLS_ON_A_GROUND);
        test(&ground, &mut random, KILLS_ON_A_GROUND.min(kills - first));
    }
}

/// A directory for streams, and where the repositories of a test stand.
struct Ground {
    directory: TempDir,
    /// What comes before a repository's name, and how the program gets there; not in a directory.
    bucket: Option<(String, RemoteOptions)>,
    /// Whose bucket it is, if it runs in this process.
    _server: Option<S3>,
}

impl Ground {
    fn local() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), bucket: None, _server: None }
    }

    fn within(server: S3) -> Self {
        let bucket = Some(("s3://test/".to_owned(), server.options()));
        Self { bucket, _server: Some(server), ..Self::local() }
    }

    /// On the server that `tests/stores` has started.
    fn outside(name: &str) -> Self {
        let (place, options) = s3::outside(name);
        Self { bucket: Some((format!("{place}/"), options)), ..Self::local() }
    }

    fn write(&self, name: &str, stream: &[u8]) {
        let path = self.directory.path().join(name);
        std::fs::write(&path, stream).unwrap();
        // As a file with a key shall be.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Where a repository of this name is.
    fn at(&self, name: &str) -> String {
        let before = self.bucket.as_ref().map_or("./", |(place, _)| place);
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
        let is_url = repository.contains("://");
        let place = if is_url { repository.to_owned() } else { format!("./{repository}") };
        command.args(["-r", &place, "-q"]).args(line.split(' '));
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

    fn store(&self, name: &str) -> Option<Arc<dyn Store>> {
        Some(match &self.bucket {
            Some((_, options)) => Arc::new(s3::open(&self.at(name), options)),
            None => Arc::new(LocalStore::open(&self.directory.path().join(name)).ok()?),
        })
    }

    /// Removes what killed attempts to make a repository have claimed, as their messages tell the
    /// operator to.
    fn remove_claims(&self, name: &str) {
        let Some(store) = self.store(name) else { return };
        let mut claims = Vec::new();
        store.list(Folder::Claims.prefix(), &mut |meta| claims.push(meta.name)).unwrap();
        for claim in claims {
            store.delete(&claim).unwrap();
        }
    }

    /// A repository, once it is there.
    fn repository(&self, name: &str) -> Option<Repository> {
        let store = self.store(name)?;
        let config = ObjectName::new("config").unwrap();
        store.size(&config).unwrap()?;
        Some(open(store, 3).unwrap())
    }
}

/// Opens the repository with a key file, if that opens it.
fn opened_by(ground: &Ground, key: &str) -> Option<Repository> {
    let text = std::fs::read_to_string(ground.directory.path().join(key)).ok()?;
    let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(&text).unwrap()));
    let path = ground.directory.path().join("repo");
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(&path).unwrap());
    Repository::open(store, &mut give, &Limits::STANDARD, &World::of_this_machine()).ok()
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

fn kill_backups(ground: &Ground, random: &mut Random, rounds: u64) {
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
        let done = killed(run("backup --source db", Some(name)), random, longest);
        let now = check(&ground.repository("repo").unwrap(), seen, &streams);
        assert!(now >= seen + usize::from(done), "round {round}: a snapshot that was done is gone");
        seen = now;
    }
    whole(run("backup --source db", Some("odd")));
    whole(run("verify --depth blocks", None));
    assert_eq!(check(&ground.repository("repo").unwrap(), 0, &streams), seen + 1);
}

/// From a directory to wherever the ground is.
fn kill_replications(ground: &Ground, random: &mut Random, rounds: u64) {
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
    let replicate = |name: &str| run(&format!("replicate --init --to {}", ground.at(name)), None);
    let longest = whole(replicate("measured"));
    let mut copies = 0;
    for round in 0..rounds {
        let copy = format!("copy{copies}");
        let done = killed(replicate(&copy), random, longest);
        let shown = ground.repository(&copy).map_or(0, |there| check(&there, 0, &streams));
        ground.remove_claims(&copy);
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
    on_grounds(kills(), 1, |_| Ground::local(), kill_backups);
}

#[test]
fn a_replication_that_is_killed_leaves_nothing_half_done() {
    on_grounds(kills(), 2, |_| Ground::local(), kill_replications);
}

#[test]
fn a_backup_to_a_bucket_that_is_killed_leaves_nothing_half_done() {
    on_grounds((kills() / 4).max(1), 1, |_| Ground::within(S3::start()), kill_backups);
}

#[test]
fn a_replication_to_a_bucket_that_is_killed_leaves_nothing_half_done() {
    let ground = |_| Ground::within(S3::start_with(Conditions::Ignored));
    on_grounds((kills() / 4).max(1), 2, ground, kill_replications);
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn a_backup_to_a_real_server_that_is_killed_leaves_nothing_half_done() {
    let ground = |number| Ground::outside(&format!("kills-backup-{number}"));
    on_grounds(kills(), 1, ground, kill_backups);
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn a_replication_to_a_real_server_that_is_killed_leaves_nothing_half_done() {
    let ground = |number| Ground::outside(&format!("kills-replicate-{number}"));
    on_grounds(kills(), 2, ground, kill_replications);
}

#[test]
fn a_rotation_of_keys_that_is_killed_took_place_or_did_not() {
    let ground = Ground::local();
    let path = |name: &str| ground.directory.path().join(name);
    let mut random = Random(number("HAULOUT_KILLS_SEED", 3));
    let mut server = Server::new(3, 1, 20);
    let mut streams = Vec::new();
    let begin = |streams: &mut Vec<Vec<u8>>, server: &mut Server| {
        let _gone = std::fs::remove_dir_all(path("repo"));
        ground.write("key", KeyFile::generate(&OsEntropy).to_text().as_bytes());
        whole(ground.haulout("repo", "init --password-file key", None));
        streams.push(server.stream());
        ground.write("stream", streams.last().unwrap());
        let line = "backup --source db --password-file key";
        whole(ground.haulout("repo", line, Some("stream")));
        server.night(5);
    };
    begin(&mut streams, &mut server);
    let line = "key rotate --password-file key --key-file next";
    let longest = whole(ground.haulout("repo", line, None));
    let [mut before, mut after] = [0; 2];
    for round in 0..kills() {
        // A new repository now and then: keys are rotated fifteen times at most.
        if round % 10 == 0 {
            begin(&mut streams, &mut server);
        }
        let _gone = std::fs::remove_file(path("next"));
        let done = killed(ground.haulout("repo", line, None), &mut random, longest * 2);
        let next = opened_by(&ground, "next");
        assert!(next.is_some() || !done, "round {round}");
        if let Some(repository) = next {
            after += 1;
            assert_eq!(check(&repository, 0, &streams), 1, "round {round}");
            std::fs::rename(path("next"), path("key")).unwrap();
        } else {
            before += 1;
            let previous = opened_by(&ground, "key").expect("the previous key opens it");
            assert_eq!(check(&previous, 0, &streams), 1, "round {round}");
        }
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
    let _gone = std::fs::remove_file(path("next"));
    whole(ground.haulout("repo", line, None));
    let line = "backup --source db --password-file next";
    whole(ground.haulout("repo", line, Some("stream")));
    whole(ground.haulout("repo", "verify --depth blocks --password-file next", None));
}
