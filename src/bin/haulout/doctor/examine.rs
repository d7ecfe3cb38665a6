//! Goes through what a job needs, asks, and collects what is found.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use haulout::server::session::Session;
use haulout::store::location::Location;
use haulout::world::Clock;
use haulout::world::Monitor;
use rustix::fs::Access;
use rustix::fs::access;
use rustix::process::Resource;
use rustix::process::getrlimit;
use serde::Serialize;

use crate::config::Config;
use crate::config::tree::Table;
use crate::doctor::account;
use crate::doctor::accounts;
use crate::doctor::desync;
use crate::doctor::engines;
use crate::doctor::engines::Way;
use crate::doctor::finding::Finding;
use crate::doctor::finding::State;
use crate::doctor::galera;
use crate::doctor::galera::Member;
use crate::doctor::host;
use crate::doctor::host::Place;
use crate::doctor::job;
use crate::doctor::job::Care;
use crate::doctor::probe;
use crate::doctor::probe::Answers;
use crate::doctor::probe::Writes;
use crate::doctor::repository;
use crate::doctor::repository::Said;
use crate::doctor::rights;
use crate::doctor::rights::Needs;
use crate::doctor::server;
use crate::doctor::tool;
use crate::doctor::tool::Reads;
use crate::doctor::tool::Tool;
use crate::doctor::tool::Version;
use crate::doctor::writes;
use crate::environment::is_program;
use crate::environment::variable;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::account::ToolOptions;
use crate::jobs::archived::ArchiveState;
use crate::jobs::plan::JobPlan;
use crate::jobs::plan::Kind;
use crate::jobs::plan::Step;
use crate::jobs::plan::no_job;
use crate::jobs::plan::state_dir;
use crate::jobs::producer;
use crate::jobs::record::Record;
use crate::jobs::server as connection;

/// A finding, and what it is about.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The job, a source, a repository or the host.
    pub(crate) subject: String,
    /// What was found there.
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

/// An examination of a job.
pub(crate) struct Examination<'e> {
    config: &'e Config,
    job: &'e Table,
    plan: JobPlan,
    record: Option<Record>,
    clock: &'e dyn Clock,
    /// How long a node of a cluster may be away.
    away: Duration,
    /// The version of the server of the last source with files.
    version: Option<Version>,
    /// The data directory of that server.
    data: Option<PathBuf>,
    rows: Vec<Row>,
}

impl<'e> Examination<'e> {
    /// Looks up a job.
    pub(crate) fn new(
        config: &'e Config,
        name: &str,
        away: Duration,
        clock: &'e dyn Clock,
    ) -> Outcome<Self> {
        let Some(job) = config.job(name) else { return Err(no_job(config, name)) };
        let plan = JobPlan::new(config, name, &is_program)?;
        // A record that can't be read is a finding of the next run.
        let record = Record::read(&plan.state_dir, name).ok().flatten();
        let (version, data, rows) = (None, None, Vec::new());
        Ok(Self { config, job, plan, record, clock, away, version, data, rows })
    }

    /// Looks at everything, and returns what was found.
    pub(crate) fn run(mut self) -> Vec<Row> {
        // First of all: a node that was left desynced is none that can be backed up.
        if let Some(cluster) = &self.plan.cluster {
            let found = desync::judge(&self.plan.state_dir, cluster, self.clock);
            let subject = format!("cluster {}", cluster.name);
            self.add(&subject, found);
        }
        for name in self.job.texts("sources") {
            if let Some(source) = self.config.source(&name) {
                self.source(&name, source);
            }
        }
        self.cluster();
        self.repositories();
        self.job();
        self.host();
        self.rows
    }

    fn add(&mut self, subject: &str, findings: impl IntoIterator<Item = Finding>) {
        let row = |finding| Row { subject: subject.to_owned(), finding };
        self.rows.extend(findings.into_iter().map(row));
    }

