//! The record of a member: what it is, what was checked, and its map or the root of it (FORMAT.md
//! 7.2).

use crate::base::error::Malformed;
use crate::base::ids::Entry;
use crate::base::ids::Storage;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::limits::INLINE_ENTRIES_MAX;
use crate::base::limits::MAP_LEVELS_MAX;
use crate::base::limits::PAGE_BYTES_MIN;
use crate::base::limits::PATH_BYTES_MAX;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;
use crate::format::map_page;
use crate::format::map_page::Lengths;

const FLAG_CLOSED: u8 = 1;
const FLAG_INLINE: u8 = 2;
const FLAG_CONTENT_DEFINED: u8 = 4;
const FLAGS_KNOWN: u8 = FLAG_CLOSED | FLAG_INLINE | FLAG_CONTENT_DEFINED;

/// The key of a member: its path, and which incarnation of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct MemberKey {
    /// The path as the stream has it.
    pub path: Vec<u8>,
    /// 0 for the first file of that path in the stream.
    pub incarnation: u32,
}

impl MemberKey {
    /// Returns the path for people; bytes that are not UTF-8 are replaced.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// The division of a member into blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// At multiples of this many bytes, a power of two.
    Fixed(u32),
    /// Blocks begin where the content says so.
    ContentDefined,
}

/// Pages of a member by what the check said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageCounts {
    /// Checksum and identity right.
    pub verified: u64,
    /// Pages that no check could judge.
    pub unverifiable: u64,
    /// Pages that the check found wrong.
    pub corrupt: u64,
    /// Pages whose bytes are all zero.
    pub zero: u64,
}

/// The entries of a member, or where they begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MapRoot {
    /// All entries, in the member's record itself.
    Inline(Vec<Entry>),
    /// A tree of map pages.
    Tree {
        /// Levels of map pages, at least 1.
        levels: u8,
        /// Blocks of the member.
        blocks: u64,
        /// The topmost map page.
        root: Entry,
    },
}

/// The record of a member in the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRecord {
    /// Path and incarnation, which name the member in its stream.
    pub key: MemberKey,
    /// True if its end record arrived.
    pub closed: bool,
    /// The division of the member into blocks.
    pub blocks: Blocks,
    /// Number of bytes of the member.
    pub length: u64,
    /// The packed tablespace format, 0 if it is none.
    pub page_format: u64,
    /// The number of its first page: not 0 in later files of the system tablespace.
    pub first_page: u32,
    /// The largest page LSN seen.
    pub max_lsn: u64,
    /// The counts of the page check.
    pub pages: PageCounts,
    /// Entries of its blocks, or the root of the tree that has them.
    pub map: MapRoot,
}

/// Encodes an entry that stands alone: a map page of one.
pub fn put_root(out: &mut Vec<u8>, root: &Entry) {
    put_bytes(out, &map_page::encode(std::slice::from_ref(root), Lengths::Stored));
}

/// Decodes an entry that stands alone; it must name something.
pub fn take_root(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let page = map_page::decode(reader.bytes()?, 0)?;
    match page.as_slice() {
        [entry] if entry.storage != Storage::Zero => Ok(*entry),
        _ => Err(reader.malformed("its root is not one stored entry")),
    }
}

impl MemberRecord {
    /// Returns the number of blocks of the member.
    pub fn block_count(&self) -> u64 {
        match &self.map {
            MapRoot::Inline(entries) => u64_of(entries.len()),
            MapRoot::Tree { blocks, .. } => *blocks,
        }
    }

    /// Returns the size of each block but the last; 0 if it varies.
    pub fn block_bytes(&self) -> u64 {
        match self.blocks {
            Blocks::Fixed(bytes) => bytes.into(),
            Blocks::ContentDefined => 0,
        }
    }

