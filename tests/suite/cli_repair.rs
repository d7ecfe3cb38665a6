//! Damage as an operator meets it: told by table and page, shown by listings, mended by `repair`
//! and by `replicate`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Server;

/// A directory with a repository of two nights, and the streams of them.
struct Place {
    directory: TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let mut place =
            Self { directory: tempfile::tempdir().unwrap(), server: Server::new(7, 2, 60) };
        // As mariabackup ends.
        fs::write(place.path("produce"), "cat stream; echo 'completed OK!' >&2\n").unwrap();
        place.ran("init -q --no-encryption").is(0);
        place.night();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn night(&mut self) {
        fs::write(self.path("stream"), self.server.stream()).unwrap();
        self.ran("backup --source db -- sh produce").is(0);
        self.server.night(5);
    }

    fn ran(&self, line: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.args(line.split(' ')).current_dir(self.directory.path());
        let output = command.env("HAULOUT_REPO", "./repo").stdin(Stdio::null()).output().unwrap();
        Ran { line: line.to_owned(), output }
    }

    /// The objects of a folder, the largest last.
    fn objects(&self, repo: &str, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path(repo).join(folder), &mut found);
        found.sort_by_key(|path| fs::metadata(path).unwrap().len());
        found
    }
}

fn collect(at: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(at) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

struct Ran {
    line: String,
    output: Output,
}

impl Ran {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    fn is(self, status: i32) -> Self {
        let code = self.output.status.code();
        assert_eq!(code, Some(status), "{}: {}{}", self.line, self.out(), self.err());
        self
    }

    #[track_caller]
    fn prints(self, words: &str) -> Self {
        assert!(self.out().contains(words), "{}: {}", self.line, self.out());
        self
    }

    #[track_caller]
    fn prints_not(self, words: &str) -> Self {
        assert!(!self.out().contains(words), "{}: {}", self.line, self.out());
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.err().contains(words), "{}: {}", self.line, self.err());
        self
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap()
    }
}

#[test]
fn known_damage_is_reported_by_table_and_page_and_shown_until_it_is_mended() {
    let place = Place::new();
    place.ran("replicate --to ./copy --init").is(0);
    flip(place.objects("repo", "packs").last().unwrap());

    let found = place.ran("verify").is(3).prints(", page").prints(": ");
    assert!(found.out().contains("damage record"), "{}", found.out());
    let found = place.ran("verify --json --depth objects").is(3).json();
    let lost = found["findings"].as_array().unwrap().iter().find(|f| f["member"].is_string());
    assert_eq!(lost.unwrap()["unit"], "pages", "{found}");
    assert!(lost.unwrap()["ranges"][0]["count"].as_u64().unwrap() < 20, "{found}");

    place.ran("snapshots").is(0).prints("complete !").prints("! known damage: haulout show ID");
    let listed = place.ran("snapshots --json").is(0).json();
    assert!(listed[0]["damage"]["files"].as_u64().unwrap() > 0, "{listed}");
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    place.ran(&format!("show {id}")).is(0).prints("lost ").prints(", page");
    let shown = place.ran(&format!("show {id} --json")).is(0).json();
    assert!(shown["damage"]["named"][0].as_str().unwrap().contains(", page"), "{shown}");

    place.ran("repair --plan").is(3).prints("lost");
    place.ran("repair").is(3).prints(", page");
    place.ran("replicate --from ./copy").is(0).says("was damaged and was sent again");
    place.ran("verify").is(0);
    place.ran("snapshots").is(0).prints_not("!");
    assert!(place.objects("repo", "damage").is_empty());
    assert!(place.ran("snapshots --json").is(0).json()[0].get("damage").is_none());
}

