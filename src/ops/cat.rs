//! Writes one file of a snapshot, verified, front to back.
//!
//! The file is what a restore into a directory would make: patches and renames of the stream are
//! applied, and holes are zeros. A stream that was not taken apart has one file, called `stream`.

use std::io;
use std::io::Write;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::world::World;
use crate::format::record::MemberKey;
use crate::ops::pieces;
use crate::ops::pieces::MemberReader;
use crate::ops::pieces::Planner;
use crate::ops::selection;
use crate::ops::selection::Selection;
use crate::parse::tree::FileExtent;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Most zeros of a hole that make one piece.
const ZEROS_BYTES: u64 = 1 << 20;

/// A file, and the places of its bytes in the member that they come from.
struct Layout {
    key: MemberKey,
    length: u64,
    extents: Vec<FileExtent>,
}

/// The file that is wanted, and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct CatOptions<'c> {
    /// The path of the file.
    pub path: &'c str,
    /// Number of worker threads that fetch and decode.
    pub workers: u32,
}

/// Writes a file of a snapshot to `out`, and returns the number of its bytes.
pub fn cat(
    repository: &Repository,
    stored: &StoredSnapshot,
    wanted: &CatOptions<'_>,
    out: &mut (dyn Write + Send),
    world: &World,
) -> Result<u64> {
    let monitor = &world.monitor;
    repository.require_data()?;
    selection::refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let layout = layout(stored, &contents, wanted.path)?;
    monitor.count(Counter::ExpectedBytes, layout.length);
    let broken = |e: io::Error| Error::new(ErrorKind::Target, "cannot write the file").because(e);
    let plan = |planner: &mut Planner<'_, '_>| plan(&contents, &layout, planner);
    pieces::write_in_order(&contents, wanted.workers, monitor, plan, |bytes| {
        monitor.check()?;
        monitor.count(Counter::StreamBytes, u64_of(bytes.len()));
        out.write_all(bytes).map_err(broken)
    })?;
    out.flush().map_err(broken)?;
    Ok(layout.length)
}

/// Finds the file of this path.
fn layout(stored: &StoredSnapshot, contents: &Contents, path: &str) -> Result<Layout> {
    let unknown = || {
        let what = format!("snapshot {} has no file {path}", stored.id().short());
        Error::new(ErrorKind::Usage, what)
    };
    if !stored.snapshot.about.format.is_plain() {
        let file = Selection::new(stored, contents, None)?.find(path.as_bytes())?;
        let file = file.ok_or_else(unknown)?;
        let key = selection::key_of(&file);
        return Ok(Layout { key, length: file.length, extents: file.extents });
    }
    let key = MemberKey { path: path.as_bytes().to_vec(), incarnation: 0 };
    let length = contents.table().find(&key)?.ok_or_else(unknown)?.length;
    let whole = FileExtent { file_at: 0, member_at: 0, len: length };
    let extents = if length > 0 { vec![whole] } else { Vec::new() };
    Ok(Layout { key, length, extents })
}

/// Plans the bytes of the file, holes included.
fn plan(contents: &Contents, layout: &Layout, planner: &mut Planner<'_, '_>) -> Result<()> {
    let mut reading: Option<(MemberReader, u64)> = None;
    let mut file_at = 0;
    for extent in &layout.extents {
        add_zeros(extent.file_at - file_at, planner)?;
        let end = extent.member_at + extent.len;
        // What was written out of order is read out of order: from the start of the member again.
        let forward = reading.take().filter(|(_, at)| *at <= extent.member_at);
        let (mut member, _) = match forward {
            Some(forward) => forward,
            None => (MemberReader::new(contents, &layout.key)?, 0),
        };
        planner.add_range(&mut member, extent.member_at, end)?;
        reading = Some((member, end));
        file_at = extent.file_at + extent.len;
    }
    add_zeros(layout.length - file_at, planner)
}

fn add_zeros(count: u64, planner: &mut Planner<'_, '_>) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let piece = left.min(ZEROS_BYTES);
        planner.add_bytes(vec![0; usize_of(piece)])?;
        left -= piece;
    }
    Ok(())
}
