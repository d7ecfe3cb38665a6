//! The source of a stream: a pipe that another process fills, or a producer that this program runs.
//!
//! The producer's exit is part of the data: a stream that looks whole may still come from a
//! producer that failed at its last step. So a [`Source`] is read to its end and then asked how
//! its producer ended.

pub mod child;
mod killer;
pub mod messages;
pub mod outlet;
pub mod stages;
mod tail;
pub mod transcript;

pub use crate::base::producer::Pause;
pub use crate::base::producer::ProducerExit;
pub use crate::base::producer::Server;

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;

use crate::base::producer::StagesSeen;

/// The end of a producer, and its last messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The way in which it ended.
    pub exit: ProducerExit,
    /// The last lines of its standard error, if this program saw it.
    pub last_words: Option<String>,
    /// The first lines of it that report an error, wherever they stand.
    pub errors: Vec<String>,
    /// The first files of which it says that they changed while it read them, as tar does.
    pub changed: Vec<String>,
    /// True if something else kept its standard output open after it had ended, until it was not
    /// waited for any longer.
    pub left_open: bool,
    /// Its standard error as it is kept with the snapshot, if this program saw it.
    pub transcript: Option<String>,
    /// The stages that its messages named, if they were followed.
    pub stages: Option<StagesSeen>,
}

impl Ending {
    /// Describes a producer that ended, reported no error and left no process running.
    pub fn new(exit: ProducerExit, last_words: Option<String>) -> Self {
        Self {
            exit,
            last_words,
            errors: Vec::new(),
            changed: Vec::new(),
            left_open: false,
            transcript: None,
            stages: None,
        }
    }

    /// Describes the ending of a producer that this program could not watch.
    pub fn unseen() -> Self {
        Self::new(ProducerExit::Unseen, None)
    }
}

/// Something that gives a stream.
pub trait Source: Send {
    /// Reads the next bytes; 0 at the end. `WouldBlock` means that none came for a while: the
    /// reader may look up whether it was asked to stop, and asks again.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Returns how the producer ended; called once, after the end or when the rest is not
    /// wanted.
    fn finish(self: Box<Self>) -> io::Result<Ending>;
    /// Returns the size of the stream, if it is known beforehand.
    fn expected_bytes(&self) -> Option<u64> {
        None
    }
}

/// Pipes are enlarged to this, bytes: fewer switches between producer and reader.
pub const PIPE_BYTES: usize = 1 << 20;

/// The longest time that a source waits for bytes at once.
const LOOK_UP: Duration = Duration::from_millis(200);

/// A file or a pipe that the caller has opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    expected: Option<u64>,
}

impl FileSource {
    /// Creates a stream from an open file; a pipe is enlarged.
    pub fn new(file: File) -> Self {
        enlarge(&file);
        let expected = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
        Self { file, expected }
    }

    /// Creates a stream from this process's standard input.
    pub fn stdin() -> io::Result<Self> {
        Ok(Self::new(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }
}

impl Source for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_some(&self.file, buffer)
    }

    fn finish(self: Box<Self>) -> io::Result<Ending> {
        Ok(Ending::unseen())
    }

    fn expected_bytes(&self) -> Option<u64> {
        self.expected
    }
}

/// A stream of bytes that are in memory.
#[derive(Debug)]
pub struct BytesSource {
    bytes: io::Cursor<Vec<u8>>,
    read_max: usize,
    ending: Ending,
}

impl BytesSource {
    /// Creates a stream of `bytes`, given in reads of at most `read_max`, whose producer ends as
    /// `exit` says.
    pub fn new(bytes: Vec<u8>, read_max: usize, exit: ProducerExit) -> Self {
        let last_words = (exit != ProducerExit::Unseen).then(|| "completed OK!".to_owned());
        let ending = Ending::new(exit, last_words);
        Self { bytes: io::Cursor::new(bytes), read_max, ending }
    }

    /// Sets the errors that the producer has reported.
    #[must_use]
    pub fn with_errors(mut self, errors: &[&str]) -> Self {
        self.ending.errors = errors.iter().map(|line| (*line).to_owned()).collect();
        self
    }
}

impl Source for BytesSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.read_max);
        self.bytes.read(&mut buffer[..most])
    }

    fn finish(self: Box<Self>) -> io::Result<Ending> {
        Ok(self.ending)
    }
}

/// Waits a while for bytes, so that a producer that hangs does not keep its reader from stopping.
fn read_some(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let nothing = || io::Error::from(io::ErrorKind::WouldBlock);
    let mut waiting = [PollFd::new(file, PollFlags::IN)];
    match rustix::event::poll(&mut waiting, Timespec::try_from(LOOK_UP).ok().as_ref()) {
        Ok(0) | Err(Errno::INTR) => return Err(nothing()),
        // What can't be waited for can still be read.
        Ok(_) | Err(_) => {}
    }
    match file.read(buffer) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(nothing()),
        result => result,
    }
}

fn enlarge(file: &File) {
    // A pipe of the default size works as well, only slower; a file is no pipe at all.
    let _size = rustix::pipe::fcntl_setpipe_size(file, PIPE_BYTES);
}
