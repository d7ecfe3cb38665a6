//! Locks of objects in S3: what a bucket with Object Lock keeps, and until when.
//!
//! Invariants:
//! - A lock is put only after an answer about the lock of the same object. A store that does not
//!   know the question, and gives the object itself, would take the put for one of the object: it
//!   gets none.
//! - A lock is never shortened, also where the store would allow it, and its mode never changes.
//! - A question is about the newest version of an object, and so is the lock.

use object_store::path::Path;

use crate::store::error::Category;
use crate::store::error::Diagnosis;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectName;
use crate::store::remote::RemoteStore;
use crate::store::remote::Request;
use crate::store::remote::answer::element;
use crate::store::remote::lock_client::Found;
use crate::store::remote::lock_client::Lock;
use crate::store::remote::lock_client::LockClient;
use crate::store::remote::lock_client::OBJECT_LOCK;
use crate::store::remote::lock_client::RETENTION;
use crate::store::remote::lock_client::VERSIONING;
use crate::store::remote::lock_client::lock_of;
use crate::store::remote::lock_client::rule_of;

impl RemoteStore {
    /// Extends the lock of an object, if it ends too soon.
    pub(super) fn extend(
        &self,
        name: &ObjectName,
        term: &LockTerm,
    ) -> Result<LockOutcome, StoreError> {
        let client = self.lock_client(name.as_str())?;
        let path = self.path(Verb::Lock, name)?;
        let request = Request::new(Verb::Lock, name, 0);
        let unsupported = || StoreError::new(Verb::Lock, name, Category::Unsupported);
        let found = match self.ask(request, || client.get(&path, RETENTION))? {
            Found::Text(text) => {
                let lock = lock_of(&text);
                let unread = || unsupported().because("its lock can't be read");
                Some(lock.ok_or_else(unread)?)
            }
            Found::Nothing => None,
            Found::NoLocks(response) => {
                let error = unsupported().because(response);
                return Err(error.with_diagnosis(Diagnosis::NoLocks));
            }
            Found::Unknown(words) => return Err(unsupported().because(words)),
        };
        let (mode, outcome) = match found {
            Some(lock) if lock.until >= term.enough.min(term.until) => {
                return Ok(LockOutcome::Stays);
            }
            Some(lock) => (lock.mode, LockOutcome::Extended),
            None => (term.mode, LockOutcome::New),
        };
        self.ask(request, || client.put(&path, Lock { mode, until: term.until }))?;
        Ok(outcome)
    }

    /// Asks for the rule of the bucket.
    pub(super) fn rule(&self) -> Result<Option<LockRule>, StoreError> {
        let client = self.lock_client(&self.location)?;
        let unsupported = || StoreError::new(Verb::Settings, &self.location, Category::Unsupported);
        let bucket = Path::default();
        match self.ask(self.for_settings(), || client.get(&bucket, OBJECT_LOCK))? {
            Found::Text(text) => Ok(rule_of(&text)),
            Found::Nothing => Ok(None),
            Found::NoLocks(response) => Err(unsupported().because(response)),
            Found::Unknown(words) => Err(unsupported().because(words)),
        }
    }

    /// Asks whether the bucket keeps versions of objects that are deleted.
    pub(super) fn kept_versions(&self) -> Result<Versions, StoreError> {
        let Some(client) = &self.locks else { return Ok(Versions::Unknown) };
        let bucket = Path::default();
        match self.ask(self.for_settings(), || client.get(&bucket, VERSIONING)) {
            // Suspended versions are kept as well, of what was put before.
            Ok(Found::Text(text)) if element(&text, "Status").is_some() => Ok(Versions::Kept),
            Ok(Found::Text(_)) => Ok(Versions::Deleted),
            Ok(Found::Nothing | Found::NoLocks(_) | Found::Unknown(_)) => Ok(Versions::Unknown),
            Err(error) => match error.category() {
                Category::Denied | Category::NotFound | Category::Other => Ok(Versions::Unknown),
                Category::Full
                | Category::Conflict
                | Category::Damaged
                | Category::Transient
                | Category::Unsupported
                | Category::Stopped => Err(error),
            },
        }
    }

    fn lock_client(&self, object: &str) -> Result<&LockClient, StoreError> {
        let unsupported = || {
            let error = StoreError::new(Verb::Lock, object, Category::Unsupported);
            error.because("locks are extended in stores like S3 only")
        };
        self.locks.as_ref().ok_or_else(unsupported)
    }

    fn for_settings(&self) -> Request<'_> {
        Request { verb: Verb::Settings, object: &self.location, bytes: 0 }
    }
}
