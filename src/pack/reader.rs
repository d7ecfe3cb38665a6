//! Reads blocks out of packs: by place, in batches, verified.
//!
//! A batch resolves its entries against the directories, sorts the frames that it needs, fetches
//! neighbours of one pack with one read, opens and decompresses each frame once, and hands every
//! block to the caller only after its hash was found right. What can't be had from its own pack is
//! looked for in the pack's twin and in the places that relocation records name; the hash decides.
//! The names of those records are listed when the first block is lacking. What a compaction moved
//! is planned like anything else.
//!
//! Memory: directories and frames that several batches need are kept in bounded caches; a batch
//! itself holds the frames of its own blocks, so its size is the caller's bound.

mod batch;
mod frames;
mod moved;
mod moves;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::crew::read;
use crate::base::crew::write;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::BASE_STEPS_MAX;
use crate::base::limits::DIRECTORY_BYTES_MAX;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::encode::DeltaDecoder;
use crate::encode::FrameDecoder;
use crate::encode::form;
use crate::format::directory::Directory;
use crate::format::directory::Forms;
use crate::format::directory::Frame;
use crate::format::directory::FrameKind;
use crate::format::directory::Slot;
use crate::format::form::BlockForm;
use crate::format::layout::Object;
use crate::format::pack_table::PackTable;
use crate::format::trailer::PREAMBLE_BYTES;
use crate::format::trailer::TRAILER_BYTES;
use crate::format::trailer::Trailer;
use crate::hash::BlockHasher;
use crate::pack::cache::Cache;
use crate::pack::reader::moves::Moves;
use crate::seal::ids::RunId;
use crate::seal::keys::Keyring;
use crate::seal::run::ClassSecret;
use crate::seal::run::RunRecord;
use crate::seal::run::SealedCopy;
use crate::seal::section;
use crate::seal::section::SectionHeader;
use crate::seal::section::SectionOpener;
use crate::seal::suite::Suite;
use crate::store::Store;
use crate::store::name::ObjectName;

pub use crate::pack::reader::batch::Reading;
pub use crate::pack::reader::frames::OpenedFrame;

/// Places of one block that are looked at, copies of copies included.
const COPIES_TRIED_MAX: usize = 32;
/// Decoded directories that are kept.
const DIRECTORY_CACHE_BYTES: usize = 12 << 20;
/// Opened frames of records, and frames of meta packs, that are kept.
const FRAME_CACHE_BYTES: usize = 12 << 20;

/// Frames of one pack that are at most this far apart are fetched with one read.
const GAP_BYTES_MAX: u32 = 32 << 10;

/// Takes the blocks of a batch: the number of the wanted one, and the block or why it can't be had.
pub type BlockSink<'s> = dyn FnMut(usize, Result<&[u8]>) -> Result<()> + 's;

/// Takes the blocks of a batch in runs: the numbers of the wanted ones and their bytes one after
/// the other, or the number of one and why it can't be had.
pub type RunSink<'s> = dyn FnMut(Range<usize>, Result<&[u8]>) -> Result<()> + 's;

/// A block that a batch shall read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Pack and entry of the block.
    pub at: Locator,
    /// Hash that the block must have.
    pub hash: BlockHash,
    /// Raw bytes it must have.
    pub length: u64,
}

/// An opened pack: its directory and the key to its frames.
#[derive(Debug)]
pub struct OpenPack {
    name: PackName,
    class: Class,
    object: ObjectName,
    directory: Directory,
    opener: SectionOpener,
    run: RunId,
}

impl OpenPack {
    /// Returns the run that wrote the pack.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Returns the directory of the pack: its frames and entries.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn damaged(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::damaged(format!("pack {}", self.name.short()), why)
    }
}

/// All packs of one repository as a lineage's table names them.
#[derive(Debug)]
pub struct Packs {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    hasher: BlockHasher,
    monitor: Arc<Monitor>,
    table: RwLock<PackTable>,
    opened: Mutex<Cache<ObjectName, OpenPack>>,
    frames: Mutex<Cache<(ObjectName, u32), Vec<u8>>>,
    secrets: Mutex<HashMap<(RunId, Class), Arc<ClassSecret>>>,
    moves: Moves,
    openers: Mutex<Vec<FrameOpener>>,
    unread: AtomicU64,
}

