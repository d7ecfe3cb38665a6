//! Stores a stream as a snapshot.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::Work;
use haulout::source::FileSource;
use haulout::source::Server;
use haulout::source::Source;
use haulout::source::child::ChildSource;
use haulout::source::outlet::StageRules;
use haulout::store::local::LocalStore;
use haulout::store::location::Location;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::asked::Asked;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::open::traits::WhenDoubted;
use crate::output::console::Loudness;
use crate::output::producer_log::ProducerLog;
use crate::output::progress::Activity;
use crate::output::units;
use crate::verbs::backup::plan::BackupPlan;
use crate::verbs::backup::plan::StagePlan;
use crate::verbs::job::Job;

impl Job for BackupPlan {
    fn traits(&self) -> Traits {
        Traits {
            effect: Effect::Adds,
            work: Work::Writes,
            // None at all would be worse than one into a repository that is doubted.
            when_doubted: WhenDoubted::GoOn,
            limit: self.limit.clone(),
            ..Traits::default()
        }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.backup(self)
    }
}

impl Run<'_> {
    /// Stores the stream as a snapshot and reports the outcome.
    pub(crate) fn backup(&self, plan: &BackupPlan) -> Outcome<Exit> {
        self.tidy_up()?;
        let repository = self.repository()?;
        if !repository.opens_data() {
            self.report.console.note("this key may only write: changed pages are stored whole");
        }
        let options = BackupOptions {
            format: plan.format,
            tags: plan.tags.clone(),
            level: plan.level,
            // A producer that haulout starts is a server's, most often that of this machine.
            raised_workers_max: (!plan.command.is_empty())
                .then(|| self.settings.processors.beside_producer()),
            read_back: plan.read_back,
            at_once: self.settings.at_once,
            host: self.settings.host.clone(),
            checkpoint_bytes: plan.checkpoint_bytes,
            checkpoint_seconds: plan.checkpoint_seconds,
            accept: plan.accept.clone(),
            findings: Arc::clone(&self.findings),
            ..BackupOptions::new(plan.source.clone())
        };
        let asked = self.ask(plan);
        let options = BackupOptions { witness: asked.witness.clone(), ..options };
        let log = ProducerLog::new(&self.report.console);
        let source = self.source(plan, asked, &log)?;
        let (began, progress) = (self.now(), self.progress(Activity::BackingUp));
        let done = ops::backup::backup(&repository, source, &options, &self.world);
        drop(progress);
        let report = match done {
            Ok(report) => report,
            Err(error) => {
                // No snapshot keeps them.
                if self.report.console.loudness != Loudness::Quiet {
                    log.show();
                }
                return Err(error.into());
            }
        };
        self.remember(&repository)?;
        self.report.backup(&report, self.now().saturating_sub(began))?;
        Ok(if report.has_findings() { Exit::Findings } else { Exit::Done })
    }

    /// Removes what interrupted runs left in a directory; in a bucket they leave nothing.
    fn tidy_up(&self) -> Result<()> {
        let Location::Directory(path) = &self.settings.place else { return Ok(()) };
        // A missing repository is reported by the caller that opens it.
        let Ok(store) = LocalStore::open(path) else { return Ok(()) };
        let swept = store.sweep_temporaries().map_err(|e| e.named("cannot tidy up"))?;
        if swept.removed > 0 {
            let bytes = units::size(swept.bytes);
            self.report.console.note(format!("removed {bytes} that interrupted runs had left"));
        }
        Ok(())
    }

    /// Returns the rules for the stage in which the producer's server stands still.
    fn stage_rules(&self, plan: &BackupPlan, server: Server) -> Outcome<StageRules> {
        let StagePlan { spool, spool_bytes, stall_limit } = &plan.stage;
        spool.as_deref().map_or(Ok(()), check_spool)?;
        Ok(StageRules {
            spool: spool.clone().unwrap_or_else(std::env::temp_dir),
            spool_bytes: *spool_bytes,
            memory_bytes: self.settings.at_once.tail_bytes,
            stall_limit: *stall_limit,
            server,
            clock: Arc::clone(&self.report.clock),
        })
    }

    /// Asks the server of the source, if that is wanted.
    fn ask(&self, plan: &BackupPlan) -> Asked {
        let Some(section) = &plan.asks else { return Asked::nothing(&plan.command) };
        let asked = Asked::of(&plan.source, section, &plan.command, &self.findings);
        if asked.command.len() > plan.command.len() {
            self.report.console.note("the server is a node of a Galera cluster: --galera-info");
        }
        asked
    }

    fn source(
        &self,
        plan: &BackupPlan,
        asked: Asked,
        log: &ProducerLog,
    ) -> Outcome<Box<dyn Source>> {
        let Some(program) = asked.command.first() else {
            let source = FileSource::stdin();
            let failure =
                |e| Error::new(ErrorKind::Source, "cannot read standard input").because(e);
            return Ok(Box::new(source.map_err(failure)?));
        };
        let rules = self.stage_rules(plan, asked.server)?;
        let started = ChildSource::follow(&asked.command, log.writer(), plan.grace, rules);
        let (source, killer) = started.map_err(|e| not_started(program, &asked.command, e))?;
        self.stop.ends(killer);
        Ok(Box::new(source))
    }
}

/// Checks that a directory can take a spool, before the producer needs it.
fn check_spool(directory: &Path) -> Outcome<()> {
    let made = tempfile::tempfile_in(directory).map(drop);
    made.map_err(|error| {
        let message = format!("cannot make a spool in {}", directory.display());
        Failure::new(
            Error::new(ErrorKind::Target, message).because(error),
            "give --spool a directory in which this user may make files",
        )
    })
}

/// Explains why a producer could not be started, and how its command is written.
fn not_started(program: &OsStr, command: &[OsString], error: io::Error) -> Failure {
    let name = program.to_string_lossy();
    let is_line = command.len() == 1 && name.contains(char::is_whitespace);
    let hint = if is_line {
        "a line for the shell is run by one: haulout backup -- sh -c 'LINE'; a command is given \
         word by word, without quotes around all of it"
    } else if error.kind() == io::ErrorKind::NotFound && name.contains('/') {
        "check the path of the program after the two dashes"
    } else if error.kind() == io::ErrorKind::NotFound {
        "install the program, check its name, or give its path: this PATH does not have it, and \
         that of cron is short"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "what stands after the two dashes must be a program that this user may run"
    } else {
        "run the command without haulout to see whether it starts"
    };
    let error = Error::new(ErrorKind::Source, format!("cannot start {name}")).because(error);
    let failure = Failure::from(error);
    // A limit of the system has a hint of its own.
    if failure.is_about_a_limit() { failure } else { failure.with_hint(hint) }
}
