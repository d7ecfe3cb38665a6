//! The fields of a tar header: the block of 512 bytes before each entry, and the records of a pax
//! header.
//!
//! | at | bytes | field | in |
//! |---|---|---|---|
//! | 0 | 100 | name | all |
//! | 100 | 8 | mode | all |
//! | 108 | 8 | owner | all |
//! | 116 | 8 | group | all |
//! | 124 | 12 | size | all |
//! | 136 | 12 | time of the last change | all |
//! | 148 | 8 | sum of all bytes, these as spaces | all |
//! | 156 | 1 | type | all |
//! | 157 | 100 | what a link leads to | all |
//! | 257 | 8 | `ustar`, zero, `00`; or `ustar`, two spaces, zero | ustar, pax; GNU |
//! | 265 | 32 | name of the owner | ustar, pax, GNU |
//! | 297 | 32 | name of the group | ustar, pax, GNU |
//! | 329 | 8 | major number | ustar, pax, GNU |
//! | 337 | 8 | minor number | ustar, pax, GNU |
//! | 345 | 155 | what stands before the name | ustar, pax |
//! | 386 | 96 | first four parts of a sparse file | GNU, type `S` |
//! | 482 | 1 | whether a block with more parts follows | GNU, type `S` |
//! | 483 | 12 | size of the sparse file | GNU, type `S` |
//!
//! A number is octal digits, ended by a space or a zero, or (highest bit of the first byte set) a
//! big-endian integer of two's complement in the other bits.
//!
//! - What can't be read is said to be so; no number is guessed.

/// Bytes of a header, and the unit of everything else.
pub const BLOCK: usize = 512;

/// The offset of the bytes that say that a tar is one.
const MAGIC_AT: usize = 257;
const CHECKSUM_AT: usize = 148;
/// Parts of a sparse file in a header, and in each block that continues it.
const PARTS_AT: usize = 386;
const PARTS_IN_HEADER: usize = 4;
const PARTS_IN_BLOCK: usize = 21;
const PART_BYTES: usize = 24;
const MORE_PARTS_AT: usize = 482;
const MORE_PARTS_IN_BLOCK_AT: usize = 504;
const SPARSE_SIZE_AT: usize = 483;

/// A header whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub struct Header<'b>(&'b [u8; BLOCK]);

/// A part of a sparse file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The offset at which it stands in the file.
    pub at: u64,
    /// Number of bytes of the part.
    pub length: u64,
}

impl<'b> Header<'b> {
    /// Takes a block whose checksum is right.
    pub fn new(block: &'b [u8; BLOCK]) -> Option<Self> {
        let stated = number(&block[CHECKSUM_AT..CHECKSUM_AT + 8])?;
        let blank = |at: usize, byte: u8| {
            let inside = (CHECKSUM_AT..CHECKSUM_AT + 8).contains(&at);
            if inside { b' ' } else { byte }
        };
        let unsigned: i64 = (0..).zip(block).map(|(at, b)| i64::from(blank(at, *b))).sum();
        // Some ancient programs added the bytes as signed ones.
        let signed = |at, byte| i64::from(blank(at, byte).cast_signed());
        let signed: i64 = (0..).zip(block).map(|(at, b)| signed(at, *b)).sum();
        [unsigned, signed].contains(&stated).then_some(Header(block))
    }

    /// Tells whether the header has the mark of a tar, as all but those of before 1988 do.
    pub fn has_magic(self) -> bool {
        self.0[MAGIC_AT..].starts_with(b"ustar")
    }

    /// Tells whether it can be one of those without the mark: then its checksum is proof, if it has
    /// a name and numbers where they have to be.
    pub fn is_of_version_7(self) -> bool {
        let numbers = [self.mode(), self.owner(), self.group(), self.changed()];
        !text(self.field(0, 100)).is_empty()
            && matches!(self.kind(), 0 | b'0' | b'1' | b'2' | b'5')
            && numbers.iter().all(Option::is_some)
            && self.size().is_some()
    }

    fn is_posix(self) -> bool {
        self.0[MAGIC_AT..].starts_with(b"ustar\0")
    }

