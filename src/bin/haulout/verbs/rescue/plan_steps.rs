//! Compares the reports of all nodes, and writes the plan.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::world::Clock;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::text::wrapped;
use crate::output::units;
use crate::rescue::collect;
use crate::rescue::compare;
use crate::rescue::compare::Knowledge;
use crate::rescue::compare::Outlook;
use crate::rescue::node::NodeReport;
use crate::rescue::plan;
use crate::rescue::plan::Plan;
use crate::rescue::steps;
use crate::rescue::steps::Step;
use crate::rescue::steps::Wishes;
use crate::rescue::steps::shell;
use crate::verbs::rescue::args::PlanArguments;

impl PlanArguments {
    pub(super) fn run(&self, common: &Common, report: &Report) -> Outcome<Exit> {
        let mut reports = Vec::new();
        for path in &self.reports {
            reports.push(collect::from_file(path)?);
        }
        let words: Vec<String> =
            ["haulout", "--json", "rescue", "inspect"].map(str::to_owned).to_vec();
        for host in &self.ssh {
            report.console.note(format!("inspecting {host}"));
            reports.push(collect::from_host(host, &self.ssh_program, &words)?);
        }
        if reports.is_empty() {
            let hint = "give the files that haulout --json rescue inspect has printed on each \
                host, or --ssh for each host";
            return Err(Failure::usage("there is no report of a node", hint));
        }
        if let Some(objection) = compare::objections(&reports).into_iter().next() {
            return Err(Failure::usage(objection, "give one report of each node of one cluster"));
        }
        let known = Knowledge { lost: self.lost.clone(), uuid: self.uuid.clone() };
        let outlook = compare::judge(&reports, &known);
        if let Outlook::Undecided(doubts) = &outlook {
            doubts.iter().for_each(|doubt| report.console.warning(doubt));
            let count = u64::try_from(doubts.len()).unwrap_or(u64::MAX);
            let count = units::counted(count, "open question");
            let message = format!("nothing is decided: {count}");
            let hint = "answer what is named above; nothing was changed";
            return Err(Failure::new(Error::new(ErrorKind::Source, message), hint));
        }
        let made = self.plan(common, &reports, &outlook, report.clock.as_ref())?;
        self.write(&made)?;
        report.result(&made, || self.in_words(&made, report.canvas))?;
        Ok(Exit::Done)
    }

    fn plan(
        &self,
        common: &Common,
        reports: &[NodeReport],
        outlook: &Outlook,
        clock: &dyn Clock,
    ) -> Outcome<Plan> {
        let time = clock.unix_seconds();
        let first = match &self.first {
            None => None,
            Some(name) => {
                let found = reports.iter().position(|report| report.is_named(name));
                let hint = "name a host of which there is a report";
                Some(found.ok_or_else(|| {
                    Failure::usage(format!("no report is of the host {name}"), hint)
                })?)
            }
        };
        let haulout = words_of(common);
        let stamp = time.to_string();
        let wishes = Wishes {
            haulout: &haulout,
            snapshot: &self.snapshot,
            way: self.way,
            first,
            stamp: &stamp,
        };
        let clusters: BTreeSet<&str> =
            reports.iter().map(|one| one.cluster_name.as_str()).collect();
        Ok(Plan {
            version: plan::VERSION,
            time,
            cluster: clusters.into_iter().next_back().unwrap_or_default().to_owned(),
            outlook: sentence(reports, outlook),
            notes: notes(outlook, time, reports),
            steps: steps::steps(reports, outlook, &wishes),
        })
    }

