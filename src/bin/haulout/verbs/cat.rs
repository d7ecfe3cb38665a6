//! `cat`: writes one file of a snapshot to standard output.

use std::io::Write;

use clap::Args;
use haulout::error::ErrorKind;
use haulout::ops;
use haulout::ops::cat::CatOptions;

use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::stdout::not_written;
use crate::output::stdout::standard_output;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db cat latest xtrabackup_info
  haulout -r /backup/db cat shop@latest shop/orders.ibd > t.ibd

Every block is verified before it is written. A failure may come late: look at the \
exit status.";

/// Write one file of a snapshot to standard output
///
/// The file is what `restore --to` would make of it. A stream that was not taken apart has one
/// file, called `stream`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct CatArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// The path of the file, as `ls` shows it
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

impl CatArguments {
    /// Returns the arguments if the file can be written to standard output.
    pub(crate) fn checked(self, common: &Common, around: &Surroundings<'_>) -> Outcome<Self> {
        if common.json {
            return Err(Failure::usage(
                "the file is on standard output, where --json would be",
                "leave --json out and look at the exit status; haulout ls --json tells about files",
            ));
        }
        around.require_stdout()?;
        Ok(self)
    }
}

impl Job for CatArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.cat(&self.snapshot, &self.file)
    }
}

impl Run<'_> {
    /// Writes a file of a snapshot to standard output.
    pub(crate) fn cat(&self, wanted: &str, file: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, wanted)?;
        let mut out = standard_output()?;
        let wanted_file = CatOptions { path: file, workers: self.settings.at_once.workers };
        ops::cat::cat(&repository, &stored, &wanted_file, &mut out, &self.world).map_err(
            |error| {
                if error.kind() == ErrorKind::Usage {
                    let hint = format!("haulout ls {wanted} lists its files");
                    return Failure::new(error, hint);
                }
                error.into()
            },
        )?;
        out.flush().map_err(not_written)?;
        Ok(Exit::Done)
    }
}
