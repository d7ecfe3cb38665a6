//! The work on a segment: zero test, page checks, hash, comparison, encoding. It runs to
//! completion, on data that is still in the processor's cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::crew::GoOn;
use crate::base::crew::Jobs;
use crate::base::crew::lock;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::Storage;
use crate::base::limits::FRAME_OF_PAGES_BYTES_TARGET;
use crate::base::limits::FRAME_RAW_BYTES_TARGET;
use crate::base::limits::PAGE_BYTES_MIN;
use crate::base::limits::SEGMENT_BYTES;
use crate::base::monitor::Counter;
use crate::base::num::u64_of;
use crate::encode::Compress;
use crate::encode::DeltaCoder;
use crate::encode::EncodedDelta;
use crate::encode::EncodedFrame;
use crate::encode::KeptBases;
use crate::encode::MovedBlock;
use crate::encode::Trailers;
use crate::encode::WholeCoder;
use crate::encode::form;
use crate::encode::form::Layout;
use crate::format::config::Features;
use crate::format::directory::Codec;
use crate::format::directory::FramedBlock;
use crate::format::form::BlockForm;
use crate::hash::BlockHasher;
use crate::hash::is_zero;
use crate::innodb::PageSize;
use crate::innodb::leaf_chain::Links;
use crate::pipeline::appender::miscomputed;
use crate::pipeline::bases::BaseFinder;
use crate::pipeline::bases::FoundBases;
use crate::pipeline::bases::MovedPage;
use crate::pipeline::bases::Success;
use crate::pipeline::former_table::FormerTable;
use crate::pipeline::ingest::Event;
use crate::pipeline::level;
use crate::pipeline::matcher::Match;
use crate::pipeline::pages;
use crate::pipeline::rebuilt::BlockRoute;
use crate::pipeline::segment::DeltaKind;
use crate::pipeline::segment::Done;
use crate::pipeline::segment::LayoutAdvice;
use crate::pipeline::segment::Member;
use crate::pipeline::segment::NewEntry;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::Segment;
use crate::pipeline::segment::Shrank;
use crate::pipeline::segment::StoredDelta;
use crate::pipeline::shared::Shared;

/// Bytes of bases after which a worker gives up its coder of deltas, and them with it.
const KEPT_BASES_BYTES: usize = 1 << 20;
/// Most bases that a segment has: of each of its blocks one that was read, and one in normal form.
const SEGMENT_BASES_MAX: usize = 2 * SEGMENT_BYTES / PAGE_BYTES_MIN;
/// Most bases that a worker keeps.
const KEPT_BASES_MAX: usize = 2 * SEGMENT_BASES_MAX;

/// A worker, which compares and encodes the blocks of segments.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    coder: WholeCoder,
    hasher: BlockHasher,
    finder: BaseFinder,
    /// The success with large deltas in normal form.
    reorganised: Success,
    gathered: Vec<u8>,
}

/// A delta of more bytes is made in normal form as well.
const LARGE_DELTA_BYTES: usize = 800;
/// Large deltas of a segment that are made in normal form.
const LARGE_DELTAS_MAX: usize = 16;

/// A delta of many bytes, and what it was made of.
struct LargeDelta<'b> {
    /// Its number among the deltas of the segment.
    number: usize,
    raw: &'b [u8],
    page: PageSize,
    base: &'b [u8],
}

/// A block that has to be stored.
struct Changed {
    number: usize,
    hash: BlockHash,
    base: Option<Locator>,
}

/// The pages of a segment, and their table as it was last night.
struct SegmentPages<'s> {
    table: &'s FormerTable<'s>,
    blocks: &'s [&'s [u8]],
}

/// The coder of the deltas of some segments, and the bases that it refers to.
struct Deltas<'k> {
    coder: DeltaCoder<'k>,
    kept: &'k KeptBases,
}

/// Blocks of a table that was rebuilt which no base in their place helps.
struct Unstored {
    /// The numbers of the blocks.
    whole: Vec<usize>,
    /// Where records of the segment's blocks stood.
    routes: Vec<BlockRoute>,
}

