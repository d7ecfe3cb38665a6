//! Files whose contents were lost or are of another server or backup.

use super::*;
use crate::verdict::finding::Code;

#[test]
fn files_that_begin_otherwise_than_their_names_say_are_reported() {
    for (path, bytes, found) in [
        ("ibdata1", &[0; 16_384][..], "begins with nothing but zeros"),
        ("app/i.ibd", &[0; 16_384], "begins with nothing but zeros"),
        ("undo001", &[0; 16_384], "begins with nothing but zeros"),
        ("app/a.MAI", &[0; 8192], "begins with nothing but zeros"),
        ("app/m.MYI", &[0; 1024], "begins with nothing but zeros"),
        ("app/m.MYI", b"12345678", "does not begin like such a file"),
        ("app/c.CSM", &[0; 35], "begins with nothing but zeros"),
        ("app/p.par", &[0; 36], "begins with nothing but zeros"),
        ("app/i.frm", &[0; 919], "begins with nothing but zeros"),
        ("app/i.frm", &[7; 919], "defines neither a table nor a view"),
        ("app/i.frm", &frm(INNODB)[..40], "defines neither a table nor a view"),
        ("app/v.frm", b"TYPE=VIEW\nquery=sel", "ends in the middle of a view's definition"),
        ("aria_log_control", &[0; 52], "begins with nothing but zeros"),
        ("aria_log.00000001", &[0; 8192], "begins with nothing but zeros"),
    ] {
        let stream = with(|s| s.remove(path).file(path, bytes));
        let reported = judge_stream(stream).reasons;
        let expected = MbstreamReason::NotWhatItIs { path: path.into(), found }.into();
        assert!(reported.contains(&expected), "{path}: {reported:?}");
        assert_eq!(judge_stream(with(|s| s.file("gone/x.frm", bytes).remove("gone"))).reasons, []);
    }
    let cut = &frm(INNODB)[..2000];
    let short = "'app/i.frm' has 2000 bytes, it should have at least 4096";
    expect_partial(with(|s| s.remove("app/i.frm").file("app/i.frm", cut)), short);
    // The redo log is going to build the first page.
    expect_complete(with(|s| s.file("app/n.frm", &frm(INNODB)).file("app/n.new", &[0; 16_384])));
}

/// Returns a tablespace with that number, of a server of 16 KiB pages (flags 0x15) or 4 KiB (0x13).
#[expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]
fn numbered(space: u32, flags: u32) -> Vec<u8> {
    let mut page = [tablespace(50), vec![0; 16_384]].concat();
    for at in [34, 38] {
        page[at..at + 4].copy_from_slice(&space.to_be_bytes());
    }
    page[54..58].copy_from_slice(&flags.to_be_bytes());
    page
}

#[test]
fn what_is_of_another_server_or_backup_is_reported() {
    let table = |s: Stream, name: &str, page: &[u8]| {
        s.file(&format!("app/{name}.ibd"), page).file(&format!("app/{name}.frm"), &frm(INNODB))
    };
    let same = "'app/x' and 'app/y' have the same tablespace number, 7";
    let twice = |s| table(table(s, "y", &numbered(7, 0x15)), "x", &numbered(7, 0x15));
    expect_partial(with(twice), same);
    expect_complete(with(|s| twice(s).remove("app/y.ibd").remove("app/y.frm")));
    expect_complete(with(|s| table(table(s, "y", &numbered(7, 0x15)), "x", &numbered(8, 0x15))));
    let undo = "'app/x' and 'undo001' have the same tablespace number, 7";
    let stream = |s: Stream| s.remove("undo001").file("undo001", &numbered(7, 0x15));
    expect_partial(with(|s| table(stream(s), "x", &numbered(7, 0x15))), undo);
    let size = "backup-my.cnf states pages of 16384 bytes, 'undo001' has some of 4096";
    expect_partial(with(|s| s.remove("undo001").file("undo001", &numbered(7, 0x13))), size);

    let text = str::from_utf8(INFO).unwrap();
    for (from, to, words) in [
        ("innodb_to_lsn = 50", "innodb_to_lsn = 51", "to_lsn is 50 in the checkpoints file"),
        ("innodb_from_lsn = 0", "innodb_from_lsn = 1", "from_lsn is 0 in the checkpoints file"),
        ("incremental = N", "incremental = Y", "the backup_type is full-backuped, the info"),
    ] {
        expect_partial(ending(CHECKPOINTS, CNF, text.replace(from, to).as_bytes()), words);
    }
    let late = b"backup_type = full-backuped\nto_lsn = 99\nlast_lsn = 90\n";
    let info = text.replace("innodb_to_lsn = 50", "innodb_to_lsn = 99");
    let words = "to_lsn is 99, after last_lsn, which is 90";
    expect_partial(ending(late, CNF, info.as_bytes()), words);
}

