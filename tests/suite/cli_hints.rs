//! What the program says to an operator who went wrong: units, the producer's command, lost
//! objects, places.

use std::fs;

use crate::support::program::Place;
use crate::support::program::Ran;

#[test]
fn numbers_have_units() {
    let place = Place::clear();
    let refused = |line: &[&str], why: &str| {
        place.ran(&[line, &["--source", "db", "--", "true"]].concat()).is(2).says(why);
    };
    for option in ["--limit", "--memory", "--cache-size", "--checkpoint-bytes"] {
        refused(&["backup", option, "5"], "it has no unit: write 5MiB, 5MB or 5B");
    }
    for option in ["--grace", "--checkpoint-time", "--retry-for"] {
        refused(&["backup", option, "5"], "it has no unit: write 5s, 5min or 5h");
        refused(&["backup", option, "5m"], "m is no unit of time: write 5min");
    }
    refused(&["backup", "--limit", "5M"], "m is no unit of size: write 5MiB or 5MB");
    refused(&["backup", "--cache-size", "5M"], "M is no unit of size: write 5MiB or 5MB");
    refused(&["backup", "--limit", "mon-fri 08:00-18:00 5, 80MiB"], "it has no unit");
    for right in [["--memory", "1G"], ["--limit", "5GB"], ["--grace", "2d"], ["--limit", "1TiB/s"]]
    {
        let line = ["backup", "-q", right[0], right[1], "--source", "db", "--", "echo", "x"];
        place.ran(&line).is(0);
    }
}

#[test]
fn a_producer_that_can_not_start_is_told_how_it_is_written() {
    let place = Place::clear();
    let backup = |command: &[&str]| place.ran(&[&["backup", "--source", "db"], command].concat());
    for line in ["mariabackup --x | foo", "cat /etc/passwd"] {
        backup(&["--", line]).is(1).says("cannot start ").says("haulout backup -- sh -c 'LINE'");
    }
    backup(&["--", "mysqldumpp", "--all"]).is(1).says("this PATH does not have it");
    backup(&["--", "/no/such", "--all"]).is(1).says("check the path of the program");
    backup(&["--", "/etc/passwd"]).is(1).says("must be a program that this user may run");
    backup(&["mariabackup", "--backup"]).is(2).says("haulout backup -- mariabackup");
    assert!(place.snapshots().is_empty());
}

#[test]
fn a_lost_config_is_no_reason_to_make_another_repository() {
    let place = Place::clear();
    place.ran(&["backup", "-q", "--source", "db", "--", "echo", "x"]).is(0);
    fs::rename(place.path("repo/config"), place.path("config")).unwrap();
    let lost = place.ran(&["snapshots", "--json"]).is(1);
    assert_eq!(lost.error_kind(), "no-config");
    lost.says("its config is missing").says("from a copy of the repository");
    fs::rename(place.path("config"), place.path("repo/config")).unwrap();
    place.ran(&["snapshots"]).is(0);
    let none = place.path("none");
    fs::create_dir(&none).unwrap();
    place.ran(&["-r", none.to_str().unwrap(), "snapshots"]).is(1).says("haulout init");
}

#[test]
fn a_plan_names_the_directory_that_it_would_make() {
    let place = Place::clear();
    place.ran(&["backup", "-q", "--source", "db", "--", "echo", "x"]).is(0);
    let to = place.path("new");
    let to = to.to_str().unwrap();
    let planned = place.ran(&["replicate", "--init", "--plan", "--to", to]).is(0).out();
    assert!(planned.contains(to) && !planned.contains("memory"), "{planned}");
    let planned = place.ran(&["replicate", "--init", "--plan", "--json", "--to", to]).is(0).json();
    assert_eq!(planned["to"], to);
    assert!(!place.path("new").exists());
}

#[test]
fn a_write_only_key_is_told_what_statistics_need() {
    let place = Place::empty();
    let owner = place.path("owner");
    let writer = place.path("writer");
    let by = |key: &std::path::Path, line: &[&str]| {
        let mut command = place.command(line);
        command.env("HAULOUT_PASSWORD_FILE", key);
        Ran::of(command, b"")
    };
    let first = place.file("first", "correct horse\n");
    by(first.as_ref(), &["init", "-q"]).is(0);
    by(first.as_ref(), &["key", "add", "--key-file", owner.to_str().unwrap()]).is(0);
    let add = ["key", "add", "--write-only", "--key-file", writer.to_str().unwrap()];
    by(&owner, &add).is(0);
    by(&writer, &["backup", "-q", "--source", "db", "--", "seq", "99"]).is(0);
    let refused = by(&writer, &["stats", "latest", "--json"]).is(1);
    assert_eq!(refused.error_kind(), "write-only");
    by(&owner, &["stats", "latest"]).is(0);
}

#[test]
fn an_endpoint_without_tls_is_no_question_of_permissions() {
    let place = Place::empty();
    let line = ["-r", "s3://bucket/db", "--endpoint", "http://127.0.0.1:9", "snapshots"];
    let mut command = place.command(&line);
    command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    let told = Ran::of(command, b"").is(1).says("not without TLS").says("--allow-http").err();
    assert!(!told.contains("permission"), "{told}");
}

#[test]
fn a_place_that_can_not_have_a_directory_is_no_damage() {
    let place = Place::empty();
    let file = place.file("file", "x");
    let init = |at: &str| {
        let told = place.ran(&["-r", at, "init", "--no-encryption"]).is(1);
        assert!(!told.err().contains("haulout verify"), "{}", told.err());
        told
    };
    init("/proc/x").says("cannot make /proc/x").says("name a directory on a disk or share");
    init(&file).says(&format!("{file} is a file, and no directory")).says("choose a place");
    init(&format!("{file}/x")).says(&format!("{file} is a file, and no directory"));
    init("/no/such/place").says("there is no directory /no/such");
}

/// `latest` and what has an @ name snapshots, so that a source of such a name could not be named.
#[test]
fn a_source_has_no_name_that_means_a_snapshot() {
    let place = Place::clear();
    for name in ["latest", "shop@latest", "a@b", "@latest"] {
        let line = ["backup", "--source", name, "--", "echo", "x"];
        place.ran(&line).is(2).says("for '--source <NAME>': it ");
    }
    for name in ["latest-dump", "complete"] {
        place.ran(&["backup", "-q", "--source", name, "--", "echo", "x"]).is(0);
        place.ran(&["show", &format!("{name}@latest")]).is(0);
    }
    assert_eq!(place.snapshots().len(), 2);
}
