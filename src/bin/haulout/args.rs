//! What was typed: the grammar of the command line and its help texts.
//!
//! Nothing is decided here: defaults that depend on the machine, and what options mean together,
//! are the business of [`plan`](crate::plan).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use haulout::encode::Level;

use crate::units::ByteCount;

const ABOUT: &str = "Streaming physical backups of MariaDB that store only the bytes that changed";

const LONG_ABOUT: &str = "\
Streaming physical backups of MariaDB that store only the bytes that changed.

haulout reads the stream of mariabackup (or of any other program), checks every page, compares each
with its former self and stores the difference, encrypted. Every snapshot carries a verdict with its
reasons: complete, unattested, corrupt-pages or partial.";

const EXAMPLES: &str = "\
Example:
  export HAULOUT_REPO=/backup/db HAULOUT_PASSWORD_FILE=/etc/haulout.password
  haulout init
  haulout backup -- mariabackup --backup --stream=mbstream
  haulout snapshots
  haulout restore latest --to /var/lib/mysql-restored --prepare

Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with findings (a snapshot kept as partial,
corrupt pages at the source, damage found).";

const INIT_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db init --password-file /etc/haulout.password

Without the password nothing can be restored: keep a copy of it away from this machine.";

const BACKUP_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db backup --tag nightly -- mariabackup --backup --stream=mbstream
  haulout -r /backup/db backup --source shop < full.mbs

Let haulout run the producer where you can: from a shell's pipe its exit status can't be seen, and
the snapshot is at best \"unattested\". Without a name, the source is called after this host and the
command (db1-mariabackup), or db1-stdin.";

const SNAPSHOTS_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db snapshots --json | jq -r '.[] | select(.verdict == \"complete\") | .id'";

const SHOW_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db show shop@latest";

const RESTORE_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db restore latest --to /var/lib/mysql --prepare
  haulout -r /backup/db restore 3fa9c1 --stdout | ssh db2 mbstream -x -C /var/lib/mysql
  haulout -r /backup/db restore shop@latest --to /tmp/one --include 'shop/orders.*'

Every block is verified before it is written. With --stdout a failure may come after much has been
written: look at the exit status (in a shell: set -o pipefail).";

const VERIFY_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db verify --depth objects
  haulout -r /backup/db verify latest --depth pages";

const PASSWORD_FILE_HELP: &str = "\
A file whose first line is the password, or a key file [env: HAULOUT_PASSWORD_FILE]";

const PASSWORD_COMMAND_HELP: &str = "\
A shell command that prints the password [env: HAULOUT_PASSWORD_COMMAND]

The first line of what it prints is the password. It is run by `sh -c`, with nothing on its \
standard input. Without any of these, the password is taken from HAULOUT_PASSWORD, or asked for on \
the terminal.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "haulout",
    bin_name = "haulout",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    max_term_width = 100,
    infer_long_args = false
)]
pub(crate) struct Arguments {
    /// What every command knows.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every command knows, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
pub(crate) struct Common {
    /// The repository: a path, or a file:// URL
    #[arg(
        short,
        long,
        value_name = "URL",
        env = "HAULOUT_REPO",
        hide_env_values = true,
        global = true
    )]
    pub(crate) repo: Option<String>,

    /// A file whose first line is the password, or a key file
    #[arg(
        long,
        help = PASSWORD_FILE_HELP,
        value_name = "FILE",
        global = true,
        conflicts_with = "password_command"
    )]
    pub(crate) password_file: Option<PathBuf>,

    /// A shell command that prints the password.
    #[arg(
        long,
        value_name = "COMMAND",
        global = true,
        help = "A shell command that prints the password [env: HAULOUT_PASSWORD_COMMAND]",
        long_help = PASSWORD_COMMAND_HELP
    )]
    pub(crate) password_command: Option<OsString>,

    /// Print the result as JSON on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// No progress, no summary, no messages of the producer unless it fails
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Tell more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Memory to use at most
    ///
    /// It bounds the number of worker threads. K, M, G and KiB, MiB, GiB are powers of 1024; KB, MB
    /// and GB are powers of 1000. At least 96 MiB.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", global = true)]
    pub(crate) memory: ByteCount,

    /// Worker threads [default: one per processor]
    #[arg(
        long,
        value_name = "N",
        global = true,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) threads: Option<u32>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a repository
    #[command(after_help = INIT_EXAMPLE)]
    Init(InitArguments),
    /// Store a stream as a snapshot
    ///
    /// Runs COMMAND and reads its standard output; without COMMAND, reads standard input. The
    /// stream of `mariabackup --stream=mbstream` is taken apart into files and pages and checked;
    /// any other stream is stored as it is.
    #[command(after_help = BACKUP_EXAMPLE)]
    Backup(BackupArguments),
    /// List the snapshots
    #[command(after_help = SNAPSHOTS_EXAMPLE)]
    Snapshots,
    /// Show what is known about a snapshot
    ///
    /// Its verdict with the reasons, positions (LSN, binary log, GTID, Galera), page statistics,
    /// and its files.
    #[command(after_help = SHOW_EXAMPLE)]
    Show(ShowArguments),
    /// Restore a snapshot, verified
    ///
    /// Into an empty directory, or as the original stream, byte for byte, on standard output.
    #[command(after_help = RESTORE_EXAMPLE)]
    Restore(RestoreArguments),
    /// Check that what is stored is what was stored
    ///
    /// Says what is damaged in terms of snapshot, table and page, and records it, so that the next
    /// backup stores damaged blocks again.
    #[command(after_help = VERIFY_EXAMPLE)]
    Verify(VerifyArguments),
}

