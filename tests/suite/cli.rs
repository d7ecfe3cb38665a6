//! The program as its users see it: arguments in, exit status, standard output and files out.
//!
//! Every test has a repository of its own. Most are not encrypted, because stretching a password is
//! slow on purpose.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;

use crate::support::program::Place;
use crate::support::program::Ran;

/// Bytes that can't be compressed, the same ones for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// A file as mbstream frames: one payload and its end.
fn mbstream_file(path: &str, content: &[u8]) -> Vec<u8> {
    let head = |kind: u8| {
        let mut head = b"XBSTCK01\0".to_vec();
        head.push(kind);
        head.extend(u32::try_from(path.len()).unwrap().to_le_bytes());
        head.extend(path.as_bytes());
        head
    };
    let mut out = head(b'P');
    out.extend(u64::try_from(content.len()).unwrap().to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(crc32fast::hash(content).to_le_bytes());
    out.extend(content);
    out.extend(head(b'E'));
    out
}

fn mbstream(files: &[(&str, &[u8])]) -> Vec<u8> {
    files.iter().flat_map(|(path, content)| mbstream_file(path, content)).collect()
}

#[track_caller]
fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..600 {
        if happened() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("{what} did not happen");
}

fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

fn runs(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim()));
    // What nobody has waited for yet is as good as gone.
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn a_stream_goes_in_and_the_same_stream_comes_out() {
    let place = Place::clear();
    let stream = noise(1, 3_000_000);
    let file = place.file("stream", &stream);
    let made = place.backed_up(&format!("cat {file}")).is(0).json();
    assert_eq!(made["verdict"], "complete");
    assert_eq!(made["stream_bytes"], 3_000_000);

    let id = made["snapshot"].as_str().unwrap();
    for wanted in [id, &id[..8], "latest", "db@latest"] {
        let restored = place.ran(&["restore", wanted, "--stdout"]).is(0);
        assert!(restored.output.stdout == stream, "{wanted}");
    }
    place.ran(&["verify", "--depth", "pages"]).is(0);
    let again = place.backed_up(&format!("cat {file}")).is(0).json();
    assert_eq!(again["blocks"]["whole"], 0, "{again}");
    assert!(again["stored_bytes"].as_u64().unwrap() < 10_000, "{again}");
}

#[test]
fn the_fields_of_a_backup_are_what_scripts_expect() {
    let place = Place::clear();
    let arguments = ["backup", "--source", "db", "--tag", "a", "--tag", "b", "--json"];
    let made = place.fed(&arguments, &noise(1, 50_000)).is(0).json();
    for (name, value) in [
        ("source", Value::from("db")),
        ("verdict", "unattested".into()),
        ("format", "raw".into()),
        ("stream_bytes", 50_000.into()),
        ("tags", vec!["a", "b"].into()),
        ("new_source", false.into()),
    ] {
        assert_eq!(made[name], value, "{name}: {made}");
    }
    for name in ["stored_bytes", "peak_memory_bytes", "objects"] {
        assert!(made[name].as_u64().is_some_and(|number| number > 0), "{name}: {made}");
    }
    for name in ["zero", "same", "delta", "whole"] {
        assert!(made["blocks"][name].is_u64(), "{name}: {made}");
    }
    for name in ["verified", "unverifiable", "corrupt"] {
        assert!(made["pages"][name].is_u64(), "{name}: {made}");
    }
    assert!(made["seconds"].is_f64() && made["reasons"][0].is_string(), "{made}");

    let [listed] = place.snapshots().try_into().unwrap();
    assert_eq!(listed["id"], made["snapshot"]);
    for name in ["source", "format", "verdict", "stream_bytes", "tags"] {
        assert_eq!(listed[name], made[name], "{name}: {listed}");
    }
    let time = listed["time"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "{time}");
    assert!(listed["stored_bytes"].is_u64(), "{listed}");

    let shown = place.ran(&["show", "latest", "--json"]).is(0).json();
    assert_eq!(shown["id"], made["snapshot"]);
    assert_eq!(shown["members"][0]["bytes"], 50_000);
    assert!(shown["checks"].is_array() && shown["positions"].is_object(), "{shown}");
}

