//! What the tests share: a small invented server whose streams are as real ones, and a
//! repository in memory.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::big_endian_bytes,
    clippy::doc_markdown,
    clippy::unwrap_used,
    reason = "the benchmarks use a part, and names say enough; InnoDB is big-endian"
)]

pub(crate) mod binlog;
pub(crate) mod leaves;
pub(crate) mod near;
pub(crate) mod producers;
pub(crate) mod program;
pub(crate) mod s3;
pub(crate) mod site;
pub(crate) mod trees;

use std::sync::Arc;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::removed::Removal;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::backup::backup;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune::Removing;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::Target;
use haulout::ops::restore::restore;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::repo::keys::Keys;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Passphrase;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;

/// Bytes of a page of the invented server.
pub const PAGE: usize = 16384;

/// A world whose clock steps.
pub fn stepping_world() -> World {
    World { clock: Arc::new(StepClock::default()), ..World::of_this_machine() }
}

/// A clock that stands at a time of day.
#[derive(Debug)]
struct StoppedClock(u64);

impl Clock for StoppedClock {
    fn unix_seconds(&self) -> u64 {
        self.0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A world in which it is so many seconds after 1970.
pub fn world_at(seconds: u64) -> World {
    World { clock: Arc::new(StoppedClock(seconds)), ..World::of_this_machine() }
}

/// The clock of this machine, and randomness that repeats.
pub fn world(seed: u64) -> World {
    World { entropy: Arc::new(SeededEntropy::new(seed)), ..World::of_this_machine() }
}

/// A clock that advances by a second whenever it is asked for the time of day.
#[derive(Debug, Default)]
pub struct StepClock(std::sync::atomic::AtomicU64);

impl Clock for StepClock {
    fn unix_seconds(&self) -> u64 {
        1_700_000_000 + self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A random number generator for test data; the same seed gives the same data on every machine.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A page of a full_crc32 tablespace.
pub fn page(space: u32, number: u32, lsn: u64, body: &[u8]) -> Vec<u8> {
    page_of(PAGE, (space, number), lsn, body)
}

/// The same of another size.
pub fn page_of(size: usize, (space, number): (u32, u32), lsn: u64, body: &[u8]) -> Vec<u8> {
    let mut page = vec![0; size];
    page[4..8].copy_from_slice(&number.to_be_bytes());
    page[16..24].copy_from_slice(&lsn.to_be_bytes());
    page[24..26].copy_from_slice(&17855u16.to_be_bytes());
    page[34..38].copy_from_slice(&space.to_be_bytes());
    if number == 0 {
        page[24..26].copy_from_slice(&8u16.to_be_bytes());
        page[38..42].copy_from_slice(&space.to_be_bytes());
        let flags = 0x10 | (size.ilog2() - 9);
        page[54..58].copy_from_slice(&flags.to_be_bytes());
    }
    page[100..100 + body.len()].copy_from_slice(body);
    seal_page(&mut page);
    page
}

/// Changes a page of any size.
pub fn change_page(page: &mut [u8], lsn: u64, (at, bytes): (usize, &[u8])) {
    page[16..24].copy_from_slice(&lsn.to_be_bytes());
    page[at..at + bytes.len()].copy_from_slice(bytes);
    seal_page(page);
}

fn seal_page(page: &mut [u8]) {
    let low: [u8; 4] = page[20..24].try_into().unwrap();
    let end = page.len();
    page[end - 8..end - 4].copy_from_slice(&low);
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &page[..end - 4]);
    let sum = u32::try_from(sum).unwrap();
    page[end - 4..].copy_from_slice(&sum.to_be_bytes());
}

/// An invented server: tables of pages, and small files.
#[derive(Debug, Clone)]
pub struct Server {
    pub random: Random,
    pub lsn: u64,
    /// Path, tablespace id, pages.
    pub tables: Vec<(String, u32, Vec<Vec<u8>>)>,
}

impl Server {
    pub fn new(seed: u64, tables: usize, pages: usize) -> Self {
        let mut server = Self { random: Random(seed), lsn: 1000, tables: Vec::new() };
        let names = ["ibdata1".to_owned(), "undo001".to_owned()].into_iter();
        let names = names.chain((0..tables).map(|n| format!("shop/table{n}.ibd")));
        for (space, name) in (0u32..).zip(names) {
            let pages = (0..pages).map(|n| server.new_page(space, u32::try_from(n).unwrap()));
            let pages = pages.collect();
            server.tables.push((name, space, pages));
        }
        server
    }

    fn new_page(&mut self, space: u32, number: u32) -> Vec<u8> {
        if number % 10 == 9 {
            return vec![0; PAGE];
        }
        self.lsn += 10;
        let body: Vec<u8> = (0..1500)
            .flat_map(|_| format!("{:08}", self.random.next() % 100_000_000).into_bytes())
            .collect();
        page(space, number, self.lsn, &body[..12_000])
    }

    /// Changes a few bytes in some pages, and adds one page to one table.
    pub fn night(&mut self, changes: usize) {
        for _ in 0..changes {
            let table = self.random.below(self.tables.len());
            let count = self.tables[table].2.len();
            let number = 1 + self.random.below(count - 1);
            self.lsn += 10;
            let (at, value) = (200 + self.random.below(11_000), self.random.next());
            let lsn = self.lsn;
            let page = &mut self.tables[table].2[number];
            if page.iter().all(|byte| *byte == 0) {
                continue;
            }
            page[at..at + 8].copy_from_slice(&value.to_be_bytes());
            page[16..24].copy_from_slice(&lsn.to_be_bytes());
            seal_page(page);
        }
        let table = 2 + self.random.below(self.tables.len() - 2);
        let (space, number) = (self.tables[table].1, self.tables[table].2.len());
        let page = self.new_page(space, u32::try_from(number).unwrap());
        self.tables[table].2.push(page);
    }

    /// The server's backup as an mbstream that passes every check.
    pub fn stream(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, _, pages) in &self.tables {
            file(&mut out, name, &pages.concat(), 640 * PAGE);
        }
        self.describe(&mut out, "full-backuped", 0);
        out
    }

    /// Where a backup that is taken now ends.
    pub fn to_lsn(&self) -> u64 {
        self.lsn - 5
    }

    /// An increment with all pages that changed after an LSN.
    pub fn increment(&self, from_lsn: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, space, pages) in &self.tables {
            let size = pages[0].len();
            let meta = format!("page_size = {size}\nzip_size = 0 \nspace_id = {space}\n");
            file(&mut out, &format!("{name}.meta"), meta.as_bytes(), 1 << 20);
            file(&mut out, &format!("{name}.delta"), &delta(pages, from_lsn), 320 * PAGE);
        }
        self.describe(&mut out, "incremental", from_lsn);
        out
    }

    /// Appends everything but the tables.
    fn describe(&self, out: &mut Vec<u8>, kind: &str, from_lsn: u64) {
        file(out, "shop/db.opt", b"default-character-set=utf8mb4\n", 1 << 20);
        file(out, "mysql/user.frm", b"TYPE=VIEW\nquery=select 1\n", 1 << 20);
        for (name, _, _) in &self.tables {
            if let Some(table) = name.strip_suffix(".ibd") {
                file(out, &format!("{table}.frm"), &definition(), 1 << 20);
            }
        }
        let (first, last) = (self.to_lsn(), self.lsn + 700);
        file(out, "xtrabackup_binlog_info", b"bin.000001\t330\t0-1-7\n", 1 << 20);
        file(out, "ib_logfile0", &redo(first, last), 4000);
        let checkpoints = format!(
            "backup_type = {kind}\nfrom_lsn = {from_lsn}\nto_lsn = {first}\nlast_lsn = {last}\n\
             recover_binlog_info = 0\n"
        );
        file(out, "xtrabackup_checkpoints", checkpoints.as_bytes(), 1 << 20);
        let config = "[mysqld]\ninnodb_checksum_algorithm=full_crc32\n\
                      innodb_data_file_path=ibdata1:12M:autoextend\ninnodb_log_file_size=1000000\n\
                      innodb_page_size=16384\ninnodb_undo_directory=./\n\
                      innodb_undo_tablespaces=1\n";
        file(out, "backup-my.cnf", config.as_bytes(), 1 << 20);
        let incremental = if kind == "incremental" { "Y" } else { "N" };
        let info = format!(
            "uuid = 1\nname = \ntool_name = mariabackup\ntool_command = --backup\n\
             tool_version = 10.11.19-MariaDB\nibbackup_version = 10.11.19-MariaDB\n\
             server_version = 10.11.19-MariaDB-log\nstart_time = 2026-11-20 03:00:00\n\
             end_time = 2026-11-20 03:00:09\nlock_time = 0\n\
             binlog_pos = filename 'bin.000001', position '330', GTID of the last change '0-1-7'\n\
             innodb_from_lsn = {from_lsn}\ninnodb_to_lsn = {first}\npartial = N\n\
             incremental = {incremental}\n\
             format = mbstream\ncompressed = N\n"
        );
        file(out, "xtrabackup_info", info.as_bytes(), 1 << 20);
    }
}

/// The definition of a table of InnoDB, as far as it is looked at.
fn definition() -> Vec<u8> {
    let mut bytes = vec![0; 100];
    bytes[..4].copy_from_slice(&[0xfe, 1, 10, 12]);
    bytes[10] = 100;
    bytes
}

/// The pages that changed after an LSN, as `mariabackup` lays them out.
fn delta(pages: &[Vec<u8>], from_lsn: u64) -> Vec<u8> {
    let lsn = |page: &[u8]| u64::from_be_bytes(page[16..24].try_into().unwrap());
    let changed = || (0u32..).zip(pages).filter(|(_, page)| lsn(page) > from_lsn);
    let mut head = vec![0; pages[0].len()];
    head[..4].copy_from_slice(b"XTRA");
    let numbers = changed().map(|(number, _)| number).chain([u32::MAX]);
    for (slot, number) in (1..).zip(numbers) {
        head[4 * slot..4 * slot + 4].copy_from_slice(&number.to_be_bytes());
    }
    changed().for_each(|(_, page)| head.extend_from_slice(page));
    head
}

fn redo(first: u64, last: u64) -> Vec<u8> {
    let mut log = vec![0; 12288];
    log[..4].copy_from_slice(b"Phys");
    log[8..16].copy_from_slice(&first.to_be_bytes());
    log[16..31].copy_from_slice(b"Backup 10.11.19");
    let sum = |bytes: &[u8]| {
        u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).unwrap()
    };
    let header = sum(&log[..508]);
    log[508..512].copy_from_slice(&header.to_be_bytes());
    log[4096..4104].copy_from_slice(&first.to_be_bytes());
    log[4104..4112].copy_from_slice(&last.to_be_bytes());
    let checkpoint = sum(&log[4096..4156]);
    log[4156..4160].copy_from_slice(&checkpoint.to_be_bytes());
    log.extend((first..last).map(|n| n.to_le_bytes()[0]));
    // The first record, of two bytes, and its end.
    log[12288..12291].copy_from_slice(&[0xb1, 7, 1]);
    let record = sum(&log[12288..12290]);
    log[12291..12295].copy_from_slice(&record.to_be_bytes());
    log
}

