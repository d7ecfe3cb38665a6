//! Where the bytes of a job go, and what its sources read, from the configuration: what
//! [`space`](crate::jobs::space) compares.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use haulout::store::location::Location;

use crate::config::Config;
use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::grammar::values::thousandths;
use crate::jobs::producer::is_of_accounts;
use crate::jobs::space::Across;
use crate::jobs::space::Read;
use crate::jobs::space::Reads;
use crate::jobs::space::Room;
use crate::jobs::space::Thousandths;
use crate::jobs::space::size_below;
use crate::output::units::ByteCount;

/// The part of what a source reads that its first backup is expected to store.
const RATIO: Thousandths = Thousandths(600);
/// The size of a spool, if the source says nothing: as the option of `backup` has it.
const SPOOL_BYTES: u64 = 4 << 30;
/// The size of a cache, if nothing is said: as the option has it.
const CACHE_BYTES: u64 = 8 << 30;

/// Where the bytes of a job go.
#[derive(Debug, Default)]
pub(crate) struct SpacePlan {
    /// The name of the repository.
    pub(crate) repository: String,
    /// Its directory; none in an object store.
    directory: Option<PathBuf>,
    quota: Option<u64>,
    /// The cache of an object store, and its size.
    cache: Option<(PathBuf, u64)>,
    sources: BTreeMap<String, SourceSpace>,
}

/// What a source reads, and the spool that its stream may go through.
#[derive(Debug)]
struct SourceSpace {
    reads: Reads,
    spool: Option<(PathBuf, u64)>,
}

impl SpacePlan {
    /// Reads what the configuration says about the repository and the sources of a job.
    pub(crate) fn new(config: &Config, job: &Table) -> Self {
        let name = job.text("repository").unwrap_or_default();
        let Some(repository) = config.repository(name) else { return Self::default() };
        let place = repository.text("url").and_then(|url| Location::parse(url).ok());
        let directory = match place {
            Some(Location::Directory(path)) => Some(path),
            Some(Location::Bucket { .. }) | None => None,
        };
        let general = config.file.table("defaults");
        let text =
            |key: &str| repository.text(key).or_else(|| general?.text(key)).map(str::to_owned);
        let cache = text("cache").filter(|_| directory.is_none()).map(|path| {
            (PathBuf::from(path), text("cache_size").as_deref().map_or(CACHE_BYTES, bytes_of))
        });
        let of = |name: String| Some((name.clone(), SourceSpace::new(config.source(&name)?)));
        Self {
            repository: name.to_owned(),
            directory,
            quota: repository.text("quota").map(bytes_of),
            cache,
            sources: job.texts("sources").into_iter().filter_map(of).collect(),
        }
    }

    /// Returns what a source reads.
    pub(crate) fn reads(&self, source: &str) -> Option<&Reads> {
        self.sources.get(source).map(|space| &space.reads)
    }

    /// Returns the places that take bytes of a source. The bytes in a repository that is no
    /// directory are those that were `listed`, if they were.
    pub(crate) fn rooms(&self, source: &str, listed: Option<u64>) -> Vec<Room> {
        let used = || match &self.directory {
            Some(path) => Some(size_below(path, Across::All)),
            None => listed,
        };
        let allowed = self.quota.and_then(|quota| Some(quota.saturating_sub(used()?)));
        let mut rooms = vec![Room {
            name: format!("the repository {}", self.repository),
            most: u64::MAX,
            directory: self.directory.clone(),
            allowed,
        }];
        let spool = self.sources.get(source).and_then(|space| space.spool.clone());
        rooms.extend(spool.map(|(directory, most)| room("the spool", directory, most)));
        let cache = self.cache.clone().map(|(directory, most)| {
            let used = size_below(&directory, Across::All);
            room("the cache", directory, most.saturating_sub(used))
        });
        rooms.extend(cache);
        rooms
    }
}

fn room(what: &str, directory: PathBuf, most: u64) -> Room {
    let name = format!("{what} {}", directory.display());
    Room { name, most, directory: Some(directory), allowed: None }
}

fn bytes_of(text: &str) -> u64 {
    text.parse().map_or(u64::MAX, |ByteCount(bytes)| bytes)
}

impl SourceSpace {
    fn new(source: &Table) -> Self {
        let kind = source.text("kind").unwrap_or_default();
        let asks = source.get("ask_server").is_none_or(|key| key.value.data == Data::Flag(true));
        let read = match kind {
            "files" => Read::Paths(source.texts("paths").into_iter().map(PathBuf::from).collect()),
            "mariabackup" => match data_directory(source) {
                Some(path) => Read::Paths(vec![path]),
                None if asks => Read::DataDirectory(source.clone()),
                None => Read::Unknown,
            },
            "mariadb-dump" if asks && !is_of_accounts(source) => Read::Tables(source.clone()),
            _ => Read::Unknown,
        };
        let is_set =
            |key: &str| source.get(key).is_some_and(|entry| entry.value.data == Data::Flag(true));
        let ratio = source.get("space_ratio").and_then(|entry| match &entry.value.data {
            Data::Decimal(text) => thousandths(text).ok(),
            Data::Number(number) => thousandths(&number.to_string()).ok(),
            Data::Text(_) | Data::Flag(_) | Data::List(_) | Data::Table(_) | Data::Other(_) => None,
        });
        let spool = (kind == "mariabackup").then(|| {
            let directory = source.text("spool").map_or_else(env::temp_dir, PathBuf::from);
            (directory, source.text("spool_size").map_or(SPOOL_BYTES, bytes_of))
        });
        let ratio = ratio.map_or(RATIO, Thousandths);
        let across = if is_set("one_file_system") { Across::None } else { Across::All };
        Self { reads: Reads { read, across, ratio }, spool }
    }
}

/// Returns the data directory of a server as the source says it: by an argument of mariabackup, or
/// in the option file. Else it is known to the server only.
fn data_directory(source: &Table) -> Option<PathBuf> {
    let arguments = source.texts("args");
    let typed = arguments.iter().find_map(|word| word.strip_prefix("--datadir="));
    if let Some(path) = typed {
        return Some(PathBuf::from(path));
    }
    let text = fs::read_to_string(source.text("defaults_file")?).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "datadir").then(|| PathBuf::from(value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    #[test]
    fn a_data_directory_is_named_by_an_argument_or_in_the_option_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("b.cnf");
        fs::write(&file, "[mariadb]\nuser = b\ndatadir = /srv/mysql\n").unwrap();
        let file = file.display();
        for (text, expected) in [
            (String::new(), None),
            ("args = ['--rsync', '--datadir=/d']".to_owned(), Some("/d")),
            (format!("defaults_file = '{file}'"), Some("/srv/mysql")),
        ] {
            let (source, mistakes) = parse(&text);
            assert_eq!(mistakes, []);
            assert_eq!(data_directory(&source), expected.map(PathBuf::from), "{text}");
        }
    }
}
