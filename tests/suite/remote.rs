//! A repository in an object store: the contract, troubles told apart, and faults that cost time
//! only.

use std::error::Error;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::probe::SecondPut;
use haulout::seal::object::ObjectKind;
use haulout::store::Store;
use haulout::store::conformance;
use haulout::store::error::Category;
use haulout::store::error::Diagnosis;
use haulout::store::error::StoreError;
use haulout::store::name::ObjectName;
use haulout::store::remote::PlainHttp;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::RemoteStore;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::s3;
use crate::support::s3::Answer;
use crate::support::s3::Conditions;
use crate::support::s3::Fault;
use crate::support::s3::LEASES;
use crate::support::s3::S3;
use crate::support::s3::open;
use crate::support::s3::retry_policy;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn put(store: &dyn Store, object: &str, bytes: &'static [u8]) -> Result<(), StoreError> {
    store.put(&name(object), &[Bytes::from_static(bytes)])
}

#[track_caller]
fn diagnosed(outcome: Result<impl std::fmt::Debug, StoreError>, diagnosis: Diagnosis) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.diagnosis(), Some(diagnosis), "{error:?}");
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn is_sound(repository: &Repository) {
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(repository, &options, &World::of_this_machine()).unwrap();
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
        let facts = repository.probe_store("s3", &support::world_at(5)).unwrap();
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
fn retries_outlast_a_store_that_is_busy() {
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
    options.retry_policy.retry_for = Duration::from_millis(200);
    let store = open("s3://test/x", &options);
    server.break_with(Fault::always(Answer::Status(503, "<Error><Code>SlowDown</Code></Error>")));
    let why = diagnosed(put(&store, "a", b"bytes"), Diagnosis::RetriesExhausted);
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
    options.retry_policy.answer = Duration::from_millis(500);
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
fn a_thousand_objects_are_deleted_with_one_request() {
    let server = S3::start();
    let store = server.store("x");
    let names: Vec<ObjectName> = (0..1001).map(|n| name(&format!("packs/{n}"))).collect();
    std::thread::scope(|scope| {
        for names in names.chunks(251) {
            let store = &store;
            scope.spawn(move || {
                for name in names {
                    store.put(name, &[Bytes::from_static(b"bytes")]).unwrap();
                }
            });
        }
    });
    put(&store, "packs/other", b"bytes").unwrap();
    let before = server.requests();
    // One of them for now, and a request that was done and whose answer was lost.
    server.break_with(Fault::next("POST", 1, Answer::Status(503, "<Code>SlowDown</Code>")));
    server.break_with(Fault::next("POST", 1, Answer::DoneAndStatus(500)));
    let results = store.delete_many(&names);
    assert_eq!(results.len(), 1001);
    results.into_iter().for_each(|result| result.unwrap());
    assert_eq!(server.requests() - before, 2 + 2, "a thousand at once, and two times again");
    let mut left = Vec::new();
    store.list("packs/", &mut |meta| left.push(meta.name.to_string())).unwrap();
    assert_eq!(left, ["packs/other"]);
}

#[test]
fn objects_that_a_store_refuses_to_delete_are_told_from_the_others() {
    let server = S3::start();
    let store = server.store("x");
    let names = ["a", "b", "c"].map(name);
    let made = |_: &s3::Listed| {
        let refused = |key: &str, code: &str| {
            format!("<Error><Key>x/{key}</Key><Code>{code}</Code><Message>no</Message></Error>")
        };
        let (denied, gone) = (refused("b", "AccessDenied"), refused("c", "NoSuchKey"));
        format!("<DeleteResult><Deleted><Key>x/a</Key></Deleted>{denied}{gone}</DeleteResult>")
    };
    server.break_with(Fault::next("POST", 1, Answer::Made(made)));
    let results = store.delete_many(&names);
    let categories: Vec<Option<Category>> =
        results.iter().map(|result| result.as_ref().err().map(StoreError::category)).collect();
    assert_eq!(categories, [None, Some(Category::Denied), None], "{results:?}");
    let error = results.into_iter().nth(1).unwrap().unwrap_err();
    assert_eq!((error.object(), error.diagnosis()), ("b", Some(Diagnosis::Forbidden)));
    // The same about a single one.
    let made = |_: &s3::Listed| {
        "<DeleteResult><Error><Key>x/b</Key><Code>AccessDenied</Code><Message>no</Message>\
         </Error></DeleteResult>"
            .to_owned()
    };
    server.break_with(Fault::next("POST", 1, Answer::Made(made)));
    let error = store.delete_many(&names[1..2]).remove(0).unwrap_err();
    assert_eq!((error.object(), error.diagnosis()), ("b", Some(Diagnosis::Forbidden)));
    server.break_with(Fault::always(Answer::Status(403, "<Code>AccessDenied</Code>")));
    let before = server.requests();
    for (result, name) in store.delete_many(&names).into_iter().zip(&names) {
        let error = result.unwrap_err();
        assert_eq!((error.category(), error.object()), (Category::Denied, name.as_str()));
    }
    assert_eq!(server.requests() - before, 2, "all of them, and whether one is allowed");
}

#[test]
fn a_store_that_knows_no_deletion_of_several_deletes_one_by_one() {
    let server = S3::start();
    let names: Vec<ObjectName> = (0..30).map(|n| name(&format!("packs/{n}"))).collect();
    let unknown = Answer::Status(501, "<Error><Code>NotImplemented</Code></Error>");
    // Ceph 16.2 allows each by a policy about a folder of the bucket, and not all at once.
    let denied = Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    for (answer, asked) in [(unknown, 1), (denied, 2)] {
        let store = server.store("x");
        names.iter().for_each(|name| store.put(name, &[Bytes::from_static(b"bytes")]).unwrap());
        server.break_with(Fault { method: "POST", ..Fault::always(answer) });
        let before = server.requests();
        store.delete_many(&names[..20]).into_iter().for_each(|result| result.unwrap());
        assert_eq!(server.requests() - before, asked + 20, "it was asked for once");
        store.delete_many(&names[20..]).into_iter().for_each(|result| result.unwrap());
        assert_eq!(server.requests() - before, asked + 30);
        store.list("packs/", &mut |meta| panic!("{meta:?} is left")).unwrap();
        server.heal();
    }
}

#[test]
fn a_deletion_of_several_ends_when_the_store_stays_away() {
    let server = S3::start();
    let mut options = server.options();
    options.retry_policy.retry_for = Duration::from_millis(300);
    let store = open("s3://test/x", &options);
    put(&store, "a", b"bytes").unwrap();
    server.break_with(Fault::always(Answer::Status(503, "<Code>SlowDown</Code>")));
    let names: Vec<ObjectName> = (0..500).map(|n| name(&n.to_string())).collect();
    let before = server.requests();
    for result in store.delete_many(&names) {
        assert_eq!(result.unwrap_err().category(), Category::Transient);
    }
    let asked = server.requests() - before;
    assert!(asked < 200, "not once for each: {asked}");
}

#[test]
fn a_run_that_is_stopped_does_not_wait_for_a_request_that_hangs() {
    let server = S3::start();
    let world = World::of_this_machine();
    let mut options = server.options();
    // Longer than tests may take.
    options.retry_policy.answer = Duration::from_hours(1);
    let place = haulout::store::location::Location::parse("s3://test/x").unwrap();
    let store = RemoteStore::open(&place, &options, &world).unwrap();
    server.break_with(Fault::next("PUT", 1, Answer::Hang));
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| put(&store, "a", b"bytes").unwrap_err());
        while server.requests() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        world.monitor.stop();
        assert_eq!(stopped.join().unwrap().category(), Category::Stopped);
    });
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
    options.retry_policy.retry_for = Duration::from_millis(300);
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
    diagnosed(store.get_range(&name("a"), 2..8), Diagnosis::NoRanges);
}

