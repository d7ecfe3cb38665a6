//! The state of a store and of the processes that use it.
//!
//! Everything is a set of small numbers, one bit each. The unit of storage is the entry; a pack is
//! a group of entries that are put and deleted together. What is read by name is always current;
//! what is listed may be as it was when the listings last settled, if the store lists late.

use crate::rules::Rules;

/// A set of entries, snapshots or processes.
pub(crate) type Set = u16;

/// The number of processes; the last place is that of the prune that cleans up.
pub(crate) const PROCESSES: usize = 4;
/// The number of entries.
pub(crate) const ENTRIES: usize = 9;
/// The number of snapshots.
pub(crate) const SNAPSHOTS: usize = 7;

/// Entries of pack A.
pub(crate) const A: Set = 0b11;
/// The entry of A that both first snapshots may need.
pub(crate) const A0: usize = 0;
/// The entry of A that only the first one needs.
pub(crate) const A1: usize = 1;
/// Pack B, of one entry.
pub(crate) const B: usize = 2;
/// A pack that no snapshot needs.
pub(crate) const G: usize = 3;
/// The pack that the process in place 0 writes; those of places 1 and 2 follow.
pub(crate) const OWN: usize = 4;
/// The pack that a compaction writes.
pub(crate) const Y: usize = 7;
/// A pack that only the other side of a replicate has at first.
pub(crate) const FOREIGN: usize = 8;

/// The first snapshot.
pub(crate) const S0: usize = 0;
/// The second snapshot.
pub(crate) const S1: usize = 1;
/// The final snapshot of the process in place 0; that of place 1 follows.
pub(crate) const FINAL: usize = 2;
/// The checkpoint of the process in place 0; that of place 1 follows.
pub(crate) const CHECKPOINT: usize = 4;
/// The snapshot that a replicate copies.
pub(crate) const COPY: usize = 6;

/// The packs, each as the set of its entries.
pub(crate) const PACKS: [Set; 8] =
    [A, 1 << B, 1 << G, 1 << OWN, 1 << (OWN + 1), 1 << (OWN + 2), 1 << Y, 1 << FOREIGN];

/// Returns the set of one number.
pub(crate) const fn one(number: usize) -> Set {
    1 << number
}

/// Returns the numbers in a set.
pub(crate) fn each(set: Set) -> impl Iterator<Item = usize> {
    (0..16).filter(move |number| set >> number & 1 == 1)
}

/// Returns the process that wrote a snapshot, if it is one of this world.
pub(crate) fn run_of(snapshot: usize) -> Option<usize> {
    match snapshot {
        FINAL..CHECKPOINT => Some(snapshot - FINAL),
        CHECKPOINT..COPY => Some(snapshot - CHECKPOINT),
        _ => None,
    }
}

/// The fences of a store, as far as their tags are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Fences {
    /// Runs that an announcement or a verdict names.
    pub(crate) announced: Set,
    /// Runs that a verdict names.
    pub(crate) judged: Set,
    /// Snapshots that every verdict about their run spares.
    pub(crate) spared: Set,
    /// Snapshots that a broken replicate had announced.
    pub(crate) doubtful: Set,
    /// Doubtful snapshots that a later replicate confirmed.
    pub(crate) cleared: Set,
}

impl Fences {
    /// Returns the snapshots that a verdict bars, whether they are there or not.
    pub(crate) fn barred(&self) -> Set {
        let is_barred = |snapshot: &usize| {
            let judged = run_of(*snapshot).is_some_and(|run| self.judged >> run & 1 == 1);
            judged && self.spared >> snapshot & 1 == 0
        };
        (0..SNAPSHOTS).filter(is_barred).map(one).sum()
    }

    /// Returns the snapshots that are doubtful still.
    pub(crate) fn doubtful(&self) -> Set {
        self.doubtful & !self.cleared
    }
}

/// The objects that a store lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Listed {
    /// Entries of the packs that are there.
    pub(crate) packs: Set,
    /// Snapshots that are there.
    pub(crate) snapshots: Set,
    /// Processes whose intents are there.
    pub(crate) intents: Set,
    /// Snapshots with a record in `removed/`.
    pub(crate) removed: Set,
    /// Snapshots with a record in `removed/` without a good tag.
    pub(crate) forged: Set,
    /// Snapshots with a hold.
    pub(crate) holds: Set,
    /// All fences, and `cleared/`.
    pub(crate) fences: Fences,
    /// Other places of each entry.
    pub(crate) moves: [Set; ENTRIES],
}

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Kind {
    /// Nobody.
    #[default]
    Idle,
    /// A backup, and the checkpoint that it puts.
    Backup(Checkpoint),
    /// A prune that removes these snapshots, and may break runs or not.
    Prune(Set, Breaks),
    /// A replicate that puts `COPY`.
    Replicate,
    /// A compaction of pack A.
    Compaction,
    /// A person who puts a hold on `S0`.
    Hold,
    /// A person who removes the intent of the prune in this place.
    Abandon(u8),
    /// A host that seals a record in `removed/` without the prune key.
    Forger,
}

/// The checkpoint of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Checkpoint {
    /// There is none.
    None,
    /// It names all that the snapshot will name.
    Late,
    /// It names only what the run has stored itself.
    Early,
    /// Pack A is of the run, and the checkpoint names a part of it.
    Part,
}

