//! Makes a repository.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::repo::store_error;
use haulout::seal::holder::Cost;
use haulout::seal::holder::HolderNote;
use haulout::store::Store;
use haulout::store::local::LocalStore;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::password::Purpose;
use crate::plan::init::NewRepository;
use crate::report::init::Init;
use crate::run::Run;
use crate::run::entropy;

/// What may be in the place of a new repository: what an interrupted `init` leaves, and what a new
/// file system has.
const NO_CONTENT: [&str; 2] = ["keys", "lost+found"];

impl Run<'_> {
    /// Does it.
    pub(super) fn init(&self, how: NewRepository) -> Outcome<Exit> {
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
        self.report.init(&Init { repository, id, encrypted: credential.is_some() })?;
        Ok(Exit::Done)
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
