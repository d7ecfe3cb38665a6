//! Finds where a stream begins that does not begin with its first byte: a message of the producer,
//! a banner of a login, a byte order mark or lines of a wrapper stand before it, or its first bytes
//! are lost.
//!
//! Only the first [`SEARCHED_BYTES`] are searched, and a stream that says what it is by its first
//! bytes is not searched at all. What a wrapper may put before a dump (comments, `SET`, `USE`,
//! `CREATE DATABASE`) is a part of the dump; any other text is foreign.
//!
//! It does not judge: whether foreign text spoils a stream depends on what it is.

use memchr::memmem;

use crate::base::num::usize_of_u32;
use crate::parse::detect::Container;
use crate::parse::detect::Wrapping;
use crate::parse::detect::dump_at_line;
use crate::parse::detect::wrapping;
use crate::parse::frame::MAGIC;
use crate::parse::path::PATH_BYTES_END;
use crate::parse::tar::begins_tar;
use crate::parse::tar::header::BLOCK;

/// Bytes of a stream that are searched for its beginning.
pub const SEARCHED_BYTES: usize = 64 << 10;

/// Bytes of text that are quoted.
const QUOTED_BYTES_MAX: usize = 80;
/// Bytes of text after which no compressed stream is looked for.
const BANNER_BYTES_MAX: usize = 4096;
/// Bytes from the start of a tar's header to its mark.
const TAR_MARK_AT: usize = 257;
/// The first bytes of a stream that may be lost so that the others still tell what it was.
const LOST_BYTES_MAX: usize = 4;

/// Bytes in UTF-16 in which a header is looked for.
const RECODED_BYTES_MAX: usize = 16 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The beginning of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The container as which the stream is taken apart.
    pub container: Container,
    /// The text before it, or the damage to its first bytes.
    pub before: Before,
}

/// The text before a stream, or the damage to its first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Before {
    /// Nothing: it says what it is by its first bytes, or is not known at all.
    #[default]
    Nothing,
    /// Lines that are a part of the dump.
    Lines(Text),
    /// Text that is not.
    Foreign(Text, What),
    /// The first bytes are lost of what was this.
    Lost(What),
    /// Nothing, but what was this is written in UTF-16.
    Recoded(What),
}

/// The kind of stream that foreign text stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A stream of `mbstream` frames.
    Mbstream,
    /// A dump, of any of the known kinds.
    Dump,
    /// A tar. It is not taken apart: its blocks would be elsewhere.
    Tar,
    /// A stream that was compressed or encrypted by this program.
    Wrapped(&'static str),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mbstream => f.write_str("mbstream"),
            Self::Dump => f.write_str("dump"),
            Self::Tar => f.write_str("tar"),
            Self::Wrapped(program) => write!(f, "{program} stream"),
        }
    }
}

/// Text before a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Number of bytes of the text, which belong to no member.
    pub bytes: usize,
    /// Number of its lines that are not blank.
    pub lines: usize,
    /// The number of the first of them, counted from 1.
    pub first_line: usize,
    /// The beginning of that line; characters that cannot be printed are replaced.
    pub quoted: String,
}

impl Beginning {
    /// Returns the beginning of a stream that has nothing before its first byte.
    pub fn plain(container: Container) -> Self {
        Self { container, before: Before::Nothing }
    }

    /// Returns how many bytes before the stream belong to no member of it.
    pub fn skipped(&self) -> usize {
        match &self.before {
            Before::Foreign(text, What::Mbstream | What::Dump) | Before::Lines(text) => text.bytes,
            Before::Foreign(_, What::Tar | What::Wrapped(_))
            | Before::Lost(_)
            | Before::Recoded(_)
            | Before::Nothing => 0,
        }
    }
}

/// Finds the beginning of a stream whose first bytes, `head`, are not known.
pub fn find_beginning(head: &[u8]) -> Beginning {
    let head = &head[..head.len().min(SEARCHED_BYTES)];
    if let Some(what) = recoded(head) {
        return Beginning { container: Container::Plain, before: Before::Recoded(what) };
    }
    if let Some(what) = lost(head) {
        // A dump loses its first line with its first byte; the next known line goes on.
        let container = find_dump(head).map_or(Container::Plain, |(_, container)| container);
        return Beginning { container, before: Before::Lost(what) };
    }
    let mbstream = find_mbstream(head).map(|at| (at, Container::Mbstream, What::Mbstream));
    let tar = find_tar(head).map(|at| (at, Container::Plain, What::Tar));
    let dump = find_dump(head).map(|(at, container)| (at, container, What::Dump));
    let wrapped = find_wrapped(head).map(|(at, name)| (at, Container::Plain, What::Wrapped(name)));
    let found = [mbstream, tar, dump, wrapped].into_iter().flatten();
    let Some((at, container, what)) = found.min_by_key(|(at, ..)| *at) else {
        return Beginning::plain(Container::Plain);
    };
    let before = match what {
        What::Dump => before_dump(&head[..at]),
        What::Mbstream | What::Tar | What::Wrapped(_) => Before::Foreign(all(&head[..at]), what),
    };
    Beginning { container, before }
}

