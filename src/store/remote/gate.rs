//! How many requests are in progress at once: as many as the store stands.
//!
//! Every success lets the bound grow a little, every "slow down" halves it: what TCP does with its
//! window. Threads that find no room wait at the gate, which is what slows the pipeline down.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;

use crate::base::crew::lock;
use crate::base::crew::wait;

/// Requests at once before anything is known of the store.
const WINDOW_AT_FIRST: f64 = 8.0;
const WINDOW_MAX: f64 = 32.0;

/// What a request found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The store did it, or said why not.
    Answer,
    /// The store asked for less, or did not answer.
    Strain,
}

/// Bounds the number of requests at once; see the module's documentation.
#[derive(Debug)]
pub(super) struct Gate {
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
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    halvings: u64,
    found: Option<Found>,
}

impl Gate {
    pub(super) fn new() -> Gate {
        let state = State { window: WINDOW_AT_FIRST, inside: 0, halvings: 0 };
        Gate { state: Mutex::new(state), room: Condvar::new() }
    }

    /// Waits for room for one more request.
    pub(super) fn enter(&self) -> Pass<'_> {
        let mut state = self.state();
        while f64::from(state.inside) >= state.window.floor() {
            state = wait(&self.room, state);
        }
        state.inside += 1;
        Pass { gate: self, halvings: state.halvings, found: None }
    }

    // Three numbers; whatever panicked beside them left them whole.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Pass<'_> {
    /// Notes that the request has ended, and what it found.
    pub(super) fn leave(mut self, found: Found) {
        self.found = Some(found);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.inside -= 1;
        match self.found {
            Some(Found::Answer) => {
                state.window = (state.window + 1.0 / state.window).min(WINDOW_MAX);
            }
            Some(Found::Strain) if state.halvings == self.halvings => {
                state.window = (state.window / 2.0).max(1.0);
                state.halvings += 1;
            }
            Some(Found::Strain) | None => {}
        }
        drop(state);
        self.gate.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(gate: &Gate) -> f64 {
        gate.state().window.floor()
    }

    fn is(gate: &Gate, requests: u32) -> bool {
        (window(gate) - f64::from(requests)).abs() < 0.5
    }

    #[test]
    fn strain_halves_the_window_once_and_answers_widen_it() {
        let gate = Gate::new();
        let passes: Vec<Pass<'_>> = (0..8).map(|_| gate.enter()).collect();
        passes.into_iter().for_each(|pass| pass.leave(Found::Strain));
        assert!(is(&gate, 4), "eight that were under way together count once");
        gate.enter().leave(Found::Strain);
        gate.enter().leave(Found::Strain);
        gate.enter().leave(Found::Strain);
        assert!(is(&gate, 1), "one request is always allowed");
        (0..10).for_each(|_| gate.enter().leave(Found::Answer));
        assert!(is(&gate, 4), "{}", window(&gate));
        (0..5000).for_each(|_| gate.enter().leave(Found::Answer));
        assert!(is(&gate, 32));
    }

    #[test]
    fn no_more_are_inside_than_the_window_is_wide() {
        let gate = Gate::new();
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let pass = gate.enter();
                    let inside = gate.state().inside;
                    let mut most = most.lock().unwrap();
                    *most = inside.max(*most);
                    drop(most);
                    pass.leave(Found::Strain);
                });
            }
        });
        assert!(*most.lock().unwrap() <= 8);
        assert_eq!(gate.state().inside, 0);
    }
}
