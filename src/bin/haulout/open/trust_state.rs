//! The record that this host keeps of a repository: its id, that it is encrypted, its features, the
//! generation of its keys, the newest snapshot of each source, and which others there were. A store
//! that goes back to an older state, or offers another repository in the place of a known one, can
//! only be detected by a host that remembers.
//!
//! It is kept in one small file for each repository, in a directory that the user names; without
//! one nothing is remembered. It holds no secret: names of objects, which the store knows as well.
//!
//! A snapshot that was the newest must still be there, or a newer one of its source that opens
//! under the repository's key: nobody without the key can make one. Others that were seen must be
//! there as well; and what is new must follow something that is there: each snapshot names its
//! parent, so one that was never shown to this host leaves a gap. Whatever is missing may have been
//! removed: then a removal says so, whose tag only a holder of a full key can make; of a parent
//! also a note on the snapshot that follows it. A host with a write-only key can't check the tag,
//! accepts it, and remembers that it did: a run with a full key on this host checks it later.
//! On a copy that was sent the newest snapshots only, gaps are no attack: it is not compared.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::SnapshotId;
use haulout::repo::keys::Suite;
use haulout::repo::removals::Removals;
use haulout::repo::snapshots::SnapshotName;
use haulout::verdict::finding::Code;
use haulout::verdict::finding::Finding;
use haulout::verdict::finding::FindingLog;
use serde::Deserialize;
use serde::Serialize;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::fail::hints;

/// The mode of the state directory: accessible to its owner only.
const PRIVATE: u32 = 0o700;
/// Bits of a mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The record of one repository that this host keeps.
#[derive(Debug)]
pub(crate) struct TrustState {
    path: PathBuf,
    record: Option<Record>,
    /// Snapshots that are missing, and whose removals could not be checked now.
    unchecked: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    repository: String,
    encrypted: bool,
    /// The generation of the repository's keys.
    #[serde(default)]
    generation: u8,
    /// The required features of the repository, a bit each.
    #[serde(default)]
    features: u64,
    newest: BTreeMap<String, Newest>,
    /// The ids of all snapshots that were seen.
    #[serde(default)]
    seen: BTreeSet<String>,
    /// The ids of snapshots that are missing, and whose removals this host could not check.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unchecked: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Newest {
    sequence: u64,
    snapshot: String,
}

impl TrustState {
    /// Loads what is known about the repository at a place.
    pub(crate) fn load(directory: &Path, location: &str) -> Result<Self> {
        let path = file_of(directory, location, "json")?;
        let what = || format!("cannot read {}", path.display());
        let record = match fs::read(&path) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                Some(record.map_err(|e| Error::new(ErrorKind::Damaged, what()).because(e))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::new(ErrorKind::Store, what()).because(error)),
        };
        let unchecked = record.as_ref().map(|record: &Record| record.unchecked.clone());
        Ok(Self { path, record, unchecked: unchecked.unwrap_or_default() })
    }

    /// Compares the identity of a repository with the one that is known.
    pub(crate) fn check_repository(&self, repository: &Repository) -> Outcome<()> {
        let Some(record) = &self.record else { return Ok(()) };
        let place = repository.store().location();
        if record.encrypted && repository.keyring().suite() == Suite::KeyedTag {
            let what = format!("{place} was encrypted, and says now that it is not");
            return Err(self.distrusted(ErrorKind::Distrusted, what));
        }
        if record.repository != repository.keyring().repository().to_string() {
            let what = format!("{place} holds another repository than before");
            return Err(self.distrusted(ErrorKind::OtherRepository, what));
        }
        let generation = repository.keyring().generation();
        if record.generation > generation {
            let known = record.generation;
            let what = format!(
                "{place} was opened with keys of generation {known}, and now with those of \
                 generation {generation}"
            );
            return Err(self.distrusted(ErrorKind::RolledBack, what));
        }
        if !repository.features().include(Features(record.features)) {
            let what =
                format!("{place} lacks features that it had before: its config is an older one");
            return Err(self.distrusted(ErrorKind::RolledBack, what));
        }
        Ok(())
    }

    /// Compares the newest snapshots that are known with those that the store shows.
    pub(crate) fn check_newest(&mut self, repository: &Repository) -> Outcome<()> {
        let Some(record) = &self.record else { return Ok(()) };
        let names = repository.listed_snapshots(None)?;
        let mut gone = Gone::new(repository);
        for (source, newest) in &record.newest {
            self.check_source(&mut gone, &names, source, newest)?;
        }
        let there: BTreeSet<String> = names.iter().map(|name| name.id.to_string()).collect();
        let place = repository.store().location();
        for lost in record.seen.union(&record.unchecked).filter(|id| !there.contains(*id)) {
            if gone.was_removed(lost)? {
                continue;
            }
            let short = lost.get(..8).unwrap_or_default();
            let what = format!("{place} has lost snapshot {short}, which was there before");
            return Err(self.distrusted(ErrorKind::Gap, what));
        }
        // A record of an older program has seen nothing: then everything is new.
        let new = |name: &&SnapshotName| {
            !record.seen.is_empty() && !record.seen.contains(&name.id.to_string())
        };
        for name in names.iter().filter(new) {
            // A snapshot that can't be read is reported by the code that needs it.
            let Ok(stored) = repository.read_any_snapshot(name) else { continue };
            let Some(parent) = stored.snapshot.about.parent else { continue };
            let is_known = there.contains(&parent) || gone.was_removed(&parent)?;
            if !is_known && !repository.notes(Some(name.id))?.lost_elsewhere(name.id, &parent) {
                let (id, parent) = (name.id.short(), parent.get(..8).unwrap_or_default());
                let what =
                    format!("{place} shows snapshot {id}, and not {parent}, which it follows");
                return Err(self.distrusted(ErrorKind::Gap, what));
            }
        }
        self.unchecked = gone.unchecked;
        Ok(())
    }

    fn check_source(
        &self,
        gone: &mut Gone<'_>,
        names: &[SnapshotName],
        source: &str,
        newest: &Newest,
    ) -> Outcome<()> {
        let mut own = names.iter().filter(|name| name.source.to_string() == source);
        if own.clone().any(|name| name.id.to_string() == newest.snapshot) {
            return Ok(());
        }
        let newer = own.rfind(|name| name.sequence > newest.sequence);
        if newer.is_some_and(|name| gone.repository.read_any_snapshot(name).is_ok()) {
            return Ok(());
        }
        if gone.was_removed(&newest.snapshot)? {
            return Ok(());
        }
        let (place, id) = (gone.repository.store().location(), &newest.snapshot[..8]);
        let what =
            format!("{place} has lost snapshot {id}, the newest of its source, and shows older");
        Err(self.distrusted(ErrorKind::RolledBack, what + " ones"))
    }

    /// Remembers what the store shows now.
    ///
    /// A record that can't be written is a finding; the work itself succeeds all the same.
    pub(crate) fn update(&mut self, repository: &Repository, findings: &FindingLog) -> Result<()> {
        let mut record = Record {
            repository: repository.keyring().repository().to_string(),
            encrypted: repository.keyring().suite() != Suite::KeyedTag,
            generation: repository.keyring().generation(),
            features: repository.features().0,
            newest: BTreeMap::new(),
            seen: BTreeSet::new(),
            unchecked: self.unchecked.clone(),
        };
        for SnapshotName { source, sequence, id } in repository.listed_snapshots(None)? {
            record.seen.insert(id.to_string());
            let newest = Newest { sequence, snapshot: id.to_string() };
            // They come in the order of their numbers.
            record.newest.insert(source.to_string(), newest);
        }
        if self.record.as_ref() != Some(&record) {
            match write(&self.path, &record) {
                Ok(()) => self.record = Some(record),
                Err(error) => {
                    let object = self.path.display().to_string();
                    let text = format!("it can't be written: {error}");
                    findings.report(Finding::new(Code::StateNotWritten, object, text));
                }
            }
        }
        Ok(())
    }

    fn distrusted(&self, kind: ErrorKind, what: String) -> Failure {
        let (shown, hint) = (self.path.display(), hints::hint(kind));
        Failure::new(
            Error::new(kind, what),
            format!(
                "if this was done on purpose, remove {shown}, where this host remembers it; \
                 otherwise {hint}"
            ),
        )
    }
}

