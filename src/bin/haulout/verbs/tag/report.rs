//! The report of `tag`.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::ops::tag::TagReport;
use haulout::repo::snapshots::StoredSnapshot;

use crate::tell::report::Report;
use crate::tell::text::clean;

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
