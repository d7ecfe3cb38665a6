//! Two users of one repository: a run as root must not lock out the user whose it is.
//!
//! It needs root, to be two users.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::support::program::Place;
use crate::support::program::Ran;

/// The number of a user, and of a group, that own nothing.
const SERVICE: u32 = 65_534;

/// A place that the service's user owns, with the program in it, and nothing else to read.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn place() -> Option<Place> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root, to be two users");
        return None;
    }
    let place = Place::empty();
    fs::copy(env!("CARGO_BIN_EXE_haulout"), place.path("haulout")).unwrap();
    fs::set_permissions(place.path("haulout"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path("repo")).unwrap();
    chown(place.path("repo"), Some(SERVICE), Some(SERVICE)).unwrap();
    fs::set_permissions(place.path("repo"), Permissions::from_mode(0o750)).unwrap();
    Some(place)
}

/// Runs the program as a user, with a mask that would keep everybody else out.
fn run_as(place: &Place, user: u32, line: &str) -> Ran {
    let mut command = Command::new("sh");
    let user = format!("setpriv --reuid={user} --regid={user} --clear-groups");
    let line = format!("umask 077; exec {user} ./haulout -r ./repo {line}");
    command.args(["-c", &line]).current_dir(place.directory.path()).env_remove("HAULOUT_REPO");
    command.stdin(std::process::Stdio::null());
    Ran::of(command, b"")
}

fn everything_below(path: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything_below(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn a_run_as_root_does_not_lock_out_the_user_of_the_service() {
    let Some(place) = place() else { return };
    run_as(&place, SERVICE, "init -q --no-encryption").is(0);
    let backup = |user, text| {
        run_as(&place, user, &format!("backup -q --source db -- echo {text}")).is(0);
    };
    backup(SERVICE, "one");
    backup(0, "two");
    backup(0, "three");
    let mut found = Vec::new();
    everything_below(&place.path("repo"), &mut found);
    for path in &found {
        let metadata = fs::metadata(path).unwrap();
        let owner = (metadata.uid(), metadata.gid());
        assert_eq!(owner, (SERVICE, SERVICE), "{}", path.display());
        let mode = metadata.mode() & 0o7777;
        let expected = if path.is_dir() { 0o750 } else { 0o440 };
        assert_eq!(mode, expected, "{}", path.display());
    }
    backup(SERVICE, "four");
    run_as(&place, SERVICE, "verify -q --depth blocks").is(0);
    run_as(&place, SERVICE, "restore latest --stdout").is(0).prints("four\n");
}

#[test]
fn what_another_user_left_is_named_with_what_can_be_done() {
    let Some(place) = place() else { return };
    run_as(&place, SERVICE, "init -q --no-encryption").is(0);
    run_as(&place, SERVICE, "backup -q --source db -- echo one").is(0);
    // As earlier versions left them.
    chown(place.path("repo/config"), Some(0), Some(0)).unwrap();
    fs::set_permissions(place.path("repo/config"), Permissions::from_mode(0o400)).unwrap();
    let refused = run_as(&place, SERVICE, "snapshots").is(1);
    refused.says("ermission denied").says("another user may have left files of its own");
}
