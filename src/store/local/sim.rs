//! A disk that loses what was not made durable, for tests of the writer.
//!
//! It keeps two planes. What programs see is the live plane; what is left after a power cut is the
//! durable one, and any part of what was pending: of a file that was not synced since it was
//! written, nothing, some, all, or the right length with wrong bytes; of the changes to a directory
//! that was not synced, any subset. Real file systems lose less, each in its own way.
//!
//! An fsync that fails marks the file clean without making it durable, as kernels do: a second one
//! on the same file answers `Ok` and proves nothing.

use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::Bytes;

use crate::base::num::u64_of;
use crate::store::local::disk::Disk;

/// Most pending changes of directories whose subsets are all tried.
const SUBSETS_OF_MAX: usize = 12;

/// The failure that happens at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SimFailure {
    /// The power is cut before it: it and all later ones fail.
    Cut,
    /// It fails with this error and has no effect, except that a sync spoils its file.
    Fail(ErrorKind),
    /// It and all later ones fail so.
    FailFromHere(ErrorKind),
}

/// Something that a sabotaged program leaves out, to show that the crash model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    SkipSync,
    SkipSyncDirectory,
    SkipSyncOfParents,
    PublishBeforeSync,
}

#[derive(Debug, Default)]
pub(super) struct SimDisk {
    state: Mutex<State>,
    sabotage: Option<Sabotage>,
}

#[derive(Debug, Clone, Default)]
struct State {
    files: Vec<SimFile>,
    directories: BTreeMap<PathBuf, Directory>,
    operations: u64,
    failure: Option<(u64, SimFailure)>,
    /// The number of fsyncs that were asked for.
    syncs: u64,
    /// The operation that failed last.
    failed: Option<&'static str>,
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// True if a sync failed, so that later ones do nothing.
    spoiled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory,
}

type Names = BTreeMap<String, Node>;

/// A name that was given (`Some`) or taken away, not yet durable.
type Change = (String, Option<Node>);

#[derive(Debug, Clone, Default)]
struct Directory {
    durable: Names,
    pending: Vec<Change>,
}

impl Directory {
    fn live(&self) -> Names {
        with_changes(&self.durable, self.pending.iter())
    }
}

fn with_changes<'a>(names: &Names, changes: impl Iterator<Item = &'a Change>) -> Names {
    let mut names = names.clone();
    for (name, node) in changes {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
    names
}

/// The files that are found after a power cut, by path.
pub(super) type Found = BTreeMap<PathBuf, Vec<u8>>;

impl SimDisk {
    /// Creates a disk with a durable empty directory.
    pub(super) fn new(root: &Path) -> Self {
        let disk = Self::default();
        disk.state().directories.insert(root.to_owned(), Directory::default());
        disk
    }

    pub(super) fn sabotaged(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = Some(sabotage);
        self
    }

    /// Makes the `nth` operation from now on, counted from 0, go wrong.
    pub(super) fn failure(&self, nth: u64, failure: SimFailure) {
        let mut state = self.state();
        state.failure = Some((state.operations + nth, failure));
    }

    /// Tells whether the trouble has begun.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state();
        state.failure.is_some_and(|(nth, _)| state.operations > nth)
    }

    /// Returns the number of fsyncs that were asked for.
    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns what programs see, temporary files included.
    pub(super) fn live(&self) -> Found {
        let state = self.state();
        let all = |_: &Path, directory: &Directory| directory.live();
        state.gather(&all, &|file| file.live.clone())
    }

    /// Calls `each` with everything that may be found after a power cut now.
    pub(super) fn after_power_cut(&self, each: &mut dyn FnMut(Found)) {
        let state = self.state().clone();
        let pending: usize = state.directories.values().map(|each| each.pending.len()).sum();
        for subset in subsets(pending) {
            for tear in Tear::ALL {
                let names = |path: &Path, own: &Directory| state.kept(path, own, subset);
                each(state.gather(&names, &|file| tear.of(file)));
            }
        }
    }

    /// Makes all of `found` durable on a new disk: the machine is up again.
    pub(super) fn rebooted(root: &Path, found: &Found) -> Self {
        let disk = Self::new(root);
        let mut state = disk.state();
        for (path, bytes) in found {
            let index = state.files.len();
            let file = SimFile { live: bytes.clone(), durable: bytes.clone(), spoiled: false };
            state.files.push(file);
            let mut node = Node::File(index);
            for path in path.ancestors().take_while(|path| *path != root) {
                let parent = path.parent().unwrap().to_owned();
                let name = file_name(path);
                state.directories.entry(parent).or_default().durable.insert(name, node);
                node = Node::Directory;
            }
        }
        drop(state);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Returns the name of the operation that failed last.
    pub(super) fn failed(&self) -> Option<&'static str> {
        self.state().failed
    }

    /// Counts an operation, and fails it if it is its turn.
    fn step(&self, operation: &'static str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let now = state.operations;
        state.operations += 1;
        let error = match state.failure {
            Some((nth, SimFailure::Cut)) if now >= nth => io::Error::other("power cut"),
            Some((nth, SimFailure::Fail(kind))) if now == nth => kind.into(),
            Some((nth, SimFailure::FailFromHere(kind))) if now >= nth => kind.into(),
            _ => return Ok(state),
        };
        state.failed = Some(operation);
        Err(error)
    }
}

