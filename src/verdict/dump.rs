//! The verdict on an SQL dump: whether its last line is the completion line, and how its producer
//! ended.
//!
//! A dump that was cut between two statements imports without an error, and `--force` writes the
//! completion line after errors. So it takes both: the line, as the last one that is not blank and
//! between statements, and exit status 0 if the producer was seen to exit.
//!
//! A stream may hold several dumps: each of them must be whole. And what the dump programs always
//! write in pairs must be there in pairs.
//!
//! What it does not do: know whether the dump was made with `--single-transaction`, or with
//! routines, events and triggers: no dump says so.

use crate::base::producer::ProducerExit;
use crate::format::snapshot::Positions;
use crate::format::snapshot::Verdict;
use crate::parse::sql::DumpEnd;
use crate::parse::sql::DumpFacts;
use crate::parse::sql::DumpKind;
use crate::parse::sql::Flaw;
use crate::parse::sql::Oddity;
use crate::parse::sql::OddityKind;
use crate::parse::sql::Tool;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::Severity;
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
    /// Findings that leave the verdict as it is.
    pub findings: Vec<Finding>,
    /// What it says of itself.
    pub positions: Positions,
}

/// Judges a dump that has ended. `errors` are lines of the producer's standard error that are
/// errors of a dump program.
pub fn judge_dump(facts: DumpFacts, exit: ProducerExit, errors: &[String]) -> DumpConclusion {
    let mut verdict = Verdict::Complete;
    let mut checklist = Vec::new();
    let mut reasons = Vec::new();
    let ended = producer(exit);
    lower(&mut verdict, ended.outcome);
    checklist.push(Check { name: "producer", outcome: ended.outcome, detail: ended.detail });
    reasons.extend(ended.reason);
    reasons.extend(errors.iter().map(|line| {
        format!(
            "the producer reported '{line}': what it was doing is not in the dump, mend that and \
             dump again"
        )
    }));
    let (check, reason) = completion(&facts);
    lower(&mut verdict, check.outcome);
    checklist.push(check);
    reasons.extend(reason);
    if facts.kind == DumpKind::Statements {
        let counts = facts.counts;
        let detail = format!(
            "databases: {}, tables: {}, views: {}",
            counts.databases, counts.tables, counts.views
        );
        let is_good = facts.complaints.is_empty() && facts.flaws.is_empty();
        let outcome = if is_good { Outcome::Passed } else { Outcome::Failed };
        checklist.push(Check { name: "contents", outcome, detail });
    }
    if !(facts.complaints.is_empty() && facts.flaws.is_empty() && errors.is_empty()) {
        verdict = Verdict::Partial;
    }
    reasons.extend(facts.flaws.iter().map(|flaw| flaw_words(flaw, facts.dumps)));
    if facts.flaws_others > 0 {
        reasons.push(format!("the dump has {} more such faults", facts.flaws_others));
    }
    reasons.extend(facts.complaints.iter().map(|words| {
        format!(
            "the dump says '{words}': that object is missing, mend it or its definer's rights at \
             the source and dump again"
        )
    }));
    let mut findings: Vec<Finding> = facts.oddities.iter().map(finding).collect();
    if let Some(last) = findings.last_mut().filter(|_| facts.oddities_others > 0) {
        let others = format!(" (and {} more such places)", facts.oddities_others);
        last.text.push_str(&others);
    }
    if facts.end == DumpEnd::Unmarked {
        let text = "the program that wrote the dump marks no end, so that a whole dump can't be \
                    told from one that was cut between two statements";
        findings.push(Finding::new(Code::CannotJudge, "dump", text));
    }
    DumpConclusion { verdict, reasons, checklist, findings, positions: positions(facts) }
}

/// Lowers a verdict by the outcome of one check.
fn lower(verdict: &mut Verdict, outcome: Outcome) {
    match outcome {
        Outcome::Failed => *verdict = Verdict::Partial,
        Outcome::Unknown if *verdict == Verdict::Complete => *verdict = Verdict::Unattested,
        Outcome::Unknown | Outcome::Passed | Outcome::Skipped => {}
    }
}

/// Looks at the end of the dump.
fn completion(facts: &DumpFacts) -> (Check, Option<String>) {
    let check = |outcome, detail: &str| Check {
        name: "completion line",
        outcome,
        detail: detail.to_owned(),
    };
    match facts.end {
        DumpEnd::Completed => {
            let words = match (facts.kind, facts.tool) {
                (DumpKind::Xml, _) => "'</mysqldump>' is the last line",
                (DumpKind::Postgres, _) => "'PostgreSQL database dump complete' is the last line",
                (DumpKind::Mydumper, _) => "'Finished dump at' is the last line",
                (_, Some(Tool::Adminer)) => "the time of the end is the last line",
                (_, Some(Tool::Pump)) => "'Dump end time' is the last line",
                (_, Some(Tool::PhpMyAdmin | Tool::HeidiSql | Tool::Sqlite)) => {
                    "the last statement puts the session back"
                }
                _ => "'Dump completed' is the last line",
            };
            (check(Outcome::Passed, words), None)
        }
        DumpEnd::Unmarked => {
            let reason = "the program that wrote the dump marks no end: dump with mariadb-dump, \
                          whose last line shows that the dump is whole";
            (check(Outcome::Unknown, "this program writes none"), Some(reason.to_owned()))
        }
        DumpEnd::Between | DumpEnd::InStatement | DumpEnd::InValue => {
            (check(Outcome::Failed, "the dump does not end with it"), Some(unfinished(facts)))
        }
    }
}

