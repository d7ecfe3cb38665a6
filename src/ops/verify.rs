//! Verifies a repository: from names and sizes to decoding every block and checking every page
//! again.
//!
//! Every depth includes those before it. What is wrong is told in terms of snapshot, file and
//! blocks, because that is what an operator has lost; and it is recorded under `damage/`, so that
//! the next backup stores those blocks again.
//!
//! A block that several snapshots share is read once: entries that were found good are remembered,
//! one bit each, as long as that fits into 32 MiB.

mod checks;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::buffers::ReadBuffers;
use crate::base::crew::Allowance;
use crate::base::crew::lock;
use crate::base::crew::unlocked;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::Storage;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::index;
use crate::base::num::wide;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::lists::Damage;
use crate::format::pack_table::PackRecord;
use crate::format::record::MemberRecord;
use crate::format::record::PageCounts;
use crate::format::snapshot::LOG;
use crate::innodb::PageNumber;
use crate::pack::reader::Place;
use crate::pack::reader::Wanted;
use crate::pipeline::healing::seal_record;
use crate::pipeline::pages;
use crate::pipeline::segment::PageCheck;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;
use crate::repo::lineage::TableNodes;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

use checks::ChangedPages;
use checks::Numbering;
use checks::page_check;

use super::chain;
use super::windows;
use super::windows::Window;

/// Bytes of whole packs that are held at once, to be hashed: for each worker as much as its windows
/// would take, and no more than this.
const HASHED_BYTES_MAX: u64 = 64 << 20;
const HASHED_BYTES_A_WORKER: u64 = 16 << 20;
/// Memory for remembering which entries were found good.
const SEEN_BYTES_MAX: usize = 32 << 20;
/// Findings that are described; more are only counted in the last of them.
const FINDINGS_MAX: usize = 1000;
/// Runs of blocks that one finding lists.
const RUNS_MAX: usize = 64;

/// How deep a verification goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    /// Names and sizes of objects.
    Objects,
    /// And the hash of every object.
    Stored,
    /// And every block is decoded and hashed.
    Blocks,
    /// And every page's checksum is computed again.
    Pages,
}

/// What a user asks of a verification.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// How deep it goes.
    pub depth: Depth,
    /// Which snapshots; empty for all.
    pub snapshots: Vec<StoredSnapshot>,
    /// Worker threads.
    pub workers: u32,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The snapshot that is affected.
    pub snapshot: Option<SnapshotId>,
    /// The file in it.
    pub member: Option<String>,
    /// Runs of blocks of that file: number of the first, and how many.
    pub pages: Vec<(u64, u64)>,
    /// What is wrong.
    pub what: String,
}

/// What came of a verification.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Blocks decoded and hashed.
    pub blocks: u64,
    /// Pages checked again.
    pub pages: PageCounts,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is worth knowing, and no damage.
    pub notes: Vec<Finding>,
    /// Damage records written.
    pub recorded: u64,
}

/// What is known to be bad so far.
#[derive(Debug, Default)]
struct Bad {
    packs: HashSet<PackName>,
    /// Packs that are not there, told only if something is lost with them: it may have been healed.
    missing: Vec<(PackName, Finding)>,
    /// Packs with which something is lost.
    culprits: HashSet<PackName>,
    entries: BTreeMap<PackName, Vec<EntryNumber>>,
}

struct Verification<'v> {
    repository: &'v Repository,
    options: &'v VerifyOptions,
    monitor: &'v Arc<Monitor>,
    report: Mutex<VerifyReport>,
    bad: Mutex<Bad>,
    /// Bits of entries found good, by pack.
    seen: Mutex<HashMap<PackName, Vec<u64>>>,
}

/// Verifies snapshots and everything that they need.
pub fn verify(
    repository: &Repository,
    options: &VerifyOptions,
    monitor: &Arc<Monitor>,
) -> Result<VerifyReport> {
    if options.depth >= Depth::Blocks {
        repository.require_data()?;
    }
    let verification = Verification {
        repository,
        options,
        monitor,
        report: Mutex::default(),
        bad: Mutex::default(),
        seen: Mutex::default(),
    };
    let snapshots = verification.snapshots()?;
    verification.check_packs(&snapshots)?;
    let mut opener = Opener::new(repository, monitor);
    for stored in &snapshots {
        verification.check_snapshot(&mut opener, stored)?;
    }
    verification.record_damage()?;
    Ok(unlocked(verification.report))
}

