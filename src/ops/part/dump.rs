//! Parts of a dump, or all of it, in the order in which they load.
//!
//! | pass | what | why there |
//! |---|---|---|
//! | 1 | schemas, tables, views, routines | |
//! | 2 | accounts, roles, grants, those to `PUBLIC` last | grants on columns need the tables |
//! | 3 | events | they may run as soon as they are there |
//!
//! Each pass has the preamble and the trailer of its dump, since a session begins and ends with
//! them. Left out are positions of replication, which must not move a replica, and the schemas of
//! the server itself, whose tables belong to one version; unless these are asked for by name.
//! Accounts that the server has stay as they are: `CREATE USER` becomes `CREATE USER IF NOT
//! EXISTS`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::ops::part::guard;
use crate::ops::part::guard::Made;
use crate::ops::part::options::PartOptions;
use crate::ops::part::options::PartPlan;
use crate::ops::part::options::PartReport;
use crate::ops::part::options::PlannedFile;
use crate::ops::part::options::Target;
use crate::ops::part::sink::Sink;
use crate::ops::pieces;
use crate::ops::pieces::MemberReader;
use crate::ops::restore::dump::Piece;
use crate::ops::restore::dump::pieces_of;
use crate::ops::restore::dump::plan_piece;
use crate::ops::restore::dump::warnings;
use crate::ops::selection;
use crate::ops::selection::container;
use crate::ops::selection::key_of;
use crate::ops::wanted::TableName;
use crate::ops::wanted::Wanted;
use crate::parse::sql::Excerpt;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::parse::sql::TableDefinition;
use crate::parse::sql::charset_of;
use crate::parse::sql::create_schema_statement;
use crate::parse::tree::TreeFile;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Schemas of the server itself, whose tables belong to one version.
const OF_SERVER: [&[u8]; 4] = [b"mysql", b"sys", b"performance_schema", b"information_schema"];

/// Bytes of a member in which its definition is looked for.
const DEFINITION_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a preamble.
const PREAMBLE_BYTES_MAX: u64 = 64 << 10;

/// When a member is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    Objects,
    Accounts,
    Events,
}

/// The members of a dump that are wanted, in the order in which they load.
#[derive(Debug, Default)]
struct Chosen {
    files: Vec<TreeFile>,
    tables: BTreeSet<TableName>,
    schemas: BTreeSet<Vec<u8>>,
    entered: BTreeSet<Vec<u8>>,
    notes: Vec<String>,
}

/// Says what would be loaded.
pub(super) fn plan(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &PartOptions,
    world: &World,
) -> Result<PartPlan> {
    let contents = open(repository, stored, world)?;
    let chosen = Chosen::new(&contents, options)?;
    let planned = |file: &TreeFile| PlannedFile {
        path: String::from_utf8_lossy(file.member_path.as_bytes()).into_owned(),
        bytes: file.length,
    };
    Ok(PartPlan {
        tables: chosen.named(options).iter().map(ToString::to_string).collect(),
        files: chosen.files.iter().map(planned).collect(),
        notes: chosen.notes,
    })
}

/// Writes or loads what is wanted.
pub(super) fn restore<'t>(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: Target<'t>,
    options: &PartOptions,
    world: &'t World,
) -> Result<PartReport> {
    let monitor = &*world.monitor;
    let contents = open(repository, stored, world)?;
    let mut chosen = Chosen::new(&contents, options)?;
    let tables = chosen.named(options);
    let reader = Reader { contents: &contents, monitor };
    if let Target::Server(server) = &target {
        let mut definitions = || chosen.definitions(&reader, options);
        let more = guard::check(server, &tables, options, &mut definitions)?;
        chosen.notes.extend(more);
    }
    let expected = chosen.files.iter().map(|file| file.length).sum();
    monitor.count(Counter::ExpectedBytes, expected);
    let charset = chosen.charset(&reader)?;
    let sink = Sink::open(target, charset.as_deref(), monitor)?;
    let (bytes, warnings) = chosen.write(&contents, sink, options, monitor)?;
    Ok(PartReport {
        id: stored.id(),
        tables: tables.iter().map(ToString::to_string).collect(),
        bytes,
        notes: chosen.notes,
        warnings,
        counts: monitor.counts(),
    })
}

