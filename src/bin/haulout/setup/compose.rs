//! The files of a first configuration as texts: the configuration itself, and the statements that
//! make the account of the backup.

use haulout::server::grants::quoted;
use haulout::store::location::Location;

use crate::config::Config;
use crate::doctor::rights::Needs;
use crate::setup::answers::Answers;
use crate::setup::answers::Cluster;
use crate::setup::answers::Password;
use crate::setup::answers::Place;

/// The names of the sections that are written.
pub(crate) const REPOSITORY: &str = "main";
pub(crate) const REPLICA: &str = "offsite";
const CLUSTER: &str = "cluster";
const ACCOUNTS: &str = "grants";
const FILES: &str = "files";

/// The part of what is stored that each run verifies.
const VERIFY: &str = "30min";

/// Returns a text as TOML has it in quotes.
pub(crate) fn in_quotes(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let escaped = format!("\\u{:04X}", u32::from(c));
                out += &escaped;
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// The lines of a file.
#[derive(Debug, Default)]
struct Lines(String);

impl Lines {
    fn section(&mut self, kind: &str, name: &str) {
        self.0.extend(["\n[", kind, ".", name, "]\n"]);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.0.extend([key, " = ", &in_quotes(value), "\n"]);
    }

    fn texts<'t>(&mut self, key: &str, values: impl IntoIterator<Item = &'t String>) {
        let values: Vec<String> = values.into_iter().map(|value| in_quotes(value)).collect();
        let line = format!("{key} = [{}]\n", values.join(", "));
        if line.len() <= 100 {
            self.0 += &line;
        } else {
            self.0.extend([key, " = [\n    ", &values.join(",\n    "), ",\n]\n"]);
        }
    }

    /// Says where the next value was found. What was found has no line break.
    fn from(&mut self, from: Option<&String>) {
        let from = from.map(|from| format!("# from {}\n", from.replace(char::is_control, " ")));
        self.0 += &from.unwrap_or_default();
    }
}

/// Returns the configuration that the answers make.
pub(crate) fn configuration(answers: &Answers) -> String {
    let mut lines = Lines(format!(
        "# Written by haulout setup; haulout help config explains each key.\n\
         # The job runs as {}.\n",
        answers.user.replace(char::is_control, " ")
    ));
    if let Some(directory) = &answers.state_dir {
        lines.0 += "\n[defaults]\n";
        lines.text("state_dir", &directory.display().to_string());
    }
    repository(&mut lines, REPOSITORY, &answers.place, answers);
    if let Some(replica) = &answers.replica {
        repository(&mut lines, REPLICA, replica, answers);
    }
    if let Some(cluster) = &answers.cluster {
        of_cluster(&mut lines, cluster, answers);
    }
    sources(&mut lines, answers);
    lines.section("job", &answers.job);
    lines.texts("sources", &names(answers));
    lines.text("repository", REPOSITORY);
    if answers.replica.is_some() {
        lines.texts("replicas", &[REPLICA.to_owned()]);
    }
    lines.text("schedule", &answers.schedule);
    lines.0.extend(["verify = { budget = \"", VERIFY, "\" }\n"]);
    lines.0
}

fn repository(lines: &mut Lines, name: &str, place: &Place, answers: &Answers) {
    lines.section("repository", name);
    lines.text("url", &place.url);
    // A directory needs none of what reaches an object store.
    let is_directory = matches!(Location::parse(&place.url), Ok(Location::Directory(_)));
    for (key, value) in place.network.iter().filter(|_| !is_directory) {
        if *key == "allow_http" {
            lines.0 += "allow_http = true\n";
        } else {
            lines.text(key, value);
        }
    }
    match &answers.password {
        Password::File(path) | Password::NewFile(path) => {
            lines.text("password_file", &path.display().to_string());
        }
        Password::Command(command) => lines.text("password_command", command),
    }
    let rule = |(name, value): &(String, String)| {
        let value = if name == "within" { in_quotes(value) } else { value.clone() };
        format!("{name} = {value}")
    };
    let rules: Vec<String> = answers.keep.iter().map(rule).collect();
    lines.0.extend(["keep = { ", &rules.join(", "), " }\n"]);
}

