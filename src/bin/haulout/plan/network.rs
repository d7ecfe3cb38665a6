//! The settings for reaching an object store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use haulout::store::remote::PlainHttp;

use crate::args::Network;
use crate::args::replicate::OtherArguments;

/// The prefixes of variables that stores and proxies know.
const KNOWN: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
/// The prefix of such variables for the other side of a replication.
const OTHER: &str = "HAULOUT_OTHER_";
const PROXIES: [&str; 4] = ["all_proxy", "https_proxy", "http_proxy", "no_proxy"];

/// The settings for reaching an object store, from arguments and environment.
#[derive(Clone)]
pub(crate) struct NetworkPlan {
    /// The endpoint of the service, if not the provider's default.
    pub(crate) endpoint: Option<String>,
    /// The region of the bucket.
    pub(crate) region: Option<String>,
    /// A file with additional certificate authorities, in PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether connections without TLS are accepted.
    pub(crate) plain_http: PlainHttp,
    /// The time for which a failing request is repeated.
    pub(crate) retry_for: Duration,
    /// The directory that caches maps and recent packs.
    pub(crate) cache: Option<PathBuf>,
    /// Maximum size of that cache in bytes.
    pub(crate) cache_bytes: u64,
    /// Environment variables, secrets among them.
    pub(crate) variables: Vec<(String, String)>,
}

impl fmt::Debug for NetworkPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the variables: they hold secrets.
        out.debug_struct("NetworkPlan").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl NetworkPlan {
    /// Builds the settings from the arguments and the environment.
    pub(crate) fn new(
        typed: Network,
        variables: &dyn Fn() -> Vec<(String, String)>,
    ) -> NetworkPlan {
        let variables = variables()
            .into_iter()
            .filter(|(name, _)| is_of_store(name) || is_of_proxy(name))
            .collect();
        let allowed = typed.allow_http;
        NetworkPlan {
            endpoint: typed.endpoint,
            region: typed.region,
            ca_file: typed.ca_file,
            plain_http: if allowed { PlainHttp::Allowed } else { PlainHttp::Refused },
            retry_for: typed.retry_for,
            cache: typed.cache,
            cache_bytes: typed.cache_size.0,
            variables,
        }
    }

    /// Returns the settings for the other side of a replication: these, with its own options
    /// applied.
    ///
    /// One variable for the other side sets aside all those of this side: half a set of credentials
    /// and half of another are no credentials. So it is with the options.
    pub(crate) fn other(
        &self,
        typed: &OtherArguments,
        variables: &dyn Fn() -> Vec<(String, String)>,
    ) -> NetworkPlan {
        let mut other = self.clone();
        let OtherArguments { other_endpoint, other_region, other_ca_file, .. } = typed;
        if other_endpoint.is_some() || other_region.is_some() || other_ca_file.is_some() {
            other.endpoint.clone_from(other_endpoint);
            other.region.clone_from(other_region);
            other.ca_file.clone_from(other_ca_file);
        }
        let own = |(name, value): (String, String)| {
            let name = name.strip_prefix(OTHER).filter(|name| is_of_store(name))?;
            Some((name.to_owned(), value))
        };
        let own: Vec<(String, String)> = variables().into_iter().filter_map(own).collect();
        if !own.is_empty() {
            other.variables.retain(|(name, _)| is_of_proxy(name));
            other.variables.extend(own);
        }
        other
    }
}

fn is_of_store(name: &str) -> bool {
    KNOWN.iter().any(|begin| name.starts_with(begin))
}

fn is_of_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        network: Network,
        #[command(flatten)]
        other: OtherArguments,
    }

    fn both(line: &str, variables: &[(&str, &str)]) -> (NetworkPlan, NetworkPlan) {
        let typed = Line::try_parse_from(line.split(' ')).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables = || variables.iter().map(owned).collect();
        let near = NetworkPlan::new(typed.network, &variables);
        let other = near.other(&typed.other, &variables);
        (near, other)
    }

    #[test]
    fn the_other_side_is_reached_as_this_one_unless_something_is_said_about_it() {
        let line = "haulout --endpoint https://a --region x --ca-file /a.pem";
        let (near, other) = both(line, &[("AWS_REGION", "r")]);
        assert_eq!(other.endpoint, near.endpoint);
        assert_eq!(other.region, near.region);
        assert_eq!(other.ca_file, near.ca_file);
        assert_eq!(other.variables, near.variables);
        let line = "haulout --endpoint https://a --region x --other-endpoint https://b";
        let (near, other) = both(line, &[]);
        assert_eq!(
            (near.endpoint.as_deref(), near.region.as_deref()),
            (Some("https://a"), Some("x"))
        );
        assert_eq!((other.endpoint.as_deref(), other.region), (Some("https://b"), None));
    }

    #[test]
    fn credentials_of_the_two_sides_are_never_mixed() {
        let (near, other) = both(
            "haulout",
            &[
                ("AWS_ACCESS_KEY_ID", "near"),
                ("AWS_SESSION_TOKEN", "token"),
                ("https_proxy", "proxy"),
                ("HAULOUT_OTHER_AWS_ACCESS_KEY_ID", "far"),
                ("HAULOUT_OTHER_PASSWORD", "secret"),
            ],
        );
        let names = |plan: &NetworkPlan| -> Vec<String> {
            plan.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        let mut expected =
            vec!["AWS_ACCESS_KEY_ID=near", "AWS_SESSION_TOKEN=token", "https_proxy=proxy"];
        assert_eq!(names(&near), expected);
        expected = vec!["https_proxy=proxy", "AWS_ACCESS_KEY_ID=far"];
        assert_eq!(names(&other), expected);
    }
}
