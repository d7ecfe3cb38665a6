//! Backs up a stream: finds what it continues, runs the pipeline, judges what arrived, publishes
//! the snapshot.
//!
//! The order of writing is the promise: the run's secret first, then its intent, then packs, then
//! records that point to packs, the snapshot last. Whatever stops a run before that leaves objects
//! that no snapshot names.

mod base;
mod options;
mod stages;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::monitor::Counter;
use crate::base::monitor::Counts;
use crate::base::monitor::Monitor;
use crate::base::world::World;
use crate::format::config::FORMAT_VERSION;
use crate::format::layout::Object;
use crate::format::pack_table::NodeRef;
use crate::format::pack_table::PackTable;
use crate::format::snapshot::Description;
use crate::format::snapshot::Finding;
use crate::format::snapshot::LOG;
use crate::format::snapshot::Origin;
use crate::format::snapshot::PROTOCOL;
use crate::format::snapshot::Positions;
use crate::format::snapshot::Snapshot;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::map::view::MapView;
use crate::map::view::Translation;
use crate::pack::reader::Packs;
use crate::pack::writer::RunKeys;
use crate::parse::sql::DumpCounts;
use crate::pipeline::appender::Appender;
use crate::pipeline::appender::RunContext;
use crate::pipeline::collector::Collector;
use crate::pipeline::collector::Inherited;
use crate::pipeline::collector::PreviousInternal;
use crate::pipeline::collector::Releases;
use crate::pipeline::collector::Roots;
use crate::pipeline::collector::SoFar;
use crate::pipeline::ingest::Surroundings;
use crate::pipeline::presence::PackPresence;
use crate::pipeline::previous::Previous;
use crate::pipeline::previous::PreviousTable;
use crate::pipeline::rebuilt::LeafBudget;
use crate::pipeline::run;
use crate::pipeline::run::Incoming;
use crate::pipeline::run::Streamed;
use crate::pipeline::shared::Shared;
use crate::pipeline::uploader::put_confirmed;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::ids::RunId;
use crate::seal::run::RunSecret;
use crate::source::Ending;
use crate::source::ProducerExit;
use crate::source::Source;
use crate::verdict::Conclusion;
use crate::verdict::finding;
use crate::verdict::finding::Code;
use crate::verdict::finding::FindingLog;

use super::copies;
use super::expected;
use super::expected::Expected;
use super::findings;
use super::findings::Earlier;
use super::findings::RecordedFindings;
use super::judge;
use super::lost;
use super::run_intent::RunIntent;
use super::run_intent::RunRoots;

pub use crate::encode::Level;
pub use crate::encode::ReadBack;
pub use options::BackupOptions;
pub use options::CHECKPOINT_BYTES;
pub use options::CHECKPOINT_SECONDS;

/// The result of a backup.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// Id of the snapshot that was published.
    pub id: SnapshotId,
    /// Description that the snapshot holds.
    pub about: Description,
    /// All findings that it stores.
    pub findings: Vec<Finding>,
    /// The counts of the run, its objects of every kind included.
    pub counts: Counts,
    /// Other sources of the repository, if this one is new.
    pub new_among: Option<usize>,
    /// Snapshots of the source that could not be read, of those that were looked at: the newest,
    /// and older ones if anything was compared with them.
    pub damaged: Vec<String>,
    /// Packs of earlier runs that are needed, and missing or unreadable.
    pub packs_absent: usize,
    /// True if the messages of the producer are kept with the snapshot.
    pub has_log: bool,
    /// The level of compression; the counts say which steps `auto` took.
    pub level: Level,
}

impl BackupReport {
    /// Tells whether a person should look at this backup: a warning, a verdict that is not good,
    /// damage of earlier ones that it mended, or snapshots that could not be read.
    pub fn has_findings(&self) -> bool {
        let is_bad = matches!(self.about.verdict, Verdict::CorruptPages | Verdict::Partial);
        let has_mended = self.counts.blocks_healed > 0;
        self.about.warnings() > 0 || is_bad || has_mended || !self.damaged.is_empty()
    }
}

/// The state that a run continues.
struct Continued {
    previous: Previous,
    packs: Arc<Packs>,
    presence: Arc<PackPresence>,
    nodes: Vec<Vec<NodeRef>>,
    internal: PreviousInternal,
    sequence: u64,
    /// The largest epoch of the fences that the run has seen.
    epoch: u64,
    /// The snapshots that the run may rely on.
    roots: Vec<SnapshotName>,
    parent: Option<SnapshotId>,
    new_among: Option<usize>,
    earlier: Earlier,
    /// The newest snapshots, up to the first that is not partial.
    newest: Vec<StoredSnapshot>,
}

