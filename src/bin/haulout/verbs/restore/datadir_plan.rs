//! The plan of `restore --datadir`.

use std::ffi::OsStr;
use std::path::PathBuf;

use haulout::ops::datadir::DatadirOptions;
use haulout::ops::restore::accounts::Accounts;
use haulout::server::login::Address;
use haulout::server::needs::find_program;
use haulout::store::limiter::Timetable;

use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::consent::ConsentArguments;
use crate::verbs::restore::args::RestoreArguments;

/// What is done about a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The plan is printed.
    Plan,
    /// The snapshot is put in place.
    Restore,
    /// What was interrupted goes on.
    Resume,
    /// What was interrupted is taken back.
    Undo,
}

/// The settings of a restore to a data directory.
#[derive(Debug)]
pub(crate) struct DatadirPlan {
    pub(crate) deed: Deed,
    /// The snapshot as the user named it; none is needed for what was interrupted.
    pub(crate) snapshot: Option<String>,
    pub(crate) options: DatadirOptions,
    /// Whether other users may write to the directories.
    pub(crate) is_shared: bool,
    /// Whether the server joins a cluster.
    pub(crate) joins: bool,
    pub(crate) donors: Vec<Address>,
    pub(crate) donor_file: Option<PathBuf>,
    pub(crate) consent: ConsentArguments,
    pub(crate) limit: Option<Timetable>,
}

impl DatadirPlan {
    /// Builds the plan from the parsed arguments on this host.
    pub(crate) fn new(
        directory: PathBuf,
        typed: RestoreArguments,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let RestoreArguments { snapshot, owner, limit, shared_target, keep_going, .. } = typed;
        let server = typed.server;
        let deed = match (typed.plan, typed.resume, server.undo) {
            (true, ..) => Deed::Plan,
            (_, true, _) => Deed::Resume,
            (.., true) => Deed::Undo,
            _ => Deed::Restore,
        };
        let path = (around.variable)("PATH").unwrap_or_default();
        let program = match deed {
            Deed::Undo | Deed::Resume => PathBuf::new(),
            Deed::Plan | Deed::Restore => server_program(server.server_program.as_deref(), &path)?,
        };
        let shell = |command: Option<String>| {
            let words = |command| vec!["sh".to_owned(), "-c".to_owned(), command];
            command.map(words).unwrap_or_default()
        };
        let temporary = (around.variable)("TMPDIR").filter(|value| !value.is_empty());
        let options = DatadirOptions {
            directory,
            staging: typed.staging,
            discards: server.discard_old_data,
            owner,
            accounts: Accounts::of_this_host(),
            keeps_going: keep_going,
            checks_tables: server.check_tables,
            program,
            prepare_program: typed.prepare_program.to_string_lossy().into_owned(),
            defaults_file: server.server_defaults_file,
            donors: None,
            replay: server.moment.wanted(&path),
            stop: shell(server.stop_command),
            start: shell(server.start_command),
            temporary: temporary.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
            is_plan_only: deed == Deed::Plan,
        };
        Ok(Self {
            deed,
            snapshot,
            options,
            is_shared: shared_target,
            joins: server.galera,
            donors: server.donor,
            donor_file: server.donor_file,
            consent: server.consent,
            limit: limit.map(|limit| limit.0),
        })
    }
}

fn server_program(wanted: Option<&OsStr>, path: &OsStr) -> Outcome<PathBuf> {
    find_program(wanted, path).map_err(|error| {
        let hint = "install mariadb-server, or name the program with --server-program; nothing \
                    was restored";
        Failure::new(error, hint)
    })
}
