//! Option files of MariaDB's programs (`my.cnf`): groups, options, includes.
//!
//! Source: `mysys/my_default.c` of MariaDB, and "Configuring MariaDB with Option Files" in its
//! manual. Of an option that stands more than once the last one counts; `_` and `-` are the same in
//! names; a prefix `loose-` says that a program may not know the option. Unlike MariaDB's programs,
//! which skip a file that everybody can write to with a warning and go on without its account, this
//! refuses one, and the entries of a directory are read in the order of their names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::base::entries::entries;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;

/// How deep files may include each other.
const DEPTH_MAX: usize = 10;

/// Most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The mode bit of a file that everybody can write to.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// A line of an option file that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The beginning of a group: `[client]`.
    Group(String),
    /// An option with its value, or without one.
    Option(String, Option<Zeroizing<String>>),
    /// Another file that is read here.
    Include(PathBuf),
    /// A directory whose files `*.cnf` are read here.
    IncludeDirectory(PathBuf),
}

/// What an option file says in the groups that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, Option<Zeroizing<String>>)>);

/// What is read of files, and what is done about one that can't be.
struct Reading<'g> {
    groups: &'g [&'g str],
    unread: Unread,
}

/// What is done about a file that can't be read, or that everybody can write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// It is an error.
    Refused,
    /// It says nothing, as to MariaDB's programs if nothing names the file.
    PassedOver,
}

impl Options {
    /// Reads a file and what it includes, in the groups with these names.
    pub fn read(path: &Path, groups: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        options.add_file(path, &Reading { groups, unread: Unread::Refused }, 0)?;
        Ok(options)
    }

    /// Reads a file that MariaDB's programs look for by themselves: they pass it over if it is not
    /// there, or if they may not read it.
    pub fn read_usual(path: &Path, groups: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        options.add_file(path, &Reading { groups, unread: Unread::PassedOver }, 0)?;
        Ok(options)
    }

    /// Adds an option that goes before all that were read.
    pub fn add(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(|value| Zeroizing::new(value.to_owned()));
        self.0.push((name.to_owned(), value));
    }

