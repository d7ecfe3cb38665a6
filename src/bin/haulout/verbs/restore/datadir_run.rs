//! Restores a snapshot to the data directory of a server.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::datadir;
use haulout::ops::datadir::Donors;
use haulout::ops::datadir::Listener;
use haulout::ops::datadir::Startable;
use haulout::ops::datadir::journal::Journal;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::Sharing;
use haulout::ops::restore::accounts::Accounts;
use haulout::repo::Repository;
use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::server::login::CLIENT_GROUPS;
use haulout::server::login::Login;
use haulout::server::option_file::Options;
use haulout::server::session::Session;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::server::user;
use crate::open::consent::Answer;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::console::Console;
use crate::output::console::Loudness;
use crate::output::producer_log::ProducerLog;
use crate::output::progress::Activity;
use crate::verbs::job::Job;
use crate::verbs::restore::datadir_plan::DatadirPlan;
use crate::verbs::restore::datadir_plan::Deed;

/// The hint about plans in which something is wrong.
const WRONG: &str = "put right what is named, and look again with --plan";

impl Job for DatadirPlan {
    fn traits(&self) -> Traits {
        Traits { limit: self.limit.clone(), ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        match self.deed {
            Deed::Plan => run.plan_datadir(self),
            Deed::Restore => run.restore_datadir(self),
            Deed::Resume => run.resume_datadir(self),
            Deed::Undo => run.undo_datadir(self),
        }
    }
}

/// Tells the user what a restore does, and keeps the messages of its programs.
#[derive(Debug)]
struct Teller {
    console: Arc<Console>,
    log: ProducerLog,
}

impl Listener for Teller {
    fn says(&self, words: &str) {
        if self.console.loudness >= Loudness::Normal {
            self.console.note(words);
        }
    }

    fn program(&self) -> Box<dyn Write + Send> {
        self.log.writer()
    }
}

impl Run<'_> {
    fn teller(&self) -> Teller {
        let console = Arc::clone(&self.report.console);
        Teller { log: ProducerLog::new(&console), console }
    }

    /// Plans a restore, and asks the donors if the server joins a cluster.
    fn planned(
        &self,
        repository: &Repository,
        plan: &DatadirPlan,
    ) -> Outcome<(String, datadir::Plan)> {
        let wanted = plan.snapshot.as_deref().unwrap_or_default();
        let stored = self.find(repository, wanted)?;
        let mut options = plan.options.clone();
        if plan.joins {
            options.donors = Some(donors(&plan.donors, plan.donor_file.as_deref())?);
        }
        let planned = datadir::plan(repository, &stored, &options, &self.world);
        let planned = planned.map_err(|error| unfinished(error, &plan.options.directory))?;
        let about = &stored.snapshot.about;
        let source = format!("{} ({}, {})", stored.id().short(), about.source, {
            self.report.canvas.time(about.time)
        });
        Ok((source, planned))
    }

    fn plan_datadir(&self, plan: &DatadirPlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (source, planned) = self.planned(&repository, plan)?;
        self.report.datadir_plan(&source, &planned)?;
        Ok(Exit::with(planned.problems.len()))
    }

    fn restore_datadir(&self, plan: &DatadirPlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (source, planned) = self.planned(&repository, plan)?;
        if let Err(error) = planned.require_clear() {
            for problem in &planned.problems {
                self.report.console.warning(problem);
            }
            return Err(Failure::new(error, WRONG));
        }
        for note in &planned.notes {
            self.report.console.note(note);
        }
        if let Some(directory) = &planned.removes {
            self.require_path(plan, directory)?;
        }
        let journal =
            datadir::begin(planned).map_err(|error| unfinished(error, &plan.options.directory))?;
        self.carry_out(&repository, plan, journal, &source)
    }

    fn resume_datadir(&self, plan: &DatadirPlan) -> Outcome<Exit> {
        let journal = unfinished_journal(plan)?;
        let repository = self.repository()?;
        let id = journal.head.snapshot.clone();
        if let Some(wanted) = &plan.snapshot
            && self.find(&repository, wanted)?.id().to_string() != id
        {
            let short = id.get(..12).unwrap_or(&id);
            let what = format!("the restore that was interrupted is of snapshot {short}");
            return Err(Failure::usage(what, "name that snapshot, or none"));
        }
        let source = id.get(..12).unwrap_or(&id).to_owned();
        self.carry_out(&repository, plan, journal, &source)
    }

