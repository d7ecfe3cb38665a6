//! Of `key` and what it can do.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

use crate::grammar::values::label;
use crate::grammar::values::path;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key list

A repository may have several keys: passwords and key files. Each opens everything, \
unless it is write-only.";

const LIST_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key list --json";

const ADD_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key add --label anna
  haulout -r /backup/db key add --label db2 --key-file /etc/haulout.key
  haulout -r /backup/db key add --write-only --key-file /etc/haulout.key

A key file opens the repository when it is given as --password-file.";

const REMOVE_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key remove 3fa9c1

This does not help against old copies: a person who kept a copy of keys/ and the \
password can still read the repository; see key rotate. The last key cannot be removed.";

const PASSWD_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db key passwd --new-password-file /etc/haulout.new";

const ROTATE_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key rotate --new-password-file /etc/haulout.new
  haulout -r /backup/db key rotate --key-file /etc/haulout.key.new

Rotate after a key was copied by a person who should not have it. The old keys cannot \
decrypt anything written after the rotation, and objects written with them are rejected. \
Old data stays readable. The key in use gets a new password; all others, write-only keys \
and recovery kits too, are retired: they can read older data but no longer write. Add \
them again, and make a new kit. A backup that is running fails and says so.";

const EXPORT_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db key export kit.txt --replica s3://offsite/db
  haulout -r /backup/db restore latest --to /restore --recovery-kit kit.txt

A kit is text: print it, and do not store it on a machine that it is meant to replace. It \
opens the repository even if every key is lost, and stays valid when keys are added or \
removed.";

const NEW_FILE_HELP: &str = "\
File with the new password [env: HAULOUT_NEW_PASSWORD_FILE]";

const NEW_COMMAND_HELP: &str = "\
Shell command that prints it [env: HAULOUT_NEW_PASSWORD_COMMAND]";

/// Manage the keys that open the repository
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
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
#[command(after_long_help = LIST_EXAMPLE)]
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
#[command(after_long_help = ADD_EXAMPLE)]
pub(crate) struct AddArguments {
    /// A name for people: whose it is, or where it is kept [default: this host]
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub(crate) label: Option<String>,

    /// Create a write-only key: it can add backups but cannot read any
    #[arg(long)]
    pub(crate) write_only: bool,

    #[command(flatten)]
    pub(crate) key: NewKeyArguments,
}

/// Remove a key, but never the last
#[derive(Debug, Args)]
#[command(after_long_help = REMOVE_EXAMPLE)]
pub(crate) struct RemoveArguments {
    /// Its id, or the beginning of it
    #[arg(value_name = "KEY", required = true)]
    pub(crate) key: String,
}

/// Change the password of the key that opens the repository
#[derive(Debug, Args)]
#[command(after_long_help = PASSWD_EXAMPLE)]
pub(crate) struct PasswdArguments {
    #[command(flatten)]
    pub(crate) new: NewPasswordArguments,
}

/// Rotate the repository key
#[derive(Debug, Args)]
#[command(after_long_help = ROTATE_EXAMPLE)]
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
#[command(after_long_help = EXPORT_EXAMPLE)]
pub(crate) struct ExportArguments {
    /// Where to; the file must not exist yet
    #[arg(value_name = "FILE", value_parser = path())]
    pub(crate) file: PathBuf,

    /// Where a copy of the repository is, to be read on the sheet; may be repeated
    #[arg(long = "replica", value_name = "URL", value_parser = label)]
    pub(crate) replicas: Vec<String>,

    /// Make a kit that needs no password: everyone who finds it can read everything
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
