//! Packs that were compacted away here and that the other side lacks: it gets the packs to which
//! their entries were moved, and the records that say so.
//!
//! A copy that still has the old pack, or has moved its entries itself, needs neither.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::intent::held;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackRecord;
use crate::ops::replicate::FAR_SIDE;
use crate::ops::replicate::plan::CopyPlan;
use crate::ops::replicate::plan::MovedShipment;
use crate::ops::replicate::plan::Shipment;
use crate::ops::replicate::plan::targets;
use crate::repo::inventory::Inventory;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

impl CopyPlan<'_> {
    /// Plans to send what was moved out of the packs that can be had nowhere, and takes them out of
    /// those that are missed.
    pub(super) fn follow_moves(&mut self, here: &Inventory) -> Result<()> {
        if self.bad.is_empty() || self.batches.is_empty() {
            return Ok(());
        }
        let near = Records::list(&**self.near.store(), " on this side")?;
        let far = Records::list(&*self.far, FAR_SIDE)?;
        let sides = Sides { near, far, here };
        let mut known = BTreeMap::new();
        for pack in self.bad.clone() {
            if self.follow(&pack, &sides, &mut known)? {
                self.bad.remove(&pack);
            }
        }
        Ok(())
    }

    /// Plans to send what was moved out of a pack; returns `false` if it can't be had.
    fn follow(
        &mut self,
        pack: &PackName,
        sides: &Sides<'_>,
        known: &mut BTreeMap<PackName, bool>,
    ) -> Result<bool> {
        if let Some(known) = known.get(pack) {
            return Ok(*known);
        }
        // One that is named by itself can't be had.
        known.insert(*pack, false);
        let theirs = sides.far.of(self, &*self.far, pack)?;
        let is_there = |record: &PackRecord| {
            self.listing.size(&Object::Pack(record.name)) == Some(record.bytes)
        };
        let mut can_be_had = theirs.iter().any(|(records, _)| records.iter().all(is_there));
        let ours = sides.near.of(self, &**self.near.store(), pack)?.into_iter().next();
        if let Some((records, copies)) = ours.filter(|_| !can_be_had) {
            can_be_had = true;
            for record in &records {
                can_be_had &= self.plan_moved(record, sides.here)
                    || self.follow(&record.name, sides, known)?;
            }
            let packs = records.iter().map(|record| record.name).collect();
            // All that the newest needs is there before the older ones follow.
            self.batches[0].moved.push(MovedShipment { pack: *pack, packs, records: copies });
        }
        known.insert(*pack, can_be_had);
        Ok(can_be_had)
    }

    /// Plans to send a pack that holds what was moved; returns `false` if it can't be had.
    fn plan_moved(&mut self, record: &PackRecord, here: &Inventory) -> bool {
        let targets = targets(record, &self.listing, &self.known, self.options.confirmation);
        let object = Object::Pack(record.name);
        let can_be_sent = here.size(&object) == Some(record.bytes);
        if !self.holds.is_empty() {
            self.holds.insert(held(&record.name));
        }
        if targets.is_empty() {
            return true;
        }
        let is_planned = |other: &Shipment| other.record.name == record.name;
        if can_be_sent && !self.batches[0].packs.iter().any(is_planned) {
            self.batches[0].packs.push(Shipment { record: *record, targets });
        }
        can_be_sent
    }
}

/// What is known of both sides.
struct Sides<'s> {
    near: Records,
    far: Records,
    /// The packs of this side.
    here: &'s Inventory,
}

/// The names of the relocation records of one side.
struct Records(Inventory);

/// The packs that a record names, and the objects of its copies.
type Found = (Vec<PackRecord>, Vec<(ObjectName, Bytes)>);

impl Records {
    fn list(store: &dyn Store, side: &str) -> Result<Self> {
        Inventory::of(store, &[Folder::Moves], side).map(Self)
    }

    /// Returns what the records say of a pack that was compacted away.
    fn of(&self, plan: &CopyPlan<'_>, store: &dyn Store, pack: &PackName) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for (object, _) in self.0.others() {
            let Object::Relocation { pack: old, hash } = object else { continue };
            if old != *pack {
                continue;
            }
            let name = object.name();
            let bytes = match store.get(&name, SMALL_OBJECT_BYTES_MAX) {
                Ok(bytes) => bytes,
                // It says nothing: what it would say is missed then.
                Err(error)
                    if matches!(error.category(), Category::NotFound | Category::Damaged) =>
                {
                    continue;
                }
                Err(error) => return Err(error.named(format!("cannot read {name}"))),
            };
            if content_hash(&name) != Some(*blake3::hash(&bytes).as_bytes()) {
                continue;
            }
            let text = plan.near.keyring().open_object(ObjectKind::Relocation, &pack.0, &bytes);
            let text = text.ok().and_then(|text| Relocation::decode(&text).ok());
            let Some(records) = text.and_then(|text| text.compacted) else { continue };
            let twin = Object::RelocationTwin { pack: old, hash }.name();
            found.push((records, vec![(twin, bytes.clone()), (name, bytes)]));
        }
        Ok(found)
    }
}
