//! The small text files in which a backup describes itself.
//!
//! They come last in a stream, hold what a restore needs (positions, versions), and name what else
//! must be there. MariaDB 11.1 renamed them; both sets of names are known, and so are the suffixes
//! that `--compress` and encryption append.
//!
//! Invariants:
//! - only keys that are asked for are kept. `tool_command`, which may hold a password, is not one
//!   of them, nor are lines that a newline in it may have made;
//! - values are printable ASCII of at most [`VALUE_BYTES_MAX`] bytes, whatever the file holds.
//!
//! It does not believe the files: whether the values fit the stream is judged elsewhere.

use crate::format::snapshot::Positions;

/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 256;

/// The suffixes that compressing and encrypting producers append to the names of files.
const WRAPPERS: [&[u8]; 4] = [b".qp", b".lz4", b".zst", ENCRYPTED];
const ENCRYPTED: &[u8] = b".xbcrypt";

/// Files that describe the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Describing {
    /// LSNs and kind of the backup.
    Checkpoints,
    /// Versions, times and positions.
    Info,
    /// Position in the binary log.
    BinlogInfo,
    /// Position in the cluster's history.
    GaleraInfo,
    /// The server settings that preparing needs.
    BackupCnf,
    /// Pages that the producer found corrupt and passed on.
    CorruptedPages,
}

impl Describing {
    /// Recognises a top-level file by its name, without wrappers.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"xtrabackup_checkpoints" | b"mariadb_backup_checkpoints" => Some(Self::Checkpoints),
            b"xtrabackup_info" | b"mariadb_backup_info" => Some(Self::Info),
            b"xtrabackup_binlog_info" | b"mariadb_backup_binlog_info" => Some(Self::BinlogInfo),
            b"xtrabackup_galera_info" | b"mariadb_backup_galera_info" | b"donor_galera_info" => {
                Some(Self::GaleraInfo)
            }
            b"backup-my.cnf" => Some(Self::BackupCnf),
            b"innodb_corrupted_pages" => Some(Self::CorruptedPages),
            _ => None,
        }
    }

    /// Returns the name to use in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Checkpoints => "xtrabackup_checkpoints (or mariadb_backup_checkpoints)",
            Self::Info => "xtrabackup_info (or mariadb_backup_info)",
            Self::BinlogInfo => "xtrabackup_binlog_info (or mariadb_backup_binlog_info)",
            Self::GaleraInfo => "xtrabackup_galera_info",
            Self::BackupCnf => "backup-my.cnf",
            Self::CorruptedPages => "innodb_corrupted_pages",
        }
    }
}

/// Cuts the suffixes of compression and encryption off a name; returns whether there were any.
pub(super) fn unwrap_name(name: &[u8]) -> (&[u8], bool) {
    let mut inner = name;
    while let Some(rest) = WRAPPERS.iter().find_map(|suffix| inner.strip_suffix(*suffix)) {
        inner = rest;
    }
    (inner, inner.len() < name.len())
}

/// Files that came compressed or encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrapped {
    compressed: u64,
    encrypted: u64,
}

impl Wrapped {
    /// Counts a file by its name.
    pub(super) fn count(&mut self, name: &[u8]) {
        match unwrap_name(name) {
            (_, false) => {}
            // What was compressed before is none the better for it.
            (_, true) if name.ends_with(ENCRYPTED) => self.encrypted += 1,
            (_, true) => self.compressed += 1,
        }
    }

    /// Returns what is lost with them, and what avoids it; `None` if there are none.
    pub(super) fn words(self) -> Option<String> {
        let lost = "no page in them can be checked, and tomorrow's share no block with them";
        let compressed = (self.compressed > 0).then(|| {
            format!(
                "{} files were compressed by the producer: {lost}; leave out --compress, haulout \
                 compresses",
                self.compressed
            )
        });
        let encrypted = (self.encrypted > 0).then(|| {
            format!(
                "{} files were encrypted by the producer: {lost}; leave out --encrypt, haulout \
                 encrypts",
                self.encrypted
            )
        });
        let both: Vec<String> = compressed.into_iter().chain(encrypted).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }
}

