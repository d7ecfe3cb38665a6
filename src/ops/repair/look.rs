//! One look over a repository: the copies that can be made here, and the objects of which there is
//! no good copy.
//!
//! Meta packs and relocation records are read, both copies of each; of packs with data those that
//! are known to be damaged, and the sizes of all others. For a repair from another repository small
//! objects are read too.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::layout::content_hash;
use crate::format::pack_table::PackRecord;
use crate::ops::records;
use crate::ops::records::RelocationPair;
use crate::ops::survey;
use crate::ops::survey::Copy;
use crate::ops::survey::Look;
use crate::ops::survey::Looked;
use crate::ops::survey::Problem;
use crate::ops::survey::Survey;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::repo::inventory::Inventory;
use crate::repo::needs::NeedsReader;
use crate::repo::needs::PackSet;
use crate::repo::snapshots::Listing;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::key_slot::KeySlot;
use crate::seal::run::RunRecord;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// A copy that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// Name of the copy that is made.
    pub object: ObjectName,
    /// The object that it is made from.
    pub from: ObjectName,
    /// The problem with the present copy.
    pub why: String,
    /// Something is there that must go first.
    pub(super) is_there: bool,
}

/// A record that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// Name of the record that is removed.
    pub object: ObjectName,
    /// The reason why it means nothing any more.
    pub why: &'static str,
}

/// A copy that is not there, or is not what its name says.
#[derive(Debug, Clone)]
pub(super) struct BadCopy {
    /// Name of the object.
    pub(super) name: ObjectName,
    /// Something is there that must go first.
    pub(super) is_there: bool,
}

/// The content of an object that is lacking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A key slot, a list of retired keys, the secrets of a run, a note.
    Small,
    /// The pack of this name.
    Pack(PackName),
    /// A relocation record, which is stored twice.
    Relocation,
    /// The snapshot with this id.
    Snapshot(String),
}

/// An object of which there is no good copy here; two names stand for one that is stored twice.
#[derive(Debug, Clone)]
pub(super) struct Lack {
    /// The content of the object.
    pub(super) content: Content,
    /// Its copies, that which is put first the first; none if its name is known elsewhere only.
    pub(super) copies: Vec<BadCopy>,
    /// Its size, if that is known.
    pub(super) bytes: Option<u64>,
    /// What is wrong, for people; nothing for what may have been replaced since.
    pub(super) words: Vec<String>,
}

impl Lack {
    /// Creates the lack of an object that is stored once.
    fn of_object(content: Content, copy: BadCopy, words: String) -> Self {
        Self { content, copies: vec![copy], bytes: None, words: vec![words] }
    }

    fn of_pack(pack: &Looked) -> Self {
        let mut copies: Vec<BadCopy> = pack.copies.iter().map(bad).collect();
        // As a run puts them.
        copies.reverse();
        let (content, bytes) = (Content::Pack(pack.record.name), Some(pack.record.bytes));
        Self { content, copies, bytes, words: lost_words(pack) }
    }

    fn of_relocation(pair: &RelocationPair) -> Self {
        let mut copies: Vec<BadCopy> = pair.copies.iter().map(bad).collect();
        copies.reverse();
        let what = "has changed, and so has its other copy";
        let words = vec![format!("{} {what}", pair.copies[0].object.name())];
        Self { content: Content::Relocation, copies, bytes: None, words }
    }
}

fn bad(copy: &Copy) -> BadCopy {
    BadCopy { name: copy.object.name(), is_there: !is_missing(copy) }
}

/// The extent of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What has two copies here, and known damage.
    Copies,
    /// That, and everything else that another repository may have.
    Everything,
}

/// The result of a look.
#[derive(Debug, Default)]
pub(super) struct Overview {
    /// Copies that can be made here.
    pub(super) make: Vec<Make>,
    /// Records that mean nothing any more.
    pub(super) moot: Vec<Remove>,
    /// Objects without a good copy.
    pub(super) lacks: Vec<Lack>,
    /// What else is wrong, in words.
    pub(super) lost: Vec<String>,
    /// What is wrong with packs that no snapshot needs, in words.
    pub(super) unneeded: Vec<String>,
    /// The damage that is on record.
    pub(super) known: KnownDamage,
    /// The packs that snapshots name.
    pub(super) named: BTreeSet<PackName>,
    /// Packs that were read and are whole.
    pub(super) whole: BTreeSet<PackName>,
    /// Every snapshot and its pack table was read.
    pub(super) is_complete: bool,
}

