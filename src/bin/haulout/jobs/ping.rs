//! Pings of a job in the style of healthchecks: one when a run begins, and one when it ends, with
//! its exit status and the end of its messages. A monitor that gets none in time raises an alarm.
//!
//! Invariants:
//! - The address is a secret: it stands in no message, and in no argument of a program.
//! - A ping that fails is never the failure of a run.
//! - A run that is left out, since another one does the job, pings nothing.
//!
//! Source: "Pinging API" of Healthchecks.io.

use std::fmt;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use haulout::store::remote::RemoteOptions;
use haulout::store::remote::post::Poster;
use haulout::store::remote::post::Unanswered;
use haulout::world::Entropy;
use haulout::world::Monitor;
use haulout::world::OsEntropy;

use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::environment;
use crate::grammar::values::http_address;
use crate::jobs::record::Record;
use crate::jobs::record::Standing;
use crate::open::network::is_of_proxy;

/// The time that one request may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// The time that one may take once the job was asked to stop.
const TIME_STOPPED: Duration = Duration::from_secs(5);
/// How often a ping is tried.
const TRIES: u32 = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of bytes of the text that is sent.
pub(crate) const TEXT_BYTES_MAX: usize = 100_000;
/// The mode bits of a file that lets other users read it or write to it.
const OTHERS: u32 = 0o006;
/// Bytes of an answer that are shown.
const SHOWN_CHARS_MAX: usize = 100;

/// Pings as a job has them in the configuration.
#[derive(Clone)]
pub(crate) struct PingPlan {
    url: Option<String>,
    url_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    /// True if the end of the messages is sent.
    pub(crate) sends_log: bool,
}

impl fmt::Debug for PingPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address: it is a secret.
        out.debug_struct("PingPlan").field("url_file", &self.url_file).finish_non_exhaustive()
    }
}

impl PingPlan {
    /// Reads the pings of a job.
    pub(crate) fn new(table: &Table) -> Self {
        let path = |key: &str| table.text(key).map(PathBuf::from);
        let is_off = table.get("log").is_some_and(|entry| entry.value.data == Data::Flag(false));
        Self {
            url: table.text("url").map(str::to_owned),
            url_file: path("url_file"),
            ca_file: path("ca_file"),
            sends_log: !is_off,
        }
    }

    /// Returns the address, from the configuration or from its file.
    fn address(&self) -> Result<String, String> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        let path = self.url_file.clone().unwrap_or_default();
        let shown = path.display();
        let metadata = fs::metadata(&path);
        let metadata = metadata.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if metadata.permissions().mode() & OTHERS != 0 {
            return Err(format!("every user can read or write {shown}: run chmod 0640 on it"));
        }
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("cannot read {shown}: {error}"))?;
        let first = text.lines().next().unwrap_or_default().trim();
        http_address(first).map_err(|why| format!("the first line of {shown}: {why}"))?;
        Ok(first.to_owned())
    }
}

/// The pings of one run.
#[derive(Debug)]
pub(crate) struct Pings {
    check: Option<Result<Check, String>>,
    has_failed: bool,
}

/// The check of a monitor.
struct Check {
    poster: Poster,
    address: String,
    /// The number that the pings of a run have in common.
    run: String,
}

impl fmt::Debug for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Check").field("run", &self.run).finish_non_exhaustive()
    }
}

/// The moment of a run that is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The run has begun.
    Start,
    /// The run has ended, with this exit status.
    Exit(u8),
    /// The run can't go on.
    Fail,
}

impl Signal {
    /// Returns what the address gets for it.
    fn suffix(self) -> String {
        match self {
            Self::Start => "/start".to_owned(),
            Self::Exit(0) => String::new(),
            Self::Exit(status) => format!("/{status}"),
            Self::Fail => "/fail".to_owned(),
        }
    }
}

impl Pings {
    /// Makes the pings of a run ready. Why that failed is said by each of them.
    pub(crate) fn new(plan: Option<&PingPlan>) -> Self {
        Self { check: plan.map(Check::new), has_failed: false }
    }

    /// Tells whether a ping has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Pings, and says why it failed if it did.
    pub(crate) fn send(
        &mut self,
        signal: Signal,
        text: &str,
        monitor: &Monitor,
    ) -> Result<(), String> {
        let sent = match &self.check {
            None => Ok(()),
            Some(Err(why)) => Err(format!("cannot ping: {why}")),
            Some(Ok(check)) => check.send(signal, text, monitor),
        };
        self.has_failed |= sent.is_err();
        sent
    }
}

impl Check {
    fn new(plan: &PingPlan) -> Result<Self, String> {
        let mut variables = environment::variables();
        variables.retain(|(name, _)| is_of_proxy(name));
        let ca_file = plan.ca_file.clone();
        let options = RemoteOptions { ca_file, variables, ..RemoteOptions::default() };
        let poster = Poster::new(&options).map_err(|error| error.to_string())?;
        Ok(Self { poster, address: plan.address()?, run: random_uuid() })
    }

