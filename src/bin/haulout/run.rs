//! Does what a plan says: opens the repository, calls one verb of the library, hands its report on.

mod backup;
mod init;
mod restore;
mod show;
mod snapshots;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use haulout::base::entropy::Entropy;
use haulout::base::entropy::OsEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::monitor::Monitor;
use haulout::repo::Repository;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::repo::store_error;
use haulout::seal::holder::Limits;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::local::LocalStore;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::password::PasswordSource;
use crate::password::Purpose;
use crate::plan::Job;
use crate::plan::Plan;
use crate::progress::Activity;
use crate::progress::Progress;
use crate::report::Report;
use crate::signals::Stop;

/// How often a person may mistype a password.
const PASSWORD_TRIES: u32 = 3;
/// Does what `plan` says.
pub(crate) fn run(plan: Plan, report: &Report) -> Outcome<Exit> {
    let monitor = Arc::new(Monitor::default());
    let console = Arc::clone(&report.console);
    let stop = Stop::listen(Arc::clone(&monitor), console)
        .map_err(|e| Error::new(ErrorKind::Source, "cannot listen for signals").because(e))?;
    let run = Run { plan: &plan, report, monitor, stop };
    match &plan.job {
        Job::Init(plan) => run.init(*plan),
        Job::Backup(plan) => run.backup(plan),
        Job::Snapshots => run.snapshots(),
        Job::Show(snapshot) => run.show(snapshot),
        Job::Restore(plan) => run.restore(plan),
        Job::Verify(plan) => run.verify(plan),
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

/// The snapshot that is meant.
fn find(repository: &Repository, wanted: &str) -> Outcome<StoredSnapshot> {
    repository.find_snapshot(wanted).map_err(|error| {
        if error.kind() == ErrorKind::Usage {
            return Failure::new(error, "haulout snapshots lists what there is");
        }
        error.into()
    })
}
