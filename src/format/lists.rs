//! The small lists of FORMAT.md 7.4 and 9: releases, relocations, damage.

use crate::base::error::Malformed;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
#[cfg(any(test, feature = "internals"))]
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;
use crate::base::wire::put_zigzag;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::RECORD_BYTES_MIN;
use crate::format::pack_table::put_pack;
use crate::format::pack_table::take_pack;
use crate::format::record::MemberKey;
#[cfg(any(test, feature = "internals"))]
use crate::format::record::take_key;

/// The previous entries of a member that a snapshot no longer uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Release {
    /// All of them: the member is gone.
    All,
    /// These entries, and no others.
    Entries(Vec<Locator>),
    /// They are not known: the previous map came from another snapshot.
    Unknown,
}

/// Appends one record of the release list.
pub fn put_release(out: &mut Vec<u8>, key: &MemberKey, release: &Release) {
    put_bytes(out, &key.path);
    put_varint(out, key.incarnation.into());
    match release {
        Release::All => out.push(0),
        Release::Unknown => out.push(2),
        Release::Entries(entries) => {
            out.push(1);
            put_varint(out, u64_of(entries.len()));
            let (mut pack, mut entry) = (0, 0);
            for at in entries {
                put_zigzag(out, i64::from(at.pack.0) - pack);
                put_zigzag(out, i64::from(at.entry.0) - entry);
                (pack, entry) = (at.pack.0.into(), at.entry.0.into());
            }
        }
    }
}

/// Decodes a whole release list.
#[cfg(any(test, feature = "internals"))]
pub fn decode_releases(bytes: &[u8]) -> Result<Vec<(MemberKey, Release)>, Malformed> {
    let mut reader = Reader::new("release list", bytes);
    let mut list = Vec::new();
    while reader.left() > 0 {
        let key = take_key(&mut reader)?;
        let release = match reader.u8()? {
            0 => Release::All,
            1 => Release::Entries(take_locators(&mut reader)?),
            2 => Release::Unknown,
            _ => return Err(reader.malformed("a kind of release is unknown to this program")),
        };
        list.push((key, release));
    }
    Ok(list)
}

#[cfg(any(test, feature = "internals"))]
fn take_locators(reader: &mut Reader<'_>) -> Result<Vec<Locator>, Malformed> {
    let count = reader.count(2)?;
    let mut list = Vec::with_capacity(count);
    let (mut pack, mut entry) = (0, 0);
    for _ in 0..count {
        (pack, entry) = (reader.near(pack.into())?, reader.near(entry.into())?);
        list.push(Locator { pack: PackIndex(pack), entry: EntryNumber(entry) });
    }
    Ok(list)
}

/// The byte that no record of copies begins with: it would name no pack.
const HAS_KIND: u8 = 0;
/// The kind of a record about a pack that was compacted away.
const KIND_COMPACTED: u8 = 1;

/// Other places of entries of an old pack.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Relocation {
    /// Packs that hold the copies.
    pub packs: Vec<PackName>,
    /// Old entry, index into `packs`, new entry; in order of the old entry.
    pub moves: Vec<(EntryNumber, u32, EntryNumber)>,
    /// The records of `packs`, if the old pack was compacted away: then whatever was alive of it is
    /// named. Otherwise some of its entries were lost, and these are copies.
    pub compacted: Option<Vec<PackRecord>>,
}

impl Relocation {
    /// Returns the text of a relocation record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.compacted.is_some() {
            out.extend_from_slice(&[HAS_KIND, KIND_COMPACTED]);
        }
        put_varint(&mut out, u64_of(self.packs.len()));
        match &self.compacted {
            Some(records) => records.iter().for_each(|record| put_pack(&mut out, record)),
            None => self.packs.iter().for_each(|name| out.extend_from_slice(&name.0)),
        }
        put_varint(&mut out, u64_of(self.moves.len()));
        let mut before = 0;
        for &(old, pack, new) in &self.moves {
            put_varint(&mut out, u64::from(old.0 - before));
            put_varint(&mut out, pack.into());
            put_varint(&mut out, new.0.into());
            before = old.0;
        }
        out
    }

    /// Reads the text of a relocation record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let has_kind = bytes.first() == Some(&HAS_KIND);
        let mut reader = Reader::new("relocation record", bytes);
        if has_kind && [reader.u8()?, reader.u8()?] != [HAS_KIND, KIND_COMPACTED] {
            return Err(reader.malformed("its kind is unknown to this program"));
        }
        let mut list = Self::default();
        if has_kind {
            let count = reader.count(RECORD_BYTES_MIN)?;
            let records: Vec<PackRecord> =
                (0..count).map(|_| take_pack(&mut reader)).collect::<Result<_, _>>()?;
            list.packs = records.iter().map(|record| record.name).collect();
            list.compacted = Some(records);
        } else {
            let count = reader.count(32)?;
            // Its zero would be that of a kind.
            if count == 0 {
                return Err(reader.malformed("it names no pack"));
            }
            list.packs =
                (0..count).map(|_| reader.array().map(PackName)).collect::<Result<_, _>>()?;
        }
        let count = reader.count(3)?;
        let mut before = 0u32;
        for _ in 0..count {
            let step = reader.varint_u32()?;
            before = before
                .checked_add(step)
                .ok_or_else(|| reader.malformed("an entry number is out of range"))?;
            let pack = reader.varint_u32()?;
            if usize_of_u32(pack) >= list.packs.len() {
                return Err(reader.malformed("names a pack that is not listed"));
            }
            list.moves.push((EntryNumber(before), pack, EntryNumber(reader.varint_u32()?)));
        }
        reader.finish()?;
        Ok(list)
    }

    /// Returns the pack and the number of a copy of `entry`, if there is one.
    pub fn find(&self, entry: EntryNumber) -> Option<(PackName, EntryNumber)> {
        let at = self.moves.binary_search_by_key(&entry, |(old, ..)| *old).ok()?;
        let (_, pack, new) = self.moves[at];
        Some((self.packs[usize_of_u32(pack)], new))
    }

    /// Returns roughly how many bytes the record occupies in memory.
    pub fn memory(&self) -> usize {
        let records = self.compacted.as_ref().map_or(0, |records| records.len() * 56);
        self.packs.len() * 32 + self.moves.len() * 12 + records + 128
    }
}

