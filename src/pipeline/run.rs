//! Runs a stream through the pipeline, on a pool whose first failure ends all of it.

use std::sync::Arc;
use std::thread;

use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::base::num::usize_of_u32;
use crate::format::snapshot::StreamFormat;
use crate::parse::beginning::Before;
use crate::parse::beginning::Beginning;
use crate::parse::beginning::SEARCHED_BYTES;
use crate::parse::beginning::find_beginning;
use crate::parse::beginning::quote;
use crate::parse::compressed::Compressed;
use crate::parse::detect::Container;
use crate::parse::detect::Detection;
use crate::parse::detect::Wrapping;
use crate::parse::detect::detect;
use crate::parse::detect::wrapping;
use crate::parse::path::PathSeed;
use crate::parse::sql::DumpKind;
use crate::parse::sql::SqlParser;
use crate::parse::tar::TarDissector;
use crate::pipeline::collector::Collector;
use crate::pipeline::ingest::Reader;
use crate::pipeline::ingest::SegmentSender;
use crate::pipeline::ingest::Surroundings;
use crate::pipeline::input::Input;
use crate::pipeline::level::LevelControl;
use crate::pipeline::shared::Shared;
use crate::pipeline::worker::Worker;
use crate::source::Ending;
use crate::source::Source;
use crate::verdict::Facts;
use crate::verdict::MbstreamFacts;
use crate::verdict::Observer;
use crate::verdict::PlainFacts;

/// Segments in progress beyond two for each worker.
const SEGMENTS_SPARE: u32 = 8;

/// Bytes that show what compressed or encrypted a stream.
const WRAPPING_BYTES: usize = 32;

/// A stream that is to be read.
pub struct Incoming {
    /// The producer of the stream.
    pub source: Box<dyn Source>,
    /// The format that the user asked for.
    pub asked: Option<StreamFormat>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// The facts about a stream when it has ended.
#[derive(Debug)]
pub struct Streamed {
    /// Facts that its parser found out.
    pub facts: Facts,
    /// The text that stood before it.
    pub before: Before,
    /// The end of its producer, and its last messages.
    pub ending: Ending,
    /// The reason why it could not be read to its end.
    pub failure: Option<std::io::Error>,
}

/// Called by the collector after each event: the place for checkpoints.
pub type AfterEvent<'c> = dyn FnMut(&mut Collector<'_>) -> Result<()> + Send + 'c;

/// Reads a stream to its end; what arrived is in `collector` afterwards. The stream is taken for
/// what it looks like, unless a format was asked for that fits.
pub fn run(
    incoming: Incoming,
    around: Surroundings<'_>,
    shared: &Arc<Shared>,
    collector: &mut Collector<'_>,
    after_event: &mut AfterEvent<'_>,
) -> Result<Streamed> {
    let monitor = around.monitor;
    let in_flight = shared.workers.max(1) * 2 + SEGMENTS_SPARE;
    let shape =
        Shape { planner: "read", workers: shared.workers, weight_max: in_flight.into(), monitor };
    let run = || {
        crew::in_order_by(
            shape,
            |planner| {
                let sender = SegmentSender::new(planner, &shared.control);
                read(incoming, around, sender, usize_of_u32(in_flight))
            },
            |jobs| Worker::new(Arc::clone(shared)).work(&jobs),
            |event| {
                collector.take(event)?;
                after_event(collector)
            },
        )
    };
    // On a thread of its own the collector has a name, and its time is its own.
    let streamed = thread::scope(|scope| {
        let collecting = crew::start_scoped(scope, "collect", run)?;
        collecting.join().unwrap_or_else(|payload| Err(crew::panicked(&*payload)))
    });
    let mut streamed = streamed?;
    if let Facts::Mbstream(facts) = &mut streamed.facts {
        facts.faults.add(collector.take_bad_payloads());
    }
    Ok(streamed)
}

