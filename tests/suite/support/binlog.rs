//! Binary logs as a server writes them, with transactions of any size.

/// Bytes of the header of an event.
const HEADER_BYTES: usize = 19;

/// A binary log under construction.
pub struct Log {
    /// The bytes of the file so far.
    pub bytes: Vec<u8>,
    server: u32,
    time: u32,
    sequence: u64,
}

impl Log {
    /// Begins a file of a server, behind this many transactions; it is marked as open.
    pub fn new(server: u32, time: u32, sequence: u64) -> Self {
        let bytes = b"\xfebin".to_vec();
        let mut log = Self { bytes, server, time, sequence };
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut version = [0; 50];
        version[..15].copy_from_slice(b"10.11.9-MariaDB");
        body.extend_from_slice(&version);
        body.extend_from_slice(&[0, 0, 0, 0, 19]);
        body.extend_from_slice(&[13; 170]);
        body.push(1);
        log.event(15, &body);
        let mut list = u32::from(sequence > 0).to_le_bytes().to_vec();
        if sequence > 0 {
            list.extend_from_slice(&3u32.to_le_bytes());
            list.extend_from_slice(&server.to_le_bytes());
            list.extend_from_slice(&sequence.to_le_bytes());
        }
        log.event(163, &list);
        log.bytes[21] |= 1;
        log
    }

    /// Adds a transaction with a statement of so many bytes.
    pub fn transaction(&mut self, bytes: usize) {
        self.sequence += 1;
        let mut body = self.sequence.to_le_bytes().to_vec();
        body.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.event(162, &body);
        let mut mixed = u64::from(self.time) ^ self.sequence;
        let statement: Vec<u8> = (0..bytes)
            .map(|_| {
                mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                mixed.to_le_bytes()[7]
            })
            .collect();
        self.event(2, &statement);
    }

    /// Returns the number of the last transaction.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Closes the file: the last event says that another one follows, and the mark goes.
    pub fn close(&mut self) {
        self.event(4, b"12345678bin.000002");
        self.bytes[21] &= !1;
    }

    fn event(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(HEADER_BYTES + body.len() + 4).unwrap();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.time.to_le_bytes());
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&self.server.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 6]);
        self.bytes.extend_from_slice(body);
        let crc = crc32fast::hash(&self.bytes[start..]);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
    }
}
