//! Carries out the steps of this host, and keeps a journal of them.
//!
//! The journal lies beside the plan, a line of JSON for each command that has succeeded. A step
//! that is called again goes on after the last of them, so that a call that failed or was stopped
//! can be repeated. Reverses are run by the step that ends a rescue, or by `rescue undo`; each is
//! noted as well, so that it is run once.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

use serde::Deserialize;
use serde::Serialize;

use crate::rescue::plan::Plan;
use crate::rescue::steps::Step;

/// A command that has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    /// The time at which the plan was made: an older journal does not count.
    plan: u64,
    step: u32,
    /// The place of the command in its step.
    command: usize,
    /// Whether it was taken back.
    #[serde(default)]
    is_reverse: bool,
}

/// The commands of this host that have succeeded.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    plan: u64,
    entries: BTreeSet<Entry>,
}

impl Journal {
    /// Reads the journal of a host. A last line that was cut does not count.
    pub(crate) fn open(plan_path: &Path, plan: &Plan, host: &str) -> io::Result<Self> {
        let mut name = plan_path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{host}.journal"));
        let path = plan_path.with_file_name(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let read = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        let entries = read.filter(|entry| entry.plan == plan.time).collect();
        Ok(Self { path, plan: plan.time, entries })
    }

    /// Returns where the journal lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn done(&self, step: u32, command: usize) -> Entry {
        Entry { plan: self.plan, step, command, is_reverse: false }
    }

    fn taken_back(&self, step: u32, command: usize) -> Entry {
        Entry { is_reverse: true, ..self.done(step, command) }
    }

    /// Tells whether a command has succeeded.
    pub(crate) fn is_done(&self, step: &Step, command: usize) -> bool {
        self.entries.contains(&self.done(step.number, command))
    }

    fn is_taken_back(&self, step: &Step, command: usize) -> bool {
        self.entries.contains(&self.taken_back(step.number, command))
    }

    /// Notes a command in the file, durably.
    fn note(&mut self, entry: Entry) -> io::Result<()> {
        // A line that was cut must not take this one with it.
        let mut line = b"\n".to_vec();
        line.extend(serde_json::to_vec(&entry)?);
        line.push(b'\n');
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_all()?;
        self.entries.insert(entry);
        Ok(())
    }

    /// Returns the reverses of this host that are to be run, the newest first.
    pub(crate) fn reverses<'p>(&self, plan: &'p Plan, host: &str) -> Vec<Reverse<'p>> {
        let mut found = Vec::new();
        for step in plan.steps.iter().filter(|step| step.host == host) {
            for (at, command) in step.commands.iter().enumerate() {
                let Some(words) = &command.reverse else { continue };
                if self.is_done(step, at) && !self.is_taken_back(step, at) {
                    found.push(Reverse { step, at, words });
                }
            }
        }
        found.reverse();
        found
    }
}

/// A command that takes another one back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reverse<'p> {
    step: &'p Step,
    at: usize,
    /// The command, for a shell.
    pub(crate) words: &'p str,
}

/// Why a step did not come to its end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A command of the step failed.
    Command(String, ExitStatus),
    /// A command could not be started, or the journal not be written.
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the commands of a step that have not succeeded yet; `tell` hears of each before it is run.
pub(crate) fn carry_out(
    step: &Step,
    journal: &mut Journal,
    tell: &dyn Fn(&str),
) -> Result<u32, Failed> {
    let mut count = 0;
    for (at, command) in step.commands.iter().enumerate() {
        if journal.is_done(step, at) {
            continue;
        }
        tell(&command.run);
        run(&command.run)?;
        journal.note(journal.done(step.number, at))?;
        count += 1;
    }
    Ok(count)
}

/// Runs the reverses of this host.
pub(crate) fn take_back(
    plan: &Plan,
    host: &str,
    journal: &mut Journal,
    tell: &dyn Fn(&str),
) -> Result<u32, Failed> {
    let mut count = 0;
    for reverse in journal.reverses(plan, host) {
        tell(reverse.words);
        run(reverse.words)?;
        journal.note(journal.taken_back(reverse.step.number, reverse.at))?;
        count += 1;
    }
    Ok(count)
}