/// Recognises a stream that was re-encoded as UTF-16.
fn recoded(head: &[u8]) -> Option<What> {
    let (text, is_big_endian) = match head {
        [0xff, 0xfe, text @ ..] => (text, false),
        [0xfe, 0xff, text @ ..] => (text, true),
        [0, first, ..] if *first != 0 => (head, true),
        [first, 0, ..] if *first != 0 => (head, false),
        _ => return None,
    };
    let (pairs, _) = text[..text.len().min(RECODED_BYTES_MAX)].as_chunks();
    let narrowed = |pair: &[u8; 2]| match (pair, is_big_endian) {
        ([byte, 0], false) | ([0, byte], true) => *byte,
        _ => b'?',
    };
    let text: Vec<u8> = pairs.iter().map(narrowed).collect();
    if text.starts_with(&MAGIC) {
        return Some(What::Mbstream);
    }
    find_dump(&text).map(|_| What::Dump)
}

/// Tells what a stream was that lost its very first bytes.
fn lost(head: &[u8]) -> Option<What> {
    const STARTS: [(&[u8], What); 5] = [
        (&MAGIC, What::Mbstream),
        (b"/*M!999999\\- ", What::Dump),
        (b"/*!999999\\- ", What::Dump),
        (b"-- MariaDB dump ", What::Dump),
        (b"-- MySQL dump ", What::Dump),
    ];
    let begins = |(start, _): &&(&[u8], What)| {
        (1..=LOST_BYTES_MAX).any(|gone| head.starts_with(&start[gone..]))
    };
    STARTS.iter().find(begins).map(|(_, what)| *what)
}

fn find_mbstream(head: &[u8]) -> Option<usize> {
    memmem::find_iter(head, &MAGIC).find(|at| {
        let Some((fields, _)) = head[at + MAGIC.len()..].split_first_chunk::<6>() else {
            return false;
        };
        let [_, kind, length @ ..] = *fields;
        b"PESRD".contains(&kind) && usize_of_u32(u32::from_le_bytes(length)) < PATH_BYTES_END
    })
}

fn find_tar(head: &[u8]) -> Option<usize> {
    let marks = memmem::find_iter(head, b"ustar").filter_map(|at| at.checked_sub(TAR_MARK_AT));
    let begins = |at: &usize| {
        head.get(*at..*at + BLOCK).and_then(|block| block.try_into().ok()).is_some_and(begins_tar)
    };
    { marks }.find(begins)
}

/// Finds the first line that begins a dump; everything before it must be text.
fn find_dump(head: &[u8]) -> Option<(usize, Container)> {
    let mut at = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let mut comments = false;
    loop {
        let rest = &head[at..];
        let line = &rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)];
        if line.is_empty() || line.contains(&0) {
            return None;
        }
        // Dumps of other programs have these statements too, below their own headers.
        let is_statement = rest.starts_with(b"/*!") && !rest.starts_with(b"/*!999999");
        if let Some(container) = dump_at_line(rest)
            && !(is_statement && comments)
        {
            return Some((at, container));
        }
        comments |= line.starts_with(b"--") || line.starts_with(b"#");
        at += line.len();
    }
}

/// Finds a compressed or encrypted stream after lines of text.
fn find_wrapped(head: &[u8]) -> Option<(usize, &'static str)> {
    let mut at = 0;
    while let Some(end) = memchr::memchr(b'\n', &head[at..]) {
        let line = &head[at..at + end];
        if at > BANNER_BYTES_MAX || !line.iter().all(|byte| is_text(*byte)) {
            return None;
        }
        at += end + 1;
        let rest = &head[at..];
        // Two bytes alone could be anything.
        let is_gzip = rest.starts_with(b"\x1f\x8b\x08");
        match wrapping(rest) {
            Some(Wrapping::Compressed("gzip")) if !is_gzip => {}
            Some(Wrapping::Compressed(program) | Wrapping::Encrypted(program)) => {
                return Some((at, program));
            }
            None => {}
        }
    }
    None
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' ' || byte == b'\t' || byte == b'\r' || byte >= 0x80
}

