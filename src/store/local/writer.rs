//! The protocol that puts an object into a directory so that it is there whole, or not at all, for
//! ever.
//!
//! ```text
//! put:     make the directories -> fsync each parent
//!          create .tmp-<pid>-<n> in the final directory, locked -> write -> fsync
//!          -> rename without replacing -> fsync the directory
//! replace: the same, but the rename replaces what has the name
//! delete:  unlink -> fsync the directory
//! ```
//!
//! The reason for each step: bytes are durable before they have a name, so a name never leads to
//! half an object. The rename does not replace, so an object can't change. The directory is synced
//! last, so `Ok` means that name and bytes survive a power cut. A replacement leaves out the
//! comparison with what is there, and is otherwise the same: the name leads to the old file until
//! it leads to the new one, whose bytes are durable by then. Directories that were there already
//! may have been made by a process that was killed before it synced them: their parent is synced
//! once by each process, for all of them, and so is everything about an object that is found
//! instead of written.
//!
//! A failed fsync is never repeated on the same file: the kernel may have dropped the pages and
//! would answer `Ok` the second time. The bytes are still in memory, so they are written once more
//! to a new file. Where that is not possible (a directory, a file of somebody else), the writer
//! distrusts the disk and refuses everything from then on.
//!
//! Space is not reserved beforehand: a full disk fails the write of one pack at once, and reserved
//! extents make every fsync dearer.
//!
//! Temporary names are made of process id and a counter. Two hosts may collide on a shared disk;
//! creating is exclusive, so one of them takes the next number. Every temporary file is locked
//! while it is written, which distinguishes those of dead processes from those of live ones.

use std::collections::BTreeSet;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::num::u64_of;
use crate::store::error::Category;
use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::error::category_of;
use crate::store::local::disk::Disk;
use crate::store::local::disk::is_absent;
use crate::store::name::ObjectName;

/// The beginning of temporary names. No object name begins like that.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// The number of taken names that are tried before giving up.
const TEMPORARY_TRIES_MAX: u32 = 1000;

/// The number of attempts to write an object, if another file may not have the same failure.
const ATTEMPTS_MAX: u32 = 2;

/// Most parts that are given to the system at once.
const PARTS_MAX: usize = 256;

/// Puts and deletes in one directory tree.
#[derive(Debug)]
pub(super) struct Writer<D> {
    disk: D,
    root: PathBuf,
    process: u32,
    next_temporary: AtomicU64,
    durable: Mutex<BTreeSet<PathBuf>>,
    distrusted: AtomicBool,
}

/// What becomes of an object that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// It stays, and must have the same bytes.
    Kept,
    /// The new one takes its place.
    Replaced,
}

/// A reason why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{step}")]
    Step {
        step: Step,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The step at which the system returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Look,
    MakeDirectory,
    Create,
    Write,
    Sync,
    Publish,
    OpenFound,
    SyncFound,
    OpenDirectory,
    SyncDirectory,
    Remove,
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Look => "looking for the file failed",
            Self::MakeDirectory => "making a directory failed",
            Self::Create => "creating a temporary file failed",
            Self::Write => "writing the temporary file failed",
            Self::Sync => "fsync of the temporary file failed",
            Self::Publish => "renaming the temporary file failed",
            Self::OpenFound => "opening the file that is there failed",
            Self::SyncFound => "fsync of the file that is there failed",
            Self::OpenDirectory => "opening a directory failed",
            Self::SyncDirectory => "fsync of a directory failed",
            Self::Remove => "removing the file failed",
        })
    }
}

impl Step {
    fn failed(self) -> impl Fn(io::Error) -> Failure {
        move |source| Failure::Step { step: self, source }
    }
}

impl Failure {
    /// Says what was to be done.
    pub(super) fn on(self, verb: Verb, name: &ObjectName) -> StoreError {
        let category = match &self {
            Self::Fault(fault) => fault.category(),
            // A directory that vanished is no answer to the question whether an object is there.
            Self::Step { source, .. } if is_absent(source) => Category::Other,
            Self::Step { source, .. } => category_of(source),
        };
        StoreError::new(verb, name, category).because(self)
    }

    /// Tells whether a new temporary file may fare better.
    fn is_worth_another_file(&self) -> bool {
        match self {
            // The pages of this file are lost; those of a new one need not be.
            Self::Step { step: Step::Sync, .. } => true,
            // The file was swept by mistake, or the directory was empty and removed.
            Self::Step { step: Step::MakeDirectory | Step::Create | Step::Publish, source } => {
                is_absent(source)
            }
            Self::Step { .. } | Self::Fault(_) => false,
        }
    }
}

impl<D: Disk> Writer<D> {
    /// Writes below `root`, which exists; `process` is part of the names of temporary files.
    pub(super) fn new(disk: D, root: PathBuf, process: u32) -> Self {
        Self {
            disk,
            root,
            process,
            next_temporary: AtomicU64::new(0),
            durable: Mutex::default(),
            distrusted: AtomicBool::new(false),
        }
    }

