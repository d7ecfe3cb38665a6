//! Gives a repository the feature without which it holds no binary logs.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::config::Features;
use crate::repo::Repository;
use crate::repo::features::set_features;

/// Whether the feature may be set by the first archive of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstTime {
    /// It may not be set.
    Refused,
    /// It is set if it is missing.
    SetsFeature,
}

/// Returns the repository with the feature of binary logs, which is set if it may be.
pub fn enable(repository: &Repository, first_time: FirstTime) -> Result<Repository> {
    let has = repository.features();
    if has.include(Features::BINLOGS) {
        return Ok(repository.clone());
    }
    if first_time == FirstTime::Refused {
        let what = "no binary log was stored in this repository yet, and versions before 0.2 \
                    could not read it any more";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    repository.require_newest_key_still()?;
    set_features(&**repository.store(), repository.keyring(), Features::BINLOGS, "")?;
    Ok(repository.with_features(has.with(Features::BINLOGS)))
}
