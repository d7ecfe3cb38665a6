//! The objects that a store holds, as one listing of each folder showed them, with their sizes.
//!
//! Every verb that asks more than "is this object there" lists each folder once into an
//! [`Inventory`] and takes its answers from that. A listing is a picture of one moment, and on some
//! stores a late one: a verb that misses an object in it asks for the object by name first.
//!
//! # Listings of each verb
//!
//! Opening a repository lists `keys/`; that is not repeated below.
//!
//! | verb | listings, in this order |
//! |---|---|
//! | backup | `snapshots/` of its source, `packs/`, `twins/`, `damage/` |
//! | verify | `damage/`, `snapshots/`, `keys/`, `runs/`, `moves/`, `packs/`, `twins/`, `notes/`, \
//!   `verified/`; before `packs/` as well where it takes the oldest |
//! | repair | `damage/`, `snapshots/`, `moves/`, `packs/`, `twins/`, `notes/`; then as verify |
//! | repair --from, there | `moves/`, `packs/`, `twins/`, `snapshots/`, `runs/`, `keys/`, \
//!   `notes/`, once |
//! | repair --from, here | as repair, and `keys/`, until all tables can be read |
//! | repair --search | as repair, and `snapshots/`, `packs/` before the pass |
//! | salvage | `snapshots/`, `intents/`, `fences/`, `removed/`, `cleared/`; then `snapshots/`, \
//!   `keys/`, `runs/`, `packs/` |
//! | replicate, here | `snapshots/`, `packs/`, `twins/`; `keys/`, `runs/`, `notes/` |
//! | replicate, there | `packs/`, `twins/`, `snapshots/`, `runs/`, `keys/`, `notes/`, `damage/`; \
//!   `packs/` and `twins/` again after each snapshot that took more than a few packs |
//! | stats | everything, as one listing |
//! | compaction | `packs/`, `twins/`, `removed/`, `fences/`, `cleared/`, `intents/`, `snapshots/` \
//!   twice, `moves/`, `damage/`; in each pass `fences/`, `intents/`, `snapshots/` twice, and \
//!   `fences/` and `keys/` before deletions |
//! | upgrade | `runs/`, `snapshots/`; in a directory all files, for those being written |
//!
//! In a repository with intents (FORMAT.md 10) a backup lists `fences/` and `removed/` of its
//! source behind `snapshots/`, with the put of its intent between, and `fences/` again at its end.
//! Every verb that shows or reads snapshots lists both right behind `snapshots/`. A replicate into
//! a copy with intents lists both there as well, for its plan and again behind its intent; there
//! it lists `intents/` first, and `packs/` and `twins/` last. It lists `fences/` before and after
//! each snapshot that it puts, and at its end.
//!
//! `notes/` is listed besides if a pack is missing from a repository with need lists and a snapshot
//! has none ([`needs`](crate::repo::needs)); `moves/` and `twins/moves/`, once for a reader of
//! packs, when a block can't be had from its own pack, and by a backup if a needed pack of data is
//! missing. A reader lists them again, at most eight times, when a pack is gone that has no record.
//! A replicate lists `moves/` of both sides if a pack can be had on neither.
//!
//! The order matters where others write at the same time:
//! - Snapshots are listed before packs. A run puts its packs first and its snapshot last, so that
//!   every pack of a snapshot that was listed is there when the packs are.
//! - `upgrade` lists `runs/` before `snapshots/`: a run that ends in between has ended.
//! - `moves/` is listed before `twins/`, which has the second copies of relocation records: a run
//!   puts the second copy first, so that a record that was listed has both.
//! - `packs/` is listed before `twins/` where copies are compared: the first copy is put first. A
//!   pack of a running backup may be seen alone; no snapshot names it yet.
//!
//! A backup does not keep an inventory: it needs one byte for each pack of its table, which it
//! takes from the listing as it passes ([`PackPresence`](crate::pipeline::presence::PackPresence)).
//!
//! # Memory
//!
//! A pack or its second copy takes 40 bytes, name and size, and up to a quarter on top for vectors
//! that grow: 100 TB in 3 million packs of 32 MiB take 120 to 150 MB. (A map from names as text to
//! sizes took about 140 bytes for each.) Any other object takes 104 bytes; there are a few for each
//! snapshot.
//!
//! # Unknown objects
//!
//! An object whose name no [`Object`] has is not of this version of the format: it is counted, and
//! up to [`UNKNOWN_NAMES_MAX`] names are kept. No verb deletes it, and nothing is said about it.
//! Those under `keys/`, `runs/` and `notes/` are replicated if their bytes match a hash in their
//! names, since a newer program may have put them.

