//! Secrets stay where they are given: no command puts them into an argument, the environment of a
//! child, a message, or a file.
//!
//! Every secret here is a canary that occurs nowhere else. While each command runs, all processes
//! of the machine are looked at; afterwards all that it wrote.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

/// Occurs in every secret, and nowhere else.
const CANARY: &str = "kanarien-vogel-9QzX";

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.args(line.split(' ')).current_dir(self.directory.path());
        command.env("HAULOUT_REPO", "./repo").env("TMPDIR", self.path("tmp"));
        command.env("RUST_BACKTRACE", "full").stdin(Stdio::null());
        command
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// What a process shows to others, by its number.
fn shows(process: &Path, what: &str, needles: &[Vec<u8>]) -> bool {
    let shown = fs::read(process.join(what)).unwrap_or_default();
    needles.iter().any(|needle| contains(&shown, needle))
}

/// Whether `process` was started by the program. Until it runs a program of its own it is a copy of
/// haulout, with all that haulout was given.
fn is_child_of(process: &Path, program: u32) -> bool {
    let haulout = fs::canonicalize(env!("CARGO_BIN_EXE_haulout")).unwrap();
    if fs::read_link(process.join("exe")).is_ok_and(|file| file == haulout) {
        return false;
    }
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    behind_name.split_whitespace().nth(1) == Some(&program.to_string())
}

/// Runs a command under observation, and gives what it printed.
fn watched(mut command: Command, needles: &[Vec<u8>], looks: &AtomicU64) -> Vec<u8> {
    let shown = format!("{command:?}");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (program, ended) = (child.id(), AtomicBool::new(false));
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let process = entry.path();
                    if !entry.file_name().to_string_lossy().starts_with(char::is_numeric) {
                        continue;
                    }
                    assert!(!shows(&process, "cmdline", needles), "an argument: {shown}");
                    if is_child_of(&process, program) {
                        assert!(!shows(&process, "environ", needles), "a child's: {shown}");
                    }
                }
                looks.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(1));
            }
        });
        let output = child.wait_with_output().unwrap();
        ended.store(true, Ordering::Relaxed);
        output
    });
    let printed = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&printed).into_owned();
    for needle in needles {
        assert!(!contains(&printed, needle), "a message of {shown}: {told}");
    }
    assert!(output.status.code().is_some_and(|code| code != 101), "{shown}: {told}");
    printed
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    while let Some(folder) = found.iter().position(|path| path.is_dir()) {
        let entries = fs::read_dir(found.swap_remove(folder)).unwrap();
        found.extend(entries.map(|entry| entry.unwrap().path()));
    }
    found
}

/// What the stores know, as services and people spell it.
fn credentials_of_stores() -> impl Iterator<Item = (&'static str, String)> {
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "aws_secret_access_key",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_CLIENT_SECRET",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ];
    names.into_iter().map(|name| (name, format!("{CANARY}-{name}")))
}