    fn field(self, at: usize, bytes: usize) -> &'b [u8] {
        &self.0[at..at + bytes]
    }

    /// Returns the byte that states the type of the entry.
    pub fn kind(self) -> u8 {
        self.0[156]
    }

    /// Returns the name, with the prefix field before it.
    pub fn name(self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let prefix = if self.is_posix() { text(self.field(345, 155)) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Returns what a link leads to.
    pub fn link(self) -> &'b [u8] {
        text(self.field(157, 100))
    }

    /// Returns the permissions; `None` if the field is no number.
    pub fn mode(self) -> Option<i64> {
        number(self.field(100, 8))
    }

    /// Returns the number of the owner; `None` if the field is no number.
    pub fn owner(self) -> Option<i64> {
        number(self.field(108, 8))
    }

    /// Returns the number of the group; `None` if the field is no number.
    pub fn group(self) -> Option<i64> {
        number(self.field(116, 8))
    }

    /// Returns the name of the owner; empty if there is none.
    pub fn owner_name(self) -> &'b [u8] {
        if self.has_magic() { text(self.field(265, 32)) } else { b"" }
    }

    /// Returns the name of the group; empty if there is none.
    pub fn group_name(self) -> &'b [u8] {
        if self.has_magic() { text(self.field(297, 32)) } else { b"" }
    }

    /// Returns the number of bytes that follow; `None` if the field is no such number.
    pub fn size(self) -> Option<u64> {
        u64::try_from(number(self.field(124, 12))?).ok()
    }

    /// Returns the time of the last change, seconds since 1970.
    pub fn changed(self) -> Option<i64> {
        number(self.field(136, 12))
    }

    /// Returns the major and minor number of a device.
    pub fn device(self) -> Option<(i64, i64)> {
        Some((number(self.field(329, 8))?, number(self.field(337, 8))?))
    }

    /// Returns the size of a sparse file of the GNU format, its first parts, and whether more
    /// follow.
    pub fn sparse(self) -> Option<(u64, Vec<Part>, bool)> {
        let size = u64::try_from(number(self.field(SPARSE_SIZE_AT, 12))?).ok()?;
        let parts = parts(&self.0[PARTS_AT..], PARTS_IN_HEADER)?;
        Some((size, parts, self.0[MORE_PARTS_AT] != 0))
    }
}

/// Returns the parts in a block that continues a header, and whether another one follows.
pub fn more_parts(block: &[u8; BLOCK]) -> Option<(Vec<Part>, bool)> {
    Some((parts(block, PARTS_IN_BLOCK)?, block[MORE_PARTS_IN_BLOCK_AT] != 0))
}

fn parts(bytes: &[u8], most: usize) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for part in bytes.chunks_exact(PART_BYTES).take(most) {
        let (at, length) = part.split_at(PART_BYTES / 2);
        if at[0] == 0 {
            break;
        }
        let at = u64::try_from(number(at)?).ok()?;
        parts.push(Part { at, length: u64::try_from(number(length)?).ok()? });
    }
    Some(parts)
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads a number; an empty field is 0.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The sign is the bit after the mark.
        let start = i128::from(first & 0x7f) - if first & 0x40 == 0 { 0 } else { 0x80 };
        let fold = rest.iter().try_fold(start, |sum: i128, byte| {
            sum.checked_mul(256).map(|sum| sum + i128::from(*byte))
        });
        return i64::try_from(fold?).ok();
    }
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ');
    let mut sum: i64 = 0;
    for byte in digits {
        match byte {
            b'0'..=b'7' => sum = sum.checked_mul(8)?.checked_add(i64::from(byte - b'0'))?,
            b' ' | 0 => break,
            _ => return None,
        }
    }
    Some(sum)
}

/// Takes a pax header apart: calls `each` for every key and value. `None` if it is malformed.
pub fn records(mut text: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
    while !text.is_empty() {
        let space = text.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
        if length <= space || length > text.len() {
            return None;
        }
        let (record, rest) = text.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        each(&record[..equals], &record[equals + 1..]);
        text = rest;
    }
    Some(())
}

/// Reads seconds and nanoseconds of a pax time, such as `1700000000.123456789` or `-1.5`.
pub fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{part:0<9}").get(..9)?.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        // Half a second before -1 is half a second after -2.
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

/// Reads a decimal number of a pax header.
pub fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"7777777777777777777777777", None),
            (b"0000x44\0", None),
            (b"\x80\0\0\0\0\0\0\x05\0\0\0\0", Some(5 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn times_have_parts_of_a_second() {
        assert_eq!(time(b"17"), Some((17, 0)));
        assert_eq!(time(b"17.5"), Some((17, 500_000_000)));
        assert_eq!(time(b"17.1234567899"), Some((17, 123_456_789)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b""), None);
    }

    #[test]
    fn records_are_split_by_their_lengths() {
        let mut found = Vec::new();
        let mut keep = |key: &[u8], value: &[u8]| found.push((key.to_vec(), value.to_vec()));
        records(b"11 path=a=\n8 x=\n\n\n\n", &mut keep).unwrap();
        assert_eq!(found[0], (b"path".to_vec(), b"a=".to_vec()));
        assert_eq!(found[1], (b"x".to_vec(), b"\n\n\n".to_vec()));
        for wrong in [&b"12 path=a\n"[..], b"10 path=ab", b"4 a\n", b"x a=b\n", b"0 =\n", b"99"] {
            assert_eq!(records(wrong, &mut |_, _| {}), None, "{}", wrong.escape_ascii());
        }
    }
}
