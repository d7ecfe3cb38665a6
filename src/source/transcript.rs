//! The messages of a producer, as they are kept with a snapshot: the first and the last lines,
//! readable, and without passwords.
//!
//! A password is masked where it is named as one (`--password=x`, `IDENTIFIED BY 'x'`,
//! `scheme://user:x@host`), and wherever else it stands if the producer's command line or
//! `MYSQL_PWD` gave it. More is masked rather than less: the text is for reading.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// Bytes of the first lines that are kept.
pub const HEAD_BYTES: usize = 16 << 10;
/// Bytes of the last lines that are kept.
pub const TAIL_BYTES: usize = 48 << 10;
/// Longest transcript, bytes: head, tail, and the line between them.
pub const TRANSCRIPT_BYTES_MAX: usize = HEAD_BYTES + TAIL_BYTES + 100;

/// The text that stands in the place of a password.
const MASK: &str = "***";
/// Shortest password that is looked for everywhere: shorter ones are in many words.
const KNOWN_BYTES_MIN: usize = 4;
/// Names after which, with a sign between, a password stands.
const NAMES: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "mysql_pwd",
    "encrypt-key",
    "encrypt_key",
    "secret",
    "access_key",
    "token",
];
/// Words after which everything is about a password, or its hash.
const GRANTS: [&str; 2] = ["identified by", "identified via"];
/// Programs whose option `-p` has a password after it, by a part of their names.
const TAKES_P: [&str; 3] = ["mysql", "maria", "xtrabackup"];

/// The messages of a producer.
#[derive(Default)]
pub struct Transcript {
    known: Vec<Zeroizing<String>>,
    head: String,
    is_head_full: bool,
    tail: VecDeque<String>,
    tail_bytes: usize,
    lines_left_out: u64,
    is_mid_line: bool,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transcript").field("head", &self.head.len()).finish_non_exhaustive()
    }
}

impl Transcript {
    /// Makes one for a producer that is started with this command and this `MYSQL_PWD`.
    pub fn new(command: &[OsString], variable: Option<OsString>) -> Self {
        let mut known: Vec<Zeroizing<String>> = Vec::new();
        // As it would be shown: that is what is looked for.
        let shown = |argument: &OsString| {
            Zeroizing::new(escaped(&Zeroizing::new(text_of(argument.as_encoded_bytes()))))
        };
        for argument in command.iter().skip(1).map(shown) {
            known.extend(password_of(&argument).map(|found| Zeroizing::new(found.to_owned())));
            // The script of a shell.
            let words = argument.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
            known.extend(
                words.filter_map(password_of).map(|found| Zeroizing::new(found.to_owned())),
            );
        }
        known.extend(variable.as_ref().map(shown));
        known.retain(|password| password.len() >= KNOWN_BYTES_MIN);
        Self { known, ..Self::default() }
    }

    /// Takes a line, or the next part of one that is too long: of that only the first part is kept.
    pub fn push(&mut self, piece: &[u8]) {
        let begins = !self.is_mid_line;
        self.is_mid_line = !piece.ends_with(b"\n");
        if !begins {
            return;
        }
        let text = text_of(piece.strip_suffix(b"\n").unwrap_or(piece));
        // Masked last: a control character that is left out may have stood within a password.
        let mut line = self.masked(&escaped(&text));
        if line.len() > HEAD_BYTES {
            let end = line.floor_char_boundary(HEAD_BYTES / 2);
            line.truncate(end);
        }
        line.push('\n');
        if !self.is_head_full && self.head.len() + line.len() <= HEAD_BYTES {
            self.head += &line;
            return;
        }
        self.is_head_full = true;
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > TAIL_BYTES
            && let Some(first) = self.tail.pop_front()
        {
            self.tail_bytes -= first.len();
            self.lines_left_out += 1;
        }
    }

    /// Returns what is kept; nothing if nothing was said.
    pub fn text(&self) -> Option<String> {
        if self.head.is_empty() && self.tail.is_empty() {
            return None;
        }
        let mut text = self.head.clone();
        if self.lines_left_out > 0 {
            let count = self.lines_left_out.to_string();
            text.extend(["haulout: ", &count, " lines are left out here\n"]);
        }
        text.extend(self.tail.iter().map(String::as_str));
        Some(text)
    }

