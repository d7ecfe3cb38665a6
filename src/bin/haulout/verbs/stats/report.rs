//! The report of `stats`: what the repository holds and what every night added, or what one
//! snapshot added, by table.

use haulout::error::Result;
use haulout::ops::stats::Holdings;
use haulout::ops::stats::summary::AddedBytes;
use haulout::ops::stats::summary::SourceTotals;
use haulout::ops::stats::summary::TableShare;
use haulout::ops::stats::summary::by_source;
use haulout::ops::tables::Grouping;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::inventory::Objects;
use haulout::repo::snapshots::Listing;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::output::features::bits;
use crate::output::features::lines;
use crate::output::grouping::heading;
use crate::output::grouping::title;
use crate::output::json::Blocks;
use crate::output::listed::Listed;
use crate::output::phrases::fact;
use crate::output::phrases::tone;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::text::table;
use crate::output::timefmt;
use crate::output::units;

/// Maximum number of nights and tables that are shown; `--json` has all.
const SHOWN: usize = 30;

#[derive(Debug, Clone, Copy, Serialize)]
struct Held {
    objects: u64,
    bytes: u64,
}

impl From<Objects> for Held {
    fn from(Objects { count, bytes }: Objects) -> Self {
        Self { objects: count, bytes }
    }
}

/// The JSON report of `stats` without a snapshot.
#[derive(Debug, Serialize)]
struct Stats<'r> {
    /// The numbers of the required feature bits.
    features: Vec<u32>,
    all: Held,
    data_packs: Held,
    meta_packs: Held,
    snapshot_objects: Held,
    other: Held,
    sources: Vec<Source>,
    snapshots: Vec<Night<'r>>,
}

/// The JSON report of the totals of one source.
#[derive(Debug, Serialize)]
struct Source {
    #[serde(rename = "source")]
    name: String,
    snapshots: u64,
    first: String,
    last: String,
    stream_bytes: u64,
    stored_bytes: u64,
}

impl From<SourceTotals> for Source {
    fn from(totals: SourceTotals) -> Self {
        let SourceTotals { name, snapshots, first, last, stream_bytes, stored_bytes } = totals;
        let (first, last) = (timefmt::for_programs(first), timefmt::for_programs(last));
        Self { name, snapshots, first, last, stream_bytes, stored_bytes }
    }
}

/// A snapshot, and what its run added.
#[derive(Debug, Serialize)]
struct Night<'r> {
    #[serde(flatten)]
    listed: Listed<'r>,
    blocks: Blocks,
    delta_bytes: u64,
    moved_bytes: u64,
    candidates_read: u64,
    whole_bytes: u64,
}

/// The JSON report of `stats` with a snapshot.
#[derive(Debug, Serialize)]
struct Added<'r> {
    snapshot: String,
    source: &'r str,
    stream_bytes: u64,
    stored_bytes: u64,
    meta_bytes: u64,
    tables: &'r [TableShare],
}

impl Report {
    /// Prints the report of `stats` without a snapshot.
    pub(crate) fn stats(
        &self,
        features: Features,
        held: &Holdings,
        listing: &Listing,
    ) -> Result<()> {
        for (name, error) in &listing.damaged {
            let id = name.id.short();
            self.console.warning(format!("snapshot {id}: {}", error.with_causes()));
        }
        match self.format {
            Format::Json => print_json(&Stats {
                features: bits(features),
                all: held.all().into(),
                data_packs: held.data_packs.into(),
                meta_packs: held.meta_packs.into(),
                snapshot_objects: held.snapshots.into(),
                other: held.other.into(),
                sources: by_source(&listing.snapshots).into_iter().map(Source::from).collect(),
                snapshots: listing.snapshots.iter().map(night).collect(),
            }),
            Format::Text => print(&text(features, held, listing, self.canvas)),
        }
    }

    /// Prints the report of `stats` with a snapshot.
    pub(crate) fn snapshot_stats(&self, stored: &StoredSnapshot, added: &AddedBytes) -> Result<()> {
        let about = &stored.snapshot.about;
        match self.format {
            Format::Json => print_json(&Added {
                snapshot: stored.id().to_string(),
                source: &about.source,
                stream_bytes: about.stream_bytes,
                stored_bytes: about.stored_bytes,
                meta_bytes: added.meta_bytes,
                tables: &added.tables,
            }),
            Format::Text => print(&tables_text(stored, added, self.canvas)),
        }
    }
}

fn night(stored: &StoredSnapshot) -> Night<'_> {
    let counters = &stored.snapshot.about.counters;
    Night {
        listed: Listed::new(stored.id(), &stored.snapshot.about, None),
        blocks: counters.into(),
        delta_bytes: counters.delta_bytes,
        moved_bytes: counters.moved_bytes,
        candidates_read: counters.candidates_read,
        whole_bytes: counters.whole_bytes,
    }
}

const NIGHTS: [Column; 9] = [
    Column { title: "ID", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Seconds },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
    Column { title: "VERDICT", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Hide },
    Column { title: "ADDED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "CHANGED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "MOVED", side: Side::Right, narrow: Narrow::Hide },
    Column { title: "NEW", side: Side::Right, narrow: Narrow::Hide },
];

