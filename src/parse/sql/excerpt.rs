//! Makes of the selected members of a dump what may be loaded by itself, and into another schema.
//!
//! Statements pass as they come, with two exceptions. One that drops a whole schema, as
//! `--add-drop-database` writes it, is left out: restoring one table must not drop the others.
//! And with another schema to load into, statements that name theirs are rewritten (`rename`), or
//! left out where that can't be done safely. A comment stands where something was left out.
//!
//! Invariants:
//! - what comes out does not depend on how the members were cut into pieces;
//! - memory: the head of a statement; all of it if it may have to be rewritten, at most
//!   [`STATEMENT_BYTES_MAX`]; [`LEFT_OUT_MAX`] names.
//!
//! It does not look into rows, or decide whether the target suits.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::parse::sql::HEAD_BYTES_MAX;
use crate::parse::sql::if_not_there::with_if_not_exists;
use crate::parse::sql::lexer::Event;
use crate::parse::sql::lexer::Lexer;
use crate::parse::sql::rename::Rename;
use crate::parse::sql::rename::Renamed;
use crate::parse::sql::rename::drops_schema;
use crate::parse::sql::rename::is_rows;
use crate::parse::sql::rename::quote;
use crate::parse::sql::rename_table::RenameTable;
use crate::parse::sql::session::Reading;
use crate::parse::sql::session::Session;

/// The longest statement that is rewritten.
const STATEMENT_BYTES_MAX: usize = 4 << 20;

/// Bytes between statements that are held until it is known what they are.
const GAP_BYTES_MAX: usize = 4096;

/// Bytes of a statement that may have been taken for a gap: `/*M!` and a version.
const START_BYTES_MAX: usize = 16;

/// Statements that are left out by name.
const LEFT_OUT_MAX: usize = 20;

const _: () = assert!(START_BYTES_MAX < GAP_BYTES_MAX && HEAD_BYTES_MAX < STATEMENT_BYTES_MAX);

/// Turns selected members of a dump into statements that can be loaded by themselves.
#[derive(Debug)]
pub struct Excerpt {
    lexer: Lexer,
    session: Session,
    rename: Option<Rename>,
    table: Option<RenameTable>,
    accounts: Present,
    stage: Stage,
    held: Vec<u8>,
    left_out: LeftOut,
}

/// The treatment of accounts that the server has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Present {
    /// The statement that makes them is as it was.
    Refuse,
    /// The statement does nothing then.
    Pass,
}

/// Statements that were left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The first of them: what they are, and why.
    pub first: Vec<String>,
    /// The number of others, which are not named.
    pub others: u64,
}

/// The treatment of the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between statements: bytes are held.
    Gap,
    /// In a statement's head: bytes are held.
    Head,
    /// In a statement that may have to be rewritten: bytes are held.
    Statement,
    /// In a statement that is given out: bytes pass.
    Pass,
    /// In a statement that is left out: bytes are dropped.
    Skip,
}

impl Excerpt {
    /// Takes statements of a schema, and rewrites them for another if there is one.
    pub fn new(schemas: Option<(&[u8], &[u8])>) -> Self {
        Self {
            lexer: Lexer::new(Reading::FIRST),
            session: Session::new(Reading::FIRST),
            rename: schemas.map(|(from, to)| Rename { from: from.to_vec(), to: to.to_vec() }),
            table: None,
            accounts: Present::Refuse,
            stage: Stage::Gap,
            held: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Gives the one table that the statements are of another name.
    #[must_use]
    pub fn with_table(self, from: &[u8], to: &[u8]) -> Self {
        let table = (from != to).then(|| RenameTable { from: from.to_vec(), to: to.to_vec() });
        Self { table, ..self }
    }

    /// Lets accounts and roles pass that the server has already.
    #[must_use]
    pub fn with_present_accounts(self) -> Self {
        Self { accounts: Present::Pass, ..self }
    }

    /// Takes the next bytes and appends to `out` what is kept of them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let shown = &rest[..rest.len().min(self.window())];
            let (count, event) = self.lexer.next(shown);
            let (taken, more) = rest.split_at(count);
            rest = more;
            match self.stage {
                Stage::Gap | Stage::Head | Stage::Statement => self.held.extend_from_slice(taken),
                Stage::Pass => out.extend_from_slice(taken),
                Stage::Skip => {}
            }
            self.react(event, out)?;
        }
        Ok(())
    }

