//! The subject of a statement, decided by its first words.
//!
//! Only statements that the dump tools write are known; any other stays where it stands.

use crate::parse::sql::section::Kind;
use crate::parse::sql::section::Name;

/// The meaning of a statement for the cutting of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// It belongs to the section that stands around it.
    Neutral,
    /// It may belong to what follows: a value is saved, something is dropped to be made again.
    Preface,
    /// Saves the session's settings: a dump begins.
    Saves,
    /// Puts them back: a dump ends.
    PutsBack,
    /// States the positions of replication.
    Replication,
    /// Is about users, roles, plugins and the like.
    System,
    /// Makes a schema of this name.
    CreatesDatabase(Name),
    /// Goes into a schema.
    Uses(Name),
    /// Is about a table, a sequence or a view.
    Object(Kind, Option<Name>, Name),
    Routine,
    Event,
}

/// The effect of a statement that a dump has to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// A statement that the dump programs write.
    Usual,
    /// Makes a table, view or sequence.
    Creates,
    /// Makes a function, a procedure or a package.
    CreatesRoutine,
    CreatesEvent,
    CreatesTrigger,
    /// Drops a table, view or sequence.
    Drops(Option<Name>, Name),
    Locks(Option<Name>, Name),
    Unlocks,
    /// Begins a transaction, with which a dump may begin.
    Begins,
    /// Ends a transaction, with which a dump may end.
    Commits,
    /// A statement, but none that they write.
    Unexpected,
    /// A command to the client.
    ClientCommand,
    /// Rows without the `INSERT` that they belong to.
    Rows,
    /// No statement at all.
    Text,
}

/// A word or sign of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// In capitals, and as it stands there.
    Word(Vec<u8>, Vec<u8>),
    /// A name in backticks, without them.
    Quoted(Vec<u8>),
    /// A string in single quotes, without them.
    Text(Vec<u8>),
    /// A string in double quotes, or a name in ANSI mode.
    Double(Vec<u8>),
    Sign(u8),
}

/// Tokens that are looked at.
const TOKENS_MAX: usize = 64;

/// Words with which the dump programs begin statements.
const USUAL: [&[u8]; 32] = [
    b"INSERT",
    b"SET",
    b"CREATE",
    b"DROP",
    b"ALTER",
    b"LOCK",
    b"UNLOCK",
    b"REPLACE",
    b"DELIMITER",
    b"USE",
    b"CHANGE",
    b"START",
    b"STOP",
    b"RESET",
    b"GRANT",
    b"REVOKE",
    b"INSTALL",
    b"UNINSTALL",
    b"FLUSH",
    b"COMMIT",
    b"BEGIN",
    b"IF",
    b"END",
    b"EXECUTE",
    b"PREPARE",
    b"DEALLOCATE",
    b"DO",
    b"SELECT",
    b"DELETE",
    b"TRUNCATE",
    b"PRAGMA",
    b"ANALYZE",
];

/// Words that begin all other statements of the servers.
const OTHER_STATEMENTS: [&[u8]; 42] = [
    b"BACKUP",
    b"BINLOG",
    b"CACHE",
    b"CALL",
    b"CHECK",
    b"CHECKSUM",
    b"CLONE",
    b"COMMENT",
    b"DECLARE",
    b"DESC",
    b"DESCRIBE",
    b"EXPLAIN",
    b"FOR",
    b"GET",
    b"HANDLER",
    b"IMPORT",
    b"KILL",
    b"LOAD",
    b"LOOP",
    b"OPEN",
    b"OPTIMIZE",
    b"PURGE",
    b"RELEASE",
    b"RENAME",
    b"REPAIR",
    b"REPEAT",
    b"RESIGNAL",
    b"RESTART",
    b"RETURN",
    b"ROLLBACK",
    b"SAVEPOINT",
    b"SHOW",
    b"SHUTDOWN",
    b"SIGNAL",
    b"TABLE",
    b"UPDATE",
    b"VACUUM",
    b"VALUES",
    b"WHILE",
    b"WITH",
    b"XA",
    b"MERGE",
];

