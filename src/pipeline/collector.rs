//! Puts everything in its place, in stream order: frames and deltas into packs, entries into maps,
//! closed members into the table, and at the end (or at a checkpoint) the roots that a snapshot
//! needs.
//!
//! Segments come back from the workers in any order; the pool puts them in order again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::num::u32_of;
use crate::cut::Cutter;
use crate::format::lists::Release;
use crate::format::lists::put_release;
use crate::format::needs::NEEDS;
use crate::format::pack_table;
use crate::format::pack_table::NodeRef;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::format::pack_table::TableTail;
use crate::format::record::MapRoot;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::record::PageCounts;
use crate::format::snapshot::Finding;
use crate::format::snapshot::LOG;
use crate::format::snapshot::TableRoot;
use crate::map::table::TableReader;
use crate::map::table::TableWriter;
use crate::map::view::MapView;
use crate::map::writer::MapWriter;
use crate::parse::path::OwnedPath;
use crate::parse::path::StreamPath;
use crate::pipeline::appender::Appender;
use crate::pipeline::ingest::Ended;
use crate::pipeline::ingest::Event;
use crate::pipeline::internal::InternalWriter;
use crate::pipeline::pages;
use crate::pipeline::payloads::PartCrc;
use crate::pipeline::payloads::PayloadCrc;
use crate::pipeline::relocations::Relocations;
use crate::pipeline::segment::Done;
use crate::pipeline::segment::Member;
use crate::pipeline::segment::NewEntry;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::PageFinding;
use crate::pipeline::sorter::Sorter;
use crate::verdict::StreamFaults;

/// Wrong pages that a snapshot names; more are only counted.
pub const FINDINGS_MAX: usize = 1000;

/// The previous versions of the internal members.
#[derive(Debug, Default, Clone)]
pub struct PreviousInternal {
    /// Map of the previous script, if there is one.
    pub script: Option<Arc<MapView>>,
}

/// The parts of earlier snapshots that a run continues.
#[derive(Debug)]
pub struct Inherited<'r> {
    /// The parent's table, if there is a parent.
    pub table: Option<&'r TableReader>,
    /// The previous versions of the internal members.
    pub internal: PreviousInternal,
    /// References of pack table nodes that are stored, by level.
    pub nodes: Vec<Vec<NodeRef>>,
}

/// A member that has not ended.
struct Open {
    member: Arc<Member>,
    map: MapWriter,
    pages: PageCounts,
    max_lsn: u64,
    released: Vec<Locator>,
    payload: PayloadCrc,
}

/// The roots to which a snapshot points.
#[derive(Debug)]
pub struct Roots {
    /// Records of the internal members.
    pub internal: Vec<MemberRecord>,
    /// Root of the member table, if there is one.
    pub table: Option<TableRoot>,
    /// The end of the pack table.
    pub packs: TableTail,
    /// The completeness of the release list.
    pub releases: Releases,
}

/// The completeness of a release list: it names everything that was released, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Releases {
    /// The list names everything that was released.
    All,
    /// The parent's table could not be read to its end.
    Some,
}

/// The progress of the stream: all of it has come, or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoFar {
    /// The stream has ended; nothing more comes.
    All,
    /// More is to come.
    Part,
}

/// The largest LSN of a page, and where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    /// The largest LSN of a page.
    pub lsn: u64,
    /// Path of the file with that page.
    pub path: String,
}

/// See the module's documentation.
pub struct Collector<'r> {
    appender: Appender,
    cutter: &'r Cutter,
    path_key: [u8; 32],
    /// The parent's table: for differences between tables, and for the release list.
    previous: Option<&'r TableReader>,
    open: BTreeMap<u64, Open>,
    sorter: Sorter,
    script: InternalWriter,
    releases: InternalWriter,
    released: Releases,
    findings: Vec<PageFinding>,
    bad_payloads: StreamFaults,
    log: Option<String>,
    recorded: Vec<Finding>,
    relocations: Relocations,
    newest: Newest,
    /// References of pack table nodes that are stored, by level.
    nodes: Vec<Vec<NodeRef>>,
}

