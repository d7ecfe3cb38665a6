//! What was typed: the grammar of the command line and its help texts.
//!
//! Nothing is decided here: defaults that depend on the machine, and what options mean together,
//! are the business of [`plan`](crate::plan).

pub(crate) mod backup;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod errors;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod repair;
pub(crate) mod replicate;
pub(crate) mod restore;
pub(crate) mod show;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod synonyms;
pub(crate) mod tag;
pub(crate) mod values;
pub(crate) mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::args::backup::BackupArguments;
use crate::args::cat::CatArguments;
use crate::args::completions::CompletionsArguments;
use crate::args::diff::DiffArguments;
use crate::args::errors::ErrorsArguments;
use crate::args::help::HelpArguments;
use crate::args::init::InitArguments;
use crate::args::key::KeyArguments;
use crate::args::ls::LsArguments;
use crate::args::man::ManArguments;
use crate::args::repair::RepairArguments;
use crate::args::replicate::ReplicateArguments;
use crate::args::restore::RestoreArguments;
use crate::args::show::ShowArguments;
use crate::args::snapshots::SnapshotsArguments;
use crate::args::stats::StatsArguments;
use crate::args::tag::TagArguments;
use crate::args::values::duration;
use crate::args::values::path;
use crate::args::verify::VerifyArguments;
use crate::console::Loudness;
use crate::units::ByteCount;
use crate::units::memory;

const ABOUT: &str = "Streaming physical backups of MariaDB that store only the bytes that changed";

const LONG_ABOUT: &str = "\
Streaming physical backups of MariaDB that store only the bytes that changed.

haulout reads the stream of mariabackup (or of any other program), checks every page, compares it \
with its previous version and stores the difference, encrypted. Every snapshot has a verdict with \
its reasons: complete, unattested, corrupt-pages or partial.";

const REPO_HELP: &str = "\
The repository: a path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or \
file:///path";

const EXAMPLES: &str = "\
Example:
  export HAULOUT_REPO=/backup/db HAULOUT_PASSWORD_FILE=/etc/haulout.password
  haulout init
  haulout backup -- mariabackup --backup --stream=mbstream
  haulout snapshots
  haulout restore latest --to /var/lib/mysql-restored --prepare

Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with findings (a partial snapshot, \
corrupt pages at the source, damage, a warning).";

const PASSWORD_COMMAND_HELP: &str = "\
Shell command that prints the password

The first line of its output is the password. It is run by `sh -c`, with nothing on its \
standard input and without the variables HAULOUT_PASSWORD*, AWS_*, AZURE_* and GOOGLE_*: a \
command that asks a vault reads credentials of its own, as in '. /etc/vault.env; ask-vault db'. \
Without --password-file and this option, the password is taken from HAULOUT_PASSWORD, or asked \
for on the terminal.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "haulout",
    bin_name = "haulout",
    version = env!("HAULOUT_VERSION"),
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = EXAMPLES,
    max_term_width = 100,
    infer_long_args = false,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// What every command knows.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command knows, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Common {
    /// The repository.
    #[arg(
        short,
        long,
        help = "Repository: a path, or an s3, gs or az URL",
        long_help = REPO_HELP,
        value_name = "URL",
        env = "HAULOUT_REPO",
        hide_env_values = true,
        global = true
    )]
    pub(crate) repo: Option<String>,

    /// File with the password, or a key file
    ///
    /// Its first line is the password. A key file is given in the same way.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "password_command")]
    pub(crate) password_file: Option<PathBuf>,

    /// A shell command that prints the password.
    #[arg(
        long,
        value_name = "COMMAND",
        global = true,
        help = "Shell command that prints the password",
        long_help = PASSWORD_COMMAND_HELP,
        hide_short_help = true
    )]
    pub(crate) password_command: Option<OsString>,

    /// Accept password files that others can read
    ///
    /// Without it, init and key refuse such a file, and other commands end with exit status 3.
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) insecure_permissions: bool,

    /// Open the repository with this recovery kit
    ///
    /// The password that is given opens the kit.
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(crate) recovery_kit: Option<PathBuf>,

    /// Detect a repository that was rolled back
    ///
    /// haulout remembers the repository's state in this directory and refuses an older one, or
    /// another repository.
    #[arg(
        long,
        hide_short_help = true,
        value_name = "DIR",
        env = "HAULOUT_STATE",
        hide_env_values = true,
        global = true,
        value_parser = path()
    )]
    pub(crate) state: Option<PathBuf>,

    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print nothing if all is well
    ///
    /// Otherwise a line or two on standard error.
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    pub(crate) quiet: bool,

    /// Print more detail
    #[arg(short, long, global = true, hide_short_help = true, conflicts_with = "log_level")]
    pub(crate) verbose: bool,

    /// Print quiet, brief, normal or verbose output
    ///
    /// The default is normal on a terminal, else brief.
    ///
    /// -q stands for quiet, -v for verbose. A timer or a cron job has no terminal and logs one or
    /// two lines. The producer's messages are kept with the snapshot in any case: haulout show
    /// SNAPSHOT --log.
    #[arg(long, value_name = "LEVEL", global = true, hide_short_help = true)]
    pub(crate) log_level: Option<Loudness>,

    /// Print times in the local time zone
    ///
    /// They have their distance from UTC. JSON keeps UTC.
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) local_time: bool,

    /// Memory limit
    ///
    /// Limits the number of worker threads and of concurrent uploads to an object store. KiB,
    /// MiB and GiB are powers of 1024, and K, M and G here as well; kB, MB and GB are powers of
    /// 1000. At least 96 MiB.
    #[arg(
        long,
        value_name = "SIZE",
        hide_short_help = true,
        default_value = "256MiB",
        global = true,
        value_parser = memory
    )]
    pub(crate) memory: ByteCount,

    /// Worker threads [default: one per processor]
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        global = true,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) threads: Option<u32>,

    /// How an object store is reached.
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Options about object stores.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options for object stores")]
pub(crate) struct Network {
    /// Where the object store is.
    #[arg(
        long,
        help = "Endpoint of an S3-compatible service",
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub(crate) endpoint: Option<String>,