/// Words that the client takes for itself at the beginning of a statement.
const CLIENT_COMMANDS: [&[u8]; 19] = [
    b"SYSTEM", b"SOURCE", b"TEE", b"NOTEE", b"PAGER", b"NOPAGER", b"EDIT", b"CONNECT", b"CHARSET",
    b"QUIT", b"EXIT", b"EGO", b"GO", b"CLEAR", b"PRINT", b"PROMPT", b"REHASH", b"STATUS", b"HELP",
];

/// Tells what a statement that begins with `head` is about, and what it does.
pub(super) fn classify(head: &[u8]) -> (Class, Act) {
    let tokens: Vec<Token> = Tokens(head).take(TOKENS_MAX).collect();
    match tokens.split_first() {
        Some((Token::Word(first, _), rest)) => (class(first, rest), act(first, rest)),
        Some((Token::Sign(b'('), _)) => (Class::Neutral, Act::Rows),
        // NULs and client commands are reported where they are looked for; the rest is nothing but
        // comments, and the delimiter.
        None | Some((Token::Sign(0 | b'\\'), _) | (Token::Sign(b';'), [])) => {
            (Class::Neutral, Act::Usual)
        }
        Some(_) => (Class::Neutral, Act::Text),
    }
}

fn act(first: &[u8], rest: &[Token]) -> Act {
    match first {
        b"DROP" if matches!(word(rest), b"TABLE" | b"VIEW" | b"SEQUENCE") => {
            let dropped = name(skip(&rest[1..], &[b"IF", b"EXISTS"]));
            dropped.map_or(Act::Usual, |(schema, name)| Act::Drops(schema, name))
        }
        b"CREATE" => {
            const MADE: [&[u8]; 3] = [b"TABLE", b"VIEW", b"SEQUENCE"];
            const OTHERS: [&[u8]; 6] =
                [b"TRIGGER", b"FUNCTION", b"PROCEDURE", b"PACKAGE", b"EVENT", b"INDEX"];
            let kinds = |word: &&[u8]| MADE.contains(word) || OTHERS.contains(word);
            match rest.iter().filter_map(as_word).find(kinds) {
                Some(b"TRIGGER") => Act::CreatesTrigger,
                Some(b"EVENT") => Act::CreatesEvent,
                Some(b"FUNCTION" | b"PROCEDURE" | b"PACKAGE") => Act::CreatesRoutine,
                Some(kind) if MADE.contains(&kind) => Act::Creates,
                Some(_) | None => Act::Usual,
            }
        }
        b"LOCK" => {
            let table = table_behind(rest, &[b"TABLES", b"TABLE"]);
            if let Class::Object(_, schema, name) = table {
                Act::Locks(schema, name)
            } else {
                Act::Usual
            }
        }
        b"UNLOCK" => Act::Unlocks,
        b"COMMIT" => Act::Commits,
        b"BEGIN" => Act::Begins,
        b"START" if word(rest) == b"TRANSACTION" => Act::Begins,
        _ if USUAL.contains(&first) => Act::Usual,
        _ if OTHER_STATEMENTS.contains(&first) => Act::Unexpected,
        _ if CLIENT_COMMANDS.contains(&first) => Act::ClientCommand,
        _ => Act::Text,
    }
}

fn class(first: &[u8], rest: &[Token]) -> Class {
    match first {
        b"CREATE" => create(rest),
        b"DROP" => drop_of(rest),
        b"INSERT" | b"REPLACE" => table_behind(rest, &[b"INTO"]),
        b"LOCK" => table_behind(rest, &[b"TABLES", b"TABLE"]),
        b"ALTER" => match word(rest) {
            b"TABLE" | b"SEQUENCE" => table_behind(rest, &[b"TABLE", b"SEQUENCE"]),
            b"USER" | b"ROLE" => Class::System,
            _ => Class::Neutral,
        },
        b"TRUNCATE" => table_behind(rest, &[b"TABLE"]),
        b"DO" | b"SELECT" if word(rest) == b"SETVAL" => table_behind(rest, &[b"("]),
        b"USE" => name(rest).map_or(Class::Neutral, |(_, name)| Class::Uses(name)),
        b"SET" => set(rest),
        b"CHANGE" if matches!(word(rest), b"MASTER" | b"REPLICATION") => Class::Replication,
        b"START" | b"STOP" if matches!(word(rest), b"SLAVE" | b"REPLICA" | b"ALL") => {
            Class::Replication
        }
        b"GRANT" | b"REVOKE" | b"INSTALL" => Class::System,
        b"DELIMITER" if rest != [Token::Sign(b';')] => Class::Preface,
        _ => Class::Neutral,
    }
}

