//! The statements of a dump about itself, in its comments and about replication, and the facts
//! about a stream of dumps when it has ended.

use crate::parse::sql::kind::DumpKind;
use crate::parse::sql::tool::Tool;

/// Bytes of a comment or statement that are looked at.
pub(super) const LINE_BYTES_MAX: usize = 1024;

/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 512;

/// The way in which a dump ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpEnd {
    /// With the completion line, between statements.
    Completed,
    /// Between statements, without that line.
    Between,
    /// Between statements, and the program that wrote it marks no end.
    Unmarked,
    /// Inside a statement, but not in a quoted value.
    InStatement,
    /// Inside a quoted value.
    InValue,
}

/// The facts about a dump when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFacts {
    /// The kind of text that it is made of.
    pub kind: DumpKind,
    /// The program that wrote the last dump of the stream, if its header says so.
    pub tool: Option<Tool>,
    /// Dumps in the stream: each has its own header and its own completion line.
    pub dumps: u64,
    /// The way in which the last one ends.
    pub end: DumpEnd,
    /// The subject of its last bytes, for people.
    pub last: String,
    /// True if it has comments: without any, the completion line was left out on purpose.
    pub has_comments: bool,
    /// Databases, tables and views that it holds.
    pub counts: DumpCounts,
    /// The statements of the dump about itself.
    pub said: DumpSaid,
    /// Comments in which the tool says that something is missing.
    pub complaints: Vec<String>,
    /// The flaws that make the dump unreliable, beyond its end.
    pub flaws: Vec<Flaw>,
    /// Flaws that are not in the list.
    pub flaws_others: u64,
    /// The parts of the dump that the dump programs do not write.
    pub oddities: Vec<Oddity>,
    /// Oddities that are not in the list.
    pub oddities_others: u64,
}

/// Something that makes a dump unreliable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// A dump of the stream broke off, and another follows it.
    Broken {
        /// The number of the dump in the stream, counted from 1.
        number: u64,
        /// The schema that its header names.
        schema: Option<String>,
        /// The way in which the broken dump ends.
        end: DumpEnd,
        /// The subject of the last bytes of the broken dump, for people.
        last: String,
    },
    /// A dump of the stream holds no object at all.
    Empty {
        /// The number of the dump in the stream, counted from 1.
        number: u64,
    },
    /// An error message of the program stands in the dump.
    Message(String),
    /// Rows stand where a statement should begin.
    Rows {
        /// The part of the dump that the rows follow, for people.
        last: String,
    },
    /// Text stands where a statement should begin.
    Text {
        /// The part of the dump that the text follows, for people.
        last: String,
        /// The beginning of the text, for people.
        text: String,
    },
    /// There are zero bytes, which no client takes.
    Zeros {
        /// The offset of the first one in the stream.
        offset: u64,
    },
    /// A table or view is dropped and not made again.
    Dropped(String),
    /// A table is locked and not unlocked.
    Locked(String),
    /// A view has its placeholder only.
    Placeholder(String),
    /// A statement or text that belongs to no dump follows the completion line.
    Appended(String),
}

/// Something in a dump that the dump programs do not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// The kind of the oddity.
    pub kind: OddityKind,
    /// The part of the dump in which it stands.
    pub place: String,
    /// Its beginning, as text for people.
    pub text: String,
}

/// The kinds of oddities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OddityKind {
    /// A statement that they never write.
    Statement,
    /// A command to the client, outside of strings.
    ClientCommand,
    /// Text before the first header, or a message of the program that is no error.
    Text,
    /// A harmless statement after the completion line.
    Trailing,
    /// A comment after the completion line.
    TrailingComment,
}

/// Members of a dump, by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpCounts {
    /// Databases that it makes or goes into.
    pub databases: u64,
    /// Number of tables and sequences.
    pub tables: u64,
    /// Number of views that the dump holds.
    pub views: u64,
    /// Functions, procedures and packages that the dump makes.
    pub routines: u64,
    /// Events that the dump makes.
    pub events: u64,
    /// Triggers that the dump makes.
    pub triggers: u64,
    /// Statements of any kind.
    pub statements: u64,
    /// Objects of any kind, and schemas that are made, entered or named by a header.
    pub objects: u64,
}

/// The statements of a dump about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpSaid {
    /// The tool, with its version.
    pub tool_version: Option<String>,
    /// Version of the server that was dumped.
    pub server_version: Option<String>,
    /// The only database, if it was dumped alone.
    pub database: Option<Vec<u8>>,
    /// Name of the binary log file.
    pub binlog_file: Option<String>,
    /// Position in the binary log file.
    pub binlog_position: Option<u64>,
    /// GTID of the last change, or the set of them.
    pub gtid: Option<String>,
    /// When it ended, as the tool wrote it.
    pub end_time: Option<String>,
    /// Dumps of the stream state different positions, so that none of them counts.
    pub has_mixed_positions: bool,
}

/// The meaning of a comment between statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The comment means nothing that matters.
    Nothing,
    /// A section begins, with this heading.
    Begins(Heading),
    /// Something could not be dumped.
    Complaint(String),
}

/// The heading of a section, in the schema that is current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heading {
    Table(Vec<u8>),
    Placeholder(Vec<u8>),
    View(Vec<u8>),
    Events(Option<Vec<u8>>),
    Routines(Option<Vec<u8>>),
}

