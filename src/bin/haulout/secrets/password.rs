//! The sources of the password: a file, a command, the environment, or a person at a terminal.
//!
//! Invariants:
//! - it is never an argument of a process, is handed on to no child, and appears in no message;
//! - the buffers that it passes through are wiped.
//!
//! Text that begins like a key file is taken for one, wherever it comes from.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::repo::keys::Credential;
use haulout::repo::keys::KeyFile;
use haulout::repo::keys::Passphrase;
use haulout::repo::keys::SealError;
use haulout::source::child::withhold_secrets;
use haulout::world::LOOK_UP;
use haulout::world::Monitor;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::secrets::prompt::Terminal;

/// The names of the environment variables that a password may come from.
#[derive(Debug)]
pub(crate) struct Variables {
    /// The variable that names a password file.
    pub(crate) file: &'static str,
    /// The variable with a shell command that prints the password.
    pub(crate) command: &'static str,
    /// The variable with the password itself.
    pub(crate) password: &'static str,
}

/// The variables for the password that opens the repository.
pub(crate) const VARIABLES: Variables = Variables {
    file: "HAULOUT_PASSWORD_FILE",
    command: "HAULOUT_PASSWORD_COMMAND",
    password: "HAULOUT_PASSWORD",
};
/// The variables for a new password.
pub(crate) const NEW_VARIABLES: Variables = Variables {
    file: "HAULOUT_NEW_PASSWORD_FILE",
    command: "HAULOUT_NEW_PASSWORD_COMMAND",
    password: "HAULOUT_NEW_PASSWORD",
};
/// The variables for the other side of a replication, if it has other keys.
pub(crate) const OTHER_VARIABLES: Variables = Variables {
    file: "HAULOUT_OTHER_PASSWORD_FILE",
    command: "HAULOUT_OTHER_PASSWORD_COMMAND",
    password: "HAULOUT_OTHER_PASSWORD",
};

const KEY_FILE_BEGINS: &[u8] = b"haulout-key-";
/// The bit of a file's mode that lets everybody read it.
const OTHERS_READ: u32 = 0o004;
/// Interval between two checks whether the password command has ended.
const COMMAND_LOOK: Duration = Duration::from_millis(10);
/// Maximum length of the first line in bytes.
const LINE_BYTES_MAX: usize = 4096;

type Secret = Zeroizing<Vec<u8>>;

/// The place where the password comes from.
pub(crate) enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a shell command prints.
    Command(OsString),
    /// The bytes that were in the environment.
    Given(Secret),
    /// The person at the terminal, if there is one.
    Ask,
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Command(_) => f.write_str("Command(hidden)"),
            Self::Given(_) => f.write_str("Given(hidden)"),
            Self::Ask => f.write_str("Ask"),
        }
    }
}

/// The purpose for which a password is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To open a repository.
    Open,
    /// To protect a new one: it is asked for twice.
    Protect,
    /// To add a key, or to change one: it is asked for twice.
    NewKey,
    /// To seal a recovery kit: it is asked for twice.
    NewKit,
    /// To open a recovery kit.
    Kit,
    /// To open the other side of a replication.
    OpenOther,
    /// To protect it, if it is new: it is asked for twice.
    ProtectOther,
}

