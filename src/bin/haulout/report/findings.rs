//! Findings as people read them, and the explanation of their codes.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::format::snapshot;
use haulout::format::snapshot::Severity;
use haulout::verdict::finding::Code;
use haulout::verdict::finding::Finding;

use crate::args::errors::explained;
use crate::report::Format;
use crate::report::Report;
use crate::report::print;
use crate::report::print_json;
use crate::text::Canvas;
use crate::words::told;

/// Of `errors`, one a code.
#[derive(Debug, Serialize)]
struct Explained {
    code: &'static str,
    severity: Severity,
    meaning: &'static str,
    advice: &'static str,
    can_be_accepted: bool,
}

impl From<&Code> for Explained {
    fn from(code: &Code) -> Explained {
        Explained {
            code: code.as_str(),
            severity: code.severity(),
            meaning: code.meaning(),
            advice: code.advice(),
            can_be_accepted: code.can_be_accepted(),
        }
    }
}

impl Report {
    /// Explains codes; the explanation is the result, however quiet the program is to be.
    pub(crate) fn codes(&self, codes: &[Code]) -> Result<()> {
        match self.format {
            Format::Json => print_json(&codes.iter().map(Explained::from).collect::<Vec<_>>()),
            Format::Text => print(&explained(codes, self.canvas)),
        }
    }

    /// Prints what a run found around its work. Returns whether it has a warning.
    pub(crate) fn findings(&self, findings: &[Finding]) -> bool {
        for Finding { code, object, text, severity } in findings {
            match severity {
                Severity::Note => self.console.note(format!("{code}: {object}: {text}")),
                Severity::Warning => self.console.warning(format!("{code}: {object}: {text}")),
            }
        }
        findings.iter().any(|finding| finding.severity == Severity::Warning)
    }
}

/// Returns the lines about the findings of a snapshot, of which `more` are not named.
pub(crate) fn lines(findings: &[snapshot::Finding], more: u64, canvas: Canvas) -> String {
    let line = |finding: &snapshot::Finding| {
        let snapshot::Finding { code, object, text, severity, accepted } = finding;
        let accepted = if *accepted { " (accepted)" } else { "" };
        told(&severity.to_string(), &format!("{code}: {object}: {text}{accepted}"), canvas)
    };
    let mut out: String = findings.iter().map(line).collect();
    if more > 0 {
        out += &told("", &format!("and {more} more: haulout show -v SNAPSHOT"), canvas);
    }
    out
}