impl DumpSaid {
    /// Takes a comment between statements.
    pub(super) fn comment(&mut self, line: &[u8]) -> Said {
        let line = line.strip_prefix(b"-- ").unwrap_or(line).trim_ascii_end();
        for (start, name) in
            [(&b"MariaDB dump "[..], "MariaDB dump"), (b"MySQL dump ", "MySQL dump")]
        {
            if let Some(rest) = line.strip_prefix(start) {
                self.tool_version.get_or_insert_with(|| format!("{name} {}", text(rest)));
                return Said::Nothing;
            }
        }
        if let Some(rest) = line.strip_prefix(b"Server version") {
            self.server_version.get_or_insert_with(|| text(rest));
        } else if let Some(at) = find(line, b"Database: ").filter(|_| line.starts_with(b"Host: ")) {
            let database = &line[at + b"Database: ".len()..];
            // MySQL Shell names the table too.
            let database = &database[..find(database, b"    Table: ").unwrap_or(database.len())];
            let database = database.trim_ascii();
            self.database = (!database.is_empty()).then(|| database.to_vec());
        } else if let Some(rest) = line.strip_prefix(b"Database: ") {
            // phpMyAdmin, before the tables of each schema.
            self.database = name(rest);
        } else if let Some(rest) = [&b"Dump completed on "[..], b"Dump end time: "]
            .iter()
            .find_map(|s| line.strip_prefix(*s))
        {
            self.end_time = Some(text(rest));
        } else if let Some(heading) = heading(line) {
            return Said::Begins(heading);
        } else if is_complaint(line) {
            return Said::Complaint(text(line));
        } else {
            self.statement(line);
        }
        Said::Nothing
    }

    /// Adds what the next dump of the stream says. Positions that differ are none: each is that of
    /// a part of the stream only.
    pub(super) fn add(&mut self, next: Self) {
        let position =
            |said: &Self| (said.binlog_file.clone(), said.binlog_position, said.gtid.clone());
        let (mine, other) = (position(self), position(&next));
        if other != (None, None, None) && mine != other {
            let is_first = mine == (None, None, None) && !self.has_mixed_positions;
            (self.binlog_file, self.binlog_position, self.gtid) =
                if is_first { other } else { (None, None, None) };
            self.has_mixed_positions = !is_first;
        }
        self.tool_version = self.tool_version.take().or(next.tool_version);
        self.server_version = self.server_version.take().or(next.server_version);
        self.database = next.database;
        self.end_time = next.end_time;
    }

    /// Takes a statement, or one in a comment, that may tell positions.
    pub(super) fn statement(&mut self, head: &[u8]) {
        let upper = head.to_ascii_uppercase();
        let at = |key: &[u8]| find(&upper, key).map(|at| &head[at + key.len()..]);
        if upper.starts_with(b"CHANGE ") && self.binlog_file.is_none() {
            self.binlog_file = at(b"_LOG_FILE=").and_then(quoted);
            self.binlog_position = at(b"_LOG_POS=").and_then(number);
        }
        if let Some(rest) = at(b"GTID_SLAVE_POS") {
            self.gtid = rest.strip_prefix(b"=").and_then(quoted).or(self.gtid.take());
        }
        if let Some(rest) = at(b"GTID_PURGED=") {
            // `/*!80000 '+'*/` says that the set is to be added.
            let rest = find(rest, b"*/").map_or(rest, |end| &rest[end + 2..]);
            self.gtid = quoted(rest.trim_ascii_start()).or(self.gtid.take());
        }
    }
}

/// Returns the heading that a comment is, if it is one.
fn heading(line: &[u8]) -> Option<Heading> {
    type Makes = fn(Vec<u8>) -> Heading;
    let starts: [(&[u8], Makes); 6] = [
        (b"Table structure for table ", Heading::Table),
        (b"Sequence structure for ", Heading::Table),
        (b"Dumping data for table ", Heading::Table),
        (b"Temporary table structure for view ", Heading::Placeholder),
        (b"Temporary view structure for view ", Heading::Placeholder),
        (b"Final view structure for view ", Heading::View),
    ];
    for (start, make) in starts {
        if let Some(rest) = line.strip_prefix(start) {
            return name(rest).map(make);
        }
    }
    if let Some(rest) = line.strip_prefix(b"Dumping events for database ") {
        return Some(Heading::Events(name(rest)));
    }
    let rest = line.strip_prefix(b"Dumping routines for database ")?;
    Some(Heading::Routines(name(rest)))
}

/// Tells whether the tool says that it left something out.
fn is_complaint(line: &[u8]) -> bool {
    [&b"failed on view "[..], b"insufficient privileges", b"does "].iter().any(|start| {
        line.starts_with(start)
            && (*start != b"does " || find(line, b" have permissions").is_some())
    })
}

/// Reads a name in backticks or quotes that is the rest of a line.
fn name(rest: &[u8]) -> Option<Vec<u8>> {
    let quote = *rest.first().filter(|byte| b"`'\"".contains(byte))?;
    let inner = rest[1..].strip_suffix(&[quote])?;
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == quote && bytes.next() != Some(&quote) {
            return None;
        }
    }
    Some(out)
}

fn quoted(rest: &[u8]) -> Option<String> {
    let inner = rest.strip_prefix(b"'")?;
    let end = inner.iter().position(|byte| *byte == b'\'')?;
    Some(text(&inner[..end]))
}

fn number(rest: &[u8]) -> Option<u64> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Returns the beginning of a value for people.
pub(super) fn text(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    String::from_utf8_lossy(&bytes[..bytes.len().min(VALUE_BYTES_MAX)]).into_owned()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}
