//! The objects of a repository and their names (FORMAT.md 2): the only place that spells them.
//!
//! A name is parsed only if it is spelled exactly as [`Object::name`] spells it, so no object has
//! two names. What does not parse is not an object of this version of the format.

use crate::base::hex;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::name::ObjectName;

/// A random id of a key, a run or a claim.
pub type RandomId = [u8; 16];
/// The BLAKE3 of an object's bytes.
pub type ContentHash = [u8; 32];

const CONFIG: &str = "config";
const ROTATION: &str = "rotation-";
const RETIRED: &str = "retired-";
const STORE: &str = "store";
const PROBE: &str = "probe";
const BEGAN: &str = "began";
const KEPT: &str = "kept";
const RELOCATION_TWINS: &str = "moves/";
/// The prefix of the second copies of relocation records.
pub const RELOCATION_TWINS_PREFIX: &str = "twins/moves/";
const OF_SNAPSHOT: &str = "snapshot-";

/// A folder of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// Claims of those who make a repository.
    Claims,
    /// The repository key, wrapped in each key slot.
    Keys,
    /// Secrets of runs, one object for each run.
    Runs,
    /// Packs of data and of metadata.
    Packs,
    /// Second copies of meta packs and of relocation records.
    Twins,
    /// Snapshots, in a folder for each source.
    Snapshots,
    /// Other places of entries.
    Moves,
    /// Entries that were found unreadable.
    Damage,
    /// Later statements about snapshots and the store.
    Notes,
    /// What the runs that stand rely on.
    Intents,
    /// Runs that shall stop, and verdicts about their snapshots.
    Fences,
    /// Snapshots that were removed, in a folder for each source.
    Removed,
    /// Doubtful snapshots that were confirmed.
    Cleared,
    /// What was verified, how deep and when.
    Verified,
    /// Claims of hosts that are ready to run a job.
    Slots,
    /// Parts of binary logs that their servers have not closed yet.
    Segments,
}

impl Folder {
    /// All folders, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::Claims,
        Self::Keys,
        Self::Runs,
        Self::Packs,
        Self::Twins,
        Self::Snapshots,
        Self::Moves,
        Self::Damage,
        Self::Notes,
        Self::Intents,
        Self::Fences,
        Self::Removed,
        Self::Cleared,
        Self::Verified,
        Self::Slots,
        Self::Segments,
    ];

    /// Returns what the names of its objects begin with: a word and a slash.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Claims => "claims/",
            Self::Keys => "keys/",
            Self::Runs => "runs/",
            Self::Packs => "packs/",
            Self::Twins => "twins/",
            Self::Snapshots => "snapshots/",
            Self::Moves => "moves/",
            Self::Damage => "damage/",
            Self::Notes => "notes/",
            Self::Intents => "intents/",
            Self::Fences => "fences/",
            Self::Removed => "removed/",
            Self::Cleared => "cleared/",
            Self::Verified => "verified/",
            Self::Slots => "slots/",
            Self::Segments => "segments/",
        }
    }

    /// Returns its name, without a slash.
    pub fn word(self) -> &'static str {
        self.prefix().trim_end_matches('/')
    }

    /// Returns the folder that an object with this name is in, valid in it or not.
    pub fn of(name: &ObjectName) -> Option<Self> {
        Self::ALL.into_iter().find(|folder| name.as_str().starts_with(folder.prefix()))
    }

    /// Returns whether a pack or a second copy of one has this name.
    pub fn holds_packs(name: &ObjectName) -> bool {
        match Self::of(name) {
            Some(Self::Packs) => true,
            Some(Self::Twins) => !name.as_str().starts_with(RELOCATION_TWINS_PREFIX),
            Some(_) | None => false,
        }
    }

    /// Returns the prefix of the snapshots of one source.
    pub fn snapshots_of(source: SourceId) -> String {
        format!("{}{source}/", Self::Snapshots.prefix())
    }

    /// Returns the prefix of the records about all slots of a job.
    pub fn slots_of(job: SourceId) -> String {
        format!("{}{job}/", Self::Slots.prefix())
    }

    /// Returns the prefix of the records about one slot of a job.
    pub fn records_of(job: SourceId, slot: u64) -> String {
        format!("{}{job}/{slot:010}/", Self::Slots.prefix())
    }

    /// Returns the prefix of the segments of all open binary logs of a source.
    pub fn segments_of(source: SourceId) -> String {
        format!("{}{source}/", Self::Segments.prefix())
    }

    /// Returns the prefix of the removals of one source.
    pub fn removed_of(source: SourceId) -> String {
        format!("{}{source}/", Self::Removed.prefix())
    }
}

