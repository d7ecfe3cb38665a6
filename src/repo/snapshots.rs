//! Snapshots as objects: put last, listed by source, opened only if their bytes are what their name
//! says.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::limits::SNAPSHOT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::snapshot::Description;
use crate::format::snapshot::Snapshot;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::repo::hidden::Hidden;
use crate::repo::hidden::was_removed;
use crate::repo::require_there;
use crate::repo::snapshot_name::context;
use crate::seal::error::SealError;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

pub use crate::repo::snapshot_name::SnapshotName;

/// Number of snapshots that are read at the same time.
const READERS: u32 = 8;

/// Maximum number of sources named in the error when a snapshot could be that of several.
const SOURCES_NAMED_MAX: usize = 20;

/// A snapshot that was read from the store and opened.
#[derive(Clone, Debug)]
pub struct StoredSnapshot {
    /// The name under which the snapshot is stored.
    pub name: SnapshotName,
    /// The decoded content of the snapshot object.
    pub snapshot: Snapshot,
}

impl StoredSnapshot {
    /// Returns the id of the snapshot.
    pub fn id(&self) -> SnapshotId {
        self.name.id
    }

    /// Tells whether `latest` may mean it: it is whole, and of the format that its source has.
    pub fn counts_as_latest(&self) -> bool {
        let about = &self.snapshot.about;
        let is_odd = about.expected_format.is_some_and(|format| format != about.format);
        about.verdict != Verdict::Partial && !is_odd
    }
}

/// The rule that chooses a snapshot of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The newest that counts as latest.
    Latest,
    /// The newest of these that is complete.
    Complete,
}

/// Explains why bytes that match their name are not a snapshot of this place: decay can't cause
/// that.
fn not_opened(what: &str, cause: SealError) -> Error {
    if matches!(cause, SealError::WrongKey { .. }) {
        let what = format!("{what} was sealed for another repository, or with a newer key");
        return Error::new(ErrorKind::ForeignKey, what).because(cause);
    }
    if matches!(cause, SealError::NotAuthentic { .. } | SealError::KindMismatch { .. }) {
        return Error::new(ErrorKind::Misplaced, format!("{what} is not in its place"))
            .because(cause);
    }
    Error::damaged(what, cause)
}

/// The description of a snapshot, without the references to its contents, which take many times the
/// memory.
#[derive(Clone, Debug)]
pub struct Described {
    /// The name under which the snapshot is stored.
    pub name: SnapshotName,
    /// The description that the snapshot carries.
    pub about: Description,
}

impl Described {
    /// Returns the id of the snapshot.
    pub fn id(&self) -> SnapshotId {
        self.name.id
    }
}

impl From<StoredSnapshot> for Described {
    fn from(stored: StoredSnapshot) -> Self {
        Self { name: stored.name, about: stored.snapshot.about }
    }
}

/// The snapshots of a repository, and those that can't be read.
#[derive(Debug)]
pub struct Listing<S = StoredSnapshot> {
    /// Snapshots that were read, oldest first.
    pub snapshots: Vec<S>,
    /// Snapshots that can't be read, and why.
    pub damaged: Vec<(SnapshotName, Error)>,
    /// Snapshots that nobody needs: a rotation of keys overtook the runs that put them, which
    /// failed and reported it, and a later snapshot of their source exists.
    pub overtaken: Vec<(SnapshotName, Error)>,
}

/// Tells whether a later snapshot of its source is among those that were read.
fn is_succeeded(read: &[SnapshotName], name: &SnapshotName) -> bool {
    read.iter().any(|other| other.source == name.source && other.sequence > name.sequence)
}

impl Repository {
    /// Returns the names of snapshots, of one source or of all, in the order of their sequence
    /// numbers, but for those that were removed or are doubtful. One that a verdict bars is among
    /// them; it can't be read.
    pub fn snapshot_names(&self, source: Option<SourceId>) -> Result<Vec<SnapshotName>> {
        let mut names = self.listed_snapshots(source)?;
        let hidden = self.hidden(source)?;
        names.retain(|name| !hidden.hides(name));
        Ok(names)
    }

