//! An S3 server inside the test process: real HTTP, signatures and checksums are checked; and it
//! can be told to misbehave.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the benchmarks use a part; names say enough; tests fail by panicking"
)]

pub mod locks;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::store::location::Location;
use haulout::store::remote::PlainHttp;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::RemoteStore;
use haulout::store::remote::RetryPolicy;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::Collected;
use http_body_util::Full;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsAcceptor;

use locks::Locks;
use locks::Told;

pub const KEY: &str = "testkey";
pub const SECRET: &str = "testsecret";
pub const BUCKET: &str = "test";
/// Whom to trust to reach a server with TLS.
pub const AUTHORITY: &str = "tests/suite/support/tls/authority.pem";
/// Access keys that a machine is given.
pub const LEASES: [&str; 2] = ["firstlease", "secondlease"];

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the server does instead of what it is asked for.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status with these words, and nothing done.
    Status(u16, &'static str),
    /// The same, but it was done.
    DoneAndStatus(u16),
    /// Nothing, for ever.
    Hang,
    /// It is done, and no word is said of its checksum.
    DoneWithoutSum,
    /// The answer ends in the middle of its body.
    Cut,
    /// All of an object where a part was asked for.
    Whole,
    /// Another part than was asked for, as its headers say.
    OtherPart,
    /// Other bytes than the object has, as many.
    OtherBytes,
    /// A page for people, with status 200.
    Page,
    /// XML with status 200, made of what was asked for.
    Made(fn(&Listed) -> String),
    /// Status 200 and a body that never ends.
    Endless,
}

/// What a listing is asked for.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    pub prefix: String,
    pub token: String,
}

impl Listed {
    fn of(request: &Request<Incoming>) -> Self {
        let mut listed = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace("%2F", "/");
            match name {
                "prefix" => listed.prefix = value,
                "continuation-token" => listed.token = value,
                _ => {}
            }
        }
        listed
    }

    /// A good page with some names below the prefix, and the token of the next.
    pub fn page(&self, names: &[String], next: Option<&str>) -> String {
        let prefix = &self.prefix;
        let entry = |name: &String| {
            format!(
                "<Contents><Key>{prefix}{name}</Key><Size>3</Size><ETag>e</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        };
        let entries: String = names.iter().map(entry).collect();
        let next = match next {
            Some(token) => format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}\
                 </NextContinuationToken>"
            ),
            None => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        format!(
            "<ListBucketResult><Name>{BUCKET}</Name><Prefix>{prefix}</Prefix>\
             <KeyCount>{}</KeyCount>{next}{entries}</ListBucketResult>",
            names.len()
        )
    }
}

/// Which requests are answered so: their method, what their path has, which of them.
#[derive(Debug)]
pub struct Fault {
    pub method: &'static str,
    pub path: &'static str,
    pub skip: u64,
    pub times: u64,
    pub answer: Answer,
}

impl Fault {
    /// Of all requests, from the first on.
    pub fn always(answer: Answer) -> Self {
        Self { method: "", path: "", skip: 0, times: u64::MAX, answer }
    }

    /// Of the next so many requests of a method.
    pub fn next(method: &'static str, times: u64, answer: Answer) -> Self {
        Self { method, path: "", skip: 0, times, answer }
    }
}

/// What servers differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// A put of a name that is taken is refused if that is asked for.
    Kept,
    /// The condition is ignored: the object is replaced.
    Ignored,
    /// A request with a condition is refused as not implemented.
    Unknown,
}

/// The same files behind two doors: a request whose headers were changed has no right signature.
#[derive(Clone)]
struct Services {
    checked: s3s::service::S3Service,
    unchecked: s3s::service::S3Service,
}

