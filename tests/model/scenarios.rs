//! What is there at first, and which processes meet.

use crate::rules::Rule;
use crate::rules::Rules;
use crate::world::A;
use crate::world::A0;
use crate::world::A1;
use crate::world::B;
use crate::world::Breaks;
use crate::world::CHECKPOINT;
use crate::world::COPY;
use crate::world::Checkpoint;
use crate::world::DONE;
use crate::world::FINAL;
use crate::world::FOREIGN;
use crate::world::G;
use crate::world::Kind;
use crate::world::Listed;
use crate::world::PROCESSES;
use crate::world::Process;
use crate::world::S0;
use crate::world::S1;
use crate::world::SNAPSHOTS;
use crate::world::Set;
use crate::world::Setting;
use crate::world::Short;
use crate::world::World;
use crate::world::one;

/// The size of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Less than half a million states.
    Small,
    /// A million states, about.
    Medium,
    /// Up to ten million states, for which the environment has to ask.
    Large,
}

/// A world to search, and the rules that it shows to be needed.
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// The processes, at most three: the last place is that of the prune that cleans up.
    pub(crate) kinds: &'static [Kind],
    /// The packs that are there.
    pub(crate) packs: Set,
    /// Entries that the first, the second and the copied snapshot need.
    pub(crate) needs: [Set; 3],
    /// Snapshots that are there.
    pub(crate) snapshots: Set,
    /// True if the store lists late.
    pub(crate) lists_late: bool,
    /// The listings of snapshots that are short.
    pub(crate) lists_short: Short,
    /// The size of its search.
    pub(crate) size: Size,
    /// Rules without which something is lost, or garbage stays.
    pub(crate) needed: &'static [Rule],
}

const ALL: Set = A | one(B) | one(G);
const NEEDS: [Set; 3] = [A | one(B), one(B), 0];
const BOTH: Set = one(S0) | one(S1);
const ORDINARY: Scenario = Scenario {
    name: "",
    kinds: &[],
    packs: ALL,
    needs: NEEDS,
    snapshots: BOTH,
    lists_late: false,
    lists_short: Short::Never,
    size: Size::Small,
    needed: &[],
};
const W: Kind = Kind::Backup(Checkpoint::None);
const W_LATE: Kind = Kind::Backup(Checkpoint::Late);
const W_EARLY: Kind = Kind::Backup(Checkpoint::Early);
const W_PART: Kind = Kind::Backup(Checkpoint::Part);
const P: Kind = Kind::Prune(one(S0), Breaks::Never);
const P_BREAKS: Kind = Kind::Prune(one(S0), Breaks::Maybe);
const Q: Kind = Kind::Prune(0, Breaks::Never);
const Q_BREAKS: Kind = Kind::Prune(0, Breaks::Maybe);

