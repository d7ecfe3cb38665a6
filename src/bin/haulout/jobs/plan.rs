//! The steps of a job, in their order, each with the command line that does it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::Config;
use crate::config::keys::STEPS;
use crate::config::keys::section;
use crate::config::schedule::Schedule;
use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::duration;
use crate::grammar::values::time_zone;
use crate::jobs::donor::Cluster;
use crate::jobs::hooks::Hooks;
use crate::jobs::ping::PingPlan;
use crate::jobs::producer;
use crate::jobs::space_plan::SpacePlan;

/// The directory of what jobs remember, if the configuration names no other.
const STATE_DIR: &str = "/var/lib/haulout";

/// The time without progress after which another node takes over, if nothing else is said.
const TAKEOVER: Duration = Duration::from_mins(10);

/// The kind of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Check,
    Repair,
    Backup,
    Replicate,
    Retention,
    Prune,
    Verify,
}

impl Kind {
    /// All kinds, in the order of [`STEPS`].
    const ALL: [Self; STEPS.len()] = [
        Self::Check,
        Self::Repair,
        Self::Backup,
        Self::Replicate,
        Self::Retention,
        Self::Prune,
        Self::Verify,
    ];

    /// Returns the word for the kind.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Repair => "repair",
            Self::Backup => "backup",
            Self::Replicate => "replicate",
            Self::Retention => "retention",
            Self::Prune => "prune",
            Self::Verify => "verify",
        }
    }
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The kind of the step.
    pub(crate) kind: Kind,
    /// What it is about: a source, or a repository.
    pub(crate) subject: String,
    /// The arguments of haulout, without those that all steps have.
    pub(crate) arguments: Vec<String>,
    /// The source whose backup must have succeeded in this run, if the step depends on one.
    pub(crate) after_source: Option<String>,
}

/// What damage found before the backups means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// The backups run all the same.
    Continue,
    /// The job fails before the first backup.
    Fail,
}

/// How often removed snapshots are pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PruneEvery {
    Run,
    Day,
    Week,
}

impl PruneEvery {
    /// Returns the least number of seconds between two prunes: somewhat less than the period, since
    /// a run may begin earlier than the one before.
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Run => 0,
            Self::Day => 22 * 3600,
            Self::Week => (7 * 24 - 12) * 3600,
        }
    }
}

/// A job that is ready to run.
#[derive(Debug)]
pub(crate) struct JobPlan {
    /// The name of the job.
    pub(crate) name: String,
    /// The configuration file that it stands in.
    pub(crate) config: PathBuf,
    /// The directory of what jobs remember.
    pub(crate) state_dir: PathBuf,
    /// True if the file or the environment says where the state of repositories is remembered.
    pub(crate) says_state: bool,
    /// The name of the repository that the backups go to.
    pub(crate) repository: String,
    /// The steps in their order.
    pub(crate) steps: Vec<Step>,
    /// True if there are sources: then what comes after them can't make the job fail.
    pub(crate) has_sources: bool,
    /// The programs before and after the steps.
    pub(crate) on_damage: OnDamage,
    /// How often removed snapshots are pruned.
    pub(crate) prune_every: PruneEvery,
    /// The file of metrics.
    pub(crate) metrics: Option<PathBuf>,
    /// The programs before and after.
    pub(crate) hooks: Hooks,
    /// The cluster of which one node is backed up, if a source is a node of one.
    pub(crate) cluster: Option<Cluster>,
    /// The times at which the job is to run, with their zone.
    pub(crate) schedule: Option<(Schedule, TimeZone)>,
    /// The time without progress after which another node takes over.
    pub(crate) takeover: Duration,
    /// The pings to a monitor.
    pub(crate) ping: Option<PingPlan>,
    /// Where tonight's bytes go, and how many they may be.
    pub(crate) space: SpacePlan,
}

/// Returns the directory of what jobs remember.
pub(crate) fn state_dir(config: &Config) -> PathBuf {
    let named = config.file.table("defaults").and_then(|table| table.text("state_dir"));
    PathBuf::from(named.unwrap_or(STATE_DIR))
}

