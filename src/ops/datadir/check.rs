//! What is checked before a restore writes its first byte. Everything that is wrong is collected.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::ops::cat::CatOptions;
use crate::ops::cat::cat;
use crate::ops::chain::has_base;
use crate::ops::chain::links;
use crate::ops::datadir::configuration::Configuration;
use crate::ops::datadir::configuration::output;
use crate::ops::datadir::files;
use crate::ops::datadir::journal::Journal;
use crate::ops::datadir::journal::unfinished;
use crate::ops::datadir::lock;
use crate::ops::datadir::options::DatadirOptions;
use crate::ops::datadir::place::Places;
use crate::ops::selection::Selection;
use crate::ops::selection::path_of;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::server::option_file;

/// Names by which a directory is known as one of a server.
const OF_SERVER: [&str; 4] = ["ibdata1", "mysql", "aria_log_control", "ib_logfile0"];

/// Bytes that a preparation may need besides the files.
const SLACK_BYTES: u64 = 64 << 20;

/// The name of the user of servers.
const SERVER_USER: &str = "mysql";

/// Everything that was found by the checks.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What stands in the way.
    pub(super) problems: Vec<String>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// A snapshot in its repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) repository: &'s Repository,
    pub(super) stored: &'s StoredSnapshot,
    pub(super) world: &'s World,
}

/// The room for the new data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room for the old data and the new.
    ForBoth,
    /// The old data are removed first.
    WithoutOld,
}

pub(super) fn unread(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot look into {}", path.display())).because(cause)
}

/// Refuses a directory to which a restore has not finished.
pub(super) fn journal(
    places: &Places,
    options: &DatadirOptions,
    found: &mut Findings,
) -> Result<()> {
    if !places.journal.exists() {
        return Ok(());
    }
    let error = unfinished(&places.directory);
    if options.is_plan_only {
        found.problems.push(error.to_string());
        return Ok(());
    }
    // The error says who works on it, if anyone does.
    Journal::open(&places.journal)?;
    Err(error)
}

/// Looks whether the directory is one of a server, and whether a server works on it.
pub(super) fn directory(
    directory: &Path,
    options: &DatadirOptions,
    found: &mut Findings,
) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    if !directory.is_dir() {
        found.problems.push(format!("{} is no directory", directory.display()));
        return Ok(());
    }
    let names = files::movable(directory).map_err(|error| unread(directory, error))?;
    let is_of_server = names.iter().any(|name| OF_SERVER.iter().any(|own| Path::new(own) == name));
    if !names.is_empty() && !is_of_server {
        found.problems.push(format!("{} holds files, and none of a server", directory.display()));
    }
    match lock::holder(directory) {
        Ok(None) => {}
        Ok(Some(_)) if !options.stop.is_empty() => {}
        Ok(Some(holder)) => {
            let words = holder.words();
            let what = format!("the server is running: {words}; stop it, or give --stop-command");
            found.problems.push(what);
        }
        Err(error) => found.problems.push(format!("cannot see whether a server runs: {error}")),
    }
    Ok(())
}

/// Tells whether a directory holds anything that would be kept or removed.
pub(super) fn has_data(directory: &Path) -> bool {
    files::movable(directory).is_ok_and(|names| !names.is_empty())
}

