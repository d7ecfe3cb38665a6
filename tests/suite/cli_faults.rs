//! What operators get wrong, and what goes wrong around a run: places that are none, closed and
//! full outputs, full directories of state. The program says so, in words.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

/// Files of a tar that is restored with few files open.
const FILES: u32 = 1500;

/// A directory in which a shell runs the program.
struct Place(TempDir);

struct Ran {
    line: String,
    status: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a repository that is not encrypted, and a snapshot of `s`.
    fn clear() -> Self {
        let place = Self::empty();
        place.ran("haulout -q init --no-encryption").is(0);
        place.ran("haulout -q backup --source s -- seq 99").is(0);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ran(&self, line: &str) -> Ran {
        let mut shell = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                shell.env_remove(name);
            }
        }
        let defined = format!("haulout() {{ '{}' \"$@\"; }}\n", env!("CARGO_BIN_EXE_haulout"));
        shell.args(["-c", &(defined + line)]).current_dir(self.0.path()).stdin(Stdio::null());
        let output = shell.env("HAULOUT_REPO", "./repo").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Ran { line: line.to_owned(), status: output.status.code(), out, err }
    }
}

impl Ran {
    #[track_caller]
    fn is(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}: {}{}", self.line, self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{}: {text}: {}", self.line, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

#[test]
fn what_is_meant_for_another_program_never_becomes_a_directory() {
    let place = Place::empty();
    for odd in ["s3:bucket/x", "user@host:/x", "rclone:x:y", r"C:\x", "~/x", "sftp://host/x"] {
        for verb in ["init --no-encryption", "snapshots"] {
            place.ran(&format!("haulout -r '{odd}' {verb}")).is(2).says("hint: ");
        }
    }
    place.ran("haulout restore latest --to='~/x'").is(2).says("the shell did not replace the ~");
    for line in ["restore latest --to=''", "snapshots --state=''", "snapshots --cache=''"] {
        place.ran(&format!("haulout {line}")).is(2).says("it is empty");
    }
    place.ran("haulout -r sub/dir/repo init --no-encryption").is(1).says("no directory sub/dir");
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0, "something was made");
    place.ran("haulout -r ./a:b init --no-encryption").is(0);
    assert!(place.path("a:b/config").exists());
}

#[test]
fn a_place_to_replicate_to_is_made_only_if_that_was_asked_for() {
    let place = Place::clear();
    let refused = place.ran("haulout replicate --to ./mnt").is(1);
    refused.says("there is no repository at").says("--init");
    assert!(!place.path("mnt").exists());
    fs::create_dir(place.path("mounted")).unwrap();
    place.ran("haulout replicate --to ./mounted").is(1).says("there is no repository at");
    assert_eq!(fs::read_dir(place.path("mounted")).unwrap().count(), 0);
    place.ran("haulout replicate --to ./mnt --plan").is(0).says("--init");
    assert!(!place.path("mnt").exists());
    place.ran("haulout replicate --to mnt/deep --init").is(1).says("there is no directory");
    place.ran("haulout replicate --to ./mnt --init").is(0).says("making a repository at");
    place.ran("haulout replicate --to ./mnt").is(0);
    let empty = place.ran("haulout -r ./new replicate --from ./mnt").is(1);
    empty.says("there is no repository at");
    place.ran("haulout -r ./new replicate --from ./mnt --init").is(0);
}

#[test]
fn what_goes_to_a_closed_standard_output_is_refused() {
    let place = Place::clear();
    place.ran("haulout restore latest --stdout >&-").is(1).says("standard output is closed");
    place.ran("haulout cat latest s >&-").is(1).says("standard output is closed");
    place.ran("haulout backup --source s <&-").is(1).says("standard input is closed");
    place.ran("haulout restore latest --stdout >/dev/null").is(0);
    place.ran("haulout restore latest --stdout >/dev/full").is(1);
}

#[test]
fn a_summary_that_cannot_be_printed_does_not_make_a_backup_fail() {
    let place = Place::clear();
    for json in ["", "--json"] {
        let line = format!("haulout {json} backup --source s -- seq 99 >/dev/full");
        place.ran(&line).is(3).says("cannot write to standard output");
    }
    place.ran("haulout backup --source s -- seq 99 >&- 2>&-").is(0);
    assert_eq!(place.ran("haulout snapshots --json").is(0).json().as_array().unwrap().len(), 4);
    place.ran("haulout snapshots >/dev/full").is(1);
    let gone = place.ran("haulout -v ls latest | true; exit ${PIPESTATUS[0]}").is(0);
    assert_eq!(gone.err, "");
}

#[test]
fn state_that_cannot_be_written_is_a_warning() {
    let place = Place::clear();
    // A link to nowhere stands for a directory that is full: root may write anywhere.
    symlink("/nowhere/at/all", place.path("state")).unwrap();
    let ran = place.ran("haulout --json --state state backup --source s -- seq 99").is(3);
    let ran = ran.says("warning: state-not-written: ");
    let findings = &ran.json()["findings"];
    assert_eq!(findings[0]["code"], "state-not-written", "{findings}");
    place.ran("haulout snapshots").is(0);
    place.ran("haulout --state state snapshots").is(3).says("state-not-written");
}

#[test]
fn a_restore_keeps_few_files_open_and_names_the_limit_that_it_runs_into() {
    let place = Place::empty();
    place.ran("haulout -q init --no-encryption").is(0);
    fs::create_dir(place.path("files")).unwrap();
    for number in 0..FILES {
        fs::write(place.path(&format!("files/{number}")), number.to_string()).unwrap();
    }
    place.ran("haulout -q backup --source s -- tar -cf - files").is(0);
    for threads in [1, 2, 4] {
        let restore = format!("haulout -q --threads {threads} restore latest --to");
        let line = format!("ulimit -n 256; {restore} t{threads}");
        place.ran(&line).is(0);
        let restored = fs::read_dir(place.path(&format!("t{threads}/files"))).unwrap().count();
        assert_eq!(restored, usize::try_from(FILES).unwrap());
        place.ran(&format!("ulimit -n 24; {restore} u{threads}")).is(0);
        place.ran(&format!("ulimit -n 8; {restore} v{threads}")).is(1).says("ulimit -n");
    }
}