    /// Region of the bucket
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub(crate) region: Option<String>,

    /// Additional certificate authorities, in PEM
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(crate) ca_file: Option<PathBuf>,

    /// Allow an endpoint without TLS (http://)
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) allow_http: bool,

    /// Retry requests this long
    ///
    /// A duration such as 90s, 10min or 1h.
    #[arg(
        long,
        hide_short_help = true,
        value_name = "DURATION",
        default_value = "1h",
        global = true,
        value_parser = duration
    )]
    pub(crate) retry_for: Duration,

    /// Keep maps and recent packs in this directory
    ///
    /// With it a backup reads nothing back from the object store. It can be deleted at any time,
    /// and several processes may share it. Without it, up to 128 MiB of maps are kept in the
    /// system's temporary directory while the program runs.
    #[arg(
        long,
        hide_short_help = true,
        value_name = "DIR",
        env = "HAULOUT_CACHE",
        hide_env_values = true,
        global = true,
        value_parser = path()
    )]
    pub(crate) cache: Option<PathBuf>,

    /// Size limit of --cache
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "8GiB",
        global = true,
        hide_short_help = true
    )]
    pub(crate) cache_size: ByteCount,
}

/// Any command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    About(About),
}

/// What is done with a repository. The help texts stand with the arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(InitArguments),
    Backup(BackupArguments),
    Snapshots(SnapshotsArguments),
    Show(ShowArguments),
    Ls(LsArguments),
    Cat(CatArguments),
    Diff(DiffArguments),
    Stats(StatsArguments),
    Tag(TagArguments),
    Restore(RestoreArguments),
    Verify(VerifyArguments),
    Repair(RepairArguments),
    Key(KeyArguments),
    Replicate(Box<ReplicateArguments>),
}

/// What the program says about itself.
#[derive(Debug, Subcommand)]
pub(crate) enum About {
    Completions(CompletionsArguments),
    Errors(ErrorsArguments),
    Help(HelpArguments),
    Man(ManArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use haulout::encode::Level;

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
            "haulout snapshots -q --log-level brief",
            "haulout snapshots --password-file a --password-command b",
            "haulout init --no-encryption --password-file a",
            "haulout restore latest",
            "haulout restore latest --to /x --stdout",
            "haulout backup --format dump",
            "haulout restore latest --stdout --prepare",
            "haulout backup --compression 20",
            "haulout backup --compression -8",
            "haulout backup --source a@b",
            "haulout backup --tag ",
            "haulout backup mariabackup",
            "haulout verify --depth deep",
            "haulout snapshots --threads 0",
            "haulout snapshots --memory 5X",
            "haulout key",
            "haulout key add --key-file a --new-password-file b",
            "haulout key remove",
            "haulout replicate",
            "haulout replicate --to /x --from /y",
            "haulout replicate --to /x --last 0",
            "haulout replicate --to /x --snapshot a --last 1",
            "haulout key export a --no-password --new-password-command b",
            "haulout diff latest",
            "haulout cat latest",
            "haulout tag latest --add ",
            "haulout completions tcl",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn everything_after_two_dashes_belongs_to_the_producer() {
        let typed =
            parse("haulout backup --compression -7 --tag a --tag b -- cat -v --json").unwrap();
        assert!(!typed.common.json);
        let Command::Verb(Verb::Backup(backup)) = typed.command else { panic!("a backup") };
        assert_eq!(backup.command, ["cat", "-v", "--json"]);
        assert_eq!(backup.tags, ["a", "b"]);
        assert_eq!(Some(backup.compression.0), Level::new(-7));
    }

    #[test]
    fn every_command_has_an_example() {
        let grammar = Arguments::command();
        let nested = grammar.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in grammar.get_subcommands().chain(nested) {
            let name = command.get_name();
            let example =
                command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let is_about = ["completions", "errors", "help", "man"].contains(&name);
            let begins = if is_about { "  haulout " } else { "  haulout -r /backup/db " };
            assert!(example.contains(begins), "{name}");
            assert!(example.contains(&format!(" {name}")), "{name}");
        }
    }
}