/// Checks that the snapshot can become a server. Returns the bytes of all that is restored.
pub(super) fn snapshot(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
    found: &mut Findings,
) -> Result<u64> {
    let about = &stored.snapshot.about;
    let id = stored.id().short();
    if matches!(about.format, StreamFormat::Sql | StreamFormat::Raw) {
        let what = format!("snapshot {id} is a {} stream, not a physical backup", about.format);
        return Err(Error::new(ErrorKind::Usage, what));
    }
    if about.kind == SnapshotKind::Incremental && !has_base(stored) {
        found.problems.push(format!("snapshot {id} is an increment without its base"));
    }
    match about.verdict {
        Verdict::Complete | Verdict::Unattested => {}
        Verdict::CorruptPages | Verdict::Partial => {
            let why = about.reasons.first().map_or("no reason is given", String::as_str);
            found.notes.push(format!("snapshot {id} is {}: {why}", about.verdict));
        }
    }
    let mut bytes = 0u64;
    for link in links(repository, stored)? {
        let short = link.id.get(..12).unwrap_or(&link.id).to_owned();
        match link.stored {
            Some(link) => bytes = bytes.saturating_add(link.snapshot.about.stream_bytes),
            None => found.problems.push(format!("snapshot {short}, on which it builds, is gone")),
        }
    }
    let paths = paths(repository, stored, world)?;
    let has = |names: [&str; 2]| paths.iter().any(|(path, _)| names.contains(&path.as_str()));
    if !has(["xtrabackup_checkpoints", "mariadb_backup_checkpoints"]) {
        let what = format!("snapshot {id} has no xtrabackup_checkpoints and can't be prepared");
        found.problems.push(what);
    }
    Ok(paths.iter().fold(bytes, |sum, (_, length)| sum.saturating_add(*length)))
}

/// Returns the paths of a snapshot's files, and their lengths.
pub(super) fn paths(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
) -> Result<Vec<(String, u64)>> {
    let contents = repository.contents(stored, &world.monitor)?;
    let mut paths = Vec::new();
    Selection::new(stored, &contents, None)?.every(&mut |file| {
        let path = String::from_utf8_lossy(path_of(&file)).into_owned();
        paths.push((path.strip_prefix("./").unwrap_or(&path).to_owned(), file.length));
        Ok(())
    })?;
    Ok(paths)
}

/// Compares the versions of the programs with that of the backup.
pub(super) fn programs(
    stored: &StoredSnapshot,
    options: &DatadirOptions,
    world: &World,
    found: &mut Findings,
) {
    let positions = &stored.snapshot.about.positions;
    let backup = positions.server_version.as_deref().and_then(series);
    let version = |program: &Path, found: &mut Findings| match output(
        program,
        &[OsString::from("--version")],
        world,
    ) {
        Ok(text) => series(&text),
        Err(why) => {
            found.problems.push(why);
            None
        }
    };
    let server = version(&options.program, found);
    let Some(backup) = backup else { return };
    let shown = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    if let Some(server) = server.filter(|server| *server != backup) {
        let (old, new) = (shown(backup), shown(server));
        if server < backup {
            let what = format!("the server is {new}, older than that of the backup, {old}");
            found.problems.push(what);
        } else {
            found.notes.push(format!(
                "the server is {new}, the backup of {old}: run mariadb-upgrade after the start"
            ));
        }
    }
}

/// Returns major and minor version of a text that has a version in it.
fn series(text: &str) -> Option<(u32, u32)> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.into_iter().find_map(|word| {
        let mut parts = word.split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_some().then_some((major, minor))
    })
}

/// Compares the configuration of the server with what the backup says of its own.
pub(super) fn configuration(
    subject: &Subject<'_>,
    own: &Configuration,
    directory: &Path,
    found: &mut Findings,
) -> Result<()> {
    let Subject { repository, stored, world } = *subject;
    let mut text = Vec::new();
    let wanted = CatOptions { path: "backup-my.cnf", workers: 1 };
    if let Err(error) = cat(repository, stored, &wanted, &mut text, world) {
        world.monitor.check()?;
        found.problems.push(format!("backup-my.cnf can't be read: {}", error.with_causes()));
        return Ok(());
    }
    let lines = option_file::parse(&text).unwrap_or_default();
    let option = |line: option_file::Line| match line {
        option_file::Line::Option(name, value) => {
            Some((name.replace('-', "_"), value.map_or(String::new(), |value| value.to_string())))
        }
        option_file::Line::Group(_)
        | option_file::Line::Include(_)
        | option_file::Line::IncludeDirectory(_) => None,
    };
    let backup: BTreeMap<String, String> = lines.into_iter().filter_map(option).collect();
    found.problems.extend(own.differences(&backup));
    if own.value("lower_case_table_names") == Some("1") {
        let paths = paths(repository, stored, world)?;
        let has_upper = |path: &str| path.contains('/') && path.chars().any(char::is_uppercase);
        let is_table = |path: &str| path.rsplit('.').next().is_some_and(|end| end == "frm");
        if let Some((path, _)) = paths.iter().find(|(path, _)| is_table(path) && has_upper(path)) {
            found.problems.push(format!(
                "the server has lower_case_table_names=1, and the backup the table {path}"
            ));
        }
    }
    if let Some(named) = own.value("datadir")
        && fs::canonicalize(named).ok().as_deref() != Some(directory)
    {
        found.notes.push(format!(
            "the server is configured with the data directory {named}, not {}",
            directory.display()
        ));
    }
    Ok(())
}

