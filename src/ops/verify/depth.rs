//! The depths of a verification.

use crate::format::verified::By;
use crate::format::verified::DEPTHS;
use crate::format::verified::Depths;

/// The depth of a verification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    /// Names and sizes of objects.
    Objects,
    /// As before, and the hash of every object.
    Stored,
    /// As before, and every block is decoded and hashed.
    Blocks,
    /// As before, and every page's checksum is computed again.
    Pages,
}

impl Depth {
    /// All depths, the least deep first.
    pub const ALL: [Self; DEPTHS] = [Self::Objects, Self::Stored, Self::Blocks, Self::Pages];

    /// Returns its place among all depths, the least deep first.
    pub fn index(self) -> usize {
        match self {
            Self::Objects => 0,
            Self::Stored => 1,
            Self::Blocks => 2,
            Self::Pages => 3,
        }
    }

    /// Returns its name, as users write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Stored => "stored",
            Self::Blocks => "blocks",
            Self::Pages => "pages",
        }
    }

    /// Returns what was verified by one verification to this depth, and to none deeper.
    pub(super) fn by(self, by: By) -> Depths {
        let mut depths = Depths::default();
        depths[..=self.index()].fill(by);
        depths
    }
}
