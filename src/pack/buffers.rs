//! The memory of packs: a few large buffers that a run fills again and again.
//!
//! The frames of packs are allocations of uneven size, as many as there are blocks. Kept for as
//! long as a pack takes to be stored, among others that come and go, they leave a heap full of
//! holes: that of a run whose packs took 96 MiB grew by 100 MiB more. A buffer that never returns
//! to the heap costs what it holds, and its pages are touched for the first time only once.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;

use crate::base::limits::PACK_BYTES_MAX;

/// The buffers of a run that are not in use.
#[derive(Clone, Default)]
pub struct PackBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer for one pack; it returns to where it was taken from.
pub struct PackBuffer {
    bytes: Vec<u8>,
    home: Option<PackBuffers>,
}

impl fmt::Debug for PackBuffers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PackBuffers").field(&self.unused().len()).finish()
    }
}

impl fmt::Debug for PackBuffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PackBuffer").field(&self.bytes.len()).finish()
    }
}

impl PackBuffers {
    // Buffers are empty here; whatever panicked left them so.
    fn unused(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer that holds a full pack.
    pub fn take(&self) -> PackBuffer {
        let unused = self.unused().pop();
        // Memory that is never touched is never there: a small pack costs what is in it.
        let bytes = unused.unwrap_or_else(|| Vec::with_capacity(PACK_BYTES_MAX));
        PackBuffer { bytes, home: Some(self.clone()) }
    }
}

impl PackBuffer {
    /// An empty buffer for a small pack, which grows with it and does not return.
    pub fn alone() -> PackBuffer {
        PackBuffer { bytes: Vec::new(), home: None }
    }

    /// Appends `part`.
    pub fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is in it, to be shared; the buffer returns when nobody has it any more.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PackBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PackBuffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut bytes = std::mem::take(&mut self.bytes);
        // One that had to grow is as large as a block that hardly ever comes.
        if bytes.capacity() == PACK_BYTES_MAX {
            bytes.clear();
            home.unused().push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_when_the_last_who_has_it_is_gone() {
        let buffers = PackBuffers::default();
        let mut buffer = buffers.take();
        buffer.push(b"one");
        buffer.push(b"two");
        let at = buffer.as_ref().as_ptr();
        let whole = buffer.freeze();
        let part = whole.slice(3..);
        drop(whole);
        assert_eq!(part, b"two"[..]);
        assert_eq!(buffers.unused().len(), 0);
        drop(part);
        assert_eq!(buffers.unused().len(), 1);
        let again = buffers.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ref().as_ptr(), at, "the same memory");
    }

    #[test]
    fn a_buffer_that_had_to_grow_is_not_kept() {
        let buffers = PackBuffers::default();
        let mut buffer = buffers.take();
        buffer.push(&vec![0; PACK_BYTES_MAX + 1]);
        assert_eq!(buffer.len(), PACK_BYTES_MAX + 1);
        drop(buffer);
        assert_eq!(buffers.unused().len(), 0);
    }
}
