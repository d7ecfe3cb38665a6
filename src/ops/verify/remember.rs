//! Records what a run has verified.
//!
//! Records are read at the end of a run and replaced by one with all that they say (FORMAT.md 9.2).
//! A run that can't read or put them has verified all the same: it says what is not remembered, and
//! hands out the record, for a file of this host.

use crate::base::crew::lock;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::verified::By;
use crate::format::verified::Depths;
use crate::format::verified::Verification as Took;
use crate::format::verified::Verified;
use crate::ops::verify::Verification;
use crate::ops::verify::ages::Ages;
use crate::ops::verify::depth::Depth;
use crate::ops::verify::ledger::Ledger;
use crate::ops::verify::ledger::LookedAt;
use crate::ops::verify::options::Remember;
use crate::ops::verify::options::Scope;
use crate::ops::verify::report::Finding;
use crate::ops::verify::report::Unrecorded;
use crate::ops::verify::tables::Tables;
use crate::repo::verified::VerifiedRecords;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The program that records what it verified.
const PROGRAM: &str = concat!("haulout ", env!("CARGO_PKG_VERSION"));

impl Verification<'_> {
    /// Records what was verified.
    pub(super) fn remember(&self, looked: &LookedAt<'_>) -> Result<()> {
        let LookedAt { snapshots, tables, named, needed, began, scope, .. } = *looked;
        if snapshots.is_empty() || self.options.remember == Remember::Nowhere {
            return Ok(());
        }
        let mut found = self.records()?;
        let replaced = std::mem::take(&mut found.replaced);
        self.report_unread(&found);
        let mut records = found.records;
        records.extend(self.known_here());
        records.push(self.own_record(looked));
        let mut ledger = Ledger::new(records, tables, began);
        if let Some(needed) = needed {
            ledger.note_snapshots(snapshots, needed);
            let ages = Ages::of(&ledger, tables, needed, snapshots, self.options.depth);
            lock(&self.report).ages = Some(ages);
        }
        let knows_all = scope == Scope::All && tables.are_all_read();
        if knows_all {
            ledger.leave_out_gone(snapshots, began);
        }
        let counted = needed.map_or(named, |needed| &needed.all);
        let record = ledger.into_record(Some(counted).filter(|_| knows_all));
        match self.repository.put_verified(&record) {
            Ok(name) => self.replace(&replaced, &name),
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(error) => {
                let unrecorded = Unrecorded { why: error.with_causes(), text: record.encode() };
                lock(&self.report).unrecorded = Some(unrecorded);
                Ok(())
            }
        }
    }

    /// Reads the records of the repository. What can't be listed is not joined, and stays.
    fn records(&self) -> Result<VerifiedRecords> {
        match self.repository.verified_records() {
            Err(error) if error.kind() != ErrorKind::Cancelled => {
                let what =
                    format!("what was verified before is not known: {}", error.with_causes());
                self.note(what);
                Ok(VerifiedRecords::default())
            }
            read => read,
        }
    }

    fn report_unread(&self, found: &VerifiedRecords) {
        for error in &found.damaged {
            self.find(Finding::of_object(error.with_causes()));
        }
        for error in &found.passed_over {
            self.note(format!("{}: it is passed over", error.with_causes()));
        }
    }

    /// Returns what this host remembers beside the repository.
    fn known_here(&self) -> Option<Verified> {
        match self.options.known()? {
            Ok(known) => Some(known),
            Err(error) => {
                self.note(format!("what this host remembers is passed over: {error}"));
                None
            }
        }
    }

    /// Returns what this run has verified, as a record of one verification.
    fn own_record(&self, looked: &LookedAt<'_>) -> Verified {
        let LookedAt { snapshots, tables, named, unopened, began, .. } = *looked;
        let mut record = Verified::default();
        record.verifications.push(Took { time: began, program: PROGRAM.to_owned() });
        let packs: Vec<Depths> = (0..tables.len())
            .map(|pack| {
                if named.has(pack) {
                    self.depth_of(tables, pack).by(By::FIRST)
                } else {
                    Depths::default()
                }
            })
            .collect();
        for group in tables.groups() {
            if let Some(key) = tables.key(group, usize::MAX) {
                record.groups.insert(key, tables.members(group).map(|pack| packs[pack]).collect());
            }
        }
        for (at, stored) in snapshots.iter().enumerate() {
            let depth = if !tables.is_read(at) {
                continue;
            } else if !self.part.is_whole() {
                Depth::Objects
            } else if unopened.contains(&stored.id()) {
                self.options.depth.min(Depth::Stored)
            } else {
                self.options.depth
            };
            record.snapshots.insert(stored.id().into(), depth.by(By::FIRST));
        }
        record
    }

    /// Returns the depth to which a pack was verified. Blocks of it are verified only if the maps
    /// of all snapshots were walked that need some.
    fn depth_of(&self, tables: &Tables, pack: usize) -> Depth {
        let name = tables.name(pack);
        let depth = self.options.depth;
        if !self.packs_now(name).iter().all(|pack| self.part.was_read(pack)) {
            Depth::Objects
        } else if self.options.snapshots.is_empty() && !self.part.was_cut() {
            depth
        } else {
            depth.min(Depth::Stored)
        }
    }

    /// Removes the records that a new one has joined. Who may not delete leaves them.
    fn replace(&self, replaced: &[ObjectName], by: &ObjectName) -> Result<()> {
        for name in replaced.iter().filter(|name| *name != by) {
            match self.repository.store().delete(name) {
                Err(error) if error.category() == Category::Stopped => {
                    return Err(error.named(format!("cannot remove {name}")));
                }
                Err(error) if error.category() != Category::Denied => {
                    self.note(format!(
                        "cannot remove {name}, which is not needed any more: {error}"
                    ));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