impl Overview {
    /// Looks at a repository.
    pub(super) fn of(
        repository: &Repository,
        workers: u32,
        extent: Extent,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let mut overview = Self { known: repository.known_damage()?, ..Self::default() };
        let listing = repository.snapshots()?;
        let folders = [Folder::Moves, Folder::Packs, Folder::Twins];
        let inventory = Inventory::of(&**repository.store(), &folders, "")?;
        let pairs = records::relocations(repository, &inventory, Look::AtItsBytes);
        overview.snapshots(repository, &listing, extent)?;
        let survey = Survey { repository, inventory: &inventory, workers, monitor };
        overview.packs(&survey, &listing.snapshots, &pairs, extent)?;
        overview.relocations(&pairs);
        overview.small(repository, &listing.snapshots, extent)?;
        Ok(overview)
    }

    /// Takes snapshots that can't be read, and those that increments require and that are not
    /// there.
    fn snapshots(
        &mut self,
        repository: &Repository,
        listing: &Listing,
        extent: Extent,
    ) -> Result<()> {
        for (name, error) in &listing.damaged {
            // The bytes of the others are right, and it is something else that rejects them.
            if ![ErrorKind::Damaged, ErrorKind::Missing, ErrorKind::Store].contains(&error.kind()) {
                self.lost.push(error.with_causes());
                continue;
            }
            let content = Content::Snapshot(name.id.to_string());
            let is_there = error.kind() != ErrorKind::Missing;
            let copy = BadCopy { name: name.object(), is_there };
            self.lacks.push(Lack::of_object(content, copy, error.with_causes()));
        }
        self.is_complete = listing.damaged.is_empty();
        if extent == Extent::Everything {
            self.required(repository, &listing.snapshots)?;
        }
        Ok(())
    }