use std::collections::BTreeSet;
use std::collections::HashSet;

use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::store::Store;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Names of unknown objects that are kept; the others are only counted.
pub const UNKNOWN_NAMES_MAX: usize = 1000;
/// The number of lists that packs are divided into, by the first byte of their names.
const BUCKETS: usize = 256;

/// A number of objects and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objects {
    /// Number of objects of the kind.
    pub count: u64,
    /// Number of bytes in these objects.
    pub bytes: u64,
}

impl Objects {
    /// Counts one more object.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// The results of listing some folders of a store.
#[derive(Debug, Default)]
pub struct Inventory {
    listed: BTreeSet<Folder>,
    packs: PackSizes,
    twins: PackSizes,
    /// Objects of all other kinds, sorted.
    others: Vec<(Object, u64)>,
    unknown: Vec<ObjectName>,
    unknown_all: Objects,
}

impl Inventory {
    /// Lists these folders, in this order. `side` follows the folder in messages: nothing, or which
    /// of two stores it is.
    pub fn of(store: &dyn Store, folders: &[Folder], side: &str) -> Result<Self> {
        let mut inventory = Self::default();
        for folder in folders {
            let prefix = folder.prefix();
            let listed = store.list(prefix, &mut |meta| inventory.add(meta));
            listed.map_err(|e| e.named(format!("cannot list {prefix}{side}")))?;
            inventory.listed.insert(*folder);
        }
        inventory.sort();
        Ok(inventory)
    }

    /// Lists everything at once.
    pub fn of_all(store: &dyn Store) -> Result<Self> {
        let mut inventory = Self::default();
        let listed = store.list("", &mut |meta| inventory.add(meta));
        listed.map_err(|e| e.named("cannot list the objects"))?;
        inventory.listed.extend(Folder::ALL);
        inventory.sort();
        Ok(inventory)
    }

    fn add(&mut self, ObjectMeta { name, size }: ObjectMeta) {
        match Object::parse(&name) {
            Some(Object::Pack(name)) => self.packs.add(name, size),
            Some(Object::Twin(name)) => self.twins.add(name, size),
            Some(object) => self.others.push((object, size)),
            None => {
                self.unknown_all.add(size);
                if self.unknown.len() < UNKNOWN_NAMES_MAX {
                    self.unknown.push(name);
                }
            }
        }
    }

    /// Sorts what was listed. A store may list an object twice when objects are put meanwhile.
    fn sort(&mut self) {
        self.packs.sort();
        self.twins.sort();
        self.others.sort_unstable();
        self.others.dedup_by_key(|(object, _)| *object);
    }

    /// Returns the size of an object, if it was listed.
    ///
    /// # Panics
    /// If its folder was not listed: that it lacks the object would mean nothing.
    pub fn size(&self, object: &Object) -> Option<u64> {
        let is_listed = object.folder().is_none_or(|folder| self.listed.contains(&folder));
        assert!(is_listed, "the folder of {object:?} was listed");
        if let Object::Pack(name) = object {
            return self.packs.get(name);
        }
        if let Object::Twin(name) = object {
            return self.twins.get(name);
        }
        let found = self.others.binary_search_by_key(object, |(object, _)| *object);
        found.ok().and_then(|at| self.others.get(at)).map(|(_, bytes)| *bytes)
    }

    /// Tells whether an object of this name was listed, known to this program or not.
    pub fn has(&self, name: &ObjectName) -> bool {
        match Object::parse(name) {
            Some(object) => self.size(&object).is_some(),
            None => self.unknown.contains(name),
        }
    }

    /// Returns the packs in `packs/` with their sizes, in the order of their names.
    pub fn packs(&self) -> impl Iterator<Item = (PackName, u64)> {
        self.packs.iter()
    }

