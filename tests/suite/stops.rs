//! Every wait ends on a signal, and every panic ends the program: with status 1, and never a hang.
//!
//! Each test waits for something that would last for an hour or for ever, so the time that a run
//! takes needs no measuring: only a watchdog, far beyond what a slow machine takes.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_haulout");
/// Far longer than a run takes to stop.
const WATCHDOG: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(20);

/// A directory with a repository that needs no password.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let done = place.command("init --no-encryption").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).args(["--repo", "./repo"]);
        command.args(line.split_whitespace()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A stream of a few MB that does not compress.
    fn noise(&self) -> PathBuf {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33).to_le_bytes()[0]
        };
        let bytes: Vec<u8> = (0..4 << 20).map(|_| next()).collect();
        fs::write(self.path("noise"), bytes).unwrap();
        self.path("noise")
    }

    fn count(&self, folder: &str) -> usize {
        fn files(directory: &Path) -> usize {
            let Ok(entries) = fs::read_dir(directory) else { return 0 };
            let count = |path: PathBuf| if path.is_dir() { files(&path) } else { 1 };
            entries.map(|entry| count(entry.unwrap().path())).sum()
        }
        files(&self.path("repo").join(folder))
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !happened() {
        assert!(waited < WATCHDOG, "{what} did not happen");
        std::thread::sleep(STEP);
        waited += STEP;
    }
}

/// Waits until a program answers to signals itself.
fn listens(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    until("listening for signals", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (Signal::TERM.as_raw() - 1) & 1 == 1)
    });
}

/// Asks a program to stop; how it ended, and what it said.
fn stopped(mut child: Child) -> (Option<i32>, String) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if waited >= WATCHDOG {
            child.kill().unwrap();
            panic!("it still runs {WATCHDOG:?} after the signal");
        }
        std::thread::sleep(STEP);
        waited += STEP;
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[test]
fn a_backup_that_waits_for_its_share_of_the_line_stops() {
    let place = Place::new();
    let stream = fs::File::open(place.noise()).unwrap();
    let child = place.command("backup --limit 1KiB --source s").stdin(stream).spawn().unwrap();
    // The first pack goes at once; what follows it waits for an hour.
    until("the first pack", || place.count("packs") > 0);
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("stopped on request"), "{said}");
    assert_eq!(place.count("snapshots"), 0);
}

#[test]
fn a_restore_that_waits_for_its_share_of_the_line_stops() {
    let place = Place::new();
    let stream = fs::File::open(place.noise()).unwrap();
    let done = place.command("backup --source s").stdin(stream).output().unwrap();
    assert!(place.count("snapshots") == 1, "{}", String::from_utf8_lossy(&done.stderr));
    let mut restore = place.command("restore latest --stdout --limit 1KiB");
    let child = restore.stdout(Stdio::null()).spawn().unwrap();
    listens(&child);
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("stopped on request"), "{said}");
}

#[test]
fn a_run_whose_password_command_does_not_end_stops() {
    for command in ["exec sleep 1000", "echo word; exec sleep 1000 >&-"] {
        let place = Place::new();
        fs::remove_dir_all(place.path("repo")).unwrap();
        let mut init = place.command("init");
        let child = init.arg("--password-command").arg(command).spawn().unwrap();
        listens(&child);
        let (status, said) = stopped(child);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("stop"), "{said}");
    }
}

#[test]
fn a_backup_whose_producer_does_not_end_and_does_not_hear_stops() {
    let place = Place::new();
    let script = "trap '' TERM; echo page; exec >&-; touch ready; while :; do sleep 1; done";
    let mut backup = place.command("backup --grace 1h --source s -- sh -c");
    let child = backup.arg(script).spawn().unwrap();
    until("the end of the stream", || place.path("ready").exists());
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(place.count("snapshots"), 0);
}

#[test]
fn a_backup_whose_output_is_held_open_by_another_process_stops() {
    let place = Place::new();
    let mut backup = place.command("backup --grace 1h --source s -- sh -c");
    let child = backup.arg("echo page; sleep 1000 & touch ready; exit 0").spawn().unwrap();
    until("the end of the producer", || place.path("ready").exists());
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(place.count("snapshots"), 0);
}

#[test]
fn a_run_whose_store_does_not_answer_or_is_not_there_stops() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    for endpoint in [format!("http://{silent}"), "http://127.0.0.1:1".to_owned()] {
        let mut list = place.command("snapshots --repo s3://bucket/place --allow-http");
        list.args(["--retry-for", "1h", "--endpoint", &endpoint]);
        list.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
        let child = list.spawn().unwrap();
        listens(&child);
        let (status, said) = stopped(child);
        assert_eq!(status, Some(1), "{said}");
    }
}

