//! The report of one node: what `rescue inspect` prints, and `rescue plan` reads.

use std::path::PathBuf;

use haulout::server::saved_state::Position;
use haulout::server::saved_state::SavedState;
use haulout::server::startup_log::Cause;
use serde::Deserialize;
use serde::Serialize;

/// The version of the report's form.
pub(crate) const VERSION: u32 = 1;

/// A server that runs on the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The part of the cluster that the node is in, `Primary` if it has the quorum; empty if the
    /// server does not say.
    pub(crate) status: String,
    /// The state of the node in words.
    pub(crate) state: String,
    /// Members of its part of the cluster.
    pub(crate) size: u64,
}

/// The commands that start and stop the server of a host, for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceCommands {
    /// Starts the server as a member of its cluster.
    pub(crate) start: String,
    /// Starts the server as the first member of a new cluster.
    pub(crate) bootstrap: String,
    /// Stops the server of the host.
    pub(crate) stop: String,
}

/// Something that keeps clients away from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// Its name, for people.
    pub(crate) name: String,
    /// Keeps clients away, for a shell.
    pub(crate) close: String,
    /// Lets them in again, for a shell.
    pub(crate) open: String,
}

/// Everything that is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    /// The version of this form.
    pub(crate) version: u32,
    /// The name of the host.
    pub(crate) host: String,
    /// When it was looked at, in seconds since 1970.
    pub(crate) time: u64,
    /// The version of the server's program, if it is there.
    pub(crate) server: Option<String>,
    /// The option file of the server, if it is not the usual one.
    pub(crate) defaults_file: Option<PathBuf>,
    /// The socket of the server.
    pub(crate) socket: PathBuf,
    /// The directory of the data.
    pub(crate) data_directory: PathBuf,
    /// Whether that is where a file system is mounted.
    pub(crate) is_mount_point: bool,
    /// The user and group that the data belong to.
    pub(crate) owner: String,
    /// The bytes of the files in it.
    pub(crate) bytes: u64,
    /// The bytes that are free in its file system.
    pub(crate) free_bytes: u64,
    /// When a file of InnoDB was last written, in seconds since 1970.
    pub(crate) newest_write: Option<u64>,
    /// The name of the cluster.
    pub(crate) cluster_name: String,
    /// The members as the configuration names them.
    pub(crate) members: Vec<String>,
    /// The address of the node as the configuration names it.
    pub(crate) node_address: String,
    /// The port that clients connect to.
    pub(crate) client_port: u16,
    /// The server, if it runs.
    pub(crate) running: Option<Running>,
    /// What the node has saved.
    pub(crate) saved: Option<SavedState>,
    /// The position of the data themselves, if it was recovered or told by the server.
    pub(crate) position: Option<Position>,
    /// Why it is down.
    pub(crate) causes: Vec<Cause>,
    /// What can keep clients away.
    pub(crate) isolation: Vec<Isolation>,
    /// How its server is started and stopped.
    pub(crate) commands: ServiceCommands,
}

impl NodeReport {
    /// Returns the position of data that can be trusted.
    pub(crate) fn good_position(&self) -> Option<&Position> {
        let is_doubtful = self.causes.iter().any(|cause| cause.kind.is_about_data());
        self.position.as_ref().filter(|position| position.is_known() && !is_doubtful)
    }

    /// Tells whether the node is in a part of its cluster that has the quorum.
    pub(crate) fn has_quorum(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.status == "Primary")
    }

    /// Tells whether a name is that of this node: its host, or its address.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.host == name || self.node_address == name
    }
}
