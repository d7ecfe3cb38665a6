//! Findings and their snapshot: what was accepted before and now, what is stored, what is read
//! back.
//!
//! The internal member `findings` has all of them. A listing reads snapshots only, so the
//! description names the most urgent ones, as many as fit.

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::limits::SNAPSHOT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::format::snapshot::Description;
use crate::format::snapshot::Finding;
use crate::format::snapshot::Snapshot;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::ops::backup::BackupOptions;
use crate::repo::contents::Contents;
use crate::verdict::Conclusion;
use crate::verdict::finding as verdict;
use crate::verdict::finding::Acceptance;
use crate::verdict::finding::Code;
use crate::verdict::shorten;

/// Findings that the description of a snapshot names.
const NAMED_MAX: usize = 16;
/// Bytes that sealing adds to a snapshot, and some to spare.
const SEALING_BYTES: usize = 512;
/// Bytes of the list of findings that are read at most.
const LIST_BYTES_MAX: usize = 64 << 20;

/// The statements of earlier snapshots about the source itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Earlier {
    /// The format of its streams, if one is known.
    pub format: Option<StreamFormat>,
    /// The acceptances in force.
    accepted: Vec<String>,
}

impl Earlier {
    /// Reads the descriptions of earlier snapshots, the newest first.
    pub(super) fn new<'d>(newest: impl Iterator<Item = &'d Description>) -> Self {
        let mut earlier = Self::default();
        for (number, about) in newest.enumerate() {
            if number == 0 {
                earlier.accepted.clone_from(&about.accepted);
            }
            // What did not arrive whole says nothing about what usually arrives.
            let own = Some(about.format).filter(|_| about.verdict != Verdict::Partial);
            earlier.format = earlier.format.or(about.expected_format).or(own);
        }
        earlier
    }
}

/// The findings that a snapshot records, and the acceptances.
#[derive(Debug)]
pub(super) struct RecordedFindings {
    /// All findings, the most urgent first.
    pub findings: Vec<Finding>,
    /// The acceptances in force.
    pub accepted: Vec<String>,
    /// The format that later streams are compared with, if it is not that of the last whole one.
    pub expected_format: Option<StreamFormat>,
}

impl RecordedFindings {
    /// Takes the findings of the judges and of the run.
    pub(super) fn new(
        conclusion: &mut Conclusion,
        options: &BackupOptions,
        earlier: &Earlier,
    ) -> Self {
        let accepted = options.accept.in_force(&earlier.accepted);
        let in_force = in_force(options, earlier);
        if conclusion.kind == SnapshotKind::Checkpoint {
            // Nothing was judged yet.
            return Self { findings: Vec::new(), accepted, expected_format: None };
        }
        let arrived = conclusion.format;
        let confirmed = options.format == Some(arrived);
        let changed = earlier.format.filter(|format| *format != arrived && !confirmed);
        let is_partial = conclusion.verdict() == Verdict::Partial;
        // Readers take the format of a stream that arrived whole for the expected one.
        let expected_format = match changed {
            Some(format) if !is_partial => Some(format),
            None if is_partial && confirmed => Some(arrived),
            _ => None,
        };
        let changed = changed.map(|format| format_changed(&options.source, arrived, format));
        let about_stream = std::mem::take(&mut conclusion.findings);
        let all = changed.into_iter().chain(about_stream).chain(options.findings.take());
        let mut findings: Vec<Finding> = all.map(|finding| finding.stored(&in_force)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { findings, accepted, expected_format }
    }

    /// Takes over what another repository says.
    pub(super) fn taken_over(about: &Description) -> Self {
        Self {
            findings: about.findings.clone(),
            accepted: about.accepted.clone(),
            expected_format: about.expected_format,
        }
    }
}

/// Returns the acceptances in force for a backup.
pub(super) fn in_force(options: &BackupOptions, earlier: &Earlier) -> Vec<Acceptance> {
    let recorded = options.accept.in_force(&earlier.accepted);
    // A later version may have accepted what this one does not know.
    recorded.iter().flat_map(|text| text.parse()).collect()
}

fn format_changed(source: &str, arrived: StreamFormat, format: StreamFormat) -> verdict::Finding {
    let text = format!(
        "the stream is {arrived}, earlier ones are {format}: look at the producer's options and \
         messages; if this is intended, confirm it once with --format {arrived}"
    );
    verdict::Finding::new(Code::FormatChanged, source, text)
}

/// Names the most urgent findings in the description of a snapshot, as many as it has room for.
pub(super) fn name_in(snapshot: &mut Snapshot, findings: &[Finding]) {
    let named = findings.iter().take(NAMED_MAX).cloned().map(|mut finding| {
        shorten(&mut finding.object);
        shorten(&mut finding.text);
        finding
    });
    snapshot.about.findings = named.collect();
    let more = |snapshot: &Snapshot| u64_of(findings.len() - snapshot.about.findings.len());
    snapshot.about.more_findings = more(snapshot);
    while snapshot.encode().len() + SEALING_BYTES > SNAPSHOT_BYTES_MAX
        && snapshot.about.findings.pop().is_some()
    {
        snapshot.about.more_findings = more(snapshot);
    }
}

/// Reads all findings of a snapshot; those about single pages are left out.
pub fn read(contents: &Contents, about: &Description) -> Result<Vec<Finding>> {
    if about.more_findings == 0 {
        return Ok(about.findings.clone());
    }
    let mut list = Vec::new();
    contents.read_internal("findings", &mut |bytes| {
        list.extend_from_slice(bytes);
        if list.len() > LIST_BYTES_MAX {
            return Err(Error::damaged("the list of findings", "it is too long"));
        }
        Ok(())
    })?;
    // A line about a page has no code.
    let lines = list.split(|byte| *byte == b'\n');
    Ok(lines.flat_map(serde_json::from_slice).collect())
}
