//! The configuration file and its jobs by the program: what goes before what, what a run does and
//! what it leaves to status, metrics and hooks, and how it ends when a part of it fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use program::Place;
use program::Ran;

/// Looks until a condition holds, for a minute.
#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("it did not come to pass");
}

/// A place with a configuration file.
struct Site {
    place: Place,
    config: String,
}

impl Site {
    /// With the repositories local and offsite, and these jobs; `@` stands for the directory.
    fn new(jobs: &str) -> Self {
        let place = Place::empty();
        place.file("password", "secret\n");
        fs::create_dir(place.path("files")).unwrap();
        place.file("files/nova.conf", "[DEFAULT]\n");
        let text = format!(
            "[defaults]\nstate_dir = \"@/state\"\n\
             [repository.local]\nurl = \"@/local\"\npassword_file = \"@/password\"\n\
             keep = {{ last = 2 }}\n\
             [repository.offsite]\nurl = \"@/offsite\"\npassword_file = \"@/password\"\n\
             keep = {{ last = 3 }}\n{jobs}"
        );
        let text = text.replace('@', place.directory.path().to_str().unwrap());
        let config = place.file("haulout.toml", text);
        Self { place, config }
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        ["--config", &self.config].into_iter().chain(arguments.iter().copied()).collect()
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        self.place.ran(&self.arguments(arguments))
    }

    fn started(&self, arguments: &[&str]) -> Child {
        self.place.started(&self.arguments(arguments), Stdio::null())
    }

    /// Runs a job, and returns its record.
    fn job(&self, name: &str, status: i32) -> Value {
        self.ran(&["run", name, "--json"]).is(status).json()
    }

    fn snapshots(&self, repository: &str) -> usize {
        let listed = self.ran(&["-r", repository, "snapshots", "--json"]).is(0).json();
        listed.as_array().unwrap().len()
    }

    fn packs(&self, repository: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.place.path(repository).join("packs")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }
}

/// Returns the results of the steps, as `STEP SUBJECT RESULT`.
fn results(record: &Value) -> Vec<String> {
    let word = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    let steps = record["steps"].as_array().unwrap().iter();
    steps.map(|step| ["step", "subject", "result"].map(|key| word(step, key)).join(" ")).collect()
}

