//! `desync`: the watchdog of a cluster's node while it is backed up.
//!
//! `run` starts it; it is in no list of commands, since nothing else needs it.

use std::io;
use std::io::BufRead;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use clap::Args;
use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::shared::crew;
use haulout::world::Clock;
use haulout::world::Monitor;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;

use crate::config::Config;
use crate::config::tree::Table;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::desync::leftover;
use crate::jobs::desync::leftover::AtWork;
use crate::jobs::desync::leftover::Left;
use crate::jobs::desync::note::Desync;
use crate::jobs::desync::note::NotePlace;
use crate::jobs::desync::producers;
use crate::jobs::desync::watch::Around;
use crate::jobs::desync::watch::Order;
use crate::jobs::desync::watch::Time;
use crate::jobs::desync::watch::Told;
use crate::jobs::desync::watch::Watch;
use crate::jobs::desync::watchdog::END;
use crate::jobs::desync::wishes::When;
use crate::jobs::donor::Cluster;
use crate::jobs::plan;
use crate::jobs::server;
use crate::output::report::Report;

/// The time between two looks whether this process was asked to end.
const LOOK: Duration = Duration::from_millis(100);

const EXAMPLE: &str = "\
Example:
  haulout desync shop --run 4711";

/// Keep a cluster's node desynced until the backup of a source has ended
#[derive(Debug, Args)]
#[command(hide = true, after_long_help = EXAMPLE)]
pub(crate) struct DesyncArguments {
    /// The name of the source
    #[arg(value_name = "SOURCE")]
    source: String,

    /// The run, as the processes of its producer have it in their environment
    #[arg(long, value_name = "NAME", default_value = "")]
    run: String,

    /// Put a node back that a watchdog which was killed has left desynced
    #[arg(long, conflicts_with = "run")]
    left: bool,
}

impl DesyncArguments {
    /// Watches over the node until it is put back.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        if self.left {
            return self.put_back(config, report);
        }
        self.watch(config, report).inspect_err(|failure| {
            tell(&Told::Declined(failure.line()));
        })
    }

    /// Puts the node back, if a run has left it desynced.
    fn put_back(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let (source, table, name) = self.parts(config)?;
        let cluster = Cluster {
            name: name.to_owned(),
            table: table.clone(),
            source: source.clone(),
            sources: vec![self.source.clone()],
        };
        let (state, monitor) = (plan::state_dir(config), Monitor::default());
        match leftover::end(&state, &cluster, &*report.clock, AtWork::Awaited, &monitor)? {
            Left::Nothing | Left::Watched => Ok(Exit::Done),
            Left::Ended(what) => {
                report.console.warning(what);
                Ok(Exit::Findings)
            }
        }
    }

    fn watch(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        // Where this is refused, it leads its session already.
        let _led = rustix::process::setsid();
        let unheard = |error| Error::new(ErrorKind::Source, "cannot listen").because(error);
        let is_asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&is_asked)).map_err(unheard)?;
        }
        let (source, cluster, name) = self.parts(config)?;
        let Some(when) = cluster.text("desync").and_then(When::of_word) else {
            return Err(Failure::usage(
                format!("no node of the cluster {name} is ever desynced"),
                "set desync in the section of the cluster",
            ));
        };
        let Some(place) = NotePlace::take(&plan::state_dir(config), name)? else {
            let what = "a watchdog of an earlier run still works".to_owned();
            tell(&Told::Declined(what));
            return Ok(Exit::Done);
        };
        let process = Process {
            place,
            run: self.run.clone(),
            orders: orders().map_err(unheard)?,
            is_asked,
            clock: &*report.clock,
        };
        Watch {
            server: &mut server::to_desync(cluster, source)?,
            around: &process,
            when,
            members: u64::try_from(cluster.texts("members").len()).unwrap_or(u64::MAX),
            run: self.run.clone(),
        }
        .run();
        Ok(Exit::Done)
    }

    /// Returns the source, its cluster, and the name of that.
    fn parts<'c>(&self, config: &'c Config) -> Outcome<(&'c Table, &'c Table, &'c str)> {
        let source = config.source(&self.source);
        let name = source.and_then(|source| source.text("cluster"));
        let table = |name| config.file.table("cluster")?.table(name);
        let found = source.zip(name.and_then(table)).zip(name);
        found.map(|((source, table), name)| (source, table, name)).ok_or_else(|| {
            let what = format!("the source {} is no node of a cluster", self.source);
            Failure::usage(what, "name a source with the key cluster")
        })
    }
}

/// Reads the orders of the run: a line, or the end of standard input, which means that the run has
/// died.
fn orders() -> io::Result<Receiver<Order>> {
    let (send, orders) = mpsc::channel();
    crew::start("orders", move || {
        let mut line = String::new();
        let is_end = io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == END;
        // This process may have ended by itself.
        let _ended = send.send(if is_end { Order::End } else { Order::Lost });
    })
    .map_err(io::Error::other)?;
    Ok(orders)
}

/// Tells the run; one that has died does not hear it.
fn tell(told: &Told) {
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let _unheard = out.write_all(&line).and_then(|()| out.flush());
}

/// This process, as the watch sees it.
struct Process<'p> {
    place: NotePlace,
    run: String,
    orders: Receiver<Order>,
    /// True once a signal has asked this process to end.
    is_asked: Arc<AtomicBool>,
    clock: &'p dyn Clock,
}

impl Time for Process<'_> {
    fn pause(&self, time: Duration) -> bool {
        thread::sleep(time);
        // What the node needs is done, whatever this process is asked.
        true
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

impl Around for Process<'_> {
    fn order(&self, time: Duration) -> Option<Order> {
        let began = self.clock.elapsed();
        loop {
            let left = time.saturating_sub(self.clock.elapsed().saturating_sub(began));
            match self.orders.recv_timeout(LOOK.min(left)) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return Some(Order::Lost),
                Err(RecvTimeoutError::Timeout) if self.is_asked.load(Ordering::Acquire) => {
                    return Some(Order::Lost);
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn unix_seconds(&self) -> u64 {
        self.clock.unix_seconds()
    }

    fn end_producers(&self) -> Result<(), String> {
        producers::end(&self.run)
    }

    fn tell(&self, told: Told) {
        tell(&told);
    }

    fn note(&self, note: Option<&Desync>) -> Result<(), String> {
        let done = match note {
            Some(note) => self.place.write(note),
            None => self.place.remove(),
        };
        done.map_err(|failure| failure.line())
    }
}
