//! A run of a job: its steps one after another, and what became of each.
//!
//! A source that fails does not stop the others, and what comes after the backups can't turn a
//! stored backup into a failure: the exit status is 1 if a backup failed, or if a job without
//! sources failed in any step, else 3 if anything failed or was found, or a ping was lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process;
use std::process::Command;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::repo::Verdict;
use haulout::world::Monitor;
use jiff::Timestamp;
use serde_json::Value;

use crate::environment::PARENT_VARIABLE;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::child;
use crate::jobs::child::Ended;
use crate::jobs::child::Messages;
use crate::jobs::child::Until;
use crate::jobs::desync::producers;
use crate::jobs::hooks::Moment;
use crate::jobs::hooks::Ran;
use crate::jobs::lock::JobLock;
use crate::jobs::metrics;
use crate::jobs::notify;
use crate::jobs::notify::Notify;
use crate::jobs::ping;
use crate::jobs::ping::Pings;
use crate::jobs::ping::Signal;
use crate::jobs::ping::TEXT_BYTES_MAX;
use crate::jobs::plan::JobPlan;
use crate::jobs::plan::Kind;
use crate::jobs::plan::OnDamage;
use crate::jobs::plan::Step;
use crate::jobs::record::Measure;
use crate::jobs::record::Night;
use crate::jobs::record::Record;
use crate::jobs::record::Standing;
use crate::jobs::record::StepRecord;
use crate::jobs::space::Space;
use crate::jobs::turn::Contest;
use crate::jobs::turn::Elsewhere;
use crate::jobs::turn::Turn;
use crate::jobs::turn::Won;
use crate::output::console::Loudness;
use crate::output::log_lines::JOB_VARIABLE;
use crate::output::log_lines::LogFormat;
use crate::output::log_lines::Origin;
use crate::output::log_lines::STEP_VARIABLE;
use crate::output::log_lines::SUBJECT_VARIABLE;
use crate::output::report::Report;
use crate::signals::Stop;

/// The time that a job may take to stop: each step is given its time to end cleanly.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time that a hook may take once the job was asked to stop.
const HOOK_TIME_STOPPED: Duration = Duration::from_secs(5);

/// Maximum length in characters of a reason that is kept.
const REASON_CHARS_MAX: usize = 500;

/// A run of a job.
pub(crate) struct Sequence<'s> {
    pub(super) plan: &'s JobPlan,
    pub(super) report: &'s Report,
    /// The program that the steps are run with.
    pub(super) program: PathBuf,
    pub(super) monitor: Arc<Monitor>,
    stop: Stop,
    pub(super) space: Space,
    pub(super) record: Record,
    /// The sources that had no backup before this run.
    pub(super) new_sources: BTreeSet<String>,
    /// Held until the run has ended.
    _lock: JobLock,
    /// True while what is stored is known to be damaged.
    is_damaged: bool,
    /// True once something was found that is no result of a step.
    pub(super) has_problems: bool,
    /// True once something that was required failed outside a step.
    is_failed: bool,
    pings: Pings,
    pub(super) notify: Notify,
}

impl<'s> Sequence<'s> {
    /// Takes the lock of the job and begins its record; nothing if the job runs already.
    pub(crate) fn begin(
        plan: &'s JobPlan,
        space: Space,
        report: &'s Report,
    ) -> Outcome<Option<Self>> {
        let Some(lock) = JobLock::take(&plan.state_dir, &plan.name)? else { return Ok(None) };
        let monitor: Arc<Monitor> = Arc::default();
        let console = Arc::clone(&report.console);
        let stop = Stop::listen(Arc::clone(&monitor), console, PATIENCE)
            .map_err(|e| Error::new(ErrorKind::Source, "cannot listen for signals").because(e))?;
        let program = std::env::current_exe()
            .map_err(|e| Error::new(ErrorKind::Source, "cannot find this program").because(e))?;
        let before = match Record::read(&plan.state_dir, &plan.name) {
            Ok(before) => before,
            Err(failure) => {
                report.console.warning(failure.line());
                None
            }
        };
        let record = Record::begin(&plan.name, report.clock.unix_seconds(), before.as_ref());
        record.write(&plan.state_dir)?;
        if plan.ping.as_ref().is_some_and(|ping| ping.sends_log) {
            report.console.keep_tail(TEXT_BYTES_MAX);
        }
        let (is_damaged, has_problems, is_failed) = (false, false, false);
        Ok(Some(Self {
            plan,
            report,
            program,
            monitor,
            stop,
            space,
            record,
            new_sources: BTreeSet::new(),
            _lock: lock,
            is_damaged,
            has_problems,
            is_failed,
            pings: Pings::new(plan.ping.as_ref()),
            notify: Notify::of_this_process(),
        }))
    }

