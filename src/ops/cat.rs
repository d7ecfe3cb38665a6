//! Writes one file of a snapshot, verified, front to back.
//!
//! The file is what a restore into a directory would make: patches and renames of the stream are
//! applied, holes are zeros. A stream that was not taken apart has one file, called `stream`.

use std::io;
use std::io::Write;
use std::sync::Arc;

use crate::base::buffers::Buffer;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;
use crate::base::num::wide;
use crate::format::record::MemberKey;
use crate::format::snapshot::StreamFormat;
use crate::parse::tree::FileExtent;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

use super::batches;
use super::restore;
use super::restore::Piece;
use super::restore::Running;
use super::restore::StreamBatch;

/// Zeros of a hole that are handed over at once.
const ZEROS_BYTES: u64 = 1 << 20;

/// A file, and which member its bytes come from.
struct Layout {
    key: MemberKey,
    length: u64,
    extents: Vec<FileExtent>,
}

/// What a user asks for.
#[derive(Debug, Clone, Copy)]
pub struct CatOptions<'c> {
    /// The path of the file.
    pub path: &'c str,
    /// Number of worker threads that fetch and decode.
    pub workers: u32,
}

/// Writes a file of a snapshot; the number of its bytes.
pub fn cat(
    repository: &Repository,
    stored: &StoredSnapshot,
    wanted: &CatOptions<'_>,
    out: &mut (dyn Write + Send),
    monitor: &Arc<Monitor>,
) -> Result<u64> {
    repository.require_data()?;
    restore::refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let layout = layout(stored, &contents, wanted.path)?;
    monitor.count(Counter::ExpectedBytes, layout.length);
    let broken = |e: io::Error| Error::new(ErrorKind::Target, "cannot write the file").because(e);
    let plan = |sender: &mut batches::Sender<'_, StreamBatch>| plan(&contents, &layout, sender);
    let buffers = batches::buffers();
    let decode = |batch| restore::decode_batch(&contents, batch, &buffers);
    batches::in_order((wanted.workers, monitor), plan, decode, |bytes: Buffer| {
        monitor.check()?;
        monitor.count(Counter::StreamBytes, wide(bytes.len()));
        out.write_all(&bytes).map_err(broken)
    })?;
    out.flush().map_err(broken)?;
    Ok(layout.length)
}

fn layout(stored: &StoredSnapshot, contents: &Contents, path: &str) -> Result<Layout> {
    let unknown = || {
        let what = format!("snapshot {} has no file {path}", stored.id().short());
        Error::new(ErrorKind::Usage, what)
    };
    if stored.snapshot.about.format != StreamFormat::Raw {
        let mut found = None;
        let files = restore::Files::of(stored, contents, None)?;
        files.each(contents, &mut |file| {
            if restore::path_of(&file) == path.as_bytes() {
                found = Some(file);
            }
            Ok(())
        })?;
        let file = found.ok_or_else(unknown)?;
        let key = restore::key_of(&file);
        return Ok(Layout { key, length: file.length, extents: file.extents });
    }
    let key = MemberKey { path: path.as_bytes().to_vec(), incarnation: 0 };
    let length = contents.table().find(&key)?.ok_or_else(unknown)?.length;
    let whole = FileExtent { file_at: 0, member_at: 0, len: length };
    let extents = if length > 0 { vec![whole] } else { Vec::new() };
    Ok(Layout { key, length, extents })
}

fn plan(
    contents: &Contents,
    layout: &Layout,
    sender: &mut batches::Sender<'_, StreamBatch>,
) -> Result<()> {
    let mut batch = StreamBatch::default();
    let mut running: Option<(Running, u64)> = None;
    let mut file_at = 0;
    for extent in &layout.extents {
        add_zeros(extent.file_at - file_at, &mut batch, sender)?;
        let end = extent.member_at + extent.len;
        // What was written out of order is read out of order: from the start of the member again.
        let forward = running.take().filter(|(_, at)| *at <= extent.member_at);
        let (mut current, _) = match forward {
            Some(forward) => forward,
            None => (Running::new(contents, layout.key.clone())?, 0),
        };
        current.add((extent.member_at, end), &mut batch, sender)?;
        running = Some((current, end));
        file_at = extent.file_at + extent.len;
    }
    add_zeros(layout.length - file_at, &mut batch, sender)?;
    batch.send_rest(sender)
}

fn add_zeros(
    count: u64,
    batch: &mut StreamBatch,
    sender: &mut batches::Sender<'_, StreamBatch>,
) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let piece = left.min(ZEROS_BYTES);
        batch.push(Piece::Bytes(vec![0; narrow(piece)]));
        batch.send_if_full(sender)?;
        left -= piece;
    }
    Ok(())
}
