//! Restores a snapshot as a stream: the one that was backed up, byte for byte, or parts of a dump
//! as a dump that loads.

use std::collections::HashMap;
use std::io;
use std::io::Write;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::globs::Globs;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::record::MemberKey;
use crate::format::snapshot::StreamFormat;
use crate::ops::pieces;
use crate::ops::pieces::MemberReader;
use crate::ops::pieces::Planner;
use crate::ops::restore::dump::PartOfDump;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::restore::report::Method;
use crate::ops::restore::report::RestoreReport;
use crate::ops::selection;
use crate::ops::selection::container;
use crate::parse::item::Target as ItemTarget;
use crate::parse::replay::Emit;
use crate::parse::replay::Replay;
use crate::parse::script::ScriptError;
use crate::parse::script::container::ContainerOp;
use crate::pipeline::ingest::PLAIN_MEMBER;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Tells into which schema parts of a dump will load that a restore to a stream writes; `None` if
/// the stream is restored as a whole.
pub fn destination(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &RestoreOptions,
    world: &World,
) -> Result<Option<String>> {
    let monitor = &world.monitor;
    let Some(include) = globs_of(stored, options)? else { return Ok(None) };
    repository.require_data()?;
    selection::refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    Ok(Some(PartOfDump::new(&contents, &include, into(options))?.destination()))
}

/// Writes the stream of a snapshot; of an SQL dump also parts of it.
pub(super) fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    out: &mut (dyn Write + Send),
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let include = globs_of(stored, options)?;
    repository.require_data()?;
    selection::refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, monitor)?;
    let mut out = Out { inner: out, monitor, written: 0 };
    let mut report = match include {
        None => whole(stored, &contents, &mut out, options.workers)?,
        Some(include) => {
            let part = PartOfDump::new(&contents, &include, into(options))?;
            let warnings = excerpt(&part, &contents, &mut out, options.workers)?;
            RestoreReport { warnings, ..RestoreReport::empty(stored.id(), Method::Excerpt) }
        }
    };
    (report.bytes, report.counts) = (out.written, monitor.counts());
    Ok(report)
}

/// Returns the globs that choose parts of a stream; only dumps have parts that make sense alone.
fn globs_of(stored: &StoredSnapshot, options: &RestoreOptions) -> Result<Option<Globs>> {
    let format = stored.snapshot.about.format;
    let include = selection::globs(&options.include)?;
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

fn into(options: &RestoreOptions) -> Option<&[u8]> {
    options.into.as_deref().map(str::as_bytes)
}

/// Writes a whole stream.
fn whole(
    stored: &StoredSnapshot,
    contents: &Contents,
    out: &mut Out<'_>,
    workers: u32,
) -> Result<RestoreReport> {
    let about = &stored.snapshot.about;
    let monitor = out.monitor;
    monitor.count(Counter::ExpectedBytes, about.stream_bytes);
    let plan = |planner: &mut Planner<'_, '_>| match about.format {
        StreamFormat::Mbstream => plan_replay(contents, planner),
        StreamFormat::Sql | StreamFormat::Tar => plan_container(contents, planner),
        StreamFormat::Raw | StreamFormat::Binlog => plan_plain(contents, planner),
    };
    pieces::write_in_order(contents, workers, monitor, plan, |bytes| out.write(bytes))?;
    out.flush()?;
    if out.written != about.stream_bytes {
        return Err(Error::damaged(
            format!("snapshot {}", stored.id().short()),
            "its stream has another length than it says",
        ));
    }
    Ok(RestoreReport::empty(stored.id(), Method::Stream))
}

/// Writes parts of a dump; returns what the user should know of statements that were left out.
fn excerpt(
    part: &PartOfDump,
    contents: &Contents,
    out: &mut Out<'_>,
    workers: u32,
) -> Result<Vec<String>> {
    let monitor = out.monitor;
    let mut rewriter = part.rewriter();
    let mut some = Vec::new();
    let plan = |planner: &mut Planner<'_, '_>| part.plan(contents, planner);
    pieces::write_in_order(contents, workers, monitor, plan, |bytes| {
        rewriter.push(bytes, &mut some)?;
        out.write(&some)?;
        some.clear();
        Ok(())
    })?;
    let left_out = rewriter.finish(&mut some)?;
    out.write(&some)?;
    out.flush()?;
    Ok(super::dump::warnings(left_out))
}

/// The stream that is written, with the number of its bytes so far.
struct Out<'o> {
    inner: &'o mut (dyn Write + Send),
    monitor: &'o Monitor,
    written: u64,
}

