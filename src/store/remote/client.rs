//! The HTTP client beneath `object_store`: hyper and rustls, with what a backup needs of them.
//!
//! - TLS unless plain HTTP was allowed by name; the system's certificates and those of a file.
//! - Bodies go through a rate limiter in small pieces, over sockets with small buffers while there
//!   is one ([`body`](super::body)).
//! - Bad answers and failed connections are noted with their words ([`answer`](super::answer)), and
//!   a page for people is never taken for an object.
//! - A listing is checked before it is handed on ([`listing`](super::listing)).
//! - What is not an object has a bound on its bytes, whatever the server sends.
//! - Proxies as the usual variables name them, always by CONNECT.
//!
//! It does not retry, redirect or decompress.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header::IF_NONE_MATCH;
use http_body_util::BodyExt;
use http_body_util::Collected;
use http_body_util::Limited;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use object_store::ClientConfigKey;
use object_store::ClientOptions;
use object_store::client::HttpClient;
use object_store::client::HttpError;
use object_store::client::HttpErrorKind;
use object_store::client::HttpRequest;
use object_store::client::HttpResponse;
use object_store::client::HttpResponseBody;
use object_store::client::HttpService;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::base::monitor::Monitor;
use crate::store::limiter::Limiter;
use crate::store::remote::answer::ErrorResponse;
use crate::store::remote::answer::is_page;
use crate::store::remote::answer::record;
use crate::store::remote::body::Received;
use crate::store::remote::body::Sent;
use crate::store::remote::listing::Asked;
use crate::store::remote::listing::check_page;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const IDLE_TIME_MAX: Duration = Duration::from_mins(1);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Told of an object that was put, if its checksum was compared; otherwise asked for only.
const SUM_OF_PUT: &str = "x-amz-checksum-crc64nvme";
/// Bytes of a bad answer that are read for their words.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a page of a listing: of S3 at most 1000 names, of Azure 5000, at 1.5 KiB each.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a good answer that is neither an object nor a listing: keys, or what became of a put.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Socket buffers under a limit: what they hold would leave at once after a stall.
const SMALL_BUFFER_BYTES: usize = 64 << 10;

tokio::task_local! {
    static LISTED: Asked;
}

/// Asks for a page of a listing: the answer to whatever this task gets is checked against `asked`.
pub(super) async fn listing<T>(asked: Asked, asking: impl Future<Output = T>) -> T {
    LISTED.scope(asked, asking).await
}

/// The settings that all connections have in common.
#[derive(Clone)]
pub(super) struct Wire {
    /// TLS settings, with the certificates to trust.
    pub(super) tls: Arc<ClientConfig>,
    /// Proxies between this host and the store.
    pub(super) proxies: Arc<Matcher>,
    /// The limit on the rate of bytes that leave.
    pub(super) up: Option<Arc<Limiter>>,
    /// The limit on the rate of bytes that come.
    pub(super) down: Option<Arc<Limiter>>,
    /// The monitor that counts the bytes that have left.
    pub(super) monitor: Arc<Monitor>,
    /// Set when the store says that it knows no conditional put.
    pub(super) no_conditions: Arc<AtomicBool>,
    /// Set when the store has given the checksum of what was put: it has checked it.
    pub(super) checks_sums: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Wire")
            .field("up", &self.up)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl object_store::client::HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let schemes = match plain.as_deref() {
            Some("true") => Schemes::Both,
            _ => Schemes::Tls,
        };
        let https = HttpsConnectorBuilder::new()
            .with_tls_config((*self.tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(self.dialer());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(https);
        Ok(HttpClient::new(Asking { client, schemes, wire: self.clone() }))
    }
}

impl Wire {
    fn dialer(&self) -> Dialer {
        let mut dialer = Dialer::new(Arc::clone(&self.proxies));
        if self.up.is_some() {
            dialer.tcp.set_send_buffer_size(Some(SMALL_BUFFER_BYTES));
        }
        if self.down.is_some() {
            dialer.tcp.set_recv_buffer_size(Some(SMALL_BUFFER_BYTES));
        }
        dialer
    }
}

/// Connects, through a proxy where one is named.
#[derive(Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Dialer {
    /// Creates one with the usual settings of connections.
    pub(super) fn new(proxies: Arc<Matcher>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        Self { tcp, proxies }
    }
}

type Failure = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        let Some(via) = self.proxies.intercept(&target) else {
            return Box::pin(async move { tcp.call(target).await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(via.uri().clone(), tcp);
        if let Some(login) = via.basic_auth() {
            tunnel = tunnel.with_auth(login.clone());
        }
        Box::pin(async move { tunnel.call(target).await.map_err(Into::into) })
    }
}

/// The schemes with which addresses may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schemes {
    /// Addresses with `https` only.
    Tls,
    /// Addresses with `http` as well.
    Both,
}

