//! Of `errors`.

use clap::Args;

use haulout::verdict::finding::Code;

use crate::text::Canvas;
use crate::text::Tone;
use crate::text::wrapped;

/// Explain the findings, and what to do about them
#[derive(Debug, Args)]
#[command(long_about = HEAD, after_long_help = EXAMPLE)]
pub(crate) struct ErrorsArguments {
    /// Explain this code only
    #[arg(value_name = "CODE", value_parser = code)]
    pub(crate) code: Option<Code>,
}

const EXAMPLE: &str = "\
Examples:
  haulout errors format-changed
  haulout errors | less";

const HEAD: &str = "\
Explain the findings, and what to do about them.

A finding has a code, an object, a text and a severity. It never changes the verdict. A backup \
with a warning exits with 3; a note has no such effect. `backup --accept CODE[:GLOB]` turns \
warnings that are expected into notes; those marked with + can be accepted.";

const INDENT: &str = "  ";

/// Columns of the chapter in a file.
const PAGE_COLUMNS: usize = 80;

/// Returns the chapter about all codes.
pub(crate) fn chapter(canvas: Canvas) -> String {
    let columns = canvas.columns.unwrap_or(PAGE_COLUMNS);
    let fitted = |paragraph| wrapped(paragraph, 0, canvas.with_columns(columns)) + "\n\n";
    let head: String = HEAD.split("\n\n").map(fitted).collect();
    head + &explained(Code::ALL, canvas)
}

fn code(text: &str) -> Result<Code, String> {
    text.parse().map_err(|_| "there is no such code; haulout errors lists them".to_owned())
}

/// Explains codes.
pub(crate) fn explained(codes: &[Code], canvas: Canvas) -> String {
    let explain = |code: &Code| {
        let indented = |text| wrapped(text, INDENT.len(), canvas);
        let mark = if code.can_be_accepted() { " +" } else { "" };
        format!(
            "{} ({}){mark}\n{INDENT}{}\n{INDENT}{}\n",
            canvas.paint(Tone::Heading, code.as_str()),
            code.severity(),
            indented(code.meaning()),
            indented(code.advice())
        )
    };
    codes.iter().map(explain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_explains_every_code() {
        let help = chapter(Canvas::PAGE);
        for code in Code::ALL {
            assert!(help.contains(&format!("\n{code} (")), "{code}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
        assert!(help.contains("\n\nA finding has a code, an object"), "{help}");
    }
}
