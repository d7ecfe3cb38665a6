//! The normal form of compact index pages with the bytes of their records in columns.
//!
//! The rows of a table have the same fields in the same places, and what differs from row to row is
//! often a few of them only. As rows stand one after the other, a compressor spends a match on each
//! part that they share. In columns, a byte that all rows share is one long match, counters stand
//! beside counters, and of text of digits only the digits are left to be coded: pages of tables
//! become 4 to 21 % smaller, in less time.
//!
//! No description of the table is needed. The walk over the records tells where each begins. Of all
//! that have the same length, the first bytes are written, then the second bytes, and so on. Rows
//! of various lengths are sorted by these, and stay whole, without their headers.
//!
//! | at | bytes | in columns |
//! |---|---|---|
//! | 54 | 2 | n, the number of records, as in the page |
//! | 120 | 5 n | headers in normal form and in key order: all first bytes, all second bytes, .. |
//! | 120 + 5 n | | pieces between headers by length and place, those of one length in columns |
//! | | | the rest: what stands before the directory and after the last record |
//!
//! The bytes before 120, the directory (in normal form) and the trailer keep their places.
//!
//! It is lossless: the headers come first and one leads to the next, so a reader has all origins
//! before it has to know where a piece belongs. A page whose records are more or fewer than it
//! says, or whose headers overlap, is refused.
//!
//! It is for whole blocks. A delta is made of pages whose rows stand together.

use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::header::BODY_AT;
use crate::innodb::normal::Form;
use crate::innodb::normal::HEADER_BYTES;
use crate::innodb::normal::NotNormal;
use crate::innodb::normal::RECORDS_AT;
use crate::innodb::normal::SUPREMUM;
use crate::innodb::normal::Walk;
use crate::innodb::units::PageSize;

/// The place of the number of records in a page.
const COUNT_AT: usize = BODY_AT + 16;
/// Bytes of the sides of a square that is transposed at once.
const TILE: usize = size_of::<u64>();

/// Writes a block to `out` with its pages in normal form and in columns, or as it is.
///
/// A block is one page or several; what is left over at its end is copied as it is.
///
/// # Panics
///
/// If `out` has another length than the block.
pub fn gather(block: &[u8], page: PageSize, out: &mut [u8]) -> Form {
    out.copy_from_slice(block);
    let form = match page.bytes() {
        0x1000 => gather_pages::<0x1000, 0x100, 0x400>(block, out),
        0x2000 => gather_pages::<0x2000, 0x200, 0x800>(block, out),
        0x4000 => gather_pages::<0x4000, 0x400, 0x1000>(block, out),
        0x8000 => gather_pages::<0x8000, 0x800, 0x2000>(block, out),
        0x1_0000 => gather_pages::<0x1_0000, 0x1000, 0x4000>(block, out),
        // Pages of compressed rows.
        _ => Form::Plain,
    };
    if form == Form::Refused {
        out.copy_from_slice(block);
    }
    form
}

/// Gives a block in columns its own bytes again.
///
/// After an error the bytes are of no use.
pub fn spread(block: &mut [u8], page: PageSize) -> Result<(), NotNormal> {
    match page.bytes() {
        0x1000 => spread_pages::<0x1000, 0x100, 0x400>(block),
        0x2000 => spread_pages::<0x2000, 0x200, 0x800>(block),
        0x4000 => spread_pages::<0x4000, 0x400, 0x1000>(block),
        0x8000 => spread_pages::<0x8000, 0x800, 0x2000>(block),
        0x1_0000 => spread_pages::<0x1_0000, 0x1000, 0x4000>(block),
        _ => Err(NotNormal),
    }
}

fn gather_pages<const P: usize, const S: usize, const Q: usize>(
    block: &[u8],
    out: &mut [u8],
) -> Form {
    let mut form = Form::Plain;
    let pages = block.as_chunks::<P>().0;
    for (page, out) in pages.iter().zip(out.as_chunks_mut::<P>().0) {
        let Some(walk) = Walk::<S>::begin(page) else { continue };
        if gather_page::<P, S, Q>(walk, page, out).is_none() {
            return Form::Refused;
        }
        form = Form::Normal;
    }
    form
}

