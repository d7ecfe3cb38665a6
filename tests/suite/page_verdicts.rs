//! Pages with one flipped bit, in every format that a server writes: the judge here and
//! `innochecksum` agree on each.
//!
//! `tests/mariadb/pages` makes the files of a real server and names their directory in
//! `HAULOUT_PAGES`. A round flips one bit of every page of a copy and lets `innochecksum` list what
//! it rejects; the first page, which tells how to read the others, is damaged in rounds of its own.
//!
//! Three differences have a rule, and are counted by it:
//! - *doublewrite*: copies of other spaces' pages in the second and third extent of the system
//!   tablespace, which `innochecksum` does not exempt, are no corruption of this file;
//! - *free*: a page that its extent descriptor calls free is not looked at by `innochecksum`;
//!   damage there is called corruption here;
//! - *identity*: what a page says of itself outside its checksum (space, number, LSN in the
//!   trailer of an encrypted page, header of a compressed one), `innochecksum` does not compare.
//!   Damage there is called corruption here, and never the other way round.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::big_endian_bytes,
    reason = "a test that tells its counts"
)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use haulout::innodb::PageNumber;
use haulout::innodb::PageVerdict;
use haulout::innodb::PageZero;
use haulout::innodb::TablespaceFormat;
use haulout::innodb::verdict::Corruption;

use crate::support::Random;

/// What the two said of damaged pages.
#[derive(Debug, Default)]
struct Tally {
    pages: usize,
    both_reject: usize,
    both_accept: usize,
    /// Rejected here only, by the rule that rejects.
    identity: BTreeMap<String, usize>,
    /// Rejected here only, in pages that are free.
    free: usize,
    /// In the doublewrite buffer, which is never rejected here.
    doublewrite: usize,
    /// Differences without a rule.
    differences: Vec<String>,
}

/// A tablespace of a real server.
struct Tablespace {
    path: PathBuf,
    bytes: Vec<u8>,
    format: TablespaceFormat,
}

impl Tablespace {
    fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).unwrap();
        let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(&bytes) else {
            return None;
        };
        Some(Self { path: path.to_owned(), bytes, format })
    }

    fn page_bytes(&self) -> usize {
        self.format.page_size().bytes()
    }

    fn pages(&self) -> usize {
        self.bytes.len() / self.page_bytes()
    }

    /// Whether the extent descriptor of the undamaged file calls a page free.
    fn is_free(&self, page: usize) -> bool {
        let flags = u32::from_be_bytes(*self.bytes[54..].first_chunk().unwrap());
        let logical = match flags >> 6 & 0xf {
            _ if flags & 0x10 != 0 => self.page_bytes(),
            0 => 16_384,
            code => 512 << code,
        };
        let extent = (1 << 20) / logical.min(16_384);
        // A bitmap of two bits a page follows 24 bytes; the descriptors follow 150.
        let descriptor_bytes = 24 + extent / 4;
        let described_by = page - page % self.page_bytes();
        let number = page % self.page_bytes() / extent;
        let bit = page % extent * 2;
        let at = described_by * self.page_bytes() + 150 + number * descriptor_bytes + 24 + bit / 8;
        self.bytes[at] >> (bit % 8) & 1 == 1
    }

    /// What is said here of a page that was not damaged.
    fn verdict(&self, page: usize) -> PageVerdict {
        let at = page * self.page_bytes();
        let number = PageNumber::new(u32::try_from(page).unwrap());
        self.format.check(&self.bytes[at..at + self.page_bytes()], number)
    }

    /// Flips a bit of each of these pages in a copy and compares what is said of them.
    fn round(&self, pages: &[usize], random: &mut Random, scratch: &Path, tally: &mut Tally) {
        let mut bytes = self.bytes.clone();
        let mut bits = BTreeMap::new();
        for page in pages {
            let bit = random.below(self.page_bytes() * 8);
            bytes[page * self.page_bytes() + bit / 8] ^= 1 << (bit % 8);
            bits.insert(*page, bit);
        }
        let file = scratch.join("damaged.ibd");
        fs::write(&file, &bytes).unwrap();
        let theirs = rejected(&file, self.pages());
        // As the pipeline does when the first page is not understood.
        let format = match TablespaceFormat::from_page_zero(&bytes) {
            PageZero::Formatted(format) => format,
            PageZero::Unformatted | PageZero::Unrecognised(_) | PageZero::TooShort => {
                TablespaceFormat::presumed(self.format.page_size(), self.format.space())
            }
        };
        for (page, bit) in bits {
            let at = page * self.page_bytes();
            let shown = bytes.get(at..at + format.page_size().bytes());
            let number = PageNumber::new(u32::try_from(page).unwrap());
            // A page size that is wrong makes a page that is not there.
            let verdict = shown.map(|shown| format.check(shown, number));
            let here = !matches!(
                verdict,
                Some(
                    PageVerdict::Good { .. } | PageVerdict::Unverifiable { .. } | PageVerdict::Zero
                )
            );
            let there = theirs.contains(&page);
            tally.pages += 1;
            match verdict {
                Some(PageVerdict::Doublewrite) => tally.doublewrite += 1,
                Some(PageVerdict::Corrupt { reason, .. }) if !there && is_identity(&reason) => {
                    *tally.identity.entry(rule(&reason)).or_default() += 1;
                }
                Some(PageVerdict::Corrupt { .. }) if !there && self.is_free(page) => {
                    tally.free += 1;
                }
                _ if here && there => tally.both_reject += 1,
                _ if !here && !there => tally.both_accept += 1,
                _ => {
                    let path = self.path.display();
                    let place = format!("{path}, page {page}, bit {} of byte {}", bit % 8, bit / 8);
                    let words = format!("{place}: {verdict:?} here, rejected there: {there}");
                    tally.differences.push(words);
                }
            }
        }
    }
}

