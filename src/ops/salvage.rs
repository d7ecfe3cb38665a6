//! Rebuilds what opens a repository, and tells what else of it can be had back.
//!
//! The config is made again from the keys ([`Salvaged`]). What else is lost is told: key slots,
//! lists of retired keys, snapshots whose packs are all there. A snapshot object itself
//! can't be made again: the names of its packs, the order of its script and the roots of its tables
//! stand in it alone, or in other objects like it.
//!
//! Invariants:
//! - Nothing but the config is put, and that only if it is missing or changed.
//! - No snapshot is made: whatever `snapshots` shows afterwards is what a backup put.

use std::collections::BTreeSet;

use crate::base::error::Result;
use crate::base::hex;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::ops::survey;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::Objects;
use crate::repo::salvage::ConfigState;
use crate::repo::salvage::Salvaged;
use crate::seal::suite::Suite;

/// What is left of a repository, and what is done about it.
#[derive(Debug)]
pub struct SalvagePlan<'s> {
    salvaged: &'s Salvaged,
    /// The features of the config that is there, or is made again.
    pub features: Features,
    /// Key slots that are there; `None` in a repository that has none.
    pub key_slots: Option<u64>,
    /// The generations of keys whose lists of what they had sealed are missing: snapshots that they
    /// sealed are not believed any more.
    pub lists_missing: Vec<u8>,
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// Snapshots that are there and can't be read, in words.
    pub unreadable: Vec<String>,
    /// Packs that no snapshot names.
    pub unnamed: Objects,
    /// Runs with a record of their secrets and without a snapshot.
    pub runs: u64,
}

/// Looks at what is left.
pub fn plan<'s>(salvaged: &'s Salvaged, world: &World) -> Result<SalvagePlan<'s>> {
    let repository = &salvaged.repository;
    let store = &**repository.store();
    let listing = repository.snapshots()?;
    let folders = [Folder::Keys, Folder::Runs, Folder::Packs];
    let inventory = Inventory::of(store, &folders, "")?;
    let is_slot = |object: &Object| matches!(object, Object::Key(_));
    let slots = inventory.others().filter(|(object, _)| is_slot(object)).count();
    let is_encrypted = repository.keyring().suite() != Suite::KeyedTag;
    let mut lists_missing = Vec::new();
    for (generation, closing) in (0..).zip(repository.keyring().closings()) {
        let list = Object::Retired { generation, hash: *closing };
        if inventory.size(&list).is_none() {
            lists_missing.push(generation);
        }
    }
    let mut unreadable: Vec<String> =
        listing.damaged.iter().map(|(_, error)| error.with_causes()).collect();
    let snapshots = &listing.snapshots;
    let named = survey::named_packs(repository, snapshots, &world.monitor, &mut |_, error| {
        unreadable.push(error.with_causes());
    });
    let named: BTreeSet<_> = named.into_iter().map(|record| record.name).collect();
    let mut unnamed = Objects::default();
    for (_, bytes) in inventory.packs().filter(|(name, _)| !named.contains(name)) {
        unnamed.add(bytes);
    }
    let ended: BTreeSet<[u8; 16]> =
        snapshots.iter().filter_map(|stored| hex::decode(&stored.snapshot.about.run)).collect();
    let is_open = |object: &Object| matches!(object, Object::Run(id) if !ended.contains(id));
    let runs = inventory.others().filter(|(object, _)| is_open(object)).count();
    Ok(SalvagePlan {
        salvaged,
        features: repository.features(),
        key_slots: is_encrypted.then_some(u64_of(slots)),
        lists_missing,
        snapshots: u64_of(snapshots.len()),
        unreadable,
        unnamed,
        runs: u64_of(runs),
    })
}

impl SalvagePlan<'_> {
    /// Returns the state in which the config was found.
    pub fn config(&self) -> &ConfigState {
        &self.salvaged.state
    }

    /// Tells whether something is lost that the salvage does not bring back.
    pub fn is_incomplete(&self) -> bool {
        self.key_slots == Some(0)
            || !self.lists_missing.is_empty()
            || !self.unreadable.is_empty()
            || self.snapshots == 0
    }

    /// Puts the config, if it was missing or changed.
    pub fn run(&self, world: &World) -> Result<()> {
        self.salvaged.put_config(world)
    }
}
