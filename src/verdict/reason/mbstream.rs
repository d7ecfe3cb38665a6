//! The reasons why an mbstream is not a complete backup: which file, what is wrong with it, and
//! what to do.

use std::fmt;

use crate::format::snapshot::Verdict;
use crate::parse::fault::Fault;

/// The text about a temporary file that was lost.
const NOTES_LOST: &str = "a temporary file in the directory TMPDIR could not be read back, so that \
                          lost files of tables would go unnoticed";

/// The advice about a table without a tablespace.
const NO_TABLESPACE_ADVICE: &str = "if its tablespace was discarded on purpose, run backup with \
     --accept discarded-tablespace:SCHEMA/TABLE, else it was most likely renamed while it was \
     copied, run the backup again";

/// A reason why an mbstream is not a complete backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MbstreamReason {
    /// The parser found a fault.
    Fault(Fault),
    /// More faults than are kept.
    MoreFaults(u64),
    /// The producer's messages do not end in `completed OK!`.
    NotCompletedOk,
    /// Nobody read the producer's messages.
    MessagesUnseen,
    /// A file that every backup has is not there, or not to its end.
    MissingFile(String),
    /// A describing file is there but can't be one.
    UnreadableFile {
        /// Name of the describing file.
        name: &'static str,
        /// The part that the file lacks to be one.
        lacks: &'static str,
    },
    /// Something follows the file that is written last.
    AfterTheEnd(String),
    /// The backup is of a kind that can't come from a running server.
    WrongType(String),
    /// The redo log's length does not fit the LSN at which the backup ended.
    RedoLength {
        /// Bytes that there should be.
        expected: u64,
        /// Number of bytes that arrived.
        found: u64,
    },
    /// The redo log begins after the backup's checkpoint.
    RedoStart {
        /// `to_lsn` of the checkpoints file.
        to_lsn: u64,
        /// The position at which the log begins.
        found: u64,
    },
    /// The redo log's head, or its first record, is damaged.
    RedoHead(String),
    /// A table's data file is not there.
    MissingTableFile {
        /// Name of the table and its database.
        table: String,
        /// The suffix of the file's name.
        suffix: &'static str,
    },
    /// A table has no tablespace, and its rows are in no other.
    MissingTablespace(String),
    /// A table's data file is not there, but its data may be elsewhere.
    PerhapsMissing {
        /// Name of the table and its database.
        table: String,
        /// The suffix of the file's name.
        suffix: &'static str,
    },
    /// A partition of a table is listed and its data file is not there.
    MissingPartition {
        /// Name of the table and its database.
        table: String,
        /// The partition, as file names spell it.
        partition: String,
        /// The suffix of the file's name.
        suffix: &'static str,
    },
    /// A file is there without the definition that was renamed or removed.
    LeftOver(String),
    /// A file that is never empty is.
    EmptyFile(String),
    /// A file was renamed that is not in the stream.
    LostRename {
        /// Name of the file before the rename.
        from: String,
        /// Name of the file after the rename.
        to: String,
    },
    /// More files of one kind of trouble than are kept.
    MoreFiles(u64),
    /// A page is corrupt.
    CorruptPage(String),
    /// More corrupt pages than are named.
    MoreCorruptPages(u64),
    /// The producer passed on pages that it knew to be corrupt.
    CorruptAtSource(String),
    /// A file is shorter than it says, or than its index file says.
    ShortFile {
        /// Path of the short file.
        path: String,
        /// Number of bytes that arrived.
        length: u64,
        /// Bytes that there should be at least.
        stated: u64,
    },
    /// A CSV file has fewer rows than were counted.
    FewRows {
        /// Path of the CSV file.
        path: String,
        /// Number of rows that arrived.
        rows: u64,
        /// Rows that there should be at least.
        stated: u64,
    },
    /// A CSV file ends in the middle of a row.
    CutRow(String),
    /// A page was changed after the redo log ended.
    FutureLsn {
        /// The place of the page, in words.
        page: String,
        /// LSN of the page.
        lsn: u64,
        /// The end of the redo log.
        last_lsn: u64,
    },
    /// Only some databases were backed up.
    Selection,
    /// A file is not what its name says.
    NotWhatItIs {
        /// Path of the file.
        path: String,
        /// The kind of file that it is instead, in words.
        found: &'static str,
    },
    /// The backup says two things that can't both be true.
    Contradiction(String),
    /// Tablespaces have the same number.
    SameSpace {
        /// Number that the tablespaces share.
        space: u32,
        /// The tablespaces, joined by "and".
        names: String,
    },
    /// A tablespace is there and the definition of its table is not.
    NoDefinition(String),
    /// A full backup has none of the server's own tables.
    NoSystemSchema,
    /// The notes about the tables' files could not be read back from a temporary file.
    NotesLost,
    /// A file of changed pages can't be applied, in words.
    BrokenDelta(String),
    /// More broken files of changed pages than are named.
    MoreBrokenDeltas(u64),
}

