//! `init`: makes a repository.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::memory::Work;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::repo::keys::Credential;
use haulout::repo::keys::KdfCost;
use haulout::repo::keys::KeySlotNote;
use haulout::repo::keys::Keys;
use haulout::repo::keys::Limits;
use haulout::repo::probe::SecondPut;
use haulout::repo::probe::StoreFacts;
use haulout::store::Store;
use haulout::store::location::Location;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Secrets;
use crate::open::traits::Traits;
use crate::output::console::Loudness;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::secrets::password::PasswordSource;
use crate::secrets::password::Purpose;
use crate::secrets::prompt::Terminal;
use crate::verbs::job::Job;
use crate::verbs::key::plan::NewKit;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db init --password-file /etc/haulout.password
  haulout init --job nightly

Without the password nothing can be restored: keep a copy of it away from this host.";

/// Make a repository
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct InitArguments {
    /// Store everything in the clear
    #[arg(long, conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) no_encryption: bool,

    /// Make the repositories of this job that are missing
    ///
    /// The repository of the job, and then its replicas, as copies with the same keys.
    #[arg(long, value_name = "JOB", conflicts_with = "no_encryption")]
    pub(crate) job: Option<String>,
}

/// The protection of a new repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRepository {
    /// Encrypted: a password or key file opens it.
    Encrypted,
    /// Not encrypted, readable by anyone with the store.
    Clear,
}

impl NewRepository {
    /// Builds the plan from the parsed arguments.
    pub(crate) fn new(typed: &InitArguments) -> Self {
        if typed.no_encryption { Self::Clear } else { Self::Encrypted }
    }
}

const ASKED: &str = "the password was asked for twice";
const KIT_QUESTION: &str = "\
A recovery kit opens the repository when every password is lost: a text to print and lock away.
file to write it to (empty for none): ";
const REPLICA_QUESTION: &str = "\
address of a copy of the repository, to be read on the kit (empty to write it in by hand): ";

impl Job for NewRepository {
    fn traits(&self) -> Traits {
        Traits {
            effect: Effect::Adds,
            work: Work::Writes,
            secrets: Secrets::Made,
            ..Traits::default()
        }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.init(*self)
    }
}

impl Run<'_> {
    /// Creates a repository and prints its report.
    pub(crate) fn init(&self, how: NewRepository) -> Outcome<Exit> {
        let store = self.new_store_at(&self.site())?;
        let note = KeySlotNote {
            label: self.settings.host.clone(),
            created_unix_seconds: self.report.clock.unix_seconds(),
        };
        let mut credential = match how {
            NewRepository::Encrypted => {
                Some(self.credential(&self.settings.password, Purpose::Protect)?)
            }
            NewRepository::Clear => None,
        };
        let protection = match &credential {
            Some(credential) => {
                NewProtection::Encrypted { credential, cost: KdfCost::STANDARD, note }
            }
            None => NewProtection::Clear,
        };
        let repository = store.location();
        let made = Repository::init(Arc::clone(&store), &protection, &self.world)?;
        let id = made.keyring().repository().to_string();
        let facts = match &self.settings.place {
            Location::Directory(_) => None,
            Location::Bucket { service, .. } => {
                Some(made.probe_store(service.scheme(), &self.world)?)
            }
        };
        let encrypted = credential.is_some();
        self.report.init(&Init { repository, id, encrypted, store: facts })?;
        if encrypted {
            let mut known = || credential.take().ok_or_else(|| Error::new(ErrorKind::NoKey, ASKED));
            self.offer_kit(&store, &mut known)?;
        }
        Ok(Exit::Done)
    }

    /// Asks the person at the terminal, if there is one, for a place for a recovery kit; the kit is
    /// tested at once.
    fn offer_kit(
        &self,
        store: &Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
    ) -> Outcome<()> {
        let unattended = self.report.console.loudness == Loudness::Quiet || self.report.is_json();
        let Some(mut terminal) = Terminal::open().filter(|_| !unattended) else { return Ok(()) };
        let answer = terminal.ask(KIT_QUESTION, &self.world.monitor).unwrap_or_default();
        if answer.is_empty() || self.world.monitor.check().is_err() {
            drop(terminal);
            self.report.console.note("haulout key export writes a recovery kit later");
            return Ok(());
        }
        let replica = terminal.ask(REPLICA_QUESTION, &self.world.monitor).unwrap_or_default();
        drop(terminal);
        let replicas: Vec<String> =
            Some(replica).filter(|given| !given.is_empty()).into_iter().collect();
        let keys = Keys::open(Arc::clone(store), credential, &Limits::STANDARD, &self.world)?;
        let kit = NewKit {
            path: Path::new(&answer),
            password: Some(&PasswordSource::Ask),
            replicas: &replicas,
        };
        self.export(&keys, &**store, &kit)
    }
}

/// The JSON report of `init`.
#[derive(Debug, Serialize)]
pub(crate) struct Init {
    /// The location of the repository.
    pub(crate) repository: String,
    /// The random id of the repository.
    pub(crate) id: String,
    /// True if the repository is encrypted.
    pub(crate) encrypted: bool,
    /// The findings about its store, if the store was probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<StoreFacts>,
}

impl Report {
    /// Prints the report of `init`.
    pub(crate) fn init(&self, made: &Init) -> Result<()> {
        let Init { repository, id, encrypted, store } = made;
        let how = if *encrypted { "encrypted" } else { "not encrypted" };
        let seen = store.as_ref().map(seen).unwrap_or_default();
        let text = || format!("made repository {id} at {}, {how}\n{seen}", clean(repository));
        self.result(made, text)
    }
}

/// Formats the facts about a store that people should know.
fn seen(facts: &StoreFacts) -> String {
    let yes = |seen: bool| if seen { "yes" } else { "no" };
    let second = match facts.second_put {
        SecondPut::Refused => "refused",
        SecondPut::Replaces => "replaces the first (harmless: names are hashes)",
    };
    format!(
        "the store: parts of objects {}, listed at once {}, a second put {second}, may delete {}\n",
        yes(facts.ranges),
        yes(facts.listed_after_write),
        yes(facts.deletes),
    )
}
