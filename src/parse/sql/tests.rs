//! The promises of the parser: any dump comes back byte for byte, cuts depend on content alone, and
//! nothing that was cut counts as completed.

use proptest::prelude::*;

use super::*;
use crate::base::error::Result;
use crate::parse::testing::config;

/// A dump of a real server, with everything in it that makes statements hard to tell apart.
const FULL: &[u8] = include_bytes!("../../../tests/dumps/full.sql");
/// The same dump without a comment.
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

/// Makes a dump with `texts` in its first table and `before` in front of that.
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

/// Draws what may stand anywhere and changes the meaning of what follows.
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
        // Entered again: a part of its own, which a restore of one schema leaves out.
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
}

/// Returns the facts of a dump, which must be the same for any sizes of reads.
fn found_in(dump: &[u8]) -> DumpFacts {
    let (_, facts) = dissected(dump, &[]);
    for read in [1, 7, 64] {
        assert_eq!(dissected(dump, &[read]).1, facts, "reads of {read}");
    }
    facts
}

/// Makes a small dump of one schema with two tables and a view.
fn small(schema: &str) -> String {
    format!(
        "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11\n--\n\
         -- Host: localhost    Database: {schema}\n-- ---\n-- Server version\t10.11\n\n\
         /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='' */;\n\n\
         --\n-- Temporary table structure for view `v`\n--\n\nDROP TABLE IF EXISTS `v`;\n\
         /*!50001 DROP VIEW IF EXISTS `v`*/;\n/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `a` */;\n\n\
         --\n-- Table structure for table `t`\n--\n\nDROP TABLE IF EXISTS `t`;\n\
         CREATE TABLE `t` (\n  `a` text\n);\n\n--\n-- Dumping data for table `t`\n--\n\n\
         LOCK TABLES `t` WRITE;\nINSERT INTO `t` VALUES\n('one of {schema}, it\\'s'),\n('two');\n\
         UNLOCK TABLES;\n\n--\n-- Table structure for table `u`\n--\n\n\
         DROP TABLE IF EXISTS `u`;\nCREATE TABLE `u` (\n  `a` int\n);\n\n\
         --\n-- Final view structure for view `v`\n--\n\n/*!50001 DROP VIEW IF EXISTS `v`*/;\n\
         /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`h` SQL SECURITY DEFINER \
         */\n/*!50001 VIEW `v` AS select 1 */;\n/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\n\
         -- Dump completed on 2026-11-21 12:31:52\n"
    )
}

#[test]
fn each_dump_of_a_stream_has_its_own_schema_and_completion_line() {
    let stream = small("shop") + &small("crm");
    let (members, facts) = dissected(stream.as_bytes(), &[]);
    assert_eq!((facts.dumps, facts.end, &facts.flaws[..]), (2, DumpEnd::Completed, &[][..]));
    assert_eq!(facts.oddities, []);
    let of = |schema: &str| {
        let path = format!("{schema}/t.sql");
        let mut found = members.members.iter().filter(|(member, _)| *member == path);
        let text = String::from_utf8_lossy(&found.next().unwrap().1).into_owned();
        assert!(found.next().is_none(), "{path} twice");
        text
    };
    assert!(of("shop").contains("one of shop") && of("crm").contains("one of crm"));
    assert_eq!(found_in(stream.as_bytes()), facts);
    // What a script writes between two dumps prepares the second.
    let stream = small("shop") + "CREATE DATABASE `crm`;\nUSE `crm`;\n" + &small("crm");
    let facts = found_in(stream.as_bytes());
    assert_eq!((facts.dumps, &facts.flaws[..], &facts.oddities[..]), (2, &[][..], &[][..]));
}

#[test]
fn a_dump_that_breaks_off_anywhere_is_noticed_though_another_follows() {
    let (first, second) = (small("shop"), small("crm"));
    let header = first.find("-- Server").unwrap();
    for cut in header..first.len() {
        let stream = first[..cut].to_owned() + "\n" + &second;
        let (members, facts) = dissected(stream.as_bytes(), &[]);
        let end = match facts.flaws.first() {
            Some(Flaw::Broken { number: 1, schema, end, .. }) => {
                assert_eq!(schema.as_deref(), Some("shop"));
                *end
            }
            // The line end that follows makes the last line whole, with its time or without.
            None if first[..cut].trim_end().ends_with("-- Dump completed") => DumpEnd::Completed,
            None if first[cut..].trim().is_empty() => DumpEnd::Completed,
            other => panic!("cut at {cut}: {other:?}"),
        };
        assert_eq!((facts.dumps, facts.end), (2, DumpEnd::Completed), "cut at {cut}: {end:?}");
        let rows = |(path, bytes): &(String, Vec<u8>)| {
            path == "crm/t.sql" && bytes.windows(10).any(|bytes| bytes == b"one of crm")
        };
        assert!(members.members.iter().any(rows), "cut at {cut}");
        if cut % 50 == 0 {
            found_in(stream.as_bytes());
        }
    }
}

