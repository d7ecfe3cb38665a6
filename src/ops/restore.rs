//! Restores a snapshot: into files, written in parallel and in place, or as the stream that once
//! came.
//!
//! A planner walks the snapshot in stream order, which is the order of the packs, and hands batches
//! of blocks to the workers; a worker fetches, opens, decodes and verifies its batch. Nothing
//! unverified is written anywhere.
//!
//! Invariants:
//! - A directory that is not finished holds the file [`INCOMPLETE`]; it goes last, after everything
//!   is durable.
//! - Nothing is written outside the directory, whatever the stream says and whatever a user who can
//!   write there does at the same time (`confined`).
//! - A stream is whole or the call fails; a reader that goes away is a failure.

pub mod accounts;
pub(super) mod before;
pub(super) mod confined;
mod container;
mod dump;
mod files;
mod mark;
mod options;
mod sharing;
mod tar;
mod target;
mod write;

use std::collections::HashMap;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;

use crate::base::buffers::Buffer;
use crate::base::buffers::Buffers;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Counter;
use crate::base::monitor::Counts;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;
use crate::base::num::wide;
use crate::format::record::MemberKey;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::parse::item::Target as ItemTarget;
use crate::parse::replay::Emit;
use crate::parse::replay::Replay;
use crate::parse::script::ScriptError;
use crate::parse::tree::TreeFile;
use crate::pipeline::ingest::PLAIN_MEMBER;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Entries;
use crate::repo::snapshots::StoredSnapshot;

pub(super) use files::Files;
pub use mark::INCOMPLETE;
pub(super) use mark::Mark;
pub use options::Devices;
pub use options::Losses;
pub use options::Ownership;
pub use options::Purpose;
pub use options::RestoreOptions;
pub use options::Sharing;
pub use options::Unfinished;
pub(super) use target::Target;
pub(super) use write::write_files;

use super::batches;
use super::batches::Batch;

/// The result of a restore.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// Id of the snapshot that was restored.
    pub id: SnapshotId,
    /// Number of files that were written.
    pub files: u64,
    /// Number of bytes written, holes included.
    pub bytes: u64,
    /// Files that were left out because they can't be restored whole.
    pub lost: Vec<LostFile>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Where the snapshots of a chain went, the full backup first; empty if there is no chain.
    pub steps: Vec<Step>,
    /// The monitor's counters at the end.
    pub counts: Counts,
}

/// A file that can't be restored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// Its path below the target.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub why: String,
}

/// A snapshot of a chain, and where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Directory that it was restored to.
    pub directory: PathBuf,
    /// Id of the snapshot that went there.
    pub snapshot: SnapshotId,
}

impl RestoreReport {
    /// Creates the report of a restore that has written nothing.
    pub fn empty(id: SnapshotId) -> RestoreReport {
        let (warnings, steps, counts) = (Vec::new(), Vec::new(), Counts::default());
        RestoreReport { id, files: 0, bytes: 0, lost: Vec::new(), warnings, steps, counts }
    }
}

pub(super) fn unwritable(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(cause)
}

/// Returns the error of globs that choose nothing.
pub(super) fn nothing_matches(stored: &StoredSnapshot, include: &[String]) -> Error {
    let (id, globs) = (stored.id().short(), include.join(" or "));
    Error::new(ErrorKind::Usage, format!("no file of snapshot {id} matches {globs}"))
}

/// Restores the files of a snapshot into an empty directory.
pub fn to_directory(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    if stored.snapshot.about.format == StreamFormat::Tar {
        return archive_to_directory(repository, stored, target, options, monitor);
    }
    let chosen = choose(repository, stored, options, monitor)?;
    if options.unfinished == Unfinished::Refuse {
        before::require_room(target, std::iter::once(&chosen))?;
    }
    let mark = Mark::new(repository, stored, &options.include);
    let mut target = Target::begin(target, &mark, options)?;
    let report = write_files(&chosen, &mut target, options, monitor)?;
    target.finish()?;
    Ok(report)
}

/// Restores a tar to a directory: its entries are more than files with contents.
fn archive_to_directory(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let include = globs(&options.include)?;
    refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let files = Files::of(stored, &contents, include.clone())?;
    let chosen = Chosen::new(stored, contents.clone(), files)?;
    if options.purpose == Purpose::Prepare {
        before::require_preparable(stored, &chosen)?;
    }
    if options.unfinished == Unfinished::Refuse {
        before::require_room(target, std::iter::once(&chosen))?;
    }
    monitor.count(Counter::ExpectedBytes, stored.snapshot.about.stream_bytes);
    let mark = Mark::new(repository, stored, &options.include);
    tar::to_directory((stored, &mark), &contents, (target, include.as_ref()), options, monitor)
}

