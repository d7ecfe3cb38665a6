//! The options of `restore` about a part of a backup, which is restored as SQL.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;

use haulout::ops::part::Server;
use haulout::ops::wanted::TableName;
use haulout::ops::wanted::Wanted;
use haulout::server::login::Address;

use crate::config::tree::Table;
use crate::config::tree::parse;
use crate::environment::Surroundings;
use crate::environment::variable;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::path;
use crate::grammar::values::schema;
use crate::jobs::account::ToolOptions;
use crate::jobs::producer;
use crate::jobs::server::user;

/// Where a part goes, and which part it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tables, schemas and dumps as SQL")]
#[command(group(ArgGroup::new("part").multiple(true).args(["table", "schema", "load"])))]
pub(crate) struct PartArguments {
    /// Restore this table or view as SQL; may be repeated
    #[arg(long, value_name = "SCHEMA.TABLE", conflicts_with_all = ["include", "prepare"])]
    pub(crate) table: Vec<TableName>,

    /// Restore this schema as SQL, with routines; may be repeated
    #[arg(long, value_name = "SCHEMA", value_parser = schema)]
    #[arg(conflicts_with_all = ["include", "prepare"])]
    pub(crate) schema: Vec<String>,

    /// Load a dump, or --table and --schema of any backup, into a server
    #[arg(long, conflicts_with_all = ["include", "prepare"])]
    pub(crate) load: bool,

    /// The option file with the account for --load
    #[arg(long, value_name = "FILE", requires = "load", value_parser = path())]
    #[arg(hide_short_help = true)]
    pub(crate) defaults_file: Option<PathBuf>,

    /// The socket of the server for --load
    #[arg(
        long,
        value_name = "PATH",
        requires = "load",
        conflicts_with = "host",
        hide_short_help = true
    )]
    pub(crate) socket: Option<String>,

    /// The host of the server for --load
    #[arg(long, value_name = "HOST[:PORT]", requires = "load", hide_short_help = true)]
    pub(crate) host: Option<String>,

    /// Load into the server of a [source.NAME] of the configuration
    #[arg(long, value_name = "NAME", requires = "load", hide_short_help = true)]
    #[arg(conflicts_with_all = ["defaults_file", "socket", "host"])]
    pub(crate) server_of: Option<String>,

    /// Replace tables that the server has
    #[arg(long, requires = "load", hide_short_help = true)]
    pub(crate) replace: bool,

    /// Load tables without primary key or InnoDB into a node of a cluster
    #[arg(long, requires = "load", hide_short_help = true)]
    pub(crate) accept_unreplicated: bool,
}

impl PartArguments {
    /// Tells whether a part is asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.load || !self.table.is_empty() || !self.schema.is_empty()
    }

    /// Returns the parts that are asked for.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let schemas = self.schema.iter().cloned().map(Wanted::Schema);
        schemas.chain(self.table.iter().cloned().map(Wanted::Table)).collect()
    }

    /// Returns the server that statements are loaded into.
    pub(crate) fn server(&self, around: &Surroundings<'_>) -> Outcome<Server> {
        let source = match &self.server_of {
            Some(name) => (around.source)(name).ok_or_else(|| {
                Failure::usage(
                    format!("the configuration has no source {name}"),
                    "haulout config show prints its sources",
                )
            })?,
            None => self.as_source()?,
        };
        producer::require_private_options(&source)?;
        let (address, login) = ToolOptions::of(&source, &variable)?.account(&source, &user());
        Ok(Server { address, login, client: OsString::from("mariadb") })
    }

    /// Returns what was typed as a source of the configuration: one rule for both, of which file
    /// goes before which.
    fn as_source(&self) -> Outcome<Table> {
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut text = String::from("kind = \"mariadb-dump\"\n");
        let mut add = |key: &str, value: &str| text.push_str(&[key, " = ", value, "\n"].concat());
        if let Some(path) = &self.defaults_file {
            add("defaults_file", &quoted(&path.to_string_lossy()));
        }
        if let Some(path) = &self.socket {
            add("socket", &quoted(path));
        }
        if let Some(host) = &self.host {
            let wrong = |why| Failure::usage(format!("--host: {why}"), "write HOST or HOST:PORT");
            match host.parse::<Address>().map_err(wrong)? {
                Address::Tcp { host, port } => {
                    add("host", &quoted(&host));
                    add("port", &port.to_string());
                }
                Address::Socket(path) => add("socket", &quoted(&path.to_string_lossy())),
            }
        }
        Ok(parse(&text).0)
    }
}
