//! The CRCs of payloads, computed by the workers: each computes those of the parts that lie in its
//! segment, and the collector joins them in stream order.
//!
//! A payload of mariabackup has 10 MiB, so it lies in several segments. The reader would otherwise
//! touch every byte a second time, on the one thread that no other core can help. It computes the
//! CRCs of small payloads itself: they came through its own buffer, and a segment of many of them
//! has no long list of parts.
//!
//! Invariants:
//! - The parts of one payload come to the collector in their order, since they are of one member.
//! - A payload that has not arrived whole has no CRC that could be compared.

use crc32fast::Hasher;

use crate::base::num::u64_of;
use crate::parse::item::Payload;
use crate::parse::mbstream::StatedCrc;

/// Bytes of the longest payload whose CRC the reader computes.
const CHECKED_BY_READER_BYTES_MAX: u64 = 64 << 10;

/// The way in which the CRC of a payload is computed.
pub(super) enum CrcCheck {
    /// The reader computes it.
    Here(Hasher),
    /// Workers compute it; what precedes the next bytes has this CRC, if nothing came yet.
    ByWorkers(Option<u32>),
}

impl CrcCheck {
    /// Decides where the CRC of a payload is computed.
    pub(super) fn of(payload: &Payload<'_>) -> Self {
        let mut crc = Hasher::new();
        crc.update(payload.crc_prefix());
        if payload.extent.len > CHECKED_BY_READER_BYTES_MAX {
            Self::ByWorkers(Some(crc.finalize()))
        } else {
            Self::Here(crc)
        }
    }

    /// Takes the next bytes of the payload, which follow the first `filled` bytes of a segment.
    pub(super) fn see(&mut self, payloads: &mut Payloads, filled: usize, bytes: &[u8]) {
        match self {
            Self::Here(crc) => crc.update(bytes),
            Self::ByWorkers(before) => {
                if let Some(before) = before.take() {
                    payloads.begin(filled, before);
                }
                payloads.extend(filled, bytes.len());
            }
        }
    }
}

/// A run of bytes in a segment that belong to one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    from: usize,
    to: usize,
    /// The CRC of what the payload's covers before it, in its first part.
    begins: Option<u32>,
    /// The CRC that the frame states, in the last part of the payload.
    ends: Option<StatedCrc>,
}

/// The payloads of a segment whose CRCs its worker computes. Most open files have none, and there
/// may be very many of them: it takes the room of a pointer.
#[derive(Debug, Clone, Default)]
pub struct Payloads(Option<Box<Parts>>);

#[derive(Debug, Clone, Default)]
struct Parts(Vec<Part>);

/// The CRC of one part, with its place in the payload.
#[derive(Debug, Clone, Copy)]
pub struct PartCrc {
    crc: u32,
    bytes: u64,
    begins: Option<u32>,
    ends: Option<StatedCrc>,
}

impl Payloads {
    fn parts(&mut self) -> &mut Vec<Part> {
        &mut self.0.get_or_insert_default().0
    }

    /// Begins a payload after the first `filled` bytes of the segment; `before` is the CRC of what
    /// its CRC covers before it.
    fn begin(&mut self, filled: usize, before: u32) {
        self.parts().push(Part { from: filled, to: filled, begins: Some(before), ends: None });
    }

    /// Counts `count` bytes of the payload that has begun, which follow the first `filled` bytes.
    fn extend(&mut self, filled: usize, count: usize) {
        let parts = self.parts();
        match parts.last_mut() {
            Some(part) if part.ends.is_none() => part.to += count,
            // It began in an earlier segment.
            Some(_) | None => {
                let (from, to) = (filled, filled + count);
                parts.push(Part { from, to, begins: None, ends: None });
            }
        }
    }

    /// Ends the payload, of which all bytes have come.
    pub(super) fn end(&mut self, stated: StatedCrc) {
        let last = self.parts().last_mut();
        last.expect("a payload ends in the segment with its last bytes").ends = Some(stated);
    }

