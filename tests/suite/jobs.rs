//! The configuration file and its jobs by the program: what goes before what, what a run does and
//! what it leaves to status, metrics and hooks, and how it ends when a part of it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::support::program::Ran;
use crate::support::site::NIGHTLY;
use crate::support::site::Site;
use crate::support::site::results;
use serde_json::Value;

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
    let oldest = status[0]["oldest_unverified"].as_str().unwrap();
    assert!(oldest > "2020" && oldest.ends_with('Z'), "{status}");
    assert!(status[0]["next_run"].as_str().unwrap().contains(":30:00Z"), "{status}");
    let line = site.ran(&["status", "--nagios", "--max-age", "26h"]).is(0).out();
    assert_eq!(line, "HAULOUT OK - nightly: 0 h ago\n");
}

/// Returns the checks of a job that are not good, as `STATE SUBJECT: CHECK`.
fn not_good(examined: &Value) -> Vec<String> {
    let checks = examined["checks"].as_array().expect("a list").iter();
    let word = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    let lines = checks.map(|check| {
        format!("{} {}: {}", word(check, "state"), word(check, "subject"), word(check, "check"))
    });
    lines.filter(|line| !line.starts_with("good ")).collect()
}

#[test]
fn doctor_says_what_a_job_lacks_before_it_runs() {
    let site = Site::new(NIGHTLY);
    let examined = site.ran(&["doctor", "nightly", "--json"]).is(1).json();
    let missing = [
        "failed repository local: reachable",
        "not-checked repository local: free space",
        "not-checked replica offsite: free space",
        "warning replica offsite: disk",
        "not-checked job nightly: schedule",
        "not-checked job nightly: drill",
    ];
    assert_eq!(not_good(&examined), missing);
    site.ran(&["init", "--job", "nightly"]).is(0);
    site.job("nightly", 0);
    let examined = site.ran(&["doctor", "nightly", "--json"]).is(3).json();
    // All is in one temporary directory.
    let one_disk = [
        "warning repository local: recovery kit",
        "warning replica offsite: disk",
        "not-checked job nightly: schedule",
        "not-checked job nightly: drill",
    ];
    assert_eq!(not_good(&examined), one_disk);
    let mut checks = examined["checks"].as_array().unwrap().iter();
    let of_files = |row: &&Value| row["check"] == "program" && row["subject"] == "source files";
    let program = checks.find(of_files).unwrap();
    assert!(program["found"].as_str().unwrap().starts_with("tar"), "{program}");
    fs::remove_dir_all(site.place.path("files")).unwrap();
    fs::remove_dir_all(site.place.path("offsite")).unwrap();
    let found = site.ran(&["doctor", "nightly"]).is(1).out();
    for line in
        ["failed       source files ", "failed       replica offsite", "hint: replica offsite"]
    {
        assert!(found.lines().any(|found| found.starts_with(line)), "{line}: {found}");
    }
    site.ran(&["doctor", "nightly", "--quiet"]).is(1).says("source files: path: ");
    site.ran(&["doctor", "other"]).is(2).says("has no job other");
}

