//! The report of `repair`.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::repair::Fetch;
use haulout::ops::repair::Losses;
use haulout::ops::repair::LostMaps;
use haulout::ops::repair::Make;
use haulout::ops::repair::Remove;
use haulout::ops::repair::RepairCost;
use haulout::ops::repair::RepairPlan;
use haulout::ops::repair::RepairReport;
use haulout::ops::repair::Search;
use haulout::ops::repair::Streams;
use haulout::ops::repair::Taken;
use haulout::ops::verify::VerifyReport;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::output::damage::Found;
use crate::output::damage::finding;
use crate::output::json::Effort;
use crate::output::phrases::fact;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::output::units;

/// Lines of one kind that are printed for people.
const LINES_MAX: usize = 40;
/// Snapshots for which the command is printed that restores the rest of them.
const COMMANDS_MAX: usize = 5;

/// The JSON report of `repair --plan`.
#[derive(Debug, Serialize)]
struct Planned<'r> {
    make: Vec<Made<'r>>,
    fetch: Vec<Fetched>,
    remove: Vec<Removed<'r>>,
    cost: RepairCost,
    search: Option<Searched>,
    streams: Option<Streamed>,
    lost: &'r [String],
    unneeded: &'r [String],
    /// The findings about snapshots that stay.
    findings: Vec<Found<'r>>,
    losses: Lost,
}

#[derive(Debug, Serialize)]
struct Made<'r> {
    object: String,
    from: String,
    why: &'r str,
}

/// The JSON report of an object that comes from the other repository.
#[derive(Debug, Serialize)]
struct Fetched {
    objects: Vec<String>,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Removed<'r> {
    object: String,
    why: &'r str,
}

/// The JSON report of a search that is planned.
#[derive(Debug, Serialize)]
struct Searched {
    blocks: u64,
    packs: u64,
    bytes: u64,
    requests: u64,
    seconds: f64,
}

impl From<&Search> for Searched {
    fn from(search: &Search) -> Self {
        let Search { blocks, packs, bytes, requests, time, .. } = search;
        let seconds = time.as_secs_f64();
        Self { blocks: *blocks, packs: *packs, bytes: *bytes, requests: *requests, seconds }
    }
}

/// The JSON report of blocks that are to be taken from streams.
#[derive(Debug, Serialize)]
struct Streamed {
    snapshots: u64,
    blocks: u64,
    bytes: u64,
    read_bytes: u64,
    requests_there: u64,
    requests_here: u64,
    /// There may be more.
    at_least: bool,
    lost_maps: Vec<MapsOf>,
}

impl From<&Streams> for Streamed {
    fn from(streams: &Streams) -> Self {
        Self {
            snapshots: streams.snapshots,
            blocks: streams.blocks,
            bytes: streams.bytes,
            read_bytes: streams.read_bytes,
            requests_there: streams.requests_there,
            requests_here: streams.requests_here,
            at_least: streams.is_more,
            lost_maps: streams.lost_maps.iter().map(MapsOf::from).collect(),
        }
    }
}

/// The JSON report of blocks that were taken from streams.
#[derive(Debug, Serialize)]
struct FromStreams {
    blocks: u64,
    bytes: u64,
    read_bytes: u64,
    different: u64,
    missing: u64,
    packs: Vec<String>,
    lost_maps: Vec<MapsOf>,
}

impl From<&Taken> for FromStreams {
    fn from(taken: &Taken) -> Self {
        Self {
            blocks: taken.blocks,
            bytes: taken.bytes,
            read_bytes: taken.read_bytes,
            different: taken.different,
            missing: taken.missing,
            packs: taken.packs.iter().map(ToString::to_string).collect(),
            lost_maps: taken.lost_maps.iter().map(MapsOf::from).collect(),
        }
    }
}

/// The JSON report of a snapshot whose maps are lost.
#[derive(Debug, Serialize)]
struct MapsOf {
    snapshot: String,
    on_the_other_side: String,
}

impl From<&LostMaps> for MapsOf {
    fn from(LostMaps { snapshot, there }: &LostMaps) -> Self {
        Self { snapshot: snapshot.to_string(), on_the_other_side: there.to_string() }
    }
}

/// The JSON report of what can't be had back.
#[derive(Debug, Serialize)]
struct Lost {
    snapshots: Vec<LostOf>,
    files: u64,
    pages: u64,
    bytes: u64,
    /// There is more than was counted.
    at_least: bool,
}

#[derive(Debug, Serialize)]
struct LostOf {
    snapshot: String,
    files: u64,
}

impl From<&Losses> for Lost {
    fn from(losses: &Losses) -> Self {
        let Losses { snapshots, files, pages, bytes, is_more } = losses;
        let of =
            snapshots.iter().map(|(id, files)| LostOf { snapshot: id.to_string(), files: *files });
        Self {
            snapshots: of.collect(),
            files: *files,
            pages: *pages,
            bytes: *bytes,
            at_least: *is_more,
        }
    }
}

