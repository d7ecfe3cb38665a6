//! The judgement on a stream that is kept as it is: its producer vouches for it, and the end of a
//! compressed stream does.

use crate::base::producer::ProducerExit;
use crate::format::snapshot::StreamFormat;
use crate::parse::compressed::CompressedEnd;
use crate::parse::detect::Wrapping;
use crate::parse::sql::is_dump_error;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::evidence::PlainFacts;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::reason::Reason;
use crate::verdict::reason::plain::PlainReason;
use crate::verdict::reason::producer::ProducerReason;

/// Judges a plain stream that has ended; one that the user called so is no finding.
pub(super) fn judge(
    facts: PlainFacts,
    asked: Option<StreamFormat>,
    exit: ProducerExit,
) -> Conclusion {
    let PlainFacts { wrapping, end, first_line } = facts;
    let format = asked.filter(|format| format.is_plain()).unwrap_or(StreamFormat::Raw);
    let mut conclusion = Conclusion::new(format);
    let ended = ProducerReason::new(exit, format);
    conclusion.reasons.extend(ended.map(Reason::Producer));
    if let Some(wrapping) = wrapping {
        conclusion.checks.push(hidden(wrapping));
        judge_end(&mut conclusion, wrapping, end);
    }
    // The programs ring the bell before some of their messages; the quoted line shows it so.
    if is_dump_error(first_line.trim_start_matches(char::REPLACEMENT_CHARACTER).as_bytes()) {
        conclusion.lead_with(PlainReason::DumpError(first_line.clone()));
    }
    if wrapping.is_none() && asked != Some(format) {
        let text = format!(
            "it begins with '{first_line}', which is no known format: stored as it is, unchecked"
        );
        conclusion.findings.push(Finding::new(Code::NotRecognised, "stream", text));
    }
    conclusion
}

/// Returns the check that says what is lost with a stream that was compressed or encrypted before
/// it came, and what avoids it.
fn hidden(wrapping: Wrapping) -> Check {
    let lost = "nothing in it can be checked, and tomorrow's shares no block with it";
    let detail = match wrapping {
        Wrapping::Compressed(program) => {
            format!("compressed by {program}: {lost}; leave it out, haulout compresses")
        }
        Wrapping::Encrypted(program) => {
            format!("encrypted by {program}: {lost}; leave it out, haulout encrypts")
        }
    };
    Check::new(CheckName::HiddenContent, Outcome::Unknown, detail)
}

/// Judges a compressed stream by the end of its format.
fn judge_end(conclusion: &mut Conclusion, wrapping: Wrapping, end: CompressedEnd) {
    let (Wrapping::Compressed(program) | Wrapping::Encrypted(program)) = wrapping;
    let reason = match end {
        CompressedEnd::Whole => None,
        CompressedEnd::Cut => Some(PlainReason::NoEnd(program)),
        CompressedEnd::Followed => Some(PlainReason::Followed(program)),
        CompressedEnd::Malformed => Some(PlainReason::Malformed(program)),
        CompressedEnd::Unknown => {
            let text = format!("nothing in a stream of {program} tells whether it is whole");
            conclusion.findings.push(Finding::new(Code::CannotJudge, "stream", text));
            return;
        }
    };
    let detail = match &reason {
        None => format!("the stream of {program} has its own end"),
        Some(_) => format!("the stream of {program} is not whole"),
    };
    let outcome = Outcome::of_faults(reason.iter().len());
    conclusion.checks.push(Check::new(CheckName::End, outcome, detail));
    if let Some(reason) = reason {
        conclusion.lead_with(reason);
    }
}
