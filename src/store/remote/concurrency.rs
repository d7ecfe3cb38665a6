//! The number of requests in progress at once: as many as the store stands.
//!
//! Every success lets the bound grow a little, every "slow down" halves it: what TCP does with its
//! window. Threads that find no room wait for a permit, which is what slows the pipeline down.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;

use crate::base::crew::lock;
use crate::base::crew::wait;

/// Requests at once before anything is known of the store.
const WINDOW_AT_FIRST: f64 = 8.0;
const WINDOW_MAX: f64 = 32.0;

/// The outcome of a request, as a sign of the store's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The store did it, or said why not.
    Answer,
    /// The store asked for less, or did not answer.
    Overloaded,
}

/// Bounds the number of requests at once; see the module's documentation.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug)]
struct State {
    window: f64,
    inside: u32,
    /// Halvings, so that requests that were in progress at one do not cause another.
    halvings: u64,
}

/// A request that is in progress.
#[derive(Debug)]
pub(super) struct Permit<'g> {
    limit: &'g ConcurrencyLimit,
    halvings: u64,
    found: Option<Found>,
}

impl ConcurrencyLimit {
    pub(super) fn new() -> Self {
        let state = State { window: WINDOW_AT_FIRST, inside: 0, halvings: 0 };
        Self { state: Mutex::new(state), room: Condvar::new() }
    }

    /// Waits for room for one more request.
    pub(super) fn enter(&self) -> Permit<'_> {
        let mut state = self.state();
        while f64::from(state.inside) >= state.window.floor() {
            state = wait(&self.room, state);
        }
        state.inside += 1;
        Permit { limit: self, halvings: state.halvings, found: None }
    }

    // Three numbers; whatever panicked beside them left them whole.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Permit<'_> {
    /// Notes that the request has ended, and what it found.
    pub(super) fn leave(mut self, found: Found) {
        self.found = Some(found);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        state.inside -= 1;
        match self.found {
            Some(Found::Answer) => {
                state.window = (state.window + 1.0 / state.window).min(WINDOW_MAX);
            }
            Some(Found::Overloaded) if state.halvings == self.halvings => {
                state.window = (state.window / 2.0).max(1.0);
                state.halvings += 1;
            }
            Some(Found::Overloaded) | None => {}
        }
        drop(state);
        self.limit.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(limit: &ConcurrencyLimit) -> f64 {
        limit.state().window.floor()
    }

    fn is(limit: &ConcurrencyLimit, requests: u32) -> bool {
        (window(limit) - f64::from(requests)).abs() < 0.5
    }

    #[test]
    fn an_overload_halves_the_window_once_and_answers_widen_it() {
        let limit = ConcurrencyLimit::new();
        let passes: Vec<Permit<'_>> = (0..8).map(|_| limit.enter()).collect();
        passes.into_iter().for_each(|permit| permit.leave(Found::Overloaded));
        assert!(is(&limit, 4), "eight that were under way together count once");
        limit.enter().leave(Found::Overloaded);
        limit.enter().leave(Found::Overloaded);
        limit.enter().leave(Found::Overloaded);
        assert!(is(&limit, 1), "one request is always allowed");
        (0..10).for_each(|_| limit.enter().leave(Found::Answer));
        assert!(is(&limit, 4), "{}", window(&limit));
        (0..5000).for_each(|_| limit.enter().leave(Found::Answer));
        assert!(is(&limit, 32));
    }

    #[test]
    fn no_more_are_inside_than_the_window_is_wide() {
        let limit = ConcurrencyLimit::new();
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let permit = limit.enter();
                    let inside = limit.state().inside;
                    let mut most = most.lock().unwrap();
                    *most = inside.max(*most);
                    drop(most);
                    permit.leave(Found::Overloaded);
                });
            }
        });
        assert!(*most.lock().unwrap() <= 8);
        assert_eq!(limit.state().inside, 0);
    }
}
