//! Rewrites the schema that a statement of a dump is about.
//!
//! The dump programs write a schema's name where a schema is made, altered or entered, before the
//! name of an object, and where a table refers to another. There it is rewritten. Anywhere else a
//! name may be one of an alias or a column, or part of a text that is run as a statement: such a
//! statement is left out, or refused if others make no sense without it.
//!
//! Invariants:
//! - no statement that comes out names the old schema where a server would look for one, except
//!   that a row's values may hold anything;
//! - memory: the statement.

use std::ops::Range;

use crate::parse::sql::session::Escapes;
use crate::parse::sql::session::Reading;
use crate::parse::sql::statement::Token;
use crate::parse::sql::statement::Tokens;

/// Tokens in which the name of what a statement is about stands.
const HEAD_TOKENS_MAX: usize = 64;

/// From which schema to which.
#[derive(Debug, Clone)]
pub(super) struct Rename {
    /// Name of the schema in the dump.
    pub(super) from: Vec<u8>,
    /// Name of the schema in the statements that come out.
    pub(super) to: Vec<u8>,
}

/// The outcome of renaming a schema in a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    /// The statement does not name the schema.
    Same,
    /// The statement names the schema, and this takes its place.
    Changed(Vec<u8>),
    /// The statement is left out, for this reason.
    LeftOut(String),
    /// The statement can't be rewritten, for this reason, and what follows makes no sense without
    /// it.
    Impossible(String),
}

/// The effect of a statement, as far as names of schemas go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It has none but settings and the client's commands.
    Nameless,
    /// It names a schema, after this token.
    Schema(usize),
    /// Every name that stands before a point is one of a schema.
    Names,
    /// Rows: only the table's name is looked at.
    Rows,
    /// Makes a table, whose name stands there.
    Table(usize),
    /// Makes a view, whose name stands there.
    View(usize),
    /// Makes what holds a program: its name there, and where the program begins.
    Program(usize, usize),
    /// None of these; it is left out if it mentions the schema.
    Other,
}

/// A token and where it stands.
pub(super) type Spanned = (Token, Range<usize>);

/// Tells whether a statement drops a whole schema.
pub(super) fn drops_schema(statement: &[u8]) -> bool {
    let mut tokens = Tokens(statement);
    let mut is_one = |words: &[&[u8]]| is_word(tokens.next().as_ref(), words);
    is_one(&[b"DROP"]) && is_one(&[b"DATABASE", b"SCHEMA"])
}

/// Tells whether a statement that begins like this is one of rows.
pub(super) fn is_rows(head: &[u8]) -> bool {
    let first = Tokens(head).next();
    matches!(first, Some(Token::Word(word, _)) if matches!(&word[..], b"INSERT" | b"REPLACE"))
}

impl Rename {
    /// Rewrites a statement, or the head of one of rows.
    pub(super) fn apply(&self, statement: &[u8], reading: Reading) -> Renamed {
        let head = Scan::new(statement, 0).take(HEAD_TOKENS_MAX).collect::<Vec<_>>();
        let manner = manner(&head);
        let (names, what) = match manner {
            Manner::Nameless => return Renamed::Same,
            Manner::Schema(at) => return self.schema(statement, &head, at),
            Manner::Rows => (self.in_rows(&head), "a table"),
            Manner::Program(name, body) => return self.program(statement, &head, name, body),
            Manner::Other => {
                return if self.is_mentioned(statement) {
                    Renamed::LeftOut(self.described("a statement", &head, 0))
                } else {
                    Renamed::Same
                };
            }
            Manner::Names | Manner::Table(_) | Manner::View(_) if is_odd(reading) => {
                let is_plain = !self.is_mentioned(statement);
                let outcome = Renamed::Impossible(self.described("a statement", &head, 0));
                return if is_plain { Renamed::Same } else { outcome };
            }
            Manner::Names => (self.references(statement, &|_| true), "a statement"),
            Manner::Table(at) => (self.in_table(statement, &head, at), "table"),
            Manner::View(at) => {
                let name = start_of(&head, at);
                (self.references(statement, &|place| Some(place.start) == name), "view")
            }
        };
        match names {
            Some(names) => self.replaced(statement, &names),
            None if what == "view" => {
                let Manner::View(at) = manner else { return Renamed::Same };
                Renamed::LeftOut(self.described(what, &head, at))
            }
            None => {
                let at = if let Manner::Table(at) = manner { at } else { 0 };
                Renamed::Impossible(self.described(what, &head, at))
            }
        }
    }

