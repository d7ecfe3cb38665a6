//! Which snapshots a policy keeps and removes, and why.
//!
//! Pure: it is given the snapshots of one source, rules and an offset from UTC, and returns a
//! reason for each snapshot. It asks no clock: age is counted from the newest snapshot whose time
//! is believed, so a silent source loses nothing.
//!
//! Invariants, each with a test:
//! - The order is that of (sequence number, name); times decide periods only, and only believed
//!   ones.
//! - Each rule applies for itself; what any rule keeps stays, and all reasons are named.
//! - The newest snapshot of each period is kept. Empty periods do not count. While a rule has found
//!   fewer periods than it wants, it keeps the oldest snapshot as well.
//! - A snapshot that a kept one requires is kept.
//! - Doubtful, lacking and removed snapshots count for nothing, and are not removed by age.
//! - `unattested` and `corrupt-pages` count, but the newest `complete` one is kept beside them.
//! - Of partial ones and checkpoints only the newest is kept, while no good one is newer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::ids::SnapshotId;
use crate::format::snapshot::Verdict;

/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;
/// Days of 400 years.
const DAYS_OF_ERA: i64 = 146_097;

/// Whether a snapshot can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is there with all that it needs.
    Whole,
    /// It lacks a pack, or is doubtful: it is neither counted nor removed by a rule.
    Doubtful,
}

/// A snapshot as a policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The id of the snapshot; decides between equal sequence numbers.
    pub id: SnapshotId,
    /// The number of the snapshot in its source.
    pub sequence: u64,
    /// The time that counts, seconds since 1970: the scheduled slot if it records one, else when
    /// its run began.
    pub time: u64,
    /// The verdict that it has.
    pub verdict: Verdict,
    /// Whether it can be counted.
    pub state: State,
    /// The snapshots without which it can't be restored.
    pub requires: Vec<SnapshotId>,
    /// The tags that it has.
    pub tags: Vec<String>,
    /// Until when it is held; `u64::MAX` for ever.
    pub held_until: Option<u64>,
}

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// From full hour to full hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

impl Period {
    /// Returns the word for what is kept of each.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// Returns a number that is the same for all times in one period, and grows with them.
    fn number(self, local: i64) -> i64 {
        let day = local.div_euclid(86_400);
        match self {
            Self::Hour => local.div_euclid(3600),
            Self::Day => day,
            // The first of January 1970 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => {
                let (year, month) = year_and_month(day);
                year * 12 + month
            }
            Self::Year => year_and_month(day).0,
        }
    }
}

/// Returns the year and the month (0 to 11) of a day counted from 1970.
fn year_and_month(day: i64) -> (i64, i64) {
    // Years that begin in March, in eras of 400 years.
    let day = day + DAYS_TO_1970;
    let (era, of_era) = (day.div_euclid(DAYS_OF_ERA), day.rem_euclid(DAYS_OF_ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (DAYS_OF_ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let is_next_year = month >= 10;
    (era * 400 + year + i64::from(is_next_year), (month + 2) % 12)
}

/// A rule about the periods of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodRule {
    /// The kind of period of which the newest snapshot is kept.
    pub period: Period,
    /// The number of periods.
    pub count: u32,
}

/// A place among those that a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The place, 1 for the newest.
    pub number: u32,
    /// The number of places.
    pub of: u32,
}

/// The rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The newest ones that are kept.
    pub last: u32,
    /// Seconds before the newest within which all are kept.
    pub within: Option<u64>,
    /// Periods of which the newest one is kept, and how many.
    pub periods: Vec<PeriodRule>,
    /// Tags whose snapshots are kept.
    pub tags: Vec<String>,
    /// Seconds before the newest within which binary logs can bring a backup to any moment.
    pub pitr: Option<u64>,
}

