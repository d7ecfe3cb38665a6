//! Sorted records in unnamed temporary files, for what outgrows the memory that it may have.
//!
//! Records are added in batches; each batch becomes a *run*, a file in order of the keys. Runs of
//! one size are merged into a larger one, so that there are a few files however many records there
//! are, and each record is written once for every factor of `RUNS_OF_A_SIZE`.
//!
//! Invariants:
//! - a cursor yields each key once, in ascending order; records of one key are joined in the order
//!   in which they were added;
//! - memory: for each run a buffer while a cursor is open, and one key for each `INDEXED_BYTES`.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;

/// Runs of about one size that are kept before they are merged.
const RUNS_OF_A_SIZE: usize = 8;
/// Bytes of a run from one key of its index to the next.
const INDEXED_BYTES: u64 = 16 << 10;
/// Bytes that are read from a run at once.
const READ_BYTES: usize = 16 << 10;

/// The key by which records are sorted.
pub trait RunKey: Ord + Clone {
    /// Appends the key to `out`.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads a key that [`RunKey::put`] wrote.
    fn get(from: &mut dyn Read) -> io::Result<Self>;
}

/// A record: its key and its bytes.
pub type Record<K> = (K, Vec<u8>);

/// Records in memory, in order of their keys.
pub type Memory<'r, K> = Box<dyn Iterator<Item = Record<K>> + 'r>;

/// Joins an older and a newer record of one key.
pub type Join = fn(&[u8], Vec<u8>) -> Vec<u8>;

/// All runs of records, by their sizes.
#[derive(Debug)]
pub struct Runs<K> {
    /// The smallest first; within a size, and from a larger size to a smaller, the older first.
    sizes: Vec<Vec<Run<K>>>,
    join: Join,
}

impl<K: RunKey> Runs<K> {
    /// Begins without any. `join` is called with the older record first.
    pub fn new(join: Join) -> Self {
        Self { sizes: Vec::new(), join }
    }

    /// Tells whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.sizes.iter().all(Vec::is_empty)
    }

    /// Writes a batch, in order of its keys, each of which is there once.
    pub fn add(&mut self, batch: impl Iterator<Item = Record<K>>) -> io::Result<()> {
        let mut run = Run::write(batch.map(Ok))?;
        for size in 0.. {
            if self.sizes.len() == size {
                self.sizes.push(Vec::new());
            }
            self.sizes[size].push(run);
            if self.sizes[size].len() < RUNS_OF_A_SIZE {
                break;
            }
            let heads = self.sizes[size].iter().map(|run| run.read(0));
            run = Run::write(Cursor::new(heads.collect(), Vec::new(), self.join)?)?;
            self.sizes[size].clear();
        }
        Ok(())
    }

    /// Yields the records from the first key that is not before `from`, together with newer ones
    /// that were added to no run.
    pub fn cursor<'r>(
        &'r self,
        from: Option<&K>,
        newer: Vec<Memory<'r, K>>,
    ) -> io::Result<Cursor<'r, K>> {
        let oldest_first = self.sizes.iter().rev().flatten();
        let at = |run: &'r Run<K>| run.read(from.map_or(0, |key| run.before(key)));
        let mut cursor = Cursor::new(oldest_first.map(at).collect(), newer, self.join)?;
        while let Some(from) = from
            && cursor.heads.peek().is_some_and(|head| head.key < *from)
        {
            cursor.pop()?;
        }
        Ok(cursor)
    }
}

/// A temporary file of sorted records, with an index of their keys.
#[derive(Debug)]
struct Run<K> {
    file: File,
    length: u64,
    index: Vec<(K, u64)>,
}

impl<K: RunKey> Run<K> {
    fn write(records: impl Iterator<Item = io::Result<Record<K>>>) -> io::Result<Self> {
        let mut out = BufWriter::new(tempfile::tempfile()?);
        let (mut length, mut indexed_to) = (0, 0);
        let mut index = Vec::new();
        let mut bytes = Vec::new();
        for record in records {
            let (key, value) = record?;
            bytes.clear();
            key.put(&mut bytes);
            bytes.extend_from_slice(&u32_of(value.len()).to_le_bytes());
            bytes.extend_from_slice(&value);
            if length >= indexed_to {
                index.push((key, length));
                indexed_to = length + INDEXED_BYTES;
            }
            out.write_all(&bytes)?;
            length += u64_of(bytes.len());
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, length, index })
    }

    /// Returns a place of the index before which no key is `key` or after it.
    fn before(&self, key: &K) -> u64 {
        let after = self.index.partition_point(|(indexed, _)| indexed <= key);
        after.checked_sub(1).map_or(0, |at| self.index[at].1)
    }

    fn read(&self, from: u64) -> Source<'_, K> {
        let part = Part { file: &self.file, at: from };
        Source::Run(BufReader::with_capacity(READ_BYTES, part), self.length - from)
    }
}

/// A file, read from a position of its own.
struct Part<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += u64_of(count);
        Ok(count)
    }
}

