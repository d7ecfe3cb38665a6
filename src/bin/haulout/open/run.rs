//! The state of a run: how a verb opens its repository, finds snapshots, asks for passwords and
//! remembers what the store showed.
//!
//! Nothing here knows which verb runs: it asks its [`Traits`].

use std::cell::Cell;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::verify::History;
use haulout::repo::Repository;
use haulout::repo::SnapshotId;
use haulout::repo::keys::Credential;
use haulout::repo::keys::Limits;
use haulout::repo::keys::RecoveryKit;
use haulout::repo::keys::Suite;
use haulout::repo::notes::Notes;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::store::Store;
use haulout::verdict::finding::Code;
use haulout::verdict::finding::Finding;
use haulout::verdict::finding::FindingLog;
use haulout::world::OsEntropy;
use haulout::world::World;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::settings::Exposed;
use crate::open::settings::Settings;
use crate::open::traits::Effect;
use crate::open::traits::Secrets;
use crate::open::traits::Traits;
use crate::open::traits::WhenDoubted;
use crate::open::trust_state::TrustState;
use crate::output::console::Loudness;
use crate::output::progress::Activity;
use crate::output::progress::Progress;
use crate::output::report::Report;
use crate::panics;
use crate::secrets::password::Fetched;
use crate::secrets::password::PasswordSource;
use crate::secrets::password::Purpose;
use crate::secrets::password::Spelling;
use crate::secrets::recovery_kit;
use crate::signals::PATIENCE;
use crate::signals::Stop;

/// Number of times that a person may try a password.
const PASSWORD_TRIES: u32 = 3;
/// The hint for a damaged config or damaged keys.
const NOTHING_OPENS: &str = "put the objects config and keys/ back from a copy of the repository; \
                             a recovery kit (--recovery-kit) stands in for lost keys";

/// The hint for a damaged key where no other one opens.
const DAMAGED_KEY: &str = "if the password is right, put the damaged key back from a copy of the \
                           repository, or use a recovery kit (--recovery-kit)";

/// The state that every verb needs.
pub(crate) struct Run<'r> {
    pub(crate) settings: Settings,
    pub(crate) traits: Traits,
    pub(crate) report: &'r Report,
    pub(crate) world: World,
    pub(crate) stop: Stop,
    /// True if the repository is not as this host remembers it.
    doubted: Cell<bool>,
    /// True once a warning was printed.
    warned: Cell<bool>,
    /// Findings besides the work itself: of caches, about files with passwords.
    pub(crate) findings: Arc<FindingLog>,
    /// The spelling of the last password tried, if it could be spelled otherwise.
    spelling: Cell<Option<Spelling>>,
}

impl<'r> Run<'r> {
    /// Starts to listen for signals, and to collect what is found besides the work itself.
    pub(crate) fn begin(settings: Settings, traits: Traits, report: &'r Report) -> Result<Self> {
        panics::asked_for_at("main");
        let (clock, entropy) = (Arc::clone(&report.clock), Arc::new(OsEntropy));
        let world = World { clock, entropy, monitor: Arc::default() };
        let console = Arc::clone(&report.console);
        let stop = Stop::listen(Arc::clone(&world.monitor), console, PATIENCE)
            .map_err(|e| Error::new(ErrorKind::Source, "cannot listen for signals").because(e))?;
        let (doubted, warned, findings) = (Cell::new(false), Cell::new(false), Arc::default());
        let spelling = Cell::new(None);
        Ok(Run { settings, traits, report, world, stop, doubted, warned, findings, spelling })
    }

    /// Reports the findings, and returns how the program ends after this outcome of the verb.
    pub(crate) fn end(self, done: Outcome<Exit>) -> Outcome<Exit> {
        let report = self.report;
        // What was found counts for a run that failed as well.
        let warned = report.findings(&self.findings.take()) || report.is_unprinted();
        let warned = warned || self.warned.get() || self.doubted.get();
        let exit = done?;
        let exit = if warned { exit.and_findings() } else { exit };
        let console = &report.console;
        if exit == Exit::Findings && console.loudness == Loudness::Quiet && !console.has_warned() {
            console.warning("done, with findings; without --quiet they are shown");
        }
        Ok(exit)
    }
}