/// The facts from another repository about a snapshot whose stream is backed up again.
#[derive(Debug)]
pub(super) struct TakenOver<'t> {
    /// The description that was made when it was first backed up.
    pub about: &'t Description,
    /// Snapshot of the other repository that it is a copy of.
    pub origin: Origin,
    /// The snapshots that it requires, by their names here.
    pub requires: Vec<String>,
    /// The messages of its producer.
    pub log: Option<String>,
}

impl TakenOver<'_> {
    /// Checks that the stream is here to its last byte.
    fn check(&self, streamed: Streamed, bytes: u64) -> Result<()> {
        let expected = self.about.stream_bytes;
        let what = format!("the stream ended after {bytes} of {expected} bytes");
        let error = Error::new(ErrorKind::Source, what);
        match streamed.failure {
            Some(failure) => Err(error.because(failure)),
            None if bytes != expected => Err(error),
            None => Ok(()),
        }
    }

    /// Writes what was judged then into a description.
    fn describe(&self, about: &mut Description) {
        let then = self.about;
        about.format = then.format;
        about.kind = then.kind;
        about.time = then.time;
        about.started = then.started;
        about.verdict = then.verdict;
        about.reasons.clone_from(&then.reasons);
        about.checks.clone_from(&then.checks);
        about.positions.clone_from(&then.positions);
        about.binlog.clone_from(&then.binlog);
        about.requires.clone_from(&self.requires);
        about.origin = Some(self.origin.clone());
    }
}

/// The judgement on a stream.
enum Judgement<'t> {
    /// It was judged by this run.
    Own(Box<Conclusion>),
    /// It was judged where it was first backed up.
    TakenOver(&'t TakenOver<'t>),
}

impl Judgement<'_> {
    fn verdict(&self) -> Verdict {
        match self {
            Judgement::Own(conclusion) => conclusion.verdict(),
            Judgement::TakenOver(taken) => taken.about.verdict,
        }
    }

    fn describe(self, about: &mut Description) {
        match self {
            Judgement::Own(conclusion) => conclusion.describe(about),
            Judgement::TakenOver(taken) => taken.describe(about),
        }
    }
}

/// Backs up `source` into `repository`.
pub fn backup(
    repository: &Repository,
    source: Box<dyn Source>,
    options: &BackupOptions,
    world: &World,
) -> Result<BackupReport> {
    run_backup(repository, source, options, None, world)
}

/// Backs up the stream of a snapshot of another repository, with what is said about it there.
pub(super) fn take_over(
    repository: &Repository,
    source: Box<dyn Source>,
    options: &BackupOptions,
    taken: &TakenOver<'_>,
    world: &World,
) -> Result<BackupReport> {
    run_backup(repository, source, options, Some(taken), world)
}

fn run_backup(
    repository: &Repository,
    source: Box<dyn Source>,
    options: &BackupOptions,
    taken: Option<&TakenOver<'_>>,
    world: &World,
) -> Result<BackupReport> {
    let World { clock, monitor, .. } = world;
    // A world may have watched other work before.
    let before = monitor.counts();
    repository.require_newest_key()?;
    let source_id = repository.source_id(&options.source)?;
    let started = clock.unix_seconds();
    let log = &options.findings;
    let run_id = RunId::random(&**repository.entropy());
    let keys = begin_run(repository, run_id, monitor)?;
    let intent = RunIntent::begin(repository, run_id, source_id, started, log)?;
    let continued = continue_from(repository, intent.confirm(log)?, world, log)?;
    let draft = Draft {
        repository,
        options,
        taken,
        source_id,
        run_id,
        started,
        parent: continued.parent,
        epoch: continued.epoch,
        earlier: &continued.earlier,
        clock,
        monitor,
        before,
    };
    let mut collector = Collector::new(
        Appender::new(writes_with(repository, options, keys, &continued, monitor)),
        repository.cutter(),
        repository.path_key()?,
        Inherited {
            table: continued.previous.parent(),
            internal: continued.internal.clone(),
            nodes: continued.nodes.clone(),
        },
    );
    let mut sequence = continued.sequence;
    let streamed = stream(&draft, &continued, source, &mut collector, &mut sequence)?;
    if draft.counts().stream_bytes == 0 {
        intent.give_up();
        return Err(empty(&streamed.ending));
    }
    let (judgement, recorded) = judge_stream(&draft, &continued, streamed, &mut collector)?;
    collector.record_findings(recorded.findings.clone());
    if judgement.verdict() != Verdict::Partial {
        collector.release_vanished()?;
    }
    let roots = collector.roots(SoFar::All)?;
    collector.publish_relocations()?;
    let findings = recorded.findings.clone();
    let has_log = roots.internal.iter().any(|record| record.key.path == LOG.as_bytes());
    let (id, about) = draft.publish(roots, judgement, recorded, sequence + 1)?;
    // A rotation of keys that began during the run may not have seen the snapshot: then no
    // reader accepts it.
    repository.require_newest_key_still()?;
    intent.finish()?;
    Ok(BackupReport {
        id,
        about,
        findings,
        counts: draft.counts(),
        new_among: continued.new_among,
        damaged: continued.previous.damaged().iter().map(|name| name.id.short()).collect(),
        packs_absent: continued.presence.absent(),
        has_log,
        level: options.level,
    })
}

