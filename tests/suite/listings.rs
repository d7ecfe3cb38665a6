//! Listings that lie, or never end: what is no listing is never taken for an empty one, and nothing
//! is read or asked for without a bound.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::Keys;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Passphrase;
use haulout::seal::key_slot::Protection;
use haulout::store::Store;
use haulout::store::error::Diagnosis;
use haulout::store::error::StoreError;
use haulout::store::location::Location;
use haulout::store::memory::MemoryStore;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::RemoteStore;
use haulout::store::remote::RetryPolicy;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::password;
use crate::support::s3::Answer;
use crate::support::s3::BUCKET;
use crate::support::s3::Fault;
use crate::support::s3::Listed;
use crate::support::s3::S3;
use crate::support::shared;

/// Makes a page of what was asked for.
type Make = fn(&Listed) -> String;

/// Tries of a request that is answered oddly, the first one included.
const ODD_TRIES: u64 = 6;

fn listing(answer: Answer) -> Fault {
    Fault { method: "GET", path: "list-type", skip: 0, times: u64::MAX, answer }
}

fn listed(store: &dyn Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    store.list(prefix, &mut |meta| names.push(meta.name.to_string()))?;
    Ok(names)
}

/// Why a listing was refused.
#[track_caller]
fn refused(outcome: Result<Vec<String>, StoreError>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.diagnosis(), Some(Diagnosis::NotAStore), "{error:?}");
    error.source().unwrap().to_string()
}

#[test]
fn what_is_no_listing_fails_after_a_few_tries_and_is_never_empty() {
    let server = S3::start();
    let store = server.store("db");
    let answers: [Make; 8] = [
        |_| "<Error><Code>InternalError</Code></Error>".to_owned(),
        |_| "<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>".to_owned(),
        |_| "<ListBucketResult></ListBucketResult>".to_owned(),
        |_| String::new(),
        |asked| asked.page(&[], None).replace(BUCKET, "another"),
        |asked| Listed { prefix: "db/packs/".to_owned(), ..asked.clone() }.page(&[], None),
        |asked| asked.page(&["a".to_owned()], None).replace("Count>1<", "Count>2<"),
        |asked| asked.page(&[], None).replace("</ListBucketResult>", ""),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        server.break_with(listing(Answer::Made(answer)));
        let before = server.requests();
        let why = refused(listed(&store, "keys/"));
        assert!(why.contains("not the listing that was asked for"), "{number}: {why}");
        assert_eq!(server.requests() - before, ODD_TRIES, "{number}");
        server.heal();
        assert_eq!(listed(&store, "keys/").unwrap(), [""; 0], "{number}");
    }
}

#[test]
fn a_listing_that_failed_once_is_asked_for_again() {
    let server = S3::start();
    let store = server.store("db");
    let words = "<Error><Code>InternalError</Code></Error>";
    server.break_with(Fault { times: 2, ..listing(Answer::Status(200, words)) });
    assert_eq!(listed(&store, "").unwrap(), [""; 0]);
    assert_eq!(server.requests(), 3);
}

#[test]
fn pages_are_taken_one_after_the_other() {
    let server = S3::start();
    server.break_with(listing(Answer::Made(|asked| match asked.token.as_str() {
        "" => asked.page(&["a".to_owned(), "b".to_owned()], Some("one")),
        "one" => asked.page(&[], Some("two")),
        _ => asked.page(&["b/c".to_owned()], None),
    })));
    assert_eq!(listed(&server.store("db"), "").unwrap(), ["a", "b", "b/c"]);
}

#[test]
fn a_listing_that_does_not_get_on_ends() {
    let cases: [(&str, u64, Make); 4] = [
        ("token a second time", 2, |asked| {
            // New names with the same token for ever.
            let number = if asked.token.is_empty() { "a" } else { "b" };
            asked.page(&[number.to_owned()], Some("token"))
        }),
        ("not in order", 2, |asked| {
            // New tokens with the same names for ever.
            let next = asked.token.parse::<u64>().unwrap_or(0) + 1;
            asked.page(&["a".to_owned()], Some(&next.to_string()))
        }),
        ("have no names", 101, |asked| {
            let next = asked.token.parse::<u64>().unwrap_or(0) + 1;
            asked.page(&[], Some(&next.to_string()))
        }),
        ("does not begin with", 1, |asked| {
            asked.page(&["a".to_owned()], None).replace("db/packs/a", "elsewhere/a")
        }),
    ];
    for (words, pages, answer) in cases {
        let server = S3::start();
        let store = server.store("db");
        server.break_with(listing(Answer::Made(answer)));
        let why = refused(listed(&store, "packs/"));
        assert!(why.contains(words), "{why}");
        // The page that was refused was asked for several times.
        assert_eq!(server.requests(), pages - 1 + ODD_TRIES, "{words}");
    }
}

#[test]
fn answers_without_an_end_are_not_read_to_it() {
    // What the sockets on the way hold, for each try.
    const BUFFERS: u64 = 16 << 20;
    let server = S3::start();
    let store = server.store("db");
    server.break_with(listing(Answer::Endless));
    let why = refused(listed(&store, "packs/"));
    assert!(why.contains("more bytes than the 8388608"), "{why}");
    let bytes = server.endless_bytes();
    assert!(bytes <= ODD_TRIES * ((8 << 20) + BUFFERS), "{bytes} bytes of listings");
    server.heal();
    // A put whose answer has no end was done or not; asking again tells.
    let name = haulout::store::name::ObjectName::new("object").unwrap();
    let before = server.endless_bytes();
    server.break_with(Fault::next("PUT", u64::MAX, Answer::Endless));
    store.put(&name, &[bytes::Bytes::from_static(b"x")]).unwrap_err();
    let bytes = server.endless_bytes() - before;
    assert!(bytes <= ODD_TRIES * ((1 << 20) + BUFFERS), "{bytes} bytes of answers to a put");
    server.heal();
    // An object's size is announced, or it is not read.
    let before = server.endless_bytes();
    server.break_with(Fault::next("GET", u64::MAX, Answer::Endless));
    store.get(&name, 1 << 20).unwrap_err();
    let bytes = server.endless_bytes() - before;
    assert!(bytes <= ODD_TRIES * BUFFERS, "{bytes} bytes of objects");
}

