//! A map page: up to 512 consecutive entries of a member's map, or of a level above (FORMAT.md
//! 7.1).
//!
//! Places are stored relative to what they follow, and stay small while the stream's order and the
//! packs' order agree: a whole page takes 18 bytes an entry, and the delta between two nights'
//! pages 18 bytes an entry that changed.

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;
use crate::base::limits::BASE_STEPS_MAX;
use crate::base::limits::MAP_PAGE_ENTRIES_MAX;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::wire::Reader;
use crate::base::wire::put_varint;
use crate::base::wire::put_zigzag;

const WHAT: &str = "map page";
const FLAG_LENGTHS: u8 = 1;
const KIND_ZERO: u8 = 0;
const KIND_WHOLE: u8 = 1;
/// The bit of a delta's kind that tells of a second base.
const KIND_TWO_BASES: u8 = 1 << 4;

/// The way in which a page states the lengths of its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lengths {
    /// They stand in the page.
    Stored,
    /// Each is this, except that the member's last may be shorter: the reader of the map corrects
    /// it.
    Fixed(u64),
}

/// Encodes consecutive entries, at most [`MAP_PAGE_ENTRIES_MAX`], as one page.
pub fn encode(entries: &[Entry], lengths: Lengths) -> Vec<u8> {
    assert!(entries.len() <= MAP_PAGE_ENTRIES_MAX);
    let mut out = Vec::with_capacity(entries.len() * 20 + 8);
    put_varint(&mut out, u64_of(entries.len()));
    out.push(if lengths == Lengths::Stored { FLAG_LENGTHS } else { 0 });
    out.extend(entries.iter().map(|entry| match entry.storage {
        Storage::Zero => KIND_ZERO,
        Storage::Whole(_) => KIND_WHOLE,
        Storage::Delta { depth, second: None, .. } => KIND_WHOLE + depth,
        Storage::Delta { depth, second: Some(_), .. } => (KIND_WHOLE + depth) | KIND_TWO_BASES,
    }));
    if lengths == Lengths::Stored {
        entries.iter().for_each(|entry| put_varint(&mut out, entry.length));
    }
    put_column(&mut out, entries.iter().filter_map(|entry| entry.storage.locator()));
    put_column(&mut out, entries.iter().filter_map(|entry| base_of(&entry.storage)));
    put_column(&mut out, entries.iter().filter_map(|entry| second_of(&entry.storage)));
    for entry in entries.iter().filter(|entry| entry.storage != Storage::Zero) {
        out.extend_from_slice(&entry.hash.0);
    }
    out
}

fn base_of(storage: &Storage) -> Option<Locator> {
    match *storage {
        Storage::Delta { base, .. } => Some(base),
        Storage::Zero | Storage::Whole(_) => None,
    }
}

fn second_of(storage: &Storage) -> Option<Locator> {
    match *storage {
        Storage::Delta { second, .. } => second,
        Storage::Zero | Storage::Whole(_) => None,
    }
}

fn put_column(out: &mut Vec<u8>, places: impl Iterator<Item = Locator>) {
    let mut recent = Recent::default();
    places.for_each(|at| recent.put(out, at));
}

/// Decodes a page; `fixed` is the block size of entries without a stored length, 0 if it is stored.
pub fn decode(bytes: &[u8], fixed: u64) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(WHAT, bytes);
    let page = decode_from(&mut reader, fixed)?;
    reader.finish()?;
    Ok(page)
}

fn decode_from(reader: &mut Reader<'_>, fixed: u64) -> Result<Vec<Entry>, Malformed> {
    let count = usize_of(reader.varint()?);
    if count > MAP_PAGE_ENTRIES_MAX {
        return Err(reader.malformed("too many entries"));
    }
    let flags = reader.u8()?;
    if flags & !FLAG_LENGTHS != 0 {
        return Err(reader.malformed("a flag is unknown to this program"));
    }
    if (flags & FLAG_LENGTHS == 0) != (fixed > 0) {
        return Err(reader.malformed("its lengths are stored where they are fixed, or missing"));
    }
    let kinds = reader.take(count)?;
    let mut entries = vec![Entry::zero(fixed); count];
    if flags & FLAG_LENGTHS != 0 {
        for entry in &mut entries {
            entry.length = reader.varint()?;
        }
    }
    let mut recent = Recent::default();
    for (entry, &kind) in entries.iter_mut().zip(kinds).filter(|(_, kind)| **kind != KIND_ZERO) {
        let at = recent.get(reader)?;
        let second = (kind & KIND_TWO_BASES != 0).then(Locator::default);
        entry.storage = match (kind & !KIND_TWO_BASES).checked_sub(KIND_WHOLE) {
            Some(0) if second.is_none() => Storage::Whole(at),
            Some(depth) if depth > 0 && usize::from(depth) < BASE_STEPS_MAX => {
                Storage::Delta { at, base: Locator::default(), second, depth }
            }
            _ => return Err(reader.malformed("its way of storing a block is unknown")),
        };
    }
    let mut recent = Recent::default();
    for entry in &mut entries {
        if let Storage::Delta { base, .. } = &mut entry.storage {
            *base = recent.get(reader)?;
        }
    }
    let mut recent = Recent::default();
    for entry in &mut entries {
        if let Storage::Delta { second: Some(second), .. } = &mut entry.storage {
            *second = recent.get(reader)?;
        }
    }
    for entry in entries.iter_mut().filter(|entry| entry.storage != Storage::Zero) {
        entry.hash = BlockHash(reader.array()?);
    }
    Ok(entries)
}