    /// Rewrites `USE`, `CREATE DATABASE` and `ALTER DATABASE`.
    fn schema(&self, statement: &[u8], head: &[Spanned], at: usize) -> Renamed {
        match head.get(at) {
            Some((token, place)) if name_of(token) == Some(&self.from) => {
                self.replaced(statement, std::slice::from_ref(place))
            }
            // `ALTER DATABASE CHARACTER SET` is about the schema that was entered.
            Some((Token::Word(word, _), _)) if matches!(&word[..], b"CHARACTER" | b"DEFAULT") => {
                Renamed::Same
            }
            _ => Renamed::Impossible(
                "it names another schema than the one that was asked for".into(),
            ),
        }
    }

    /// Finds the schema of the name after the first `INTO`.
    fn in_rows(&self, head: &[Spanned]) -> Option<Vec<Range<usize>>> {
        let into = |(token, _): &Spanned| matches!(token, Token::Word(word, _) if word == b"INTO");
        let at = head.iter().position(into)? + 1;
        let Some(found) = self.qualified(None, head.get(at)?, head.get(at + 1)) else {
            return Some(Vec::new());
        };
        found.is_exact.then(|| vec![found.place])
    }

    fn in_table(&self, statement: &[u8], head: &[Spanned], at: usize) -> Option<Vec<Range<usize>>> {
        let name = start_of(head, at);
        self.references(statement, &|place| Some(place.start) == name || place.is_of_table)
    }

    /// Returns where the schema is named, if all of it is in places that `allowed` takes; else
    /// `None`.
    fn references(
        &self,
        statement: &[u8],
        allowed: &dyn Fn(&Place) -> bool,
    ) -> Option<Vec<Range<usize>>> {
        let mut found = Vec::new();
        let mut context = Context::default();
        let mut tokens = Scan::new(statement, 0).peekable();
        while let Some(token) = tokens.next() {
            if let Some(name) = self.qualified(context.last.as_ref(), &token, tokens.peek()) {
                let place = Place { start: name.place.start, is_of_table: context.is_of_table() };
                if !name.is_exact || !allowed(&place) {
                    return None;
                }
                found.push(name.place);
            }
            context.pass(token.0);
        }
        Some(found)
    }

    fn program(&self, statement: &[u8], head: &[Spanned], name: usize, body: usize) -> Renamed {
        let begins = start_of(head, body).unwrap_or(statement.len());
        if self.is_mentioned(&statement[begins..]) {
            return Renamed::LeftOut(self.described("a program", head, name));
        }
        let mut names = Vec::new();
        for at in name..body.min(head.len()) {
            let before = at.checked_sub(1).map(|at| &head[at].0);
            match self.qualified(before, &head[at], head.get(at + 1)) {
                Some(found) if found.is_exact => names.push(found.place),
                Some(_) => return Renamed::LeftOut(self.described("a program", head, name)),
                None => {}
            }
        }
        self.replaced(statement, &names)
    }

    /// Returns the schema's name before a point, if this token is it.
    fn qualified(
        &self,
        before: Option<&Token>,
        (token, place): &Spanned,
        behind: Option<&Spanned>,
    ) -> Option<Found> {
        let is_behind_point = match before {
            Some(Token::Sign(sign)) => *sign == b'.',
            Some(Token::Word(_, word)) => word.ends_with(b"."),
            _ => false,
        };
        if is_behind_point {
            return None;
        }
        let is_before_point = matches!(behind, Some((Token::Sign(b'.'), _)));
        let (name, length) = match token {
            Token::Word(_, word) => {
                let point = word.iter().position(|byte| *byte == b'.');
                let end = point.or_else(|| is_before_point.then_some(word.len()))?;
                (&word[..end], end)
            }
            Token::Quoted(name) | Token::Double(name) if is_before_point => {
                (name.as_slice(), place.len())
            }
            Token::Quoted(_) | Token::Double(_) | Token::Text(_) | Token::Sign(_) => return None,
        };
        name.eq_ignore_ascii_case(&self.from).then(|| Found {
            place: place.start..place.start + length,
            is_exact: name == self.from,
        })
    }

    /// Tells whether the schema's name may stand anywhere as a word of its own.
    fn is_mentioned(&self, text: &[u8]) -> bool {
        let is_of_word = |byte: &u8| {
            byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || !byte.is_ascii()
        };
        let alone = |from: usize, to: usize| {
            let before = from.checked_sub(1).and_then(|at| text.get(at));
            !before.is_some_and(is_of_word) && !text.get(to).is_some_and(is_of_word)
        };
        let length = self.from.len();
        let stands = |(at, part): (usize, &[u8])| {
            part.eq_ignore_ascii_case(&self.from) && alone(at, at + length)
        };
        // In a name in quotes a quote is written twice, which no search for the name finds.
        self.from.iter().any(|byte| b"`'\"\\".contains(byte))
            || text.windows(length).enumerate().any(stands)
    }

