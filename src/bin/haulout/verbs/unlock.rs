//! `unlock`: says that there are no locks, and which runs stand.

use clap::Args;
use haulout::error::Result;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::phrases::fact;
use crate::output::phrases::told;
use crate::output::report::Report;
use crate::output::standing::Standing;
use crate::output::standing::StandingJson;
use crate::output::text::clean;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db unlock

After a backup, replicate or repair was killed there is nothing to do. A prune that was killed \
makes replicates wait until haulout prune --abandon RUN says that it is dead.";

/// Explain why there is nothing to unlock
///
/// haulout has no locks: commands run beside each other. A run that stands has an intent, which
/// keeps what it relies on. Names the runs that stand, and what ends them if they were killed.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct UnlockArguments {}

impl Job for UnlockArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.unlock()
    }
}

impl Run<'_> {
    /// Says that there are no locks, and which runs stand.
    fn unlock(&self) -> Outcome<Exit> {
        let repository = self.repository()?;
        let standing = repository.standing()?;
        let runs: Vec<Standing> = standing.runs.iter().map(Standing::from).collect();
        let unread: Vec<String> = standing.unread.iter().map(|(run, _)| run.to_string()).collect();
        self.report.unlock(&repository.store().location(), &runs, &unread)?;
        Ok(Exit::Done)
    }
}

/// The JSON report of `unlock`.
#[derive(Debug, Serialize)]
struct Unlocked<'r> {
    repository: &'r str,
    /// Always empty: there are none.
    locks: [(); 0],
    /// The runs that stand.
    runs: Vec<StandingJson>,
    /// Runs whose intents can't be read.
    unread: &'r [String],
}

impl Report {
    /// Prints the report of `unlock`.
    fn unlock(&self, place: &str, runs: &[Standing], unread: &[String]) -> Result<()> {
        let runs_json = runs.iter().copied().map(StandingJson::from).collect();
        let value = Unlocked { repository: place, locks: [], runs: runs_json, unread };
        self.result(&value, || {
            let mut text = format!("{} has no locks: there is nothing to unlock\n", clean(place));
            for run in runs {
                text += &fact("run", &run.words(self.canvas));
            }
            text.extend(unread.iter().map(|run| fact("run", &format!("{run} (unreadable)"))));
            if runs.iter().any(|run| !run.verb.deletes()) {
                text += &told("killed", KILLED, self.canvas);
            }
            let deleters = runs.iter().filter(|run| run.verb.deletes());
            text.extend(deleters.map(|run| {
                let (verb, command) = (run.verb.name(), run.command());
                let words = format!("after a {verb} was killed, {command} lets replicates go on");
                told("killed", &words, self.canvas)
            }));
            text
        })
    }
}

/// What is to be done after a run that deletes nothing was killed.
const KILLED: &str = "after a backup, replicate or repair was killed nothing has to be done; \
                      haulout prune --break RUN frees what is kept for it";