fn spread_pages<const P: usize, const S: usize, const Q: usize>(
    block: &mut [u8],
) -> Result<(), NotNormal> {
    for page in block.as_chunks_mut::<P>().0 {
        if let Some(walk) = Walk::<S>::begin(page) {
            let columns = *page;
            spread_page::<P, S, Q>(walk, &columns, page).ok_or(NotNormal)?;
        }
    }
    Ok(())
}

fn gather_page<const P: usize, const S: usize, const Q: usize>(
    mut walk: Walk<S>,
    page: &[u8; P],
    out: &mut [u8; P],
) -> Option<()> {
    let (count, mut at) = room(page, walk.directory)?;
    let mut origins = Origins([0; Q]);
    let mut number = 0;
    while walk.at != SUPREMUM {
        let origin = walk.origin()?;
        if number == count {
            return None;
        }
        origins.insert(walk.at);
        let mut header = *page[origin - HEADER_BYTES..].first_chunk::<HEADER_BYTES>()?;
        walk.note_owner(header[0]);
        put_u32(&mut header, 1, walk.normalized(u32_at(page, origin - 4)));
        for (column, byte) in header.into_iter().enumerate() {
            out[RECORDS_AT + column * count + number] = byte;
        }
        number += 1;
    }
    walk.normalize_directory(out)?;
    let mut pieces = [Piece::default(); Q];
    let (pieces, rest) = origins.pieces(count, walk.directory, &mut pieces)?;
    for group in pieces.chunk_by(|one, other| one.bytes == other.bytes) {
        let columns = &mut out[at..at + group.len() * usize::from(group[0].bytes)];
        at += columns.len();
        to_columns(page, group, columns);
    }
    out[at..walk.directory].copy_from_slice(&page[rest..walk.directory]);
    Some(())
}

fn spread_page<const P: usize, const S: usize, const Q: usize>(
    mut walk: Walk<S>,
    columns: &[u8; P],
    page: &mut [u8; P],
) -> Option<()> {
    let (count, mut at) = room(columns, walk.directory)?;
    let mut origins = Origins([0; Q]);
    for number in 0..count {
        let origin = walk.origin()?;
        origins.insert(walk.at);
        let header: [u8; HEADER_BYTES] =
            std::array::from_fn(|column| columns[RECORDS_AT + column * count + number]);
        walk.note_owner(header[0]);
        page[origin - HEADER_BYTES] = header[0];
        put_u32(page, origin - 4, walk.restored(u32_at(&header, 1)));
    }
    if walk.at != SUPREMUM {
        return None;
    }
    walk.restore_directory(page)?;
    let mut pieces = [Piece::default(); Q];
    let (pieces, rest) = origins.pieces(count, walk.directory, &mut pieces)?;
    for group in pieces.chunk_by(|one, other| one.bytes == other.bytes) {
        let from = &columns[at..at + group.len() * usize::from(group[0].bytes)];
        at += from.len();
        from_columns(from, group, page);
    }
    page[rest..walk.directory].copy_from_slice(&columns[at..walk.directory]);
    Some(())
}

/// Returns the number of records, and the place after their headers in columns; `None` if these
/// have no room.
fn room(page: &[u8], directory: usize) -> Option<(usize, usize)> {
    let count = usize::from(u16_at(page, COUNT_AT));
    let at = RECORDS_AT + HEADER_BYTES * count;
    (at <= directory).then_some((count, at))
}

/// The bytes between two headers.
#[derive(Clone, Copy, Default)]
struct Piece {
    at: u16,
    bytes: u16,
}

impl Piece {
    fn at(self) -> usize {
        usize::from(self.at)
    }
}

/// The origins of a page's records, as a mark for each four bytes: the place of the origin among
/// them, counted from 1. Two that are so near have headers that overlap.
struct Origins<const Q: usize>([u8; Q]);

impl<const Q: usize> Origins<Q> {
    fn insert(&mut self, origin: u16) {
        self.0[usize::from(origin) / 4 % Q] = (origin % 4 + 1).to_le_bytes()[0];
    }

