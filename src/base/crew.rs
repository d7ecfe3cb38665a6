//! Work on several threads: one pool, one way to fail.
//!
//! [`in_order`] is the pool: one thread plans, several work, and the results are taken in the order
//! of the plan. Whichever of them fails first ends all the others with its error; a panic is an
//! error like any other, and so is a thread that can't be started. The work in progress is
//! bounded by weight, so the memory of a run does not depend on its length.
//!
//! Invariants:
//! - All state of a pool is under one lock, and whatever makes a wait pointless changes it there:
//!   nothing waits for a thread that is gone.
//! - Every wait looks up now and then whether the user wants to stop.
//! - A thread that failed leaves no lock unusable: [`lock`] is the only place that decides so.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::thread;
use std::thread::Builder;
use std::thread::JoinHandle;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::LOOK_UP;
use crate::base::monitor::Monitor;

/// Locks, also after a panic of another holder: the panic ends the run in its own thread, and what
/// is locked in this program is whole after every statement.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the value out of a lock that nothing shares any more; see [`lock`].
pub fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading; see [`lock`].
pub fn read<T: ?Sized>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing; see [`lock`].
pub fn write<T: ?Sized>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condvar` is notified, or for a moment: the caller looks again at what it waits for,
/// and whether it is still wanted.
pub fn wait<'g, T>(condvar: &Condvar, guard: MutexGuard<'g, T>) -> MutexGuard<'g, T> {
    condvar.wait_timeout(guard, LOOK_UP).unwrap_or_else(PoisonError::into_inner).0
}

/// Runs `body`; a panic in it becomes an error.
pub fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

/// Returns the error of a thread that panicked.
pub fn panicked(payload: &(dyn Any + Send)) -> Error {
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let words = words.unwrap_or("without a message");
    Error::new(ErrorKind::Bug, format!("a thread of this program panicked: {words}"))
}

/// Returns the name of the thread with this role, as `ps -L` and `top -H` show it. They show 15
/// characters of it: a role of at most four leaves room for a number.
pub fn thread_name(role: impl fmt::Display) -> String {
    format!("haulout-{role}")
}

/// Starts a thread that outlives its caller's scope.
pub fn start<T: Send + 'static>(
    role: impl fmt::Display,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    Builder::new().name(thread_name(role)).spawn(body).map_err(not_started)
}

/// Starts a thread within a scope.
pub fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    role: impl fmt::Display,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    Builder::new().name(thread_name(role)).spawn_scoped(scope, body).map_err(not_started)
}

/// Returns the error of a thread that could not be started.
pub fn not_started(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Threads, "cannot start another thread").because(cause)
}

/// The first failure of several threads. A failure makes the others stop, which they report as
/// cancelled: that never hides the failure itself.
#[derive(Debug, Default)]
pub struct FirstFailure(Mutex<Option<Error>>);

impl FirstFailure {
    /// Keeps `error`, if it is the first, or the first that is more than the wish to stop.
    pub fn record(&self, error: Error) {
        let mut first = lock(&self.0);
        let only_stopped = |error: &Error| error.kind() == ErrorKind::Cancelled;
        if first.as_ref().is_none_or(only_stopped) {
            *first = Some(error);
        }
    }

    /// Returns the value of a result, and notes its error.
    pub fn keep<T>(&self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.record(error)).ok()
    }

    /// Fails with the first failure, at every call. Its causes come with the first call only.
    pub fn check(&self) -> Result<()> {
        let mut first = lock(&self.0);
        match &*first {
            None => Ok(()),
            Some(error) => {
                let again = Error::new(error.kind(), error.to_string());
                Err(first.replace(again).unwrap_or_else(Error::cancelled))
            }
        }
    }

    /// Fails with the first failure.
    pub fn into_result(self) -> Result<()> {
        unlocked(self.0).map_or(Ok(()), Err)
    }
}

/// The size of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'m> {
    /// The role of the thread that plans, as its name says it.
    pub planner: &'static str,
    /// Threads that work; at least one does.
    pub workers: u32,
    /// Weight that is in progress at most, from the plan until a result is taken. An item that
    /// weighs more is in progress alone.
    pub weight_max: u64,
    /// The monitor that says when the user wants to stop.
    pub monitor: &'m Monitor,
}

/// The plan's side of the pool, to which it hands its items.
#[derive(Debug)]
pub struct Planner<'l, W, R> {
    line: &'l Line<'l, W, R>,
}

impl<W, R> Clone for Planner<'_, W, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W, R> Copy for Planner<'_, W, R> {}

impl<W, R> Planner<'_, W, R> {
    /// Hands over an item for the workers; waits while too much is in progress.
    pub fn work(&self, weight: u64, item: W) -> Result<()> {
        self.line.admit(weight, |state, order| {
            state.queue.push_back((order, item));
            self.line.work.notify_one();
        })
    }

    /// Hands over a result that needs no work, in its place in the order.
    pub fn ready(&self, weight: u64, result: R) -> Result<()> {
        self.line.admit(weight, |state, order| {
            state.done.insert(order, result);
            self.line.results.notify_one();
        })
    }

    /// Fails if the pool has stopped: for a plan that waits for something else than the pool.
    pub fn check(&self) -> Result<()> {
        self.line.shape.monitor.check()?;
        if lock(&self.line.state).stopped { Err(Error::cancelled()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct State<W, R> {
    queue: VecDeque<(u64, W)>,
    /// Results that wait for their turn.
    done: BTreeMap<u64, R>,
    /// Weights of the items in progress, the oldest first.
    weights: VecDeque<u64>,
    weight: u64,
    planned: u64,
    taken: u64,
    /// True once the plan has ended.
    ended: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Line<'m, W, R> {
    shape: Shape<'m>,
    state: Mutex<State<W, R>>,
    room: Condvar,
    work: Condvar,
    results: Condvar,
    failure: FirstFailure,
}

impl<'m, W, R> Line<'m, W, R> {
    fn new(shape: Shape<'m>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            done: BTreeMap::new(),
            weights: VecDeque::new(),
            weight: 0,
            planned: 0,
            taken: 0,
            ended: false,
            stopped: false,
        };
        let (room, work, results) = (Condvar::new(), Condvar::new(), Condvar::new());
        let (state, failure) = (Mutex::new(state), FirstFailure::default());
        Line { shape, state, room, work, results, failure }
    }

    /// Runs one thread's part; its failure ends the others.
    fn run<T>(&self, part: impl FnOnce() -> Result<T>) -> Option<T> {
        let done = self.failure.keep(caught(part));
        if done.is_none() {
            self.stop();
        }
        done
    }

    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        let (queue, done) = (std::mem::take(&mut state.queue), std::mem::take(&mut state.done));
        drop(state);
        self.notify_all();
        // Dropped without the lock, since dropping may run code of the caller.
        drop((queue, done));
    }

    fn notify_all(&self) {
        for waiting in [&self.room, &self.work, &self.results] {
            waiting.notify_all();
        }
    }

    /// Waits until `find` finds something in the state, and returns it; fails if the pool has
    /// stopped.
    fn when<T>(
        &self,
        condvar: &Condvar,
        mut find: impl FnMut(&mut State<W, R>) -> Option<T>,
    ) -> Result<T> {
        let mut state = lock(&self.state);
        loop {
            self.shape.monitor.check()?;
            if state.stopped {
                return Err(Error::cancelled());
            }
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            state = wait(condvar, state);
        }
    }

    fn admit(&self, weight: u64, put: impl FnOnce(&mut State<W, R>, u64)) -> Result<()> {
        let mut put = Some(put);
        self.when(&self.room, |state| {
            if state.weight > 0 && state.weight.saturating_add(weight) > self.shape.weight_max {
                return None;
            }
            let put = put.take()?;
            state.weight = state.weight.saturating_add(weight);
            state.weights.push_back(weight);
            let order = state.planned;
            state.planned += 1;
            put(state, order);
            Some(())
        })
    }

    fn end_plan(&self) {
        lock(&self.state).ended = true;
        self.notify_all();
    }

    /// Returns the next item; `None` if there is none any more.
    fn next_job(&self) -> Result<Option<Job<W>>> {
        self.when(&self.work, |state| match state.queue.pop_front() {
            Some((order, item)) => Some(Some(Job { order, item })),
            None => state.ended.then_some(None),
        })
    }

    fn put_result(&self, order: u64, result: R) -> Result<()> {
        let mut state = lock(&self.state);
        if state.stopped {
            return Err(Error::cancelled());
        }
        state.done.insert(order, result);
        let is_next = order == state.taken;
        drop(state);
        if is_next {
            self.results.notify_one();
        }
        Ok(())
    }

    fn take_all(&self, take: &mut impl FnMut(R) -> Result<()>) -> Result<()> {
        loop {
            let next = self.when(&self.results, |state| {
                let turn = state.taken;
                let Some(result) = state.done.remove(&turn) else {
                    return (state.ended && turn == state.planned).then_some(None);
                };
                state.taken += 1;
                state.weight -= state.weights.pop_front().unwrap_or_default();
                Some(Some(result))
            })?;
            let Some(result) = next else { return Ok(()) };
            self.room.notify_one();
            take(result)?;
        }
    }
}

/// An item for one of the threads that work, and its place in the order.
#[derive(Debug)]
struct Job<W> {
    order: u64,
    item: W,
}

/// A worker's side of the pool, from which it takes its items.
#[derive(Debug)]
pub struct Jobs<'l, W, R> {
    line: &'l Line<'l, W, R>,
}

/// The answer of a worker to whether it takes another item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoOn {
    /// It does, if there is any.
    Yes,
    /// It has to do something else before.
    No,
}

impl<W, R> Jobs<'_, W, R> {
    /// Works on items one after the other, until there are none any more or `work` wants no more
    /// for now, which it says together with its result. Tells whether there may be more.
    pub fn work(&self, mut work: impl FnMut(W) -> Result<(R, GoOn)>) -> Result<GoOn> {
        while let Some(Job { order, item }) = self.line.next_job()? {
            let (result, go_on) = work(item)?;
            self.line.put_result(order, result)?;
            if go_on == GoOn::No {
                return Ok(GoOn::Yes);
            }
        }
        Ok(GoOn::No)
    }
}

/// Plans on a thread of its own, works on several, and takes the results in the order of the plan
/// on this one. `worker` is called once on each of the threads that work, and makes what works
/// there.
///
/// # Errors
///
/// The first failure of any of them, in the order of time.
pub fn in_order<W, R, F, T>(
    shape: Shape<'_>,
    plan: impl FnOnce(Planner<'_, W, R>) -> Result<T> + Send,
    worker: impl Fn() -> F + Sync,
    take: impl FnMut(R) -> Result<()>,
) -> Result<T>
where
    W: Send,
    R: Send,
    T: Send,
    F: FnMut(W) -> Result<R>,
{
    let work = |jobs: Jobs<'_, W, R>| {
        let mut worker = worker();
        jobs.work(|item| Ok((worker(item)?, GoOn::Yes))).map(drop)
    };
    in_order_by(shape, plan, work, take)
}

/// Does the same as [`in_order`] with workers that take their items themselves: `work` is called
/// once on each of the threads that work, and has to go on until there are no more.
pub fn in_order_by<W, R, T>(
    shape: Shape<'_>,
    plan: impl FnOnce(Planner<'_, W, R>) -> Result<T> + Send,
    work: impl Fn(Jobs<'_, W, R>) -> Result<()> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<T>
where
    W: Send,
    R: Send,
    T: Send,
{
    let line = Line::new(shape);
    let mut planned = None;
    thread::scope(|scope| {
        let (line, work, planned) = (&line, &work, &mut planned);
        line.run(move || {
            for number in 1..=shape.workers.max(1) {
                let part = move || line.run(|| work(Jobs { line }));
                start_scoped(scope, format_args!("work-{number}"), part)?;
            }
            let part = move || {
                *planned = line.run(|| plan(Planner { line }));
                line.end_plan();
            };
            start_scoped(scope, shape.planner, part)?;
            line.take_all(&mut take)
        });
    });
    line.failure.into_result()?;
    planned.ok_or_else(Error::cancelled)
}

/// Bytes that may be held at once by the threads that ask first; a piece that is larger than all of
/// them is held alone.
#[derive(Debug)]
pub struct ByteSemaphore {
    bytes_max: u64,
    held: Mutex<u64>,
    room: Condvar,
}

/// Bytes that are held; dropped, they are free again.
#[derive(Debug)]
pub struct Held<'a> {
    semaphore: &'a ByteSemaphore,
    bytes: u64,
}

impl ByteSemaphore {
    /// Creates an allowance of `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, held: Mutex::new(0), room: Condvar::new() }
    }

    /// Waits until there is room for `bytes`, unless the user wants to stop.
    pub fn hold(&self, bytes: u64, monitor: &Monitor) -> Result<Held<'_>> {
        let mut held = lock(&self.held);
        loop {
            monitor.check()?;
            if *held == 0 || held.saturating_add(bytes) <= self.bytes_max {
                *held += bytes;
                return Ok(Held { semaphore: self, bytes });
            }
            held = wait(&self.room, held);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *lock(&self.semaphore.held) -= self.bytes;
        self.semaphore.room.notify_all();
    }
}

#[cfg(test)]
mod tests;