/// The statements of the files, as far as they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Statements {
    pub(super) positions: Positions,
    /// Files of the system tablespace, from `innodb_data_file_path`.
    pub(super) system_files: Option<Vec<String>>,
    /// Undo tablespaces, from `innodb_undo_tablespaces`.
    pub(super) undo_tablespaces: Option<u64>,
    /// True if only some databases were backed up; `None` if the info file does not say.
    pub(super) is_selection: Option<bool>,
    /// The statements of the info file that repeat the checkpoints file.
    pub(super) info: InfoStatements,
    /// True if the info file gives a position in the binary log.
    pub(super) info_has_binlog: bool,
    /// True if the file that is there for the position gives one.
    pub(super) binlog_info_is_read: bool,
    /// The lines of `innodb_corrupted_pages`.
    pub(super) corrupted_pages: Vec<String>,
}

/// The statements of the info file that the checkpoints file makes, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InfoStatements {
    pub(super) from_lsn: Option<u64>,
    pub(super) to_lsn: Option<u64>,
    pub(super) is_incremental: Option<bool>,
}

impl Statements {
    /// Reads one file. What an earlier one of its kind said is forgotten.
    pub(super) fn read(&mut self, kind: Describing, bytes: &[u8]) {
        self.forget(kind);
        match kind {
            Describing::Checkpoints => self.read_checkpoints(bytes),
            Describing::Info => self.read_info(bytes),
            Describing::BinlogInfo => self.read_binlog_info(bytes),
            Describing::GaleraInfo => self.read_galera_info(bytes),
            Describing::BackupCnf => self.read_backup_cnf(bytes),
            Describing::CorruptedPages => {
                let lines = lines(bytes).filter(|line| !line.trim_ascii().is_empty());
                self.corrupted_pages = lines.take(100).filter_map(text).collect();
            }
        }
    }

    /// Forgets what a file said that is replaced, renamed or removed.
    pub(super) fn forget(&mut self, kind: Describing) {
        let known = std::mem::take(&mut self.positions);
        self.positions = match kind {
            Describing::Checkpoints => Positions {
                backup_type: None,
                from_lsn: None,
                to_lsn: None,
                last_lsn: None,
                ..known
            },
            Describing::Info => Positions {
                server_version: None,
                tool_version: None,
                start_time: None,
                end_time: None,
                ..known
            },
            Describing::BinlogInfo => {
                Positions { binlog_file: None, binlog_position: None, gtid: None, ..known }
            }
            Describing::GaleraInfo => Positions { galera: None, ..known },
            Describing::BackupCnf => Positions { page_size: None, ..known },
            Describing::CorruptedPages => known,
        };
        match kind {
            Describing::BackupCnf => (self.system_files, self.undo_tablespaces) = (None, None),
            Describing::Info => {
                (self.is_selection, self.info_has_binlog) = (None, false);
                self.info = InfoStatements::default();
            }
            Describing::BinlogInfo => self.binlog_info_is_read = false,
            Describing::CorruptedPages => self.corrupted_pages.clear(),
            Describing::Checkpoints | Describing::GaleraInfo => {}
        }
    }

    fn read_checkpoints(&mut self, bytes: &[u8]) {
        let positions = &mut self.positions;
        for (key, value) in pairs(bytes) {
            match key {
                b"backup_type" => positions.backup_type = text(value),
                b"from_lsn" => positions.from_lsn = number(value),
                b"to_lsn" => positions.to_lsn = number(value),
                b"last_lsn" => positions.last_lsn = number(value),
                _ => {}
            }
        }
    }

