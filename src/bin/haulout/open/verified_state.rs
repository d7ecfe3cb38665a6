//! What this host has verified in a repository into which it may not put that: one small file
//! beside the record of what the store showed, in the directory of `--state`.
//!
//! It goes when the repository has recorded what it says.

use std::fs;
use std::io;
use std::path::PathBuf;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::verify::Unrecorded;
use haulout::repo::Repository;
use haulout::verdict::finding::Code;
use haulout::verdict::finding::Finding;

use crate::open::run::Run;
use crate::open::trust_state::file_of;
use crate::open::trust_state::write_whole;

/// The place where it is remembered what was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// The repository has it.
    InRepository,
    /// This host has it, in the directory of `--state`.
    InState,
    /// No record of it was kept.
    Nowhere,
}

impl Remembered {
    /// Returns its name in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::InRepository => "repository",
            Self::InState => "state",
            Self::Nowhere => "nowhere",
        }
    }
}

impl Run<'_> {
    /// Returns what this host has verified that the repository does not know; empty if nothing.
    pub(crate) fn verified_here(&self, repository: &Repository) -> Result<Vec<u8>> {
        let Some(path) = self.verified_file(repository)? else { return Ok(Vec::new()) };
        match fs::read(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => {
                let what = format!("cannot read {}", path.display());
                Err(Error::new(ErrorKind::Store, what).because(error))
            }
        }
    }

    fn verified_file(&self, repository: &Repository) -> Result<Option<PathBuf>> {
        let location = repository.store().location();
        let state = self.settings.state.as_ref();
        state.map(|directory| file_of(directory, &location, "verified")).transpose()
    }

    /// Remembers what was verified, where the repository could not record it, and tells where.
    pub(crate) fn remember_verified(
        &self,
        repository: &Repository,
        unrecorded: Option<&Unrecorded>,
    ) -> Result<Remembered> {
        let path = self.verified_file(repository)?;
        let Some(Unrecorded { why, text }) = unrecorded else {
            // What it said is in the repository. One that stays says nothing else.
            let _removed = path.map(fs::remove_file);
            return Ok(Remembered::InRepository);
        };
        let console = &self.report.console;
        let Some(path) = path else {
            console.note(format!(
                "what was verified is not remembered, since the repository can't record it \
                 ({why}): give --state a directory in which this host remembers it"
            ));
            return Ok(Remembered::Nowhere);
        };
        if let Err(error) = write_whole(&path, text) {
            let (object, text) = (path.display().to_string(), format!("can't be written: {error}"));
            self.findings.report(Finding::new(Code::StateNotWritten, object, format!("it {text}")));
            return Ok(Remembered::Nowhere);
        }
        console.note(format!(
            "what was verified is remembered in {} only, since the repository can't record it \
             ({why})",
            path.display()
        ));
        Ok(Remembered::InState)
    }
}
