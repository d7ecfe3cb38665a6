//! The grammar as it is parsed and shown: it gives each command the help that fits a screen.
//!
//! `-h` shows the options of daily use. `--help` shows the command's own options in full, the names
//! of those that every command has, the examples, and the chapter of the guide. The common
//! options in full, and the variables of the environment, are shown by `haulout help options` and
//! by the manual pages.

use clap::Arg;
use haulout::guide::CHAPTERS;
use haulout::guide::Chapter;

use crate::output::text::Canvas;
use crate::output::text::wrapped;

/// Columns of the list of common options, whatever the terminal has.
const LIST_COLUMNS: usize = 80;

/// Headings of the common options, in the order in which they are listed.
const HEADINGS: [&str; 2] = ["Options for every command", "Options for object stores"];

/// Variables of the environment and what they stand for.
pub(crate) const ENVIRONMENT: [(&str, &str); 24] = [
    ("HAULOUT_REPO", "The repository, as --repo."),
    ("HAULOUT_CONFIG", "The configuration file, as --config."),
    ("HAULOUT_PASSWORD_FILE", "The password file or key file, as --password-file."),
    ("HAULOUT_PASSWORD_COMMAND", "The command that prints the password, as --password-command."),
    ("HAULOUT_PASSWORD", "The password itself, if neither of the two is given."),
    (
        "HAULOUT_NEW_PASSWORD_FILE, HAULOUT_NEW_PASSWORD_COMMAND, HAULOUT_NEW_PASSWORD",
        "The same for the new password of the key commands.",
    ),
    (
        "HAULOUT_OTHER_PASSWORD_FILE, HAULOUT_OTHER_PASSWORD_COMMAND, HAULOUT_OTHER_PASSWORD",
        "The same for the other side of replicate, if it has its own keys.",
    ),
    (
        "HAULOUT_OTHER_AWS_*, HAULOUT_OTHER_GOOGLE_*, HAULOUT_OTHER_AZURE_*",
        "The variables of object stores below, for the other side of replicate.",
    ),
    ("HAULOUT_STATE", "The directory of --state."),
    ("HAULOUT_CACHE", "The directory of --cache."),
    ("HAULOUT_LOG_FORMAT", "The form of messages, as --log-format."),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "Credentials for s3:// locations.",
    ),
    ("AWS_REGION, AWS_DEFAULT_REGION", "The region of the bucket, as --region."),
    ("AWS_ENDPOINT_URL", "The endpoint of an S3-compatible service, as --endpoint."),
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME",
        "A role that is assumed with a token, as in Kubernetes.",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "Where a container gets its credentials.",
    ),
    (
        "AWS_UNSIGNED_PAYLOAD",
        "With \"true\", the bytes of a PUT without TLS are not hashed for its signature.",
    ),
    (
        "GOOGLE_SERVICE_ACCOUNT, GOOGLE_SERVICE_ACCOUNT_KEY",
        "The file of a service account, or its contents, for gs:// locations.",
    ),
    ("GOOGLE_APPLICATION_CREDENTIALS", "The file of the application default credentials."),
    (
        "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY",
        "Account, and its key or shared access signature, for az:// locations.",
    ),
    (
        "AZURE_STORAGE_CLIENT_ID, AZURE_STORAGE_CLIENT_SECRET, AZURE_STORAGE_TENANT_ID",
        "A service principal, instead of a key.",
    ),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "Proxies for object stores."),
    ("TMPDIR", "Where temporary files are written."),
    ("NO_COLOR", "If it is set, nothing is printed in colour."),
];

/// The grammar as it was declared, from which help texts are made.
#[derive(Debug, Clone)]
pub(crate) struct Grammar {
    declared: clap::Command,
    is_about: fn(&str) -> bool,
}

impl Grammar {
    /// Creates the grammar from that of the command line, and a function that returns true for
    /// commands about the program itself.
    pub(crate) fn new(declared: clap::Command, is_about: fn(&str) -> bool) -> Self {
        Self { declared, is_about }
    }

    /// Tells whether a command is about the program itself: it opens no repository and reads no
    /// variable.
    pub(crate) fn is_about(&self, command: &str) -> bool {
        (self.is_about)(command)
    }

    /// Returns the grammar as it was declared.
    pub(crate) fn raw(&self) -> clap::Command {
        self.declared.clone()
    }

    /// Returns the grammar with another declaration, which differs in defaults.
    pub(crate) fn with(&self, declared: clap::Command) -> Self {
        Self { declared, ..self.clone() }
    }

