//! From a URL, options and variables to a client of the service.
//!
//! The variables are those that every tool for these services knows (`AWS_*`, `GOOGLE_*`,
//! `AZURE_*`); they are handed in, the library reads no environment. Options that were typed win.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use object_store::ClientConfigKey;
use object_store::ClientOptions;
use object_store::RetryConfig;
use object_store::aws::AmazonS3;
use object_store::aws::AmazonS3Builder;
use object_store::aws::AmazonS3ConfigKey;
use object_store::aws::AwsCredentialProvider;
use object_store::aws::Checksum;
use object_store::azure::AzureConfigKey;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::gcp::GoogleConfigKey;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::base::buffers::ReadBuffers;
use crate::base::crew;
use crate::base::world::World;
use crate::store::error::Category;
use crate::store::error::Diagnosis;
use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::limiter::Limiter;
use crate::store::location::Location;
use crate::store::location::Service;
use crate::store::remote::Client;
use crate::store::remote::RemoteStore;
use crate::store::remote::RetryPolicy;
use crate::store::remote::client::Wire;
use crate::store::remote::concurrency::ConcurrencyLimit;
use crate::store::remote::listing::Asked;
use crate::store::remote::listing::Dialect;
use crate::store::remote::lock_client::LockClient;
use crate::store::remote::retry::ThroughputEstimate;

/// Threads that move bytes between sockets and memory; nothing is computed on them.
const RUNTIME_THREADS: usize = 2;

/// The options that a user gives for a store.
#[derive(Clone, Default)]
pub struct RemoteOptions {
    /// The address of the service, if not where its owner runs it.
    pub endpoint: Option<String>,
    /// Region that the bucket is in.
    pub region: Option<String>,
    /// Certificates to trust in addition to the system's: a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The permission to connect without TLS.
    pub plain_http: PlainHttp,
    /// The policy of waiting and repeating.
    pub retry_policy: RetryPolicy,
    /// The limit on the rate of bytes that leave.
    pub up: Option<Arc<Limiter>>,
    /// The limit on the rate of bytes that come.
    pub down: Option<Arc<Limiter>>,
    /// Variables of the environment, secrets among them.
    pub variables: Vec<(String, String)>,
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the variables: they hold secrets.
        let mut out = out.debug_struct("RemoteOptions");
        out.field("endpoint", &self.endpoint).field("region", &self.region);
        out.field("ca_file", &self.ca_file).field("plain_http", &self.plain_http);
        out.field("patience", &self.retry_policy).finish_non_exhaustive()
    }
}

/// The permission to connect without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Never: TLS is required.
    #[default]
    Refused,
    /// It is allowed where the address says so.
    Allowed,
}

