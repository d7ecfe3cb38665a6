//! Follows a gzip stream: headers, the codes of its blocks, trailers.
//!
//! The length of a DEFLATE block is stated nowhere; it ends with a code, so each code has to be
//! read. What the codes stand for is only counted: that is the length which the trailer states,
//! and neither a window nor output is needed.

use crate::parse::compressed::end::CompressedEnd;

const MAGIC: [u8; 3] = [0x1F, 0x8B, 8];
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

/// Bits of the number that a code is turned round in.
const CODE_WORD_BITS: usize = 16;
/// Bits of the longest code.
const CODE_BITS_MAX: usize = 15;
/// Codes for literals and lengths, and all codes together.
const LITERALS_MAX: usize = 288;
const LENGTHS_MAX: usize = LITERALS_MAX + 32;
/// The code that ends a block.
const BLOCK_END: u16 = 256;
/// The order in which the lengths of the codes for lengths stand.
const LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The part of a member that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A field of this many bytes.
    Field(Field, usize),
    /// A text that ends with a zero.
    Text(Field),
    /// This many bytes to skip, then a field.
    Skip(usize, Field),
    BlockHeader,
    /// The number of codes of each kind.
    CodeCounts,
    /// The lengths of the codes for lengths.
    CodeLengthLengths,
    /// The lengths of the codes.
    CodeLengths,
    Codes,
    StoredLength,
    Stored(usize),
    Over(CompressedEnd),
}

/// A part of a header, or the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Header,
    ExtraLength,
    Name,
    Comment,
    Checksum,
    Trailer,
}

/// Codes by their bits: in a table of all combinations of as many bits as the longest has.
#[derive(Debug, Default)]
struct Codes {
    bits: usize,
    /// The symbol and, in the low four bits, the length of its code; 0 for none.
    table: Vec<u16>,
}

/// The bits that were read ahead.
#[derive(Debug, Default)]
struct Bits {
    value: u64,
    count: usize,
}

/// Follows the members of one stream of gzip.
#[derive(Debug)]
pub struct Gzip {
    stage: Stage,
    field: Vec<u8>,
    flags: u8,
    bits: Bits,
    is_last_block: bool,
    literals: Codes,
    distances: Codes,
    length_codes: Codes,
    lengths: Vec<u8>,
    /// The numbers of codes for literals, distances and lengths.
    counts: (usize, usize, usize),
    /// Bytes that the stream unpacks to, as far as the trailer tells.
    unpacked: u32,
    members: u64,
}

/// The state of decoding: it can go on, or needs more bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Made,
    Starved,
    Wrong,
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            stage: Stage::Field(Field::Header, HEADER_BYTES),
            field: Vec::new(),
            flags: 0,
            bits: Bits::default(),
            is_last_block: false,
            literals: Codes::default(),
            distances: Codes::default(),
            length_codes: Codes::default(),
            lengths: Vec::new(),
            counts: (0, 0, 0),
            unpacked: 0,
            members: 0,
        }
    }
}