    /// Runs the steps and the hooks, and returns what is remembered of them. `why` says by whose
    /// wish it runs.
    pub(crate) fn run(mut self, why: Why) -> Outcome<(Record, Exit)> {
        self.notify.ready();
        let won = match self.turn(why) {
            Ok(Turned::Go(won)) => won,
            Ok(Turned::Skip(reason)) => return self.skip(reason),
            Err(failure) => {
                // A person who asked for it sees it.
                if why == Why::Scheduled {
                    self.ping(Signal::Fail, &failure.line());
                }
                return self.refuse(failure);
            }
        };
        self.ping(Signal::Start, "");
        let done = self.go();
        if let Err(failure) = &done {
            self.ping(Signal::Fail, &failure.line());
        }
        self.notify.stopping();
        if let Some(won) = won {
            for problem in won.end(self.record.result.word()) {
                self.report.console.warning(problem);
            }
        }
        done.map(|exit| (self.record, exit))
    }

    /// Runs the steps and the hooks.
    fn go(&mut self) -> Outcome<Exit> {
        self.hooks(Moment::Before);
        if !self.is_failed {
            self.steps()?;
        }
        let failed = self.exit() == Exit::Failed;
        self.hooks(if failed { Moment::Failed } else { Moment::After });
        self.hooks(Moment::Finally);
        self.end()
    }

    /// Finds out whether it is for this host to run the job: in a cluster, only one node does.
    fn turn(&mut self, why: Why) -> Outcome<Turned> {
        let Some(cluster) = &self.plan.cluster else { return Ok(Turned::Go(None)) };
        self.end_left_desync(cluster);
        let turn = match why {
            Why::Asked => None,
            Why::Scheduled => self.slot()?,
        };
        let last = match &turn {
            Some(turn) => turn.last(&self.stop, &self.monitor)?,
            None => None,
        };
        self.remember(last.as_ref());
        let standpoint = cluster.survey(last.map(|last| last.node), &self.monitor)?;
        for warning in &standpoint.ranking.warnings {
            self.report.console.warning(format!("cluster {}: {warning}", cluster.name));
            self.has_problems = true;
        }
        let node = standpoint.node.clone();
        let rank = match (standpoint.rank(), why) {
            (Ok(rank), _) => rank,
            (Err(reason), Why::Scheduled) => {
                return Ok(Turned::Skip(format!("node {node} is not backed up: {reason}")));
            }
            (Err(reason), Why::Asked) => {
                let what = format!("node {node} is not to be backed up: {reason}");
                let best = standpoint.ranking.candidates.first();
                let best = best.map_or(String::new(), |best| format!("; {} is best", best.name));
                let hint = format!("run the job on another node{best}");
                return Err(Failure::new(Error::new(ErrorKind::Server, what), hint));
            }
        };
        let Some(turn) = turn else { return Ok(Turned::Go(None)) };
        let turn = Turn { node, ..turn };
        Ok(match turn.take(rank, &self.stop, &self.monitor)? {
            Contest::Won(won) => Turned::Go(Some(won)),
            Contest::Elsewhere(run) => {
                self.remember(Some(&run));
                Turned::Skip(format!("{} has run the job: {}", run.node, run.result))
            }
        })
    }