fn row_of_night(stored: &StoredSnapshot, canvas: Canvas) -> Vec<Cell> {
    let about = &stored.snapshot.about;
    let counts = &about.counters;
    let all = counts.blocks();
    vec![
        stored.id().short().into(),
        canvas.time(about.time).into(),
        about.source.as_str().into(),
        Cell::toned(about.verdict.to_string(), tone(about.verdict)),
        units::size(about.stream_bytes).into(),
        units::size(about.stored_bytes).into(),
        units::share(counts.blocks_delta, all).into(),
        units::share(counts.blocks_moved, all).into(),
        units::share(counts.blocks_whole, all).into(),
    ]
}

const SOURCES: [Column; 5] = [
    Column { title: "SNAPSHOTS", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "ADDED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "LAST", side: Side::Left, narrow: Narrow::Seconds },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
];

fn row_of_source(source: &SourceTotals) -> Vec<Cell> {
    vec![
        units::count(source.snapshots).into(),
        units::size(source.stream_bytes).into(),
        units::size(source.stored_bytes).into(),
        timefmt::for_programs(source.last).replace('T', " ").into(),
        source.name.as_str().into(),
    ]
}

fn text(features: Features, held: &Holdings, listing: &Listing, canvas: Canvas) -> String {
    let all = held.all();
    let painted = |text: &str| canvas.paint(Tone::Heading, text).into_owned();
    let summed = |objects: Objects| {
        format!("{} in {}", units::size(objects.bytes), units::counted(objects.count, "object"))
    };
    let mut out = format!("{}\n", painted("repository"));
    out += &fact("holds", &summed(all));
    out += &fact("blocks", &summed(held.data_packs));
    out += &fact("maps", &summed(held.meta_packs));
    out += &fact("snapshots", &summed(held.snapshots));
    out += &fact("other", &summed(held.other));
    out += &lines(features);
    if FEATURES_MADE.without(features) != Features::NONE {
        out += &fact("upgrade", "an earlier version made it: haulout upgrade --plan");
    }
    let streams: u64 = listing.snapshots.iter().map(|s| s.snapshot.about.stream_bytes).sum();
    if streams > 0 {
        let share = units::share(all.bytes, streams);
        out += &fact("streams", &format!("{}, of which that is {share}", units::size(streams)));
    }
    if listing.snapshots.is_empty() {
        return out;
    }
    let rows: Vec<Vec<Cell>> = by_source(&listing.snapshots).iter().map(row_of_source).collect();
    out.extend(["\n", &painted("sources"), "\n", &table(&SOURCES, &rows, canvas)]);
    let count = listing.snapshots.len();
    let of = if count > SHOWN {
        format!(", the last {SHOWN} of {count} (all with --json)")
    } else {
        String::new()
    };
    out.extend(["\n", &painted("snapshots"), &of, "\n"]);
    let last = &listing.snapshots[count.saturating_sub(SHOWN)..];
    let rows: Vec<Vec<Cell>> = last.iter().map(|stored| row_of_night(stored, canvas)).collect();
    out + &table(&NIGHTS, &rows, canvas)
}

const TABLES: [Column; 5] = [
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Hide },
    Column { title: "BLOCKS", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "CHANGED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "ADDED", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "TABLE", side: Side::Left, narrow: Narrow::Cut(20) },
];

fn tables_text(stored: &StoredSnapshot, added: &AddedBytes, canvas: Canvas) -> String {
    let AddedBytes { meta_bytes, tables, unchanged } = added;
    let about = &stored.snapshot.about;
    let head = format!("snapshot {} of {}", stored.id().short(), about.source);
    let mut out = format!("{}\n", canvas.paint(Tone::Heading, &head));
    out += &fact("stream", &units::size(about.stream_bytes));
    out += &fact("added", &units::size(about.stored_bytes));
    out += &fact("maps", &format!("{} of it", units::size(*meta_bytes)));
    if unchanged.files > 0 {
        let files = units::counted(unchanged.files, "file");
        out += &fact("unchanged", &format!("{files} of {}", units::size(unchanged.bytes)));
    }
    if tables.is_empty() {
        return out;
    }
    let grouping = Grouping::of(about.format);
    let all = tables.len();
    let of = if all > SHOWN {
        format!(", the {SHOWN} that added most of {all} (all with --json)")
    } else {
        String::new()
    };
    out.extend(["\n", &canvas.paint(Tone::Heading, heading(grouping)), &of, "\n"]);
    let row = |table: &TableShare| {
        vec![
            units::size(table.bytes).into(),
            units::count(table.blocks).into(),
            units::size(table.raw_bytes).into(),
            units::size(table.stored_bytes).into(),
            table.name.as_str().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = tables.iter().take(SHOWN).map(row).collect();
    let mut columns = TABLES;
    columns[TABLES.len() - 1].title = title(grouping);
    out + &table(&columns, &rows, canvas)
}