#[test]
fn a_tablespace_without_definition_is_reported_unless_nothing_reads_one() {
    let lost = "'app/x.ibd' is in the stream, the definition 'app/x.frm' is not";
    expect_partial(with(|s| s.file("app/x.ibd", b"x")), lost);
    let lost = "'app/x#P#p0.ibd' is in the stream, the definition 'app/x#P#p0.frm' is not";
    expect_partial(with(|s| s.file("app/x#P#p0.ibd", b"x")), lost);
    for name in ["app/FTS_0000000000000012_CONFIG.ibd", "app/#sql-1a.ibd", "app/p#P#p0.ibd"] {
        expect_complete(with(|s| s.file(name, b"x")));
    }
    expect_complete(with(|s| s.file("app/x.ibd", b"x").end("app/x.del")));
    expect_complete(with(|s| s.file("app/x.ibd", b"x").file("app/x.ren", b"app/i")));
    expect_complete(with(|s| s.file("app/x#P#p0.ibd", b"x").remove("app/x#P#*")));
    // The dictionary of MySQL 8 is a tablespace.
    expect_complete(with(|s| s.file("app/x.ibd", b"x").file("mysql.ibd", b"x")));
}

#[test]
fn a_full_backup_has_the_servers_own_tables_unless_it_says_that_it_is_a_selection() {
    let without = |info: &str| {
        let mut stream = Stream::default();
        let whole = ending(CHECKPOINTS, CNF, info.as_bytes());
        for file in ["mysql/db.MAI", "mysql/db.MAD", "mysql/db.frm"] {
            stream.bytes =
                without_frames(if stream.bytes.is_empty() { &whole } else { &stream }, file, b"PE")
                    .bytes;
            stream.frames = frames_of(&stream.bytes);
        }
        stream
    };
    let text = str::from_utf8(INFO).unwrap();
    expect_partial(without(text), "there is no table of the schema mysql");
    expect_complete(without(&text.replace("partial = N", "partial = Y")));
}

/// Returns where each frame of a stream begins.
fn frames_of(bytes: &[u8]) -> Vec<usize> {
    let magic = b"XBSTCK01";
    let is_magic = |(at, window): (usize, &[u8])| (window == magic).then_some(at);
    bytes.windows(magic.len()).enumerate().filter_map(is_magic).collect()
}

#[test]
fn the_first_record_of_the_redo_log_is_looked_at() {
    for (record, found) in [
        (&[0; 8][..], "ib_logfile0: the first record is nothing but zeros"),
        (&[0xb1, 8], "ib_logfile0: checksum of the first record is"),
        (&[1, 1, 1, 1, 1, 1, 1, 1], "ib_logfile0: the first record is malformed"),
    ] {
        let mut log = redo();
        log[12_288..12_288 + record.len()].copy_from_slice(record);
        let stream = with(|s| s.remove("ib_logfile0")).bytes;
        let last = frames_of(&stream)
            .into_iter()
            .rfind(|at| stream[at + 14..].starts_with(b"ib_logfile0") && stream[at + 9] == b'P');
        let before = last.expect("the log has two frames");
        let rest = &stream[before..];
        let behind = frames_of(rest)[1];
        let whole = Stream::default().payload("ib_logfile0", 12_288, &log[12_288..]).bytes;
        let stream = [&stream[..before], &whole, &rest[behind..]].concat();
        let reported = judge_with(&stream, |_| {}).reasons;
        let is_reported = |reason: &Reason| reason.to_string().starts_with(found);
        assert!(reported.iter().any(is_reported), "{found}: {reported:?}");
    }
}

#[test]
fn an_empty_db_opt_of_a_directory_that_is_no_schema_is_harmless() {
    for name in ["lost+found", "byhand"] {
        let conclusion = judge_stream(with(|s| s.end(&format!("{name}/db.opt"))));
        assert_eq!(conclusion.reasons, []);
        let [finding] = &conclusion.findings[..] else { panic!("it is said") };
        assert_eq!((finding.code, &finding.object[..]), (Code::EmptyDirectory, name));
    }
    expect_partial(with(|s| s.end("app/db.opt")), "'app/db.opt' has no bytes");
}

#[test]
fn what_xtrabackup_8_writes_after_the_info_file_is_no_second_stream() {
    let text = b"{\"version\":\"8.0.35\",\"external_tablespaces\":[]}";
    expect_complete(good().file("xtrabackup_tablespaces", text).file("xtrabackup_keys", b"keys"));
}