impl Packs {
    /// Creates a reader of the packs of `store` under these keys, with the table of one lineage.
    pub fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        hasher: BlockHasher,
        table: PackTable,
        monitor: Arc<Monitor>,
    ) -> Self {
        Self {
            store,
            keyring,
            hasher,
            monitor,
            table: RwLock::new(table),
            opened: Mutex::new(Cache::new(DIRECTORY_CACHE_BYTES)),
            frames: Mutex::new(Cache::new(FRAME_CACHE_BYTES)),
            secrets: Mutex::new(HashMap::new()),
            moves: Moves::default(),
            openers: Mutex::new(Vec::new()),
            unread: AtomicU64::new(0),
        }
    }

    /// Locks the pack table for reading.
    pub fn table(&self) -> RwLockReadGuard<'_, PackTable> {
        read(&self.table)
    }

    /// Locks the pack table, to append to it.
    pub fn table_mut(&self) -> RwLockWriteGuard<'_, PackTable> {
        write(&self.table)
    }

    /// Returns the block hasher of this repository.
    pub fn hasher(&self) -> &BlockHasher {
        &self.hasher
    }

    /// Tells whether bases can be read: a host with a write-only key opens no data pack.
    pub fn opens_data(&self) -> bool {
        self.keyring.opens_data()
    }

    /// Tells whether the pack of a place can be read without asking a server for each part of it.
    pub fn is_at_hand(&self, at: Locator) -> bool {
        let name = self.table().get(at.pack).map(|record| record.name);
        name.is_some_and(|name| self.store.is_at_hand(&Object::Pack(name).name()))
    }

    /// Returns the place that a locator stands for in the pack table.
    pub fn address(&self, at: Locator) -> Result<EntryAddress> {
        let table = self.table();
        let record = table.get(at.pack).ok_or_else(|| {
            let why = Malformed { what: "map", why: "names a pack that is not in the pack table" };
            Error::damaged("a map", why)
        })?;
        Ok(EntryAddress { pack: record.name, entry: at.entry })
    }

    /// Returns the indices of packs in the pack table; those that it lacks are left out.
    pub fn indices_of(&self, names: &[PackName]) -> Vec<PackIndex> {
        let table = self.table();
        names.iter().filter_map(|name| table.find(name)).collect()
    }

    /// Opens a pack, from its twin if need be.
    pub fn open(&self, name: &PackName) -> Result<Arc<OpenPack>> {
        let first = match self.open_object(name, Object::Pack(*name).name()) {
            Ok(pack) => return Ok(pack),
            Err(error) => error,
        };
        self.open_object(name, Object::Twin(*name).name()).map_err(|_| first)
    }

    fn open_object(&self, name: &PackName, object: ObjectName) -> Result<Arc<OpenPack>> {
        if let Some(pack) = lock(&self.opened).get(&object) {
            return Ok(pack);
        }
        let tail = self.fetch_tail(name, &object)?;
        let pack = Arc::new(self.open_tail(name, object.clone(), &tail)?);
        let memory = pack.directory.memory();
        lock(&self.opened).put(object, Arc::clone(&pack), memory);
        Ok(pack)
    }

    /// Reads the bytes from the start of the directory to the end of the object.
    fn fetch_tail(&self, name: &PackName, object: &ObjectName) -> Result<Bytes> {
        if let Some(record) = self.record_of(name) {
            // Of a pack of maps nearly everything is read, in step with the stream.
            if record.class == Class::Meta {
                self.store.will_read(object);
            }
            let from = record.bytes.saturating_sub(record.tail_bytes.into());
            return self.fetch(object, from, record.bytes);
        }
        // Packs that are found by name before there is a table hold the table, and other maps.
        self.store.will_read(object);
        let bytes =
            self.store.size(object).map_err(|e| e.named(format!("cannot read {object}")))?;
        let Some(bytes) = bytes else { return Err(missing(object)) };
        let trailer_from = bytes.saturating_sub(u64_of(TRAILER_BYTES));
        let trailer = decode_trailer(name, &self.fetch(object, trailer_from, bytes)?)?;
        let tail = trailer.tail_bytes();
        if tail > bytes || tail > u64_of(DIRECTORY_BYTES_MAX) || bytes > PACK_BYTES_ACCEPTED_MAX {
            let why = Malformed { what: "pack trailer", why: "its sizes contradict the object's" };
            return Err(Error::damaged(format!("pack {}", name.short()), why));
        }
        self.fetch(object, bytes - tail, bytes)
    }

    fn fetch(&self, object: &ObjectName, from: u64, to: u64) -> Result<Bytes> {
        let bytes = self
            .store
            .get_range(object, from..to)
            .map_err(|e| e.named(format!("cannot read {object}")))?;
        self.monitor.count(Counter::FetchedBytes, u64_of(bytes.len()));
        Ok(bytes)
    }

    fn open_tail(&self, name: &PackName, object: ObjectName, tail: &[u8]) -> Result<OpenPack> {
        let damaged = |why: Malformed| Error::damaged(format!("pack {}", name.short()), why);
        let trailer = decode_trailer(name, tail)?;
        if trailer.tail_bytes() != u64_of(tail.len()) {
            return Err(damaged(Malformed {
                what: "pack trailer",
                why: "its sizes contradict the pack table",
            }));
        }
        let (sealed, rest) = tail.split_at(usize_of_u32(trailer.directory_bytes));
        let copies = &rest[..usize_of_u32(trailer.copies_bytes)];
        let secret = self.secret(name, &trailer, copies)?;
        let suite = Suite::from_byte(trailer.suite)
            .map_err(|e| Error::damaged(format!("pack {}", name.short()), e))?;
        let header = SectionHeader {
            suite,
            class: trailer.class,
            salt: trailer.salt,
            commitment: trailer.commitment,
        };
        let opener = SectionOpener::new(&self.keyring, &header, &secret)
            .map_err(|e| Error::damaged(format!("pack {}", name.short()), e))?;
        let text = open_directory(name, &opener, &trailer, sealed)?;
        let directory = Directory::decode(&text).map_err(damaged)?;
        if directory.frames_bytes() != u64::from(trailer.frames_bytes) {
            return Err(damaged(Malformed {
                what: "directory",
                why: "its frames contradict the trailer",
            }));
        }
        let run = RunId::new(trailer.run);
        Ok(OpenPack { name: *name, class: trailer.class, object, directory, opener, run })
    }

    /// Returns the secret of a section's run: remembered, from the pack's own copies, or from
    /// `runs/`.
    fn secret(
        &self,
        name: &PackName,
        trailer: &Trailer,
        copies: &[u8],
    ) -> Result<Arc<ClassSecret>> {
        let run = RunId::new(trailer.run);
        if let Some(secret) = lock(&self.secrets).get(&(run, trailer.class)) {
            return Ok(Arc::clone(secret));
        }
        let copies = decode_copies(copies);
        let secret = match self.keyring.open_any(run, trailer.class, &copies) {
            Ok(secret) => secret,
            Err(_) => self
                .secret_of_run(run, trailer.class)
                .map_err(|e| Error::damaged(format!("pack {}", name.short()), e))?,
        };
        let secret = Arc::new(secret);
        lock(&self.secrets).insert((run, trailer.class), Arc::clone(&secret));
        Ok(secret)
    }

    fn secret_of_run(&self, run: RunId, class: Class) -> Result<ClassSecret> {
        let object = Object::Run(*run.bytes()).name();
        let bytes = self
            .store
            .get(&object, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| e.named(format!("cannot read {object}")))?;
        let record = RunRecord::decode(&bytes).map_err(|e| Error::damaged(&object, e))?;
        self.keyring.open_run(&record, class).map_err(|e| Error::damaged(&object, e))
    }

    /// Returns one frame, opened and decompressed.
    fn frame(
        &self,
        pack: &OpenPack,
        number: u32,
        opener: &mut FrameOpener,
    ) -> Result<Arc<Vec<u8>>> {
        let key = (pack.object.clone(), number);
        if let Some(frame) = lock(&self.frames).get(&key) {
            return Ok(frame);
        }
        let frame = pack.directory.frames[usize_of_u32(number)];
        let from = u64_of(PREAMBLE_BYTES) + u64::from(frame.at);
        let sealed = self.fetch(&pack.object, from, from + u64::from(frame.stored));
        let sealed = sealed.inspect_err(|error| self.forget_if_gone(&pack.object, error))?;
        let raw = Arc::new(opener.open(pack, number, &sealed, &|_| true)?.to_vec());
        if is_kept(pack, &frame) {
            self.keep(key, &raw);
        }
        Ok(raw)
    }

    fn keep(&self, key: (ObjectName, u32), raw: &Arc<Vec<u8>>) {
        lock(&self.frames).put(key, Arc::clone(raw), raw.len() + 128);
    }

    /// Reads one block, through its chain of bases and from a copy if need be.
    pub fn block(&self, at: Locator, hash: BlockHash) -> Result<Vec<u8>> {
        self.block_at(self.address(at)?, hash).map(|chain| chain.bytes)
    }

    /// Reads one block by the name of its pack, with the whole block at the end of its chain.
    pub fn block_at(&self, address: EntryAddress, hash: BlockHash) -> Result<Chain> {
        // What is known to be gone is asked for last.
        let is_moved = self.is_known_compacted(&address.pack);
        let mut failed = None;
        if !is_moved {
            match self.block_from(address, hash) {
                Ok(chain) => return Ok(chain),
                Err(error) => failed = Some(error),
            }
        }
        // A copy may have been lost in its turn, and healed.
        let mut tried = vec![address];
        let mut next = 0;
        while let Some(lost) = tried.get(next).copied() {
            next += 1;
            for other in self.copies_of(lost) {
                if tried.len() == COPIES_TRIED_MAX || tried.contains(&other) {
                    continue;
                }
                tried.push(other);
                if self.is_known_compacted(&other.pack) {
                    continue;
                }
                match self.block_from(other, hash) {
                    Ok(chain) => return Ok(chain),
                    Err(error) => _ = failed.get_or_insert(error),
                }
            }
        }
        if is_moved && let Ok(chain) = self.block_from(address, hash) {
            return Ok(chain);
        }
        self.unread.fetch_add(1, Ordering::Relaxed);
        Err(failed.unwrap_or_else(|| missing(&Object::Pack(address.pack).name())))
    }

    /// Returns how often a single block could not be had from any copy.
    pub fn blocks_unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    fn block_from(&self, address: EntryAddress, hash: BlockHash) -> Result<Chain> {
        let first = match self.block_from_object(address, Object::Pack(address.pack).name(), hash) {
            Ok(chain) => return Ok(chain),
            Err(error) => error,
        };
        self.block_from_object(address, Object::Twin(address.pack).name(), hash).map_err(|_| first)
    }

    fn block_from_object(
        &self,
        address: EntryAddress,
        object: ObjectName,
        hash: BlockHash,
    ) -> Result<Chain> {
        self.with_opener(|opener| self.follow(address, object, hash, opener))
    }

    fn follow(
        &self,
        address: EntryAddress,
        object: ObjectName,
        hash: BlockHash,
        opener: &mut FrameOpener,
    ) -> Result<Chain> {
        let mut deltas = Vec::new();
        let mut address = address;
        // The place of a base by which a delta names it, before it was moved.
        let mut named = address;
        let mut packs = vec![address.pack];
        let mut here = self.open_object(&address.pack, object);
        loop {
            let link = here.and_then(|pack| self.link(pack, address, opener));
            let Link { pack, slot, frame } = match link {
                Ok(link) => link,
                Err(error) => {
                    // A base that is lost may have been stored again, whole.
                    let copy = || self.relocated(address).or_else(|| self.relocated(named));
                    let copy = (!deltas.is_empty()).then(copy).flatten();
                    let (at, bytes) = copy.ok_or(error)?;
                    packs.push(at.pack);
                    let bytes = self.unwound(&self.open_at(at)?.1, bytes, &deltas, hash)?;
                    return Ok(Chain { bytes, whole: at, packs });
                }
            };
            let record = slice(&frame, slot.at, slot.record).ok_or_else(|| out_of_frame(&pack))?;
            let mut bases = slot.bases().map(|base| pack.directory.address(base));
            let Some(base) = bases.next() else {
                let bytes = self.unwound(&pack, record.to_vec(), &deltas, hash)?;
                return Ok(Chain { bytes, whole: address, packs });
            };
            if deltas.len() == BASE_STEPS_MAX {
                return Err(pack.damaged("a chain of deltas is too long"));
            }
            let second = bases.next().map(|second| self.second_base(second, opener)).transpose()?;
            let (form, length) = (slot.form, usize_of_u32(slot.length));
            deltas.push(Step { record: record.to_vec(), form, length, second });
            // By the name that the delta has for it: what is needed is recorded with that.
            if !packs.contains(&base.pack) {
                packs.push(base.pack);
            }
            named = base;
            address = base;
            here = self.open_at(base).map(|(at, pack)| {
                address = at;
                pack
            });
        }
    }

    /// Opens the frame of an entry, that of the twin if the pack has one and its frame is bad.
    fn link(
        &self,
        pack: Arc<OpenPack>,
        address: EntryAddress,
        opener: &mut FrameOpener,
    ) -> Result<Link> {
        let slot = find(&pack, address.entry)?;
        let error = match self.frame(&pack, slot.frame, opener) {
            Ok(frame) => return Ok(Link { pack, slot, frame }),
            Err(error) => error,
        };
        let twin = Object::Twin(address.pack).name();
        if pack.class != Class::Meta || pack.object == twin {
            return Err(error);
        }
        let pack = self.open_object(&address.pack, twin)?;
        let slot = find(&pack, address.entry)?;
        let frame = self.frame(&pack, slot.frame, opener)?;
        Ok(Link { pack, slot, frame })
    }

    /// Applies deltas to the whole block that they rest on, and checks the result.
    fn unwound(
        &self,
        pack: &OpenPack,
        whole: Vec<u8>,
        deltas: &[Step],
        hash: BlockHash,
    ) -> Result<Vec<u8>> {
        let bytes = unwind(pack, whole, deltas)?;
        if self.hasher.hash(&bytes) != hash {
            return Err(pack.damaged("a block does not match its hash"));
        }
        Ok(bytes)
    }

    /// Returns a whole block that a relocation record names for an entry, and its place.
    fn relocated(&self, address: EntryAddress) -> Option<(EntryAddress, Vec<u8>)> {
        let mut copies = self.copies_of(address).into_iter().take(COPIES_TRIED_MAX);
        copies.find_map(|at| Some((at, self.whole_block(at).ok()?)))
    }

    /// Reads the second base of a delta, which is always whole. It is unverified: what is decoded
    /// from it is verified by its own hash.
    fn second_base(&self, at: EntryAddress, opener: &mut FrameOpener) -> Result<Vec<u8>> {
        let error = match self.second_base_from(at, opener) {
            Ok(block) => return Ok(block),
            Err(error) => error,
        };
        self.relocated(at).map(|(_, block)| block).ok_or(error)
    }

    fn second_base_from(&self, at: EntryAddress, opener: &mut FrameOpener) -> Result<Vec<u8>> {
        let (at, pack) = self.open_at(at)?;
        let slot = find(&pack, at.entry)?;
        if !slot.is_whole() {
            return Err(pack.damaged("a second base is no whole block"));
        }
        let frame = self.frame(&pack, slot.frame, opener)?;
        let block = slice(&frame, slot.at, slot.record).ok_or_else(|| out_of_frame(&pack))?;
        Ok(block.to_vec())
    }

    /// Lends an opener; as many are kept as were ever in use at a time.
    fn with_opener<T>(&self, use_it: impl FnOnce(&mut FrameOpener) -> T) -> T {
        let unused = lock(&self.openers).pop();
        let mut opener = unused.unwrap_or_else(FrameOpener::new);
        let done = use_it(&mut opener);
        lock(&self.openers).push(opener);
        done
    }
}

