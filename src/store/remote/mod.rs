//! A store over the network: S3 and what speaks its protocol, Google Cloud, Azure.
//!
//! [`RemoteStore`] is the bridge between the threads of the program and `object_store`: a call
//! blocks its thread, the connections live on a small runtime of their own, and nothing that costs
//! processor time runs on the runtime's threads.
//!
//! | file | knows |
//! |---|---|
//! | `open` | URL, options and variables -> a client of the service |
//! | `client`, `body` | HTTP, TLS, proxies, the rate limit |
//! | `answer` | what a bad answer means |
//! | `listing` | whether an answer is the listing that was asked for, and gets on |
//! | `concurrency` | how many requests at once |
//! | `deletions` | one request for many deletions |
//! | `locks` | until when objects can't be deleted |
//! | `lock_client` | the requests that ask and say so |
//! | `post` | one request to an address that a user names |
//! | `retry` | how long to wait, and for how long to ask again |
//!
//! Invariants:
//! - A request is repeated as a whole, signed again with fresh credentials, which is always right:
//!   names carry hashes.
//! - Nothing depends on conditional writes. A put asks the store to refuse if the name is taken; a
//!   store that does not know this (501) is not asked again, one that ignores it replaces an object
//!   by the same bytes.
//! - Only `replace` asks for a put without that condition.
//! - Deletions of several objects are repeated for a minute only, whatever the policy says.
//! - An object is put in one request: there is never a part of one to be seen, or to be tidied up.
//! - What is received has the length that was asked for, else the call fails.

mod answer;
mod body;
mod client;
mod concurrency;
mod deletions;
pub mod listing;
mod lock_client;
mod locks;
mod open;
pub mod post;
mod retry;

pub use open::OnRetry;
pub use open::PlainHttp;
pub use open::RemoteOptions;
pub use retry::RetryPolicy;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::GetOptions;
use object_store::GetRange;
use object_store::GetResult;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::PutMode;
use object_store::PutOptions;
use object_store::PutPayload;
use object_store::list::PaginatedListOptions;
use object_store::list::PaginatedListResult;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::base::buffers::ReadBuffers;
use crate::base::limits::PACK_BYTES_MAX;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::world::World;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::Diagnosis;
use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::is_joined;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::store::name::is_prefix;
use crate::store::remote::answer::Consequence;
use crate::store::remote::answer::ErrorResponse;
use crate::store::remote::answer::listening;
use crate::store::remote::answer::record;
use crate::store::remote::client::listing;
use crate::store::remote::concurrency::ConcurrencyLimit;
use crate::store::remote::concurrency::Found;
use crate::store::remote::listing::Asked;
use crate::store::remote::listing::Order;
use crate::store::remote::listing::Walk;
use crate::store::remote::lock_client::LockClient;
use crate::store::remote::retry::Again;
use crate::store::remote::retry::Attempts;
use crate::store::remote::retry::GivenUp;
use crate::store::remote::retry::Past;
use crate::store::remote::retry::ThroughputEstimate;
use crate::store::remote::retry::Transfer;
use crate::store::remote::retry::in_time;

/// The interval at which a pause looks whether the user wants to stop.
const STOP_LOOK: Duration = Duration::from_millis(100);
/// A request that is repeated is reported after this time, and then each time it doubled.
const REPORT_AFTER: Duration = Duration::from_secs(10);
/// Objects that are deleted with one request, where the service takes several.
const DELETES_AT_ONCE: usize = 1000;
/// Beyond this no service counts bytes.
const POSITION_MAX: u64 = 1 << 62;

/// The operations of a service's client.
trait Client: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Client for T {}