    fn replaced(&self, statement: &[u8], names: &[Range<usize>]) -> Renamed {
        if names.is_empty() || self.from == self.to {
            return Renamed::Same;
        }
        let mut out = Vec::with_capacity(statement.len() + names.len() * (self.to.len() + 2));
        let mut at = 0;
        for name in names {
            out.extend_from_slice(&statement[at..name.start]);
            quote(&self.to, &mut out);
            at = name.end;
        }
        out.extend_from_slice(&statement[at..]);
        Renamed::Changed(out)
    }

    /// Says for people what can't be rewritten; its name stands at a token of its head.
    fn described(&self, what: &str, head: &[Spanned], at: usize) -> String {
        let kind = match head.get(at.wrapping_sub(1)) {
            Some((Token::Word(word, _), _)) if what == "a program" => {
                String::from_utf8_lossy(word).to_ascii_lowercase()
            }
            _ => what.to_owned(),
        };
        let last = match head.get(at..) {
            Some([_, (Token::Sign(b'.'), _), (token, _), ..] | [(token, _), ..]) if at > 0 => token,
            _ => &Token::Sign(0),
        };
        let quoted = |name: &[u8]| format!(" '{}'", String::from_utf8_lossy(name));
        let name = match last {
            Token::Word(_, word) => {
                quoted(word.rsplit(|byte| *byte == b'.').next().unwrap_or_default())
            }
            Token::Quoted(name) | Token::Double(name) => quoted(name),
            Token::Text(_) | Token::Sign(_) => String::new(),
        };
        let schema = String::from_utf8_lossy(&self.from);
        format!("{kind}{name} names schema '{schema}' where that can't be rewritten safely")
    }
}

/// A name of the schema.
struct Found {
    place: Range<usize>,
    /// Letter by letter: to some servers names in capitals are others.
    is_exact: bool,
}

/// The position of a name.
struct Place {
    start: usize,
    /// Only the name of a table or a sequence can stand there.
    is_of_table: bool,
}

/// The context of a name in the definition of a table.
#[derive(Debug, Default)]
struct Context {
    last: Option<Token>,
    before_last: Option<Token>,
    /// In the list of tables of a merged one.
    in_union: bool,
}

impl Context {
    fn pass(&mut self, token: Token) {
        if token == Token::Sign(b')') {
            self.in_union = false;
        }
        self.in_union |= token == Token::Sign(b'(')
            && self.last == Some(Token::Sign(b'='))
            && is_word(self.before_last.as_ref(), &[b"UNION"]);
        self.before_last = self.last.replace(token);
    }

    fn is_of_table(&self) -> bool {
        const SEQUENCE: &[&[u8]] = &[b"NEXTVAL", b"LASTVAL", b"SETVAL"];
        self.in_union
            || is_word(self.last.as_ref(), &[b"REFERENCES"])
            || (self.last == Some(Token::Sign(b'('))
                && is_word(self.before_last.as_ref(), SEQUENCE))
    }
}

fn is_word(token: Option<&Token>, words: &[&[u8]]) -> bool {
    matches!(token, Some(Token::Word(word, _)) if words.contains(&word.as_slice()))
}

fn manner(head: &[Spanned]) -> Manner {
    let word = |at: usize| match head.get(at) {
        Some((Token::Word(word, _), _)) => word.as_slice(),
        _ => b"",
    };
    match (word(0), word(1)) {
        (b"USE", _) => Manner::Schema(1),
        (b"CREATE", _) => making(head, &word),
        (b"ALTER", b"DATABASE" | b"SCHEMA") => Manner::Schema(2),
        (b"ALTER", b"TABLE" | b"SEQUENCE") => Manner::Table(behind(&word, 2)),
        (b"INSERT" | b"REPLACE", _) => Manner::Rows,
        (b"LOCK" | b"TRUNCATE" | b"ANALYZE", _)
        | (b"DO" | b"SELECT", b"SETVAL")
        | (
            b"DROP",
            b"TABLE" | b"VIEW" | b"SEQUENCE" | b"TRIGGER" | b"EVENT" | b"FUNCTION" | b"PROCEDURE"
            | b"PACKAGE",
        ) => Manner::Names,
        (b"SET" | b"DELIMITER" | b"UNLOCK" | b"COMMIT" | b"BEGIN" | b"START" | b"END", _) => {
            Manner::Nameless
        }
        _ => Manner::Other,
    }
}

