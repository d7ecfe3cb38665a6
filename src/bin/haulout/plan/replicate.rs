//! What `replicate` is to do.

use haulout::ops::memory::REENCRYPT_MEMORY_MIN;
use haulout::ops::replicate::Confirmation;
use haulout::store::place::Place;

use crate::args::replicate::ReplicateArguments;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::password::OTHER_VARIABLES;
use crate::password::PasswordSource;
use crate::plan::Surroundings;
use crate::plan::network::NetworkPlan;
use crate::plan::place;
use crate::units::ByteCount;

/// A pack on its way is held in memory; so much of it is for everything else.
const MEMORY_FIXED: u64 = 64 << 20;
/// And so much for each pack.
const MEMORY_PER_CONNECTION: u64 = 34 << 20;
const CONNECTIONS_MAX: u64 = 16;

/// Which way snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Away from the repository.
    To,
    /// Into it.
    From,
}

/// Which snapshots go.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// These.
    Named(Vec<String>),
    /// The newest of some sources; no source stands for all, no number for all snapshots.
    Newest {
        /// Names of sources.
        sources: Vec<String>,
        /// How many of each.
        last: Option<u32>,
    },
}

/// Whether anything is changed, or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Yes.
    Send,
    /// It is only told what would be done.
    Plan,
}

/// What is done where there is no repository to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// It must be there.
    Existing,
    /// It is made.
    Made,
}

/// A replication.
#[derive(Debug)]
pub(crate) struct ReplicatePlan {
    /// The other repository.
    pub(crate) other: Place,
    /// How it is reached, if it is in an object store.
    pub(crate) network: NetworkPlan,
    /// Where its password comes from, if it has other keys; who asks knows no better.
    pub(crate) password: PasswordSource,
    /// Which way.
    pub(crate) direction: Direction,
    /// Which snapshots.
    pub(crate) wanted: Wanted,
    /// Whether anything is sent.
    pub(crate) mode: Mode,
    /// Whether the repository that snapshots go to may be made.
    pub(crate) destination: Destination,
    /// How the other side confirms.
    pub(crate) confirmation: Confirmation,
    /// Packs on their way at a time.
    pub(crate) connections: u32,
    /// The memory that may be used.
    memory: ByteCount,
}

impl ReplicatePlan {
    /// What was typed, on this machine.
    pub(crate) fn new(
        typed: ReplicateArguments,
        memory: u64,
        network: &NetworkPlan,
        around: &Surroundings<'_>,
    ) -> Outcome<ReplicatePlan> {
        let direction = if typed.to.is_some() { Direction::To } else { Direction::From };
        let wanted = if typed.snapshots.is_empty() {
            Wanted::Newest { sources: typed.sources, last: typed.last }
        } else {
            Wanted::Named(typed.snapshots)
        };
        let affordable = memory.saturating_sub(MEMORY_FIXED) / MEMORY_PER_CONNECTION;
        Ok(ReplicatePlan {
            other: place(typed.to.or(typed.from))?,
            network: network.other(&typed.other, around.variables),
            password: PasswordSource::choose(
                typed.other.other_password_file,
                typed.other.other_password_command,
                &OTHER_VARIABLES,
                around.variable,
            ),
            direction,
            wanted,
            destination: if typed.init { Destination::Made } else { Destination::Existing },
            mode: if typed.plan { Mode::Plan } else { Mode::Send },
            confirmation: if typed.verify { Confirmation::ReadBack } else { Confirmation::Listed },
            connections: u32::try_from(affordable.clamp(1, CONNECTIONS_MAX)).unwrap_or(1),
            memory: ByteCount(memory),
        })
    }

    /// Refuses to seal snapshots anew in less memory than that takes.
    pub(crate) fn require_memory_to_carry(&self) -> Outcome<()> {
        let memory = self.memory;
        let least = ByteCount(REENCRYPT_MEMORY_MIN);
        if memory >= least {
            return Ok(());
        }
        Err(Failure::usage(
            format!("--memory {memory} is too little to seal snapshots anew for other keys"),
            format!("give at least {least}"),
        ))
    }
}