/// Returns all subsets of `changes` changes, a bit for each; of many, those with one change,
/// without one, and with the first ones.
fn subsets(changes: usize) -> Vec<u64> {
    assert!(changes < 64, "a test leaves {changes} changes pending");
    let all = (1 << changes) - 1;
    if changes <= SUBSETS_OF_MAX {
        return (0..=all).collect();
    }
    let of_one = |at: usize| [1 << at, all & !(1 << at), (1 << at) - 1];
    (0..changes).flat_map(of_one).chain([all]).collect()
}

/// The effect of a power cut on files that were not synced.
#[derive(Debug, Clone, Copy)]
enum Tear {
    Lost,
    Half,
    Zeroed,
    Kept,
}

impl Tear {
    const ALL: [Self; 4] = [Self::Lost, Self::Half, Self::Zeroed, Self::Kept];

    fn of(self, file: &SimFile) -> Vec<u8> {
        if file.durable == file.live {
            return file.durable.clone();
        }
        match self {
            Self::Lost => file.durable.clone(),
            Self::Half => file.live[..file.live.len() / 2].to_vec(),
            Self::Zeroed => vec![0; file.live.len()],
            Self::Kept => file.live.clone(),
        }
    }
}

impl State {
    /// Gives the names of a directory after the changes in `subset`, a bit for each pending one.
    fn kept(&self, path: &Path, directory: &Directory, subset: u64) -> Names {
        let before = self.directories.iter().take_while(|(own, _)| *own != path);
        let first: usize = before.map(|(_, each)| each.pending.len()).sum();
        let changes = directory.pending.iter().enumerate();
        let kept = changes.filter(|(at, _)| subset >> (first + at) & 1 == 1);
        with_changes(&directory.durable, kept.map(|(_, change)| change))
    }

    fn gather(
        &self,
        names: &dyn Fn(&Path, &Directory) -> Names,
        bytes: &dyn Fn(&SimFile) -> Vec<u8>,
    ) -> Found {
        let mut found = Found::new();
        let root = self.directories.keys().next().expect("there is a root").clone();
        let mut open = vec![root];
        while let Some(path) = open.pop() {
            for (name, node) in names(&path, &self.directories[&path]) {
                let path = path.join(name);
                match node {
                    Node::Directory => open.push(path),
                    Node::File(index) => drop(found.insert(path, bytes(&self.files[index]))),
                }
            }
        }
        found
    }