    /// Returns marks for the packs that were listed, none of which is marked.
    pub fn pack_marks(&self) -> PackMarks<'_> {
        let marks = self.packs.buckets.iter().map(|bucket| vec![0; bucket.len()]).collect();
        PackMarks { packs: &self.packs, marks, others: HashSet::new() }
    }

    /// Returns the number of packs and second copies of packs.
    pub fn count_of_packs(&self) -> u64 {
        self.packs.len() + self.twins.len()
    }

    /// Tells whether all packs and second copies of another listing are here as well.
    pub fn has_packs_of(&self, other: &Self) -> bool {
        other.packs().all(|(name, bytes)| self.packs.get(&name) == Some(bytes))
            && other.twins().all(|(name, bytes)| self.twins.get(&name) == Some(bytes))
    }

    /// Returns the second copies of packs with their sizes, in the order of their names.
    pub fn twins(&self) -> impl Iterator<Item = (PackName, u64)> {
        self.twins.iter()
    }

    /// Returns all objects but packs and their second copies, sorted, with their sizes.
    pub fn others(&self) -> impl Iterator<Item = (Object, u64)> {
        self.others.iter().copied()
    }

    /// Returns the names of unknown objects, those of the first [`UNKNOWN_NAMES_MAX`].
    pub fn unknown(&self) -> impl Iterator<Item = &ObjectName> {
        self.unknown.iter()
    }

    /// Returns the number and size of all unknown objects.
    pub fn unknown_all(&self) -> Objects {
        self.unknown_all
    }
}

/// The part of a pack that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InUse(u32);

impl InUse {
    const WHOLE: u32 = 1 << 16;
    /// All of the pack.
    pub const ALL: Self = Self(Self::WHOLE);

    /// Returns the part that some of the entries are; all if there are none.
    pub fn part(entries: u64, of: u64) -> Self {
        let whole = u64::from(Self::WHOLE);
        let part = entries.min(of).saturating_mul(whole).checked_div(of).unwrap_or(whole);
        Self(u32::try_from(part).unwrap_or(Self::WHOLE))
    }

    /// Returns the bytes that are not in use, of this many.
    fn unused(self, bytes: u64) -> u64 {
        let (free, whole) = (u128::from(Self::WHOLE - self.0), u128::from(Self::WHOLE));
        u64::try_from(u128::from(bytes) * free / whole).unwrap_or(bytes)
    }
}

/// Marks of packs: four bytes for each that was listed, and the names of marked others.
#[derive(Debug)]
pub struct PackMarks<'i> {
    packs: &'i PackSizes,
    /// Zero for a pack that is not marked, otherwise one more than the part that is in use.
    marks: Vec<Vec<u32>>,
    others: HashSet<PackName>,
}

impl PackMarks<'_> {
    /// Marks a pack, and tells whether it was listed.
    pub fn insert(&mut self, name: PackName) -> bool {
        self.insert_part(name, InUse::ALL)
    }

    /// Marks a pack of which a part is in use, and tells whether it was listed. The largest part
    /// counts.
    pub fn insert_part(&mut self, name: PackName, part: InUse) -> bool {
        let Some(at) = self.packs.place(&name) else {
            self.others.insert(name);
            return false;
        };
        let mark = &mut self.marks[usize::from(name.0[0])][at];
        *mark = (*mark).max(part.0 + 1);
        true
    }

    /// Tells whether a pack is marked.
    pub fn contains(&self, name: &PackName) -> bool {
        match self.packs.place(name) {
            Some(at) => self.marks[usize::from(name.0[0])][at] > 0,
            None => self.others.contains(name),
        }
    }

    /// Returns the number of listed packs that are marked.
    pub fn listed(&self) -> u64 {
        u64_of(self.marks.iter().flatten().filter(|mark| **mark > 0).count())
    }

    /// Returns the listed packs that are marked, sorted, with their bytes and those in use.
    pub fn parts(&self) -> impl Iterator<Item = (PackName, u64, u64)> {
        let marks = self.marks.iter().flatten();
        let marked = self.packs.iter().zip(marks).filter(|(_, mark)| **mark > 0);
        marked.map(|((name, bytes), mark)| (name, bytes, bytes - InUse(mark - 1).unused(bytes)))
    }

    /// Returns the bytes that are not in use in listed packs that are marked.
    pub fn unused_bytes(&self) -> u64 {
        let marks = self.marks.iter().flatten();
        let marked = self.packs.iter().zip(marks).filter(|(_, mark)| **mark > 0);
        marked.map(|((_, bytes), mark)| InUse(mark - 1).unused(bytes)).sum()
    }
}

