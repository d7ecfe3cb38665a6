//! Commands of the operator, which stop and start the public server.

use std::fs::File;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::source::child::withhold_secrets;

/// How long such a command may take.
const COMMAND_TIME: Duration = Duration::from_mins(10);

/// The time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a command, and waits until it has ended well. What it says goes to `log`.
pub(super) fn run(words: &[String], log: &File, world: &World) -> Result<()> {
    let shown = words.join(" ");
    let failed = |why: String| {
        Error::new(ErrorKind::Prepare, format!("the command '{shown}' failed")).because(why)
    };
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let outlet = || log.try_clone().map(Stdio::from).map_err(|error| failed(error.to_string()));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(outlet()?).stderr(outlet()?);
    withhold_secrets(&mut command);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let began = world.clock.elapsed();
    loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("it ended with {status}"))),
            None => {}
        }
        if world.clock.elapsed().saturating_sub(began) >= COMMAND_TIME {
            // It may end by itself in the meantime.
            let _gone = child.kill();
            let _reaped = child.wait();
            return Err(failed(format!("it did not end in {COMMAND_TIME:?}")));
        }
        world.monitor.pause(LOOK)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_a_command_says_and_how_it_ends_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = File::create(&path).unwrap();
        let world = World::of_this_machine();
        let words = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        run(&words("echo stopped"), &log, &world).unwrap();
        let error = run(&words("exit 3"), &log, &world).unwrap_err();
        assert!(error.with_causes().ends_with("it ended with exit status: 3"), "{error:?}");
        assert!(run(&["/none".to_owned()], &log, &world).is_err());
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "stopped\n");
    }
}
