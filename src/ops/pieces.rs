//! Puts a stream of bytes together from pieces: bytes that are known, and ranges of members, which
//! workers fetch and verify. They leave in order.
//!
//! Restores of a stream and `cat` write this way. A [`Planner`] takes the pieces; when they make a
//! batch, the batch goes to a worker, which becomes a buffer of bytes, and the buffers are handed
//! over in the order of the pieces.

use crate::base::buffers::Buffer;
use crate::base::buffers::Buffers;
use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::ops::batches;
use crate::ops::batches::BATCH_BYTES;
use crate::ops::batches::Batch;
use crate::ops::batches::Sender;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Entries;

/// Bytes that a piece occupies until it is written, in addition to its own: the piece and the
/// request for its block.
const PIECE_BYTES: u64 = 256;

/// A piece of a stream.
enum Piece {
    /// Bytes that are in memory already.
    Bytes(Vec<u8>),
    /// A part of a block.
    Part { block: Block, from: usize, to: usize },
}

/// Neighbouring pieces of a stream.
#[derive(Default)]
struct StreamBatch {
    pieces: Vec<Piece>,
    /// Number of bytes that the pieces become.
    bytes: u64,
    /// Number of bytes that the pieces themselves occupy: of small files more than they become.
    overhead: u64,
}

impl Batch for StreamBatch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

/// Takes the pieces of a stream in their order.
pub(super) struct Planner<'s, 'h> {
    sender: &'s mut Sender<'h, StreamBatch>,
    batch: StreamBatch,
}

impl Planner<'_, '_> {
    /// Adds bytes that are known.
    pub(super) fn add_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        let count = u64_of(bytes.len());
        self.add(Piece::Bytes(bytes), count)
    }

    /// Adds the bytes from `from` to `to` of a member. Nothing before `from` can be added later.
    pub(super) fn add_range(
        &mut self,
        member: &mut MemberReader,
        from: u64,
        to: u64,
    ) -> Result<()> {
        let mut at = from;
        while at < to {
            let block = member.block_at(at)?;
            let end = (block.at + block.entry.length).min(to);
            let (from, to) = (usize_of(at - block.at), usize_of(end - block.at));
            self.add(Piece::Part { block, from, to }, end - at)?;
            at = end;
        }
        Ok(())
    }

    fn add(&mut self, piece: Piece, bytes: u64) -> Result<()> {
        self.batch.bytes += bytes;
        self.batch.overhead += PIECE_BYTES;
        self.batch.pieces.push(piece);
        if self.batch.bytes + self.batch.overhead < BATCH_BYTES {
            return Ok(());
        }
        self.sender.send(std::mem::take(&mut self.batch))
    }

    fn finish(self) -> Result<()> {
        if self.batch.pieces.is_empty() { Ok(()) } else { self.sender.send(self.batch) }
    }
}

/// A member whose bytes leave in order, range by range.
pub(super) struct MemberReader {
    entries: Entries,
    current: Option<Block>,
}

impl MemberReader {
    /// Starts to read a member at its first block.
    pub(super) fn new(contents: &Contents, key: &MemberKey) -> Result<Self> {
        Ok(Self { entries: contents.entries(contents.member(key)?), current: None })
    }

    /// Starts to read the member with this record at its first block.
    pub(super) fn of(contents: &Contents, record: MemberRecord) -> Self {
        Self { entries: contents.entries(record), current: None }
    }

    /// Starts to read a member at a block of it.
    pub(super) fn starting_at(contents: &Contents, key: &MemberKey, block: &Block) -> Result<Self> {
        let mut reader = Self::new(contents, key)?;
        reader.entries.go_to(block);
        Ok(reader)
    }

    /// Returns the length of the member in bytes.
    pub(super) fn length(&self) -> u64 {
        self.entries.record().length
    }

    /// Returns the block that was read last, if any was.
    pub(super) fn current(&self) -> Option<Block> {
        self.current
    }

    /// Passes over the blocks before the byte at `at`. Where all blocks have one size, their map
    /// pages are not read.
    pub(super) fn pass_to(&mut self, at: u64) {
        let bytes = self.entries.record().block_bytes();
        if bytes == 0 {
            return;
        }
        let number = at / bytes;
        let next = self.current.map_or(0, |block| block.number + 1);
        if number > next + u64_of(MAP_PAGE_ENTRIES) {
            let block = Block { number, at: number * bytes, entry: Entry::zero(0) };
            self.entries.go_to(&block);
        }
    }

    /// Returns the block that holds the byte at `at`, which is none of an earlier block.
    pub(super) fn block_at(&mut self, at: u64) -> Result<Block> {
        loop {
            if let Some(block) = self.current.filter(|block| block.at + block.entry.length > at) {
                return Ok(block);
            }
            let next = self.entries.next()?.ok_or_else(|| {
                let what = format!("member {}", self.entries.record().key.display());
                Error::damaged(what, "it is shorter than the script says")
            })?;
            self.current = Some(next);
        }
    }
}

/// Plans a stream on one thread, fetches its pieces on `workers`, and hands the bytes to `take` in
/// order on this one.
pub(super) fn write_in_order(
    contents: &Contents,
    workers: u32,
    monitor: &Monitor,
    plan: impl FnOnce(&mut Planner<'_, '_>) -> Result<()> + Send,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let buffers = batches::buffers();
    batches::in_order(
        workers,
        monitor,
        |sender: &mut Sender<'_, StreamBatch>| {
            let mut planner = Planner { sender, batch: StreamBatch::default() };
            plan(&mut planner)?;
            planner.finish()
        },
        |batch| decode(contents, batch, &buffers),
        |bytes: Buffer| take(&bytes),
    )
}

/// Turns a batch into its bytes.
fn decode(contents: &Contents, batch: StreamBatch, buffers: &Buffers) -> Result<Buffer> {
    let mut out = buffers.of_length(usize_of(batch.bytes));
    let mut at = 0;
    let mut places = Vec::new();
    let mut wanted = Vec::new();
    for piece in &batch.pieces {
        match piece {
            Piece::Bytes(bytes) => {
                out[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len();
            }
            Piece::Part { block, from, to } => {
                let end = at + (to - from);
                if let Some(want) = block.wanted() {
                    wanted.push(want);
                    places.push((at, *from, *to));
                } else {
                    out[at..end].fill(0);
                }
                at = end;
            }
        }
    }
    contents.packs().read(&wanted, &mut |number, block| {
        let (at, from, to) = places[number];
        out[at..at + (to - from)].copy_from_slice(&block?[from..to]);
        Ok(())
    })?;
    Ok(out)
}
