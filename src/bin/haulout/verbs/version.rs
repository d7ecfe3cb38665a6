//! `version`: prints the version of the program, and of the repositories that it reads and makes.

use clap::Args;
use haulout::repo::FEATURES_KNOWN;
use haulout::repo::FEATURES_MADE;
use haulout::repo::FORMAT_VERSION;
use haulout::repo::Features;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::output::features::bits;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;

const EXAMPLE: &str = "\
Examples:
  haulout version
  haulout version --json | jq .reads.features";

/// Print the version of the program and of its repositories
///
/// The text is that of --version. With --json, also the version and the required features of the
/// repositories that this program reads, and of those that it makes.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VersionArguments {}

/// The JSON report of `version`.
#[derive(Debug, Serialize)]
struct Versions {
    version: &'static str,
    /// The commit that a release was built from, if it is known.
    commit: Option<&'static str>,
    target: &'static str,
    /// The repositories that the program reads and writes to.
    reads: Repositories,
    /// The repositories that the program makes.
    makes: Repositories,
}

/// A version of the repository format.
#[derive(Debug, Serialize)]
struct Repositories {
    format: u16,
    /// The numbers of the required feature bits.
    features: Vec<u32>,
}

impl Repositories {
    fn with(features: Features) -> Self {
        Self { format: FORMAT_VERSION, features: bits(features) }
    }
}

impl VersionArguments {
    /// Prints the version; it is the result, however quiet the program is to be.
    pub(crate) fn run(report: &Report) -> Outcome<Exit> {
        let versions = Versions {
            version: env!("CARGO_PKG_VERSION"),
            commit: Some(env!("HAULOUT_BUILT_FROM")).filter(|commit| !commit.is_empty()),
            target: env!("HAULOUT_TARGET"),
            reads: Repositories::with(FEATURES_KNOWN),
            makes: Repositories::with(FEATURES_MADE),
        };
        match report.format {
            Format::Json => print_json(&versions)?,
            Format::Text => print(concat!("haulout ", env!("HAULOUT_VERSION"), "\n"))?,
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_named_by_the_numbers_of_their_bits() {
        assert_eq!(Repositories::with(Features::NONE).features, Vec::<u32>::new());
        assert_eq!(Repositories::with(Features(1 << 40 | 1 << 3 | 1)).features, [0, 3, 40]);
    }
}