impl Run<'_> {
    pub(crate) fn now(&self) -> Duration {
        self.report.clock.elapsed()
    }

    pub(crate) fn progress(&self, activity: Activity) -> Progress {
        let Report { console, clock, .. } = self.report;
        Progress::show(activity, console, &self.world.monitor, clock)
    }

    /// Reads when snapshots were verified, and warns of what can't be read.
    pub(crate) fn history(&self, repository: &Repository) -> Result<History> {
        let history = History::read(repository)?;
        for error in &history.unread {
            self.report.console.warning(error.with_causes());
        }
        Ok(history)
    }

    /// Reads notes, and warns of those that can't be read.
    pub(crate) fn notes(
        &self,
        repository: &Repository,
        about: Option<SnapshotId>,
    ) -> Result<Notes> {
        let notes = repository.notes(about)?;
        for error in &notes.damaged {
            self.report.console.warning(error.with_causes());
        }
        Ok(notes)
    }

    /// Prints a warning that counts for the exit status.
    pub(crate) fn warn(&self, message: String) {
        self.report.console.warning(message);
        self.warned.set(true);
    }

    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        self.store_at(&self.site())
    }

    pub(crate) fn repository(&self) -> Outcome<Repository> {
        self.open(self.store()?)
    }

    pub(crate) fn open(&self, store: Arc<dyn Store>) -> Outcome<Repository> {
        let (limits, store) = (Limits::STANDARD, &store);
        let opened = self.unlocked(|access| match access {
            Access::Key(credential) => {
                Repository::open(Arc::clone(store), credential, &limits, &self.world)
            }
            Access::Kit(kit, passphrase) => {
                Repository::open_by_kit(Arc::clone(store), kit, passphrase, &limits, &self.world)
            }
        })?;
        if self.settings.recovery_kit.is_some()
            || !matches!(self.settings.password, PasswordSource::Ask)
        {
            require_encryption(&opened)?;
        }
        self.warn_retired(&opened)?;
        self.compare(&opened)?;
        Ok(opened)
    }

    /// Warns a reader whose key was retired by a rotation that there may be more. A writer with
    /// such a key is refused elsewhere.
    pub(crate) fn warn_retired(&self, opened: &Repository) -> Result<()> {
        match opened.require_newest_key() {
            Err(error) if error.kind() == ErrorKind::RetiredSlot => {
                if self.traits.effect == Effect::Reads {
                    self.report.console.warning(error);
                }
                Ok(())
            }
            checked => checked,
        }
    }

    /// Compares a repository with what this host remembers of it. A verb that says so goes on
    /// all the same.
    pub(crate) fn compare(&self, opened: &Repository) -> Outcome<()> {
        let Some(directory) = &self.settings.state else { return Ok(()) };
        let goes_on = self.traits.when_doubted == WhenDoubted::GoOn;
        let mut known = match TrustState::load(directory, &opened.store().location()) {
            Err(error) if goes_on => {
                self.report.console.warning(error.with_causes());
                self.doubted.set(true);
                return Ok(());
            }
            loaded => loaded?,
        };
        known.check_repository(opened)?;
        match known.check_newest(opened) {
            Ok(()) => Ok(known.update(opened, &self.findings)?),
            Err(failure) if goes_on => {
                self.report.console.warning(format!("{}; {}", failure.line(), failure.hint()));
                self.doubted.set(true);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Remembers what a repository shows after a change.
    pub(crate) fn remember(&self, changed: &Repository) -> Result<()> {
        match &self.settings.state {
            Some(directory) if !self.doubted.get() => {
                let mut known = TrustState::load(directory, &changed.store().location())?;
                known.update(changed, &self.findings)
            }
            _ => Ok(()),
        }
    }

    /// Fetches a password or key file. A file that everybody can read is refused where secrets are
    /// made, and a finding elsewhere.
    pub(crate) fn credential(
        &self,
        source: &PasswordSource,
        purpose: Purpose,
    ) -> Result<Credential> {
        let Fetched { credential, spelling, exposed } =
            source.fetch(purpose, &self.world.monitor)?;
        self.spelling.set(spelling);
        if let Some(file) = exposed {
            self.report_exposed(file, purpose)?;
        }
        Ok(credential)
    }

    /// Refuses a file that everybody can read where secrets are made, and reports it elsewhere.
    pub(crate) fn report_exposed(&self, file: String, purpose: Purpose) -> Result<()> {
        if self.settings.exposed == Exposed::Accepted {
            return Ok(());
        }
        if purpose.is_new() || self.traits.secrets == Secrets::Made {
            let what = format!("{file} has a secret, and every user of this host can read it");
            return Err(Error::new(ErrorKind::Exposed, what));
        }
        let text = "it has a secret, and every user of this host can read it";
        self.findings.report(Finding::new(Code::InsecurePermissions, file, text));
        Ok(())
    }

    /// Reads the recovery kit, if one was given.
    pub(crate) fn recovery_kit(&self) -> Outcome<Option<RecoveryKit>> {
        let Some(path) = &self.settings.recovery_kit else { return Ok(None) };
        let read = recovery_kit::read(path).map_err(|error| {
            Failure::new(
                error,
                "name the file that haulout key export wrote, or what was typed off it",
            )
        })?;
        if read.is_exposed {
            self.report_exposed(path.display().to_string(), Purpose::Kit)?;
        }
        Ok(Some(read.kit))
    }

    /// Adds the hint that a wrong password may belong to a damaged key or need another spelling.
    pub(crate) fn misspelt(&self, error: Error) -> Failure {
        if is_about_damage(&error) {
            return Failure::new(error, DAMAGED_KEY);
        }
        match self.spelling.get() {
            Some(spelling) => Failure::new(error, spelling.hint()),
            None => error.into(),
        }
    }

    /// Finds the snapshot that is meant. If it was chosen as the newest of its kind and is known to
    /// be damaged, that is reported before anything is done with it.
    pub(crate) fn find(&self, repository: &Repository, wanted: &str) -> Outcome<StoredSnapshot> {
        let stored = find(repository, wanted)?;
        let by_id = ["latest", "@complete"].iter().all(|word| !wanted.ends_with(word));
        if by_id {
            return Ok(stored);
        }
        let damage = repository.known_damage()?;
        let Some(found) = damage.of(&stored.id()) else { return Ok(stored) };
        let about = &stored.snapshot.about;
        let what = found.named.first().map_or("it is damaged", String::as_str);
        let instead = match repository.newest_without(&stored, &damage)? {
            Some(other) => {
                let (id, time) = (other.id().short(), other.snapshot.about.time);
                format!(
                    "the newest without known damage is {id} of {}",
                    self.report.canvas.time(time)
                )
            }
            None => "there is none without known damage".to_owned(),
        };
        self.warn(format!(
            "snapshot {} of {} is known to be damaged: {what}; {instead}",
            stored.id().short(),
            about.source
        ));
        Ok(stored)
    }

    /// Opens something with the password, or the recovery kit, that was given; a person may try
    /// again.
    pub(crate) fn unlocked<T>(&self, mut open: impl FnMut(Access<'_>) -> Result<T>) -> Outcome<T> {
        let kit = self.recovery_kit()?;
        let person = matches!(self.settings.password, PasswordSource::Ask);
        let mut tries = if person { PASSWORD_TRIES } else { 1 };
        loop {
            let purpose = if kit.is_some() { Purpose::Kit } else { Purpose::Open };
            let mut ask = || self.credential(&self.settings.password, purpose);
            let opened = match &kit {
                None => open(Access::Key(&mut ask)),
                Some(kit) => open(Access::Kit(kit, &mut ask)),
            };
            tries -= 1;
            match opened {
                Err(error) if error.kind() == ErrorKind::WrongKey && tries > 0 => {
                    self.report.console.warning(error);
                }
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    return Err(Failure::new(error, NOTHING_OPENS));
                }
                Err(error) if error.kind() == ErrorKind::WrongKey => {
                    return Err(self.misspelt(error));
                }
                opened => return Ok(opened?),
            }
        }
    }
}

/// Tells whether a key was not tried because it is damaged.
pub(crate) fn is_about_damage(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::Damaged)
}

/// Refuses an unencrypted repository. A user who gives a password knows that there is encryption: a
/// config that says otherwise is not the one that was written.
pub(crate) fn require_encryption(opened: &Repository) -> Outcome<()> {
    if opened.keyring().suite() != Suite::KeyedTag {
        return Ok(());
    }
    let place = opened.store().location();
    let message = format!("a password was given, and {place} says that it is not encrypted");
    Err(Failure::new(
        Error::new(ErrorKind::Distrusted, message),
        "if it never was, leave the password out; else somebody has put another config in the \
         place of yours",
    ))
}

/// A way to open a repository; its secret is asked for when it is needed.
pub(crate) enum Access<'a> {
    /// A password or key file.
    Key(&'a mut dyn FnMut() -> Result<Credential>),
    /// A recovery kit, and its password.
    Kit(&'a RecoveryKit, &'a mut dyn FnMut() -> Result<Credential>),
}

/// Finds the snapshot that is meant.
pub(crate) fn find(repository: &Repository, wanted: &str) -> Outcome<StoredSnapshot> {
    repository.find_snapshot(wanted).map_err(|error| {
        if error.kind() == ErrorKind::Usage {
            let hint = if wanted == "latest" {
                "name the source, as in SOURCE@latest; haulout snapshots lists what there is"
            } else {
                "haulout snapshots lists what there is"
            };
            return Failure::new(error, hint);
        }
        error.into()
    })
}
