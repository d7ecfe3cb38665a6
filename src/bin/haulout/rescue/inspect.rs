//! Looks at the node of this host.
//!
//! A server that does not run is started once with `--wsrep-recover`, which recovers InnoDB, prints
//! the position and ends: the same that the unit of the server does before each start. Everything
//! else only reads.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use haulout::ops::restore::accounts::Accounts;
use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::server::option_file::Options;
use haulout::server::session::Session;
use haulout::shared::entries::entries;
use haulout::world::Clock;

use crate::doctor::host::free_bytes;
use crate::doctor::tool::Version;
use crate::rescue::node::Isolation;
use crate::rescue::node::NodeReport;
use crate::rescue::node::Running;
use crate::rescue::node::ServiceCommands;
use crate::rescue::node::VERSION;
use haulout::server::saved_state::Position;
use haulout::server::saved_state::SavedState;
use haulout::server::saved_state::saved_state;
use haulout::server::settings::ServerSettings;
use haulout::server::startup_log;
use haulout::server::startup_log::Cause;
use haulout::server::startup_log::CauseKind;

/// The user of a server whose option files name none.
const USER: &str = "mysql";

/// Bytes at the end of a log that are read.
const LOG_BYTES: u64 = 256 << 10;

/// Free bytes of a file system below which a server may not start.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// What to look at, and how.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The name of this host.
    pub(crate) host: String,
    /// The program of the server.
    pub(crate) program: PathBuf,
    /// The option file of the server, if it is not the usual one.
    pub(crate) defaults_file: Option<PathBuf>,
    /// The option file with an account for a server that runs.
    pub(crate) login_file: Option<PathBuf>,
    /// Whether the position of a server that does not run is recovered.
    pub(crate) recovery: Recovery,
    /// How the server is started and stopped.
    pub(crate) commands: ServiceCommands,
}

/// Whether a server is started to recover its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// It is, if the data directory does not tell it.
    Run,
    /// Only what is written in the data directory counts.
    Skip,
}

/// Looks at the node.
pub(crate) fn inspect(look: &Look, clock: &dyn Clock) -> io::Result<NodeReport> {
    let settings = settings(look)?;
    let directory = settings.data_directory();
    let value = |name: &str| settings.value(name).unwrap_or_default().to_owned();
    let mut report = NodeReport {
        version: VERSION,
        host: look.host.clone(),
        time: clock.unix_seconds(),
        server: server_version(look),
        defaults_file: look.defaults_file.clone(),
        socket: settings.socket(),
        is_mount_point: is_mount_point(&directory),
        owner: owner(&directory, &value("user")),
        bytes: 0,
        free_bytes: free_bytes(&directory).unwrap_or_default(),
        newest_write: newest_write(&directory),
        cluster_name: value("wsrep-cluster-name"),
        members: settings.members(),
        node_address: value("wsrep-node-address"),
        client_port: settings.client_port(),
        running: None,
        saved: None,
        position: None,
        causes: Vec::new(),
        isolation: isolation(&settings),
        commands: look.commands.clone(),
        data_directory: directory.clone(),
    };
    match size_of(&directory) {
        Ok(bytes) => report.bytes = bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => report.causes.push(Cause {
            kind: CauseKind::Rights,
            seen: format!("{}: {error}", directory.display()),
        }),
    }
    let saved = fs::read_to_string(directory.join("grastate.dat"));
    report.saved = saved.ok().as_deref().and_then(saved_state);
    if !ask_server(look, &settings, &mut report) {
        look_at_files(look, &settings, &mut report);
    }
    Ok(report)
}

/// Asks the server, and tells whether it runs.
fn ask_server(look: &Look, settings: &ServerSettings, report: &mut NodeReport) -> bool {
    let login = match &look.login_file {
        None => Ok(Login::of_user("root")),
        Some(path) => Options::read(path, &["client", "mysql", "mariadb"])
            .map(|options| Login::from_options(&options, "root")),
    };
    let connected =
        login.and_then(|login| Session::connect(&Address::Socket(settings.socket()), &login));
    let node = connected.and_then(|mut session| Node::ask(&mut session));
    match node {
        Ok(node) => {
            let node = node.unwrap_or_default();
            let seqno = i64::try_from(node.committed).unwrap_or(-1);
            report.position = Some(Position { uuid: node.cluster, seqno });
            report.running =
                Some(Running { status: node.status, state: node.state_words, size: node.size });
            true
        }
        Err(error) if is_locked(&settings.data_directory().join("ibdata1")) => {
            // Its position can't be had, and must not be recovered beside it.
            report.running =
                Some(Running { status: String::new(), state: error.with_causes(), size: 0 });
            report.causes.push(Cause {
                kind: CauseKind::NotRecovered,
                seen: format!("a server runs and can't be asked: {}", error.with_causes()),
            });
            true
        }
        Err(_) => false,
    }
}