    /// Returns the same names, after a look at what is hidden now.
    fn names_now(&self, source: Option<SourceId>) -> Result<(Vec<SnapshotName>, Arc<Hidden>)> {
        let mut names = self.listed_snapshots(source)?;
        let hidden = self.look_at_hidden(source, &names)?;
        names.retain(|name| !hidden.hides(name));
        Ok((names, hidden))
    }

    /// Returns the names of all snapshots that the store lists, hidden or not, of one source or of
    /// all, in the order of their sequence numbers.
    pub fn listed_snapshots(&self, source: Option<SourceId>) -> Result<Vec<SnapshotName>> {
        let prefix = match source {
            Some(source) => Folder::snapshots_of(source),
            None => Folder::Snapshots.prefix().to_owned(),
        };
        let mut names = Vec::new();
        let mut add = |name: &ObjectName| names.extend(SnapshotName::parse(name));
        self.store()
            .list(&prefix, &mut |meta| add(&meta.name))
            .map_err(|e| e.named("cannot list the snapshots"))?;
        names.sort_by_key(|name| (name.sequence, name.id));
        Ok(names)
    }

    /// Reads and opens one snapshot; fails if it is hidden.
    pub fn read_snapshot(&self, name: &SnapshotName) -> Result<StoredSnapshot> {
        if !self.has_intents() {
            return self.read_any_snapshot(name);
        }
        let hidden = self.hidden(Some(name.source))?;
        hidden.check(name)?;
        let stored = self.read_any_snapshot(name)?;
        let about = &stored.snapshot.about;
        hidden.check_run(name, &about.run)?;
        if about.protocol.is_none() {
            self.earlier_of(&hidden)?.check(name.id, about)?;
        }
        Ok(stored)
    }

    /// Reads and opens one snapshot, hidden or not.
    pub fn read_any_snapshot(&self, name: &SnapshotName) -> Result<StoredSnapshot> {
        let what = || format!("snapshot {}", name.id.short());
        let bytes = self
            .store()
            .get(&name.object(), u64_of(SNAPSHOT_BYTES_MAX))
            .map_err(|e| e.named(format!("cannot read {}", what())))?;
        if *blake3::hash(&bytes).as_bytes() != name.id.0 {
            let why = Malformed { what: "snapshot", why: "its bytes do not match its name" };
            return Err(Error::damaged(what(), why));
        }
        let (text, generation) = self
            .keyring()
            .open_dated(ObjectKind::Snapshot, &name.context(), &bytes)
            .map_err(|e| not_opened(&what(), e))?;
        self.believed.check(generation, &name.id.0, &what())?;
        let snapshot = Snapshot::decode(&text).map_err(|e| Error::damaged(what(), e))?;
        Ok(StoredSnapshot { name: *name, snapshot })
    }

    /// Opens many snapshots, several at a time: over a network each is a round trip.
    fn read_snapshots<S: Send>(
        &self,
        names: &[SnapshotName],
        keep: &(dyn Fn(StoredSnapshot) -> S + Sync),
    ) -> Result<Vec<Result<S>>> {
        let read_one = |name: &SnapshotName| self.read_snapshot(name).map(keep);
        if names.len() <= usize_of_u32(READERS) {
            return Ok(names.iter().map(read_one).collect());
        }
        let mut read = Vec::with_capacity(names.len());
        // The store itself hears the wish to stop.
        let monitor = Monitor::default();
        crew::in_order(
            Shape {
                planner: "list",
                workers: READERS,
                weight_max: u64::from(READERS) * 2,
                monitor: &monitor,
            },
            |planner| names.iter().try_for_each(|name| planner.work(1, name)),
            || |name: &SnapshotName| Ok(read_one(name)),
            |stored| {
                read.push(stored);
                Ok(())
            },
        )?;
        Ok(read)
    }

    /// Returns all snapshots, oldest first.
    pub fn snapshots(&self) -> Result<Listing> {
        self.listing(&|stored| stored, &|stored| (&stored.snapshot.about, stored.id()))
    }

    /// Returns the descriptions of all snapshots, oldest first.
    pub fn descriptions(&self) -> Result<Listing<Described>> {
        self.listing(&Described::from, &|described| (&described.about, described.id()))
    }