    fn names(&self, path: &Path) -> io::Result<Names> {
        match self.directories.get(path) {
            Some(directory) => Ok(directory.live()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn lookup(&self, path: &Path) -> io::Result<Node> {
        let names = self.names(path.parent().unwrap())?;
        names.get(&file_name(path)).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self, path: &Path, node: Option<Node>) {
        let directory = self.directories.get_mut(path.parent().unwrap()).unwrap();
        directory.pending.push((file_name(path), node));
    }

    fn require_free(&self, path: &Path) -> io::Result<()> {
        match self.lookup(path) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if self.names(path.parent().unwrap()).is_err() => Err(error),
            Err(_) => Ok(()),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// An open file or directory of the simulated disk.
#[derive(Debug, Clone)]
pub(super) enum SimOpen {
    File(usize),
    Directory(PathBuf),
}

impl State {
    fn sync_file(&mut self, index: usize) {
        let file = &mut self.files[index];
        if !file.spoiled {
            file.durable = file.live.clone();
        }
    }

    fn sync_directory(&mut self, path: &Path) {
        let directory = self.directories.get_mut(path).expect("directories are never removed");
        directory.durable = directory.live();
        directory.pending.clear();
    }
}

impl SimDisk {
    fn leaves_out(&self, opened: &SimOpen) -> bool {
        match (self.sabotage, opened) {
            (Some(Sabotage::SkipSync | Sabotage::PublishBeforeSync), SimOpen::File(_))
            | (Some(Sabotage::SkipSyncDirectory), SimOpen::Directory(_)) => true,
            // The directories of objects are synced, those above them are not.
            (Some(Sabotage::SkipSyncOfParents), SimOpen::Directory(path)) => {
                let names = self.state().directories[path].live();
                names.values().any(|node| *node == Node::Directory)
            }
            _ => false,
        }
    }
}

impl Disk for SimDisk {
    type File = SimOpen;

    fn create(&self, path: &Path) -> io::Result<SimOpen> {
        let mut state = self.step("create")?;
        state.require_free(path)?;
        let index = state.files.len();
        state.files.push(SimFile::default());
        state.change(path, Some(Node::File(index)));
        Ok(SimOpen::File(index))
    }

    fn write(&self, file: &mut SimOpen, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.step("write")?;
        let SimOpen::File(index) = *file else { return Err(ErrorKind::IsADirectory.into()) };
        // Short on purpose: half of the first part, at least a byte.
        let part = &parts[0];
        let written = part.len().div_ceil(2);
        state.files[index].live.extend_from_slice(&part[..written]);
        Ok(written)
    }

    fn sync(&self, opened: &SimOpen) -> io::Result<()> {
        self.state().syncs += 1;
        if self.leaves_out(opened) {
            return Ok(());
        }
        match (opened, self.step("sync")) {
            (SimOpen::File(index), Ok(mut state)) => state.sync_file(*index),
            (SimOpen::Directory(path), Ok(mut state)) => state.sync_directory(path),
            (SimOpen::File(index), Err(error)) => {
                self.state().files[*index].spoiled = true;
                return Err(error);
            }
            (SimOpen::Directory(_), Err(error)) => return Err(error),
        }
        Ok(())
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step("publish")?;
        let node = state.lookup(from)?;
        state.require_free(to)?;
        state.change(from, None);
        state.change(to, Some(node));
        drop(state);
        if let (Some(Sabotage::PublishBeforeSync), Node::File(index)) = (self.sabotage, node) {
            self.step("sync")?.sync_file(index);
        }
        Ok(())
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step("replace")?;
        let node = state.lookup(from)?;
        state.change(from, None);
        state.change(to, Some(node));
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<SimOpen> {
        let state = self.step("open")?;
        if state.directories.contains_key(path) {
            return Ok(SimOpen::Directory(path.to_owned()));
        }
        match state.lookup(path)? {
            Node::File(index) => Ok(SimOpen::File(index)),
            Node::Directory => Ok(SimOpen::Directory(path.to_owned())),
        }
    }

    fn holds(&self, file: &SimOpen, parts: &[Bytes]) -> io::Result<bool> {
        let SimOpen::File(index) = *file else { return Err(ErrorKind::IsADirectory.into()) };
        Ok(self.state().files[index].live == parts.concat())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step("remove")?;
        state.lookup(path)?;
        state.change(path, None);
        Ok(())
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.step("size")?;
        match state.lookup(path) {
            Ok(Node::File(index)) => Ok(Some(u64_of(state.files[index].live.len()))),
            Ok(Node::Directory) => Err(ErrorKind::InvalidData.into()),
            Err(_) => Ok(None),
        }
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step("make_directory")?;
        state.require_free(path)?;
        state.change(path, Some(Node::Directory));
        state.directories.insert(path.to_owned(), Directory::default());
        Ok(())
    }

    fn directories(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.step("directories")?;
        let directory = state.directories.get(path).ok_or(ErrorKind::NotFound)?;
        let names = directory.live().into_iter();
        let found = names.filter(|(_, node)| *node == Node::Directory);
        Ok(found.map(|(name, _)| path.join(name)).collect())
    }
}