impl Gzip {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        loop {
            let progress = match self.stage {
                Stage::Over(_) => return,
                Stage::Field(field, length) => self.fill(field, length, &mut bytes),
                Stage::Text(field) => self.pass_text(field, &mut bytes),
                Stage::Skip(left, field) => self.skip(left, &mut bytes, Some(field)),
                Stage::Stored(left) => self.skip(left, &mut bytes, None),
                Stage::BlockHeader => self.block_header(&mut bytes),
                Stage::CodeCounts => self.code_counts(&mut bytes),
                Stage::CodeLengthLengths => self.code_length_lengths(&mut bytes),
                Stage::CodeLengths => self.code_lengths(&mut bytes),
                Stage::Codes => self.codes(&mut bytes),
                Stage::StoredLength => self.stored_length(&mut bytes),
            };
            match progress {
                Progress::Made => {}
                Progress::Starved => return,
                Progress::Wrong => self.stage = Stage::Over(CompressedEnd::Malformed),
            }
        }
    }

    /// Tells how the stream ended, if it ends here.
    pub fn finish(&self) -> CompressedEnd {
        match self.stage {
            Stage::Over(end) => end,
            // Zeros fill up a tape's block, and are passed over by gzip.
            Stage::Field(Field::Header, _)
                if self.members > 0 && self.field.iter().all(|byte| *byte == 0) =>
            {
                CompressedEnd::Whole
            }
            Stage::Field(Field::Header, _) if self.members > 0 => CompressedEnd::Followed,
            Stage::Field(..)
            | Stage::Text(_)
            | Stage::Skip(..)
            | Stage::BlockHeader
            | Stage::CodeCounts
            | Stage::CodeLengthLengths
            | Stage::CodeLengths
            | Stage::Codes
            | Stage::StoredLength
            | Stage::Stored(_) => CompressedEnd::Cut,
        }
    }

    // --- headers and trailers, which consist of whole bytes -----------------------------------

    /// Takes a byte, of those that were read ahead first.
    fn byte(&mut self, bytes: &mut &[u8]) -> Option<u8> {
        if self.bits.count >= 8 {
            return u8::try_from(self.bits.take(8)).ok();
        }
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(*first)
    }

    fn fill(&mut self, field: Field, length: usize, bytes: &mut &[u8]) -> Progress {
        while self.field.len() < length {
            let Some(byte) = self.byte(bytes) else { return Progress::Starved };
            self.field.push(byte);
            let is_padding = field == Field::Header && self.members > 0 && self.field == [0];
            if is_padding {
                self.field.clear();
            }
        }
        let whole = std::mem::take(&mut self.field);
        match field {
            Field::Header => self.end_header(&whole),
            Field::ExtraLength => {
                let length = usize::from(u16::from_le_bytes([whole[0], whole[1]]));
                self.stage = Stage::Skip(length, Field::Name);
                Progress::Made
            }
            Field::Checksum => {
                self.stage = Stage::BlockHeader;
                Progress::Made
            }
            Field::Trailer => self.end_trailer(&whole),
            Field::Name | Field::Comment => Progress::Wrong,
        }
    }

    fn end_header(&mut self, header: &[u8]) -> Progress {
        if !header.starts_with(&MAGIC) {
            let end =
                if self.members > 0 { CompressedEnd::Followed } else { CompressedEnd::Malformed };
            self.stage = Stage::Over(end);
            return Progress::Made;
        }
        self.flags = header[MAGIC.len()];
        self.unpacked = 0;
        if self.flags & HAS_EXTRA != 0 {
            self.stage = Stage::Field(Field::ExtraLength, 2);
        } else {
            self.go_on_with(Field::Name);
        }
        Progress::Made
    }

    /// Goes on with a field of the header, or with what comes after it if it is not there.
    fn go_on_with(&mut self, field: Field) {
        let has = |flag| self.flags & flag != 0;
        let (may_be_name, may_be_comment) =
            (field == Field::Name, matches!(field, Field::Name | Field::Comment));
        self.stage = if may_be_name && has(HAS_NAME) {
            Stage::Text(Field::Name)
        } else if may_be_comment && has(HAS_COMMENT) {
            Stage::Text(Field::Comment)
        } else if has(HAS_HEADER_CHECKSUM) {
            Stage::Field(Field::Checksum, 2)
        } else {
            Stage::BlockHeader
        };
    }

    fn pass_text(&mut self, field: Field, bytes: &mut &[u8]) -> Progress {
        loop {
            match self.byte(bytes) {
                None => return Progress::Starved,
                Some(0) => break,
                Some(_) => {}
            }
        }
        self.go_on_with(if field == Field::Name { Field::Comment } else { Field::Checksum });
        Progress::Made
    }

    /// Passes bytes, then goes on with a field of the header or with the next block.
    fn skip(&mut self, left: usize, bytes: &mut &[u8], field: Option<Field>) -> Progress {
        let mut left = left;
        while left > 0 && self.bits.count >= 8 {
            self.bits.take(8);
            left -= 1;
        }
        let passed = left.min(bytes.len());
        *bytes = &bytes[passed..];
        left -= passed;
        if left > 0 {
            self.stage = field.map_or(Stage::Stored(left), |field| Stage::Skip(left, field));
            return Progress::Starved;
        }
        match field {
            Some(field) => self.go_on_with(field),
            None => self.end_block(),
        }
        Progress::Made
    }

    fn end_trailer(&mut self, trailer: &[u8]) -> Progress {
        let stated = trailer.last_chunk().map(|length| u32::from_le_bytes(*length));
        if stated != Some(self.unpacked) {
            return Progress::Wrong;
        }
        self.members += 1;
        self.stage = Stage::Field(Field::Header, HEADER_BYTES);
        Progress::Made
    }

    // --- blocks, which consist of bits -----------------------------------------------------------

    fn end_block(&mut self) {
        self.stage = if self.is_last_block {
            self.bits.align();
            Stage::Field(Field::Trailer, TRAILER_BYTES)
        } else {
            Stage::BlockHeader
        };
    }

    fn block_header(&mut self, bytes: &mut &[u8]) -> Progress {
        self.bits.fill(bytes);
        if self.bits.count < 3 {
            return Progress::Starved;
        }
        self.is_last_block = self.bits.take(1) == 1;
        self.stage = match self.bits.take(2) {
            0 => {
                self.bits.align();
                Stage::StoredLength
            }
            1 => {
                let lengths: Vec<u8> =
                    [(144, 8), (112, 9), (24, 7), (8, 8)].map(|(n, l)| vec![l; n]).concat();
                self.literals = Codes::new(&lengths).unwrap_or_default();
                self.distances = Codes::new(&[5; 30]).unwrap_or_default();
                Stage::Codes
            }
            2 => Stage::CodeCounts,
            _ => return Progress::Wrong,
        };
        Progress::Made
    }

    fn stored_length(&mut self, bytes: &mut &[u8]) -> Progress {
        self.bits.fill(bytes);
        if self.bits.count < 32 {
            return Progress::Starved;
        }
        let (length, inverse) = (self.bits.take(16), self.bits.take(16));
        if length ^ inverse != 0xFFFF {
            return Progress::Wrong;
        }
        self.unpacked = self.unpacked.wrapping_add(length);
        self.stage = Stage::Stored(crate::base::num::usize_of_u32(length));
        Progress::Made
    }

    fn code_counts(&mut self, bytes: &mut &[u8]) -> Progress {
        self.bits.fill(bytes);
        if self.bits.count < 14 {
            return Progress::Starved;
        }
        let mut count = |bits, least| crate::base::num::usize_of_u32(self.bits.take(bits)) + least;
        self.counts = (count(5, 257), count(5, 1), count(4, 4));
        self.lengths.clear();
        self.stage = Stage::CodeLengthLengths;
        Progress::Made
    }

    fn code_length_lengths(&mut self, bytes: &mut &[u8]) -> Progress {
        while self.lengths.len() < self.counts.2 {
            self.bits.fill(bytes);
            if self.bits.count < 3 {
                return Progress::Starved;
            }
            self.lengths.push(u8::try_from(self.bits.take(3)).unwrap_or_default());
        }
        let mut lengths = [0; LENGTH_ORDER.len()];
        for (place, length) in LENGTH_ORDER.iter().zip(self.lengths.drain(..)) {
            lengths[usize::from(*place)] = length;
        }
        let Some(codes) = Codes::new(&lengths) else { return Progress::Wrong };
        self.length_codes = codes;
        self.stage = Stage::CodeLengths;
        Progress::Made
    }

    fn code_lengths(&mut self, bytes: &mut &[u8]) -> Progress {
        let (literals, distances, _) = self.counts;
        while self.lengths.len() < literals + distances {
            self.bits.fill(bytes);
            let Some((symbol, code_bits)) = self.length_codes.find(&self.bits) else {
                return self.unreadable();
            };
            let extra_bits = match symbol {
                16 => 2,
                17 => 3,
                18 => 7,
                _ => 0,
            };
            if self.bits.count < code_bits + extra_bits {
                return Progress::Starved;
            }
            self.bits.take(code_bits);
            let extra = crate::base::num::usize_of_u32(self.bits.take(extra_bits));
            let (length, times) = match symbol {
                16 => (self.lengths.last().copied(), 3 + extra),
                17 => (Some(0), 3 + extra),
                18 => (Some(0), 11 + extra),
                length => (u8::try_from(length).ok(), 1),
            };
            let Some(length) = length else { return Progress::Wrong };
            self.lengths.resize(self.lengths.len() + times, length);
        }
        if self.lengths.len() > (literals + distances).min(LENGTHS_MAX) {
            return Progress::Wrong;
        }
        let (literals, distances) = self.lengths.split_at(literals);
        let codes = (Codes::new(literals), Codes::new(distances));
        let (Some(literals), Some(distances)) = codes else { return Progress::Wrong };
        (self.literals, self.distances) = (literals, distances);
        self.stage = Stage::Codes;
        Progress::Made
    }

    /// Says of bits that begin no code whether more of them may.
    fn unreadable(&self) -> Progress {
        if self.bits.count < CODE_BITS_MAX { Progress::Starved } else { Progress::Wrong }
    }

    fn codes(&mut self, bytes: &mut &[u8]) -> Progress {
        loop {
            self.bits.fill(bytes);
            let Some((symbol, code_bits)) = self.literals.find(&self.bits) else {
                return self.unreadable();
            };
            if self.bits.count < code_bits {
                return Progress::Starved;
            }
            if symbol == BLOCK_END {
                self.bits.take(code_bits);
                self.end_block();
                return Progress::Made;
            }
            if symbol < BLOCK_END {
                self.bits.take(code_bits);
                self.unpacked = self.unpacked.wrapping_add(1);
                continue;
            }
            let progress = self.copy(symbol, code_bits);
            if progress != Progress::Made {
                return progress;
            }
        }
    }

    /// Counts what is copied from before: a length with extra bits, a distance with extra bits.
    fn copy(&mut self, symbol: u16, code_bits: usize) -> Progress {
        let Some((length, length_bits)) = length_of(symbol) else { return Progress::Wrong };
        let mut ahead = Bits { value: self.bits.value, count: self.bits.count };
        if ahead.count < code_bits + length_bits {
            return Progress::Starved;
        }
        ahead.take(code_bits);
        let length = length + ahead.take(length_bits);
        let Some((distance, code_bits)) = self.distances.find(&ahead) else {
            // The other codes may take up to 20 of the 56 bits that there are at least.
            return if ahead.count < CODE_BITS_MAX { Progress::Starved } else { Progress::Wrong };
        };
        let distance_bits = usize::from(distance / 2).saturating_sub(1);
        if distance >= 30 {
            return Progress::Wrong;
        }
        if ahead.count < code_bits + distance_bits {
            return Progress::Starved;
        }
        ahead.take(code_bits);
        ahead.take(distance_bits);
        self.bits = ahead;
        self.unpacked = self.unpacked.wrapping_add(length);
        Progress::Made
    }
}

