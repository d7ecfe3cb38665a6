//! The members of a stream that have begun and not ended, each with the bytes that no worker has
//! yet.
//!
//! A stream may hold any number of them open, so what they occupy is counted as it changes: a sum
//! over all of them for each item of the stream would make many open files cost their square. Where
//! they would occupy more than they may, the bytes of all but the one that is being filled go to a
//! temporary file, and come back when the stream goes on with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::limits::SEGMENT_BYTES;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::format::record::MemberKey;
use crate::pipeline::increments::IncrementWalk;
use crate::pipeline::payloads::Payloads;
use crate::pipeline::segment::Buffer;
use crate::pipeline::segment::Member;
use crate::pipeline::segment::Pool;

/// A member of which bytes have arrived.
pub(super) struct OpenSegment {
    pub(super) key: MemberKey,
    pub(super) number: u64,
    pub(super) member: Option<Arc<Member>>,
    pub(super) buffer: Buffer,
    pub(super) payloads: Payloads,
    /// The offset of the buffer in the member.
    pub(super) at: u64,
    /// Follows the pages of a `.delta` file.
    pub(super) delta: Option<Box<IncrementWalk>>,
}

/// The open members, by their numbers.
pub(super) struct OpenSegments {
    members: BTreeMap<u64, Held>,
    pool: Pool,
    /// Bytes of all buffers in memory.
    bytes: usize,
    /// Bytes that they may occupy, but for one buffer.
    room: usize,
    swap: Swap,
}

struct Held {
    segment: Box<OpenSegment>,
    /// The place of its bytes, if they are not in its buffer.
    swapped: Option<Swapped>,
}

impl OpenSegments {
    /// Begins without members. Buffers are from `pool`, those in memory occupy up to `room` bytes.
    pub(super) fn new(pool: Pool, room: usize) -> Self {
        Self { members: BTreeMap::new(), pool, bytes: 0, room, swap: Swap::default() }
    }

    /// Lends the pool of the buffers.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns the number of open members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the bytes that are in the temporary file.
    pub(super) fn swapped_bytes(&self) -> u64 {
        self.swap.bytes
    }

    /// Returns the numbers of all open members in ascending order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// Adds a member that is not among them.
    pub(super) fn insert(&mut self, segment: OpenSegment) -> Result<()> {
        let number = segment.number;
        self.bytes += segment.buffer.capacity();
        self.members.insert(number, Held { segment: Box::new(segment), swapped: None });
        self.make_room(number)
    }

    /// Takes out an open member.
    pub(super) fn remove(&mut self, number: u64) -> Result<OpenSegment> {
        self.load(number)?;
        let held = self.members.remove(&number).expect(OPEN);
        self.bytes -= held.segment.buffer.capacity();
        Ok(*held.segment)
    }

    /// Returns an open member. Its buffer is exchanged with [`OpenSegments::replace_buffer`] only.
    pub(super) fn get_mut(&mut self, number: u64) -> Result<&mut OpenSegment> {
        self.load(number)?;
        Ok(&mut self.members.get_mut(&number).expect(OPEN).segment)
    }

    /// Gives an open member another buffer, to which its bytes were copied.
    pub(super) fn replace_buffer(&mut self, number: u64, buffer: Buffer) -> Result<()> {
        let held = self.members.get_mut(&number).expect(OPEN);
        self.bytes = self.bytes - held.segment.buffer.capacity() + buffer.capacity();
        held.segment.buffer = buffer;
        self.make_room(number)
    }

    /// Brings the bytes of a member back into memory.
    fn load(&mut self, number: u64) -> Result<()> {
        let held = self.members.get_mut(&number).expect(OPEN);
        let Some(swapped) = held.swapped.take() else { return Ok(()) };
        let mut buffer = self.pool.get(usize_of_u32(swapped.capacity));
        self.swap.read(swapped, &mut buffer).map_err(Error::temporary_file)?;
        self.bytes += buffer.capacity();
        held.segment.buffer = buffer;
        self.make_room(number)
    }

    /// Writes the bytes of all members but one to the file if all buffers occupy too much.
    fn make_room(&mut self, except: u64) -> Result<()> {
        if self.bytes <= self.room {
            return Ok(());
        }
        for (number, held) in &mut self.members {
            let buffer = &mut held.segment.buffer;
            if *number == except || buffer.filled().is_empty() || held.swapped.is_some() {
                continue;
            }
            held.swapped = Some(self.swap.write(buffer).map_err(Error::temporary_file)?);
            self.bytes -= buffer.capacity();
            *buffer = self.pool.get(0);
        }
        Ok(())
    }
}