#[test]
fn a_page_for_people_is_never_taken_for_an_object() {
    let server = S3::start();
    let store = server.store("x");
    put(&store, "a", b"bytes").unwrap();
    server.break_with(Fault::always(Answer::Page));
    diagnosed(store.get(&name("a"), 1000), Diagnosis::NotAStore);
    diagnosed(store.get_range(&name("a"), 0..5), Diagnosis::NotAStore);
    diagnosed(store.size(&name("a")), Diagnosis::NotAStore);
    diagnosed(store.list("", &mut |_| ()), Diagnosis::NotAStore);
    diagnosed(put(&store, "b", b"bytes"), Diagnosis::NotAStore);
    diagnosed(store.delete(&name("a")), Diagnosis::NotAStore);
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
    diagnosed(read(&wrong_secret), Diagnosis::Credentials);
    let wrong_key = with(&|options| options.variables[0].1 = "wrong".to_owned());
    assert!(read(&wrong_key).unwrap_err().diagnosis().is_some());
    let store = with(&|_| ());
    for (words, status, diagnosis) in [
        ("<Error><Code>RequestTimeTooSkewed</Code></Error>", 403, Diagnosis::ClockSkew),
        ("<Error><Code>AccessDenied</Code></Error>", 403, Diagnosis::Forbidden),
        ("<Error><Code>NoSuchBucket</Code></Error>", 404, Diagnosis::NoBucket),
        ("<Error><Code>PermanentRedirect</Code></Error>", 301, Diagnosis::Region),
        ("<Error><Code>AuthorizationHeaderMalformed</Code></Error>", 400, Diagnosis::Region),
    ] {
        server.break_with(Fault::always(Answer::Status(status, words)));
        diagnosed(read(&store), diagnosis);
        diagnosed(put(&store, "a", b"bytes"), diagnosis);
        server.heal();
    }
}