impl Purpose {
    /// Returns the question for the person at the terminal.
    fn question(self) -> &'static str {
        match self {
            Self::Open => "password of the repository: ",
            Self::Protect => "password of the new repository: ",
            Self::NewKey => "new password: ",
            Self::NewKit => "new password, of the recovery kit: ",
            Self::Kit => "password of the recovery kit: ",
            Self::OpenOther => "password of the repository on the other side: ",
            Self::ProtectOther => "new password, of the repository on the other side: ",
        }
    }

    /// Returns the error message for a run without a password and without a terminal.
    fn want(self) -> &'static str {
        match self {
            Self::Open => "the repository is encrypted and no password was given",
            Self::Protect => "a new repository needs a password and none was given",
            Self::NewKey => {
                "no new password was given; one comes from --new-password-file, \
                 --new-password-command or HAULOUT_NEW_PASSWORD"
            }
            Self::NewKit => {
                "no password for the recovery kit was given; one comes from --new-password-file, \
                 --new-password-command or HAULOUT_NEW_PASSWORD"
            }
            Self::Kit => "the recovery kit has a password and none was given",
            Self::OpenOther | Self::ProtectOther => {
                "the other side has keys of its own and no password for it was given; one comes \
                 from --other-password-file, --other-password-command or HAULOUT_OTHER_PASSWORD"
            }
        }
    }

    /// Tells whether a secret is made with the password.
    pub(crate) fn is_new(self) -> bool {
        match self {
            Self::Protect | Self::NewKey | Self::NewKit | Self::ProtectOther => true,
            Self::Open | Self::Kit | Self::OpenOther => false,
        }
    }
}

impl PasswordSource {
    /// Chooses the source of the password: arguments take precedence over the environment.
    pub(crate) fn choose(
        file: Option<PathBuf>,
        command: Option<OsString>,
        variables: &Variables,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(path) = file {
            return Self::File(path);
        }
        if let Some(command) = command {
            return Self::Command(command);
        }
        if let Some(path) = set(variables.file) {
            return Self::File(path.into());
        }
        if let Some(command) = set(variables.command) {
            return Self::Command(command);
        }
        match set(variables.password) {
            Some(password) => Self::Given(Zeroizing::new(password.into_vec())),
            None => Self::Ask,
        }
    }

    /// Fetches the password or key file from its source.
    pub(crate) fn fetch(&self, purpose: Purpose, monitor: &Monitor) -> Result<Fetched> {
        let Line { bytes: line, origin, exposed } = self.line(purpose, monitor)?;
        let credential = credential(&line, &origin)?;
        Ok(Fetched { credential, spelling: Spelling::of(&line), exposed })
    }

    /// Fetches the line that the password is in. From every source it is a first line without its
    /// end, so that one secret is one password.
    fn line(&self, purpose: Purpose, monitor: &Monitor) -> Result<Line> {
        let mut exposed = None;
        let (line, origin) = match self {
            Self::File(path) => {
                let shown = path.display().to_string();
                let what = format!("cannot read the password file {shown}");
                let failure = |e| Error::new(ErrorKind::NoKey, what).because(e);
                let read = |file: File| {
                    let is_exposed = everybody_reads(&file)?;
                    first_line(file).map(|line| (line, is_exposed))
                };
                let (line, is_exposed) = File::open(path).and_then(read).map_err(failure)?;
                exposed = is_exposed.then(|| shown.clone());
                (line, shown)
            }
            Self::Command(command) => {
                (printed_by(command, monitor)?, "the password command".to_owned())
            }
            Self::Given(password) => {
                let origin = "the environment".to_owned();
                let failure = |e| refused(&origin).because(e);
                (first_line(password.as_slice()).map_err(failure)?, origin)
            }
            Self::Ask => (asked(purpose, monitor)?, "the terminal".to_owned()),
        };
        Ok(Line { bytes: line, origin, exposed })
    }
}

/// The first line from the source of a password.
struct Line {
    bytes: Secret,
    /// The source of the line, for messages.
    origin: String,
    /// The file, if every user of this host can read it.
    exposed: Option<String>,
}

/// A password or key file, and what is unusual about it.
pub(crate) struct Fetched {
    /// The credential that was read.
    pub(crate) credential: Credential,
    /// The spelling of the password, if it could be spelled otherwise.
    pub(crate) spelling: Option<Spelling>,
    /// The file that it came from, if every user of this host can read that.
    pub(crate) exposed: Option<String>,
}

/// The spelling of a password that other systems spell otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Letters with accents are one character each (NFC), as most keyboards and files have them.
    Composed,
    /// Accents are characters of their own (NFD), as file names of macOS have them.
    Decomposed,
    /// The password is not UTF-8.
    OtherCharset,
}