    /// Ends it: adds what is still held; what was left out.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<LeftOut> {
        match self.stage {
            Stage::Head | Stage::Statement => {
                self.decide(out)?;
            }
            Stage::Gap | Stage::Pass | Stage::Skip => out.append(&mut self.held),
        }
        Ok(self.left_out)
    }

    /// Returns how many of the next bytes may be looked at before something has to be decided.
    fn window(&self) -> usize {
        let most = match self.stage {
            Stage::Gap => GAP_BYTES_MAX,
            Stage::Head => HEAD_BYTES_MAX,
            Stage::Statement => STATEMENT_BYTES_MAX,
            Stage::Pass | Stage::Skip => return usize::MAX,
        };
        most.saturating_sub(self.held.len())
    }

    fn react(&mut self, event: Event, out: &mut Vec<u8>) -> Result<()> {
        match (event, self.stage) {
            (Event::Begins(behind), _) => {
                self.give_all_but(behind, out);
                self.stage = Stage::Head;
            }
            (Event::Ended, stage) => {
                if matches!(stage, Stage::Head | Stage::Statement) {
                    self.follow();
                    self.decide(out)?;
                }
                self.stage = Stage::Gap;
            }
            (Event::Comment, Stage::Gap) => out.append(&mut self.held),
            (Event::Comment | Event::Nothing, _) => {}
        }
        if self.window() > 0 {
            return Ok(());
        }
        match self.stage {
            Stage::Gap => self.give_all_but(START_BYTES_MAX, out),
            Stage::Head if self.rewrites() && !is_rows(&self.held) => {
                self.stage = Stage::Statement;
            }
            Stage::Head => {
                self.stage = self.decide(out)?;
            }
            Stage::Statement => {
                let what = format!(
                    "a statement of more than {} MiB can't be rewritten for another schema",
                    STATEMENT_BYTES_MAX >> 20
                );
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Stage::Pass | Stage::Skip => {}
        }
        Ok(())
    }

    fn rewrites(&self) -> bool {
        self.rename.is_some() || self.table.is_some()
    }

    fn give_all_but(&mut self, count: usize, out: &mut Vec<u8>) {
        let gap = self.held.len().saturating_sub(count);
        out.extend(self.held.drain(..gap));
    }

    /// Tells the lexer how texts after the statement that is held are read.
    fn follow(&mut self) {
        let head = &self.held[..self.held.len().min(HEAD_BYTES_MAX)];
        if self.held.len() == head.len() {
            self.lexer.read_texts(self.session.statement(head));
        }
    }

    /// Decides what to do with the statement that is held, and with the rest of it.
    fn decide(&mut self, out: &mut Vec<u8>) -> Result<Stage> {
        let renamed = match &self.rename {
            _ if drops_schema(&self.held) => {
                Renamed::LeftOut("the statement that drops the whole schema".to_owned())
            }
            Some(rename) => rename.apply(&self.held, self.session.reading()),
            None => Renamed::Same,
        };
        let renamed = match (&self.table, renamed) {
            (Some(table), Renamed::Same) => table.apply(&self.held),
            (Some(table), Renamed::Changed(statement)) => match table.apply(&statement) {
                Renamed::Same => Renamed::Changed(statement),
                other @ (Renamed::Changed(_) | Renamed::LeftOut(_) | Renamed::Impossible(_)) => {
                    other
                }
            },
            (_, renamed) => renamed,
        };
        if renamed == Renamed::Same
            && self.accounts == Present::Pass
            && let Some(statement) = with_if_not_exists(&self.held)
        {
            self.held = statement;
        }
        match renamed {
            Renamed::Same => out.extend_from_slice(&self.held),
            Renamed::Changed(statement) => out.extend_from_slice(&statement),
            Renamed::LeftOut(what) => {
                out.push(b'\n');
                out.extend_from_slice(comment(&format!("left out: {what}")).as_bytes());
                if self.left_out.first.len() < LEFT_OUT_MAX {
                    self.left_out.first.push(what);
                } else {
                    self.left_out.others += 1;
                }
                self.held.clear();
                return Ok(Stage::Skip);
            }
            Renamed::Impossible(what) => return Err(Error::new(ErrorKind::Unsupported, what)),
        }
        self.held.clear();
        Ok(Stage::Pass)
    }
}

/// Makes a line that is a comment to every client, for any text.
pub fn comment(text: &str) -> String {
    let plain = |c: char| if c.is_control() || c == '\\' { '?' } else { c };
    format!("-- haulout: {}\n", text.chars().map(plain).collect::<String>())
}

