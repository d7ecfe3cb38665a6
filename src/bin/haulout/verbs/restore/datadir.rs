//! The arguments of `restore` about data directories of servers.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use haulout::server::login::Address;

use crate::grammar::values::path;
use crate::open::consent::ConsentArguments;
use crate::verbs::restore::moment::MomentArguments;

/// What `restore --datadir` takes besides.
#[derive(Debug, Args)]
#[command(next_help_heading = "A server in place of its data directory")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
pub(crate) struct DatadirArguments {
    /// Put the server in place of this data directory
    ///
    /// It is restored beside it, prepared, judged, started privately, and swapped; the old data \
    /// stay as DIR-save-TIME. See haulout help restore.
    #[arg(long, value_name = "DIR", value_parser = path())]
    #[arg(conflicts_with_all = ["include", "into", "prepare", "devices", "numeric_owner"])]
    pub(crate) datadir: Option<PathBuf>,

    /// Take back an interrupted --datadir
    #[arg(long, requires = "datadir", conflicts_with = "resume")]
    pub(crate) undo: bool,

    /// Remove the old data first, if there is no room for both
    #[arg(long, requires = "datadir", hide_short_help = true)]
    pub(crate) discard_old_data: bool,

    #[command(flatten)]
    pub(crate) moment: MomentArguments,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,

    /// The server's option file, if it is not the usual one
    #[arg(long, value_name = "FILE", requires = "datadir", hide_short_help = true)]
    #[arg(value_parser = path())]
    pub(crate) server_defaults_file: Option<PathBuf>,

    /// The program of the server [default: mariadbd, mysqld]
    #[arg(long, value_name = "PROGRAM", requires = "datadir", hide_short_help = true)]
    pub(crate) server_program: Option<OsString>,

    /// Shell command that stops the public server before the swap
    #[arg(long, value_name = "COMMAND", requires = "datadir", hide_short_help = true)]
    pub(crate) stop_command: Option<String>,

    /// Shell command that starts it after the swap
    #[arg(long, value_name = "COMMAND", requires = "datadir", hide_short_help = true)]
    pub(crate) start_command: Option<String>,

    /// Check every table on the private server, with CHECK TABLE
    #[arg(long, requires = "datadir", hide_short_help = true)]
    pub(crate) check_tables: bool,

    /// Have the node join its cluster again, by IST if a --donor can
    #[arg(long, requires = "datadir", hide_short_help = true)]
    pub(crate) galera: bool,

    /// A node to ask whether it has the write sets; may be repeated
    #[arg(long, value_name = "HOST:PORT", requires = "galera", hide_short_help = true)]
    pub(crate) donor: Vec<Address>,

    /// Option file with the account for --donor
    #[arg(long, value_name = "FILE", requires = "donor", hide_short_help = true)]
    #[arg(value_parser = path())]
    pub(crate) donor_file: Option<PathBuf>,
}
