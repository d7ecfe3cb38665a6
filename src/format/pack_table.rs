//! The pack table of a lineage: which pack an index means (FORMAT.md 6).
//!
//! It is append-only, so a filled node never changes again and is stored as a block; the snapshot
//! carries only the unfilled ends of the levels. In memory it is a plain list.

use std::collections::BTreeMap;

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::DIRECTORY_BYTES_MAX;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::PACK_ENTRIES_MAX;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;
use crate::base::wire::put_varint;

const WHAT: &str = "pack table";
const LEVELS_MAX: usize = 4;
/// The fewest bytes of a pack's record.
pub(super) const RECORD_BYTES_MIN: usize = 36;
const REFERENCE_BYTES: usize = 52;

/// The record of a pack in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackRecord {
    /// Name of the pack, the hash of its bytes.
    pub name: PackName,
    /// Stored bytes of the object.
    pub bytes: u64,
    /// Stored bytes from the start of its directory to its end.
    pub tail_bytes: u32,
    /// Number of its entries.
    pub entries: u32,
    /// The class of the pack: data or metadata.
    pub class: Class,
}

/// A filled node, named so that it can be read before the table is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeRef {
    /// The pack that holds the node.
    pub pack: PackName,
    /// The entry in that pack.
    pub entry: EntryNumber,
    /// The node's block hash.
    pub hash: BlockHash,
}

/// The part of the table that stands in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableTail {
    /// Number of records in the whole table.
    pub total: u32,
    /// Records after the last stored node.
    pub records: Vec<PackRecord>,
    /// References after the last stored node, for each level above.
    pub levels: Vec<Vec<NodeRef>>,
}

/// Appends the record of a pack.
pub(super) fn put_pack(out: &mut Vec<u8>, record: &PackRecord) {
    out.extend_from_slice(&record.name.0);
    put_varint(out, record.bytes);
    put_varint(out, record.tail_bytes.into());
    put_varint(out, record.entries.into());
    out.push(record.class.code());
}

/// Takes the record of a pack.
pub(super) fn take_pack(reader: &mut Reader<'_>) -> Result<PackRecord, Malformed> {
    let record = PackRecord {
        name: PackName(reader.array()?),
        bytes: reader.varint()?,
        tail_bytes: reader.varint_u32()?,
        entries: reader.varint_u32()?,
        class: Class::from_code(reader.u8()?)
            .ok_or(Malformed { what: WHAT, why: "a class is unknown to this program" })?,
    };
    if record.bytes > PACK_BYTES_ACCEPTED_MAX
        || usize_of_u32(record.tail_bytes) > DIRECTORY_BYTES_MAX
        || usize_of_u32(record.entries) > PACK_ENTRIES_MAX
    {
        return Err(reader.malformed("a pack is larger than the format allows"));
    }
    Ok(record)
}

fn put_reference(out: &mut Vec<u8>, node: &NodeRef) {
    out.extend_from_slice(&node.pack.0);
    out.extend_from_slice(&node.entry.0.to_le_bytes());
    out.extend_from_slice(&node.hash.0);
}

fn take_reference(reader: &mut Reader<'_>) -> Result<NodeRef, Malformed> {
    Ok(NodeRef {
        pack: PackName(reader.array()?),
        entry: EntryNumber(reader.u32()?),
        hash: BlockHash(reader.array()?),
    })
}

/// Encodes a filled node of records.
pub fn encode_records(records: &[PackRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 44);
    records.iter().for_each(|record| put_pack(&mut out, record));
    out
}

