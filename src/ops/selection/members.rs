//! The files of an mbstream: its members, after the patches, renames and removals of the stream.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::parse::path::OwnedPath;
use crate::parse::script::Op;
use crate::parse::script::ScriptReader;
use crate::parse::tree::Settled;
use crate::parse::tree::Tree;
use crate::parse::tree::TreeError;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;

/// The files of an mbstream, as a first look at its script finds them.
#[derive(Debug)]
pub(super) enum Found {
    /// A walk over the script finds them one by one.
    InOrder(Members),
    /// Only the end of the stream tells them: here they are.
    Listed(Vec<TreeFile>),
}

/// The files of a stream in which each can be handed over as soon as nothing changes it any more.
#[derive(Debug)]
pub(super) struct Members(Settled);

/// Reads the script for the first time.
pub(super) fn find(contents: &Contents) -> Result<Found> {
    let mut settled = Settled::default();
    ops(contents, &mut |op| {
        settled.observe(op);
        Ok(())
    })?;
    let members = Members(settled);
    let mut is_conflict = false;
    members.walk(contents, &mut |file| {
        is_conflict |= members.0.is_directory(file.path.as_path());
        Ok(())
    })?;
    if !is_conflict {
        return Ok(Found::InOrder(members));
    }
    // A file may have the name of a directory from which all was moved: the whole tree decides.
    let mut tree = Tree::new();
    ops(contents, &mut |op| tree.apply(op).map_err(damaged))?;
    rest_of(tree).map(Found::Listed)
}

impl Members {
    /// Hands over every file.
    pub(super) fn walk(
        &self,
        contents: &Contents,
        each: &mut dyn FnMut(TreeFile) -> Result<()>,
    ) -> Result<()> {
        let mut tree = Tree::new();
        ops(contents, &mut |op| {
            tree.apply(op).map_err(damaged)?;
            tree.take_final(op, &self.0).map_or(Ok(()), &mut *each)
        })?;
        rest_of(tree)?.into_iter().try_for_each(each)
    }
}

/// Calls `each` for every op of the script.
fn ops(contents: &Contents, each: &mut dyn FnMut(&Op<'_>) -> Result<()>) -> Result<()> {
    let mut reader = ScriptReader::new();
    contents.read_internal("script", &mut |piece| {
        reader.feed(piece);
        while let Some(op) = reader.next_op().map_err(|e| Error::damaged("the script", e))? {
            each(&op)?;
        }
        Ok(())
    })?;
    reader.finish().map_err(|e| Error::damaged("the script", e))
}

fn damaged(error: TreeError) -> Error {
    Error::damaged("the script", error)
}

/// Returns the files that are left in a tree, in stream order.
fn rest_of(tree: Tree) -> Result<Vec<TreeFile>> {
    if let Some(path) = tree.conflicts().first() {
        return Err(is_both(path));
    }
    let mut files: Vec<TreeFile> = tree.into_files().collect();
    files.sort_by_key(|file| file.member);
    Ok(files)
}

fn is_both(path: &OwnedPath) -> Error {
    let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
    let what = "is a file and a directory in this stream: restore it with --stdout";
    Error::new(ErrorKind::Target, format!("{path} {what}"))
}
