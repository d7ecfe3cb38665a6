//! A random history of a repository against a model of it: nights of streams of all formats with
//! edits between them, cut streams, kills, two runs at once, damage to stored objects, repair by
//! the next night and by the command, replication in both directions and to other keys, two
//! repositories into one new place, and rotation of keys.
//!
//! After each step, what the program said is held against the model: a snapshot that was reported
//! restores identically, or the restore fails and names damage that the test has done.
//! `HAULOUT_STEPS` sets the number of steps and `HAULOUT_SEED` the seed, which a failure prints
//! with the history that led to it. Moments of kills are the one thing that a seed does not repeat.

#![expect(clippy::print_stdout, reason = "a failure is repeated from the history that it prints")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use haulout::base::entropy::SeededEntropy;
use haulout::seal::key_slot::KeyFile;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Random;
use crate::support::producers::Producer;

/// A step that takes longer than this many polls of 10 ms hangs.
const POLLS_MAX: usize = 12_000;

/// Rotations of keys in one history: a repository takes fifteen.
const ROTATIONS_MAX: usize = 10;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// How a run of the program ended.
struct Ended {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Ended {
    /// Whether the program did what it was asked for, with remarks or without.
    fn is_done(&self) -> bool {
        matches!(self.code, Some(0 | 3))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap()
    }
}

/// A run of the program that goes on.
struct Running {
    child: Child,
    output: PathBuf,
    line: String,
}

impl Running {
    fn end(mut self) -> Ended {
        let mut polls = 0;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            polls += 1;
            if polls == POLLS_MAX {
                self.child.kill().unwrap();
                panic!("hangs: {}", self.line);
            }
            sleep(Duration::from_millis(10));
        };
        let out = std::fs::read(self.output.with_extension("out")).unwrap();
        let err = std::fs::read(self.output.with_extension("err")).unwrap();
        let err = String::from_utf8_lossy(&err).into_owned();
        assert!(!err.contains("panicked"), "{}: {err}", self.line);
        Ended { code: status.code(), out, err }
    }
}

/// One repository as the model sees it.
#[derive(Default)]
struct Side {
    /// The stream of every snapshot that was reported, by its id.
    snapshots: BTreeMap<String, Rc<Vec<u8>>>,
    /// The test has damaged an object, or this side has been filled from one where it did.
    is_harmed: bool,
    /// The damage has been there for a verification to find. Until then a night may rely on blocks
    /// that are damaged: it does not read again what it does not store.
    is_known: bool,
}

/// Snapshots of the model that a repository did not restore.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lost {
    /// Snapshots that are not listed.
    unlisted: usize,
    /// Snapshots that are listed and can't be restored as a whole.
    broken: usize,
}

struct World {
    directory: TempDir,
    random: Random,
    producers: Vec<(&'static str, Producer)>,
    repo: Side,
    copy: Side,
    has_copy: bool,
    /// A repository with keys of its own.
    other: Side,
    /// One that two others wanted to make at once, and whose key it has.
    fresh: (Side, &'static str),
    rotations: usize,
    /// Streams that were given to runs that were killed, by their source.
    tried: BTreeMap<&'static str, Vec<Rc<Vec<u8>>>>,
    runs: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let producers = Producer::all(&mut random);
        let world = Self {
            directory: tempfile::tempdir().unwrap(),
            random,
            producers,
            repo: Side::default(),
            copy: Side::default(),
            has_copy: false,
            other: Side::default(),
            fresh: (Side::default(), "key"),
            rotations: 0,
            tried: BTreeMap::new(),
            runs: 0,
            counts: BTreeMap::new(),
        };
        world.write_key("key", seed);
        world.write_key("otherkey", seed + 1);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_key(&self, name: &str, seed: u64) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, KeyFile::generate(&SeededEntropy::new(seed)).to_text()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Starts the program on a repository, with a stream on its standard input.
    fn start(&mut self, repository: &str, line: &str, stream: Option<&[u8]>) -> Running {
        self.runs += 1;
        let output = self.path(&format!("run{}", self.runs % 8));
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HAULOUT") {
                command.env_remove(name);
            }
        }
        let threads = [1, 2, 4][self.random.below(3)].to_string();
        command.args(["-r", &format!("./{repository}"), "--threads", &threads]);
        // A restored stream stands where the report would.
        command.args((!line.starts_with("restore")).then_some("--json"));
        let key = match repository {
            "other" => "otherkey",
            "fresh" => self.fresh.1,
            _ => "key",
        };
        command.args(["--password-file", key]).args(line.split(' '));
        command.current_dir(self.directory.path());
        let stdin = stream.map_or_else(Stdio::null, |stream| {
            let path = output.with_extension("in");
            std::fs::write(&path, stream).unwrap();
            Stdio::from(File::open(path).unwrap())
        });
        let file = |extension| Stdio::from(File::create(output.with_extension(extension)).unwrap());
        command.stdin(stdin).stdout(file("out")).stderr(file("err"));
        Running { child: command.spawn().unwrap(), output, line: format!("{repository}: {line}") }
    }

