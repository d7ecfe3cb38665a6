//! The verbs, one in one place each: what can be typed, and which of them runs.
//!
//! A new verb touches three places:
//! - `verbs/VERB.rs`, or a directory `verbs/VERB` where it is long: its arguments with their help
//!   texts, what they mean on this machine, the call of the library, the report;
//! - this file: a module, a variant of [`Verb`] or [`About`], and its arm in the one match;
//! - the chapter of the guide that explains it, whose last paragraph names it.
//!
//! A verb declares what it needs of shared code as its [`Traits`]. Manual pages, completions,
//! `haulout help` and the help texts are made from the arguments.

mod backup;
mod binlog;
mod cat;
mod completions;
mod config;
mod desync;
mod diff;
mod doctor;
mod dump_accounts;
mod errors;
mod forget;
mod generate;
mod help;
mod hold;
mod init;
mod job;
mod key;
mod ls;
mod man;
mod prune;
mod repair;
mod replicate;
mod rescue;
mod restore;
mod run;
mod salvage;
mod setup;
mod show;
mod slot;
mod snapshots;
mod stats;
mod status;
mod tag;
mod try_store;
mod unlock;
mod upgrade;
mod verify;
mod version;

#[cfg(test)]
mod tests;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;

use crate::config::Choice;
use crate::config::Config;
use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::grammar::help_texts::Grammar;
use crate::jobs::founding;
use crate::jobs::policy;
use crate::open::network::NetworkPlan;
use crate::open::run::Run;
use crate::open::settings::Settings;
use crate::output::report::Report;
use crate::verbs::backup::args::BackupArguments;
use crate::verbs::backup::plan::BackupPlan;
use crate::verbs::binlog::args::ArchiveArguments;
pub(crate) use crate::verbs::binlog::args::BinlogAction;
pub(crate) use crate::verbs::binlog::args::BinlogArguments;
use crate::verbs::binlog::plan::BinlogPlan;
use crate::verbs::cat::CatArguments;
use crate::verbs::completions::CompletionsArguments;
use crate::verbs::config::ConfigArguments;
use crate::verbs::desync::DesyncArguments;
use crate::verbs::diff::DiffArguments;
use crate::verbs::doctor::DoctorArguments;
use crate::verbs::dump_accounts::DumpAccountsArguments;
use crate::verbs::errors::ErrorsArguments;
use crate::verbs::forget::args::ForgetArguments;
use crate::verbs::generate::GenerateArguments;
use crate::verbs::help::HelpArguments;
use crate::verbs::hold::HoldArguments;
use crate::verbs::hold::ReleaseArguments;
pub(crate) use crate::verbs::init::InitArguments;
use crate::verbs::init::NewRepository;
use crate::verbs::job::Job;
use crate::verbs::key::args::KeyArguments;
use crate::verbs::key::plan::KeyPlan;
use crate::verbs::ls::LsArguments;
use crate::verbs::man::ManArguments;
use crate::verbs::prune::args::PruneArguments;
use crate::verbs::repair::args::RepairArguments;
use crate::verbs::repair::run::RepairJob;
use crate::verbs::replicate::args::ReplicateArguments;
use crate::verbs::replicate::plan::ReplicatePlan;
use crate::verbs::rescue::RescueArguments;
use crate::verbs::restore::args::RestoreArguments;
use crate::verbs::run::RunArguments;
use crate::verbs::salvage::SalvageArguments;
use crate::verbs::setup::SetupArguments;
use crate::verbs::show::ShowArguments;
use crate::verbs::slot::SlotArguments;
use crate::verbs::snapshots::SnapshotsArguments;
use crate::verbs::stats::StatsArguments;
use crate::verbs::status::StatusArguments;
use crate::verbs::tag::TagArguments;
use crate::verbs::try_store::TryStoreArguments;
use crate::verbs::unlock::UnlockArguments;
use crate::verbs::upgrade::UpgradeArguments;
use crate::verbs::verify::VerifyArguments;
use crate::verbs::verify::VerifyPlan;
use crate::verbs::version::VersionArguments;

