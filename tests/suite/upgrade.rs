//! Repositories of earlier versions get the features of this one: nothing but the config changes,
//! whatever interrupts it, and who may not do it is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Barrier;

use bytes::Bytes;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::config::FEATURES_MADE;
use haulout::format::config::Features;
use haulout::ops::backup::BackupOptions;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::upgrade;
use haulout::ops::upgrade::Standing;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Gaps;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::slot_contents::Role;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::cached::CacheDir;
use haulout::store::cached::Cached;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Recording;
use tempfile::TempDir;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::init_as_earlier;
use crate::support::keys_by;
use crate::support::open;
use crate::support::opened_by;
use crate::support::options;
use crate::support::passphrase;
use crate::support::program::Place;
use crate::support::s3;
use crate::support::s3::Answer;
use crate::support::s3::Conditions;
use crate::support::s3::S3;
use crate::support::shared;
use crate::support::stream_of;

const CONFIG: &str = "config";

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn config_of(store: &dyn Store) -> Bytes {
    store.get(&name(CONFIG), 1000).unwrap()
}

/// Plans an upgrade and runs it, if no run may stand.
fn upgraded(repository: &Repository) -> Result<Repository, Error> {
    upgraded_with(repository, Standing::Refused)
}

fn upgraded_with(repository: &Repository, standing: Standing) -> Result<Repository, Error> {
    let world = World::of_this_machine();
    upgrade::plan(repository, &world)?.run(standing, &world)
}

/// A repository as 0.1.0 makes it, with one night; its stream.
fn earlier(store: Arc<dyn Store>, seed: u64) -> (Repository, Vec<u8>) {
    let repository = init_as_earlier(store, Protected::Encrypted, Features::NONE, seed);
    let stream = Server::new(seed, 1, 10).stream();
    back_up(&repository, &stream);
    (repository, stream)
}