impl Policy {
    /// Tells whether no rule keeps backups; the window of binary logs keeps one at most.
    pub fn keeps_nothing(&self) -> bool {
        self.last == 0
            && self.within.is_none()
            && self.periods.iter().all(|rule| rule.count == 0)
            && self.tags.is_empty()
    }
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// One of the newest.
    Last(Place),
    /// Within the time before the newest.
    Within,
    /// The newest of a period.
    Of(Period, Place),
    /// The oldest, while a rule has fewer periods than it may keep.
    Oldest(Period, Place),
    /// It has this tag.
    Tag(String),
    /// It is held until this time.
    Held(u64),
    /// This kept snapshot requires it.
    Required(SnapshotId),
    /// It is the newest complete one.
    NewestComplete,
    /// The newest partial one, and nothing good is newer.
    NewestPartial,
    /// It is doubtful or lacks something, and a rule does not decide about that.
    Doubtful,
    /// Snapshots were named, and it was not among them.
    NotNamed,
    /// The backup with which the window of binary logs begins.
    WindowBegins,
    /// A binary log that a backup of the window needs.
    InWindow,
    /// A binary log, where there is no rule about them.
    NoWindow,
}

/// What a policy decides about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The snapshot that it is about.
    pub id: SnapshotId,
    /// Why it is kept; empty if it is removed.
    pub kept: Vec<Kept>,
    /// For a removed one: the kept snapshot that took its place, the next newer one.
    pub replaced_by: Option<SnapshotId>,
    /// Its time is not believed, and the time of the one before counts.
    pub has_odd_time: bool,
}

/// Decides about the snapshots of one source. `offset` gives the seconds that local time is ahead
/// of UTC at a time.
pub fn decide(
    policy: &Policy,
    candidates: &[Candidate],
    offset: &dyn Fn(u64) -> i64,
) -> Vec<Decision> {
    let mut candidates: Vec<&Candidate> = candidates.iter().collect();
    candidates.sort_by_key(|candidate| (candidate.sequence, candidate.id));
    let times = believed_times(&candidates);
    let ordered: Vec<Dated<'_>> = candidates
        .into_iter()
        .zip(times)
        .map(|(candidate, time)| Dated { candidate, time })
        .collect();
    let mut keeping = Keeping::default();
    keeping.by_rules(policy, &ordered, offset);
    keeping.by_wish(policy, &ordered);
    keeping.by_verdict(&ordered);
    keeping.by_window(policy, &ordered);
    keeping.required(&ordered);
    keeping.conclude(&ordered)
}

/// A snapshot, and the time that counts for it.
struct Dated<'c> {
    candidate: &'c Candidate,
    time: Believed,
}

impl Dated<'_> {
    /// Tells whether a rule counts it.
    fn counts(&self) -> bool {
        self.candidate.state == State::Whole && self.candidate.verdict != Verdict::Partial
    }
}

/// What is kept so far, with all reasons.
#[derive(Default)]
struct Keeping(BTreeMap<SnapshotId, BTreeSet<Kept>>);

impl Keeping {
    fn keep(&mut self, dated: &Dated<'_>, why: Kept) {
        self.0.entry(dated.candidate.id).or_default().insert(why);
    }

