//! The arguments of `forget`.

use std::time::Duration;

use clap::Args;
use clap::ValueEnum;
use haulout::ops::forget::Refusal;
use haulout::ops::forget::policy::Period;
use haulout::ops::forget::policy::PeriodRule;
use haulout::ops::forget::policy::Policy;
use jiff::tz::TimeZone;

use crate::grammar::values::long_duration;
use crate::grammar::values::tag;
use crate::grammar::values::time_zone;
use crate::open::consent::ConsentArguments;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db forget --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --plan
  haulout -r /backup/db forget --source db1 --keep-daily 14 --prune --yes
  haulout -r /backup/db forget 3fa9c1 --reason 'customer erased'
  haulout -r local forget --policy --prune --yes
  haulout forget --simulate --every day --for 2y --keep-daily 14";

/// The ids of all rules.
const RULES: [&str; 9] = [
    "keep_last",
    "keep_within",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_tag",
    "keep_pitr",
];

/// Remove snapshots: those that no rule keeps, or those that are named
///
/// Each rule applies for itself, to the snapshots of each source. Prints why each snapshot stays
/// or goes, asks on the terminal, and elsewhere needs --yes. Exits with 3 if something was
/// refused, is held, lacks a pack or can't be read.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct ForgetArguments {
    /// Snapshots to remove, instead of rules: ids or their beginnings
    #[arg(value_name = "SNAPSHOT", conflicts_with_all = ["sources", "simulate"])]
    pub(crate) snapshots: Vec<String>,

    /// Only snapshots of this source; may be repeated
    #[arg(long = "source", value_name = "NAME", conflicts_with = "simulate")]
    pub(crate) sources: Vec<String>,

    /// Say what would be removed and freed, and change nothing
    #[arg(long, visible_alias = "dry-run", conflicts_with = "simulate")]
    pub(crate) plan: bool,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,

    /// Prune afterwards, as haulout prune does
    #[arg(long, conflicts_with = "simulate")]
    pub(crate) prune: bool,

    /// Why the snapshots are removed; stays on record
    #[arg(
        long,
        value_name = "TEXT",
        hide_short_help = true,
        value_parser = tag,
        conflicts_with = "simulate"
    )]
    pub(crate) reason: Option<String>,

    /// Do what is refused for this reason; may be repeated
    #[arg(long, value_name = "REFUSAL", hide_short_help = true, conflicts_with = "simulate")]
    pub(crate) allow: Vec<Allowed>,

    /// The snapshots that are named can't be read
    #[arg(
        long,
        hide_short_help = true,
        requires = "snapshots",
        conflicts_with_all = RULES
    )]
    pub(crate) damaged: bool,

    #[command(flatten)]
    pub(crate) rules: RuleArguments,

    #[command(flatten)]
    pub(crate) calendar: CalendarArguments,
}

/// The rules that keep snapshots.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct RuleArguments {
    /// Apply the rules that the configuration has for the repository
    #[arg(
        long = "policy",
        hide_short_help = true,
        hide_long_help = true,
        conflicts_with_all = RULES,
        conflicts_with_all = ["snapshots", "simulate"]
    )]
    pub(crate) by_configuration: bool,

    /// Keep the newest N; --keep-within 30d: by age
    #[arg(long, value_name = "N", conflicts_with = "snapshots")]
    pub(crate) keep_last: Option<u32>,

    /// Keep all that are at most this much older than the newest: 30d, 8w, 2y
    #[arg(
        long,
        value_name = "DURATION",
        hide_short_help = true,
        hide_long_help = true,
        value_parser = long_duration,
        conflicts_with = "snapshots"
    )]
    pub(crate) keep_within: Option<Duration>,

    /// Keep the newest of each of N hours
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        hide_long_help = true,
        conflicts_with = "snapshots"
    )]
    pub(crate) keep_hourly: Option<u32>,

    /// Keep one of each of N days (-hourly to -yearly)
    #[arg(long, value_name = "N", conflicts_with = "snapshots")]
    pub(crate) keep_daily: Option<u32>,

    /// Keep the newest of each of N weeks, from Monday
    #[arg(long, value_name = "N", hide_long_help = true, conflicts_with = "snapshots")]
    pub(crate) keep_weekly: Option<u32>,

    /// Keep the newest of each of N months
    #[arg(long, value_name = "N", hide_long_help = true, conflicts_with = "snapshots")]
    pub(crate) keep_monthly: Option<u32>,

    /// Keep the newest of each of N years
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        hide_long_help = true,
        conflicts_with = "snapshots"
    )]
    pub(crate) keep_yearly: Option<u32>,

    /// Keep what has this tag; may be repeated
    #[arg(
        long,
        value_name = "TAG",
        hide_short_help = true,
        value_parser = tag,
        conflicts_with = "snapshots"
    )]
    pub(crate) keep_tag: Vec<String>,

    /// Keep binary logs from the newest backup on that is this much older than the newest, and that
    /// backup; without it all binary logs stay
    #[arg(
        long,
        value_name = "DURATION",
        hide_short_help = true,
        value_parser = long_duration,
        conflicts_with = "snapshots"
    )]
    pub(crate) keep_pitr: Option<Duration>,

    /// Zone in which days begin: local, or a name like Europe/Berlin
    #[arg(
        long,
        value_name = "ZONE",
        hide_short_help = true,
        default_value = "UTC",
        value_parser = time_zone
    )]
    pub(crate) time_zone: TimeZone,
}

