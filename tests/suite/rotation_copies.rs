//! The keys are rotated where a repository has copies with a life of their own: each copy goes on
//! showing what it keeps, and hides what was removed there.

use std::collections::BTreeMap;
use std::sync::Arc;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::ids::SnapshotId;
use haulout::format::fence::Fence;
use haulout::format::fence::Judged;
use haulout::ops::hold::Hold;
use haulout::ops::hold::hold;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::replicate::plan;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::ages;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Gaps;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::cost::KdfCost;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::keys_by;
use crate::support::opened_by;
use crate::support::passphrase;
use crate::support::removing;
use crate::support::shared;
use crate::support::stepping_world;
use crate::support::stream_of;

const FIRST: &str = "correct horse";

/// A repository with a copy.
struct Pair {
    near: Arc<MemoryStore>,
    far: Arc<MemoryStore>,
    server: Server,
    nights: Vec<SnapshotId>,
    streams: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Pair {
    /// Four nights that both sides have. Then the first is removed here, the second there; there
    /// the third is held, and a run that never was is stopped.
    fn new() -> Self {
        let (near, far) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        init(shared(&near), Protected::Encrypted, 1);
        let (nights, streams) = (Vec::new(), BTreeMap::new());
        let mut pair = Self { near, far, server: Server::new(5, 1, 12), nights, streams };
        (0..4).for_each(|_| pair.night(FIRST));
        pair.replicate(FIRST).unwrap();
        let near = pair.here(FIRST);
        remove(&near, pair.nights[0]);
        let far = pair.there(FIRST);
        remove(&far, pair.nights[1]);
        let held = far.find_snapshot(&pair.nights[2].to_string()).unwrap();
        let wanted = Hold { until: None, reason: "an audit".to_owned() };
        hold(&far, &held, &wanted, &stepping_world()).unwrap();
        let verdict = Some(Judged::default());
        far.put_fence(7, &Fence { time: 1, runs: [[9; 16]].into(), verdict }).unwrap();
        let report = verify(&far, &VerifyOptions::new(Depth::Blocks), &stepping_world()).unwrap();
        assert!(report.findings.is_empty() && report.recorded == 0, "{report:?}");
        pair
    }

    /// Another repository and copy with the same objects.
    fn copy(&self) -> Self {
        let copied = |store: &MemoryStore| {
            let copy = MemoryStore::new();
            copy.set_objects(store.objects());
            Arc::new(copy)
        };
        let (near, far) = (copied(&self.near), copied(&self.far));
        let (nights, streams) = (self.nights.clone(), self.streams.clone());
        Self { near, far, server: self.server.clone(), nights, streams }
    }

    fn here(&self, password: &str) -> Repository {
        opened_by(&shared(&self.near), password).unwrap()
    }

    fn there(&self, password: &str) -> Repository {
        opened_by(&shared(&self.far), password).unwrap()
    }

    fn night(&mut self, password: &str) {
        let stream = self.server.stream();
        let id = back_up(&self.here(password), &stream).id;
        self.nights.push(id);
        self.streams.insert(id, stream);
        self.server.night(3);
    }

    fn rotate(&self, from: &str, to: &str) {
        let note = KeySlotNote { label: to.to_owned(), created_unix_seconds: 0 };
        let text = passphrase(to);
        let protection = Protection::Passphrase(&text, KdfCost::FOR_TESTS);
        let keys = keys_by(&shared(&self.near), from).unwrap();
        keys.rotate(protection, &note, Gaps::Refused).unwrap();
    }

    fn replicate(&self, password: &str) -> Result<ReplicateReport, Error> {
        replicate(&self.here(password), shared(&self.far))
    }

    /// Checks that the copy shows all nights but the second, and what it has recorded.
    fn assert_there(&self, password: &str) {
        let far = self.there(password);
        self.assert_shown(&far);
        let options = VerifyOptions::new(Depth::Blocks);
        let report = verify(&far, &options, &stepping_world()).unwrap();
        assert!(report.findings.is_empty() && report.notes.is_empty(), "{report:?}");
    }

    fn assert_shown(&self, far: &Repository) {
        let listing = far.snapshots().unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        let shown: Vec<SnapshotId> = listing.snapshots.iter().map(StoredSnapshot::id).collect();
        let kept = self.nights.iter().filter(|id| **id != self.nights[1]);
        for id in kept.clone() {
            assert!(shown.contains(id), "{} is gone", id.short());
            assert!(stream_of(far, &id.to_string()).unwrap() == self.streams[id]);
        }
        assert_eq!(shown.len(), kept.count());
        let removed = far.find_snapshot(&self.nights[1].to_string()).unwrap_err();
        assert_eq!(removed.kind(), ErrorKind::Removed, "{removed}");
        let holds = far.notes(None).unwrap().holds(self.nights[2]);
        assert_eq!(holds.len(), 1, "{holds:?}");
        let fences = far.fences().unwrap();
        assert!(fences.epoch() == 7 && fences.bars(&"09".repeat(16), self.nights[3]));
    }
}

fn remove(repository: &Repository, id: SnapshotId) {
    let stored = repository.find_snapshot(&id.to_string()).unwrap();
    let options = PruneOptions { removes: vec![removing(&stored)], ..PruneOptions::default() };
    prune::prune(repository, &options, &stepping_world()).unwrap();
}

fn replicate(near: &Repository, far: Arc<dyn Store>) -> Result<ReplicateReport, Error> {
    let snapshots = near.snapshots()?.snapshots;
    let plan = plan(near, far, ReplicateOptions::new(snapshots), &stepping_world())?;
    let cost = plan.cost();
    let report = plan.send(&stepping_world())?;
    assert!(report.damaged.is_empty() && report.left_out.is_empty(), "{report:?}");
    assert_eq!((report.cost.bytes, report.cost.objects), (cost.bytes, cost.objects));
    Ok(report)
}

#[test]
fn a_copy_shows_what_it_keeps_and_hides_what_it_removed_after_each_rotation() {
    let mut pair = Pair::new();
    pair.assert_there(FIRST);
    for (from, to) in [(FIRST, "second"), ("second", "third")] {
        pair.rotate(from, to);
        pair.night(to);
        // Nothing of what was removed there comes back.
        let report = pair.replicate(to).unwrap();
        assert_eq!(
            (&report.sent[..], &report.removed_there[..]),
            (&pair.nights[pair.nights.len() - 1..], &pair.nights[1..2])
        );
        let ages = ages(&pair.there(to), &VerifyOptions::new(Depth::Blocks), &stepping_world());
        let never = ages.unwrap().ages.never.count;
        assert!(never > 0 && never < 8, "only what came was never verified: {never}");
        pair.assert_there(to);
        let far = pair.there(to);
        let report = prune::prune(&far, &PruneOptions::default(), &stepping_world()).unwrap();
        assert!(report.doubted.is_empty(), "{:?}", report.doubted);
        assert!(report.deleted.is_empty() && report.cleaned_up.snapshots == 0);
        // Once is enough.
        assert_eq!(pair.replicate(to).unwrap().cost.objects, 0);
    }
}

#[test]
fn previous_keys_neither_bring_new_ones_nor_remove_anything_after_those_came() {
    let mut pair = Pair::new();
    let (near, far) = (pair.here(FIRST), pair.there(FIRST));
    pair.rotate(FIRST, "second");
    // A process that was under way has the previous keys.
    replicate(&near, shared(&pair.far)).unwrap();
    opened_by(&shared(&pair.far), "second").unwrap_err();
    pair.night("second");
    pair.replicate("second").unwrap();
    pair.assert_there("second");
    let newest = far.find_snapshot(&pair.nights[3].to_string()).unwrap();
    far.put_removal(&newest.name, &removing(&newest).removal).unwrap();
    pair.assert_shown(&pair.there("second"));
}

#[test]
fn wherever_the_way_of_new_keys_to_a_copy_is_cut_the_next_replicate_ends_it() {
    let mut pair = Pair::new();
    pair.rotate(FIRST, "second");
    pair.night("second");
    for nth in 1.. {
        let copy = pair.copy();
        let fault = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Other)).at(nth);
        let failing = Arc::new(Failing::new(shared(&copy.far), vec![fault.ever_after()]));
        let done = replicate(&copy.here("second"), shared(&failing));
        assert_eq!(done.is_ok(), failing.struck() == 0, "{nth}: {done:?}");
        copy.replicate("second").unwrap();
        copy.assert_there("second");
        if done.is_ok() {
            assert!(nth > 8, "several puts were tried");
            break;
        }
    }
}
