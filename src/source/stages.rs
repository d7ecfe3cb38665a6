//! The stages in which a producer makes its server stand still, as its messages name them.
//!
//! Near its end mariabackup locks the server and copies what has to be copied under that lock:
//! table definitions, tables without a log, the rest of the redo log. A node of a Galera cluster
//! applies nothing meanwhile, and commits stand still for a part of the time on any server. How
//! long the lock lasts depends on the reader of the stream, so the reader has to know of it, and
//! the lines on standard error are the only sign:
//!
//! | producer | line that names the lock | line with which the stage begins |
//! |---|---|---|
//! | mariabackup 10.11.14 | | `Acquired locks for BACKUP STAGE BLOCK_DDL` |
//! | mariabackup from 10.4 | `Acquiring BACKUP LOCKS` | `Starting to backup non-InnoDB ..` |
//! | mariabackup, `XtraBackup` | `Executing FLUSH TABLES WITH READ LOCK` | the same |
//! | `XtraBackup` of Percona Server | `Executing LOCK TABLES FOR BACKUP` | the same |
//!
//! It is over with `Executing BACKUP STAGE END`, before 10.4 with `Executing UNLOCK TABLES`.
//!
//! The stages `START` and `FLUSH` of the first kind stop nothing that matters and last as long as
//! the copying of all tables: they are not the stage meant here. Without `--no-lock` each producer
//! of the table names a lock; one that names none is of another kind, or its messages go
//! elsewhere.
//!
//! This is text only: no threads, no time. What is done about a stage is in
//! [`outlet`](super::outlet).

use std::ffi::OsString;

use crate::base::producer::Server;

/// The line with which copying under a lock begins, in producers that take all locks at once.
const COPIES: &str = "Starting to backup non-InnoDB tables and files";

/// The lines that name a lock, and its name.
const LOCKS: [(&str, &str); 3] = [
    ("Acquiring BACKUP LOCKS", "BACKUP STAGE BLOCK_COMMIT"),
    ("Executing FLUSH TABLES WITH READ LOCK", "FLUSH TABLES WITH READ LOCK"),
    ("Executing LOCK TABLES FOR BACKUP", "LOCK TABLES FOR BACKUP"),
];

/// The lines with which the stage begins, or goes on under another name.
const BEGINNINGS: [(&str, &str); 2] = [
    ("Acquired locks for BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_DDL"),
    ("Acquired locks for BACKUP STAGE BLOCK_COMMIT", "BACKUP STAGE BLOCK_COMMIT"),
];

/// The lines with which it is over.
const ENDS: [&str; 3] =
    ["Executing BACKUP STAGE END", "Executing UNLOCK TABLES", "All tables unlocked"];

/// Returns what the command line of a producer says about its server. The position in the cluster
/// is asked for of a node only.
pub fn server_of(command: &[OsString]) -> Server {
    let asks = command.iter().any(|argument| {
        let argument = argument.to_string_lossy().replace('_', "-");
        // A script for the shell is one argument.
        argument
            .split_whitespace()
            .map(|word| word.trim_matches(['\'', '"']))
            .any(|word| word == "--galera-info" || word == "--galera-info=1")
    });
    if asks { Server::ClusterNode } else { Server::Unknown }
}

/// A line that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// The stage begins, or has another name from now on.
    InStage(&'static str),
    /// The stage is over.
    StageOver,
    /// The server is a node of a cluster, since its position there is written.
    OfClusterNode,
}

/// Reads the messages of a producer, line by line.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// The last lock that was named.
    lock: Option<&'static str>,
    in_stage: bool,
}