fn open(repository: &Repository, stored: &StoredSnapshot, world: &World) -> Result<Contents> {
    repository.require_data()?;
    selection::refuse_checkpoint(stored)?;
    repository.contents(stored, &world.monitor)
}

impl Chosen {
    fn new(contents: &Contents, options: &PartOptions) -> Result<Self> {
        let all = container::files(contents)?;
        let mut chosen = Self::default();
        // Of each dump of the stream, the members of each pass.
        let mut passes: BTreeMap<(Pass, u64), Vec<TreeFile>> = BTreeMap::new();
        let mut frames: BTreeMap<u64, (Vec<TreeFile>, Vec<TreeFile>)> = BTreeMap::new();
        let mut without = BTreeSet::new();
        let mut dump = 0;
        for file in all {
            let Some(member) = SqlMember::of(file.member_path.as_bytes()) else {
                if options.wanted.is_empty() {
                    passes.entry((Pass::Objects, dump)).or_default().push(file);
                }
                continue;
            };
            match &member.part {
                SqlPart::Preamble => {
                    dump += 1;
                    frames.entry(dump).or_default().0.push(file);
                }
                SqlPart::Trailer => frames.entry(dump).or_default().1.push(file),
                SqlPart::Server(_) | SqlPart::Database | SqlPart::Object(_) => {
                    match chosen.pass_of(&member, options) {
                        Ok(pass) => {
                            let is_again =
                                member.part == SqlPart::Database && file.incarnation.get() > 0;
                            if !is_again {
                                passes.entry((pass, dump)).or_default().push(file);
                            }
                        }
                        Err(Some(note)) => {
                            without.insert(note);
                        }
                        Err(None) => {}
                    }
                }
            }
        }
        let makes_something = |files: &Vec<TreeFile>| {
            let part = |file: &TreeFile| SqlMember::of(file.member_path.as_bytes());
            files.iter().any(|file| part(file).is_none_or(|of| of.part != SqlPart::Database))
        };
        for ((_, dump), files) in passes {
            if !options.wanted.is_empty() && !makes_something(&files) {
                continue;
            }
            let (preamble, trailer) = frames.get(&dump).cloned().unwrap_or_default();
            chosen.files.extend(preamble);
            chosen.files.extend(files);
            chosen.files.extend(trailer);
        }
        chosen.notes.extend(without);
        chosen.require(options)?;
        Ok(chosen)
    }

