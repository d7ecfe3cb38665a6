//! Restores an increment with everything it builds on: each snapshot of the chain into a directory
//! of its own, and a record of them ([`record`]), from which they can be prepared.

pub(in crate::ops) mod record;

use std::path::Path;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::format::snapshot::SnapshotKind;
use crate::ops::chain::has_base;
use crate::ops::chain::links;
use crate::ops::chain::short;
use crate::ops::restore::before;
use crate::ops::restore::chosen::Chosen;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::files;
use crate::ops::restore::mark::INCOMPLETE;
use crate::ops::restore::mark::Mark;
use crate::ops::restore::options::Purpose;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::restore::options::Unfinished;
use crate::ops::restore::report::Method;
use crate::ops::restore::report::RestoreReport;
use crate::ops::restore::report::Step;
use crate::ops::restore::target::TargetDirectory;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

use record::Directory;
use record::RECORD;
use record::Record;
use record::State;

/// Restores an increment and everything that it builds on into directories below `target`.
pub(super) fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    if !options.include.is_empty() && options.purpose != Purpose::Part {
        let what = "an increment can only be restored as a whole, with everything it builds on";
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let chain = chain_of(repository, stored)?;
    let choose = |link| choose(repository, link, options, monitor);
    let chosen = chain.iter().map(choose).collect::<Result<Vec<_>>>()?;
    if options.unfinished == Unfinished::Refuse {
        before::require_room(target, chosen.iter())?;
    }
    let mark = Mark::new(repository, stored, &options.include);
    let mut target = TargetDirectory::begin(target, &mark, options)?;
    let mut report = RestoreReport::empty(stored.id(), Method::Chain);
    let mut record = Record { directories: Vec::new() };
    for (number, (link, chosen)) in chain.iter().zip(chosen).enumerate() {
        let name = match number {
            0 => "full".to_owned(),
            number => format!("increment-{number}"),
        };
        let mut part = target.part(&name)?;
        let written = files::write(&chosen, &mut part, options, monitor)?;
        report.files += written.files;
        report.bytes += written.bytes;
        report.warnings.extend(written.warnings);
        // The directories hold files of the same names.
        report.lost.extend(written.lost.into_iter().map(|mut lost| {
            lost.path = [name.as_bytes(), b"/", &lost.path].concat();
            lost
        }));
        report.steps.push(Step { directory: part.path().to_owned(), snapshot: link.id() });
        let positions = &link.snapshot.about.positions;
        record.directories.push(Directory {
            name,
            snapshot: link.id().to_string(),
            from_lsn: positions.from_lsn.unwrap_or(0),
            to_lsn: positions.to_lsn.unwrap_or(0),
            state: State::Restored,
        });
    }
    // What has lost files must not be applied, unless it is about the others.
    if report.lost.is_empty() || options.purpose == Purpose::Part {
        let written = record.write_into(target.root());
        written.map_err(|e| unwritable(&target.path().join(RECORD), e))?;
    }
    target.finish()?;
    report.counts = monitor.counts();
    Ok(report)
}

/// Chooses all files of a snapshot of the chain. The full backup must be one that can be prepared,
/// if the chain will be.
fn choose(
    repository: &Repository,
    link: &StoredSnapshot,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<Chosen> {
    let chosen = Chosen::new(repository, link, options, monitor)?;
    if options.purpose == Purpose::Prepare && !has_base(link) {
        before::require_preparable(link, &chosen)?;
    }
    Ok(chosen)
}

/// Returns everything that is restored for an increment, the full backup first, itself last. The
/// links fit each other.
fn chain_of(repository: &Repository, stored: &StoredSnapshot) -> Result<Vec<StoredSnapshot>> {
    let id = stored.id().short();
    let mut chain = Vec::new();
    for link in links(repository, stored)? {
        let Some(found) = link.stored else {
            let what = format!("snapshot {id} needs snapshot {}", short(&link.id));
            return Err(Error::new(ErrorKind::Missing, format!("{what}, which can't be read")));
        };
        chain.push(found);
    }
    chain.push(stored.clone());
    let broken = |why: String| {
        Error::new(ErrorKind::Damaged, format!("the chain of snapshot {id} does not fit: {why}"))
    };
    if chain[0].snapshot.about.kind != SnapshotKind::Full {
        return Err(broken("it does not begin with a full backup".to_owned()));
    }
    for pair in chain.windows(2) {
        let [before, after] = pair else { continue };
        let (ends, begins) =
            (before.snapshot.about.positions.to_lsn, after.snapshot.about.positions.from_lsn);
        if ends.is_none() || ends != begins {
            let lsn = |lsn: Option<u64>| lsn.map_or("?".to_owned(), |lsn| lsn.to_string());
            let (ends, begins) = (lsn(ends), lsn(begins));
            let (one, next) = (before.id().short(), after.id().short());
            return Err(broken(format!("{one} ends at LSN {ends}, {next} begins at {begins}")));
        }
    }
    Ok(chain)
}

/// Tells whether `target` holds this snapshot's chain, restored and not prepared yet.
pub(super) fn is_waiting(target: &Path, stored: &StoredSnapshot) -> Result<bool> {
    if target.join(INCOMPLETE).symlink_metadata().is_ok() {
        return Ok(false);
    }
    let Some(record) = Record::read(target)? else { return Ok(false) };
    let last = record.directories.last();
    Ok(last.is_some_and(|last| last.snapshot == stored.id().to_string()))
}
