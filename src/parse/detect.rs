//! Tells from the first bytes what container a stream is.
//!
//! A stream says what it is by how it begins; nothing else is trusted, no file name and no flag. A
//! stream that isn't recognised is plain: one member, every byte of it payload, which is never
//! wrong.
//!
//! It does not look into a compressed stream (it is plain, [`Wrapping`] names it), or look for a
//! beginning elsewhere than at the first byte: see [`beginning`](crate::parse::beginning).

use crate::parse::frame::MAGIC;
use crate::parse::sql::DumpKind;
use crate::parse::tar::begins_tar;
use crate::parse::tar::header::BLOCK;

/// A kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// `mbstream` of MariaDB, or `xbstream` of Percona.
    Mbstream,
    /// An SQL dump, of the kind that its first bytes show.
    Sql(DumpKind),
    /// A tar: ustar, pax or GNU.
    Tar,
    /// Anything else: one member.
    Plain,
}

/// The wrapping that hides the content of a plain stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// Compressed, by this program.
    Compressed(&'static str),
    /// Encrypted, by this program.
    Encrypted(&'static str),
}

/// The first bytes of compressed and encrypted streams.
const WRAPPINGS: [(&[u8], Wrapping); 18] = [
    (b"\x1f\x8b", Wrapping::Compressed("gzip")),
    (b"\x28\xb5\x2f\xfd", Wrapping::Compressed("zstd")),
    (b"\xfd7zXZ\0", Wrapping::Compressed("xz")),
    (b"BZh", Wrapping::Compressed("bzip2")),
    (b"\x04\x22\x4d\x18", Wrapping::Compressed("lz4")),
    (b"qpress10", Wrapping::Compressed("qpress")),
    (b"PK\x03\x04", Wrapping::Compressed("zip")),
    (b"7z\xbc\xaf\x27\x1c", Wrapping::Compressed("7z")),
    (b"\x89LZO\0\r\n\x1a\n", Wrapping::Compressed("lzop")),
    (b"\x1f\x9d", Wrapping::Compressed("compress")),
    (b"\xff\x06\0\0sNaPpY", Wrapping::Compressed("snappy")),
    (b"\x02\x21\x4c\x18", Wrapping::Compressed("lz4")),
    (b"Salted__", Wrapping::Encrypted("openssl")),
    (b"age-encryption.org/", Wrapping::Encrypted("age")),
    (b"-----BEGIN PGP MESSAGE", Wrapping::Encrypted("gpg")),
    // A key that is derived from a passphrase, and one that is encrypted to a person's.
    (b"\x8c\x0d\x04", Wrapping::Encrypted("gpg")),
    (b"\x85\x02\x0c\x03", Wrapping::Encrypted("gpg")),
    (b"\x85\x01\x8c\x03", Wrapping::Encrypted("gpg")),
];

/// Tells what hides the content of a stream that begins with `head`.
pub fn wrapping(head: &[u8]) -> Option<Wrapping> {
    WRAPPINGS.iter().find(|(start, _)| head.starts_with(start)).map(|(_, wrapping)| *wrapping)
}

/// The result of looking at the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// The stream is one of these.
    Is(Container),
    /// The caller shows at least `at_least` bytes; a stream that ends before is plain.
    NeedMore {
        /// Bytes from the start of the stream.
        at_least: usize,
    },
}

/// The beginnings of dumps, after blanks. A `0` stands for any digit.
const DUMP_STARTS: [(&[u8], DumpKind); 15] = [
    (b"/*M!999999\\- ", DumpKind::Statements),
    (b"/*!999999\\- ", DumpKind::Statements),
    (b"-- MariaDB dump ", DumpKind::Statements),
    (b"-- MySQL dump ", DumpKind::Statements),
    (b"/*!40000 SET ", DumpKind::Statements),
    (b"/*!50000 SET ", DumpKind::Statements),
    (b"-- Dump created by MySQL pump utility", DumpKind::Statements),
    (b"-- phpMyAdmin SQL Dump", DumpKind::Statements),
    (b"-- Adminer ", DumpKind::Statements),
    (b"-- MySQLShell dump ", DumpKind::Statements),
    // HeidiSQL names itself in its fourth line only.
    (
        b"-- --------------------------------------------------------\n-- Host: ",
        DumpKind::Statements,
    ),
    (
        b"-- --------------------------------------------------------\r\n-- Host: ",
        DumpKind::Statements,
    ),
    (b"PRAGMA foreign_keys=OFF;", DumpKind::Statements),
    (b"--\n-- PostgreSQL database ", DumpKind::Postgres),
    (b"-- metadata.header ", DumpKind::Mydumper),
];

/// The beginning of dumps in XML: the line of every XML, then their own.
const XML_START: &[u8] = b"<?xml version=\"1.0\"?>";
const XML_DUMP_START: &[u8] = b"<mysqldump";

/// Blanks that may stand before a dump's beginning, or between the lines of one in XML.
const BLANKS_MAX: usize = 16;

/// Tells the container of a stream that begins with `head`.
pub fn detect(head: &[u8]) -> Detection {
    if head.starts_with(&MAGIC) {
        return Detection::Is(Container::Mbstream);
    }
    if MAGIC.starts_with(head) {
        return Detection::NeedMore { at_least: MAGIC.len() };
    }
    let seen = detect_dump(head);
    if seen != Detection::Is(Container::Plain) {
        return seen;
    }
    // The mark of a tar stands after its first name, and only its checksum is proof.
    match head.first_chunk() {
        Some(block) if begins_tar(block) => Detection::Is(Container::Tar),
        Some(_) => Detection::Is(Container::Plain),
        None => Detection::NeedMore { at_least: BLOCK },
    }
}

