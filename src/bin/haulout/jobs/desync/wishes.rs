//! What the configuration says about the desync of a cluster's node.

use std::path::Path;

use crate::config::tree::Table;

/// When a node is desynced for its backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Once it can't keep up.
    Slow,
    /// From the beginning of the backup.
    Always,
}

impl When {
    /// Reads the word for it; nothing if a node is never desynced.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "slow" => Some(Self::Slow),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// When a node is desynced, and what is waited for afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// When it is desynced.
    pub(crate) when: When,
    /// The command that tells whether the node is in use again; empty if there is none.
    pub(crate) ready: Vec<String>,
}

impl Wishes {
    /// Reads the section of a cluster; nothing if its nodes are never desynced.
    pub(crate) fn of(cluster: &Table) -> Option<Self> {
        let when = cluster.text("desync").and_then(When::of_word)?;
        Some(Self { when, ready: cluster.texts("ready") })
    }
}

/// Returns the option file with the account that may desync a node of a cluster.
pub(crate) fn account<'c>(cluster: &'c Table, source: &'c Table) -> Option<&'c Path> {
    let named = cluster.text("desync_defaults_file").or_else(|| source.text("defaults_file"));
    named.map(Path::new)
}
