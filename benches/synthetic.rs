//! Shows that memory stays flat: a stream of InnoDB pages, made on the fly, of any size.
//!
//! No machine for benchmarks holds 200 GB of a real database, and none needs to: what could make
//! memory grow is the number of pages, files and blocks, not what is in them. So every page here is
//! different and has a valid header and checksum, but only 64 random bytes; the pages compress to
//! little, so that the repository fits into any disk.
//!
//! ```text
//! cargo bench --bench synthetic -- --gigabytes 200 --repeat-changes 1%
//! ```
//!
//! For 2 GB, 20 GB and so on up to what was asked for it makes a repository, backs up a first night
//! and one with changes, restores and verifies, and prints the peak of each process as the kernel
//! counted it (`VmHWM`).
//!
//! What it does not do: measure speed. The generator takes a good part of the processors for
//! itself.

#![expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report is what it is for")]

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PAGE_BYTES: usize = 16 << 10;
/// What mariabackup reads of a data file at a time.
const CHUNK_PAGES: usize = 640;
/// Tables of 4 GiB.
const TABLE_PAGES: u32 = 1 << 18;
const GIGABYTE: u64 = 1_000_000_000;
/// `full_crc32`, 16 KiB.
const TABLESPACE_FLAGS: u32 = 0x15;
const PAGE_TYPE_INDEX: u16 = 17_855;
const PAGE_TYPE_FSP_HEADER: u16 = 8;
/// Above the LSN of every page.
const LAST_LSN: u64 = 1 << 40;

const USAGE: &str = "usage: cargo bench --bench synthetic -- [--gigabytes N] [--repeat-changes P%]";

