//! Standard error, shared: messages, a producer's own words, and below them a line of progress for
//! each thing that the program works on.
//!
//! Invariants:
//! - The lines of progress are taken away before anything else is written, so that lines never mix.
//! - They are not drawn into the middle of a line that a producer has not ended yet.
//! - What draws them can fail without consequences: `MultiProgress::suspend` would panic on a
//!   terminal that has gone, so that messages are written after `clear`.
//!
//! On request each message is an object of JSON in a line of its own ([`log_lines`]), and nothing
//! is drawn.
//!
//! Output that can't be written to standard error is lost: there is no other place to complain.
//!
//! [`log_lines`]: crate::output::log_lines

use std::collections::VecDeque;
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

use crate::output::log_lines::Level;
use crate::output::log_lines::LogLines;
use crate::output::log_lines::Message;
use crate::output::log_lines::Origin;
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

/// Maximum number of bytes of a program's line in one object.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Standard error, shared by everything that prints to it.
#[derive(Debug)]
pub(crate) struct Console {
    /// The amount of output that the user chose.
    pub(crate) loudness: Loudness,
    canvas: Canvas,
    progress: MultiProgress,
    /// Makes lines of JSON, if messages are to be such.
    lines: Option<LogLines>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// True while the last line that was passed on has no end yet.
    mid_line: bool,
    /// True once a warning was printed.
    warned: bool,
    /// The beginning of a program's line, for an object of JSON.
    begun: Vec<u8>,
    /// The job and the step that messages belong to.
    origin: Origin,
    /// The end of what was written, if it is kept.
    tail: Option<Tail>,
}

/// The end of what was written.
#[derive(Debug)]
struct Tail {
    bytes: VecDeque<u8>,
    bytes_max: usize,
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(self.bytes_max);
        self.bytes.drain(..excess);
    }
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
        Self { loudness, canvas, progress, lines: None, state: Mutex::default() }
    }

    /// Returns the console with lines of JSON for messages, which come from here.
    pub(crate) fn with_lines(self, lines: LogLines, origin: Origin) -> Self {
        let progress = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        lock(&self.state).origin = origin;
        Self { lines: Some(lines), progress, ..self }
    }

    /// Tells whether messages are lines of JSON.
    pub(crate) fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Sets the job and the step that messages belong to from now on.
    pub(crate) fn set_origin(&self, origin: Origin) {
        lock(&self.state).origin = origin;
    }

    /// Keeps the end of what is written from now on.
    pub(crate) fn keep_tail(&self, bytes_max: usize) {
        lock(&self.state).tail = Some(Tail { bytes: VecDeque::new(), bytes_max });
    }

    /// Returns the end of what was written, if it was kept.
    pub(crate) fn tail(&self) -> String {
        let mut state = lock(&self.state);
        let bytes = state.tail.as_mut().map(|tail| tail.bytes.make_contiguous());
        bytes.map_or(String::new(), |bytes| String::from_utf8_lossy(bytes).into_owned())
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
        if self.lines.is_some() {
            self.write_line(Level::Error, message, Some(hint));
            return;
        }
        self.labelled(Tone::Bad, "error:", message);
        self.labelled(Tone::Heading, "hint:", hint);
    }

    fn labelled(&self, tone: Tone, label: &str, message: &str) {
        if self.lines.is_some() {
            let level = if tone == Tone::Doubtful { Level::Warning } else { Level::Info };
            self.write_line(level, message, None);
            return;
        }
        let label = self.canvas.paint(tone, label);
        self.forward(format!("{label} {}\n", clean(message)).as_bytes());
    }

    /// Prints a line about progress that is not redrawn.
    pub(crate) fn progress_line(&self, line: &str) {
        if self.lines.is_some() {
            self.write_line(Level::Info, line, None);
        } else {
            self.forward(format!("{line}\n").as_bytes());
        }
    }

    /// Writes a message of this program as an object of JSON.
    fn write_line(&self, level: Level, text: &str, hint: Option<&str>) {
        self.end_program_line();
        let message = Message { level, text, hint, is_of_program: false };
        self.write_object(message);
    }

    fn write_object(&self, message: Message<'_>) {
        let Some(lines) = &self.lines else { return };
        let line = lines.line(message, &lock(&self.state).origin);
        self.forward(line.as_bytes());
    }

    /// Ends a line of JSON for which a program has not written the end yet.
    pub(crate) fn end_program_line(&self) {
        let begun = std::mem::take(&mut lock(&self.state).begun);
        if !begun.is_empty() {
            self.write_program_line(&begun);
        }
    }

    fn write_program_line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let (level, hint) = (Level::Info, None);
        self.write_object(Message { level, text: text.trim_end(), hint, is_of_program: true });
    }

    /// Passes on what a program wrote that this one has started.
    pub(crate) fn pass(&self, bytes: &[u8]) {
        if self.lines.is_none() {
            self.forward(bytes);
            return;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut state = lock(&self.state);
            state.begun.extend(part);
            let is_whole = part.ends_with(b"\n") || state.begun.len() >= LINE_BYTES_MAX;
            drop(state);
            if is_whole {
                self.end_program_line();
            }
        }
    }

    /// Writes what has the form of messages already.
    pub(crate) fn forward(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        self.take_away_progress(&state);
        write(bytes);
        if let Some(tail) = &mut state.tail {
            tail.add(bytes);
        }
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