    /// Returns the grammar with which the command line is parsed.
    pub(crate) fn shown(&self) -> clap::Command {
        let raw = self.raw();
        let list = common_list(&raw);
        let hidden = |arg: Arg| if arg.is_global_set() { arg.hide_long_help(true) } else { arg };
        let more = "More: haulout --help. A command: haulout COMMAND -h. The guide: haulout help.";
        let mut shown = with_ends(raw, None, &list).mut_args(hidden).after_help(more);
        // The commands have their copies of the common options now; the short help of the program
        // has no room for them, nor for options that are commands as well, or stand in its last
        // line.
        shown.build();
        let is_named = |arg: &Arg| arg.get_id() == "version" || arg.get_id() == "help";
        let has_room = |arg: &Arg| !arg.is_global_set() && !is_named(arg);
        shown.mut_args(|arg| if has_room(&arg) { arg } else { arg.hide_short_help(true) })
    }

    /// Returns the common options in full, and the variables of the environment.
    pub(crate) fn options(&self) -> String {
        let common = self.declared.get_arguments().filter(|arg| arg.is_global_set()).cloned();
        let mut command = clap::Command::new("haulout")
            .args(common)
            .disable_help_flag(true)
            .help_template("{all-args}")
            .max_term_width(LIST_COLUMNS);
        let mut text = command.render_long_help().to_string();
        text += "\nEnvironment:\n";
        for (names, meaning) in ENVIRONMENT {
            for line in broken(names) {
                text.extend(["  ", &line, "\n"]);
            }
            text.extend(["          ", &wrapped(meaning, 10, Canvas::PAGE), "\n"]);
        }
        text
    }
}

/// Adds the closing parts of the help texts to a command and to its own commands.
fn with_ends(command: clap::Command, verb: Option<&str>, list: &str) -> clap::Command {
    let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let see_also = see_also(verb);
    let long = format!("{list}\n{examples}\n\n{see_also}");
    let short = format!("All options: --help. {see_also}");
    let names: Vec<String> =
        command.get_subcommands().map(|nested| nested.get_name().to_owned()).collect();
    let command = command.after_long_help(long).after_help(short);
    names.into_iter().fold(command, |command, name| {
        let verb = verb.map_or(name.clone(), str::to_owned);
        command.mut_subcommand(&name, |nested| with_ends(nested, Some(&verb), list))
    })
}

fn see_also(verb: Option<&str>) -> String {
    let chapter = verb.and_then(chapter_of).map(|chapter| format!(" {chapter}"));
    format!("See also: haulout help{}", chapter.unwrap_or_default())
}

/// Returns the chapter of the guide that explains a command: the one whose last paragraph names it.
pub(crate) fn chapter_of(verb: &str) -> Option<&'static str> {
    // This chapter is made from the table of codes.
    if verb == "errors" {
        return Some("errors");
    }
    let reference = format!("`haulout {verb} --help`");
    let names = |chapter: &&Chapter| last_paragraph(chapter).contains(&reference);
    CHAPTERS.iter().find(names).map(|chapter| chapter.name)
}

fn last_paragraph(chapter: &Chapter) -> &'static str {
    chapter.text.trim_end().rsplit("\n\n").next().unwrap_or_default()
}

/// Returns the names of the common options with their values, in lines that fit: what they mean
/// would be more lines than the command's own options have.
fn common_list(grammar: &clap::Command) -> String {
    let mut out = String::new();
    for (index, heading) in HEADINGS.into_iter().enumerate() {
        let note = if index == 0 { " (in full: haulout help options)" } else { "" };
        let gap = if index == 0 { "" } else { "\n" };
        out.extend([gap, heading, note, ":\n"]);
        let own = grammar.get_arguments().filter(|arg| arg.get_help_heading() == Some(heading));
        let names: Vec<String> = own.map(listed).collect();
        out.extend(["  ", &broken(&names.join(", ")).join(",\n  "), "\n"]);
    }
    out
}

fn listed(arg: &Arg) -> String {
    let short = arg.get_short().map_or(String::new(), |short| format!("-{short}/"));
    let long = arg.get_long().unwrap_or_default();
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
    let value = value.and_then(<[_]>::first).map_or(String::new(), |name| format!(" <{name}>"));
    format!("{short}--{long}{value}")
}