/// All scenarios.
pub(crate) const SCENARIOS: [Scenario; 24] = [
    Scenario {
        name: "a run, and a prune that may break it",
        kinds: &[W_LATE, P_BREAKS],
        needed: &[
            Rule::RunChecksRemoved,
            Rule::RunListsPacksLast,
            Rule::RunChecksFences,
            Rule::CandidatesFirst,
            Rule::OutBeforeIntents,
            Rule::IntentsBeforeSnapshots,
            Rule::ReadIntentsFirst,
            Rule::KeepRoots,
            Rule::KeepOwn,
            Rule::VerdictSpares,
        ],
        ..ORDINARY
    },
    Scenario {
        name: "a run, and two prunes that may break it",
        kinds: &[W_LATE, P_BREAKS, Q_BREAKS],
        needed: &[
            Rule::Announce,
            Rule::BrokenByVerdict,
            Rule::StopIfUnread,
            Rule::KeepRootObjects,
            Rule::IntentsGoFirst,
        ],
        size: Size::Medium,
        ..ORDINARY
    },
    Scenario {
        name: "two runs, and a prune that may break them",
        kinds: &[W_LATE, W, P_BREAKS],
        needed: &[Rule::RunChecksRoots],
        size: Size::Medium,
        ..ORDINARY
    },
    Scenario {
        name: "a run that heals, a prune that removes its snapshot, and another prune",
        kinds: &[W, Kind::Prune(one(FINAL), Breaks::Never), Q],
        packs: one(B) | one(G),
        snapshots: BOTH,
        needs: [one(A0) | one(B), one(B) | one(A0), 0],
        needed: &[Rule::FollowMoves, Rule::HealingBeforeSnapshot, Rule::SnapshotsBeforeMoves],
        ..ORDINARY
    },
    Scenario {
        name: "a run whose checkpoint names little, and two prunes",
        kinds: &[W_EARLY, P, Q],
        needed: &[Rule::CheckpointIsNoEnd],
        ..ORDINARY
    },
    Scenario {
        name: "two runs, and a prune that removes a checkpoint and what followed it",
        kinds: &[W_LATE, W, Kind::Prune(one(CHECKPOINT) | one(FINAL + 1), Breaks::Never)],
        ..ORDINARY
    },
    Scenario {
        name: "a replicate, and two prunes that may break it",
        kinds: &[Kind::Replicate, Q_BREAKS, P_BREAKS],
        needs: [A | one(B), one(B), one(G) | one(FOREIGN)],
        needed: &[
            Rule::ReplicateWaits,
            Rule::KeepHeld,
            Rule::ReplicateChecksFences,
            Rule::Doubtful,
        ],
        ..ORDINARY
    },
    Scenario {
        name: "two replicates of one snapshot, and a prune that may break them",
        kinds: &[Kind::Replicate, Kind::Replicate, Q_BREAKS],
        needs: [A | one(B), one(B), one(G) | one(FOREIGN)],
        ..ORDINARY
    },
    Scenario {
        name: "a replicate, and a prune whose intent a person removes",
        kinds: &[Kind::Replicate, P, Kind::Abandon(1)],
        needs: [A | one(B), one(B), one(G) | one(FOREIGN)],
        needed: &[Rule::LookBeforeDelete],
        ..ORDINARY
    },
    Scenario {
        name: "a compaction, a prune, and a run",
        kinds: &[W, P, Kind::Compaction],
        needs: [A | one(B), one(B) | one(A0), 0],
        needed: &[
            Rule::RecordBeforeDelete,
            Rule::PruneFollowsCompaction,
            Rule::CompactionKeepsRoots,
        ],
        ..ORDINARY
    },
    Scenario {
        name: "a compaction, a prune, and a replicate that needs what is dead here",
        kinds: &[Kind::Compaction, P, Kind::Replicate],
        needs: [A | one(B), one(B) | one(A0), one(A1)],
        needed: &[Rule::WalkNew, Rule::CompactionLeavesHeld],
        ..ORDINARY
    },
    Scenario {
        name: "a compaction, a prune, and a run whose checkpoint names a part of its pack",
        kinds: &[W_PART, P, Kind::Compaction],
        packs: one(B) | one(G),
        needs: [one(B), one(B), 0],
        needed: &[Rule::CompactionChoosesFirst, Rule::CompactionLeavesOwn],
        ..ORDINARY
    },
    Scenario {
        name: "a hold, and a prune that removes what is held",
        kinds: &[Kind::Hold, P],
        needed: &[Rule::HoldLooks, Rule::PruneLooksForHolds],
        ..ORDINARY
    },
    Scenario {
        name: "a host without the prune key seals a removal, beside a prune and a run",
        kinds: &[W, Q_BREAKS, Kind::Forger],
        needed: &[Rule::PruneKey],
        ..ORDINARY
    },
    Scenario {
        name: "a run, and a prune that is given a list that lacks a snapshot",
        kinds: &[W, P],
        lists_short: Short::Once,
        needed: &[Rule::ListTwice],
        ..ORDINARY
    },
    Scenario {
        name: "a run, and a prune of a repository that has lost the object of a snapshot",
        kinds: &[W, P],
        lists_short: Short::Always(one(S1)),
        needed: &[Rule::OwnersKnown],
        ..ORDINARY
    },
    Scenario {
        name: "a run and a prune on a store that lists late",
        kinds: &[W, P_BREAKS],
        lists_late: true,
        needed: &[Rule::WaitForListings],
        ..ORDINARY
    },
    Scenario {
        name: "a run and two prunes on a store that lists late",
        kinds: &[W, P_BREAKS, Kind::Prune(one(S1), Breaks::Never)],
        lists_late: true,
        size: Size::Large,
        needed: &[Rule::SparedAreListed, Rule::WaitBeforeIntents],
        ..ORDINARY
    },
    Scenario {
        name: "two runs and a prune on a store that lists late",
        kinds: &[W_LATE, W, P_BREAKS],
        lists_late: true,
        size: Size::Large,
        ..ORDINARY
    },
    Scenario {
        name: "a run, a replicate, and a prune that may break them",
        kinds: &[W_LATE, Kind::Replicate, P_BREAKS],
        needs: [A | one(B), one(B), one(G) | one(A1) | one(FOREIGN)],
        size: Size::Large,
        ..ORDINARY
    },
    Scenario {
        name: "a run, a compaction, and a prune that may break the run",
        kinds: &[W_LATE, P_BREAKS, Kind::Compaction],
        needs: [A | one(B), one(B) | one(A0), 0],
        size: Size::Large,
        ..ORDINARY
    },
    Scenario {
        name: "a compaction, a prune, and a replicate on a store that lists late",
        kinds: &[Kind::Compaction, P, Kind::Replicate],
        needs: [A | one(B), one(B) | one(A0), one(A1)],
        lists_late: true,
        size: Size::Large,
        ..ORDINARY
    },
    Scenario {
        name: "a run, a compaction, and a prune on a store that lists late",
        kinds: &[W, P, Kind::Compaction],
        needs: [A | one(B), one(B) | one(A0), 0],
        lists_late: true,
        size: Size::Large,
        ..ORDINARY
    },
    Scenario {
        name: "a replicate and two prunes that may break it on a store that lists late",
        kinds: &[Kind::Replicate, Q_BREAKS, P_BREAKS],
        needs: [A | one(B), one(B), one(G) | one(FOREIGN)],
        lists_late: true,
        size: Size::Large,
        needed: &[Rule::WaitAfterDeleters],
        ..ORDINARY
    },
];

