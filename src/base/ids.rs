//! Names and places: a type for each, so that one can't be passed for another.

use std::fmt;

use crate::base::hex;

/// The keyed hash that names a block, 128 bits (FORMAT.md 5.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BlockHash(pub [u8; 16]);

/// The BLAKE3 of a pack's stored bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackName(pub [u8; 32]);

/// The BLAKE3 of a snapshot's stored bytes; users see a prefix of its hexadecimal form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub [u8; 32]);

/// The opaque name of a source: a keyed hash of the name that people use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub [u8; 16]);

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}
hexadecimal!(BlockHash, PackName, SnapshotId, SourceId);

impl SnapshotId {
    /// Reads an id of 64 hexadecimal digits; nothing from any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }

    /// Returns the first characters of the id, enough for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..5])
    }
}

impl PackName {
    /// Returns the first characters of the name, enough for messages.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..5])
    }
}

/// The kind of blocks that a pack holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Blocks with the contents of members.
    Data,
    /// Map pages, table pages, scripts and lists.
    Meta,
}

impl Class {
    /// Returns the number of the class in the format.
    pub fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    /// Returns the class of a number, `None` if no class has it.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Data),
            2 => Some(Self::Meta),
            _ => None,
        }
    }
}

/// An index into the pack table of a lineage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PackIndex(pub u32);

impl PackIndex {
    /// No pack of the table: one that only another table names. It is never written.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// The number of an entry inside its pack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct EntryNumber(pub u32);

/// The place of a block's bytes: a pack of the lineage's table and an entry in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Locator {
    /// Number of the pack in the lineage's pack table.
    pub pack: PackIndex,
    /// The number of the entry in the pack's directory.
    pub entry: EntryNumber,
}

/// An entry by the name of its pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct EntryAddress {
    /// Name of the pack that holds the entry.
    pub pack: PackName,
    /// The entry in it.
    pub entry: EntryNumber,
}

/// The way in which a block is stored, as a map records it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// Not stored: every byte is zero.
    Zero,
    /// Stored whole, so that no base is needed.
    Whole(Locator),
    /// Stored as a delta.
    Delta {
        /// The place of the delta.
        at: Locator,
        /// The place of its base.
        base: Locator,
        /// The place of the second base, if it rests on two.
        second: Option<Locator>,
        /// Steps from here to a whole block, at least 1.
        depth: u8,
    },
}

impl Storage {
    /// Returns where the block's own record is; `None` for a zero block.
    pub fn locator(&self) -> Option<Locator> {
        match *self {
            Self::Zero => None,
            Self::Whole(at) | Self::Delta { at, .. } => Some(at),
        }
    }

    /// Returns all places that the block is made from: its own record, and its bases.
    pub fn places(&self) -> impl Iterator<Item = Locator> + use<> {
        let [at, base, second] = match *self {
            Self::Zero => [None; 3],
            Self::Whole(at) => [Some(at), None, None],
            Self::Delta { at, base, second, .. } => [Some(at), Some(base), second],
        };
        [at, base, second].into_iter().flatten()
    }

    /// Returns the last whole version that this block rests on: itself if it is whole. Valid for
    /// data, whose deltas have depth 1.
    pub fn whole(&self) -> Option<Locator> {
        match *self {
            Self::Zero => None,
            Self::Whole(at) => Some(at),
            Self::Delta { base, .. } => Some(base),
        }
    }
}

/// The record of one block in a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The block's hash; all zero for a zero block.
    pub hash: BlockHash,
    /// The way in which the block is stored, and its place.
    pub storage: Storage,
    /// Raw bytes of the block (in an upper level: of everything below).
    pub length: u64,
}

impl Entry {
    /// Creates the entry of a block of `length` zero bytes.
    pub fn zero(length: u64) -> Self {
        Self { hash: BlockHash::default(), storage: Storage::Zero, length }
    }
}
