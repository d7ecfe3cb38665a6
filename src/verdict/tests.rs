//! The streams that are called complete, and those that never are.

mod heads;

use super::*;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::producer::ProducerExit;
use crate::format::snapshot::Verdict;
use crate::parse::beginning::Before;
use crate::parse::frame::Body;
use crate::parse::frame::Extent;
use crate::parse::item::Item;
use crate::parse::mbstream::Parser;
use crate::parse::mbstream::Step;
use crate::parse::mbstream::StreamEnd;
use crate::parse::path::PathSeed;
use crate::parse::testing::Stream;
use crate::parse::testing::ingest;
use crate::verdict::partitions::partition_list;

/// Parses and observes a stream as the pipeline does.
fn judge_with(stream: &[u8], change: impl FnOnce(&mut Evidence)) -> Conclusion {
    let seed = PathSeed::new([5; 16]);
    let (mut parser, mut observer) = (Parser::new(seed), Observer::new(seed));
    let mut at = 0;
    let end = loop {
        let (header_len, item) = match parser.step(&stream[at..]) {
            Step::Item { header_len, item } => (header_len, item),
            Step::NeedMore { .. } if at == stream.len() => break StreamEnd::Boundary,
            Step::NeedMore { .. } => {
                break StreamEnd::InsideHeader { bytes: u64_of(stream.len() - at) };
            }
            Step::Malformed(_) => break StreamEnd::AfterMalformed,
        };
        at += header_len;
        let interest = observer.item(&item);
        let Item::Payload(payload) = item else { continue };
        let rest = &stream[at..];
        let bytes = rest.get(..usize_of(payload.extent.len)).unwrap_or(rest);
        if payload.at < interest.until {
            observer.bytes(payload.target.member, payload.at, bytes);
        }
        at += bytes.len();
        if u64_of(bytes.len()) < payload.extent.len {
            break StreamEnd::InsidePayload { arrived: u64_of(bytes.len()) };
        }
        parser.payload_done(crc32fast::hash(bytes));
    };
    let parsed = parser.finish(end);
    let (faults, deltas) = (parsed.into(), DeltaFiles::default());
    let mut evidence = Evidence {
        facts: Facts::Mbstream(Box::new(MbstreamFacts { observer, faults, deltas })),
        asked: None,
        before: Before::Nothing,
        failure: None,
        producer: ended(ProducerExit::Exited(0), Some(true)),
        pages: PageFindings {
            pages: 9,
            newest: Some((70, "ibdata1, page 3".into())),
            ..PageFindings::default()
        },
        accepted: Vec::new(),
    };
    change(&mut evidence);
    judge(evidence)
}

fn ended(exit: ProducerExit, completed_ok_seen: Option<bool>) -> Producer {
    Producer { exit, completed_ok_seen, errors: Vec::new(), changed: Vec::new(), ended_for: None }
}

fn judge_stream(stream: Stream) -> Conclusion {
    judge_with(&stream.bytes, |_| {})
}

/// Expects the verdict *partial*, with one reason, that begins so.
fn expect_partial(stream: Stream, reason: &str) {
    let conclusion = judge_stream(stream);
    assert_eq!(conclusion.verdict(), Verdict::Partial, "{:?}", conclusion.reasons);
    let words = conclusion.reasons[0].to_string();
    assert!(words.starts_with(reason), "{words}");
    let heavy = conclusion.reasons.iter().filter(|reason| reason.verdict() == Verdict::Partial);
    assert_eq!(heavy.count(), 1, "{:?}", conclusion.reasons);
}

fn expect_complete(stream: Stream) {
    let conclusion = judge_stream(stream);
    assert_eq!(conclusion.verdict(), Verdict::Complete, "{:?}", conclusion.reasons);
}

const INNODB: u8 = 12;
const MYISAM: u8 = 9;
const CSV: u8 = 17;
const ARIA: u8 = 42;
const PARTITIONED: u8 = 20;

fn frm(engine: u8) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..4].copy_from_slice(&[0xfe, 1, 10, engine]);
    bytes[10..14].copy_from_slice(&4096_u32.to_le_bytes());
    bytes[61] = MYISAM;
    bytes
}

