//! The need list of a snapshot: the packs in which anything lies that can be reached from it
//! (FORMAT.md 7.4).

use crate::base::error::Malformed;
use crate::base::ids::PackIndex;
use crate::base::num::u64_of;
use crate::base::wire::Reader;
use crate::base::wire::put_varint;

/// The name of the internal member that holds the list.
pub const NEEDS: &str = "needs";
const WHAT: &str = "need list";
const VERSION: u8 = 1;
/// The fewest bytes of a pack: one in each column.
const PACK_BYTES_MIN: usize = 3;

/// A pack that a snapshot needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// Index of the pack in the snapshot's pack table.
    pub at: PackIndex,
    /// Entries of a data pack that maps of the snapshot name as places; 0 for a meta pack.
    pub places: u32,
    /// Entries of a data pack that it names as bases only; 0 for a meta pack.
    pub bases: u32,
}

/// The packs that a snapshot needs, in the order of the pack table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NeedList {
    /// The packs, each once, in ascending order.
    pub packs: Vec<Need>,
}

impl NeedList {
    /// Returns the text of the list.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.packs.len() * 4 + 8);
        out.push(VERSION);
        put_varint(&mut out, u64_of(self.packs.len()));
        let mut next = 0;
        for need in &self.packs {
            put_varint(&mut out, u64::from(need.at.0 - next));
            next = need.at.0 + 1;
        }
        self.packs.iter().for_each(|need| put_varint(&mut out, need.places.into()));
        self.packs.iter().for_each(|need| put_varint(&mut out, need.bases.into()));
        out
    }

    /// Reads the text of a list.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.u8()? != VERSION {
            return Err(reader.malformed("its version is unknown to this program"));
        }
        let count = reader.count(PACK_BYTES_MIN)?;
        let mut packs = Vec::with_capacity(count);
        let mut next = 0u32;
        for _ in 0..count {
            // The largest number is no pack's index, so that the one after an index is a number.
            let at = next.checked_add(reader.varint_u32()?).filter(|at| *at < u32::MAX);
            let at = at.ok_or_else(|| reader.malformed("a pack index is out of range"))?;
            packs.push(Need { at: PackIndex(at), places: 0, bases: 0 });
            next = at + 1;
        }
        for need in &mut packs {
            need.places = reader.varint_u32()?;
        }
        for need in &mut packs {
            need.bases = reader.varint_u32()?;
        }
        reader.finish()?;
        Ok(Self { packs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need(at: u32, places: u32, bases: u32) -> Need {
        Need { at: PackIndex(at), places, bases }
    }

    #[test]
    fn the_list_has_the_bytes_that_the_specification_gives() {
        let list = NeedList { packs: vec![need(0, 512, 3), need(1, 0, 0), need(300, 0, 1)] };
        let bytes = [1, 3, 0, 0, 0xaa, 2, 0x80, 4, 0, 0, 3, 0, 1];
        assert_eq!(list.encode(), bytes);
        assert_eq!(NeedList::decode(&bytes), Ok(list));
        for cut in 0..bytes.len() {
            assert!(NeedList::decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        assert!(NeedList::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(NeedList::decode(&[2, 0]).is_err());
        assert_eq!(NeedList::decode(&[1, 0]), Ok(NeedList::default()));
    }

    #[test]
    fn an_index_that_no_pack_can_have_is_refused() {
        let at = |at: u32| NeedList { packs: vec![need(at, 1, 0)] }.encode();
        assert!(NeedList::decode(&at(u32::MAX - 1)).is_ok());
        let unknown = [&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f], &[1, 0][..]].concat();
        assert!(NeedList::decode(&unknown).is_err());
        let beyond = [&[1, 2, 0xfe, 0xff, 0xff, 0xff, 0x0f], &[1, 1, 1, 0, 0][..]].concat();
        assert!(NeedList::decode(&beyond).is_err());
    }

    proptest! {
        #[test]
        fn lists_come_back(steps in prop::collection::vec(any::<(u16, u32, u32)>(), 0..50)) {
            let mut next = 0;
            let mut packs = Vec::new();
            for (step, places, bases) in steps {
                packs.push(need(next + u32::from(step), places, bases));
                next += u32::from(step) + 1;
            }
            let list = NeedList { packs };
            prop_assert_eq!(NeedList::decode(&list.encode()), Ok(list));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _unused = NeedList::decode(&bytes);
        }
    }
}
