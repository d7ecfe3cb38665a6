//! How a run of a job lets others know of it: pings to a monitor, notices to systemd, messages as
//! lines of JSON.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::program::Ran;
use crate::support::site::NIGHTLY;
use crate::support::site::Site;
use crate::support::site::results;

/// What a monitor was asked for.
#[derive(Debug)]
struct Asked {
    /// The path with its query.
    path: String,
    body: String,
}

/// A monitor that answers each request in the same way; it ends with the test.
struct Watcher {
    address: String,
    asked: Receiver<Asked>,
}

impl Watcher {
    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/a-secret-uuid", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer_one(stream.unwrap(), answer, &sender);
            }
        });
        Self { address, asked }
    }

    /// Returns all that was asked for until now.
    fn all(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn answer_one(stream: TcpStream, answer: &str, sender: &Sender<Asked>) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("POST ") {
            rest.split(' ').next().unwrap().clone_into(&mut path);
        }
        if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // The test may have ended.
    let _ended = sender.send(Asked { path, body: String::from_utf8(body).unwrap() });
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

/// A job that only backs up, with a ping to this address.
fn pinging(address: &str) -> Site {
    let jobs = format!("{NIGHTLY}steps = [\"backup\"]\nping = {{ url = \"{address}\" }}\n");
    let site = Site::new(&jobs);
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    site
}

#[test]
fn a_run_is_pinged_when_it_begins_and_when_it_ends() {
    let watcher = Watcher::answering(GOOD);
    let site = pinging(&watcher.address);
    site.job("nightly", 0);
    let asked = watcher.all();
    let (begin, query) = asked[0].path.split_once("?rid=").unwrap();
    assert_eq!((begin, query.len()), ("/a-secret-uuid/start", 36));
    assert_eq!(asked[1].path, format!("/a-secret-uuid?rid={query}"));
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].body, "");
    let body = &asked[1].body;
    let expected = "job nightly: done, exit status 0\nbackup db: done\nbackup files: done\n\n";
    assert!(body.starts_with(expected), "{body}");
    assert!(site.ran(&["config", "show"]).is(0).out().contains("nightly.ping.url = (hidden)"));

    // What a step says is in the text, and its exit status in the path.
    let text = fs::read_to_string(&site.config).unwrap();
    let failing = "head -c 200000 /dev/zero | tr '\\\\0' x >&2; echo it broke >&2; exit 7";
    fs::write(&site.config, text.replace("head -c 100000 /dev/urandom", failing)).unwrap();
    let ran = site.ran(&["run", "nightly", "--log-level", "normal"]).is(1).says("it broke");
    assert!(!ran.err().contains("a-secret"), "{}", ran.err());
    let asked = watcher.all();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].path.starts_with("/a-secret-uuid/1?rid="), "{asked:?}");
    assert!(!asked[1].path.contains(query), "each run has its own number");
    let body = &asked[1].body;
    assert!(body.contains("\nbackup db: failed: ") && body.contains("it broke"), "{body}");
    assert!((99_000..=100_000).contains(&body.len()), "{}", body.len());

    // Without a run there is no ping.
    fs::write(&site.config, text.replace("/dev/urandom", "/dev/zero; sleep 60")).unwrap();
    let mut first = site.started(&["run", "nightly"]);
    let started = watcher.asked.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(started.path.contains("/start?"), "{started:?}");
    site.ran(&["run", "nightly"]).is(4);
    assert!(watcher.all().is_empty());
    let id = first.id().to_string();
    assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
    first.wait().unwrap();
    let ended = watcher.all();
    assert!(ended.len() == 1 && ended[0].path.contains("/1?"), "{ended:?}");
}

#[test]
fn a_ping_that_fails_is_a_finding_and_is_tried_three_times() {
    for (answer, tries, why) in [
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 3, "status 503"),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 1, "status 404"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\nOK (not found)",
            1,
            "(not found)",
        ),
    ] {
        let watcher = Watcher::answering(answer);
        let site = pinging(&watcher.address);
        let record = site.job("nightly", 3);
        assert_eq!(results(&record), ["backup db done", "backup files done"]);
        let asked = watcher.all();
        assert_eq!(asked.len(), 2 * tries, "{asked:?}");
        // That a ping was lost is no news for who gets the next one.
        assert!(asked[2 * tries - 1].path.starts_with("/a-secret-uuid?rid="), "{asked:?}");
        let problems = record["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 2, "{record}");
        for problem in problems.iter().map(|problem| problem.as_str().unwrap()) {
            assert!(problem.contains(why) && !problem.contains("a-secret"), "{problem}");
        }
    }
}

