//! A store with a cache beside it: a local directory that keeps what was put and what is read
//! often, so that a night does not read last night's maps and pages back over the network.
//!
//! An object is kept under the BLAKE3 of its bytes, which is the end of the object's name. So a
//! file in the cache is either what it says or is thrown away: every file is hashed when a process
//! opens it first. Losing the cache costs requests, nothing else; several processes may share one.
//!
//! - `put` keeps the object after the store beneath has it.
//! - What `replace` puts is never kept: its name has no hash.
//! - `get` keeps snapshots and other small objects, not packs: a caller that gets a whole pack
//!   wants to know what the store has.
//! - [`Store::will_read`] brings a whole pack of maps, in one request instead of one for each page.
//!
//! Without a directory the cache is that of one run: files without a name, which the system takes
//! back when the process ends, however it does. Nothing that was put goes there: no run reads its
//! own packs.
//!
//! The cache never answers whether an object is still in the store: listings go to the store, and
//! so does the question for the size of anything but a pack. It keeps sealed bytes only, as the
//! store does.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::Mode;
use rustix::fs::OFlags;

use crate::base::crew::lock;
use crate::base::entries::entries;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::layout::Folder;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::FindingLog;

/// Digits of a hash at the end of a name.
const HASH_DIGITS: usize = 64;
/// Files that are kept open; opening one again means hashing it again.
const OPEN_MAX: usize = 128;
/// A cache that is full is emptied to this many percent.
const KEEP_PERCENT: u64 = 90;
/// The beginning of the names of files that are being written.
const TEMPORARY: &str = ".tmp-";

/// Keeps objects in files, up to a limit of bytes.
#[derive(Debug)]
pub struct CacheDir {
    /// `None` if its files have no names.
    root: Option<PathBuf>,
    bytes_max: u64,
    state: Mutex<State>,
    numbers: AtomicU64,
    findings: Option<Arc<FindingLog>>,
    /// That it can't be written was reported.
    reported: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    /// Files that this process has hashed.
    open: HashMap<String, (Arc<File>, u64)>,
}

impl CacheDir {
    /// Opens a cache in a directory, which is made if need be.
    pub fn open(root: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let cache = Self { root: Some(root.to_owned()), ..Self::of_this_run(bytes_max) };
        cache.make_room(root)?;
        Ok(cache)
    }

    /// Makes a cache that is gone when the process is.
    pub fn of_this_run(bytes_max: u64) -> Self {
        Self {
            root: None,
            bytes_max,
            state: Mutex::default(),
            numbers: AtomicU64::new(0),
            findings: None,
            reported: AtomicBool::new(false),
        }
    }

    /// Reports to `findings` when its directory can't be written.
    #[must_use]
    pub fn reporting(self, findings: Arc<FindingLog>) -> Self {
        Self { findings: Some(findings), ..self }
    }

    fn report(&self, root: &Path, error: &io::Error) {
        let Some(findings) = &self.findings else { return };
        if !self.reported.swap(true, Ordering::Relaxed) {
            findings.report(not_written(root, error));
        }
    }

    // Losing an entry of it costs a request.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns the file of a hash and its length, if it is there and is what it says.
    fn find(&self, hash: &str) -> Option<(Arc<File>, u64)> {
        if let Some((file, length)) = self.state().open.get(hash) {
            return Some((Arc::clone(file), *length));
        }
        let path = self.root.as_ref()?.join(hash);
        // Without NONBLOCK, opening a pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(rustix::fs::open(&path, flags, Mode::empty()).ok()?);
        let mut hasher = blake3::Hasher::new();
        let length = hash_all(&mut file, &mut hasher).ok()?;
        if hasher.finalize().to_hex().as_str() != hash {
            // A torn write, a bad disk, somebody's hand: whatever it was, it is not the object.
            let _gone = fs::remove_file(&path);
            return None;
        }
        // What was used last goes last.
        let _untouched = file.set_modified(now());
        let file = Arc::new(file);
        let mut state = self.state();
        if state.open.len() >= OPEN_MAX {
            state.open.clear();
        }
        state.open.insert(hash.to_owned(), (Arc::clone(&file), length));
        Some((file, length))
    }

    /// Tells whether what was put is kept for the next run.
    fn outlives_the_run(&self) -> bool {
        self.root.is_some()
    }

