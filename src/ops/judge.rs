//! Collects what the pipeline found out about a stream, and has it judged.

use crate::base::monitor::Counts;
use crate::base::producer::StallOutcome;
use crate::format::snapshot::StreamFormat;
use crate::pipeline::collector::Collector;
use crate::pipeline::run::Streamed;
use crate::pipeline::segment::PageFinding;
use crate::source::Ending;
use crate::verdict;
use crate::verdict::Conclusion;
use crate::verdict::Evidence;
use crate::verdict::LINES_MAX;
use crate::verdict::PageFindings;
use crate::verdict::Producer;
use crate::verdict::finding::Acceptance;

/// Judges a stream that has ended, of which the user said that it is what was `asked`, and what of
/// it is `accepted`.
pub(super) fn judge(
    streamed: Streamed,
    asked: Option<StreamFormat>,
    collector: &Collector<'_>,
    counts: &Counts,
    accepted: Vec<Acceptance>,
) -> Conclusion {
    let Streamed { facts, before, ending, failure } = streamed;
    verdict::judge(Evidence {
        facts,
        asked,
        before,
        failure: failure.map(|error| error.to_string()),
        producer: producer(ending),
        pages: page_findings(collector, counts),
        accepted,
    })
}

fn producer(ending: Ending) -> Producer {
    let Ending { exit, last_words, errors, changed, stages, .. } = ending;
    let completed_ok_seen = last_words.map(|words| words.trim_end().ends_with("completed OK!"));
    let stall = stages.and_then(|stages| stages.pause).and_then(|pause| pause.stall);
    let ended_for = stall.filter(|stall| stall.outcome == StallOutcome::Ended);
    Producer { exit, completed_ok_seen, errors, ended_for, changed }
}

fn page_findings(collector: &Collector<'_>, counts: &Counts) -> PageFindings {
    let words = |finding: &PageFinding| {
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
