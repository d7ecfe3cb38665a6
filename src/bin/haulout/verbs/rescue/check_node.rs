//! Waits for the node of this host, and tries what others need of it.

use haulout::error::Error;
use haulout::error::ErrorKind;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::clustercheck;
use crate::output::report::Report;
use crate::rescue::check;
use crate::rescue::check::Expected;
use crate::rescue::check::Tried;
use crate::rescue::inspect;
use crate::verbs::rescue::args::CheckArguments;

/// The JSON report of `rescue check`.
#[derive(Debug, Serialize)]
struct Checked {
    node: String,
    cluster: String,
    size: u64,
    accounts: Vec<Tried>,
    /// Whether the health check says that the node is synced; null if it was not asked.
    health_check: Option<bool>,
}

impl CheckArguments {
    pub(super) fn run(&self, report: &Report) -> Outcome<Exit> {
        let expected = Expected {
            socket: self.socket.clone(),
            login_file: self.login_file.clone(),
            size: self.size,
            within: self.within,
        };
        let node = check::wait(&expected, report.clock.as_ref()).map_err(|why| {
            let message = format!("the node at {} is not as expected", self.socket.display());
            let hint = "look into the error log of the server, mend it, and run the command again";
            Failure::new(Error::new(ErrorKind::Server, message).because(why), hint)
        })?;
        let (accounts, health_check) = self.accounts(&expected, report);
        let mut is_right = health_check != Some(false);
        for one in &accounts {
            let Some(problem) = &one.problem else { continue };
            is_right = false;
            let Tried { purpose, user, .. } = one;
            let mended = one.mended_by.as_deref().unwrap_or_default();
            report.console.warning(format!(
                "the account {user}, for {purpose}, can't log in: {problem}; {mended}"
            ));
        }
        if health_check == Some(false) {
            report
                .console
                .warning(format!("{} says that the node is not synced; it is", self.clustercheck));
        }
        let checked = Checked {
            node: node.name,
            cluster: node.cluster,
            size: node.size,
            accounts,
            health_check,
        };
        report.result(&checked, || {
            format!("{} is synced in a cluster of {}\n", checked.node, checked.size)
        })?;
        Ok(if is_right { Exit::Done } else { Exit::Findings })
    }

    fn accounts(&self, expected: &Expected, report: &Report) -> (Vec<Tried>, Option<bool>) {
        if !self.accounts {
            return (Vec::new(), None);
        }
        let settings = inspect::settings_of(&self.server_program, self.defaults_file.as_deref());
        let needed = match settings {
            Ok(settings) => check::needed(&settings),
            Err(error) => {
                report.console.warning(format!("the server's option files are not read: {error}"));
                Vec::new()
            }
        };
        let asked = clustercheck::ask(std::slice::from_ref(&self.clustercheck));
        let health = asked.into_iter().next().and_then(|one| match one.is_synced {
            Ok(says) => Some(says),
            Err(why) => {
                report.console.note(format!("{} was not asked: {why}", one.address));
                None
            }
        });
        (check::try_accounts(expected, &needed), health)
    }
}
