//! The one place where a run adds blocks to the repository: gives them locators, fills packs, sends
//! them off.
//!
//! There is one appender in a run, on one thread: what it is given in stream order lies in that
//! order in the packs, so that a restore reads forward. One pack of each class is open.
//!
//! Invariants:
//! - A locator that was given out belongs to a pack of this run's table.
//! - After [`Appender::flush`] everything that was added is durable.

use std::sync::Arc;

use crate::base::buffers::Buffer;
use crate::base::buffers::Buffers;
use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::encode::Compress;
use crate::encode::DeltaCoder;
use crate::encode::EncodedFrame;
use crate::encode::Level;
use crate::encode::Miscomputed;
use crate::encode::ReadBack;
use crate::encode::Trailers;
use crate::encode::WholeCoder;
use crate::format::config::Features;
use crate::format::directory::FramedBlock;
use crate::format::form::BlockForm;
use crate::format::needs::NeedList;
use crate::map::MetaSink;
use crate::map::PreviousPage;
use crate::map::needs::NeedCounter;
use crate::pack::reader::Packs;
use crate::pack::writer::NewPack;
use crate::pack::writer::PackWriter;
use crate::pack::writer::RunKeys;
use crate::pipeline::presence::PackPresence;
use crate::pipeline::segment::StoredDelta;
use crate::pipeline::uploader::Uploader;
use crate::seal::keys::Keyring;
use crate::store::Store;

/// Shortest chain of deltas of a map page; its number adds up to as many again less one.
const CHAIN_MIN: u8 = 4;
/// The number of nights over which the restarts of chains are spread.
const CHAIN_SPREAD: u64 = 5;

/// The parts of its run that an appender needs.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The store that packs are put into.
    pub store: Arc<dyn Store>,
    /// The keys of the repository.
    pub keyring: Arc<Keyring>,
    /// The secret keys of this run.
    pub keys: Arc<RunKeys>,
    /// Packs that can be read, and the table that new ones enter.
    pub packs: Arc<Packs>,
    /// The presence of the packs in the store.
    pub presence: Arc<PackPresence>,
    /// Source of the random salts.
    pub entropy: Arc<dyn Entropy>,
    /// Counters, and the user's wish to stop.
    pub monitor: Arc<Monitor>,
    /// The read-back of written data, on or off.
    pub read_back: ReadBack,
    /// Packs that are stored at once.
    pub uploads: u32,
    /// Bytes of the largest pack of data.
    pub pack_bytes: usize,
    /// The features of the repository.
    pub features: Features,
}

/// Fills packs with blocks and pages; see the module's documentation.
#[derive(Debug)]
pub struct Appender {
    run: RunContext,
    data: Option<PackWriter>,
    meta: Option<PackWriter>,
    coder: WholeCoder,
    uploader: Option<Uploader>,
    buffers: Buffers,
    /// What the snapshot needs, if the repository has need lists.
    needs: Option<NeedCounter>,
}

/// Returns the error of a computation that did not come out the same twice.
pub fn miscomputed(_: Miscomputed) -> Error {
    Error::new(ErrorKind::Miscomputed, "a block that was just encoded does not decode to itself")
}

impl Appender {
    /// Creates an appender with no open pack.
    pub fn new(run: RunContext) -> Self {
        let coder = WholeCoder::new(Level::AUTO, run.read_back, run.packs.hasher().clone());
        let buffers = Buffers::new(run.pack_bytes);
        let has_lists = run.features.include(Features::NEEDS);
        let needs = has_lists.then(|| NeedCounter::new(run.packs.table().len()));
        Self { run, data: None, meta: None, coder, uploader: None, buffers, needs }
    }

    /// Returns the packs in which anything lies that was put into maps and tables so far; `None` if
    /// the repository has no need lists. Packs of data have to be closed.
    pub fn needs(&self) -> Option<NeedList> {
        self.needs.as_ref().map(|needs| needs.list(&self.run.packs.table()))
    }

    fn note_page(&mut self, entry: Entry, rests_on: &[PackIndex]) -> Entry {
        if let Some(needs) = &mut self.needs {
            needs.note(entry.storage);
            needs.touch(rests_on);
        }
        entry
    }

    /// Returns the run that this is the appender of.
    pub fn run(&self) -> &RunContext {
        &self.run
    }