fn making<'h>(head: &[Spanned], word: &dyn Fn(usize) -> &'h [u8]) -> Manner {
    for at in 1..head.len() {
        let name = behind(word, at + 1);
        return match word(at) {
            b"DATABASE" | b"SCHEMA" => Manner::Schema(name),
            b"TABLE" | b"SEQUENCE" => Manner::Table(name),
            b"VIEW" => Manner::View(name),
            b"TRIGGER" => {
                // The table is named after ON, and maybe its schema before a point.
                let on = (name..head.len()).find(|at| word(*at) == b"ON");
                let Some(on) = on else { return Manner::Other };
                let has_point = matches!(head.get(on + 2), Some((Token::Sign(b'.'), _)));
                Manner::Program(name, on + if has_point { 4 } else { 2 })
            }
            b"FUNCTION" | b"PROCEDURE" | b"PACKAGE" | b"EVENT" => {
                let has_point = matches!(head.get(name + 1), Some((Token::Sign(b'.'), _)));
                Manner::Program(name, name + if has_point { 3 } else { 1 })
            }
            _ => continue,
        };
    }
    Manner::Other
}

/// Returns where a name stands that `IF NOT EXISTS` may stand before.
fn behind<'h>(word: &dyn Fn(usize) -> &'h [u8], from: usize) -> usize {
    let mut at = from;
    while matches!(word(at), b"IF" | b"NOT" | b"EXISTS" | b"BODY") {
        at += 1;
    }
    at
}

fn start_of(head: &[Spanned], at: usize) -> Option<usize> {
    head.get(at).map(|(_, place)| place.start)
}

fn name_of(token: &Token) -> Option<&Vec<u8>> {
    match token {
        Token::Quoted(name) | Token::Double(name) | Token::Word(_, name) => Some(name),
        Token::Text(_) | Token::Sign(_) => None,
    }
}

/// Tells whether texts are read in another way than tokens are split here.
fn is_odd(reading: Reading) -> bool {
    reading.escapes == Escapes::Nowhere || reading.wide.is_some()
}

/// Writes a name in backticks.
pub(super) fn quote(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'`');
    for byte in name {
        out.push(*byte);
        if *byte == b'`' {
            out.push(b'`');
        }
    }
    out.push(b'`');
}

/// The tokens of a statement and where they stand.
pub(super) struct Scan<'s> {
    length: usize,
    tokens: Tokens<'s>,
}

impl<'s> Scan<'s> {
    /// Scans a statement from a byte on.
    pub(super) fn new(statement: &'s [u8], from: usize) -> Self {
        Scan { length: statement.len(), tokens: Tokens(&statement[from..]) }
    }
}