/// Objects in a bucket.
pub struct RemoteStore {
    client: Arc<dyn Client>,
    /// A client for puts without TLS into a store that checks their checksums: without the hash of
    /// the bytes in the signature, which costs both sides more than all else. It keeps nobody from
    /// answering in the store's place.
    unsigned: Option<Arc<dyn Client>>,
    /// A client that deletes many objects with one request, where the other one does not.
    batches: Option<Arc<dyn Client>>,
    /// The client of requests about locks, where the service has them.
    locks: Option<LockClient>,
    /// Set when the service has refused to delete many objects with one request.
    no_batches: AtomicBool,
    location: String,
    /// A listing of all: its prefix is before every name, and is empty or ends with a slash.
    whole: Asked,
    runtime: Option<Runtime>,
    world: World,
    /// Receives reports of requests that are repeated for long.
    on_retry: Option<Arc<OnRetry>>,
    retry_policy: RetryPolicy,
    concurrency: ConcurrencyLimit,
    throughput: ThroughputEstimate,
    no_conditions: Arc<AtomicBool>,
    checks_sums: Arc<AtomicBool>,
    ever_answered: AtomicBool,
    /// Buffers that objects are read into.
    buffers: ReadBuffers,
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RemoteStore").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Drop for RemoteStore {
    fn drop(&mut self) {
        // What is still in progress (a connection that hangs) is nobody's business any more.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The request, as errors name it.
#[derive(Debug, Clone, Copy)]
struct Request<'r> {
    verb: Verb,
    object: &'r str,
    /// Bytes that go or come with it, for its time.
    bytes: u64,
}

/// The result of one try.
enum Tried<T> {
    Done(T),
    Failed(StoreError),
    Again(Again, StoreError),
}

impl RemoteStore {
    /// Sets the function that hears of requests that are repeated for long.
    #[must_use]
    pub fn reporting_retries(mut self, on_retry: Arc<OnRetry>) -> Self {
        self.on_retry = Some(on_retry);
        self
    }

    fn report_retry(&self, error: &StoreError, left: Duration) {
        if let Some(on_retry) = &self.on_retry {
            on_retry(error, left);
        }
    }

    fn path(&self, verb: Verb, name: &ObjectName) -> Result<Path, StoreError> {
        let path = Path::parse(format!("{}{name}", self.whole.prefix));
        path.map_err(|e| StoreError::new(verb, name, Category::Other).because(e))
    }

    /// Asks until there is an answer, or the time for retries is over.
    fn ask<T, F>(&self, request: Request<'_>, ask: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        self.ask_by(&self.retry_policy, request, ask)
    }

    /// Asks until there is an answer, or the time for retries of this policy is over.
    fn ask_by<T, F>(
        &self,
        policy: &RetryPolicy,
        request: Request<'_>,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let Request { verb, object, .. } = request;
        let began = self.world.clock.elapsed();
        let mut report_after = REPORT_AFTER;
        let mut tries = 0;
        loop {
            self.check_stop(verb, object)?;
            let spent = self.world.clock.elapsed().saturating_sub(began);
            let left = policy.retry_for.saturating_sub(spent);
            let (why, error) = match self.ask_once(request, left, ask()) {
                Tried::Done(answer) => return Ok(answer),
                Tried::Failed(error) => return Err(error),
                Tried::Again(why, error) => (why, error),
            };
            let since = self.world.clock.elapsed().saturating_sub(began);
            let answered = self.ever_answered.load(Ordering::Acquire);
            let past = if answered { Past::Answered } else { Past::Silent };
            let entropy = &*self.world.entropy;
            let attempts = Attempts { tries, since };
            let Some(pause) = policy.pause(why, attempts, past, entropy) else {
                return Err(error);
            };
            if since >= report_after {
                report_after = since * 2;
                self.report_retry(&error, policy.budget(why, past).saturating_sub(since));
            }
            tries += 1;
            self.pause(pause, verb, object)?;
        }
    }

