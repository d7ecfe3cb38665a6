//! An intent: what a run that stands relies on, removes or holds (FORMAT.md 10.2).
//!
//! A run puts it before it looks at anything that it relies on, and never renews it. Prune keeps
//! what intents name, so a reader refuses one that it does not understand to the last byte.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Malformed;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::num::u64_of;
use crate::base::wire::Reader;
use crate::base::wire::put_varint;

const WHAT: &str = "intent";
const VERSION: u8 = 1;
/// Largest text of an intent, bytes: the sealed object stays within what a reader accepts.
pub const INTENT_TEXT_BYTES_MAX: usize = (16 << 20) - (1 << 10);
/// Packs that one part of an intent holds at most: 8 MiB.
pub const PART_HOLDS_MAX: usize = 1 << 20;

/// The fields as FORMAT.md lists them: bytes and words. A test compares them.
#[cfg(test)]
pub const INTENT_FIELDS: [(&str, &str); 10] = [
    ("1", "version, 1"),
    ("1", "verb: 1 backup, 2 replicate, 3 repair, 4 prune, 5 compaction"),
    ("1", "part, counted from 0"),
    ("1", "parts, at least 1"),
    ("8", "epoch: "),
    ("8", "time, "),
    ("..", "roots: varint sources, each"),
    ("..", "removes: varint n"),
    ("..", "holds: varint n, n first 8 bytes"),
    ("..", "puts: varint n"),
];

/// The work of the run that an intent belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntentVerb {
    /// A backup, or a stream that is backed up again under other keys.
    Backup,
    /// A replicate into this repository.
    Replicate,
    /// A repair of this repository.
    Repair,
    /// A prune of this repository.
    Prune,
    /// A compaction of its packs.
    Compaction,
}

impl IntentVerb {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] =
        [Self::Backup, Self::Replicate, Self::Repair, Self::Prune, Self::Compaction];

    /// Returns the number of the verb in the format.
    pub fn code(self) -> u8 {
        match self {
            Self::Backup => 1,
            Self::Replicate => 2,
            Self::Repair => 3,
            Self::Prune => 4,
            Self::Compaction => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.code() == code)
    }

    /// Tells whether a run of this verb deletes packs.
    pub fn deletes(self) -> bool {
        match self {
            Self::Prune | Self::Compaction => true,
            Self::Backup | Self::Replicate | Self::Repair => false,
        }
    }

    /// Returns the name of the verb in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Replicate => "replicate",
            Self::Repair => "repair",
            Self::Prune => "prune",
            Self::Compaction => "compaction",
        }
    }
}

/// The first bytes of the name of a pack that is held.
pub type Held = [u8; 8];

/// Returns what an intent that holds a pack has of its name.
pub fn held(pack: &PackName) -> Held {
    *pack.0.first_chunk().expect("a name has 32 bytes")
}

/// One intent; a run with many holds has several, one for each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The work of the run.
    pub verb: IntentVerb,
    /// The number of this part, counted from 0.
    pub part: u8,
    /// The number of parts, at least 1.
    pub parts: u8,
    /// The largest epoch of the fences that the run had seen.
    pub epoch: u64,
    /// When it was put, seconds since 1970; for people only.
    pub time: u64,
    /// The snapshots that the run may rely on, by source, with their sequence numbers.
    pub roots: BTreeMap<SourceId, BTreeSet<(u64, SnapshotId)>>,
    /// The snapshots that a prune is about to remove.
    pub removes: BTreeSet<SnapshotId>,
    /// The packs that a replicate or a repair relies on or will put.
    pub holds: BTreeSet<Held>,
    /// The snapshots that a replicate will put.
    pub puts: BTreeSet<SnapshotId>,
}

impl Intent {
    /// Creates an intent of one part that names nothing yet.
    pub fn new(verb: IntentVerb, time: u64) -> Self {
        Self {
            verb,
            part: 0,
            parts: 1,
            epoch: 0,
            time,
            roots: BTreeMap::new(),
            removes: BTreeSet::new(),
            holds: BTreeSet::new(),
            puts: BTreeSet::new(),
        }
    }

    /// Returns the parts of an intent of one part: the first has all but the packs that the others
    /// hold.
    ///
    /// # Panics
    /// If it holds more than 267 million packs, which are 8 PB.
    pub fn into_parts(self) -> Vec<Self> {
        self.into_parts_of(PART_HOLDS_MAX)
    }

