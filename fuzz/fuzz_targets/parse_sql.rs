//! Any dump, in any reads: its members are the dump, and its bytes alone decide where it is cut,
//! and what an excerpt for another schema makes of it.

#![no_main]

use haulout::base::error::Result;
use haulout::parse::container::Dissector;
use haulout::parse::container::Sink;
use haulout::parse::path::StreamPath;
use haulout::parse::sql::DumpFacts;
use haulout::parse::sql::DumpKind;
use haulout::parse::sql::Excerpt;
use haulout::parse::sql::SqlMember;
use haulout::parse::sql::SqlParser;
use haulout::parse::sql::TableDefinition;
use haulout::parse::sql::charset_of;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// Pieces of dumps: a fuzzer finds words of eight letters only slowly.
const WORDS: [&[u8]; 50] = [
    b"'",
    b"\"",
    b"`",
    b"\\",
    b";",
    b";;",
    b"\n",
    b"-- ",
    b"/*",
    b"/*!50003 ",
    b"*/",
    b"#",
    b"\nDELIMITER ",
    b"USE `a`;\n",
    b"CREATE TABLE `t` (",
    b"INSERT INTO `t` VALUES (",
    b"CREATE DATABASE `b`;\n",
    b"SET @saved_cs_client = 1;\n",
    b"DROP VIEW `v`;\n",
    b"\n-- Table structure for table `x`\n",
    b"\n-- Final view structure for view `v`\n",
    b"SET SQL_MODE=@OLD_SQL_MODE;\n",
    b"\n-- Dump completed\n",
    b"/*M!999999\\- s */ \n",
    b"-- MariaDB dump 10.19\n",
    b"-- MySQL dump 10.13\n",
    b"-- phpMyAdmin SQL Dump\n",
    b"-- Host: h    Database: a\n",
    b"LOCK TABLES `t` WRITE;\n",
    b"UNLOCK TABLES;\n",
    b"REPLACE INTO `t` VALUES (",
    b"(1,'a'),\n",
    b"DROP TABLE IF EXISTS `t`;\n",
    b"CREATE VIEW `v` AS SELECT 1;\n",
    b"\n-- Temporary table structure for view `v`\n",
    b"CHANGE MASTER TO MASTER_LOG_POS=1;\n",
    b"SET GLOBAL gtid_slave_pos='0-1-2';\n",
    b"START SLAVE;\n",
    b"CREATE USER `u`@`h`;\n",
    b"INSTALL PLUGIN p SONAME 's';\n",
    b"system x\n",
    b"\\! x\n",
    b"\0",
    b"mysqldump: Error 2013: x\n",
    b"COMMIT;\n",
    b"DROP DATABASE `a`;\n",
    b"ALTER DATABASE `a` CHARACTER SET latin1;\n",
    b"CREATE TRIGGER `x` BEFORE INSERT ON `t` FOR EACH ROW ",
    b"`a`.`t`",
    b"REFERENCES `a`.`t`",
];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (mode, reads) = (input.byte(), input.piece());
    let dump = if mode % 2 == 0 { input.rest().to_vec() } else { made(&mut input) };
    let kind = if mode % 16 == 15 { DumpKind::Xml } else { DumpKind::Statements };
    let whole = dissected(&dump, kind, &[]);
    assert_eq!(whole, dissected(&dump, kind, reads), "the sizes of reads change nothing");
    let joined: Vec<u8> = whole.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(joined == dump, "the members are the dump");
    for into in [None, Some((&b"a"[..], &b"c"[..]))] {
        let excerpt = excerpt_of(&dump, into, &[]);
        assert_eq!(excerpt, excerpt_of(&dump, into, reads), "nor what an excerpt is");
    }
    for (path, _) in &whole.0 {
        assert!(StreamPath::new(path).is_ok_and(StreamPath::is_canonical), "paths are harmless");
        assert!(kind == DumpKind::Xml || SqlMember::of(path).is_some(), "paths are read back");
    }
});

fn made(input: &mut Input<'_>) -> Vec<u8> {
    let mut dump = Vec::new();
    while !input.is_empty() {
        let byte = input.byte();
        match WORDS.get(usize::from(byte)) {
            Some(word) => dump.extend_from_slice(word),
            None => dump.push(byte),
        }
    }
    dump
}

#[derive(Default)]
struct Members {
    members: Vec<(Vec<u8>, Vec<u8>)>,
    is_open: bool,
}

impl Sink for Members {
    fn literal(&mut self, _: &[u8]) -> Result<()> {
        panic!("every byte of a dump is a member's");
    }

    fn open(&mut self, path: &[u8]) -> Result<()> {
        assert!(!self.is_open, "members do not nest");
        self.is_open = true;
        self.members.push((path.to_vec(), Vec::new()));
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(self.is_open, "payload has a member");
        self.members.last_mut().expect("one is open").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        assert!(self.is_open, "an end has a member");
        self.is_open = false;
        Ok(())
    }
}

/// Makes an excerpt as a reader does that gets one more byte than `reads` says, over and over;
/// `None` if it is refused.
fn excerpt_of(dump: &[u8], into: Option<(&[u8], &[u8])>, reads: &[u8]) -> Option<Vec<u8>> {
    let mut excerpt = Excerpt::new(into).with_table(b"t", b"u").with_present_accounts();
    let _definition = TableDefinition::find(dump);
    let _charset = charset_of(dump);
    let mut out = Vec::new();
    let mut sizes = reads.iter().cycle().map(|size| usize::from(*size) + 1);
    let mut rest = dump;
    while !rest.is_empty() {
        let count = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, more) = rest.split_at(count);
        excerpt.push(piece, &mut out).ok()?;
        rest = more;
    }
    excerpt.finish(&mut out).ok()?;
    Some(out)
}

/// Takes a dump apart as a reader does that gets one more byte than `reads` says, over and over.
fn dissected(dump: &[u8], kind: DumpKind, reads: &[u8]) -> (Vec<(Vec<u8>, Vec<u8>)>, DumpFacts) {
    let mut members = Members::default();
    let mut parser = SqlParser::new(kind);
    let mut sizes = reads.iter().cycle().map(|size| usize::from(*size) + 1);
    let mut rest = dump;
    while !rest.is_empty() {
        let count = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, more) = rest.split_at(count);
        parser.push(piece, &mut members).expect("this sink takes everything");
        rest = more;
    }
    let facts = parser.finish(&mut members).expect("this sink takes everything");
    (members.members, facts)
}