/// Returns the times at which a job is to run, if it says so, with their zone.
pub(crate) fn schedule_of(job: Option<&Table>) -> Option<(Schedule, TimeZone)> {
    let job = job?;
    let zone = job.text("timezone").and_then(|zone| time_zone(zone).ok());
    let schedule = job.text("schedule")?.parse().ok()?;
    Some((schedule, zone.unwrap_or_else(TimeZone::system)))
}

/// Tells whether the option `--state` has a value without being typed.
fn says_state(config: &Config) -> bool {
    let general = config.file.table("defaults");
    general.is_some_and(|table| table.get("state").is_some())
        || env::var_os("HAULOUT_STATE").is_some()
}

impl JobPlan {
    /// Makes a job ready, or says what is missing for one of its steps.
    ///
    /// `has_program` tells whether a program can be found.
    pub(crate) fn new(
        config: &Config,
        name: &str,
        has_program: &dyn Fn(&str) -> bool,
    ) -> Outcome<Self> {
        let Some(job) = config.job(name) else { return Err(no_job(config, name)) };
        let parts = Parts { config, name, job };
        let steps = parts.steps(has_program)?;
        let cluster = parts.cluster()?;
        let takeover = cluster.as_ref().and_then(|cluster| cluster.table.text("takeover"));
        let takeover = takeover.and_then(|text| duration(text).ok()).unwrap_or(TAKEOVER);
        Ok(Self {
            name: name.to_owned(),
            config: config.path.clone(),
            state_dir: state_dir(config),
            says_state: says_state(config),
            repository: parts.repository().to_owned(),
            has_sources: steps.iter().any(|step| step.kind == Kind::Backup),
            steps,
            on_damage: match job.text("on_damage") {
                Some("fail") => OnDamage::Fail,
                _ => OnDamage::Continue,
            },
            prune_every: match job.text("prune") {
                Some("every-run") => PruneEvery::Run,
                Some("daily") => PruneEvery::Day,
                _ => PruneEvery::Week,
            },
            metrics: job.text("metrics").map(PathBuf::from),
            hooks: Hooks::new(job.table("hooks")),
            cluster,
            schedule: schedule_of(Some(job)),
            takeover,
            ping: job.table("ping").map(PingPlan::new),
            space: SpacePlan::new(config, job),
        })
    }
}

impl JobPlan {
    /// Returns the steps with the repository that each opens first, by repository.
    pub(crate) fn steps_by_place(&self) -> BTreeMap<&str, Vec<Step>> {
        let mut places: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
        for step in &self.steps {
            // They begin with `-r PLACE`.
            let place = step.arguments.get(1).map_or("", String::as_str);
            places.entry(place).or_default().push(step.clone());
        }
        places
    }

    /// Returns the steps that open a repository first.
    pub(crate) fn steps_at(&self, place: &str) -> Vec<Step> {
        self.steps_by_place().remove(place).unwrap_or_default()
    }
}

/// Explains that the configuration has no job of a name.
pub(crate) fn no_job(config: &Config, name: &str) -> Failure {
    let known = config.names("job").join(", ");
    let path = config.path.display();
    let hint = if known.is_empty() {
        format!("add a section [job.{name}]; haulout help config shows one")
    } else {
        format!("there are {known}")
    };
    Failure::usage(format!("{path} has no job {name}"), hint)
}

/// The parts of the configuration that a job is made of.
struct Parts<'p> {
    config: &'p Config,
    name: &'p str,
    job: &'p Table,
}