/// Returns a redo log from LSN 50 to 90, as MariaDB since 10.8 writes it.
#[expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]
fn redo() -> Vec<u8> {
    let mut bytes = vec![0; 12_288 + 40];
    bytes[..4].copy_from_slice(b"Phys");
    bytes[8..16].copy_from_slice(&50_u64.to_be_bytes());
    bytes[16..31].copy_from_slice(b"Backup 10.11.19");
    let crc = crc_fast::crc32_iscsi(&bytes[..508]);
    bytes[508..512].copy_from_slice(&crc.to_be_bytes());
    // A record of two bytes and its end.
    bytes[12_288..12_291].copy_from_slice(&[0xb1, 7, 1]);
    let crc = crc_fast::crc32_iscsi(&bytes[12_288..12_290]);
    bytes[12_291..12_295].copy_from_slice(&crc.to_be_bytes());
    bytes
}

const CHECKPOINTS: &[u8] =
    b"backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 50\nlast_lsn = 90\n";
const CNF: &[u8] = b"[mysqld]\ninnodb_data_file_path=ibdata1:12M:autoextend\n\
    innodb_page_size=16384\ninnodb_undo_tablespaces=1\n";
const INFO: &[u8] = b"tool_command = --password=hunter2\ntool_version = 10.11.19-MariaDB\n\
    server_version = 10.11.19-MariaDB\nend_time = 2026-11-20 17:31:06\n\
    binlog_pos = filename 'bin.7', position '330', GTID of the last change '0-1-5'\n\
    innodb_from_lsn = 0\ninnodb_to_lsn = 50\npartial = N\nincremental = N\n";

/// Returns the head of an index file of MyISAM or Aria whose data file has `data_bytes` bytes.
#[expect(clippy::big_endian_bytes, reason = "MyISAM and Aria are big-endian")]
fn index(kind: u8, data_bytes: u64) -> Vec<u8> {
    let mut head = vec![0; 200];
    head[..3].copy_from_slice(&[0xfe, 0xfe, kind]);
    let at = if kind == 7 { 68 } else { 97 };
    head[at..at + 8].copy_from_slice(&data_bytes.to_be_bytes());
    head
}

/// Returns the description of a CSV table of two rows.
fn two_rows() -> Vec<u8> {
    let mut description = vec![0; 35];
    description[..3].copy_from_slice(&[0xfe, 1, 2]);
    description
}

/// Returns the first page of a tablespace of two pages, changed at that LSN.
#[expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]
fn tablespace(lsn: u64) -> Vec<u8> {
    let mut page = vec![0; 16_384];
    page[16..24].copy_from_slice(&lsn.to_be_bytes());
    page[46..50].copy_from_slice(&2_u32.to_be_bytes());
    page[54..58].copy_from_slice(&0x15_u32.to_be_bytes());
    page
}

fn head() -> Stream {
    Stream::default()
        .payload("ib_logfile0", 0, &redo()[..12_288])
        .file("undo001", b"undo")
        .file("aria_log_control", b"\xfe\xfe\x0c control")
        .file("aria_log.00000001", b"\xfe\xfe\x0b log")
}

fn tables(stream: Stream) -> Stream {
    stream
        .file("app/i.ibd", b"innodb")
        .file("ibdata1", b"system")
        .file("mysql/db.MAI", &index(9, 4))
        .file("mysql/db.MAD", b"data")
        .file("mysql/db.frm", &frm(ARIA))
        .file("app/a.MAI", &index(9, 4))
        .file("app/a.MAD", b"data")
        .file("app/m.MYI", &index(7, 0))
        .end("app/m.MYD")
        .file("app/c.CSM", &two_rows())
        .file("app/c.CSV", b"1\n2\n")
        .file("app/i.frm", &frm(INNODB))
        .file("app/a.frm", &frm(ARIA))
        .file("app/m.frm", &frm(MYISAM))
        .file("app/c.frm", &frm(CSV))
        .file("app/v.frm", b"TYPE=VIEW\nquery=select 1\n")
        .file("app/p.frm", &frm(PARTITIONED))
        .file("app/p.par", &partition_list(&["p0", "p1"]))
        .file("app/p#P#p0.MYI", &index(7, 4))
        .file("app/p#P#p0.MYD", b"data")
        .file("app/p#P#p1.MYI", &index(7, 4))
        .file("app/p#P#p1.MYD", b"data")
}

