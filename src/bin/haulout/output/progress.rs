//! The progress of a run: on a terminal one line for each thing it works on, redrawn five times a
//! second; in a log a line a minute. There is none if the output is brief or quiet; brief is the
//! default in a log.
//!
//! The line is as long as the terminal is wide: what matters least is left out first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use haulout::shared::crew;
use haulout::world::Clock;
use haulout::world::Counts;
use haulout::world::Monitor;

use crate::output::console::Console;
use crate::output::console::Loudness;
use crate::output::units;
use crate::panics;

const REDRAW: Duration = Duration::from_millis(200);
const LOG_LINE: Duration = Duration::from_mins(1);
/// The time over which a rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The kind of work that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// A backup, counted by the bytes of its stream.
    BackingUp,
    /// A restore, counted by the bytes of its stream.
    Restoring,
    /// A replication, counted by bytes sent or read on the other side.
    Replicating,
    /// A verification, which reads what is stored several times.
    Verifying {
        /// Number of passes: first over all objects, then perhaps over all blocks in them.
        passes: u64,
    },
    /// A prune or a compaction, counted by the bytes that it reads.
    Pruning,
}

impl Activity {
    /// Returns the counts. Those of a replication include packs that are being sent: a slow line
    /// takes minutes for one pack.
    fn counts(self, monitor: &Monitor) -> Counts {
        let mut counts = monitor.counts();
        if self == Self::Replicating {
            counts.stored_bytes += monitor.on_the_way();
        }
        counts
    }

    /// Returns the number of bytes that are done.
    fn done(self, counts: &Counts) -> u64 {
        match self {
            Self::BackingUp | Self::Restoring => counts.stream_bytes,
            Self::Pruning => counts.fetched_bytes,
            // A byte of the repository is done when every pass has read it.
            Self::Verifying { passes } => (counts.stream_bytes + counts.fetched_bytes) / passes,
            // What is sent, and what is only read on the other side.
            Self::Replicating => counts.stored_bytes + counts.stream_bytes,
        }
    }

    /// Returns the number of bytes to be done in total; 0 if unknown.
    fn expected(self, counts: &Counts) -> u64 {
        let expected = counts.expected_bytes;
        // A file that grows, a second copy that is read too: then the total is unknown.
        if self.done(counts) > expected { 0 } else { expected }
    }
}

/// The thread that shows progress as long as this lives.
#[derive(Debug)]
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Starts to show what `monitor` counts.
    pub(crate) fn show(
        activity: Activity,
        console: &Arc<Console>,
        monitor: &Arc<Monitor>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        if matches!(console.loudness, Loudness::Quiet | Loudness::Brief) {
            return Self(None);
        }
        let (end, ended) = bounded(0);
        let console = Arc::clone(console);
        let monitor = Arc::clone(monitor);
        let clock = Arc::clone(clock);
        let every = if console.redraws() { REDRAW } else { LOG_LINE };
        let thread = crew::start("progress", move || {
            panics::asked_for_at("progress");
            let mut course = Course::new(activity, clock.elapsed());
            let shown = console.add_line();
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let now = course.at(clock.elapsed(), activity.counts(&monitor));
                if console.redraws() {
                    // The last column stays empty: some terminals wrap there.
                    let columns = console.columns().saturating_sub(1);
                    console.draw(&shown, line(activity, &now, columns));
                } else {
                    console.progress_line(&line(activity, &now, usize::MAX));
                }
            }
            console.remove_line(&shown);
        });
        // A run is done without its progress rather than not at all.
        Self(thread.ok().map(|thread| (end, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            // A line that could not be drawn is no reason to fail.
            let _panicked = thread.join();
        }
    }
}

/// The progress of a run over time.
#[derive(Debug)]
struct Course {
    activity: Activity,
    began: Duration,
    /// Moments of the last seconds, and the bytes done until then.
    recent: VecDeque<(Duration, u64)>,
}

/// The state of a run at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Now {
    counts: Counts,
    elapsed: Duration,
    /// Bytes of the last seconds, and the time that they took.
    recent: (u64, Duration),
}

