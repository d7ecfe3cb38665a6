//! The judgement on what stands before a stream, or is missing there.
//!
//! | before | verdict | finding |
//! |---|---|---|
//! | comments and statements, then a dump | stays | a note |
//! | text, then a dump | stays: each table can be restored without the text | a warning |
//! | an error of the dump program, then a dump | partial | a warning |
//! | text, then anything else | partial: no other program can read it | a warning |
//! | first bytes that are lost | partial | none |
//! | nothing, and the stream is in UTF-16 | partial | none |

use crate::parse::beginning::Before;
use crate::parse::beginning::Text;
use crate::parse::beginning::What;
use crate::parse::sql::is_dump_error;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::Severity;
use crate::verdict::reason::beginning::BeginningReason;

/// Judges the beginning of a stream.
pub(super) fn judge(before: &Before, conclusion: &mut Conclusion) {
    if let Some(reason) = reason(before) {
        conclusion.lead_with(reason);
    }
    conclusion.findings.extend(finding(before));
}

/// Returns why the beginning spoils the stream, if it does.
fn reason(before: &Before) -> Option<BeginningReason> {
    match before {
        Before::Nothing | Before::Lines(_) => None,
        Before::Lost(what) => Some(BeginningReason::Lost(*what)),
        Before::Recoded(what) => Some(BeginningReason::Recoded(*what)),
        Before::Foreign(Text { quoted, .. }, What::Dump) => {
            is_dump_error(quoted.as_bytes()).then(|| BeginningReason::DumpError(quoted.clone()))
        }
        Before::Foreign(Text { bytes, quoted, .. }, what) => {
            Some(BeginningReason::Text { what: *what, bytes: *bytes, quoted: quoted.clone() })
        }
    }
}

/// Returns the finding about text that stands before the stream, if any does.
fn finding(before: &Before) -> Option<Finding> {
    let found = |text: &Text, words| {
        Finding::new(Code::ForeignText, format!("line {}", text.first_line), words)
    };
    match before {
        Before::Nothing | Before::Lost(_) | Before::Recoded(_) => None,
        Before::Lines(text) => {
            let words = format!("{} before the header of the dump", lines(text));
            Some(found(text, words).with_severity(Severity::Note))
        }
        Before::Foreign(text, What::Dump) => {
            let words = format!(
                "{}{} before the dump: loading all of it fails there, keep messages out of the \
                 producer's output (no 2>&1)",
                lines(text),
                whose(&text.quoted)
            );
            Some(found(text, words))
        }
        Before::Foreign(text, what) => {
            let words = format!("{}{} before the {what}", lines(text), whose(&text.quoted));
            Some(found(text, words))
        }
    }
}

fn lines(text: &Text) -> String {
    match text.lines {
        0 | 1 => format!("'{}'", text.quoted),
        lines => format!("'{}' and {} more lines", text.quoted, lines - 1),
    }
}

/// Names the program whose message a line is, as far as it says so.
fn whose(line: &str) -> String {
    let name = line.split_once(": ").map(|(name, _)| name).filter(|name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    });
    name.map_or(String::new(), |name| format!(", a message of {name},"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(quoted: &str, what: What) -> Before {
        let (bytes, lines, first_line) = (36, 1, 1);
        Before::Foreign(Text { bytes, lines, first_line, quoted: quoted.to_owned() }, what)
    }

    #[test]
    fn a_message_before_a_dump_is_named_with_its_program_and_takes_nothing_from_the_verdict() {
        let before = foreign("mysqldump: [Warning] insecure", What::Dump);
        assert_eq!(reason(&before), None);
        let found = finding(&before).unwrap();
        assert_eq!((found.object.as_str(), found.severity), ("line 1", Severity::Warning));
        assert!(found.text.contains("a message of mysqldump"), "{}", found.text);
        let error = "mysqldump: Couldn't execute 'x'";
        let expected = BeginningReason::DumpError(error.to_owned());
        assert_eq!(reason(&foreign(error, What::Dump)), Some(expected));
        let text = finding(&foreign("Warning: this is in capitals", What::Dump)).unwrap().text;
        assert!(!text.contains("a message of"), "{text}");
    }

    #[test]
    fn text_before_an_mbstream_spoils_it() {
        let before = foreign("Welcome to db1", What::Mbstream);
        assert!(reason(&before).unwrap().to_string().contains("XBSTCK01 begins at byte 36"));
        assert!(finding(&before).is_some());
        assert!(reason(&foreign("Welcome", What::Wrapped("gzip"))).is_some());
    }
}
