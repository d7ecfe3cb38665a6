//! A file that a restore writes, and the files that can't be restored whole.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Storage;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::hash::is_zero;
use crate::ops::restore::confined;
use crate::ops::restore::confined::FileId;
use crate::ops::restore::confined::Root;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::options::Losses;
use crate::ops::restore::options::Purpose;
use crate::ops::restore::report::LostFile;
use crate::ops::restore::target::Opened;
use crate::ops::restore::target::TargetDirectory;
use crate::ops::selection::path_of;
use crate::pack::reader::Wanted;
use crate::parse::tree::FileExtent;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;

/// Another name of a file.
#[derive(Debug)]
pub(super) struct Link {
    /// Name of the link in the target.
    pub(super) name: Vec<u8>,
    /// The name by which it was linked to.
    pub(super) to: Vec<u8>,
}

/// Files that can't be restored whole.
#[derive(Debug)]
pub(super) struct Lost {
    losses: Losses,
    purpose: Purpose,
    found: Mutex<Vec<(LostFile, Option<FileId>)>>,
}

impl Lost {
    pub(super) fn new(losses: Losses, purpose: Purpose) -> Self {
        Self { losses, purpose, found: Mutex::new(Vec::new()) }
    }

    /// Passes an error on, unless it is a loss and losses are left out.
    fn permit(&self, error: Error) -> Result<String> {
        let is_loss = matches!(
            error.kind(),
            ErrorKind::Damaged | ErrorKind::Missing | ErrorKind::Misplaced | ErrorKind::ForeignKey
        );
        if self.losses == Losses::Fail || !is_loss {
            return Err(error);
        }
        Ok(error.causes().into_iter().next().unwrap_or_else(|| error.to_string()))
    }

    /// Notes a file that was not made.
    pub(super) fn record_unmade(&self, path: &[u8], error: Error) -> Result<()> {
        let file = LostFile { path: path.to_vec(), why: self.permit(error)? };
        lock(&self.found).push((file, None));
        Ok(())
    }

    /// Notes a file whose name the file system refuses: no other try helps, and all others can be
    /// restored. A preparation needs every file.
    pub(super) fn record_refused(&self, path: &[u8], full: &Path, error: io::Error) -> Result<()> {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let is_name = matches!(errno, Some(Errno::NAMETOOLONG | Errno::ILSEQ));
        if !is_name || self.purpose == Purpose::Prepare {
            return Err(unwritable(full, error));
        }
        let why = format!("its name is refused by the file system: {error}");
        lock(&self.found).push((LostFile { path: path.to_vec(), why }, None));
        Ok(())
    }

    /// Notes a file that was made.
    pub(super) fn record(&self, out: &OutFile, error: Error) -> Result<()> {
        let why = self.permit(error)?;
        if !out.is_lost.swap(true, Ordering::AcqRel) {
            let id = FileId::of_file(&out.file).map_err(|e| unwritable(&out.path, e))?;
            lock(&self.found).push((LostFile { path: out.name.clone(), why }, Some(id)));
        }
        Ok(())
    }

