//! What is asked of a restore of a part, and what it answers.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use crate::base::ids::SnapshotId;
use crate::base::monitor::Counts;
use crate::ops::part::client::Server;
use crate::ops::wanted::Destination;
use crate::ops::wanted::Wanted;

/// The place that statements go to.
pub enum Target<'t> {
    /// A file or a program.
    Stream(&'t mut (dyn Write + Send)),
    /// A server, by the client.
    Server(&'t Server),
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("Stream"),
            Self::Server(server) => f.debug_tuple("Server").field(server).finish(),
        }
    }
}

/// The treatment of tables that the server has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is loaded then.
    Refuse,
    /// They are dropped and made again.
    Replace,
}

/// The treatment of tables of which a cluster replicates nothing, or not safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreplicated {
    /// Nothing is loaded into a node of a cluster.
    Refuse,
    /// They are loaded, and are on that node only.
    Accept,
}

/// The treatment of files of other tables that can't be restored whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The restore fails at them.
    Refuse,
    /// They are left out as long as those of the wanted tables are whole.
    LeaveOut,
}

/// The options of a restore of a part.
#[derive(Debug, Clone)]
pub struct PartOptions {
    /// The parts; of a dump everything if there are none.
    pub wanted: Vec<Wanted>,
    /// The schema, and maybe the table, that it is written for instead of its own.
    pub into: Option<Destination>,
    /// The treatment of tables that the server has.
    pub existing: Existing,
    /// The treatment of tables that a cluster does not replicate.
    pub unreplicated: Unreplicated,
    /// The treatment of files that are not whole.
    pub broken: Broken,
    /// Number of worker threads.
    pub workers: u32,
    /// The directory for temporary files of a physical backup.
    pub staging: PathBuf,
    /// The programs of MariaDB that a physical backup takes.
    pub programs: Programs,
}

/// The programs of MariaDB that the tables of a physical backup are read with.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The one that prepares, `mariabackup` or its path.
    pub prepare: OsString,
    /// The directories in which the others are looked for, as the variable PATH has them.
    pub path: OsString,
}

/// What a restore of a part is going to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    /// Tables and views that come out, as `schema.table`.
    pub tables: Vec<String>,
    /// Files or members that are read.
    pub files: Vec<PlannedFile>,
    /// What is left out, and what the user should know besides.
    pub notes: Vec<String>,
}

/// A file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its path in the backup.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The result of a restore of a part.
#[derive(Debug, Clone)]
pub struct PartReport {
    /// Id of the snapshot.
    pub id: SnapshotId,
    /// Tables and views that came out, as `schema.table`.
    pub tables: Vec<String>,
    /// Bytes of the statements.
    pub bytes: u64,
    /// What is left out by rule, and what was done besides.
    pub notes: Vec<String>,
    /// What is missing, which makes the exit status 3.
    pub warnings: Vec<String>,
    /// The monitor's counters at the end.
    pub counts: Counts,
}
