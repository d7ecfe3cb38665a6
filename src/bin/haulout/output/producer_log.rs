//! Messages of a program that this one runs: they go to standard error, or, if the output is to be
//! brief, to a small buffer that is only shown when something went wrong.

use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use haulout::shared::crew::lock;

use crate::output::console::Console;
use crate::output::console::Loudness;
use crate::panics;

/// Maximum number of bytes of messages that are kept.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// The messages of a program.
#[derive(Debug, Clone)]
pub(crate) struct ProducerLog {
    console: Arc<Console>,
    kept: Arc<Mutex<VecDeque<u8>>>,
}

impl ProducerLog {
    /// Creates a log that is as loud as the console.
    pub(crate) fn new(console: &Arc<Console>) -> Self {
        Self { console: Arc::clone(console), kept: Arc::default() }
    }

    /// Returns a writer that adds messages to this log.
    pub(crate) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }

    /// Prints the messages that were held back.
    pub(crate) fn show(&self) {
        let mut kept = lock(&self.kept);
        let bytes: Vec<u8> = kept.drain(..).collect();
        if !bytes.is_empty() {
            self.console.pass(&bytes);
        }
    }
}

impl Write for ProducerLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        panics::asked_for_at("messages");
        if matches!(self.console.loudness, Loudness::Normal | Loudness::Verbose) {
            self.console.pass(bytes);
            return Ok(bytes.len());
        }
        let mut kept = lock(&self.kept);
        kept.extend(bytes);
        if kept.len() > KEPT_BYTES_MAX {
            // Whole lines only. Half of them at once: the search costs as much as what is kept.
            let excess = kept.len() - KEPT_BYTES_MAX / 2;
            let end = kept.iter().skip(excess).position(|byte| *byte == b'\n');
            kept.drain(..end.map_or(excess, |end| excess + end + 1));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::output::text::Canvas;

    use super::*;

    #[test]
    fn a_quiet_log_keeps_the_last_lines_only() {
        let console = Arc::new(Console::new(Loudness::Quiet, Canvas::FILE));
        let log = ProducerLog::new(&console);
        let mut writer = log.writer();
        for number in 0..20_000 {
            writeln!(writer, "line {number}").unwrap();
        }
        let kept: Vec<u8> = log.kept.lock().unwrap().iter().copied().collect();
        let kept = String::from_utf8(kept).unwrap();
        assert!(kept.len() <= KEPT_BYTES_MAX);
        assert!(kept.starts_with("line 1"), "{}", &kept[..20]);
        assert!(kept.ends_with("line 19999\n"));
    }
}
