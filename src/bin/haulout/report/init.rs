//! What came of `init`.

use serde::Serialize;

use haulout::base::error::Result;

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
}

impl Report {
    /// What came of `init`.
    pub(crate) fn init(&self, made: &Init) -> Result<()> {
        let Init { repository, id, encrypted } = made;
        let how = if *encrypted { "encrypted" } else { "not encrypted" };
        let text = || format!("made repository {id} at {}, {how}\n", clean(repository));
        self.result(made, text)
    }
}
