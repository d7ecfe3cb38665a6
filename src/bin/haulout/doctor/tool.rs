//! The version of a producer's program against that of its server.
//!
//! mariabackup reads the files of the server: it must know their format, which changes between
//! release series, and now and then within one.

use std::fmt;

use crate::doctor::finding::Finding;

/// The name of the check.
const CHECK: &str = "versions";

/// A version of MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Finds the first version with three numbers in a text.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut numbers = word.split('.').map(|number| number.parse().ok());
            let (major, minor) = (numbers.next()??, numbers.next()??);
            Some(Self { major, minor, patch: numbers.next()?? })
        })
    }

    /// Returns the release series: the first two numbers.
    pub(crate) fn series(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

/// A program and what it said about its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The name of the program.
    pub(crate) program: String,
    /// Its answer to `--version`, or why there is none.
    pub(crate) answer: Result<String, String>,
}

/// Whether a program reads the files of the server, or only speaks with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It reads the files, and must know their format.
    Files,
    /// It sends statements only.
    Statements,
}

/// Compares a program with its server.
pub(crate) fn judge(server: &str, tool: &Tool, reads: Reads) -> Finding {
    let program = &tool.program;
    let answer = match &tool.answer {
        Ok(answer) => answer,
        Err(why) => return without_program(program, why),
    };
    let (Some(own), Some(wanted)) = (Version::find(answer), Version::find(server)) else {
        return Finding::not_checked(
            CHECK,
            format!("server {server}; {program} says {}", answer.trim()),
        );
    };
    let both = format!("server {wanted}, {program} {own}");
    if !server.contains("MariaDB") && reads == Reads::Files {
        let hint = "back up a server that is not MariaDB by a dump, or by its own tool";
        return Finding::failed(CHECK, format!("{both}: the server is not MariaDB"), hint);
    }
    if own.series() != wanted.series() && reads == Reads::Files {
        let hint = format!("install the package of {program} that belongs to the server");
        return Finding::failed(CHECK, format!("{both}: not of the same series"), hint);
    }
    if own < wanted {
        let hint = format!("bring {program} up to the version of the server");
        return Finding::warning(CHECK, format!("{both}: older than the server"), hint);
    }
    Finding::good(CHECK, both)
}

/// Judges a program whose server could not be asked.
pub(crate) fn judge_alone(tool: &Tool) -> Finding {
    let program = &tool.program;
    match &tool.answer {
        Ok(answer) => {
            let version = Version::find(answer).map_or(String::new(), |own| format!(" {own}"));
            Finding::good("program", format!("{program}{version}"))
        }
        Err(why) => without_program(program, why),
    }
}

fn without_program(program: &str, why: &str) -> Finding {
    Finding::failed(
        "program",
        format!("{program} can't be run: {why}"),
        "install it, or name its path with program in the source",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    const BACKUP: &str =
        "mariabackup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)";

    fn state(server: &str, answer: Result<&str, &str>, reads: Reads) -> State {
        let answer = answer.map(str::to_owned).map_err(str::to_owned);
        judge(server, &Tool { program: "tool".to_owned(), answer }, reads).state
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, found) in [
            (BACKUP, Some("10.11.19")),
            (
                "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                Some("10.11.19"),
            ),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", Some("11.4.2")),
            ("5.5.5-10.6.1-MariaDB-log", Some("5.5.5")),
            ("version 1.2", None),
            ("", None),
        ] {
            assert_eq!(Version::find(text).map(|found| found.to_string()).as_deref(), found);
        }
    }

    #[test]
    fn a_tool_that_reads_files_must_be_of_the_series_of_the_server() {
        for (server, files, statements) in [
            ("10.11.19-MariaDB-log", State::Good, State::Good),
            ("10.11.3-MariaDB", State::Good, State::Good),
            ("10.11.20-MariaDB", State::Warning, State::Warning),
            ("11.4.2-MariaDB", State::Failed, State::Warning),
            ("10.6.2-MariaDB", State::Failed, State::Good),
            ("8.0.36", State::Failed, State::Good),
            ("unknown", State::NotChecked, State::NotChecked),
        ] {
            assert_eq!(state(server, Ok(BACKUP), Reads::Files), files, "{server}");
            assert_eq!(state(server, Ok(BACKUP), Reads::Statements), statements, "{server}");
        }
        assert_eq!(state("10.11.19-MariaDB", Err("it is not there"), Reads::Files), State::Failed);
    }
}
