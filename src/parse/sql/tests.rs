//! What the parser promises: the dump comes back whatever it is, cuts depend on content alone, and
//! nothing that was cut counts as completed.

use super::*;
use crate::base::error::Result;
use crate::parse::testing::config;
use proptest::prelude::*;

/// A dump of a real server, with everything in it that makes statements hard to tell apart.
const FULL: &[u8] = include_bytes!("../../../tests/dumps/full.sql");
/// The same without a comment.
const COMPACT: &[u8] = include_bytes!("../../../tests/dumps/compact.sql");
const XML: &[u8] = include_bytes!("../../../tests/dumps/xml.xml");

#[derive(Debug, Default, PartialEq, Eq)]
struct Members {
    members: Vec<(String, Vec<u8>)>,
    is_open: bool,
}

impl Sink for Members {
    fn literal(&mut self, _: &[u8]) -> Result<()> {
        panic!("every byte of a dump is a member's");
    }

    fn open(&mut self, path: &[u8]) -> Result<()> {
        assert!(!self.is_open, "members do not nest");
        self.is_open = true;
        self.members.push((String::from_utf8_lossy(path).into_owned(), Vec::new()));
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(self.is_open, "payload has a member");
        self.members.last_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        assert!(self.is_open, "an end has a member");
        self.is_open = false;
        Ok(())
    }
}

/// Takes a dump apart, of which each read gives as many bytes as the next of `reads` says.
fn dissected(dump: &[u8], reads: &[usize]) -> (Members, DumpFacts) {
    let mut members = Members::default();
    let mut parser = SqlParser::new(DumpKind::Statements);
    let mut sizes = reads.iter().copied().cycle();
    let mut rest = dump;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(sizes.next().unwrap_or(rest.len()).min(rest.len()));
        parser.push(piece, &mut members).unwrap();
        rest = more;
    }
    let facts = parser.finish(&mut members).unwrap();
    let joined: Vec<u8> = members.members.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(joined == dump, "the members are the dump");
    (members, facts)
}

fn paths(dump: &[u8]) -> Vec<String> {
    dissected(dump, &[]).0.members.into_iter().map(|(path, _)| path).collect()
}

fn reads() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(1_usize), 1..50_usize, 50..3000_usize], 1..6)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn reads_change_nothing(reads in reads()) {
        prop_assert!(dissected(FULL, &reads) == dissected(FULL, &[]));
    }

    #[test]
    fn a_damaged_dump_comes_back_and_reads_change_nothing(
        reads in reads(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..8),
    ) {
        let mut dump = FULL.to_vec();
        for (at, bytes) in edits {
            let at = at.index(dump.len());
            dump.splice(at..(at + bytes.len() / 2).min(dump.len()), bytes);
        }
        prop_assert!(dissected(&dump, &reads) == dissected(&dump, &[]));
    }

    #[test]
    fn arbitrary_bytes_come_back(
        bytes in prop::collection::vec(any::<u8>(), 0..600), reads in reads(),
    ) {
        prop_assert!(dissected(&bytes, &reads) == dissected(&bytes, &[]));
    }
}

/// A dump with `texts` in its first table and `before` in front of that.
fn dump_of_texts(before: &str, texts: &[u8]) -> Vec<u8> {
    let head = format!("-- MariaDB dump 10.19\n{before}\nCREATE TABLE `t` (a text);\n");
    let tail = b");\nCREATE TABLE `u` (a text);\n-- Dump completed\n";
    [head.as_bytes(), b"INSERT INTO `t` VALUES (", texts, tail].concat()
}

#[test]
fn texts_are_read_as_the_dump_says() {
    let (gbk, big5) = ("/*!40101 SET NAMES gbk */;", "SET NAMES big5;");
    let sjis = "/*!50003 SET character_set_client = sjis */ ;";
    let bare = "/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;";
    let ansi = "SET SQL_MODE='ANSI_QUOTES';";
    let is_right = |before: &str, texts: &[u8]| {
        let dump = dump_of_texts(before, texts);
        let (_, facts) = dissected(&dump, &[1]);
        assert!(dissected(&dump, &[1]) == dissected(&dump, &[]), "reads change nothing");
        paths(&dump) == paths(&dump_of_texts(before, b"1")) && facts.end == DumpEnd::Completed
    };
    for (before, texts) in [
        (gbk, &b"'\xbf\\', 'b\\'', '\\\xbf\\''"[..]),
        (gbk, b"'\xbf', '\\\\'"),
        (big5, b"'\xa5\\'"),
        (sjis, b"'\x83\\', '\xb1\\\\'"),
        ("", b"'\xbf\\\\', 'b\\''"),
        (bare, b"'\\', '''\\', \"\\\""),
        (ansi, b"\"\\\", '\\''"),
    ] {
        assert!(is_right(before, texts), "{before} {}", texts.escape_ascii());
    }
    // The same bytes are something else where nothing is said.
    for texts in [&b"'\xbf\\'"[..], b"'\\'", b"\"\\\""] {
        assert!(!is_right("", texts), "{}", texts.escape_ascii());
    }
}

