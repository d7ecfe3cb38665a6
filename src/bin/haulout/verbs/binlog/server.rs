//! What an archive asks its server: which files it has, and where it writes.

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::binlog::GtidState;
use haulout::ops::binlog::ServerFile;
use haulout::server::session::Session;
use haulout::server::session::Texts;

/// Returns the files that a server has, the oldest first.
pub(super) fn files(session: &mut Session) -> Result<Vec<ServerFile>> {
    let rows = session.rows("SHOW BINARY LOGS")?;
    let file = |row: Texts| {
        let mut texts = row.into_iter();
        let name = texts.next().flatten()?;
        Some(ServerFile { name, bytes: texts.next().flatten()?.parse().ok()? })
    };
    let files: Vec<ServerFile> = rows.into_iter().filter_map(file).collect();
    if files.is_empty() {
        let what = format!("the server {} lists no binary logs", session.address());
        return Err(Error::new(ErrorKind::Server, what));
    }
    Ok(files)
}

/// Returns the server that wrote a file, and the state before it.
pub(super) fn head(session: &mut Session, file: &str) -> Result<(u32, GtidState)> {
    let name = file.replace(['\'', '\\'], "");
    let rows = session.rows(&format!("SHOW BINLOG EVENTS IN '{name}' LIMIT 4"))?;
    let odd = || {
        let what = format!("the server {} does not list GTIDs in {file}", session.address());
        Error::new(ErrorKind::Server, what)
    };
    for row in rows {
        let text = |column: usize| row.get(column).and_then(Option::as_deref);
        if text(2) == Some("Gtid_list") {
            let server = text(3).and_then(|id| id.parse().ok()).ok_or_else(odd)?;
            let list = text(5).unwrap_or_default().trim_matches(['[', ']']);
            return Ok((server, list.parse().map_err(|_| odd())?));
        }
    }
    Err(odd())
}