    /// Returns the origins by place.
    fn iter(&self) -> impl Iterator<Item = usize> {
        // Most marks are zero.
        let eights = self.0.as_chunks().0.iter().map(|marks| u64::from_le_bytes(*marks));
        eights.enumerate().filter(|(_, marks)| *marks != 0).flat_map(|(eight, marks)| {
            let mut left = marks;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let place = left.trailing_zeros() / 8;
                let mark = (left >> (8 * place)) & 0xFF;
                left ^= mark << (8 * place);
                Some(4 * (8 * eight + usize_of_u32(place)) + usize_of(mark) - 1)
            })
        })
    }

    /// Returns the pieces between the headers by length and place, and where the rest begins;
    /// `None` if there are not as many origins as records, or if headers overlap.
    fn pieces<'p>(
        &self,
        count: usize,
        directory: usize,
        pieces: &'p mut [Piece; Q],
    ) -> Option<(&'p [Piece], usize)> {
        let mut found = 0;
        let mut at = RECORDS_AT;
        for origin in self.iter() {
            let bytes = origin.checked_sub(at + HEADER_BYTES)?;
            *pieces.get_mut(found)? =
                Piece { at: u16::try_from(at).ok()?, bytes: u16::try_from(bytes).ok()? };
            found += 1;
            at = origin;
        }
        if found != count {
            return None;
        }
        // The last record ends somewhere before the directory, most likely like the one before it.
        if let Some(before) = found.checked_sub(1) {
            let last = Piece { at: u16::try_from(at).ok()?, ..pieces[before] };
            if at + usize::from(last.bytes) <= directory {
                *pieces.get_mut(found)? = last;
                found += 1;
                at += usize::from(last.bytes);
            }
        }
        let pieces = &mut pieces[..found];
        if !pieces.is_sorted_by_key(|piece| piece.bytes) {
            pieces.sort_by_key(|piece| piece.bytes);
        }
        Some((pieces, at))
    }
}

/// Writes the first bytes of all pieces, then the second bytes, and so on.
fn to_columns(page: &[u8], pieces: &[Piece], columns: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), usize::from(pieces[0].bytes));
    if let [piece] = pieces {
        columns.copy_from_slice(&page[piece.at()..][..bytes]);
        return;
    }
    if rows < TILE || bytes < TILE {
        for (row, piece) in pieces.iter().enumerate() {
            for (column, byte) in page[piece.at()..][..bytes].iter().enumerate() {
                columns[column * rows + row] = *byte;
            }
        }
        return;
    }
    for row in steps(rows) {
        let (pieces, columns) = (&pieces[row..row + TILE], &mut columns[row..]);
        for column in steps(bytes) {
            let tile = std::array::from_fn(|n| number_at(page, pieces[n].at() + column));
            for (n, number) in transposed(tile).into_iter().enumerate() {
                put_number(columns, (column + n) * rows, number);
            }
        }
    }
}

/// Gives all pieces their first bytes, then their second bytes, and so on.
fn from_columns(columns: &[u8], pieces: &[Piece], page: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), usize::from(pieces[0].bytes));
    if let [piece] = pieces {
        page[piece.at()..][..bytes].copy_from_slice(columns);
        return;
    }
    if rows < TILE || bytes < TILE {
        for (row, piece) in pieces.iter().enumerate() {
            for (column, byte) in page[piece.at()..][..bytes].iter_mut().enumerate() {
                *byte = columns[column * rows + row];
            }
        }
        return;
    }
    for row in steps(rows) {
        let (pieces, columns) = (&pieces[row..row + TILE], &columns[row..]);
        for column in steps(bytes) {
            let tile = std::array::from_fn(|n| number_at(columns, (column + n) * rows));
            for (number, piece) in transposed(tile).into_iter().zip(pieces) {
                put_number(page, piece.at() + column, number);
            }
        }
    }
}

/// Returns where tiles begin; the last one overlaps with the one before it.
fn steps(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(TILE).map(move |at| at.min(length - TILE))
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("a tile lies within the page"))
}

fn put_number(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + TILE].copy_from_slice(&number.to_le_bytes());
}

/// Transposes a square of bytes, whose rows are numbers: swaps its quarters, and theirs, and
/// theirs.
fn transposed(mut tile: [u64; TILE]) -> [u64; TILE] {
    for (distance, mask) in [(4, 0xFFFF_FFFF), (2, 0xFFFF_0000_FFFF), (1, 0xFF_00FF_00FF_00FF)] {
        for row in (0..TILE).filter(|row| row & distance == 0) {
            let shift = 8 * distance;
            let swap = (tile[row] >> shift ^ tile[row + distance]) & mask;
            tile[row + distance] ^= swap;
            tile[row] ^= swap << shift;
        }
    }
    tile
}

#[cfg(test)]
mod tests;
