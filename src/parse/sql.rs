//! The parser of SQL dumps: `mariadb-dump`, `mysqldump`, of any version and with any options.
//!
//! It follows statements as the `mysql` client does (`lexer`), tells from comments and from the
//! first words of statements what each is about (`facts`, `statement`), and cuts the dump where
//! that changes: a preamble, then for each schema its tables, views, routines and events, and a
//! trailer (`section`). The members are the dump, back to back, without a byte between them: each
//! can be loaded by itself after the preamble, and a dump whose tables come in another order next
//! night has the same members.
//!
//! ```text
//!  bytes -> Lexer -> statement begins, ended, comment ended
//!                         |
//!        held: blanks, comments, what is saved or dropped before something is made,
//!              and a statement's head
//!                         |
//!                  classify -> the same section: payload   another: end, open, payload
//! ```
//!
//! A statement that is not recognised stays in the section in which it stands. So an unusual dump
//! has few members, never a wrong byte.
//!
//! Invariants:
//! - where it cuts does not depend on how the dump was cut into pieces;
//! - memory: `HELD_BYTES_MAX` and some names, for any dump: a statement of any length passes
//!   through;
//! - a dump is [`DumpEnd::Completed`] only if its last line that is not blank is the completion
//!   line, whole, and stands between two statements.
//!
//! It does not understand SQL, or decide whether a dump is good: that also takes the producer's
//! exit status, see the verdict.

mod account;
mod definition;
mod dump;
mod excerpt;
mod facts;
mod if_not_there;
mod kind;
mod ledger;
mod lexer;
mod lines;
mod rename;
mod rename_table;
mod section;
mod session;
mod shown;
mod statement;
mod tool;

#[cfg(test)]
mod tests;

use crate::base::error::Result;
use crate::parse::container::Dissector;
use crate::parse::container::Sink;
use crate::parse::sql::dump::Dump;
use crate::parse::sql::facts::Heading;
use crate::parse::sql::facts::LINE_BYTES_MAX;
use crate::parse::sql::facts::Said;
use crate::parse::sql::ledger::Found;
use crate::parse::sql::ledger::Ledger;
use crate::parse::sql::lexer::Event;
use crate::parse::sql::lexer::Lexer;
use crate::parse::sql::lines::Lines;
use crate::parse::sql::section::Kind;
use crate::parse::sql::section::Name;
use crate::parse::sql::section::Section;
use crate::parse::sql::session::Reading;
use crate::parse::sql::session::Session;
use crate::parse::sql::shown::shown;
use crate::parse::sql::statement::Act;
use crate::parse::sql::statement::Class;
use crate::parse::sql::statement::classify;
use std::collections::HashSet;

pub use crate::parse::sql::definition::TableDefinition;
pub use crate::parse::sql::definition::charset_of;
pub use crate::parse::sql::excerpt::Excerpt;
pub use crate::parse::sql::excerpt::LeftOut;
pub use crate::parse::sql::excerpt::comment;
pub use crate::parse::sql::excerpt::create_schema_statement;
pub use crate::parse::sql::excerpt::quoted;
pub use crate::parse::sql::excerpt::use_statement;
pub use crate::parse::sql::facts::DumpCounts;
pub use crate::parse::sql::facts::DumpEnd;
pub use crate::parse::sql::facts::DumpFacts;
pub use crate::parse::sql::facts::DumpSaid;
pub use crate::parse::sql::facts::Flaw;
pub use crate::parse::sql::facts::Oddity;
pub use crate::parse::sql::facts::OddityKind;
pub use crate::parse::sql::kind::DumpKind;
pub use crate::parse::sql::section::SqlMember;
pub use crate::parse::sql::section::SqlPart;
pub use crate::parse::sql::tool::Tool;
pub use crate::parse::sql::tool::is_dump_error;

/// Bytes that are held back at most until it is known what they belong to.
const HELD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a statement that are looked at.
const HEAD_BYTES_MAX: usize = 2048;

/// Databases that are remembered as entered before.
const DATABASES_MAX: usize = 4096;

/// Complaints of the tool that are kept.
const COMPLAINTS_MAX: usize = 10;

const _: () = assert!(HEAD_BYTES_MAX < HELD_BYTES_MAX);

