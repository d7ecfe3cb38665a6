//! Finds bases for index pages that would be stored whole, among other pages of the table as it
//! was.
//!
//! What a page has today and had not last night mostly stood on a neighbour in key order: pages are
//! split, merged and filled again. The neighbours are found through the links of last night's leaf
//! pages ([`leaf_chain`](crate::innodb::leaf_chain)), which have to be read for it. So the searches
//! of all such pages of a segment go in step: a round asks for what all of them want next, and that
//! is one read, sorted by pack and frame. Then each page has a few candidates, and a sample of its
//! records is looked for on each: the one with most of them is its base, and the one with most of
//! the others its second base. A search ends as soon as two candidates have nearly all.
//!
//! - Pages are taken in groups, so that the memory of a worker does not depend on how many pages of
//!   a segment have moved.
//! - Pages that were read lately are kept: neighbours are shared by the pages that were split from
//!   them, and many were read as bases of their own blocks.
//! - Where searches are in vain, most are left out. A table that was rebuilt is not searched here
//!   but in [`rebuilt`](super::rebuilt).
//! - Nothing here has to be right, and nothing has to be had: a page of last night that can't be
//!   read, or may not be read for want of time, is no candidate.
//!
//! A read from a server that takes a round trip for each page would make the stream wait, and costs
//! money; so a page of last night is read only if its pack is at hand, in a directory or in a cache
//! ([`Store::is_at_hand`](crate::store::Store::is_at_hand)). Without either, the candidates are
//! those pages that were read for other reasons, the bases of changed pages.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::ids::Locator;
use crate::base::ids::Storage;
use crate::innodb::PageNumber;
use crate::innodb::leaf_chain::Links;
use crate::innodb::leaf_chain::ROUNDS_MAX;
use crate::innodb::leaf_chain::Ranked;
use crate::innodb::leaf_chain::Sample;
use crate::innodb::leaf_chain::Search;
use crate::innodb::leaf_chain::best;
use crate::pack::cache::Cache;

/// Bytes of pages whose searches go in step.
const GROUP_BYTES: usize = 256 << 10;
/// Bytes of last night's pages after which the searches of a group end: they want four times as
/// much as the group itself on average.
const GROUP_READ_BYTES_MAX: usize = 4 << 20;
/// Bytes of last night's pages that are kept for the next searches.
const CACHE_BYTES: usize = 2 << 20;

/// Pages of a table in a row whose search was in vain after which most searches are left out.
const FAILURES_MAX: usize = 64;
/// Number of groups of which one is searched for all the same.
const PROBE_EVERY: usize = 8;

/// The pages of last night, as far as they can be had.
pub trait FormerPages {
    /// Returns how the page of a number is stored, `None` if there was none or it can't be used.
    fn storage(&self, page: PageNumber) -> Option<Storage>;

    /// Reads whole blocks, each `None` if it can't be had; `None` if no more may be read at all.
    fn read(&self, at: &[Locator]) -> Option<Vec<Option<Vec<u8>>>>;
}

/// A page for which bases are looked for.
#[derive(Debug)]
pub struct MovedPage {
    /// The number of its block in the segment.
    pub block: usize,
    number: PageNumber,
    links: Links,
    sample: Sample,
}

impl MovedPage {
    /// Looks at a page; `None` if it is no compact index page with records.
    pub fn of(block: usize, number: PageNumber, page: &[u8]) -> Option<Self> {
        let links = Links::of(page)?;
        let sample = Sample::of(page).filter(|sample| !sample.is_empty())?;
        Some(Self { block, number, links, sample })
    }
}

/// A whole block of last night.
#[derive(Clone, Debug)]
pub struct Base {
    /// The place of the block.
    pub at: Locator,
    /// Its bytes, which are not verified.
    pub page: Arc<Vec<u8>>,
}

