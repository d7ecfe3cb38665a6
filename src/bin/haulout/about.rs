//! What the program says about itself: manual pages and completions, made from its own grammar, so
//! that they can't tell anything else than `--help` does.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::guide;
use haulout::guide::CHAPTERS;
use haulout::verdict::finding::Code;

use crate::args::About;
use crate::args::Arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::guide::rendered;
use crate::report::Report;
use crate::report::about::Pages;
use crate::report::about::Script;
use crate::text::Canvas;
use crate::text::Tone;

/// A manual page.
#[derive(Debug)]
pub(crate) struct Page {
    /// What its file is called.
    pub(crate) name: String,
    /// Its text, for `man`.
    pub(crate) text: String,
}

/// Tells what was asked for.
pub(crate) fn tell(about: &About, report: &Report) -> Outcome<Exit> {
    match about {
        About::Completions(typed) => {
            let mut script = Vec::new();
            clap_complete::generate(typed.shell, &mut grammar(), "haulout", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            report.completions(&Script { shell: typed.shell.to_string(), script })?;
        }
        About::Errors(typed) => {
            report.codes(typed.code.as_ref().map_or(Code::ALL, std::slice::from_ref))?;
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

fn grammar() -> clap::Command {
    Arguments::command()
}

/// Returns the chapter or the reference that these words name; without words, the list of chapters.
fn help(words: &[String], canvas: Canvas) -> Outcome<String> {
    let [word, rest @ ..] = words else { return Ok(contents(canvas)) };
    let mut command = grammar();
    command.build();
    let named = |command: &clap::Command, word: &String| command.find_subcommand(word).cloned();
    let reference = named(&command, word);
    if let (Some(chapter), []) = (guide::chapter(word), rest) {
        let text = rendered(chapter.text, canvas);
        let options = reference.map(|_| format!("\nAll options: haulout {word} --help\n"));
        return Ok(text + options.as_deref().unwrap_or_default());
    }
    let found = rest.iter().try_fold(reference, |found, word| {
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
    let errors = ("errors", "Findings, and what to do about them");
    let titles = CHAPTERS.iter().map(|chapter| (chapter.name, chapter.title));
    let line = |(name, title)| format!("  haulout help {name:<14}{title}\n");
    let lines: String = titles.chain([errors]).map(line).collect();
    let head = canvas.paint(Tone::Heading, "The guide");
    let commands = "haulout --help lists the commands, haulout COMMAND --help the options of one.";
    format!("{head}\n\n{lines}\n{commands}\n")
}

/// All pages, that of the program first.
fn pages() -> Vec<Page> {
    let mut program = grammar();
    program.build();
    let mut pages = Vec::new();
    add_pages(program, &mut pages);
    pages
}

fn add_pages(command: clap::Command, pages: &mut Vec<Page>) {
    // The help commands of nested commands are clap's own and have no example.
    let is_ours =
        |verb: &&clap::Command| verb.get_name() != "help" || verb.get_after_help().is_some();
    let verbs: Vec<clap::Command> = command.get_subcommands().filter(is_ours).cloned().collect();
    pages.push(page(command));
    verbs.into_iter().for_each(|verb| add_pages(verb, pages));
}

fn page(command: clap::Command) -> Page {
    let name = format!("{}.1", command.get_display_name().unwrap_or(command.get_name()));
    let mut text = Vec::new();
    Man::new(command).render(&mut text).expect("memory can be written");
    // Behind the options stand our examples.
    let text = String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n");
    Page { name, text }
}

fn write(pages: &[Page], directory: &Path) -> Outcome<Vec<String>> {
    let unwritable = |path: &Path, e: std::io::Error| {
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
        assert!(help_of("backup").unwrap().ends_with("haulout backup --help\n"));
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
            assert!(page.text.contains(".SH EXAMPLES"), "{name}");
            for nested in verb.get_subcommands() {
                let name = format!("haulout-{}-{}.1", verb.get_name(), nested.get_name());
                assert!(pages.iter().any(|page| page.name == name), "{name}");
            }
        }
    }
}
