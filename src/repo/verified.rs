//! Reads and puts the records of what was verified in this copy of a repository (FORMAT.md 9.2).
//!
//! Records that can't be read say nothing and are reported. A writer removes those that can say
//! nothing to anybody: changed bytes, a wrong tag, a generation of keys that is not believed. What
//! only this program or this key can't read stays.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::ContentHash;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::verified::UNKNOWN_VERSION;
use crate::format::verified::Verified;
use crate::repo::Repository;
use crate::repo::prune_records::Place;
use crate::seal::object::ObjectKind;
use crate::seal::prune_tag::TagCheck;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The context of a record: it is about the whole repository.
const CONTEXT: &[u8] = b"verified";

/// Returns the place of a record.
pub(super) fn place() -> Place {
    Place { kind: ObjectKind::Verified, context: CONTEXT.to_vec() }
}

/// The records of what was verified that a store lists.
#[derive(Debug, Default)]
pub struct VerifiedRecords {
    /// The records that were read.
    pub records: Vec<Verified>,
    /// The objects that a writer replaces: those that were read, and those that can't be read.
    pub replaced: Vec<ObjectName>,
    /// Why objects were not read that are damaged, or that were not put with a full key.
    pub damaged: Vec<Error>,
    /// Why objects were not read that another program may read.
    pub passed_over: Vec<Error>,
}

impl VerifiedRecords {
    /// Returns what all records say together.
    pub fn merged(self) -> Verified {
        Verified::merge(self.records)
    }
}

impl Repository {
    /// Lists the records of what was verified and reads them.
    pub fn verified_records(&self) -> Result<VerifiedRecords> {
        let mut found = VerifiedRecords::default();
        for object in self.listed(Folder::Verified.prefix())? {
            if let Object::Verified(hash) = object {
                self.read_verified(&object.name(), hash, &mut found)?;
            }
        }
        if !found.records.is_empty() {
            // In a copy, one of a retired key is no news: it was sealed again.
            found.damaged.retain(|error| error.kind() != ErrorKind::RetiredKey);
        }
        Ok(found)
    }

    fn read_verified(
        &self,
        name: &ObjectName,
        hash: ContentHash,
        found: &mut VerifiedRecords,
    ) -> Result<()> {
        let bytes = match self.store().get(name, SMALL_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            // Another writer has replaced it.
            Err(error) if error.category() == Category::NotFound => return Ok(()),
            Err(error) => {
                let category = error.category();
                let error = error.named(format!("cannot read {name}"));
                if category == Category::Damaged {
                    found.damaged.push(error);
                } else if category == Category::Denied {
                    found.passed_over.push(error);
                } else {
                    return Err(error);
                }
                return Ok(());
            }
        };
        let mut useless = |error| {
            found.damaged.push(error);
            found.replaced.push(name.clone());
            Ok(())
        };
        if *blake3::hash(&bytes).as_bytes() != hash {
            return useless(Error::damaged(name, "its bytes do not match its name"));
        }
        let opened = match self.keyring().open_tagged(ObjectKind::Verified, CONTEXT, &bytes) {
            Ok(opened) => opened,
            Err(error) => {
                // A key that was retired, even now, does not open what was put later.
                let is_newest = self.require_newest_key_still().is_ok();
                let list = if is_newest { &mut found.damaged } else { &mut found.passed_over };
                list.push(Error::damaged(name, error));
                return Ok(());
            }
        };
        match self.believed.check(opened.generation, &hash, name.as_str()) {
            Err(error) if error.kind() == ErrorKind::RetiredKey => return useless(error),
            checked => checked?,
        }
        if opened.check == TagCheck::Wrong {
            let what = format!("{name} was not put with a full key");
            return useless(Error::new(ErrorKind::Distrusted, what));
        }
        match Verified::decode(&opened.text) {
            Ok(record) => {
                found.records.push(record);
                found.replaced.push(name.clone());
                Ok(())
            }
            Err(error) if error.why == UNKNOWN_VERSION => {
                found.passed_over.push(Error::damaged(name, error));
                Ok(())
            }
            Err(error) => useless(Error::damaged(name, error)),
        }
    }

    /// Puts a record of what was verified, and makes sure that the store has it.
    pub fn put_verified(&self, record: &Verified) -> Result<ObjectName> {
        self.require_newest_key()?;
        self.put_tagged(&place(), &record.encode(), Object::Verified).map_err(|error| {
            if error.kind() == ErrorKind::WriteOnly {
                return Error::new(ErrorKind::WriteOnly, "a key that only writes is not believed");
            }
            error
        })
    }
}