/// Appends a file in frames of at most `frame` bytes.
pub fn file(out: &mut Vec<u8>, path: &str, bytes: &[u8], frame: usize) {
    let mut offset = 0u64;
    for payload in bytes.chunks(frame) {
        header(out, b'P', path);
        let length = u64::try_from(payload.len()).unwrap();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        out.extend_from_slice(payload);
        offset += length;
    }
    header(out, b'E', path);
}

/// Appends the part of a frame's header that all kinds share.
pub fn header(out: &mut Vec<u8>, kind: u8, path: &str) {
    out.extend_from_slice(b"XBSTCK01\0");
    out.push(kind);
    out.extend_from_slice(&u32::try_from(path.len()).unwrap().to_le_bytes());
    out.extend_from_slice(path.as_bytes());
}

/// How a test repository is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protected {
    Encrypted,
    Clear,
}

pub fn password() -> Credential {
    Credential::Passphrase(Passphrase::new(b"correct horse".to_vec()).unwrap())
}

/// A password as the library takes it.
pub fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec()).unwrap()
}

/// The keys of a repository, opened with this password.
pub fn keys_by(store: &Arc<dyn Store>, password: &str) -> Result<Keys> {
    let mut give = || Ok(Credential::Passphrase(passphrase(password)));
    Keys::open(Arc::clone(store), &mut give, &Limits::FOR_TESTS, &World::of_this_machine())
}

