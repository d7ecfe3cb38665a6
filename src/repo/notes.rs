//! Notes about snapshots: tags that were attached or taken off later, holds, predecessors that were
//! removed elsewhere (FORMAT.md 9.1).
//!
//! One listing tells which snapshots have notes; only those are read. A note that can't be read
//! loses a tag or a hold: it is reported, and everything else goes on, but nothing is removed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::format::layout::ContentHash;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::note::NeedsNote;
use crate::format::note::Note;
use crate::format::note::TagNote;
use crate::format::note::effective_holds;
use crate::format::note::effective_tags;
use crate::format::snapshot::Description;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

pub use crate::format::note::HoldNote;

/// Bytes that sealing adds to a text, at most.
const SEALING_BYTES_MAX: u64 = 128;

/// The notes about snapshots of a repository.
#[derive(Debug, Default)]
pub struct Notes {
    tags: BTreeMap<SnapshotId, Vec<(ContentHash, TagNote)>>,
    holds: BTreeMap<SnapshotId, Vec<(ContentHash, HoldNote)>>,
    /// The snapshots that others followed where they were copied from, and that are not here.
    elsewhere: BTreeSet<(SnapshotId, String)>,
    /// Notes that can't be read.
    pub damaged: Vec<Error>,
}

/// The answer to whether something was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is stored now.
    Yes,
    /// It is too long for an object.
    No,
}

/// The name of a note about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NoteName {
    /// The snapshot that it is about.
    pub(crate) about: SnapshotId,
    pub(super) hash: ContentHash,
}

impl NoteName {
    fn parse(name: &ObjectName) -> Option<Self> {
        let Object::Note { about: Subject::Snapshot(about), hash } = Object::parse(name)? else {
            return None;
        };
        Some(Self { about, hash })
    }

    fn object(&self) -> ObjectName {
        Object::Note { about: Subject::Snapshot(self.about), hash: self.hash }.name()
    }

    fn known(&self, text: &[u8]) -> Result<Option<Note>> {
        Note::decode(text).map_err(|e| Error::damaged(self.object(), e))
    }
}

impl Notes {
    /// Tells whether a note on a snapshot says that the one which it follows was removed where it
    /// was copied from.
    pub fn lost_elsewhere(&self, id: SnapshotId, parent: &str) -> bool {
        self.elsewhere.contains(&(id, parent.to_owned()))
    }

    /// Replaces the tags in the description of a snapshot by those that it has now.
    pub fn apply(&self, stored: &mut StoredSnapshot) {
        self.apply_to(stored.id(), &mut stored.snapshot.about);
    }

    /// Replaces the tags in the description of this snapshot by those that it has now.
    pub fn apply_to(&self, id: SnapshotId, about: &mut Description) {
        let Some(notes) = self.tags.get(&id) else { return };
        about.tags = effective_tags(&about.tags, notes.clone());
    }

    /// Returns the holds of a snapshot that were not released, the oldest first.
    pub fn holds(&self, id: SnapshotId) -> Vec<HoldNote> {
        self.holds.get(&id).map_or_else(Vec::new, |notes| effective_holds(notes.clone()))
    }

    /// Returns the holds of a snapshot that last at a time, seconds since 1970, the oldest first.
    pub fn holds_at(&self, id: SnapshotId, time: u64) -> Vec<HoldNote> {
        let mut holds = self.holds(id);
        holds.retain(|hold| hold.lasts(time));
        holds
    }

    /// Returns the time of the newest note about a snapshot.
    fn newest(&self, id: SnapshotId) -> Option<u64> {
        let tags = self.tags.get(&id).into_iter().flatten().map(|(_, note)| note.time);
        let holds = self.holds.get(&id).into_iter().flatten().map(|(_, note)| note.time);
        tags.chain(holds).max()
    }

    /// Tells whether there is any note about a snapshot.
    fn has_any(&self, id: SnapshotId) -> bool {
        self.tags.contains_key(&id) || self.holds.contains_key(&id)
    }

    fn add(&mut self, id: SnapshotId, hash: ContentHash, note: Note) {
        match note {
            Note::Tags(note) => self.tags.entry(id).or_default().push((hash, note)),
            Note::Hold(note) => self.holds.entry(id).or_default().push((hash, note)),
            Note::RemovedElsewhere(note) => _ = self.elsewhere.insert((id, note.snapshot)),
        }
    }
}

