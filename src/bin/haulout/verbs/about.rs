//! What the program says about itself: manual pages and completions, made from its own grammar, so
//! that they can't tell anything else than `--help` does.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::guide;
use haulout::guide::CHAPTERS;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::ENVIRONMENT;
use crate::grammar::help_texts::chapter_of;
use crate::grammar::help_texts::grammar;
use crate::grammar::help_texts::options;
use crate::tell::guide::rendered;
use crate::tell::report::Report;
use crate::tell::text::Canvas;
use crate::tell::text::Tone;
use crate::verbs::about_report::Pages;
use crate::verbs::about_report::Script;
use crate::verbs::args::About;
use crate::verbs::args::Arguments;
use crate::verbs::errors::args as errors;
use crate::verbs::errors::args::Topic;

/// A manual page and the name of its file.
#[derive(Debug)]
pub(crate) struct Page {
    /// The name of its file.
    pub(crate) name: String,
    /// The text of the page, for `man`.
    pub(crate) text: String,
}

/// Prints the text that was asked for.
pub(crate) fn tell(about: &About, report: &Report) -> Outcome<Exit> {
    match about {
        About::Completions(typed) => {
            let mut script = Vec::new();
            clap_complete::generate(typed.shell, &mut grammar(), "haulout", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            report.completions(&Script { shell: typed.shell.to_string(), script })?;
        }
        About::Errors(typed) => {
            report.codes(&typed.code.map_or_else(Topic::all, |topic| vec![topic]))?;
        }
        About::Help(typed) => report.guide(&help(&typed.words, report.canvas())?)?,
        About::Man(typed) => {
            let pages = pages();
            match &typed.to {
                None => report.pages(&Pages::of(&pages))?,
                Some(directory) => report.written(&write(&pages, directory)?)?,
            }
        }
    }
    Ok(Exit::Done)
}

/// Returns the chapter or the reference that these words name; without words, the list of chapters.
fn help(words: &[String], canvas: Canvas) -> Outcome<String> {
    let [word, rest @ ..] = words else { return Ok(contents(canvas)) };
    let mut command = grammar();
    command.build();
    let named = |command: &clap::Command, word: &String| command.find_subcommand(word).cloned();
    if let (Some(chapter), []) = (guide::chapter(word), rest) {
        return Ok(rendered(chapter.text, canvas));
    }
    match (word.as_str(), rest) {
        ("errors", []) => return Ok(errors::chapter(canvas)),
        ("options", []) => return Ok(options()),
        _ => {}
    }
    let found = rest.iter().try_fold(named(&command, word), |found, word| {
        let command = found?;
        Some(named(&command, word))
    });
    let Some(Some(mut command)) = found else {
        let message = format!("there is no topic or command {}", words.join(" "));
        return Err(Failure::usage(message, "haulout help lists the topics"));
    };
    Ok(command.render_long_help().to_string())
}

/// Returns the list of chapters.
fn contents(canvas: Canvas) -> String {
    let others = [
        ("errors", "Errors and findings, and what to do about them"),
        ("options", "Options for every command, and variables of the environment"),
    ];
    let titles = CHAPTERS.iter().map(|chapter| (chapter.name, chapter.title));
    let line = |(name, title)| format!("  haulout help {name:<14}{title}\n");
    let lines: String = titles.chain(others).map(line).collect();
    let head = canvas.paint(Tone::Heading, "The guide");
    let commands = "haulout --help lists the commands, haulout COMMAND --help the options of one.";
    format!("{head}\n\n{lines}\n{commands}\n")
}

/// Returns all pages; the page of the program comes first.
fn pages() -> Vec<Page> {
    let mut program = Arguments::command();
    program.build();
    let mut pages = Vec::new();
    add_pages(program, None, &mut pages);
    pages
}

/// Adds the page of a command, which belongs to a verb, and those of its own commands.
fn add_pages(command: clap::Command, verb: Option<&str>, pages: &mut Vec<Page>) {
    // The help commands of nested commands are clap's own and have no example.
    let is_ours =
        |verb: &&clap::Command| verb.get_name() != "help" || verb.get_after_long_help().is_some();
    let nested: Vec<clap::Command> = command.get_subcommands().filter(is_ours).cloned().collect();
    pages.push(page(command, verb));
    for command in nested {
        let name = command.get_name().to_owned();
        add_pages(command, Some(verb.unwrap_or(&name)), pages);
    }
}

fn page(command: clap::Command, verb: Option<&str>) -> Page {
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
    if verb.is_none_or(|verb| !OF_THE_PROGRAM.contains(&verb)) {
        text += &environment_section();
    }
    text += &examples_section(&examples);
    let chapter = verb.and_then(chapter_of).map(|chapter| format!(" {chapter}"));
    text += ".SH \"SEE ALSO\"\n";
    text += &escaped(&format!("haulout help{}", chapter.unwrap_or_default()));
    Page { name, text }
}

/// Names of commands that open no repository and read no variable.
const OF_THE_PROGRAM: [&str; 4] = ["completions", "errors", "help", "man"];

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

    fn help_of(line: &str) -> Outcome<String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        help(&words, Canvas::FILE)
    }

    #[test]
    fn help_finds_chapters_first_and_commands_of_any_depth() {
        for chapter in CHAPTERS {
            assert!(help_of(chapter.name).unwrap().starts_with(chapter.text));
            assert!(help_of("").unwrap().contains(&format!("help {} ", chapter.name)));
        }
        assert!(help_of("options").unwrap().contains("--insecure-permissions"));
        assert!(help_of("snapshots").unwrap().contains("Usage: haulout snapshots"));
        assert!(help_of("key add").unwrap().contains("Usage: haulout key add"));
        assert!(help_of("errors").unwrap().contains("format-changed"));
        for unknown in ["xyzzy", "key xyzzy", "glossary xyzzy"] {
            assert_eq!(help_of(unknown).unwrap_err().kind(), ErrorKind::Usage, "{unknown}");
        }
    }

    #[test]
    fn every_command_has_a_page_with_its_example() {
        let pages = pages();
        assert_eq!(pages[0].name, "haulout.1");
        for verb in grammar().get_subcommands() {
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
        for Page { name, text } in pages() {
            let opens_a_repository =
                !OF_THE_PROGRAM.iter().any(|verb| name == format!("haulout-{verb}.1"));
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
