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
  haulout -r /backup/db restore latest --table shop.orders --load --into aside

Every block is verified before it is written. With --stdout a failure may come \
late: look at the exit status (in a shell: set -o pipefail).";

/// Restore a snapshot, verified
///
/// Into an empty directory, as the original stream, or as SQL. An increment is restored with its
/// base: DIR/full, DIR/increment-1; --prepare applies them.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
#[command(after_long_help = EXAMPLE, override_usage = "haulout restore [OPTIONS] <SNAPSHOT>")]
#[command(group(ArgGroup::new("target").required(true).args(["to", "stdout", "load", "datadir"])))]
pub(crate) struct RestoreArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT", required_unless_present_any = ["undo", "resume"])]
    pub(crate) snapshot: Option<String>,

    /// Write into this empty or new directory; SQL of tables into this new file
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub(crate) to: Option<PathBuf>,

    /// Write the original stream to standard output
    #[arg(long)]
    pub(crate) stdout: bool,

    /// Restore only files that match, or tables of a dump; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,

    /// Write tables for this schema instead of their own, or for this name
    #[arg(long, value_name = "SCHEMA[.TABLE]")]
    pub(crate) into: Option<Destination>,

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
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) resume: bool,

    /// Give all restored files to this owner, by name or number, as root
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "stdout")]
    pub(crate) owner: Option<String>,

    /// Restore into a directory that other users can write to, or can move
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) shared_target: bool,

    /// Give the files of a tar their owners by number, not by name
    #[arg(long, conflicts_with = "stdout", hide_short_help = true)]
    pub(crate) numeric_owner: bool,

    /// Limit the download: 10MiB a second, or 'mon-fri 08:00-18:00 5MiB, 80MiB'
    #[arg(long, value_name = "RATE", hide_short_help = true)]
    pub(crate) limit: Option<Limit>,

    /// Run `mariabackup --prepare` on the files and check its outcome
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) prepare: bool,

    /// The program to prepare with
    #[arg(long, value_name = "PROGRAM", default_value = "mariabackup", hide_short_help = true)]
    pub(crate) prepare_program: OsString,

    #[command(flatten)]
    pub(crate) server: DatadirArguments,

    #[command(flatten)]
    pub(crate) part: PartArguments,
}
