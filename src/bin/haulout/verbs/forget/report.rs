//! The report of `forget`: for each snapshot why it stays or what took its place, then bytes.

use haulout::error::Error;
use haulout::error::Result;
use haulout::ops::forget::Decided;
use haulout::ops::forget::ForgetPlan;
use haulout::ops::forget::Refused;
use haulout::ops::forget::SourcePlan;
use haulout::repo::Verdict;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::phrases::fact;
use crate::output::phrases::told;
use crate::output::phrases::tone;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::retention;
use crate::output::retention::ReasonJson;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::timefmt;
use crate::output::units;
use crate::verbs::forget::args::Allowed;
use crate::verbs::forget::run::Forgotten;
use crate::verbs::prune::report::PrunedJson;
use crate::verbs::prune::report::SpaceJson;
use crate::verbs::prune::report::pruned_text;
use crate::verbs::prune::report::space;

const COLUMNS: [Column; 6] = [
    Column { title: "", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "ID", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Seconds },
    Column { title: "SOURCE", side: Side::Left, narrow: Narrow::Cut(10) },
    Column { title: "VERDICT", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "BECAUSE", side: Side::Left, narrow: Narrow::Keep },
];

/// The JSON report of `forget`.
#[derive(Debug, Serialize)]
struct ForgottenJson<'r> {
    /// True if nothing was changed.
    planned: bool,
    sources: Vec<SourceJson<'r>>,
    /// Snapshots that can't be read and are to be removed.
    unread: Vec<String>,
    refused: Vec<RefusedJson<'r>>,
    space: Option<SpaceJson>,
    removed: Vec<String>,
    spared: Vec<SparedJson<'r>>,
    /// Deletions that the store refused, in words.
    undeleted: &'r [String],
    /// What could not be found out about them.
    doubted: Vec<String>,
    pruned: Option<PrunedJson<'r>>,
}

#[derive(Debug, Serialize)]
struct SourceJson<'r> {
    source: &'r str,
    /// True if something speaks against the removals.
    refused: bool,
    snapshots: Vec<DecidedJson>,
}

#[derive(Debug, Serialize)]
struct DecidedJson {
    id: String,
    time: String,
    verdict: Verdict,
    remove: bool,
    kept: Vec<ReasonJson>,
    replaced_by: Option<String>,
    odd_time: bool,
}

impl From<&Decided> for DecidedJson {
    fn from(decided: &Decided) -> Self {
        let about = &decided.described.about;
        Self {
            id: decided.described.id().to_string(),
            time: timefmt::for_programs(about.time),
            verdict: about.verdict,
            remove: decided.is_removed(),
            kept: retention::listed(decided),
            replaced_by: decided.decision.replaced_by.map(|id| id.to_string()),
            odd_time: decided.decision.has_odd_time,
        }
    }
}

#[derive(Debug, Serialize)]
struct RefusedJson<'r> {
    refusal: &'static str,
    source: Option<&'r str>,
    message: &'r str,
    /// The option that allows it.
    option: String,
}