/// What may stand anywhere and changes the meaning of what follows.
fn edit() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"'",
        b"\"",
        b"`",
        b"\\",
        b";",
        b"-- ",
        b"/*",
        b"/*!40000 ",
        b"*/",
        b"\n",
        b"#",
        b"DELIMITER //\n",
        b"\nDELIMITER ;\n",
        b";;",
        b"USE `x`;\n",
        b"INSERT INTO `t",
        b";\nSET NAMES gbk;\n",
        b";\nSET sql_mode='NO_BACKSLASH_ESCAPES';\n",
        b"\xbf\\",
    ];
    prop_oneof![
        prop::sample::select(words).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..6),
    ]
}

#[test]
fn a_real_dump_is_cut_into_its_schemas_and_tables() {
    let expected = [
        "@preamble.sql",
        "nova/@database.sql",
        "nova/seq.sql",
        "nova/aaa.placeholder.sql",
        "nova/instances.sql",
        "nova/services.sql",
        "nova/up.placeholder.sql",
        "nova/we%60ird%20%3b%2e%2e%20%2f%40x.sql",
        "nova/@events.sql",
        "nova/@routines.sql",
        "glance/@database.sql",
        "glance/images.sql",
        "glance/v.placeholder.sql",
        "glance/@events.sql",
        "glance/@routines.sql",
        // Entered again: a part of its own, which whoever restores one schema leaves out.
        "nova/@database.sql",
        "nova/aaa.view.sql",
        "nova/up.view.sql",
        "glance/@database.sql",
        "glance/v.view.sql",
        "@trailer.sql",
    ];
    assert_eq!(paths(FULL), expected);
    // Without comments there is nothing that says where empty sections are.
    let is_empty = |path: &&str| !path.starts_with('@') && !path.starts_with("glance/@e");
    let expected: Vec<&str> =
        expected.into_iter().filter(is_empty).filter(|p| *p != "glance/@routines.sql").collect();
    assert_eq!(paths(COMPACT), expected);
}

#[test]
fn no_part_of_a_schema_enters_another() {
    // The last schema has no views: nothing but the end of the dump follows its USE.
    let again =
        b"--\n-- Current Database: `last`\n--\n\nUSE `last`;\n\n/*!40103 SET TIME_ZONE=@OLD";
    let mark = b"/*!40103 SET TIME_ZONE=@OLD";
    let at = FULL.windows(mark.len()).rposition(|window| window == mark).unwrap();
    let dump = [&FULL[..at], again, &FULL[at + mark.len()..]].concat();
    for (path, bytes) in dissected(&dump, &[]).0.members {
        let uses = bytes.windows(5).filter(|window| *window == b"USE `").count();
        assert_eq!(uses, usize::from(path.ends_with("/@database.sql")), "{path}");
    }
}

#[test]
fn a_trigger_is_its_tables_and_a_saved_variable_that_of_what_follows() {
    let (members, _) = dissected(COMPACT, &[]);
    for (path, bytes) in members.members {
        let text = String::from_utf8_lossy(&bytes);
        let triggers = text.matches("TRIGGER ").count();
        assert_eq!(
            triggers,
            usize::from(path.ends_with("/instances.sql"))
                + usize::from(path.ends_with("/services.sql")),
            "{path}"
        );
        let saves = text.matches("SET @saved_cs_client").count();
        let uses = text.matches("character_set_client = @saved_cs_client").count()
            + text.matches("character_set_client  = @saved_cs_client").count()
            + text.matches("character_set_client      = @saved_cs_client").count();
        assert_eq!(saves, uses, "{path}");
    }
}

#[test]
fn a_dump_says_where_replication_goes_on_and_what_wrote_it() {
    let (_, facts) = dissected(FULL, &[]);
    assert_eq!(facts.end, DumpEnd::Completed);
    assert_eq!(facts.said.binlog_file.as_deref(), Some("bin.000001"));
    assert_eq!(facts.said.binlog_position, Some(4435));
    assert_eq!(facts.said.gtid.as_deref(), Some("0-7-19"));
    assert_eq!(facts.said.server_version.as_deref(), Some("10.11.19-MariaDB-0+deb12u1-log"));
    assert!(facts.said.tool_version.unwrap().starts_with("MariaDB dump 10.19  Distrib 10.11.19"));
    assert_eq!(facts.said.end_time.as_deref(), Some("2026-11-21 12:31:52"));
    assert_eq!((facts.counts.databases, facts.counts.tables, facts.counts.views), (2, 5, 3));
}

