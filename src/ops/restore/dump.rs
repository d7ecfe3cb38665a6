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
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

use super::Piece;
use super::Running;
use super::StreamWindow;
use super::container;
use super::windows;

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

/// Plans one stream of the members that are wanted.
pub(super) fn plan(
    contents: &Contents,
    include: &GlobSet,
    sender: &mut windows::Sender<'_, StreamWindow>,
) -> Result<()> {
    let all = container::files(contents)?;
    let entered: BTreeSet<Vec<u8>> = all
        .iter()
        .filter_map(|file| SqlMember::of(file.member_path.as_bytes()))
        .filter(|member| member.part == SqlPart::Database)
        .filter_map(|member| member.schema)
        .collect();
    let mut current: Option<Vec<u8>> = None;
    let mut window = StreamWindow::default();
    for file in select(all, include)? {
        let member = SqlMember::of(file.member_path.as_bytes());
        if let Some(schema) = member.as_ref().and_then(|member| member.schema.as_ref())
            && entered.contains(schema)
            && current.as_ref() != Some(schema)
        {
            let makes_it = member.as_ref().is_some_and(|member| member.part == SqlPart::Database);
            if !makes_it {
                window.push(Piece::Bytes(use_statement(schema)));
            }
            current = Some(schema.clone());
        }
        let path = file.member_path.as_bytes().to_vec();
        let key = MemberKey { path, incarnation: file.incarnation.get() };
        let mut running = Running::new(contents, key)?;
        running.add((0, file.length), &mut window, sender)?;
        window.send_if_full(sender)?;
    }
    if window.pieces.is_empty() { Ok(()) } else { sender.send(window) }
}

fn use_statement(schema: &[u8]) -> Vec<u8> {
    let mut out = b"\nUSE `".to_vec();
    for byte in schema {
        out.push(*byte);
        if *byte == b'`' {
            out.push(b'`');
        }
    }
    out.extend_from_slice(b"`;\n");
    out
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