fn run(words: &str) -> Result<(), Failed> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(words).stdin(Stdio::null());
    // What programs print belongs to the messages: standard output is for the report.
    let status = command.stdout(io::stderr()).status()?;
    if status.success() { Ok(()) } else { Err(Failed::Command(words.to_owned(), status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rescue::plan::VERSION;
    use crate::rescue::steps::StepCommand;

    fn plan(commands: &[(&str, Option<&str>)]) -> Plan {
        let command = |(run, reverse): &(&str, Option<&str>)| StepCommand {
            run: (*run).to_owned(),
            reverse: reverse.map(str::to_owned),
        };
        let step = Step {
            number: 1,
            host: "db1".to_owned(),
            title: "do".to_owned(),
            asks: false,
            ends: false,
            commands: commands.iter().map(command).collect(),
        };
        Plan {
            version: VERSION,
            time: 7,
            cluster: String::new(),
            outlook: String::new(),
            notes: Vec::new(),
            steps: vec![step],
        }
    }

    #[test]
    fn what_has_succeeded_is_not_run_again_and_reverses_run_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let write = format!("echo a >> {}", file("done").display());
        let check = format!("test -e {}", file("there").display());
        let back = format!("echo b >> {}", file("done").display());
        let plan = plan(&[(&write, Some(&back)), (&check, None)]);
        let path = file("plan.json");
        let read = || fs::read_to_string(file("done")).unwrap_or_default();
        let mut journal = Journal::open(&path, &plan, "db1").unwrap();
        let failed = carry_out(&plan.steps[0], &mut journal, &|_| ()).unwrap_err();
        assert!(matches!(&failed, Failed::Command(words, _) if *words == check), "{failed:?}");
        assert_eq!(read(), "a\n");
        fs::write(file("there"), "").unwrap();
        let mut journal = Journal::open(&path, &plan, "db1").unwrap();
        assert_eq!(carry_out(&plan.steps[0], &mut journal, &|_| ()).unwrap(), 1);
        assert_eq!(carry_out(&plan.steps[0], &mut journal, &|_| ()).unwrap(), 0);
        assert_eq!(read(), "a\n");
        let mut journal = Journal::open(&path, &plan, "db1").unwrap();
        assert_eq!(journal.reverses(&plan, "db1").len(), 1);
        assert_eq!(journal.reverses(&plan, "db2").len(), 0);
        assert_eq!(take_back(&plan, "db1", &mut journal, &|_| ()).unwrap(), 1);
        assert_eq!(take_back(&plan, "db1", &mut journal, &|_| ()).unwrap(), 0);
        assert_eq!(read(), "a\nb\n");
        // A plan that was made anew begins from nothing.
        let newer = Plan { time: 8, ..plan.clone() };
        let journal = Journal::open(&path, &newer, "db1").unwrap();
        assert!(!journal.is_done(&newer.steps[0], 0));
    }

    #[test]
    fn a_cut_line_of_the_journal_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(&[("true", None), ("true", None)]);
        let path = directory.path().join("plan.json");
        let mut journal = Journal::open(&path, &plan, "db1").unwrap();
        carry_out(&plan.steps[0], &mut journal, &|_| ()).unwrap();
        let text = fs::read_to_string(journal.path()).unwrap();
        fs::write(journal.path(), &text[..text.len() - 5]).unwrap();
        let mut journal = Journal::open(&path, &plan, "db1").unwrap();
        assert!(journal.is_done(&plan.steps[0], 0) && !journal.is_done(&plan.steps[0], 1));
        assert_eq!(carry_out(&plan.steps[0], &mut journal, &|_| ()).unwrap(), 1);
        let journal = Journal::open(&path, &plan, "db1").unwrap();
        assert!(journal.is_done(&plan.steps[0], 1), "{journal:?}");
    }
}
