//! Reads blocks of this repository from the members of a snapshot of another one.
//!
//! Both snapshots are the same stream, so a member has the same bytes on both sides. Cuts and
//! hashes differ with the keys: a block of this side is put together from parts of blocks of the
//! other side, and counts only if it has its hash under the keys of this one.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::limits::FRAME_OF_PAGES_BYTES_TARGET;
use crate::base::limits::FRAME_RAW_BYTES_TARGET;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::encode::Compress;
use crate::encode::EncodedFrame;
use crate::encode::Level;
use crate::encode::ReadBack;
use crate::encode::WholeCoder;
use crate::encode::form;
use crate::encode::form::Layout;
use crate::format::directory::FramedBlock;
use crate::format::form::BlockForm;
use crate::format::record::MemberRecord;
use crate::hash::BlockHasher;
use crate::innodb::PageSize;
use crate::innodb::TablespaceFormat;
use crate::ops::batches::Batch;
use crate::ops::pieces::MemberReader;
use crate::ops::repair::blocks::MemberKind;
use crate::ops::repair::blocks::passed_over;
use crate::ops::repair::streams::lost::Lost;
use crate::ops::repair::streams::lost::LostBlock;
use crate::ops::repair::streams::lost::Member;
use crate::ops::repair::streams::lost::Wish;
use crate::pack::reader::Wanted;
use crate::repo::contents::Contents;

/// Raw bytes of blocks that are read together.
const BATCH_BYTES: u64 = 4 << 20;

/// A part of a block of the other side.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// The block; `None` for zeros.
    block: Option<Wanted>,
    from: usize,
    to: usize,
}

/// A block of this side, and the parts that it is put together from.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) hash: BlockHash,
    length: usize,
    class: Class,
    page_format: u64,
    pieces: Vec<Piece>,
}

/// Blocks that are read together.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) contents: Contents,
    pub(super) blocks: Vec<Asked>,
    bytes: u64,
}

impl Batch for Asking {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

impl Asking {
    fn new(contents: &Contents) -> Self {
        Self { contents: contents.clone(), blocks: Vec::new(), bytes: 0 }
    }

    /// Returns the blocks of the other side that are read.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.blocks.iter().flat_map(|asked| &asked.pieces).filter_map(|piece| piece.block).collect()
    }
}

/// Finds where a snapshot of the other side has blocks, and hands them over in batches. Those that
/// it does not have are passed over.
pub(super) fn find_in(
    contents: &Contents,
    lost: &Lost,
    wishes: &[Wish],
    send: &mut dyn FnMut(Asking) -> Result<()>,
) -> Result<()> {
    let mut asking = Asking::new(contents);
    for wishes in wishes.chunk_by(|a, b| a.member == b.member) {
        let member = &lost.members[wishes[0].member];
        let Some(record) = passed_over(record_of(contents, member))?.flatten() else { continue };
        let mut reader = MemberReader::of(contents, record);
        for wish in wishes {
            let block = &lost.blocks[&wish.hash];
            reader.pass_to(wish.at);
            let found = passed_over(pieces(&mut reader, wish.at, block.length))?;
            // Nothing after it can be found.
            let Some(pieces) = found else { break };
            let LostBlock { length, class, page_format, .. } = *block;
            let (hash, length) = (wish.hash, usize_of(length));
            asking.blocks.push(Asked { hash, length, class, page_format, pieces });
            asking.bytes += block.length;
            if asking.bytes >= BATCH_BYTES {
                send(std::mem::replace(&mut asking, Asking::new(contents)))?;
            }
        }
    }
    if asking.blocks.is_empty() { Ok(()) } else { send(asking) }
}

/// Returns the record of a member on the other side, if it is there.
fn record_of(contents: &Contents, member: &Member) -> Result<Option<MemberRecord>> {
    match member.kind {
        MemberKind::File => contents.table().find(&member.key),
        MemberKind::Internal => {
            Ok(contents.internal().iter().find(|record| record.key == member.key).cloned())
        }
    }
}

/// Returns the parts of blocks that cover a range of a member.
fn pieces(reader: &mut MemberReader, from: u64, length: u64) -> Result<Vec<Piece>> {
    let (mut at, to) = (from, from + length);
    let mut pieces = Vec::new();
    while at < to {
        let block = reader.block_at(at)?;
        let Some(before) = at.checked_sub(block.at) else {
            return Err(Error::damaged("a map on the other side", "its blocks overlap"));
        };
        let end = (block.at + block.entry.length).min(to);
        let (from, to) = (usize_of(before), usize_of(end - block.at));
        pieces.push(Piece { block: block.wanted(), from, to });
        at = end;
    }
    Ok(pieces)
}