    /// Adds options that go before all that were read.
    pub fn append(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Returns the value of an option, if it stands there with one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name)?;
        found.1.as_ref().map(|value| value.as_str())
    }

    /// Returns whether an option is switched on or off, if either is said.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let on = |key: &str| key == name || key.strip_prefix("enable-") == Some(name);
        let off = |key: &str| {
            ["skip-", "disable-"].into_iter().any(|prefix| key.strip_prefix(prefix) == Some(name))
        };
        let (key, value) = self.0.iter().rev().find(|(key, _)| on(key) || off(key))?;
        let word = value.as_ref().map(|value| value.to_ascii_lowercase());
        let is_yes = !matches!(word.as_deref(), Some("0" | "off" | "false"));
        Some(is_yes == on(key))
    }

    /// Returns all options in the order in which they were read, each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref().map(|text| text.as_str())))
    }

    fn add_file(&mut self, path: &Path, reading: &Reading<'_>, depth: usize) -> Result<()> {
        let text = match read_file(path) {
            Ok(text) => text,
            Err(_) if reading.unread == Unread::PassedOver => return Ok(()),
            Err(error) => return Err(error),
        };
        let lines = parse(&text).map_err(|(number, why)| {
            let message = format!("{} line {number}: {why}", path.display());
            Error::new(ErrorKind::Server, message)
        })?;
        let mut is_wanted = false;
        for line in lines {
            match line {
                Line::Group(name) => is_wanted = reading.groups.contains(&name.as_str()),
                Line::Option(name, value) if is_wanted => self.0.push((name, value)),
                Line::Option(..) => {}
                Line::Include(_) | Line::IncludeDirectory(_) if depth >= DEPTH_MAX => {
                    let message = format!("{}: files include each other too deep", path.display());
                    return Err(Error::new(ErrorKind::Server, message));
                }
                Line::Include(other) => self.add_file(&other, reading, depth + 1)?,
                Line::IncludeDirectory(directory) => {
                    let files = match files_in(&directory) {
                        Err(_) if reading.unread == Unread::PassedOver => Vec::new(),
                        files => files?,
                    };
                    for file in files {
                        self.add_file(&file, reading, depth + 1)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let unread = |error: std::io::Error| {
        let message = format!("cannot read the option file {}", path.display());
        Error::new(ErrorKind::Server, message).because(error)
    };
    let metadata = fs::metadata(path).map_err(unread)?;
    if metadata.is_file() && metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        let message = format!("every user of this host can write to {}", path.display());
        return Err(Error::new(ErrorKind::Exposed, message));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unread(std::io::Error::other("it is larger than 1 MiB")));
    }
    fs::read(path).map(Zeroizing::new).map_err(unread)
}

/// Returns the files of a directory that are read, in the order of their names.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let unread = |error: std::io::Error| {
        let message = format!("cannot read the directory {}", directory.display());
        Error::new(ErrorKind::Server, message).because(error)
    };
    for entry in entries(directory).map_err(unread)? {
        let path = directory.join(entry.map_err(unread)?.name);
        if path.extension() == Some(OsStr::new("cnf")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the lines of a file that say something; else the number of a line and what is wrong.
pub fn parse(text: &[u8]) -> std::result::Result<Vec<Line>, (usize, &'static str)> {
    let mut lines = Vec::new();
    let mut has_group = false;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        let wrong = |why| (index + 1, why);
        match line.first() {
            None | Some(b'#' | b';') => {}
            Some(b'!') => lines.extend(directive(line[1..].trim_ascii_start()).map_err(wrong)?),
            Some(b'[') => {
                let end = line.iter().position(|byte| *byte == b']');
                let end = end.ok_or_else(|| wrong("the name of a group has no closing bracket"))?;
                has_group = true;
                lines.push(Line::Group(lossy(line[1..end].trim_ascii_end())));
            }
            Some(_) if !has_group => return Err(wrong("an option stands before the first group")),
            Some(_) => lines.extend(option(line)),
        }
    }
    Ok(lines)
}

/// Returns what a line that begins with an exclamation mark includes; unknown ones say nothing.
fn directive(line: &[u8]) -> std::result::Result<Option<Line>, &'static str> {
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let path = PathBuf::from(OsStr::from_bytes(line[end..].trim_ascii()));
    let found = match &line[..end] {
        b"include" => Line::Include(path.clone()),
        b"includedir" => Line::IncludeDirectory(path.clone()),
        _ => return Ok(None),
    };
    if path.as_os_str().is_empty() {
        return Err("it does not say what to include");
    }
    Ok(Some(found))
}

fn option(line: &[u8]) -> Option<Line> {
    let line = without_comment(line);
    let equals = line.iter().position(|byte| *byte == b'=');
    let (name, value) = match equals {
        Some(at) => (&line[..at], Some(unescape(unquote(line[at + 1..].trim_ascii())))),
        None => (line, None),
    };
    let name = lossy(name.trim_ascii_end()).replace('_', "-");
    let name = name.strip_prefix("loose-").unwrap_or(&name).to_owned();
    (!name.is_empty()).then_some(Line::Option(name, value))
}

/// Returns a line up to the number sign that begins a comment: one outside of quotes.
fn without_comment(line: &[u8]) -> &[u8] {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, byte) in line.iter().enumerate() {
        match (byte, quote) {
            (b'#', None) => return &line[..at],
            (b'\'' | b'"', None) if !is_escaped => quote = Some(*byte),
            (_, Some(open)) if open == *byte && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = quote.is_some() && *byte == b'\\' && !is_escaped;
    }
    line
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last => inner,
        _ => value,
    }
}