/// A repository, opened with this password.
pub fn opened_by(store: &Arc<dyn Store>, password: &str) -> Result<Repository> {
    let mut give = || Ok(Credential::Passphrase(passphrase(password)));
    Repository::open(Arc::clone(store), &mut give, &Limits::FOR_TESTS, &World::of_this_machine())
}

/// Makes a repository in a store.
pub fn init(store: Arc<dyn Store>, protected: Protected, seed: u64) -> Repository {
    init_as_earlier(store, protected, FEATURES_MADE, seed)
}

/// Makes a repository as an earlier version does: with these features only.
pub fn init_as_earlier(
    store: Arc<dyn Store>,
    protected: Protected,
    features: Features,
    seed: u64,
) -> Repository {
    let credential = password();
    let note = KeySlotNote { label: "test".to_owned(), created_unix_seconds: 0 };
    let cost = KdfCost::FOR_TESTS;
    let protection = match protected {
        Protected::Encrypted => NewProtection::Encrypted { credential: &credential, cost, note },
        Protected::Clear => NewProtection::Clear,
    };
    Repository::init_as_earlier(store, &protection, features, &world(seed)).unwrap()
}

/// Opens it again, as another program would.
pub fn open(store: Arc<dyn Store>, seed: u64) -> Result<Repository> {
    let world = world(seed);
    Repository::open(store, &mut || Ok(password()), &Limits::FOR_TESTS, &world)
}

