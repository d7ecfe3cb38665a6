//! Recovery kits as files, and secrets that are written to files at all.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::num::wide;
use haulout::seal::kit::KIT_TEXT_BYTES_MAX;
use haulout::seal::kit::RecoveryKit;

/// What people read on a kit. No line of it begins with two digits.
pub(super) fn heading(kit: &RecoveryKit, location: &str, day: &str) -> String {
    let repository = kit.repository();
    let needs = if kit.needs_passphrase() {
        "Together with its password it opens"
    } else {
        "It opens, without any password,"
    };
    format!(
        "{needs} the haulout repository\n{repository},\nwhich was at {location}\non {day}. \
         Keep this away from the machines that are backed up.\n\n\
         To use it, copy or type the numbered lines below into a file, and run\n  \
         haulout -r REPOSITORY --recovery-kit FILE restore latest --to DIRECTORY\n\
         Capitals and spaces do not matter; each line ends in a checksum.\n"
    )
}

/// Reads a kit from a file.
pub(super) fn read(path: &Path) -> Result<RecoveryKit> {
    let trouble = || {
        let shown = path.display();
        Error::new(ErrorKind::NoKey, format!("cannot read the recovery kit {shown}"))
    };
    let file = File::open(path).map_err(|e| trouble().because(e))?;
    let mut text = Zeroizing::new(String::with_capacity(KIT_TEXT_BYTES_MAX));
    let mut limited = file.take(wide(KIT_TEXT_BYTES_MAX) - 1);
    limited.read_to_string(&mut text).map_err(|e| trouble().because(e))?;
    RecoveryKit::from_text(&text).map_err(|e| trouble().because(e))
}

/// Writes a secret to a new file that only its owner can read.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let trouble =
        |e| Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(e);
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(trouble)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(trouble)
}
