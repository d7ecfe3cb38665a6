//! The options that every command has: the repository, its password, the output, and object stores.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::grammar::values::duration;
use crate::grammar::values::path;
use crate::output::console::Loudness;
use crate::output::log_lines::LogFormat;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::timefmt::Zone;
use crate::output::units::ByteCount;
use crate::output::units::memory;

const REPO_HELP: &str = "\
The repository: a path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
file:///path, or the name of one in the configuration file (a path needs a slash)";

const PASSWORD_COMMAND_HELP: &str = "\
Shell command that prints the password

The first line of its output is the password. It is run by `sh -c`, with nothing on its \
standard input and without the variables HAULOUT_PASSWORD*, AWS_*, AZURE_* and GOOGLE_*: a \
command that asks a vault reads credentials of its own, as in '. /etc/vault.env; ask-vault db'. \
Without --password-file and this option, the password is taken from HAULOUT_PASSWORD, or asked \
for on the terminal.";

/// Options that every command knows, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Common {
    /// The repository.
    #[arg(
        short,
        long,
        help = "Repository: a path, a URL, or a name",
        long_help = REPO_HELP,
        value_name = "URL",
        env = "HAULOUT_REPO",
        hide_env_values = true,
        global = true
    )]
    pub(crate) repo: Option<String>,

    /// Configuration file (haulout help config)
    ///
    /// Its repositories are named by --repo, and its values are the defaults of options. Without
    /// this it is /etc/haulout/haulout.toml, if that is there.
    #[arg(
        long,
        value_name = "FILE",
        env = "HAULOUT_CONFIG",
        hide_env_values = true,
        hide_short_help = true,
        global = true,
        value_parser = path()
    )]
    pub(crate) config: Option<PathBuf>,

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

    /// Messages as text or json
    ///
    /// With json each message on standard error is an object in a line of its own, with time,
    /// level and message, and in a job its job and step. Results have --json.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "HAULOUT_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true,
        global = true,
        hide_short_help = true
    )]
    pub(crate) log_format: LogFormat,

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

    /// The options for reaching an object store.
    #[command(flatten)]
    pub(crate) network: Network,
}

impl Common {
    /// Creates the report that these options want.
    pub(crate) fn report(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Report {
        let format = if self.json { Format::Json } else { Format::Text };
        let zone = if self.local_time { Zone::Local } else { Zone::Utc };
        let loudness = match (self.quiet, self.verbose) {
            (true, _) => Some(Loudness::Quiet),
            (_, true) => Some(Loudness::Verbose),
            (false, false) => self.log_level,
        };
        Report::new(format, self.log_format, zone, loudness, variable)
    }
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