/// A block and where its chain ends.
#[derive(Debug)]
pub struct Chain {
    /// Bytes of the block, verified against its hash.
    pub bytes: Vec<u8>,
    /// The whole block that it rests on in the end; its own place if it is whole.
    pub whole: EntryAddress,
    /// The packs that hold the links of its chain, each once.
    pub packs: Vec<PackName>,
}

fn slice(bytes: &[u8], at: u32, length: u32) -> Option<&[u8]> {
    bytes.get(usize_of_u32(at)..usize_of_u32(at).checked_add(usize_of_u32(length))?)
}

fn find(pack: &OpenPack, entry: EntryNumber) -> Result<Slot> {
    let found = pack.directory.slot(entry);
    let (slot, _) = found.ok_or_else(|| pack.damaged("an entry is not in its directory"))?;
    Ok(*slot)
}

/// Tells whether a frame is kept after it was opened, because several batches need it.
fn is_kept(pack: &OpenPack, frame: &Frame) -> bool {
    frame.kind == FrameKind::Records || pack.class == Class::Meta
}

fn out_of_frame(pack: &OpenPack) -> Error {
    pack.damaged("an entry lies outside its frame")
}

/// An entry whose frame is open.
struct Link {
    pack: Arc<OpenPack>,
    slot: Slot,
    frame: Arc<Vec<u8>>,
}

