//! `slot`: agrees with other hosts on which of them runs a job at one of its times.
//!
//! `run --scheduled` calls it; it is in no list of commands, since nothing else needs it.

use std::time::Duration;

use clap::Args;
use clap::ValueEnum;
use haulout::ops::slot;
use haulout::ops::slot::Claim;
use haulout::ops::slot::Counts;
use haulout::ops::slot::Entrant;
use haulout::ops::slot::SlotEvent;
use haulout::ops::slot::Taken;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::values::duration;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::verbs::job::Job;

/// The time between a claim and the look at the claims of others.
const SETTLE: Duration = Duration::from_secs(10);

/// Claims that are withdrawn since the store was slow, before one is taken as it is.
const WITHDRAWALS_MAX: u32 = 5;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db slot last nightly --at 1796059680 --node db3";

/// Agree with other hosts on which one runs a job
#[derive(Debug, Args)]
#[command(hide = true, after_long_help = EXAMPLE)]
pub(crate) struct SlotArguments {
    /// What to do
    #[arg(value_name = "ACTION")]
    pub(crate) action: SlotAction,

    /// The name of the job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// The scheduled time, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    pub(crate) at: u64,

    /// The node of the cluster on this host
    #[arg(long, value_name = "NODE")]
    pub(crate) node: String,

    /// How many other nodes are better
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) rank: u32,

    /// Time without progress after which the next host takes over
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    pub(crate) takeover: Duration,

    /// The claim that was won
    #[arg(long, value_name = "CLAIM", default_value = "")]
    pub(crate) claim: String,

    /// How many claims before it were given up
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) generation: u32,

    /// The result of the run
    #[arg(long, value_name = "WORD", default_value = "")]
    pub(crate) result: String,
}

/// What is done about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SlotAction {
    /// Print the node of the last run, and what became of it.
    Last,
    /// Claim the slot, and wait until it is won or the job has been run.
    Take,
    /// Tell that the run goes on.
    Progress,
    /// Tell that the run has ended.
    End,
}

/// The JSON report of `slot`.
#[derive(Debug, Default, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    won: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<bool>,
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

impl Job for SlotArguments {
    fn traits(&self) -> Traits {
        let effect = match self.action {
            SlotAction::Last => Effect::Reads,
            SlotAction::Take | SlotAction::Progress | SlotAction::End => Effect::Adds,
        };
        Traits { effect, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        let told = self.tell(run)?;
        run.report.result(&told, || format!("{told:?}\n"))?;
        Ok(Exit::Done)
    }
}

impl SlotArguments {
    fn tell(&self, run: &Run<'_>) -> Outcome<Told> {
        let repository = run.repository()?;
        let entrant = Entrant {
            job: self.job.clone(),
            slot: self.at,
            host: run.settings.host.clone(),
            node: self.node.clone(),
            rank: self.rank,
            takeover: self.takeover,
            settle: SETTLE.min(self.takeover / 4),
            withdrawals_max: WITHDRAWALS_MAX,
        };
        let event = match self.action {
            SlotAction::Last => {
                let last = slot::last(&repository, &self.job, self.at)?;
                return Ok(last.map_or_else(Told::default, |last| Told {
                    node: Some(last.node),
                    time: Some(last.time),
                    result: Some(last.result),
                    ..Told::default()
                }));
            }
            SlotAction::Take => {
                return Ok(match slot::take(&repository, &entrant, &run.world)? {
                    Taken::Won(Claim { id, generation }) => Told {
                        won: Some(true),
                        claim: Some(id),
                        generation: Some(generation),
                        ..Told::default()
                    },
                    Taken::Elsewhere(end) => Told {
                        won: Some(false),
                        node: Some(end.node),
                        time: Some(end.time),
                        result: Some(end.result),
                        ..Told::default()
                    },
                });
            }
            SlotAction::Progress => SlotEvent::Progress,
            SlotAction::End => SlotEvent::End,
        };
        let claim = Claim { id: self.claim.clone(), generation: self.generation };
        let event = (event, self.result.clone());
        let counts = slot::tell(&repository, &entrant, &claim, event, &run.world)?;
        Ok(Told { counts: Some(counts == Counts::Yes), ..Told::default() })
    }
}
