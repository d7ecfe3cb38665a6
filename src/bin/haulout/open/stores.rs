//! Opens and makes the stores at the places that a user names.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::repo::Object;
use haulout::repo::vacancy::Occupant;
use haulout::repo::vacancy::occupant;
use haulout::shared::SMALL_OBJECT_BYTES_MAX;
use haulout::shared::entries::Entry;
use haulout::shared::entries::entries;
use haulout::store::Store;
use haulout::store::cached::CacheDir;
use haulout::store::cached::Cached;
use haulout::store::cached::not_written;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::limited::Limited;
use haulout::store::limiter::Limiter;
use haulout::store::local::LocalStore;
use haulout::store::location::Location;
use haulout::store::name::ObjectName;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::RemoteStore;
use haulout::store::remote::RetryPolicy;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::network::NetworkPlan;
use crate::open::run::Run;
use crate::open::settings::Settings;
use crate::open::traits::CacheUse;
use crate::output::units;

/// Maximum size in bytes of the maps that are kept while the program runs, if there is no cache.
const TEMPORARY_CACHE_BYTES: u64 = 128 << 20;

/// A place, and the settings for reaching it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'s> {
    /// The location of the repository.
    pub(crate) place: &'s Location,
    /// The settings for reaching it, if it is in an object store.
    pub(crate) network: &'s NetworkPlan,
    /// The effect of `--limit`, if it is a directory.
    pub(crate) directory: Directory,
}

/// The effect of `--limit` on a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    /// The directory may be a share: bytes go through the limit.
    Limited,
    /// The limit is for the other side of a replication.
    Free,
}

impl Site<'_> {
    /// Tells whether the site is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.place, Location::Directory(_))
    }
}

impl Run<'_> {
    /// Returns the site of the repository.
    pub(crate) fn site(&self) -> Site<'_> {
        let Settings { place, network, .. } = &self.settings;
        Site { place, network, directory: Directory::Limited }
    }

    /// Opens the store at a place that should have one.
    pub(crate) fn store_at(&self, site: &Site<'_>) -> Result<Arc<dyn Store>> {
        let place = site.place;
        let cannot_open = |e: StoreError| e.named(format!("cannot open {place}"));
        match place {
            Location::Directory(path) => {
                let local = LocalStore::open(path).map_err(|error| {
                    if error.category() == Category::NotFound {
                        let message = format!("there is no repository at {place}");
                        return Error::new(ErrorKind::NoRepository, message);
                    }
                    if path.exists() && !path.is_dir() {
                        let message = format!("{place} is a file, and no directory");
                        return Error::new(ErrorKind::NoRepository, message);
                    }
                    cannot_open(error)
                })?;
                Ok(self.limited(site, Arc::new(local)))
            }
            Location::Bucket { .. } => Ok(Arc::new(Cached::new(self.remote(site)?, self.cache()))),
        }
    }

    /// Returns the cache for maps and recent packs of a bucket.
    ///
    /// A verb that looks at the store itself leaves aside what earlier runs kept.
    fn cache(&self) -> CacheDir {
        let NetworkPlan { cache, cache_bytes, .. } = &self.settings.network;
        match cache.as_deref() {
            Some(directory) if self.traits.cache == CacheUse::Allowed => {
                match CacheDir::open(directory, *cache_bytes) {
                    Ok(opened) => opened.reporting(Arc::clone(&self.findings)),
                    Err(error) => {
                        self.findings.report(not_written(directory, &error));
                        CacheDir::of_this_run(TEMPORARY_CACHE_BYTES)
                    }
                }
            }
            _ => CacheDir::of_this_run(TEMPORARY_CACHE_BYTES),
        }
    }

    /// Opens the store in a bucket.
    fn remote(&self, site: &Site<'_>) -> Result<RemoteStore> {
        let (place, plan) = (site.place, site.network);
        let console = Arc::clone(&self.report.console);
        let on_retry = move |error: &StoreError, left: Duration| {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            let left = units::span(left);
            console.note(format!("{error}: {why}; trying again for up to {left}"));
        };
        let options = RemoteOptions {
            endpoint: plan.endpoint.clone(),
            region: plan.region.clone(),
            ca_file: plan.ca_file.clone(),
            plain_http: plan.plain_http,
            retry_policy: RetryPolicy { retry_for: plan.retry_for, ..RetryPolicy::default() },
            up: self.limiter(),
            down: self.limiter(),
            variables: plan.variables.clone(),
        };
        let opened = RemoteStore::open(place, &options, &self.world);
        let opened = opened.map_err(|e| e.named(format!("cannot open {place}")))?;
        Ok(opened.reporting_retries(Arc::new(on_retry)))
    }

    /// Creates a limiter from `--limit`; each direction gets its own.
    fn limiter(&self) -> Option<Arc<Limiter>> {
        let timetable = self.settings.limit.clone()?;
        Some(Arc::new(Limiter::new(timetable, Arc::clone(&self.report.clock))))
    }

    /// Returns a directory with the limit in front, if there is one.
    fn limited(&self, site: &Site<'_>, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match (self.limiter(), self.limiter()) {
            (Some(up), Some(down)) if site.directory == Directory::Limited => {
                Arc::new(Limited::new(store, up, down, Arc::clone(&self.world.monitor)))
            }
            _ => store,
        }
    }

    /// Opens the store at a place that has a repository, or nothing yet; a directory is made if
    /// need be.
    pub(crate) fn new_store_at(&self, site: &Site<'_>) -> Outcome<Arc<dyn Store>> {
        let place = site.place;
        match place {
            Location::Directory(path) => {
                require_vacant_directory(path)?;
                let made = LocalStore::create(path).map_err(|e| not_made(place, path, e))?;
                Ok(self.limited(site, Arc::new(made)))
            }
            Location::Bucket { .. } => {
                let store = self.remote(site)?;
                require_vacant_bucket(&store)?;
                // The store is mostly written, hardly read: it needs no cache.
                Ok(Arc::new(store))
            }
        }
    }
}

