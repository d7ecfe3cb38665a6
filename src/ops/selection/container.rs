//! The members of streams in which one follows the other, from their script of version 2: tables of
//! a dump, entries of a tar.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::record::MemberKey;
use crate::parse::path::StreamPath;
use crate::parse::script::ScriptError;
use crate::parse::script::container::ContainerMember;
use crate::parse::script::container::ContainerOp;
use crate::parse::script::container::ContainerReader;
use crate::parse::tree::FileExtent;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

/// Calls `each` for every op of the script.
pub(in crate::ops) fn ops(
    contents: &Contents,
    each: &mut dyn FnMut(ContainerOp<'_>) -> Result<()>,
) -> Result<()> {
    let damaged = |e: ScriptError| Error::damaged("the script", e);
    let mut reader = ContainerReader::new();
    contents.read_internal("script", &mut |piece| {
        reader.feed(piece);
        while let Some(op) = reader.next_op().map_err(damaged)? {
            each(op)?;
        }
        Ok(())
    })?;
    reader.finish().map_err(damaged)
}

/// Returns the members as files, in stream order.
pub(in crate::ops) fn files(contents: &Contents) -> Result<Vec<TreeFile>> {
    let mut files: Vec<TreeFile> = Vec::new();
    ops(contents, &mut |op| {
        match op {
            ContainerOp::Literal(_) => {}
            ContainerOp::Open(member) => files.push(file_of(&member)?),
            ContainerOp::Run(_, range) => {
                let file = files.last_mut().expect("the reader opens a member before its runs");
                file.length = range.end;
            }
            ContainerOp::End(_) => {
                let file = files.last_mut().expect("the reader opens a member before its end");
                file.ended = true;
            }
        }
        Ok(())
    })?;
    for file in &mut files {
        let whole = FileExtent { file_at: 0, member_at: 0, len: file.length };
        file.extents.extend((whole.len > 0).then_some(whole));
    }
    Ok(files)
}

fn file_of(member: &ContainerMember<'_>) -> Result<TreeFile> {
    let path = StreamPath::new(member.path).map_err(|e| {
        let path = String::from_utf8_lossy(member.path).into_owned();
        Error::new(ErrorKind::Target, format!("'{path}' is refused as a file name")).because(e)
    })?;
    Ok(TreeFile {
        path: path.into(),
        member: member.number,
        member_path: path.into(),
        incarnation: member.incarnation,
        length: 0,
        extents: Vec::new(),
        ended: false,
    })
}

/// Returns the key of a member in the member table.
pub(in crate::ops) fn key_of(member: &ContainerMember<'_>) -> MemberKey {
    MemberKey { path: member.path.to_vec(), incarnation: member.incarnation.get() }
}
