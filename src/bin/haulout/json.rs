//! The shapes of `--json`. Scripts build on the names: they are added to, never changed.

use std::time::Duration;

use serde::Serialize;

use haulout::base::monitor::Counts;
use haulout::format::record::PageCounts;
use haulout::format::snapshot::Check;
use haulout::format::snapshot::Description;
use haulout::format::snapshot::Positions;
use haulout::format::snapshot::SnapshotKind;
use haulout::format::snapshot::StreamFormat;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupReport;
use haulout::ops::prepare::PrepareReport;
use haulout::ops::show::MemberLine;
use haulout::ops::verify::Finding;
use haulout::ops::verify::VerifyReport;
use haulout::repo::snapshots::StoredSnapshot;

use crate::failure::Failure;
use crate::hints;
use crate::moment;
use crate::proc_status;

/// What every command that works says about itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Effort {
    /// Wall time, without asking for a password and opening the repository with it.
    seconds: f64,
    /// The most memory that was resident.
    pub(crate) peak_memory_bytes: u64,
}

impl Effort {
    /// Of something that took so long, and has just ended.
    pub(crate) fn of(time: Duration) -> Effort {
        Effort { seconds: seconds(time), peak_memory_bytes: proc_status::peak_memory_bytes() }
    }
}

/// Seconds, with what is below a millisecond cut off.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Of `init`.
#[derive(Debug, Serialize)]
pub(crate) struct Init {
    /// Where.
    pub(crate) repository: String,
    /// The random id.
    pub(crate) id: String,
    /// Whether it is encrypted.
    pub(crate) encrypted: bool,
}

/// How blocks were stored.
#[derive(Debug, Serialize)]
pub(crate) struct Blocks {
    zero: u64,
    same: u64,
    delta: u64,
    whole: u64,
    missed: u64,
    healed: u64,
}

impl From<&Counts> for Blocks {
    fn from(counts: &Counts) -> Blocks {
        Blocks {
            zero: counts.blocks_zero,
            same: counts.blocks_same,
            delta: counts.blocks_delta,
            whole: counts.blocks_whole,
            missed: counts.blocks_missed,
            healed: counts.blocks_healed,
        }
    }
}

/// What the checks of pages said.
#[derive(Debug, Serialize)]
pub(crate) struct Pages {
    verified: u64,
    unverifiable: u64,
    corrupt: u64,
    zero: u64,
}

impl From<&Counts> for Pages {
    fn from(counts: &Counts) -> Pages {
        Pages {
            verified: counts.pages_verified,
            unverifiable: counts.pages_unverifiable,
            corrupt: counts.pages_corrupt,
            zero: counts.pages_zero,
        }
    }
}

impl From<&PageCounts> for Pages {
    fn from(counts: &PageCounts) -> Pages {
        let PageCounts { verified, unverifiable, corrupt, zero } = *counts;
        Pages { verified, unverifiable, corrupt, zero }
    }
}

/// Of `backup`.
#[derive(Debug, Serialize)]
pub(crate) struct Backup<'r> {
    snapshot: String,
    source: &'r str,
    format: StreamFormat,
    kind: SnapshotKind,
    verdict: Verdict,
    reasons: &'r [String],
    tags: &'r [String],
    stream_bytes: u64,
    stored_bytes: u64,
    objects: u64,
    members: u64,
    blocks: Blocks,
    pages: Pages,
    positions: &'r Positions,
    new_source: bool,
    damaged_snapshots: &'r [String],
    packs_absent: usize,
    #[serde(flatten)]
    effort: Effort,
}

impl<'r> Backup<'r> {
    /// What came of a backup.
    pub(crate) fn new(report: &'r BackupReport, effort: Effort) -> Backup<'r> {
        let BackupReport { id, about, counts, .. } = report;
        Backup {
            snapshot: id.to_string(),
            source: &about.source,
            format: about.format,
            kind: about.kind,
            verdict: about.verdict,
            reasons: &about.reasons,
            tags: &about.tags,
            stream_bytes: counts.stream_bytes,
            stored_bytes: counts.stored_bytes,
            objects: counts.stored_objects,
            members: counts.members,
            blocks: counts.into(),
            pages: counts.into(),
            positions: &about.positions,
            new_source: report.new_among.is_some(),
            damaged_snapshots: &report.damaged,
            packs_absent: report.packs_absent,
            effort,
        }
    }
}

/// One of `snapshots`.
#[derive(Debug, Serialize)]
pub(crate) struct Listed<'r> {
    id: String,
    source: &'r str,
    time: String,
    time_unix: u64,
    format: StreamFormat,
    kind: SnapshotKind,
    verdict: Verdict,
    stream_bytes: u64,
    stored_bytes: u64,
    tags: &'r [String],
    host: &'r str,
}

