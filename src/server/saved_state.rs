//! The state that a node of a Galera cluster has saved: the file `grastate.dat`.
//!
//! ```text
//! # GALERA saved state
//! version: 2.1
//! uuid:    92f7e289-eb94-11f1-96f8-ee18e288f3c2
//! seqno:   151174
//! safe_to_bootstrap: 0
//! ```
//!
//! Source: `galera/src/saved_state.cpp` of galera 26.4. A node that runs, or that was killed, has
//! -1 for its position.

use serde::Deserialize;
use serde::Serialize;

/// The id of a cluster that a node without data has.
pub const NO_CLUSTER: &str = "00000000-0000-0000-0000-000000000000";

/// A position in the history of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The id of the history.
    pub uuid: String,
    /// The number of the newest write set; -1 where it is not known.
    pub seqno: i64,
}

impl Position {
    /// Tells whether the position is known.
    pub fn is_known(&self) -> bool {
        self.seqno >= 0 && self.uuid != NO_CLUSTER && !self.uuid.is_empty()
    }
}

/// What the file `grastate.dat` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The position at the last orderly stop.
    #[serde(flatten)]
    pub position: Position,
    /// Whether the node was the last one that stopped.
    pub safe_to_bootstrap: bool,
}

/// Reads the text of `grastate.dat`.
pub fn saved_state(text: &str) -> Option<SavedState> {
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