    /// Remembers a run of the job by another host, if it has succeeded.
    fn remember(&mut self, run: Option<&Elsewhere>) {
        let succeeded = run.filter(|run| run.result != Standing::Failed.word());
        self.record.last_elsewhere = self.record.last_elsewhere.max(succeeded.map(|run| run.time));
    }

    /// Returns the slot for which a scheduled run stands ready.
    fn slot(&self) -> Outcome<Option<Turn>> {
        let Some((schedule, zone)) = &self.plan.schedule else {
            let what = format!("the job {} has no schedule", self.plan.name);
            return Err(Failure::usage(what, "give it one, or run it without --scheduled"));
        };
        let now = i64::try_from(self.report.clock.unix_seconds()).unwrap_or(i64::MAX);
        let now = Timestamp::from_second(now).unwrap_or(Timestamp::MAX);
        let repository = self.plan.repository.clone();
        let mut common = self.common();
        common.extend(["-r".to_owned(), repository]);
        let slot = schedule.last_before(now, zone).map(Timestamp::as_second);
        Ok(slot.map(|slot| Turn {
            program: self.program.clone(),
            common,
            job: self.plan.name.clone(),
            slot,
            node: String::new(),
            takeover: self.plan.takeover,
        }))
    }

    /// Ends a run that was not for this host.
    fn skip(mut self, reason: String) -> Outcome<(Record, Exit)> {
        self.record.result = Standing::Skipped;
        self.record.reason = Some(reason);
        self.record.exit_status = Some(Exit::Done.status());
        self.record.ended = Some(self.report.clock.unix_seconds());
        self.record.write(&self.plan.state_dir)?;
        Ok((self.record, Exit::Done))
    }

    /// Ends a run that may not be begun, so that the record and the hooks say so.
    fn refuse(mut self, failure: Failure) -> Outcome<(Record, Exit)> {
        self.is_failed = true;
        self.record.reason = Some(failure.line());
        self.hooks(Moment::Failed);
        self.hooks(Moment::Finally);
        self.end()?;
        Err(failure)
    }

    /// Pings the monitor. A ping that fails is a finding of the run, once all else has ended.
    fn ping(&mut self, signal: Signal, text: &str) {
        if let Err(why) = self.pings.send(signal, text, &self.monitor) {
            self.report.console.warning(&why);
            self.record.problems.push(why);
        }
    }

    /// Says what the run does from now on.
    fn announce(&self, what: &str, step: &str, subject: &str) {
        self.notify.status(what);
        let [job, step, subject] = [&self.plan.name, step, subject].map(|word| Some(word.into()));
        self.report.console.set_origin(Origin { job, step, subject });
    }

    fn steps(&mut self) -> Outcome<()> {
        for (index, step) in self.plan.steps.iter().enumerate() {
            if let Some(why) = self.reason_to_skip(step) {
                self.record.steps.extend(why.into_record(step));
                continue;
            }
            let (number, count) = (index + 1, self.plan.steps.len());
            let (word, subject) = (step.kind.word(), &step.subject);
            let what = format!("step {number} of {count}: {word} {subject}");
            self.announce(&what, word, subject);
            if self.report.console.loudness >= Loudness::Normal {
                self.report.console.note(what);
            }
            let record = match self.lacks_space(step) {
                Some(why) => {
                    let failed = StepRecord::new(word, subject, Standing::Failed);
                    StepRecord { reason: Some(why), ..failed }
                }
                None if step.kind == Kind::Backup => self.backup(step),
                None => self.step(step),
            };
            match step.kind {
                Kind::Check => self.is_damaged |= record.result == Standing::Findings,
                Kind::Repair => self.is_damaged = record.result != Standing::Done,
                Kind::Prune if record.result != Standing::Failed => {
                    let now = self.report.clock.unix_seconds();
                    self.record.pruned.insert(step.subject.clone(), now);
                }
                Kind::Backup | Kind::Replicate | Kind::Retention | Kind::Prune | Kind::Verify => {}
            }
            self.keep(&record);
            self.record.steps.push(record);
            self.record.write(&self.plan.state_dir)?;
            let is_before_backups = matches!(step.kind, Kind::Check | Kind::Repair);
            let repairs = self.plan.steps[index + 1..].iter().any(|next| next.kind == Kind::Repair);
            if self.is_damaged
                && is_before_backups
                && !repairs
                && self.plan.on_damage == OnDamage::Fail
            {
                self.is_failed = true;
            }
        }
        Ok(())
    }

