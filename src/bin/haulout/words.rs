//! Results as people read them: each function turns one report into text.

use std::time::Duration;

use haulout::base::monitor::Counts;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupReport;
use haulout::ops::verify::Finding;
use haulout::ops::verify::VerifyReport;
use haulout::repo::snapshots::StoredSnapshot;

use crate::moment;
use crate::text::Canvas;
use crate::text::Cell;
use crate::text::Column;
use crate::text::Narrow;
use crate::text::Side;
use crate::text::Tone;
use crate::text::clean;
use crate::text::table;
use crate::units;

/// Columns that labels are wide.
const LABEL_COLUMNS: usize = 10;

/// A line `  label     text`.
pub(crate) fn fact(label: &str, text: &str) -> String {
    format!("  {label:<LABEL_COLUMNS$}{}\n", clean(text))
}

/// How good a verdict is.
pub(crate) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Complete => Tone::Good,
        Verdict::Unattested => Tone::Doubtful,
        Verdict::CorruptPages | Verdict::Partial => Tone::Bad,
    }
}

/// How the blocks of a run were stored.
pub(crate) fn blocks(counts: &Counts) -> String {
    let Counts { blocks_zero, blocks_same, blocks_delta, blocks_whole, .. } = *counts;
    let all = blocks_zero + blocks_same + blocks_delta + blocks_whole;
    let mut parts = vec![
        format!("{} same", units::share(blocks_same, all)),
        format!("{} changed", units::share(blocks_delta, all)),
        format!("{} new", units::share(blocks_whole, all)),
        format!("{} zero", units::share(blocks_zero, all)),
    ];
    if counts.blocks_missed > 0 {
        parts.push(format!("{} stored whole for want of time", units::count(counts.blocks_missed)));
    }
    if counts.blocks_healed > 0 {
        parts.push(format!("{} healed", units::count(counts.blocks_healed)));
    }
    format!("{} of {}", parts.join(", "), units::counted(all, "block"))
}

/// What the checks of pages said; nothing if there were none.
pub(crate) fn pages(verified: u64, unverifiable: u64, corrupt: u64, zero: u64) -> Option<String> {
    if verified + unverifiable + corrupt + zero == 0 {
        return None;
    }
    Some(format!(
        "{} verified, {} unverifiable, {} corrupt, {} empty",
        units::count(verified),
        units::count(unverifiable),
        units::count(corrupt),
        units::count(zero)
    ))
}

/// What came of a backup.
pub(crate) fn backup(report: &BackupReport, canvas: Canvas, time: Duration, peak: u64) -> String {
    let BackupReport { id, about, counts, .. } = report;
    let verdict = about.verdict.to_string();
    let mut out = format!(
        "snapshot {} of {}: {}\n",
        id.short(),
        clean(&about.source),
        canvas.paint(tone(about.verdict), &verdict)
    );
    for reason in &about.reasons {
        out += &fact("because", reason);
    }
    let stream = format!(
        "{} in {}, {}, {}",
        units::size(counts.stream_bytes),
        units::counted(counts.members, "file"),
        units::span(time),
        units::rate(counts.stream_bytes, time)
    );
    out += &fact("stream", &stream);
    out += &fact("blocks", &blocks(counts));
    let pages = pages(
        counts.pages_verified,
        counts.pages_unverifiable,
        counts.pages_corrupt,
        counts.pages_zero,
    );
    if let Some(pages) = pages {
        out += &fact("pages", &pages);
    }
    let stored = format!(
        "{} in {}, {} of the stream",
        units::size(counts.stored_bytes),
        units::counted(counts.stored_objects, "object"),
        units::share(counts.stored_bytes, counts.stream_bytes)
    );
    out += &fact("stored", &stored);
    out + &fact("memory", &format!("{} at most", units::size(peak)))
}

