//! `salvage`: rebuilds the config of a repository, and says what else can be had back.

use std::sync::Arc;

use clap::Args;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::salvage;
use haulout::ops::salvage::SalvagePlan;
use haulout::repo::keys::Limits;
use haulout::repo::salvage::ConfigState;
use haulout::repo::salvage::Salvaged;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Access;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::phrases::fact;
use crate::output::report::Report;
use crate::output::units;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db salvage --plan
  haulout -r /backup/db salvage
  haulout -r /backup/db salvage --recovery-kit /media/usb/kit

A copy of the repository has everything: ask it first, with haulout repair --from, or with haulout \
replicate --from. haulout help repair says what can be had back without one.";

/// The hint for a place where the key opens nothing.
const OTHER_KEY: &str = "give the password or the recovery kit of this repository";

/// Rebuild the config of a repository, and say what else is lost
///
/// Without config nothing opens. It is made again from a key slot and its password, or from a
/// recovery kit, with all feature bits that this version knows: what is stored does not show which
/// it had, and versions that know fewer refuse the repository from then on. Then says which keys,
/// lists of retired keys and snapshots are there, and how many packs no snapshot names. Makes no
/// snapshot. Exits with 0 if nothing else is lost, else with 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct SalvageArguments {
    /// Say what would be done and what is lost, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,
}

impl Job for SalvageArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.salvage(self)
    }
}

impl Run<'_> {
    /// Rebuilds the config, or prints the plan for that.
    pub(crate) fn salvage(&self, typed: &SalvageArguments) -> Outcome<Exit> {
        let (store, limits) = (self.store()?, Limits::STANDARD);
        let salvaged = self.unlocked(|access| match access {
            Access::Key(credential) => {
                Salvaged::by_key(Arc::clone(&store), credential, &limits, &self.world)
            }
            Access::Kit(kit, passphrase) => {
                Salvaged::by_kit(Arc::clone(&store), kit, passphrase, &limits, &self.world)
            }
        });
        let salvaged = salvaged.map_err(|failure| {
            if failure.kind() == ErrorKind::ForeignKey {
                return failure.with_hint(OTHER_KEY);
            }
            failure
        })?;
        self.compare(&salvaged.repository)?;
        let plan = salvage::plan(&salvaged, &self.world)?;
        if !typed.plan {
            plan.run(&self.world)?;
        }
        self.report.salvaged(&plan, typed)?;
        Ok(Exit::with(usize::from(plan.is_incomplete())))
    }
}

/// The JSON report of `salvage`.
#[derive(Debug, Serialize)]
struct Told<'r> {
    /// The state in which the config was found: whole, missing or changed.
    config: &'static str,
    /// True if the config was put.
    rebuilt: bool,
    features: Vec<u32>,
    key_slots: Option<u64>,
    lists_missing: &'r [u8],
    snapshots: u64,
    unreadable: &'r [String],
    unnamed_packs: u64,
    unnamed_bytes: u64,
    runs_without_snapshot: u64,
}

impl Report {
    /// Prints what is left of a repository, and what was done.
    fn salvaged(&self, plan: &SalvagePlan<'_>, typed: &SalvageArguments) -> Result<()> {
        let SalvagePlan { features, key_slots, lists_missing, snapshots, .. } = plan;
        let SalvagePlan { unreadable, unnamed, runs, .. } = plan;
        let (config, why) = match plan.config() {
            ConfigState::Whole => ("whole", String::new()),
            ConfigState::Missing => ("missing", "it was missing".to_owned()),
            ConfigState::Changed(why) => ("changed", format!("it had changed: {why}")),
        };
        let bits: Vec<u32> = features.bits().collect();
        let told = Told {
            config,
            rebuilt: config != "whole" && !typed.plan,
            features: bits.clone(),
            key_slots: *key_slots,
            lists_missing,
            snapshots: *snapshots,
            unreadable,
            unnamed_packs: unnamed.count,
            unnamed_bytes: unnamed.bytes,
            runs_without_snapshot: *runs,
        };
        self.result(&told, || {
            let done = match (config, typed.plan) {
                ("whole", _) => "is whole".to_owned(),
                (_, true) => format!("would be rebuilt: {why}"),
                (_, false) => format!("was rebuilt: {why}"),
            };
            let words: Vec<String> = bits.iter().map(ToString::to_string).collect();
            let mut text = fact("config", &format!("{done}, features {}", words.join(" ")));
            text.extend(key_slots.map(|count| fact("keys", &keys(count))));
            for generation in lists_missing {
                let what = format!(
                    "the list of what generation {generation} had sealed is missing: its \
                     snapshots are not believed, put it back from a copy"
                );
                text += &fact("keys", &what);
            }
            let count = units::counted(*snapshots, "snapshot");
            text += &fact("snapshots", &format!("{count} can be read"));
            text.extend(unreadable.iter().map(|what| fact("lost", what)));
            if unnamed.count > 0 {
                let packs = units::counted(unnamed.count, "pack");
                let (bytes, runs) = (units::size(unnamed.bytes), units::counted(*runs, "run"));
                let what = format!(
                    "{packs}, {bytes}, are named by no snapshot, {runs} without one: of backups \
                     that did not end, or of snapshots that are lost"
                );
                text += &fact("packs", &what);
            }
            text
        })
    }
}

/// Says how many key slots there are, and what to do without any.
fn keys(count: u64) -> String {
    if count == 0 {
        return "there is no key slot: add one with haulout key add --recovery-kit FILE".to_owned();
    }
    units::counted(count, "key slot")
}
