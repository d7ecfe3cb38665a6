//! Changes the tags of a snapshot.

use haulout::base::error::ErrorKind;
use haulout::ops;
use haulout::ops::tag::TAGS_MAX;
use haulout::ops::tag::TagChange;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::tag::args::TagArguments;

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
    pub(crate) fn tag(&self, wanted: &str, change: &TagChange) -> Outcome<Exit> {
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
