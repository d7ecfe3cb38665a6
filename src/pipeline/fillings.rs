//! The members of a stream that have begun and not ended, each with the bytes that no worker has
//! yet.
//!
//! A stream may hold any number of them open, so what they occupy is counted as it changes: a sum
//! over all of them for each item of the stream would make many open files cost their square.

use std::collections::HashMap;
use std::sync::Arc;

use crate::format::record::MemberKey;
use crate::pipeline::delta::DeltaWalk;
use crate::pipeline::segment::Buffer;
use crate::pipeline::segment::Member;

/// A member of which bytes have arrived.
pub(super) struct Filling {
    pub(super) key: MemberKey,
    pub(super) number: u64,
    pub(super) member: Option<Arc<Member>>,
    pub(super) buffer: Buffer,
    /// Where the buffer begins in the member.
    pub(super) at: u64,
    /// Follows the pages of a `.delta` file.
    pub(super) delta: Option<DeltaWalk>,
}

/// The open members, by their numbers.
#[derive(Default)]
pub(super) struct Fillings {
    members: HashMap<u64, Filling>,
    bytes: usize,
}

impl Fillings {
    /// Returns the number of open members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the bytes that all buffers occupy.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the numbers of all open members in ascending order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.members.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    /// Adds a member that is not among them.
    pub(super) fn insert(&mut self, filling: Filling) {
        self.bytes += filling.buffer.capacity();
        self.members.insert(filling.number, filling);
    }

    /// Takes out an open member.
    pub(super) fn remove(&mut self, number: u64) -> Filling {
        let filling = self.members.remove(&number).expect(OPEN);
        self.bytes -= filling.buffer.capacity();
        filling
    }

    /// Returns an open member. Its buffer is exchanged with [`Fillings::replace_buffer`] only.
    pub(super) fn get_mut(&mut self, number: u64) -> &mut Filling {
        self.members.get_mut(&number).expect(OPEN)
    }

    /// Gives an open member another buffer, to which its bytes were copied.
    pub(super) fn replace_buffer(&mut self, number: u64, buffer: Buffer) {
        let filling = self.members.get_mut(&number).expect(OPEN);
        self.bytes = self.bytes - filling.buffer.capacity() + buffer.capacity();
        filling.buffer = buffer;
    }
}

const OPEN: &str = "the parser opens a member before it fills it, and ends it last";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::num::narrow;
    use crate::pipeline::segment::Pool;

    #[test]
    fn bytes_of_all_buffers_are_counted_as_they_change() {
        let pool = Pool::new(1);
        let mut open = Fillings::default();
        let mut sizes: HashMap<u64, usize> = HashMap::new();
        for step in 0..500u64 {
            let (number, size) = (step * 7 % 60, narrow(step * 37 % 5000));
            let buffer = pool.get(size);
            let capacity = buffer.capacity();
            if sizes.insert(number, capacity).is_none() {
                let key = MemberKey { path: Vec::new(), incarnation: 0 };
                open.insert(Filling { key, number, member: None, buffer, at: 0, delta: None });
            } else if step % 3 == 0 {
                sizes.remove(&number);
                drop(open.remove(number));
            } else {
                open.replace_buffer(number, buffer);
            }
            assert_eq!(open.bytes(), sizes.values().sum::<usize>());
            assert_eq!(open.len(), sizes.len());
        }
    }
}
