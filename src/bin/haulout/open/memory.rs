//! The amount of work that a job does at the same time within `--memory`.

use haulout::ops::memory::AtOnce;
use haulout::ops::memory::MEMORY_MIN;
use haulout::ops::memory::Processors;
use haulout::ops::memory::Reach;
use haulout::ops::memory::Work;
use haulout::store::location::Location;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::output::units::ByteCount;

/// Returns the amount of work that the job does at the same time.
pub(crate) fn at_once(
    memory: ByteCount,
    place: &Location,
    work: Work,
    processors: Processors,
) -> Outcome<AtOnce> {
    let least = ByteCount(MEMORY_MIN);
    if memory < least {
        return Err(Failure::usage(
            format!("--memory {memory} is too little"),
            format!("give at least {least}"),
        ));
    }
    let reach = match place {
        Location::Directory(_) => Reach::Disk,
        Location::Bucket { .. } => Reach::Network,
    };
    Ok(AtOnce::within(memory.0, work, reach, processors))
}
