//! Restores parts of an SQL dump: one schema or table, as a dump that loads.
//!
//! A table alone does not load: it needs the session that the preamble sets up, and its schema. So
//! to what was asked for come the preamble, `CREATE DATABASE` and `USE` of each schema, a `USE`
//! wherever the schema changes, and the trailer that puts the session back. Replication positions
//! and users are left out unless they are asked for by name: a restored table must not move a
//! replica.

use std::collections::BTreeSet;
use std::path::Path;

use std::os::unix::ffi::OsStrExt;

use globset::GlobSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::record::MemberKey;
use crate::parse::path::StreamPath;
use crate::parse::sql::Excerpt;
use crate::parse::sql::LeftOut;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::parse::sql::comment;
use crate::parse::sql::use_statement;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

use super::Piece;
use super::Running;
use super::StreamBatch;
use super::batches;
use super::container;

/// A member of a dump, and which dump of the stream it is of.
struct Part {
    file: TreeFile,
    member: Option<SqlMember>,
    dump: u64,
}

/// Tells the dumps of a stream apart: each begins with its preamble.
fn parts(files: Vec<TreeFile>) -> Vec<Part> {
    let mut dump = 0;
    let part = |file: TreeFile| {
        let member = SqlMember::of(file.member_path.as_bytes());
        dump += u64::from(member.as_ref().is_some_and(|of| of.part == SqlPart::Preamble));
        Part { file, member, dump }
    };
    files.into_iter().map(part).collect()
}

