//! What came of `init`.

use serde::Serialize;

use haulout::base::error::Result;
use haulout::repo::probe::SecondPut;
use haulout::repo::probe::StoreFacts;

use crate::report::Report;
use crate::text::clean;

/// Of `init`.
#[derive(Debug, Serialize)]
pub(crate) struct Init {
    /// Where.
    pub(crate) repository: String,
    /// The random id.
    pub(crate) id: String,
    /// Whether it is encrypted.
    pub(crate) encrypted: bool,
    /// What its store was seen to do, if that had to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<StoreFacts>,
}

impl Report {
    /// What came of `init`.
    pub(crate) fn init(&self, made: &Init) -> Result<()> {
        let Init { repository, id, encrypted, store } = made;
        let how = if *encrypted { "encrypted" } else { "not encrypted" };
        let seen = store.as_ref().map(seen).unwrap_or_default();
        let text = || format!("made repository {id} at {}, {how}\n{seen}", clean(repository));
        self.result(made, text)
    }
}

/// What people should know of their store.
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