/// The blocks that were read.
#[derive(Debug, Default)]
pub(super) struct Had {
    /// Frames of blocks that have their hashes.
    pub(super) frames: Vec<(Class, EncodedFrame)>,
    /// The raw bytes of these blocks.
    pub(super) bytes: u64,
    /// Blocks that have other bytes there.
    pub(super) different: Vec<BlockHash>,
}

/// The layout of the blocks of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forms {
    /// Pages may be stored in normal form.
    Normal,
    /// Every block keeps its bytes.
    Plain,
}

/// Reads blocks, and encodes those that have their hashes. Blocks that can't be read on the other
/// side are passed over.
pub(super) fn read(asking: &Asking, hasher: &BlockHasher, forms: Forms) -> Result<Had> {
    let mut raw = vec![0; asking.blocks.iter().map(|asked| asked.length).sum()];
    let mut is_read = vec![true; asking.blocks.len()];
    let mut places = Vec::new();
    let mut at = 0;
    for (number, asked) in asking.blocks.iter().enumerate() {
        for Piece { block, from, to } in &asked.pieces {
            if block.is_some() {
                places.push((number, at, *from, *to));
            }
            at += to - from;
        }
    }
    asking.contents.packs().read(&asking.wanted(), &mut |number, block| {
        let (asked, at, from, to) = places[number];
        match block {
            Ok(block) => raw[at..at + (to - from)].copy_from_slice(&block[from..to]),
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                is_read[asked] = false;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    let mut encoder = Encoder::new(hasher, forms);
    let mut rest = raw.as_slice();
    for (asked, is_read) in asking.blocks.iter().zip(is_read) {
        let (block, tail) = rest.split_at(asked.length);
        rest = tail;
        if !is_read {
            continue;
        }
        if hasher.hash(block) != asked.hash {
            encoder.had.different.push(asked.hash);
            continue;
        }
        encoder.add(asked, block)?;
    }
    encoder.finish()
}

/// Gathers blocks into frames.
struct Encoder {
    coder: WholeCoder,
    forms: Forms,
    had: Had,
    /// The class and the pages of the blocks that wait.
    kind: (Class, Option<PageSize>),
    raw: Vec<u8>,
    waiting: Vec<FramedBlock>,
}

impl Encoder {
    fn new(hasher: &BlockHasher, forms: Forms) -> Self {
        let coder = WholeCoder::new(Level::AUTO, ReadBack::On, hasher.clone());
        let (raw, waiting) = (Vec::new(), Vec::new());
        Self { coder, forms, had: Had::default(), kind: (Class::Data, None), raw, waiting }
    }

    fn add(&mut self, asked: &Asked, block: &[u8]) -> Result<()> {
        let kind = (asked.class, self.page_of(asked));
        let target = match kind.1 {
            Some(_) => FRAME_OF_PAGES_BYTES_TARGET,
            None => FRAME_RAW_BYTES_TARGET,
        };
        if kind != self.kind || self.raw.len() + block.len() > target {
            self.flush()?;
        }
        self.kind = kind;
        let form = if let Some(page) = kind.1 {
            form::append(&mut self.raw, block, page, Layout::Columns)
        } else {
            self.raw.extend_from_slice(block);
            BlockForm::PLAIN
        };
        self.waiting.push(FramedBlock { hash: asked.hash, length: block.len(), form });
        self.had.bytes += u64_of(block.len());
        Ok(())
    }

    /// Returns the size of the pages of a block that may be stored in normal form.
    fn page_of(&self, asked: &Asked) -> Option<PageSize> {
        let is_paged = self.forms == Forms::Normal && asked.page_format != 0;
        let format = is_paged.then(|| TablespaceFormat::decode(asked.page_format).ok()).flatten();
        format.map(TablespaceFormat::page_size)
    }

    fn flush(&mut self) -> Result<()> {
        let (raw, waiting) = (std::mem::take(&mut self.raw), std::mem::take(&mut self.waiting));
        if waiting.is_empty() {
            return Ok(());
        }
        let frame = self.coder.encode(&raw, waiting, Compress::Try).map_err(|_| {
            Error::new(ErrorKind::Miscomputed, "a frame does not decode to what it was made from")
        })?;
        self.had.frames.push((self.kind.0, frame));
        Ok(())
    }

    fn finish(mut self) -> Result<Had> {
        self.flush()?;
        Ok(self.had)
    }
}
