//! Formatting that several reports for people have in common.

use haulout::repo::Verdict;
use haulout::world::Counts;

use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::text::clean;
use crate::output::text::wrapped;
use crate::output::units;

/// Width in columns of the labels.
const LABEL_COLUMNS: usize = 10;

/// Formats a line `  label     text`.
pub(crate) fn fact(label: &str, text: &str) -> String {
    format!("  {label:<LABEL_COLUMNS$}{}\n", clean(text))
}

/// Formats such a line for sentences, which may need several lines on a terminal.
pub(crate) fn told(label: &str, text: &str, canvas: Canvas) -> String {
    let text = wrapped(&clean(text), 2 + LABEL_COLUMNS, canvas);
    format!("  {label:<LABEL_COLUMNS$}{text}\n")
}

/// Returns the tone that fits a verdict.
pub(crate) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Complete => Tone::Good,
        Verdict::Unattested => Tone::Doubtful,
        Verdict::CorruptPages | Verdict::Partial => Tone::Bad,
    }
}

/// Formats how the blocks of a run were stored.
pub(crate) fn blocks(counts: &Counts) -> String {
    let Counts { blocks_zero, blocks_same, blocks_delta, blocks_whole, .. } = *counts;
    let all = counts.blocks();
    let mut parts = vec![
        format!("{} same", units::share(blocks_same, all)),
        format!("{} changed", units::share(blocks_delta, all)),
        format!("{} new", units::share(blocks_whole, all)),
        format!("{} zero", units::share(blocks_zero, all)),
    ];
    if counts.blocks_moved > 0 {
        // Their records stood on other pages before.
        parts.insert(2, format!("{} moved", units::share(counts.blocks_moved, all)));
    }
    if counts.blocks_missed > 0 {
        parts.push(format!("{} stored whole for want of time", units::count(counts.blocks_missed)));
    }
    if counts.blocks_healed > 0 {
        parts.push(format!("{} healed", units::count(counts.blocks_healed)));
    }
    format!("{} of {}", parts.join(", "), units::counted(all, "block"))
}

/// Formats the results of page checks; `None` if there were none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_blocks_are_reported_with_what_is_odd() {
        let counts = Counts {
            blocks_same: 93,
            blocks_delta: 4,
            blocks_moved: 2,
            blocks_zero: 1,
            blocks_healed: 2,
            ..Counts::default()
        };
        assert_eq!(
            blocks(&counts),
            "93.0 % same, 4.0 % changed, 2.0 % moved, 0.0 % new, 1.0 % zero, 2 healed of 100 blocks"
        );
    }
}
