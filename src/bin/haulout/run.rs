//! Does what a plan says: opens the repository, calls one verb of the library, hands its report on.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulout::base::entropy::Entropy;
use haulout::base::entropy::OsEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::monitor::Monitor;
use haulout::format::snapshot::Verdict;
use haulout::ops;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::prepare::PrepareReport;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::repo::store_error;
use haulout::seal::holder::Cost;
use haulout::seal::holder::HolderNote;
use haulout::seal::holder::Limits;
use haulout::source::FileSource;
use haulout::source::PIPE_BYTES;
use haulout::source::Source;
use haulout::source::child::ChildSource;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::local::LocalStore;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::json;
use crate::password::PasswordSource;
use crate::password::Purpose;
use crate::plan::BackupPlan;
use crate::plan::Job;
use crate::plan::NewRepository;
use crate::plan::Plan;
use crate::plan::RestorePlan;
use crate::plan::Target;
use crate::plan::VerifyPlan;
use crate::producer_log::ProducerLog;
use crate::progress::Activity;
use crate::progress::Progress;
use crate::report::Outlet;
use crate::report::Report;
use crate::report::Restored;
use crate::signals::Stop;
use crate::units;

/// How often a person may mistype a password.
const PASSWORD_TRIES: u32 = 3;
/// What may be in the place of a new repository: what an interrupted `init` leaves, and what a new
/// file system has.
const NO_CONTENT: [&str; 2] = ["keys", "lost+found"];

/// Does what `plan` says.
pub(crate) fn run(plan: Plan, report: &Report) -> Outcome<Exit> {
    let monitor = Arc::new(Monitor::default());
    let console = Arc::clone(&report.console);
    let stop = Stop::listen(Arc::clone(&monitor), console)
        .map_err(|e| Error::new(ErrorKind::Source, "cannot listen for signals").because(e))?;
    let run = Run { plan: &plan, report, monitor, stop };
    match &plan.job {
        Job::Init(how) => run.init(*how),
        Job::Backup(backup) => run.backup(backup),
        Job::Snapshots => run.snapshots(),
        Job::Show(snapshot) => run.show(snapshot),
        Job::Restore(restore) => run.restore(restore),
        Job::Verify(verify) => run.verify(verify),
    }
}

/// What every verb needs.
struct Run<'r> {
    plan: &'r Plan,
    report: &'r Report,
    monitor: Arc<Monitor>,
    stop: Stop,
}

