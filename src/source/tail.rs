//! Bytes that a producer gave before its reader took them: first in, first out, a part of them in
//! memory and what is too much for that in a file, the spool.
//!
//! Room alone decides whether a piece is in memory or in the spool. Pieces keep their order: one
//! goes into memory again as soon as there is room, although earlier ones are still in the spool.
//! The spool is a ring, so its size bounds what is in it at once, not what goes through it.
//!
//! Invariants:
//! - Memory holds at most what it was given room for, unless a piece is [pushed](Tail::push) by
//!   force.
//! - Nothing is read of the spool that was not written to it: a piece is put into the order after
//!   its bytes are in the file.
//!
//! [`Tail`] keeps the books and does no I/O, so that a disk that hangs holds no lock; the file is
//! in [`Spool`].

use std::collections::VecDeque;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::base::num::u64_of;
use crate::base::num::usize_of;

/// The mode of a spool.
const MODE: u32 = 0o600;
/// The divisor of the free space that gives how much of it a spool may take.
const FREE_PART: u64 = 2;

/// A temporary file that has no name, so that nothing is left of it, whatever ends the program.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    size: u64,
}

impl Spool {
    /// Creates a spool in a directory, for `size` bytes, but at most half of what is free there.
    pub(super) fn create(directory: &Path, size: u64) -> io::Result<Self> {
        // Without a name from the beginning, where the file system can do that; then its mode is
        // that of any new file.
        let file = tempfile::tempfile_in(directory)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        let room = rustix::fs::fstatvfs(&file)?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        Ok(Self { file, size: size.min(free / FREE_PART) })
    }

    /// Returns the bytes that it holds at most.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Writes bytes at a place, which goes on at the beginning of the file where it ends.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (at, first) = self.split(at, bytes.len());
        self.file.write_all_at(&bytes[..first], at)?;
        self.file.write_all_at(&bytes[first..], 0)
    }

    /// Reads bytes from a place.
    pub(super) fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (at, first) = self.split(at, bytes.len());
        let (first, second) = bytes.split_at_mut(first);
        self.file.read_exact_at(first, at)?;
        self.file.read_exact_at(second, 0)
    }

    /// Returns where a place is in the file, and how many of the bytes there come before its end.
    fn split(&self, at: u64, length: usize) -> (u64, usize) {
        let at = at % self.size.max(1);
        (at, length.min(usize_of(self.size - at)))
    }
}

/// A place for a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory, which has room.
    Memory,
    /// In the spool, from this place on.
    Spool(u64),
    /// There is no room.
    Nowhere,
}

/// A part of the stream.
#[derive(Debug)]
enum Piece {
    /// Its bytes, of which the first have been taken.
    Memory { bytes: Vec<u8>, taken: usize },
    /// The number of bytes that follow in the spool.
    Spooled(usize),
}

/// What can be taken next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The number of bytes that were copied.
    Copied(usize),
    /// The place in the spool, and the number of bytes from there on.
    Spooled(u64, usize),
}

/// The bytes that wait for their reader.
#[derive(Debug)]
pub(super) struct Tail {
    pieces: VecDeque<Piece>,
    memory: usize,
    memory_max: usize,
    spool_size: u64,
    /// Bytes that have gone into the spool, or have a place there, since it was empty.
    written: u64,
    /// Those of them that were taken again.
    freed: u64,
}

impl Tail {
    /// Creates an empty one, without a spool.
    pub(super) fn new(memory_max: usize) -> Self {
        let pieces = VecDeque::new();
        Self { pieces, memory: 0, memory_max, spool_size: 0, written: 0, freed: 0 }
    }

    /// Sets the size of the spool; nothing goes into one of 0 bytes any more.
    pub(super) fn set_spool_size(&mut self, size: u64) {
        self.spool_size = size;
    }

    /// Chooses the place of the next piece. One in the spool is taken from then on: the piece is
    /// written there and [pushed](Self::push_spooled), or the place is [given
    /// back](Self::give_back).
    pub(super) fn place(&mut self, length: usize) -> Place {
        if self.memory + length <= self.memory_max {
            return Place::Memory;
        }
        let at = self.written;
        if at - self.freed + u64_of(length) <= self.spool_size {
            self.written += u64_of(length);
            return Place::Spool(at);
        }
        Place::Nowhere
    }

    /// Gives back the place that the last call of [`place`](Self::place) chose in the spool.
    pub(super) fn give_back(&mut self, length: usize) {
        self.written -= u64_of(length);
    }

