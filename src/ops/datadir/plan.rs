//! The plan of a restore: what it will do, what it keeps, what is lost, and all that is wrong.

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::entries::entries;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::datadir::check;
use crate::ops::datadir::check::Findings;
use crate::ops::datadir::check::Room;
use crate::ops::datadir::check::Subject;
use crate::ops::datadir::configuration::Configuration;
use crate::ops::datadir::files;
use crate::ops::datadir::galera::Joining;
use crate::ops::datadir::journal::Head;
use crate::ops::datadir::journal::Step;
use crate::ops::datadir::losses::Losses;
use crate::ops::datadir::moment::Moment;
use crate::ops::datadir::moment_plan::note_history;
use crate::ops::datadir::options::DatadirOptions;
use crate::ops::datadir::place::Places;
use crate::ops::datadir::place::Way;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// The beginning of the line of a log that says how fast a restore was.
pub(super) const MEASURED: &str = "measured: ";

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStep {
    /// Which step it is.
    pub step: Step,
    /// What it does, in words.
    pub words: String,
    /// The bytes that it writes or removes, if that is known.
    pub bytes: Option<u64>,
}

/// The plan of a restore.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the journal will say.
    pub head: Head,
    /// The steps in their order.
    pub steps: Vec<PlanStep>,
    /// The bytes that are restored.
    pub bytes: u64,
    /// Bytes a second of the last restore to this directory, if there is a log of one.
    pub rate: Option<u64>,
    /// The directory in which the old data are kept.
    pub keeps: Option<PathBuf>,
    /// The directory whose contents are removed.
    pub removes: Option<PathBuf>,
    /// Everything that stands in the way.
    pub problems: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Plans a restore, and checks all that can be checked before it.
pub fn plan(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &DatadirOptions,
    world: &World,
) -> Result<Plan> {
    let now = world.clock.unix_seconds();
    let staging = options.staging.as_deref();
    let stamp = stamp(now);
    let places = Places::new(&options.directory, staging, &stamp, &options.temporary)?;
    let directory = places.directory.clone();
    let mut found = Findings::default();
    check::journal(&places, options, &mut found)?;
    check::directory(&directory, options, &mut found)?;
    let bytes = check::snapshot(repository, stored, world, &mut found)?;
    check::programs(stored, options, world, &mut found);
    let asked = Configuration::ask(&options.program, options.defaults_file.as_deref(), world);
    let configuration = asked.unwrap_or_else(|why| {
        found.notes.push(format!("the server's configuration is not known: {why}"));
        Configuration::default()
    });
    let subject = Subject { repository, stored, world };
    check::configuration(&subject, &configuration, &directory, &mut found)?;
    let has_old = check::has_data(&directory);
    let moment = Moment::plan(repository, stored, options, &mut found)?;
    if moment.is_none() {
        note_history(repository, stored, &mut found)?;
    }
    let logs_bytes = moment.as_ref().map_or(0, |moment| moment.bytes);
    let room = check::space(&places, bytes + logs_bytes, options, &mut found)?;
    let discards = room == Room::WithoutOld;
    let repository_id = repository.keyring().repository().to_string();
    let mut head = Head::new(repository_id, stored.id().to_string(), places);
    head.owner = check::owner(&directory, options, &mut found);
    head.old = files::identity(&directory);
    head.steps = steps(&head.places, room, options);
    head.losses = Losses::look(&directory, stored.snapshot.about.time)
        .map_err(|error| check::unread(&directory, error))?;
    head.moment = moment;
    head.joining = joining(stored, options, &mut found);
    head.gtid = gtid(stored, options, &configuration, &directory, &mut found);
    head.keeps_going = options.keeps_going;
    head.checks_tables = options.checks_tables;
    (head.stop, head.start) = (options.stop.clone(), options.start.clone());
    (head.program, head.prepare_program) =
        (options.program.clone(), options.prepare_program.clone());
    head.began = now;
    let keeps = (has_old && !discards).then(|| head.places.save.clone());
    let old_bytes = if has_old { files::bytes_on_disk(&directory).ok() } else { None };
    let with_bytes = |step: &Step| PlanStep {
        step: *step,
        words: step.words().to_owned(),
        bytes: match step {
            Step::Restore | Step::Copy => Some(bytes),
            Step::Discard => old_bytes,
            Step::FetchLogs => head.moment.as_ref().map(|moment| moment.bytes),
            Step::Replay
            | Step::Prepare
            | Step::FirstStart
            | Step::Finish
            | Step::Stop
            | Step::Swap
            | Step::Start => None,
        },
    };
    Ok(Plan {
        steps: head.steps.iter().map(with_bytes).collect(),
        bytes,
        rate: rate(&directory),
        keeps,
        removes: (has_old && discards).then_some(directory),
        problems: found.problems,
        notes: found.notes,
        head,
    })
}