impl Spelling {
    fn of(line: &[u8]) -> Option<Self> {
        let Ok(text) = str::from_utf8(line) else { return Some(Self::OtherCharset) };
        let is_mark = |c: char| matches!(c, '\u{300}'..='\u{36f}' | '\u{1100}'..='\u{11ff}');
        let is_composed = |c: char| {
            let latin = matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1fff}');
            latin
                || matches!(c, '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{4f9}')
                || matches!(c, '\u{ac00}'..='\u{d7a3}')
        };
        if text.contains(is_mark) {
            return Some(Self::Decomposed);
        }
        text.contains(is_composed).then_some(Self::Composed)
    }

    /// Returns the hint with another spelling to try.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Composed => {
                "check the password; its accented letters are one character each (NFC), and may \
                 have been two when the key was made (NFD): uconv -x any-nfd converts them"
            }
            Self::Decomposed => {
                "check the password; its accents are characters of their own (NFD), and may have \
                 been one with their letters when the key was made (NFC): uconv -x any-nfc \
                 converts them"
            }
            Self::OtherCharset => {
                "check the password; it is not UTF-8, and its letters may have been other bytes \
                 when the key was made: iconv -t UTF-8 converts them"
            }
        }
    }
}

/// Tells whether every user of this host can read a file. A pipe has only its two ends.
pub(crate) fn everybody_reads(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && metadata.permissions().mode() & OTHERS_READ != 0)
}

fn refused(origin: &str) -> Error {
    Error::new(ErrorKind::NoKey, format!("what came from {origin} is no password"))
}

/// The reason why a first line is not a password: it is empty, or has bytes that cannot be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPassword {
    /// The line is empty.
    #[error("its first line is empty")]
    Empty,
    /// The line begins with the mark that some editors put before UTF-8.
    #[error("it begins with a byte order mark (BOM)")]
    ByteOrderMark,
    /// The line has two bytes for each letter.
    #[error("it is UTF-16")]
    Utf16,
    /// The line has a zero byte, so it is not text.
    #[error("it has a zero byte")]
    ZeroByte,
}

impl NoPassword {
    fn of(line: &[u8]) -> Option<Self> {
        if line.is_empty() {
            return Some(Self::Empty);
        }
        if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
            return Some(Self::Utf16);
        }
        if line.starts_with(&[0xef, 0xbb, 0xbf]) {
            return Some(Self::ByteOrderMark);
        }
        line.contains(&0).then_some(Self::ZeroByte)
    }

    /// Returns the hint for this fault.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Empty => "put the password into the first line, with nothing before it",
            Self::ByteOrderMark => {
                "save it as UTF-8 without a byte order mark (tail -c +4 leaves the mark out)"
            }
            Self::Utf16 => "save it as UTF-8 (iconv -f UTF-16 -t UTF-8 converts it)",
            Self::ZeroByte => {
                "save it as text in UTF-8; a secret of random bytes is kept as a key file, which \
                 haulout key add --key-file makes"
            }
        }
    }
}

fn credential(line: &[u8], origin: &str) -> Result<Credential> {
    if let Some(why) = NoPassword::of(line) {
        return Err(refused(origin).because(why));
    }
    let refused = |cause: SealError| refused(origin).because(cause);
    if line.starts_with(KEY_FILE_BEGINS) {
        let text = str::from_utf8(line).unwrap_or_default();
        return KeyFile::from_text(text).map(Credential::KeyFile).map_err(refused);
    }
    Passphrase::new(line.to_vec()).map(Credential::Passphrase).map_err(refused)
}

/// Reads up to the first end of line, and wipes what else it read.
fn first_line(mut input: impl Read) -> io::Result<Secret> {
    let mut buffer = Zeroizing::new(vec![0; LINE_BYTES_MAX + 2]);
    let mut filled = 0;
    while filled < buffer.len() && !buffer[..filled].contains(&b'\n') {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let line = buffer[..filled].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "its first line has more than {LINE_BYTES_MAX} bytes"
        )));
    }
    Ok(Zeroizing::new(line.to_vec()))
}

