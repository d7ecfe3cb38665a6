//! Verifies a repository: from names and sizes to decoding every block and checking every page
//! again.
//!
//! Every depth includes those before it. What is wrong is reported in terms of snapshot, file and
//! pages, because that is what an operator has lost; and it is recorded under `damage/`, so that
//! the next backup stores those blocks again, and so that listings show which snapshots lack some.
//!
//! An object whose bytes have changed is not lost as a whole: at every depth the blocks that it
//! holds are read, and only those that can't be had are called lost.
//!
//! A block that several snapshots share is read once: entries that were found good are remembered,
//! one bit each, as long as that fits into 32 MiB.
//!
//! A repository that takes longer to read than a night has hours is verified in slices
//! ([`verify_slice`]): some of its packs, within a limit of time and of bytes. [`Slice`] says what
//! belongs to a slice. Every run records what it verified (FORMAT.md 9.2), so that a slice can take
//! what was verified longest ago ([`verify_oldest`]).

mod ages;
mod broken;
mod checks;
mod depth;
mod history;
mod ledger;
mod moved;
mod needed;
mod oldest;
mod options;
mod packs;
mod record;
mod remember;
mod report;
mod secrets;
mod segments;
mod slice;
mod tables;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::crew::unlocked;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::Storage;
use crate::base::monitor::Counts;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::base::world::World;
use crate::format::layout::Folder;
use crate::format::record::MemberRecord;
use crate::format::record::PageCounts;
use crate::format::snapshot::LOG;
use crate::innodb::PageNumber;
use crate::ops::survey::Compacted;
use crate::pack::reader::Wanted;
use crate::pipeline::pages;
use crate::pipeline::segment::PageCheck;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;
use crate::repo::damage::KnownDamage;
use crate::repo::inventory::Inventory;
use crate::repo::snapshots::StoredSnapshot;

use broken::Broken;
use broken::Extent;
use checks::ChangedPages;
use checks::Numbering;
use checks::page_check;
use ledger::LookedAt;
use needed::Needed;
use needed::PackBits;
use options::Scope;

use super::batches;
use super::batches::Batch;
use slice::Part;

pub use ages::Ages;
pub use ages::Oldest;
pub use broken::RANGES_MAX;
pub use depth::Depth;
pub use history::History;
pub use history::LastVerified;
pub use oldest::AgesReport;
pub use oldest::Budget;
pub use oldest::OldestPlan;
pub use oldest::ages;
pub use oldest::plan_oldest;
pub use oldest::verify_oldest;
pub use options::Remember;
pub use options::VerifyOptions;
pub use report::Finding;
pub use report::Unit;
pub use report::Unrecorded;
pub use report::VerifyReport;
pub use slice::Cost;
pub use slice::Deadline;
pub use slice::Order;
pub use slice::Slice;
pub use slice::SliceReport;

use super::chain;

/// Memory for remembering which entries were found good.
const SEEN_BYTES_MAX: usize = 32 << 20;
/// Findings that are described; more are only counted in the last of them.
const FINDINGS_MAX: usize = 1000;
/// Files that a record about a snapshot names.
const NAMED_MAX: usize = 8;

/// The damage that is known so far.
#[derive(Debug, Default)]
struct Bad {
    /// Packs of which nothing is there.
    gone: HashMap<PackName, Class>,
    /// Packs of which all that is there has changed. Some of it can be read.
    spoiled: HashMap<PackName, Class>,
    /// Data packs that are not there, reported only if something is lost with them: it may have
    /// been healed.
    missing: Vec<(PackName, Finding)>,
    /// Packs with which something is lost.
    culprits: HashSet<PackName>,
    entries: BTreeMap<PackName, Vec<EntryNumber>>,
    /// Snapshots that lack something.
    snapshots: BTreeMap<SnapshotId, DamageOfSnapshot>,
}

impl Bad {
    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.spoiled.is_empty()
    }

    fn has(&self, pack: &PackName) -> bool {
        self.gone.contains_key(pack) || self.spoiled.contains_key(pack)
    }
}

/// The damage of one snapshot.
#[derive(Debug, Default)]
struct DamageOfSnapshot {
    files: u64,
    /// Findings about no file of it: its maps, its log, what it builds on.
    wholes: u64,
    named: Vec<String>,
    packs: BTreeSet<PackName>,
}