impl Worker {
    /// Creates a worker of a run.
    pub fn new(shared: Arc<Shared>) -> Self {
        let hasher = shared.packs.hasher().clone();
        let coder = WholeCoder::new(shared.level, shared.read_back, hasher.clone());
        Self {
            shared,
            coder,
            hasher,
            finder: BaseFinder::default(),
            reorganised: Success::default(),
            gathered: Vec::new(),
        }
    }

    /// Works on segments until there are none any more.
    pub fn work(mut self, jobs: &Jobs<'_, Segment, Event>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut go_on = GoOn::Yes;
        while go_on == GoOn::Yes {
            let kept = KeptBases::new(KEPT_BASES_MAX);
            let hasher = self.hasher.clone();
            let coder = DeltaCoder::new(shared.read_back, hasher, Trailers::Kept);
            let mut deltas = Deltas { coder, kept: &kept };
            go_on = jobs.work(|segment| {
                let _in_work = shared.control.taken(segment.data.filled().len());
                let done = self.process(&segment, &mut deltas)?;
                let is_full = kept.bytes() > KEPT_BASES_BYTES || kept.room() < SEGMENT_BASES_MAX;
                let go_on = if is_full { GoOn::No } else { GoOn::Yes };
                Ok((Event::Done(Box::new(done)), go_on))
            })?;
        }
        Ok(())
    }

    /// Compares and encodes a segment.
    fn process(&mut self, segment: &Segment, deltas: &mut Deltas<'_>) -> Result<Done> {
        let blocks = segment.cuts.blocks(segment.data.filled());
        let mut done = Done {
            member: Arc::clone(&segment.member),
            entries: Vec::with_capacity(blocks.len()),
            frames: Vec::new(),
            deltas: Vec::new(),
            released: Vec::new(),
            healed: Vec::new(),
            crcs: segment.payloads.crcs(segment.data.filled()),
            tally: pages::tally(segment, &blocks),
            findings: Vec::new(),
        };
        if done.tally.pages.corrupt > 0 {
            done.findings = pages::findings(segment, &blocks);
        }
        let hashes = self.hashes(&blocks);
        let previous = &segment.previous;
        let matches = matches(segment, &blocks, &hashes);
        let mut changed = self.compare(&blocks, &hashes, &matches, &mut done);
        record_released(segment, previous, &mut done);
        let routes = self.routes(segment, &blocks, &mut changed);
        deltas.coder.set_trailers(match self.page_of(&segment.member) {
            Some(_) => Trailers::LeftOut,
            None => Trailers::Kept,
        });
        let mut whole = self.encode_deltas(deltas, &blocks, changed, &mut done)?;
        let shared = Arc::clone(&self.shared);
        if !whole.is_empty()
            && let Some(table) = FormerTable::of(&shared, segment)
        {
            let pages = SegmentPages { table: &table, blocks: &blocks };
            whole = match routes {
                Some(routes) => {
                    self.encode_rebuilt(deltas, pages, Unstored { whole, routes }, &mut done)?
                }
                None => self.encode_moved(deltas, pages, whole, &mut done)?,
            };
        }
        self.encode_whole(&segment.member, &blocks, &whole, &mut done)?;
        self.count(&done, &blocks, &whole);
        Ok(done)
    }

    fn hashes(&self, blocks: &[&[u8]]) -> Vec<Option<BlockHash>> {
        let hash = |block: &&[u8]| (!is_zero(block)).then(|| self.hasher.hash(block));
        blocks.iter().map(hash).collect()
    }

    /// Enters what needs no storing; what is left has to be stored.
    fn compare(
        &self,
        blocks: &[&[u8]],
        hashes: &[Option<BlockHash>],
        matches: &[Match],
        done: &mut Done,
    ) -> Vec<Changed> {
        let mut changed = Vec::new();
        for (number, (block, hash)) in blocks.iter().zip(hashes).enumerate() {
            let Match { same, previous } = matches[number];
            let length = u64_of(block.len());
            let Some(hash) = *hash else {
                done.entries.push(NewEntry::Ready(Entry::zero(length)));
                continue;
            };
            let base = match same {
                Some(same) if self.shared.presence.is_usable(same.storage) => {
                    done.entries.push(NewEntry::Ready(same));
                    continue;
                }
                Some(lost) => {
                    // The same block, but its pack is gone: stored again, and the old entry healed.
                    done.healed.extend(lost.storage.locator().map(|at| (number, at)));
                    None
                }
                None => self.base_of(previous),
            };
            let entry = Entry { hash, storage: Storage::Zero, length };
            done.entries.push(NewEntry::InFrame(entry));
            changed.push(Changed { number, hash, base });
        }
        changed
    }

