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

mod pieces;

use crate::base::num::usize_of_u32;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::columns::pieces::Piece;
use crate::innodb::columns::pieces::from_columns;
use crate::innodb::columns::pieces::to_columns;
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

/// Appends a block to `to` with its pages in normal form and in columns, or as it is.
///
/// A block is one page or several; what is left over at its end is copied as it is.
pub fn gather(block: &[u8], page: PageSize, to: &mut Vec<u8>) -> Form {
    let before = to.len();
    to.extend_from_slice(block);
    let out = &mut to[before..];
    let form = match page.bytes() {
        0x1000 => gather_pages::<0x1000, 0x100, 0x40>(block, out),
        0x2000 => gather_pages::<0x2000, 0x200, 0x80>(block, out),
        0x4000 => gather_pages::<0x4000, 0x400, 0x100>(block, out),
        0x8000 => gather_pages::<0x8000, 0x800, 0x200>(block, out),
        0x1_0000 => gather_pages::<0x1_0000, 0x1000, 0x400>(block, out),
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
        0x1000 => spread_pages::<0x1000, 0x100, 0x40>(block),
        0x2000 => spread_pages::<0x2000, 0x200, 0x80>(block),
        0x4000 => spread_pages::<0x4000, 0x400, 0x100>(block),
        0x8000 => spread_pages::<0x8000, 0x800, 0x200>(block),
        0x1_0000 => spread_pages::<0x1_0000, 0x1000, 0x400>(block),
        _ => Err(NotNormal),
    }
}

fn gather_pages<const P: usize, const S: usize, const W: usize>(
    block: &[u8],
    out: &mut [u8],
) -> Form {
    let mut form = Form::Plain;
    let pages = block.as_chunks::<P>().0;
    for (page, out) in pages.iter().zip(out.as_chunks_mut::<P>().0) {
        let Some(walk) = Walk::<S>::begin(page) else { continue };
        if gather_page::<P, S, W>(walk, page, out).is_none() {
            return Form::Refused;
        }
        form = Form::Normal;
    }
    form
}

fn spread_pages<const P: usize, const S: usize, const W: usize>(
    block: &mut [u8],
) -> Result<(), NotNormal> {
    for page in block.as_chunks_mut::<P>().0 {
        if let Some(walk) = Walk::<S>::begin(page) {
            let columns = *page;
            spread_page::<P, S, W>(walk, &columns, page).ok_or(NotNormal)?;
        }
    }
    Ok(())
}

fn gather_page<const P: usize, const S: usize, const W: usize>(
    mut walk: Walk<S>,
    page: &[u8; P],
    out: &mut [u8; P],
) -> Option<()> {
    let (count, mut at) = counted(page, walk.directory)?;
    let mut origins = Origins([0; W]);
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
    let mut room = Room::<S>::new(count);
    let (pieces, rest) = origins.pieces(count, walk.directory, room.pieces())?;
    for group in pieces.chunk_by(|one, other| one.bytes() == other.bytes()) {
        let columns = &mut out[at..at + group.len() * group[0].bytes()];
        at += columns.len();
        to_columns(page, group, columns);
    }
    out[at..walk.directory].copy_from_slice(&page[rest..walk.directory]);
    Some(())
}

fn spread_page<const P: usize, const S: usize, const W: usize>(
    mut walk: Walk<S>,
    columns: &[u8; P],
    page: &mut [u8; P],
) -> Option<()> {
    let (count, mut at) = counted(columns, walk.directory)?;
    let mut origins = Origins([0; W]);
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
    let mut room = Room::<S>::new(count);
    let (pieces, rest) = origins.pieces(count, walk.directory, room.pieces())?;
    for group in pieces.chunk_by(|one, other| one.bytes() == other.bytes()) {
        let from = &columns[at..at + group.len() * group[0].bytes()];
        at += from.len();
        from_columns(from, group, page);
    }
    page[rest..walk.directory].copy_from_slice(&columns[at..walk.directory]);
    Some(())
}

/// Returns the number of records, and the place after their headers in columns; `None` if these
/// have no room.
fn counted(page: &[u8], directory: usize) -> Option<(usize, usize)> {
    let count = usize::from(u16_at(page, COUNT_AT));
    let at = RECORDS_AT + HEADER_BYTES * count;
    (at <= directory).then_some((count, at))
}

/// Memory for the pieces of a page: most pages have few, which the stack has room for.
struct Room<const S: usize> {
    few: [Piece; S],
    many: Vec<Piece>,
}

impl<const S: usize> Room<S> {
    /// Makes room for one piece more than there are records.
    fn new(records: usize) -> Self {
        let many = if records < S { Vec::new() } else { vec![Piece::default(); records + 1] };
        Self { few: [Piece::default(); S], many }
    }

    fn pieces(&mut self) -> &mut [Piece] {
        if self.many.is_empty() { &mut self.few } else { &mut self.many }
    }
}

/// The origins of a page's records, as a bit for each byte.
struct Origins<const W: usize>([u64; W]);

impl<const W: usize> Origins<W> {
    fn insert(&mut self, origin: u16) {
        self.0[usize::from(origin) / 64 % W] |= 1 << (origin % 64);
    }

    /// Returns the pieces between the headers by length and place, and where the rest begins;
    /// `None` if there are not as many origins as records, or if headers overlap. There must be
    /// room for one piece more than there are records.
    fn pieces<'p>(
        &self,
        count: usize,
        directory: usize,
        pieces: &'p mut [Piece],
    ) -> Option<(&'p [Piece], usize)> {
        let mut found = 0;
        let mut at = RECORDS_AT;
        for (word, bits) in self.0.iter().enumerate() {
            let mut left = *bits;
            while left != 0 {
                let origin = 64 * word + usize_of_u32(left.trailing_zeros());
                left &= left - 1;
                let bytes = origin.checked_sub(at + HEADER_BYTES)?;
                *pieces.get_mut(found)? = piece(at, bytes)?;
                found += 1;
                at = origin;
            }
        }
        if found != count {
            return None;
        }
        // The last record ends somewhere before the directory, most likely like the one before it.
        if let Some(before) = found.checked_sub(1) {
            let bytes = pieces[before].bytes();
            if at + bytes <= directory {
                *pieces.get_mut(found)? = piece(at, bytes)?;
                found += 1;
                at += bytes;
            }
        }
        let pieces = &mut pieces[..found];
        if !pieces.is_sorted() {
            pieces.sort_unstable();
        }
        Some((pieces, at))
    }
}

fn piece(at: usize, bytes: usize) -> Option<Piece> {
    Some(Piece::new(u16::try_from(at).ok()?, u16::try_from(bytes).ok()?))
}

#[cfg(test)]
mod tests;