impl Course {
    fn new(activity: Activity, began: Duration) -> Self {
        Self { activity, began, recent: VecDeque::from([(began, 0)]) }
    }

    fn at(&mut self, time: Duration, mut counts: Counts) -> Now {
        if self.activity == Activity::Replicating {
            // Bytes that are sent a second time do not make the count go back.
            let before = self.recent.back().map_or(0, |(_, done)| *done);
            counts.stored_bytes = counts.stored_bytes.max(before);
        }
        let done = self.activity.done(&counts);
        self.recent.push_back((time, done));
        while let Some((second, _)) = self.recent.get(1)
            && time.saturating_sub(*second) >= RATE_WINDOW
        {
            self.recent.pop_front();
        }
        let (since, before) = *self.recent.front().expect("the newest is within the window");
        let bytes = done.saturating_sub(before);
        let elapsed = time.saturating_sub(self.began);
        Now { counts, elapsed, recent: (bytes, time.saturating_sub(since)) }
    }
}

/// A part of the line, and how early it is given up: the higher, the earlier.
type Part = (u8, String);

fn line(activity: Activity, now: &Now, columns: usize) -> String {
    let mut parts = parts(activity, now);
    loop {
        let words: Vec<&str> = parts.iter().map(|(_, words)| words.as_str()).collect();
        let line = words.join("  ");
        let least = parts.iter().enumerate().max_by_key(|(_, (rank, _))| *rank);
        match least {
            Some((at, _)) if line.chars().count() > columns && parts.len() > 1 => {
                parts.remove(at);
            }
            _ => return line.chars().take(columns).collect(),
        }
    }
}

fn parts(activity: Activity, now: &Now) -> Vec<Part> {
    let Now { counts, elapsed, recent: (recent_bytes, recent_time) } = now;
    let (bytes, expected) = (activity.done(counts), activity.expected(counts));
    let mut parts: Vec<Part> = Vec::new();
    let mut part = |rank: u8, words: String| parts.push((rank, words));
    part(8, units::stopwatch(elapsed.as_secs()));
    if expected > 0 {
        part(0, units::part(bytes, expected));
        part(6, units::percent(bytes, expected));
    } else {
        part(0, units::size(bytes));
    }
    part(1, units::rate(*recent_bytes, *recent_time));
    match activity {
        Activity::BackingUp => {
            let changed = counts.blocks_delta + counts.blocks_moved + counts.blocks_whole;
            let all = counts.blocks_same + counts.blocks_zero + changed;
            part(4, format!("{} same", units::percent(counts.blocks_same, all)));
            part(3, format!("{} changed", units::percent(changed, all)));
            part(2, format!("{} stored", units::size(counts.stored_bytes)));
            if counts.pages_corrupt > 0 {
                part(2, units::counted(counts.pages_corrupt, "corrupt page"));
            }
        }
        Activity::Restoring => part(4, format!("{} read", units::size(counts.fetched_bytes))),
        Activity::Pruning => part(4, format!("{} stored", units::size(counts.stored_bytes))),
        Activity::Verifying { .. } | Activity::Replicating => {}
    }
    let time = left(bytes, expected, *recent_bytes, *recent_time).map(units::stopwatch);
    if activity == Activity::Replicating && expected > 0 {
        let bytes = units::size(expected - bytes);
        let time = time.map(|time| format!(", {time}")).unwrap_or_default();
        part(2, format!("{bytes} left{time}"));
    } else if let Some(time) = time {
        part(2, format!("{time} left"));
    }
    parts
}

