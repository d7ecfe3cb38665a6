//! A throw-away data directory with the files of some tables, prepared and judged.
//!
//! `--prepare` says that it is well on much that is broken, and of files that were not fetched it
//! says that they were not found. So its messages are read: the log must end where the backup says,
//! and none of the files that were fetched may be missing.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::innodb::PageNumber;
use crate::innodb::dictionary;
use crate::ops::chain::has_base;
use crate::ops::part::options::Broken;
use crate::ops::part::options::PartOptions;
use crate::ops::prepare::prepare;
use crate::ops::restore;
use crate::ops::restore::Losses;
use crate::ops::restore::Purpose;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::Sharing;
use crate::ops::restore::accounts::Accounts;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::server::option_file::Options;

/// Bytes of the messages of a preparation that are kept.
const LOG_BYTES_MAX: usize = 16 << 20;
/// Pages of the dictionary that are looked at for one table.
const PAGES_MAX: u32 = 20_000;
/// The size of a page unless the backup says another one.
const PAGE_BYTES: u64 = 16 << 10;

/// The snapshot that files are fetched from.
#[derive(Debug, Clone, Copy)]
pub(super) struct From<'f> {
    pub(super) repository: &'f Repository,
    pub(super) stored: &'f StoredSnapshot,
    pub(super) world: &'f World,
}

/// A throw-away directory. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    has_chain: bool,
}

impl Staging {
    /// Makes a directory that only this user can enter.
    pub(super) fn make(place: &Path, stored: &StoredSnapshot, world: &World) -> Result<Self> {
        let number = u64::from_le_bytes(random(&*world.entropy));
        let root = place.join(format!("haulout-part-{number:016x}"));
        let made = DirBuilder::new().mode(0o700).create(&root);
        made.map_err(|e| {
            let what = format!("cannot make the directory {}", root.display());
            Error::new(ErrorKind::Target, what).because(e)
        })?;
        Ok(Self { root, has_chain: has_base(stored) })
    }

    /// Returns the data directory, as a server is started on it.
    pub(super) fn data(&self) -> PathBuf {
        self.in_chain(&self.root.join("data"))
    }

    /// Returns the directory for the server's socket.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn in_chain(&self, fetched: &Path) -> PathBuf {
        if self.has_chain { fetched.join("full") } else { fetched.to_owned() }
    }

    /// Fetches files; returns those that are not whole, if these are left out.
    pub(super) fn fetch(
        &self,
        from: &From<'_>,
        globs: Vec<String>,
        options: &PartOptions,
    ) -> Result<Vec<(String, String)>> {
        let From { repository, stored, world } = from;
        let target = self.root.join("data");
        let restore_options = RestoreOptions {
            include: globs,
            losses: match options.broken {
                Broken::Refuse => Losses::Fail,
                Broken::LeaveOut => Losses::LeaveOut,
            },
            sharing: Sharing::Refuse(Accounts::of_this_host()),
            purpose: Purpose::Part,
            ..RestoreOptions::new(options.workers)
        };
        let to = restore::Target::Directory(&target);
        let report = restore::restore(repository, stored, to, &restore_options, world)?;
        let lost = report.lost.into_iter();
        Ok(lost.map(|lost| (String::from_utf8_lossy(&lost.path).into_owned(), lost.why)).collect())
    }

    /// Begins anew: what was fetched is removed.
    pub(super) fn clear(&self) -> Result<()> {
        let target = self.root.join("data");
        fs::remove_dir_all(&target).map_err(|e| {
            let what = format!("cannot remove {}", target.display());
            Error::new(ErrorKind::Target, what).because(e)
        })
    }

    /// Finds the number of a table in the dictionary as it was copied. It may be missing there.
    pub(super) fn table_id(&self, name: &str) -> Option<u64> {
        let data = self.data();
        let groups = ["mysqld", "mariadbd", "server", "mariadb"];
        let options = Options::read(&data.join("backup-my.cnf"), &groups).ok()?;
        let bytes = options.value("innodb_page_size").and_then(|bytes| bytes.parse().ok());
        let bytes: u64 = bytes.unwrap_or(PAGE_BYTES);
        let mut file = File::open(data.join("ibdata1")).ok()?;
        let mut page = vec![0; usize::try_from(bytes.min(1 << 16)).ok()?];
        let mut read = |number: PageNumber| {
            file.seek(SeekFrom::Start(u64::from(number.get()) * bytes)).ok()?;
            file.read_exact(&mut page).ok()?;
            Some(page.clone())
        };
        let mut at = dictionary::root(&read(dictionary::DICTIONARY_PAGE)?)?;
        for _ in 0..PAGES_MAX {
            let page = read(at)?;
            if let Some(id) = dictionary::table_id(&page, name.as_bytes()) {
                return Some(id);
            }
            at = match dictionary::step(&page)? {
                dictionary::Step::Below(below) => below,
                dictionary::Step::Right(right) => right?,
            };
        }
        None
    }

    /// Prepares what was fetched, and judges it by the messages of the program and the files.
    pub(super) fn prepare(
        &self,
        stored: &StoredSnapshot,
        options: &PartOptions,
        tables: &[String],
        world: &World,
    ) -> Result<()> {
        let log = Log::default();
        let writer = || -> Box<dyn Write + Send> { Box::new(log.clone()) };
        let target = self.root.join("data");
        let program = &options.programs.prepare;
        prepare(stored, &target, program, &writer, world)?;
        let text = lock(&log.0);
        let text = String::from_utf8_lossy(&text);
        let checkpoints = ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"];
        let data = self.data();
        let read = |name: &&str| fs::read_to_string(data.join(name)).ok();
        judge(&text, &checkpoints.iter().find_map(read).unwrap_or_default(), tables)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left is a directory that only this user can enter.
        let _left = fs::remove_dir_all(&self.root);
    }
}