    /// Adds what lasts of a step that has ended.
    fn keep(&mut self, done: &StepRecord) {
        let now = self.report.clock.unix_seconds();
        if let Some(oldest) = done.measure(Measure::OldestUnverified) {
            self.record.oldest_unverified.insert(done.subject.clone(), oldest);
        }
        if done.snapshot.is_none() {
            return;
        }
        let source = self.record.sources.entry(done.subject.clone()).or_default();
        source.snapshot.clone_from(&done.snapshot);
        source.verdict.clone_from(&done.verdict);
        if let (Some(stream_bytes), Some(stored_bytes)) = (done.stream_bytes, done.stored_bytes)
            && done.result != Standing::Failed
        {
            let is_first = self.new_sources.contains(&done.subject);
            source.add(Night {
                ended: now,
                stream_bytes,
                stored_bytes,
                is_first,
                paused_milliseconds: done.measure(Measure::PausedMilliseconds),
                desynced_milliseconds: done.measure(Measure::DesyncedMilliseconds),
            });
        }
    }

    /// Returns why a step is left out, if it is.
    fn reason_to_skip(&self, step: &Step) -> Option<Skip> {
        if self.monitor.check().is_err() {
            return Some(Skip::Because("the job was stopped"));
        }
        if self.is_failed {
            return Some(Skip::Because("what is stored is damaged, and on_damage is \"fail\""));
        }
        if step.kind == Kind::Repair && !self.is_damaged {
            return Some(Skip::NotDue);
        }
        if step.kind == Kind::Prune
            && let Some(last) = self.record.pruned.get(&step.subject)
        {
            let next = last + self.plan.prune_every.seconds();
            return (self.report.clock.unix_seconds() < next).then_some(Skip::NotDue);
        }
        let source = step.after_source.as_ref()?;
        let backup = self
            .record
            .steps
            .iter()
            .find(|done| done.step == Kind::Backup.word() && done.subject == *source);
        let has_failed = backup.is_some_and(|done| done.result == Standing::Failed);
        has_failed.then_some(Skip::Because("its backup failed"))
    }

