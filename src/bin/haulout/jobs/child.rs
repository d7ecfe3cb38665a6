//! A process that a job starts and waits for, with all that it starts itself.
//!
//! It gets a process group of its own, so that a signal reaches all of it, and nothing on its
//! standard input. What it prints is kept up to a limit; its standard error is that of
//! the job, or passes through the job where its messages are kept or get another form.

use std::io;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use haulout::shared::crew;
use haulout::source::child::Killer;
use haulout::world::Monitor;

use crate::output::console::Console;
use crate::signals::Stop;

/// Bytes of standard output that are kept: more than the JSON of any command that a job runs.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Bytes of messages that are read at once.
const MESSAGE_BYTES: usize = 8 << 10;
/// The time for which output is waited for once the process has ended.
const OUTPUT_TIME: Duration = Duration::from_secs(5);
/// The interval between two looks whether the process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The time that a process is given after it was asked to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The end of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit status, or the signal.
    pub(crate) status: ExitStatus,
    /// What it printed on standard output.
    pub(crate) output: Vec<u8>,
    /// True if it was ended since its time was over.
    pub(crate) is_late: bool,
}

/// What ends a process before it ends by itself.
pub(crate) enum Until<'u> {
    /// The program is asked to stop, which asks the process as well.
    Stopped(&'u Stop, &'u Monitor),
    /// Its time is over.
    Over(Duration),
}

/// Where the messages of a process go.
pub(crate) enum Messages<'m> {
    /// To the standard error of this process.
    Inherited,
    /// To where they are lost.
    Dropped,
    /// To the console, as they are: they are messages of this program.
    Forwarded(&'m Arc<Console>),
    /// To the console, as the words of a program.
    Passed(&'m Arc<Console>),
}

/// Runs a command to its end.
pub(crate) fn run(
    command: &mut Command,
    messages: &Messages<'_>,
    until: &Until<'_>,
) -> io::Result<Ended> {
    let stderr = match messages {
        Messages::Inherited => Stdio::inherit(),
        Messages::Dropped => Stdio::null(),
        Messages::Forwarded(_) | Messages::Passed(_) => Stdio::piped(),
    };
    let prepared = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = prepared.process_group(0).spawn()?;
    let killer = Killer::of(&child)?;
    if let Until::Stopped(stop, _) = until {
        stop.ends(killer.clone());
    }
    let output = collect(&mut child)?;
    let passing = pass(&mut child, messages)?;
    let mut waited = Duration::ZERO;
    let mut asked: Option<Duration> = None;
    let mut is_late = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        match (asked, until) {
            // A second request would end it at once.
            (None, Until::Stopped(_, monitor)) if monitor.check().is_err() => {
                asked = Some(waited);
            }
            (None, Until::Over(time)) if waited >= *time => {
                is_late = true;
                killer.terminate();
                asked = Some(waited);
            }
            (Some(since), _) if waited.saturating_sub(since) >= PATIENCE => killer.kill(),
            (Some(_) | None, _) => {}
        }
        std::thread::sleep(LOOK);
        waited += LOOK;
    };
    // What it left running keeps its standard output open.
    killer.kill();
    killer.reaped();
    // A process outside of its group may hold its standard output open for ever.
    let mut waited = Duration::ZERO;
    let is_over = || output.is_finished() && passing.as_ref().is_none_or(JoinHandle::is_finished);
    while !is_over() && waited < OUTPUT_TIME {
        std::thread::sleep(LOOK);
        waited += LOOK;
    }
    let output = if output.is_finished() {
        output.join().map_err(|_| io::Error::other("reading its output failed"))??
    } else {
        Vec::new()
    };
    Ok(Ended { status, output, is_late })
}

fn collect(child: &mut Child) -> io::Result<JoinHandle<io::Result<Vec<u8>>>> {
    let stdout = child.stdout.take().expect("its standard output is piped");
    let reading = crew::start("output", move || {
        let mut output = Vec::new();
        let mut stdout = stdout.take(OUTPUT_BYTES_MAX);
        stdout.read_to_end(&mut output)?;
        io::copy(&mut stdout.into_inner(), &mut io::sink())?;
        Ok(output)
    });
    reading.map_err(io::Error::other)
}

/// Passes on what a process writes to its standard error, if it does not write there itself.
fn pass(child: &mut Child, messages: &Messages<'_>) -> io::Result<Option<JoinHandle<()>>> {
    let (console, write): (_, fn(&Console, &[u8])) = match messages {
        Messages::Inherited | Messages::Dropped => return Ok(None),
        Messages::Forwarded(console) => (Arc::clone(console), Console::forward),
        Messages::Passed(console) => (Arc::clone(console), Console::pass),
    };
    let mut stderr = child.stderr.take().expect("its standard error is piped");
    let passing = crew::start("messages", move || {
        let mut buffer = [0; MESSAGE_BYTES];
        // An error here is the end of what can be read.
        while let Ok(length @ 1..) = stderr.read(&mut buffer) {
            write(&console, &buffer[..length]);
        }
    });
    passing.map(Some).map_err(io::Error::other)
}
