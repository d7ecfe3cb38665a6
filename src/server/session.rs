//! A connection to a server: statements one after another, each with a limit of time.
//!
//! The interface blocks; the client below it is asynchronous and runs on the thread that asks. A
//! statement that is not answered in time leaves the connection in a state that is not known: it
//! is given up, and every later statement fails. Nothing is sent that the caller has not asked for,
//! since a node of a cluster that is out of it refuses even `SELECT 1`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use mysql_async::ClientIdentity;
use mysql_async::Conn;
use mysql_async::Opts;
use mysql_async::OptsBuilder;
use mysql_async::Row;
use mysql_async::SslOpts;
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::server::login::Tls;

/// How long it may take to connect.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long a statement may take unless it is said otherwise.
pub const STATEMENT_TIME: Duration = Duration::from_secs(10);

/// The error of a login that was refused.
const DENIED: u16 = 1045;

/// How often a login is tried that is refused. One of 256 good ones with ed25519 is: the client
/// below drops a zero at the end of the random bytes of the server. The next try has others.
const LOGINS_MAX: u32 = 3;

/// Bytes of the largest packet; the client would ask the server otherwise.
const PACKET_BYTES: usize = 16 << 20;

/// Seconds after which the server may close an idle connection; the client would ask for it.
const IDLE_SECONDS: usize = 28_800;

/// A row of an answer as texts; nothing stands for NULL.
pub type Texts = Vec<Option<String>>;

/// A statement that the server did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the error, as the manual of the server lists them.
    pub code: u16,
    /// The words of the server.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error {}: {}", self.code, self.message)
    }
}

/// A warning that a statement left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The number of the warning.
    pub code: u16,
    /// The words of the server.
    pub message: String,
}

/// A connection to a server.
pub struct Session {
    address: Address,
    /// It is there until the session is dropped.
    runtime: Option<Runtime>,
    /// None once a statement was not answered in time.
    conn: Option<Conn>,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.conn = None;
        // A name that is still being looked up is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects to a server.
    pub fn connect(address: &Address, login: &Login) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| {
            Error::new(ErrorKind::Threads, "cannot prepare the client of the server").because(error)
        })?;
        let failed = |why: String| {
            let message = format!("cannot connect to the server {address} as {}", login.user);
            Error::new(ErrorKind::Server, message).because(why)
        };
        let connect = || {
            let connecting = Conn::new(options(address, login));
            runtime.block_on(async { timeout(CONNECT_TIME, connecting).await })
        };
        let mut connected = connect();
        for _ in 1..LOGINS_MAX {
            match &connected {
                Ok(Err(mysql_async::Error::Server(refused))) if refused.code == DENIED => {
                    connected = connect();
                }
                Ok(_) | Err(_) => break,
            }
        }
        let mut session = Self { address: address.clone(), runtime: Some(runtime), conn: None };
        let conn = connected
            .map_err(|_| failed(format!("no answer in {CONNECT_TIME:?}")))?
            .map_err(|error| failed(words(&error)))?;
        session.conn = Some(conn);
        Ok(session)
    }

    /// Returns where the server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Runs a statement, and returns its rows.
    pub fn rows(&mut self, statement: &str) -> Result<Vec<Texts>> {
        self.try_rows(statement, STATEMENT_TIME)?.map_err(|refusal| self.refused(&refusal))
    }

    /// Runs a statement within a time; a refusal of the server is a result.
    pub fn try_rows(
        &mut self,
        statement: &str,
        time: Duration,
    ) -> Result<std::result::Result<Vec<Texts>, Refusal>> {
        let rows: std::result::Result<Vec<Row>, _> =
            self.ask(time, |mut conn| async move { (conn.query(statement).await, conn) })?;
        self.judged(rows.map(|rows| rows.into_iter().map(texts).collect()))
    }

    /// Runs a statement that gives no rows, and returns the warnings that it left.
    pub fn run(
        &mut self,
        statement: &str,
        time: Duration,
    ) -> Result<std::result::Result<Vec<Warning>, Refusal>> {
        let done = self.ask(time, |mut conn| async move {
            let done = match conn.query_drop(statement).await {
                Ok(()) => Ok(conn.get_warnings()),
                Err(error) => Err(error),
            };
            (done, conn)
        })?;
        let count = match self.judged(done)? {
            Ok(count) => count,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if count == 0 {
            return Ok(Ok(Vec::new()));
        }
        let rows = self.rows("SHOW WARNINGS")?;
        Ok(Ok(rows.into_iter().filter_map(warning).collect()))
    }

    /// Runs a statement whose rows are a name and a value, and returns them with lower-case names.
    pub fn pairs(&mut self, statement: &str) -> Result<BTreeMap<String, String>> {
        let pair = |row: Texts| {
            let mut texts = row.into_iter();
            let name = texts.next().flatten()?.to_ascii_lowercase();
            Some((name, texts.next().flatten().unwrap_or_default()))
        };
        Ok(self.rows(statement)?.into_iter().filter_map(pair).collect())
    }

    /// Returns the error of a refusal.
    pub fn refused(&self, refusal: &Refusal) -> Error {
        let message = format!("the server {} refused a statement", self.address);
        Error::new(ErrorKind::Server, message).because(refusal.to_string())
    }

    /// Lends the connection to a future for a time.
    fn ask<T, F>(&mut self, time: Duration, asking: impl FnOnce(Conn) -> F) -> Result<T>
    where
        F: Future<Output = (T, Conn)>,
    {
        let lost = |why: String| {
            let message = format!("lost the connection to the server {}", self.address);
            Error::new(ErrorKind::Server, message).because(why)
        };
        let Some(conn) = self.conn.take() else {
            return Err(lost("an earlier statement was not answered".to_owned()));
        };
        let asking = asking(conn);
        let runtime = self.runtime.as_ref().expect("it is there until the session is dropped");
        let answered = runtime.block_on(async { timeout(time, asking).await });
        let (answer, conn) = answered.map_err(|_| lost(format!("no answer in {time:?}")))?;
        self.conn = Some(conn);
        Ok(answer)
    }

    /// Tells a refusal of the server from a connection that broke.
    fn judged<T>(
        &mut self,
        answer: mysql_async::Result<T>,
    ) -> Result<std::result::Result<T, Refusal>> {
        match answer {
            Ok(found) => Ok(Ok(found)),
            Err(mysql_async::Error::Server(error)) => {
                Ok(Err(Refusal { code: error.code, message: error.message }))
            }
            Err(error) => {
                self.conn = None;
                let message = format!("lost the connection to the server {}", self.address);
                Err(Error::new(ErrorKind::Server, message).because(words(&error)))
            }
        }
    }
}

