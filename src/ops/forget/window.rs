//! Which binary logs the window of a policy keeps (FORMAT.md 10.12).
//!
//! Pure, as the policy of backups is: the window begins with a backup, which that policy keeps.
//!
//! Invariants:
//! - without a rule, or without a backup that begins the window, every binary log stays;
//! - what is held stays.

use crate::base::ids::SnapshotId;
use crate::ops::forget::policy::Decision;
use crate::ops::forget::policy::Kept;

/// A binary log as the window sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binlog {
    /// The snapshot that holds it.
    pub id: SnapshotId,
    /// The time of its last event, if it has one.
    pub last_time: Option<u64>,
    /// Until when it is held; `u64::MAX` for ever.
    pub held_until: Option<u64>,
    /// Whether it lacks a pack.
    pub is_doubtful: bool,
}

/// Where the window of a source begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// There is no rule about binary logs.
    None,
    /// No backup begins it.
    Open,
    /// It begins with the backup that was started at this time.
    From(u64),
}

/// Decides about the binary logs of a source, which come in their order; `now` ends holds.
pub fn decide(window: Window, binlogs: &[Binlog], now: u64) -> Vec<Decision> {
    let is_needed = |binlog: &Binlog| match window {
        Window::None | Window::Open => true,
        Window::From(start) => binlog.last_time.is_none_or(|last| last >= start),
    };
    let first = binlogs.iter().position(is_needed).unwrap_or(binlogs.len());
    // The clock of the server is not that of the backup: one more costs little.
    let first = first.saturating_sub(1);
    let decide = |(number, binlog): (usize, &Binlog)| {
        let mut kept = Vec::new();
        if number >= first {
            kept.push(if window == Window::None { Kept::NoWindow } else { Kept::InWindow });
        }
        kept.extend(binlog.held_until.filter(|until| *until > now).map(Kept::Held));
        kept.extend(binlog.is_doubtful.then_some(Kept::Doubtful));
        Decision { id: binlog.id, kept, replaced_by: None, has_odd_time: false }
    };
    binlogs.iter().enumerate().map(decide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binlog(number: u8, last_time: u64) -> Binlog {
        let last_time = Some(last_time);
        Binlog { id: SnapshotId([number; 32]), last_time, held_until: None, is_doubtful: false }
    }

    fn gone(window: Window, binlogs: &[Binlog]) -> Vec<u8> {
        let decided = decide(window, binlogs, 1000);
        decided.iter().filter(|one| one.kept.is_empty()).map(|one| one.id.0[0]).collect()
    }

    #[test]
    fn what_ends_before_the_backup_of_the_window_goes_but_for_one() {
        let mut all: Vec<Binlog> =
            (1..=6).map(|number| binlog(number, u64::from(number) * 100)).collect();
        assert_eq!(gone(Window::From(400), &all), [1, 2]);
        assert_eq!(gone(Window::From(401), &all), [1, 2, 3]);
        assert_eq!(gone(Window::From(0), &all), [0u8; 0]);
        assert_eq!(gone(Window::From(9999), &all), [1, 2, 3, 4, 5]);
        assert_eq!(gone(Window::None, &all), [0u8; 0]);
        assert_eq!(gone(Window::Open, &all), [0u8; 0]);
        all[0].held_until = Some(2000);
        all[1].held_until = Some(500);
        assert_eq!(gone(Window::From(401), &all), [2, 3]);
        all[1].is_doubtful = true;
        assert_eq!(gone(Window::From(401), &all), [3]);
        all[0] = Binlog { last_time: None, ..binlog(1, 0) };
        assert_eq!(
            gone(Window::From(401), &all),
            [0u8; 0],
            "nothing tells how old the first one is"
        );
    }
}