    fn run(&mut self, repository: &str, line: &str, stream: Option<&[u8]>) -> Ended {
        self.start(repository, line, stream).end()
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The next night of a source that is drawn by lot.
    fn night(&mut self) -> (&'static str, Rc<Vec<u8>>) {
        let at = self.random.below(self.producers.len());
        let (source, producer) = &mut self.producers[at];
        producer.edit(&mut self.random);
        (source, Rc::new(producer.stream()))
    }

    /// Notes a snapshot that was reported, and restores it at once.
    fn reported(&mut self, ended: &Ended, stream: &Rc<Vec<u8>>) {
        assert!(ended.is_done(), "a night failed with {:?}: {}", ended.code, ended.err);
        let id = ended.json()["snapshot"].as_str().unwrap().to_owned();
        self.repo.snapshots.insert(id.clone(), Rc::clone(stream));
        let restored = self.run("repo", &format!("restore {id} --stdout"), None);
        if restored.is_done() {
            assert!(restored.out == **stream, "tonight's backup is restored wrongly");
            return;
        }
        let may_fail = self.repo.is_harmed && !self.repo.is_known;
        assert!(may_fail, "tonight's backup is not restored: {}", restored.err);
    }

    fn back_up(&mut self) -> String {
        let (source, stream) = self.night();
        let ended = self.run("repo", &format!("backup --source {source}"), Some(&stream));
        self.reported(&ended, &stream);
        self.count("nights");
        format!("night of {source}")
    }

    /// The same stream twice stores nothing but what describes it, unless there was damage.
    fn back_up_unchanged(&mut self) -> String {
        let (source, stream) = self.night();
        let line = format!("backup --source {source}");
        for _ in 0..2 {
            let ended = self.run("repo", &line, Some(&stream));
            self.reported(&ended, &stream);
            self.count("nights");
        }
        format!("two equal nights of {source}")
    }

    fn back_up_cut(&mut self) -> String {
        let at = self.random.below(self.producers.len());
        let (source, producer) = &self.producers[at];
        let (source, has_an_end) = (*source, producer.has_an_end());
        let mut stream = producer.stream();
        stream.truncate(2000 + self.random.below(stream.len() - 2500));
        let stream = Rc::new(stream);
        let ended = self.run("repo", &format!("backup --source {source}"), Some(&stream));
        self.reported(&ended, &stream);
        let report = ended.json();
        if has_an_end {
            let cut = stream.len();
            assert_eq!(report["verdict"], "partial", "{source} cut at {cut}");
            assert_eq!(ended.code, Some(3), "{source} cut at {cut}");
        }
        self.count("cut nights");
        format!("cut night of {source}")
    }

    fn back_up_killed(&mut self) -> String {
        let (source, stream) = self.night();
        self.tried.entry(source).or_default().push(Rc::clone(&stream));
        let line = format!("backup --source {source}");
        let mut running = self.start("repo", &line, Some(&stream));
        let micros = u64::try_from(self.random.below(60_000)).unwrap();
        sleep(Duration::from_micros(micros));
        running.child.kill().unwrap();
        let ended = running.end();
        self.adopt();
        self.count("kills");
        format!("night of {source} killed after {micros} us, ended {:?}", ended.code)
    }

    /// Takes snapshots into the model that killed runs have left: each is one of their streams.
    fn adopt(&mut self) {
        for (id, source) in self.listed("repo") {
            if self.repo.snapshots.contains_key(&id) {
                continue;
            }
            let restored = self.run("repo", &format!("restore {id} --stdout"), None);
            assert!(restored.is_done(), "a killed run left a snapshot: {}", restored.err);
            let tried = self.tried.iter().find(|(name, _)| **name == source);
            let stream = tried.and_then(|(_, streams)| {
                streams.iter().find(|stream| restored.out == ***stream).cloned()
            });
            let stream = stream.unwrap_or_else(|| panic!("{id} of {source} is no stream"));
            self.repo.snapshots.insert(id, stream);
        }
    }

    fn back_up_twice_at_once(&mut self) -> String {
        let (first, one) = self.night();
        let (second, other) = self.night();
        let running = [
            self.start("repo", &format!("backup --source {first}"), Some(&one)),
            self.start("repo", &format!("backup --source {second}"), Some(&other)),
        ];
        let ended = running.map(Running::end);
        for (ended, stream) in ended.iter().zip([&one, &other]) {
            self.reported(ended, stream);
        }
        self.count("pairs of nights at once");
        format!("nights of {first} and {second} at once")
    }

    /// Ids and sources of what a repository lists.
    fn listed(&mut self, repository: &str) -> Vec<(String, String)> {
        let ended = self.run(repository, "snapshots", None);
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        assert!(ended.is_done() || self.side(repository).is_harmed, "{}", ended.err);
        let Ok(Value::Array(all)) = serde_json::from_slice(&ended.out) else { return Vec::new() };
        let known = all.iter().filter(|one| one["source"].is_string());
        known.map(|one| (word(&one["id"]), word(&one["source"]))).collect()
    }

    fn side(&self, repository: &str) -> &Side {
        match repository {
            "repo" => &self.repo,
            "copy" => &self.copy,
            "other" => &self.other,
            "fresh" => &self.fresh.0,
            _ => panic!("no side is called {repository}"),
        }
    }

    /// Restores every snapshot, and counts those that are lost.
    fn check(&mut self, repository: &str) -> Lost {
        let harmed = self.side(repository).is_harmed;
        let shown: BTreeSet<String> =
            self.listed(repository).into_iter().map(|(id, _)| id).collect();
        let snapshots = self.side(repository).snapshots.clone();
        let mut lost = Lost::default();
        for (id, stream) in snapshots {
            if !shown.contains(&id) {
                assert!(harmed, "{repository} does not list {id}, which it reported");
                lost.unlisted += 1;
                continue;
            }
            let ended = self.run(repository, &format!("restore {id} --stdout"), None);
            self.count("restores");
            if ended.is_done() {
                assert!(ended.out == *stream, "{repository} restores {id} wrongly");
                continue;
            }
            assert!(harmed, "{repository} does not restore {id}: {}", ended.err);
            assert!(ended.code == Some(1) && !ended.err.trim().is_empty(), "{id}: no error");
            // What was written before the failure is right.
            assert!(stream.starts_with(&ended.out), "{repository} wrote wrong bytes of {id}");
            lost.broken += 1;
        }
        lost
    }

    fn verify_some(&mut self) -> String {
        let is_copy = self.has_copy && self.random.below(3) == 0;
        self.verify(if is_copy { "copy" } else { "repo" })
    }

    fn verify(&mut self, repository: &str) -> String {
        let ended = self.run(repository, "verify --depth blocks", None);
        let harmed = self.side(repository).is_harmed;
        assert!(harmed || ended.code == Some(0), "verify of what is whole: {}", show(&ended));
        assert!(ended.is_done(), "{}", ended.err);
        if ended.code == Some(0) && harmed {
            // A snapshot whose object is gone can't be known to be missing.
            assert_eq!(self.check(repository).broken, 0, "verify says that all is well");
        }
        self.count("verifications");
        format!("verification of {repository} ended {:?}", ended.code)
    }

    /// Damages some object of the repository, then backs up, verifies and restores; at the end the
    /// object is put back as it was.
    fn damage(&mut self) -> String {
        if self.repo.snapshots.is_empty() {
            return "nothing to damage".to_owned();
        }
        let victims: Vec<PathBuf> = objects(&self.path("repo"))
            .into_iter()
            .filter(|path| !matches!(folder(path), "config" | "keys" | "runs"))
            .collect();
        let victim = victims[self.random.below(victims.len())].clone();
        let path = self.path("repo").join(&victim);
        let before = std::fs::read(&path).unwrap();
        let how = harm(&path, &before, &mut self.random);
        (self.repo.is_harmed, self.repo.is_known) = (true, false);
        let mut story = format!("{} {how}", victim.display());
        for _ in 0..=self.random.below(2) {
            story = format!("{story}, {}", self.back_up());
        }
        story = format!("{story}, {}", self.verify("repo"));
        self.repo.is_known = true;
        if self.random.below(2) == 0 {
            story = format!("{story}, {}", self.repair(&victim));
        }
        if self.has_copy && self.random.below(3) == 0 {
            story = format!("{story}, {}", self.replicate());
        }
        story = format!("{story}, {}", self.back_up());
        let lost = self.check("repo");
        std::fs::write(&path, before).unwrap();
        self.repo.is_harmed = false;
        assert_eq!(self.check("repo"), Lost::default(), "after {story}");
        // Records of the damage stay; the next verification ends as that of a whole repository.
        let ended = self.run("repo", "verify --depth blocks", None);
        assert!(ended.is_done(), "{}", ended.err);
        self.count("damages");
        format!("{story}; meanwhile {lost:?}")
    }

    /// Repairs the repository. An object of which there are two copies is whole after it.
    fn repair(&mut self, victim: &Path) -> String {
        let ended = self.run("repo", "repair", None);
        assert!(ended.is_done(), "repair: {}", show(&ended));
        let has_twin = match folder(victim) {
            "twins" | "moves" => true,
            "packs" => {
                let below = victim.strip_prefix("packs").unwrap();
                self.path("repo/twins").join(below).exists()
            }
            _ => false,
        };
        if has_twin {
            assert_eq!(ended.code, Some(0), "repair of {}: {}", victim.display(), show(&ended));
            let verified = self.run("repo", "verify --depth blocks", None);
            assert_eq!(verified.code, Some(0), "after a repair: {}", show(&verified));
        }
        self.count("repairs");
        format!("repair ended {:?}", ended.code)
    }

    fn replicate(&mut self) -> String {
        let line = if self.has_copy {
            "replicate --to ./copy --verify"
        } else {
            "replicate --init --to ./copy"
        };
        let ended = self.run("repo", line, None);
        let harmed = self.repo.is_harmed;
        assert!(ended.is_done() || harmed, "{line}: {}", ended.err);
        self.has_copy |= self.path("copy").join("config").exists();
        self.copy.snapshots = self.repo.snapshots.clone();
        self.copy.is_harmed = harmed;
        if !harmed {
            assert_eq!(self.check("copy"), Lost::default());
        }
        self.count("replications");
        format!("replication ended {:?}", ended.code)
    }

    /// Sends what there is to a repository with keys of its own, which gets the streams.
    fn copy_reencrypted(&mut self) -> String {
        let line = "replicate --init --to ./other --other-password-file otherkey";
        let ended = self.run("repo", line, None);
        assert!(ended.is_done(), "{line}: {}", ended.err);
        let report = ended.json();
        for sent in report["snapshots"].as_array().unwrap() {
            let id = sent["snapshot"].as_str().unwrap().to_owned();
            let stream = Rc::clone(&self.repo.snapshots[sent["origin"].as_str().unwrap()]);
            self.other.snapshots.insert(id, stream);
        }
        assert_eq!(report["left_out"].as_array().unwrap().len(), 0, "{report}");
        assert_eq!(self.check("other"), Lost::default());
        self.count("snapshots re-encrypted");
        "replication to other keys".to_owned()
    }

    /// Two repositories are replicated into one new place at the same moment.
    fn meet(&mut self) -> String {
        if self.other.snapshots.is_empty() {
            return "nobody to meet".to_owned();
        }
        let line = "replicate --init --to ./fresh";
        let running = [self.start("repo", line, None), self.start("other", line, None)];
        let ended = running.map(Running::end);
        let done = ended.each_ref().map(Ended::is_done);
        assert_ne!(done, [true, true], "two repositories at one place");
        let winner = match done {
            [true, _] => Some((self.repo.snapshots.clone(), "key")),
            [_, true] => Some((self.other.snapshots.clone(), "otherkey")),
            _ => None,
        };
        if let Some((snapshots, key)) = winner {
            self.fresh = (Side { snapshots, ..Side::default() }, key);
            assert_eq!(self.check("fresh"), Lost::default(), "{done:?}");
        }
        std::fs::remove_dir_all(self.path("fresh")).unwrap();
        self.count("meetings");
        format!("two repositories into one place, {done:?}")
    }

    /// A snapshot that is gone comes back from the copy.
    fn fetch(&mut self) -> String {
        if !self.has_copy || self.copy.is_harmed {
            return "no copy to fetch from".to_owned();
        }
        let ids: Vec<String> = self.copy.snapshots.keys().cloned().collect();
        let id = &ids[self.random.below(ids.len())];
        let object = objects(&self.path("repo"))
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(id.as_str()))
            .unwrap();
        std::fs::remove_file(self.path("repo").join(object)).unwrap();
        let ended = self.run("repo", "replicate --init --from ./copy", None);
        assert!(ended.is_done(), "{}", ended.err);
        assert_eq!(self.check("repo"), Lost::default(), "after a fetch of {id}");
        self.count("fetches");
        format!("fetch of {id}")
    }