impl Run<'_> {
    fn init(&self, how: NewRepository) -> Outcome<Exit> {
        require_vacant(&self.plan.place)?;
        let note = HolderNote {
            label: self.plan.host.clone(),
            created_unix_seconds: self.report.clock.unix_seconds(),
        };
        let credential = match how {
            NewRepository::Encrypted => {
                Some(self.plan.password.credential(Purpose::Protect, &self.monitor)?)
            }
            NewRepository::Clear => None,
        };
        let protection = match &credential {
            Some(credential) => NewProtection::Encrypted { credential, cost: Cost::STANDARD, note },
            None => NewProtection::Clear,
        };
        let store = LocalStore::create(&self.plan.place)
            .map_err(|e| store_error(format!("cannot make {}", self.plan.place.display()), e))?;
        let repository = store.location();
        let made = Repository::init(Arc::new(store), &protection, entropy())?;
        let id = made.keyring().repository().to_string();
        self.report.init(&json::Init { repository, id, encrypted: credential.is_some() })?;
        Ok(Exit::Done)
    }

    fn backup(&self, plan: &BackupPlan) -> Outcome<Exit> {
        let store = self.store()?;
        let swept = store.sweep_temporaries().map_err(|e| store_error("cannot tidy up", e))?;
        if swept.removed > 0 {
            let bytes = units::size(swept.bytes);
            self.report.console.note(format!("removed {bytes} that interrupted runs had left"));
        }
        let repository = self.open(Arc::new(store))?;
        let options = BackupOptions {
            source: plan.source.clone(),
            tags: plan.tags.clone(),
            level: plan.level,
            read_back: plan.read_back,
            workers: self.plan.workers,
            host: self.plan.host.clone(),
            checkpoint_bytes: plan.checkpoint_bytes,
            checkpoint_seconds: plan.checkpoint_seconds,
        };
        let log = ProducerLog::new(&self.report.console);
        let source = self.source(plan, &log)?;
        let (began, progress) = (self.now(), self.progress(Activity::BackingUp));
        let done =
            ops::backup::backup(&repository, source, &options, &self.report.clock, &self.monitor);
        drop(progress);
        let report = match done {
            Ok(report) => report,
            Err(error) => {
                log.show();
                return Err(error.into());
            }
        };
        if report.about.verdict == Verdict::Partial {
            log.show();
        }
        self.report.backup(&report, self.now().saturating_sub(began))?;
        Ok(outcome(&report))
    }

    fn source(&self, plan: &BackupPlan, log: &ProducerLog) -> Result<Box<dyn Source>> {
        let Some(program) = plan.command.first() else {
            let source = FileSource::stdin();
            let trouble =
                |e| Error::new(ErrorKind::Source, "cannot read standard input").because(e);
            return Ok(Box::new(source.map_err(trouble)?));
        };
        let (source, killer) = ChildSource::start(&plan.command, log.writer()).map_err(|e| {
            let message = format!("cannot start {}", program.to_string_lossy());
            Error::new(ErrorKind::Source, message).because(e)
        })?;
        self.stop.ends(killer);
        Ok(Box::new(source))
    }

    fn snapshots(&self) -> Outcome<Exit> {
        let listing = self.repository()?.snapshots()?;
        self.report.snapshots(&listing)?;
        Ok(Exit::with(listing.damaged.len()))
    }

    fn show(&self, wanted: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = find(&repository, wanted)?;
        self.report.show(&stored, &mut |each| {
            ops::show::members(&repository, &stored, &self.monitor, each)
        })?;
        Ok(Exit::Done)
    }

    fn restore(&self, plan: &RestorePlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = find(&repository, &plan.snapshot)?;
        if let Some(doubt) = doubt(&stored) {
            self.report.console.warning(doubt);
        }
        let options = RestoreOptions { include: plan.include.clone(), workers: self.plan.workers };
        let (began, progress) = (self.now(), self.progress(Activity::Restoring));
        let report = match &plan.target {
            Target::Stdout => self.restore_stream(&repository, &stored, &options)?,
            Target::Directory(directory, _) => ops::restore::to_directory(
                &repository,
                &stored,
                directory,
                &options,
                &self.monitor,
            )?,
        };
        drop(progress);
        let time = self.now().saturating_sub(began);
        let findings = report.warnings.len() + usize::from(doubt(&stored).is_some());
        let (target, prepared, outlet) = match &plan.target {
            Target::Stdout => ("standard output".to_owned(), None, Outlet::StandardError),
            Target::Directory(directory, program) => {
                let prepare = |program| self.prepare(directory, program);
                let prepared = program.as_deref().map(prepare).transpose()?;
                (directory.display().to_string(), prepared, Outlet::StandardOutput)
            }
        };
        let restored = Restored { stored: &stored, target, report, time, prepared };
        self.report.restore(&restored, outlet)?;
        Ok(Exit::with(findings))
    }

    fn restore_stream(
        &self,
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let mut out = standard_output()?;
        let report = ops::restore::to_stream(repository, stored, &mut out, options, &self.monitor)?;
        out.flush().map_err(not_written)?;
        Ok(report)
    }

    fn prepare(&self, directory: &Path, program: &OsStr) -> Result<(PrepareReport, Duration)> {
        let began = self.now();
        let log = ProducerLog::new(&self.report.console);
        let report = ops::prepare::prepare(directory, program, log.writer(), &self.monitor);
        let report = report.inspect_err(|_| log.show())?;
        Ok((report, self.now().saturating_sub(began)))
    }

    fn verify(&self, plan: &VerifyPlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let find = |wanted: &String| find(&repository, wanted);
        let options = VerifyOptions {
            depth: plan.depth,
            snapshots: plan.snapshots.iter().map(find).collect::<Outcome<_>>()?,
            workers: self.plan.workers,
        };
        let (began, progress) = (self.now(), self.progress(verifying(plan.depth)));
        let report = ops::verify::verify(&repository, &options, &self.monitor)?;
        drop(progress);
        self.report.verify(&report, plan.depth, self.now().saturating_sub(began))?;
        Ok(Exit::with(report.findings.len()))
    }

    fn now(&self) -> Duration {
        self.report.clock.elapsed()
    }

    fn progress(&self, activity: Activity) -> Progress {
        let Report { console, clock, .. } = self.report;
        Progress::show(activity, console, &self.monitor, clock)
    }

    fn store(&self) -> Result<LocalStore> {
        let place = self.plan.place.display();
        LocalStore::open(&self.plan.place).map_err(|error| {
            if error.category() == Category::NotFound {
                let message = format!("there is no repository at {place}");
                return Error::new(ErrorKind::NoRepository, message);
            }
            store_error(format!("cannot open {place}"), error)
        })
    }

    fn repository(&self) -> Outcome<Repository> {
        self.open(Arc::new(self.store()?))
    }

    fn open(&self, store: Arc<dyn Store>) -> Outcome<Repository> {
        let person = matches!(self.plan.password, PasswordSource::Ask);
        let mut tries = if person { PASSWORD_TRIES } else { 1 };
        loop {
            let mut ask = || self.plan.password.credential(Purpose::Open, &self.monitor);
            let opened =
                Repository::open(Arc::clone(&store), &mut ask, &Limits::STANDARD, entropy());
            tries -= 1;
            match opened {
                Err(error) if error.kind() == ErrorKind::WrongKey && tries > 0 => {
                    self.report.console.warning(error);
                }
                opened => return Ok(opened?),
            }
        }
    }
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(OsEntropy)
}