#[test]
fn latest_that_is_known_to_be_damaged_is_said_before_anything_is_done() {
    let mut place = Place::new();
    let before = place.objects("repo", "packs");
    let first = place.ran("snapshots --json").is(0).json()[0]["id"].as_str().unwrap().to_owned();
    place.night();
    let packs = place.objects("repo", "packs").into_iter();
    let new: Vec<PathBuf> = packs.filter(|path| !before.contains(path)).collect();
    let twins = place.objects("repo", "twins");
    let is_data = |path: &&PathBuf| {
        let name = path.file_name().unwrap();
        !twins.iter().any(|twin| twin.file_name().unwrap() == name)
    };
    flip(new.iter().rfind(is_data).unwrap());
    place.ran("verify").is(3);
    for wanted in ["latest", "db@latest", "db@complete"] {
        let told = place.ran(&format!("show {wanted}")).is(3).says("is known to be damaged: ");
        let told = told.says(", page");
        told.says(&format!("the newest without known damage is {} of ", &first[..10]));
    }
    place.ran("restore latest --to there").is(1).says("is known to be damaged");
    place.ran(&format!("show {first}")).is(0);
    // The next night stores the blocks again, heals the one before, and says so.
    fs::write(place.path("stream"), place.server.stream()).unwrap();
    place.ran("backup -q --source db -- sh produce").is(3);
    place.ran("show latest").is(0);
    place.ran("verify --depth objects");
    place.ran("snapshots").is(0).prints_not("complete !");
}

#[test]
fn repair_says_what_it_will_do_and_does_it() {
    let place = Place::new();
    let twin = place.objects("repo", "twins").pop().unwrap();
    let name = twin.file_name().unwrap().to_str().unwrap().to_owned();
    place.ran("repair --plan").is(0).prints("there is nothing to repair");
    place.ran("repair").is(0).prints("nothing had to be repaired");
    flip(&twin);
    place.ran("verify --depth objects").is(0);
    place.ran("verify").is(3).prints(&name);
    for dry in ["--plan", "--dry-run"] {
        let planned = place.ran(&format!("repair {dry}")).is(0).prints(&name);
        planned.prints("make").prints("its bytes have changed");
        place.ran("verify").is(3);
    }
    let planned = place.ran("repair --plan --json").is(0).json();
    assert!(planned["make"][0]["object"].as_str().unwrap().ends_with(&name), "{planned}");
    place.ran("repair").is(0).says("note: make").says(&name).prints("made 1 object again");
    place.ran("verify").is(0);
    fs::remove_file(&twin).unwrap();
    let repaired = place.ran("repair --json").is(0).json();
    assert!(repaired["made"][0].as_str().unwrap().ends_with(&name), "{repaired}");
    assert_eq!(repaired["lost"].as_array().unwrap().len(), 0);
    assert_eq!(repaired["findings"].as_array().unwrap().len(), 0);
    place.ran("verify").is(0);
}

#[test]
fn what_has_no_good_copy_here_is_fetched_from_a_copy_after_its_cost_was_said() {
    let mut place = Place::new();
    place.night();
    place.ran("replicate --to ./copy --init").is(0);
    place.ran("repair --from ./copy --plan").is(0).prints("there is nothing to repair");
    let lost = place.objects("repo", "packs").pop().unwrap();
    let name = lost.file_name().unwrap().to_str().unwrap().to_owned();
    flip(&lost);
    place.ran("verify").is(3);
    let planned = place.ran("repair --from ./copy --plan").is(0).prints(&name);
    planned.prints("fetch").prints("in 1 request to the other side").prints("whole");
    let planned = place.ran("repair --from ./copy --plan --json").is(0).json();
    assert!(planned["fetch"][0]["objects"][0].as_str().unwrap().ends_with(&name), "{planned}");
    assert_eq!(planned["cost"]["bytes"], planned["fetch"][0]["bytes"], "{planned}");
    assert_eq!(planned["cost"]["requests_there"], 1, "{planned}");
    place.ran("verify").is(3);
    let told = place.ran("repair --from ./copy").is(0).says("note: fetch").says("note: cost");
    told.prints("fetched 1 object, ").prints("removed ");
    place.ran("verify").is(0);
    assert!(place.objects("repo", "damage").is_empty());
    // The other way round.
    fs::remove_file(place.path("copy").join("packs").join(&name[..2]).join(&name)).unwrap();
    place.ran("--repo ./copy verify --depth objects").is(3);
    let told = place.ran("--repo ./copy repair --from ./repo --json").is(0).json();
    assert_eq!(told["fetched"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["losses"]["snapshots"].as_array().unwrap().len(), 0, "{told}");
    place.ran("--repo ./copy verify").is(0);
}

#[test]
fn what_stays_lost_is_counted_and_the_command_that_restores_the_rest_is_told() {
    let place = Place::new();
    place.ran("replicate --to ./copy --init").is(0);
    let lost = place.objects("repo", "packs").pop().unwrap();
    let name = lost.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&lost).unwrap();
    fs::remove_file(place.path("copy").join("packs").join(&name[..2]).join(&name)).unwrap();
    for line in ["repair --plan", "repair --from ./copy --plan", "repair --from ./copy", "repair"] {
        let told = place.ran(line).is(3).prints(", pages ").prints("1 snapshot lacks ");
        told.prints(" pages").prints("--to DIRECTORY --keep-going restores the rest of it");
    }
    let told = place.ran("repair --from ./copy --json").is(3).json();
    let losses = &told["losses"];
    assert!(losses["pages"].as_u64().unwrap() > 20, "{losses}");
    assert!(losses["files"].as_u64().unwrap() > 3, "{losses}");
    let id = losses["snapshots"][0]["snapshot"].as_str().unwrap();
    place.ran(&format!("restore {} --to there --keep-going", &id[..10])).is(3);
    assert!(place.path("there").is_dir());
}

