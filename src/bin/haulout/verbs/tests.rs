//! Lines as typed, and what they mean on a machine.

use haulout::error::ErrorKind;
use haulout::ops::backup::Level;

use super::*;
use crate::environment::Stream;
use crate::open::traits::CacheUse;
use crate::open::traits::Effect;
use crate::open::traits::Secrets;
use crate::open::traits::Traits;
use crate::open::traits::WhenDoubted;

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
    assert_eq!(numbers("/x backup --memory 144M"), (2, 1));
    assert_eq!(numbers("/x backup --memory 160M"), (4, 1));
    assert_eq!(numbers("/x backup --memory 160M --threads 2"), (2, 2));
    assert_eq!(numbers("/x backup --memory 1G --threads 1000"), (112, 1));
    assert_eq!(numbers("s3://b/x backup"), (8, 3));
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

const LINES: [&str; 21] = [
    "init",
    "backup --limit 1MiB",
    "snapshots",
    "show a",
    "ls a",
    "cat a b",
    "diff a b",
    "stats",
    "tag a",
    "hold a",
    "release a",
    "forget a",
    "prune",
    "restore a --to /y --limit 1MiB",
    "verify",
    "repair",
    "salvage",
    "unlock",
    "upgrade",
    "key list",
    "replicate --to /y --limit 1MiB",
];

#[test]
fn each_verb_declares_what_shared_code_asks() {
    assert_eq!(verbs_that(|traits| traits.when_doubted == WhenDoubted::GoOn), ["backup"]);
    assert_eq!(verbs_that(|traits| traits.cache == CacheUse::Refused), ["verify", "repair"]);
    assert_eq!(verbs_that(|traits| traits.secrets == Secrets::Made), ["init", "key"]);
    assert_eq!(verbs_that(|traits| traits.limit.is_some()), ["backup", "restore", "replicate"]);
    let adds = [
        "init", "backup", "tag", "hold", "release", "forget", "prune", "salvage", "upgrade", "key",
    ];
    assert_eq!(verbs_that(|traits| traits.effect == Effect::Adds), adds);
}

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split(' '))
}

#[test]
fn the_grammar_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in ["haulout -r /x --json snapshots", "haulout snapshots -r /x --json"] {
        let typed = parse(line).unwrap();
        assert_eq!(typed.common.repo.as_deref(), Some("/x"), "{line}");
        assert!(typed.common.json, "{line}");
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for line in [
        "haulout",
        "haulout snapshots -q -v",
        "haulout snapshots -q --log-level brief",
        "haulout snapshots --password-file a --password-command b",
        "haulout init --no-encryption --password-file a",
        "haulout restore latest",
        "haulout restore latest --to /x --stdout",
        "haulout backup --format dump",
        "haulout restore latest --stdout --prepare",
        "haulout backup --compression 20",
        "haulout backup --compression -8",
        "haulout backup --source a@b",
        "haulout backup --tag ",
        "haulout backup mariabackup",
        "haulout verify --depth deep",
        "haulout snapshots --threads 0",
        "haulout snapshots --memory 5X",
        "haulout key",
        "haulout key add --key-file a --new-password-file b",
        "haulout key remove",
        "haulout replicate",
        "haulout replicate --to /x --from /y",
        "haulout replicate --to /x --last 0",
        "haulout replicate --to /x --snapshot a --last 1",
        "haulout key export a --no-password --new-password-command b",
        "haulout diff latest",
        "haulout cat latest",
        "haulout tag latest --add ",
        "haulout hold latest --until tomorrow",
        "haulout unlock latest",
        "haulout forget a --keep-last 1",
        "haulout forget --keep-last -1",
        "haulout forget --damaged --keep-last 1",
        "haulout forget --every day --for 2y --keep-last 1",
        "haulout forget --simulate --keep-last 1",
        "haulout forget --simulate --every day --for 2y --keep-last 1 --plan",
        "haulout forget --keep-last 1 --allow everything",
        "haulout prune --max-unused 10",
        "haulout prune --max-rewrite 101%",
        "haulout completions tcl",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn everything_after_two_dashes_belongs_to_the_producer() {
    let typed = parse("haulout backup --compression -7 --tag a --tag b -- cat -v --json").unwrap();
    assert!(!typed.common.json);
    let Command::Verb(Verb::Backup(backup)) = typed.command else { panic!("a backup") };
    assert_eq!(backup.command, ["cat", "-v", "--json"]);
    assert_eq!(backup.tags, ["a", "b"]);
    assert_eq!(Some(backup.compression.0), Level::new(-7));
}

#[test]
fn every_command_has_an_example() {
    let grammar = Arguments::command();
    let nested = grammar.get_subcommands().flat_map(clap::Command::get_subcommands);
    for command in grammar.get_subcommands().chain(nested) {
        let name = command.get_name();
        let example = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let is_about = About::has_subcommand(name);
        let is_of_jobs = Jobs::has_subcommand(name);
        // The commands on the configuration, and those on a node, need no repository.
        let names_none = is_about
            || is_of_jobs
            || ["check", "show", "schema", "inspect", "step", "undo"].contains(&name);
        let begins = if names_none { "  haulout " } else { "  haulout -r /backup/db " };
        assert!(example.contains(begins), "{name}");
        assert!(example.contains(&format!(" {name}")), "{name}");
    }
}
