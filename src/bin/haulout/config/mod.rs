//! The configuration file: what stands in it, what is wrong with it, and what it adds to a command
//! line.
//!
//! ```text
//! text --tree--> values with places --check against keys--> Config --apply--> grammar, variables
//! ```
//!
//! A key is either an option of a command, whose meaning, values and help texts are those of the
//! command line, or declared in [`keys`]. So the file can say nothing that the command line
//! does not understand, and a new option of a command is a key without further work.
//!
//! The file adds to a command line as defaults: what is typed goes before what the environment
//! says, and both before the file.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod credentials;
pub(crate) mod effective;
pub(crate) mod keys;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod tree;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use clap::Command;
use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::config::check::Check;
use crate::config::tree::Mistake;
use crate::config::tree::Table;
use crate::config::tree::parse;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

/// The file that is read if no other is named.
pub(crate) const STANDARD: &str = "/etc/haulout/haulout.toml";

/// The variable that names another file.
pub(crate) const VARIABLE: &str = "HAULOUT_CONFIG";

/// The bit of a file's mode that lets everybody write to it.
const OTHERS_WRITE: u32 = 0o002;

/// Maximum size of a file in bytes: more is no configuration.
const BYTES_MAX: u64 = 4 << 20;

/// A configuration file without mistakes.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// What stands in it.
    pub(crate) file: Table,
}

/// The file that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It was named, and must be there.
    Named(PathBuf),
    /// It is the standard one, which need not be there.
    Standard(PathBuf),
}

impl Choice {
    /// Returns the file that is meant.
    pub(crate) fn new(typed: Option<PathBuf>, variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = || variable(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        typed.or_else(set).map_or_else(|| Self::Standard(STANDARD.into()), Self::Named)
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Standard(path) => path,
        }
    }
}

impl Config {
    /// Reads the file that is meant. A standard file that is not there, or that this user may not
    /// read, is none.
    pub(crate) fn load(choice: &Choice, grammar: &Command) -> Outcome<Option<Self>> {
        let text = match read(choice.path()) {
            Ok(text) => text,
            Err(error) => {
                let absent = [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied];
                let is_standard = matches!(choice, Choice::Standard(_));
                if is_standard && absent.contains(&error.kind()) {
                    return Ok(None);
                }
                return Err(not_read(choice.path(), error));
            }
        };
        require_private(choice.path())?;
        let (file, mistakes) = examine(&text, grammar);
        let path = choice.path().to_owned();
        match mistakes.first() {
            None => Ok(Some(Self { path, file })),
            Some(first) => {
                let others = mistakes.len() - 1;
                let more = if others == 0 { String::new() } else { format!(" ({others} more)") };
                let hint = first.hint.as_ref().map_or(String::new(), |hint| format!("{hint}; "));
                Err(Failure::usage(
                    format!("{}{more}", line(&path, first)),
                    format!("{hint}haulout config check shows all mistakes of the file"),
                ))
            }
        }
    }

    /// Returns a repository by its name.
    pub(crate) fn repository(&self, name: &str) -> Option<&Table> {
        self.file.table("repository")?.table(name)
    }

    /// Returns a source by its name.
    pub(crate) fn source(&self, name: &str) -> Option<&Table> {
        self.file.table("source")?.table(name)
    }

    /// Returns a job by its name.
    pub(crate) fn job(&self, name: &str) -> Option<&Table> {
        self.file.table("job")?.table(name)
    }

    /// Returns the names of all sections of a kind, in the order of the file.
    pub(crate) fn names(&self, section: &str) -> Vec<&str> {
        let table = self.file.table(section);
        table
            .map_or_else(Vec::new, |table| table.0.iter().map(|entry| entry.key.as_str()).collect())
    }
}

/// Refuses a file that everybody can write to: it names programs that are run.
fn require_private(path: &Path) -> Outcome<()> {
    let mode = fs::metadata(path).map_err(|error| not_read(path, error))?.permissions().mode();
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    let message = format!("every user of this host can write to {}", path.display());
    Err(Failure::new(
        Error::new(ErrorKind::Exposed, message),
        "run chmod o-w on the file, and look at what it says before a job runs by it",
    ))
}

/// Reads the text of a file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// Explains why a file can't be read.
pub(crate) fn not_read(path: &Path, error: io::Error) -> Failure {
    let message = format!("cannot read the configuration {}", path.display());
    Failure::new(
        Error::new(ErrorKind::Usage, message).because(error),
        "check --config and HAULOUT_CONFIG, and that this user may read the file",
    )
}

/// Finds what stands in a text, and all of its mistakes in their order.
pub(crate) fn examine(text: &str, grammar: &Command) -> (Table, Vec<Mistake>) {
    let (file, mut mistakes) = parse(text);
    let mut check = Check { grammar, file: &file, mistakes: Vec::new() };
    check.run();
    mistakes.append(&mut check.mistakes);
    mistakes.sort_by_key(|mistake| mistake.place);
    (file, mistakes)
}