impl std::fmt::Debug for Collector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl<'r> Collector<'r> {
    /// Creates a collector that adds to `appender`.
    pub fn new(
        appender: Appender,
        cutter: &'r Cutter,
        path_key: [u8; 32],
        inherited: Inherited<'r>,
    ) -> Self {
        Collector {
            appender,
            cutter,
            path_key,
            previous: inherited.table,
            open: BTreeMap::new(),
            sorter: Sorter::default(),
            script: InternalWriter::new("script", inherited.internal.script),
            releases: InternalWriter::new("releases", None),
            released: Releases::All,
            findings: Vec::new(),
            bad_payloads: StreamFaults::default(),
            log: None,
            recorded: Vec::new(),
            relocations: Relocations::default(),
            newest: Newest::default(),
            nodes: inherited.nodes,
        }
    }

    /// Returns the wrong pages so far, at most [`FINDINGS_MAX`].
    pub fn findings(&self) -> &[PageFinding] {
        &self.findings
    }

    /// Returns the payloads so far that are not what their CRCs state.
    pub fn take_bad_payloads(&mut self) -> StreamFaults {
        std::mem::take(&mut self.bad_payloads)
    }

    /// Takes the messages of the producer, which are stored with the snapshot.
    pub fn keep_log(&mut self, log: Option<String>) {
        self.log = log;
    }

    /// Adds the findings about the stream as a whole, which are stored after the wrong pages.
    pub fn record_findings(&mut self, findings: Vec<Finding>) {
        self.recorded.extend(findings);
    }

    /// Returns the page that was changed last.
    pub fn newest(&self) -> &Newest {
        &self.newest
    }

