//! The parts of an earlier snapshot of the source that this one lacks.
//!
//! A producer whose account lost its rights leaves schemas and tables out and ends with status 0.
//! So the members are compared with those of the newest snapshot that lacked nothing, at most
//! [`RUNS_MAX`] runs back: whatever is missing for longer is not expected any more.
//!
//! | missing | named if |
//! |---|---|
//! | a schema | it had a table |
//! | tables of other schemas | at least 5, and more than a tenth of all |
//! | bytes | more than half, of more than 64 MiB, both streams being full |
//!
//! Both tables of members are walked once, side by side, so that the memory depends on what is
//! missing only, and that is bounded. A comparison that cannot be made because of damage is not
//! made: it must not cost tonight's backup.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::record::MemberKey;
use crate::format::snapshot::Description;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::map::table::TableReader;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::pipeline::collector::Collector;
use crate::pipeline::previous::Previous;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::verdict::Conclusion;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;

/// Runs that are looked back.
const RUNS_MAX: usize = 7;
/// Fewer missing tables than this are ordinary.
const TABLES_MIN: u64 = 5;
/// Names that are kept.
const NAMED_MAX: usize = 1000;
/// Smaller streams may shrink as they like.
const STREAM_BYTES_MIN: u64 = 64 << 20;

/// The facts from which the comparison starts.
pub(super) struct Around<'a> {
    pub repository: &'a Repository,
    /// The snapshots of the source that the run may rely on, in the order of their numbers.
    pub roots: &'a [SnapshotName],
    /// The newest of them, the newest first.
    pub newest: &'a [StoredSnapshot],
    /// Member tables of these snapshots.
    pub previous: &'a Previous,
    pub monitor: &'a Arc<Monitor>,
}

/// Adds findings about what is missing; `stream_bytes` is the length of the stream.
pub(super) fn find(
    conclusion: &mut Conclusion,
    stream_bytes: u64,
    collector: &mut Collector<'_>,
    around: &Around<'_>,
) -> Result<()> {
    let (format, kind) = (conclusion.format, conclusion.kind);
    if format.is_plain() || conclusion.verdict() == Verdict::Partial {
        return Ok(());
    }
    match compare(format, kind, stream_bytes, collector, around) {
        Ok(findings) => conclusion.findings.extend(findings),
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
        Err(_) => {}
    }
    Ok(())
}

fn compare(
    format: StreamFormat,
    kind: SnapshotKind,
    stream_bytes: u64,
    collector: &mut Collector<'_>,
    around: &Around<'_>,
) -> Result<Vec<Finding>> {
    let Some(reference) = reference(format, around)? else {
        return Ok(empty_dump(&tally(format, collector, None)?).into_iter().collect());
    };
    let own = around.newest.last().filter(|newest| newest.id() == reference.id());
    let contents;
    let table = if let Some(table) = own.and_then(|_| around.previous.newest_whole()) {
        table
    } else {
        contents = around.repository.contents(&reference, around.monitor)?;
        contents.table()
    };
    let tally = tally(format, collector, Some(table))?;
    let mut findings: Vec<Finding> = empty_dump(&tally).into_iter().collect();
    let about = &reference.snapshot.about;
    let both_full = kind == SnapshotKind::Full && about.kind == SnapshotKind::Full;
    findings.extend(tally.findings(&reference));
    if both_full && about.stream_bytes > STREAM_BYTES_MIN && stream_bytes < about.stream_bytes / 2 {
        let text = format!(
            "it has {stream_bytes} bytes, snapshot {} has {}",
            reference.id().short(),
            about.stream_bytes
        );
        findings.push(Finding::new(Code::LostMembers, "stream", text));
    }
    Ok(findings)
}

/// Finds the newest snapshot that lacked nothing.
fn reference(format: StreamFormat, around: &Around<'_>) -> Result<Option<StoredSnapshot>> {
    let fits = |about: &Description| about.format == format && about.verdict != Verdict::Partial;
    match around.newest.last() {
        None => return Ok(None),
        Some(newest) if fits(&newest.snapshot.about) && !lacks(&newest.snapshot.about) => {
            return Ok(Some(newest.clone()));
        }
        Some(_) => {}
    }
    let mut runs = 0;
    for name in around.roots.iter().rev() {
        around.monitor.check()?;
        let Ok(stored) = around.repository.read_snapshot(name) else { continue };
        let about = &stored.snapshot.about;
        if about.kind == SnapshotKind::Checkpoint {
            continue;
        }
        if fits(about) && !lacks(about) {
            return Ok(Some(stored));
        }
        runs += 1;
        if runs == RUNS_MAX {
            break;
        }
    }
    Ok(None)
}

