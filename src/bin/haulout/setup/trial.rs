//! Tests answers for real: connects to the server with the login that the job will use, and opens
//! the repository. A test changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use haulout::error::ErrorKind;
use haulout::server::galera::Node;
use haulout::server::session::Session;
use haulout::shared::entries::entries;
use haulout::store::location::Location;
use serde_json::Value;

use crate::config::tree::parse;
use crate::environment::is_program;
use crate::fail::failure::Outcome;
use crate::jobs::server;
use crate::setup::actor::Actor;
use crate::setup::answers::Answers;
use crate::setup::answers::Password;
use crate::setup::compose::REPOSITORY;
use crate::setup::compose::configuration;
use crate::setup::compose::in_quotes;

/// What was seen of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerSeen {
    /// Why the login of the job is refused, if it is.
    pub(crate) refused: Option<String>,
    /// What the account lacks, if it can log in.
    pub(crate) lacking: Vec<String>,
    /// The account as the server names it, if it can log in.
    pub(crate) account: Option<String>,
    /// Whether the server is a node of a cluster, if that is known.
    pub(crate) is_node: Option<bool>,
    /// What else a person should know.
    pub(crate) notes: Vec<String>,
}

/// What was seen of the place of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceSeen {
    /// There is a repository, and the password opens it.
    Opens,
    /// There is none yet, and one can be made.
    Free,
}

/// What tests answers for real.
pub(crate) trait Trials {
    /// Looks up the user that will run the job.
    fn user(&self, user: &str) -> Result<(), String>;

    /// Connects to the server of some answers with its login.
    fn server(&self, answers: &Answers) -> Result<ServerSeen, String>;

    /// Opens the repository of some answers, or looks whether one can be made.
    fn place(&self, answers: &Answers) -> Result<PlaceSeen, String>;
}

/// Tests on this host.
#[derive(Debug)]
pub(crate) struct RealTrials {
    /// The option file of an administrator of the server.
    pub(crate) administrator: Option<PathBuf>,
}

impl Trials for RealTrials {
    fn user(&self, user: &str) -> Result<(), String> {
        Actor::new(user).map(|_| ())
    }

    fn server(&self, answers: &Answers) -> Result<ServerSeen, String> {
        let rows = examine(answers)?;
        let mut seen = ServerSeen::default();
        for row in &rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let (subject, check, found) = (text("subject"), text("check"), text("found"));
            let is_failed = row["state"] == "failed";
            // A member that does not answer is a warning: the backup runs without it.
            let is_bad = is_failed || row["state"] == "warning";
            let is_of_cluster = subject.starts_with("cluster ");
            let is_of_server = subject.starts_with("source ") && subject != "source files";
            if check == "connection" && is_of_server && is_failed {
                seen.refused.get_or_insert(found);
            } else if check == "rights" && is_of_server {
                if is_failed {
                    seen.lacking.push(found);
                } else if row["state"] == "good" {
                    seen.account = found.split_whitespace().next().map(str::to_owned);
                }
            } else if check == "state of the node" {
                seen.is_node = Some(true);
            } else if is_failed && is_of_server || is_bad && is_of_cluster {
                let hint = row["hint"].as_str().unwrap_or("haulout help config");
                seen.notes.push(format!("{subject}, {check}: {found}; {hint}"));
            }
        }
        if seen.refused.is_none() {
            seen.is_node.get_or_insert(false);
            return Ok(seen);
        }
        // The server may be there, and the account not yet.
        match administrator(&answers.socket.value, self.administrator.as_deref()) {
            Ok(mut session) => {
                seen.is_node = Node::ask(&mut session).ok().map(|node| node.is_some());
                Ok(seen)
            }
            Err(_) if seen.refused.as_ref().is_some_and(|why| why.contains(": error ")) => Ok(seen),
            Err(_) => Err(seen.refused.unwrap_or_default()),
        }
    }

    fn place(&self, answers: &Answers) -> Result<PlaceSeen, String> {
        let place = Location::parse(&answers.place.url).map_err(|error| {
            format!("{} is no place of a repository: {error}", answers.place.url)
        })?;
        if let Location::Directory(path) = &place
            && is_free(path)?
        {
            return Ok(PlaceSeen::Free);
        }
        let draft = Draft::new(answers)?;
        let arguments = ["-r", REPOSITORY, "--retry-for=10s", "snapshots", "--last", "1"];
        let answered = draft.actor.ask(&draft.path, &arguments).map_err(|error| error.line())?;
        let is_new = matches!(answers.password, Password::NewFile(_));
        match (answered.status, answered.kind()) {
            (Some(0 | 3), _) => Ok(PlaceSeen::Opens),
            (_, Some(kind)) if kind == ErrorKind::NoRepository.as_str() => Ok(PlaceSeen::Free),
            (_, Some(kind)) if is_new && kind == ErrorKind::WrongKey.as_str() => {
                Err("there is a repository: name the file with its password".to_owned())
            }
            _ => {
                Err(answered.error().unwrap_or_else(|| "haulout said nothing about it".to_owned()))
            }
        }
    }
}

