//! What a server needs to be started on restored files: its program, and the options that a backup
//! names.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::server::option_file::Options;

/// Names of the program, in the order in which they are looked for.
const PROGRAMS: [&str; 2] = ["mariadbd", "mysqld"];

/// Directories that hold it and are not on every user's path.
const MORE_PLACES: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/sbin"];

/// Options of a backup that the server must be started with too.
const NEEDS: [&str; 8] = [
    "innodb_checksum_algorithm",
    "innodb_data_file_path",
    "innodb_page_size",
    "innodb_undo_tablespaces",
    "innodb_compression_algorithm",
    "plugin_load",
    "plugin_load_add",
    "aria_log_dir_path",
];

/// Beginnings of the names of options about keys, which belong to plugins.
const KEY_OPTIONS: [&str; 4] =
    ["file_key_management", "hashicorp_key_management", "aws_key_management", "innodb_encrypt"];

fn missing(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Prepare, what)
}

/// Finds the program of the server: the one that is `wanted`, or the usual names, in the
/// directories of `path` (as the variable PATH has them) and in those that Debian and Red Hat use.
pub fn find_program(wanted: Option<&OsStr>, path: &OsStr) -> Result<PathBuf> {
    let is_there = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let places = || std::env::split_paths(path).chain(MORE_PLACES.map(PathBuf::from));
    let find = |name: &OsStr| match Path::new(name).components().count() {
        1 => places().map(|place| place.join(name)).find(|path| is_there(path)),
        _ => Some(PathBuf::from(name)).filter(|path| is_there(path)),
    };
    if let Some(wanted) = wanted {
        return find(wanted).ok_or_else(|| {
            missing(format!("there is no program {}", Path::new(wanted).display()))
        });
    }
    let found = PROGRAMS.iter().find_map(|name| find(OsStr::new(name)));
    found.ok_or_else(|| missing("there is no MariaDB server (mariadbd) on this host"))
}

/// Returns the options that a server on a restored directory needs, from the `backup-my.cnf` of
/// the backup: page size, system and undo tablespaces, plugins and keys.
pub fn needs_of_backup(file: &Path) -> Result<Vec<OsString>> {
    let groups = ["mysqld", "mariadbd", "server", "mariadb"];
    let options = Options::read(file, &groups)?;
    let is_needed = |name: &str| {
        let name = name.replace('-', "_");
        let is_of_keys = KEY_OPTIONS.iter().any(|begins| name.starts_with(begins));
        NEEDS.contains(&name.as_str()) || is_of_keys
    };
    let needed = options.iter().filter(|(name, _)| is_needed(name));
    Ok(needed.map(|(name, value)| argument(name, value)).collect())
}

fn argument(name: &str, value: Option<&str>) -> OsString {
    match value {
        Some(value) => format!("--{name}={value}").into(),
        None => format!("--{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_program_is_found_by_either_name() {
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str| {
            let path = directory.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let place = directory.path().as_os_str();
        let mine = of("my-server");
        assert_eq!(find_program(Some(OsStr::new("my-server")), place).unwrap(), mine);
        assert_eq!(find_program(Some(mine.as_os_str()), OsStr::new("")).unwrap(), mine);
        let (old, new) = (of("mysqld"), of("mariadbd"));
        assert_eq!(find_program(None, place).unwrap(), new);
        fs::remove_file(new).unwrap();
        if MORE_PLACES.iter().all(|at| !Path::new(at).join("mariadbd").exists()) {
            assert_eq!(find_program(None, place).unwrap(), old);
        }
        let error = find_program(Some(OsStr::new("none")), place).unwrap_err();
        assert_eq!(error.to_string(), "there is no program none");
    }

    #[test]
    fn a_backup_says_what_its_server_needs() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backup-my.cnf");
        let text = "# made by mariabackup\n[mysqld]\ninnodb_page_size=8192\n\
                    innodb_undo_directory=./\ninnodb_undo_tablespaces=3\n\
                    plugin_load=file_key_management.so\n\
                    file_key_management_filename=/etc/keys\nserver_uuid=\n";
        fs::write(&file, text).unwrap();
        let expected = [
            "--innodb-page-size=8192",
            "--innodb-undo-tablespaces=3",
            "--plugin-load=file_key_management.so",
            "--file-key-management-filename=/etc/keys",
        ];
        assert_eq!(needs_of_backup(&file).unwrap(), expected.map(OsString::from));
    }
}
