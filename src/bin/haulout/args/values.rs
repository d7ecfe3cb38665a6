//! Values of options that several commands take: their grammar, and why one is refused.

/// Longest name of a source and longest tag, bytes: both stand in the snapshot, which is small.
const WORD_BYTES_MAX: usize = 255;

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > WORD_BYTES_MAX {
        return Err(format!("it is longer than {WORD_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A tag.
pub(crate) fn tag(text: &str) -> Result<String, String> {
    word(text)
}

/// The name of a source.
pub(crate) fn source_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("it has an @, which stands for \"snapshot of\" (NAME@latest)".to_owned());
    }
    word(text)
}

/// The label of a key.
pub(crate) fn label(text: &str) -> Result<String, String> {
    word(text)
}