impl Iterator for Scan<'_> {
    type Item = Spanned;

    fn next(&mut self) -> Option<Spanned> {
        self.tokens.skip_blanks();
        let from = self.length - self.tokens.0.len();
        let token = self.tokens.next()?;
        Some((token, from..self.length - self.tokens.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(statement: &str) -> Renamed {
        let rename = Rename { from: b"shop".to_vec(), to: b"a`b".to_vec() };
        rename.apply(statement.as_bytes(), Reading::FIRST)
    }

    #[test]
    fn names_of_the_schema_are_rewritten_where_the_dump_programs_write_them() {
        for (statement, count) in [
            ("USE `shop`;", 1),
            ("USE shop;", 1),
            ("USE \"shop\";", 1),
            ("CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 CHARACTER SET x */;", 1),
            ("ALTER DATABASE `shop` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;", 1),
            ("DROP TABLE IF EXISTS `shop`.`orders`;", 1),
            ("DROP TABLE IF EXISTS `shop`;", 0),
            ("/*!50032 DROP TRIGGER IF EXISTS shop.t1 */;", 1),
            ("LOCK TABLES `shop`.`a` WRITE, `shop`.`b` READ, `shop` WRITE;", 2),
            ("INSERT INTO `shop`.`orders` (`shop`, `b`) VALUES ('`shop`.`orders`'),(`shop", 1),
            ("INSERT IGNORE INTO `orders` VALUES ('shop.x')", 0),
            ("/*!40000 ALTER TABLE `shop`.`orders` DISABLE KEYS */;", 1),
            ("CREATE TABLE `orders` (`shop` int COMMENT 'of shop.x', KEY `shop` (`shop`));", 0),
            ("CREATE TABLE `shop` (a int, FOREIGN KEY (a) REFERENCES `shop`.`x` (`a`));", 1),
            (
                "CREATE TABLE t (a int DEFAULT nextval(`shop`.`s1`), b int AS (lastval(`shop`.s)))",
                2,
            ),
            ("CREATE TABLE t (a int) UNION=(`shop`.`a`,`shop`.`b`);", 2),
            ("CREATE TABLE IF NOT EXISTS shop.t (a int);", 1),
            ("DO SETVAL(`shop`.`s1`, 1, 0);", 1),
            ("DO SETVAL(shop.s1, 1, 0);", 1),
            ("/*!50001 CREATE VIEW `v` AS SELECT 1 AS `shop` */;", 0),
            (
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`shop`@`%` SQL SECURITY \
                 DEFINER */\n/*!50001 VIEW `shop`.`v` AS select `o`.`shop` AS `a` from `o` */;",
                1,
            ),
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`shop`@`%`*/ /*!50003 TRIGGER `shop`.t2 AFTER \
                 INSERT ON `shop`.`orders` FOR EACH ROW SET @shops = 1 */;;",
                2,
            ),
            ("CREATE DEFINER=`r`@`h` FUNCTION `shop`.`f`() RETURNS int RETURN 1 ;;", 1),
            ("CREATE DEFINER=`r`@`h` PROCEDURE `f`(x int) SELECT 1 ;;", 0),
            ("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='shop' */;", 0),
            ("DELIMITER shop", 0),
            ("UPDATE `other`.`t` SET a = 1;", 0),
        ] {
            match renamed(statement) {
                Renamed::Same => assert_eq!(count, 0, "{statement}"),
                Renamed::Changed(out) => {
                    let out = String::from_utf8(out).unwrap();
                    assert_eq!(out.matches("`a``b`").count(), count, "{statement}: {out}");
                    let others = ["`shop`", "\"shop\"", "shop"];
                    let back = others.map(|name| out.replace("`a``b`", name));
                    assert!(back.contains(&statement.to_owned()), "{statement}: {out}");
                }
                other @ (Renamed::LeftOut(_) | Renamed::Impossible(_)) => {
                    panic!("{statement}: {other:?}")
                }
            }
        }
    }

    #[test]
    fn what_can_not_be_rewritten_is_named() {
        for (statement, words) in [
            (
                "CREATE TRIGGER t2 AFTER INSERT ON o FOR EACH ROW DELETE FROM shop.c;",
                "trigger 't2'",
            ),
            ("CREATE TRIGGER SHOP.t2 AFTER INSERT ON o FOR EACH ROW SET @a = 1;", "trigger"),
            ("CREATE PROCEDURE `p`() PREPARE s FROM 'DELETE FROM Shop.c';", "procedure 'p'"),
            (
                "CREATE FUNCTION `f`() RETURNS int RETURN (SELECT 1 FROM `shop` . c);",
                "function 'f'",
            ),
            ("CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO DROP DATABASE shop;", "event 'e'"),
            ("CREATE VIEW `v` AS select `shop`.`f`() AS `a`;", "view 'v'"),
            ("UPDATE `shop`.`t` SET a = 1;", "a statement"),
        ] {
            match renamed(statement) {
                Renamed::LeftOut(what) => {
                    assert!(what.starts_with(words) && what.contains("'shop'"), "{what}");
                }
                other @ (Renamed::Same | Renamed::Changed(_) | Renamed::Impossible(_)) => {
                    panic!("{statement}: {other:?}")
                }
            }
        }
        for (statement, words) in [
            ("CREATE TABLE `t` (a int, CHECK (`shop`.`f`(a)));", "table 't'"),
            ("CREATE TABLE `SHOP`.`t` (a int);", "table 't'"),
            ("USE `other`;", "another schema"),
            ("DROP TABLE `Shop`.`t`;", "a statement"),
        ] {
            match renamed(statement) {
                Renamed::Impossible(what) => assert!(what.contains(words), "{what}"),
                other @ (Renamed::Same | Renamed::Changed(_) | Renamed::LeftOut(_)) => {
                    panic!("{statement}: {other:?}")
                }
            }
        }
    }

    #[test]
    fn texts_that_are_read_in_another_way_are_searched_as_bytes() {
        let rename = Rename { from: b"shop".to_vec(), to: b"x".to_vec() };
        let odd = Reading { escapes: Escapes::Nowhere, wide: None };
        let table = |text: &str| rename.apply(text.as_bytes(), odd);
        assert_eq!(table("CREATE TABLE `t` (a int DEFAULT '\\' COMMENT ', b');"), Renamed::Same);
        let named = table("CREATE TABLE `t` (a text DEFAULT '\\', CHECK (shop.f(a)) COMMENT '');");
        assert!(matches!(named, Renamed::Impossible(_)), "{named:?}");
    }
}