    /// Takes the next event of the stream.
    pub fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Done(done) => self.take_segment(*done),
            Event::Close { member, ended } => self.close(&member, ended),
            Event::Script(bytes) => self.script.push(&bytes, self.cutter, &mut self.appender),
        }
    }

    fn take_segment(&mut self, done: Done) -> Result<()> {
        let Done { member, entries, frames, deltas, released, healed, crcs, tally, findings } =
            done;
        self.take_crcs(&member, &crcs);
        let mut framed = Vec::new();
        for frame in frames {
            let count = u32_of(frame.blocks().len());
            let first = self.appender.add_frame(&frame)?;
            framed.extend((0..count).map(|n| Locator {
                pack: first.pack,
                entry: crate::base::ids::EntryNumber(first.entry.0 + n),
            }));
        }
        let mut at_delta = Vec::new();
        for stored in &deltas {
            at_delta.push(self.appender.add_delta(stored)?);
        }
        let (mut framed, mut at_delta) = (framed.into_iter(), at_delta.into_iter());
        let open = open_member(&mut self.open, &member);
        let mut healed = healed.into_iter().peekable();
        for (number, entry) in entries.into_iter().enumerate() {
            let entry = match entry {
                NewEntry::Ready(entry) => entry,
                NewEntry::InFrame(entry) => {
                    let at = framed.next().expect("every whole block is in a frame");
                    Entry { storage: Storage::Whole(at), ..entry }
                }
                NewEntry::InDelta(entry) => {
                    let storage = at_delta.next().expect("every changed block has its delta");
                    Entry { storage, ..entry }
                }
            };
            while let Some((_, lost)) = healed.next_if(|(block, _)| *block == number) {
                let copy = entry.storage.locator().expect("a healing copy is stored");
                self.relocations.add(lost, copy);
            }
            open.map.push(entry, &mut self.appender)?;
        }
        open.released.extend(released);
        open.pages.verified += tally.pages.verified;
        open.pages.unverifiable += tally.pages.unverifiable;
        open.pages.corrupt += tally.pages.corrupt;
        open.pages.zero += tally.pages.zero;
        open.max_lsn = open.max_lsn.max(tally.max_lsn);
        if tally.max_lsn > self.newest.lsn {
            self.newest = Newest { lsn: tally.max_lsn, path: member.key.display() };
        }
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
        self.spill_releases(&member)
    }

    /// Joins the CRCs of payloads, and notes those that are not as stated.
    fn take_crcs(&mut self, member: &Arc<Member>, crcs: &[PartCrc]) {
        let open = open_member(&mut self.open, member);
        for part in crcs {
            let Some((stated, computed)) = open.payload.push(part) else { continue };
            let path = StreamPath::new(&member.key.path).ok().map(OwnedPath::from);
            if let Some(fault) = stated.fault(path, computed) {
                self.bad_payloads.record(fault);
            }
        }
    }

    /// Writes a member's releases before they grow large.
    fn spill_releases(&mut self, member: &Member) -> Result<()> {
        const RELEASES_MAX: usize = 1 << 16;
        let Some(open) = self.open.get_mut(&member.number) else { return Ok(()) };
        if open.released.len() < RELEASES_MAX {
            return Ok(());
        }
        let released = std::mem::take(&mut open.released);
        self.put_release(&member.key, &Release::Entries(released))
    }

    fn put_release(&mut self, key: &MemberKey, release: &Release) -> Result<()> {
        let mut record = Vec::new();
        put_release(&mut record, key, release);
        self.releases.push(&record, self.cutter, &mut self.appender)
    }

    fn close(&mut self, member: &Arc<Member>, ended: Ended) -> Result<()> {
        open_member(&mut self.open, member);
        let mut open = self.open.remove(&member.number).expect("it was just entered");
        let mut released = Some(std::mem::take(&mut open.released));
        if member.matcher.is_some() {
            released = content_releases(&open);
        }
        if member.is_compared_with_parent() {
            match released {
                None => self.put_release(&member.key, &Release::Unknown)?,
                Some(list) if list.is_empty() => {}
                Some(list) => self.put_release(&member.key, &Release::Entries(list))?,
            }
        } else if !member.previous.is_empty() || matches!(member.pages, PageCheck::Delta { .. }) {
            // Changed pages are compared with another member than that of their path.
            self.put_release(&member.key, &Release::Unknown)?;
        }
        let record = record_of(open, ended, &mut self.appender)?;
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.sorter.push(record.key, bytes)
    }

    /// Stores everything that a snapshot of what has arrived so far needs, and waits until it is
    /// durable.
    ///
    /// Members that have not ended stand in it as far as they have arrived; the run can go on
    /// afterwards. A script is only valid as a whole, so a checkpoint has none.
    pub fn roots(&mut self, so_far: SoFar) -> Result<Roots> {
        let mut unfinished = Vec::new();
        for open in self.open.values() {
            let copy = Open {
                member: Arc::clone(&open.member),
                map: open.map.clone(),
                pages: open.pages,
                max_lsn: open.max_lsn,
                released: Vec::new(),
                payload: open.payload,
            };
            let record = record_of(copy, Ended::Not, &mut self.appender)?;
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            unfinished.push((record.key, bytes));
        }
        let table = self.write_table(unfinished)?;
        let mut internal = vec![self.releases.clone().finish(&mut self.appender)?];
        if so_far == SoFar::All {
            internal.push(self.script.clone().finish(&mut self.appender)?);
        }
        if !self.findings.is_empty() || !self.recorded.is_empty() {
            internal.push(self.write_findings()?);
        }
        if so_far == SoFar::All && self.log.is_some() {
            internal.push(self.write_log()?);
        }
        internal.extend(self.write_needs()?);
        let packs = self.write_pack_table()?;
        Ok(Roots { internal, table, packs, releases: self.released })
    }

    fn write_table(&mut self, unfinished: Vec<(MemberKey, Vec<u8>)>) -> Result<Option<TableRoot>> {
        let mut writer = TableWriter::new(self.path_key, self.previous);
        let appender = &mut self.appender;
        self.sorter.merge(unfinished, &mut |key, record| writer.push(key, record, appender))?;
        writer.finish(&mut self.appender)
    }

    fn write_findings(&mut self) -> Result<MemberRecord> {
        let mut list = InternalWriter::new("findings", None);
        let pages = self.findings.iter().map(serde_json::to_vec);
        for line in pages.chain(self.recorded.iter().map(serde_json::to_vec)) {
            let mut line = line.expect("strings and numbers can be written");
            line.push(b'\n');
            list.push(&line, self.cutter, &mut self.appender)?;
        }
        list.finish(&mut self.appender)
    }

    fn write_log(&mut self) -> Result<MemberRecord> {
        let mut log = InternalWriter::of_data(LOG);
        let text = self.log.take().unwrap_or_default();
        log.push(text.as_bytes(), self.cutter, &mut self.appender)?;
        log.finish(&mut self.appender)
    }

    /// Stores the need list, if the repository has them: after everything that it tells of.
    fn write_needs(&mut self) -> Result<Option<MemberRecord>> {
        // The entries of a pack are counted when it is closed.
        self.appender.close_data()?;
        let Some(needs) = self.appender.needs() else { return Ok(None) };
        let mut list = InternalWriter::new(NEEDS, None);
        list.push(&needs.encode(), self.cutter, &mut self.appender)?;
        list.finish(&mut self.appender).map(Some)
    }

    /// Calls `each` with the keys of all members that have ended, in order.
    pub fn visit(&mut self, each: &mut dyn FnMut(&MemberKey) -> Result<()>) -> Result<()> {
        self.sorter.merge(Vec::new(), &mut |key, _| each(&key))
    }

    /// Enters members that the parent has and this snapshot has not into the release list. If
    /// the parent's table can't be read, the list says that it lacks some.
    pub fn release_vanished(&mut self) -> Result<()> {
        let Some(previous) = self.previous else { return Ok(()) };
        match self.vanished(previous) {
            Ok(keys) => keys.iter().try_for_each(|key| self.put_release(key, &Release::All)),
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(_) => {
                self.released = Releases::Some;
                Ok(())
            }
        }
    }

    fn vanished(&mut self, previous: &TableReader) -> Result<Vec<MemberKey>> {
        let mut cursor = previous.cursor();
        let mut before = cursor.next()?.map(|record| record.key);
        let mut vanished = Vec::new();
        self.sorter.merge(Vec::new(), &mut |key, _| {
            while before.as_ref().is_some_and(|previous| *previous < key) {
                vanished.extend(before.take());
                before = cursor.next()?.map(|record| record.key);
            }
            if before.as_ref() == Some(&key) {
                before = cursor.next()?.map(|record| record.key);
            }
            Ok(())
        })?;
        while let Some(key) = before.take() {
            vanished.push(key);
            before = cursor.next()?.map(|record| record.key);
        }
        Ok(vanished)
    }

    /// Stores the filled nodes of the pack table and sends everything off; the rest goes into the
    /// snapshot.
    fn write_pack_table(&mut self) -> Result<TableTail> {
        self.appender.close_data()?;
        let packs = Arc::clone(&self.appender.run().packs);
        // A node's name is the pack that it is in, which is known once that is closed: until then
        // its index.
        let mut unnamed = Vec::new();
        for level in 0..self.nodes.len() {
            while self.nodes[level].len() >= PACK_TABLE_NODE {
                let references: Vec<_> = self.nodes[level].drain(..PACK_TABLE_NODE).collect();
                let text = pack_table::encode_references(&references);
                unnamed.push((level + 1, self.appender.add_whole_page(&text)?));
            }
        }
        let mut stored = self.stored_records();
        for (level, _) in &unnamed {
            stored += PACK_TABLE_NODE.pow(u32_of(*level) + 1);
        }
        let before = self.nodes.first().map_or(0, Vec::len);
        let mut after = before;
        while closed_node(&packs.table(), stored).is_some() {
            stored += PACK_TABLE_NODE;
            after += 1;
        }
        let kept = kept_nodes(before, after);
        if let Some(nodes) = self.nodes.first_mut() {
            nodes.truncate(kept);
        }
        for number in kept..after {
            let from = stored - (after - number) * PACK_TABLE_NODE;
            let records = closed_node(&packs.table(), from);
            let text = pack_table::encode_records(&records.expect("its packs are closed"));
            unnamed.push((0, self.appender.add_whole_page(&text)?));
        }
        self.appender.flush()?;
        let table = packs.table();
        for (level, entry) in unnamed {
            let at = entry.storage.locator().expect("a node is stored whole");
            let pack = table.get(at.pack).expect("every pack was closed").name;
            if self.nodes.len() == level {
                self.nodes.push(Vec::new());
            }
            self.nodes[level].push(NodeRef { pack, entry: at.entry, hash: entry.hash });
        }
        let records = table.iter().skip(stored).map(|(_, record)| *record).collect();
        Ok(TableTail { total: u32_of(table.len()), records, levels: self.nodes.clone() })
    }

    /// Returns the number of records in stored nodes.
    fn stored_records(&self) -> usize {
        let levels = self.nodes.iter().zip(1..);
        levels.map(|(level, power)| level.len() * PACK_TABLE_NODE.pow(power)).sum()
    }

    /// Publishes where healed entries are now; what they point to must be durable.
    pub fn publish_relocations(&mut self) -> Result<()> {
        self.relocations.publish(self.appender.run())
    }
}

