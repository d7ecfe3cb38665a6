//! The options of `rescue` and of what it does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use crate::grammar::values::duration;
use crate::grammar::values::path;
use crate::open::consent::ConsentArguments;
use crate::rescue::steps::Way;

/// The file of the plan unless another one is named.
const PLAN: &str = "haulout-rescue.json";

const EXAMPLE: &str = "\
Examples:
  haulout rescue inspect
  haulout -r /backup/db rescue plan --ssh db1 --ssh db2 --ssh db3
  haulout rescue step 1
  haulout rescue undo

As long as a node has good data, the plan leads to those and restores nothing. A node that did not \
report is taken to have the newest data until --lost names it.";

/// Bring back a Galera cluster that is down
///
/// inspect looks at the node of this host, plan compares the reports of all nodes and writes the
/// steps that bring the cluster back, step carries out one of them on the host that it is for. Copy
/// the plan to all hosts.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct RescueArguments {
    #[command(subcommand)]
    pub(super) command: RescueCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RescueCommand {
    Inspect(InspectArguments),
    Plan(PlanArguments),
    Step(StepArguments),
    Undo(UndoArguments),
    Check(CheckArguments),
}

const INSPECT_EXAMPLE: &str = "\
Examples:
  haulout rescue inspect
  haulout --json rescue inspect > db1.json

A server that does not run and whose position is not known is started once with --wsrep-recover, \
as its unit does before each start: it recovers InnoDB, prints the position and ends.";

/// Look at the node of this host
#[derive(Debug, Args)]
#[command(after_long_help = INSPECT_EXAMPLE)]
pub(super) struct InspectArguments {
    /// The name of this host in the plan
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,

    /// The option file of the server, if it is not the usual one
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(super) defaults_file: Option<PathBuf>,

    /// The option file with an account for a server that runs; otherwise root
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(super) login_file: Option<PathBuf>,

    /// The program of the server
    #[arg(long, value_name = "PROGRAM", default_value = "mariadbd", value_parser = path())]
    #[arg(hide_short_help = true)]
    pub(super) server_program: PathBuf,

    /// Do not start a server to recover its position
    #[arg(long)]
    pub(super) no_recover: bool,

    /// Shell command that starts the server
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "systemctl start mariadb",
        hide_short_help = true
    )]
    pub(super) start_command: String,

    /// Shell command that starts the server as the first of a new cluster
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "galera_new_cluster",
        hide_short_help = true
    )]
    pub(super) bootstrap_command: String,

    /// Shell command that stops the server
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "systemctl stop mariadb",
        hide_short_help = true
    )]
    pub(super) stop_command: String,
}

const PLAN_EXAMPLE: &str = "\
Examples:
  haulout rescue plan db1.json db2.json db3.json
  haulout -r /backup/db rescue plan --ssh db1 --ssh db2 --lost db3 --snapshot db1@latest

Exit status: 0 the plan is written; 1 nothing is decided, and why is said.";

/// Compare the reports of all nodes, and write the steps
#[derive(Debug, Args)]
#[command(after_long_help = PLAN_EXAMPLE)]
pub(super) struct PlanArguments {
    /// Reports that inspect has printed
    #[arg(value_name = "FILE", value_parser = path())]
    pub(super) reports: Vec<PathBuf>,

    /// Inspect this host by ssh; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(super) ssh: Vec<String>,

    /// The program for --ssh
    #[arg(long, value_name = "PROGRAM", default_value = "ssh", hide_short_help = true)]
    pub(super) ssh_program: OsString,

    /// A member whose data are known to be lost, by host or address; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) lost: Vec<String>,

    /// The cluster id whose data count, if the nodes have data of two
    #[arg(long, value_name = "UUID", hide_short_help = true)]
    pub(super) uuid: Option<String>,

    /// The snapshot that is restored if no node has good data
    #[arg(long, value_name = "SNAPSHOT", default_value = "latest")]
    pub(super) snapshot: String,

    /// How a lost cluster is restored: one node, or all of them from the same snapshot
    ///
    /// With one, the others take a state transfer from it, under a new cluster id. With all, each
    /// restores the snapshot, and no state transfer is needed: for data that take long to send.
    #[arg(long, value_name = "WAY", default_value = "one")]
    pub(super) way: Way,

    /// The host that begins the new cluster; otherwise the one with the most free space
    #[arg(long, value_name = "HOST")]
    pub(super) first: Option<String>,

    /// Write the plan to this file
    #[arg(long, value_name = "FILE", default_value = PLAN, value_parser = path())]
    pub(super) to: PathBuf,
}

const STEP_EXAMPLE: &str = "\
Examples:
  haulout rescue step 3
  haulout rescue step 3 --yes

A step that is called again goes on after its last command that succeeded: the journal lies beside \
the plan.";

/// Carry out a step of the plan, if it is for this host
#[derive(Debug, Args)]
#[command(after_long_help = STEP_EXAMPLE)]
pub(super) struct StepArguments {
    /// The number of the step
    #[arg(value_name = "N")]
    pub(super) number: u32,

    /// The plan
    #[arg(long, value_name = "FILE", default_value = PLAN, value_parser = path())]
    pub(super) plan: PathBuf,

    /// The name of this host in the plan
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,

    #[command(flatten)]
    pub(super) consent: ConsentArguments,
}

const UNDO_EXAMPLE: &str = "\
Example:
  haulout rescue undo

It lets clients in again, and takes back nothing else: data that were moved away stay there.";

/// Run the reverses of the steps that were carried out on this host
#[derive(Debug, Args)]
#[command(after_long_help = UNDO_EXAMPLE)]
pub(super) struct UndoArguments {
    /// The plan
    #[arg(long, value_name = "FILE", default_value = PLAN, value_parser = path())]
    pub(super) plan: PathBuf,

    /// The name of this host in the plan
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
}

const CHECK_EXAMPLE: &str = "\
Examples:
  haulout rescue check --size 3
  haulout rescue check --size 3 --accounts

Exit status: 0 all is as expected; 1 the node is not synced in a cluster of that size; 3 it is, \
and an account or the health check is not right.";

/// Wait until the node is synced, and try the accounts that others need
#[derive(Debug, Args)]
#[command(after_long_help = CHECK_EXAMPLE)]
pub(super) struct CheckArguments {
    /// The socket of the server
    #[arg(long, value_name = "FILE", value_parser = path())]
    #[arg(default_value = "/run/mysqld/mysqld.sock")]
    pub(super) socket: PathBuf,

    /// How many members the cluster has
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) size: u64,

    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    pub(super) within: Duration,

    /// Try the accounts of operators, state transfers and health checks, and ask the health check
    #[arg(long)]
    pub(super) accounts: bool,

    /// The address of the health check; one that nothing listens at is no problem
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9200/")]
    pub(super) clustercheck: String,

    /// The option file of the server, if it is not the usual one
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(super) defaults_file: Option<PathBuf>,

    /// The option file with the account of an operator; otherwise root
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(super) login_file: Option<PathBuf>,

    /// The program of the server
    #[arg(long, value_name = "PROGRAM", default_value = "mariadbd", value_parser = path())]
    #[arg(hide_short_help = true)]
    pub(super) server_program: PathBuf,
}
