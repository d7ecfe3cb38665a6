//! What a first configuration is made of: the answers to all questions, as far as they are given.

use std::path::PathBuf;

use crate::grammar::values::long_duration;

/// The rules of retention that are proposed.
pub(crate) const KEEP: &str = "daily=14,weekly=8,monthly=12";

/// The schedule that is proposed.
pub(crate) const SCHEDULE: &str = "daily 02:30";

/// A value, and where it was found if it was not typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given<T> {
    /// What was answered or found.
    pub(crate) value: T,
    /// What it was found in.
    pub(crate) from: Option<String>,
}

impl<T> Given<T> {
    /// Creates a value that was typed.
    pub(crate) fn typed(value: T) -> Self {
        Self { value, from: None }
    }

    /// Creates a value that was found somewhere.
    pub(crate) fn found(value: T, from: impl Into<String>) -> Self {
        Self { value, from: Some(from.into()) }
    }
}

/// The cluster that the server is a node of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// The addresses of all nodes.
    pub(crate) members: Given<Vec<String>>,
    /// The address that applications use.
    pub(crate) virtual_address: Option<Given<String>>,
    /// The configuration of a service whose account asks the members.
    pub(crate) client_from: Option<PathBuf>,
}

/// The place of a repository, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// A path or a URL.
    pub(crate) url: String,
    /// Keys that say how an object store is reached, with their values.
    pub(crate) network: Vec<(&'static str, String)>,
}

/// What opens the repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Password {
    /// A file with a password or a key.
    File(PathBuf),
    /// A file that is to be written, with a password of random letters.
    NewFile(PathBuf),
    /// A command that prints the password.
    Command(String),
}

/// A recovery kit that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kit {
    /// To this file; its text alone opens the repository.
    Open(PathBuf),
    /// To this file; a password is asked for, and needed with it.
    Sealed(PathBuf),
}

/// The directories that are stored besides the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files {
    /// The directories that are stored.
    pub(crate) paths: Vec<String>,
    /// What is left out below them.
    pub(crate) exclude: Vec<String>,
}

/// The answers to all questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The name of the job.
    pub(crate) job: String,
    /// The name of the source that is the server.
    pub(crate) source: String,
    /// The user of this host that runs the job.
    pub(crate) user: String,
    /// The socket of the server.
    pub(crate) socket: Given<String>,
    /// The option file with the account, if it has a password.
    pub(crate) defaults_file: Option<PathBuf>,
    /// The cluster, if the server is a node of one.
    pub(crate) cluster: Option<Cluster>,
    /// Whether the accounts of the server are stored as SQL as well.
    pub(crate) accounts: bool,
    /// The directories that are stored besides.
    pub(crate) files: Files,
    /// Where the backups go.
    pub(crate) place: Place,
    /// Where the copies of the backups go.
    pub(crate) replica: Option<Place>,
    /// What opens both repositories.
    pub(crate) password: Password,
    /// The rules of retention: the name of a rule and its value.
    pub(crate) keep: Vec<(String, String)>,
    /// The times of the job.
    pub(crate) schedule: String,
    /// The directory of what jobs remember, if it is not the usual one.
    pub(crate) state_dir: Option<PathBuf>,
}

impl Answers {
    /// Creates the answers of a job on a server, with what is proposed where nothing is known yet.
    pub(crate) fn new(job: &str, source: &str, socket: Given<String>) -> Self {
        Self {
            job: job.to_owned(),
            source: source.to_owned(),
            user: "mysql".to_owned(),
            socket,
            defaults_file: None,
            cluster: None,
            accounts: true,
            files: Files::default(),
            place: Place { url: "/nowhere".to_owned(), network: Vec::new() },
            replica: None,
            password: Password::File("/nowhere".into()),
            keep: keep_of(KEEP).unwrap_or_default(),
            schedule: SCHEDULE.to_owned(),
            state_dir: None,
        }
    }
}

/// Refuses a text that can't stand in one line of a file.
pub(crate) fn one_line(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("it has a line break or another control character".to_owned());
    }
    Ok(text.to_owned())
}

/// Refuses what is no absolute path in one line.
pub(crate) fn absolute(text: &str) -> Result<PathBuf, String> {
    let text = one_line(text)?;
    let path = PathBuf::from(&text);
    if path.is_absolute() { Ok(path) } else { Err(format!("{text} is no absolute path")) }
}

/// Reads rules of retention: `daily=14,weekly=8`.
pub(crate) fn keep_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let rule = |part: &str| {
        let wrong = || format!("{part} is no rule like daily=14");
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (name.trim(), value.trim());
        let known = ["last", "within", "hourly", "daily", "weekly", "monthly", "yearly"];
        let is_known = known.contains(&name);
        let is_number = value.parse::<u32>().is_ok_and(|count| (1..=100_000).contains(&count));
        let is_fit = if name == "within" { long_duration(value).is_ok() } else { is_number };
        if is_known && is_fit { Ok((name.to_owned(), value.to_owned())) } else { Err(wrong()) }
    };
    let rules: Vec<(String, String)> =
        text.split(',').map(|part| rule(part.trim())).collect::<Result<_, String>>()?;
    let mut names: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a rule stands in it twice".to_owned());
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_retention_are_names_with_values() {
        let rule = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [rule("daily", "14"), rule("within", "30d")];
        assert_eq!(keep_of("daily=14, within = 30d").unwrap(), expected);
        assert_eq!(keep_of(KEEP).unwrap().len(), 3);
        for text in ["", "daily", "daily=0", "daily=x", "dayly=3", "daily=1,daily=2", "within=\n"] {
            assert!(keep_of(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_is_absolute_and_has_one_line() {
        assert!(absolute("/run/mysqld/mysqld.sock").is_ok());
        for text in ["", "run/x", "/a\nb", "/a\u{1b}[0m"] {
            assert!(absolute(text).is_err(), "{text:?}");
        }
    }
}
