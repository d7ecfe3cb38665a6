//! How an object store is reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use haulout::store::remote::PlainHttp;

use crate::args::Network;

/// What begins the names of variables that stores and proxies know.
const KNOWN: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
const PROXIES: [&str; 4] = ["all_proxy", "https_proxy", "http_proxy", "no_proxy"];

/// See the module's documentation.
pub(crate) struct NetworkPlan {
    /// Where it is.
    pub(crate) endpoint: Option<String>,
    /// The bucket's region.
    pub(crate) region: Option<String>,
    /// Whom to trust besides.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether without TLS.
    pub(crate) plain_http: PlainHttp,
    /// How long to repeat.
    pub(crate) retry_for: Duration,
    /// Where maps and recent packs are kept.
    pub(crate) cache: Option<PathBuf>,
    /// How many bytes of them.
    pub(crate) cache_bytes: u64,
    /// Variables, secrets among them.
    pub(crate) variables: Vec<(String, String)>,
}

impl fmt::Debug for NetworkPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the variables: they hold secrets.
        out.debug_struct("NetworkPlan").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl NetworkPlan {
    /// What was typed, and what the environment says.
    pub(crate) fn new(
        typed: Network,
        variables: &dyn Fn() -> Vec<(String, String)>,
    ) -> NetworkPlan {
        let is_known = |name: &str| {
            KNOWN.iter().any(|begin| name.starts_with(begin))
                || PROXIES.contains(&name.to_ascii_lowercase().as_str())
        };
        let variables = variables().into_iter().filter(|(name, _)| is_known(name)).collect();
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
}