/// The subject of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A note about one snapshot.
    Snapshot(SnapshotId),
    /// A note about the store.
    Store,
    /// A note about nothing: it was put to see what the store does.
    Probe,
    /// A list of the snapshots that were there when runs began to put intents.
    Began,
    /// A list of the snapshots that a prune kept.
    Kept,
}

/// An object of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the fields are documented in FORMAT.md 2")]
pub enum Object {
    /// Version, features, suite, cut parameters.
    Config,
    /// Says that a repository is being made here.
    Claim(RandomId),
    /// The repository key, wrapped in one key slot.
    Key(RandomId),
    /// Announces a rotation of keys to this generation.
    Rotation { generation: u8, hash: ContentHash },
    /// Lists what a generation of keys had sealed.
    Retired { generation: u8, hash: ContentHash },
    /// The secrets of a run.
    Run(RandomId),
    /// Frames and their directory.
    Pack(PackName),
    /// A second copy of a meta pack.
    Twin(PackName),
    /// A snapshot of a source, by its sequence number and id.
    Snapshot { source: SourceId, sequence: u64, id: SnapshotId },
    /// Other places of entries of a pack.
    Relocation { pack: PackName, hash: ContentHash },
    /// A second copy of a relocation record.
    RelocationTwin { pack: PackName, hash: ContentHash },
    /// Entries of a pack that were found unreadable.
    Damage { pack: PackName, hash: ContentHash },
    /// The blocks that a snapshot was found to lack.
    SnapshotDamage { snapshot: SnapshotId, hash: ContentHash },
    /// Says something about a snapshot or the store.
    Note { about: Subject, hash: ContentHash },
    /// The things that a run relies on, removes or holds.
    Intent { run: RandomId, hash: ContentHash },
    /// Runs that shall stop, or a verdict about them.
    Fence { epoch: u64, hash: ContentHash },
    /// Says that a snapshot of a source was removed, by its sequence number and id.
    Removed { source: SourceId, sequence: u64, snapshot: SnapshotId, hash: ContentHash },
    /// Says that a doubtful snapshot was confirmed.
    Cleared { snapshot: SnapshotId, hash: ContentHash },
    /// What was verified, how deep and when.
    Verified(ContentHash),
    /// A record about one of the times at which a job is to run, in seconds since 1970.
    Slot { job: SourceId, slot: u64, hash: ContentHash },
    /// Bytes of a binary log that is open, from `start` on.
    Segment { source: SourceId, file: RandomId, start: u64 },
}

impl Object {
    /// Returns the folder that the object is in; `config` is in none.
    pub fn folder(&self) -> Option<Folder> {
        Some(match self {
            Self::Config => return None,
            Self::Claim(_) => Folder::Claims,
            Self::Key(_) | Self::Rotation { .. } | Self::Retired { .. } => Folder::Keys,
            Self::Run(_) => Folder::Runs,
            Self::Pack(_) => Folder::Packs,
            Self::Twin(_) | Self::RelocationTwin { .. } => Folder::Twins,
            Self::Snapshot { .. } => Folder::Snapshots,
            Self::Relocation { .. } => Folder::Moves,
            Self::Damage { .. } | Self::SnapshotDamage { .. } => Folder::Damage,
            Self::Note { .. } => Folder::Notes,
            Self::Intent { .. } => Folder::Intents,
            Self::Fence { .. } => Folder::Fences,
            Self::Removed { .. } => Folder::Removed,
            Self::Cleared { .. } => Folder::Cleared,
            Self::Verified(_) => Folder::Verified,
            Self::Slot { .. } => Folder::Slots,
            Self::Segment { .. } => Folder::Segments,
        })
    }

