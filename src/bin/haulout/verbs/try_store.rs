//! `try-store`: tries whether objects may be put into the store of a repository, and deleted.
//!
//! `doctor` calls it; it is in no list of commands, since nothing else needs it.

use clap::Args;
use haulout::repo::probe::Deletion;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::CacheUse;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db try-store";

/// Try whether the store takes objects
///
/// Puts a small object, which is always the same, and deletes it again. Where it can't be deleted
/// it stays, and has no meaning.
#[derive(Debug, Args)]
#[command(hide = true, after_long_help = EXAMPLE)]
pub(crate) struct TryStoreArguments {}

/// The JSON report of `try-store`.
#[derive(Debug, Serialize)]
struct Tried {
    /// Whether the object could be deleted.
    deletes: bool,
    /// Why it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Job for TryStoreArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, cache: CacheUse::Refused, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        let tried = match run.repository()?.try_writing()? {
            Deletion::Done => Tried { deletes: true, reason: None },
            Deletion::Refused(reason) => Tried { deletes: false, reason: Some(reason) },
        };
        run.report.result(&tried, || match &tried.reason {
            None => "objects can be put and deleted\n".to_owned(),
            Some(reason) => format!("objects can be put, and not deleted: {reason}\n"),
        })?;
        Ok(Exit::Done)
    }
}