const LISTING: [Column; 8] = [
    Column { title: "ID", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Clip(16) },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
    Column { title: "VERDICT", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "STORED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "FORMAT", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "TAGS", side: Side::Left, narrow: Narrow::Cut(6) },
];

/// The listing of snapshots.
pub(crate) fn snapshots(listed: &[StoredSnapshot], canvas: Canvas) -> String {
    let row = |stored: &StoredSnapshot| {
        let about = &stored.snapshot.about;
        vec![
            stored.id().short().into(),
            moment::for_people(about.time).into(),
            about.source.as_str().into(),
            Cell::toned(about.verdict.to_string(), tone(about.verdict)),
            units::size(about.stream_bytes).into(),
            units::size(about.stored_bytes).into(),
            about.format.to_string().into(),
            about.tags.join(", ").into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    table(&LISTING, &rows, canvas)
}

/// A finding in one line.
pub(crate) fn finding(finding: &Finding) -> String {
    let mut where_to = Vec::new();
    if let Some(id) = finding.snapshot {
        where_to.push(format!("snapshot {}", id.short()));
    }
    where_to.extend(finding.member.clone());
    if !finding.pages.is_empty() {
        where_to.push(ranges(&finding.pages));
    }
    if where_to.is_empty() {
        return clean(&finding.what).into_owned();
    }
    clean(&format!("{}: {}", where_to.join(", "), finding.what)).into_owned()
}

/// `blocks 5, 7 to 9`.
fn ranges(ranges: &[(u64, u64)]) -> String {
    const NAMED_MAX: usize = 8;
    let one = |&(first, count): &(u64, u64)| match count {
        0 | 1 => first.to_string(),
        _ => format!("{first} to {}", first + count - 1),
    };
    let named: Vec<String> = ranges.iter().take(NAMED_MAX).map(one).collect();
    let more = if ranges.len() > NAMED_MAX { " and more" } else { "" };
    let noun = if matches!(ranges, [(_, 0 | 1)]) { "block" } else { "blocks" };
    format!("{noun} {}{more}", named.join(", "))
}

/// What came of a verification, without the findings.
pub(crate) fn verification(report: &VerifyReport, canvas: Canvas, time: Duration) -> String {
    let findings = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    let (tone, found) = match findings {
        0 => (Tone::Good, "nothing is wrong".to_owned()),
        _ => (Tone::Bad, units::counted(findings, "finding")),
    };
    let mut out = format!(
        "verified {}: {}\n",
        units::counted(report.snapshots, "snapshot"),
        canvas.paint(tone, &found)
    );
    let objects = format!(
        "{}, {} in {}, {}",
        units::counted(report.objects, "object"),
        units::size(report.bytes),
        units::span(time),
        units::rate(report.bytes, time)
    );
    out += &fact("objects", &objects);
    if report.blocks > 0 {
        out += &fact("blocks", &units::count(report.blocks));
    }
    let counts = &report.pages;
    if let Some(pages) = pages(counts.verified, counts.unverifiable, counts.corrupt, counts.zero) {
        out += &fact("pages", &pages);
    }
    if report.recorded > 0 {
        let text = format!(
            "{}; the next backup of the source stores again what it still has",
            units::counted(report.recorded, "damage record")
        );
        out += &fact("recorded", &text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_snapshot_file_and_blocks() {
        let mut found = Finding {
            snapshot: None,
            member: None,
            pages: Vec::new(),
            what: "pack 77b0 is missing".to_owned(),
        };
        assert_eq!(finding(&found), "pack 77b0 is missing");
        found.member = Some("app/t\n1.ibd".to_owned());
        found.pages = vec![(5, 1), (7, 3)];
        assert_eq!(finding(&found), "app/t\\n1.ibd, blocks 5, 7 to 9: pack 77b0 is missing");
        found.pages = vec![(5, 1)];
        assert_eq!(finding(&found), "app/t\\n1.ibd, block 5: pack 77b0 is missing");
        found.pages = vec![(5, 1); 20];
        assert!(finding(&found).contains("5 and more"));
    }

    #[test]
    fn shares_of_blocks_are_told_with_what_is_odd() {
        let counts = Counts {
            blocks_same: 93,
            blocks_delta: 6,
            blocks_zero: 1,
            blocks_healed: 2,
            ..Counts::default()
        };
        assert_eq!(
            blocks(&counts),
            "93.0 % same, 6.0 % changed, 0.0 % new, 1.0 % zero, 2 healed of 100 blocks"
        );
    }
}
