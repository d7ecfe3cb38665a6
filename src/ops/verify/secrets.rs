//! Checks the objects by which everything else is opened: the keys, and the secrets of runs.
//!
//! A key that is damaged opens nothing any more for a user with its password, and cannot be made
//! again from what the repository holds. The secret of a run is in each of its packs as well
//! (FORMAT.md 4.1), so that its loss is worth a note, and no damage.

use std::collections::BTreeSet;

use crate::base::error::Result;
use crate::base::hex;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::ops::verify::Depth;
use crate::ops::verify::Finding;
use crate::ops::verify::Verification;
use crate::ops::verify::lock;
use crate::repo::inventory::Inventory;
use crate::repo::keys::damaged_key_slots;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::run::RunRecord;
use crate::store::error::Category;
use crate::store::name::ObjectName;

impl Verification<'_> {
    /// Checks that every key can be read.
    pub(super) fn check_keys(&self) -> Result<()> {
        for (_, error) in damaged_key_slots(self.repository)? {
            let what = format!(
                "{}: it opens nothing any more; put it back from a copy of the repository, or \
                 remove it and add another key",
                error.with_causes()
            );
            self.find(Finding::of_object(what));
        }
        Ok(())
    }

    /// Checks that the secret of each snapshot's run is there and (from `Stored` on) whole.
    pub(super) fn check_runs(&self, snapshots: &[StoredSnapshot]) -> Result<()> {
        let store = &**self.repository.store();
        let inventory = Inventory::of(store, &[Folder::Runs], "")?;
        let ids = snapshots.iter().filter_map(|stored| hex::decode(&stored.snapshot.about.run));
        for run in ids.map(Object::Run).collect::<BTreeSet<Object>>() {
            self.monitor.check()?;
            let name = run.name();
            let why = if inventory.size(&run).is_none() {
                Some("is missing")
            } else if self.options.depth >= Depth::Stored {
                self.problem_of_run(&name)?
            } else {
                None
            };
            if let Some(why) = why {
                let what = format!(
                    "{name} {why}: nothing is lost, since each pack of that run has a copy of \
                     what it holds"
                );
                lock(&self.report).notes.push(Finding::of_object(what));
            }
        }
        Ok(())
    }

    fn problem_of_run(&self, name: &ObjectName) -> Result<Option<&'static str>> {
        match self.repository.store().get(name, SMALL_OBJECT_BYTES_MAX) {
            Ok(bytes) => Ok(RunRecord::decode(&bytes).is_err().then_some("is damaged")),
            Err(error) if error.category() == Category::NotFound => Ok(Some("is missing")),
            Err(error) if error.category() == Category::Damaged => Ok(Some("is damaged")),
            Err(error) => Err(error.named(format!("cannot read {name}"))),
        }
    }
}
