//! Restores a snapshot: into files, written in parallel and in place, or as the stream that once
//! came.
//!
//! A planner walks the snapshot in stream order, which is the order of the packs, and hands windows
//! of blocks to the workers; a worker fetches, opens, decodes and verifies its window. Nothing
//! unverified is written anywhere.
//!
//! Invariants:
//! - A directory that is not finished holds the file [`INCOMPLETE`]; it goes last, after everything
//!   is durable.
//! - Nothing is written outside the directory, whatever the stream says and whatever a user who can
//!   write there does meanwhile (`beneath`).
//! - A stream is whole or the call fails; a reader that goes away is a failure.

pub mod accounts;
pub(super) mod before;
pub(super) mod beneath;
mod container;
mod dump;
mod mark;
mod options;
mod sharing;
mod tar;
mod target;
mod write;

use std::collections::HashMap;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
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
use crate::parse::replay::Emit;
use crate::parse::replay::Replay;
use crate::parse::script::ScriptError;
use crate::parse::script::ScriptReader;
use crate::parse::tree::Tree;
use crate::parse::tree::TreeFile;
use crate::pipeline::ingest::PLAIN_MEMBER;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Entries;
use crate::repo::snapshots::StoredSnapshot;

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

use super::windows;
use super::windows::Window;

/// What came of a restore.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// The snapshot.
    pub id: SnapshotId,
    /// Files written.
    pub files: u64,
    /// Bytes written, holes included.
    pub bytes: u64,
    /// Files that were left out because they can't be restored whole.
    pub lost: Vec<LostFile>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Where the snapshots of a chain went, the full backup first; empty if there is no chain.
    pub steps: Vec<Step>,
    /// What was counted.
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
    /// The directory.
    pub directory: PathBuf,
    /// The snapshot.
    pub snapshot: SnapshotId,
}

impl RestoreReport {
    /// Of a restore that has written nothing.
    pub fn empty(id: SnapshotId) -> RestoreReport {
        let (warnings, steps, counts) = (Vec::new(), Vec::new(), Counts::default());
        RestoreReport { id, files: 0, bytes: 0, lost: Vec::new(), warnings, steps, counts }
    }
}

pub(super) fn unwritable(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(cause)
}

/// Globs that choose nothing.
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

/// The entries of a tar are more than files with contents.
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
    let files = tar::files(&contents)?;
    if options.purpose == Purpose::Prepare {
        let wanted = select(files.clone(), include.as_ref()).unwrap_or_default();
        before::require_preparable(stored, &files, &wanted)?;
    }
    if options.unfinished == Unfinished::Refuse {
        let files = select(files, include.as_ref()).unwrap_or_default();
        let chosen = Chosen { id: stored.id(), contents: contents.clone(), files };
        before::require_room(target, std::iter::once(&chosen))?;
    }
    if options.losses == Losses::LeaveOut {
        let what = "a tar is restored as a whole: its files can't be left out one by one";
        return Err(Error::new(ErrorKind::Usage, what));
    }
    monitor.count(Counter::ExpectedBytes, stored.snapshot.about.stream_bytes);
    let mark = Mark::new(repository, stored, &options.include);
    tar::to_directory((stored, &mark), &contents, (target, include.as_ref()), options, monitor)
}

/// Gives what was restored, and what was made of it since, to somebody.
pub fn give(target: &Path, owner: Ownership) -> Result<()> {
    let root = beneath::Root::open(target).map_err(|e| unwritable(target, e))?;
    beneath::give_all(root.as_directory(), owner).map_err(|e| unwritable(target, e))
}

