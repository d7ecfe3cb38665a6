//! Lists as people read them: which snapshots, in which zone, on a narrow terminal; and the sheet
//! of a recovery kit.

use std::process::Command;
use std::process::Stdio;

use crate::support::program::Place;
use crate::support::program::Ran;

/// Three snapshots of `one`, the second with a tag, and one of `two` with the same.
fn place() -> Place {
    let place = Place::clear();
    for (source, tag) in [("one", "a"), ("one", "b"), ("two", "b"), ("one", "a")] {
        let line = ["backup", "-q", "--source", source, "--tag", tag, "--tag", "all"];
        place.ran(&[&line[..], &["--", "echo", "x"]].concat()).is(0);
    }
    place
}

#[test]
fn snapshots_are_chosen_by_source_tag_and_number() {
    let place = place();
    let listed = |line: &[&str]| {
        let ran = place.ran(&[&["snapshots", "--json"], line].concat()).is(0).json();
        let told = ran.as_array().unwrap().iter();
        let one = |one: &serde_json::Value| {
            format!("{}{}", one["source"].as_str().unwrap(), one["tags"][0])
        };
        let mut told: Vec<String> = told.map(one).collect();
        // They were all made in one second.
        told.sort();
        told.join(" ")
    };
    assert_eq!(listed(&["--source", "two"]), "two\"b\"");
    assert_eq!(listed(&["--source", "one", "--tag", "a"]), "one\"a\" one\"a\"");
    assert_eq!(listed(&["--tag", "b"]), "one\"b\" two\"b\"");
    assert_eq!(listed(&["--tag", "b", "--tag", "a"]), "");
    assert_eq!(listed(&["--last", "1"]), "one\"a\" two\"b\"");
    assert_eq!(listed(&["--last", "2", "--source", "one"]), "one\"a\" one\"b\"");
    assert_eq!(
        listed(&["--source", "one", "--source", "two", "--tag", "all"]).split(' ').count(),
        4
    );
    place.ran(&["snapshots", "--source", "tow"]).is(2).says("there is no snapshot of tow");
    place.ran(&["snapshots", "--last", "0"]).is(2);
}

#[test]
fn times_are_reported_by_the_local_clock_if_that_is_wanted() {
    let place = place();
    let in_zone = |line: &[&str]| {
        let mut command = place.command(line);
        command.env("TZ", "XYZ-05:30");
        Ran::of(command, b"").is(0)
    };
    for line in [&["snapshots"][..], &["show", "two@latest"]] {
        let utc = in_zone(line).out();
        assert!(utc.contains('Z') && !utc.contains("+05:30"), "{utc}");
        let local = in_zone(&[line, &["--local-time"]].concat()).out();
        assert!(local.contains("+05:30"), "{local}");
    }
    let json = in_zone(&["snapshots", "--json", "--local-time"]).json();
    assert!(json[0]["time"].as_str().unwrap().ends_with('Z'), "{json}");
}

#[test]
fn eighty_columns_show_source_verdict_and_zone() {
    let place = Place::clear();
    let source = "a-host-of-ours-mariabackup";
    let line = ["backup", "-q", "--source", source, "--tag", "a-tag-that-is-long", "--"];
    place.ran(&[&line[..], &["echo", "x"]].concat()).is(0);
    place.ran(&[&line[..], &["sh", "-c", "echo x; exit 1"]].concat()).is(3);
    for (verb, zone) in [("snapshots", "Z"), ("snapshots --local-time", "+05:30")] {
        let program = env!("CARGO_BIN_EXE_haulout");
        let repo = place.path("repo");
        let line = format!("stty cols 80; {program} -r {} {verb}", repo.display());
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).env("TZ", "XYZ-05:30");
        script.env("NO_COLOR", "1").env("TERM", "xterm").stdin(Stdio::null());
        let seen = Ran::of(script, b"").is(0).out();
        let partial = seen.lines().find(|line| line.contains("partial")).unwrap();
        assert!(partial.trim_end().chars().count() <= 80, "{partial}");
        assert!(partial.contains(&format!("{zone}  {}", &source[..14])), "{partial}");
    }
}

/// A backup of two tables whose names are as long as servers allow; `stats` of all and of one.
#[test]
fn eighty_columns_show_statistics_of_long_names() {
    let place = Place::clear();
    let source = "a-host-with-a-long-name.example.org-mariadb-dump";
    let table = |letter: &str| letter.repeat(64);
    let dump = ["a", "b"].map(|letter| {
        let name = table(letter);
        let row = "x".repeat(1000);
        format!("CREATE TABLE `{name}` (a text);\nINSERT INTO `{name}` VALUES ('{row}');\n")
    });
    let head = "-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n--\n\
                -- Host: localhost    Database: shop\n";
    let stream = format!("{head}{}-- Dump completed on 2026-11-20  3:00:00\n", dump.concat());
    let ran = place.fed(&["backup", "--source", source, "--json"], stream.as_bytes());
    assert_eq!(ran.json()["source"], source, "{}", ran.err());
    for (verb, beginnings) in [
        ("stats", vec!["a-host-wit"]),
        ("stats latest", vec!["shop/aaaaaaaaaa", "shop/bbbbbbbbbb"]),
    ] {
        let program = env!("CARGO_BIN_EXE_haulout");
        let line = format!("stty cols 80; {program} -r {} {verb}", place.path("repo").display());
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]);
        script.env("NO_COLOR", "1").env("TERM", "xterm").stdin(Stdio::null());
        let seen = Ran::of(script, b"").is(0).out();
        for beginning in beginnings {
            assert!(seen.contains(beginning), "{beginning}: {seen}");
        }
        for line in seen.lines() {
            assert!(line.trim_end().chars().count() <= 80, "{line}");
        }
        // A file or a pipe gets the whole names.
        let verb: Vec<&str> = verb.split(' ').collect();
        let whole = place.ran(&verb).is(0).out();
        let name = if verb.len() == 1 { source.to_owned() } else { table("a") };
        assert!(whole.contains(&name), "{whole}");
    }
}

#[test]
fn a_kit_says_where_the_repository_and_its_copies_are() {
    let place = Place::empty();
    let password = place.file("password", "correct horse\n");
    place.ran(&["init", "-q", "--password-file", &password]).is(0);
    let kit = place.path("kit");
    let line = ["key", "export", kit.to_str().unwrap(), "--no-password", "--password-file"];
    let replicas = ["--replica", "s3://offsite/db", "--replica", "/mnt/copy"];
    place.ran(&[&line[..], &[&password], &replicas].concat()).is(0);
    let sheet = std::fs::read_to_string(&kit).unwrap();
    let repo = place.path("repo");
    for words in [
        &format!("which was at {} on ", repo.display()),
        "A copy of it was at s3://offsite/db.\n",
        "A copy of it was at /mnt/copy.\n",
    ] {
        assert!(sheet.contains(words), "{words}: {sheet}");
    }
    // Typed off the sheet, without a space.
    let numbered = sheet.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let typed: String = numbered.map(|line| line.replace(' ', "") + "\n").collect();
    let typed = place.file("typed", typed);
    place.ran(&["snapshots", "--recovery-kit", &typed]).is(0);
}
