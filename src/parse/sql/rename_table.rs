//! Rewrites the name of the one table that a dump holds.
//!
//! The dump programs write it where the table or view is dropped, made, locked, altered and filled,
//! and in keys of the table that refer to itself. Two things can't come along where the table gets
//! another name in its schema: the names of foreign keys, of which a schema has each once, so that
//! the server gives new ones; and triggers, whose programs are not looked into: they are left out.

use std::ops::Range;

use crate::parse::sql::rename::Renamed;
use crate::parse::sql::rename::Scan;
use crate::parse::sql::rename::Spanned;
use crate::parse::sql::rename::quote;
use crate::parse::sql::statement::Token;

/// Tokens in which the name of what a statement is about stands.
const HEAD_TOKENS_MAX: usize = 64;

/// From which table to which.
#[derive(Debug, Clone)]
pub(super) struct RenameTable {
    /// Name of the table in the dump.
    pub(super) from: Vec<u8>,
    /// Name of the table in the statements that come out.
    pub(super) to: Vec<u8>,
}

/// A piece of a statement that is replaced: by the new name, or by nothing.
enum Change {
    Name(Range<usize>),
    Nothing(Range<usize>),
}

impl RenameTable {
    /// Rewrites a statement, or the head of one of rows.
    pub(super) fn apply(&self, statement: &[u8]) -> Renamed {
        let head: Vec<Spanned> = Scan::new(statement, 0).take(HEAD_TOKENS_MAX).collect();
        let word = |at: usize| word_of(head.get(at));
        let first = word(0);
        let named = match first {
            b"INSERT" | b"REPLACE" => after(&head, b"INTO"),
            b"LOCK" | b"DROP" | b"ALTER" => after_any(&head, &[b"TABLES", b"TABLE", b"VIEW"]),
            b"DO" | b"SELECT" => after(&head, b"SETVAL").map(|at| at + 1),
            b"CREATE" => return self.made(statement, &head),
            _ => None,
        };
        let Some(at) = named else { return Renamed::Same };
        match self.name_at(&head, at) {
            Some(name) => self.changed(statement, &[Change::Name(name)]),
            None => Renamed::Same,
        }
    }

    fn made(&self, statement: &[u8], head: &[Spanned]) -> Renamed {
        let kinds: [&[u8]; 4] = [b"TABLE", b"SEQUENCE", b"VIEW", b"TRIGGER"];
        let Some(kind) = (1..head.len()).find(|at| kinds.contains(&word_of(head.get(*at)))) else {
            return Renamed::Same;
        };
        if word_of(head.get(kind)) == b"TRIGGER" {
            let name = after(head, b"TRIGGER").and_then(|at| head.get(at)).map(|(token, _)| token);
            let name = name.and_then(name_of).unwrap_or_default();
            let (name, table) =
                (String::from_utf8_lossy(name), String::from_utf8_lossy(&self.from));
            return Renamed::LeftOut(format!(
                "trigger '{name}' of table '{table}', which gets another name"
            ));
        }
        let Some(name) = self.name_at(head, behind(head, kind + 1)) else { return Renamed::Same };
        let mut changes = vec![Change::Name(name)];
        if word_of(head.get(kind)) == b"TABLE" {
            self.add_keys(statement, &mut changes);
        }
        self.changed(statement, &changes)
    }

    /// Finds the names of foreign keys, and those that refer to the table itself.
    fn add_keys(&self, statement: &[u8], changes: &mut Vec<Change>) {
        let tokens: Vec<Spanned> = Scan::new(statement, 0).collect();
        for (at, (token, place)) in tokens.iter().enumerate() {
            let Token::Word(word, _) = token else { continue };
            let names_key = word == b"CONSTRAINT" && word_of(tokens.get(at + 2)) == b"FOREIGN";
            if names_key && let Some((_, name)) = tokens.get(at + 1) {
                changes.push(Change::Nothing(place.start..name.end));
            }
            if word == b"REFERENCES"
                && let Some(name) = self.name_at(&tokens, at + 1)
            {
                changes.push(Change::Name(name));
            }
        }
    }

    /// Returns where the table's name stands, which begins at a token, maybe after a schema.
    fn name_at(&self, tokens: &[Spanned], at: usize) -> Option<Range<usize>> {
        let at = behind(tokens, at);
        let has_point = matches!(tokens.get(at + 1), Some((Token::Sign(b'.'), _)));
        let (token, place) = tokens.get(if has_point { at + 2 } else { at })?;
        (name_of(token)? == self.from.as_slice()).then(|| place.clone())
    }

