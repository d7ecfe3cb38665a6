//! Lines as typed, and what they mean on a machine.

use clap::Parser;

use haulout::base::error::ErrorKind;

use super::*;
use crate::environment::Stream;
use crate::open::traits::CacheUse;
use crate::open::traits::Effect;
use crate::open::traits::Secrets;
use crate::open::traits::Traits;
use crate::open::traits::WhenDoubted;
use crate::verbs::args::Arguments;
use crate::verbs::args::Command;

/// Parses a line and plans it with these standard streams.
fn plan_on(line: &str, stdin: Stream, stdout: Stream) -> Outcome<(Settings, Box<dyn Job>)> {
    let typed = Arguments::try_parse_from(line.split(' ')).unwrap();
    let Command::Verb(verb) = typed.command else { panic!("a verb") };
    prepared(typed.common, verb, &Surroundings::of_a_test(stdin, stdout))
}

/// Parses a line and plans it where nothing is a terminal.
fn plan(line: &str) -> Outcome<(Settings, Box<dyn Job>)> {
    plan_on(line, Stream::Other, Stream::Other)
}

#[test]
fn the_repository_is_a_path_or_a_url() {
    for (url, place) in [("file:///a%20b", "/a b"), ("s3://bucket/db/", "s3://bucket/db")] {
        let (settings, _) = plan(&format!("haulout -r {url} snapshots")).unwrap();
        assert_eq!(settings.place.to_string(), place);
    }
    for line in ["haulout -r ftp://bucket snapshots", "haulout snapshots", "haulout -r= snapshots"]
    {
        assert_eq!(plan(line).unwrap_err().kind(), ErrorKind::Usage, "{line}");
    }
}

#[test]
fn what_was_probably_meant_by_an_odd_place_is_hinted_at() {
    for (place, hint) in [
        ("s3:bucket/x", "write s3://bucket/x"),
        ("S3://bucket", "write s3://bucket"),
        ("user@host:/x", "mounted"),
        ("rclone:x:y", "mounted"),
        ("C:\\x", "./C:\\x is a directory"),
        ("~/x", "home directory"),
        ("sftp://host/x", "s3://bucket/prefix"),
    ] {
        let failure = plan(&format!("haulout -r {place} snapshots")).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Usage, "{place}");
        assert!(failure.hint().contains(hint), "{place}: {}", failure.hint());
    }
}

#[test]
fn a_terminal_is_neither_a_source_nor_a_target() {
    let (person, other) = (Stream::Terminal, Stream::Other);
    assert!(plan_on("haulout -r /x backup", person, other).is_err());
    assert!(plan_on("haulout -r /x backup -- cat", person, other).is_ok());
    assert!(plan_on("haulout -r /x restore latest --stdout", other, person).is_err());
    assert!(plan_on("haulout -r /x restore latest --stdout", person, other).is_ok());
    assert!(plan("haulout -r /x restore latest --stdout --json").is_err());
}

#[test]
fn a_closed_stream_is_neither_a_source_nor_a_target() {
    let (closed, other) = (Stream::Closed, Stream::Other);
    for line in ["restore latest --stdout", "cat latest file"] {
        let failure = plan_on(&format!("haulout -r /x {line}"), other, closed).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Target, "{line}");
    }
    assert!(plan_on("haulout -r /x restore latest --to /y", other, closed).is_ok());
    assert!(plan_on("haulout -r /x backup", closed, other).is_err());
    assert!(plan_on("haulout -r /x backup -- cat", closed, closed).is_ok());
}

fn numbers(line: &str) -> (u32, u32) {
    let (settings, _) = plan(&format!("haulout -r {line}")).unwrap();
    (settings.at_once.workers, settings.at_once.uploads)
}

#[test]
fn memory_bounds_the_workers_of_a_backup_and_then_its_packs() {
    assert_eq!(numbers("/x backup"), (8, 2));
    assert_eq!(numbers("/x backup --threads 2"), (2, 2));
    assert_eq!(numbers("/x backup --memory 96MiB"), (1, 1));
    assert_eq!(numbers("/x backup --memory 144M"), (2, 2));
    assert_eq!(numbers("/x backup --memory 1G --threads 1000"), (112, 2));
    assert_eq!(numbers("s3://b/x backup"), (8, 4));
    assert_eq!(numbers("s3://b/x backup --threads 2"), (2, 5));
    assert_eq!(numbers("s3://b/x backup --memory 1G"), (8, 16));
}

#[test]
fn memory_bounds_the_windows_of_a_restore() {
    assert_eq!(numbers("/x restore latest --to /y").0, 8);
    assert_eq!(numbers("s3://b/x restore latest --to /y").0, 8);
    assert_eq!(numbers("s3://b/x restore latest --to /y --threads 99").0, 12);
    assert_eq!(numbers("s3://b/x verify --memory 96MiB").0, 2);
    assert_eq!(numbers("/x replicate --to /y --threads 99").0, 3);
}

#[test]
fn too_little_memory_is_refused() {
    let failure = plan("haulout -r /x snapshots --memory 95M").unwrap_err();
    assert_eq!(failure.message(), "--memory 95.0 MiB is too little");
    assert_eq!(failure.hint(), "give at least 96.0 MiB");
}

/// Returns the commands of [`LINES`] whose traits have a property.
fn verbs_that(has: impl Fn(&Traits) -> bool) -> Vec<&'static str> {
    let name = |line: &&'static str| line.split(' ').next().unwrap_or_default();
    let declared = |line: &&&str| has(&plan(&format!("haulout -r /x {line}")).unwrap().1.traits());
    LINES.iter().filter(declared).map(name).collect()
}

const LINES: [&str; 14] = [
    "init",
    "backup --limit 1MiB",
    "snapshots",
    "show a",
    "ls a",
    "cat a b",
    "diff a b",
    "stats",
    "tag a",
    "restore a --to /y --limit 1MiB",
    "verify",
    "repair",
    "key list",
    "replicate --to /y --limit 1MiB",
];

#[test]
fn each_verb_declares_what_shared_code_asks() {
    assert_eq!(verbs_that(|traits| traits.when_doubted == WhenDoubted::GoOn), ["backup"]);
    assert_eq!(verbs_that(|traits| traits.cache == CacheUse::Refused), ["verify", "repair"]);
    assert_eq!(verbs_that(|traits| traits.secrets == Secrets::Made), ["init", "key"]);
    assert_eq!(verbs_that(|traits| traits.limit.is_some()), ["backup", "restore", "replicate"]);
    let adds = ["init", "backup", "tag", "key"];
    assert_eq!(verbs_that(|traits| traits.effect == Effect::Adds), adds);
}
