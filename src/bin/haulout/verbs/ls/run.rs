//! Lists the files of a snapshot.

use haulout::base::error::ErrorKind;
use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::ls::args::LsArguments;

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
            ops::show::matching(&repository, &stored, globs, &self.monitor, each)
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
