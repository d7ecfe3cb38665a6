//! Seals and stores filled packs beside the work: a few threads, at most one pack each, errors at
//! the next call.
//!
//! A pack has its name, by which the pack table and later deltas know it, once it is sealed:
//! nothing that a run adds is the base of anything else in the same run.
//!
//! It is no pool of [`crew::in_order`], whose plan pulls: packs are handed over from within the
//! thread that collects results, whenever one is full, and none waits for the one before it.
//!
//! Invariants:
//! - A pack is confirmed only when every copy of it is durable, and the store has shown that it has
//!   each: a snapshot that names a pack which a store took and did not keep would be complete, and
//!   would not restore.
//! - After the first failure nothing more is taken, and every later call reports that failure.

use std::slice;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use crate::base::crew;
use crate::base::crew::FirstFailure;
use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::layout::Object;
use crate::pack::filled::FilledPack;
use crate::pack::filled::FinishedPack;
use crate::pack::reader::Packs;
use crate::repo::require_there;
use crate::store::Store;
use crate::store::name::ObjectName;

/// Packs that are being stored at once by default: enough for a disk. With the one that
/// is being filled they are what a run keeps in memory.
pub const UPLOADS_AT_ONCE: u32 = 2;

/// Threads that store packs.
#[derive(Debug)]
pub struct Uploader {
    sender: Option<Sender<FilledPack>>,
    workers: Vec<JoinHandle<()>>,
    work: Arc<Work>,
}

/// What the threads share.
#[derive(Debug)]
struct Work {
    store: Arc<dyn Store>,
    packs: Arc<Packs>,
    monitor: Arc<Monitor>,
    /// Number of packs that were handed over and have no name yet.
    unnamed: Mutex<usize>,
    named: Condvar,
    failure: FirstFailure,
}

impl Uploader {
    /// Starts `threads` threads that store packs, and enter them into the table of `packs`.
    pub fn start(
        store: &Arc<dyn Store>,
        packs: &Arc<Packs>,
        monitor: &Arc<Monitor>,
        threads: u32,
    ) -> Result<Self> {
        // No slot between the threads and the sender: a waiting pack would be one more in memory.
        let (sender, receiver) = bounded::<FilledPack>(0);
        let work = Arc::new(Work {
            store: Arc::clone(store),
            packs: Arc::clone(packs),
            monitor: Arc::clone(monitor),
            unnamed: Mutex::new(0),
            named: Condvar::new(),
            failure: FirstFailure::default(),
        });
        let workers = (1..=threads.max(1))
            .map(|number| {
                let (receiver, work) = (receiver.clone(), Arc::clone(&work));
                let run = move || {
                    work.failure.keep(crew::caught(|| work.run(&receiver)));
                };
                crew::start(format_args!("send-{number}"), run)
            })
            .collect::<Result<_>>()?;
        Ok(Self { sender: Some(sender), workers, work })
    }

    /// Hands over a pack; waits while all threads are busy.
    pub fn send(&self, pack: FilledPack) -> Result<()> {
        self.work.failure.check()?;
        *lock(&self.work.unnamed) += 1;
        let taken = self.sender.as_ref().is_some_and(|sender| sender.send(pack).is_ok());
        // The threads end only after a failure, which is known by then.
        self.work.failure.check()?;
        if taken { Ok(()) } else { Err(Error::cancelled()) }
    }

    /// Waits until every pack that was handed over is in the table.
    pub fn wait_until_named(&self) -> Result<()> {
        let mut unnamed = lock(&self.work.unnamed);
        loop {
            // A thread that failed names no pack.
            self.work.failure.check()?;
            if *unnamed == 0 {
                return Ok(());
            }
            unnamed = crew::wait(&self.work.named, unnamed);
        }
    }

    /// Waits until every pack is durable.
    pub fn finish(mut self) -> Result<()> {
        drop(self.sender.take());
        for worker in self.workers.drain(..) {
            worker.join().map_err(|payload| crew::panicked(&*payload))?;
        }
        self.work.failure.check()
    }
}

impl Work {
    fn run(&self, packs: &Receiver<FilledPack>) -> Result<()> {
        packs.iter().try_for_each(|pack| {
            let pack = pack.seal()?;
            self.packs.table_mut().close(pack.index, pack.record);
            *lock(&self.unnamed) -= 1;
            self.named.notify_all();
            put_pack(&*self.store, &self.monitor, &pack)
        })
    }
}

fn put_pack(store: &dyn Store, monitor: &Monitor, pack: &FinishedPack) -> Result<()> {
    let name = pack.record.name;
    let mut objects = vec![Object::Pack(name).name()];
    if pack.record.class == Class::Meta {
        objects.push(Object::Twin(name).name());
    }
    for object in objects {
        put_confirmed(store, monitor, &object, &pack.bytes)?;
    }
    Ok(())
}

/// Stores an object that a snapshot will need, and asks the store whether it has it. Asking at once
/// costs a request for each object, and ends a run at the first pack that is not kept; a listing of
/// all packs costs as much as a dozen such requests for every 1,000 packs of the repository.
pub fn put_confirmed(
    store: &dyn Store,
    monitor: &Monitor,
    object: &ObjectName,
    bytes: &Bytes,
) -> Result<()> {
    store
        .put(object, slice::from_ref(bytes))
        .map_err(|e| e.named(format!("cannot store {object}")))?;
    let size = u64_of(bytes.len());
    require_there(store, object, size)?;
    monitor.count(Counter::StoredBytes, size);
    monitor.count(Counter::StoredObjects, 1);
    Ok(())
}