/// A second passes with each look at it.
#[derive(Debug, Default)]
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn unix_seconds(&self) -> u64 {
        0
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn a_silent_server_is_waited_for_no_longer_than_one_would_ask_again() {
    for (retry_for, most) in [(12, 40), (0, 30)] {
        let server = S3::start();
        server.break_with(Fault::always(Answer::Hang));
        let clock = Arc::new(Hurried::default());
        let own: Arc<dyn Clock> = Arc::<Hurried>::clone(&clock);
        let world = World { clock: own, ..support::world(7) };
        let retry_for = Duration::from_secs(retry_for);
        let retry_policy = RetryPolicy { retry_for, ..RetryPolicy::default() };
        let options = RemoteOptions { retry_policy, ..server.options() };
        let place = Location::parse(&format!("s3://{BUCKET}/db")).unwrap();
        let store = RemoteStore::open(&place, &options, &world).unwrap();
        let name = haulout::store::name::ObjectName::new("config").unwrap();
        let error = store.get(&name, 32 << 20).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("no answer within"), "{error:?}");
        let looks = clock.0.load(Ordering::Relaxed);
        assert!(looks <= most, "{looks} seconds for {retry_for:?}");
        assert!(server.requests() <= 2, "{}", server.requests());
    }
}

fn rotated(store: &Arc<dyn Store>, gaps: Gaps) -> haulout::base::error::Result<usize> {
    let keys = Keys::open(
        Arc::clone(store),
        &mut || Ok(password()),
        &Limits::FOR_TESTS,
        &World::of_this_machine(),
    )?;
    let new = Passphrase::new(b"new".to_vec()).unwrap();
    let note = KeySlotNote { label: "new".to_owned(), created_unix_seconds: 7 };
    let protection = Protection::Passphrase(&new, KdfCost::FOR_TESTS);
    keys.rotate(protection, &note, gaps).map(|done| done.listed)
}

/// A repository with three nights.
fn three_nights(store: &Arc<dyn Store>) {
    let repository = init(Arc::clone(store), Protected::Encrypted, 1);
    let mut database = Server::new(1, 1, 20);
    for _ in 0..3 {
        back_up(&repository, &database.stream());
        database.night(4);
    }
}

#[test]
fn keys_are_not_rotated_behind_a_listing_that_hides_snapshots() {
    let server = S3::start();
    let store: Arc<dyn Store> = Arc::new(server.store("db"));
    three_nights(&store);
    // All of them.
    server.break_with(Fault {
        path: "snapshots",
        ..listing(Answer::Made(|asked| asked.page(&[], None)))
    });
    let error = rotated(&store, Gaps::Refused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
    assert!(error.to_string().contains("packs and no snapshot"), "{error}");
    server.heal();
    // An error that says that it is fine.
    let words = "<Error><Code>InternalError</Code></Error>";
    server.break_with(Fault { path: "snapshots", ..listing(Answer::Status(200, words)) });
    assert_eq!(rotated(&store, Gaps::Refused).unwrap_err().kind(), ErrorKind::Store);
    server.heal();
    assert!(listed(&*store, "keys/").unwrap().len() == 1, "nothing was begun");
    // When the rotation has been announced: after three listings, and a read of each snapshot.
    server.break_with(Fault {
        path: "snapshots",
        skip: 6,
        ..listing(Answer::Made(|asked| asked.page(&[], None)))
    });
    let error = rotated(&store, Gaps::Refused).unwrap_err();
    assert!(error.to_string().contains("a moment before"), "{error}");
    server.heal();
    assert!(listed(&*store, "keys/").unwrap().len() == 1, "the announcement is taken back");
    assert_eq!(rotated(&store, Gaps::Refused).unwrap(), 3);
}

#[test]
fn keys_are_rotated_over_a_gap_only_if_the_user_insists() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    three_nights(&store);
    let repository = support::open(Arc::clone(&store), 2).unwrap();
    let second = repository.snapshots().unwrap().snapshots[1].name.object();
    store.delete(&second).unwrap();
    let error = rotated(&store, Gaps::Refused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap);
    assert!(error.to_string().contains("which it follows"), "{error}");
    assert!(error.to_string().contains("--with-gaps"), "{error}");
    assert_eq!(rotated(&store, Gaps::Accepted).unwrap(), 2);
}

#[test]
fn packs_without_a_snapshot_are_a_finding() {
    let store = Arc::new(MemoryStore::new());
    three_nights(&shared(&store));
    for name in listed(&*store, Folder::Snapshots.prefix()).unwrap() {
        store.delete(&haulout::store::name::ObjectName::new(&name).unwrap()).unwrap();
    }
    let repository = support::open(shared(&store), 2).unwrap();
    let options = VerifyOptions::new(Depth::Objects);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert!(finding.what.contains("packs and no snapshot"), "{finding:?}");
    let empty = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 3);
    let report = verify(&empty, &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "a new repository has neither");
}
