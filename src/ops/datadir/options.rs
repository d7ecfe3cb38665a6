//! What a restore to a data directory is asked for, and who hears of it.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use crate::ops::datadir::galera::Donors;
use crate::ops::datadir::moment::Wanted;
use crate::ops::restore::accounts::Accounts;

/// The wishes of the user about a data directory.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct DatadirOptions {
    /// The data directory of the server.
    pub directory: PathBuf,
    /// A directory on another file system, where files are restored first.
    pub staging: Option<PathBuf>,
    /// Whether the old data may be removed where there is no room for both.
    pub discards: bool,
    /// The owner of the files as it was typed.
    pub owner: Option<String>,
    /// The accounts of this host.
    pub accounts: Accounts,
    /// Whether files that can't be restored whole are left out.
    pub keeps_going: bool,
    /// Whether every table is checked by the private server.
    pub checks_tables: bool,
    /// The program of the server.
    pub program: PathBuf,
    /// The program that prepares.
    pub prepare_program: String,
    /// The option file of the server, if it is not one of the usual ones.
    pub defaults_file: Option<PathBuf>,
    /// The donors that a node of a cluster would get its write sets from; nothing for a server
    /// that joins no cluster.
    pub donors: Option<Donors>,
    /// Where binary logs come from, and up to where they are replayed.
    pub replay: Option<Wanted>,
    /// The command that stops the public server; empty if there is none.
    pub stop: Vec<String>,
    /// The command that starts it.
    pub start: Vec<String>,
    /// The directory for what has no room beside the data directory.
    pub temporary: PathBuf,
    /// Whether a restore that has not finished is being planned over: never but by `--plan`.
    pub is_plan_only: bool,
}

/// Hears what a restore does.
pub trait Listener: fmt::Debug {
    /// Hears that a step begins, or what became of it.
    fn says(&self, words: &str);

    /// Returns what the messages of programs are written to.
    fn program(&self) -> Box<dyn Write + Send>;
}
