//! What a policy keeps of imagined backups, so that rules can be tried without a repository.

use crate::base::ids::SnapshotId;
use crate::format::snapshot::Verdict;
use crate::ops::forget::policy::Candidate;
use crate::ops::forget::policy::Decision;
use crate::ops::forget::policy::Policy;
use crate::ops::forget::policy::State;
use crate::ops::forget::policy::decide;

/// Backups at regular times, after each of which the policy removes what it does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// When the first of them begins, seconds since 1970.
    pub first: u64,
    /// Seconds from one to the next; at least 1.
    pub every: u64,
    /// The number of backups.
    pub count: u64,
}

/// A backup that is left at the end of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// When it began, seconds since 1970.
    pub time: u64,
    /// Why it is kept.
    pub decision: Decision,
}

/// The end of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// The backups that are left, the oldest first.
    pub left: Vec<Left>,
    /// The most that were there at a time.
    pub most: usize,
}

impl Calendar {
    /// Applies a policy to the calendar; `offset` as for [`decide`].
    pub fn simulate(&self, policy: &Policy, offset: &dyn Fn(u64) -> i64) -> Simulated {
        let mut there: Vec<Candidate> = Vec::new();
        let mut decisions: Vec<Decision> = Vec::new();
        let mut most = 0;
        for number in 0..self.count {
            there.push(self.backup(number));
            most = most.max(there.len());
            decisions = decide(policy, &there, offset);
            decisions.retain(|decision| !decision.kept.is_empty());
            // Both are in the order of the numbers.
            let mut kept = decisions.iter().map(|decision| decision.id).peekable();
            there.retain(|candidate| kept.next_if_eq(&candidate.id).is_some());
        }
        let times = there.iter().map(|candidate| candidate.time);
        let left = times.zip(decisions).map(|(time, decision)| Left { time, decision }).collect();
        Simulated { left, most }
    }

    fn backup(&self, number: u64) -> Candidate {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Candidate {
            id: SnapshotId(id),
            sequence: number,
            time: self.first.saturating_add(number.saturating_mul(self.every)),
            verdict: Verdict::Complete,
            state: State::Whole,
            requires: Vec::new(),
            tags: Vec::new(),
            held_until: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::num::u64_of;
    use crate::ops::forget::policy::Period;
    use crate::ops::forget::policy::PeriodRule;

    const DAY: u64 = 86_400;

    fn policy(rules: &[(Period, u32)]) -> Policy {
        let rule = |(period, count): &(Period, u32)| PeriodRule { period: *period, count: *count };
        Policy { periods: rules.iter().map(rule).collect(), ..Policy::default() }
    }

    #[test]
    fn two_years_of_nights_leave_what_the_rules_say() {
        let rules = policy(&[(Period::Day, 14), (Period::Week, 8), (Period::Month, 12)]);
        let calendar = Calendar { first: 1_767_225_600, every: DAY, count: 730 };
        let simulated = calendar.simulate(&rules, &|_| 0);
        let newest = simulated.left.last().unwrap();
        assert_eq!(newest.time, calendar.first + 729 * DAY);
        assert!(newest.decision.kept.len() >= 3, "{:?}", newest.decision.kept);
        let times: Vec<u64> = simulated.left.iter().map(|left| left.time).collect();
        assert!(times.is_sorted());
        let last: Vec<u64> =
            times.iter().rev().take(14).map(|time| (newest.time - time) / DAY).collect();
        assert_eq!(last, (0..14).collect::<Vec<_>>());
        // The two newest weeks of the eight are among the fourteen days, and so is a month.
        assert_eq!(u64_of(times.len()), 14 + 6 + 10);
        assert!(simulated.most <= times.len() + 2, "{}", simulated.most);
    }

    #[test]
    fn without_backups_nothing_is_left() {
        let none = Calendar { first: 0, every: 1, count: 0 };
        assert_eq!(none.simulate(&policy(&[]), &|_| 0), Simulated { left: Vec::new(), most: 0 });
    }
}
