//! `binlog follow`: the archive of one source, for as long as it runs.
//!
//! ```text
//! ask the server: files -> the first that is not stored -> the tool into an empty spool
//!   each moment: store what is closed      each interval: store what has come of the open file
//! the tool ends, the server is away, a file is broken -> wait -> ask again
//! ```
//!
//! A tool that is killed with this process or outlives it never writes into a later spool: each has
//! a directory of its own.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::backup::BackupOptions;
use haulout::ops::binlog;
use haulout::ops::binlog::Archive;
use haulout::ops::binlog::FirstTime;
use haulout::ops::binlog::GtidState;
use haulout::ops::binlog::Looked;
use haulout::ops::binlog::ServerFile;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::server::session::Session;
use tempfile::TempDir;

use crate::config::tree::Table;
use crate::environment::variable;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::jobs::account::ToolOptions;
use crate::jobs::archived::ArchiveState;
use crate::jobs::archived::directory;
use crate::jobs::lock::Lock;
use crate::jobs::lock::unusable;
use crate::jobs::notify::Notify;
use crate::jobs::producer::number;
use crate::jobs::record::replace;
use crate::jobs::server::user;
use crate::open::run::Run;
use crate::output::features::needs;
use crate::output::features::refused_before;
use crate::output::units;
use crate::verbs::binlog::args::FollowArguments;
use crate::verbs::binlog::server;
use crate::verbs::binlog::tool::Order;
use crate::verbs::binlog::tool::Tool;
use crate::verbs::binlog::tool::Until;

/// The time between two looks into the spool.
const LOOK: Duration = Duration::from_millis(200);
/// The waits after the first trouble and the ones that follow.
const BACK_OFF: [u64; 6] = [1, 2, 5, 10, 30, 60];

impl Run<'_> {
    /// Archives the binary logs of a source, until the program is stopped.
    pub(super) fn follow(&self, typed: &FollowArguments, source: &Table) -> Outcome<Exit> {
        let place = directory(&typed.state_dir);
        let Some(_lock) = Lock::take(&place, &typed.source)? else {
            self.report.console.note(format!("{} is being archived already", typed.source));
            return Ok(Exit::Running);
        };
        let repository = self.with_binlogs(&self.repository()?, typed)?;
        let options = BackupOptions {
            raised_workers_max: Some(self.settings.processors.beside_producer()),
            at_once: self.settings.at_once,
            host: self.settings.host.clone(),
            findings: Arc::clone(&self.findings),
            ..BackupOptions::new(binlog::source_of(&typed.source))
        };
        let spools = place.join(format!("{}.spool", typed.source));
        let emptied = match fs::remove_dir_all(&spools) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => fs::create_dir_all(&spools),
        };
        emptied.map_err(|error| unusable(&spools, error))?;
        let stored = binlog::coverage(&repository, &typed.source)?;
        let last = stored.stretches.last();
        // The open file is fetched again from its beginning, which its segments are behind.
        let closed = stored.stretches.iter().rev().find_map(|stretch| stretch.files.last());
        let mut following = Following {
            run: self,
            typed,
            source,
            spools,
            spool: None,
            archive: Archive::open(&repository, options, &self.world)?,
            newest: closed.map(|file| (file.index.server_id, file.index.after.clone())),
            state: ArchiveState {
                source: typed.source.clone(),
                gaps: u64::try_from(stored.gaps()).unwrap_or(u64::MAX),
                last_event: last.and_then(binlog::Stretch::last_time),
                after: last.and_then(|last| Some(last.after()?.to_string())),
                ..ArchiveState::default()
            },
            notify: Notify::of_this_process(),
        };
        following.run_on()
    }

    /// Returns the repository with the feature of binary logs, after a question if it lacks it.
    fn with_binlogs(
        &self,
        repository: &Repository,
        typed: &FollowArguments,
    ) -> Outcome<Repository> {
        if repository.features().include(Features::BINLOGS) {
            return Ok(repository.clone());
        }
        let version = needs(Features::BINLOGS).unwrap_or_default();
        let refused = refused_before(&repository.store().location(), &version);
        let what = format!("the first archive of binary logs sets feature 4, and {refused}");
        self.require_consent(typed.consent, &format!("{what}: archive?"), &what)?;
        Ok(binlog::enable(repository, FirstTime::SetsFeature)?)
    }
}

/// How a stretch of fetching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// All that there was is stored, and no more was wanted.
    Done,
    /// The server began its files anew, and so does the archive.
    Reset,
}

