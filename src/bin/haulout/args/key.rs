//! Of `key` and what it can do.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

use crate::args::values::label;
use crate::args::values::path;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key list

A repository may have several keys: passwords and key files. Each opens everything.";

const LIST_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key list --json";

const ADD_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key add --label 'backup of db2' --key-file /etc/haulout.key
  haulout -r /backup/db key add --label anna
  haulout -r /backup/db key add --label db1 --write-only --key-file /etc/haulout.key

A key file opens the repository when it is given as --password-file.";

const REMOVE_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key remove 3fa9c1

This protects the future: whoever kept a copy of keys/ and knows the password of the removed key can
still open what is stored. The last key can't be removed.";

const PASSWD_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key passwd --new-password-file /etc/haulout.password.new";

const ROTATE_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key rotate --new-password-file /etc/haulout.password.new
  haulout -r /backup/db key rotate --key-file /etc/haulout.key.new

For when somebody had a key who should not have it: with the keys of before, nothing that is stored
from now on can be read, and nothing that is written with them is believed. What was stored stays
readable. The key in use gets a new password; all others, write-only ones and recovery kits too, are
left behind: they open what was stored before and write nothing. Add them anew, and make a new kit.
A backup that is running meanwhile fails and says so.";

const EXPORT_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key export kit.txt --replica s3://offsite/db
  haulout -r /backup/db restore latest --to /restore --recovery-kit kit.txt

A kit is text: print it, and keep it away from the machines that it is to survive. It opens the
repository even if every key is lost, and stays valid when keys are added or removed.";

const NEW_FILE_HELP: &str = "\
A file whose first line is the new password [env: HAULOUT_NEW_PASSWORD_FILE]";

const NEW_COMMAND_HELP: &str = "\
A shell command that prints the new password [env: HAULOUT_NEW_PASSWORD_COMMAND]";

/// List and change who can open the repository
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct KeyArguments {
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// What `key` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    List(ListArguments),
    Add(AddArguments),
    Remove(RemoveArguments),
    Passwd(PasswdArguments),
    Rotate(RotateArguments),
    Export(ExportArguments),
}

/// List the keys
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLE)]
pub(crate) struct ListArguments {}

/// What a new key is
#[derive(Debug, Args)]
pub(crate) struct NewKeyArguments {
    /// Make a key file, which needs no password; the file must not exist yet
    #[arg(
        long,
        value_name = "FILE",
        value_parser = path(),
        conflicts_with_all = ["new_password_file", "new_password_command"]
    )]
    pub(crate) key_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) new: NewPasswordArguments,
}

/// Add a key: a password, or a new key file
#[derive(Debug, Args)]
#[command(after_help = ADD_EXAMPLE)]
pub(crate) struct AddArguments {
    /// A name for people: whose it is, or where it is kept [default: this host]
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub(crate) label: Option<String>,

    /// The key may add backups, and open none: for a host that could be taken over
    #[arg(long)]
    pub(crate) write_only: bool,

    #[command(flatten)]
    pub(crate) key: NewKeyArguments,
}

/// Remove a key, but never the last
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLE)]
pub(crate) struct RemoveArguments {
    /// Its id, or the beginning of it
    #[arg(value_name = "KEY", required = true)]
    pub(crate) key: String,
}

/// Change the password of the key that opens the repository
#[derive(Debug, Args)]
#[command(after_help = PASSWD_EXAMPLE)]
pub(crate) struct PasswdArguments {
    #[command(flatten)]
    pub(crate) new: NewPasswordArguments,
}

/// Draw a new key for all that is stored from now on
#[derive(Debug, Args)]
#[command(after_help = ROTATE_EXAMPLE)]
pub(crate) struct RotateArguments {
    /// A name for people [default: that of the key in use]
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub(crate) label: Option<String>,

    /// Rotate though the store does not list all snapshots: those are not believed any more
    #[arg(long)]
    pub(crate) with_gaps: bool,

    #[command(flatten)]
    pub(crate) key: NewKeyArguments,
}

/// Write a recovery kit
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLE)]
pub(crate) struct ExportArguments {
    /// Where to; the file must not exist yet
    #[arg(value_name = "FILE", value_parser = path())]
    pub(crate) file: PathBuf,

    /// Where a copy of the repository is, to be read on the sheet; may be repeated
    #[arg(long = "replica", value_name = "URL", value_parser = label)]
    pub(crate) replicas: Vec<String>,

    /// The kit opens the repository by itself: whoever finds it can read everything
    #[arg(long, conflicts_with_all = ["new_password_file", "new_password_command"])]
    pub(crate) no_password: bool,

    #[command(flatten)]
    pub(crate) new: NewPasswordArguments,
}

/// Where a new password comes from.
#[derive(Debug, Args)]
pub(crate) struct NewPasswordArguments {
    /// A file whose first line is the new password.
    #[arg(long, value_name = "FILE", help = NEW_FILE_HELP, conflicts_with = "new_password_command")]
    pub(crate) new_password_file: Option<PathBuf>,

    /// A shell command that prints the new password.
    #[arg(long, value_name = "COMMAND", help = NEW_COMMAND_HELP)]
    pub(crate) new_password_command: Option<OsString>,
}
