//! Every limit of the format and of the memory contract, with the relations that must hold.
//!
//! A reader checks what it is given against these before it allocates; a writer asserts them.

/// Largest pack that a writer fills, bytes; a pack with one oversized block may exceed it.
pub const PACK_BYTES_MAX: usize = 32 << 20;
/// Largest pack that a writer fills where memory is scarce, bytes.
pub const SMALL_PACK_BYTES_MAX: usize = 16 << 20;
/// Bytes of a pack that a writer leaves free of frames, so that the directory fits beside them.
pub const PACK_DIRECTORY_ROOM: usize = 2 << 20;
/// A meta pack is closed at this many stored bytes: readers walk maps of many nights side by side.
pub const META_PACK_FRAMES_BYTES_FULL: usize = 8 << 20;
/// Most entries in one pack: its decoded directory stays within 3 MiB.
pub const PACK_ENTRIES_MAX: usize = 1 << 16;
/// Largest pack that a reader accepts, bytes: one block, its frame and the rest.
pub const PACK_BYTES_ACCEPTED_MAX: u64 = 1 << 30;
/// Largest stored directory that a reader accepts, bytes.
pub const DIRECTORY_BYTES_MAX: usize = 16 << 20;

/// Most bytes of a pack that a reader fetches at once, unless one frame is larger.
pub const READ_BYTES_MAX: usize = 8 << 20;

/// Raw bytes of whole blocks that a writer puts in one frame.
pub const FRAME_RAW_BYTES_TARGET: usize = 128 << 10;
/// Raw bytes of pages in normal form that a writer puts in one frame. The frame of a page that
/// changes is opened every night, and 128 KiB take twice as long to open and save 0.3 %.
pub const FRAME_OF_PAGES_BYTES_TARGET: usize = 64 << 10;
/// Bytes of delta records that a writer puts in one frame, before they are packed.
pub const DELTA_FRAME_BYTES_TARGET: usize = 128 << 10;
/// Largest raw frame that a reader accepts, bytes.
pub const FRAME_RAW_BYTES_MAX: usize = 2 << 20;

/// Smallest block of a page file, bytes.
pub const BLOCK_BYTES_MIN: usize = 16 << 10;
/// Smallest block of any member, bytes: a page of a `.delta` file.
pub const PAGE_BYTES_MIN: usize = 1 << 10;
/// Largest block of any member, bytes.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Largest number of steps that a reader follows from delta to base.
pub const BASE_STEPS_MAX: usize = 10;

/// Entries in a full map page.
pub const MAP_PAGE_ENTRIES: usize = 512;
/// Most entries in a content-defined leaf page.
pub const MAP_PAGE_ENTRIES_MAX: usize = 1024;
/// A member of at most this many blocks carries its entries in its record.
pub const INLINE_ENTRIES_MAX: usize = 64;
/// Levels above the leaves of a map or table that a reader accepts: 512^5 entries.
pub const MAP_LEVELS_MAX: u8 = 5;

/// Bytes after which a table page is ended whatever its keys hash to.
pub const TABLE_PAGE_BYTES_MAX: usize = 32 << 10;

/// Records (and references) in a filled node of the pack table.
pub const PACK_TABLE_NODE: usize = 256;

/// Largest sealed snapshot, bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 10;
/// Largest small object that a reader accepts, bytes.
pub const SMALL_OBJECT_BYTES_MAX: u64 = 16 << 20;

/// Payload bytes in one segment, the unit in which the reader hands work to the workers.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// Longest path of a member, bytes: the limit of mbstream's own reader.
pub const PATH_BYTES_MAX: usize = 4096;

const _: () = assert!(PAGE_BYTES_MIN <= BLOCK_BYTES_MIN);
const _: () = assert!(BLOCK_BYTES_MIN <= FRAME_OF_PAGES_BYTES_TARGET);
const _: () = assert!(FRAME_OF_PAGES_BYTES_TARGET <= FRAME_RAW_BYTES_TARGET);
const _: () = assert!(BLOCK_BYTES_MAX + FRAME_RAW_BYTES_TARGET <= FRAME_RAW_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES_MAX <= SEGMENT_BYTES);
const _: () = assert!(SEGMENT_BYTES.is_multiple_of(BLOCK_BYTES_MIN));
const _: () = assert!(META_PACK_FRAMES_BYTES_FULL + PACK_DIRECTORY_ROOM < SMALL_PACK_BYTES_MAX);
const _: () = assert!(INLINE_ENTRIES_MAX <= MAP_PAGE_ENTRIES);
const _: () = assert!(MAP_PAGE_ENTRIES <= MAP_PAGE_ENTRIES_MAX);