/// An archive at work.
struct Following<'f> {
    run: &'f Run<'f>,
    typed: &'f FollowArguments,
    source: &'f Table,
    /// The directory of the spools.
    spools: PathBuf,
    /// The spool that the last tool wrote to.
    spool: Option<TempDir>,
    archive: Archive<'f>,
    /// The server of the newest file that is stored, and the state behind it.
    newest: Option<(u32, GtidState)>,
    state: ArchiveState,
    notify: Notify,
}

impl Following<'_> {
    fn run_on(&mut self) -> Outcome<Exit> {
        self.notify.ready();
        let mut troubles = 0;
        loop {
            let (before, fetched) = (self.state.caught_up, self.fetch());
            if self.run.world.monitor.check().is_err() {
                self.notify.stopping();
                self.run.report.console.note("the archive was stopped");
                return Ok(Exit::Done);
            }
            if self.state.caught_up > before {
                troubles = 0;
            }
            match fetched {
                Ok(Over::Done) => return Ok(Exit::Done),
                Ok(Over::Reset) => {}
                Err(error) if self.typed.once => return Err(error.into()),
                Err(error) => {
                    let wait = BACK_OFF[troubles.min(BACK_OFF.len() - 1)];
                    troubles += 1;
                    self.trouble(&error, wait);
                    self.wait(Duration::from_secs(wait));
                }
            }
        }
    }

    /// Says what keeps the archive from going on, once for each trouble.
    fn trouble(&mut self, error: &Error, wait: u64) {
        let words = error.with_causes();
        if self.state.trouble.as_ref() != Some(&words) {
            self.run.report.console.warning(format!("{words}; the next try is in {wait} s"));
        }
        self.notify.status(&words);
        self.state.trouble = Some(words);
        self.remember();
    }

    fn wait(&self, time: Duration) {
        let mut waited = Duration::ZERO;
        while waited < time && self.run.world.monitor.check().is_ok() {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// Has the tool fetch from the first file that is not stored, until it ends.
    fn fetch(&mut self) -> Result<Over> {
        let options = ToolOptions::of(self.source, &variable)?;
        let (address, login) = options.account(self.source, &user());
        let mut session = Session::connect(&address, &login)?;
        let files = server::files(&mut session)?;
        self.close_what_is_gone(&files, &mut session)?;
        let mut stored = self.archive.stored()?;
        let mut head = |name: &str| server::head(&mut session, name);
        let first = binlog::first(&files, &mut stored, &mut head)?;
        drop(stored);
        self.archive.restart();
        let spool = TempDir::new_in(&self.spools).map_err(|error| {
            let what = format!("cannot make a spool in {}", self.spools.display());
            Error::new(ErrorKind::Target, what).because(error)
        })?;
        let of = self.source.table("binlog");
        let named = of.and_then(|table| number(table, "server_id"));
        let order = Order {
            program: of.and_then(|table| table.text("program")),
            first: &files[first.at].name,
            spool: spool.path(),
            server_id: named
                .and_then(|id| u32::try_from(id).ok())
                .unwrap_or_else(|| own_id(&self.typed.source, &self.run.settings.host)),
            until: if self.typed.once { Until::LastLog } else { Until::Stopped },
        };
        let note = format!("fetching from {} of {address}", order.first);
        self.run.report.console.note(&note);
        self.notify.status(&note);
        let mut tool = Tool::start(&order, &address, &login)?;
        self.run.stop.ends(tool.killer());
        let path = spool.path().to_owned();
        self.spool = Some(spool);
        let done = self.take_in(&mut tool, &path, &mut session);
        tool.end()?;
        done
    }

    /// Stores the file that was open last if its server has it no more.
    fn close_what_is_gone(&mut self, files: &[ServerFile], session: &mut Session) -> Result<()> {
        let (Some(spool), Some(position)) = (&self.spool, self.archive.position()) else {
            return Ok(());
        };
        let is_it = |file: &&ServerFile| file.name == position.file && file.bytes >= position.bytes;
        let head = match files.iter().find(is_it) {
            Some(file) => Some(server::head(session, &file.name)?),
            None => None,
        };
        if head.is_some_and(|head| head == (position.server_id, position.before.clone())) {
            return Ok(());
        }
        let path = spool.path().to_owned();
        let looked = self.archive.close_last(&path)?;
        self.tell(&looked);
        Ok(())
    }

    /// Looks into the spool until the tool ends.
    fn take_in(&mut self, tool: &mut Tool, spool: &Path, session: &mut Session) -> Result<Over> {
        let clock = Arc::clone(&self.run.report.clock);
        // The first look is at once: the server has files that are not stored.
        let mut due = clock.elapsed();
        loop {
            self.run.world.monitor.check()?;
            let ended = tool.ended()?;
            let is_due = clock.elapsed() >= due || ended.is_some();
            if is_due {
                due = clock.elapsed() + self.typed.interval;
            }
            if is_due || self.state.trouble.is_none() {
                match self.store(spool, is_due.then_some(&mut *session)) {
                    Ok(None) => {}
                    Ok(Some(over)) => return Ok(over),
                    Err(error) if error.kind() == ErrorKind::Server => return Err(error),
                    Err(error) if error.kind() == ErrorKind::Source => return Err(error),
                    Err(error) if ended.is_some() => return Err(error),
                    Err(error) => self.trouble(&error, self.typed.interval.as_secs()),
                }
            }
            match ended {
                Some(status) if status.success() && self.typed.once => return Ok(Over::Done),
                Some(status) => {
                    let what = format!("the tool that fetches the binary logs ended: {status}");
                    return Err(Error::new(ErrorKind::Server, what).because(tool.last_words()));
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    /// Stores what is closed and, if it is time, what has come of the open file.
    fn store(&mut self, spool: &Path, session: Option<&mut Session>) -> Result<Option<Over>> {
        let now = self.run.world.clock.unix_seconds();
        let Some(session) = session else {
            let looked = self.archive.look(spool)?;
            self.tell(&looked);
            return Ok(None);
        };
        let files = server::files(session)?;
        let looked = self.archive.look(spool)?;
        self.tell(&looked);
        self.archive.put_segments()?;
        let (Some(at), Some(last)) = (self.archive.position(), files.last()) else {
            return Ok(None);
        };
        if at.file == last.name && at.stored_bytes >= last.bytes {
            self.state.caught_up = Some(now);
        }
        self.state.file = Some(at.file.clone());
        self.state.after = Some(at.after.to_string());
        self.state.last_event = at.last_time.or(self.state.last_event);
        self.state.trouble = None;
        self.remember();
        let stands = format!("{} up to {} in {}", self.typed.source, at.after, at.file);
        self.notify.status(&stands);
        let is_there = files.iter().any(|file| file.name == at.file && file.bytes >= at.bytes);
        // The tool may be behind by files, and the server by none.
        Ok((!is_there).then_some(Over::Reset))
    }

    /// Says what was stored.
    fn tell(&mut self, looked: &Looked) {
        let console = &self.run.report.console;
        for file in &looked.stored {
            let index = &file.index;
            let (bytes, after) = (units::size(index.bytes), &index.after);
            console.note(format!("stored {}, {bytes}, up to {after}", index.file));
            if let Some((server_id, before)) = &self.newest {
                let is_new = index.before.is_empty() || *server_id != index.server_id;
                if !index.before.continues(before) && !is_new {
                    self.state.gaps += 1;
                    console.warning(format!(
                        "a gap before {}: it begins behind {}, and what is stored ends with \
                         {before}",
                        index.file, index.before
                    ));
                }
            }
            self.newest = Some((index.server_id, index.after.clone()));
        }
        for head in &looked.differing {
            console.warning(format!(
                "the server's {} has other bytes than were stored of it while it was open: it has \
                 lost what it had shown, up to {}; the segment is kept",
                head.file, head.after
            ));
        }
    }

    /// Writes the state and the metrics. What can't be written is said once an hour at most: the
    /// archive itself goes on.
    fn remember(&mut self) {
        self.state.time = self.run.world.clock.unix_seconds();
        let written = self.state.write(&self.typed.state_dir);
        let metrics = match &self.typed.metrics {
            Some(path) => replace(path, self.state.metrics()),
            None => Ok(()),
        };
        if let Err(error) = written.and(metrics) {
            self.run
                .report
                .console
                .warning(format!("cannot write how the archive stands: {error}"));
        }
    }
}

/// Returns a number for the archive among the replicas of its server, which no server is likely to
/// have: those that people choose are small.
fn own_id(source: &str, host: &str) -> u32 {
    let text = format!("{source}\0{host}");
    let sum = text
        .bytes()
        .fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    sum | 0x8000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archive_has_a_number_of_its_own_among_the_replicas() {
        let ids =
            [("a", "h1"), ("b", "h1"), ("a", "h2")].map(|(source, host)| own_id(source, host));
        assert!(ids.iter().all(|id| *id >= 0x8000_0000));
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert_eq!(own_id("a", "h1"), ids[0]);
    }
}
