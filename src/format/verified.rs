//! What was verified, how deep and when: the text of a record in `verified/` without its tag
//! (FORMAT.md 9.2).
//!
//! Packs are named by groups, stretches of a pack table, and not one by one: a record of 1.3
//! million packs takes 150 KB. What it says of a pack is an index into the list of verifications,
//! which is sorted by time, so that the larger of two indices is the later.
//!
//! Invariants:
//! - What was verified to a depth was verified to those below it: along the depths of a pack or a
//!   snapshot, from the least deep on, indices never grow.
//! - A record that is joined to stay small says less than before, never more.

use std::collections::BTreeMap;

use crate::base::error::Malformed;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;

/// The number of depths to which something can be verified.
pub const DEPTHS: usize = 4;
/// Verifications that a record names; of more, those nearest in time are joined.
pub const VERIFICATIONS_MAX: usize = 1024;
/// Runs that a depth of a group has; of more, those of the fewest packs are joined.
pub const RUNS_MAX: usize = 64;

const WHAT: &str = "record of what was verified";
const VERSION: u8 = 1;
const PROGRAM_BYTES_MAX: usize = 255;
/// The fewest bytes of a verification, a group and a snapshot.
const VERIFICATION_BYTES_MIN: usize = 2;
const GROUP_BYTES_MIN: usize = 18;
const SNAPSHOT_BYTES_MIN: usize = 17;
const RUN_BYTES_MIN: usize = 2;

/// The reason for which a version that is not known is not read.
pub const UNKNOWN_VERSION: &str = "its version is unknown to this program";

/// A verification that took place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verification {
    /// When it began, seconds since 1970.
    pub time: u64,
    /// The program that verified, with its version.
    pub program: String,
}

/// Tells by which verification something was verified last: 0 for none, else one more than its
/// place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct By(pub u16);

impl By {
    /// Says that something was not verified by any verification that is known.
    pub const NONE: Self = Self(0);
    /// Says that the first verification of the list verified it.
    pub const FIRST: Self = Self(1);
}

/// Tells for each depth, the least deep first, by which verification something was verified to it.
pub type Depths = [By; DEPTHS];

/// Tells which packs a group has, a stretch of a pack table, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The beginning of the name of the first pack.
    pub first: [u8; 8],
    /// Number of its packs.
    pub packs: u16,
    /// The beginning of the hash of all their names.
    pub digest: [u8; 8],
}

impl GroupKey {
    /// Returns the key of these packs, at least one and at most a node of a pack table.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n PackName>) -> Option<Self> {
        let mut hasher = blake3::Hasher::new();
        let (mut first, mut packs) = (None, 0);
        for name in names {
            first.get_or_insert(*name.0.first_chunk().expect("a name has 32 bytes"));
            hasher.update(&name.0);
            packs += 1;
        }
        let hash = hasher.finalize();
        let digest = *hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        Some(Self { first: first?, packs, digest })
    }
}

/// The beginning of the hash of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotKey(pub [u8; 16]);

impl From<SnapshotId> for SnapshotKey {
    fn from(id: SnapshotId) -> Self {
        Self(*id.0.first_chunk().expect("an id has 32 bytes"))
    }
}

/// What was verified in a copy of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// The verifications that the rest names, sorted.
    pub verifications: Vec<Verification>,
    /// What is known of packs.
    pub groups: BTreeMap<GroupKey, Vec<Depths>>,
    /// What is known of all that a snapshot needs.
    pub snapshots: BTreeMap<SnapshotKey, Depths>,
}

impl Verified {
    /// Returns the verification that is meant; `None` for none.
    pub fn verification(&self, by: By) -> Option<&Verification> {
        self.verifications.get(usize::from(by.0).checked_sub(1)?)
    }