/// Copies a repository of the archive to a directory of its own.
fn archived(repository: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("repo");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/repos").join(repository);
    copy_directory(&archive, &copy);
    (directory, copy)
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy_directory(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// All objects of a store with their bytes.
fn objects(store: &dyn Store) -> BTreeMap<String, Bytes> {
    let mut names = Vec::new();
    store.list("", &mut |meta| names.push(meta.name)).unwrap();
    names.into_iter().map(|name| (name.to_string(), store.get(&name, 1 << 30).unwrap())).collect()
}

/// Takes out the lists of earlier snapshots, and returns how many they are.
fn take_lists(objects: &mut BTreeMap<String, Bytes>) -> usize {
    let all = objects.len();
    objects.retain(|name, _| !name.starts_with("notes/began-"));
    all - objects.len()
}

/// What a real server's backup takes in the archived repository, with or without an upgrade, after
/// which the repository has these features.
fn stored_by_a_night(archive: &str, features: Features) -> u64 {
    let is_upgraded = features == FEATURES_MADE;
    let (_directory, path) = archived(archive);
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(&path).unwrap());
    let repository = open(Arc::clone(&store), 5).unwrap();
    assert_eq!(repository.features(), Features::NONE);
    let before = objects(&*store);
    let repository = if is_upgraded { upgraded(&repository).unwrap() } else { repository };
    let mut after = objects(&*store);
    if is_upgraded {
        let config = after.insert(CONFIG.to_owned(), before[CONFIG].clone()).unwrap();
        let differing = config.iter().zip(&before[CONFIG]).enumerate();
        let differing = differing.filter(|(_, (new, old))| new != old).map(|(at, _)| at);
        let places: Vec<usize> = differing.collect();
        assert!(places.iter().all(|at| *at == 12 || *at >= 89), "bits, sum and tag: {places:?}");
        assert!(places.contains(&12) && config[12] == 0b1101);
        assert_eq!(take_lists(&mut after), 1, "a list of the snapshots");
    }
    assert!(after == before, "nothing but the config is another one");

    let packed = fs::read("tests/streams/small.mbs.zst").unwrap();
    let stream = zstd::decode_all(&packed[..]).unwrap();
    let other = BackupOptions { source: "small".to_owned(), ..options() };
    let report = back_up_with(&repository, &stream, ProducerExit::Exited(0), &other).unwrap();
    let reopened = open(store, 6).unwrap();
    assert_eq!(reopened.features(), features);
    assert!(stream_of(&reopened, &report.id.to_string()).unwrap() == stream);
    let streams = Path::new("tests/repos").join(archive).with_extension("streams");
    for line in fs::read_to_string(streams).unwrap().lines() {
        let (id, hash) = line.split_once(' ').unwrap();
        let stream = stream_of(&reopened, id).unwrap();
        assert_eq!(blake3::hash(&stream).to_hex().as_str(), hash, "snapshot {id}");
    }
    let options = VerifyOptions::new(Depth::Pages);
    let verified = verify(&reopened, &options, &World::of_this_machine()).unwrap();
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
    report.counts.stored_bytes
}

#[test]
fn an_archived_repository_keeps_everything_and_goes_on_in_the_new_form() {
    for archive in ["v1-texts-encrypted", "v1-texts-clear"] {
        let [with, without] =
            [FEATURES_MADE, Features::NONE].map(|features| stored_by_a_night(archive, features));
        // Frames of pages are smaller in the new form, so a few pages save nothing.
        assert_ne!(with, without, "{archive}");
        assert!(with < without + without / 50, "{archive}: {with} bytes, {without} as before");
    }
}

#[test]
fn what_has_all_features_is_left_alone() {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init(shared(&store), Protected::Encrypted, 1);
    store.reset();
    let plan = upgrade::plan(&repository, &World::of_this_machine()).unwrap();
    assert_eq!((plan.has, plan.sets), (FEATURES_MADE, Features::NONE));
    upgraded(&repository).unwrap();
    assert_eq!(store.calls(Verb::Replace) + store.calls(Verb::Put), 0);
}

/// Lets everything fail from each call on, in turn, and upgrades again when that is over.
fn interrupted_everywhere(effect: Effect) {
    let (mut left, mut set) = (0, 0);
    for nth in 1.. {
        let store = Arc::new(MemoryStore::new());
        let (repository, stream) = earlier(shared(&store), 3);
        let before = objects(&*store);
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) };
        let failing = Arc::new(Failing::new(shared(&store), vec![fault.at(nth).ever_after()]));
        let outcome = upgraded(&repository.elsewhere(shared(&failing)));
        let reopened = open(shared(&store), 4).unwrap();
        match reopened.features() {
            Features::NONE => {
                left += 1;
                let mut now = objects(&*store);
                assert!(take_lists(&mut now) < 2 && outcome.is_err(), "call {nth}");
                assert!(now == before, "call {nth}");
            }
            features => {
                set += 1;
                assert_eq!(features, FEATURES_MADE, "call {nth}");
            }
        }
        assert!(stream_of(&reopened, "latest").unwrap() == stream, "call {nth}");
        assert_eq!(upgraded(&reopened).unwrap().features(), FEATURES_MADE);
        assert_eq!(open(shared(&store), 5).unwrap().features(), FEATURES_MADE);
        if failing.struck() == 0 {
            assert!(outcome.is_ok() && left > 3, "call {nth}: {left} left, {set} set");
            break;
        }
    }
}

#[test]
fn whatever_call_is_the_last_the_repository_has_all_features_or_none() {
    interrupted_everywhere(Effect::RefuseBefore(Category::Transient));
    interrupted_everywhere(Effect::RefuseAfter(Category::Transient));
}

#[test]
fn a_store_that_lies_about_the_config_is_not_believed() {
    for (verb, nth, effect, kind) in [
        (Verb::Replace, 1, Effect::Forget, ErrorKind::Store),
        (Verb::Get, 1, Effect::FlipBit(30), ErrorKind::Damaged),
        (Verb::Get, 2, Effect::FlipBit(30), ErrorKind::Damaged),
        (Verb::Get, 2, Effect::Truncate(50), ErrorKind::Damaged),
        (Verb::Get, 2, Effect::Forget, ErrorKind::Missing),
    ] {
        let store = Arc::new(MemoryStore::new());
        let (repository, _) = earlier(shared(&store), 3);
        let fault = Fault::first(verb, effect).at(nth).under(CONFIG);
        let failing = Arc::new(Failing::new(shared(&store), vec![fault]));
        let error = upgraded(&repository.elsewhere(shared(&failing))).unwrap_err();
        assert_eq!(error.kind(), kind, "{verb} {effect:?}: {error:?}");
        assert_eq!(failing.struck(), 1);
        open(shared(&store), 4).unwrap();
    }
}