#[derive(Debug)]
struct Shared {
    faults: Mutex<Vec<Fault>>,
    conditions: Conditions,
    requests: AtomicU64,
    /// Bytes of endless answers.
    endless: AtomicU64,
    /// Puts whose signature does not have the hash of their bytes.
    unsigned: AtomicU64,
    /// More at once are told to slow down.
    capacity: AtomicU64,
    inside: AtomicU64,
    most_inside: AtomicU64,
    sent_away: AtomicU64,
    /// The access key that the machine's own service gives, if it gives one.
    lease: Mutex<Option<&'static str>>,
    /// Access keys that signed requests.
    keys: Mutex<BTreeSet<String>>,
    locks: Locks,
}

/// What answers a connection's requests.
#[derive(Clone)]
struct Door {
    services: Services,
    lock: Arc<tokio::sync::Mutex<()>>,
    shared: Arc<Shared>,
}

impl Door {
    async fn answer_all<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = move |request: Request<Incoming>| {
            let Self { services, lock, shared } = self.clone();
            async move { Ok::<_, Infallible>(serve(services, lock, shared, request).await) }
        };
        let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let served = hyper::service::service_fn(answer);
        let _gone = http.serve_connection(TokioIo::new(stream), served).await;
    }
}

/// A running server; it ends with the value.
#[derive(Debug)]
pub struct S3 {
    pub endpoint: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
    _directory: TempDir,
}

impl S3 {
    pub fn start() -> Self {
        Self::start_with(Conditions::Kept)
    }

    pub fn start_with(conditions: Conditions) -> Self {
        Self::listen(conditions, None)
    }

    /// With TLS: the certificate is for `localhost`, and [`AUTHORITY`] has signed it.
    pub fn start_tls() -> Self {
        let chain = CertificateDer::pem_slice_iter(include_bytes!("tls/server.pem"));
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        Self::listen(Conditions::Kept, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn listen(conditions: Conditions, tls: Option<TlsAcceptor>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let service = |checked: bool| {
            let files = s3s_fs::FileSystem::new(directory.path()).unwrap();
            let mut builder = s3s::service::S3ServiceBuilder::new(files);
            if checked {
                let mut auth = s3s::auth::SimpleAuth::from_single(KEY, SECRET);
                for key in LEASES {
                    auth.register(key.to_owned(), SECRET.into());
                }
                builder.set_auth(auth);
            }
            builder.build()
        };
        let services = Services { checked: service(true), unchecked: service(false) };
        let shared = Arc::new(Shared {
            faults: Mutex::default(),
            conditions,
            unsigned: AtomicU64::new(0),
            endless: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            capacity: AtomicU64::new(u64::MAX),
            inside: AtomicU64::new(0),
            most_inside: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
            lease: Mutex::default(),
            keys: Mutex::default(),
            locks: Locks::default(),
        });
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = match &tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let door = Door { services, lock: Arc::default(), shared: Arc::clone(&shared) };
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (door, tls) = (door.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return door.answer_all(stream).await };
                    // Whoever does not trust the certificate goes away here.
                    if let Ok(stream) = tls.accept(stream).await {
                        door.answer_all(stream).await;
                    }
                });
            }
        });
        Self { endpoint, shared, _runtime: runtime, _directory: directory }
    }

    /// Misbehaves from now on.
    pub fn break_with(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push(fault);
    }

    /// Behaves again.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// Stands no more than so many requests at once from now on, and takes its time for each.
    pub fn stands(&self, requests: u64) {
        self.shared.capacity.store(requests, SeqCst);
        self.shared.most_inside.store(0, SeqCst);
        self.shared.sent_away.store(0, SeqCst);
    }

    /// The most requests at once since then, and how many were told to slow down.
    pub fn load_seen(&self) -> (u64, u64) {
        (self.shared.most_inside.load(SeqCst), self.shared.sent_away.load(SeqCst))
    }

    /// Is the service of a rented machine too, and gives it this access key for a moment.
    pub fn lease(&self, key: &'static str) {
        *self.shared.lease.lock().unwrap() = Some(key);
        self.shared.keys.lock().unwrap().clear();
    }

    /// Access keys that signed requests since then.
    pub fn keys(&self) -> Vec<String> {
        self.shared.keys.lock().unwrap().iter().cloned().collect()
    }

    /// The locks of its objects.
    pub fn locks(&self) -> &Locks {
        &self.shared.locks
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(SeqCst)
    }

    /// Bytes of endless answers that were sent so far, those in the buffers on the way included.
    pub fn endless_bytes(&self) -> u64 {
        self.shared.endless.load(SeqCst)
    }

    /// Puts so far whose signature does not have the hash of their bytes.
    pub fn unsigned_puts(&self) -> u64 {
        self.shared.unsigned.load(SeqCst)
    }

    pub fn variables() -> Vec<(String, String)> {
        let pairs = [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    pub fn options(&self) -> RemoteOptions {
        RemoteOptions {
            endpoint: Some(self.endpoint.clone()),
            plain_http: PlainHttp::Allowed,
            retry_policy: retry_policy(),
            variables: Self::variables(),
            ..RemoteOptions::default()
        }
    }

    pub fn store(&self, prefix: &str) -> RemoteStore {
        open(&format!("s3://{BUCKET}/{prefix}"), &self.options())
    }
}

/// Little of it, so that tests are soon over.
pub fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        retry_for: Duration::from_secs(20),
        first_answer: Duration::from_millis(300),
        answer: Duration::from_secs(20),
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(20),
    }
}

