//! Attaches tags to a snapshot and takes them off: a note beside it, because snapshots never
//! change.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::note::Note;
use crate::format::note::TagNote;
use crate::repo::Repository;
use crate::repo::notes::Notes;
use crate::repo::snapshots::StoredSnapshot;

/// Tags that one snapshot may have.
pub const TAGS_MAX: usize = 32;

/// The tags to add and to remove.
#[derive(Debug, Clone, Default)]
pub struct TagChange {
    /// Tags that are attached to the snapshot.
    pub add: Vec<String>,
    /// Tags that are taken off the snapshot.
    pub remove: Vec<String>,
}

/// The result of changing a snapshot's tags.
#[derive(Debug, Clone)]
pub struct TagReport {
    /// All tags that the snapshot has now.
    pub tags: Vec<String>,
    /// Tags that are new with this change.
    pub added: Vec<String>,
    /// Tags that the snapshot had before, and has no longer.
    pub removed: Vec<String>,
}

/// Changes the tags of a snapshot; writes nothing if they are so already.
pub fn tag(
    repository: &Repository,
    stored: &StoredSnapshot,
    change: &TagChange,
    world: &World,
) -> Result<TagReport> {
    let notes = repository.notes(Some(stored.id()))?;
    let before = tags(stored, &notes);
    let removed: Vec<String> = wanted(&change.remove, |tag| before.contains(tag));
    let added: Vec<String> = wanted(&change.add, |tag| !before.contains(tag));
    let mut tags: Vec<String> = before.into_iter().filter(|tag| !removed.contains(tag)).collect();
    tags.extend(added.iter().cloned());
    if tags.len() > TAGS_MAX {
        let id = stored.id().short();
        let what = format!("snapshot {id} would have {} tags", tags.len());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    if !added.is_empty() || !removed.is_empty() {
        let time = world.clock.unix_seconds();
        let note = TagNote { time, add: added.clone(), remove: removed.clone() };
        repository.put_note(stored.id(), &notes, Note::Tags(note))?;
    }
    Ok(TagReport { tags, added, removed })
}

fn tags(stored: &StoredSnapshot, notes: &Notes) -> Vec<String> {
    let mut stored = stored.clone();
    notes.apply(&mut stored);
    stored.snapshot.about.tags
}

/// Returns each of `words` once, if it is wanted.
fn wanted(words: &[String], is_wanted: impl Fn(&String) -> bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in words.iter().filter(|word| is_wanted(word)) {
        if !out.contains(word) {
            out.push(word.clone());
        }
    }
    out
}