    /// Returns the name of the object.
    pub fn name(&self) -> ObjectName {
        let rest = match self {
            Self::Config => CONFIG.to_owned(),
            Self::Claim(id) | Self::Key(id) | Self::Run(id) => hex::encode(id),
            Self::Verified(hash) => hex::encode(hash),
            Self::Rotation { generation, hash } => numbered(ROTATION, *generation, hash),
            Self::Retired { generation, hash } => numbered(RETIRED, *generation, hash),
            Self::Pack(name) | Self::Twin(name) => {
                let hash = hex::encode(&name.0);
                format!("{}/{hash}", &hash[..2])
            }
            Self::Snapshot { source, sequence, id } => format!("{source}/{sequence:010}-{id}"),
            Self::Relocation { pack, hash } | Self::Damage { pack, hash } => about(pack, hash),
            Self::RelocationTwin { pack, hash } => about(format!("{RELOCATION_TWINS}{pack}"), hash),
            Self::SnapshotDamage { snapshot, hash } => {
                about(format!("{OF_SNAPSHOT}{snapshot}"), hash)
            }
            Self::Note { about: Subject::Snapshot(id), hash }
            | Self::Cleared { snapshot: id, hash } => about(id, hash),
            Self::Removed { source, sequence, snapshot, hash } => {
                about(format!("{source}/{sequence:010}-{snapshot}"), hash)
            }
            Self::Note { about: Subject::Store, hash } => about(STORE, hash),
            Self::Note { about: Subject::Probe, hash } => about(PROBE, hash),
            Self::Note { about: Subject::Began, hash } => about(BEGAN, hash),
            Self::Note { about: Subject::Kept, hash } => about(KEPT, hash),
            Self::Intent { run, hash } => about(hex::encode(run), hash),
            Self::Fence { epoch, hash } => about(format!("{epoch:010}"), hash),
            Self::Slot { job, slot, hash } => format!("{job}/{slot:010}/{}", hex::encode(hash)),
            Self::Segment { source, file, start } => {
                format!("{source}/{}/{start:016}", hex::encode(file))
            }
        };
        let prefix = self.folder().map_or("", Folder::prefix);
        ObjectName::new(&format!("{prefix}{rest}")).expect("words and hexadecimal are a valid name")
    }

    /// Reads a name that is spelled as [`Object::name`] spells it; nothing for any other.
    pub fn parse(name: &ObjectName) -> Option<Self> {
        if name.as_str() == CONFIG {
            return Some(Self::Config);
        }
        let folder = Folder::of(name)?;
        let rest = name.as_str().strip_prefix(folder.prefix())?;
        match folder {
            Folder::Claims => hex::decode(rest).map(Object::Claim),
            Folder::Runs => hex::decode(rest).map(Object::Run),
            Folder::Packs => pack(rest).map(Object::Pack),
            Folder::Twins => match rest.strip_prefix(RELOCATION_TWINS) {
                Some(rest) => of_pack(rest).map(|(pack, hash)| Self::RelocationTwin { pack, hash }),
                None => pack(rest).map(Object::Twin),
            },
            Folder::Keys => key(rest),
            Folder::Snapshots => snapshot(rest),
            Folder::Moves => of_pack(rest).map(|(pack, hash)| Self::Relocation { pack, hash }),
            Folder::Damage => match rest.strip_prefix(OF_SNAPSHOT) {
                Some(rest) => of_snapshot(rest)
                    .map(|(snapshot, hash)| Self::SnapshotDamage { snapshot, hash }),
                None => of_pack(rest).map(|(pack, hash)| Self::Damage { pack, hash }),
            },
            Folder::Notes => {
                let (about, hash) = hashed(rest)?;
                let about = match about {
                    STORE => Subject::Store,
                    PROBE => Subject::Probe,
                    BEGAN => Subject::Began,
                    KEPT => Subject::Kept,
                    id => Subject::Snapshot(SnapshotId(hex::decode(id)?)),
                };
                Some(Self::Note { about, hash })
            }
            Folder::Intents => {
                let (run, hash) = hashed(rest)?;
                Some(Self::Intent { run: hex::decode(run)?, hash })
            }
            Folder::Fences => {
                let (epoch, hash) = hashed(rest)?;
                Some(Self::Fence { epoch: number(epoch, 10)?, hash })
            }
            Folder::Removed => {
                let (rest, hash) = hashed(rest)?;
                let Self::Snapshot { source, sequence, id } = snapshot(rest)? else {
                    return None;
                };
                Some(Self::Removed { source, sequence, snapshot: id, hash })
            }
            Folder::Verified => hex::decode(rest).map(Self::Verified),
            Folder::Slots => slot(rest),
            Folder::Segments => segment(rest),
            Folder::Cleared => {
                of_snapshot(rest).map(|(snapshot, hash)| Self::Cleared { snapshot, hash })
            }
        }
    }
}

fn numbered(word: &str, generation: u8, hash: &ContentHash) -> String {
    format!("{word}{generation:02}-{}", hex::encode(hash))
}

fn about(subject: impl std::fmt::Display, hash: &ContentHash) -> String {
    format!("{subject}-{}", hex::encode(hash))
}