    /// Appends the encoded record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.key.path);
        put_varint(out, self.key.incarnation.into());
        let inline = matches!(self.map, MapRoot::Inline(_));
        let flags = [
            (self.closed, FLAG_CLOSED),
            (inline, FLAG_INLINE),
            (self.blocks == Blocks::ContentDefined, FLAG_CONTENT_DEFINED),
        ];
        out.push(flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
        out.push(match self.blocks {
            Blocks::Fixed(bytes) => bytes.trailing_zeros().to_le_bytes()[0],
            Blocks::ContentDefined => 0,
        });
        put_varint(out, self.length);
        put_varint(out, self.page_format);
        put_varint(out, self.first_page.into());
        put_varint(out, self.max_lsn);
        let PageCounts { verified, unverifiable, corrupt, zero } = self.pages;
        [verified, unverifiable, corrupt, zero].iter().for_each(|count| put_varint(out, *count));
        match &self.map {
            MapRoot::Inline(entries) => {
                assert!(entries.len() <= INLINE_ENTRIES_MAX);
                let lengths = match self.blocks {
                    Blocks::Fixed(bytes) => Lengths::Fixed(bytes.into()),
                    Blocks::ContentDefined => Lengths::Stored,
                };
                put_bytes(out, &map_page::encode(entries, lengths));
            }
            MapRoot::Tree { levels, blocks, root } => {
                out.push(*levels);
                put_varint(out, *blocks);
                put_root(out, root);
            }
        }
    }

    /// Takes one encoded record from the reader.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let key = take_key(reader)?;
        let flags = reader.u8()?;
        if flags & !FLAGS_KNOWN != 0 {
            return Err(reader.malformed("a flag is unknown to this program"));
        }
        let blocks = take_blocks(reader, flags)?;
        let length = reader.varint()?;
        let page_format = reader.varint()?;
        let first_page = reader.varint_u32()?;
        let max_lsn = reader.varint()?;
        let pages = PageCounts {
            verified: reader.varint()?,
            unverifiable: reader.varint()?,
            corrupt: reader.varint()?,
            zero: reader.varint()?,
        };
        let map = if flags & FLAG_INLINE != 0 {
            take_inline(reader, blocks, length)?
        } else {
            take_tree(reader, blocks, length)?
        };
        let closed = flags & FLAG_CLOSED != 0;
        Ok(Self { key, closed, blocks, length, page_format, first_page, max_lsn, pages, map })
    }
}

/// Takes a path and an incarnation from the reader.
pub fn take_key(reader: &mut Reader<'_>) -> Result<MemberKey, Malformed> {
    let path = reader.bytes()?.to_vec();
    if path.len() > PATH_BYTES_MAX {
        return Err(reader.malformed("a path is too long"));
    }
    Ok(MemberKey { path, incarnation: reader.varint_u32()? })
}

fn take_blocks(reader: &mut Reader<'_>, flags: u8) -> Result<Blocks, Malformed> {
    let log2 = reader.u8()?;
    if flags & FLAG_CONTENT_DEFINED != 0 {
        return Ok(Blocks::ContentDefined);
    }
    let bytes = 1u32.checked_shl(log2.into()).unwrap_or(0);
    let within = PAGE_BYTES_MIN..=BLOCK_BYTES_MAX;
    if !within.contains(&crate::base::num::usize_of_u32(bytes)) {
        return Err(reader.malformed("its block size is out of bounds"));
    }
    Ok(Blocks::Fixed(bytes))
}

fn take_inline(reader: &mut Reader<'_>, blocks: Blocks, length: u64) -> Result<MapRoot, Malformed> {
    let fixed = match blocks {
        Blocks::Fixed(bytes) => bytes.into(),
        Blocks::ContentDefined => 0,
    };
    let mut entries = map_page::decode(reader.bytes()?, fixed)?;
    if entries.len() > INLINE_ENTRIES_MAX {
        return Err(reader.malformed("too many entries in a record"));
    }
    fit_last(&mut entries, length).map_err(|why| reader.malformed(why))?;
    Ok(MapRoot::Inline(entries))
}

fn take_tree(reader: &mut Reader<'_>, blocks: Blocks, length: u64) -> Result<MapRoot, Malformed> {
    let levels = reader.u8()?;
    if levels == 0 || levels > MAP_LEVELS_MAX {
        return Err(reader.malformed("its map has no or too many levels"));
    }
    let count = reader.varint()?;
    if let Blocks::Fixed(bytes) = blocks
        && count != length.div_ceil(bytes.into())
    {
        return Err(reader.malformed("its length and its blocks contradict each other"));
    }
    Ok(MapRoot::Tree { levels, blocks: count, root: take_root(reader)? })
}