fn unescape(value: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'\\').then(|| after.first()).flatten();
        let Some(&escaped) = escaped else {
            bytes.push(byte);
            continue;
        };
        rest = &after[1..];
        match escaped {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'b' => bytes.push(8),
            b's' => bytes.push(b' '),
            b'"' | b'\'' | b'\\' => bytes.push(escaped),
            other => bytes.extend([b'\\', other]),
        }
    }
    Zeroizing::new(lossy(&bytes))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        let mut options = Options::default();
        for line in parse(text.as_bytes()).unwrap() {
            if let Line::Option(name, value) = line {
                options.0.push((name, value));
            }
        }
        options
    }

    #[test]
    fn values_are_read_as_the_server_reads_them() {
        for (line, expected) in [
            ("password = secret", "secret"),
            ("password=\"a # b\" # not this", "a # b"),
            ("password='it''s'", "it''s"),
            ("password = a\\tb\\\\c\\s\\q", "a\tb\\c \\q"),
            ("password = ends in \\", "ends in \\"),
            ("loose_password = x", "x"),
            ("password = first\npassword = second", "second"),
            ("password = a=b", "a=b"),
            ("password = \"", "\""),
            ("password = a\\'#b", "a'#b"),
            ("password =", ""),
        ] {
            let found = options(&format!("[client]\n{line}\n"));
            assert_eq!(found.value("password"), Some(expected), "{line}");
        }
        assert_eq!(options("[client]\npassword # none\n").value("password"), None);
    }

    #[test]
    fn switches_are_on_or_off_in_every_spelling() {
        for (line, expected) in [
            ("ssl", Some(true)),
            ("ssl=1", Some(true)),
            ("ssl=OFF", Some(false)),
            ("skip-ssl", Some(false)),
            ("skip_ssl=0", Some(true)),
            ("disable-ssl", Some(false)),
            ("enable-ssl", Some(true)),
            ("skip-ssl\nssl", Some(true)),
            ("user=x", None),
        ] {
            assert_eq!(options(&format!("[client]\n{line}\n")).flag("ssl"), expected, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, number, word) in [
            ("# a\nuser=x\n", 2, "before the first group"),
            ("[client\n", 1, "closing bracket"),
            ("[client]\n\n!include \n", 3, "include"),
        ] {
            let (line, why) = parse(text.as_bytes()).unwrap_err();
            assert_eq!(line, number);
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(parse(b"!other x\n"), Ok(vec![]));
    }

    #[test]
    fn included_files_stand_where_they_are_included() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("d")).unwrap();
        let here = directory.path().display();
        fs::write(at("d/2.cnf"), "[client]\nuser=two\nhost=two\n").unwrap();
        fs::write(at("d/1.cnf"), "[mysqld]\nuser=no\n[client]\nuser=one\nport=1\n").unwrap();
        fs::write(at("d/3.txt"), "not read").unwrap();
        fs::write(
            at("main.cnf"),
            format!("[client]\nuser=first\n!includedir {here}/d\nhost=after\n"),
        )
        .unwrap();
        let options = Options::read(&at("main.cnf"), &["client"]).unwrap();
        let found = ["user", "host", "port"].map(|name| options.value(name));
        assert_eq!(found, [Some("two"), Some("after"), Some("1")]);
        // A group ends with the file that it begins in.
        fs::write(at("none.cnf"), format!("[other]\n!include {here}/d/1.cnf\nhost=no\n")).unwrap();
        let options = Options::read(&at("none.cnf"), &["client"]).unwrap();
        assert_eq!((options.value("user"), options.value("host")), (Some("one"), None));
    }

    #[test]
    fn files_that_end_nowhere_or_that_all_can_write_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loop.cnf");
        fs::write(&path, format!("!include {}\n", path.display())).unwrap();
        assert!(Options::read(&path, &["client"]).unwrap_err().to_string().contains("too deep"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = Options::read(&path, &["client"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exposed);
        let none = directory.path().join("none");
        let error = Options::read(&none, &["client"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        // Those that no option names are passed over by the tools.
        for passed in [&path, &none] {
            assert_eq!(Options::read_usual(passed, &["client"]).unwrap(), Options::default());
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no group = x\n").unwrap();
        assert!(Options::read_usual(&path, &["client"]).is_err());
    }
}
