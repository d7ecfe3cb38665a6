//! Buckets with versions and Object Lock, as AWS and Ceph have them, or as a store has that knows
//! nothing of either.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the benchmarks use a part; names say enough; tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use haulout::base::world::World;
use http::Method;
use http::Request;
use http::Uri;

/// Seconds of a day.
pub const DAY: u64 = 24 * 60 * 60;

/// What a bucket knows of locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// It answers as AWS does for a bucket without Object Lock.
    Without,
    /// What is put is locked for these days, if for any; what is deleted is hidden by a marker.
    Hides(Option<u64>),
    /// What is put is locked for these days, and a deletion of it is refused.
    Refuses(u64),
    /// It takes a request about a lock for one about the object.
    Ignores,
}

/// A lock: its mode, and its end in seconds since 1970.
pub type Lock = (String, u64);

#[derive(Debug, Default)]
pub struct Locks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: requests about locks are not implemented.
    bucket: Option<Bucket>,
    locks: BTreeMap<String, Lock>,
    /// Keys that were deleted, and are still there as versions.
    hidden: Vec<String>,
    asked: u64,
    put: u64,
}

/// What is answered instead of the files' answer.
#[derive(Debug)]
pub enum Told {
    /// A status and a text.
    Words(u16, String),
    /// The files' answer to the same request without its question.
    OfObject,
}

fn error(status: u16, code: &str, message: &str) -> Told {
    let text = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Told::Words(status, text)
}

fn now() -> u64 {
    World::of_this_machine().clock.unix_seconds()
}

fn between<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

/// The key that an address names, without the bucket.
pub fn key_of(address: &Uri) -> String {
    let path = address.path().trim_start_matches('/');
    path.split_once('/').map_or(String::new(), |(_, key)| key.to_owned())
}

fn asks(address: &Uri, question: &str) -> bool {
    let mut parts = address.query().unwrap_or_default().split('&');
    parts.any(|part| part.split('=').next() == Some(question))
}

/// Whether a request is about locks or versions.
pub fn is_about_locks<B>(request: &Request<B>) -> bool {
    ["retention", "object-lock", "versioning"].iter().any(|about| asks(request.uri(), about))
}

impl Locks {
    /// Is such a bucket from now on.
    pub fn become_bucket(&self, bucket: Bucket) {
        self.state.lock().unwrap().bucket = Some(bucket);
    }

    /// Whether it is a bucket of one of these kinds.
    pub fn are_known(&self) -> bool {
        self.state.lock().unwrap().bucket.is_some()
    }

    pub fn of(&self, key: &str) -> Option<Lock> {
        self.state.lock().unwrap().locks.get(key).cloned()
    }

    /// Gives an object a lock.
    pub fn set(&self, key: &str, mode: &str, until: u64) {
        self.state.lock().unwrap().locks.insert(key.to_owned(), (mode.to_owned(), until));
    }

    /// The ends of all locks under a prefix.
    pub fn ends(&self, prefix: &str) -> BTreeMap<String, u64> {
        let state = self.state.lock().unwrap();
        let under = state.locks.iter().filter(|(key, _)| key.starts_with(prefix));
        under.map(|(key, (_, until))| (key.clone(), *until)).collect()
    }

    pub fn hidden(&self) -> Vec<String> {
        self.state.lock().unwrap().hidden.clone()
    }