fn printed_by(command: &OsString, monitor: &Monitor) -> Result<Secret> {
    let failed = |what: String| Error::new(ErrorKind::NoKey, what);
    let mut shell = Command::new("sh");
    // What asks a vault may need credentials of its own; it takes them from a file, never from us.
    withhold_secrets(&mut shell);
    let mut child = shell
        .arg("-c")
        .arg(command)
        // The stream of a backup may be on standard input.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed("cannot run the password command".to_owned()).because(e))?;
    let stdout = child.stdout.take().expect("its standard output is piped");
    let line = first_line(Heeding { file: File::from(OwnedFd::from(stdout)), monitor });
    let status = ended(&mut child, monitor)?;
    if !status.success() {
        return Err(failed(format!("the password command failed: {status}")));
    }
    line.map_err(|e| failed("cannot read from the password command".to_owned()).because(e))
}

/// Waits for the password command, or ends it if the user wants to stop.
fn ended(child: &mut Child, monitor: &Monitor) -> Result<ExitStatus> {
    let failed =
        |e| Error::new(ErrorKind::NoKey, "cannot wait for the password command").because(e);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if let Err(stopped) = monitor.pause(COMMAND_LOOK) {
            // It may have ended by itself in the meantime.
            let _gone = child.kill();
            child.wait().map_err(failed)?;
            return Err(stopped);
        }
    }
}

/// A pipe that is read until the user wants to stop.
struct Heeding<'m> {
    file: File,
    monitor: &'m Monitor,
}

