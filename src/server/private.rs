//! A private server: a MariaDB that is started on a data directory for this program alone, asked,
//! and ended.
//!
//! ```text
//! setpriv --pdeathsig KILL --> sh: waits for a word --> mariadbd --no-defaults ...
//!    run below the runtime directory, 0700, of the server's user: socket, pid, error.log, tmp
//! ```
//!
//! Nobody else reaches it: it has no network, and its socket stands in a directory that only its
//! user can enter. Nothing happens in it by itself: no events, no replication, no cluster, no
//! binary log. It reads no option file; what a data directory needs is handed over, as
//! [`needs`](super::needs) has it.
//!
//! Invariants:
//! - It ends with this program, however that ends. The kernel kills it when the thread that started
//!   it ends, so that thread must live as long as the value; and the shell before it starts it only
//!   at a word of this program, which is sent once the kernel knows.
//! - Every wait ends: of the start, of a statement, of the shutdown, after which it is killed.
//! - It is the first of a process group, which is killed as a whole.

use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;

use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::server::session::Session;
use crate::source::child::withhold_secrets;

/// The time between two looks whether it answers or has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How long a start may take unless it is said otherwise: redo is applied in it.
pub const START_TIME: Duration = Duration::from_mins(10);

/// How long it may take to end when it is asked to.
pub const STOP_TIME: Duration = Duration::from_mins(2);

/// How long what was killed may take to end.
const KILL_TIME: Duration = Duration::from_secs(10);

/// The longest path of a socket, in bytes.
const SOCKET_BYTES_MAX: usize = 107;

/// Lines of its log that an error quotes.
const LINES_QUOTED: usize = 5;

/// Bytes at the end of its log that are read.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// A shell that waits for a word of this program before it becomes the server.
const WAITING: &str = "echo; read word && exec \"$@\" </dev/null >&2";

/// Accounts and rights as the server sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grants {
    /// Accounts of the data directory count.
    Checked,
    /// Everybody who reaches the socket may do everything; the schema `mysql` need not be there.
    Skipped,
}

/// Writing to InnoDB tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// The server writes as usual.
    Allowed,
    /// InnoDB is read only: its files stay as they are.
    Refused,
}

/// The user and the group that a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerUser {
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
}

/// A server that is to be started.
#[derive(Debug, Clone)]
pub struct PrivateOptions {
    /// The program, as [`find_program`](super::needs::find_program) returns it.
    pub program: PathBuf,
    /// The data directory that it works on.
    pub data: PathBuf,
    /// The directory in which one for socket, pid and log is made.
    pub runtime: PathBuf,
    /// The user of the server, if it is another one than that of this program.
    pub user: Option<ServerUser>,
    /// Further options, as `--innodb-page-size=8192`.
    pub more: Vec<OsString>,
    /// The treatment of writes to InnoDB tables.
    pub writes: Writes,
    /// The treatment of accounts and rights.
    pub grants: Grants,
    /// The size of the buffer pool, in bytes.
    pub buffer_pool_bytes: u64,
    /// The longest that it may take until it answers.
    pub start_time: Duration,
}

impl PrivateOptions {
    /// Returns the options of a server on `data` that writes as usual and asks for no password.
    pub fn new(program: PathBuf, data: &Path, runtime: &Path) -> Self {
        Self {
            program,
            data: data.to_owned(),
            runtime: runtime.to_owned(),
            user: None,
            more: Vec::new(),
            writes: Writes::Allowed,
            grants: Grants::Skipped,
            buffer_pool_bytes: 128 << 20,
            start_time: START_TIME,
        }
    }