/// A delta on the way to the whole block that it rests on.
struct Step {
    record: Vec<u8>,
    form: BlockForm,
    length: usize,
    second: Option<Vec<u8>>,
}

/// Applies deltas, innermost last, to the whole block that they rest on.
fn unwind(pack: &OpenPack, whole: Vec<u8>, deltas: &[Step]) -> Result<Vec<u8>> {
    deltas.iter().rev().try_fold(whole, |base, step| {
        let damaged = |e| pack.damaged(e);
        let prefix = form::prefix(step.form, &base, step.second.as_deref()).map_err(damaged)?;
        let mut decoder = DeltaDecoder::new();
        let made = decoder.decode(&step.record, &prefix, step.length, step.form);
        Ok(made.map_err(damaged)?.to_vec())
    })
}

fn open_directory(
    name: &PackName,
    opener: &SectionOpener,
    trailer: &Trailer,
    sealed: &[u8],
) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    opener
        .open_into(section::FrameKind::Directory, trailer.frames, sealed, &mut text)
        .map_err(|e| Error::damaged(format!("directory of pack {}", name.short()), e))?;
    Ok(text)
}

/// Tells of each block of a frame whether its own bytes are wanted.
type Wants<'w> = dyn Fn(&Slot) -> bool + 'w;

/// The memory in which a thread opens frames, one after the other.
#[derive(Debug)]
struct FrameOpener {
    text: Vec<u8>,
    decoder: FrameDecoder,
}

