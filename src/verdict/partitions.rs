//! The partitions of a table, as its `.par` file lists them.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length in words of 4 bytes |
//! | 4 | 4 | what makes the exclusive-or of all words zero |
//! | 8 | 4 | partitions |
//! | 12 | one for each, filled up to words | engines |
//! | then | 4 | bytes of the names |
//! | then | | names as in file names, each with a zero after it |
//!
//! A subpartition is listed as `p0#SP#p0sp0`, and nothing but subpartitions is listed then.
//!
//! Invariant: a list is read as a whole or not at all.
//!
//! Source: `ha_partition::create_handler_file` of the server; verified on files of 10.11.19.

use crate::base::num::usize_of_u32;

const WORD_BYTES: usize = 4;
const PARTITIONS_AT: usize = 2 * WORD_BYTES;
const ENGINES_AT: usize = PARTITIONS_AT + WORD_BYTES;

/// Bytes of such a file that are looked at: a table has 8192 partitions at most.
pub(super) const PARTITIONS_BYTES_MAX: usize = 1 << 20;

/// Returns the names with a zero after each, if the bytes are a whole `.par` file.
pub(super) fn partition_names(bytes: &[u8]) -> Option<Box<[u8]>> {
    let length = number(bytes, 0)?.checked_mul(WORD_BYTES)?;
    // The server writes a few zeros more than it counts.
    let (bytes, padding) = bytes.split_at_checked(length)?;
    let words = bytes.as_chunks::<WORD_BYTES>().0;
    let checksum = words.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    if checksum != 0 || padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    let partitions = number(bytes, PARTITIONS_AT)?;
    let engine_words = partitions.checked_add(WORD_BYTES - 1)? / WORD_BYTES;
    let length_at = engine_words.checked_mul(WORD_BYTES)?.checked_add(ENGINES_AT)?;
    let length = number(bytes, length_at)?;
    let names = bytes.get(length_at + WORD_BYTES..)?.get(..length)?;
    // Behind the last zero there is nothing.
    let listed = names.split(|byte| *byte == 0).count().checked_sub(1)?;
    let is_whole = listed == partitions && listed > 0 && names.ends_with(&[0]);
    is_whole.then(|| names.into())
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(usize_of_u32(u32::from_le_bytes(*word)))
}

/// Makes such a file, for tests.
#[cfg(test)]
pub(super) fn partition_list(names: &[&str]) -> Vec<u8> {
    let text: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(WORD_BYTES), 0);
    let mut file = [word(0), word(0), word(names.len())].concat();
    file.extend(vec![9; names.len()]);
    pad(&mut file);
    file.extend(word(text.len()));
    file.extend(text);
    pad(&mut file);
    let padding = [0; 8];
    let words = word(file.len() / WORD_BYTES);
    file[..WORD_BYTES].copy_from_slice(&words);
    let sum = file.as_chunks().0.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    file[WORD_BYTES..PARTITIONS_AT].copy_from_slice(&sum.to_le_bytes());
    file.extend(padding);
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_as_a_whole_or_not_at_all() {
        let file = partition_list(&["p0", "p1#SP#p1sp0", "pmax"]);
        assert_eq!(partition_names(&file).unwrap().as_ref(), b"p0\0p1#SP#p1sp0\0pmax\0");
        for at in 0..file.len() - 8 {
            assert_eq!(partition_names(&file[..at]), None, "cut at {at}");
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(partition_names(&damaged), None, "damaged at {at}");
        }
    }

    #[test]
    fn the_list_of_a_real_table_is_read() {
        let words = [7, 0x7000_394b, 2, 0x0909, 6].map(u32::to_le_bytes);
        let mut file = [words.as_flattened(), b"p0\0p1\0"].concat();
        file.resize(36, 0);
        assert_eq!(partition_names(&file).unwrap().as_ref(), b"p0\0p1\0");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(partition_names(&bytes));
        }
    }
}
