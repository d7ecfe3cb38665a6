//! Carries snapshots over to a repository with other keys: each stream is read here and backed up
//! there, encrypted with the other keys.
//!
//! Objects can't go as they are where keys differ: names are keyed hashes, and packs are sealed.
//! So the stream goes, from a restore into a backup, in one pass through a pipe. What was found out
//! when it was first backed up goes along: time, verdict, reasons, tags, host, positions. The
//! description there says which snapshot of which repository it was (`origin`, FORMAT.md 10.2).
//!
//! Invariants:
//! - What is copied is the stream to its last byte, or there is no snapshot.
//! - The oldest goes first: each night is then stored there as what it differs by from the one
//!   before, as it was here.
//! - A snapshot whose origin is there already is not copied again, nor one that was removed there;
//!   unless its copy is known to be damaged, and it is asked for by name.
//! - From an encrypted repository nothing goes to one that is not.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use crate::base::crew;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::snapshot::Description;
use crate::format::snapshot::Origin;
use crate::format::snapshot::SnapshotKind;
use crate::ops::backup;
use crate::ops::backup::BackupOptions;
use crate::ops::backup::BackupReport;
use crate::ops::backup::TakenOver;
use crate::ops::memory::AtOnce;
use crate::ops::replicate::LeftOut;
use crate::ops::replicate::in_order;
use crate::ops::restore;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::Target;
use crate::ops::show;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::suite::Suite;
use crate::source::Ending;
use crate::source::FileSource;
use crate::source::Source;

/// The plan of a copy that is re-encrypted.
#[derive(Debug)]
pub struct ReencryptionPlan<'r> {
    near: &'r Repository,
    /// Snapshots to copy, the oldest first.
    wanted: Vec<StoredSnapshot>,
    /// The snapshots of this side that are there already, with their ids there.
    known: HashMap<String, String>,
    /// Wanted snapshots that were there before, by their ids there.
    there: HashSet<String>,
    /// Wanted snapshots that were removed there.
    removed: Vec<SnapshotId>,
}

/// The result of copying snapshots re-encrypted.
#[derive(Debug, Clone, Default)]
pub struct ReencryptionReport {
    /// The backups that were made there, the oldest first.
    pub sent: Vec<BackupReport>,
    /// Snapshots that were there before.
    pub there: u64,
    /// Ids in the other repository of the snapshots that were there before.
    pub known: HashSet<String>,
    /// Snapshots that are not copied since they were removed there.
    pub removed_there: Vec<SnapshotId>,
    /// Snapshots that are not there.
    pub left_out: Vec<LeftOut>,
    /// Bytes that were stored there.
    pub stored_bytes: u64,
    /// Objects that were stored there.
    pub stored_objects: u64,
}

/// Plans to copy snapshots re-encrypted, to a repository that need not be there yet.
pub fn plan<'r>(
    near: &'r Repository,
    far: Option<&Repository>,
    snapshots: Vec<StoredSnapshot>,
) -> Result<ReencryptionPlan<'r>> {
    plan_unless(near, far, snapshots, &|_| true)
}

/// Plans to copy snapshots that were asked for by name: also those that were copied before, if the
/// copies are known to be damaged.
pub fn plan_named<'r>(
    near: &'r Repository,
    far: Option<&Repository>,
    snapshots: Vec<StoredSnapshot>,
) -> Result<ReencryptionPlan<'r>> {
    let damage = far.map(Repository::known_damage).transpose()?;
    let is_good = |id: &str| {
        let found = SnapshotId::from_hex(id).and_then(|id| damage.as_ref()?.of(&id));
        found.is_none()
    };
    plan_unless(near, far, snapshots, &is_good)
}

