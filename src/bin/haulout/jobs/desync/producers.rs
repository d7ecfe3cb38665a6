//! The processes of a run's producer, found by a variable in their environment: also those that
//! outlived the process that started them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use haulout::shared::entries::entries;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// The variable that names the run to the processes of its backup.
pub(crate) const VARIABLE: &str = "HAULOUT_RUN";

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Looks after which what was asked to end is killed: 2 s.
const PATIENCE: usize = 40;
/// Looks after which it is given up: 30 s.
const LOOKS_MAX: usize = 600;

/// Ends all processes of a run, and waits for their end.
pub(crate) fn end(run: &str) -> Result<(), String> {
    for look in 0..LOOKS_MAX {
        let left = of_run(run);
        if left.is_empty() {
            return Ok(());
        }
        let signal = if look < PATIENCE { Signal::TERM } else { Signal::KILL };
        // Once is enough for a request; what starts later is killed.
        if look == 0 || look >= PATIENCE {
            for process in left {
                // It may have ended by itself.
                let _gone = kill_process(process, signal);
            }
        }
        thread::sleep(LOOK);
    }
    let left: Vec<String> =
        of_run(run).iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
    Err(format!("processes of the producer do not end: {}", left.join(", ")))
}

/// Returns the processes of a run that this user may see, but for this one. One that has ended and
/// was not waited for yet has no environment.
fn of_run(run: &str) -> Vec<Pid> {
    let wanted = format!("{VARIABLE}={run}");
    let own = std::process::id().to_string();
    let is_wanted = |name: &String| {
        let environment = fs::read(format!("/proc/{name}/environ")).unwrap_or_default();
        *name != own && environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
    };
    let all = entries(Path::new("/proc")).into_iter().flatten();
    let names = all.filter_map(|entry| entry.ok()?.name.into_string().ok());
    let found = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    found.filter(is_wanted).filter_map(|name| Pid::from_raw(name.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_processes_of_a_run_end_with_their_children_and_no_others() {
        let run = format!("test-{}", std::process::id());
        // The grandchild outlives its parent, and ignores a request to end.
        let orphan = "(trap '' TERM; sleep 100 & sleep 100) & exit 0";
        let mut parent =
            Command::new("sh").args(["-c", orphan]).env(VARIABLE, &run).spawn().unwrap();
        parent.wait().unwrap();
        let other = format!("{run}-of-another");
        let mut other = Command::new("sleep").arg("100").env(VARIABLE, other).spawn().unwrap();
        assert!(!of_run(&run).is_empty());
        end(&run).unwrap();
        assert_eq!(of_run(&run), []);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
