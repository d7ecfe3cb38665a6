//! A node that joins its cluster again: its position, and whether a donor can send what it lacks.
//!
//! Tried with Galera 26.4: with UUID and position in `grastate.dat` a node joins by IST if a donor
//! still has the write set after it; without, or if the donor has not, by SST, which wipes the
//! directory.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::server::galera::Node;

/// The files of a backup that say where its node was; the name of the older first.
const POSITIONS: [&str; 4] = [
    "xtrabackup_galera_info",
    "mariadb_backup_galera_info",
    "donor_galera_info",
    "mariadb_backup_donor_galera_info",
];

/// The name of the file in which a node keeps its position.
pub(super) const STATE: &str = "grastate.dat";

/// Other files in which a node keeps what it knows of its cluster.
pub(super) const VIEW: &str = "gvwstate.dat";

/// The position of a node in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The id of the cluster's data.
    pub cluster: String,
    /// The number of the last write set.
    pub position: u64,
}

/// What the nodes of the cluster say.
#[derive(Debug, Clone, Default)]
pub struct Donors {
    /// The addresses with what is known of each, or why it could not be asked.
    pub nodes: Vec<(String, Result<Node, String>)>,
}

impl Joining {
    /// Reads `UUID:SEQNO`, as backups have it, with or without a domain after it.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.split_whitespace().next()?;
        let (cluster, position) = first.rsplit_once(':')?;
        let parts: Vec<usize> = cluster.split('-').map(str::len).collect();
        let is_id = parts == [8, 4, 4, 4, 12]
            && cluster.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let position = position.parse().ok()?;
        is_id.then(|| Self { cluster: cluster.to_owned(), position })
    }

    /// Reads the position from the files of a prepared backup.
    pub(super) fn of_backup(directory: &Path) -> Option<Self> {
        let read = |name: &&str| fs::read_to_string(directory.join(name)).ok();
        POSITIONS.iter().filter_map(read).find_map(|text| Self::parse(&text))
    }

    /// Returns the contents of `grastate.dat`.
    pub(super) fn state(&self) -> String {
        let Self { cluster, position } = self;
        format!(
            "# GALERA saved state\nversion: 2.1\nuuid:    {cluster}\nseqno:   {position}\n\
             safe_to_bootstrap: 0\n"
        )
    }

    /// Writes it into a data directory.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join(STATE), self.state())
    }
}

impl Donors {
    /// Says how a node with this position will join: the words, and whether it is by IST.
    pub fn judge(&self, joining: &Joining) -> (String, bool) {
        let Joining { cluster, position } = joining;
        let next = position.saturating_add(1);
        let reached =
            self.nodes.iter().filter_map(|(name, node)| Some((name, node.as_ref().ok()?)));
        let mut reached = reached.peekable();
        if reached.peek().is_none() {
            let why =
                self.nodes.first().map_or("none was named (--donor HOST:PORT)", |(_, node)| {
                    node.as_ref().err().map_or("", String::as_str)
                });
            let what = "whether the cluster can send what is missing is not known";
            return (format!("{what}: no donor was asked: {why}"), false);
        }
        let mut words = Vec::new();
        for (name, node) in reached {
            if node.cluster != *cluster {
                words.push(format!("{name} is of another cluster ({})", node.cluster));
                continue;
            }
            match node.cached_from {
                Some(oldest) if oldest <= next => {
                    let behind = node.committed.saturating_sub(*position);
                    let what = format!(
                        "it will join by IST: {name} has write sets from {oldest} on, {behind} \
                         are to be sent"
                    );
                    return (what, true);
                }
                Some(oldest) => words.push(format!("{name} has write sets from {oldest} on only")),
                None => words.push(format!("{name} does not say what it has")),
            }
        }
        let why = words.join("; ");
        let what =
            format!("it will be SST, which wipes what is restored: write set {next} is gone");
        (format!("{what}: {why}"), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "92f7e289-eb94-11f1-96f8-ee18e288f3c2";

    fn donors(cluster: &str, cached_from: u64) -> Donors {
        let node = Node {
            cluster: cluster.to_owned(),
            cached_from: Some(cached_from),
            committed: 200,
            ..Node::default()
        };
        Donors { nodes: vec![("db2".to_owned(), Ok(node))] }
    }

    #[test]
    fn positions_are_read_in_both_forms() {
        let expected = Some(Joining { cluster: CLUSTER.to_owned(), position: 151_174 });
        assert_eq!(Joining::parse(&format!("{CLUSTER}:151174 7-1\n")), expected);
        assert_eq!(Joining::parse(&format!("{CLUSTER}:151174 0")), expected);
        assert_eq!(Joining::parse(&format!("{CLUSTER}:-1")), None);
        assert_eq!(Joining::parse("00000000:1"), None);
        assert_eq!(Joining::parse(""), None);
    }

    #[test]
    fn a_donor_that_reaches_back_sends_what_is_missing() {
        let joining = Joining { cluster: CLUSTER.to_owned(), position: 100 };
        let (words, is_ist) = donors(CLUSTER, 101).judge(&joining);
        assert!(is_ist && words.contains("100 are to be sent"), "{words}");
        let (words, is_ist) = donors(CLUSTER, 102).judge(&joining);
        assert!(!is_ist && words.contains("it will be SST"), "{words}");
        let (words, is_ist) = donors("another", 1).judge(&joining);
        assert!(!is_ist && words.contains("of another cluster"), "{words}");
        let (words, is_ist) = Donors::default().judge(&joining);
        assert!(!is_ist && words.contains("not known"), "{words}");
    }
}