    /// Returns where an object lies.
    pub(super) fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.as_str())
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &D {
        &self.disk
    }

    #[cfg(test)]
    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    /// Puts an object durably.
    pub(super) fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), Failure> {
        self.write_object(name, payload, Existing::Kept)
    }

    /// Puts an object durably in the place of one of its name.
    pub(super) fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), Failure> {
        self.write_object(name, payload, Existing::Replaced)
    }

    fn write_object(
        &self,
        name: &ObjectName,
        payload: &[Bytes],
        existing: Existing,
    ) -> Result<(), Failure> {
        self.check_trust()?;
        let target = self.path(name);
        let mut attempt = 1;
        loop {
            match self.write_once(&target, payload, existing) {
                Err(failure) if failure.is_worth_another_file() && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    self.durable().clear();
                }
                outcome => return outcome,
            }
        }
    }

    fn write_once(
        &self,
        target: &Path,
        payload: &[Bytes],
        existing: Existing,
    ) -> Result<(), Failure> {
        let found = self.disk.size(target).map_err(Step::Look.failed())?;
        if let (Some(found), Existing::Kept) = (found, existing) {
            return self.accept(target, found, payload);
        }
        let directory = directory_of(target);
        self.make_durable(directory)?;
        let (temporary, mut file) = self.create_temporary(directory)?;
        let outcome = self.fill(&mut file, payload).and_then(|()| {
            let named = match existing {
                Existing::Kept => self.disk.publish(&temporary, target),
                Existing::Replaced => self.disk.replace(&temporary, target),
            };
            named.map_err(Step::Publish.failed())
        });
        drop(file);
        match outcome {
            Ok(()) => self.sync_directory(directory),
            Err(failure) => {
                // The failure is what must be reported; a file that stays is found by the next
                // sweep.
                let _removed = self.disk.remove(&temporary);
                self.settle(failure, target, payload)
            }
        }
    }

    fn fill(&self, file: &mut D::File, payload: &[Bytes]) -> Result<(), Failure> {
        self.write_all(file, payload).map_err(Step::Write.failed())?;
        self.disk.sync(file).map_err(Step::Sync.failed())
    }

    /// Decides what a failure means: another process may have put the same object at the same time.
    fn settle(&self, failure: Failure, target: &Path, payload: &[Bytes]) -> Result<(), Failure> {
        let Failure::Step { step: Step::Publish, source } = &failure else { return Err(failure) };
        if source.kind() != ErrorKind::AlreadyExists {
            return Err(failure);
        }
        match self.disk.size(target).map_err(Step::Look.failed())? {
            Some(found) => self.accept(target, found, payload),
            None => Err(failure),
        }
    }

    /// Takes what is there for the object, if it has its bytes, and makes it durable.
    fn accept(&self, target: &Path, found: u64, payload: &[Bytes]) -> Result<(), Failure> {
        let own = payload.iter().map(|part| u64_of(part.len())).sum();
        if found != own {
            return Err(Fault::OtherSize { found, own }.into());
        }
        let file = self.disk.open(target).map_err(Step::OpenFound.failed())?;
        if !self.disk.holds(&file, payload).map_err(Step::OpenFound.failed())? {
            return Err(Fault::OtherBytes.into());
        }
        self.trust(self.disk.sync(&file).map_err(Step::SyncFound.failed()))?;
        let directory = directory_of(target);
        self.make_durable(directory)?;
        self.sync_directory(directory)
    }

    fn create_temporary(&self, directory: &Path) -> Result<(PathBuf, D::File), Failure> {
        let mut tries = 0;
        loop {
            let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{TEMPORARY_PREFIX}{}-{number}", self.process));
            match self.disk.create(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error)
                    if error.kind() == ErrorKind::AlreadyExists && tries < TEMPORARY_TRIES_MAX =>
                {
                    tries += 1;
                }
                Err(error) => return Err(Step::Create.failed()(error)),
            }
        }
    }

    fn write_all(&self, file: &mut D::File, payload: &[Bytes]) -> io::Result<()> {
        payload.chunks(PARTS_MAX).try_for_each(|parts| self.write_parts(file, parts))
    }

    fn write_parts(&self, file: &mut D::File, parts: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        // Also removes empty parts at the front, whose writing would look like an end.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.disk.write(file, rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a directory exist and survive a power cut.
    fn make_durable(&self, directory: &Path) -> Result<(), Failure> {
        if directory == self.root || self.durable().contains(directory) {
            return Ok(());
        }
        let parent = directory_of(directory);
        self.make_durable(parent)?;
        match self.disk.make_directory(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Step::MakeDirectory.failed()(error));
            }
            _ => {}
        }
        // Those that are there before the parent is synced are durable then. Where it may not be
        // listed, each is synced for itself.
        let mut there = self.disk.directories(parent).unwrap_or_default();
        self.sync_directory(parent)?;
        there.push(directory.to_owned());
        self.durable().extend(there);
        Ok(())
    }

    /// Removes an object durably.
    pub(super) fn delete(&self, name: &ObjectName) -> Result<(), Failure> {
        self.check_trust()?;
        let target = self.path(name);
        match self.disk.remove(&target) {
            Err(error) if !is_absent(&error) => return Err(Step::Remove.failed()(error)),
            // What is gone may be gone from the cache only: the directory is synced either way.
            Ok(()) | Err(_) => {}
        }
        match self.sync_directory(directory_of(&target)) {
            Err(Failure::Step { step: Step::OpenDirectory, source }) if is_absent(&source) => {
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn sync_directory(&self, directory: &Path) -> Result<(), Failure> {
        let opened = self.disk.open(directory).map_err(Step::OpenDirectory.failed())?;
        self.trust(self.disk.sync(&opened).map_err(Step::SyncDirectory.failed()))
    }

    /// Remembers a failure after which a later `Ok` of the same disk would prove nothing.
    fn trust(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        if outcome.is_err() {
            self.distrusted.store(true, Ordering::SeqCst);
        }
        outcome
    }

    fn check_trust(&self) -> Result<(), Failure> {
        if self.distrusted.load(Ordering::SeqCst) { Err(Fault::Distrusted.into()) } else { Ok(()) }
    }

    // A set of paths is whole even if a thread panicked beside it.
    fn durable(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        lock(&self.durable)
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().expect("objects and their directories lie below the root")
}
