//! What a node of a Galera cluster says about itself.
//!
//! Sources: "Galera Cluster Status Variables" in MariaDB's manual; which states are good was tried
//! on clusters of three nodes. Only `SHOW` is asked: a node that is out of its cluster refuses
//! every `SELECT` with error 1047, and an account without any privilege may see all of this.

use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::server::session::Session;

/// The state of a node that is in step with its cluster (`wsrep_local_state`).
const SYNCED: u64 = 4;

/// Write sets in the queue of a node from which on it lags. Under load up to 33 were seen for
/// moments on nodes that kept up, so it is asked twice.
const QUEUE_LAGGING: u64 = 100;

/// Write sets in the queue from which on a node is paused or can't keep up.
const QUEUE_UNUSABLE: u64 = 1_000;

/// The answers of a node at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The name of the node (`wsrep_node_name`).
    pub name: String,
    /// The id of the running node in its group (`wsrep_gcomm_uuid`).
    pub id: String,
    /// The id of the cluster's data (`wsrep_cluster_state_uuid`).
    pub cluster: String,
    /// The number of the cluster's membership (`wsrep_cluster_conf_id`).
    pub membership: String,
    /// Members of the cluster as the node sees it.
    pub size: u64,
    /// The part of the cluster that the node is in: `Primary` if it has the quorum.
    pub status: String,
    /// Whether it takes statements.
    pub is_ready: bool,
    /// Whether it is connected to the group.
    pub is_connected: bool,
    /// The state of the node, 4 for Synced.
    pub state: u64,
    /// The state in words.
    pub state_words: String,
    /// How often it was desynced, for backups, state transfers and by operators.
    pub desyncs: u64,
    /// Whether `wsrep_desync` is on.
    pub is_desynced: bool,
    /// Write sets that it has received and not applied.
    pub queue: u64,
    /// Write sets that clients have made on this node.
    pub replicated: u64,
    /// Messages that it has sent to slow the cluster down.
    pub brakes: u64,
    /// Nanoseconds for which the cluster was slowed down.
    pub paused_ns: u64,
    /// The newest write set that it has applied.
    pub committed: u64,
    /// The oldest write set that it can hand to a node that rejoins.
    pub cached_from: Option<u64>,
    /// Whether the server sends transactions as binary log events with ids of the cluster.
    pub server_id: String,
}

/// How fit a node is to be backed up. Numbers are not compared: nodes that decide by themselves see
/// them at different moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It is in step with the cluster.
    Good,
    /// It is in step, with a queue.
    Lagging,
    /// It can't be used, for this reason.
    Unusable(Unusable),
}

/// Why a node can't be backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unusable {
    /// Its part of the cluster has no quorum.
    NoQuorum,
    /// It takes no statements, or is not connected.
    NotReady,
    /// It is joining, catching up or expelled.
    NotSynced,
    /// A backup, a state transfer or an operator has desynced it.
    Held,
    /// It is paused, or far behind.
    Behind,
}

impl Unusable {
    /// Says why, after the name of the node.
    pub fn words(self) -> &'static str {
        match self {
            Self::NoQuorum => "its part of the cluster has no quorum",
            Self::NotReady => "it is not ready",
            Self::NotSynced => "it is not synced",
            Self::Held => "it is desynced, by a backup, a state transfer or an operator",
            Self::Behind => "it is paused or far behind",
        }
    }
}

impl Node {
    /// Asks a server; nothing if it is no node of a cluster.
    pub fn ask(session: &mut Session) -> Result<Option<Self>> {
        let variables = session.pairs(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
             ('wsrep_on', 'wsrep_desync', 'wsrep_node_name', 'server_id')",
        )?;
        if !is_on(&variables, "wsrep_on") {
            return Ok(None);
        }
        let status = session.pairs("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'")?;
        Ok(Some(Self::read(&variables, &status)))
    }

    /// Reads the answers of a node: variables and status, with lower-case names.
    pub fn read(variables: &BTreeMap<String, String>, status: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| status.get(name).cloned().unwrap_or_default();
        let number = |name: &str| status.get(name).and_then(|text| text.parse().ok());
        let count = |name: &str| number(name).unwrap_or_default();
        let variable = |name: &str| variables.get(name).cloned().unwrap_or_default();
        Self {
            name: variable("wsrep_node_name"),
            id: text("wsrep_gcomm_uuid"),
            cluster: text("wsrep_cluster_state_uuid"),
            membership: text("wsrep_cluster_conf_id"),
            size: count("wsrep_cluster_size"),
            status: text("wsrep_cluster_status"),
            is_ready: is_on(status, "wsrep_ready"),
            is_connected: is_on(status, "wsrep_connected"),
            state: count("wsrep_local_state"),
            state_words: text("wsrep_local_state_comment"),
            desyncs: count("wsrep_desync_count"),
            is_desynced: is_on(variables, "wsrep_desync"),
            queue: count("wsrep_local_recv_queue"),
            replicated: count("wsrep_replicated"),
            brakes: count("wsrep_flow_control_sent"),
            paused_ns: count("wsrep_flow_control_paused_ns"),
            committed: count("wsrep_last_committed"),
            cached_from: number("wsrep_local_cached_downto"),
            server_id: variable("server_id"),
        }
    }