/// Returns the least length that a symbol stands for, and the extra bits that add to it.
fn length_of(symbol: u16) -> Option<(u32, usize)> {
    let code = u32::from(symbol).checked_sub(257)?;
    match code {
        0..=7 => Some((code + 3, 0)),
        8..=27 => {
            let bits = code / 4 - 1;
            let length = ((4 + code % 4) << bits) + 3;
            Some((length, crate::base::num::usize_of_u32(bits)))
        }
        28 => Some((258, 0)),
        _ => None,
    }
}

impl Bits {
    /// Reads ahead until there are 56 bits, or as many as there are.
    fn fill(&mut self, bytes: &mut &[u8]) {
        if self.count >= 56 {
            return;
        }
        if let Some(word) = bytes.first_chunk() {
            self.value |= u64::from_le_bytes(*word) << self.count;
            let taken = (63 - self.count) >> 3;
            self.count += taken * 8;
            // What is beyond the count is read again.
            self.value &= u64::MAX >> (64 - self.count);
            *bytes = &bytes[taken..];
            return;
        }
        while let Some((first, rest)) = bytes.split_first().filter(|_| self.count < 56) {
            self.value |= u64::from(*first) << self.count;
            self.count += 8;
            *bytes = rest;
        }
    }

    /// Takes bits, of which there are enough; at most 16.
    fn take(&mut self, bits: usize) -> u32 {
        let taken = self.value & ((1 << bits) - 1);
        self.value >>= bits;
        self.count -= bits;
        u32::try_from(taken).unwrap_or_default()
    }

