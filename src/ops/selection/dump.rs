//! Selects members of an SQL dump, with everything that is needed to load them.
//!
//! A table alone does not load: it needs the session that the preamble sets up, and its schema. So
//! the selection has the tables, the preamble and the trailer of their dump, and the statements
//! that make their schemas. Replication positions and users are selected only by name: a restored
//! table must not move a replica.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::globs::Globs;
use crate::parse::path::StreamPath;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::parse::tree::TreeFile;

/// A member of a dump, with the number of its dump in the stream.
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

/// Selects the members of a dump that are wanted, in stream order.
pub(in crate::ops) fn select(files: Vec<TreeFile>, include: &Globs) -> Result<Vec<TreeFile>> {
    let parts = parts(files);
    let asked = |part: &Part| {
        let name = part.member.as_ref().map(SqlMember::name);
        include.matches(part.file.member_path.as_bytes())
            || name.is_some_and(|name| include.matches(&name))
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