    /// Returns the whole block that a changed one may be stored against.
    fn base_of(&self, previous: Option<Entry>) -> Option<Locator> {
        let base = previous?.storage.whole()?;
        self.shared.is_base(base).then_some(base)
    }

    /// Stores as deltas what is cheaper that way; gives back the numbers of the others.
    fn encode_deltas(
        &mut self,
        deltas: &mut Deltas<'_>,
        blocks: &[&[u8]],
        changed: Vec<Changed>,
        done: &mut Done,
    ) -> Result<Vec<usize>> {
        let wanted: Vec<Locator> = changed.iter().filter_map(|block| block.base).collect();
        if wanted.is_empty() {
            return Ok(changed.into_iter().map(|block| block.number).collect());
        }
        let bases = self.shared.read_in_time(|| self.shared.packs.bases(&wanted));
        let bases = bases.unwrap_or_else(|| vec![None; wanted.len()]);
        let missed = bases.iter().filter(|base| base.is_none()).count();
        self.shared.monitor.count(Counter::BlocksMissed, u64_of(missed));
        let bases: Vec<_> = bases.into_iter().map(|base| base.map(Arc::new)).collect();
        let mut bases_left = bases.iter();
        let (mut whole, mut large) = (Vec::new(), Vec::new());
        let page = self.page_of(&done.member);
        // Neither does a changed page of an increment have the size of the block that it is in.
        let any_size =
            done.member.matcher.is_some() || matches!(done.member.pages, PageCheck::Delta { .. });
        for block in changed {
            let raw = blocks[block.number];
            let base = block.base.and_then(|_| bases_left.next()).and_then(Option::as_ref);
            let delta = match base {
                // The page after a file's previous end has no base of its size.
                Some(base) if any_size || base.len() == raw.len() => {
                    let base = deltas.kept.keep(Arc::clone(base));
                    deltas.coder.encode(raw, block.hash, base).map_err(miscomputed)?
                }
                _ => None,
            };
            let is_large = |delta: &EncodedDelta| delta.text().len() > LARGE_DELTA_BYTES;
            if let (Some(page), Some(base)) = (page, base)
                && delta.as_ref().is_some_and(is_large)
                && large.len() < LARGE_DELTAS_MAX
            {
                large.push(LargeDelta { number: done.deltas.len(), raw, page, base });
            }
            match (delta, block.base) {
                (Some(delta), Some(at)) => enter_delta(done, block.number, delta, at),
                _ => whole.push(block.number),
            }
        }
        self.shrink(deltas, &large, done)?;
        if !whole.is_empty() {
            for (at, base) in wanted.into_iter().zip(bases) {
                base.into_iter().for_each(|base| self.finder.keep(at, base));
            }
        }
        Ok(whole)
    }

