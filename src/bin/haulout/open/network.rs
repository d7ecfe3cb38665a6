//! The settings for reaching an object store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use haulout::store::remote::PlainHttp;

use crate::grammar::common::Network;

/// The prefixes of variables that stores and proxies know.
const KNOWN: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
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
    /// The permission to connect without TLS.
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
    pub(crate) fn new(typed: Network, variables: &dyn Fn() -> Vec<(String, String)>) -> Self {
        let variables = variables()
            .into_iter()
            .filter(|(name, _)| is_of_store(name) || is_of_proxy(name))
            .collect();
        let allowed = typed.allow_http;
        Self {
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
}

/// Tells whether a variable is one of an object store.
pub(crate) fn is_of_store(name: &str) -> bool {
    KNOWN.iter().any(|begin| name.starts_with(begin))
}

/// Tells whether a variable names a proxy.
pub(crate) fn is_of_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_lowercase().as_str())
}
