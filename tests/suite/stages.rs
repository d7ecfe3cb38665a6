//! The stage in which the server of a producer stands still: the producer never waits for the
//! store in it, as long as memory and spool have room, and its stream is stored as it is.
//!
//! The producer is a shell script that names its stages on standard error and leaves a file when
//! it has come to the end of the stage. The store takes no pack until its gate is opened. So the
//! order of events is known, and no time has to be measured.

use crate::support;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use haulout::base::crew::lock;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::producer::Server;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::backup::backup;
use haulout::ops::memory::AtOnce;
use haulout::repo::Repository;
use haulout::repo::Severity;
use haulout::repo::StreamFormat;
use haulout::repo::Verdict;
use haulout::source::PIPE_BYTES;
use haulout::source::child::ChildSource;
use haulout::source::outlet::StageRules;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Meeting;

use crate::support::Protected;
use crate::support::Random;
use crate::support::init;
use crate::support::program::Place;
use crate::support::shared;
use crate::support::stream_of;

const THREADS: [u32; 3] = [1, 2, 4];
/// More than 4 threads and all their queues hold at once, with small packs.
const TAIL_BYTES: usize = 32 << 20;
/// Bytes that such a run holds at most: 2 segments a worker and 8, packs, what is read ahead.
const HELD_BYTES: usize = 22 << 20;
/// The least that a pack may have.
const PACK_BYTES: usize = (2 << 20) + 4096;
const MEMORY_BYTES: usize = 1 << 20;
const HEAD_BYTES: usize = 1 << 20;
/// Far longer than anything here takes.
const NEVER: Duration = Duration::from_mins(2);
const HOUR: Duration = Duration::from_hours(1);
const BEGINS: &str = "[00] 2026-11-30 16:45:05 Acquired locks for BACKUP STAGE BLOCK_DDL";
const ENDS: &str = "[00] 2026-11-30 16:45:11 Executing BACKUP STAGE END";

/// Bytes that do not compress.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random(3);
    let bytes = (HEAD_BYTES + TAIL_BYTES + 1000) / 8;
    (0..bytes).flat_map(|_| random.next().to_le_bytes()).collect()
});

/// A gate that is closed until it is opened for good.
#[derive(Debug, Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *lock(&self.0) = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let (_passed, late) =
            self.1.wait_timeout_while(lock(&self.0), NEVER, |is_open| !*is_open).unwrap();
        assert!(!late.timed_out(), "the gate was never opened");
    }
}

/// Opens a gate when it is dropped.
struct Opened<'g>(&'g Gate);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// What a producer and haulout say.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !happened() {
        assert!(waited < NEVER, "{what} did not happen");
        thread::sleep(step);
        waited += step;
    }
}

/// A repository whose store takes no pack until the gate is opened, and a producer's files.
struct Scene {
    directory: tempfile::TempDir,
    gate: Arc<Gate>,
    repository: Repository,
    log: Log,
}