/// Tells people that a request is being repeated: why, and for how long it will be.
pub type OnRetry = dyn Fn(&StoreError, Duration) + Send + Sync;

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl RemoteStore {
    /// Opens a store in a bucket. Nothing is asked of the service yet.
    pub fn open(
        place: &Location,
        options: &RemoteOptions,
        world: &World,
    ) -> Result<Self, StoreError> {
        let location = place.to_string();
        let Location::Bucket { service, bucket, prefix } = place else {
            return Err(Fault::BadBucketUrl.on(Verb::Open, location));
        };
        let unusable =
            |cause: Cause| StoreError::new(Verb::Open, &location, Category::Other).because(cause);
        let misnamed = |cause: Cause| unusable(cause).with_diagnosis(Diagnosis::Options);
        let plain = options.endpoint.as_deref().is_some_and(|at| at.starts_with("http://"));
        if plain && options.plain_http == PlainHttp::Refused {
            let error = StoreError::new(Verb::Open, &location, Category::Denied);
            let why = "the endpoint is http://, which sends everything without TLS";
            return Err(error.because(why).with_diagnosis(Diagnosis::PlainHttp));
        }
        let no_conditions = Arc::new(AtomicBool::new(false));
        let checks_sums = Arc::new(AtomicBool::new(false));
        let wire = Wire {
            tls: Arc::new(tls(options).map_err(misnamed)?),
            proxies: Arc::new(proxies(options)),
            up: options.up.clone(),
            down: options.down.clone(),
            monitor: Arc::clone(&world.monitor),
            no_conditions: Arc::clone(&no_conditions),
            checks_sums: Arc::clone(&checks_sums),
        };
        let clients = match service {
            Service::S3 => Clients::of_s3(options, bucket, wire),
            Service::Google => google(options, bucket, wire).map(Clients::of_one),
            Service::Azure => azure(options, bucket, wire).map(Clients::of_one),
        };
        let Clients { client, unsigned, batches, locks } = clients.map_err(misnamed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name(crew::thread_name("net"))
            .enable_all()
            .build()
            .map_err(|e| unusable(e.into()))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let dialect = match service {
            Service::S3 | Service::Google => Dialect::S3,
            Service::Azure => Dialect::Azure,
        };
        let whole = Asked { dialect, bucket: bucket.clone(), prefix: prefix.clone() };
        Ok(Self {
            client,
            unsigned,
            batches,
            locks,
            no_batches: AtomicBool::new(false),
            location,
            whole,
            runtime: Some(runtime),
            world: world.clone(),
            on_retry: None,
            retry_policy: options.retry_policy,
            concurrency: ConcurrencyLimit::new(),
            throughput: ThroughputEstimate::new(),
            no_conditions,
            checks_sums,
            ever_answered: AtomicBool::new(false),
            buffers: ReadBuffers::default(),
        })
    }
}

/// The clients of a bucket, as [`RemoteStore`] has them.
struct Clients {
    client: Arc<dyn Client>,
    unsigned: Option<Arc<dyn Client>>,
    batches: Option<Arc<dyn Client>>,
    locks: Option<LockClient>,
}

impl Clients {
    fn of_one(client: impl Client) -> Self {
        Self { client: Arc::new(client), unsigned: None, batches: None, locks: None }
    }

    fn of_s3(options: &RemoteOptions, bucket: &str, wire: Wire) -> Result<Self, Cause> {
        let made = |purpose| s3(options, bucket, wire.clone(), purpose);
        let (store, payload) = made(Purpose::Everything)?;
        let keys = || Arc::clone(store.credentials());
        let mut unsigned: Option<Arc<dyn Client>> = None;
        if payload == Payload::Signed {
            unsigned = Some(Arc::new(made(Purpose::UnsignedPuts(keys()))?.0));
        }
        let batches = made(Purpose::Batches(keys()))?.0;
        let client = Arc::new(store);
        let http = wire.connect(&client_options(options))?;
        let locks = Some(LockClient::new(Arc::clone(&client), http));
        Ok(Self { client, unsigned, batches: Some(Arc::new(batches)), locks })
    }
}

/// Turns the client's own retries off: ours use new signatures, and go on for longer than their
/// credentials may last.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

fn client_options(options: &RemoteOptions) -> ClientOptions {
    let plain = options.plain_http == PlainHttp::Allowed;
    ClientOptions::new().with_config(ClientConfigKey::AllowHttp, plain.to_string())
}

/// Returns the variables that begin like the service's, as keys of its configuration.
fn settings<K: std::str::FromStr>(options: &RemoteOptions, begin: &str) -> Vec<(K, String)> {
    let own = options.variables.iter().filter(|(name, _)| name.starts_with(begin));
    own.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone())))
        .collect()
}

/// The words that `object_store` takes for yes.
const YES: [&str; 5] = ["1", "true", "on", "yes", "y"];

/// The role of a put's bytes in its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// Their SHA-256 is: nothing else protects them on the way.
    Signed,
    /// They are not: TLS protects them, the store checks their CRC64NVME, or the user trusts the
    /// network and has said so.
    Unsigned,
}

/// The purpose of a client of S3; the second and third have the credentials of the first.
#[derive(Debug)]
enum Purpose {
    /// All requests but special ones.
    Everything,
    /// Puts without the hash of their bytes in the signature.
    UnsignedPuts(AwsCredentialProvider),
    /// Deletions of many objects with one request.
    Batches(AwsCredentialProvider),
}

