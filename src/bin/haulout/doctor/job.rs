//! The job as the configuration has it: what it leaves out that a later day will miss.
//!
//! Another job may do what this one leaves out: all jobs of the repository count.

use crate::config::Config;
use crate::config::tree::Table;
use crate::doctor::finding::Finding;
use crate::jobs::plan::Kind;
use crate::jobs::plan::Step;

/// What the jobs of a repository do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Care {
    /// Whether there is a copy of it.
    pub(crate) has_replica: bool,
    /// Whether old snapshots are removed.
    pub(crate) has_retention: bool,
    /// Whether what is stored is verified.
    pub(crate) has_verification: bool,
}

impl Care {
    /// Looks at all jobs on the repository of a job.
    pub(crate) fn of(config: &Config, job: &Table) -> Self {
        let repository = job.text("repository").unwrap_or_default();
        let jobs: Vec<&Table> = config
            .names("job")
            .into_iter()
            .filter_map(|name| config.job(name))
            .filter(|other| other.text("repository") == Some(repository))
            .collect();
        let does = |job: &Table, step: &str| {
            let steps = job.texts("steps");
            steps.is_empty() || steps.iter().any(|asked| asked == step)
        };
        let any = |step: &str, has: &dyn Fn(&Table) -> bool| {
            jobs.iter().any(|job| does(job, step) && has(job))
        };
        let keeps =
            |table: Option<&Table>| table.is_some_and(|table| table.table("keep").is_some());
        let has_rules = |job: &Table| {
            let sources = job.texts("sources");
            keeps(config.repository(repository))
                || sources.iter().any(|name| keeps(config.source(name)))
        };
        Self {
            has_replica: any("replicate", &|job| !job.texts("replicas").is_empty()),
            has_retention: any("retention", &has_rules),
            has_verification: any("verify", &|job| job.table("verify").is_some())
                || any("check", &|job| job.table("verify_before").is_some()),
        }
    }
}

/// Judges what is done for the repository of a job.
pub(crate) fn judge_care(care: Care) -> Vec<Finding> {
    let one = |check, is_done, good: &str, lacks: &str, hint: &str| {
        if is_done { Finding::good(check, good) } else { Finding::warning(check, lacks, hint) }
    };
    vec![
        one(
            "replica",
            care.has_replica,
            "a job keeps a copy of the repository",
            "no job keeps a copy of the repository",
            "name a repository at another place in replicas",
        ),
        one(
            "retention",
            care.has_retention,
            "old snapshots are removed",
            "no job removes old snapshots: the repository grows until it is full",
            "give the repository rules with keep",
        ),
        one(
            "verification",
            care.has_verification,
            "what is stored is verified",
            "no job verifies what is stored: damage is found when it is needed",
            "give the job verify = { budget = \"30min\" }",
        ),
    ]
}

/// Judges whether something starts the job, as far as the configuration says so.
pub(crate) fn judge_schedule(schedule: Option<&str>, name: &str) -> Finding {
    const CHECK: &str = "schedule";
    let Some(schedule) = schedule else {
        return Finding::not_checked(CHECK, "the job has none; what starts it is not known here");
    };
    Finding::not_checked(CHECK, format!("{schedule}; whether a timer starts it is not known here"))
        .with_hint(format!(
            "haulout generate systemd {name} makes a timer; haulout status --nagios --max-age 26h \
             notices a job that does not start"
        ))
}

/// Says that no job proves what is stored by restoring it. It is no warning as long as there is no
/// step that would end it: what a person has restored is not known here.
pub(crate) fn judge_drill(sources: &[String]) -> Finding {
    let source = sources.first().map_or("SOURCE", String::as_str);
    Finding::not_checked("drill", "no job restores a backup to prove that it can be done")
        .with_hint(format!(
            "restore one at least each 90 days, and start a server on it: haulout restore \
             {source}@latest --to DIR --prepare"
        ))
}

/// Judges whether the key of the job may do what its steps need. A key that may only write adds
/// backups, sends them on and looks whether objects are there; it deletes and opens nothing.
pub(crate) fn judge_role(role: &str, steps: &[Step]) -> Finding {
    const CHECK: &str = "key";
    let opens = |step: &Step| {
        let mut words = step.arguments.iter().skip_while(|word| *word != "--depth");
        words.nth(1).is_some_and(|depth| depth == "blocks" || depth == "pages")
    };
    let needs_more = |step: &&Step| match step.kind {
        Kind::Backup | Kind::Repair | Kind::Replicate => false,
        Kind::Check | Kind::Verify => opens(step),
        Kind::Retention | Kind::Prune => true,
    };
    let needing = steps.iter().filter(needs_more);
    let mut words: Vec<&str> = needing.map(|step| step.kind.word()).collect();
    words.dedup();
    if role == "full" || words.is_empty() {
        return Finding::good(CHECK, format!("{role}, which is enough for the steps of the job"));
    }
    Finding::failed(
        CHECK,
        format!("{role}, which is not enough for {}", words.join(", ")),
        "name the other steps in steps, and give a job on a host with a full key the rest",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;
    use crate::doctor::finding::State;

    fn care(text: &str) -> Care {
        let (file, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        let config = Config { path: "x".into(), file };
        Care::of(&config, config.job("n").unwrap())
    }

    #[test]
    fn other_jobs_of_the_repository_count() {
        let alone = "[repository.r]\nurl = '/r'\n[repository.k]\nurl = '/k'\nkeep = {last = 1}\n\
                     [job.n]\nrepository = 'r'\nsources = ['a']\n\
                     [job.other]\nrepository = 'k'\nreplicas = ['r']\nverify = {budget = '5%'}\n";
        let found = care(alone);
        let none = Care { has_replica: false, has_retention: false, has_verification: false };
        assert_eq!(found, none);
        assert_eq!(judge_care(found).iter().filter(|one| one.state == State::Warning).count(), 3);
        let rest = "[job.rest]\nrepository = 'r'\nreplicas = ['k']\nverify = {budget = '5%'}\n\
                    [source.a]\nkeep = {last = 1}\n";
        let found = care(&(alone.to_owned() + rest));
        // The rules of a source hold where the source is backed up.
        let all = Care { has_replica: true, has_retention: true, has_verification: true };
        assert_eq!(found, all);
        assert!(judge_care(found).iter().all(|one| one.state == State::Good));
        let steps = "steps = ['retention']\n";
        let text = alone.replace("sources = ['a']\n", &format!("sources = ['a']\n{steps}"));
        assert!(!care(&text).has_replica);
    }

    #[test]
    fn a_key_that_may_only_write_deletes_nothing_and_opens_nothing() {
        let step = |kind, words: &str| Step {
            kind,
            subject: String::new(),
            arguments: words.split(' ').map(str::to_owned).collect(),
            after_source: None,
        };
        let few = [
            step(Kind::Check, "verify --depth objects"),
            step(Kind::Backup, "backup"),
            step(Kind::Replicate, "replicate --to x"),
        ];
        assert_eq!(judge_role("write-only", &few).state, State::Good);
        let more = [
            step(Kind::Backup, "backup"),
            step(Kind::Prune, "prune --yes"),
            step(Kind::Verify, "verify --depth blocks"),
        ];
        let found = judge_role("write-only", &more);
        assert_eq!(found.state, State::Failed);
        assert!(found.found.ends_with("prune, verify"), "{found:?}");
        assert_eq!(judge_role("full", &more).state, State::Good);
    }
}
