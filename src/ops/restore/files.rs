//! Restores the files of a snapshot into a directory: one thread makes them in stream order, and
//! workers fill them in place.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::ops::batches;
use crate::ops::batches::Batch;
use crate::ops::restore::before;
use crate::ops::restore::chosen::Chosen;
use crate::ops::restore::chosen::member_of;
use crate::ops::restore::confined;
use crate::ops::restore::mark::Mark;
use crate::ops::restore::options::Purpose;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::restore::options::Unfinished;
use crate::ops::restore::out_file::Lost;
use crate::ops::restore::out_file::OutFile;
use crate::ops::restore::out_file::named;
use crate::ops::restore::report::Method;
use crate::ops::restore::report::RestoreReport;
use crate::ops::restore::target::TargetDirectory;
use crate::ops::selection;
use crate::ops::selection::path_of;
use crate::parse::tree::TreeFile;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Entries;
use crate::repo::snapshots::StoredSnapshot;

/// Restores the files of a snapshot into an empty directory.
pub(super) fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let chosen = Chosen::new(repository, stored, options, monitor)?;
    if chosen.count == 0 && !options.include.is_empty() {
        return Err(selection::nothing_matches(stored, &options.include));
    }
    if options.purpose == Purpose::Prepare {
        before::require_preparable(stored, &chosen)?;
    }
    if options.unfinished == Unfinished::Refuse {
        before::require_room(target, std::iter::once(&chosen))?;
    }
    let mark = Mark::new(repository, stored, &options.include);
    let mut target = TargetDirectory::begin(target, &mark, options)?;
    let report = write(&chosen, &mut target, options, monitor)?;
    target.finish()?;
    Ok(report)
}

/// Writes files into a directory that has been begun.
pub(super) fn write(
    chosen: &Chosen,
    target: &mut TargetDirectory,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let Chosen { id, files, count, bytes, .. } = chosen;
    let contents = chosen.contents();
    monitor.count(Counter::ExpectedBytes, *bytes);
    let lost = Lost::new(options.losses, options.purpose);
    let (mut unfinished, mut links) = (0, Vec::new());
    let plan = |sender: &mut batches::Sender<'_, FileBatch>| {
        let files_max = usize_of(options.workers.into()).clamp(1, batches::PLANNED_FILES_MAX);
        let mut filled = SideBySide::new(files_max);
        let mut plan = |begun: &mut Begun| plan_batch(begun, &lost, sender);
        files.each(&mut |file| {
            unfinished += u64::from(!file.ended);
            if path_of(&file).ends_with(LINK) {
                links.push(path_of(&file).to_vec());
            }
            match begin_file(contents, &lost, target, &file)? {
                Some(begun) => filled.add(begun, &mut plan),
                None => Ok(()),
            }
        })?;
        filled.plan_until(0, plan)
    };
    batches::in_order(
        options.workers,
        monitor,
        plan,
        |batch| write_batch(contents, &lost, batch, monitor),
        |()| Ok(()),
    )?;
    let mut report = RestoreReport::empty(*id, Method::Files);
    let place = target.path().to_owned();
    let path_of_file = |name: &[u8]| place.join(OsStr::from_bytes(name));
    report.lost = lost.remove(&mut target.root, &[], &path_of_file)?;
    if unfinished > 0 {
        let files = if unfinished == 1 { "1 file is" } else { &format!("{unfinished} files are") };
        report.warnings.push(format!("{files} cut short: the stream ended before"));
    }
    report.warnings.extend(links_elsewhere(&links, target));
    report.files = count - u64_of(report.lost.len());
    (report.bytes, report.counts) = (*bytes, monitor.counts());
    Ok(report)
}

/// Names the `.isl` files that were restored: a server that finds one opens the file that it names,
/// which on the host of the backup is the live one.
fn links_elsewhere(names: &[Vec<u8>], target: &mut TargetDirectory) -> Vec<String> {
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

/// The end of the names of such files.
const LINK: &[u8] = b".isl";
/// Bytes of a path in an `.isl` file.
const LINK_BYTES_MAX: u64 = 4096;

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

/// A file that was made, and the blocks of it that are not planned yet.
struct Begun {
    file: Arc<OutFile>,
    entries: Entries,
}

/// Things that are planned side by side, a batch of each in turn.
///
/// The system lets one thread at a time write to a file: workers that fill the same one wait for
/// each other.
struct SideBySide<T> {
    begun: VecDeque<T>,
    begun_max: usize,
}

impl<T> SideBySide<T> {
    fn new(begun_max: usize) -> Self {
        Self { begun: VecDeque::new(), begun_max }
    }

    /// Adds one; once there are as many as may be, plans all until one is whole.
    fn add(&mut self, new: T, plan: impl FnMut(&mut T) -> Result<Planned>) -> Result<()> {
        self.begun.push_back(new);
        self.plan_until(self.begun_max - 1, plan)
    }

    /// Plans a batch of each in turn until at most `left` are not whole.
    fn plan_until(
        &mut self,
        left: usize,
        mut plan: impl FnMut(&mut T) -> Result<Planned>,
    ) -> Result<()> {
        while self.begun.len() > left {
            let Some(mut begun) = self.begun.pop_front() else { break };
            if plan(&mut begun)? == Planned::InPart {
                self.begun.push_back(begun);
            }
        }
        Ok(())
    }
}

/// The part of a file that is planned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Planned {
    InPart,
    Whole,
}