/// Looks at the data of a server that does not run, and why it does not.
fn look_at_files(look: &Look, settings: &ServerSettings, report: &mut NodeReport) {
    let directory = &report.data_directory;
    if !directory.join("ibdata1").exists() {
        let seen = format!("there is no ibdata1 in {}", directory.display());
        report.causes.push(Cause { kind: CauseKind::NoData, seen });
    }
    if let Some(log) = settings.error_log().and_then(|path| tail(&path)) {
        report.causes.extend(startup_log::causes(&log));
    }
    report.causes.extend(causes_here(settings, report.free_bytes));
    let has_data = !report.causes.iter().any(|cause| cause.kind == CauseKind::NoData);
    let saved = report.saved.as_ref().map(|saved: &SavedState| saved.position.clone());
    let is_known = saved.as_ref().is_some_and(Position::is_known);
    report.position = saved.filter(|_| is_known && has_data);
    if has_data && !is_known && look.recovery == Recovery::Run {
        let (position, more) = recover(look);
        report.position = position;
        report.causes.extend(more);
    }
    report.causes.sort();
    report.causes.dedup_by_key(|cause| cause.kind);
}

/// Runs the server's own recovery, which prints the position.
fn recover(look: &Look) -> (Option<Position>, Vec<Cause>) {
    let failed = |seen: String| vec![Cause { kind: CauseKind::NotRecovered, seen }];
    // Its messages go to a directory that its user may write to, and not to its log.
    let log = match private_log() {
        Ok(log) => log,
        Err(error) => return (None, failed(format!("no directory for its messages: {error}"))),
    };
    let path = log.path().join("log.err");
    let mut command = server(&look.program, look.defaults_file.as_deref());
    if rustix::process::geteuid().is_root() {
        command.arg(format!("--user={}", user_of(look)));
    }
    command.arg("--wsrep-recover").arg(format!("--log-error={}", path.display()));
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return (None, failed(format!("{}: {error}", look.program.display()))),
    };
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said += &tail(&path).unwrap_or_default();
    let mut found = startup_log::causes(&said);
    let position = startup_log::recovered(&said).filter(Position::is_known);
    if position.is_none() && found.is_empty() {
        let why = startup_log::last_error(&said);
        found = failed(why.unwrap_or_else(|| "the server printed no position".to_owned()));
    }
    (position, found)
}

/// Makes a directory for the messages of a server that becomes another user.
fn private_log() -> io::Result<tempfile::TempDir> {
    let open_to_all = fs::Permissions::from_mode(0o1777);
    tempfile::Builder::new().prefix("haulout-rescue").permissions(open_to_all).tempdir()
}

/// Returns the user that the server runs as.
fn user_of(look: &Look) -> String {
    let settings = settings(look).unwrap_or_default();
    settings.value("user").unwrap_or(USER).to_owned()
}

/// Returns the command of a server with its option file, which must be named first.
fn server(program: &Path, defaults_file: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if let Some(path) = defaults_file {
        command.arg(format!("--defaults-file={}", path.display()));
    }
    command
}

/// Asks the program of a server for what its option files say.
pub(crate) fn settings_of(
    program: &Path,
    defaults_file: Option<&Path>,
) -> io::Result<ServerSettings> {
    let mut command = server(program, defaults_file);
    let output = command.arg("--print-defaults").stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{}: {said}", program.display())));
    }
    Ok(ServerSettings::read(&String::from_utf8_lossy(&output.stdout)))
}

fn settings(look: &Look) -> io::Result<ServerSettings> {
    settings_of(&look.program, look.defaults_file.as_deref())
}

fn server_version(look: &Look) -> Option<String> {
    let output = Command::new(&look.program).arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(Version::find(&String::from_utf8_lossy(&output.stdout))?.to_string())
}

