//! The boundaries of a dump's statements, as the `mysql` client sees them.
//!
//! Quotes with their escapes, comments and `DELIMITER` are followed, nothing else is understood.
//! The text in `/*! ... */`, which the server reads, is lexed like any other, as the client does: a
//! delimiter inside ends the statement.
//!
//! Invariants:
//! - the events do not depend on how the dump was cut into pieces: everything that needs a look
//!   ahead is a state;
//! - memory: a delimiter.
//!
//! The dump itself says how texts are to be read: see [`session`](super::session).

use memchr::memchr;
use memchr::memchr2;

use crate::base::num::usize_of;
use crate::parse::sql::session::Escapes;
use crate::parse::sql::session::Reading;
use crate::parse::sql::session::Wide;

/// The longest delimiter; a longer one is not taken.
const DELIMITER_BYTES_MAX: usize = 16;

/// Bytes of `/*M!` and a version.
const VERSION_BYTES_MAX: usize = 10;

/// The client's command that sets it.
const COMMAND: &[u8] = b"delimiter";

/// The event at which the lexer stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A statement begins, this many bytes before the end of what was shown.
    Begins(usize),
    /// A statement ended, with its delimiter and the rest of the line if that is blank.
    Ended,
    /// A comment between statements ended, with its line.
    Comment,
    /// Nothing more is in the piece.
    Nothing,
}

/// The state of the lexer between two bytes of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two statements, or before the first.
    Gap(Gap),
    /// In the first word of a statement, which may be `DELIMITER` so far.
    Command(usize),
    /// After the word `DELIMITER`, on its line.
    Delimiter,
    /// In a statement, after this many bytes of its delimiter.
    Code(usize),
    /// In a statement, after the start of what may be a comment.
    Mark(Mark),
    Comment(Comment),
    Quoted(u8),
    /// After a backslash in a string.
    Escaped(u8),
    /// After what may be the first half of a character in a string.
    Half(u8, Wide),
    /// After the delimiter, on its line.
    After,
}

/// The state between two bytes that are between statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// Blanks, tabs and line ends.
    Blank,
    Comment(Comment),
    /// After the start of what may be a comment.
    Mark(Mark),
    /// This many bytes into `/*!` or `/*M!` and the digits after it.
    Version(usize),
    /// After a backslash there.
    Escape,
}

/// The characters that may become a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Dash,
    Dashes,
    Slash,
    /// `/*`, which begins a comment unless `!` or `M!` follows.
    Star,
    StarM,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comment {
    Line,
    Block,
    /// After a `*` in a block.
    BlockStar,
}

/// Follows the statements of one dump as the `mysql` client does.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    reading: Reading,
    delimiter: Vec<u8>,
    /// The delimiter that is being read, and whether it is too long.
    next_delimiter: Vec<u8>,
    /// True if the client was given a command, such as `\!`, since that was last asked.
    has_command: bool,
    /// Bytes of code that need a look.
    special: Box<[bool; 256]>,
}

impl Lexer {
    pub(super) fn new(reading: Reading) -> Self {
        let mut lexer = Self {
            state: State::Gap(Gap::Blank),
            reading,
            has_command: false,
            delimiter: Vec::new(),
            next_delimiter: Vec::new(),
            special: Box::new([false; 256]),
        };
        lexer.set_delimiter(b";");
        lexer
    }