#[test]
fn a_schema_is_entered_in_ansi_mode_too() {
    let dump =
        b"-- MariaDB dump 10.19\nSET SQL_MODE='ANSI';\nUSE \"a\";\nCREATE TABLE \"t\" (x int);\n\
        USE \"b\";\nCREATE TABLE \"t\" (x int);\n-- Dump completed\n";
    assert_eq!(
        paths(dump),
        ["@preamble.sql", "a/@database.sql", "a/t.sql", "b/@database.sql", "b/t.sql"]
    );
}

#[test]
fn positions_of_different_dumps_are_none() {
    let dump = |position: &str| {
        format!(
            "-- MariaDB dump 10.19\n-- CHANGE MASTER TO MASTER_LOG_FILE='b.1', \
             MASTER_LOG_POS={position};\n\
             CREATE TABLE `t` (a int);\n-- Dump completed\n"
        )
    };
    for (positions, known) in [
        (vec!["4"], Some(4)),
        (vec!["4", "4"], Some(4)),
        (vec!["4", "5"], None),
        (vec!["4", "5", "4"], None),
    ] {
        let stream: String = positions.iter().map(|position| dump(position)).collect();
        assert_eq!(found_in(stream.as_bytes()).said.binlog_position, known, "{positions:?}");
    }
}

#[test]
fn a_dump_that_lost_a_part_in_the_middle_is_noticed() {
    let whole = small("shop");
    assert_eq!(found_in(whole.as_bytes()).flaws, []);
    for (lost, flaw) in [
        ("INSERT INTO `t` VALUES\n", Flaw::Rows { last: "table 'shop.t'".into() }),
        ("CREATE TABLE `u` (\n  `a` int\n);\n", Flaw::Dropped("shop.u".into())),
        ("UNLOCK TABLES;\n", Flaw::Locked("shop.t".into())),
        ("/*!50001 VIEW `v` AS select 1 */;\n", Flaw::Dropped("shop.v".into())),
    ] {
        let dump = whole.replacen(lost, "", 1);
        assert!(dump.len() < whole.len(), "{lost}");
        let facts = found_in(dump.as_bytes());
        assert_eq!(facts.flaws.first(), Some(&flaw), "without {lost}");
    }
    // In ANSI mode a view is made like its placeholder.
    let definer = "/*!50013 DEFINER=`r`@`h` SQL SECURITY DEFINER */";
    let view = format!("CREATE ALGORITHM=UNDEFINED */\n{definer}\n/*!50001 VIEW");
    let ansi = whole.replace(&view, "CREATE VIEW");
    assert!(ansi.len() < whole.len());
    assert_eq!(found_in(ansi.as_bytes()).flaws, []);
    let at = whole.find("--\n-- Final view").unwrap();
    let end = whole.find("/*!40101 SET SQL_MODE=@OLD").unwrap();
    let dump = whole[..at].to_owned() + &whole[end..];
    assert_eq!(found_in(dump.as_bytes()).flaws, [Flaw::Placeholder("shop.v".into())]);
}

