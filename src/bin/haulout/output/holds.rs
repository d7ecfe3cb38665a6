//! Holds of snapshots, in words and as JSON has them.

use haulout::repo::notes::HoldNote;
use serde::Serialize;

use crate::output::text::Canvas;
use crate::output::timefmt;

/// A hold of a snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct HeldUntil<'r> {
    until: Option<String>,
    reason: &'r str,
}

/// Returns the holds of a snapshot as JSON has them.
pub(crate) fn listed(holds: &[HoldNote]) -> Vec<HeldUntil<'_>> {
    holds
        .iter()
        .map(|hold| HeldUntil {
            until: hold.until.map(timefmt::for_programs),
            reason: &hold.reason,
        })
        .collect()
}

/// Describes a hold in words.
pub(crate) fn words(hold: &HoldNote, canvas: Canvas) -> String {
    let until = hold.until.map(|until| format!("until {}", canvas.time(until)));
    let until = until.unwrap_or_else(|| "without an end".to_owned());
    if hold.reason.is_empty() { until } else { format!("{until}: {}", hold.reason) }
}

/// Returns the end of the longest hold for a table; empty if there is none.
pub(crate) fn end(holds: &[HoldNote], canvas: Canvas) -> String {
    match holds.iter().map(|hold| hold.until.unwrap_or(u64::MAX)).max() {
        None => String::new(),
        Some(u64::MAX) => "no end".to_owned(),
        Some(until) => canvas.time(until),
    }
}