/// Tells whether a snapshot lacks something that was not accepted.
fn lacks(about: &Description) -> bool {
    about
        .findings
        .iter()
        .any(|finding| finding.code == Code::LostMembers.as_str() && !finding.accepted)
}

/// Returns the finding of a dump that declares schemas and holds nothing else.
fn empty_dump(tally: &Tally) -> Option<Finding> {
    if !tally.declares || tally.tables_now > 0 {
        return None;
    }
    let text = "the dump declares schemas and holds no table, view or routine: look at the rights \
                of the producer's account";
    Some(Finding::new(Code::LostMembers, "stream", text))
}

/// Walks through the members of both snapshots.
fn tally(
    format: StreamFormat,
    collector: &mut Collector<'_>,
    reference: Option<&TableReader>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut cursor = reference.map(TableReader::cursor);
    let mut next = || match &mut cursor {
        None => Ok::<_, Error>(None),
        Some(cursor) => Ok(cursor.next()?.map(|record| place(format, &record.key))),
    };
    let mut previous = next()?;
    let mut now: Option<Place> = None;
    collector.visit(&mut |key| {
        let new = place(format, key);
        while let Some(before) = previous.take_if(|before| before.path < new.path) {
            let state = before.state(now.as_ref());
            tally.previous(before, state);
            previous = next()?;
        }
        tally.present(&new);
        now = Some(new);
        Ok(())
    })?;
    while let Some(before) = previous.take() {
        let state = before.state(now.as_ref());
        tally.previous(before, state);
        previous = next()?;
    }
    tally.leave();
    Ok(tally)
}

/// The role of a member in its server.
struct Place {
    /// Its path, the same for a table and its changed pages.
    path: Vec<u8>,
    schema: Option<Vec<u8>>,
    thing: Thing,
}

impl Place {
    /// Tells whether the member is in the new stream, whose last member before the next is `last`.
    fn state(&self, last: Option<&Self>) -> Now {
        match last {
            Some(last) if last.path == self.path => Now::There,
            _ => Now::Missing,
        }
    }
}

/// The presence of an earlier snapshot's member in the new stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    There,
    Missing,
}

/// The kind of thing that a member is.
enum Thing {
    /// A table, or something else that can be lost, with its name.
    Table(Vec<u8>),
    /// A table or the like, as a file that only servers without definition files need.
    DataFile(Vec<u8>),
    /// A member that makes a schema.
    Schema,
    /// The whole stream, not taken apart.
    OnePiece,
    /// Anything else, which can't be lost.
    Other,
}

fn place(format: StreamFormat, key: &MemberKey) -> Place {
    let path = key.path.as_slice();
    match format {
        StreamFormat::Sql => {
            let Some(SqlMember { schema, part }) = SqlMember::of(path) else {
                return Place { path: path.to_vec(), schema: None, thing: Thing::OnePiece };
            };
            let thing = match part {
                SqlPart::Object(name) => Thing::Table(name),
                SqlPart::Database => Thing::Schema,
                SqlPart::Preamble | SqlPart::Trailer | SqlPart::Server(_) => Thing::Other,
            };
            Place { path: path.to_vec(), schema, thing }
        }
        StreamFormat::Mbstream => physical(path),
        StreamFormat::Tar | StreamFormat::Raw | StreamFormat::Binlog => {
            Place { path: path.to_vec(), schema: None, thing: Thing::Other }
        }
    }
}

fn physical(full: &[u8]) -> Place {
    let path = [&b".delta"[..], b".meta"].iter().find_map(|end| full.strip_suffix(*end));
    let path = path.unwrap_or(full);
    let (schema, file) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (Some(path[..at].to_vec()), &path[at + 1..]),
        None => (None, path),
    };
    let is_passing = file.starts_with(b"#") || file.starts_with(b"FTS_");
    let is_part = file.windows(3).any(|part| part.eq_ignore_ascii_case(b"#p#"));
    let named = |end: &[u8]| file.strip_suffix(end).filter(|_| !is_passing && !is_part);
    let thing = if let Some(name) = named(b".frm") {
        Thing::Table(name.to_vec())
    } else if let Some(name) = named(b".ibd") {
        Thing::DataFile(name.to_vec())
    } else {
        Thing::Other
    };
    Place { path: path.to_vec(), schema, thing }
}

