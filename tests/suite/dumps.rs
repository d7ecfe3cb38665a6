//! SQL dumps, from end to end: what is called complete, what a restore of one table holds, and what
//! a second dump costs.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::snapshot::StreamFormat;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupOptions;
use haulout::ops::restore::Method;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::Target;
use haulout::ops::restore::restore;
use haulout::repo::Repository;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::memory::MemoryStore;
use haulout::verdict::CheckName;

use crate::support;
use crate::support::Protected;
use crate::support::back_up;
use crate::support::back_up_source;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::options;
use crate::support::stream_of;

/// A dump of two schemas of a real server, with views, triggers, routines, events and names and
/// values that look like SQL.
const FULL: &[u8] = include_bytes!("../dumps/full.sql");
const COMPACT: &[u8] = include_bytes!("../dumps/compact.sql");

fn repository() -> Repository {
    init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1)
}

/// Restores the parts of the newest dump that match.
fn restored(repository: &Repository, include: &[&str]) -> haulout::base::error::Result<String> {
    let stored = repository.find_snapshot("latest")?;
    let include = include.iter().map(|glob| (*glob).to_owned()).collect();
    let options = RestoreOptions { include, workers: 2, ..RestoreOptions::default() };
    let mut out = Vec::new();
    let (target, world) = (Target::Stream(&mut out), World::of_this_machine());
    let report = restore(repository, &stored, target, &options, &world)?;
    let is_whole = report.method == Method::Stream;
    assert_eq!(is_whole, options.include.is_empty(), "{:?}", report.method);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn a_dump_comes_back_and_its_producers_end_decides_how_far_it_is_trusted() {
    for (exit, verdict) in [
        (ProducerExit::Exited(0), Verdict::Complete),
        (ProducerExit::Unseen, Verdict::Unattested),
        (ProducerExit::Exited(2), Verdict::Partial),
        (ProducerExit::Killed(9), Verdict::Partial),
    ] {
        let repository = repository();
        let report = back_up_with(&repository, FULL, exit, &options()).unwrap();
        assert_eq!(report.about.format, StreamFormat::Sql);
        assert_eq!(report.about.verdict, verdict, "{exit:?}: {:?}", report.about.reasons);
        assert_eq!(report.about.reasons.is_empty(), verdict == Verdict::Complete);
        assert_eq!(report.about.positions.gtid.as_deref(), Some("0-7-19"));
        assert_eq!(report.about.positions.binlog_file.as_deref(), Some("bin.000001"));
        assert!(stream_of(&repository, &report.id.to_string()).unwrap() == FULL);
    }
}

#[test]
fn a_dump_that_was_cut_behind_any_statement_or_line_is_partial_and_comes_back() {
    let ends: Vec<usize> = (1..FULL.len()).filter(|at| FULL[at - 1] == b'\n').collect();
    assert!(ends.len() > 300, "the dump has many lines");
    let repository = repository();
    for (number, end) in ends.into_iter().enumerate() {
        let report = back_up(&repository, &FULL[..end]);
        assert_eq!(report.about.verdict, Verdict::Partial, "cut at {end}");
        assert!(report.about.reasons[0].contains("dump"), "{:?}", report.about.reasons);
        if number % 20 == 0 {
            assert!(stream_of(&repository, &report.id.to_string()).unwrap() == FULL[..end]);
        }
    }
    assert!(repository.find_snapshot("latest").is_err(), "none of them is the latest");
}

#[test]
fn a_reason_names_the_table_in_which_a_dump_stopped_and_what_to_do() {
    let at = |what: &[u8]| FULL.windows(what.len()).position(|bytes| bytes == what).unwrap();
    let compact = &back_up(&repository(), COMPACT).about.reasons[0];
    for (reason, words) in [
        (
            &back_up(&repository(), &FULL[..at(b"it\\'s")]).about.reasons[0],
            "inside a value of table 'nova.instances'",
        ),
        (
            &back_up(&repository(), &FULL[..at(b"(2,2)")]).about.reasons[0],
            "inside a statement of table 'nova.services'",
        ),
        (compact, "leave out --compact and --skip-comments"),
    ] {
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn one_table_is_restored_with_what_it_needs_and_nothing_that_moves_a_replica() {
    let repository = repository();
    back_up(&repository, FULL);
    let table = restored(&repository, &["nova.instances"]).unwrap();
    assert!(table.contains("\n/*M!999999\\- enable the sandbox mode */"));
    for (text, count) in [
        ("CREATE DATABASE", 1),
        ("USE `nova`", 1),
        ("CREATE TABLE", 1),
        ("INSERT INTO `instances`", 1),
        ("TRIGGER t1", 1),
        ("SET SQL_MODE=@OLD_SQL_MODE", 1),
        ("`services`", 0),
        ("glance", 0),
        ("EVENT", 0),
    ] {
        assert_eq!(table.matches(text).count(), count, "{text}");
    }
    let schema = restored(&repository, &["glance.*"]).unwrap();
    assert!(schema.contains("VIEW `v` AS select") && !schema.contains("instances"));
    // Two schemas, of which one is entered a second time for its views.
    let views = restored(&repository, &["nova.up", "glance.v", "nova/aaa*"]).unwrap();
    let order =
        ["USE `nova`", "USE `glance`", "USE `nova`", "VIEW `aaa` AS select", "USE `glance`"];
    let mut rest = views.as_str();
    for text in order {
        let at = rest.find(text).unwrap_or_else(|| panic!("{text} in {rest}"));
        rest = &rest[at + text.len()..];
    }
    let error = restored(&repository, &["nova.nothing"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

/// Restores the parts of the newest dump that match, for another schema; what is told of it.
fn rewritten(
    repository: &Repository,
    include: &[&str],
    into: &str,
) -> haulout::base::error::Result<(String, Vec<String>)> {
    let stored = repository.find_snapshot("latest")?;
    let include = include.iter().map(|glob| (*glob).to_owned()).collect();
    let into = Some(into.to_owned());
    let options = RestoreOptions { include, into, workers: 2, ..RestoreOptions::default() };
    let mut out = Vec::new();
    let world = World::of_this_machine();
    let report = restore(repository, &stored, Target::Stream(&mut out), &options, &world)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), report.warnings))
}

#[test]
fn a_table_is_written_for_another_schema_and_says_where_it_loads() {
    let repository = repository();
    back_up(&repository, FULL);
    let (table, warnings) = rewritten(&repository, &["nova.instances"], "aside").unwrap();
    assert!(table.starts_with("-- haulout: this loads into schema 'aside' what was dumped of"));
    assert_eq!(warnings, [""; 0]);
    for (text, count) in [
        ("EXISTS*/ `aside`", 1),
        ("USE `aside`", 2),
        ("CREATE TABLE `instances`", 1),
        ("TRIGGER t1", 1),
        ("USE `nova`", 0),
        ("EXISTS*/ `nova`", 0),
    ] {
        assert_eq!(table.matches(text).count(), count, "{text} in {table}");
    }
    let plain = restored(&repository, &["nova.instances"]).unwrap();
    assert!(plain.starts_with("-- haulout: this loads into schema 'nova', and replaces"));
    let several = restored(&repository, &["nova.up", "glance.v"]).unwrap();
    assert!(several.starts_with("-- haulout: this loads into schemas 'glance', 'nova'"));
    let error = rewritten(&repository, &["nova.*", "glance.v"], "aside").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("chooses several: 'glance', 'nova'"), "{error}");
    // Of one schema without its name, and of a stream without schemas.
    back_up(&repository, COMPACT);
    let error = rewritten(&repository, &["*"], "aside").unwrap_err();
    assert!(error.to_string().contains("--into"), "{error}");
    let own = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
    back_up(&own, &support::Server::new(1, 2, 2).stream());
    let error = rewritten(&own, &["shop/*"], "aside").unwrap_err();
    assert!(error.to_string().contains("has no schema that can be rewritten"), "{error}");
}

#[test]
fn what_drops_a_schema_and_programs_that_name_it_are_left_out_and_reported() {
    let dump = "-- MariaDB dump 10.19\n-- Host: h    Database: shop\n\
        /*!40101 SET NAMES utf8mb4 */;\n\
        /*!40000 DROP DATABASE IF EXISTS `shop`*/;\nCREATE DATABASE `shop`;\nUSE `shop`;\n--\n\
        -- Table structure for table `t`\n--\nDROP TABLE IF EXISTS `t`;\n\
        CREATE TABLE `t` (a text);\nINSERT INTO `t` VALUES ('USE `shop`;');\nDELIMITER ;;\n\
        CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW DELETE FROM shop.u;;\nDELIMITER ;\n\
        /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n-- Dump completed\n";
    let repository = repository();
    back_up(&repository, dump.as_bytes());
    let plain = restored(&repository, &["shop.t"]).unwrap();
    assert!(plain.contains("USE `shop`;") && !plain.contains("DROP DATABASE"), "{plain}");
    let (table, warnings) = rewritten(&repository, &["shop.t"], "aside").unwrap();
    assert!(table.contains("VALUES ('USE `shop`;')") && !table.contains("DROP DATABASE"));
    assert!(!table.contains("CREATE TRIGGER") && !table.contains("\nUSE `shop`"), "{table}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("trigger 'x' names schema 'shop'"), "{warnings:?}");
    assert!(stream_of(&repository, "latest").unwrap() == dump.as_bytes(), "whole it is as it came");
}

#[test]
fn members_become_files_that_are_the_dump_in_the_order_of_the_members() {
    let repository = repository();
    back_up(&repository, FULL);
    let stored = repository.find_snapshot("latest").unwrap();
    let world = World::of_this_machine();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("files");
    let options = RestoreOptions::new(2);
    let to = Target::Directory(&target);
    let report = restore(&repository, &stored, to, &options, &world).unwrap();
    assert_eq!((report.files, report.bytes), (21, u64::try_from(FULL.len()).unwrap()));
    let table = std::fs::read_to_string(target.join("glance/images.sql")).unwrap();
    assert!(table.contains("INSERT INTO `images`"));
    assert!(target.join("nova/we%60ird%20%3b%2e%2e%20%2f%40x.sql").is_file());
}

#[test]
fn tables_in_another_order_cost_next_to_nothing() {
    let mut dump = b"-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\n".to_vec();
    let mut random = support::Random(7);
    let tables: Vec<Vec<u8>> = (0..4)
        .map(|table| {
            let head = format!("\n--\n-- Table structure for table `t{table}`\n--\n\n");
            let row = |row| {
                let value = random.next();
                format!("INSERT INTO `t{table}` VALUES ({row},'{value:016x}');\n")
            };
            let rows: String = (0..20_000).map(row).collect();
            let text = head + &rows;
            text.into_bytes()
        })
        .collect();
    let mut other = dump.clone();
    tables.iter().for_each(|table| dump.extend_from_slice(table));
    tables.iter().rev().for_each(|table| other.extend_from_slice(table));
    for dump in [&mut dump, &mut other] {
        dump.extend_from_slice(b"SET SQL_MODE=@OLD_SQL_MODE;\n-- Dump completed\n");
    }
    let repository = repository();
    let first = back_up(&repository, &dump).counts.whole_bytes;
    let second = back_up(&repository, &other).counts.whole_bytes;
    assert!(second * 200 < first, "{second} of {first} bytes were stored again");
    assert!(stream_of(&repository, "latest").unwrap() == other);
}

#[test]
fn a_format_that_does_not_fit_is_reported_and_the_stream_is_kept() {
    for (asked, stream, format, verdict) in [
        (StreamFormat::Mbstream, FULL, StreamFormat::Sql, Verdict::Partial),
        (StreamFormat::Mbstream, &b"anything"[..], StreamFormat::Raw, Verdict::Partial),
        (StreamFormat::Sql, b"XBSTCK01", StreamFormat::Mbstream, Verdict::Partial),
        (
            StreamFormat::Sql,
            b"CREATE TABLE `t` (a int);\n-- Dump completed\n",
            StreamFormat::Sql,
            Verdict::Complete,
        ),
        (StreamFormat::Raw, FULL, StreamFormat::Raw, Verdict::Complete),
    ] {
        let options = BackupOptions { format: Some(asked), ..options() };
        let repository = repository();
        let about =
            back_up_with(&repository, stream, ProducerExit::Exited(0), &options).unwrap().about;
        assert_eq!((about.format, about.verdict), (format, verdict), "{:?}", about.reasons);
        let told = about.reasons.iter().any(|reason| reason.contains(&format!("--format {asked}")));
        assert_eq!(told, asked != format);
    }
}

#[test]
fn a_compressed_stream_is_kept_with_a_note_of_what_is_lost() {
    let repository = repository();
    let report = back_up(&repository, b"\x1f\x8b\x08\0 and so on");
    assert_eq!(report.about.format, StreamFormat::Raw);
    let hidden = CheckName::HiddenContent.as_str();
    let note = report.about.checks.iter().find(|check| check.name == hidden).unwrap();
    assert!(note.detail.contains("gzip") && note.detail.contains("leave it out"));
    let plain = back_up(&repository, b"anything");
    assert!(plain.about.checks.is_empty());
}

#[test]
fn a_stream_without_a_byte_is_an_error_that_tells_how_its_producer_ended() {
    for (exit, words) in [
        (ProducerExit::Exited(3), "ended with status 3"),
        (ProducerExit::Killed(15), "killed by signal 15"),
        (ProducerExit::Exited(0), "although its producer ended with status 0"),
        (ProducerExit::Unseen, "was not seen"),
    ] {
        let error = back_up_with(&repository(), b"", exit, &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A dump of one table, of rows with these numbers; `changed` tells which of them were changed.
fn dump_of(rows: impl Iterator<Item = u64>, changed: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut dump = b"-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\n\n--\n\
        -- Table structure for table `t`\n--\n\n"
        .to_vec();
    for (number, row) in rows.enumerate() {
        let value = support::Random(row).next();
        let state = if changed(row) { "changed" } else { "active" };
        let start = if number % 500 == 0 { ";\nINSERT INTO `t` VALUES\n" } else { ",\n" };
        dump.extend_from_slice(format!("{start}({row},'{value:016x}','{state}')").as_bytes());
    }
    dump.extend_from_slice(b";\nSET SQL_MODE=@OLD_SQL_MODE;\n-- Dump completed\n");
    dump
}

#[test]
fn rows_that_were_changed_or_inserted_cost_a_small_multiple_of_their_bytes() {
    let rows = 100_000;
    let before = dump_of((0..rows).map(|row| row * 2), |_| false);
    let changed = dump_of((0..rows).map(|row| row * 2), |row| row % 4000 == 0);
    // One row in a hundred is new, so nearly every block is; where a cut moved, no previous block
    // is like the new one.
    let inserted = |row: &u64| row.is_multiple_of(2) || row % 199 == 1;
    let inserted = dump_of((0..rows * 2).filter(inserted), |_| false);
    for (dump, whole_share, delta_share) in [(&changed, 400, 400), (&inserted, 6, 100)] {
        let repository = repository();
        let first = back_up(&repository, &before).counts.whole_bytes;
        let counts = back_up(&repository, dump).counts;
        assert!(counts.whole_bytes * whole_share < first, "{} whole", counts.whole_bytes);
        assert!(counts.delta_bytes * delta_share < first, "{} in deltas", counts.delta_bytes);
        assert!(&stream_of(&repository, "latest").unwrap() == dump);
    }
}

#[test]
fn a_table_that_was_empty_for_a_night_is_compared_with_the_night_before() {
    let (full, empty) = (dump_of(0..100_000, |_| false), dump_of(0..1, |_| false));
    let repository = repository();
    let first = back_up(&repository, &full).counts.whole_bytes;
    back_up(&repository, &empty);
    let again = back_up(&repository, &full).counts.whole_bytes;
    assert!(again * 100 < first, "{again} of {first} bytes were stored again");
    assert!(stream_of(&repository, "latest").unwrap() == full);
}

#[test]
fn what_was_deleted_or_moved_within_the_window_is_found_again() {
    let rows = 100_000;
    let before = dump_of(0..rows, |_| false);
    let moved = dump_of((rows / 2..rows).chain(0..rows / 4), |_| false);
    let repository = repository();
    let first = back_up(&repository, &before).counts.whole_bytes;
    let counts = back_up(&repository, &moved).counts;
    let stored = counts.whole_bytes + counts.delta_bytes;
    assert!(stored * 20 < first, "{stored} of {first} bytes were stored again");
    assert!(stream_of(&repository, "latest").unwrap() == moved);
}

#[test]
fn each_schema_of_joined_dumps_is_restored_by_its_own_name_alone() {
    let dump = |schema: &str| {
        format!(
            "-- MariaDB dump 10.19\n--\n-- Host: h    Database: {schema}\n\
             /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='' */;\n--\n\
             -- Table structure for table `users`\n--\nDROP TABLE IF EXISTS `users`;\n\
             CREATE TABLE `users` (a text);\nINSERT INTO `users` VALUES ('of {schema}');\n\
             /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n-- Dump completed\n"
        )
    };
    let repository = repository();
    let (shop, crm) = (dump("shop"), dump("crm"));
    let about = back_up(&repository, (shop.clone() + &crm).as_bytes()).about;
    assert_eq!(
        (about.verdict, &about.reasons[..], &about.findings[..]),
        (Verdict::Complete, &[][..], &[][..])
    );
    // One dump of the stream needs the preamble and trailer of no other.
    assert!(restored(&repository, &["shop.users"]).unwrap().ends_with(&shop));
    assert!(restored(&repository, &["crm.users"]).unwrap().ends_with(&crm));
    let broken = shop.replace("-- Dump completed\n", "") + &crm;
    let about = back_up(&repository, broken.as_bytes()).about;
    assert_eq!(about.verdict, Verdict::Partial);
    let reason = &about.reasons[0];
    assert!(
        reason.contains("dump 1 of 2 (of 'shop') stops") && reason.contains("trailer"),
        "{reason}"
    );
}

#[test]
fn errors_of_the_dump_program_make_a_dump_partial_whatever_its_exit_status() {
    let error = "mysqldump: Couldn't execute 'SHOW FIELDS FROM `v`': View 's.v' is broken (1356)";
    for (line, verdict) in [
        (error, Verdict::Partial),
        (
            "mysqldump: [Warning] Using a password on the command line is an error.",
            Verdict::Complete,
        ),
        ("pv: error: it has its own", Verdict::Complete),
    ] {
        let source =
            BytesSource::new(FULL.to_vec(), 1 << 20, ProducerExit::Exited(0)).with_errors(&[line]);
        let about = back_up_source(&repository(), source, &options()).unwrap().about;
        assert_eq!(about.verdict, verdict, "{line}");
        let quoted = about.reasons.iter().any(|reason| reason.contains(line));
        assert_eq!(quoted, verdict == Verdict::Partial, "{:?}", about.reasons);
    }
    let source = BytesSource::new(FULL.to_vec(), 1 << 20, ProducerExit::Exited(1))
        .with_errors(&["Error: missing required privilege RELOAD on *.*", "Error: later"]);
    let about = back_up_source(&repository(), source, &options()).unwrap().about;
    let quoted = |words: &str| about.reasons.iter().any(|reason| reason.contains(words));
    assert!(quoted("missing required privilege RELOAD") && !quoted("later"), "{:?}", about.reasons);
}
