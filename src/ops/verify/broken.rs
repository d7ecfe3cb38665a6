//! The lost parts of a file, in terms of what is in it: pages of a tablespace, else bytes.

use std::collections::BTreeSet;

use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::format::record::MemberRecord;
use crate::innodb::TablespaceFormat;
use crate::ops::verify::report::Unit;
use crate::repo::contents::Block;

/// Ranges that one finding lists.
pub const RANGES_MAX: usize = 64;
/// In what the places of a file are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Pages of this many bytes, from this page number on.
    Pages { bytes: u64, first: u64 },
    /// Bytes, counted from the file's beginning.
    Bytes,
}

impl Extent {
    /// Returns the unit that suits a member.
    pub(super) fn of(record: &MemberRecord) -> Self {
        match TablespaceFormat::decode(record.page_format) {
            Ok(format) if record.page_format != 0 => Self::Pages {
                bytes: u64_of(format.page_size().bytes()),
                first: record.first_page.into(),
            },
            Ok(_) | Err(_) => Self::Bytes,
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Pages { .. } => Unit::Pages,
            Self::Bytes => Unit::Bytes,
        }
    }

    fn range(self, block: &Block) -> (u64, u64) {
        let (at, length) = (block.at, block.entry.length);
        match self {
            Self::Pages { bytes, first } => (first + at / bytes, length.div_ceil(bytes)),
            Self::Bytes => (at, length),
        }
    }
}

/// The bad parts of a member, as ranges, and what is wrong with the first.
#[derive(Debug, Default)]
pub(super) struct Broken {
    pub(super) unit: Unit,
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) what: String,
    /// The packs that are to blame.
    pub(super) packs: BTreeSet<PackName>,
}

impl Broken {
    /// Adds a block of the member.
    pub(super) fn add(&mut self, extent: Extent, block: &Block, what: &str) {
        if self.ranges.is_empty() {
            what.clone_into(&mut self.what);
        }
        self.unit = extent.unit();
        let (first, count) = extent.range(block);
        self.add_range(first, count);
    }

    fn add_range(&mut self, first: u64, count: u64) {
        if let Some((before, length)) = self.ranges.last_mut()
            && *before + *length == first
        {
            *length += count;
        } else if self.ranges.len() < RANGES_MAX {
            self.ranges.push((first, count));
        }
    }

    /// Adds what was found further on in the member.
    pub(super) fn merge(&mut self, other: Self) {
        if self.ranges.is_empty() {
            self.what.clone_from(&other.what);
        }
        self.unit = other.unit;
        self.packs.extend(other.packs);
        other.ranges.into_iter().for_each(|(first, count)| self.add_range(first, count));
    }
}
