//! The table of a segment's pages as it was last night: how each is stored, and its bytes as far as
//! they are at hand.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::Storage;
use crate::base::monitor::Counter;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::format::config::Features;
use crate::format::record::Blocks;
use crate::innodb::PageNumber;
use crate::innodb::PageSize;
use crate::innodb::leaf_chain::Sample;
use crate::innodb::leaf_chain::best;
use crate::map::view::MapView;
use crate::pack::reader::Wanted;
use crate::pipeline::bases::Base;
use crate::pipeline::bases::FormerPages;
use crate::pipeline::bases::FoundBases;
use crate::pipeline::previous::entries;
use crate::pipeline::rebuilt::BlockRoute;
use crate::pipeline::rebuilt::FormerLeaves;
use crate::pipeline::rebuilt::FormerNodes;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::Segment;
use crate::pipeline::shared::Shared;

/// The table of a segment's pages as it was last night.
pub(super) struct FormerTable<'s> {
    shared: &'s Shared,
    segment: &'s Segment,
    /// The size of the table's pages.
    pub(super) page: PageSize,
    /// The number of the member's first page.
    first: u32,
    /// The place of the segment's first page in the member.
    from: u32,
    /// The number of pages of a block.
    pages_a_block: u32,
    /// The former map, if looking into it costs no requests.
    map: Option<&'s MapView>,
}

impl<'s> FormerTable<'s> {
    /// Returns the former table; `None` if there is none with which pages can be compared.
    pub(super) fn of(shared: &'s Shared, segment: &'s Segment) -> Option<Self> {
        let member = &segment.member;
        let PageCheck::Tablespace { format, first } = member.pages else { return None };
        let page = format.page_size();
        let Blocks::Fixed(block) = member.blocks else { return None };
        let pages_a_block = block / u32_of(page.bytes());
        let may_store = shared.features.include(Features::NORMAL_FORM);
        if pages_a_block == 0 || !may_store || !shared.packs.opens_data() {
            return None;
        }
        let map = member.chosen_previous()?;
        let from = u32::try_from(segment.at / u64_of(page.bytes())).ok()?;
        let map = map.is_at_hand().then_some(&**map);
        Some(Self { shared, segment, page, first, from, pages_a_block, map })
    }

    /// Tells whether pages are searched for one by one: those that are smaller than a block share
    /// one with their neighbours in the file, which are not those in the index.
    pub(super) fn has_a_block_for_each_page(&self) -> bool {
        self.pages_a_block == 1
    }

    /// Returns the number of a block's first page.
    pub(super) fn page_number(&self, block: usize) -> Option<PageNumber> {
        let pages = u32_of(block).checked_mul(self.pages_a_block)?;
        PageNumber::new(self.first).checked_add(self.from)?.checked_add(pages)
    }

    /// Returns the pages of some blocks of the segment, each with the number of its block and its
    /// own.
    pub(super) fn pages<'b>(
        &self,
        numbers: impl Iterator<Item = usize>,
        blocks: &[&'b [u8]],
    ) -> impl Iterator<Item = (usize, PageNumber, &'b [u8])> {
        numbers.flat_map(move |number| {
            let first = self.page_number(number);
            let pages = blocks[number].chunks_exact(self.page.bytes());
            (0..)
                .zip(pages)
                .filter_map(move |(place, page)| Some((number, first?.checked_add(place)?, page)))
        })
    }

    /// Returns the number of a page's block in the member.
    pub(super) fn block_of(&self, page: PageNumber) -> u64 {
        u64::from(page.get().saturating_sub(self.first) / self.pages_a_block)
    }