    /// Questions for locks so far, and locks that were put.
    pub fn requests(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.asked, state.put)
    }

    /// Answers a request about locks; nothing if the files answer it, which know none.
    pub fn answer(&self, method: &Method, address: &Uri, body: &Bytes) -> Option<Told> {
        let mut state = self.state.lock().unwrap();
        let (bucket, key) = (state.bucket?, key_of(address));
        if bucket == Bucket::Ignores {
            return Some(Told::OfObject);
        }
        if asks(address, "versioning") {
            let status = match bucket {
                Bucket::Hides(_) => "<Status>Enabled</Status>",
                Bucket::Without | Bucket::Refuses(_) | Bucket::Ignores => "",
            };
            let text = format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
            return Some(Told::Words(200, text));
        }
        let days = match bucket {
            Bucket::Hides(days) => days,
            Bucket::Refuses(days) => Some(days),
            Bucket::Without | Bucket::Ignores => None,
        };
        if asks(address, "object-lock") {
            if bucket == Bucket::Without {
                return Some(error(404, "ObjectLockConfigurationNotFoundError", ""));
            }
            let rule = days.map(|days| {
                format!(
                    "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>{days}</Days>\
                     </DefaultRetention></Rule>"
                )
            });
            let rule = rule.unwrap_or_default();
            let text = format!("<ObjectLockConfiguration>{rule}</ObjectLockConfiguration>");
            return Some(Told::Words(200, text));
        }
        if bucket == Bucket::Without {
            return Some(error(
                400,
                "InvalidRequest",
                "Bucket is missing Object Lock Configuration",
            ));
        }
        Some(if *method == Method::PUT { state.put(key, body) } else { state.get(&key) })
    }

    /// Notes what was put.
    pub fn was_put(&self, key: String) {
        let mut state = self.state.lock().unwrap();
        if let Some(Bucket::Hides(Some(days)) | Bucket::Refuses(days)) = state.bucket {
            state.locks.insert(key, ("COMPLIANCE".to_owned(), now() + days * DAY));
        }
    }

    /// Whether these objects may be deleted; what is, may be hidden only.
    pub fn may_delete(&self, key: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        let is_locked = state.locks.get(key).is_some_and(|(_, until)| *until > now());
        match state.bucket {
            Some(Bucket::Refuses(_)) if is_locked => return false,
            Some(Bucket::Hides(_)) => state.hidden.push(key.to_owned()),
            Some(Bucket::Refuses(_) | Bucket::Without | Bucket::Ignores) | None => {}
        }
        state.locks.remove(key);
        true
    }

    /// Takes from a deletion of several objects those that are locked, and returns their answers.
    pub fn filter(&self, body: &str) -> (String, String) {
        let (mut kept, mut errors) = (String::new(), String::new());
        let mut rest = body;
        while let Some((before, after)) = rest.split_once("<Object>") {
            let (object, behind) = after.split_once("</Object>").unwrap();
            let key = between(object, "Key").unwrap();
            kept.push_str(before);
            if self.may_delete(key) {
                kept.extend(["<Object>", object, "</Object>"]);
            } else {
                let words = [
                    "<Error><Key>",
                    key,
                    "</Key><Code>AccessDenied</Code><Message>",
                    LOCKED,
                    "</Message></Error>",
                ];
                errors.extend(words);
            }
            rest = behind;
        }
        (kept + rest, errors)
    }
}

/// The words of AWS about a locked object.
pub const LOCKED: &str = "Access Denied because object protected by object lock.";

impl State {
    fn get(&mut self, key: &str) -> Told {
        self.asked += 1;
        let Some((mode, until)) = self.locks.get(key) else {
            return error(404, "NoSuchObjectLockConfiguration", "");
        };
        let until = jiff::Timestamp::from_second(i64::try_from(*until).unwrap()).unwrap();
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Retention><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        Told::Words(200, text)
    }

    fn put(&mut self, key: String, body: &Bytes) -> Told {
        self.put += 1;
        let text = std::str::from_utf8(body).unwrap();
        let mode = between(text, "Mode").unwrap().to_owned();
        let until: jiff::Timestamp = between(text, "RetainUntilDate").unwrap().parse().unwrap();
        let until = u64::try_from(until.as_second()).unwrap();
        if until <= now() {
            return error(400, "InvalidArgument", "The retain until date must be in the future!");
        }
        if let Some((known, end)) = self.locks.get(&key)
            && (*end > until || known == "COMPLIANCE" && mode != *known)
        {
            return error(403, "AccessDenied", "the lock would be weaker");
        }
        self.locks.insert(key, (mode, until));
        Told::Words(200, String::new())
    }
}
