//! The reports of `replicate` and of its plan.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::backup::BackupReport;
use haulout::ops::copy_reencrypted::ReencryptionPlan;
use haulout::ops::copy_reencrypted::ReencryptionReport;
use haulout::ops::replicate::CopyCost;
use haulout::ops::replicate::CopyPlan;
use haulout::ops::replicate::LeftOut;
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::replicate::Verified;
use haulout::repo::Features;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::features::bits;
use crate::output::features::lines;
use crate::output::features::needs;
use crate::output::features::needs_line;
use crate::output::phrases::fact;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::output::timefmt;
use crate::output::units;

/// The JSON report of the plan: what will be sent.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    to: String,
    snapshots: u64,
    /// The feature bits that would be set there, or were.
    sets_features: Vec<u32>,
    #[serde(skip)]
    sets: Features,
    /// Snapshots that would not be sent since they were removed there.
    removed_there: Vec<String>,
    #[serde(flatten)]
    cost: CopyCost,
    /// Seconds that the bytes take at the limit, from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_at_limit: Option<f64>,
}

impl Planned {
    /// Creates the report of a plan.
    pub(crate) fn new(to: String, plan: &CopyPlan<'_>, time: Option<Duration>) -> Self {
        let seconds_at_limit = time.map(|time| time.as_secs_f64());
        let (sets, snapshots, cost) = (plan.sets(), plan.snapshots(), plan.cost());
        let removed_there = plan.removed_there().iter().map(ToString::to_string).collect();
        let sets_features = bits(sets);
        Self { to, snapshots, sets_features, sets, removed_there, cost, seconds_at_limit }
    }
}

/// The JSON report of `replicate`.
#[derive(Debug, Serialize)]
struct Replication<'r> {
    to: &'r str,
    planned: CopyCost,
    set_features: &'r [u32],
    sent: CopyCost,
    snapshots: Vec<String>,
    already_there: u64,
    removed_there: Vec<String>,
    left_out: Vec<Missing<'r>>,
    damaged: &'r [String],
    /// Objects and bytes read there and found right, if that was asked for or had to be.
    verified: Verified,
    /// Objects there that were damaged and are right now.
    mended: &'r [String],
    seconds: f64,
}

/// The JSON report of the plan to replicate to a repository with other keys.
#[derive(Debug, Serialize)]
struct ReencryptionPlanned<'r> {
    to: &'r str,
    reencrypted: bool,
    snapshots: u64,
    stream_bytes: u64,
    removed_there: Vec<String>,
}

/// The JSON report of a replication to a repository with other keys.
#[derive(Debug, Serialize)]
struct Reencryption<'r> {
    to: &'r str,
    reencrypted: bool,
    sent: ReencryptedCost,
    snapshots: Vec<ReencryptedSnapshot<'r>>,
    already_there: u64,
    removed_there: Vec<String>,
    left_out: Vec<Missing<'r>>,
    /// Objects and bytes read there and found right, if that was asked for.
    verified: Verified,
    seconds: f64,
}

/// The amount that was stored there.
#[derive(Debug, Serialize)]
struct ReencryptedCost {
    bytes: u64,
    objects: u64,
    stream_bytes: u64,
}

/// A snapshot under its name there, and under its name here.
#[derive(Debug, Serialize)]
struct ReencryptedSnapshot<'r> {
    snapshot: String,
    origin: Option<&'r str>,
}

/// A snapshot that is not there.
#[derive(Debug, Serialize)]
struct Missing<'r> {
    snapshot: String,
    source: &'r str,
    time: String,
    why: &'r str,
}

impl<'r> Missing<'r> {
    fn new(left_out: &'r LeftOut) -> Self {
        let LeftOut { snapshot, source, time, why } = left_out;
        Missing { snapshot: snapshot.to_string(), source, time: timefmt::for_programs(*time), why }
    }
}

