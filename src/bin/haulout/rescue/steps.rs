//! The steps that follow from an outlook, as commands of hosts. Pure.
//!
//! A lost cluster comes back in one of two ways:
//!
//! - *One node restored*: the snapshot on one node, which begins a new cluster under a new id; the
//!   others are emptied and take a state transfer. Old data are moved away on all nodes before the
//!   first one starts.
//! - *All nodes restored*: the same snapshot on all nodes, with the position of the backup. No
//!   state transfer, for data that would take too long to send.
//!
//! Both keep clients away until all nodes are in step.

use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::rescue::compare::Outlook;
use crate::rescue::node::NodeReport;
use haulout::server::saved_state::Position;

/// A command of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepCommand {
    /// The command, for a shell.
    pub(crate) run: String,
    /// What takes it back, for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reverse: Option<String>,
}

/// A step on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its number, from 1 on.
    pub(crate) number: u32,
    /// The host that it is for.
    pub(crate) host: String,
    /// What it does, in words.
    pub(crate) title: String,
    /// Whether a person is asked before it.
    pub(crate) asks: bool,
    /// The reverses of earlier steps of this host are run, after its commands.
    pub(crate) ends: bool,
    /// The commands, in their order.
    pub(crate) commands: Vec<StepCommand>,
}

/// The way in which a lost cluster is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// One node is restored, the others take a state transfer from it.
    One,
    /// All nodes are restored from the same snapshot.
    All,
}

/// What the steps are built with.
#[derive(Debug, Clone)]
pub(crate) struct Wishes<'w> {
    /// The words of this program with the options of its repository, for a shell.
    pub(crate) haulout: &'w str,
    /// The snapshot that is restored.
    pub(crate) snapshot: &'w str,
    /// How a lost cluster is restored.
    pub(crate) way: Way,
    /// The host that is restored first, if it is chosen.
    pub(crate) first: Option<usize>,
    /// The time, as part of names.
    pub(crate) stamp: &'w str,
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn path(path: &Path) -> String {
    shell(&path.to_string_lossy())
}

/// Collects steps and numbers them.
struct Builder<'b> {
    reports: &'b [NodeReport],
    wishes: &'b Wishes<'b>,
    steps: Vec<Step>,
}

/// Returns the steps that follow from an outlook.
pub(crate) fn steps(reports: &[NodeReport], outlook: &Outlook, wishes: &Wishes<'_>) -> Vec<Step> {
    let mut builder = Builder { reports, wishes, steps: Vec::new() };
    match outlook {
        Outlook::Undecided(_) => {}
        Outlook::Alive(down) => builder.start_others(down.clone(), reports.len()),
        Outlook::NoQuorum(best) => builder.give_quorum(*best),
        Outlook::Begin(best) => builder.begin(*best),
        Outlook::Lost => match wishes.way {
            Way::One => builder.restore_one(),
            Way::All => builder.restore_all(),
        },
    }
    builder.steps
}

