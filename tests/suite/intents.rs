//! Runs of a repository with intents: what they say before they rely on anything, and in which
//! order; what stops them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::fence::Fence;
use haulout::format::fence::Judged;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::format::layout::Object;
use haulout::format::removed::Removal;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupReport;
use haulout::ops::repair::plan;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::keys::Keys;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::cost::Limits;
use haulout::seal::ids::RunId;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::slot_contents::Role;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectMeta;
use haulout::store::name::ObjectName;
use haulout::store::testing::Call;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init_as_earlier;
use crate::support::open;
use crate::support::options;
use crate::support::password;
use crate::support::shared;
use crate::support::stream_of;

const WITH_INTENTS: Features = Features(Features::INTENTS.0 | Features::NORMAL_FORM.0);

/// A repository with intents, after some nights, and the server.
fn nights(count: usize) -> (Arc<MemoryStore>, Repository, Server) {
    let store = Arc::new(MemoryStore::new());
    let repository = init_as_earlier(shared(&store), Protected::Encrypted, WITH_INTENTS, 1);
    let mut server = Server::new(3, 2, 12);
    for _ in 0..count {
        back_up(&repository, &server.stream());
        server.night(3);
    }
    (store, repository, server)
}

fn removal(of: &StoredSnapshot) -> Removal {
    let about = &of.snapshot.about;
    Removal {
        time: 1,
        program: String::new(),
        host: String::new(),
        predecessor: about.parent.clone(),
        run: about.run.clone(),
        runs: Vec::new(),
        kind: about.kind,
        verdict: about.verdict,
        requires: Vec::new(),
        reason: String::new(),
        replaced_by: None,
        origin: None,
    }
}

/// What happens in between: right after a call about names that begin with a prefix.
type Between = Box<dyn Fn(&ObjectName) + Send + Sync>;

/// Does something once, right after the first put under a prefix.
struct Interfered {
    inner: Arc<MemoryStore>,
    prefix: &'static str,
    between: Mutex<Option<Between>>,
}

impl fmt::Debug for Interfered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interfered").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Interfered {
    fn new(inner: &Arc<MemoryStore>, prefix: &'static str, between: Between) -> Arc<Self> {
        let between = Mutex::new(Some(between));
        Arc::new(Self { inner: Arc::clone(inner), prefix, between })
    }
}

impl Store for Interfered {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.inner.put(name, payload)?;
        if name.as_str().starts_with(self.prefix) {
            let between = self.between.lock().unwrap().take();
            between.into_iter().for_each(|between| between(name));
        }
        Ok(())
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.inner.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

/// A night whose store does something after the first put under `prefix`.
fn disturbed(
    store: &Arc<MemoryStore>,
    prefix: &'static str,
    stream: &[u8],
    between: impl Fn(&ObjectName) + Send + Sync + 'static,
) -> haulout::base::error::Result<BackupReport> {
    let store = Interfered::new(store, prefix, Box::new(between));
    let repository = open(store, 7).unwrap();
    back_up_with(&repository, stream, ProducerExit::Exited(0), &options())
}

fn names(store: &MemoryStore, prefix: &str) -> Vec<ObjectName> {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(prefix)).collect()
}

/// The folder of a call, and what it did there.
fn step(call: &Call) -> String {
    let folder = call.object.split('/').next().unwrap();
    format!("{:?} {folder}", call.verb)
}

#[test]
fn a_run_says_what_it_relies_on_before_it_looks_and_looks_again_when_it_is_done() {
    let (store, _, server) = nights(2);
    let recorded = Arc::new(Recording::new(Arc::clone(&store)));
    let repository = open(shared(&recorded), 5).unwrap();
    recorded.reset();
    back_up(&repository, &server.stream());
    let steps: Vec<String> = recorded.log().iter().map(step).collect();
    let at = |wanted: &str, nth: usize| {
        let found = steps.iter().enumerate().filter(|(_, step)| *step == wanted);
        found.map(|(at, _)| at).nth(nth).unwrap_or_else(|| panic!("{wanted}: {steps:#?}"))
    };
    let order = [
        at("Put runs", 0),
        at("List snapshots", 0),
        at("Put intents", 0),
        at("List fences", 0),
        at("List removed", 0),
        at("Get snapshots", 0),
        at("List packs", 0),
        at("Put packs", 0),
        at("Put snapshots", 0),
        at("List fences", 1),
        at("Delete intents", 0),
    ];
    assert!(order.is_sorted(), "{steps:#?}");
    assert_eq!(order[10] + 1, steps.len(), "nothing comes after: {steps:#?}");
    for once in ["List snapshots", "Put intents", "List removed", "Delete intents"] {
        assert_eq!(steps.iter().filter(|step| *step == once).count(), 1, "{once}");
    }
    assert!(names(&store, "intents/").is_empty());
}

/// The verb of a run, and the numbers of its roots.
type Seen = Option<(IntentVerb, Vec<u64>)>;

