//! What is lost of a file, in terms of what is in it: pages of a tablespace, else bytes.

use std::collections::BTreeSet;

use crate::base::ids::PackName;
use crate::base::num::wide;
use crate::format::record::MemberRecord;
use crate::innodb::TablespaceFormat;
use crate::repo::contents::Block;

use super::Finding;
use super::MemberBatch;
use super::Unit;

/// Ranges that one finding lists.
const RANGES_MAX: usize = 64;
/// Ranges that are named in words.
const NAMED_MAX: usize = 8;

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
    pub(super) fn of(record: &MemberRecord) -> Extent {
        match TablespaceFormat::decode(record.page_format) {
            Ok(format) if record.page_format != 0 => Extent::Pages {
                bytes: wide(format.page_size().bytes()),
                first: record.first_page.into(),
            },
            Ok(_) | Err(_) => Extent::Bytes,
        }
    }

    fn unit(self) -> Unit {
        match self {
            Extent::Pages { .. } => Unit::Pages,
            Extent::Bytes => Unit::Bytes,
        }
    }

    fn range(self, block: &Block) -> (u64, u64) {
        let (at, length) = (block.at, block.entry.length);
        match self {
            Extent::Pages { bytes, first } => (first + at / bytes, length.div_ceil(bytes)),
            Extent::Bytes => (at, length),
        }
    }
}

/// What of a member is bad, as ranges, and what is wrong with the first.
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
    pub(super) fn add(&mut self, batch: &MemberBatch, block: &Block, what: &str) {
        if self.ranges.is_empty() {
            what.clone_into(&mut self.what);
        }
        self.unit = batch.extent.unit();
        self.add_range(batch.extent.range(block));
    }

    fn add_range(&mut self, (first, count): (u64, u64)) {
        if let Some((before, length)) = self.ranges.last_mut()
            && *before + *length == first
        {
            *length += count;
        } else if self.ranges.len() < RANGES_MAX {
            self.ranges.push((first, count));
        }
    }

    /// Adds what was found further on in the member.
    pub(super) fn merge(&mut self, other: Broken) {
        if self.ranges.is_empty() {
            self.what.clone_from(&other.what);
        }
        self.unit = other.unit;
        self.packs.extend(other.packs);
        other.ranges.into_iter().for_each(|range| self.add_range(range));
    }
}

impl Finding {
    /// Tells what is lost and why, without the snapshot: `app/t.ibd, pages 5, 7 to 9: why`.
    pub fn in_words(&self) -> String {
        let mut place: Vec<String> = self.member.clone().into_iter().collect();
        if !self.ranges.is_empty() {
            place.push(self.places());
        }
        if place.is_empty() {
            self.what.clone()
        } else {
            format!("{}: {}", place.join(", "), self.what)
        }
    }

    /// Tells which places of the file are lost: `pages 5, 7 to 9`.
    fn places(&self) -> String {
        let one = |&(first, count): &(u64, u64)| match count {
            0 | 1 => first.to_string(),
            _ => format!("{first} to {}", first + count - 1),
        };
        let named: Vec<String> = self.ranges.iter().take(NAMED_MAX).map(one).collect();
        let more = if self.ranges.len() > NAMED_MAX { " and more" } else { "" };
        let noun = match (self.unit, self.ranges.as_slice()) {
            (Unit::Pages, [(_, 0 | 1)]) => "page",
            (Unit::Pages, _) => "pages",
            (Unit::Bytes, [(_, 0 | 1)]) => "byte",
            (Unit::Bytes, _) => "bytes",
        };
        format!("{noun} {}{more}", named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_file_and_pages() {
        let mut found = Finding::of_object("pack 77b0 is missing".to_owned());
        assert_eq!(found.in_words(), "pack 77b0 is missing");
        found.member = Some("app/t1.ibd".to_owned());
        found.unit = Unit::Pages;
        found.ranges = vec![(5, 1), (7, 3)];
        assert_eq!(found.in_words(), "app/t1.ibd, pages 5, 7 to 9: pack 77b0 is missing");
        found.ranges = vec![(5, 1)];
        assert_eq!(found.in_words(), "app/t1.ibd, page 5: pack 77b0 is missing");
        found.unit = Unit::Bytes;
        found.ranges = vec![(4096, 4096)];
        assert_eq!(found.in_words(), "app/t1.ibd, bytes 4096 to 8191: pack 77b0 is missing");
        found.ranges = vec![(5, 1); 20];
        assert!(found.in_words().contains("5 and more"));
    }
}