    /// Returns the arguments of the server, whose files stand in `run`.
    fn arguments(&self, run: &Path) -> Vec<OsString> {
        let path = |name: &str, path: &Path| {
            let mut option = OsString::from(format!("--{name}="));
            option.push(path);
            option
        };
        // The first must be first, or option files apply.
        let mut arguments = vec![
            OsString::from("--no-defaults"),
            path("datadir", &self.data),
            path("socket", &socket_in(run)),
            path("pid-file", &run.join("pid")),
            path("log-error", &log_in(run)),
            // A server that starts removes the temporary tables of all others in its directory.
            path("tmpdir", &run.join("tmp")),
        ];
        let quiet = [
            "--skip-networking",
            "--skip-slave-start",
            "--skip-log-bin",
            "--event-scheduler=DISABLED",
            "--wsrep-on=OFF",
            "--wsrep-provider=none",
        ];
        arguments.extend(quiet.map(OsString::from));
        arguments.push(format!("--innodb-buffer-pool-size={}", self.buffer_pool_bytes).into());
        if self.user.is_none() && rustix::process::geteuid().is_root() {
            arguments.push("--user=root".into());
        }
        if self.writes == Writes::Refused {
            arguments.push("--innodb-read-only=1".into());
        }
        if self.grants == Grants::Skipped {
            arguments.push("--skip-grant-tables".into());
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    /// Returns the command that starts the server.
    fn command(&self, run: &Path) -> Command {
        let mut command = Command::new("setpriv");
        // A change of the user takes the wish back that the kernel kills it: so it comes first.
        if let Some(ServerUser { user, group }) = self.user {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
            command.arg("--clear-groups");
        }
        command.args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", WAITING, "sh"]);
        command.arg(&self.program).args(self.arguments(run)).process_group(0);
        withhold_secrets(&mut command);
        command
    }
}

/// A private server that answers. Dropped, it is killed, and its directory is removed.
#[derive(Debug)]
pub struct PrivateServer {
    child: Child,
    group: Pid,
    run: PathBuf,
    ended: Option<ExitStatus>,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Prepare, what)
}

fn socket_in(run: &Path) -> PathBuf {
    run.join("socket")
}

fn log_in(run: &Path) -> PathBuf {
    run.join("error.log")
}

/// Returns the last lines of a server's log that report an error, at most five; of a log without
/// such a line the last lines.
pub fn last_errors(log: &Path) -> Vec<String> {
    let text = tail(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| reports_error(line)).collect();
    let shown = if errors.is_empty() { lines } else { errors };
    let first = shown.len().saturating_sub(LINES_QUOTED);
    shown[first..].iter().map(|line| (*line).to_owned()).collect()
}

/// Tells whether a line of a server's log reports an error.
pub fn reports_error(line: &str) -> bool {
    line.contains("[ERROR]") || line.contains("[FATAL]") || line.starts_with("setpriv:")
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let from = bytes.saturating_sub(LOG_BYTES_MAX);
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

impl PrivateServer {
    /// Starts a server, and waits until it answers. An error names its log and quotes it; the log
    /// is kept then.
    pub fn start(options: &PrivateOptions, world: &World) -> Result<Self> {
        let run = make_directory(options, world)?;
        let started = spawn(options, &run);
        let mut server = started.inspect_err(|_| remove(&run))?;
        let error = match server.wait_until_it_answers(options, world) {
            Ok(()) => return Ok(server),
            Err(error) => error,
        };
        server.kill();
        // Its log is named by the error.
        server.run = PathBuf::new();
        Err(error)
    }

    /// Returns the path of its log.
    pub fn log(&self) -> PathBuf {
        log_in(&self.run)
    }

    /// Returns where it is reached.
    pub fn address(&self) -> Address {
        Address::Socket(socket_in(&self.run))
    }

    /// Returns the process id of the server.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Connects to it. Where grants are skipped, any name will do.
    pub fn connect(&self, login: &Login) -> Result<Session> {
        Session::connect(&self.address(), login)
    }

    /// Connects to it as soon as it lets in: its socket takes connections while the statements of
    /// an `--init-file` still run.
    pub fn connect_within(
        &mut self,
        login: &Login,
        time: Duration,
        world: &World,
    ) -> Result<Session> {
        let began = world.clock.elapsed();
        loop {
            let error = match self.connect(login) {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            if let Some(status) = self.try_wait()? {
                return Err(self.ended_badly("ended before it let anyone in", Some(status)));
            }
            if world.clock.elapsed().saturating_sub(began) >= time {
                return Err(error);
            }
            world.monitor.pause(LOOK)?;
        }
    }

    /// Asks it to end, waits, and kills it if it does not. Returns an error if it did not end well;
    /// `keep_log` is given its whole log in any case.
    pub fn stop(mut self, keep_log: &mut dyn Write, world: &World) -> Result<()> {
        self.signal(Signal::TERM);
        let ended = self.wait_for_end(STOP_TIME, world);
        self.kill();
        let log = self.log();
        let copied = File::open(&log).and_then(|mut file| io::copy(&mut file, keep_log));
        copied.map_err(|e| failed(format!("cannot keep the log {}", log.display())).because(e))?;
        match ended? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.ended_badly("ended", Some(status))),
            None => Err(failed(format!("the private server did not end in {STOP_TIME:?}"))),
        }
    }

    fn wait_until_it_answers(&mut self, options: &PrivateOptions, world: &World) -> Result<()> {
        let began = world.clock.elapsed();
        let socket = socket_in(&self.run);
        loop {
            if let Some(status) = self.try_wait()? {
                return Err(self.ended_badly("ended before it answered", Some(status)));
            }
            if socket.exists() && std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok(());
            }
            if world.clock.elapsed().saturating_sub(began) >= options.start_time {
                let what = format!("did not answer in {:?}", options.start_time);
                return Err(self.ended_badly(&what, None));
            }
            world.monitor.pause(LOOK)?;
        }
    }