/// Returns how many of `before` nodes that lie in earlier packs stay there when there are `after`.
///
/// The nodes after them are stored again beside the new ones, as a binary counter carries: however
/// many runs filled them, all nodes of a table lie in a few packs, and a reader without a cache
/// asks for those only. Each node is stored again at most once for each bit of their number.
fn kept_nodes(before: usize, after: usize) -> usize {
    let carried = |bit: u32| (1_usize << bit << 1) - 1;
    (before ^ after).checked_ilog2().map_or(after, |bit| before & !carried(bit))
}

/// Returns the next node's records, if all of its packs are closed.
fn closed_node(table: &PackTable, from: usize) -> Option<Vec<PackRecord>> {
    (from..from + PACK_TABLE_NODE).map(|n| table.get(PackIndex(u32_of(n))).copied()).collect()
}

fn open_member<'o>(open: &'o mut BTreeMap<u64, Open>, member: &Arc<Member>) -> &'o mut Open {
    open.entry(member.number).or_insert_with(|| Open {
        member: Arc::clone(member),
        map: MapWriter::new(member.blocks, member.chosen_previous().map(Arc::clone)),
        pages: PageCounts::default(),
        max_lsn: 0,
        released: Vec::new(),
        payload: PayloadCrc::default(),
    })
}

