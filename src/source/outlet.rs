//! The standard output of a producer: read by its reader, except in the stage in which the server
//! of the producer stands still. Then it is emptied at once.
//!
//! ```text
//!  otherwise:     producer -> pipe ------------------------------> reader -> pipeline
//!  in the stage:  producer -> pipe -> mover -> memory or spool -> reader -> pipeline
//! ```
//!
//! A reader that waits for the store lets the pipe fill up, and the producer waits. Usually that
//! is right. While the producer holds locks it is not: a node of a Galera cluster applies nothing
//! until they are released ([`stages`](super::stages)). So from the line that begins the stage to
//! the line that ends it a thread of its own, the mover, reads the pipe as fast as it gives bytes,
//! and never waits for anything but room: first in memory, then in a spool. What it moved is read
//! before what is left in the pipe. Outside the stage no byte is copied once more than before.
//!
//! A third thread, the watch, looks how long nothing went on. It waits for no lock that is held
//! during I/O, so it also notices a spool on a disk that hangs. The limit applies to the sum of
//! the times for which the mover waited for room, and to a single time for which the producer gave
//! nothing. Beyond it the producer of a cluster's node is ended: the server drops the connection,
//! releases the locks and goes on within a second. Of any other server it is said.
//!
//! Invariants:
//! - Either the reader or the mover reads the pipe, never both: the order of the bytes is that of
//!   the pipe.
//! - What the mover has read is given to the reader, also after the stage, its limit, and the end
//!   of the producer.
//! - All waits end within a moment once the outlet is closed.
//!
//! What it does not do: tell how the producer ended, and judge. Threads that are stuck in I/O on
//! the spool are not waited for.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::crew;
use crate::base::crew::lock;
use crate::base::num::u64_of;
use crate::base::producer::Server;
use crate::base::producer::StagesSeen;
use crate::base::producer::Stall;
use crate::base::producer::StallCause;
use crate::base::producer::StallOutcome;
use crate::source::LOOK_UP;
use crate::source::killer::Killer;
use crate::source::killer::TERM_WAIT;
use crate::source::read_some;
use crate::source::stages::Message;
use crate::source::stages::Stages;
use crate::source::tail::Next;
use crate::source::tail::Place;
use crate::source::tail::Spool;
use crate::source::tail::Tail;

/// The spool takes this much unless something else is said.
pub const SPOOL_BYTES: u64 = 4 << 30;
/// A stage may stand still for so long unless something else is said.
pub const STALL_LIMIT: Duration = Duration::from_mins(1);
/// The mover reads this much at once.
const MOVED_BYTES: usize = 256 << 10;

/// The rules for the stage in which the server of a producer stands still.
#[derive(Debug, Clone)]
pub struct StageRules {
    /// The directory of the spool.
    pub spool: PathBuf,
    /// Bytes that the spool takes at most.
    pub spool_bytes: u64,
    /// Bytes that wait in memory at most, before the spool is used.
    pub memory_bytes: usize,
    /// The time for which the stage may stand still.
    pub stall_limit: Duration,
    /// What is known of the server beforehand.
    pub server: Server,
    /// The clock by which the stage is timed.
    pub clock: Arc<dyn Clock>,
}

/// Says something where the messages of the producer go.
pub(super) type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// The standard output of a producer. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Shared>);

struct Shared {
    rules: Option<StageRules>,
    killer: Killer,
    say: Say,
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

/// The thread that reads the pipe now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Reader,
    Mover,
}

#[derive(Debug)]
struct State {
    /// The pipe; none once nothing more is read of it.
    pipe: Option<Arc<File>>,
    holder: Option<Holder>,
    /// The mover runs, or has been started.
    is_moving: bool,
    /// What the mover found at the end of the pipe, until the reader comes to it.
    end: Option<io::Result<()>>,
    tail: Tail,
    spool: SpoolState,
    stages: Stages,
    seen: StagesSeen,
    stage: Option<Stage>,
}

#[derive(Debug)]
enum SpoolState {
    NotNeeded,
    Open(Arc<Spool>),
    /// It takes nothing more; what is in it is read.
    Spoiled {
        spool: Option<Arc<Spool>>,
        why: String,
    },
}

/// The stage that is under way.
#[derive(Debug)]
struct Stage {
    began: Duration,
    /// Bytes that the mover has read.
    bytes: u64,
    /// The time for which the mover has waited for room.
    held: Duration,
    held_since: Option<Duration>,
}