#[test]
fn a_key_that_is_not_enough_for_a_step_is_a_mistake_and_a_failed_check() {
    let site = Site::new(NIGHTLY);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    site.ran(&["config", "check"]).is(0);
    let config = fs::read_to_string(&site.config).unwrap();
    let password = site.place.path("password").display().to_string();
    for (repository, subject) in [("local", "repository local"), ("offsite", "replica offsite")] {
        let key = site.place.path(&format!("{repository}.key")).display().to_string();
        site.ran(&["-r", repository, "key", "add", "--write-only", "--key-file", &key, "-q"]).is(0);
        // Only this repository is opened with the key.
        let section = format!("[repository.{repository}]");
        let (before, after) = config.split_once(&section).unwrap();
        let text = format!("{before}{section}{}", after.replacen(&password, &key, 1));
        fs::write(&site.config, text).unwrap();
        let found = site.ran(&["config", "check"]).is(2).out();
        let words = format!("job.nightly: the key of the repository {repository} is write-only");
        assert!(found.contains(&words), "{found}");
        let examined = site.ran(&["doctor", "nightly", "--json"]).is(1).json();
        let failed = format!("failed {subject}: key");
        assert!(not_good(&examined).contains(&failed), "{examined}");
    }
    // Steps that a key may do are none.
    let steps = NIGHTLY.lines().find(|line| line.starts_with("replicas")).unwrap();
    let text = fs::read_to_string(&site.config).unwrap();
    let fewer = format!("{steps}\nsteps = [\"check\", \"backup\", \"replicate\"]");
    fs::write(&site.config, text.replace(steps, &fewer)).unwrap();
    site.ran(&["config", "check"]).is(0);
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
    let found = site.ran(&["config", "check"]).is(2).out();
    assert!(found.contains("haulout.toml:11:6: the job x has nothing to backup"), "{found}");
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
        text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=-")).collect();
    let expected = ["", "/local", "/offsite", "/state"].map(|name| format!("{directory}{name}"));
    assert_eq!(written, expected);
    for line in [
        "User=mysql\n",
        &format!(" --config {} run nightly --scheduled\n", site.config),
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
    assert!(cron.ends_with(" run nightly --scheduled --quiet\n"), "{cron}");

    for (instead, target, status) in [
        ("schedule = \"0 4 13 * fri\"", "systemd", 2),
        ("schedule = \"0 4 13 * fri\"", "cron", 0),
        ("schedule = \"daily 02:30\"\ntimezone = \"Europe/Berlin\"", "cron", 2),
        ("schedule = \"daily 02:30\"\ntimezone = \"Europe/Berlin\"", "systemd", 0),
        ("schedule = \"daily 02:30\"\njitter = \"10min\"", "cron", 2),
        ("schedule = \"daily 02:30\"\njitter = \"10min\"", "systemd", 0),
        ("", "systemd", 2),
    ] {
        let site = Site::new(&NIGHTLY.replace(schedule, instead));
        let ran = site.ran(&["generate", target, "nightly"]).is(status);
        if instead.contains("jitter") && status == 0 {
            assert!(ran.out().contains("\nRandomizedDelaySec=10min\n"), "{}", ran.out());
        } else if instead.contains("jitter") {
            ran.says("can't express jitter");
        }
    }
    // The hosts of a cluster agree at the scheduled time.
    let of_nodes = "[cluster.c]\nmembers = [\"127.0.0.1:1\"]\n[source.node]\n\
                    kind = \"mariabackup\"\ncluster = \"c\"\n[job.other]\n\
                    sources = [\"node\"]\nrepository = \"local\"\njitter = \"1min\"\n";
    let clustered = Site::new(&format!("{NIGHTLY}{of_nodes}"));
    let found = clustered.ran(&["config", "check"]).is(2).out();
    assert!(found.contains(": the job other has a jitter"), "{found}");
    let to = site.place.path("units");
    fs::create_dir(&to).unwrap();
    site.ran(&["generate", "systemd", "nightly", "--to", to.to_str().unwrap()]).is(0);
    assert_eq!(fs::read_to_string(to.join("haulout-nightly.service")).unwrap(), text);
}

#[test]
fn the_unit_of_a_job_that_desyncs_puts_the_node_back_once_everything_is_killed() {
    let of = |desync: &str| {
        format!(
            "[cluster.shop]\nmembers = [\"127.0.0.1:1\"]\ndesync = \"{desync}\"\n\
             desync_defaults_file = \"/root/desync.cnf\"\n\
             [source.shop]\nkind = \"mariabackup\"\ncluster = \"shop\"\n\
             [job.nightly]\nsources = [\"shop\"]\nrepository = \"local\"\n\
             schedule = \"daily 02:30\"\n"
        )
    };
    for (desync, is_put_back) in [("never", false), ("slow", true), ("always", true)] {
        let site = Site::new(&of(desync));
        let files = site.ran(&["generate", "systemd", "nightly", "--json"]).is(0).json();
        let text = files[0]["text"].as_str().unwrap();
        let line = format!(" --config {} desync shop --left\n", site.config);
        assert_eq!(text.contains(&line), is_put_back, "{text}");
        assert!(text.contains("ProtectHome=no"), "the account is read: {text}");
    }
    let site = Site::new(&of("always"));
    // Nothing was left, so no server is asked.
    site.ran(&["desync", "shop", "--left"]).is(0);
    // A note of a node that can't be asked stays, and the command says so.
    fs::create_dir_all(site.place.path("state/desync")).unwrap();
    let note = site.place.file("state/desync/shop.json", "{}");
    let ran = site.ran(&["desync", "shop", "--left"]).is(1);
    assert!(ran.err().contains("cannot "), "{}", ran.err());
    assert!(fs::exists(note).unwrap());
    site.ran(&["desync", "nova", "--left"]).is(2);
}

#[test]
fn a_file_that_changed_while_tar_read_it_is_a_finding_and_the_rest_is_complete() {
    let source = "kind = \"files\"\nprogram = \"@/changing-tar\"";
    let jobs = NIGHTLY.replace("kind = \"files\"", source) + "steps = [\"backup\"]\n";
    let site = Site::new(&jobs);
    let tar = |words: &str, status: u32| {
        let script = format!("#!/bin/sh\ntar \"$@\" || exit\n{words}\nexit {status}\n");
        let path = site.place.file("changing-tar", script);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    };
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let directory = site.place.directory.path().to_str().unwrap().trim_start_matches('/');
    let file = format!("{directory}/files/nova.conf");
    tar(&format!("echo 'tar: {file}: file changed as we read it' >&2"), 1);
    let record = site.job("nightly", 3);
    assert_eq!(results(&record), ["backup db done", "backup files findings"]);
    assert_eq!(record["steps"][1]["verdict"], "complete", "{record}");
    let shown = site.ran(&["-r", "local", "show", "files@latest", "--json"]).is(0).json();
    let finding = &shown["findings"][0];
    assert_eq!((&finding["code"], &finding["object"]), (&"file-changed".into(), &file.into()));

    // Without such words, or with another status, tar has failed.
    for (words, status) in [("", 1), ("echo 'tar: x: file changed as we read it' >&2", 2)] {
        tar(words, status);
        let record = site.job("nightly", 1);
        assert_eq!(record["steps"][1]["verdict"], "partial", "{record}");
    }
}

#[test]
fn a_cron_job_of_kubernetes_has_what_the_job_needs_and_refuses_what_no_pod_can() {
    let job = NIGHTLY.replace("sources = [\"db\", \"files\"]", "sources = [\"db1\"]");
    let source = "[source.db1]\nkind = \"mariabackup\"\ndefaults_file = \"/etc/haulout/b.cnf\"\n";
    let zoned = job.replace("verify =", "timezone = \"Europe/Berlin\"\nverify =");
    let with = |jobs: &str| Site::new(&format!("{source}{jobs}"));
    let site = with(&zoned);
    let generate = ["generate", "kubernetes", "nightly", "--image", "r/haulout:1"];
    let text = site.ran(&generate).is(0).out();
    let directory = site.place.directory.path().display().to_string();
    for line in [
        "  schedule: \"30 2 * * *\"\n",
        "  timeZone: Europe/Berlin\n",
        "  concurrencyPolicy: Forbid\n",
        "          restartPolicy: Never\n",
        "            fsGroupChangePolicy: OnRootMismatch\n",
        "                defaultMode: 288\n",
        "                claimName: data-mariadb-2\n",
        &format!("- mountPath: {directory}/offsite\n"),
        "for host in mariadb-0.mariadb mariadb-1.mariadb mariadb-2.mariadb; do",
        "kind: NetworkPolicy\n",
        &format!("#   --from-file=password={directory}/password"),
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let other = [&generate[..], &["--ordinal", "0", "--servers", "db"]].concat();
    assert!(site.ran(&other).is(0).out().contains("claimName: data-db-0\n"));
    let none = [&generate[..], &["--ordinal", "3"]].concat();
    site.ran(&none).is(2).says("no pod 3");
    for (jobs, why) in [
        (job.clone(), "the zone of this host"),
        (zoned.replace("verify =", "jitter = \"5min\"\nverify ="), "can't express jitter"),
        (zoned.replace("\"db1\"", "\"db1\", \"files\""), "does not have the files"),
        (zoned.replace("nightly", "Nightly"), "no name of an object"),
    ] {
        let name = if jobs.contains("Nightly") { "Nightly" } else { "nightly" };
        with(&jobs).ran(&["generate", "kubernetes", name]).is(2).says(why);
    }
}

#[test]
fn a_restore_in_kubernetes_verifies_first_and_says_what_to_do_with_the_servers() {
    let job = NIGHTLY.replace("sources = [\"db\", \"files\"]", "sources = [\"db1\", \"files\"]");
    let source = "[source.db1]\nkind = \"mariabackup\"\ndefaults_file = \"/etc/haulout/b.cnf\"\n";
    let site = Site::new(&format!("{source}{job}"));
    let text = site.ran(&["generate", "kubernetes-restore", "nightly"]).is(0).out();
    let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line}: {text}"));
    for line in [
        "kind: Job\n",
        "claimName: data-mariadb-0\n",
        "secretName: haulout-nightly\n",
        "backoffLimit: 0\n",
        "#   kubectl delete pvc data-mariadb-1 data-mariadb-2\n",
    ] {
        at(line);
    }
    // An old member is stopped before the restore, and has no data when the servers start.
    let order = ["--replicas 0", "kubectl apply", "kubectl delete pvc", "--replicas 3"].map(at);
    assert!(order.is_sorted(), "{text}");
    let containers = ["- restore\n", "initContainers:\n", "- verify\n"].map(at);
    assert!(containers.is_sorted(), "{text}");
    assert!(text.contains("- \"db1@complete\"\n") && text.contains("- \"--datadir\"\n"), "{text}");
    let server = text.split("mountPath: /var/lib/mysql\n").nth(1).unwrap();
    assert!(!server.lines().next().unwrap().contains("readOnly"), "{text}");
    let alone = ["generate", "kubernetes-restore", "nightly", "--replicas", "1"];
    assert!(!site.ran(&alone).is(0).out().contains("delete pvc"));
    Site::new(NIGHTLY)
        .ran(&["generate", "kubernetes-restore", "nightly"])
        .is(2)
        .says("no files of a server");
}

#[test]
fn alert_rules_and_a_dashboard_name_metrics_that_a_run_writes() {
    let site = Site::new(NIGHTLY);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    site.job("nightly", 0);
    let metrics = fs::read_to_string(site.place.path("haulout.prom")).unwrap();
    let rules = site.ran(&["generate", "prometheus", "nightly"]).is(0).out();
    let dashboard = site.ran(&["generate", "grafana", "nightly"]).is(0).json();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), 8);
    // A day, and three hours for the run.
    assert!(rules.contains("} > 97200"), "{rules}");
    let mut names = 0;
    for text in [rules, dashboard.to_string()] {
        for found in text.split("haulout_job_").skip(1) {
            let name = found.split('{').next().unwrap();
            assert!(metrics.contains(&format!("\nhaulout_job_{name}{{")), "{name}: {metrics}");
            names += 1;
        }
    }
    assert!(names >= 14, "{names}");
    let site = Site::new(&NIGHTLY.replace("metrics =", "# metrics ="));
    site.ran(&["generate", "prometheus", "nightly"]).is(2).says("has no metrics");
}

