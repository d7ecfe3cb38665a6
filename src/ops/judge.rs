//! The verdict on what arrived: for mariabackup the checklist, for a plain stream what its producer
//! says.

use crate::base::monitor::Counts;
use crate::base::num::wide;
use crate::format::snapshot::Check;
use crate::format::snapshot::Positions;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::parse::beginning::Before;
use crate::parse::compressed::CompressedEnd;
use crate::parse::detect::Wrapping;
use crate::parse::sql::is_dump_error;
use crate::parse::tar::TarFacts;
use crate::parse::tar::walk;
use crate::pipeline::collector::Collector;
use crate::pipeline::delta::Increments;
use crate::pipeline::run::Opaque;
use crate::pipeline::run::Streamed;
use crate::pipeline::run::Told;
use crate::source::Ending;
use crate::source::ProducerExit;
use crate::verdict::BeforeConclusion;
use crate::verdict::CONTENT_CHECK;
use crate::verdict::Evidence;
use crate::verdict::Outcome;
use crate::verdict::PageFindings;
use crate::verdict::Producer;
use crate::verdict::StreamFaults;
use crate::verdict::finding::Acceptance;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::judge_before;
use crate::verdict::judge_dump;

/// Reasons and bad pages that a snapshot carries; more are in its list of findings.
const LINES_MAX: usize = 30;
/// Bytes of one such line.
const LINE_BYTES_MAX: usize = 250;

/// The verdict with what led to it, in words.
#[derive(Debug)]
pub(super) struct Judged {
    /// What the stream was; unknown at a checkpoint.
    pub format: Option<StreamFormat>,
    /// How far it can be trusted.
    pub verdict: Verdict,
    /// Reasons why it can't be trusted further.
    pub reasons: Vec<String>,
    /// Findings that leave the verdict as it is.
    pub findings: Vec<Finding>,
    /// Checks that were made, and their outcomes.
    pub checks: Vec<Check>,
    /// What the stream states.
    pub positions: Option<Positions>,
    /// What the snapshot stands for.
    pub kind: SnapshotKind,
    /// Snapshots without which it can't be restored, the full backup first.
    pub requires: Vec<String>,
}

impl Judged {
    /// Returns the judgement of a run that has not ended.
    pub(super) fn checkpoint() -> Judged {
        Judged {
            format: None,
            verdict: Verdict::Partial,
            reasons: vec!["a checkpoint of a run that had not ended".to_owned()],
            findings: Vec::new(),
            checks: Vec::new(),
            positions: None,
            kind: SnapshotKind::Checkpoint,
            requires: Vec::new(),
        }
    }
}

