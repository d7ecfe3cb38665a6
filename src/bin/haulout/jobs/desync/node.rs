//! A node as the watchdog sees it: it looks, and switches `wsrep_desync`.

use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::server::session::Session;

/// How long the server may take to switch.
const SWITCH_TIME: Duration = Duration::from_secs(10);

/// The warning of a server whose `wsrep_desync` is already as it shall be.
const IS_SO_ALREADY: u16 = 1231;

/// What `wsrep_desync` shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off,
}

/// What became of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Switched {
    /// The server has done it.
    Done,
    /// It was so before.
    WasSo,
    /// The server has refused it, with these words.
    Refused(String),
    /// There was no answer: it may be done now, later or never.
    Unanswered(String),
}

/// A node that can be desynced.
pub(crate) trait Switchable {
    /// Returns the state of the node.
    fn look(&mut self) -> Result<Node>;

    /// Returns the seconds for which the server has been running.
    fn uptime(&mut self) -> Result<u64>;

    /// Switches `wsrep_desync` on or off.
    fn switch(&mut self, to: Switch) -> Switched;
}

/// The node of a server, with a session that is opened again where it was lost.
#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    login: Login,
    session: Option<Session>,
}

impl Server {
    /// Returns the server at an address; it is not asked yet.
    pub(crate) fn new(address: Address, login: Login) -> Self {
        Self { address, login, session: None }
    }

    /// Returns the grants of the account, a line each.
    pub(crate) fn grants(&mut self) -> Result<Vec<String>> {
        let rows = self.with(|session| session.rows("SHOW GRANTS"))?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
    }

    /// Lends the session, and gives it up after an error.
    fn with<T>(&mut self, ask: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::connect(&self.address, &self.login)?,
        };
        let answer = ask(&mut session)?;
        self.session = Some(session);
        Ok(answer)
    }
}

impl Switchable for Server {
    fn look(&mut self) -> Result<Node> {
        let address = self.address.clone();
        self.with(Node::ask)?.ok_or_else(|| {
            let what = format!("the server {address} is no node of a Galera cluster");
            Error::new(ErrorKind::Server, what)
        })
    }

    fn uptime(&mut self) -> Result<u64> {
        let status = self.with(|session| session.pairs("SHOW GLOBAL STATUS LIKE 'Uptime'"))?;
        status.get("uptime").and_then(|text| text.parse().ok()).ok_or_else(|| {
            let what = format!("the server {} does not say how long it runs", self.address);
            Error::new(ErrorKind::Server, what)
        })
    }

    fn switch(&mut self, to: Switch) -> Switched {
        let statement = match to {
            Switch::On => "SET GLOBAL wsrep_desync = ON",
            Switch::Off => "SET GLOBAL wsrep_desync = OFF",
        };
        match self.with(|session| session.run(statement, SWITCH_TIME)) {
            Ok(Ok(warnings)) if warnings.iter().any(|one| one.code == IS_SO_ALREADY) => {
                Switched::WasSo
            }
            Ok(Ok(_)) => Switched::Done,
            Ok(Err(refusal)) => Switched::Refused(refusal.to_string()),
            Err(error) => Switched::Unanswered(error.with_causes()),
        }
    }
}
