//! Feeds binary logs into a server, by the server's own tool and client.
//!
//! The tool ends with an error behind a damaged event only after it has printed what stands before
//! it, and the client would have applied that. So the tool runs twice: first without a reader.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::crew;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::replay::plan::End;
use crate::ops::replay::plan::ReplayPlan;
use crate::source::child::Killer;
use crate::source::child::withhold_secrets;

/// The interval between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes of a program's messages that are kept.
const SAID_BYTES_MAX: u64 = 64 << 10;

/// The programs that decode and apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `mariadb-binlog`, or what stands in for it.
    pub binlog: PathBuf,
    /// `mariadb`, the client that applies.
    pub client: PathBuf,
}

/// A replay that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// How many transactions were applied.
    pub transactions: u64,
    /// The state of the server's history after them, as text.
    pub gtid_state: String,
    /// When the last of them was written, seconds since 1970.
    pub last_time: Option<u64>,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Prepare, what)
}

/// Applies what was planned to the server and by the account of an option file. A cut copy of the
/// last file is made in `scratch` and removed.
pub fn replay(
    plan: &ReplayPlan,
    tools: &Tools,
    login_file: &Path,
    scratch: &Path,
    world: &World,
) -> Result<Replayed> {
    if plan.transactions > 0 {
        let files = Files::of(plan, scratch)?;
        let decode = |stdout: Stdio| files.decode(plan, tools, stdout);
        let mut looking = Running::start(&mut decode(Stdio::null()), &tools.binlog)?;
        looking.wait(world)?;
        let mut decoding = Running::start(&mut decode(Stdio::piped()), &tools.binlog)?;
        let pipe = decoding.child.stdout.take().expect("its standard output is piped");
        let mut applying = Running::start(&mut apply(tools, login_file, pipe), &tools.client)?;
        // The client says why it has ended; the tool only that its pipe is closed.
        let applied = applying.wait(world);
        if applied.is_err() {
            decoding.killer.kill();
        }
        applied.and(decoding.wait(world))?;
    }
    Ok(Replayed {
        transactions: plan.transactions,
        gtid_state: plan.through.to_string(),
        last_time: plan.last_time,
    })
}

/// A file that is removed again.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies in a directory for scratch, which goes as a whole.
        let _left = fs::remove_file(&self.0);
    }
}

/// The files of a replay, of which the last one may be a cut copy.
struct Files {
    paths: Vec<PathBuf>,
    _copy: Option<Scratch>,
}

impl Files {
    fn of(plan: &ReplayPlan, scratch: &Path) -> Result<Self> {
        let mut paths = plan.files.clone();
        let (End::Before(stopped), Some(last)) = (&plan.end, paths.last_mut()) else {
            return Ok(Self { paths, _copy: None });
        };
        let copy = scratch.join(format!("{}.cut", stopped.file));
        let unmade = |error| failed(format!("cannot write {}", copy.display())).because(error);
        let mut from = File::open(&*last).map_err(unmade)?.take(stopped.at);
        let mut to = File::create_new(&copy).map_err(unmade)?;
        let made = Scratch(copy.clone());
        if io::copy(&mut from, &mut to).map_err(unmade)? != stopped.at {
            return Err(failed(format!("{} has become shorter", last.display())));
        }
        *last = copy;
        Ok(Self { paths, _copy: Some(made) })
    }

    /// Returns the command that decodes the files from the position of the backup on.
    fn decode(&self, plan: &ReplayPlan, tools: &Tools, stdout: Stdio) -> Command {
        let mut command = Command::new(&tools.binlog);
        let position: Vec<String> = plan.from.position().iter().map(ToString::to_string).collect();
        command.args(["--no-defaults", "--verify-binlog-checksum", "--gtid-strict-mode"]);
        command.arg(format!("--start-position={}", position.join(",")));
        command.args(&self.paths).stdin(Stdio::null()).stdout(stdout);
        command
    }
}

/// Returns the command that applies statements, and ends at the first that fails.
fn apply(tools: &Tools, login_file: &Path, pipe: impl Into<Stdio>) -> Command {
    let mut command = Command::new(&tools.client);
    // It must be the first.
    command.arg(format!("--defaults-file={}", login_file.display()));
    command.args(["--binary-mode", "--max-allowed-packet=1G", "--skip-reconnect"]);
    command.stdin(pipe).stdout(Stdio::null());
    command
}

/// A program that runs, and what it says.
struct Running {
    name: String,
    child: Child,
    killer: Killer,
    said: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Running {
    fn start(command: &mut Command, program: &Path) -> Result<Self> {
        let name = program.display().to_string();
        withhold_secrets(command);
        let unstarted = |error| failed(format!("cannot start {name}")).because(error);
        let mut child =
            command.stderr(Stdio::piped()).process_group(0).spawn().map_err(unstarted)?;
        let killer = Killer::of(&child).map_err(unstarted)?;
        let stderr = child.stderr.take().expect("its standard error is piped");
        let mut running = Self { name, child, killer, said: None };
        // Read at once: a program that can't say something does nothing else either.
        let reading = crew::start("messages", move || {
            let (mut said, mut stderr) = (Vec::new(), stderr.take(SAID_BYTES_MAX));
            stderr.read_to_end(&mut said)?;
            io::copy(&mut stderr.into_inner(), &mut io::sink())?;
            Ok(said)
        });
        running.said = Some(reading?);
        Ok(running)
    }

    /// Waits for its end, and fails if that is no good one.
    fn wait(&mut self, world: &World) -> Result<()> {
        let name = &self.name;
        let unwaited = |error| failed(format!("cannot wait for {name}")).because(error);
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(unwaited)? {
                self.killer.reaped();
                break status;
            }
            world.monitor.pause(LOOK)?;
        };
        let said = self.said.take().and_then(|reading| reading.join().ok());
        let said = said.and_then(io::Result::ok).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if status.success() && !said.contains("ERROR:") {
            return Ok(());
        }
        let why = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let failure = failed(format!("{name} failed ({status})"));
        Err(if why.is_empty() { failure } else { failure.because(why.to_owned()) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.killer.kill();
            let _ended = self.child.wait();
            self.killer.reaped();
        }
    }
}