/// A source of records, in order.
enum Source<'r, K> {
    /// A run, and how many bytes of it are left.
    Run(BufReader<Part<'r>>, u64),
    Memory(Memory<'r, K>),
}

impl<K: RunKey> Source<'_, K> {
    fn next(&mut self) -> io::Result<Option<Record<K>>> {
        let (run, left) = match self {
            Source::Memory(records) => return Ok(records.next()),
            Source::Run(_, 0) => return Ok(None),
            Source::Run(run, left) => (run, left),
        };
        let mut counted = Counted { from: run, count: 0 };
        let key = K::get(&mut counted)?;
        let mut length = [0; 4];
        counted.read_exact(&mut length)?;
        let mut value = vec![0; usize_of_u32(u32::from_le_bytes(length))];
        counted.read_exact(&mut value)?;
        *left = left.saturating_sub(counted.count);
        Ok(Some((key, value)))
    }
}

/// Counts what is read.
struct Counted<'r, R> {
    from: &'r mut R,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.count += u64_of(count);
        Ok(count)
    }
}

/// The next record of a source.
struct Head<K> {
    key: K,
    /// The number of its source; that of an older one is smaller.
    age: usize,
    value: Vec<u8>,
}

// The heap yields its largest: the smallest key, and of one key the oldest record.
impl<K: Ord> Ord for Head<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then(other.age.cmp(&self.age))
    }
}

impl<K: Ord> PartialOrd for Head<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> PartialEq for Head<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord> Eq for Head<K> {}

/// Yields records in order of their keys.
pub struct Cursor<'r, K> {
    sources: Vec<Source<'r, K>>,
    heads: BinaryHeap<Head<K>>,
    join: Join,
}

impl<K> fmt::Debug for Cursor<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl<'r, K: RunKey> Cursor<'r, K> {
    fn new(
        mut sources: Vec<Source<'r, K>>,
        newer: Vec<Memory<'r, K>>,
        join: Join,
    ) -> io::Result<Self> {
        sources.extend(newer.into_iter().map(Source::Memory));
        let ages = 0..sources.len();
        let mut cursor = Cursor { sources, heads: BinaryHeap::new(), join };
        for age in ages {
            cursor.advance(age)?;
        }
        Ok(cursor)
    }

    fn advance(&mut self, age: usize) -> io::Result<()> {
        if let Some((key, value)) = self.sources[age].next()? {
            self.heads.push(Head { key, age, value });
        }
        Ok(())
    }

    fn pop(&mut self) -> io::Result<Option<Record<K>>> {
        let Some(head) = self.heads.pop() else { return Ok(None) };
        self.advance(head.age)?;
        Ok(Some((head.key, head.value)))
    }
}

impl<K: RunKey> Iterator for Cursor<'_, K> {
    type Item = io::Result<Record<K>>;

    fn next(&mut self) -> Option<io::Result<Record<K>>> {
        let mut next = || {
            let Some((key, mut value)) = self.pop()? else { return Ok(None) };
            while self.heads.peek().is_some_and(|head| head.key == key) {
                if let Some((_, newer)) = self.pop()? {
                    value = (self.join)(&value, newer);
                }
            }
            Ok(Some((key, value)))
        };
        next().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    impl RunKey for u64 {
        fn put(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }

        fn get(from: &mut dyn Read) -> io::Result<Self> {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            Ok(Self::from_le_bytes(bytes))
        }
    }

    fn append(older: &[u8], newer: Vec<u8>) -> Vec<u8> {
        [older, &newer].concat()
    }

    fn filled(batches: u64) -> (Runs<u64>, BTreeMap<u64, Vec<u8>>) {
        let mut runs = Runs::new(append);
        let mut expected: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for batch in 0..batches {
            let keys: BTreeMap<u64, Vec<u8>> = (0..500)
                .map(|n| ((batch * 7919 + n * 104_729) % 20_000, batch.to_le_bytes().to_vec()))
                .collect();
            for (key, value) in &keys {
                expected.entry(*key).or_default().extend_from_slice(value);
            }
            runs.add(keys.into_iter()).unwrap();
        }
        (runs, expected)
    }

    #[test]
    fn records_come_out_sorted_and_joined_from_the_oldest_to_the_newest() {
        let (runs, mut expected) = filled(150);
        let files: usize = runs.sizes.iter().map(Vec::len).sum();
        assert_eq!(files, 2 + 2 + 6, "150 is 226 to the base of 8");
        let newest = vec![(3, b"new".to_vec()), (30_000, b"last".to_vec())];
        for (key, value) in &newest {
            expected.entry(*key).or_default().extend_from_slice(value);
        }
        for _ in 0..2 {
            let newer: Memory<'_, u64> = Box::new(newest.clone().into_iter());
            let found = runs.cursor(None, vec![newer]).unwrap().map(Result::unwrap);
            assert!(found.eq(expected.clone()));
        }
    }

    #[test]
    fn a_cursor_begins_at_any_key() {
        let (runs, expected) = filled(20);
        assert!(runs.sizes.iter().flatten().any(|run| run.index.len() > 1));
        for from in (0..21_000).step_by(97) {
            let found = runs.cursor(Some(&from), Vec::new()).unwrap().map(Result::unwrap);
            let later = expected.range(from..).map(|(key, value)| (*key, value.clone()));
            assert!(found.eq(later), "{from}");
        }
        let nothing: Runs<u64> = Runs::new(append);
        assert!(
            nothing.is_empty() && nothing.cursor(Some(&1), Vec::new()).unwrap().next().is_none()
        );
    }
}