/// Connects to a server as its administrator, or as the user of this process.
pub(crate) fn administrator(socket: &str, file: Option<&Path>) -> Outcome<Session> {
    let mut text = format!("socket = {}\n", in_quotes(socket));
    let file = file.map(|file| in_quotes(&file.display().to_string()));
    text += &file.map_or(String::new(), |file| format!("defaults_file = {file}\n"));
    let (table, _) = parse(&text);
    Ok(server::of_source(&table)?)
}

/// Tells whether a directory has nothing in it or can be made; says why if it can't.
fn is_free(path: &Path) -> Result<bool, String> {
    if !path.is_absolute() {
        return Err(format!("{} is no absolute path", path.display()));
    }
    let shown = path.display();
    match entries(path) {
        Ok(mut found) => Ok(found.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let there = path.ancestors().find(|above| above.exists());
            let there = there.unwrap_or(Path::new("/"));
            let is_writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
            let can = there.is_dir() && is_writable;
            let above = there.display();
            if can { Ok(true) } else { Err(format!("{shown} can't be made in {above}")) }
        }
        Err(error) => Err(format!("cannot look into {shown}: {error}")),
    }
}

/// A configuration that is thrown away again, with the user that reads it.
struct Draft {
    actor: Actor,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Draft {
    fn new(answers: &Answers) -> Result<Self, String> {
        let unwritten = |error: std::io::Error| format!("cannot write a temporary file: {error}");
        let actor = Actor::new(&answers.user)?;
        let directory = tempfile::Builder::new().prefix("haulout-setup-").tempdir();
        let directory = directory.map_err(unwritten)?;
        let readable = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(unwritten)
        };
        readable(directory.path(), 0o755)?;
        let mut draft = answers.clone();
        if let Password::NewFile(_) = answers.password {
            // There is no password yet; it opens nothing.
            let password = directory.path().join("password");
            fs::write(&password, "none yet\n").map_err(unwritten)?;
            readable(&password, 0o600)?;
            actor.own(&password).map_err(unwritten)?;
            draft.password = Password::File(password);
        }
        let path = directory.path().join("haulout.toml");
        // No secret is in it.
        fs::write(&path, configuration(&draft)).map_err(unwritten)?;
        readable(&path, 0o644)?;
        Ok(Self { actor, path, _directory: directory })
    }
}

/// Returns the rows of a `haulout doctor` on some answers.
fn examine(answers: &Answers) -> Result<Vec<Value>, String> {
    if !is_program("mariadb-backup") && !is_program("mariabackup") {
        return Err("mariadb-backup is not installed: install it, of the server's version".into());
    }
    let draft = Draft::new(answers)?;
    let answered =
        draft.actor.ask(&draft.path, &["doctor", &answers.job]).map_err(|error| error.line())?;
    match answered.json["checks"].as_array() {
        Some(rows) => Ok(rows.clone()),
        None => Err(answered.error().unwrap_or_else(|| "haulout doctor said nothing".to_owned())),
    }
}
