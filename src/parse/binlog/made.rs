//! Makes binary logs as a server does, for tests.

use crate::base::gtid::Gtid;
use crate::parse::binlog::event::CRC_BYTES;
use crate::parse::binlog::event::HEADER_BYTES;

/// The server that writes the files.
pub(crate) const SERVER: u32 = 11;

/// A file under construction.
pub(crate) struct Made {
    /// The bytes of the file so far.
    pub(crate) bytes: Vec<u8>,
    /// The time of the next event.
    pub(crate) time: u32,
}

impl Made {
    pub(crate) fn new() -> Self {
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut version = [0; 50];
        version[..7].copy_from_slice(b"10.11.9");
        body.extend_from_slice(&version);
        body.extend_from_slice(&[0, 0, 0, 0, 19]);
        body.extend_from_slice(&[13; 170]);
        body.push(1);
        let mut made = Self { bytes: b"\xfebin".to_vec(), time: 1_700_000_000 };
        made.event(15, &body);
        made
    }

    pub(crate) fn event(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(HEADER_BYTES + body.len() + CRC_BYTES).unwrap();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.time.to_le_bytes());
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&SERVER.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 6]);
        self.bytes.extend_from_slice(body);
        let crc = crc32fast::hash(&self.bytes[start..]);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn list(&mut self, gtids: &[Gtid]) {
        let mut body = u32::try_from(gtids.len()).unwrap().to_le_bytes().to_vec();
        for gtid in gtids {
            body.extend_from_slice(&gtid.domain.to_le_bytes());
            body.extend_from_slice(&gtid.server.to_le_bytes());
            body.extend_from_slice(&gtid.sequence.to_le_bytes());
        }
        self.event(163, &body);
    }

    /// Begins a transaction of domain 3.
    pub(crate) fn begin(&mut self, sequence: u64) {
        let mut body = sequence.to_le_bytes().to_vec();
        body.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.event(162, &body);
    }

    pub(crate) fn transaction(&mut self, sequence: u64, bytes: usize) {
        self.begin(sequence);
        self.event(23, &vec![b'x'; bytes]);
    }

    /// Adds a statement as text, looked up in a schema.
    pub(crate) fn statement(&mut self, schema: &str, text: &str) {
        let mut body = vec![0; 8];
        body.push(u8::try_from(schema.len()).unwrap());
        body.extend_from_slice(&[0, 0, 3, 0, 9, 9, 9]);
        body.extend_from_slice(schema.as_bytes());
        body.push(0);
        body.extend_from_slice(text.as_bytes());
        self.event(2, &body);
    }
}
