//! Findings as people read them, and the explanation of their codes.

use haulout::repo;
use haulout::repo::Severity;
use haulout::verdict::finding::Finding;

use crate::output::console::Loudness;
use crate::output::phrases::told;
use crate::output::report::Report;
use crate::output::text::Canvas;

impl Report {
    /// Prints what a run found around its work. Returns whether it has a warning.
    pub(crate) fn findings(&self, findings: &[Finding]) -> bool {
        let line =
            |Finding { code, object, text, .. }: &Finding| format!("{code}: {object}: {text}");
        let (warnings, notes): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.severity == Severity::Warning);
        notes.into_iter().for_each(|finding| self.console.note(line(finding)));
        self.warnings(&warnings.iter().map(|finding| line(finding)).collect::<Vec<_>>(), "");
        !warnings.is_empty()
    }

    /// Prints warnings: all of them, or in one line the first and how many more there are, with
    /// what `shows` them.
    pub(crate) fn warnings(&self, warnings: &[String], shows: &str) {
        let Some((first, others)) = warnings.split_first() else { return };
        if self.console.loudness != Loudness::Quiet {
            warnings.iter().for_each(|warning| self.console.warning(warning));
            return;
        }
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let shows = if shows.is_empty() { String::new() } else { format!(" ({shows})") };
        self.console.warning(format!("{first}{more}{shows}"));
    }
}

/// Returns the lines about the findings of a snapshot, of which `more` are not named.
pub(crate) fn lines(findings: &[repo::Finding], more: u64, canvas: Canvas) -> String {
    let line = |finding: &repo::Finding| {
        let repo::Finding { code, object, text, severity, accepted } = finding;
        let accepted = if *accepted { " (accepted)" } else { "" };
        told(&severity.to_string(), &format!("{code}: {object}: {text}{accepted}"), canvas)
    };
    let mut out: String = findings.iter().map(line).collect();
    if more > 0 {
        out += &told("", &format!("and {more} more: haulout show -v SNAPSHOT"), canvas);
    }
    out
}
