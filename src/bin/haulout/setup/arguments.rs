//! The options that answer the questions of a first configuration.

use std::path::PathBuf;

use clap::Args;

use crate::grammar::values::label;
use crate::grammar::values::path;
use crate::grammar::values::source_name;

/// An answer that means that there is nothing of the kind.
pub(crate) const NONE: &str = "none";

/// The answers as options.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
pub(crate) struct Typed {
    /// Socket of the server
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<String>,

    /// The user of this host that runs the job [default: mysql]
    #[arg(long, hide_short_help = true, value_name = "USER", value_parser = label)]
    pub(crate) user: Option<String>,

    /// Option file with the account of the backup [default: none]
    #[arg(long, hide_short_help = true, value_name = "FILE")]
    pub(crate) defaults_file: Option<String>,

    /// Option file of an administrator of the server, who makes the account
    #[arg(long, hide_short_help = true, value_name = "FILE", value_parser = path())]
    pub(crate) admin_defaults_file: Option<PathBuf>,

    /// Make the account, or give it the rights that it lacks
    #[arg(long)]
    pub(crate) create_account: bool,

    /// Address of a node of the cluster, or none; to be repeated
    #[arg(long, hide_short_help = true, value_name = "HOST:PORT")]
    pub(crate) member: Vec<String>,

    /// Address that applications of the cluster use, or none
    #[arg(long, hide_short_help = true, value_name = "HOST:PORT")]
    pub(crate) virtual_address: Option<String>,

    /// Configuration of a service whose account asks the nodes, or none
    #[arg(long, hide_short_help = true, value_name = "FILE")]
    pub(crate) client_from: Option<String>,

    /// Whether accounts and grants are stored as SQL as well: yes or no
    #[arg(long, hide_short_help = true, value_name = "YES")]
    pub(crate) accounts: Option<String>,

    /// Directory to store besides, or none; may be repeated
    #[arg(long, hide_short_help = true, value_name = "DIR")]
    pub(crate) files: Vec<String>,

    /// Where a copy of the backups is kept, or none
    #[arg(long, value_name = "URL")]
    pub(crate) replica: Option<String>,

    /// Keys of the S3 store, in the format of ~/.aws/credentials
    #[arg(long, hide_short_help = true, value_name = "FILE")]
    pub(crate) credentials_file: Option<String>,

    /// Write a random password to --password-file, which does not exist
    #[arg(long, hide_short_help = true, conflicts_with = "password_command")]
    pub(crate) new_password: bool,

    /// File for the recovery kit, which then needs no password, or none
    #[arg(long, value_name = "FILE")]
    pub(crate) kit: Option<String>,

    /// Rules of retention [default: daily=14,weekly=8,monthly=12]
    #[arg(long, value_name = "RULES")]
    pub(crate) keep: Option<String>,

    /// Times of the job [default: daily 02:30]
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) schedule: Option<String>,

    /// Directory for the units, or none [default: /etc/systemd/system]
    #[arg(long, hide_short_help = true, value_name = "DIR")]
    pub(crate) units: Option<String>,

    /// Space for a test restore, or none [default: /var/tmp]
    #[arg(long, hide_short_help = true, value_name = "DIR")]
    pub(crate) scratch: Option<String>,

    /// Name of the job [default: nightly]
    #[arg(
        long,
        hide_short_help = true,
        value_name = "NAME",
        default_value = "nightly",
        hide_default_value = true,
        value_parser = source_name
    )]
    pub(crate) job: String,

    /// Overwrite a configuration that exists
    #[arg(long, hide_short_help = true)]
    pub(crate) overwrite: bool,

    /// Do not ask: take the options, what is found, and the defaults
    #[arg(long)]
    pub(crate) yes: bool,

    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Look for proposals below this directory
    #[arg(long, value_name = "DIR", default_value = "/", hide = true, value_parser = path())]
    pub(crate) look_in: PathBuf,
}