/// Plans to copy snapshots, unless their copies there are good.
fn plan_unless<'r>(
    near: &'r Repository,
    far: Option<&Repository>,
    snapshots: Vec<StoredSnapshot>,
    is_good: &dyn Fn(&str) -> bool,
) -> Result<ReencryptionPlan<'r>> {
    near.require_data()?;
    let known = far.map(|far| copied_before(near, far)).transpose()?.unwrap_or_default();
    let mut wanted = in_order(near, snapshots, &mut HashSet::new())?;
    // The next run of the source goes on from a checkpoint; nobody restores it.
    wanted.retain(|stored| stored.snapshot.about.kind != SnapshotKind::Checkpoint);
    wanted.sort_by_key(|stored| (stored.snapshot.about.time, stored.name.sequence, stored.id()));
    let mut there = HashSet::new();
    wanted.retain(|stored| match known.get(&stored.id().to_string()) {
        Some(id) if is_good(id) => {
            there.insert(id.clone());
            false
        }
        Some(_) | None => true,
    });
    let mut removed = Vec::new();
    if let Some(far) = far.filter(|far| far.has_intents()) {
        let origins = removed_before(near, far, &wanted)?;
        wanted.retain(|stored| {
            let is_removed = origins.contains(&stored.id().to_string());
            removed.extend(is_removed.then_some(stored.id()));
            !is_removed
        });
    }
    Ok(ReencryptionPlan { near, wanted, known, there, removed })
}

/// Returns the origins in `near` of snapshots that were removed in `far`, of the sources that are
/// wanted.
fn removed_before(
    near: &Repository,
    far: &Repository,
    wanted: &[StoredSnapshot],
) -> Result<HashSet<String>> {
    let own = near.keyring().repository().to_string();
    let sources: BTreeSet<&str> =
        wanted.iter().map(|stored| stored.snapshot.about.source.as_str()).collect();
    let mut origins = HashSet::new();
    for source in sources {
        let removals = far.removals(Some(far.source_id(source)?))?;
        for id in removals.snapshots() {
            // One that does not count is reported where that repository is used.
            let removal = far.removal_of(&removals, id, &mut Vec::new())?;
            let origin = removal.and_then(|removal| removal.origin);
            origins.extend(
                origin.filter(|origin| origin.repository == own).map(|origin| origin.snapshot),
            );
        }
    }
    Ok(origins)
}

/// Returns which snapshots of `near` are in `far`, and by which names.
fn copied_before(near: &Repository, far: &Repository) -> Result<HashMap<String, String>> {
    if far.keyring().suite() == Suite::KeyedTag && near.keyring().suite() != Suite::KeyedTag {
        let place = far.store().location();
        let what = format!("{place} is not encrypted, and this repository is");
        return Err(Error::new(ErrorKind::Distrusted, what));
    }
    let own = near.keyring().repository().to_string();
    let mut known = HashMap::new();
    for stored in far.snapshots()?.snapshots {
        let id = stored.id().to_string();
        let origin = stored.snapshot.about.origin;
        if let Some(origin) = origin.filter(|origin| origin.repository == own) {
            known.insert(origin.snapshot, id);
        }
    }
    Ok(known)
}