pub fn open(place: &str, options: &RemoteOptions) -> RemoteStore {
    RemoteStore::open(&Location::parse(place).unwrap(), options, &World::of_this_machine()).unwrap()
}

/// A folder on a server of the outside, as the script in `tests/stores` names it:
/// `HAULOUT_TEST_PLACE`, `HAULOUT_TEST_ENDPOINT`, and the service's own variables.
pub fn outside(folder: &str) -> (String, RemoteOptions) {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let options = RemoteOptions {
        endpoint: Some(variable("HAULOUT_TEST_ENDPOINT")),
        plain_http: PlainHttp::Allowed,
        variables: std::env::vars().filter(|(name, _)| !name.starts_with("HAULOUT")).collect(),
        ..RemoteOptions::default()
    };
    (format!("{}/{folder}-{}", variable("HAULOUT_TEST_PLACE"), std::process::id()), options)
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn answer(status: u16, kind: &str, words: &'static str) -> Response<Body> {
    let builder = Response::builder().status(status).header("content-type", kind);
    builder.body(full(words)).unwrap()
}

fn xml(text: String) -> Response<Body> {
    Response::builder().header("content-type", "application/xml").body(full(text)).unwrap()
}

fn endless(shared: Arc<Shared>) -> Response<Body> {
    let pieces = futures_util::stream::repeat_with(move || {
        let piece = Bytes::from_static(&[b' '; 16 << 10]);
        shared.endless.fetch_add(16 << 10, SeqCst);
        Ok(Frame::data(piece))
    });
    let body = StreamBody::new(pieces).boxed_unsync();
    Response::builder().header("content-type", "application/xml").body(body).unwrap()
}

/// Asks for a part that begins and ends one byte later; a whole object is given as it is.
fn shift_range(request: &mut Request<Incoming>) {
    let range = request.headers().get("range").map(|range| range.to_str().unwrap().to_owned());
    let Some(range) = range else { return };
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let later = |number: &str| number.parse::<u64>().unwrap() + 1;
    let range = format!("bytes={}-{}", later(start), later(end));
    forget(request, "range");
    request.headers_mut().insert("range", range.parse().unwrap());
}

/// Which fault strikes a request.
fn strikes(shared: &Shared, request: &Request<Incoming>) -> Option<Answer> {
    let (method, path) = (request.method().as_str(), request.uri().to_string());
    for fault in shared.faults.lock().unwrap().iter_mut() {
        if !method.starts_with(fault.method) || !path.contains(fault.path) || fault.times == 0 {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            continue;
        }
        fault.times -= 1;
        return Some(fault.answer.clone());
    }
    None
}

/// Drops a header, and the signature that no longer fits.
fn forget(request: &mut Request<Incoming>, header: &str) {
    if request.headers_mut().remove(header).is_some() {
        request.headers_mut().remove("authorization");
    }
}

/// What the service of a rented machine answers: a token, its role, and keys for a second.
fn leased(shared: &Shared, request: &Request<Incoming>) -> Response<Body> {
    let Some(key) = *shared.lease.lock().unwrap() else { return answer(404, "text/plain", "") };
    let path = request.uri().path();
    if path == "/latest/api/token" {
        return answer(200, "text/plain", "token");
    }
    if path.ends_with("/security-credentials/") {
        return answer(200, "text/plain", "role");
    }
    let words = format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{key}","SecretAccessKey":"{SECRET}",
        "Token":"token","LastUpdated":"2026-01-01T00:00:00Z","Expiration":"2026-01-01T00:00:01Z"}}"#
    );
    let builder = Response::builder().header("content-type", "application/json");
    builder.body(full(words)).unwrap()
}

