//! A producer that this program runs: its standard output is the stream, its standard error is
//! passed on and its last lines are kept, its exit status is waited for.
//!
//! The producer runs in a process group of its own, so that everything it started is ended with it.
//! One that still runs long after its stream has ended will not end by itself, or not tonight: it
//! is ended, and its end is not called a success. The same time is given to whatever else keeps its
//! standard output open once it has ended itself.
//!
//! Its messages also say when it makes its server stand still: then its standard output is emptied
//! at once ([`outlet`](super::outlet)), if the source was [started with rules](ChildSource::follow)
//! for that.
//!
//! Passwords and credentials of stores that this program was given in its environment are not
//! handed on.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::crew;
use crate::base::crew::lock;
use crate::base::producer::StagesSeen;
use crate::source::Ending;
use crate::source::ProducerExit;
use crate::source::Source;
pub use crate::source::killer::Killer;
use crate::source::killer::TERM_WAIT;
use crate::source::messages::CHANGED_MAX;
use crate::source::messages::ERRORS_MAX;
use crate::source::messages::changed_file;
use crate::source::messages::reports_error;
use crate::source::outlet::Outlet;
use crate::source::outlet::Say;
use crate::source::outlet::StageRules;
use crate::source::transcript::Transcript;

/// A producer is given this long to end once its stream has.
pub const GRACE: Duration = Duration::from_mins(1);

/// Steps in which it is looked whether something has ended: short ones first.
const STEPS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];
/// After this long without a byte it is said what is waited for.
const HELD_AFTER: Duration = Duration::from_secs(1);
/// Lines of standard error that are kept.
const LINES_KEPT: usize = 20;
/// Bytes of one line that are kept.
const LINE_BYTES_MAX: u64 = 4096;
/// The beginnings of names of variables that no program we start may inherit: they are secrets, or
/// show how to get one. Those of stores are recognized by what they have in common, since each
/// store knows dozens of spellings.
const SECRET_VARIABLES: [&str; 6] =
    ["HAULOUT_PASSWORD", "HAULOUT_NEW_PASSWORD", "HAULOUT_OTHER_", "AWS_", "AZURE_", "GOOGLE_"];

/// Keeps passwords and the credentials of stores from a program that is to be started. All of our
/// environment is looked at, by name; what is left is handed on as it is.
pub fn withhold_secrets(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let spelled = name.to_string_lossy().to_ascii_uppercase();
        if SECRET_VARIABLES.iter().any(|begins| spelled.starts_with(begins)) {
            command.env_remove(name);
        }
    }
}

/// A producer that has been started, and its stream.
pub struct ChildSource {
    child: Child,
    /// Closed before the producer is waited for: it may be stuck in writing to it.
    stdout: Outlet,
    stderr: Option<JoinHandle<()>>,
    /// The part of its standard error that is kept.
    said: Arc<Mutex<Said>>,
    /// Says something among its messages.
    say: Say,
    grace: Duration,
    /// The time for which nothing has come since it was found to have ended, its standard output
    /// still open.
    idle: Option<Duration>,
    left_open: bool,
    killer: Killer,
}

type Log = Arc<Mutex<Box<dyn Write + Send>>>;

impl fmt::Debug for ChildSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ChildSource").field("child", &self.child).finish_non_exhaustive()
    }
}

/// The part of a producer's standard error that is kept.
#[derive(Debug, Default)]
struct Said {
    /// The last lines, the oldest first; at most `LINES_KEPT`.
    last: VecDeque<String>,
    /// The first lines that report an error.
    errors: Vec<String>,
    /// The first files that are said to have changed while they were read.
    changed: Vec<String>,
    /// The first and the last lines, for the snapshot.
    transcript: Transcript,
}

impl Said {
    fn of(command: &[OsString]) -> Arc<Mutex<Self>> {
        let transcript = Transcript::new(command, std::env::var_os("MYSQL_PWD"));
        Arc::new(Mutex::new(Self { transcript, ..Self::default() }))
    }

