//! `doctor`: looks at everything that a job of the configuration file depends on.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::Config;
use crate::doctor::examine::Examination;
use crate::doctor::examine::Row;
use crate::doctor::finding::State;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::values::long_duration;
use crate::output::console::Loudness;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::text::wrapped;

const EXAMPLE: &str = "\
Examples:
  haulout doctor nightly
  haulout --json doctor nightly

Exit status: 0 all is good; 1 a check failed: the job would fail, or its backups would not be what
they seem; 3 there are warnings. What can't be seen from here is said, and changes nothing.";

/// Check the servers, rights, repositories and settings of a job
///
/// Run it as the user that runs the job, on the same host. It changes nothing: rights are tried by
/// statements that leave nothing and let everybody go on, and an object that is put into a bucket
/// is deleted again. Each finding has a hint, and a missing right the statement that grants it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct DoctorArguments {
    /// The name of the job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// How long a node of a cluster may be away without needing a copy of all data
    #[arg(long, value_name = "DURATION", value_parser = long_duration, default_value = "4h")]
    pub(crate) away: Duration,
}

/// The JSON report of all checks.
#[derive(Debug, Serialize)]
struct Examined<'r> {
    job: &'r str,
    /// The worst state of all checks.
    state: State,
    checks: &'r [Row],
}

impl DoctorArguments {
    /// Examines the job, and prints what was found.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let clock = report.clock.as_ref();
        let rows = Examination::new(config, &self.job, self.away, clock)?.run();
        let states = rows.iter().map(|row| row.finding.state);
        let state = states.filter(|state| *state != State::NotChecked).max();
        let state = state.unwrap_or(State::Good);
        if report.console.loudness == Loudness::Quiet {
            for row in rows.iter().filter(|row| row.finding.state >= State::Warning) {
                let Row { subject, finding } = row;
                let (check, found) = (finding.check, &finding.found);
                report.console.warning(format!("{subject}: {check}: {found}"));
            }
        }
        let examined = Examined { job: &self.job, state, checks: &rows };
        report.result(&examined, || in_words(&rows, report.canvas))?;
        Ok(match state {
            State::Good | State::NotChecked => Exit::Done,
            State::Warning => Exit::Findings,
            State::Failed => Exit::Failed,
        })
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Good => Tone::Good,
        State::NotChecked => Tone::Plain,
        State::Warning => Tone::Doubtful,
        State::Failed => Tone::Bad,
    }
}

/// Returns a table of all checks, and below it the hints.
fn in_words(rows: &[Row], canvas: Canvas) -> String {
    let left = |title| Column { title, side: Side::Left, narrow: Narrow::Keep };
    let columns = [left("state"), left("of"), left("check"), left("found")];
    let cells = |row: &Row| -> Vec<Cell> {
        let finding = &row.finding;
        vec![
            Cell::toned(finding.state.word(), tone(finding.state)),
            row.subject.as_str().into(),
            finding.check.into(),
            finding.found.as_str().into(),
        ]
    };
    let mut out = table(&columns, &rows.iter().map(cells).collect::<Vec<_>>(), canvas);
    for row in rows {
        let Some(hint) = &row.finding.hint else { continue };
        let heading = format!("{}, {}: ", row.subject, row.finding.check);
        let text = wrapped(&clean(&format!("{heading}{hint}")), 2, canvas);
        out.extend(["\nhint: ", &text]);
    }
    out + "\n"
}
