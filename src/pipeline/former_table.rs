//! The table of a segment's pages as it was last night: how each is stored, and its bytes as far as
//! they are at hand.

use crate::base::ids::Locator;
use crate::base::ids::Storage;
use crate::base::monitor::Counter;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::format::config::Features;
use crate::format::record::Blocks;
use crate::innodb::PageNumber;
use crate::innodb::PageSize;
use crate::map::view::MapView;
use crate::pipeline::bases::FormerPages;
use crate::pipeline::previous::entries;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::Segment;
use crate::pipeline::shared::Shared;

/// The table of a segment's pages as it was last night.
pub(super) struct FormerTable<'s> {
    shared: &'s Shared,
    segment: &'s Segment,
    /// The size of the table's pages, each of which is a block.
    pub(super) page: PageSize,
    /// The number of the member's first page.
    first: u32,
    /// The place of the segment's first page in the member.
    from: u32,
    /// The former map, if looking into it costs no requests.
    map: Option<&'s MapView>,
}

impl<'s> FormerTable<'s> {
    /// Returns the former table; `None` if there is none with which pages can be compared.
    ///
    /// Pages that are smaller than a block share one with their neighbours in the file, which are
    /// not those in the index: of them several pages would have to find one base.
    pub(super) fn of(shared: &'s Shared, segment: &'s Segment) -> Option<Self> {
        let member = &segment.member;
        let PageCheck::Tablespace { format, first } = member.pages else { return None };
        let page = format.page_size();
        let is_block = member.blocks == Blocks::Fixed(u32_of(page.bytes()));
        let may_store = shared.features.include(Features::NORMAL_FORM);
        if !is_block || !may_store || !shared.packs.opens_data() {
            return None;
        }
        let map = member.chosen_previous()?;
        let from = u32::try_from(segment.at / u64_of(page.bytes())).ok()?;
        let map = map.is_at_hand().then_some(&**map);
        Some(Self { shared, segment, page, first, from, map })
    }

    /// Returns the number of the page that is a block of the segment.
    pub(super) fn page_number(&self, block: usize) -> Option<PageNumber> {
        PageNumber::new(self.first).checked_add(self.from)?.checked_add(u32_of(block))
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
        let own = self.block_in_segment(page).and_then(|block| self.segment.previous.get(block));
        let entry = match own {
            Some(own) => *own,
            None => *entries(self.map?, self.place(page)?.into(), 1).first()?,
        };
        let is_there = |at: Locator| self.shared.is_base(at);
        let bases_are_there = match entry.storage {
            Storage::Zero => false,
            Storage::Whole(at) => is_there(at),
            Storage::Delta { base, second, .. } => is_there(base) && second.is_none_or(is_there),
        };
        bases_are_there.then_some(entry.storage)
    }

    fn read(&self, at: &[Locator]) -> Option<Vec<Option<Vec<u8>>>> {
        let is_near =
            |at: &&Locator| self.shared.is_base(**at) && self.shared.packs.is_at_hand(**at);
        let near: Vec<Locator> = at.iter().filter(is_near).copied().collect();
        let mut read = if near.is_empty() {
            Vec::new()
        } else {
            self.shared.read_in_time(|| self.shared.packs.candidates(&near))?
        };
        let got = read.iter().flatten().count();
        self.shared.monitor.count(Counter::CandidatesRead, u64_of(got));
        let mut pages = near.iter().zip(read.drain(..)).peekable();
        let page_of = |at| pages.next_if(|(near, _)| *near == at).and_then(|(_, page)| page);
        Some(at.iter().map(page_of).collect())
    }
}
