//! Of `errors`.

use clap::Args;

use haulout::verdict::finding::Code;

use crate::text::Canvas;
use crate::text::Tone;
use crate::text::wrapped;

/// Explain the findings, and what to do about them
#[derive(Debug, Args)]
#[command(long_about = about(), after_help = EXAMPLE)]
pub(crate) struct ErrorsArguments {
    /// Explain this code only
    #[arg(value_name = "CODE", value_parser = code)]
    pub(crate) code: Option<Code>,
}

const EXAMPLE: &str = "\
Examples:
  haulout errors format-changed
  haulout help errors | less";

const HEAD: &str = "\
Explain the findings, and what to do about them.

A finding has a code, an object, a text and a severity. It never changes the verdict. A backup with
a warning exits with 3; a note has no such effect. `backup --accept CODE[:GLOB]` turns warnings that
are expected into notes; those marked with + can be accepted.";

const INDENT: &str = "  ";

fn about() -> String {
    format!("{HEAD}\n\n{}", explained(Code::ALL, Canvas::PAGE))
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
        let help = about();
        for code in Code::ALL {
            assert!(help.contains(&format!("\n{code} (")), "{code}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
}