fn main() -> ExitCode {
    let outcome = Options::parse(env::args().skip(1)).and_then(|options| match options.night {
        Some(night) => generate(&options, night),
        None => report(&options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synthetic: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Options {
    gigabytes: u64,
    /// Pages of a million that the second night changes.
    changes_ppm: u64,
    /// Write this night's stream to standard output, and do nothing else.
    night: Option<u64>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { gigabytes: 20, changes_ppm: 10_000, night: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                // From cargo.
                "--bench" => {}
                "--gigabytes" => options.gigabytes = value()?.parse()?,
                "--generate" => options.night = Some(value()?.parse()?),
                "--repeat-changes" => options.changes_ppm = ppm(&value()?)?,
                _ => return Err(USAGE.into()),
            }
        }
        if options.gigabytes == 0 {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}

/// Reads `1%` or `0.5%` as parts of a million.
fn ppm(percent: &str) -> Result<u64> {
    let number = percent.strip_suffix('%').ok_or(USAGE)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 4 {
        return Err(USAGE.into());
    }
    Ok(whole.parse::<u64>()? * 10_000 + format!("{part:0<4}").parse::<u64>()?)
}

// --- the stream ---------------------------------------------------------------------------------

fn generate(options: &Options, night: u64) -> Result<()> {
    let mut out = Chunks { out: io::stdout().lock() };
    let mut pages = options.gigabytes * GIGABYTE / u64::try_from(PAGE_BYTES)?;
    let mut maker = PageMaker::new(night, options.changes_ppm);
    let mut space = 0;
    while pages > 0 {
        space += 1;
        let count = TABLE_PAGES.min(u32::try_from(pages).unwrap_or(u32::MAX));
        out.table(&format!("bench/t{space:05}.ibd"), &mut maker, space, count)?;
        out.file(&format!("bench/t{space:05}.frm"), &definition())?;
        pages -= u64::from(count);
    }
    out.file("ibdata1", &[PageMaker::page_zero(0, 64), vec![0; 63 * PAGE_BYTES]].concat())?;
    out.file("mysql/user.frm", b"TYPE=VIEW\nquery=select 1\n")?;
    out.file("ib_logfile0", &redo_log())?;
    out.file(
        "xtrabackup_checkpoints",
        format!(
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = {LAST_LSN}\n\
             last_lsn = {LAST_LSN}\nrecover_binlog_info = 0\n"
        )
        .as_bytes(),
    )?;
    out.file(
        "backup-my.cnf",
        b"[mysqld]\ninnodb_checksum_algorithm=crc32\ninnodb_data_file_path=ibdata1:1M:autoextend\n\
          innodb_page_size=16384\ninnodb_undo_tablespaces=0\n",
    )?;
    out.file(
        "xtrabackup_info",
        b"tool_name = mariabackup\ntool_command = --backup\ntool_version = 10.11.19-MariaDB\n\
          server_version = 10.11.19-MariaDB\nstart_time = 2026-01-01 00:00:00\n\
          end_time = 2026-01-01 01:00:00\npartial = N\nincremental = N\nformat = mbstream\n",
    )?;
    eprintln!("completed OK!");
    Ok(())
}

/// The definition of a table of InnoDB, as far as it is looked at.
fn definition() -> Vec<u8> {
    let mut bytes = vec![0; 100];
    bytes[..4].copy_from_slice(&[0xfe, 1, 10, 12]);
    bytes[10] = 100;
    bytes
}

/// An empty redo log that begins and ends at [`LAST_LSN`].
fn redo_log() -> Vec<u8> {
    let mut log = vec![0; 12_288];
    log[..4].copy_from_slice(b"Phys");
    log[8..16].copy_from_slice(&LAST_LSN.to_be_bytes());
    log[16..32].copy_from_slice(b"Backup 10.11.19\0");
    let checksum = crc_fast::crc32_iscsi(&log[..508]);
    log[508..512].copy_from_slice(&checksum.to_be_bytes());
    let mut checkpoint = [0; 64];
    checkpoint[..8].copy_from_slice(&LAST_LSN.to_be_bytes());
    checkpoint[8..16].copy_from_slice(&LAST_LSN.to_be_bytes());
    let checksum = crc_fast::crc32_iscsi(&checkpoint[..60]);
    checkpoint[60..].copy_from_slice(&checksum.to_be_bytes());
    log[4096..4160].copy_from_slice(&checkpoint);
    log
}

/// Writes mbstream.
struct Chunks<W> {
    out: W,
}

impl<W: Write> Chunks<W> {
    fn head(&mut self, kind: u8, path: &str) -> Result<()> {
        self.out.write_all(b"XBSTCK01\0")?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&u32::try_from(path.len())?.to_le_bytes())?;
        self.out.write_all(path.as_bytes())?;
        Ok(())
    }

    fn payload(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        self.head(b'P', path)?;
        self.out.write_all(&u64::try_from(bytes.len())?.to_le_bytes())?;
        self.out.write_all(&offset.to_le_bytes())?;
        self.out.write_all(&crc_fast::crc32_iso_hdlc(bytes).to_le_bytes())?;
        self.out.write_all(bytes)?;
        Ok(())
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.payload(path, 0, bytes)?;
        self.head(b'E', path)
    }

    fn table(&mut self, path: &str, maker: &mut PageMaker, space: u32, pages: u32) -> Result<()> {
        self.payload(path, 0, &PageMaker::page_zero(space, pages))?;
        for first in (1..pages).step_by(CHUNK_PAGES) {
            let offset = u64::from(first) * u64::try_from(PAGE_BYTES)?;
            self.payload(path, offset, maker.pages(space, first, pages))?;
        }
        self.head(b'E', path)
    }
}

/// Makes pages of a B-tree's lowest level, in a buffer of which only few bytes change from use to
/// use.
struct PageMaker {
    night: u64,
    changes_ppm: u64,
    buffer: Vec<u8>,
}

impl PageMaker {
    fn new(night: u64, changes_ppm: u64) -> Self {
        let mut page = vec![0; PAGE_BYTES];
        page[24..26].copy_from_slice(&PAGE_TYPE_INDEX.to_be_bytes());
        for (number, row) in (0u32..).zip(page[120..PAGE_BYTES - 200].chunks_exact_mut(120)) {
            row[..4].copy_from_slice(&number.to_be_bytes());
            row[10..34].copy_from_slice(b"somebody@somewhere.local");
        }
        Self { night, changes_ppm, buffer: page.repeat(CHUNK_PAGES) }
    }

    /// The first page of a tablespace.
    fn page_zero(space: u32, pages: u32) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[24..26].copy_from_slice(&PAGE_TYPE_FSP_HEADER.to_be_bytes());
        page[38..42].copy_from_slice(&space.to_be_bytes());
        page[46..50].copy_from_slice(&pages.to_be_bytes());
        page[50..54].copy_from_slice(&pages.to_be_bytes());
        page[54..58].copy_from_slice(&TABLESPACE_FLAGS.to_be_bytes());
        seal(&mut page, space, 0, 1000);
        page
    }

    /// The pages from `first` on, as many as a chunk has and before `end`.
    fn pages(&mut self, space: u32, first: u32, end: u32) -> &[u8] {
        let mut bytes = 0;
        for (number, page) in (first..end).zip(self.buffer.chunks_exact_mut(PAGE_BYTES)) {
            let id = u64::from(space) << 32 | u64::from(number);
            let changed = self.night > 0 && mixed(id ^ self.night) % 1_000_000 < self.changes_ppm;
            let version = if changed { self.night } else { 0 };
            for (word, at) in (0..8).zip((8000..8064).step_by(8)) {
                let random = mixed(id * 8 + word + (version << 60));
                page[at..at + 8].copy_from_slice(&random.to_be_bytes());
            }
            page[8..12].copy_from_slice(&(number - 1).to_be_bytes());
            page[12..16].copy_from_slice(&(number + 1).to_be_bytes());
            seal(page, space, number, 1000 + version * 1_000_000 + mixed(id) % 1_000_000);
            bytes += PAGE_BYTES;
        }
        &self.buffer[..bytes]
    }
}

/// Writes what every page has: number, LSN twice, tablespace, checksum.
fn seal(page: &mut [u8], space: u32, number: u32, lsn: u64) {
    let lsn = lsn.to_be_bytes();
    page[4..8].copy_from_slice(&number.to_be_bytes());
    page[16..24].copy_from_slice(&lsn);
    page[34..38].copy_from_slice(&space.to_be_bytes());
    page[PAGE_BYTES - 8..PAGE_BYTES - 4].copy_from_slice(&lsn[4..]);
    let checksum = crc_fast::crc32_iscsi(&page[..PAGE_BYTES - 4]);
    page[PAGE_BYTES - 4..].copy_from_slice(&checksum.to_be_bytes());
}

/// A random number for each number (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// --- the report ---------------------------------------------------------------------------------

fn report(options: &Options) -> Result<()> {
    println!(
        "{:>6}  {:<22} {:>9} {:>10} {:>8}  {:<9}",
        "GB", "command", "VmHWM MiB", "stored MB", "seconds", "verdict"
    );
    let sizes =
        (0..).map(|power| 2 * 10u64.pow(power)).take_while(|size| *size < options.gigabytes);
    for gigabytes in sizes.chain([options.gigabytes]) {
        let place = tempfile::tempdir()?;
        measure(&Options { gigabytes, ..*options }, &place.path().join("repository"))?;
    }
    Ok(())
}

/// Runs every command on a repository of its own.
fn measure(options: &Options, repository: &Path) -> Result<()> {
    let itself =
        env::current_exe()?.into_os_string().into_string().map_err(|_| "a strange path")?;
    run(options, repository, "init", &["init"])?;
    for (name, night) in [("backup, first night", "0"), ("backup, next night", "1")] {
        let gigabytes = options.gigabytes.to_string();
        let changes =
            format!("{}.{:04}%", options.changes_ppm / 10_000, options.changes_ppm % 10_000);
        run(
            options,
            repository,
            name,
            &["backup", "--source", "synthetic", "--", &itself, "--generate", night]
                .into_iter()
                .chain(["--gigabytes", &gigabytes, "--repeat-changes", &changes])
                .collect::<Vec<_>>(),
        )?;
    }
    run(options, repository, "restore --stdout", &["restore", "latest", "--stdout"])?;
    run(options, repository, "verify --depth pages", &["verify", "latest", "--depth", "pages"])
}

/// Runs one command and prints its line.
fn run(options: &Options, repository: &Path, name: &str, arguments: &[&str]) -> Result<()> {
    let program = env::var("HAULOUT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_haulout").to_owned());
    let streams = arguments.contains(&"--stdout");
    let mut command = Command::new(program);
    command
        .arg("--quiet")
        .args((!streams).then_some("--json"))
        .arg("--repo")
        .arg(repository)
        .args(arguments)
        .env("HAULOUT_PASSWORD", "a password for a throw-away repository")
        .stdin(Stdio::null())
        .stdout(if streams { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn()?;
    let peak = peak_kib(&mut child)?;
    let mut json = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut json)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{name}: {status}: {json}").into());
    }
    let said: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let shown = |field: &str, unit: f64| {
        said[field].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{:.1}", value / unit))
    };
    println!(
        "{:>6}  {:<22} {:>9} {:>10} {:>8}  {:<9}",
        options.gigabytes,
        name,
        peak / 1024,
        shown("stored_bytes", 1e6),
        shown("seconds", 1.0),
        said["verdict"].as_str().unwrap_or("-"),
    );
    Ok(())
}

/// Waits for a child and returns the most memory it ever had, as the kernel counted it.
///
/// What it prints is short and fits into its pipe.
fn peak_kib(child: &mut Child) -> Result<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // Gone between the two calls.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
    Ok(peak)
}