#[test]
fn while_a_run_stands_its_intent_names_all_snapshots_of_its_source() {
    let (store, repository, server) = nights(2);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (seen_by, reader) = (Arc::clone(&seen), repository.clone());
    let report = disturbed(&store, "packs/", &server.stream(), move |_| {
        let standing = reader.standing().unwrap();
        assert!(standing.unread.is_empty() && standing.deleter().is_none());
        let run = &standing.runs[0];
        assert!(run.is_whole && run.removes.is_empty() && run.puts.is_empty());
        let roots = run.roots.iter().map(|name| name.sequence).collect();
        *seen_by.lock().unwrap() = Some((run.verb, roots));
    })
    .unwrap();
    assert_eq!(*seen.lock().unwrap(), Some((IntentVerb::Backup, vec![1, 2])));
    let stored = repository.find_snapshot("latest").unwrap();
    assert_eq!(stored.snapshot.about.protocol, Some(1));
    assert_eq!(report.about.run, stored.snapshot.about.run);
    assert!(repository.standing().unwrap().runs.is_empty());
}

fn stop(repository: &Repository, run: RunId, spared: &[StoredSnapshot]) {
    let spared = spared.iter().map(StoredSnapshot::id).collect();
    let runs = [*run.bytes()];
    repository.put_fence(1, &Fence { time: 1, runs: runs.into(), verdict: None }).unwrap();
    let verdict = Some(Judged { spared, ..Judged::default() });
    repository.put_fence(2, &Fence { time: 1, runs: runs.into(), verdict }).unwrap();
}

fn run_of(name: &ObjectName) -> RunId {
    let Some(Object::Intent { run, .. }) = Object::parse(name) else { panic!("{name}") };
    RunId::new(run)
}

