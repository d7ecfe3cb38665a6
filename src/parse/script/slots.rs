//! Slots: small numbers for the members that are open, the same on both sides of a script.
//!
//! Writer and reader open and close members in the same order, so they agree on the slots without
//! a word in the script.
//!
//! Invariants:
//! - opening takes the slot vacated last, or else the next new one;
//! - there are never more slots than members that were open at a time.

use crate::parse::frame::FrameFlags;

/// The open members, by slot.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Option<T>>,
    vacant: Vec<usize>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new() }
    }

    /// Returns how many members are open.
    pub(super) fn open_count(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn open(&mut self, member: T) -> usize {
        if let Some(slot) = self.vacant.pop() {
            *self.slots.get_mut(slot).expect("vacant slots exist") = Some(member);
            return slot;
        }
        self.slots.push(Some(member));
        self.slots.len() - 1
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Vacates `slot`; returns the member that was in it.
    pub(super) fn close(&mut self, slot: usize) -> Option<T> {
        let member = self.slots.get_mut(slot)?.take()?;
        self.vacant.push(slot);
        Some(member)
    }
}

/// The state that determines the defaults of a member's next frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course {
    /// Flags of the member's previous payload.
    pub(super) flags: FrameFlags,
    /// File offset at which the next payload is expected.
    pub(super) next_offset: u64,
    /// Bytes of the member so far.
    pub(super) arrived: u64,
}
