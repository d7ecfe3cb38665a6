//! A model of the protocol of FORMAT.md 10: backups, prunes, replicates and compactions on one
//! repository, searched through all states that can be reached.
//!
//! In every state, so with a crash or a sleep at any step, this is checked:
//!
//! - A snapshot that was reported good and was not removed is there, no verdict bars it, and all
//!   that it needs can be read, through relocation records too.
//! - A snapshot that readers show, one that is not removed, barred or doubtful, is whole.
//! - A hold that was reported as put is not followed by a removal.
//! - If all processes are killed and one prune cleans up, all of this still holds, and no pack that
//!   nothing needs and no intent is left.
//!
//! Others leave out one rule after the other and expect that something is lost then: a rule that is
//! not needed would be one that the model does not understand.
//!
//! What the model leaves out: bytes (the unit is the entry, and a pack is a group of entries), more
//! than three processes, and clocks, since none decides anything. A run takes over everything of
//! its roots that is there, which is the worst case. The look before a deletion and the deletion
//! are one step: the time limit of a store's signatures makes them that. A store that lists late
//! gives a listing of now or of the last moment at which all had settled; what is read by name is
//! of now.
//!
//! `cargo test --release --test model -- --ignored` searches further scenarios, of up to ten
//! million states each.

mod backup;
mod compaction;
mod others;
mod prune;
mod replicate;
mod rules;
mod scenarios;
mod search;
mod step;
mod world;

use std::fmt::Write as _;

use crate::rules::Rule;
use crate::rules::Rules;
use crate::scenarios::SCENARIOS;
use crate::scenarios::Scenario;
use crate::scenarios::Size;
use crate::search::search;
use crate::step::Label;
use crate::step::NOBODY;
use crate::world::Kind;

/// More states than any scenario has.
const STATES_MAX: usize = 25_000_000;
/// States until something must be lost when a rule is left out.
const RULE_STATES_MAX: usize = 6_000_000;

#[test]
fn nothing_is_lost_in_small_scenarios() {
    search_all(&[Size::Small]);
}

#[test]
#[ignore = "takes minutes, and 600 MiB"]
fn nothing_is_lost_in_large_scenarios() {
    search_all(&[Size::Medium, Size::Large]);
}

#[test]
fn each_rule_is_needed() {
    leave_out_each(&[Size::Small, Size::Medium]);
}

#[test]
#[ignore = "takes minutes"]
fn each_rule_of_large_scenarios_is_needed() {
    leave_out_each(&[Size::Large]);
}

#[test]
fn each_rule_has_a_scenario_that_needs_it() {
    for rule in Rule::ALL {
        assert!(SCENARIOS.iter().any(|scenario| scenario.needed.contains(&rule)), "{rule:?}");
    }
}

/// Leaves out one rule after the other in scenarios of these sizes.
fn leave_out_each(sizes: &[Size]) {
    let mut without_loss = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| sizes.contains(&scenario.size)) {
        for rule in scenario.needed {
            // That rule would hide what the others are for.
            let rules = Rules::all().without(*rule).without(Rule::OwnersKnown);
            let outcome = search(scenario.setting(rules), scenario.start(), RULE_STATES_MAX);
            if outcome.fault.is_none() {
                without_loss.push(format!("{rule:?}: nothing is lost, {}", scenario.name));
            }
        }
    }
    assert!(without_loss.is_empty(), "{}", without_loss.join("\n"));
}

/// Searches all scenarios of these sizes.
fn search_all(sizes: &[Size]) {
    for scenario in SCENARIOS.iter().filter(|scenario| sizes.contains(&scenario.size)) {
        let outcome = search(scenario.setting(Rules::all()), scenario.start(), STATES_MAX);
        if let Some((fault, sequence)) = outcome.fault {
            panic!("{}:\n{}", scenario.name, written(scenario, &fault, &sequence));
        }
        assert!(!outcome.was_cut, "{}: more than {STATES_MAX} states", scenario.name);
    }
}

/// Returns a sequence that ends in a fault, a step a line.
fn written(scenario: &Scenario, fault: &str, sequence: &[Label]) -> String {
    let mut text = String::new();
    for (who, words) in sequence {
        if *who == NOBODY {
            _ = writeln!(text, "      {words}");
            continue;
        }
        let name = match scenario.kinds[*who] {
            Kind::Backup(_) => "W",
            Kind::Prune(..) => "P",
            Kind::Replicate => "T",
            Kind::Compaction => "K",
            Kind::Idle | Kind::Hold | Kind::Abandon(_) | Kind::Forger => "X",
        };
        _ = writeln!(text, "  {name}{who}:  {words}");
    }
    _ = writeln!(text, "  => {fault}");
    text
}