#[test]
fn files_of_an_mbstream_come_back_as_files() {
    let place = Place::clear();
    let (data, text) = (noise(1, 700_000), b"[mysqld]\n".as_slice());
    let files = [("app/data.bin", data.as_slice()), ("my.cnf", text), ("app/empty", b"")];
    let stream = mbstream(&files);
    // It is no whole backup of a server, and says so.
    let made = place.fed(&["backup", "--source", "db", "--json"], &stream).is(3).json();
    assert_eq!(made["format"], "mbstream");
    assert_eq!(made["verdict"], "partial");
    assert_eq!(made["members"], 3);
    let id = made["snapshot"].as_str().unwrap();

    let target = place.path("target");
    let restored = place.ran(&["restore", id, "--to", target.to_str().unwrap(), "--json"]).is(3);
    assert_eq!(restored.json()["files"], 3);
    restored.says("is partial");
    for (path, content) in files {
        assert!(fs::read(target.join(path)).unwrap() == content, "{path}");
    }
    let one = place.path("one");
    place.ran(&["restore", id, "--to", one.to_str().unwrap(), "--include", "*.cnf", "-q"]).is(3);
    assert!(one.join("my.cnf").exists() && !one.join("app/data.bin").exists());
    let same = place.ran(&["restore", id, "--stdout"]).is(3);
    assert!(same.output.stdout == stream);

    let full = place.ran(&["restore", id, "--to", target.to_str().unwrap(), "--json"]).is(1);
    assert_eq!(full.error_kind(), "occupied");
    let shown = place.ran(&["show", id]).is(0).out();
    assert!(shown.contains("app/data.bin") && shown.contains("verdict partial"), "{shown}");
    let every = place.ran(&["show", id, "-v"]).is(0).out();
    assert!(every.ends_with("my.cnf\n"), "{every}");
}

#[test]
fn a_failing_producer_leaves_a_partial_snapshot_that_is_never_latest() {
    let place = Place::clear();
    place.backed_up("echo good").is(0);
    let made = place.backed_up("echo bad; echo disk on fire >&2; exit 7").is(3).json();
    assert_eq!(made["verdict"], "partial");
    assert!(made["reasons"][0].as_str().unwrap().contains("status 7"), "{made}");
    place.ran(&["restore", "latest", "--stdout"]).is(0).prints("good\n");
    assert_eq!(place.snapshots().len(), 2);
}

#[test]
fn an_empty_stream_is_no_backup() {
    let place = Place::clear();
    assert_eq!(place.backed_up("true").is(1).error_kind(), "source");
    let missing = place.ran(&["backup", "--json", "--", "/no/such/program"]).is(1);
    assert_eq!(missing.error_kind(), "source");
    assert!(place.snapshots().is_empty());
}

#[test]
fn errors_are_told_to_people_and_to_programs() {
    let place = Place::empty();
    let told = place.ran(&["snapshots"]).is(1).prints("");
    let lines: Vec<String> = told.err().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("error: there is no repository at "), "{lines:?}");
    assert!(lines[1].starts_with("hint: "), "{lines:?}");
    assert!(lines[1].ends_with(" (haulout errors location)"), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    let refused = place.ran(&["snapshots", "--json"]).is(1).json();
    let guide = include_str!("../../src/guide/automate.md");
    let (_, example) = guide.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    for key in ["code", "kind", "causes", "hint"] {
        assert_eq!(refused["error"][key], example["error"][key], "{refused}");
    }
    assert_eq!(place.ran(&["snapshots", "--json"]).is(1).error_kind(), "no-repository");

    let place = Place::clear();
    assert_eq!(place.ran(&["show", "latest", "--json"]).is(2).error_kind(), "usage");
    assert_eq!(place.ran(&["--jso", "snapshots"]).is(2).out(), "");
    assert_eq!(place.ran(&["--json", "restore", "latest"]).is(2).error_kind(), "usage");
    let tight = ["snapshots", "--json", "--memory", "10M"];
    assert_eq!(place.ran(&tight).is(2).error_kind(), "usage");
    assert_eq!(place.ran(&["-r", "ftp://x", "snapshots", "--json"]).is(2).error_kind(), "usage");
    place.ran(&["backup", "--", "--json"]).is(1).prints("");
}