    /// Returns the open pack of a class, after a full one was sent off.
    fn writer(&mut self, class: Class) -> Result<&mut PackWriter> {
        let slot = match class {
            Class::Data => &mut self.data,
            Class::Meta => &mut self.meta,
        };
        if slot.as_ref().is_some_and(|writer| writer.is_full(self.run.pack_bytes))
            && let Some(full) = slot.take()
        {
            self.send(full)?;
        }
        let slot = match class {
            Class::Data => &mut self.data,
            Class::Meta => &mut self.meta,
        };
        if slot.is_none() {
            let run = &self.run;
            let index = run.packs.table_mut().reserve();
            if let Some(needs) = &mut self.needs {
                needs.add_pack(index);
            }
            let buffer = match class {
                Class::Data => self.buffers.take(),
                // They are few and small: what stores them would keep a large one busy.
                Class::Meta => Buffer::default(),
            };
            let pack = NewPack { class, index, buffer };
            let writer =
                PackWriter::begin(&run.keyring, &run.keys, pack, run.read_back, &*run.entropy)?;
            *slot = Some(writer);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    fn send(&mut self, writer: PackWriter) -> Result<()> {
        let pack = writer.finish()?;
        let run = &self.run;
        let uploader = match self.uploader.take() {
            Some(uploader) => uploader,
            None => Uploader::start(&run.store, &run.packs, &run.monitor, run.uploads)?,
        };
        self.uploader.insert(uploader).send(pack)
    }

    /// Adds a frame of data blocks; the locator of the first, the others follow it.
    pub fn add_frame(&mut self, frame: &EncodedFrame) -> Result<Locator> {
        let writer = self.writer(Class::Data)?;
        let pack = writer.index();
        Ok(Locator { pack, entry: writer.add_frame(frame) })
    }

    /// Adds a delta of a data block; returns how the block is stored.
    pub fn add_delta(&mut self, stored: &StoredDelta) -> Result<Storage> {
        let StoredDelta { delta, base, second, .. } = stored;
        let packs = &self.run.packs;
        let address = packs.address(*base)?;
        let other = second.map(|second| packs.address(second)).transpose()?;
        let writer = self.writer(Class::Data)?;
        let pack = writer.index();
        let at = Locator { pack, entry: writer.add_delta(delta, address, other)? };
        Ok(Storage::Delta { at, base: *base, second: *second, depth: 1 })
    }

    /// Adds a meta block whole.
    pub fn add_whole_page(&mut self, text: &[u8]) -> Result<Entry> {
        self.add_whole(Class::Meta, text)
    }

    /// Adds a block of a class whole.
    pub fn add_whole(&mut self, class: Class, text: &[u8]) -> Result<Entry> {
        let hash = self.run.packs.hasher().hash(text);
        let form = BlockForm::PLAIN;
        let blocks = vec![FramedBlock { hash, length: text.len(), form }];
        let frame = self.coder.encode(text, blocks, Compress::Try).map_err(miscomputed)?;
        let writer = self.writer(class)?;
        let pack = writer.index();
        let at = Locator { pack, entry: writer.add_frame(&frame) };
        Ok(Entry { hash, storage: Storage::Whole(at), length: u64_of(text.len()) })
    }

    /// Adds the page as a delta to its previous version, or to the whole one below it if the chain
    /// is long.
    fn add_page_delta(
        &mut self,
        text: &[u8],
        previous: &PreviousPage,
        number: u64,
    ) -> Result<Option<Entry>> {
        let packs = Arc::clone(&self.run.packs);
        let spread = u8::try_from(number % CHAIN_SPREAD).expect("a remainder below 5");
        let fits = previous.depth() < CHAIN_MIN + spread;
        let (base, base_text, depth) = if fits {
            let Some(at) = previous.entry.storage.locator() else { return Ok(None) };
            (packs.address(at)?, previous.text.clone(), previous.depth() + 1)
        } else {
            let Some(text) = self.whole_text(previous) else { return Ok(None) };
            (previous.whole, text, 1)
        };
        let hash = packs.hasher().hash(text);
        let mut coder = DeltaCoder::new(self.run.read_back, packs.hasher().clone(), Trailers::Kept);
        let delta = coder.encode_page(text, hash, &base_text).map_err(miscomputed)?;
        let Some(delta) = delta else { return Ok(None) };
        let Some(pack) = packs.table().find(&base.pack) else { return Ok(None) };
        let base_at = Locator { pack, entry: base.entry };
        let writer = self.writer(Class::Meta)?;
        let at = Locator { pack: writer.index(), entry: writer.add_delta(&delta, base, None)? };
        let storage = Storage::Delta { at, base: base_at, second: None, depth };
        Ok(Some(Entry { hash, storage, length: u64_of(text.len()) }))
    }

    /// Returns the bytes of the whole page that a previous page rests on.
    fn whole_text(&self, previous: &PreviousPage) -> Option<Vec<u8>> {
        self.run.packs.whole_block(previous.whole).ok()
    }

    /// Sends off the open packs and waits until everything is durable.
    pub fn flush(&mut self) -> Result<()> {
        for writer in [self.data.take(), self.meta.take()].into_iter().flatten() {
            self.send(writer)?;
        }
        self.uploader.take().map_or(Ok(()), Uploader::finish)
    }

    /// Sends off the open data pack and waits until it and all before it are in the table.
    pub fn close_data(&mut self) -> Result<()> {
        if let Some(writer) = self.data.take() {
            self.send(writer)?;
        }
        self.uploader.as_ref().map_or(Ok(()), Uploader::wait_until_named)
    }
}

impl MetaSink for Appender {
    fn note(&mut self, entry: &Entry) {
        if let Some(needs) = &mut self.needs {
            needs.note(entry.storage);
        }
    }

    fn put_page(
        &mut self,
        text: Vec<u8>,
        previous: Option<&PreviousPage>,
        number: u64,
    ) -> Result<Entry> {
        let is_usable = |page: &&PreviousPage| self.run.presence.is_usable(page.entry.storage);
        let Some(previous) = previous.filter(is_usable) else {
            let entry = self.add_whole_page(&text)?;
            return Ok(self.note_page(entry, &[]));
        };
        if previous.text == text {
            return Ok(self.note_page(previous.entry, &previous.packs));
        }
        let delta = self.add_page_delta(&text, previous, number)?;
        let rests_on = match delta.map(|entry| entry.storage) {
            Some(Storage::Delta { depth: 2.., .. }) => previous.packs.as_slice(),
            // What is made against a whole page rests on that only.
            Some(_) | None => &[],
        };
        let entry = delta.map_or_else(|| self.add_whole_page(&text), Ok)?;
        Ok(self.note_page(entry, rests_on))
    }
}