/// Returns what a content-defined member no longer names of its previous version, if both are short
/// enough to tell.
fn content_releases(open: &Open) -> Option<Vec<Locator>> {
    let MapRoot::Inline(before) = &open.member.chosen_previous()?.record().map else { return None };
    let now = open.map.only_leaf()?;
    let gone = |entry: &&Entry| !now.iter().any(|new| new.hash == entry.hash);
    Some(before.iter().filter(gone).filter_map(|entry| entry.storage.locator()).collect())
}

fn record_of(open: Open, ended: Ended, appender: &mut Appender) -> Result<MemberRecord> {
    let Open { member, map, pages: counts, max_lsn, .. } = open;
    let (page_format, first_page) = pages::record_of_check(&member.pages);
    Ok(MemberRecord {
        key: member.key.clone(),
        closed: ended == Ended::Properly,
        blocks: member.blocks,
        length: map.length(),
        page_format,
        first_page,
        max_lsn,
        pages: counts,
        map: map.finish(appender)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_many_runs_gather_in_few_packs() {
        // Each node is listed by the run whose pack holds it.
        let mut packs: Vec<usize> = Vec::new();
        let mut stored = 0;
        for run in 0..PACK_TABLE_NODE {
            let after = packs.len() + 1;
            packs.truncate(kept_nodes(packs.len(), after));
            stored += after - packs.len();
            packs.resize(after, run);
            let mut distinct = packs.clone();
            distinct.dedup();
            assert!(distinct.len() <= 8, "{run}: {packs:?}");
        }
        assert!(stored <= PACK_TABLE_NODE * 9, "{stored}");
        assert_eq!((kept_nodes(5, 5), kept_nodes(0, 40), kept_nodes(8, 11)), (5, 0, 8));
    }
}