    fn keep(&mut self, line: &str) {
        if self.errors.len() < ERRORS_MAX && reports_error(line) {
            self.errors.push(line.to_owned());
        }
        if let Some(file) = changed_file(line).filter(|_| self.changed.len() < CHANGED_MAX) {
            self.changed.push(file.to_owned());
        }
        self.last.push_back(line.to_owned());
        if self.last.len() > LINES_KEPT {
            self.last.pop_front();
        }
    }
}

impl ChildSource {
    /// Starts `command`. Its standard error is copied to `log`; once its stream has ended, it may
    /// run for `grace`.
    pub fn start(
        command: &[OsString],
        log: Box<dyn Write + Send>,
        grace: Duration,
    ) -> io::Result<(Self, Killer)> {
        Self::start_with(command, log, grace, None)
    }

    /// Does the same with a producer whose stages are followed by `rules`.
    pub fn follow(
        command: &[OsString],
        log: Box<dyn Write + Send>,
        grace: Duration,
        rules: StageRules,
    ) -> io::Result<(Self, Killer)> {
        Self::start_with(command, log, grace, Some(rules))
    }

    fn start_with(
        command: &[OsString],
        log: Box<dyn Write + Send>,
        grace: Duration,
        rules: Option<StageRules>,
    ) -> io::Result<(Self, Killer)> {
        let mut child = spawn(command)?;
        let killer = Killer::of(&child)?;
        let stdout = child.stdout.take().expect("its standard output is piped");
        let stdout = File::from(OwnedFd::from(stdout));
        super::enlarge(&stdout);
        let stderr = child.stderr.take().expect("its standard error is piped");
        let (log, said): (Log, _) = (Arc::new(Mutex::new(log)), Said::of(command));
        let say = say_among(&log, &said);
        let outlet = Outlet::new(stdout, rules, killer.clone(), Arc::clone(&say));
        // It is whole before anything else can fail: dropped, it ends what was started.
        let mut source = Self {
            child,
            stdout: outlet.clone(),
            stderr: None,
            said: Arc::clone(&said),
            say,
            grace,
            idle: None,
            left_open: false,
            killer: killer.clone(),
        };
        let passing = crew::start("messages", move || pass_on(stderr, &outlet, &log, &said));
        source.stderr = Some(passing.map_err(io::Error::other)?);
        Ok((source, killer))
    }

    /// Waits for the producer to end, but not for longer than `time`, nor once `hurried`.
    fn wait_for(
        &mut self,
        time: Duration,
        hurried: impl Fn() -> bool,
    ) -> io::Result<Option<ExitStatus>> {
        let mut status = None;
        wait_until(time, || {
            status = self.child.try_wait().transpose();
            status.is_some() || hurried()
        });
        status.transpose()
    }

    /// Decides what to do when nothing came for a while: as long as the producer runs, more may
    /// come.
    fn nothing_came(&mut self, nothing: io::Error) -> io::Result<usize> {
        if self.child.try_wait()?.is_none() {
            return Err(nothing);
        }
        // With unlimited grace, what the producer leaves running gets only the usual time.
        let grace = if self.grace == Duration::MAX { GRACE } else { self.grace };
        let before = self.idle.unwrap_or_default();
        let idle = before.saturating_add(super::LOOK_UP);
        self.idle = Some(idle);
        if before < HELD_AFTER && idle >= HELD_AFTER && idle < grace {
            (self.say)(&format!(
                "the producer has ended, but another process holds its standard output open; \
                 waiting up to {grace:?} for it (--grace)"
            ));
        }
        if idle < grace {
            return Err(nothing);
        }
        (self.say)(&format!(
            "the producer has ended, and another process still held its standard output open \
             {grace:?} later; the stream ends here"
        ));
        self.left_open = true;
        self.stdout.close();
        Ok(0)
    }

    /// Ends the producer if it does not end by itself.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.killer.terminate();
        // mariabackup blocks SIGTERM, and notices only at its next write that nobody reads.
        let status = self.wait_for(TERM_WAIT, || false)?;
        self.killer.kill();
        match status {
            Some(status) => Ok(status),
            None => self.child.wait(),
        }
    }

    /// Returns what the producer said last, and its errors. A process that it has started may keep
    /// its standard error open.
    fn messages(&mut self) -> Said {
        let Some(thread) = self.stderr.take() else { return Said::default() };
        if !wait_until(self.grace.min(TERM_WAIT), || thread.is_finished()) {
            self.killer.kill();
            wait_until(TERM_WAIT, || thread.is_finished());
        }
        std::mem::take(&mut *lock(&self.said))
    }
}