fn create(rest: &[Token]) -> Class {
    for (at, token) in rest.iter().enumerate() {
        let Token::Word(word, _) = token else { continue };
        let behind = &rest[at + 1..];
        let object = |kind| {
            let name = name(skip(behind, &[b"IF", b"NOT", b"EXISTS"]));
            name.map_or(Class::Neutral, |(schema, name)| Class::Object(kind, schema, name))
        };
        return match word.as_slice() {
            b"DATABASE" | b"SCHEMA" => {
                let name = name(skip(behind, &[b"IF", b"NOT", b"EXISTS"]));
                name.map_or(Class::Neutral, |(_, name)| Class::CreatesDatabase(name))
            }
            b"TABLE" | b"SEQUENCE" => object(Kind::Table),
            // A placeholder is made in the plainest way, a view with all that it has.
            b"VIEW" => object(if at == 0 { Kind::Placeholder } else { Kind::View }),
            b"TRIGGER" => table_behind(behind, &[b"ON"]),
            b"FUNCTION" | b"PROCEDURE" | b"PACKAGE" => Class::Routine,
            b"EVENT" => Class::Event,
            b"USER" | b"ROLE" | b"SERVER" => Class::System,
            _ => continue,
        };
    }
    Class::Neutral
}

fn drop_of(rest: &[Token]) -> Class {
    match word(rest) {
        b"USER" | b"ROLE" | b"SERVER" => Class::System,
        b"TABLE" | b"VIEW" | b"SEQUENCE" | b"TRIGGER" | b"EVENT" | b"FUNCTION" | b"PROCEDURE"
        | b"PACKAGE" | b"DATABASE" | b"SCHEMA" => Class::Preface,
        _ => Class::Neutral,
    }
}

/// Variables that are saved and put back around each table, or each trigger.
const INNER: [&[u8]; 2] = [b"@OLD_AUTOCOMMIT", b"@OLD_SYSTEM_VERSIONING_INSERT_HISTORY"];

fn set(rest: &[Token]) -> Class {
    let words = || rest.iter().filter_map(as_word);
    let begins = |word: &[u8], start: &[u8]| word.starts_with(start);
    if words().any(|word| matches!(word, b"GTID_SLAVE_POS" | b"@@GLOBAL.GTID_PURGED")) {
        return Class::Replication;
    }
    let first = word(rest);
    if matches!(first, b"DEFAULT" | b"ROLE") {
        return Class::System;
    }
    if begins(first, b"@SAVE") {
        return Class::Preface;
    }
    if INNER.contains(&first) {
        return Class::Preface;
    }
    if begins(first, b"@OLD_") {
        return Class::Saves;
    }
    let saved = |word: &[u8]| {
        (begins(word, b"@OLD_") && !INNER.contains(&word)) || begins(word, b"@MYSQLDUMP_TEMP")
    };
    let puts_back = first != b"SESSION"
        && rest.windows(2).enumerate().any(|(at, pair)| match pair {
            [Token::Sign(b'='), Token::Word(value, _)] if value == b"IFNULL" => {
                rest.get(at + 3).and_then(as_word).is_some_and(saved)
            }
            [Token::Sign(b'='), Token::Word(value, _)] => saved(value),
            _ => false,
        });
    if puts_back { Class::PutsBack } else { Class::Neutral }
}