impl Outlet {
    /// Takes the pipe of a producer. Without rules it is only read.
    pub(super) fn new(pipe: File, rules: Option<StageRules>, killer: Killer, say: Say) -> Self {
        let server = rules.as_ref().map_or(Server::Unknown, |rules| rules.server);
        let memory = rules.as_ref().map_or(0, |rules| rules.memory_bytes);
        let state = State {
            pipe: Some(Arc::new(pipe)),
            holder: None,
            is_moving: false,
            end: None,
            tail: Tail::new(memory),
            spool: SpoolState::NotNeeded,
            stages: Stages::default(),
            seen: StagesSeen { server, pause: None },
            stage: None,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self(Arc::new(Shared { rules, killer, say, state, changed }))
    }

    /// Reads the next bytes, as [`Source::read`](super::Source::read) does.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = &*self.0;
        let nothing = |state: &mut State| state.is_moving && state.has_nothing();
        let state = lock(&shared.state);
        let waited = shared.changed.wait_timeout_while(state, LOOK_UP, nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.tail.next(buffer) {
            Some(Next::Copied(count)) => {
                shared.changed.notify_all();
                return Ok(count);
            }
            Some(Next::Spooled(at, count)) => {
                let spool = state.spool.file().ok_or(io::ErrorKind::NotFound)?;
                drop(state);
                spool.read(at, &mut buffer[..count])?;
                lock(&shared.state).tail.free(count);
                shared.changed.notify_all();
                return Ok(count);
            }
            None if nothing(&mut state) => return Err(io::ErrorKind::WouldBlock.into()),
            None => {}
        }
        if let Some(end) = state.end.take() {
            state.pipe = None;
            return end.map(|()| 0);
        }
        let Some(pipe) = state.pipe.clone() else { return Ok(0) };
        state.holder = Some(Holder::Reader);
        drop(state);
        let read = read_some(&pipe, buffer);
        let mut state = lock(&shared.state);
        state.holder = None;
        state.count(*read.as_ref().unwrap_or(&0));
        shared.changed.notify_all();
        read
    }

    /// Stops reading: nothing more is wanted of the pipe.
    pub(super) fn close(&self) {
        let mut state = lock(&self.0.state);
        (state.pipe, state.end) = (None, None);
        self.0.changed.notify_all();
    }

    /// Reads a line of the producer's messages, and begins or ends the stage.
    pub(super) fn hear(&self, line: &str) {
        let Some(rules) = &self.0.rules else { return };
        let mut state = lock(&self.0.state);
        let begins = match state.stages.read(line) {
            None => return,
            Some(Message::OfClusterNode) => {
                state.seen.server = Server::ClusterNode;
                false
            }
            Some(Message::StageOver) => {
                state.end_stage(rules.clock.elapsed());
                false
            }
            Some(Message::InStage(name)) => {
                state.seen.pause.get_or_insert_default().stage = name;
                state.begin_stage(rules.clock.elapsed())
            }
        };
        self.0.changed.notify_all();
        drop(state);
        if begins {
            self.start_threads();
        }
    }

    /// Starts what works in the stage. If no thread can be started, the stream is read as before.
    fn start_threads(&self) {
        let moving = self.clone();
        let is_moving = std::mem::replace(&mut lock(&self.0.state).is_moving, true);
        if !is_moving && crew::start("move", move || moving.move_tail()).is_err() {
            let mut state = lock(&self.0.state);
            state.is_moving = false;
            state.take_no_more("no thread can be started for it");
        }
        let watching = self.clone();
        if crew::start("watch", move || watching.watch()).is_err() {
            (self.0.say)("no thread can be started that watches the stage: --stall-limit is void");
        }
        self.0.changed.notify_all();
    }

    /// Returns what was seen of stages, once the producer has ended; nothing if they were not
    /// followed.
    pub(super) fn stages_seen(&self) -> Option<StagesSeen> {
        let rules = self.0.rules.as_ref()?;
        let mut state = lock(&self.0.state);
        // It may have ended without a word about the end of the stage.
        state.end_stage(rules.clock.elapsed());
        Some(state.seen.clone())
    }

    // --- the mover --------------------------------------------------------------------------

    /// Empties the pipe until the stage is over.
    fn move_tail(&self) {
        let Shared { rules: Some(rules), state, changed, .. } = &*self.0 else { return };
        let mut buffer = vec![0; MOVED_BYTES];
        let mut taking = lock(state);
        while taking.holder.is_some() {
            taking = crew::wait(changed, taking);
        }
        taking.holder = Some(Holder::Mover);
        drop(taking);
        while let Some(pipe) = self.pipe_in_stage() {
            match read_some(&pipe, &mut buffer) {
                Ok(count @ 1..) => self.keep(&buffer[..count], rules),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                ended => {
                    let mut state = lock(state);
                    state.end = Some(ended.map(drop));
                    state.end_stage(rules.clock.elapsed());
                }
            }
        }
        let mut state = lock(state);
        (state.holder, state.is_moving) = (None, false);
        changed.notify_all();
    }

    /// Returns the pipe as long as the stage is under way.
    fn pipe_in_stage(&self) -> Option<Arc<File>> {
        let state = lock(&self.0.state);
        state.pipe.clone().filter(|_| state.stage.is_some())
    }

    /// Puts bytes where there is room for them, and waits for it if there is none.
    fn keep(&self, bytes: &[u8], rules: &StageRules) {
        lock(&self.0.state).count_moved(bytes.len());
        loop {
            match self.choose(bytes) {
                Step::Done => return,
                Step::OpenSpool => self.open_spool(rules),
                Step::Wait => self.wait_for_room(rules),
                Step::Write(spool, at) => {
                    let written = spool.write(at, bytes);
                    let mut state = lock(&self.0.state);
                    if let Err(error) = written {
                        state.tail.give_back(bytes.len());
                        state.take_no_more(&format!("it can't be written: {error}"));
                        continue;
                    }
                    state.push_spooled(bytes.len());
                    self.0.changed.notify_all();
                    return;
                }
            }
        }
    }

    /// Decides what to do with bytes, and keeps them if there is room in memory.
    fn choose(&self, bytes: &[u8]) -> Step {
        let mut state = lock(&self.0.state);
        match (state.tail.place(bytes.len()), &state.spool) {
            (Place::Spool(at), SpoolState::Open(spool)) => {
                return Step::Write(Arc::clone(spool), at);
            }
            (Place::Nowhere, SpoolState::NotNeeded) => return Step::OpenSpool,
            // What is in the mover's hand is kept when the stage is over: it is one piece.
            (Place::Nowhere, SpoolState::Open(_) | SpoolState::Spoiled { .. })
                if state.stage.is_some() && state.pipe.is_some() =>
            {
                return Step::Wait;
            }
            (Place::Memory | Place::Spool(_) | Place::Nowhere, _) => {}
        }
        state.tail.push(bytes.to_vec());
        self.0.changed.notify_all();
        Step::Done
    }

    fn open_spool(&self, rules: &StageRules) {
        let made = Spool::create(&rules.spool, rules.spool_bytes);
        let mut state = lock(&self.0.state);
        match made {
            Ok(spool) => {
                state.tail.set_spool_size(spool.size());
                state.spool = SpoolState::Open(Arc::new(spool));
            }
            Err(error) => state.take_no_more(&format!("it can't be made: {error}")),
        }
    }

    /// Waits a moment for room in memory or in the spool, and counts the time.
    fn wait_for_room(&self, rules: &StageRules) {
        let since = rules.clock.elapsed();
        let mut state = lock(&self.0.state);
        if let Some(why) = state.note_full() {
            let spool = rules.spool.display();
            (self.0.say)(&format!(
                "the spool in {spool} takes no more in this stage ({why}); the producer waits for \
                 the repository"
            ));
        }
        if let Some(stage) = &mut state.stage {
            stage.held_since = Some(since);
        }
        let mut state = crew::wait(&self.0.changed, state);
        if let Some(stage) = &mut state.stage {
            stage.held += rules.clock.elapsed().saturating_sub(since);
            stage.held_since = None;
        }
    }

    // --- the watch --------------------------------------------------------------------------

    /// Looks whether something goes on until the stage is over.
    fn watch(&self) {
        let Shared { rules: Some(rules), state, changed, .. } = &*self.0 else { return };
        let mut last = Progress { bytes: 0, at: rules.clock.elapsed() };
        let began = lock(state).stage.as_ref().map(|stage| stage.began);
        loop {
            let seen = crew::wait(changed, lock(state));
            let now = rules.clock.elapsed();
            let stage = seen.stage.as_ref().filter(|stage| Some(stage.began) == began);
            let Some(stage) = stage.filter(|_| seen.pipe.is_some()) else { return };
            if stage.bytes != last.bytes {
                last = Progress { bytes: stage.bytes, at: now };
            }
            let (lasted, cause) = stage.stillness(now, &last);
            drop(seen);
            if lasted > rules.stall_limit && self.stalled(lasted, cause, now) == StallOutcome::Ended
            {
                return self.end_producer();
            }
        }
    }

    /// Notes that the stage has stood still for too long, and decides what is done about it.
    fn stalled(&self, lasted: Duration, cause: StallCause, now: Duration) -> StallOutcome {
        let mut state = lock(&self.0.state);
        let outcome = match state.seen.server {
            Server::ClusterNode => StallOutcome::Ended,
            Server::Unknown => StallOutcome::Warned,
        };
        let pause = state.seen.pause.get_or_insert_default();
        let was_said = pause.stall.as_ref().is_some_and(|stall| stall.outcome == outcome);
        let longest = pause.stall.as_ref().map_or(lasted, |stall| stall.lasted.max(lasted));
        let stall = Stall { stage: pause.stage, lasted: longest, cause, outcome };
        let words = stall.to_string();
        pause.stall = Some(stall);
        if outcome == StallOutcome::Ended {
            // What is left in the pipe is read at leisure.
            state.end_stage(now);
            self.0.changed.notify_all();
        }
        drop(state);
        if !was_said {
            let done = match outcome {
                StallOutcome::Ended => "the producer is ended, so that the node goes on",
                StallOutcome::Warned => "the server may stand still as well",
            };
            (self.0.say)(&format!("{words}; {done} (--stall-limit)"));
        }
        outcome
    }

    /// Ends the producer, which may be stuck in a write and not hear of it.
    fn end_producer(&self) {
        let Shared { rules: Some(rules), killer, state, changed, .. } = &*self.0 else { return };
        let since = rules.clock.elapsed();
        killer.terminate();
        let mut waiting = lock(state);
        while waiting.pipe.is_some() && rules.clock.elapsed().saturating_sub(since) < TERM_WAIT {
            waiting = crew::wait(changed, waiting);
        }
        let is_read = waiting.pipe.is_some();
        drop(waiting);
        // Otherwise it has ended, or is being ended where it was started.
        if is_read {
            killer.kill();
        }
    }
}

/// What the mover does next with bytes in its hand.
enum Step {
    Done,
    OpenSpool,
    Write(Arc<Spool>, u64),
    Wait,
}

/// The bytes of a stage, and when the last of them came.
struct Progress {
    bytes: u64,
    at: Duration,
}

impl Stage {
    /// Returns for how long nothing went on, and why.
    fn stillness(&self, now: Duration, last: &Progress) -> (Duration, StallCause) {
        let being_held = self.held_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let held = self.held + being_held;
        let silent = match self.held_since {
            Some(_) => Duration::ZERO,
            None => now.saturating_sub(last.at),
        };
        if held >= silent { (held, StallCause::Reader) } else { (silent, StallCause::Producer) }
    }
}

impl SpoolState {
    /// Returns the file, if there is one.
    fn file(&self) -> Option<Arc<Spool>> {
        match self {
            Self::NotNeeded => None,
            Self::Open(spool) => Some(Arc::clone(spool)),
            Self::Spoiled { spool, .. } => spool.clone(),
        }
    }
}

impl State {
    /// Tells whether the reader has nothing to take and the stream has not ended.
    fn has_nothing(&self) -> bool {
        self.tail.is_empty() && self.end.is_none() && self.pipe.is_some()
    }