/// Names and sizes of packs, sorted, in lists that are short enough to grow without much waste.
#[derive(Debug, Default)]
struct PackSizes {
    /// None, or [`BUCKETS`] lists by the first byte of the name.
    buckets: Vec<Vec<(PackName, u64)>>,
}

impl PackSizes {
    fn add(&mut self, name: PackName, bytes: u64) {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        let bucket = &mut self.buckets[usize::from(name.0[0])];
        if bucket.len() == bucket.capacity() {
            bucket.reserve_exact(bucket.len() / 4 + 4);
        }
        bucket.push((name, bytes));
    }

    fn sort(&mut self) {
        for bucket in &mut self.buckets {
            bucket.sort_unstable();
            bucket.dedup_by_key(|(name, _)| *name);
        }
    }

    /// Returns the place of a pack in the list of its first byte.
    fn place(&self, name: &PackName) -> Option<usize> {
        let bucket = self.buckets.get(usize::from(name.0[0]))?;
        bucket.binary_search_by_key(name, |(name, _)| *name).ok()
    }

    fn get(&self, name: &PackName) -> Option<u64> {
        let at = self.place(name)?;
        Some(self.buckets[usize::from(name.0[0])][at].1)
    }

    fn iter(&self) -> impl Iterator<Item = (PackName, u64)> {
        self.buckets.iter().flatten().copied()
    }

    fn len(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64_of(bucket.len())).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::format::layout::Subject;
    use crate::store::error::Verb;
    use crate::store::memory::MemoryStore;
    use crate::store::testing::Recording;