/// Splits `<...>-<64 hex>` into the part before the last hyphen and the hash.
fn hashed(text: &str) -> Option<(&str, ContentHash)> {
    let (before, hash) = text.rsplit_once('-')?;
    Some((before, hex::decode(hash)?))
}

fn of_pack(text: &str) -> Option<(PackName, ContentHash)> {
    let (pack, hash) = hashed(text)?;
    Some((PackName(hex::decode(pack)?), hash))
}

fn of_snapshot(text: &str) -> Option<(SnapshotId, ContentHash)> {
    let (id, hash) = hashed(text)?;
    Some((SnapshotId(hex::decode(id)?), hash))
}

/// Reads a number of `width` digits, or of more if the first is not zero.
fn number(text: &str, width: usize) -> Option<u64> {
    let value = text.parse().ok()?;
    (format!("{value:0width$}") == text).then_some(value)
}

fn pack(text: &str) -> Option<PackName> {
    let (folder, hash) = text.split_once('/')?;
    let name = hex::decode(hash).map(PackName)?;
    hash.get(..2).is_some_and(|first| first == folder).then_some(name)
}

fn key(text: &str) -> Option<Object> {
    let generation = |text| u8::try_from(number(text, 2)?).ok();
    if let Some(rest) = text.strip_prefix(ROTATION) {
        let (number, hash) = hashed(rest)?;
        return Some(Object::Rotation { generation: generation(number)?, hash });
    }
    if let Some(rest) = text.strip_prefix(RETIRED) {
        let (number, hash) = hashed(rest)?;
        return Some(Object::Retired { generation: generation(number)?, hash });
    }
    hex::decode(text).map(Object::Key)
}

fn snapshot(text: &str) -> Option<Object> {
    let (source, rest) = text.split_once('/')?;
    let (sequence, id) = hashed(rest)?;
    let (source, sequence) = (SourceId(hex::decode(source)?), number(sequence, 10)?);
    Some(Object::Snapshot { source, sequence, id: SnapshotId(id) })
}

fn slot(text: &str) -> Option<Object> {
    let (job, rest) = text.split_once('/')?;
    let (slot, hash) = rest.split_once('/')?;
    let (job, slot) = (SourceId(hex::decode(job)?), number(slot, 10)?);
    Some(Object::Slot { job, slot, hash: hex::decode(hash)? })
}

fn segment(text: &str) -> Option<Object> {
    let (source, rest) = text.split_once('/')?;
    let (file, start) = rest.split_once('/')?;
    let (source, start) = (SourceId(hex::decode(source)?), number(start, 16)?);
    Some(Object::Segment { source, file: hex::decode(file)?, start })
}

