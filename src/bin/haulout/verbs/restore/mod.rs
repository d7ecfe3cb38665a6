//! `restore`: restores a snapshot.

pub(crate) mod args;
pub(crate) mod datadir;
mod datadir_plan;
mod datadir_report;
mod datadir_run;
pub(crate) mod moment;
pub(crate) mod part;
mod part_plan;
mod part_run;
mod plan;
pub(crate) mod report;
pub(crate) mod run;

use crate::environment::Surroundings;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::verbs::job::Job;
use crate::verbs::restore::args::RestoreArguments;
use crate::verbs::restore::datadir_plan::DatadirPlan;
use crate::verbs::restore::part_plan::PartJob;
use crate::verbs::restore::plan::RestorePlan;

/// Builds the restore that was typed.
pub(crate) fn job(
    mut typed: RestoreArguments,
    common: &Common,
    around: &Surroundings<'_>,
) -> Outcome<Box<dyn Job>> {
    if let Some(directory) = typed.server.datadir.take() {
        return Ok(Box::new(DatadirPlan::new(directory, typed, around)?));
    }
    if typed.part.is_asked() {
        return Ok(Box::new(PartJob::new(typed, common, around)?));
    }
    Ok(Box::new(RestorePlan::new(typed, common, around)?))
}
