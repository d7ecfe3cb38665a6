//! A JSON value with a list of any length in it: it waits in a file, so that an error before its
//! end leaves no half of a value on standard output.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Seek;
use std::io::Write;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use serde::Serialize;

use crate::output::report::in_json;
use crate::output::report::unless_gone;

/// The value so far, in a temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: BufWriter<File>,
    separator: &'static str,
}

impl Spool {
    /// Creates a spool with the text before the first item.
    pub(crate) fn begin(head: &str) -> Result<Self> {
        let mut file = BufWriter::new(tempfile::tempfile().map_err(spooling)?);
        file.write_all(head.as_bytes()).map_err(spooling)?;
        Ok(Self { file, separator: "\n" })
    }

    /// Appends an item to the list.
    pub(crate) fn push(&mut self, item: &impl Serialize) -> Result<()> {
        let written = write!(self.file, "{}{}", self.separator, in_json(item));
        self.separator = ",\n";
        written.map_err(spooling)
    }

    /// Prints the value, with `tail` after the last item.
    pub(crate) fn print(mut self, tail: &str) -> Result<()> {
        writeln!(self.file, "{tail}").map_err(spooling)?;
        let mut file = self.file.into_inner().map_err(|e| spooling(e.into_error()))?;
        file.rewind().map_err(spooling)?;
        unless_gone(io::copy(&mut file, &mut io::stdout().lock()).map(|_| ()))
    }
}

/// Returns the text of an object up to a list that is added to it.
pub(crate) fn before_list(value: &impl Serialize, name: &str) -> String {
    let object = in_json(value);
    let open = object.strip_suffix('}').expect("an object ends in a brace");
    format!("{open},\"{name}\":[")
}

fn spooling(cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, "cannot write a temporary file").because(cause)
}
