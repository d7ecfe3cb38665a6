//! A repository in an object store: the contract, troubles told apart, and faults that cost time
//! only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::monitor::Monitor;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::probe::SecondPut;
use haulout::seal::object::ObjectKind;
use haulout::store::Store;
use haulout::store::conformance;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::error::Trouble;
use haulout::store::name::ObjectName;
use haulout::store::remote::PlainHttp;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::RemoteStore;

use crate::s3::Answer;
use crate::s3::Conditions;
use crate::s3::Fault;
use crate::s3::S3;
use crate::s3::open;
use crate::s3::patience;
use crate::support::Protected;
use crate::support::Server;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn put(store: &dyn Store, object: &str, bytes: &'static [u8]) -> Result<(), StoreError> {
    store.put(&name(object), &[Bytes::from_static(bytes)])
}

#[track_caller]
fn troubled(outcome: Result<impl std::fmt::Debug, StoreError>, trouble: Trouble) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.trouble(), Some(trouble), "{error:?}");
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn is_sound(repository: &Repository) {
    let options = VerifyOptions { depth: Depth::Blocks, snapshots: Vec::new(), workers: 2 };
    let report = verify(repository, &options, &Arc::new(Monitor::default())).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn an_s3_server_conforms() {
    conformance::check_everything(&S3::start().store("a/prefix"));
}

#[test]
fn a_bucket_without_a_prefix_conforms() {
    conformance::check_everything(&S3::start().store(""));
}

#[test]
fn a_server_that_ignores_conditions_conforms_but_for_conflicts() {
    conformance::check_all_but_conflicts(&S3::start_with(Conditions::Ignored).store("a"));
}

#[test]
fn a_server_that_knows_no_conditions_conforms_but_for_conflicts() {
    conformance::check_all_but_conflicts(&S3::start_with(Conditions::Unknown).store("a"));
}

#[test]
fn a_repository_in_a_bucket_is_backed_up_restored_and_verified() {
    let server = S3::start();
    let store = Arc::new(server.store("db"));
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    let mut database = Server::new(1, 3, 40);
    for night in 0..2 {
        let stream = database.stream();
        support::back_up(&repository, &stream);
        assert!(support::stream_of(&repository, "latest").unwrap() == stream, "night {night}");
        database.night(10);
    }
    let again = support::open(support::shared(&store), 2).unwrap();
    assert_eq!(again.snapshots().unwrap().snapshots.len(), 2);
    is_sound(&again);
}

#[test]
fn what_a_store_does_is_seen_by_trying() {
    for (conditions, second_put) in [
        (Conditions::Kept, SecondPut::Refused),
        (Conditions::Ignored, SecondPut::Replaces),
        (Conditions::Unknown, SecondPut::Replaces),
    ] {
        let server = S3::start_with(conditions);
        let store = Arc::new(server.store("db"));
        let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
        let facts = repository.probe_store("s3", 5).unwrap();
        assert!(facts.ranges && facts.listed_after_write && facts.deletes, "{facts:?}");
        assert_eq!(facts.second_put, second_put, "{conditions:?}");
        let mut notes = Vec::new();
        store.list("notes/", &mut |meta| notes.push(meta.name)).unwrap();
        let [note] = notes.as_slice() else { panic!("one note: {notes:?}") };
        let sealed = store.get(note, 10_000).unwrap();
        let text = repository.keyring().open_object(ObjectKind::Note, b"store", &sealed).unwrap();
        assert_eq!(*text, serde_json::to_vec(&facts).unwrap());
    }
}

#[test]
fn patience_outlasts_a_store_that_is_busy() {
    let server = S3::start();
    let store = server.store("x");
    for status in [503, 429, 500] {
        server.break_with(Fault::next("", 12, Answer::Status(status, "")));
        put(&store, &format!("a/{status}"), b"bytes").unwrap();
        assert_eq!(*store.get(&name(&format!("a/{status}")), 10).unwrap(), *b"bytes");
        server.heal();
    }
}

#[test]
fn a_store_that_stays_busy_is_given_up_in_plain_words() {
    let server = S3::start();
    let mut options = server.options();
    options.patience.retry_for = Duration::from_millis(200);
    let store = open("s3://test/x", &options);
    server.break_with(Fault::always(Answer::Status(503, "<Error><Code>SlowDown</Code></Error>")));
    let why = troubled(put(&store, "a", b"bytes"), Trouble::OutOfPatience);
    assert_eq!(why, "the store answered 503 Service Unavailable, SlowDown");
    server.heal();
    put(&store, "a", b"bytes").unwrap();
}

#[test]
fn a_put_whose_answer_was_lost_is_put_once() {
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        let store = server.store("x");
        put(&store, "first", b"so that conditions are known").unwrap();
        server.break_with(Fault::next("PUT", 1, Answer::DoneAndStatus(500)));
        put(&store, "a", b"bytes").unwrap();
        assert_eq!(store.size(&name("a")).unwrap(), Some(5), "{conditions:?}");
    }
}

