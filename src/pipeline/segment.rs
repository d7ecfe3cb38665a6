//! The pieces that travel from the reader to the workers and on to the collector.
//!
//! A [`Segment`] is up to 1 MiB of one member, cut into blocks, together with what the previous
//! snapshot says about those blocks. A worker turns it into [`Done`]: the same blocks as entries,
//! frames and deltas, without places yet. The collector gives them places, in stream order.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use crate::aria::AriaTable;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::limits::SEGMENT_BYTES;
use crate::encode::Compress;
use crate::encode::EncodedDelta;
use crate::encode::EncodedFrame;
use crate::encode::form::Layout;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::innodb::PageNumber;
use crate::innodb::TablespaceFormat;
use crate::map::view::MapView;
use crate::pipeline::matcher::Matcher;
use crate::pipeline::payloads::PartCrc;
use crate::pipeline::payloads::Payloads;
use crate::pipeline::rebuilt::FormerLeaves;

/// The check of a member's pages.
#[derive(Clone, Copy, Debug)]
pub enum PageCheck {
    /// It is no page file, or none that carries checksums.
    None,
    /// A tablespace whose first page here has this number.
    Tablespace {
        /// Format of the tablespace's pages.
        format: TablespaceFormat,
        /// Number of the member's first page: not 0 in the second file of the system tablespace.
        first: u32,
    },
    /// Changed pages of a tablespace; their numbers come with each segment.
    Delta {
        /// The format, as the base has it.
        format: TablespaceFormat,
        /// Number of the first page of the tablespace's file.
        first: u32,
    },
    /// The data file of an Aria table.
    AriaData(AriaTable),
}

/// The facts about a member that workers share.
#[derive(Debug)]
pub struct Member {
    /// Its number in the stream.
    pub number: u64,
    /// Path and incarnation of the member.
    pub key: MemberKey,
    /// The division of its bytes into blocks.
    pub blocks: Blocks,
    /// The check of its pages.
    pub pages: PageCheck,
    /// Maps of its previous versions, the newest first.
    pub previous: Vec<Arc<MapView>>,
    /// True if the first of them is that of the parent in the lineage.
    pub follows_parent: bool,
    /// The number of the one with which it is compared.
    pub chosen: usize,
    /// Previous blocks by hash, if it is cut by content. Most of very many members have none.
    pub matcher: Option<Box<Mutex<Matcher>>>,
    /// The compressibility of its blocks.
    pub compressibility: Compressibility,
    /// The layout of its pages' records.
    pub layouts: Layouts,
    /// The leaves of the table as it was, if it was rebuilt; read when they are first asked for.
    pub former_leaves: OnceLock<FormerLeaves>,
}

impl Member {
    /// Tells whether the comparison shows what the member no longer names.
    pub fn is_compared_with_parent(&self) -> bool {
        self.follows_parent && self.chosen == 0
    }

    /// Tells whether the member is a table whose former version of the same name is another
    /// tablespace: all of its records may stand on other pages.
    pub fn is_rebuilt(&self) -> bool {
        let PageCheck::Tablespace { format, first: 0 } = self.pages else { return false };
        let Some(former) = self.chosen_previous() else { return false };
        let Ok(before) = TablespaceFormat::decode(former.record().page_format) else {
            return false;
        };
        let spaces = format.space().zip(before.space());
        before.page_size() == format.page_size() && spaces.is_some_and(|(new, old)| new != old)
    }

    /// Returns the previous map that is compared with.
    pub fn chosen_previous(&self) -> Option<&Arc<MapView>> {
        self.previous.get(self.chosen)
    }
}

/// Remembers whether compressing paid lately: encrypted or compressed members are then stored raw,
/// and probed again now and then.
#[derive(Debug, Default)]
pub struct Compressibility {
    failures: AtomicU32,
    skipped: AtomicU32,
}

/// Frames in a row that did not shrink after which compressing is skipped.
const FAILURES_MAX: u32 = 8;
/// Number of skipped frames of which one is tried.
const PROBE_EVERY: u32 = 32;