#[test]
fn what_is_no_statement_between_statements_is_noticed() {
    let whole = small("shop");
    let at = whole.find("LOCK TABLES").unwrap();
    let with = |text: &str| found_in((whole[..at].to_owned() + text + &whole[at..]).as_bytes());
    let facts = with("lorem ipsum;\n");
    assert!(matches!(&facts.flaws[..], [Flaw::Text { text, .. }] if text == "lorem ipsum"));
    let facts = with("\0\0\0\n");
    let offset = u64::try_from(at).unwrap();
    assert!(facts.flaws.contains(&Flaw::Zeros { offset }), "{:?}", facts.flaws);
    let facts = with("mysqldump: Error 2013: Lost connection, can't go on\n");
    let words = "mysqldump: Error 2013: Lost connection, can't go on";
    assert_eq!((&facts.flaws[..], facts.counts.tables), (&[Flaw::Message(words.into())][..], 2));
    let facts = with("mysqldump: [Warning] Using a password can't be secure\n");
    assert_eq!((&facts.flaws[..], facts.oddities[0].kind), (&[][..], OddityKind::Text));
    for (text, kind) in [
        ("CALL p();\n", OddityKind::Statement),
        ("UPDATE t SET a = 1;\n", OddityKind::Statement),
        ("\\! id\n;", OddityKind::ClientCommand),
        ("source /etc/passwd\n;", OddityKind::ClientCommand),
        ("SET @a = 1; \\! id\n;", OddityKind::ClientCommand),
        ("/*M!999999\\! id */;\n", OddityKind::ClientCommand),
        ("/*!50001 SET @a = 1 \\! id */;\n", OddityKind::ClientCommand),
    ] {
        let facts = with(text);
        let kinds: Vec<OddityKind> = facts.oddities.iter().map(|oddity| oddity.kind).collect();
        assert_eq!((&facts.flaws[..], &kinds[..]), (&[][..], &[kind][..]), "{text}");
    }
    for text in [
        "/* \\! id */\n",
        "-- \\! id\n",
        "SET @a = '\\\\! id';\n",
        "DELIMITER $$\n$$\nDELIMITER ;\n",
    ] {
        let facts = with(text);
        assert_eq!((&facts.flaws[..], &facts.oddities[..]), (&[][..], &[][..]), "{text}");
    }
}

#[test]
fn what_follows_the_completion_line_is_named() {
    for (text, kind) in [
        ("SET FOREIGN_KEY_CHECKS=1;\n", OddityKind::Trailing),
        ("COMMIT;\n", OddityKind::Trailing),
        ("-- end of backup of host a\n", OddityKind::TrailingComment),
    ] {
        let facts = found_in((small("shop") + text).as_bytes());
        assert_eq!((facts.end, &facts.flaws[..]), (DumpEnd::Completed, &[][..]), "{text}");
        let oddity = &facts.oddities[0];
        assert_eq!((oddity.kind, facts.oddities.len()), (kind, 1));
        assert_eq!(oddity.text, text.trim_end().trim_end_matches(';'));
    }
    let blanks = " ".repeat(500);
    for (text, flaw) in [
        (
            "mysqldump: Got errno 32 on write\n",
            Flaw::Message("mysqldump: Got errno 32 on write".into()),
        ),
        ("INSERT INTO `x` VALUES (1);\n", Flaw::Appended("INSERT INTO `x` VALUES (1)".into())),
        ("finished well\n", Flaw::Appended("finished well".into())),
        (&format!("{blanks}x\n"), Flaw::Appended("x".into())),
    ] {
        let facts = found_in((small("shop") + text).as_bytes());
        assert_eq!((facts.end, &facts.flaws[..]), (DumpEnd::Completed, &[flaw][..]), "{text}");
    }
}

#[test]
fn a_dump_of_nothing_is_noticed_unless_it_names_an_empty_schema() {
    let head = "-- MariaDB dump 10.19\n--\n-- Host: localhost    Database: ";
    let dump = |schema: &str, body: &str| {
        format!("{head}{schema}\n/*!40101 SET NAMES utf8mb4 */;\n{body}-- Dump completed\n")
    };
    let flaws = |schema, body| found_in(dump(schema, body).as_bytes()).flaws;
    assert_eq!(flaws("", ""), [Flaw::Empty { number: 1 }]);
    assert_eq!(flaws("shop", ""), []);
    assert_eq!(flaws("", "USE `shop`;\n"), []);
    assert_eq!(flaws("", "GRANT SELECT ON *.* TO `a`@`%`;\n"), []);
    let stream = small("shop") + &dump("", "");
    assert_eq!(found_in(stream.as_bytes()).flaws, [Flaw::Empty { number: 2 }]);
}