    /// Returns the leaves of the table as it was, if they are at hand: those of a table that was
    /// rebuilt. They are read when they are first asked for.
    pub(super) fn leaves(&self) -> Option<&'s FormerLeaves> {
        self.map?;
        let read = || FormerLeaves::read(self, &self.shared.leaf_budget);
        Some(self.segment.member.former_leaves.get_or_init(read))
    }

    /// Reads the bases that routes name, of which `blocks` are the segment's; routes without any
    /// are left out.
    pub(super) fn bases_of(&self, routes: &[BlockRoute], blocks: &[&[u8]]) -> Vec<FoundBases> {
        let candidates: Vec<Vec<Locator>> =
            routes.iter().map(|route| self.candidates(route)).collect();
        let mut wanted = candidates.concat();
        wanted.sort_unstable();
        wanted.dedup();
        let Some(read) = self.read_near(&wanted, |near| self.shared.packs.bases(near)) else {
            return Vec::new();
        };
        let base = |(at, page): (Locator, Option<Vec<u8>>)| {
            let page = Arc::new(page?);
            Some((at, Base { at, page }))
        };
        let bases: HashMap<Locator, Base> = wanted.into_iter().zip(read).filter_map(base).collect();
        let found = routes.iter().zip(candidates).filter_map(|(route, candidates)| {
            let bases: Vec<&Base> = candidates.iter().filter_map(|at| bases.get(at)).collect();
            let (first, second) = self.best_of(&bases, blocks[route.block])?;
            Some(FoundBases { block: route.block, first: first.clone(), second: second.cloned() })
        });
        found.collect()
    }

    /// Returns the whole blocks that the blocks of a route rest on: each itself, or the bases of
    /// its delta.
    fn candidates(&self, route: &BlockRoute) -> Vec<Locator> {
        let stored = [Some(route.first), route.second].into_iter().flatten();
        let stored = stored.filter_map(|block| self.stored_block(block));
        let mut found = Vec::new();
        for storage in stored.filter(|storage| self.is_there(storage)) {
            let places = storage.whole().into_iter().chain(second_of(storage));
            let new: Vec<Locator> = places.filter(|at| !found.contains(at)).collect();
            found.extend(new);
        }
        found
    }

    /// Chooses the two bases of a block: if there are more, because the table was rebuilt before,
    /// those that have most of its records.
    fn best_of<'b>(
        &self,
        bases: &[&'b Base],
        block: &[u8],
    ) -> Option<(&'b Base, Option<&'b Base>)> {
        if bases.len() > 2
            && self.has_a_block_for_each_page()
            && let Some(sample) = Sample::of(block)
        {
            let masks: Vec<u32> = bases.iter().map(|base| sample.on(&base.page)).collect();
            let (first, second) = best(&masks);
            if let Some(first) = first {
                return Some((
                    bases[first.candidate],
                    second.map(|second| bases[second.candidate]),
                ));
            }
        }
        Some((*bases.first()?, bases.get(1).copied()))
    }

    /// Returns how a block of the former member is stored.
    fn stored_block(&self, block: u64) -> Option<Storage> {
        Some(self.entry(block)?.storage)
    }

    fn entry(&self, block: u64) -> Option<Entry> {
        let from = u64::from(self.from / self.pages_a_block);
        let own = block.checked_sub(from).and_then(|at| self.segment.previous.get(usize_of(at)));
        match own {
            Some(own) => Some(*own),
            None => entries(self.map?, block, 1).first().copied(),
        }
    }

    /// Tells whether the bases of a block, or itself if it is whole, can be read.
    fn is_there(&self, storage: &Storage) -> bool {
        let is_there = |at: Locator| self.shared.is_base(at);
        match *storage {
            Storage::Zero => false,
            Storage::Whole(at) => is_there(at),
            Storage::Delta { base, second, .. } => is_there(base) && second.is_none_or(is_there),
        }
    }

    /// Reads those of some whole blocks that are at hand; `None` if no more may be read.
    fn read_near(
        &self,
        at: &[Locator],
        read: impl FnOnce(&[Locator]) -> Vec<Option<Vec<u8>>>,
    ) -> Option<Vec<Option<Vec<u8>>>> {
        let is_near =
            |at: &&Locator| self.shared.is_base(**at) && self.shared.packs.is_at_hand(**at);
        let near: Vec<Locator> = at.iter().filter(is_near).copied().collect();
        let read =
            if near.is_empty() { Vec::new() } else { self.shared.read_in_time(|| read(&near))? };
        let got = read.iter().flatten().count();
        self.shared.monitor.count(Counter::CandidatesRead, u64_of(got));
        let mut pages = near.iter().zip(read).peekable();
        let page_of = |at| pages.next_if(|(near, _)| *near == at).and_then(|(_, page)| page);
        Some(at.iter().map(page_of).collect())
    }

    /// Returns the place of a page in the member.
    fn place(&self, page: PageNumber) -> Option<u32> {
        page.get().checked_sub(self.first)
    }

    /// Returns the number of a page's block, counted from the first of the segment.
    pub(super) fn block_in_segment(&self, page: PageNumber) -> Option<usize> {
        self.place(page)?.checked_sub(self.from).map(usize_of_u32)
    }
}

impl FormerPages for FormerTable<'_> {
    fn storage(&self, page: PageNumber) -> Option<Storage> {
        self.stored_block(self.place(page)?.into()).filter(|storage| self.is_there(storage))
    }

    fn read(&self, at: &[Locator]) -> Option<Vec<Option<Vec<u8>>>> {
        self.read_near(at, |near| self.shared.packs.candidates(near))
    }
}

impl FormerNodes for FormerTable<'_> {
    fn pages(&self) -> u32 {
        let length = self.map.map_or(0, |map| map.record().length);
        u32::try_from(length / u64_of(self.page.bytes())).unwrap_or(u32::MAX)
    }

    fn read_current(&self, pages: &[PageNumber]) -> Option<Vec<Option<Vec<u8>>>> {
        let wanted = |page: &PageNumber| {
            let Entry { hash, storage, length } = self.entry(self.block_of(*page))?;
            let is_near = |at| self.shared.packs.is_at_hand(at);
            let is_there = self.shared.presence.is_usable(storage) && storage.places().all(is_near);
            Some(Wanted { at: storage.locator().filter(|_| is_there)?, hash, length })
        };
        let (numbers, wanted): (Vec<usize>, Vec<Wanted>) = pages
            .iter()
            .enumerate()
            .filter_map(|(number, page)| Some((number, wanted(page)?)))
            .unzip();
        let bytes = self.page.bytes();
        let read = || {
            let mut read = vec![None; pages.len()];
            let mut take = |number: usize, block: Result<&[u8]>| {
                let number = numbers[number];
                let place = usize_of_u32((pages[number].get() - self.first) % self.pages_a_block);
                let page = block.ok().and_then(|block| block.get(place * bytes..)?.get(..bytes));
                read[number] = page.map(<[u8]>::to_vec);
                Ok(())
            };
            // The user's wish to stop ends the reading, too; the run learns of it itself.
            let _ended = self.shared.packs.read(&wanted, &mut take);
            read
        };
        let read = self.shared.read_in_time(read)?;
        let got = read.iter().flatten().count();
        self.shared.monitor.count(Counter::CandidatesRead, u64_of(got));
        Some(read)
    }
}

fn second_of(storage: Storage) -> Option<Locator> {
    match storage {
        Storage::Delta { second, .. } => second,
        Storage::Zero | Storage::Whole(_) => None,
    }
}