    /// Makes large deltas in normal form too, and takes those that are smaller: in a page that was
    /// reorganised each record has moved.
    fn shrink(
        &mut self,
        deltas: &mut Deltas<'_>,
        large: &[LargeDelta<'_>],
        done: &mut Done,
    ) -> Result<()> {
        if large.is_empty() || !self.reorganised.is_worth(done.member.number) {
            return Ok(());
        }
        let mut smaller = 0;
        for LargeDelta { number, raw, page, base } in large {
            let block = MovedBlock::new(raw, *page, [Some(*base), None], deltas.kept);
            let Some(block) = block else { continue };
            let own = &mut done.deltas[*number].delta;
            let delta = deltas.coder.encode_moved(&block, own.hash()).map_err(miscomputed)?;
            if let Some(delta) = delta.filter(|delta| delta.text().len() < own.text().len()) {
                *own = delta;
                smaller += 1;
            }
        }
        self.reorganised.record(large.len(), smaller);
        Ok(())
    }

    /// Returns where the records of changed blocks stood in a table that was rebuilt; `None` if the
    /// segment is of another. Blocks with other bases are not compared with those in their place.
    fn routes(
        &self,
        segment: &Segment,
        blocks: &[&[u8]],
        changed: &mut [Changed],
    ) -> Option<Vec<BlockRoute>> {
        if changed.is_empty() || !segment.member.is_rebuilt() {
            return None;
        }
        let table = FormerTable::of(&self.shared, segment)?;
        let leaves = table.leaves().filter(|leaves| !leaves.is_empty())?;
        let numbers = changed.iter().map(|block| block.number);
        let routes = leaves.routes(table.pages(numbers, blocks), |page| table.block_of(page));
        let mut others = routes.iter().peekable();
        for block in changed {
            let route = others.next_if(|route| route.block == block.number);
            block.base = block.base.filter(|_| route.is_none_or(|route| route.stayed));
        }
        Some(routes)
    }

    /// Stores as deltas to other blocks what their routes lead to; gives back the numbers of the
    /// rest.
    fn encode_rebuilt(
        &mut self,
        deltas: &mut Deltas<'_>,
        pages: SegmentPages<'_>,
        unstored: Unstored,
        done: &mut Done,
    ) -> Result<Vec<usize>> {
        let Unstored { mut whole, mut routes } = unstored;
        let is_healed = |number: usize| done.healed.iter().any(|(healed, _)| *healed == number);
        routes.retain(|route| whole.binary_search(&route.block).is_ok() && !is_healed(route.block));
        if routes.is_empty() || !self.finder.is_worth(done.member.number) {
            return Ok(whole);
        }
        let found = pages.table.bases_of(&routes, pages.blocks);
        let moved = encode_against(deltas, &found, pages, done)?;
        self.finder.record(routes.len(), moved.len());
        whole.retain(|number| !moved.contains_key(number));
        enter_moved(done, moved);
        Ok(whole)
    }

    /// Stores as deltas to other pages what came from them; gives back the numbers of the rest.
    fn encode_moved(
        &mut self,
        deltas: &mut Deltas<'_>,
        SegmentPages { table, blocks }: SegmentPages<'_>,
        mut whole: Vec<usize>,
        done: &mut Done,
    ) -> Result<Vec<usize>> {
        if !table.has_a_block_for_each_page() {
            return Ok(whole);
        }
        // A block that stands for a lost one is stored whole, as that was.
        let is_healed = |number: usize| done.healed.iter().any(|(healed, _)| *healed == number);
        let pages = whole.iter().filter(|number| !is_healed(**number)).filter_map(|number| {
            MovedPage::of(*number, table.page_number(*number)?, blocks[*number])
        });
        let pages: Vec<MovedPage> = pages.collect();
        let today = |page| Links::of(blocks.get(table.block_in_segment(page)?)?);
        let mut moved = BTreeMap::new();
        for group in pages.chunks(BaseFinder::group_of(table.page.bytes())) {
            if !self.finder.is_worth(done.member.number) {
                continue;
            }
            let found = self.finder.find(group, table, &today);
            let stored = encode_against(deltas, &found, SegmentPages { table, blocks }, done)?;
            self.finder.record(group.len(), stored.len());
            moved.extend(stored);
        }
        whole.retain(|number| !moved.contains_key(number));
        enter_moved(done, moved);
        Ok(whole)
    }

    /// Compresses blocks in groups of about a frame.
    fn encode_whole(
        &mut self,
        member: &Member,
        blocks: &[&[u8]],
        whole: &[usize],
        done: &mut Done,
    ) -> Result<()> {
        let bytes_max = match self.page_of(member) {
            Some(_) => FRAME_OF_PAGES_BYTES_TARGET,
            None => FRAME_RAW_BYTES_TARGET,
        };
        let mut rest = whole;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |number: &&usize| {
                bytes += blocks[**number].len();
                bytes <= bytes_max
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (group, tail) = rest.split_at(count);
            let frame = self.encode_frame(member, blocks, group, done)?;
            done.frames.push(frame);
            rest = tail;
        }
        Ok(())
    }

    fn encode_frame(
        &mut self,
        member: &Member,
        blocks: &[&[u8]],
        group: &[usize],
        done: &Done,
    ) -> Result<EncodedFrame> {
        let advice = member.compressibility.advice();
        // A frame that is kept raw has no forms.
        let page = self.page_of(member).filter(|_| advice == Compress::Try);
        let named = |number: &usize| (blocks[*number], done.entries[*number].entry().hash);
        let group: Vec<_> = group.iter().map(named).collect();
        let step = self.shared.control.step();
        self.coder.set_step(step);
        let plain = |out: &mut Vec<u8>, block: &[u8]| {
            out.extend_from_slice(block);
            BlockForm::PLAIN
        };
        let normal = |page, layout| {
            move |out: &mut Vec<u8>, block: &[u8]| form::append(out, block, page, layout)
        };
        let frame = match page.map(|page| (page, member.layouts.advice())) {
            None => self.compress(&group, plain, advice)?,
            Some((page, LayoutAdvice::Take(layout))) => {
                self.compress(&group, normal(page, layout), advice)?
            }
            Some((page, LayoutAdvice::Compare)) => {
                let rows = self.compress(&group, normal(page, Layout::Rows), advice)?;
                let columns = self.compress(&group, normal(page, Layout::Columns), advice)?;
                let in_rows = rows.text().len() < columns.text().len();
                member.layouts.record(if in_rows { Layout::Rows } else { Layout::Columns });
                if in_rows { rows } else { columns }
            }
        };
        if let Some(counter) = level::counter_of(step) {
            self.shared.monitor.count(counter, u64_of(self.gathered.len()));
        }
        if advice == Compress::Try {
            let raw = frame.codec() == Codec::Raw;
            member.compressibility.record(if raw { Shrank::No } else { Shrank::Yes });
        }
        Ok(frame)
    }

    /// Compresses blocks as one, each in the form that `append` gives it.
    fn compress(
        &mut self,
        group: &[(&[u8], BlockHash)],
        append: impl Fn(&mut Vec<u8>, &[u8]) -> BlockForm,
        advice: Compress,
    ) -> Result<EncodedFrame> {
        self.gathered.clear();
        let mut framed = Vec::with_capacity(group.len());
        for (block, hash) in group {
            let form = append(&mut self.gathered, block);
            framed.push(FramedBlock { hash: *hash, length: block.len(), form });
        }
        self.coder.encode(&self.gathered, framed, advice).map_err(miscomputed)
    }

    /// Returns the size of the member's pages if its blocks may be stored in normal form.
    fn page_of(&self, member: &Member) -> Option<PageSize> {
        if !self.shared.features.include(Features::NORMAL_FORM) {
            return None;
        }
        match member.pages {
            PageCheck::Tablespace { format, .. } | PageCheck::Delta { format, .. } => {
                Some(format.page_size())
            }
            PageCheck::None | PageCheck::AriaData(_) => None,
        }
    }

    fn count(&self, done: &Done, blocks: &[&[u8]], whole: &[usize]) {
        let zero =
            |entry: &&NewEntry| matches!(entry, NewEntry::Ready(e) if e.storage == Storage::Zero);
        let zero = done.entries.iter().filter(zero).count();
        let stored = whole.len() + done.deltas.len();
        let whole_bytes: usize = whole.iter().map(|number| blocks[*number].len()).sum();
        let (moved, own): (Vec<_>, Vec<_>) =
            done.deltas.iter().partition(|stored| stored.kind == DeltaKind::Moved);
        let bytes = |deltas: &[&StoredDelta]| -> usize {
            deltas.iter().map(|stored| stored.delta.text().len()).sum()
        };
        let pages = &done.tally.pages;
        for (counter, by) in [
            (Counter::BlocksZero, u64_of(zero)),
            (Counter::BlocksSame, u64_of(done.entries.len() - zero - stored)),
            (Counter::BlocksDelta, u64_of(own.len())),
            (Counter::BlocksMoved, u64_of(moved.len())),
            (Counter::BlocksWhole, u64_of(whole.len())),
            (Counter::BlocksHealed, u64_of(done.healed.len())),
            (Counter::WholeBytes, u64_of(whole_bytes)),
            (Counter::DeltaBytes, u64_of(bytes(&own))),
            (Counter::MovedBytes, u64_of(bytes(&moved))),
            (Counter::PagesVerified, pages.verified),
            (Counter::PagesUnverifiable, pages.unverifiable),
            (Counter::PagesCorrupt, pages.corrupt),
            (Counter::PagesZero, pages.zero),
        ] {
            self.shared.monitor.count(counter, by);
        }
    }
}

/// Encodes blocks against the bases that were found for them, as far as that pays.
fn encode_against(
    deltas: &mut Deltas<'_>,
    found: &[FoundBases],
    SegmentPages { table, blocks }: SegmentPages<'_>,
    done: &Done,
) -> Result<BTreeMap<usize, StoredDelta>> {
    let mut moved = BTreeMap::new();
    for found in found {
        let second = found.second.as_ref().map(|base| base.page.as_slice());
        let bases = [Some(found.first.page.as_slice()), second];
        let block = MovedBlock::new(blocks[found.block], table.page, bases, deltas.kept);
        let Some(block) = block else { continue };
        let hash = done.entries[found.block].entry().hash;
        let delta = deltas.coder.encode_moved(&block, hash).map_err(miscomputed)?;
        let (base, second) = (found.first.at, found.second.as_ref().map(|base| base.at));
        let kind = DeltaKind::Moved;
        let stored = delta.map(|delta| StoredDelta { kind, delta, base, second });
        moved.extend(stored.map(|stored| (found.block, stored)));
    }
    Ok(moved)
}

/// Returns what the previous maps say of each block of a segment.
fn matches(segment: &Segment, blocks: &[&[u8]], hashes: &[Option<BlockHash>]) -> Vec<Match> {
    let named = hashes.iter().copied().zip(blocks.iter().map(|block| u64_of(block.len())));
    if let Some(matcher) = &segment.member.matcher {
        let named: Vec<_> = named.collect();
        let mut matcher = lock(matcher);
        return matcher.locate(segment.at, &named);
    }
    let any_size = matches!(segment.member.pages, PageCheck::Delta { .. });
    let match_of = |(number, (hash, length)): (usize, (Option<BlockHash>, u64))| {
        let previous = segment.previous.get(number).copied();
        let previous = previous.filter(|previous| any_size || previous.length == length);
        let same =
            previous.filter(|previous| previous.length == length && Some(previous.hash) == hash);
        Match { same, previous }
    };
    named.enumerate().map(match_of).collect()
}

/// Notes which entries of the previous map the new one does not name.
fn record_released(segment: &Segment, previous: &[Entry], done: &mut Done) {
    if !segment.member.is_compared_with_parent() {
        return;
    }
    for (entry, before) in done.entries.iter().zip(previous).take(segment.previous_own) {
        let kept = matches!(entry, NewEntry::Ready(entry) if entry.storage == before.storage);
        if !kept {
            done.released.extend(before.storage.locator());
        }
    }
}

fn enter_delta(done: &mut Done, number: usize, delta: EncodedDelta, base: Locator) {
    let length = u64_of(delta.length());
    let entry = Entry { hash: delta.hash(), storage: Storage::Zero, length };
    done.entries[number] = NewEntry::InDelta(entry);
    let kind = DeltaKind::InPlace;
    done.deltas.push(StoredDelta { kind, delta, base, second: None });
}

/// Enters deltas to other pages by the numbers of their blocks; deltas stand in the order of these.
fn enter_moved(done: &mut Done, mut moved: BTreeMap<usize, StoredDelta>) {
    if moved.is_empty() {
        return;
    }
    let mut others = std::mem::take(&mut done.deltas).into_iter();
    for (number, entry) in done.entries.iter_mut().enumerate() {
        match (moved.remove(&number), &*entry) {
            (Some(delta), NewEntry::InFrame(whole)) => {
                *entry = NewEntry::InDelta(*whole);
                done.deltas.push(delta);
            }
            (_, NewEntry::InDelta(_)) => done.deltas.extend(others.next()),
            (_, NewEntry::Ready(_) | NewEntry::InFrame(_)) => {}
        }
    }
}
