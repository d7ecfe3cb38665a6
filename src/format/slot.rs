//! Records about a slot: one of the times at which a job is to run, for which several hosts may
//! stand ready (FORMAT.md 10.11).
//!
//! A record is a small JSON object. Unknown members are ignored, and so is a record that is about
//! something else.

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;

/// Largest text of a record, bytes.
pub const SLOT_TEXT_BYTES_MAX: usize = 4096;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotEvent {
    /// The host wants to run the job.
    Claim,
    /// The run of the claim has gone on since its last record.
    Progress,
    /// The run has ended.
    End,
    /// The host does not run the job for this claim.
    Withdrawn,
}

/// A record about a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The event that it records.
    pub about: SlotEvent,
    /// The claim that it belongs to, 32 hexadecimal digits.
    pub claim: String,
    /// How many claims before this one were given up for dead.
    pub generation: u32,
    /// When it was put, seconds since 1970; for people, and so that two records differ.
    pub time: u64,
    /// The host that put it.
    pub host: String,
    /// The node of the cluster that it backs up.
    pub node: String,
    /// The result of the run, where it has ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
}

impl SlotRecord {
    /// Returns the text of the record.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers can be written")
    }

    /// Reads the text of a record; `None` if it is about something that this version does not know.
    pub fn decode(text: &[u8]) -> Result<Option<Self>, Malformed> {
        #[derive(Deserialize)]
        struct About {
            about: String,
        }
        let malformed = |why| Malformed { what: "slot record", why };
        if text.len() > SLOT_TEXT_BYTES_MAX {
            return Err(malformed("is too long"));
        }
        let no_json = |_| malformed("is not the JSON of this version");
        let About { about } = serde_json::from_slice(text).map_err(no_json)?;
        if !["claim", "progress", "end", "withdrawn"].contains(&about.as_str()) {
            return Ok(None);
        }
        serde_json::from_slice(text).map(Some).map_err(no_json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_unknown_ones_are_passed_over() {
        let record = SlotRecord {
            about: SlotEvent::End,
            claim: "ab".repeat(16),
            generation: 1,
            time: 5,
            host: "h".to_owned(),
            node: "db2".to_owned(),
            result: "done".to_owned(),
        };
        assert_eq!(SlotRecord::decode(&record.encode()), Ok(Some(record)));
        assert_eq!(SlotRecord::decode(br#"{"about":"later","x":1}"#), Ok(None));
        for text in [&b""[..], b"{", b"{}", br#"{"about":"claim"}"#, &[b' '; 5000]] {
            assert!(SlotRecord::decode(text).is_err());
        }
    }
}
