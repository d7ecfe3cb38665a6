//! The rules of the protocol that can be left out, to see that each is needed.

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A run looks at `removed/` again behind its intent.
    RunChecksRemoved,
    /// A run looks at the fences again behind its intent: a barred or doubtful root is none.
    RunChecksRoots,
    /// A run lists the packs behind its intent and both looks.
    RunListsPacksLast,
    /// A run lists the fences behind its snapshot, and has failed if it is named.
    RunChecksFences,
    /// Healing records are put before the snapshot of their run.
    HealingBeforeSnapshot,
    /// Only the packs that were listed first can be deleted.
    CandidatesFirst,
    /// `removed/` and fences are listed before the intents.
    OutBeforeIntents,
    /// Intents are listed before the snapshots.
    IntentsBeforeSnapshots,
    /// Intents are read before the snapshots are listed.
    ReadIntentsFirst,
    /// Snapshots are listed before `moves/`.
    SnapshotsBeforeMoves,
    /// The roots of standing runs are live.
    KeepRoots,
    /// The packs of standing runs stay.
    KeepOwn,
    /// What a moves record names for a needed pack is live.
    FollowMoves,
    /// An announcement is put before the snapshots are listed that the verdict spares.
    Announce,
    /// A verdict spares the snapshots that were there.
    VerdictSpares,
    /// Only runs with a verdict count as broken, not those that are only announced.
    BrokenByVerdict,
    /// A snapshot that can't be read ends prune.
    StopIfUnread,
    /// A snapshot that is the root of a standing run is not deleted.
    KeepRootObjects,
    /// A run has ended if it put a snapshot that is no checkpoint.
    CheckpointIsNoEnd,
    /// Before each deletion the own intent is looked for.
    LookBeforeDelete,
    /// A replicate waits for the prunes and compactions that stand behind its intent.
    ReplicateWaits,
    /// What a standing replicate holds stays.
    KeepHeld,
    /// The snapshots of a broken replicate are doubtful.
    Doubtful,
    /// A replicate looks at the fences behind its snapshot.
    ReplicateChecksFences,
    /// Compaction walks the snapshots that came between its walk and its intent.
    WalkNew,
    /// Compaction keeps what the roots of standing runs name.
    CompactionKeepsRoots,
    /// Compaction leaves out what a standing replicate holds.
    CompactionLeavesHeld,
    /// Compaction takes apart only packs that it listed first.
    CompactionChoosesFirst,
    /// Compaction leaves out the packs of runs that stand.
    CompactionLeavesOwn,
    /// The record of a compaction is put before the old pack is deleted.
    RecordBeforeDelete,
    /// A record of compaction serves what it names: runs and prune take it for present.
    PruneFollowsCompaction,
    /// Whoever puts a hold lists the intents of prunes behind it.
    HoldLooks,
    /// Prune lists the holds behind its intent.
    PruneLooksForHolds,
    /// Records in `removed/` count only with a tag under the prune key.
    PruneKey,
    /// The intents of broken runs are deleted before the objects of snapshots that are out.
    IntentsGoFirst,
    /// A snapshot that a verdict spares counts as listed.
    SparedAreListed,
    /// The snapshots are listed twice, and the union counts: a store may give a short list once.
    ListTwice,
    /// A candidate whose run is known from nowhere ends prune.
    OwnersKnown,
    /// On a store that lists late, a program that lists behind its own put waits first. The program
    /// deletes nothing there instead: this and the next two are what deletions would need.
    WaitForListings,
    /// On such a store, prune waits between its list of snapshots and the deletion of intents.
    WaitBeforeIntents,
    /// On such a store, a replicate waits once more when no prune and no compaction stands.
    WaitAfterDeleters,
}

impl Rule {
    /// All rules.
    pub(crate) const ALL: [Self; 41] = [
        Self::RunChecksRemoved,
        Self::RunChecksRoots,
        Self::RunListsPacksLast,
        Self::RunChecksFences,
        Self::HealingBeforeSnapshot,
        Self::CandidatesFirst,
        Self::OutBeforeIntents,
        Self::IntentsBeforeSnapshots,
        Self::ReadIntentsFirst,
        Self::SnapshotsBeforeMoves,
        Self::KeepRoots,
        Self::KeepOwn,
        Self::FollowMoves,
        Self::Announce,
        Self::VerdictSpares,
        Self::BrokenByVerdict,
        Self::StopIfUnread,
        Self::KeepRootObjects,
        Self::CheckpointIsNoEnd,
        Self::LookBeforeDelete,
        Self::ReplicateWaits,
        Self::KeepHeld,
        Self::Doubtful,
        Self::ReplicateChecksFences,
        Self::WalkNew,
        Self::CompactionKeepsRoots,
        Self::CompactionLeavesHeld,
        Self::CompactionChoosesFirst,
        Self::CompactionLeavesOwn,
        Self::RecordBeforeDelete,
        Self::PruneFollowsCompaction,
        Self::HoldLooks,
        Self::PruneLooksForHolds,
        Self::PruneKey,
        Self::IntentsGoFirst,
        Self::SparedAreListed,
        Self::ListTwice,
        Self::OwnersKnown,
        Self::WaitForListings,
        Self::WaitBeforeIntents,
        Self::WaitAfterDeleters,
    ];

    #[expect(clippy::as_conversions, reason = "the number of a variant, in the hottest loop")]
    fn bit(self) -> u64 {
        1 << (self as u32)
    }
}

/// The rules that are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules(u64);

impl Rules {
    /// Returns all rules.
    pub(crate) fn all() -> Self {
        Self((1 << Rule::ALL.len()) - 1)
    }

    /// Returns these rules without one.
    #[must_use]
    pub(crate) fn without(self, rule: Rule) -> Self {
        Self(self.0 & !rule.bit())
    }

    /// Tells whether a rule is in force.
    pub(crate) fn has(self, rule: Rule) -> bool {
        self.0 & rule.bit() != 0
    }
}