#[test]
fn the_ends_of_other_programs_are_known() {
    let rows = "CREATE TABLE `t` (`a` int);\nINSERT INTO `t` VALUES\n(1),\n(2);\n";
    for (head, tail, cut_end) in [
        (
            "-- Dump created by MySQL pump utility, version: 8.0.34\n",
            "-- Dump end time: Mon Nov 23 10:00:01 2026\n",
            DumpEnd::Between,
        ),
        ("-- phpMyAdmin SQL Dump\nSTART TRANSACTION;\n", "COMMIT;\n", DumpEnd::Between),
        (
            "-- phpMyAdmin SQL Dump\n/*!40101 SET @OLD_A=@@A */;\n",
            "/*!40101 SET A=@OLD_A */;\n",
            DumpEnd::Between,
        ),
        ("-- phpMyAdmin SQL Dump\n", "", DumpEnd::Unmarked),
        (
            "-- ---\n-- Host: h\n-- HeidiSQL Version: 12\n/*!40101 SET @OLD_A=@@A */;\n",
            "/*!40111 SET A=IFNULL(@OLD_A, 1) */;\n",
            DumpEnd::Between,
        ),
        ("-- Adminer 4.8.1 MySQL 10.11 dump\n", "-- 2026-11-20 10:00:00\n", DumpEnd::Between),
        ("-- Adminer 5.1 MySQL 10.11 dump\n", "-- 2026-11-20 10:00:00 UTC\n", DumpEnd::Between),
        ("-- MySQLShell dump 2.0.1\n", "", DumpEnd::Unmarked),
        ("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "COMMIT;\n", DumpEnd::Between),
    ] {
        let end_of = |dump: &str| found_in(dump.as_bytes()).end;
        let whole = if tail.is_empty() { DumpEnd::Unmarked } else { DumpEnd::Completed };
        assert_eq!(end_of(&format!("{head}{rows}{tail}")), whole, "{head}");
        assert_eq!(end_of(&format!("{head}{rows}")), cut_end, "{head}");
        let cut = &rows[..rows.len() - 5];
        assert_eq!(end_of(&format!("{head}{cut}")), DumpEnd::InStatement, "{head}");
        // The last line of one program is none of another.
        let other = format!("-- MariaDB dump 10.19\n{rows}{tail}");
        assert_ne!(end_of(&other), DumpEnd::Completed, "{tail}");
    }
}

#[test]
fn dumps_that_are_not_taken_apart_end_with_their_last_lines() {
    let pg = "--\n-- PostgreSQL database dump\n--\nCOPY t FROM stdin;\nit's\n\\.\n\n--\n\
              -- PostgreSQL database dump complete\n--\n\n";
    let md =
        "\n-- metadata.header 95\n# Started dump at: x\n-- metadata 40\n# Finished dump at: y\n";
    let xml = "<?xml version=\"1.0\"?>\n<mysqldump x>\n</mysqldump>\n";
    for (kind, dump) in [(DumpKind::Postgres, pg), (DumpKind::Mydumper, md), (DumpKind::Xml, xml)] {
        let facts = |dump: &str| {
            let mut parser = SqlParser::new(kind);
            let mut members = Members::default();
            dump.as_bytes().chunks(5).for_each(|piece| parser.push(piece, &mut members).unwrap());
            parser.finish(&mut members).unwrap()
        };
        assert_eq!(facts(dump).end, DumpEnd::Completed, "{kind:?}");
        assert_eq!(facts(&dump[..dump.trim_end().len() - 16]).end, DumpEnd::InStatement);
        assert_eq!(facts(&(dump.to_owned() + dump)).flaws, []);
        let broken = dump[..dump.trim_end().len() - 16].to_owned() + "\n" + dump;
        assert!(matches!(facts(&broken).flaws[..], [Flaw::Broken { .. }]), "{kind:?}");
    }
    let facts = |tail: &str| {
        let mut parser = SqlParser::new(DumpKind::Postgres);
        parser.push((pg.to_owned() + tail).as_bytes(), &mut Members::default()).unwrap();
        parser.end_of_whole()
    };
    assert_eq!(facts("\\unrestrict abc\n\n"), DumpEnd::Completed);
    assert_eq!(facts("SELECT 1;\n"), DumpEnd::InStatement);
}

#[test]
fn text_before_a_dump_is_reported_and_does_not_confuse_what_follows() {
    for text in ["Warning: a partial dump, if you don't want it\n", "Starting the backup\n"] {
        let stream = text.to_owned() + &small("shop");
        let (members, facts) = dissected(stream.as_bytes(), &[]);
        assert_eq!((facts.end, facts.dumps, &facts.flaws[..]), (DumpEnd::Completed, 1, &[][..]));
        let oddity = &facts.oddities[0];
        assert_eq!((oddity.kind, oddity.text.as_str()), (OddityKind::Text, text.trim_end()));
        assert!(members.members.iter().any(|(path, _)| path == "shop/u.sql"));
        found_in(stream.as_bytes());
    }
    let facts = found_in(("USE `x`;\nSET NAMES utf8mb4;\n".to_owned() + &small("shop")).as_bytes());
    assert_eq!((&facts.flaws[..], &facts.oddities[..]), (&[][..], &[][..]));
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
