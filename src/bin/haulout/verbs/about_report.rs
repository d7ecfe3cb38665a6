//! The reports of `completions` and `man`: texts for other programs.

use serde::Serialize;

use haulout::base::error::Result;

use crate::tell::report::Format;
use crate::tell::report::Report;
use crate::tell::report::print;
use crate::tell::report::print_json;
use crate::tell::text::Canvas;
use crate::verbs::about::Page;

/// The JSON report of `completions`.
#[derive(Debug, Serialize)]
pub(crate) struct Script {
    /// The name of the shell.
    pub(crate) shell: String,
    /// The completion script that the shell reads.
    pub(crate) script: String,
}

/// The JSON report of `help`.
#[derive(Debug, Serialize)]
struct Guide<'r> {
    text: &'r str,
}

/// The JSON report of `man`.
#[derive(Debug, Serialize)]
pub(crate) struct Pages<'r> {
    pages: Vec<Told<'r>>,
}

#[derive(Debug, Serialize)]
struct Told<'r> {
    name: &'r str,
    text: &'r str,
}

/// The JSON report of `man --to`.
#[derive(Debug, Serialize)]
struct Written<'r> {
    written: &'r [String],
}

impl<'r> Pages<'r> {
    /// Creates the report of these pages.
    pub(crate) fn of(pages: &'r [Page]) -> Pages<'r> {
        let told = |page: &'r Page| Told { name: &page.name, text: &page.text };
        Pages { pages: pages.iter().map(told).collect() }
    }
}

impl Report {
    /// Prints the script of `completions`; it is the result, however quiet the program is to be.
    pub(crate) fn completions(&self, script: &Script) -> Result<()> {
        match self.format {
            Format::Json => print_json(script),
            Format::Text => print(&script.script),
        }
    }

    /// Prints a chapter of the guide, or the reference of a command.
    pub(crate) fn guide(&self, text: &str) -> Result<()> {
        match self.format {
            Format::Json => print_json(&Guide { text }),
            Format::Text => print(text),
        }
    }

    /// Returns what standard output can show.
    pub(crate) fn canvas(&self) -> Canvas {
        self.canvas
    }

    /// Prints the pages of `man`; they are the result as well.
    pub(crate) fn pages(&self, pages: &Pages<'_>) -> Result<()> {
        match self.format {
            Format::Json => print_json(pages),
            Format::Text => pages.pages.iter().try_for_each(|page| print(page.text)),
        }
    }

    /// Prints the names of the files that `man --to` wrote.
    pub(crate) fn written(&self, written: &[String]) -> Result<()> {
        self.result(&Written { written }, || {
            written.iter().flat_map(|path| [path.as_str(), "\n"]).collect()
        })
    }
}
