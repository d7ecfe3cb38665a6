//! Of `init`.

use clap::Args;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db init --password-file /etc/haulout.password

Without the password nothing can be restored: keep a copy of it away from this host.";

/// Make a repository
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct InitArguments {
    /// Store everything in the clear
    #[arg(long, conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) no_encryption: bool,
}
