//! A run of a job: its steps one after another, and what became of each.
//!
//! A source that fails does not stop the others, and what comes after the backups can't turn a
//! stored backup into a failure: the exit status is 1 if a backup failed, or if a job without
//! sources failed in any step, else 3 if anything failed or was found.

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
use serde_json::Value;

use crate::environment::PARENT_VARIABLE;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::jobs::child;
use crate::jobs::child::Ended;
use crate::jobs::child::Until;
use crate::jobs::hooks::Moment;
use crate::jobs::hooks::Ran;
use crate::jobs::lock::JobLock;
use crate::jobs::metrics;
use crate::jobs::plan::JobPlan;
use crate::jobs::plan::Kind;
use crate::jobs::plan::OnDamage;
use crate::jobs::plan::Step;
use crate::jobs::record::Record;
use crate::jobs::record::Standing;
use crate::jobs::record::StepRecord;
use crate::output::console::Loudness;
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
    plan: &'s JobPlan,
    report: &'s Report,
    /// The program that the steps are run with.
    program: PathBuf,
    monitor: Arc<Monitor>,
    stop: Stop,
    record: Record,
    /// Held until the run has ended.
    _lock: JobLock,
    /// True while what is stored is known to be damaged.
    is_damaged: bool,
    /// True once something was found that is no result of a step.
    has_problems: bool,
    /// True once something that was required failed outside a step.
    is_failed: bool,
}

impl<'s> Sequence<'s> {
    /// Takes the lock of the job and begins its record; nothing if the job runs already.
    pub(crate) fn begin(plan: &'s JobPlan, report: &'s Report) -> Outcome<Option<Self>> {
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
        let (is_damaged, has_problems, is_failed) = (false, false, false);
        Ok(Some(Self {
            plan,
            report,
            program,
            monitor,
            stop,
            record,
            _lock: lock,
            is_damaged,
            has_problems,
            is_failed,
        }))
    }

    /// Runs the steps and the hooks, and returns what is remembered of them.
    pub(crate) fn run(mut self) -> Outcome<(Record, Exit)> {
        self.hooks(Moment::Before);
        if !self.is_failed {
            self.steps()?;
        }
        let failed = self.exit() == Exit::Failed;
        self.hooks(if failed { Moment::Failed } else { Moment::After });
        self.hooks(Moment::Finally);
        let exit = self.end()?;
        Ok((self.record, exit))
    }

    fn steps(&mut self) -> Outcome<()> {
        for (index, step) in self.plan.steps.iter().enumerate() {
            if let Some(why) = self.reason_to_skip(step) {
                self.record.steps.extend(why.into_record(step));
                continue;
            }
            let (number, count) = (index + 1, self.plan.steps.len());
            let (word, subject) = (step.kind.word(), &step.subject);
            if self.report.console.loudness >= Loudness::Normal {
                self.report.console.note(format!("step {number} of {count}: {word} {subject}"));
            }
            let record = self.step(step);
            match step.kind {
                Kind::Check => self.is_damaged |= record.result == Standing::Findings,
                Kind::Repair => self.is_damaged = record.result != Standing::Done,
                Kind::Prune if record.result != Standing::Failed => {
                    let now = self.report.clock.unix_seconds();
                    self.record.pruned.insert(step.subject.clone(), now);
                }
                Kind::Backup | Kind::Replicate | Kind::Retention | Kind::Prune | Kind::Verify => {}
            }
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

    fn step(&self, step: &Step) -> StepRecord {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(step)).env(PARENT_VARIABLE, process::id().to_string());
        let began = self.report.clock.elapsed();
        let ended = child::run(&mut command, &Until::Stopped(&self.stop, &self.monitor));
        let time = self.report.clock.elapsed().saturating_sub(began);
        let mut record = StepRecord {
            step: step.kind.word().to_owned(),
            subject: step.subject.clone(),
            result: Standing::Failed,
            milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            reason: None,
            snapshot: None,
            verdict: None,
            stream_bytes: None,
            stored_bytes: None,
        };
        match ended {
            Err(error) => record.reason = Some(format!("it could not be started: {error}")),
            Ok(ended) => read_result(step, &ended, &mut record),
        }
        record
    }

    /// Returns the arguments of a step, with those that all of them have.
    fn arguments(&self, step: &Step) -> Vec<String> {
        let loudness = match self.report.console.loudness {
            Loudness::Quiet => "quiet",
            Loudness::Brief => "brief",
            Loudness::Normal => "normal",
            Loudness::Verbose => "verbose",
        };
        let config = self.plan.config.display().to_string();
        let state = self.plan.state_dir.display().to_string();
        let common = ["--config", &config, "--json", "--log-level", loudness, "--state", &state];
        // The last two, unless the file or the environment says where.
        let count = if self.plan.says_state { common.len() - 2 } else { common.len() };
        let common = common[..count].iter().map(|word| (*word).to_owned());
        common.chain(step.arguments.iter().cloned()).collect()
    }

    fn hooks(&mut self, moment: Moment) {
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
        let variables = [
            ("HAULOUT_JOB", self.plan.name.clone()),
            ("HAULOUT_SNAPSHOT", of_snapshot(&|step| step.snapshot.clone())),
            ("HAULOUT_VERDICT", of_snapshot(&|step| step.verdict.clone())),
            ("HAULOUT_EXIT", self.exit().status().to_string()),
            ("HAULOUT_REASON", reason.unwrap_or_default()),
        ];
        let Ran { problems, is_failure } = self.plan.hooks.run(moment, &variables, time_max);
        for problem in problems {
            self.report.console.warning(problem);
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
        self.finish(exit, now);
        if let Some(path) = &self.plan.metrics
            && let Err(error) = metrics::write(path, &self.record)
        {
            let message = format!("cannot write the metrics in {}: {error}", path.display());
            self.report.console.warning(message);
            exit = exit.and_findings();
            self.finish(exit, now);
        }
        self.record.write(&self.plan.state_dir)?;
        Ok(exit)
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
        Some(StepRecord {
            step: step.kind.word().to_owned(),
            subject: step.subject.clone(),
            result: Standing::Skipped,
            milliseconds: 0,
            reason: Some(reason.to_owned()),
            snapshot: None,
            verdict: None,
            stream_bytes: None,
            stored_bytes: None,
        })
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