#[test]
fn what_a_producer_is_given_of_the_environment_is_all_but_secrets() {
    let place = Place { directory: tempfile::tempdir().unwrap() };
    assert!(place.command("init --no-encryption -q").status().unwrap().success());
    fs::write(place.path("print"), "env > seen\necho a stream\n").unwrap();
    let mut command = place.command("backup --source db -q -- sh print");
    command.env("HAULOUT_NEW_PASSWORD_COMMAND", CANARY).envs(credentials_of_stores());
    command.env("MYSQL_HOME", "/etc/mysql");
    assert!(command.status().unwrap().code().is_some());
    let seen = fs::read_to_string(place.path("seen")).unwrap();
    assert!(seen.contains("MYSQL_HOME=/etc/mysql"), "{seen}");
    assert!(!seen.contains(CANARY), "{seen}");
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "a test that shows nothing must not look like one that does"
)]
fn a_crash_leaves_no_core() {
    let place = Place { directory: tempfile::tempdir().unwrap() };
    let crash = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(place.directory.path()).stdin(Stdio::null());
        shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    };
    assert!(place.command("init --no-encryption -q").status().unwrap().success());
    let program = env!("CARGO_BIN_EXE_haulout");
    // The producer crashes the program that reads from it.
    let backup = "-r ./repo backup --source db -- sh -c 'sleep 0.2; kill -ABRT $PPID; sleep 1'";
    let crashed = crash(&format!("ulimit -c unlimited; exec {program} {backup}"));
    assert_eq!(crashed.signal(), Some(6), "{crashed}");
    assert!(!crashed.core_dumped(), "{crashed}");
    let other = crash("ulimit -c unlimited; kill -ABRT $$");
    if !other.core_dumped() {
        eprintln!("NOT SHOWN: no process dumps core on this machine, so nothing was prevented");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one list of commands, in the order of their effects")]
fn no_command_shows_a_secret() {
    let place = Place { directory: tempfile::tempdir().unwrap() };
    fs::create_dir(place.path("tmp")).unwrap();
    let write = |name: &str| {
        fs::write(place.path(name), format!("{CANARY}-{name}\n")).unwrap();
        fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
    };
    ["first", "second", "third", "wrong"].iter().for_each(|name| write(name));
    let mut needles = vec![CANARY.as_bytes().to_vec()];
    let looks = AtomicU64::new(0);
    let given = format!("{CANARY}-first");
    let by_file = |line: &str| place.command(&format!("{line} --password-file first"));
    let by_environment = |line: &str| {
        let mut command = place.command(line);
        command.env("HAULOUT_PASSWORD", &given).envs(credentials_of_stores());
        command
    };
    let by_command = |line: &str| {
        let mut command = place.command(line);
        // It lives for a while, to be looked at.
        command.env("HAULOUT_PASSWORD_COMMAND", "cat first; sleep 0.1; true");
        command.envs(credentials_of_stores());
        command
    };
    watched(by_file("init"), &needles, &looks);
    watched(by_file("key add --key-file key"), &needles, &looks);
    // The key file is a secret from here on, as text and as bytes.
    let key = fs::read_to_string(place.path("key")).unwrap();
    let digits = key.split(':').nth(1).unwrap().to_owned();
    let raw = (0..64).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
    needles.push(raw.collect());
    needles.push(digits.into_bytes());
    let producer = "backup --source db -- sleep 0.2";
    for command in [by_environment(producer), by_command(producer)] {
        watched(command, &needles, &looks);
    }
    watched(by_environment("backup -v --source db -- seq 50000"), &needles, &looks);
    let mut both = by_environment("replicate --init --to ./other");
    both.env("HAULOUT_OTHER_PASSWORD", format!("{CANARY}-second"));
    watched(both, &needles, &looks);
    for line in [
        "snapshots",
        "show latest",
        "verify --depth pages",
        "restore latest --stdout",
        "restore latest --to restored",
        "replicate --init --to ./copy",
        "key list",
        "key add --label anna --new-password-file second",
        "key export kit --new-password-file second",
        "key passwd --new-password-file second",
    ] {
        watched(by_environment(line), &needles, &looks);
    }
    // A store that nobody answers for gets to see no credentials, and no message has them.
    let (far, patience) = ("s3://bucket/db --endpoint http://127.0.0.1:9", "--retry-for 0s");
    let line = format!("-r {far} --allow-http {patience} snapshots");
    watched(by_environment(&line), &needles, &looks);
    watched(
        place.command("key rotate --password-file second --new-password-file third"),
        &needles,
        &looks,
    );
    watched(place.command("replicate --init --to ./copy --password-file third"), &needles, &looks);
    watched(place.command("key list --password-file third"), &needles, &looks);
    let by_new_file = "key rotate --password-file third --key-file newer";
    watched(place.command(by_new_file), &needles, &looks);
    let newer = fs::read_to_string(place.path("newer")).unwrap();
    needles.push(newer.split(':').nth(1).unwrap().as_bytes().to_vec());
    watched(place.command("verify --depth pages --password-file newer"), &needles, &looks);
    watched(place.command("snapshots --password-file key"), &needles, &looks);
    watched(place.command("snapshots --recovery-kit kit --password-file second"), &needles, &looks);
    // And when things go wrong.
    watched(place.command("snapshots --password-file wrong"), &needles, &looks);
    watched(by_environment("snapshots --json"), &needles, &looks);
    watched(
        place.command("key passwd --password-file third --new-password-file key"),
        &needles,
        &looks,
    );
    fs::write(place.path("torn"), &key[..40]).unwrap();
    fs::set_permissions(place.path("torn"), Permissions::from_mode(0o600)).unwrap();
    watched(place.command("snapshots --password-file torn"), &needles, &looks);
    assert!(looks.load(Ordering::Relaxed) > 100, "the processes were looked at");
    let given =
        ["first", "second", "third", "wrong", "key", "torn", "newer"].map(|name| place.path(name));
    for file in files_below(place.directory.path()) {
        let bytes = fs::read(&file).unwrap();
        for needle in needles.iter().filter(|_| !given.contains(&file)) {
            assert!(!contains(&bytes, needle), "{} has a secret in it", file.display());
        }
    }
}