/// Writes a name as SQL has it, in backticks.
pub fn quoted(name: &str) -> String {
    let mut out = Vec::new();
    quote(name.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes the statement that makes a schema if it is not there.
pub fn create_schema_statement(schema: &[u8]) -> Vec<u8> {
    let mut out = b"CREATE DATABASE IF NOT EXISTS ".to_vec();
    quote(schema, &mut out);
    out.extend_from_slice(b";\n");
    out
}

/// Writes `USE` for a schema.
pub fn use_statement(schema: &[u8]) -> Vec<u8> {
    let mut out = b"\nUSE ".to_vec();
    quote(schema, &mut out);
    out.extend_from_slice(b";\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "/*M!999999\\- enable the sandbox mode */ \n\
        -- MariaDB dump 10.19; USE `shop`\n\
        /*!40101 SET NAMES utf8mb4 */;\n\
        /*!40000 DROP DATABASE IF EXISTS `shop`*/;\n\
        CREATE DATABASE `shop`;\nUSE `shop`;\n\
        DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (a text);\n\
        INSERT INTO `t` VALUES ('USE `shop`;\\';DROP DATABASE shop;');\n\
        DELIMITER ;;\n/*!50003 CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW DELETE FROM \
        shop.u; */;;\nDELIMITER ;\nALTER DATABASE `shop` CHARACTER SET latin1 ;\n";

    fn excerpt(into: Option<(&[u8], &[u8])>, dump: &[u8], piece: usize) -> (String, LeftOut) {
        let mut excerpt = Excerpt::new(into);
        let mut out = Vec::new();
        dump.chunks(piece).for_each(|piece| excerpt.push(piece, &mut out).unwrap());
        let left_out = excerpt.finish(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), left_out)
    }

    #[test]
    fn statements_are_rewritten_or_left_out_however_the_dump_is_cut() {
        let into: Option<(&[u8], &[u8])> = Some((b"shop", b"aside"));
        let (whole, left_out) = excerpt(into, DUMP.as_bytes(), usize::MAX);
        for piece in 1..DUMP.len() {
            assert_eq!(excerpt(into, DUMP.as_bytes(), piece), (whole.clone(), left_out.clone()));
        }
        assert_eq!(left_out.first.len(), 2, "{left_out:?}");
        for (text, count) in [
            ("`shop`", 2),
            ("USE `aside`", 1),
            ("DATABASE `aside`", 2),
            ("DATABASE IF EXISTS", 0),
            ("('USE `shop`;\\';DROP DATABASE shop;')", 1),
            ("CREATE TRIGGER", 0),
            ("-- haulout: left out: trigger 'a' names schema 'shop'", 1),
        ] {
            assert_eq!(whole.matches(text).count(), count, "{text} in {whole}");
        }
        let (plain, left_out) = excerpt(None, DUMP.as_bytes(), 7);
        let drop = "/*!40000 DROP DATABASE IF EXISTS `shop`*/;\n";
        let instead = "\n-- haulout: left out: the statement that drops the whole schema\n";
        assert_eq!(plain, DUMP.replace(drop, instead));
        assert_eq!(left_out.first.len(), 1);
    }

    #[test]
    fn long_statements_pass_or_are_refused_and_names_are_counted() {
        let rows = format!("INSERT INTO `shop`.`t` VALUES ('{}');\n", "x".repeat(5 << 20));
        let (out, _) = excerpt(Some((b"shop", b"aside")), rows.as_bytes(), 1 << 16);
        assert!(out == rows.replace("`shop`", "`aside`"));
        let mut excerpt_of = Excerpt::new(Some((b"shop", b"aside")));
        let long = format!("CREATE TABLE t (a text COMMENT '{}');\n", "x".repeat(5 << 20));
        let error = excerpt_of.push(long.as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(excerpt(None, long.as_bytes(), 1 << 16).0 == long);
        let many = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.t;\n".repeat(30);
        let (_, left_out) = excerpt(Some((b"shop", b"aside")), many.as_bytes(), 100);
        assert_eq!((left_out.first.len(), left_out.others), (LEFT_OUT_MAX, 30 - 20));
    }

    #[test]
    fn a_comment_is_one_line_whatever_it_holds() {
        assert_eq!(comment("a\nDROP \\! b"), "-- haulout: a?DROP ?! b\n");
    }
}
