//! The handling of Ctrl-C, SIGTERM and SIGHUP: the first one asks everything to stop, the second
//! one does what it does to any program. What does not stop in time is not waited for: after that
//! the program ends with status 1 all the same.
//!
//! A signal that the parent process chose to ignore (`nohup`, a shell's background job)
//! stays ignored.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use haulout::shared::crew::lock;
use haulout::shared::crew::thread_name;
use haulout::source::child::Killer;
use haulout::world::LOOK_UP;
use haulout::world::Monitor;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::output::console::Console;
use crate::proc_status;

const TERMINAL_SETTLES: Duration = Duration::from_millis(20);
/// The time that everything in one command may take to stop. Requests to an object store are given
/// up at once; what is left are calls of the operating system that do not return, and the
/// stretching of a password.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The program's answer to signals.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    monitor: Arc<Monitor>,
    producer: Arc<Mutex<Option<Killer>>>,
}

impl Stop {
    /// Starts to listen. What shall stop shares `monitor`, and may take `patience` to do so.
    pub(crate) fn listen(
        monitor: Arc<Monitor>,
        console: Arc<Console>,
        patience: Duration,
    ) -> io::Result<Self> {
        let ignored = ignored();
        let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored(*signal));
        let mut signals = Signals::new(heard)?;
        let stop = Self { monitor, producer: Arc::default() };
        let answering = stop.clone();
        thread::Builder::new().name(thread_name("signals")).spawn(move || {
            if signals.forever().next().is_none() {
                return;
            }
            // A terminal throws away what is written while it passes on a Ctrl-C, and with it the
            // last words of this program.
            thread::sleep(TERMINAL_SETTLES);
            answering.now();
            console.note("stopping cleanly; the same again stops at once");
            let mut waited = Duration::ZERO;
            while waited < patience {
                for signal in signals.pending() {
                    // If even that fails, the next signal tries again.
                    let _emulated = emulate_default_handler(signal);
                }
                thread::sleep(LOOK_UP);
                waited += LOOK_UP;
            }
            answering.give_up(&console);
        })?;
        Ok(stop)
    }

    /// Registers a producer to be terminated together with everything else.
    pub(crate) fn ends(&self, producer: Killer) {
        let mut slot = lock(&self.producer);
        if self.monitor.check().is_err() {
            producer.terminate();
        }
        *slot = Some(producer);
    }

    /// Ends the program although something in it does not react: a reader of standard output that
    /// does not read, a mount that does not answer.
    fn give_up(&self, console: &Console) {
        if let Some(producer) = &*lock(&self.producer) {
            producer.kill();
        }
        console.note("something did not stop in time; ended without it");
        std::process::exit(1)
    }

    fn now(&self) {
        let slot = lock(&self.producer);
        // First the request to stop, then the end of the producer: the end of its stream is then
        // not taken for the end of a backup.
        self.monitor.stop();
        if let Some(producer) = &*slot {
            producer.terminate();
        }
    }
}

/// Returns a function that tells whether a signal was ignored when the program was started.
fn ignored() -> impl Fn(i32) -> bool {
    let mask = proc_status::field("SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    let mask = mask.unwrap_or(0);
    move |signal| u32::try_from(signal - 1).is_ok_and(|bit| mask >> bit & 1 == 1)
}