    /// Puts an object in the cache. A cache that can't take it is as good as none.
    fn keep(&self, hash: &str, parts: &[Bytes]) {
        let bytes: u64 = parts.iter().map(|part| u64_of(part.len())).sum();
        if bytes > self.bytes_max / 2 {
            return;
        }
        let Some(root) = &self.root else {
            return self.keep_unnamed(hash, parts, bytes);
        };
        let path = root.join(hash);
        if path.exists() {
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let temporary = root.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        let written = write_file(&temporary, parts).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            let _gone = fs::remove_file(&temporary);
            return self.report(root, &error);
        }
        let mut state = self.state();
        state.bytes += bytes;
        let is_full = state.bytes > self.bytes_max;
        drop(state);
        if is_full {
            let _as_full_as_before = self.make_room(root);
        }
    }

    /// Keeps the bytes in a file without a name. Nobody can change it later, so it is hashed now.
    fn keep_unnamed(&self, hash: &str, parts: &[Bytes], bytes: u64) {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        if hasher.finalize().to_hex().as_str() != hash {
            return;
        }
        let Ok(mut file) = tempfile::tempfile() else { return };
        if parts.iter().any(|part| file.write_all(part).is_err()) {
            return;
        }
        let mut state = self.state();
        if state.bytes + bytes > self.bytes_max || state.open.len() >= OPEN_MAX {
            state.open.clear();
            state.bytes = 0;
        }
        state.bytes += bytes;
        state.open.insert(hash.to_owned(), (Arc::new(file), bytes));
    }

    fn forget(&self, hash: &str) {
        self.state().open.remove(hash);
        if let Some(root) = &self.root {
            let _gone = fs::remove_file(root.join(hash));
        }
    }

    /// Counts what is there, other processes' files included, and removes what was used least
    /// lately if that is too much.
    fn make_room(&self, root: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        let mut bytes = 0;
        for entry in entries(root)?.flatten() {
            let path = root.join(entry.name);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_file() {
                bytes += metadata.len();
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((used, metadata.len(), path));
            }
        }
        if bytes > self.bytes_max {
            files.sort();
            let enough = self.bytes_max / 100 * KEEP_PERCENT;
            for (_, length, path) in files {
                if bytes <= enough {
                    break;
                }
                if fs::remove_file(path).is_ok() {
                    bytes -= length;
                }
            }
            self.state().open.clear();
        }
        self.state().bytes = bytes;
        Ok(())
    }
}

/// Returns the finding about a cache that can't be written.
pub fn not_written(root: &Path, error: &io::Error) -> Finding {
    let text = format!("it can't be written: {error}");
    Finding::new(Code::CacheNotWritten, root.display().to_string(), text)
}

#[expect(clippy::disallowed_methods, reason = "the age of a file, which decides nothing else")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn hash_all(file: &mut File, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            return Ok(length);
        }
        hasher.update(&buffer[..got]);
        length += u64_of(got);
    }
}