/// Takes all of `bytes` for foreign.
fn all(bytes: &[u8]) -> Text {
    let mut text = Text { bytes: bytes.len(), lines: 0, first_line: 1, quoted: String::new() };
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        text.add(number + 1, line);
    }
    text
}

impl Text {
    fn add(&mut self, number: usize, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if self.lines == 0 {
            self.first_line = number;
            self.quoted = quote(line);
        }
        self.lines += 1;
    }
}

/// Returns the beginning of a line as it can be shown.
pub fn quote(line: &[u8]) -> String {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let shown = String::from_utf8_lossy(&line[..line.len().min(QUOTED_BYTES_MAX)]);
    let hidden = |c: char| c.is_control() || c == '\u{feff}';
    let printable = |c: char| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut quoted: String = shown.chars().map(printable).collect();
    if line.len() > QUOTED_BYTES_MAX {
        quoted.push_str("...");
    }
    quoted
}

/// Tells lines that are a part of the dump from foreign ones. What stands before the last foreign
/// line belongs to no member.
fn before_dump(before: &[u8]) -> Before {
    let mark = if before.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let empty = |bytes| Text { bytes, lines: 0, first_line: 1, quoted: String::new() };
    let (mut known, mut foreign) = (empty(mark), empty(0));
    let mut at = mark;
    while at < before.len() {
        let rest = &before[at..];
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        at += blanks;
        let rest = &rest[blanks..];
        if rest.is_empty() {
            break;
        }
        let number = 1 + memchr::memchr_iter(b'\n', &before[..at]).count();
        if let Some(length) = known_length(rest) {
            known.add(number, &rest[..length]);
            at += length;
        } else {
            let line = &rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)];
            foreign.add(number, line);
            at += line.len();
            foreign.bytes = at;
        }
    }
    match (foreign.lines, known.lines) {
        (0, 0) if mark == 0 => Before::Nothing,
        (0, 0) => Before::Lines(Text { quoted: "a byte order mark".to_owned(), ..known }),
        (0, _) => Before::Lines(known),
        _ => Before::Foreign(foreign, What::Dump),
    }
}

/// Returns the length of a comment, or of a statement that wrappers put before a dump.
fn known_length(text: &[u8]) -> Option<usize> {
    let line = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    let is_comment = text.starts_with(b"#")
        || text.strip_prefix(b"--").is_some_and(|rest| {
            rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'-')
        });
    if is_comment {
        return Some(line);
    }
    if text.starts_with(b"/*") {
        let end = memmem::find(text, b"*/")? + 2;
        let ended = text[end..].starts_with(b";");
        return Some(end + usize::from(ended));
    }
    let end = statement_end(text)?;
    let words: Vec<Vec<u8>> = text[..end]
        .split(|byte| byte.is_ascii_whitespace() || *byte == b';')
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_ascii_uppercase)
        .collect();
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let is_known = match words.as_slice() {
        [b"SET", rest @ ..] => {
            rest.first() == Some(&&b"NAMES"[..]) || rest.iter().any(|word| word.contains(&b'='))
        }
        [b"USE", _]
        | [b"BEGIN" | b"COMMIT"]
        | [b"START", b"TRANSACTION"]
        | [b"CREATE" | b"DROP", b"DATABASE" | b"SCHEMA", ..] => true,
        _ => false,
    };
    is_known.then_some(end + 1)
}