#[test]
fn the_address_of_a_ping_may_be_in_a_file_and_is_no_part_of_a_message() {
    let file = "ping = { url_file = \"@/ping\", log = false }\n";
    let site = Site::new(&format!("{NIGHTLY}steps = [\"backup\"]\n{file}"));
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let said = |text: &str| {
        let record = site.job("nightly", 3);
        let problem = record["problems"][0].as_str().unwrap().to_owned();
        assert!(problem.contains(text) && !problem.contains("a-secret"), "{problem}");
    };
    said("cannot read ");
    // A port that was just free: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = site.place.file("ping", format!("http://127.0.0.1:{port}/a-secret\n"));
    said("Connection refused");
    site.place.file("ping", "ftp://127.0.0.1/a-secret\n");
    said("begins with https:// or http://");
    std::process::Command::new("chmod").args(["644", &path]).status().unwrap();
    said("chmod 0640");

    let none = "ping = { log = true }\n";
    let both = "ping = { url = \"https://h/a-secret\", url_file = \"/x\" }\n";
    for (keys, what) in [(none, "url and url_file"), (both, "url and url_file")] {
        let site = Site::new(&format!("{NIGHTLY}{keys}"));
        let mistakes = site.ran(&["config", "check"]).is(2).out();
        assert!(mistakes.contains(what), "{mistakes}");
    }
    let site = Site::new(&format!("{NIGHTLY}ping = {{ url = \"hc/a-secret\" }}\n"));
    let mistakes = site.ran(&["config", "check"]).is(2).out();
    assert!(mistakes.contains("job.nightly.ping.url: it is no URL that"), "{mistakes}");
    assert!(!mistakes.contains("a-secret"), "{mistakes}");
}

#[test]
fn systemd_is_told_that_a_run_is_ready_and_what_it_does() {
    let site = Site::new(&format!("{NIGHTLY}steps = [\"backup\", \"replicate\"]\n"));
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let path = site.place.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = site.place.command(&site.arguments(&["run", "nightly"]));
    command.env("NOTIFY_SOCKET", &path);
    Ran::of(command, b"").is(0);
    socket.set_nonblocking(true).unwrap();
    let mut notices = Vec::new();
    let mut bytes = [0; 256];
    while let Ok(length) = socket.recv(&mut bytes) {
        notices.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
    }
    let expected = [
        "READY=1",
        "STATUS=step 1 of 3: backup db",
        "STATUS=step 2 of 3: backup files",
        "STATUS=step 3 of 3: replicate offsite",
        "STOPPING=1",
    ];
    assert_eq!(notices, expected);
}

#[test]
fn messages_are_objects_of_json_on_request_those_of_children_too() {
    let jobs = NIGHTLY.replace("head -c 100000 /dev/urandom", "echo \\\"a word\\\" >&2; exit 3");
    let hook = "[[job.nightly.hooks.after]]\ncommand = [\"sh\", \"-c\", \"echo by a hook >&2\"]\n";
    let hook = hook.replace("after", "failed");
    let site = Site::new(&format!("{jobs}steps = [\"backup\"]\n{hook}"));
    site.ran(&["init", "--job", "nightly", "-q"]).is(0);
    let with_ping = fs::read_to_string(&site.config).unwrap();
    let watcher = Watcher::answering(GOOD);
    let ping = format!("steps = [\"backup\"]\nping = {{ url = \"{}\" }}\n", watcher.address);
    for text in [with_ping.clone(), with_ping.replace("steps = [\"backup\"]\n", &ping)] {
        fs::write(&site.config, text).unwrap();
        let arguments = ["run", "nightly", "--log-format", "json", "--log-level", "normal"];
        let ran = site.ran(&arguments).is(1);
        let lines: Vec<Value> = ran
            .err()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        let of = |message: &str| {
            let found = lines.iter().find(|line| line["message"] == message);
            found.unwrap_or_else(|| panic!("{message}: {lines:#?}"))
        };
        let word = of("a word");
        assert_eq!((&word["step"], &word["subject"]), (&"backup".into(), &"db".into()));
        assert_eq!((&word["from"], &word["level"]), (&"program".into(), &"info".into()));
        let hook = of("by a hook");
        assert_eq!((&hook["step"], &hook["subject"]), (&"hook".into(), &"failed".into()));
        assert!(of("step 1 of 2: backup db")["from"].is_null());
        let failed = lines.iter().find(|line| line["level"] == "error").unwrap();
        assert!(failed["hint"].as_str().unwrap().len() > 10, "{failed}");
        for line in &lines {
            assert_eq!(line["job"], "nightly", "{line}");
            assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        }
    }
    let log = watcher.all().pop().unwrap().body;
    let lines = log.split_once("\n\n").unwrap().1.lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "a word"), "{lines:#?}");
}
