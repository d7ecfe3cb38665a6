//! A snapshot: what was backed up, how far it can be trusted, and the roots of everything else
//! (FORMAT.md 8).
//!
//! The descriptive part is JSON, so that members can be added and any language can read it; the
//! roots and the end of the pack table are binary, so that a snapshot of a large lineage stays
//! within 64 KiB.

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;
use crate::base::ids::Entry;
use crate::base::monitor::Counts;
use crate::base::num::u64_of;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;
use crate::format::binlog::BinlogIndex;
use crate::format::pack_table::TableTail;
use crate::format::record::MemberRecord;
use crate::format::record::put_root;
use crate::format::record::take_root;

const WHAT: &str = "snapshot";
/// The rules by which runs with an intent announce themselves (FORMAT.md 10.1).
pub const PROTOCOL: u32 = 1;
const INTERNAL_MEMBERS_MAX: usize = 16;
/// The name of the internal member with the messages of the producer.
pub const LOG: &str = "log";

/// The degree to which a snapshot can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check passed and the producer ended well.
    Complete,
    /// Every check passed; the producer's end could not be seen.
    Unattested,
    /// Whole, but pages were wrong at the source.
    CorruptPages,
    /// No other verdict applies to the snapshot.
    Partial,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Unattested => "unattested",
            Self::CorruptPages => "corrupt-pages",
            Self::Partial => "partial",
        })
    }
}

/// The format of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum StreamFormat {
    /// The stream of `mariabackup --stream=mbstream`.
    Mbstream,
    /// An SQL dump of `mariadb-dump` or `mysqldump`.
    Sql,
    /// A tar of any of its formats.
    Tar,
    /// Anything else, kept as one member.
    Raw,
    /// A binary log that its server has closed, kept as one member.
    Binlog,
}

impl StreamFormat {
    /// Tells whether a stream of it is one member, kept as it is.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Raw | Self::Binlog)
    }
}

impl std::fmt::Display for StreamFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mbstream => "mbstream",
            Self::Sql => "sql",
            Self::Tar => "tar",
            Self::Raw => "raw",
            Self::Binlog => "binlog",
        })
    }
}

/// The kind of a snapshot: full, incremental or a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// A stream that stands alone.
    Full,
    /// A stream that needs the snapshots in `requires`.
    Incremental,
    /// The snapshot has what a run had stored so far.
    Checkpoint,
}

/// One line of the checklist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Name of what was checked.
    pub name: String,
    /// passed, failed, unknown or skipped.
    pub outcome: String,
    /// The result of the check, in words.
    pub detail: String,
}

/// The urgency of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is worth knowing.
    Note,
    /// An operator should look at it.
    Warning,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
        })
    }
}

/// A finding as it is stored; a later version may use codes that this one does not know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The subject of the finding, as a stable word.
    pub code: String,
    /// The object that it is about.
    pub object: String,
    /// The problem that was found with the object, in words.
    pub text: String,
    /// The urgency of the finding.
    pub severity: Severity,
    /// It would be a warning, but the user has accepted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// Positions and versions that the stream states about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Positions {
    /// `backup_type` of the checkpoints file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_type: Option<String>,
    /// LSN from which pages are contained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_lsn: Option<u64>,
    /// Checkpoint LSN at the start of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_lsn: Option<u64>,
    /// End of the copied redo log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_lsn: Option<u64>,
    /// Name of the binary log file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binlog_file: Option<String>,
    /// Position in the binary log file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binlog_position: Option<u64>,
    /// GTID of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// Position in Galera's history, as `uuid:seqno`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub galera: Option<String>,
    /// Version of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Version of the backup tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
    /// When the backup began, as the tool wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended, as the tool wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// The server's page size, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u64>,
}

/// The snapshot of another repository from which this one was taken over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The id of that repository, 32 hexadecimal digits.
    pub repository: String,
    /// The hash of the snapshot, 64 hexadecimal digits.
    pub snapshot: String,
}