#[test]
fn a_request_that_hangs_is_asked_again() {
    let server = S3::start();
    let mut options = server.options();
    options.patience.answer = Duration::from_millis(500);
    let store = open("s3://test/x", &options);
    put(&store, "a", b"bytes").unwrap();
    for method in ["PUT", "GET", "HEAD", "DELETE"] {
        server.break_with(Fault::next(method, 1, Answer::Hang));
    }
    put(&store, "b", b"bytes").unwrap();
    assert_eq!(*store.get(&name("a"), 10).unwrap(), *b"bytes");
    assert_eq!(store.size(&name("b")).unwrap(), Some(5));
    store.delete(&name("b")).unwrap();
}

#[test]
fn an_answer_that_is_cut_is_asked_for_again_and_never_believed() {
    let server = S3::start();
    let store = server.store("x");
    put(&store, "a", b"0123456789").unwrap();
    server.break_with(Fault::next("GET", 2, Answer::Cut));
    assert_eq!(*store.get(&name("a"), 10).unwrap(), *b"0123456789");
    server.break_with(Fault::next("GET", 2, Answer::Cut));
    assert_eq!(*store.get_range(&name("a"), 2..8).unwrap(), *b"234567");
    server.break_with(Fault::next("GET", 2, Answer::Cut));
    let mut listed = 0;
    store.list("", &mut |_| listed += 1).unwrap();
    assert_eq!(listed, 1);
    let mut options = server.options();
    options.patience.retry_for = Duration::from_millis(300);
    let store = open("s3://test/x", &options);
    server.break_with(Fault::always(Answer::Cut));
    let error = store.get(&name("a"), 10).unwrap_err();
    assert_eq!(error.category(), Category::Transient, "{error:?}");
}

#[test]
fn a_store_that_gives_no_parts_is_named() {
    let server = S3::start();
    let store = server.store("x");
    put(&store, "a", b"0123456789").unwrap();
    server.break_with(Fault::always(Answer::Whole));
    troubled(store.get_range(&name("a"), 2..8), Trouble::NoRanges);
}

#[test]
fn a_page_for_people_is_never_taken_for_an_object() {
    let server = S3::start();
    let store = server.store("x");
    put(&store, "a", b"bytes").unwrap();
    server.break_with(Fault::always(Answer::Page));
    troubled(store.get(&name("a"), 1000), Trouble::NotAStore);
    troubled(store.get_range(&name("a"), 0..5), Trouble::NotAStore);
    troubled(store.size(&name("a")), Trouble::NotAStore);
    troubled(store.list("", &mut |_| ()), Trouble::NotAStore);
    troubled(put(&store, "b", b"bytes"), Trouble::NotAStore);
    troubled(store.delete(&name("a")), Trouble::NotAStore);
    server.heal();
    assert_eq!(*store.get(&name("a"), 10).unwrap(), *b"bytes", "nothing was done");
}

#[test]
fn what_an_operator_can_mend_is_told_apart() {
    let server = S3::start();
    let with = |change: &dyn Fn(&mut RemoteOptions)| -> RemoteStore {
        let mut options = server.options();
        change(&mut options);
        open("s3://test/x", &options)
    };
    let read = |store: &RemoteStore| store.get(&name("config"), 10);
    let wrong_secret = with(&|options| options.variables[1].1 = "wrong".to_owned());
    troubled(read(&wrong_secret), Trouble::Credentials);
    let wrong_key = with(&|options| options.variables[0].1 = "wrong".to_owned());
    assert!(read(&wrong_key).unwrap_err().trouble().is_some());
    let store = with(&|_| ());
    for (words, status, trouble) in [
        ("<Error><Code>RequestTimeTooSkewed</Code></Error>", 403, Trouble::ClockSkew),
        ("<Error><Code>AccessDenied</Code></Error>", 403, Trouble::Forbidden),
        ("<Error><Code>NoSuchBucket</Code></Error>", 404, Trouble::NoBucket),
        ("<Error><Code>PermanentRedirect</Code></Error>", 301, Trouble::Region),
        ("<Error><Code>AuthorizationHeaderMalformed</Code></Error>", 400, Trouble::Region),
    ] {
        server.break_with(Fault::always(Answer::Status(status, words)));
        troubled(read(&store), trouble);
        troubled(put(&store, "a", b"bytes"), trouble);
        server.heal();
    }
}

