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

use crate::text;
use crate::text::Canvas;
use crate::text::Tone;
use crate::text::clean;

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
    /// Everything
    Verbose,
}

/// Standard error.
#[derive(Debug)]
pub(crate) struct Console {
    /// How much the program prints.
    pub(crate) loudness: Loudness,
    canvas: Canvas,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A progress line is on the screen.
    drawn: bool,
    /// The last line that was passed on has no end yet.
    mid_line: bool,
    /// A warning was printed.
    warned: bool,
}

/// Takes the cursor to the left and what is right of it away.
const ERASE: &[u8] = b"\r\x1b[K";

impl Console {
    /// Standard error on this canvas.
    pub(crate) fn new(loudness: Loudness, canvas: Canvas) -> Console {
        Console { loudness, canvas, state: Mutex::default() }
    }

    /// Whether there is a terminal on which a line can be redrawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.canvas.columns.is_some()
    }

    /// The width of the terminal now.
    pub(crate) fn columns(&self) -> usize {
        text::columns_of(io::stderr()).or(self.canvas.columns).unwrap_or(80)
    }

    /// Something that somebody may want to know.
    pub(crate) fn note(&self, message: impl Display) {
        if self.loudness != Loudness::Quiet {
            self.labelled(Tone::Heading, "note:", &message.to_string());
        }
    }

    /// Something that somebody should look at.
    pub(crate) fn warning(&self, message: impl Display) {
        lock(&self.state).warned = true;
        self.labelled(Tone::Doubtful, "warning:", &message.to_string());
    }

    /// Whether there was a warning.
    pub(crate) fn has_warned(&self) -> bool {
        lock(&self.state).warned
    }

    /// What went wrong, and what to do about it.
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

    /// Takes the progress line away.
    pub(crate) fn erase(&self) {
        self.pass(b"");
    }
}

fn write(bytes: &[u8]) {
    let _lost = io::stderr().lock().write_all(bytes);
}
