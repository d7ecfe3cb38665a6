//! Reads from the messages of a server why it is down.
//!
//! Sources: messages of mariadbd 10.11 and galera 26.4 that could not start, each provoked once;
//! `sql/wsrep_mysqld.cc` for the position.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::server::saved_state::Position;

/// The kind of a reason why a node is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
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
    pub fn is_about_data(self) -> bool {
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
    pub fn words(self) -> &'static str {
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
pub struct Cause {
    /// The kind of the reason.
    pub kind: CauseKind,
    /// What was seen: a line of a log, a file, a port.
    pub seen: String,
}

/// The words of a message and what they mean; the first that fits counts.
const SIGNS: [(&str, CauseKind); 20] = [
    ("No space left on device", CauseKind::Disk),
    ("error number 28", CauseKind::Disk),
    ("Disk is full", CauseKind::Disk),
    ("Permission denied", CauseKind::Rights),
    ("error number 13", CauseKind::Rights),
    ("Errcode: 13", CauseKind::Rights),
    ("Address already in use", CauseKind::Port),
    ("is another server already running", CauseKind::Port),
    ("unknown variable", CauseKind::Configuration),
    ("unknown option", CauseKind::Configuration),
    ("ambiguous option", CauseKind::Configuration),
    ("unknown suffix", CauseKind::Configuration),
    ("Error while setting value", CauseKind::Configuration),
    ("dlopen", CauseKind::Provider),
    ("wsrep_load()", CauseKind::Provider),
    ("orrupt", CauseKind::CorruptData),
    ("checksum mismatch", CauseKind::CorruptData),
    ("is in the future", CauseKind::CorruptData),
    ("Missing FILE_CHECKPOINT", CauseKind::CorruptData),
    ("was not found at", CauseKind::CorruptData),
];

/// The message before the messages of one start of a server.
const START: &str = "starting as process";

/// The words before the position that a server has recovered.
const RECOVERED: &str = "WSREP: Recovered position:";

/// Most characters of a message that is kept.
pub const SEEN_CHARS_MAX: usize = 300;

/// Returns the causes that the last start of a server tells, each kind once.
pub fn causes(text: &str) -> Vec<Cause> {
    let start = text.rfind(START).unwrap_or(0);
    let mut kinds = BTreeSet::new();
    let mut causes = Vec::new();
    for line in text[start..].lines() {
        if !line.contains("ERROR]") && !line.contains("was not found at") {
            continue;
        }
        let Some(kind) = kind_of(line) else { continue };
        if kinds.insert(kind) {
            causes.push(Cause { kind, seen: shortened(line) });
        }
    }
    causes
}

fn kind_of(line: &str) -> Option<CauseKind> {
    SIGNS.iter().find(|(words, _)| line.contains(words)).map(|(_, kind)| *kind)
}

/// Returns a line without its time, and not too long.
fn shortened(line: &str) -> String {
    let words = line.find('[').map_or(line, |at| &line[at..]);
    words.chars().take(SEEN_CHARS_MAX).collect()
}

/// Returns the last message that is an error.
pub fn last_error(text: &str) -> Option<String> {
    text.lines().rfind(|line| line.contains("ERROR]")).map(shortened)
}

/// Returns the position that a server has recovered: `UUID:SEQNO`, after a comma the GTID.
pub fn recovered(text: &str) -> Option<Position> {
    let line = text.lines().rfind(|line| line.contains(RECOVERED))?;
    let (_, position) = line.split_once(RECOVERED)?;
    let position = position.trim().split([',', ' ']).next()?;
    let (uuid, seqno) = position.rsplit_once(':')?;
    Some(Position { uuid: uuid.to_owned(), seqno: seqno.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_start_counts() {
        let text = "2026-11-01 [Note] mariadbd starting as process 1\n\
            2026-11-01 0 [ERROR] InnoDB: Operating system error number 13 in a file operation.\n\
            2026-11-02 [Note] mariadbd starting as process 2\n\
            2026-11-02 0 [ERROR] Can't start server: Bind on TCP/IP port: Address already in use\n\
            2026-11-02 0 [ERROR] Do you already have another server running on port: 3306 ?\n\
            2026-11-02 0 [ERROR] Aborting\n";
        let found = causes(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, CauseKind::Port);
        assert!(found[0].seen.starts_with("[ERROR] Can't start"), "{found:?}");
        assert_eq!(last_error(text).unwrap(), "[ERROR] Aborting");
    }

    #[test]
    fn every_kind_has_its_messages() {
        for (line, kind) in [
            ("[ERROR] InnoDB: Database page corruption on disk", CauseKind::CorruptData),
            ("[ERROR] mariadbd: unknown variable 'inodb_pool=1'", CauseKind::Configuration),
            ("[ERROR] WSREP: wsrep_load(): dlopen(): /x.so: cannot open", CauseKind::Provider),
            ("[ERROR] mariadbd: Disk is full writing './bin.000001'", CauseKind::Disk),
            ("[ERROR] mariadbd: Can't find file: './mysql/' (Errcode: 13", CauseKind::Rights),
        ] {
            let found = causes(line);
            assert_eq!(found.iter().map(|cause| cause.kind).collect::<Vec<_>>(), [kind], "{line}");
        }
        assert_eq!(causes("[Note] corrupt is only a word here\n"), []);
        assert_eq!(causes("[ERROR] something else\n"), []);
    }

    #[test]
    fn a_recovered_position_may_have_a_gtid() {
        for (text, seqno) in [
            (
                "x [Note] WSREP: Recovered position: 92f7e289-eb94-11f1-96f8-ee18e288f3c2:151174",
                151_174,
            ),
            ("x WSREP: Recovered position: 92f7e289-eb94-11f1-96f8-ee18e288f3c2:7,7-1-5\n", 7),
            ("x WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1\n", -1),
        ] {
            assert_eq!(recovered(text).unwrap().seqno, seqno, "{text}");
        }
        assert_eq!(recovered("WSREP: Recovered position: none"), None);
        assert_eq!(recovered("nothing"), None);
    }
}