/// The part of a pack that is unreadable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Everything in the pack.
    Pack,
    /// These entries, in order.
    Entries(Vec<EntryNumber>),
}

impl Damage {
    /// Returns the text of a damage record.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Pack => vec![1, 0],
            Self::Entries(entries) => {
                let mut out = vec![0];
                put_varint(&mut out, u64_of(entries.len()));
                let mut before = 0;
                for entry in entries {
                    put_varint(&mut out, u64::from(entry.0 - before));
                    before = entry.0;
                }
                out
            }
        }
    }

    /// Reads the text of a damage record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("damage record", bytes);
        let whole = reader.u8()? & 1 != 0;
        let count = reader.count(1)?;
        let mut entries = Vec::with_capacity(count);
        let mut before = 0u32;
        for _ in 0..count {
            let step = reader.varint_u32()?;
            before = before
                .checked_add(step)
                .ok_or_else(|| reader.malformed("an entry number is out of range"))?;
            entries.push(EntryNumber(before));
        }
        reader.finish()?;
        Ok(if whole { Self::Pack } else { Self::Entries(entries) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Class;
    use crate::format::map_page::tests::any_locator;
    use proptest::prelude::*;

    fn record(n: u8) -> PackRecord {
        let (name, class) = (PackName([n; 32]), Class::Data);
        PackRecord { name, bytes: 1000, tail_bytes: 77, entries: 5, class }
    }

    #[test]
    fn a_record_that_names_no_pack_is_refused_however_its_zero_is_written() {
        for zero in [&[0][..], &[0x80, 0], &[0x80, 0x80, 0]] {
            let bytes = [zero, &[0]].concat();
            assert!(Relocation::decode(&bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_record_of_a_compacted_pack_has_the_bytes_that_the_specification_gives() {
        let entry = EntryNumber;
        let moves = vec![(entry(0), 1, entry(4)), (entry(300), 0, entry(0))];
        let records = vec![record(7), record(9)];
        let packs = records.iter().map(|record| record.name).collect();
        let list = Relocation { packs, moves, compacted: Some(records) };
        let pack = |n: u8| [&[n; 32][..], &[0xe8, 7, 77, 5, 1]].concat();
        let moves = [2, 0, 1, 4, 0xac, 2, 0, 0];
        let bytes = [&[0, 1, 2][..], &pack(7), &pack(9), &moves].concat();
        assert_eq!(list.encode(), bytes);
        assert_eq!(Relocation::decode(&bytes), Ok(list));
        for cut in 0..bytes.len() {
            assert!(Relocation::decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        for kind in [0, 2, 255] {
            assert!(Relocation::decode(&[&[0, kind][..], &bytes[2..]].concat()).is_err());
        }
        let nothing = Relocation { compacted: Some(Vec::new()), ..Relocation::default() };
        assert_eq!(Relocation::decode(&[0, 1, 0, 0]), Ok(nothing));
    }

    proptest! {
        #[test]
        fn releases_come_back(lists in prop::collection::vec(
            (
                prop::collection::vec(any::<u8>(), 0..9),
                prop::collection::vec(any_locator(), 0..20),
            ),
            0..5,
        )
        ) {
            let list: Vec<_> = lists
                .into_iter()
                .enumerate()
                .map(|(n, (path, entries))| {
                    let release = match n % 3 {
                        0 => Release::Entries(entries),
                        1 => Release::All,
                        _ => Release::Unknown,
                    };
                    (MemberKey { path, incarnation: 1 }, release)
                })
                .collect();
            let mut out = Vec::new();
            list.iter().for_each(|(key, release)| put_release(&mut out, key, release));
            prop_assert_eq!(decode_releases(&out), Ok(list));
        }

        #[test]
        fn relocations_come_back(mut moves in prop::collection::vec(any::<(u32, u32)>(), 0..50)) {
            moves.sort_unstable();
            let moves = moves.iter().map(|&(o, n)| (EntryNumber(o), 0, EntryNumber(n))).collect();
            let list = Relocation { packs: vec![PackName([3; 32])], moves, compacted: None };
            prop_assert_eq!(Relocation::decode(&list.encode()), Ok(list.clone()));
            let compacted = Some(vec![record(3)]);
            let list = Relocation { compacted, ..list };
            prop_assert_eq!(Relocation::decode(&list.encode()), Ok(list));
        }

        #[test]
        fn damage_comes_back(mut entries in prop::collection::vec(any::<u32>(), 0..50)) {
            entries.sort_unstable();
            let damage = Damage::Entries(entries.into_iter().map(EntryNumber).collect());
            prop_assert_eq!(Damage::decode(&damage.encode()), Ok(damage));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _unused = (decode_releases(&bytes), Relocation::decode(&bytes));
            let _unused = Damage::decode(&bytes);
        }
    }
}
