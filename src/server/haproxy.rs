//! The pools of database servers in a configuration of HAProxy: where clients connect, and to which
//! servers they are passed on.
//!
//! ```text
//! listen mysql                      frontend mysql-in          backend galera
//!   bind 10.0.0.9:33306               bind 10.0.0.9:3306         server db1 10.0.0.11:3306 check
//!   server db1 10.0.0.11:3306         default_backend galera     server db2 10.0.0.12:3306 backup
//! ```
//!
//! Source: "HAProxy Configuration Manual", sections 2.1, 4.1 and 5. Only words are looked at: a
//! quoted word with a blank in it is taken for two, and what depends on variables is left out.

use crate::server::login::Address;
use crate::server::login::PORT;

/// Maximum number of addresses of one pool, of each kind.
pub const ADDRESSES_MAX: usize = 100;

/// Words in the name of a section of databases.
const NAMES: [&str; 5] = ["mysql", "mariadb", "galera", "database", "percona"];

/// A pool of database servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The name of the section that the servers stand in.
    pub name: String,
    /// The addresses that clients connect to, as far as they name a host.
    pub binds: Vec<Address>,
    /// The servers behind them, in the order of the file.
    pub servers: Vec<Address>,
}

/// A section of the file.
#[derive(Debug, Default)]
struct Section<'t> {
    name: &'t str,
    binds: Vec<Address>,
    servers: Vec<Address>,
    backends: Vec<&'t str>,
    checks_databases: bool,
}

impl Section<'_> {
    fn is_of_databases(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let is_usual = |server: &Address| matches!(server, Address::Tcp { port: PORT, .. });
        self.checks_databases
            || NAMES.iter().any(|word| name.contains(word))
            || self.servers.iter().any(is_usual)
    }
}

/// Returns the pools of databases of a configuration.
pub fn pools(text: &str) -> Vec<Pool> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    // What stands before the first section, or in one of another kind, belongs to none.
    let mut is_inside = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default() {
            "listen" | "frontend" | "backend" => {
                let name = words.next().unwrap_or_default();
                sections.push(Section { name, ..Section::default() });
                is_inside = true;
            }
            "global" | "defaults" | "peers" | "resolvers" | "userlist" | "program" | "cache"
            | "mailers" | "ring" | "http-errors" | "crt-store" | "traces" => is_inside = false,
            word => {
                if let Some(section) = sections.last_mut().filter(|_| is_inside) {
                    read_line(section, word, words);
                }
            }
        }
    }
    let with_servers =
        sections.iter().filter(|one| !one.servers.is_empty() && one.is_of_databases());
    with_servers.map(|section| pool(section, &sections)).collect()
}

/// Adds what a line says to its section.
fn read_line<'t>(section: &mut Section<'t>, word: &str, mut words: impl Iterator<Item = &'t str>) {
    match word {
        "bind" => {
            let addresses = words.next().unwrap_or_default().split(',').filter_map(address);
            section.binds.extend(addresses);
            section.binds.truncate(ADDRESSES_MAX);
        }
        "server" => {
            let found = words.nth(1).and_then(address);
            let is_off = words.any(|option| option == "disabled");
            section.servers.extend(found.filter(|_| !is_off));
            section.servers.truncate(ADDRESSES_MAX);
        }
        "default_backend" | "use_backend" => section.backends.extend(words.next()),
        "option" => section.checks_databases |= words.next() == Some("mysql-check"),
        _ => {}
    }
}

/// Returns a pool with the addresses of all sections that lead to its servers.
fn pool(section: &Section<'_>, sections: &[Section<'_>]) -> Pool {
    let leads_here = |other: &&Section<'_>| other.backends.contains(&section.name);
    let others = sections.iter().filter(leads_here).flat_map(|other| &other.binds);
    let mut binds: Vec<Address> = section.binds.iter().chain(others).cloned().collect();
    binds.dedup();
    Pool { name: section.name.to_owned(), binds, servers: section.servers.clone() }
}

/// Reads an address with a host and a port; nothing if it is every address of the host, a socket,
/// or has parts that only HAProxy knows.
fn address(text: &str) -> Option<Address> {
    let text = text.trim_matches('"');
    let text = ["ipv4@", "ipv6@"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:-_[]".contains(c);
    // Without a port, the port of the client is taken.
    let (_, port) = text.rsplit_once(':')?;
    if !text.chars().all(is_plain) || port.parse::<u16>().is_err() {
        return None;
    }
    let address = text.parse().ok()?;
    match &address {
        Address::Tcp { host, .. } if !["0.0.0.0", "::"].contains(&host.as_str()) => Some(address),
        Address::Tcp { .. } | Address::Socket(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let words =
            |all: &[Address]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let pool = |pool: Pool| {
            format!("{}: {} -> {}", pool.name, words(&pool.binds), words(&pool.servers))
        };
        pools(text).into_iter().map(pool).collect()
    }

    #[test]
    fn a_pool_is_one_section_or_two() {
        let text = "\
global
  server x 1.2.3.4:3306
defaults
  mode tcp
listen mysql # the cluster
  bind 10.0.0.9:33306 transparent
  option  mysql-check user clustercheck
  server db1 10.0.0.11:3306 check inter 2s
  server db2 10.0.0.12:3306 check backup
  server db3 10.0.0.13:3306 disabled
frontend sql-in
  bind *:3307
  bind ipv4@10.0.0.10:3307,:3308 ssl crt /etc/x.pem
  default_backend sql
backend sql
  server a db-a.example.org:3306
listen keystone_public
  bind 10.0.0.9:5000
  server c1 10.0.0.11:5000 check
";
        assert_eq!(
            told(text),
            [
                "mysql: 10.0.0.9:33306 -> 10.0.0.11:3306,10.0.0.12:3306",
                "sql: 10.0.0.10:3307 -> db-a.example.org:3306",
            ]
        );
    }

    #[test]
    fn what_names_no_host_and_port_is_left_out() {
        let text = "\
backend mariadb
  server a /run/mysqld/mysqld.sock
  server b ${DB_HOST}:3306
  server
  server d 0.0.0.0:3306
  server e \"10.0.0.1:3306\"
  server f 10.0.0.1:99999
  server h 10.0.0.4 check
  server g 10.0.0.2\u{1b}[31m:3306
peers mysql
  server p 10.0.0.3:3306
";
        assert_eq!(told(text), ["mariadb:  -> 10.0.0.1:3306"]);
        assert_eq!(told("server a 10.0.0.1:3306\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_of_any_length_gives_no_more_than_the_most_addresses() {
        let line = "  server a 10.0.0.1:3306\n";
        let found = pools(&format!("backend galera\n{}", line.repeat(1000)));
        assert_eq!(found[0].servers.len(), ADDRESSES_MAX);
    }
}