/// Gives what was restored, and what was made of it since, to another owner.
pub fn give(target: &Path, owner: Ownership) -> Result<()> {
    let root = confined::Root::open(target).map_err(|e| unwritable(target, e))?;
    confined::give_all(root.as_directory(), owner).map_err(|e| unwritable(target, e))
}

/// Files of a snapshot that are to be restored.
#[derive(Debug)]
pub(super) struct Chosen {
    id: SnapshotId,
    contents: Contents,
    files: Files,
    /// Number of these files.
    count: u64,
    /// Length of these files in bytes, all together.
    bytes: u64,
    /// How many other files the snapshot has.
    others: u64,
    /// Whether there is a file without which nothing can be prepared.
    has_checkpoints: bool,
    /// A file whose name no file system takes.
    refused: Option<Vec<u8>>,
}

impl Chosen {
    /// Looks at the files before any is written.
    fn new(stored: &StoredSnapshot, contents: Contents, files: Files) -> Result<Chosen> {
        let (mut count, mut bytes, mut all) = (0, 0u64, 0);
        let (mut has_checkpoints, mut refused) = (false, None);
        files.every(&contents, &mut |file| {
            all += 1;
            has_checkpoints |= before::is_checkpoints(path_of(&file));
            if refused.is_none() && before::is_refused(path_of(&file)) {
                refused = Some(path_of(&file).to_vec());
            }
            if files.is_wanted(&file) {
                count += 1;
                bytes = bytes.saturating_add(file.length);
            }
            Ok(())
        })?;
        let (id, others) = (stored.id(), all - count);
        Ok(Chosen { id, contents, files, count, bytes, others, has_checkpoints, refused })
    }
}

