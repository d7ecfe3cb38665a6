//! The report of `snapshots`.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::base::ids::SnapshotId;
use haulout::format::snapshot::Description;
use haulout::format::snapshot::Finding;
use haulout::format::snapshot::SnapshotKind;
use haulout::format::snapshot::StreamFormat;
use haulout::format::snapshot::Verdict;
use haulout::format::snapshot_damage::SnapshotDamage;
use haulout::repo::damage::KnownDamage;
use haulout::repo::snapshots::Described;
use haulout::repo::snapshots::Listing;

use crate::tell::phrases::tone;
use crate::tell::report::Format;
use crate::tell::report::Report;
use crate::tell::report::print;
use crate::tell::report::print_json;
use crate::tell::text::Canvas;
use crate::tell::text::Cell;
use crate::tell::text::Column;
use crate::tell::text::Narrow;
use crate::tell::text::Side;
use crate::tell::text::Tone;
use crate::tell::text::table;
use crate::tell::timefmt;
use crate::tell::units;

impl Report {
    /// Prints the report of `snapshots`.
    pub(crate) fn snapshots(
        &self,
        listing: &Listing<Described>,
        damage: &KnownDamage,
    ) -> Result<()> {
        let Listing { snapshots, damaged, overtaken } = listing;
        for (name, error) in overtaken {
            let id = name.id.short();
            self.console.note(format!("snapshot {id} is passed over, with later ones: {error}"));
        }
        for (name, error) in damaged {
            let causes = error.causes().join(": ");
            self.console.warning(format!("snapshot {}: {error}: {causes}", name.id.short()));
        }
        match self.format {
            Format::Json => {
                let listed = snapshots
                    .iter()
                    .map(|stored| Listed::new(stored.id(), &stored.about, damage.of(&stored.id())));
                print_json(&listed.collect::<Vec<_>>())
            }
            Format::Text if snapshots.is_empty() => {
                self.console.note("there are no snapshots");
                Ok(())
            }
            Format::Text => print(&text(snapshots, damage, self.canvas)),
        }
    }
}

/// The JSON report of one snapshot of `snapshots`.
#[derive(Debug, Serialize)]
pub(crate) struct Listed<'r> {
    id: String,
    source: &'r str,
    time: String,
    time_unix: u64,
    format: StreamFormat,
    kind: SnapshotKind,
    verdict: Verdict,
    findings: &'r [Finding],
    more_findings: u64,
    stream_bytes: u64,
    stored_bytes: u64,
    tags: &'r [String],
    host: &'r str,
    /// Damage of the snapshot that verify found, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<Damage<'r>>,
}

/// Known damage of a snapshot.
#[derive(Debug, Serialize)]
struct Damage<'r> {
    files: u64,
    named: &'r [String],
}

impl<'r> Listed<'r> {
    /// Creates the report of one snapshot of a listing.
    pub(crate) fn new(
        id: SnapshotId,
        about: &'r Description,
        damage: Option<&'r SnapshotDamage>,
    ) -> Listed<'r> {
        Listed {
            id: id.to_string(),
            source: &about.source,
            time: timefmt::for_programs(about.time),
            time_unix: about.time,
            format: about.format,
            kind: about.kind,
            verdict: about.verdict,
            findings: &about.findings,
            more_findings: about.more_findings,
            stream_bytes: about.stream_bytes,
            stored_bytes: about.stored_bytes,
            tags: &about.tags,
            host: &about.host,
            damage: damage.map(|found| Damage { files: found.files, named: &found.named }),
        }
    }
}

const LISTING: [Column; 8] = [
    Column { title: "ID", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Seconds },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
    Column { title: "VERDICT", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "STORED", side: Side::Right, narrow: Narrow::Hide },
    Column { title: "TAGS", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "FORMAT", side: Side::Left, narrow: Narrow::Hide },
];

/// Formats the listing of snapshots for people.
fn text(listed: &[Described], damage: &KnownDamage, canvas: Canvas) -> String {
    let is_damaged = |stored: &Described| damage.of(&stored.id()).is_some();
    let row = |stored: &Described| {
        let about = &stored.about;
        vec![
            stored.id().short().into(),
            canvas.time(about.time).into(),
            about.source.as_str().into(),
            if is_damaged(stored) {
                Cell::toned(format!("{} !", about.verdict), Tone::Bad)
            } else {
                verdict(about)
            },
            units::size(about.stream_bytes).into(),
            units::size(about.stored_bytes).into(),
            about.tags.join(", ").into(),
            about.format.to_string().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    let mut out = table(&LISTING, &rows, canvas);
    if listed.iter().any(|stored| stored.about.warnings() > 0) {
        out += "* with warnings: haulout show ID lists them\n";
    }
    if listed.iter().any(is_damaged) {
        out += "! known damage: haulout show ID tells what is lost\n";
    }
    out
}

/// Returns the cell of the verdict, with a mark if there are warnings.
fn verdict(about: &Description) -> Cell {
    match (about.verdict, about.warnings()) {
        (verdict, 0) => Cell::toned(verdict.to_string(), tone(verdict)),
        (Verdict::Complete, _) => Cell::toned("complete *", Tone::Doubtful),
        (verdict, _) => Cell::toned(format!("{verdict} *"), tone(verdict)),
    }
}
