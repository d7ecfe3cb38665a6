//! A list of snapshots: those that a repository had when its runs began to put intents, or those
//! that the last prune kept (FORMAT.md 10.1, 10.6).
//!
//! The text ends in a tag under the prune key, which is put on and checked where the keys are. This
//! module knows the text before it.

use std::collections::BTreeSet;

use crate::base::error::Malformed;
use crate::base::ids::SnapshotId;
use crate::base::wire::Reader;
use crate::format::intent::put_list;
use crate::format::intent::take_list;

const VERSION: u8 = 1;

/// The snapshots that were there at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotList {
    /// When it was put, seconds since 1970; for people only.
    pub time: u64,
    /// The snapshots that are on the list.
    pub snapshots: BTreeSet<SnapshotId>,
}

impl SnapshotList {
    /// Returns the text of the object, without its tag.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.time.to_le_bytes());
        put_list(&mut out, self.snapshots.iter().map(|id| &id.0));
        out
    }

    /// Reads the text of the object without its tag, which must be exactly as it is written.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new("list of snapshots", text);
        if input.u8()? != VERSION {
            return Err(input.malformed("its version is unknown to this program"));
        }
        let time = input.u64()?;
        let snapshots = take_list(&mut input)?.into_iter().map(SnapshotId).collect();
        let read = Self { time, snapshots };
        // One list has one spelling: sorted, each snapshot once, and nothing after them.
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

    fn example() -> SnapshotList {
        SnapshotList { time: 5, snapshots: [SnapshotId([3; 32]), SnapshotId([4; 32])].into() }
    }

    #[test]
    fn a_list_has_these_bytes() {
        let golden = "01".to_owned() + "0500000000000000" + "02" + &"03".repeat(32);
        assert_eq!(hex::encode(&example().encode()), golden + &"04".repeat(32));
    }

    #[test]
    fn a_list_comes_back_and_one_that_is_cut_longer_or_of_another_version_is_refused() {
        let bytes = example().encode();
        assert_eq!(SnapshotList::decode(&bytes), Ok(example()));
        for length in 0..bytes.len() {
            assert!(SnapshotList::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(SnapshotList::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(SnapshotList::decode(&[&[2], &bytes[1..]].concat()).is_err());
        let unsorted = [&bytes[..10], &[4; 32], &[3; 32]].concat();
        assert!(SnapshotList::decode(&unsorted).is_err());
    }
}