/// The bases that were found for a page.
#[derive(Debug)]
pub struct FoundBases {
    /// The number of the page's block in the segment.
    pub block: usize,
    /// The base with most of the page's records.
    pub first: Base,
    /// The one with most of the others, if there is any.
    pub second: Option<Base>,
}

/// Finds bases of moved pages; one for each worker.
#[derive(Debug)]
pub struct BaseFinder {
    kept: Cache<Locator, Vec<u8>>,
    success: Success,
}

/// The success with pages of one member lately, of what may be in vain for all of them.
#[derive(Debug, Default)]
pub struct Success {
    member: u64,
    /// Pages in a row that were tried in vain.
    failures: usize,
    /// Groups that were left out.
    skipped: usize,
}

impl Success {
    /// Tells whether to try a group of a member's pages: after many in vain only now and then.
    pub fn is_worth(&mut self, member: u64) -> bool {
        if self.member != member {
            *self = Self { member, ..Self::default() };
        }
        if self.failures < FAILURES_MAX {
            return true;
        }
        self.skipped += 1;
        self.skipped.is_multiple_of(PROBE_EVERY)
    }

    /// Notes with how many pages of a group it was of use.
    pub fn record(&mut self, group: usize, of_use: usize) {
        self.failures = if of_use == 0 { self.failures + group } else { 0 };
    }
}

impl Default for BaseFinder {
    fn default() -> Self {
        Self { kept: Cache::new(CACHE_BYTES), success: Success::default() }
    }
}

impl BaseFinder {
    /// Returns how many pages of a size are searched for together.
    pub fn group_of(page_bytes: usize) -> usize {
        (GROUP_BYTES / page_bytes).max(1)
    }

    /// Tells whether to search for a group of a member's pages: of a table that was rewritten no
    /// page has a base, and only now and then a group is tried.
    pub fn is_worth(&mut self, member: u64) -> bool {
        self.success.is_worth(member)
    }

    /// Notes how many pages of a group were stored against other pages.
    pub fn record(&mut self, group: usize, stored: usize) {
        self.success.record(group, stored);
    }

    /// Keeps a page of last night that was read for another reason.
    pub fn keep(&mut self, at: Locator, page: Arc<Vec<u8>>) {
        let bytes = page.len();
        self.kept.put(at, page, bytes);
    }

    /// Looks for bases of a group of pages; `today` gives the links of today's pages that are at
    /// hand. Pages for which there are none are left out.
    pub fn find(
        &mut self,
        group: &[MovedPage],
        former: &dyn FormerPages,
        today: &dyn Fn(PageNumber) -> Option<Links>,
    ) -> Vec<FoundBases> {
        let mut hunts: Vec<Hunt<'_>> = group.iter().map(Hunt::new).collect();
        let (storage, pages) = (HashMap::new(), HashMap::new());
        let mut night = Night { former, storage, pages, bytes: 0 };
        for _ in 0..ROUNDS_MAX {
            let going_on = hunts.iter().filter(|hunt| !hunt.is_over());
            let mut wanted: Vec<PageNumber> =
                going_on.flat_map(|hunt| hunt.search.wanted()).collect();
            if wanted.is_empty() {
                break;
            }
            wanted.sort_unstable();
            wanted.dedup();
            let may_go_on = night.read(&wanted, &mut self.kept);
            for hunt in hunts.iter_mut().filter(|hunt| !hunt.is_over()) {
                let former = |page| Links::of(night.page(page)?.page.as_slice());
                hunt.search.take(former, today);
                hunt.rank(&night);
            }
            if may_go_on == GoOn::No {
                break;
            }
        }
        hunts.iter().filter_map(Hunt::found).collect()
    }
}

/// The search for the bases of one page, and the candidates that it has found.
struct Hunt<'p> {
    page: &'p MovedPage,
    search: Search,
    candidates: Vec<Base>,
    /// The records of the page's sample that stand on each candidate.
    masks: Vec<u32>,
}