    fn source(&mut self, name: &str, source: &Table) {
        let subject = format!("source {name}");
        let command = producer::command(source, &is_program);
        let program = command.first().map_or("", String::as_str);
        let kind = source.text("kind").unwrap_or_default();
        match kind {
            "mariabackup" | "mariadb-dump" => self.server(&subject, source, &probe::tool(program)),
            "files" => {
                // It is started by way of env.
                let program = source.text("program").unwrap_or("tar");
                self.add(&subject, [tool::judge_alone(&probe::tool(program))]);
                let paths = source.texts("paths");
                self.add(&subject, paths.iter().map(|path| path_of_files(path)));
            }
            _ if is_program(program) => {
                self.add(&subject, [Finding::good("program", program)]);
            }
            _ => {
                let found = format!("{program} is not on the path of this process");
                self.add(&subject, [Finding::failed("program", found, "name it with its path")]);
            }
        }
    }

    fn server(&mut self, subject: &str, source: &Table, tool: &Tool) {
        if let Some(path) = source.text("defaults_file") {
            let refused = producer::require_private_options(source).err();
            let refused = refused.map(|failure| (failure.line(), failure.hint().to_owned()));
            self.add(subject, [server::judge_options(path.into(), refused)]);
        }
        // What can't be read fails the connection, which says so.
        if let Ok(options) = ToolOptions::of(source, &variable) {
            let own = source.text("defaults_file").map(Path::new);
            self.add(subject, [account::judge(&options, own, &connection::user())]);
        }
        let mut found = Vec::new();
        if let Err(failure) = self.ask(source, tool, &mut found) {
            let hint = failure.hint().to_owned();
            found.push(Finding::failed("connection", failure.line(), hint));
        }
        self.add(subject, found);
    }

    /// Asks the server of a source; what was found before it stopped answering counts.
    fn ask(&mut self, source: &Table, tool: &Tool, found: &mut Vec<Finding>) -> Outcome<()> {
        let mut session = connection::of_source(source).inspect_err(|_| {
            found.push(tool::judge_alone(tool));
        })?;
        let answers = Answers::ask(&mut session)?;
        let is_files = source.text("kind") == Some("mariabackup");
        let reads = if is_files { Reads::Files } else { Reads::Statements };
        found.push(Finding::good("connection", session.address().to_string()));
        found.push(tool::judge(answers.text("version"), tool, reads));
        if let Some(node) = &answers.node {
            let state = galera::judge_state(node);
            let is_out = state.state == State::Failed;
            found.push(state);
            if is_out {
                // It refuses every SELECT.
                return Ok(());
            }
        }
        let account = probe::account(&mut session)?;
        found.extend(rights::judge(&account, &probe::rights(&mut session, &Needs::of(source))?));
        if is_files {
            self.version = Version::find(answers.text("version"));
            self.data = Some(PathBuf::from(answers.text("datadir")));
            self.ask_files(&mut session, &answers, source, found)?;
        }
        if let Some(ahead) = probe::ahead(&mut session, self.clock)? {
            found.push(server::judge_clock(ahead));
        }
        if source.table("binlog").is_some() {
            found.push(server::judge_archive(&answers.variables, &self.archive_of(source)));
        }
        if producer::is_of_accounts(source) {
            found.push(accounts::judge(probe::unknown_accounts(&mut session)?.as_deref()));
        } else {
            let way = match (&answers.node, is_files) {
                (Some(_), _) => Way::Cluster,
                (None, true) => Way::Files,
                (None, false) => Way::Dump,
            };
            let files = probe::files(&mut session)?;
            found.push(engines::judge(&probe::engines(&mut session)?, files, way));
        }
        Ok(())
    }

    /// Asks for what matters where the files of a server are read.
    fn ask_files(
        &self,
        session: &mut Session,
        answers: &Answers,
        source: &Table,
        found: &mut Vec<Finding>,
    ) -> Outcome<()> {
        let variables = &answers.variables;
        let directory = answers.text("datadir");
        found.push(server::judge_directory(directory, probe::read_files(directory)));
        let limit = getrlimit(Resource::Nofile).current;
        found.push(server::judge_files(probe::files(session)?, limit));
        let plugins = probe::encryption(session)?;
        let keys = variables.get("file_key_management_filename");
        found.push(server::judge_encryption(&plugins, keys.map(String::as_str)));
        found.push(server::judge_binlog(variables));
        let written = Writes::watch(session, self.clock)?;
        if let Some(size) = server::redo_bytes(variables) {
            found.push(writes::judge_redo(size, written.redo, self.last_backup(source)));
        }
        if answers.node.is_some() {
            found.push(galera::judge_gtids(variables));
            found.push(galera::judge_transfer(variables));
            let options = answers.text("wsrep_provider_options");
            if let Some(size) = writes::provider_size(options, "gcache.size") {
                found.push(writes::judge_gcache(size, written.write_sets, self.away));
            }
        }
        Ok(())
    }