    fn carry_out(
        &self,
        repository: &Repository,
        plan: &DatadirPlan,
        journal: Journal,
        source: &str,
    ) -> Outcome<Exit> {
        let refused = || Sharing::Refuse(Accounts::of_this_host());
        let sharing = if plan.is_shared { Sharing::Allow } else { refused() };
        let options =
            RestoreOptions { sharing, ..RestoreOptions::new(self.settings.at_once.workers) };
        let (began, teller) = (self.now(), self.teller());
        let progress = self.progress(Activity::Restoring);
        let done = datadir::carry_out(repository, journal, &options, &teller, &self.world);
        drop(progress);
        let report = done.map_err(|error| self.interrupted(error, plan, &teller))?;
        let time = self.now().saturating_sub(began);
        let findings = report.warnings.len() + report.missing.len();
        self.report.datadir(source, &report, time)?;
        Ok(Exit::with(findings))
    }

    /// Adds to an error what the directory holds, and the two ways on.
    fn interrupted(&self, error: Error, plan: &DatadirPlan, teller: &Teller) -> Failure {
        teller.log.show();
        let directory = &plan.options.directory;
        let Ok(journal) = datadir::unfinished(directory) else { return Failure::from(error) };
        let state = datadir::startable(&journal);
        let log = journal.head.places.log.display().to_string();
        self.report.console.note(format!("{}: {}; log: {log}", directory.display(), state.words()));
        Failure::new(error, ways_on(directory))
    }

    fn undo_datadir(&self, plan: &DatadirPlan) -> Outcome<Exit> {
        let journal = unfinished_journal(plan)?;
        let teller = self.teller();
        let undone = datadir::undo(journal, &teller, &self.world)?;
        self.report.datadir_undone(&undone)?;
        Ok(Exit::with(0))
    }

    /// Asks for the path of the data that are removed, unless `--yes` was given.
    fn require_path(&self, plan: &DatadirPlan, directory: &Path) -> Outcome<()> {
        let shown = directory.display().to_string();
        let what = format!("the data in {shown} are removed first, and can't be brought back");
        let question = format!("{what}; type the path to go on: ");
        match self.answer_in_full(plan.consent, &question, &shown)? {
            Answer::Yes => Ok(()),
            Answer::No => {
                Err(Failure::new(Error::cancelled(), "nothing was changed; it was another path"))
            }
            Answer::Unasked => Err(crate::open::consent::unasked(&what)),
        }
    }
}

/// Opens the journal of a restore that has not finished.
fn unfinished_journal(plan: &DatadirPlan) -> Outcome<Journal> {
    datadir::unfinished(&plan.options.directory).map_err(|error| {
        if error.kind() == ErrorKind::Usage {
            Failure::new(error, "begin one: haulout restore SNAPSHOT --datadir")
        } else {
            Failure::from(error)
        }
    })
}

/// Adds to the refusal of a second restore what can be done about the first.
fn unfinished(error: Error, directory: &Path) -> Failure {
    if error.kind() != ErrorKind::Occupied {
        return Failure::from(error);
    }
    let words = match datadir::unfinished(directory) {
        Ok(journal) => datadir::startable(&journal).words(),
        Err(_) => Startable::Neither.words(),
    };
    Failure::new(error, format!("{words}; {}", ways_on(directory)))
}

fn ways_on(directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "with the same --repo, haulout restore --datadir {shown} --resume continues, and haulout \
         restore --datadir {shown} --undo takes it back"
    )
}

/// Asks the donors what write sets they have.
fn donors(addresses: &[Address], file: Option<&Path>) -> Outcome<Donors> {
    let options =
        file.map_or_else(|| Ok(Options::default()), |file| Options::read(file, &CLIENT_GROUPS))?;
    let login = Login::from_options(&options, &user());
    let ask = |address: &Address| -> Result<Node> {
        let mut session = Session::connect(address, &login)?;
        Node::ask(&mut session)?.ok_or_else(|| {
            Error::new(ErrorKind::Server, format!("the server {address} is no node of a cluster"))
        })
    };
    let of_node = |address: &Address| {
        (address.to_string(), ask(address).map_err(|error| error.with_causes()))
    };
    Ok(Donors { nodes: addresses.iter().map(of_node).collect() })
}
