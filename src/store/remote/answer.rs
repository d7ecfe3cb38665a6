//! The answer of a store that did not do what it was asked, and what follows from that.
//!
//! `object_store` keeps the status of an answer but not always its words, and no cause at all of a
//! failed connection. So the HTTP client notes every bad answer here ([`record`]), and the one who
//! asked takes it ([`listening`]); a request is answered within the task that asked.

use std::cell::RefCell;
use std::future::Future;

use http::HeaderMap;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::DATE;

use crate::store::error::Category;
use crate::store::error::Diagnosis;

tokio::task_local! {
    static RECORDED: RefCell<Option<ErrorResponse>>;
}

/// Notes what was answered, for the listener in this task.
pub(super) fn record(response: ErrorResponse) {
    // Nobody listens while a client is being made; then nothing is reported either.
    let _unrecorded = RECORDED.try_with(|recorded| recorded.replace(Some(response)));
}

/// Asks, and returns the outcome and the last bad answer.
pub(super) async fn listening<T>(asking: impl Future<Output = T>) -> (T, Option<ErrorResponse>) {
    let asked = async {
        let outcome = asking.await;
        (outcome, RECORDED.with(RefCell::take))
    };
    RECORDED.scope(RefCell::new(None), asked).await
}

/// An answer that is none of the wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ErrorResponse {
    /// No answer at all, in words.
    #[error("{why}")]
    NoResponse { why: String, untrusted: bool },
    /// A page for people.
    #[error("the answer ({status}) is an HTML page, and no object store's")]
    Page { status: StatusCode },
    /// An answer to a listing that is none, with the reason in words.
    #[error("the answer is not the listing that was asked for: {0}")]
    NotAListing(String),
    /// More bytes than an answer of its kind may have.
    #[error("the answer has more bytes than the {bytes_max} that are accepted")]
    TooLong { bytes_max: usize },
    /// Not asked at all: the address has no TLS.
    #[error("the address is http://, without TLS")]
    Plain,
    /// The machine's own service gave no keys.
    #[error("no keys were given, and this machine's service has none: {0}")]
    Keys(Box<Self>),
    /// An answer with its words.
    #[error("the store answered {status}{}", details(code, message, date))]
    Status { status: StatusCode, code: String, message: String, date: String },
}

/// Returns the part of an answer's words that follows its status.
fn details(code: &str, message: &str, date: &str) -> String {
    let mut printable = String::new();
    if !code.is_empty() {
        printable.extend([", ", code]);
    }
    if !message.is_empty() {
        printable.extend([": ", message]);
    }
    if code == "RequestTimeTooSkewed" && !date.is_empty() {
        printable.extend(["; its clock says ", date]);
    }
    printable
}

/// The consequence of a bad answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Asking again is no use.
    Final(Category, Option<Diagnosis>),
    /// The store can't just now: ask again, and less.
    Busy,
    /// The way there is broken: ask again.
    Broken,
    /// Something is odd; ask a few times.
    Odd,
}

/// Returns a piece of text of an answer without what could play with a terminal.
fn printable(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(CHARACTERS_MAX).collect::<String>().trim().to_owned()
}

/// Returns the text of the first XML element of this name.
pub(super) fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

/// Tells whether an answer is a page for people.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