/// The hint for a place that can't have a directory.
const NO_DIRECTORY_HERE: &str = "name a directory on a disk or share that keeps files, below one \
                                 that this user may write to";

/// Explains why a directory could not be made.
fn not_made(place: &Location, path: &Path, error: StoreError) -> Failure {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if error.category() == Category::NotFound && !parent.exists() => {
            let parent = parent.display();
            let message = format!("cannot make {place}: there is no directory {parent}");
            let error = Error::new(ErrorKind::NoRepository, message);
            Failure::new(
                error,
                "check the name, and that it is mounted; only the last directory of a path is made",
            )
        }
        _ if error.category() == Category::Full => {
            error.named(format!("cannot make {place}")).into()
        }
        _ => Failure::new(error.named(format!("cannot make {place}")), NO_DIRECTORY_HERE),
    }
}

/// Refuses a bucket and prefix with something else in it.
fn require_vacant_bucket(store: &dyn Store) -> Outcome<()> {
    let place = store.location();
    let cannot_look = |e: StoreError| e.named(format!("cannot look into {place}"));
    // The object is read, not only looked up: a store that refuses explains why in the body.
    match store.get(&Object::Config.name(), SMALL_OBJECT_BYTES_MAX) {
        // The library says more about it.
        Ok(_) => return Ok(()),
        Err(error) if error.category() == Category::NotFound => {}
        Err(error) => return Err(cannot_look(error).into()),
    }
    let mut names = Vec::new();
    store.list("", &mut |meta| names.push(meta.name)).map_err(cannot_look)?;
    require_vacant(&place, occupant(names.iter().map(ObjectName::as_str)))
}

/// Refuses a directory with something else in it.
fn require_vacant_directory(path: &Path) -> Outcome<()> {
    let cannot_look = |error: io::Error| {
        let message = format!("cannot look into {}", path.display());
        Error::new(ErrorKind::Store, message).because(error)
    };
    let entries = match entries(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let file = path.ancestors().find(|part| part.exists()).unwrap_or(path);
            let message = format!("{} is a file, and no directory", file.display());
            return Err(Error::new(ErrorKind::Occupied, message).into());
        }
        Err(error) => return Err(cannot_look(error).into()),
    };
    let name = |entry: io::Result<Entry>| Ok(entry?.name.display().to_string());
    let names: Vec<String> = entries.map(name).collect::<io::Result<_>>().map_err(cannot_look)?;
    require_vacant(&path.display().to_string(), occupant(names))
}

fn require_vacant(place: &str, occupant: Occupant) -> Outcome<()> {
    match occupant {
        // The library says more about a repository.
        Occupant::Nothing | Occupant::Repository => Ok(()),
        Occupant::Foreign(name) => {
            let message = format!("{place} is not empty: it has {name}");
            Err(Error::new(ErrorKind::Occupied, message).into())
        }
    }
}
