//! The files that the stream of a snapshot results in, one after the other.
//!
//! There may be any number of them, so they are not listed: for each walk over them the script is
//! read again, and a file is handed over when its member has ended. What the stream moves, removes
//! or sends again is kept to the end of the walk. The members of a dump, which are its tables, are
//! listed.

use std::path::Path;

use std::os::unix::ffi::OsStrExt;

use globset::GlobSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::snapshot::StreamFormat;
use crate::parse::path::OwnedPath;
use crate::parse::script::Op;
use crate::parse::script::ScriptReader;
use crate::parse::tree::Settled;
use crate::parse::tree::Tree;
use crate::parse::tree::TreeError;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

use super::container;
use super::dump;
use super::path_of;
use super::tar;

/// The files of a snapshot that a restore or a listing wants.
#[derive(Debug)]
pub(in crate::ops) struct Files {
    source: Source,
    include: Option<GlobSet>,
}

#[derive(Debug)]
enum Source {
    Members(Settled),
    Archive,
    Listed(Vec<TreeFile>),
}

/// Receives the files of a walk, one by one.
type Each<'e> = &'e mut dyn FnMut(TreeFile) -> Result<()>;

impl Files {
    /// Finds out how the files of a snapshot are to be walked over; those that `include` matches
    /// are wanted.
    pub(in crate::ops) fn of(
        stored: &StoredSnapshot,
        contents: &Contents,
        include: Option<GlobSet>,
    ) -> Result<Files> {
        let source = match stored.snapshot.about.format {
            StreamFormat::Mbstream => members(contents)?,
            StreamFormat::Tar => Source::Archive,
            StreamFormat::Sql => {
                let mut files = container::files(contents)?;
                dump::spread(&mut files)?;
                let Some(include) = &include else {
                    return Ok(Files { source: Source::Listed(files), include });
                };
                let files = dump::select(files, include)?;
                return Ok(Files { source: Source::Listed(files), include: None });
            }
            StreamFormat::Raw => {
                let id = stored.id().short();
                let what = format!("snapshot {id} is a plain stream, which has no files");
                return Err(Error::new(ErrorKind::Usage, what));
            }
        };
        Ok(Files { source, include })
    }

    /// Hands over the files that are wanted; of an archive each as often as it is in it.
    pub(in crate::ops) fn each(&self, contents: &Contents, each: Each<'_>) -> Result<()> {
        self.every(contents, &mut |file| if self.is_wanted(&file) { each(file) } else { Ok(()) })
    }

    /// Hands over the files that are wanted; of those of one name in an archive only the last.
    pub(in crate::ops) fn each_once(&self, contents: &Contents, each: Each<'_>) -> Result<()> {
        if !matches!(self.source, Source::Archive) {
            return self.each(contents, each);
        }
        let files = tar::files(contents)?;
        files.into_iter().filter(|file| self.is_wanted(file)).try_for_each(each)
    }

    /// Hands over every file, wanted or not.
    pub(in crate::ops) fn every(&self, contents: &Contents, each: Each<'_>) -> Result<()> {
        match &self.source {
            Source::Members(settled) => walk(contents, settled, each),
            Source::Archive => tar::each_file(contents, each),
            Source::Listed(files) => files.iter().cloned().try_for_each(each),
        }
    }

    /// Tells whether a file is wanted.
    pub(in crate::ops) fn is_wanted(&self, file: &TreeFile) -> bool {
        let Some(include) = &self.include else { return true };
        include.is_match(Path::new(std::ffi::OsStr::from_bytes(path_of(file))))
    }
}

/// Calls `each` for every op of the script of an mbstream.
fn ops(contents: &Contents, each: &mut dyn FnMut(&Op<'_>) -> Result<()>) -> Result<()> {
    let mut reader = ScriptReader::new();
    contents.read_inner("script", &mut |piece| {
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

/// Reads the script for the first time.
fn members(contents: &Contents) -> Result<Source> {
    let mut settled = Settled::default();
    ops(contents, &mut |op| {
        settled.note(op);
        Ok(())
    })?;
    let mut is_conflict = false;
    walk(contents, &settled, &mut |file| {
        is_conflict |= settled.is_directory(file.path.as_path());
        Ok(())
    })?;
    if !is_conflict {
        return Ok(Source::Members(settled));
    }
    // A file may have the name of a directory from which all was moved: the whole tree decides.
    let mut tree = Tree::new();
    ops(contents, &mut |op| tree.apply(op).map_err(damaged))?;
    Ok(Source::Listed(rest_of(tree)?))
}

/// Hands over every file of an mbstream.
fn walk(contents: &Contents, settled: &Settled, each: Each<'_>) -> Result<()> {
    let mut tree = Tree::new();
    ops(contents, &mut |op| {
        tree.apply(op).map_err(damaged)?;
        tree.take_final(op, settled).map_or(Ok(()), &mut *each)
    })?;
    rest_of(tree)?.into_iter().try_for_each(each)
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
