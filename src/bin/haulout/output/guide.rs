//! A chapter of the guide on a terminal: paragraphs as wide as it is, commands unbroken, tables
//! lined up where they fit and row by row where they do not.
//!
//! A file or a pipe gets the chapter as it is written, in Markdown.

use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::text::wrapped;

const INDENT: usize = 2;

/// Returns the text of a chapter for this canvas.
pub(crate) fn rendered(markdown: &str, canvas: Canvas) -> String {
    let Some(columns) = canvas.columns else { return markdown.to_owned() };
    let mut out = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                out += format!("    {code}").trim_end();
                out.push('\n');
            }
        } else if let Some(title) = line.strip_prefix('#') {
            out += &canvas.paint(Tone::Heading, title.trim_start_matches('#').trim_start());
            out.push('\n');
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            // Below the headings stands a line of dashes.
            rows.remove(1);
            out += &table(&rows, columns, canvas);
        } else if line.is_empty() {
            out.push('\n');
        } else {
            let mut paragraph = line.to_owned();
            let goes_on = |line: &&str| {
                !line.is_empty()
                    && !["- ", "|", "#", "```"].iter().any(|mark| line.starts_with(mark))
            };
            while let Some(more) = lines.next_if(goes_on) {
                paragraph.push(' ');
                paragraph += more.trim_start();
            }
            let indent = if paragraph.starts_with("- ") { INDENT } else { 0 };
            let (mark, text) = paragraph.split_at(indent);
            out += mark;
            out += &wrapped(text, indent, canvas);
            out.push('\n');
        }
    }
    out
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// Lines up a table, or writes each row as a paragraph if the terminal is too narrow.
fn table(rows: &[Vec<&str>], columns: usize, canvas: Canvas) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    if widths.iter().sum::<usize>() + 2 * count.saturating_sub(1) <= columns {
        for row in rows {
            let cell = |(cell, width): (&&str, &usize)| format!("{cell:width$}  ");
            let line: String = row.iter().zip(&widths).map(cell).collect();
            out += line.trim_end();
            out.push('\n');
        }
        return out;
    }
    let Some((titles, rows)) = rows.split_first() else { return out };
    for row in rows {
        let Some((first, others)) = row.split_first() else { continue };
        out += &wrapped(first, 0, canvas);
        out.push('\n');
        for (title, cell) in titles.iter().skip(1).zip(others).filter(|(_, cell)| !cell.is_empty())
        {
            out.extend(std::iter::repeat_n(' ', INDENT));
            out += &wrapped(&format!("{title}: {cell}"), 2 * INDENT, canvas);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use haulout::guide::CHAPTERS;

    use super::*;
    use crate::verbs;

    /// Returns the words of the command that a line begins with, split as a shell does.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let (mut word, mut quoted) = (None::<String>, false);
        for character in line.chars() {
            match character {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                '|' | '>' | '#' | '&' if !quoted && word.is_none() => break,
                ' ' if !quoted => words.extend(word.take()),
                _ => word.get_or_insert_default().push(character),
            }
        }
        words.into_iter().chain(word).collect()
    }

    /// Returns the commands of this program in the examples of a chapter, and in its prose.
    fn commands(text: &str) -> Vec<String> {
        let joined = text.replace(" \\\n", " ");
        let mut commands = Vec::new();
        let mut in_code = false;
        for line in joined.lines() {
            if line.starts_with("```") {
                in_code = line.starts_with("```sh") || line.starts_with("```ini");
            } else if in_code {
                let begins = [" haulout ", "/haulout "].iter().filter_map(|at| line.find(at));
                let begin = if line.starts_with("haulout ") { Some(0) } else { None };
                let begin = begin.or_else(|| begins.map(|at| at + 1).min());
                commands.extend(begin.map(|at| line[at..].to_owned()));
            } else {
                let inline = line.split('`').skip(1).step_by(2);
                commands
                    .extend(inline.filter(|code| code.starts_with("haulout ")).map(str::to_owned));
            }
        }
        commands
    }

    #[test]
    #[expect(clippy::wildcard_enum_match_arm, reason = "clap adds kinds")]
    fn every_command_of_the_texts_is_one_that_the_program_knows() {
        let mut count = 0;
        let readme = ("README", include_str!("../../../../README.md"));
        let chapters = CHAPTERS.iter().map(|chapter| (chapter.name, chapter.text));
        for (name, text) in chapters.chain([readme]) {
            for command in commands(text) {
                count += 1;
                let words = words(&command);
                // Prose names a command without what it requires.
                let is_name = words.len() == 2;
                let is_fine = |kind| match kind {
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                    ErrorKind::MissingRequiredArgument
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => is_name,
                    _ => false,
                };
                let parsed = verbs::grammar().shown().try_get_matches_from(words);
                let refused = parsed.err().filter(|error| !is_fine(error.kind()));
                assert!(refused.is_none(), "{name}: {command}: {refused:?}");
            }
        }
        assert!(count > 40, "only {count} commands were found");
    }

    #[test]
    fn a_chapter_fits_a_terminal_and_keeps_its_commands() {
        for columns in [60, 80, 200] {
            let canvas = Canvas::PAGE.with_columns(columns);
            for chapter in CHAPTERS {
                let text = rendered(chapter.text, canvas);
                let prose = text.lines().filter(|line| !line.starts_with("    "));
                for line in prose.filter(|line| line.contains(' ')) {
                    let width = line.chars().count();
                    assert!(width <= columns, "{} at {columns}: {line}", chapter.name);
                }
                assert!(!text.contains("```") && !text.contains("| ---"), "{}", chapter.name);
            }
        }
        assert_eq!(rendered("# A\n\n| a |\n", Canvas::FILE), "# A\n\n| a |\n");
    }
}
