//! Looks for what a first configuration can be made of, in the usual places of a host.
//!
//! What is looked at is bounded: files of more than [`FILE_BYTES_MAX`] bytes, pipes and devices are
//! not read. A place that can't be read is a note, and the others are looked at all the same.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use haulout::server::haproxy;
use haulout::server::haproxy::Pool;
use haulout::server::login::Address;
use haulout::server::login::CLIENT_GROUPS;
use haulout::server::option_file::Options;
use haulout::server::url;

use crate::setup::answers::Files;
use crate::setup::answers::Given;

/// Maximum size of a file that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The services of OpenStack, by the names of their directories.
const SERVICES: [&str; 19] = [
    "nova",
    "neutron",
    "glance",
    "cinder",
    "keystone",
    "placement",
    "heat",
    "octavia",
    "barbican",
    "designate",
    "manila",
    "magnum",
    "ironic",
    "aodh",
    "gnocchi",
    "mistral",
    "masakari",
    "trove",
    "swift",
];

/// What is left out of the directories of services: the disks of virtual machines.
const EXCLUDED: [&str; 1] = ["var/lib/nova/instances"];

/// Where the socket of a server usually is.
const SOCKETS: [&str; 3] =
    ["run/mysqld/mysqld.sock", "var/lib/mysql/mysql.sock", "var/run/mysqld/mysqld.sock"];

/// The option files of a server, and its groups in them.
const SERVER_FILES: [&str; 2] = ["etc/mysql/my.cnf", "etc/my.cnf"];
const SERVER_GROUPS: [&str; 5] = ["client-server", "mysqld", "mariadb", "mariadbd", "server"];

/// The database of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceDatabase {
    /// The configuration that names it.
    pub(crate) path: PathBuf,
    /// Where the service connects to.
    pub(crate) address: Address,
}

/// What was found on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Sockets of servers, the likeliest first.
    pub(crate) sockets: Vec<Given<String>>,
    /// The option file of the administrator.
    pub(crate) administrator: Option<PathBuf>,
    /// The pools of HAProxy, and the file that they stand in.
    pub(crate) pools: Vec<Given<Pool>>,
    /// The databases of services.
    pub(crate) databases: Vec<ServiceDatabase>,
    /// The directories of services.
    pub(crate) files: Files,
    /// What could not be looked at, and why.
    pub(crate) notes: Vec<String>,
}

/// Looks at the usual places below a directory, which is the root of the host.
pub(crate) fn look(root: &Path) -> Found {
    let mut found = Found::default();
    let mut note = |path: &Path, why: String| {
        found.notes.push(format!("{} is left aside: {why}", path.display()));
    };
    let mut sockets = Vec::new();
    let mut add = |value: &str, from: String| {
        let is_there = Path::new(value).exists() && !value.contains(char::is_control);
        if is_there && !sockets.iter().any(|other: &Given<String>| other.value == value) {
            sockets.push(Given::found(value.to_owned(), from));
        }
    };
    let own = root.join("root/.my.cnf");
    match options(&own, &CLIENT_GROUPS) {
        Ok(None) => {}
        Ok(Some(options)) => {
            found.administrator = Some(own.clone());
            add(options.value("socket").unwrap_or_default(), own.display().to_string());
        }
        Err(why) => note(&own, why),
    }
    for path in SERVER_FILES.map(|file| root.join(file)) {
        match options(&path, &SERVER_GROUPS) {
            Ok(None) => {}
            Ok(Some(options)) => {
                add(options.value("socket").unwrap_or_default(), path.display().to_string());
            }
            Err(why) => note(&path, why),
        }
    }
    for socket in SOCKETS.map(|socket| root.join(socket)) {
        add(&socket.to_string_lossy(), "the usual place".to_owned());
    }
    let path = root.join("etc/haproxy/haproxy.cfg");
    match text_of(&path) {
        Ok(None) => {}
        Ok(Some(text)) => {
            let pool = |pool| Given::found(pool, path.display().to_string());
            found.pools = haproxy::pools(&text).into_iter().map(pool).collect();
        }
        Err(error) => note(&path, error.to_string()),
    }
    found.sockets = sockets;
    services(root, &mut found);
    found
}