/// Reads a filled node of records.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<PackRecord>, Malformed> {
    let mut reader = Reader::new(WHAT, bytes);
    let records = (0..PACK_TABLE_NODE).map(|_| take_pack(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(records)
}

/// Encodes a filled node of references.
pub fn encode_references(nodes: &[NodeRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * REFERENCE_BYTES);
    nodes.iter().for_each(|node| put_reference(&mut out, node));
    out
}

/// Reads a filled node of references.
pub fn decode_references(bytes: &[u8]) -> Result<Vec<NodeRef>, Malformed> {
    let mut reader = Reader::new(WHAT, bytes);
    let nodes =
        (0..PACK_TABLE_NODE).map(|_| take_reference(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(nodes)
}

impl TableTail {
    /// Appends the tail to a snapshot's text.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.total.into());
        put_varint(out, u64_of(self.levels.len()));
        put_varint(out, u64_of(self.records.len()));
        self.records.iter().for_each(|record| put_pack(out, record));
        for level in &self.levels {
            put_varint(out, u64_of(level.len()));
            level.iter().for_each(|node| put_reference(out, node));
        }
    }

    /// Takes a tail from a snapshot's text.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let total = reader.varint_u32()?;
        let levels = usize_of(reader.varint()?);
        if levels > LEVELS_MAX {
            return Err(reader.malformed("too many levels"));
        }
        let count = reader.count(RECORD_BYTES_MIN)?;
        let records = (0..count).map(|_| take_pack(reader)).collect::<Result<Vec<_>, _>>()?;
        let mut tail = Self { total, records, levels: Vec::new() };
        let mut stored = 0usize;
        let mut weight = PACK_TABLE_NODE;
        for _ in 0..levels {
            let count = reader.count(REFERENCE_BYTES)?;
            stored += count * weight;
            weight *= PACK_TABLE_NODE;
            tail.levels.push((0..count).map(|_| take_reference(reader)).collect::<Result<_, _>>()?);
        }
        if stored + tail.records.len() != usize_of_u32(total) {
            return Err(reader.malformed("its records do not add up"));
        }
        Ok(tail)
    }
}

/// The table in memory: closed packs by index, and indices given to packs that are still open.
#[derive(Clone, Debug, Default)]
pub struct PackTable {
    records: Vec<Option<PackRecord>>,
    by_name: BTreeMap<[u8; 8], PackIndex>,
}

impl PackTable {
    /// Creates a table of closed packs; a pack's index is its place in `records`.
    pub fn new(records: Vec<PackRecord>) -> Self {
        let mut table = Self::default();
        for record in records {
            let at = table.reserve();
            table.close(at, record);
        }
        table
    }

    /// Returns the number of indices given.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether no index was given yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Gives the next index to a pack that is opened.
    pub fn reserve(&mut self) -> PackIndex {
        self.records.push(None);
        PackIndex(u32_of(self.records.len() - 1))
    }

    /// Enters a closed pack at the index it was given.
    pub fn close(&mut self, at: PackIndex, record: PackRecord) {
        let place = &mut self.records[usize_of_u32(at.0)];
        assert!(place.is_none(), "an index is given once");
        *place = Some(record);
        self.by_name.entry(key_of(&record.name)).or_insert(at);
    }

    /// Returns the pack of an index; `None` if it is unknown or still open.
    pub fn get(&self, at: PackIndex) -> Option<&PackRecord> {
        self.records.get(usize_of_u32(at.0))?.as_ref()
    }

    /// Returns the index of a pack by name.
    pub fn find(&self, name: &PackName) -> Option<PackIndex> {
        let at = *self.by_name.get(&key_of(name))?;
        let found = self.get(at).is_some_and(|record| record.name == *name);
        // Two names that share 64 bits: only a hostile store makes those, and then a search is
        // cheap enough.
        if found { Some(at) } else { self.iter().find(|(_, r)| r.name == *name).map(|(at, _)| at) }
    }

    /// Iterates over closed packs with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (PackIndex, &PackRecord)> {
        self.records
            .iter()
            .enumerate()
            .filter_map(|(n, record)| Some((PackIndex(u32_of(n)), record.as_ref()?)))
    }
}

fn key_of(name: &PackName) -> [u8; 8] {
    *name.0.first_chunk().expect("a name has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u8) -> PackRecord {
        PackRecord {
            name: PackName([n; 32]),
            bytes: 1000 + u64::from(n),
            tail_bytes: 77,
            entries: 5,
            class: Class::Data,
        }
    }

    #[test]
    fn a_tail_comes_back_and_must_add_up() {
        let node =
            NodeRef { pack: PackName([9; 32]), entry: EntryNumber(4), hash: BlockHash([8; 16]) };
        let tail = TableTail {
            total: 256 + 3,
            records: (0..3).map(record).collect(),
            levels: vec![vec![node]],
        };
        let mut out = Vec::new();
        tail.encode(&mut out);
        assert_eq!(TableTail::decode(&mut Reader::new(WHAT, &out)), Ok(tail.clone()));
        let mut out = Vec::new();
        TableTail { total: 258, ..tail }.encode(&mut out);
        assert!(TableTail::decode(&mut Reader::new(WHAT, &out)).is_err());
    }

    #[test]
    fn packs_are_found_by_index_and_by_name() {
        let mut table = PackTable::new((0..3).map(record).collect());
        let at = table.reserve();
        assert_eq!(table.get(at), None);
        table.close(at, record(7));
        assert_eq!(table.find(&PackName([7; 32])), Some(PackIndex(3)));
        assert_eq!(table.find(&PackName([8; 32])), None);
        assert_eq!(decode_records(&encode_records(&[record(1); 256])).unwrap().len(), 256);
    }
}