impl MbstreamReason {
    /// Returns the best verdict that the reason allows.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::PerhapsMissing { .. } | Self::Selection => Verdict::Complete,
            Self::MessagesUnseen => Verdict::Unattested,
            Self::CorruptPage(_) | Self::MoreCorruptPages(_) | Self::CorruptAtSource(_) => {
                Verdict::CorruptPages
            }
            Self::Fault(_)
            | Self::MoreFaults(_)
            | Self::NotCompletedOk
            | Self::MissingFile(_)
            | Self::UnreadableFile { .. }
            | Self::AfterTheEnd(_)
            | Self::WrongType(_)
            | Self::RedoLength { .. }
            | Self::RedoStart { .. }
            | Self::RedoHead(_)
            | Self::MissingTableFile { .. }
            | Self::MissingTablespace(_)
            | Self::MissingPartition { .. }
            | Self::LeftOver(_)
            | Self::EmptyFile(_)
            | Self::LostRename { .. }
            | Self::MoreFiles(_)
            | Self::ShortFile { .. }
            | Self::FewRows { .. }
            | Self::CutRow(_)
            | Self::NotWhatItIs { .. }
            | Self::Contradiction(_)
            | Self::SameSpace { .. }
            | Self::NoDefinition(_)
            | Self::NoSystemSchema
            | Self::NotesLost
            | Self::BrokenDelta(_)
            | Self::MoreBrokenDeltas(_)
            | Self::FutureLsn { .. } => Verdict::Partial,
        }
    }

    /// Returns what to do about it; nothing where another reason says it.
    fn advice(&self) -> &'static str {
        match self {
            Self::Fault(_) | Self::MoreFaults(_) => {
                "the stream was cut or damaged in transit, look at the producer's log, run it again"
            }
            Self::NotCompletedOk => "its last messages say why, run it again once that is fixed",
            Self::MessagesUnseen => "let haulout read the producer's messages",
            Self::MissingFile(_) | Self::UnreadableFile { .. } | Self::EmptyFile(_) => {
                "the producer stopped early or the stream lost it, run the backup again"
            }
            Self::AfterTheEnd(_) => "two streams may have been joined, run the backup again",
            Self::WrongType(_) => "stream it from a running server with mariabackup --backup",
            Self::RedoLength { .. } => {
                "the log was overrun or cut and the backup can't be prepared, run it again, with a \
                 larger innodb_log_file_size if the producer's log says so"
            }
            Self::RedoStart { .. } | Self::RedoHead(_) => {
                "the backup can't be prepared, run it again"
            }
            Self::MissingTableFile { .. }
            | Self::MissingPartition { .. }
            | Self::LostRename { .. } => {
                "the table is not restorable from this backup, most likely it was renamed while it \
                 was copied, run the backup again"
            }
            Self::MissingTablespace(_) => NO_TABLESPACE_ADVICE,
            Self::PerhapsMissing { .. } => {
                "right if the table is in the system tablespace or its tablespace was discarded"
            }
            Self::MoreFiles(_) | Self::NotesLost => "run the backup again",
            Self::CorruptPage(_) | Self::MoreCorruptPages(_) | Self::CorruptAtSource(_) => {
                "run CHECK TABLE at the source and keep the last complete backup until then"
            }
            Self::LeftOver(_) => {
                "the stream lost a part of that change, run the backup again when no table is \
                 being altered"
            }
            Self::ShortFile { .. } => "the stream lost the file's end, run the backup again",
            Self::FewRows { .. } | Self::CutRow(_) => {
                "the stream lost the file's end, run the backup again; if it says so again, run \
                 CHECK TABLE at the source"
            }
            Self::FutureLsn { .. } => "pages and log are not of one backup, run it again",
            Self::Selection => "a restore has only the selected databases",
            Self::NotWhatItIs { .. } => {
                "its contents were lost at the source or in transit, look at the file at the \
                 source, then run the backup again"
            }
            Self::Contradiction(_) => {
                "parts of two backups may have been joined, or one was damaged, run it again"
            }
            Self::SameSpace { .. } => {
                "the server opens only one of them, look for a copied .ibd file at the source, \
                 then run the backup again"
            }
            Self::NoDefinition(_) => {
                "the server can't open the table without it, look for the .frm file at the \
                 source, then run the backup again"
            }
            Self::NoSystemSchema => {
                "without its accounts the server can't be started as it was, look at what the \
                 producer was told to leave out, then run the backup again"
            }
            Self::BrokenDelta(_) => {
                "the stream lost a part of it and it can't be applied, run the backup again"
            }
            Self::MoreBrokenDeltas(_) => "",
        }
    }

    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::MoreFaults(count) => write!(f, "{count} more faults in the stream"),
            Self::NotCompletedOk => f.write_str("the producer did not say 'completed OK!'"),
            Self::MessagesUnseen => f.write_str("the producer's last message was not seen"),
            Self::MissingFile(name) => write!(f, "{name} is not in the stream"),
            Self::UnreadableFile { name, lacks } => write!(f, "{name} has no {lacks}"),
            Self::AfterTheEnd(path) => {
                write!(f, "'{path}' follows xtrabackup_info, which a producer writes last")
            }
            Self::WrongType(kind) => write!(f, "the backup_type is '{kind}'"),
            Self::RedoLength { expected, found } => {
                write!(f, "ib_logfile0 has {found} bytes, its last_lsn calls for {expected}")
            }
            Self::RedoStart { to_lsn, found } => {
                write!(f, "ib_logfile0 begins at LSN {found}, after the checkpoint at {to_lsn}")
            }
            Self::RedoHead(why) => write!(f, "ib_logfile0: {why}"),
            Self::MissingTableFile { table, suffix } | Self::PerhapsMissing { table, suffix } => {
                write!(f, "table '{table}' is defined but has no {suffix} file in the stream")
            }
            Self::MissingTablespace(table) => {
                write!(f, "table '{table}' is defined but has no .ibd file in the stream")
            }
            Self::MissingPartition { table, partition, suffix } => {
                write!(
                    f,
                    "partition '{partition}' of table '{table}' has no {suffix} file in the stream"
                )
            }
            Self::LeftOver(path) => {
                write!(
                    f,
                    "'{path}' is there, but its table was renamed or removed during the backup"
                )
            }
            Self::EmptyFile(path) => write!(f, "'{path}' has no bytes"),
            Self::LostRename { from, to } => {
                write!(f, "'{from}' was renamed to '{to}', neither is in the stream")
            }
            Self::MoreFiles(count) => write!(f, "{count} more files are missing or empty"),
            Self::CorruptPage(page) => write!(f, "corrupt page: {page}"),
            Self::MoreCorruptPages(count) => write!(f, "{count} more corrupt pages"),
            Self::CorruptAtSource(line) => write!(f, "innodb_corrupted_pages lists '{line}'"),
            Self::ShortFile { path, length, stated } => {
                write!(f, "'{path}' has {length} bytes, it should have at least {stated}")
            }
            Self::FewRows { path, rows, stated } => {
                write!(f, "'{path}' has {rows} rows, it should have at least {stated}")
            }
            Self::CutRow(path) => write!(f, "'{path}' ends in the middle of a row"),
            Self::FutureLsn { page, lsn, last_lsn } => {
                write!(f, "{page} has LSN {lsn}, but the redo log ends at {last_lsn}")
            }
            Self::Selection => f.write_str("only some databases were backed up"),
            Self::NotWhatItIs { path, found } => write!(f, "'{path}' {found}"),
            Self::Contradiction(words) => f.write_str(words),
            Self::SameSpace { space, names } => {
                write!(f, "{names} have the same tablespace number, {space}")
            }
            Self::NoDefinition(table) => {
                write!(f, "'{table}.ibd' is in the stream, the definition '{table}.frm' is not")
            }
            Self::NoSystemSchema => f.write_str("there is no table of the schema mysql"),
            Self::NotesLost => f.write_str(NOTES_LOST),
            Self::BrokenDelta(file) => f.write_str(file),
            Self::MoreBrokenDeltas(count) => {
                write!(f, "{count} more files of changed pages are broken")
            }
        }
    }
}

impl fmt::Display for MbstreamReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        match self.advice() {
            "" => Ok(()),
            advice => write!(f, ": {advice}"),
        }
    }
}