    /// Returns what all of the records say, where two say something about the same the later.
    pub fn merge(records: Vec<Self>) -> Self {
        let mut all: Vec<Verification> =
            records.iter().flat_map(|record| record.verifications.clone()).collect();
        all.sort();
        all.dedup();
        let mut merged = Self::default();
        for mut record in records {
            let places = record.verifications.iter().map(|verification| {
                let at = all.binary_search(verification).expect("it is one of all");
                u16::try_from(at + 1).map_or(By(u16::MAX), By)
            });
            let places: Vec<By> = std::iter::once(By::NONE).chain(places).collect();
            record.rename(&mut |by| places[usize::from(by.0)]);
            for (key, packs) in record.groups {
                match merged.groups.get_mut(&key) {
                    Some(known) => join_later(known, &packs),
                    None => drop(merged.groups.insert(key, packs)),
                }
            }
            for (key, depths) in record.snapshots {
                later(merged.snapshots.entry(key).or_default(), depths);
            }
        }
        merged.verifications = all;
        merged
    }

    /// Leaves out verifications that nothing names or that are `passed_over`, and joins until the
    /// record is as small as it must be.
    pub fn tidy(&mut self, passed_over: &dyn Fn(&Verification) -> bool) {
        for packs in self.groups.values_mut() {
            bound_runs(packs);
        }
        let mut used = vec![false; self.verifications.len() + 1];
        self.visit(&mut |by| used[usize::from(by.0)] = true);
        let mut kept: Vec<usize> = (0..self.verifications.len())
            .filter(|at| used[at + 1] && !passed_over(&self.verifications[*at]))
            .collect();
        while kept.len() > VERIFICATIONS_MAX {
            let time = |at: usize| self.verifications[kept[at]].time;
            let nearest = (1..kept.len()).min_by_key(|at| time(*at) - time(at - 1));
            // What was verified by the later of the two is said to be of the earlier.
            kept.remove(nearest.expect("there are many"));
        }
        let mut places = vec![By::NONE; self.verifications.len() + 1];
        for (place, by) in places.iter_mut().enumerate().skip(1) {
            let verification = &self.verifications[place - 1];
            if !passed_over(verification) {
                let before = kept.partition_point(|at| *at < place);
                *by = By(u16::try_from(before).expect("few are kept"));
            }
        }
        self.rename(&mut |by| places[usize::from(by.0)]);
        let groups = self.groups.values_mut().flatten();
        groups.chain(self.snapshots.values_mut()).for_each(include_deeper);
        self.verifications = kept.iter().map(|at| self.verifications[*at].clone()).collect();
        self.groups.retain(|_, packs| packs.iter().flatten().any(|by| *by != By::NONE));
        self.snapshots.retain(|_, depths| depths.iter().any(|by| *by != By::NONE));
    }

    fn visit(&self, each: &mut dyn FnMut(By)) {
        self.groups.values().flatten().flatten().for_each(|by| each(*by));
        self.snapshots.values().flatten().for_each(|by| each(*by));
    }

    fn rename(&mut self, new: &mut dyn FnMut(By) -> By) {
        let groups = self.groups.values_mut().flatten().flatten();
        groups.chain(self.snapshots.values_mut().flatten()).for_each(|by| *by = new(*by));
    }
}

/// Notes the later of what is known and what is said.
pub fn later(known: &mut Depths, said: Depths) {
    for (known, said) in known.iter_mut().zip(said) {
        *known = (*known).max(said);
    }
}

/// Notes the earlier of what is known and what is said.
pub fn earlier(known: &mut Depths, said: Depths) {
    for (known, said) in known.iter_mut().zip(said) {
        *known = (*known).min(said);
    }
}

/// Notes that what was verified to a depth was verified to those below it.
fn include_deeper(depths: &mut Depths) {
    for depth in (1..DEPTHS).rev() {
        depths[depth - 1] = depths[depth - 1].max(depths[depth]);
    }
}

fn join_later(known: &mut [Depths], said: &[Depths]) {
    known.iter_mut().zip(said).for_each(|(known, said)| later(known, *said));
}

/// Returns the runs of one depth of a group.
fn runs_of(packs: &[Depths], depth: usize) -> Vec<(usize, By)> {
    let runs = packs.chunk_by(|a, b| a[depth] == b[depth]);
    runs.map(|run| (run.len(), run[0][depth])).collect()
}

