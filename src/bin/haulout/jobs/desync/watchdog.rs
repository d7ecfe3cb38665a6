//! The watchdog as its run sees it: started before a backup, told of its end, waited for.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use haulout::shared::crew;
use haulout::world::Monitor;

use crate::jobs::desync::watch::Told;
use crate::jobs::notify;

/// The order that ends the watch: the backup has ended.
pub(crate) const END: &str = "end";

/// The time between two looks whether the run was asked to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Looks in which the watchdog says what it does: a minute, since it connects, looks and switches.
const BEGIN_LOOKS: u32 = 600;

/// A watchdog that was started.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    /// Its end is an order: the run has died.
    orders: ChildStdin,
    told: Receiver<Told>,
}

/// What became of a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The time for which the node was desynced.
    pub(crate) milliseconds: Option<u64>,
    /// What a person should know.
    pub(crate) problems: Vec<String>,
    /// True if it has not ended by itself: the node may still be desynced.
    pub(crate) has_died: bool,
}

impl Watchdog {
    /// Starts the watchdog by a command of this program, and waits for its first word.
    pub(crate) fn start(command: &mut Command, monitor: &Monitor) -> io::Result<(Self, Told)> {
        // It outlives the run, so it says nothing where the run does.
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.env_remove(notify::VARIABLE).spawn()?;
        let orders = child.stdin.take().expect("its standard input is piped");
        let stdout = child.stdout.take().expect("its standard output is piped");
        let (send, told) = mpsc::channel();
        crew::start("watchdog", move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            for told in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if send.send(told).is_err() {
                    return;
                }
            }
        })
        .map_err(io::Error::other)?;
        let mut problems = Vec::new();
        let mut looks = 0;
        let first = loop {
            match told.recv_timeout(LOOK) {
                Ok(Told::Problem(why)) => problems.push(why),
                Ok(told) => break told,
                Err(RecvTimeoutError::Timeout) => {
                    looks += 1;
                    if looks == BEGIN_LOOKS || monitor.check().is_err() {
                        break Told::Problem("the watchdog did not say anything yet".to_owned());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    break Told::Declined("the watchdog ended without a word".to_owned());
                }
            }
        };
        let first = if problems.is_empty() { first } else { Told::Problem(problems.join("; ")) };
        Ok((Self { child, orders, told }, first))
    }

    /// Says that the backup has ended, and waits until the node is back; not for longer than the
    /// run goes on.
    pub(crate) fn end(self, monitor: &Monitor) -> Watched {
        let Self { mut child, mut orders, told } = self;
        // One that has ended by itself has said why.
        let _ended = orders.write_all(format!("{END}\n").as_bytes());
        drop(orders);
        let mut watched = Watched::default();
        loop {
            match told.recv_timeout(LOOK) {
                Ok(Told::Off(milliseconds)) => watched.milliseconds = Some(milliseconds),
                Ok(Told::Problem(why)) => watched.problems.push(why),
                Err(RecvTimeoutError::Timeout) if monitor.check().is_err() => return watched,
                Ok(Told::Declined(why)) => {
                    let what = format!("the node could not keep up, and is not desynced: {why}");
                    watched.problems.push(what);
                }
                Ok(Told::Watching | Told::On) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // It has closed its standard output, so it ends now.
        match child.wait() {
            Ok(status) => {
                watched.has_died = status.code().is_none();
                if watched.has_died {
                    watched.problems.push(format!("the watchdog ended with {status}"));
                }
            }
            Err(error) => watched.problems.push(format!("the watchdog is lost: {error}")),
        }
        watched
    }
}
