//! The behaviour of a store, found by trying: `init` probes the store once and leaves a note;
//! [`Repository::try_writing`] asks later whether rights were lost.
//!
//! Two things depend on the findings: a store that gives no parts of objects can't hold a
//! repository, and on one that lists late nothing is deleted. The rest is a record for later
//! diagnosis.

use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::repo::Repository;
use crate::seal::object::ObjectKind;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::name::ObjectName;

/// The context that the note is sealed with.
const NOTE: &str = "store";
const PROBE_BYTES: usize = 4096;

/// The object that is put to see whether rights were lost. It is always the same, so that tries
/// leave one object at most.
const WRITTEN: &[u8] = b"put to see whether objects may be put\n";

/// The effect of a second put under a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondPut {
    /// The store refuses the second object.
    Refused,
    /// The second object replaces the first.
    Replaces,
}

/// The behaviour that a store showed; FORMAT.md has the meaning of each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are documented in FORMAT.md")]
pub struct StoreFacts {
    pub time: u64,
    pub program: String,
    pub place: String,
    pub ranges: bool,
    pub listed_after_write: bool,
    pub second_put: SecondPut,
    pub deletes: bool,
}

/// The answer of a store that was asked to delete an object which had just been put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone again.
    Done,
    /// It stays, for this reason.
    Refused(String),
}

impl Repository {
    /// Puts a small object into the store and deletes it again; fails if it can't be put.
    pub fn try_writing(&self) -> Result<Deletion> {
        let store = self.store();
        let name = note_object(Subject::Probe, WRITTEN);
        let failure = |e: StoreError| e.named(format!("cannot write to {}", store.location()));
        store.put(&name, &[Bytes::from_static(WRITTEN)]).map_err(failure)?;
        Ok(match store.delete(&name) {
            // Another host that tries at the same time may have been faster.
            Ok(()) => Deletion::Done,
            Err(error) if error.category() == Category::NotFound => Deletion::Done,
            Err(error) => Deletion::Refused(error.to_string()),
        })
    }

    /// Probes the store, puts a note of the findings, and returns them.
    pub fn probe_store(&self, place: &str, world: &World) -> Result<StoreFacts> {
        let facts = self.try_store(place, world.clock.unix_seconds())?;
        let text = serde_json::to_vec(&facts).expect("words and numbers can be written");
        let sealed = self
            .keyring()
            .seal_object(ObjectKind::Note, NOTE.as_bytes(), &text, &**self.entropy())
            .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal a note").because(e))?;
        let name = note_object(Subject::Store, &sealed);
        let put = self.store().put(&name, &[Bytes::from(sealed)]);
        put.map_err(|e| e.named(format!("cannot store {name}")))?;
        Ok(facts)
    }

    /// Fails on a store that `init` saw listing an object later than it was put: what is listed
    /// there says nothing about what others rely on.
    ///
    /// A note that can't be read says nothing.
    pub fn require_prompt_listings(&self) -> Result<()> {
        let notes = self.listed(Folder::Notes.prefix())?;
        let of_stores =
            |object: &Object| matches!(object, Object::Note { about: Subject::Store, .. });
        for name in notes.iter().filter(|object| of_stores(object)).map(Object::name) {
            let bytes = match self.store().get(&name, SMALL_OBJECT_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error)
                    if matches!(error.category(), Category::NotFound | Category::Damaged) =>
                {
                    continue;
                }
                Err(error) => return Err(error.named(format!("cannot read {name}"))),
            };
            let text = self.keyring().open_object(ObjectKind::Note, NOTE.as_bytes(), &bytes);
            let facts = text.ok().and_then(|text| serde_json::from_slice::<StoreFacts>(&text).ok());
            if facts.is_some_and(|facts| !facts.listed_after_write) {
                let what = format!(
                    "when the repository was made its store listed objects later than they were \
                     put, so nothing may be deleted; if it is in another store now, remove {name}"
                );
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
        }
        Ok(())
    }

    fn try_store(&self, place: &str, time: u64) -> Result<StoreFacts> {
        let store = self.store();
        let seed: [u8; 32] = random(&**self.entropy());
        let mut bytes = vec![0; PROBE_BYTES];
        blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
        let bytes = Bytes::from(bytes);
        let name = note_object(Subject::Probe, &bytes);
        let failure = |e: StoreError| e.named(format!("cannot try {}", store.location()));
        store.put(&name, std::slice::from_ref(&bytes)).map_err(failure)?;
        let mut listed_after_write = false;
        let mut look = |found: &ObjectName| listed_after_write |= *found == name;
        let folder = Folder::Notes.prefix();
        store.list(folder, &mut |meta| look(&meta.name)).map_err(failure)?;
        let part = 100..u64_of(PROBE_BYTES) - 100;
        let ranges = store.get_range(&name, part).map_err(failure)?;
        let longer = [bytes.clone(), Bytes::from_static(b"longer")];
        let second_put = match store.put(&name, &longer) {
            Ok(()) => SecondPut::Replaces,
            Err(error) if error.category() == Category::Conflict => SecondPut::Refused,
            // Credentials that may not overwrite.
            Err(error) if error.category() == Category::Denied => SecondPut::Refused,
            Err(error) => return Err(failure(error)),
        };
        Ok(StoreFacts {
            time,
            program: concat!("haulout ", env!("CARGO_PKG_VERSION")).to_owned(),
            place: place.to_owned(),
            ranges: ranges == bytes[100..PROBE_BYTES - 100],
            listed_after_write,
            second_put,
            deletes: store.delete(&name).is_ok(),
        })
    }
}

fn note_object(about: Subject, bytes: &[u8]) -> ObjectName {
    Object::Note { about, hash: *blake3::hash(bytes).as_bytes() }.name()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repo::NewProtection;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    #[test]
    fn tries_leave_nothing_or_one_object() {
        let store = Arc::new(MemoryStore::new());
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let world = World::of_this_machine();
        let repository = Repository::init(shared, &NewProtection::Clear, &world).unwrap();
        let count = || {
            let mut count = 0;
            store.list("", &mut |_| count += 1).unwrap();
            count
        };
        let before = count();
        for _ in 0..2 {
            assert_eq!(repository.try_writing().unwrap(), Deletion::Done);
        }
        assert_eq!(count(), before);
    }
}