impl<'r> From<&'r Refused> for RefusedJson<'r> {
    fn from(refused: &'r Refused) -> Self {
        let refusal = Allowed::from(refused.refusal).word();
        Self {
            refusal,
            source: refused.source.as_deref(),
            message: &refused.words,
            option: format!("--allow {refusal}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct SparedJson<'r> {
    snapshot: String,
    why: &'r str,
}

impl Report {
    /// Prints what is about to be removed, and why the rest stays.
    pub(crate) fn before_forget(&self, all: &Forgotten) -> Result<()> {
        let is_long = match self.console.loudness {
            Loudness::Quiet | Loudness::Brief => false,
            Loudness::Normal | Loudness::Verbose => true,
        };
        if self.is_json() || !is_long {
            return Ok(());
        }
        print(&plan_text(all, self.canvas))
    }

    /// Prints the report of `forget`.
    pub(crate) fn forgotten(&self, all: &Forgotten) -> Result<()> {
        let Forgotten { plan, space, done, pruned, is_plan } = all;
        let source = |of: &'_ SourcePlan| of.snapshots.iter().map(DecidedJson::from).collect();
        let value = ForgottenJson {
            planned: *is_plan,
            sources: plan
                .sources
                .iter()
                .map(|of| SourceJson {
                    source: &of.source,
                    refused: plan.is_refused(&of.source),
                    snapshots: source(of),
                })
                .collect(),
            unread: plan.unread.iter().map(|name| name.id.to_string()).collect(),
            refused: plan.refused.iter().map(RefusedJson::from).collect(),
            space: space.as_ref().map(SpaceJson::from),
            removed: done
                .iter()
                .flat_map(|done| &done.removed)
                .map(|name| name.id.to_string())
                .collect(),
            spared: done
                .iter()
                .flat_map(|done| &done.spared)
                .map(|(name, why)| SparedJson { snapshot: name.id.to_string(), why })
                .collect(),
            undeleted: done.as_ref().map_or(&[], |done| &done.refused),
            doubted: done.iter().flat_map(|done| &done.doubted).map(Error::with_causes).collect(),
            pruned: pruned.as_ref().map(PrunedJson::from),
        };
        let canvas = self.canvas;
        self.result(&value, || {
            if *is_plan {
                return plan_text(all, canvas);
            }
            let mut text = done_text(all, canvas);
            if self.console.loudness == Loudness::Brief {
                text += &refusals(plan, canvas);
            }
            text.extend(pruned.as_ref().map(|pruned| pruned_text(pruned, canvas)));
            text
        })
    }
}

/// Formats a plan: all snapshots, what is refused, and bytes.
fn plan_text(all: &Forgotten, canvas: Canvas) -> String {
    let plan = &all.plan;
    let rows: Vec<Vec<Cell>> = plan
        .sources
        .iter()
        .flat_map(|of| of.snapshots.iter().map(|decided| row(plan, of, decided, canvas)))
        .collect();
    let mut text = if rows.is_empty() { String::new() } else { table(&COLUMNS, &rows, canvas) };
    for name in &plan.unread {
        text += &fact("remove", &format!("{}, which can't be read", name.id.short()));
    }
    text += &refusals(plan, canvas);
    text.extend(all.space.as_ref().map(|plan| space(plan, canvas)));
    text
}

fn row(plan: &ForgetPlan, of: &SourcePlan, decided: &Decided, canvas: Canvas) -> Vec<Cell> {
    let about = &decided.described.about;
    let action = match (decided.is_removed(), plan.is_refused(&of.source)) {
        (false, _) => "keep",
        (true, false) => "remove",
        (true, true) => "refused",
    };
    vec![
        action.into(),
        decided.described.id().short().into(),
        canvas.time(about.time).into(),
        of.source.as_str().into(),
        Cell::toned(about.verdict.to_string(), tone(about.verdict)),
        retention::why(decided, canvas).into(),
    ]
}

/// Formats what is refused, with the option that allows it.
fn refusals(plan: &ForgetPlan, canvas: Canvas) -> String {
    let line = |refused: &Refused| {
        let option = Allowed::from(refused.refusal).word();
        told("refused", &format!("{} (--allow {option})", refused.words), canvas)
    };
    plan.refused.iter().map(line).collect()
}

/// Formats what was done.
fn done_text(all: &Forgotten, canvas: Canvas) -> String {
    let Some(done) = &all.done else {
        return "no snapshot was removed\n".to_owned();
    };
    let of_source = |of: &SourcePlan| {
        let removed = of
            .snapshots
            .iter()
            .filter(|decided| done.removed.iter().any(|name| name.id == decided.described.id()));
        let (removed, all) = (u64_of(removed.count()), u64_of(of.snapshots.len()));
        let count = units::counted(all, "snapshot");
        (removed > 0).then(|| {
            format!("removed {} of {count} of {}\n", units::count(removed), clean(&of.source))
        })
    };
    let mut text: String = all.plan.sources.iter().filter_map(of_source).collect();
    if !all.plan.unread.is_empty() && !done.removed.is_empty() {
        let count = units::counted(u64_of(all.plan.unread.len()), "snapshot");
        text.extend(["removed ", &count, " that can't be read\n"]);
    }
    for (name, why) in &done.spared {
        text += &told("stays", &format!("{}: {why}", name.id.short()), canvas);
    }
    text.extend(done.refused.iter().map(|refused| told("refused", refused, canvas)));
    let doubted = done.doubted.iter().map(Error::with_causes);
    text.extend(doubted.map(|doubted| told("doubtful", &doubted, canvas)));
    if text.is_empty() { "no snapshot was removed\n".to_owned() } else { text }
}