    /// Begins the stage, unless it is under way; tells whether it begins.
    fn begin_stage(&mut self, now: Duration) -> bool {
        if self.stage.is_some() || self.pipe.is_none() {
            return false;
        }
        self.stage = Some(Stage { began: now, bytes: 0, held: Duration::ZERO, held_since: None });
        true
    }

    /// Ends the stage, if it is under way.
    fn end_stage(&mut self, now: Duration) {
        let Some(stage) = self.stage.take() else { return };
        let pause = self.seen.pause.get_or_insert_default();
        pause.lasted += now.saturating_sub(stage.began);
        pause.bytes += stage.bytes;
    }

    /// Counts bytes that came, if they came in the stage.
    fn count(&mut self, bytes: usize) {
        if let Some(stage) = &mut self.stage {
            stage.bytes += u64_of(bytes);
        }
    }

    /// Counts bytes that the mover has read, the last of them perhaps just after the stage.
    fn count_moved(&mut self, bytes: usize) {
        match (&mut self.stage, &mut self.seen.pause) {
            (Some(stage), _) => stage.bytes += u64_of(bytes),
            (None, Some(pause)) => pause.bytes += u64_of(bytes),
            (None, None) => {}
        }
    }

    fn push_spooled(&mut self, length: usize) {
        self.tail.push_spooled(length);
        if let Some(pause) = &mut self.seen.pause {
            pause.spooled_bytes += u64_of(length);
        }
    }

    /// Puts nothing more into the spool. What is in it is still read.
    fn take_no_more(&mut self, why: &str) {
        self.tail.set_spool_size(0);
        self.spool = SpoolState::Spoiled { spool: self.spool.file(), why: why.to_owned() };
    }

    /// Notes that the spool takes no more although it is needed; returns why at the first time.
    fn note_full(&mut self) -> Option<String> {
        let why = match &self.spool {
            SpoolState::NotNeeded => return None,
            SpoolState::Open(spool) => format!("its {} MiB are full", spool.size() >> 20),
            SpoolState::Spoiled { why, .. } => why.clone(),
        };
        let pause = self.seen.pause.get_or_insert_default();
        if pause.spool_full.is_some() {
            return None;
        }
        pause.spool_full = Some(why.clone());
        Some(why)
    }
}