fn services(root: &Path, found: &mut Found) {
    for service in SERVICES {
        let path = root.join(format!("etc/{service}/{service}.conf"));
        match is_readable(&path) {
            Ok(false) => {}
            Ok(true) => match url::of_service(&path) {
                Ok((address, _)) => found.databases.push(ServiceDatabase { path, address }),
                // Some services have no database: that is no note.
                Err(error) if error.to_string().contains("has no connection") => {}
                Err(error) => found.notes.push(error.with_causes()),
            },
            Err(error) => {
                found.notes.push(format!("{} is left aside: {error}", path.display()));
            }
        }
        for directory in ["etc", "var/lib"].map(|top| root.join(top).join(service)) {
            let path = directory.to_string_lossy();
            if directory.is_dir() && !path.contains(char::is_control) {
                found.files.paths.push(path.into_owned());
            }
        }
    }
    let excluded = EXCLUDED.iter().map(|path| root.join(path)).filter(|path| path.is_dir());
    let relative = |path: PathBuf| path.to_string_lossy().trim_start_matches('/').to_owned();
    found.files.exclude = excluded.map(relative).collect();
}

/// Tells whether a file is there; fails if it can't be read or is no file of a usual size.
fn is_readable(path: &Path) -> io::Result<bool> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    File::open(path).map(|_| true)
}

/// Reads an option file, if it is there.
fn options(path: &Path, groups: &[&str]) -> Result<Option<Options>, String> {
    let is_there = is_readable(path).map_err(|error| error.to_string())?;
    let read = is_there.then(|| Options::read(path, groups));
    read.transpose().map_err(|error| error.with_causes())
}

/// Returns the text of a file, if it is there.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    if !is_readable(path)? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;
    use rustix::fs::FileType;
    use rustix::fs::Mode;
    use rustix::fs::mknodat;

    use super::*;

    fn host() -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        for directory in [
            "root",
            "run/mysqld",
            "etc/mysql",
            "etc/haproxy",
            "etc/nova",
            "etc/glance",
            "etc/swift",
            "var/lib/nova/instances",
        ] {
            fs::create_dir_all(host.path().join(directory)).unwrap();
        }
        host
    }

    fn write(host: &tempfile::TempDir, path: &str, text: &str) -> String {
        let path = host.path().join(path);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    #[test]
    fn everything_is_found_with_where_it_comes_from() {
        let host = host();
        let socket = write(&host, "run/mysqld/mysqld.sock", "");
        let other = write(&host, "other.sock", "");
        let own = format!("[client]\nuser=root\npassword=hidden\nsocket={other}\n");
        let own = write(&host, "root/.my.cnf", &own);
        let proxy = "listen mysql\n bind 10.0.0.9:3306\n server a 10.0.0.1:3306\n";
        let proxy = write(&host, "etc/haproxy/haproxy.cfg", proxy);
        let nova = "[database]\nconnection = mysql+pymysql://nova:hidden@10.0.0.9/nova\n";
        let nova = write(&host, "etc/nova/nova.conf", nova);
        write(&host, "etc/swift/swift.conf", "[swift-hash]\n");
        let found = look(host.path());
        let sockets: Vec<_> = found
            .sockets
            .iter()
            .map(|one| (one.value.clone(), one.from.clone().unwrap()))
            .collect();
        assert_eq!(sockets, [(other, own.clone()), (socket, "the usual place".to_owned())]);
        assert_eq!(found.administrator, Some(own.into()));
        assert_eq!(found.pools.len(), 1);
        assert_eq!(found.pools[0].from.as_ref(), Some(&proxy));
        assert_eq!(found.databases.len(), 1);
        assert_eq!(found.databases[0].path, PathBuf::from(nova));
        assert_eq!(found.databases[0].address.to_string(), "10.0.0.9:3306");
        assert_eq!(found.files.paths.len(), 4, "{:?}", found.files);
        assert!(found.files.exclude[0].ends_with("/var/lib/nova/instances"));
        assert_eq!(found.notes, Vec::<String>::new());
        assert!(!format!("{found:?}").contains("hidden"));
    }

    #[test]
    fn what_is_no_file_or_has_faults_is_a_note_and_no_end() {
        let host = host();
        write(&host, "root/.my.cnf", "[client\n");
        write(&host, "etc/mysql/my.cnf", "no group\n\u{0}\u{1}=\n");
        let huge = File::create(host.path().join("etc/haproxy/haproxy.cfg")).unwrap();
        huge.set_len(FILE_BYTES_MAX + 1).unwrap();
        let pipe = host.path().join("etc/nova/nova.conf");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        write(&host, "etc/glance/glance.conf", "[database]\nconnection = sqlite:///hidden\n");
        let found = look(host.path());
        for part in ["root/.my.cnf", "haproxy.cfg is left aside: it is larger", "nova.conf", "URL"]
        {
            assert!(found.notes.iter().any(|note| note.contains(part)), "{part}: {found:#?}");
        }
        assert!((4..=5).contains(&found.notes.len()), "{:#?}", found.notes);
        assert_eq!((found.sockets.len(), found.pools.len()), (0, 0));
        assert!(!format!("{found:?}").contains("hidden"));
        assert_eq!(look(Path::new("/nowhere")), Found::default());
    }
}