    /// Takes packs without a good copy, and plans to make copies of the others.
    fn packs(
        &mut self,
        survey: &Survey<'_>,
        snapshots: &[StoredSnapshot],
        pairs: &[RelocationPair],
        extent: Extent,
    ) -> Result<()> {
        let Survey { repository, inventory, monitor, .. } = *survey;
        let mut unread = Vec::new();
        let mut of_unread = Vec::new();
        let mut packs =
            survey::named_packs(repository, snapshots, monitor, &mut |stored, error| {
                unread.push(format!("snapshot {}: {}", stored.id().short(), error.with_causes()));
                of_unread.push(stored.clone());
            });
        self.is_complete &= unread.is_empty();
        self.lost.extend(unread);
        let _left_out =
            survey::leave_out_unneeded(repository, snapshots, inventory, &mut packs, monitor)?;
        let compacted = survey::follow_moves(repository, inventory, &mut packs, monitor)?;
        let is_lost = |pair: &&RelocationPair| good(&pair.copies).is_none();
        let lost: BTreeSet<PackName> = pairs.iter().filter(is_lost).map(|pair| pair.pack).collect();
        let known = &self.known;
        let closely = |record: &PackRecord| {
            let is_doubtful = known.names(&record.name) || lost.contains(&record.name);
            if record.class == Class::Meta || is_doubtful {
                Look::AtItsBytes
            } else {
                Look::AtItsSize
            }
        };
        let (mut named, mut whole) = (BTreeSet::new(), BTreeSet::new());
        let mut looked = Vec::new();
        survey.look_at(&packs, &closely, &mut |pack| {
            named.insert(pack.record.name);
            if pack.is_whole() && closely(&pack.record) == Look::AtItsBytes {
                whole.insert(pack.record.name);
            }
            if pack.copies.iter().any(|copy| copy.problem.is_some()) {
                looked.push(pack);
            }
        })?;
        (self.named, self.whole) = (named, whole);
        for pack in looked.iter().filter(|pack| pack.is_whole()) {
            self.pair(&pack.copies);
        }
        looked.retain(|pack| !pack.is_whole());
        // Need lists name the packs of before: those that are left of them are needed.
        let moved_to: BTreeSet<PackName> = compacted.into_values().flatten().collect();
        let (of_moves, named): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|pack| moved_to.contains(&pack.record.name));
        self.lacks.extend(of_moves.iter().map(Lack::of_pack));
        self.lacking(repository, snapshots, &named, monitor)?;
        if extent == Extent::Everything {
            self.nodes(repository, &of_unread, monitor)?;
        }
        Ok(())
    }

    /// Takes packs without a good copy, if a snapshot needs them.
    fn lacking(
        &mut self,
        repository: &Repository,
        snapshots: &[StoredSnapshot],
        packs: &[Looked],
        monitor: &Arc<Monitor>,
    ) -> Result<()> {
        let mut set = PackSet::new(packs.iter().map(|pack| pack.record.name).collect());
        if set.is_empty() {
            return Ok(());
        }
        NeedsReader::new(repository, monitor).mark_needed(snapshots, &mut set)?;
        for pack in packs {
            if set.is_unmarked(&pack.record.name) {
                let words = lost_words(pack).into_iter();
                self.unneeded.extend(words.map(|words| format!("{words}; no snapshot needs it")));
            } else {
                self.lacks.push(Lack::of_pack(pack));
            }
        }
        Ok(())
    }

    /// Takes the packs of pack-table nodes that can't be read: until they are there, it is not
    /// known what else is lacking.
    fn nodes(
        &mut self,
        repository: &Repository,
        snapshots: &[StoredSnapshot],
        monitor: &Arc<Monitor>,
    ) -> Result<()> {
        let mut names = BTreeSet::new();
        for stored in snapshots {
            let tail = &stored.snapshot.packs;
            match repository.node_packs(tail, monitor) {
                Ok(found) => names.extend(found),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                // Those at the top stand in the snapshot.
                Err(_) => names.extend(tail.levels.iter().flatten().map(|node| node.pack)),
            }
        }
        for pack in names.into_iter().filter(|name| !self.named.contains(name)) {
            monitor.check()?;
            let objects = [Object::Twin(pack), Object::Pack(pack)];
            let mut copies = Vec::new();
            for name in objects.map(|object| object.name()) {
                match state(&**repository.store(), &name)? {
                    State::Good => {}
                    State::Missing => copies.push(BadCopy { name, is_there: false }),
                    State::Changed => copies.push(BadCopy { name, is_there: true }),
                }
            }
            if copies.len() == objects.len() {
                let words = vec![format!("{} and its other copy are lost", objects[1].name())];
                self.lacks.push(Lack { content: Content::Pack(pack), copies, bytes: None, words });
            }
        }
        Ok(())
    }

    /// Takes the snapshots that increments require and that are not there.
    fn required(&mut self, repository: &Repository, snapshots: &[StoredSnapshot]) -> Result<()> {
        let wanted: BTreeSet<&String> =
            snapshots.iter().flat_map(|stored| &stored.snapshot.about.requires).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let listed: BTreeSet<String> =
            repository.listed_snapshots(None)?.iter().map(|name| name.id.to_string()).collect();
        for id in wanted.into_iter().filter(|id| !listed.contains(*id)) {
            let short = id.get(..10).unwrap_or(id);
            let words = vec![format!("snapshot {short}, which an increment requires, is missing")];
            let content = Content::Snapshot(id.clone());
            self.lacks.push(Lack { content, copies: Vec::new(), bytes: None, words });
            self.is_complete = false;
        }
        Ok(())
    }

    /// Takes relocation records without a good copy, and plans to make copies of the others.
    fn relocations(&mut self, pairs: &[RelocationPair]) {
        for pair in pairs {
            let is_good = good(&pair.copies).is_some();
            if is_good {
                self.pair(&pair.copies);
            } else if self.whole.contains(&pair.pack) {
                let there = pair.copies.iter().filter(|copy| !is_missing(copy));
                let why = "its bytes have changed, and its pack is whole";
                self.moot.extend(there.map(|copy| Remove { object: copy.object.name(), why }));
            } else {
                self.lacks.push(Lack::of_relocation(pair));
            }
        }
    }

    /// Takes small objects: notes, and if everything is looked at, key slots, lists of retired
    /// keys, and the secrets of the runs of snapshots.
    fn small(
        &mut self,
        repository: &Repository,
        snapshots: &[StoredSnapshot],
        extent: Extent,
    ) -> Result<()> {
        if extent == Extent::Copies {
            let notes = repository.notes(None)?;
            self.lost.extend(notes.damaged.iter().map(Error::with_causes));
            return Ok(());
        }
        let store = &**repository.store();
        let listed = Inventory::of(store, &[Folder::Notes, Folder::Keys], "")?;
        let mut objects: BTreeSet<Object> = listed.others().map(|(object, _)| object).collect();
        objects.retain(|object| {
            matches!(object, Object::Key(_) | Object::Note { about: Subject::Snapshot(_), .. })
        });
        for (generation, closing) in (0..).zip(repository.keyring().closings()) {
            objects.insert(Object::Retired { generation, hash: *closing });
        }
        let runs = snapshots.iter().filter_map(|stored| hex::decode(&stored.snapshot.about.run));
        objects.extend(runs.map(Object::Run));
        for object in objects {
            let name = object.name();
            let (is_there, what) = match small_state(repository, &object)? {
                State::Good => continue,
                State::Missing => (false, "is missing"),
                State::Changed => (true, "does not match what was stored"),
            };
            let words = format!("{name} {what}");
            let mut lack = Lack::of_object(Content::Small, BadCopy { name, is_there }, words);
            if matches!(object, Object::Run(_)) {
                // Each pack of the run has a copy of what it holds: nothing is lost with it.
                lack.words.clear();
            }
            self.lacks.push(lack);
        }
        Ok(())
    }

    /// Plans to make each bad copy from the good one.
    fn pair(&mut self, copies: &[Copy]) {
        let Some(from) = good(copies) else { return };
        for copy in copies {
            let Some(problem) = &copy.problem else { continue };
            self.make.push(Make {
                object: copy.object.name(),
                from: from.object.name(),
                why: problem.words().to_owned(),
                is_there: !is_missing(copy),
            });
        }
    }
}

