//! Buffered reading of a source: headers from a small buffer, payload straight into the caller's.

use std::io;

use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::source::Source;

/// Bytes that are read ahead of a header. More would be copied twice, fewer would be read one by
/// one.
const BUFFER_BYTES: usize = 64 << 10;

/// A source with a few bytes read ahead.
pub struct Input<'s> {
    source: &'s mut dyn Source,
    monitor: &'s Monitor,
    check: &'s dyn Fn() -> Result<()>,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    /// The reason why the source could not be read further; it is then taken as ended.
    failure: Option<io::Error>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<'s> Input<'s> {
    /// Starts to read `source`; while it gives nothing, `check` says whether more is wanted.
    pub fn new(
        source: &'s mut dyn Source,
        monitor: &'s Monitor,
        check: &'s dyn Fn() -> Result<()>,
    ) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Input { source, monitor, check, buffer, from: 0, to: 0, ended: false, failure: None }
    }

    /// Returns the bytes read ahead, which were not taken yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Reads until `at_least` bytes are buffered; fewer only at the end of the source.
    pub fn fill(&mut self, at_least: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.from < at_least {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
            let bytes = at_least.max(BUFFER_BYTES);
            self.buffer.resize(self.buffer.len().max(bytes), 0);
        }
        while self.to - self.from < at_least && !self.ended {
            let read = self.read_source(Target::Buffer)?;
            self.to += read;
        }
        Ok(self.buffered())
    }

    /// Drops bytes from the front of the buffer.
    pub fn consume(&mut self, count: usize) {
        self.from += count;
        assert!(self.from <= self.to, "only buffered bytes are consumed");
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Reads into `target`; 0 only at the end of the source or for an empty target.
    pub fn read(&mut self, target: &mut [u8]) -> Result<usize> {
        if self.from == self.to {
            return if target.is_empty() { Ok(0) } else { self.read_source(Target::Slice(target)) };
        }
        let count = target.len().min(self.to - self.from);
        target[..count].copy_from_slice(&self.buffer[self.from..self.from + count]);
        self.consume(count);
        Ok(count)
    }

    fn read_source(&mut self, target: Target<'_>) -> Result<usize> {
        let target = match target {
            Target::Buffer => &mut self.buffer[self.to..],
            Target::Slice(slice) => slice,
        };
        loop {
            (self.check)()?;
            if self.ended {
                return Ok(0);
            }
            match self.source.read(target) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.monitor.count(Counter::StreamBytes, u64_of(count));
                    return Ok(count);
                }
                // The source looks up now and then, so that a wish to stop is heard.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.failure = Some(error);
                    self.ended = true;
                }
            }
        }
    }

    /// Returns why the source could not be read to its end, if it could not.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

enum Target<'t> {
    Buffer,
    Slice(&'t mut [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::BytesSource;
    use crate::source::ProducerExit;

    #[test]
    fn buffered_and_direct_reads_give_the_bytes_in_order() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
        for read_max in [1000, 7, 300_000] {
            let mut source = BytesSource::new(bytes.clone(), read_max, ProducerExit::Unseen);
            let monitor = Monitor::default();
            let mut input = Input::new(&mut source, &monitor, &|| Ok(()));
            let mut out = Vec::new();
            for step in 0.. {
                let head = input.fill(34).unwrap().len().min(34);
                out.extend_from_slice(&input.buffered()[..head]);
                input.consume(head);
                let mut piece = vec![0; 1 + step * 13 % 5000];
                match input.read(&mut piece).unwrap() {
                    0 if head == 0 => break,
                    count => out.extend_from_slice(&piece[..count]),
                }
            }
            assert_eq!(out, bytes);
            assert_eq!(monitor.counts().stream_bytes, 200_000);
        }
    }
}
