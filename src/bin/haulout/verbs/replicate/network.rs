//! The settings for reaching the other side of a replication.

use haulout::store::remote::PlainHttp;

use crate::environment::Surroundings;
use crate::open::network::NetworkPlan;
use crate::open::network::is_of_proxy;
use crate::open::network::is_of_store;
use crate::verbs::replicate::args::OtherArguments;

/// The prefix of variables for the other side.
const OTHER: &str = "HAULOUT_OTHER_";

/// Returns the settings for the other side: those of this side, with its own options applied.
///
/// One variable for the other side sets aside all those of this side: half a set of credentials
/// and half of another are no credentials. So it is with the options. A repository that has a name
/// in the configuration file has nothing in common with this side.
pub(crate) fn other(
    near: &NetworkPlan,
    typed: &OtherArguments,
    around: &Surroundings<'_>,
) -> NetworkPlan {
    let mut other = near.clone();
    let OtherArguments { other_endpoint, other_region, other_ca_file, .. } = typed;
    let is_named = around.is_other_named;
    let has_own = other_endpoint.is_some() || other_region.is_some() || other_ca_file.is_some();
    if is_named || typed.other_allow_http {
        let allowed = typed.other_allow_http;
        other.plain_http = if allowed { PlainHttp::Allowed } else { PlainHttp::Refused };
    }
    if is_named || has_own {
        other.endpoint.clone_from(other_endpoint);
        other.region.clone_from(other_region);
        other.ca_file.clone_from(other_ca_file);
    }
    let own = |(name, value): (String, String)| {
        let name = name.strip_prefix(OTHER).filter(|name| is_of_store(name))?;
        Some((name.to_owned(), value))
    };
    let own: Vec<(String, String)> = (around.variables)().into_iter().filter_map(own).collect();
    if is_named || !own.is_empty() {
        other.variables.retain(|(name, _)| is_of_proxy(name));
        other.variables.extend(own);
    }
    other
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::environment::Stream;
    use crate::grammar::common::Network;

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
        let around = Surroundings {
            variables: &variables,
            ..Surroundings::of_a_test(Stream::Other, Stream::Other)
        };
        let far = other(&near, &typed.other, &around);
        (near, far)
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
