//! Findings, from end to end: what is odd is stored, shown by every verb and part of the exit
//! status, and what was accepted is a note.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

/// A dump of two schemas of a real server.
const DUMP: &[u8] = include_bytes!("dumps/full.sql");

/// A directory with a repository in it, not encrypted.
struct Place(TempDir);

/// What a command printed, and its exit status.
struct Ran(Output);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.ran(&["init", "--no-encryption"]).is(0);
        place
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        command.env("HAULOUT_REPO", self.0.path().join("repo")).args(arguments);
        Ran(command.output().unwrap())
    }

    /// Backs up bytes as source `db` with more options, the producer's exit status being 0.
    fn backup(&self, stream: &[u8], options: &[&str]) -> Ran {
        let path = self.file("stream", stream);
        let fixed = ["backup", "--source", "db", "--json"];
        let producer = ["--", "cat", path.to_str().unwrap()];
        self.ran(&[&fixed[..], options, &producer[..]].concat())
    }
}

impl Ran {
    #[track_caller]
    fn is(self, status: i32) -> Ran {
        assert_eq!(self.0.status.code(), Some(status), "{}{}", self.out(), self.err());
        self
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.out()))
    }

    /// The findings of a backup or of a snapshot, as `code severity`, accepted ones with a sign.
    #[track_caller]
    fn findings(&self) -> Vec<String> {
        let json = self.json();
        let list = json["findings"].as_array().unwrap_or_else(|| panic!("{json}")).clone();
        let word = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
        let line = |finding: &Value| {
            let sign = if finding["accepted"] == Value::Bool(true) { " accepted" } else { "" };
            format!("{} {}{sign}", word(finding, "code"), word(finding, "severity"))
        };
        list.iter().map(line).collect()
    }
}

#[test]
fn a_stream_of_another_format_than_before_is_a_warning_and_is_not_the_latest() {
    let place = Place::new();
    place.backup(DUMP, &[]).is(0);
    let usual = place.ran(&["show", "db@latest", "--json"]).is(0).json()["id"].clone();
    for _ in 0..2 {
        let odd = place.backup(b"Enter password: ", &[]).is(3);
        assert_eq!(odd.json()["verdict"], "complete", "the verdict stays");
        assert!(odd.findings().contains(&"format-changed warning".to_owned()), "{}", odd.out());
        let id = odd.json()["snapshot"].as_str().unwrap().to_owned();
        let shown = place.ran(&["show", &id, "--json"]).is(0);
        assert_eq!(shown.findings(), odd.findings());
        place.ran(&["show", &id]).is(0).out().find("format-changed: db: ").unwrap();
        assert_eq!(place.ran(&["show", "db@latest", "--json"]).json()["id"], usual);
    }
    let listing = place.ran(&["snapshots"]).is(0).out();
    assert_eq!(listing.matches("complete *").count(), 2, "{listing}");
    // The usual format again is nothing special.
    place.backup(DUMP, &[]).is(0);
}

#[test]
fn a_format_that_was_asked_for_is_the_format_of_the_source_from_then_on() {
    let place = Place::new();
    place.backup(DUMP, &[]).is(0);
    place.backup(b"another", &["--format", "raw"]).is(0);
    place.backup(b"and another", &[]).is(0);
    assert_eq!(place.ran(&["show", "db@latest", "--json"]).json()["stream_bytes"], 11);
    place.backup(DUMP, &[]).is(3);
}

#[test]
fn a_backup_that_failed_says_nothing_about_the_format_of_its_source() {
    let place = Place::new();
    let failed = ["backup", "--source", "db", "--", "sh", "-c", "echo no such user; exit 1"];
    place.ran(&failed).is(3);
    place.backup(DUMP, &[]).is(0);
    place.ran(&failed).is(3);
    place.backup(DUMP, &[]).is(0);
}

#[test]
fn acceptances_are_recorded_and_taken_over_until_they_are_revoked() {
    let place = Place::new();
    let accepted = |ran: &Ran| ran.json()["accepted"].clone();
    let ran = place.backup(b"one", &["--accept", "lost-members:shop/*"]).is(0);
    assert_eq!(accepted(&ran), serde_json::json!(["lost-members:shop/*"]));
    let ran = place.backup(b"two", &["--accept", "foreign-text"]).is(0);
    let both = serde_json::json!(["lost-members:shop/*", "foreign-text"]);
    assert_eq!(accepted(&ran), both);
    assert_eq!(accepted(&place.ran(&["show", "db@latest", "--json"]).is(0)), both);
    let ran = place.backup(b"three", &["--accept", "none"]).is(0);
    assert_eq!(accepted(&ran), serde_json::json!([]));
    for (wrong, why) in [
        ("format-changed", "help errors says what to do"),
        ("lost", "help errors lists them"),
        ("lost-members:[", "no glob"),
    ] {
        let refused = place.backup(b"x", &["--accept", wrong]).is(2);
        assert!(refused.err().contains(why), "{}", refused.err());
    }
}
