//! Damage that was found in a repository, as a line and in JSON.

use haulout::ops::verify::Finding;
use haulout::ops::verify::Unit;
use serde::Serialize;

use crate::output::text::clean;

/// The JSON report of one finding of `verify`.
#[derive(Debug, Serialize)]
pub(crate) struct Found<'r> {
    snapshot: Option<String>,
    member: Option<&'r str>,
    /// The unit in which the ranges count.
    unit: &'static str,
    /// First page or byte, and number of pages or bytes.
    ranges: Vec<Range>,
    what: &'r str,
}

#[derive(Debug, Serialize)]
struct Range {
    first: u64,
    count: u64,
}

impl<'r> From<&'r Finding> for Found<'r> {
    fn from(finding: &'r Finding) -> Self {
        let range = |&(first, count): &(u64, u64)| Range { first, count };
        Found {
            snapshot: finding.snapshot.map(|id| id.to_string()),
            member: finding.member.as_deref(),
            unit: match finding.unit {
                Unit::Pages => "pages",
                Unit::Bytes => "bytes",
            },
            ranges: finding.ranges.iter().map(range).collect(),
            what: &finding.what,
        }
    }
}

/// Formats a finding in one line.
pub(crate) fn finding(finding: &Finding) -> String {
    let words = finding.in_words();
    let joint = if finding.member.is_some() { ", " } else { ": " };
    let line = match finding.snapshot {
        Some(id) => format!("snapshot {}{joint}{words}", id.short()),
        None => words,
    };
    clean(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    use haulout::repo::SnapshotId;

    #[test]
    fn a_finding_is_a_line_that_begins_with_its_snapshot() {
        let what = "pack 77b0 is missing".to_owned();
        let mut found = Finding { what, ..Finding::default() };
        assert_eq!(finding(&found), "pack 77b0 is missing");
        found.snapshot = Some(SnapshotId([0xab; 32]));
        assert_eq!(finding(&found), "snapshot ababababab: pack 77b0 is missing");
        found.member = Some("app/t\n1.ibd".to_owned());
        (found.unit, found.ranges) = (Unit::Pages, vec![(5, 1), (7, 3)]);
        let line = "snapshot ababababab, app/t\\n1.ibd, pages 5, 7 to 9: pack 77b0 is missing";
        assert_eq!(finding(&found), line);
    }
}
