//! Pieces of a page, and the bytes of those that have one length in columns.
//!
//! Rows and columns change places in squares of 8 by 8 or of 16 by 16 bytes. What is left over at
//! the end of rows or columns is part of a square too: the last one overlaps with the one before
//! it. The large squares are transposed by vector instructions, which `fearless_simd` chooses for
//! the processor on which the program runs; with AVX2 that takes a third of the time that squares
//! of 8 bytes take.

use fearless_simd::Level;
use fearless_simd::Simd;
use fearless_simd::SimdBase;
use fearless_simd::dispatch;
use fearless_simd::u8x16;

use crate::base::num::usize_of_u32;

/// Bytes of the sides of a small square, whose rows are numbers.
const SMALL: usize = size_of::<u64>();
/// Bytes of the sides of a large square, whose rows are vectors.
const LARGE: usize = 16;

/// The bytes between two headers of a page; in the order of their lengths, and then of their
/// places.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece(u32);

impl Piece {
    /// Creates a piece by its place in the page and its length.
    pub(super) fn new(at: u16, bytes: u16) -> Self {
        Self(u32::from(bytes) << 16 | u32::from(at))
    }

    fn at(self) -> usize {
        usize_of_u32(self.0 & 0xFFFF)
    }

    /// Returns the length of the piece.
    pub(super) fn bytes(self) -> usize {
        usize_of_u32(self.0 >> 16)
    }
}

/// Writes the first bytes of all pieces, then the second bytes, and so on; all have one length.
pub(super) fn to_columns(page: &[u8], pieces: &[Piece], columns: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    match rows.min(bytes) {
        _ if rows == 1 => columns.copy_from_slice(&page[pieces[0].at()..][..bytes]),
        0..SMALL => {
            for (row, piece) in pieces.iter().enumerate() {
                for (column, byte) in page[piece.at()..][..bytes].iter().enumerate() {
                    columns[column * rows + row] = *byte;
                }
            }
        }
        SMALL..LARGE => to_columns_by_numbers(page, pieces, columns),
        _ => dispatch!(Level::new(), simd => to_columns_by_vectors(simd, page, pieces, columns)),
    }
}

/// Gives all pieces their first bytes, then their second bytes, and so on; all have one length.
pub(super) fn from_columns(columns: &[u8], pieces: &[Piece], page: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    match rows.min(bytes) {
        _ if rows == 1 => page[pieces[0].at()..][..bytes].copy_from_slice(columns),
        0..SMALL => {
            for (row, piece) in pieces.iter().enumerate() {
                for (column, byte) in page[piece.at()..][..bytes].iter_mut().enumerate() {
                    *byte = columns[column * rows + row];
                }
            }
        }
        SMALL..LARGE => from_columns_by_numbers(columns, pieces, page),
        _ => dispatch!(Level::new(), simd => from_columns_by_vectors(simd, columns, pieces, page)),
    }
}

fn to_columns_by_numbers(page: &[u8], pieces: &[Piece], columns: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    for row in steps(rows, SMALL) {
        let (pieces, columns) = (&pieces[row..row + SMALL], &mut columns[row..]);
        for column in steps(bytes, SMALL) {
            let square = std::array::from_fn(|n| number_at(page, pieces[n].at() + column));
            for (n, number) in transposed_numbers(square).into_iter().enumerate() {
                put_number(columns, (column + n) * rows, number);
            }
        }
    }
}