fn read(
    incoming: Incoming,
    around: Surroundings<'_>,
    sender: SegmentSender<'_>,
    buffers: usize,
) -> Result<Streamed> {
    let Incoming { source, asked } = incoming;
    let mut source = Box::new(WatchedSource { source, control: sender.control() });
    around.monitor.count(Counter::ExpectedBytes, source.expected_bytes().unwrap_or(0));
    let seed = PathSeed::new(around.seed);
    let stopped = sender.stopped();
    let mut input = Input::new(&mut *source, around.monitor, &stopped);
    let reader = Reader::new(around, sender, buffers);
    let beginning = beginning(&mut input, asked)?;
    let skipped = beginning.skipped();
    let facts = match beginning.container {
        Container::Mbstream => {
            let mut observer = Observer::new(seed);
            let (parsed, deltas) = reader.read_mbstream(&mut input, skipped, &mut observer)?;
            let faults = parsed.into();
            Facts::Mbstream(Box::new(MbstreamFacts { observer, faults, deltas }))
        }
        Container::Sql(kind) => {
            let facts = reader.read_container(&mut input, skipped, SqlParser::new(kind))?;
            Facts::Sql(Box::new(facts))
        }
        Container::Tar => {
            let facts = reader.read_container(&mut input, skipped, TarDissector::default())?;
            Facts::Tar(facts)
        }
        Container::Plain => {
            let head = input.fill(WRAPPING_BYTES)?;
            let (wrapping, first_line) = (wrapping(head), quote(head));
            let mut compressed = match wrapping {
                Some(Wrapping::Compressed(program)) => Compressed::new(program),
                Some(Wrapping::Encrypted(_)) | None => Compressed::Unmarked,
            };
            reader.read_plain(&mut input, &mut |bytes| compressed.push(bytes))?;
            Facts::Plain(PlainFacts { wrapping, end: compressed.finish(), first_line })
        }
    };
    let failure = input.take_failure();
    let ending = source.finish().map_err(|e| {
        Error::new(ErrorKind::Source, "cannot learn how the producer ended").because(e)
    })?;
    if let Some(pause) = ending.stages.as_ref().and_then(|stages| stages.pause.as_ref()) {
        let milliseconds = u64::try_from(pause.lasted.as_millis()).unwrap_or(u64::MAX);
        around.monitor.count(Counter::PausedMilliseconds, milliseconds);
        around.monitor.count(Counter::TailBytes, pause.bytes);
        around.monitor.count(Counter::SpooledBytes, pause.spooled_bytes);
    }
    let before = beginning.before;
    Ok(Streamed { facts, before, ending, failure })
}

/// A source whose reads are shown to the control of the compression.
struct WatchedSource<'c> {
    source: Box<dyn Source>,
    control: &'c LevelControl,
}

impl Source for WatchedSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let arrived = self.source.read(buffer)?;
        self.control.read(buffer.len(), arrived);
        Ok(arrived)
    }

    fn finish(self: Box<Self>) -> std::io::Result<Ending> {
        self.source.finish()
    }

    fn expected_bytes(&self) -> Option<u64> {
        self.source.expected_bytes()
    }
}

/// Tells what a stream is taken for, and where it begins. Anything can be kept as it is, and a dump
/// may begin in an unusual way; but nothing becomes an mbstream by being called one.
fn beginning(input: &mut Input<'_>, asked: Option<StreamFormat>) -> Result<Beginning> {
    if asked.is_some_and(StreamFormat::is_plain) {
        return Ok(Beginning::plain(Container::Plain));
    }
    let found = container(input)?;
    if found != Container::Plain {
        return Ok(Beginning::plain(found));
    }
    // Those of before 1988 have no mark, and one without entries begins with zeros.
    if asked == Some(StreamFormat::Tar) {
        return Ok(Beginning::plain(Container::Tar));
    }
    let found = find_beginning(input.fill(SEARCHED_BYTES)?);
    Ok(match (asked, found.container) {
        (Some(StreamFormat::Sql), Container::Plain) => {
            Beginning::plain(Container::Sql(DumpKind::Statements))
        }
        _ => found,
    })
}

fn container(input: &mut Input<'_>) -> Result<Container> {
    let mut need = 1;
    loop {
        let head = input.fill(need)?;
        match detect(head) {
            Detection::Is(container) => return Ok(container),
            Detection::NeedMore { at_least } if head.len() < need => {
                // The stream ended before it said what it is.
                debug_assert!(at_least > head.len(), "more is asked for only when it is missing");
                return Ok(Container::Plain);
            }
            Detection::NeedMore { at_least } => need = at_least,
        }
    }
}
