//! The judgement on a tar: it is whole if its headers are and the mark of its end is there.
//!
//! It knows nothing of contents: a tar has no checksums of them. Files that changed while tar read
//! them are findings; that the archive is whole in spite of them is what GNU tar's exit status 1
//! says, if its messages name such a file.

use crate::base::producer::ProducerExit;
use crate::format::snapshot::StreamFormat;
use crate::parse::tar::TarFacts;
use crate::parse::tar::walk::Ending;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::evidence::Producer;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::reason::Reason;
use crate::verdict::reason::producer::ProducerReason;
use crate::verdict::reason::tar::TarReason;

/// The exit status of tar if files changed while it read them.
const CHANGED: ProducerExit = ProducerExit::Exited(1);

/// Judges a tar that has ended.
pub(super) fn judge(facts: TarFacts, producer: &Producer) -> Conclusion {
    let exit = producer.exit;
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
    let mut reasons: Vec<Reason> = archive.map(Reason::Tar).collect();
    let only_changed = exit == CHANGED && !producer.changed.is_empty();
    if !only_changed {
        let changed = (exit == CHANGED).then_some(TarReason::ChangedMeanwhile);
        reasons.extend(ProducerReason::new(exit, StreamFormat::Tar).map(Reason::Producer));
        reasons.extend(changed.map(Reason::Tar));
    }
    let finding = |file: &String| {
        let text = "it changed while tar read it, or before: what is stored of it may be torn";
        Finding::new(Code::FileChanged, file, text)
    };
    let findings = producer.changed.iter().map(finding).collect();
    let checks = vec![
        Check::new(CheckName::Archive, outcome, detail),
        Check::new(CheckName::Contents, Outcome::Unknown, "a tar has no checksums of contents"),
    ];
    Conclusion { reasons, checks, findings, ..Conclusion::new(StreamFormat::Tar) }
}
