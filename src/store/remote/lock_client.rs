//! Requests about locks to stores like S3: `object_store`, which has no calls for them, signs them,
//! and our client sends them. They are small: a question for the lock of an object or for settings
//! of the bucket, and the put of a lock.
//!
//! An answer counts only if it is the document that was asked for. A store that does not know the
//! question gives the object itself.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request as HttpRequest;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Limited;
use jiff::Timestamp;
use md5::Digest;
use md5::Md5;
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::client::HttpError;
use object_store::client::HttpRequestBody;
use object_store::path::Path;
use object_store::signer::SignedUrlOptions;
use object_store::signer::Signer;

use crate::store::lock::LockMode;
use crate::store::lock::LockRule;
use crate::store::remote::answer::ErrorResponse;
use crate::store::remote::answer::element;

/// The time for which a signature is good: as long as S3 accepts one in a header.
const SIGNED_FOR: Duration = Duration::from_mins(15);
/// Bytes of an answer about a lock; these answers have some hundreds.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Days of a year, where a rule counts in years.
const YEAR_DAYS: u64 = 365;
/// The codes with which stores say that an object has no lock, or a bucket no rule: that of AWS,
/// that of Ceph.
const NONE: [&str; 2] = ["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"];

/// Signs and sends requests about locks.
#[derive(Debug)]
pub(super) struct LockClient {
    signer: Arc<AmazonS3>,
    http: HttpClient,
}

/// The result of a question.
#[derive(Debug)]
pub(super) enum Found {
    /// The answer, as it came.
    Text(String),
    /// There is no lock, or no rule.
    Nothing,
    /// The bucket has no Object Lock.
    NoLocks(ErrorResponse),
    /// The store does not know the question.
    Unknown(String),
}

/// The lock of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) mode: LockMode,
    /// The end of the lock, seconds since 1970.
    pub(super) until: u64,
}

impl LockClient {
    pub(super) fn new(signer: Arc<AmazonS3>, http: HttpClient) -> Self {
        Self { signer, http }
    }

    /// Asks for what `query` names of an object, or of the bucket.
    pub(super) async fn get(
        &self,
        path: &Path,
        query: &'static str,
    ) -> object_store::Result<Found> {
        let options = SignedUrlOptions::new().with_query([(query, "")]);
        let url = self.signer.signed_url_opts(Method::GET, path, SIGNED_FOR, &options).await?;
        let request = HttpRequest::get(url.as_str()).body(HttpRequestBody::empty());
        let answer = self.send(request).await?;
        let (status, text) = (answer.status, answer.text);
        if status.is_success() {
            let is_known = root_of(&text).is_some_and(|root| Some(root) == root_for(query));
            let what = || "it answers with something else than a lock".to_owned();
            return Ok(if is_known { Found::Text(text) } else { Found::Unknown(what()) });
        }
        let code = element(&text, "Code").unwrap_or_default();
        if NONE.contains(&code) {
            return Ok(Found::Nothing);
        }
        let response = ErrorResponse::about(status, &text);
        match status {
            StatusCode::BAD_REQUEST if code == "InvalidRequest" => Ok(Found::NoLocks(response)),
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => {
                Ok(Found::Unknown(response.to_string()))
            }
            _ => Err(odd("the lock is not told")),
        }
    }

    /// Puts a lock of an object.
    pub(super) async fn put(&self, path: &Path, lock: Lock) -> object_store::Result<()> {
        let body = Bytes::from(text_of(lock)?);
        let sum = BASE64_STANDARD.encode(Md5::digest(&body));
        let sum = HeaderValue::from_str(&sum).map_err(|_| odd("a checksum is no header"))?;
        let name = HeaderName::from_static("content-md5");
        let options = SignedUrlOptions::new()
            .with_query([(RETENTION, "")])
            .with_signed_header(name.clone(), sum.clone());
        let url = self.signer.signed_url_opts(Method::PUT, path, SIGNED_FOR, &options).await?;
        let request = HttpRequest::put(url.as_str())
            .header(name, sum)
            .header(CONTENT_TYPE, "application/xml")
            .body(HttpRequestBody::from(body));
        let answer = self.send(request).await?;
        if answer.status.is_success() { Ok(()) } else { Err(odd("the lock is not put")) }
    }

