//! Copies a prepared directory to another file system: files with their holes, owners and modes,
//! each durable.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::ops::datadir::files;

/// Bytes that are copied at once, and that become a hole if they are all zero.
const STEP_BYTES: usize = 1 << 16;

/// Copies all of `from` to `to`, which is made anew. Returns the bytes of the files.
pub(super) fn copy(from: &Path, to: &Path, monitor: &Monitor) -> Result<u64> {
    let failed = |error: io::Error| {
        let what = format!("cannot copy {} to {}", from.display(), to.display());
        Error::new(ErrorKind::Target, what).because(error)
    };
    files::remove(to).map_err(failed)?;
    make_directory(to).map_err(failed)?;
    let (mut bytes, mut stopped) = (0, None);
    let walked = files::walk(from, &mut |path, metadata| {
        if stopped.is_none() {
            stopped = monitor.check().err();
        }
        if stopped.is_some() {
            return Ok(());
        }
        let there = to.join(path);
        if metadata.is_file() {
            if let Some(above) = there.parent() {
                make_directory(above)?;
            }
            bytes += copy_file(&from.join(path), &there)?;
        } else if metadata.is_dir() {
            make_directory(&there)?;
        } else {
            return Err(io::Error::other(format!("{} is no file", path.display())));
        }
        give_attributes(&there, metadata)
    });
    walked.map_err(failed)?;
    if let Some(error) = stopped {
        return Err(error);
    }
    let itself = fs::metadata(from).and_then(|metadata| give_attributes(to, &metadata));
    itself.and_then(|()| files::sync(to)).map_err(failed)?;
    Ok(bytes)
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn give_attributes(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let now = fs::metadata(path)?;
    if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
        chown(path, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    fs::set_permissions(path, metadata.permissions())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
    let mut buffer = vec![0; STEP_BYTES];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += u64_of(read);
        if buffer[..read].iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Start(bytes))?;
        } else {
            to.write_all(&buffer[..read])?;
        }
    }
    to.set_len(bytes)?;
    to.sync_all()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_come_with_their_modes_and_holes() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("shop")).unwrap();
        fs::create_dir_all(from.join("empty")).unwrap();
        let mut content = vec![0; 3 << 20];
        content[2 << 20] = 1;
        fs::write(from.join("shop/t.ibd"), &content).unwrap();
        fs::set_permissions(from.join("shop/t.ibd"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir_all(to.join("left")).unwrap();
        assert_eq!(copy(&from, &to, &Monitor::default()).unwrap(), 3 << 20);
        assert_eq!(fs::read(to.join("shop/t.ibd")).unwrap(), content);
        let metadata = fs::metadata(to.join("shop/t.ibd")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        assert!(metadata.blocks() * 512 < 1 << 20, "holes stay holes");
        assert!(to.join("empty").is_dir() && !to.join("left").exists());
    }
}