#[test]
fn a_config_of_another_repository_is_not_given_features() {
    let store = Arc::new(MemoryStore::new());
    let (repository, _) = earlier(shared(&store), 3);
    let other = Arc::new(MemoryStore::new());
    earlier(shared(&other), 8);
    store.replace(&name(CONFIG), &[config_of(&*other)]).unwrap();
    assert_eq!(upgraded(&repository).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(config_of(&*store) == config_of(&*other));
}

#[test]
fn a_key_that_may_only_write_and_one_that_was_retired_are_refused() {
    let store = Arc::new(MemoryStore::new());
    let (full, _) = earlier(shared(&store), 3);
    let before = config_of(&*store);
    let file = KeyFile::generate(&SeededEntropy::new(8));
    let note = KeySlotNote { label: "db1".to_owned(), created_unix_seconds: 0 };
    let keys = keys_by(&shared(&store), "correct horse").unwrap();
    keys.add(Role::WriteOnly, Protection::KeyFile(&file), &note).unwrap();
    let text = file.to_text();
    let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(&text).unwrap()));
    let world = support::world(9);
    let host = Repository::open(shared(&store), &mut give, &Limits::FOR_TESTS, &world).unwrap();
    assert_eq!(upgraded(&host).unwrap_err().kind(), ErrorKind::WriteOnly);

    let new = passphrase("new");
    let protection = Protection::Passphrase(&new, KdfCost::FOR_TESTS);
    keys.rotate(protection, &note, Gaps::Refused).unwrap();
    assert_eq!(upgraded(&full).unwrap_err().kind(), ErrorKind::RetiredSlot);
    assert!(config_of(&*store) == before);
    upgraded(&opened_by(&shared(&store), "new").unwrap()).unwrap();
}

#[test]
fn where_nothing_may_be_overwritten_it_is_refused_and_nothing_is_changed() {
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        let store: Arc<dyn Store> = Arc::new(server.store("db"));
        let (repository, stream) = earlier(Arc::clone(&store), 3);
        let before = config_of(&*store);
        let answer = Answer::Status(403, denied);
        let fault = s3::Fault { path: CONFIG, ..s3::Fault::next("PUT", u64::MAX, answer) };
        server.break_with(fault);
        let error = upgraded(&repository).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protected, "{error:?}");
        assert!(config_of(&*store) == before);
        server.heal();
        upgraded(&repository).unwrap();
        let reopened = open(store, 4).unwrap();
        assert_eq!(reopened.features(), FEATURES_MADE, "{conditions:?}");
        assert!(stream_of(&reopened, "latest").unwrap() == stream);
    }
}

#[test]
fn an_answer_of_a_bucket_that_is_lost_is_asked_for_again() {
    let server = S3::start();
    let store: Arc<dyn Store> = Arc::new(server.store("db"));
    let (repository, _) = earlier(Arc::clone(&store), 3);
    for answer in [Answer::Status(503, ""), Answer::DoneAndStatus(503)] {
        let fault = s3::Fault { path: CONFIG, ..s3::Fault::next("PUT", 2, answer) };
        server.break_with(fault);
    }
    upgraded(&repository).unwrap();
    assert_eq!(open(store, 4).unwrap().features(), FEATURES_MADE);
}

#[test]
fn a_run_that_may_stand_is_named_and_known_to_have_ended_only_by_a_person() {
    let store = Arc::new(MemoryStore::new());
    let (repository, stream) = earlier(shared(&store), 3);
    let standing = |repository: &Repository| {
        upgrade::plan(repository, &World::of_this_machine()).unwrap().standing
    };
    assert!(standing(&repository).is_empty(), "every run has put its snapshot");
    // One is killed before its snapshot, one after a checkpoint.
    let fault = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Denied));
    for (prefix, nth, checkpoint_bytes) in [("packs/", 1, u64::MAX), ("snapshots/", 2, 1 << 20)] {
        let faults = vec![fault.clone().under(prefix).at(nth).ever_after()];
        let failing = Arc::new(Failing::new(shared(&store), faults));
        let broken = repository.elsewhere(shared(&failing));
        let night = Server::new(9, 2, 400).stream();
        let options = BackupOptions { checkpoint_bytes, ..options() };
        back_up_with(&broken, &night, ProducerExit::Exited(0), &options).unwrap_err();
    }
    let found = standing(&repository);
    let mut sources: Vec<Option<&str>> = found.iter().map(|run| run.source.as_deref()).collect();
    sources.sort();
    assert_eq!(sources, [None, Some("shop")]);
    let error = upgraded(&repository).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    for run in &found {
        assert!(error.to_string().contains(&run.id[..8]), "{error}");
    }
    assert_eq!(open(shared(&store), 4).unwrap().features(), Features::NONE);
    let upgraded = upgraded_with(&repository, Standing::Ended).unwrap();
    assert!(stream_of(&upgraded, &back_up(&upgraded, &stream).id.to_string()).unwrap() == stream);
}

