//! Large buffers that are used again and again instead of going through the heap.
//!
//! Packs, what is fetched of them and windows of a restore are megabytes each, made on one thread
//! and dropped on another. A heap answers that with holes (a run whose packs took 96 MiB grew by
//! 100 MiB more), or gives the memory back to the system, which has to clear it when it is touched
//! again. A buffer that returns to its pool costs what it holds, once.

use std::fmt;
use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::limits::PACK_BYTES_MAX;
use crate::base::limits::READ_BYTES_MAX;
use crate::base::num::u64_of;

/// A pool of buffers of one size; as many as there ever were in use at once.
#[derive(Clone)]
pub struct Buffers {
    capacity: usize,
    unused: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer, and the bytes in it. Dropped, it returns to the pool that it was taken from, unless it
/// had to grow.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unused = self.unused().len();
        out.debug_struct("Buffers")
            .field("capacity", &self.capacity)
            .field("unused", &unused)
            .finish()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Buffer").field(&self.bytes.len()).finish()
    }
}

impl Buffers {
    /// Creates a pool of buffers that hold `capacity` bytes each.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, unused: Arc::default() }
    }

    // A list of memory; whatever panicked beside it left it whole.
    fn unused(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        lock(&self.unused)
    }

    fn any(&self) -> Buffer {
        let unused = self.unused().pop();
        // Memory that is never touched is never there: in a new one few bytes cost what they are.
        let bytes = unused.unwrap_or_else(|| Vec::with_capacity(self.capacity));
        Buffer { bytes, home: Some(self.clone()) }
    }

    /// Returns an empty buffer: an unused one of the pool, or a new one.
    pub fn take(&self) -> Buffer {
        let mut buffer = self.any();
        buffer.clear();
        buffer
    }

    /// Tells whether a buffer of `length` bytes is one of the pool.
    pub fn lends(&self, length: usize) -> bool {
        (self.capacity / 32..=self.capacity).contains(&length)
    }

    /// Returns a buffer of `length` bytes, which are whatever they were before: for who writes them
    /// all. It is none of the pool if few bytes would keep a large one for as long as they are
    /// needed, or many would make it grow.
    pub fn of_length(&self, length: usize) -> Buffer {
        if !self.lends(length) {
            return Buffer { bytes: vec![0; length], home: None };
        }
        let mut buffer = self.any();
        buffer.resize(length, 0);
        buffer
    }
}

/// Pools for what is read of a store: parts of packs, and whole ones. They are two, so that many
/// readers of parts do not keep as many packs' memory.
#[derive(Debug)]
pub struct ReadBuffers {
    parts: Buffers,
    packs: Buffers,
}

impl Default for ReadBuffers {
    fn default() -> Self {
        Self { parts: Buffers::new(READ_BYTES_MAX), packs: Buffers::new(PACK_BYTES_MAX) }
    }
}

impl ReadBuffers {
    /// Returns a buffer of `length` bytes, which are whatever they were before.
    pub fn of_length(&self, length: usize) -> Buffer {
        self.pool(length).of_length(length)
    }

    /// Tells whether a buffer of `length` bytes is one that is used again.
    pub fn lends(&self, length: usize) -> bool {
        self.pool(length).lends(length)
    }

    fn pool(&self, length: usize) -> &Buffers {
        if length <= READ_BYTES_MAX { &self.parts } else { &self.packs }
    }

    /// Returns the memory that a buffer of `bytes` keeps at most.
    pub fn kept_for(bytes: u64) -> u64 {
        let is_part = bytes <= u64_of(READ_BYTES_MAX);
        if is_part { bytes } else { bytes.max(u64_of(PACK_BYTES_MAX)) }
    }
}

impl Buffer {
    /// Returns the contents, to be shared; the last reference returns the buffer to its pool.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take()
            && self.bytes.capacity() == home.capacity
        {
            home.unused().push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_when_the_last_who_has_it_is_gone() {
        let buffers = Buffers::new(100);
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"onetwo");
        let at = buffer.as_ptr();
        let whole = buffer.freeze();
        let part = whole.slice(3..);
        drop(whole);
        assert_eq!(part, b"two"[..]);
        assert_eq!(buffers.unused().len(), 0);
        drop(part);
        assert_eq!(buffers.unused().len(), 1);
        let again = buffers.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), at, "the same memory");
    }

    #[test]
    fn bytes_that_are_all_written_need_not_be_cleared() {
        let buffers = Buffers::new(100);
        buffers.of_length(8).copy_from_slice(b"a secret");
        assert_eq!(buffers.of_length(10)[..], *b"a secret\0\0");
        assert_eq!(buffers.of_length(3)[..], *b"a s");
        assert!(buffers.take().is_empty());
    }

    #[test]
    fn a_pool_lends_only_what_fits() {
        let buffers = Buffers::new(64);
        for (length, lent) in [(0, false), (1, false), (2, true), (64, true), (65, false)] {
            let buffer = buffers.of_length(length);
            assert_eq!((buffer.len(), buffer.home.is_some()), (length, lent));
        }
    }

    #[test]
    fn a_buffer_that_had_to_grow_is_not_kept() {
        let buffers = Buffers::new(100);
        buffers.take().extend_from_slice(&[0; 101]);
        assert_eq!(buffers.unused().len(), 0);
        buffers.take().extend_from_slice(&[0; 100]);
        assert_eq!(buffers.unused().len(), 1);
    }
}