pub fn options() -> BackupOptions {
    BackupOptions {
        at_once: AtOnce::with_workers(2),
        host: "test".to_owned(),
        checkpoint_bytes: u64::MAX,
        checkpoint_seconds: u64::MAX,
        ..BackupOptions::new("shop")
    }
}

/// Backs up bytes whose producer ended as `exit` says.
pub fn back_up_with(
    repository: &Repository,
    stream: &[u8],
    exit: ProducerExit,
    options: &BackupOptions,
) -> Result<BackupReport> {
    back_up_source(repository, BytesSource::new(stream.to_vec(), 1 << 20, exit), options)
}

/// Backs up what a producer gives, and what it says.
pub fn back_up_source(
    repository: &Repository,
    source: BytesSource,
    options: &BackupOptions,
) -> Result<BackupReport> {
    backup(repository, Box::new(source), options, &stepping_world())
}

/// Backs up bytes of a producer that ended well.
pub fn back_up(repository: &Repository, stream: &[u8]) -> BackupReport {
    back_up_with(repository, stream, ProducerExit::Exited(0), &options()).unwrap()
}

/// The stream of a snapshot.
pub fn stream_of(repository: &Repository, snapshot: &str) -> Result<Vec<u8>> {
    stream_with(repository, snapshot, 2)
}

/// The stream of a snapshot, restored by so many threads.
pub fn stream_with(repository: &Repository, snapshot: &str, workers: u32) -> Result<Vec<u8>> {
    let stored = repository.find_snapshot(snapshot)?;
    let mut out = Vec::new();
    let options = RestoreOptions::new(workers);
    let (target, world) = (Target::Stream(&mut out), World::of_this_machine());
    restore(repository, &stored, target, &options, &world)?;
    Ok(out)
}

/// A store as the library wants it.
pub fn shared<S: Store + 'static>(store: &Arc<S>) -> Arc<dyn Store> {
    Arc::<S>::clone(store)
}

/// What a prune is told to remove, with the record about it.
pub fn removing(stored: &StoredSnapshot) -> Removing {
    let about = stored.snapshot.about.clone();
    let removal = Removal {
        time: 1,
        program: "a test".to_owned(),
        host: "db1".to_owned(),
        predecessor: about.parent,
        run: about.run,
        runs: Vec::new(),
        kind: about.kind,
        verdict: about.verdict,
        requires: about.requires,
        reason: "its night is over".to_owned(),
        replaced_by: None,
        origin: about.origin,
    };
    Removing { name: stored.name, removal }
}
