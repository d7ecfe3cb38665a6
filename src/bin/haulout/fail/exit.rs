//! The exit status of the program, for scripts.

use std::process::ExitCode;

use haulout::error::ErrorCode;

/// The exit statuses. Scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The work is done and nothing was found.
    Done,
    /// Failed: what was asked for has not been done.
    Failed,
    /// The command line makes no sense, or names nothing.
    Usage,
    /// Done, but something was found that a person should look at.
    Findings,
    /// Not done, since the same job runs already.
    Running,
}

impl Exit {
    /// Adds to the status that something was found: `Done` becomes `Findings`.
    pub(crate) fn and_findings(self) -> Self {
        if self == Self::Done { Self::Findings } else { self }
    }

    /// Returns the status for this number of findings.
    pub(crate) fn with(findings: usize) -> Self {
        if findings == 0 { Self::Done } else { Self::Findings }
    }
}

impl Exit {
    /// Returns the status of a command that failed with this code.
    pub(crate) fn after(code: ErrorCode) -> Self {
        if code == ErrorCode::Usage { Self::Usage } else { Self::Failed }
    }

    /// Returns the number of the exit status.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Findings => 3,
            Self::Running => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
