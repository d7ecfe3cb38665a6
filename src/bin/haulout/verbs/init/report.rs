//! The report of `init`.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::repo::probe::SecondPut;
use haulout::repo::probe::StoreFacts;

use crate::tell::report::Report;
use crate::tell::text::clean;

/// The JSON report of `init`.
#[derive(Debug, Serialize)]
pub(crate) struct Init {
    /// The location of the repository.
    pub(crate) repository: String,
    /// The random id of the repository.
    pub(crate) id: String,
    /// Whether the repository is encrypted.
    pub(crate) encrypted: bool,
    /// The findings about its store, if the store was probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<StoreFacts>,
}

impl Report {
    /// Prints the report of `init`.
    pub(crate) fn init(&self, made: &Init) -> Result<()> {
        let Init { repository, id, encrypted, store } = made;
        let how = if *encrypted { "encrypted" } else { "not encrypted" };
        let seen = store.as_ref().map(seen).unwrap_or_default();
        let text = || format!("made repository {id} at {}, {how}\n{seen}", clean(repository));
        self.result(made, text)
    }
}

/// Formats the facts about a store that people should know.
fn seen(facts: &StoreFacts) -> String {
    let yes = |seen: bool| if seen { "yes" } else { "no" };
    let second = match facts.second_put {
        SecondPut::Refused => "refused",
        SecondPut::Replaces => "replaces the first (harmless: names are hashes)",
    };
    format!(
        "the store: parts of objects {}, listed at once {}, a second put {second}, may delete {}\n",
        yes(facts.ranges),
        yes(facts.listed_after_write),
        yes(facts.deletes),
    )
}