/// The runs that a prune breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Breaks {
    /// None.
    Never,
    /// None, or all that stand: both are tried.
    Maybe,
    /// All that stand.
    Always,
}

/// A process: how far it is, and what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Process {
    /// The kind of the process.
    pub(crate) kind: Kind,
    /// The step that it takes next; [`DONE`] if there is none.
    pub(crate) step: u8,
    /// True if it has put something since the listings settled.
    pub(crate) waits: bool,
    /// The numbers that it remembers.
    pub(crate) r: [Set; 8],
}

/// The step behind the last.
pub(crate) const DONE: u8 = 255;

/// The state of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The objects of the store.
    pub(crate) now: Listed,
    /// The objects as they were when the listings last settled.
    pub(crate) old: Listed,
    /// Entries that each snapshot needs.
    pub(crate) needs: [Set; SNAPSHOTS],
    /// Roots in the intent of each process.
    pub(crate) roots: [Set; PROCESSES],
    /// Entries that the intent of each replicate holds.
    pub(crate) held: [Set; PROCESSES],
    /// Snapshots that were reported good.
    pub(crate) good: Set,
    /// Snapshots that lacked something at first.
    pub(crate) broken: Set,
    /// True if a hold was reported as put.
    pub(crate) hold_is_good: bool,
    /// The processes.
    pub(crate) processes: [Process; PROCESSES],
}

/// What does not change during a search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// The rules in force.
    pub(crate) rules: Rules,
    /// True if the store lists late.
    pub(crate) lists_late: bool,
    /// The listings of snapshots that lack one.
    pub(crate) lists_short: Short,
}

/// The listings of snapshots by prune that are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// None is.
    Never,
    /// One may be.
    Once,
    /// All lack these, whose objects are lost.
    Always(Set),
}

impl World {
    /// Returns the entries of the packs that a process writes.
    pub(crate) fn own(&self, number: usize) -> Set {
        match self.processes[number].kind {
            Kind::Backup(Checkpoint::Part) => A | one(OWN + number),
            Kind::Backup(_) => one(OWN + number),
            Kind::Compaction => one(Y),
            Kind::Idle
            | Kind::Prune(..)
            | Kind::Replicate
            | Kind::Hold
            | Kind::Abandon(_)
            | Kind::Forger => 0,
        }
    }

    /// Tells whether a process of this number is a backup.
    pub(crate) fn is_backup(&self, number: usize) -> bool {
        matches!(self.processes[number].kind, Kind::Backup(_))
    }

    /// Returns the processes that are prunes or compactions.
    pub(crate) fn deleters(&self) -> Set {
        let deletes =
            |n: &usize| matches!(self.processes[*n].kind, Kind::Prune(..) | Kind::Compaction);
        (0..PROCESSES).filter(deletes).map(one).sum()
    }

    /// Returns the processes that are replicates.
    pub(crate) fn replicates(&self) -> Set {
        let is = |n: &usize| self.processes[*n].kind == Kind::Replicate;
        (0..PROCESSES).filter(is).map(one).sum()
    }

    /// Returns the entries, and everything that moves records name for them.
    pub(crate) fn with_moves(&self, entries: Set, records: Set) -> Set {
        let mut all = entries;
        loop {
            let named: Set = each(all & records)
                .filter(|entry| *entry < ENTRIES)
                .fold(0, |set, entry| set | self.now.moves[entry]);
            if named & !all == 0 {
                return all;
            }
            all |= named;
        }
    }

    /// Returns the entries that can be read: they are there, or a record leads to one that is.
    pub(crate) fn served(&self, packs: Set) -> Set {
        let served = |entry: &usize| self.with_moves(one(*entry), !0) & packs != 0;
        (0..ENTRIES).filter(served).map(one).sum()
    }

    /// Returns what is wrong with this state, if anything is.
    pub(crate) fn fault(&self) -> Option<String> {
        let served = self.served(self.now.packs);
        let barred = self.now.fences.barred();
        for snapshot in each(self.good & !self.now.removed) {
            let name = NAMES[snapshot];
            if self.now.snapshots >> snapshot & 1 == 0 {
                return Some(format!("{name} was reported good, was not removed, and is gone"));
            }
            if barred >> snapshot & 1 == 1 {
                return Some(format!("{name} was reported good, and a verdict bars it"));
            }
            if self.needs[snapshot] & !served != 0 {
                return Some(format!("{name} was reported good, and lacks what it needs"));
            }
        }
        let hidden = self.now.removed | barred | self.now.fences.doubtful() | self.broken;
        for snapshot in each(self.now.snapshots & !hidden) {
            if self.needs[snapshot] & !served != 0 {
                return Some(format!("{} is shown as whole, and is not", NAMES[snapshot]));
            }
        }
        if self.hold_is_good && self.now.removed >> S0 & 1 == 1 {
            return Some("S0 is held, and was removed".to_owned());
        }
        None
    }
}

/// The names of the snapshots.
pub(crate) const NAMES: [&str; SNAPSHOTS] = ["S0", "S1", "F0", "F1", "C0", "C1", "T"];
