//! Judges a stream of any format: what its dialect says, and what is true of every stream.

use crate::verdict::beginning;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::dump;
use crate::verdict::evidence::Evidence;
use crate::verdict::evidence::Facts;
use crate::verdict::evidence::Producer;
use crate::verdict::mbstream;
use crate::verdict::plain;
use crate::verdict::reason::Reason;
use crate::verdict::tar;

/// Judges a stream that has ended.
pub fn judge(evidence: Evidence) -> Conclusion {
    let Evidence { facts, asked, before, failure, producer, pages, accepted } = evidence;
    let mut conclusion = match facts {
        Facts::Mbstream(facts) => mbstream::judge(*facts, &producer, &pages, &accepted),
        Facts::Sql(facts) => dump::judge(*facts, &producer),
        Facts::Tar(facts) => tar::judge(facts, &producer),
        Facts::Plain(facts) => plain::judge(facts, asked, producer.exit),
    };
    beginning::judge(&before, &mut conclusion);
    let stored = conclusion.format;
    if let Some(asked) = asked.filter(|asked| *asked != stored) {
        conclusion.lead_with(Reason::OtherFormat { asked, stored });
    }
    quote_error(&mut conclusion, &producer);
    if let Some(stall) = producer.ended_for {
        conclusion.lead_with(Reason::Stalled(stall));
    }
    if let Some(failure) = failure {
        conclusion.lead_with(Reason::Unread(failure));
    }
    conclusion
}

/// Adds the first error that a failed producer reported, unless a reason quotes it.
fn quote_error(conclusion: &mut Conclusion, producer: &Producer) {
    if !producer.exit.is_failure() || conclusion.reasons.is_empty() {
        return;
    }
    let quoted =
        |line: &String| conclusion.reasons.iter().any(|reason| reason.to_string().contains(line));
    if let Some(line) = producer.errors.first().filter(|line| !quoted(line)) {
        conclusion.reasons.push(Reason::FirstError(line.clone()));
    }
}