/// The messages of a program, up to a limit.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = lock(&self.0);
        if kept.len() > LOG_BYTES_MAX {
            // The end says what matters.
            kept.drain(..LOG_BYTES_MAX / 2);
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Judges a preparation: by the end of the log, and by files that were not found.
fn judge(log: &str, checkpoints: &str, tables: &[String]) -> Result<()> {
    let failed = |what: String| Err(Error::new(ErrorKind::Prepare, what));
    let number = |text: &str| -> Option<u64> {
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let expected = checkpoints
        .lines()
        .find_map(|line| number(line.strip_prefix("last_lsn")?.trim_start().strip_prefix('=')?));
    let ends = log.rsplit_once("End of log at LSN=").and_then(|(_, rest)| number(rest));
    if let (Some(expected), Some(ends)) = (expected, ends)
        && ends != expected
    {
        return failed(format!("the log ends at LSN {ends}, and the backup at {expected}"));
    }
    let lacks = |line: &&str| {
        let path = line.split_once("was not found at ./").map(|(_, rest)| rest);
        path.is_some_and(|path| {
            tables.iter().any(|table| {
                let rest = path.strip_prefix(table.as_str());
                rest.is_some_and(|rest| rest.starts_with('.') || rest.starts_with('#'))
            })
        })
    };
    match log.lines().find(lacks) {
        Some(line) => failed(format!("a file of the table is missing: {}", line.trim())),
        None => Ok(()),
    }
}

/// Reads the beginning of a file.
pub(super) fn beginning(path: &Path) -> Vec<u8> {
    const BYTES_MAX: u64 = 1 << 20;
    let mut bytes = Vec::new();
    // A file that is not there has no beginning.
    let _read = File::open(path).map(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preparation_is_judged_by_its_words() {
        let tables = ["shop/t".to_owned()];
        let checkpoints = "backup_type = log-applied\nlast_lsn = 4989235\n";
        let log = "[Note] InnoDB: End of log at LSN=4989235\n[Warning] InnoDB: Tablespace 1 was \
                   not found at ./mysql/x.ibd when restoring a (partial?) backup.\n";
        judge(log, checkpoints, &tables).unwrap();
        let cut = log.replace("4989235", "4980000");
        assert!(judge(&cut, checkpoints, &tables).unwrap_err().to_string().contains("4980000"));
        let lost = log.replace("mysql/x", "shop/t#P#p0");
        assert!(judge(&lost, checkpoints, &tables).is_err());
        judge(&log.replace("mysql/x", "shop/t2"), checkpoints, &tables).unwrap();
    }
}
