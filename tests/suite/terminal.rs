//! A person at a real terminal: passwords are asked for and not shown, `init` offers a recovery kit
//! and tests it at once, and progress is drawn without garbling messages.
//!
//! The terminal is a pseudo-terminal of script(1), which every Debian has.

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
    let line = format!("echo $$ > pid; exec {program} -r ./repo {line}");
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

/// Whether the config has the feature of compacted packs.
fn is_compacted(directory: &Path) -> bool {
    fs::read(directory.join("repo/config")).unwrap()[12] & 2 != 0
}

#[test]
fn the_first_compaction_asks_and_sets_no_feature_unless_the_answer_is_yes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert_eq!(typed(directory, "init --no-encryption --quiet", &[]).1, Some(0));
    // Fewer than 64 small packs of data are not worth it.
    let program = env!("CARGO_BIN_EXE_haulout");
    for night in 0..70 {
        let mut backup = Command::new(program);
        backup.args(["-r", "./repo", "backup", "-q", "--source", "t", "--", "echo"]);
        let done = backup.arg(night.to_string()).current_dir(directory).status().unwrap();
        assert!(done.success());
    }
    let packs = || -> usize {
        let folders = fs::read_dir(directory.join("repo/packs")).unwrap();
        folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    let before = packs();
    let (line, question) = ("prune --max-rewrite 100%", "before 0.2 will refuse");
    for answer in ["", "no"] {
        let (seen, status) = typed(directory, line, &[(question, answer)]);
        assert_eq!((status, packs(), is_compacted(directory)), (Some(0), before, false), "{seen}");
        assert!(seen.contains("the answer was no"), "{seen}");
    }
    let (seen, status) = typed(directory, line, &[("compact? [y/N] ", "y")]);
    assert_eq!((status, is_compacted(directory)), (Some(0), true), "{seen}");
    assert!(packs() + 60 < before, "{seen}");
    // From then on nothing is asked.
    let (seen, status) = typed(directory, line, &[]);
    assert!(status == Some(0) && !seen.contains("[y/N]"), "{seen}");
}

/// A repository of version 0.1.0 without a password in `repo`.
fn earlier_repository(directory: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/repos/v1-texts-clear");
    let copied = Command::new("cp").arg("-r").arg(archive).arg(directory.join("repo")).status();
    assert!(copied.unwrap().success());
}

#[test]
fn an_upgrade_asks_and_changes_nothing_unless_the_answer_is_yes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    earlier_repository(directory);
    let config = fs::read(directory.join("repo/config")).unwrap();
    let question = "haulout before 0.2 will refuse";
    for answer in ["", "n", "no", "yup"] {
        let (seen, status) = typed(directory, "upgrade", &[(question, answer)]);
        assert_eq!(status, Some(1), "{seen}");
        assert!(seen.contains("nothing was changed"), "{seen}");
        assert!(fs::read(directory.join("repo/config")).unwrap() == config);
    }
    let (seen, status) = typed(directory, "upgrade", &[("set 3 features? [y/N] ", "y")]);
    assert_eq!(status, Some(0), "{seen}");
    assert!(fs::read(directory.join("repo/config")).unwrap() != config);
    // There is nothing more to ask.
    let (seen, status) = typed(directory, "upgrade", &[]);
    assert_eq!(status, Some(0), "{seen}");
}

#[test]
fn forget_shows_its_plan_asks_and_removes_nothing_unless_the_answer_is_yes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert_eq!(typed(directory, "init --no-encryption --quiet", &[]).1, Some(0));
    for _ in 0..3 {
        assert_eq!(typed(directory, "backup -q --source t -- echo x", &[]).1, Some(0));
    }
    let count = || fs::read_dir(directory.join("repo/removed")).map_or(0, Iterator::count);
    for answer in ["", "no"] {
        let (seen, status) =
            typed(directory, "forget --keep-last 2", &[("remove 1 snapshot? [y/N] ", answer)]);
        assert_eq!((status, count()), (Some(1), 0), "{seen}");
        assert!(seen.contains("last 2 of 2") && seen.contains("took its place"), "{seen}");
        assert!(seen.contains("prune would delete"), "{seen}");
    }
    let (seen, status) =
        typed(directory, "forget --keep-last 2 --prune", &[("remove 1 snapshot? [y/N] ", "y")]);
    assert_eq!((status, count()), (Some(0), 1), "{seen}");
    assert!(seen.contains("removed 1 of 3 snapshots of t"), "{seen}");
    // Nothing to remove is nothing to ask.
    let (seen, status) = typed(directory, "forget --keep-last 2", &[]);
    assert_eq!((status, count()), (Some(0), 1), "{seen}");
}

/// What a terminal shows after these bytes: its lines, without blanks at their ends.
fn screen(bytes: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0, 0);
    let mut rest = bytes.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "{bytes:?}");
                let mut number = String::new();
                while let Some(digit) = rest.next_if(|c: &char| c.is_ascii_digit() || *c == ';') {
                    number.push(digit);
                }
                match (rest.next(), number.as_str()) {
                    // The line, or what is to its right.
                    (Some('K'), "2") => lines[row].clear(),
                    (Some('K'), _) => lines[row].truncate(column),
                    (Some('A'), _) => row -= number.parse::<usize>().unwrap_or(1),
                    (Some('m'), _) => {}
                    other => panic!("{other:?} in {bytes:?}"),
                }
            }
            shown => {
                // Written after the last column, it stands on the next line.
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                }
                lines.resize_with(lines.len().max(row + 1), Vec::new);
                let length = lines[row].len().max(column + 1);
                lines[row].resize(length, ' ');
                lines[row][column] = shown;
                column += 1;
            }
        }
        lines.resize_with(lines.len().max(row + 1), Vec::new);
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().into()).collect()
}

/// Columns of a terminal of script(1), whose size nothing sets.
const COLUMNS: usize = 80;

/// Backs up a stream that takes a second and has messages, one of them in two parts. Returns what
/// was written to the terminal.
fn backed_up(directory: &Path, variable: &str) -> String {
    let producer = "for n in 1 2 3 4; do echo message $n >&2; head -c 2000000 /dev/urandom; \
                    printf part >&2; sleep 0.3; echo ed >&2; sleep 0.3; done";
    fs::write(directory.join("producer"), producer).unwrap();
    let (seen, status) = typed(directory, "init --no-encryption --quiet", &[]);
    assert_eq!(status, Some(0), "{seen}");
    let line = "backup --source t -- sh producer";
    let mut script = on_a_terminal(directory, line);
    let (name, value) = variable.split_once('=').unwrap();
    let out = script.env(name, value).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn progress_is_drawn_below_messages_and_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let seen = backed_up(directory.path(), "TERM=xterm");
    assert!(seen.contains("% same") && seen.contains("\u{1b}["), "{seen:?}");
    let lines = screen(&seen);
    for number in 1..=4 {
        let message = format!("message {number}");
        assert_eq!(lines.iter().filter(|line| **line == message).count(), 1, "{lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| *line == "parted").count(), 4, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("% same  ")), "{lines:?}");
}

#[test]
fn a_terminal_that_redraws_nothing_gets_lines_only() {
    let directory = tempfile::tempdir().unwrap();
    let seen = backed_up(directory.path(), "TERM=dumb");
    assert!(seen.contains("snapshot ") && seen.contains(" of t"), "{seen:?}");
    assert!(!seen.contains('\u{1b}') && !seen.contains("% same  "), "{seen:?}");
}
