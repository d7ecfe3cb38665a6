//! The report of `prune`.

use std::time::Duration;

use haulout::error::Error;
use haulout::error::Result;
use haulout::ops::prune::Audited;
use haulout::ops::prune::CleanedUp;
use haulout::ops::prune::Doomed;
use haulout::ops::prune::KeptBy;
use haulout::ops::prune::Locks;
use haulout::ops::prune::PrunePlan;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::compact::CompactPlan;
use haulout::ops::prune::compact::CompactReport;
use haulout::repo::snapshots::SnapshotName;
use haulout::shared::num::u64_of;
use haulout::store::lock::Versions;
use serde::Serialize;

use crate::output::json::Effort;
use crate::output::phrases::fact;
use crate::output::phrases::told;
use crate::output::report::Report;
use crate::output::standing::Standing;
use crate::output::standing::StandingJson;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::timefmt;
use crate::output::units;
use crate::verbs::prune::audit::AuditJson;
use crate::verbs::prune::audit::audited;
use crate::verbs::prune::run::Compaction;
use crate::verbs::prune::run::Pruned;

/// The words for a store that keeps versions.
const VERSIONS: &str = "the store keeps versions of what was deleted: their bytes are free when a \
                        rule of the bucket's lifecycle removes them";
/// Lines of one kind that are printed for people.
const LINES_MAX: usize = 20;

/// What is kept for a run, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct KeptJson {
    #[serde(flatten)]
    run: StandingJson,
    packs: u64,
    bytes: u64,
}

impl From<&KeptBy> for KeptJson {
    fn from(kept: &KeptBy) -> Self {
        Self { run: standing(kept).into(), packs: kept.packs, bytes: kept.bytes }
    }
}

fn standing(kept: &KeptBy) -> Standing {
    Standing { run: kept.run, verb: kept.verb, since: kept.since }
}

/// What deletions free and what keeps the rest, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct SpaceJson {
    packs: u64,
    needed: u64,
    freed_packs: usize,
    freed_bytes: u64,
    /// Bytes that compaction may free, at most.
    unused_bytes: u64,
    kept_by: Vec<KeptJson>,
    requests: u64,
    doubtful: Vec<String>,
    doubted: Vec<String>,
}

impl From<&PrunePlan> for SpaceJson {
    fn from(plan: &PrunePlan) -> Self {
        Self {
            packs: plan.packs,
            needed: plan.needed,
            freed_packs: plan.doomed.len(),
            freed_bytes: plan.freed_bytes(),
            unused_bytes: plan.unused_bytes,
            kept_by: plan.kept_by.iter().map(KeptJson::from).collect(),
            requests: plan.requests,
            doubtful: ids(&plan.doubtful),
            doubted: plan.doubted.iter().map(Error::with_causes).collect(),
        }
    }
}

/// The JSON report of `prune --plan`.
#[derive(Debug, Serialize)]
struct PlannedJson {
    planned: bool,
    #[serde(flatten)]
    space: SpaceJson,
    /// The snapshots whose objects would be deleted.
    snapshots: Vec<String>,
    audit: Option<AuditJson>,
    compaction: Option<CompactPlanJson>,
}

#[derive(Debug, Serialize)]
struct CompactPlanJson {
    packs: u64,
    read_bytes: u64,
    written_bytes: u64,
    freed_bytes: u64,
}

/// The JSON report of a prune.
#[derive(Debug, Serialize)]
pub(crate) struct PrunedJson<'r> {
    planned: bool,
    packs: u64,
    needed: u64,
    freed_packs: usize,
    freed_bytes: u64,
    unused_bytes: u64,
    cleaned_up: CleanedUpJson,
    kept_by: Vec<KeptJson>,
    /// The runs that stand after it.
    standing: Vec<StandingJson>,
    doubtful: Vec<String>,
    doubted: Vec<String>,
    refused: &'r [String],
    /// What the store keeps of what was deleted: nothing, versions, or it is unknown.
    versions: &'static str,
    locks: Option<LocksJson<'r>>,
    audit: Option<AuditJson>,
    compaction: CompactionJson<'r>,
}