impl ReencryptionPlan<'_> {
    /// Returns the number of snapshots that will be copied.
    pub fn snapshots(&self) -> u64 {
        u64_of(self.wanted.len())
    }

    /// Returns the snapshots that are not copied since they were removed there, the oldest first.
    pub fn removed_there(&self) -> &[SnapshotId] {
        &self.removed
    }

    /// Returns the total length of their streams in bytes.
    pub fn stream_bytes(&self) -> u64 {
        self.wanted.iter().map(|stored| stored.snapshot.about.stream_bytes).sum()
    }

    /// Carries the snapshots over to `far`, one after the other.
    pub fn send(
        mut self,
        far: &Repository,
        workers: u32,
        world: &World,
    ) -> Result<ReencryptionReport> {
        let monitor = &world.monitor;
        monitor.count(Counter::ExpectedBytes, self.stream_bytes());
        let known = std::mem::take(&mut self.there);
        let mut report = ReencryptionReport {
            there: u64_of(known.len()),
            known,
            removed_there: std::mem::take(&mut self.removed),
            ..ReencryptionReport::default()
        };
        for mut stored in std::mem::take(&mut self.wanted) {
            monitor.check()?;
            self.near.notes(Some(stored.id()))?.apply(&mut stored);
            match self.copy_reencrypted(&stored, far, workers, world)? {
                Ok(done) => {
                    self.known.insert(stored.id().to_string(), done.id.to_string());
                    report.stored_bytes += done.counts.stored_bytes;
                    report.stored_objects += done.counts.stored_objects;
                    report.sent.push(done);
                }
                Err(why) => report.left_out.push(LeftOut::new(&stored, why)),
            }
        }
        Ok(report)
    }

    /// Returns what a snapshot requires, by the names over there; or why it can't be there if that
    /// is lacking.
    fn requires(&self, stored: &StoredSnapshot) -> std::result::Result<Vec<String>, String> {
        let of = |id: &String| {
            let short = id.get(..8).unwrap_or(id);
            let lacking = || format!("it requires snapshot {short}, which is not there");
            self.known.get(id).cloned().ok_or_else(lacking)
        };
        stored.snapshot.about.requires.iter().map(of).collect()
    }

    /// Carries one snapshot over; returns why, if it can't be had here.
    fn copy_reencrypted(
        &self,
        stored: &StoredSnapshot,
        far: &Repository,
        workers: u32,
        world: &World,
    ) -> Result<std::result::Result<BackupReport, String>> {
        let requires = match self.requires(stored) {
            Ok(requires) => requires,
            Err(why) => return Ok(Err(why)),
        };
        let monitor = &world.monitor;
        let no_pipe = |e: io::Error| Error::new(ErrorKind::Source, "cannot make a pipe").because(e);
        let (reader, writer) = io::pipe().map_err(no_pipe)?;
        let source = Relay {
            inner: FileSource::new(File::from(OwnedFd::from(reader))),
            monitor: Arc::clone(monitor),
        };
        let about = &stored.snapshot.about;
        let origin = Origin {
            repository: self.near.keyring().repository().to_string(),
            snapshot: stored.id().to_string(),
        };
        let log = self.log(stored, world)?;
        let taken = TakenOver { about, origin, requires, log };
        let options = options(about, workers);
        // What is counted there stands in the description there, so it has a monitor of its own.
        let own = uncounted(world);
        let (done, read) = thread::scope(|scope| {
            let read = || crew::caught(|| self.read(stored, writer, workers, world));
            let read = match crew::start_scoped(scope, "restore", read) {
                Ok(read) => read,
                Err(error) => return (Err(error), Ok(())),
            };
            let take = || backup::take_over(far, Box::new(source), &options, &taken, &own);
            // Whatever comes of it drops the source: the restore's next write then fails.
            let done = crew::caught(take);
            (done, read.join().unwrap_or_else(|payload| Err(crew::panicked(&*payload))))
        });
        monitor.check()?;
        match (done, read) {
            (Ok(done), Ok(())) => Ok(Ok(done)),
            (_, Err(error)) if is_of_near(&error) => Ok(Err(error.with_causes())),
            // When the other side fails, the pipe breaks here too.
            (Err(error), Err(broken)) if broken.kind() == ErrorKind::Target => Err(error),
            (_, Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    /// Returns the messages of the producer. A snapshot is not left out for want of them.
    fn log(&self, stored: &StoredSnapshot, world: &World) -> Result<Option<String>> {
        match show::log(self.near, stored, &uncounted(world)) {
            Err(error) if is_of_near(&error) => {
                let id = stored.id().short();
                let what = error.with_causes();
                Ok(Some(format!("haulout: the log of snapshot {id} could not be read: {what}\n")))
            }
            read => read,
        }
    }

    fn read(
        &self,
        stored: &StoredSnapshot,
        mut out: impl Write + Send,
        workers: u32,
        world: &World,
    ) -> Result<()> {
        let options = RestoreOptions::new(workers);
        let out = Target::Stream(&mut out);
        restore::restore(self.near, stored, out, &options, &uncounted(world)).map(|_| ())
    }
}

/// Returns the same world with a monitor of its own: work that is not counted, and can't be stopped
/// by itself.
fn uncounted(world: &World) -> World {
    World { monitor: Arc::default(), ..world.clone() }
}

/// Tells whether a snapshot can't be read because of what is stored, not because of how it is
/// reached.
fn is_of_near(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing)
}

fn options(about: &Description, workers: u32) -> BackupOptions {
    BackupOptions {
        format: Some(about.format),
        tags: about.tags.clone(),
        at_once: AtOnce::with_workers(workers),
        host: about.host.clone(),
        ..BackupOptions::new(&about.source)
    }
}

/// The end of the pipe from which the backup reads: it shows progress, and hears the wish to stop.
struct Relay {
    inner: FileSource,
    monitor: Arc<Monitor>,
}

impl Source for Relay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.monitor.check().map_err(io::Error::other)?;
        let count = self.inner.read(buffer)?;
        self.monitor.count(Counter::StreamBytes, u64_of(count));
        Ok(count)
    }

    fn finish(self: Box<Self>) -> io::Result<Ending> {
        // The description that is taken over records what became of the producer.
        Ok(Ending::unseen())
    }
}