    fn send(&self, signal: Signal, text: &str, monitor: &Monitor) -> Result<(), String> {
        let address = with_suffix(&self.address, &signal.suffix(), &self.run);
        let text = shortened(text);
        let mut tries = 0;
        loop {
            tries += 1;
            let is_stopped = monitor.check().is_err();
            let time = if is_stopped { TIME_STOPPED } else { TIME_MAX };
            let Err((why, again)) = self.try_once(&address, text, time) else { return Ok(()) };
            if tries == TRIES || is_stopped || again == Again::No {
                return Err(format!("the ping to {} failed: {why}", host(&self.address)));
            }
            thread::sleep(PAUSE);
        }
    }

    fn try_once(&self, address: &str, text: &str, time: Duration) -> Result<(), (String, Again)> {
        let answer = self.poster.post(address, text.as_bytes().to_vec(), time);
        let answer = answer.map_err(|error| {
            let again = if error == Unanswered::Address { Again::No } else { Again::Yes };
            (error.to_string(), again)
        })?;
        let said: String = answer.text.trim().chars().take(SHOWN_CHARS_MAX).collect();
        // The service says with a good status that it has no such check, or had too many pings.
        let is_dropped = said.contains("(not found)") || said.contains("(rate limited)");
        match answer.status {
            200..=299 if !is_dropped => Ok(()),
            200..=299 => Err((format!("the answer is {said:?}"), Again::No)),
            // A page may repeat the address, so that only the number is shown.
            status => {
                let is_passing = matches!(status, 408 | 429 | 500..=599);
                let again = if is_passing { Again::Yes } else { Again::No };
                Err((format!("the answer is HTTP status {status}"), again))
            }
        }
    }
}

/// Whether a ping that failed is tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// Returns the text of the last ping: what became of each step, and the end of the messages.
pub(crate) fn text_of(record: &Record, log: &str) -> String {
    let mut text = String::new();
    let status = record.exit_status.map_or("-".to_owned(), |status| status.to_string());
    let _written =
        writeln!(text, "job {}: {}, exit status {status}", record.job, record.result.word());
    for step in &record.steps {
        let _written = write!(text, "{} {}: {}", step.step, step.subject, step.result.word());
        let reason = step.reason.as_ref().filter(|_| step.result != Standing::Done);
        text.extend(reason.into_iter().flat_map(|reason| [": ", reason]));
        text.push('\n');
    }
    let room = TEXT_BYTES_MAX.saturating_sub(text.len() + 1);
    // The end says what happened; the first line of it may be cut.
    let begin = log.ceil_char_boundary(log.len().saturating_sub(room));
    text.extend(["\n", &log[begin..]]);
    text
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Returns an address with more in its path, and the number of the run.
fn with_suffix(address: &str, suffix: &str, run: &str) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let and = if query.is_empty() { "" } else { "&" };
    format!("{}{suffix}?{query}{and}rid={run}", path.trim_end_matches('/'))
}

/// Returns the host of an address, which is no secret.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Returns a random UUID (version 4).
fn random_uuid() -> String {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        let _written = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_what_is_pinged_in_its_path() {
        for (address, signal, expected) in [
            ("https://h/uuid", Signal::Start, "https://h/uuid/start?rid=r"),
            ("https://h/uuid/", Signal::Exit(0), "https://h/uuid?rid=r"),
            ("https://h/key/db1?create=1", Signal::Exit(3), "https://h/key/db1/3?create=1&rid=r"),
            ("http://h:8000/uuid?", Signal::Fail, "http://h:8000/uuid/fail?rid=r"),
        ] {
            assert_eq!(with_suffix(address, &signal.suffix(), "r"), expected);
        }
        assert_eq!(host("https://user:word@h:1/uuid"), "h:1");
    }

    #[test]
    fn the_text_has_the_steps_and_the_end_of_the_messages() {
        let mut record = Record::begin("nightly", 0, None);
        record.exit_status = Some(0);
        let log = "0123456789\u{e4}".repeat(20_000) + "the end\n";
        let text = text_of(&record, &log);
        assert!(text.starts_with("job nightly: running, exit status 0\n\n"), "{}", &text[..60]);
        assert!(text.ends_with("the end\n"));
        assert!((TEXT_BYTES_MAX - 1..=TEXT_BYTES_MAX).contains(&text.len()), "{}", text.len());
        assert_eq!(text_of(&record, "short\n").lines().last(), Some("short"));
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        let one = random_uuid();
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!((&one[14..15], one.len()), ("4", 36));
        assert!(["8", "9", "a", "b"].contains(&&one[19..20]));
        assert_ne!(one, random_uuid());
    }
}
