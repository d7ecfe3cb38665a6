//! Tells systemd how a run gets on: it is ready, what it does, it ends.
//!
//! The protocol is one datagram of lines to the socket that `NOTIFY_SOCKET` names. It is done here
//! and not by the crate `sd-notify`, since std can send to both kinds of sockets (a path, and an
//! abstract name behind `@`): what is left are the lines below. A notice that can't be sent is
//! lost, as systemd's manual asks for.
//!
//! Source: `sd_notify(3)`.

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;

/// The variable that names the socket. What a job starts does not inherit it: it speaks for itself.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager that hears how a run gets on, if there is one.
#[derive(Debug)]
pub(crate) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// Looks up the socket of the environment.
    pub(crate) fn of_this_process() -> Self {
        Self::to(env::var_os(VARIABLE))
    }

    fn to(name: Option<OsString>) -> Self {
        let address = name.and_then(|name| match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
            [b'/', ..] => SocketAddr::from_pathname(&name).ok(),
            // A socket of a virtual machine's host, or none.
            _ => None,
        });
        Self(address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    /// Says that the run has begun.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Says what the run does.
    pub(crate) fn status(&self, status: &str) {
        // A line of its own would be another notice.
        self.send(&format!("STATUS={}", status.replace('\n', " ")));
    }

    /// Says that the run ends.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, notice: &str) {
        let Some((socket, address)) = &self.0 else { return };
        let _lost = socket.send_to_addr(notice.as_bytes(), address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn notices_go_to_a_path_or_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("haulout-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, variable) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let notify = Notify::to(Some(variable));
            notify.ready();
            notify.status("step 1\nof 2");
            notify.stopping();
            for expected in ["READY=1", "STATUS=step 1 of 2", "STOPPING=1"] {
                assert_eq!(received(&socket), expected);
            }
        }
    }

    #[test]
    fn no_socket_and_one_that_has_gone_are_no_failure() {
        for variable in [None, Some("".into()), Some("vsock:2:1".into()), Some("/none/x".into())] {
            Notify::to(variable).ready();
        }
    }
}