    /// Returns when a member is loaded; an error if it is not, with a note if that is to be said.
    fn pass_of(&mut self, member: &SqlMember, options: &PartOptions) -> Result2<Pass> {
        if let SqlPart::Server(name) = &member.part {
            return match &name[..] {
                b"@system" if options.wanted.is_empty() => Ok(Pass::Accounts),
                b"@replication" if options.wanted.is_empty() => {
                    Err(Some("left out: positions of replication".to_owned()))
                }
                _ => Err(None),
            };
        }
        if member.part == SqlPart::Database {
            self.entered.extend(member.schema.clone());
        }
        let schema = member.schema.as_deref().unwrap_or_default();
        if options.wanted.is_empty() && OF_SERVER.contains(&schema) {
            let schema = String::from_utf8_lossy(schema);
            return Err(Some(format!("left out: schema {schema}, which belongs to one version")));
        }
        let name = match &member.part {
            SqlPart::Object(name) => Some(name.as_slice()),
            SqlPart::Preamble | SqlPart::Trailer | SqlPart::Database | SqlPart::Server(_) => None,
        };
        let is_wanted = |wanted: &Wanted| match (wanted, name) {
            (Wanted::Schema(of), _) => of.as_bytes() == schema,
            (Wanted::Table(of), None) => of.schema.as_bytes() == schema,
            (Wanted::Table(of), Some(name)) => {
                of.schema.as_bytes() == schema && of.table.as_bytes() == name
            }
        };
        if !options.wanted.is_empty() && !options.wanted.iter().any(is_wanted) {
            return Err(None);
        }
        self.schemas.extend(member.schema.clone());
        if let Some(name) = name.filter(|name| !name.starts_with(b"@")) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.tables.insert(TableName { schema: text(schema), table: text(name) });
        }
        let is_event = name == Some(b"@events");
        Ok(if is_event { Pass::Events } else { Pass::Objects })
    }

    /// Refuses what can't be done with what was chosen.
    fn require(&self, options: &PartOptions) -> Result<()> {
        let refused = |what: String| Err(Error::new(ErrorKind::Usage, what));
        for wanted in &options.wanted {
            let is_there = match wanted {
                Wanted::Schema(schema) => self.schemas.contains(schema.as_bytes()),
                Wanted::Table(name) => self.tables.contains(name),
            };
            if !is_there {
                return refused(format!("the dump has no {wanted}"));
            }
        }
        if self.files.is_empty() {
            return refused("the dump has nothing that could be loaded".to_owned());
        }
        let Some(into) = &options.into else {
            let unknown: Vec<String> = self
                .schemas
                .difference(&self.entered)
                .map(|schema| String::from_utf8_lossy(schema).into_owned())
                .collect();
            if unknown.is_empty() && self.tables.iter().all(|name| !name.schema.is_empty()) {
                return Ok(());
            }
            return refused(format!(
                "the dump does not say into which schema it loads: add --into {}",
                unknown.first().map_or("SCHEMA", String::as_str)
            ));
        };
        if self.schemas.len() > 1 {
            let names: Vec<String> =
                self.schemas.iter().map(|name| String::from_utf8_lossy(name).into()).collect();
            return refused(format!("--into takes one schema, not {}", guard::listed(&names)));
        }
        let one = matches!(&options.wanted[..], [Wanted::Table(_)]);
        if into.table.is_some() && !one {
            return refused("--into SCHEMA.TABLE takes one --table".to_owned());
        }
        Ok(())
    }

    /// Returns the tables by the names that they get.
    fn named(&self, options: &PartOptions) -> Vec<TableName> {
        self.tables.iter().map(|name| renamed(name, options)).collect()
    }

    /// Reads the definitions of the tables.
    fn definitions(&self, reader: &Reader<'_>, options: &PartOptions) -> Result<Vec<Made>> {
        let mut made = Vec::new();
        for file in &self.files {
            let Some(member) = SqlMember::of(file.member_path.as_bytes()) else { continue };
            let SqlPart::Object(name) = &member.part else { continue };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let schema = text(member.schema.as_deref().unwrap_or_default());
            let name = TableName { schema, table: text(name) };
            let head = reader.head(file, DEFINITION_BYTES_MAX)?;
            if let Some(definition) = TableDefinition::find(&head) {
                made.push((renamed(&name, options), Some(definition)));
            }
        }
        Ok(made)
    }

    /// Reads in which character set the first dump is written.
    fn charset(&self, reader: &Reader<'_>) -> Result<Option<String>> {
        let Some(first) = self.files.first() else { return Ok(None) };
        Ok(charset_of(&reader.head(first, PREAMBLE_BYTES_MAX)?))
    }

    /// Writes everything; returns the number of bytes, and what is missing.
    fn write(
        &self,
        contents: &Contents,
        mut sink: Sink<'_>,
        options: &PartOptions,
        monitor: &Monitor,
    ) -> Result<(u64, Vec<String>)> {
        let into = options.into.as_ref().map(|into| into.schema.as_bytes());
        let is_entered = |schema: &Vec<u8>| into.is_some() || self.entered.contains(schema);
        let pieces = pieces_of(&self.files, &is_entered, into);
        let mut parts = Parts::of(&pieces);
        let schema = self.schemas.first().map(Vec::as_slice);
        let mut excerpt = Excerpt::new(schema.zip(into)).with_present_accounts();
        if let (Some(table), [Wanted::Table(of)]) =
            (options.into.as_ref().and_then(|into| into.table.as_ref()), &options.wanted[..])
        {
            excerpt = excerpt.with_table(of.table.as_bytes(), table.as_bytes());
        }
        if let Some(into) = into.filter(|_| self.schemas.is_disjoint(&self.entered)) {
            sink.begin("the beginning");
            sink.write(&create_schema_statement(into))?;
        }
        let mut out = Vec::new();
        let plan = |planner: &mut pieces::Planner<'_, '_>| {
            pieces.into_iter().try_for_each(|piece| plan_piece(contents, planner, piece))
        };
        pieces::write_in_order(contents, options.workers, monitor, plan, |bytes| {
            parts.split(bytes, &mut |started, bytes| {
                if let Some(name) = started {
                    sink.begin(name);
                }
                excerpt.push(bytes, &mut out)?;
                sink.write(&out)?;
                out.clear();
                Ok(())
            })
        })?;
        let left_out = excerpt.finish(&mut out)?;
        sink.write(&out)?;
        Ok((sink.finish()?, warnings(left_out)))
    }
}

