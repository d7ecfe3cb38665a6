//! Recovery kits as files, and secrets that are written to files at all.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::repo::keys::KIT_TEXT_BYTES_MAX;
use haulout::repo::keys::RecoveryKit;
use haulout::shared::num::u64_of;
use zeroize::Zeroizing;

use crate::secrets::password::everybody_reads;

/// The locations of the repository that a kit opens.
pub(crate) struct Places<'p> {
    /// The location of the repository.
    pub(crate) repository: String,
    /// The locations of its copies, as far as they were named.
    pub(crate) replicas: &'p [String],
}

/// The blank line for the address of a copy that is made later.
const BLANK_COPY: &str =
    "A copy of it is at ____________________________________________________\n";

/// Returns the text above a kit that people read. No line of it begins with two digits.
pub(crate) fn heading(kit: &RecoveryKit, places: &Places<'_>, day: &str) -> String {
    let repository = kit.repository();
    let location = &places.repository;
    let copy = |replica: &String| format!("A copy of it was at {replica}.\n");
    let copies: String = places.replicas.iter().map(copy).collect();
    let copies = if copies.is_empty() { BLANK_COPY } else { &copies };
    let needs = if kit.needs_passphrase() {
        "Together with its password it opens"
    } else {
        "It opens, without any password,"
    };
    format!(
        "{needs} the haulout repository\n{repository},\nwhich was at {location}\non {day}. \
         Keep this away from the machines that are backed up.\n{copies}\n\
         To use it, copy or type the numbered lines below into a file, and run\n  \
         haulout -r REPOSITORY --recovery-kit FILE restore latest --to DIRECTORY\n\
         Capitals and spaces do not matter; each line ends in a checksum.\n"
    )
}

/// A recovery kit that was read from a file.
pub(crate) struct KitFile {
    /// The kit as it was parsed.
    pub(crate) kit: RecoveryKit,
    /// True if every user of this host can read the file.
    pub(crate) is_exposed: bool,
}

/// Reads a kit from a file.
pub(crate) fn read(path: &Path) -> Result<KitFile> {
    let failure = || {
        let shown = path.display();
        Error::new(ErrorKind::NoKey, format!("cannot read the recovery kit {shown}"))
    };
    let file = File::open(path).map_err(|e| failure().because(e))?;
    let is_exposed = everybody_reads(&file).map_err(|e| failure().because(e))?;
    let mut text = Zeroizing::new(String::with_capacity(KIT_TEXT_BYTES_MAX));
    let mut limited = file.take(u64_of(KIT_TEXT_BYTES_MAX) - 1);
    limited.read_to_string(&mut text).map_err(|e| failure().because(e))?;
    let kit = RecoveryKit::from_text(&text).map_err(|e| failure().because(e))?;
    Ok(KitFile { kit, is_exposed })
}

/// Writes a secret to a new file that only its owner can read. The file is there whole, and stays
/// there, or not at all: what it opens may be made next.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let written = || -> io::Result<()> {
        let parent = directory_of(path);
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(parent)?.sync_all()
    };
    written().map_err(|error| {
        Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(error)
    })
}

/// Refuses a name that [`write_secret`] would refuse, before anything else is done.
pub(crate) fn require_free(path: &Path) -> Result<()> {
    let cannot = || Error::new(ErrorKind::Target, format!("cannot write {}", path.display()));
    if path.exists() {
        return Err(cannot().because("it exists"));
    }
    let tried = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory_of(path));
    tried.map(|_| ()).map_err(|e| cannot().because(e))
}

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