/// The JSON part of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Description {
    /// The format version that its writer followed.
    pub format_version: u16,
    /// The run that wrote it, 32 hexadecimal digits.
    pub run: String,
    /// Fences that the writer had seen.
    pub epoch: u64,
    /// Number of the snapshot in the lineage.
    pub sequence: u64,
    /// The snapshot before it in the lineage.
    #[serde(rename = "predecessor")]
    pub parent: Option<String>,
    /// The name of the source.
    pub source: String,
    /// The format of the stream.
    pub format: StreamFormat,
    /// The kind: full, incremental or a checkpoint.
    pub kind: SnapshotKind,
    /// When it was written, seconds since 1970.
    pub time: u64,
    /// When its run began.
    pub started: u64,
    /// The degree to which it can be trusted.
    pub verdict: Verdict,
    /// The reasons why it is not complete, in words.
    pub reasons: Vec<String>,
    /// The checks that were made, with their outcomes.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The most urgent findings; all of them are in the internal member `findings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Findings that are in the internal member only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_findings: u64,
    /// The format that streams of this source have, if it is not that of the newest snapshot that
    /// is not partial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_format: Option<StreamFormat>,
    /// The acceptances in force, as `CODE` or `CODE:GLOB`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// Snapshots without which it can't be restored.
    #[serde(default)]
    pub requires: Vec<String>,
    /// True if the release list names every entry of the parent that is no longer used.
    pub releases_complete: bool,
    /// Words that the user attached.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The host that wrote it.
    #[serde(default)]
    pub host: String,
    /// The program that wrote it, with its version.
    #[serde(default)]
    pub program: String,
    /// Counters of the run that wrote it.
    #[serde(default)]
    pub counters: Counts,
    /// The positions that the stream states.
    #[serde(default)]
    pub positions: Positions,
    /// Bytes of the stream, so that a plain stream can be planned without its script.
    pub stream_bytes: u64,
    /// Bytes that the run added to the repository, this object not included.
    pub stored_bytes: u64,
    /// The rules by which its run announced itself; absent of a run without an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// The snapshot in the repository from which it was taken over, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The binary log that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog: Option<BinlogIndex>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Description {
    /// Returns how many of the findings are warnings, as far as the description names them.
    pub fn warnings(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Warning).count()
    }
}

/// The root of a member table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRoot {
    /// Levels of pages, at least 1.
    pub levels: u8,
    /// Members in the table.
    pub members: u64,
    /// Entry of the topmost page.
    pub root: Entry,
}

/// A snapshot as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The JSON part of the snapshot.
    pub about: Description,
    /// Internal members: script, releases, findings, log.
    pub internal: Vec<MemberRecord>,
    /// The member table; `None` if there is no member.
    pub table: Option<TableRoot>,
    /// The end of the pack table.
    pub packs: TableTail,
}

impl Snapshot {
    /// Returns the internal member of this name.
    pub fn internal(&self, name: &str) -> Option<&MemberRecord> {
        self.internal.iter().find(|record| record.key.path == name.as_bytes())
    }

    /// Returns the text that is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(&self.about).expect("strings and numbers can be written");
        let mut out = Vec::with_capacity(json.len() + 4096);
        put_bytes(&mut out, &json);
        put_varint(&mut out, u64_of(self.internal.len()));
        for record in &self.internal {
            record.encode(&mut out);
        }
        match &self.table {
            None => out.push(0),
            Some(table) => {
                out.push(table.levels);
                put_varint(&mut out, table.members);
                put_root(&mut out, &table.root);
            }
        }
        self.packs.encode(&mut out);
        out
    }

    /// Reads the text of a snapshot.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, text);
        let json = reader.bytes()?;
        let about: Description = serde_json::from_slice(json)
            .map_err(|_| reader.malformed("its description is not the JSON of this version"))?;
        let count = reader.count(1)?;
        if count > INTERNAL_MEMBERS_MAX {
            return Err(reader.malformed("too many internal members"));
        }
        let internal =
            (0..count).map(|_| MemberRecord::decode(&mut reader)).collect::<Result<_, _>>()?;
        let levels = reader.u8()?;
        let table = if levels == 0 {
            None
        } else {
            Some(TableRoot { levels, members: reader.varint()?, root: take_root(&mut reader)? })
        };
        let packs = TableTail::decode(&mut reader)?;
        reader.finish()?;
        Ok(Self { about, internal, table, packs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            about: Description {
                format_version: 1,
                run: "00".into(),
                epoch: 0,
                sequence: 7,
                parent: None,
                source: "db1".into(),
                format: StreamFormat::Mbstream,
                kind: SnapshotKind::Full,
                time: 1,
                started: 1,
                verdict: Verdict::Unattested,
                reasons: vec!["from a pipe".into()],
                checks: Vec::new(),
                findings: Vec::new(),
                more_findings: 0,
                expected_format: None,
                accepted: Vec::new(),
                requires: Vec::new(),
                releases_complete: true,
                tags: vec!["nightly".into()],
                host: "db1".into(),
                program: "haulout".into(),
                counters: Counts { stream_bytes: 9, ..Counts::default() },
                positions: Positions { to_lsn: Some(42), ..Positions::default() },
                stream_bytes: 9,
                stored_bytes: 3,
                protocol: None,
                origin: None,
                binlog: None,
            },
            internal: Vec::new(),
            table: None,
            packs: TableTail::default(),
        }
    }

    #[test]
    fn a_snapshot_comes_back() {
        assert_eq!(Snapshot::decode(&snapshot().encode()), Ok(snapshot()));
    }

    #[test]
    fn members_of_the_description_that_are_not_known_are_ignored() {
        let mut value = serde_json::to_value(snapshot().about).unwrap();
        value["added_in_version_3"] = 1.into();
        assert_eq!(serde_json::from_value::<Description>(value).unwrap(), snapshot().about);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _unused = Snapshot::decode(&bytes);
        }
    }
}
