//! The space that tonight's backup of a source takes, and whether there is as much: before its
//! producer starts, since a disk that runs full in the night costs the backup, and more.
//!
//! ```text
//! earlier nights, or the size of what the source reads --> estimate --> compared with each room
//! ```
//!
//! - After the first backup a night is expected to store at most twice what the largest of the last
//!   seven did. The first one is no measure of a night: a quarter of it is expected until there is
//!   another.
//! - The first is expected to store the size of what its source reads times `space_ratio`: of files
//!   their bytes, of a dump those of data and indexes of its tables, as the server estimates them.
//!   A size that is not known is said with the reason, and nothing is compared.
//! - What is on one file system is compared as one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use haulout::error::Error;
use haulout::server::sizes;
use haulout::shared::entries::entries;
use rustix::fs::statvfs;

use crate::config::tree::Table;
use crate::jobs::asked::scope;
use crate::jobs::record::Night;
use crate::jobs::server;
use crate::output::units;

/// Times the largest of them that a night may take.
const TIMES_LARGEST: u64 = 2;
/// The part of a first backup that is expected of the night after it.
const PART_OF_FIRST: u64 = 4;

/// What too little space means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// A backup that is expected to need more is not begun.
    Required,
    /// It is a warning.
    Ignored,
}

/// A number of thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thousandths(pub(crate) u64);

impl Thousandths {
    fn of(self, bytes: u64) -> u64 {
        let product = u128::from(bytes) * u128::from(self.0) / 1000;
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}

/// The file systems that a walk looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Across {
    /// All that are mounted below.
    All,
    /// Only that of its beginning.
    None,
}

/// What a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// These directories and files.
    Paths(Vec<PathBuf>),
    /// The data directory that the server of this source names.
    DataDirectory(Table),
    /// Tables of the server of this source.
    Tables(Table),
    /// Something without a size of its own.
    Unknown,
}

/// What a source reads, as far as its size can be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The files or tables that it reads.
    pub(crate) read: Read,
    /// What is passed over below them.
    pub(crate) across: Across,
    /// The part of their size that a first backup is expected to store.
    pub(crate) ratio: Thousandths,
}

impl Reads {
    /// Returns the size of what is read, or why it is not known.
    pub(crate) fn size(&self) -> Result<u64, String> {
        let connect =
            |source| server::of_source(source).map_err(|error: Error| error.with_causes());
        match &self.read {
            Read::Paths(paths) => Ok(paths.iter().map(|path| size_below(path, self.across)).sum()),
            Read::DataDirectory(source) => {
                let mut session = connect(source)?;
                let path = sizes::data_directory(&mut session).map_err(|e| e.with_causes())?;
                match entries(&path) {
                    Ok(_) => Ok(size_below(&path, self.across)),
                    Err(error) => Err(format!("cannot read {}: {error}", path.display())),
                }
            }
            Read::Tables(source) => {
                let scope = scope(source);
                sizes::tables(&mut connect(source)?, &scope).map_err(|e| e.with_causes())
            }
            Read::Unknown => Err("what it reads has no size that is known before".to_owned()),
        }
    }
}

/// Returns the bytes of all files below a path. What can't be looked at counts nothing: its
/// producer will say so.
pub(crate) fn size_below(path: &Path, across: Across) -> u64 {
    let Ok(top) = fs::symlink_metadata(path) else { return 0 };
    let mut bytes = size_of(&top);
    let mut directories = if top.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(directory) = directories.pop() {
        let Ok(entries) = entries(&directory) else { continue };
        for entry in entries.flatten() {
            let path = directory.join(entry.name);
            // Of the entry itself, not of what a link points to.
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if across == Across::None && found.dev() != top.dev() {
                continue;
            }
            if found.is_dir() {
                directories.push(path);
            }
            bytes = bytes.saturating_add(size_of(&found));
        }
    }
    bytes
}

/// Returns the bytes of a file that are not holes.
fn size_of(file: &fs::Metadata) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    if file.is_file() { file.len().min(file.blocks().saturating_mul(BLOCK_BYTES)) } else { 0 }
}

/// What a backup is expected to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// The number of bytes.
    pub(crate) bytes: u64,
    basis: Basis,
}

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// This many earlier nights.
    Nights(usize),
    /// The first backup alone.
    First(u64),
    /// The size of what the source reads, with the part of it.
    Size(u64, Thousandths),
}

impl Estimate {
    /// Estimates what a backup stores, from the nights before or from the size of what it reads.
    /// Without either it returns why the size is not known.
    pub(crate) fn of(
        nights: &[Night],
        ratio: Thousandths,
        size: impl FnOnce() -> Result<u64, String>,
    ) -> Result<Self, String> {
        let compared = nights.iter().filter(|night| !night.is_first);
        let stored: Vec<u64> = compared.map(|night| night.stored_bytes).collect();
        if let Some(largest) = stored.iter().max() {
            let bytes = largest.saturating_mul(TIMES_LARGEST);
            return Ok(Self { bytes, basis: Basis::Nights(stored.len()) });
        }
        if let Some(first) = nights.last() {
            let (bytes, basis) = (first.stored_bytes, Basis::First(first.stored_bytes));
            return Ok(Self { bytes: bytes / PART_OF_FIRST, basis });
        }
        let size = size()?;
        Ok(Self { bytes: ratio.of(size), basis: Basis::Size(size, ratio) })
    }