impl Report {
    /// Prints what would be sent to a repository with other keys.
    pub(crate) fn reencryption_planned(&self, to: &str, plan: &ReencryptionPlan<'_>) -> Result<()> {
        let (snapshots, stream_bytes) = (plan.snapshots(), plan.stream_bytes());
        let removed_there = plan.removed_there().iter().map(ToString::to_string).collect();
        let value =
            ReencryptionPlanned { to, reencrypted: true, snapshots, stream_bytes, removed_there };
        self.result(&value, || {
            let counted = units::counted(snapshots, "snapshot");
            let head = format!("{counted} would be re-encrypted to {}\n", clean(to));
            let bytes = format!(
                "{} to read here; what that takes there shows when it is stored",
                units::size(stream_bytes)
            );
            head + &fact("streams", &bytes) + &not_sent_again(plan.removed_there().len())
        })
    }

    /// Prints the report of a replication to a repository with other keys.
    pub(crate) fn reencrypted(
        &self,
        to: &str,
        report: &ReencryptionReport,
        verified: Verified,
        time: Duration,
    ) -> Result<()> {
        self.warn_of(&report.left_out);
        let stream_bytes = report.sent.iter().map(|done| done.about.stream_bytes).sum();
        let (bytes, objects) = (report.stored_bytes, report.stored_objects);
        let snapshot = |done: &'_ BackupReport| done.id.to_string();
        let value = Reencryption {
            to,
            reencrypted: true,
            sent: ReencryptedCost { bytes, objects, stream_bytes },
            snapshots: report
                .sent
                .iter()
                .map(|done| ReencryptedSnapshot {
                    snapshot: snapshot(done),
                    origin: done.about.origin.as_ref().map(|origin| origin.snapshot.as_str()),
                })
                .collect(),
            already_there: report.there,
            removed_there: report.removed_there.iter().map(ToString::to_string).collect(),
            left_out: report.left_out.iter().map(Missing::new).collect(),
            verified,
            seconds: time.as_secs_f64(),
        };
        self.result(&value, || {
            let count = units::counted(u64_of(report.sent.len()), "snapshot");
            let head = format!("re-encrypted {count} to {}", clean(to));
            if self.console.loudness == Loudness::Brief {
                let stored = format!("{} stored", units::size(bytes));
                let rest = brief_rest(verified, report.there, &report.left_out);
                let removed = brief_removed(report.removed_there.len());
                return format!("{head}: {stored} in {}{rest}{removed}\n", units::span(time));
            }
            let mut text = head + "\n";
            text += &fact("streams", &units::size(stream_bytes));
            let objects = units::counted(objects, "object");
            text += &fact("stored", &format!("{} in {objects}", units::size(bytes)));
            text += &fact("time", &units::span(time));
            text += &verified_there(verified);
            text += &not_sent_again(report.removed_there.len());
            text + &not_sent(report.there, &report.left_out)
        })
    }

    fn warn_of(&self, left_out: &[LeftOut]) {
        for LeftOut { snapshot, source, time, why } in left_out {
            let (id, time) = (snapshot.short(), self.canvas.time(*time));
            self.console.warning(format!("snapshot {id} of {source}, {time}, was left out: {why}"));
        }
    }

    /// Prints what a replication would send.
    pub(crate) fn replication_planned(&self, planned: &Planned) -> Result<()> {
        self.result(planned, || {
            let Planned { to, snapshots, sets, removed_there, cost, seconds_at_limit, .. } =
                planned;
            let head = format!(
                "{} and {} would go to {}\n",
                units::counted(*snapshots, "snapshot"),
                units::size(cost.bytes),
                clean(to)
            );
            head + &fact("objects", &units::count(cost.objects))
                + &fact("requests", &units::count(cost.requests))
                + &not_sent_again(removed_there.len())
                + &lines(*sets)
                + &needs_line(*sets)
                + &seconds_at_limit.map_or_else(String::new, |seconds| {
                    let time = units::span(Duration::from_secs_f64(seconds));
                    fact("time", &format!("{time} at the limit"))
                })
        })
    }