#[test]
fn many_runs_are_counted_and_the_first_are_named() {
    let store = Arc::new(MemoryStore::new());
    let (repository, _) = earlier(shared(&store), 3);
    let mut record = None;
    store.list("runs/", &mut |meta| record = Some(meta.name)).unwrap();
    let record = store.get(&record.unwrap(), 1 << 20).unwrap();
    for number in 0..9 {
        let run = name(&format!("runs/{number:032x}"));
        store.put(&run, std::slice::from_ref(&record)).unwrap();
    }
    let error = upgraded(&repository).unwrap_err().to_string();
    assert!(error.contains("00000000, ") && error.ends_with("and 4 others"), "{error}");
}

#[test]
fn a_file_that_is_being_written_is_waited_for_whatever_a_person_says() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(directory.path()).unwrap());
    let (repository, _) = earlier(store, 3);
    let writing = fs::File::create(directory.path().join("packs/.tmp-1-1")).unwrap();
    writing.lock().unwrap();
    let error = upgraded_with(&repository, Standing::Ended).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(writing);
    upgraded(&repository).unwrap();
}

#[test]
fn a_run_that_began_before_must_be_run_again_and_every_host_learns_it_at_its_next() {
    let directory = tempfile::tempdir().unwrap();
    let beneath = Arc::new(MemoryStore::new());
    let mut streams = vec![earlier(shared(&beneath), 3).1];
    let host = |seed| {
        let cache = CacheDir::open(directory.path(), 1 << 30).unwrap();
        open(Arc::new(Cached::new(Arc::clone(&beneath), cache)), seed).unwrap()
    };
    let before = host(4);
    upgraded(&host(5)).unwrap();
    assert_eq!(before.features(), Features::NONE);
    let night = Server::new(7, 1, 12).stream();
    let late = back_up_with(&before, &night, ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert!(late.to_string().ends_with("run it again"), "{late}");
    // The snapshot is there, and nothing relies on it.
    let now = host(6);
    let listed = now.listed_snapshots(None).unwrap();
    assert_eq!((listed.len(), now.snapshots().unwrap().snapshots.len()), (2, 1));
    let hidden = now.read_snapshot(&listed[1]).unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::Removed);
    assert!(hidden.to_string().contains("an earlier version"), "{hidden}");
    let plan = prune::plan(&now, &PruneOptions::default(), &World::of_this_machine()).unwrap();
    assert_eq!((plan.doubtful.as_slice(), plan.doomed.len()), (&listed[1..], 0));
    back_up(&now, &night);
    streams.push(night);
    let last = host(9);
    assert_eq!(last.features(), FEATURES_MADE);
    let listing = last.snapshots().unwrap();
    assert_eq!(listing.snapshots.len(), streams.len());
    for (stored, stream) in listing.snapshots.iter().zip(&streams) {
        assert!(stream_of(&last, &stored.id().to_string()).unwrap() == *stream);
    }
}

#[test]
fn several_upgrades_at_once_all_succeed_and_put_the_same_bytes() {
    for round in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let at = || -> Arc<dyn Store> { Arc::new(LocalStore::open(directory.path()).unwrap()) };
        earlier(at(), 3);
        let threads = [1, 2, 4][round % 3];
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            for seed in 0..threads {
                let (barrier, store) = (&barrier, at());
                scope.spawn(move || {
                    let repository = open(store, u64::try_from(seed).unwrap()).unwrap();
                    let world = World::of_this_machine();
                    // What another one writes at that moment is seen, and no reason to fail here.
                    let mut plan = upgrade::plan(&repository, &world).unwrap();
                    plan.being_written = 0;
                    barrier.wait();
                    plan.run(Standing::Refused, &world).unwrap();
                });
            }
        });
        let alone = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(LocalStore::open(alone.path()).unwrap());
        let (repository, _) = earlier(Arc::clone(&store), 3);
        upgraded(&repository).unwrap();
        assert!(config_of(&*at()) == config_of(&*store));
        let (mut there, mut alone) = (objects(&*at()), objects(&*store));
        assert!((1..=threads).contains(&take_lists(&mut there)), "each may put a list");
        assert_eq!(take_lists(&mut alone), 1);
        assert!(there.len() == alone.len(), "nothing else is left");
    }
}

