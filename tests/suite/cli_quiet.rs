//! How much the program tells: nothing, a line, or all of it; and what the producer said, which is
//! kept with the snapshot.

use std::fs;

use crate::support::program::Place;

const DUMP: &str = "-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for Linux (x86_64)\n--\n\
                    -- Host: localhost    Database: shop\n\
                    -- ------------------------------------------------------\n\
                    CREATE TABLE `t` (`a` int);\n\
                    -- Dump completed on 2026-11-29  1:00:00\n";

/// A source whose producer writes a whole dump, and a lot of messages.
fn night(place: &Place) -> String {
    let dump = place.file("dump.sql", DUMP);
    format!("cat {dump}; seq 500 >&2")
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn quiet_says_nothing_when_all_is_well_and_a_line_when_not() {
    let place = Place::clear();
    let good = night(&place);
    let backup = |level: &str, script: &str| {
        place.ran(&["backup", level, "--source", "db", "--", "sh", "-c", script])
    };
    for level in ["-q", "--log-level=quiet"] {
        assert_eq!(backup(level, &good).is(0).prints("").err(), "");
        let bad = backup(level, "echo x; seq 500 >&2; echo disk on fire >&2; exit 7").is(3);
        let told = bad.prints("").err();
        assert_eq!(lines(&told), 1, "{told}");
        let id = place.snapshots().last().unwrap()["id"].as_str().unwrap()[..8].to_owned();
        for word in ["warning: ", " of db: partial: ", "status 7", &format!("haulout show {id}")] {
            assert!(told.contains(word), "{word}: {told}");
        }
        let failed = backup(level, "seq 500 >&2; exit 1").is(1).prints("").err();
        assert_eq!(lines(&failed), 2, "{failed}");
        assert!(failed.starts_with("error: ") && failed.contains("\nhint: "), "{failed}");
    }
}

#[test]
fn every_command_that_ends_with_findings_says_so_when_quiet() {
    let place = Place::clear();
    place.ran(&["backup", "-q", "--source", "db", "--", "seq", "999"]).is(0);
    place.ran(&["backup", "-q", "--source", "db", "--", "sh", "-c", "seq 9; exit 1"]).is(3);
    let id = place.snapshots()[1]["id"].as_str().unwrap().to_owned();
    let restored = place.ran(&["restore", &id, "--stdout", "-q"]).is(3).err();
    assert_eq!(lines(&restored), 1, "{restored}");
    for pack in place.objects("packs") {
        fs::remove_file(pack).unwrap();
    }
    for verb in [["verify", "-q"], ["verify", "--log-level=quiet"]] {
        let told = place.ran(&verb).is(3).prints("").err();
        assert!((1..=2).contains(&lines(&told)) && told.starts_with("warning: "), "{told}");
    }
}

#[test]
fn a_good_night_is_a_line_in_a_log() {
    let place = Place::clear();
    let good = night(&place);
    let backup = |level: &[&str], script: &str| {
        let line = ["backup", "--source", "db", "--", "sh", "-c", script];
        place.ran(&[level, &line].concat())
    };
    for level in [&[][..], &["--log-level", "brief"]] {
        let ran = backup(level, &good).is(0);
        let (out, err) = (ran.out(), ran.err());
        assert!(lines(&out) + lines(&err) <= 3, "{out}{err}");
        assert!(out.starts_with("snapshot ") && out.contains(" of db: complete, "), "{out}");
        assert!(out.contains(" stored\n") && !err.contains("499"), "{out}{err}");
    }
    // A bad one is told with its reasons, and names the command for the messages.
    let bad = backup(&[], "echo x; echo disk on fire >&2; exit 7").is(3);
    let told = bad.out() + &bad.err();
    assert!(told.contains("because") && told.contains(" --log\n"), "{told}");
    // What no snapshot keeps is shown.
    backup(&[], "echo disk on fire >&2; exit 1").is(1).says("disk on fire\n");
    for level in [&["--log-level", "normal"][..], &["--verbose"]] {
        let ran = backup(level, &good).is(0).says("499\n");
        assert!(lines(&ran.out()) > 3, "{}", ran.out());
    }
    backup(&["-q", "--log-level", "brief"], "true").is(2);
    backup(&["--log-level", "loud"], "true").is(2);
}

#[test]
fn a_stream_that_is_not_recognised_is_reported_in_a_log_until_it_is_expected() {
    let place = Place::clear();
    for (format, is_reported) in [("auto", true), ("auto", true), ("raw", false)] {
        let line = ["backup", "--source", "db", "--format", format, "--", "seq", "9"];
        let told = place.ran(&line).is(0).out();
        assert_eq!(told.contains("\n  note      not-recognised: stream: "), is_reported, "{told}");
        assert_eq!(lines(&told), 1 + usize::from(is_reported), "{told}");
    }
}

#[test]
fn what_the_producer_said_is_kept_with_the_snapshot() {
    let place = Place::clear();
    let script = "echo x; printf '\\033[2Jhello\\tyou\\n--password=geheim\\n' >&2; exit 1";
    let id = place.backed_up(script).is(3).json()["snapshot"].as_str().unwrap().to_owned();
    let log = "\\u{1b}[2Jhello\tyou\n--password=***\n";
    place.ran(&["show", &id, "--log"]).is(0).prints(log);
    let shown = place.ran(&["show", &id, "--log", "--json"]).is(0).json();
    assert_eq!((&shown["snapshot"], &shown["log"]), (&id.into(), &log.into()));

    // Nothing said, and nothing heard.
    for made in [
        place.backed_up("echo y").is(0),
        place.fed(&["backup", "--source", "db", "--json"], b"text").is(0),
    ] {
        let id = made.json()["snapshot"].as_str().unwrap().to_owned();
        place.ran(&["show", &id, "--log"]).is(0).prints("").says("no messages of a producer");
        let shown = place.ran(&["show", &id, "--log", "--json"]).is(0).json();
        assert!(shown["log"].is_null(), "{shown}");
    }
}

#[test]
fn of_many_messages_the_first_and_the_last_are_kept() {
    let place = Place::clear();
    let made = place.backed_up("echo x; seq 100000 >&2").is(0).json();
    let id = made["snapshot"].as_str().unwrap();
    let log = place.ran(&["show", id, "--log"]).is(0).out();
    assert!(log.starts_with("1\n2\n") && log.ends_with("\n99999\n100000\n"), "{}", log.len());
    assert!(log.len() > 60 << 10 && log.len() <= (64 << 10) + 100, "{}", log.len());
    assert!(log.contains(" lines are left out here\n"));
}

#[test]
fn messages_are_no_part_of_what_is_backed_up() {
    let place = Place::clear();
    let loud = "seq 9999; seq 9999 >&2; date +%N >&2";
    let first = place.backed_up(loud).is(0).json();
    let second = place.backed_up(loud).is(0).json();
    let silent = place.backed_up("seq 9999").is(0).json();
    for made in [&second, &silent] {
        assert_eq!((&made["blocks"]["whole"], &made["blocks"]["delta"]), (&0.into(), &0.into()));
        assert_eq!(made["members"], 1);
    }
    let id = first["snapshot"].as_str().unwrap();
    let listed = place.ran(&["ls", id]).is(0).out();
    assert!(!listed.contains("log"), "{listed}");
    place.ran(&["cat", id, "log"]).is(2);
    let numbers: Vec<String> = (1..10_000).map(|number| number.to_string()).collect();
    let whole = numbers.join("\n") + "\n";
    place.ran(&["restore", id, "--stdout"]).is(0).prints(&whole);
    place.ran(&["verify", "--depth", "blocks"]).is(0);
    // A night without changes and without messages stores no data.
    let objects = |made: &serde_json::Value| made["objects"].as_u64().unwrap();
    assert!(objects(&silent) < objects(&second), "{silent}{second}");
}

#[test]
fn a_lost_log_is_found_by_verify_and_takes_nothing_else() {
    let place = Place::clear();
    place.backed_up("seq 9999").is(0);
    let before = place.objects("packs");
    let made = place.backed_up("seq 9999; echo hello >&2").is(0).json();
    let id = made["snapshot"].as_str().unwrap();
    // Of the new packs, that with the log is the one without a second copy.
    let twins = place.objects("twins");
    let names: Vec<_> = twins.iter().map(|path| path.file_name().unwrap()).collect();
    let mut new = place.objects("packs");
    new.retain(|pack| !before.contains(pack) && !names.contains(&pack.file_name().unwrap()));
    assert_eq!(new.len(), 1);
    fs::remove_file(&new[0]).unwrap();
    place.ran(&["show", id, "--log"]).is(1);
    place.ran(&["restore", id, "--stdout"]).is(0);
    let found = place.ran(&["verify", "--depth", "blocks"]).is(3).out();
    assert!(found.contains("its log"), "{found}");
    place.backed_up("seq 9999; echo hello >&2");
    place.ran(&["restore", "db@latest", "--stdout"]).is(0);
}

#[test]
fn messages_are_sealed_from_who_may_only_write() {
    let place = Place::empty();
    let owner = place.file("owner", "correct horse\n");
    let by = |key: &str, line: &[&str]| place.ran(&[&["--password-file", key], line].concat());
    by(&owner, &["init", "-q"]).is(0);
    let writer = place.path("writer");
    let writer = writer.to_str().unwrap();
    by(&owner, &["key", "add", "--write-only", "--key-file", writer]).is(0);
    let script = "seq 999; echo remember me well >&2";
    let line = ["backup", "--source", "db", "--json", "--", "sh", "-c", script];
    let made = by(writer, &line).is(0).json();
    let id = made["snapshot"].as_str().unwrap();
    let refused = by(writer, &["show", id, "--log", "--json"]).is(1);
    assert_eq!(refused.error_kind(), "write-only");
    by(writer, &["show", id]).is(0);
    by(&owner, &["show", id, "--log"]).is(0).prints("remember me well\n");
    for folder in ["packs", "twins", "snapshots", "runs", "keys", "notes"] {
        for object in place.objects(folder) {
            let bytes = fs::read(&object).unwrap();
            let shows = bytes.windows(11).any(|part| part == b"remember me");
            assert!(!shows, "{}", object.display());
        }
    }
    // A copy with other keys has them too.
    let other = place.file("other", "another password\n");
    let copy = place.path("copy");
    let copy = copy.to_str().unwrap();
    by(&owner, &["replicate", "--init", "--to", copy, "--other-password-file", &other]).is(0);
    let there = by(&other, &["-r", copy, "show", "latest", "--log"]).is(0);
    there.prints("remember me well\n");
}

/// A job that verifies, restores and replicates every night logs a line for each.
#[test]
fn every_command_of_a_night_is_a_line_in_a_log() {
    let place = Place::empty();
    let (own, other) = (place.file("own", "secret\n"), place.file("other", "another\n"));
    place.ran(&["init", "-q", "--password-file", &own]).is(0);
    let dump = night(&place);
    let backup = ["backup", "-q", "--source", "db", "--password-file", &own];
    place.ran(&[&backup[..], &["--", "sh", "-c", &dump]].concat()).is(0);
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (copy, sealed) = (path("copy"), path("sealed"));
    let to_other = ["replicate", "--to", &sealed, "--other-password-file", &other];
    let lines_of: [(&[&str], &str); 9] = [
        (&["verify"], "verified 1 snapshot: nothing is wrong, "),
        (&["verify", "--depth", "objects"], "verified 1 snapshot: nothing is wrong, "),
        (&["restore", "latest", "--stdout"], "note: restored "),
        (&["restore", "latest", "--to", &path("target")], "restored "),
        (&["replicate", "--init", "--to", &copy], "sent 1 snapshot to "),
        (&["replicate", "--verify", "--to", &copy], "sent 0 snapshots to "),
        (&[&to_other[..], &["--init"]].concat(), "re-encrypted 1 snapshot to "),
        (&[&to_other[..], &["--verify"]].concat(), "re-encrypted 0 snapshots to "),
        (&["repair"], "nothing had to be repaired"),
    ];
    for (line, summary) in lines_of {
        let with = |more: &[&str]| place.ran(&[line, &["--password-file", &own], more].concat());
        let ran = with(&["--log-level", "brief"]).is(0);
        let told = ran.out().replace(DUMP, "") + &ran.err();
        let made = told.lines().filter(|line| line.starts_with("note: making a repository"));
        let made = made.count();
        assert_eq!(lines(&told) - made, 1, "{line:?}: {told}");
        assert!(told.lines().any(|line| line.starts_with(summary)), "{line:?}: {told}");
    }
    let verified = place.ran(&["verify", "--password-file", &own]).is(0).out();
    assert_eq!(lines(&verified), 1, "it is the default without a terminal");
    let normal = ["verify", "--log-level", "normal", "--password-file", &own];
    assert!(lines(&place.ran(&normal).is(0).out()) > 3);

    // What was mended, and what is there already, is in the line.
    let pack = fs::read_dir(place.path("copy/packs")).unwrap().next().unwrap().unwrap().path();
    let pack = fs::read_dir(pack).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, b"spoiled").unwrap();
    let mend = ["replicate", "--verify", "--to", &copy, "--password-file", &own];
    let told = place.ran(&mend).is(0).out();
    assert!(told.contains(", 1 damaged object mended, "), "{told}");
    assert!(told.ends_with(" verified there, 1 there before\n"), "{told}");

    // What a verification found stands before its line.
    let pack = place.objects("packs").remove(0);
    fs::remove_file(&pack).unwrap();
    let found = place.ran(&["verify", "--password-file", &own]).is(3).out();
    let last = found.lines().last().unwrap();
    assert!(last.starts_with("verified 1 snapshot: ") && last.contains(" finding"), "{found}");
}

/// Of a backup that stores nothing no message is kept, so that the error says what is known.
#[test]
fn a_failed_backup_quotes_the_error_of_its_producer() {
    let place = Place::clear();
    let script = "echo starting >&2; echo 'mysqldump: Got error: 1045: Access denied' >&2; \
                  echo 'some advice' >&2; exit 2";
    for level in ["quiet", "brief", "normal"] {
        let line = ["backup", "--source", "db", "--log-level", level, "--", "sh", "-c", script];
        let told = place.ran(&line).is(1).err();
        let error = told.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.contains("ended with status 2"), "{told}");
        assert!(error.contains("Got error: 1045: Access denied"), "{told}");
    }
    let nothing = ["backup", "--source", "db", "--", "sh", "-c", "echo out of disk >&2; exit 5"];
    place.ran(&nothing).is(1).says("its last words: out of disk");
    assert!(place.snapshots().is_empty());
}
