//! Where a server is, and the account with which it is asked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::server::option_file::Options;

/// The port of MariaDB.
pub const PORT: u16 = 3306;

/// The groups of an option file that all clients read.
pub const CLIENT_GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];

/// The place of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket on this host.
    Socket(PathBuf),
    /// A port of a host.
    Tcp {
        /// Name or address of the host, an IPv6 address without brackets.
        host: String,
        /// Port of the host.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(out, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT`, or the path of a socket.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no HOST, HOST:PORT or path of a socket");
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
                let port = rest.strip_prefix(':');
                if port.is_none() && !rest.is_empty() {
                    return Err(wrong());
                }
                (host, port)
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
            None => PORT,
        };
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        is_host.then(|| Self::Tcp { host: host.to_owned(), port }).ok_or_else(wrong)
    }
}

/// An account, and how the connection is protected.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name of the account.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<Zeroizing<String>>,
    /// TLS, if it is wanted.
    pub tls: Option<Tls>,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How a connection over TCP is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// File with the certificates of authorities; without one those of the system count.
    pub authority: Option<PathBuf>,
    /// File with the certificate of the client.
    pub certificate: Option<PathBuf>,
    /// File with the private key of that certificate.
    pub key: Option<PathBuf>,
    /// Whether the certificate of the server is checked.
    pub verifies: bool,
}

impl Login {
    /// Creates the login of an account without a password, as `unix_socket` accounts have.
    pub fn of_user(user: &str) -> Self {
        Self { user: user.to_owned(), password: None, tls: None }
    }

    /// Returns the login that an option file describes; `user` is taken if it names none.
    pub fn from_options(options: &Options, user: &str) -> Self {
        let file = |name: &str| options.value(name).map(PathBuf::from);
        let verifies = options.flag("ssl-verify-server-cert").unwrap_or_default();
        let files = ["ssl-ca", "ssl-cert", "ssl-key"].map(file);
        let is_wanted =
            options.flag("ssl").unwrap_or_else(|| verifies || files.iter().any(Option::is_some));
        let [authority, certificate, key] = files;
        Self {
            user: options.value("user").unwrap_or(user).to_owned(),
            password: options.value("password").map(|text| Zeroizing::new(text.to_owned())),
            tls: is_wanted.then_some(Tls { authority, certificate, key, verifies }),
        }
    }
}

/// Returns the place that an option file names, if it does.
pub fn address_in(options: &Options) -> Option<Address> {
    let host = options.value("host").filter(|host| *host != "localhost");
    match (options.value("socket"), host) {
        (_, Some(host)) => {
            let port = options.value("port").and_then(|port| port.parse().ok()).unwrap_or(PORT);
            Some(Address::Tcp { host: host.to_owned(), port })
        }
        (Some(socket), None) => Some(Address::Socket(socket.into())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("db1", "db1:3306"),
            ("db1:3307", "db1:3307"),
            ("[fe80::1]:3307", "[fe80::1]:3307"),
            ("[fe80::1]", "[fe80::1]:3306"),
            ("fe80::1", "[fe80::1]:3306"),
            ("/run/mysqld/mysqld.sock", "/run/mysqld/mysqld.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
        for text in ["", "db1:", "db1:0", "db1:99999", "a b", "[fe80::1", "[a]b", "a/b", ":1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_option_file_says_who_and_where() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.cnf");
        let read = |text: &str| {
            fs::write(&path, format!("[client]\n{text}\n")).unwrap();
            let options = Options::read(&path, &CLIENT_GROUPS).unwrap();
            let login = Login::from_options(&options, "me");
            let address = address_in(&options).map(|address| address.to_string());
            (login.user.clone(), login.tls.clone(), address)
        };
        assert_eq!(read(""), ("me".to_owned(), None, None));
        let (user, tls, address) = read("user=a\nssl-ca=/ca\nhost=db\nport=1");
        assert_eq!((user.as_str(), address.as_deref()), ("a", Some("db:1")));
        assert_eq!(tls.unwrap().authority, Some(PathBuf::from("/ca")));
        let (_, tls, address) = read("skip-ssl\nssl-ca=/ca\nhost=localhost\nsocket=/s");
        assert_eq!((tls, address.as_deref()), (None, Some("/s")));
        assert!(read("ssl-verify-server-cert").1.unwrap().verifies);
    }
}