/// Schemas and tables that the walk has counted.
#[derive(Default)]
struct Tally {
    /// The schema that the walk is in.
    here: Schema,
    schemas: Vec<(String, u64)>,
    tables: Missing,
    data_files: Missing,
    /// The stream is not taken apart into tables: a dump in XML.
    is_one_piece: bool,
    /// The stream says that it holds schemas.
    declares: bool,
    /// Tables and the like that are there.
    tables_now: u64,
}

/// A schema during the walk.
#[derive(Default)]
struct Schema {
    name: Option<Vec<u8>>,
    is_there: bool,
    tables: Missing,
    data_files: Missing,
}

/// Tables that are missing, by name as far as they are named.
#[derive(Default)]
struct Missing {
    all: u64,
    count: u64,
    names: Vec<String>,
}

impl Missing {
    fn take(&mut self, name: impl FnOnce() -> String, now: Now) {
        self.all += 1;
        if now == Now::There {
            return;
        }
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names.push(name());
        }
    }

    fn append(&mut self, more: Self) {
        self.all += more.all;
        self.count += more.count;
        let room = NAMED_MAX.saturating_sub(self.names.len());
        self.names.extend(more.names.into_iter().take(room));
    }
}

impl Tally {
    fn enter(&mut self, schema: Option<&Vec<u8>>) {
        if self.here.name.as_ref() != schema {
            self.leave();
            self.here.name = schema.cloned();
        }
    }

    fn present(&mut self, place: &Place) {
        self.enter(place.schema.as_ref());
        self.here.is_there = true;
        self.is_one_piece |= matches!(place.thing, Thing::OnePiece);
        self.declares |= matches!(place.thing, Thing::Schema);
        self.tables_now += u64::from(matches!(place.thing, Thing::Table(_)));
    }

    fn previous(&mut self, place: Place, now: Now) {
        self.enter(place.schema.as_ref());
        let Schema { name: schema, tables, data_files, .. } = &mut self.here;
        let full = |table: &[u8]| {
            let schema = schema.as_ref().map_or(String::new(), |schema| text(schema) + "/");
            schema + &text(table)
        };
        match place.thing {
            Thing::Table(name) => tables.take(|| full(&name), now),
            Thing::DataFile(name) => data_files.take(|| full(&name), now),
            Thing::Schema | Thing::OnePiece | Thing::Other => {}
        }
    }

    /// Ends a schema, and adds what it lacks to what the stream lacks.
    fn leave(&mut self) {
        let Schema { name, is_there, mut tables, mut data_files } = std::mem::take(&mut self.here);
        let had = if tables.all > 0 { tables.all } else { data_files.all };
        if let Some(name) = name.filter(|_| !is_there && had > 0) {
            if self.schemas.len() < NAMED_MAX {
                self.schemas.push((text(&name), had));
            }
            // They are missing with their schema.
            for missing in [&mut tables, &mut data_files] {
                (missing.count, missing.names) = (0, Vec::new());
            }
        }
        self.tables.append(tables);
        self.data_files.append(data_files);
    }

    fn findings(self, reference: &StoredSnapshot) -> Vec<Finding> {
        if self.is_one_piece {
            return Vec::new();
        }
        let has = format!("snapshot {}", reference.id().short());
        let schema = |(name, tables): (String, u64)| {
            let text = format!("the schema is missing, {has} has it with {tables} tables");
            Finding::new(Code::LostMembers, name, text)
        };
        let mut findings: Vec<Finding> = self.schemas.into_iter().map(schema).collect();
        let Missing { all, count, mut names } =
            if self.tables.all > 0 { self.tables } else { self.data_files };
        if count < TABLES_MIN || count * 10 <= all {
            return findings;
        }
        let others = count - u64_of(names.len());
        names.dedup();
        let table = |name| {
            Finding::new(Code::LostMembers, name, format!("the table is missing, {has} has it"))
        };
        findings.extend(names.into_iter().map(table));
        if others > 0 {
            let text = format!("{others} more tables of {has} are missing");
            findings.push(Finding::new(Code::LostMembers, "stream", text));
        }
        findings
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