    fn masked(&self, line: &str) -> String {
        let mut hidden = passwords_in(line);
        for known in &self.known {
            let known = known.as_str();
            hidden.extend(line.match_indices(known).map(|(at, _)| at..at + known.len()));
        }
        hidden.sort_by_key(|range| range.start);
        let mut out = String::with_capacity(line.len());
        let mut end = 0;
        for range in hidden {
            if range.start >= end && !range.is_empty() {
                out += &line[end..range.start];
                out += MASK;
            }
            end = end.max(range.end);
        }
        out + &line[end..]
    }
}

/// Returns the password that an argument of a producer gives, if it does.
fn password_of(argument: &str) -> Option<&str> {
    for name in ["--password=", "--passphrase=", "--encrypt-key=", "MYSQL_PWD="] {
        if let Some(value) = argument.strip_prefix(name) {
            return Some(value.trim_matches(['\'', '"']));
        }
    }
    argument.strip_prefix("-p").filter(|rest| !rest.is_empty())
}

/// Returns where passwords stand in a line, whatever they are.
fn passwords_in(line: &str) -> Vec<Range<usize>> {
    // ASCII only, so that places are the same in both.
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            found.extend(value_behind(line, at + name.len()));
        }
    }
    for words in GRANTS {
        found.extend(lower.find(words).map(|at| at + words.len()..line.len()));
    }
    for (at, _) in line.match_indices("://") {
        found.extend(password_of_url(line, at + 3));
    }
    for (at, _) in line.match_indices('*') {
        let hex = line.as_bytes()[at + 1..].iter().take(40);
        if hex.clone().count() == 40 && hex.clone().all(u8::is_ascii_hexdigit) {
            found.push(at..at + 41);
        }
    }
    if TAKES_P.iter().any(|program| lower.contains(program)) {
        for (at, _) in line.match_indices(" -p") {
            let from = at + 3;
            found.push(from..word_end(line, from));
        }
    }
    // What begins with a grant covers what begins later in it.
    found.sort_by_key(|range| range.start);
    found
}

/// Returns where the value stands after a name that ends at `from`, if a sign shows that there is
/// one.
fn value_behind(line: &str, from: usize) -> Option<Range<usize>> {
    let bytes = line.as_bytes();
    let quote = |at: usize| bytes.get(at).copied().filter(|byte| b"'\"`".contains(byte));
    let blanks = |mut at: usize| {
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    };
    let mut at = if quote(from).is_some() { from + 1 } else { from };
    at = blanks(at);
    if !matches!(bytes.get(at), Some(b'=' | b':' | b'(')) {
        return None;
    }
    at = blanks(at + 1);
    if let Some(opening) = quote(at) {
        let inside = at + 1;
        return Some(inside..quoted_end(bytes, inside, opening));
    }
    let end = word_end(line, at);
    // "(using password: YES)" gives no password.
    let is_answer = matches!(line[at..end].trim_end_matches([')', '.', ',']), "YES" | "NO");
    (!is_answer).then_some(at..end)
}

/// Returns where a quoted text ends: at a quote that is not escaped.
fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if *byte == quote => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns where the password is in `user:password@host`, which begins at `from`.
fn password_of_url(line: &str, from: usize) -> Option<Range<usize>> {
    let end = from + line[from..].find(['/', ' ', '\'', '"']).unwrap_or(line.len() - from);
    let host = from + line[from..end].rfind('@')?;
    let password = from + line[from..host].find(':')? + 1;
    Some(password..host)
}

fn word_end(line: &str, from: usize) -> usize {
    line[from..].find(char::is_whitespace).map_or(line.len(), |length| from + length)
}

