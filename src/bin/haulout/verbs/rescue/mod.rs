//! `rescue`: brings a cluster back that is down.

mod args;
mod carry_out;
mod check_node;
mod inspect_node;
mod plan_steps;

use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::output::report::Report;
use crate::verbs::rescue::args::RescueCommand;

pub(crate) use crate::verbs::rescue::args::RescueArguments;

impl RescueArguments {
    /// Does what is asked.
    pub(crate) fn run(
        &self,
        common: &Common,
        around: &Surroundings<'_>,
        report: &Report,
    ) -> Outcome<Exit> {
        let host = |named: &Option<String>| named.clone().unwrap_or_else(|| around.host.clone());
        match &self.command {
            RescueCommand::Inspect(typed) => typed.run(&host(&typed.host), report),
            RescueCommand::Plan(typed) => typed.run(common, report),
            RescueCommand::Step(typed) => typed.run(&host(&typed.host), report),
            RescueCommand::Undo(typed) => typed.run(&host(&typed.host), report),
            RescueCommand::Check(typed) => typed.run(report),
        }
    }
}
