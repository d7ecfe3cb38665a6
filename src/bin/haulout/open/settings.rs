//! The settings that all verbs share: defaults filled in, contradictions refused.
//!
//! They are made before anything is touched. What they depend on besides the arguments comes in as
//! [`Surroundings`], and what the verb needs as its [`Traits`], so that they can be tested.

use std::path::PathBuf;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::memory::AtOnce;
use haulout::ops::memory::Processors;
use haulout::store::limiter::Timetable;
use haulout::store::location::Location;

use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::open::memory::at_once;
use crate::open::network::NetworkPlan;
use crate::open::traits::Traits;
use crate::secrets::password::PasswordSource;
use crate::secrets::password::VARIABLES;

/// The settings that all verbs share.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The location of the repository.
    pub(crate) place: Location,
    /// The way to reach it, if it is an object store.
    pub(crate) network: NetworkPlan,
    /// The limit for bytes to and from the repository.
    pub(crate) limit: Option<Timetable>,
    /// The source of the repository's password.
    pub(crate) password: PasswordSource,
    /// The treatment of files with secrets that everybody can read.
    pub(crate) exposed: Exposed,
    /// The directory in which this host remembers what the repository showed.
    pub(crate) state: Option<PathBuf>,
    /// A recovery kit that opens the repository instead of a password.
    pub(crate) recovery_kit: Option<PathBuf>,
    /// The amount of work done at the same time.
    pub(crate) at_once: AtOnce,
    /// The number of workers that was asked for, and that of processors.
    pub(crate) processors: Processors,
    /// The name of this host.
    pub(crate) host: String,
}

/// The treatment of a file with a secret that every user of this host can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposed {
    /// The file is used.
    Accepted,
    /// The file is a finding, and refused where secrets are made.
    Reported,
}

impl Settings {
    /// Builds the settings from the parsed arguments and the surroundings, for a verb with these
    /// traits.
    pub(crate) fn new(
        common: Common,
        network: NetworkPlan,
        traits: &Traits,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let place = place(common.repo.clone(), around)?;
        let processors = Processors { asked: common.threads, present: around.processors };
        let at_once = at_once(common.memory, &place, traits.work, processors)?;
        let password = PasswordSource::choose(
            common.password_file,
            common.password_command,
            &VARIABLES,
            around.variable,
        );
        let exposed =
            if common.insecure_permissions { Exposed::Accepted } else { Exposed::Reported };
        Ok(Self {
            place,
            network,
            limit: traits.limit.clone(),
            password,
            exposed,
            state: common.state,
            recovery_kit: common.recovery_kit,
            at_once,
            processors,
            host: around.host.clone(),
        })
    }
}

/// Parses the location of a repository: its name in the configuration file, a path with a slash, or
/// a URL.
pub(crate) fn place(repo: Option<String>, around: &Surroundings<'_>) -> Outcome<Location> {
    let Some(location) = repo.filter(|location| !location.is_empty()) else {
        return Err(Failure::usage(
            "no repository is named",
            "name it with --repo, or in the variable HAULOUT_REPO",
        ));
    };
    let location = match (around.named)(&location) {
        Some(address) => address,
        None if location.contains(['/', ':', '~', '\\']) => location,
        None => return Err(no_name(&location)),
    };
    Location::parse(&location).map_err(|cause| {
        let message = format!("{location} is no place of a repository");
        let error = Error::new(ErrorKind::Usage, message).because(cause);
        Failure::new(error, place_hint(&location))
    })
}

/// Explains that a word is no name of a repository, and how a path is written.
fn no_name(word: &str) -> Failure {
    Failure::usage(
        format!("the configuration has no repository {word}"),
        format!(
            "a directory is written with a slash: ./{word}; names are those of --config, or of \
             /etc/haulout/haulout.toml"
        ),
    )
}

/// Returns a hint with the location that was probably meant.
fn place_hint(location: &str) -> String {
    if location.starts_with('~') {
        return format!(
            "write the home directory out, or leave the shell to do it; ./{location} is a \
             directory of that name"
        );
    }
    let (scheme, rest) = location.split_once(':').unwrap_or_default();
    let rest = rest.trim_start_matches('/');
    match scheme.to_ascii_lowercase().as_str() {
        "s3" | "gs" | "az" if !rest.is_empty() && !rest.contains(['@', ':']) => {
            format!("write {}://{rest}", scheme.to_ascii_lowercase())
        }
        _ if location.contains("://") => {
            "give a path, or a URL like s3://bucket/prefix, gs://... or az://...".to_owned()
        }
        _ => format!(
            "give a path, or a URL like s3://bucket/prefix; other hosts are reached when they are \
             mounted; ./{location} is a directory of that name"
        ),
    }
}
