//! The report of `show`: what a snapshot is, how far it can be trusted, what it builds on, and what
//! is in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::io::BufWriter;
use std::io::Write;

use haulout::error::Result;
use haulout::ops::chain::Link;
use haulout::ops::show::MemberLine;
use haulout::ops::verify::LastVerified;
use haulout::repo::Check;
use haulout::repo::Description;
use haulout::repo::Positions;
use haulout::repo::SnapshotDamage;
use haulout::repo::SnapshotKind;
use haulout::repo::StreamFormat;
use haulout::repo::Verdict;
use haulout::repo::damage::KnownDamage;
use haulout::repo::notes::HoldNote;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::shared::num::u64_of;
use haulout::verdict::Outcome;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::findings::lines;
use crate::output::holds;
use crate::output::json::Blocks;
use crate::output::json::Pages;
use crate::output::listed::Listed;
use crate::output::members::MEMBERS;
use crate::output::members::Member;
use crate::output::members::Members;
use crate::output::members::every_member;
use crate::output::members::row;
use crate::output::phrases;
use crate::output::phrases::fact;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;
use crate::output::report::unless_gone;
use crate::output::spool::Spool;
use crate::output::spool::before_list;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Tone;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::text::wrapped;
use crate::output::timefmt;
use crate::output::units;
use crate::output::verified;

/// What is known about a snapshot besides what it says itself.
#[derive(Debug)]
pub(crate) struct Known<'r> {
    /// Damage that verify found.
    pub(crate) damage: &'r KnownDamage,
    /// When it was verified, the deepest first.
    pub(crate) verified: &'r [LastVerified],
    /// The holds that last.
    pub(crate) holds: &'r [HoldNote],
}

impl Report {
    /// Prints the report of `show`; `members` gives one member after the other.
    pub(crate) fn show(
        &self,
        stored: &StoredSnapshot,
        known: &Known<'_>,
        links: &[Link],
        members: &mut Members<'_>,
    ) -> Result<()> {
        match (self.format, self.console.loudness) {
            (Format::Json, _) => show_json(stored, known, members),
            (Format::Text, Loudness::Verbose) => {
                print(&head(stored, known, links, self.canvas))?;
                print(&all_members_heading(stored.snapshot.about.format, self.canvas))?;
                let mut out = BufWriter::new(io::stdout().lock());
                let format = stored.snapshot.about.format;
                members(&mut |member| {
                    let line = every_member(Some(&member), format, self.canvas);
                    unless_gone(out.write_all(line.as_bytes()))
                })?;
                unless_gone(out.flush())
            }
            (Format::Text, Loudness::Quiet | Loudness::Brief | Loudness::Normal) => {
                let mut largest = Largest::default();
                members(&mut |member| {
                    largest.take(member);
                    Ok(())
                })?;
                print(&(head(stored, known, links, self.canvas) + &largest.text(self.canvas)))
            }
        }
    }

    /// Prints the messages of the producer of a snapshot.
    pub(crate) fn producer_log(&self, stored: &StoredSnapshot, log: Option<&str>) -> Result<()> {
        let snapshot = stored.id();
        if self.is_json() {
            return print_json(&Said { snapshot: snapshot.to_string(), log });
        }
        let Some(log) = log else {
            let id = snapshot.short();
            self.console.note(format!(
                "snapshot {id} has no messages of a producer: it said nothing, or its stream came \
                 from a pipe"
            ));
            return Ok(());
        };
        let line = |line: &str| line.split('\t').map(clean).collect::<Vec<_>>().join("\t") + "\n";
        print(&log.lines().map(line).collect::<String>())
    }
}

/// The JSON report of `show --log`.
#[derive(Debug, Serialize)]
struct Said<'r> {
    snapshot: String,
    log: Option<&'r str>,
}

/// Prints the report as JSON through a spool, because members may be many.
fn show_json(stored: &StoredSnapshot, known: &Known<'_>, members: &mut Members<'_>) -> Result<()> {
    let mut spool = Spool::begin(&before_list(&Shown::new(stored, known), "members"))?;
    members(&mut |member| spool.push(&Member::from(&member)))?;
    spool.print("]}")
}

/// The JSON report of `show`, without the members.
#[derive(Debug, Serialize)]
struct Shown<'r> {
    #[serde(flatten)]
    listed: Listed<'r>,
    began: String,
    reasons: &'r [String],
    checks: &'r [Check],
    accepted: &'r [String],
    positions: &'r Positions,
    requires: &'r [String],
    #[serde(rename = "predecessor")]
    parent: &'r Option<String>,
    sequence: u64,
    run: &'r str,
    program: &'r str,
    blocks: Blocks,
    pages: Pages,
}

