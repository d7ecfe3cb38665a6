//! Runs that stand, in words and as JSON has them, with the command that ends what is kept for
//! them.

use haulout::repo::standing::IntentVerb;
use haulout::repo::standing::RunId;
use haulout::repo::standing::StandingRun;
use serde::Serialize;

use crate::output::text::Canvas;
use crate::output::timefmt;

/// Characters of an id that are shown to people.
const SHORT: usize = 8;

/// A run that stands, as reports know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) run: RunId,
    pub(crate) verb: IntentVerb,
    /// When it put its intent, seconds since 1970.
    pub(crate) since: u64,
}

/// The JSON report of a run that stands.
#[derive(Debug, Serialize)]
pub(crate) struct StandingJson {
    run: String,
    verb: &'static str,
    since: String,
    /// What ends it if it was killed.
    command: String,
}

impl From<Standing> for StandingJson {
    fn from(standing: Standing) -> Self {
        Self {
            run: standing.run.to_string(),
            verb: standing.verb.name(),
            since: timefmt::for_programs(standing.since),
            command: standing.command(),
        }
    }
}

impl Standing {
    /// Returns the command that ends what is kept for the run, if it was killed.
    pub(crate) fn command(&self) -> String {
        let option = if self.verb.deletes() { "abandon" } else { "break" };
        format!("haulout prune --{option} {}", short(self.run))
    }

    /// Describes the run in words.
    pub(crate) fn words(&self, canvas: Canvas) -> String {
        let (verb, since) = (self.verb.name(), canvas.time(self.since));
        format!("{} ({verb}, since {since})", short(self.run))
    }
}

/// Returns the beginning of an id.
pub(crate) fn short(run: RunId) -> String {
    let id = run.to_string();
    id.get(..SHORT).map_or(id.clone(), str::to_owned)
}

impl From<&StandingRun> for Standing {
    fn from(standing: &StandingRun) -> Self {
        let StandingRun { run, verb, time, .. } = *standing;
        Self { run, verb, since: time }
    }
}
