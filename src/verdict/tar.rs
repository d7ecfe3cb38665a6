//! The judgement on a tar: it is whole if its headers are and the mark of its end is there.
//!
//! It knows nothing of contents: a tar has no checksums of them.

use crate::base::producer::ProducerExit;
use crate::format::snapshot::StreamFormat;
use crate::parse::tar::TarFacts;
use crate::parse::tar::walk::Ending;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::reason::Reason;
use crate::verdict::reason::producer::ProducerReason;
use crate::verdict::reason::tar::TarReason;

/// The exit status of tar if files changed while it read them.
const CHANGED: ProducerExit = ProducerExit::Exited(1);

/// Judges a tar that has ended.
pub(super) fn judge(facts: TarFacts, exit: ProducerExit) -> Conclusion {
    let TarFacts { entries, ending, faults, faults_others } = facts;
    let detail = match &ending {
        Ending::Marked => format!("{entries} entries and the mark of the end"),
        Ending::Unmarked | Ending::Inside(_) | Ending::Unread => format!("{entries} entries"),
    };
    let wrong = match ending {
        Ending::Marked if entries == 0 => Some(TarReason::NoEntries),
        Ending::Marked | Ending::Unread => None,
        Ending::Unmarked => Some(TarReason::Unmarked),
        Ending::Inside(what) => Some(TarReason::EndsInside(what)),
    };
    let outcome = Outcome::of_faults(wrong.iter().len() + faults.len());
    let others = (faults_others > 0).then_some(TarReason::MoreFaults(faults_others));
    let archive = wrong.into_iter().chain(faults.into_iter().map(TarReason::Fault)).chain(others);
    let changed = (exit == CHANGED).then_some(TarReason::ChangedMeanwhile);
    let mut reasons: Vec<Reason> = archive.map(Reason::Tar).collect();
    reasons.extend(ProducerReason::new(exit, StreamFormat::Tar).map(Reason::Producer));
    reasons.extend(changed.map(Reason::Tar));
    let checks = vec![
        Check::new(CheckName::Archive, outcome, detail),
        Check::new(CheckName::Contents, Outcome::Unknown, "a tar has no checksums of contents"),
    ];
    Conclusion { reasons, checks, ..Conclusion::new(StreamFormat::Tar) }
}
