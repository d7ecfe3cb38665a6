//! The text of a damage record about a snapshot (FORMAT.md 9): what of it was found lost.

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;
use crate::base::hex;
use crate::base::ids::PackName;

/// The blocks that a snapshot was found to lack.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SnapshotDamage {
    /// The number of its files that lack blocks.
    pub files: u64,
    /// Some of them, in words.
    #[serde(default)]
    pub named: Vec<String>,
    /// The packs on account of which it lacks them, as 64 hexadecimal digits each.
    #[serde(default)]
    packs: Vec<String>,
}

impl SnapshotDamage {
    /// Creates a record; without packs it is not known which are to blame.
    pub fn new(files: u64, named: Vec<String>, packs: &[PackName]) -> Self {
        let packs = packs.iter().map(|name| hex::encode(&name.0)).collect();
        Self { files, named, packs }
    }

    /// Returns the packs that are to blame; what is no name of a pack is left out.
    pub fn packs(&self) -> impl Iterator<Item = PackName> {
        self.packs.iter().filter_map(|name| hex::decode(name).map(PackName))
    }

    /// Returns the text of the record.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers can be written")
    }

    /// Reads the text of a record.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let why = "is not the JSON of this version";
        serde_json::from_slice(text).map_err(|_| Malformed { what: "damage record", why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_members_of_later_versions_are_ignored() {
        let packs = [PackName([0xab; 32]), PackName([1; 32])];
        let record = SnapshotDamage::new(2, vec!["app/t.ibd: pages 5 to 7".to_owned()], &packs);
        assert_eq!(SnapshotDamage::decode(&record.encode()), Ok(record.clone()));
        assert_eq!(record.packs().collect::<Vec<_>>(), packs);
        let later = br#"{"files":3,"colour":"red"}"#;
        assert_eq!(SnapshotDamage::decode(later).map(|record| record.files), Ok(3));
        for text in [&b""[..], b"{}", b"[]", br#"{"files":-1}"#] {
            assert!(SnapshotDamage::decode(text).is_err());
        }
    }
}