fn from_columns_by_numbers(columns: &[u8], pieces: &[Piece], page: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    for row in steps(rows, SMALL) {
        let (pieces, columns) = (&pieces[row..row + SMALL], &columns[row..]);
        for column in steps(bytes, SMALL) {
            let square = std::array::from_fn(|n| number_at(columns, (column + n) * rows));
            for (number, piece) in transposed_numbers(square).into_iter().zip(pieces) {
                put_number(page, piece.at() + column, number);
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "the caller chose the instructions for what it inlines")]
#[inline(always)]
fn to_columns_by_vectors<S: Simd>(simd: S, page: &[u8], pieces: &[Piece], columns: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    for row in steps(rows, LARGE) {
        let (pieces, columns) = (&pieces[row..row + LARGE], &mut columns[row..]);
        for column in steps(bytes, LARGE) {
            let mut square = [u8x16::splat(simd, 0); LARGE];
            for (vector, piece) in square.iter_mut().zip(pieces) {
                *vector = u8x16::from_slice(simd, &page[piece.at() + column..][..LARGE]);
            }
            for (n, vector) in transposed_vectors(square).iter().enumerate() {
                vector.store_slice(&mut columns[(column + n) * rows..][..LARGE]);
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "the caller chose the instructions for what it inlines")]
#[inline(always)]
fn from_columns_by_vectors<S: Simd>(simd: S, columns: &[u8], pieces: &[Piece], page: &mut [u8]) {
    let (rows, bytes) = (pieces.len(), pieces[0].bytes());
    for row in steps(rows, LARGE) {
        let (pieces, columns) = (&pieces[row..row + LARGE], &columns[row..]);
        for column in steps(bytes, LARGE) {
            let mut square = [u8x16::splat(simd, 0); LARGE];
            for (n, vector) in square.iter_mut().enumerate() {
                *vector = u8x16::from_slice(simd, &columns[(column + n) * rows..][..LARGE]);
            }
            for (vector, piece) in transposed_vectors(square).iter().zip(pieces) {
                vector.store_slice(&mut page[piece.at() + column..][..LARGE]);
            }
        }
    }
}

/// Returns where squares begin along rows or columns of this length.
fn steps(length: usize, side: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(side).map(move |at| at.min(length - side))
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("a square lies within the page"))
}

fn put_number(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + SMALL].copy_from_slice(&number.to_le_bytes());
}

/// Transposes a square of bytes, whose rows are numbers: swaps its quarters, and theirs, and
/// theirs.
fn transposed_numbers(mut square: [u64; SMALL]) -> [u64; SMALL] {
    for (distance, mask) in [(4, 0xFFFF_FFFF), (2, 0xFFFF_0000_FFFF), (1, 0xFF_00FF_00FF_00FF)] {
        for row in (0..SMALL).filter(|row| row & distance == 0) {
            let shift = 8 * distance;
            let swap = (square[row] >> shift ^ square[row + distance]) & mask;
            square[row + distance] ^= swap;
            square[row] ^= swap << shift;
        }
    }
    square
}

/// Transposes a square of bytes, whose rows are vectors.
///
/// The place of a byte is a number, with the bits of its row above those of its column. To
/// interleave the rows of the upper half with those of the lower half turns this number by one bit:
/// after four times, rows are columns.
#[expect(clippy::inline_always, reason = "the caller chose the instructions for what it inlines")]
#[inline(always)]
fn transposed_vectors<S: Simd>(mut square: [u8x16<S>; LARGE]) -> [u8x16<S>; LARGE] {
    for _ in 0..LARGE.ilog2() {
        let (upper, lower) = square.split_at(LARGE / 2);
        let mut turned = square;
        for (pair, (one, other)) in turned.as_chunks_mut().0.iter_mut().zip(upper.iter().zip(lower))
        {
            *pair = [one.zip_low(*other), one.zip_high(*other)];
        }
        square = turned;
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let byte = |n: usize| u8::try_from(n).unwrap();
        let row = |row: usize| u64::from_le_bytes(std::array::from_fn(|n| byte(16 * row + n)));
        let square: [u64; SMALL] = std::array::from_fn(row);
        let other = transposed_numbers(square);
        for (row, number) in other.into_iter().enumerate() {
            let expected: [u8; SMALL] = std::array::from_fn(|n| byte(16 * n + row));
            assert_eq!(number.to_le_bytes(), expected);
        }
        assert_eq!(transposed_numbers(other), square);
    }

    #[test]
    fn columns_have_the_bytes_of_all_pieces_by_every_way() {
        let page: Vec<u8> = (0..4096_u32).map(|n| (n * n / 7).to_le_bytes()[0]).collect();
        for rows in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50] {
            for bytes in [1, 7, 8, 9, 15, 16, 17, 31, 47, 64] {
                let pieces: Vec<Piece> =
                    (0..rows).map(|row| Piece::new(row * (bytes + 5), bytes)).collect();
                let (rows, bytes) = (usize::from(rows), usize::from(bytes));
                let mut columns = vec![0; rows * bytes];
                to_columns(&page, &pieces, &mut columns);
                for (at, byte) in columns.iter().enumerate() {
                    assert_eq!(*byte, page[at % rows * (bytes + 5) + at / rows], "{rows} {bytes}");
                }
                let mut back = vec![0; page.len()];
                from_columns(&columns, &pieces, &mut back);
                for piece in pieces {
                    let place = piece.at()..piece.at() + bytes;
                    assert_eq!(back[place.clone()], page[place], "{rows} {bytes}");
                }
            }
        }
    }
}
