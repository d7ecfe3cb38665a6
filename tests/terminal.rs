//! A person at a real terminal: passwords are asked for and not shown, and `init` offers a recovery
//! kit and tests it at once.
//!
//! The terminal is a pseudo-terminal of script(1), which every Debian has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// The program on a terminal of its own; the number of its process is written to `pid`.
fn on_a_terminal(directory: &Path, line: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_haulout");
    let mut script = Command::new("script");
    let line = format!("echo $$ > pid; exec {program} -r repo {line}");
    script.args(["-qefc", &line, "/dev/null"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAULOUT") {
            script.env_remove(name);
        }
    }
    script.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    script
}

/// Runs the program on a terminal of its own. Each answer is typed when its question has been
/// asked. Gives what was to be seen, and how it ended.
fn typed(directory: &Path, line: &str, answers: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut child = on_a_terminal(directory, line).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    let mut read = |seen: &mut String| {
        let mut buffer = [0; 1024];
        let count = screen.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    };
    let mut answered = 0;
    for (question, answer) in answers {
        while !seen[answered..].contains(question) {
            assert!(read(&mut seen), "it ended before {question:?}: {seen}");
        }
        answered = seen.len();
        keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    while read(&mut seen) {}
    drop(keyboard);
    (seen, child.wait().unwrap().code())
}

#[test]
fn a_prompt_that_nobody_answers_ends_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut child = on_a_terminal(directory, "init").spawn().unwrap();
    let (keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("password of the new repository: ") {
        let count = screen.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended before it asked: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let pid = fs::read_to_string(directory.join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    screen.read_to_string(&mut seen).unwrap();
    drop(keyboard);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{seen}");
    assert!(!directory.join("repo/config").exists());
}

/// Makes a repository, and a kit that names `copy`; what was seen, and the sheet.
fn repository_with_kit(directory: &Path, copy: &str) -> (String, String) {
    let answers = [
        ("password of the new repository: ", "correct horse"),
        ("once more: ", "correct horse"),
        ("file to write it to (empty for none): ", "kit.txt"),
        ("address of a copy of the repository", copy),
        ("new password, of the recovery kit: ", "battery staple"),
        ("once more: ", "battery staple"),
    ];
    let (seen, status) = typed(directory, "init", &answers);
    assert_eq!(status, Some(0), "{seen}");
    let sheet = fs::read_to_string(directory.join("kit.txt")).unwrap();
    (seen, sheet)
}

fn assert_that_the_kit_opens(directory: &Path) {
    let answers = [("password of the recovery kit: ", "battery staple")];
    let (seen, status) = typed(directory, "snapshots --recovery-kit kit.txt", &answers);
    assert_eq!(status, Some(0), "{seen}");
}

#[test]
fn init_offers_a_recovery_kit_and_tests_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (seen, sheet) = repository_with_kit(directory, "s3://offsite/db");
    assert!(seen.contains("with a password; it was tested"), "{seen}");
    for secret in ["correct horse", "battery staple"] {
        assert!(!seen.contains(secret), "a password was shown: {seen}");
    }
    assert!(sheet.contains("A copy of it was at s3://offsite/db.\n"), "{sheet}");
    // The kit opens what no password opens any more.
    fs::remove_dir_all(directory.join("repo/keys")).unwrap();
    fs::create_dir(directory.join("repo/keys")).unwrap();
    assert_that_the_kit_opens(directory);
}

/// A copy is often made later, and then its address is written on the sheet by hand.
#[test]
fn the_kit_of_init_has_a_blank_for_a_copy_that_is_not_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (_, sheet) = repository_with_kit(directory, "");
    assert!(sheet.contains("\nA copy of it is at ____"), "{sheet}");
    assert!(sheet.lines().all(|line| line.len() <= 80), "{sheet}");
    // Filled in, it is read as before.
    let filled = sheet.replace("at ____", "at 10.0.0.7:/srv/copy ____");
    fs::write(directory.join("kit.txt"), filled).unwrap();
    assert_that_the_kit_opens(directory);
}

#[test]
fn init_goes_on_without_a_kit_and_not_with_a_password_that_was_mistyped() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let answers =
        [("password of the new repository: ", "correct horse"), ("once more: ", "correct house")];
    let (seen, status) = typed(directory, "init", &answers);
    assert_eq!(status, Some(1), "{seen}");
    assert!(seen.contains("the second time differs"), "{seen}");
    assert!(!directory.join("repo/config").exists());
    let answers = [
        ("password of the new repository: ", "correct horse"),
        ("once more: ", "correct horse"),
        ("file to write it to (empty for none): ", ""),
    ];
    let (seen, status) = typed(directory, "init", &answers);
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("haulout key export writes a recovery kit later"), "{seen}");
    // A password that is wrong may be typed again.
    let answers = [
        ("password of the repository: ", "wrong"),
        ("password of the repository: ", "correct horse"),
    ];
    let (seen, status) = typed(directory, "snapshots", &answers);
    assert_eq!(status, Some(0), "{seen}");
}