/// Returns what a run writes packs with.
fn writes_with(
    repository: &Repository,
    options: &BackupOptions,
    keys: RunKeys,
    continued: &Continued,
    monitor: &Arc<Monitor>,
) -> RunContext {
    RunContext {
        store: Arc::clone(repository.store()),
        keyring: Arc::clone(repository.keyring()),
        keys: Arc::new(keys),
        packs: Arc::clone(&continued.packs),
        presence: Arc::clone(&continued.presence),
        entropy: Arc::clone(repository.entropy()),
        monitor: Arc::clone(monitor),
        read_back: options.read_back,
        uploads: options.at_once.uploads,
        pack_bytes: options.at_once.pack_bytes,
        features: repository.features(),
    }
}

fn held_open(source: &str) -> finding::Finding {
    let text = "the producer had ended, and another process still held its standard output open";
    finding::Finding::new(Code::OutputHeldOpen, source, text)
}

/// Reports what of earlier snapshots could not be read, and was not needed.
fn report_passed_over(continued: &Continued, log: &FindingLog) {
    let report = |object: String, text: String| {
        log.report(finding::Finding::new(Code::DamagePassedOver, object, text));
    };
    for name in continued.previous.damaged() {
        let text = "it or its pack table could not be read, and nothing was compared with it";
        report(name.id.short(), text.to_owned());
    }
    let unread = continued.packs.blocks_unread();
    if unread > 0 {
        let text = format!(
            "parts of maps, tables or scripts of earlier snapshots that could not be read: \
             {unread}; what they name was stored again"
        );
        report("maps".to_owned(), text);
    }
}

/// Judges a stream that has ended, and finds what else is to be said about it.
fn judge_stream<'d>(
    draft: &Draft<'d>,
    continued: &Continued,
    mut streamed: Streamed,
    collector: &mut Collector<'_>,
) -> Result<(Judgement<'d>, RecordedFindings)> {
    let Draft { repository, options, .. } = *draft;
    let counted = draft.counts();
    if let Some(taken) = draft.taken {
        taken.check(streamed, counted.stream_bytes)?;
        collector.keep_log(taken.log.clone());
        return Ok((Judgement::TakenOver(taken), RecordedFindings::taken_over(taken.about)));
    }
    collector.keep_log(streamed.ending.transcript.take());
    if streamed.ending.left_open {
        options.findings.report(held_open(&options.source));
    }
    if let Some(seen) = &streamed.ending.stages {
        stages::report(seen, &streamed.facts, options);
    }
    let made = expected::counts_of(&streamed.facts);
    let accepted = findings::in_force(options, &continued.earlier);
    let mut conclusion = judge::judge(streamed, options.format, collector, &counted, accepted);
    base::link(repository, &continued.roots, &mut conclusion);
    let around = lost::Around {
        repository,
        roots: &continued.roots,
        newest: &continued.newest,
        previous: &continued.previous,
        monitor: draft.monitor,
    };
    lost::find(&mut conclusion, counted.stream_bytes, collector, &around)?;
    compare_with_server(options, made, &mut conclusion, collector)?;
    report_passed_over(continued, &options.findings);
    let recorded = RecordedFindings::new(&mut conclusion, options, &continued.earlier);
    Ok((Judgement::Own(Box::new(conclusion)), recorded))
}

/// Compares a dump with what its server lists. Of one that failed nothing more is asked.
fn compare_with_server(
    options: &BackupOptions,
    made: Option<DumpCounts>,
    conclusion: &mut Conclusion,
    collector: &mut Collector<'_>,
) -> Result<()> {
    let (Some(witness), Some(made)) = (&options.witness, made) else { return Ok(()) };
    if conclusion.verdict() == Verdict::Partial {
        return Ok(());
    }
    let Expected { inventory, findings } = witness.expected();
    conclusion.findings.extend(findings);
    if let Some(inventory) = inventory {
        let found = expected::compare(&inventory, &made, |each| collector.visit(each))?;
        conclusion.findings.extend(found);
    }
    Ok(())
}

