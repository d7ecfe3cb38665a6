//! Finds pages of the night before from which the records of an index page may have come.
//!
//! When a page splits, or records move to a page, they leave a neighbour in key order. The pages
//! of a level of an index form a chain: each names the one before it and the one after. So what is
//! on a page today stood last night on one of a few pages, which its neighbours' links of last
//! night name:
//!
//! ```text
//! last night      A <-> M <-> B           M is A's next page, and B's previous one
//! today           A <-> N <-> M' <-> B    N was split off from M
//! ```
//!
//! - A [`Search`] names in each round the pages of last night that have to be read next, at most
//!   two, and takes what they say. It reads nothing itself, needs at most [`ROUNDS_MAX`] rounds
//!   and can be ended after any. The two sides of the page take turns, since one of them often
//!   suffices; the one before it comes first, as a page that is split keeps the lower half. A turn
//!   takes in the page behind the neighbour: what moved stood there twice as often as on the
//!   neighbour of the other side.
//! - A neighbour that did not exist last night is passed over, as far as the links of today are
//!   known: those of pages that are at hand. After that the page's own neighbour of last night is
//!   taken.
//! - A [`Sample`] of a page's records tells how many of them stand on a candidate, by their first
//!   bytes: in less time than it takes to compress against one candidate in vain.
//!
//! Nothing here has to be right: a base that was chosen badly makes a delta that is too large.

use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::header::NEXT_AT;
use crate::innodb::header::PREVIOUS_AT;
use crate::innodb::normal;
use crate::innodb::units::PageNumber;

const HEAP_TOP_AT: usize = BODY_AT + 2;
const HEAP_RECORDS_AT: usize = BODY_AT + 4;
const RECORDS_AT: usize = BODY_AT + 16;
const LEVEL_AT: usize = BODY_AT + 26;
const INDEX_AT: usize = BODY_AT + 28;
const LINKS_END: usize = INDEX_AT + 8;

/// Pages of today's chain that are passed over because last night had none of that number.
const PASSED_MAX: u8 = 4;
/// Pages that are followed along last night's chain from a neighbour towards the page.
const FOLLOWED: u8 = 2;
/// Rounds after which a search has ended.
pub const ROUNDS_MAX: usize = 14;

/// An index page's place in its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    previous: Option<PageNumber>,
    next: Option<PageNumber>,
    level: u16,
    index: u64,
}

impl Links {
    /// Reads the links of a page; `None` if it is no index page.
    pub fn of(page: &[u8]) -> Option<Self> {
        if page.len() < LINKS_END || header::page_type(page) != normal::INDEX {
            return None;
        }
        let page_at =
            |at| Some(PageNumber::new(u32_at(page, at))).filter(|n| *n != PageNumber::NONE);
        Some(Self {
            previous: page_at(PREVIOUS_AT),
            next: page_at(NEXT_AT),
            level: u16_at(page, LEVEL_AT),
            index: u64_at(page, INDEX_AT),
        })
    }

    /// Returns the page before this one in its chain.
    pub fn previous(&self) -> Option<PageNumber> {
        self.previous
    }

    /// Returns the page after this one in its chain.
    pub fn next(&self) -> Option<PageNumber> {
        self.next
    }

    /// Returns the id of the page's index.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Tells whether the page is a leaf.
    pub fn is_of_leaf(&self) -> bool {
        self.level == 0
    }

    /// Tells whether two pages are in one chain.
    fn is_of_the_level_of(&self, other: &Self) -> bool {
        self.level == other.level && self.index == other.index
    }

