//! The amount of work that a job does at the same time within `--memory`.

use haulout::ops::memory::AtOnce;
use haulout::ops::memory::MEMORY_MIN;
use haulout::ops::memory::Reach;
use haulout::ops::memory::Work;
use haulout::store::place::Place;

use crate::args::Common;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::plan::Job;
use crate::units::ByteCount;

/// Returns the amount of work that the job does at the same time.
pub(crate) fn at_once(
    common: &Common,
    (place, job): (&Place, &Job),
    processors: u32,
) -> Outcome<AtOnce> {
    let (memory, least) = (common.memory, ByteCount(MEMORY_MIN));
    if memory < least {
        return Err(Failure::usage(
            format!("--memory {memory} is too little"),
            format!("give at least {least}"),
        ));
    }
    let work = match job {
        Job::Restore(_) | Job::Verify(_) | Job::Repair(_) | Job::Cat(..) => Work::Reads,
        Job::Replicate(_) => Work::Reencrypts,
        Job::Init(_)
        | Job::Backup(_)
        | Job::Snapshots(_)
        | Job::Show(..)
        | Job::Ls(..)
        | Job::Diff(..)
        | Job::Stats(_)
        | Job::Tag(..)
        | Job::Key(_) => Work::Writes,
    };
    let reach = match place {
        Place::Directory(_) => Reach::Disk,
        Place::Bucket { .. } => Reach::Network,
    };
    Ok(AtOnce::within(memory.0, (work, reach), (common.threads, processors)))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::plan;

    fn numbers(line: &str) -> (u32, u32) {
        let plan = plan(&format!("haulout -r {line}")).unwrap();
        (plan.at_once.workers, plan.at_once.uploads)
    }

    #[test]
    fn memory_bounds_the_workers_of_a_backup_and_then_its_packs() {
        assert_eq!(numbers("/x backup"), (8, 2));
        assert_eq!(numbers("/x backup --threads 2"), (2, 2));
        assert_eq!(numbers("/x backup --memory 96MiB"), (1, 1));
        assert_eq!(numbers("/x backup --memory 144M"), (2, 2));
        assert_eq!(numbers("/x backup --memory 1G --threads 1000"), (112, 2));
        assert_eq!(numbers("s3://b/x backup"), (8, 4));
        assert_eq!(numbers("s3://b/x backup --threads 2"), (2, 5));
        assert_eq!(numbers("s3://b/x backup --memory 1G"), (8, 16));
    }

    #[test]
    fn memory_bounds_the_windows_of_a_restore() {
        assert_eq!(numbers("/x restore latest --to /y").0, 8);
        assert_eq!(numbers("s3://b/x restore latest --to /y").0, 8);
        assert_eq!(numbers("s3://b/x restore latest --to /y --threads 99").0, 12);
        assert_eq!(numbers("s3://b/x verify --memory 96MiB").0, 2);
        assert_eq!(numbers("/x replicate --to /y --threads 99").0, 3);
    }

    #[test]
    fn too_little_memory_is_refused() {
        let failure = plan("haulout -r /x snapshots --memory 95M").unwrap_err();
        assert_eq!(failure.message(), "--memory 95.0 MiB is too little");
        assert_eq!(failure.hint(), "give at least 96.0 MiB");
    }
}
