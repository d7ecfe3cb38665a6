//! The files that a restore writes, counted before any is written.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Monitor;
use crate::format::record::MemberRecord;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::selection;
use crate::ops::selection::Selection;
use crate::ops::selection::key_of;
use crate::ops::selection::path_of;
use crate::parse::tree::TreeFile;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Names of the file without which nothing can be prepared.
const CHECKPOINTS: [&[u8]; 2] = [b"mariadb_backup_checkpoints", b"xtrabackup_checkpoints"];
/// The longest name that a file system of Linux takes.
const NAME_BYTES_MAX: usize = 255;

/// Files of a snapshot that are to be restored.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) id: SnapshotId,
    pub(super) files: Selection,
    /// Number of these files.
    pub(super) count: u64,
    /// Length of these files in bytes, all together.
    pub(super) bytes: u64,
    /// Number of files that the snapshot has and that are not chosen.
    pub(super) others: u64,
    /// True if there is a file without which nothing can be prepared.
    pub(super) has_checkpoints: bool,
    /// A file whose name no file system takes.
    pub(super) refused: Option<Vec<u8>>,
}

impl Chosen {
    /// Chooses the files that the options ask for. A checkpoint and a key that may not read are
    /// refused.
    pub(super) fn new(
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &RestoreOptions,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let include = selection::globs(&options.include)?;
        repository.require_data()?;
        selection::refuse_checkpoint(stored)?;
        let contents = repository.contents(stored, monitor)?;
        Self::count(stored.id(), Selection::new(stored, &contents, include)?)
    }

    fn count(id: SnapshotId, files: Selection) -> Result<Self> {
        let (mut count, mut bytes, mut all) = (0, 0u64, 0);
        let (mut has_checkpoints, mut refused) = (false, None);
        files.every(&mut |file| {
            all += 1;
            has_checkpoints |= is_checkpoints(path_of(&file));
            if refused.is_none() && is_refused(path_of(&file)) {
                refused = Some(path_of(&file).to_vec());
            }
            if files.is_wanted(&file) {
                count += 1;
                bytes = bytes.saturating_add(file.length);
            }
            Ok(())
        })?;
        Ok(Self { id, files, count, bytes, others: all - count, has_checkpoints, refused })
    }

    /// Returns the contents of the snapshot.
    pub(super) fn contents(&self) -> &Contents {
        self.files.contents()
    }

    /// Returns the bytes that the files take on disk: zeros are holes.
    pub(super) fn stored_bytes(&self) -> Result<u64> {
        let contents = self.contents();
        let mut bytes = 0;
        self.files.each_once(&mut |file| {
            let Ok(record) = member_of(contents, &file) else { return Ok(()) };
            let mut entries = contents.entries(record);
            while let Ok(Some(block)) = entries.next() {
                bytes += if block.wanted().is_some() { block.entry.length } else { 0 };
            }
            Ok(())
        })?;
        Ok(bytes)
    }
}

/// Returns the member that a file's bytes come from; it has them all.
pub(super) fn member_of(contents: &Contents, file: &TreeFile) -> Result<MemberRecord> {
    let record = contents.member(&key_of(file))?;
    let end = file.extents.iter().map(|extent| extent.member_at + extent.len).max().unwrap_or(0);
    if record.length < end {
        let what = format!("member {}", record.key.display());
        return Err(Error::damaged(what, "it is shorter than the script says"));
    }
    Ok(record)
}

/// Tells whether a file is the one without which nothing can be prepared.
fn is_checkpoints(path: &[u8]) -> bool {
    CHECKPOINTS.contains(&path.strip_prefix(b"./").unwrap_or(path))
}

/// Tells whether no file system takes the name of a file.
fn is_refused(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name.len() > NAME_BYTES_MAX)
}