impl ErrorResponse {
    /// Reads what an answer says.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let is_asked_to_wait = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if is_page(headers) && !is_asked_to_wait {
            return Self::Page { status };
        }
        let text = String::from_utf8_lossy(body);
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            printable(value.unwrap_or_default())
        };
        let code = element(&text, "Code").map(printable);
        let code = code.unwrap_or_else(|| header("x-ms-error-code"));
        let mut message = printable(element(&text, "Message").unwrap_or_default());
        for region in [element(&text, "Region").map(printable), Some(header("x-amz-bucket-region"))]
        {
            if let Some(region) = region.filter(|region| !region.is_empty()) {
                let told = format!("{message} (its region is {region})");
                told.trim_start().clone_into(&mut message);
                break;
            }
        }
        Self::Status { status, code, message, date: header(DATE.as_str()) }
    }

    /// Reads the text of a bad answer without its headers.
    pub(super) fn about(status: StatusCode, text: &str) -> Self {
        Self::of(status, &HeaderMap::new(), text.as_bytes())
    }

    /// Reads the client's words about one object that a service refused to delete, in an answer
    /// that is good as a whole: the client has no other way to tell the code.
    pub(super) fn about_one(text: &str) -> Option<Self> {
        let (_, about) = text.split_once("DeleteObjects request failed for key ")?;
        let (message, code) = about.rsplit_once(" (code: ")?;
        let message = message.split_once(": ").map_or(message, |(_, message)| message);
        Some(Self::about_key(code.strip_suffix(')')?, message))
    }

    /// Returns what an answer that is good as a whole says about one object of several.
    pub(super) fn about_key(code: &str, message: &str) -> Self {
        let status = match code {
            "AccessDenied" => StatusCode::FORBIDDEN,
            "NoSuchKey" => StatusCode::NOT_FOUND,
            "SlowDown" | "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "InternalError" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let (code, message) = (printable(code), printable(message));
        Self::Status { status, code, message, date: String::new() }
    }

    /// Returns the refusal as one of the service that gives keys.
    pub(super) fn of_keys(self) -> Self {
        Self::Keys(Box::new(self))
    }

    /// Returns what follows from the refusal.
    pub(super) fn consequence(&self) -> Consequence {
        use Consequence::Final;
        match self {
            Self::NoResponse { untrusted: true, .. } => {
                Final(Category::Denied, Some(Diagnosis::Certificate))
            }
            Self::NoResponse { .. } => Consequence::Broken,
            Self::Page { .. } => Final(Category::Other, Some(Diagnosis::NotAStore)),
            Self::NotAListing(_) | Self::TooLong { .. } => Consequence::Odd,
            Self::Plain => Final(Category::Denied, Some(Diagnosis::PlainHttp)),
            Self::Keys(why) => match why.consequence() {
                Final(..) => Final(Category::Denied, Some(Diagnosis::Credentials)),
                for_now @ (Consequence::Busy | Consequence::Broken | Consequence::Odd) => for_now,
            },
            Self::Status { status: StatusCode::FORBIDDEN, message, .. }
                if message.to_ascii_lowercase().contains("signature") =>
            {
                // Some stores call a wrong secret AccessDenied.
                Final(Category::Denied, Some(Diagnosis::Credentials))
            }
            Self::Status { code, message, .. } if is_about_a_lock(code, message) => {
                Final(Category::Denied, Some(Diagnosis::Locked))
            }
            Self::Status { status, code, .. } => of_status(*status, code),
        }
    }
}

/// Tells whether a store keeps an object because it is locked: AWS and Ceph say so in the message,
/// `MinIO` too, in other words; Azure and Google Cloud have codes.
fn is_about_a_lock(code: &str, message: &str) -> bool {
    const CODES: [&str; 4] = [
        "BlobImmutableDueToPolicy",
        "BlobImmutableDueToLegalHold",
        "RetentionPolicyNotMet",
        "ObjectUnderActiveHold",
    ];
    const DENIED: &str = "AccessDenied";
    let message = message.to_ascii_lowercase();
    CODES.iter().any(|known| known.eq_ignore_ascii_case(code))
        || code == DENIED && message.contains("object lock")
        || message.contains("worm protected")
}