    fn rotate(&mut self) -> String {
        if self.rotations == ROTATIONS_MAX {
            return "no more rotations".to_owned();
        }
        self.rotations += 1;
        let ended = self.run("repo", "key rotate --key-file next", None);
        assert!(ended.is_done(), "rotation: {}", ended.err);
        std::fs::rename(self.path("next"), self.path("key")).unwrap();
        // The copy learns the new key by the next replication; until then it stays as it was.
        if self.has_copy {
            std::fs::remove_dir_all(self.path("copy")).unwrap();
            self.has_copy = false;
            self.copy = Side::default();
        }
        self.count("rotations");
        "rotation".to_owned()
    }

    fn step(&mut self) -> String {
        match self.random.below(100) {
            0..30 => self.back_up(),
            30..36 => self.back_up_unchanged(),
            36..46 => self.back_up_cut(),
            46..58 => self.back_up_killed(),
            58..66 => self.back_up_twice_at_once(),
            66..76 => self.verify_some(),
            76..88 => self.damage(),
            88..93 => self.replicate(),
            93..95 => self.fetch(),
            95..97 => self.copy_reencrypted(),
            97..99 => self.meet(),
            _ => self.rotate(),
        }
    }
}

fn show(ended: &Ended) -> String {
    format!("{:?} {}{}", ended.code, String::from_utf8_lossy(&ended.out), ended.err)
}

