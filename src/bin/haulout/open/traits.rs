//! The properties that a verb declares about itself.
//!
//! Shared code asks this, and never which verb runs: a new verb says here what it needs, and the
//! code that opens repositories stays as it is.

use haulout::ops::memory::Work;
use haulout::store::limiter::Timetable;

/// The declaration of a verb. The default is that of one that reads and shows.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    /// The use that is made of the repository.
    pub(crate) effect: Effect,
    /// The kind of work that `--memory` is spent on.
    pub(crate) work: Work,
    /// The use that is made of `--cache`.
    pub(crate) cache: CacheUse,
    /// The reaction to a repository that `--state` does not recognise.
    pub(crate) when_doubted: WhenDoubted,
    /// The relation to secrets in files that everybody can read.
    pub(crate) secrets: Secrets,
    /// The limit for bytes to and from the repository: `--limit`, if the verb has it.
    pub(crate) limit: Option<Timetable>,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            effect: Effect::Reads,
            work: Work::Reads,
            cache: CacheUse::Allowed,
            when_doubted: WhenDoubted::Refuse,
            secrets: Secrets::Used,
            limit: None,
        }
    }
}

/// The use that a verb makes of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It reads: a key that a rotation retired still opens what there was before, with a warning.
    Reads,
    /// It adds snapshots or notes, for which the library refuses a retired key.
    Adds,
}

/// The use that a verb makes of the cache of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// It reads and fills the cache.
    Allowed,
    /// It looks at the store itself: what earlier runs kept is left aside.
    Refused,
}

/// The reaction to a repository that is not as this host remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenDoubted {
    /// The repository is refused.
    Refuse,
    /// The verb goes on with a warning, since doing nothing would be worse.
    GoOn,
}

/// The relation of a verb to secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// It uses secrets: a file that everybody can read is a finding.
    Used,
    /// It makes secrets: a file that everybody can read is refused.
    Made,
}