impl<'p> Hunt<'p> {
    fn new(page: &'p MovedPage) -> Self {
        let search = Search::new(page.number, page.links);
        Self { page, search, candidates: Vec::new(), masks: Vec::new() }
    }

    /// Compares the candidates that are new.
    fn rank(&mut self, night: &Night<'_>) {
        let own = std::iter::once(&self.page.number);
        for at in own.chain(self.search.found()).flat_map(|number| night.places(*number)) {
            if self.candidates.iter().any(|known| known.at == at) {
                continue;
            }
            let Some(candidate) = night.base(at) else { continue };
            self.masks.push(self.page.sample.on(&candidate.page));
            self.candidates.push(candidate);
        }
    }

    /// Tells whether the best two candidates have nearly all records: each further one is a frame
    /// to be opened.
    fn is_over(&self) -> bool {
        let (first, second) = best(&self.masks);
        let records = |ranked: Option<Ranked>| ranked.map_or(0, |ranked| ranked.records);
        self.page.sample.is_mostly(records(first) | records(second))
    }

    fn found(&self) -> Option<FoundBases> {
        let base = |ranked: Ranked| self.candidates[ranked.candidate].clone();
        let (first, second) = best(&self.masks);
        let block = self.page.block;
        Some(FoundBases { block, first: base(first?), second: second.map(base) })
    }
}

/// The answer to whether more may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum GoOn {
    Yes,
    No,
}

/// What a group's searches have read of last night.
struct Night<'f> {
    former: &'f dyn FormerPages,
    storage: HashMap<PageNumber, Option<Storage>>,
    /// `None` for a block that could not be had.
    pages: HashMap<Locator, Option<Arc<Vec<u8>>>>,
    /// Bytes that were read.
    bytes: usize,
}

impl Night<'_> {
    /// Gets the pages of these numbers, as far as they are not known.
    fn read(&mut self, wanted: &[PageNumber], kept: &mut Cache<Locator, Vec<u8>>) -> GoOn {
        let mut missing = Vec::new();
        for number in wanted {
            let former = self.former;
            let storage = *self.storage.entry(*number).or_insert_with(|| former.storage(*number));
            for at in places(storage) {
                if self.pages.contains_key(&at) {
                    continue;
                }
                let page = kept.get(&at);
                if page.is_none() {
                    missing.push(at);
                }
                self.pages.insert(at, page);
            }
        }
        if missing.is_empty() {
            return GoOn::Yes;
        }
        if self.bytes > GROUP_READ_BYTES_MAX {
            return GoOn::No;
        }
        let Some(read) = self.former.read(&missing) else { return GoOn::No };
        for (at, page) in missing.into_iter().zip(read) {
            let Some(page) = page.map(Arc::new) else { continue };
            self.bytes += page.len();
            kept.put(at, Arc::clone(&page), page.len());
            self.pages.insert(at, Some(page));
        }
        GoOn::Yes
    }

    fn base(&self, at: Locator) -> Option<Base> {
        let page = self.pages.get(&at)?.as_ref()?;
        Some(Base { at, page: Arc::clone(page) })
    }

    /// Returns the whole block that stands for the page of a number.
    fn page(&self, number: PageNumber) -> Option<Base> {
        self.base(self.storage.get(&number)?.as_ref()?.whole()?)
    }

    /// Returns the whole blocks that stand for the page of a number.
    fn places(&self, number: PageNumber) -> impl Iterator<Item = Locator> + use<> {
        places(self.storage.get(&number).copied().flatten())
    }
}

/// Returns the whole blocks that a page rests on: the page itself, or the bases of its delta, which
/// are other pages if its records have moved before.
fn places(storage: Option<Storage>) -> impl Iterator<Item = Locator> {
    let second = match storage {
        Some(Storage::Delta { second, .. }) => second,
        Some(Storage::Zero | Storage::Whole(_)) | None => None,
    };
    storage.and_then(|storage| storage.whole()).into_iter().chain(second)
}

#[cfg(test)]
mod tests;
