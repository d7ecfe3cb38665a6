//! Carries out a step of a plan, or takes back what the steps of this host did.

use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::world::Monitor;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::consent::unasked;
use crate::output::report::Report;
use crate::output::units;
use crate::rescue::act;
use crate::rescue::act::Failed;
use crate::rescue::act::Journal;
use crate::rescue::plan::Plan;
use crate::rescue::steps::Step;
use crate::secrets::prompt::Terminal;
use crate::verbs::rescue::args::StepArguments;
use crate::verbs::rescue::args::UndoArguments;
use crate::verbs::rescue::plan_steps::in_words;

impl StepArguments {
    pub(super) fn run(&self, host: &str, report: &Report) -> Outcome<Exit> {
        let plan = Plan::read(&self.plan)?;
        let step = plan.step(self.number)?;
        if step.host != host {
            let told = StepDone { step: step.number, host: &step.host, commands: 0, reverses: 0 };
            report.result(&told, || {
                format!(
                    "step {} is for {}, this host is {host}; to be run there:{}",
                    step.number,
                    step.host,
                    in_words(step, report.canvas)
                )
            })?;
            return Ok(Exit::Done);
        }
        let mut journal = open_journal(&self.plan, &plan, host)?;
        if step.asks && !self.consents(step, report)? {
            let hint = "nothing was done; answer y, or give --yes";
            return Err(Failure::new(Error::cancelled(), hint));
        }
        let tell = |words: &str| report.console.note(words);
        let mut ended = act::carry_out(step, &mut journal, &tell).map(|count| (count, 0));
        if step.ends {
            ended = ended.and_then(|(count, _)| {
                Ok((count, act::take_back(&plan, host, &mut journal, &tell)?))
            });
        }
        let (commands, reverses) =
            ended.map_err(|failed| self.failure(&failed, &journal, &plan))?;
        let done = StepDone { step: step.number, host: &step.host, commands, reverses };
        report.result(&done, || {
            let next = plan.steps.iter().find(|next| next.number == step.number + 1);
            let next = next.map_or("it was the last one".to_owned(), |next| {
                format!("next: step {} on {}", next.number, next.host)
            });
            format!("step {} is done; {next}\n", step.number)
        })?;
        Ok(Exit::Done)
    }

    fn consents(&self, step: &Step, report: &Report) -> Outcome<bool> {
        if self.consent.yes {
            return Ok(true);
        }
        let terminal = if report.is_json() { None } else { Terminal::open() };
        let Some(mut terminal) = terminal else {
            return Err(unasked("the step changes data or keeps clients away"));
        };
        terminal.say(&in_words(step, report.canvas));
        let answer = terminal.ask("do it? [y/N] ", &Monitor::default()).unwrap_or_default();
        Ok(["y", "yes"].contains(&answer.to_lowercase().as_str()))
    }

    fn failure(&self, failed: &Failed, journal: &Journal, plan: &Plan) -> Failure {
        let failure = failed_command(failed);
        let host = &plan.steps.iter().find(|step| step.number == self.number);
        let host = host.map_or("", |step| step.host.as_str());
        let reverses = journal.reverses(plan, host);
        let words: Vec<&str> = reverses.iter().map(|reverse| reverse.words).collect();
        let again = format!("mend it and run haulout rescue step {} again", self.number);
        failure.with_hint(if words.is_empty() {
            again
        } else {
            format!(
                "{again}; clients are kept away until then, or until haulout rescue undo runs: {}",
                words.join("; ")
            )
        })
    }
}

/// The JSON report of a step.
#[derive(Debug, Serialize)]
struct StepDone<'s> {
    step: u32,
    host: &'s str,
    /// Commands that were run now.
    commands: u32,
    /// Reverses that were run now.
    reverses: u32,
}

fn open_journal(path: &Path, plan: &Plan, host: &str) -> Outcome<Journal> {
    Journal::open(path, plan, host).map_err(|error| {
        let error = Error::new(ErrorKind::Usage, "cannot read the journal").because(error);
        Failure::new(error, "the journal lies beside the plan; make it readable")
    })
}

fn failed_command(failed: &Failed) -> Failure {
    let error = match failed {
        Failed::Command(words, status) => {
            Error::new(ErrorKind::Source, format!("a command failed: {words}"))
                .because(status.to_string())
        }
        Failed::Io(error) => {
            Error::new(ErrorKind::Source, "cannot carry out the step").because(error.to_string())
        }
    };
    Failure::from(error)
}

impl UndoArguments {
    pub(super) fn run(&self, host: &str, report: &Report) -> Outcome<Exit> {
        let plan = Plan::read(&self.plan)?;
        let mut journal = open_journal(&self.plan, &plan, host)?;
        let tell = |words: &str| report.console.note(words);
        let reverses = act::take_back(&plan, host, &mut journal, &tell).map_err(|failed| {
            let hint = format!("see {}", journal.path().display());
            failed_command(&failed).with_hint(hint)
        })?;
        let done = StepDone { step: 0, host, commands: 0, reverses };
        report.result(&done, || match reverses {
            0 => format!("nothing is to be taken back on {host}\n"),
            count => format!("took back {} on {host}\n", units::counted(count.into(), "command")),
        })?;
        Ok(Exit::Done)
    }
}