/// Judges a stream that has ended, of which the user said that it is what was `asked`, and what of
/// it is `accepted`.
pub(super) fn judge(
    streamed: Streamed,
    asked: Option<StreamFormat>,
    collector: &Collector<'_>,
    (counts, accepted): (&Counts, Vec<Acceptance>),
) -> Judged {
    let Streamed { format, before, ending, told, observer, failure } = streamed;
    let mut judged = match told {
        Told::Nothing(opaque) => judge_opaque(&ending, opaque, asked),
        Told::Tar(facts) => judge_tar(facts, &ending),
        Told::Sql(facts) => {
            let is_dump_error = |line: &&String| is_dump_error(line.as_bytes());
            let errors: Vec<String> = ending.errors.iter().filter(is_dump_error).cloned().collect();
            let conclusion = judge_dump(*facts, ending.exit, &errors);
            Judged {
                format: Some(format),
                verdict: conclusion.verdict,
                reasons: conclusion.reasons,
                findings: conclusion.findings,
                checks: conclusion.checklist.into_iter().map(Into::into).collect(),
                positions: Some(conclusion.positions),
                kind: SnapshotKind::Full,
                requires: Vec::new(),
            }
        }
        Told::Mbstream(parsed, increments) => {
            let faults = StreamFaults { kept: parsed.faults, count: parsed.fault_count };
            let evidence = Evidence {
                producer: producer(&ending),
                faults,
                pages: page_findings(collector, counts),
                accepted,
            };
            let conclusion = observer.conclude(evidence);
            let kind = kind_of(&conclusion.positions, &increments);
            let mut judged = Judged {
                format: Some(format),
                verdict: conclusion.verdict,
                reasons: conclusion.reasons.iter().map(ToString::to_string).collect(),
                findings: conclusion.findings,
                checks: conclusion.checklist.into_iter().map(Into::into).collect(),
                positions: Some(conclusion.positions),
                kind,
                requires: Vec::new(),
            };
            judge_increments(&mut judged, increments);
            judged
        }
    };
    judge_beginning(&mut judged, &before);
    if let Some(asked) = asked.filter(|asked| *asked != format) {
        judged.verdict = Verdict::Partial;
        judged.reasons.insert(
            0,
            format!(
                "--format {asked} does not fit, the stream was stored as {format}: check the \
                 producer's options, or leave --format out"
            ),
        );
    }
    judged.format = Some(format);
    quote_error(&mut judged, &ending);
    if let Some(failure) = failure {
        judged.verdict = Verdict::Partial;
        judged.reasons.insert(0, format!("the stream could not be read to its end: {failure}"));
    }
    judged
}

/// Adds what a producer that failed said first about it.
fn quote_error(judged: &mut Judged, ending: &Ending) {
    let failed = ending.exit.is_failure();
    let told = |line: &String| judged.reasons.iter().any(|reason| reason.contains(line));
    if let Some(line) = ending.errors.first().filter(|line| failed && !told(line)) {
        judged.reasons.push(format!("the producer's first error message: {line}"));
    }
}

/// Returns what the stream is; changed pages show it even if the stream was cut before it says so.
fn kind_of(positions: &Positions, increments: &Increments) -> SnapshotKind {
    let stated = positions.backup_type.as_deref();
    if stated == Some("incremental") || (stated.is_none() && increments.files > 0) {
        SnapshotKind::Incremental
    } else {
        SnapshotKind::Full
    }
}

/// Lowers the verdict if files of changed pages can't be applied.
fn judge_increments(judged: &mut Judged, increments: Increments) {
    let Increments { files, broken, broken_others } = increments;
    let count = wide(broken.len()) + broken_others;
    if files == 0 && count == 0 {
        return;
    }
    let outcome = if count == 0 { "passed" } else { "failed" };
    judged.checks.push(Check {
        name: "changed pages".to_owned(),
        outcome: outcome.to_owned(),
        detail: format!("{files} files, {count} broken"),
    });
    if count > 0 {
        judged.verdict = Verdict::Partial;
        let words = "the stream lost a part of it and it can't be applied, run the backup again";
        judged.reasons.extend(broken.into_iter().map(|file| format!("{file}: {words}")));
    }
    if broken_others > 0 {
        judged.reasons.push(format!("{broken_others} more files of changed pages are broken"));
    }
}

fn producer(ending: &Ending) -> Producer {
    let last_words = ending.last_words.as_deref();
    let completed_ok_seen = last_words.map(|words| words.trim_end().ends_with("completed OK!"));
    Producer { exit: ending.exit, completed_ok_seen }
}

fn page_findings(collector: &Collector<'_>, counts: &Counts) -> PageFindings {
    let words = |finding: &crate::pipeline::segment::PageFinding| {
        format!("{}, page {}: {}", finding.path, finding.page, finding.reason)
    };
    let newest = collector.newest();
    PageFindings {
        pages: counts.pages_verified
            + counts.pages_unverifiable
            + counts.pages_corrupt
            + counts.pages_zero,
        unverifiable: counts.pages_unverifiable,
        corrupt_count: counts.pages_corrupt,
        corrupt: collector.findings().iter().take(LINES_MAX).map(words).collect(),
        newest: (newest.lsn > 0).then(|| (newest.lsn, newest.path.clone())),
    }
}

