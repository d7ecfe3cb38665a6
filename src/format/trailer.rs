//! The fixed ends of a section: the preamble for people, the trailer from which readers start.
//!
//! The trailer goes last so that a section can be written before its contents are known, and holds
//! all that is needed to open it, so that one ranged read of a pack's end is enough.

use crate::base::error::Malformed;
use crate::base::ids::Class;
use crate::base::wire::Reader;

/// Number of bytes of a preamble, with which a section begins.
pub const PREAMBLE_BYTES: usize = 16;
/// Number of bytes of a trailer, with which a section ends.
pub const TRAILER_BYTES: usize = 116;
/// Most bytes of sealed copies of the run's secret that a reader accepts.
pub const COPIES_BYTES_MAX: u32 = 1 << 20;
const MAGIC_HEAD: &[u8; 8] = b"HAULPACK";
const MAGIC_TAIL: &[u8; 8] = b"HAULTAIL";
const VERSION: u16 = 1;
const WHAT: &str = "pack trailer";

/// The fields of the trailer as FORMAT.md lists them: place, bytes, words. A test compares them.
#[cfg(test)]
pub const TRAILER_FIELDS: [(usize, usize, &str); 12] = [
    (0, 16, "run id"),
    (16, 32, "salt"),
    (48, 32, "key commitment"),
    (80, 4, "stored bytes of all frames"),
    (84, 4, "stored bytes of the directory"),
    (88, 4, "bytes of the sealed copies"),
    (92, 8, "stored bytes of the whole section"),
    (100, 4, "frames"),
    (104, 2, "version, 1"),
    (106, 1, "class"),
    (107, 1, "suite"),
    (108, 8, "magic `HAULTAIL`"),
];

/// The trailer of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The run that wrote the section.
    pub run: [u8; 16],
    /// Random; with the run's secret it gives the section key.
    pub salt: [u8; 32],
    /// Proves that a key is the right one before anything is opened with it.
    pub commitment: [u8; 32],
    /// Stored bytes of all frames.
    pub frames_bytes: u32,
    /// Stored bytes of the directory.
    pub directory_bytes: u32,
    /// Bytes of the sealed copies of the run's secret, which stand between directory and trailer.
    pub copies_bytes: u32,
    /// Number of frames: the directory is sealed with the next nonce.
    pub frames: u32,
    /// Class of the section.
    pub class: Class,
    /// Number of the suite.
    pub suite: u8,
}

/// Returns the preamble of a section of this class and suite.
pub fn preamble(class: Class, suite: u8) -> [u8; PREAMBLE_BYTES] {
    let mut out = [0; PREAMBLE_BYTES];
    out[..8].copy_from_slice(MAGIC_HEAD);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[10] = class.code();
    out[11] = suite;
    out
}

impl Trailer {
    /// Returns the number of stored bytes of the whole section.
    pub fn section_bytes(&self) -> u64 {
        u64::from(self.frames_bytes) + self.tail_bytes() + PREAMBLE
    }

    /// Returns the number of stored bytes from the start of the directory to the end of the
    /// section.
    pub fn tail_bytes(&self) -> u64 {
        u64::from(self.directory_bytes) + u64::from(self.copies_bytes) + TRAILER
    }

    /// Returns the bytes of the trailer.
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut out = [0; TRAILER_BYTES];
        out[0..16].copy_from_slice(&self.run);
        out[16..48].copy_from_slice(&self.salt);
        out[48..80].copy_from_slice(&self.commitment);
        out[80..84].copy_from_slice(&self.frames_bytes.to_le_bytes());
        out[84..88].copy_from_slice(&self.directory_bytes.to_le_bytes());
        out[88..92].copy_from_slice(&self.copies_bytes.to_le_bytes());
        out[92..100].copy_from_slice(&self.section_bytes().to_le_bytes());
        out[100..104].copy_from_slice(&self.frames.to_le_bytes());
        out[104..106].copy_from_slice(&VERSION.to_le_bytes());
        out[106] = self.class.code();
        out[107] = self.suite;
        out[108..].copy_from_slice(MAGIC_TAIL);
        out
    }

    /// Reads the last bytes of a section.
    pub fn decode(bytes: &[u8; TRAILER_BYTES]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, bytes);
        let (run, salt, commitment) = (reader.array()?, reader.array()?, reader.array()?);
        let (frames_bytes, directory_bytes) = (reader.u32()?, reader.u32()?);
        let copies_bytes = reader.u32()?;
        let section_bytes = reader.u64()?;
        let frames = reader.u32()?;
        let version = reader.u16()?;
        let (class, suite) = (reader.u8()?, reader.u8()?);
        if reader.array()? != *MAGIC_TAIL {
            return Err(reader.malformed("does not end with HAULTAIL"));
        }
        if version != VERSION {
            return Err(reader.malformed("its version is unknown to this program"));
        }
        let class = Class::from_code(class)
            .ok_or_else(|| reader.malformed("its class is unknown to this program"))?;
        let trailer = Self {
            run,
            salt,
            commitment,
            frames_bytes,
            directory_bytes,
            copies_bytes,
            frames,
            class,
            suite,
        };
        if trailer.section_bytes() != section_bytes || copies_bytes > COPIES_BYTES_MAX {
            return Err(reader.malformed("its sizes contradict each other"));
        }
        Ok(trailer)
    }
}

#[expect(clippy::as_conversions, reason = "From is not const, and both are small constants")]
const PREAMBLE: u64 = PREAMBLE_BYTES as u64;
#[expect(clippy::as_conversions, reason = "From is not const, and both are small constants")]
const TRAILER: u64 = TRAILER_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_stands_in_the_specification_as_it_is() {
        let text = include_str!("FORMAT.md");
        let mut end = 0;
        for (at, bytes, words) in TRAILER_FIELDS {
            assert_eq!(at, end, "{words}");
            assert!(text.contains(&format!("| {at} | {bytes} | {words}")), "{words}");
            end = at + bytes;
        }
        assert_eq!(end, TRAILER_BYTES);
    }

    #[test]
    fn a_trailer_comes_back_and_every_contradiction_is_refused() {
        let trailer = Trailer {
            run: [1; 16],
            salt: [2; 32],
            commitment: [3; 32],
            frames_bytes: 5,
            directory_bytes: 6,
            copies_bytes: 7,
            frames: 8,
            class: Class::Meta,
            suite: 1,
        };
        let bytes = trailer.encode();
        assert_eq!(Trailer::decode(&bytes), Ok(trailer));
        for at in (80..100).chain(104..106).chain(108..116) {
            let mut bytes = bytes;
            bytes[at] ^= 0x40;
            assert!(Trailer::decode(&bytes).is_err(), "byte {at}");
        }
    }
}