    /// Returns what the archive of a source's binary logs remembers.
    fn archive_of(&self, source: &Table) -> server::ArchiveSeen {
        let names = self.job.texts("sources");
        let is_it = |name: &&String| self.config.source(name).is_some_and(|one| one == source);
        let state = names.iter().find(is_it);
        let state = state.and_then(|name| ArchiveState::read(&state_dir(self.config), name));
        let now = self.clock.unix_seconds();
        let lag = state.as_ref().and_then(|state| state.lag(now));
        server::ArchiveSeen { lag, gaps: state.map_or(0, |state| state.gaps) }
    }

    /// Returns the time that the last backup of a source took.
    fn last_backup(&self, source: &Table) -> Option<Duration> {
        let steps = &self.record.as_ref()?.steps;
        let is_of = |name: &str| self.config.source(name).is_some_and(|other| other == source);
        let step = steps.iter().find(|step| {
            step.step == Kind::Backup.word() && is_of(&step.subject) && step.snapshot.is_some()
        })?;
        Some(Duration::from_millis(step.milliseconds))
    }

    /// Compares the members of the cluster, and ranks them as a run does.
    fn cluster(&mut self) {
        let Some(cluster) = self.plan.cluster.clone() else { return };
        let subject = format!("cluster {}", cluster.name);
        let found = match connection::login_of(&cluster.table, &cluster.source) {
            Err(error) => {
                let failure = Failure::from(error);
                vec![Finding::failed("members", failure.line(), failure.hint())]
            }
            Ok(login) => {
                let places = cluster.table.texts("members");
                let members: Vec<Member> =
                    places.into_iter().map(|place| probe::member(place, &login)).collect();
                let choice = match cluster.survey(None, &Monitor::default()) {
                    Ok(standpoint) => galera::judge_choice(&standpoint.ranking),
                    Err(failure) => Finding::failed("choice", failure.line(), failure.hint()),
                };
                galera::judge_members(&members).into_iter().chain([choice]).collect()
            }
        };
        self.add(&subject, found);
    }

    fn repositories(&mut self) {
        let main = self.job.text("repository").unwrap_or_default().to_owned();
        let subject = format!("repository {main}");
        let said = Said::by(self.config, &main, &["key", "list"]);
        let kit = self.config.repository(&main).and_then(|table| table.text("recovery_kit"));
        let keys = repository::judge_keys(&said, &self.plan.steps_at(&main), kit);
        let is_there =
            keys.iter().all(|finding| finding.check != "reachable" || finding.state == State::Good);
        self.add(&subject, keys);
        let stored = self.record.as_ref().map(stored_bytes).filter(|bytes| *bytes > 0);
        self.directory(&subject, &main, stored);
        if is_there {
            self.bucket(&subject, &main);
        }
        for replica in self.job.texts("replicas") {
            let subject = format!("replica {replica}");
            if is_there {
                // A plan is made for a replica that is missing as well.
                let mut said = Said::by(self.config, &replica, &["snapshots", "--last", "1"]);
                let opens = said.is_report();
                if opens {
                    let plan = ["replicate", "--to", &replica, "--plan"];
                    said = Said::by(self.config, &main, &plan);
                }
                self.add(&subject, [repository::judge_replica(&said)]);
                if opens {
                    let keys = Said::by(self.config, &replica, &["key", "list"]);
                    let steps = self.plan.steps_at(&replica);
                    self.add(&subject, repository::judge_key(&keys, &steps));
                    self.bucket(&subject, &replica);
                }
            }
            self.directory(&subject, &replica, stored);
            let apart = self.place(&replica).zip(self.place(&main));
            self.add(&subject, apart.map(|(one, other)| host::judge_apart(&one, &other)));
        }
        let data = self.data.as_ref().and_then(|path| Place::of("the data directory", path).ok());
        let apart = self.place(&main).zip(data);
        self.add(&subject, apart.map(|(one, other)| host::judge_apart(&one, &other)));
    }

