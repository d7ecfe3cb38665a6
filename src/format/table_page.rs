//! Pages of the member table: records sorted by key, and the index pages above them (FORMAT.md
//! 7.3).

use crate::base::error::Malformed;
use crate::base::ids::Entry;
use crate::base::num::u64_of;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::record::put_root;
use crate::format::record::take_key;
use crate::format::record::take_root;

const WHAT: &str = "table page";
const KIND_RECORDS: u8 = 0;
const KIND_INDEX: u8 = 1;

/// A page of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TablePage {
    /// Records in order of their keys.
    Records(Vec<MemberRecord>),
    /// The first key of each page below, and where it is.
    Index(Vec<(MemberKey, Entry)>),
}

/// The kind of items that a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageKind {
    /// Member records, in order of their keys.
    Records,
    /// First keys and places of the pages below.
    Index,
}

/// Appends an item of a page of records.
pub fn put_record(out: &mut Vec<u8>, record: &[u8]) {
    put_bytes(out, record);
}

/// Appends an item of an index page.
pub fn put_index(out: &mut Vec<u8>, first: &MemberKey, page: &Entry) {
    put_bytes(out, &first.path);
    put_varint(out, first.incarnation.into());
    put_root(out, page);
}

/// Encodes a page of `count` items that were appended to `items`.
pub fn finish(kind: PageKind, count: usize, items: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() + 8);
    out.push(match kind {
        PageKind::Records => KIND_RECORDS,
        PageKind::Index => KIND_INDEX,
    });
    put_varint(&mut out, u64_of(count));
    out.extend_from_slice(items);
    out
}

impl TablePage {
    /// Decodes a page and checks the order of its keys.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, bytes);
        let page = match reader.u8()? {
            KIND_RECORDS => Self::Records(take_records(&mut reader)?),
            KIND_INDEX => Self::Index(take_index(&mut reader)?),
            _ => return Err(reader.malformed("its kind is unknown to this program")),
        };
        reader.finish()?;
        let ordered = match &page {
            Self::Records(records) => records.windows(2).all(|w| w[0].key < w[1].key),
            Self::Index(items) => items.windows(2).all(|w| w[0].0 < w[1].0),
        };
        if ordered {
            Ok(page)
        } else {
            Err(Malformed { what: WHAT, why: "its keys are not in order" })
        }
    }
}

fn take_records(reader: &mut Reader<'_>) -> Result<Vec<MemberRecord>, Malformed> {
    let count = reader.count(1)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let mut item = Reader::new(WHAT, reader.bytes()?);
        records.push(MemberRecord::decode(&mut item)?);
        item.finish()?;
    }
    Ok(records)
}

fn take_index(reader: &mut Reader<'_>) -> Result<Vec<(MemberKey, Entry)>, Malformed> {
    let count = reader.count(1)?;
    (0..count).map(|_| Ok((take_key(reader)?, take_root(reader)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::tests::any_record;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_of_records_comes_back(mut records in prop::collection::vec(any_record(), 0..6)) {
            records.sort_by(|a, b| a.key.cmp(&b.key));
            records.dedup_by(|a, b| a.key == b.key);
            let mut items = Vec::new();
            for record in &records {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                put_record(&mut items, &bytes);
            }
            let page = finish(PageKind::Records, records.len(), &items);
            prop_assert_eq!(TablePage::decode(&page), Ok(TablePage::Records(records)));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _unused = TablePage::decode(&bytes);
        }
    }
}