impl Read for Heeding<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.monitor.check().map_err(io::Error::other)?;
            let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut waiting, Timespec::try_from(LOOK_UP).ok().as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn asked(purpose: Purpose, monitor: &Monitor) -> Result<Secret> {
    let mut terminal =
        Terminal::open().ok_or_else(|| Error::new(ErrorKind::NoKey, purpose.want()))?;
    let failure = |e| Error::new(ErrorKind::NoKey, "cannot ask on the terminal").because(e);
    let mut ask = |question: &str| {
        let line = terminal.ask_hidden(question, monitor).map_err(failure)?;
        monitor.check()?;
        Ok::<_, Error>(line)
    };
    let password = ask(purpose.question())?;
    if !purpose.is_new() {
        return Ok(password);
    }
    if ask("once more: ")? != password {
        return Err(Error::new(ErrorKind::NoKey, "what was typed the second time differs"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use haulout::world::SeededEntropy;

    use super::*;

    fn chosen(set: &[(&str, &str)]) -> PasswordSource {
        let variable = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        PasswordSource::choose(None, None, &VARIABLES, &variable)
    }

    #[test]
    fn files_go_before_commands_before_passwords() {
        let Variables { file, command, password } = VARIABLES;
        let all = [(file, "f"), (command, "c"), (password, "p")];
        assert!(matches!(chosen(&all), PasswordSource::File(_)));
        assert!(matches!(chosen(&all[1..]), PasswordSource::Command(_)));
        assert!(matches!(chosen(&all[2..]), PasswordSource::Given(_)));
        assert!(matches!(chosen(&[(password, "")]), PasswordSource::Ask));
        let typed =
            PasswordSource::choose(None, Some("c".into()), &VARIABLES, &|_| Some("f".into()));
        assert!(matches!(typed, PasswordSource::Command(_)));
    }

    #[test]
    fn a_password_is_a_first_line_without_its_end() {
        for (text, line) in [
            ("secret\nmore\n", "secret"),
            ("secret", "secret"),
            ("secret\r\n", "secret"),
            (" spaces count \n", " spaces count "),
            ("\n", ""),
        ] {
            assert_eq!(
                first_line(text.as_bytes()).unwrap().as_slice(),
                line.as_bytes(),
                "{text:?}"
            );
        }
        assert!(first_line(vec![b'x'; LINE_BYTES_MAX + 1].as_slice()).is_err());
        assert!(first_line(vec![b'x'; LINE_BYTES_MAX].as_slice()).is_ok());
    }

    #[test]
    fn a_secret_is_one_password_wherever_it_comes_from() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for text in ["secret", "secret\n", "secret\r\n", "secret\nmore"] {
            file.as_file_mut().set_len(0).unwrap();
            std::fs::write(file.path(), text).unwrap();
            let sources = [
                PasswordSource::File(file.path().to_owned()),
                PasswordSource::Command(format!("printf '{}'", text.escape_default()).into()),
                PasswordSource::Given(Zeroizing::new(text.as_bytes().to_vec())),
            ];
            for source in sources {
                let Line { bytes: line, .. } =
                    source.line(Purpose::Open, &Monitor::default()).unwrap();
                assert_eq!(line.as_slice(), b"secret", "{text:?} {source:?}");
            }
        }
    }

    #[test]
    fn what_no_keyboard_types_is_refused() {
        for (line, why) in [
            (b"\xef\xbb\xbfsecret".as_slice(), "BOM"),
            (b"\xff\xfes\0e\0", "UTF-16"),
            (b"\xfe\xff\0s\0e", "UTF-16"),
            (b"s\0e\0c\0", "zero byte"),
        ] {
            let error = credential(line, "the file").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoKey);
            assert!(error.with_causes().contains(why), "{}", error.with_causes());
        }
    }

    #[test]
    fn spellings_that_other_systems_do_not_have_are_known() {
        for (line, spelling) in [
            (b"secret".as_slice(), None),
            ("\u{20ac} 5".as_bytes(), None),
            ("caf\u{e9}".as_bytes(), Some(Spelling::Composed)),
            ("cafe\u{301}".as_bytes(), Some(Spelling::Decomposed)),
            (b"caf\xe9", Some(Spelling::OtherCharset)),
        ] {
            assert_eq!(Spelling::of(line), spelling, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_file_that_everybody_can_read_is_distinguished_from_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let source = PasswordSource::File(file.path().to_owned());
        for (mode, exposed) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
            let fetched = source.fetch(Purpose::Open, &Monitor::default()).unwrap();
            assert_eq!(fetched.exposed.is_some(), exposed, "{mode:o}");
        }
    }

    #[test]
    fn an_empty_password_is_none() {
        let error = credential(b"", "the file").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoKey);
    }

    #[test]
    fn a_key_file_is_known_by_its_beginning() {
        let key = KeyFile::generate(&SeededEntropy::new(1));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(key.to_text().as_bytes()).unwrap();
        let source = PasswordSource::File(file.path().to_owned());
        let found = source.fetch(Purpose::Open, &Monitor::default()).unwrap().credential;
        assert!(matches!(found, Credential::KeyFile(_)));
        let torn = credential(b"haulout-key-1:77", "the file").unwrap_err();
        assert_eq!(torn.kind(), ErrorKind::NoKey);
    }

    #[test]
    fn a_command_that_fails_gives_no_password() {
        for script in ["echo secret; exit 1", "kill -9 $$", "exit 0"] {
            let source = PasswordSource::Command(script.into());
            let found = source.fetch(Purpose::Open, &Monitor::default());
            let Err(error) = found.map(|fetched| fetched.credential) else { panic!("{script}") };
            assert_eq!(error.kind(), ErrorKind::NoKey, "{script}");
            assert!(!format!("{error:?}").contains("secret"), "{script}");
        }
        let source = PasswordSource::Command("printf 'a b\\nc'".into());
        let found = source.fetch(Purpose::Open, &Monitor::default()).unwrap().credential;
        assert!(matches!(found, Credential::Passphrase(_)));
    }

    #[test]
    fn debugging_shows_no_secret() {
        let given = PasswordSource::Given(Zeroizing::new(b"secret".to_vec()));
        let command = PasswordSource::Command("echo secret".into());
        assert!(!format!("{given:?} {command:?}").contains("secret"));
    }
}
