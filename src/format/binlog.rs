//! The description of a binary log in its snapshot, and an open one's segments (FORMAT.md 10.12).

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;
use crate::base::gtid::GtidState;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;

/// What follows the name of a source in the name of the source of its binary logs.
pub const BINLOG_SUFFIX: &str = ".binlog";
/// A segment with this many bytes of its file is not replaced any more.
pub const SEGMENT_BYTES_FULL: u64 = 8 << 20;
/// The most bytes of a file that a segment has.
pub const SEGMENT_BYTES_MAX: u64 = 32 << 20;

const WHAT: &str = "segment";

/// How a binary log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinlogEnd {
    /// The server went on to the next file.
    Rotate,
    /// The server was shut down.
    Stop,
    /// The server did not write a last event.
    Open,
}

/// What a binary log is, in the JSON part of its snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BinlogIndex {
    /// The name that the server gave it.
    pub file: String,
    /// The `server_id` of the server that wrote it.
    pub server_id: u32,
    /// The version of that server.
    pub server_version: String,
    /// The BLAKE3 of its first event, 64 hexadecimal digits.
    pub first_event: String,
    /// The BLAKE3 of the file, 64 hexadecimal digits.
    pub digest: String,
    /// The size of the file.
    pub bytes: u64,
    /// The state of the server's history before it.
    pub before: GtidState,
    /// The state behind it.
    pub after: GtidState,
    /// The time of its first event, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time: Option<u64>,
    /// The time of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<u64>,
    /// True if it is encrypted on the server's disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// The way in which it ends.
    pub ends: BinlogEnd,
}

/// The head of a segment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentHead {
    /// The name of the source of the binary logs.
    pub source: String,
    /// The name of the file.
    pub file: String,
    /// The `server_id` of the server that writes it.
    pub server_id: u32,
    /// The BLAKE3 of the first event of the file, 64 hexadecimal digits.
    pub first_event: String,
    /// The place in the file at which it begins.
    pub start: u64,
    /// The place at which it ends.
    pub end: u64,
    /// The BLAKE3 of its bytes of the file, 64 hexadecimal digits.
    pub digest: String,
    /// The state of the server's history before the file.
    pub before: GtidState,
    /// The state at its end.
    pub after: GtidState,
    /// The time of the last event up to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<u64>,
    /// When it was put, seconds since 1970.
    pub time: u64,
}

/// The text of a segment, in its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentText {
    /// The head of the segment.
    pub head: SegmentHead,
    /// The run record by which its bytes are opened.
    pub record: Vec<u8>,
    /// The salt of their section.
    pub salt: [u8; 32],
    /// The commitment of that section.
    pub commitment: [u8; 32],
    /// The sealed frame of bytes.
    pub frame: Vec<u8>,
}

impl SegmentText {
    /// Returns the bytes of the text.
    pub fn encode(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("strings and numbers can be written");
        let mut out = Vec::with_capacity(self.frame.len() + 4096);
        put_bytes(&mut out, &head);
        put_bytes(&mut out, &self.record);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&self.frame);
        out
    }

    /// Reads the text of a segment.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, text);
        let head = reader.bytes()?;
        let head: SegmentHead = serde_json::from_slice(head)
            .map_err(|_| reader.malformed("its head is not the JSON of this version"))?;
        let length = head.end.checked_sub(head.start);
        if length.is_none_or(|length| length == 0 || length > SEGMENT_BYTES_MAX) {
            return Err(reader.malformed("its bounds are out of bounds"));
        }
        let record = reader.bytes()?.to_vec();
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let frame = reader.take(reader.left())?.to_vec();
        Ok(Self { head, record, salt, commitment, frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> SegmentText {
        SegmentText {
            head: SegmentHead {
                source: "db.binlog".to_owned(),
                file: "bin.000007".to_owned(),
                server_id: 11,
                first_event: "ab".repeat(32),
                start: 8 << 20,
                end: 9 << 20,
                digest: "cd".repeat(32),
                before: "3-11-7".parse().unwrap(),
                after: "3-11-9".parse().unwrap(),
                last_time: Some(5),
                time: 6,
            },
            record: vec![1, 2, 3],
            salt: [7; 32],
            commitment: [8; 32],
            frame: vec![9; 100],
        }
    }

    #[test]
    fn a_segment_comes_back_and_its_bounds_are_checked() {
        let good = text().encode();
        assert_eq!(SegmentText::decode(&good), Ok(text()));
        for length in 0..good.len() - 100 {
            assert!(SegmentText::decode(&good[..length]).is_err(), "{length}");
        }
        for (start, end) in [(5, 5), (6, 5), (0, SEGMENT_BYTES_MAX + 1)] {
            let mut odd = text();
            (odd.head.start, odd.head.end) = (start, end);
            assert!(SegmentText::decode(&odd.encode()).is_err(), "{start} to {end}");
        }
    }
}
