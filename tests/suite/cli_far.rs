//! Keys and replication as their users see them: arguments in, exit status, output and files out.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::s3;
use crate::support::s3::S3;

/// A directory, and the program run in it.
struct Place {
    directory: TempDir,
}

impl Place {
    fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// With a repository that the password `first` opens, and one snapshot.
    fn encrypted() -> Self {
        let place = Self::empty();
        place.secret("first", "correct horse\n");
        place.secret("second", "battery staple\n");
        place.ran("init -q --password-file first").is(0);
        place.ran("backup -q --source db --password-file first -- seq 9999").is(0);
        place
    }

    /// Writes a file that only its owner can read.
    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ran(&self, line: &str) -> Ran {
        self.ran_with(line, &[])
    }

    fn ran_with(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.args(line.split(' ')).current_dir(self.directory.path());
        command.env("HAULOUT_REPO", "./repo").envs(variables.iter().copied());
        let output = command.stdin(Stdio::null()).output().unwrap();
        Ran { line: line.to_owned(), output }
    }
}

/// What came of a command.
struct Ran {
    line: String,
    output: Output,
}

impl Ran {
    #[track_caller]
    fn is(self, status: i32) -> Self {
        let told = String::from_utf8_lossy(&self.output.stderr).into_owned();
        assert_eq!(self.output.status.code(), Some(status), "{}: {told}", self.line);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        let told = String::from_utf8_lossy(&self.output.stderr).into_owned();
        assert!(told.contains(words), "{}: {told}", self.line);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap()
    }
}

fn restored(place: &Place, with: &str) -> bool {
    let ran = place.ran(&format!("restore latest --stdout {with}"));
    let numbers = String::from_utf8(ran.output.stdout).unwrap();
    ran.output.status.success() && numbers.lines().eq((1..=9999).map(|n| n.to_string()))
}