    fn read_info(&mut self, bytes: &[u8]) {
        let mut in_command = false;
        for line in lines(bytes) {
            let Some((key, value)) = pair(line) else { continue };
            // A newline in the command line may fake keys; the next true one ends it.
            in_command = match key {
                b"tool_command" => true,
                b"tool_version" => false,
                _ => in_command,
            };
            if in_command {
                continue;
            }
            let positions = &mut self.positions;
            match key {
                b"tool_version" => positions.tool_version = text(value),
                b"server_version" => positions.server_version = text(value),
                b"start_time" => positions.start_time = text(value),
                b"end_time" => positions.end_time = text(value),
                b"binlog_pos" => self.read_binlog_pos(value),
                b"partial" => self.is_selection = yes_or_no(value),
                b"innodb_from_lsn" => self.info.from_lsn = number(value),
                b"innodb_to_lsn" => self.info.to_lsn = number(value),
                b"incremental" => self.info.is_incremental = yes_or_no(value),
                _ => {}
            }
        }
    }

    /// Reads `filename 'f', position 'p', GTID of the last change 'g'`; the file that holds nothing
    /// but the position goes before it.
    fn read_binlog_pos(&mut self, value: &[u8]) {
        let mut quoted = value.split(|byte| *byte == b'\'').skip(1).step_by(2);
        self.info_has_binlog = quoted.clone().next().is_some_and(|file| !file.is_empty());
        let positions = &mut self.positions;
        if positions.binlog_file.is_none() {
            positions.binlog_file = quoted.next().and_then(text);
            positions.binlog_position = quoted.next().and_then(number);
            positions.gtid = quoted.next().and_then(text);
        }
    }

    /// Reads `file TAB position TAB GTID`.
    fn read_binlog_info(&mut self, bytes: &[u8]) {
        let line = lines(bytes).next().unwrap_or_default();
        let mut fields = line.split(|byte| *byte == b'\t');
        let positions = &mut self.positions;
        positions.binlog_file = fields.next().and_then(text);
        positions.binlog_position = fields.next().and_then(number);
        positions.gtid = fields.next().and_then(text);
        let (file, position) = (&positions.binlog_file, positions.binlog_position);
        self.binlog_info_is_read = file.is_some() && position.is_some();
    }

    /// Reads `uuid:seqno`, which newer versions follow with more.
    fn read_galera_info(&mut self, bytes: &[u8]) {
        let mut words = bytes.split(u8::is_ascii_whitespace);
        let is_position = |word: &&[u8]| {
            let mut halves = word.splitn(2, |byte| *byte == b':');
            let (uuid, seqno) = (halves.next().unwrap_or_default(), halves.next());
            let is_number = |seqno: &[u8]| text(seqno).is_some_and(|s| s.parse::<i64>().is_ok());
            uuid.len() == 36 && seqno.is_some_and(is_number)
        };
        if let Some(position) = words.find(is_position) {
            self.positions.galera = text(position);
        }
    }

    fn read_backup_cnf(&mut self, bytes: &[u8]) {
        for (key, value) in pairs(bytes) {
            match key {
                b"innodb_page_size" => self.positions.page_size = number(value),
                b"innodb_undo_tablespaces" => self.undo_tablespaces = number(value),
                b"innodb_data_file_path" => self.system_files = Some(system_files(value)),
                _ => {}
            }
        }
    }
}

/// Takes the names out of `ibdata1:12M;/elsewhere/ibdata2:50M:autoextend`.
fn system_files(value: &[u8]) -> Vec<String> {
    let name = |file: &[u8]| {
        let path = file.split(|byte| *byte == b':').next()?;
        path.rsplit(|byte| *byte == b'/').next().and_then(text)
    };
    value.split(|byte| *byte == b';').take(1000).filter_map(name).collect()
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(bytes).filter_map(pair)
}