/// Looks at what keeps a server from starting and leaves no message: ports, disk, library, owner.
fn causes_here(settings: &ServerSettings, free: u64) -> Vec<Cause> {
    let mut found = Vec::new();
    let mut add = |kind, seen| found.push(Cause { kind, seen });
    for port in [settings.client_port(), settings.group_port()] {
        if let Err(error) = TcpListener::bind(("0.0.0.0", port))
            && error.kind() == io::ErrorKind::AddrInUse
        {
            add(CauseKind::Port, format!("port {port} is in use"));
        }
    }
    if free < FREE_BYTES_MIN {
        let directory = settings.data_directory();
        add(CauseKind::Disk, format!("{free} bytes are free in {}", directory.display()));
    }
    if let Some(library) = settings.value("wsrep-provider").filter(|path| *path != "none")
        && !Path::new(library).exists()
    {
        add(CauseKind::Provider, format!("{library} is not there"));
    }
    let user = settings.value("user").unwrap_or(USER);
    let wanted = Accounts::of_this_host().owner(user).ok();
    let file = settings.data_directory().join("ibdata1");
    let owner = fs::metadata(&file).ok().map(|metadata| metadata.uid());
    if let (Some(wanted), Some(owner)) = (wanted, owner)
        && wanted.user != owner
    {
        let seen = format!("{} belongs to user {owner}, not to {user}", file.display());
        add(CauseKind::Rights, seen);
    }
    found
}

/// Returns what can keep clients away from this host: Pacemaker first, since it would start the
/// server again.
fn isolation(settings: &ServerSettings) -> Vec<Isolation> {
    let is_there = |name: &str| {
        let places = ["/usr/sbin", "/sbin", "/usr/bin"];
        places.iter().any(|place| Path::new(place).join(name).exists())
    };
    let mut found = Vec::new();
    if is_there("pcs") {
        found.push(Isolation {
            name: "Pacemaker".to_owned(),
            close: "pcs property set maintenance-mode=true".to_owned(),
            open: "pcs property set maintenance-mode=false && pcs resource cleanup".to_owned(),
        });
    }
    if is_there("nft") {
        found.push(firewall(settings.client_port()));
    }
    found
}

/// A rule that drops what comes from other hosts to the port of clients. Nodes reach each other at
/// other ports.
fn firewall(port: u16) -> Isolation {
    let table = "inet haulout_rescue";
    let rules = format!(
        "add table {table}; add chain {table} input \
         {{ type filter hook input priority -10; policy accept; }}; \
         add rule {table} input iifname != \"lo\" tcp dport {port} drop"
    );
    Isolation {
        name: "firewall".to_owned(),
        close: format!("nft '{rules}'"),
        // A rule that is gone, as after a restart of the host, keeps no client away.
        open: format!("! nft list table {table} >/dev/null 2>&1 || nft delete table {table}"),
    }
}

/// Returns user and group of the data, or those that a new directory would need.
fn owner(directory: &Path, user: &str) -> String {
    let user = if user.is_empty() { USER } else { user };
    match fs::metadata(directory) {
        Ok(metadata) => format!("{}:{}", metadata.uid(), metadata.gid()),
        Err(_) => format!("{user}:{user}"),
    }
}

/// Tells whether a directory is where a file system is mounted.
fn is_mount_point(directory: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    directory.parent().is_some_and(|parent| device(directory) != device(parent))
        && directory.exists()
}

/// Returns the bytes of the files below a directory.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in entries(&next)? {
            let path = next.join(&entry?.name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => left.push(path),
                Ok(metadata) => bytes += metadata.len(),
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// Returns when InnoDB has last written.
fn newest_write(directory: &Path) -> Option<u64> {
    let time = |name: &str| {
        let metadata = fs::metadata(directory.join(name)).ok()?;
        u64::try_from(metadata.mtime()).ok()
    };
    ["ibdata1", "ib_logfile0", "grastate.dat"].into_iter().filter_map(time).max()
}

/// Tells whether a process holds a lock on a file, as a server does on `ibdata1`.
fn is_locked(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    names_inode(&locks, metadata.ino())
}

/// Tells whether a line of `/proc/locks` is about a file. The device there may be that of a layer
/// below, so that only the number of the file counts.
fn names_inode(locks: &str, inode: u64) -> bool {
    let suffix = format!(":{inode}");
    locks.lines().any(|line| line.split_whitespace().any(|word| word.ends_with(&suffix)))
}

/// Returns the end of a file.
fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_the_number_of_its_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 732 00:19:1234 0 EOF\n\
            2: FLOCK ADVISORY WRITE 1 fe:00:77 0 EOF\n";
        assert!(names_inode(locks, 1234) && names_inode(locks, 77));
        assert!(!names_inode(locks, 234) && !names_inode(locks, 7) && !names_inode("", 1));
    }

    #[test]
    fn a_directory_has_a_size_and_is_no_mount_point() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), [0; 70]).unwrap();
        fs::write(directory.path().join("ibdata1"), [0; 7]).unwrap();
        assert_eq!(size_of(directory.path()).unwrap(), 77);
        assert!(!is_mount_point(directory.path()) && is_mount_point(Path::new("/proc")));
        assert!(newest_write(directory.path()).is_some());
        assert!(!is_locked(&directory.path().join("ibdata1")));
    }
}
