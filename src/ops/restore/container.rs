//! Restores streams whose members come one after the other, from their script of version 2.

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

use super::Piece;
use super::Running;
use super::StreamBatch;
use super::batches;

/// Calls `each` for every op of the script.
pub(super) fn ops(
    contents: &Contents,
    each: &mut dyn FnMut(ContainerOp<'_>) -> Result<()>,
) -> Result<()> {
    let damaged = |e: ScriptError| Error::damaged("the script", e);
    let mut reader = ContainerReader::new();
    contents.read_inner("script", &mut |piece| {
        reader.feed(piece);
        while let Some(op) = reader.next_op().map_err(damaged)? {
            each(op)?;
        }
        Ok(())
    })?;
    reader.finish().map_err(damaged)
}

/// Plans the stream, byte for byte as it was backed up.
pub(super) fn plan(
    contents: &Contents,
    sender: &mut batches::Sender<'_, StreamBatch>,
) -> Result<()> {
    let mut batch = StreamBatch::default();
    let mut running: Option<Running> = None;
    ops(contents, &mut |op| {
        match op {
            ContainerOp::Literal(bytes) => batch.push(Piece::Bytes(bytes.to_vec())),
            ContainerOp::Open(_) => running = None,
            ContainerOp::End(_) => {}
            ContainerOp::Run(member, range) => {
                let mut open = match running.take() {
                    Some(open) => open,
                    None => Running::new(contents, key_of(&member))?,
                };
                open.add((range.start, range.end), &mut batch, sender)?;
                running = Some(open);
            }
        }
        batch.send_if_full(sender)
    })?;
    if batch.pieces.is_empty() { Ok(()) } else { sender.send(batch) }
}

/// Returns the members as files, in stream order.
pub(super) fn files(contents: &Contents) -> Result<Vec<TreeFile>> {
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

pub(super) fn key_of(member: &ContainerMember<'_>) -> MemberKey {
    MemberKey { path: member.path.to_vec(), incarnation: member.incarnation.get() }
}
