//! Changes the tags of a snapshot.

use haulout::base::error::ErrorKind;
use haulout::ops;
use haulout::ops::tag::TAGS_MAX;
use haulout::ops::tag::TagChange;

use crate::args::tag::TagArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::job::Job;
use crate::run::Run;
use crate::traits::Effect;
use crate::traits::Traits;

impl Job for TagArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        let change = TagChange { add: self.add.clone(), remove: self.remove.clone() };
        run.tag(&self.snapshot, &change)
    }
}

impl Run<'_> {
    /// Changes the tags of a snapshot and prints them.
    pub(super) fn tag(&self, wanted: &str, change: &TagChange) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, wanted)?;
        let now = self.report.clock.unix_seconds();
        let report = ops::tag::tag(&repository, &stored, change, now).map_err(|error| {
            if error.kind() == ErrorKind::Usage {
                return Failure::new(error, format!("keep at most {TAGS_MAX}: take some off"));
            }
            error.into()
        })?;
        self.report.tag(&stored, &report)?;
        Ok(Exit::Done)
    }
}