/// The snapshots that are missing, as far as they were asked for.
struct Gone<'r> {
    repository: &'r Repository,
    /// The removals, once something is missing.
    removals: Option<Removals>,
    /// Those whose removals the key in use can't check.
    unchecked: BTreeSet<String>,
}

impl<'r> Gone<'r> {
    fn new(repository: &'r Repository) -> Self {
        Self { repository, removals: None, unchecked: BTreeSet::new() }
    }

    /// Tells whether a removal says that a snapshot was removed.
    fn was_removed(&mut self, id: &str) -> Result<bool> {
        let repository = self.repository;
        let Some(id) = SnapshotId::from_hex(id).filter(|_| repository.has_intents()) else {
            return Ok(false);
        };
        let removals = match &mut self.removals {
            Some(removals) => removals,
            unlisted => unlisted.insert(repository.removals(None)?),
        };
        let is_removed = repository.removal_of(removals, id, &mut Vec::new())?.is_some();
        if is_removed && !repository.opens_data() {
            self.unchecked.insert(id.to_string());
        }
        Ok(is_removed)
    }
}

/// Returns the file in which this host remembers something about the repository at a place.
pub(super) fn file_of(directory: &Path, location: &str, ending: &str) -> Result<PathBuf> {
    require_own(directory)?;
    let hash = blake3::hash(location.as_bytes()).to_hex();
    Ok(directory.join(format!("{}.{ending}", &hash.as_str()[..32])))
}

/// Refuses a directory in which others could make this host forget what it has seen.
fn require_own(directory: &Path) -> Result<()> {
    let shown = directory.display();
    match fs::metadata(directory) {
        Ok(metadata) if metadata.mode() & WRITABLE_BY_OTHERS != 0 => {
            let mode = metadata.mode() & 0o7777;
            let what = format!(
                "others can write to the directory {shown} of --state, whose mode is {mode:04o}: \
                 make it private with chmod 700 '{shown}'"
            );
            Err(Error::new(ErrorKind::Usage, what))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Error::new(ErrorKind::Store, format!("cannot look at {shown}")).because(error))
        }
    }
}

/// Makes a directory for its owner alone, whatever the umask takes away.
fn make_private(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(PRIVATE).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => {
            outcome?;
            fs::set_permissions(directory, Permissions::from_mode(PRIVATE))
        }
    }
}

/// Writes the whole record or nothing of it.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    text.push(b'\n');
    write_whole(path, &text)
}

/// Writes the whole content of a file or nothing of it.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().expect("it is a file in a directory");
    make_private(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
