//! Makes the repositories of a job that are missing: the one that its backups go to, and copies of
//! it with the same keys.

use std::env;
use std::process::Command;
use std::process::Stdio;

use haulout::error::Error;
use haulout::error::ErrorKind;
use serde_json::Value;

use crate::config::Config;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::plan::no_job;
use crate::output::report::Report;

/// Makes what is missing, the repository before its copies. What is there is left as it is.
pub(crate) fn found(config: &Config, name: &str, report: &Report) -> Outcome<Exit> {
    let Some(job) = config.job(name) else { return Err(no_job(config, name)) };
    let repository = job.text("repository").unwrap_or_default();
    let mut made = vec![(repository.to_owned(), vec!["init".to_owned()])];
    made.extend(job.texts("replicas").into_iter().map(|replica| {
        let arguments = ["replicate", "--to", &replica, "--init"].map(str::to_owned);
        (replica, arguments.to_vec())
    }));
    for (place, arguments) in made {
        if is_there(config, &place)? {
            report.console.note(format!("the repository {place} is there"));
            continue;
        }
        let mut command = of(config, repository)?;
        // A person may be asked for a password, or for a place for the recovery kit.
        let status = command.args(&arguments).status().map_err(not_started)?;
        if !status.success() {
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

/// Tells whether a place has a repository.
fn is_there(config: &Config, place: &str) -> Outcome<bool> {
    let mut command = of(config, place)?;
    let looks = command.args(["--json", "--quiet", "snapshots", "--last", "1"]);
    let output = looks.stderr(Stdio::null()).output().map_err(not_started)?;
    if output.status.success() || output.status.code() == Some(3) {
        return Ok(true);
    }
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error = &printed["error"];
    if error["kind"] == ErrorKind::NoRepository.as_str() {
        return Ok(false);
    }
    let why = error["message"].as_str().unwrap_or("the program said nothing");
    let hint = error["hint"].as_str().unwrap_or("haulout help config");
    Err(Failure::usage(format!("cannot look at the repository {place}: {why}"), hint))
}

/// Returns a command of this program on a repository.
pub(crate) fn of(config: &Config, place: &str) -> Outcome<Command> {
    let mut command = Command::new(env::current_exe().map_err(not_started)?);
    command.arg("--config").arg(&config.path).args(["-r", place]);
    Ok(command)
}

fn not_started(error: std::io::Error) -> Failure {
    Error::new(ErrorKind::Source, "cannot start this program once more").because(error).into()
}
