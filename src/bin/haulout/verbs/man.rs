//! `man`: prints the manual pages, made from the grammar, so that they can't tell anything else
//! than `--help` does.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;
use haulout::error::Error;
use haulout::error::ErrorKind;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::ENVIRONMENT;
use crate::grammar::help_texts::Grammar;
use crate::grammar::help_texts::chapter_of;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;

const EXAMPLE: &str = "\
Examples:
  haulout man | man -l -
  haulout man --to /usr/local/share/man/man1";

/// Print the manual pages
///
/// One for the program and one for each command, made from the same texts as --help.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct ManArguments {
    /// Write them into this directory instead, a file each
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

/// A manual page and the name of its file.
#[derive(Debug)]
struct Page {
    /// The name of its file.
    name: String,
    /// The text of the page, for `man`.
    text: String,
}

/// The JSON report of `man`.
#[derive(Debug, Serialize)]
struct Pages<'r> {
    pages: Vec<PageText<'r>>,
}

#[derive(Debug, Serialize)]
struct PageText<'r> {
    name: &'r str,
    text: &'r str,
}

/// The JSON report of `man --to`.
#[derive(Debug, Serialize)]
struct Written<'r> {
    written: &'r [String],
}

impl ManArguments {
    /// Prints the pages, or writes them to files.
    pub(crate) fn run(&self, grammar: &Grammar, report: &Report) -> Outcome<Exit> {
        let pages = pages(grammar);
        if let Some(directory) = &self.to {
            let written = &write(&pages, directory)?;
            report.result(&Written { written }, || {
                written.iter().flat_map(|path| [path.as_str(), "\n"]).collect()
            })?;
            return Ok(Exit::Done);
        }
        // They are the result, however quiet the program is to be.
        match report.format {
            Format::Json => print_json(&Pages::of(&pages))?,
            Format::Text => pages.iter().try_for_each(|page| print(&page.text))?,
        }
        Ok(Exit::Done)
    }
}

impl<'r> Pages<'r> {
    /// Creates the report of these pages.
    fn of(pages: &'r [Page]) -> Self {
        let text_of = |page: &'r Page| PageText { name: &page.name, text: &page.text };
        Pages { pages: pages.iter().map(text_of).collect() }
    }
}

/// Returns all pages; the page of the program comes first.
fn pages(grammar: &Grammar) -> Vec<Page> {
    let mut program = grammar.raw();
    program.build();
    let mut pages = Vec::new();
    add_pages(grammar, program, None, &mut pages);
    pages
}

/// Adds the page of a command, which belongs to a verb, and those of its own commands.
fn add_pages(grammar: &Grammar, command: clap::Command, verb: Option<&str>, pages: &mut Vec<Page>) {
    // The help commands of nested commands are clap's own and have no example.
    let is_ours =
        |verb: &&clap::Command| verb.get_name() != "help" || verb.get_after_long_help().is_some();
    let nested: Vec<clap::Command> = command.get_subcommands().filter(is_ours).cloned().collect();
    pages.push(page(grammar, command, verb));
    for command in nested {
        let name = command.get_name().to_owned();
        add_pages(grammar, command, Some(verb.unwrap_or(&name)), pages);
    }
}

fn page(grammar: &Grammar, command: clap::Command, verb: Option<&str>) -> Page {
    let name = format!("{}.1", command.get_display_name().unwrap_or(command.get_name()));
    let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    // A page is complete: it shows what the short help leaves out.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    let has_commands = command.has_subcommands();
    let man = Man::new(command);
    let mut text = Vec::new();
    let write_sections = |out: &mut Vec<u8>| -> io::Result<()> {
        man.render_title(out)?;
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
        if has_commands { man.render_subcommands_section(out) } else { Ok(()) }
    };
    write_sections(&mut text).expect("memory can be written");
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if verb.is_none_or(|verb| !grammar.is_about(verb)) {
        text += &environment_section();
    }
    text += &examples_section(&examples);
    let chapter = verb.and_then(chapter_of).map(|chapter| format!(" {chapter}"));
    text += ".SH \"SEE ALSO\"\n";
    text += &escaped(&format!("haulout help{}", chapter.unwrap_or_default()));
    Page { name, text }
}

