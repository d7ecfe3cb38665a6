//! Sorts the records of closed members by key, in bounded memory: what does not fit goes to unnamed
//! temporary files in sorted runs, which are merged in the end. A checkpoint reads the records
//! without ending the sort.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::num::short;
use crate::format::record::MemberKey;

/// Bytes of records that are kept in memory before a run is written.
const MEMORY_BYTES: usize = 8 << 20;

/// Encoded records on their way into the table.
#[derive(Debug, Default)]
pub struct Sorter {
    records: Vec<(MemberKey, Vec<u8>)>,
    bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// Adds a record.
    pub fn push(&mut self, key: MemberKey, record: Vec<u8>) -> Result<()> {
        self.bytes += key.path.len() + record.len() + 96;
        self.records.push((key, record));
        if self.bytes < MEMORY_BYTES {
            return Ok(());
        }
        self.records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let run = write_run(&self.records).map_err(unwritable)?;
        self.runs.push(run);
        self.records.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Calls `each` for every record in order of the keys, together with those in `more`.
    pub fn merge(
        &mut self,
        more: Vec<(MemberKey, Vec<u8>)>,
        each: &mut dyn FnMut(MemberKey, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut here: Vec<(MemberKey, Vec<u8>)> = self.records.clone();
        here.extend(more);
        here.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut here = here.into_iter();
        let mut runs = Vec::new();
        for run in &mut self.runs {
            run.seek(SeekFrom::Start(0)).map_err(unwritable)?;
            runs.push(BufReader::new(&*run));
        }
        let mut heads = BinaryHeap::new();
        let memory = runs.len();
        for number in 0..=memory {
            if let Some((key, record)) = next(number, &mut runs, &mut here)? {
                heads.push(Reverse((key, number, record)));
            }
        }
        while let Some(Reverse((key, number, record))) = heads.pop() {
            each(key, &record)?;
            if let Some((key, record)) = next(number, &mut runs, &mut here)? {
                heads.push(Reverse((key, number, record)));
            }
        }
        Ok(())
    }
}

fn next(
    number: usize,
    runs: &mut [BufReader<&File>],
    here: &mut dyn Iterator<Item = (MemberKey, Vec<u8>)>,
) -> Result<Option<(MemberKey, Vec<u8>)>> {
    match runs.get_mut(number) {
        Some(run) => read_record(run).map_err(unwritable),
        None => Ok(here.next()),
    }
}

fn write_run(records: &[(MemberKey, Vec<u8>)]) -> io::Result<File> {
    let mut out = BufWriter::new(tempfile::tempfile()?);
    for (key, record) in records {
        out.write_all(&short(key.path.len()).to_le_bytes())?;
        out.write_all(&key.path)?;
        out.write_all(&key.incarnation.to_le_bytes())?;
        out.write_all(&short(record.len()).to_le_bytes())?;
        out.write_all(record)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn read_record(run: &mut impl Read) -> io::Result<Option<(MemberKey, Vec<u8>)>> {
    let mut length = [0; 4];
    if run.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    run.read_exact(&mut length[1..])?;
    let path = read_bytes(run, length)?;
    let mut incarnation = [0; 4];
    run.read_exact(&mut incarnation)?;
    run.read_exact(&mut length)?;
    let record = read_bytes(run, length)?;
    Ok(Some((MemberKey { path, incarnation: u32::from_le_bytes(incarnation) }, record)))
}

fn read_bytes(run: &mut impl Read, length: [u8; 4]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; crate::base::num::index(u32::from_le_bytes(length))];
    run.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unwritable(cause: io::Error) -> Error {
    Error::new(ErrorKind::Store, "cannot use a temporary file in the directory TMPDIR")
        .because(cause)
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
        assert!(sorter.runs.len() > 1);
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
