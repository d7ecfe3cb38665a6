//! The runs that stand, by their intents (FORMAT.md 10.2).
//!
//! An intent is listed first and read then. One that is gone when it is read is that of a run that
//! has ended; one that can't be read is that of a run of which nothing is known but that it stands.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::intent::Held;
use crate::format::intent::INTENT_TEXT_BYTES_MAX;
use crate::format::intent::Intent;
use crate::format::intent::held;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::repo::Repository;
use crate::repo::snapshot_name::SnapshotName;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

pub use crate::format::intent::IntentVerb;
pub use crate::seal::ids::RunId;

/// A run that has an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRun {
    /// The id of the run.
    pub run: RunId,
    /// The work of the run.
    pub verb: IntentVerb,
    /// The largest epoch of the fences that it had seen.
    pub epoch: u64,
    /// When it put its intent, seconds since 1970.
    pub time: u64,
    /// The snapshots that it may rely on.
    pub roots: BTreeSet<SnapshotName>,
    /// The snapshots that it is about to remove.
    pub removes: BTreeSet<SnapshotId>,
    /// The snapshots that it will put.
    pub puts: BTreeSet<SnapshotId>,
    /// The objects of its intent.
    pub objects: Vec<ObjectName>,
    /// Tells whether all parts of its intent are there: until then it relies on nothing.
    pub is_whole: bool,
    holds: BTreeSet<Held>,
}

impl StandingRun {
    /// Tells whether it holds a pack.
    pub fn holds(&self, pack: &PackName) -> bool {
        self.holds.contains(&held(pack))
    }

    fn new(run: RunId, parts: Vec<(ObjectName, Intent)>) -> Option<Self> {
        let (_, first) = parts.first()?;
        let (verb, epoch, time) = (first.verb, first.epoch, first.time);
        let there: BTreeSet<u8> = parts.iter().map(|(_, intent)| intent.part).collect();
        let is_whole = there.len() == usize::from(first.parts);
        let mut standing = Self {
            run,
            verb,
            epoch,
            time,
            roots: BTreeSet::new(),
            removes: BTreeSet::new(),
            puts: BTreeSet::new(),
            objects: Vec::new(),
            is_whole,
            holds: BTreeSet::new(),
        };
        for (name, intent) in parts {
            standing.objects.push(name);
            for (source, roots) in intent.roots {
                let named = roots.into_iter();
                let named = named.map(|(sequence, id)| SnapshotName { source, sequence, id });
                standing.roots.extend(named);
            }
            standing.removes.extend(intent.removes);
            standing.holds.extend(intent.holds);
            standing.puts.extend(intent.puts);
        }
        Some(standing)
    }
}

/// The runs that stand.
#[derive(Debug, Default)]
pub struct Standing {
    /// Runs whose intents were read, in the order of their ids.
    pub runs: Vec<StandingRun>,
    /// Runs whose intents were listed and gone when they were read.
    pub ended: BTreeSet<RunId>,
    /// Runs whose intents can't be read, and why: it is not known what they rely on.
    pub unread: Vec<(RunId, Error)>,
}

impl Standing {
    /// Returns the first prune or compaction.
    pub fn deleter(&self) -> Option<&StandingRun> {
        self.runs.iter().find(|run| run.verb.deletes())
    }
}

impl Repository {
    /// Lists the intents, then reads them.
    pub fn standing(&self) -> Result<Standing> {
        let mut parts: BTreeMap<RunId, Vec<(ObjectName, Intent)>> = BTreeMap::new();
        let mut standing = Standing::default();
        for object in self.listed(Folder::Intents.prefix())? {
            let Object::Intent { run, .. } = object else { continue };
            let (run, name) = (RunId::new(run), object.name());
            match self.read_intent(run, &name) {
                Ok(Some(intent)) => parts.entry(run).or_default().push((name, intent)),
                Ok(None) => drop(standing.ended.insert(run)),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    standing.unread.push((run, error));
                }
                Err(error) => return Err(error),
            }
        }
        // A run deletes its parts one after the other when it has ended.
        parts.retain(|run, _| !standing.ended.contains(run));
        let runs = parts.into_iter().filter_map(|(run, parts)| StandingRun::new(run, parts));
        standing.runs = runs.collect();
        Ok(standing)
    }

    fn read_intent(&self, run: RunId, name: &ObjectName) -> Result<Option<Intent>> {
        let bytes = match self.store().get(name, SMALL_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = error.named(format!("cannot read {name}"));
                return if error.kind() == ErrorKind::Missing { Ok(None) } else { Err(error) };
            }
        };
        if content_hash(name) != Some(*blake3::hash(&bytes).as_bytes()) {
            return Err(Error::damaged(name, "its bytes do not match its name"));
        }
        let text = self
            .keyring()
            .open_object(ObjectKind::Intent, run.bytes(), &bytes)
            .map_err(|e| Error::damaged(name, e))?;
        Intent::decode(&text).map(Some).map_err(|e| Error::damaged(name, e))
    }

    /// Puts an intent of a run.
    pub fn put_intent(&self, run: RunId, intent: &Intent) -> Result<ObjectName> {
        let text = intent.encode();
        if text.len() > INTENT_TEXT_BYTES_MAX {
            let what = "what this run relies on is too much for one intent";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let sealed = self
            .keyring()
            .seal_object(ObjectKind::Intent, run.bytes(), &text, &**self.entropy())
            .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal an intent").because(e))?;
        let hash = *blake3::hash(&sealed).as_bytes();
        let name = Object::Intent { run: *run.bytes(), hash }.name();
        self.store()
            .put(&name, &[Bytes::from(sealed)])
            .map_err(|e| e.named(format!("cannot store {name}")))?;
        Ok(name)
    }
}
