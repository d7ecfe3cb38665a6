//! Notes about a snapshot, which itself never changes (FORMAT.md 9.1).
//!
//! A note is a small JSON object: what it is about stands in it, and a reader passes over notes
//! about what it does not know. There are notes about tags, about holds, about a snapshot that is
//! missing since it was removed where this one was copied from, and about the packs that a snapshot
//! without need list needs.

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Malformed;
use crate::base::hex;
use crate::format::needs::NeedList;

const ABOUT_TAGS: &str = "tags";
const ABOUT_HOLD: &str = "hold";
const ABOUT_REMOVED_ELSEWHERE: &str = "removed-elsewhere";
const ABOUT_NEEDS: &str = "needs";

/// A note about a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// Tags were attached or taken off.
    Tags(TagNote),
    /// The snapshot was held, or is held no longer.
    Hold(HoldNote),
    /// The snapshot that it follows was removed elsewhere.
    RemovedElsewhere(RemovedElsewhere),
}

/// Tags that were attached to a snapshot or taken off it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TagNote {
    /// When, seconds since 1970; later than every note that its writer saw.
    pub time: u64,
    /// Tags that were attached.
    #[serde(default)]
    pub add: Vec<String>,
    /// Tags that were taken off, before others are attached.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A hold of a snapshot, which no rule removes while that lasts, or the end of all its holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HoldNote {
    /// When, seconds since 1970; later than every note that its writer saw.
    pub time: u64,
    /// The end of the hold, seconds since 1970; `None` for a hold without an end.
    #[serde(default)]
    pub until: Option<u64>,
    /// Why it is held, in words.
    #[serde(default)]
    pub reason: String,
    /// Ends all earlier holds, and is none.
    #[serde(default)]
    pub release: bool,
}

impl HoldNote {
    /// Tells whether it lasts at a time, seconds since 1970.
    pub fn lasts(&self, time: u64) -> bool {
        self.until.is_none_or(|until| until >= time)
    }
}

/// Says of a copied snapshot that the one which it follows was removed where it came from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemovedElsewhere {
    /// When it was put, seconds since 1970.
    pub time: u64,
    /// The snapshot that was removed, 64 hexadecimal digits.
    pub snapshot: String,
}

/// The packs that a walk over the maps of a snapshot found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NeedsNote {
    /// When, seconds since 1970.
    pub time: u64,
    /// The run that walked, 32 hexadecimal digits.
    pub walked_by: String,
    /// The packs, by their indices in the snapshot's pack table.
    pub list: NeedList,
}

#[derive(Serialize, Deserialize)]
struct WrittenNeeds {
    about: String,
    time: u64,
    walked_by: String,
    list: String,
}

impl NeedsNote {
    /// Returns the text of the note.
    pub fn encode(&self) -> Vec<u8> {
        let written = WrittenNeeds {
            about: ABOUT_NEEDS.to_owned(),
            time: self.time,
            walked_by: self.walked_by.clone(),
            list: hex::encode(&self.list.encode()),
        };
        serde_json::to_vec(&written).expect("strings and numbers can be written")
    }

    /// Reads the text of a note; `None` if it is about something else.
    pub fn decode(text: &[u8]) -> Result<Option<Self>, Malformed> {
        let malformed = |why| Malformed { what: "note", why };
        let no_json = |_| malformed("is not the JSON of this version");
        let About { about } = serde_json::from_slice(text).map_err(no_json)?;
        if about != ABOUT_NEEDS {
            return Ok(None);
        }
        let written: WrittenNeeds = serde_json::from_slice(text).map_err(no_json)?;
        let list =
            hex::decode_all(&written.list).ok_or(malformed("its list is not hexadecimal"))?;
        let WrittenNeeds { time, walked_by, .. } = written;
        Ok(Some(Self { time, walked_by, list: NeedList::decode(&list)? }))
    }
}

#[derive(Serialize)]
struct Written<'n, N> {
    about: &'static str,
    #[serde(flatten)]
    note: &'n N,
}

#[derive(Deserialize)]
struct About {
    about: String,
}

impl Note {
    /// Returns the text of the note.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::Tags(note) => serde_json::to_vec(&Written { about: ABOUT_TAGS, note }),
            Self::Hold(note) => serde_json::to_vec(&Written { about: ABOUT_HOLD, note }),
            Self::RemovedElsewhere(note) => {
                serde_json::to_vec(&Written { about: ABOUT_REMOVED_ELSEWHERE, note })
            }
        };
        encoded.expect("strings and numbers can be written")
    }

    /// Reads the text of a note; `None` if it is about something else.
    pub fn decode(text: &[u8]) -> Result<Option<Self>, Malformed> {
        let malformed = |_| Malformed { what: "note", why: "is not the JSON of this version" };
        let About { about } = serde_json::from_slice(text).map_err(malformed)?;
        let note = match about.as_str() {
            ABOUT_TAGS => serde_json::from_slice(text).map(Self::Tags),
            ABOUT_HOLD => serde_json::from_slice(text).map(Self::Hold),
            ABOUT_REMOVED_ELSEWHERE => serde_json::from_slice(text).map(Self::RemovedElsewhere),
            _ => return Ok(None),
        };
        note.map(Some).map_err(malformed)
    }

    /// Returns when the note was made, seconds since 1970.
    pub fn time(&self) -> u64 {
        match self {
            Self::Tags(note) => note.time,
            Self::Hold(note) => note.time,
            Self::RemovedElsewhere(note) => note.time,
        }
    }

    /// Lets the note have been made at this time, or later if it says so.
    pub fn not_before(&mut self, time: u64) {
        let own = match self {
            Self::Tags(note) => &mut note.time,
            Self::Hold(note) => &mut note.time,
            Self::RemovedElsewhere(note) => &mut note.time,
        };
        *own = time.max(*own);
    }
}