fn write_file(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// Returns the hash at the end of a name.
fn hash_of(name: &ObjectName) -> Option<&str> {
    let name = name.as_str();
    let hash = name.get(name.len().checked_sub(HASH_DIGITS)?..)?;
    let before = name.len() - HASH_DIGITS;
    let stands_alone = name[..before].ends_with(['/', '-']);
    (stands_alone && hash.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(hash)
}

fn is_pack(name: &ObjectName) -> bool {
    Folder::holds_packs(name)
}

/// Keeps in a cache what was put into a store and what is read often.
#[derive(Debug)]
pub struct Cached<S> {
    inner: S,
    cache: CacheDir,
    /// One brings a pack, the others wait for it.
    bringing: Mutex<()>,
}

impl<S> Cached<S> {
    /// Puts a cache beside a store.
    pub fn new(inner: S, cache: CacheDir) -> Self {
        Self { inner, cache, bringing: Mutex::default() }
    }

    /// Returns the store that this one wraps.
    #[cfg(any(test, feature = "internals"))]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn find(&self, name: &ObjectName) -> Option<(Arc<File>, u64)> {
        self.cache.find(hash_of(name)?)
    }

    fn read(&self, name: &ObjectName, range: Range<u64>) -> Option<Bytes> {
        let (file, length) = self.find(name)?;
        if range.end > length {
            return None;
        }
        let mut bytes = vec![0; usize_of(range.end - range.start)];
        file.read_exact_at(&mut bytes, range.start).ok()?;
        Some(bytes.into())
    }
}

impl<S: Store> Store for Cached<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.inner.put(name, payload)?;
        if let Some(hash) = hash_of(name).filter(|_| self.cache.outlives_the_run()) {
            self.cache.keep(hash, payload);
        }
        Ok(())
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        if let Some(hash) = hash_of(name) {
            self.cache.forget(hash);
        }
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let Some(hash) = hash_of(name).filter(|_| !is_pack(name)) else {
            return self.inner.get(name, bytes_max);
        };
        let kept = self.find(name).filter(|(_, length)| *length <= bytes_max);
        if let Some(bytes) = kept.and_then(|(_, length)| self.read(name, 0..length)) {
            return Ok(bytes);
        }
        let bytes = self.inner.get(name, bytes_max)?;
        self.cache.keep(hash, std::slice::from_ref(&bytes));
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        match self.read(name, range.clone()) {
            Some(bytes) => Ok(bytes),
            None => self.inner.get_range(name, range),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        // Where the directory of a pack begins is no question of its presence.
        let used = hash_of(name)
            .filter(|_| is_pack(name))
            .and_then(|hash| self.cache.state().open.get(hash).map(|(_, length)| *length));
        used.map_or_else(|| self.inner.size(name), |length| Ok(Some(length)))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        if let Some(hash) = hash_of(name) {
            self.cache.forget(hash);
        }
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.iter().filter_map(hash_of).for_each(|hash| self.cache.forget(hash));
        self.inner.delete_many(names)
    }

    fn deletes_at_once(&self) -> usize {
        self.inner.deletes_at_once()
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.inner.extend_lock(name, term)
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.inner.lock_rule()
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.inner.versions()
    }

    fn will_read(&self, name: &ObjectName) {
        let Some(hash) = hash_of(name) else { return };
        let _alone = lock(&self.bringing);
        if self.cache.find(hash).is_some() {
            return;
        }
        // A reader gets the error when it asks for the pack itself.
        let Ok(bytes) = self.inner.get(name, PACK_BYTES_ACCEPTED_MAX) else { return };
        // Bytes that are not what the name says are thrown away when they are looked for.
        self.cache.keep(hash, &[bytes]);
        let _is_there = self.cache.find(hash);
    }

    fn is_at_hand(&self, name: &ObjectName) -> bool {
        self.find(name).is_some() || self.inner.is_at_hand(name)
    }

    fn being_written(&self) -> Result<u64, StoreError> {
        self.inner.being_written()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::conformance;
    use crate::store::error::Verb;
    use crate::store::memory::MemoryStore;
    use crate::store::testing::Recording;

    type Store = Cached<Recording<MemoryStore>>;

    fn cached(directory: &Path, bytes_max: u64) -> Store {
        let cache = CacheDir::open(directory, bytes_max).unwrap();
        Cached::new(Recording::new(MemoryStore::new()), cache)
    }

    fn put(store: &Store, folder: &str, bytes: &[u8]) -> ObjectName {
        let hash = blake3::hash(bytes).to_hex();
        let name = ObjectName::new(&format!("{folder}{hash}")).unwrap();
        crate::store::Store::put(store, &name, &[Bytes::copy_from_slice(bytes)]).unwrap();
        name
    }

    fn range(store: &Store, name: &ObjectName, range: Range<u64>) -> Bytes {
        crate::store::Store::get_range(store, name, range).unwrap()
    }

    #[test]
    fn it_conforms() {
        let store = Cached::new(MemoryStore::new(), CacheDir::of_this_run(1 << 20));
        conformance::check_everything(&store);
    }

    #[test]
    fn what_was_put_is_read_without_a_request_also_by_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 1 << 20);
        let name = put(&store, "packs/ab/", b"a pack of maps");
        let next = cached(directory.path(), 1 << 20);
        for store in [&store, &next] {
            assert_eq!(*range(store, &name, 2..6), *b"pack");
            assert_eq!(store.inner().calls(Verb::GetRange), 0);
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 1 << 20);
        let name = put(&store, "packs/ab/", b"a pack of maps");
        let file = directory.path().join(hash_of(&name).unwrap());
        for forged in [&b"a pack of lies"[..], b"", b"a pack of"] {
            fs::write(&file, forged).unwrap();
            store.cache.state().open.clear();
            assert_eq!(*range(&store, &name, 2..6), *b"pack");
            assert!(!file.exists());
        }
        assert_eq!(store.inner().calls(Verb::GetRange), 3);
    }

    #[test]
    fn a_pack_that_will_be_read_costs_one_request() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 1 << 20);
        let name = put(&store, "packs/ab/", b"a pack of maps");
        fs::remove_dir_all(directory.path()).unwrap();
        fs::create_dir(directory.path()).unwrap();
        store.cache.state().open.clear();
        for _ in 0..3 {
            crate::store::Store::will_read(&store, &name);
            assert_eq!(*range(&store, &name, 0..1), *b"a");
        }
        let inner = store.inner();
        assert_eq!((inner.calls(Verb::Get), inner.calls(Verb::GetRange)), (1, 0));
    }

    #[test]
    fn the_cache_of_a_run_keeps_what_is_read_and_nothing_that_is_put_or_is_another() {
        let cache = CacheDir::of_this_run(40);
        let store = Cached::new(Recording::new(MemoryStore::new()), cache);
        let names = [0_u8, 1, 2].map(|byte| put(&store, "packs/ab/", &[byte; 20]));
        assert_eq!(store.cache.state().open.len(), 0);
        for name in &names {
            for _ in 0..2 {
                crate::store::Store::will_read(&store, name);
                assert_eq!(range(&store, name, 0..20).len(), 20);
            }
            assert!(store.cache.state().bytes <= 40);
        }
        let inner = store.inner();
        assert_eq!((inner.calls(Verb::Get), inner.calls(Verb::GetRange)), (3, 0));
        store.cache.keep(hash_of(&names[0]).unwrap(), &[Bytes::from_static(b"a lie")]);
        assert!(store.cache.find(hash_of(&names[0]).unwrap()).is_none());
    }

    #[test]
    fn a_cache_holds_no_more_than_it_may_and_keeps_what_was_used_last() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 10_000);
        let mut last = None;
        for number in 0..100_u8 {
            last = Some(put(&store, "packs/ab/", &[number; 1000]));
            let entries = fs::read_dir(directory.path()).unwrap();
            let bytes: u64 = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
            assert!(bytes <= 10_000, "{bytes}");
        }
        range(&store, &last.unwrap(), 0..1000);
        assert_eq!(store.inner().calls(Verb::GetRange), 0);
    }

    #[test]
    fn a_whole_pack_is_always_asked_of_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 1 << 20);
        let pack = put(&store, "packs/ab/", b"a pack");
        let snapshot = put(&store, "snapshots/ab/0000000001-", b"a snapshot");
        for name in [&pack, &snapshot] {
            crate::store::Store::get(&store, name, 100).unwrap();
        }
        assert_eq!(store.inner().calls_under(Verb::Get, "packs/"), 1);
        assert_eq!(store.inner().calls_under(Verb::Get, "snapshots/"), 0);
    }

    #[test]
    fn only_names_that_end_in_a_hash_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = cached(directory.path(), 1 << 20);
        let name = ObjectName::new("config").unwrap();
        crate::store::Store::put(&store, &name, &[Bytes::from_static(b"config")]).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_replaced_is_read_by_every_host_whatever_its_cache_has() {
        let directory = tempfile::tempdir().unwrap();
        let beneath = Arc::new(MemoryStore::new());
        let host = |name: &str| {
            let cache = CacheDir::open(&directory.path().join(name), 1 << 20).unwrap();
            Cached::new(Arc::clone(&beneath), cache)
        };
        let (one, other) = (host("one"), host("other"));
        let name = ObjectName::new("config").unwrap();
        let get = |host: &Cached<Arc<MemoryStore>>| {
            crate::store::Store::get(host, &name, 100).unwrap().to_vec()
        };
        crate::store::Store::put(&one, &name, &[Bytes::from_static(b"old")]).unwrap();
        assert_eq!([get(&one), get(&other)], [b"old", b"old"]);
        crate::store::Store::replace(&one, &name, &[Bytes::from_static(b"new")]).unwrap();
        assert_eq!([get(&one), get(&other), get(&host("other"))], [b"new", b"new", b"new"]);
    }
}
