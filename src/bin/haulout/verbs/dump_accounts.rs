//! `dump-accounts`: the producer of a source of accounts, which a job runs.

use std::io;

use clap::Args;

use crate::config::Config;
use crate::environment::is_program;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::accounts;
use crate::jobs::producer;

const EXAMPLE: &str = "\
Example:
  haulout dump-accounts grants > accounts.sql";

/// Write accounts, roles and grants of a server as SQL
///
/// Runs the tool of MariaDB as a source with only = "accounts" says, and adds the grants to PUBLIC,
/// which the tool leaves out. It is what a job runs for such a source.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE, hide = true)]
pub(crate) struct DumpAccountsArguments {
    /// The name of the source
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
}

impl DumpAccountsArguments {
    /// Writes the SQL on standard output.
    pub(crate) fn run(&self, config: &Config) -> Outcome<Exit> {
        let name = &self.source;
        let source = config.source(name).filter(|source| producer::is_of_accounts(source));
        let Some(source) = source else {
            return Err(Failure::usage(
                format!("{} has no source {name} of accounts", config.path.display()),
                "it needs kind = \"mariadb-dump\" and only = \"accounts\"",
            ));
        };
        accounts::dump(source, &producer::command(source, &is_program), &mut io::stdout().lock())?;
        Ok(Exit::Done)
    }
}
