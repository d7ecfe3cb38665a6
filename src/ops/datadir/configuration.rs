//! The configuration of the public server, as its own program reads it, against what a backup says
//! of the server that it is of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use crate::base::world::World;
use crate::source::child::withhold_secrets;

/// How long the program may take to print its settings.
const PRINT_TIME: Duration = Duration::from_secs(30);

/// The time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The most bytes of its settings.
const PRINT_BYTES_MAX: u64 = 4 << 20;

/// Where settings have no value.
const NO_VALUE: &str = "(No default value)";

/// Settings that a backup and its server must have in common, and what they are.
const COMPARED: [(&str, &str); 3] = [
    ("innodb_page_size", "the page size"),
    ("innodb_data_file_path", "the files of the system tablespace"),
    ("innodb_undo_tablespaces", "the number of undo tablespaces"),
];

/// The settings of a server by their names, with `-` for `_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Configuration(BTreeMap<String, String>);

impl Configuration {
    /// Asks the program of the server, which reads `file` or its usual option files.
    pub(super) fn ask(program: &Path, file: Option<&Path>, world: &World) -> Result<Self, String> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(file) = file {
            let mut option = OsString::from("--defaults-file=");
            option.push(file);
            arguments.push(option);
        }
        arguments.extend(["--verbose".into(), "--help".into()]);
        let text = output(program, &arguments, world)?;
        let found = Self::parse(&text);
        if found.0.is_empty() {
            return Err(format!("{} --verbose --help prints no settings", program.display()));
        }
        Ok(found)
    }

    /// Reads the table at the end of `--verbose --help`, below a line of dashes.
    fn parse(text: &str) -> Self {
        let rows = text.lines().skip_while(|line| !line.starts_with("-----")).skip(1);
        let rows = rows.take_while(|line| !line.trim().is_empty());
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        };
        Self(rows.map(pair).collect())
    }

    /// Returns a setting that has a value.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let value = self.0.get(&name.replace('_', "-"))?;
        (value != NO_VALUE && !value.is_empty()).then_some(value.as_str())
    }

    /// Returns where the server's binary logs are and what their names begin with.
    pub(super) fn binlogs(&self, directory: &Path) -> Option<PathBuf> {
        let value = self.value("log-bin").filter(|value| *value != "FALSE")?;
        let path = directory.join(value);
        Some(match path.extension() {
            Some(_) => path.with_extension(""),
            None => path,
        })
    }

    /// Says in which settings the server differs from what the backup needs.
    pub(super) fn differences(&self, backup: &BTreeMap<String, String>) -> Vec<String> {
        let mut different = Vec::new();
        for (name, what) in COMPARED {
            let (Some(own), Some(needed)) = (self.value(name), backup.get(name)) else { continue };
            if plain(own) != plain(needed) {
                different.push(format!(
                    "{what} differs: the backup has {name}={needed}, the server is configured \
                     with {own}"
                ));
            }
        }
        for (name, value) in backup {
            let is_plugin = name == "plugin_load" || name == "plugin_load_add";
            for plugin in value.split(';').filter(|_| is_plugin).map(str::trim) {
                let library = plugin.rsplit('=').next().unwrap_or(plugin);
                if !library.is_empty() && !self.loads(library) {
                    different.push(format!("the server does not load the plugin {library}"));
                }
            }
            if name.ends_with("_filename") && !Path::new(value).exists() {
                different.push(format!("the file of keys {value} ({name}) is not there"));
            }
        }
        different
    }

    fn loads(&self, library: &str) -> bool {
        let stem = library.trim_end_matches(".so");
        ["plugin-load", "plugin-load-add"]
            .iter()
            .any(|name| self.value(name).is_some_and(|value| value.contains(stem)))
            || self.0.keys().any(|name| name.replace('-', "_").starts_with(stem))
    }
}

/// Returns a value without what does not count: blanks and capitals.
fn plain(value: &str) -> String {
    let value = value.to_ascii_lowercase();
    value.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Runs a program and returns its output; one that takes too long is killed.
pub(super) fn output(
    program: &Path,
    arguments: &[OsString],
    world: &World,
) -> Result<String, String> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    withhold_secrets(&mut command);
    let mut child = command.spawn().map_err(|error| format!("cannot start {shown}: {error}"))?;
    let out = child.stdout.take().ok_or_else(|| format!("cannot read from {shown}"))?;
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What was read until then counts.
        let _read = out.take(PRINT_BYTES_MAX).read_to_end(&mut text);
        text
    });
    let began = world.clock.elapsed();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Err(error) => return Err(format!("cannot wait for {shown}: {error}")),
            Ok(None) if world.clock.elapsed().saturating_sub(began) >= PRINT_TIME => {
                // It may end by itself in the meantime.
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(format!("{shown} does not end"));
            }
            Ok(None) => std::thread::sleep(LOOK),
        }
    }
    let text = reading.join().map_err(|_| format!("cannot read from {shown}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "mariadbd  Ver 10.11\n\nVariables (--variable-name=value)\n\
        and boolean options {FALSE|TRUE}                             Value\n\
        ------------------------- ----------\n\
        datadir                                      /var/lib/mysql/\n\
        innodb-data-file-path                        ibdata1:12M:autoextend\n\
        innodb-page-size                             16384\n\
        innodb-undo-tablespaces                      0\n\
        log-bin                                      /var/log/mysql/mariadb-bin.log\n\
        plugin-load                                  (No default value)\n\
        \nTo see what values a running MariaDB server is using, type\n";

    #[test]
    fn settings_are_read_and_compared() {
        let own = Configuration::parse(HELP);
        assert_eq!(own.value("innodb_page_size"), Some("16384"));
        assert_eq!(own.value("plugin_load"), None);
        assert_eq!(
            own.binlogs(Path::new("/var/lib/mysql")).unwrap(),
            Path::new("/var/log/mysql/mariadb-bin")
        );
        let backup = |name: &str, value: &str| {
            own.differences(&BTreeMap::from([(name.to_owned(), value.to_owned())])).join("; ")
        };
        assert_eq!(backup("innodb_page_size", "16384"), "");
        assert!(backup("innodb_page_size", "8192").contains("the page size differs"));
        assert!(backup("innodb_undo_tablespaces", "3").contains("=3, the server"));
        let words = backup("plugin_load", ";file_key_management.so");
        assert_eq!(words, "the server does not load the plugin file_key_management.so");
        let words = backup("file_key_management_filename", "/none/keys");
        assert!(words.contains("/none/keys"), "{words}");
    }
}