/// Makes a client of S3 for a purpose.
fn s3(
    options: &RemoteOptions,
    bucket: &str,
    wire: Wire,
    purpose: Purpose,
) -> Result<(AmazonS3, Payload), Cause> {
    let mut builder = AmazonS3Builder::new().with_checksum_algorithm(Checksum::CRC64NVME);
    for (key, value) in settings::<AmazonS3ConfigKey>(options, "AWS_") {
        // How to connect is said by options, not by variables.
        if !matches!(key, AmazonS3ConfigKey::Client(_)) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let set = |key| builder.get_config_value(&key);
    let endpoint = set(AmazonS3ConfigKey::Endpoint);
    endpoint.as_deref().map_or(Ok(()), check_address)?;
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let asked = set(AmazonS3ConfigKey::UnsignedPayload)
        .is_some_and(|asked| YES.contains(&asked.to_ascii_lowercase().as_str()));
    let (payload, one_by_one) = match purpose {
        Purpose::Everything if plain && !asked => (Payload::Signed, "true"),
        Purpose::Everything => (Payload::Unsigned, "true"),
        Purpose::UnsignedPuts(keys) => {
            builder = builder.with_credentials(keys);
            (Payload::Unsigned, "true")
        }
        Purpose::Batches(keys) => {
            builder = builder.with_credentials(keys);
            (Payload::Signed, "false")
        }
    };
    let store = builder
        .with_unsigned_payload(payload == Payload::Unsigned)
        .with_bucket_name(bucket)
        .with_disable_tagging(true)
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, one_by_one)
        .with_client_options(client_options(options))
        .with_retry(no_retries())
        .with_http_connector(wire)
        .build()?;
    Ok((store, payload))
}

/// Refuses an address without its scheme, which would be found out too late, by a panic beneath.
fn check_address(endpoint: &str) -> Result<(), Cause> {
    let address = endpoint.parse::<Uri>().ok();
    let is_one = address.is_some_and(|address| {
        matches!(address.scheme_str(), Some("http" | "https"))
            && address.host().is_some_and(|host| !host.is_empty())
            && address.query().is_none()
    });
    if is_one {
        return Ok(());
    }
    Err(format!("{endpoint} is no address like https://s3.example.org").into())
}

fn google(
    options: &RemoteOptions,
    bucket: &str,
    wire: Wire,
) -> Result<object_store::gcp::GoogleCloudStorage, Cause> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in settings::<GoogleConfigKey>(options, "GOOGLE_") {
        if !matches!(key, GoogleConfigKey::Client(_)) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &options.endpoint {
        check_address(endpoint)?;
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_client_options(client_options(options))
        .with_retry(no_retries())
        .with_http_connector(wire)
        .build()?;
    Ok(store)
}

fn azure(
    options: &RemoteOptions,
    container: &str,
    wire: Wire,
) -> Result<object_store::azure::MicrosoftAzure, Cause> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings::<AzureConfigKey>(options, "AZURE_") {
        if !matches!(key, AzureConfigKey::Client(_)) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &options.endpoint {
        check_address(endpoint)?;
        builder = builder.with_endpoint(endpoint.clone());
    }
    let store = builder
        .with_container_name(container)
        .with_disable_tagging(true)
        .with_client_options(client_options(options))
        .with_retry(no_retries())
        .with_http_connector(wire)
        .build()?;
    Ok(store)
}

/// Returns whom to trust: what the system trusts, and what the user names.
pub(super) fn tls(options: &RemoteOptions) -> Result<ClientConfig, Cause> {
    let mut roots = RootCertStore::empty();
    // A certificate of the system that can't be read is one that nothing rests on.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &options.ca_file {
        let unreadable = |why: String| format!("{}: {why}", path.display());
        let text = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
            roots.add(certificate).map_err(|e| unreadable(e.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(unreadable("there is no PEM certificate in it".to_owned()).into());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the proxies that the usual variables name.
pub(super) fn proxies(options: &RemoteOptions) -> Matcher {
    let variable = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let named = |wanted: &str| options.variables.iter().find(|(known, _)| known == wanted);
        let found = named(name).or_else(|| named(&upper));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Matcher::builder()
        .all(variable("all_proxy"))
        .https(variable("https_proxy"))
        .http(variable("http_proxy"))
        .no(variable("no_proxy"))
        .build()
}
