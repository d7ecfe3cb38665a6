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
    /// Done, but something was found that somebody should look at.
    Findings,
}

impl Exit {
    /// Adds to the status that something was found: `Done` becomes `Findings`.
    pub(crate) fn and_findings(self) -> Exit {
        if self == Exit::Done { Exit::Findings } else { self }
    }

    /// Returns the status for this number of findings.
    pub(crate) fn with(findings: usize) -> Exit {
        if findings == 0 { Exit::Done } else { Exit::Findings }
    }
}

impl Exit {
    /// Returns the status of a command that failed with this code.
    pub(crate) fn after(code: ErrorCode) -> Exit {
        if code == ErrorCode::Usage { Exit::Usage } else { Exit::Failed }
    }

    /// Returns the number of the exit status.
    pub(crate) fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Findings => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.status())
    }
}
