//! The snapshots that are there and are not to be relied upon: removed ones whose objects are
//! not deleted yet, those that a verdict bars, and doubtful ones (FORMAT.md 10.4).
//!
//! A program that lists snapshots lists fences and removals right after that, so that what was
//! removed until then is not shown. A repository without intents has none, and they are not listed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::format::removed::Removal;
use crate::format::snapshot::Description;
use crate::repo::fences::Fences;
use crate::repo::removals::Removals;
use crate::repo::snapshot_name::SnapshotName;

/// The snapshots that were there when the runs of the repository began to put intents.
///
/// It can only take away: where there is no list, every snapshot is believed.
#[derive(Debug, Default)]
pub struct Earlier {
    listed: Option<BTreeSet<SnapshotId>>,
}

impl Earlier {
    /// Tells whether there is no list: the repository was made with intents.
    pub fn is_empty(&self) -> bool {
        self.listed.is_none()
    }

    /// Adds the snapshots of a list.
    pub(super) fn add(&mut self, snapshots: BTreeSet<SnapshotId>) {
        self.listed.get_or_insert_default().extend(snapshots);
    }

    /// Tells whether a snapshot was put by a run without an intent that was under way when runs
    /// began to put some.
    pub fn doubts(&self, id: SnapshotId, about: &Description) -> bool {
        let is_listed = self.listed.as_ref().is_none_or(|listed| listed.contains(&id));
        about.protocol.is_none() && !is_listed
    }

    /// Refuses a snapshot that is doubtful.
    pub(super) fn check(&self, id: SnapshotId, about: &Description) -> Result<()> {
        if !self.doubts(id, about) {
            return Ok(());
        }
        let what = format!(
            "snapshot {} was put by an earlier version, which still ran when the repository was \
             upgraded, and may lack packs",
            id.short()
        );
        Err(Error::new(ErrorKind::Removed, what))
    }
}

/// The reasons for which snapshots are hidden, of one source or of all.
#[derive(Debug, Default)]
pub struct Hidden {
    /// The source that was looked at; all if there is none.
    pub(super) scope: Option<SourceId>,
    pub(super) fences: Fences,
    pub(super) removals: Removals,
    /// What removals say about snapshots that are listed.
    pub(super) removed: BTreeMap<SnapshotId, Removal>,
    /// Removals that do not count, and why.
    pub(super) doubted: Vec<Error>,
    /// The snapshots of runs without intents, once that was asked for.
    pub(super) earlier: Mutex<Option<Arc<Earlier>>>,
}

impl Hidden {
    /// Tells whether it says everything about the snapshots of a source, or of all.
    pub(super) fn covers(&self, source: Option<SourceId>) -> bool {
        self.scope.is_none() || self.scope == source
    }

    /// Returns the fences of the repository.
    pub fn fences(&self) -> &Fences {
        &self.fences
    }

    /// Returns the removals that were listed.
    pub fn removals(&self) -> &Removals {
        &self.removals
    }

    /// Returns why fences and removals do not count.
    pub fn doubted(&self) -> impl Iterator<Item = &Error> {
        self.fences.doubted().iter().chain(&self.doubted)
    }

    /// Tells whether a snapshot is hidden whatever run put it.
    pub fn hides(&self, name: &SnapshotName) -> bool {
        self.removed.contains_key(&name.id) || self.fences.doubts(name.id)
    }

    /// Refuses a snapshot that is hidden whatever run put it.
    pub(super) fn check(&self, name: &SnapshotName) -> Result<()> {
        if let Some(removal) = self.removed.get(&name.id) {
            return Err(was_removed(name.id, removal));
        }
        if self.fences.doubts(name.id) {
            let what = format!(
                "snapshot {} was put by a replicate that was stopped, and may lack packs",
                name.id.short()
            );
            return Err(Error::new(ErrorKind::Removed, what));
        }
        Ok(())
    }

    /// Refuses a snapshot that a verdict about its run bars.
    pub(super) fn check_run(&self, name: &SnapshotName, run: &str) -> Result<()> {
        if !self.fences.bars(run, name.id) {
            return Ok(());
        }
        let what = format!(
            "snapshot {} was put by a run that a prune had stopped, and may lack packs",
            name.id.short()
        );
        Err(Error::new(ErrorKind::Removed, what))
    }
}

/// Returns the error about a snapshot that was removed: by whom, when and why.
pub(super) fn was_removed(id: SnapshotId, removal: &Removal) -> Error {
    let time = i64::try_from(removal.time).ok().and_then(|time| {
        let time = jiff::Timestamp::from_second(time).ok()?;
        Some(time.strftime(" on %Y-%m-%d at %H:%M UTC").to_string())
    });
    let host = if removal.host.is_empty() { "" } else { " from host " };
    let mut what = format!(
        "snapshot {} was removed{}{host}{}",
        id.short(),
        time.unwrap_or_default(),
        removal.host
    );
    if !removal.reason.is_empty() {
        what = format!("{what}: {}", removal.reason);
    }
    Error::new(ErrorKind::Removed, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::snapshot::SnapshotKind;
    use crate::format::snapshot::Verdict;

    #[test]
    fn a_removed_snapshot_is_told_by_whom_when_and_why_it_was_removed() {
        let mut removal = Removal {
            time: 1_795_143_612,
            program: String::new(),
            host: "db1".to_owned(),
            predecessor: None,
            run: String::new(),
            runs: Vec::new(),
            kind: SnapshotKind::Full,
            verdict: Verdict::Complete,
            requires: Vec::new(),
            reason: "customer erased".to_owned(),
            replaced_by: None,
            origin: None,
        };
        let id = SnapshotId([0xab; 32]);
        let words = "snapshot ababababab was removed on 2026-11-20 at 03:00 UTC from host db1";
        assert_eq!(was_removed(id, &removal).to_string(), format!("{words}: customer erased"));
        removal.time = u64::MAX;
        (removal.host, removal.reason) = Default::default();
        assert_eq!(was_removed(id, &removal).to_string(), "snapshot ababababab was removed");
    }
}