#[test]
fn a_search_says_what_it_costs_and_what_it_found() {
    let place = Place::new();
    place.ran("repair --search --plan").is(0).prints("there is nothing to repair");
    let lost = place.objects("repo", "packs").pop().unwrap();
    place.ran("backup --source other -- sh produce").is(0);
    fs::remove_file(&lost).unwrap();
    let planned = place.ran("repair --search --plan").is(3).prints("search ");
    planned.prints(" blocks in the directories of 1 pack: ").prints("in 1 request, about ");
    let planned = place.ran("repair --search --plan --json").is(3).json();
    assert!(planned["search"]["blocks"].as_u64().unwrap() > 100, "{planned}");
    assert!(planned["search"]["bytes"].as_u64().unwrap() > 0, "{planned}");
    let told = place.ran("repair --search").is(0).says("note: search");
    told.prints(" blocks in other packs");
    place.ran("verify").is(0);
    place.ran("repair --search").is(0).prints("nothing had to be repaired");
}

#[test]
fn lost_blocks_are_taken_from_the_streams_of_a_repository_with_other_keys() {
    let mut place = Place::new();
    fs::write(place.path("dr"), "battery staple").unwrap();
    fs::set_permissions(place.path("dr"), fs::Permissions::from_mode(0o600)).unwrap();
    let with = "--other-password-file dr";
    place.ran(&format!("replicate --to ./other --init {with}")).is(0);
    place.night();
    place.ran(&format!("replicate --to ./other {with}")).is(0);
    let line = format!("repair --from ./other {with}");
    place.ran(&format!("{line} --plan")).is(0).prints("there is nothing to repair");
    place.ran("repair --from ./other").is(1).says("HAULOUT_OTHER_PASSWORD");
    fs::remove_file(place.objects("repo", "packs").pop().unwrap()).unwrap();
    place.ran("verify --depth objects").is(3);
    let planned = place.ran(&format!("{line} --plan")).is(3).prints("of 2 snapshots on the other");
    planned.prints("streams").prints(" requests there, up to ");
    let planned = place.ran(&format!("{line} --plan --json")).is(3).json();
    let streams = &planned["streams"];
    assert!(streams["blocks"].as_u64().unwrap() > 100, "{streams}");
    let told = place.ran(&format!("{line} --json")).is(0).json();
    for field in ["blocks", "bytes", "read_bytes"] {
        assert_eq!(told["streams"][field], streams[field], "{told}");
    }
    assert_eq!(told["streams"]["packs"].as_array().unwrap().len(), 1, "{told}");
    place.ran("verify --depth pages").is(0);
    place.ran(&line).is(0).prints("nothing had to be repaired");
    // The other way round.
    let mut packs = place.objects("other", "packs");
    fs::remove_file(packs.pop().unwrap()).unwrap();
    let sealed = "--repo ./other --password-file dr";
    place.ran(&format!("{sealed} verify --depth objects")).is(3);
    let told = place.ran(&format!("{sealed} repair --from ./repo")).is(0);
    told.prints("took ").prints(" from streams on the other side").says("note: streams");
    place.ran(&format!("{sealed} verify --depth pages")).is(0);
}

