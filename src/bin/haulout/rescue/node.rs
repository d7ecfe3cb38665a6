//! The report of one node: what `rescue inspect` prints, and `rescue plan` reads.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

/// The version of the report's form.
pub(crate) const VERSION: u32 = 1;

/// The id of a cluster that a node without data has.
pub(crate) const NO_CLUSTER: &str = "00000000-0000-0000-0000-000000000000";

/// A position in the history of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The id of the history.
    pub(crate) uuid: String,
    /// The number of the newest write set; -1 where it is not known.
    pub(crate) seqno: i64,
}

impl Position {
    /// Tells whether the position is known.
    pub(crate) fn is_known(&self) -> bool {
        self.seqno >= 0 && self.uuid != NO_CLUSTER && !self.uuid.is_empty()
    }
}

/// What the file `grastate.dat` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedState {
    /// The position at the last orderly stop.
    #[serde(flatten)]
    pub(crate) position: Position,
    /// Whether the node was the last one that stopped.
    pub(crate) safe_to_bootstrap: bool,
}

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

/// The kind of a reason why a node is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CauseKind {
    /// A page or file of the data is damaged.
    CorruptData,
    /// There is no data directory, or it is empty.
    NoData,
    /// The file system is full.
    Disk,
    /// Files belong to another user, or may not be read.
    Rights,
    /// A port is in use.
    Port,
    /// The server does not accept its configuration.
    Configuration,
    /// The library of Galera can't be loaded.
    Provider,
    /// The server could not recover its position, and does not say why.
    NotRecovered,
}

impl CauseKind {
    /// Tells whether data with this fault can't be trusted.
    pub(crate) fn is_about_data(self) -> bool {
        match self {
            Self::CorruptData | Self::NoData => true,
            Self::Disk
            | Self::Rights
            | Self::Port
            | Self::Configuration
            | Self::Provider
            | Self::NotRecovered => false,
        }
    }

    /// Returns the kind in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::CorruptData => "damaged data",
            Self::NoData => "no data",
            Self::Disk => "full disk",
            Self::Rights => "access rights",
            Self::Port => "port in use",
            Self::Configuration => "configuration",
            Self::Provider => "Galera library",
            Self::NotRecovered => "no position",
        }
    }
}

/// A reason why a node is down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// The kind of the reason.
    pub(crate) kind: CauseKind,
    /// What was seen: a line of a log, a file, a port.
    pub(crate) seen: String,
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

/// Reads the text of `grastate.dat`.
pub(crate) fn saved_state(text: &str) -> Option<SavedState> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.trim() == name).map(|(_, value)| value.trim())
    };
    let position =
        Position { uuid: value("uuid")?.to_owned(), seqno: value("seqno")?.parse().ok()? };
    Some(SavedState { position, safe_to_bootstrap: value("safe_to_bootstrap") == Some("1") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_is_read() {
        let text = "# GALERA saved state\nversion: 2.1\n\
            uuid:    92f7e289-eb94-11f1-96f8-ee18e288f3c2\n\
            seqno:   151174\nsafe_to_bootstrap: 1\n";
        let saved = saved_state(text).unwrap();
        assert_eq!(saved.position.seqno, 151_174);
        assert_eq!(saved.position.uuid, "92f7e289-eb94-11f1-96f8-ee18e288f3c2");
        assert!(saved.safe_to_bootstrap && saved.position.is_known());
        let running = saved_state(&text.replace("151174", "-1").replace(": 1", ": 0")).unwrap();
        assert!(!running.safe_to_bootstrap && !running.position.is_known());
        for text in ["", "uuid: x", "seqno: 5", "uuid: x\nseqno: five\n"] {
            assert_eq!(saved_state(text), None, "{text}");
        }
    }
}
