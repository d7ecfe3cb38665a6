//! `errors`: explains the codes of errors and findings.

use clap::Args;
use haulout::error::ErrorCode;
use haulout::error::ErrorKind;
use haulout::repo::Severity;
use haulout::verdict::finding::Code;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;
use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::text::wrapped;

/// Explain the codes of errors and findings, and what to do about them
#[derive(Debug, Args)]
#[command(long_about = HEAD, after_long_help = EXAMPLE)]
pub(crate) struct ErrorsArguments {
    /// Explain this code only
    #[arg(value_name = "CODE", value_parser = topic)]
    pub(crate) code: Option<Topic>,
}

const EXAMPLE: &str = "\
Examples:
  haulout errors format-changed
  haulout errors store
  haulout errors | less";

const HEAD: &str = "\
Explain the codes of errors and findings, and what to do about them.

An error ends a command: what was asked for has not been done. Its code is printed after the \
hint, and its exit status is 1, or 2 for usage. With --json the object `error` has the code, a \
finer kind, the message, its causes and the hint.

A finding has a code, an object, a text and a severity. It never changes the verdict. A backup \
with a warning exits with 3; a note has no such effect. `backup --accept CODE[:GLOB]` turns \
warnings that are expected into notes; those marked with + can be accepted.";

const INDENT: &str = "  ";

/// Columns of the chapter in a file.
const PAGE_COLUMNS: usize = 80;

/// A code that can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The code of an error.
    Error(ErrorCode),
    /// The code of a finding.
    Finding(Code),
}

impl Topic {
    /// Returns all codes, those of errors first.
    pub(crate) fn all() -> Vec<Self> {
        let errors = ErrorCode::ALL.iter().copied().map(Topic::Error);
        errors.chain(Code::ALL.iter().copied().map(Topic::Finding)).collect()
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Error(code) => code.as_str(),
            Self::Finding(code) => code.as_str(),
        }
    }
}

/// Returns the chapter about all codes.
pub(crate) fn chapter(canvas: Canvas) -> String {
    let columns = canvas.columns.unwrap_or(PAGE_COLUMNS);
    let fitted = |paragraph| wrapped(paragraph, 0, canvas.with_columns(columns)) + "\n\n";
    let head: String = HEAD.split("\n\n").map(fitted).collect();
    head + &explained(&Topic::all(), canvas)
}

fn topic(text: &str) -> Result<Topic, String> {
    let named = Topic::all().into_iter().find(|topic| topic.as_str() == text);
    named.ok_or_else(|| "there is no such code; haulout errors lists them".to_owned())
}

/// Returns the names of the kinds that have this code.
fn kinds(code: ErrorCode) -> Vec<&'static str> {
    let of_code = ErrorKind::ALL.iter().filter(|kind| kind.code() == code);
    of_code.map(|kind| kind.as_str()).collect()
}

/// Explains codes, one after the other.
fn explained(topics: &[Topic], canvas: Canvas) -> String {
    let explain = |topic: &Topic| match *topic {
        Topic::Error(code) => explained_error(code, canvas),
        Topic::Finding(code) => explained_finding(code, canvas),
    };
    topics.iter().map(explain).collect::<Vec<_>>().join("\n")
}

fn explained_error(code: ErrorCode, canvas: Canvas) -> String {
    let head = format!(
        "{} (error, exit status {})",
        canvas.paint(Tone::Heading, code.as_str()),
        Exit::after(code).status()
    );
    let kinds = format!("Kinds in --json: {}.", kinds(code).join(", "));
    entry(&head, &[code.meaning(), code.advice(), &kinds], canvas)
}

fn explained_finding(code: Code, canvas: Canvas) -> String {
    let mark = if code.can_be_accepted() { " +" } else { "" };
    let name = canvas.paint(Tone::Heading, code.as_str());
    let head = format!("{name} ({}){mark}", code.severity());
    entry(&head, &[code.meaning(), code.advice()], canvas)
}

/// Returns a head line and, indented, one paragraph for each text.
fn entry(head: &str, texts: &[&str], canvas: Canvas) -> String {
    let indented = |text: &&str| format!("\n{INDENT}{}", wrapped(text, INDENT.len(), canvas));
    format!("{head}{}\n", texts.iter().map(indented).collect::<String>())
}

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
    fn from(topic: &Topic) -> Self {
        match *topic {
            Topic::Error(code) => Self::Error(ExplainedError {
                code: code.as_str(),
                exit_status: Exit::after(code).status(),
                meaning: code.meaning(),
                advice: code.advice(),
                kinds: kinds(code),
            }),
            Topic::Finding(code) => Self::Finding(Explained {
                code: code.as_str(),
                severity: code.severity(),
                meaning: code.meaning(),
                advice: code.advice(),
                can_be_accepted: code.can_be_accepted(),
            }),
        }
    }
}

impl ErrorsArguments {
    /// Explains the codes that are asked for.
    pub(crate) fn run(&self, report: &Report) -> Outcome<Exit> {
        let topics = self.code.map_or_else(Topic::all, |topic| vec![topic]);
        // The explanation is the result, however quiet the program is to be.
        match report.format {
            Format::Json => print_json(&topics.iter().map(Entry::from).collect::<Vec<_>>())?,
            Format::Text => print(&explained(&topics, report.canvas))?,
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_help_explains_every_code() {
        let help = chapter(Canvas::PAGE);
        for code in Code::ALL {
            assert!(help.contains(&format!("\n{code} (")), "{code}");
        }
        for code in ErrorCode::ALL {
            let status = if *code == ErrorCode::Usage { 2 } else { 1 };
            let entry = format!("\n{code} (error, exit status {status})\n  ");
            assert!(help.contains(&entry), "{code}: {help}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
        assert!(help.contains("\n\nA finding has a code, an object"), "{help}");
    }

    #[test]
    fn every_kind_stands_with_its_code() {
        for kind in ErrorKind::ALL {
            let explained = explained(&[Topic::Error(kind.code())], Canvas::FILE);
            let (_, kinds) = explained.split_once("  Kinds in --json: ").expect("it lists them");
            let mut kinds = kinds.trim_end().trim_end_matches('.').split(", ");
            assert!(kinds.any(|name| name == kind.as_str()), "{kind:?}: {explained}");
        }
    }

    #[test]
    fn no_spelling_means_an_error_and_a_finding() {
        let spellings: HashSet<&str> = Topic::all().iter().map(|topic| topic.as_str()).collect();
        assert_eq!(spellings.len(), ErrorCode::ALL.len() + Code::ALL.len());
        assert_eq!(topic("store"), Ok(Topic::Error(ErrorCode::Store)));
        assert_eq!(topic("lost-members"), Ok(Topic::Finding(Code::LostMembers)));
        assert!(topic("no-such-code").is_err());
    }
}
