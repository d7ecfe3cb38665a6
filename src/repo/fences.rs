//! Fences: the runs that prunes have stopped, and which of their snapshots are valid (FORMAT.md
//! 10.3).
//!
//! There are few of them, one or two for each run that a prune did not want to wait for, and a host
//! with a cache reads each once. All are read whenever one matters: a verdict about a run bars its
//! snapshots for ever, whenever they appear.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::hex;
use crate::base::ids::SnapshotId;
use crate::format::fence::Fence;
use crate::format::fence::Judged;
use crate::seal::ids::RunId;

/// Everything that the fences of a repository say.
#[derive(Debug, Default)]
pub struct Fences {
    pub(super) epoch: u64,
    /// The runs that shall stop, and the largest epoch of the fences that name each.
    stopped: BTreeMap<[u8; 16], u64>,
    /// The snapshots that each verdict about a run spares.
    verdicts: BTreeMap<[u8; 16], Vec<BTreeSet<SnapshotId>>>,
    doubtful: BTreeSet<SnapshotId>,
    pub(super) cleared: BTreeSet<SnapshotId>,
    /// Fences and confirmations that do not count, and why.
    pub(super) doubted: Vec<Error>,
}

impl Fences {
    /// Returns the largest epoch, 0 if there is no fence.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Tells whether a run shall stop.
    pub fn names(&self, run: RunId) -> bool {
        self.stopped.contains_key(run.bytes())
    }

    /// Tells whether a verdict names a run: only then it is broken.
    pub fn judges(&self, run: RunId) -> bool {
        self.verdicts.contains_key(run.bytes())
    }

    /// Returns the runs that were announced and have no verdict: the prune that announced them has
    /// not come to it, or died.
    pub fn unjudged(&self) -> impl Iterator<Item = RunId> {
        let judged = |run: &&[u8; 16]| self.verdicts.contains_key(*run);
        self.stopped.keys().filter(move |run| !judged(run)).map(|run| RunId::new(*run))
    }

    /// Returns the snapshots that verdicts spare: they are there, listed or not.
    pub fn spared(&self) -> impl Iterator<Item = SnapshotId> {
        self.verdicts.values().flatten().flatten().copied()
    }

    /// Tells whether a verdict bars a snapshot of a run, whose id is in hexadecimal.
    pub fn bars(&self, run: &str, id: SnapshotId) -> bool {
        let verdicts = hex::decode(run).and_then(|run| self.verdicts.get(&run));
        verdicts.is_some_and(|verdicts| verdicts.iter().any(|spared| !spared.contains(&id)))
    }

    /// Tells whether a snapshot is doubtful and was not confirmed.
    pub fn doubts(&self, id: SnapshotId) -> bool {
        self.doubtful.contains(&id) && !self.cleared.contains(&id)
    }

    /// Returns why some fences and confirmations do not count.
    pub fn doubted(&self) -> &[Error] {
        &self.doubted
    }

    /// Takes the reasons why some fences and confirmations do not count, for a report.
    pub fn take_doubted(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.doubted)
    }

    /// Tells whether any snapshot was said to be doubtful.
    pub(super) fn has_doubtful(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// Adds what a fence says.
    pub(super) fn add(&mut self, epoch: u64, fence: Fence) {
        for run in fence.runs {
            let latest = self.stopped.entry(run).or_default();
            *latest = epoch.max(*latest);
            if let Some(Judged { spared, .. }) = &fence.verdict {
                self.verdicts.entry(run).or_default().push(spared.clone());
            }
        }
        self.doubtful.extend(fence.verdict.into_iter().flat_map(|judged| judged.doubtful));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: [u8; 16] = [1; 16];

    fn id(byte: u8) -> SnapshotId {
        SnapshotId([byte; 32])
    }

    fn fence(verdict: Option<Judged>) -> Fence {
        Fence { time: 1, runs: [RUN].into(), verdict }
    }

    fn sparing(spared: &[u8]) -> Judged {
        let spared = spared.iter().map(|byte| id(*byte)).collect();
        Judged { spared, doubtful: [id(9)].into() }
    }

    #[test]
    fn an_announcement_stops_a_run_and_bars_nothing() {
        let mut fences = Fences::default();
        fences.add(3, fence(None));
        let run = RunId::new(RUN);
        assert!(fences.names(run) && !fences.judges(run));
        assert!(!fences.bars(&run.to_string(), id(1)));
        assert_eq!(fences.unjudged().collect::<Vec<_>>(), [run]);
        assert!(!fences.names(RunId::new([2; 16])));
    }

    #[test]
    fn each_verdict_bars_all_that_it_does_not_spare() {
        let mut fences = Fences::default();
        let run = RunId::new(RUN);
        fences.add(3, fence(None));
        fences.add(4, fence(Some(sparing(&[1, 2]))));
        assert!(fences.judges(run) && fences.unjudged().next().is_none());
        let bars = |fences: &Fences, byte| fences.bars(&run.to_string(), id(byte));
        assert!(!bars(&fences, 1) && !bars(&fences, 2) && bars(&fences, 3));
        fences.add(4, fence(Some(sparing(&[1, 3]))));
        assert!(!bars(&fences, 1) && bars(&fences, 2) && bars(&fences, 3));
        assert!(!fences.bars("no run", id(3)) && !fences.bars(&"02".repeat(16), id(3)));
        assert_eq!(fences.spared().collect::<BTreeSet<_>>(), [id(1), id(2), id(3)].into());
    }

    #[test]
    fn a_doubtful_snapshot_is_so_until_it_is_confirmed() {
        let mut fences = Fences::default();
        fences.add(4, fence(Some(sparing(&[]))));
        assert!(fences.has_doubtful() && fences.doubts(id(9)) && !fences.doubts(id(8)));
        fences.cleared.insert(id(9));
        assert!(!fences.doubts(id(9)));
    }
}
