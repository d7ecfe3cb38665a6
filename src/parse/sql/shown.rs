//! Statements and lines of a dump as people see them.

/// Bytes of a statement or line that are shown to people.
const SHOWN_BYTES_MAX: usize = 200;

/// Returns the beginning of a statement or line for people: one line, and nothing that a terminal
/// takes for a command.
pub(super) fn shown(bytes: &[u8]) -> String {
    let line = bytes.trim_ascii().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (line, more) = match line.split_at_checked(SHOWN_BYTES_MAX) {
        Some((line, rest)) if !rest.is_empty() => (line, "..."),
        _ => (line, ""),
    };
    let text = String::from_utf8_lossy(line);
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.trim_end().chars().map(plain).collect::<String>() + more
}