impl<'r> Listed<'r> {
    /// A snapshot of a listing.
    pub(crate) fn new(stored: &'r StoredSnapshot) -> Listed<'r> {
        let about = &stored.snapshot.about;
        Listed {
            id: stored.id().to_string(),
            source: &about.source,
            time: moment::for_programs(about.time),
            time_unix: about.time,
            format: about.format,
            kind: about.kind,
            verdict: about.verdict,
            stream_bytes: about.stream_bytes,
            stored_bytes: about.stored_bytes,
            tags: &about.tags,
            host: &about.host,
        }
    }
}

/// Of `show`, without the members.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'r> {
    #[serde(flatten)]
    listed: Listed<'r>,
    began: String,
    reasons: &'r [String],
    checks: &'r [Check],
    positions: &'r Positions,
    requires: &'r [String],
    predecessor: &'r Option<String>,
    sequence: u64,
    run: &'r str,
    program: &'r str,
    blocks: Blocks,
    pages: Pages,
}

impl<'r> Shown<'r> {
    /// Everything that a snapshot says about itself.
    pub(crate) fn new(stored: &'r StoredSnapshot) -> Shown<'r> {
        let about: &Description = &stored.snapshot.about;
        Shown {
            listed: Listed::new(stored),
            began: moment::for_programs(about.started),
            reasons: &about.reasons,
            checks: &about.checks,
            positions: &about.positions,
            requires: &about.requires,
            predecessor: &about.predecessor,
            sequence: about.sequence,
            run: &about.run,
            program: &about.program,
            blocks: (&about.counters).into(),
            pages: (&about.counters).into(),
        }
    }
}

/// One of the members of `show`.
#[derive(Debug, Serialize)]
pub(crate) struct Member<'r> {
    path: &'r str,
    incarnation: u32,
    bytes: u64,
    format: &'r str,
    pages: Pages,
    closed: bool,
}

impl<'r> From<&'r MemberLine> for Member<'r> {
    fn from(line: &'r MemberLine) -> Member<'r> {
        let MemberLine { path, incarnation, bytes, format, pages, closed } = line;
        let (incarnation, bytes, closed) = (*incarnation, *bytes, *closed);
        Member { path, incarnation, bytes, format, pages: pages.into(), closed }
    }
}

/// Of `restore`.
#[derive(Debug, Serialize)]
pub(crate) struct Restored<'r> {
    pub(crate) snapshot: String,
    pub(crate) source: &'r str,
    pub(crate) verdict: Verdict,
    pub(crate) target: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) warnings: &'r [String],
    pub(crate) prepared: Option<Prepared<'r>>,
    #[serde(flatten)]
    pub(crate) effort: Effort,
}

/// What came of preparing.
#[derive(Debug, Serialize)]
pub(crate) struct Prepared<'r> {
    backup_type: &'r str,
    lsn: u64,
    version: &'r str,
    seconds: f64,
}

impl<'r> Prepared<'r> {
    /// What a preparation left after so much time.
    pub(crate) fn new(report: &'r PrepareReport, time: Duration) -> Prepared<'r> {
        let PrepareReport { backup_type, lsn, version } = report;
        Prepared { backup_type, lsn: *lsn, version, seconds: seconds(time) }
    }
}

/// Of `verify`.
#[derive(Debug, Serialize)]
pub(crate) struct Verified<'r> {
    depth: &'static str,
    snapshots: u64,
    objects: u64,
    bytes: u64,
    blocks: u64,
    pages: Pages,
    findings: Vec<Found<'r>>,
    recorded: u64,
    #[serde(flatten)]
    effort: Effort,
}

/// One of the findings of `verify`.
#[derive(Debug, Serialize)]
struct Found<'r> {
    snapshot: Option<String>,
    member: Option<&'r str>,
    /// First block and number of blocks.
    ranges: Vec<Range>,
    what: &'r str,
}

#[derive(Debug, Serialize)]
struct Range {
    first: u64,
    count: u64,
}

impl<'r> From<&'r Finding> for Found<'r> {
    fn from(finding: &'r Finding) -> Found<'r> {
        let range = |&(first, count): &(u64, u64)| Range { first, count };
        Found {
            snapshot: finding.snapshot.map(|id| id.to_string()),
            member: finding.member.as_deref(),
            ranges: finding.pages.iter().map(range).collect(),
            what: &finding.what,
        }
    }
}

impl<'r> Verified<'r> {
    /// What came of a verification.
    pub(crate) fn new(
        report: &'r VerifyReport,
        depth: &'static str,
        effort: Effort,
    ) -> Verified<'r> {
        Verified {
            depth,
            snapshots: report.snapshots,
            objects: report.objects,
            bytes: report.bytes,
            blocks: report.blocks,
            pages: (&report.pages).into(),
            findings: report.findings.iter().map(Found::from).collect(),
            recorded: report.recorded,
            effort,
        }
    }
}

/// Instead of a result, when there is none.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    error: Told,
}

#[derive(Debug, Serialize)]
struct Told {
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hint: String,
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Failed {
        let kind = hints::name(failure.kind());
        let (message, causes) = (failure.message(), failure.causes());
        Failed { error: Told { kind, message, causes, hint: failure.hint().to_owned() } }
    }
}
