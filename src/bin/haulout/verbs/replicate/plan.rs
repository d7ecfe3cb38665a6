//! The plan of `replicate`.

use haulout::ops::memory::REENCRYPT_MEMORY_MIN;
use haulout::ops::replicate::Confirmation;
use haulout::store::limiter::Timetable;
use haulout::store::location::Location;

use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::network::NetworkPlan;
use crate::open::settings::place;
use crate::output::units::ByteCount;
use crate::secrets::password::OTHER_VARIABLES;
use crate::secrets::password::PasswordSource;
use crate::verbs::replicate::args::ReplicateArguments;
use crate::verbs::replicate::network::other;

/// Memory for everything but the packs that are being sent, each of which is held in memory.
const MEMORY_FIXED: u64 = 64 << 20;
/// Memory for each pack that is being sent.
const MEMORY_PER_CONNECTION: u64 = 34 << 20;
const CONNECTIONS_MAX: u64 = 16;

/// The direction in which snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Away from the repository, to the other one.
    To,
    /// Into the repository, from the other one.
    From,
}

/// The choice of snapshots to replicate.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The snapshots with these names.
    Named(Vec<String>),
    /// The newest of some sources; no source stands for all, no number for all snapshots.
    Newest {
        /// Names of the sources; empty for all.
        sources: Vec<String>,
        /// Number of snapshots of each source; `None` for all.
        last: Option<u32>,
    },
}

/// The choice between planning and sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The changes are made.
    Send,
    /// The plan is printed, and nothing is changed.
    Plan,
}

/// The treatment of a destination without a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The destination must be a repository.
    Existing,
    /// The destination is created if it does not exist.
    Made,
}

/// The settings of one replication.
#[derive(Debug)]
pub(crate) struct ReplicatePlan {
    /// The location of the other repository.
    pub(crate) other: Location,
    /// The way to reach it, if it is in an object store.
    pub(crate) network: NetworkPlan,
    /// The source of its password, if it has other keys; `Ask` stands for the same keys.
    pub(crate) password: PasswordSource,
    /// The direction in which snapshots go.
    pub(crate) direction: Direction,
    /// The snapshots to replicate.
    pub(crate) wanted: Wanted,
    /// The choice between planning and sending.
    pub(crate) mode: Mode,
    /// The permission to create a missing destination.
    pub(crate) destination: Destination,
    /// The way in which the other side confirms.
    pub(crate) confirmation: Confirmation,
    /// Maximum number of packs that are sent at the same time.
    pub(crate) connections: u32,
    /// Memory that may be used, in bytes.
    memory: ByteCount,
    /// The limit for bytes between the two sides.
    pub(crate) limit: Option<Timetable>,
}

impl ReplicatePlan {
    /// Builds the plan from the parsed arguments on this host.
    pub(crate) fn new(
        typed: ReplicateArguments,
        memory: u64,
        network: &NetworkPlan,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let direction = if typed.to.is_some() { Direction::To } else { Direction::From };
        let wanted = if typed.snapshots.is_empty() {
            Wanted::Newest { sources: typed.sources, last: typed.last }
        } else {
            Wanted::Named(typed.snapshots)
        };
        let affordable = memory.saturating_sub(MEMORY_FIXED) / MEMORY_PER_CONNECTION;
        Ok(Self {
            other: place(typed.to.or(typed.from), around)?,
            network: other(network, &typed.other, around),
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
            limit: typed.limit.map(|limit| limit.0),
        })
    }

    /// Refuses to re-encrypt snapshots in less memory than that takes.
    pub(crate) fn require_memory_to_reencrypt(&self) -> Outcome<()> {
        let memory = self.memory;
        let least = ByteCount(REENCRYPT_MEMORY_MIN);
        if memory >= least {
            return Ok(());
        }
        Err(Failure::usage(
            format!("--memory {memory} is too little to re-encrypt snapshots for other keys"),
            format!("give at least {least}"),
        ))
    }
}