    fn write(&self, made: &Plan) -> Outcome<()> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot write the plan {}", self.to.display());
            let hint = "name a file that can be written with --to";
            Failure::new(Error::new(ErrorKind::Usage, message).because(error), hint)
        };
        let mut text = serde_json::to_vec_pretty(made).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let beside = self.to.with_extension("json.new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.to)).map_err(failed)
    }

    fn in_words(&self, made: &Plan, canvas: Canvas) -> String {
        let mut out = format!("{}\n", wrapped(&clean(&made.outlook), 0, canvas));
        for note in &made.notes {
            out.extend([format!("note: {}\n", wrapped(&clean(note), 6, canvas))]);
        }
        for step in &made.steps {
            out += &in_words(step, canvas);
        }
        if !made.steps.is_empty() {
            let file = self.to.display();
            out.extend([format!(
                "\nwrote {file}: copy it to every host, and run there, in this order:\n"
            )]);
            for step in &made.steps {
                out.extend([format!("  {:<12} haulout rescue step {}\n", step.host, step.number)]);
            }
        }
        out
    }
}

/// Returns a step with its commands, for people.
pub(super) fn in_words(step: &Step, canvas: Canvas) -> String {
    let head = format!("{:>3}. {}: {}", step.number, step.host, step.title);
    let mut out = format!("\n{}\n", wrapped(&clean(&head), 5, canvas));
    for command in &step.commands {
        out.extend([format!("     $ {}\n", clean(&command.run))]);
    }
    if step.ends {
        out += "     then the reverses of this host\n";
    }
    out
}

/// Returns the words that call this program with the repository that was named.
fn words_of(common: &Common) -> String {
    let mut words = vec!["haulout".to_owned()];
    let mut add = |option: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([option.to_owned(), shell(&value)]);
        }
    };
    let text = |path: &Option<PathBuf>| path.as_deref().map(|path| path.display().to_string());
    add("--repo", common.repo.clone());
    add("--config", text(&common.config));
    add("--password-file", text(&common.password_file));
    let command = common.password_command.as_ref();
    add("--password-command", command.map(|words| words.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Says what was found.
fn sentence(reports: &[NodeReport], outlook: &Outlook) -> String {
    let host = |at: usize| &reports[at].host;
    let position = |at: usize| {
        let position = reports[at].good_position();
        position.map_or(String::new(), |position| position.seqno.to_string())
    };
    match outlook {
        Outlook::Alive(down) if down.is_empty() => {
            "the cluster is up: nothing is to be done".into()
        }
        Outlook::Alive(down) => {
            let names: Vec<&str> = down.iter().map(|at| host(*at).as_str()).collect();
            format!("the cluster is up without {}: start what is missing", names.join(", "))
        }
        Outlook::NoQuorum(best) => format!(
            "servers run without a quorum; {} has the newest data, write set {}",
            host(*best),
            position(*best)
        ),
        Outlook::Begin(best) => format!(
            "the cluster is down; {} has the newest good data, write set {}: nothing needs to be \
             restored",
            host(*best),
            position(*best)
        ),
        Outlook::Lost => "no node has good data: the cluster is restored from a snapshot".into(),
        Outlook::Undecided(_) => "nothing is decided".into(),
    }
}

/// Reports that are older than this may say what is not so any more.
const OLD: u64 = 60 * 60;

/// Returns what is to be known before the first step.
fn notes(outlook: &Outlook, now: u64, reports: &[NodeReport]) -> Vec<String> {
    let mut notes: Vec<String> = reports
        .iter()
        .filter(|report| now.saturating_sub(report.time) > OLD)
        .map(|report| {
            let age = Duration::from_secs(now.saturating_sub(report.time));
            format!("the report of {} is {} old", report.host, units::span(age))
        })
        .collect();
    if *outlook == Outlook::Lost {
        notes.push(
            "passwords are those of the night of the backup; compare what other services hold with \
             the database afterwards (servers, ports, volumes, images)"
                .to_owned(),
        );
        if reports.iter().all(|report| report.isolation.is_empty()) {
            notes.push(
                "nothing was found that keeps clients away: do it by hand before the first step, \
                 and never start an old member that is not in this plan"
                    .to_owned(),
            );
        }
    }
    notes
}
