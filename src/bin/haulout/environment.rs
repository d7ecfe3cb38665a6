//! The machine that the program runs on, asked once and in one place.

use std::env;
use std::ffi::OsString;
use std::io;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::thread;

use haulout::error::Error;
use haulout::error::ErrorKind;
use rustix::fs::FileType;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::fs::fcntl_getfl;
use rustix::fs::fstat;
use rustix::fs::stat;
use rustix::process::DumpableBehavior;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use rustix::process::getpid;
use rustix::process::getppid;
use rustix::process::getrlimit;
use rustix::process::kill_process;
use rustix::process::set_dumpable_behavior;
use rustix::process::set_parent_process_death_signal;
use rustix::process::setrlimit;

use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

/// The facts that a plan depends on besides the arguments.
pub(crate) struct Surroundings<'s> {
    /// Looks up a variable of the environment.
    pub(crate) variable: &'s dyn Fn(&str) -> Option<OsString>,
    /// Returns all variables that are text.
    pub(crate) variables: &'s dyn Fn() -> Vec<(String, String)>,
    /// The name of this host.
    pub(crate) host: String,
    /// Processors that this process may use.
    pub(crate) processors: u32,
    /// Returns the address of the repository that the configuration file has under a name.
    pub(crate) named: &'s dyn Fn(&str) -> Option<String>,
    /// Returns the section that the configuration file has for a source.
    pub(crate) source: &'s dyn Fn(&str) -> Option<Table>,
    /// True if the repository on the other side has a name: nothing of this side is used for it.
    pub(crate) is_other_named: bool,
    /// The kind of standard input, such as a terminal.
    pub(crate) stdin: Stream,
    /// The kind of standard output, such as a terminal.
    pub(crate) stdout: Stream,
}

/// The kind of a standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A terminal, with a person at it.
    Terminal,
    /// The stream was closed when the program was started.
    Closed,
    /// A file, a pipe, or the null device.
    Other,
}

impl Surroundings<'_> {
    /// Refuses to write a result to standard output if it was closed and the result would be lost.
    pub(crate) fn require_stdout(&self) -> Outcome<()> {
        if self.stdout == Stream::Closed {
            return Err(Failure::new(
                Error::new(ErrorKind::Target, "standard output is closed"),
                "send it to a file or a program; to throw it away, send it to /dev/null",
            ));
        }
        Ok(())
    }

    /// Returns the surroundings of a test: a host with 8 processors and no variables.
    #[cfg(test)]
    pub(crate) fn of_a_test(stdin: Stream, stdout: Stream) -> Surroundings<'static> {
        let (variable, variables): (_, &dyn Fn() -> _) = (&|_: &str| None, &Vec::new);
        let host = "db1".to_owned();
        Surroundings {
            variable,
            variables,
            host,
            processors: 8,
            named: &|_: &str| None,
            source: &|_: &str| None,
            is_other_named: false,
            stdin,
            stdout,
        }
    }
}

/// Keeps keys out of core dumps, and other processes of the same user out of this one's memory.
///
/// The first holds for this process only. The limit is handed on to what it starts, which may raise
/// it again: a producer's memory is full of what is to be encrypted.
pub(crate) fn forbid_core_dumps() {
    // Where this is refused, the program is as safe as any other.
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let maximum = getrlimit(Resource::Core).maximum;
    let _refused = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

/// Lets this program, and what it starts, have as many files open as the system allows it: the
/// usual limit of 1,024 is for programs of another kind.
pub(crate) fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where this is refused, the limit stays as it was, and errors name it.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The variable with which a job names its process to the commands that it starts.
pub(crate) const PARENT_VARIABLE: &str = "HAULOUT_JOB_PROCESS";

/// Ends this program with the job that started it, if one did: the lock of a job ends with its
/// process, and a step must not outlive it.
pub(crate) fn end_with_job() {
    let typed = env::var(PARENT_VARIABLE).ok();
    let Some(job) = typed.and_then(|id| id.parse::<i32>().ok()) else { return };
    let is_parent = || getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == job);
    if !is_parent() {
        // Another program in between has its own way to end what it starts.
        return;
    }
    // Where this is refused, the step ends by itself like any command.
    let _refused = set_parent_process_death_signal(Some(Signal::TERM));
    if !is_parent() {
        let _gone = kill_process(getpid(), Signal::TERM);
    }
}

/// Tells whether a standard stream was closed when the program was started.
///
/// The runtime opens the null device in its place, for reading and writing, before `main`; a
/// shell's `>/dev/null` is open for writing only. What is written to it would be lost
/// without an error.
pub(crate) fn was_closed(stream: impl AsFd) -> bool {
    let is_both = |flags: OFlags| flags & OFlags::RWMODE == OFlags::RDWR;
    let is_null = |found: &Stat| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && stat("/dev/null").is_ok_and(|null| null.st_rdev == found.st_rdev)
    };
    let opened = fcntl_getfl(&stream).is_ok_and(is_both);
    opened && fstat(&stream).is_ok_and(|found| is_null(&found))
}

/// Returns the value of an environment variable.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Tells whether a program is on the path of this process.
pub(crate) fn is_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Returns all environment variables that are text.
pub(crate) fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.into_string().ok();
    env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

/// Returns the facts of this host that a plan depends on.
pub(crate) fn surroundings() -> Surroundings<'static> {
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Surroundings {
        variable: &variable,
        variables: &variables,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        processors: u32::try_from(processors).unwrap_or(1),
        named: &|_: &str| None,
        source: &|_: &str| None,
        is_other_named: false,
        stdin: stream(&io::stdin()),
        stdout: stream(&io::stdout()),
    }
}

fn stream(stream: &(impl IsTerminal + AsFd)) -> Stream {
    if stream.is_terminal() {
        return Stream::Terminal;
    }
    if was_closed(stream) { Stream::Closed } else { Stream::Other }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_closed_stream_is_distinguished_from_the_null_device_of_a_shell() {
        let open = |read, write| {
            std::fs::OpenOptions::new().read(read).write(write).open("/dev/null").unwrap()
        };
        assert!(was_closed(open(true, true)));
        assert!(!was_closed(open(false, true)));
        assert!(!was_closed(open(true, false)));
        assert!(!was_closed(tempfile::tempfile().unwrap()));
    }

    #[test]
    fn no_core_is_dumped_with_keys_in_it() {
        forbid_core_dumps();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