/// The parser of one stream of dumps.
#[derive(Debug)]
pub struct SqlParser {
    kind: DumpKind,
    lexer: Lexer,
    session: Session,
    lines: Lines,
    current: Option<Current>,
    stage: Stage,
    /// Bytes that wait for a decision.
    held: Vec<u8>,
    /// The offset in them of the blanks and comments that stand before the next statement.
    gap_from: usize,
    /// The dump that is read.
    dump: Dump,
    ledger: Ledger,
    entered: HashSet<Name>,
    has_comments: bool,
    counts: DumpCounts,
    /// The statements of the dumps before this one about themselves.
    said: DumpSaid,
    /// Dumps that have ended.
    dumps: u64,
    complaints: Vec<String>,
    flaws: Found<Flaw>,
    /// Bytes of the stream that were taken.
    offset: u64,
    /// The offset of the first zero byte in the stream.
    zeros_from: Option<u64>,
}

/// The member that is open.
#[derive(Debug)]
struct Current {
    section: Section,
    recognised_by: RecognisedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecognisedBy {
    Comment,
    Statement,
}

/// The treatment of the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between statements: they are held.
    Gap,
    /// In the head of a statement, which begins there in what is held.
    Head { from: usize },
    /// In a statement that was decided upon: they are payload.
    Body,
}

/// The extent of a statement's head: all of the statement, or its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Beginning,
}

/// The treatment of a statement.
#[derive(Debug)]
enum Decision {
    /// It belongs to the open member.
    Stay,
    /// The statements that follow decide.
    Hold,
    /// It belongs to this section.
    Go(Section),
}

impl SqlParser {
    /// Creates a parser that stands before the first byte of a dump.
    pub fn new(kind: DumpKind) -> Self {
        Self {
            kind,
            lexer: Lexer::new(Reading::FIRST),
            session: Session::new(Reading::FIRST),
            lines: Lines::new(kind),
            current: None,
            stage: Stage::Gap,
            held: Vec::new(),
            gap_from: 0,
            dump: Dump::default(),
            ledger: Ledger::default(),
            entered: HashSet::new(),
            has_comments: false,
            counts: DumpCounts::default(),
            said: DumpSaid::default(),
            dumps: 0,
            complaints: Vec::new(),
            flaws: Found::default(),
            offset: 0,
            zeros_from: None,
        }
    }

    /// Returns how many of the next bytes may be looked at before something has to be decided.
    fn window(&self) -> usize {
        let room = HELD_BYTES_MAX - self.held.len();
        match self.stage {
            Stage::Body => usize::MAX,
            Stage::Gap => room,
            Stage::Head { from } => room.min(HEAD_BYTES_MAX - (self.held.len() - from)),
        }
    }