/// What a page says of itself that `innochecksum` does not compare.
fn is_identity(reason: &Corruption) -> bool {
    !matches!(reason, Corruption::Checksum { .. } | Corruption::TrailerChecksum { .. })
}

fn rule(reason: &Corruption) -> String {
    let shown = format!("{reason:?}");
    shown.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// The pages that `innochecksum` rejects; all of them if it can't read the file.
fn rejected(file: &Path, pages: usize) -> BTreeSet<usize> {
    let output = Command::new("innochecksum")
        .arg("--allow-mismatches=1000000000")
        .arg(file)
        .output()
        .expect("innochecksum is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed = said.lines().filter_map(|line| line.strip_prefix("Fail: page::"));
    let failed = failed.filter_map(|rest| rest.split(' ').next()?.parse().ok());
    let failed: BTreeSet<usize> = failed.collect();
    if output.status.success() { failed } else { (0..pages).collect() }
}

#[test]
#[ignore = "it needs tablespaces that tests/mariadb/pages makes"]
fn innochecksum_agrees_on_every_flipped_page() {
    let directory = std::env::var("HAULOUT_PAGES").expect("HAULOUT_PAGES names a directory");
    let flips: usize = std::env::var("HAULOUT_FLIPS").map_or(500, |text| text.parse().unwrap());
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let spaces: Vec<_> = paths.iter().filter_map(|path| Tablespace::read(path)).collect();
    let scratch = tempfile::tempdir().unwrap();
    for space in &spaces {
        let file = scratch.path().join("whole.ibd");
        fs::write(&file, &space.bytes).unwrap();
        for page in rejected(&file, space.pages()) {
            let verdict = space.verdict(page);
            let name = space.path.display();
            assert_eq!(verdict, PageVerdict::Doublewrite, "{name}, page {page} is whole");
        }
    }
    let formats: BTreeSet<_> = spaces
        .iter()
        .map(|space| format!("{:?} of {} bytes", space.format.kind(), space.page_bytes()))
        .collect();
    let mut random = Random(11);
    let mut tally = Tally::default();
    let share = flips.div_ceil(spaces.len());
    for space in &spaces {
        // One in eight is the first page.
        let mut left = share;
        for _ in 0..share.div_ceil(8) {
            space.round(&[0], &mut random, scratch.path(), &mut tally);
            left -= 1;
        }
        while left > 0 {
            let mut pages: Vec<usize> = (1..space.pages()).collect();
            while pages.len() > left.min(200) {
                pages.swap_remove(random.below(pages.len()));
            }
            left -= pages.len();
            space.round(&pages, &mut random, scratch.path(), &mut tally);
        }
    }
    println!("{} tablespaces, {} formats: {formats:?}", spaces.len(), formats.len());
    println!(
        "{} pages with a flipped bit: {} rejected by both, {} accepted by both, {} in the \
         doublewrite buffer, rejected here only: {} in free pages, {:?}",
        tally.pages,
        tally.both_reject,
        tally.both_accept,
        tally.doublewrite,
        tally.free,
        tally.identity
    );
    let shown = tally.differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(tally.differences.is_empty(), "{} differ:\n{shown}", tally.differences.len());
    assert!(tally.pages >= flips && spaces.len() >= 10, "{} pages", tally.pages);
    assert!(tally.both_reject * 2 > tally.pages, "most damage is seen by both");
}
