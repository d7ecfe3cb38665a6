//! Keeps account of the dumps of a stream: where one ends and the next begins, and what does not
//! belong into them.
//!
//! A dump that broke off has no last line. If another follows it, the last line of the stream is
//! right all the same, so that the header of the next one has to end it, even in the middle of a
//! statement. The lexer begins again there, and the next dump is taken apart like any other.

use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::parse::container::Sink;
use crate::parse::sql::Current;
use crate::parse::sql::Extent;
use crate::parse::sql::RecognisedBy;
use crate::parse::sql::SqlParser;
use crate::parse::sql::Stage;
use crate::parse::sql::dump::Dump;
use crate::parse::sql::facts::DumpEnd;
use crate::parse::sql::facts::Flaw;
use crate::parse::sql::facts::OddityKind;
use crate::parse::sql::kind::DumpKind;
use crate::parse::sql::lexer::Lexer;
use crate::parse::sql::section::Kind;
use crate::parse::sql::section::Name;
use crate::parse::sql::section::Section;
use crate::parse::sql::session::Reading;
use crate::parse::sql::session::Session;
use crate::parse::sql::shown::shown;
use crate::parse::sql::statement::Act;
use crate::parse::sql::statement::Class;
use crate::parse::sql::tool::Mark;
use crate::parse::sql::tool::Tool;

/// The path of the only member of a dump in XML.
const XML_PATH: &[u8] = b"dump.xml";

/// The path of the only member of a dump that is not taken apart.
const WHOLE_PATH: &[u8] = b"dump.sql";

impl SqlParser {
    /// Keeps account of what a statement does.
    pub(super) fn account(&mut self, class: &Class, act: Act, text: String) {
        let is_empty = text.is_empty() && act == Act::Text;
        let object = |schema: Option<Name>, name, dump: &Dump| {
            (schema.or_else(|| dump.schema.clone()), name)
        };
        self.dump.statement(class, &act);
        if self.dump.is_completed && !is_empty {
            self.behind(class, &act, text.clone());
        }
        match act {
            Act::Creates => {
                if let Class::Object(kind, schema, name) = class {
                    let made = object(schema.clone(), name.clone(), &self.dump);
                    self.ledger.makes(&made);
                    // In ANSI mode a view looks like its placeholder; its heading tells.
                    if *kind == Kind::View || self.is_under_view(&made.1) {
                        self.ledger.makes_view(&made);
                    }
                }
            }
            Act::Drops(schema, name) => self.ledger.drops(object(schema, name, &self.dump)),
            Act::Locks(schema, name) => self.ledger.locks(object(schema, name, &self.dump)),
            Act::Unlocks => self.ledger.unlocks(),
            Act::Unexpected => self.ledger.oddity(OddityKind::Statement, self.place(), text),
            Act::ClientCommand => {
                self.ledger.oddity(OddityKind::ClientCommand, self.place(), text);
            }
            Act::Rows if !self.dump.is_completed => {
                self.ledger.flaw(Flaw::Rows { last: self.last() });
            }
            Act::Text if !self.dump.is_completed && !is_empty => {
                self.ledger.flaw(Flaw::Text { last: self.last(), text });
            }
            Act::CreatesRoutine => self.counts.routines += 1,
            Act::CreatesEvent => self.counts.events += 1,
            Act::CreatesTrigger => self.counts.triggers += 1,
            Act::Usual | Act::Begins | Act::Commits | Act::Rows | Act::Text => {}
        }
    }

    /// Tells whether the open member is the definition of this view.
    fn is_under_view(&self, view: &Name) -> bool {
        let section = self.current.as_ref().map(|open| &open.section);
        matches!(section, Some(Section::Object(Kind::View, _, name)) if name == view)
    }

