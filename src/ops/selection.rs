//! The files of a snapshot, and the selection of some of them by globs or by path.
//!
//! A file is what a restore into a directory makes: patches and renames of the stream are applied,
//! and the tables of a dump are files as well. Everything that works on single files asks here:
//! restores, `cat`, `ls`.
//!
//! There may be any number of files, so they are not listed: for each walk over them the script is
//! read again, and a file is handed over when its member has ended. What the stream moves, removes
//! or sends again is kept to the end of the walk. Only the members of a dump, which are its tables,
//! are listed.

pub(super) mod archive;
pub(super) mod container;
pub(super) mod dump;
mod members;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::globs::Globs;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// The files of a snapshot, some of which are wanted.
#[derive(Debug)]
pub(super) struct Selection {
    contents: Contents,
    source: Source,
    /// Globs of the files that are wanted; all are if there are none.
    include: Option<Globs>,
}

/// The place that tells the files.
#[derive(Debug)]
enum Source {
    Members(members::Members),
    Archive,
    Listed(Vec<TreeFile>),
}

/// Receives the files of a walk, one by one.
type Each<'e> = &'e mut dyn FnMut(TreeFile) -> Result<()>;

impl Selection {
    /// Selects the files of a snapshot that `include` matches. Of a dump these are tables, with
    /// what is needed to load them.
    pub(super) fn new(
        stored: &StoredSnapshot,
        contents: &Contents,
        include: Option<Globs>,
    ) -> Result<Self> {
        let selection = |source, include| Self { contents: contents.clone(), source, include };
        match stored.snapshot.about.format {
            StreamFormat::Mbstream => {
                let source = match members::find(contents)? {
                    members::Found::InOrder(members) => Source::Members(members),
                    members::Found::Listed(files) => Source::Listed(files),
                };
                Ok(selection(source, include))
            }
            StreamFormat::Tar => Ok(selection(Source::Archive, include)),
            StreamFormat::Sql => {
                let mut files = container::files(contents)?;
                dump::spread(&mut files)?;
                if let Some(include) = &include {
                    files = dump::select(files, include)?;
                }
                Ok(selection(Source::Listed(files), None))
            }
            StreamFormat::Raw | StreamFormat::Binlog => {
                let id = stored.id().short();
                let what = format!("snapshot {id} is a plain stream, which has no files");
                Err(Error::new(ErrorKind::Usage, what))
            }
        }
    }

    /// Returns the contents of the snapshot.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Returns the globs of the files that are wanted.
    pub(super) fn include(&self) -> Option<&Globs> {
        self.include.as_ref()
    }

    /// Hands over the files that are wanted; of an archive each as often as it is in it.
    pub(super) fn each(&self, each: Each<'_>) -> Result<()> {
        self.every(&mut |file| if self.is_wanted(&file) { each(file) } else { Ok(()) })
    }

    /// Hands over the files that are wanted; of those of one name in an archive only the last.
    pub(super) fn each_once(&self, each: Each<'_>) -> Result<()> {
        if !matches!(self.source, Source::Archive) {
            return self.each(each);
        }
        let files = archive::files(&self.contents)?;
        files.into_iter().filter(|file| self.is_wanted(file)).try_for_each(each)
    }

    /// Hands over every file, wanted or not.
    pub(super) fn every(&self, each: Each<'_>) -> Result<()> {
        match &self.source {
            Source::Members(members) => members.walk(&self.contents, each),
            Source::Archive => archive::each_file(&self.contents, each),
            Source::Listed(files) => files.iter().cloned().try_for_each(each),
        }
    }

    /// Finds a wanted file by its path; of those of one name in an archive the last.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<TreeFile>> {
        let mut found = None;
        self.each(&mut |file| {
            if path_of(&file) == path {
                found = Some(file);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Tells whether a file is wanted.
    pub(super) fn is_wanted(&self, file: &TreeFile) -> bool {
        self.include.as_ref().is_none_or(|include| include.matches(path_of(file)))
    }
}

/// Calls `each` for the members whose paths begin with `prefix`, in order of the paths. Pages of
/// the member table that have none of them are not read.
pub(super) fn members_below(
    contents: &Contents,
    prefix: &[u8],
    each: &mut dyn FnMut(&MemberRecord) -> Result<()>,
) -> Result<()> {
    let first = MemberKey { path: prefix.to_vec(), incarnation: 0 };
    let mut members = contents.table().cursor_from(&first)?;
    while let Some(record) = members.next()? {
        if !record.key.path.starts_with(prefix) {
            break;
        }
        each(&record)?;
    }
    Ok(())
}

/// Parses the globs of a user; `None` if there are none, which stands for everything.
pub(super) fn globs(include: &[String]) -> Result<Option<Globs>> {
    if include.is_empty() { Ok(None) } else { Globs::new(include).map(Some) }
}

/// Creates the error for globs that choose nothing.
pub(super) fn nothing_matches(stored: &StoredSnapshot, include: &[String]) -> Error {
    let (id, globs) = (stored.id().short(), include.join(" or "));
    Error::new(ErrorKind::Usage, format!("no file of snapshot {id} matches {globs}"))
}

/// Refuses a checkpoint: it has no script, and only the next backup can use it.
pub(super) fn refuse_checkpoint(stored: &StoredSnapshot) -> Result<()> {
    if stored.snapshot.about.kind != SnapshotKind::Checkpoint {
        return Ok(());
    }
    let id = stored.id().short();
    let what = format!("snapshot {id} is a checkpoint, which only the next backup can use");
    Err(Error::new(ErrorKind::Usage, what))
}

/// Returns the path of a file below the directory that it is restored to.
pub(super) fn path_of(file: &TreeFile) -> &[u8] {
    file.path.as_bytes()
}

/// Returns the member that a file's bytes come from.
pub(super) fn key_of(file: &TreeFile) -> MemberKey {
    MemberKey { path: file.member_path.as_bytes().to_vec(), incarnation: file.incarnation.get() }
}
