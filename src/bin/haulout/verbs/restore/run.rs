//! Restores a snapshot, and prepares the restored files.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path;
use std::path::Path;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::chain;
use haulout::ops::prepare::PrepareReport;
use haulout::ops::restore;
use haulout::ops::restore::Method;
use haulout::ops::restore::Purpose;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::restore::Sharing;
use haulout::ops::restore::accounts::Accounts;
use haulout::ops::restore::accounts::Owners;
use haulout::repo::Repository;
use haulout::repo::SnapshotKind;
use haulout::repo::StreamFormat;
use haulout::repo::Verdict;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::store::location::Location;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::producer_log::ProducerLog;
use crate::output::progress::Activity;
use crate::output::stdout::not_written;
use crate::output::stdout::standard_output;
use crate::verbs::job::Job;
use crate::verbs::restore::plan::ByName;
use crate::verbs::restore::plan::RestorePlan;
use crate::verbs::restore::plan::SharedTarget;
use crate::verbs::restore::plan::Target;
use crate::verbs::restore::report::OutputStream;
use crate::verbs::restore::report::Restored;

/// Builds the options with the accounts of this host.
fn options(plan: &RestorePlan, workers: u32) -> Outcome<RestoreOptions> {
    let accounts = Accounts::of_this_host();
    let owners = match plan.by_name {
        ByName::Yes => Owners::ByName(accounts.clone()),
        ByName::No => Owners::ByNumber,
    };
    let sharing = match plan.shared {
        SharedTarget::Refuse => Sharing::Refuse(accounts.clone()),
        SharedTarget::Allow => Sharing::Allow,
    };
    let unknown = |why| Failure::usage(why, "name an account of this host, or give its number");
    let owner = plan.owner.as_deref().map(|owner| accounts.owner(owner));
    let owner = owner.transpose().map_err(unknown)?;
    let purpose = match &plan.target {
        Target::Directory(_, Some(_)) => Purpose::Prepare,
        Target::Directory(_, None) | Target::Stdout => Purpose::Files,
    };
    let RestorePlan { include, into, devices, unfinished, losses, .. } = plan;
    Ok(RestoreOptions {
        include: include.clone(),
        into: into.clone(),
        workers,
        devices: *devices,
        owners,
        sharing,
        unfinished: *unfinished,
        losses: *losses,
        owner,
        purpose,
    })
}

impl Job for RestorePlan {
    fn traits(&self) -> Traits {
        Traits { limit: self.limit.clone(), ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.restore(self)
    }
}

impl Run<'_> {
    /// Restores a snapshot as planned and prints the report.
    pub(crate) fn restore(&self, plan: &RestorePlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, &plan.snapshot)?;
        if let Some(doubt) = doubt(&stored) {
            self.report.console.warning(doubt);
        }
        let options = options(plan, self.settings.at_once.workers)?;
        let (began, progress) = (self.now(), self.progress(Activity::Restoring));
        let restored = match &plan.target {
            Target::Stdout => {
                let written = self.tell_destination(&repository, &stored, &options);
                written
                    .and_then(|()| self.restore_stream(&repository, &stored, &options))
                    .map_err(Failure::from)
            }
            Target::Directory(directory, program) => {
                self.require_apart(directory)?;
                program.as_deref().map(require_program).transpose()?;
                let target = restore::Target::Directory(directory);
                restore::restore(&repository, &stored, target, &options, &self.world)
                    .map_err(Failure::from)
            }
        };
        let report = restored.map_err(|failure| fitting(failure, plan, &stored))?;
        drop(progress);
        let time = self.now().saturating_sub(began);
        let findings =
            report.warnings.len() + report.lost.len() + usize::from(doubt(&stored).is_some());
        let (target, prepared, outlet) = match &plan.target {
            Target::Stdout => ("standard output".to_owned(), None, OutputStream::StandardError),
            Target::Directory(directory, program) => {
                if report.method == Method::ChainInPlace {
                    let place = directory.display();
                    self.report
                        .console
                        .note(format!("{place} holds this chain: it is only prepared"));
                }
                let prepare = |program| self.prepare(&stored, directory, program);
                let prepared = program.as_deref().map(prepare).transpose()?;
                if let Some(owner) = options.owner.filter(|_| prepared.is_some()) {
                    restore::give(directory, owner)?;
                }
                (directory.display().to_string(), prepared, OutputStream::StandardOutput)
            }
        };
        let restored = Restored { stored: &stored, target, report, time, prepared };
        self.report.restore(&restored, outlet)?;
        Ok(Exit::with(findings))
    }

    /// Refuses a target inside the repository, where files would be taken for objects of it.
    fn require_apart(&self, target: &Path) -> Outcome<()> {
        let Location::Directory(repository) = &self.settings.place else { return Ok(()) };
        let Ok(repository) = fs::canonicalize(repository) else { return Ok(()) };
        let target = path::absolute(target).unwrap_or_else(|_| target.to_owned());
        let known = target.ancestors().find_map(|above| fs::canonicalize(above).ok());
        if known.is_none_or(|known| !known.starts_with(&repository)) {
            return Ok(());
        }
        let message = format!("{} is inside the repository", target.display());
        let error = Error::new(ErrorKind::Occupied, message);
        Err(Failure::new(error, "restore into a directory of its own"))
    }

    /// Reports into which schema parts of a dump will load, before any of it is written.
    fn tell_destination(
        &self,
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &RestoreOptions,
    ) -> Result<()> {
        let told = restore::destination(repository, stored, options, &self.world)?;
        if let Some(destination) = told {
            self.report.console.note(destination);
        }
        Ok(())
    }

    fn restore_stream(
        &self,
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let mut out = standard_output()?;
        let target = restore::Target::Stream(&mut out);
        let report = restore::restore(repository, stored, target, options, &self.world)?;
        out.flush().map_err(not_written)?;
        Ok(report)
    }

    fn prepare(
        &self,
        stored: &StoredSnapshot,
        directory: &Path,
        program: &OsStr,
    ) -> Result<(PrepareReport, Duration)> {
        let began = self.now();
        let log = ProducerLog::new(&self.report.console);
        let writer = || log.writer();
        let report = ops::prepare::prepare(stored, directory, program, &writer, &self.world);
        let report = report.inspect_err(|_| log.show())?;
        Ok((report, self.now().saturating_sub(began)))
    }
}