    /// Reads all snapshots, and returns what `keep` makes of each, oldest first.
    fn listing<S: Send>(
        &self,
        keep: &(dyn Fn(StoredSnapshot) -> S + Sync),
        about: &dyn Fn(&S) -> (&Description, SnapshotId),
    ) -> Result<Listing<S>> {
        let (mut snapshots, mut damaged): (Vec<S>, Vec<(SnapshotName, Error)>) = Default::default();
        let mut read = Vec::new();
        let (names, _) = self.names_now(None)?;
        for (name, outcome) in names.iter().zip(self.read_snapshots(&names, keep)?) {
            match outcome {
                Ok(snapshot) => {
                    snapshots.push(snapshot);
                    read.push(*name);
                }
                Err(error) if error.kind() == ErrorKind::Removed => {}
                Err(error) => damaged.push((*name, error)),
            }
        }
        snapshots.sort_by_key(|snapshot| {
            let (about, id) = about(snapshot);
            (about.time, about.sequence, id)
        });
        let (overtaken, damaged) = damaged
            .into_iter()
            .partition(|(name, error)| self.was_overtaken(error) && is_succeeded(&read, name));
        Ok(Listing { snapshots, damaged, overtaken })
    }

    /// Makes a snapshot durable and visible; everything that it names must be durable.
    pub fn put_snapshot(&self, source: SourceId, snapshot: &Snapshot) -> Result<(SnapshotId, u64)> {
        let sequence = snapshot.about.sequence;
        let sealed = self
            .keyring()
            .seal_object(
                ObjectKind::Snapshot,
                &context(source, sequence),
                &snapshot.encode(),
                &**self.entropy(),
            )
            .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal the snapshot").because(e))?;
        assert!(sealed.len() <= SNAPSHOT_BYTES_MAX, "its lists are bounded");
        let id = SnapshotId(*blake3::hash(&sealed).as_bytes());
        let name = SnapshotName { source, sequence, id };
        let bytes = u64_of(sealed.len());
        self.store()
            .put(&name.object(), &[Bytes::from(sealed)])
            .map_err(|e| e.named("cannot store the snapshot"))?;
        require_there(&**self.store(), &name.object(), bytes)?;
        Ok((id, bytes))
    }