    /// Tells whether the node is in step with its cluster, with or without a queue.
    pub fn is_synced(&self) -> bool {
        self.state == SYNCED && !self.state_words.starts_with("Inconsistent")
    }

    /// Returns how fit the node is.
    pub fn health(&self) -> Health {
        if self.status != "Primary" {
            Health::Unusable(Unusable::NoQuorum)
        } else if !self.is_ready || !self.is_connected {
            Health::Unusable(Unusable::NotReady)
        } else if self.is_desynced || self.desyncs > 0 {
            Health::Unusable(Unusable::Held)
        } else if !self.is_synced() {
            Health::Unusable(Unusable::NotSynced)
        } else if self.queue >= QUEUE_UNUSABLE {
            Health::Unusable(Unusable::Behind)
        } else if self.queue >= QUEUE_LAGGING {
            Health::Lagging
        } else {
            Health::Good
        }
    }
}

/// Tells whether a server is a node of a cluster, and takes part in it: only then mariabackup finds
/// a position.
pub fn is_node(session: &mut Session) -> Result<bool> {
    let variables = session
        .pairs("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider')")?;
    let status = session.pairs("SHOW GLOBAL STATUS LIKE 'wsrep\\_local\\_state\\_uuid'")?;
    Ok(is_member(&variables, &status))
}

fn is_member(variables: &BTreeMap<String, String>, status: &BTreeMap<String, String>) -> bool {
    let text = |values: &BTreeMap<String, String>, name: &str| {
        values.get(name).filter(|value| !value.is_empty()).cloned()
    };
    let has_provider = text(variables, "wsrep_provider").is_some_and(|path| path != "none");
    let has_state = text(status, "wsrep_local_state_uuid").is_some();
    is_on(variables, "wsrep_on") && has_provider && has_state
}

fn is_on(values: &BTreeMap<String, String>, name: &str) -> bool {
    values.get(name).is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Node {
        let status = [
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_ready", "ON"),
            ("wsrep_connected", "ON"),
            ("wsrep_local_state", "4"),
            ("wsrep_local_state_comment", "Synced"),
            ("wsrep_cluster_size", "3"),
            ("wsrep_local_recv_queue", "7"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = [("wsrep_node_name", "db2"), ("wsrep_desync", "OFF")];
        Node::read(&variables.map(owned).into(), &status.map(owned).into())
    }

    #[test]
    fn the_state_of_a_node_decides_whether_it_can_be_used() {
        type Change = fn(&mut Node);
        let cases: [(Change, Health); 12] = [
            (|_| (), Health::Good),
            (|node| node.queue = 99, Health::Good),
            (|node| node.queue = 100, Health::Lagging),
            (|node| node.queue = 1_000, Health::Unusable(Unusable::Behind)),
            (|node| node.status = "non-Primary".to_owned(), Health::Unusable(Unusable::NoQuorum)),
            (|node| node.status.clear(), Health::Unusable(Unusable::NoQuorum)),
            (|node| node.is_ready = false, Health::Unusable(Unusable::NotReady)),
            (|node| node.is_connected = false, Health::Unusable(Unusable::NotReady)),
            (|node| node.state = 2, Health::Unusable(Unusable::NotSynced)),
            (
                |node| node.state_words = "Inconsistent".to_owned(),
                Health::Unusable(Unusable::NotSynced),
            ),
            (|node| node.desyncs = 1, Health::Unusable(Unusable::Held)),
            (|node| node.is_desynced = true, Health::Unusable(Unusable::Held)),
        ];
        for (change, expected) in cases {
            let mut node = good();
            change(&mut node);
            assert_eq!(node.health(), expected, "{node:?}");
        }
    }

    #[test]
    fn a_node_has_a_provider_and_a_state() {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(owned).collect::<BTreeMap<_, _>>();
        let state = [("wsrep_local_state_uuid", "9a")];
        let on = [("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera/libgalera_smm.so")];
        let none = [("wsrep_on", "ON"), ("wsrep_provider", "none")];
        let off = [("wsrep_on", "OFF"), on[1]];
        for (variables, status, expected) in [
            (&on[..], &state[..], true),
            (&on, &[], false),
            (&none, &state, false),
            (&off, &state, false),
            (&[], &[], false),
        ] {
            assert_eq!(is_member(&map(variables), &map(status)), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_nothing() {
        let node = Node::read(&BTreeMap::new(), &BTreeMap::new());
        assert_eq!(node.health(), Health::Unusable(Unusable::NoQuorum));
        assert_eq!(node.cached_from, None);
    }
}