/// Of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Store everything in the clear
    #[arg(long, conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) no_encryption: bool,
}

/// Of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Name of what is backed up; its snapshots are compared with one another
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub(crate) source: Option<String>,

    /// A word to attach; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,

    /// zstd level of what is new, -7 to 19, or auto
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "auto",
        allow_hyphen_values = true,
        value_parser = compression
    )]
    pub(crate) compression: Compression,

    /// Do not decode and compare what was encoded before it is stored
    ///
    /// Reading back catches a faulty processor or memory before the damage is in the only copy.
    #[arg(long)]
    pub(crate) no_read_back: bool,

    /// Publish a checkpoint after so much of the stream [default: 64GiB]
    ///
    /// A run that is killed goes on from its last checkpoint.
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) checkpoint_bytes: Option<ByteCount>,

    /// Publish a checkpoint after so many seconds [default: 900]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(crate) checkpoint_seconds: Option<u64>,

    /// The producer and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// A level of compression as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression(pub(crate) Level);

/// Of `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// An id, the beginning of one, latest, or SOURCE@latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
}

/// Of `restore`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["to", "stdout"])))]
pub(crate) struct RestoreArguments {
    /// An id, the beginning of one, latest, or SOURCE@latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Write files into this directory, which is empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,

    /// Write the original stream to standard output
    #[arg(long)]
    pub(crate) stdout: bool,

    /// Restore only files whose path matches; may be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "stdout")]
    pub(crate) include: Vec<String>,

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

/// Of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Snapshots to verify [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,

    /// How deep to look; each depth includes those before it
    #[arg(long, value_name = "DEPTH", value_enum, default_value_t = DepthName::Blocks)]
    pub(crate) depth: DepthName,
}

/// How deep `verify` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DepthName {
    /// Names and sizes of all objects
    Objects,
    /// The checksum of every stored object
    Stored,
    /// Every block, decrypted, decompressed and hashed
    Blocks,
    /// Every InnoDB page's own checksum as well
    Pages,
}

/// Longest name of a source and longest tag, bytes: both stand in the snapshot, which is small.
const WORD_BYTES_MAX: usize = 255;

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > WORD_BYTES_MAX {
        return Err(format!("it is longer than {WORD_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn tag(text: &str) -> Result<String, String> {
    word(text)
}

fn source_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("it has an @, which stands for \"snapshot of\" (NAME@latest)".to_owned());
    }
    word(text)
}

fn compression(text: &str) -> Result<Compression, String> {
    let refusal = || "it is neither auto nor a number from -7 to 19".to_owned();
    if text == "auto" {
        return Ok(Compression(Level::AUTO));
    }
    let number = text.parse().map_err(|_| refusal())?;
    Level::new(number).map(Compression).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["haulout -r /x --json snapshots", "haulout snapshots -r /x --json"] {
            let typed = parse(line).unwrap();
            assert_eq!(typed.common.repo.as_deref(), Some("/x"), "{line}");
            assert!(typed.common.json, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for line in [
            "haulout",
            "haulout snapshots -q -v",
            "haulout snapshots --password-file a --password-command b",
            "haulout init --no-encryption --password-file a",
            "haulout restore latest",
            "haulout restore latest --to /x --stdout",
            "haulout restore latest --stdout --include a",
            "haulout restore latest --stdout --prepare",
            "haulout backup --compression 20",
            "haulout backup --compression -8",
            "haulout backup --source a@b",
            "haulout backup --tag ",
            "haulout backup mariabackup",
            "haulout verify --depth deep",
            "haulout snapshots --threads 0",
            "haulout snapshots --memory 5X",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn everything_after_two_dashes_belongs_to_the_producer() {
        let typed =
            parse("haulout backup --compression -7 --tag a --tag b -- cat -v --json").unwrap();
        assert!(!typed.common.json);
        let Verb::Backup(backup) = typed.verb else { panic!("a backup") };
        assert_eq!(backup.command, ["cat", "-v", "--json"]);
        assert_eq!(backup.tags, ["a", "b"]);
        assert_eq!(Some(backup.compression.0), Level::new(-7));
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains("haulout -r /backup/db "), "{name}");
            assert!(example.contains(name), "{name}");
        }
    }
}
