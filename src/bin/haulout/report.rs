//! The only place that prints results: text or JSON on standard output, messages on standard error.
//!
//! Invariants:
//! - With `--json`, standard output gets one JSON value and nothing else, errors included.
//! - A reader of the report that goes away (`| head`) is no failure: what was asked for is done.
//!   That does not hold for `restore --stdout`, whose output is the work itself and does not pass
//!   through here.

use std::ffi::OsString;
use std::io;
use std::io::BufWriter;
use std::io::Seek;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use haulout::base::clock::Clock;
use haulout::base::clock::SystemClock;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::num::wide;
use haulout::ops::backup::BackupReport;
use haulout::ops::prepare::PrepareReport;
use haulout::ops::restore::RestoreReport;
use haulout::ops::show::MemberLine;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyReport;
use haulout::repo::snapshots::Listing;
use haulout::repo::snapshots::StoredSnapshot;

use crate::args::Common;
use crate::console::Console;
use crate::console::Loudness;
use crate::exit::Exit;
use crate::failure;
use crate::failure::Failure;
use crate::json;
use crate::json::Effort;
use crate::moment;
use crate::show;
use crate::show::Largest;
use crate::text::Canvas;
use crate::text::clean;
use crate::units;
use crate::words;

/// For whom the result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Tells what came of a command.
#[derive(Debug)]
pub(crate) struct Report {
    /// Standard error.
    pub(crate) console: Arc<Console>,
    /// Began when the program did.
    pub(crate) clock: Arc<dyn Clock>,
    format: Format,
    canvas: Canvas,
}

/// Gives one member after the other to whoever wants them.
pub(crate) type Members<'m> =
    dyn FnMut(&mut dyn FnMut(MemberLine) -> Result<()>) -> Result<()> + 'm;

/// What came of a restore.
#[derive(Debug)]
pub(crate) struct Restored<'r> {
    /// Which snapshot.
    pub(crate) stored: &'r StoredSnapshot,
    /// Where to, in words.
    pub(crate) target: String,
    /// What the library says.
    pub(crate) report: RestoreReport,
    /// How long it took, without preparing.
    pub(crate) time: Duration,
    /// What came of preparing, if it was asked for, and how long that took.
    pub(crate) prepared: Option<(PrepareReport, Duration)>,
}

impl Report {
    /// A report as the common options want it.
    pub(crate) fn new(common: &Common, variable: &dyn Fn(&str) -> Option<OsString>) -> Report {
        let loudness = match (common.quiet, common.verbose) {
            (true, _) => Loudness::Quiet,
            (false, false) => Loudness::Normal,
            (false, true) => Loudness::Verbose,
        };
        Report {
            console: Arc::new(Console::new(loudness, Canvas::of(io::stderr(), variable))),
            clock: Arc::new(SystemClock::new()),
            format: if common.json { Format::Json } else { Format::Text },
            canvas: Canvas::of(io::stdout(), variable),
        }
    }

    /// What came of `init`.
    pub(crate) fn init(&self, made: &json::Init) -> Result<()> {
        let json::Init { repository, id, encrypted } = made;
        let how = if *encrypted { "encrypted" } else { "not encrypted" };
        let text = || format!("made repository {id} at {}, {how}\n", clean(repository));
        self.result(made, text)
    }

    /// What came of `backup`.
    pub(crate) fn backup(&self, report: &BackupReport, time: Duration) -> Result<()> {
        if let Some(others) = report.new_among {
            let source = &report.about.source;
            let others = units::counted(wide(others), "other source");
            self.console.warning(format!(
                "{source} is new in this repository and shares nothing with its {others}"
            ));
        }
        for id in &report.damaged {
            self.console.warning(format!("snapshot {id} of this source can't be read: run verify"));
        }
        if report.packs_absent > 0 {
            let packs = report.packs_absent;
            let healed = report.counts.blocks_healed;
            self.console.warning(format!(
                "packs of earlier runs that are missing or damaged: {packs}; blocks of them that \
                 were stored again: {healed}"
            ));
        }
        let effort = Effort::of(time);
        self.result(&json::Backup::new(report, effort), || {
            words::backup(report, self.canvas, time, effort.peak_memory_bytes)
        })
    }

    /// What came of `snapshots`.
    pub(crate) fn snapshots(&self, listing: &Listing) -> Result<()> {
        let Listing { snapshots, damaged } = listing;
        for (name, error) in damaged {
            let causes = failure::causes(error).join(": ");
            self.console.warning(format!("snapshot {}: {error}: {causes}", name.id.short()));
        }
        match self.format {
            Format::Json => {
                print_json(&snapshots.iter().map(json::Listed::new).collect::<Vec<_>>())
            }
            Format::Text if snapshots.is_empty() => {
                self.console.note("there are no snapshots");
                Ok(())
            }
            Format::Text => print(&words::snapshots(snapshots, self.canvas)),
        }
    }

