//! The normal form of compact index pages, in which a record that moves keeps its bytes.
//!
//! A record of such a page says in its header which number it has in the page's heap and how far
//! away the next record in key order begins. Both change when a record moves to another page, or
//! when others are inserted around it, although the row stays as it is. So a compressor that knows
//! the page from which the records came finds a difference every 13 bytes. The normal form has the
//! difference to the record before in key order in the place of both numbers. For records that
//! were once inserted in key order it is zero, and it goes with the record wherever that goes.
//!
//! | at | bytes | field of a compact index page |
//! |---|---|---|
//! | 24 | 2 | type of the page, 0x45BF |
//! | 38 | 2 | slots of the directory |
//! | 42 | 2 | records in the heap; bit 15: records are compact |
//! | 94 | 13 | infimum: header (5), origin at 99, `infimum` and a zero byte |
//! | 107 | 13 | supremum: header (5), origin at 112, `supremum` |
//! | 120 | | records and free room |
//! | end - 8 - 2 n | 2 n | slots of the directory, the first one last |
//! | end - 8 | 8 | trailer |
//!
//! The five bytes before the origin of a record: info bits and number of owned records (4 bits
//! each), heap number (13 bits) and type (3 bits), distance to the next origin modulo 2^16.
//!
//! It is lossless by construction. The walk over the records reads the fields above, which the
//! normal form does not change, and of each record the five bytes before its origin, of which it
//! changes four. A page is only brought into normal form if these five bytes of all its records
//! lie apart from each other and from the fields. So the walk back finds at each step what the
//! walk there had found, and nothing that it writes is read again. Any other page keeps its bytes.
//!
//! - No memory is taken beyond the stack, and no page takes longer than its length allows.
//! - No bytes make a function here panic. What was never in normal form is refused or becomes
//!   some other page: the hash of the block decides, as it does for all that is decoded.

use std::iter;

use crate::innodb::big_endian::put_u16;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::header::TRAILER_BYTES;
use crate::innodb::units::PageSize;

/// The type of index pages, `FIL_PAGE_INDEX` of the server.
pub(super) const INDEX: u16 = 0x45BF;

const SLOTS_AT: usize = BODY_AT;
const HEAP_RECORDS_AT: usize = BODY_AT + 4;
/// The bit of the number of heap records that tells compact records from redundant ones.
const COMPACT: u16 = 1 << 15;

const INFIMUM: u16 = 99;
pub(super) const SUPREMUM: u16 = 112;
const INFIMUM_TEXT: &[u8] = b"infimum\0";
const SUPREMUM_TEXT: &[u8] = b"supremum";

/// The bytes before the origin of a record that a walk over the records reads.
pub(super) const HEADER_BYTES: usize = 5;
/// The place of the first record's header, after the supremum.
pub(super) const RECORDS_AT: usize = 120;
/// The lowest origin that a record can have.
const ORIGIN_MIN: usize = RECORDS_AT + HEADER_BYTES;
/// The bits of the owned records in the first byte of a header.
const OWNED: u8 = 0xF;
/// The bits of the heap number in the other four bytes of a header.
const HEAP: u32 = 0xFFF8_0000;
/// The bits of the type.
const TYPE: u32 = 0x7_0000;
/// A heap number of 1: the supremum has it, and the first record the next.
const HEAP_ONE: u32 = 0x8_0000;

/// The smallest page that has a normal form.
const PAGE_BYTES_MIN: usize = 0x1000;
/// A page has at most one slot for this many of its bytes: a slot is for four records or more.
const SLOT_SHARE: usize = 16;

/// The form that a block has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// At least one page is in normal form, and the others have none.
    Normal,
    /// All bytes are as they were: no page has a normal form.
    Plain,
    /// All bytes are as they were: a page seems to have a normal form, but its records cannot be
    /// walked over there and back.
    Refused,
}

/// A block that was not made by [`normalize`]: the records of a page cannot be walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNormal;

/// Writes a block to `out` with its pages in normal form, or as it is.
///
/// A block is one page or several; what is left over at its end is copied as it is.
///
/// # Panics
///
/// If `out` has another length than the block.
pub fn normalize(block: &[u8], page: PageSize, out: &mut [u8]) -> Form {
    out.copy_from_slice(block);
    let form = match page.bytes() {
        0x1000 => normalize_pages::<0x1000, 0x400, 0x100>(block, out),
        0x2000 => normalize_pages::<0x2000, 0x800, 0x200>(block, out),
        0x4000 => normalize_pages::<0x4000, 0x1000, 0x400>(block, out),
        0x8000 => normalize_pages::<0x8000, 0x2000, 0x800>(block, out),
        0x1_0000 => normalize_pages::<0x1_0000, 0x4000, 0x1000>(block, out),
        // Pages of compressed rows.
        _ => Form::Plain,
    };
    if form == Form::Refused {
        out.copy_from_slice(block);
    }
    form
}

