//! A cluster that is down: what each node has, what is to be done, and the steps on each host.
//!
//! ```text
//! this host --inspect--> report (JSON) --+
//! other hosts, by ssh  ------------------+--compare--> outlook --steps--> plan (a file)
//! plan --act--> commands of this host, a journal beside the plan, reverses
//! ```
//!
//! `compare` and `steps` are pure: they take reports and return what is to be done. As long as a
//! node has good data, the plan leads to that data and to no restore. What a step does is a list of
//! commands that can be read, and run by hand: nothing is done that the plan does not show. An old
//! member is never started under the id of a cluster that was restored behind it: such a node would
//! apply write sets to data that they do not belong to.

pub(crate) mod act;
pub(crate) mod check;
pub(crate) mod collect;
pub(crate) mod compare;
pub(crate) mod inspect;
pub(crate) mod node;
pub(crate) mod plan;
pub(crate) mod steps;