#[test]
fn plain_http_is_refused_unless_it_is_allowed() {
    let server = S3::start();
    let mut options = server.options();
    options.plain_http = PlainHttp::Refused;
    let place = haulout::store::place::Place::parse("s3://test/x").unwrap();
    let world = || haulout::store::remote::RemoteWorld {
        clock: Arc::new(haulout::base::clock::SystemClock::new()),
        entropy: Arc::new(haulout::base::entropy::SeededEntropy::new(7)),
        monitor: Arc::new(Monitor::default()),
        teller: None,
    };
    troubled(RemoteStore::open(&place, &options, world()), Trouble::PlainHttp);
    options.variables.push(("AWS_ENDPOINT".to_owned(), options.endpoint.take().unwrap()));
    options.variables.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
    let store = RemoteStore::open(&place, &options, world()).unwrap();
    troubled(store.size(&name("config")), Trouble::PlainHttp);
    assert_eq!(server.requests(), 0, "nothing was sent in the clear");
}

#[test]
fn an_address_where_nobody_is_is_given_up_soon() {
    let options = RemoteOptions {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        plain_http: PlainHttp::Allowed,
        patience: patience(),
        variables: S3::variables(),
        ..RemoteOptions::default()
    };
    let store = open("s3://test/x", &options);
    let why = troubled(store.size(&name("config")), Trouble::Unreachable);
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn a_run_through_many_faults_ends_well() {
    let server = S3::start();
    let mut options = server.options();
    options.patience.answer = Duration::from_secs(1);
    let store = Arc::new(open("s3://test/db", &options));
    let repository = support::init(support::shared(&store), Protected::Clear, 1);
    let database = Server::new(2, 3, 60);
    let fault = |method, skip, times, answer| Fault { method, path: "", skip, times, answer };
    server.break_with(fault("PUT", 1, 3, Answer::Status(503, "")));
    server.break_with(fault("PUT", 4, 1, Answer::DoneAndStatus(502)));
    server.break_with(fault("PUT", 2, 1, Answer::Hang));
    server.break_with(fault("GET", 2, 2, Answer::Cut));
    server.break_with(fault("GET", 5, 4, Answer::Status(500, "")));
    support::back_up(&repository, &database.stream());
    assert!(support::stream_of(&repository, "latest").unwrap() == database.stream());
    server.heal();
    is_sound(&repository);
}

/// Two runs of one source at once: both snapshots stay and can be restored.
fn race(store: &Arc<RemoteStore>, seed: u64) {
    let first = support::init(support::shared(store), Protected::Clear, seed);
    let mut database = Server::new(3, 3, 40);
    support::back_up(&first, &database.stream());
    let streams: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            database.night(10);
            database.stream()
        })
        .collect();
    let ids = std::thread::scope(|scope| {
        let runs: Vec<_> = streams
            .iter()
            .zip(seed + 1..)
            .map(|(stream, seed)| {
                let own = support::open(support::shared(store), seed).unwrap();
                scope.spawn(move || support::back_up(&own, stream).id.to_string())
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(first.snapshots().unwrap().snapshots.len(), 3);
    for (id, stream) in ids.iter().zip(&streams) {
        assert!(support::stream_of(&first, id).unwrap() == *stream);
    }
    is_sound(&first);
    database.night(5);
    support::back_up(&first, &database.stream());
    assert!(support::stream_of(&first, "latest").unwrap() == database.stream());
}

#[test]
fn two_runs_at_once_leave_both_snapshots_whatever_the_store_does_with_conditions() {
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        race(&Arc::new(server.store("db")), 10);
    }
}

fn real_server(folder: &str) -> RemoteStore {
    let (place, options) = s3::outside(folder);
    open(&place, &options)
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn a_real_server_conforms() {
    let store = real_server("conformance");
    match std::env::var("HAULOUT_TEST_CONFLICTS").as_deref() {
        Ok("silent") => conformance::check_all_but_conflicts(&store),
        _ => conformance::check_everything(&store),
    }
}

#[test]
#[ignore = "needs a server: tests/stores starts one"]
fn two_runs_at_once_leave_both_snapshots_on_a_real_server() {
    for round in 0..5 {
        race(&Arc::new(real_server(&format!("race-{round}"))), 100 * round);
    }
}
