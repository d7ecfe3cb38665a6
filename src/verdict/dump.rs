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
//! It does not know whether the dump was made with `--single-transaction`, or with routines, events
//! and triggers: no dump says so.

use crate::format::snapshot::Positions;
use crate::format::snapshot::StreamFormat;
use crate::parse::sql::DumpEnd;
use crate::parse::sql::DumpFacts;
use crate::parse::sql::DumpKind;
use crate::parse::sql::Oddity;
use crate::parse::sql::OddityKind;
use crate::parse::sql::Tool;
use crate::parse::sql::is_dump_error;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::evidence::Producer;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::Severity;
use crate::verdict::reason::Reason;
use crate::verdict::reason::dump::DumpReason;
use crate::verdict::reason::dump::Unfinished;
use crate::verdict::reason::producer::ProducerReason;

/// Judges a dump that has ended.
pub(super) fn judge(facts: DumpFacts, producer: &Producer) -> Conclusion {
    let mut checks = vec![Check::of_exit(producer.exit), completion(&facts)];
    checks.extend((facts.kind == DumpKind::Statements).then(|| contents(&facts)));
    Conclusion {
        reasons: reasons(&facts, producer),
        checks,
        findings: findings(&facts),
        positions: positions(facts),
        ..Conclusion::new(StreamFormat::Sql)
    }
}

fn reasons(facts: &DumpFacts, producer: &Producer) -> Vec<Reason> {
    let ended = ProducerReason::new(producer.exit, StreamFormat::Sql);
    let errors = producer.errors.iter().filter(|line| is_dump_error(line.as_bytes()));
    let others = facts.flaws_others;
    let of_the_dump = errors
        .map(|line| DumpReason::Reported(line.clone()))
        .chain(end_reason(facts))
        .chain(facts.flaws.iter().map(|flaw| {
            let (flaw, dumps) = (flaw.clone(), facts.dumps);
            DumpReason::Flaw { flaw, dumps }
        }))
        .chain((others > 0).then_some(DumpReason::MoreFlaws(others)))
        .chain(facts.complaints.iter().cloned().map(DumpReason::Complaint));
    ended.map(Reason::Producer).into_iter().chain(of_the_dump.map(Reason::Dump)).collect()
}

fn findings(facts: &DumpFacts) -> Vec<Finding> {
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
    findings
}

fn contents(facts: &DumpFacts) -> Check {
    let counts = facts.counts;
    let detail = format!(
        "databases: {}, tables: {}, views: {}",
        counts.databases, counts.tables, counts.views
    );
    let faults = facts.complaints.len() + facts.flaws.len();
    Check::new(CheckName::Contents, Outcome::of_faults(faults), detail)
}

/// Returns why the end of the dump lowers the verdict, if it does.
fn end_reason(facts: &DumpFacts) -> Option<DumpReason> {
    match facts.end {
        DumpEnd::Completed => None,
        DumpEnd::Unmarked => Some(DumpReason::NoMark),
        DumpEnd::Between | DumpEnd::InStatement | DumpEnd::InValue => {
            Some(DumpReason::Unfinished(Unfinished::from(facts)))
        }
    }
}

/// Looks at the end of the dump.
fn completion(facts: &DumpFacts) -> Check {
    let check = |outcome, detail: &str| Check::new(CheckName::CompletionLine, outcome, detail);
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
            check(Outcome::Passed, words)
        }
        DumpEnd::Unmarked => check(Outcome::Unknown, "this program writes none"),
        DumpEnd::Between | DumpEnd::InStatement | DumpEnd::InValue => {
            check(Outcome::Failed, "the dump does not end with it")
        }
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