/// Returns a mistake in one line, as compilers print them.
pub(crate) fn line(path: &Path, mistake: &Mistake) -> String {
    let Mistake { place, message, .. } = mistake;
    format!("{}:{}:{}: {message}", path.display(), place.line, place.column)
}

#[cfg(test)]
mod tests {
    use haulout::guide::chapter;

    use super::*;
    use crate::verbs;

    /// Returns the mistakes of a text, as lines without the name of the file.
    fn mistakes(text: &str) -> Vec<String> {
        let (_, mistakes) = examine(text, &verbs::grammar().raw());
        let path = Path::new("f");
        mistakes.iter().map(|one| line(path, one).trim_start_matches("f:").to_owned()).collect()
    }

    #[test]
    fn the_examples_of_the_guide_have_no_mistakes() {
        let chapters = ["config", "galera"].map(|name| chapter(name).unwrap().text);
        let mut found = 0;
        let mut whole = String::new();
        for example in chapters.concat().split("```toml\n").skip(1) {
            whole += example.split("```").next().unwrap_or_default();
            assert_eq!(mistakes(&whole), Vec::<String>::new());
            found += 1;
        }
        assert_eq!(found, 5);
    }

    #[test]
    fn every_mistake_is_found_at_once_with_its_place() {
        let text = "\
[defaults]
memroy = \"1GiB\"
threads = 0
[defaults.verify]
depth = \"deep\"
[repository.local]
urll = \"/x\"
limit = \"5\"
keep = { dayly = 3, weekly = 0 }
[source.a]
kind = \"files\"
compression = 25
tag = [\"a\", \"\"]
socket = \"/s\"
schedule = \"daily 02:30\"
[job.n]
sources = [\"b\", \"a\", \"a\"]
repository = \"locl\"
schedule = \"daily 25:00\"
metrics = \"x.prom\"
hooks = { before = [{ timeout = \"5s\" }] }
[jobs.x]
[job.\"a b\"]
repository = 5
";
        let expected = [
            "2:1: memroy is no key of [defaults]",
            "3:11: defaults.threads: ",
            "5:9: defaults.verify.depth: ",
            "6:13: repository.local: the key url is missing",
            "7:1: urll is no key of [repository.local]",
            "8:9: repository.local.limit: it has no unit",
            "9:10: dayly is no key of repository.local.keep",
            "9:30: repository.local.keep.weekly: it must be from 1",
            "10:9: source.a: a source of kind files needs the key paths",
            "12:15: source.a.compression: it is neither auto nor",
            "13:7: source.a.tag: it is empty",
            "14:1: source.a: a source of kind files does not take the key socket",
            "15:1: source.a: there is no key schedule here",
            "17:12: job.n.sources: there is no [source.b]",
            "17:22: job.n.sources: a stands in it twice",
            "18:14: job.n.repository: there is no [repository.locl]",
            "19:12: job.n.schedule: ",
            "20:11: job.n.metrics: it must be an absolute path",
            "21:21: job.n.hooks.before: the key command is missing",
            "22:2: jobs is no section",
            "23:6: [job.a b]: the name may have letters",
            "24:14: job.a b.repository: it is a number, and must be a text",
        ];
        let found = mistakes(text);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}: {expected}");
        }
    }

    #[test]
    fn the_schema_has_every_key_of_the_example() {
        let guide = include_str!("../../../guide/config.md");
        let example = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let (file, _) = parse(example);
        let schema = schema::schema(&verbs::grammar().raw());
        for (kind, sections) in file.0.iter().map(|entry| (&entry.key, &entry.value)) {
            let of_kind = &schema["properties"][kind]["additionalProperties"]["properties"];
            for section in &sections.as_table().unwrap().0 {
                for key in &section.value.as_table().unwrap().0 {
                    assert!(of_kind[&key.key].is_object(), "{kind}.{}", key.key);
                }
            }
        }
    }

    #[test]
    fn a_file_is_named_or_the_standard_one() {
        let set = |_: &str| Some("/v".into());
        let typed = Some(PathBuf::from("/t"));
        assert_eq!(Choice::new(typed.clone(), &set), Choice::Named("/t".into()));
        assert_eq!(Choice::new(None, &set), Choice::Named("/v".into()));
        assert_eq!(Choice::new(None, &|_| None), Choice::Standard(STANDARD.into()));
        let raw = verbs::grammar().raw();
        let absent = |choice| Config::load(&choice, &raw);
        assert!(absent(Choice::Standard("/nowhere/x.toml".into())).unwrap().is_none());
        assert!(absent(Choice::Named("/nowhere/x.toml".into())).is_err());
    }
}
