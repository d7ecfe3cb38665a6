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
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::Severity;

/// What is to be said of the beginning of a stream.
#[derive(Debug, Default)]
pub struct BeforeConclusion {
    /// Why the stream cannot be relied upon, if it cannot.
    pub reason: Option<String>,
    /// The finding about the text, if there is one.
    pub finding: Option<Finding>,
}

/// Judges the beginning of a stream.
pub fn judge_before(before: &Before) -> BeforeConclusion {
    let (text, what) = match before {
        Before::Nothing => return BeforeConclusion::default(),
        Before::Lost(what) => {
            let article = article(*what);
            let reason = format!(
                "the stream begins like {article} {what} that lost its first bytes: look at what \
                 stands between the producer and haulout, run the backup again"
            );
            return BeforeConclusion { reason: Some(reason), finding: None };
        }
        Before::Recoded(what) => {
            let article = article(*what);
            let reason = format!(
                "the stream is {article} {what} that was written in UTF-16, as > of PowerShell \
                 does: no program reads it, and what is no text in it is lost; let the producer \
                 write the file (--result-file), or let haulout run it (-- COMMAND)"
            );
            return BeforeConclusion { reason: Some(reason), finding: None };
        }
        Before::Lines(text) => {
            let words = format!("{} before the header of the dump", lines(text));
            return BeforeConclusion { reason: None, finding: Some(note(text, words)) };
        }
        Before::Foreign(text, what) => (text, *what),
    };
    let whose = whose(&text.quoted);
    if what == What::Dump {
        let words = format!(
            "{}{whose} before the dump: loading all of it fails there, keep messages out of the \
             producer's output (no 2>&1)",
            lines(text)
        );
        let finding = Finding::new(Code::ForeignText, object(text), words);
        let reason = is_dump_error(text.quoted.as_bytes()).then(|| {
            format!(
                "'{}' stands before the dump: what the producer was doing is not in it, mend that \
                 and dump again",
                text.quoted
            )
        });
        return BeforeConclusion { reason, finding: Some(finding) };
    }
    let mark = if what == What::Mbstream { "XBSTCK01" } else { "it" };
    let reason = format!(
        "text stands before the {what}: {mark} begins at byte {}, after '{}': keep messages out of \
         the producer's output",
        text.bytes, text.quoted
    );
    let words = format!("{}{whose} before the {what}", lines(text));
    let finding = Finding::new(Code::ForeignText, object(text), words);
    BeforeConclusion { reason: Some(reason), finding: Some(finding) }
}

fn article(what: What) -> &'static str {
    if what == What::Mbstream { "an" } else { "a" }
}

fn note(text: &Text, words: String) -> Finding {
    Finding::new(Code::ForeignText, object(text), words).with_severity(Severity::Note)
}

fn object(text: &Text) -> String {
    format!("line {}", text.first_line)
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

    fn foreign(quoted: &str, what: What) -> BeforeConclusion {
        let (bytes, lines, first_line) = (36, 1, 1);
        judge_before(&Before::Foreign(
            Text { bytes, lines, first_line, quoted: quoted.to_owned() },
            what,
        ))
    }

    #[test]
    fn a_message_before_a_dump_is_named_with_its_program_and_takes_nothing_from_the_verdict() {
        let found = foreign("mysqldump: [Warning] insecure", What::Dump);
        assert!(found.reason.is_none());
        let finding = found.finding.unwrap();
        assert_eq!((finding.object.as_str(), finding.severity), ("line 1", Severity::Warning));
        assert!(finding.text.contains("a message of mysqldump"), "{}", finding.text);
        assert!(foreign("mysqldump: Couldn't execute 'x'", What::Dump).reason.is_some());
        let text = foreign("Warning: this is in capitals", What::Dump).finding.unwrap().text;
        assert!(!text.contains("a message of"), "{text}");
    }

    #[test]
    fn text_before_an_mbstream_spoils_it() {
        let found = foreign("Welcome to db1", What::Mbstream);
        assert!(found.reason.unwrap().contains("XBSTCK01 begins at byte 36"));
        assert!(found.finding.is_some());
        assert!(foreign("Welcome", What::Wrapped("gzip")).reason.is_some());
    }
}
