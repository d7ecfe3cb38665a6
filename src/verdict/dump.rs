//! The verdict on an SQL dump: whether its last line is the completion line, and how its producer
//! ended.
//!
//! A dump that was cut between two statements imports without an error, and `--force` writes the
//! completion line after errors. So it takes both: the line, as the last one that is not blank and
//! between statements, and exit status 0 if the producer was seen to exit.
//!
//! What it does not do: know whether the dump was made with `--single-transaction`, or with
//! routines, events and triggers: no dump says so.

use crate::format::snapshot::Positions;
use crate::format::snapshot::Verdict;
use crate::parse::sql::DumpEnd;
use crate::parse::sql::DumpFacts;
use crate::parse::sql::DumpKind;
use crate::verdict::conclude::Exit;
use crate::verdict::finding::Finding;
use crate::verdict::reason::Check;
use crate::verdict::reason::Outcome;

/// What is to be said of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpConclusion {
    /// How far it can be trusted.
    pub verdict: Verdict,
    /// Why not further, in words.
    pub reasons: Vec<String>,
    /// What was looked at.
    pub checklist: Vec<Check>,
    /// What somebody should look at all the same.
    pub findings: Vec<Finding>,
    /// What it says of itself.
    pub positions: Positions,
}

/// Judges a dump that has ended.
pub fn judge_dump(facts: DumpFacts, exit: Exit) -> DumpConclusion {
    let mut checklist = Vec::new();
    let mut reasons = Vec::new();
    let mut verdict = Verdict::Complete;
    let mut note = |name, outcome, detail: String, reason: Option<String>| {
        checklist.push(Check { name, outcome, detail });
        reasons.extend(reason);
    };
    let ended = producer(exit);
    if ended.outcome == Outcome::Unknown {
        verdict = Verdict::Unattested;
    } else if ended.outcome == Outcome::Failed {
        verdict = Verdict::Partial;
    }
    note("producer", ended.outcome, ended.detail, ended.reason);
    match unfinished(&facts) {
        None => {
            let line = if facts.kind == DumpKind::Xml { "</mysqldump>" } else { "Dump completed" };
            note("completion line", Outcome::Passed, format!("'{line}' is the last line"), None);
        }
        Some(reason) => {
            verdict = Verdict::Partial;
            let detail = "the dump does not end with it".to_owned();
            note("completion line", Outcome::Failed, detail, Some(reason));
        }
    }
    if facts.kind == DumpKind::Statements {
        let counts = facts.counts;
        let detail = format!(
            "databases: {}, tables: {}, views: {}",
            counts.databases, counts.tables, counts.views
        );
        let outcome = if facts.complaints.is_empty() { Outcome::Passed } else { Outcome::Failed };
        note("contents", outcome, detail, None);
    }
    if !facts.complaints.is_empty() {
        verdict = Verdict::Partial;
        reasons.extend(facts.complaints.iter().map(|words| {
            format!(
                "the dump says '{words}': that object is missing, mend it or its definer's rights \
                 at the source and dump again"
            )
        }));
    }
    let findings = Vec::new();
    DumpConclusion { verdict, reasons, checklist, findings, positions: positions(facts) }
}

/// How the producer ended.
struct Ended {
    outcome: Outcome,
    detail: String,
    reason: Option<String>,
}

fn producer(exit: Exit) -> Ended {
    let (outcome, detail, reason) = match exit {
        Exit::Succeeded => (Outcome::Passed, "exit status 0".to_owned(), None),
        Exit::Unknown => (
            Outcome::Unknown,
            "how it ended was not seen".to_owned(),
            Some(
                "the producer's exit status is not known: let haulout run it, as in haulout backup \
                 -- mariadb-dump --all-databases"
                    .to_owned(),
            ),
        ),
        Exit::Failed(code) => (
            Outcome::Failed,
            format!("exit status {code}"),
            Some(format!(
                "the producer ended with status {code}: its last messages say why; a dump with \
                 --force goes on after errors and lacks what they name"
            )),
        ),
        Exit::Killed(signal) => (
            Outcome::Failed,
            format!("killed by signal {signal}"),
            Some(format!("the producer was killed by signal {signal}: run the dump again")),
        ),
        Exit::Hung => (
            Outcome::Failed,
            "it hung".to_owned(),
            Some(
                "the producer closed its stream and did not end: its last messages say why, run \
                 the dump again"
                    .to_owned(),
            ),
        ),
    };
    Ended { outcome, detail, reason }
}

/// Why the dump is not finished, if it is not.
fn unfinished(facts: &DumpFacts) -> Option<String> {
    const LOST: &str = "the connection or the producer broke off, look at the producer's messages \
                        and dump again";
    let last = &facts.last;
    match (facts.end, facts.kind) {
        (DumpEnd::Completed, _) => None,
        (_, DumpKind::Xml) => Some(format!("the dump does not end in </mysqldump>: {LOST}")),
        (DumpEnd::InValue, _) => Some(format!("the dump stops inside a value of {last}: {LOST}")),
        (DumpEnd::InStatement, _) => {
            Some(format!("the dump stops inside a statement of {last}: {LOST}"))
        }
        (DumpEnd::Between, _) if !facts.has_comments => Some(format!(
            "the dump has no completion line, it stops behind a statement of {last}: without that \
             line a whole dump can't be told from a cut one, leave out --compact and \
             --skip-comments"
        )),
        (DumpEnd::Between, _) => Some(format!(
            "the dump stops behind a statement of {last}, without its last line: {LOST}"
        )),
    }
}

fn positions(facts: DumpFacts) -> Positions {
    let said = facts.said;
    Positions {
        binlog_file: said.binlog_file,
        binlog_position: said.binlog_position,
        gtid: said.gtid,
        server_version: said.server_version,
        tool_version: said.tool_version,
        end_time: said.end_time,
        ..Positions::default()
    }
}