#[test]
fn rules_of_the_configuration_are_applied_by_source_or_by_repository() {
    let jobs = NIGHTLY.replace("tag = [", "keep = { last = 1 }\ntag = [");
    let site = Site::new(&format!("{jobs}steps = [\"backup\", \"replicate\"]\n"));
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    (0..4).for_each(|_| drop(site.job("nightly", 0)));
    let policy = ["forget", "--policy", "--plan", "--json"];
    let removed = |plan: &Value| -> Vec<usize> {
        let list = |value: &Value| value.as_array().unwrap().clone();
        let of = |one: &Value| {
            let sources = list(&one["sources"]);
            let all = sources.iter().flat_map(|source| list(&source["snapshots"]));
            all.filter(|snapshot| snapshot["remove"] == true).count()
        };
        list(plan).iter().map(of).collect()
    };
    let of = |repository: &str, more: &[&str]| {
        let arguments = [&["-r", repository], &policy[..], more].concat();
        removed(&site.ran(&arguments).is(0).json())
    };
    // The rules of the source are for the repository of its job; a copy has its own.
    assert_eq!(of("local", &[]), [3, 2]);
    assert_eq!(of("local", &["--source", "files"]), [2]);
    assert_eq!(of("local", &["--source=db"]), [3]);
    assert_eq!(of("offsite", &[]), [2]);
    site.ran(&["-r", "local", "forget", "--policy", "--yes", "--prune"]).is(0);
    assert_eq!((site.snapshots("local"), site.snapshots("offsite")), (3, 8));
    let path = site.place.path("local");
    let path = path.to_str().unwrap();
    site.ran(&["-r", path, "forget", "--policy"]).is(2).says("of the configuration");
    site.ran(&["-r", "local", "forget", "--policy", "--keep-last", "1"]).is(2);
}

