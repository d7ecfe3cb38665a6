//! What a run looks at before it starts a producer: whether there is room for what the backup is
//! expected to store.

use std::process::Command;

use haulout::error::ErrorKind;
use haulout::repo::SnapshotKind;
use haulout::repo::Verdict;
use serde_json::Value;

use crate::jobs::child;
use crate::jobs::child::Messages;
use crate::jobs::plan::Kind;
use crate::jobs::plan::Step;
use crate::jobs::record::Measure;
use crate::jobs::record::NIGHTS_MAX;
use crate::jobs::record::Night;
use crate::jobs::sequence::Sequence;
use crate::jobs::space::Estimate;
use crate::jobs::space::Space;
use crate::jobs::space::too_small;

impl Sequence<'_> {
    /// Returns why there is too little space for a backup, if there is and that matters.
    pub(super) fn lacks_space(&mut self, step: &Step) -> Option<String> {
        let reads = self.plan.space.reads(&step.subject).filter(|_| step.kind == Kind::Backup)?;
        let nights = self.nights(&step.subject);
        if nights.as_ref().is_some_and(Vec::is_empty) {
            self.new_sources.insert(step.subject.clone());
        }
        let unlisted = || "the repository does not list its backups".to_owned();
        let estimate = nights.ok_or_else(unlisted).and_then(|nights| {
            // The size is looked for only where there are no nights.
            Estimate::of(&nights, reads.ratio, || reads.size())
        });
        let estimate = match estimate {
            Ok(estimate) => estimate,
            Err(why) => {
                self.report.console.note(format!(
                    "free space is not compared with what the backup of {} stores: {why}",
                    step.subject
                ));
                return None;
            }
        };
        let looked = self.record.steps.iter();
        let listed = looked.filter_map(|done| done.measure(Measure::ListedBytes)).next_back();
        let rooms = self.plan.space.rooms(&step.subject, listed);
        let lacking = too_small(&rooms, estimate.bytes).join("; ");
        if lacking.is_empty() {
            return None;
        }
        let why = format!("too little space for {}: {lacking}", estimate.in_words());
        match self.space {
            Space::Required => Some(format!("{why}; run --ignore-space backs up all the same")),
            Space::Ignored => {
                self.report.console.warning(why);
                None
            }
        }
    }

    /// Returns the last backups of a source: those that this host remembers, else those that the
    /// repository has. Nothing if neither is known.
    fn nights(&self, source: &str) -> Option<Vec<Night>> {
        if let Some(known) = self.record.sources.get(source)
            && !known.nights.is_empty()
        {
            return Some(known.nights.clone());
        }
        let count = NIGHTS_MAX + 1;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.plan.config).args(["-r", &self.plan.space.repository]);
        command.args(["--json", "--quiet", "snapshots", "--source", source]);
        command.args(["--last", &count.to_string()]);
        let listed = child::run(&mut command, &Messages::Dropped, &self.until()).ok()?;
        let listed: Value = serde_json::from_slice(&listed.output).ok()?;
        // The error that there is no snapshot of this source.
        if listed["error"]["kind"] == ErrorKind::Usage.as_str() {
            return Some(Vec::new());
        }
        Some(nights_of(listed.as_array()?, count))
    }
}

/// Returns the backups that restore of a listing, the newest last. If the listing has fewer than
/// `count`, the oldest is the first of its source.
fn nights_of(listed: &[Value], count: usize) -> Vec<Night> {
    let is_whole = |one: &&Value| {
        one["verdict"] != Verdict::Partial.to_string()
            && one["kind"] != serde_json::json!(SnapshotKind::Checkpoint)
    };
    let night = |one: &Value| {
        Some(Night {
            ended: one["time_unix"].as_u64()?,
            stream_bytes: one["stream_bytes"].as_u64()?,
            stored_bytes: one["stored_bytes"].as_u64()?,
            is_first: false,
            paused_milliseconds: None,
            desynced_milliseconds: None,
        })
    };
    let mut nights: Vec<Night> = listed.iter().filter(is_whole).filter_map(night).collect();
    nights.sort_by_key(|night| night.ended);
    if listed.len() < count
        && let Some(oldest) = nights.first_mut()
    {
        oldest.is_first = true;
    }
    nights.drain(..nights.len().saturating_sub(NIGHTS_MAX));
    nights
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_of_a_short_listing_is_the_first_backup() {
        let one = |time: u64, kind: &str, verdict: &str| {
            json!({
                "time_unix": time,
                "stream_bytes": 9,
                "stored_bytes": time,
                "kind": kind,
                "verdict": verdict,
            })
        };
        let listed = [
            one(3, "full", "complete"),
            one(2, "checkpoint", "partial"),
            one(1, "full", "unattested"),
            one(4, "full", "partial"),
        ];
        let of = |count| -> Vec<(u64, bool)> {
            let nights = nights_of(&listed, count);
            nights.iter().map(|night| (night.stored_bytes, night.is_first)).collect()
        };
        assert_eq!(of(5), [(1, true), (3, false)]);
        assert_eq!(of(4), [(1, false), (3, false)]);
        assert_eq!(nights_of(&[], 8), []);
    }
}