/// Tells whether a dump begins right where `text` does.
pub(super) fn dump_at_line(text: &[u8]) -> Option<Container> {
    let begins_here = text.first().is_some_and(|byte| !byte.is_ascii_whitespace());
    match detect_dump(text) {
        Detection::Is(Container::Plain) | Detection::NeedMore { .. } => None,
        Detection::Is(container) => begins_here.then_some(container),
    }
}

fn detect_dump(head: &[u8]) -> Detection {
    let text = without_blanks(head);
    let more = |text: &[u8], start: &[u8]| {
        let at_least = head.len() - text.len() + start.len();
        Detection::NeedMore { at_least: at_least.max(head.len() + 1) }
    };
    for (start, kind) in DUMP_STARTS {
        match begins(text, start) {
            Begins::Yes => return Detection::Is(Container::Sql(kind)),
            Begins::Perhaps => return more(text, start),
            Begins::No => {}
        }
    }
    match begins(text, XML_START) {
        Begins::Yes => {
            let rest = without_blanks(&text[XML_START.len()..]);
            match begins(rest, XML_DUMP_START) {
                Begins::Yes => Detection::Is(Container::Sql(DumpKind::Xml)),
                Begins::Perhaps => more(rest, XML_DUMP_START),
                Begins::No => Detection::Is(Container::Plain),
            }
        }
        Begins::Perhaps => more(text, XML_START),
        Begins::No => Detection::Is(Container::Plain),
    }
}

enum Begins {
    Yes,
    No,
    /// As far as can be seen.
    Perhaps,
}

fn begins(text: &[u8], start: &[u8]) -> Begins {
    let same = |(byte, start): (&u8, &u8)| {
        if start.is_ascii_digit() && *start == b'0' { byte.is_ascii_digit() } else { byte == start }
    };
    match text.iter().zip(start).all(same) {
        false => Begins::No,
        true if text.len() < start.len() => Begins::Perhaps,
        true => Begins::Yes,
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take(BLANKS_MAX).take_while(|byte| byte.is_ascii_whitespace());
    &text[blanks.count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_is_recognised_as_soon_as_it_is_whole_and_refused_as_soon_as_it_differs() {
        assert_eq!(detect(b""), Detection::NeedMore { at_least: 8 });
        assert_eq!(detect(b"XBSTCK0"), Detection::NeedMore { at_least: 8 });
        assert_eq!(detect(b"XBSTCK01"), Detection::Is(Container::Mbstream));
        assert_eq!(detect(b"XBSTCK01\0P"), Detection::Is(Container::Mbstream));
        assert_eq!(detect(&block(b"XBSTCK02")), Detection::Is(Container::Plain));
    }

    /// Returns the first block of a stream that begins so, long enough to be detected.
    fn block(head: &[u8]) -> Vec<u8> {
        let mut block = head.to_vec();
        block.resize(BLOCK, b'x');
        block
    }

    #[test]
    fn compressed_and_encrypted_streams_are_plain_and_named() {
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
        assert_eq!(detect(gzip), Detection::NeedMore { at_least: BLOCK });
        assert_eq!(detect(&block(gzip)), Detection::Is(Container::Plain));
        assert_eq!(wrapping(gzip), Some(Wrapping::Compressed("gzip")));
        assert_eq!(wrapping(b"Salted__12345678"), Some(Wrapping::Encrypted("openssl")));
        assert_eq!(wrapping(b"-- MariaDB dump"), None);
    }

    #[test]
    fn a_dump_is_recognised_by_its_first_line_whatever_its_options_left_of_it() {
        for (head, container) in [
            (&b"/*M!999999\\- enable the sandbox mode */ \n"[..], DumpKind::Statements),
            (b"/*!999999\\- enable the sandbox mode */ \n", DumpKind::Statements),
            (b"-- MariaDB dump 10.19  Distrib 10.6.1-MariaDB", DumpKind::Statements),
            (b"-- MySQL dump 10.13  Distrib 8.0.36, for Linux", DumpKind::Statements),
            (b"\n/*!40101 SET @OLD_CHARACTER_SET_CLIENT", DumpKind::Statements),
            (b"/*!50503 SET character_set_client = utf8mb4 */;", DumpKind::Statements),
            (b"<?xml version=\"1.0\"?>\n<mysqldump xmlns:xsi", DumpKind::Xml),
            (b"-- phpMyAdmin SQL Dump\n-- version 5.2.1", DumpKind::Statements),
            (b"--\n-- PostgreSQL database cluster dump\n", DumpKind::Postgres),
            (b"\n-- metadata.header 95\n# Started dump at: ", DumpKind::Mydumper),
        ] {
            for shown in 0..head.len() {
                let seen = detect(&head[..shown]);
                let right = Detection::Is(Container::Sql(container));
                let asks = matches!(seen, Detection::NeedMore { at_least } if at_least > shown);
                assert!(asks || seen == right, "{seen:?} of {shown}");
            }
            assert_eq!(detect(head), Detection::Is(Container::Sql(container)));
        }
        for head in [&b"/*M!"[..], b"-- Mari"] {
            assert!(matches!(detect(head), Detection::NeedMore { .. }));
        }
        for head in [&b"-- my notes"[..], b"<?xml version=\"1.0\"?><svg>", b"/* a */"] {
            assert_eq!(detect(&block(head)), Detection::Is(Container::Plain));
        }
    }
}
