//! Writes the files of a snapshot: one thread makes them in stream order, workers fill them in
//! place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;
use crate::base::num::wide;
use crate::parse::tree::FileExtent;
use crate::parse::tree::TreeFile;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;

use super::Chosen;
use super::RestoreOptions;
use super::RestoreReport;
use super::beneath;
use super::key_of;
use super::path_of;
use super::target::Target;
use super::unwritable;
use super::windows;
use super::windows::Window;

/// Writes files into a directory that has been begun.
pub(in crate::ops) fn write_files(
    chosen: &Chosen,
    target: &mut Target,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let Chosen { id, contents, files } = chosen;
    let bytes = files.iter().map(|file| file.length).sum();
    monitor.count(Counter::ExpectedBytes, bytes);
    let plan = |sender: &mut windows::Sender<'_, FileWindow>| {
        files.iter().try_for_each(|file| plan_file(contents, target, file, sender))
    };
    windows::run(
        (options.workers, monitor),
        plan,
        |window| write_window(contents, window, monitor),
        |()| Ok(()),
    )?;
    let mut report = RestoreReport::empty(*id);
    let unfinished = files.iter().filter(|file| !file.ended).count();
    if unfinished > 0 {
        let files = if unfinished == 1 { "1 file is" } else { &format!("{unfinished} files are") };
        report.warnings.push(format!("{files} cut short: the stream ended before"));
    }
    (report.files, report.bytes, report.counts) = (wide(files.len()), bytes, monitor.counts());
    Ok(report)
}

/// A file that is being written, and what of its member goes where.
#[derive(Debug)]
pub(super) struct OutFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) extents: Vec<FileExtent>,
}

impl OutFile {
    fn create(target: &mut Target, file: &TreeFile) -> Result<OutFile> {
        let path = target.path_of(path_of(file));
        let failed = |e| unwritable(&path, e);
        let components = beneath::components(path_of(file));
        let components = components.map_err(|why| failed(io::Error::other(why)))?;
        let out = target.root.make_new_file(&components).map_err(failed)?;
        out.set_len(file.length).map_err(failed)?;
        Ok(OutFile { file: out, path, extents: file.extents.clone() })
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
struct FileWindow {
    file: Arc<OutFile>,
    blocks: Vec<Block>,
    /// Bytes that they stand for, zeros included.
    bytes: u64,
}

impl Window for FileWindow {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

fn plan_file(
    contents: &Contents,
    target: &mut Target,
    file: &TreeFile,
    sender: &mut windows::Sender<'_, FileWindow>,
) -> Result<()> {
    let out = Arc::new(OutFile::create(target, file)?);
    let record = contents.member(&key_of(file))?;
    let end = file.extents.iter().map(|extent| extent.member_at + extent.len).max().unwrap_or(0);
    if record.length < end {
        let what = format!("member {}", record.key.display());
        return Err(Error::damaged(what, "it is shorter than the script says"));
    }
    let mut entries = contents.entries(record);
    let empty = || FileWindow { file: Arc::clone(&out), blocks: Vec::new(), bytes: 0 };
    let mut window = empty();
    while let Some(block) = entries.next()? {
        window.bytes += block.entry.length;
        window.blocks.push(block);
        if window.bytes >= windows::WINDOW_BYTES {
            sender.send(std::mem::replace(&mut window, empty()))?;
        }
    }
    if window.blocks.is_empty() { Ok(()) } else { sender.send(window) }
}

fn write_window(contents: &Contents, window: FileWindow, monitor: &Monitor) -> Result<()> {
    let stored: Vec<(u64, _)> =
        window.blocks.iter().filter_map(|block| Some((block.at, block.wanted()?))).collect();
    let wanted: Vec<_> = stored.iter().map(|(_, wanted)| *wanted).collect();
    let mut write = |number: usize, block: Result<&[u8]>| {
        let block = block.map_err(|e| named(&window.file.path, e))?;
        window.file.write(stored[number].0, block)
    };
    contents.packs().read(&wanted, &mut write)?;
    monitor.count(Counter::StreamBytes, window.bytes);
    Ok(())
}

pub(super) fn named(path: &Path, cause: Error) -> Error {
    if cause.kind() == ErrorKind::Cancelled {
        return cause;
    }
    Error::new(cause.kind(), format!("cannot restore {}", path.display())).because(cause)
}
