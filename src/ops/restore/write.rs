//! Writes the files of a snapshot: one thread makes them in stream order, workers fill them in
//! place.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Storage;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;
use crate::base::num::wide;
use crate::format::record::MemberRecord;
use crate::hash::is_zero;
use crate::parse::tree::FileExtent;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;

use super::Chosen;
use super::Files;
use super::Losses;
use super::LostFile;
use super::Purpose;
use super::RestoreOptions;
use super::RestoreReport;
use super::batches;
use super::batches::Batch;
use super::confined;
use super::confined::FileId;
use super::confined::Root;
use super::key_of;
use super::path_of;
use super::target::Opened;
use super::target::Target;
use super::unwritable;

/// Writes files into a directory that has been begun.
pub(in crate::ops) fn write_files(
    chosen: &Chosen,
    target: &mut Target,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let Chosen { id, contents, files, count, bytes, .. } = chosen;
    monitor.count(Counter::ExpectedBytes, *bytes);
    let lost = Lost::new(options.losses, options.purpose);
    let (mut unfinished, mut links) = (0, Vec::new());
    let plan = |sender: &mut batches::Sender<'_, FileBatch>| {
        files.each(contents, &mut |file| {
            unfinished += u64::from(!file.ended);
            if path_of(&file).ends_with(LINK) {
                links.push(path_of(&file).to_vec());
            }
            plan_file((contents, &lost), target, &file, sender)
        })
    };
    batches::in_order(
        (options.workers, monitor),
        plan,
        |batch| write_batch((contents, &lost), batch, monitor),
        |()| Ok(()),
    )?;
    let mut report = RestoreReport::empty(*id);
    let place = target.path().to_owned();
    let path_of_file = |name: &[u8]| place.join(OsStr::from_bytes(name));
    report.lost = lost.remove(&mut target.root, &[], &path_of_file)?;
    if unfinished > 0 {
        let files = if unfinished == 1 { "1 file is" } else { &format!("{unfinished} files are") };
        report.warnings.push(format!("{files} cut short: the stream ended before"));
    }
    report.warnings.extend(links_elsewhere(&links, target));
    report.files = count - wide(report.lost.len());
    (report.bytes, report.counts) = (*bytes, monitor.counts());
    Ok(report)
}

/// Names the `.isl` files that were restored: a server that finds one opens the file that it names,
/// which on the host of the backup is the live one.
fn links_elsewhere(names: &[Vec<u8>], target: &mut Target) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let Ok(components) = confined::components(name) else { continue };
        let Ok(file) = target.root.open_file(&components) else { continue };
        let mut text = Vec::new();
        if file.take(LINK_BYTES_MAX).read_to_end(&mut text).is_ok() {
            let (name, place) = (name.escape_ascii(), text.trim_ascii().escape_ascii());
            found.push(format!(
                "{name} leads to {place} on the original host: change or remove it before a \
                 server or --copy-back uses these files"
            ));
        }
    }
    found
}