/// Looks repeatedly whether `is_so`, for as long as `time`; returns whether it came true.
fn wait_until(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let [mut step, step_max] = STEPS;
    let mut waited = Duration::ZERO;
    while !is_so() {
        if waited >= time {
            return false;
        }
        std::thread::sleep(step);
        waited += step;
        step = (step * 2).min(step_max);
    }
    true
}

/// Starts a program whose output is read here, as the first of a process group.
fn spawn(command: &[OsString]) -> io::Result<Child> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    withhold_secrets(&mut prepared);
    prepared.spawn()
}

/// Returns what says something among the messages of a producer.
fn say_among(log: &Log, said: &Arc<Mutex<Said>>) -> Say {
    let (log, said) = (Arc::clone(log), Arc::clone(said));
    Arc::new(move |words| {
        let line = format!("haulout: {words}\n");
        lock(&said).transcript.push(line.as_bytes());
        // A log that can't be written must not stop the backup.
        let _written = lock(&log).write_all(line.as_bytes());
    })
}

/// Copies lines to `log` and keeps the last ones.
fn pass_on(stderr: ChildStderr, outlet: &Outlet, log: &Log, kept: &Mutex<Said>) {
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        // Before it is written to the log, which may take its time.
        outlet.hear(text);
        // A log that can't be written must not stop the backup.
        let _written = lock(log).write_all(&printable(&line));
        let mut kept = lock(kept);
        kept.transcript.push(&line);
        if !text.is_empty() {
            kept.keep(text);
        }
    }
}

impl Source for ChildSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stdout.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.nothing_came(error),
            read => read,
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<Ending> {
        // Whatever it still wants to write is not read any more.
        self.stdout.close();
        let killer = self.killer.clone();
        let ended = self.wait_for(self.grace, || killer.was_asked())?;
        let (status, is_late) = match ended {
            Some(status) => (status, false),
            None => (self.end()?, true),
        };
        if self.left_open {
            self.killer.kill();
        }
        let Said { last, errors, changed, transcript } = self.messages();
        self.killer.reaped();
        let stages = self.stdout.stages_seen();
        let was_stalled = stages.as_ref().is_some_and(StagesSeen::was_ended);
        // What was ended in a stage did not keep running.
        let exit = if is_late && !was_stalled { ProducerExit::Hung } else { exit_of(status) };
        let last_words = Some(Vec::from(last).join("\n"));
        let (left_open, transcript) = (self.left_open, transcript.text());
        Ok(Ending { exit, last_words, errors, changed, left_open, transcript, stages })
    }
}

/// Returns a line as it can be shown: control characters would change a terminal, or hide what was
/// said.
fn printable(line: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            // The end of a line that comes from Windows, or a progress bar.
            b'\r' => {}
            0..0x20 | 0x7f if !matches!(byte, b'\n' | b'\t') => shown.extend(byte.escape_ascii()),
            _ => shown.push(*byte),
        }
    }
    shown
}

fn exit_of(status: ExitStatus) -> ProducerExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProducerExit::Exited(code),
        (None, Some(signal)) => ProducerExit::Killed(signal),
        (None, None) => ProducerExit::Exited(-1),
    }
}

