//! The report of an audit of need lists.

use haulout::ops::prune::AuditFinding;
use haulout::ops::prune::Audited;
use haulout::ops::prune::Difference;
use haulout::ops::prune::WrongList;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::output::phrases::fact;
use crate::output::phrases::told;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::units;

/// Findings that are printed for people.
const FINDINGS_MAX: usize = 20;
/// Packs of a finding that are printed for people.
const PACKS_MAX: usize = 3;

/// The JSON report of an audit.
#[derive(Debug, Serialize)]
pub(super) struct AuditJson {
    /// The snapshots whose lists were compared with their maps.
    snapshots: u64,
    /// Snapshots of earlier versions, which have no list.
    without_list: u64,
    forbids_deletions: bool,
    findings: Vec<FindingJson>,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    snapshot: String,
    /// The fault: names-fewer, names-more, unread.
    fault: &'static str,
    /// The number of packs.
    count: u64,
    /// The first of them.
    packs: Vec<String>,
    error: Option<String>,
}

impl From<&Audited> for AuditJson {
    fn from(audited: &Audited) -> Self {
        Self {
            snapshots: audited.snapshots,
            without_list: audited.without_list,
            forbids_deletions: audited.forbids_deletions(),
            findings: audited.findings.iter().map(FindingJson::from).collect(),
        }
    }
}

impl From<&AuditFinding> for FindingJson {
    fn from(finding: &AuditFinding) -> Self {
        let snapshot = finding.snapshot.id.to_string();
        let of = |fault, difference: &Difference| {
            let packs = difference.packs.iter().map(ToString::to_string).collect();
            (fault, difference.count, packs, None)
        };
        let (fault, count, packs, error) = match &finding.fault {
            WrongList::NamesFewer(difference) => of("names-fewer", difference),
            WrongList::NamesMore(difference) => of("names-more", difference),
            WrongList::Unread(error) => ("unread", 0, Vec::new(), Some(error.with_causes())),
        };
        Self { snapshot, fault, count, packs, error }
    }
}

/// Formats the result of an audit, if there was one.
pub(super) fn audited(audited: Option<&Audited>, canvas: Canvas) -> String {
    let Some(audited) = audited else { return String::new() };
    let lists = units::counted(audited.snapshots, "need list");
    let mut text = match audited.findings.len() {
        0 => fact("audit", &format!("{lists} compared with the maps: none is wrong")),
        count => fact("audit", &format!("{lists} compared, {} found", u64_of(count))),
    };
    for finding in audited.findings.iter().take(FINDINGS_MAX) {
        text += &told("audit", &clean(&words(finding)), canvas);
    }
    if audited.findings.len() > FINDINGS_MAX {
        let more = u64_of(audited.findings.len() - FINDINGS_MAX);
        text += &fact("audit", &format!("and {} more", units::count(more)));
    }
    if audited.forbids_deletions() {
        text += &told("audit", "nothing is deleted while a snapshot could lose packs", canvas);
    }
    text
}

/// Describes a finding in one sentence.
fn words(finding: &AuditFinding) -> String {
    let snapshot = finding.snapshot.id.short();
    match &finding.fault {
        WrongList::NamesFewer(packs) => {
            format!("snapshot {snapshot} needs {} that its list lacks", named(packs))
        }
        WrongList::NamesMore(packs) => {
            format!("the list of snapshot {snapshot} names {} that it does not need", named(packs))
        }
        WrongList::Unread(error) => {
            format!("snapshot {snapshot} could not be compared: {}", error.with_causes())
        }
    }
}

/// Names packs, the first of them if they are many.
fn named(difference: &Difference) -> String {
    let count = units::counted(difference.count, "pack");
    let names: Vec<String> =
        difference.packs.iter().take(PACKS_MAX).map(ToString::to_string).collect();
    let is_all = u64_of(names.len()) == difference.count;
    format!("{count} ({}{})", names.join(", "), if is_all { "" } else { ", ..." })
}
