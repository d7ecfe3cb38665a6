//! Connections to the servers that the configuration names.

use std::path::Path;
use std::process::Command;

use haulout::error::Result;
use haulout::server::login::Login;
use haulout::server::option_file::Options;
use haulout::server::session::Session;
use haulout::server::url;

use crate::config::tree::Table;
use crate::environment::variable;
use crate::jobs::account::ToolOptions;
use crate::jobs::account::all_groups;
use crate::jobs::desync::node::Server;
use crate::jobs::desync::wishes;

/// Connects to the server of a source with the account of its tool.
pub(crate) fn of_source(source: &Table) -> Result<Session> {
    let options = ToolOptions::of(source, &variable)?;
    let (address, login) = options.account(source, &user());
    Session::connect(&address, &login)
}

/// Returns the server of a source as one that can be desynced, by the account for that.
pub(crate) fn to_desync(cluster: &Table, source: &Table) -> Result<Server> {
    let (address, _) = ToolOptions::of(source, &variable)?.account(source, &user());
    let options = options_of(wishes::account(cluster, source))?;
    Ok(Server::new(address, Login::from_options(&options, &user())))
}

/// Returns the account with which the members of a cluster are asked.
pub(crate) fn login_of(cluster: &Table, source: &Table) -> Result<Login> {
    if let Some(path) = cluster.text("client_from") {
        return url::of_service(Path::new(path)).map(|(_, login)| login);
    }
    if let Some(path) = cluster.text("defaults_file") {
        return Ok(Login::from_options(&options_of(Some(Path::new(path)))?, &user()));
    }
    let (_, login) = ToolOptions::of(source, &variable)?.account(source, &user());
    Ok(login)
}

/// Reads an option file that no tool reads, if one is named.
fn options_of(path: Option<&Path>) -> Result<Options> {
    path.map_or_else(|| Ok(Options::default()), |path| Options::read(path, &all_groups()))
}

/// Returns the name of the user that runs this program, which is the account of a client that no
/// option file names.
pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output();
    let name = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "root".to_owned())
}