#[test]
fn keys_are_added_listed_changed_and_removed() {
    let place = Place::encrypted();
    let with_first = "--password-file first";
    place.ran(&format!("key add --label db2 --key-file key2 {with_first}")).is(0);
    let mode = fs::metadata(place.path("key2")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.ran(&format!("key add --key-file key2 {with_first}")).is(1).says("File exists");
    let listed = place.ran(&format!("key list --json {with_first}")).is(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "a key file that is not new adds no key");
    let in_use = |key: &&Value| key["in_use"] == true;
    let first = listed.as_array().unwrap().iter().find(in_use).unwrap()["id"].clone();
    assert!(restored(&place, "--password-file key2"));
    place.ran(&format!("key passwd --new-password-file second {with_first}")).is(0);
    assert!(restored(&place, "--password-file second"));
    place.ran(&format!("snapshots {with_first}")).is(1).says("no key of this repository opens");
    place.ran(&format!("key remove {} --password-file key2", first.as_str().unwrap())).is(2);
    let listed = place.ran("key list --json --password-file key2").is(0).json();
    let file = listed.as_array().unwrap().iter().find(in_use).unwrap()["id"].clone();
    place.ran(&format!("key remove {} --password-file second", file.as_str().unwrap())).is(0);
    assert!(!restored(&place, "--password-file key2"));
    let listed = place.ran("key list --json --password-file second").is(0).json();
    let last = listed[0]["id"].as_str().unwrap().to_owned();
    let refused = place.ran(&format!("key remove {last} --password-file second")).is(2);
    refused.says("is the only one");
    assert!(restored(&place, "--password-file second"));
}

#[test]
fn a_printed_kit_restores_what_no_password_opens_any_more() {
    let place = Place::encrypted();
    let with_first = "--password-file first";
    place.ran(&format!("key export kit --new-password-file second {with_first}")).is(0);
    place.ran(&format!("key export open --no-password {with_first}")).is(0);
    place.ran(&format!("key export kit --no-password {with_first}")).is(1).says("File exists");
    fs::remove_dir_all(place.path("repo/keys")).unwrap();
    assert!(!restored(&place, with_first));
    assert!(restored(&place, "--recovery-kit kit --password-file second"));
    assert!(restored(&place, "--recovery-kit open"));
    place.ran("snapshots --recovery-kit kit --password-file first").is(1).says("does not open");
    let text = fs::read_to_string(place.path("open")).unwrap();
    let line = text.lines().find(|line| line.starts_with("02 ")).unwrap();
    fs::write(place.path("typed"), text.replace(line, &line.replacen('=', "=0", 1))).unwrap();
    place.ran("snapshots --recovery-kit typed").is(1).says("line 2 of the recovery kit");
    place.ran("key add --recovery-kit open --new-password-file first").is(0);
    assert!(restored(&place, with_first));
}

#[test]
fn a_repository_that_claims_to_be_in_clear_is_refused_by_whoever_has_its_password() {
    let place = Place::encrypted();
    let other = Place::empty();
    other.ran("init -q --no-encryption").is(0);
    other.ran("backup -q --source db -- echo forged").is(0);
    fs::remove_dir_all(place.path("repo")).unwrap();
    fs::rename(other.path("repo"), place.path("repo")).unwrap();
    let refused = place.ran("restore latest --stdout --password-file first").is(1);
    assert!(refused.output.stdout.is_empty());
    refused.says("says that it is not encrypted");
    let refused = place.ran("backup -q --password-file first --json -- echo secret").is(1);
    assert_eq!(refused.json()["error"]["kind"], "distrusted", "{}", refused.json());
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    while let Some(folder) = found.iter().position(|path| path.is_dir()) {
        let entries = fs::read_dir(found.swap_remove(folder)).unwrap();
        found.extend(entries.map(|entry| entry.unwrap().path()));
    }
    found.sort();
    found
}

#[test]
fn a_copy_is_planned_made_continued_and_fetched_back() {
    let place = Place::encrypted();
    let with = "--password-file first --json";
    let planned = place.ran(&format!("replicate --init --to ./copy --plan {with}")).is(0).json();
    assert!(!place.path("copy").exists(), "a plan makes nothing");
    let sent = place.ran(&format!("replicate --init --to ./copy --verify {with}")).is(0).json();
    assert_eq!(sent["sent"]["bytes"], planned["bytes"]);
    assert_eq!(sent["sent"]["objects"], planned["objects"]);
    assert_eq!(sent["snapshots"].as_array().unwrap().len(), 1);
    let names = |root: &str| {
        let root = place.path(root);
        let below = |path: PathBuf| path.strip_prefix(&root).unwrap().to_owned();
        files_below(&root).into_iter().map(below).collect::<Vec<_>>()
    };
    assert_eq!(names("copy"), names("repo"));
    place.ran("backup -q --source db --password-file first -- seq 9999").is(0);
    let sent = place.ran(&format!("replicate --init --to ./copy --source db {with}")).is(0).json();
    assert_eq!(sent["already_there"], 1);
    fs::remove_dir_all(place.path("repo")).unwrap();
    place.ran(&format!("replicate --init --from ./copy --last 1 {with}")).is(0);
    assert!(restored(&place, "--password-file first"));
    place.ran(&format!("replicate --init --to ./copy --source absent {with}")).is(2);
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/file"), "x").unwrap();
    place.ran(&format!("replicate --init --to ./full {with}")).is(1).says("is not empty");
}

const NEAR_KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", s3::KEY), ("AWS_SECRET_ACCESS_KEY", s3::SECRET)];
const OTHER_KEYS: [(&str, &str); 2] = [
    ("HAULOUT_OTHER_AWS_ACCESS_KEY_ID", s3::KEY),
    ("HAULOUT_OTHER_AWS_SECRET_ACCESS_KEY", s3::SECRET),
];

#[test]
fn a_copy_is_continued_in_whatever_order_its_directory_is_listed() {
    let place = Place::encrypted();
    // A file system in memory lists the newest entry first, which here is no folder of an `init`.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory } else { place.directory.path() };
    let copy = tempfile::tempdir_in(parent).unwrap();
    let line = format!("replicate -q --init --password-file first --to {}", copy.path().display());
    place.ran(&line).is(0);
    for folder in ["moves", "damage", "snapshots"] {
        fs::create_dir_all(copy.path().join(folder)).unwrap();
        place.ran(&line).is(0);
    }
}

#[test]
fn two_buckets_of_two_services_are_reached_each_by_its_own_options() {
    let place = Place::encrypted();
    let (first, second) = (S3::start(), S3::start());
    let with = format!("--password-file first --json --allow-http --endpoint {}", first.endpoint);
    // One bucket only: the usual options are for it, on whichever side it is.
    place.ran_with(&format!("replicate --init --to s3://test/db {with}"), &NEAR_KEYS).is(0);
    let second_at = format!("--other-endpoint {}", second.endpoint);
    let line = format!("-r s3://test/db replicate --init --to s3://test/copy {second_at} {with}");
    let strangers = [OTHER_KEYS, [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]];
    place.ran_with(&line, &strangers.concat()).is(1).says("cannot read the config");
    let sent = place.ran_with(&line, &NEAR_KEYS).is(0).json();
    assert_eq!(sent["snapshots"].as_array().unwrap().len(), 1);
    let mut line = format!("replicate --init --from s3://test/copy {with}");
    fs::remove_dir_all(place.path("repo")).unwrap();
    place.ran_with(&line, &[strangers[1], OTHER_KEYS].concat()).is(1).says("no repository");
    line = format!("{line} {second_at}");
    place.ran_with(&line, &[strangers[1], OTHER_KEYS].concat()).is(0);
    assert!(restored(&place, "--password-file first"));
}

#[test]
fn a_side_with_a_password_of_its_own_gets_its_own_keys() {
    let place = Place::encrypted();
    let with = "--password-file first --json";
    let to = format!("replicate --init --to ./other --other-password-file second {with}");
    let planned = place.ran(&format!("{to} --plan")).is(0).json();
    assert_eq!((&planned["snapshots"], &planned["reencrypted"]), (&1.into(), &true.into()));
    assert!(!place.path("other").exists(), "a plan makes nothing");
    for line in [to.clone(), format!("{to} --plan")] {
        place.ran(&format!("{line} --memory 128MiB")).is(2).says("give at least 144 MiB");
    }
    let sent = place.ran(&format!("{to} --verify --memory 144MiB")).is(0).json();
    let here = place.ran(&format!("snapshots {with}")).is(0).json();
    assert_eq!(sent["snapshots"][0]["origin"], here[0]["id"], "{here}");
    place.ran("-r ./other snapshots --password-file first").is(1).says("no key of this repository");
    let there = place.ran("-r ./other snapshots --password-file second --json").is(0).json();
    assert_eq!(there[0]["time"], here[0]["time"]);
    assert_eq!(there[0]["verdict"], here[0]["verdict"]);
    assert_eq!(place.ran(&to).is(0).json()["already_there"], 1);
    place
        .ran(&format!("replicate --init --to ./other {with}"))
        .is(1)
        .says("HAULOUT_OTHER_PASSWORD");
    let given = [("HAULOUT_OTHER_PASSWORD", "battery staple")];
    place.ran_with(&format!("replicate --init --to ./other {with}"), &given).is(0);
    // Back again, and from there into a third one that takes over the keys of the other.
    fs::remove_dir_all(place.path("repo")).unwrap();
    place.ran_with(&format!("replicate --init --from ./other {with}"), &given).is(0);
    assert!(restored(&place, "--password-file first"));
    place.ran("replicate --init -r ./other --to ./same --password-file second").is(0);
    let refused =
        place.ran_with("replicate --init -r ./other --to ./same --password-file second", &given);
    refused.is(2).says("has the same keys");
}

#[test]
fn a_plan_tells_the_time_that_the_bytes_take_at_the_limit() {
    let place = Place::encrypted();
    let plan = "replicate --init --to ./copy --plan --password-file first";
    assert!(place.ran(&format!("{plan} --json")).is(0).json()["seconds_at_limit"].is_null());
    let told = place.ran(&format!("{plan} --json --limit 1KiB")).is(0).json();
    let (seconds, bytes) = (told["seconds_at_limit"].as_f64().unwrap(), &told["bytes"]);
    let expected = bytes.as_f64().unwrap() / 1024.0 / 0.98;
    assert!((seconds / expected - 1.0).abs() < 0.02, "{told}");
    let told = place.ran(&format!("{plan} --limit 1KiB")).is(0);
    assert!(String::from_utf8(told.output.stdout).unwrap().contains("at the limit"));
    place.ran("replicate --init --to ./copy --password-file first -q --limit 100MiB").is(0);
}

#[test]
fn what_is_damaged_here_is_named_and_not_copied() {
    let place = Place::encrypted();
    let twins = files_below(&place.path("repo/twins"));
    let is_meta = |path: &PathBuf| twins.iter().any(|twin| twin.file_name() == path.file_name());
    let packs = files_below(&place.path("repo/packs"));
    let data = packs.iter().find(|path| !is_meta(path)).unwrap();
    let mut bytes = fs::read(data).unwrap();
    bytes[30] ^= 1;
    fs::remove_file(data).unwrap();
    fs::write(data, bytes).unwrap();
    let ran = place.ran("replicate --init --to ./copy --password-file first --json").is(3);
    let told = ran.json();
    assert_eq!(told["left_out"].as_array().unwrap().len(), 1);
    let name = data.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(told["damaged"][0].as_str().unwrap().contains(&name), "{told}");
    ran.says("was left out: it needs pack");
    let listed = place.ran("-r ./copy snapshots --password-file first --json");
    assert!(!listed.output.status.success() || listed.json().as_array().unwrap().is_empty());
}

#[test]
fn a_store_that_goes_back_to_an_older_state_is_refused_by_whoever_remembers() {
    let place = Place::encrypted();
    let with = "--password-file first --state state";
    let copy = |from: &str, to: &str| {
        let (from, to) = (place.path(from), place.path(to));
        Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    };
    place.ran(&format!("snapshots {with}")).is(0);
    copy("repo", "older");
    place.ran(&format!("backup -q --source db {with} -- seq 9999")).is(0);
    copy("repo", "newer");
    let swap = |other: &str| {
        fs::remove_dir_all(place.path("repo")).unwrap();
        copy(other, "repo");
    };
    swap("older");
    place.ran("snapshots --password-file first").is(0);
    let refused = place.ran(&format!("snapshots --json {with}")).is(1);
    assert_eq!(refused.json()["error"]["kind"], "rolled-back");
    let refused = place.ran(&format!("restore latest --stdout {with}")).is(1);
    refused.says("has lost snapshot").says("if this was done on purpose, remove");
    // A backup is taken all the same, and says that something is wrong.
    place.ran(&format!("backup --source db {with} -- seq 9999")).is(3).says("has lost snapshot");
    place.ran(&format!("snapshots {with}")).is(1).says("has lost snapshot");
    swap("newer");
    place.ran(&format!("snapshots {with}")).is(0);
    let other = Place::encrypted();
    fs::remove_dir_all(place.path("repo")).unwrap();
    fs::rename(other.path("repo"), place.path("repo")).unwrap();
    let refused = place.ran(&format!("snapshots {with}")).is(1);
    refused.says("holds another repository than before").says("check --repo");
    fs::remove_dir_all(place.path("repo")).unwrap();
    place.ran("init -q --no-encryption").is(0);
    let refused = place.ran("snapshots --state state").is(1);
    refused.says("was encrypted, and says now that it is not");
    let kept = files_below(&place.path("state"));
    assert_eq!(kept.len(), 1);
    fs::remove_file(&kept[0]).unwrap();
    place.ran("snapshots --state state").is(0);
}

#[test]
fn a_snapshot_that_is_hidden_leaves_a_gap_for_whoever_remembers() {
    let place = Place::empty();
    place.ran("init -q --no-encryption").is(0);
    let backup = |state: &str| {
        place.ran(&format!("backup -q --source db{state} -- seq 9999")).is(0);
    };
    let names = || {
        let mut names = files_below(&place.path("repo/snapshots"));
        names.sort();
        names
    };
    let hidden = |path: &Path, told: &str| {
        fs::rename(path, place.path("hidden")).unwrap();
        place.ran("snapshots").is(0);
        let refused = place.ran("snapshots --state state --json").is(1);
        assert_eq!(refused.json()["error"]["kind"], "gap");
        place.ran("restore latest --stdout --state state").is(1).says(told);
        fs::rename(place.path("hidden"), path).unwrap();
    };
    (0..3).for_each(|_| backup(" --state state"));
    // One in the middle that was there before.
    hidden(&names()[1], "which was there before");
    // One that this host has never seen, but the next one follows it.
    (0..2).for_each(|_| backup(""));
    hidden(&names()[3], "which it follows");
    place.ran("snapshots --state state").is(0);
    // A backup goes on, says so, and is found the next time.
    fs::remove_file(&names()[1]).unwrap();
    let told = place.ran("backup --source db --state state -- seq 9999").is(3);
    told.says("which was there before").says("haulout replicate --from");
}

#[test]
fn the_keys_are_rotated_and_those_that_are_left_behind_are_named() {
    let place = Place::encrypted();
    place.secret("third", "a third one\n");
    let with_first = "--password-file first --state state";
    place.ran(&format!("key add {with_first} --label anna --new-password-file second -q")).is(0);
    place.ran(&format!("key rotate {with_first} --new-password-file first")).is(2).says("previous");
    let done = place.ran(&format!("key rotate {with_first} --new-password-file third --json"));
    let told = done.is(0).json();
    assert_eq!((&told["generation"], &told["listed"]), (&1.into(), &1.into()));
    assert_eq!(told["retired"][0]["label"], "anna");
    place.ran(&format!("snapshots {with_first}")).is(1).says("opens with this password");
    assert!(restored(&place, "--password-file third"));
    // Anna reads what was there, is told that there may be more, and writes nothing.
    let with_second = "--password-file second";
    assert!(restored(&place, with_second));
    place.ran(&format!("snapshots {with_second}")).is(0).says("was retired");
    let backup = "backup -q --source db --state state -- seq 9999";
    let refused = place.ran(&backup.replace("--state state", with_second)).is(1);
    refused.says("retired").says("haulout key add");
    let refused = place.ran(&backup.replace("--state state", &format!("{with_second} --json")));
    assert_eq!(refused.is(1).json()["error"]["kind"], "retired-slot");
    let with_third = "--password-file third --state state";
    place.ran(&backup.replace("--state state", with_third)).is(0);
    let listed = place.ran(&format!("key list {with_third} --json")).is(0).json();
    let left: Vec<_> = listed.as_array().unwrap().iter().map(|key| &key["retired"]).collect();
    assert_eq!(left.iter().filter(|left| ***left == Value::Bool(true)).count(), 1, "{listed}");
    // A host that remembers the new generation is not made to use the previous one.
    let refused = place.ran(&format!("snapshots {with_second} --state state")).is(1);
    refused.says("was opened with keys of generation 1");
}