fn of_cluster(lines: &mut Lines, cluster: &Cluster, answers: &Answers) {
    lines.section("cluster", CLUSTER);
    lines.from(cluster.members.from.as_ref());
    lines.texts("members", &cluster.members.value);
    if let Some(address) = &cluster.virtual_address {
        lines.from(address.from.as_ref());
        lines.text("virtual_address", &address.value);
    }
    if let Some(path) = &cluster.client_from {
        lines.text("client_from", &path.display().to_string());
    } else if let Some(path) = &answers.defaults_file {
        lines.text("defaults_file", &path.display().to_string());
    }
}

fn sources(lines: &mut Lines, answers: &Answers) {
    let mut kinds = vec![(answers.source.as_str(), "mariabackup")];
    kinds.extend(answers.accounts.then_some((ACCOUNTS, "mariadb-dump")));
    for (name, kind) in kinds {
        lines.section("source", name);
        lines.text("kind", kind);
        lines.from(answers.socket.from.as_ref());
        lines.text("socket", &answers.socket.value);
        if let Some(path) = &answers.defaults_file {
            lines.text("defaults_file", &path.display().to_string());
        }
        if answers.cluster.is_some() {
            lines.text("cluster", CLUSTER);
        }
        if name == ACCOUNTS {
            lines.text("only", "accounts");
        }
    }
    if !answers.files.paths.is_empty() {
        lines.section("source", FILES);
        lines.text("kind", "files");
        lines.texts("paths", &answers.files.paths);
        if !answers.files.exclude.is_empty() {
            lines.texts("exclude", &answers.files.exclude);
        }
    }
}

/// Returns the names of the sources, in the order in which they are backed up.
fn names(answers: &Answers) -> Vec<String> {
    let accounts = answers.accounts.then(|| ACCOUNTS.to_owned());
    let files = (!answers.files.paths.is_empty()).then(|| FILES.to_owned());
    [answers.source.clone()].into_iter().chain(accounts).chain(files).collect()
}

/// Returns the rights that the account needs: on everything or on a schema.
fn rights(config: &Config) -> Vec<(Option<String>, Vec<&'static str>)> {
    let mut rights: Vec<(Option<String>, Vec<&'static str>)> = Vec::new();
    let mut add = |schema: Option<String>, right: &'static str| {
        let at = rights.iter().position(|(other, _)| *other == schema);
        let at = at.unwrap_or_else(|| {
            rights.push((schema, Vec::new()));
            rights.len() - 1
        });
        if !rights[at].1.contains(&right) {
            rights[at].1.push(right);
        }
    };
    for source in config.names("source").into_iter().filter_map(|name| config.source(name)) {
        if !matches!(source.text("kind"), Some("mariabackup" | "mariadb-dump")) {
            continue;
        }
        let needs = Needs::of(source);
        needs.trials.iter().for_each(|trial| add(None, trial.right));
        needs.looked_up.into_iter().for_each(|(right, schema)| add(schema, right));
    }
    rights
}

/// An account of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// The server knows the user of this host, without a password.
    OfHost(String),
    /// An account that exists, with its host.
    Existing(String),
}

/// Returns the statements that make the account with its rights.
pub(crate) fn statements(config: &Config, account: &Account) -> Vec<String> {
    let mut statements = Vec::new();
    let name = match account {
        Account::OfHost(user) => {
            let name = quoted(&format!("{user}@localhost"));
            statements.push(format!("CREATE USER IF NOT EXISTS {name} IDENTIFIED VIA unix_socket"));
            name
        }
        Account::Existing(name) => quoted(name),
    };
    for (schema, rights) in rights(config) {
        let on = schema.map_or("*.*".to_owned(), |schema| format!("`{schema}`.*"));
        statements.push(format!("GRANT {} ON {on} TO {name}", rights.join(", ")));
    }
    statements
}