    /// Takes a statement that follows the completion line.
    fn behind(&mut self, class: &Class, act: &Act, text: String) {
        let holds = matches!(class, Class::Object(..) | Class::Routine | Class::Event);
        let is_text = matches!(act, Act::Rows | Act::Text);
        if holds || is_text {
            self.ledger.flaw(Flaw::Appended(text));
        } else if !matches!(act, Act::Unexpected | Act::ClientCommand) {
            self.ledger.trailing(OddityKind::Trailing, text);
        }
    }

    /// Reports the commands to the client that stood in what has just ended.
    pub(super) fn client_commands(&mut self) {
        if self.lexer.take_command() {
            let text = "a backslash outside of strings".to_owned();
            self.ledger.oddity(OddityKind::ClientCommand, self.place(), text);
        }
    }

    /// Returns where the dump is: the path of the open member without its suffix.
    fn place(&self) -> String {
        let section = self.current.as_ref().map_or(&Section::Preamble, |open| &open.section);
        let path = section.path();
        String::from_utf8_lossy(path.strip_suffix(b".sql").unwrap_or(&path)).into_owned()
    }

    /// Returns what the open member is about, for people.
    pub(super) fn last(&self) -> String {
        self.current.as_ref().map_or(&Section::Preamble, |open| &open.section).words()
    }

    /// Takes a line that means something wherever it stands, but for its line end.
    pub(super) fn before_line_end(&mut self, mark: Mark, sink: &mut impl Sink) -> Result<()> {
        let tool = match mark {
            Mark::Sandbox => None,
            Mark::Begins(tool) => Some(tool),
            Mark::Ends(_) | Mark::Error | Mark::Notice => return Ok(()),
        };
        if self.dump.is_blank() && self.lexer.is_between() {
            self.dump.tool = tool;
        } else if self.stage == Stage::Gap && !self.lexer.is_between() {
            // It stands in a comment.
            return Ok(());
        } else {
            self.begin_dump(tool, sink)?;
        }
        self.has_comments |= tool.is_some();
        if self.dump.tool == Some(Tool::Sqlite) {
            self.session = Session::new(Reading::STANDARD);
            self.lexer.read_texts(Reading::STANDARD);
        }
        self.dump.said.comment(self.lines.line());
        self.take_schema();
        Ok(())
    }

    /// Takes such a line when it has ended.
    pub(super) fn behind_line(&mut self, mark: Mark, sink: &mut impl Sink) -> Result<()> {
        match mark {
            Mark::Sandbox | Mark::Begins(_) => Ok(()),
            Mark::Ends(tool) => {
                let counts = self.lexer.is_between()
                    && !self.lexer.has_own_delimiter()
                    && self.dump.ends_with(tool);
                if counts {
                    self.dump.is_completed = true;
                    self.release(sink)?;
                }
                Ok(())
            }
            Mark::Error | Mark::Notice => {
                self.message(mark);
                Ok(())
            }
        }
    }

    /// Takes a message of the program. One that stands between statements is passed over, so that
    /// the next statement is read as one.
    fn message(&mut self, mark: Mark) {
        let is_alone = match self.stage {
            Stage::Head { from } => self.held.len() - from <= self.lines.length(),
            Stage::Gap | Stage::Body => false,
        };
        // Bodies of routines may have any text.
        if !is_alone && self.lexer.has_own_delimiter() {
            return;
        }
        let text = shown(self.lines.line());
        if mark == Mark::Error {
            self.ledger.flaw(Flaw::Message(text));
        } else if is_alone {
            self.ledger.oddity(OddityKind::Text, self.place(), text);
        }
        if is_alone {
            self.lexer.leave_statement();
            self.stage = Stage::Gap;
        }
    }