    fn take(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        if self.stage == Stage::Body {
            return sink.payload(bytes);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn react(&mut self, event: Event, sink: &mut impl Sink) -> Result<()> {
        match (event, self.stage) {
            (Event::Begins(behind), _) => {
                // Less is held only if a comment of any length was let go before its first bytes.
                self.stage = Stage::Head { from: self.held.len().saturating_sub(behind) };
            }
            (Event::Ended, Stage::Head { from }) => {
                self.decide(from, Extent::Whole, sink)?;
                self.stage = Stage::Gap;
                self.client_commands();
            }
            (Event::Ended, Stage::Body | Stage::Gap) => {
                self.gap_from = self.held.len();
                self.stage = Stage::Gap;
                self.client_commands();
            }
            (Event::Comment, Stage::Gap) => {
                self.client_commands();
                self.comment(sink)?;
            }
            (Event::Comment | Event::Nothing, _) => {}
        }
        if self.window() > 0 {
            return Ok(());
        }
        if let Stage::Head { from } = self.stage {
            self.decide(from, Extent::Beginning, sink)?;
            self.stage = Stage::Body;
        }
        if self.stage == Stage::Gap || self.held.len() == HELD_BYTES_MAX {
            self.release(sink)?;
        }
        Ok(())
    }

    /// Decides what the statement belongs to that begins at `from` in what is held.
    fn decide(&mut self, from: usize, extent: Extent, sink: &mut impl Sink) -> Result<()> {
        let head = &self.held[from..];
        let head = &head[..head.len().min(HEAD_BYTES_MAX)];
        let (class, act) = classify(head);
        self.counts.statements += 1;
        if extent == Extent::Whole {
            self.lexer.read_texts(self.session.statement(head));
        }
        if class == Class::Replication {
            self.dump.said.statement(head);
        }
        let is_shown = matches!(act, Act::Rows | Act::Text | Act::Unexpected | Act::ClientCommand)
            || self.dump.is_completed;
        let text = if is_shown { shown(self.lexer.without_delimiter(head)) } else { String::new() };
        self.account(&class, act, text);
        match (self.decision(class), extent) {
            (Decision::Hold, Extent::Whole) => {
                self.gap_from = self.held.len();
                Ok(())
            }
            (Decision::Hold, Extent::Beginning) | (Decision::Stay, _) => self.release(sink),
            (Decision::Go(section), _) => {
                self.switch(section, RecognisedBy::Statement, sink)?;
                self.release(sink)
            }
        }
    }

    fn decision(&mut self, class: Class) -> Decision {
        let current = self.current.as_ref().map(|current| &current.section);
        let schema = || self.dump.schema.clone();
        match class {
            Class::Saves if current == Some(&Section::Trailer) => Decision::Go(Section::Preamble),
            Class::Neutral | Class::Saves => {
                if self.gap_from > 0 {
                    Decision::Hold
                } else {
                    Decision::Stay
                }
            }
            Class::Preface => Decision::Hold,
            Class::PutsBack => Decision::Go(Section::Trailer),
            Class::Replication => Decision::Go(Section::Replication),
            Class::System => Decision::Go(Section::System),
            Class::CreatesDatabase(name) => Decision::Go(Section::Database(name)),
            Class::Uses(name) => self.uses(name),
            Class::Routine => Decision::Go(Section::Routines(schema())),
            Class::Event => Decision::Go(Section::Events(schema())),
            Class::Object(kind, of, name) => {
                Decision::Go(Section::Object(kind, of.or_else(schema), name))
            }
        }
    }

    /// Enters a schema, maybe again: views come after the tables of all schemas. A restore of what
    /// stands before must not have to enter it.
    fn uses(&mut self, name: Name) -> Decision {
        self.dump.schema = Some(name.clone());
        let section = Section::Database(name);
        let is_open = self.current.as_ref().is_some_and(|current| current.section == section);
        if is_open { Decision::Stay } else { Decision::Go(section) }
    }

    /// Looks at the line that ends what is held.
    fn comment(&mut self, sink: &mut impl Sink) -> Result<()> {
        let gap = &self.held[self.gap_from..];
        let gap = gap.strip_suffix(b"\n").unwrap_or(gap);
        let line = gap.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        // The sandbox line is a comment too, and is there without --comments.
        self.has_comments |= line.starts_with(b"--");
        if self.dump.is_completed && line.starts_with(b"-- ") {
            self.ledger.trailing(OddityKind::TrailingComment, shown(line));
        }
        if line.len() > LINE_BYTES_MAX {
            return Ok(());
        }
        let heading = match self.dump.said.comment(line) {
            Said::Nothing => {
                self.take_schema();
                return Ok(());
            }
            Said::Complaint(words) => {
                if self.complaints.len() < COMPLAINTS_MAX {
                    self.complaints.push(words);
                }
                return Ok(());
            }
            Said::Begins(heading) => heading,
        };
        let Some(section) = self.headed(heading) else { return Ok(()) };
        // What was held for the sake of a statement was the previous section's after all.
        let previous: Vec<u8> = self.held.drain(..self.gap_from).collect();
        self.gap_from = 0;
        self.hand_on(&previous, sink)?;
        self.switch(section, RecognisedBy::Comment, sink)?;
        self.release(sink)
    }

    /// Returns the member that a heading begins.
    fn headed(&mut self, heading: Heading) -> Option<Section> {
        let schema = self.dump.schema.clone();
        let of = |named: Option<Vec<u8>>| named.as_deref().and_then(Name::new);
        Some(match heading {
            Heading::Table(name) => Section::Object(Kind::Table, schema, Name::new(&name)?),
            Heading::Placeholder(name) => {
                let name = Name::new(&name)?;
                self.ledger.promises_view((schema.clone(), name.clone()));
                Section::Object(Kind::Placeholder, schema, name)
            }
            Heading::View(name) => Section::Object(Kind::View, schema, Name::new(&name)?),
            Heading::Events(named) => Section::Events(of(named).or(schema)),
            Heading::Routines(named) => Section::Routines(of(named).or(schema)),
        })
    }

    /// Takes the schema that the header of a dump names, or a comment before its tables.
    fn take_schema(&mut self) {
        let Some(named) = self.dump.said.database.as_deref().and_then(Name::new) else { return };
        if self.dump.schema.is_none() || self.dump.tool == Some(Tool::PhpMyAdmin) {
            self.dump.schema = Some(named);
        }
    }

    /// Ends the open member and opens another, unless they are one.
    fn switch(
        &mut self,
        to: Section,
        recognised_by: RecognisedBy,
        sink: &mut impl Sink,
    ) -> Result<()> {
        if let Some(current) = &mut self.current {
            let comment_rules = current.recognised_by == RecognisedBy::Comment
                && recognised_by == RecognisedBy::Statement;
            let same =
                current.section == to || (comment_rules && current.section.shares_object_with(&to));
            if same {
                return Ok(());
            }
            sink.end()?;
        }
        self.open(to, recognised_by, sink)
    }

    fn open(
        &mut self,
        to: Section,
        recognised_by: RecognisedBy,
        sink: &mut impl Sink,
    ) -> Result<()> {
        match &to {
            Section::Preamble | Section::Replication | Section::Trailer => {}
            Section::System | Section::Database(_) => self.dump.declarations += 1,
            Section::Routines(_) | Section::Events(_) | Section::Object(..) => {
                self.dump.objects += 1;
            }
        }
        match &to {
            Section::Database(name) => {
                let is_known = self.entered.contains(name);
                self.counts.databases += u64::from(!is_known);
                if !is_known && self.entered.len() < DATABASES_MAX {
                    self.entered.insert(name.clone());
                }
            }
            Section::Object(Kind::Table, ..) => self.counts.tables += 1,
            Section::Object(Kind::View, ..) => self.counts.views += 1,
            Section::Object(Kind::Placeholder, ..)
            | Section::Preamble
            | Section::Replication
            | Section::System
            | Section::Trailer
            | Section::Routines(_)
            | Section::Events(_) => {}
        }
        sink.open(&to.path())?;
        self.current = Some(Current { section: to, recognised_by });
        Ok(())
    }

    /// Gives everything that is held to the open member.
    fn release(&mut self, sink: &mut impl Sink) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.gap_from = 0;
        self.hand_on(&held, sink)?;
        self.held = held;
        self.held.clear();
        Ok(())
    }

    fn hand_on(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.current.is_none() {
            self.switch(Section::Preamble, RecognisedBy::Statement, sink)?;
        }
        sink.payload(bytes)
    }

    /// Takes bytes in which no line is marked.
    fn lex(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let shown = &rest[..rest.len().min(self.window())];
            let (count, event) = self.lexer.next(shown);
            self.take(&rest[..count], sink)?;
            rest = &rest[count..];
            self.react(event, sink)?;
        }
        Ok(())
    }