    /// Removes what was written of them, under their names and the links to those, which are in the
    /// order in which they were made. A file that a later one has replaced is no loss.
    pub(super) fn remove(
        &self,
        root: &mut Root,
        links: &[Link],
        path_of: &dyn Fn(&[u8]) -> PathBuf,
    ) -> Result<Vec<LostFile>> {
        let mut files = Vec::new();
        let mut remove = |name: &[u8], id| {
            let components = confined::components(name).unwrap_or_default();
            root.remove_file(&components, id).map_err(|e| unwritable(&path_of(name), e))
        };
        let mut made: HashMap<Vec<u8>, FileId> = HashMap::new();
        for (file, id) in std::mem::take(&mut *lock(&self.found)) {
            let is_lost = match id {
                Some(id) => remove(&file.path, id)?,
                None => true,
            };
            made.extend(id.map(|id| (file.path.clone(), id)));
            files.extend(is_lost.then_some(file));
        }
        for Link { name, to } in links {
            let Some(id) = made.get(to).copied() else { continue };
            if remove(name, id)? {
                let why = format!("it is a link to {}", to.escape_ascii());
                files.push(LostFile { path: name.clone(), why });
                made.insert(name.clone(), id);
            }
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

/// A file that is being written, with the places of its member's bytes.
#[derive(Debug)]
pub(super) struct OutFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) extents: Vec<FileExtent>,
    /// Its name below the target.
    pub(super) name: Vec<u8>,
    /// True if an earlier restore may have written some of it.
    pub(super) is_again: bool,
    pub(super) is_lost: AtomicBool,
}

impl OutFile {
    /// Makes the file of this path, or opens the one that an earlier restore has made.
    pub(super) fn create(target: &mut TargetDirectory, file: &TreeFile) -> io::Result<Self> {
        let path = target.path_of(path_of(file));
        let components = confined::components(path_of(file)).map_err(io::Error::other)?;
        let (out, is_again) = match target.open_file(&components)? {
            Opened::New(out) => (out, false),
            Opened::Again(out) => {
                // In a hole there may be anything.
                let has_holes = file.extents.iter().map(|e| e.len).sum::<u64>() != file.length;
                if has_holes {
                    out.set_len(0)?;
                }
                (out, !has_holes)
            }
        };
        out.set_len(file.length)?;
        let (extents, name) = (file.extents.clone(), path_of(file).to_vec());
        Ok(Self { file: out, path, extents, name, is_again, is_lost: AtomicBool::new(false) })
    }

    /// Tells whether all of a block is in the file already, and right.
    pub(super) fn holds(&self, block: &Block, contents: &Contents, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        buffer.resize(usize_of(block.entry.length), 0);
        let end = block.at + block.entry.length;
        let mut covered = 0;
        for extent in &self.extents {
            let from = block.at.max(extent.member_at);
            let to = end.min(extent.member_at + extent.len);
            if from < to {
                let part = &mut buffer[usize_of(from - block.at)..usize_of(to - block.at)];
                let file_at = extent.file_at + (from - extent.member_at);
                if self.file.read_exact_at(part, file_at).is_err() {
                    return false;
                }
                covered += to - from;
            }
        }
        let is_right = match block.entry.storage {
            Storage::Zero => is_zero(buffer),
            Storage::Whole(_) | Storage::Delta { .. } => {
                contents.packs().hasher().hash(buffer) == block.entry.hash
            }
        };
        covered == block.entry.length && is_right
    }

    /// Writes blocks of the member whose bytes follow each other in memory, neighbours with one
    /// call: zeros, which are not stored, part them.
    pub(super) fn write_run(&self, blocks: &[(u64, Wanted)], run: &[u8]) -> Result<()> {
        let mut rest = run;
        let follows = |a: &(u64, Wanted), b: &(u64, Wanted)| a.0 + a.1.length == b.0;
        for neighbours in blocks.chunk_by(follows) {
            let bytes = neighbours.iter().map(|(_, wanted)| wanted.length).sum();
            let (part, tail) = rest.split_at(usize_of(bytes));
            self.write(neighbours[0].0, part)?;
            rest = tail;
        }
        Ok(())
    }

    /// Writes bytes of the member to wherever they go.
    pub(super) fn write(&self, at: u64, block: &[u8]) -> Result<()> {
        let end = at + u64_of(block.len());
        for extent in &self.extents {
            let from = at.max(extent.member_at);
            let to = end.min(extent.member_at + extent.len);
            if from < to {
                let part = &block[usize_of(from - at)..usize_of(to - at)];
                let file_at = extent.file_at + (from - extent.member_at);
                self.file.write_all_at(part, file_at).map_err(|e| unwritable(&self.path, e))?;
            }
        }
        Ok(())
    }
}

/// Says in an error which file could not be restored.
pub(super) fn named(path: &Path, cause: Error) -> Error {
    if cause.kind() == ErrorKind::Cancelled {
        return cause;
    }
    Error::new(cause.kind(), format!("cannot restore {}", path.display())).because(cause)
}
