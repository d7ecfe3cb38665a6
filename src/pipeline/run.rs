//! Runs a stream through the pipeline: starts the threads, joins them, and says which failure was
//! the first.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crossbeam_channel::bounded;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Counter;
use crate::format::snapshot::StreamFormat;
use crate::parse::detect::Container;
use crate::parse::detect::Detection;
use crate::parse::detect::Wrapping;
use crate::parse::detect::detect;
use crate::parse::detect::wrapping;
use crate::parse::mbstream::Parsed;
use crate::parse::path::PathSeed;
use crate::parse::sql::DumpFacts;
use crate::parse::sql::DumpKind;
use crate::parse::sql::SqlParser;
use crate::parse::tar::TarDissector;
use crate::parse::tar::TarFacts;
use crate::pipeline::collector::Collector;
use crate::pipeline::collector::Ordered;
use crate::pipeline::delta::Increments;
use crate::pipeline::ingest::Event;
use crate::pipeline::ingest::Outlet;
use crate::pipeline::ingest::Reader;
use crate::pipeline::ingest::Surroundings;
use crate::pipeline::input::Input;
use crate::pipeline::segment::Segment;
use crate::pipeline::worker::Shared;
use crate::pipeline::worker::Worker;
use crate::source::Ending;
use crate::source::Source;
use crate::verdict::Observer;

/// Segments under way beyond two for each worker.
const SEGMENTS_SPARE: usize = 8;

/// Bytes that tell what compressed or encrypted a stream.
const WRAPPING_BYTES: usize = 32;

/// What is known of a stream when it has ended.
#[derive(Debug)]
pub struct Streamed {
    /// What it was.
    pub format: StreamFormat,
    /// How its producer ended.
    pub ending: Ending,
    /// What its parser says.
    pub told: Told,
    /// Who watched it.
    pub observer: Observer,
    /// Why it could not be read to its end.
    pub failure: Option<std::io::Error>,
}

/// What the parser of a stream says of it.
#[derive(Debug)]
pub enum Told {
    /// Of an mbstream, and of the changed pages in it if it is an increment.
    Mbstream(Parsed, Increments),
    /// Of an SQL dump.
    Sql(DumpFacts),
    /// Of a tar.
    Tar(TarFacts),
    /// Nobody looked into it; this hides its content, if anything does.
    Nothing(Option<Wrapping>),
}

/// Called by the collector after each event: the place for checkpoints.
pub type AfterEvent<'c> = dyn FnMut(&mut Collector<'_>) -> Result<()> + Send + 'c;

/// Reads `source` to its end; what arrived is in `collector` afterwards. The stream is taken for
/// what it looks like, unless something was `asked` for that fits.
pub fn run(
    (source, asked): (Box<dyn Source>, Option<StreamFormat>),
    around: Surroundings<'_>,
    shared: &Arc<Shared>,
    collector: &mut Collector<'_>,
    after_event: &mut AfterEvent<'_>,
) -> Result<Streamed> {
    let workers = crate::base::num::index(shared.workers);
    let in_flight = workers * 2 + SEGMENTS_SPARE;
    let (segment_sender, segments) = bounded::<Segment>(workers);
    let (event_sender, events) = bounded::<(u64, Event)>(in_flight);
    let (credit_sender, credits) = bounded::<()>(in_flight);
    let failures = Failures::default();
    let streamed = std::thread::scope(|scope| {
        for _ in 0..workers {
            let (segments, events) = (segments.clone(), event_sender.clone());
            let (shared, failures) = (Arc::clone(shared), &failures);
            scope.spawn(move || {
                failures.note(work(&segments, &events, shared));
            });
        }
        drop(segments);
        let failures = &failures;
        scope.spawn(move || {
            let ordered = Ordered::new(events, credits);
            failures.note(collect(ordered, collector, after_event));
        });
        let outlet = Outlet {
            segments: segment_sender,
            events: event_sender,
            credits: credit_sender,
            order: 0,
        };
        failures.note(read((source, asked), around, outlet, in_flight))
    });
    failures.first()?;
    streamed.ok_or_else(Error::cancelled)
}

fn work(
    segments: &crossbeam_channel::Receiver<Segment>,
    events: &crossbeam_channel::Sender<(u64, Event)>,
    shared: Arc<Shared>,
) -> Result<()> {
    let mut worker = Worker::new(shared);
    for segment in segments {
        let done = worker.process(&segment)?;
        let order = segment.order;
        drop(segment);
        // The collector is gone only after a failure, which it reports itself.
        events.send((order, Event::Done(Box::new(done)))).map_err(|_| Error::cancelled())?;
    }
    Ok(())
}

fn collect(
    ordered: Ordered,
    collector: &mut Collector<'_>,
    after_event: &mut AfterEvent<'_>,
) -> Result<()> {
    for event in ordered {
        collector.take(event)?;
        after_event(collector)?;
    }
    Ok(())
}

fn read(
    (mut source, asked): (Box<dyn Source>, Option<StreamFormat>),
    around: Surroundings<'_>,
    outlet: Outlet,
    buffers: usize,
) -> Result<Streamed> {
    around.monitor.count(Counter::ExpectedBytes, source.expected_bytes().unwrap_or(0));
    let mut observer = Observer::new(PathSeed::new(around.seed));
    let mut input = Input::new(&mut *source, around.monitor);
    let reader = Reader::new(around, outlet, buffers);
    let (format, told) = match fitting(container(&mut input)?, asked) {
        Container::Mbstream => {
            let (parsed, increments) = reader.read_mbstream(&mut input, &mut observer)?;
            (StreamFormat::Mbstream, Told::Mbstream(parsed, increments))
        }
        Container::Sql(kind) => {
            let facts = reader.read_container(&mut input, SqlParser::new(kind))?;
            (StreamFormat::Sql, Told::Sql(facts))
        }
        Container::Tar => {
            let facts = reader.read_container(&mut input, TarDissector::default())?;
            (StreamFormat::Tar, Told::Tar(facts))
        }
        Container::Plain => {
            let wrapping = wrapping(input.fill(WRAPPING_BYTES)?);
            reader.read_plain(&mut input)?;
            (StreamFormat::Raw, Told::Nothing(wrapping))
        }
    };
    let failure = input.take_failure();
    let ending = source.finish().map_err(|e| {
        Error::new(ErrorKind::Source, "cannot learn how the producer ended").because(e)
    })?;
    Ok(Streamed { format, ending, told, observer, failure })
}

/// What a stream is taken for. Anything can be kept as it is, and a dump may begin in an unusual
/// way; but nothing becomes an mbstream by being called one.
fn fitting(found: Container, asked: Option<StreamFormat>) -> Container {
    match (asked, found) {
        (Some(StreamFormat::Raw), _) => Container::Plain,
        (Some(StreamFormat::Sql), Container::Plain) => Container::Sql(DumpKind::Statements),
        // Those of before 1988 have no mark, and one without entries begins with zeros.
        (Some(StreamFormat::Tar), Container::Plain) => Container::Tar,
        (_, found) => found,
    }
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

/// The failures of a run's threads. One failure makes the others stop, which they report as
/// cancelled.
#[derive(Debug, Default)]
struct Failures(Mutex<Option<Error>>);

impl Failures {
    fn note<T>(&self, result: Result<T>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let only_stopped = |error: &Error| error.kind() == ErrorKind::Cancelled;
        if first.as_ref().is_none_or(only_stopped) {
            *first = Some(error);
        }
        None
    }

    fn first(self) -> Result<()> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