#[test]
fn a_backup_without_room_is_not_begun_unless_space_is_ignored() {
    let jobs = "[source.big]\nkind = \"files\"\nprogram = \"@/tar\"\npaths = [\"@/big\"]\n\
                [job.x]\nsources = [\"big\"]\nrepository = \"local\"\nsteps = [\"backup\"]\n";
    let site = Site::new(jobs);
    let ran = site.place.path("ran");
    let tar = format!("#!/bin/sh\necho >> {}\nexec tar \"$@\"\n", ran.display());
    let tar = site.place.file("tar", tar);
    fs::set_permissions(tar, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(site.place.path("big")).unwrap();
    // Hardly compressible.
    let noise =
        (0..25_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_769).wrapping_pow(3).to_le_bytes());
    site.place.file("big/one", noise.collect::<Vec<u8>>());
    site.ran(&["init", "--job", "x", "-q"]).is(0);
    let text = fs::read_to_string(&site.config).unwrap();
    let quota = |bytes: &str| {
        let keys = format!("quota = \"{bytes}\"\nkeep = {{ last = 2 }}");
        fs::write(&site.config, text.replacen("keep = { last = 2 }", &keys, 1)).unwrap();
    };
    let refused = |why: &str| {
        let record = site.job("x", 1);
        let reason = record["steps"][0]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
        assert!(reason.contains("quota of the repository local leaves "), "{reason}");
    };
    quota("50kB");
    refused("97.7 KiB to read, times a space_ratio of 0.6");
    assert!(!ran.exists(), "the producer was not started");
    site.ran(&["run", "x", "--ignore-space"]).is(0).says("too little space for 58.6 KiB");
    refused("a quarter of the ");
    quota("1MB");
    site.job("x", 0);
    quota("1kB");
    refused("twice what the last night stored");
    // What this host has forgotten is known to the repository.
    fs::remove_dir_all(site.place.path("state/jobs")).unwrap();
    refused("twice what the last night stored");
    assert_eq!(fs::read_to_string(&ran).unwrap().len(), 2);
}