/// Returns the table whose name follows one of `words`.
fn table_behind(rest: &[Token], words: &[&[u8]]) -> Class {
    let is_one = |token: &Token| match token {
        Token::Word(word, _) => words.contains(&word.as_slice()),
        Token::Sign(sign) => words.contains(&&[*sign][..]),
        Token::Quoted(_) | Token::Text(_) | Token::Double(_) => false,
    };
    let Some(at) = rest.iter().position(is_one) else { return Class::Neutral };
    let behind = skip(&rest[at + 1..], &[b"IF", b"EXISTS"]);
    let found = name(behind);
    found.map_or(Class::Neutral, |(schema, name)| Class::Object(Kind::Table, schema, name))
}

/// Reads a name, with the schema before it if there is one.
fn name(tokens: &[Token]) -> Option<(Option<Name>, Name)> {
    let first = match tokens.first()? {
        Token::Quoted(name) | Token::Double(name) => name,
        Token::Word(_, word) => return bare_name(word),
        Token::Text(_) | Token::Sign(_) => return None,
    };
    match tokens.get(1..3) {
        Some([Token::Sign(b'.'), Token::Quoted(second) | Token::Double(second)]) => {
            Some((Some(Name::new(first)?), Name::new(second)?))
        }
        _ => Some((None, Name::new(first)?)),
    }
}

/// Reads a name without quotes, as people write them in triggers.
fn bare_name(word: &[u8]) -> Option<(Option<Name>, Name)> {
    match word.iter().position(|byte| *byte == b'.') {
        Some(dot) => Some((Some(Name::new(&word[..dot])?), Name::new(&word[dot + 1..])?)),
        None => Some((None, Name::new(word)?)),
    }
}

fn skip<'t>(mut tokens: &'t [Token], words: &[&[u8]]) -> &'t [Token] {
    while let Some((Token::Word(word, _), rest)) = tokens.split_first() {
        if !words.contains(&word.as_slice()) {
            break;
        }
        tokens = rest;
    }
    tokens
}

fn word(tokens: &[Token]) -> &[u8] {
    tokens.first().and_then(as_word).unwrap_or(b"")
}

fn as_word(token: &Token) -> Option<&[u8]> {
    match token {
        Token::Word(word, _) => Some(word),
        Token::Quoted(_) | Token::Text(_) | Token::Double(_) | Token::Sign(_) => None,
    }
}

/// The tokens of a statement; comments and what makes them executable are left out.
pub(super) struct Tokens<'h>(pub(super) &'h [u8]);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let first = *self.0.first()?;
        match first {
            b'`' | b'\'' | b'"' => self.quoted(first),
            _ if is_word(first) && first != b'.' => {
                let end = self.0.iter().position(|byte| !is_word(*byte));
                let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
                self.0 = rest;
                Some(Token::Word(word.to_ascii_uppercase(), word.to_vec()))
            }
            _ => {
                self.0 = &self.0[1..];
                Some(Token::Sign(first))
            }
        }
    }
}