/// A result whose error is a note, if there is something to say.
type Result2<T> = std::result::Result<T, Option<String>>;

fn renamed(name: &TableName, options: &PartOptions) -> TableName {
    match &options.into {
        Some(into) => TableName {
            schema: into.schema.clone(),
            table: into.table.clone().unwrap_or_else(|| name.table.clone()),
        },
        None => name.clone(),
    }
}

/// Takes bytes of a part, with its name where it begins.
type TakePart<'t> = &'t mut dyn FnMut(Option<&str>, &[u8]) -> Result<()>;

/// Where in a stream its parts begin.
struct Parts {
    /// The parts from the last to the first, with where they begin.
    begins: Vec<(u64, String)>,
    at: u64,
}

impl Parts {
    fn of(pieces: &[Piece<'_>]) -> Self {
        let (mut begins, mut at) = (Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Text(text) => at += u64_of(text.len()),
                Piece::Member(file) => {
                    let path = String::from_utf8_lossy(file.member_path.as_bytes());
                    begins.push((at, path.into_owned()));
                    at += file.length;
                }
            }
        }
        begins.reverse();
        Self { begins, at: 0 }
    }

    /// Hands on bytes of the stream, cut where a part begins, with the name of that part.
    fn split(&mut self, bytes: &[u8], take: TakePart<'_>) -> Result<()> {
        let mut rest = bytes;
        let mut started: Option<String> = None;
        while let Some((at, _)) = self.begins.last() {
            let here = at.saturating_sub(self.at);
            if here >= u64_of(rest.len()) {
                break;
            }
            let (before, behind) = rest.split_at(crate::base::num::usize_of(here));
            if !before.is_empty() {
                take(started.take().as_deref(), before)?;
            }
            self.at += here;
            rest = behind;
            started = self.begins.pop().map(|(_, name)| name);
        }
        self.at += u64_of(rest.len());
        if rest.is_empty() { Ok(()) } else { take(started.as_deref(), rest) }
    }
}

/// Reads beginnings of members.
struct Reader<'r> {
    contents: &'r Contents,
    monitor: &'r Monitor,
}

impl Reader<'_> {
    fn head(&self, file: &TreeFile, bytes_max: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        let plan = |planner: &mut pieces::Planner<'_, '_>| {
            let mut member = MemberReader::new(self.contents, &key_of(file))?;
            planner.add_range(&mut member, 0, file.length.min(bytes_max))
        };
        pieces::write_in_order(self.contents, 1, self.monitor, plan, |bytes| {
            head.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_where_its_parts_begin() {
        let begins = [(0, "a"), (3, "b"), (3, "c"), (7, "d")];
        let stream = b"0123456789";
        for piece in 1..=stream.len() {
            let begins = begins.iter().rev().map(|(at, name)| (*at, (*name).to_owned()));
            let mut parts = Parts { begins: begins.collect(), at: 0 };
            let mut found: Vec<(String, Vec<u8>)> = Vec::new();
            for bytes in stream.chunks(piece) {
                let mut take = |started: Option<&str>, bytes: &[u8]| {
                    if let Some(name) = started {
                        found.push((name.to_owned(), Vec::new()));
                    }
                    found.last_mut().unwrap().1.extend_from_slice(bytes);
                    Ok(())
                };
                parts.split(bytes, &mut take).unwrap();
            }
            let found: Vec<(&str, &[u8])> =
                found.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            assert_eq!(found, [("a", &b"012"[..]), ("c", b"3456"), ("d", b"789")], "{piece}");
        }
    }
}