impl Repository {
    /// Reads the notes about one snapshot, or about all.
    pub fn notes(&self, about: Option<SnapshotId>) -> Result<Notes> {
        let mut notes = Notes::default();
        let mut retired = Vec::new();
        let is_wanted = |name: &NoteName| about.is_none_or(|one| one == name.about);
        for name in self.note_names()?.iter().filter(|name| is_wanted(name)) {
            let NoteName { about: id, hash } = *name;
            match self.read_note(name).and_then(|text| name.known(&text)) {
                Ok(Some(note)) => notes.add(id, hash, note),
                Ok(None) => {}
                Err(error) if self.was_overtaken(&error) => retired.push((id, error)),
                Err(error) => notes.damaged.push(error),
            }
        }
        // The user who wrote it got an error that it does not count; once there is another note,
        // nobody needs a second report.
        retired.retain(|(id, _)| !notes.has_any(*id));
        notes.damaged.extend(retired.into_iter().map(|(_, error)| error));
        Ok(notes)
    }

    /// Lists the notes about snapshots, sorted.
    pub(crate) fn note_names(&self) -> Result<Vec<NoteName>> {
        let mut names = Vec::new();
        self.store()
            .list(Folder::Notes.prefix(), &mut |meta| names.extend(NoteName::parse(&meta.name)))
            .map_err(|e| e.named("cannot list the notes"))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the text of a note, whatever it says.
    pub(crate) fn read_note(&self, note: &NoteName) -> Result<Zeroizing<Vec<u8>>> {
        self.read_dated_note(note).map(|(text, _)| text)
    }

    /// Returns the text of a note, and the generation of keys that sealed it.
    pub(super) fn read_dated_note(&self, note: &NoteName) -> Result<(Zeroizing<Vec<u8>>, u8)> {
        let name = &note.object();
        let bytes = self
            .store()
            .get(name, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| e.named(format!("cannot read {name}")))?;
        if *blake3::hash(&bytes).as_bytes() != note.hash {
            let why = Malformed { what: "note", why: "its bytes do not match its name" };
            return Err(Error::damaged(name, why));
        }
        let (text, generation) = self
            .keyring()
            .open_dated(ObjectKind::Note, &note.about.0, &bytes)
            .map_err(|e| Error::damaged(name, e))?;
        self.believed.check(generation, &note.hash, name.as_str())?;
        Ok((text, generation))
    }

    /// Puts a note about a snapshot, with its time or a slightly later one.
    pub fn put_note(&self, id: SnapshotId, known: &Notes, mut note: Note) -> Result<()> {
        // Whatever the clock says, this note comes after those that its writer has seen.
        if let Some(newest) = known.newest(id) {
            note.not_before(newest.saturating_add(1));
        }
        self.put_text(id, &note.encode())
    }

    /// Puts a note of what a walk over the maps of a snapshot found, so that nobody has to walk
    /// again; says whether it is there. A list that is too long for a note is not kept.
    pub fn note_needs(&self, stored: &StoredSnapshot, note: &NeedsNote) -> Result<Kept> {
        let text = note.encode();
        if u64_of(text.len()) + SEALING_BYTES_MAX > SMALL_OBJECT_BYTES_MAX {
            return Ok(Kept::No);
        }
        self.put_text(stored.id(), &text)?;
        Ok(Kept::Yes)
    }

    /// Returns a note about a snapshot as an object, which is not put.
    pub fn sealed_note(&self, id: SnapshotId, note: &Note) -> Result<(ObjectName, Bytes)> {
        self.sealed_text(id, &note.encode())
    }

    /// Returns the text of a note about a snapshot as an object, which is not put.
    pub(super) fn sealed_text(&self, id: SnapshotId, text: &[u8]) -> Result<(ObjectName, Bytes)> {
        let sealed =
            self.keyring()
                .seal_object(ObjectKind::Note, &id.0, text, &**self.entropy())
                .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal a note").because(e))?;
        let hash = *blake3::hash(&sealed).as_bytes();
        let name = Object::Note { about: Subject::Snapshot(id), hash }.name();
        Ok((name, Bytes::from(sealed)))
    }

    fn put_text(&self, id: SnapshotId, text: &[u8]) -> Result<()> {
        self.require_newest_key()?;
        let (name, sealed) = self.sealed_text(id, text)?;
        self.store().put(&name, &[sealed]).map_err(|e| e.named(format!("cannot store {name}")))?;
        self.require_newest_key_still()
    }
}
