//! The backup of a cluster's node in a run, with the watchdog of its desync.

use std::process::Command;
use std::time::Duration;

use haulout::source::child::withhold_secrets;

use crate::jobs::child;
use crate::jobs::child::Messages;
use crate::jobs::child::Until;
use crate::jobs::desync::leftover;
use crate::jobs::desync::leftover::AtWork;
use crate::jobs::desync::leftover::Left;
use crate::jobs::desync::watch::Told;
use crate::jobs::desync::watchdog::Watchdog;
use crate::jobs::desync::wishes::Wishes;
use crate::jobs::donor::Cluster;
use crate::jobs::notify;
use crate::jobs::plan::Step;
use crate::jobs::record::Measure;
use crate::jobs::record::StepRecord;
use crate::jobs::sequence::Sequence;

/// The time that the command `ready` may take once: less than a run may take to stop.
const READY_TIME: Duration = Duration::from_secs(10);
/// The time between two of its runs.
const READY_PAUSE: Duration = Duration::from_secs(5);
/// The time after which it is not run any more.
const READY_TIME_MAX: Duration = Duration::from_mins(10);

impl Sequence<'_> {
    /// Puts a node back that a run which died has left desynced.
    pub(super) fn end_left_desync(&mut self, cluster: &Cluster) {
        let (state_dir, clock) = (&self.plan.state_dir, &*self.report.clock);
        let left = leftover::end(state_dir, cluster, clock, AtWork::Awaited, &self.monitor);
        match left {
            Ok(Left::Nothing) => {}
            Ok(Left::Ended(what)) => self.problem(what),
            Ok(Left::Watched) => {
                self.problem("a watchdog of an earlier run still works".to_owned());
            }
            Err(failure) => self.problem(failure.line()),
        }
    }

    /// Runs a backup, and desyncs its node meanwhile if the configuration says so.
    pub(super) fn backup(&mut self, step: &Step) -> StepRecord {
        let cluster = self.plan.cluster.clone();
        let cluster = cluster.filter(|cluster| cluster.sources.contains(&step.subject));
        let node = cluster.and_then(|cluster| Some((Wishes::of(&cluster.table)?, cluster)));
        let Some((wishes, cluster)) = node else { return self.step(step) };
        let mut command = Command::new(&self.program);
        command.args(self.common()).args(["desync", &step.subject, "--run", &self.run_id()]);
        let watchdog = match Watchdog::start(&mut command, &self.monitor) {
            Err(error) => {
                self.problem(format!("the watchdog could not be started: {error}"));
                None
            }
            Ok((watchdog, Told::Declined(why))) => {
                self.problem(format!("the node is backed up without a desync: {why}"));
                Some(watchdog)
            }
            Ok((watchdog, Told::Problem(why))) => {
                self.problem(why);
                Some(watchdog)
            }
            Ok((watchdog, Told::Watching | Told::On | Told::Off(_))) => Some(watchdog),
        };
        let mut record = self.step(step);
        let Some(watchdog) = watchdog else { return record };
        self.notify.status("waiting until the node is synced");
        let watched = watchdog.end(&self.monitor);
        for problem in watched.problems {
            self.problem(problem);
        }
        if watched.has_died {
            self.end_left_desync(&cluster);
        }
        if let Some(time) = watched.milliseconds {
            record.measured.insert(Measure::DesyncedMilliseconds, time);
            if let Some(why) = self.until_ready(&wishes.ready) {
                self.problem(why);
            }
        }
        record
    }

    /// Runs the command `ready` until it succeeds; returns why it did not.
    fn until_ready(&self, ready: &[String]) -> Option<String> {
        let (program, arguments) = ready.split_first()?;
        let clock = &self.report.clock;
        let began = clock.elapsed();
        let mut last = String::new();
        while clock.elapsed().saturating_sub(began) < READY_TIME_MAX {
            let mut command = Command::new(program);
            command.args(arguments).env_remove(notify::VARIABLE);
            withhold_secrets(&mut command);
            match child::run(&mut command, &Messages::Dropped, &Until::Over(READY_TIME)) {
                Ok(ended) if ended.status.success() => return None,
                Ok(ended) if ended.is_late => last = format!("it took {READY_TIME:?}"),
                Ok(ended) => last = ended.status.to_string(),
                Err(error) => return Some(format!("{program} could not be started: {error}")),
            }
            if self.monitor.pause(READY_PAUSE).is_err() {
                break;
            }
        }
        Some(format!("{program} does not say that the node is ready: {last}"))
    }

    /// Says what a person should know, and remembers it.
    fn problem(&mut self, what: String) {
        self.report.console.warning(&what);
        self.record.problems.push(what);
        self.has_problems = true;
    }
}