fn tail(stream: Stream) -> Stream {
    stream
        .file("xtrabackup_binlog_info", b"bin.7\t330\t0-1-5\n")
        .payload("ib_logfile0", 12_288, &redo()[12_288..])
        .end("ib_logfile0")
        .file("xtrabackup_checkpoints", CHECKPOINTS)
        .file("backup-my.cnf", CNF)
        .file("xtrabackup_info", INFO)
}

fn good() -> Stream {
    tail(tables(head()))
}

/// Returns the good stream with more before its tail.
fn with(more: impl FnOnce(Stream) -> Stream) -> Stream {
    tail(more(tables(head())))
}

/// Returns a good stream whose tail is another.
fn ending(checkpoints: &[u8], cnf: &[u8], info: &[u8]) -> Stream {
    tables(head())
        .file("mariadb_backup_binlog_info", b"bin.7\t330\t0-1-5\n")
        .payload("ib_logfile0", 12_288, &redo()[12_288..])
        .end("ib_logfile0")
        .file("mariadb_backup_checkpoints", checkpoints)
        .file("backup-my.cnf", cnf)
        .file("mariadb_backup_info", info)
}

#[test]
fn a_whole_backup_is_complete_and_says_what_it_is() {
    let conclusion = judge_stream(good());
    assert_eq!(conclusion.verdict(), Verdict::Complete, "{:?}", conclusion.reasons);
    assert_eq!(conclusion.reasons, []);
    let failed = conclusion.checks.iter().find(|check| check.outcome != Outcome::Passed);
    assert_eq!(failed, None);
    let positions = conclusion.positions;
    assert_eq!((positions.to_lsn, positions.last_lsn), (Some(50), Some(90)));
    assert_eq!(positions.binlog_position, Some(330));
    assert_eq!(positions.page_size, Some(16_384));
    expect_complete(ending(CHECKPOINTS, CNF, INFO));
}

#[test]
fn no_cut_of_a_good_stream_is_complete() {
    let stream = good();
    let coarse = (0..stream.bytes.len()).step_by(17);
    for at in stream.frames.iter().copied().chain(coarse) {
        let conclusion = judge_with(&stream.bytes[..at], |_| {});
        assert_eq!(conclusion.verdict(), Verdict::Partial, "cut at {at}");
    }
}

#[test]
fn no_stream_that_lost_or_gained_a_frame_is_complete() {
    let Stream { bytes, frames } = good();
    let ends = frames.iter().copied().skip(1).chain([bytes.len()]);
    let verdict_on = |parts: [&[u8]; 2]| judge_with(&parts.concat(), |_| {}).verdict();
    for (from, to) in frames.iter().copied().zip(ends) {
        let without = verdict_on([&bytes[..from], &bytes[to..]]);
        assert_eq!(without, Verdict::Partial, "without the frame at {from}");
        // The second end of a file empties it; this one is.
        let is_empty = bytes[from + 9] == b'E' && bytes[from + 14..].starts_with(b"app/m.MYD");
        let twice = verdict_on([&bytes[..to], &bytes[from..]]);
        assert_eq!(twice == Verdict::Complete, is_empty, "with the frame at {from} twice");
    }
}

#[test]
fn the_producers_exit_decides() {
    let stream = good().bytes;
    let verdict_on = |exit, completed_ok_seen| {
        let producer = ended(exit, completed_ok_seen);
        judge_with(&stream, |evidence| evidence.producer = producer).verdict()
    };
    assert_eq!(verdict_on(ProducerExit::Exited(0), Some(true)), Verdict::Complete);
    assert_eq!(verdict_on(ProducerExit::Unseen, None), Verdict::Unattested);
    assert_eq!(verdict_on(ProducerExit::Unseen, Some(true)), Verdict::Unattested);
    assert_eq!(verdict_on(ProducerExit::Exited(0), None), Verdict::Unattested);
    assert_eq!(verdict_on(ProducerExit::Exited(0), Some(false)), Verdict::Partial);
    assert_eq!(verdict_on(ProducerExit::Unseen, Some(false)), Verdict::Partial);
    assert_eq!(verdict_on(ProducerExit::Exited(1), Some(true)), Verdict::Partial);
    assert_eq!(verdict_on(ProducerExit::Killed(9), None), Verdict::Partial);
}