    /// Ends a dump because the header of another has come, maybe where nothing should have ended.
    fn begin_dump(&mut self, tool: Option<Tool>, sink: &mut impl Sink) -> Result<()> {
        let (end, line) = (self.dump.end(&self.lexer), self.lines.length());
        if let Stage::Head { from } = self.stage {
            self.decide(from, Extent::Beginning, sink)?;
            self.stage = Stage::Body;
        }
        // A header inside a statement has been given away with it.
        let of_previous = match self.stage {
            Stage::Gap => self.held.len().saturating_sub(line),
            Stage::Head { .. } | Stage::Body => self.held.len(),
        };
        let header = self.held.split_off(of_previous);
        self.release(sink)?;
        if !self.dump.is_foreign() && !matches!(end, DumpEnd::Completed | DumpEnd::Unmarked) {
            let schema = self.dump.said.database.as_ref();
            let schema = schema.map(|name| String::from_utf8_lossy(name).into_owned());
            self.flaws.push(Flaw::Broken {
                number: self.dumps + 1,
                schema,
                end,
                last: self.last(),
            });
        }
        self.close_previous(end);
        self.ledger.goes_on();
        self.session = Session::new(Reading::FIRST);
        self.lexer.read_texts(Reading::FIRST);
        if !self.lexer.is_between() || self.lexer.has_own_delimiter() {
            self.lexer = Lexer::new(Reading::FIRST);
        }
        self.dump = Dump::of(tool);
        (self.held, self.stage) = (header, Stage::Gap);
        if self.current.is_some() {
            sink.end()?;
        }
        self.open(Section::Preamble, RecognisedBy::Statement, sink)
    }

    /// Takes down what is known of a dump that another follows, unless it was none.
    fn close_previous(&mut self, end: DumpEnd) {
        if !self.dump.is_foreign() {
            self.close_dump(end);
            return;
        }
        let (messages, text) = self.ledger.forget_text();
        self.flaws.append(messages);
        if let Some(text) = text {
            self.ledger.oddity(OddityKind::Text, "line 1".to_owned(), text);
        }
    }

    pub(super) fn close_dump(&mut self, end: DumpEnd) {
        let dump = std::mem::take(&mut self.dump);
        self.dumps += 1;
        if end == DumpEnd::Completed && dump.is_empty() {
            self.flaws.push(Flaw::Empty { number: self.dumps });
        }
        self.flaws.append(self.ledger.close(end));
        self.counts.objects += dump.objects + dump.declarations;
        self.said.add(dump.said);
    }

    /// Takes the next bytes of a dump that is one member.
    pub(super) fn push_whole(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        if self.current.is_none() {
            let is_xml = self.kind == DumpKind::Xml;
            sink.open(if is_xml { XML_PATH } else { WHOLE_PATH })?;
            let (section, recognised_by) = (Section::Preamble, RecognisedBy::Comment);
            self.current = Some(Current { section, recognised_by });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (count, mark) = self.lines.next(rest);
            match mark {
                Some(Mark::Begins(tool)) => {
                    if self.dump.tool.is_some() && !self.dump.is_completed {
                        let (number, end) = (self.dumps, DumpEnd::InStatement);
                        let (schema, last) = (None, "its end".to_owned());
                        self.flaws.push(Flaw::Broken { number, schema, end, last });
                    }
                    self.dumps += 1;
                    self.dump = Dump::of(Some(tool));
                }
                Some(Mark::Ends(_)) => self.dump.is_completed = true,
                Some(Mark::Error) => self.flaws.push(Flaw::Message(shown(self.lines.line()))),
                Some(Mark::Sandbox | Mark::Notice) | None => {}
            }
            rest = &rest[count..];
        }
        sink.payload(bytes)
    }

    /// Tells how such a dump ends.
    pub(super) fn end_of_whole(&self) -> DumpEnd {
        if self.lines.is_closed() { DumpEnd::Completed } else { DumpEnd::InStatement }
    }

    /// Looks for zero bytes, which every dump program writes in another way.
    pub(super) fn look_for_zeros(&mut self, bytes: &[u8]) {
        if self.zeros_from.is_none() {
            self.zeros_from = memchr::memchr(0, bytes).map(|at| self.offset + u64_of(at));
        }
        self.offset += u64_of(bytes.len());
    }
}