const ABOUT: &str = "Streaming physical backups of MariaDB that store only the bytes that changed";

const LONG_ABOUT: &str = "\
Streaming physical backups of MariaDB that store only the bytes that changed.

haulout reads the stream of mariabackup (or of any other program), checks every page, compares it \
with its previous version and stores the difference, encrypted. Every snapshot has a verdict with \
its reasons: complete, unattested, corrupt-pages or partial.";

const EXAMPLES: &str = "\
Example:
  export HAULOUT_REPO=/backup/db HAULOUT_PASSWORD_FILE=/etc/haulout.password
  haulout init
  haulout backup -- mariabackup --backup --stream=mbstream
  haulout snapshots
  haulout restore latest --to /var/lib/mysql-restored --prepare

Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with findings (a partial snapshot, \
corrupt pages at the source, damage, a warning).";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "haulout",
    bin_name = "haulout",
    version = env!("HAULOUT_VERSION"),
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = EXAMPLES,
    max_term_width = 100,
    infer_long_args = false,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// The options of every command.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command to be run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Any command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    Jobs(Jobs),
    Setup(Box<SetupArguments>),
    Rescue(Box<RescueArguments>),
    #[command(flatten)]
    About(About),
}

/// The commands on a repository. The help texts stand with the arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(InitArguments),
    Backup(BackupArguments),
    Binlog(BinlogArguments),
    Snapshots(SnapshotsArguments),
    Show(ShowArguments),
    Ls(LsArguments),
    Cat(CatArguments),
    Diff(DiffArguments),
    Stats(StatsArguments),
    Tag(TagArguments),
    Hold(HoldArguments),
    Release(ReleaseArguments),
    Forget(Box<ForgetArguments>),
    Prune(PruneArguments),
    Restore(Box<RestoreArguments>),
    #[command(visible_alias = "check")]
    Verify(VerifyArguments),
    Repair(Box<RepairArguments>),
    Salvage(SalvageArguments),
    Unlock(UnlockArguments),
    Upgrade(UpgradeArguments),
    Key(KeyArguments),
    Replicate(Box<ReplicateArguments>),
    Slot(SlotArguments),
    TryStore(TryStoreArguments),
}

/// The commands on jobs of the configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    Run(RunArguments),
    Desync(DesyncArguments),
    Doctor(DoctorArguments),
    DumpAccounts(DumpAccountsArguments),
    Generate(GenerateArguments),
    Status(StatusArguments),
}

/// The commands that describe the program itself.
#[derive(Debug, Subcommand)]
pub(crate) enum About {
    Completions(CompletionsArguments),
    Config(ConfigArguments),
    Errors(ErrorsArguments),
    Help(HelpArguments),
    Man(ManArguments),
    Version(VersionArguments),
}

/// Returns the grammar of the whole command line.
pub(crate) fn grammar() -> Grammar {
    Grammar::new(Arguments::command(), About::has_subcommand)
}

