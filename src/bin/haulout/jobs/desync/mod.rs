//! The desync of a cluster's node while it is backed up, and the watchdog that ends it.
//!
//! ```text
//! run -- starts --> watchdog -- SET GLOBAL wsrep_desync --> node
//!  |  <-- lines --    |  |
//!  |  -- end ----->   |  +-- note in the state directory
//!  +-- backup <- ends-+
//! ```
//!
//! The watchdog is a process in a session of its own, so that it outlives a run that is killed. The
//! note is for the case that both are: the next run and `doctor` read it.
//!
//! Facts that the order of its steps rests on, tried on MariaDB 10.11 with Galera 26.4: `ON` where
//! it is on leaves the warning 1231, so one statement tests and sets; `ON` in the stage in which
//! the node stands still hangs until its end, whatever the client does, and takes effect then;
//! `OFF` returns at once; a desync outlives its session, and not its server.

pub(crate) mod leftover;
pub(crate) mod node;
pub(crate) mod note;
pub(crate) mod producers;
pub(crate) mod watch;
pub(crate) mod watchdog;
pub(crate) mod wishes;
