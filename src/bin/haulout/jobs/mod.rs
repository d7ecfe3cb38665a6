//! Jobs of the configuration: which commands a job is made of, how they are run one after another,
//! and what is remembered of it.
//!
//! ```text
//! [job.X] --plan--> steps, a command line of haulout each --run--> outcomes --> record, metrics
//! ```
//!
//! A step is a command that a person could type, and `run --plan` prints it. It is a process of its
//! own: one that is killed for want of memory takes no other step with it, and gives all of its
//! memory back. A step ends with the process that started it, and the lock of the job with both.

pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod archived;
pub(crate) mod asked;
pub(crate) mod child;
pub(crate) mod clustercheck;
pub(crate) mod desync;
mod desynced;
pub(crate) mod donor;
pub(crate) mod founding;
pub(crate) mod hooks;
pub(crate) mod kubernetes;
pub(crate) mod lock;
pub(crate) mod metrics;
pub(crate) mod notify;
pub(crate) mod ping;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod preflight;
pub(crate) mod producer;
pub(crate) mod record;
pub(crate) mod sequence;
pub(crate) mod server;
pub(crate) mod space;
pub(crate) mod space_plan;
pub(crate) mod turn;
pub(crate) mod units;
pub(crate) mod watch;
pub(crate) mod yaml;