impl Scene {
    fn new() -> Self {
        let (directory, gate) = (tempfile::tempdir().unwrap(), Arc::new(Gate::default()));
        let mut store = Meeting::new(MemoryStore::new());
        // As many as are put at once before the first of them is there.
        for nth in 1..=8 {
            let gate = Arc::clone(&gate);
            store = store.before(Verb::Put, "packs/", nth, move || gate.pass());
        }
        let repository = init(shared(&Arc::new(store)), Protected::Clear, 7);
        let scene = Self { directory, gate, repository, log: Log::default() };
        let (head, rest) = STREAM.split_at(HEAD_BYTES);
        let (tail, end) = rest.split_at(TAIL_BYTES);
        for (name, bytes) in [("head", head), ("tail", tail), ("end", end)] {
            fs::write(scene.path(name), bytes).unwrap();
        }
        fs::create_dir(scene.path("spool")).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn rules(&self) -> StageRules {
        StageRules {
            spool: self.path("spool"),
            spool_bytes: 1 << 30,
            memory_bytes: MEMORY_BYTES,
            stall_limit: HOUR,
            server: Server::Unknown,
            clock: Arc::clone(&World::of_this_machine().clock),
        }
    }

    /// A producer that leaves a file `over` at the end of the stage.
    fn usual() -> String {
        let begins = Self::begins();
        format!("{begins}; cat tail && : > over; echo '{ENDS}' >&2; cat end")
    }

    /// A producer up to the beginning of the stage, with which it goes on once that was heard.
    fn begins() -> String {
        format!("cat head; echo '{BEGINS}' >&2; until [ -e heard ]; do sleep 0.01; done")
    }

    /// Backs up what a script prints as it is, and does something meanwhile.
    fn run(
        &self,
        script: &str,
        rules: StageRules,
        workers: u32,
        meanwhile: impl FnOnce(&World),
    ) -> Result<BackupReport> {
        let options = BackupOptions { format: Some(StreamFormat::Raw), ..options(workers) };
        self.run_with(options, script, rules, meanwhile)
    }

    fn run_with(
        &self,
        options: BackupOptions,
        script: &str,
        rules: StageRules,
        meanwhile: impl FnOnce(&World),
    ) -> Result<BackupReport> {
        let script = format!("cd {}; {script}", self.directory.path().display());
        let command = ["sh", "-c", &script].map(OsString::from);
        let log = Box::new(self.log.clone());
        let (source, _) = ChildSource::follow(&command, log, HOUR, rules).unwrap();
        let world = World::of_this_machine();
        thread::scope(|scope| {
            let run = || backup(&self.repository, Box::new(source), &options, &world);
            let running = scope.spawn(run);
            // Also if a check fails: the backup has to end.
            let opened = Opened(&self.gate);
            if script.contains("[ -e heard ]") {
                until("the stage", || self.log.text().contains(BEGINS));
                fs::write(self.path("heard"), "").unwrap();
            }
            meanwhile(&world);
            drop(opened);
            running.join().unwrap()
        })
    }

    /// Checks that what was stored is the beginning of the stream, and returns its length.
    fn stored(&self, report: &BackupReport) -> usize {
        let stored = stream_of(&self.repository, &report.id.to_string()).unwrap();
        assert!(STREAM.starts_with(&stored), "{} other bytes", stored.len());
        stored.len()
    }

    fn spool_is_gone(&self) -> bool {
        fs::read_dir(self.path("spool")).unwrap().next().is_none()
    }
}

fn options(workers: u32) -> BackupOptions {
    let at_once = AtOnce { pack_bytes: PACK_BYTES, ..AtOnce::with_workers(workers) };
    BackupOptions { at_once, ..support::options() }
}

fn codes(report: &BackupReport) -> Vec<(&str, Severity)> {
    report.findings.iter().map(|finding| (finding.code.as_str(), finding.severity)).collect()
}

/// Asserts that the producer has come to no end yet, nor to that of its stage.
fn assert_waits(scene: &Scene) {
    assert!(!scene.exists("over"), "the producer came to the end of its stage");
}

#[test]
fn a_producer_gets_through_its_stage_while_the_store_takes_nothing() {
    for workers in THREADS {
        let scene = Scene::new();
        let report = scene.run(&Scene::usual(), scene.rules(), workers, |world| {
            until("the end of the stage", || scene.exists("over"));
            let stored = world.monitor.counts().stored_bytes;
            assert!(stored < 1 << 20, "{stored} bytes are stored");
        });
        let report = report.unwrap();
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert_eq!(scene.stored(&report), STREAM.len());
        let counts = report.counts;
        let came = usize::try_from(counts.tail_bytes).unwrap();
        let spooled = usize::try_from(counts.spooled_bytes).unwrap();
        // What was in the pipe at the beginning and the end of the stage may be counted or not.
        assert!(came >= TAIL_BYTES - PIPE_BYTES, "{came}");
        assert!(came <= STREAM.len(), "{came}");
        let least = TAIL_BYTES - PIPE_BYTES - MEMORY_BYTES - HELD_BYTES;
        assert!(spooled >= least && spooled <= came, "{workers} workers: {spooled} of {came}");
        assert_eq!(codes(&report), []);
        assert_eq!(report.about.counters.tail_bytes, counts.tail_bytes);
        assert!(scene.spool_is_gone());
    }
}

#[test]
fn outside_of_the_stage_the_producer_waits_as_ever() {
    let scene = Scene::new();
    let script = format!("cat head tail; : > over; echo '{ENDS}' >&2; cat end");
    let report = scene.run(&script, scene.rules(), 2, |world| {
        // All that fits is read, and then nothing more.
        let read = || world.monitor.counts().stream_bytes;
        let mut before = 0;
        until("the pause of the reader", || {
            thread::sleep(Duration::from_millis(200));
            let now = read();
            let stands = now > 0 && now == before;
            before = now;
            stands
        });
        assert!(before < HELD_BYTES.try_into().unwrap(), "{before} bytes were read");
        assert_waits(&scene);
    });
    let report = report.unwrap();
    assert_eq!(scene.stored(&report), STREAM.len());
    assert_eq!((report.counts.tail_bytes, report.counts.spooled_bytes), (0, 0));
}

#[test]
fn a_full_spool_is_said_once_and_the_stream_is_whole() {
    for (server, severity, directory, size, words) in [
        (Server::Unknown, Severity::Note, "spool", 4 << 20, "its 4 MiB are full"),
        (Server::ClusterNode, Severity::Warning, "none", 1 << 30, "it can't be made: "),
    ] {
        let scene = Scene::new();
        let spool = scene.path(directory);
        let rules = StageRules { spool, spool_bytes: size, server, ..scene.rules() };
        let report = scene.run(&Scene::usual(), rules, 2, |_| {
            until("the full spool", || scene.log.text().contains("takes no more"));
            assert_waits(&scene);
        });
        let report = report.unwrap();
        assert_eq!(scene.stored(&report), STREAM.len());
        assert_eq!(codes(&report), [("spool-full", severity)]);
        let text = &report.findings[0].text;
        assert!(text.contains(words) && text.contains("BACKUP STAGE BLOCK_DDL"), "{text}");
        assert_eq!(scene.log.text().matches("takes no more").count(), 1);
        assert!(scene.exists("over") && scene.spool_is_gone());
    }
}

#[test]
fn on_a_node_of_a_cluster_a_stall_of_the_reader_ends_the_producer() {
    for workers in THREADS {
        let scene = Scene::new();
        let rules = StageRules {
            spool_bytes: 2 << 20,
            server: Server::ClusterNode,
            stall_limit: Duration::from_millis(300),
            ..scene.rules()
        };
        let report = scene.run(&Scene::usual(), rules, workers, |_| {
            // While the store still takes nothing.
            until("the end of the producer", || scene.log.text().contains("is ended"));
        });
        let report = report.unwrap();
        assert_eq!(report.about.verdict, Verdict::Partial);
        let reason = &report.about.reasons[0];
        for words in
            ["BACKUP STAGE BLOCK_DDL stood still for 0 s", "the node goes on", "--stall-limit"]
        {
            assert!(reason.contains(words), "{reason}");
        }
        let warnings = [("stage-stalled", Severity::Warning), ("spool-full", Severity::Warning)];
        assert_eq!(codes(&report), warnings);
        let stored = scene.stored(&report);
        assert!(stored > HEAD_BYTES && stored < STREAM.len(), "{stored}");
        assert_waits(&scene);
        assert!(scene.spool_is_gone());
    }
}

#[test]
fn a_producer_that_gives_nothing_is_ended_on_a_node_of_a_cluster() {
    let node = "Streaming xtrabackup_galera_info to <STDOUT>";
    for (server, line) in [(Server::ClusterNode, ""), (Server::Unknown, node)] {
        let scene = Scene::new();
        let rules = StageRules { server, stall_limit: Duration::from_millis(300), ..scene.rules() };
        let script = format!("cat head; echo '{BEGINS}' >&2; echo '{line}' >&2; sleep 1000");
        let report = scene.run(&script, rules, 2, |_| {
            until("the end of the producer", || scene.log.text().contains("is ended"));
        });
        let report = report.unwrap();
        assert_eq!(report.about.verdict, Verdict::Partial);
        assert!(report.about.reasons[0].contains("the producer gave nothing"));
        assert_eq!(codes(&report), [("stage-stalled", Severity::Warning)]);
        assert_eq!(scene.stored(&report), HEAD_BYTES);
    }
}

#[test]
fn elsewhere_a_stall_is_a_warning_and_the_backup_goes_on() {
    let scene = Scene::new();
    let rules = StageRules { stall_limit: Duration::from_millis(300), ..scene.rules() };
    let waits = "until [ -e go ]; do sleep 0.02; done";
    let script = Scene::usual().replace("cat tail", &format!("{waits}; cat tail"));
    let report = scene.run(&script, rules, 2, |_| {
        until("the warning", || scene.log.text().contains("stood still"));
        fs::write(scene.path("go"), "").unwrap();
    });
    let report = report.unwrap();
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    assert_eq!(codes(&report), [("stage-stalled", Severity::Warning)]);
    assert_eq!(scene.stored(&report), STREAM.len());
    assert_eq!(scene.log.text().matches("stood still").count(), 1);
}

#[test]
fn a_producer_that_fails_in_its_stage_leaves_what_it_gave() {
    for workers in THREADS {
        let scene = Scene::new();
        let script = format!("{}; cat tail && : > over; exit 3", Scene::begins());
        let report = scene.run(&script, scene.rules(), workers, |_| {
            until("the end of the producer", || scene.exists("over"));
        });
        let report = report.unwrap();
        assert_eq!(report.about.verdict, Verdict::Partial);
        assert!(report.about.reasons[0].contains("exit status 3"), "{:?}", report.about.reasons);
        assert_eq!(scene.stored(&report), HEAD_BYTES + TAIL_BYTES);
        let came = usize::try_from(report.counts.tail_bytes).unwrap();
        assert!((TAIL_BYTES..=HEAD_BYTES + TAIL_BYTES).contains(&came), "{came}");
    }
}

#[test]
fn a_wish_to_stop_ends_a_stage_that_waits_for_room() {
    for workers in THREADS {
        let scene = Scene::new();
        let rules = StageRules { spool_bytes: 2 << 20, ..scene.rules() };
        let script = format!("echo $$ > pid; {}", Scene::usual());
        let stopped = scene.run(&script, rules, workers, |world| {
            until("the full spool", || scene.log.text().contains("takes no more"));
            world.monitor.stop();
        });
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_waits(&scene);
        let pid = fs::read_to_string(scene.path("pid")).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        // A killed process whose parent is gone stays until it is reaped.
        let runs = || {
            let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        until("the end of the producer", || !runs());
        assert!(scene.spool_is_gone());
    }
}

#[test]
fn an_mbstream_without_a_stage_is_a_finding() {
    for (server, severity) in
        [(Server::Unknown, Severity::Note), (Server::ClusterNode, Severity::Warning)]
    {
        let scene = Scene::new();
        scene.gate.open();
        fs::write(scene.path("stream"), support::Server::new(5, 2, 8).stream()).unwrap();
        let said = |lines: &str| {
            let rules = StageRules { server, ..scene.rules() };
            let script = format!("{lines}; cat stream; echo 'completed OK!' >&2");
            scene.run_with(options(2), &script, rules, |_| {}).unwrap()
        };
        let report = said("echo 'Acquired the locks of stage 3' >&2");
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert_eq!(codes(&report), [("stage-not-named", severity)]);
        let report = said(&format!("echo '{BEGINS}' >&2"));
        assert_eq!(codes(&report), []);
    }
}

// --- the program ----------------------------------------------------------------------------

#[test]
fn a_kill_leaves_no_spool() {
    let place = Place::clear();
    let spool = place.path("spool");
    fs::create_dir(&spool).unwrap();
    let stream = place.file("stream", &STREAM[..]);
    // The stream has more than what fits into the queues of the least memory.
    let script = format!("echo '{BEGINS}' >&2; cat {stream} {stream} {stream} {stream}");
    let spool_text = spool.to_str().unwrap();
    let line = ["backup", "--limit", "1KiB", "--spool", spool_text, "--memory", "96MiB"];
    let producer = ["--format", "raw", "--source", "s", "--", "sh", "-c", &script];
    let mut child = place.started(&[&line[..], &producer].concat(), Stdio::null());
    let descriptors = Path::new("/proc").join(child.id().to_string()).join("fd");
    until("the spool", || {
        let open = fs::read_dir(&descriptors).unwrap().flatten();
        open.flat_map(|entry| fs::read_link(entry.path())).any(|path| path.starts_with(&spool))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
}

#[test]
fn a_spool_that_cannot_be_made_where_it_was_asked_for_is_an_error_at_once() {
    let place = Place::clear();
    let begun = place.path("begun");
    let script = format!(": > {}", begun.display());
    let line = ["backup", "--spool", "/nowhere", "--source", "s", "--", "sh", "-c", &script];
    place.ran(&line).is(1).says("cannot make a spool in /nowhere");
    assert!(!begun.exists(), "the producer was started");
}

#[test]
fn the_report_has_the_pause_if_the_producer_named_one() {
    let place = Place::clear();
    let stage = format!("echo '{BEGINS}' >&2; sleep 0.2; echo '{ENDS}' >&2; echo data");
    let pause = |script: &str| place.backed_up(script).is(0).json()["pause"].clone();
    let named = pause(&stage);
    assert!(named["milliseconds"].as_u64().unwrap() > 0, "{named}");
    assert_eq!(named["spooled_bytes"], 0);
    assert!(pause("echo data").is_null());
}

#[test]
fn its_options_are_keys_of_a_source() {
    let place = Place::clear();
    let repository = place.path("repo");
    let config = format!(
        "[repository.local]\nurl = '{}'\n[source.db1]\nkind = 'mariabackup'\n\
         galera_info = true\nspool = '/var/spool/haulout'\nspool_size = '1GiB'\n\
         stall_limit = '2min'\n[job.nightly]\nsources = ['db1']\nrepository = 'local'\n",
        repository.display()
    );
    let config = place.file("haulout.toml", config);
    place.ran(&["config", "check", "--config", &config]).is(0);
    let planned = place.ran(&["run", "nightly", "--plan", "--config", &config]).is(0).out();
    for words in ["--spool=/var/spool/haulout", "--spool-size=1GiB", "--stall-limit=2min"] {
        assert!(planned.contains(words), "{planned}");
    }
}
