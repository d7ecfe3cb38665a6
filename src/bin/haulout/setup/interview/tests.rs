//! Interviews with a person whose answers are written down.

use std::cell::RefCell;
use std::collections::VecDeque;

use haulout::server::haproxy::pools;

use super::*;
use crate::setup::look::ServiceDatabase;

/// Answers in their order; after the last one, every answer is empty.
struct Script {
    answers: VecDeque<&'static str>,
    /// None if there is no person.
    is_there: bool,
    heard: Vec<String>,
}

impl Person for Script {
    fn is_there(&self) -> bool {
        self.is_there
    }

    fn ask(&mut self, question: &str) -> Outcome<Option<String>> {
        self.heard.push(question.to_owned());
        let answer = self.answers.pop_front().unwrap_or_default();
        Ok(self.is_there.then(|| answer.to_owned()))
    }

    fn say(&mut self, text: &str) {
        self.heard.push(text.to_owned());
    }
}

/// Trials whose results are set by the test.
struct Told {
    server: RefCell<VecDeque<Result<ServerSeen, String>>>,
    place: Result<PlaceSeen, String>,
}

impl Trials for Told {
    fn user(&self, user: &str) -> Result<(), String> {
        if user == "unknown" { Err("there is no user unknown".to_owned()) } else { Ok(()) }
    }

    fn server(&self, _answers: &Answers) -> Result<ServerSeen, String> {
        let good = ServerSeen { is_node: Some(false), ..ServerSeen::default() };
        self.server.borrow_mut().pop_front().unwrap_or(Ok(good))
    }

    fn place(&self, answers: &Answers) -> Result<PlaceSeen, String> {
        let is_away = answers.place.url.contains("away");
        if is_away { Err("it can't be reached".to_owned()) } else { self.place.clone() }
    }
}

fn good() -> Told {
    Told { server: RefCell::default(), place: Ok(PlaceSeen::Free) }
}

fn found() -> Found {
    let proxy =
        "listen mysql\n bind 10.0.0.9:33306\n server a 10.0.0.1:3306\n server b 10.0.0.2:3306";
    let pool = pools(proxy).remove(0);
    Found {
        sockets: vec![Given::found("/s".to_owned(), "/root/.my.cnf")],
        administrator: None,
        pools: vec![Given::found(pool, "/etc/haproxy/haproxy.cfg")],
        databases: vec![ServiceDatabase {
            path: "/etc/nova/nova.conf".into(),
            address: "10.0.0.9:33306".parse().unwrap(),
        }],
        files: Files::default(),
        notes: vec!["/etc/x is left aside".to_owned()],
    }
}

fn typed() -> Typed {
    let none = || Some(NONE.to_owned());
    let (units, scratch) = (none(), none());
    Typed { job: "nightly".to_owned(), units, scratch, ..Typed::default() }
}

/// Options that answer what has no proposal.
fn needed() -> (Typed, Shared) {
    let typed = Typed { new_password: true, kit: Some(NONE.to_owned()), ..typed() };
    let shared = Shared { repo: Some("/backup/db".to_owned()), ..shared() };
    (typed, shared)
}

fn shared() -> Shared {
    Shared {
        host: "db1.example.org".to_owned(),
        config: "/nowhere/haulout.toml".into(),
        ..Shared::default()
    }
}

type Asked = (Outcome<(Answers, Wishes)>, Vec<String>);

