//! Of `replicate`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;

use crate::grammar::limit::Limit;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db replicate --to /mnt/offsite/db --plan
  haulout -r /backup/db replicate --to s3://offsite/db --limit 80MiB
  haulout -r /backup/db replicate --from /mnt/offsite/db --source shop --last 14";

const PASSWORD_FILE_HELP: &str = "\
File with its password, if it has its own keys [env: HAULOUT_OTHER_PASSWORD_FILE]";

const PASSWORD_COMMAND_HELP: &str = "\
Shell command that prints it [env: HAULOUT_OTHER_PASSWORD_COMMAND]";

/// Heading of the options that reach the other side.
const OTHER_SIDE: &str = "Options for the other side (default: as for --repo)";

/// Send snapshots to another repository, or fetch them
///
/// Sends what the other side lacks, the newest snapshot first. A copy has the same keys and gets
/// the stored packs as they are. With a password for the other side it has, or gets, its own keys:
/// then each stream is read and backed up again, the oldest first.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
#[command(group(ArgGroup::new("other").required(true).args(["to", "from"])))]
pub(crate) struct ReplicateArguments {
    /// Where to send snapshots
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,

    /// Where to fetch snapshots from
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,

    /// Only snapshots of this source; may be repeated
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,

    /// Only this snapshot; may be repeated
    #[arg(
        long = "snapshot",
        value_name = "SNAPSHOT",
        conflicts_with_all = ["sources", "last"]
    )]
    pub(crate) snapshots: Vec<String>,

    /// Only the newest N snapshots of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,

    /// Create the destination if it does not exist
    ///
    /// Without it a location without a repository is an error: it may be mistyped or not mounted.
    /// Of a path only the last directory is made.
    #[arg(long)]
    pub(crate) init: bool,

    /// Print what would be sent, and send nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Read back all that the snapshots need there, and send damaged objects again
    ///
    /// What verify has found damaged there is sent again in any case. With other keys there, the
    /// blocks of all these snapshots are read.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Limit the traffic between both sides, in bytes a second: 10MiB, or a timetable
    ///
    /// In a timetable, 'mon-fri 08:00-18:00 5MiB, 80MiB', the first entry that matches the local
    /// time applies; the rate may be "unlimited". Object stores are limited in every second,
    /// directories on average.
    /// The limit applies to each direction separately.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit: Option<Limit>,

    #[command(flatten)]
    pub(crate) other: OtherArguments,
}

/// How the other side is reached, where that differs.
#[derive(Debug, Args)]
#[command(next_help_heading = OTHER_SIDE)]
#[expect(clippy::struct_field_names, reason = "they are called as the options are")]
pub(crate) struct OtherArguments {
    /// Endpoint of its object store
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub(crate) other_endpoint: Option<String>,

    /// Region of its bucket
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(crate) other_region: Option<String>,

    /// Additional certificate authorities, in PEM
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) other_ca_file: Option<PathBuf>,

    /// Allow an endpoint of it without TLS (http://)
    #[arg(long, hide_short_help = true)]
    pub(crate) other_allow_http: bool,

    /// A file with its password.
    #[arg(
        long,
        value_name = "FILE",
        help = PASSWORD_FILE_HELP,
        hide_short_help = true,
        conflicts_with = "other_password_command"
    )]
    pub(crate) other_password_file: Option<PathBuf>,

    /// A shell command that prints its password.
    #[arg(
        long,
        value_name = "COMMAND",
        help = PASSWORD_COMMAND_HELP,
        hide_short_help = true
    )]
    pub(crate) other_password_command: Option<OsString>,
}
