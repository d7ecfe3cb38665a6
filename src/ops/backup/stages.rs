//! What is to be found about the stage in which the server of a producer stood still.

use crate::base::producer::Server;
use crate::base::producer::StagesSeen;
use crate::ops::backup::options::BackupOptions;
use crate::verdict::Facts;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::Severity;

/// Reports what was seen of the stages of a producer.
pub(super) fn report(seen: &StagesSeen, facts: &Facts, options: &BackupOptions) {
    let report = |finding| options.findings.report(finding);
    let on_node = |finding: Finding| match seen.server {
        Server::ClusterNode => finding.with_severity(Severity::Warning),
        Server::Unknown => finding,
    };
    let Some(pause) = &seen.pause else {
        // Others copy nothing under locks, or name them in other words.
        if matches!(facts, Facts::Mbstream(_)) {
            let text = "the producer named no stage in which it holds locks at the server";
            report(on_node(Finding::new(Code::StageNotNamed, &options.source, text)));
        }
        return;
    };
    if let Some(stall) = &pause.stall {
        report(Finding::new(Code::StageStalled, &options.source, stall.to_string()));
    }
    if let Some(why) = &pause.spool_full {
        let (stage, seconds, mebibytes) =
            (pause.stage, pause.lasted.as_secs(), pause.bytes.div_ceil(1 << 20));
        let text = format!(
            "{why}: {stage} lasted {seconds} s, and {mebibytes} MiB of the stream came in it"
        );
        report(on_node(Finding::new(Code::SpoolFull, &options.source, text)));
    }
}