/// How often a verification reads what is stored.
fn verifying(depth: Depth) -> Activity {
    let passes = match depth {
        Depth::Objects | Depth::Stored => 1,
        Depth::Blocks | Depth::Pages => 2,
    };
    Activity::Verifying { passes }
}

/// The snapshot that is meant.
fn find(repository: &Repository, wanted: &str) -> Outcome<StoredSnapshot> {
    repository.find_snapshot(wanted).map_err(|error| {
        if error.kind() == ErrorKind::Usage {
            return Failure::new(error, "haulout snapshots lists what there is");
        }
        error.into()
    })
}

/// Whether somebody should look at what came of a backup.
fn outcome(report: &BackupReport) -> Exit {
    match report.about.verdict {
        Verdict::CorruptPages | Verdict::Partial => Exit::Findings,
        Verdict::Complete | Verdict::Unattested if report.counts.blocks_healed > 0 => {
            Exit::Findings
        }
        Verdict::Complete | Verdict::Unattested => Exit::with(report.damaged.len()),
    }
}

/// Why a snapshot is not what one would like to restore.
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

/// A new repository is not mixed with anything.
fn require_vacant(place: &Path) -> Outcome<()> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let message = format!("cannot look into {}", place.display());
            return Err(Error::new(ErrorKind::Store, message).because(error).into());
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == "config" {
            // The library says more about it.
            return Ok(());
        }
        if !NO_CONTENT.iter().any(|known| name == *known) {
            let message = format!("{} is not empty", place.display());
            return Err(Error::new(ErrorKind::Occupied, message).into());
        }
    }
    Ok(())
}

/// Standard output without the line buffer that is good for text only.
fn standard_output() -> Result<BufWriter<File>> {
    let out = io::stdout().as_fd().try_clone_to_owned().map_err(not_written)?;
    // A pipe of the default size works as well, only slower; a file is no pipe at all.
    let _size = rustix::pipe::fcntl_setpipe_size(&out, PIPE_BYTES);
    Ok(BufWriter::with_capacity(PIPE_BYTES, File::from(out)))
}

fn not_written(error: io::Error) -> Error {
    Error::new(ErrorKind::Target, "cannot write to standard output").because(error)
}
