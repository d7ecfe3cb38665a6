//! What a check found.

use serde::Serialize;

/// The state of what was looked at, the better ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It is as it should be.
    Good,
    /// It can't be seen from here.
    NotChecked,
    /// The job runs, and a person should look at this.
    Warning,
    /// The job fails, or its backups are not what they seem.
    Failed,
}

impl State {
    /// Returns the word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotChecked => "not checked",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    /// The state that was seen.
    pub(crate) state: State,
    /// What was found, in words.
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// Creates the finding that something is as it should be.
    pub(crate) fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Good, found: found.into(), hint: None }
    }

    /// Creates the finding that something can't be seen from here.
    pub(crate) fn not_checked(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, state: State::NotChecked, found: why.into(), hint: None }
    }

    /// Creates the finding that a person should look at something.
    pub(crate) fn warning(
        check: &'static str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Warning, found: found.into(), hint: Some(hint.into()) }
    }

    /// Creates the finding that something is wrong.
    pub(crate) fn failed(
        check: &'static str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Failed, found: found.into(), hint: Some(hint.into()) }
    }

    /// Returns the finding with a hint.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
