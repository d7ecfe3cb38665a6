//! The turn of this host among those that are ready to run a job: the contest of
//! [`haulout::ops::slot`], by commands of this program, and the records of a run that has won.
//!
//! A thread tells the others that the run goes on, as long as its steps read or write anything: a
//! step that hangs is taken for dead, and another node takes over.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::shared::crew;
use haulout::world::Monitor;
use serde_json::Value;

use crate::environment::PARENT_VARIABLE;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::child;
use crate::jobs::child::Messages;
use crate::jobs::child::Until;
use crate::proc_status::bytes_of_children;
use crate::signals::Stop;

/// The time that it may take to tell the others of progress, or of the end. A store that is away
/// for longer must not hold a run that has ended.
const TELLING_TIME: Duration = Duration::from_mins(1);

/// A slot of a job, as the commands name it.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// The path of this program.
    pub(crate) program: PathBuf,
    /// The arguments that all commands of the job have.
    pub(crate) common: Vec<String>,
    /// The name of the job.
    pub(crate) job: String,
    /// The scheduled time, seconds since 1970.
    pub(crate) slot: i64,
    /// The node on this host.
    pub(crate) node: String,
    /// The time without progress after which another node takes over.
    pub(crate) takeover: Duration,
}

/// What became of the contest.
pub(crate) enum Contest {
    /// This host runs the job.
    Won(Won),
    /// Another host has run it.
    Elsewhere(Elsewhere),
}

/// A run of the job by another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The node that was backed up.
    pub(crate) node: String,
    /// The word for its result.
    pub(crate) result: String,
    /// Its end, seconds since 1970.
    pub(crate) time: u64,
}

impl Elsewhere {
    fn of(printed: &Value) -> Option<Self> {
        let text = |key: &str| printed[key].as_str().map(str::to_owned);
        let time = printed["time"].as_u64()?;
        Some(Self { node: text("node")?, result: text("result")?, time })
    }
}

/// A claim that was won, and the thread that tells of its progress.
pub(crate) struct Won {
    turn: Turn,
    claim: Vec<String>,
    ended: Arc<Monitor>,
    telling: Option<JoinHandle<bool>>,
}

impl Turn {
    /// Returns the last run of the job on any host, if it is known.
    pub(crate) fn last(&self, stop: &Stop, monitor: &Monitor) -> Outcome<Option<Elsewhere>> {
        self.ask("last", &[], &Until::Stopped(stop, monitor)).map(|printed| Elsewhere::of(&printed))
    }

    /// Takes part in the contest until this host has won it, or another one has run the job.
    pub(crate) fn take(self, rank: u32, stop: &Stop, monitor: &Monitor) -> Outcome<Contest> {
        let rank = format!("--rank={rank}");
        let takeover = format!("--takeover={}s", self.takeover.as_secs());
        let printed = self.ask("take", &[rank, takeover], &Until::Stopped(stop, monitor))?;
        let text = |key: &str| printed[key].as_str().unwrap_or_default().to_owned();
        if let Some(elsewhere) = Elsewhere::of(&printed) {
            return Ok(Contest::Elsewhere(elsewhere));
        }
        let generation = printed["generation"].as_u64().unwrap_or_default();
        let claim =
            vec![format!("--claim={}", text("claim")), format!("--generation={generation}")];
        let ended: Arc<Monitor> = Arc::default();
        let (turn, own, until) = (self.clone(), claim.clone(), Arc::clone(&ended));
        let telling = crew::start("progress", move || turn.tell(&own, &until));
        let telling = telling.map_err(|error| {
            Error::new(ErrorKind::Threads, "cannot start a thread").because(error)
        })?;
        Ok(Contest::Won(Won { turn: self, claim, ended, telling: Some(telling) }))
    }

    /// Tells of progress until the run has ended; returns whether another host has taken over.
    fn tell(&self, claim: &[String], ended: &Monitor) -> bool {
        let (mut before, mut is_superseded) = (None, false);
        loop {
            let now = bytes_of_children();
            // What can't be told counts as progress.
            if now.is_none() || now != before {
                let told = self.ask("progress", claim, &Until::Over(TELLING_TIME));
                is_superseded |= told.is_ok_and(|printed| printed["counts"] == Value::Bool(false));
            }
            before = now;
            if ended.pause(self.takeover / 3).is_err() {
                return is_superseded;
            }
        }
    }

    /// Runs a command about the slot, and returns what it printed.
    fn ask(&self, action: &str, more: &[String], until: &Until<'_>) -> Outcome<Value> {
        let mut command = Command::new(&self.program);
        command.args(&self.common).args(["slot", action, &self.job]);
        command.arg(format!("--at={}", self.slot)).arg(format!("--node={}", self.node)).args(more);
        command.env(PARENT_VARIABLE, std::process::id().to_string());
        let cannot = |why: String| {
            let what = format!("cannot agree with other hosts about the job {}", self.job);
            Failure::new(
                Error::new(ErrorKind::Store, what).because(why),
                "look at the repository: haulout snapshots shows whether it can be reached",
            )
        };
        let messages = match until {
            Until::Stopped(..) => Messages::Inherited,
            // A failure of this is reported once, in the result of the run.
            Until::Over(_) => Messages::Dropped,
        };
        let ended = child::run(&mut command, &messages, until);
        let ended = ended.map_err(|error| cannot(error.to_string()))?;
        let printed: Value = serde_json::from_slice(&ended.output).unwrap_or_default();
        match printed["error"]["message"].as_str() {
            _ if ended.is_late => Err(cannot(format!("no answer in {TELLING_TIME:?}"))),
            Some(why) => Err(cannot(why.to_owned())),
            None if printed.is_null() => Err(cannot("the command said nothing".to_owned())),
            None => Ok(printed),
        }
    }
}

impl Won {
    /// Tells the other hosts that the run has ended, and returns what a person should know.
    pub(crate) fn end(mut self, result: &str) -> Vec<String> {
        let mut problems = Vec::new();
        self.ended.stop();
        let is_superseded = self.telling.take().and_then(|telling| telling.join().ok());
        if is_superseded == Some(true) {
            problems.push("another node took over, since this run made no progress".to_owned());
        }
        let mut told = self.claim.clone();
        told.push(format!("--result={result}"));
        if let Err(failure) = self.turn.ask("end", &told, &Until::Over(TELLING_TIME)) {
            problems.push(failure.line());
        }
        problems
    }
}