    fn ask_once<T>(
        &self,
        request: Request<'_>,
        left: Duration,
        asking: impl Future<Output = object_store::Result<T>>,
    ) -> Tried<T> {
        let permit = self.concurrency.enter();
        let clock = &*self.world.clock;
        let limit = self.throughput.time_for(request.transfer(), &self.retry_policy).within(left);
        let began = clock.elapsed();
        let runtime = self.runtime.as_ref().expect("it is there until the store is dropped");
        let wanted = || self.world.monitor.check().is_ok();
        let (outcome, response) =
            runtime.block_on(listening(in_time(asking, limit, clock, wanted)));
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(GivenUp::Unwanted) => {
                permit.leave(Found::Answer);
                let stopped = StoreError::new(request.verb, request.object, Category::Stopped);
                return Tried::Failed(stopped);
            }
            Err(GivenUp::Late(after)) => {
                self.throughput.was_late();
                permit.leave(Found::Overloaded);
                let late = Fault::Late(after.as_secs().max(1));
                return Tried::Again(Again::Broken, request.failed_for_now().because(late));
            }
        };
        let tried = match outcome {
            Ok(answer) => {
                self.ever_answered.store(true, Ordering::Release);
                self.throughput.took(request.bytes, clock.elapsed().saturating_sub(began));
                Tried::Done(answer)
            }
            Err(error) => self.judge(request, error, response),
        };
        let overloaded = matches!(tried, Tried::Again(Again::Busy | Again::Broken, _));
        permit.leave(if overloaded { Found::Overloaded } else { Found::Answer });
        tried
    }

    /// Decides what follows from a failure.
    fn judge<T>(
        &self,
        request: Request<'_>,
        error: object_store::Error,
        response: Option<ErrorResponse>,
    ) -> Tried<T> {
        let Request { verb, object, .. } = request;
        let Some(response) = response.or_else(|| ErrorResponse::about_one(&error.to_string()))
        else {
            // Azure deletes in batches: the answer is good, and has a bad one in it.
            if matches!(error, object_store::Error::NotFound { .. }) {
                let error = StoreError::new(verb, object, Category::NotFound).because(error);
                return Tried::Failed(error);
            }
            let ranges = error.to_string().contains("non-partial response");
            if ranges {
                let error = StoreError::new(verb, object, Category::Other).because(error);
                return Tried::Failed(error.with_diagnosis(Diagnosis::NoRanges));
            }
            return Tried::Again(Again::Odd, request.failed_for_now().because(error));
        };
        if matches!(response, ErrorResponse::Status { .. }) {
            self.ever_answered.store(true, Ordering::Release);
        }
        let conditional = verb == Verb::Put && self.no_conditions.load(Ordering::Acquire);
        let again = match response.consequence() {
            // The store has just said that it knows no conditional put.
            Consequence::Final(Category::Other, None) if conditional => Again::Odd,
            Consequence::Final(category, diagnosis) => {
                let error = StoreError::new(verb, object, category).because(response);
                let error = diagnosis.into_iter().fold(error, StoreError::with_diagnosis);
                return Tried::Failed(error);
            }
            Consequence::Busy => Again::Busy,
            Consequence::Broken => Again::Broken,
            Consequence::Odd => Again::Odd,
        };
        let diagnosis = match again {
            _ if matches!(response, ErrorResponse::Keys(_)) => Diagnosis::Credentials,
            _ if matches!(
                response,
                ErrorResponse::NotAListing(_) | ErrorResponse::TooLong { .. }
            ) =>
            {
                Diagnosis::NotAStore
            }
            Again::Busy => Diagnosis::RetriesExhausted,
            Again::Broken | Again::Odd => Diagnosis::Unreachable,
        };
        Tried::Again(again, request.failed_for_now().because(response).with_diagnosis(diagnosis))
    }

    /// Asks for a page of a listing, after those that `walk` has seen.
    async fn page(
        &self,
        asked: &Asked,
        page_token: Option<String>,
        mut walk: Walk,
    ) -> object_store::Result<(PaginatedListResult, Walk)> {
        let below = (!asked.prefix.is_empty()).then_some(asked.prefix.as_str());
        let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
        let page = self.client.list_paginated(below, options);
        let page = listing(asked.clone(), page).await?;
        let names = page.result.objects.iter().map(|meta| meta.location.as_ref());
        match walk.page(names, page.page_token.as_deref()) {
            Ok(()) => Ok((page, walk)),
            Err(why) => {
                record(ErrorResponse::NotAListing(why));
                Err(odd("the listing does not get on"))
            }
        }
    }