/// The packs that a column has named, the last one first, each with the entry after the one that
/// was named last.
///
/// A changed block has its place in a new pack, between neighbours whose places are where they
/// were: with the pack by its rank and the entry by what follows in the same pack, both nights'
/// columns differ in a byte or two where it stands.
#[derive(Default)]
struct Recent(Vec<(PackIndex, u32)>);

impl Recent {
    fn put(&mut self, out: &mut Vec<u8>, at: Locator) {
        let known = self.0.iter().position(|(pack, _)| *pack == at.pack);
        put_varint(out, known.map_or(0, |rank| u64_of(rank) + 1));
        if known.is_none() {
            put_varint(out, at.pack.0.into());
        }
        let expected = self.expected(known);
        put_zigzag(out, i64::from(at.entry.0) - i64::from(expected));
        self.record(known, at);
    }

    fn get(&mut self, reader: &mut Reader<'_>) -> Result<Locator, Malformed> {
        let rank = usize_of(reader.varint()?);
        let known = rank.checked_sub(1);
        let pack = match known {
            None => PackIndex(reader.varint_u32()?),
            Some(rank) => {
                let pack = self.0.get(rank).map(|(pack, _)| *pack);
                pack.ok_or_else(|| reader.malformed("names a pack by a rank that none has"))?
            }
        };
        let entry = EntryNumber(reader.near(self.expected(known).into())?);
        let at = Locator { pack, entry };
        self.record(known, at);
        Ok(at)
    }

    fn expected(&self, known: Option<usize>) -> u32 {
        known.map_or(0, |rank| self.0[rank].1)
    }

    fn record(&mut self, known: Option<usize>, at: Locator) {
        if let Some(rank) = known {
            self.0[..=rank].rotate_right(1);
        } else {
            self.0.insert(0, (at.pack, 0));
        }
        self.0[0].1 = at.entry.0.wrapping_add(1);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_locator() -> impl Strategy<Value = Locator> {
        any::<(u32, u32)>()
            .prop_map(|(pack, entry)| Locator { pack: PackIndex(pack), entry: EntryNumber(entry) })
    }

    pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
        let storage = prop_oneof![
            Just(Storage::Zero),
            any_locator().prop_map(Storage::Whole),
            (any_locator(), any_locator(), prop::option::of(any_locator()), 1u8..9)
                .prop_map(|(at, base, second, depth)| Storage::Delta { at, base, second, depth }),
        ];
        (storage, any::<[u8; 16]>(), any::<u64>()).prop_map(|(storage, hash, length)| {
            let hash = if storage == Storage::Zero { [0; 16] } else { hash };
            Entry { hash: BlockHash(hash), storage, length }
        })
    }

    proptest! {
        #[test]
        fn a_page_comes_back(mut entries in prop::collection::vec(any_entry(), 0..600)) {
            let stored = encode(&entries, Lengths::Stored);
            prop_assert_eq!(decode(&stored, 0), Ok(entries.clone()));
            entries.iter_mut().for_each(|entry| entry.length = 16384);
            let fixed = encode(&entries, Lengths::Fixed(16384));
            prop_assert_eq!(decode(&fixed, 16384), Ok(entries));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _unused = decode(&bytes, 16384);
        }
    }

    #[test]
    fn an_entry_of_a_first_backup_takes_at_most_20_bytes() {
        let entries: Vec<Entry> = (0..512u32)
            .map(|n| Entry {
                hash: BlockHash([n.to_le_bytes()[0] ^ 0x5a; 16]),
                storage: Storage::Whole(Locator {
                    pack: PackIndex(3),
                    entry: EntryNumber(900 + n),
                }),
                length: 16384,
            })
            .collect();
        assert!(encode(&entries, Lengths::Fixed(16384)).len() <= 20 * 512);
    }
}