#[test]
fn positions_of_mysql_8_are_read_too() {
    let dump = b"-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n--\n\
        SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n\n\
        --\n-- GTID state at the beginning of the backup \n--\n\n\
        SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n\
        4e11fa47-71ca-11e1-9e33-c80aa9429562:1-77';\n\n\
        CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=157;\n\n\
        --\n-- Table structure for table `t`\n--\n\nCREATE TABLE `t` (`a` int);\n\
        SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;\n\n-- Dump completed\n";
    let (members, facts) = dissected(dump, &[]);
    assert_eq!(facts.said.binlog_file.as_deref(), Some("binlog.000003"));
    assert_eq!(facts.said.binlog_position, Some(157));
    assert!(facts.said.gtid.unwrap().ends_with(":1-77"));
    assert_eq!(facts.end, DumpEnd::Completed);
    let paths: Vec<_> = members.members.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["@preamble.sql", "@replication.sql", "t.sql", "@trailer.sql"]);
}

#[test]
fn no_beginning_of_a_dump_is_completed() {
    for dump in [FULL, COMPACT] {
        for at in 0..dump.len() {
            let (_, facts) = dissected(&dump[..at], &[]);
            assert_ne!(facts.end, DumpEnd::Completed, "cut at {at}");
        }
    }
    assert_ne!(dissected(COMPACT, &[]).1.end, DumpEnd::Completed);
}

#[test]
fn a_delimiter_that_is_a_quote_ends_statements_however_the_dump_is_read() {
    let dump = b"\nDELIMITER '\nUSE `a`;\n'\n-- Dump completed\n\"'\n-- Dump completed\n";
    let whole = dissected(dump, &[]);
    for bytes in 1..dump.len() {
        assert_eq!(dissected(dump, &[bytes]), whole, "reads of {bytes} bytes");
    }
}

#[test]
fn a_completion_line_counts_only_as_the_last_line_and_between_statements() {
    let end_of = |dump: &str| dissected(dump.as_bytes(), &[]).1.end;
    for good in [
        "-- Dump completed\n",
        "SELECT 1;\n-- Dump completed on 2026-11-21  9:05:01\n",
        "-- Dump completed on 2026-11-21 12:31:52\r\n \n\n",
    ] {
        assert_eq!(end_of(good), DumpEnd::Completed, "{good}");
    }
    for (bad, end) in [
        ("-- Dump completed", DumpEnd::Between),
        ("-- Dump completed on 2026-11-21 12:3\n", DumpEnd::Between),
        ("-- Dump completed on 2026-11-21 12:31:52\nSELECT 1;\n", DumpEnd::Between),
        ("INSERT INTO `t` VALUES ('\n-- Dump completed\n", DumpEnd::InValue),
        ("INSERT INTO `t` VALUES (1\n-- Dump completed\n", DumpEnd::InStatement),
        ("DELIMITER ;;\n-- Dump completed\n", DumpEnd::InStatement),
        ("/* \n-- Dump completed\n", DumpEnd::Between),
        ("", DumpEnd::Between),
    ] {
        assert_ne!(end_of(bad), DumpEnd::Completed, "{bad}");
        if !bad.starts_with("/*") {
            assert_eq!(end_of(bad), end, "{bad}");
        }
    }
    let blanks = " ".repeat(500);
    assert_eq!(end_of(&format!("-- Dump completed\n{blanks}x\n")), DumpEnd::InStatement);
}

#[test]
fn a_dump_in_xml_is_one_member_that_ends_with_its_element() {
    for (dump, end) in [
        (XML, DumpEnd::Completed),
        (&XML[..XML.len() - 2], DumpEnd::InStatement),
        (&XML[..XML.len() / 2], DumpEnd::InStatement),
    ] {
        let mut members = Members::default();
        let mut parser = SqlParser::new(DumpKind::Xml);
        dump.chunks(100).for_each(|piece| parser.push(piece, &mut members).unwrap());
        assert_eq!(parser.finish(&mut members).unwrap().end, end);
        assert_eq!(members.members, [("dump.xml".to_owned(), dump.to_vec())]);
    }
}

#[test]
fn what_the_tool_complains_about_in_comments_is_kept() {
    let dump = b"--\n-- insufficient privileges to SHOW CREATE FUNCTION `f`\n-- Dump completed\n";
    let (_, facts) = dissected(dump, &[]);
    assert_eq!(facts.complaints, ["insufficient privileges to SHOW CREATE FUNCTION `f`"]);
}

#[test]
fn memory_does_not_grow_with_comments_statements_or_databases() {
    let mut members = Members::default();
    let mut parser = SqlParser::new(DumpKind::Statements);
    parser.push(b"-- MariaDB dump\n", &mut members).unwrap();
    for piece in [&b"-- comment\n"[..], b" ", b"DROP TABLE `t`;", b"SET @saved = 1;"] {
        for _ in 0..20_000 {
            parser.push(piece, &mut members).unwrap();
            assert!(parser.held.capacity() <= 2 * HELD_BYTES_MAX);
        }
    }
    for number in 0..5_000 {
        let statement = format!("USE `db{number}`;\n");
        parser.push(statement.as_bytes(), &mut members).unwrap();
    }
    assert!(parser.entered.len() <= DATABASES_MAX);
}
