//! The checks of a file's beginning: whether it is what its name says, and what it states about its
//! tablespace.
//!
//! A disk that lost its contents, a snapshot of a file system that was not finished and a program
//! that fills gaps with zeros leave files of the right name and length. Their first bytes give them
//! away.
//!
//! | file | it begins with |
//! |---|---|
//! | `.ibd`, `ibdata1`, undo | a page that is not all zeros |
//! | `.frm` | `FE 01` or `TYPE=VIEW` |
//! | `.MAI`, `.MYI`, `.CSM` | `FE FE 09`, `FE FE 07`, `FE` |
//! | `.par` | anything but zeros |
//! | `aria_log_control`, `aria_log.*` | `FE FE 0C`, `FE FE 0B` |
//!
//! Invariants, each so that a good backup is never refused:
//! - a `.new` file may begin with zeros: the redo log is going to build its first page;
//! - what is compressed or encrypted is not looked at.
//!
//! It does not check anything after the first bytes.
//!
//! Source: `mysql_create_frm_image`, `ma_control_file.c`, `ma_loghandler.c` of the server.

use crate::innodb::FormatKind;
use crate::innodb::PageZero;
use crate::innodb::TablespaceFormat;
use crate::innodb::frm::Frm;
use crate::innodb::redo::RedoHeader;
use crate::parse::path::StreamPath;
use crate::verdict::lengths::Short;
use crate::verdict::reason::mbstream::MbstreamReason;

/// The last byte of a definition that is text.
const LINE_END: u8 = b'\n';

/// Returns how a file of this name begins.
pub(super) fn magic_of(name: &[u8]) -> Option<&'static [u8]> {
    let suffixes: [(&[u8], &[u8]); 3] =
        [(b".MAI", b"\xfe\xfe\x09"), (b".MYI", b"\xfe\xfe\x07"), (b".CSM", b"\xfe")];
    match name {
        b"aria_log_control" => Some(b"\xfe\xfe\x0c"),
        name if name.starts_with(b"aria_log.") => Some(b"\xfe\xfe\x0b"),
        name => suffixes.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, magic)| *magic),
    }
}

/// Says what the file is instead of what its name says; an empty one is dealt with elsewhere.
pub(super) fn odd_head(path: StreamPath<'_>, head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return None;
    }
    if head.iter().all(|byte| *byte == 0) {
        return Some("begins with nothing but zeros");
    }
    let magic = magic_of(path.file_name()).unwrap_or_default();
    (!head.starts_with(magic)).then_some("does not begin like such a file")
}

/// Tells whether a tablespace may begin with zeros: the redo log is going to build the first page
/// of a table that was made during the backup, and only the first file of the system tablespace has
/// one.
pub(super) fn may_begin_with_zeros(path: StreamPath<'_>) -> bool {
    let name = path.file_name();
    name.ends_with(b".new") || name.starts_with(b"ibdata") && name != b"ibdata1"
}

/// Says what is wrong with a `.frm` file.
pub(super) fn odd_definition(path: StreamPath<'_>, head: &[u8], last: u8) -> Option<&'static str> {
    odd_head(path, head).or_else(|| match Frm::parse(head) {
        Frm::Unrecognised if head.is_empty() => None,
        Frm::Unrecognised => Some("defines neither a table nor a view"),
        Frm::View if last != LINE_END => Some("ends in the middle of a view's definition"),
        Frm::View | Frm::Table(_) | Frm::Partitioned(_) => None,
    })
}

/// Compares the length of a `.frm` file with what it says itself.
pub(super) fn short_definition(head: &[u8], length: u64) -> Option<Short> {
    let stated = Frm::stated_length(head)?;
    let short = Short { length, stated, stated_at_lsn: None, ends_with_a_read: false };
    (length < stated).then_some(short)
}

/// The statements of a tablespace's first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstPage {
    /// Number of the tablespace.
    pub(super) space: u32,
    /// Bytes of the server's pages, if they are the tablespace's, too.
    pub(super) page_bytes: Option<u64>,
}

impl FirstPage {
    /// Reads it, if there is anything to read.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(head) else {
            return None;
        };
        let is_servers = format.kind() != FormatKind::LegacyZip;
        let page_bytes = is_servers.then(|| crate::base::num::u64_of(format.page_size().bytes()));
        Some(Self { space: format.space()?.get(), page_bytes })
    }
}

/// Says what is wrong with the first record of the redo log.
pub(super) fn redo_fault(header: &RedoHeader, first: &[u8]) -> Option<MbstreamReason> {
    header.check_log(first).err().map(|error| MbstreamReason::RedoHead(error.to_string()))
}
