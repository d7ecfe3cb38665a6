//! From a verb as typed to a verb that runs.

use crate::args::Verb;
use crate::args::common::Common;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::job::Job;
use crate::machine::Surroundings;
use crate::plan::Settings;
use crate::plan::backup::BackupPlan;
use crate::plan::init::NewRepository;
use crate::plan::key::KeyPlan;
use crate::plan::network::NetworkPlan;
use crate::plan::replicate::ReplicatePlan;
use crate::plan::restore::RestorePlan;
use crate::plan::verify::VerifyPlan;
use crate::report::Report;
use crate::run::Run;

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