/// The JSON report of locks that were to be extended.
#[derive(Debug, Serialize)]
struct LocksJson<'r> {
    until: String,
    needed: u64,
    stayed: u64,
    extended: u64,
    new: u64,
    gone: u64,
    /// Objects that were not looked at.
    left: u64,
    failed: &'r [String],
}

impl<'r> From<&'r Locks> for LocksJson<'r> {
    fn from(locks: &'r Locks) -> Self {
        Self {
            until: timefmt::for_programs(locks.until),
            needed: locks.needed,
            stayed: locks.stayed,
            extended: locks.extended,
            new: locks.new,
            gone: locks.gone,
            left: locks.left(),
            failed: &locks.failed,
        }
    }
}

fn versions(versions: Versions) -> &'static str {
    match versions {
        Versions::Deleted => "nothing",
        Versions::Kept => "versions",
        Versions::Unknown => "unknown",
    }
}

#[derive(Debug, Serialize)]
struct CleanedUpJson {
    snapshots: u64,
    records: u64,
    intents: u64,
}

/// The JSON report of a compaction: done, skipped or failed.
#[derive(Debug, Default, Serialize)]
struct CompactionJson<'r> {
    packs: usize,
    made: u64,
    written_bytes: u64,
    deleted_bytes: u64,
    left: Vec<LeftJson<'r>>,
    refused: &'r [String],
    skipped: Option<&'r str>,
    failed: Option<&'r str>,
}

/// A pack that was chosen and left as it is.
#[derive(Debug, Serialize)]
struct LeftJson<'r> {
    pack: String,
    why: &'r str,
}

impl<'r> From<&'r Compaction> for CompactionJson<'r> {
    fn from(compaction: &'r Compaction) -> Self {
        match compaction {
            Compaction::Skipped(why) => Self { skipped: Some(why), ..Self::default() },
            Compaction::Failed(why) => Self { failed: Some(why), ..Self::default() },
            Compaction::Done(done) => Self {
                packs: done.compacted.len(),
                made: done.made,
                written_bytes: done.written_bytes,
                deleted_bytes: done.deleted_bytes,
                left: done
                    .left
                    .iter()
                    .map(|(pack, why)| LeftJson { pack: pack.to_string(), why })
                    .collect(),
                refused: &done.refused,
                ..Self::default()
            },
        }
    }
}

impl<'r> From<&'r Pruned> for PrunedJson<'r> {
    fn from(pruned: &'r Pruned) -> Self {
        let report = &pruned.report;
        let CleanedUp { snapshots, records, intents } = report.cleaned_up;
        Self {
            planned: false,
            packs: report.packs,
            needed: report.needed,
            freed_packs: report.deleted.len(),
            freed_bytes: freed(report),
            unused_bytes: report.unused_bytes,
            cleaned_up: CleanedUpJson { snapshots, records, intents },
            kept_by: report.kept_by.iter().map(KeptJson::from).collect(),
            standing: pruned.standing.iter().copied().map(StandingJson::from).collect(),
            doubtful: ids(&report.doubtful),
            doubted: report.doubted.iter().map(Error::with_causes).collect(),
            refused: &report.refused,
            versions: versions(report.versions),
            locks: report.locks.as_ref().map(LocksJson::from),
            audit: report.audit.as_ref().map(AuditJson::from),
            compaction: (&pruned.compaction).into(),
        }
    }
}

/// The same with the effort of the command.
#[derive(Debug, Serialize)]
struct WithEffort<'r> {
    #[serde(flatten)]
    pruned: PrunedJson<'r>,
    #[serde(flatten)]
    effort: Effort,
}