    /// Tells whether the dump so far ends between two statements.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Gap(Gap::Blank | Gap::Comment(Comment::Line)) | State::After)
    }

    /// Tells whether it ends inside a quoted value.
    pub(super) fn is_quoted(&self) -> bool {
        matches!(self.state, State::Quoted(_) | State::Escaped(_) | State::Half(..))
    }

    /// Tells whether statements end with something else than `;` now.
    pub(super) fn has_own_delimiter(&self) -> bool {
        self.delimiter != b";"
    }

    /// Returns a statement without what ends it.
    pub(super) fn without_delimiter<'s>(&self, statement: &'s [u8]) -> &'s [u8] {
        let text = statement.trim_ascii();
        text.strip_suffix(self.delimiter.as_slice()).unwrap_or(text)
    }

    /// Says how texts are read from here on, between two statements.
    pub(super) fn read_texts(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// Tells whether a backslash stood outside of strings and comments since the last call.
    pub(super) fn take_command(&mut self) -> bool {
        std::mem::take(&mut self.has_command)
    }

    /// Returns to the gap between two statements: what seemed to be a statement was none.
    pub(super) fn leave_statement(&mut self) {
        self.state = State::Gap(Gap::Blank);
    }

    /// Goes on to the next event; returns how many bytes stand before it.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Event) {
        let mut at = 0;
        let nothing = (bytes.len(), Event::Nothing);
        while let Some(byte) = bytes.get(at).copied() {
            let rest = &bytes[at..];
            match self.state {
                State::Code(0) => {
                    let Some(skipped) = self.skip_values(rest) else { return nothing };
                    at += skipped + 1;
                    self.code(rest[skipped]);
                }
                State::Quoted(quote) => match end_of_text(rest, quote, self.reading) {
                    None => return nothing,
                    Some(end) => {
                        at += end + 1;
                        self.state = self.in_text(quote, rest[end]);
                    }
                },
                State::Half(quote, wide) => {
                    at += usize::from(wide.ends(byte));
                    self.state = State::Quoted(quote);
                }
                State::Escaped(quote) => {
                    at += 1;
                    self.state = State::Quoted(quote);
                }
                State::Code(_) => {
                    at += 1;
                    self.code(byte);
                }
                State::Comment(comment) => {
                    let (count, after) = skip_comment(rest, comment);
                    at += count;
                    self.state = after.map_or(State::Code(0), State::Comment);
                }
                State::Mark(mark) => match mark.followed_by(byte) {
                    Marked::More(mark) => {
                        at += 1;
                        self.state = State::Mark(mark);
                    }
                    Marked::Comment(comment) => self.state = State::Comment(comment),
                    Marked::Code => self.state = State::Code(0),
                },
                State::After => match byte {
                    b' ' | b'\t' | b'\r' => at += 1,
                    b'\n' => {
                        self.state = State::Gap(Gap::Blank);
                        return (at + 1, Event::Ended);
                    }
                    _ => {
                        self.state = State::Gap(Gap::Blank);
                        return (at, Event::Ended);
                    }
                },
                State::Gap(gap) => {
                    let (count, event) = self.gap(gap, rest);
                    at += count;
                    if let Some(event) = event {
                        return (at, event);
                    }
                }
                State::Command(_) | State::Delimiter => {
                    let (count, event) = self.command(rest);
                    at += count;
                    if let Some(event) = event {
                        return (at, event);
                    }
                }
            }
        }
        (at, Event::Nothing)
    }

    /// Skips code and the texts in it that end in the piece, which is nearly all of a dump, without
    /// a change of state; where something else begins.
    fn skip_values(&self, bytes: &[u8]) -> Option<usize> {
        let is_usual = self.reading.escapes != Escapes::Nowhere
            && self.reading.wide.is_none()
            && self.delimiter.first() != Some(&b'\'');
        let mut at = 0;
        loop {
            at += bytes[at..].iter().position(|byte| self.special[usize::from(*byte)])?;
            if bytes[at] != b'\'' || !is_usual {
                return Some(at);
            }
            match whole_text(&bytes[at + 1..]) {
                Some(text) => at += 1 + text,
                None => return Some(at),
            }
        }
    }

    /// Returns the state after a byte of a text that `end_of_text` stopped at.
    fn in_text(&self, quote: u8, byte: u8) -> State {
        match (byte, self.reading.wide) {
            (byte, _) if byte == quote => State::Code(0),
            (b'\\', _) | (_, None) => State::Escaped(quote),
            (_, Some(wide)) => State::Half(quote, wide),
        }
    }

    /// Takes a byte of code that may end the statement or begin something else.
    fn code(&mut self, byte: u8) {
        let State::Code(matched) = self.state else { return };
        let matched = self.extend_match(matched, byte);
        if matched == self.delimiter.len() {
            self.state = State::After;
            return;
        }
        self.state = match byte {
            _ if matched > 0 => State::Code(matched),
            b'\'' | b'"' | b'`' => State::Quoted(byte),
            b'-' => State::Mark(Mark::Dash),
            b'/' => State::Mark(Mark::Slash),
            b'#' => State::Comment(Comment::Line),
            b'\\' => {
                self.has_command = true;
                State::Code(0)
            }
            _ => State::Code(0),
        };
    }

    /// Returns how much of the delimiter stands before the next byte.
    fn extend_match(&self, matched: usize, byte: u8) -> usize {
        let mut seen = self.delimiter[..matched].to_vec();
        seen.push(byte);
        let longest = (1..=seen.len()).rev();
        longest.into_iter().find(|count| seen.ends_with(&self.delimiter[..*count])).unwrap_or(0)
    }

    /// Reads between statements: blanks, comments, then the first byte of a statement.
    fn gap(&mut self, gap: Gap, rest: &[u8]) -> (usize, Option<Event>) {
        let (count, next, event) = match gap {
            Gap::Blank => {
                let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                let count = rest.iter().take_while(|byte| blank(byte)).count();
                match rest.get(count) {
                    None => (count, State::Gap(Gap::Blank), None),
                    Some(b'-') => (count + 1, State::Gap(Gap::Mark(Mark::Dash)), None),
                    Some(b'/') => (count + 1, State::Gap(Gap::Mark(Mark::Slash)), None),
                    Some(b'#') => (count + 1, State::Gap(Gap::Comment(Comment::Line)), None),
                    Some(_) => (count, State::Command(0), Some(Event::Begins(0))),
                }
            }
            Gap::Comment(comment) => {
                let (count, after) = skip_comment(rest, comment);
                let ended = after.is_none().then_some(Event::Comment);
                (count, State::Gap(after.map_or(Gap::Blank, Gap::Comment)), ended)
            }
            Gap::Mark(mark) => match mark.followed_by(rest[0]) {
                Marked::More(mark) => (1, State::Gap(Gap::Mark(mark)), None),
                Marked::Comment(comment) => (0, State::Gap(Gap::Comment(comment)), None),
                Marked::Code if matches!(mark, Mark::Star | Mark::StarM) => {
                    (1, State::Gap(Gap::Version(mark.bytes() + 1)), None)
                }
                Marked::Code => (0, State::Code(0), Some(Event::Begins(mark.bytes()))),
            },
            Gap::Version(seen) => match rest[0] {
                b'0'..=b'9' if seen < VERSION_BYTES_MAX => {
                    (1, State::Gap(Gap::Version(seen + 1)), None)
                }
                b'\\' => (1, State::Gap(Gap::Escape), None),
                _ => (0, State::Code(0), Some(Event::Begins(seen))),
            },
            // `/*M!999999\- enable the sandbox mode */` is for the client alone. Other commands
            // can be given to it in the same way.
            Gap::Escape => {
                self.has_command |= rest[0] != b'-';
                (0, State::Gap(Gap::Comment(Comment::Block)), None)
            }
        };
        self.state = next;
        (count, event)
    }

    /// Reads the first word of a statement, and what follows `DELIMITER`.
    fn command(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let byte = rest[0];
        if let State::Command(matched) = self.state {
            let expected = COMMAND.get(matched).copied();
            self.state = match expected {
                Some(expected) if byte.eq_ignore_ascii_case(&expected) => {
                    State::Command(matched + 1)
                }
                None if matches!(byte, b' ' | b'\t') => {
                    self.next_delimiter.clear();
                    State::Delimiter
                }
                // Looked at again, as code.
                _ => State::Code(0),
            };
            let looked_again = self.state == State::Code(0);
            return (usize::from(!looked_again), None);
        }
        if byte != b'\n' {
            if self.next_delimiter.len() <= DELIMITER_BYTES_MAX {
                self.next_delimiter.push(byte);
            }
            return (1, None);
        }
        let next = std::mem::take(&mut self.next_delimiter);
        let next = next.trim_ascii();
        if (1..=DELIMITER_BYTES_MAX).contains(&next.len()) {
            self.set_delimiter(next);
        }
        self.state = State::Gap(Gap::Blank);
        (1, Some(Event::Ended))
    }

    fn set_delimiter(&mut self, delimiter: &[u8]) {
        self.delimiter = delimiter.to_vec();
        self.special.fill(false);
        for byte in b"'\"`-/#\\".iter().chain(delimiter.first()) {
            self.special[usize::from(*byte)] = true;
        }
    }
}

