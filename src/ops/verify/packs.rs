//! Checks the objects that hold packs: that each is there, has its size and, where that is wanted,
//! its bytes.

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::num::u64_of;
use crate::format::pack_table::PackRecord;
use crate::ops::survey;
use crate::ops::survey::Look;
use crate::ops::survey::Looked;
use crate::ops::survey::Problem;
use crate::ops::survey::Survey;
use crate::ops::verify::Depth;
use crate::ops::verify::Finding;
use crate::ops::verify::Verification;
use crate::ops::verify::tables::Tables;
use crate::repo::inventory::Inventory;
use crate::repo::lineage::TableNodes;
use crate::repo::snapshots::StoredSnapshot;

impl Verification<'_> {
    /// Reads the pack tables of the snapshots; returns the packs that they name beside, sorted.
    pub(super) fn tables(&self, snapshots: &[StoredSnapshot]) -> (Tables, Vec<PackRecord>) {
        let mut fail = |stored: &StoredSnapshot, error: Error| {
            self.find_about(stored, error.with_causes());
        };
        let nodes = TableNodes::new(self.repository, self.monitor);
        Tables::read(snapshots, nodes, &mut fail)
    }

    /// Tells how closely a pack is looked at.
    fn closely(&self, record: &PackRecord) -> Look {
        // What is known to be damaged may have been put right.
        let is_doubtful = self.known.names(&record.name);
        let is_wanted = self.options.depth >= Depth::Stored || is_doubtful;
        if !is_wanted || !self.part.has(&record.name) {
            return Look::AtItsSize;
        }
        if self.part.is_late() {
            self.part.leave(record.name);
            return Look::AtItsSize;
        }
        Look::AtItsBytes
    }

    /// Leaves out the packs that are not there and that no snapshot needs, and puts in the place of
    /// those that were compacted away the packs to which their entries were moved.
    pub(super) fn leave_out_unneeded(
        &mut self,
        snapshots: &[StoredSnapshot],
        inventory: &Inventory,
        packs: &mut Vec<PackRecord>,
    ) -> Result<()> {
        let (repository, monitor) = (self.repository, self.monitor);
        let count = survey::leave_out_unneeded(repository, snapshots, inventory, packs, monitor)?;
        if count > 0 {
            let what = format!("packs that are not there, and that no snapshot needs: {count}");
            self.note(what);
        }
        self.compacted = survey::follow_moves(repository, inventory, packs, monitor)?;
        Ok(())
    }

    /// Checks that every pack that the snapshots name is there, has its size and (from `Stored` on)
    /// its bytes.
    pub(super) fn check_packs(
        &self,
        snapshots: &[StoredSnapshot],
        inventory: &Inventory,
        packs: &[PackRecord],
    ) -> Result<()> {
        let (repository, monitor) = (self.repository, self.monitor);
        let survey = Survey { repository, inventory, workers: self.options.workers, monitor };
        let mut looked = Vec::new();
        let (mut objects, mut bytes) = (0, 0);
        survey.look_at(packs, &|record| self.closely(record), &mut |pack| {
            objects += u64_of(pack.copies.len());
            bytes += pack.record.bytes * u64_of(pack.copies.len());
            if pack.copies.iter().any(|copy| copy.problem.is_some()) {
                looked.push(pack);
            }
        })?;
        let mut report = lock(&self.report);
        report.objects += objects;
        report.bytes += bytes;
        drop(report);
        looked.iter().for_each(|pack| self.take_pack(pack));
        if snapshots.is_empty() && lock(&self.report).findings.is_empty() {
            let count = inventory.count_of_packs();
            if count > 0 {
                let what = format!(
                    "there are {count} packs and no snapshot: no backup has ended yet, or the \
                     snapshots are lost or hidden"
                );
                self.find(Finding::of_object(what));
            }
        }
        Ok(())
    }

    /// Tells what is wrong with a pack.
    fn take_pack(&self, pack: &Looked) {
        let name = pack.record.name;
        let is_data = pack.record.class == Class::Data;
        for copy in &pack.copies {
            let Some(problem) = &copy.problem else { continue };
            let found = Finding::of_object(format!("{} {}", copy.object.name(), problem.words()));
            match problem {
                Problem::Missing if is_data => lock(&self.bad).missing.push((name, found)),
                Problem::Missing | Problem::Spoiled(_) => self.find(found),
            }
        }
        let mut bad = lock(&self.bad);
        if !pack.is_whole() {
            let list = if pack.is_there() { &mut bad.spoiled } else { &mut bad.gone };
            list.insert(name, pack.record.class);
        }
    }
}