    /// Finds the snapshot that a user means: an id, a unique prefix of one, `SOURCE@latest`,
    /// `SOURCE@complete`, or `latest` if there is one source only.
    pub fn find_snapshot(&self, wanted: &str) -> Result<StoredSnapshot> {
        if let Some(source) = wanted.strip_suffix("@latest") {
            return self.newest(source, Choice::Latest);
        }
        if let Some(source) = wanted.strip_suffix("@complete") {
            return self.newest(source, Choice::Complete);
        }
        if wanted == "latest" {
            return self.latest_of_all();
        }
        if wanted.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the id of the snapshot is empty"));
        }
        let (names, hidden) = self.names_now(None)?;
        let matches = |name: &&SnapshotName| name.id.to_string().starts_with(wanted);
        let found: Vec<_> = names.iter().filter(matches).collect();
        match found.as_slice() {
            [name] => self.read_snapshot(name),
            [] => Err(self.why_absent(wanted, &hidden)?),
            several => Err(Error::new(
                ErrorKind::Usage,
                format!("{wanted} is the beginning of {} snapshots", several.len()),
            )),
        }
    }

    /// Returns why no snapshot whose id begins like this is shown: there is none, or it is hidden.
    fn why_absent(&self, wanted: &str, hidden: &Hidden) -> Result<Error> {
        let there = self.listed_snapshots(None)?;
        let matches = |name: &&SnapshotName| name.id.to_string().starts_with(wanted);
        if let Some(why) = there.iter().find(matches).and_then(|name| hidden.check(name).err()) {
            return Ok(why);
        }
        let mut removed = hidden.removals().snapshots();
        removed.retain(|id| id.to_string().starts_with(wanted));
        if let (Some(id), 1) = (removed.first(), removed.len())
            && let Some(removal) = self.removal_of(hidden.removals(), *id, &mut Vec::new())?
        {
            return Ok(was_removed(*id, &removal));
        }
        Ok(Error::new(ErrorKind::Usage, format!("there is no snapshot {wanted}")))
    }

    /// Finds the newest snapshot of a source that counts.
    fn newest(&self, source: &str, choice: Choice) -> Result<StoredSnapshot> {
        let (names, _) = self.names_now(Some(self.source_id(source)?))?;
        if let Some(found) = self.newest_of(&names, choice)? {
            return Ok(found);
        }
        let what = match (choice, names.is_empty()) {
            (_, true) => format!("there is no snapshot of {source}"),
            (Choice::Latest, _) => {
                format!("there is no snapshot of {source} that counts as latest")
            }
            (Choice::Complete, _) => format!("there is no complete snapshot of {source}"),
        };
        Err(Error::new(ErrorKind::Usage, what))
    }

    /// Finds the latest snapshot; fails if the repository has several sources.
    fn latest_of_all(&self) -> Result<StoredSnapshot> {
        let (mut names, _) = self.names_now(None)?;
        self.leave_out_binlogs(&mut names);
        if names.iter().any(|name| name.source != names[0].source) {
            let sources = self.source_names(&names).join(", ");
            let what = format!("latest could be that of several sources: {sources}");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        self.newest_of(&names, Choice::Latest)?.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "there is no snapshot that counts as latest")
        })
    }

    /// Leaves out the snapshots of sources whose newest one is a binary log.
    fn leave_out_binlogs(&self, names: &mut Vec<SnapshotName>) {
        if !self.features.include(Features::BINLOGS) {
            return;
        }
        let newest: BTreeMap<_, _> = names.iter().map(|name| (name.source, *name)).collect();
        let is_binlog = |name: &SnapshotName| {
            let read = self.read_snapshot(name);
            read.is_ok_and(|stored| stored.snapshot.about.format == StreamFormat::Binlog)
        };
        let sources: Vec<SourceId> =
            newest.values().filter(|name| is_binlog(name)).map(|name| name.source).collect();
        names.retain(|name| !sources.contains(&name.source));
    }

    /// Finds the newest of these snapshots of one source that counts.
    fn newest_of(&self, names: &[SnapshotName], choice: Choice) -> Result<Option<StoredSnapshot>> {
        for name in names.iter().rev() {
            let stored = match self.read_snapshot(name) {
                Ok(stored) => stored,
                Err(error) if error.kind() == ErrorKind::Removed => continue,
                // Going on to an older one if it is damaged would quietly restore the wrong night.
                Err(error) => return Err(error),
            };
            let is_complete = stored.snapshot.about.verdict == Verdict::Complete;
            if stored.counts_as_latest() && (choice == Choice::Latest || is_complete) {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Finds the newest snapshot of the same source that counts as latest and is not known to be
    /// damaged. What can't be read is passed over: it is damaged in another way.
    pub fn newest_without(
        &self,
        damaged: &StoredSnapshot,
        known: &KnownDamage,
    ) -> Result<Option<StoredSnapshot>> {
        for name in self.snapshot_names(Some(damaged.name.source))?.iter().rev() {
            if known.of(&name.id).is_some() {
                continue;
            }
            match self.read_snapshot(name) {
                Ok(stored) if stored.counts_as_latest() => return Ok(Some(stored)),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Returns the names of the sources of these snapshots, sorted. Names of objects do not tell
    /// them, so one snapshot of each is read; a source of which none can be read has its id.
    fn source_names(&self, names: &[SnapshotName]) -> Vec<String> {
        let mut newest = BTreeMap::new();
        for name in names {
            newest.insert(name.source, *name);
        }
        let word = |name: &SnapshotName| match self.read_snapshot(name) {
            Ok(stored) => stored.snapshot.about.source,
            Err(_) => format!("{} (damaged)", name.source),
        };
        let others = newest.len().saturating_sub(SOURCES_NAMED_MAX);
        let mut sources: Vec<String> = newest.values().take(SOURCES_NAMED_MAX).map(word).collect();
        sources.sort();
        if others > 0 {
            sources.push(format!("and {others} more"));
        }
        sources
    }
}
