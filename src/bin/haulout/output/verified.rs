//! When a snapshot was verified and how deep, in words and in JSON.

use haulout::ops::verify::LastVerified;
use serde::Serialize;

use crate::output::text::Canvas;
use crate::output::timefmt;

/// The JSON report of a verification of a snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct VerifiedJson {
    depth: &'static str,
    time: String,
    program: String,
}

impl From<&LastVerified> for VerifiedJson {
    fn from(last: &LastVerified) -> Self {
        Self {
            depth: last.depth.word(),
            time: timefmt::for_programs(last.time),
            program: last.program.clone(),
        }
    }
}

/// Formats the deepest verification for a table: `blocks 2026-11-20`.
pub(crate) fn cell(known: &[LastVerified], canvas: Canvas) -> String {
    let Some(last) = known.first() else { return "-".to_owned() };
    let time = canvas.time(last.time);
    let day = time.split(' ').next().unwrap_or_default();
    format!("{} {day}", last.depth.word())
}

/// Formats all of them in a sentence.
pub(crate) fn words(known: &[LastVerified], canvas: Canvas) -> String {
    if known.is_empty() {
        return "not yet".to_owned();
    }
    let one = |last: &LastVerified| format!("{} {}", last.depth.word(), canvas.time(last.time));
    known.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use haulout::ops::verify::Depth;

    use super::*;

    #[test]
    fn the_deepest_stands_first_and_nothing_is_no_verification() {
        let last = |depth, time| LastVerified { depth, time, program: "haulout".to_owned() };
        let known = [last(Depth::Blocks, 1_795_143_612), last(Depth::Objects, 1_795_230_012)];
        assert_eq!(cell(&known, Canvas::FILE), "blocks 2026-11-20");
        let all = "blocks 2026-11-20 03:00:12Z, objects 2026-11-21 03:00:12Z";
        assert_eq!(words(&known, Canvas::FILE), all);
        assert_eq!(
            (cell(&[], Canvas::FILE), words(&[], Canvas::FILE)),
            ("-".into(), "not yet".into())
        );
    }
}
