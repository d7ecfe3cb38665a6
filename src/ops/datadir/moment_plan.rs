//! Plans a replay of binary logs: looks whether logs and programs are there, and how far the logs
//! reach.

use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::gtid::GtidState;
use crate::ops::binlog::Begins;
use crate::ops::binlog::coverage;
use crate::ops::datadir::check::Findings;
use crate::ops::datadir::moment::Moment;
use crate::ops::datadir::options::DatadirOptions;
use crate::ops::replay::Until;
use crate::ops::replay::logs_in;
use crate::repo::Features;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// Names of the program that decodes binary logs.
const BINLOG_PROGRAMS: [&str; 2] = ["mariadb-binlog", "mysqlbinlog"];

/// Names of the client.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

impl Moment {
    /// Plans a replay, and looks whether what it needs is there.
    pub(super) fn plan(
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &DatadirOptions,
        found: &mut Findings,
    ) -> Result<Option<Self>> {
        let Some(wanted) = &options.replay else { return Ok(None) };
        let about = &stored.snapshot.about;
        let mut problem = |what: String| found.problems.push(what);
        if options.donors.is_some() {
            problem("after a replay a node has data of its own and can't join by IST".to_owned());
        }
        let mut program = |names: &[&str]| {
            find(names, &wanted.programs).unwrap_or_else(|| {
                problem(format!("there is no program {} on this host", names.join(" or ")));
                PathBuf::from(names[0])
            })
        };
        let (binlog, client) = (program(&BINLOG_PROGRAMS), program(&CLIENTS));
        let from = about.positions.gtid.as_deref().and_then(|text| text.parse().ok());
        let mut moment = Self {
            until: wanted.until.clone(),
            from: from.unwrap_or_default(),
            source: about.source.clone(),
            directory: wanted.directory.clone(),
            bytes: 0,
            binlog,
            client,
        };
        if moment.from.is_empty() {
            problem("the snapshot has no GTID position: it was taken without log_bin".to_owned());
        } else if let Some(directory) = &moment.directory {
            match logs_in(directory) {
                Ok(logs) if logs.is_empty() => {
                    problem(format!("there are no binary logs in {}", directory.display()));
                }
                Ok(_) => {}
                Err(error) => problem(error.with_causes()),
            }
        } else {
            moment.look(repository, found)?;
        }
        Ok(Some(moment))
    }

    /// Looks at what is stored of the history behind the backup.
    fn look(&mut self, repository: &Repository, found: &mut Findings) -> Result<()> {
        let coverage = coverage(repository, &self.source)?;
        let behind = match coverage.behind(&self.from) {
            Ok(behind) => behind,
            Err(error) => {
                found.problems.push(error.with_causes());
                return Ok(());
            }
        };
        self.bytes = behind.bytes();
        let why = match behind.ends_with {
            Some(Begins::Gap) => ": a gap follows",
            Some(Begins::Reset) => ": the binary logs were reset there",
            Some(Begins::Replaced) => ": another server goes on from there",
            Some(Begins::Open) => {
                ": that file was never stored as it was closed, and others follow"
            }
            Some(Begins::First) | None => "",
        };
        let through = behind.through();
        let end = format!("the stored binary logs end at {through}{why}");
        match &self.until {
            Until::Gtid(gtid) => {
                let mut wanted = GtidState::default();
                wanted.enter(*gtid);
                if !through.reaches(&wanted) {
                    found.problems.push(format!("{gtid} is not reached: {end}"));
                }
            }
            Until::Time(time) if behind.last_time().is_some_and(|last| last < *time) => {
                found.notes.push(format!("{end}, before the time that is wanted"));
            }
            Until::Time(_) | Until::End | Until::Drop { .. } => {}
        }
        Ok(())
    }
}

/// Says what is stored of the history behind the backup, which a restore without a replay lacks.
pub(super) fn note_history(
    repository: &Repository,
    stored: &StoredSnapshot,
    found: &mut Findings,
) -> Result<()> {
    let about = &stored.snapshot.about;
    let from: Option<GtidState> =
        about.positions.gtid.as_deref().and_then(|text| text.parse().ok());
    let Some(from) = from.filter(|from| !from.is_empty()) else { return Ok(()) };
    if !repository.features().include(Features::BINLOGS) {
        return Ok(());
    }
    let coverage = coverage(repository, &about.source)?;
    let Ok(behind) = coverage.behind(&from) else { return Ok(()) };
    let count = behind.transactions();
    if count > 0 {
        found.notes.push(format!(
            "{count} transactions behind the backup are stored in binary logs, up to {}: \
             --until-end replays them, --until those up to a time",
            behind.through()
        ));
    }
    Ok(())
}

/// Finds the first program of these names in directories.
fn find(names: &[&str], directories: &[PathBuf]) -> Option<PathBuf> {
    let mut places =
        names.iter().flat_map(|name| directories.iter().map(move |dir| dir.join(name)));
    places.find(|path| path.is_file())
}