    fn into_facts(mut self, end: DumpEnd, last: String) -> DumpFacts {
        if let Some(offset) = self.zeros_from {
            self.flaws.push(Flaw::Zeros { offset });
        }
        let oddities = self.ledger.into_oddities();
        DumpFacts {
            kind: self.kind,
            tool: self.dump.tool,
            dumps: self.dumps,
            end,
            last,
            has_comments: self.has_comments,
            counts: self.counts,
            said: self.said,
            complaints: self.complaints,
            flaws: self.flaws.kept,
            flaws_others: self.flaws.others,
            oddities: oddities.kept,
            oddities_others: oddities.others,
        }
    }
}

impl Dissector for SqlParser {
    type Facts = DumpFacts;

    fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        if self.kind != DumpKind::Statements {
            return self.push_whole(bytes, sink);
        }
        self.look_for_zeros(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (count, mark) = self.lines.next(rest);
            let (line, more) = rest.split_at(count);
            rest = more;
            let Some(mark) = mark else {
                self.lex(line, sink)?;
                continue;
            };
            let (line, line_end) = line.split_at(count - 1);
            self.lex(line, sink)?;
            self.before_line_end(mark, sink)?;
            self.lex(line_end, sink)?;
            self.behind_line(mark, sink)?;
        }
        Ok(())
    }

    fn finish(mut self, sink: &mut impl Sink) -> Result<DumpFacts> {
        if self.kind != DumpKind::Statements {
            let end = self.end_of_whole();
            if end == DumpEnd::Completed {
                sink.end()?;
            }
            return Ok(self.into_facts(end, String::new()));
        }
        let end = self.dump.end(&self.lexer);
        if let Stage::Head { from } = self.stage {
            self.decide(from, Extent::Beginning, sink)?;
        }
        self.release(sink)?;
        self.client_commands();
        if end == DumpEnd::Completed {
            sink.end()?;
        }
        let (last, tool) = (self.last(), self.dump.tool);
        self.close_dump(end);
        self.dump.tool = tool;
        Ok(self.into_facts(end, last))
    }
}