impl FrameOpener {
    fn new() -> Self {
        Self { text: Vec::new(), decoder: FrameDecoder::new() }
    }

    /// Opens a frame and decompresses it; of its blocks in normal form, those that are wanted get
    /// their own bytes again.
    fn open(
        &mut self,
        pack: &OpenPack,
        number: u32,
        sealed: &[u8],
        wanted: &Wants<'_>,
    ) -> Result<&[u8]> {
        let frame = pack.directory.frames[usize_of_u32(number)];
        pack.opener
            .open_into(section::FrameKind::Frame, number, sealed, &mut self.text)
            .map_err(|e| pack.damaged(e))?;
        let raw = usize_of_u32(frame.raw);
        let decoded = match (frame.kind, frame.forms) {
            (FrameKind::Whole, Forms::Various) => {
                let slots = pack.directory.slots_of(number);
                // Others stay in normal form, which costs nothing.
                let form = |slot: &Slot| if wanted(slot) { slot.form } else { BlockForm::PLAIN };
                let blocks = slots.map(|slot| (usize_of_u32(slot.record), form(slot)));
                self.decoder.decode_forms(&self.text, raw, blocks)
            }
            (FrameKind::Whole | FrameKind::Records, _) => {
                self.decoder.decode(frame.codec, &self.text, raw)
            }
        };
        decoded.map_err(|e| pack.damaged(e))
    }
}

fn decode_trailer(name: &PackName, tail: &[u8]) -> Result<Trailer> {
    let damaged = |why: Malformed| Error::damaged(format!("pack {}", name.short()), why);
    let trailer = tail
        .last_chunk::<TRAILER_BYTES>()
        .ok_or(damaged(Malformed { what: "pack trailer", why: "ends early" }))?;
    Trailer::decode(trailer).map_err(damaged)
}

fn decode_copies(mut bytes: &[u8]) -> Vec<SealedCopy> {
    let mut copies = Vec::new();
    while !bytes.is_empty() {
        // A damaged copy ends the list: `runs/` is asked next.
        let Ok(copy) = SealedCopy::decode(&mut bytes) else { break };
        copies.push(copy);
    }
    copies
}

fn missing(object: &ObjectName) -> Error {
    Error::new(ErrorKind::Missing, format!("{object} is not there"))
}
