//! Sorts the records of closed members by key, in bounded memory: what does not fit goes to unnamed
//! temporary files in sorted runs, which are merged in the end. A checkpoint reads the records
//! without ending the sort.

use std::io;
use std::io::Read;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::base::runs::Memory;
use crate::base::runs::RunKey;
use crate::base::runs::Runs;
use crate::format::record::MemberKey;

/// Bytes of records that are kept in memory before a run is written.
const MEMORY_BYTES: usize = 4 << 20;

/// Encoded records that go into the table.
#[derive(Debug)]
pub struct Sorter {
    records: Vec<(MemberKey, Vec<u8>)>,
    bytes: usize,
    runs: Runs<MemberKey>,
}

impl Default for Sorter {
    fn default() -> Self {
        // Each member closes once.
        Self { records: Vec::new(), bytes: 0, runs: Runs::new(|_, newer| newer) }
    }
}

impl Sorter {
    /// Adds the encoded record of a member.
    pub fn push(&mut self, key: MemberKey, record: Vec<u8>) -> Result<()> {
        self.bytes += key.path.len() + record.len() + 96;
        self.records.push((key, record));
        if self.bytes < MEMORY_BYTES {
            return Ok(());
        }
        self.records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.bytes = 0;
        self.runs.add(self.records.drain(..)).map_err(Error::temporary_file)
    }

    /// Calls `each` for every record in order of the keys, together with those in `more`.
    pub fn merge(
        &mut self,
        mut more: Vec<(MemberKey, Vec<u8>)>,
        each: &mut dyn FnMut(MemberKey, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        more.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let here: Memory<'_, MemberKey> = Box::new(self.records.iter().cloned());
        let more: Memory<'_, MemberKey> = Box::new(more.into_iter());
        for record in self.runs.cursor(None, vec![here, more]).map_err(Error::temporary_file)? {
            let (key, record) = record.map_err(Error::temporary_file)?;
            each(key, &record)?;
        }
        Ok(())
    }
}

impl RunKey for MemberKey {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u32_of(self.path.len()).to_le_bytes());
        out.extend_from_slice(&self.path);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
    }

    fn get(from: &mut dyn Read) -> io::Result<Self> {
        let mut number = [0; 4];
        from.read_exact(&mut number)?;
        let mut path = vec![0; usize_of_u32(u32::from_le_bytes(number))];
        from.read_exact(&mut path)?;
        from.read_exact(&mut number)?;
        Ok(Self { path, incarnation: u32::from_le_bytes(number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_sorted_across_runs_and_more_than_once() {
        let mut sorter = Sorter::default();
        for n in 0..40_000u32 {
            let path = format!("db/{}", n.wrapping_mul(2_654_435_761)).into_bytes();
            sorter.push(MemberKey { path, incarnation: n }, vec![7; 500]).unwrap();
        }
        assert!(!sorter.runs.is_empty());
        for _ in 0..2 {
            let mut keys: Vec<MemberKey> = Vec::new();
            let open = (MemberKey { path: b"db/0".into(), incarnation: 9 }, vec![1]);
            let mut collect = |key, _: &[u8]| {
                keys.push(key);
                Ok(())
            };
            sorter.merge(vec![open], &mut collect).unwrap();
            assert_eq!(keys.len(), 40_001);
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
