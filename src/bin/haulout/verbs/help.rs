//! `help`: prints a chapter of the guide, or the reference of a command.

use clap::Args;
use haulout::guide;
use haulout::guide::CHAPTERS;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::Grammar;
use crate::output::guide::rendered;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;
use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::verbs::errors;

const EXAMPLE: &str = "\
Examples:
  haulout help
  haulout help backup | less
  haulout help errors";

/// Print a chapter of the guide, or the reference of a command
///
/// Without a topic, lists the chapters. A word that is no chapter is taken for a command.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct HelpArguments {
    /// A chapter of the guide, or a command
    #[arg(value_name = "TOPIC")]
    pub(crate) words: Vec<String>,
}

/// The JSON report of `help`.
#[derive(Debug, Serialize)]
struct Guide<'r> {
    text: &'r str,
}

impl HelpArguments {
    /// Prints a chapter of the guide, or the reference of a command.
    pub(crate) fn run(&self, grammar: &Grammar, report: &Report) -> Outcome<Exit> {
        let text = &help(&self.words, grammar, report.canvas)?;
        match report.format {
            Format::Json => print_json(&Guide { text })?,
            Format::Text => print(text)?,
        }
        Ok(Exit::Done)
    }
}

/// Returns the chapter or the reference that these words name; without words, the list of chapters.
fn help(words: &[String], grammar: &Grammar, canvas: Canvas) -> Outcome<String> {
    let [word, rest @ ..] = words else { return Ok(contents(canvas)) };
    let mut command = grammar.shown();
    command.build();
    let named = |command: &clap::Command, word: &String| command.find_subcommand(word).cloned();
    if let (Some(chapter), []) = (guide::chapter(word), rest) {
        return Ok(rendered(chapter.text, canvas));
    }
    match (word.as_str(), rest) {
        ("errors", []) => return Ok(errors::chapter(canvas)),
        ("options", []) => return Ok(grammar.options()),
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

#[cfg(test)]
mod tests {
    use haulout::error::ErrorKind;

    use super::*;

    use crate::verbs;

    fn help_of(line: &str) -> Outcome<String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        help(&words, &verbs::grammar(), Canvas::FILE)
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
}