fn ids(names: &[SnapshotName]) -> Vec<String> {
    names.iter().map(|name| name.id.to_string()).collect()
}

fn freed(report: &PruneReport) -> u64 {
    report.deleted.iter().map(|doomed: &Doomed| doomed.bytes).sum()
}

impl Report {
    /// Prints what a prune would do.
    pub(crate) fn prune_planned(
        &self,
        plan: &PrunePlan,
        compaction: Option<&CompactPlan>,
    ) -> Result<()> {
        let compacts = |plan: &CompactPlan| {
            let CompactPlan { packs, read_bytes, written_bytes, freed_bytes } = *plan;
            CompactPlanJson { packs, read_bytes, written_bytes, freed_bytes }
        };
        let value = PlannedJson {
            planned: true,
            space: plan.into(),
            snapshots: ids(&plan.snapshots),
            audit: plan.audit.as_ref().map(AuditJson::from),
            compaction: compaction.map(compacts),
        };
        self.result(&value, || {
            let mut text = space(plan, self.canvas);
            if !plan.snapshots.is_empty() {
                let count = units::counted(u64_of(plan.snapshots.len()), "removed snapshot");
                text += &fact("objects", &format!("of {count} would be deleted"));
            }
            text += &match compaction {
                None => fact("compact", "left out: --no-compact"),
                Some(CompactPlan { packs: 0, .. }) => fact("compact", "no pack is worth it now"),
                Some(plan) => fact("compact", &compaction_planned(plan)),
            };
            text += &audited(plan.audit.as_ref(), self.canvas);
            text + &doubts(&plan.doubtful, &plan.doubted)
        })
    }

    /// Prints the report of a prune.
    pub(crate) fn pruned(&self, pruned: &Pruned, time: Duration) -> Result<()> {
        let value = WithEffort { pruned: pruned.into(), effort: Effort::of(time) };
        self.result(&value, || pruned_text(pruned, self.canvas))
    }
}

fn compaction_planned(plan: &CompactPlan) -> String {
    let CompactPlan { packs, read_bytes, written_bytes, freed_bytes } = *plan;
    format!(
        "{} would be taken apart: {} read, {} written, {} freed, about",
        units::counted(packs, "pack"),
        units::size(read_bytes),
        units::size(written_bytes),
        units::size(freed_bytes)
    )
}

/// Formats what deletions would free, and what keeps the rest.
pub(crate) fn space(plan: &PrunePlan, canvas: Canvas) -> String {
    let (packs, bytes) = (u64_of(plan.doomed.len()), units::size(plan.freed_bytes()));
    let head = format!(
        "prune would delete {} of {}: {bytes}\n",
        units::counted(packs, "pack"),
        units::count(plan.packs)
    );
    head + &unused(plan.unused_bytes) + &kept_by(&plan.kept_by, canvas)
}

fn unused(bytes: u64) -> String {
    if bytes == 0 {
        return String::new();
    }
    fact("unused", &format!("up to {} in packs that stay, for compaction", units::size(bytes)))
}

/// Formats what is kept for runs, with the commands that end that.
fn kept_by(kept: &[KeptBy], canvas: Canvas) -> String {
    let line = |kept: &KeptBy| {
        let (packs, bytes) = (units::counted(kept.packs, "pack"), units::size(kept.bytes));
        let standing = standing(kept);
        let words = format!(
            "{packs}, {bytes}, for run {}; if it was killed: {}",
            standing.words(canvas),
            standing.command()
        );
        told("kept", &words, canvas)
    };
    kept.iter().map(line).collect()
}