/// How the names of such files end.
const LINK: &[u8] = b".isl";
/// Bytes of a path in an `.isl` file.
const LINK_BYTES_MAX: u64 = 4096;

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
    pub(super) fn new(losses: Losses, purpose: Purpose) -> Lost {
        Lost { losses, purpose, found: Mutex::new(Vec::new()) }
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
    pub(super) fn note_unmade(&self, path: &[u8], error: Error) -> Result<()> {
        let file = LostFile { path: path.to_vec(), why: self.permit(error)? };
        lock(&self.found).push((file, None));
        Ok(())
    }

    /// Notes a file whose name the file system refuses: no other try helps, and all others can be
    /// restored. A preparation needs every file.
    fn note_refused(&self, (path, full): (&[u8], &Path), error: io::Error) -> Result<()> {
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
    pub(super) fn note(&self, out: &OutFile, error: Error) -> Result<()> {
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

/// A file that is being written, and what of its member goes where.
#[derive(Debug)]
pub(super) struct OutFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) extents: Vec<FileExtent>,
    /// Its name below the target.
    pub(super) name: Vec<u8>,
    /// Whether some of it may have been written by an earlier restore.
    pub(super) is_again: bool,
    pub(super) is_lost: AtomicBool,
}

impl OutFile {
    fn create(target: &mut Target, file: &TreeFile) -> io::Result<OutFile> {
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
        Ok(OutFile { file: out, path, extents, name, is_again, is_lost: AtomicBool::new(false) })
    }

    /// Tells whether all of a block is in the file already, and right.
    fn holds(&self, block: &Block, contents: &Contents, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        buffer.resize(narrow(block.entry.length), 0);
        let end = block.at + block.entry.length;
        let mut covered = 0;
        for extent in &self.extents {
            let from = block.at.max(extent.member_at);
            let to = end.min(extent.member_at + extent.len);
            if from < to {
                let part = &mut buffer[narrow(from - block.at)..narrow(to - block.at)];
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

    /// Writes a block of the member to wherever its bytes go.
    pub(super) fn write(&self, at: u64, block: &[u8]) -> Result<()> {
        let end = at + wide(block.len());
        for extent in &self.extents {
            let from = at.max(extent.member_at);
            let to = end.min(extent.member_at + extent.len);
            if from < to {
                let part = &block[narrow(from - at)..narrow(to - at)];
                let file_at = extent.file_at + (from - extent.member_at);
                self.file.write_all_at(part, file_at).map_err(|e| unwritable(&self.path, e))?;
            }
        }
        Ok(())
    }
}

/// Blocks of one file.
struct FileBatch {
    file: Arc<OutFile>,
    blocks: Vec<Block>,
    /// Bytes that they stand for, zeros included.
    bytes: u64,
}

impl Batch for FileBatch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

fn plan_file(
    (contents, lost): (&Contents, &Lost),
    target: &mut Target,
    file: &TreeFile,
    sender: &mut batches::Sender<'_, FileBatch>,
) -> Result<()> {
    let record = match member_of(contents, file) {
        Ok(record) => record,
        Err(error) => return lost.note_unmade(path_of(file), error),
    };
    let out = match OutFile::create(target, file) {
        Ok(out) => Arc::new(out),
        Err(error) => {
            let (name, path) = (path_of(file), target.path_of(path_of(file)));
            return lost.note_refused((name, &path), error);
        }
    };
    let mut entries = contents.entries(record);
    let empty = || FileBatch { file: Arc::clone(&out), blocks: Vec::new(), bytes: 0 };
    let mut batch = empty();
    loop {
        let block = match entries.next() {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => return lost.note(&out, named(&out.path, error)),
        };
        batch.bytes += block.entry.length;
        batch.blocks.push(block);
        if batch.bytes >= batches::BATCH_BYTES {
            sender.send(std::mem::replace(&mut batch, empty()))?;
        }
    }
    if batch.blocks.is_empty() { Ok(()) } else { sender.send(batch) }
}

fn member_of(contents: &Contents, file: &TreeFile) -> Result<MemberRecord> {
    let record = contents.member(&key_of(file))?;
    let end = file.extents.iter().map(|extent| extent.member_at + extent.len).max().unwrap_or(0);
    if record.length < end {
        let what = format!("member {}", record.key.display());
        return Err(Error::damaged(what, "it is shorter than the script says"));
    }
    Ok(record)
}

fn write_batch(
    (contents, lost): (&Contents, &Lost),
    batch: FileBatch,
    monitor: &Monitor,
) -> Result<()> {
    let out = &batch.file;
    if out.is_lost.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut blocks = batch.blocks;
    if out.is_again {
        let mut buffer = Vec::new();
        blocks.retain(|block| !out.holds(block, contents, &mut buffer));
        for block in blocks.iter().filter(|block| block.wanted().is_none()) {
            out.write(block.at, &vec![0; narrow(block.entry.length)])?;
        }
    }
    let stored: Vec<(u64, _)> =
        blocks.iter().filter_map(|block| Some((block.at, block.wanted()?))).collect();
    let wanted: Vec<_> = stored.iter().map(|(_, wanted)| *wanted).collect();
    let mut write = |number: usize, block: Result<&[u8]>| match block {
        Ok(block) => out.write(stored[number].0, block),
        Err(error) => lost.note(out, named(&out.path, error)),
    };
    if let Err(error) = contents.packs().read(&wanted, &mut write) {
        lost.note(out, error)?;
    }
    monitor.count(Counter::StreamBytes, batch.bytes);
    Ok(())
}

/// Returns the bytes that files take: zeros are holes.
pub(super) fn stored_bytes(contents: &Contents, files: &Files) -> Result<u64> {
    let mut bytes = 0;
    files.each_once(contents, &mut |file| {
        let Ok(record) = member_of(contents, &file) else { return Ok(()) };
        let mut entries = contents.entries(record);
        while let Ok(Some(block)) = entries.next() {
            bytes += if block.wanted().is_some() { block.entry.length } else { 0 };
        }
        Ok(())
    })?;
    Ok(bytes)
}

pub(super) fn named(path: &Path, cause: Error) -> Error {
    if cause.kind() == ErrorKind::Cancelled {
        return cause;
    }
    Error::new(cause.kind(), format!("cannot restore {}", path.display())).because(cause)
}