/// Gives a block in normal form its own bytes again.
///
/// After an error the bytes are of no use.
pub fn restore(block: &mut [u8], page: PageSize) -> Result<(), NotNormal> {
    match page.bytes() {
        0x1000 => restore_pages::<0x1000, 0x100>(block),
        0x2000 => restore_pages::<0x2000, 0x200>(block),
        0x4000 => restore_pages::<0x4000, 0x400>(block),
        0x8000 => restore_pages::<0x8000, 0x800>(block),
        0x1_0000 => restore_pages::<0x1_0000, 0x1000>(block),
        _ => Err(NotNormal),
    }
}

fn normalize_pages<const P: usize, const Q: usize, const S: usize>(
    block: &[u8],
    out: &mut [u8],
) -> Form {
    let mut form = Form::Plain;
    let pages = block.as_chunks::<P>().0;
    for (page, out) in pages.iter().zip(out.as_chunks_mut::<P>().0) {
        let Some(walk) = Walk::<S>::begin(page) else { continue };
        if walk.normalize::<P, Q>(page, out).is_none() {
            return Form::Refused;
        }
        form = Form::Normal;
    }
    form
}

fn restore_pages<const P: usize, const S: usize>(block: &mut [u8]) -> Result<(), NotNormal> {
    for page in block.as_chunks_mut::<P>().0 {
        if let Some(walk) = Walk::<S>::begin(page) {
            walk.restore(page).ok_or(NotNormal)?;
        }
    }
    Ok(())
}

/// Returns the place of a compact index page's directory, by fields that neither direction changes;
/// `None` if it is another page.
fn directory_of(page: &[u8]) -> Option<usize> {
    if page.len() < PAGE_BYTES_MIN || header::page_type(page) != INDEX {
        return None;
    }
    directory_by_layout(page)
}

/// Returns the place of a compact page's directory, whatever type the page has.
fn directory_by_layout(page: &[u8]) -> Option<usize> {
    if page.len() < PAGE_BYTES_MIN || u16_at(page, HEAP_RECORDS_AT) & COMPACT == 0 {
        return None;
    }
    let is_at = |text: &[u8], origin| page[usize::from(origin)..].starts_with(text);
    if !is_at(INFIMUM_TEXT, INFIMUM) || !is_at(SUPREMUM_TEXT, SUPREMUM) {
        return None;
    }
    let slots = usize::from(u16_at(page, SLOTS_AT));
    let is_possible = (2..=page.len() / SLOT_SHARE).contains(&slots);
    is_possible.then(|| page.len() - TRAILER_BYTES - 2 * slots)
}

/// A walk over the records of a page in key order, and the record that it has come to.
pub(super) struct Walk<const S: usize> {
    /// Origin of the record.
    pub(super) at: u16,
    /// Distance to it from the record before.
    step: u16,
    /// Heap number of the record before, where two header fields as one number have it.
    heap: u32,
    /// Place of the directory's first byte; no record has an origin after it.
    pub(super) directory: usize,
    /// Number of slots in the directory.
    slots: usize,
    /// Origins of records that have a slot, from the infimum on.
    owners: [u16; S],
    /// Number of those that were found.
    owning: usize,
}

impl<const S: usize> Walk<S> {
    /// Begins at the first record; `None` if the page has no normal form by what neither direction
    /// changes.
    pub(super) fn begin(page: &[u8]) -> Option<Self> {
        let directory = directory_of(page)?;
        let slots = (page.len() - TRAILER_BYTES - directory) / 2;
        let step = u16_at(page, usize::from(INFIMUM) - 2);
        let at = INFIMUM.wrapping_add(step);
        let mut owners = [0; S];
        owners[0] = INFIMUM;
        Some(Self { at, step, heap: HEAP_ONE, directory, slots, owners, owning: 1 })
    }

    /// Returns the origin of the record if it lies between the supremum and the directory.
    pub(super) fn origin(&self) -> Option<usize> {
        let origin = usize::from(self.at);
        (ORIGIN_MIN..=self.directory).contains(&origin).then_some(origin)
    }

    /// Notes the record as the owner of a slot if it owns any records.
    pub(super) fn note_owner(&mut self, info: u8) {
        self.owners[self.owning % S] = self.at;
        self.owning += usize::from(info & OWNED != 0);
    }

    /// Returns the normal form of the numbers of this record, and goes to the next.
    pub(super) fn normalized(&mut self, numbers: u32) -> u32 {
        let (heap, step) = (numbers & HEAP, low(numbers));
        let gone = heap.wrapping_sub(self.heap).wrapping_sub(HEAP_ONE);
        let normal = gone | numbers & TYPE | u32::from(step.wrapping_sub(self.step));
        self.step(heap, step);
        normal
    }