    /// Describes it with what it rests on.
    pub(crate) fn in_words(&self) -> String {
        let basis = match self.basis {
            Basis::Nights(1) => "twice what the last night stored".to_owned(),
            Basis::Nights(count) => format!("twice the largest of the last {count} nights"),
            Basis::First(bytes) => {
                format!("a quarter of the {} of the first backup", units::size(bytes))
            }
            Basis::Size(size, Thousandths(ratio)) => {
                let ratio = format!("{}.{:03}", ratio / 1000, ratio % 1000);
                let ratio = ratio.trim_end_matches('0').trim_end_matches('.');
                format!("{} to read, times a space_ratio of {ratio}", units::size(size))
            }
        };
        format!("{} ({basis})", units::size(self.bytes))
    }
}

/// A place that takes bytes of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    /// The place in words: `the repository local`.
    pub(crate) name: String,
    /// The bytes that it takes at most, whatever is stored.
    pub(crate) most: u64,
    /// The directory on whose file system it is; none in an object store.
    pub(crate) directory: Option<PathBuf>,
    /// The bytes that may still be put there, whatever its file system has.
    pub(crate) allowed: Option<u64>,
}

/// Returns what is too small for a backup, in words; empty if all is large enough.
pub(crate) fn too_small(rooms: &[Room], expected: u64) -> Vec<String> {
    let mut lacking = Vec::new();
    let mut shared: BTreeMap<u64, (u64, u64, Vec<&str>)> = BTreeMap::new();
    for room in rooms {
        let needed = room.most.min(expected);
        if let Some(allowed) = room.allowed.filter(|allowed| *allowed < needed) {
            lacking.push(format!("the quota of {} leaves {}", room.name, units::size(allowed)));
        }
        let Some(directory) = &room.directory else { continue };
        let Ok((device, free)) = free_at(directory) else { continue };
        let (sum, _, names) = shared.entry(device).or_insert((0, free, Vec::new()));
        *sum = sum.saturating_add(needed);
        names.push(&room.name);
    }
    for (needed, free, names) in shared.into_values().filter(|(needed, free, _)| free < needed) {
        let names = names.join(" and ");
        let (needed, free) = (units::size(needed), units::size(free));
        lacking.push(format!("{names} takes {needed} of the {free} that are free there"));
    }
    lacking
}

/// Returns the number of the file system of a directory, or of the nearest one above it that is
/// there, and the bytes that are free on it for this user.
fn free_at(directory: &Path) -> io::Result<(u64, u64)> {
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let found = statvfs(there)?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Ok((fs::metadata(there)?.dev(), free))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    fn night(stored_bytes: u64) -> Night {
        Night {
            ended: 0,
            stored_bytes,
            stream_bytes: 0,
            is_first: false,
            paused_milliseconds: None,
            desynced_milliseconds: None,
        }
    }

    const RATIO: Thousandths = Thousandths(600);

    #[test]
    fn nights_are_the_measure_and_before_them_the_size_of_what_is_read() {
        let of = |nights: &[Night], size: Option<u64>| {
            let size = || size.ok_or_else(|| "it is not there".to_owned());
            let estimate = Estimate::of(nights, RATIO, size).ok()?;
            Some((estimate.bytes, estimate.in_words()))
        };
        let first = Night { is_first: true, ..night(4000) };
        for (nights, size, expected) in [
            (vec![], None, None),
            (
                vec![],
                Some(1000),
                Some((600, "600 B (0.98 KiB to read, times a space_ratio of 0.6)")),
            ),
            (
                vec![first],
                None,
                Some((1000, "0.98 KiB (a quarter of the 3.91 KiB of the first backup)")),
            ),
            (vec![first, night(5)], None, Some((10, "10 B (twice what the last night stored)"))),
            (
                vec![first, night(5), night(9), night(7)],
                None,
                Some((18, "18 B (twice the largest of the last 3 nights)")),
            ),
        ] {
            assert_eq!(of(&nights, size), expected.map(|(bytes, words)| (bytes, words.to_owned())));
        }
    }

    #[test]
    fn rooms_on_one_file_system_are_one_and_quotas_are_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let (_, free) = free_at(&directory.path().join("not/there")).unwrap();
        let room = |name: &str, most, allowed| Room {
            name: name.to_owned(),
            most,
            directory: Some(directory.path().to_owned()),
            allowed,
        };
        let half = free / 8 * 5;
        let [one, two] = ["the repository", "the cache"].map(|name| room(name, half, None));
        assert_eq!(too_small(std::slice::from_ref(&one), u64::MAX), Vec::<String>::new());
        let found = too_small(&[one, two], u64::MAX);
        assert!(found[0].starts_with("the repository and the cache takes "), "{found:?}");
        let full = room("the repository", u64::MAX, Some(99));
        assert_eq!(
            too_small(std::slice::from_ref(&full), 100),
            ["the quota of the repository leaves 99 B"]
        );
        assert_eq!(too_small(&[full], 99), Vec::<String>::new());
        let remote = Room { directory: None, ..room("the bucket", u64::MAX, None) };
        assert_eq!(too_small(&[remote], u64::MAX), Vec::<String>::new());
    }

    #[test]
    fn sizes_are_those_of_files_without_their_holes() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("one"), [1; 5000]).unwrap();
        fs::write(directory.path().join("two"), [1; 300]).unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("link")).unwrap();
        let hole = fs::File::create(inner.join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        assert_eq!(size_below(directory.path(), Across::None), 5300);
        let reads = |read| Reads { read, across: Across::All, ratio: RATIO };
        assert_eq!(reads(Read::Paths(vec![inner])).size(), Ok(5000));
        assert!(reads(Read::Unknown).size().is_err());
        let (nowhere, _) = parse("kind = 'mariadb-dump'\nsocket = '/nowhere'");
        for read in [Read::Tables(nowhere.clone()), Read::DataDirectory(nowhere)] {
            let why = reads(read).size().unwrap_err();
            assert!(why.contains("cannot connect to the server /nowhere"), "{why}");
        }
        assert_eq!(size_below(&directory.path().join("none"), Across::All), 0);
    }
}
