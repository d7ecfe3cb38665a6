//! Lists and changes keys.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::repo::keys::Credential;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::KdfCost;
use haulout::repo::keys::KeyFile;
use haulout::repo::keys::KeySlotNote;
use haulout::repo::keys::Keys;
use haulout::repo::keys::Limits;
use haulout::repo::keys::Passphrase;
use haulout::repo::keys::Protection;
use haulout::repo::keys::Rotated;
use haulout::store::Store;
use haulout::store::location::Location;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Access;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Secrets;
use crate::open::traits::Traits;
use crate::output::timefmt;
use crate::output::timefmt::Zone;
use crate::secrets::password::PasswordSource;
use crate::secrets::password::Purpose;
use crate::secrets::recovery_kit;
use crate::verbs::job::Job;
use crate::verbs::key::plan::KeyPlan;
use crate::verbs::key::plan::NewKey;
use crate::verbs::key::plan::NewKit;
use crate::verbs::key::report::Change;
use crate::verbs::key::report::Kit;

const ASKED_TWICE: &str = "the key file was asked for twice";

impl Job for KeyPlan {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, secrets: Secrets::Made, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.key(self)
    }
}

impl Run<'_> {
    /// Runs the command of `key` that the plan names.
    pub(crate) fn key(&self, plan: &KeyPlan) -> Outcome<Exit> {
        let store: Arc<dyn Store> = self.store()?;
        let keys = self.keys(&store)?;
        match plan {
            KeyPlan::List => {
                let slots = keys.list()?;
                self.report.keys(&slots)?;
                return Ok(Exit::with(slots.damaged.len()));
            }
            KeyPlan::Add { label, role, with: NewKey::Password(source) } => {
                let password = self.new_password(source, Purpose::NewKey)?;
                let id = keys.add(*role, protection(&password), &self.note(label))?;
                self.report.key_changed(&Change::added(id))?;
            }
            KeyPlan::Add { label, role, with: NewKey::File(path) } => {
                keys.require_may_add()?;
                let file = KeyFile::generate(&*self.world.entropy);
                // The file comes first: without it, a key would remain that nothing opens.
                recovery_kit::write_secret(path, &file.to_text())?;
                let id = keys.add(*role, Protection::KeyFile(&file), &self.note(label))?;
                self.report.key_changed(&Change::added(id))?;
            }
            KeyPlan::Remove(wanted) => {
                let id = keys.find(wanted).map_err(unknown_key)?.id;
                keys.remove(id)?;
                self.report.key_changed(&Change::removed(id))?;
            }
            KeyPlan::Passwd(source) => {
                let old = keys.unlocked().slot.ok_or_else(|| {
                    Failure::usage(
                        "a recovery kit is no key whose password can be changed",
                        "add a key with haulout key add",
                    )
                })?;
                let password = self.new_password(source, Purpose::NewKey)?;
                let id = keys.replace(old, protection(&password))?;
                self.report.key_changed(&Change::replaced(old, id))?;
            }
            KeyPlan::Rotate { label, with, gaps } => {
                let rotated = self.rotate(&keys, label.as_deref(), with, *gaps)?;
                self.report.rotated(&rotated)?;
            }
            KeyPlan::Export { file, password, replicas } => {
                let kit = NewKit { path: file, password: password.as_ref(), replicas };
                self.export(&keys, &*store, &kit)?;
            }
        }
        Ok(Exit::Done)
    }

    /// Rotates the keys. The password is a new one: else a store could offer the previous key slot
    /// in the place of the new, and have it used.
    fn rotate(
        &self,
        keys: &Keys,
        label: Option<&str>,
        with: &NewKey,
        gaps: Gaps,
    ) -> Outcome<Rotated> {
        let label = match (label, keys.unlocked().slot) {
            (Some(typed), _) => typed.to_owned(),
            (None, Some(id)) => keys.find(&id.to_string())?.note.label,
            (None, None) => self.settings.host.clone(),
        };
        match with {
            NewKey::Password(source) => {
                let password = self.new_password(source, Purpose::NewKey)?;
                if keys.is_opened_by(&password, &Limits::STANDARD)? {
                    return Err(Failure::usage(
                        "the new password is the previous one",
                        "choose another: with the same one, the previous key could be used again",
                    ));
                }
                Ok(keys.rotate(protection(&password), &self.note(&label), gaps)?)
            }
            NewKey::File(path) => {
                recovery_kit::require_free(path)?;
                let file = KeyFile::generate(&*self.world.entropy);
                let mut is_written = false;
                let mut write = || {
                    recovery_kit::write_secret(path, &file.to_text())?;
                    is_written = true;
                    Ok(())
                };
                let protection = Protection::KeyFile(&file);
                let rotated = keys.rotate_after(protection, &self.note(&label), gaps, &mut write);
                rotated.map_err(|error| {
                    if is_written {
                        self.discard_or_keep(path, file, &error);
                    }
                    error.into()
                })
            }
        }
    }

    /// Removes the key file of a rotation that another one undid. After any other error the new key
    /// may be in force, now or when a request that was given up arrives after all.
    fn discard_or_keep(&self, path: &Path, file: KeyFile, why: &Error) {
        let mut credential = Some(Credential::KeyFile(file));
        let mut own = || credential.take().ok_or_else(|| Error::new(ErrorKind::NoKey, ASKED_TWICE));
        let opens_nothing = |store| {
            let opened = Keys::open(store, &mut own, &Limits::STANDARD, &self.world);
            matches!(opened, Err(error) if error.kind() == ErrorKind::WrongKey)
        };
        let is_undone = why.kind() == ErrorKind::RetiredSlot;
        if is_undone && self.store().is_ok_and(opens_nothing) && fs::remove_file(path).is_ok() {
            return;
        }
        self.report.console.warning(format!(
            "{} is kept: the new key may be in force all the same, and then nothing else opens \
             what is stored from now on",
            path.display()
        ));
    }

    /// Opens the keys of a repository.
    pub(crate) fn keys(&self, store: &Arc<dyn Store>) -> Outcome<Keys> {
        let limits = Limits::STANDARD;
        self.unlocked(|access| match access {
            Access::Key(credential) => {
                Keys::open(Arc::clone(store), credential, &limits, &self.world)
            }
            Access::Kit(kit, passphrase) => {
                Keys::open_by_kit(Arc::clone(store), kit, passphrase, &limits, &self.world)
            }
        })
    }

    /// Writes a recovery kit, reads it again, and opens it.
    pub(crate) fn export(&self, keys: &Keys, store: &dyn Store, kit: &NewKit<'_>) -> Outcome<()> {
        let NewKit { path, password, replicas } = *kit;
        let password = password.map(|source| self.new_password(source, Purpose::NewKit));
        let password = password.transpose()?;
        let cost = KdfCost::RECOVERY_KIT;
        let made =
            keys.kit(password.as_ref().map(|own| (own, cost)), &self.note("recovery kit"))?;
        let repository = made.repository().to_string();
        let day = timefmt::for_people(self.report.clock.unix_seconds(), Zone::Utc);
        let places = recovery_kit::Places {
            repository: match &self.settings.place {
                Location::Directory(_) => format!("{} on {}", store.location(), self.settings.host),
                Location::Bucket { .. } => store.location(),
            },
            replicas,
        };
        let heading = recovery_kit::heading(&made, &places, &day[..10]);
        recovery_kit::write_secret(path, &made.to_text(&heading))?;
        let tested = recovery_kit::read(path)?;
        let credential = password.map(Credential::Passphrase);
        let opened = tested.kit.open(credential.as_ref(), &Limits::STANDARD).map_err(|e| {
            Error::new(ErrorKind::Miscomputed, "the kit that was written does not open").because(e)
        })?;
        let same = opened.key().zip(keys.unlocked().key());
        if !same.is_some_and(|(written, own)| written.is_same(own)) {
            let what = "the kit that was written has another key";
            return Err(Error::new(ErrorKind::Miscomputed, what).into());
        }
        let file = path.display().to_string();
        self.report.kit(&Kit { file, repository, password: credential.is_some() })?;
        Ok(())
    }

    fn note(&self, label: &str) -> KeySlotNote {
        let created_unix_seconds = self.report.clock.unix_seconds();
        KeySlotNote { label: label.to_owned(), created_unix_seconds }
    }

    fn new_password(&self, source: &PasswordSource, purpose: Purpose) -> Outcome<Passphrase> {
        match self.credential(source, purpose)? {
            Credential::Passphrase(passphrase) => Ok(passphrase),
            Credential::KeyFile(_) => Err(Failure::usage(
                "a key file was given where a new password is needed",
                "haulout key add --key-file makes a key file",
            )),
        }
    }
}

fn protection(password: &Passphrase) -> Protection<'_> {
    Protection::Passphrase(password, KdfCost::STANDARD)
}

fn unknown_key(error: Error) -> Failure {
    if error.kind() == ErrorKind::Usage {
        return Failure::new(error, "haulout key list shows what there is");
    }
    error.into()
}