    /// Drops what is left of a byte.
    fn align(&mut self) {
        self.take(self.count % 8);
    }
}

impl Codes {
    /// Makes the table of codes with these lengths; `None` if they are too many for their lengths.
    fn new(lengths: &[u8]) -> Option<Self> {
        let bits = usize::from(lengths.iter().copied().max().unwrap_or(0));
        let mut counts = [0_usize; CODE_BITS_MAX + 1];
        lengths.iter().for_each(|length| counts[usize::from(*length)] += 1);
        counts[0] = 0;
        let mut next = [0_usize; CODE_BITS_MAX + 2];
        for length in 1..=CODE_BITS_MAX {
            next[length + 1] = (next[length] + counts[length]) << 1;
            if next[length] + counts[length] > 1 << length {
                return None;
            }
        }
        let mut table = vec![0; 1 << bits];
        for (symbol, length) in (0_u16..).zip(lengths).filter(|(_, length)| **length > 0) {
            let length = usize::from(*length);
            let code = next[length];
            next[length] += 1;
            // The bits of a code come in the other order.
            let code = u16::try_from(code).unwrap_or_default();
            let reversed = usize::from(code.reverse_bits() >> (CODE_WORD_BITS - length));
            let entry = symbol << 4 | u16::try_from(length).unwrap_or_default();
            table.iter_mut().skip(reversed).step_by(1 << length).for_each(|slot| *slot = entry);
        }
        Some(Self { bits, table })
    }

    /// Returns the symbol whose code comes next, with the bits of the code; they may be more than
    /// there are.
    fn find(&self, bits: &Bits) -> Option<(u16, usize)> {
        let mask = (1 << self.bits) - 1;
        let at = usize::try_from(bits.value & mask).ok()?;
        let entry = *self.table.get(at)?;
        (entry != 0).then_some((entry >> 4, usize::from(entry & 0xF)))
    }
}