/// Returns the text of the file with the statements.
pub(crate) fn sql(job: &str, statements: &[String]) -> String {
    let head = format!(
        "-- The account of the job {job}, without a password. To be run by an administrator of \
         the server.\n"
    );
    statements.iter().fold(head, |text, statement| text + statement + ";\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::examine;
    use crate::jobs::plan::JobPlan;
    use crate::setup::answers::Files;
    use crate::setup::answers::Given;
    use crate::verbs;

    fn read(text: &str) -> Config {
        let (file, mistakes) = examine(text, &verbs::grammar().raw());
        assert_eq!(mistakes, [], "{text}");
        Config { path: PathBuf::from("/etc/haulout/haulout.toml"), file }
    }

    fn small() -> Answers {
        Answers::new("nightly", "db1", Given::typed("/run/mysqld/mysqld.sock".to_owned()))
    }

    fn large() -> Answers {
        let members = ["10.0.0.11:3306", "10.0.0.12:3306"].map(str::to_owned).to_vec();
        let store = ("endpoint", "https://s3.example.org".to_owned());
        Answers {
            user: "backup".to_owned(),
            defaults_file: Some("/etc/haulout/backup.cnf".into()),
            cluster: Some(Cluster {
                members: Given::found(members, "/etc/haproxy/haproxy.cfg"),
                virtual_address: Some(Given::found("10.0.0.9:33306".to_owned(), "a\nb")),
                client_from: Some("/etc/nova/nova.conf".into()),
            }),
            files: Files {
                paths: ["/etc/nova", "/var/lib/a \"b\"\\c"].map(str::to_owned).to_vec(),
                exclude: vec!["var/lib/nova/instances".to_owned()],
            },
            place: Place { url: "s3://backups/db1".to_owned(), network: vec![store.clone()] },
            replica: Some(Place { url: "/mnt/copy".to_owned(), network: vec![store] }),
            password: Password::Command("ask-vault \"db\"".to_owned()),
            keep: vec![("daily".to_owned(), "3".to_owned()), ("within".into(), "30d".into())],
            state_dir: Some("/srv/state".into()),
            ..small()
        }
    }

    #[test]
    fn what_is_written_has_no_mistakes_and_is_a_job() {
        for (answers, sources, steps) in [(small(), 2, 7), (large(), 3, 15)] {
            let text = configuration(&answers);
            let config = read(&text);
            assert_eq!(config.names("source").len(), sources, "{text}");
            let plan = JobPlan::new(&config, "nightly", &|_| true).unwrap();
            assert_eq!(plan.steps.len(), steps, "{:#?}", plan.steps);
        }
        let text = configuration(&large());
        let config = read(&text);
        let files = config.source("files").unwrap().texts("paths");
        assert_eq!(files[1], "/var/lib/a \"b\"\\c");
        assert!(text.contains("# from a b\n"), "{text}");
        let copy = config.repository(REPLICA).unwrap();
        assert!(copy.get("endpoint").is_none(), "{text}");
        assert!(config.repository(REPOSITORY).unwrap().get("endpoint").is_some());
    }

    #[test]
    fn no_text_breaks_out_of_its_quotes() {
        for hostile in ["a\nkey = 1", "a\"\nurl = \"/x", "\u{0}\u{7f}\u{85}", "\\", "#", "'''"] {
            let socket = Given::found(format!("/{hostile}"), hostile);
            let text = configuration(&Answers::new("nightly", "db1", socket));
            let config = read(&text);
            let found = config.source("db1").unwrap().text("socket").unwrap();
            assert_eq!(found, format!("/{hostile}"));
        }
    }

    #[test]
    fn the_account_gets_what_its_sources_need() {
        let config = read(&configuration(&small()));
        assert_eq!(
            statements(&config, &Account::OfHost("mysql".to_owned())),
            [
                "CREATE USER IF NOT EXISTS 'mysql'@'localhost' IDENTIFIED VIA unix_socket",
                "GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO 'mysql'@'localhost'",
                "GRANT SELECT ON `mysql`.* TO 'mysql'@'localhost'",
            ]
        );
        let answers = Answers { accounts: false, ..small() };
        let config = read(&configuration(&answers));
        let own = statements(&config, &Account::Existing("o'b@%".to_owned()));
        assert_eq!(own, ["GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO 'o''b'@'%'"]);
        assert!(sql("nightly", &own).ends_with("TO 'o''b'@'%';\n"));
    }
}