    pub(super) fn step(&self, step: &Step) -> StepRecord {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(step)).env(PARENT_VARIABLE, process::id().to_string());
        command.env_remove(notify::VARIABLE);
        command.env(producers::VARIABLE, self.run_id());
        command.env(JOB_VARIABLE, &self.plan.name);
        command.env(STEP_VARIABLE, step.kind.word()).env(SUBJECT_VARIABLE, &step.subject);
        let messages = if self.keeps_log() {
            Messages::Forwarded(&self.report.console)
        } else {
            Messages::Inherited
        };
        let began = self.report.clock.elapsed();
        let ended = child::run(&mut command, &messages, &self.until());
        let time = self.report.clock.elapsed().saturating_sub(began);
        let mut record = StepRecord::new(step.kind.word(), &step.subject, Standing::Failed);
        record.milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match ended {
            Err(error) => record.reason = Some(format!("it could not be started: {error}")),
            Ok(ended) => read_result(step, &ended, &mut record),
        }
        record
    }

    /// Returns the name of this run, which its processes have in their environment.
    pub(super) fn run_id(&self) -> String {
        format!("{}-{}", process::id(), self.record.started)
    }

    /// Returns what ends a process of the run before it ends by itself.
    pub(super) fn until(&self) -> Until<'_> {
        Until::Stopped(&self.stop, &self.monitor)
    }

    /// Returns the arguments of a step, with those that all of them have.
    fn arguments(&self, step: &Step) -> Vec<String> {
        self.common().into_iter().chain(step.arguments.iter().cloned()).collect()
    }

    /// Returns the arguments that all commands of the job have.
    pub(super) fn common(&self) -> Vec<String> {
        let loudness = match self.report.console.loudness {
            Loudness::Quiet => "quiet",
            Loudness::Brief => "brief",
            Loudness::Normal => "normal",
            Loudness::Verbose => "verbose",
        };
        let config = self.plan.config.display().to_string();
        let state = self.plan.state_dir.display().to_string();
        let mut common = vec!["--config", &config, "--json", "--log-level", loudness];
        if self.report.console.has_lines() {
            common.extend(["--log-format", LogFormat::Json.word()]);
        }
        // Unless the file or the environment says where.
        if !self.plan.says_state {
            common.extend(["--state", &state]);
        }
        common.into_iter().map(str::to_owned).collect()
    }

    /// Tells whether all messages pass through this process, which keeps the end of them.
    fn keeps_log(&self) -> bool {
        self.plan.ping.as_ref().is_some_and(|ping| ping.sends_log)
    }

    fn hooks(&mut self, moment: Moment) {
        if !self.plan.hooks.has(moment) {
            return;
        }
        let snapshot = self.record.steps.iter().rev().find(|step| step.snapshot.is_some());
        let of_snapshot = |get: &dyn Fn(&StepRecord) -> Option<String>| {
            snapshot.and_then(get).unwrap_or_default()
        };
        let reason = self.record.steps.iter().find_map(|step| {
            let is_failed = step.result == Standing::Failed;
            is_failed.then(|| step.reason.clone())?
        });
        let is_stopped = self.monitor.check().is_err();
        let time_max = if is_stopped { HOOK_TIME_STOPPED } else { Duration::MAX };
        let console = &self.report.console;
        let messages = if self.keeps_log() || console.has_lines() {
            Messages::Passed(console)
        } else {
            Messages::Inherited
        };
        let variables = [
            (JOB_VARIABLE, self.plan.name.clone()),
            ("HAULOUT_SNAPSHOT", of_snapshot(&|step| step.snapshot.clone())),
            ("HAULOUT_VERDICT", of_snapshot(&|step| step.verdict.clone())),
            ("HAULOUT_EXIT", self.exit().status().to_string()),
            ("HAULOUT_REASON", reason.unwrap_or_default()),
        ];
        let word = moment.word();
        self.announce(&format!("hooks {word}"), "hook", word);
        let hooks = &self.plan.hooks;
        let Ran { problems, is_failure } = hooks.run(moment, &variables, &messages, time_max);
        for problem in problems {
            console.warning(&problem);
            self.record.problems.push(problem);
            self.has_problems = true;
        }
        // What is stored stays stored: after the steps a hook can only be a finding.
        self.is_failed |= is_failure && moment == Moment::Before;
    }

    /// Returns the exit status as it follows from what was done so far.
    fn exit(&self) -> Exit {
        let failed = |step: &StepRecord| {
            let counts = !self.plan.has_sources || step.step == Kind::Backup.word();
            step.result == Standing::Failed && counts
        };
        let is_good = |step: &StepRecord| step.result == Standing::Done;
        if self.is_failed || self.record.steps.iter().any(failed) || self.monitor.check().is_err() {
            Exit::Failed
        } else if self.has_problems || !self.record.steps.iter().all(is_good) {
            Exit::Findings
        } else {
            Exit::Done
        }
    }

    fn end(&mut self) -> Outcome<Exit> {
        let mut exit = self.exit();
        let now = self.report.clock.unix_seconds();
        self.record.ended = Some(now);
        self.report
            .console
            .set_origin(Origin { job: Some(self.plan.name.clone()), ..Origin::default() });
        self.finish(exit, now);
        if !self.write_metrics() {
            exit = exit.and_findings();
            self.finish(exit, now);
        }
        let text = ping::text_of(&self.record, &self.report.console.tail());
        self.ping(Signal::Exit(exit.status()), &text);
        if self.pings.has_failed() && exit == Exit::Done {
            exit = Exit::Findings;
            self.finish(exit, now);
            self.write_metrics();
        }
        self.record.write(&self.plan.state_dir)?;
        Ok(exit)
    }

    /// Writes the metrics, and tells whether that is done.
    fn write_metrics(&mut self) -> bool {
        let Some(path) = &self.plan.metrics else { return true };
        let Err(error) = metrics::write(path, &self.record) else { return true };
        let message = format!("cannot write the metrics in {}: {error}", path.display());
        self.report.console.warning(&message);
        self.record.problems.push(message);
        false
    }

    fn finish(&mut self, exit: Exit, now: u64) {
        self.record.exit_status = Some(exit.status());
        self.record.result = match exit {
            Exit::Done => Standing::Done,
            Exit::Findings => Standing::Findings,
            Exit::Failed | Exit::Usage | Exit::Running => Standing::Failed,
        };
        if exit != Exit::Failed {
            self.record.last_success = Some(now);
        }
    }
}