/// Returns where the semicolon of the statement is with which `text` begins.
fn statement_end(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b';') => return Some(at),
            (None, b'\'' | b'"' | b'`') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::sql::DumpKind;

    const HEADER: &[u8] = b"-- MariaDB dump 10.19  Distrib 11.8.2-MariaDB\n";
    const DUMP: Container = Container::Sql(DumpKind::Statements);

    fn before(text: &[u8]) -> Before {
        let found = find_beginning(&[text, HEADER].concat());
        assert_eq!(found.container, DUMP, "{text:?}");
        found.before
    }

    #[test]
    fn lines_of_wrappers_are_a_part_of_the_dump() {
        for text in [
            &b"-- begin metadata\n-- [app]\n-- version = 15.1\n--\n"[..],
            b"SET FOREIGN_KEY_CHECKS=0;\n",
            b"SET autocommit=0;\nSET NAMES 'a;b';\n",
            b"CREATE DATABASE IF NOT EXISTS shop;\nUSE shop;\n",
            b"# a comment\n/* and another */\n/*!40101 SET NAMES utf8 */;\n",
        ] {
            let Before::Lines(lines) = before(text) else { panic!("{text:?}") };
            assert_eq!(lines.bytes, 0);
        }
        let Before::Lines(mark) = before(b"\xef\xbb\xbf") else { panic!("a mark") };
        assert_eq!(mark.bytes, 3);
        assert_eq!(before(&[b'\n'; 30]), Before::Nothing);
    }

    #[test]
    fn messages_before_a_dump_are_foreign_and_quoted() {
        for (text, first_line, lines) in [
            (&b"mysqldump: [Warning] Using a password can be insecure.\n"[..], 1, 1),
            (b"\nWarning: If you don't want to restore GTIDs; pass it. \n", 2, 1),
            (b"-- a comment\nUse of uninitialized value in x;\nmore\n", 2, 2),
            (b"SET x\n", 1, 1),
        ] {
            let Before::Foreign(foreign, What::Dump) = before(text) else { panic!("{text:?}") };
            assert_eq!((foreign.bytes, foreign.first_line), (text.len(), first_line));
            assert_eq!(foreign.lines, lines);
        }
        let text = [b"x: it failed\n".as_slice(), b"SET a=1;\n"].concat();
        let Before::Foreign(foreign, _) = before(&text) else { panic!("foreign") };
        assert_eq!((foreign.bytes, foreign.quoted.as_str()), (13, "x: it failed"));
    }

    #[test]
    fn text_before_an_mbstream_or_another_stream_is_foreign() {
        let frame = b"XBSTCK01\0P\x07\0\0\0ibdata1";
        for text in [&b"Welcome to db1\n"[..], b"\xef\xbb\xbf", b"\0\0\0\0"] {
            let found = find_beginning(&[text, frame].concat());
            assert_eq!(found.container, Container::Mbstream);
            assert_eq!(found.skipped(), text.len());
        }
        let found = find_beginning(b"Welcome\n\x1f\x8b\x08\0\0");
        assert!(matches!(found.before, Before::Foreign(_, What::Wrapped("gzip"))), "{found:?}");
        assert_eq!(found.container, Container::Plain);
        // The magic alone is no frame.
        let found = find_beginning(b"grep XBSTCK01 *\n and more");
        assert_eq!(found, Beginning::plain(Container::Plain));
    }

    #[test]
    fn lost_first_bytes_are_noticed() {
        for gone in 1..=LOST_BYTES_MAX {
            let found = find_beginning(&b"XBSTCK01\0P\x07\0\0\0ibdata1"[gone..]);
            assert_eq!(found.before, Before::Lost(What::Mbstream));
            let dump = [&HEADER[gone..], b"--\n", b"/*!40101 SET NAMES utf8 */;\n"].concat();
            assert_eq!(find_beginning(&dump).before, Before::Lost(What::Dump));
        }
    }

    #[test]
    fn what_was_written_in_utf_16_is_noticed() {
        let dump = [b"a banner\r\n", HEADER, b"\r\n--\r\n"].concat();
        let frame = b"XBSTCK01\0P\x07\0\0\0ibdata1";
        for (stream, what) in [(&dump[..], What::Dump), (frame, What::Mbstream)] {
            let little = || stream.iter().flat_map(|byte| [*byte, 0]);
            let big = || stream.iter().flat_map(|byte| [0, *byte]);
            for recoded in [
                [0xff, 0xfe].into_iter().chain(little()).collect::<Vec<u8>>(),
                [0xfe, 0xff].into_iter().chain(big()).collect(),
                little().collect(),
                big().collect(),
            ] {
                let found = find_beginning(&recoded);
                assert_eq!(found.before, Before::Recoded(what));
                assert_eq!((found.container, found.skipped()), (Container::Plain, 0));
            }
        }
        let notes: Vec<u8> = b"notes of a day".iter().flat_map(|byte| [*byte, 0]).collect();
        assert_eq!(find_beginning(&notes), Beginning::plain(Container::Plain));
    }

    #[test]
    fn what_only_mentions_a_dump_is_none() {
        for head in [
            &b"see -- MariaDB dump 10.19\n"[..],
            b"\0\0\0\n-- MariaDB dump 10.19\n",
            b"-- Another SQL Dump\n/*!40101 SET NAMES utf8mb4 */;\n",
            b"notes\n",
            b"",
        ] {
            assert_eq!(find_beginning(head), Beginning::plain(Container::Plain), "{head:?}");
        }
    }
}