/// Returns the bytes that are free where a path is or will be.
fn free_bytes(path: &Path) -> Result<u64> {
    let there = path.ancestors().find(|above| fs::metadata(above).is_ok());
    let there = there.unwrap_or(Path::new("/"));
    let room = rustix::fs::statvfs(there).map_err(|error| unread(there, error.into()))?;
    let is_root = rustix::process::geteuid().is_root();
    let blocks = if is_root { room.f_bfree } else { room.f_bavail };
    Ok(blocks.saturating_mul(room.f_frsize))
}

/// Checks that there is room. Returns for what.
pub(super) fn space(
    places: &Places,
    bytes: u64,
    options: &DatadirOptions,
    found: &mut Findings,
) -> Result<Room> {
    let needed = bytes.saturating_add(SLACK_BYTES);
    let directory = &places.directory;
    let words = |place: &Path, free: u64| {
        format!("{} has {free} bytes free, {needed} are needed", place.display())
    };
    if places.is_staged() {
        let free = free_bytes(&places.work)?;
        if free < needed {
            found.problems.push(words(places.work.parent().unwrap_or(&places.work), free));
        }
    }
    let free = free_bytes(&places.new)?;
    if free >= needed {
        return Ok(Room::ForBoth);
    }
    let old = files::bytes_on_disk(directory).map_err(|error| unread(directory, error))?;
    let fits_alone = free.saturating_add(old) >= needed;
    if fits_alone && options.discards {
        return Ok(Room::WithoutOld);
    }
    let more = match (fits_alone, places.is_staged()) {
        (true, false) => "; --staging DIR and --discard-old-data together need no room for both",
        (true, true) => "; --discard-old-data removes the old data first",
        (false, _) => ", even without the old data",
    };
    found.problems.push(format!("{}{more}", words(directory, free)));
    Ok(Room::ForBoth)
}

/// Returns the owner of the files: the one that was typed, or of the old directory, or the user
/// that servers usually have.
pub(super) fn owner(
    directory: &Path,
    options: &DatadirOptions,
    found: &mut Findings,
) -> Option<(u32, Option<u32>)> {
    let named = |name: &str| options.accounts.owner(name);
    let chosen = match &options.owner {
        Some(typed) => match named(typed) {
            Ok(owner) => Some((owner.user, owner.group)),
            Err(why) => {
                found.problems.push(why);
                None
            }
        },
        None => match fs::metadata(directory) {
            Ok(metadata) => Some((metadata.uid(), Some(metadata.gid()))),
            Err(_) => named(SERVER_USER).ok().map(|owner| (owner.user, owner.group)),
        },
    };
    let own = rustix::process::geteuid();
    let is_other = chosen.is_some_and(|(user, _)| user != own.as_raw());
    if is_other && !own.is_root() {
        if options.owner.is_some() || directory.exists() {
            let what = "the files belong to another user then: only root can give them away";
            found.problems.push(what.to_owned());
        }
        return None;
    }
    chosen.filter(|_| own.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_in_what_programs_say() {
        let text = "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64";
        assert_eq!(series(text), Some((10, 11)));
        assert_eq!(series("11.4.2-MariaDB-log"), Some((11, 4)));
        assert_eq!(series("nothing"), None);
    }
}