/// Asks, and notes bad answers.
#[derive(Debug)]
struct Asking {
    client: Client<HttpsConnector<Dialer>, Sent>,
    schemes: Schemes,
    wire: Wire,
}

#[async_trait]
impl HttpService for Asking {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.schemes == Schemes::Tls && request.uri().scheme_str() != Some("https") {
            return Err(refused(ErrorResponse::Plain));
        }
        let conditional = request.headers().contains_key(IF_NONE_MATCH);
        let puts = request.method() == Method::PUT;
        let gets = request.method() == Method::GET;
        let for_keys = gives_keys(request.uri());
        let (parts, body) = request.into_parts();
        let sent = Sent::new(body, self.wire.up.as_ref(), &self.wire.monitor);
        let answer = self.client.request(Request::from_parts(parts, sent)).await;
        let of_whom =
            |response: ErrorResponse| if for_keys { response.of_keys() } else { response };
        let answer = answer.map_err(|error| refused(of_whom(no_response(&error))))?;
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            if puts && parts.headers.contains_key(SUM_OF_PUT) {
                self.wire.checks_sums.store(true, Ordering::Release);
            }
            if is_page(&parts.headers) {
                return Err(refused(of_whom(ErrorResponse::Page { status: parts.status })));
            }
            let body = Received::new(body, self.wire.down.as_ref());
            // Keys are asked for by other tasks' requests and by this one's.
            let listed = LISTED.try_with(Clone::clone).ok().filter(|_| gets && !for_keys);
            // A read of an object accepts the announced length, if that is within its bound.
            if gets && listed.is_none() && !for_keys {
                return Ok(Response::from_parts(parts, HttpResponseBody::new(body)));
            }
            let bytes_max = if listed.is_some() { PAGE_BYTES_MAX } else { ANSWER_BYTES_MAX };
            let bytes = whole(body, bytes_max).await.map_err(|why| match why {
                Unread::Broken(error) => error,
                Unread::TooLong => refused(of_whom(ErrorResponse::TooLong { bytes_max })),
            })?;
            if let Some(asked) = listed {
                let refuse = |why| refused(ErrorResponse::NotAListing(why));
                check_page(&asked, &bytes).map_err(refuse)?;
            }
            return Ok(Response::from_parts(parts, HttpResponseBody::from(bytes)));
        }
        if conditional && parts.status == StatusCode::NOT_IMPLEMENTED {
            self.wire.no_conditions.store(true, Ordering::Release);
        }
        // Words that are too long or cut off are as good as none.
        let body = Limited::new(body, ERROR_BODY_BYTES_MAX).collect().await;
        let body = body.map(Collected::to_bytes).unwrap_or_default();
        record(of_whom(ErrorResponse::of(parts.status, &parts.headers, &body)));
        Ok(Response::from_parts(parts, HttpResponseBody::from(body)))
    }
}

/// A reason why an answer was not read to its end.
enum Unread {
    Broken(HttpError),
    TooLong,
}

/// Returns all bytes of an answer, if they are not too many.
async fn whole(body: Received, bytes_max: usize) -> Result<Bytes, Unread> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(match error.downcast::<HttpError>() {
            Ok(error) => Unread::Broken(*error),
            Err(_) => Unread::TooLong,
        }),
    }
}

/// Tells whether it is asked for keys: what runs on a rented machine or in a container gets some
/// there.
fn gives_keys(address: &Uri) -> bool {
    const LINK_LOCAL: &str = "169.254.";
    const BY_NAME: &str = "metadata.google.internal";
    // AWS_METADATA_ENDPOINT may name any host, so its paths are known as well.
    const OF_AWS: [&str; 2] = ["/latest/api/token", "/latest/meta-data/iam/"];
    let (host, path) = (address.host().unwrap_or_default(), address.path());
    host.starts_with(LINK_LOCAL) || host == BY_NAME || OF_AWS.iter().any(|at| path.starts_with(at))
}

fn refused(response: ErrorResponse) -> HttpError {
    record(response.clone());
    HttpError::new(HttpErrorKind::Unknown, response)
}

/// Returns the words of a connection's failure, the deepest cause last.
pub(super) fn no_response(error: &(dyn Error + 'static)) -> ErrorResponse {
    let mut body = error.to_string();
    let mut untrusted = false;
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !body.contains(&told) {
            body = format!("{body}: {told}");
        }
        untrusted |= is_about_a_certificate(cause);
        next = cause.source();
    }
    ErrorResponse::NoResponse { why: body, untrusted }
}

/// Tells whether TLS failed because the other side's certificate is not trusted.
fn is_about_a_certificate(cause: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // Errors of I/O are nested, and pass over what they hold when they are asked for their cause.
    let held = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_about_a_certificate(held))
}