/// By whose wish a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A person asked for it on this host.
    Asked,
    /// Its time has come; other hosts may be ready as well.
    Scheduled,
}

/// Whether this host runs the job.
enum Turned {
    /// It does; with a claim, if other hosts are ready.
    Go(Option<Won>),
    /// It does not, for a reason.
    Skip(String),
}

/// Why a step is left out.
enum Skip {
    /// There is nothing to do: it is not mentioned.
    NotDue,
    /// It can't be done.
    Because(&'static str),
}

impl Skip {
    fn into_record(self, step: &Step) -> Option<StepRecord> {
        let Self::Because(reason) = self else { return None };
        let skipped = StepRecord::new(step.kind.word(), &step.subject, Standing::Skipped);
        Some(StepRecord { reason: Some(reason.to_owned()), ..skipped })
    }
}

/// Reads the result of a step from its exit status, and from the JSON that it printed.
fn read_result(step: &Step, ended: &Ended, record: &mut StepRecord) {
    record.result = match ended.status.code() {
        Some(0) => Standing::Done,
        Some(3) => Standing::Findings,
        Some(_) | None => Standing::Failed,
    };
    let printed: Value = serde_json::from_slice(&ended.output).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if step.kind == Kind::Backup {
        record.snapshot = text(&printed["snapshot"]);
        record.verdict = text(&printed["verdict"]);
        record.stream_bytes = printed["stream_bytes"].as_u64();
        record.stored_bytes = printed["stored_bytes"].as_u64();
    }
    let oldest = &printed["slice"]["ages"]["oldest"];
    let moment = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let oldest = moment(&oldest["verified"]).or_else(|| moment(&oldest["stored"]));
    let listed = || printed["bytes"].as_u64().filter(|_| step.kind == Kind::Check);
    let measured = [
        (Measure::PausedMilliseconds, printed["pause"]["milliseconds"].as_u64()),
        (Measure::OldestUnverified, oldest.and_then(|at| u64::try_from(at.as_second()).ok())),
        (Measure::ListedBytes, listed()),
    ];
    let found = measured.into_iter().filter_map(|(name, value)| Some((name, value?)));
    record.measured.extend(found);
    // What does not restore is no backup, though its bytes are kept.
    if record.verdict == Some(Verdict::Partial.to_string()) {
        record.result = Standing::Failed;
    }
    if record.result != Standing::Done {
        record.reason = text(&printed["error"]["message"]).or_else(|| first_finding(&printed));
    }
    if record.result == Standing::Failed && record.reason.is_none() {
        record.reason = Some(end_in_words(ended.status));
    }
    if let Some(reason) = &mut record.reason
        && let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX)
    {
        reason.truncate(end);
    }
}

/// Returns the first reason or finding of a report.
fn first_finding(printed: &Value) -> Option<String> {
    let reason = printed["reasons"][0].as_str().map(str::to_owned);
    let finding = || {
        let first = &printed["findings"][0];
        // Those of a stream have a text about an object, those of a repository say what it is.
        let text = first["text"].as_str().or_else(|| first["what"].as_str())?;
        Some(first["object"].as_str().map_or(text.to_owned(), |object| format!("{object}: {text}")))
    };
    reason.or_else(finding)
}

fn end_in_words(status: ExitStatus) -> String {
    format!("it ended with {status}, without saying why")
}
