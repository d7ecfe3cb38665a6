//! Standard error, shared: messages, a producer's own words, and one progress line below them.
//!
//! Invariants:
//! - The progress line is taken away before anything else is written, so that lines never mix.
//! - It is not drawn into the middle of a line that a producer has not ended yet.
//!
//! What can't be written to standard error is lost: there is no other place to complain.

use std::fmt::Display;
use std::io;
use std::io::Write;
use std::sync::Mutex;

use clap::ValueEnum;

use crate::tell::text;
use crate::tell::text::Canvas;
use crate::tell::text::Tone;
use crate::tell::text::clean;

use haulout::base::crew::lock;

/// How much the program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Loudness {
    /// Nothing if all is well, else a line or two on standard error
    Quiet,
    /// A line about what was done, and what was found
    Brief,
    /// Progress, messages of the producer, all figures
    Normal,
    /// Everything, with what is of use for a bug report
    Verbose,
}

/// Standard error, shared by everything that prints to it.
#[derive(Debug)]
pub(crate) struct Console {
    /// The amount of output that the user chose.
    pub(crate) loudness: Loudness,
    canvas: Canvas,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a progress line is on the screen.
    drawn: bool,
    /// Whether the last line that was passed on has no end yet.
    mid_line: bool,
    /// Whether a warning was printed.
    warned: bool,
}

/// The sequence that moves the cursor to the left and erases the line to its right.
const ERASE: &[u8] = b"\r\x1b[K";

impl Console {
    /// Creates a console on standard error with this canvas.
    pub(crate) fn new(loudness: Loudness, canvas: Canvas) -> Console {
        Console { loudness, canvas, state: Mutex::default() }
    }

    /// Tells whether there is a terminal on which a line can be redrawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.canvas.columns.is_some()
    }

    /// Returns the current width of the terminal; 80 if it is unknown.
    pub(crate) fn columns(&self) -> usize {
        text::columns_of(io::stderr()).or(self.canvas.columns).unwrap_or(80)
    }

    /// Prints a note, unless the program is quiet.
    pub(crate) fn note(&self, message: impl Display) {
        if self.loudness != Loudness::Quiet {
            self.labelled(Tone::Heading, "note:", &message.to_string());
        }
    }

    /// Prints a warning, and remembers that there was one.
    pub(crate) fn warning(&self, message: impl Display) {
        lock(&self.state).warned = true;
        self.labelled(Tone::Doubtful, "warning:", &message.to_string());
    }

    /// Tells whether there was a warning.
    pub(crate) fn has_warned(&self) -> bool {
        lock(&self.state).warned
    }

    /// Prints an error, and a hint about what to do.
    pub(crate) fn error(&self, message: &str, hint: &str) {
        self.labelled(Tone::Bad, "error:", message);
        self.labelled(Tone::Heading, "hint:", hint);
    }

    fn labelled(&self, tone: Tone, label: &str, message: &str) {
        let label = self.canvas.paint(tone, label);
        self.pass(format!("{label} {}\n", clean(message)).as_bytes());
    }

    /// Passes on what a producer wrote.
    pub(crate) fn pass(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if state.drawn {
            write(ERASE);
            state.drawn = false;
        }
        write(bytes);
        if let Some(last) = bytes.last() {
            state.mid_line = *last != b'\n';
        }
    }

    /// Draws the progress line over the one before.
    pub(crate) fn draw(&self, line: &str) {
        let mut state = lock(&self.state);
        if !state.mid_line {
            write(&[ERASE, line.as_bytes()].concat());
            state.drawn = true;
        }
    }

    /// Erases the progress line from the screen.
    pub(crate) fn erase(&self) {
        self.pass(b"");
    }
}

fn write(bytes: &[u8]) {
    let _lost = io::stderr().lock().write_all(bytes);
}