impl Mark {
    /// Returns what the mark turns out to be with the byte after it.
    fn followed_by(self, byte: u8) -> Marked {
        match (self, byte) {
            (Self::Dash, b'-') => Marked::More(Self::Dashes),
            (Self::Slash, b'*') => Marked::More(Self::Star),
            (Self::Star, b'M') => Marked::More(Self::StarM),
            (Self::Dashes, b' ' | b'\t' | b'\r' | b'\n') => Marked::Comment(Comment::Line),
            (Self::Star | Self::StarM, byte) if byte != b'!' => Marked::Comment(Comment::Block),
            (Self::Dash | Self::Dashes | Self::Slash | Self::Star | Self::StarM, _) => Marked::Code,
        }
    }

    /// Returns the number of bytes that the mark is made of.
    fn bytes(self) -> usize {
        match self {
            Self::Dash | Self::Slash => 1,
            Self::Dashes | Self::Star => 2,
            Self::StarM => 3,
        }
    }
}

/// The meaning that a mark turned out to have.
enum Marked {
    /// Still open, with this byte.
    More(Mark),
    /// A comment, of which this byte is the first.
    Comment(Comment),
    /// No comment, and this byte is code.
    Code,
}

/// Returns the bytes of a comment, and what goes on after them; `None` if it ends there.
fn skip_comment(rest: &[u8], comment: Comment) -> (usize, Option<Comment>) {
    match comment {
        Comment::Line => match memchr(b'\n', rest) {
            Some(end) => (end + 1, None),
            None => (rest.len(), Some(Comment::Line)),
        },
        Comment::Block => match memchr(b'*', rest) {
            Some(end) => (end + 1, Some(Comment::BlockStar)),
            None => (rest.len(), Some(Comment::Block)),
        },
        Comment::BlockStar => match rest[0] {
            b'/' => (1, None),
            b'*' => (1, Some(Comment::BlockStar)),
            _ => (1, Some(Comment::Block)),
        },
    }
}