/// Returns the seconds until everything is done, at the present rate.
fn left(bytes: u64, expected: u64, recent: u64, time: Duration) -> Option<u64> {
    let remaining = expected.checked_sub(bytes).filter(|_| expected > 0 && recent > 0)?;
    let seconds = u128::from(remaining) * time.as_millis() / u128::from(recent) / 1000;
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        let counts = Counts {
            stream_bytes: 2_738_000_000,
            expected_bytes: 13_000_000_000,
            stored_bytes: 13_700_000,
            fetched_bytes: 99 << 20,
            blocks_same: 90,
            blocks_zero: 3,
            blocks_delta: 6,
            blocks_whole: 1,
            ..Counts::default()
        };
        let recent = (3_303_000_000, Duration::from_secs(5));
        Now { counts, elapsed: Duration::from_secs(62), recent }
    }

    #[test]
    fn the_line_tells_everything_where_there_is_room() {
        assert_eq!(
            line(Activity::BackingUp, &now(), 120),
            "1:02  2.55/12.1 GiB  21 %  630 MiB/s  90 % same  7 % changed  13.1 MiB stored  \
             0:15 left"
        );
        assert_eq!(
            line(Activity::Restoring, &now(), 120),
            "1:02  2.55/12.1 GiB  21 %  630 MiB/s  99.0 MiB read  0:15 left"
        );
        let counts = Counts { stored_bytes: 1 << 30, expected_bytes: 4 << 30, ..Counts::default() };
        assert_eq!(
            line(Activity::Replicating, &Now { counts, ..now() }, 120),
            "1:02  1.00/4.00 GiB  25 %  630 MiB/s  3.00 GiB left, 0:04"
        );
        let slow = Now { recent: (0, Duration::from_secs(5)), ..Now { counts, ..now() } };
        assert_eq!(
            line(Activity::Replicating, &slow, 120),
            "1:02  1.00/4.00 GiB  25 %  0 B/s  3.00 GiB left"
        );
    }

    #[test]
    fn a_verification_counts_what_it_reads() {
        let counts = Counts {
            stream_bytes: 1 << 30,
            fetched_bytes: 512 << 20,
            expected_bytes: 1 << 30,
            ..Counts::default()
        };
        let at = |passes| {
            let now = Now { counts, ..now() };
            line(Activity::Verifying { passes }, &now, 120)
        };
        assert_eq!(at(2), "1:02  0.75/1.00 GiB  75 %  630 MiB/s  0:00 left");
        assert_eq!(at(1), "1:02  1.50 GiB  630 MiB/s");
    }

    #[test]
    fn a_prune_counts_what_it_reads_and_stores() {
        let counts = Counts {
            stream_bytes: 7,
            fetched_bytes: 512 << 20,
            stored_bytes: 300 << 20,
            ..Counts::default()
        };
        let now = Now { counts, ..now() };
        assert_eq!(line(Activity::Pruning, &now, 120), "1:02  512 MiB  630 MiB/s  300 MiB stored");
    }

    #[test]
    fn the_line_is_never_wider_than_the_terminal() {
        assert_eq!(
            line(Activity::BackingUp, &now(), 79),
            "2.55/12.1 GiB  630 MiB/s  90 % same  7 % changed  13.1 MiB stored  0:15 left"
        );
        for columns in 0..130 {
            assert!(line(Activity::BackingUp, &now(), columns).len() <= columns);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut course = Course::new(Activity::BackingUp, Duration::ZERO);
        let counts = |stream_bytes| Counts { stream_bytes, ..Counts::default() };
        for second in 1..=20 {
            // Ten slow seconds, then fast ones.
            let bytes = if second <= 10 { second } else { second * 1000 };
            let now = course.at(Duration::from_secs(second), counts(bytes));
            if second == 10 {
                assert_eq!(now.recent, (5, Duration::from_secs(5)));
            }
            if second == 20 {
                assert_eq!(now.recent, (5000, Duration::from_secs(5)));
            }
        }
    }

    #[test]
    fn what_is_sent_again_does_not_run_back() {
        let mut course = Course::new(Activity::Replicating, Duration::ZERO);
        let counts = |stored_bytes| Counts { stored_bytes, ..Counts::default() };
        for (second, (counted, shown)) in (1..).zip([(5, 5), (9, 9), (2, 9), (11, 11)]) {
            let now = course.at(Duration::from_secs(second), counts(counted));
            assert_eq!(now.counts.stored_bytes, shown);
        }
    }

    #[test]
    fn what_is_left_is_unknown_without_a_size_or_a_rate() {
        let second = Duration::from_secs(1);
        assert_eq!(left(10, 0, 5, second), None);
        assert_eq!(left(10, 20, 0, second), None);
        assert_eq!(left(10, 20, 5, second), Some(2));
        assert_eq!(left(30, 20, 5, second), None);
    }
}