impl RuleArguments {
    /// Tells whether any rule was given.
    pub(crate) fn are_given(&self) -> bool {
        self.keep_last.is_some()
            || self.keep_within.is_some()
            || !self.periods().is_empty()
            || !self.keep_tag.is_empty()
            || self.keep_pitr.is_some()
    }

    /// Returns the policy that the rules make.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last.unwrap_or_default(),
            within: self.keep_within.map(|time| time.as_secs()),
            periods: self.periods(),
            tags: self.keep_tag.clone(),
            pitr: self.keep_pitr.map(|time| time.as_secs()),
        }
    }

    fn periods(&self) -> Vec<PeriodRule> {
        let rules = [
            (Period::Hour, self.keep_hourly),
            (Period::Day, self.keep_daily),
            (Period::Week, self.keep_weekly),
            (Period::Month, self.keep_monthly),
            (Period::Year, self.keep_yearly),
        ];
        let rule =
            |(period, count): (Period, Option<u32>)| Some(PeriodRule { period, count: count? });
        rules.into_iter().filter_map(rule).collect()
    }
}

/// Imagined backups to which the rules are applied.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct CalendarArguments {
    /// Say what the rules would leave of imagined backups, without a repository
    ///
    /// --every (day, 6h) is the time between two, --for (2y) that of all.
    #[arg(long, hide_short_help = true, requires = "every", requires = "period")]
    pub(crate) simulate: bool,

    /// Time from one backup to the next: hour, day, week, or 6h
    #[arg(
        long,
        value_name = "DURATION",
        hide_short_help = true,
        hide_long_help = true,
        value_parser = long_duration,
        requires = "simulate"
    )]
    pub(crate) every: Option<Duration>,

    /// How long there are backups: 90d, 26w, 2y
    #[arg(
        long = "for",
        id = "period",
        value_name = "DURATION",
        hide_short_help = true,
        hide_long_help = true,
        value_parser = long_duration,
        requires = "simulate"
    )]
    pub(crate) period: Option<Duration>,
}

/// A refusal that the user allows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allowed {
    /// No complete snapshot of a source would be left
    NoneComplete,
    /// The newest complete snapshot of a source would go
    NewestComplete,
    /// More than half of a source, and more than 5, would go
    Half,
    /// The rules keep nothing
    NothingKept,
    /// Nothing has a tag of --keep-tag
    NoTag,
    /// Snapshots are dated a day after this clock
    Future,
    /// Some are held: they stay, and the others go
    Held,
    /// One that stays can't be restored without one that goes
    Required,
    /// A note can't be read, and may be a hold
    UnreadNote,
    /// A snapshot of the source can't be read
    UnreadSnapshot,
}

impl From<Refusal> for Allowed {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoneComplete => Self::NoneComplete,
            Refusal::NewestComplete => Self::NewestComplete,
            Refusal::Half => Self::Half,
            Refusal::NothingKept => Self::NothingKept,
            Refusal::NoTag => Self::NoTag,
            Refusal::Future => Self::Future,
            Refusal::Held => Self::Held,
            Refusal::Required => Self::Required,
            Refusal::UnreadNote => Self::UnreadNote,
            Refusal::UnreadSnapshot => Self::UnreadSnapshot,
        }
    }
}

impl Allowed {
    /// Returns the value of `--allow`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NoneComplete => "none-complete",
            Self::NewestComplete => "newest-complete",
            Self::Half => "half",
            Self::NothingKept => "nothing-kept",
            Self::NoTag => "no-tag",
            Self::Future => "future",
            Self::Held => "held",
            Self::Required => "required",
            Self::UnreadNote => "unread-note",
            Self::UnreadSnapshot => "unread-snapshot",
        }
    }
}
