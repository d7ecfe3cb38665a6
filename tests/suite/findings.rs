//! Findings, from end to end: what is odd is stored, shown by every verb and part of the exit
//! status, and what was accepted is a note.

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Server;

/// A dump of two schemas of a real server.
const DUMP: &[u8] = include_bytes!("../dumps/full.sql");

/// The beginning of every frame of an mbstream.
const FRAME: &[u8] = b"XBSTCK01";

/// A directory with a repository in it, not encrypted.
struct Place(TempDir);

/// What a command printed, and its exit status.
struct Ran(Output);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
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

impl Place {
    /// Backs up bytes from standard input, so that how their producer ends is not seen.
    fn piped(&self, stream: &[u8]) -> Ran {
        let path = self.file("stream", stream);
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        command.env("HAULOUT_REPO", self.0.path().join("repo"));
        command.args(["backup", "--source", "db", "--json"]);
        Ran(command.stdin(std::fs::File::open(path).unwrap()).output().unwrap())
    }
}

impl Ran {
    #[track_caller]
    fn is(self, status: i32) -> Self {
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

/// Restores the newest snapshot of `db` whatever it is worth, and compares.
fn comes_back(place: &Place, backup: &Ran, stream: &[u8]) {
    let id = backup.json()["snapshot"].as_str().unwrap().to_owned();
    assert!(place.ran(&["restore", &id, "--stdout"]).0.stdout == stream, "another stream");
}

#[test]
fn a_message_before_a_dump_is_a_warning_and_the_dump_is_taken_apart() {
    let message = b"mysqldump: [Warning] If you don't like this; don't do it\n\n";
    let place = Place::new();
    let stream = [&message[..], DUMP].concat();
    let ran = place.backup(&stream, &[]).is(3);
    assert_eq!(
        (&ran.json()["verdict"], &ran.json()["format"]),
        (&"complete".into(), &"sql".into())
    );
    assert_eq!(ran.findings(), ["foreign-text warning"]);
    comes_back(&place, &ran, &stream);
    // A part can be loaded: it has neither the message nor its quotes.
    let part = ["restore", "db@latest", "--stdout", "--include", "*"];
    let part = place.ran(&part).is(0).out();
    assert!(!part.contains("Warning") && part.contains("CREATE TABLE"), "{part}");
    // The same dump without the message has the same tables.
    let ran = place.backup(DUMP, &[]).is(0);
    assert!(ran.json()["whole_bytes"].as_u64().unwrap() < 1000, "{}", ran.out());

    let cut = place.backup(&stream[..stream.len() - 900], &[]).is(3);
    assert_eq!(cut.json()["verdict"], "partial");
    let accepted = place.backup(&stream, &["--accept", "foreign-text"]).is(0);
    assert_eq!(accepted.findings(), ["foreign-text note accepted"]);
    assert_eq!(place.backup(&stream, &[]).is(0).findings(), ["foreign-text note accepted"]);
    place.backup(&stream, &["--accept", "none"]).is(3);
}

#[test]
fn lines_of_a_wrapper_before_a_dump_are_a_part_of_it() {
    for lines in [
        &b"-- begin metadata\n-- version = 15.1\n-- end metadata\n"[..],
        b"SET FOREIGN_KEY_CHECKS=0;\n",
        b"\xef\xbb\xbf",
        b"CREATE DATABASE IF NOT EXISTS shop;\nUSE shop;\n",
        &[b'\n'; 40],
    ] {
        let place = Place::new();
        let stream = [lines, DUMP].concat();
        let ran = place.backup(&stream, &[]).is(0);
        assert_eq!(ran.json()["verdict"], "complete", "{}", ran.out());
        assert_eq!(ran.json()["format"], "sql", "{}", ran.out());
        comes_back(&place, &ran, &stream);
        let cut = place.backup(&stream[..stream.len() - 900], &[]).is(3);
        assert_eq!(cut.json()["verdict"], "partial", "{}", cut.out());
    }
}

#[test]
fn text_before_an_mbstream_makes_it_partial_and_its_files_are_there() {
    let whole = Server::new(1, 1, 3).stream();
    for text in [&b"Welcome to db1, authorised use only\n"[..], b"\xef\xbb\xbf", b"\0"] {
        let place = Place::new();
        let stream = [text, &whole[..]].concat();
        let ran = place.backup(&stream, &[]).is(3);
        assert_eq!(ran.json()["verdict"], "partial", "{}", ran.out());
        assert_eq!(ran.findings(), ["foreign-text warning", "stage-not-named note"]);
        let at = format!("XBSTCK01 begins at byte {}", text.len());
        assert!(ran.json()["reasons"][0].as_str().unwrap().contains(&at), "{}", ran.out());
        comes_back(&place, &ran, &stream);
        let target = place.0.path().join("files");
        let id = ran.json()["snapshot"].as_str().unwrap().to_owned();
        place.ran(&["restore", &id, "--to", target.to_str().unwrap()]);
        assert_eq!(std::fs::metadata(target.join("ibdata1")).unwrap().len(), 3 * 16384);
        // The next stream without the text is compared with this one.
        let ran = place.backup(&whole, &[]);
        assert!(ran.json()["whole_bytes"].as_u64().unwrap() < 2000, "{}", ran.out());
    }
}

#[test]
fn a_stream_that_lost_its_first_bytes_is_never_complete() {
    let mbstream = Server::new(1, 1, 3).stream();
    assert!(mbstream.starts_with(FRAME));
    for whole in [&mbstream[..], DUMP] {
        for lost in 1..=4 {
            let place = Place::new();
            let ran = place.backup(&whole[lost..], &[]).is(3);
            assert_eq!(ran.json()["verdict"], "partial", "{lost}: {}", ran.out());
            comes_back(&place, &ran, &whole[lost..]);
        }
    }
}

#[test]
fn text_before_a_compressed_stream_or_a_tar_makes_it_partial() {
    let mut tar = vec![0; 1024];
    tar[..4].copy_from_slice(b"file");
    tar[124..135].copy_from_slice(b"00000000000");
    tar[257..263].copy_from_slice(b"ustar\0");
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.resize(10_240, 0);
    for stream in [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"\x28\xb5\x2f\xfd\0\0", &tar] {
        let place = Place::new();
        let stream = [b"Welcome to db1\n", stream].concat();
        let ran = place.backup(&stream, &[]).is(3);
        assert_eq!(ran.json()["verdict"], "partial", "{}", ran.out());
        assert!(ran.findings().contains(&"foreign-text warning".to_owned()), "{}", ran.out());
        comes_back(&place, &ran, &stream);
    }
}

#[test]
fn a_stream_that_is_not_recognised_is_reported_unless_it_is_meant_to_be_opaque() {
    let place = Place::new();
    assert_eq!(place.backup(b"notes", &[]).is(0).findings(), ["not-recognised note"]);
    assert_eq!(place.backup(b"notes", &["--format", "raw"]).is(0).findings(), Vec::<String>::new());
}

/// A dump of schemas with so many tables each.
#[test]
fn a_message_of_the_producer_instead_of_a_stream_is_partial() {
    let place = Place::new();
    for message in [
        "mariadb-dump: Got error: 2002: \"Can't connect\" when trying to connect\n",
        "\x07mariadb-dump: Can't create/write to file '/nope/t.sql' (Errcode: 2)\n",
    ] {
        let ran = place.backup(message.as_bytes(), &[]).is(3);
        assert_eq!(ran.json()["verdict"], "partial", "{}", ran.out());
        assert!(ran.out().contains("is no dump but the message"), "{}", ran.out());
    }
}

fn dump(schemas: &[(&str, usize)]) -> Vec<u8> {
    let table = |table: usize| {
        format!(
            "--\n-- Table structure for table `t{table}`\n--\n\nDROP TABLE IF EXISTS `t{table}`;\n\
             CREATE TABLE `t{table}` (\n  `a` int\n);\n"
        )
    };
    let mut parts = vec![
        "-- MariaDB dump 10.19  Distrib 11.8.2-MariaDB, for debian-linux-gnu\n--\n\
         -- Host: localhost    Database: \n\n/*!40101 SET NAMES utf8mb4 */;\n"
            .to_owned(),
    ];
    for (schema, tables) in schemas {
        parts.push(format!("CREATE DATABASE IF NOT EXISTS `{schema}`;\n\nUSE `{schema}`;\n"));
        parts.extend((0..*tables).map(table));
    }
    parts.push("-- Dump completed on 2026-11-21  9:05:01\n".to_owned());
    parts.concat().into_bytes()
}

/// The objects of the findings `lost-members`.
fn lost(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let findings = json["findings"].as_array().unwrap().iter();
    let lost = findings.filter(|finding| finding["code"] == "lost-members");
    lost.map(|finding| finding["object"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_dump_that_lacks_a_schema_or_many_tables_is_a_warning_for_seven_runs() {
    let place = Place::new();
    let whole = dump(&[("crm", 3), ("shop", 20)]);
    place.backup(&whole, &[]).is(0);
    let ran = place.backup(&dump(&[("shop", 20)]), &[]).is(3);
    assert_eq!(ran.json()["verdict"], "complete");
    assert_eq!(lost(&ran), ["crm"]);
    let ran = place.backup(&dump(&[("crm", 3), ("shop", 15)]), &[]).is(3);
    assert_eq!(lost(&ran), ["shop/t15", "shop/t16", "shop/t17", "shop/t18", "shop/t19"]);
    // A few tables are dropped every day.
    place.backup(&dump(&[("crm", 3), ("shop", 16)]), &[]).is(0);
    for _ in 0..7 {
        let ran = place.backup(&dump(&[("shop", 16)]), &[]).is(3);
        assert_eq!(lost(&ran), ["crm"]);
    }
    place.backup(&dump(&[("shop", 16)]), &[]).is(0);
}

#[test]
fn a_stream_that_lost_more_than_half_of_its_bytes_is_a_warning_if_it_was_large() {
    const MIB: usize = 1 << 20;
    let dump = |bytes: usize| {
        let mut dump = dump(&[("shop", 1)]);
        let end = dump.split_off(dump.len() - "-- Dump completed on 2026-11-21  9:05:01\n".len());
        let row = format!("INSERT INTO `t0` VALUES ('{}');\n", "x".repeat(1000));
        dump.extend(row.bytes().cycle().take(bytes / row.len() * row.len()));
        [dump, end].concat()
    };
    let place = Place::new();
    place.backup(&dump(66 * MIB), &[]).is(0);
    assert_eq!(place.backup(&dump(34 * MIB), &[]).is(0).findings(), [""; 0]);
    place.backup(&dump(66 * MIB), &[]).is(0);
    let ran = place.backup(&dump(32 * MIB), &[]).is(3);
    assert_eq!(
        (lost(&ran), ran.json()["verdict"].clone()),
        (vec!["stream".to_owned()], "complete".into())
    );
    // What was never large may shrink.
    let place = Place::new();
    place.backup(&dump(62 * MIB), &[]).is(0);
    assert_eq!(place.backup(&dump(MIB), &[]).is(0).findings(), [""; 0]);
}

#[test]
fn a_dump_in_xml_is_not_compared_table_by_table() {
    let place = Place::new();
    place.backup(&dump(&[("crm", 3)]), &[]).is(0);
    let xml = b"<?xml version=\"1.0\"?>\n<mysqldump>\n<database name=\"crm\">\n</database>\n\
                </mysqldump>\n";
    place.backup(xml, &[]).is(0);
}

#[test]
fn what_was_lost_on_purpose_is_accepted_and_not_expected_any_more() {
    let place = Place::new();
    place.backup(&dump(&[("crm", 3), ("shop", 20)]), &[]).is(0);
    place.backup(&dump(&[("shop", 20)]), &[]).is(3);
    let ran = place.backup(&dump(&[("shop", 20)]), &["--accept", "lost-members:crm"]).is(0);
    assert_eq!(ran.findings(), ["lost-members note accepted"]);
    assert_eq!(place.backup(&dump(&[("shop", 20)]), &[]).is(0).findings(), Vec::<String>::new());
    // Something else that is lost is not covered.
    place.backup(&dump(&[("shop", 10)]), &[]).is(3);
}

#[test]
fn a_dump_that_declares_schemas_and_holds_nothing_is_a_warning_the_first_time_too() {
    let ran = Place::new().backup(&dump(&[("shop", 0)]), &[]).is(3);
    assert_eq!(lost(&ran), ["stream"]);
    Place::new().backup(&dump(&[("shop", 1), ("new", 0)]), &[]).is(0);
}

#[test]
fn a_physical_stream_that_lacks_tables_is_a_warning() {
    let place = Place::new();
    let mut server = Server::new(1, 12, 3);
    place.piped(&server.stream()).is(0);
    server.tables.retain(|(path, ..)| !path.ends_with("1.ibd"));
    assert_eq!(lost(&place.piped(&server.stream()).is(0)), Vec::<String>::new());
    server.tables.retain(|(path, ..)| !path.starts_with("shop/") || path.ends_with("5.ibd"));
    let ran = place.piped(&server.stream()).is(3);
    assert_eq!(ran.json()["verdict"], "unattested");
    assert!(lost(&ran).contains(&"shop/table0".to_owned()), "{}", ran.out());
}

#[test]
fn a_compressed_stream_without_its_end_is_partial_and_what_tells_nothing_is_said_to() {
    let place = Place::new();
    let text = b"INSERT INTO t VALUES (1);\n".repeat(2000);
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    gzip.extend(miniz_oxide::deflate::compress_to_vec(&text, 6));
    gzip.extend(crc32fast::hash(&text).to_le_bytes());
    gzip.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    let zstd = zstd::encode_all(&text[..], 3).unwrap();
    for whole in [gzip, zstd] {
        assert_eq!(place.backup(&whole, &[]).is(0).json()["verdict"], "complete");
        let cut = place.backup(&whole[..whole.len() * 2 / 3], &[]).is(3);
        assert_eq!(cut.json()["verdict"], "partial", "{}", cut.out());
        assert!(cut.out().contains("has no end"), "{}", cut.out());
        let followed = place.backup(&[&whole[..], b"garbage"].concat(), &[]).is(3);
        assert!(followed.out().contains("something follows the end"), "{}", followed.out());
    }
    let encrypted = place.backup(b"Salted__12345678 and so on", &[]).is(0);
    assert_eq!(encrypted.findings(), ["cannot-judge note"]);
}

#[test]
fn latest_of_several_sources_is_refused_by_every_verb_with_their_names() {
    let place = Place::new();
    place.backup(DUMP, &[]).is(0);
    place.ran(&["show", "latest"]).is(0);
    let other = place.file("other", b"something else");
    let cat = ["--", "cat", other.to_str().unwrap()];
    place.ran(&[&["backup", "--source", "web"][..], &cat].concat()).is(0);
    let target = place.0.path().join("target");
    let target = target.to_str().unwrap();
    for line in [
        &["restore", "latest", "--to", target][..],
        &["restore", "latest", "--stdout"],
        &["show", "latest"],
        &["ls", "latest"],
        &["cat", "latest", "stream"],
        &["diff", "db@latest", "latest"],
        &["stats", "latest"],
        &["verify", "latest"],
        &["tag", "latest", "--add", "x"],
    ] {
        let ran = place.ran(line).is(2);
        assert!(ran.err().contains("several sources: db, web"), "{line:?}: {}", ran.err());
        assert!(ran.err().contains("SOURCE@latest"), "{line:?}: {}", ran.err());
    }
    assert!(!std::path::Path::new(target).exists(), "nothing was begun");
    place.ran(&["restore", "web@latest", "--stdout"]).is(0);
}

#[test]
fn the_newest_complete_snapshot_of_a_source_is_found() {
    let place = Place::new();
    place.ran(&["show", "db@complete"]).is(2).err().find("no snapshot of db").unwrap();
    let complete = place.piped(DUMP).is(0);
    place.ran(&["show", "db@complete"]).is(2).err().find("no complete snapshot of db").unwrap();
    let first = place.backup(DUMP, &[]).is(0).json()["snapshot"].clone();
    let second = place.piped(DUMP).is(0).json()["snapshot"].clone();
    place.backup(&DUMP[..DUMP.len() - 900], &[]).is(3);
    assert_eq!(complete.json()["verdict"], "unattested");
    assert_eq!(place.ran(&["show", "db@complete", "--json"]).json()["id"], first);
    assert_eq!(place.ran(&["show", "db@latest", "--json"]).json()["id"], second);
}

#[test]
fn a_dump_that_a_shell_wrote_in_utf_16_is_partial_and_comes_back() {
    let place = Place::new();
    let recoded: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(DUMP.iter().flat_map(|byte| [*byte, 0])).collect();
    let odd = place.backup(&recoded, &[]).is(3);
    assert_eq!(odd.json()["verdict"], "partial");
    let reason = odd.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("dump that was written in UTF-16"), "{reason}");
    let id = odd.json()["snapshot"].as_str().unwrap().to_owned();
    let back = place.ran(&["restore", &id, "--stdout"]).0.stdout;
    assert!(back == recoded);
}