/// Files of a snapshot that are to be restored.
#[derive(Debug)]
pub(super) struct Chosen {
    id: SnapshotId,
    contents: Contents,
    files: Vec<TreeFile>,
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
    let files = files_of(stored, &contents)?;
    let all = if options.purpose == Purpose::Prepare { files.clone() } else { Vec::new() };
    let files = match (&include, stored.snapshot.about.format) {
        (Some(include), StreamFormat::Sql) => dump::select(files, include)?,
        (include, _) => select(files, include.as_ref())
            .ok_or_else(|| nothing_matches(stored, &options.include))?,
    };
    if options.purpose == Purpose::Prepare && stored.snapshot.about.requires.is_empty() {
        before::require_preparable(stored, &all, &files)?;
    }
    Ok(Chosen { id: stored.id(), contents, files })
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

/// The globs that choose parts of a stream; only dumps have parts that make sense alone.
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

/// Writes the stream of a snapshot, byte for byte as it came; of an SQL dump also parts of it, as a
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
    let plan = |sender: &mut windows::Sender<'_, StreamWindow>| match (about.format, &selected) {
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
    let buffers = windows::buffers();
    let decode = |window| decode_window(&contents, window, &buffers);
    let mut report = RestoreReport::empty(stored.id());
    if let Some(selected) = &selected {
        let mut excerpt = selected.excerpt();
        let mut some = Vec::new();
        windows::run((options.workers, monitor), plan, decode, |bytes: Buffer| {
            excerpt.push(&bytes, &mut some)?;
            write(&some)?;
            some.clear();
            Ok(())
        })?;
        let left_out = excerpt.finish(&mut some)?;
        write(&some)?;
        report.warnings = dump::told(left_out);
    } else {
        windows::run((options.workers, monitor), plan, decode, |bytes: Buffer| write(&bytes))?;
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

/// A checkpoint has no script: it is there for the next backup to go on from.
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

/// The files that the snapshot's stream results in, in stream order.
pub(super) fn files_of(stored: &StoredSnapshot, contents: &Contents) -> Result<Vec<TreeFile>> {
    match stored.snapshot.about.format {
        StreamFormat::Mbstream => files_of_mbstream(contents),
        StreamFormat::Sql => {
            let mut files = container::files(contents)?;
            dump::spread(&mut files)?;
            Ok(files)
        }
        StreamFormat::Tar => tar::files(contents),
        StreamFormat::Raw => Err(Error::new(
            ErrorKind::Usage,
            format!("snapshot {} is a plain stream, which has no files", stored.id().short()),
        )),
    }
}

fn files_of_mbstream(contents: &Contents) -> Result<Vec<TreeFile>> {
    let mut reader = ScriptReader::new();
    let mut tree = Tree::new();
    contents.read_inner("script", &mut |piece| {
        reader.feed(piece);
        while let Some(op) = reader.next_op().map_err(|e| Error::damaged("the script", e))? {
            tree.apply(&op).map_err(|e| Error::damaged("the script", e))?;
        }
        Ok(())
    })?;
    reader.finish().map_err(|e| Error::damaged("the script", e))?;
    if let Some(path) = tree.conflicts().first() {
        let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
        return Err(Error::new(
            ErrorKind::Target,
            format!("{path} is a file and a directory in this stream: restore it with --stdout"),
        ));
    }
    let mut files: Vec<TreeFile> = tree.into_files().collect();
    files.sort_by_key(|file| file.member);
    Ok(files)
}

/// The files that are wanted; `None` if there are globs, and none of them matches.
fn select(files: Vec<TreeFile>, include: Option<&GlobSet>) -> Option<Vec<TreeFile>> {
    let Some(include) = include else { return Some(files) };
    let wanted = |file: &TreeFile| {
        include.is_match(Path::new(std::ffi::OsStr::from_bytes(file.path.as_bytes())))
    };
    let files: Vec<TreeFile> = files.into_iter().filter(wanted).collect();
    (!files.is_empty()).then_some(files)
}

/// Where a file is to be.
pub(super) fn path_of(file: &TreeFile) -> &[u8] {
    file.path.as_bytes()
}

/// The member that a file's bytes come from.
pub(super) fn key_of(file: &TreeFile) -> MemberKey {
    MemberKey { path: file.member_path.as_bytes().to_vec(), incarnation: file.incarnation.get() }
}

/// A piece of the stream.
pub(super) enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This part of a block.
    Part { block: Block, from: usize, to: usize },
}

/// Neighbouring pieces of the stream.
#[derive(Default)]
pub(super) struct StreamWindow {
    pieces: Vec<Piece>,
    bytes: u64,
}

impl Window for StreamWindow {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

impl StreamWindow {
    pub(super) fn push(&mut self, piece: Piece) {
        self.bytes += match &piece {
            Piece::Bytes(bytes) => wide(bytes.len()),
            Piece::Part { from, to, .. } => wide(to - from),
        };
        self.pieces.push(piece);
    }

