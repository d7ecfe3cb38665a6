//! One dump of a stream: what is known of it while it is read.
//!
//! A stream may hold several dumps, as a loop over schemas writes them. Each has a header, its own
//! current schema, its own positions and its own end; nothing of one counts for the next.

use crate::parse::sql::facts::DumpEnd;
use crate::parse::sql::facts::DumpSaid;
use crate::parse::sql::lexer::Lexer;
use crate::parse::sql::section::Name;
use crate::parse::sql::statement::Act;
use crate::parse::sql::statement::Class;
use crate::parse::sql::tool::Closing;
use crate::parse::sql::tool::Tool;

/// The state of one dump of a stream while it is read.
#[derive(Debug, Default)]
pub(super) struct Dump {
    /// The program that wrote it, once its header has come.
    pub(super) tool: Option<Tool>,
    /// The schema that is current.
    pub(super) schema: Option<Name>,
    /// The statements of the dump about itself.
    pub(super) said: DumpSaid,
    /// Statements of any kind.
    pub(super) statements: u64,
    /// Tables, views, routines and events.
    pub(super) objects: u64,
    /// Schemas that are made or entered, accounts.
    pub(super) declarations: u64,
    /// True once the completion line of the dump has come.
    pub(super) is_completed: bool,
    /// True if its first statements changed the session, or began a transaction.
    opens: bool,
    /// True if its last statement undid that.
    closes: bool,
}

impl Dump {
    /// Begins a dump that this program writes, if its header has said so.
    pub(super) fn of(tool: Option<Tool>) -> Self {
        Self { tool, ..Self::default() }
    }

    /// Tells whether nothing of the dump has come but comments.
    pub(super) fn is_blank(&self) -> bool {
        self.tool.is_none() && self.statements == 0 && !self.is_completed
    }

    /// Tells whether it is no dump: without a header, and nothing in it.
    pub(super) fn is_foreign(&self) -> bool {
        self.tool.is_none() && self.objects == 0 && !self.is_completed
    }

    /// Tells whether it holds nothing, and does not say that it is the dump of one schema.
    pub(super) fn is_empty(&self) -> bool {
        self.objects == 0 && self.declarations == 0 && self.said.database.is_none()
    }

    /// Takes what a statement is for.
    pub(super) fn statement(&mut self, class: &Class, act: &Act) {
        self.statements += 1;
        self.opens |= *class == Class::Saves || *act == Act::Begins;
        self.closes = *class == Class::PutsBack || *act == Act::Commits;
    }

    /// Tells whether a last line of `tool` is the one that the program of this dump writes.
    pub(super) fn ends_with(&self, tool: Tool) -> bool {
        self.tool.unwrap_or(Tool::Mariadb) == tool
    }

    /// Tells how it ends if nothing more comes.
    pub(super) fn end(&self, lexer: &Lexer) -> DumpEnd {
        if self.is_completed {
            return DumpEnd::Completed;
        }
        if lexer.is_quoted() {
            return DumpEnd::InValue;
        }
        if !lexer.is_between() || lexer.has_own_delimiter() {
            return DumpEnd::InStatement;
        }
        match self.tool.map_or(Closing::Line, Tool::closing) {
            Closing::Line => DumpEnd::Between,
            Closing::Statement if self.closes => DumpEnd::Completed,
            Closing::Statement if self.opens => DumpEnd::Between,
            Closing::Nothing | Closing::Statement => DumpEnd::Unmarked,
        }
    }
}