/// Refuses a program that is not there before anything is restored.
fn require_program(program: &OsStr) -> Outcome<()> {
    let is_there = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let path = Path::new(program);
    let found = if path.components().count() > 1 {
        is_there(path)
    } else {
        let places = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&places).any(|place| is_there(&place.join(program)))
    };
    if found {
        return Ok(());
    }
    let what = format!("cannot start {}: there is no such program", program.to_string_lossy());
    let error = Error::new(ErrorKind::Prepare, what);
    let hint = "install mariadb-backup, or name the program with --prepare-program; nothing was \
                restored";
    Err(Failure::new(error, hint))
}

/// Adds a hint about what can be had from this snapshot to a request that does not fit it.
fn fitting(failure: Failure, plan: &RestorePlan, stored: &StoredSnapshot) -> Failure {
    if failure.kind() == ErrorKind::Occupied && failure.message().contains("has not finished") {
        return failure.with_hint("add --resume to go on with it, or choose another place");
    }
    if failure.kind() != ErrorKind::Usage || failure.has_hint() {
        return failure;
    }
    let about = &stored.snapshot.about;
    let into_files = matches!(plan.target, Target::Directory(..));
    if about.kind == SnapshotKind::Checkpoint {
        return failure.with_hint("haulout snapshots lists those that can be restored");
    }
    if into_files && failure.message().contains("can't be prepared") {
        return failure.with_hint("restore it without --prepare and --include");
    }
    if into_files && failure.message().contains("only root") {
        return failure.with_hint("run it as root, or leave --owner out");
    }
    if into_files && failure.message().contains("without its base") {
        let hint = "restore it without --prepare; its tables are changed pages only";
        return failure.with_hint(hint);
    }
    if into_files && chain::has_base(stored) {
        return failure.with_hint("leave --include out");
    }
    if into_files && about.format.is_plain() {
        return failure.with_hint("restore the stream with --stdout");
    }
    if failure.message().contains("--into") {
        return failure.with_hint(if about.format == StreamFormat::Sql {
            "choose tables of one schema, as in --include 'shop.*'"
        } else {
            "leave --into out; only of an SQL dump can tables be loaded into another schema"
        });
    }
    if !into_files && about.format != StreamFormat::Sql {
        return failure.with_hint("leave --include out, or choose files with --to DIR");
    }
    let wanted = &plan.snapshot;
    failure.with_hint(format!("quote globs for the shell; haulout ls {wanted} lists all files"))
}

/// Returns a warning if the snapshot is partial or has corrupt pages.
fn doubt(stored: &StoredSnapshot) -> Option<String> {
    let about = &stored.snapshot.about;
    match about.verdict {
        Verdict::Complete | Verdict::Unattested => None,
        Verdict::CorruptPages | Verdict::Partial => {
            let (id, verdict) = (stored.id().short(), about.verdict);
            let why = about.reasons.first().map_or("no reason is given", String::as_str);
            Some(format!("snapshot {id} is {verdict}: {why}"))
        }
    }
}