    async fn send(
        &self,
        request: http::Result<HttpRequest<HttpRequestBody>>,
    ) -> object_store::Result<Answer> {
        let request = request.map_err(|_| odd("the address is none"))?;
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|error| object_store::Error::Generic {
            store: "store",
            source: error.into(),
        })?;
        let (parts, body) = answer.into_parts();
        // An object in place of an answer is not read to its end, and is none in any case.
        let text = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).into_owned(),
            Err(error) if error.is::<HttpError>() => return Err(odd("the answer ends early")),
            Err(_) => String::new(),
        };
        Ok(Answer { status: parts.status, text })
    }
}

struct Answer {
    status: StatusCode,
    text: String,
}

/// The question for the lock of an object.
pub(super) const RETENTION: &str = "retention";
/// The question for the rule of the bucket.
pub(super) const OBJECT_LOCK: &str = "object-lock";
/// The question whether the bucket keeps versions.
pub(super) const VERSIONING: &str = "versioning";

/// Returns the name of the outermost element of a good answer.
fn root_for(query: &str) -> Option<&'static str> {
    match query {
        RETENTION => Some("Retention"),
        OBJECT_LOCK => Some("ObjectLockConfiguration"),
        VERSIONING => Some("VersioningConfiguration"),
        _ => None,
    }
}

/// Returns the name of the outermost element of a text.
fn root_of(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    if let Some(declared) = rest.strip_prefix("<?xml") {
        rest = declared.split_once("?>")?.1.trim_start();
    }
    let name = rest.strip_prefix('<')?;
    name.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next()
}

fn odd(what: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "store", source: what.into() }
}

fn text_of(lock: Lock) -> object_store::Result<String> {
    let seconds = i64::try_from(lock.until).map_err(|_| odd("the end of a lock is no time"))?;
    let until = Timestamp::from_second(seconds).map_err(|_| odd("the end of a lock is no time"))?;
    Ok(format!(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>\
         <RetainUntilDate>{until}</RetainUntilDate></Retention>",
        lock.mode
    ))
}

/// Reads an answer about the lock of an object.
pub(super) fn lock_of(text: &str) -> Option<Lock> {
    let mode = LockMode::of_word(element(text, "Mode")?.trim())?;
    let until: Timestamp = element(text, "RetainUntilDate")?.trim().parse().ok()?;
    Some(Lock { mode, until: u64::try_from(until.as_second()).unwrap_or_default() })
}

/// Reads an answer about the rule of a bucket.
pub(super) fn rule_of(text: &str) -> Option<LockRule> {
    let mode = LockMode::of_word(element(text, "Mode")?.trim())?;
    let number = |name| element(text, name)?.trim().parse::<u64>().ok();
    let years = || number("Years").map(|years| years.saturating_mul(YEAR_DAYS));
    Some(LockRule { mode, days: number("Days").or_else(years)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_aws_and_of_ceph_are_read() {
        let of_aws = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Retention \
                      xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>GOVERNANCE</Mode>\
                      <RetainUntilDate>2026-12-02T00:00:00.000Z</RetainUntilDate></Retention>";
        let of_ceph = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Retention><Mode>COMPLIANCE\
                       </Mode><RetainUntilDate>2026-12-02T00:00:00.000000000Z</RetainUntilDate>\
                       </Retention>";
        let until = 1_796_169_600;
        for (text, mode) in [(of_aws, LockMode::Governance), (of_ceph, LockMode::Compliance)] {
            assert_eq!(root_of(text), Some("Retention"));
            assert_eq!(lock_of(text), Some(Lock { mode, until }));
            let sent = text_of(Lock { mode, until }).unwrap();
            assert_eq!(lock_of(&sent), Some(Lock { mode, until }), "{sent}");
        }
        assert_eq!(lock_of("<Retention><Mode>NONE</Mode></Retention>"), None);
    }

    #[test]
    fn a_rule_counts_in_days_or_years() {
        let rule = |text: &str| {
            let text =
                format!("<DefaultRetention><Mode>COMPLIANCE</Mode>{text}</DefaultRetention>");
            rule_of(&text).map(|rule| rule.days)
        };
        assert_eq!(rule("<Days>35</Days>"), Some(35));
        assert_eq!(rule("<Years>2</Years>"), Some(730));
        assert_eq!(rule(""), None);
        assert_eq!(rule_of("<ObjectLockEnabled>Enabled</ObjectLockEnabled>"), None);
    }

    #[test]
    fn an_object_is_no_answer_about_its_lock() {
        for text in
            ["", "HAULOOBJ", "<", "<html>", "<?xml ?>", "<Retentions/>", "\u{fffd}<Retention>"]
        {
            assert_ne!(root_of(text), root_for(RETENTION), "{text}");
        }
    }
}