/// Returns the error for a stream without a byte: how its producer ended, and its last words.
fn empty(ending: &Ending) -> Error {
    let exit = ending.exit;
    let although = if exit == ProducerExit::Exited(0) { "although " } else { "" };
    let what = format!("the stream is empty, {although}its producer {exit}");
    let error = Error::new(ErrorKind::Source, what);
    if let Some(line) = ending.errors.first() {
        return error.because(format!("its first error message: {line}"));
    }
    let words = ending.last_words.as_deref().map(str::trim).unwrap_or_default();
    let last = words.lines().next_back().unwrap_or_default();
    if last.is_empty() { error } else { error.because(format!("its last words: {last}")) }
}

/// Runs the pipeline, with checkpoints.
fn stream(
    draft: &Draft<'_>,
    continued: &Continued,
    source: Box<dyn Source>,
    collector: &mut Collector<'_>,
    sequence: &mut u64,
) -> Result<Streamed> {
    let options = draft.options;
    let shared = Arc::new(Shared {
        packs: Arc::clone(&continued.packs),
        presence: Arc::clone(&continued.presence),
        monitor: Arc::clone(draft.monitor),
        clock: Arc::clone(draft.clock),
        read_back: options.read_back,
        level: options.level,
        control: options.level_control(),
        features: draft.repository.features(),
        workers: options.at_once.workers,
        leaf_budget: LeafBudget::new(options.at_once.leaf_bytes),
        base_micros: AtomicU64::new(0),
    });
    let around = Surroundings {
        previous: &continued.previous,
        cutter: draft.repository.cutter(),
        hasher: continued.packs.hasher(),
        monitor: draft.monitor,
        seed: crate::base::entropy::random(&**draft.repository.entropy()),
        open_bytes: options.at_once.open_bytes,
    };
    let mut last = (0, draft.clock.elapsed());
    let mut checkpoint = |collector: &mut Collector<'_>| {
        let bytes = draft.counts().stream_bytes;
        let time = draft.clock.elapsed();
        let due = bytes - last.0 >= options.checkpoint_bytes
            || (time.saturating_sub(last.1)).as_secs() >= options.checkpoint_seconds;
        if !due {
            return Ok(());
        }
        last = (bytes, time);
        let roots = collector.roots(SoFar::Part)?;
        *sequence += 1;
        let mut conclusion = Conclusion::checkpoint();
        let recorded = RecordedFindings::new(&mut conclusion, options, draft.earlier);
        draft.publish(roots, Judgement::Own(Box::new(conclusion)), recorded, *sequence).map(|_| ())
    };
    let incoming = Incoming { source, asked: options.format };
    run::run(incoming, around, &shared, collector, &mut checkpoint)
}

/// The data that all snapshots of a run have in common.
struct Draft<'d> {
    repository: &'d Repository,
    options: &'d BackupOptions,
    taken: Option<&'d TakenOver<'d>>,
    source_id: SourceId,
    run_id: RunId,
    started: u64,
    parent: Option<SnapshotId>,
    epoch: u64,
    earlier: &'d Earlier,
    clock: &'d Arc<dyn Clock>,
    monitor: &'d Arc<Monitor>,
    /// The counters when the run began.
    before: Counts,
}