impl<'r> Shown<'r> {
    /// Creates the report of everything that a snapshot says about itself.
    fn new(stored: &'r StoredSnapshot, known: &Known<'r>) -> Self {
        let about: &Description = &stored.snapshot.about;
        Shown {
            listed: Listed::new(stored.id(), about, known.damage.of(&stored.id()))
                .verified(known.verified)
                .held(known.holds),
            began: timefmt::for_programs(about.started),
            reasons: &about.reasons,
            checks: &about.checks,
            accepted: &about.accepted,
            positions: &about.positions,
            requires: &about.requires,
            parent: &about.parent,
            sequence: about.sequence,
            run: &about.run,
            program: &about.program,
            blocks: (&about.counters).into(),
            pages: (&about.counters).into(),
        }
    }
}

/// Maximum number of members that are shown unless all are wanted.
const MEMBERS_SHOWN: usize = 30;

/// Formats the files that verify found lost or damaged.
fn lost(found: &SnapshotDamage, canvas: Canvas) -> String {
    let line = |named: &String| phrases::told("lost", named, canvas);
    let mut out: String = found.named.iter().map(line).collect();
    let others = found.files.saturating_sub(u64_of(found.named.len()));
    if others > 0 {
        let files = units::counted(others, "other file");
        out += &phrases::told("", &format!("and of {files}: haulout verify lists them"), canvas);
    }
    out
}

/// Formats everything but the members.
fn head(stored: &StoredSnapshot, known: &Known<'_>, links: &[Link], canvas: Canvas) -> String {
    let about = &stored.snapshot.about;
    let kind = match about.kind {
        SnapshotKind::Full => "full",
        SnapshotKind::Incremental => "incremental",
        SnapshotKind::Checkpoint => "checkpoint",
    };
    let heading = |text: &str| format!("{}\n", canvas.paint(Tone::Heading, text));
    let mut out = heading(&format!("snapshot {}", stored.id()));
    out += &fact("source", &about.source);
    let (time, started) = (canvas.time(about.time), canvas.time(about.started));
    out += &fact("time", &format!("{time}, began {started}"));
    out += &fact("format", &format!("{}, {kind}", about.format));
    if !about.tags.is_empty() {
        out += &fact("tags", &about.tags.join(", "));
    }
    out.extend(known.holds.iter().map(|hold| fact("held", &holds::words(hold, canvas))));
    out += &fact("written", &format!("on {}, by {}", about.host, about.program));
    for (number, link) in links.iter().enumerate() {
        let label = if number + 1 == links.len() { "builds on" } else { "before it" };
        out += &fact(label, &link_words(link, canvas));
    }
    let counts = &about.counters;
    out += &fact("stream", &units::size(about.stream_bytes));
    out += &fact("blocks", &phrases::blocks(counts));
    let pages = phrases::pages(
        counts.pages_verified,
        counts.pages_unverifiable,
        counts.pages_corrupt,
        counts.pages_zero,
    );
    if let Some(pages) = pages {
        out += &fact("pages", &pages);
    }
    out += &fact("stored", &units::size(about.stored_bytes));
    out += &fact("verified", &verified::words(known.verified, canvas));

    let verdict = about.verdict.to_string();
    let verdict = canvas.paint(phrases::tone(about.verdict), &verdict);
    out.extend(["\n", &canvas.paint(Tone::Heading, "verdict"), " ", &verdict, "\n"]);
    // What a complete snapshot has to say takes nothing from it.
    let label = if about.verdict == Verdict::Complete { "  note " } else { "  because " };
    for reason in &about.reasons {
        out.extend([label, &wrapped(&clean(reason), label.len(), canvas), "\n"]);
    }
    out += &lines(&about.findings, about.more_findings, canvas);
    if let Some(found) = known.damage.of(&stored.id()) {
        out += &lost(found, canvas);
    }
    if !about.accepted.is_empty() {
        out += &fact("accepted", &about.accepted.join(", "));
    }
    out += &checklist(&about.checks, canvas);
    let positions = positions(&about.positions);
    if !positions.is_empty() {
        out.extend(["\n", &heading("positions"), &positions]);
    }
    out
}

/// Describes a snapshot that this one can't be restored without.
fn link_words(link: &Link, canvas: Canvas) -> String {
    let Some(stored) = &link.stored else {
        return format!("{}, which is missing or damaged", link.id);
    };
    let about = &stored.snapshot.about;
    let (id, time) = (stored.id().short(), canvas.time(about.time));
    let kind = if about.kind == SnapshotKind::Incremental { "increment" } else { "full" };
    let lsn = about.positions.to_lsn.map_or(String::new(), |lsn| format!(", up to LSN {lsn}"));
    format!("{id} ({kind}, {time}{lsn})")
}

fn checklist(checks: &[Check], canvas: Canvas) -> String {
    let widest = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let line = |check: &Check| {
        let (mark, tone) = match Outcome::parse(&check.outcome) {
            Some(Outcome::Passed) => ("[ok]", Tone::Good),
            Some(Outcome::Failed) => ("[!!]", Tone::Bad),
            Some(Outcome::Skipped) => ("[--]", Tone::Plain),
            Some(Outcome::Unknown) | None => ("[??]", Tone::Doubtful),
        };
        let name = clean(&check.name);
        let detail = wrapped(&clean(&check.detail), widest + "  [ok]   ".len(), canvas);
        format!("  {} {name:<widest$}  {detail}\n", canvas.paint(tone, mark))
    };
    checks.iter().map(line).collect()
}