/// The JSON report of `repair`.
#[derive(Debug, Serialize)]
struct Repaired<'r> {
    made: Vec<String>,
    fetched: Vec<String>,
    fetched_bytes: u64,
    blocks_found: u64,
    streams: FromStreams,
    recorded: Vec<String>,
    removed: Vec<String>,
    failed: &'r [String],
    /// Objects that have no good copy.
    lost: &'r [String],
    /// The findings about snapshots that follow from those.
    findings: Vec<Found<'r>>,
    losses: Lost,
    #[serde(flatten)]
    effort: Effort,
}

impl Report {
    /// Prints what a repair would do, and what it would leave.
    pub(crate) fn repair_planned(&self, plan: &RepairPlan<'_>, left: &VerifyReport) -> Result<()> {
        let remove = plan.remove();
        let losses = Losses::of(&left.findings);
        let made = |make: &'_ Make| (make.object.to_string(), make.from.to_string());
        let planned = Planned {
            make: plan
                .make
                .iter()
                .map(|make| {
                    let (object, from) = made(make);
                    Made { object, from, why: &make.why }
                })
                .collect(),
            fetch: plan
                .fetch
                .iter()
                .map(|Fetch { objects, bytes, .. }| Fetched {
                    objects: objects.iter().map(ToString::to_string).collect(),
                    bytes: *bytes,
                })
                .collect(),
            remove: remove
                .iter()
                .map(|Remove { object, why }| Removed { object: object.to_string(), why })
                .collect(),
            cost: plan.cost(),
            search: plan.search.as_ref().map(Searched::from),
            streams: plan.streams.as_ref().map(Streamed::from),
            lost: &plan.lost,
            unneeded: &plan.unneeded,
            findings: left.findings.iter().map(Found::from).collect(),
            losses: (&losses).into(),
        };
        self.result(&planned, || {
            let mut text = before(plan);
            text += &facts("unneeded", plan.unneeded.iter().cloned());
            text += &lost(&plan.lost, left, &losses);
            if text.is_empty() { "there is nothing to repair\n".to_owned() } else { text }
        })
    }

    /// Prints what is about to be done.
    pub(crate) fn before_repair(&self, plan: &RepairPlan<'_>) {
        for line in before(plan).lines() {
            self.console.note(line.trim());
        }
    }

    /// Prints the report of a repair.
    pub(crate) fn repair(&self, report: &RepairReport, time: Duration) -> Result<()> {
        let RepairReport { made, fetched, fetched_bytes, removed, failed, left, .. } = report;
        let RepairReport { blocks_found, recorded, .. } = report;
        for failed in failed {
            self.console.warning(failed);
        }
        let losses = Losses::of(&left.findings);
        let names = |objects: &[haulout::store::name::ObjectName]| {
            objects.iter().map(ToString::to_string).collect()
        };
        let value = Repaired {
            made: names(made),
            fetched: names(fetched),
            fetched_bytes: *fetched_bytes,
            blocks_found: *blocks_found,
            streams: (&report.taken).into(),
            recorded: names(recorded),
            removed: names(removed),
            failed,
            lost: &report.lost,
            findings: left.findings.iter().map(Found::from).collect(),
            losses: (&losses).into(),
            effort: Effort::of(time),
        };
        self.result(&value, || {
            let mut done = vec![
                format!("made {} again", units::counted(u64_of(made.len()), "object")),
                format!("removed {}", units::counted(u64_of(removed.len()), "record")),
            ];
            if !fetched.is_empty() {
                let bytes = units::size(*fetched_bytes);
                let objects = units::counted(u64_of(fetched.len()), "object");
                done.insert(1, format!("fetched {objects}, {bytes}"));
            }
            if *blocks_found > 0 {
                let blocks = units::counted(*blocks_found, "block");
                done.push(format!("found {blocks} in other packs"));
            }
            done.extend(taken(&report.taken));
            let is_nothing = made.is_empty() && fetched.is_empty() && removed.is_empty();
            let mut text = if is_nothing && *blocks_found + report.taken.blocks == 0 {
                "nothing had to be repaired\n".to_owned()
            } else {
                done.join(", ") + "\n"
            };
            text += &not_taken(&report.taken);
            text += &lost(&report.lost, left, &losses);
            text
        })
    }
}

/// Formats what is planned, and its cost.
fn before(plan: &RepairPlan<'_>) -> String {
    let mut text = lines(plan);
    text.extend(cost(plan));
    text.extend(plan.search.as_ref().map(search));
    text.extend(plan.streams.as_ref().map(streams));
    text
}

/// Formats what is planned, a line for each step.
fn lines(plan: &RepairPlan<'_>) -> String {
    let make = plan
        .make
        .iter()
        .map(|Make { object, from, why, .. }| format!("{object} from {from}: it {why}"));
    let fetch = plan.fetch.iter().map(|Fetch { objects, bytes, .. }| {
        let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
        format!("{}, {}", names.join(" and "), units::size(*bytes))
    });
    let remove = plan.remove();
    let remove = remove.iter().map(|Remove { object, why }| format!("{object}: {why}"));
    facts("make", make) + &facts("fetch", fetch) + &facts("remove", remove)
}