    /// Splits off what lies after the first `at` bytes of the segment, which begins another one.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let Some(Parts(parts)) = self.0.as_deref_mut() else { return Self::default() };
        let keep = parts.partition_point(|part| part.from < at);
        let mut rest = parts.split_off(keep);
        for part in &mut rest {
            part.from -= at;
            part.to -= at;
        }
        if let Some(cut) = parts.last_mut().filter(|part| part.to > at) {
            rest.insert(0, Part { from: 0, to: cut.to - at, begins: None, ends: cut.ends.take() });
            cut.to = at;
        }
        Self((!rest.is_empty()).then(|| Box::new(Parts(rest))))
    }

    /// Computes the CRCs of the parts of `data`, the bytes of the segment.
    pub(super) fn crcs(&self, data: &[u8]) -> Vec<PartCrc> {
        let crc_of = |part: &Part| PartCrc {
            crc: crc32fast::hash(&data[part.from..part.to]),
            bytes: u64_of(part.to - part.from),
            begins: part.begins,
            ends: part.ends,
        };
        self.0.iter().flat_map(|parts| &parts.0).map(crc_of).collect()
    }
}

/// The CRC of a member's payload as far as it has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct PayloadCrc(u32);

impl PayloadCrc {
    /// Takes the next part of the member; at the end of a payload returns the CRC that its frame
    /// states, and the CRC that it has.
    pub(super) fn push(&mut self, part: &PartCrc) -> Option<(StatedCrc, u32)> {
        let mut joined = Hasher::new_with_initial_len(part.begins.unwrap_or(self.0), 0);
        joined.combine(&Hasher::new_with_initial_len(part.crc, part.bytes));
        self.0 = joined.finalize();
        part.ends.map(|stated| (stated, self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::num::usize_of;
    use crate::parse::item::StreamOffset;

    /// Lays payloads of random sizes into segments of random sizes; each segment that is full is
    /// cut somewhere, and its rest begins the next. Returns what the collector finds.
    fn play(seed: u64, prefix: &[u8], spoil: Option<u64>) -> Vec<(StatedCrc, u32)> {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (random >> 33) % below
        };
        let (mut segment, mut parts) = (Vec::new(), Payloads::default());
        let (mut crc, mut found) = (PayloadCrc::default(), Vec::new());
        for number in 0..40 {
            let payload: Vec<u8> = (0..=draw(700)).map(|_| draw(256).to_le_bytes()[0]).collect();
            let stated = crc32fast::hash(&[prefix, &payload].concat());
            let mut left = payload.clone();
            if spoil == Some(number) {
                left[usize_of(draw(u64_of(payload.len())))] ^= 1;
            }
            parts.begin(segment.len(), crc32fast::hash(prefix));
            while !left.is_empty() {
                let count = left.len().min(usize_of(draw(300) + 1));
                parts.extend(segment.len(), count);
                segment.extend(left.drain(..count));
                if draw(3) == 0 && !left.is_empty() {
                    let at = usize_of(draw(u64_of(segment.len()))) + 1;
                    let rest = parts.split_off(at);
                    found.extend(parts.crcs(&segment[..at]).iter().filter_map(|p| crc.push(p)));
                    segment.drain(..at);
                    parts = rest;
                }
            }
            parts.end(StatedCrc { at: StreamOffset::new(number), crc: stated });
            if draw(4) == 0 {
                segment.extend([0; 10]);
                let all = std::mem::take(&mut parts);
                found.extend(all.crcs(&segment).iter().filter_map(|part| crc.push(part)));
                segment.clear();
            }
        }
        found.extend(parts.crcs(&segment).iter().filter_map(|part| crc.push(part)));
        found
    }

    #[test]
    fn the_crc_of_a_payload_is_joined_from_its_parts() {
        for seed in 0..200 {
            for prefix in [&b""[..], b"a map"] {
                let found = play(seed, prefix, None);
                let order: Vec<_> = found.iter().map(|(stated, _)| stated.at.get()).collect();
                assert_eq!(order, (0..40).collect::<Vec<_>>(), "seed {seed}");
                assert!(found.iter().all(|(stated, crc)| stated.crc == *crc), "seed {seed}");
            }
        }
    }

    #[test]
    fn one_wrong_bit_makes_the_crc_of_its_payload_wrong_and_no_other() {
        for seed in 0..20 {
            for spoilt in 0..40 {
                let found = play(seed, b"", Some(spoilt));
                let wrong = found.iter().filter(|(stated, crc)| stated.crc != *crc);
                let wrong: Vec<_> = wrong.map(|(stated, _)| stated.at.get()).collect();
                assert_eq!(wrong, [spoilt], "seed {seed}");
            }
        }
    }
}