    /// Returns the numbers of this record by their normal form, and goes to the next.
    pub(super) fn restored(&mut self, normal: u32) -> u32 {
        let heap = (normal & HEAP).wrapping_add(self.heap).wrapping_add(HEAP_ONE);
        let step = low(normal).wrapping_add(self.step);
        self.step(heap, step);
        heap | normal & TYPE | u32::from(step)
    }

    /// Goes to the next record, by the true numbers of this one.
    fn step(&mut self, heap: u32, step: u16) {
        self.heap = heap;
        self.step = step;
        self.at = self.at.wrapping_add(step);
    }

    fn normalize<const P: usize, const Q: usize>(
        mut self,
        page: &[u8; P],
        out: &mut [u8; P],
    ) -> Option<()> {
        let mut marks = [0; Q];
        while self.at != SUPREMUM {
            let origin = self.origin()?;
            let mark = &mut marks[origin / 4 % Q];
            if *mark != 0 {
                return None;
            }
            *mark = (self.at % 4 + 1).to_le_bytes()[0];
            self.note_owner(page[origin - HEADER_BYTES]);
            let normal = self.normalized(u32_at(page, origin - 4));
            put_u32(out, origin - 4, normal);
        }
        self.normalize_directory(out)?;
        are_apart(&marks).then_some(())
    }

    fn restore<const P: usize>(mut self, page: &mut [u8; P]) -> Option<()> {
        let mut left = P / HEADER_BYTES;
        while self.at != SUPREMUM {
            let origin = self.origin()?;
            left = left.checked_sub(1)?;
            self.note_owner(page[origin - HEADER_BYTES]);
            let numbers = self.restored(u32_at(page, origin - 4));
            put_u32(page, origin - 4, numbers);
        }
        self.restore_directory(page)
    }

    /// Brings the slots into normal form at the walk's end.
    pub(super) fn normalize_directory(&mut self, page: &mut [u8]) -> Option<()> {
        for (slot, owner) in self.directory(page)? {
            *slot = sub(*slot, *owner);
        }
        Some(())
    }

    /// Gives the slots their own bytes again at the walk's end.
    pub(super) fn restore_directory(&mut self, page: &mut [u8]) -> Option<()> {
        for (slot, owner) in self.directory(page)? {
            *slot = add(*slot, *owner);
        }
        Some(())
    }

    /// Returns the slots of the directory, each with the origin that the walk has found for it.
    fn directory<'p>(
        &'p mut self,
        page: &'p mut [u8],
    ) -> Option<impl Iterator<Item = (&'p mut [u8; 2], &'p u16)>> {
        self.owners[self.owning % S] = SUPREMUM;
        if self.owning + 1 != self.slots {
            return None;
        }
        let end = page.len() - TRAILER_BYTES;
        let slots = page[self.directory..end].as_chunks_mut().0;
        Some(slots.iter_mut().rev().zip(&self.owners))
    }
}

/// Tells whether origins are at least a header apart, of which each has left a mark: in the byte
/// for the four in which it is, its place among them, counted from 1.
fn are_apart(marks: &[u8]) -> bool {
    let pairs = marks.iter().zip(&marks[1..]);
    // A mark of zero becomes 255 here.
    let touching = |(before, mark): (&u8, &u8)| u8::from(mark.wrapping_sub(1) < *before);
    pairs.map(touching).fold(0, |any, one| any | one) == 0
}

/// Returns the origins of a compact index page's records in key order, as far as they make sense;
/// `None` if it is no such page.
pub(super) fn origins(page: &[u8]) -> Option<impl Iterator<Item = usize>> {
    Some(origins_before(directory_of(page)?, page))
}

/// Returns the same of a page whatever type it has: the root of an index has another one if columns
/// were added to the table at once.
pub(super) fn origins_by_layout(page: &[u8]) -> Option<impl Iterator<Item = usize>> {
    Some(origins_before(directory_by_layout(page)?, page))
}

fn origins_before(directory: usize, page: &[u8]) -> impl Iterator<Item = usize> {
    let step = move |at: u16| {
        let to = at.wrapping_add(u16_at(page, usize::from(at) - 2));
        (ORIGIN_MIN..=directory).contains(&usize::from(to)).then_some(to)
    };
    let origins = iter::successors(step(INFIMUM), move |at| step(*at)).map(usize::from);
    origins.take(page.len() / HEADER_BYTES)
}

fn low(numbers: u32) -> u16 {
    let [first, second, _, _] = numbers.to_le_bytes();
    u16::from_le_bytes([first, second])
}

fn add(slot: [u8; 2], origin: u16) -> [u8; 2] {
    let mut sum = slot;
    put_u16(&mut sum, 0, u16_at(&slot, 0).wrapping_add(origin));
    sum
}

fn sub(slot: [u8; 2], origin: u16) -> [u8; 2] {
    add(slot, origin.wrapping_neg())
}

#[cfg(test)]
pub(super) mod tests;