impl Builder<'_> {
    fn add(&mut self, at: usize, title: &str, commands: Vec<StepCommand>) -> &mut Step {
        let number = u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX);
        let host = self.reports[at].host.clone();
        let title = title.to_owned();
        self.steps.push(Step { number, host, title, asks: false, ends: false, commands });
        self.steps.last_mut().expect("one was added")
    }

    /// The other nodes but one, in their order.
    fn others(&self, at: usize) -> Vec<usize> {
        (0..self.reports.len()).filter(|other| *other != at).collect()
    }

    fn start_others(&mut self, others: Vec<usize>, size: usize) {
        let mut running = size - others.len();
        for at in others {
            if self.reports[at].good_position().is_none() {
                self.empty(at);
            }
            running += 1;
            let start = command(&self.reports[at].commands.start);
            let check = self.check(at, running);
            self.add(at, "start the server, and wait until it is synced", vec![start, check]);
        }
    }

    fn give_quorum(&mut self, best: usize) {
        let statement = "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'";
        let client = format!("mariadb --socket={}", path(&self.reports[best].socket));
        let give = command(&format!("{client} -e {}", shell(statement)));
        let running = |at: &usize| self.reports[*at].running.is_some();
        let (up, down): (Vec<usize>, Vec<usize>) = self.others(best).into_iter().partition(running);
        let check = self.check(best, 1);
        let title = "make the part of this node the cluster: it has the newest data";
        self.add(best, title, vec![give, check]).asks = true;
        for (nth, at) in up.iter().enumerate() {
            let check = self.check(*at, nth + 2);
            self.add(*at, "wait until the node has joined by itself", vec![check]);
        }
        self.start_others(down, self.reports.len());
    }

    fn begin(&mut self, best: usize) {
        let report = &self.reports[best];
        let mut commands = Vec::new();
        if let Some(position) = report.good_position() {
            commands.push(mark_safe(report, position));
        }
        commands.push(command(&report.commands.bootstrap));
        commands.push(self.check(best, 1));
        let title = "begin the cluster with this node: it has the newest data";
        self.add(best, title, commands).asks = true;
        self.start_others(self.others(best), self.reports.len());
    }

    fn restore_one(&mut self) {
        let first = self.first();
        self.keep_clients_away();
        self.stop_all();
        for at in self.others(first) {
            self.empty(at);
        }
        let restore = self.restore(first, "");
        let title = "restore the snapshot; the old data are kept beside it";
        self.add(first, title, vec![restore]).asks = true;
        let bootstrap = command(&self.reports[first].commands.bootstrap);
        let check = self.check(first, 1);
        self.add(first, "begin a new cluster with this node", vec![bootstrap, check]);
        let others = self.others(first);
        for (nth, at) in others.into_iter().enumerate() {
            let start = command(&self.reports[at].commands.start);
            let check = self.check(at, nth + 2);
            let title = "start the server: it takes all data from another node";
            self.add(at, title, vec![start, check]);
        }
        self.let_clients_in();
    }

    fn restore_all(&mut self) {
        let first = self.first();
        self.keep_clients_away();
        self.stop_all();
        for at in 0..self.reports.len() {
            let restore = self.restore(at, " --galera");
            let title = "restore the snapshot with its position; the old data are kept beside it";
            self.add(at, title, vec![restore]).asks = true;
        }
        let file = path(&self.reports[first].data_directory.join("grastate.dat"));
        let mark =
            command(&format!("sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' {file}"));
        let bootstrap = command(&self.reports[first].commands.bootstrap);
        let check = self.check(first, 1);
        let title = "begin the cluster with this node";
        self.add(first, title, vec![mark, bootstrap, check]);
        let others = self.others(first);
        for (nth, at) in others.into_iter().enumerate() {
            let start = command(&self.reports[at].commands.start);
            let check = self.check(at, nth + 2);
            let title = "start the server: it needs only the write sets since the others began";
            self.add(at, title, vec![start, check]);
        }
        self.let_clients_in();
    }

    /// Returns the node that is restored first: the one that was chosen, else that with the most
    /// room for old and new data.
    fn first(&self) -> usize {
        let most = || (0..self.reports.len()).rev().max_by_key(|at| self.reports[*at].free_bytes);
        self.wishes.first.or_else(most).unwrap_or_default()
    }

    fn keep_clients_away(&mut self) {
        for at in 0..self.reports.len() {
            let close = |isolation: &crate::rescue::node::Isolation| StepCommand {
                run: isolation.close.clone(),
                reverse: Some(isolation.open.clone()),
            };
            let commands: Vec<StepCommand> = self.reports[at].isolation.iter().map(close).collect();
            if !commands.is_empty() {
                self.add(at, "keep clients away", commands).asks = true;
            }
        }
    }

    fn stop_all(&mut self) {
        for at in 0..self.reports.len() {
            let stop = command(&self.reports[at].commands.stop);
            self.add(at, "stop the server, if it runs", vec![stop]);
        }
    }

    /// Moves the data of a node away: an old member must not join the new cluster.
    fn empty(&mut self, at: usize) {
        let report = &self.reports[at];
        let directory = path(&report.data_directory);
        if report.is_mount_point {
            let title = "remove the old data: they lie in the root of a file system, so they can't \
                be moved away (copy them first if they are still needed)";
            let find = format!("find {directory} -mindepth 1 -delete");
            self.add(at, title, vec![command(&find)]).asks = true;
            return;
        }
        let old = report.data_directory.with_file_name(format!(
            "{}-save-{}",
            report.data_directory.file_name().unwrap_or_default().to_string_lossy(),
            self.wishes.stamp
        ));
        let (user, group) = report.owner.split_once(':').unwrap_or((&report.owner, &report.owner));
        let made = format!("install -d -m 0700 -o {} -g {} {directory}", shell(user), shell(group));
        let moved =
            format!("{{ [ ! -e {directory} ] || mv {directory} {}; }} && {made}", path(&old));
        let title = "move the old data away: the node takes all data from another one";
        self.add(at, title, vec![command(&moved)]).asks = true;
    }

    fn restore(&self, at: usize, more: &str) -> StepCommand {
        let report = &self.reports[at];
        let Wishes { haulout, snapshot, .. } = self.wishes;
        let directory = path(&report.data_directory);
        let file = report.defaults_file.as_deref();
        let file =
            file.map_or(String::new(), |file| format!(" --server-defaults-file {}", path(file)));
        command(&format!(
            "{haulout} restore {} --datadir {directory}{file}{more} --yes",
            shell(snapshot)
        ))
    }

    /// Waits until a node is synced in a cluster of a size.
    fn check(&self, at: usize, size: usize) -> StepCommand {
        let report = &self.reports[at];
        command(&format!("haulout rescue check --socket {} --size {size}", path(&report.socket)))
    }

    fn let_clients_in(&mut self) {
        let size = self.reports.len();
        for at in 0..size {
            let report = &self.reports[at];
            let file = report.defaults_file.as_deref();
            let file =
                file.map_or(String::new(), |file| format!(" --defaults-file {}", path(file)));
            let socket = path(&report.socket);
            let check = command(&format!(
                "haulout rescue check --socket {socket} --size {size} --accounts{file}"
            ));
            let title = "look whether accounts and health check are right, then let clients in";
            let step = self.add(at, title, vec![check]);
            (step.asks, step.ends) = (true, true);
        }
    }
}

