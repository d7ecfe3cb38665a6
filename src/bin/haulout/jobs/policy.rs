//! Applies the rules of retention that the configuration has for a repository: those of a source
//! where it has its own, else those of the repository. `forget --policy` is this.
//!
//! Each set of rules is a command of this program, with all that was typed but `--policy`.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::process::Stdio;

use haulout::error::Error;
use haulout::error::ErrorKind;
use serde_json::Value;

use crate::config::Config;
use crate::config::tree::Table;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::plan::rules_of;
use crate::output::report::Report;
use crate::output::report::print_json;

/// The options that are not handed on to every command.
const POLICY: &str = "--policy";
const PRUNE: &str = "--prune";

/// A set of rules and the sources that it is for: those that are named, or all.
struct Rules {
    sources: Vec<String>,
    options: Vec<String>,
}

/// Applies the rules of a repository to some sources, or to all.
pub(crate) fn forget(
    config: &Config,
    repository: Option<&str>,
    wanted: &[String],
    report: &Report,
) -> Outcome<Exit> {
    let named = repository.and_then(|name| Some((name, config.repository(name)?)));
    let Some((name, table)) = named else {
        return Err(Failure::usage(
            "--policy applies the rules of a repository of the configuration",
            "name one with --repo; haulout config show lists them",
        ));
    };
    let policy = Policy { config, name, table };
    let sets = policy.sets(wanted)?;
    if sets.is_empty() {
        return Err(Failure::usage(
            format!("the configuration has no rules for the repository {name}"),
            format!("give it some, as in keep = {{ daily = 14 }} in [repository.{name}]"),
        ));
    }
    let mut printed = Vec::new();
    let mut worst = Exit::Done;
    for (index, rules) in sets.iter().enumerate() {
        let is_last = index + 1 == sets.len();
        let mut command = Command::new(env::current_exe().map_err(not_started)?);
        let prunes = if is_last { Prunes::AsTyped } else { Prunes::Later };
        command.args(typed(prunes)).args(&rules.options);
        command.args(rules.sources.iter().map(|source| format!("--source={source}")));
        let stdout = if report.is_json() { Stdio::piped() } else { Stdio::inherit() };
        let child = command.stdout(stdout).spawn().map_err(not_started)?;
        let ended = child.wait_with_output().map_err(not_started)?;
        printed.push(serde_json::from_slice::<Value>(&ended.stdout).unwrap_or_default());
        match ended.status.code() {
            Some(0) => {}
            Some(3) => worst = worst.and_findings(),
            Some(_) | None => worst = Exit::Failed,
        }
    }
    if report.is_json() {
        print_json(&printed)?;
    }
    Ok(worst)
}

/// Whether a command prunes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prunes {
    /// If that was asked for.
    AsTyped,
    /// The last command does it.
    Later,
}

/// Returns what was typed, without `--policy` and the sources.
fn typed(prunes: Prunes) -> Vec<OsString> {
    let has_prune = prunes == Prunes::AsTyped;
    let kept = |word: &OsString| word != POLICY && (has_prune || word != PRUNE);
    // The sources are given for each set of rules.
    let mut words = env::args_os().skip(1).filter(kept).peekable();
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        if word == "--source" {
            words.next();
        } else if !word.to_string_lossy().starts_with("--source=") {
            all.push(word);
        }
    }
    all
}

/// The rules of a repository.
struct Policy<'p> {
    config: &'p Config,
    name: &'p str,
    table: &'p Table,
}

impl Policy<'_> {
    /// Returns the sets of rules, with the sources of each.
    fn sets(&self, wanted: &[String]) -> Outcome<Vec<Rules>> {
        let is_wanted = |source: &String| wanted.is_empty() || wanted.contains(source);
        let own: Vec<(String, &Table)> =
            self.own().into_iter().filter(|(s, _)| is_wanted(s)).collect();
        let mut sets: Vec<Rules> =
            own.iter().map(|(source, keep)| self.rules(vec![source.clone()], keep)).collect();
        let Some(general) = self.table.table("keep") else { return Ok(sets) };
        if own.is_empty() {
            sets.push(self.rules(wanted.to_vec(), general));
            return Ok(sets);
        }
        let has_own = |source: &String| own.iter().any(|(name, _)| name == source);
        let mut others = if wanted.is_empty() { self.stored()? } else { wanted.to_vec() };
        others.retain(|source| !has_own(source));
        if !others.is_empty() {
            sets.push(self.rules(others, general));
        }
        Ok(sets)
    }

    fn rules(&self, sources: Vec<String>, keep: &Table) -> Rules {
        let mut options = rules_of(keep);
        options.extend(self.zone().map(|zone| format!("--time-zone={zone}")));
        Rules { sources, options }
    }

    fn jobs(&self) -> impl Iterator<Item = &Table> {
        let jobs = self.config.names("job").into_iter().filter_map(|name| self.config.job(name));
        jobs.filter(|job| job.text("repository") == Some(self.name))
    }

    /// Returns the sources with rules of their own, which are for the repository of their job.
    fn own(&self) -> Vec<(String, &Table)> {
        let sources: BTreeSet<String> = self.jobs().flat_map(|job| job.texts("sources")).collect();
        let keep = |name: String| {
            let keep = self.config.source(&name)?.table("keep")?;
            Some((name, keep))
        };
        sources.into_iter().filter_map(keep).collect()
    }

    fn zone(&self) -> Option<&str> {
        self.jobs().find_map(|job| job.text("timezone"))
    }

    /// Returns the sources that have snapshots in the repository.
    fn stored(&self) -> Outcome<Vec<String>> {
        let mut command = Command::new(env::current_exe().map_err(not_started)?);
        command.arg("--config").arg(&self.config.path).args(["-r", self.name]);
        command.args(["--json", "--quiet", "snapshots", "--last", "1"]);
        let listed = command.output().map_err(not_started)?;
        let snapshots: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        let Some(snapshots) = snapshots.as_array() else {
            return Err(Failure::usage(
                format!("cannot list the snapshots of the repository {}", self.name),
                format!("try haulout -r {} snapshots", self.name),
            ));
        };
        let names = snapshots.iter().filter_map(|one| one["source"].as_str());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }
}

fn not_started(error: std::io::Error) -> Failure {
    Error::new(ErrorKind::Source, "cannot start this program once more").because(error).into()
}
