//! Shows a snapshot: its members, its findings, and the messages of its producer.

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::record::Blocks;
use crate::format::record::MemberRecord;
use crate::format::record::PageCounts;
use crate::format::snapshot::LOG;
use crate::innodb::FormatKind;
use crate::innodb::TablespaceFormat;
use crate::ops::findings;
use crate::ops::selection;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::source::transcript::TRANSCRIPT_BYTES_MAX;

/// A member for people.
#[derive(Debug, Clone)]
pub struct MemberLine {
    /// Path of the member in its stream.
    pub path: String,
    /// Number of the file among those of this path.
    pub incarnation: u32,
    /// Length of the member in bytes.
    pub bytes: u64,
    /// The format of its pages, in words; empty if it has none.
    pub format: String,
    /// The results of the page check.
    pub pages: PageCounts,
    /// True if the stream ended after the member had.
    pub closed: bool,
}

impl MemberLine {
    fn of(record: &MemberRecord) -> Self {
        Self {
            path: record.key.display(),
            incarnation: record.key.incarnation,
            bytes: record.length,
            format: format_words(record),
            pages: record.pages,
            closed: record.closed,
        }
    }
}

/// Replaces the findings that the description of a snapshot names by all that there are.
pub fn name_all_findings(
    repository: &Repository,
    stored: &mut StoredSnapshot,
    world: &World,
) -> Result<()> {
    let monitor = &world.monitor;
    let contents = repository.contents(stored, monitor)?;
    let about = &mut stored.snapshot.about;
    about.findings = findings::read(&contents, about)?;
    about.more_findings = 0;
    Ok(())
}

/// Returns the messages of the producer of a snapshot; `None` if there are none, or if this program
/// did not run it.
pub fn log(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
) -> Result<Option<String>> {
    let monitor = &world.monitor;
    if stored.snapshot.internal(LOG).is_none() {
        return Ok(None);
    }
    repository.require_data()?;
    let contents = repository.contents(stored, monitor)?;
    let mut log = Vec::new();
    contents.read_internal(LOG, &mut |bytes| {
        monitor.check()?;
        log.extend_from_slice(bytes);
        if log.len() > TRANSCRIPT_BYTES_MAX {
            return Err(Error::damaged("the log", "it is too long"));
        }
        Ok(())
    })?;
    Ok(Some(String::from_utf8_lossy(&log).into_owned()))
}

/// Calls `each` for every member, in order of the paths.
pub fn members(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
    each: &mut dyn FnMut(MemberLine) -> Result<()>,
) -> Result<()> {
    let monitor = &world.monitor;
    let contents = repository.contents(stored, monitor)?;
    selection::members_below(&contents, b"", &mut |record| {
        monitor.check()?;
        each(MemberLine::of(record))
    })
}

/// Calls `each` for every member whose path matches one of the globs, or for all if there are none.
pub fn matching(
    repository: &Repository,
    stored: &StoredSnapshot,
    wanted: &[String],
    world: &World,
    each: &mut dyn FnMut(MemberLine) -> Result<()>,
) -> Result<()> {
    let monitor = &world.monitor;
    let Some(globs) = selection::globs(wanted)? else {
        return members(repository, stored, world, each);
    };
    let contents = repository.contents(stored, monitor)?;
    let mut found = 0_u64;
    selection::members_below(&contents, globs.prefix(), &mut |record| {
        monitor.check()?;
        let member = MemberLine::of(record);
        if !globs.matches(member.path.as_bytes()) {
            return Ok(());
        }
        found += 1;
        each(member)
    })?;
    if found == 0 {
        return Err(selection::nothing_matches(stored, wanted));
    }
    Ok(())
}

fn format_words(record: &MemberRecord) -> String {
    let Ok(format) = TablespaceFormat::decode(record.page_format) else {
        let aria = record.key.path.ends_with(b".MAD") && record.blocks != Blocks::ContentDefined;
        return if aria { "Aria".to_owned() } else { String::new() };
    };
    let kind = match format.kind() {
        FormatKind::FullCrc32 { compression: None } => "full_crc32",
        FormatKind::FullCrc32 { compression: Some(_) } => "full_crc32, page_compressed",
        FormatKind::Legacy => "crc32",
        FormatKind::LegacyPageCompressed => "crc32, page_compressed",
        FormatKind::LegacyZip => "ROW_FORMAT=COMPRESSED",
        FormatKind::Undetermined => "first page missing",
    };
    format!("InnoDB {} KiB, {kind}", format.page_size().bytes() / 1024)
}
