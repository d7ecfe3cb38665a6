//! What stands in the place of an object and is none, what a listing lacks, and where this host
//! remembers it: all of it is told, and nothing waits for it.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a repository in clear, and two snapshots in it.
struct Place(TempDir);

/// What came of a command: its status, its output, what it said.
#[derive(Debug)]
struct Ran(Option<i32>, Vec<u8>, String);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.ran("init --no-encryption").is(0);
        for count in ["9999", "9998"] {
            place.ran(&format!("backup --source db -- seq {count}")).is(0);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ran(&self, line: &str) -> Ran {
        self.ran_by(&mut Command::new(env!("CARGO_BIN_EXE_haulout")), line)
    }

    fn ran_by(&self, command: &mut Command, line: &str) -> Ran {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).args(["-q", "-r", "./repo"]).args(line.split(' '));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        Ran(output.status.code(), output.stdout, told)
    }

    /// The newest snapshot's file.
    fn newest(&self) -> PathBuf {
        let source = fs::read_dir(self.path("repo/snapshots")).unwrap().next().unwrap().unwrap();
        let files = fs::read_dir(source.path()).unwrap().map(|entry| entry.unwrap().path());
        files.max().unwrap()
    }
}

impl Ran {
    #[track_caller]
    fn is(self, status: i32) -> Self {
        assert_eq!(self.0, Some(status), "{}", self.2);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.2.contains(words), "{words}: {}", self.2);
        self
    }
}

fn make_directory(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_stands_in_the_place_of_a_snapshot_and_is_no_file_is_named() {
    for make in [make_pipe, make_directory] {
        let place = Place::new();
        let newest = place.newest();
        fs::remove_file(&newest).unwrap();
        make(&newest);
        let name = newest.file_name().unwrap().to_str().unwrap();
        let id = name.split('-').nth(1).unwrap()[..8].to_owned();
        for depth in ["objects", "pages"] {
            let ran = place.ran(&format!("verify --depth {depth}")).is(3).says(&id);
            ran.says("not a regular file");
        }
        place.ran("snapshots").is(3).says(&id);
        // The next backup passes it over, and says so.
        place.ran("backup --source db -- seq 9997").is(3).says(&id);
        place.ran("restore latest --stdout").is(0);
    }
}

#[test]
fn what_stands_in_the_place_of_a_pack_and_is_no_file_is_named() {
    for make in [make_pipe, make_directory] {
        let place = Place::new();
        let folder = fs::read_dir(place.path("repo/packs")).unwrap().next().unwrap().unwrap();
        let pack = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(&pack).unwrap();
        make(&pack);
        let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
        for depth in ["objects", "pages"] {
            place.ran(&format!("verify --depth {depth}")).is(3).says(&name);
        }
    }
}

#[test]
fn packs_without_snapshots_are_no_sound_repository() {
    let place = Place::new();
    fs::remove_dir_all(place.path("repo/snapshots")).unwrap();
    place.ran("verify").is(3).says("packs and no snapshot");
    let ran = place.ran("verify --json").is(3);
    let told: Value = serde_json::from_slice(&ran.1).unwrap();
    assert_eq!(told["findings"].as_array().unwrap().len(), 1);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_directory_of_state_is_private_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let place = Place::new();
        let line = "umask $0; exec \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", line, umask, env!("CARGO_BIN_EXE_haulout")]);
        place.ran_by(&mut shell, "snapshots --state state").is(0);
        assert_eq!(mode(&place.path("state")), 0o700, "umask {umask}");
    }
}

#[test]
fn a_directory_of_state_that_others_can_write_to_is_not_believed() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).unwrap();
    for mode in [0o777, 0o770, 0o1777] {
        fs::set_permissions(&state, Permissions::from_mode(mode)).unwrap();
        place.ran("snapshots --state state").is(2).says("chmod 700");
        // Without a backup everybody would be worse off.
        place.ran("backup --source db --state state -- seq 9").is(3).says("chmod 700");
        assert!(fs::read_dir(&state).unwrap().next().is_none(), "{mode:o}");
    }
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    place.ran("snapshots --state state").is(0);
}
