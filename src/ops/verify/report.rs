//! The report of a verification: what was looked at, and what is wrong, of which snapshot and file,
//! and where in it.

use crate::base::ids::SnapshotId;
use crate::format::record::PageCounts;
use crate::ops::verify::ages::Ages;

/// Ranges that are named in words.
const NAMED_MAX: usize = 8;

/// The unit in which the location of a loss in a file is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Pages of a tablespace, by their numbers.
    Pages,
    /// Bytes of any other file.
    #[default]
    Bytes,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// The snapshot that is affected.
    pub snapshot: Option<SnapshotId>,
    /// The file in it.
    pub member: Option<String>,
    /// The unit of the ranges.
    pub unit: Unit,
    /// The lost ranges of that file: the beginning and the length of each.
    pub ranges: Vec<(u64, u64)>,
    /// The problem that was found, in words.
    pub what: String,
}

impl Finding {
    pub(super) fn of_object(what: String) -> Self {
        Self { what, ..Self::default() }
    }

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

/// The result of a verification.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Number of snapshots that were looked at.
    pub snapshots: u64,
    /// Number of objects that were looked at.
    pub objects: u64,
    /// Number of bytes in these objects.
    pub bytes: u64,
    /// Bytes that were read for it; those of a pack whose blocks were decoded count twice.
    pub read_bytes: u64,
    /// Blocks decoded and hashed.
    pub blocks: u64,
    /// Number of pages checked again, by verdict.
    pub pages: PageCounts,
    /// Everything that was found wrong.
    pub findings: Vec<Finding>,
    /// The facts that are worth knowing, and no damage.
    pub notes: Vec<Finding>,
    /// Number of damage records written.
    pub recorded: u64,
    /// How long ago everything was verified, of a slice.
    pub ages: Option<Ages>,
    /// What was verified, if the repository could not record it.
    pub unrecorded: Option<Unrecorded>,
}

impl VerifyReport {
    /// Adds what a later slice has found.
    pub(super) fn add(&mut self, later: Self) {
        self.snapshots = later.snapshots;
        self.objects += later.objects;
        self.bytes += later.bytes;
        self.read_bytes += later.read_bytes;
        self.blocks += later.blocks;
        self.pages.verified += later.pages.verified;
        self.pages.unverifiable += later.pages.unverifiable;
        self.pages.corrupt += later.pages.corrupt;
        self.pages.zero += later.pages.zero;
        let add = |own: &mut Vec<Finding>, found: Vec<Finding>| {
            let new: Vec<Finding> =
                found.into_iter().filter(|finding| !own.contains(finding)).collect();
            own.extend(new);
        };
        add(&mut self.findings, later.findings);
        add(&mut self.notes, later.notes);
        self.recorded += later.recorded;
        self.ages = later.ages.or(self.ages.take());
        self.unrecorded = later.unrecorded;
    }
}

/// What was verified, if the repository could not record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecorded {
    /// Why it could not.
    pub why: String,
    /// The text of the record, for a file of this host.
    pub text: Vec<u8>,
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