/// Returns the holds of a snapshot that were not released, the oldest first; `notes` in any order,
/// each with the name that decides between notes of the same second.
pub fn effective_holds<N: Ord>(mut notes: Vec<(N, HoldNote)>) -> Vec<HoldNote> {
    notes.sort_by(|(name, note), (other_name, other)| {
        (note.time, name).cmp(&(other.time, other_name))
    });
    let mut holds = Vec::new();
    for (_, note) in notes {
        if note.release {
            holds.clear();
        } else {
            holds.push(note);
        }
    }
    holds
}

/// Applies notes to the tags that a snapshot was written with; `notes` in any order, each with
/// the name that decides between notes of the same second.
pub fn effective_tags<N: Ord>(written: &[String], mut notes: Vec<(N, TagNote)>) -> Vec<String> {
    notes.sort_by(|(name, note), (other_name, other)| {
        (note.time, name).cmp(&(other.time, other_name))
    });
    let mut tags = written.to_vec();
    for (_, note) in notes {
        tags.retain(|tag| !note.remove.contains(tag));
        for tag in note.add {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::PackIndex;
    use crate::format::needs::Need;

    fn words(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn note(time: u64, add: &str, remove: &str) -> TagNote {
        TagNote { time, add: words(add), remove: words(remove) }
    }

    #[test]
    fn a_note_comes_back_and_notes_about_other_things_are_passed_over() {
        let reason = "audit".to_owned();
        let held = HoldNote { time: 8, until: Some(9), reason, release: false };
        for (note, text) in [
            (
                Note::Tags(note(7, "a b", "c")),
                r#"{"about":"tags","time":7,"add":["a","b"],"remove":["c"]}"#,
            ),
            (
                Note::Hold(held),
                r#"{"about":"hold","time":8,"until":9,"reason":"audit","release":false}"#,
            ),
            (
                Note::Hold(HoldNote { time: 9, release: true, ..HoldNote::default() }),
                r#"{"about":"hold","time":9,"until":null,"reason":"","release":true}"#,
            ),
            (
                Note::RemovedElsewhere(RemovedElsewhere { time: 7, snapshot: "ab".to_owned() }),
                r#"{"about":"removed-elsewhere","time":7,"snapshot":"ab"}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(note.encode()).unwrap(), text);
            assert_eq!(Note::decode(text.as_bytes()), Ok(Some(note)));
        }
        for least in [r#"{"about":"tags","time":1,"new":[]}"#, r#"{"about":"hold","time":1}"#] {
            assert_eq!(Note::decode(least.as_bytes()).unwrap().unwrap().time(), 1);
        }
        assert_eq!(Note::decode(br#"{"about":"the weather","sun":true}"#), Ok(None));
        for damaged in
            [&b""[..], b"{}", b"[]", br#"{"about":"tags"}"#, br#"{"about":"hold"}"#, b"\xff"]
        {
            assert!(Note::decode(damaged).is_err());
        }
    }

    #[test]
    fn for_each_tag_the_latest_note_decides_in_whatever_order_they_are_listed() {
        let notes = vec![
            ("c", note(2, "kept", "night")),
            ("a", note(1, "night odd", "")),
            ("b", note(2, "", "kept")),
        ];
        let expected = words("week odd kept");
        assert_eq!(effective_tags(&words("night week"), notes.clone()), expected);
        let reversed = notes.into_iter().rev().collect();
        assert_eq!(effective_tags(&words("night week"), reversed), expected);
    }

    #[test]
    fn within_a_note_removing_goes_first() {
        let notes = vec![("a", note(1, "x", "x y"))];
        assert_eq!(effective_tags(&words("y x"), notes), words("x"));
    }

    #[test]
    fn a_release_ends_the_holds_before_it_and_no_later_one() {
        let hold = |time, until| HoldNote { time, until, ..HoldNote::default() };
        let release = HoldNote { time: 3, release: true, ..HoldNote::default() };
        let notes = vec![
            ("d", hold(4, Some(90))),
            ("b", hold(2, None)),
            ("c", release),
            ("a", hold(5, None)),
        ];
        assert_eq!(effective_holds(notes.clone()), [hold(4, Some(90)), hold(5, None)]);
        assert_eq!(effective_holds(notes[1..3].to_vec()), []);
        assert_eq!(effective_holds::<&str>(Vec::new()), []);
        assert!(hold(1, Some(90)).lasts(90) && !hold(1, Some(90)).lasts(91));
        assert!(hold(1, None).lasts(u64::MAX));
    }

    #[test]
    fn a_note_of_needs_comes_back() {
        let need = Need { at: PackIndex(3), places: 1, bases: 0 };
        let list = NeedList { packs: vec![need] };
        let note = NeedsNote { time: 7, walked_by: "ab".repeat(16), list };
        assert_eq!(
            String::from_utf8(note.encode()).unwrap(),
            format!(
                r#"{{"about":"needs","time":7,"walked_by":"{}","list":"0101030100"}}"#,
                "ab".repeat(16)
            )
        );
        assert_eq!(Note::decode(&note.encode()), Ok(None));
        assert_eq!(NeedsNote::decode(&note.encode()), Ok(Some(note)));
        assert_eq!(NeedsNote::decode(&Note::Tags(TagNote::default()).encode()), Ok(None));
        for list in ["0", "zz", "02", "0101"] {
            let text = format!(r#"{{"about":"needs","time":7,"walked_by":"","list":"{list}"}}"#);
            assert!(NeedsNote::decode(text.as_bytes()).is_err(), "{list}");
        }
    }
}