/// Makes a file; none if it is lost, which is recorded.
fn begin_file(
    contents: &Contents,
    lost: &Lost,
    target: &mut TargetDirectory,
    file: &TreeFile,
) -> Result<Option<Begun>> {
    let record = match member_of(contents, file) {
        Ok(record) => record,
        Err(error) => return lost.record_unmade(path_of(file), error).map(|()| None),
    };
    match OutFile::create(target, file) {
        Ok(out) => Ok(Some(Begun { file: Arc::new(out), entries: contents.entries(record) })),
        Err(error) => {
            let (name, path) = (path_of(file), target.path_of(path_of(file)));
            lost.record_refused(name, &path, error).map(|()| None)
        }
    }
}

/// Plans the next batch of a file.
fn plan_batch(
    begun: &mut Begun,
    lost: &Lost,
    sender: &mut batches::Sender<'_, FileBatch>,
) -> Result<Planned> {
    let file = Arc::clone(&begun.file);
    let mut batch = FileBatch { file, blocks: Vec::new(), bytes: 0 };
    while batch.bytes < batches::BATCH_BYTES {
        let block = match begun.entries.next() {
            Ok(Some(block)) => block,
            Ok(None) if batch.blocks.is_empty() => return Ok(Planned::Whole),
            Ok(None) => return sender.send(batch).map(|()| Planned::Whole),
            Err(error) => {
                lost.record(&begun.file, named(&begun.file.path, error))?;
                return Ok(Planned::Whole);
            }
        };
        batch.bytes += block.entry.length;
        batch.blocks.push(block);
    }
    sender.send(batch).map(|()| Planned::InPart)
}

/// Fetches the blocks of a file and writes them to their places.
fn write_batch(
    contents: &Contents,
    lost: &Lost,
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
            out.write(block.at, &vec![0; usize_of(block.entry.length)])?;
        }
    }
    let stored: Vec<(u64, _)> =
        blocks.iter().filter_map(|block| Some((block.at, block.wanted()?))).collect();
    let wanted: Vec<_> = stored.iter().map(|(_, wanted)| *wanted).collect();
    let mut write = |numbers: Range<usize>, run: Result<&[u8]>| match run {
        Ok(run) => out.write_run(&stored[numbers], run),
        Err(error) => lost.record(out, named(&out.path, error)),
    };
    if let Err(error) = contents.packs().read_runs(&wanted, &mut write) {
        lost.record(out, error)?;
    }
    monitor.count(Counter::StreamBytes, batch.bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the order in which batches of files are planned; each file has this many.
    fn order(batches: &[usize], begun_max: usize) -> String {
        let mut order = String::new();
        let mut plan = |(name, left): &mut (char, usize)| {
            order.push(*name);
            *left -= 1;
            Ok(if *left == 0 { Planned::Whole } else { Planned::InPart })
        };
        let mut files = SideBySide::new(begun_max);
        for (name, batches) in ('a'..).zip(batches) {
            files.add((name, *batches), &mut plan).unwrap();
        }
        files.plan_until(0, plan).unwrap();
        order
    }

    #[test]
    fn files_are_planned_in_turn() {
        assert_eq!(order(&[3, 2, 1], 1), "aaabbc");
        assert_eq!(order(&[3, 5, 1, 2, 1], 2), "abababcbdbde");
        assert_eq!(order(&[3, 1, 1], 3), "abcaa");
        assert_eq!(order(&[1, 1], 8), "ab");
        assert_eq!(order(&[], 2), "");
    }

    #[test]
    fn a_failure_ends_the_plan() {
        let mut files = SideBySide::new(2);
        files.add(1, |_| Ok(Planned::InPart)).unwrap();
        let failed = files.add(2, |number| match number {
            2 => Err(crate::base::error::Error::cancelled()),
            _ => Ok(Planned::InPart),
        });
        assert!(failed.is_err());
    }
}