struct Verification<'v> {
    repository: &'v Repository,
    options: &'v VerifyOptions,
    monitor: &'v Arc<Monitor>,
    /// The packs that are looked at closely.
    part: Part<'v>,
    /// The damage that earlier verifications recorded.
    known: KnownDamage,
    /// The packs that were compacted away.
    compacted: Compacted,
    report: Mutex<VerifyReport>,
    bad: Mutex<Bad>,
    /// Bits of entries found good, by pack.
    seen: Mutex<HashMap<PackName, Vec<u64>>>,
}

/// Verifies snapshots and everything that they need.
pub fn verify(
    repository: &Repository,
    options: &VerifyOptions,
    world: &World,
) -> Result<VerifyReport> {
    let (report, _) = run(repository, options, None, world)?;
    Ok(report)
}

/// Verifies a part of what snapshots need; the result names the packs that are left.
pub fn verify_slice<'s>(
    repository: &'s Repository,
    options: &'s VerifyOptions,
    slice: &Slice<'s>,
    world: &'s World,
) -> Result<SliceReport> {
    let (report, part) = run(repository, options, Some(slice), world)?;
    Ok(part.into_report(report))
}

fn run<'s>(
    repository: &'s Repository,
    options: &'s VerifyOptions,
    slice: Option<&Slice<'s>>,
    world: &'s World,
) -> Result<(VerifyReport, Part<'s>)> {
    if options.depth >= Depth::Blocks {
        repository.require_data()?;
    }
    let monitor = &world.monitor;
    let before = monitor.counts();
    let began = world.clock.unix_seconds();
    let mut verification = Verification::begin(repository, options, monitor)?;
    let (snapshots, scope) = verification.snapshots()?;
    verification.check_keys()?;
    verification.check_runs(&snapshots)?;
    verification.check_segments()?;
    let (tables, mut packs) = verification.tables(&snapshots);
    let folders = [Folder::Moves, Folder::Packs, Folder::Twins];
    let inventory = Inventory::of(&**repository.store(), &folders, "")?;
    verification.leave_out_unneeded(&snapshots, &inventory, &mut packs)?;
    let mut needed = None;
    if let Some(slice) = slice {
        let of = needed.insert(Needed::of(repository, &snapshots, &tables, monitor)?);
        verification.part = match slice.order {
            Order::ByName => Part::of(slice, options.depth, slice.packs, &packs),
            Order::OldestFirst => {
                let order = verification.oldest_first(&tables, of, began)?;
                Part::of(slice, options.depth, Some(&order), &packs)
            }
        };
    }
    verification.part.put_in_order(&mut packs);
    verification.check_packs(&snapshots, &inventory, &packs)?;
    verification.part.leave_out_unread();
    let mut named = PackBits::none(&tables);
    packs.iter().filter_map(|record| tables.place(&record.name)).for_each(|pack| named.add(pack));
    verification.compacted_among(&tables).for_each(|pack| named.add(pack));
    drop(packs);
    let mut opener = Opener::new(repository, monitor);
    for stored in &snapshots {
        verification.check_chain(stored)?;
        if verification.walks_maps() {
            verification.check_snapshot(&mut opener, stored)?;
        }
    }
    verification.check_records(&inventory)?;
    let unopened = verification.unopened();
    verification.record_damage(&snapshots)?;
    let (snapshots, tables, named) = (&snapshots[..], &tables, &named);
    let (needed, unopened) = (needed.as_ref(), &unopened);
    let looked = LookedAt { snapshots, tables, named, needed, unopened, scope, began };
    verification.remember(&looked)?;
    let now = monitor.counts();
    let read = |counts: Counts| counts.stream_bytes + counts.fetched_bytes;
    let report = unlocked(verification.report);
    Ok((VerifyReport { read_bytes: read(now) - read(before), ..report }, verification.part))
}

impl<'v> Verification<'v> {
    fn begin(
        repository: &'v Repository,
        options: &'v VerifyOptions,
        monitor: &'v Arc<Monitor>,
    ) -> Result<Self> {
        Ok(Self {
            repository,
            options,
            monitor,
            part: Part::default(),
            known: repository.known_damage()?,
            compacted: Compacted::new(),
            report: Mutex::default(),
            bad: Mutex::default(),
            seen: Mutex::default(),
        })
    }
}