impl Stages {
    /// Reads a line; nothing if it does not matter.
    pub(super) fn read(&mut self, line: &str) -> Option<Message> {
        if let Some((_, name)) = LOCKS.iter().find(|(words, _)| line.contains(words)) {
            self.lock = Some(name);
            return None;
        }
        if let Some((_, name)) = BEGINNINGS.iter().find(|(words, _)| line.contains(words)) {
            self.in_stage = true;
            return Some(Message::InStage(name));
        }
        if line.contains(COPIES)
            && !self.in_stage
            && let Some(name) = self.lock
        {
            self.in_stage = true;
            return Some(Message::InStage(name));
        }
        if self.in_stage && ENDS.iter().any(|words| line.contains(words)) {
            *self = Self::default();
            return Some(Message::StageOver);
        }
        line.contains("galera_info").then_some(Message::OfClusterNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what the lines mean, each with its number.
    fn read(lines: &[&str]) -> Vec<(usize, Message)> {
        let mut stages = Stages::default();
        let meant = lines.iter().enumerate();
        meant.filter_map(|(number, line)| Some((number, stages.read(line)?))).collect()
    }

    #[test]
    fn stages_taken_one_by_one_begin_where_the_server_stands_still() {
        // Of mariabackup 10.11.14.
        let lines = [
            "[00] 2026-11-30 16:45:03 Starting BACKUP STAGE START",
            "[00] 2026-11-30 16:45:03 Acquiring BACKUP LOCKS...",
            "[00] 2026-11-30 16:45:03 Acquired locks for BACKUP STAGE START",
            "[00] 2026-11-30 16:45:04 Acquired locks for BACKUP STAGE FLUSH",
            "[00] 2026-11-30 16:45:05 Finished BACKUP STAGE FLUSH",
            "[00] 2026-11-30 16:45:05 Started BACKUP STAGE BLOCK_DDL",
            "[00] 2026-11-30 16:45:05 Acquired locks for BACKUP STAGE BLOCK_DDL",
            "[00] 2026-11-30 16:45:05 Starting to backup non-InnoDB tables and files",
            "[00] 2026-11-30 16:45:06 Finished BACKUP STAGE BLOCK_DDL",
            "[00] 2026-11-30 16:45:06 Acquired locks for BACKUP STAGE BLOCK_COMMIT",
            "[00] 2026-11-30 16:45:06 Streaming xtrabackup_galera_info",
            "[00] 2026-11-30 16:45:11 Starting BACKUP STAGE END",
            "[00] 2026-11-30 16:45:11 Executing BACKUP STAGE END",
            "[00] 2026-11-30 16:45:11 All tables unlocked",
            "[00] 2026-11-30 16:45:11 completed OK!",
        ];
        let expected = [
            (6, Message::InStage("BACKUP STAGE BLOCK_DDL")),
            (9, Message::InStage("BACKUP STAGE BLOCK_COMMIT")),
            (10, Message::OfClusterNode),
            (12, Message::StageOver),
        ];
        assert_eq!(read(&lines), expected);
    }

    #[test]
    fn locks_taken_at_once_begin_with_what_is_copied_under_them() {
        for (lock, name, end) in [
            ("Acquiring BACKUP LOCKS...", "BACKUP STAGE BLOCK_COMMIT", "BACKUP STAGE END"),
            (
                "Executing FLUSH TABLES WITH READ LOCK...",
                "FLUSH TABLES WITH READ LOCK",
                "UNLOCK TABLES",
            ),
            ("Executing LOCK TABLES FOR BACKUP...", "LOCK TABLES FOR BACKUP", "UNLOCK TABLES"),
        ] {
            let end = format!("[00] 2024-02-02 13:52:29 Executing {end}");
            let lines =
                [lock, "[01] Streaming ./a/b.ibd", COPIES, "Finished backing up", &end, COPIES];
            let expected = [(2, Message::InStage(name)), (4, Message::StageOver)];
            assert_eq!(read(&lines), expected);
        }
    }

    #[test]
    fn without_a_lock_there_is_no_stage() {
        assert_eq!(read(&[COPIES, "Executing BACKUP STAGE END", "completed OK!"]), []);
    }

    #[test]
    fn a_node_of_a_cluster_is_one_of_which_the_position_is_asked_for() {
        let server =
            |words: &[&str]| server_of(&words.iter().map(OsString::from).collect::<Vec<_>>());
        for words in [
            &["mariabackup", "--backup", "--galera-info"][..],
            &["mariabackup", "--galera_info"],
            &["mariabackup", "--galera-info=1"],
            &["sh", "-c", "mariabackup --backup --galera-info 2>&1"],
        ] {
            assert_eq!(server(words), Server::ClusterNode, "{words:?}");
        }
        for words in
            [&["mariabackup", "--backup"][..], &["mariabackup", "--galera-info=0"], &["cat"], &[]]
        {
            assert_eq!(server(words), Server::Unknown, "{words:?}");
        }
    }
}