    /// Prints the report of a replication.
    pub(crate) fn replication(
        &self,
        planned: &Planned,
        report: &ReplicateReport,
        time: Duration,
    ) -> Result<()> {
        for damaged in &report.damaged {
            self.console.warning(format!("here, {damaged}"));
        }
        for mended in &report.mended {
            self.console
                .note(format!("on the other side, {mended} was damaged and was sent again"));
        }
        if report.kept_records > 0 {
            let records = units::counted(report.kept_records, "damage record");
            self.console.note(format!(
                "on the other side, {records} could not be removed: what they tell of is whole"
            ));
        }
        if let Some(version) = needs(planned.sets) {
            self.console.note(format!(
                "the repository on the other side has the features of this one now: it needs \
                 haulout {version} or newer"
            ));
        }
        self.warn_of(&report.left_out);
        let value = Replication {
            to: &planned.to,
            planned: planned.cost,
            set_features: &planned.sets_features,
            sent: report.cost,
            snapshots: report.sent.iter().map(ToString::to_string).collect(),
            already_there: report.there,
            removed_there: report.removed_there.iter().map(ToString::to_string).collect(),
            left_out: report.left_out.iter().map(Missing::new).collect(),
            damaged: &report.damaged,
            verified: report.verified,
            mended: &report.mended,
            seconds: time.as_secs_f64(),
        };
        self.result(&value, || {
            let ReplicateReport { sent, there, left_out, cost, verified, mended, .. } = report;
            let count = units::counted(u64_of(sent.len()), "snapshot");
            let head = format!("sent {count} to {}", clean(&planned.to));
            if self.console.loudness == Loudness::Brief {
                let (bytes, time) = (units::size(cost.bytes), units::span(time));
                let mended = match mended.len() {
                    0 => String::new(),
                    count => {
                        format!(", {} mended", units::counted(u64_of(count), "damaged object"))
                    }
                };
                let rest = brief_rest(*verified, *there, left_out);
                let removed = brief_removed(report.removed_there.len());
                return format!("{head}: {bytes} in {time}{mended}{rest}{removed}\n");
            }
            let mut text = head + "\n";
            let (bytes, rate) = (units::size(cost.bytes), units::rate(cost.bytes, time));
            let objects = units::counted(cost.objects, "object");
            text += &fact("sent", &format!("{bytes} in {objects}"));
            text += &fact("time", &format!("{}, {rate}", units::span(time)));
            if !mended.is_empty() {
                let mended = units::counted(u64_of(mended.len()), "damaged object");
                text += &fact("mended", &format!("{mended} on the other side"));
            }
            text += &verified_there(*verified);
            text += &not_sent_again(report.removed_there.len());
            text + &not_sent(*there, left_out)
        })
    }
}

/// Formats the number of snapshots that were removed there, for a one-line summary.
fn brief_removed(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(", {} removed there", units::count(u64_of(count))),
    }
}

/// Formats the end of a one-line summary: what was read there, was there before, and did not go.
fn brief_rest(verified: Verified, there: u64, left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    if verified.objects > 0 {
        text.extend([", ", &units::size(verified.bytes), " verified there"]);
    }
    if there > 0 {
        text.extend([", ", &units::count(there), " there before"]);
    }
    if !left_out.is_empty() {
        text.extend([", ", &units::count(u64_of(left_out.len())), " left out"]);
    }
    text
}

/// Formats the amount that was read on the other side.
fn verified_there(verified: Verified) -> String {
    let Verified { objects, bytes } = verified;
    if objects == 0 {
        return String::new();
    }
    let objects = units::counted(objects, "object");
    fact("verified", &format!("{} in {objects} on the other side", units::size(bytes)))
}

/// Formats the number of snapshots that are not sent since they were removed there.
fn not_sent_again(count: usize) -> String {
    if count == 0 {
        return String::new();
    }
    fact("removed", &format!("{} there, not sent again", units::counted(u64_of(count), "snapshot")))
}

/// Formats the last lines: the snapshots that were there before, and those that were left out.
fn not_sent(there: u64, left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    if there > 0 {
        text += &fact("there", &units::counted(there, "snapshot"));
    }
    if !left_out.is_empty() {
        text += &fact("left out", &units::counted(u64_of(left_out.len()), "snapshot"));
    }
    text
}