fn options(address: &Address, login: &Login) -> Opts {
    let mut builder = OptsBuilder::default()
        .user(Some(&login.user))
        .pass(login.password.as_ref().map(|password| password.as_str()))
        // Otherwise the client asks a server on this host for its socket, and connects again.
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET_BYTES))
        .wait_timeout(Some(IDLE_SECONDS));
    match address {
        Address::Socket(path) => builder = builder.socket(Some(path.to_string_lossy())),
        Address::Tcp { host, port } => {
            builder = builder.ip_or_hostname(host.as_str()).tcp_port(*port);
            builder = builder.ssl_opts(login.tls.as_ref().map(tls));
        }
    }
    builder.into()
}

fn tls(wanted: &Tls) -> SslOpts {
    let mut options = SslOpts::default().with_disable_built_in_roots(true);
    options = options.with_root_certs(if let Some(path) = &wanted.authority {
        vec![path.clone().into()]
    } else {
        let of_system = rustls_native_certs::load_native_certs().certs;
        of_system.into_iter().map(|certificate| certificate.to_vec().into()).collect()
    });
    if let (Some(certificate), Some(key)) = (&wanted.certificate, &wanted.key) {
        let identity = ClientIdentity::new(certificate.clone().into(), key.clone().into());
        options = options.with_client_identity(Some(identity));
    }
    // As MariaDB's clients: without a wish to verify, the certificate may be any.
    options
        .with_danger_accept_invalid_certs(!wanted.verifies)
        .with_danger_skip_domain_validation(!wanted.verifies)
}

/// Returns what the client says of an error, without the layers that only pass it on.
fn words(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(error) => format!("error {}: {}", error.code, error.message),
        mysql_async::Error::Io(error) => error.to_string(),
        mysql_async::Error::Driver(error) => error.to_string(),
        mysql_async::Error::Other(error) => error.to_string(),
        mysql_async::Error::Url(error) => error.to_string(),
    }
}

