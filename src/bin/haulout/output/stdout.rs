//! Standard output for results that are bytes: files and streams.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::os::fd::AsFd;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::source::PIPE_BYTES;

/// Returns standard output without the line buffer, which is good for text only.
pub(crate) fn standard_output() -> Result<BufWriter<File>> {
    let out = io::stdout().as_fd().try_clone_to_owned().map_err(not_written)?;
    // A pipe of the default size works as well, only slower; a file is no pipe at all.
    let _size = rustix::pipe::fcntl_setpipe_size(&out, PIPE_BYTES);
    Ok(BufWriter::with_capacity(PIPE_BYTES, File::from(out)))
}

/// Creates the error for a failed write to standard output.
pub(crate) fn not_written(error: io::Error) -> Error {
    Error::new(ErrorKind::Target, "cannot write to standard output").because(error)
}
