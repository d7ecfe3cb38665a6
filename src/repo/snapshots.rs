//! Snapshots as objects: put last, listed by source, opened only if their bytes are what their name
//! says.

use std::collections::HashSet;

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
use crate::base::num::index;
use crate::base::num::wide;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::snapshot::Snapshot;
use crate::format::snapshot::Verdict;
use crate::repo::Repository;
use crate::repo::store_error;
use crate::seal::error::SealError;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

/// Snapshots that are read at the same time.
const READERS: u32 = 8;

/// The name of a snapshot, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotName {
    /// Whose.
    pub source: SourceId,
    /// Its place in the lineage.
    pub sequence: u64,
    /// The hash of the object.
    pub id: SnapshotId,
}

impl SnapshotName {
    fn parse(name: &ObjectName) -> Option<SnapshotName> {
        let Object::Snapshot { source, sequence, id } = Object::parse(name)? else { return None };
        Some(SnapshotName { source, sequence, id })
    }

    /// Its object.
    pub fn object(&self) -> ObjectName {
        let SnapshotName { source, sequence, id } = *self;
        Object::Snapshot { source, sequence, id }.name()
    }

    fn context(&self) -> [u8; 24] {
        context(self.source, self.sequence)
    }
}

fn context(source: SourceId, sequence: u64) -> [u8; 24] {
    let mut context = [0; 24];
    context[..16].copy_from_slice(&source.0);
    context[16..].copy_from_slice(&sequence.to_le_bytes());
    context
}

/// A snapshot that was opened.
#[derive(Clone, Debug)]
pub struct StoredSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What it says.
    pub snapshot: Snapshot,
}

impl StoredSnapshot {
    /// Its id.
    pub fn id(&self) -> SnapshotId {
        self.name.id
    }

    /// Whether `latest` may mean it: it is whole, and of the format that its source has.
    pub fn counts_as_latest(&self) -> bool {
        let about = &self.snapshot.about;
        let is_odd = about.expected_format.is_some_and(|format| format != about.format);
        about.verdict != Verdict::Partial && !is_odd
    }
}

/// Why bytes that are what their name says are no snapshot of this place: no decay does that.
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

/// The snapshots of a repository, and those that can't be read.
#[derive(Debug, Default)]
pub struct Listing {
    /// Oldest first.
    pub snapshots: Vec<StoredSnapshot>,
    /// What is wrong with others.
    pub damaged: Vec<(SnapshotName, Error)>,
}

impl Repository {
    /// Names of snapshots, of one source or of all, in the order of their sequence numbers.
    pub fn snapshot_names(&self, source: Option<SourceId>) -> Result<Vec<SnapshotName>> {
        let prefix = match source {
            Some(source) => Folder::snapshots_of(source),
            None => Folder::Snapshots.prefix().to_owned(),
        };
        let mut names = Vec::new();
        let mut add = |name: &ObjectName| names.extend(SnapshotName::parse(name));
        self.store()
            .list(&prefix, &mut |meta| add(&meta.name))
            .map_err(|e| store_error("cannot list the snapshots", e))?;
        names.sort_by_key(|name| (name.sequence, name.id));
        Ok(names)
    }

    /// Opens a snapshot.
    pub fn read_snapshot(&self, name: &SnapshotName) -> Result<StoredSnapshot> {
        let what = || format!("snapshot {}", name.id.short());
        let bytes = self
            .store()
            .get(&name.object(), wide(SNAPSHOT_BYTES_MAX))
            .map_err(|e| store_error(format!("cannot read {}", what()), e))?;
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
    fn read_snapshots(&self, names: &[SnapshotName]) -> Result<Vec<Result<StoredSnapshot>>> {
        if names.len() <= index(READERS) {
            return Ok(names.iter().map(|name| self.read_snapshot(name)).collect());
        }
        let mut read = Vec::with_capacity(names.len());
        // The store itself hears the wish to stop.
        let monitor = Monitor::default();
        crew::in_order(
            Shape { workers: READERS, weight_max: u64::from(READERS) * 2, monitor: &monitor },
            |planner| names.iter().try_for_each(|name| planner.work(1, name)),
            || |name: &SnapshotName| Ok(self.read_snapshot(name)),
            |stored| {
                read.push(stored);
                Ok(())
            },
        )?;
        Ok(read)
    }

    /// All snapshots, by time.
    pub fn snapshots(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        let names = self.snapshot_names(None)?;
        for (name, read) in names.iter().zip(self.read_snapshots(&names)?) {
            match read {
                Ok(snapshot) => listing.snapshots.push(snapshot),
                Err(error) => listing.damaged.push((*name, error)),
            }
        }
        listing.snapshots.sort_by_key(|stored| {
            let about = &stored.snapshot.about;
            (about.time, about.sequence, stored.id())
        });
        Ok(listing)
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
        let bytes = wide(sealed.len());
        self.store()
            .put(&name.object(), &[Bytes::from(sealed)])
            .map_err(|e| store_error("cannot store the snapshot", e))?;
        Ok((id, bytes))
    }

    /// The snapshot that a user means: an id, a unique prefix of one, `latest`, or `SOURCE@latest`.
    pub fn find_snapshot(&self, wanted: &str) -> Result<StoredSnapshot> {
        if let Some(source) = wanted.strip_suffix("@latest") {
            return self.latest(Some(source));
        }
        if wanted == "latest" {
            return self.latest(None);
        }
        if wanted.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the id of the snapshot is empty"));
        }
        let names = self.snapshot_names(None)?;
        let matches = |name: &&SnapshotName| name.id.to_string().starts_with(wanted);
        let found: Vec<_> = names.iter().filter(matches).collect();
        match found.as_slice() {
            [name] => self.read_snapshot(name),
            [] => Err(Error::new(ErrorKind::Usage, format!("there is no snapshot {wanted}"))),
            several => Err(Error::new(
                ErrorKind::Usage,
                format!("{wanted} is the beginning of {} snapshots", several.len()),
            )),
        }
    }

    fn latest(&self, source: Option<&str>) -> Result<StoredSnapshot> {
        let source =
            source.map(|name| Ok::<_, Error>((name, self.source_id(name)?))).transpose()?;
        let mut newest: Option<StoredSnapshot> = None;
        let mut settled = HashSet::new();
        // Names tell source and sequence: of each source, one that counts is enough.
        for name in self.snapshot_names(source.map(|(_, id)| id))?.iter().rev() {
            if settled.contains(&name.source) {
                continue;
            }
            // Going on to an older one if it is damaged would quietly restore the wrong night.
            let stored = self.read_snapshot(name)?;
            if !stored.counts_as_latest() {
                continue;
            }
            settled.insert(name.source);
            let time = |stored: &StoredSnapshot| (stored.snapshot.about.time, stored.name.sequence);
            if newest.as_ref().is_none_or(|newest| time(newest) < time(&stored)) {
                newest = Some(stored);
            }
        }
        newest.ok_or_else(|| {
            let of = source.map_or(String::new(), |(name, _)| format!(" of {name}"));
            Error::new(ErrorKind::Usage, format!("there is no snapshot{of} that counts as latest"))
        })
    }
}
