//! A configuration file with jobs, for tests of the program: two repositories, their password, and
//! what the jobs of the test are.

#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the benchmarks use a part, and a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::process::Stdio;

use serde_json::Value;

use crate::support::program::Place;
use crate::support::program::Ran;

/// A place with a configuration file.
pub struct Site {
    pub place: Place,
    pub config: String,
}

impl Site {
    /// With the repositories local and offsite, and these jobs; `@` stands for the directory.
    pub fn new(jobs: &str) -> Self {
        let place = Place::empty();
        place.file("password", "secret\n");
        fs::create_dir(place.path("files")).unwrap();
        place.file("files/nova.conf", "[DEFAULT]\n");
        let text = format!(
            "[defaults]\nstate_dir = \"@/state\"\n\
             [repository.local]\nurl = \"@/local\"\npassword_file = \"@/password\"\n\
             keep = {{ last = 2 }}\n\
             [repository.offsite]\nurl = \"@/offsite\"\npassword_file = \"@/password\"\n\
             keep = {{ last = 3 }}\n{jobs}"
        );
        let text = text.replace('@', place.directory.path().to_str().unwrap());
        let config = place.file("haulout.toml", text);
        Self { place, config }
    }

    pub fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        ["--config", &self.config].into_iter().chain(arguments.iter().copied()).collect()
    }

    pub fn ran(&self, arguments: &[&str]) -> Ran {
        self.place.ran(&self.arguments(arguments))
    }

    pub fn started(&self, arguments: &[&str]) -> Child {
        self.place.started(&self.arguments(arguments), Stdio::null())
    }

    /// Runs a job, and returns its record.
    pub fn job(&self, name: &str, status: i32) -> Value {
        self.ran(&["run", name, "--json"]).is(status).json()
    }

    pub fn snapshots(&self, repository: &str) -> usize {
        let listed = self.ran(&["-r", repository, "snapshots", "--json"]).is(0).json();
        listed.as_array().unwrap().len()
    }

    pub fn packs(&self, repository: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.place.path(repository).join("packs")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }
}

/// Returns the results of the steps, as `STEP SUBJECT RESULT`.
pub fn results(record: &Value) -> Vec<String> {
    let word = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    let steps = record["steps"].as_array().unwrap().iter();
    steps.map(|step| ["step", "subject", "result"].map(|key| word(step, key)).join(" ")).collect()
}

pub const NIGHTLY: &str = "
[source.db]
kind = \"command\"
command = [\"sh\", \"-c\", \"head -c 100000 /dev/urandom\"]
tag = [\"nightly\", \"db\"]
[source.files]
kind = \"files\"
paths = [\"@/files\"]
[job.nightly]
sources = [\"db\", \"files\"]
repository = \"local\"
replicas = [\"offsite\"]
schedule = \"daily 02:30\"
verify = { budget = \"5%\" }
metrics = \"@/haulout.prom\"
prune = \"every-run\"
";