/// Formats the report of a prune.
pub(crate) fn pruned_text(pruned: &Pruned, canvas: Canvas) -> String {
    let Pruned { report, compaction, standing } = pruned;
    let deleted = units::counted(u64_of(report.deleted.len()), "pack");
    let mut text = if report.audit.as_ref().is_some_and(Audited::forbids_deletions) {
        "deleted nothing\n".to_owned()
    } else {
        let packs = units::count(report.packs);
        format!("deleted {deleted} of {packs}: {} freed\n", units::size(freed(report)))
    };
    let CleanedUp { snapshots, records, intents } = report.cleaned_up;
    if snapshots + records + intents > 0 {
        let words = format!(
            "{}, {}, {}",
            units::counted(snapshots, "snapshot"),
            units::counted(records, "record"),
            units::counted(intents, "intent")
        );
        text += &fact("cleaned", &words);
    }
    text += &audited(report.audit.as_ref(), canvas);
    text += &compacted(compaction, canvas);
    if matches!(compaction, Compaction::Done(done) if done.compacted.is_empty()) {
        text += &unused(report.unused_bytes);
    }
    text += &kept_by(&report.kept_by, canvas);
    let is_told = |run: &&Standing| !report.kept_by.iter().any(|kept| kept.run == run.run);
    for run in standing.iter().filter(is_told) {
        let (words, command) = (run.words(canvas), run.command());
        text += &told("stands", &format!("run {words}; if it was killed: {command}"), canvas);
    }
    text += &lines("refused", &report.refused);
    if report.versions == Versions::Kept {
        text += &told("versions", VERSIONS, canvas);
    }
    text.extend(report.locks.as_ref().map(|locks| locked(locks, canvas)));
    text + &doubts(&report.doubtful, &report.doubted)
}

/// Formats what became of locks.
fn locked(locks: &Locks, canvas: Canvas) -> String {
    let words = format!(
        "{} extended and {} new of {}, until {}; {} last for long enough",
        units::count(locks.extended),
        units::count(locks.new),
        units::counted(locks.needed, "object"),
        canvas.time(locks.until),
        units::count(locks.stayed)
    );
    let mut text = told("locks", &words, canvas) + &lines("refused", &locks.failed);
    if locks.left() > 0 {
        let left = units::counted(locks.left(), "lock");
        text += &fact("left", &format!("{left} not looked at, because too much failed"));
    }
    text
}

fn compacted(compaction: &Compaction, canvas: Canvas) -> String {
    match compaction {
        Compaction::Skipped(why) => told("compact", &format!("left out: {why}"), canvas),
        Compaction::Failed(why) => told("compact", &format!("failed: {why}"), canvas),
        Compaction::Done(done) => {
            let CompactReport { compacted, made, written_bytes, deleted_bytes, left, refused } =
                done;
            let mut text = String::new();
            if !compacted.is_empty() {
                let words = format!(
                    "{} into {}: {} written, {} deleted",
                    units::counted(u64_of(compacted.len()), "pack"),
                    units::count(*made),
                    units::size(*written_bytes),
                    units::size(*deleted_bytes)
                );
                text += &fact("compacted", &words);
            }
            let left: Vec<String> =
                left.iter().map(|(pack, why)| format!("pack {pack} as it is: {why}")).collect();
            text + &lines("left", &left) + &lines("refused", refused)
        }
    }
}

/// Formats what is doubtful.
fn doubts(doubtful: &[SnapshotName], doubted: &[Error]) -> String {
    let doubtful: Vec<String> = doubtful
        .iter()
        .map(|name| format!("snapshot {} may lack packs", name.id.short()))
        .collect();
    let doubted: Vec<String> = doubted.iter().map(Error::with_causes).collect();
    lines("doubtful", &doubtful) + &lines("doubtful", &doubted)
}

/// Formats lines of one kind, some of them if there are many.
fn lines(label: &str, lines: &[String]) -> String {
    let mut text: String =
        lines.iter().take(LINES_MAX).map(|line| fact(label, &clean(line))).collect();
    if lines.len() > LINES_MAX {
        let more = u64_of(lines.len() - LINES_MAX);
        text += &fact(label, &format!("and {} more", units::count(more)));
    }
    text
}