/// Formats lines of one kind, some of them if there are many.
fn facts(label: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let mut text: String =
        lines.iter().take(LINES_MAX).map(|line| fact(label, &clean(line))).collect();
    if lines.len() > LINES_MAX {
        let more = u64_of(lines.len() - LINES_MAX);
        text += &fact(label, &format!("and {} more", units::count(more)));
    }
    text
}

/// Formats what it costs to fetch; nothing if nothing is fetched.
fn cost(plan: &RepairPlan<'_>) -> Option<String> {
    let RepairCost { bytes, requests_there, requests_here } = plan.cost();
    let there = units::counted(requests_there, "request");
    let text = format!(
        "{} in {there} to the other side, {} here",
        units::size(bytes),
        units::count(requests_here)
    );
    (!plan.fetch.is_empty()).then(|| fact("cost", &text))
}

/// Formats what is looked for, and what that costs.
fn search(search: &Search) -> String {
    let Search { blocks, is_more, packs, bytes, requests, time, .. } = search;
    let of = if *is_more { " of more" } else { "" };
    let text = format!(
        "{}{of} in the directories of {}: {} in {}, about {}",
        units::counted(*blocks, "block"),
        units::counted(*packs, "pack"),
        units::size(*bytes),
        units::counted(*requests, "request"),
        units::span(*time)
    );
    fact("search", &text)
}

/// Formats what is taken from streams, and what that costs.
fn streams(streams: &Streams) -> String {
    let Streams { snapshots, blocks, bytes, is_more, read_bytes, .. } = streams;
    let least = if *is_more { "at least " } else { "" };
    let text = format!(
        "{least}{} ({}) of {} on the other side: {} in {} there, up to {} here",
        units::counted(*blocks, "block"),
        units::size(*bytes),
        units::counted(*snapshots, "snapshot"),
        units::size(*read_bytes),
        units::counted(streams.requests_there, "request"),
        units::count(streams.requests_here),
    );
    let text = if *blocks == 0 { String::new() } else { fact("streams", &text) };
    text + &maps(&streams.lost_maps)
}

/// Formats what was taken from streams; nothing if nothing was.
fn taken(Taken { blocks, bytes, read_bytes, .. }: &Taken) -> Option<String> {
    let text = format!(
        "took {}, {}, from streams on the other side ({} read there)",
        units::counted(*blocks, "block"),
        units::size(*bytes),
        units::size(*read_bytes)
    );
    (*blocks > 0).then_some(text)
}

/// Formats what the streams of the other side did not have.
fn not_taken(Taken { different, missing, lost_maps, .. }: &Taken) -> String {
    let mut lines = Vec::new();
    if *different > 0 {
        let blocks = units::counted(*different, "block");
        lines.push(format!("{blocks} with other bytes on the other side: not stored"));
    }
    if *missing > 0 {
        let blocks = units::counted(*missing, "block");
        lines.push(format!("{blocks} that the other side does not have, or can't read"));
    }
    facts("streams", lines.into_iter()) + &maps(lost_maps)
}

/// Formats the snapshots whose maps are lost.
fn maps(lost: &[LostMaps]) -> String {
    let line = |LostMaps { snapshot, there }: &LostMaps| {
        format!(
            "snapshot {}: maps of it have no good copy, and a stream has none: haulout replicate \
             --snapshot {} with this --from stores it here again",
            snapshot.short(),
            there.short()
        )
    };
    facts("maps", lost.iter().map(line))
}

/// Formats what can't be had back, and the commands that restore the rest.
fn lost(words: &[String], left: &VerifyReport, losses: &Losses) -> String {
    let found = left.findings.iter().map(finding);
    let known = words.iter().filter(|lost| !left.findings.iter().any(|one| one.what == **lost));
    let mut text = facts("lost", known.cloned().chain(found));
    if losses.are_none() {
        return text;
    }
    let Losses { snapshots, files, pages, bytes, is_more } = losses;
    let mut parts = Vec::new();
    if *pages > 0 {
        parts.push(units::counted(*pages, "page"));
    }
    if *bytes > 0 {
        parts.push(units::size(*bytes));
    }
    let least = if *is_more { "at least " } else { "" };
    let count = units::counted(u64_of(snapshots.len()), "snapshot");
    let all = if parts.is_empty() { "an unknown part".to_owned() } else { parts.join(" and ") };
    let of =
        if *files > 0 { format!(" of {}", units::counted(*files, "file")) } else { String::new() };
    let verb = if snapshots.len() == 1 { "lacks" } else { "lack" };
    text += &fact("damage", &format!("{count} {verb} {least}{all}{of}"));
    let rest = |id: &haulout::repo::SnapshotId| {
        format!(
            "haulout restore {} --to DIRECTORY --keep-going restores the rest of it",
            id.short()
        )
    };
    text + &facts("rest", snapshots.keys().take(COMMANDS_MAX).map(rest))
}