/// Returns text with the characters that `man` takes for commands or hyphens escaped.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            out += "\\&";
        }
        out += &line.replace('\\', "\\e").replace('-', "\\-");
        out.push('\n');
    }
    out
}

fn environment_section() -> String {
    let mut out = ".SH ENVIRONMENT\n".to_owned();
    for (names, meaning) in ENVIRONMENT {
        // Lines are broken between names, not within them.
        let names = names.replace(", ", ", \\%");
        out.extend([".TP\n.B \\%", &names, "\n", &escaped(meaning)]);
    }
    out
}

/// Returns the examples as they are typed: `man` neither fills nor hyphenates them. Paragraphs
/// after them are prose.
fn examples_section(examples: &str) -> String {
    let mut out = ".SH EXAMPLES\n".to_owned();
    for paragraph in examples.split("\n\n") {
        let mut lines = paragraph.lines().peekable();
        lines.next_if(|line| matches!(*line, "Example:" | "Examples:"));
        let is_code = lines.peek().is_some_and(|line| line.starts_with("  "));
        let text: String = lines.map(|line| escaped(line.trim_start())).collect();
        let (begin, end) = if is_code { (".nf\n", ".fi\n") } else { (".PP\n", "") };
        out.extend([begin, &text, end]);
    }
    out
}

fn write(pages: &[Page], directory: &Path) -> Outcome<Vec<String>> {
    let unwritable = |path: &Path, e: io::Error| {
        Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(e)
    };
    fs::create_dir_all(directory).map_err(|e| unwritable(directory, e))?;
    let mut written = Vec::new();
    for page in pages {
        let path = directory.join(&page.name);
        fs::write(&path, &page.text).map_err(|e| unwritable(&path, e))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs;

    #[test]
    fn every_command_has_a_page_with_its_example() {
        let pages = pages(&verbs::grammar());
        assert_eq!(pages[0].name, "haulout.1");
        for verb in verbs::grammar().shown().get_subcommands() {
            let name = format!("haulout-{}.1", verb.get_name());
            let page = pages.iter().find(|page| page.name == name).expect("each has a page");
            assert!(page.text.contains(".SH EXAMPLES\n.nf\nhaulout"), "{name}: {}", page.text);
            assert!(page.text.contains(".SH \"SEE ALSO\"\nhaulout help"), "{name}");
            for nested in verb.get_subcommands() {
                let name = format!("haulout-{}-{}.1", verb.get_name(), nested.get_name());
                assert!(pages.iter().any(|page| page.name == name), "{name}");
            }
        }
    }

    #[test]
    fn a_page_names_every_variable_and_explains_every_option() {
        let grammar = verbs::grammar();
        for Page { name, text } in pages(&grammar) {
            let name_of = name.trim_start_matches("haulout-").trim_end_matches(".1");
            let verb = name_of.split_once('-').map_or(name_of, |(verb, _)| verb);
            let opens_a_repository = !grammar.is_about(verb);
            assert_eq!(text.contains(".SH ENVIRONMENT\n"), opens_a_repository, "{name}");
            for (names, _) in ENVIRONMENT.iter().filter(|_| opens_a_repository) {
                let named = |variable: &str| text.contains(&format!("\\%{variable}"));
                assert!(names.split(", ").all(named), "{name}: {names}");
            }
            assert!(text.contains("Accept password files that others can read"), "{name}");
        }
    }

    #[test]
    fn an_example_is_neither_filled_nor_hyphenated() {
        let examples = "Examples:\n  haulout a --b \\\n  .c\n\nProse.";
        let section = examples_section(examples);
        let wanted = ".SH EXAMPLES\n.nf\nhaulout a \\-\\-b \\e\n\\&.c\n.fi\n.PP\nProse.\n";
        assert_eq!(section, wanted);
    }
}
