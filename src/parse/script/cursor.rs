//! The cursor that decodes the fields of a script from input that may end anywhere.
//!
//! `base::wire` reads structures that are whole; a script comes in pieces, so that the end of the
//! input asks for more instead of being an error.
//!
//! Invariants:
//! - a number has one encoding: a longer one than needed is refused;
//! - nothing is read beyond the input.
//!
//! It does not limit values: what a number may be depends on the field.

use crate::parse::script::error::ScriptError;

/// The longest varint: 64 bits in groups of seven.
const VARINT_BYTES_MAX: usize = 10;

/// A reason why a field was not decoded.
#[derive(Debug)]
pub(super) enum Stop {
    /// The input ends inside the op.
    Short,
    /// The script is damaged.
    Bad(ScriptError),
}

impl From<ScriptError> for Stop {
    fn from(error: ScriptError) -> Self {
        Self::Bad(error)
    }
}

/// Decodes fields from the front of an input.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(super) fn rest_len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        let (byte, rest) = self.rest.split_first().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = u32::try_from(7 * index).expect("at most 63");
            let shifted = bits << shift;
            if shifted >> shift != bits || (byte == 0 && index > 0) {
                return Err(ScriptError::BadNumber.into());
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ScriptError::BadNumber.into())
    }

    /// Decodes a number that must be at most `max`.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, Stop> {
        let count = usize::try_from(self.varint()?).map_err(|_| ScriptError::BadNumber)?;
        if count > max {
            return Err(ScriptError::BadNumber.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire::put_varint;

    #[test]
    fn numbers_come_back_and_have_one_encoding() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint().unwrap(), value);
            assert_eq!(cursor.rest_len(), 0);
            bytes.pop();
            assert!(matches!(Cursor::new(&bytes).varint(), Err(Stop::Short)));
        }
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0x80; 11]] {
            assert!(matches!(Cursor::new(bad).varint(), Err(Stop::Bad(_))), "{bad:x?}");
        }
    }
}