impl Drop for ChildSource {
    fn drop(&mut self) {
        self.stdout.close();
        if self.killer.was_reaped() {
            return;
        }
        // Nothing is left to be reported: the run has failed already.
        let _status = self.end();
        self.killer.reaped();
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;

    fn run(script: &str) -> (Vec<u8>, Ending) {
        run_with(script, GRACE)
    }

    fn run_with(script: &str, grace: Duration) -> (Vec<u8>, Ending) {
        let command = ["sh", "-c", script].map(OsString::from);
        let (source, _) = ChildSource::start(&command, Box::new(io::sink()), grace).unwrap();
        let mut source: Box<dyn Source> = Box::new(source);
        let mut out = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        (out, source.finish().unwrap())
    }

    /// Tells whether a process group is gone. A killed process whose parent has ended stays until
    /// the init process reaps it, which may take its time.
    fn is_gone(group: Pid) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            rustix::process::test_kill_process_group(group).is_err()
        })
    }

    #[test]
    fn the_exit_status_and_the_last_words_are_kept() {
        let (out, ending) = run("echo page; echo first >&2; echo 'completed OK!' >&2; exit 3");
        assert_eq!(out, b"page\n");
        assert_eq!(ending.exit, ProducerExit::Exited(3));
        assert_eq!(ending.last_words.unwrap(), "first\ncompleted OK!");
    }

    #[test]
    fn a_producer_that_hangs_lets_its_reader_look_up() {
        let command = ["sh", "-c", "sleep 1000"].map(OsString::from);
        let (mut source, _) = ChildSource::start(&command, Box::new(io::sink()), GRACE).unwrap();
        let error = source.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_producer_that_does_not_end_after_its_stream_is_ended() {
        let brief = Duration::from_millis(200);
        let (out, ending) = run_with("echo page; exec >&-; echo last >&2; sleep 1000", brief);
        assert_eq!(out, b"page\n");
        assert_eq!(ending.exit, ProducerExit::Hung);
        assert_eq!(ending.last_words.unwrap(), "last");
    }

    #[test]
    fn what_a_producer_leaves_behind_does_not_keep_its_end_from_being_seen() {
        let brief = Duration::from_millis(200);
        let (_, ending) = run_with("sleep 1000 >&- & echo 'completed OK!' >&2", brief);
        assert_eq!(ending.exit, ProducerExit::Exited(0));
        assert_eq!(ending.last_words.unwrap(), "completed OK!");
    }

    #[test]
    fn what_holds_the_output_open_is_waited_for_until_the_grace_time_has_passed() {
        let brief = Duration::from_millis(400);
        let (out, ending) = run_with("echo page; sleep 1000 2>&- & exit 1", brief);
        assert_eq!(out, b"page\n");
        assert_eq!(ending.exit, ProducerExit::Exited(1));
        assert!(ending.left_open);
        let (out, ending) = run_with("echo page; (sleep 1; echo more) & exit 0", GRACE);
        assert_eq!(out, b"page\nmore\n");
        assert!(!ending.left_open);
    }

    #[test]
    fn who_is_asked_to_end_is_not_given_the_grace_time() {
        let command = ["sh", "-c", "trap '' TERM; exec >&-; while :; do sleep 1; done"];
        let command = command.map(OsString::from);
        let hour = Duration::from_hours(1);
        let (source, killer) = ChildSource::start(&command, Box::new(io::sink()), hour).unwrap();
        killer.terminate();
        assert_eq!(Box::new(source).finish().unwrap().exit, ProducerExit::Hung);
    }

    #[test]
    fn control_characters_of_a_producer_do_not_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[2J\tb\xc3\xa9\x7f\r\n"), b"a\\x1b[2J\tb\xc3\xa9\\x7f\n");
    }

    #[test]
    fn a_killed_producer_is_distinguished_from_one_that_exits() {
        assert_eq!(run("kill -9 $$").1.exit, ProducerExit::Killed(9));
    }

    #[test]
    fn a_producer_that_ignores_the_wish_and_is_stuck_in_writing_is_ended_all_the_same() {
        let script = "trap '' TERM; while :; do head -c 100000 /dev/zero; done 2>/dev/null";
        let command = ["sh", "-c", script].map(OsString::from);
        let (source, killer) = ChildSource::start(&command, Box::new(io::sink()), GRACE).unwrap();
        drop(source);
        assert!(is_gone(killer.group()), "the producer still runs");
    }

    #[test]
    fn a_dropped_source_ends_its_producer() {
        let command = ["sh", "-c", "sleep 1000"].map(OsString::from);
        let (source, killer) = ChildSource::start(&command, Box::new(io::sink()), GRACE).unwrap();
        drop(source);
        assert!(is_gone(killer.group()), "the producer still runs");
    }
}
