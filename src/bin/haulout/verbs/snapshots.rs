//! `snapshots`: lists the snapshots.

use std::collections::BTreeMap;
use std::collections::HashMap;

use clap::Args;
use haulout::error::Result;
use haulout::ops::verify::History;
use haulout::repo::Description;
use haulout::repo::SnapshotId;
use haulout::repo::Verdict;
use haulout::repo::damage::KnownDamage;
use haulout::repo::notes::HoldNote;
use haulout::repo::snapshots::Described;
use haulout::repo::snapshots::Listing;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::holds;
use crate::output::listed::Listed;
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
use crate::output::units;
use crate::output::verified;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db snapshots --source shop --last 7
  haulout -r /backup/db snapshots --json | jq -r '.[].id'";

/// List the snapshots
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct SnapshotsArguments {
    /// Only snapshots of this source; may be repeated
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,

    /// Only snapshots with this tag; if repeated, with all of them
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,

    /// Only the newest N of them of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
}

impl Job for SnapshotsArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.snapshots(self)
    }
}

impl Run<'_> {
    /// Lists the snapshots that are wanted.
    pub(crate) fn snapshots(&self, wanted: &SnapshotsArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let mut listing = repository.descriptions()?;
        let notes = self.notes(&repository, None)?;
        for described in &mut listing.snapshots {
            notes.apply_to(described.id(), &mut described.about);
        }
        choose(wanted, &mut listing.snapshots)?;
        let damage = repository.known_damage()?;
        let history = self.history(&repository)?;
        let now = self.world.clock.unix_seconds();
        let held = |described: &Described| (described.id(), notes.holds_at(described.id(), now));
        let holds = listing.snapshots.iter().map(held).collect();
        self.report.snapshots(&listing, &damage, &history, &holds)?;
        Ok(Exit::with(listing.damaged.len() + notes.damaged.len()))
    }
}

/// Leaves the snapshots that are wanted.
fn choose(wanted: &SnapshotsArguments, snapshots: &mut Vec<Described>) -> Outcome<()> {
    let SnapshotsArguments { sources, tags, last } = wanted;
    for source in sources {
        if !snapshots.iter().any(|stored| stored.about.source == *source) {
            return Err(Failure::usage(
                format!("there is no snapshot of {source}"),
                "haulout snapshots without --source lists what there is",
            ));
        }
    }
    snapshots.retain(|stored| {
        let about = &stored.about;
        let is_backup = about.binlog.is_none();
        let of_source = sources.is_empty() && is_backup || sources.contains(&about.source);
        of_source && tags.iter().all(|tag| about.tags.contains(tag))
    });
    let Some(last) = *last else { return Ok(()) };
    // The newest stand last.
    let mut counted: HashMap<String, u32> = HashMap::new();
    let mut newest: Vec<bool> = snapshots
        .iter()
        .rev()
        .map(|stored| {
            let count = counted.entry(stored.about.source.clone()).or_default();
            *count += 1;
            *count <= last
        })
        .collect();
    snapshots.retain(|_| newest.pop().unwrap_or(true));
    Ok(())
}

impl Report {
    /// Prints the report of `snapshots`.
    pub(crate) fn snapshots(
        &self,
        listing: &Listing<Described>,
        damage: &KnownDamage,
        history: &History,
        holds: &Holds,
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
                let listed = snapshots.iter().map(|stored| {
                    let known = Listed::new(stored.id(), &stored.about, damage.of(&stored.id()));
                    known.verified(&history.of(stored.id())).held(of(holds, stored.id()))
                });
                print_json(&listed.collect::<Vec<_>>())
            }
            Format::Text if snapshots.is_empty() => {
                self.console.note("there are no snapshots");
                Ok(())
            }
            Format::Text => print(&text(snapshots, damage, history, holds, self.canvas)),
        }
    }
}

/// The holds of each snapshot that last.
type Holds = BTreeMap<SnapshotId, Vec<HoldNote>>;

fn of(holds: &Holds, id: SnapshotId) -> &[HoldNote] {
    holds.get(&id).map_or(&[], Vec::as_slice)
}

const LISTING: [Column; 9] = [
    Column { title: "ID", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Seconds },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
    Column { title: "VERDICT", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "STORED", side: Side::Right, narrow: Narrow::Hide },
    Column { title: "TAGS", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "HELD", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "FORMAT", side: Side::Left, narrow: Narrow::Hide },
];

/// Shows when snapshots were verified, if any was.
const VERIFIED: Column = Column { title: "VERIFIED", side: Side::Left, narrow: Narrow::Hide };

/// Formats the listing of snapshots for people.
fn text(
    listed: &[Described],
    damage: &KnownDamage,
    history: &History,
    holds: &Holds,
    canvas: Canvas,
) -> String {
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
            holds::end(of(holds, stored.id()), canvas).into(),
            about.format.to_string().into(),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    let mut columns = LISTING.to_vec();
    if listed.iter().any(|stored| !history.of(stored.id()).is_empty()) {
        columns.push(VERIFIED);
        for (row, stored) in rows.iter_mut().zip(listed) {
            row.push(verified::cell(&history.of(stored.id()), canvas).into());
        }
    }
    let mut out = table(&columns, &rows, canvas);
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
