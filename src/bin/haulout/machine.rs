//! The machine that the program runs on, asked once and in one place.

use std::env;
use std::ffi::OsString;
use std::io;
use std::io::IsTerminal;
use std::thread;

use rustix::process::DumpableBehavior;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::set_dumpable_behavior;
use rustix::process::setrlimit;

use crate::plan::Stream;
use crate::plan::Surroundings;

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

/// A variable of the environment.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// All variables of the environment that are text.
fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.into_string().ok();
    env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

/// What a plan depends on besides the arguments.
pub(crate) fn surroundings() -> Surroundings<'static> {
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Surroundings {
        variable: &variable,
        variables: &variables,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        processors: u32::try_from(processors).unwrap_or(1),
        stdin: stream(&io::stdin()),
        stdout: stream(&io::stdout()),
    }
}

fn stream(stream: &impl IsTerminal) -> Stream {
    if stream.is_terminal() { Stream::Terminal } else { Stream::Other }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn no_core_is_dumped_with_keys_in_it() {
        forbid_core_dumps();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