fn record_key(shared: &Shared, request: &Request<Incoming>) {
    let signature = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let key = signature.and_then(|text| text.split_once("Credential=")?.1.split('/').next());
    shared.keys.lock().unwrap().extend(key.map(str::to_owned));
}

async fn serve(
    services: Services,
    lock: Arc<tokio::sync::Mutex<()>>,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.uri().path().starts_with("/latest/") {
        return leased(&shared, &request);
    }
    record_key(&shared, &request);
    let inside = shared.inside.fetch_add(1, SeqCst) + 1;
    shared.most_inside.fetch_max(inside, SeqCst);
    let capacity = shared.capacity.load(SeqCst);
    let answered = if inside > capacity {
        shared.sent_away.fetch_add(1, SeqCst);
        answer(503, "application/xml", "<Error><Code>SlowDown</Code></Error>")
    } else {
        if capacity < u64::MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        serve_one(services, lock, &shared, request).await
    };
    shared.inside.fetch_sub(1, SeqCst);
    answered
}

async fn serve_one(
    services: Services,
    lock: Arc<tokio::sync::Mutex<()>>,
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    shared.requests.fetch_add(1, SeqCst);
    let fault = strikes(shared, &request);
    match &fault {
        Some(Answer::Status(status, words)) => return answer(*status, "application/xml", words),
        Some(Answer::Page) => return answer(200, "text/html", "<html>Please log in</html>"),
        Some(Answer::Made(make)) => return xml(make(&Listed::of(&request))),
        Some(Answer::Endless) => return endless(Arc::clone(shared)),
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::Whole) => forget(&mut request, "range"),
        Some(Answer::OtherPart) => shift_range(&mut request),
        Some(
            Answer::Cut | Answer::OtherBytes | Answer::DoneAndStatus(_) | Answer::DoneWithoutSum,
        )
        | None => {}
    }
    if request.headers().get("x-amz-content-sha256").is_some_and(|sum| sum == "UNSIGNED-PAYLOAD") {
        shared.unsigned.fetch_add(u64::from(request.method() == Method::PUT), SeqCst);
    }
    let conditional = request.headers().contains_key("if-none-match");
    match shared.conditions {
        Conditions::Unknown if conditional => {
            let words = "<Error><Code>NotImplemented</Code></Error>";
            return answer(501, "application/xml", words);
        }
        Conditions::Ignored => forget(&mut request, "if-none-match"),
        Conditions::Unknown | Conditions::Kept => {}
    }
    // s3s-fs looks and then renames: conditions hold only one request at a time.
    let alone = if conditional { Some(lock.lock().await) } else { None };
    let Some(done) = locked(&services, shared, request).await else {
        return answer(500, "application/xml", "");
    };
    drop(alone);
    match fault {
        Some(Answer::DoneAndStatus(status)) => answer(status, "application/xml", ""),
        Some(Answer::DoneWithoutSum) => {
            let mut done = done.map(|body| body.map_err(io::Error::other).boxed_unsync());
            done.headers_mut().remove("x-amz-checksum-crc64nvme");
            done
        }
        Some(Answer::Cut) => {
            let (parts, bytes) = received(done).await;
            let half = bytes.slice(..bytes.len() / 2);
            let pieces = [Ok(Frame::data(half)), Err(io::Error::other("cut"))];
            let body = StreamBody::new(futures_util::stream::iter(pieces));
            Response::from_parts(parts, body.boxed_unsync())
        }
        Some(Answer::OtherBytes) => {
            let (parts, bytes) = received(done).await;
            Response::from_parts(parts, full(bytes.iter().map(|b| !b).collect::<Vec<_>>()))
        }
        _ => done.map(|body| body.map_err(io::Error::other).boxed_unsync()),
    }
}