/// Splits `key = value` and `key=value`.
fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = line.split_at(at);
    Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn yes_or_no(value: &[u8]) -> Option<bool> {
    match value {
        b"Y" => Some(true),
        b"N" => Some(false),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

/// Takes a value that may be shown; an empty one is none.
fn text(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    // Cut after escaping, which may make four characters of a byte.
    let shown = || value.escape_ascii().take(VALUE_BYTES_MAX).map(char::from).collect();
    (!value.is_empty()).then(shown)
}

/// Returns the first statement that a describing file must make and does not.
pub(super) fn first_lack(kind: Describing, positions: &Positions) -> Option<&'static str> {
    let statements: &[(&'static str, bool)] = match kind {
        Describing::Checkpoints => &[
            ("backup_type", positions.backup_type.is_some()),
            ("to_lsn", positions.to_lsn.is_some()),
            ("last_lsn", positions.last_lsn.is_some()),
        ],
        Describing::BackupCnf => &[("innodb_page_size", positions.page_size.is_some())],
        Describing::Info => &[("end_time", positions.end_time.is_some())],
        Describing::BinlogInfo | Describing::GaleraInfo | Describing::CorruptedPages => &[],
    };
    statements.iter().find(|(_, is_made)| !is_made).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"uuid = 776c00bf\nname = \ntool_name = mariabackup\n\
        tool_command = --backup --password=hunter2\nserver_version = fake\nend_time = fake\n\
        tool_version = 10.11.19-MariaDB\nserver_version = 10.11.19-MariaDB-log\n\
        start_time = 2026-11-20 17:18:55\nend_time = 2026-11-20 17:18:56\n\
        binlog_pos = filename 'bin.000001', position '102353413', \
        GTID of the last change '0-1-89'\n\
        partial = N\nincremental = N\n";

    fn read(kind: Describing, bytes: &[u8]) -> Statements {
        let mut statements = Statements::default();
        statements.read(kind, bytes);
        statements
    }

    #[test]
    fn info_is_read_without_the_command_line() {
        let info = read(Describing::Info, INFO);
        let positions = &info.positions;
        assert_eq!(positions.server_version.as_deref(), Some("10.11.19-MariaDB-log"));
        assert_eq!(positions.end_time.as_deref(), Some("2026-11-20 17:18:56"));
        assert_eq!(positions.binlog_file.as_deref(), Some("bin.000001"));
        assert_eq!(positions.binlog_position, Some(102_353_413));
        assert_eq!(positions.gtid.as_deref(), Some("0-1-89"));
        assert!(!format!("{info:?}").contains("hunter2"));
    }

    #[test]
    fn the_other_files_are_read() {
        let text = b"backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 7\nlast_lsn = 9\n";
        let positions = read(Describing::Checkpoints, text).positions;
        assert_eq!(positions.backup_type.as_deref(), Some("full-backuped"));
        assert_eq!((positions.from_lsn, positions.to_lsn), (Some(0), Some(7)));
        let positions = read(Describing::BinlogInfo, b"bin.7\t330\t0-1-5\n").positions;
        assert_eq!(positions.binlog_file.as_deref(), Some("bin.7"));
        assert_eq!(positions.gtid.as_deref(), Some("0-1-5"));
        let uuid = "d38587ce-246c-11e5-bcce-6bbd0831cc0f";
        let line = format!("{uuid}:1352215 0\n");
        let positions = read(Describing::GaleraInfo, line.as_bytes()).positions;
        assert_eq!(positions.galera, Some(format!("{uuid}:1352215")));
        let cnf = b"[mysqld]\ninnodb_data_file_path=ibdata1:12M;/x/ibdata2:50M:autoextend\n\
            innodb_page_size=16384\ninnodb_undo_tablespaces=3\n";
        let cnf = read(Describing::BackupCnf, cnf);
        assert_eq!(cnf.system_files.unwrap(), ["ibdata1", "ibdata2"]);
        assert_eq!((cnf.undo_tablespaces, cnf.positions.page_size), (Some(3), Some(16_384)));
    }

    #[test]
    fn values_are_short_and_printable_whatever_the_file_holds() {
        for byte in [b'x', 0x1f] {
            let hostile = [&b"server_version = \x1b[2J"[..], &[byte; 5000]].concat();
            let version = read(Describing::Info, &hostile).positions.server_version.unwrap();
            let printable = version.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert!(version.len() <= VALUE_BYTES_MAX && printable);
        }
    }

    #[test]
    fn wrapped_names_are_recognised() {
        assert_eq!(unwrap_name(b"t.ibd.qp"), (&b"t.ibd"[..], true));
        assert_eq!(unwrap_name(b"t.ibd.zst.xbcrypt"), (&b"t.ibd"[..], true));
        assert_eq!(unwrap_name(b"t.ibd"), (&b"t.ibd"[..], false));
    }
}