fn of_status(status: StatusCode, code: &str) -> Consequence {
    const CREDENTIALS: [&str; 8] = [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "InvalidToken",
        "ExpiredToken",
        "NoSuchKeyId",
        "InvalidSecurity",
    ];
    const BUCKET: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "InvalidBucketName"];
    const FULL: [&str; 3] = ["QuotaExceeded", "EntityTooLarge", "InsufficientStorage"];
    // What arrived is not what was sent: somebody on the way, or a connection that broke.
    const DAMAGED_ON_THE_WAY: [&str; 5] = [
        "BadDigest",
        "InvalidDigest",
        "XAmzContentChecksumMismatch",
        "RequestTimeout",
        "IncompleteBody",
    ];
    use Consequence::Busy;
    use Consequence::Final;
    use Consequence::Odd;
    let denied = |diagnosis| Final(Category::Denied, Some(diagnosis));
    if CREDENTIALS.contains(&code) {
        return denied(Diagnosis::Credentials);
    }
    if code == "RequestTimeTooSkewed" {
        return denied(Diagnosis::ClockSkew);
    }
    if BUCKET.contains(&code) {
        return Final(Category::Other, Some(Diagnosis::NoBucket));
    }
    if FULL.contains(&code) {
        return Final(Category::Full, None);
    }
    if DAMAGED_ON_THE_WAY.contains(&code) {
        return Odd;
    }
    if ["AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"].contains(&code)
        || status.is_redirection() && status != StatusCode::NOT_MODIFIED
    {
        return denied(Diagnosis::Region);
    }
    match status.as_u16() {
        401 => denied(Diagnosis::Credentials),
        403 => denied(Diagnosis::Forbidden),
        404 => Final(Category::NotFound, None),
        408 | 429 | 500 | 502..=504 => Busy,
        // Two writers of one object at once, or a store that is not consistent with itself.
        409 | 412 => Odd,
        // A range after the object's end.
        416 => Final(Category::Damaged, None),
        507 => Final(Category::Full, None),
        _ => Final(Category::Other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> ErrorResponse {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        headers.insert(DATE, "Sat, 21 Nov 2026 12:00:00 GMT".parse().unwrap());
        ErrorResponse::of(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    fn error(status: u16, code: &str) -> Consequence {
        let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
        answer(status, "application/xml", &body).consequence()
    }

    #[test]
    fn every_diagnosis_is_distinguished_from_the_others() {
        let denied = |diagnosis| Consequence::Final(Category::Denied, Some(diagnosis));
        let other = |diagnosis| Consequence::Final(Category::Other, Some(diagnosis));
        for (status, code, consequence) in [
            (403, "InvalidAccessKeyId", denied(Diagnosis::Credentials)),
            (403, "SignatureDoesNotMatch", denied(Diagnosis::Credentials)),
            (400, "ExpiredToken", denied(Diagnosis::Credentials)),
            (401, "", denied(Diagnosis::Credentials)),
            (403, "AccessDenied", denied(Diagnosis::Forbidden)),
            (403, "", denied(Diagnosis::Forbidden)),
            (403, "RequestTimeTooSkewed", denied(Diagnosis::ClockSkew)),
            (404, "NoSuchBucket", other(Diagnosis::NoBucket)),
            (404, "NoSuchKey", Consequence::Final(Category::NotFound, None)),
            (301, "PermanentRedirect", denied(Diagnosis::Region)),
            (400, "AuthorizationHeaderMalformed", denied(Diagnosis::Region)),
            (403, "QuotaExceeded", Consequence::Final(Category::Full, None)),
            (416, "InvalidRange", Consequence::Final(Category::Damaged, None)),
            (503, "SlowDown", Consequence::Busy),
            (429, "", Consequence::Busy),
            (500, "InternalError", Consequence::Busy),
            (400, "BadDigest", Consequence::Odd),
            (400, "RequestTimeout", Consequence::Odd),
            (501, "NotImplemented", Consequence::Final(Category::Other, None)),
        ] {
            assert_eq!(error(status, code), consequence, "{status} {code}");
        }
    }

    #[test]
    fn a_wrong_secret_is_distinguished_from_a_policy_whatever_the_store_calls_it() {
        let denied = |diagnosis| Consequence::Final(Category::Denied, Some(diagnosis));
        for (message, diagnosis) in [
            ("Forbidden: Invalid signature", Diagnosis::Credentials),
            ("Access denied by the policy", Diagnosis::Forbidden),
        ] {
            let body =
                format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
            let response = answer(403, "application/xml", &body);
            assert_eq!(response.consequence(), denied(diagnosis), "{message}");
        }
    }

    #[test]
    fn a_lock_is_distinguished_from_a_policy_in_the_words_of_each_store() {
        for (status, code, message) in [
            (403, "AccessDenied", "Access Denied because object protected by object lock."),
            (403, "AccessDenied", "forbidden by object lock"),
            (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten"),
            (409, "BlobImmutableDueToPolicy", ""),
            (403, "retentionPolicyNotMet", ""),
        ] {
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            let locked = Consequence::Final(Category::Denied, Some(Diagnosis::Locked));
            assert_eq!(answer(status, "application/xml", &body).consequence(), locked, "{code}");
        }
        // A bucket that has none is not a locked object.
        let body = "<Code>InvalidRequest</Code><Message>Bucket is missing Object Lock</Message>";
        let other = Consequence::Final(Category::Other, None);
        assert_eq!(answer(400, "application/xml", body).consequence(), other);
    }

    #[test]
    fn a_page_for_people_is_no_answer_but_a_balancer_may_be_busy() {
        let page = "<html><body>Please log in</body></html>";
        for status in [200, 302, 403, 407, 404] {
            let response = answer(status, "text/html; charset=utf-8", page);
            let diagnosis = Consequence::Final(Category::Other, Some(Diagnosis::NotAStore));
            assert_eq!(response.consequence(), diagnosis, "{status}");
        }
        assert_eq!(answer(503, "text/html", page).consequence(), Consequence::Busy);
    }

    #[test]
    fn the_message_of_a_store_is_kept_and_made_harmless() {
        let body = "<Error><Code>PermanentRedirect</Code><Message>wrong\u{1b}[2J place</Message>\
                    <Region>eu-west-1</Region></Error>";
        assert_eq!(
            answer(301, "application/xml", body).to_string(),
            "the store answered 301 Moved Permanently, PermanentRedirect: wrong [2J place (its \
             region is eu-west-1)"
        );
        let skewed = answer(403, "", "<Code>RequestTimeTooSkewed</Code>").to_string();
        assert!(skewed.ends_with("its clock says Sat, 21 Nov 2026 12:00:00 GMT"), "{skewed}");
        let long = format!("<Message>{}</Message>", "a".repeat(100_000));
        assert!(answer(400, "", &long).to_string().len() < 400);
    }
}