    /// Returns the directory of a repository, if it is in one.
    fn directory_of(&self, name: &str) -> Option<PathBuf> {
        let url = self.config.repository(name)?.text("url")?;
        match Location::parse(url).ok()? {
            Location::Directory(path) => Some(path),
            Location::Bucket { .. } => None,
        }
    }

    fn place(&self, name: &str) -> Option<Place> {
        Place::of(name, &self.directory_of(name)?).ok()
    }

    fn directory(&mut self, subject: &str, name: &str, stored: Option<u64>) {
        let Some(path) = self.directory_of(name) else { return };
        let hint = "give it to the user that runs the job, or run the job as its owner";
        let written = host::writes(&path);
        self.add(subject, [host::judge_written("directory", &path, written, hint)]);
        if let Ok(free) = host::free_bytes(&path) {
            self.add(subject, [host::judge_space(free, stored)]);
        }
    }

    /// Tries whether a repository that is in a bucket takes what the job puts.
    fn bucket(&mut self, subject: &str, name: &str) {
        if self.directory_of(name).is_some() {
            return;
        }
        let said = Said::by(self.config, name, &["try-store"]);
        let deletes = |step: &&Step| match step.kind {
            Kind::Retention | Kind::Prune => true,
            Kind::Check | Kind::Repair | Kind::Backup | Kind::Replicate | Kind::Verify => false,
        };
        let steps = self.plan.steps_at(name);
        let mut words: Vec<_> = steps.iter().filter(deletes).map(|step| step.kind.word()).collect();
        words.dedup();
        self.add(subject, [repository::judge_writing(&said, &words)]);
    }

    fn job(&mut self) {
        let subject = format!("job {}", self.plan.name);
        self.add(&subject, job::judge_care(Care::of(self.config, self.job)));
        let schedule = job::judge_schedule(self.job.text("schedule"), &self.plan.name);
        self.add(&subject, [schedule, job::judge_drill(&self.job.texts("sources"))]);
        let state = self.plan.state_dir.clone();
        let hint = "set state_dir in [defaults] to a directory of the user that runs the job";
        let written = host::writes(&state);
        self.add(&subject, [host::judge_written("state", &state, written, hint)]);
        if let Some(path) = self.plan.metrics.clone() {
            let directory = host::parent(&path);
            let written = if directory.is_dir() {
                host::writes(&directory)
            } else {
                Err(format!("there is no directory {}", directory.display()))
            };
            let hint = "make the directory, and let the user of the job write to it";
            self.add(&subject, [host::judge_written("metrics", &path, written, hint)]);
        }
    }

    /// Looks at what a restore would need here, if there are files of a server.
    fn host(&mut self) {
        let sources = self.job.texts("sources");
        let of_files = sources.iter().filter_map(|name| self.config.source(name));
        let mut of_files = of_files.filter(|source| source.text("kind") == Some("mariabackup"));
        let Some(source) = of_files.next() else { return };
        let command = producer::command(source, &is_program);
        let backup = probe::tool(command.first().map_or("", String::as_str));
        let found = host::judge_restore(&backup, &mariadbd(), self.version);
        self.add("this host", [found]);
    }
}

/// Returns the server's program, which is often in a directory that no user's path has.
fn mariadbd() -> Tool {
    let usual = ["/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/libexec/mariadbd"];
    let there = usual.into_iter().find(|path| Path::new(path).is_file());
    let own = ["mariadbd", "mysqld"].into_iter().find(|name| is_program(name));
    probe::tool(own.or(there).unwrap_or("mariadbd"))
}

fn stored_bytes(record: &Record) -> u64 {
    record.steps.iter().filter_map(|step| step.stored_bytes).sum()
}

/// Looks at a path that a source of files stores.
fn path_of_files(path: &str) -> Finding {
    const CHECK: &str = "path";
    let hint = "correct paths, or run the job as a user who may read it";
    match access(path, Access::READ_OK) {
        Ok(()) => Finding::good(CHECK, format!("{path} can be read")),
        Err(error) => {
            Finding::failed(CHECK, format!("{path}: {}", std::io::Error::from(error)), hint)
        }
    }
}
