//! Why a snapshot is kept or removed, in words and as JSON has it.

use haulout::ops::forget::Decided;
use haulout::ops::forget::RootOf;
use haulout::ops::forget::policy::Decision;
use haulout::ops::forget::policy::Kept;
use haulout::ops::forget::policy::Place;
use serde::Serialize;

use crate::output::standing::Standing;
use crate::output::text::Canvas;
use crate::output::timefmt;

/// The JSON report of a reason to keep a snapshot.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ReasonJson {
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// The end of a hold that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// The snapshot that can't be restored without this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    /// The run that relies on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
}

impl ReasonJson {
    fn of(rule: &'static str) -> Self {
        Self { rule, ..Self::default() }
    }

    fn at(rule: &'static str, Place { number, of }: Place) -> Self {
        Self { number: Some(number), of: Some(of), ..Self::of(rule) }
    }
}

impl From<&Kept> for ReasonJson {
    fn from(kept: &Kept) -> Self {
        match kept {
            Kept::Last(place) => Self::at("last", *place),
            Kept::Within => Self::of("within"),
            Kept::Of(period, place) => Self::at(period.word(), *place),
            Kept::Oldest(period, place) => {
                Self { tag: Some(period.word().to_owned()), ..Self::at("oldest", *place) }
            }
            Kept::Tag(tag) => Self { tag: Some(tag.clone()), ..Self::of("tag") },
            Kept::Held(until) => {
                let end = (*until != u64::MAX).then(|| timefmt::for_programs(*until));
                Self { until: end, ..Self::of("held") }
            }
            Kept::Required(id) => Self { snapshot: Some(id.to_string()), ..Self::of("required") },
            Kept::NewestComplete => Self::of("newest-complete"),
            Kept::NewestPartial => Self::of("newest-partial"),
            Kept::Doubtful => Self::of("doubtful"),
            Kept::NotNamed => Self::of("not-named"),
            Kept::WindowBegins => Self::of("window-begins"),
            Kept::InWindow => Self::of("in-window"),
            Kept::NoWindow => Self::of("no-window"),
        }
    }
}

/// Returns the reasons of a decision as JSON has them.
pub(crate) fn listed(decided: &Decided) -> Vec<ReasonJson> {
    let kept = decided.decision.kept.iter().map(ReasonJson::from);
    let root =
        |root: &RootOf| ReasonJson { run: Some(root.run.to_string()), ..ReasonJson::of("root") };
    kept.chain(decided.root_of.iter().map(root)).collect()
}

/// Returns the reasons of a decision as JSON has them, of a backup that is only imagined.
pub(crate) fn listed_of(decision: &Decision) -> Vec<ReasonJson> {
    decision.kept.iter().map(ReasonJson::from).collect()
}

/// Returns a reason to keep a snapshot in words.
fn words(kept: &Kept, canvas: Canvas) -> String {
    match kept {
        Kept::Last(Place { number, of }) => format!("last {number} of {of}"),
        Kept::Within => "within the time of --keep-within".to_owned(),
        Kept::Of(period, Place { number, of }) => format!("{} {number} of {of}", period.word()),
        Kept::Oldest(period, Place { number, of }) => {
            format!("oldest: {} has {number} of {of}", period.word())
        }
        Kept::Tag(tag) => format!("tag {tag}"),
        Kept::Held(u64::MAX) => "held without an end".to_owned(),
        Kept::Held(until) => format!("held until {}", canvas.time(*until)),
        Kept::Required(id) => format!("needed by increment {}", id.short()),
        Kept::NewestComplete => "the newest complete one".to_owned(),
        Kept::NewestPartial => "the newest, though partial".to_owned(),
        Kept::Doubtful => "doubtful: it lacks a pack".to_owned(),
        Kept::NotNamed => "not named".to_owned(),
        Kept::WindowBegins => "the window of --keep-pitr begins with it".to_owned(),
        Kept::InWindow => "in the window of --keep-pitr".to_owned(),
        Kept::NoWindow => "a binary log, and no --keep-pitr".to_owned(),
    }
}

/// Returns all reasons to keep a backup that is only imagined.
pub(crate) fn reasons(decision: &Decision, canvas: Canvas) -> String {
    let kept: Vec<String> = decision.kept.iter().map(|kept| words(kept, canvas)).collect();
    kept.join(", ")
}

/// Returns all reasons for a decision: why the snapshot stays, or what took its place.
pub(crate) fn why(decided: &Decided, canvas: Canvas) -> String {
    let Decided { decision, root_of, .. } = decided;
    let mut why = match decision.replaced_by {
        Some(id) => vec![format!("{} took its place", id.short())],
        None if decided.is_removed() => vec!["no rule keeps it".to_owned()],
        None => vec![reasons(decision, canvas)],
    };
    why.extend(root_of.iter().map(|root| {
        let RootOf { run, verb, since } = *root;
        format!("root of run {}", Standing { run, verb, since }.words(canvas))
    }));
    if decision.has_odd_time {
        why.push("its time is not believed".to_owned());
    }
    why.join(", ")
}