const NIGHTLY: &str = "
[source.db]
kind = \"command\"
command = [\"sh\", \"-c\", \"head -c 100000 /dev/urandom\"]
tag = [\"nightly\", \"db\"]
[source.files]
kind = \"files\"
paths = [\"@/files\"]
[job.nightly]
sources = [\"db\", \"files\"]
repository = \"local\"
replicas = [\"offsite\"]
schedule = \"daily 02:30\"
verify = { budget = \"5%\" }
metrics = \"@/haulout.prom\"
prune = \"every-run\"
";

#[test]
fn nights_are_backed_up_copied_thinned_and_verified() {
    let site = Site::new(NIGHTLY);
    site.ran(&["run", "nightly"]).is(1).says("no repository");
    site.ran(&["init", "--job", "nightly"]).is(0);
    site.ran(&["init", "--job", "nightly"]).is(0).says("local is there");
    for _night in 0..4 {
        let record = site.job("nightly", 0);
        let expected = [
            "check local done",
            "backup db done",
            "backup files done",
            "replicate offsite done",
            "retention local done",
            "retention local done",
            "retention offsite done",
            "retention offsite done",
            "prune local done",
            "prune offsite done",
            "verify local done",
        ];
        assert_eq!(results(&record), expected);
    }
    // Two of each source here, three there.
    assert_eq!((site.snapshots("local"), site.snapshots("offsite")), (4, 6));
    let newest = site.ran(&["-r", "local", "show", "db@latest", "--json"]).is(0).json();
    assert_eq!(newest["tags"], serde_json::json!(["nightly", "db"]));
    let metrics = fs::read_to_string(site.place.path("haulout.prom")).unwrap();
    for line in [
        "haulout_job_exit_code{job_name=\"nightly\"} 0\n",
        "haulout_job_bytes{job_name=\"nightly\",source=\"db\",kind=\"stream\"} 100000\n",
        "haulout_job_verdict{job_name=\"nightly\",source=\"files\",verdict=\"complete\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let status = site.ran(&["status", "--json"]).is(0).json();
    assert_eq!(status[0]["state"], "done", "{status}");
    assert!(status[0]["next_run"].as_str().unwrap().contains(":30:00Z"), "{status}");
    let line = site.ran(&["status", "--nagios", "--max-age", "26h"]).is(0).out();
    assert_eq!(line, "HAULOUT OK - nightly: 0 h ago\n");
}

#[test]
fn the_plan_is_a_list_of_commands_that_can_be_run() {
    let site = Site::new(NIGHTLY);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let plan = site.ran(&["run", "nightly", "--plan", "--json"]).is(0).json();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 12, "{plan}");
    for step in steps.iter().filter(|step| step["step"] != "repair") {
        let words = step["command"].as_array().unwrap().iter().skip(1);
        let words: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
        site.ran(&words).is(0);
    }
    assert_eq!((site.snapshots("local"), site.snapshots("offsite")), (2, 2));
    let text = site.ran(&["run", "nightly", "--plan"]).is(0).out();
    assert!(text.contains("--source db --tag=nightly --tag=db -- sh -c 'head -c 100000"), "{text}");
}

#[test]
fn damage_is_healed_from_a_replica_before_the_backups() {
    let site = Site::new(NIGHTLY);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    site.job("nightly", 0);
    let lost = site.packs("local");
    lost.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let record = site.job("nightly", 3);
    let steps = results(&record);
    let begin = ["check local findings", "repair offsite done", "backup db done"];
    assert_eq!(steps[..3], begin, "{record}");
    assert!(record["steps"][0]["reason"].as_str().unwrap().len() > 10, "{record}");
    assert!(lost.iter().all(|pack| pack.exists()));
    assert!(!results(&site.job("nightly", 0)).iter().any(|step| step.starts_with("repair")));
}

#[test]
fn damage_that_no_replica_heals_stops_the_backups_only_if_that_is_said() {
    for (on_damage, status, backup) in
        [("continue", 3, "backup db findings"), ("fail", 1, "backup db skipped")]
    {
        let jobs = format!("{NIGHTLY}on_damage = \"{on_damage}\"\n");
        let site = Site::new(&jobs);
        site.ran(&["init", "--job", "nightly", "-q"]).is(0);
        site.job("nightly", 0);
        for repository in ["local", "offsite"] {
            site.packs(repository).iter().for_each(|pack| fs::remove_file(pack).unwrap());
            let twins = site.place.path(repository).join("twins");
            fs::remove_dir_all(&twins).unwrap();
            fs::create_dir(&twins).unwrap();
        }
        let record = site.job("nightly", status);
        let steps = results(&record);
        assert!(steps.contains(&backup.to_owned()), "{on_damage}: {record}");
        assert_eq!(steps[0], "check local findings");
        assert!(steps[1].starts_with("repair offsite"), "{record}");
    }
}

#[test]
fn a_source_that_fails_stops_neither_the_others_nor_what_follows() {
    let jobs = NIGHTLY.replace("head -c 100000 /dev/urandom", "cat @/stream");
    let site = Site::new(&jobs);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    site.place.file("stream", b"one");
    site.job("nightly", 0);
    fs::remove_file(site.place.path("stream")).unwrap();
    let record = site.job("nightly", 1);
    let steps = results(&record);
    assert_eq!(steps[1..4], ["backup db failed", "backup files done", "replicate offsite done"]);
    assert_eq!(steps[4..6], ["retention local skipped", "retention local done"], "{record}");
    let last_success = record["last_success"].as_u64().unwrap();
    assert!(last_success <= record["started"].as_u64().unwrap(), "{record}");
    site.ran(&["status", "--nagios", "--max-age", "26h"]).is(2);
}

#[test]
fn a_later_step_that_fails_is_no_failure_of_what_is_stored() {
    let site = Site::new(NIGHTLY);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    fs::remove_dir_all(site.place.path("offsite")).unwrap();
    let record = site.job("nightly", 3);
    let steps = results(&record);
    assert!(steps.contains(&"replicate offsite failed".to_owned()), "{record}");
    assert_eq!(steps[1..3], ["backup db done", "backup files done"]);
    // Of a job without sources it is.
    let jobs = NIGHTLY.replace("sources = [\"db\", \"files\"]\n", "steps = [\"replicate\"]\n");
    let site = Site::new(&jobs);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    fs::remove_dir_all(site.place.path("offsite")).unwrap();
    assert_eq!(results(&site.job("nightly", 1)), ["replicate offsite failed"]);
}

#[test]
fn a_job_runs_once_at_a_time_and_its_steps_end_with_it() {
    let jobs = NIGHTLY.replace("head -c 100000 /dev/urandom", "echo $$ > @/pid; exec sleep 600");
    let site = Site::new(&jobs);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let producer = || fs::read_to_string(site.place.path("pid")).unwrap_or_default();
    let runs = || {
        let pid = producer().trim().to_owned();
        PathBuf::from(format!("/proc/{pid}/cmdline")).exists()
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    };
    let state = || site.ran(&["status", "--json"]).is(0).json()[0]["state"].clone();
    for (kill, then) in [("-TERM", "failed"), ("-KILL", "interrupted")] {
        let mut first = site.started(&["run", "nightly", "-q"]);
        until(|| !producer().trim().is_empty() && runs());
        site.ran(&["run", "nightly"]).is(4).says("runs already");
        assert_eq!(state(), "running");
        let id = first.id().to_string();
        assert!(Command::new("kill").args([kill, &id]).status().unwrap().success());
        first.wait().unwrap();
        until(|| !runs());
        assert_eq!(state(), then);
        fs::write(site.place.path("pid"), "").unwrap();
    }
}

#[test]
fn hooks_run_before_and_after_and_one_that_is_required_stops_the_job() {
    let hooks = "
[[job.nightly.hooks.before]]
command = [\"sh\", \"-c\", \"echo before $HAULOUT_JOB >> @/hooks; test ! -e @/forbidden\"]
required = true
[[job.nightly.hooks.after]]
command = [\"sh\", \"-c\", \"setsid sleep 60 2>/dev/null &\"]
[[job.nightly.hooks.after]]
command = [\"sh\", \"-c\", \"echo after $HAULOUT_EXIT $HAULOUT_VERDICT >> @/hooks\"]
[[job.nightly.hooks.failed]]
command = [\"sh\", \"-c\", \"echo failed $HAULOUT_EXIT $HAULOUT_PASSWORD >> @/hooks\"]
[[job.nightly.hooks.finally]]
command = [\"sh\", \"-c\", \"echo $HAULOUT_HOOK >> @/hooks; sleep 100\"]
timeout = \"1s\"
";
    let site = Site::new(&format!("{NIGHTLY}steps = [\"backup\"]\n{hooks}"));
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let record = site.job("nightly", 3);
    assert_eq!(results(&record), ["backup db done", "backup files done"]);
    let log = || fs::read_to_string(site.place.path("hooks")).unwrap();
    assert_eq!(log(), "before nightly\nafter 0 complete\nfinally\n");
    fs::remove_file(site.place.path("hooks")).unwrap();
    site.place.file("forbidden", b"");
    let record = site.job("nightly", 1);
    assert!(results(&record).is_empty(), "{record}");
    assert_eq!(log(), "before nightly\nfailed 1\nfinally\n");
}

#[test]
fn what_is_typed_goes_before_the_environment_and_both_before_the_file() {
    let site = Site::new("");
    site.ran(&["-r", "local", "init", "-q"]).is(0);
    // A variable with a password does not apply to a repository that has a name.
    let with = |name: &str, value: &str, arguments: &[&str]| {
        let mut command = site.place.command(&site.arguments(arguments));
        command.env(name, value);
        Ran::of(command, b"")
    };
    with("HAULOUT_PASSWORD", "wrong", &["-r", "local", "snapshots"]).is(0);
    site.place.file("wrong", "wrong\n");
    let wrong = site.place.path("wrong");
    let wrong = wrong.to_str().unwrap();
    site.ran(&["-r", "local", "--password-file", wrong, "snapshots"]).is(1);
    site.ran(&["-r", "local", "--password-command", "echo wrong", "snapshots"]).is(1);
    site.ran(&["-r", "local", "--password-command", "echo secret", "snapshots"]).is(0);
    let path = site.place.path("local");
    with("HAULOUT_PASSWORD", "wrong", &["-r", path.to_str().unwrap(), "snapshots"]).is(1);
    // HAULOUT_REPO may be a name; a word that is none is not taken for a directory.
    with("HAULOUT_REPO", "local", &["snapshots"]).is(0);
    site.ran(&["-r", "lokal", "snapshots"]).is(2).says("./lokal");
    // The file's values are defaults.
    let text = fs::read_to_string(&site.config).unwrap();
    let general = "[defaults]\nrepo = \"local\"\nthreads = 3\n[defaults.snapshots]\nlast = 1\n";
    fs::write(&site.config, general.to_owned() + text.trim_start_matches("[defaults]\n")).unwrap();
    site.ran(&["config", "check"]).is(2).says("");
    let text = text.replace("[defaults]\n", "[defaults]\nrepo = \"local\"\n");
    fs::write(&site.config, text + "[defaults.snapshots]\nlast = 1\n").unwrap();
    for stream in ["one", "two"] {
        let script = format!("echo {stream}");
        site.ran(&["-r", "local", "backup", "--source", stream, "--", "sh", "-c", &script]).is(0);
        site.ran(&["-r", "local", "backup", "--source", stream, "--", "sh", "-c", &script]).is(0);
    }
    let mut command = site.place.command(&["--config", &site.config, "snapshots", "--json"]);
    command.env_remove("HAULOUT_REPO");
    assert_eq!(Ran::of(command, b"").is(0).json().as_array().unwrap().len(), 2);
    let all = ["-r", "local", "snapshots", "--json", "--last", "9"];
    assert_eq!(site.ran(&all).is(0).json().as_array().unwrap().len(), 4);
    let shown = site.ran(&["config", "show", "--json"]).is(0).json();
    let values = shown["values"].as_array().unwrap();
    let of = |key: &str| values.iter().find(|value| value["key"] == key).unwrap()["from"].clone();
    assert_eq!(of("defaults.snapshots.last"), "line 13");
    assert_eq!(of("repository.local.retry_for"), "default");
}

#[test]
fn mistakes_are_printed_with_their_places_and_no_command_runs_with_them() {
    let site = Site::new("[job.x]\nrepository = \"lokal\"\nsteps = [\"backup\"]\n");
    let found = site.ran(&["config", "check", "--json"]).is(2).json();
    assert_eq!(found["mistakes"][0]["line"], 12, "{found}");
    assert_eq!(found["mistakes"][0]["hint"], "probably local is meant");
    site.ran(&["-r", "local", "snapshots"]).is(2).says("haulout.toml:12:14: job.x.repository");
    let site = Site::new("[job.x]\nrepository = \"local\"\nsteps = [\"backup\"]\n");
    site.ran(&["config", "check"]).is(0);
    site.ran(&["run", "x"]).is(2).says("nothing to backup");
    site.ran(&["run", "y"]).is(2).says("there are x");
    site.ran(&["status", "y"]).is(2);
    fs::set_permissions(&site.config, fs::Permissions::from_mode(0o646)).unwrap();
    site.ran(&["run", "x"]).is(1).says("every user of this host can write to");
    let none = site.place.path("none.toml");
    let none = none.to_str().unwrap();
    site.place.ran(&["--config", none, "status"]).is(2).says("cannot read the configuration");
}

#[test]
fn an_option_file_that_everybody_can_read_is_refused_before_the_run() {
    let jobs = "[source.db]\nkind = \"mariabackup\"\nprogram = \"/bin/false\"\n\
                defaults_file = \"@/backup.cnf\"\n\
                [job.x]\nsources = [\"db\"]\nrepository = \"local\"\n";
    let site = Site::new(jobs);
    let options = site.place.file("backup.cnf", "[client]\n");
    site.ran(&["init", "--job", "x", "-q"]).is(0);
    fs::set_permissions(&options, fs::Permissions::from_mode(0o644)).unwrap();
    site.ran(&["run", "x"]).is(1).says("chmod 0640");
    fs::set_permissions(&options, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(results(&site.job("x", 1))[1], "backup db failed");
}

#[test]
fn units_may_write_where_the_job_does_and_schedules_are_exact_or_refused() {
    let schedule = "schedule = \"daily 02:30\"";
    let site = Site::new(NIGHTLY);
    let files = site.ran(&["generate", "systemd", "nightly", "--json"]).is(0).json();
    let (service, timer) = (&files[0], &files[1]);
    assert_eq!(service["name"], "haulout-nightly.service");
    let text = service["text"].as_str().unwrap();
    let directory = site.place.directory.path().display().to_string();
    let written: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=")).collect();
    let expected = ["", "/local", "/offsite", "/state"].map(|name| format!("{directory}{name}"));
    assert_eq!(written, expected);
    for line in [
        "User=mysql\n",
        &format!(" --config {} run nightly\n", site.config),
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH\n",
        "ProtectSystem=strict\n",
        // The repositories of this test are in /tmp.
        "PrivateTmp=no\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(timer["text"].as_str().unwrap().contains("OnCalendar=*-*-* 2:30:00\n"), "{timer}");
    let cron = site.ran(&["generate", "cron", "nightly", "--user", "backup"]).is(0).out();
    assert!(cron.starts_with("30 2 * * * backup /"), "{cron}");
    assert!(cron.ends_with(" run nightly --quiet\n"), "{cron}");

    for (instead, target, status) in [
        ("schedule = \"0 4 13 * fri\"", "systemd", 2),
        ("schedule = \"0 4 13 * fri\"", "cron", 0),
        ("schedule = \"daily 02:30\"\ntimezone = \"Europe/Berlin\"", "cron", 2),
        ("schedule = \"daily 02:30\"\ntimezone = \"Europe/Berlin\"", "systemd", 0),
        ("schedule = \"daily 02:30\"\njitter = \"10min\"", "cron", 2),
        ("", "systemd", 2),
    ] {
        let site = Site::new(&NIGHTLY.replace(schedule, instead));
        site.ran(&["generate", target, "nightly"]).is(status);
    }
    let to = site.place.path("units");
    fs::create_dir(&to).unwrap();
    site.ran(&["generate", "systemd", "nightly", "--to", to.to_str().unwrap()]).is(0);
    assert_eq!(fs::read_to_string(to.join("haulout-nightly.service")).unwrap(), text);
}