/// Judges what stands before the stream.
fn judge_beginning(judged: &mut Judged, before: &Before) {
    let BeforeConclusion { reason, finding } = judge_before(before);
    if let Some(reason) = reason {
        judged.verdict = Verdict::Partial;
        judged.reasons.insert(0, reason);
    }
    judged.findings.extend(finding);
}

/// Judges a stream that is kept as it is. One that was meant to be is no finding.
fn judge_opaque(ending: &Ending, opaque: Opaque, asked: Option<StreamFormat>) -> Judged {
    let Opaque { wrapping, end, first_line } = opaque;
    let mut judged = judge_plain(ending, wrapping);
    if let Some(wrapping) = wrapping {
        judge_end(&mut judged, wrapping, end);
    }
    // The programs ring the bell before some of their messages; the quoted line shows it so.
    if is_dump_error(first_line.trim_start_matches(char::REPLACEMENT_CHARACTER).as_bytes()) {
        judged.verdict = Verdict::Partial;
        judged.reasons.insert(
            0,
            format!("the stream is no dump but the message '{first_line}': mend that, dump again"),
        );
    }
    if wrapping.is_none() && asked != Some(StreamFormat::Raw) {
        let text = format!(
            "it begins with '{first_line}', which is no known format: stored as it is, unchecked"
        );
        judged.findings.push(Finding::new(Code::NotRecognised, "stream", text));
    }
    judged
}

/// Lowers the verdict on a compressed stream that has not the end of its format.
fn judge_end(judged: &mut Judged, wrapping: Wrapping, end: CompressedEnd) {
    let (Wrapping::Compressed(program) | Wrapping::Encrypted(program)) = wrapping;
    let again = "the producer stopped or the stream was cut, run the backup again";
    let reason = match end {
        CompressedEnd::Whole => None,
        CompressedEnd::Cut => Some(format!("the stream of {program} has no end: {again}")),
        CompressedEnd::Followed => Some(format!(
            "something follows the end of the stream of {program}, which can't be unpacked without \
             an error: look at what the producer runs after it"
        )),
        CompressedEnd::Malformed => Some(format!(
            "the stream begins like one of {program} and does not go on like one: it was damaged \
             on its way, run the backup again"
        )),
        CompressedEnd::Unknown => {
            let text = format!("nothing in a stream of {program} tells whether it is whole");
            judged.findings.push(Finding::new(Code::CannotJudge, "stream", text));
            return;
        }
    };
    let (outcome, detail) = match &reason {
        None => (Outcome::Passed, format!("the stream of {program} has its own end")),
        Some(_) => (Outcome::Failed, format!("the stream of {program} is not whole")),
    };
    let (name, outcome) = ("end".to_owned(), outcome.to_string());
    judged.checks.push(Check { name, outcome, detail });
    if let Some(reason) = reason {
        judged.verdict = Verdict::Partial;
        judged.reasons.insert(0, reason);
    }
}

fn judge_plain(ending: &Ending, wrapping: Option<Wrapping>) -> Judged {
    let (verdict, reason) = match ending.exit {
        ProducerExit::Exited(0) => (Verdict::Complete, None),
        ProducerExit::Unseen => (
            Verdict::Unattested,
            Some(
                "the producer's exit status could not be seen: let haulout run it (-- COMMAND)"
                    .to_owned(),
            ),
        ),
        ProducerExit::Exited(code) => {
            (Verdict::Partial, Some(format!("the producer failed with exit status {code}")))
        }
        ProducerExit::Killed(signal) => {
            (Verdict::Partial, Some(format!("the producer was killed by signal {signal}")))
        }
        ProducerExit::Hung => (
            Verdict::Partial,
            Some("the producer did not end after its stream had, and was ended".to_owned()),
        ),
    };
    Judged {
        format: None,
        verdict,
        reasons: reason.into_iter().collect(),
        findings: Vec::new(),
        checks: wrapping.map(lost).into_iter().collect(),
        positions: None,
        kind: SnapshotKind::Full,
        requires: Vec::new(),
    }
}

