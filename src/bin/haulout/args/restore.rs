//! Of `restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;

use crate::args::values::path;
use crate::args::values::schema;
use crate::limit::Limit;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db restore latest --to /var/lib/mysql --prepare
  haulout -r /backup/db restore 3fa9c1 --stdout | ssh db2 mbstream -x -C /var/lib/mysql
  haulout -r /backup/db restore shop@latest --to /tmp/one --include 'shop/orders.*'
  haulout -r /backup/db restore dump@latest --stdout --include 'nova.instances' --into aside |
    mariadb --sandbox

Every block is verified before it is written. With --stdout a failure may come after much has been
written: look at the exit status (in a shell: set -o pipefail).";

/// Restore a snapshot, verified
///
/// Into an empty directory, or as the original stream, byte for byte, on standard output.
/// An increment is restored with everything that it builds on: into DIR/full, DIR/increment-1
/// and so on; with --prepare all of them are applied to DIR/full in their order.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
#[command(after_help = EXAMPLE)]
#[command(group(ArgGroup::new("target").required(true).args(["to", "stdout"])))]
pub(crate) struct RestoreArguments {
    /// An id, the beginning of one, SOURCE@latest, SOURCE@complete, or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Write files into this directory, which is empty or not there yet
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub(crate) to: Option<PathBuf>,

    /// Write the original stream to standard output
    #[arg(long)]
    pub(crate) stdout: bool,

    /// Restore only files whose path matches; may be repeated
    ///
    /// Of an SQL dump: tables, as 'nova.instances' or 'nova.*'; with what makes them load, so that
    /// --stdout gives a dump of them, which enters their schema and replaces them there; see
    /// --into. With --stdout for SQL dumps only.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,

    /// Write the tables that --include chooses for this schema instead of their own
    ///
    /// Of an SQL dump, with --stdout. What names their own schema where that can't be rewritten
    /// safely, as the text of a trigger, is left out and named, and the exit status is 3.
    #[arg(long, value_name = "SCHEMA", value_parser = schema)]
    #[arg(conflicts_with = "to", requires = "include")]
    pub(crate) into: Option<String>,

    /// Make the device nodes of a tar, which only root can; else they are left out
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) devices: bool,

    /// Restore what is whole, name what is not, and end with status 3
    ///
    /// Files of which blocks are damaged or missing are left out. Not with --prepare, which needs
    /// every file.
    #[arg(long, conflicts_with_all = ["stdout", "prepare"])]
    pub(crate) keep_going: bool,

    /// Go on with a restore that was interrupted
    ///
    /// It must be of the same snapshot with the same --include. Blocks that are there and right are
    /// not fetched again; a tar is written again. Without an interrupted restore it begins.
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) resume: bool,

    /// Give everything that is restored to this owner, by name or number; only root can
    ///
    /// Without a group it is the user's own. With --prepare also what that has made.
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "stdout")]
    pub(crate) owner: Option<String>,

    /// Restore into a directory that other users can write to, or can move
    ///
    /// They could change what is restored before anybody uses it, so such a directory is refused:
    /// writable by everybody or by a group with other members, or below one that is (with the
    /// sticky bit, as in /tmp, those above are no harm).
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) shared_target: bool,

    /// Give the files of a tar their owners by number, even where this host knows their names
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) numeric_owner: bool,

    /// Bytes a second from the repository: 10MiB, or a timetable
    ///
    /// A timetable is 'mon-fri 08:00-18:00 5MiB, 80MiB': the first entry that has the moment, by
    /// the local clock, decides; "unlimited" is a rate too. On an object store no second exceeds
    /// the limit; on a directory the mean does not.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit: Option<Limit>,

    /// Then run `mariabackup --prepare` and check its outcome
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) prepare: bool,

    /// The program that prepares
    #[arg(
        long,
        value_name = "PROGRAM",
        default_value = "mariabackup",
        requires = "prepare",
        hide_short_help = true
    )]
    pub(crate) prepare_program: OsString,
}
