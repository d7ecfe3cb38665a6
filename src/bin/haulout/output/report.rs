//! The only place that prints results: text or JSON on standard output, messages on standard error.
//!
//! Invariants:
//! - With `--json`, standard output gets one JSON value and nothing else, errors included.
//! - A reader of the report that goes away (`| head`) is no failure: what was asked for is done.
//!   That does not hold for `restore --stdout`, whose output is the work itself and does not pass
//!   through here.

use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::world::Clock;
use haulout::world::SystemClock;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::output::console::Console;
use crate::output::console::Loudness;
use crate::output::json;
use crate::output::log_lines::LogFormat;
use crate::output::log_lines::LogLines;
use crate::output::log_lines::Origin;
use crate::output::text::Canvas;
use crate::output::timefmt::Zone;

/// The format of the result: for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// The printer of a command's result, in the format that the user chose.
#[derive(Debug)]
pub(crate) struct Report {
    /// Standard error, for messages and progress.
    pub(crate) console: Arc<Console>,
    /// The clock, which began when the program did.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) format: Format,
    pub(crate) canvas: Canvas,
    unprinted: AtomicBool,
}

impl Report {
    /// Creates a report in this format. Without a `loudness` it depends on whether a person reads
    /// the messages on a terminal.
    pub(crate) fn new(
        format: Format,
        log_format: LogFormat,
        zone: Zone,
        loudness: Option<Loudness>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let messages = Canvas::of(io::stderr(), variable).in_zone(zone);
        let loudness = match loudness {
            Some(chosen) => chosen,
            None if messages.columns.is_some() => Loudness::Normal,
            None => Loudness::Brief,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let console = Console::new(loudness, messages);
        let console = match log_format {
            LogFormat::Text => console,
            LogFormat::Json => {
                console.with_lines(LogLines::new(Arc::clone(&clock)), Origin::of(variable))
            }
        };
        Self {
            console: Arc::new(console),
            clock,
            format,
            canvas: Canvas::of(io::stdout(), variable).in_zone(zone),
            unprinted: AtomicBool::new(false),
        }
    }

    /// Tells whether a program reads the result.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Tells whether lists are to be printed to their end.
    pub(crate) fn wants_everything(&self) -> bool {
        self.is_json() || self.console.loudness == Loudness::Verbose
    }

    /// Prints why the command failed, and returns the exit status.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        self.console.error(&failure.line(), &failure.hint_with_code());
        if self.format == Format::Json {
            // The exit status tells as much, should this get lost.
            let _lost = print_json(&json::Failed::from(failure));
        }
        failure.exit()
    }

    /// Prints a result, for programs or for people.
    ///
    /// The work that it describes is done: a result that can't be printed is a warning, not a
    /// failure.
    #[expect(clippy::unnecessary_wraps, reason = "reports end with it or with a list, which fails")]
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        let printed = match (self.format, self.console.loudness) {
            (Format::Json, _) => print_json(value),
            (Format::Text, Loudness::Quiet) => Ok(()),
            (Format::Text, Loudness::Brief | Loudness::Normal | Loudness::Verbose) => {
                print(&text())
            }
        };
        if let Err(error) = printed {
            self.console.warning(format!("{}; what it was to tell is done", error.with_causes()));
            self.unprinted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Tells whether a result could not be printed.
    pub(crate) fn is_unprinted(&self) -> bool {
        self.unprinted.load(Ordering::Relaxed)
    }
}

/// Prints the message of clap: help, the version, or why it refuses.
pub(crate) fn refusal(refusal: &clap::Error) -> Exit {
    // Nobody is left to tell that this can't be printed.
    let _lost = refusal.print();
    if !refusal.use_stderr() {
        return Exit::Done;
    }
    let own = std::env::args_os().take_while(|argument| argument != "--");
    if own.skip(1).any(|argument| argument == "--json") {
        let text = refusal.to_string();
        let told: Vec<&str> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
        let told = told.join(" ");
        let message = told.trim_start_matches("error: ");
        let failure = Failure::from(Error::new(ErrorKind::Usage, message));
        let _lost = print_json(&json::Failed::from(&failure));
    }
    Exit::Usage
}

pub(crate) fn in_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers can be written")
}

pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(in_json(value) + "\n"))
}

pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    unless_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Ignores a reader that went away, which has read what it wanted.
pub(crate) fn unless_gone(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Target, "cannot write to standard output").because(error))
        }
        _ => Ok(()),
    }
}
