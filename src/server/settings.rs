//! The settings of a server that does not run: what its program takes from option files.
//!
//! The program itself is asked, by `--print-defaults`: it knows its groups, its includes and its
//! suffixes. It prints them in one line, so that a value with ` --` in it can't be told from two
//! options; no option that is looked at here has such values.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The data directory of a server whose option files name none.
const DATA_DIRECTORY: &str = "/var/lib/mysql";
/// The socket of a server whose option files name none, as Debian builds it.
const SOCKET: &str = "/run/mysqld/mysqld.sock";
/// The port of a server whose option files name none.
const PORT: u16 = 3306;
/// The port at which members of a cluster connect to each other.
const GROUP_PORT: u16 = 4567;

/// Options with their values; `_` and `-` are the same in names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerSettings(BTreeMap<String, String>);

impl ServerSettings {
    /// Reads what `mariadbd --print-defaults` prints. Of an option the last one counts.
    pub fn read(text: &str) -> Self {
        let mut options = BTreeMap::new();
        let line = text.lines().rfind(|line| line.trim_start().starts_with("--"));
        let line = format!(" {}", line.unwrap_or_default().trim());
        for option in line.split(" --").skip(1) {
            let (name, value) = option.trim().split_once('=').unwrap_or((option.trim(), ""));
            let name = name.to_ascii_lowercase().replace('_', "-");
            let name = name.strip_prefix("loose-").unwrap_or(&name).to_owned();
            options.insert(name, value.trim_matches('"').to_owned());
        }
        Self(options)
    }

    /// Returns the value of an option; nothing if it is not set or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.value("datadir").unwrap_or(DATA_DIRECTORY).into()
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> PathBuf {
        let path = PathBuf::from(self.value("socket").unwrap_or(SOCKET));
        if path.is_absolute() { path } else { self.data_directory().join(path) }
    }

    /// Returns the port for clients.
    pub fn client_port(&self) -> u16 {
        self.value("port").and_then(|port| port.parse().ok()).unwrap_or(PORT)
    }

    /// Returns the error log, if it is a file.
    pub fn error_log(&self) -> Option<PathBuf> {
        let name = self.value("log-error")?;
        let path = PathBuf::from(name);
        let path = if path.extension().is_some() { path } else { path.with_extension("err") };
        Some(if path.is_absolute() { path } else { self.data_directory().join(path) })
    }

    /// Returns the members that the address of the cluster names.
    pub fn members(&self) -> Vec<String> {
        let address = self.value("wsrep-cluster-address").unwrap_or_default();
        let list = address.strip_prefix("gcomm://").unwrap_or_default();
        let list = list.split('?').next().unwrap_or_default();
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Returns the port at which other members connect.
    pub fn group_port(&self) -> u16 {
        let of_provider = |name: &str| {
            let options = self.value("wsrep-provider-options")?;
            let pair = |option: &str| {
                let (own, value) = option.split_once('=')?;
                (own.trim() == name).then(|| value.trim().to_owned())
            };
            options.split(';').find_map(pair)
        };
        let port = |address: String| address.rsplit(':').next().and_then(|port| port.parse().ok());
        let listened = of_provider("gmcast.listen_addr").and_then(port);
        listened.or_else(|| of_provider("base_port")?.parse().ok()).unwrap_or(GROUP_PORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_program_prints_them() {
        let text = "mariadbd would have been started with the following arguments:\n\
            --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid --datadir=/a \
            --datadir=/srv/my sql --log_error=db1 \
            --wsrep_cluster_address=gcomm://10.0.0.1,10.0.0.2:14567?pc.wait_prim=no \
            --wsrep-provider-options=gcache.size=1G;gmcast.listen_addr=tcp://0.0.0.0:5567 \
            --skip-name-resolve \n";
        let settings = ServerSettings::read(text);
        assert_eq!(settings.data_directory(), PathBuf::from("/srv/my sql"));
        assert_eq!(settings.error_log().unwrap(), PathBuf::from("/srv/my sql/db1.err"));
        assert_eq!(settings.members(), ["10.0.0.1", "10.0.0.2:14567"]);
        assert_eq!(settings.group_port(), 5567);
        assert_eq!(settings.value("skip-name-resolve"), None);
        let none =
            ServerSettings::read("would have been started with the following arguments:\n\n");
        assert_eq!(none, ServerSettings::default());
        assert_eq!(none.data_directory(), PathBuf::from("/var/lib/mysql"));
        assert_eq!((none.client_port(), none.group_port()), (3306, 4567));
        assert_eq!(none.members(), Vec::<String>::new());
    }
}
