//! Findings as people read them, and the explanation of their codes.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::format::snapshot;
use haulout::format::snapshot::Severity;
use haulout::verdict::finding::Finding;

use crate::fail::exit::Exit;
use crate::tell::console::Loudness;
use crate::tell::phrases::told;
use crate::tell::report::Format;
use crate::tell::report::Report;
use crate::tell::report::print;
use crate::tell::report::print_json;
use crate::tell::text::Canvas;
use crate::verbs::errors::args::Topic;
use crate::verbs::errors::args::explained;
use crate::verbs::errors::args::kinds;

/// The JSON report of `errors` for one code of findings.
#[derive(Debug, Serialize)]
struct Explained {
    code: &'static str,
    severity: Severity,
    meaning: &'static str,
    advice: &'static str,
    can_be_accepted: bool,
}

/// The JSON report of `errors` for one error code.
#[derive(Debug, Serialize)]
struct ExplainedError {
    code: &'static str,
    exit_status: u8,
    meaning: &'static str,
    advice: &'static str,
    kinds: Vec<&'static str>,
}

/// The JSON report of `errors` for one topic.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Error(ExplainedError),
    Finding(Explained),
}

impl From<&Topic> for Entry {
    fn from(topic: &Topic) -> Entry {
        match *topic {
            Topic::Error(code) => Entry::Error(ExplainedError {
                code: code.as_str(),
                exit_status: Exit::after(code).status(),
                meaning: code.meaning(),
                advice: code.advice(),
                kinds: kinds(code),
            }),
            Topic::Finding(code) => Entry::Finding(Explained {
                code: code.as_str(),
                severity: code.severity(),
                meaning: code.meaning(),
                advice: code.advice(),
                can_be_accepted: code.can_be_accepted(),
            }),
        }
    }
}

impl Report {
    /// Explains codes; the explanation is the result, however quiet the program is to be.
    pub(crate) fn codes(&self, topics: &[Topic]) -> Result<()> {
        match self.format {
            Format::Json => print_json(&topics.iter().map(Entry::from).collect::<Vec<_>>()),
            Format::Text => print(&explained(topics, self.canvas)),
        }
    }

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