#[test]
fn pages_lower_the_verdict_and_name_themselves() {
    let stream = good().bytes;
    let corrupt = |evidence: &mut Evidence| {
        evidence.pages.corrupt_count = 3;
        evidence.pages.corrupt = vec!["app/i.ibd, page 7: checksum".into()];
    };
    let conclusion = judge_with(&stream, corrupt);
    assert_eq!(conclusion.verdict(), Verdict::CorruptPages);
    assert!(conclusion.reasons[0].to_string().starts_with("corrupt page: app/i.ibd, page 7"));
    assert_eq!(conclusion.reasons[1], MbstreamReason::MoreCorruptPages(2).into());
    let future = judge_with(&stream, |evidence| evidence.pages.newest = Some((91, "x".into())));
    assert_eq!(future.verdict(), Verdict::Partial);
    let listed = good().file("innodb_corrupted_pages", b"app/i 22\n6 8 9\n");
    let listed = judge_stream(listed);
    assert_eq!(listed.verdict(), Verdict::CorruptPages);
    assert_eq!(listed.reasons[0], MbstreamReason::CorruptAtSource("app/i 22".into()).into());
}

#[test]
fn the_redo_log_must_be_as_long_as_the_checkpoint_says() {
    let longer = b"backup_type = full-backuped\nto_lsn = 50\nlast_lsn = 91\n";
    expect_partial(ending(longer, CNF, INFO), "ib_logfile0 has 12328 bytes, its last_lsn calls");
    let info = |to_lsn: u64| {
        let info = str::from_utf8(INFO).unwrap();
        info.replace("innodb_to_lsn = 50", &format!("innodb_to_lsn = {to_lsn}")).into_bytes()
    };
    let other = b"backup_type = full-backuped\nto_lsn = 49\nlast_lsn = 90\n";
    let begins = "ib_logfile0 begins at LSN 50, after the checkpoint";
    expect_partial(ending(other, CNF, &info(49)), begins);
    let moved = b"backup_type = full-backuped\nto_lsn = 88\nlast_lsn = 90\n";
    expect_complete(ending(moved, CNF, &info(88)));
    let early = b"backup_type = full-backuped\nto_lsn = 50\nlast_lsn = 40\n";
    let early =
        judge_with(&ending(early, CNF, INFO).bytes, |evidence| evidence.pages.newest = None);
    assert_eq!(early.verdict(), Verdict::Partial);
}

#[test]
fn describing_files_must_say_what_they_are_for() {
    let no_end = b"tool_version = 10.11.19-MariaDB\n";
    expect_partial(
        ending(CHECKPOINTS, CNF, no_end),
        "xtrabackup_info (or mariadb_backup_info) has",
    );
    expect_partial(ending(CHECKPOINTS, b"[mysqld]\n", INFO), "backup-my.cnf has no innodb_page");
    let prepared = b"backup_type = log-applied\nto_lsn = 50\nlast_lsn = 90\n";
    expect_partial(ending(prepared, CNF, INFO), "the backup_type is 'log-applied'");
    let long = [INFO, &vec![b'\n'; 70_000]].concat();
    expect_partial(ending(CHECKPOINTS, CNF, &long), "xtrabackup_info (or mariadb_backup_info) has");
    expect_partial(good().file("app/late.opt", b"x"), "'app/late.opt' follows xtrabackup_info");
    expect_partial(with(|s| s.remove("undo001")), "undo001 is not in the stream");
    expect_partial(with(|s| s.remove("ibdata1")), "ibdata1 is not in the stream");
}

#[test]
fn a_definition_without_its_data_is_a_lost_table() {
    let lost = "table 'app/x' is defined but has no .MAI file";
    expect_partial(with(|s| s.file("app/x.frm", &frm(ARIA)).file("app/x.MAD", b"1")), lost);
    let lost = "table 'app/m' is defined but has no .MYD file";
    expect_partial(with(|s| s.remove("app/m.MYD")), lost);
    let lost = "table 'app/p' is defined but has no #P# file";
    expect_partial(with(|s| s.remove("app/p#P#*")), lost);
    let lost = "partition 'p1' of table 'app/p' has no .MYD file";
    expect_partial(with(|s| s.remove("app/p#P#p1.MYD")), lost);
    expect_complete(with(|s| {
        ["m.MYI", "m.MYD", "m.frm"].iter().fold(s, |s, file| s.remove(&format!("app/{file}")))
    }));
    expect_complete(with(|s| s.file("gone/x.frm", &frm(ARIA)).remove("gone")));
    expect_complete(with(|s| s.file("app/#sql-1.frm", &frm(ARIA))));
    expect_complete(with(|s| s.file("app/n.frm", &frm(INNODB)).file("app/n.new", b"x")));
}