impl Tokens<'_> {
    /// Skips blanks, comments, and what makes comments executable.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            self.0 = self.0.trim_ascii_start();
            match self.0 {
                [b'/', b'*', ..] => self.skip_comment(),
                [b'*', b'/', ..] => self.0 = &self.0[2..],
                [b'-', b'-', ..] | [b'#', ..] => {
                    let end = self.0.iter().position(|byte| *byte == b'\n');
                    self.0 = end.map_or(&[], |end| &self.0[end..]);
                }
                _ => return,
            }
        }
    }

    /// Skips a comment, or only the head of an executable one.
    fn skip_comment(&mut self) {
        let rest = &self.0[2..];
        let executable = rest.strip_prefix(b"M!").or_else(|| rest.strip_prefix(b"!"));
        self.0 = if let Some(rest) = executable {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            &rest[digits..]
        } else {
            let end = rest.windows(2).position(|pair| pair == b"*/");
            end.map_or(&[], |end| &rest[end + 2..])
        };
    }

    /// Reads a quoted name or text; `None` if it is not whole.
    fn quoted(&mut self, quote: u8) -> Option<Token> {
        let mut out = Vec::new();
        let mut at = 1;
        loop {
            let byte = *self.0.get(at)?;
            let doubled = byte == quote && self.0.get(at + 1) == Some(&quote);
            let escaped = byte == b'\\' && quote != b'`';
            if byte == quote && !doubled {
                break;
            }
            out.push(byte);
            at += if doubled || escaped { 2 } else { 1 };
        }
        self.0 = &self.0[at + 1..];
        Some(match quote {
            b'`' => Token::Quoted(out),
            b'\'' => Token::Text(out),
            _ => Token::Double(out),
        })
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@$".contains(&byte) || byte == b'.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: Option<&str>, name: &str) -> Class {
        object(Kind::Table, schema, name)
    }

    fn object(kind: Kind, schema: Option<&str>, name: &str) -> Class {
        let schema = schema.map(|schema| Name::new(schema.as_bytes()).unwrap());
        Class::Object(kind, schema, Name::new(name.as_bytes()).unwrap())
    }

    #[test]
    fn what_the_dump_tools_write_is_known() {
        let nova = || Name::new(b"nova").unwrap();
        for (head, class) in [
            ("CREATE TABLE `t` (\n  `a` int", table(None, "t")),
            ("CREATE TABLE IF NOT EXISTS `we``ird` (", table(None, "we`ird")),
            ("/*!50001 CREATE TABLE `v` (\n", table(None, "v")),
            ("INSERT INTO `t` VALUES (1,'", table(None, "t")),
            ("INSERT  IGNORE INTO `t` (`a`) VALUES", table(None, "t")),
            ("REPLACE INTO `s`.`t` VALUES", table(Some("s"), "t")),
            (
                "INSERT INTO mysql.innodb_table_stats VALUES",
                table(Some("mysql"), "innodb_table_stats"),
            ),
            ("LOCK TABLES `t` WRITE;", table(None, "t")),
            ("/*!40000 ALTER TABLE `t` DISABLE KEYS */;", table(None, "t")),
            ("DO SETVAL(`s`, 1001, 0);", table(None, "s")),
            ("CREATE SEQUENCE `s` start with 1", table(None, "s")),
            ("/*!50001 CREATE VIEW `v` AS SELECT", object(Kind::Placeholder, None, "v")),
            (
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`h` SQL SECURITY \
                 DEFINER */\n/*!50001 VIEW `v` AS select",
                object(Kind::View, None, "v"),
            ),
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `x` \
                 BEFORE INSERT ON `t` FOR EACH ROW SET",
                table(None, "t"),
            ),
            (
                "CREATE TRIGGER x AFTER DELETE ON Shop.Orders FOR EACH ROW",
                table(Some("Shop"), "Orders"),
            ),
            ("CREATE DEFINER=`root`@`localhost` FUNCTION `f`() RETURNS", Class::Routine),
            ("/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`h`*/ /*!50106 EVENT `e` ON", Class::Event),
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `nova` /*!40100",
                Class::CreatesDatabase(nova()),
            ),
            ("USE `nova`;", Class::Uses(nova())),
            ("DROP TABLE IF EXISTS `t`;", Class::Preface),
            ("/*!50001 DROP VIEW IF EXISTS `v`*/;", Class::Preface),
            ("/*!40101 SET @saved_cs_client     = @@character_set_client */;", Class::Preface),
            ("/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;", Class::Preface),
            ("/*!40101 SET character_set_client = @saved_cs_client */;", Class::Neutral),
            ("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='x' */;", Class::Saves),
            ("/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;", Class::PutsBack),
            ("SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;", Class::PutsBack),
            ("SET GLOBAL gtid_slave_pos='0-1-2';", Class::Replication),
            ("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3E11';", Class::Replication),
            ("CHANGE MASTER TO MASTER_LOG_FILE='f', MASTER_LOG_POS=4;", Class::Replication),
            ("CREATE USER `u`@`%` IDENTIFIED BY", Class::System),
            ("GRANT SELECT ON *.* TO `u`@`%`;", Class::System),
            ("UNLOCK TABLES;", Class::Neutral),
            ("DELIMITER ;;", Class::Preface),
            ("DELIMITER ;", Class::Neutral),
            ("COMMIT;", Class::Neutral),
            ("", Class::Neutral),
            ("CREATE TABLE `cut in its na", Class::Neutral),
        ] {
            assert_eq!(classify(head.as_bytes()).0, class, "{head}");
        }
    }
}