/// Returns names that are separated by commas, in lines that fit.
fn broken(names: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names.split(", ") {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() + 4 < LIST_COLUMNS => {
                line.extend([", ", name]);
            }
            Some(_) | None => lines.push(name.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::verbs;

    /// Maximum number of lines that fit one screen.
    const SHORT_LINES_MAX: usize = 30;

    /// The same of the program, which has a line for each command.
    const COMMANDS_LINES_MAX: usize = 44;

    /// Maximum number of lines that a person reads through.
    const LONG_LINES_MAX: usize = 110;

    /// The same of the command that has a part for each way back: a screen of some lines more.
    const WAYS_SHORT_LINES_MAX: usize = 44;

    /// The same for its long help.
    const WAYS_LINES_MAX: usize = 180;

    /// Returns all commands with their words, the program itself included, 80 columns wide.
    fn commands() -> Vec<(String, clap::Command)> {
        let mut program = verbs::grammar().shown().term_width(80);
        program.build();
        let mut found = vec![("haulout".to_owned(), program)];
        let mut at = 0;
        while at < found.len() {
            let (words, command) = found[at].clone();
            for nested in command.get_subcommands() {
                let is_clap_own = nested.get_name() == "help" && words != "haulout";
                if !is_clap_own {
                    let nested_words = format!("{words} {}", nested.get_name());
                    found.push((nested_words, nested.clone().term_width(80)));
                }
            }
            at += 1;
        }
        found
    }

    #[test]
    fn help_fits_a_screen_and_long_help_a_few() {
        let commands = commands();
        assert!(commands.len() > 20, "{} commands", commands.len());
        let mut problems = Vec::new();
        for (words, mut command) in commands {
            let (short_max, long_max) = match words.as_str() {
                "haulout" => (COMMANDS_LINES_MAX, LONG_LINES_MAX),
                "haulout restore" => (WAYS_SHORT_LINES_MAX, WAYS_LINES_MAX),
                _ => (SHORT_LINES_MAX, LONG_LINES_MAX),
            };
            for (option, text, lines_max) in [
                ("-h", command.render_help().to_string(), short_max),
                ("--help", command.render_long_help().to_string(), long_max),
            ] {
                let lines = text.lines().count();
                if lines > lines_max {
                    problems.push(format!("{words} {option}: {lines} lines of {lines_max}"));
                }
                let wide = text.lines().filter(|line| line.chars().count() > 80);
                problems.extend(wide.map(|line| format!("{words} {option}: wide: {line}")));
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn object_stores_are_left_to_the_long_help() {
        for (words, mut command) in commands() {
            let (short, long) = (command.render_help(), command.render_long_help());
            let (short, long) = (short.to_string(), long.to_string());
            assert!(!short.contains("--endpoint <"), "{words}");
            assert!(long.contains("\nOptions for object stores:\n"), "{words}: {long}");
            assert!(
                long.contains("--endpoint <URL>") && long.contains("--memory <SIZE>"),
                "{words}"
            );
        }
    }

    #[test]
    fn help_and_guide_name_each_other_in_their_last_lines() {
        let mut named_by_help = BTreeSet::new();
        for (words, mut command) in commands() {
            let long = command.render_long_help().to_string();
            let last = long.trim_end().lines().last().unwrap_or_default();
            let chapter = last.strip_prefix("See also: haulout help").expect("it is the last line");
            // `help` leads to the list of chapters, and `errors` is made from the table of codes.
            if !["", " errors"].contains(&chapter) {
                // The commands of `key` are in its chapter with `key` itself.
                let verb: Vec<&str> = words.split(' ').take(2).collect();
                named_by_help.insert((verb.join(" "), chapter.trim().to_owned()));
            }
        }
        let mut named_by_guide = BTreeSet::new();
        for chapter in CHAPTERS {
            let commands = last_paragraph(chapter)
                .strip_prefix("Reference:")
                .expect("it is the last paragraph");
            for words in commands.split('`').skip(1).step_by(2) {
                let general = ["haulout --help", "haulout help options"];
                if !general.contains(&words) {
                    let verb = words.strip_suffix(" --help").expect("a reference").to_owned();
                    named_by_guide.insert((verb, chapter.name.to_owned()));
                }
            }
        }
        assert_eq!(named_by_help, named_by_guide);
        assert!(named_by_help.len() > 14, "{named_by_help:?}");
    }

    #[test]
    fn every_common_option_is_listed_once() {
        let raw = verbs::grammar().raw();
        let list = common_list(&raw);
        let common = raw.get_arguments().filter(|arg| arg.is_global_set());
        for option in common.filter_map(|arg| arg.get_long()) {
            let is_it = |name: &&str| {
                let name = name.trim().split(' ').next().unwrap_or_default();
                name.ends_with(&format!("--{option}"))
            };
            let names = list.lines().flat_map(|line| line.split(','));
            assert_eq!(names.filter(is_it).count(), 1, "{option}: {list}");
            assert!(verbs::grammar().options().contains(&format!("--{option}")), "{option}");
        }
        assert!(list.lines().all(|line| line.len() <= LIST_COLUMNS), "{list}");
    }

    #[test]
    fn the_variables_of_options_are_among_those_of_the_environment() {
        let text = verbs::grammar().options();
        for arg in verbs::grammar().raw().get_arguments() {
            let Some(variable) = arg.get_env().and_then(|name| name.to_str()) else { continue };
            assert!(ENVIRONMENT.iter().any(|(names, _)| *names == variable), "{variable}");
        }
        assert!(
            ENVIRONMENT.iter().all(|(names, _)| text.contains(names.split(',').next().unwrap()))
        );
        assert!(text.lines().all(|line| line.chars().count() <= LIST_COLUMNS), "{text}");
    }
}