    fn ended_badly(&self, what: &str, status: Option<ExitStatus>) -> Error {
        let log = self.log();
        let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
        let message = format!("the private server {what}{status}; its log is {}", log.display());
        let lines = last_errors(&log);
        let error = failed(message);
        if lines.is_empty() { error } else { error.because(lines.join("; ")) }
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let ended = self.child.try_wait();
            self.ended =
                ended.map_err(|e| failed("cannot wait for the private server").because(e))?;
        }
        Ok(self.ended)
    }

    /// Waits for its end, though not for longer than `time`. A wish to stop does not end the wait:
    /// it is on its way down.
    fn wait_for_end(&mut self, time: Duration, world: &World) -> Result<Option<ExitStatus>> {
        let began = world.clock.elapsed();
        while self.try_wait()?.is_none() {
            if world.clock.elapsed().saturating_sub(began) >= time {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
        Ok(self.ended)
    }

    fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // It may have ended by itself in the meantime.
            let _gone = rustix::process::kill_process_group(self.group, signal);
        }
    }

    /// Kills it with all that it started, and waits for it.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        let mut waited = Duration::ZERO;
        while waited < KILL_TIME && matches!(self.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
        if !self.run.as_os_str().is_empty() {
            remove(&self.run);
        }
    }
}

/// Makes the directory for socket, pid, log and temporary files.
fn make_directory(options: &PrivateOptions, world: &World) -> Result<PathBuf> {
    let number = u64::from_le_bytes(random(&*world.entropy));
    let run = options.runtime.join(format!("haulout-server-{number:016x}"));
    let unmade = |error: io::Error| {
        failed(format!("cannot make the directory {}", run.display())).because(error)
    };
    if socket_in(&run).as_os_str().as_bytes().len() > SOCKET_BYTES_MAX {
        let message = format!("{} is too long for a socket", options.runtime.display());
        return Err(failed(message));
    }
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let new = |path: &Path| {
        builder.create(path)?;
        give(path, options.user)
    };
    let made = new(&run).and_then(|()| new(&run.join("tmp")));
    made.map_err(unmade).inspect_err(|_| remove(&run))?;
    Ok(run)
}

fn give(path: &Path, user: Option<ServerUser>) -> io::Result<()> {
    let Some(ServerUser { user, group }) = user else { return Ok(()) };
    chown(path, Some(user), Some(group))
}

fn remove(run: &Path) {
    // What is left is a socket's directory without a server.
    let _left = fs::remove_dir_all(run);
}

