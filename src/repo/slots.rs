//! Records about the times at which a job is to run (FORMAT.md 10.11): which host runs it.
//!
//! One that can't be read counts as not there: at worst two hosts run the job.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SourceId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::slot::SlotRecord;
use crate::repo::Repository;
use crate::seal::object::ObjectKind;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// Seconds by which a slot may be older than the newest one of its job before its records go.
const SLOT_SECONDS_KEPT: u64 = 30 * 24 * 3600;

impl Repository {
    /// Returns the opaque id of a job, derived from its name. No source has such a name.
    pub fn slot_job(&self, name: &str) -> Result<SourceId> {
        self.source_id(&format!("\0{name}"))
    }

    /// Lists the slots of a job that have records, the oldest first.
    pub fn slots_of(&self, job: SourceId) -> Result<Vec<u64>> {
        let mut slots = Vec::new();
        for object in self.listed(&Folder::slots_of(job))? {
            if let Object::Slot { slot, .. } = object {
                slots.push(slot);
            }
        }
        slots.dedup();
        Ok(slots)
    }

    /// Reads the records about a slot of a job that are not yet among `known`, by their names.
    pub fn read_slot(
        &self,
        job: SourceId,
        slot: u64,
        known: &mut BTreeMap<ObjectName, Option<SlotRecord>>,
    ) -> Result<()> {
        for object in self.listed(&Folder::records_of(job, slot))? {
            if known.contains_key(&object.name()) {
                continue;
            }
            let bytes = match self.store().get(&object.name(), SMALL_OBJECT_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error) if error.category() == Category::NotFound => continue,
                Err(error) => return Err(error.named(format!("cannot read {}", object.name()))),
            };
            let context = context(job, slot);
            let text = self.keyring().open_object(ObjectKind::Slot, &context, &bytes);
            let record = text.ok().and_then(|text| SlotRecord::decode(&text).ok().flatten());
            known.insert(object.name(), record);
        }
        Ok(())
    }

    /// Puts a record about a slot of a job.
    pub fn put_slot_record(&self, job: SourceId, slot: u64, record: &SlotRecord) -> Result<()> {
        let text = record.encode();
        let sealed = self
            .keyring()
            .seal_object(ObjectKind::Slot, &context(job, slot), &text, &**self.entropy())
            .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal a record").because(e))?;
        let hash = *blake3::hash(&sealed).as_bytes();
        let name = Object::Slot { job, slot, hash }.name();
        let put = self.store().put(&name, &[Bytes::from(sealed)]);
        put.map_err(|e| e.named(format!("cannot store {name}")))
    }

    /// Lists the records about slots that are so old that nothing asks for them any more.
    pub fn outdated_slots(&self) -> Result<Vec<ObjectName>> {
        let mut slots = Vec::new();
        for object in self.listed(Folder::Slots.prefix())? {
            if let Object::Slot { job, slot, .. } = object {
                slots.push((job, slot, object.name()));
            }
        }
        let newest = |job: &SourceId| {
            let of_job = slots.iter().filter(|(other, _, _)| other == job);
            of_job.map(|(_, slot, _)| *slot).max().unwrap_or_default()
        };
        let is_old = |(job, slot, _): &&(SourceId, u64, ObjectName)| {
            slot.saturating_add(SLOT_SECONDS_KEPT) < newest(job)
        };
        Ok(slots.iter().filter(is_old).map(|(_, _, name)| name.clone()).collect())
    }
}

fn context(job: SourceId, slot: u64) -> Vec<u8> {
    [&job.0[..], &slot.to_le_bytes()].concat()
}