/// Returns the hash at the end of a name, which is that of the object's bytes. `config`, keys, run
/// records, claims and segments have none.
pub fn content_hash(name: &ObjectName) -> Option<ContentHash> {
    let last = name.as_str().rsplit(['/', '-']).next()?;
    hex::decode(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HASH: ContentHash = [0xcd; 32];
    const PACK: PackName = PackName([0xab; 32]);
    const ID: SnapshotId = SnapshotId([0xef; 32]);

    fn examples() -> Vec<Object> {
        let (hash, pack, snapshot, source) = (HASH, PACK, ID, SourceId([0x12; 16]));
        let note = |about| Object::Note { about, hash };
        vec![
            Object::Config,
            Object::Claim([1; 16]),
            Object::Key([2; 16]),
            Object::Rotation { generation: 1, hash },
            Object::Retired { generation: 15, hash },
            Object::Run([3; 16]),
            Object::Pack(pack),
            Object::Twin(pack),
            Object::Snapshot { source, sequence: 7, id: snapshot },
            Object::Snapshot { source, sequence: 1 << 40, id: snapshot },
            Object::Relocation { pack, hash },
            Object::RelocationTwin { pack, hash },
            Object::Damage { pack, hash },
            Object::SnapshotDamage { snapshot, hash },
            note(Subject::Snapshot(snapshot)),
            note(Subject::Store),
            note(Subject::Probe),
            note(Subject::Began),
            note(Subject::Kept),
            Object::Intent { run: [4; 16], hash },
            Object::Fence { epoch: 3, hash },
            Object::Removed { source, sequence: 7, snapshot, hash },
            Object::Removed { source, sequence: 1 << 40, snapshot, hash },
            Object::Cleared { snapshot, hash },
            Object::Verified(hash),
            Object::Slot { job: source, slot: 1_800_000_000, hash },
            Object::Segment { source, file: [5; 16], start: 8 << 20 },
        ]
    }

    /// Reads the names in the table of the format's second chapter.
    fn templates() -> Vec<&'static str> {
        let format = include_str!("FORMAT.md");
        let chapter = format.split("\n## ").find(|text| text.starts_with("2. Objects")).unwrap();
        let cells = chapter.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        cells.map(|(name, _)| name).collect()
    }

    /// Tells whether a name is of the form of a template, such as `keys/<32 hex>`.
    fn fits(mut name: &str, mut template: &str) -> bool {
        while let Some((before, rest)) = template.split_once('<') {
            let (slot, after) = rest.split_once('>').unwrap();
            let mut words = slot.split(' ');
            let length: usize = words.next().unwrap().parse().unwrap();
            let radix = if words.next() == Some("digits") { 10 } else { 16 };
            let Some(left) = name.strip_prefix(before) else { return false };
            let digits = left.chars().take_while(|c| c.is_digit(radix)).count();
            // Numbers that have outgrown their digits are longer.
            let fits = digits == length || radix == 10 && digits > length;
            if !fits {
                return false;
            }
            (name, template) = (&left[digits..], after);
        }
        name == template
    }

    #[test]
    fn the_table_of_the_format_names_exactly_these_objects() {
        let names: Vec<String> = examples().iter().map(|o| o.name().to_string()).collect();
        let templates = templates();
        for name in &names {
            let fitting = templates.iter().filter(|template| fits(name, template)).count();
            assert_eq!(fitting, 1, "{name} is in the table");
        }
        for template in &templates {
            assert!(names.iter().any(|name| fits(name, template)), "{template} is an object");
        }
        let used: BTreeSet<Folder> = examples().iter().filter_map(Object::folder).collect();
        assert_eq!(used, Folder::ALL.into_iter().collect());
    }

    #[test]
    fn a_name_is_read_back_as_its_object_and_has_one_spelling() {
        for object in examples() {
            let name = object.name();
            assert_eq!(Object::parse(&name), Some(object), "{name}");
            assert_eq!(Folder::of(&name), object.folder());
            let is_pack = matches!(object, Object::Pack(_) | Object::Twin(_));
            assert_eq!(Folder::holds_packs(&name), is_pack, "{name}");
            let is_relocation_twin = matches!(object, Object::RelocationTwin { .. });
            assert_eq!(
                name.as_str().starts_with(RELOCATION_TWINS_PREFIX),
                is_relocation_twin,
                "{name}"
            );
            let hash = content_hash(&name);
            let is_random = [Object::Config, Object::Claim([1; 16]), Object::Key([2; 16])];
            let is_unhashed = matches!(object, Object::Run(_) | Object::Segment { .. });
            let is_random = is_random.contains(&object) || is_unhashed;
            assert_eq!(hash.is_none(), is_random, "{name}");
            // No other text of the same length is the same object, and none that is longer.
            for at in 0..name.as_str().len() {
                let mut other = name.as_str().as_bytes().to_vec();
                for byte in *b"0af-/z" {
                    other[at] = byte;
                    let text = String::from_utf8(other.clone()).unwrap();
                    let Ok(changed) = ObjectName::new(&text) else { continue };
                    let parsed = Object::parse(&changed);
                    assert!(parsed.is_none_or(|parsed| parsed.name() == changed), "{changed}");
                }
            }
            let longer = ObjectName::new(&format!("{name}0")).unwrap();
            assert!(Object::parse(&longer).is_none_or(|parsed| parsed.name() == longer));
        }
    }

    #[test]
    fn what_is_nearly_a_name_is_none() {
        let snapshot = Object::Snapshot { source: SourceId([1; 16]), sequence: 7, id: ID };
        let snapshot = snapshot.name().to_string();
        let pack = Object::Pack(PACK).name().to_string();
        let near = [
            snapshot.replace("0000000007", "7"),
            snapshot.replace("0000000007", "00000000007"),
            pack.replacen("ab/", "ac/", 1),
            pack.replacen("packs/", "pack/", 1),
            "config/0".to_owned(),
            "keys/rotation-1-".to_owned() + &"0".repeat(64),
            "keys/rotation-256-".to_owned() + &"0".repeat(64),
            "notes/aa-bb".to_owned(),
        ];
        for text in near {
            assert_eq!(Object::parse(&ObjectName::new(&text).unwrap()), None, "{text}");
        }
    }
}
