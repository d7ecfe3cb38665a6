//! `run`: runs a job of the configuration file.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::Config;
use crate::environment::is_program;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::jobs::hooks::Moment;
use crate::jobs::plan::JobPlan;
use crate::jobs::plan::Kind;
use crate::jobs::plan::PruneEvery;
use crate::jobs::plan::Step;
use crate::jobs::producer::require_private_options;
use crate::jobs::record::Record;
use crate::jobs::record::Standing;
use crate::jobs::record::StepRecord;
use crate::jobs::sequence::Sequence;
use crate::jobs::sequence::Why;
use crate::jobs::space::Space;
use crate::output::console::Loudness;
use crate::output::report::Report;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::units;

const EXAMPLE: &str = "\
Examples:
  haulout run nightly --plan
  haulout run nightly

Exit status: 0 done; 1 a backup failed; 3 done, with findings, or a later step failed; 4 the job
runs already.";

/// Run a job of the configuration file
///
/// Checks what is stored, backs up the sources one after another, brings the copies up to date,
/// applies the rules of retention, prunes, and verifies a part of what is stored. A source that
/// fails does not stop the others.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct RunArguments {
    /// The name of the job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Run it since its time has come: units of haulout generate do
    ///
    /// Where a source is a node of a cluster, the hosts that are ready agree in the repository on
    /// the one that runs the job. The others end with status 0 and the result "skipped".
    #[arg(long, conflicts_with = "plan")]
    pub(crate) scheduled: bool,

    /// Print the commands of the job, and run none
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,

    /// Back up although there is less free space than is expected to be needed
    #[arg(long)]
    pub(crate) ignore_space: bool,
}

/// The JSON report of `run --plan`.
#[derive(Debug, Serialize)]
struct Planned<'p> {
    job: &'p str,
    steps: Vec<PlannedStep<'p>>,
    hooks: Vec<PlannedHook<'p>>,
}

#[derive(Debug, Serialize)]
struct PlannedStep<'p> {
    step: &'static str,
    subject: &'p str,
    command: Vec<&'p str>,
}

#[derive(Debug, Serialize)]
struct PlannedHook<'p> {
    moment: &'static str,
    command: &'p [String],
}

impl RunArguments {
    /// Runs the job, or prints what it would do.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let plan = JobPlan::new(config, &self.job, &is_program)?;
        if self.plan {
            report.result(&Planned::new(&plan), || in_words(&plan))?;
            return Ok(Exit::Done);
        }
        let sources = config.job(&self.job).map(|job| job.texts("sources")).unwrap_or_default();
        for source in sources.iter().filter_map(|name| config.source(name)) {
            require_private_options(source)?;
        }
        let Some(sequence) = Sequence::begin(&plan, self.space(), report)? else {
            report.console.note(format!("the job {} runs already", self.job));
            return Ok(Exit::Running);
        };
        let why = if self.scheduled { Why::Scheduled } else { Why::Asked };
        let (record, exit) = sequence.run(why)?;
        report.ran(&record)?;
        Ok(exit)
    }
}

impl RunArguments {
    fn space(&self) -> Space {
        if self.ignore_space { Space::Ignored } else { Space::Required }
    }
}

impl<'p> Planned<'p> {
    fn new(plan: &'p JobPlan) -> Self {
        let step = |step: &'p Step| PlannedStep {
            step: step.kind.word(),
            subject: &step.subject,
            command: command(step),
        };
        let hook = |(moment, command): (Moment, &'p [String])| PlannedHook {
            moment: moment.word(),
            command,
        };
        let hooks = plan.hooks.lines().into_iter().map(hook).collect();
        Self { job: &plan.name, steps: plan.steps.iter().map(step).collect(), hooks }
    }
}

/// Returns the command line of a step as a person would type it.
fn command(step: &Step) -> Vec<&str> {
    ["haulout"].into_iter().chain(step.arguments.iter().map(String::as_str)).collect()
}