impl Verification<'_> {
    /// Notes a fact that is worth knowing, and no damage.
    fn note(&self, what: String) {
        lock(&self.report).notes.push(Finding::of_object(what));
    }

    /// Returns the snapshots of which something as a whole could not be read: not all of their
    /// blocks were looked at.
    fn unopened(&self) -> HashSet<SnapshotId> {
        let bad = lock(&self.bad);
        let lacks = |damage: &&DamageOfSnapshot| damage.wholes > 0;
        bad.snapshots.iter().filter(|(_, damage)| lacks(damage)).map(|(id, _)| *id).collect()
    }

    /// Returns everything that was found.
    fn into_report(self) -> VerifyReport {
        unlocked(self.report)
    }

    fn find(&self, finding: Finding) {
        if let Some(id) = finding.snapshot {
            let mut bad = lock(&self.bad);
            let damage = bad.snapshots.entry(id).or_default();
            damage.files += u64::from(finding.member.is_some());
            damage.wholes += u64::from(finding.member.is_none());
            if damage.named.len() < NAMED_MAX {
                damage.named.push(finding.in_words());
            }
        }
        let mut report = lock(&self.report);
        if report.findings.len() < FINDINGS_MAX {
            report.findings.push(finding);
        } else if let Some(last) = report.findings.last_mut() {
            "and more findings like these".clone_into(&mut last.what);
        }
    }

    fn find_about(&self, stored: &StoredSnapshot, what: String) {
        self.find(Finding { snapshot: Some(stored.id()), ..Finding::of_object(what) });
    }

    /// Returns the snapshots to verify, newest first: what is shared is then reported with the
    /// newest.
    fn snapshots(&self) -> Result<(Vec<StoredSnapshot>, Scope)> {
        let mut snapshots = self.options.snapshots.clone();
        let mut scope = Scope::Some;
        if snapshots.is_empty() {
            let listing = self.repository.snapshots()?;
            if listing.damaged.is_empty() {
                scope = Scope::All;
            }
            for (name, error) in listing.damaged {
                let snapshot = Some(name.id);
                self.find(Finding { snapshot, ..Finding::of_object(error.with_causes()) });
            }
            for (name, error) in listing.overtaken {
                let what =
                    format!("{}; a later snapshot of its source is there", error.with_causes());
                let snapshot = Some(name.id);
                let note = Finding { snapshot, ..Finding::of_object(what) };
                lock(&self.report).notes.push(note);
            }
            snapshots = listing.snapshots;
        }
        snapshots.reverse();
        lock(&self.report).snapshots = u64_of(snapshots.len());
        Ok((snapshots, scope))
    }

    /// Tells whether no more blocks are read, because the deadline has come.
    fn is_cut(&self) -> bool {
        self.options.depth >= Depth::Blocks && self.part.cut()
    }

    /// Tells whether the maps of snapshots are walked: what a slice finds good below the depth of
    /// blocks needs none.
    fn walks_maps(&self) -> bool {
        if self.options.depth >= Depth::Blocks {
            return !self.is_cut();
        }
        self.part.is_whole() || !lock(&self.bad).is_empty()
    }

    /// Checks that everything is there that an increment builds on: it can only be restored with
    /// that.
    fn check_chain(&self, stored: &StoredSnapshot) -> Result<()> {
        for link in chain::links(self.repository, stored)? {
            if link.stored.is_none() {
                let what = format!("it needs snapshot {}, which is missing or damaged", link.id);
                self.find_about(stored, what);
            }
        }
        Ok(())
    }

    fn check_snapshot(&self, opener: &mut Opener<'_>, stored: &StoredSnapshot) -> Result<()> {
        let contents = match opener.open(stored) {
            Ok(contents) => contents,
            Err(error) => {
                self.find_about(stored, error.with_causes());
                return Ok(());
            }
        };
        if let Err(error) = contents.read_internal("script", &mut |_| self.monitor.check()) {
            keep_going(error, |what| self.find_about(stored, what))?;
        }
        if matches!(self.options.depth, Depth::Blocks | Depth::Pages)
            && let Err(error) = contents.read_internal(LOG, &mut |_| self.monitor.check())
        {
            keep_going(error, |what| self.find_about(stored, format!("its log: {what}")))?;
        }
        let changed = match self.options.depth {
            Depth::Pages => ChangedPages::of(self.repository, stored, self.monitor),
            Depth::Objects | Depth::Stored | Depth::Blocks => ChangedPages::default(),
        };
        let mut cursor = contents.table().cursor();
        let checked = Opened { stored, contents: &contents, changed: &changed };
        let plan = |sender: &mut batches::Sender<'_, MemberBatch>| loop {
            if self.is_cut() {
                return Ok(());
            }
            let record = match cursor.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => {
                    return keep_going(error, |what| self.find_about(stored, what));
                }
            };
            self.plan_member(&checked, record, sender)?;
        };
        let work = |batch: MemberBatch| self.check_batch(&contents, &batch);
        let mut broken: BTreeMap<String, Broken> = BTreeMap::new();
        batches::in_order(
            self.options.workers,
            self.monitor,
            plan,
            work,
            |found: Option<(String, Broken)>| {
                if let Some((member, found)) = found {
                    broken.entry(member).or_default().merge(found);
                }
                Ok(())
            },
        )?;
        for (member, Broken { unit, ranges, what, packs }) in broken {
            let snapshot = Some(stored.id());
            self.find(Finding { snapshot, member: Some(member), unit, ranges, what });
            let mut bad = lock(&self.bad);
            bad.snapshots.entry(stored.id()).or_default().packs.extend(packs);
        }
        Ok(())
    }

    fn plan_member(
        &self,
        opened: &Opened<'_>,
        record: MemberRecord,
        sender: &mut batches::Sender<'_, MemberBatch>,
    ) -> Result<()> {
        let Opened { stored, contents, changed } = *opened;
        let member = record.key.display();
        let check = match self.options.depth {
            Depth::Pages => page_check(contents, changed, &record)?,
            Depth::Objects | Depth::Stored | Depth::Blocks => PageCheck::None,
        };
        let mut numbering = Numbering::of(&check);
        let extent = Extent::of(&record);
        let empty = || MemberBatch {
            member: member.clone(),
            extent,
            check,
            blocks: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
        };
        let mut batch = empty();
        let mut entries = contents.entries(record);
        loop {
            self.monitor.check()?;
            match entries.next() {
                Ok(Some(block)) => {
                    let numbers = numbering.as_mut().map(|of| of.next(contents, &block));
                    batch.push(block, numbers.transpose()?.unwrap_or_default());
                }
                Ok(None) => break,
                Err(error) => {
                    keep_going(error, |what| {
                        let snapshot = Some(stored.id());
                        let member = Some(member.clone());
                        self.find(Finding { snapshot, member, ..Finding::of_object(what) });
                    })?;
                    break;
                }
            }
            if batch.bytes >= batches::BATCH_BYTES {
                sender.send(std::mem::replace(&mut batch, empty()))?;
            }
        }
        if batch.blocks.is_empty() { Ok(()) } else { sender.send(batch) }
    }

    /// Checks blocks of a member; what is wrong with them.
    fn check_batch(
        &self,
        contents: &Contents,
        batch: &MemberBatch,
    ) -> Result<Option<(String, Broken)>> {
        let mut broken = Broken::default();
        let mut left = Vec::new();
        for block in &batch.blocks {
            match self.state_of(contents, block)? {
                BlockState::Lost(packs) => {
                    broken.add(batch.extent, block, "is in a pack that is missing or damaged");
                    broken.packs.extend(packs);
                }
                BlockState::Doubtful => left.push(*block),
                BlockState::Nothing if self.options.depth >= Depth::Blocks => left.push(*block),
                BlockState::Good | BlockState::Nothing => {}
            }
        }
        if !left.is_empty() {
            self.read_blocks(contents, batch, &left, &mut broken)?;
        }
        Ok((!broken.ranges.is_empty()).then(|| (batch.member.clone(), broken)))
    }

    /// Returns what can be said of a block without reading it.
    fn state_of(&self, contents: &Contents, block: &Block) -> Result<BlockState> {
        let Some(at) = block.entry.storage.locator() else { return Ok(BlockState::Good) };
        let address = contents.packs().address(at)?;
        if self.was_seen(&address) {
            return Ok(BlockState::Good);
        }
        let packs = self.packs_of(contents, block)?;
        let place = self.place_of(contents, address);
        let (gone, spoiled) = {
            let bad = lock(&self.bad);
            // An entry that was not alive when its pack was compacted has no other place.
            let is_gone = |pack| bad.gone.contains_key(pack) || self.compacted.contains_key(pack);
            let gone = packs.iter().any(is_gone);
            (gone, packs.iter().any(|pack| bad.spoiled.contains_key(pack)))
        };
        // A block of another slice, unless this one is that of a bad base.
        let is_own = self.part.has(&place.pack);
        if !gone && !spoiled {
            return Ok(if is_own { BlockState::Nothing } else { BlockState::Good });
        }
        if !packs.iter().any(|pack| self.part.has(pack)) {
            return Ok(BlockState::Good);
        }
        // What is left of a pack, and a healing copy, can only be found by reading.
        let may_be_there = !gone || self.has_copies(contents, block)?;
        if may_be_there && self.repository.opens_data() {
            return Ok(BlockState::Doubtful);
        }
        let mut bad = lock(&self.bad);
        let is_lost = |pack: &PackName| bad.has(pack) || self.compacted.contains_key(pack);
        let lost: Vec<PackName> = packs.into_iter().filter(is_lost).collect();
        bad.culprits.extend(&lost);
        Ok(BlockState::Lost(lost))
    }

    fn read_blocks(
        &self,
        contents: &Contents,
        batch: &MemberBatch,
        blocks: &[Block],
        broken: &mut Broken,
    ) -> Result<()> {
        let wanted: Vec<Wanted> = blocks.iter().filter_map(Block::wanted).collect();
        let mut counted = PageCounts::default();
        let mut read = 0;
        contents.packs().read(&wanted, &mut |number, bytes| {
            let (block, want) = (blocks[number], wanted[number]);
            let address = contents.packs().address(want.at)?;
            match bytes {
                Ok(bytes) => {
                    read += 1;
                    self.record_seen(address);
                    let numbers = batch.numbers_of(&block);
                    let tally = if let PageCheck::Delta { format, first } = batch.check {
                        pages::tally_changed(format, first, numbers, bytes)
                    } else {
                        pages::tally_of(&batch.check, block.at, &[bytes])
                    };
                    counted.verified += tally.pages.verified;
                    counted.unverifiable += tally.pages.unverifiable;
                    counted.corrupt += tally.pages.corrupt;
                    counted.zero += tally.pages.zero;
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    broken.add(batch.extent, &block, &error.with_causes());
                    let packs = self.packs_of(contents, &block)?;
                    let address = self.place_of(contents, address);
                    let mut bad = lock(&self.bad);
                    let named: Vec<PackName> =
                        packs.into_iter().filter(|pack| bad.has(pack)).collect();
                    let lost = if named.is_empty() { vec![address.pack] } else { named };
                    bad.culprits.extend(&lost);
                    broken.packs.extend(lost);
                    bad.entries.entry(address.pack).or_default().push(address.entry);
                }
            }
            Ok(())
        })?;
        let mut report = lock(&self.report);
        report.blocks += read;
        report.pages.verified += counted.verified;
        report.pages.unverifiable += counted.unverifiable;
        report.pages.corrupt += counted.corrupt;
        report.pages.zero += counted.zero;
        Ok(())
    }

    fn was_seen(&self, address: &EntryAddress) -> bool {
        let seen = lock(&self.seen);
        let bits =
            seen.get(&address.pack).and_then(|bits| bits.get(usize_of_u32(address.entry.0 / 64)));
        bits.is_some_and(|bits| bits >> (address.entry.0 % 64) & 1 == 1)
    }

    fn record_seen(&self, address: EntryAddress) {
        let mut seen = lock(&self.seen);
        // 8 KiB hold the bits of the largest pack.
        if !seen.contains_key(&address.pack) && seen.len() >= SEEN_BYTES_MAX / (8 << 10) {
            return;
        }
        let bits = seen.entry(address.pack).or_default();
        let word = usize_of_u32(address.entry.0 / 64);
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (address.entry.0 % 64);
    }
}