fn texts(row: Row) -> Texts {
    row.unwrap().into_iter().map(text).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other @ (Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..)) => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// Reads a row of `SHOW WARNINGS`: level, code, message.
fn warning(row: Texts) -> Option<Warning> {
    let mut texts = row.into_iter().skip(1);
    let code = texts.next().flatten()?.parse().ok()?;
    Some(Warning { code, message: texts.next().flatten().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;
    use std::net::TcpStream;
    use std::thread;
    use std::thread::JoinHandle;

    use aws_lc_rs::signature::ED25519;
    use aws_lc_rs::signature::Ed25519KeyPair;
    use aws_lc_rs::signature::KeyPair;
    use aws_lc_rs::signature::UnparsedPublicKey;
    use zeroize::Zeroizing;

    use super::*;
    use crate::base::num::u64_of;

    /// Of 32 bytes: then MariaDB's keys are those of the standard.
    const PASSWORD: &str = "a password of thirty-two letters";

    const NONCE: [u8; 32] = [7; 32];

    fn nonce_with_a_zero() -> [u8; 32] {
        let mut nonce = NONCE;
        nonce[31] = 0;
        nonce
    }

    fn send(stream: &mut TcpStream, number: u8, payload: &[u8]) {
        let length = u64_of(payload.len()).to_le_bytes();
        let packet = [&length[..3], &[number], payload].concat();
        stream.write_all(&packet).unwrap();
    }

    fn receive(stream: &mut TcpStream) -> Vec<u8> {
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let length = usize::from(head[0]) + 256 * usize::from(head[1]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        payload
    }

    /// Takes a login with ed25519, and tells whether its signature is right.
    fn take(mut stream: TcpStream, nonce: [u8; 32]) -> bool {
        // Protocol 4.1, authentication by plugins with random bytes of their own.
        let capabilities: u32 = 0x0008_8201;
        let capabilities = capabilities.to_le_bytes();
        let greeting = [
            &[10][..],
            b"10.11.19-MariaDB\0\x01\0\0\0",
            b"12345678\0",
            &capabilities[..2],
            &[45, 2, 0],
            &capabilities[2..],
            &[21],
            &[0; 10],
            b"123456789012\0mysql_native_password\0",
        ];
        send(&mut stream, 0, &greeting.concat());
        receive(&mut stream);
        send(&mut stream, 2, &[&[0xfe][..], b"client_ed25519\0", &nonce].concat());
        let signature = receive(&mut stream);
        let key = Ed25519KeyPair::from_seed_unchecked(PASSWORD.as_bytes()).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref().to_vec());
        let is_right = key.verify(&nonce, &signature).is_ok();
        let words: &[u8] =
            if is_right { &[0, 0, 0, 2, 0, 0, 0] } else { b"\xff\x15\x04#28000Access denied" };
        send(&mut stream, 4, words);
        is_right
    }

    /// A server that takes one login for each of some random bytes, and then goes away.
    fn server(nonces: Vec<[u8; 32]>) -> (Address, JoinHandle<Vec<bool>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let serve = move || {
            let logins = nonces.into_iter().map(|nonce| take(listener.accept().unwrap().0, nonce));
            logins.collect()
        };
        (address, thread::spawn(serve))
    }

    fn login(password: &str) -> Login {
        let password = Some(Zeroizing::new(password.to_owned()));
        Login { password, ..Login::of_user("backup") }
    }

    #[test]
    fn a_login_that_the_client_signs_wrongly_is_tried_again() {
        let zero = nonce_with_a_zero();
        // A client that signs these bytes rightly needs no second try.
        for (nonces, rights) in [
            (vec![NONCE], vec![true]),
            (vec![zero, NONCE], vec![false, true]),
            (vec![zero, zero, NONCE], vec![false, false, true]),
        ] {
            let (address, served) = server(nonces);
            Session::connect(&address, &login(PASSWORD)).unwrap();
            assert_eq!(served.join().unwrap(), rights);
        }
    }

    #[test]
    fn a_wrong_password_is_refused_after_as_many_logins() {
        let (address, served) = server(vec![NONCE; 3]);
        let error = Session::connect(&address, &login("another password")).unwrap_err();
        assert!(error.with_causes().contains("error 1045: Access denied"), "{error:?}");
        assert_eq!(served.join().unwrap(), [false; 3]);
    }
}
