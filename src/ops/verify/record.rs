//! Looks at small records, and writes down what was found lost (FORMAT.md 9): entries of packs, for
//! the next backup, and snapshots, for listings.

use crate::base::crew::lock;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::format::layout::Object;
use crate::format::lists::Damage;
use crate::format::snapshot_damage::SnapshotDamage;
use crate::ops::records;
use crate::ops::survey::Look;
use crate::ops::verify::Bad;
use crate::ops::verify::DamageOfSnapshot;
use crate::ops::verify::Depth;
use crate::ops::verify::Finding;
use crate::ops::verify::Verification;
use crate::pipeline::relocations::SealedRecord;
use crate::pipeline::relocations::seal_record;
use crate::repo::inventory::Inventory;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::object::ObjectKind;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// Packs that a record about a snapshot blames; of more it blames none.
const PACKS_MAX: usize = 256;

impl Verification<'_> {
    /// Checks both copies of every relocation record, every note, fence and damage record, and the
    /// removals of what is still there.
    pub(super) fn check_records(&self, inventory: &Inventory) -> Result<()> {
        let look =
            if self.options.depth >= Depth::Stored { Look::AtItsBytes } else { Look::AtItsSize };
        let relocations = records::relocations(self.repository, inventory, look);
        let mut report = lock(&self.report);
        report.objects += u64_of(relocations.len()) * 2;
        drop(report);
        for copy in relocations.iter().flat_map(|pair| &pair.copies) {
            if let Some(problem) = &copy.problem {
                let what = format!("{} {}", copy.object.name(), problem.words());
                self.find(Finding::of_object(what));
            }
        }
        if look == Look::AtItsSize {
            return Ok(());
        }
        for error in self.repository.hidden(None)?.doubted() {
            self.find(Finding::of_object(error.with_causes()));
        }
        for error in self.repository.notes(None)?.damaged {
            self.find(Finding::of_object(error.with_causes()));
        }
        for name in self.known.unreadable() {
            let what = format!("{name} can't be read: what it says is unknown");
            self.find(Finding::of_object(what));
        }
        Ok(())
    }

    /// Tells later runs what must be stored again, and people which snapshots lack something.
    pub(super) fn record_damage(&self, snapshots: &[StoredSnapshot]) -> Result<()> {
        let mut bad = std::mem::take(&mut *lock(&self.bad));
        for (name, finding) in std::mem::take(&mut bad.missing) {
            if bad.culprits.contains(&name) {
                self.find(finding);
            }
        }
        for (pack, damage) in self.damages(&mut bad) {
            if !self.known.covers(&pack, &damage) {
                let record = self.sealed(&pack.0, &damage.encode())?;
                self.put(&record, |hash| Object::Damage { pack, hash })?;
                lock(&self.report).recorded += 1;
            }
        }
        snapshots.iter().try_for_each(|stored| self.record_snapshot(stored, &bad))
    }

    /// Returns what is damaged in packs. One that is not there needs no record: every run lists the
    /// packs.
    fn damages(&self, bad: &mut Bad) -> Vec<(PackName, Damage)> {
        let mut damages = Vec::new();
        for (name, class) in &bad.spoiled {
            let mut entries = bad.entries.remove(name).unwrap_or_default();
            entries.sort_unstable();
            entries.dedup();
            let is_read = *class == Class::Data && self.repository.opens_data();
            if is_read && entries.is_empty() && self.part.was_cut() {
                // Nothing says yet which of its blocks are lost.
                continue;
            }
            damages.push((*name, if is_read { Damage::Entries(entries) } else { Damage::Pack }));
        }
        for (name, mut entries) in std::mem::take(&mut bad.entries) {
            if bad.gone.contains_key(&name) {
                continue;
            }
            entries.sort_unstable();
            entries.dedup();
            damages.push((name, Damage::Entries(entries)));
        }
        damages
    }

    fn record_snapshot(&self, stored: &StoredSnapshot, bad: &Bad) -> Result<()> {
        let snapshot = stored.id();
        if let Some(damage) = bad.snapshots.get(&snapshot) {
            let found = describe(damage, bad);
            let known = self.known.of(&snapshot);
            let is_known = if self.part.is_whole() {
                known.is_some_and(|known| *known == found)
            } else {
                self.known.says(&snapshot, &found)
            };
            if is_known {
                return Ok(());
            }
            let record = self.sealed(&snapshot.0, &found.encode())?;
            self.put(&record, |hash| Object::SnapshotDamage { snapshot, hash })?;
        }
        if !self.part.is_whole() {
            // It says what other parts have found.
            return Ok(());
        }
        // What was recorded before is out of date.
        self.known.records_of(&snapshot).try_for_each(|name| self.remove(name))
    }

    fn sealed(&self, subject: &[u8; 32], text: &[u8]) -> Result<SealedRecord> {
        let (keyring, entropy) = (self.repository.keyring(), &**self.repository.entropy());
        seal_record(keyring, ObjectKind::Damage, subject, text, entropy)
    }

    fn put(&self, record: &SealedRecord, object: impl FnOnce([u8; 32]) -> Object) -> Result<()> {
        let (object, bytes) = record.named(object);
        self.repository
            .store()
            .put(&object, &[bytes])
            .map_err(|e| e.named(format!("cannot store {object}")))
    }

    /// Removes a record. Who may not delete leaves it to others.
    fn remove(&self, name: &ObjectName) -> Result<()> {
        match self.repository.store().delete(name) {
            Err(error) if error.category() != Category::Denied => {
                Err(error.named(format!("cannot remove {name}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn describe(damage: &DamageOfSnapshot, bad: &Bad) -> SnapshotDamage {
    let DamageOfSnapshot { files, named, packs, .. } = damage;
    let mut packs: Vec<PackName> = packs.iter().copied().collect();
    if packs.is_empty() {
        // Maps could not be read: they are in meta packs.
        let lost = bad.gone.iter().chain(&bad.spoiled);
        packs = lost.filter(|(_, class)| **class == Class::Meta).map(|(name, _)| *name).collect();
        packs.sort_unstable();
    }
    if packs.len() > PACKS_MAX {
        packs.clear();
    }
    SnapshotDamage::new(*files, named.clone(), &packs)
}