    fn into_parts_of(mut self, holds_max: usize) -> Vec<Self> {
        let holds: Vec<Held> = std::mem::take(&mut self.holds).into_iter().collect();
        let count = holds.len().div_ceil(holds_max).max(1);
        self.parts = u8::try_from(count).expect("the packs fit into 255 parts");
        let others =
            Self { parts: self.parts, epoch: self.epoch, ..Self::new(self.verb, self.time) };
        let mut chunks = holds.chunks(holds_max);
        let mut parts = vec![self];
        parts.resize(count, others);
        for (part, intent) in (0..).zip(&mut parts) {
            intent.part = part;
            intent.holds = chunks.next().unwrap_or_default().iter().copied().collect();
        }
        parts
    }

    /// Returns the text of the object.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.part < self.parts, "parts are counted from 0");
        let mut out = vec![VERSION, self.verb.code(), self.part, self.parts];
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_varint(&mut out, u64_of(self.roots.len()));
        for (source, snapshots) in &self.roots {
            out.extend_from_slice(&source.0);
            put_varint(&mut out, u64_of(snapshots.len()));
            let mut before = 0;
            for (sequence, id) in snapshots {
                put_varint(&mut out, sequence - before);
                out.extend_from_slice(&id.0);
                before = *sequence;
            }
        }
        put_list(&mut out, self.removes.iter().map(|id| &id.0));
        put_list(&mut out, &self.holds);
        put_list(&mut out, self.puts.iter().map(|id| &id.0));
        out
    }

    /// Reads the text of the object, which must be exactly as it is written.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(WHAT, text);
        if text.len() > INTENT_TEXT_BYTES_MAX {
            return Err(input.malformed("is too long"));
        }
        if input.u8()? != VERSION {
            return Err(input.malformed("its version is unknown to this program"));
        }
        let verb = IntentVerb::from_code(input.u8()?)
            .ok_or_else(|| input.malformed("its verb is unknown to this program"))?;
        let (part, parts) = (input.u8()?, input.u8()?);
        if part >= parts {
            return Err(input.malformed("it has no such part"));
        }
        let (epoch, time) = (input.u64()?, input.u64()?);
        let mut roots = BTreeMap::new();
        for _ in 0..input.count(17)? {
            let source = SourceId(input.array()?);
            roots.insert(source, take_roots(&mut input)?);
        }
        let ids = |list: BTreeSet<[u8; 32]>| list.into_iter().map(SnapshotId).collect();
        let removes = ids(take_list(&mut input)?);
        let holds = take_list(&mut input)?;
        let puts = ids(take_list(&mut input)?);
        let read = Self { verb, part, parts, epoch, time, roots, removes, holds, puts };
        // One intent has one spelling: sorted, each item once, and nothing after them.
        if read.encode() != text {
            return Err(input.malformed("is not as it is written"));
        }
        Ok(read)
    }
}

fn take_roots(input: &mut Reader<'_>) -> Result<BTreeSet<(u64, SnapshotId)>, Malformed> {
    let mut roots = BTreeSet::new();
    let mut before = 0_u64;
    for _ in 0..input.count(33)? {
        let sequence = before.checked_add(input.varint()?);
        before = sequence.ok_or_else(|| input.malformed("a number exceeds 64 bits"))?;
        roots.insert((before, SnapshotId(input.array()?)));
    }
    Ok(roots)
}

/// Appends a sorted list of items of one width.
pub(super) fn put_list<'l, const N: usize>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = &'l [u8; N], IntoIter: ExactSizeIterator>,
) {
    let items = items.into_iter();
    put_varint(out, u64_of(items.len()));
    items.for_each(|item| out.extend_from_slice(item));
}

