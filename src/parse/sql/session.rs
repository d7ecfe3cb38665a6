//! The settings for reading a dump's own texts: what it says of `SQL_MODE` and of character sets.
//!
//! A dump that was made in gbk has characters whose second byte is a backslash, and the body of a
//! trigger is written in the mode that the trigger was made in, where a backslash may be a letter.
//! A reader that misreads one text takes the rest of the dump for something else.
//!
//! Invariants:
//! - a setting that is put back from a variable is the one before the last that was stated: the
//!   dump tools save, state and put back, never two deep.
//!
//! It does not ask the server's default mode: the dump tools read with an empty one.

use crate::parse::sql::statement::Token;
use crate::parse::sql::statement::Tokens;

/// Tokens of a `SET` that are looked at.
const TOKENS_MAX: usize = 64;

/// In which texts a backslash takes the meaning from the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// In those in quotes of either kind.
    Texts,
    /// In those in single quotes: `ANSI_QUOTES` makes the others names.
    SingleQuoted,
    /// In no texts, with `NO_BACKSLASH_ESCAPES`.
    Nowhere,
}

/// A character set in which a quote or a backslash may be the second byte of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    Big5,
    Gbk,
    Sjis,
}

/// The settings with which texts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) escapes: Escapes,
    /// `None` for all sets in which bytes below 128 are always characters.
    pub(super) wide: Option<Wide>,
}

impl Reading {
    /// The settings at the beginning of a dump.
    pub(super) const FIRST: Self = Self { escapes: Escapes::Texts, wide: None };
    /// The settings for a dump of `SQLite`, throughout.
    pub(super) const STANDARD: Self = Self { escapes: Escapes::Nowhere, wide: None };
}

/// The settings at a point of a dump.
#[derive(Debug)]
pub(super) struct Session {
    now: Reading,
    before: Reading,
}

impl Session {
    pub(super) fn new(first: Reading) -> Self {
        Self { now: first, before: first }
    }

    /// Returns how texts are read now.
    pub(super) fn reading(&self) -> Reading {
        self.now
    }

    /// Takes a statement; returns how texts after it are read.
    pub(super) fn statement(&mut self, statement: &[u8]) -> Reading {
        let mut tokens = Tokens(statement).take(TOKENS_MAX);
        let is_set = |token: &Token| matches!(token, Token::Word(word, _) if word == b"SET");
        if tokens.next().as_ref().is_some_and(is_set) {
            let tokens: Vec<Token> = tokens.collect();
            if let [Token::Word(word, _), value, ..] = tokens.as_slice()
                && word == b"NAMES"
            {
                self.set_charset(value);
            }
            for three in tokens.windows(3) {
                let [Token::Word(variable, _), Token::Sign(b'='), value] = three else { continue };
                match without_scope(variable) {
                    b"SQL_MODE" => self.set_mode(value),
                    b"CHARACTER_SET_CLIENT" => self.set_charset(value),
                    _ => {}
                }
            }
        }
        self.now
    }

    fn set_mode(&mut self, value: &Token) {
        if is_variable(value) {
            self.now.escapes = self.before.escapes;
            return;
        }
        let (Token::Text(modes) | Token::Double(modes)) = value else { return };
        let modes = modes.to_ascii_uppercase();
        let has = |mode: &[u8]| modes.split(|byte| *byte == b',').any(|one| one == mode);
        self.before.escapes = self.now.escapes;
        self.now.escapes = if has(b"NO_BACKSLASH_ESCAPES") {
            Escapes::Nowhere
        } else if has(b"ANSI_QUOTES") || has(b"ANSI") {
            Escapes::SingleQuoted
        } else {
            Escapes::Texts
        };
    }

    fn set_charset(&mut self, value: &Token) {
        if is_variable(value) {
            self.now.wide = self.before.wide;
            return;
        }
        let (Token::Word(_, name) | Token::Text(name) | Token::Double(name)) = value else {
            return;
        };
        self.before.wide = self.now.wide;
        self.now.wide = match name.to_ascii_lowercase().as_slice() {
            b"big5" => Some(Wide::Big5),
            b"gbk" | b"gb18030" => Some(Wide::Gbk),
            b"sjis" | b"cp932" => Some(Wide::Sjis),
            _ => None,
        };
    }
}

impl Wide {
    /// Tells whether a byte may be the first of two.
    pub(super) fn begins(self, byte: u8) -> bool {
        match self {
            Self::Big5 => matches!(byte, 0xa1..=0xf9),
            Self::Gbk => matches!(byte, 0x81..=0xfe),
            Self::Sjis => matches!(byte, 0x81..=0x9f | 0xe0..=0xfc),
        }
    }

    /// Tells whether a byte may be the second of two.
    pub(super) fn ends(self, byte: u8) -> bool {
        match self {
            Self::Big5 => matches!(byte, 0x40..=0x7e | 0xa1..=0xfe),
            Self::Gbk => matches!(byte, 0x40..=0x7e | 0x80..=0xfe),
            Self::Sjis => matches!(byte, 0x40..=0x7e | 0x80..=0xfc),
        }
    }
}

fn is_variable(value: &Token) -> bool {
    matches!(value, Token::Word(word, _) if word.starts_with(b"@"))
}

fn without_scope(variable: &[u8]) -> &[u8] {
    let bare = variable.strip_prefix(b"@@").unwrap_or(variable);
    bare.strip_prefix(b"SESSION.").unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dumps_set_is_followed_and_put_back() {
        let mut session = Session::new(Reading::FIRST);
        let reading = |escapes, wide| Reading { escapes, wide };
        for (statement, expected) in [
            ("/*!40101 SET NAMES gbk */;", reading(Escapes::Texts, Some(Wide::Gbk))),
            (
                "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;",
                reading(Escapes::Texts, Some(Wide::Gbk)),
            ),
            ("/*!50003 SET character_set_client  = utf8mb4 */ ;", reading(Escapes::Texts, None)),
            ("INSERT INTO `t` VALUES ('SQL_MODE');", reading(Escapes::Texts, None)),
            ("/*!50003 SET @saved_sql_mode = @@sql_mode */ ;", reading(Escapes::Texts, None)),
            (
                "/*!50003 SET sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES' */ ;",
                reading(Escapes::Nowhere, None),
            ),
            ("/*!50003 SET sql_mode = @saved_sql_mode */ ;", reading(Escapes::Texts, None)),
            ("SET @@session.sql_mode = 'ANSI_QUOTES';", reading(Escapes::SingleQuoted, None)),
            (
                "/*!50003 SET character_set_client = @saved_cs_client */ ;",
                reading(Escapes::SingleQuoted, Some(Wide::Gbk)),
            ),
            ("SET NAMES 'cp932';", reading(Escapes::SingleQuoted, Some(Wide::Sjis))),
        ] {
            assert_eq!(session.statement(statement.as_bytes()), expected, "{statement}");
        }
    }
}