fn command(run: &str) -> StepCommand {
    StepCommand { run: run.to_owned(), reverse: None }
}

/// Writes that a node may begin the cluster, with the position that its data have.
fn mark_safe(report: &NodeReport, position: &Position) -> StepCommand {
    let file = path(&report.data_directory.join("grastate.dat"));
    let Position { uuid, seqno } = position;
    let text = format!(
        "# GALERA saved state\\nversion: 2.1\\nuuid:    {uuid}\\nseqno:   {seqno}\\n\
         safe_to_bootstrap: 1\\n"
    );
    let owner = shell(&report.owner);
    command(&format!("printf '{text}' > {file} && chown {owner} {file} && chmod 0660 {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rescue::compare::tests::broken;
    use crate::rescue::compare::tests::node;
    use crate::rescue::node::Isolation;

    fn wishes(way: Way) -> Wishes<'static> {
        Wishes { haulout: "haulout -r /r", snapshot: "latest", way, first: Some(1), stamp: "T" }
    }

    fn commands(steps: &[Step], host: &str) -> Vec<String> {
        let own = steps.iter().filter(|step| step.host == host);
        own.flat_map(|step| &step.commands).map(|command| command.run.clone()).collect()
    }

    #[test]
    fn the_newest_data_begin_and_damaged_ones_are_replaced() {
        let reports = [node(1, 5), node(2, 9), broken(3)];
        let steps = steps(&reports, &Outlook::Begin(1), &wishes(Way::One));
        assert_eq!((steps[0].host.as_str(), steps[0].asks), ("db2", true));
        assert!(steps[0].commands[0].run.contains("seqno:   9\\nsafe_to_bootstrap: 1"));
        assert_eq!(commands(&steps, "db1")[0], "systemctl start mariadb");
        assert!(commands(&steps, "db3")[0].contains("mv /var/lib/mysql /var/lib/mysql-save-T"));
        assert!(!steps.iter().any(|step| step.title.contains("restore")), "{steps:?}");
        assert!(commands(&steps, "db3").last().unwrap().ends_with("--size 3"), "{steps:?}");
    }

    #[test]
    fn nothing_old_is_left_when_a_new_cluster_begins() {
        let reports = [broken(1), broken(2), broken(3)];
        let steps = steps(&reports, &Outlook::Lost, &wishes(Way::One));
        let begins = steps.iter().position(|step| step.title.contains("begin")).unwrap();
        for host in ["db1", "db3"] {
            let own = steps.iter().take(begins).filter(|step| step.host == host);
            let moved = own.flat_map(|step| &step.commands).filter(|one| one.run.contains(" mv "));
            assert_eq!(moved.count(), 1, "{host}: {steps:?}");
        }
        assert!(
            commands(&steps, "db2").contains(
                &"haulout -r /r restore latest --datadir /var/lib/mysql --yes".to_owned()
            )
        );
        let numbers: Vec<u32> = steps.iter().map(|step| step.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(steps.len()).unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_snapshot_goes_to_all_nodes_and_one_may_begin() {
        let reports = [broken(1), broken(2), broken(3)];
        let steps = steps(&reports, &Outlook::Lost, &wishes(Way::All));
        for host in ["db1", "db2", "db3"] {
            assert!(commands(&steps, host).iter().any(|run| run.contains(" --galera")), "{host}");
        }
        let marks = steps.iter().flat_map(|step| &step.commands);
        assert_eq!(marks.filter(|one| one.run.contains("safe_to_bootstrap: 1")).count(), 1);
    }

    #[test]
    fn clients_come_back_last_by_the_reverses() {
        let nft = Isolation { name: "firewall".into(), close: "close".into(), open: "open".into() };
        let mut reports = [broken(1), broken(2), broken(3)];
        for report in &mut reports {
            report.isolation = vec![nft.clone()];
        }
        let steps = steps(&reports, &Outlook::Lost, &wishes(Way::One));
        assert!(steps[..3].iter().all(|step| step.asks && step.commands[0].run == "close"));
        assert_eq!(steps[0].commands[0].reverse.as_deref(), Some("open"));
        let ends: Vec<bool> = steps.iter().map(|step| step.ends).collect();
        assert_eq!(ends.iter().filter(|ends| **ends).count(), 3);
        assert!(ends[ends.len() - 3..].iter().all(|ends| *ends));
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it() {
        for (word, quoted) in [
            ("/a/b-1.2", "/a/b-1.2"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(shell(word), quoted);
        }
    }

    #[test]
    fn the_root_of_a_file_system_is_emptied_only_when_asked() {
        let mut report = broken(3);
        report.is_mount_point = true;
        let reports = [node(1, 5), report];
        let steps = steps(&reports, &Outlook::Begin(0), &wishes(Way::One));
        let emptying = steps.iter().find(|step| step.host == "db3").unwrap();
        assert!(emptying.asks && emptying.commands[0].run.contains("-delete"), "{emptying:?}");
    }
}
