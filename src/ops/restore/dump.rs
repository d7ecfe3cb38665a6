//! Writes parts of an SQL dump, one schema or table, as a dump that loads.
//!
//! To the tables that were asked for come the preamble, `CREATE DATABASE` and `USE` of each schema,
//! a `USE` wherever the schema changes, and the trailer that puts the session back
//! ([`selection::dump`](crate::ops::selection::dump)).

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::globs::Globs;
use crate::ops::pieces::MemberReader;
use crate::ops::pieces::Planner;
use crate::ops::selection::container;
use crate::ops::selection::dump;
use crate::ops::selection::key_of;
use crate::parse::sql::Excerpt;
use crate::parse::sql::LeftOut;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::parse::sql::comment;
use crate::parse::sql::use_statement;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

/// The members of a dump that a restore writes as a stream.
pub(super) struct PartOfDump {
    files: Vec<TreeFile>,
    /// The schemas that the members are of.
    schemas: BTreeSet<Vec<u8>>,
    /// Schemas that the dump itself enters.
    entered: BTreeSet<Vec<u8>>,
    /// The schema to load into instead of their own.
    into: Option<Vec<u8>>,
}

impl PartOfDump {
    /// Selects parts of a dump; `into` names the schema to load into, if it is not to be their own.
    pub(super) fn new(contents: &Contents, include: &Globs, into: Option<&[u8]>) -> Result<Self> {
        let all = container::files(contents)?;
        let member = |file: &TreeFile| SqlMember::of(file.member_path.as_bytes());
        let entered = all
            .iter()
            .filter_map(member)
            .filter(|member| member.part == SqlPart::Database)
            .filter_map(|member| member.schema)
            .collect();
        let files = dump::select(all, include)?;
        let schemas = files.iter().filter_map(member).filter_map(|member| member.schema).collect();
        let part = Self { files, schemas, entered, into: into.map(<[u8]>::to_vec) };
        part.require_one_schema()?;
        Ok(part)
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

    /// Returns the rewriter of the statements.
    pub(super) fn rewriter(&self) -> Excerpt {
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
    pub(super) fn plan(&self, contents: &Contents, planner: &mut Planner<'_, '_>) -> Result<()> {
        planner.add_bytes(comment(&self.destination()).into_bytes())?;
        let is_entered = |schema: &Vec<u8>| self.into.is_some() || self.entered.contains(schema);
        for piece in pieces_of(&self.files, &is_entered, self.into.as_deref()) {
            plan_piece(contents, planner, piece)?;
        }
        Ok(())
    }
}

/// A piece of a dump that is put together.
#[derive(Debug)]
pub(in crate::ops) enum Piece<'f> {
    /// Statements that the dump does not have.
    Text(Vec<u8>),
    /// A member of the dump.
    Member(&'f TreeFile),
}

/// Puts members together, with a `USE` wherever the schema changes to one that is entered.
pub(in crate::ops) fn pieces_of<'f>(
    files: &'f [TreeFile],
    is_entered: &dyn Fn(&Vec<u8>) -> bool,
    into: Option<&[u8]>,
) -> Vec<Piece<'f>> {
    let mut pieces = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    for file in files {
        let member = SqlMember::of(file.member_path.as_bytes());
        if let Some(schema) = member.as_ref().and_then(|member| member.schema.as_ref())
            && is_entered(schema)
            && current.as_ref() != Some(schema)
        {
            let makes_it = member.as_ref().is_some_and(|of| of.part == SqlPart::Database);
            if !makes_it {
                pieces.push(Piece::Text(use_statement(schema)));
            }
            // A dump may make a schema that it does not enter: another one always is.
            if !makes_it || into.is_none() {
                current = Some(schema.clone());
            }
        }
        pieces.push(Piece::Member(file));
    }
    pieces
}

/// Plans a piece of a dump.
pub(in crate::ops) fn plan_piece(
    contents: &Contents,
    planner: &mut Planner<'_, '_>,
    piece: Piece<'_>,
) -> Result<()> {
    match piece {
        Piece::Text(text) => planner.add_bytes(text),
        Piece::Member(file) => {
            let mut member = MemberReader::new(contents, &key_of(file))?;
            planner.add_range(&mut member, 0, file.length)
        }
    }
}

/// Returns what the user should know of statements that were left out.
pub(in crate::ops) fn warnings(left_out: LeftOut) -> Vec<String> {
    let named = left_out.first.into_iter().map(|what| format!("left out: {what}"));
    let others = left_out.others;
    let others = (others > 0).then(|| format!("left out: {others} other statements"));
    named.chain(others).collect()
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
