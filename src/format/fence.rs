//! A fence: runs that shall stop, and which of their snapshots stay valid (FORMAT.md 10.3).
//!
//! The text ends in a tag under the prune key, which is put on and checked where the keys are. This
//! module knows the text before it.

use std::collections::BTreeSet;

use crate::base::error::Malformed;
use crate::base::ids::SnapshotId;
use crate::base::wire::Reader;
use crate::format::intent::put_list;
use crate::format::intent::take_list;

const WHAT: &str = "fence";
const VERSION: u8 = 1;
const ANNOUNCEMENT: u8 = 1;
const VERDICT: u8 = 2;

/// The snapshots of broken runs: which stay valid, and which are doubtful from then on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// The snapshots of the runs that were there, and stay valid.
    pub spared: BTreeSet<SnapshotId>,
    /// The snapshots that a broken replicate had announced.
    pub doubtful: BTreeSet<SnapshotId>,
}

/// A fence as it is put by a prune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// When it was put, seconds since 1970; for people only.
    pub time: u64,
    /// The ids of the runs that shall stop.
    pub runs: BTreeSet<[u8; 16]>,
    /// The verdict about their snapshots; nothing if it only announces one.
    pub verdict: Option<Judged>,
}

impl Fence {
    /// Returns the text of the object, without its tag.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.verdict.is_some() { VERDICT } else { ANNOUNCEMENT };
        let mut out = vec![VERSION, kind];
        out.extend_from_slice(&self.time.to_le_bytes());
        put_list(&mut out, &self.runs);
        if let Some(Judged { spared, doubtful }) = &self.verdict {
            put_list(&mut out, spared.iter().map(|id| &id.0));
            put_list(&mut out, doubtful.iter().map(|id| &id.0));
        }
        out
    }

    /// Reads the text of the object without its tag, which must be exactly as it is written.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(WHAT, text);
        if input.u8()? != VERSION {
            return Err(input.malformed("its version is unknown to this program"));
        }
        let (kind, time) = (input.u8()?, input.u64()?);
        let runs = take_list(&mut input)?;
        let mut ids = || -> Result<BTreeSet<SnapshotId>, Malformed> {
            Ok(take_list(&mut input)?.into_iter().map(SnapshotId).collect())
        };
        let verdict = match kind {
            ANNOUNCEMENT => None,
            VERDICT => Some(Judged { spared: ids()?, doubtful: ids()? }),
            _ => return Err(input.malformed("its kind is unknown to this program")),
        };
        let read = Self { time, runs, verdict };
        // One fence has one spelling: sorted, each item once, and nothing after them.
        if read.encode() != text {
            return Err(input.malformed("is not as it is written"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex;

    fn announcement() -> Fence {
        Fence { time: 5, runs: [[1; 16], [2; 16]].into(), verdict: None }
    }

    fn verdict() -> Fence {
        let spared = [SnapshotId([3; 32])].into();
        let doubtful = [SnapshotId([4; 32]), SnapshotId([5; 32])].into();
        Fence { verdict: Some(Judged { spared, doubtful }), ..announcement() }
    }

    #[test]
    fn the_fields_stand_in_the_specification_in_this_order() {
        let format = include_str!("FORMAT.md");
        let chapter = format.split("\n### ").find(|text| text.starts_with("10.3 Fences")).unwrap();
        let rows: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| ")).collect();
        let fields = [
            "| 1 | version, 1",
            "| 1 | kind: 1 announcement, 2 verdict",
            "| 8 | time",
            "| .. | varint n, n run ids (16)",
            "| .. | kind 2: varint n, n snapshot hashes (32) that stay valid",
            "| .. | kind 2: varint n, n snapshot hashes (32) that are doubtful",
            "| 32 | tag",
        ];
        assert_eq!(rows.len(), fields.len() + 2);
        for (row, field) in rows[2..].iter().zip(fields) {
            assert!(row.starts_with(field), "{row}");
        }
    }

    #[test]
    fn fences_have_these_bytes() {
        let runs = "0500000000000000".to_owned() + "02" + &hex::encode(&[1; 16]);
        let runs = runs + &hex::encode(&[2; 16]);
        assert_eq!(hex::encode(&announcement().encode()), "0101".to_owned() + &runs);
        let judged = "01".to_owned() + &hex::encode(&[3; 32]) + "02";
        let judged = judged + &hex::encode(&[4; 32]) + &hex::encode(&[5; 32]);
        assert_eq!(hex::encode(&verdict().encode()), "0102".to_owned() + &runs + &judged);
    }

    #[test]
    fn a_fence_comes_back_and_one_that_is_cut_longer_or_of_another_kind_is_refused() {
        for fence in [announcement(), verdict()] {
            let bytes = fence.encode();
            assert_eq!(Fence::decode(&bytes), Ok(fence));
            for length in 0..bytes.len() {
                assert!(Fence::decode(&bytes[..length]).is_err(), "{length} bytes");
            }
            assert!(Fence::decode(&[&bytes[..], &[0]].concat()).is_err());
            for (at, byte) in [(0, 2), (1, 0), (1, 3)] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                assert!(Fence::decode(&changed).is_err(), "byte {at}");
            }
        }
        assert!(Fence::decode(&[&[1, 1][..], &[0; 8], &[2], &[7; 32]].concat()).is_err());
    }
}
