//! Of `restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;

use haulout::ops::wanted::Destination;

use crate::grammar::limit::Limit;
use crate::grammar::values::path;
use crate::verbs::restore::datadir::DatadirArguments;
use crate::verbs::restore::part::PartArguments;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db restore latest --to /var/lib/mysql-new --prepare
  haulout -r /backup/db restore latest --datadir /var/lib/mysql --plan
  haulout -r /backup/db restore 3fa9c1 --stdout | mbstream -x -C /restore
  haulout -r /backup/db restore latest --to /restore --include 'shop/*'

Every block is verified before it is written. With --stdout a failure may come \
late: look at the exit status (in a shell: set -o pipefail).";

/// Restore a snapshot, verified
///
/// Into an empty directory, or as the original stream on standard output. An increment is restored
/// with all that it builds on: DIR/full, DIR/increment-1 and so on; --prepare applies them to
/// DIR/full.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
#[command(after_long_help = EXAMPLE)]
#[command(group(ArgGroup::new("target").required(true).args(["to", "stdout", "load", "datadir"])))]
pub(crate) struct RestoreArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT", required_unless_present_any = ["undo", "resume"])]
    pub(crate) snapshot: Option<String>,

    /// Write files into this directory, which is empty or does not exist
    ///
    /// With --table or --schema it is a file that is not there yet.
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub(crate) to: Option<PathBuf>,

    /// Write the original stream to standard output
    #[arg(long)]
    pub(crate) stdout: bool,

    #[command(flatten)]
    pub(crate) server: DatadirArguments,

    /// Restore only files whose path matches; may be repeated
    ///
    /// Of an SQL dump these are tables, 'nova.instances' or 'nova.*', and --stdout writes a dump
    /// that replaces them in their schema; see --into.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,

    /// Write tables for this schema instead of their own, one --table also by another name
    ///
    /// A statement that names their own schema and cannot be rewritten safely, as a trigger, is
    /// left out and named, and the exit status is 3.
    #[arg(long, value_name = "SCHEMA[.TABLE]")]
    pub(crate) into: Option<Destination>,

    #[command(flatten)]
    pub(crate) part: PartArguments,

    /// Print what would be read, restored and lost, and do nothing
    #[arg(long, conflicts_with_all = ["undo", "resume"])]
    pub(crate) plan: bool,

    /// Restore below this directory first: with --datadir, --table and --schema
    #[arg(long, value_name = "DIR", value_parser = path(), hide_short_help = true)]
    pub(crate) staging: Option<PathBuf>,

    /// Make the device nodes of a tar, as root; without it they are left out
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) devices: bool,

    /// Restore the files that are whole, name the others, and exit with 3
    #[arg(long, conflicts_with = "prepare", hide_short_help = true)]
    pub(crate) keep_going: bool,

    /// Continue an interrupted restore, with the same --include
    ///
    /// Blocks that are there and right are not fetched again; a tar is written again. Without an
    /// interrupted restore it begins.
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) resume: bool,

    /// Give all restored files to this owner, by name or number, as root
    ///
    /// Without a group it is the user's own. With --prepare this includes the files it makes.
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "stdout")]
    pub(crate) owner: Option<String>,

    /// Restore into a directory that other users can write to, or can move
    ///
    /// It is refused otherwise: they could change the files before they are used. A sticky
    /// directory above it, as /tmp, is allowed.
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) shared_target: bool,

    /// Give the files of a tar their owners by number, not by name
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) numeric_owner: bool,

    /// Limit the download, in bytes a second: 10MiB, or a timetable
    ///
    /// In a timetable, 'mon-fri 08:00-18:00 5MiB, 80MiB', the first entry that matches the local
    /// time applies; the rate may be "unlimited".
    #[arg(long, value_name = "RATE", hide_short_help = true)]
    pub(crate) limit: Option<Limit>,

    /// Run `mariabackup --prepare` on the files and check its outcome
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) prepare: bool,

    /// The program to prepare with
    #[arg(long, value_name = "PROGRAM", default_value = "mariabackup", hide_short_help = true)]
    pub(crate) prepare_program: OsString,
}