impl Compressibility {
    /// Returns whether to compress the next frame.
    pub fn advice(&self) -> Compress {
        if self.failures.load(Ordering::Relaxed) < FAILURES_MAX {
            return Compress::Try;
        }
        let skipped = self.skipped.fetch_add(1, Ordering::Relaxed);
        if skipped % PROBE_EVERY == PROBE_EVERY - 1 { Compress::Try } else { Compress::Skip }
    }

    /// Notes whether a frame that was tried has shrunk.
    pub fn record(&self, shrank: Shrank) {
        match shrank {
            Shrank::Yes => self.failures.store(0, Ordering::Relaxed),
            Shrank::No => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The result of compressing a frame: smaller or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shrank {
    /// The frame became smaller by compressing.
    Yes,
    /// The frame did not become smaller.
    No,
}

/// Remembers in which layout the frames of a member were smaller: columns most of the time, but
/// not where rows repeat long parts of each other in various places.
#[derive(Debug, Default)]
pub struct Layouts {
    frames: AtomicU32,
    rows_are_smaller: AtomicBool,
}

/// Number of frames of which one is compressed in both layouts.
const COMPARE_EVERY: u32 = 32;
/// The first frame of them: members of a few frames are not compressed twice.
const COMPARE_AT: u32 = 3;

impl Layouts {
    /// Returns the layout of the next frame.
    pub fn advice(&self) -> LayoutAdvice {
        if self.frames.fetch_add(1, Ordering::Relaxed) % COMPARE_EVERY == COMPARE_AT {
            return LayoutAdvice::Compare;
        }
        let rows_are_smaller = self.rows_are_smaller.load(Ordering::Relaxed);
        LayoutAdvice::Take(if rows_are_smaller { Layout::Rows } else { Layout::Columns })
    }

    /// Notes in which layout a frame was smaller.
    pub fn record(&self, smaller: Layout) {
        self.rows_are_smaller.store(smaller == Layout::Rows, Ordering::Relaxed);
    }
}

/// The layout of a frame that is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutAdvice {
    /// This layout, without a comparison.
    Take(Layout),
    /// The one that makes the smaller frame, to be noted for those that follow.
    Compare,
}

/// Bytes of a segment, in a buffer that goes back to its pool.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    pool: Sender<Vec<u8>>,
}

impl Buffer {
    /// Returns the bytes that were filled so far.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Returns the room after the filled bytes.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Returns the number of bytes that the buffer occupies.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Counts bytes that were written into the room.
    pub fn advance(&mut self, count: usize) {
        self.filled += count;
        assert!(self.filled <= self.bytes.len(), "nothing is written behind the room");
    }

    /// Keeps only the first bytes.
    pub fn truncate(&mut self, count: usize) {
        self.filled = self.filled.min(count);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == SEGMENT_BYTES {
            // A full pool, or none any more, frees the buffer.
            let _full = self.pool.try_send(std::mem::take(&mut self.bytes));
        }
    }
}

/// Buffers of one segment's size that are used again and again.
#[derive(Debug)]
pub struct Pool {
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
}

/// Largest buffer that is made to measure for a small member.
const SMALL_BUFFER_BYTES_MAX: usize = 128 << 10;

impl Pool {
    /// Creates a pool that keeps at most `buffers` buffers.
    pub fn new(buffers: usize) -> Self {
        let (sender, receiver) = bounded(buffers);
        Self { sender, receiver }
    }

    /// Returns a buffer for at least `hint` bytes, or for a whole segment if more are expected.
    pub fn get(&self, hint: usize) -> Buffer {
        let bytes = if hint <= SMALL_BUFFER_BYTES_MAX {
            vec![0; hint]
        } else {
            self.receiver.try_recv().unwrap_or_else(|_| vec![0; SEGMENT_BYTES])
        };
        Buffer { bytes, filled: 0, pool: self.sender.clone() }
    }
}

/// The ends of a segment's blocks.
#[derive(Debug, Clone)]
pub enum Cuts {
    /// Blocks of this many bytes; the last may be shorter.
    Every(usize),
    /// Blocks that end at these offsets.
    At(Vec<usize>),
}

impl Cuts {
    /// Returns the blocks of `data`.
    pub fn blocks<'d>(&self, data: &'d [u8]) -> Vec<&'d [u8]> {
        match self {
            Self::Every(bytes) => data.chunks(*bytes).collect(),
            Self::At(ends) => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                starts.zip(ends).map(|(from, to)| &data[from..*to]).collect()
            }
        }
    }
}

