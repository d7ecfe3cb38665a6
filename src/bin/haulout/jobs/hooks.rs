//! Programs that a job runs before and after its steps.
//!
//! They are started without a shell, with what they may want to know in variables `HAULOUT_*`, and
//! are ended when their time is over. One that fails is a finding, unless it is required: then the
//! job fails, and before the steps none of them is run.

use std::process::Command;
use std::time::Duration;

use haulout::source::child::withhold_secrets;

use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::grammar::values::duration;
use crate::jobs::child;
use crate::jobs::child::Messages;
use crate::jobs::child::Until;
use crate::jobs::notify;

/// The time that a hook may take, if nothing else is said.
const TIME: Duration = Duration::from_mins(1);

/// The moment at which a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
    Failed,
    Finally,
}

impl Moment {
    /// Returns the word for the moment.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Failed => "failed",
            Self::Finally => "finally",
        }
    }
}

/// A program that is run at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hook {
    /// The program and its arguments; never empty.
    command: Vec<String>,
    time: Duration,
    is_required: bool,
}

/// The hooks of a job.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    before: Vec<Hook>,
    after: Vec<Hook>,
    failed: Vec<Hook>,
    last: Vec<Hook>,
}

/// What the hooks of a moment came to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// What went wrong, a line each.
    pub(crate) problems: Vec<String>,
    /// True if one of these hooks was required.
    pub(crate) is_failure: bool,
}

impl Hooks {
    /// Reads the hooks of a job.
    pub(crate) fn new(table: Option<&Table>) -> Self {
        let of = |moment: Moment| {
            let list = table.map_or(&[][..], |table| table.list(moment.word()));
            list.iter().filter_map(|value| Hook::new(value.as_table()?)).collect()
        };
        Self {
            before: of(Moment::Before),
            after: of(Moment::After),
            failed: of(Moment::Failed),
            last: of(Moment::Finally),
        }
    }

    /// Returns the command lines of all hooks, with the moments at which they run.
    pub(crate) fn lines(&self) -> Vec<(Moment, &[String])> {
        [Moment::Before, Moment::After, Moment::Failed, Moment::Finally]
            .into_iter()
            .flat_map(|moment| self.of(moment).iter().map(move |hook| (moment, &*hook.command)))
            .collect()
    }

    /// Tells whether there is a hook for a moment.
    pub(crate) fn has(&self, moment: Moment) -> bool {
        !self.of(moment).is_empty()
    }

    fn of(&self, moment: Moment) -> &[Hook] {
        match moment {
            Moment::Before => &self.before,
            Moment::After => &self.after,
            Moment::Failed => &self.failed,
            Moment::Finally => &self.last,
        }
    }

    /// Runs the hooks of a moment, with these variables. None is given more than `time_max`.
    pub(crate) fn run(
        &self,
        moment: Moment,
        variables: &[(&str, String)],
        messages: &Messages<'_>,
        time_max: Duration,
    ) -> Ran {
        let mut ran = Ran::default();
        for hook in self.of(moment) {
            let mut command = hook.command(moment, variables);
            let time = hook.time.min(time_max);
            let Some(why) = Hook::run(&mut command, messages, time) else { continue };
            ran.problems.push(format!("the hook {} {why}", hook.command.join(" ")));
            ran.is_failure |= hook.is_required;
        }
        ran
    }
}

impl Hook {
    fn new(table: &Table) -> Option<Self> {
        let command = table.texts("command");
        let is_required =
            table.get("required").is_some_and(|entry| entry.value.data == Data::Flag(true));
        let time = table.text("timeout").and_then(|text| duration(text).ok()).unwrap_or(TIME);
        (!command.is_empty()).then_some(Self { command, time, is_required })
    }

    fn command(&self, moment: Moment, variables: &[(&str, String)]) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        withhold_secrets(&mut command);
        command.env_remove(notify::VARIABLE);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("HAULOUT_HOOK", moment.word());
        command
    }

    /// Runs the program, and returns what went wrong.
    fn run(command: &mut Command, messages: &Messages<'_>, time: Duration) -> Option<String> {
        match child::run(command, messages, &Until::Over(time)) {
            Err(error) => Some(format!("could not be started: {error}")),
            Ok(ended) if ended.is_late => Some(format!("was ended after {} s", time.as_secs())),
            Ok(ended) if !ended.status.success() => Some(format!("failed: {}", ended.status)),
            Ok(_) => None,
        }
    }
}