#[test]
fn a_snapshot_whose_maps_are_lost_is_stored_again_under_other_keys() {
    let place = Place::new();
    place.ran("--repo ./other init -q --no-encryption").is(0);
    place.ran("replicate --to ./other").is(0);
    for (repo, from) in [("other", "repo"), ("repo", "other")] {
        for twin in place.objects(repo, "twins/") {
            if twin.parent().unwrap().ends_with("moves") {
                continue;
            }
            let parts: Vec<_> = twin.iter().rev().take(2).collect();
            fs::remove_file(place.path(repo).join("packs").join(parts[1]).join(parts[0])).unwrap();
            fs::remove_file(twin).unwrap();
        }
        place.ran(&format!("--repo ./{repo} verify --depth objects")).is(3);
        let told =
            place.ran(&format!("--repo ./{repo} repair --from ./{from} --json")).is(3).json();
        let there = told["streams"]["lost_maps"][0]["on_the_other_side"].as_str().unwrap();
        let line = format!("--repo ./{repo} replicate --from ./{from} --snapshot {there}");
        place.ran(&line).is(0);
        let listed = place.ran(&format!("--repo ./{repo} snapshots --json")).is(0).json();
        let id = listed.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        place.ran(&format!("--repo ./{repo} verify {id} --depth pages")).is(0);
        // It is not stored a third time.
        place.ran(&format!("{line} --json")).is(0).prints("\"already_there\":1");
    }
}

#[test]
fn a_repair_from_what_is_no_copy_says_what_else_to_do() {
    let place = Place::new();
    place.ran("--repo ./other init -q --no-encryption").is(0);
    let told = place.ran("repair --from ./other").is(1).says("no snapshot of either was copied");
    told.says("other (repository ").says("repo (repository ").says("haulout replicate --from");
    place.ran("repair --from ./nowhere").is(1).says("there is no repository at ./nowhere");
}

/// The commands of a section of the guide's chapter, each block for itself.
fn blocks(section: &str) -> Vec<String> {
    let text = fs::read_to_string("src/guide/repair.md").unwrap();
    let from = text.find(section).unwrap();
    let rest = text[from + section.len()..].split("\n## ").next().unwrap();
    let block = |part: &str| part.split("```").next().unwrap().to_owned();
    rest.split("```sh\n").skip(1).map(block).collect()
}

#[test]
fn the_walkthrough_of_the_guide_ends_with_a_whole_repository() {
    let place = Place { directory: tempfile::tempdir().unwrap(), server: Server::new(7, 2, 60) };
    fs::write(place.path("produce"), "cat stream; echo 'completed OK!' >&2\n").unwrap();
    fs::write(place.path("stream"), place.server.stream()).unwrap();
    let run = |block: &str| -> Vec<i32> {
        let own = |line: &str| {
            let line = line.strip_prefix("haulout ").unwrap();
            let line = if line == "init" { "init --no-encryption" } else { line };
            line.replace("mariabackup --backup --stream=mbstream", "sh produce")
                .replace("/mnt/offsite/db", "./offsite")
        };
        let ran = block.lines().map(|line| place.ran(&own(line)));
        ran.map(|ran| ran.output.status.code().unwrap()).collect()
    };
    let copy = blocks("## From a copy");
    assert_eq!(run(&copy[0]), [0, 0, 0]);
    fs::remove_file(place.objects("repo", "packs").last().unwrap()).unwrap();
    assert_eq!(run(&copy[1]), [3, 0, 0, 0]);
}

#[test]
fn the_walkthrough_with_other_keys_ends_with_two_whole_repositories() {
    let place = Place { directory: tempfile::tempdir().unwrap(), server: Server::new(7, 2, 60) };
    fs::write(place.path("produce"), "cat stream; echo 'completed OK!' >&2\n").unwrap();
    fs::write(place.path("stream"), place.server.stream()).unwrap();
    fs::write(place.path("key"), "battery staple").unwrap();
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = |block: &str| -> Vec<i32> {
        let own = |line: &str| {
            let line = line.strip_prefix("haulout ").unwrap();
            let line = if line == "init" { "init --no-encryption" } else { line };
            let line = line.replace("--repo /mnt/dr/db", "--repo ./dr --password-file key");
            line.replace("mariabackup --backup --stream=mbstream", "sh produce")
                .replace("/mnt/dr/db", "./dr")
                .replace("/etc/haulout/dr", "key")
                .replace("/backup/db", "./repo")
        };
        let ran = block.lines().map(|line| place.ran(&own(line)));
        ran.map(|ran| ran.output.status.code().unwrap()).collect()
    };
    let blocks = blocks("## From a repository with other keys");
    assert_eq!(run(&blocks[0]), [0, 0, 0]);
    fs::remove_file(place.objects("repo", "packs").last().unwrap()).unwrap();
    assert_eq!(run(&blocks[1]), [3, 3, 0, 0]);
    fs::remove_file(place.objects("dr", "packs").last().unwrap()).unwrap();
    assert_eq!(run(&blocks[2]), [0, 0]);
}

