//! `ls`: lists the files of a snapshot.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use clap::Args;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops;
use haulout::repo::snapshots::StoredSnapshot;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::members::Member;
use crate::output::members::Members;
use crate::output::members::every_member;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::unless_gone;
use crate::output::spool::Spool;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db ls shop@latest 'shop/*.ibd'";

/// List the files of a snapshot
///
/// One line each, in the order of their paths. `show` tells the rest about a snapshot.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct LsArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Only files whose path matches one of these; a star matches slashes too
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<String>,
}

impl Job for LsArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.ls(&self.snapshot, &self.globs)
    }
}

impl Run<'_> {
    /// Lists the files of a snapshot that match the globs.
    pub(crate) fn ls(&self, wanted: &str, globs: &[String]) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, wanted)?;
        let listed = self.report.ls(&stored, &mut |each| {
            ops::show::matching(&repository, &stored, globs, &self.world, each)
        });
        listed.map_err(|error| {
            if error.kind() == ErrorKind::Usage {
                let hint =
                    format!("quote globs for the shell; haulout ls {wanted} lists all files");
                return Failure::new(error, hint);
            }
            error.into()
        })?;
        Ok(Exit::Done)
    }
}

impl Report {
    /// Prints the report of `ls`; `members` gives one file after the other.
    pub(crate) fn ls(&self, stored: &StoredSnapshot, members: &mut Members<'_>) -> Result<()> {
        match self.format {
            Format::Json => {
                let mut spool = Spool::begin("[")?;
                members(&mut |member| spool.push(&Member::from(&member)))?;
                spool.print("]")
            }
            Format::Text => {
                let mut out = BufWriter::new(io::stdout().lock());
                let format = stored.snapshot.about.format;
                let heading = every_member(None, format, self.canvas);
                let mut headed = false;
                members(&mut |member| {
                    if !std::mem::replace(&mut headed, true) {
                        unless_gone(out.write_all(heading.as_bytes()))?;
                    }
                    let line = every_member(Some(&member), format, self.canvas);
                    unless_gone(out.write_all(line.as_bytes()))
                })?;
                unless_gone(out.flush())
            }
        }
    }
}