/// The program, asked something about a repository in the server's bucket.
fn program(server: &S3, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let foreign = ["HAULOUT", "AWS_"].iter().any(|begin| name.starts_with(begin));
        if foreign || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.envs(S3::variables()).env("HAULOUT_REPO", "s3://test/db").stdin(Stdio::null());
    if !line.contains("--endpoint") {
        command.args(["--endpoint", &server.endpoint, "--allow-http"]);
    }
    command.args(["--retry-for", "1s"]).args(line.split(' '));
    command
}

/// Both lines that it tells: the error and the hint.
#[track_caller]
fn told(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let line =
        |begin: &str| text.lines().find_map(|line| line.strip_prefix(begin)).map(str::to_owned);
    let (Some(error), Some(hint)) = (line("error: "), line("hint: ")) else { panic!("{text}") };
    (error, hint)
}

#[test]
fn the_program_says_what_is_wrong_and_what_can_be_done_about_it() {
    let server = S3::start();
    for (status, words, error, hint) in [
        (
            403,
            "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>",
            "RequestTimeTooSkewed: too far",
            "set this machine's clock",
        ),
        (
            301,
            "<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>",
            "its region is eu-west-1",
            "--region",
        ),
        (
            404,
            "<Error><Code>NoSuchBucket</Code></Error>",
            "NoSuchBucket",
            "check the bucket's name",
        ),
        (403, "<Error><Code>AccessDenied</Code></Error>", "AccessDenied", "compare the policy"),
        (403, "<Error><Code>ExpiredToken</Code></Error>", "ExpiredToken", "AWS_ACCESS_KEY_ID"),
        (503, "<Error><Code>SlowDown</Code></Error>", "SlowDown", "--retry-for"),
    ] {
        server.break_with(Fault::always(Answer::Status(status, words)));
        for line in ["restore latest --stdout", "init --no-encryption"] {
            let (said, advice) = told(&mut program(&server, line));
            assert!(said.contains(error), "{line}: {said}");
            assert!(advice.contains(hint), "{line}: {advice}");
            assert!(said.contains("config"), "{line} names the object: {said}");
        }
        server.heal();
    }
    server.break_with(Fault::always(Answer::Page));
    let (said, advice) = told(&mut program(&server, "snapshots"));
    assert!(said.contains("is an HTML page") && advice.contains("--endpoint"), "{said}: {advice}");
    server.heal();
    let (said, advice) = told(program(&server, "snapshots").env("AWS_SECRET_ACCESS_KEY", "wrong"));
    assert!(said.contains("SignatureDoesNotMatch") && advice.contains("keys"), "{said}: {advice}");
}