/// Joins runs of packs until no depth has too many.
fn bound_runs(packs: &mut [Depths]) {
    for depth in 0..DEPTHS {
        let mut runs = runs_of(packs, depth);
        if runs.len() <= RUNS_MAX {
            continue;
        }
        while runs.len() > RUNS_MAX {
            let size = |at: &usize| runs[*at].0 + runs[at - 1].0;
            let at = (1..runs.len()).min_by_key(size).expect("there are many");
            let (count, by) = runs.remove(at);
            runs[at - 1] = (runs[at - 1].0 + count, runs[at - 1].1.min(by));
        }
        let joined = runs.into_iter().flat_map(|(count, by)| std::iter::repeat_n(by, count));
        // A deeper depth may not say more than one that is less deep.
        for (pack, by) in packs.iter_mut().zip(joined) {
            pack[depth..].iter_mut().for_each(|own| *own = (*own).min(by));
        }
    }
}

impl Verified {
    /// Returns the text of the record, without its tag.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, u64_of(self.verifications.len()));
        let mut before = 0;
        for Verification { time, program } in &self.verifications {
            put_varint(&mut out, time - before);
            put_bytes(&mut out, program.as_bytes());
            before = *time;
        }
        put_varint(&mut out, u64_of(self.groups.len()));
        for (key, packs) in &self.groups {
            out.extend_from_slice(&key.first);
            out.extend_from_slice(&key.digest);
            put_varint(&mut out, u64::from(key.packs));
            let runs: Vec<Vec<(usize, By)>> =
                (0..DEPTHS).map(|depth| runs_of(packs, depth)).collect();
            let nothing = vec![(packs.len(), By::NONE)];
            put_depths(&mut out, &runs, &nothing, &mut |out, runs| {
                put_varint(out, u64_of(runs.len()));
                for (packs, by) in runs {
                    put_varint(out, u64_of(*packs));
                    put_varint(out, by.0.into());
                }
            });
        }
        put_varint(&mut out, u64_of(self.snapshots.len()));
        for (key, depths) in &self.snapshots {
            out.extend_from_slice(&key.0);
            put_depths(&mut out, depths, &By::NONE, &mut |out, by| {
                put_varint(out, u64::from(by.0) - 1);
            });
        }
        out
    }

    /// Reads the text of a record, without its tag.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.u8()? != VERSION {
            return Err(reader.malformed(UNKNOWN_VERSION));
        }
        let mut verified = Self::default();
        let count = reader.count(VERIFICATION_BYTES_MIN)?;
        if count > VERIFICATIONS_MAX {
            return Err(reader.malformed("it names too many verifications"));
        }
        for _ in 0..count {
            let verification = take_verification(&mut reader, verified.verifications.last())?;
            verified.verifications.push(verification);
        }
        let known = By(u16::try_from(count).expect("there are few"));
        for _ in 0..reader.count(GROUP_BYTES_MIN)? {
            let (key, packs) = take_group(&mut reader, known)?;
            if verified.groups.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(reader.malformed("its groups are not in order"));
            }
            verified.groups.insert(key, packs);
        }
        for _ in 0..reader.count(SNAPSHOT_BYTES_MIN)? {
            let key = SnapshotKey(reader.array()?);
            if verified.snapshots.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(reader.malformed("its snapshots are not in order"));
            }
            let depths = take_depths(&mut reader, By::NONE, &mut |reader| {
                let by = u16::try_from(reader.varint()?).ok().and_then(|at| at.checked_add(1));
                by.map(By)
                    .filter(|by| *by <= known)
                    .ok_or_else(|| reader.malformed("it names an unknown verification"))
            })?;
            require_order(&reader, depths)?;
            verified.snapshots.insert(key, depths);
        }
        reader.finish()?;
        Ok(verified)
    }
}