#[test]
fn a_verified_replication_says_what_was_verified_and_mends_what_was_damaged() {
    let place = Place::new();
    place.ran("replicate --to ./copy --init --verify").is(0).prints("verified ");
    place.ran("replicate --to ./copy").is(0).prints_not("verified ");
    flip(place.objects("copy", "packs").last().unwrap());
    place.ran("replicate --to ./copy").is(0).prints_not("mended");
    let told = place.ran("replicate --to ./copy --verify").is(0).prints("1 damaged object");
    told.says("was damaged and was sent again");
    let again = place.ran("replicate --to ./copy --verify --json").is(0).json();
    assert_eq!(again["mended"].as_array().unwrap().len(), 0, "{again}");
    assert!(again["verified"]["objects"].as_u64().unwrap() > 3, "{again}");
    assert!(again["verified"]["bytes"].as_u64().unwrap() > 1000, "{again}");
    place.ran("verify --repo ./copy").is(0);
}

#[test]
fn the_figures_of_a_verification_are_those_of_what_was_read() {
    let place = Place::new();
    let stored = place.ran("verify --depth stored --json").is(0).json();
    let objects = place.ran("verify --depth objects --json").is(0).json();
    let blocks = place.ran("verify --depth blocks --json").is(0).json();
    let figure = |of: &Value, name: &str| of[name].as_u64().unwrap();
    assert_eq!(figure(&stored, "bytes"), figure(&objects, "bytes"));
    assert!(figure(&objects, "read_bytes") * 4 < figure(&objects, "bytes"), "{objects}");
    assert!(figure(&stored, "read_bytes") >= figure(&stored, "bytes"), "{stored}");
    let both = figure(&stored, "bytes") * 2 + figure(&objects, "read_bytes");
    assert!(figure(&blocks, "read_bytes") > figure(&stored, "read_bytes"), "{blocks}");
    assert!(figure(&blocks, "read_bytes") <= both, "{blocks}");
}

/// Runs a line with a password.
fn with_password(place: &Place, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
    command.args(line.split(' ')).current_dir(place.directory.path());
    command.env("HAULOUT_REPO", "./safe").env("HAULOUT_PASSWORD", "secret").stdin(Stdio::null());
    Ran { line: line.to_owned(), output: command.output().unwrap() }
}

#[test]
fn a_lost_config_is_salvaged_and_what_else_is_lost_is_told() {
    let place = Place::new();
    let run = |line: &str| with_password(&place, line);
    run("init -q").is(0);
    run("backup -q --source db -- sh produce").is(0);
    run("salvage").is(0).prints("is whole").prints("1 key slot").prints("1 snapshot can be read");
    fs::write(place.path("kit-password"), "of the kit\n").unwrap();
    fs::set_permissions(place.path("kit-password"), fs::Permissions::from_mode(0o600)).unwrap();
    run("key export kit --new-password-file kit-password").is(0);
    let config = fs::read(place.path("safe/config")).unwrap();
    fs::remove_file(place.path("safe/config")).unwrap();
    run("snapshots").is(1).says("its config is missing").says("haulout salvage");
    run("salvage --plan").is(0).prints("would be rebuilt: it was missing");
    assert!(!place.path("safe/config").exists());
    let told = run("salvage --json").is(0).json();
    assert_eq!((&told["config"], &told["rebuilt"]), (&"missing".into(), &true.into()), "{told}");
    // All features that are known; nothing but them and the tag differs.
    assert_eq!(told["features"], serde_json::json!([0, 1, 2, 3, 4]), "{told}");
    let again = fs::read(place.path("safe/config")).unwrap();
    assert!(again[..12] == config[..12] && again[20..89] == config[20..89]);
    run("verify").is(0);
    fs::remove_dir_all(place.path("safe/keys")).unwrap();
    fs::remove_file(place.path("safe/config")).unwrap();
    run("salvage").is(1).says("there is no key slot").says("recovery kit");
    let by_kit = "salvage --recovery-kit kit --password-file kit-password";
    run(by_kit).is(3).prints("was rebuilt").prints("haulout key add --recovery-kit FILE");
    fs::remove_dir_all(place.path("safe/snapshots")).unwrap();
    run(by_kit).is(3).prints("0 snapshots can be read").prints("2 packs, ").prints("1 run without");
}