/// Returns the plan as lines for a shell.
fn in_words(plan: &JobPlan) -> String {
    let hooks = plan.hooks.lines();
    let of = |wanted: &[Moment]| -> String {
        let lines = hooks.iter().filter(|(moment, _)| wanted.contains(moment));
        let line = |(moment, command): &(Moment, &[String])| {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            format!("{}  # hook {}\n", quoted(&words), moment.word())
        };
        lines.map(line).collect()
    };
    let line = |step: &Step| {
        let (line, word) = (quoted(&command(step)), step.kind.word());
        format!("{line}  # {word}{}\n", when(plan, step))
    };
    let steps: String = plan.steps.iter().map(line).collect();
    of(&[Moment::Before]) + &steps + &of(&[Moment::After, Moment::Failed, Moment::Finally])
}

/// Says on what a step depends.
fn when(plan: &JobPlan, step: &Step) -> &'static str {
    match (step.kind, plan.prune_every) {
        (Kind::Repair, _) => ", if the check finds damage",
        (Kind::Prune, PruneEvery::Day) => ", once a day",
        (Kind::Prune, PruneEvery::Week) => ", once a week",
        _ => "",
    }
}

/// Joins the words of a command line, quoted where a shell would read them otherwise.
fn quoted(words: &[&str]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let word = |word: &&str| {
        if !word.is_empty() && word.chars().all(is_plain) {
            (*word).to_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl Report {
    /// Prints what became of a job.
    fn ran(&self, record: &Record) -> Outcome<()> {
        if self.console.loudness == Loudness::Quiet {
            for step in &record.steps {
                let is_good = step.result == Standing::Done;
                if !is_good {
                    let reason = step.reason.clone().unwrap_or_default();
                    let (word, result) = (&step.step, step.result.word());
                    self.console.warning(format!("{word} {}: {result}: {reason}", step.subject));
                }
            }
        }
        self.result(record, || self.table_of(record))?;
        Ok(())
    }

    fn table_of(&self, record: &Record) -> String {
        let left = |title, narrow| Column { title, side: Side::Left, narrow };
        let columns = [
            left("step", Narrow::Keep),
            left("of", Narrow::Keep),
            left("result", Narrow::Keep),
            Column { title: "time", side: Side::Right, narrow: Narrow::Keep },
            left("", Narrow::Keep),
        ];
        let rows: Vec<Vec<Cell>> = record.steps.iter().map(row).collect();
        let took = record.ended.unwrap_or(record.started).saturating_sub(record.started);
        let took = Duration::from_secs(took);
        let result = record.result.word();
        let head = format!("job {}: {result} in {}\n", record.job, units::span(took));
        if rows.is_empty() {
            let reason = record.reason.as_ref().map(|reason| format!("{}\n", clean(reason)));
            return head + &reason.unwrap_or_default();
        }
        head + &table(&columns, &rows, self.canvas)
    }
}

fn row(step: &StepRecord) -> Vec<Cell> {
    let tone = match step.result {
        Standing::Done => Tone::Good,
        Standing::Findings | Standing::Skipped | Standing::Running => Tone::Doubtful,
        Standing::Failed => Tone::Bad,
    };
    let about = match (&step.verdict, step.stored_bytes) {
        (Some(verdict), Some(bytes)) => {
            let snapshot = step.snapshot.as_ref().map_or("", |id| id.get(..8).unwrap_or(id));
            format!("{snapshot} {verdict}, stored {}", units::size(bytes))
        }
        _ => String::new(),
    };
    let reason = step.reason.as_ref().map(|reason| clean(reason).into_owned());
    let about = [Some(about).filter(|about| !about.is_empty()), reason];
    vec![
        step.step.as_str().into(),
        clean(&step.subject).into_owned().into(),
        Cell::toned(step.result.word(), tone),
        units::span(Duration::from_millis(step.milliseconds)).into(),
        about.into_iter().flatten().collect::<Vec<_>>().join("; ").into(),
    ]
}
