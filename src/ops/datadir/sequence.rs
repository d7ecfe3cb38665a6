//! Carries out a plan step by step, continues one that was interrupted, and takes one back.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::datadir::check;
use crate::ops::datadir::command;
use crate::ops::datadir::copy;
use crate::ops::datadir::files;
use crate::ops::datadir::files::identity;
use crate::ops::datadir::finish;
use crate::ops::datadir::health;
use crate::ops::datadir::journal::Event;
use crate::ops::datadir::journal::Head;
use crate::ops::datadir::journal::Journal;
use crate::ops::datadir::journal::Step;
use crate::ops::datadir::lock;
use crate::ops::datadir::losses::Losses;
use crate::ops::datadir::options::Listener;
use crate::ops::datadir::place::Way;
use crate::ops::datadir::place::journal_of;
use crate::ops::datadir::place::resolved;
use crate::ops::datadir::plan::MEASURED;
use crate::ops::datadir::plan::Plan;
use crate::ops::datadir::plan::way_words;
use crate::ops::datadir::prepared;
use crate::ops::datadir::replaying;
use crate::ops::datadir::swap;
use crate::ops::replay::End;
use crate::ops::replay::Replayed;
use crate::ops::replay::Stopped;
use crate::ops::restore::INCOMPLETE;
use crate::ops::restore::Losses as LeftOut;
use crate::ops::restore::Purpose;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::Target;
use crate::ops::restore::Unfinished;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::give;
use crate::ops::restore::restore;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// How long a server may take to let go of its files after the command that stops it.
const LET_GO_TIME: Duration = Duration::from_mins(2);

/// The time between two looks whether it has.
const LOOK: Duration = Duration::from_millis(200);

/// The server that the directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startable {
    /// The old server, as it was.
    Old,
    /// The restored server stands there.
    New,
    /// Neither: guards keep a server from starting.
    Neither,
    /// There is no directory, as before the restore.
    Nothing,
}

impl Startable {
    /// Returns what the directory holds, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Old => "it holds the old server, unchanged",
            Self::New => "it holds the restored server",
            Self::Neither => "no server can be started on it until --resume or --undo",
            Self::Nothing => "it does not exist, as before",
        }
    }
}

/// The report of a restore that is done.
#[derive(Debug, Clone)]
pub struct DatadirReport {
    /// What was restored to where.
    pub head: Head,
    /// The bytes that were restored, and the time it took; of a resumed restore what was left.
    pub restored: Option<(u64, Duration)>,
    /// The LSN of the prepared directory.
    pub lsn: Option<u64>,
    /// The pages that were checked after preparing.
    pub pages: Option<u64>,
    /// The tables that the private server looked at.
    pub tables: Option<usize>,
    /// What was lost when the swap began.
    pub losses: Losses,
    /// The replay of binary logs, if this run did one.
    pub replayed: Option<Replayed>,
    /// The first transaction that was not replayed.
    pub stopped: Option<Stopped>,
    /// Files that were left out.
    pub missing: Vec<String>,
    /// Where the old data are kept.
    pub kept: Option<PathBuf>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The outcome of taking a restore back.
#[derive(Debug, Clone)]
pub struct Undone {
    /// What was being restored.
    pub head: Head,
    /// What the directory holds now.
    pub startable: Startable,
}

/// A restore at work.
struct Work<'w> {
    repository: &'w Repository,
    stored: StoredSnapshot,
    journal: Journal,
    options: &'w RestoreOptions,
    listener: &'w dyn Listener,
    world: &'w World,
    log: File,
    report: DatadirReport,
}

/// Begins the restore that is planned: from here on it can be resumed or taken back.
pub fn begin(plan: Plan) -> Result<Journal> {
    plan.require_clear()?;
    Journal::begin(plan.head)
}

/// Returns the restore to a directory that has not finished.
pub fn unfinished(directory: &Path) -> Result<Journal> {
    let directory = resolved(directory)?;
    Journal::open(&journal_of(&directory))?.ok_or_else(|| {
        let what = format!("no restore to {} waits to be finished", directory.display());
        Error::new(ErrorKind::Usage, what)
    })
}

