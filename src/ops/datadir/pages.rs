//! Checks every page of the InnoDB tables in a prepared directory: its checksum, and that it is the
//! page that belongs there.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::innodb::PageNumber;
use crate::innodb::PageVerdict;
use crate::innodb::PageZero;
use crate::innodb::TablespaceFormat;
use crate::ops::datadir::files::walk;
use crate::ops::restore::confined::unwritable;

/// Bytes that are read at once: whole pages of every size.
const READ_BYTES: usize = 1 << 20;

/// Wrong pages of one file that are named.
const NAMED_MAX: usize = 3;

/// The outcome of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Pages that were looked at.
    pub(super) pages: u64,
    /// What is wrong, in words.
    pub(super) problems: Vec<String>,
}

/// Checks all tablespaces of a directory.
pub(super) fn check(directory: &Path, monitor: &Monitor) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut stopped: Option<Error> = None;
    let walked = walk(directory, &mut |path, metadata| {
        if stopped.is_none() && metadata.is_file() && is_tablespace(path) {
            stopped = monitor.check().err();
            check_file(&directory.join(path), path, &mut checked)?;
        }
        Ok(())
    });
    walked.map_err(|error| unwritable(directory, error))?;
    stopped.map_or(Ok(checked), Err)
}

fn is_tablespace(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = !name.contains('.');
    name.ends_with(".ibd") || is_plain && (name.starts_with("undo") || name == "ibdata1")
}

fn check_file(file: &Path, path: &Path, checked: &mut Checked) -> io::Result<()> {
    let mut file = File::open(file)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut number = PageNumber::FIRST;
    let mut format: Option<TablespaceFormat> = None;
    let mut wrong = 0;
    loop {
        let bytes = fill(&mut file, &mut buffer)?;
        let known = match format {
            Some(format) => format,
            None => match TablespaceFormat::from_page_zero(&buffer[..bytes]) {
                PageZero::Formatted(format) => format,
                // What is empty was made and never written to.
                PageZero::Unformatted | PageZero::TooShort => return Ok(()),
                PageZero::Unrecognised(why) => {
                    checked.problems.push(format!("{}: {why}", path.display()));
                    return Ok(());
                }
            },
        };
        format = Some(known);
        for (page, verdict) in known.check_run(&buffer[..bytes], number) {
            checked.pages += 1;
            if let PageVerdict::Corrupt { reason, .. } = verdict {
                wrong += 1;
                if wrong <= NAMED_MAX {
                    let words = format!("page {page} of {}: {reason}", path.display());
                    checked.problems.push(words);
                }
            }
        }
        let pages = u32::try_from(bytes / known.page_size().bytes()).unwrap_or(u32::MAX);
        match number.checked_add(pages) {
            Some(next) if bytes == buffer.len() => number = next,
            Some(_) | None => return Ok(()),
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut bytes = 0;
    while bytes < buffer.len() {
        match file.read(&mut buffer[bytes..])? {
            0 => break,
            read => bytes += read,
        }
    }
    Ok(bytes)
}