    /// Applies the rules about numbers and times.
    fn by_rules(&mut self, policy: &Policy, ordered: &[Dated<'_>], offset: &dyn Fn(u64) -> i64) {
        let counted: Vec<&Dated<'_>> = ordered.iter().filter(|dated| dated.counts()).collect();
        for (number, dated) in (1..=policy.last).zip(counted.iter().rev()) {
            self.keep(dated, Kept::Last(Place { number, of: policy.last }));
        }
        if let Some(within) = policy.within {
            let from = newest_time(ordered).saturating_sub(within);
            for dated in counted.iter().filter(|dated| dated.time.seconds >= from) {
                self.keep(dated, Kept::Within);
            }
        }
        for &PeriodRule { period, count: of } in &policy.periods {
            let mut number = 0;
            let mut last = None;
            for dated in counted.iter().rev() {
                let seconds = dated.time.seconds;
                let local = i64::try_from(seconds).unwrap_or(i64::MAX / 2) + offset(seconds);
                let at = period.number(local);
                if number < of && last != Some(at) {
                    number += 1;
                    last = Some(at);
                    self.keep(dated, Kept::Of(period, Place { number, of }));
                }
            }
            if let (true, Some(oldest)) = (number < of, counted.first()) {
                self.keep(oldest, Kept::Oldest(period, Place { number, of }));
            }
        }
    }

    /// Keeps what has a tag of the policy or is held, and what no rule can decide about.
    fn by_wish(&mut self, policy: &Policy, ordered: &[Dated<'_>]) {
        let newest_time = newest_time(ordered);
        for dated in ordered {
            let candidate = dated.candidate;
            for tag in candidate.tags.iter().filter(|tag| policy.tags.contains(tag)) {
                self.keep(dated, Kept::Tag(tag.clone()));
            }
            if let Some(until) = candidate.held_until.filter(|until| *until > newest_time) {
                self.keep(dated, Kept::Held(until));
            }
            if candidate.state == State::Doubtful {
                self.keep(dated, Kept::Doubtful);
            }
        }
    }

    /// Keeps the newest complete one beside newer ones that are less, and the newest partial one
    /// while nothing good is newer.
    fn by_verdict(&mut self, ordered: &[Dated<'_>]) {
        let verdict = |dated: &Dated<'_>| dated.candidate.verdict;
        let counted: Vec<&Dated<'_>> = ordered.iter().filter(|dated| dated.counts()).collect();
        let complete = counted.iter().rev().find(|dated| verdict(dated) == Verdict::Complete);
        let is_newest = counted.last().is_some_and(|dated| verdict(dated) == Verdict::Complete);
        if let (Some(complete), false) = (complete, is_newest) {
            self.keep(complete, Kept::NewestComplete);
        }
        let last = ordered.iter().rev().find(|dated| dated.candidate.state == State::Whole);
        if let Some(last) = last.filter(|dated| verdict(dated) == Verdict::Partial) {
            self.keep(last, Kept::NewestPartial);
        }
    }

    /// Keeps the backup with which the window of binary logs begins: the newest good one that is as
    /// old as the window is long, or else the oldest.
    fn by_window(&mut self, policy: &Policy, ordered: &[Dated<'_>]) {
        let Some(window) = policy.pitr else { return };
        let from = newest_time(ordered).saturating_sub(window);
        let is_good =
            |dated: &&Dated<'_>| dated.counts() && dated.candidate.verdict != Verdict::CorruptPages;
        let good: Vec<&Dated<'_>> = ordered.iter().filter(is_good).collect();
        let before = good.iter().rev().find(|dated| dated.time.seconds <= from);
        if let Some(first) = before.or(good.first()) {
            self.keep(first, Kept::WindowBegins);
        }
    }

    /// Keeps what kept snapshots require, and what that requires.
    fn required(&mut self, ordered: &[Dated<'_>]) {
        let candidates = ordered.iter().map(|dated| (dated.candidate.id, dated.candidate));
        let by_id: BTreeMap<SnapshotId, &Candidate> = candidates.collect();
        let mut waiting: Vec<SnapshotId> = self.0.keys().copied().collect();
        while let Some(id) = waiting.pop() {
            for required in by_id.get(&id).into_iter().flat_map(|candidate| &candidate.requires) {
                let is_new = !self.0.contains_key(required);
                self.0.entry(*required).or_default().insert(Kept::Required(id));
                if is_new {
                    waiting.push(*required);
                }
            }
        }
    }

    fn conclude(mut self, ordered: &[Dated<'_>]) -> Vec<Decision> {
        let mut replaced_by = None;
        let mut decisions: Vec<Decision> = Vec::with_capacity(ordered.len());
        for Dated { candidate, time } in ordered.iter().rev() {
            let id = candidate.id;
            let kept: Vec<Kept> = self.0.remove(&id).into_iter().flatten().collect();
            let is_removed = kept.is_empty();
            let replaced_by = if is_removed {
                replaced_by
            } else {
                replaced_by.replace(id);
                None
            };
            decisions.push(Decision { id, kept, replaced_by, has_odd_time: time.is_odd });
        }
        decisions.reverse();
        decisions
    }
}

/// Returns the newest time that is believed; 0 of no snapshots.
fn newest_time(ordered: &[Dated<'_>]) -> u64 {
    ordered.iter().map(|dated| dated.time.seconds).max().unwrap_or_default()
}

/// The time that counts for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Believed {
    /// Its seconds since 1970.
    seconds: u64,
    /// The snapshot's own time is another, and is not believed.
    is_odd: bool,
}

/// Returns the time that counts for each snapshot, in their order.
///
/// The longest run of times that do not decrease is believed, of several the one that ends
/// earliest. The others take the time of the believed one before, the first ones that of the
/// believed one after.
fn believed_times(ordered: &[&Candidate]) -> Vec<Believed> {
    // The places at which the best runs of each length end, by patience sorting.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::new();
    for (n, candidate) in ordered.iter().enumerate() {
        let at = ends.partition_point(|end| ordered[*end].time <= candidate.time);
        before.push(at.checked_sub(1).map(|at| ends[at]));
        if at == ends.len() { ends.push(n) } else { ends[at] = n }
    }
    let mut believed = BTreeSet::new();
    let mut at = ends.last().copied();
    while let Some(n) = at {
        believed.insert(n);
        at = before[n];
    }
    let first = believed.first().map_or(0, |n| ordered[*n].time);
    let mut time = first;
    let mut times = Vec::with_capacity(ordered.len());
    for (n, candidate) in ordered.iter().enumerate() {
        let is_believed = believed.contains(&n);
        if is_believed {
            time = candidate.time;
        }
        times.push(Believed { seconds: time, is_odd: !is_believed });
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    /// The first of January 2026, a Thursday.
    const START: u64 = 1_767_225_600;

    fn id(number: u64) -> SnapshotId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        SnapshotId(bytes)
    }

    fn number(id: SnapshotId) -> u64 {
        u64::from_le_bytes(*id.0.first_chunk().unwrap())
    }

    fn place(number: u32, of: u32) -> Place {
        Place { number, of }
    }

    fn night(number: u64) -> Candidate {
        Candidate {
            id: id(number),
            sequence: number,
            time: START + number * DAY + 2 * 3600,
            verdict: Verdict::Complete,
            state: State::Whole,
            requires: Vec::new(),
            tags: Vec::new(),
            held_until: None,
        }
    }

    fn nights(count: u64) -> Vec<Candidate> {
        (0..count).map(night).collect()
    }

    fn periods(rules: &[(Period, u32)]) -> Policy {
        let rule = |(period, count): &(Period, u32)| PeriodRule { period: *period, count: *count };
        Policy { periods: rules.iter().map(rule).collect(), ..Policy::default() }
    }

    fn utc(_: u64) -> i64 {
        0
    }

    fn kept(policy: &Policy, candidates: &[Candidate]) -> Vec<u64> {
        let decisions = decide(policy, candidates, &utc);
        decisions.into_iter().filter(|d| !d.kept.is_empty()).map(|d| number(d.id)).collect()
    }

    fn reasons(policy: &Policy, candidates: &[Candidate], wanted: u64) -> Vec<Kept> {
        decide(policy, candidates, &utc).into_iter().find(|d| number(d.id) == wanted).unwrap().kept
    }

    #[test]
    fn the_calendar_is_that_of_iso_8601() {
        // 2026-01-01 is in week 1 with Monday 2025-12-29; 2024-02-29 is in February.
        let day = |days: i64| days * 86_400;
        assert_eq!(Period::Week.number(day(20_454)), Period::Week.number(day(20_451)));
        assert_ne!(Period::Week.number(day(20_451)), Period::Week.number(day(20_450)));
        for (days, expected) in [
            (0, (1970, 0)),
            (-1, (1969, 11)),
            (19_782, (2024, 1)),
            (19_783, (2024, 2)),
            (20_453, (2025, 11)),
            (20_454, (2026, 0)),
            (11_016, (2000, 1)),
        ] {
            assert_eq!(year_and_month(days), expected, "{days}");
        }
    }

    #[test]
    fn months_begin_where_the_number_of_days_says() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut day = 0;
        for year in 1970..2400 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in (0..).zip(lengths) {
                assert_eq!(year_and_month(day), (year, month));
                day += length + i64::from(is_leap && month == 1);
                assert_eq!(year_and_month(day - 1), (year, month));
            }
        }
    }

    #[test]
    fn each_rule_applies_for_itself_and_all_reasons_are_named() {
        let all = nights(40);
        let policy = Policy { last: 2, ..periods(&[(Period::Day, 3), (Period::Week, 2)]) };
        // Night 39 is a Monday.
        assert_eq!(kept(&policy, &all), [37, 38, 39]);
        assert_eq!(
            reasons(&policy, &all, 39),
            [
                Kept::Last(place(1, 2)),
                Kept::Of(Period::Day, place(1, 3)),
                Kept::Of(Period::Week, place(1, 2))
            ]
        );
        let sunday = [
            Kept::Last(place(2, 2)),
            Kept::Of(Period::Day, place(2, 3)),
            Kept::Of(Period::Week, place(2, 2)),
        ];
        assert_eq!(reasons(&policy, &all, 38), sunday);
    }

    #[test]
    fn a_removed_snapshot_names_what_took_its_place() {
        let decisions = decide(&periods(&[(Period::Week, 2)]), &nights(42), &utc);
        assert_eq!(decisions[30].replaced_by, Some(id(38)));
        assert_eq!(decisions[39].replaced_by, Some(id(41)));
        assert_eq!(decisions[38].replaced_by, None);
    }

    #[test]
    fn empty_periods_do_not_count_and_the_oldest_stays_while_a_rule_is_not_full() {
        let all: Vec<Candidate> = [0, 1, 2, 30, 31, 90].map(night).into();
        assert_eq!(kept(&periods(&[(Period::Day, 4)]), &all), [2, 30, 31, 90]);
        // January, February (day 31), April: the fourth month is not there yet.
        let policy = periods(&[(Period::Month, 4)]);
        assert_eq!(kept(&policy, &all), [0, 30, 31, 90]);
        assert_eq!(reasons(&policy, &all, 0), [Kept::Oldest(Period::Month, place(3, 4))]);
    }

    #[test]
    fn the_zone_of_the_policy_decides_which_day_it_is() {
        // 23:30 and 00:30 UTC: one day in a zone that is an hour ahead.
        let mut all = nights(2);
        (all[0].time, all[1].time) = (START + DAY - 1800, START + DAY + 1800);
        let policy = periods(&[(Period::Day, 1)]);
        let count = |offset: &dyn Fn(u64) -> i64| {
            let wanted = periods(&[(Period::Day, 2)]);
            let of = decide(&wanted, &all, offset);
            of.iter().filter(|d| matches!(d.kept.first(), Some(Kept::Of(..)))).count()
        };
        assert_eq!((count(&utc), count(&|_| 3600)), (2, 1));
        assert_eq!(kept(&policy, &all), [1]);
    }

    #[test]
    fn two_in_one_hour_and_equal_times_are_ordered_by_number_and_name() {
        let mut all = nights(3);
        all.iter_mut().for_each(|candidate| candidate.time = START);
        // Siblings.
        all[1].sequence = 2;
        assert_eq!(kept(&periods(&[(Period::Hour, 1)]), &all), [2]);
        all.reverse();
        assert_eq!(kept(&periods(&[(Period::Hour, 1)]), &all), [2]);
    }

    #[test]
    fn a_silent_source_loses_nothing_with_time() {
        // No clock is asked, so only the newest snapshot moves the window.
        let policy = Policy { within: Some(7 * DAY), ..Policy::default() };
        assert_eq!(kept(&policy, &nights(10)), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(kept(&policy, &nights(9)), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_night_removes_nothing() {
        for odd in [0, START + 4000 * DAY] {
            let mut all = nights(20);
            all[15].time = odd;
            let policy = Policy { within: Some(7 * DAY), ..Policy::default() };
            let decisions = decide(&policy, &all, &utc);
            assert!(decisions[15].has_odd_time, "{odd}");
            assert_eq!(decisions.iter().filter(|d| d.has_odd_time).count(), 1);
            let kept: Vec<u64> =
                decisions.iter().filter(|d| !d.kept.is_empty()).map(|d| number(d.id)).collect();
            assert_eq!(kept, (12..20).collect::<Vec<_>>(), "{odd}");
        }
    }

    #[test]
    fn an_odd_time_at_either_end_takes_that_of_its_neighbour() {
        let mut all = nights(5);
        (all[0].time, all[4].time) = (START + 900 * DAY, 5);
        let ordered: Vec<&Candidate> = all.iter().collect();
        let times = believed_times(&ordered);
        assert_eq!(times[0], Believed { seconds: all[1].time, is_odd: true });
        assert_eq!(times[4], Believed { seconds: all[3].time, is_odd: true });
        assert!(times[1..4].iter().all(|time| !time.is_odd));
    }

    #[test]
    fn what_an_increment_requires_is_kept_with_it_along_the_chain() {
        let mut all = nights(10);
        (all[5].requires, all[9].requires) = (vec![id(0)], vec![id(5), id(0)]);
        assert_eq!(kept(&Policy { last: 1, ..Policy::default() }, &all), [0, 5, 9]);
        let of_last = reasons(&Policy { last: 1, ..Policy::default() }, &all, 0);
        assert_eq!(of_last, [Kept::Required(id(5)), Kept::Required(id(9))]);
    }

    #[test]
    fn doubtful_snapshots_are_neither_counted_nor_removed() {
        let mut all = nights(5);
        all[4].state = State::Doubtful;
        let policy = Policy { last: 2, ..Policy::default() };
        assert_eq!(kept(&policy, &all), [2, 3, 4]);
        assert_eq!(reasons(&policy, &all, 4), [Kept::Doubtful]);
    }

    #[test]
    fn the_newest_complete_stays_beside_newer_ones_that_are_less() {
        for verdict in [Verdict::Unattested, Verdict::CorruptPages] {
            let mut all = nights(5);
            (all[3].verdict, all[4].verdict) = (verdict, verdict);
            let policy = Policy { last: 1, ..Policy::default() };
            assert_eq!(kept(&policy, &all), [2, 4]);
            assert_eq!(reasons(&policy, &all, 2), [Kept::NewestComplete]);
        }
    }

    #[test]
    fn of_partial_ones_the_newest_stays_while_nothing_good_is_newer() {
        let mut all = nights(6);
        for candidate in &mut all[2..] {
            candidate.verdict = Verdict::Partial;
        }
        let policy = Policy { last: 1, ..Policy::default() };
        assert_eq!(kept(&policy, &all), [1, 5]);
        assert_eq!(reasons(&policy, &all, 5), [Kept::NewestPartial]);
        all.push(night(6));
        assert_eq!(kept(&policy, &all), [6]);
    }

    #[test]
    fn tags_and_holds_keep_whatever_the_rules_say() {
        let mut all = nights(6);
        all[1].tags = vec!["audit".into()];
        all[2].held_until = Some(u64::MAX);
        all[3].held_until = Some(START);
        let policy = Policy { last: 1, tags: vec!["audit".into()], ..Policy::default() };
        assert_eq!(kept(&policy, &all), [1, 2, 5]);
    }

    #[test]
    fn rules_that_keep_nothing_are_known_as_such() {
        assert!(Policy::default().keeps_nothing());
        assert!(periods(&[(Period::Day, 0)]).keeps_nothing());
        assert!(!Policy { last: 1, ..Policy::default() }.keeps_nothing());
    }

    #[test]
    fn deciding_again_about_what_was_kept_removes_nothing() {
        let policy = Policy {
            last: 3,
            ..periods(&[(Period::Day, 14), (Period::Week, 8), (Period::Month, 12)])
        };
        let mut all: Vec<Candidate> = Vec::new();
        for n in 0..800 {
            all.push(night(n));
            let left = kept(&policy, &all);
            all.retain(|candidate| left.contains(&number(candidate.id)));
            assert_eq!(kept(&policy, &all), left, "night {n}");
        }
        assert!(all.len() <= 3 + 14 + 8 + 12 + 1, "{}", all.len());
        let months: BTreeSet<_> =
            all.iter().map(|c| Period::Month.number(c.time.try_into().unwrap())).collect();
        assert_eq!(months.len(), 12);
    }
}
