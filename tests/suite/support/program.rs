//! The program as its users see it, for tests: a directory with a repository in it, arguments in,
//! exit status, standard output and standard error out.

#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the benchmarks use a part, and a test fails by panicking"
)]

use std::fs;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a repository in it.
pub struct Place {
    pub directory: TempDir,
}

impl Place {
    pub fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// With a repository that is not encrypted.
    pub fn clear() -> Self {
        let place = Self::empty();
        place.ran(&["init", "--no-encryption", "-q"]).is(0).prints("");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only its owner can read, as one with a password shall be.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        command.env("HAULOUT_REPO", self.path("repo")).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn ran(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments), b"")
    }

    /// With a stream on standard input.
    pub fn fed(&self, arguments: &[&str], stream: &[u8]) -> Ran {
        Ran::of(self.command(arguments), stream)
    }

    /// Backs up what a shell script prints.
    pub fn backed_up(&self, script: &str) -> Ran {
        self.ran(&["backup", "--source", "db", "--json", "--", "sh", "-c", script])
    }

    pub fn started(&self, arguments: &[&str], stdin: Stdio) -> Child {
        let mut command = self.command(arguments);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn snapshots(&self) -> Vec<Value> {
        let listed = self.ran(&["snapshots", "--json"]).is(0).json();
        listed.as_array().unwrap().clone()
    }

    pub fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = vec![self.path("repo").join(kind)];
        while let Some(folder) = found.iter().position(|path| path.is_dir()) {
            let entries = fs::read_dir(found.swap_remove(folder)).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found.retain(|path| path.exists());
        found
    }
}

/// What came of a command.
pub struct Ran {
    pub output: Output,
}

impl Ran {
    pub fn of(mut command: Command, stream: &[u8]) -> Self {
        if !stream.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // A program that refuses to read is judged by its exit status.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(stream)));
            child.wait_with_output().unwrap()
        });
        Self { output }
    }

    #[track_caller]
    pub fn is(self, status: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(status), "{}{}", self.out(), self.err());
        self
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert_eq!(self.out(), text, "{}", self.err());
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err().contains(text), "{text}: {}", self.err());
        self
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out()).unwrap_or_else(|e| panic!("{e}: {}", self.out()))
    }

    #[track_caller]
    pub fn error_kind(&self) -> String {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["causes"].is_array(), "{error}");
        assert!(error["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{error}");
        assert!(error["code"].is_string(), "{error}");
        error["kind"].as_str().unwrap().to_owned()
    }
}