/// Returns the good one of several copies.
fn good(copies: &[Copy]) -> Option<&Copy> {
    copies.iter().find(|copy| copy.problem.is_none())
}

fn is_missing(copy: &Copy) -> bool {
    matches!(copy.problem, Some(Problem::Missing))
}

/// Returns what is wrong with a pack that has no good copy. A data pack that is not there may have
/// been replaced since; the verification at the end shows it.
fn lost_words(pack: &Looked) -> Vec<String> {
    if pack.record.class == Class::Data && !pack.is_there() {
        return Vec::new();
    }
    let words = |copy: &Copy| {
        let problem = copy.problem.as_ref()?;
        Some(format!("{} {}", copy.object.name(), problem.words()))
    };
    pack.copies.iter().filter_map(words).collect()
}

/// The state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its bytes are what its name says.
    Good,
    /// It is not there.
    Missing,
    /// It is there, and is not what was stored, or can't be read.
    Changed,
}

/// Returns the state of an object whose name has the hash of its bytes.
fn state(store: &dyn Store, name: &ObjectName) -> Result<State> {
    Ok(match store.get(name, PACK_BYTES_ACCEPTED_MAX) {
        Ok(bytes) if content_hash(name) == Some(*blake3::hash(&bytes).as_bytes()) => State::Good,
        Err(error) if error.category() == Category::NotFound => State::Missing,
        Err(error) if error.category() == Category::Stopped => return Err(Error::cancelled()),
        Ok(_) | Err(_) => State::Changed,
    })
}

/// Returns the state of a small object.
fn small_state(repository: &Repository, object: &Object) -> Result<State> {
    let name = object.name();
    Ok(match repository.store().get(&name, SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) if is_right(repository, object, &bytes) => State::Good,
        Err(error) if error.category() == Category::NotFound => State::Missing,
        Err(error) if error.category() == Category::Stopped => return Err(Error::cancelled()),
        Ok(_) | Err(_) => State::Changed,
    })
}

/// Tells whether bytes are those of an object: by the hash in its name; of a key slot and of the
/// secrets of a run by what they say of themselves, since their names are random.
pub(super) fn is_right(repository: &Repository, object: &Object, bytes: &[u8]) -> bool {
    let keyring = repository.keyring();
    if let Object::Run(id) = object {
        return RunRecord::decode(bytes).is_ok_and(|record| {
            // Whoever may open packs of metadata opens this one of its two secrets.
            record.run().bytes() == id && keyring.open_run(&record, Class::Meta).is_ok()
        });
    }
    if let Object::Key(id) = object {
        return KeySlot::decode(bytes).is_ok_and(|slot| {
            slot.id().bytes() == id && slot.repository() == keyring.repository()
        });
    }
    content_hash(&object.name()) == Some(*blake3::hash(bytes).as_bytes())
}