impl Plan {
    /// Fails with all that stands in the way, if anything does.
    pub fn require_clear(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let directory = self.head.places.directory.display();
        let what = format!("nothing was restored to {directory}");
        Err(Error::new(ErrorKind::Target, what).because(self.problems.join("; ")))
    }

    /// Returns the seconds that restoring may take, if an earlier restore was measured.
    pub fn seconds(&self) -> Option<u64> {
        self.rate.filter(|rate| *rate > 0).map(|rate| self.bytes.div_ceil(rate))
    }
}

/// Returns a time as it stands in the names of directories, in UTC.
fn stamp(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns the steps in their order. What is stopped is stopped as late as possible.
fn steps(places: &Places, room: Room, options: &DatadirOptions) -> Vec<Step> {
    let discards = room == Room::WithoutOld;
    let mut steps = Vec::new();
    if options.replay.is_some() {
        steps.push(Step::FetchLogs);
    }
    let stop = (!options.stop.is_empty()).then_some(Step::Stop);
    let removal = discards.then_some(Step::Discard);
    if discards && !places.is_staged() {
        steps.extend(stop.into_iter().chain(removal));
    }
    steps.extend([Step::Restore, Step::Prepare]);
    if options.replay.is_some() {
        steps.push(Step::Replay);
    }
    steps.extend([Step::FirstStart, Step::Finish]);
    if !discards || places.is_staged() {
        steps.extend(stop.into_iter().chain(removal));
    }
    if places.is_staged() {
        steps.push(Step::Copy);
    }
    steps.push(Step::Swap);
    if !options.start.is_empty() {
        steps.push(Step::Start);
    }
    steps
}

/// Returns the position with which a node joins its cluster.
fn joining(
    stored: &StoredSnapshot,
    options: &DatadirOptions,
    found: &mut Findings,
) -> Option<Joining> {
    let donors = options.donors.as_ref()?;
    let position = stored.snapshot.about.positions.galera.as_deref().and_then(Joining::parse);
    let Some(position) = position else {
        let what = "the snapshot has no position in a cluster: back up with --galera-info";
        found.problems.push(what.to_owned());
        return None;
    };
    found.notes.push(donors.judge(&position).0);
    Some(position)
}

/// Returns the file that gets the GTID state, and the state. A node of a cluster gets it from its
/// cluster.
fn gtid(
    stored: &StoredSnapshot,
    options: &DatadirOptions,
    configuration: &Configuration,
    directory: &Path,
    found: &mut Findings,
) -> Option<(PathBuf, String)> {
    if options.donors.is_some() {
        return None;
    }
    let state = stored.snapshot.about.positions.gtid.clone().filter(|gtid| !gtid.is_empty())?;
    let Some(binlogs) = configuration.binlogs(directory) else {
        found.notes.push(format!(
            "the configuration names no binary log: the GTID state {state} is not set"
        ));
        return None;
    };
    let index = binlogs.with_extension("index");
    if !binlogs.starts_with(directory) && index.exists() {
        found.notes.push(format!(
            "the binary logs {}.* are outside of the directory and of the old server: GTIDs go on \
             after theirs; move them away, or run RESET MASTER and set gtid_binlog_state to \
             '{state}' before the first write",
            binlogs.display()
        ));
        return None;
    }
    Some((binlogs.with_extension("state"), state))
}

/// Returns the bytes a second of the newest restore to this directory that has left a log.
fn rate(directory: &Path) -> Option<u64> {
    let mut logs = Vec::new();
    for beside in [directory.parent()?, directory] {
        let Ok(names) = entries(beside) else { continue };
        let is_log = |name: &str| name.contains(".haulout-log-");
        let names = names.filter_map(|entry| entry.ok()?.name.into_string().ok());
        logs.extend(names.filter(|name| is_log(name)).map(|name| beside.join(name)));
    }
    let own = directory.file_name()?.to_string_lossy().into_owned();
    logs.retain(|log| {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".haulout-log-") || name.starts_with(&format!("{own}.haulout-log-"))
    });
    logs.sort();
    let of_log = |log: &PathBuf| {
        let text = std::fs::read_to_string(log).ok()?;
        let line = text.lines().rev().find_map(|line| line.strip_prefix(MEASURED))?;
        line.split(' ').next()?.parse().ok()
    };
    logs.iter().rev().find_map(of_log)
}

/// Returns the words for the way of a swap.
pub(super) fn way_words(way: Way) -> &'static str {
    match way {
        Way::Rename => "by name",
        Way::Contents => "by contents, since it is a mount point",
    }
}