/// Runs a verb, and returns how the program ends.
pub(crate) fn run(
    common: Common,
    verb: Verb,
    around: &Surroundings<'_>,
    report: &Report,
) -> Outcome<Exit> {
    if let Verb::Forget(typed) = &verb
        && typed.calendar.simulate
    {
        return typed.simulate(report);
    }
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
        Verb::Binlog(typed) => Box::new(BinlogPlan::new(typed, around)?),
        Verb::Snapshots(typed) => Box::new(typed),
        Verb::Show(typed) => Box::new(typed),
        Verb::Ls(typed) => Box::new(typed),
        Verb::Cat(typed) => Box::new(typed.checked(&common, around)?),
        Verb::Diff(typed) => Box::new(typed),
        Verb::Stats(typed) => Box::new(typed),
        Verb::Tag(typed) => Box::new(typed),
        Verb::Hold(typed) => Box::new(typed),
        Verb::Release(typed) => Box::new(typed),
        Verb::Forget(typed) => Box::new(*typed),
        Verb::Prune(typed) => Box::new(typed),
        Verb::Restore(typed) => restore::job(*typed, &common, around)?,
        Verb::Verify(typed) => Box::new(VerifyPlan::new(typed)),
        Verb::Repair(typed) => Box::new(RepairJob::new(*typed, &network, around)?),
        Verb::Salvage(typed) => Box::new(typed),
        Verb::Unlock(typed) => Box::new(typed),
        Verb::Upgrade(typed) => Box::new(typed),
        Verb::Key(typed) => Box::new(KeyPlan::new(typed, around)),
        Verb::Slot(typed) => Box::new(typed),
        Verb::TryStore(typed) => Box::new(typed),
        Verb::Replicate(typed) => {
            let memory = common.memory.0;
            Box::new(ReplicatePlan::new(*typed, memory, &network, around)?)
        }
    };
    let settings = Settings::new(common, network, &job.traits(), around)?;
    Ok((settings, job))
}

/// Runs a command on jobs, which are those of the configuration file.
pub(crate) fn work(jobs: &Jobs, config: Option<&Config>, report: &Report) -> Outcome<Exit> {
    let Some(config) = config else {
        return Err(config::no_file(&Choice::new(None, &|_| None)));
    };
    match jobs {
        Jobs::Run(typed) => typed.run(config, report),
        Jobs::Desync(typed) => typed.run(config, report),
        Jobs::Doctor(typed) => typed.run(config, report),
        Jobs::DumpAccounts(typed) => typed.run(config),
        Jobs::Generate(typed) => typed.run(config, report),
        Jobs::Status(typed) => typed.run(config, report),
    }
}

/// Makes a first configuration, and takes a first backup.
pub(crate) fn set_up(
    common: Common,
    typed: &SetupArguments,
    around: &Surroundings<'_>,
    report: &Report,
) -> Outcome<Exit> {
    typed.run(common, &grammar().raw(), around, report)
}

/// Looks at the nodes of a cluster that is down, and brings it back.
pub(crate) fn rescue(
    common: &Common,
    typed: &RescueArguments,
    around: &Surroundings<'_>,
    report: &Report,
) -> Outcome<Exit> {
    typed.run(common, around, report)
}

/// Makes the repositories of a job that are missing.
pub(crate) fn found(job: &str, config: Option<&Config>, report: &Report) -> Outcome<Exit> {
    match config {
        Some(config) => founding::found(config, job, report),
        None => Err(config::no_file(&Choice::new(None, &|_| None))),
    }
}

/// Archives the binary logs of a job's source.
pub(crate) fn archive(
    typed: &ArchiveArguments,
    config: Option<&Config>,
    report: &Report,
) -> Outcome<Exit> {
    match config {
        Some(config) => typed.run(config, report),
        None => Err(config::no_file(&Choice::new(None, &|_| None))),
    }
}

/// Removes snapshots by the rules of the configuration file.
pub(crate) fn forget_by_policy(
    common: &Common,
    typed: &ForgetArguments,
    config: Option<&Config>,
    report: &Report,
) -> Outcome<Exit> {
    match config {
        Some(config) => policy::forget(config, common.repo.as_deref(), &typed.sources, report),
        None => Err(config::no_file(&Choice::new(None, &|_| None))),
    }
}

/// Prints what the program says about itself.
pub(crate) fn describe(
    common: Common,
    about: &About,
    around: &Surroundings<'_>,
    report: &Report,
) -> Outcome<Exit> {
    match about {
        About::Config(typed) => {
            let choice = Choice::new(common.config, around.variable);
            typed.run(&choice, &grammar(), around.variable, report)
        }
        About::Completions(typed) => typed.run(&grammar(), report),
        About::Errors(typed) => typed.run(report),
        About::Help(typed) => typed.run(&grammar(), report),
        About::Man(typed) => typed.run(&grammar(), report),
        About::Version(_) => VersionArguments::run(report),
    }
}