/// Returns bytes as text; those that are none are written as numbers.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// Returns a line whose control characters can do nothing any more.
fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '\t' => out.push(character),
            // The end of a line that comes from Windows, or a progress bar.
            '\r' => {}
            _ if character.is_control() => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn transcript(command: &[&str]) -> Transcript {
        Transcript::new(&command.iter().map(OsString::from).collect::<Vec<_>>(), None)
    }

    fn said(command: &[&str], lines: &[&str]) -> String {
        let mut transcript = transcript(command);
        lines.iter().for_each(|line| transcript.push(format!("{line}\n").as_bytes()));
        transcript.text().unwrap_or_default()
    }

    #[test]
    fn passwords_are_masked_wherever_they_are_named() {
        for (line, masked) in [
            ("arguments: --user=b --password=geheim --host=h", "--user=b --password=*** --host=h"),
            ("password = 'two words' host", "password = '***' host"),
            ("{\"password\": \"geheim\", \"a\": 1}", "{\"password\": \"***\", \"a\": 1}"),
            ("CHANGE MASTER TO MASTER_PASSWORD='geheim'", "MASTER_PASSWORD='***'"),
            ("SET PASSWORD = PASSWORD('geheim')", "***"),
            ("GRANT USAGE ON *.* TO b IDENTIFIED BY 'geheim' REQUIRE", "IDENTIFIED BY***"),
            ("was *0123456789ABCDEF0123456789ABCDEF01234567 before", "was *** before"),
            ("mysql://b:geheim@host/db", "mysql://b:***@host/db"),
            ("+ mysqldump -ub -pgeheim --all-databases", "-ub -p*** --all-databases"),
            ("MYSQL_PWD=geheim", "MYSQL_PWD=***"),
            ("PassWord:geheim", "PassWord:***"),
            (r"password='a\'geheim' b", "password='***' b"),
            (r"password='geheim\", "password='***"),
        ] {
            let text = said(&["true"], &[line]);
            assert!(text.contains(masked), "{text}");
            assert!(!text.contains("geheim") && !text.contains("two words"), "{text}");
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for line in [
            "Access denied for user 'b'@'localhost' (using password: YES)",
            "[Warning] Using a password on the command line interface can be insecure.",
            "reading --password-file /etc/haulout.password",
            "http://host:9000/path@x",
            "[00] 2026-11-29 01:32:47 completed OK!",
        ] {
            assert_eq!(said(&["true"], &[line]), format!("{line}\n"));
        }
    }

    #[test]
    fn passwords_of_the_command_are_masked_wherever_they_stand() {
        for command in [
            vec!["mysqldump", "--password=geheim"],
            vec!["mysqldump", "-pgeheim"],
            vec!["sh", "-c", "mysqldump '-pgeheim' | cat"],
            vec!["sh", "-c", "MYSQL_PWD='geheim' mysqldump"],
        ] {
            assert_eq!(said(&command, &["it is geheim, yes"]), "it is ***, yes\n", "{command:?}");
        }
        let mut given = Transcript::new(&["true".into()], Some("geheim".into()));
        given.push(b"geheim");
        assert_eq!(given.text().unwrap(), "***\n");
        assert!(!format!("{given:?}").contains("geheim"));
    }

    #[test]
    fn control_characters_hide_no_password() {
        for (password, line) in
            [(&b"geheim"[..], &b"it is geh\r\reim"[..]), (b"ge\xffhei\rm", b"it is ge\xffheim\r")]
        {
            let given = OsString::from_vec([b"-p", password].concat());
            for (command, variable) in [
                (vec!["mysqldump".into(), given], None),
                (vec!["true".into()], Some(OsString::from_vec(password.to_vec()))),
            ] {
                let mut transcript = Transcript::new(&command, variable);
                transcript.push(line);
                assert_eq!(transcript.text().unwrap(), "it is ***\n");
            }
        }
    }

    #[test]
    fn what_would_change_a_terminal_is_escaped() {
        let mut transcript = transcript(&["true"]);
        transcript.push(b"\x1b[2Ja\tb\xff\xc2\x9b\r\n");
        assert_eq!(transcript.text().unwrap(), "\\u{1b}[2Ja\tb\\xff\\u{9b}\n");
    }

    #[test]
    fn the_first_and_the_last_lines_are_kept() {
        let mut transcript = transcript(&["true"]);
        assert_eq!(transcript.text(), None);
        for number in 0..20_000 {
            transcript.push(format!("line {number}\n").as_bytes());
        }
        let text = transcript.text().unwrap();
        assert!(text.len() <= TRANSCRIPT_BYTES_MAX && text.len() > 60 << 10, "{}", text.len());
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 19999\n"));
        let out: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("haulout: ")?.split(' ').next()?.parse().ok())
            .unwrap();
        let kept = text.lines().filter(|line| line.starts_with("line ")).count();
        assert_eq!(out + u64::try_from(kept).unwrap(), 20_000);
    }

    #[test]
    fn of_an_endless_line_the_beginning_is_kept() {
        let mut transcript = transcript(&["true"]);
        for _ in 0..1000 {
            transcript.push(&[b'x'; 4096]);
        }
        transcript.push(b"\n");
        transcript.push(b"end\n");
        assert_eq!(transcript.text().unwrap(), "x".repeat(4096) + "\nend\n");
        let mut noise = Transcript::default();
        noise.push(&[0; 16 << 10]);
        assert!(noise.text().unwrap().len() <= HEAD_BYTES);
    }
}
