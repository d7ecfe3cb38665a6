//! Standard error, shared: messages, a producer's own words, and below them a line of progress for
//! each thing that the program works on.
//!
//! Invariants:
//! - The lines of progress are taken away before anything else is written, so that lines never mix.
//! - They are not drawn into the middle of a line that a producer has not ended yet.
//! - What draws them can fail without consequences: `MultiProgress::suspend` would panic on a
//!   terminal that has gone, so that messages are written after `clear`.
//!
//! Output that can't be written to standard error is lost: there is no other place to complain.

use std::fmt::Display;
use std::io;
use std::io::Write;
use std::sync::Mutex;

use clap::ValueEnum;
use haulout::shared::crew::lock;
use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use crate::output::text;
use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::text::clean;

/// The level of detail of the program's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
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
    progress: MultiProgress,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// True while the last line that was passed on has no end yet.
    mid_line: bool,
    /// True once a warning was printed.
    warned: bool,
}

/// A line of progress on the screen.
#[derive(Debug)]
pub(crate) struct ProgressLine(ProgressBar);

impl Console {
    /// Creates a console on standard error with this canvas.
    pub(crate) fn new(loudness: Loudness, canvas: Canvas) -> Self {
        let is_terminal = canvas.columns.is_some();
        // That it is hidden on a terminal that can't redraw anything is known to the target.
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let progress = MultiProgress::with_draw_target(target);
        Self { loudness, canvas, progress, state: Mutex::default() }
    }

    /// Tells whether there is a terminal on which lines can be redrawn.
    pub(crate) fn redraws(&self) -> bool {
        !self.progress.is_hidden()
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
        self.take_away_progress(&state);
        write(bytes);
        if let Some(last) = bytes.last() {
            state.mid_line = *last != b'\n';
        }
    }

    /// Adds a line of progress below those that are there.
    pub(crate) fn add_line(&self) -> ProgressLine {
        let style = ProgressStyle::with_template("{msg}").expect("the template is one placeholder");
        let line = ProgressBar::no_length().with_style(style);
        ProgressLine(self.progress.add(line))
    }

    /// Draws a line of progress over what it showed before, and the others with it.
    pub(crate) fn draw(&self, line: &ProgressLine, text: String) {
        let state = lock(&self.state);
        if !state.mid_line {
            line.0.set_message(text);
        }
    }

    /// Removes a line of progress from the screen; the others are drawn again by their owners.
    pub(crate) fn remove_line(&self, line: &ProgressLine) {
        let state = lock(&self.state);
        self.take_away_progress(&state);
        self.progress.remove(&line.0);
    }

    fn take_away_progress(&self, state: &State) {
        // Where a line has not ended, nothing was drawn after it.
        if !state.mid_line {
            let _lost = self.progress.clear();
        }
    }
}

fn write(bytes: &[u8]) {
    let _lost = io::stderr().lock().write_all(bytes);
}