/// Takes the items of a list; its caller compares the spelling.
pub(super) fn take_list<const N: usize>(
    input: &mut Reader<'_>,
) -> Result<BTreeSet<[u8; N]>, Malformed> {
    (0..input.count(N)?).map(|_| input.array()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex;

    fn id(byte: u8) -> SnapshotId {
        SnapshotId([byte; 32])
    }

    fn example() -> Intent {
        Intent {
            part: 1,
            parts: 2,
            epoch: 3,
            roots: [
                (SourceId([1; 16]), [(7, id(9)), (7, id(10)), (300, id(1))].into()),
                (SourceId([2; 16]), BTreeSet::new()),
            ]
            .into(),
            removes: [id(4), id(5)].into(),
            holds: [[6; 8], [7; 8]].into(),
            puts: [id(8)].into(),
            ..Intent::new(IntentVerb::Replicate, 1_700_000_000)
        }
    }

    #[test]
    fn the_fields_stand_in_the_specification_in_this_order() {
        let format = include_str!("FORMAT.md");
        let chapter = format.split("\n### ").find(|text| text.starts_with("10.2 Intents")).unwrap();
        let rows: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), INTENT_FIELDS.len() + 2);
        for (row, (bytes, words)) in rows[2..].iter().zip(INTENT_FIELDS) {
            assert!(row.starts_with(&format!("| {bytes} | {words}")), "{row}");
        }
    }

    #[test]
    fn an_intent_has_these_bytes() {
        let roots = |bytes: &[u8]| hex::encode(bytes);
        let golden = [
            "01020102".to_owned(),
            "0300000000000000".to_owned(),
            "00f1536500000000".to_owned(),
            "02".to_owned(),
            roots(&[1; 16]) + "03",
            "07".to_owned() + &roots(&[9; 32]),
            "00".to_owned() + &roots(&[10; 32]),
            "a502".to_owned() + &roots(&[1; 32]),
            roots(&[2; 16]) + "00",
            "02".to_owned() + &roots(&[4; 32]) + &roots(&[5; 32]),
            "02".to_owned() + &roots(&[6; 8]) + &roots(&[7; 8]),
            "01".to_owned() + &roots(&[8; 32]),
        ];
        assert_eq!(hex::encode(&example().encode()), golden.concat());
    }

    #[test]
    fn an_intent_comes_back_and_one_that_is_cut_or_longer_is_refused() {
        let empty = Intent::new(IntentVerb::Prune, 5);
        for intent in [example(), empty] {
            let bytes = intent.encode();
            assert_eq!(Intent::decode(&bytes), Ok(intent));
            for length in 0..bytes.len() {
                assert!(Intent::decode(&bytes[..length]).is_err(), "{length} bytes");
            }
            assert!(Intent::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn packs_that_are_too_many_for_one_part_go_into_others() {
        let holds: BTreeSet<Held> = (0..5).map(|number| [number; 8]).collect();
        let whole = Intent { holds: holds.clone(), part: 0, parts: 1, ..example() };
        assert_eq!(whole.clone().into_parts(), std::slice::from_ref(&whole));
        let parts = whole.clone().into_parts_of(2);
        let numbers: Vec<(u8, u8)> = parts.iter().map(|part| (part.part, part.parts)).collect();
        assert_eq!(numbers, [(0, 3), (1, 3), (2, 3)]);
        assert!(parts[0].roots == whole.roots && parts[0].puts == whole.puts);
        assert!(parts[1].roots.is_empty() && parts[1].puts.is_empty());
        assert!(parts.iter().all(|part| (part.epoch, part.time) == (whole.epoch, whole.time)));
        let held: BTreeSet<Held> = parts.into_iter().flat_map(|part| part.holds).collect();
        assert_eq!(held, holds);
        let none = Intent::new(IntentVerb::Repair, 1);
        assert_eq!(none.clone().into_parts_of(2), [none]);
    }

    #[test]
    fn another_version_verb_part_or_order_is_refused() {
        let bytes = example().encode();
        for (at, byte) in [(0, 2), (1, 0), (1, 6), (2, 2), (3, 1)] {
            let mut changed = bytes.clone();
            changed[at] = byte;
            assert!(Intent::decode(&changed).is_err(), "byte {at}");
        }
        let twice = |from: u8, to: u8| {
            let mut changed = bytes.clone();
            changed.iter_mut().filter(|byte| **byte == from).for_each(|byte| *byte = to);
            Intent::decode(&changed)
        };
        assert!(twice(5, 4).is_err(), "a hash stands twice");
        assert!(twice(7, 6).is_err(), "a pack stands twice");
    }

    #[test]
    fn the_roots_of_a_source_take_little_more_than_their_hashes() {
        let roots = (1..=34).map(|number| (number, id(u8::try_from(number).unwrap()))).collect();
        let mut intent = Intent::new(IntentVerb::Backup, 1);
        intent.roots.insert(SourceId([1; 16]), roots);
        assert_eq!(intent.encode().len(), 20 + 1 + 17 + 34 * 33 + 3);
    }
}
