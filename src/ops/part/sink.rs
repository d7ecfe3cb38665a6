//! Where statements go: a stream, or the client of a server.

use std::io::Write;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::ops::part::client::Client;
use crate::ops::part::options::Target;

/// The place that statements go to, with the number of their bytes so far.
pub(super) struct Sink<'s> {
    place: Place<'s>,
    monitor: &'s Monitor,
    pub(super) bytes: u64,
}

enum Place<'s> {
    Stream(&'s mut (dyn Write + Send)),
    Client(Box<Client<'s>>),
}

impl<'s> Sink<'s> {
    /// Opens the place; statements are in this character set, if they say one.
    pub(super) fn open(
        target: Target<'s>,
        charset: Option<&str>,
        monitor: &'s Monitor,
    ) -> Result<Self> {
        let place = match target {
            Target::Stream(out) => Place::Stream(out),
            Target::Server(server) => {
                Place::Client(Box::new(Client::start(server, charset, monitor)?))
            }
        };
        Ok(Self { place, monitor, bytes: 0 })
    }

    /// Says that what follows belongs to a part of the backup.
    pub(super) fn begin(&mut self, part: &str) {
        if let Place::Client(client) = &mut self.place {
            client.begin(part);
        }
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.monitor.check()?;
        match &mut self.place {
            Place::Stream(out) => out.write_all(bytes).map_err(broken)?,
            Place::Client(client) => client.feed(bytes)?,
        }
        self.bytes += u64_of(bytes.len());
        self.monitor.count(Counter::StreamBytes, u64_of(bytes.len()));
        Ok(())
    }

    /// Ends it; of a server, all is executed then. Returns the number of bytes.
    pub(super) fn finish(self) -> Result<u64> {
        match self.place {
            Place::Stream(out) => out.flush().map_err(broken)?,
            Place::Client(client) => client.finish()?,
        }
        Ok(self.bytes)
    }
}

fn broken(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Target, "cannot write the stream").because(cause)
}