    /// Appends a piece in memory, whether there is room or not.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.memory += bytes.len();
        self.pieces.push_back(Piece::Memory { bytes, taken: 0 });
    }

    /// Appends a piece that has been written to the place that [`place`](Self::place) chose.
    pub(super) fn push_spooled(&mut self, length: usize) {
        self.pieces.push_back(Piece::Spooled(length));
    }

    /// Takes the next bytes that are in memory, or says where in the spool they are; nothing if
    /// there are none.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Option<Next> {
        match self.pieces.front_mut()? {
            Piece::Spooled(length) => Some(Next::Spooled(self.freed, buffer.len().min(*length))),
            Piece::Memory { bytes, taken } => {
                let count = buffer.len().min(bytes.len() - *taken);
                buffer[..count].copy_from_slice(&bytes[*taken..*taken + count]);
                *taken += count;
                if *taken == bytes.len() {
                    self.memory -= *taken;
                    self.pieces.pop_front();
                }
                Some(Next::Copied(count))
            }
        }
    }

    /// Drops bytes of the front piece, which is in the spool.
    pub(super) fn free(&mut self, count: usize) {
        let Some(Piece::Spooled(length)) = self.pieces.front_mut() else {
            unreachable!("only its reader takes the front piece");
        };
        *length -= count;
        self.freed += u64_of(count);
        if *length == 0 {
            self.pieces.pop_front();
        }
        if self.freed == self.written {
            // From the beginning of the file again, which is in memory still.
            (self.written, self.freed) = (0, 0);
        }
    }

    /// Tells whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Puts a piece where there is room; false if there is none.
    fn put(tail: &mut Tail, spool: &Spool, piece: &[u8]) -> bool {
        match tail.place(piece.len()) {
            Place::Memory => tail.push(piece.to_vec()),
            Place::Spool(at) => {
                spool.write(at, piece).unwrap();
                tail.push_spooled(piece.len());
            }
            Place::Nowhere => return false,
        }
        true
    }

    fn take(tail: &mut Tail, spool: &Spool, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let count = match tail.next(&mut buffer) {
            None => 0,
            Some(Next::Copied(count)) => count,
            Some(Next::Spooled(at, count)) => {
                spool.read(at, &mut buffer[..count]).unwrap();
                tail.free(count);
                count
            }
        };
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn bytes_come_back_in_order_whatever_holds_them() {
        let directory = tempfile::tempdir().unwrap();
        for (memory, size) in [(0, 1000), (100, 1000), (1000, 0), (300, 301), (64, 97)] {
            let spool = Spool::create(directory.path(), size).unwrap();
            let mut tail = Tail::new(memory);
            tail.set_spool_size(spool.size());
            let mut next = 0_u8;
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            let mut refused = 0;
            for step in 0..3000_usize {
                let piece: Vec<u8> = (0..=step * 7 % 61)
                    .map(|at| next.wrapping_add(u8::try_from(at).unwrap()))
                    .collect();
                if put(&mut tail, &spool, &piece) {
                    next = next.wrapping_add(31);
                    given.extend(piece);
                } else {
                    refused += 1;
                }
                // Slower than it comes, so that it is full now and then.
                if step % 3 != 0 {
                    taken.extend(take(&mut tail, &spool, step * 13 % 41 + 1));
                }
                assert!(tail.memory <= memory, "{} bytes in memory", tail.memory);
                assert!(tail.written - tail.freed <= size);
            }
            while !tail.is_empty() {
                taken.extend(take(&mut tail, &spool, 50));
            }
            assert!(given == taken, "{memory} {size}");
            assert!(refused > 0 && given.len() > 20 * (memory + usize_of(size)), "{refused}");
            assert_eq!((tail.memory, tail.written, tail.freed), (0, 0, 0));
            assert!(spool.file.metadata().unwrap().len() <= size, "the file grew");
        }
    }

    #[test]
    fn a_spool_has_no_name_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path(), 100).unwrap();
        spool.write(0, b"secret").unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let metadata = spool.file.metadata().unwrap();
        assert_eq!((metadata.nlink(), metadata.permissions().mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn a_spool_takes_half_of_what_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path(), u64::MAX).unwrap();
        let room = rustix::fs::statvfs(directory.path()).unwrap();
        let size = room.f_blocks * room.f_frsize;
        assert!(spool.size() > 0 && spool.size() <= size / 2, "{} of {size}", spool.size());
        assert!(Spool::create(&directory.path().join("none"), 1).is_err());
    }
}
