//! Values as YAML, for files that people read and change: blocks instead of braces.
//!
//! A text is written without quotes only if no reader of YAML can take it for anything else;
//! otherwise it is written as in JSON, which is YAML too.

use serde_json::Value;

/// Returns documents as one file, each after a comment.
pub(crate) fn documents(documents: &[(String, Value)]) -> String {
    let one = |(comment, value): &(String, Value)| {
        let lines = comment.lines().flat_map(|line| ["# ", line, "\n"]);
        lines.collect::<String>() + &document(value)
    };
    documents.iter().map(one).collect::<Vec<_>>().join("---\n")
}

/// Returns a value as a document.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// Writes a value as lines with this many blanks before them.
fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = " ".repeat(depth);
    if let Some(plain) = scalar(value) {
        out.extend([&*indent, &plain, "\n"]);
        return;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        out.extend([&*indent, &text(key), ":"]);
        if let Some(plain) = scalar(inner) {
            out.extend([" ", &plain, "\n"]);
        } else {
            out.push('\n');
            block(inner, depth + 2, out);
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        let mut lines = String::new();
        block(inner, depth + 2, &mut lines);
        // The first line of the item stands behind its dash.
        out.extend([&*indent, "- ", lines.trim_start_matches(' ')]);
    }
}

/// Returns a value that is one word: no object or list with something in it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(word) => Some(text(word)),
        Value::Object(map) if !map.is_empty() => None,
        Value::Array(list) if !list.is_empty() => None,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

fn text(word: &str) -> String {
    let begins = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_reserved = reserved.contains(&word.to_ascii_lowercase().as_str());
    if begins && word.chars().all(is_plain) && !is_reserved {
        return word.to_owned();
    }
    Value::from(word).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_blocks_and_texts_stay_texts() {
        let value = json!({
            "a": { "b": [1, { "c": "x y", "d": ["on", "3"] }, []], "e": {} },
            "f/g": "v1.2",
            "h": null,
        });
        let expected = "a:\n  b:\n    - 1\n    - c: \"x y\"\n      d:\n        - \"on\"\n        - \
                        \"3\"\n    - []\n  e: {}\nf/g: v1.2\nh: null\n";
        assert_eq!(document(&value), expected);
        let both = documents(&[("one".to_owned(), json!(1)), ("two\nlines".to_owned(), json!(2))]);
        assert_eq!(both, "# one\n1\n---\n# two\n# lines\n2\n");
    }
}