    fn towards(&self, side: Side) -> Option<PageNumber> {
        match side {
            Side::Before => self.previous,
            Side::After => self.next,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Side {
    fn opposite(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// The progress of a search on one side of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Looks along today's chain, away from the page, for one that was there last night.
    Seeks {
        at: PageNumber,
        left: u8,
    },
    /// Goes along last night's chain, back towards the page.
    Follows {
        at: PageNumber,
        left: u8,
    },
    Ended,
}

impl Progress {
    fn seeks(at: Option<PageNumber>, left: u8) -> Self {
        at.map_or(Self::Ended, |at| Self::Seeks { at, left })
    }

    fn follows(at: Option<PageNumber>, left: u8) -> Self {
        match (at, left) {
            (Some(at), 1..) => Self::Follows { at, left: left - 1 },
            _ => Self::Ended,
        }
    }

    fn at(self) -> Option<PageNumber> {
        match self {
            Self::Seeks { at, .. } | Self::Follows { at, .. } => Some(at),
            Self::Ended => None,
        }
    }
}

/// A side of the page, and how far the search has come there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OneSide {
    side: Side,
    progress: Progress,
}

/// The search for bases of one page.
#[derive(Clone, Debug)]
pub struct Search {
    number: PageNumber,
    links: Links,
    /// Links of the page itself last night, if it was in the same chain.
    own: Option<Links>,
    begun: bool,
    sides: [OneSide; 2],
    /// The number of the side whose turn it is.
    turn: usize,
    found: Vec<PageNumber>,
}

impl Search {
    /// Begins the search for a page of today.
    pub fn new(number: PageNumber, links: Links) -> Self {
        let begin = |side| {
            let progress = Progress::seeks(links.towards(side), PASSED_MAX);
            OneSide { side, progress }
        };
        let sides = [begin(Side::Before), begin(Side::After)];
        Self { number, links, own: None, begun: false, sides, turn: 0, found: Vec::new() }
    }

    /// Returns the pages of last night that have to be read next; none if the search has ended.
    pub fn wanted(&self) -> Vec<PageNumber> {
        let mut wanted = Vec::new();
        if !self.begun {
            wanted.push(self.number);
        }
        let next = self.next_side().and_then(|side| self.sides[side].progress.at());
        wanted.extend(next.filter(|at| !wanted.contains(at)));
        wanted
    }

    /// Returns the number of the side that goes on in this round, if one does.
    fn next_side(&self) -> Option<usize> {
        let goes_on = |side: &usize| self.sides[*side].progress != Progress::Ended;
        [self.turn, 1 - self.turn].into_iter().find(goes_on)
    }

    /// Takes what the wanted pages say: `former` gives the links of a page of last night, `None`
    /// if there is none or it can't be had; `today` those of a page of today, if they are known.
    pub fn take(
        &mut self,
        former: impl Fn(PageNumber) -> Option<Links>,
        today: impl Fn(PageNumber) -> Option<Links>,
    ) {
        if !self.begun {
            self.begun = true;
            let own = former(self.number);
            self.found.extend(own.map(|_| self.number));
            self.own = own.filter(|links| links.is_of_the_level_of(&self.links));
        }
        let Some(number) = self.next_side() else { return };
        let Some(at) = self.sides[number].progress.at() else { return };
        let links = former(at).filter(|links| links.is_of_the_level_of(&self.links));
        if links.is_some() && !self.found.contains(&at) {
            self.found.push(at);
        }
        let before = self.sides[number];
        let after = self.after(before, links, || today(at));
        self.sides[number].progress = after;
        let goes_on =
            matches!((before.progress, after), (Progress::Seeks { .. }, Progress::Follows { .. }));
        self.turn = if goes_on { number } else { 1 - number };
    }

    /// Returns the candidates found so far, the page's own number first if it was there.
    pub fn found(&self) -> &[PageNumber] {
        &self.found
    }

    /// Returns where a side goes on after the page that it is at, of which these are the links.
    fn after(
        &self,
        OneSide { side, progress }: OneSide,
        former: Option<Links>,
        today: impl FnOnce() -> Option<Links>,
    ) -> Progress {
        let back = side.opposite();
        match (progress, former) {
            (Progress::Seeks { .. }, Some(links)) => {
                Progress::follows(links.towards(back), FOLLOWED)
            }
            (Progress::Follows { left, .. }, Some(links)) => {
                Progress::follows(links.towards(back), left)
            }
            (Progress::Seeks { left: left @ 1.., .. }, None)
                if let Some(links) = today()
                    && let Some(at) = links.towards(side) =>
            {
                Progress::Seeks { at, left: left - 1 }
            }
            // The neighbour is new and its own is not known: last night's neighbour is taken.
            (Progress::Seeks { .. }, None) => {
                Progress::follows(self.own.and_then(|own| own.towards(side)), 1)
            }
            (Progress::Follows { .. }, None) | (Progress::Ended, _) => Progress::Ended,
        }
    }
}

/// Records of a page that are compared: as many as a mask has bits.
const SAMPLED_MAX: usize = 32;
/// Records of which one is compared, unless a page has few.
const SAMPLED_EVERY: usize = 64;
/// Fewest records that are compared if a page has them.
const SAMPLED_MIN: usize = 16;
/// The part of a sample that may be left to be found, one in this many records.
const UNFOUND_PART: u32 = 16;
/// Most bytes of a record that are compared.
const PIECE_BYTES_MAX: usize = 16;
/// Places in the table of a sample: a multiple of its records, so that most misses end at once.
const PLACES: usize = 256;

/// Some records of a page by their first bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    pieces: Vec<u64>,
    /// Number of the piece in `pieces` from 1, by the lowest bits of a piece.
    places: [u8; PLACES],
    /// The pieces that are looked for, a bit for each.
    all: u32,
    bytes: usize,
}

impl Sample {
    /// Takes records of a compact index page that are evenly spread over it.
    pub fn of(page: &[u8]) -> Option<Self> {
        let bytes = piece_bytes(page)?;
        let records = usize::from(u16_at(page, RECORDS_AT));
        let every = SAMPLED_EVERY.min(records / SAMPLED_MIN).max(records / SAMPLED_MAX + 1).max(1);
        let mut sample = Self { pieces: Vec::new(), places: [0; PLACES], all: 0, bytes };
        let origins = normal::origins(page)?.skip(every / 2).step_by(every);
        let pieces = origins.filter_map(|origin| piece(page, origin, bytes)).take(SAMPLED_MAX);
        for (number, piece) in (1..).zip(pieces) {
            sample.pieces.push(piece);
            // A piece that falls on a taken place is not looked for.
            let place = &mut sample.places[place(piece)];
            if *place == 0 {
                *place = number;
                sample.all |= 1 << (number - 1);
            }
        }
        Some(sample)
    }

    /// Counts the records in the sample.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Tells whether the sample has no records.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Tells whether nearly all records of the sample are among these: looking on for the others
    /// costs more than they do.
    pub fn is_mostly(&self, records: u32) -> bool {
        let all = self.all.count_ones();
        (records & self.all).count_ones() >= all - all / UNFOUND_PART
    }

    /// Returns which records of the sample stand on another page, a bit for each.
    pub fn on(&self, page: &[u8]) -> u32 {
        let Some(origins) = normal::origins(page) else { return 0 };
        let found = |origin| {
            let piece = piece(page, origin, self.bytes)?;
            let number = usize::from(self.places[place(piece)]).checked_sub(1)?;
            (self.pieces[number] == piece).then_some(1 << number)
        };
        origins.filter_map(found).fold(0, |mask, bit: u32| mask | bit)
    }
}

/// A candidate and the records of a sample that stand on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Number of the candidate in the order in which they were given.
    pub candidate: usize,
    /// The records that stand on it, a bit for each.
    pub records: u32,
}

/// Returns the candidate with most records of a sample, and the one with most of the others.
///
/// Of several that are equally good the first is taken. There is none without any record.
pub fn best(masks: &[u32]) -> (Option<Ranked>, Option<Ranked>) {
    let first = best_beyond(masks, 0);
    let second = first.and_then(|first| best_beyond(masks, first.records));
    (first, second)
}

fn best_beyond(masks: &[u32], known: u32) -> Option<Ranked> {
    let gain = |(_, mask): &(usize, &u32)| (**mask & !known).count_ones();
    let ranked = masks.iter().enumerate().rev().max_by_key(gain)?;
    let (candidate, records) = (ranked.0, *ranked.1);
    (records & !known != 0).then_some(Ranked { candidate, records })
}

/// Returns how many bytes of a page's records are compared: as many as an average record has.
fn piece_bytes(page: &[u8]) -> Option<usize> {
    if page.len() < LINKS_END {
        return None;
    }
    let records = usize::from(u16_at(page, HEAP_RECORDS_AT) & 0x7FFF).checked_sub(2)?;
    let used = usize::from(u16_at(page, HEAP_TOP_AT)).checked_sub(normal::RECORDS_AT)?;
    let bytes = used.checked_div(records)?.checked_sub(normal::HEADER_BYTES)?;
    (bytes > 0).then_some(bytes.min(PIECE_BYTES_MAX))
}

/// Returns the first bytes of a record as a number in which every bit depends on all of them.
fn piece(page: &[u8], origin: usize, bytes: usize) -> Option<u64> {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut halves = [0; PIECE_BYTES_MAX];
    halves[..bytes].copy_from_slice(page.get(origin..origin + bytes)?);
    let (first, second) = (u64_at(&halves, 0), u64_at(&halves, 8));
    let mixed = (first.wrapping_mul(FACTOR).rotate_left(29) ^ second).wrapping_mul(FACTOR);
    Some(mixed ^ mixed >> 32)
}

fn place(piece: u64) -> usize {
    usize::from(piece.to_le_bytes()[0]) % PLACES
}

#[cfg(test)]
mod tests;
