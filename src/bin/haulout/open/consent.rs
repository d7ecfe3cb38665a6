//! Consent to what can't be undone: `--yes`, or an answer on the terminal.

use clap::Args;
use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::secrets::prompt::Terminal;

/// The option that takes the place of an answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ConsentArguments {
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may be done.
    Yes,
    /// It may not be done.
    No,
    /// There is no terminal to ask on, and `--yes` was not given.
    Unasked,
}

/// The hint after an answer that was not yes.
const DECLINED: &str = "nothing was changed; answer y, or give --yes";
/// The hint where no question can be asked.
const UNASKED: &str = "look at what --plan prints, then run the command with --yes";

impl Run<'_> {
    /// Tells whether an action would be consented to without or by a question.
    pub(crate) fn can_consent(&self, typed: ConsentArguments) -> bool {
        typed.yes || self.terminal().is_some()
    }

    /// The terminal to ask on. A program that reads JSON is no person.
    fn terminal(&self) -> Option<Terminal> {
        if self.report.is_json() { None } else { Terminal::open() }
    }

    /// Asks a question that `--yes` answers as well.
    pub(crate) fn answer(&self, typed: ConsentArguments, question: &str) -> Outcome<Answer> {
        if typed.yes {
            return Ok(Answer::Yes);
        }
        let Some(mut terminal) = self.terminal() else { return Ok(Answer::Unasked) };
        let monitor = &self.world.monitor;
        let answer = terminal.ask(&format!("{question} [y/N] "), monitor).unwrap_or_default();
        monitor.check()?;
        let is_yes = ["y", "yes"].contains(&answer.to_lowercase().as_str());
        Ok(if is_yes { Answer::Yes } else { Answer::No })
    }

    /// Asks a question to which only `wanted` is a yes, letter by letter.
    pub(crate) fn answer_in_full(
        &self,
        typed: ConsentArguments,
        question: &str,
        wanted: &str,
    ) -> Outcome<Answer> {
        if typed.yes {
            return Ok(Answer::Yes);
        }
        let Some(mut terminal) = self.terminal() else { return Ok(Answer::Unasked) };
        let monitor = &self.world.monitor;
        let answer = terminal.ask(question, monitor).unwrap_or_default();
        monitor.check()?;
        Ok(if answer == wanted { Answer::Yes } else { Answer::No })
    }

    /// Fails unless an action may be done. `what` says of it what has to be known before.
    pub(crate) fn require_consent(
        &self,
        typed: ConsentArguments,
        question: &str,
        what: &str,
    ) -> Outcome<()> {
        match self.answer(typed, question)? {
            Answer::Yes => Ok(()),
            Answer::No => Err(Failure::new(Error::cancelled(), DECLINED)),
            Answer::Unasked => Err(unasked(what)),
        }
    }
}

/// Returns the failure of an action that needs `--yes`.
pub(crate) fn unasked(what: &str) -> Failure {
    Failure::new(Error::new(ErrorKind::Usage, what), UNASKED)
}
