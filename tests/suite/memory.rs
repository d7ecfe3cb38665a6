//! The memory of a backup and a restore, with very many files and with very many of them open at
//! once.
//!
//! The bound is that of `--memory`. That of 700,000 files takes minutes to see:
//! `cargo nextest run --test memory --run-ignored all`.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::file;
use crate::support::header;
use crate::support::leaves::Leaves;

/// Bytes of `--memory`, and of code that a program has in memory because it is not optimised:
/// 24.5 MB were seen, and 11.8 of a released one.
const MEMORY: u64 = (96 << 20) + if cfg!(debug_assertions) { 12 << 20 } else { 0 };

/// A directory with a repository in it, not encrypted, and a snapshot.
struct Place {
    directory: TempDir,
    id: String,
    /// The most memory of the backup.
    stored_in: u64,
}

impl Place {
    fn new(stream: &[u8]) -> Self {
        let mut place =
            Self { directory: tempfile::tempdir().unwrap(), id: String::new(), stored_in: 0 };
        assert!(place.command(&["init", "--no-encryption", "-q"]).status().unwrap().success());
        place.back_up(stream);
        place
    }

    /// Adds a snapshot; gives back what the program tells of it.
    fn back_up(&mut self, stream: &[u8]) -> Value {
        fs::write(self.path("stream"), stream).unwrap();
        let path = self.path("stream");
        let given = ["--memory", "96MiB", "--threads", "2"];
        let line = ["backup", "--json", "-q", "--source", "db", "--", "cat"];
        let stored = self.command(&[&given[..], &line].concat()).arg(path).output().unwrap();
        let told: Value = serde_json::from_slice(&stored.stdout).unwrap();
        told["snapshot"].as_str().unwrap().clone_into(&mut self.id);
        self.stored_in = told["peak_memory_bytes"].as_u64().unwrap();
        told
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        command.env("HAULOUT_REPO", self.path("repo")).args(arguments).stderr(Stdio::null());
        command
    }

    /// The most memory of a restore of all files.
    fn to_files(&self) -> u64 {
        let line = ["restore", &self.id, "--memory", "96MiB", "--json", "--threads", "2", "--to"];
        let done = self.command(&line).arg(self.path("files")).output().unwrap();
        fs::remove_dir_all(self.path("files")).unwrap();
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        told["peak_memory_bytes"].as_u64().unwrap()
    }

    /// The most memory of a command, and what it writes.
    fn written(&self, line: &[&str]) -> (u64, Vec<u8>) {
        let memory = ["--memory", "96MiB", "--threads", "2"];
        let mut command = self.command(&[line, &memory].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = Vec::new();
        let mut peak = 0;
        let mut pipe = child.stdout.take().unwrap();
        // What it has had is asked for while it still has something to write.
        while (&mut pipe).take(1 << 16).read_to_end(&mut out).unwrap() > 0 {
            peak = peak.max(peak_of(&child).unwrap_or(0));
        }
        // Such a stream is no whole backup, which is told.
        assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)));
        (peak, out)
    }
}

/// The most memory that a process has had resident, bytes, if it still runs.
fn peak_of(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn name(number: usize) -> String {
    format!("shop{:03}/table_with_a_name_{number:06}.frm", number / 7000)
}

/// Small files, one after the other.
fn many(count: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..count {
        file(&mut stream, &name(number), format!("content of {number} ").repeat(5).as_bytes(), 999);
    }
    stream
}

/// Files that are all open at once, each of two parts in which some words are repeated.
fn open(count: usize, repeated: usize) -> Vec<u8> {
    let part = |part: &str, number| format!("{part} of {number} ").repeat(repeated).into_bytes();
    let mut stream = Vec::new();
    let mut payload = |number: usize, at: usize, bytes: &[u8]| {
        header(&mut stream, b'P', &name(number));
        stream.extend_from_slice(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
        stream.extend_from_slice(&u64::try_from(at).unwrap().to_le_bytes());
        stream.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        stream.extend_from_slice(bytes);
    };
    (0..count).for_each(|number| payload(number, 0, &part("first", number)));
    for number in 0..count {
        payload(number, part("first", number).len(), &part("second", number));
    }
    (0..count).for_each(|number| header(&mut stream, b'E', &name(number)));
    stream
}

fn one_file(place: &Place, number: usize) -> u64 {
    let (peak, out) = place.written(&["cat", &place.id, &name(number)]);
    assert_eq!(out, format!("content of {number} ").repeat(5).into_bytes());
    peak
}

#[test]
fn a_stream_of_many_open_files_is_written_in_the_memory_that_was_given() {
    let stream = open(60_000, 5);
    let place = Place::new(&stream);
    assert!(place.stored_in <= MEMORY, "backup: {} MiB", place.stored_in >> 20);
    let (peak, out) = place.written(&["restore", &place.id, "--stdout"]);
    assert!(out == stream);
    assert!(peak <= MEMORY, "{} MiB", peak >> 20);
}

#[test]
fn open_files_that_are_larger_than_the_memory_are_stored_in_it() {
    let stream = open(4000, 1100);
    assert!(stream.len() > 110 << 20, "{} bytes", stream.len());
    let place = Place::new(&stream);
    assert!(place.stored_in <= MEMORY, "backup: {} MiB", place.stored_in >> 20);
    let (_, out) = place.written(&["restore", &place.id, "--stdout"]);
    assert!(out == stream);
}

#[test]
fn a_night_that_compares_every_page_with_others_keeps_to_the_memory_that_was_given() {
    let stream_of = |leaves: &Leaves| {
        let mut stream = Vec::new();
        file(&mut stream, "shop/orders.ibd", &leaves.pages.concat(), 1 << 20);
        stream
    };
    let mut leaves = Leaves::new(1, 7, 1200);
    let mut place = Place::new(&stream_of(&leaves));
    (0..1199).for_each(|number| leaves.spread(2 * number));
    let told = place.back_up(&stream_of(&leaves));
    let moved = told["blocks"]["moved"].as_u64().unwrap();
    assert!(moved > 1000, "{told}");
    assert!(place.stored_in <= MEMORY, "{} MiB", place.stored_in >> 20);
    let (_, out) = place.written(&["restore", &place.id, "--stdout"]);
    assert!(out == stream_of(&leaves));
}

#[test]
#[ignore = "takes minutes"]
fn seven_hundred_thousand_files_are_stored_and_restored_in_the_memory_that_was_given() {
    let stream = many(700_000);
    let place = Place::new(&stream);
    assert!(place.stored_in <= MEMORY, "backup: {} MiB", place.stored_in >> 20);
    let (to_stream, out) = place.written(&["restore", &place.id, "--stdout"]);
    assert!(out == stream);
    for (what, peak) in
        [("--to", place.to_files()), ("cat", one_file(&place, 5000)), ("--stdout", to_stream)]
    {
        assert!(peak <= MEMORY, "{what}: {} MiB", peak >> 20);
    }
}
