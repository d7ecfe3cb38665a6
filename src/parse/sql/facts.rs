//! What a dump says about itself, in its comments and in statements about replication.

/// Bytes of a comment or statement that are looked at.
pub(super) const LINE_BYTES_MAX: usize = 1024;

/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 512;

/// The kinds of dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DumpKind {
    /// SQL statements.
    Statements,
    /// `--xml`: one member, of which only the last line is looked at.
    Xml,
}

/// How a dump ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpEnd {
    /// With the completion line, between statements.
    Completed,
    /// Between statements, without that line.
    Between,
    /// Inside a statement.
    InStatement,
    /// Inside a quoted value.
    InValue,
}

/// What is known of a dump when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFacts {
    /// What it is made of.
    pub kind: DumpKind,
    /// How it ends.
    pub end: DumpEnd,
    /// What its last bytes are about, for people.
    pub last: String,
    /// Whether it has comments: without any, the completion line was left out on purpose.
    pub has_comments: bool,
    /// Databases, tables and views that it holds.
    pub counts: DumpCounts,
    /// What it says of itself.
    pub said: DumpSaid,
    /// Comments in which the tool says that something is missing.
    pub complaints: Vec<String>,
}

/// Members of a dump, by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpCounts {
    /// Databases that it makes or goes into.
    pub databases: u64,
    /// Tables and sequences.
    pub tables: u64,
    /// Views.
    pub views: u64,
    /// Statements of any kind.
    pub statements: u64,
}

/// What a dump says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpSaid {
    /// The tool, with its version.
    pub tool_version: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// The only database, if it was dumped alone.
    pub database: Option<Vec<u8>>,
    /// Binary log file.
    pub binlog_file: Option<String>,
    /// Position in it.
    pub binlog_position: Option<u64>,
    /// GTID of the last change, or the set of them.
    pub gtid: Option<String>,
    /// When it ended, as the tool wrote it.
    pub end_time: Option<String>,
}

/// What a comment between statements means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing that matters.
    Nothing,
    /// A section begins.
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
    Events,
    Routines,
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
            let database = line[at + b"Database: ".len()..].trim_ascii();
            self.database = (!database.is_empty()).then(|| database.to_vec());
        } else if let Some(rest) = line.strip_prefix(b"Dump completed on ") {
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

/// The heading that a comment is.
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
    if line.starts_with(b"Dumping events for database ") {
        return Some(Heading::Events);
    }
    if line.starts_with(b"Dumping routines for database ") {
        return Some(Heading::Routines);
    }
    None
}

/// Whether the tool says that it left something out.
fn is_complaint(line: &[u8]) -> bool {
    [&b"failed on view "[..], b"insufficient privileges", b"does "].iter().any(|start| {
        line.starts_with(start)
            && (*start != b"does " || find(line, b" have permissions").is_some())
    })
}

/// A name in backticks or quotes that is the rest of a line.
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

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    String::from_utf8_lossy(&bytes[..bytes.len().min(VALUE_BYTES_MAX)]).into_owned()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// Watches the last line of a stream, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct LastLine {
    /// The last line that is not blank.
    last: Line,
    /// The line that has not ended.
    open: Line,
}

/// A line, or the beginning of a long one.
#[derive(Debug, Default)]
struct Line {
    start: Vec<u8>,
    has_text: bool,
    is_long: bool,
}

/// Bytes of a line that are kept: more than any completion line has.
const LAST_LINE_BYTES_MAX: usize = 128;

impl LastLine {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.open.add(&rest[..end]);
            if self.open.has_text {
                std::mem::swap(&mut self.last, &mut self.open);
            }
            self.open.clear();
            rest = &rest[end + 1..];
        }
        self.open.add(rest);
    }

    /// The last line, if it has ended and only blanks follow it.
    pub(super) fn get(&self) -> Option<&[u8]> {
        let is_known = !self.open.has_text && !self.last.is_long;
        is_known.then_some(self.last.start.trim_ascii_end())
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let room = LAST_LINE_BYTES_MAX - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_long |= bytes.len() > room;
        self.has_text = self.has_text || !bytes.trim_ascii_start().is_empty();
    }

    fn clear(&mut self) {
        self.start.clear();
        (self.has_text, self.is_long) = (false, false);
    }
}

/// Whether a line is the one that the tools write when they are done.
pub(super) fn is_completion(line: &[u8], kind: DumpKind) -> bool {
    match kind {
        DumpKind::Xml => line == b"</mysqldump>",
        DumpKind::Statements => {
            line == b"-- Dump completed"
                || line.strip_prefix(b"-- Dump completed on ").is_some_and(is_moment)
        }
    }
}

/// `2026-11-21  9:05:01`
fn is_moment(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"dddd-dd-dd ?d:dd:dd";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'?' => byte.is_ascii_digit() || *byte == b' ',
        _ => byte == shape,
    };
    text.len() == SHAPE.len() && text.iter().zip(SHAPE).all(fits)
}