#[test]
fn what_can_not_hear_is_not_waited_for() {
    let place = Place::new();
    // Opening a pipe that nothing writes to does not return.
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    fs::remove_dir_all(place.path("repo")).unwrap();
    let child = place.command("init --password-file pipe").spawn().unwrap();
    listens(&child);
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("did not stop in time"), "{said}");
}

/// Makes the only key of a repository one that takes much memory and time to open. What it says of
/// the work is authenticated, so no password fits in the end; but the end is far.
fn harden(key: &Path, memory_kib: u32) {
    let mut bytes = fs::read(key).unwrap();
    bytes[46..50].copy_from_slice(&memory_kib.to_le_bytes());
    bytes[50..54].copy_from_slice(&16_u32.to_le_bytes());
    let end = bytes.len() - 16;
    let sum = *blake3::hash(&bytes[..end]).as_bytes();
    bytes[end..].copy_from_slice(&sum[..16]);
    let mode = fs::metadata(key).unwrap().permissions();
    fs::remove_file(key).unwrap();
    fs::write(key, bytes).unwrap();
    fs::set_permissions(key, mode).unwrap();
}

/// Bytes that a program has in memory.
fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[test]
fn a_run_that_stretches_a_password_stops() {
    const MEMORY_KIB: u32 = 384 << 10;
    let place = Place::new();
    fs::remove_dir_all(place.path("repo")).unwrap();
    let with_password = |line: &str| {
        let mut command = place.command(line);
        command.env("HAULOUT_PASSWORD", "a long word");
        command
    };
    assert!(with_password("init").output().unwrap().status.success());
    let key = fs::read_dir(place.path("repo/keys")).unwrap().next().unwrap().unwrap().path();
    harden(&key, MEMORY_KIB);
    for line in ["snapshots", "backup --source s", "key list"] {
        let stream = fs::File::open(place.noise()).unwrap();
        let child = with_password(line).stdin(stream).spawn().unwrap();
        // Nothing else of these commands takes that much: it is in the first pass of sixteen.
        until("the stretching", || resident(&child) > u64::from(MEMORY_KIB) << 9);
        let (status, said) = stopped(child);
        assert_eq!(status, Some(1), "{line}: {said}");
        assert!(said.contains("did not stop in time"), "{line}: {said}");
        assert!(!said.contains("no key"), "it was not stretched to its end: {said}");
        assert_eq!(place.count("runs") + place.count("packs"), 0, "{line}");
    }
}

#[test]
fn a_restore_whose_reader_does_not_read_stops() {
    let place = Place::new();
    let stream = fs::File::open(place.noise()).unwrap();
    place.command("backup --source s").stdin(stream).output().unwrap();
    let mut child = place.command("restore latest --stdout").spawn().unwrap();
    let out = child.stdout.take().unwrap();
    listens(&child);
    let (status, said) = stopped(child);
    assert_eq!(status, Some(1), "{said}");
    drop(out);
}

/// Switched on in builds for development only.
#[cfg(debug_assertions)]
#[test]
fn a_panic_of_any_thread_ends_the_program_with_one_line() {
    for place_of_panic in ["main", "messages", "progress"] {
        let place = Place::new();
        let mut backup = place.command("backup --log-level normal --source s -- sh -c");
        // It would go on for ever, and its messages are as long as a line of progress is far.
        backup.arg("echo page; echo message >&2; sleep 1000");
        let mut child = backup.env("HAULOUT_PANIC_AT", place_of_panic).spawn().unwrap();
        let mut ended = None;
        until("the end", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(ended.unwrap().code(), Some(1), "{place_of_panic}: {said}");
        let lines: Vec<_> = said.lines().filter(|line| line.contains("panicked")).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains(&format!("asked for at {place_of_panic}")), "{said}");
        assert!(lines[0].contains(".rs:") && lines[0].contains("report"), "{said}");
        assert_eq!(place.count("snapshots"), 0);
    }
}

/// Without standard error there is nowhere to say it; the status is the same.
#[cfg(debug_assertions)]
#[test]
fn a_panic_without_standard_error_ends_the_program_all_the_same() {
    let place = Place::new();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {PROGRAM} --repo ./repo snapshots 2>&-"));
    shell.current_dir(place.path("")).env("HAULOUT_PANIC_AT", "main");
    let mut child = shell.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
