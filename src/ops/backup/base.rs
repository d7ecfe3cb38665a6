//! Finds the snapshot that an increment builds on, while the increment is backed up.
//!
//! An increment holds the pages that changed since an LSN. It is worth nothing without the backup
//! that ended at exactly this LSN, so that is looked for when it is stored: the snapshot then
//! *requires* it, and everything that it requires itself. An increment without its base is partial.
//!
//! - The base is one of the roots of the run, which its intent names: a prune keeps those.
//! - The base is of the same source, ends at the LSN at which the increment begins, is not partial,
//!   and comes from a server of the same release series and page size. Of several the one with the
//!   shortest chain is taken, since every link may get lost; of these the newest.
//! - No chain is trusted more than its weakest link.

use std::collections::HashSet;

use crate::format::snapshot::Description;
use crate::format::snapshot::Positions;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::ops::chain::short;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::verdict::Conclusion;

/// Snapshots that an increment may require: their names must fit into its own snapshot.
const REQUIRES_MAX: usize = 128;

/// Finds the base of an increment that was just read, and lowers the verdict if there is none.
pub(super) fn link(repository: &Repository, roots: &[SnapshotName], conclusion: &mut Conclusion) {
    if conclusion.kind != SnapshotKind::Incremental {
        return;
    }
    let positions = &conclusion.positions;
    let found = match positions.from_lsn {
        None => Err("it does not say at which LSN it begins".to_owned()),
        Some(lsn) => find_base(repository, roots, lsn, positions),
    };
    match found {
        Ok(base) => conclusion.build_on(&base.id(), &base.snapshot.about),
        Err(why) => conclusion.lack_base(why),
    }
}

/// Returns the snapshot that ends at an LSN, or why there is none, in words.
fn find_base(
    repository: &Repository,
    names: &[SnapshotName],
    lsn: u64,
    of: &Positions,
) -> Result<StoredSnapshot, String> {
    let ids: HashSet<String> = names.iter().map(|name| name.id.to_string()).collect();
    let mut best: Option<StoredSnapshot> = None;
    let mut refused = None;
    for name in names.iter().rev() {
        // One that can't be read is no base; verify reports it.
        let Ok(stored) = repository.read_snapshot(name) else { continue };
        let about = &stored.snapshot.about;
        if about.positions.to_lsn != Some(lsn) || about.format != StreamFormat::Mbstream {
            // Snapshots that end at one LSN stand side by side.
            if best.is_some() && about.verdict != Verdict::Partial {
                break;
            }
            continue;
        }
        if let Some(why) = unfit(about, of, &ids) {
            let id = name.id.short();
            refused.get_or_insert(format!("snapshot {id} ends at LSN {lsn}, but {why}"));
            continue;
        }
        let length = about.requires.len();
        if best.as_ref().is_none_or(|best| length < best.snapshot.about.requires.len()) {
            best = Some(stored);
        }
    }
    best.ok_or_else(|| {
        let missing = || format!("no snapshot of this source ends at LSN {lsn}, where it begins");
        let why = refused.unwrap_or_else(missing);
        format!("{why}: store its base under the same --source first, or take a full backup")
    })
}

/// Returns why a snapshot that ends at the right LSN can't be the base.
fn unfit(about: &Description, of: &Positions, ids: &HashSet<String>) -> Option<String> {
    let positions = &about.positions;
    let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
    let series = |positions: &Positions| series(positions.server_version.as_deref()?);
    let cluster = |positions: &Positions| {
        let position = positions.galera.as_deref()?;
        position.split_once(':').map(|(uuid, _)| uuid.to_owned())
    };
    if about.verdict == Verdict::Partial {
        return Some("it is partial".to_owned());
    }
    if differ(series(positions).as_deref(), series(of).as_deref()) {
        return Some("it comes from a server of another release series".to_owned());
    }
    if differ(cluster(positions).as_deref(), cluster(of).as_deref()) {
        return Some("it comes from another cluster".to_owned());
    }
    if positions.page_size.is_none() {
        return Some("it does not tell the size of its pages, as if it was compressed".to_owned());
    }
    if positions.page_size != of.page_size {
        return Some("its pages have another size".to_owned());
    }
    if about.kind == SnapshotKind::Incremental && about.requires.is_empty() {
        return Some("it lacks its own base".to_owned());
    }
    if about.requires.len() >= REQUIRES_MAX {
        return Some(format!("{REQUIRES_MAX} snapshots are as long as a chain may be"));
    }
    let lost = about.requires.iter().find(|id| !ids.contains(*id))?;
    Some(format!("snapshot {} before it is gone", short(lost)))
}

/// Returns major and minor version: `10.11` of `10.11.19-MariaDB-log`.
fn series(version: &str) -> Option<String> {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    Some(format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_two_numbers() {
        assert_eq!(series("10.11.19-MariaDB-log").as_deref(), Some("10.11"));
        assert_eq!(series("11.4.2-MariaDB").as_deref(), Some("11.4"));
        assert_eq!(series("eleven"), None);
    }
}