#[test]
fn an_innodb_table_without_tablespace_is_noted_or_lost_as_the_server_has_it() {
    let lost = |s: Stream| s.file("app/x.frm", &frm(INNODB));
    let conclusion = judge_stream(with(lost));
    assert_eq!(conclusion.verdict(), Verdict::Complete);
    assert_eq!(conclusion.reasons.len(), 1, "but it is said");
    // A system tablespace in which no table can be.
    let system = [tablespace(50), vec![0; 16_384]].concat();
    let excluded = |s: Stream| s.remove("ibdata1").file("ibdata1", &system);
    expect_complete(with(excluded));
    expect_partial(with(|s| lost(excluded(s))), "table 'app/x' is defined but has no .ibd file");
    for (accepted, verdict) in [
        ("discarded-tablespace", Verdict::Complete),
        ("discarded-tablespace:app/x", Verdict::Complete),
        ("discarded-tablespace:app/y", Verdict::Partial),
        ("lost-members", Verdict::Partial),
    ] {
        let accepted = vec![accepted.parse().unwrap()];
        let stream = with(|s| lost(excluded(s)));
        let conclusion = judge_with(&stream.bytes, |evidence| evidence.accepted = accepted);
        assert_eq!(conclusion.verdict(), verdict, "{:?}", conclusion.reasons);
        let named: Vec<&str> = conclusion.findings.iter().map(|it| it.object.as_str()).collect();
        assert_eq!(named, ["app/x"][..usize::from(verdict == Verdict::Complete)]);
    }
    let other = "table 'app/x' is defined but has no .MAI file";
    let aria = with(|s| s.file("app/x.frm", &frm(ARIA)).file("app/x.MAD", b"1"));
    let accepted = || vec!["discarded-tablespace".parse().unwrap()];
    let conclusion = judge_with(&aria.bytes, |evidence| evidence.accepted = accepted());
    assert!(conclusion.reasons[0].to_string().starts_with(other), "{:?}", conclusion.reasons);
    let renamed = judge_stream(with(|s| {
        lost(excluded(s)).file("app/old.ibd", b"1").file("app/old.ren", b"app/x")
    }));
    assert_eq!(renamed.reasons, []);
}

#[test]
fn what_is_left_of_a_table_that_was_removed_is_reported() {
    let left = "'app/m.MYI' is there, but its table was renamed or removed during the backup";
    expect_partial(with(|s| s.remove("app/m.MYD").remove("app/m.frm")), left);
    // It was so at the source.
    expect_complete(with(|s| s.file("app/orphan.MYI", &index(7, 0))));
}

#[test]
fn a_position_in_the_binary_log_is_in_its_own_file() {
    let name = "xtrabackup_binlog_info (or mariadb_backup_binlog_info)";
    let without = |kinds| without_frames(&good(), "xtrabackup_binlog_info", kinds);
    expect_partial(without(b"P"), &format!("{name} has no file and position"));
    expect_partial(without(b"PE"), &format!("{name} is not in the stream"));
}

#[test]
fn the_logs_of_aria_are_there_without_a_gap() {
    expect_partial(with(|s| s.remove("aria_log_control")), "aria_log_control is not in the stream");
    expect_partial(with(|s| s.remove("aria_log.00000001")), "aria_log.00000001 is not in");
    let gap = with(|s| s.file("aria_log.00000003", b"\xfe\xfe\x0b log"));
    expect_partial(gap, "aria_log.00000002 is not in the stream");
}

/// Returns the good stream with a table of InnoDB more, of that tablespace.
fn x(tablespace: &[u8]) -> Stream {
    with(|s| s.file("app/x.ibd", tablespace).file("app/x.frm", &frm(INNODB)))
}

/// Returns the stream without the frames of these kinds of one file.
fn without_frames(stream: &Stream, path: &str, kinds: &[u8]) -> Stream {
    let ends = stream.frames.iter().copied().skip(1).chain([stream.bytes.len()]);
    let frames = stream.frames.iter().copied().zip(ends).map(|(from, to)| &stream.bytes[from..to]);
    let is_kept =
        |frame: &&[u8]| !frame[14..].starts_with(path.as_bytes()) || !kinds.contains(&frame[9]);
    let bytes = frames.filter(is_kept).collect::<Vec<_>>().concat();
    Stream { bytes, frames: Vec::new() }
}

