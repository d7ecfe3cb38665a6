//! The verbs, one in one place each, and which of them runs.

pub(crate) mod about;
pub(crate) mod about_report;
pub(crate) mod args;
pub(crate) mod backup;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod errors;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod repair;
pub(crate) mod replicate;
pub(crate) mod restore;
pub(crate) mod show;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod tag;
pub(crate) mod verify;

use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::open::network::NetworkPlan;
use crate::open::run::Run;
use crate::open::settings::Settings;
use crate::tell::report::Report;
use crate::verbs::args::Verb;
use crate::verbs::backup::plan::BackupPlan;
use crate::verbs::init::plan::NewRepository;
use crate::verbs::job::Job;
use crate::verbs::key::plan::KeyPlan;
use crate::verbs::replicate::plan::ReplicatePlan;
use crate::verbs::restore::plan::RestorePlan;
use crate::verbs::verify::plan::VerifyPlan;

/// Runs a verb, and returns how the program ends.
pub(crate) fn run(
    common: Common,
    verb: Verb,
    around: &Surroundings<'_>,
    report: &Report,
) -> Outcome<Exit> {
    let (settings, job) = prepared(common, verb, around)?;
    let run = Run::begin(settings, job.traits(), report)?;
    let done = job.run(&run);
    run.end(done)
}

/// Checks what was typed against this machine, and returns the verb with the settings it runs in.
fn prepared(
    common: Common,
    verb: Verb,
    around: &Surroundings<'_>,
) -> Outcome<(Settings, Box<dyn Job>)> {
    let network = NetworkPlan::new(common.network.clone(), around.variables);
    let job: Box<dyn Job> = match verb {
        Verb::Init(typed) => Box::new(NewRepository::new(&typed)),
        Verb::Backup(typed) => Box::new(BackupPlan::new(typed, around)?),
        Verb::Snapshots(typed) => Box::new(typed),
        Verb::Show(typed) => Box::new(typed),
        Verb::Ls(typed) => Box::new(typed),
        Verb::Cat(typed) => Box::new(typed.checked(&common, around)?),
        Verb::Diff(typed) => Box::new(typed),
        Verb::Stats(typed) => Box::new(typed),
        Verb::Tag(typed) => Box::new(typed),
        Verb::Restore(typed) => Box::new(RestorePlan::new(typed, &common, around)?),
        Verb::Verify(typed) => Box::new(VerifyPlan::new(typed)),
        Verb::Repair(typed) => Box::new(typed),
        Verb::Key(typed) => Box::new(KeyPlan::new(typed, around)),
        Verb::Replicate(typed) => {
            let memory = common.memory.0;
            Box::new(ReplicatePlan::new(*typed, memory, &network, around)?)
        }
    };
    let settings = Settings::new(common, network, &job.traits(), around)?;
    Ok((settings, job))
}

#[cfg(test)]
mod tests;