/// Tells what the directory of a restore holds.
pub fn startable(journal: &Journal) -> Startable {
    let Head { places, old, .. } = &journal.head;
    let now = identity(&places.directory);
    if now.is_none() {
        return if old.is_some() { Startable::Neither } else { Startable::Nothing };
    }
    if swap::is_guard(&places.directory.join("ibdata1")) {
        return Startable::Neither;
    }
    match journal.way() {
        Way::Rename if now == *old => Startable::Old,
        Way::Rename => Startable::New,
        Way::Contents if journal.has(&Event::OldIsOut) => Startable::New,
        Way::Contents => Startable::Old,
    }
}

/// Does all steps of a restore that have not ended. Of `options` only the number of workers and
/// the treatment of shared targets count.
pub fn carry_out(
    repository: &Repository,
    journal: Journal,
    options: &RestoreOptions,
    listener: &dyn Listener,
    world: &World,
) -> Result<DatadirReport> {
    if journal.has(&Event::Undoing) {
        let what = format!("the restore to {} is being taken back", journal.head.directory());
        return Err(Error::new(ErrorKind::Occupied, what));
    }
    if journal.head.repository != repository.keyring().repository().to_string() {
        let what = format!("the restore to {} is of another repository", journal.head.directory());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let stored = repository.find_snapshot(&journal.head.snapshot)?;
    let log = open_log(&journal.head.places.log)?;
    let report = DatadirReport {
        head: journal.head.clone(),
        restored: None,
        lsn: None,
        pages: None,
        tables: None,
        losses: journal.head.losses.clone(),
        replayed: None,
        stopped: None,
        missing: journal.missing(),
        kept: None,
        warnings: Vec::new(),
    };
    let mut work = Work { repository, stored, journal, options, listener, world, log, report };
    while let Some(step) = work.journal.left().first().copied() {
        work.step(step)?;
    }
    work.end()
}

/// Takes a restore back that has not finished: the directory holds what it held before.
pub fn undo(mut journal: Journal, listener: &dyn Listener, world: &World) -> Result<Undone> {
    let head = journal.head.clone();
    let places = &head.places;
    let failed = |error: io::Error| unwritable(&places.directory, error);
    if journal.has(&Event::Begun(Step::Discard)) {
        let what = format!("the old data of {} are removed", places.directory.display());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    require_stopped(&places.directory)?;
    if !journal.has(&Event::Undoing) {
        journal.add(Event::Undoing)?;
    }
    if journal.has(&Event::Begun(Step::Swap)) {
        listener.says("putting the old data back in their place");
        match journal.way() {
            Way::Rename => {
                swap::back_by_name(&places.directory, &places.new, &places.save, head.old)
                    .map_err(failed)?;
            }
            Way::Contents => contents_back(&mut journal).map_err(failed)?,
        }
    }
    world.monitor.check()?;
    let side = prepared::side_of(&places.work);
    for path in [&places.work, &places.new, &side, &places.runtime, &places.logs] {
        files::remove(path).map_err(|error| unwritable(path, error))?;
    }
    let startable = match head.old {
        Some(_) => Startable::Old,
        None => Startable::Nothing,
    };
    let mut log = open_log(&places.log)?;
    let words = startable.words();
    let _kept = writeln!(log, "taken back: {}: {words}", places.directory.display());
    journal.remove()?;
    Ok(Undone { head, startable })
}

/// Moves contents back: what is new goes out, what is old comes in. May be repeated.
fn contents_back(journal: &mut Journal) -> io::Result<()> {
    let places = journal.head.places.clone();
    let noted = |added: Result<()>| added.map_err(|error| io::Error::other(error.with_causes()));
    if journal.has(&Event::OldIsOut) {
        if !journal.has(&Event::NewIsOut) {
            swap::move_out(&places.directory, &places.new)?;
            noted(journal.add(Event::NewIsOut))?;
        }
    } else if places.save.exists() {
        swap::guard(&places.directory, Some(&places.save))?;
    }
    swap::move_in(&places.directory, &places.save)?;
    files::remove(&places.save)
}

fn open_log(path: &Path) -> Result<File> {
    let opened = File::options().create(true).append(true).open(path);
    opened.map_err(|error| unwritable(path, error))
}

fn require_stopped(directory: &Path) -> Result<()> {
    let holder = lock::holder(directory).map_err(|error| check::unread(directory, error))?;
    let Some(holder) = holder else { return Ok(()) };
    let what = format!("the server on {} is running", directory.display());
    Err(Error::new(ErrorKind::Occupied, what).because(holder.words()))
}

impl Head {
    /// Gives the restored files to their owner.
    fn give_work(&self) -> Result<()> {
        self.ownership().map_or(Ok(()), |owner| give(&self.places.work, owner))
    }

    /// Gives a mount point itself to the owner of its contents.
    fn give_directory(&self) -> Result<()> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        let directory = &self.places.directory;
        let given = std::os::unix::fs::chown(directory, Some(user), group);
        given.map_err(|error| unwritable(directory, error))
    }

    fn directory(&self) -> String {
        self.places.directory.display().to_string()
    }
}

impl Work<'_> {
    fn step(&mut self, step: Step) -> Result<()> {
        self.world.monitor.check()?;
        let was_begun = self.journal.has(&Event::Begun(step));
        let start = if was_begun { Start::Again } else { Start::First };
        if start == Start::First {
            self.journal.add(Event::Begun(step))?;
        }
        let again = if start == Start::Again { " (resumed)" } else { "" };
        self.say(&format!("{}{again}", step.words()));
        let is_done = match step {
            Step::FetchLogs => self.fetch_logs()?,
            Step::Restore => self.restore(start)?,
            Step::Prepare => self.prepare(start)?,
            Step::Replay => self.replay(start)?,
            Step::FirstStart => self.first_start()?,
            Step::Finish => self.finish()?,
            Step::Stop => self.stop()?,
            Step::Discard => self.discard()?,
            Step::Copy => self.copy()?,
            Step::Swap => self.swap()?,
            Step::Start => self.start()?,
        };
        match is_done {
            Done::Yes => self.journal.add(Event::Ended(step)),
            Done::StartOver => self.start_over(),
        }
    }

    fn say(&mut self, words: &str) {
        // A log that can't be written must not stop a restore that can.
        let _kept = writeln!(self.log, "{} {words}", self.world.clock.unix_seconds());
        self.listener.says(words);
    }

    /// Throws away what was restored, since what became of it is not known.
    fn start_over(&mut self) -> Result<()> {
        self.say("what was restored is not relied upon: the restore starts over");
        let places = &self.journal.head.places;
        for path in [&places.work, &prepared::side_of(&places.work)] {
            files::remove(path).map_err(|error| unwritable(path, error))?;
        }
        let is_discarded = self.journal.has(&Event::Ended(Step::Discard));
        self.journal.forget_all()?;
        for step in [Step::Stop, Step::Discard] {
            if is_discarded && self.journal.head.steps.contains(&step) {
                self.journal.add(Event::Begun(step))?;
                self.journal.add(Event::Ended(step))?;
            }
        }
        Ok(())
    }

    fn restore(&mut self, start: Start) -> Result<Done> {
        let places = self.journal.head.places.clone();
        if start == Start::Again && prepared::is_restored(&places.work, INCOMPLETE) {
            return Ok(Done::Yes);
        }
        let options = RestoreOptions {
            workers: self.options.workers,
            sharing: self.options.sharing.clone(),
            unfinished: if start == Start::Again { Unfinished::Resume } else { Unfinished::Refuse },
            losses: if self.journal.head.keeps_going { LeftOut::LeaveOut } else { LeftOut::Fail },
            purpose: Purpose::Prepare,
            ..RestoreOptions::default()
        };
        let began = self.world.clock.elapsed();
        let target = Target::Directory(&places.work);
        let report = restore(self.repository, &self.stored, target, &options, self.world)?;
        let time = self.world.clock.elapsed().saturating_sub(began);
        let lost = report.lost.iter().map(|lost| String::from_utf8_lossy(&lost.path).into_owned());
        let lost: Vec<String> = lost.collect();
        if !lost.is_empty() {
            self.journal.add(Event::Missing(lost.clone()))?;
            self.say(&format!("left out: {}", lost.join(", ")));
        }
        self.report.missing = lost;
        self.report.warnings.extend(report.warnings);
        if start == Start::First {
            let millis = time.as_millis().max(1);
            let rate = u128::from(report.bytes) * 1000 / millis;
            let _kept = writeln!(self.log, "{MEASURED}{rate} bytes a second");
        }
        self.report.restored = Some((report.bytes, time));
        Ok(Done::Yes)
    }

    /// Prepares, and judges the outcome. What was interrupted may have left files that can't be
    /// prepared again, as a redo log that was cut to be made anew: then the restore starts over.
    fn prepare(&mut self, start: Start) -> Result<Done> {
        let head = self.journal.head.clone();
        let state = match start {
            Start::First => prepared::State::Waits,
            Start::Again => prepared::state(&head, &self.stored)?,
        };
        if state == prepared::State::Unknown {
            return Ok(Done::StartOver);
        }
        let done = self.prepared(&head, state);
        match (done, start) {
            (Ok(()), _) => Ok(Done::Yes),
            (Err(error), Start::Again) if error.kind() != ErrorKind::Cancelled => {
                self.say(&format!("what was interrupted can't be used: {}", error.with_causes()));
                Ok(Done::StartOver)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn prepared(&mut self, head: &Head, state: prepared::State) -> Result<()> {
        if state == prepared::State::Waits {
            self.run_preparer(head)?;
        }
        prepared::promote(&head.places.work)?;
        let paths = check::paths(self.repository, &self.stored, self.world)?;
        let missing = self.journal.missing();
        self.report.pages = Some(prepared::judge(head, &paths, &missing, self.world)?);
        head.give_work()
    }

    fn run_preparer(&mut self, head: &Head) -> Result<()> {
        let (log, listener) = (&self.log, self.listener);
        let report = prepared::run(&self.stored, head, log, listener, self.world)?;
        self.report.lsn = Some(report.lsn);
        Ok(())
    }

    fn fetch_logs(&mut self) -> Result<Done> {
        let head = self.journal.head.clone();
        let Some(wanted) = &head.moment else { return Ok(Done::Yes) };
        let workers = self.options.workers;
        let planned = replaying::fetch(self.repository, &head, wanted, workers, self.world)?;
        self.say(&replaying::words(&planned));
        self.report.stopped = match planned.end {
            End::OfLogs => None,
            End::Before(stopped) => Some(stopped),
        };
        Ok(Done::Yes)
    }

    fn replay(&mut self, start: Start) -> Result<Done> {
        let head = self.journal.head.clone();
        let Some(wanted) = &head.moment else { return Ok(Done::Yes) };
        if start == Start::Again {
            return Ok(Done::StartOver);
        }
        let replayed = replaying::replay(&head, wanted, &mut self.log, self.world)?;
        self.journal.add(Event::Replayed(replayed.gtid_state.clone()))?;
        self.report.replayed = Some(replayed);
        Ok(Done::Yes)
    }

    fn first_start(&mut self) -> Result<Done> {
        let (head, missing) = (self.journal.head.clone(), self.journal.missing());
        // One that was killed with this program may not have been reaped yet.
        self.wait_until_free(&head.places.work)?;
        let seen = health::look(&head, &missing, &mut self.log, self.world)?;
        self.report.tables = Some(seen.tables);
        Ok(Done::Yes)
    }

    fn finish(&mut self) -> Result<Done> {
        let head = self.journal.head.clone();
        let binlog = self.stored.snapshot.about.positions.binlog_file.as_deref();
        let replayed = self.journal.replayed();
        finish::finish(&head.places.work, &head, binlog, replayed.as_deref())?;
        Ok(Done::Yes)
    }

    fn stop(&mut self) -> Result<Done> {
        let head = self.journal.head.clone();
        let is_running = lock::holder(&head.places.directory)
            .map_err(|error| check::unread(&head.places.directory, error))?;
        if is_running.is_some() {
            command::run(&head.stop, &self.log, self.world)?;
        }
        self.wait_until_free(&head.places.directory)?;
        Ok(Done::Yes)
    }

    fn start(&mut self) -> Result<Done> {
        command::run(&self.journal.head.start.clone(), &self.log, self.world)?;
        Ok(Done::Yes)
    }

    fn wait_until_free(&self, directory: &Path) -> Result<()> {
        let began = self.world.clock.elapsed();
        loop {
            let error = match require_stopped(directory) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.world.clock.elapsed().saturating_sub(began) >= LET_GO_TIME {
                return Err(error);
            }
            self.world.monitor.pause(LOOK)?;
        }
    }

    fn discard(&mut self) -> Result<Done> {
        let directory = self.journal.head.places.directory.clone();
        let failed = |error: io::Error| unwritable(&directory, error);
        if !directory.exists() {
            return Ok(Done::Yes);
        }
        require_stopped(&directory)?;
        self.look_at_losses(&directory)?;
        swap::guard(&directory, None).map_err(failed)?;
        for name in files::movable(&directory).map_err(failed)? {
            let path = directory.join(name);
            if swap::is_guard(&path) {
                continue;
            }
            let is_directory = fs::symlink_metadata(&path).map_err(failed)?.is_dir();
            let removed =
                if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failed)?;
        }
        Ok(Done::Yes)
    }

    fn copy(&mut self) -> Result<Done> {
        let places = self.journal.head.places.clone();
        copy::copy(&places.work, &places.new, &self.world.monitor)?;
        Ok(Done::Yes)
    }

    fn look_at_losses(&mut self, directory: &Path) -> Result<()> {
        let backup = self.journal.head.losses.backup;
        self.report.losses =
            Losses::look(directory, backup).map_err(|error| check::unread(directory, error))?;
        Ok(())
    }

    fn swap(&mut self) -> Result<Done> {
        let head = self.journal.head.clone();
        let places = &head.places;
        let failed = |error: io::Error| unwritable(&places.directory, error);
        require_stopped(&places.directory)?;
        if startable(&self.journal) == Startable::Old {
            self.look_at_losses(&places.directory)?;
        }
        match places.way {
            Way::Rename => {
                swap::by_name(&places.directory, &places.new, &places.save, head.old)
                    .map_err(failed)?;
            }
            Way::Contents => {
                if !self.journal.has(&Event::OldIsOut) {
                    if self.journal.has(&Event::Begun(Step::Discard)) {
                        swap::guard(&places.directory, None).map_err(failed)?;
                    } else {
                        swap::move_out(&places.directory, &places.save).map_err(failed)?;
                    }
                    self.journal.add(Event::OldIsOut)?;
                }
                swap::move_in(&places.directory, &places.new).map_err(failed)?;
                files::remove(&places.new).map_err(failed)?;
                head.give_directory()?;
            }
        }
        self.report.warnings.extend(finish::relabel(&places.directory));
        Ok(Done::Yes)
    }

    /// Removes what is not needed any more, the journal last.
    fn end(mut self) -> Result<DatadirReport> {
        let head = self.journal.head.clone();
        let places = &head.places;
        let was_discarded = self.journal.has(&Event::Begun(Step::Discard));
        if was_discarded && places.way == Way::Rename {
            // Guards were all that was left there.
            files::remove(&places.save).map_err(|error| unwritable(&places.save, error))?;
        }
        if places.is_staged() {
            files::remove(&places.work).map_err(|error| unwritable(&places.work, error))?;
        }
        for path in [&places.runtime, &places.logs] {
            files::remove(path).map_err(|error| unwritable(path, error))?;
        }
        if places.save.exists() {
            self.report.kept = Some(places.save.clone());
        }
        self.say(&format!(
            "done: {} {}: {}",
            places.directory.display(),
            way_words(places.way),
            Startable::New.words()
        ));
        let synced = self.log.sync_all();
        synced.map_err(|error| unwritable(&places.log, error))?;
        self.journal.remove()?;
        Ok(self.report)
    }
}

/// The beginning of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It was not begun before.
    First,
    /// It was interrupted before.
    Again,
}

/// Whether a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// The next step may begin.
    Yes,
    /// What was made so far can't be relied upon.
    StartOver,
}