#[test]
fn a_run_that_a_prune_stops_reports_no_success_wherever_it_is() {
    for prefix in ["intents/", "packs/", "snapshots/"] {
        let (store, repository, server) = nights(2);
        let (reader, seen) = (repository.clone(), Arc::clone(&store));
        let error = disturbed(&store, prefix, &server.stream(), move |_| {
            stop(&reader, run_of(&names(&seen, "intents/")[0]), &[]);
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{prefix}: {error}");
        assert!(error.to_string().contains("a prune has stopped this run"), "{error}");
        assert_eq!(names(&store, "intents/").len(), 1, "its intent stays for prune");
        assert_eq!(repository.snapshots().unwrap().snapshots.len(), 2, "{prefix}");
        let listed = repository.listed_snapshots(None).unwrap().len();
        assert_eq!(listed, if prefix == "intents/" { 2 } else { 3 }, "{prefix}");
        // The next run does not care.
        let report = back_up(&repository, &server.stream());
        let expected = u64::try_from(listed).unwrap() + 1;
        assert_eq!((report.about.sequence, report.about.epoch), (expected, 2));
        assert!(report.damaged.is_empty() && report.packs_absent == 0, "{report:?}");
        assert_eq!(stream_of(&repository, "latest").unwrap(), server.stream());
    }
}

#[test]
fn a_snapshot_that_a_verdict_spares_stays_valid_although_its_run_is_told_that_it_failed() {
    let (store, repository, server) = nights(1);
    let (reader, seen) = (repository.clone(), Arc::clone(&store));
    let error = disturbed(&store, "snapshots/", &server.stream(), move |_| {
        let all = reader.snapshots().unwrap().snapshots;
        stop(&reader, run_of(&names(&seen, "intents/")[0]), &all);
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 2);
}

#[test]
fn a_root_that_is_removed_behind_the_intent_is_none() {
    let (store, repository, server) = nights(2);
    let all = repository.snapshots().unwrap().snapshots;
    let (reader, newest) = (repository.clone(), all[1].clone());
    let removed = Arc::clone(&store);
    let report = disturbed(&store, "intents/", &server.stream(), move |_| {
        reader.put_removal(&newest.name, &removal(&newest)).unwrap();
        removed.delete(&newest.name.object()).unwrap();
    })
    .unwrap();
    assert_eq!(report.about.parent, Some(all[0].id().to_string()));
    assert_eq!(report.about.sequence, 3);
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
    assert_eq!(stream_of(&repository, "latest").unwrap(), server.stream());
}

#[test]
fn a_root_that_a_verdict_bars_behind_the_intent_is_none() {
    let (store, repository, server) = nights(2);
    let all = repository.snapshots().unwrap().snapshots;
    let run = haulout::base::hex::decode(&all[1].snapshot.about.run).unwrap();
    let reader = repository.clone();
    let report = disturbed(&store, "intents/", &server.stream(), move |_| {
        stop(&reader, RunId::new(run), &[]);
    })
    .unwrap();
    assert_eq!(report.about.parent, Some(all[0].id().to_string()));
    assert_eq!((report.about.sequence, report.about.epoch), (3, 2));
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
}

#[test]
fn what_an_increment_requires_is_one_of_its_roots() {
    let (store, repository, mut server) = nights(1);
    let base = server.clone();
    let from = {
        let report = back_up(&repository, &base.stream());
        report.about.positions.to_lsn.unwrap()
    };
    server.night(3);
    let all = repository.snapshots().unwrap().snapshots;
    let (reader, newest) = (repository.clone(), all.last().unwrap().clone());
    let increment = server.increment(from);
    let whole = back_up(&repository, &increment);
    assert_eq!(whole.about.requires, [newest.id().to_string()]);
    let named = newest.clone();
    let report = disturbed(&store, "intents/", &increment, move |_| {
        reader.put_removal(&named.name, &removal(&named)).unwrap();
    })
    .unwrap();
    assert_eq!(report.about.verdict, Verdict::Partial, "{:?}", report.about.requires);
    assert!(!report.about.requires.contains(&newest.id().to_string()));
}

#[test]
fn a_run_that_stored_nothing_takes_its_intent_back_and_another_leaves_it() {
    let (store, repository, server) = nights(1);
    let error = back_up_with(&repository, b"", ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(names(&store, "intents/").is_empty());
    let failing = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Denied));
    let faulty = Failing::new(Arc::clone(&store), vec![failing.under("snapshots/")]);
    let repository = open(Arc::new(faulty), 5).unwrap();
    back_up_with(&repository, &server.stream(), ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(names(&store, "intents/").len(), 1);
}

#[test]
fn each_request_about_intents_may_fail_and_the_run_ends() {
    let cases = [
        (Verb::Put, "intents/", 1, false),
        (Verb::List, "snapshots/", 1, true),
        (Verb::List, "fences/", 1, true),
        (Verb::List, "removed/", 1, true),
        (Verb::List, "fences/", 2, false),
        (Verb::Delete, "intents/", 1, true),
    ];
    for (verb, prefix, nth, succeeds) in cases {
        let (store, _, server) = nights(2);
        let fault = Fault::first(verb, Effect::RefuseBefore(Category::Denied));
        let faulty = Failing::new(Arc::clone(&store), vec![fault.under(prefix).at(nth)]);
        let repository = open(Arc::new(faulty), 5).unwrap();
        let outcome =
            back_up_with(&repository, &server.stream(), ProducerExit::Exited(0), &options());
        assert_eq!(outcome.is_ok(), succeeds, "{verb:?} {prefix} {nth}: {outcome:?}");
        let repository = open(shared(&store), 6).unwrap();
        let newest = repository.find_snapshot("latest").unwrap();
        assert_eq!(newest.snapshot.about.verdict, Verdict::Complete);
        if let Ok(report) = outcome {
            assert_eq!(newest.id(), report.id, "{prefix}");
            assert_eq!(stream_of(&repository, "latest").unwrap(), server.stream());
            // Without a list of what was removed nothing is relied upon.
            let relies = verb == Verb::Delete;
            assert_eq!(report.about.parent.is_some(), relies, "{prefix}");
            assert_eq!(report.about.sequence == 3, relies, "{prefix}");
        }
    }
}

#[test]
fn a_host_that_may_only_write_puts_intents_deletes_none_and_is_not_warned() {
    let (store, _, server) = nights(1);
    let file = KeyFile::generate(&SeededEntropy::new(8));
    let note = KeySlotNote { label: "db1".to_owned(), created_unix_seconds: 0 };
    let mut give = || Ok(password());
    let keys = Keys::open(shared(&store), &mut give, &Limits::FOR_TESTS, &support::world(50));
    keys.unwrap().add(Role::WriteOnly, Protection::KeyFile(&file), &note).unwrap();
    let text = file.to_text().to_string();
    let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(&text).unwrap()));
    let recorded = Arc::new(Recording::new(Arc::clone(&store)));
    let host =
        Repository::open(shared(&recorded), &mut give, &Limits::FOR_TESTS, &support::world(9));
    let report = back_up(&host.unwrap(), &server.stream());
    assert_eq!(recorded.calls(Verb::Delete), 0);
    assert_eq!(names(&store, "intents/").len(), 1);
    assert!(!report.has_findings() && report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_repair_holds_the_packs_that_it_makes_copies_of_and_fails_beside_a_prune() {
    let (store, repository, _) = nights(1);
    let twin = names(&store, "twins/").remove(0);
    store.delete(&twin).unwrap();
    let (seen, reader) = (Arc::<Mutex<Option<bool>>>::default(), repository.clone());
    let seen_by = Arc::clone(&seen);
    let between = move |name: &ObjectName| {
        let Some(Object::Twin(pack)) = Object::parse(name) else { panic!("{name}") };
        let standing = reader.standing().unwrap();
        let run = &standing.runs[0];
        *seen_by.lock().unwrap() = Some(run.verb == IntentVerb::Repair && run.holds(&pack));
    };
    let disturbed = open(Interfered::new(&store, "twins/", Box::new(between)), 7).unwrap();
    let world = World::of_this_machine();
    let prune = repository.put_intent(RunId::new([5; 16]), &Intent::new(IntentVerb::Prune, 1));
    let refused = plan(&disturbed, 1, &world).unwrap().run(&world).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert_eq!(names(&store, "intents/").len(), 1, "that of the prune");
    store.delete(&prune.unwrap()).unwrap();
    let report = plan(&disturbed, 1, &world).unwrap().run(&world).unwrap();
    assert_eq!(report.made, [twin]);
    assert_eq!(*seen.lock().unwrap(), Some(true));
    assert!(names(&store, "intents/").is_empty());
}