impl Draft<'_> {
    /// Returns what this run has counted.
    fn counts(&self) -> Counts {
        self.monitor.counts().since(self.before)
    }

    fn publish(
        &self,
        roots: Roots,
        judgement: Judgement<'_>,
        recorded: RecordedFindings,
        sequence: u64,
    ) -> Result<(SnapshotId, Description)> {
        let Roots { internal, table, packs, releases } = roots;
        let counts = self.counts();
        let releases_complete =
            judgement.verdict() != Verdict::Partial && releases == Releases::All;
        // What the judgement says is written over what stands here for it.
        let mut about = Description {
            format_version: FORMAT_VERSION,
            run: self.run_id.to_string(),
            epoch: self.epoch,
            sequence,
            parent: self.parent.map(|id| id.to_string()),
            source: self.options.source.clone(),
            format: StreamFormat::Raw,
            kind: SnapshotKind::Full,
            time: self.clock.unix_seconds(),
            started: self.started,
            verdict: Verdict::Partial,
            reasons: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            more_findings: 0,
            expected_format: recorded.expected_format,
            accepted: recorded.accepted,
            requires: Vec::new(),
            releases_complete,
            tags: self.options.tags.clone(),
            host: self.options.host.clone(),
            program: self.options.program.clone(),
            // What was read depends on which thread came first, so it is no part of what was backed
            // up.
            counters: Counts { fetched_bytes: 0, candidates_read: 0, ..counts },
            positions: Positions::default(),
            stream_bytes: counts.stream_bytes,
            stored_bytes: counts.stored_bytes,
            protocol: self.repository.has_intents().then_some(PROTOCOL),
            origin: None,
            binlog: self.options.binlog.clone(),
        };
        judgement.describe(&mut about);
        let mut snapshot = Snapshot { about, internal, table, packs };
        findings::name_in(&mut snapshot, &recorded.findings);
        // Up to here a run that shall stop leaves no snapshot.
        self.monitor.check()?;
        let (id, bytes) = self.repository.put_snapshot(self.source_id, &snapshot)?;
        self.monitor.count(Counter::StoredBytes, bytes);
        self.monitor.count(Counter::StoredObjects, 1);
        Ok((id, snapshot.about))
    }
}

/// Makes the secret of a run durable.
pub(super) fn begin_run(repository: &Repository, id: RunId, monitor: &Monitor) -> Result<RunKeys> {
    let entropy = &**repository.entropy();
    let secret = RunSecret::generate(entropy);
    let record = repository
        .keyring()
        .seal_run(id, &secret, entropy)
        .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal the run's secret").because(e))?;
    let object = Object::Run(*id.bytes()).name();
    put_confirmed(&**repository.store(), monitor, &object, &Bytes::from(record.encode()))?;
    Ok(RunKeys::new(record, secret))
}

/// Finds the snapshots that a run continues, and what of them is still there.
fn continue_from(
    repository: &Repository,
    RunRoots { names: roots, sequence, epoch }: RunRoots,
    world: &World,
    log: &FindingLog,
) -> Result<Continued> {
    let World { clock, monitor, .. } = world;
    let mut ancestry = repository.ancestry(roots.clone(), monitor);
    // Larger than any that is counted from 1, so that the snapshot is the newest.
    let sequence = sequence.unwrap_or_else(|| clock.unix_seconds());
    let new_among = match sequence {
        0 => other_sources(repository).ok().filter(|others| *others > 0),
        _ => None,
    };
    let mut table = PackTable::default();
    let mut newest: Vec<(StoredSnapshot, Translation)> = Vec::new();
    while let Some((stored, beside)) = ancestry.next_with_table() {
        let translation = if newest.is_empty() {
            table = beside.own_table();
            Translation::same()
        } else {
            beside.add_missing_to(&mut table);
            beside.translation(&table)
        };
        let is_whole = stored.snapshot.about.verdict != Verdict::Partial;
        newest.push((stored, translation));
        if is_whole {
            break;
        }
    }
    let packs = Arc::new(repository.packs(table, monitor));
    let goes_on_from: Vec<&StoredSnapshot> = newest.iter().map(|(stored, _)| stored).collect();
    let presence = copies::presence_of(repository, &packs, &goes_on_from, monitor, log)?;
    let presence = Arc::new(presence);
    let parent = newest.first().map(|(stored, _)| stored.id());
    let internal = PreviousInternal {
        script: newest.first().and_then(|(stored, _)| {
            let record = stored.snapshot.internal("script")?.clone();
            Some(Arc::new(MapView::new(Arc::clone(&packs), record, Translation::same())))
        }),
    };
    let nodes = newest.first().map(|(stored, _)| stored.snapshot.packs.levels.clone());
    let earlier = Earlier::new(newest.iter().map(|(stored, _)| &stored.snapshot.about));
    let table = |(stored, translation): (StoredSnapshot, Translation)| {
        let table = PreviousTable::new(&packs, &stored, translation);
        (table, stored)
    };
    let (tables, newest): (_, Vec<_>) = newest.into_iter().map(table).unzip();
    Ok(Continued {
        previous: Previous::new(Arc::clone(&packs), tables, Some(ancestry)),
        packs,
        presence,
        nodes: nodes.unwrap_or_default(),
        internal,
        sequence,
        epoch,
        roots,
        parent,
        new_among,
        earlier,
        newest,
    })
}

fn other_sources(repository: &Repository) -> Result<usize> {
    let mut sources: Vec<SourceId> =
        repository.listed_snapshots(None)?.into_iter().map(|name| name.source).collect();
    sources.sort();
    sources.dedup();
    Ok(sources.len())
}