#[test]
fn renames_are_followed_and_a_lost_one_is_reported() {
    expect_complete(with(|s| {
        s.rename("app/a.MAI", "app/b.MAI")
            .rename("app/a.MAD", "app/b.MAD")
            .rename("app/a.frm", "app/b.frm")
    }));
    // The file had been copied under its new name already.
    expect_complete(with(|s| s.rename("app/former.MAD", "app/a.MAD")));
    // It was dropped afterwards.
    expect_complete(with(|s| s.rename("app/x.MYD", "app/y.MYD").remove("app/y.MYD")));
    let lost = "'app/x.MYD' was renamed to 'app/z.MYD', neither is in the stream";
    expect_partial(
        with(|s| s.rename("app/x.MYD", "app/y.MYD").rename("app/y.MYD", "app/z.MYD")),
        lost,
    );
}

#[test]
fn a_file_that_lost_its_end_is_reported_unless_it_grew_meanwhile() {
    let short = "'app/x.ibd' has 16384 bytes, it should have at least 32768";
    expect_partial(x(&tablespace(50)), short);
    expect_complete(x(&tablespace(51)));
    expect_complete(with(|s| s.file("app/x.ibd", &tablespace(50)).remove("app/x.ibd")));
    let whole = [tablespace(50), tablespace(50)].concat();
    expect_complete(x(&whole));
    let short = "'app/y.MYD' has 4 bytes, it should have at least 5";
    let table = |s: Stream, data: &[u8]| {
        s.file("app/y.MYI", &index(7, 5)).file("app/y.MYD", data).file("app/y.frm", &frm(MYISAM))
    };
    expect_partial(with(|s| table(s, b"1234")), short);
    expect_complete(with(|s| table(s, b"12345")));
    let few = "'app/c.CSV' has 1 rows, it should have at least 2";
    expect_partial(with(|s| s.flagged(2, "app/c.CSV", 0, b"1\n").end("app/c.CSV")), few);
}

#[test]
fn a_tablespace_that_ends_where_a_frame_does_lost_the_next_one() {
    #[expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]
    let file = |pages: usize| {
        let mut file = tablespace(51);
        file[46..50].copy_from_slice(&641_u32.to_be_bytes());
        file.resize(pages * 16_384, 0);
        file
    };
    let short = "'app/x.ibd' has 10485760 bytes, it should have at least 10502144";
    expect_partial(x(&file(640)), short);
    expect_complete(x(&file(639)));
    expect_complete(x(&file(641)));
}

#[test]
fn several_files_of_the_system_tablespace_count_together() {
    let cnf = b"innodb_data_file_path=ibdata1:12M;ibdata2:12M\ninnodb_page_size=16384\n";
    let stream = |bytes: usize| {
        tables(head())
            .remove("ibdata1")
            .file("ibdata1", &tablespace(50))
            .file("ibdata2", &vec![0; bytes])
            .payload("ib_logfile0", 12_288, &redo()[12_288..])
            .end("ib_logfile0")
            .file("xtrabackup_binlog_info", b"bin.7\t330\t0-1-5\n")
            .file("xtrabackup_checkpoints", CHECKPOINTS)
            .file("backup-my.cnf", cnf)
            .file("xtrabackup_info", INFO)
    };
    expect_complete(stream(16_384));
    expect_partial(stream(100), "'ibdata1' has 16384 bytes, it should have at least 32768");
}

#[test]
fn a_file_that_is_never_empty_is_not() {
    let defined = |s: Stream| s.file("app/corr.frm", &frm(INNODB)).end("app/corr.ibd");
    expect_partial(with(defined), "'app/corr.ibd' has no bytes");
    expect_complete(with(|s| s.end("app/corr.ibd").remove("app/corr.ibd")));
    expect_complete(with(|s| s.end("app/dropped.del")));
    expect_complete(with(|s| {
        s.end("app/x.ibd").remove("app").file("app/x.ibd", b"again").remove("app")
    }));
}