/// A piece of a member that goes to a worker.
#[derive(Debug)]
pub struct Segment {
    /// Whose bytes they are.
    pub member: Arc<Member>,
    /// The offset of the segment in the member.
    pub at: u64,
    /// The bytes of the segment.
    pub data: Buffer,
    /// The ends of its blocks.
    pub cuts: Cuts,
    /// The payloads of which CRCs are to be computed.
    pub payloads: Payloads,
    /// The number of each page in its tablespace's file, if they are changed pages.
    pub numbers: Vec<Option<PageNumber>>,
    /// The entries of the previous maps for the same blocks; fewer if they end before.
    pub previous: Vec<Entry>,
    /// The number of those entries that are from the map that is compared with, not from an older
    /// one after its end.
    pub previous_own: usize,
}

/// The new entry of a block, whose place may still be unknown.
#[derive(Debug)]
pub enum NewEntry {
    /// It needs nothing: zeros, or the same as before.
    Ready(Entry),
    /// It is the next block of the next frame.
    InFrame(Entry),
    /// It is the next delta.
    InDelta(Entry),
}

impl NewEntry {
    /// Returns the entry, without its place if that is unknown.
    pub fn entry(&self) -> &Entry {
        match self {
            Self::Ready(entry) | Self::InFrame(entry) | Self::InDelta(entry) => entry,
        }
    }
}

/// A page that is wrong.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
pub struct PageFinding {
    /// Path of the member with the page.
    pub path: String,
    /// The page's number in its file.
    pub page: u64,
    /// The page's LSN, as far as it can be believed.
    pub lsn: u64,
    /// The defect of the page, in words.
    pub reason: String,
}

/// The counts that page checks made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of pages by verdict.
    pub pages: crate::format::record::PageCounts,
    /// Largest LSN that could be believed.
    pub max_lsn: u64,
}

/// A delta that is to be stored, and the places of what it rests on.
#[derive(Debug)]
pub struct StoredDelta {
    /// The bases: the block as it was, or other pages.
    pub kind: DeltaKind,
    /// The block as its difference to its base, or to both bases joined.
    pub delta: EncodedDelta,
    /// The place of the base, the only one or the first.
    pub base: Locator,
    /// The place of the second base, if it rests on two.
    pub second: Option<Locator>,
}

/// The bases of a delta, as they are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeltaKind {
    /// It rests on the block as it was.
    InPlace,
    /// It rests on other pages, from which its records came.
    Moved,
}

/// A segment whose blocks have been compared and encoded.
#[derive(Debug)]
pub struct Done {
    /// Whose blocks they are.
    pub member: Arc<Member>,
    /// One entry a block; places are filled in later.
    pub entries: Vec<NewEntry>,
    /// Frames of whole blocks, in order.
    pub frames: Vec<EncodedFrame>,
    /// Deltas of changed blocks, in order.
    pub deltas: Vec<StoredDelta>,
    /// Entries of the previous map that this one no longer names.
    pub released: Vec<Locator>,
    /// Blocks (by number in the segment) that stand again for a previous entry that is lost.
    pub healed: Vec<(usize, Locator)>,
    /// CRCs of payloads, or of the parts of them that are here.
    pub crcs: Vec<PartCrc>,
    /// The counts that the page checks made.
    pub tally: Tally,
    /// Wrong pages, at most [`FINDINGS_A_SEGMENT`].
    pub findings: Vec<PageFinding>,
}

/// Wrong pages that one segment names.
pub const FINDINGS_A_SEGMENT: usize = 64;
