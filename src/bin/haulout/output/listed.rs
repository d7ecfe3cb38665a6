//! A snapshot as lists of `--json` have it.

use haulout::ops::verify::LastVerified;
use haulout::repo::Description;
use haulout::repo::Finding;
use haulout::repo::SnapshotDamage;
use haulout::repo::SnapshotId;
use haulout::repo::SnapshotKind;
use haulout::repo::StreamFormat;
use haulout::repo::Verdict;
use haulout::repo::notes::HoldNote;
use serde::Serialize;

use crate::output::holds;
use crate::output::holds::HeldUntil;
use crate::output::timefmt;
use crate::output::verified::VerifiedJson;

/// The JSON report of one snapshot of `snapshots`.
#[derive(Debug, Serialize)]
pub(crate) struct Listed<'r> {
    id: String,
    source: &'r str,
    time: String,
    time_unix: u64,
    format: StreamFormat,
    kind: SnapshotKind,
    verdict: Verdict,
    findings: &'r [Finding],
    more_findings: u64,
    stream_bytes: u64,
    stored_bytes: u64,
    tags: &'r [String],
    /// Holds that last; absent where nothing is said of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<Vec<HeldUntil<'r>>>,
    host: &'r str,
    /// When it was verified and how deep, the deepest first.
    verified: Vec<VerifiedJson>,
    /// Damage of the snapshot that verify found, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage<'r>>,
}

/// Known damage of a snapshot.
#[derive(Debug, Serialize)]
struct Damage<'r> {
    files: u64,
    named: &'r [String],
}

impl<'r> Listed<'r> {
    /// Creates the report of one snapshot of a listing.
    pub(crate) fn new(
        id: SnapshotId,
        about: &'r Description,
        damage: Option<&'r SnapshotDamage>,
    ) -> Self {
        Listed {
            id: id.to_string(),
            source: &about.source,
            time: timefmt::for_programs(about.time),
            time_unix: about.time,
            format: about.format,
            kind: about.kind,
            verdict: about.verdict,
            findings: &about.findings,
            more_findings: about.more_findings,
            stream_bytes: about.stream_bytes,
            stored_bytes: about.stored_bytes,
            tags: &about.tags,
            holds: None,
            host: &about.host,
            verified: Vec::new(),
            damage: damage.map(|found| Damage { files: found.files, named: &found.named }),
        }
    }

    /// Adds the holds of the snapshot.
    pub(crate) fn held(self, holds: &'r [HoldNote]) -> Self {
        Self { holds: Some(holds::listed(holds)), ..self }
    }

    /// Adds when the snapshot was verified.
    pub(crate) fn verified(self, known: &[LastVerified]) -> Self {
        Self { verified: known.iter().map(VerifiedJson::from).collect(), ..self }
    }
}