/// Tells of an error, unless it is the wish to stop.
fn keep_going(error: Error, report: impl FnOnce(String)) -> Result<()> {
    if error.kind() == ErrorKind::Cancelled {
        return Err(error);
    }
    report(error.with_causes());
    Ok(())
}

/// The state of a block, as far as it is known before it is read.
enum BlockState {
    Good,
    /// It is lost, with these packs.
    Lost(Vec<PackName>),
    /// Only reading it can show that.
    Doubtful,
    Nothing,
}

/// A snapshot that has been opened for its members to be checked.
struct Opened<'o> {
    stored: &'o StoredSnapshot,
    contents: &'o Contents,
    changed: &'o ChangedPages,
}

/// Blocks of one member.
struct MemberBatch {
    member: String,
    extent: Extent,
    check: PageCheck,
    blocks: Vec<Block>,
    /// For each block, which pages are in it, if it is of a `.delta` file.
    numbers: Vec<Vec<Option<PageNumber>>>,
    bytes: u64,
}

impl MemberBatch {
    fn push(&mut self, block: Block, numbers: Vec<Option<PageNumber>>) {
        if block.entry.storage != Storage::Zero {
            self.bytes += block.entry.length;
            self.blocks.push(block);
            self.numbers.push(numbers);
        }
    }

    fn numbers_of(&self, block: &Block) -> &[Option<PageNumber>] {
        let place = self.blocks.binary_search_by_key(&block.number, |block| block.number);
        place.ok().and_then(|place| self.numbers.get(place)).map_or(&[], Vec::as_slice)
    }
}

impl Batch for MemberBatch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}