/// Returns the check that says what is lost with a stream that was compressed or encrypted before
/// it came, and what avoids it.
fn lost(wrapping: Wrapping) -> Check {
    let lost = "nothing in it can be checked, and tomorrow's shares no block with it";
    let detail = match wrapping {
        Wrapping::Compressed(program) => {
            format!("compressed by {program}: {lost}; leave it out, haulout compresses")
        }
        Wrapping::Encrypted(program) => {
            format!("encrypted by {program}: {lost}; leave it out, haulout encrypts")
        }
    };
    Check { name: CONTENT_CHECK.to_owned(), outcome: Outcome::Unknown.to_string(), detail }
}

/// Judges a tar: it is whole if its headers are and the mark of its end is there; of contents it
/// knows nothing.
fn judge_tar(facts: TarFacts, ending: &Ending) -> Judged {
    let TarFacts { entries, ending: end, faults, faults_others } = facts;
    let mut judged = judge_plain(ending, None);
    if ending.exit == ProducerExit::Exited(1) {
        judged.reasons.push(
            "tar ends with 1 if files changed while it read them: back up a snapshot of the file \
             system, or let tar run with --warning=no-file-changed once they may be torn"
                .to_owned(),
        );
    }
    let again = "the producer stopped or the stream was cut, run the backup again";
    let mut reasons = Vec::new();
    match &end {
        walk::Ending::Marked | walk::Ending::Unread => {}
        walk::Ending::Unmarked => reasons.push(format!(
            "the archive ends without the two blocks of zeros that mark its end: {again}"
        )),
        walk::Ending::Inside(what) => {
            reasons.push(format!("the archive ends within {what}: {again}"));
        }
    }
    if entries == 0 && end == walk::Ending::Marked {
        reasons.push("the archive has no entries: look at what the producer was told".to_owned());
    }
    let others = (faults_others > 0).then(|| format!("{faults_others} more faults in it"));
    let outcome = if reasons.is_empty() && faults.is_empty() { "passed" } else { "failed" };
    let detail = match &end {
        walk::Ending::Marked => format!("{entries} entries and the mark of the end"),
        walk::Ending::Unmarked | walk::Ending::Inside(_) | walk::Ending::Unread => {
            format!("{entries} entries")
        }
    };
    let check = |name: &str, outcome: &str, detail: String| Check {
        name: name.to_owned(),
        outcome: outcome.to_owned(),
        detail,
    };
    judged.checks.push(check("archive", outcome, detail));
    let words = "a tar has no checksums of contents".to_owned();
    judged.checks.push(check("contents", "unknown", words));
    reasons.extend(faults.into_iter().chain(others));
    if !reasons.is_empty() {
        judged.verdict = Verdict::Partial;
    }
    reasons.append(&mut judged.reasons);
    judged.reasons = reasons;
    judged
}

/// Cuts a line to the length that a snapshot carries.
pub(super) fn shorten(line: &mut String) {
    if line.len() > LINE_BYTES_MAX {
        let end = line.floor_char_boundary(LINE_BYTES_MAX);
        line.truncate(end);
        line.push_str("...");
    }
}

/// Keeps the snapshot within its size, whatever a stream made of its names.
pub(super) fn bound(judged: &mut Judged) {
    let reasons = judged.reasons.len();
    judged.reasons.truncate(LINES_MAX);
    for line in judged.reasons.iter_mut().chain(judged.checks.iter_mut().map(|c| &mut c.detail)) {
        shorten(line);
    }
    if reasons > LINES_MAX {
        judged.reasons.push(format!("and {} more reasons", wide(reasons - LINES_MAX)));
    }
}