#[test]
fn the_code_of_an_error_is_explained_by_the_command_after_its_hint() {
    let place = Place::empty();
    let told = place.ran(&["errors", "location"]).is(0).out();
    assert!(told.starts_with("location (error, exit status 1)\n"), "{told}");
    assert!(told.contains("\n  Kinds in --json: no-repository, no-config, occupied.\n"), "{told}");
    let json = place.ran(&["errors", "--json"]).is(0).json();
    let entries = json.as_array().unwrap();
    let of = |code: &str| entries.iter().find(|entry| entry["code"] == code).unwrap();
    assert_eq!(of("usage")["exit_status"], 2);
    let of_store = serde_json::json!(["store", "full", "protected", "busy", "fenced"]);
    assert_eq!(of("store")["kinds"], of_store);
    assert_eq!(of("lost-members")["severity"], "warning");
    place.ran(&["errors", "xyzzy"]).is(2).says("haulout errors lists them");
}

#[test]
fn a_new_repository_is_not_mixed_with_anything() {
    let place = Place::clear();
    assert_eq!(place.ran(&["init", "--no-encryption", "--json"]).is(1).error_kind(), "occupied");
    let place = Place::empty();
    fs::create_dir_all(place.path("repo/photos")).unwrap();
    assert_eq!(place.ran(&["init", "--no-encryption", "--json"]).is(1).error_kind(), "occupied");
    fs::rename(place.path("repo/photos"), place.path("repo/lost+found")).unwrap();
    let made = place.ran(&["init", "--no-encryption", "--json"]).is(0).json();
    assert_eq!(made["encrypted"], false);
}

#[test]
fn a_password_comes_from_a_file_a_command_or_the_environment() {
    let place = Place::empty();
    let file = place.file("password", "sesame\nignored\n");
    assert_eq!(place.ran(&["init", "--json"]).is(1).error_kind(), "no-key");
    let made = place.ran(&["init", "--password-file", &file, "--json"]).is(0).json();
    assert_eq!(made["encrypted"], true);
    let with = |arguments: &[&str], variable: &str, value: &str| {
        let mut command = place.command(arguments);
        command.env(variable, value);
        Ran::of(command, b"")
    };
    let list = ["snapshots", "--json"];
    with(&list, "HAULOUT_PASSWORD_FILE", &file).is(0);
    with(&list, "HAULOUT_PASSWORD_COMMAND", "echo sesame").is(0);
    with(&list, "HAULOUT_PASSWORD", "sesame").is(0);
    place.ran(&["snapshots", "--password-command", "cat $HAULOUT_REPO/../password"]).is(0);
    assert_eq!(with(&list, "HAULOUT_PASSWORD", "sesam").is(1).error_kind(), "wrong-key");
    assert_eq!(place.ran(&list).is(1).error_kind(), "no-key");
    let failing = with(&list, "HAULOUT_PASSWORD_COMMAND", "echo sesame; exit 3").is(1);
    assert_eq!(failing.error_kind(), "no-key");
    assert!(!(failing.out() + &failing.err()).contains("sesame"));
}

#[test]
fn a_key_file_opens_a_repository_too() {
    use haulout::base::entropy::OsEntropy;
    use haulout::seal::key_slot::KeyFile;

    let place = Place::empty();
    let key = place.file("key", KeyFile::generate(&OsEntropy).to_text().as_bytes());
    let other = place.file("other", KeyFile::generate(&OsEntropy).to_text().as_bytes());
    place.ran(&["init", "--password-file", &key]).is(0);
    let arguments = ["backup", "--password-file", &key];
    place.fed(&arguments, b"some text").is(0);
    place
        .ran(&["restore", "latest", "--stdout", "--password-file", &key])
        .is(0)
        .prints("some text");
    let wrong = place.ran(&["snapshots", "--json", "--password-file", &other]).is(1);
    assert_eq!(wrong.error_kind(), "wrong-key");
}