fn positions(positions: &Positions) -> String {
    let Positions {
        backup_type,
        from_lsn,
        to_lsn,
        last_lsn,
        binlog_file,
        binlog_position,
        gtid,
        galera,
        server_version,
        tool_version,
        start_time,
        end_time,
        page_size,
    } = positions;
    let lsn = |value: &Option<u64>| value.map_or("?".to_owned(), |lsn| lsn.to_string());
    let mut out = String::new();
    let mut add = |label: &str, value: Option<String>| {
        out += &value.map_or(String::new(), |value| fact(label, &value));
    };
    add("type", backup_type.clone());
    let any_lsn = from_lsn.or(*to_lsn).or(*last_lsn);
    add(
        "LSN",
        any_lsn.map(|_| {
            let (from, to, last) = (lsn(from_lsn), lsn(to_lsn), lsn(last_lsn));
            format!("pages from {from} to {to}, redo log up to {last}")
        }),
    );
    add(
        "binlog",
        binlog_file.as_ref().map(|file| match binlog_position {
            Some(position) => format!("{file}, position {position}"),
            None => file.clone(),
        }),
    );
    add("GTID", gtid.clone());
    add("Galera", galera.clone());
    add("server", server_version.clone());
    add("tool", tool_version.clone());
    // The producer writes the clock of its host, and not its zone.
    let by_server = |time: &Option<String>| {
        time.as_ref().map(|time| format!("{time}, in the time zone of the server"))
    };
    add("began", by_server(start_time));
    add("ended", by_server(end_time));
    add("page size", page_size.map(|bytes| format!("{} KiB", bytes / 1024)));
    out
}

/// The largest of any number of members, in little memory.
#[derive(Debug, Default)]
struct Largest {
    kept: BinaryHeap<Reverse<BySize>>,
    seen: u64,
}

/// A member, ordered by its size.
#[derive(Debug)]
struct BySize(MemberLine);

impl BySize {
    fn key(&self) -> (u64, Reverse<(&str, u32)>) {
        (self.0.bytes, Reverse((self.0.path.as_str(), self.0.incarnation)))
    }
}

impl PartialEq for BySize {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for BySize {}

impl PartialOrd for BySize {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BySize {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Largest {
    /// Adds a member, and drops the smallest if there are too many.
    fn take(&mut self, member: MemberLine) {
        self.seen += 1;
        self.kept.push(Reverse(BySize(member)));
        if self.kept.len() > MEMBERS_SHOWN {
            self.kept.pop();
        }
    }

    /// Formats the largest members, the largest first.
    fn text(self, canvas: Canvas) -> String {
        let mut out = format!("\n{}", canvas.paint(Tone::Heading, "files"));
        let shown = self.kept.len();
        if u64::try_from(shown).is_ok_and(|shown| shown < self.seen) {
            let all = units::count(self.seen);
            out.extend([", the ", &shown.to_string(), " largest of ", &all, " (all with -v)"]);
        }
        out.push('\n');
        let rows: Vec<Vec<Cell>> =
            self.kept.into_sorted_vec().iter().map(|Reverse(BySize(member))| row(member)).collect();
        out + &table(&MEMBERS, &rows, canvas)
    }
}

/// Formats the heading of a list of all members.
fn all_members_heading(format: StreamFormat, canvas: Canvas) -> String {
    let heading = canvas.paint(Tone::Heading, "files");
    format!("\n{heading}\n{}", every_member(None, format, canvas))
}

#[cfg(test)]
mod tests {
    use haulout::repo::PageCounts;

    use super::*;

    fn member(path: &str, bytes: u64) -> MemberLine {
        MemberLine {
            path: path.to_owned(),
            incarnation: 0,
            bytes,
            format: String::new(),
            pages: PageCounts::default(),
            closed: true,
        }
    }

    #[test]
    fn the_largest_members_come_first_whatever_their_order() {
        let mut largest = Largest::default();
        for number in 0..100 {
            largest.take(member(&format!("t{}", number * 37 % 100), number * 37 % 100));
        }
        let text = largest.text(Canvas::FILE);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "files, the 30 largest of 100 (all with -v)");
        assert_eq!(lines.len(), 3 + MEMBERS_SHOWN);
        assert!(lines[3].trim_start().starts_with("99 B") && lines[3].ends_with("t99"), "{text}");
        assert!(lines[32].ends_with("t70"), "{text}");
    }

    #[test]
    fn positions_that_are_not_known_are_left_out() {
        assert_eq!(positions(&Positions::default()), "");
        let some = Positions {
            to_lsn: Some(7),
            binlog_file: Some("b.1".to_owned()),
            ..Positions::default()
        };
        assert_eq!(
            positions(&some),
            "  LSN       pages from ? to 7, redo log up to ?\n  binlog    b.1\n"
        );
    }
}