fn ask(answers: &[&'static str], typed: &Typed, shared: &Shared, trials: &Told) -> Asked {
    let is_there = !answers.is_empty();
    let mut person =
        Script { answers: answers.iter().copied().collect(), is_there, heard: Vec::new() };
    let found = found();
    let found = &found;
    let asked = Interview { person: &mut person, typed, shared, found, trials }.run();
    (asked, person.heard)
}

#[test]
fn without_a_person_options_answer_and_what_is_found() {
    let (typed, shared) = needed();
    let (asked, heard) = ask(&[], &typed, &shared, &good());
    let (answers, wishes) = asked.unwrap();
    assert_eq!(answers.socket, Given::found("/s".to_owned(), "/root/.my.cnf"));
    assert_eq!((answers.source.as_str(), answers.user.as_str()), ("db1", "mysql"));
    assert_eq!(answers.place.url, "/backup/db");
    assert_eq!(answers.password, Password::NewFile("/nowhere/password".into()));
    assert_eq!(answers.keep, keep_of(KEEP).unwrap());
    assert_eq!((answers.cluster, answers.replica, wishes.kit), (None, None, None));
    // Where a proposal comes from is said, and that the server is no node.
    for words in ["(found in /root/.my.cnf)", "/etc/x is left aside", "no node of one"] {
        assert!(heard.iter().any(|line| line.contains(words)), "{words}: {heard:#?}");
    }
}

#[test]
fn a_missing_answer_names_its_option() {
    let (typed, shared) = needed();
    let without = |typed: Typed, shared: Shared| {
        let (asked, _) = ask(&[], &typed, &shared, &good());
        asked.unwrap_err().message()
    };
    let no_repo = Shared { repo: None, ..shared.clone() };
    assert!(without(typed.clone(), no_repo).starts_with("--repo: it is missing"));
    let no_kit = Typed { kit: None, ..typed.clone() };
    assert!(without(no_kit, shared.clone()).starts_with("--kit: it is missing"));
    let no_password = Typed { new_password: false, ..typed.clone() };
    assert!(without(no_password, shared.clone()).contains("--new-password"));
    for (typed, words) in [
        (Typed { socket: Some("/a\nb".to_owned()), ..typed.clone() }, "--socket: it has a line"),
        (Typed { user: Some("unknown".to_owned()), ..typed.clone() }, "--user: there is no"),
        (Typed { keep: Some("x".to_owned()), ..typed.clone() }, "--keep: x is no rule"),
        (Typed { schedule: Some("0 4 13 * fri".to_owned()), ..typed.clone() }, "--schedule: sys"),
        (Typed { files: vec!["/nowhere/x".to_owned()], ..typed.clone() }, "--files: /nowhere/x"),
        (Typed { member: vec!["a b/".to_owned()], ..typed.clone() }, "--member: "),
        (Typed { accounts: Some("maybe".to_owned()), ..typed.clone() }, "--accounts: it is"),
        (Typed { replica: Some("copy".to_owned()), ..typed.clone() }, "--replica: "),
    ] {
        let message = without(typed, shared.clone());
        assert!(message.starts_with(words), "{message}");
    }
}

#[test]
fn a_person_is_asked_again_after_an_answer_that_is_not_good() {
    let trials = good();
    let no_login = ServerSeen { refused: Some("error 1045".to_owned()), ..ServerSeen::default() };
    trials.server.borrow_mut().extend([Ok(no_login), Err("no server".to_owned())]);
    let answers = [
        "relative",
        "/t", // socket
        "unknown",
        "backup", // user
        "/a.cnf",
        "/b.cnf",
        "none", // option file
        "no",   // accounts
        "none", // files
        "x",
        "/backup/db",
        "",
        "",     // repository, password file, a new one
        "none", // replica
        "/nowhere/kit",
        "none", // kit
        "daily=x",
        "daily=3", // keep
        "daily 99:00",
        "daily 04:00", // schedule
    ];
    let (asked, heard) = ask(&answers, &typed(), &shared(), &trials);
    let (answers, _) = asked.unwrap();
    assert_eq!(answers.socket, Given::typed("/t".to_owned()));
    assert_eq!((answers.user.as_str(), answers.accounts), ("backup", false));
    assert_eq!(answers.defaults_file, None);
    assert_eq!(answers.keep, keep_of("daily=3").unwrap());
    assert_eq!(answers.schedule, "daily 04:00");
    for words in ["relative is no absolute path", "no server", "error 1045", "no rule"] {
        assert!(heard.iter().any(|line| line.contains(words)), "{words}: {heard:#?}");
    }
}

#[test]
fn a_person_who_gives_no_answer_is_not_asked_for_ever() {
    let (asked, heard) = ask(&["/s", "", "", "", "", ""], &typed(), &shared(), &good());
    assert!(asked.unwrap_err().message().starts_with("--repo: it is missing"));
    let times = heard.iter().filter(|line| line.starts_with("Where to store")).count();
    assert_eq!(times, usize::try_from(ATTEMPTS).unwrap());
}

#[test]
fn the_cluster_of_a_node_is_proposed_from_what_is_there() {
    let (typed, shared) = needed();
    let trials = good();
    let node = ServerSeen { is_node: Some(true), ..ServerSeen::default() };
    trials.server.borrow_mut().push_back(Ok(node.clone()));
    let typed = Typed { client_from: Some(NONE.to_owned()), ..typed };
    let (asked, _) = ask(&[], &typed, &shared, &trials);
    let proxy = "/etc/haproxy/haproxy.cfg";
    let expected = Cluster {
        members: Given::found(["10.0.0.1:3306", "10.0.0.2:3306"].map(str::to_owned).into(), proxy),
        virtual_address: Some(Given::found("10.0.0.9:33306".to_owned(), proxy)),
        client_from: None,
    };
    assert_eq!(asked.unwrap().0.cluster, Some(expected));
    // None is an answer as well.
    trials.server.borrow_mut().push_back(Ok(node));
    let alone = Typed { member: vec![NONE.to_owned()], ..typed };
    let (asked, _) = ask(&[], &alone, &shared, &trials);
    assert_eq!(asked.unwrap().0.cluster, None);
}

#[test]
fn a_place_that_does_not_do_is_refused_with_its_reason() {
    let (typed, shared) = needed();
    let trials = Told { place: Err("wrong password".to_owned()), ..good() };
    let (asked, _) = ask(&[], &typed, &shared, &trials);
    assert_eq!(asked.unwrap_err().message(), "--repo: wrong password");
}

#[test]
fn the_place_of_a_copy_is_tested_as_that_of_the_repository() {
    let (typed, shared) = needed();
    let with = |url: &str| Typed { replica: Some(url.to_owned()), ..typed.clone() };
    for (url, words) in [
        ("s3://away/db", "--replica: it can't be reached"),
        ("/backup/db", "--replica: /backup/db is the place of the repository itself"),
    ] {
        let (asked, _) = ask(&[], &with(url), &shared, &good());
        assert_eq!(asked.unwrap_err().message(), words);
    }
    let (asked, _) = ask(&[], &with("s3://copies/db"), &shared, &good());
    assert_eq!(asked.unwrap().0.replica.unwrap().url, "s3://copies/db");
    // A person is asked again, and not for ever.
    let answers = ["/s", "", "", "", "", "", "/away", "/copy"];
    let (asked, heard) = ask(&answers, &typed, &shared, &good());
    assert_eq!(asked.unwrap().0.replica.unwrap().url, "/copy", "{heard:#?}");
    let answers = ["/s", "", "", "", "", "", "/away", "/away", "/away", "/away", "/away", "/copy"];
    let (asked, _) = ask(&answers, &typed, &shared, &good());
    assert_eq!(asked.unwrap_err().message(), "--replica: it can't be reached");
}

#[test]
fn an_object_store_is_reached_as_its_answers_say() {
    let (typed, shared) = needed();
    let network = vec![("endpoint", "https://s3.example.org".to_owned())];
    let repo = Some("s3://backups/db1".to_owned());
    let shared = Shared { repo, network, ..shared };
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let typed = Typed { credentials_file: Some(path.clone()), ..typed };
    let (asked, _) = ask(&[], &typed, &shared, &good());
    let place = asked.unwrap().0.place;
    let expected = [("endpoint", "https://s3.example.org".to_owned()), ("credentials_file", path)];
    assert_eq!(place.network, expected);
    let typed = Typed { credentials_file: Some("/nowhere/x".to_owned()), ..typed };
    let (asked, _) = ask(&[], &typed, &shared, &good());
    assert!(asked.unwrap_err().message().starts_with("--credentials-file: "));
}

#[test]
fn a_source_has_the_short_name_of_the_host() {
    for (host, name) in
        [("db1.example.org", "db1"), ("", "db"), ("files", "db"), ("-x", "x"), ("latest", "db")]
    {
        assert_eq!(source_name(host), name);
    }
}
