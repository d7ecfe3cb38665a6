//! Reading and writing the integers and byte strings of FORMAT.md.
//!
//! [`Reader`] never panics and never allocates more than it was given: lengths are checked against
//! what is left before anything is taken.

use crate::base::error::Malformed;
use crate::base::num::u64_of;
use crate::base::num::usize_of;

/// Appends an unsigned LEB128 number.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

/// Appends a signed number in zigzag form.
pub fn put_zigzag(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, u64_of(bytes.len()));
    out.extend_from_slice(bytes);
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// A cursor over bytes that came from outside.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Creates a cursor at the start of `bytes`; `what` names the structure in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Reader { what, bytes }
    }

    /// Returns the error of this structure with the given reason.
    pub fn malformed(&self, why: &'static str) -> Malformed {
        Malformed { what: self.what, why }
    }

    /// Returns how many bytes have not been taken.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next `count` bytes; fails if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((head, tail)) = self.bytes.split_at_checked(count) else {
            return Err(self.malformed("ends early"));
        };
        self.bytes = tail;
        Ok(head)
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((head, tail)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.malformed("ends early"));
        };
        self.bytes = tail;
        Ok(*head)
    }

    /// Takes the next byte; fails if none is left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Takes a 16-bit number.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Takes a 32-bit number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes a 64-bit number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes an unsigned LEB128 number of at most 10 bytes.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.malformed("a number exceeds 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number exceeds 64 bits"))
    }

    /// Takes a varint that must fit 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| self.malformed("a number exceeds 32 bits"))
    }

    /// Takes a signed number in zigzag form.
    pub fn zigzag(&mut self) -> Result<i64, Malformed> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Takes `before` plus a zigzag difference, which must again fit 32 bits.
    pub fn near(&mut self, before: i64) -> Result<u32, Malformed> {
        let difference = self.zigzag()?;
        before
            .checked_add(difference)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| self.malformed("a difference leads out of range"))
    }

    /// Takes a count of things that need at least `bytes_each` bytes each of what is left.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = usize_of(self.varint()?);
        match count.checked_mul(bytes_each) {
            Some(needed) if needed <= self.bytes.len() => Ok(count),
            _ => Err(self.malformed("a count exceeds what follows")),
        }
    }

    /// Takes a length and that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.count(1)?;
        self.take(count)
    }

    /// Ends the structure: nothing may be left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.malformed("has bytes after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            let mut reader = Reader::new("number", &out);
            assert_eq!(reader.varint(), Ok(number));
            reader.finish().unwrap();
        }
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_zigzag(&mut out, number);
            assert_eq!(Reader::new("number", &out).zigzag(), Ok(number));
        }
    }

    #[test]
    fn an_overlong_number_is_refused() {
        let mut reader = Reader::new("number", &[0xff; 11]);
        assert!(reader.varint().is_err());
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_it_is_used() {
        let mut out = Vec::new();
        put_varint(&mut out, 1 << 60);
        assert!(Reader::new("list", &out).count(16).is_err());
    }
}
