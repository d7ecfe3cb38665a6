//! The moment up to which a restored server is taken, as it was wished and as it is planned.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::base::gtid::GtidState;
use crate::ops::replay::Until;

/// Where binary logs come from, and up to where they are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The end of the replay.
    pub until: Until,
    /// A directory with binary logs of the server; otherwise those of the repository are taken.
    pub directory: Option<PathBuf>,
    /// The directories in which programs are looked for.
    pub programs: Vec<PathBuf>,
}

/// A replay that is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The end of the replay.
    pub until: Until,
    /// The state of the backup.
    pub from: GtidState,
    /// The source of the backup, whose binary logs are taken.
    pub source: String,
    /// A directory with binary logs, if they do not come from the repository.
    pub directory: Option<PathBuf>,
    /// The bytes of the logs that are fetched.
    pub bytes: u64,
    /// The program that decodes.
    pub binlog: PathBuf,
    /// The client that applies.
    pub client: PathBuf,
}
