//! Reads a stream through a dissector: its members into segments, the rest into the script.
//!
//! The stream is read into one buffer of 256 KiB and copied from there into segments: a parser that
//! looks at every byte has the buffer in cache, and the copy costs a tenth of the look.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::format::record::MemberKey;
use crate::parse::container::Dissector;
use crate::parse::container::Sink;
use crate::parse::openings::Openings;
use crate::parse::path::PathSeed;
use crate::parse::script::container::ContainerWriter;
use crate::pipeline::ingest::Ended;
use crate::pipeline::ingest::Event;
use crate::pipeline::ingest::Paths;
use crate::pipeline::ingest::READ_BYTES;
use crate::pipeline::ingest::Reader;
use crate::pipeline::ingest::SCRIPT_PIECE_BYTES;
use crate::pipeline::input::Input;

/// The sink that a dissector fills.
struct Members<'m, 'r> {
    reader: &'m mut Reader<'r>,
    script: ContainerWriter,
    openings: Openings,
    /// Members opened so far; the last of them is the open one, if any is.
    opened: u64,
    is_open: bool,
}

impl Reader<'_> {
    /// Takes a stream apart whose members come one after the other. Before it, `skipped` bytes
    /// belong to no member.
    pub fn read_container<D: Dissector>(
        mut self,
        input: &mut Input<'_>,
        skipped: usize,
        mut dissector: D,
    ) -> Result<D::Facts> {
        self.paths = Paths::SayNothing;
        let seed = PathSeed::new(self.around.seed);
        let mut members = Members {
            reader: &mut self,
            script: ContainerWriter::new(),
            openings: Openings::new(seed),
            opened: 0,
            is_open: false,
        };
        members.literal(&input.fill(skipped)?[..skipped])?;
        input.consume(skipped);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = input.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            dissector.push(&buffer[..count], &mut members)?;
            members.hand_on_script()?;
        }
        let facts = dissector.finish(&mut members)?;
        if members.is_open {
            let number = members.number();
            members.reader.close(number, Ended::Not)?;
        }
        let rest = members.script.finish();
        self.out.event(Event::Script(rest))?;
        Ok(facts)
    }
}

impl Members<'_, '_> {
    fn number(&self) -> u64 {
        self.opened - 1
    }

    fn hand_on_script(&mut self) -> Result<()> {
        if self.script.pending() < SCRIPT_PIECE_BYTES {
            return Ok(());
        }
        self.reader.out.event(Event::Script(self.script.take()))
    }
}

impl Sink for Members<'_, '_> {
    fn literal(&mut self, bytes: &[u8]) -> Result<()> {
        self.script.literal(bytes);
        self.hand_on_script()
    }

    fn open(&mut self, path: &[u8]) -> Result<()> {
        let incarnation = self.openings.next(path).ok_or_else(|| {
            let key = MemberKey { path: path.to_vec(), incarnation: u32::MAX };
            let what = format!("{} begins more than 2^32 times in the stream", key.display());
            Error::new(ErrorKind::Source, what)
        })?;
        self.script.open(path, incarnation);
        let key = MemberKey { path: path.to_vec(), incarnation: incarnation.get() };
        self.reader.open(self.opened, key, 0)?;
        self.opened += 1;
        self.is_open = true;
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<()> {
        let number = self.number();
        self.script.run(u64_of(bytes.len()));
        let mut rest = bytes;
        while !rest.is_empty() {
            self.reader.make_room(number, rest.len())?;
            let segment = self.reader.open_segments.get_mut(number)?;
            let room = segment.buffer.room();
            let (fits, more) = rest.split_at(rest.len().min(room.len()));
            room[..fits.len()].copy_from_slice(fits);
            segment.buffer.advance(fits.len());
            rest = more;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.script.end();
        self.is_open = false;
        self.reader.close(self.number(), Ended::Properly)
    }
}
