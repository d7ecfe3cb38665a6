//! One request to an address that a user names, by the client of the stores: with its TLS, its
//! certificates and its proxies.
//!
//! The address may be a secret, as that of a check of a monitor is: it stands in no error and in no
//! debug output. A request is made once, and is neither repeated nor redirected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::Request;
use http::header::CONTENT_TYPE;
use http::header::USER_AGENT;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

use crate::store::remote::client::Dialer;
use crate::store::remote::client::no_response;
use crate::store::remote::open::RemoteOptions;
use crate::store::remote::open::proxies;
use crate::store::remote::open::tls;

/// Bytes of an answer that are read; a longer one is as good as none.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// The name of this program in requests.
const AGENT: &str = concat!("haulout/", env!("CARGO_PKG_VERSION"));

/// A client that posts texts to addresses, or gets what is there.
pub struct Poster {
    client: Client<HttpsConnector<Dialer>, Full<Bytes>>,
    runtime: Option<Runtime>,
}

/// The answer to what was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number of the HTTP status.
    pub status: u16,
    /// The text of the answer; empty if it is long.
    pub text: String,
}

/// The reason why there is no answer, without the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The address is none of HTTP.
    #[error("the address is no URL that begins with https:// or http://")]
    Address,
    /// There was no answer in time.
    #[error("there was no answer in {} s", .0.as_secs())]
    Late(Duration),
    /// The connection failed, in words.
    #[error("{0}")]
    NoConnection(String),
}

impl fmt::Debug for Poster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Poster").finish_non_exhaustive()
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        // A name that is still being looked up is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Poster {
    /// Creates a client with the certificates and proxies of these options.
    pub fn new(options: &RemoteOptions) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(options)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(Arc::new(proxies(options))));
        // Requests are minutes apart, and no connection is kept between them.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime: Some(runtime) })
    }

    /// Posts a text, and returns the answer if one comes in time.
    pub fn post(
        &self,
        address: &str,
        text: Vec<u8>,
        time_max: Duration,
    ) -> Result<Answer, Unanswered> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(Full::new(Bytes::from(text)));
        self.ask(request, time_max)
    }

    /// Gets what is at an address, if it comes in time.
    pub fn get(&self, address: &str, time_max: Duration) -> Result<Answer, Unanswered> {
        let request = Request::builder().method(Method::GET).uri(address);
        self.ask(request.header(USER_AGENT, AGENT).body(Full::default()), time_max)
    }

    fn ask(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
        time_max: Duration,
    ) -> Result<Answer, Unanswered> {
        let request = request.map_err(|_| Unanswered::Address)?;
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(Unanswered::Address);
        }
        let runtime = self.runtime.as_ref().expect("it is there until the client is dropped");
        let asking = async {
            let answer = self.client.request(request).await;
            let answer = answer
                .map_err(|error| Unanswered::NoConnection(no_response(&error).to_string()))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
            Ok(Answer { status: parts.status.as_u16(), text: text.unwrap_or_default() })
        };
        let timed = runtime.block_on(async { tokio::time::timeout(time_max, asking).await });
        timed.unwrap_or(Err(Unanswered::Late(time_max)))
    }
}