impl Parts<'_> {
    fn steps(&self, has_program: &dyn Fn(&str) -> bool) -> Outcome<Vec<Step>> {
        let asked: BTreeSet<String> = self.job.texts("steps").into_iter().collect();
        let mut steps = Vec::new();
        for kind in Kind::ALL {
            let found = self.of_kind(kind, has_program);
            let is_asked = asked.contains(kind.word());
            if found.is_empty() && is_asked {
                return Err(self.nothing_to_do(kind));
            }
            if asked.is_empty() || is_asked {
                steps.extend(found);
            }
        }
        if steps.is_empty() {
            return Err(Failure::usage(
                format!("the job {} has no steps", self.name),
                "name its sources, its replicas, or what else it is to do",
            ));
        }
        Ok(steps)
    }

    fn nothing_to_do(&self, kind: Kind) -> Failure {
        let missing = match kind {
            Kind::Backup => "name its sources",
            Kind::Repair | Kind::Replicate => "name its replicas",
            Kind::Retention | Kind::Prune => "give the repository, or a source, rules with keep",
            Kind::Verify => "give it verify = { budget = \"30min\" }",
            Kind::Check => "name its repository",
        };
        let word = kind.word();
        Failure::usage(format!("the job {} has nothing to {word}", self.name), missing)
    }

    /// Returns the cluster of the sources, which may be nodes of one cluster only.
    fn cluster(&self) -> Outcome<Option<Cluster>> {
        let mut found: Option<Cluster> = None;
        for source_name in self.job.texts("sources") {
            let Some(source) = self.config.source(&source_name) else { continue };
            let Some(name) = source.text("cluster") else { continue };
            match &mut found {
                Some(other) if other.name != name => {
                    let what = format!("the sources of the job {} are of two clusters", self.name);
                    return Err(Failure::usage(what, "make a job for each cluster"));
                }
                Some(found) => found.sources.push(source_name),
                None => {
                    let table = self.config.file.table("cluster").and_then(|all| all.table(name));
                    let (table, source) = (table.cloned().unwrap_or_default(), source.clone());
                    let (name, sources) = (name.to_owned(), vec![source_name]);
                    found = Some(Cluster { name, table, source, sources });
                }
            }
        }
        if found.is_some() && self.job.text("jitter").is_some() {
            return Err(Failure::usage(
                format!("the job {} has a jitter, and runs on the hosts of a cluster", self.name),
                "leave jitter out: the hosts agree at the scheduled time",
            ));
        }
        Ok(found)
    }

    fn repository(&self) -> &str {
        self.job.text("repository").unwrap_or_default()
    }

    fn of_kind(&self, kind: Kind, has_program: &dyn Fn(&str) -> bool) -> Vec<Step> {
        match kind {
            Kind::Check => self.checks(),
            Kind::Repair => {
                let repair =
                    |replica: String| self.step(kind, &replica, &["repair", "--from", &replica]);
                self.job.texts("replicas").into_iter().map(repair).collect()
            }
            Kind::Backup => {
                let sources = self.job.texts("sources");
                sources.iter().filter_map(|source| self.backup(source, has_program)).collect()
            }
            Kind::Replicate => {
                let replicate =
                    |replica: String| self.step(kind, &replica, &["replicate", "--to", &replica]);
                self.job.texts("replicas").into_iter().map(replicate).collect()
            }
            Kind::Retention => {
                self.places().into_iter().flat_map(|place| self.retention(&place)).collect()
            }
            Kind::Prune => {
                let kept = self.places().into_iter().filter(|place| self.has_rules(place));
                kept.map(|place| Self::at(kind, &place, &["prune", "--yes"])).collect()
            }
            Kind::Verify => {
                let slice = self.job.table("verify").map(|table| self.slice(kind, table));
                slice.into_iter().collect()
            }
        }
    }

    /// The repository and its copies.
    fn places(&self) -> Vec<String> {
        [self.repository().to_owned()].into_iter().chain(self.job.texts("replicas")).collect()
    }

    fn checks(&self) -> Vec<Step> {
        let listing = ["verify", "--depth", "objects"];
        let listed = self.step(Kind::Check, self.repository(), &listing);
        let slice = self.job.table("verify_before").map(|table| self.slice(Kind::Check, table));
        [listed].into_iter().chain(slice).collect()
    }

    fn slice(&self, kind: Kind, table: &Table) -> Step {
        let budget = table.text("budget").unwrap_or_default();
        let depth = table.text("depth").unwrap_or("blocks");
        let arguments = ["verify", "--oldest", "--budget", budget, "--depth", depth];
        self.step(kind, self.repository(), &arguments)
    }

    fn step(&self, kind: Kind, subject: &str, arguments: &[&str]) -> Step {
        Step { subject: subject.to_owned(), ..Self::at(kind, self.repository(), arguments) }
    }

    fn at(kind: Kind, place: &str, arguments: &[&str]) -> Step {
        let mut all = vec!["-r".to_owned(), place.to_owned()];
        all.extend(arguments.iter().map(|word| (*word).to_owned()));
        Step { kind, subject: place.to_owned(), arguments: all, after_source: None }
    }

    fn backup(&self, name: &str, has_program: &dyn Fn(&str) -> bool) -> Option<Step> {
        let source = self.config.source(name)?;
        let own = section("source")?.keys;
        let mut step = self.step(Kind::Backup, name, &["backup", "--source", name]);
        for entry in &source.0 {
            let is_option = !own.iter().any(|key| key.name == entry.key);
            let option = format!("--{}", entry.key.replace('_', "-"));
            if !is_option {
                continue;
            }
            if let Data::Flag(is_on) = entry.value.data {
                step.arguments.extend(is_on.then_some(option));
                continue;
            }
            for word in entry.value.words().unwrap_or_default() {
                step.arguments.push(format!("{option}={word}"));
            }
        }
        let has_server = ["mariabackup", "mariadb-dump"].map(Some).contains(&source.text("kind"));
        if has_server && !producer::is_of_accounts(source) && source.get("ask_server").is_none() {
            step.arguments.push("--ask-server".to_owned());
        }
        step.arguments.push("--".to_owned());
        if producer::is_of_accounts(source) {
            // The tool by itself leaves grants to PUBLIC out.
            let program = env::current_exe().unwrap_or_else(|_| "haulout".into());
            let words = [program.as_path(), Path::new("--config"), &self.config.path];
            step.arguments.extend(words.map(|word| word.display().to_string()));
            step.arguments.extend(["dump-accounts".to_owned(), name.to_owned()]);
        } else {
            step.arguments.extend(producer::command(source, has_program));
        }
        Some(step)
    }

    fn has_rules(&self, place: &str) -> bool {
        let of_place = self.config.repository(place).is_some_and(has_keep);
        let sources = self.job.texts("sources");
        of_place || sources.iter().any(|name| self.config.source(name).is_some_and(has_keep))
    }

    /// Returns the steps that apply the rules of a repository: to each source of the job, or to all
    /// sources if the job has none.
    fn retention(&self, place: &str) -> Vec<Step> {
        let Some(table) = self.config.repository(place) else { return Vec::new() };
        let general = table.table("keep");
        let sources = self.job.texts("sources");
        if sources.is_empty() {
            return general.map(|keep| self.forget(place, None, keep)).into_iter().collect();
        }
        // Rules of a source are for the repository of the job; a copy has its own.
        let own = |name: &str| {
            let is_main = place == self.repository();
            self.config.source(name)?.table("keep").filter(|_| is_main)
        };
        let rules = |name: &String| {
            let keep = own(name).or(general)?;
            Some(self.forget(place, Some(name), keep))
        };
        sources.iter().filter_map(rules).collect()
    }

    fn forget(&self, place: &str, source: Option<&str>, keep: &Table) -> Step {
        let mut step = Self::at(Kind::Retention, place, &["forget"]);
        if let Some(source) = source {
            step.arguments.extend(["--source".to_owned(), source.to_owned()]);
        }
        step.arguments.extend(rules_of(keep));
        if let Some(zone) = self.job.text("timezone") {
            step.arguments.push(format!("--time-zone={zone}"));
        }
        step.arguments.push("--yes".to_owned());
        step.after_source = source.map(str::to_owned);
        step
    }
}

/// Returns rules of retention as options of `forget`.
pub(crate) fn rules_of(keep: &Table) -> Vec<String> {
    let mut options = Vec::new();
    for entry in &keep.0 {
        let option = if entry.key == "tags" { "tag" } else { entry.key.as_str() };
        for word in entry.value.words().unwrap_or_default() {
            options.push(format!("--keep-{option}={word}"));
        }
    }
    options
}

fn has_keep(table: &Table) -> bool {
    table.table("keep").is_some()
}