/// Says what is wrong with a dump, and what to do.
fn flaw_words(flaw: &Flaw, dumps: u64) -> String {
    let lost = "a part of the dump was lost, dump again";
    let which = |number: u64| {
        if dumps > 1 { format!("dump {number} of {dumps}") } else { "the dump".to_owned() }
    };
    match flaw {
        Flaw::Broken { number, schema, end, last } => {
            let of = schema.as_ref().map_or(String::new(), |name| format!(" (of '{name}')"));
            let place = match end {
                DumpEnd::InValue => "inside a value of",
                DumpEnd::InStatement => "inside a statement of",
                DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked => "after a statement of",
            };
            format!(
                "{}{of} stops {place} {last}, without its last line, and another dump follows it: \
                 look at the producer's messages and dump again; in a shell, set -e ends a loop \
                 at the first failure",
                which(*number)
            )
        }
        Flaw::Empty { number } => format!(
            "{} holds no table, view, routine, account or schema at all: check the rights of the \
             account that dumps (SHOW GRANTS) and the producer's options",
            which(*number)
        ),
        Flaw::Message(line) => format!(
            "the dump holds the producer's message '{line}': what it was doing is not in the dump, \
             mend that and dump again, without 2>&1"
        ),
        Flaw::Rows { last } => format!("{last} has rows without their INSERT: {lost}"),
        Flaw::Text { last, text } => {
            format!("in {last} stands text that is no statement, '{text}': {lost}")
        }
        Flaw::Zeros { offset } => format!(
            "byte {offset} of the dump is zero, which no client reads: the dump was damaged on its \
             way or on a disk, dump again"
        ),
        Flaw::Dropped(name) => format!("'{name}' is dropped and not made again: {lost}"),
        Flaw::Locked(name) => {
            format!("table '{name}' is locked for its rows and not unlocked: {lost}")
        }
        Flaw::Placeholder(name) => {
            format!("view '{name}' has its placeholder only, not its definition: {lost}")
        }
        Flaw::Appended(text) => format!(
            "after the completion line follows '{text}', which belongs to no dump: find out what \
             writes it, and keep it out of the stream"
        ),
    }
}

/// Turns what is unusual into a finding.
fn finding(oddity: &Oddity) -> Finding {
    let (code, text) = match oddity.kind {
        OddityKind::Statement => (Code::SqlUnexpectedStatement, "a statement"),
        OddityKind::ClientCommand => (Code::SqlClientCommand, "a command to the client"),
        OddityKind::Text => (Code::ForeignText, "text that is no part of the dump"),
        OddityKind::Trailing => (Code::TrailingStatement, "after the completion line"),
        OddityKind::TrailingComment => {
            (Code::TrailingStatement, "a comment after the completion line")
        }
    };
    let found = Finding::new(code, oddity.place.clone(), format!("{text}: {}", oddity.text));
    if oddity.kind == OddityKind::TrailingComment {
        found.with_severity(Severity::Note)
    } else {
        found
    }
}

/// How the producer ended.
struct Ended {
    outcome: Outcome,
    detail: String,
    reason: Option<String>,
}

fn producer(exit: ProducerExit) -> Ended {
    let (outcome, detail, reason) = match exit {
        ProducerExit::Exited(0) => (Outcome::Passed, "exit status 0".to_owned(), None),
        ProducerExit::Unseen => (
            Outcome::Unknown,
            "how it ended was not seen".to_owned(),
            Some(
                "the producer's exit status is not known: let haulout run it, as in haulout backup \
                 -- mariadb-dump --all-databases"
                    .to_owned(),
            ),
        ),
        ProducerExit::Exited(code) => (
            Outcome::Failed,
            format!("exit status {code}"),
            Some(format!(
                "the producer ended with status {code}: its last messages say why; a dump with \
                 --force goes on after errors and lacks what they name"
            )),
        ),
        ProducerExit::Killed(signal) => (
            Outcome::Failed,
            format!("killed by signal {signal}"),
            Some(format!("the producer was killed by signal {signal}: run the dump again")),
        ),
        ProducerExit::Hung => (
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

/// Says why the dump is not finished.
fn unfinished(facts: &DumpFacts) -> String {
    const LOST: &str = "the connection or the producer broke off, look at the producer's messages \
                        and dump again";
    let last = &facts.last;
    match (facts.end, facts.kind) {
        (_, DumpKind::Xml) => format!("the dump does not end in </mysqldump>: {LOST}"),
        (_, DumpKind::Postgres) => {
            format!("the dump does not end in 'PostgreSQL database dump complete': {LOST}")
        }
        (_, DumpKind::Mydumper) => {
            format!("the dump does not end in mydumper's 'Finished dump at': {LOST}")
        }
        (DumpEnd::InValue, _) => format!("the dump stops inside a value of {last}: {LOST}"),
        (DumpEnd::InStatement, _) => {
            format!("the dump stops inside a statement of {last}: {LOST}")
        }
        (DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked, _) if !facts.has_comments => {
            format!(
                "the dump has no completion line, it stops after a statement of {last}: without \
                 that line a whole dump can't be told from a cut one, leave out --compact and \
                 --skip-comments"
            )
        }
        (DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked, _) => {
            format!("the dump stops after a statement of {last}, without its last line: {LOST}")
        }
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
