//! The tone of every message: errors, their hints, and what commands warn of.
//!
//! Lower case, no full stop, no exclamation, no apology, one line; a hint says what to do. The test
//! reads the source and takes every text that is handed to the makers of errors, so that none is
//! forgotten. Whether each names its object nobody can read from the source; that it can, by a
//! placeholder or by a word, is asked of the longer ones.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// What makes an error or a hint out of the texts between its parentheses.
const MAKERS: [&str; 9] = [
    "Error::new(",
    "Error::damaged(",
    "Failure::new(",
    "Failure::usage(",
    ".named(",
    "malformed(",
    "#[error(",
    "console.warning(",
    "console.note(",
];

/// Names that are written with a capital wherever they stand.
const PROPER: [&str; 11] =
    ["LSN", "GTID", "CRC", "HAULTAIL", "HAULPACK", "HAULOUT", "JSON", "InnoDB", "Aria", "URL", "E"];

/// Words that tell a person nothing, or blame.
const UNHELPFUL: [&str; 8] =
    ["please", "sorry", "oops", "illegal", "bad ", "simply", "failed to", "unable to"];

/// Words of a private dialect, for which the field has plain ones.
const PRIVATE: [&str; 10] = [
    "anew",
    "so many",
    "whoever",
    "on its way",
    "on their way",
    "what came of",
    " is told",
    " are told",
    "sees to it",
    "meanwhile,",
];

struct Message {
    place: String,
    text: String,
}

#[test]
fn every_message_is_in_the_right_tone() {
    let mut messages = Vec::new();
    for path in sources(Path::new("src")) {
        collect(&path, &mut messages);
    }
    assert!(messages.len() > 150, "{} messages were found", messages.len());
    let mut problems = Vec::new();
    for Message { place, text } in &messages {
        if let Some(problem) = problem(text) {
            problems.push(format!("{place}: {problem}: {text:?}"));
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        messages.len(),
        problems.join("\n")
    );
}

fn problem(text: &str) -> Option<&'static str> {
    let first = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let has_capital = first.starts_with(|c: char| c.is_ascii_uppercase());
    if has_capital && !PROPER.contains(&first) {
        return Some("begins with a capital");
    }
    if text.ends_with(['.', '!', ' ']) || text.contains('!') {
        return Some("ends like a sentence, or shouts");
    }
    if text.contains("  ") || text.contains('\n') {
        return Some("has a gap or a line break");
    }
    let lower = text.to_lowercase();
    if UNHELPFUL.iter().any(|word| lower.contains(word)) {
        return Some("has a word that helps nobody");
    }
    if PRIVATE.iter().any(|word| lower.contains(word)) {
        return Some("has a word of a private dialect");
    }
    if text.contains(". ") {
        return Some("is two sentences");
    }
    None
}

/// The texts that makers get in a file, without its tests.
fn collect(path: &Path, messages: &mut Vec<Message>) {
    let source = fs::read_to_string(path).expect("sources are text");
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    for maker in MAKERS {
        for (at, _) in source.match_indices(maker) {
            let line = source[..at].matches('\n').count() + 1;
            // Not the maker's own definition.
            if source[..at].ends_with("fn ") {
                continue;
            }
            for text in texts(&source[at + maker.len()..]) {
                let place = format!("{}:{line}", path.display());
                messages.push(Message { place, text });
            }
        }
    }
}

/// The string literals up to the parenthesis that ends the call; format strings as they are.
fn texts(call: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 1;
    let mut rest = call.chars();
    while let Some(character) = rest.next() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => found.push(literal(&mut rest)),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    // Parts of sentences and separators are judged with the whole.
    found.retain(|text| text.len() > 3 && text.contains(' '));
    found
}

/// A string literal whose opening quote was read.
fn literal(rest: &mut std::str::Chars<'_>) -> String {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '"' => break,
            '\\' => match rest.next() {
                Some('\n') => {
                    let ahead = rest.as_str();
                    *rest = ahead.trim_start().chars();
                }
                Some('n') => text.push('\n'),
                Some(escaped) => text.push(escaped),
                None => break,
            },
            plain => text.push(plain),
        }
    }
    text
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("src is readable") {
        let path = entry.expect("the entry is readable").path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
        if path.is_dir() && !is_test {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !is_test {
            found.push(path);
        }
    }
    found
}