/// A place with the archived repository that has no password.
fn place() -> Place {
    let place = Place::empty();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/repos/v1-texts-clear");
    copy_directory(&archive, &place.path("repo"));
    place
}

#[test]
fn the_program_says_what_it_would_set_sets_it_and_finds_nothing_more_to_do() {
    let place = place();
    let repo = place.path("repo").display().to_string();
    let planned = format!(
        "3 features would be set in {repo}\n  \
         feature   0, runs put intents, prune deletes\n  \
         feature   2, blocks and deltas in normal form, deltas of two bases\n  \
         feature   3, packs that nothing needs may be absent\n  \
         needs     haulout 0.2 or newer on every host: earlier versions refuse it\n"
    );
    place.ran(&["upgrade", "--plan"]).is(0).prints(&planned);
    let plan = place.ran(&["upgrade", "--plan", "--json"]).is(0).json();
    let bits: Vec<_> = plan["sets"].as_array().unwrap().iter().map(|set| &set["bit"]).collect();
    assert_eq!(bits, [0, 2, 3]);
    assert_eq!((plan["needs"].as_str(), plan["runs"].as_array().unwrap().len()), (Some("0.2"), 0));
    let stats = place.ran(&["stats"]).is(0).out();
    assert!(stats.contains("haulout upgrade --plan"), "{stats}");
    let refused = format!("haulout before 0.2 will refuse {repo} on every host");
    place.ran(&["upgrade"]).is(2).says(&refused).says("with --yes");
    assert_eq!(place.ran(&["upgrade", "--json"]).is(2).error_kind(), "usage");
    assert_eq!(place.ran(&["stats", "--json"]).is(0).json()["features"], serde_json::json!([]));
    let done = format!("set 3 features in {repo}: it needs haulout 0.2 or newer\n");
    place.ran(&["upgrade", "--yes"]).is(0).prints(&done);
    let nothing = format!("{repo} has all features: there is nothing to upgrade\n");
    place.ran(&["upgrade"]).is(0).prints(&nothing);
    place.ran(&["upgrade", "--plan"]).is(0).prints(&nothing);
    let again = place.ran(&["upgrade", "--json"]).is(0).json();
    assert_eq!(again["features"], serde_json::json!([0, 2, 3]));
    assert_eq!(again["set"], serde_json::json!([]));
    let stats = place.ran(&["stats", "--json"]).is(0).json();
    assert_eq!(stats["features"], serde_json::json!([0, 2, 3]));
    place.fed(&["backup", "--source", "db"], b"a stream").is(0);
    place.ran(&["verify", "--depth", "blocks"]).is(0);
}

#[test]
fn the_program_refuses_while_a_run_may_be_writing_unless_it_is_known_to_have_ended() {
    let place = place();
    let records = place.objects("runs");
    let standing = "0123456789abcdef0123456789abcdef";
    fs::copy(&records[0], place.path("repo/runs").join(standing)).unwrap();
    let refused = place.ran(&["upgrade", "--json", "--yes"]).is(1);
    assert_eq!(refused.error_kind(), "busy");
    assert_eq!(refused.json()["error"]["code"], "store");
    place.ran(&["upgrade", "--yes"]).is(1).says("01234567").says("--runs-ended");
    let plan = place.ran(&["upgrade", "--plan", "--json"]).is(3).json();
    assert_eq!(plan["runs"][0]["run"], standing);
    let planned = place.ran(&["upgrade", "--plan"]).is(3).out();
    assert!(planned.ends_with("  run       01234567 may be writing\n"), "{planned}");
    place.ran(&["upgrade", "--plan", "--runs-ended"]).is(0);
    place.ran(&["upgrade", "--runs-ended", "--yes"]).is(0);
    let stats = place.ran(&["stats", "--json"]).is(0).json();
    assert_eq!(stats["features"], serde_json::json!([0, 2, 3]));
}

#[test]
fn a_host_that_remembers_notices_an_older_config() {
    let place = place();
    let state = place.path("state").display().to_string();
    let config = place.path("repo/config");
    let old = fs::read(&config).unwrap();
    place.ran(&["upgrade", "--yes", "--state", &state]).is(0);
    place.ran(&["snapshots", "--state", &state]).is(0);
    fs::remove_file(&config).unwrap();
    fs::write(&config, old).unwrap();
    let refused = place.ran(&["snapshots", "--state", &state, "--json"]).is(1);
    assert_eq!(refused.error_kind(), "rolled-back");
    place.ran(&["snapshots"]).is(0);
}