    fn check_stop(&self, verb: Verb, object: &str) -> Result<(), StoreError> {
        let go_on = self.world.monitor.check();
        go_on.map_err(|_| StoreError::new(verb, object, Category::Stopped))
    }

    fn pause(&self, time: Duration, verb: Verb, object: &str) -> Result<(), StoreError> {
        let until = self.world.clock.elapsed() + time;
        loop {
            self.check_stop(verb, object)?;
            let left = until.saturating_sub(self.world.clock.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(STOP_LOOK));
        }
    }

    /// Makes sure that a name that is taken is taken by the same object.
    fn compare(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let own = payload.iter().map(|part| u64_of(part.len())).sum();
        match self.size(name)? {
            Some(found) if found == own => {}
            Some(found) => return Err(Fault::OtherSize { found, own }.on(Verb::Put, name)),
            None => return Err(StoreError::new(Verb::Put, name, Category::Transient)),
        }
        let found = match self.get(name, own) {
            Ok(found) => found,
            Err(error) => {
                return Err(StoreError::new(Verb::Put, name, error.category()).because(error));
            }
        };
        if is_joined(&found, payload) { Ok(()) } else { Err(Fault::OtherBytes.on(Verb::Put, name)) }
    }

    /// Returns the error of a range that ends after the object does.
    fn too_short(&self, name: &ObjectName, end: u64) -> Result<StoreError, StoreError> {
        let not_found = || StoreError::new(Verb::GetRange, name, Category::NotFound);
        let size = self.size(name)?.ok_or_else(not_found)?;
        Ok(Fault::TooShort { bytes: size, end }.on(Verb::GetRange, name))
    }
}

impl<'r> Request<'r> {
    fn new(verb: Verb, name: &'r ObjectName, bytes: u64) -> Self {
        Request { verb, object: name.as_str(), bytes }
    }

    fn transfer(&self) -> Transfer {
        if matches!(self.verb, Verb::Put | Verb::Replace) {
            Transfer::Sent(self.bytes)
        } else {
            Transfer::Received(self.bytes)
        }
    }

    fn failed_for_now(&self) -> StoreError {
        StoreError::new(self.verb, self.object, Category::Transient)
    }
}

/// The report of a store on the name of a put.
enum Stored {
    /// The store reported no object of that name.
    Now,
    /// The store reported an object of that name.
    Before,
}

/// Returns all bytes of an answer; how many there would be if that is more than `bytes_max`.
async fn collect(
    answer: GetResult,
    bytes_max: u64,
    buffers: &ReadBuffers,
) -> object_store::Result<Result<Bytes, u64>> {
    let expected = answer.range.end - answer.range.start;
    if expected > bytes_max {
        return Ok(Err(expected));
    }
    let mut bytes = buffers.of_length(usize_of(expected));
    let mut room = bytes.as_mut_slice();
    let mut pieces = answer.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let Some((own, rest)) = room.split_at_mut_checked(piece.len()) else {
            return Err(odd("more bytes came than were announced"));
        };
        own.copy_from_slice(&piece);
        room = rest;
    }
    if !room.is_empty() {
        return Err(odd("fewer bytes came than were announced"));
    }
    Ok(Ok(bytes.freeze()))
}

fn odd(what: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "store", source: what.into() }
}

impl Store for RemoteStore {
    fn put(&self, name: &ObjectName, parts: &[Bytes]) -> Result<(), StoreError> {
        let path = self.path(Verb::Put, name)?;
        let payload: PutPayload = parts.iter().cloned().collect();
        let own = u64_of(payload.content_length());
        let outcome = self.ask(Request::new(Verb::Put, name, own), || {
            let unknown = self.no_conditions.load(Ordering::Acquire);
            let mode = if unknown { PutMode::Overwrite } else { PutMode::Create };
            let options = PutOptions::from(mode);
            let checked = self.checks_sums.load(Ordering::Acquire);
            let client = self.unsigned.as_ref().filter(|_| checked).unwrap_or(&self.client);
            let put = client.put_opts(&path, payload.clone(), options);
            async move {
                match put.await {
                    Ok(_) => Ok(Stored::Now),
                    Err(object_store::Error::AlreadyExists { .. }) => Ok(Stored::Before),
                    Err(error) => Err(error),
                }
            }
        })?;
        match outcome {
            Stored::Now => Ok(()),
            Stored::Before => self.compare(name, parts),
        }
    }

