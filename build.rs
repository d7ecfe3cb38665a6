//! Tells the program which commit it was built from, and for which machine.
//!
//! Only builds for release look for it: in a working copy every commit would rebuild everything.
//! The commit comes from `HAULOUT_COMMIT`, which a packager sets; from the file that cargo puts
//! into a published crate; or from git, if this is the top of a working copy. Without any of them,
//! as in a tarball, the version stands alone. Nothing else of the machine gets into the program, so
//! the same commit gives the same version.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Digits of a commit that tell it from all others.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-env-changed=HAULOUT_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = if is_release {
        // What is committed, and whether all is, may change without any file of the package.
        println!("cargo::rerun-if-changed=.git/no-such-file");
        commit()
    } else {
        None
    };
    let version = match &commit {
        Some(commit) => format!("{version} ({commit})"),
        None if is_release => version,
        None => format!("{version} (not for release)"),
    };
    println!("cargo::rustc-env=HAULOUT_VERSION={version}");
    println!("cargo::rustc-env=HAULOUT_BUILT_FROM={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=HAULOUT_TARGET={}", env::var("TARGET").unwrap_or_default());
}

fn commit() -> Option<String> {
    let given = env::var("HAULOUT_COMMIT").ok().filter(|commit| !commit.is_empty());
    given.or_else(published).or_else(checked_out)
}

/// The commit that a published crate was made of.
fn published() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    commit.get(..DIGITS).map(str::to_owned)
}

/// The commit of this working copy, and whether something was changed since.
fn checked_out() -> Option<String> {
    // A tarball may have been unpacked within another project's working copy.
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?.get(..DIGITS)?.to_owned();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}, changed") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