impl Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.monitor.check()?;
        self.inner.write_all(bytes).map_err(broken)?;
        self.written += u64_of(bytes.len());
        self.monitor.count(Counter::StreamBytes, u64_of(bytes.len()));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush().map_err(broken)
    }
}

fn broken(cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, "cannot write the stream").because(cause)
}

/// Plans a stream that was not taken apart.
fn plan_plain(contents: &Contents, planner: &mut Planner<'_, '_>) -> Result<()> {
    let key = MemberKey { path: PLAIN_MEMBER.to_vec(), incarnation: 0 };
    let mut member = MemberReader::new(contents, &key)?;
    let length = member.length();
    planner.add_range(&mut member, 0, length)
}

/// Plans a stream whose members come one after the other.
fn plan_container(contents: &Contents, planner: &mut Planner<'_, '_>) -> Result<()> {
    let mut reading: Option<MemberReader> = None;
    container::ops(contents, &mut |op| match op {
        ContainerOp::Literal(bytes) => planner.add_bytes(bytes.to_vec()),
        ContainerOp::Open(_) => {
            reading = None;
            Ok(())
        }
        ContainerOp::End(_) => Ok(()),
        ContainerOp::Run(member, range) => {
            let mut open = match reading.take() {
                Some(open) => open,
                None => MemberReader::new(contents, &container::key_of(&member))?,
            };
            planner.add_range(&mut open, range.start, range.end)?;
            reading = Some(open);
            Ok(())
        }
    })
}

/// Plans a stream whose members come in turns.
fn plan_replay(contents: &Contents, planner: &mut Planner<'_, '_>) -> Result<()> {
    let damaged = |e: ScriptError| Error::damaged("the script", e);
    let mut replay = Replay::new();
    let mut members = OpenMembers::default();
    contents.read_internal("script", &mut |piece| {
        replay.feed(piece);
        while let Some(emit) = replay.next_emit().map_err(damaged)? {
            match emit {
                Emit::Bytes(bytes) => planner.add_bytes(bytes.to_vec())?,
                Emit::Member { target, range } => {
                    let mut member = members.take(contents, &target)?;
                    planner.add_range(&mut member, range.start, range.end)?;
                    // A member whose bytes have all left is not needed again.
                    if range.end < member.length() {
                        members.put(target.member.get(), member);
                    }
                }
            }
        }
        Ok(())
    })?;
    replay.finish().map_err(damaged)
}

/// Most members whose maps are held at once; producers write some hundred files at a time.
const OPEN_MAX: usize = 512;

/// The members of which more bytes are to leave. Each holds a page of its map and more, so that of
/// many only the places are kept, and their maps are read again.
#[derive(Default)]
struct OpenMembers {
    open: HashMap<u64, MemberReader>,
    parked: HashMap<u64, Block>,
}

impl OpenMembers {
    fn take(&mut self, contents: &Contents, target: &ItemTarget<'_>) -> Result<MemberReader> {
        let number = target.member.get();
        if let Some(member) = self.open.remove(&number) {
            return Ok(member);
        }
        let path = target.path.as_bytes().to_vec();
        let key = MemberKey { path, incarnation: target.incarnation.get() };
        match self.parked.remove(&number) {
            Some(block) => MemberReader::starting_at(contents, &key, &block),
            None => MemberReader::new(contents, &key),
        }
    }

    fn put(&mut self, number: u64, member: MemberReader) {
        self.open.insert(number, member);
        if self.open.len() > OPEN_MAX {
            for (number, member) in self.open.drain() {
                // One of which nothing has left yet begins again.
                self.parked.extend(member.current().map(|block| (number, block)));
            }
        }
    }
}
