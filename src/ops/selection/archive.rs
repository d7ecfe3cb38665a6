//! The entries of a tar, from the headers, which stand in its script.

use std::collections::BTreeMap;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::record::MemberKey;
use crate::ops::selection::container;
use crate::parse::item::Incarnation;
use crate::parse::item::MemberNo;
use crate::parse::path::StreamPath;
use crate::parse::script::container::ContainerOp;
use crate::parse::tar::walk::Class;
use crate::parse::tar::walk::Entry;
use crate::parse::tar::walk::Kind;
use crate::parse::tar::walk::Reached;
use crate::parse::tar::walk::Walk;
use crate::parse::tree::FileExtent;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

/// Calls `each` for every entry of the archive; for one with contents also with its member.
pub(in crate::ops) fn entries(
    contents: &Contents,
    each: &mut dyn FnMut(&Entry, Option<MemberKey>) -> Result<()>,
) -> Result<()> {
    let mut walk = Walk::default();
    // Earlier versions took nothing apart that stands after the mark of the end.
    let mut is_over = false;
    let contradiction = || Error::new(ErrorKind::Damaged, "the script contradicts its headers");
    container::ops(contents, &mut |op| match op {
        ContainerOp::Literal(_) if is_over => Ok(()),
        ContainerOp::Literal(bytes) => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let step = walk.step(rest);
                if step.class == Class::Contents && walk.is_after_end {
                    is_over = true;
                    return Ok(());
                }
                if step.class == Class::Contents {
                    return Err(contradiction());
                }
                rest = &rest[step.taken..];
                let reached = walk.entry().filter(|_| step.reached == Reached::Entry);
                if let Some(entry) = reached.filter(|entry| !entry.has_contents()) {
                    each(entry, None)?;
                }
            }
            Ok(())
        }
        ContainerOp::Open(member) => {
            let entry = walk.entry().filter(|entry| entry.has_contents());
            each(entry.ok_or_else(contradiction)?, Some(container::key_of(&member)))
        }
        ContainerOp::Run(_, range) => {
            walk.skip(range.end - range.start).ok_or_else(contradiction).map(|_| ())
        }
        ContainerOp::End(_) => Ok(()),
    })
}

/// Returns the files with contents, by name; of those of one name the last. Names that can't be
/// shown in a path are left out.
pub(super) fn files(contents: &Contents) -> Result<Vec<TreeFile>> {
    let mut files: BTreeMap<Vec<u8>, TreeFile> = BTreeMap::new();
    each_file(contents, &mut |file| {
        files.insert(file.path.as_bytes().to_vec(), file);
        Ok(())
    })?;
    Ok(files.into_values().collect())
}

/// Hands over the files with contents in the order of the archive, each as often as it is in it.
pub(super) fn each_file(
    contents: &Contents,
    each: &mut dyn FnMut(TreeFile) -> Result<()>,
) -> Result<()> {
    let mut members = 0;
    entries(contents, &mut |entry, key| {
        let Some(key) = key else { return Ok(()) };
        let member = MemberNo::new(members);
        members += 1;
        let path = StreamPath::new(&key.path).ok().filter(|_| entry.kind == Kind::File);
        if let (Some(path), Some((length, extents))) = (path, layout(entry, entry.size)) {
            let file = TreeFile {
                path: path.into(),
                member,
                member_path: path.into(),
                incarnation: Incarnation::new(key.incarnation),
                length,
                extents,
                ended: true,
            };
            each(file)?;
        }
        Ok(())
    })
}

/// Returns the size of a file of which `length` bytes of contents arrived, and the places of these.
pub(in crate::ops) fn layout(entry: &Entry, length: u64) -> Option<(u64, Vec<FileExtent>)> {
    let Some(sparse) = &entry.sparse else {
        return Some((length, vec![FileExtent { file_at: 0, member_at: 0, len: length }]));
    };
    let mut extents = Vec::new();
    let (mut member_at, mut file_at) = (0u64, 0);
    for part in &sparse.parts {
        let end = part.at.checked_add(part.length)?;
        if part.at < file_at || end > sparse.size {
            return None;
        }
        file_at = end;
        let len = part.length.min(length.saturating_sub(member_at));
        extents.push(FileExtent { file_at: part.at, member_at, len });
        member_at = member_at.checked_add(part.length)?;
    }
    (member_at == entry.size).then_some((sparse.size, extents))
}
