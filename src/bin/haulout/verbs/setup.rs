//! `setup`: a first configuration, asked for, tested, written, and tried.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::world::Monitor;

use crate::config::Choice;
use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::output::report::Report;
use crate::secrets::prompt::Terminal;
use crate::setup::arguments::Typed;
use crate::setup::carry_out::Consent;
use crate::setup::carry_out::Done;
use crate::setup::carry_out::Setup;
use crate::setup::carry_out::in_words;
use crate::setup::carry_out::planned;
use crate::setup::interview::Interview;
use crate::setup::interview::Shared;
use crate::setup::look::look;
use crate::setup::person::Absent;
use crate::setup::person::AtTerminal;
use crate::setup::person::Person;
use crate::setup::trial::RealTrials;
use crate::signals::Stop;

/// The time that a command which was started may take to stop.
const PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLE: &str = "\
Examples:
  haulout setup
  haulout -r /backup/db setup --plan --new-password --kit none";

/// Make a first configuration, and take a first backup
///
/// Asks on the terminal, proposes what it finds, and tests each answer. Without a terminal options
/// answer. It writes the configuration, the SQL of the account and the units, takes a backup, and
/// restores and judges it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    pub(crate) typed: Typed,
}

impl SetupArguments {
    /// Asks, writes, and takes the first backup.
    pub(crate) fn run(
        &self,
        common: Common,
        grammar: &clap::Command,
        around: &Surroundings<'_>,
        report: &Report,
    ) -> Outcome<Exit> {
        let monitor: Arc<Monitor> = Arc::default();
        let stop = Stop::listen(Arc::clone(&monitor), Arc::clone(&report.console), PATIENCE);
        let _stop = stop
            .map_err(|e| Error::new(ErrorKind::Source, "cannot listen for signals").because(e))?;
        let typed = &self.typed;
        let shared = shared(common, around)?;
        let found = look(&typed.look_in);
        let administrator =
            typed.admin_defaults_file.clone().or_else(|| found.administrator.clone());
        let trials = RealTrials { administrator: administrator.clone() };
        let note = |text: &str| report.console.note(text);
        let terminal = Terminal::open().filter(|_| !typed.yes && !report.is_json());
        let mut person: Box<dyn Person + '_> = match terminal {
            Some(terminal) => {
                let canvas = report.canvas.with_columns(report.console.columns());
                Box::new(AtTerminal { terminal, monitor: &monitor, canvas })
            }
            None => Box::new(Absent { note: &note }),
        };
        let person = person.as_mut();
        let (shared, found) = (&shared, &found);
        let (answers, wishes) =
            Interview { person, typed, shared, found, trials: &trials }.run()?;
        let setup = Setup::new(&answers, &wishes, &shared.config, grammar)?;
        if typed.plan {
            let (job, files) = (typed.job.clone(), setup.files.clone());
            let done = Done { job, files, backup: None, restore: None };
            report.result(&done, || planned(&done.files))?;
            return Ok(Exit::Done);
        }
        let mut consent = Consent {
            overwrite: typed.overwrite,
            create_account: typed.create_account,
            administrator,
        };
        setup.consent(&mut consent, person)?;
        let (done, exit) = setup.carry_out(&consent, &trials, report, &monitor)?;
        report.result(&done, || in_words(&done))?;
        Ok(exit)
    }
}

/// Returns the answers of options that every command has.
fn shared(common: Common, around: &Surroundings<'_>) -> Outcome<Shared> {
    let text = |path: PathBuf| path.display().to_string();
    let network = &common.network;
    let mut keys = vec![
        ("endpoint", network.endpoint.clone()),
        ("region", network.region.clone()),
        ("ca_file", network.ca_file.clone().map(text)),
        ("allow_http", network.allow_http.then(|| "true".to_owned())),
    ];
    keys.retain(|(_, value)| value.is_some());
    let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let command = common.password_command.map(OsString::into_string);
    let password_command = command
        .transpose()
        .map_err(|_| Failure::usage("--password-command is no text", "write it in UTF-8"))?;
    Ok(Shared {
        repo: common.repo,
        password_file: common.password_file,
        password_command,
        network: keys,
        state_dir: common.state.map(text),
        host: around.host.clone(),
        config: Choice::new(common.config, around.variable).path().to_owned(),
    })
}
