//! With which file of a server an archive goes on.

use crate::base::error::Result;
use crate::base::gtid::GtidState;
use crate::format::binlog::BinlogIndex;

/// A file as its server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFile {
    /// The name of the file.
    pub name: String,
    /// The size of the file.
    pub bytes: u64,
}

/// The file with which an archive goes on, and what was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// The place of the file in the server's list.
    pub at: usize,
    /// True if the newest file that is stored is not the server's any more, while files are: they
    /// may have been purged before they were stored.
    pub is_detached: bool,
}

/// Returns the first of a server's files that is not stored; `newest` gives what is stored, the
/// newest first, and `head` the server and the state before one of its files.
///
/// A name alone says nothing, since names are used again after `RESET MASTER`: size, server and
/// state must be those that were stored.
pub fn first(
    files: &[ServerFile],
    newest: &mut dyn Iterator<Item = BinlogIndex>,
    head: &mut dyn FnMut(&str) -> Result<(u32, GtidState)>,
) -> Result<First> {
    let last = files.len().saturating_sub(1);
    let mut has_any = false;
    for stored in newest {
        has_any = true;
        let same = |file: &ServerFile| file.name == stored.file && file.bytes == stored.bytes;
        let Some(at) = files.iter().position(same) else { continue };
        if head(&stored.file)? == (stored.server_id, stored.before.clone()) {
            return Ok(First { at: (at + 1).min(last), is_detached: false });
        }
    }
    Ok(First { at: 0, is_detached: has_any })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::binlog::BinlogEnd;

    fn stored(number: u64, bytes: u64, before: &str) -> BinlogIndex {
        BinlogIndex {
            file: format!("bin.{number:06}"),
            server_id: 11,
            server_version: "10.11".to_owned(),
            first_event: String::new(),
            digest: String::new(),
            bytes,
            before: before.parse().unwrap(),
            after: GtidState::default(),
            first_time: None,
            last_time: None,
            encrypted: false,
            ends: BinlogEnd::Rotate,
        }
    }

    fn file(number: u64, bytes: u64) -> ServerFile {
        ServerFile { name: format!("bin.{number:06}"), bytes }
    }

    #[test]
    fn an_archive_goes_on_behind_the_newest_file_that_is_stored() {
        let files = [file(3, 500), file(4, 600), file(5, 100)];
        let head = |name: &str| {
            Ok((11, if name == "bin.000003" { "0-11-7" } else { "0-11-9" }.parse().unwrap()))
        };
        for (newest, at, is_detached) in [
            (vec![], 0, false),
            (vec![stored(4, 600, "0-11-9"), stored(3, 500, "0-11-7")], 2, false),
            (vec![stored(3, 500, "0-11-7"), stored(2, 1, "")], 1, false),
            // Another file of this name and size; the one before is the same.
            (vec![stored(4, 600, "0-11-8"), stored(3, 500, "0-11-7")], 1, false),
            (vec![stored(4, 601, "0-11-9")], 0, true),
            // The last one is open, whatever is stored of its name.
            (vec![stored(5, 100, "0-11-9")], 2, false),
        ] {
            let mut stored = newest.clone().into_iter();
            let found = first(&files, &mut stored, &mut { head }).unwrap();
            assert_eq!(found, First { at, is_detached }, "{newest:?}");
        }
    }
}
