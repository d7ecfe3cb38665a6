//! The URL of a database, as services of OpenStack have it in their configuration.
//!
//! ```text
//! [database]
//! connection = mysql+pymysql://nova:secret@10.0.0.9:33306/nova?charset=utf8
//! ```
//!
//! Sources: "Database URLs" in the manual of `SQLAlchemy`; the files of `oslo.config`, whose
//! sections and comments are those of an INI file. Account and password are percent-encoded.

use std::fs;
use std::path::Path;

use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::server::login::PORT;
use crate::server::login::Tls;

/// Returns where the configuration of a service says that its database is, and the account.
pub fn of_service(path: &Path) -> Result<(Address, Login)> {
    let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        let message = format!("cannot read {}", path.display());
        Error::new(ErrorKind::Server, message).because(error)
    })?;
    let missing = || {
        let message = format!("{} has no connection in [database]", path.display());
        Error::new(ErrorKind::Server, message)
    };
    let url = connection(&text).ok_or_else(missing)?;
    parse(url).ok_or_else(|| {
        let message = format!("connection in {} is no URL of a database", path.display());
        Error::new(ErrorKind::Server, message)
    })
}

/// Returns the value of `connection` in the section `[database]`, the last one if there are more.
fn connection(text: &str) -> Option<&str> {
    let (mut is_database, mut found) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            is_database = rest.split(']').next() == Some("database");
        } else if is_database
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim() == "connection"
        {
            found = Some(value.trim());
        }
    }
    found
}

/// Reads the URL of a database; nothing if it is none of MariaDB or MySQL.
pub fn parse(text: &str) -> Option<(Address, Login)> {
    let url = Url::parse(text).ok()?;
    let dialect = url.scheme().split('+').next()?;
    if !["mysql", "mariadb"].contains(&dialect) {
        return None;
    }
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().ok().map(|text| Zeroizing::new(text.into_owned()))
    };
    let option = |name: &str| {
        let pair = url.query_pairs().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.into_owned())
    };
    let address = if let Some(socket) = option("unix_socket") {
        Address::Socket(socket.into())
    } else {
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Address::Tcp { host, port: url.port().unwrap_or(PORT) }
    };
    let password = match url.password() {
        Some(password) => Some(decoded(password)?),
        None => None,
    };
    let tls = option("ssl_ca").map(|ca| Tls {
        authority: Some(ca.into()),
        certificate: option("ssl_cert").map(Into::into),
        key: option("ssl_key").map(Into::into),
        verifies: true,
    });
    let user = decoded(url.username())?.as_str().to_owned();
    Some((address, Login { user, password, tls }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let (address, login) = parse(text)?;
        let password = login.password.as_ref().map_or("none", |password| password.as_str());
        let tls = login.tls.is_some();
        Some(format!("{address} {} {password} {tls}", login.user))
    }

    #[test]
    fn urls_of_services_are_understood() {
        for (url, expected) in [
            (
                "mysql+pymysql://nova:se%40c%2Fret@10.0.0.9:33306/nova",
                "10.0.0.9:33306 nova se@c/ret false",
            ),
            ("mysql://nova@db/nova?charset=utf8", "db:3306 nova none false"),
            ("mariadb://a:b@[fe80::1]:1/x", "[fe80::1]:1 a b false"),
            ("mysql+pymysql://a:b@db/x?ssl_ca=/ca.pem", "db:3306 a b true"),
            ("mysql+pymysql://a:b@localhost/x?unix_socket=/run/s", "/run/s a b false"),
        ] {
            assert_eq!(told(url).as_deref(), Some(expected));
        }
        for url in ["postgresql://a:b@db/x", "sqlite:///x", "nova", "mysql:///x", ""] {
            assert_eq!(told(url), None, "{url}");
        }
    }

    #[test]
    fn the_connection_stands_in_its_section() {
        let text = "[DEFAULT]\nconnection = no\n[api_database]\nconnection=no\n\
                    [database]\n# connection = no\n connection = yes\nmax_retries = -1\n";
        assert_eq!(connection(text), Some("yes"));
        assert_eq!(connection("[database]\n"), None);
    }

    #[test]
    fn a_file_that_does_not_say_it_is_named_without_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nova.conf");
        for (text, expected) in [
            ("[database]\n", "has no connection"),
            ("[database]\nconnection = postgresql://a:hidden@b/c\n", "is no URL"),
        ] {
            fs::write(&path, text).unwrap();
            let error = of_service(&path).unwrap_err().with_causes();
            assert!(error.contains(expected) && error.contains("nova.conf"), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