#[test]
fn a_producer_does_not_see_the_password() {
    let place = Place::empty();
    let mut init = place.command(&["init"]);
    init.env("HAULOUT_PASSWORD", "sesame");
    Ran::of(init, b"").is(0);
    let mut backup = place.command(&["backup", "--", "sh", "-c", "env; cat /proc/$PPID/cmdline"]);
    backup.env("HAULOUT_PASSWORD", "sesame");
    Ran::of(backup, b"").is(0);
    let mut restore = place.command(&["restore", "latest", "--stdout"]);
    restore.env("HAULOUT_PASSWORD", "sesame");
    let seen = Ran::of(restore, b"").is(0).out();
    assert!(seen.contains("HAULOUT_REPO") && !seen.contains("sesame"), "{seen}");
}

#[test]
fn a_signal_ends_producer_and_backup_and_leaves_no_snapshot() {
    for asked in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::clear();
        let pid = place.path("pid");
        // The shell waits for a child of its own: both must go.
        let script = format!("echo $$ > {0}; echo begun; sleep 1000; echo end", pid.display());
        let arguments = ["backup", "--source", "db", "--", "sh", "-c", &script];
        let child = place.started(&arguments, Stdio::null());
        wait_for("the start", || fs::read(&pid).is_ok_and(|pid| pid.ends_with(b"\n")));
        sleep(Duration::from_millis(200));
        signal(&child, asked);
        let ended = Ran { output: child.wait_with_output().unwrap() };
        ended.is(1).says("error: stopped on request");
        assert!(!runs(&pid), "the producer still runs");
        assert!(place.snapshots().is_empty());
    }
}

#[test]
fn a_signal_ends_a_backup_whose_stream_stalls() {
    let place = Place::clear();
    let mut child = place.started(&["backup", "--source", "db"], Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&noise(1, 100_000)).unwrap();
    sleep(Duration::from_millis(300));
    signal(&child, Signal::TERM);
    wait_for("the end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(stdin);
    assert!(place.snapshots().is_empty());
}

#[test]
fn a_second_signal_ends_at_once() {
    let place = Place::clear();
    let pid = place.path("pid");
    // It takes the first signal for nothing, so that haulout waits for it.
    let script = format!("trap '' TERM; echo $$ > {0}; echo x; sleep 3; sleep 3", pid.display());
    let child = place.started(&["backup", "--", "sh", "-c", &script], Stdio::null());
    wait_for("the start", || fs::read(&pid).is_ok_and(|pid| pid.ends_with(b"\n")));
    sleep(Duration::from_millis(200));
    signal(&child, Signal::TERM);
    sleep(Duration::from_millis(500));
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), None, "{output:?}");
}

