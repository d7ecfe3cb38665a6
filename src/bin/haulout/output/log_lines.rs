//! Messages as objects of JSON, one in a line: for programs that collect logs.

use std::ffi::OsString;
use std::sync::Arc;

use clap::ValueEnum;
use haulout::world::Clock;
use serde::Serialize;

use crate::output::timefmt;

/// The variables with which a job tells its steps what they are a part of.
pub(crate) const JOB_VARIABLE: &str = "HAULOUT_JOB";
pub(crate) const STEP_VARIABLE: &str = "HAULOUT_STEP";
pub(crate) const SUBJECT_VARIABLE: &str = "HAULOUT_SUBJECT";

/// The form of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// An object of JSON in each line
    Json,
}

impl LogFormat {
    /// Returns the word for it on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The job and the step that messages belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Origin {
    /// The name of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    /// The word for the kind of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// The subject of the step: a source, or a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
}

impl Origin {
    /// Returns the origin that the environment names.
    pub(crate) fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        Self { job: text(JOB_VARIABLE), step: text(STEP_VARIABLE), subject: text(SUBJECT_VARIABLE) }
    }
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

/// A message as it is written.
#[derive(Debug, Serialize)]
struct Line<'l> {
    time: String,
    level: Level,
    message: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'l str>,
    /// Set for the words of a program that haulout has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(flatten)]
    origin: &'l Origin,
}

/// A message before it has a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'m> {
    /// How much it matters.
    pub(crate) level: Level,
    /// The text in one line.
    pub(crate) text: &'m str,
    /// A hint about what to do.
    pub(crate) hint: Option<&'m str>,
    /// True if they are the words of a program that haulout has started.
    pub(crate) is_of_program: bool,
}

/// The maker of lines.
#[derive(Debug)]
pub(crate) struct LogLines(Arc<dyn Clock>);

impl LogLines {
    /// Creates a maker of lines with the times of this clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }

    /// Returns a message as a line.
    pub(crate) fn line(&self, message: Message<'_>, origin: &Origin) -> String {
        let Message { level, text, hint, is_of_program } = message;
        let line = Line {
            time: timefmt::for_programs(self.0.unix_seconds()),
            level,
            message: text,
            hint,
            from: is_of_program.then_some("program"),
            origin,
        };
        serde_json::to_string(&line).expect("it is made of texts") + "\n"
    }
}
