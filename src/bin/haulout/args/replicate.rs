//! Of `replicate`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;

use crate::limit::Limit;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db replicate --to /mnt/offsite/db --plan
  haulout -r /backup/db replicate --to /mnt/offsite/db --init
  haulout -r /backup/db replicate --to /mnt/offsite/db --source shop --last 14
  haulout -r /backup/db replicate --to s3://offsite/db --limit 'mon-fri 08:00-18:00 5MiB, 80MiB'
  haulout -r s3://near/db replicate --to s3://far/db --other-endpoint https://s3.far.example.org
  haulout -r /backup/db replicate --from /mnt/offsite/db

A copy has the same keys, and gets the stored packs as they are, the newest snapshot first. It can
be interrupted at any time: what has arrived is not sent again.

Where both sides are object stores, --endpoint, --region, --ca-file and the stores' own variables
are for --repo. What reaches the other side stands in --other-endpoint, --other-region and
--other-ca-file, and in the same variables with HAULOUT_OTHER_ before them, like
HAULOUT_OTHER_AWS_ACCESS_KEY_ID. If there is none of these options, those for --repo hold on both
sides; and if there is none of these variables, the others do.

With a password for the other side, it is, or becomes, a repository with keys of its own: then the
streams are read here and backed up there, the oldest first.";

const PASSWORD_FILE_HELP: &str = "\
A file with the password of the other side, if it has keys of its own \
[env: HAULOUT_OTHER_PASSWORD_FILE]";

const PASSWORD_COMMAND_HELP: &str = "\
A shell command that prints it [env: HAULOUT_OTHER_PASSWORD_COMMAND]";

/// Send snapshots to another repository, or fetch them
///
/// Sends what the other side lacks. With --init, a repository is made if there is none yet, with
/// the same keys.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
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

    /// Make the repository that snapshots go to, if there is none
    ///
    /// Without it, a place without a repository is an error: it may be mistyped or not mounted. Of
    /// a path only the last directory is made.
    #[arg(long)]
    pub(crate) init: bool,

    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Read back everything that the snapshots need there, and send again what is damaged
    ///
    /// What verify has found damaged on the side that snapshots go to is read and sent again in any
    /// case. With other keys there, the blocks of all these snapshots are read.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Bytes a second between the two sides: 10MiB, or a timetable
    ///
    /// A timetable is 'mon-fri 08:00-18:00 5MiB, 80MiB': the first entry that has the moment, by
    /// the local clock, decides; "unlimited" is a rate too. To and from an object store no second
    /// exceeds the limit; between two directories the mean does not.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit: Option<Limit>,

    #[command(flatten)]
    pub(crate) other: OtherArguments,
}

/// How the other side is reached, where that differs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for the other side")]
#[expect(clippy::struct_field_names, reason = "they are called as the options are")]
pub(crate) struct OtherArguments {
    /// Where the object store of the other side is, if not where that of --repo is
    #[arg(long, value_name = "URL")]
    pub(crate) other_endpoint: Option<String>,

    /// The region of its bucket
    #[arg(long, value_name = "NAME")]
    pub(crate) other_region: Option<String>,

    /// Certificates to trust there besides the system's, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) other_ca_file: Option<PathBuf>,

    /// A file with its password.
    #[arg(
        long,
        value_name = "FILE",
        help = PASSWORD_FILE_HELP,
        conflicts_with = "other_password_command"
    )]
    pub(crate) other_password_file: Option<PathBuf>,

    /// A shell command that prints its password.
    #[arg(long, value_name = "COMMAND", help = PASSWORD_COMMAND_HELP)]
    pub(crate) other_password_command: Option<OsString>,
}