    fn pack(number: u64) -> PackName {
        PackName(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn put(store: &dyn Store, name: &ObjectName, bytes: usize) {
        store.put(name, &[Bytes::from(vec![0; bytes])]).unwrap();
    }

    fn some_of_each() -> Recording<MemoryStore> {
        let store = Recording::new(MemoryStore::new());
        for number in 0..2000 {
            put(&store, &Object::Pack(pack(number)).name(), usize::try_from(number).unwrap());
        }
        put(&store, &Object::Twin(pack(7)).name(), 7);
        let (hash, pack) = ([5; 32], pack(1));
        put(&store, &Object::RelocationTwin { pack, hash }.name(), 11);
        put(&store, &Object::Note { about: Subject::Store, hash }.name(), 13);
        put(&store, &ObjectName::new("packs/ab/no-pack").unwrap(), 17);
        put(&store, &ObjectName::new("holiday.jpg").unwrap(), 19);
        store.reset();
        store
    }

    #[test]
    fn every_object_is_found_with_its_size_after_one_listing_of_each_folder() {
        let store = some_of_each();
        let inventory = Inventory::of(&store, &[Folder::Packs, Folder::Twins], "").unwrap();
        assert_eq!((store.calls(Verb::List), store.log().len()), (2, 2));
        for number in 0..2000 {
            assert_eq!(inventory.size(&Object::Pack(pack(number))), Some(number));
        }
        assert_eq!(inventory.size(&Object::Pack(pack(2000))), None);
        let names: Vec<PackName> = inventory.packs().map(|(name, _)| name).collect();
        assert!(names.len() == 2000 && names.is_sorted());
        assert_eq!(inventory.twins().collect::<Vec<_>>(), [(pack(7), 7)]);
        assert_eq!(inventory.count_of_packs(), 2001);
        let copy = Object::RelocationTwin { pack: pack(1), hash: [5; 32] };
        assert_eq!(inventory.others().collect::<Vec<_>>(), [(copy, 11)]);
        assert_eq!(inventory.size(&copy), Some(11));
        let unknown: Vec<String> = inventory.unknown().map(ToString::to_string).collect();
        assert_eq!(unknown, ["packs/ab/no-pack"]);
        assert!(inventory.has(&ObjectName::new("packs/ab/no-pack").unwrap()));
        assert!(!inventory.has(&ObjectName::new("packs/ab/no-other").unwrap()));
    }

    #[test]
    fn packs_are_marked_with_the_largest_part_that_is_in_use() {
        let store = some_of_each();
        let inventory = Inventory::of(&store, &[Folder::Packs, Folder::Twins], "").unwrap();
        let mut marks = inventory.pack_marks();
        assert!(marks.insert_part(pack(1000), InUse::part(1, 4)));
        assert!(marks.insert_part(pack(400), InUse::part(1, 8)));
        assert!(marks.insert_part(pack(400), InUse::part(3, 4)));
        assert!(marks.insert_part(pack(400), InUse::part(1, 2)));
        assert!(marks.insert(pack(1999)) && !marks.insert(pack(5000)));
        let is_marked = [1000, 400, 1999, 5000, 7].map(|number| marks.contains(&pack(number)));
        assert_eq!(is_marked, [true, true, true, true, false]);
        assert_eq!((marks.listed(), marks.unused_bytes()), (3, 750 + 100));
        // One that says nothing of its entries is whole, and so is one that says too much.
        assert_eq!([InUse::part(0, 0), InUse::part(9, 4)], [InUse::ALL; 2]);
    }

    #[test]
    fn a_pack_that_is_gone_or_has_another_size_in_a_later_listing_is_missed() {
        let list = |store: &dyn Store| Inventory::of_all(store).unwrap();
        let store = MemoryStore::new();
        let (first, twin) = (Object::Pack(pack(1)).name(), Object::Twin(pack(1)).name());
        put(&store, &first, 3);
        put(&store, &twin, 3);
        let earlier = list(&store);
        put(&store, &Object::Pack(pack(2)).name(), 5);
        assert!(list(&store).has_packs_of(&earlier) && !earlier.has_packs_of(&list(&store)));
        for name in [&first, &twin] {
            store.delete(name).unwrap();
            assert!(!list(&store).has_packs_of(&earlier), "{name}");
            put(&store, name, 4);
            assert!(!list(&store).has_packs_of(&earlier), "{name}");
            store.delete(name).unwrap();
            put(&store, name, 3);
        }
        assert!(list(&store).has_packs_of(&earlier));
    }

    #[test]
    fn one_listing_of_everything_finds_all_kinds_and_what_is_unknown() {
        let store = some_of_each();
        let inventory = Inventory::of_all(&store).unwrap();
        assert_eq!((store.calls(Verb::List), store.log().len()), (1, 1));
        assert_eq!((inventory.count_of_packs(), inventory.others().count()), (2001, 2));
        assert_eq!(inventory.unknown_all(), Objects { count: 2, bytes: 17 + 19 });
        assert_eq!(inventory.size(&Object::Config), None);
    }

    #[test]
    #[should_panic(expected = "was listed")]
    fn a_folder_that_was_not_listed_is_not_said_to_lack_an_object() {
        let inventory = Inventory::of(&MemoryStore::new(), &[Folder::Packs], "").unwrap();
        let _size = inventory.size(&Object::Twin(pack(1)));
    }

    #[test]
    fn names_of_unknown_objects_are_bounded_and_all_are_counted() {
        let store = MemoryStore::new();
        let many = UNKNOWN_NAMES_MAX + 5;
        (0..many).for_each(|n| put(&store, &ObjectName::new(&format!("runs/x{n}")).unwrap(), 1));
        let inventory = Inventory::of(&store, &[Folder::Runs], "").unwrap();
        assert_eq!(inventory.unknown().count(), UNKNOWN_NAMES_MAX);
        assert_eq!(inventory.unknown_all().count, u64_of(many));
    }

    #[test]
    fn a_pack_takes_forty_bytes_and_at_most_a_quarter_on_top() {
        assert_eq!(size_of::<(PackName, u64)>(), 40);
        assert!(size_of::<(Object, u64)>() <= 104);
        let mut sizes = PackSizes::default();
        (0..100_000).for_each(|number| sizes.add(pack(number), number));
        sizes.sort();
        let room: usize = sizes.buckets.iter().map(Vec::capacity).sum();
        assert!(sizes.len() == 100_000 && room <= 100_000 * 5 / 4 + BUCKETS * 4, "{room}");
    }
}
