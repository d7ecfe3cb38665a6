//! Writes a file of a snapshot to standard output.

use std::io::Write;

use haulout::base::error::ErrorKind;
use haulout::ops;
use haulout::ops::cat::CatOptions;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::run::Run;
use crate::run::restore::not_written;
use crate::run::restore::standard_output;

impl Run<'_> {
    /// Writes a file of a snapshot to standard output.
    pub(super) fn cat(&self, wanted: &str, file: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, wanted)?;
        let mut out = standard_output()?;
        let wanted_file = CatOptions { path: file, workers: self.plan.at_once.workers };
        ops::cat::cat(&repository, &stored, &wanted_file, &mut out, &self.monitor).map_err(
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