impl Scenario {
    /// Returns the setting of the search under some rules.
    pub(crate) fn setting(&self, rules: Rules) -> Setting {
        Setting { rules, lists_late: self.lists_late, lists_short: self.lists_short }
    }

    /// Returns the world as it is at first.
    pub(crate) fn start(&self) -> World {
        let now = Listed { packs: self.packs, snapshots: self.snapshots, ..Listed::default() };
        let mut needs = [0; SNAPSHOTS];
        (needs[S0], needs[S1], needs[COPY]) = (self.needs[0], self.needs[1], self.needs[2]);
        let mut processes = [Process { step: DONE, ..Process::default() }; PROCESSES];
        for (process, kind) in processes.iter_mut().zip(self.kinds) {
            *process = Process { kind: *kind, ..Process::default() };
        }
        let mut world = World {
            now,
            old: now,
            needs,
            roots: [0; PROCESSES],
            held: [0; PROCESSES],
            good: 0,
            broken: 0,
            hold_is_good: false,
            processes,
        };
        let served = world.served(world.now.packs);
        let is_whole = |s: &usize| world.needs[*s] & !served == 0;
        world.good = [S0, S1].into_iter().filter(is_whole).map(one).sum::<Set>() & self.snapshots;
        world.broken = self.snapshots & !world.good;
        world
    }
}
