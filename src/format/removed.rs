//! A removal: that a snapshot was removed, by whom and why (FORMAT.md 10.4).
//!
//! It stays when the snapshot is gone, so it says of that what others ask: which it followed, which
//! run put it, and whether it was a checkpoint.

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::format::snapshot::Origin;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::Verdict;

const WHAT: &str = "removal";

/// The content of a removal, without its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// When the snapshot was removed, seconds since 1970.
    pub time: u64,
    /// The program that removed it, with its version.
    #[serde(default)]
    pub program: String,
    /// The host on which it was removed.
    #[serde(default)]
    pub host: String,
    /// The snapshot before it in its lineage.
    pub predecessor: Option<String>,
    /// The run that put it, 32 hexadecimal digits.
    pub run: String,
    /// Of a snapshot that can't be read: the runs of which one has put it, as far as that shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// The kind of the snapshot: a checkpoint does not end its run.
    pub kind: SnapshotKind,
    /// The verdict that the snapshot had.
    pub verdict: Verdict,
    /// The snapshots without which it could not be restored.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Why it was removed, in words.
    #[serde(default)]
    pub reason: String,
    /// The snapshot that took its place in the retention.
    #[serde(default)]
    pub replaced_by: Option<String>,
    /// The snapshot of another repository from which it was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Removal {
    /// Returns the text of the object, without its tag.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("strings and numbers can be written");
        let mut out = Vec::with_capacity(json.len() + 4);
        put_bytes(&mut out, &json);
        out
    }

    /// Reads the text of the object, without its tag.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(WHAT, text);
        let json = input.bytes()?;
        input.finish()?;
        let why = "is not the JSON of this version";
        serde_json::from_slice(json).map_err(|_| Malformed { what: WHAT, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Removal {
        Removal {
            time: 7,
            program: "haulout 0.2.0".to_owned(),
            host: "db1".to_owned(),
            predecessor: Some("aa".repeat(32)),
            run: "bb".repeat(16),
            runs: Vec::new(),
            kind: SnapshotKind::Full,
            verdict: Verdict::Complete,
            requires: Vec::new(),
            reason: "its week is kept with another".to_owned(),
            replaced_by: None,
            origin: None,
        }
    }

    #[test]
    fn a_removal_has_these_bytes() {
        let (before, run) = ("aa".repeat(32), "bb".repeat(16));
        let json = format!(
            "{{\"time\":7,\"program\":\"haulout 0.2.0\",\"host\":\"db1\",\"predecessor\":\
             \"{before}\",\"run\":\"{run}\",\"kind\":\"full\",\"verdict\":\"complete\",\
             \"requires\":[],\"reason\":\"its week is kept with another\",\"replaced_by\":null}}"
        );
        let length = [0x80 | (json.len() % 128), json.len() / 128];
        let mut golden: Vec<u8> = length.map(|part| u8::try_from(part).unwrap()).into();
        golden.extend_from_slice(json.as_bytes());
        assert_eq!(example().encode(), golden);
    }

    #[test]
    fn a_removal_comes_back_with_members_that_are_unknown_and_without_those_that_may_lack() {
        assert_eq!(Removal::decode(&example().encode()), Ok(example()));
        let origin = Origin { repository: "dd".repeat(16), snapshot: "ee".repeat(32) };
        let copied = Removal { origin: Some(origin), ..example() };
        assert_eq!(Removal::decode(&copied.encode()), Ok(copied));
        let least = concat!(
            r#"{"time":1,"predecessor":null,"run":"c","kind":"checkpoint","verdict":"partial","#,
            r#""new":1}"#
        );
        let mut text = Vec::new();
        put_bytes(&mut text, least.as_bytes());
        let read = Removal::decode(&text).unwrap();
        assert_eq!((read.kind, read.reason.as_str()), (SnapshotKind::Checkpoint, ""));
        for length in 0..text.len() {
            assert!(Removal::decode(&text[..length]).is_err(), "{length} bytes");
        }
        assert!(Removal::decode(&[&text[..], b" "].concat()).is_err());
        assert!(Removal::decode(b"\x02{}").is_err());
    }
}