/// The answer of the files, after what locks say of it.
async fn locked(
    services: &Services,
    shared: &Shared,
    mut request: Request<Incoming>,
) -> Option<Response<s3s::Body>> {
    let (method, address) = (request.method().clone(), request.uri().clone());
    let key = locks::key_of(&address);
    if locks::is_about_locks(&request) {
        return about_locks(services, shared, request).await;
    }
    let deletes = address.query().is_some_and(|query| query.contains("delete"));
    if deletes && method == Method::POST && shared.locks.are_known() {
        forget(&mut request, "content-md5");
        forget(&mut request, "x-amz-checksum-sha256");
        let (mut parts, body) = request.into_parts();
        parts.headers.remove("content-length");
        let body = body.collect().await.ok()?.to_bytes();
        let (kept, errors) = shared.locks.filter(std::str::from_utf8(&body).ok()?);
        if !kept.contains("<Object>") {
            let text = format!("<DeleteResult>{errors}</DeleteResult>");
            return Some(Response::new(s3s::Body::from(text)));
        }
        let answer = call(services, Request::from_parts(parts, s3s::Body::from(kept))).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let end = "</DeleteResult>";
        let text = String::from_utf8_lossy(&body).replace(end, &format!("{errors}{end}"));
        return Some(Response::from_parts(parts, s3s::Body::from(text)));
    }
    if method == Method::DELETE && !shared.locks.may_delete(&key) {
        let words = locks::LOCKED;
        let text = format!("<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>");
        let refused = Response::builder().status(403).header("content-type", "application/xml");
        return refused.body(s3s::Body::from(text)).ok();
    }
    let done = call(services, request.map(s3s::Body::from)).await?;
    if method == Method::PUT && done.status().is_success() {
        shared.locks.was_put(key);
    }
    Some(done)
}

async fn call(services: &Services, request: Request<s3s::Body>) -> Option<Response<s3s::Body>> {
    let in_query = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature"));
    let is_signed = in_query || request.headers().contains_key("authorization");
    let service = if is_signed { &services.checked } else { &services.unchecked };
    service.call(request).await.ok()
}

/// The files know no locks, which they say only if the signature is right.
async fn about_locks(
    services: &Services,
    shared: &Shared,
    request: Request<Incoming>,
) -> Option<Response<s3s::Body>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let again = Request::from_parts(parts.clone(), s3s::Body::from(body.clone()));
    let done = call(services, again).await?;
    if done.status() != StatusCode::NOT_IMPLEMENTED {
        return Some(done);
    }
    match shared.locks.answer(&parts.method, &parts.uri, &body) {
        None => Some(done),
        Some(Told::Words(status, text)) => {
            let told = Response::builder().status(status).header("content-type", "application/xml");
            told.body(s3s::Body::from(text)).ok()
        }
        Some(Told::OfObject) => {
            parts.uri = parts.uri.path().parse().ok()?;
            call(services, Request::from_parts(parts, s3s::Body::from(body))).await
        }
    }
}

/// All of an answer.
async fn received(answer: Response<s3s::Body>) -> (http::response::Parts, Bytes) {
    let (parts, body) = answer.into_parts();
    (parts, body.collect().await.map(Collected::to_bytes).unwrap_or_default())
}