#[test]
fn an_increment_has_changed_pages_in_place_of_tablespaces() {
    let checkpoints = b"backup_type = incremental\nfrom_lsn = 40\nto_lsn = 50\nlast_lsn = 90\n";
    let info = b"end_time = 2026-11-20 17:31:06\ninnodb_from_lsn = 40\ninnodb_to_lsn = 50\n\
        partial = N\nincremental = Y\n";
    let increment = |with_meta: bool| {
        let stream = Stream::default()
            .payload("ib_logfile0", 0, &redo())
            .end("ib_logfile0")
            .file("aria_log_control", b"\xfe\xfe\x0c control")
            .file("xtrabackup_binlog_info", b"bin.7\t330\t0-1-5\n");
        let names = ["app/i.ibd", "ibdata1", "undo001"];
        let stream = names.iter().fold(stream, |stream, name| {
            let meta = format!("{name}.meta");
            let stream =
                if with_meta { stream.file(&meta, b"page_size = 16384\n") } else { stream };
            stream.file(&format!("{name}.delta"), b"XTRA")
        });
        stream
            .file("app/i.frm", &frm(INNODB))
            .file("xtrabackup_checkpoints", checkpoints)
            .file("backup-my.cnf", CNF)
            .file("xtrabackup_info", info)
    };
    let conclusion = judge_stream(increment(true));
    assert_eq!(conclusion.reasons, []);
    assert_eq!(conclusion.positions.from_lsn, Some(40));
    assert_eq!(judge_stream(increment(false)).verdict(), Verdict::Partial);
}

#[test]
fn a_compressed_stream_is_not_failed_for_what_cannot_be_read() {
    let stream = Stream::default()
        .file("ib_logfile0.qp", b"qpress10")
        .file("ibdata1.qp", b"qpress10")
        .file("undo001.qp", b"qpress10")
        .file("app/a.frm.qp", b"qpress10")
        .file("xtrabackup_checkpoints", CHECKPOINTS)
        .file("backup-my.cnf.qp", b"qpress10")
        .file("xtrabackup_info.qp", b"qpress10");
    let conclusion = judge_stream(stream);
    assert_eq!(conclusion.reasons, []);
    let unknown = conclusion.checks.iter().filter(|c| c.outcome == Outcome::Unknown);
    assert_eq!(
        unknown.map(|check| check.name.as_str()).collect::<Vec<_>>(),
        ["redo log", "system tablespace", "content"]
    );
    let content = &conclusion.checks.last().expect("a check").detail;
    assert!(content.starts_with("6 files were compressed by the producer: "), "{content}");
    assert!(content.ends_with("leave out --compress, haulout compresses"), "{content}");
}

#[test]
fn a_fault_of_the_stream_is_a_reason() {
    let wrong = Body::Payload(Extent { len: 3, offset: 0, crc: 1 });
    let stream = with(|s| s.frame(0, "app/x.opt", wrong, b"abc").end("app/x.opt"));
    expect_partial(stream, "'app/x.opt', stream byte");
}

#[test]
fn the_command_line_is_nowhere() {
    let mut observer = Observer::new(PathSeed::new([0; 16]));
    let stream = Stream::default().payload("xtrabackup_info", 0, INFO).bytes;
    let mut parser = Parser::new(PathSeed::new([0; 16]));
    let Step::Item { item: item @ Item::Payload(payload), .. } = parser.step(&stream) else {
        panic!("a payload")
    };
    assert_eq!(observer.item(&item).until, 65_536);
    observer.bytes(payload.target.member, 0, INFO);
    assert!(!format!("{observer:?}").contains("hunter2"));
    assert!(!format!("{:?}", judge_stream(good())).contains("hunter2"));
}

#[test]
fn names_for_the_same_file_do_not_grow_with_the_stream() {
    let renames = (0..3_000).fold(Stream::default(), |stream, number| {
        stream.rename(&format!("app/{number}.MYD"), &format!("app/new{number}.MYD"))
    });
    let conclusion = judge_stream(renames);
    assert_eq!(conclusion.verdict(), Verdict::Partial);
    assert!(conclusion.reasons.contains(&MbstreamReason::MoreFiles(2_800).into()));
    assert!(conclusion.reasons.len() < 220);
}

#[test]
fn the_good_stream_parses_without_faults() {
    assert_eq!(ingest(&good().bytes, &[]).parsed.fault_count, 0);
}