/// Starts the shell that waits, and gives it the word once the kernel knows with whom it ends.
fn spawn(options: &PrivateOptions, run: &Path) -> Result<PrivateServer> {
    let path = log_in(run);
    let log = File::create_new(&path).and_then(|file| give(&path, options.user).map(|()| file));
    let log = log.map_err(|e| failed(format!("cannot write {}", path.display())).because(e))?;
    let mut command = options.command(run);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).current_dir("/");
    let unstarted = |error: io::Error| {
        failed(format!("cannot start {}", options.program.display())).because(error)
    };
    let mut child = command.spawn().map_err(|error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let what = "the program setpriv of util-linux (2.33 or later) is needed and not there";
        if is_missing { failed(what) } else { unstarted(error) }
    })?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = id.ok_or_else(|| unstarted(io::Error::other("it has no process id")))?;
    let (ready, word) = (child.stdout.take(), child.stdin.take());
    // From here on it is ended with the value.
    let server = PrivateServer { child, group, run: run.to_owned(), ended: None };
    let mut ready = ready.expect("its standard output is piped");
    let mut word = word.expect("its standard input is piped");
    // Whether the word arrives is seen by the wait for an answer: without it the shell ends.
    let _begun = ready.read(&mut [0]).and_then(|_| word.write_all(b"start\n"));
    Ok(server)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A stand-in for the server: it makes its socket with a program that every host has.
    fn stand_in(directory: &Path, script: &str) -> PrivateOptions {
        let program = directory.join("server");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.join("data");
        PrivateOptions {
            start_time: Duration::from_secs(2),
            ..PrivateOptions::new(program, &data, directory)
        }
    }

    fn start_fails(script: &str) -> (String, usize) {
        let directory = tempfile::tempdir().unwrap();
        let world = World::of_this_machine();
        let options = stand_in(directory.path(), script);
        let error = PrivateServer::start(&options, &world).unwrap_err();
        let is_run = |name: &OsStr| name.to_string_lossy().starts_with("haulout-server-");
        let left = crate::base::entries::entries(directory.path()).unwrap();
        let left = left.filter(|entry| is_run(&entry.as_ref().unwrap().name)).count();
        (error.with_causes(), left)
    }

    #[test]
    fn a_server_that_ends_is_quoted_and_its_log_is_kept() {
        let script = "echo 'note' >&2; echo '[ERROR] InnoDB: no page' >&2; exit 7";
        let (words, left) = start_fails(script);
        assert!(words.contains("ended before it answered (exit status: 7)"), "{words}");
        assert!(words.contains("error.log: [ERROR] InnoDB: no page"), "{words}");
        assert_eq!(left, 1);
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let (words, _) = start_fails("exec sleep 1000");
        assert!(words.contains("did not answer in 2s"), "{words}");
    }

    #[test]
    fn a_wish_to_stop_ends_the_wait() {
        let directory = tempfile::tempdir().unwrap();
        let world = World::of_this_machine();
        let mut options = stand_in(directory.path(), "exec sleep 1000");
        options.start_time = Duration::from_hours(1);
        world.monitor.stop();
        let error = PrivateServer::start(&options, &world).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn option_files_do_not_apply_and_nothing_happens_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = stand_in(directory.path(), "");
        options.more = vec!["--innodb-page-size=8192".into()];
        options.writes = Writes::Refused;
        let arguments = options.arguments(Path::new("/run/x"));
        assert_eq!(arguments[0], "--no-defaults");
        for option in [
            "--skip-networking",
            "--skip-slave-start",
            "--skip-log-bin",
            "--event-scheduler=DISABLED",
            "--wsrep-on=OFF",
            "--wsrep-provider=none",
            "--skip-grant-tables",
            "--innodb-read-only=1",
            "--innodb-page-size=8192",
            "--socket=/run/x/socket",
        ] {
            assert!(arguments.contains(&option.into()), "{option} is missing");
        }
    }

    #[test]
    fn the_last_errors_of_a_log_are_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("error.log");
        let lines = |count: usize| (0..count).map(|n| format!("[ERROR] {n}\n[Note]\n"));
        fs::write(&log, lines(9).collect::<String>()).unwrap();
        let errors = last_errors(&log);
        assert_eq!((errors.len(), errors[4].as_str()), (5, "[ERROR] 8"));
        assert_eq!(last_errors(&directory.path().join("none")), Vec::<String>::new());
    }

    /// The directory of the stand-in, for the process that is killed.
    const DIRECTORY: &str = "HAULOUT_TEST_PRIVATE";

    #[test]
    #[ignore = "runs in a process of its own, which the test below kills"]
    fn starts_a_server_and_waits_for_ever() {
        let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
        let mut options = stand_in(&directory, "echo $$ >\"${0%/*}/id\"; exec sleep 1000");
        options.start_time = Duration::from_hours(1);
        let _never = PrivateServer::start(&options, &World::of_this_machine());
    }

    #[test]
    fn a_server_ends_with_a_program_that_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let test = "server::private::tests::starts_a_server_and_waits_for_ever";
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let find = || fs::read_to_string(directory.path().join("id")).ok()?.trim().parse().ok();
        let soon = || std::thread::sleep(LOOK);
        let id: i32 = (0..400)
            .find_map(|_| {
                find().or_else(|| {
                    soon();
                    None
                })
            })
            .unwrap();
        let id = Pid::from_raw(id).unwrap();
        assert!(rustix::process::test_kill_process(id).is_ok());
        program.kill().unwrap();
        program.wait().unwrap();
        // Whoever takes over its parents' children may reap it late.
        let state = || fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
        let is_gone = |text: String| text.contains(") Z ");
        assert!(
            (0..400).any(|_| {
                soon();
                state().map_or(true, is_gone)
            }),
            "it still runs"
        );
    }

    #[test]
    #[ignore = "needs a MariaDB server: tests/mariadb/private runs it"]
    fn a_real_server_answers_and_ends() {
        let of_test = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
        let (data, runtime) = (of_test("HAULOUT_TEST_DATA"), of_test("HAULOUT_TEST_RUNTIME"));
        let path = std::env::var_os("PATH").unwrap();
        let world = World::of_this_machine();
        let mut options = PrivateOptions::new(
            crate::server::needs::find_program(None, &path).unwrap(),
            &data,
            &runtime,
        );
        if let Ok(numbers) = std::env::var("HAULOUT_TEST_USER") {
            let (user, group) = numbers.split_once(':').unwrap();
            let user = ServerUser { user: user.parse().unwrap(), group: group.parse().unwrap() };
            options.user = Some(user);
        }
        let ask = |options: &PrivateOptions, statement: &str| {
            let server = PrivateServer::start(options, &world).unwrap();
            let mut session = server.connect(&Login::of_user("root")).unwrap();
            let answer = session.try_rows(statement, Duration::from_secs(10)).unwrap();
            drop(session);
            let mut log = Vec::new();
            server.stop(&mut log, &world).unwrap();
            assert!(!reports_error(&String::from_utf8_lossy(&log)));
            answer
        };
        let seen = "SELECT @@skip_networking, @@log_bin, @@event_scheduler, @@innodb_read_only";
        let row = |texts: [&str; 4]| vec![texts.map(|text| Some(text.to_owned())).to_vec()];
        assert_eq!(ask(&options, seen).unwrap(), row(["1", "0", "DISABLED", "0"]));
        options.writes = Writes::Refused;
        assert_eq!(ask(&options, seen).unwrap(), row(["1", "0", "DISABLED", "1"]));
        assert!(
            ask(&options, "CREATE DATABASE it_must_not").is_err() || {
                // A schema is a directory; its tables are what InnoDB refuses.
                ask(&options, "CREATE TABLE it_must_not.t (id INT) ENGINE=InnoDB").is_err()
            }
        );
        options.more = vec!["--innodb-page-size=8192".into()];
        let error = PrivateServer::start(&options, &world).unwrap_err().with_causes();
        assert!(error.contains("[ERROR]") && error.contains("ibdata1"), "{error}");
    }
}