/// Finds what is to be restored; nothing has been written when that makes no sense.
pub(super) fn choose(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<Chosen> {
    let include = globs(&options.include)?;
    repository.require_data()?;
    refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let files = Files::of(stored, &contents, include)?;
    let chosen = Chosen::new(stored, contents, files)?;
    if chosen.count == 0 && !options.include.is_empty() {
        return Err(nothing_matches(stored, &options.include));
    }
    if options.purpose == Purpose::Prepare && stored.snapshot.about.requires.is_empty() {
        before::require_preparable(stored, &chosen)?;
    }
    Ok(chosen)
}

/// Tells into which schema parts of a dump will load that [`to_stream`] writes; `None` if the
/// stream is restored as a whole.
pub fn destination(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<Option<String>> {
    let Some(include) = stream_globs(stored, options)? else { return Ok(None) };
    repository.require_data()?;
    refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let into = options.into.as_deref().map(str::as_bytes);
    Ok(Some(dump::Selection::new(&contents, &include, into)?.destination()))
}

/// Returns the globs that choose parts of a stream; only dumps have parts that make sense alone.
fn stream_globs(stored: &StoredSnapshot, options: &RestoreOptions) -> Result<Option<GlobSet>> {
    let format = stored.snapshot.about.format;
    let include = globs(&options.include)?;
    let refused = |what: String| Err(Error::new(ErrorKind::Usage, what));
    if format != StreamFormat::Sql && options.into.is_some() {
        return refused(format!("--into: a {format} stream has no schema that can be rewritten"));
    }
    if format != StreamFormat::Sql && include.is_some() {
        return refused(format!("a {format} stream can only be restored as a whole"));
    }
    if include.is_none() && options.into.is_some() {
        return refused("--into rewrites tables that --include chooses".to_owned());
    }
    Ok(include)
}

/// Writes the stream of a snapshot, byte for byte; of an SQL dump also parts of it, as a
/// dump that loads.
pub fn to_stream(
    repository: &Repository,
    stored: &StoredSnapshot,
    out: &mut (dyn Write + Send),
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let about = &stored.snapshot.about;
    let include = stream_globs(stored, options)?;
    repository.require_data()?;
    refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let into = options.into.as_deref().map(str::as_bytes);
    let selected = include.map(|include| dump::Selection::new(&contents, &include, into));
    let selected = selected.transpose()?;
    let expected = if selected.is_none() { about.stream_bytes } else { 0 };
    monitor.count(Counter::ExpectedBytes, expected);
    let plan = |sender: &mut batches::Sender<'_, StreamBatch>| match (about.format, &selected) {
        (StreamFormat::Mbstream, _) => plan_replay(&contents, sender),
        (StreamFormat::Sql, Some(selected)) => selected.plan(&contents, sender),
        (StreamFormat::Sql, None) | (StreamFormat::Tar, _) => container::plan(&contents, sender),
        (StreamFormat::Raw, _) => plan_plain(&contents, sender),
    };
    let mut written = 0;
    let mut write = |bytes: &[u8]| {
        let broken =
            |e: io::Error| Error::new(ErrorKind::Target, "cannot write the stream").because(e);
        monitor.check()?;
        out.write_all(bytes).map_err(broken)?;
        written += wide(bytes.len());
        monitor.count(Counter::StreamBytes, wide(bytes.len()));
        Ok(())
    };
    let buffers = batches::buffers();
    let decode = |batch| decode_batch(&contents, batch, &buffers);
    let mut report = RestoreReport::empty(stored.id());
    if let Some(selected) = &selected {
        let mut excerpt = selected.excerpt();
        let mut some = Vec::new();
        batches::in_order((options.workers, monitor), plan, decode, |bytes: Buffer| {
            excerpt.push(&bytes, &mut some)?;
            write(&some)?;
            some.clear();
            Ok(())
        })?;
        let left_out = excerpt.finish(&mut some)?;
        write(&some)?;
        report.warnings = dump::told(left_out);
    } else {
        batches::in_order((options.workers, monitor), plan, decode, |bytes: Buffer| write(&bytes))?;
    }
    out.flush().map_err(|e| Error::new(ErrorKind::Target, "cannot write the stream").because(e))?;
    if selected.is_none() && written != about.stream_bytes {
        return Err(Error::damaged(
            format!("snapshot {}", stored.id().short()),
            "its stream has another length than it says",
        ));
    }
    (report.bytes, report.counts) = (written, monitor.counts());
    Ok(report)
}

/// Refuses a checkpoint: it has no script, and is there for the next backup to go on from.
pub(super) fn refuse_checkpoint(stored: &StoredSnapshot) -> Result<()> {
    if stored.snapshot.about.kind != SnapshotKind::Checkpoint {
        return Ok(());
    }
    let id = stored.id().short();
    let what = format!("snapshot {id} is a checkpoint, which only the next backup can use");
    Err(Error::new(ErrorKind::Usage, what))
}

pub(super) fn globs(include: &[String]) -> Result<Option<GlobSet>> {
    if include.is_empty() {
        return Ok(None);
    }
    let wrong = |glob: &str, e: globset::Error| {
        Error::new(ErrorKind::Usage, format!("{glob} is not a glob")).because(e)
    };
    let mut set = GlobSetBuilder::new();
    for glob in include {
        let built = GlobBuilder::new(glob).literal_separator(false).build();
        set.add(built.map_err(|e| wrong(glob, e))?);
    }
    set.build().map(Some).map_err(|e| wrong("the list", e))
}

/// Returns where a file is to be.
pub(super) fn path_of(file: &TreeFile) -> &[u8] {
    file.path.as_bytes()
}

/// Returns the member that a file's bytes come from.
pub(super) fn key_of(file: &TreeFile) -> MemberKey {
    MemberKey { path: file.member_path.as_bytes().to_vec(), incarnation: file.incarnation.get() }
}

/// A piece of the stream.
pub(super) enum Piece {
    /// Bytes that are in memory already.
    Bytes(Vec<u8>),
    /// This part of a block.
    Part { block: Block, from: usize, to: usize },
}

/// Neighbouring pieces of the stream.
#[derive(Default)]
pub(super) struct StreamBatch {
    pieces: Vec<Piece>,
    bytes: u64,
    /// What the pieces themselves occupy: of small files that is more than their bytes.
    overhead: u64,
}

/// Bytes that a piece occupies until it is written, in addition to its own: it and what is wanted
/// for it.
const PIECE_BYTES: u64 = 256;

impl Batch for StreamBatch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

impl StreamBatch {
    pub(super) fn push(&mut self, piece: Piece) {
        self.bytes += match &piece {
            Piece::Bytes(bytes) => wide(bytes.len()),
            Piece::Part { from, to, .. } => wide(to - from),
        };
        self.overhead += PIECE_BYTES;
        self.pieces.push(piece);
    }

    pub(super) fn send_if_full(
        &mut self,
        sender: &mut batches::Sender<'_, StreamBatch>,
    ) -> Result<()> {
        if self.bytes + self.overhead < batches::BATCH_BYTES {
            return Ok(());
        }
        sender.send(std::mem::take(self))
    }

    /// Hands over what has not been.
    pub(super) fn send_rest(self, sender: &mut batches::Sender<'_, StreamBatch>) -> Result<()> {
        if self.pieces.is_empty() { Ok(()) } else { sender.send(self) }
    }
}

/// A member whose bytes leave in order, range by range.
pub(super) struct Running {
    entries: Entries,
    current: Option<Block>,
}

impl Running {
    /// Starts to read a member at its first block.
    pub(super) fn new(contents: &Contents, key: MemberKey) -> Result<Running> {
        Ok(Running { entries: contents.entries(contents.member(&key)?), current: None })
    }

    /// Adds the bytes from `from` to `to` of the member to the batch; nothing before `from` is
    /// wanted any more.
    pub(super) fn add(
        &mut self,
        (from, to): (u64, u64),
        batch: &mut StreamBatch,
        sender: &mut batches::Sender<'_, StreamBatch>,
    ) -> Result<()> {
        let mut at = from;
        while at < to {
            let current = self.current.filter(|block| block.at + block.entry.length > at);
            let block = match current {
                Some(block) => block,
                None => self.entries.next()?.ok_or_else(|| {
                    let what = format!("member {}", self.entries.record().key.display());
                    Error::damaged(what, "it is shorter than the script says")
                })?,
            };
            self.current = Some(block);
            if block.at + block.entry.length <= at {
                continue;
            }
            let end = (block.at + block.entry.length).min(to);
            let (from, to) = (narrow(at - block.at), narrow(end - block.at));
            batch.push(Piece::Part { block, from, to });
            batch.send_if_full(sender)?;
            at = end;
        }
        Ok(())
    }
}

fn plan_plain(contents: &Contents, sender: &mut batches::Sender<'_, StreamBatch>) -> Result<()> {
    let record = contents.member(&MemberKey { path: PLAIN_MEMBER.to_vec(), incarnation: 0 })?;
    let length = record.length;
    let mut running = Running { entries: contents.entries(record), current: None };
    let mut batch = StreamBatch::default();
    running.add((0, length), &mut batch, sender)?;
    batch.send_rest(sender)
}

fn plan_replay(contents: &Contents, sender: &mut batches::Sender<'_, StreamBatch>) -> Result<()> {
    let damaged = |e: ScriptError| Error::damaged("the script", e);
    let mut replay = Replay::new();
    let mut batch = StreamBatch::default();
    let mut members = OpenMembers::default();
    contents.read_inner("script", &mut |piece| {
        replay.feed(piece);
        while let Some(emit) = replay.next_emit().map_err(damaged)? {
            match emit {
                Emit::Bytes(bytes) => batch.push(Piece::Bytes(bytes.to_vec())),
                Emit::Member { target, range } => {
                    let mut running = members.take(contents, &target)?;
                    running.add((range.start, range.end), &mut batch, sender)?;
                    // A member whose bytes have all left is not needed again.
                    if range.end < running.entries.record().length {
                        members.put(target.member.get(), running);
                    }
                }
            }
            batch.send_if_full(sender)?;
        }
        Ok(())
    })?;
    replay.finish().map_err(damaged)?;
    batch.send_rest(sender)
}

/// Members whose maps are read at once; producers write some hundred files at a time at most.
const RUNNING_MAX: usize = 512;

/// The members of which more bytes are to leave. Each holds a page of its map and more, so that of
/// many only the places are kept, and their maps are read again.
#[derive(Default)]
struct OpenMembers {
    running: HashMap<u64, Running>,
    parked: HashMap<u64, Block>,
}

impl OpenMembers {
    fn take(&mut self, contents: &Contents, target: &ItemTarget<'_>) -> Result<Running> {
        let number = target.member.get();
        if let Some(running) = self.running.remove(&number) {
            return Ok(running);
        }
        let path = target.path.as_bytes().to_vec();
        let key = MemberKey { path, incarnation: target.incarnation.get() };
        let mut running = Running::new(contents, key)?;
        if let Some(block) = self.parked.remove(&number) {
            running.entries.go_to(&block);
        }
        Ok(running)
    }

    fn put(&mut self, number: u64, running: Running) {
        self.running.insert(number, running);
        if self.running.len() > RUNNING_MAX {
            for (number, running) in self.running.drain() {
                // One of which nothing has left yet begins again.
                self.parked.extend(running.current.map(|block| (number, block)));
            }
        }
    }
}

pub(super) fn decode_batch(
    contents: &Contents,
    batch: StreamBatch,
    buffers: &Buffers,
) -> Result<Buffer> {
    let mut out = buffers.of_length(narrow(batch.bytes));
    let mut at = 0;
    let mut places = Vec::new();
    let mut wanted = Vec::new();
    for piece in &batch.pieces {
        match piece {
            Piece::Bytes(bytes) => {
                out[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len();
            }
            Piece::Part { block, from, to } => {
                let end = at + (to - from);
                if let Some(want) = block.wanted() {
                    wanted.push(want);
                    places.push((at, *from, *to));
                } else {
                    out[at..end].fill(0);
                }
                at = end;
            }
        }
    }
    contents.packs().read(&wanted, &mut |number, block| {
        let (at, from, to) = places[number];
        out[at..at + (to - from)].copy_from_slice(&block?[from..to]);
        Ok(())
    })?;
    Ok(out)
}
