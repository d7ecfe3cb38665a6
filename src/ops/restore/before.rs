//! Checks before a restore writes its first byte: the files suit their purpose, and there is room
//! for them.

use std::fs;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::snapshot::StreamFormat;
use crate::ops::restore::chosen::Chosen;
use crate::ops::restore::confined::unwritable;
use crate::repo::snapshots::StoredSnapshot;

/// File systems that may need less room than files have bytes: btrfs, ZFS, bcachefs.
const COMPRESSING: [i64; 3] = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e];

/// Refuses files that `mariabackup --prepare` can't work on.
pub(super) fn require_preparable(stored: &StoredSnapshot, chosen: &Chosen) -> Result<()> {
    let refused = |why: String| {
        let what = format!("snapshot {} can't be prepared: {why}", stored.id().short());
        Err(Error::new(ErrorKind::Usage, what))
    };
    let format = stored.snapshot.about.format;
    if format == StreamFormat::Sql || format.is_plain() {
        return refused(format!("it is a {format} stream, not a physical backup"));
    }
    if !chosen.has_checkpoints {
        return refused("it has no xtrabackup_checkpoints".to_owned());
    }
    if let Some(path) = &chosen.refused {
        return refused(format!("no file system takes the name of {}", path.escape_ascii()));
    }
    let Chosen { count, others, .. } = chosen;
    if *others > 0 {
        return refused(format!("--include leaves out {others} of its {} files", count + others));
    }
    Ok(())
}

/// Refuses a target whose file system has less room than the files need.
pub(super) fn require_room<'c>(
    target: &Path,
    chosen: impl Iterator<Item = &'c Chosen> + Clone,
) -> Result<()> {
    let there = target.ancestors().find(|above| fs::metadata(above).is_ok());
    let there = there.unwrap_or(Path::new("."));
    let failed = |e: rustix::io::Errno| unwritable(target, e.into());
    let room = rustix::fs::statvfs(there).map_err(failed)?;
    let is_root = rustix::process::geteuid().is_root();
    let blocks = if is_root { room.f_bfree } else { room.f_bavail };
    let available = blocks.saturating_mul(room.f_frsize);
    let refused = |needs: u64, of: &str, has: u64| {
        let place = there.display();
        let what =
            format!("the file system of {place} has room for {has} {of}, {needs} are needed");
        Err(Error::new(ErrorKind::NoRoom, what))
    };
    let files: u64 = chosen.clone().map(|chosen| chosen.count).sum();
    if room.f_files > 0 && room.f_favail < files {
        return refused(files, "files", room.f_favail);
    }
    let bytes = chosen.clone().fold(0u64, |sum, chosen| sum.saturating_add(chosen.bytes));
    if bytes <= available {
        return Ok(());
    }
    let kind = rustix::fs::statfs(there).map_err(failed)?.f_type;
    // What is zero becomes a hole, so only a look at the maps shows the size.
    let needed = chosen.map(Chosen::stored_bytes);
    let needed = needed.sum::<Result<u64>>()?;
    if needed <= available || COMPRESSING.contains(&kind) {
        return Ok(());
    }
    refused(needed, "bytes", available)
}