/// A temporary file with places for as many segments as it has to hold.
#[derive(Default)]
struct Swap {
    file: Option<File>,
    places: u32,
    free: Vec<u32>,
    bytes: u64,
}

/// The place of a buffer's bytes in the temporary file.
struct Swapped {
    place: u32,
    filled: u32,
    capacity: u32,
}

impl Swap {
    fn write(&mut self, buffer: &Buffer) -> io::Result<Swapped> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let file = self.file.insert(file);
        let place = self.free.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        });
        file.write_all_at(buffer.filled(), position(place))?;
        self.bytes += u64_of(buffer.filled().len());
        let (filled, capacity) = (u32_of(buffer.filled().len()), u32_of(buffer.capacity()));
        Ok(Swapped { place, filled, capacity })
    }

    /// Reads bytes back and forgets their place.
    fn read(&mut self, swapped: Swapped, buffer: &mut Buffer) -> io::Result<()> {
        let Swapped { place, filled, .. } = swapped;
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(&mut buffer.room()[..usize_of_u32(filled)], position(place))?;
        buffer.advance(usize_of_u32(filled));
        self.free.push(place);
        self.bytes -= u64::from(filled);
        Ok(())
    }
}

/// Returns where a place begins in the file.
fn position(place: u32) -> u64 {
    u64::from(place) * u64_of(SEGMENT_BYTES)
}

const OPEN: &str = "the parser opens a member before it fills it, and ends it last";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::num::usize_of;
    use std::collections::HashMap;

    fn segment(number: u64, buffer: Buffer) -> OpenSegment {
        let key = MemberKey { path: Vec::new(), incarnation: 0 };
        OpenSegment {
            key,
            number,
            member: None,
            buffer,
            payloads: Payloads::default(),
            at: 0,
            delta: None,
        }
    }

    /// Plays random members that come, grow and go, in as much room as is given; returns the
    /// largest sum of what their buffers occupied, and what was in the file.
    fn play(room: usize) -> (usize, u64) {
        let mut open = OpenSegments::new(Pool::new(1), room);
        let mut expected: HashMap<u64, Vec<u8>> = HashMap::new();
        let (mut most, mut swapped) = (0, 0);
        for step in 0..3000_u64 {
            let (number, size) = (step * 7 % 60, usize_of(step * 37 % 5000 + 1));
            let mut buffer = open.pool().get(size);
            let byte = step.to_le_bytes()[0];
            let Some(held) = expected.get_mut(&number) else {
                buffer.room()[..size / 2].fill(byte);
                buffer.advance(size / 2);
                expected.insert(number, vec![byte; size / 2]);
                open.insert(segment(number, buffer)).unwrap();
                continue;
            };
            assert_eq!(open.get_mut(number).unwrap().buffer.filled(), held);
            if step % 3 == 0 {
                assert_eq!(open.remove(number).unwrap().buffer.filled(), held);
                expected.remove(&number);
            } else {
                let mut larger = open.pool().get(held.len() + size);
                held.push(byte);
                larger.room()[..held.len()].copy_from_slice(held);
                larger.advance(held.len());
                open.replace_buffer(number, larger).unwrap();
            }
            let in_memory = open.members.values().map(|held| held.segment.buffer.capacity());
            assert_eq!(open.bytes, in_memory.sum::<usize>());
            assert_eq!(open.len(), expected.len());
            (most, swapped) = (most.max(open.bytes), swapped.max(open.swapped_bytes()));
        }
        assert!(open.swap.places <= 60, "places are used again");
        (most, swapped)
    }

    #[test]
    fn what_is_too_much_goes_to_a_file_and_comes_back() {
        let (most, swapped) = play(usize::MAX);
        assert!(most > 50_000 && swapped == 0, "{most} {swapped}");
        let (most, swapped) = play(20_000);
        assert!(most <= 20_000 + 10_000 && swapped > 0, "{most} {swapped}");
        let (most, _) = play(0);
        assert!(most <= 10_000, "{most}: there is no more than one in memory");
    }
}