/// All objects of a repository in a directory, relative to it, in the order of their names.
fn objects(repository: &Path) -> Vec<PathBuf> {
    let mut folders = vec![repository.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(repository).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn folder(path: &Path) -> &str {
    path.iter().next().and_then(|name| name.to_str()).unwrap()
}

/// Damages an object; says how.
fn harm(path: &Path, before: &[u8], random: &mut Random) -> String {
    let mut bytes = before.to_vec();
    let at = random.below(bytes.len().max(1));
    let how = match random.below(4) {
        0 => {
            std::fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        1 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        2 => {
            bytes.fill(0);
            "emptied".to_owned()
        }
        _ => {
            bytes[at] ^= 1 << random.below(8);
            format!("with a bit flipped at {at}")
        }
    };
    std::fs::write(path, bytes).unwrap();
    how
}

#[test]
fn a_random_history_keeps_every_snapshot_that_was_reported() {
    let seed = number("HAULOUT_SEED", 1);
    let steps = number("HAULOUT_STEPS", 40);
    println!("seed {seed}, {steps} steps");
    let mut world = World::new(seed);
    assert!(world.run("repo", "init", None).is_done());
    for step in 0..steps {
        let story = world.step();
        println!("seed {seed}, step {step}: {story}");
        if step % 10 == 9 {
            assert_eq!(world.check("repo"), Lost::default());
        }
    }
    assert_eq!(world.check("repo"), Lost::default());
    println!("{}", world.copy_reencrypted());
    println!("{}", world.meet());
    println!("{:?}", world.counts);
}