    fn replace(&self, name: &ObjectName, parts: &[Bytes]) -> Result<(), StoreError> {
        let path = self.path(Verb::Replace, name)?;
        let payload: PutPayload = parts.iter().cloned().collect();
        let own = u64_of(payload.content_length());
        let put = || {
            let options = PutOptions::from(PutMode::Overwrite);
            self.client.put_opts(&path, payload.clone(), options)
        };
        self.ask(Request::new(Verb::Replace, name, own), put).map(|_| ())
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let path = self.path(Verb::Get, name)?;
        // How much will come is not known; a pack at most is what callers mostly ask for.
        let bytes = bytes_max.min(u64_of(PACK_BYTES_MAX));
        let got = self.ask(Request::new(Verb::Get, name, bytes), || {
            let get = self.client.get_opts(&path, GetOptions::default());
            async move { collect(get.await?, bytes_max, &self.buffers).await }
        })?;
        got.map_err(|bytes| Fault::TooLong { bytes, bytes_max }.on(Verb::Get, name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let path = self.path(Verb::GetRange, name)?;
        let length = range.end - range.start;
        if range.end > POSITION_MAX {
            return Err(self.too_short(name, range.end).unwrap_or_else(|error| error));
        }
        let got = self.ask(Request::new(Verb::GetRange, name, length), || {
            let part = GetRange::Bounded(range.clone());
            let get = self.client.get_opts(&path, GetOptions::new().with_range(Some(part)));
            async move { collect(get.await?, length, &self.buffers).await }
        });
        match got {
            Ok(Ok(bytes)) if u64_of(bytes.len()) == length => Ok(bytes),
            Ok(_) => Err(self.too_short(name, range.end).unwrap_or_else(|error| error)),
            Err(error) if error.category() == Category::Damaged => {
                Err(self.too_short(name, range.end).unwrap_or_else(|error| error))
            }
            // Azurite's answer to a range after the end is none that the client understands.
            Err(error)
                if error.category() == Category::Transient && error.diagnosis().is_none() =>
            {
                match self.size(name)? {
                    Some(bytes) if bytes < range.end => {
                        Err(Fault::TooShort { bytes, end: range.end }.on(Verb::GetRange, name))
                    }
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        let path = self.path(Verb::Size, name)?;
        let head = || self.client.head(&path);
        match self.ask(Request::new(Verb::Size, name, 0), head) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.category() == Category::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        if !is_prefix(prefix) {
            return Err(Fault::NotAPrefix.on(Verb::List, prefix));
        }
        let asked =
            Asked { prefix: format!("{}{prefix}", self.whole.prefix), ..self.whole.clone() };
        let object = if prefix.is_empty() { self.location.as_str() } else { prefix };
        let mut walk = Walk::new(Order::of_bucket(&asked.bucket));
        let mut token: Option<String> = None;
        loop {
            let request = Request { verb: Verb::List, object, bytes: 0 };
            let (page, behind) =
                self.ask(request, || self.page(&asked, token.clone(), walk.clone()))?;
            for meta in page.result.objects {
                // It is there: the page was checked.
                let Some(name) = meta.location.as_ref().strip_prefix(&self.whole.prefix) else {
                    continue;
                };
                // What is named like no object is none of ours.
                if let Ok(name) = ObjectName::new(name) {
                    each(ObjectMeta { name, size: meta.size });
                }
            }
            (token, walk) = (page.page_token, behind);
            if token.is_none() {
                return Ok(());
            }
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.delete_by(&self.retry_policy, name)
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.chunks(DELETES_AT_ONCE).flat_map(|batch| self.delete_batch(batch)).collect()
    }

    fn deletes_at_once(&self) -> usize {
        DELETES_AT_ONCE
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.extend(name, term)
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.rule()
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.kept_versions()
    }

    fn is_at_hand(&self, _name: &ObjectName) -> bool {
        false
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}