#[test]
fn a_killed_backup_goes_on_from_its_checkpoint() {
    let place = Place::clear();
    let stream = noise(1, 8 << 20);
    let arguments = ["backup", "--source", "db", "--checkpoint-bytes", "1MiB"];
    let mut child = place.started(&arguments, Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&stream[..6 << 20]).unwrap();
    wait_for("a checkpoint", || !place.snapshots().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    let checkpoint = place.snapshots().pop().unwrap();
    assert_eq!(checkpoint["verdict"], "partial");
    assert_eq!(checkpoint["kind"], "checkpoint");
    assert_eq!(place.ran(&["show", "latest", "--json"]).is(2).error_kind(), "usage");

    let made = place.fed(&["backup", "--source", "db", "--json"], &stream).is(0).json();
    assert!(made["blocks"]["same"].as_u64().unwrap() > 0, "{made}");
    let restored = place.ran(&["restore", "latest", "--stdout"]).is(0);
    assert!(restored.output.stdout == stream);
}

#[test]
fn a_reader_that_goes_away_makes_a_restore_fail_and_a_listing_not() {
    let place = Place::clear();
    place.fed(&["backup", "--source", "db"], &noise(1, 4 << 20)).is(0);
    let mut child = place.started(&["restore", "latest", "--stdout"], Stdio::null());
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    drop(stdout);
    let ended = Ran { output: child.wait_with_output().unwrap() };
    ended.is(1).says("Broken pipe");

    let mut child = place.started(&["snapshots"], Stdio::null());
    drop(child.stdout.take());
    let ended = Ran { output: child.wait_with_output().unwrap() };
    assert_eq!(ended.is(0).err(), "");

    let mut full = place.command(&["snapshots"]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(full.stderr(Stdio::null()).status().unwrap().code(), Some(1));
}

#[test]
fn damage_is_found_named_and_healed() {
    let place = Place::clear();
    let stream = noise(1, 3 << 20);
    place.fed(&["backup", "--source", "db"], &stream).is(0);
    let largest = |paths: Vec<PathBuf>| {
        paths.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    };
    let pack = largest(place.objects("packs"));
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();

    place.ran(&["verify", "--depth", "objects"]).is(0);
    let found = place.ran(&["verify", "--json"]).is(3).json();
    let finding = &found["findings"][0];
    assert!(finding["what"].is_string(), "{found}");
    let failed = place.ran(&["restore", "latest", "--stdout"]).is(1);
    assert!(stream.starts_with(&failed.output.stdout), "only verified bytes are written");

    let again = place.fed(&["backup", "--source", "db", "--json"], &stream).is(3);
    assert!(again.json()["blocks"]["healed"].as_u64().unwrap() > 0, "{}", again.out());
    for snapshot in place.snapshots() {
        let id = snapshot["id"].as_str().unwrap();
        let restored = place.ran(&["restore", id, "--stdout"]).is(0);
        assert!(restored.output.stdout == stream, "{id}");
    }
}

#[test]
fn a_new_source_among_others_is_announced() {
    let place = Place::clear();
    assert_eq!(place.fed(&["backup", "--source", "one"], b"text").is(0).err(), "");
    place.fed(&["backup", "--source", "tow"], b"text").is(0).says("tow is new");
    assert_eq!(place.fed(&["backup", "--source", "one"], b"text").is(0).err(), "");
}

#[test]
fn preparing_is_part_of_a_restore() {
    let place = Place::clear();
    let stream = mbstream(&[("my.cnf", b"x"), ("xtrabackup_checkpoints", b"x = 1\n")]);
    place.fed(&["backup", "--source", "db", "-q"], &stream).is(3);
    let id = place.snapshots()[0]["id"].as_str().unwrap().to_owned();
    let restore = |name: &str, script: &str| {
        let program = place.file(&format!("{name}.sh"), format!("#!/bin/sh\n{script}"));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let target = place.path(name).to_str().unwrap().to_owned();
        let options = ["--prepare", "--prepare-program", &program, "--json"];
        place.ran(&[&["restore", &id, "--to", &target], options.as_slice()].concat())
    };
    let good = "d=${2#--target-dir=}
        printf 'backup_type = log-applied\\nto_lsn = 77\\n' > $d/xtrabackup_checkpoints
        echo 'completed OK!' >&2";
    let prepared = restore("good", good).is(3).json();
    assert_eq!(prepared["prepared"]["lsn"], 77, "{prepared}");
    let failed = restore("bad", "echo 'it is broken' >&2; exit 1").is(1);
    assert_eq!(failed.error_kind(), "prepare");
    failed.says("it is broken");
}

#[test]
fn what_a_restore_refuses_is_named_with_what_can_be_done() {
    let place = Place::clear();
    let stream = mbstream(&[("shop/a.frm", b"a")]);
    place.fed(&["backup", "--source", "files", "-q"], &stream).is(3);
    let id = place.snapshots()[0]["id"].as_str().unwrap().to_owned();
    let files = id.as_str();
    let lists = format!("haulout ls {files}");
    place.backed_up("echo 1; echo 2").is(0);
    place.file("file", "x");
    for (directory, content) in [("full", "x"), ("cut", ".haulout-incomplete")] {
        fs::create_dir(place.path(directory)).unwrap();
        place.file(&format!("{directory}/{content}"), "");
    }
    let choose = |glob| ["--include", glob].to_vec();
    let prepare = ["--prepare", "--prepare-program", "/nowhere"].to_vec();
    let none = Vec::new;
    let into = ["--into", "aside", "--include", "shop.*"];
    for (snapshot, target, options, error, hint) in [
        ("", "new", none(), "the id of the snapshot is empty", "haulout snapshots lists"),
        ("zz", "new", none(), "there is no snapshot zz", "haulout snapshots lists"),
        ("db@latest", "new", none(), "is a plain stream", "--stdout"),
        (files, "new", choose("x/*"), "matches x/*", lists.as_str()),
        (files, "new", choose("["), "[ is not a glob", "quote globs"),
        (files, "", choose("x"), "only be restored as a whole", "leave --include out"),
        (files, "", into.to_vec(), "has no schema that can be rewritten", "leave --into out"),
        (files, "", into[..2].to_vec(), "writes parts of a backup", "--schema"),
        (files, "new", into.to_vec(), "writes parts of a backup", "--schema"),
        (files, "file", none(), "file is not a directory", "empty or not there"),
        (files, "full", none(), "full is not empty", "empty or not there"),
        (files, "cut", none(), "cut holds a restore that has not", "--resume"),
        (files, "repo/new", none(), "is inside the repository", "of its own"),
        (files, "new", prepare, "cannot start /nowhere", "--prepare-program"),
    ] {
        let to = place.path(target);
        let mut line = vec!["restore", snapshot];
        match target {
            "" => line.push("--stdout"),
            _ => line.extend(["--to", to.to_str().unwrap()]),
        }
        assert!(!place.path("new").exists(), "what is refused writes nothing: {line:?}");
        let told = place.ran(&[line, options].concat()).says(error).says(hint);
        assert!(matches!(told.output.status.code(), Some(1 | 2)), "{}", told.err());
    }
}

#[test]
fn the_version_has_a_shape_for_scripts() {
    let place = Place::empty();
    let line = place.ran(&["--version"]).is(0).out();
    assert_eq!(place.ran(&["version"]).is(0).out(), line);
    assert_eq!(place.ran(&["version", "--quiet"]).is(0).out(), line);
    let version = place.ran(&["version", "--json"]).is(0).json();
    let keys: Vec<&String> = version.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["commit", "makes", "reads", "target", "version"]);
    let word = version["version"].as_str().unwrap();
    assert!(line.starts_with(&format!("haulout {word} (")), "{line}");
    assert_eq!(version["commit"], Value::Null, "this is no release");
    assert!(version["target"].as_str().unwrap().contains('-'), "{version}");
    for (side, features) in [("reads", &[0, 1, 2, 3, 4][..]), ("makes", &[0, 2, 3])] {
        assert_eq!(version[side], serde_json::json!({"format": 1, "features": features}));
    }
}

#[test]
fn help_and_version_are_for_strangers() {
    let place = Place::empty();
    for arguments in [&["--help"][..], &["-h"], &["help"], &["--version"]] {
        assert!(!place.ran(arguments).is(0).out().is_empty());
    }
    for verb in ["init", "backup", "snapshots", "show", "restore", "verify"] {
        let help = place.ran(&[verb, "--help"]).is(0).out();
        assert!(help.contains("Example") && help.contains("haulout help options"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    let short = place.ran(&["backup", "-h"]).is(0).out();
    assert!(!short.contains("--checkpoint-bytes") && short.contains("HAULOUT_REPO"), "{short}");
    place.ran(&[]).is(2).says("Usage");
}