    pub(super) fn send_if_full(
        &mut self,
        sender: &mut windows::Sender<'_, StreamWindow>,
    ) -> Result<()> {
        if self.bytes < windows::WINDOW_BYTES {
            return Ok(());
        }
        sender.send(std::mem::take(self))
    }

    /// Hands over what has not been.
    pub(super) fn send_rest(self, sender: &mut windows::Sender<'_, StreamWindow>) -> Result<()> {
        if self.pieces.is_empty() { Ok(()) } else { sender.send(self) }
    }
}

/// A member whose bytes leave in order, range by range.
pub(super) struct Running {
    entries: Entries,
    current: Option<Block>,
}

impl Running {
    /// A member from its start on.
    pub(super) fn new(contents: &Contents, key: MemberKey) -> Result<Running> {
        Ok(Running { entries: contents.entries(contents.member(&key)?), current: None })
    }

    /// Adds the bytes from `from` to `to` of the member to the window; nothing before `from` is
    /// wanted any more.
    pub(super) fn add(
        &mut self,
        (from, to): (u64, u64),
        window: &mut StreamWindow,
        sender: &mut windows::Sender<'_, StreamWindow>,
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
            window.push(Piece::Part { block, from, to });
            window.send_if_full(sender)?;
            at = end;
        }
        Ok(())
    }
}

fn plan_plain(contents: &Contents, sender: &mut windows::Sender<'_, StreamWindow>) -> Result<()> {
    let record = contents.member(&MemberKey { path: PLAIN_MEMBER.to_vec(), incarnation: 0 })?;
    let length = record.length;
    let mut running = Running { entries: contents.entries(record), current: None };
    let mut window = StreamWindow::default();
    running.add((0, length), &mut window, sender)?;
    window.send_rest(sender)
}

fn plan_replay(contents: &Contents, sender: &mut windows::Sender<'_, StreamWindow>) -> Result<()> {
    let damaged = |e: ScriptError| Error::damaged("the script", e);
    let mut replay = Replay::new();
    let mut window = StreamWindow::default();
    let mut members: HashMap<u64, Running> = HashMap::new();
    contents.read_inner("script", &mut |piece| {
        replay.feed(piece);
        while let Some(emit) = replay.next_emit().map_err(damaged)? {
            match emit {
                Emit::Bytes(bytes) => window.push(Piece::Bytes(bytes.to_vec())),
                Emit::Member { target, range } => {
                    let number = target.member.get();
                    let mut running = match members.remove(&number) {
                        Some(running) => running,
                        None => open_running(contents, &target)?,
                    };
                    running.add((range.start, range.end), &mut window, sender)?;
                    // A member whose bytes have all left is not needed again.
                    if range.end < running.entries.record().length {
                        members.insert(number, running);
                    }
                }
            }
            window.send_if_full(sender)?;
        }
        Ok(())
    })?;
    replay.finish().map_err(damaged)?;
    window.send_rest(sender)
}

fn open_running(contents: &Contents, target: &crate::parse::item::Target<'_>) -> Result<Running> {
    let path = target.path.as_bytes().to_vec();
    Running::new(contents, MemberKey { path, incarnation: target.incarnation.get() })
}

pub(super) fn decode_window(
    contents: &Contents,
    window: StreamWindow,
    buffers: &Buffers,
) -> Result<Buffer> {
    let mut out = buffers.of_length(narrow(window.bytes));
    let mut at = 0;
    let mut places = Vec::new();
    let mut wanted = Vec::new();
    for piece in &window.pieces {
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
