//! Secrets are gone from memory when they are dropped.
//!
//! The test reads its own memory. To know what to look for without keeping it, it keeps the
//! complement of the secret.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;

use zeroize::Zeroizing;

use crate::base::entropy::OsEntropy;
use crate::seal::keys::RepositoryKey;
use crate::seal::run::ClassSecret;

/// The last half of a key: allocators overwrite the first bytes of what is freed.
const HALF: usize = 16;

/// Counts how often the complement of `complement` lies in writable memory of its own, with the
/// range that holds `near`.
fn count_in_memory(complement: &[u8; HALF], near: u64) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().filter(|line| line.contains(" rw-p ")).map(range_of);
    // Other large ones are key stretching in tests beside this one.
    let ranges =
        ranges.filter(|(start, end)| end - start < 60 << 20 || (*start..*end).contains(&near));
    ranges.map(|(start, end)| count_in_range(&memory, start, end, complement)).sum()
}

fn range_of(line: &str) -> (u64, u64) {
    let (range, _) = line.split_once(' ').unwrap();
    let (start, end) = range.split_once('-').unwrap();
    (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap())
}

fn count_in_range(memory: &File, start: u64, end: u64, complement: &[u8; HALF]) -> usize {
    const PIECE: u64 = 1 << 20;
    let mut count = 0;
    let mut at = start;
    while at < end {
        let length = (end - at).min(PIECE);
        // Wiped as well, or what is found in it would be found again.
        let mut piece = Zeroizing::new(vec![0; usize::try_from(length).unwrap()]);
        if memory.read_exact_at(&mut piece, at).is_ok() {
            count += piece.windows(HALF).filter(|window| is_it(window, complement)).count();
        }
        at += length;
    }
    count
}

fn is_it(window: &[u8], complement: &[u8; HALF]) -> bool {
    window.iter().zip(complement).all(|(byte, complement)| *byte == !complement)
}

#[test]
fn a_dropped_secret_is_wiped() {
    let key = RepositoryKey::generate(&OsEntropy);
    let secret = ClassSecret::generate(&OsEntropy);
    // Byte by byte: `map` would leave a second copy of the array.
    let of_key = std::array::from_fn(|at| !key.expose()[HALF + at]);
    let of_secret = std::array::from_fn(|at| !secret.bytes()[HALF + at]);
    let near = u64::try_from(key.expose().as_ptr().addr()).unwrap();
    assert!(count_in_memory(&of_key, near) > 0, "the test finds a secret that is there");
    drop(key);
    drop(secret);
    assert_eq!(count_in_memory(&of_key, near), 0);
    assert_eq!(count_in_memory(&of_secret, near), 0);
}