impl Verification<'_> {
    fn find(&self, finding: Finding) {
        let mut report = lock(&self.report);
        if report.findings.len() < FINDINGS_MAX {
            report.findings.push(finding);
        } else if let Some(last) = report.findings.last_mut() {
            "and more findings like these".clone_into(&mut last.what);
        }
    }

    fn find_about(&self, stored: &StoredSnapshot, what: String) {
        let snapshot = Some(stored.id());
        self.find(Finding { snapshot, member: None, pages: Vec::new(), what });
    }

    /// The snapshots to verify, newest first: what is shared is then told with the newest.
    fn snapshots(&self) -> Result<Vec<StoredSnapshot>> {
        let mut snapshots = self.options.snapshots.clone();
        if snapshots.is_empty() {
            let listing = self.repository.snapshots()?;
            for (name, error) in listing.damaged {
                let (snapshot, what) = (Some(name.id), error.with_causes());
                self.find(Finding { snapshot, member: None, pages: Vec::new(), what });
            }
            for (name, error) in listing.overtaken {
                let what =
                    format!("{}; a later snapshot of its source is there", error.with_causes());
                let snapshot = Some(name.id);
                let note = Finding { snapshot, member: None, pages: Vec::new(), what };
                lock(&self.report).notes.push(note);
            }
            snapshots = listing.snapshots;
        }
        snapshots.reverse();
        lock(&self.report).snapshots = wide(snapshots.len());
        Ok(snapshots)
    }

    /// Every pack that the snapshots name is there, has its size and (from `Stored` on) its hash.
    fn check_packs(&self, snapshots: &[StoredSnapshot]) -> Result<()> {
        let mut packs: BTreeMap<PackName, PackRecord> = BTreeMap::new();
        let mut nodes = TableNodes::new(self.repository, self.monitor);
        for stored in snapshots {
            let mut add = |record: &PackRecord| _ = packs.insert(record.name, *record);
            if let Err(error) = nodes.new_records(&stored.snapshot.packs, &mut add) {
                self.find_about(stored, error.with_causes());
            }
        }
        let listed = self.list_packs()?;
        if !listed.is_empty() && snapshots.is_empty() && lock(&self.report).findings.is_empty() {
            let count = listed.len();
            let what = format!(
                "there are {count} packs and no snapshot: no backup has ended yet, or the \
                 snapshots are lost or hidden"
            );
            self.find(Finding { snapshot: None, member: None, pages: Vec::new(), what });
        }
        let expected = packs.values().map(|record| record.bytes).sum();
        if self.options.depth >= Depth::Stored {
            self.monitor.count(Counter::ExpectedBytes, expected);
        }
        let plan = |sender: &mut windows::Sender<'_, PackWindow>| {
            packs.values().try_for_each(|record| {
                sender.send(PackWindow { record: *record, objects: objects_of(record) })
            })
        };
        let affordable = HASHED_BYTES_A_WORKER * u64::from(self.options.workers);
        let allowance = Allowance::new(affordable.min(HASHED_BYTES_MAX));
        let work = |window: PackWindow| self.check_pack(&window, &listed, &allowance);
        windows::run((self.options.workers, self.monitor), plan, work, |()| Ok(()))
    }

    fn list_packs(&self) -> Result<HashMap<ObjectName, u64>> {
        let mut listed = HashMap::new();
        for folder in [Folder::Packs, Folder::Twins] {
            self.repository
                .store()
                .list(folder.prefix(), &mut |meta| {
                    listed.insert(meta.name, meta.size);
                })
                .map_err(|e| crate::repo::store_error("cannot list the packs", e))?;
        }
        Ok(listed)
    }

    fn check_pack(
        &self,
        window: &PackWindow,
        listed: &HashMap<ObjectName, u64>,
        allowance: &Allowance,
    ) -> Result<()> {
        let record = &window.record;
        let mut good = 0;
        for object in &window.objects {
            self.monitor.check()?;
            // A listing may lag behind: what it lacks is asked for by name.
            let found = match listed.get(object) {
                Some(bytes) => Ok(Some(*bytes)),
                None => self.repository.store().size(object),
            };
            let is_there = !matches!(found, Ok(None));
            let problem = match found {
                Err(error) => Some(format!("can't be looked at: {error}")),
                Ok(None) => Some("is not there".to_owned()),
                Ok(Some(bytes)) if bytes != record.bytes => {
                    Some(format!("has {bytes} bytes, should have {}", record.bytes))
                }
                Ok(Some(_)) if self.options.depth >= Depth::Stored => {
                    let _held =
                        allowance.hold(ReadBuffers::kept_for(record.bytes), self.monitor)?;
                    self.check_hash(record, object)
                }
                Ok(Some(_)) => None,
            };
            let mut report = lock(&self.report);
            report.objects += 1;
            report.bytes += record.bytes;
            drop(report);
            match problem {
                None => good += 1,
                Some(problem) => {
                    let what = format!("{object} {problem}");
                    let finding = Finding { snapshot: None, member: None, pages: Vec::new(), what };
                    if record.class == Class::Data && !is_there {
                        lock(&self.bad).missing.push((record.name, finding));
                    } else {
                        self.find(finding);
                    }
                }
            }
        }
        if good == 0 {
            lock(&self.bad).packs.insert(record.name);
        }
        Ok(())
    }

    /// What is wrong with the bytes of an object.
    fn check_hash(&self, record: &PackRecord, object: &ObjectName) -> Option<String> {
        let bytes = match self.repository.store().get(object, PACK_BYTES_ACCEPTED_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return Some(format!("can't be read: {error}")),
        };
        self.monitor.count(Counter::StreamBytes, wide(bytes.len()));
        let right = *blake3::hash(&bytes).as_bytes() == record.name.0;
        (!right).then(|| "does not match its name: its bytes have changed".to_owned())
    }

    /// An increment can only be restored with everything that it builds on.
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
        self.check_chain(stored)?;
        let contents = match opener.open(stored) {
            Ok(contents) => contents,
            Err(error) => {
                self.find_about(stored, error.with_causes());
                return Ok(());
            }
        };
        if let Err(error) = contents.read_inner("script", &mut |_| self.monitor.check()) {
            keep_going(error, |what| self.find_about(stored, what))?;
        }
        if matches!(self.options.depth, Depth::Blocks | Depth::Pages)
            && let Err(error) = contents.read_inner(LOG, &mut |_| self.monitor.check())
        {
            keep_going(error, |what| self.find_about(stored, format!("its log: {what}")))?;
        }
        let changed = match self.options.depth {
            Depth::Pages => ChangedPages::of(self.repository, stored, self.monitor),
            Depth::Objects | Depth::Stored | Depth::Blocks => ChangedPages::default(),
        };
        let mut cursor = contents.table().cursor();
        let plan = |sender: &mut windows::Sender<'_, MemberWindow>| loop {
            let record = match cursor.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => {
                    return keep_going(error, |what| self.find_about(stored, what));
                }
            };
            self.plan_member((&contents, &changed), stored, record, sender)?;
        };
        let work = |window: MemberWindow| self.check_window(&contents, &window);
        let mut broken: BTreeMap<String, Broken> = BTreeMap::new();
        windows::run(
            (self.options.workers, self.monitor),
            plan,
            work,
            |found: Option<(String, Broken)>| {
                if let Some((member, found)) = found {
                    broken.entry(member).or_default().merge(found);
                }
                Ok(())
            },
        )?;
        for (member, Broken { runs, what }) in broken {
            let snapshot = Some(stored.id());
            self.find(Finding { snapshot, member: Some(member), pages: runs, what });
        }
        Ok(())
    }

    fn plan_member(
        &self,
        (contents, changed): (&Contents, &ChangedPages),
        stored: &StoredSnapshot,
        record: MemberRecord,
        sender: &mut windows::Sender<'_, MemberWindow>,
    ) -> Result<()> {
        let member = record.key.display();
        let check = match self.options.depth {
            Depth::Pages => page_check(contents, changed, &record)?,
            Depth::Objects | Depth::Stored | Depth::Blocks => PageCheck::None,
        };
        let mut numbering = Numbering::of(&check);
        let empty = || MemberWindow {
            member: member.clone(),
            check,
            blocks: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
        };
        let mut window = empty();
        let mut entries = contents.entries(record);
        loop {
            self.monitor.check()?;
            match entries.next() {
                Ok(Some(block)) => {
                    let numbers = numbering.as_mut().map(|of| of.next(contents, &block));
                    window.push(block, numbers.transpose()?.unwrap_or_default());
                }
                Ok(None) => break,
                Err(error) => {
                    keep_going(error, |what| {
                        let snapshot = Some(stored.id());
                        let member = Some(member.clone());
                        self.find(Finding { snapshot, member, pages: Vec::new(), what });
                    })?;
                    break;
                }
            }
            if window.bytes >= windows::WINDOW_BYTES {
                sender.send(std::mem::replace(&mut window, empty()))?;
            }
        }
        if window.blocks.is_empty() { Ok(()) } else { sender.send(window) }
    }

    /// Checks blocks of a member; what is wrong with them.
    fn check_window(
        &self,
        contents: &Contents,
        window: &MemberWindow,
    ) -> Result<Option<(String, Broken)>> {
        let mut broken = Broken::default();
        let mut left = Vec::new();
        for block in &window.blocks {
            match self.known(contents, block)? {
                Known::Good => {}
                Known::Bad => broken.add(block.number, "is in a pack that is missing or damaged"),
                Known::Nothing => left.push(*block),
            }
        }
        if self.options.depth >= Depth::Blocks && !left.is_empty() {
            self.read_blocks(contents, window, &left, &mut broken)?;
        }
        Ok((!broken.runs.is_empty()).then(|| (window.member.clone(), broken)))
    }

    /// What can be said of a block without reading it.
    fn known(&self, contents: &Contents, block: &Block) -> Result<Known> {
        let Some(at) = block.entry.storage.locator() else { return Ok(Known::Good) };
        let place = contents.packs().place(at)?;
        let base = match block.entry.storage {
            Storage::Delta { base, .. } => Some(contents.packs().place(base)?),
            Storage::Zero | Storage::Whole(_) => None,
        };
        let bad = lock(&self.bad);
        let lost = |place: &Place| bad.packs.contains(&place.pack);
        if lost(&place) || base.as_ref().is_some_and(lost) {
            drop(bad);
            // A healing copy makes it good again, which only reading can tell.
            if !contents.packs().copies_of(place).is_empty() {
                return Ok(Known::Nothing);
            }
            let packs = [Some(place), base].into_iter().flatten().map(|place| place.pack);
            lock(&self.bad).culprits.extend(packs);
            return Ok(Known::Bad);
        }
        drop(bad);
        Ok(if self.was_seen(&place) { Known::Good } else { Known::Nothing })
    }

    fn read_blocks(
        &self,
        contents: &Contents,
        window: &MemberWindow,
        blocks: &[Block],
        broken: &mut Broken,
    ) -> Result<()> {
        let wanted: Vec<Wanted> = blocks.iter().filter_map(Block::wanted).collect();
        let mut counted = PageCounts::default();
        let mut read = 0;
        contents.packs().read(&wanted, &mut |number, bytes| {
            let (block, want) = (blocks[number], wanted[number]);
            let place = contents.packs().place(want.at)?;
            match bytes {
                Ok(bytes) => {
                    read += 1;
                    self.note_seen(place);
                    let numbers = window.numbers_of(&block);
                    let tally = if let PageCheck::Delta { format, first } = window.check {
                        pages::tally_changed((format, first), numbers, bytes)
                    } else {
                        pages::tally_of(&window.check, block.at, &[bytes])
                    };
                    counted.verified += tally.pages.verified;
                    counted.unverifiable += tally.pages.unverifiable;
                    counted.corrupt += tally.pages.corrupt;
                    counted.zero += tally.pages.zero;
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    broken.add(block.number, &error.with_causes());
                    let mut bad = lock(&self.bad);
                    bad.culprits.insert(place.pack);
                    bad.entries.entry(place.pack).or_default().push(place.entry);
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

    fn was_seen(&self, place: &Place) -> bool {
        let seen = lock(&self.seen);
        let bits = seen.get(&place.pack).and_then(|bits| bits.get(index(place.entry.0 / 64)));
        bits.is_some_and(|bits| bits >> (place.entry.0 % 64) & 1 == 1)
    }

    fn note_seen(&self, place: Place) {
        let mut seen = lock(&self.seen);
        // 8 KiB hold the bits of the largest pack.
        if !seen.contains_key(&place.pack) && seen.len() >= SEEN_BYTES_MAX / (8 << 10) {
            return;
        }
        let bits = seen.entry(place.pack).or_default();
        let word = index(place.entry.0 / 64);
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (place.entry.0 % 64);
    }

    /// Tells later runs what must be stored again.
    fn record_damage(&self) -> Result<()> {
        let bad = std::mem::take(&mut *lock(&self.bad));
        for (name, finding) in bad.missing {
            if bad.culprits.contains(&name) {
                self.find(finding);
            }
        }
        let listed = self.list_packs()?;
        // A pack that is not there needs no record: every run lists the packs.
        let present = |name: &&PackName| listed.contains_key(&Object::Pack(**name).name());
        let whole = bad.packs.iter().filter(present).map(|name| (*name, Damage::Pack));
        let parts = bad.entries.into_iter().map(|(name, mut entries)| {
            entries.sort_unstable();
            entries.dedup();
            (name, Damage::Entries(entries))
        });
        let mut recorded = 0;
        for (name, damage) in whole.chain(parts) {
            let text = damage.encode();
            let record = seal_record(
                self.repository.keyring(),
                ObjectKind::Damage,
                (&name, &text),
                &**self.repository.entropy(),
            )?;
            let (object, bytes) = record.named(|hash| Object::Damage { pack: name, hash });
            self.repository
                .store()
                .put(&object, &[bytes])
                .map_err(|e| crate::repo::store_error(format!("cannot store {object}"), e))?;
            recorded += 1;
        }
        lock(&self.report).recorded = recorded;
        Ok(())
    }
}

/// Tells of an error, unless it is the wish to stop.
fn keep_going(error: Error, tell: impl FnOnce(String)) -> Result<()> {
    if error.kind() == ErrorKind::Cancelled {
        return Err(error);
    }
    tell(error.with_causes());
    Ok(())
}

/// What is known of a block before it is read.
enum Known {
    Good,
    Bad,
    Nothing,
}

/// The objects that hold a pack.
fn objects_of(record: &PackRecord) -> Vec<ObjectName> {
    match record.class {
        Class::Data => vec![Object::Pack(record.name).name()],
        Class::Meta => vec![Object::Pack(record.name).name(), Object::Twin(record.name).name()],
    }
}

struct PackWindow {
    record: PackRecord,
    objects: Vec<ObjectName>,
}

impl Window for PackWindow {
    fn weight(&self) -> u64 {
        self.record.bytes
    }
}

/// Blocks of one member.
struct MemberWindow {
    member: String,
    check: PageCheck,
    blocks: Vec<Block>,
    /// For each of them, which pages are in it, if it is of a `.delta` file.
    numbers: Vec<Vec<Option<PageNumber>>>,
    bytes: u64,
}

impl MemberWindow {
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

impl Window for MemberWindow {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

/// Blocks of a member that are bad, as runs, and what is wrong with the first.
#[derive(Debug, Default)]
struct Broken {
    runs: Vec<(u64, u64)>,
    what: String,
}

impl Broken {
    fn add(&mut self, number: u64, what: &str) {
        if self.runs.is_empty() {
            what.clone_into(&mut self.what);
        }
        self.add_run(number, 1);
    }

    fn add_run(&mut self, first: u64, count: u64) {
        if let Some((before, length)) = self.runs.last_mut()
            && *before + *length == first
        {
            *length += count;
        } else if self.runs.len() < RUNS_MAX {
            self.runs.push((first, count));
        }
    }

    fn merge(&mut self, other: Broken) {
        if self.runs.is_empty() {
            self.what.clone_from(&other.what);
        }
        for (first, count) in other.runs {
            self.add_run(first, count);
        }
    }
}
