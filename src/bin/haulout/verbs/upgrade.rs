//! `upgrade`: sets the features of a repository that an earlier version made.

use clap::Args;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::upgrade::Standing;
use haulout::ops::upgrade::StandingRun;
use haulout::ops::upgrade::UpgradePlan;
use haulout::repo::Features;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::consent::ConsentArguments;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::console::Loudness;
use crate::output::features::Feature;
use crate::output::features::bits;
use crate::output::features::lines;
use crate::output::features::needs;
use crate::output::features::needs_line;
use crate::output::features::refused_before;
use crate::output::phrases::fact;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::output::units;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db upgrade --plan
  haulout -r /backup/db upgrade
  haulout -r /backup/db upgrade --yes

What is stored stays as it is. Versions of haulout that do not know a feature refuse the \
repository from then on, on every host; install this one there first.";

/// Let a repository of an earlier version have what this one makes
///
/// Sets the features that the repository lacks: what is stored from then on takes less room. One
/// object changes, config, so the user needs a key that opens everything and the right to
/// overwrite. Refuses while a run may be writing. Without anything to set, says so and exits with
/// 0. Before it sets anything it asks on the terminal; elsewhere it needs --yes.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct UpgradeArguments {
    /// Say what would be set and which versions stop working, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,

    /// The runs that may still be writing are known to have ended
    #[arg(long)]
    pub(crate) runs_ended: bool,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,
}

impl Job for UpgradeArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.upgrade(self)
    }
}

impl Run<'_> {
    /// Sets the features that the repository lacks, or prints the plan for that.
    pub(crate) fn upgrade(&self, typed: &UpgradeArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let plan = ops::upgrade::plan(&repository, &self.world)?;
        let place = repository.store().location();
        let standing = if typed.runs_ended { Standing::Ended } else { Standing::Refused };
        if typed.plan {
            self.report.upgrade_planned(&place, &plan)?;
            let counts = standing == Standing::Refused;
            return Ok(Exit::with(plan.standing.iter().filter(|_| counts).count()));
        }
        if let Some(version) = needs(plan.sets) {
            let what = refused_before(&place, &version);
            let question = format!("{what}: set {}?", counted(plan.sets));
            self.require_consent(typed.consent, &question, &what)?;
        }
        let upgraded = plan.run(standing, &self.world)?;
        self.remember(&upgraded)?;
        self.report.upgraded(&place, &plan)?;
        Ok(Exit::Done)
    }
}

/// The JSON report of `upgrade --plan`.
#[derive(Debug, Serialize)]
struct Planned<'r> {
    repository: &'r str,
    /// The bits that it has.
    features: Vec<u32>,
    /// The features that would be set.
    sets: Vec<Feature>,
    /// The first version that knows these.
    needs: Option<String>,
    /// Runs that may still be writing.
    runs: Vec<Writing<'r>>,
    being_written: u64,
}

/// A run that may still be writing.
#[derive(Debug, Serialize)]
struct Writing<'r> {
    run: &'r str,
    source: Option<&'r str>,
}

impl<'r> From<&'r StandingRun> for Writing<'r> {
    fn from(standing: &'r StandingRun) -> Self {
        Self { run: &standing.id, source: standing.source.as_deref() }
    }
}

/// The JSON report of `upgrade`.
#[derive(Debug, Serialize)]
struct Upgraded<'r> {
    repository: &'r str,
    /// The bits that it has now.
    features: Vec<u32>,
    /// The features that were set.
    set: Vec<Feature>,
    /// The first version that knows these.
    needs: Option<String>,
}

impl Report {
    /// Prints what an upgrade would set.
    pub(crate) fn upgrade_planned(&self, place: &str, plan: &UpgradePlan<'_>) -> Result<()> {
        let planned = Planned {
            repository: place,
            features: bits(plan.has),
            sets: plan.sets.described().map(Feature::from).collect(),
            needs: needs(plan.sets),
            runs: plan.standing.iter().map(Writing::from).collect(),
            being_written: plan.being_written,
        };
        self.result(&planned, || {
            if plan.sets == Features::NONE {
                return nothing(place);
            }
            let counted = counted(plan.sets);
            let mut text = format!("{counted} would be set in {}\n", clean(place));
            text += &(lines(plan.sets) + &needs_line(plan.sets));
            let run =
                |run: &StandingRun| fact("run", &format!("{} may be writing", run.in_words()));
            text.extend(plan.standing.iter().map(run));
            if plan.being_written > 0 {
                let files = units::counted(plan.being_written, "file");
                text += &fact("files", &format!("{files} being written at this moment"));
            }
            text
        })
    }

    /// Prints the report of an upgrade.
    pub(crate) fn upgraded(&self, place: &str, plan: &UpgradePlan<'_>) -> Result<()> {
        let UpgradePlan { has, sets, .. } = *plan;
        let upgraded = Upgraded {
            repository: place,
            features: bits(has.with(sets)),
            set: sets.described().map(Feature::from).collect(),
            needs: needs(sets),
        };
        self.result(&upgraded, || {
            if sets == Features::NONE {
                return nothing(place);
            }
            let head = format!("set {} in {}", counted(sets), clean(place));
            match (self.console.loudness, needs(sets)) {
                (Loudness::Brief, Some(version)) => {
                    format!("{head}: it needs haulout {version} or newer\n")
                }
                _ => format!("{head}\n{}{}", lines(sets), needs_line(sets)),
            }
        })
    }
}

fn counted(features: Features) -> String {
    units::counted(u64_of(features.bits().count()), "feature")
}

fn nothing(place: &str) -> String {
    format!("{} has all features: there is nothing to upgrade\n", clean(place))
}