fn take_verification(
    reader: &mut Reader<'_>,
    before: Option<&Verification>,
) -> Result<Verification, Malformed> {
    let time = before.map_or(0, |before| before.time).checked_add(reader.varint()?);
    let time = time.ok_or_else(|| reader.malformed("a time is out of range"))?;
    let program = reader.bytes()?;
    let program = std::str::from_utf8(program).ok().filter(|_| program.len() <= PROGRAM_BYTES_MAX);
    let program = program.ok_or_else(|| reader.malformed("a program has no name"))?.to_owned();
    let verification = Verification { time, program };
    if before.is_some_and(|before| *before >= verification) {
        return Err(reader.malformed("its verifications are not in order"));
    }
    Ok(verification)
}

fn take_group(reader: &mut Reader<'_>, known: By) -> Result<(GroupKey, Vec<Depths>), Malformed> {
    let (first, digest) = (reader.array()?, reader.array()?);
    let count = usize_of(reader.varint()?);
    if count == 0 || count > PACK_TABLE_NODE {
        return Err(reader.malformed("a group has no number of packs that a node has"));
    }
    let packs = u16::try_from(count).expect("a node has few packs");
    let depths =
        take_depths(reader, vec![By::NONE; count], &mut |reader| take_runs(reader, count, known))?;
    let pack = |at: usize| std::array::from_fn(|depth| depths[depth][at]);
    let packs_depths: Vec<Depths> = (0..count).map(pack).collect();
    packs_depths.iter().try_for_each(|pack| require_order(reader, *pack))?;
    Ok((GroupKey { first, packs, digest }, packs_depths))
}

/// Takes the runs of one depth, which say something of every pack.
fn take_runs(reader: &mut Reader<'_>, packs: usize, known: By) -> Result<Vec<By>, Malformed> {
    let mut each: Vec<By> = Vec::with_capacity(packs);
    for _ in 0..reader.count(RUN_BYTES_MIN)? {
        let count = usize_of(reader.varint()?);
        let by = u16::try_from(reader.varint()?).ok().map(By).filter(|by| *by <= known);
        let by = by.ok_or_else(|| reader.malformed("it names an unknown verification"))?;
        if count == 0 || count > packs - each.len() || each.last() == Some(&by) {
            return Err(reader.malformed("the runs of a group are not those of its packs"));
        }
        each.resize(each.len() + count, by);
    }
    if each.len() != packs {
        return Err(reader.malformed("the runs of a group are not those of its packs"));
    }
    Ok(each)
}

/// Writes which depths follow, and those: each that says something else than the next deeper one.
fn put_depths<T: PartialEq>(
    out: &mut Vec<u8>,
    depths: &[T],
    nothing: &T,
    put: &mut dyn FnMut(&mut Vec<u8>, &T),
) {
    let deeper = |depth: usize| depths.get(depth + 1).unwrap_or(nothing);
    let follows = |depth: &usize| depths[*depth] != *deeper(*depth);
    out.push((0..DEPTHS).filter(follows).map(|depth| 1u8 << depth).sum());
    (0..DEPTHS).rev().filter(follows).for_each(|depth| put(out, &depths[depth]));
}

/// Takes which depths follow, and those.
fn take_depths<T: Clone + PartialEq>(
    reader: &mut Reader<'_>,
    nothing: T,
    take: &mut dyn FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<[T; DEPTHS], Malformed> {
    let bits = reader.u8()?;
    if bits >> DEPTHS != 0 {
        return Err(reader.malformed("it names an unknown depth"));
    }
    let mut depths = std::array::from_fn(|_| nothing.clone());
    let mut deeper = nothing;
    for depth in (0..DEPTHS).rev() {
        if bits >> depth & 1 == 1 {
            let taken = take(reader)?;
            if taken == deeper {
                return Err(reader.malformed("a depth says what the next deeper one says"));
            }
            deeper = taken;
        }
        depths[depth] = deeper.clone();
    }
    Ok(depths)
}

fn require_order(reader: &Reader<'_>, depths: Depths) -> Result<(), Malformed> {
    if depths.is_sorted_by(|less, more| less >= more) {
        return Ok(());
    }
    Err(reader.malformed("a depth was verified later than one that it includes"))
}

#[cfg(test)]
mod tests;