#[test]
fn options_that_make_no_store_are_told_apart_from_a_store_that_fails() {
    let server = S3::start();
    for (options, words) in [
        ("--endpoint nonsense snapshots", "nonsense is no address like https://"),
        ("--endpoint https:///x snapshots", "is no address like https://"),
        ("--ca-file /nowhere snapshots", "/nowhere: No such file"),
        ("--ca-file /dev/null snapshots", "no PEM certificate"),
    ] {
        let (said, advice) = told(&mut program(&server, options));
        assert!(said.contains(words), "{options}: {said}");
        assert!(advice.contains("--endpoint, --region, --ca-file"), "{options}: {advice}");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn keys_that_the_machine_is_given_are_asked_for_again_before_they_expire() {
    let server = S3::start();
    let mut options = server.options();
    options.variables = vec![("AWS_METADATA_ENDPOINT".to_owned(), server.endpoint.clone())];
    let store = open("s3://test/x", &options);
    for lease in LEASES {
        server.lease(lease);
        // An answer of that service is believed for a tenth of a second.
        std::thread::sleep(Duration::from_millis(150));
        put(&store, &format!("a/{lease}"), b"bytes").unwrap();
        assert_eq!(server.keys(), [lease]);
    }
}

#[test]
fn a_machine_without_keys_is_reported_as_such() {
    let server = S3::start();
    let mut command = program(&server, "snapshots");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let (said, advice) = told(command.env("AWS_METADATA_ENDPOINT", &server.endpoint));
    assert!(said.contains("no keys were given"), "{said}");
    assert!(advice.contains("AWS_ACCESS_KEY_ID"), "{advice}");
}

#[test]
fn fewer_requests_are_made_at_once_while_the_store_is_overloaded_and_more_when_it_is_not() {
    const REQUESTS: u64 = 600;
    let server = S3::start();
    let store = server.store("x");
    let ask = || {
        std::thread::scope(|scope| {
            for thread in 0..24 {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..REQUESTS / 24 {
                        store.size(&name(&format!("none/{thread}"))).unwrap();
                    }
                });
            }
        });
    };
    server.stands(2);
    ask();
    let (most, sent_away) = server.load_seen();
    assert!(most <= 8, "{most} at once, before anything was known of the store");
    assert!(sent_away > 0 && sent_away < REQUESTS, "{sent_away} were told to slow down");
    server.stands(100);
    ask();
    let (most, sent_away) = server.load_seen();
    assert!(most > 8 && sent_away == 0, "{most} at once");
}

#[test]
fn plain_http_is_refused_unless_it_is_allowed() {
    let server = S3::start();
    let mut options = server.options();
    options.plain_http = PlainHttp::Refused;
    let place = haulout::store::location::Location::parse("s3://test/x").unwrap();
    let world = World::of_this_machine();
    diagnosed(RemoteStore::open(&place, &options, &world), Diagnosis::PlainHttp);
    options.variables.push(("AWS_ENDPOINT".to_owned(), options.endpoint.take().unwrap()));
    options.variables.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
    let store = RemoteStore::open(&place, &options, &world).unwrap();
    diagnosed(store.size(&name("config")), Diagnosis::PlainHttp);
    assert_eq!(server.requests(), 0, "nothing was sent in the clear");
}

#[test]
fn an_address_where_nobody_is_is_given_up_soon() {
    let options = RemoteOptions {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        plain_http: PlainHttp::Allowed,
        retry_policy: retry_policy(),
        variables: S3::variables(),
        ..RemoteOptions::default()
    };
    let store = open("s3://test/x", &options);
    let why = diagnosed(store.size(&name("config")), Diagnosis::Unreachable);
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn a_run_through_many_faults_ends_well() {
    let server = S3::start();
    let mut options = server.options();
    options.retry_policy.answer = Duration::from_secs(1);
    let store = Arc::new(open("s3://test/db", &options));
    // The throughput is known then; a request that hangs is waited for much longer while it is not.
    store.put(&name("first"), &[vec![0; 256 << 10].into()]).unwrap();
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

#[test]
fn bytes_are_hashed_for_the_signature_until_the_store_is_seen_to_check_their_sums() {
    let server = S3::start();
    let store = server.store("x");
    server.break_with(Fault::next("PUT", 2, Answer::DoneWithoutSum));
    for (number, unsigned) in [0, 0, 0, 1, 2].into_iter().enumerate() {
        put(&store, &format!("a/{number}"), b"bytes").unwrap();
        assert_eq!(server.unsigned_puts(), unsigned, "after put {number}");
    }
}

#[test]
fn bytes_are_not_hashed_where_the_user_trusts_the_network() {
    let server = S3::start();
    let mut options = server.options();
    options.variables.push(("AWS_UNSIGNED_PAYLOAD".to_owned(), "true".to_owned()));
    put(&open("s3://test/x", &options), "a", b"bytes").unwrap();
    assert_eq!(server.unsigned_puts(), 1);
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
