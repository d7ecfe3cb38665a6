//! A desync that a watchdog which died has left: it is ended by the next run, and by `doctor`.

use std::path::Path;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::world::Clock;
use haulout::world::Monitor;

use crate::fail::failure::Outcome;
use crate::jobs::desync::node::Switchable;
use crate::jobs::desync::note;
use crate::jobs::desync::note::Desync;
use crate::jobs::desync::note::NotePlace;
use crate::jobs::desync::producers;
use crate::jobs::desync::watch;
use crate::jobs::desync::watch::Hold;
use crate::jobs::desync::watch::Time;
use crate::jobs::donor::Cluster;
use crate::jobs::server;

/// The time for which a watchdog that still works is waited for.
const WATCHDOG_TIME: Duration = Duration::from_mins(30);
/// The time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(500);

/// What was left, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing was left on this host.
    Nothing,
    /// The node is as it was before.
    Ended(String),
    /// A watchdog that still works has it.
    Watched,
}

/// What is done about a watchdog that still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtWork {
    /// Its end is waited for.
    Awaited,
    /// It is left alone.
    LeftAlone,
}

/// Ends a desync that was left on this host. The monitor ends all waiting.
pub(crate) fn end(
    state_dir: &Path,
    cluster: &Cluster,
    clock: &dyn Clock,
    at_work: AtWork,
    monitor: &Monitor,
) -> Outcome<Left> {
    if !note::is_there(state_dir, &cluster.name) {
        return Ok(Left::Nothing);
    }
    let began = clock.elapsed();
    let place = loop {
        if let Some(place) = NotePlace::take(state_dir, &cluster.name)? {
            break place;
        }
        let is_over = clock.elapsed().saturating_sub(began) >= WATCHDOG_TIME;
        if is_over || at_work == AtWork::LeftAlone {
            return Ok(Left::Watched);
        }
        monitor.pause(LOOK)?;
    };
    let Some(note) = place.read() else { return Ok(Left::Nothing) };
    let mut problems = Vec::new();
    if !note.run.is_empty() {
        problems.extend(producers::end(&note.run).err());
    }
    let mut server = server::to_desync(&cluster.table, &cluster.source)?;
    problems.extend(undo(&mut server, &Passing(clock, monitor), &note, clock.unix_seconds())?);
    place.remove()?;
    let name = &note.node;
    let what = format!("node {name} was left desynced by a run that died, and is put back");
    Ok(Left::Ended([what].into_iter().chain(problems).collect::<Vec<_>>().join("; ")))
}

/// Puts the node of a note back; returns what a person should know.
fn undo(
    server: &mut dyn Switchable,
    time: &dyn Time,
    left: &Desync,
    now: u64,
) -> Result<Vec<String>> {
    let node = server.look()?;
    // A server that was started since then has forgotten it.
    if node.id != left.id && server.uptime()? < now.saturating_sub(left.since) {
        return Ok(Vec::new());
    }
    let hold = if node.is_desynced { Hold::Ours } else { Hold::Perhaps };
    let failed = |why: String| Error::new(ErrorKind::Server, why);
    let mut problems = watch::put_back(server, time, hold).map_err(failed)?;
    problems.extend(watch::until_synced(server, time).err());
    Ok(problems)
}

/// The clock of this machine.
struct Passing<'c>(&'c dyn Clock, &'c Monitor);

impl Time for Passing<'_> {
    fn pause(&self, time: Duration) -> bool {
        self.1.pause(time).is_ok()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
