//! The end of a producer from another thread: from a signal, or because its server may not stand
//! still for longer.

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;

/// A producer that is asked to end is given this long.
pub(super) const TERM_WAIT: Duration = Duration::from_millis(1500);

/// Ends a producer from another thread.
#[derive(Debug, Clone)]
pub struct Killer {
    group: Pid,
    /// Set when the producer was waited for: another process may have its number by now.
    reaped: Arc<AtomicBool>,
    /// True once it was asked to end.
    asked: Arc<AtomicBool>,
}

impl Killer {
    /// Returns the killer of a child that was started as the first of a process group.
    pub fn of(child: &Child) -> io::Result<Self> {
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = id.ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { group, reaped: Arc::default(), asked: Arc::default() })
    }

    /// Remembers that the child was waited for: nothing is killed any more.
    pub fn reaped(&self) {
        self.reaped.store(true, Ordering::Release);
    }

    /// Asks the producer and all that it started to end.
    pub fn terminate(&self) {
        self.asked.store(true, Ordering::Release);
        if !self.reaped.load(Ordering::Acquire) {
            // It may have ended by itself in the meantime.
            let _gone = rustix::process::kill_process_group(self.group, Signal::TERM);
        }
    }

    /// Ends what did not end when it was asked to.
    pub fn kill(&self) {
        if self.reaped.load(Ordering::Acquire) {
            return;
        }
        let _gone = rustix::process::kill_process_group(self.group, Signal::KILL);
    }

    /// Tells whether the producer was asked to end.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Tells whether the producer was waited for.
    pub(super) fn was_reaped(&self) -> bool {
        self.reaped.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(super) fn group(&self) -> Pid {
        self.group
    }
}
