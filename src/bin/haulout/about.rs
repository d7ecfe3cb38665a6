//! What the program says about itself: manual pages and completions, made from its own grammar, so
//! that they can't tell anything else than `--help` does.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::verdict::finding::Code;

use crate::args::About;
use crate::args::Arguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::report::Report;
use crate::report::about::Pages;
use crate::report::about::Script;

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

/// All pages, that of the program first.
fn pages() -> Vec<Page> {
    let mut program = grammar();
    program.build();
    let mut pages = Vec::new();
    add_pages(program, &mut pages);
    pages
}

fn add_pages(command: clap::Command, pages: &mut Vec<Page>) {
    let verbs: Vec<clap::Command> =
        command.get_subcommands().filter(|verb| verb.get_name() != "help").cloned().collect();
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
