//! `tag`: changes the tags of a snapshot.

use clap::Args;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::tag::TAGS_MAX;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::TagReport;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::tag;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db tag latest --add before-upgrade
  haulout -r /backup/db tag 3fa9c1 --remove nightly --add keep";

/// Attach tags to a snapshot, or remove them
///
/// Without --add and --remove, shows the tags that it has. The snapshot itself never changes: a
/// note about it is stored beside it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct TagArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// A tag to attach; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) add: Vec<String>,

    /// A tag to remove; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) remove: Vec<String>,
}

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
        let report = ops::tag::tag(&repository, &stored, change, &self.world).map_err(|error| {
            if error.kind() == ErrorKind::Usage {
                return Failure::new(error, format!("keep at most {TAGS_MAX}: take some off"));
            }
            error.into()
        })?;
        self.report.tag(&stored, &report)?;
        Ok(Exit::Done)
    }
}

/// The JSON report of `tag`.
#[derive(Debug, Serialize)]
struct Tagged<'r> {
    snapshot: String,
    tags: &'r [String],
    added: &'r [String],
    removed: &'r [String],
}

impl Report {
    /// Prints the report of `tag`.
    pub(crate) fn tag(&self, stored: &StoredSnapshot, report: &TagReport) -> Result<()> {
        let TagReport { tags, added, removed } = report;
        let tagged = Tagged { snapshot: stored.id().to_string(), tags, added, removed };
        self.result(&tagged, || {
            let id = stored.id().short();
            let now = match tags.as_slice() {
                [] => "has no tags".to_owned(),
                [tag] => format!("has the tag {tag}"),
                several => format!("has the tags {}", several.join(", ")),
            };
            format!("snapshot {id} {}\n", clean(&now))
        })
    }
}