    /// What came of `show`; `members` gives one member after the other.
    pub(crate) fn show(&self, stored: &StoredSnapshot, members: &mut Members<'_>) -> Result<()> {
        match (self.format, self.console.loudness) {
            (Format::Json, _) => show_json(stored, members),
            (Format::Text, Loudness::Verbose) => {
                print(&show::head(stored, self.canvas))?;
                print(&show::all_members_heading(self.canvas))?;
                let mut out = BufWriter::new(io::stdout().lock());
                members(&mut |member| {
                    let line = show::every_member(Some(&member), self.canvas);
                    unless_gone(out.write_all(line.as_bytes()))
                })?;
                unless_gone(out.flush())
            }
            (Format::Text, Loudness::Quiet | Loudness::Normal) => {
                let mut largest = Largest::default();
                members(&mut |member| {
                    largest.take(member);
                    Ok(())
                })?;
                print(&(show::head(stored, self.canvas) + &largest.text(self.canvas)))
            }
        }
    }

    /// What came of `restore`.
    pub(crate) fn restore(&self, restored: &Restored<'_>, to: Outlet) -> Result<()> {
        let Restored { stored, target, report, time, prepared } = restored;
        for warning in &report.warnings {
            self.console.warning(warning);
        }
        let text = || restoration(restored);
        if to == Outlet::StandardError {
            self.console.note(text().trim_end());
            return Ok(());
        }
        let about = &stored.snapshot.about;
        let value = json::Restored {
            snapshot: report.id.to_string(),
            source: &about.source,
            verdict: about.verdict,
            target: target.clone(),
            files: report.files,
            bytes: report.bytes,
            fetched_bytes: report.counts.fetched_bytes,
            warnings: &report.warnings,
            prepared: prepared.as_ref().map(|(report, time)| json::Prepared::new(report, *time)),
            effort: Effort::of(*time),
        };
        self.result(&value, || {
            let mut text = text();
            if let Some((PrepareReport { backup_type, lsn, version }, time)) = prepared {
                let time = units::span(*time);
                let how = format!("{backup_type} at LSN {lsn}, by {version}, {time}");
                text += &words::fact("prepared", &how);
            }
            text
        })
    }

    /// What came of `verify`.
    pub(crate) fn verify(&self, report: &VerifyReport, depth: Depth, time: Duration) -> Result<()> {
        if self.format == Format::Text {
            let lines = report.findings.iter().map(|found| words::finding(found) + "\n");
            print(&lines.collect::<String>())?;
        }
        let depth = match depth {
            Depth::Objects => "objects",
            Depth::Stored => "stored",
            Depth::Blocks => "blocks",
            Depth::Pages => "pages",
        };
        self.result(&json::Verified::new(report, depth, Effort::of(time)), || {
            words::verification(report, self.canvas, time)
        })
    }

    /// Why nothing came of it.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        self.console.error(&failure.line(), failure.hint());
        if self.format == Format::Json {
            // The exit status tells as much, should this get lost.
            let _lost = print_json(&json::Failed::from(failure));
        }
        failure.exit()
    }

    /// Prints a result, for programs or for people.
    fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match (self.format, self.console.loudness) {
            (Format::Json, _) => print_json(value),
            (Format::Text, Loudness::Quiet) => Ok(()),
            (Format::Text, Loudness::Normal | Loudness::Verbose) => print(&text()),
        }
    }
}

/// Members may be many: they wait in a file, so that an error leaves no half a value behind.
fn show_json(stored: &StoredSnapshot, members: &mut Members<'_>) -> Result<()> {
    let spooling = |e| Error::new(ErrorKind::Target, "cannot write a temporary file").because(e);
    let head = in_json(&json::Shown::new(stored));
    let head = head.strip_suffix('}').expect("an object ends in a brace");
    let mut spool = BufWriter::new(tempfile::tempfile().map_err(spooling)?);
    write!(spool, "{head},\"members\":[").map_err(spooling)?;
    let mut comma = "";
    members(&mut |member| {
        let text = in_json(&json::Member::from(&member));
        let written = write!(spool, "{comma}\n{text}").map_err(spooling);
        comma = ",";
        written
    })?;
    spool.write_all(b"]}\n").map_err(spooling)?;
    let mut spool = spool.into_inner().map_err(|e| spooling(e.into_error()))?;
    spool.rewind().map_err(spooling)?;
    unless_gone(io::copy(&mut spool, &mut io::stdout().lock()).map(|_| ()))
}

/// Where the report of a restore goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlet {
    /// Where results go.
    StandardOutput,
    /// The stream is on standard output.
    StandardError,
}

fn restoration(restored: &Restored<'_>) -> String {
    let Restored { stored, target, report, time, .. } = restored;
    let time = *time;
    let about = &stored.snapshot.about;
    let files = match report.files {
        0 => String::new(),
        files => format!(" in {}", units::counted(files, "file")),
    };
    format!(
        "restored {} ({}, {}) to {}: {}{files}, {}, {}, every block verified\n",
        report.id.short(),
        clean(&about.source),
        moment::for_people(about.time),
        clean(target),
        units::size(report.bytes),
        units::span(time),
        units::rate(report.bytes, time)
    )
}

/// What clap has to say: help, the version, or why it refuses.
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

fn in_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers can be written")
}

fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(in_json(value) + "\n"))
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    unless_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that went away has read what it wanted.
fn unless_gone(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Target, "cannot write to standard output").because(error))
        }
        _ => Ok(()),
    }
}
