//! Asks the person at the terminal for something that others must not read.
//!
//! The question goes to `/dev/tty`, so that standard input can be a stream. The question is only
//! asked if standard error is a terminal as well: a job that writes to a log has nobody to answer.
//! Echo is switched on again whatever happens short of being killed.

use std::fs::File;
use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::io::Write;

use haulout::world::Monitor;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::Termios;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use zeroize::Zeroizing;

/// The time until a request to stop is noticed.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Maximum length of a line that a terminal gives, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// The terminal that the program was started from.
#[derive(Debug)]
pub(crate) struct Terminal(File);

impl Terminal {
    /// Opens the terminal, if there is a person.
    pub(crate) fn open() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        File::options().read(true).write(true).open("/dev/tty").ok().map(Terminal)
    }

    /// Asks, and reads a line without showing it. Returns early, with an empty line, when `monitor`
    /// stops.
    pub(crate) fn ask_hidden(
        &mut self,
        question: &str,
        monitor: &Monitor,
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        // In this order: what is typed once the question is there is neither shown nor dropped.
        let hidden = Hidden::new(&self.0)?;
        (&self.0).write_all(question.as_bytes())?;
        let line = line(&self.0, monitor)?;
        drop(hidden);
        Ok(line)
    }

    /// Writes a text. One that can't be written is lost, and so will be the next question.
    pub(crate) fn say(&mut self, text: &str) {
        let _lost = self.0.write_all(text.as_bytes());
    }

    /// Asks for something that is no secret.
    pub(crate) fn ask(&mut self, question: &str, monitor: &Monitor) -> io::Result<String> {
        self.0.write_all(question.as_bytes())?;
        let line = line(&self.0, monitor)?;
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

/// Reads a line; returns an empty one if `monitor` stops.
fn line(mut terminal: &File, monitor: &Monitor) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(vec![0; LINE_BYTES_MAX]);
    let mut length = 0;
    while monitor.check().is_ok() {
        let mut waiting = [PollFd::new(&terminal, PollFlags::IN)];
        match poll(&mut waiting, Some(&LOOK_UP)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        // In canonical mode the terminal gives a whole line, or nothing at its end.
        length = terminal.read(&mut line)?;
        break;
    }
    line.truncate(length);
    if line.ends_with(b"\n") {
        line.pop();
    } else {
        terminal.write_all(b"\n")?;
    }
    Ok(line)
}

/// Echo is off as long as this lives.
struct Hidden<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Hidden<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        // The end of the line is shown, so that one sees that it was taken.
        modes.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nobody to tell if this fails, and nothing else to try.
        let _restored = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