/// Selects the members of a dump that a restore wants, in stream order.
pub(super) fn select(files: Vec<TreeFile>, include: &GlobSet) -> Result<Vec<TreeFile>> {
    let parts = parts(files);
    let asked = |part: &Part| {
        let name = part.member.as_ref().map(SqlMember::name);
        let matches =
            |bytes: &[u8]| include.is_match(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        matches(part.file.member_path.as_bytes()) || name.is_some_and(|name| matches(&name))
    };
    let (mut schemas, mut dumps) = (BTreeSet::new(), BTreeSet::new());
    for part in &parts {
        let kind = part.member.as_ref().map(|member| &member.part);
        let is_thing = !matches!(kind, Some(SqlPart::Preamble | SqlPart::Trailer));
        if is_thing && asked(part) {
            dumps.insert(part.dump);
            schemas.extend(part.member.as_ref().and_then(|member| member.schema.clone()));
        }
    }
    if dumps.is_empty() {
        let what = "no table of the dump matches --include: a schema is written 'nova.*', a table \
                    'nova.instances'";
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let wanted = |part: &Part| {
        let Some(of) = &part.member else { return asked(part) };
        match &of.part {
            SqlPart::Preamble | SqlPart::Trailer => dumps.contains(&part.dump),
            // Where it is entered again, a `USE` is written if something follows.
            SqlPart::Database if part.file.incarnation.get() > 0 => false,
            SqlPart::Database => of.schema.as_ref().is_some_and(|name| schemas.contains(name)),
            SqlPart::Object(_) | SqlPart::Server(_) => asked(part),
        }
    };
    let chosen = parts.into_iter().filter(wanted);
    Ok(chosen.map(|part| part.file).collect())
}

/// What a restore takes out of a dump as a stream.
pub(super) struct Selection {
    files: Vec<TreeFile>,
    /// The schemas that the members are of.
    pub(super) schemas: BTreeSet<Vec<u8>>,
    /// Schemas that the dump itself enters.
    entered: BTreeSet<Vec<u8>>,
    /// The schema to load into instead of their own.
    into: Option<Vec<u8>>,
}

impl Selection {
    /// Selects parts of a dump; `into` names the schema to load into, if it is not to be their own.
    pub(super) fn new(
        contents: &Contents,
        include: &GlobSet,
        into: Option<&[u8]>,
    ) -> Result<Selection> {
        let all = container::files(contents)?;
        let member = |file: &TreeFile| SqlMember::of(file.member_path.as_bytes());
        let entered = all
            .iter()
            .filter_map(member)
            .filter(|member| member.part == SqlPart::Database)
            .filter_map(|member| member.schema)
            .collect();
        let files = select(all, include)?;
        let schemas = files.iter().filter_map(member).filter_map(|member| member.schema).collect();
        let selection = Selection { files, schemas, entered, into: into.map(<[u8]>::to_vec) };
        selection.require_one_schema()?;
        Ok(selection)
    }

    /// Refuses what can't be loaded into another schema: only the parts of one known schema can.
    fn require_one_schema(&self) -> Result<()> {
        if self.into.is_none() {
            return Ok(());
        }
        let refused = |what: String| Err(Error::new(ErrorKind::Usage, what));
        let is_of_none = |file: &TreeFile| {
            let member = SqlMember::of(file.member_path.as_bytes());
            member.is_none_or(|member| {
                let is_frame = matches!(member.part, SqlPart::Preamble | SqlPart::Trailer);
                member.schema.is_none() && !is_frame
            })
        };
        if let Some(file) = self.files.iter().find(|file| is_of_none(file)) {
            let path = String::from_utf8_lossy(file.member_path.as_bytes()).into_owned();
            return refused(format!("--into: the dump does not say which schema {path} is of"));
        }
        if self.schemas.len() > 1 {
            let names = names(&self.schemas);
            return refused(format!("--into takes one schema, --include chooses several: {names}"));
        }
        Ok(())
    }

    /// Returns what rewrites the statements.
    pub(super) fn excerpt(&self) -> Excerpt {
        let of = self.schemas.first().map(Vec::as_slice);
        Excerpt::new(of.zip(self.into.as_deref()))
    }

    /// Tells into which schemas the stream will load, in words.
    pub(super) fn destination(&self) -> String {
        if let (Some(into), Some(of)) = (&self.into, self.schemas.first()) {
            let (into, of) = (String::from_utf8_lossy(into), String::from_utf8_lossy(of));
            return format!(
                "this loads into schema '{into}' what was dumped of '{of}', and replaces tables of \
                 the same names there"
            );
        }
        let entered: BTreeSet<Vec<u8>> =
            self.schemas.intersection(&self.entered).cloned().collect();
        match entered.len() {
            0 => "this loads into the schema that the client has entered, and replaces tables of \
                  the same names there"
                .to_owned(),
            count => format!(
                "this loads into schema{} {}, and replaces tables of the same names there",
                if count == 1 { "" } else { "s" },
                names(&entered)
            ),
        }
    }

    /// Plans one stream of the members that are wanted.
    pub(super) fn plan(
        &self,
        contents: &Contents,
        sender: &mut batches::Sender<'_, StreamBatch>,
    ) -> Result<()> {
        let mut current: Option<Vec<u8>> = None;
        let mut batch = StreamBatch::default();
        batch.push(Piece::Bytes(comment(&self.destination()).into_bytes()));
        for file in &self.files {
            let member = SqlMember::of(file.member_path.as_bytes());
            if let Some(schema) = member.as_ref().and_then(|member| member.schema.as_ref())
                && (self.into.is_some() || self.entered.contains(schema))
                && current.as_ref() != Some(schema)
            {
                let makes_it = member.as_ref().is_some_and(|of| of.part == SqlPart::Database);
                if !makes_it {
                    batch.push(Piece::Bytes(use_statement(schema)));
                }
                // A dump may make a schema that it does not enter: another one always is.
                if !makes_it || self.into.is_none() {
                    current = Some(schema.clone());
                }
            }
            let path = file.member_path.as_bytes().to_vec();
            let key = MemberKey { path, incarnation: file.incarnation.get() };
            let mut running = Running::new(contents, key)?;
            running.add((0, file.length), &mut batch, sender)?;
            batch.send_if_full(sender)?;
        }
        batch.send_rest(sender)
    }
}

/// Returns what the user should know of statements that were left out.
pub(super) fn told(left_out: LeftOut) -> Vec<String> {
    let mut told: Vec<String> =
        left_out.first.into_iter().map(|what| format!("left out: {what}")).collect();
    if left_out.others > 0 {
        told.push(format!("left out: {} other statements", left_out.others));
    }
    told
}

/// Joins the names of schemas, for people.
fn names(schemas: &BTreeSet<Vec<u8>>) -> String {
    const NAMES_MAX: usize = 10;
    let name = |name: &Vec<u8>| format!("'{}'", String::from_utf8_lossy(name));
    let mut names: Vec<String> = schemas.iter().take(NAMES_MAX).map(name).collect();
    if schemas.len() > NAMES_MAX {
        names.push(format!("and {} others", schemas.len() - NAMES_MAX));
    }
    names.join(", ")
}

/// Gives a member that has its path for a second time a file of its own: `t.sql`, `t.2.sql`.
pub(super) fn spread(files: &mut [TreeFile]) -> Result<()> {
    for file in files.iter_mut().filter(|file| file.incarnation.get() > 0) {
        let path = file.member_path.as_bytes();
        let stem = path.strip_suffix(b".sql").unwrap_or(path);
        let again = u64::from(file.incarnation.get()) + 1;
        let path = [stem, format!(".{again}.sql").as_bytes()].concat();
        let path = StreamPath::new(&path).map_err(|e| {
            let path = String::from_utf8_lossy(&path).into_owned();
            Error::new(ErrorKind::Target, format!("'{path}' is refused as a file name")).because(e)
        })?;
        file.path = path.into();
    }
    Ok(())
}