/// Returns the bytes of a text in single quotes, with its end; `None` if that is not in the piece.
fn whole_text(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += find_either(b'\'', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'\'' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Bytes of text that are looked at eight by eight: most values of a dump are short, and a call of
/// `memchr` costs more than they do.
const SHORT_TEXT_BYTES: usize = 128;

/// Returns where the first of two bytes stands.
fn find_either(one: u8, other: u8, bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(SHORT_TEXT_BYTES));
    let (eights, rest) = near.as_chunks();
    for (number, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let found = marks(eight, one) | marks(eight, other);
        if found != 0 {
            return Some(
                number * size_of_val(&eight) + usize_of((found.trailing_zeros() / u8::BITS).into()),
            );
        }
    }
    let seen = near.len() - rest.len();
    let found = rest.iter().position(|byte| *byte == one || *byte == other);
    found.map(|end| seen + end).or_else(|| Some(near.len() + memchr2(one, other, far)?))
}

/// Marks the highest bit of the first byte of eight that is `byte`, and maybe of some after it.
fn marks(eight: u64, byte: u8) -> u64 {
    const LOWEST: u64 = u64::MAX / 0xff;
    let differs = eight ^ (LOWEST * u64::from(byte));
    differs.wrapping_sub(LOWEST) & !differs & (LOWEST << 7)
}

/// Returns where a quoted text ends, has a backslash that counts, or a character of two bytes.
fn end_of_text(rest: &[u8], quote: u8, reading: Reading) -> Option<usize> {
    let escapes = match reading.escapes {
        Escapes::Texts => quote != b'`',
        Escapes::SingleQuoted => quote == b'\'',
        Escapes::Nowhere => false,
    };
    let escape = if escapes { b'\\' } else { quote };
    if let Some(wide) = reading.wide {
        let counts = |byte: &u8| *byte == quote || *byte == escape || wide.begins(*byte);
        return rest.iter().position(counts);
    }
    find_either(quote, escape, rest)
}