    fn changed(&self, statement: &[u8], changes: &[Change]) -> Renamed {
        let mut out = Vec::with_capacity(statement.len() + changes.len() * (self.to.len() + 2));
        let mut at = 0;
        for change in changes {
            let (Change::Name(place) | Change::Nothing(place)) = change;
            out.extend_from_slice(&statement[at..place.start]);
            if let Change::Name(_) = change {
                quote(&self.to, &mut out);
            }
            at = place.end;
        }
        out.extend_from_slice(&statement[at..]);
        Renamed::Changed(out)
    }
}

fn word_of(token: Option<&Spanned>) -> &[u8] {
    match token {
        Some((Token::Word(word, _), _)) => word,
        _ => b"",
    }
}

fn name_of(token: &Token) -> Option<&[u8]> {
    match token {
        Token::Quoted(name) | Token::Double(name) | Token::Word(_, name) => Some(name),
        Token::Text(_) | Token::Sign(_) => None,
    }
}

fn after(head: &[Spanned], wanted: &[u8]) -> Option<usize> {
    after_any(head, &[wanted])
}

fn after_any(head: &[Spanned], wanted: &[&[u8]]) -> Option<usize> {
    let found = head.iter().position(|token| wanted.contains(&word_of(Some(token))))?;
    Some(found + 1)
}

/// Passes over `IF NOT EXISTS`.
fn behind(tokens: &[Spanned], from: usize) -> usize {
    let mut at = from;
    while matches!(word_of(tokens.get(at)), b"IF" | b"NOT" | b"EXISTS") {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(statement: &str) -> Renamed {
        let rename = RenameTable { from: b"t".to_vec(), to: b"n`w".to_vec() };
        rename.apply(statement.as_bytes())
    }

    fn text(renamed: Renamed) -> String {
        match renamed {
            Renamed::Changed(text) => String::from_utf8(text).unwrap(),
            other @ (Renamed::Same | Renamed::LeftOut(_) | Renamed::Impossible(_)) => {
                format!("{other:?}")
            }
        }
    }

    #[test]
    fn the_name_is_rewritten_where_dumps_write_it() {
        for (statement, expected) in [
            ("DROP TABLE IF EXISTS `t`;", "DROP TABLE IF EXISTS `n``w`;"),
            ("LOCK TABLES `t` WRITE;", "LOCK TABLES `n``w` WRITE;"),
            ("INSERT INTO `t` VALUES ('`t`');", "INSERT INTO `n``w` VALUES ('`t`');"),
            (
                "INSERT  IGNORE INTO `s`.`t` (`t`) VALUES",
                "INSERT  IGNORE INTO `s`.`n``w` (`t`) VALUES",
            ),
            (
                "/*!40000 ALTER TABLE `t` DISABLE KEYS */;",
                "/*!40000 ALTER TABLE `n``w` DISABLE KEYS */;",
            ),
            ("DO SETVAL(`t`, 1, 0);", "DO SETVAL(`n``w`, 1, 0);"),
            (
                "CREATE TABLE `t` (`t` int, CONSTRAINT `k` FOREIGN KEY (`t`) REFERENCES `t` (`t`), \
                 CONSTRAINT `c` CHECK (`t` > 1))",
                "CREATE TABLE `n``w` (`t` int,  FOREIGN KEY (`t`) REFERENCES `n``w` (`t`), \
                 CONSTRAINT `c` CHECK (`t` > 1))",
            ),
            (
                "/*!50001 CREATE VIEW `t` AS SELECT 1 AS `t`*/;",
                "/*!50001 CREATE VIEW `n``w` AS SELECT 1 AS `t`*/;",
            ),
            (
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50001 VIEW `t` AS select `t`.a */;",
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50001 VIEW `n``w` AS select `t`.a */;",
            ),
        ] {
            assert_eq!(text(renamed(statement)), expected);
        }
        for same in ["SET NAMES utf8;", "UNLOCK TABLES;", "INSERT INTO `u` VALUES (1);", "USE `t`;"]
        {
            assert_eq!(renamed(same), Renamed::Same, "{same}");
        }
        let trigger = "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER x \
                       BEFORE INSERT ON `t` FOR EACH ROW SET @a = 1 */";
        assert!(matches!(renamed(trigger), Renamed::LeftOut(what) if what.contains("'x'")));
    }
}
