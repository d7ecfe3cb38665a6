//! The audit of need lists: a walk over the maps of every snapshot that is kept, and a comparison
//! of what it finds with what the snapshot's list says (FORMAT.md 7.4).
//!
//! - A list that names fewer packs than the maps need would have a prune delete what a restore
//!   reads, so nothing is deleted then.
//! - What can't be read may need anything, so nothing is deleted then either.
//! - A list that names more data packs than the maps need keeps garbage, and no more than that. Of
//!   other packs a list may name more: what a checkpoint stored, pages that were moved.
//!
//! The audit is made before the intent of the prune is put, since it takes long and replicates wait
//! for a prune that stands. Snapshots that come later are audited behind the list that shows them.
//!
//! # Memory
//!
//! What one snapshot needs, by its list and by the walk, 32 bytes a pack in all, one snapshot at a
//! time, and [`PACKS_NAMED_MAX`] names for each snapshot with a difference.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Monitor;
use crate::ops::prune::live::roots_of;
use crate::ops::prune::view::View;
use crate::repo::Repository;
use crate::repo::needs::NeedsReader;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// Packs that are named for each snapshot whose list is wrong.
pub const PACKS_NAMED_MAX: usize = 100;

/// The packs in which a list and a walk differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The number of packs.
    pub count: u64,
    /// The first of them, at most [`PACKS_NAMED_MAX`].
    pub packs: Vec<PackName>,
}

impl Difference {
    fn add(&mut self, pack: PackName) {
        self.count += 1;
        if self.packs.len() < PACKS_NAMED_MAX {
            self.packs.push(pack);
        }
    }
}

/// The fault that the audit found with a need list.
#[derive(Debug)]
pub enum WrongList {
    /// The maps need packs that the list does not name.
    NamesFewer(Difference),
    /// The list names data packs that the maps do not need.
    NamesMore(Difference),
    /// The list or a map can't be read.
    Unread(Error),
}

/// A snapshot whose need list is wrong, or not to be compared.
#[derive(Debug)]
pub struct AuditFinding {
    /// The snapshot that has the list.
    pub snapshot: SnapshotName,
    /// The fault of the list.
    pub fault: WrongList,
}

impl AuditFinding {
    /// Tells whether a prune might delete what the snapshot needs.
    pub fn forbids_deletions(&self) -> bool {
        match self.fault {
            WrongList::NamesFewer(_) | WrongList::Unread(_) => true,
            WrongList::NamesMore(_) => false,
        }
    }
}

/// The result of an audit.
#[derive(Debug, Default)]
pub struct Audited {
    /// The number of snapshots whose lists were compared with their maps.
    pub snapshots: u64,
    /// The number of snapshots without a list, whose maps every prune walks.
    pub without_list: u64,
    /// The lists that are wrong.
    pub findings: Vec<AuditFinding>,
}

impl Audited {
    /// Tells whether a prune might delete what a snapshot needs.
    pub fn forbids_deletions(&self) -> bool {
        self.findings.iter().any(AuditFinding::forbids_deletions)
    }
}

/// Audits the lists of snapshots, each once.
pub(super) struct Auditor<'r> {
    repository: &'r Repository,
    monitor: &'r Arc<Monitor>,
    reader: NeedsReader<'r>,
    seen: BTreeSet<SnapshotId>,
    audited: Audited,
}

impl<'r> Auditor<'r> {
    /// Creates an auditor that has audited nothing.
    pub(super) fn new(repository: &'r Repository, monitor: &'r Arc<Monitor>) -> Self {
        let reader = NeedsReader::new(repository, monitor);
        let (seen, audited) = (BTreeSet::new(), Audited::default());
        Self { repository, monitor, reader, seen, audited }
    }

    /// Audits the snapshots of a view that are kept and the roots of runs that stand, but for those
    /// that were audited already. Doubtful ones may lack packs, and are reported as such.
    pub(super) fn audit(&mut self, view: &View) -> Result<()> {
        let roots = roots_of(self.repository, view)?;
        for stored in view.kept().chain(&roots).filter(|stored| !view.doubts(stored.id())) {
            self.monitor.check()?;
            if self.seen.insert(stored.id()) {
                self.compare(stored)?;
            }
        }
        Ok(())
    }

    /// Compares the list of a snapshot with its maps.
    fn compare(&mut self, stored: &StoredSnapshot) -> Result<()> {
        match self.differences(stored) {
            Ok(None) => self.audited.without_list += 1,
            Ok(Some((fewer, more))) => {
                self.audited.snapshots += 1;
                for fault in [WrongList::NamesFewer(fewer), WrongList::NamesMore(more)] {
                    self.find(stored, fault);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                self.find(stored, WrongList::Unread(error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns the packs that the list lacks and those that it should not name; nothing if the
    /// snapshot has no list.
    fn differences(&mut self, stored: &StoredSnapshot) -> Result<Option<(Difference, Difference)>> {
        let Some(listed) = self.reader.listed(stored)? else { return Ok(None) };
        let walked = self.reader.walked(stored)?;
        let (mut fewer, mut more) = (Difference::default(), Difference::default());
        walked.visit(&mut |record, _| {
            if !listed.contains(&record.name) {
                fewer.add(record.name);
            }
        });
        listed.visit(&mut |record, _| {
            if record.class == Class::Data && !walked.contains(&record.name) {
                more.add(record.name);
            }
        });
        Ok(Some((fewer, more)))
    }

    fn find(&mut self, stored: &StoredSnapshot, fault: WrongList) {
        let is_one = match &fault {
            WrongList::NamesFewer(packs) | WrongList::NamesMore(packs) => packs.count > 0,
            WrongList::Unread(_) => true,
        };
        if is_one {
            self.audited.findings.push(AuditFinding { snapshot: stored.name, fault });
        }
    }

    /// Tells whether what was found so far forbids deletions.
    pub(super) fn forbids_deletions(&self) -> bool {
        self.audited.forbids_deletions()
    }

    /// Returns what was found.
    pub(super) fn into_audited(self) -> Audited {
        self.audited
    }
}