/// Shortens the last entry so that all of them have `length` bytes.
fn fit_last(entries: &mut [Entry], length: u64) -> Result<(), &'static str> {
    const CONTRADICTION: &str = "its length and its blocks contradict each other";
    let Some((last, before)) = entries.split_last_mut() else {
        return if length == 0 { Ok(()) } else { Err(CONTRADICTION) };
    };
    let bytes_before = before
        .iter()
        .try_fold(0u64, |sum, entry| sum.checked_add(entry.length))
        .ok_or(CONTRADICTION)?;
    let bytes_last = length.checked_sub(bytes_before).ok_or(CONTRADICTION)?;
    let oversized = before.iter().chain([&*last]).any(|e| e.length > u64_of(BLOCK_BYTES_MAX));
    if bytes_last == 0 || bytes_last > last.length || oversized {
        return Err(CONTRADICTION);
    }
    last.length = bytes_last;
    Ok(())
}

/// Fits the entries of a leaf page of a fixed-size member: its very last block may be short.
///
/// A page that claims to begin after the member's end is left as it is.
pub fn fit_leaf(entries: &mut [Entry], first_block: u64, record: &MemberRecord) {
    let block = record.block_bytes();
    let Some(last_block) = record.block_count().checked_sub(1) else { return };
    let Some(at) = last_block.checked_sub(first_block) else { return };
    if block == 0 {
        return;
    }
    if let Some(last) = entries.get_mut(usize_of(at)) {
        last.length = record.length - last_block * block;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::map_page::tests::any_entry;
    use proptest::prelude::*;

    pub(crate) fn any_record() -> impl Strategy<Value = MemberRecord> {
        let path = prop::collection::vec(any::<u8>(), 1..40);
        let entries = prop::collection::vec((any_entry(), 1u64..100_000), 0..64);
        (path, any::<(u32, bool, u64, u32, u64)>(), entries).prop_map(
            |(path, (incarnation, closed, page_format, first_page, max_lsn), entries)| {
                let mut entries: Vec<Entry> =
                    entries.into_iter().map(|(entry, length)| Entry { length, ..entry }).collect();
                let content = page_format % 2 == 0;
                let count = entries.len();
                if !content {
                    entries.iter_mut().take(count.max(1) - 1).for_each(|e| e.length = 16384);
                    entries.iter_mut().skip(count.max(1) - 1).for_each(|e| e.length = 100);
                }
                MemberRecord {
                    key: MemberKey { path, incarnation },
                    closed,
                    blocks: if content { Blocks::ContentDefined } else { Blocks::Fixed(16384) },
                    length: entries.iter().map(|entry| entry.length).sum(),
                    page_format,
                    first_page,
                    max_lsn,
                    pages: PageCounts { verified: max_lsn, ..PageCounts::default() },
                    map: MapRoot::Inline(entries),
                }
            },
        )
    }

    #[test]
    fn a_leaf_behind_the_end_of_its_member_is_left_as_it_is() {
        let empty = MemberRecord {
            key: MemberKey::default(),
            closed: true,
            blocks: Blocks::Fixed(16384),
            length: 0,
            page_format: 0,
            first_page: 0,
            max_lsn: 0,
            pages: PageCounts::default(),
            map: MapRoot::Inline(Vec::new()),
        };
        let short = MemberRecord { length: 100, map: MapRoot::Inline(vec![]), ..empty.clone() };
        for (record, first_block) in [(&empty, 0), (&empty, 7), (&short, u64::MAX)] {
            let mut leaf = [Entry::zero(16384)];
            fit_leaf(&mut leaf, first_block, record);
            assert_eq!(leaf, [Entry::zero(16384)]);
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back(record in any_record()) {
            let mut out = Vec::new();
            record.encode(&mut out);
            let mut reader = Reader::new("member record", &out);
            prop_assert_eq!(MemberRecord::decode(&mut reader), Ok(record));
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _unused = MemberRecord::decode(&mut Reader::new("member record", &bytes));
        }
    }
}
