//! Finds other users who can write to a directory, or put another one in its place.
//!
//! Files in a directory that another user can write to may be changed, or joined by files that were
//! never in the backup, before they are used. The same goes for the directories above: a user who
//! can rename one of them decides what its name leads to.
//!
//! - Trusted are root, the user who restores, and the owner of the directory itself.
//! - A directory is exposed if its mode lets everybody write, or a group that has others in it.
//! - Above the directory the sticky bit protects the names of others, as in `/tmp`; there the owner
//!   counts as well.
//!
//! It does not ask directory services for the members of a group. A group that the
//! accounts given here do not list has unknown members, and counts as others.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::ops::restore::accounts::Accounts;

/// A directory at or above the one that was asked about that other users can write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exposure {
    /// Number of levels above; 0 is the directory itself.
    pub(super) level: usize,
    /// The users who can write to it, in words that follow its name.
    pub(super) by: String,
}

/// The use that a restore makes of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is filled itself.
    Target,
    /// A new directory is made in it, which is filled.
    Parent,
}

/// Finds the lowest directory, from this one up to `/`, that another user can write to.
pub(super) fn exposure(
    directory: impl AsFd,
    used: Use,
    accounts: &Accounts,
) -> io::Result<Option<Exposure>> {
    let mut stat = rustix::fs::fstat(&directory)?;
    let trusted = [0, rustix::process::geteuid().as_raw(), stat.st_uid];
    let mut at = climb(&directory, c".")?;
    for level in 0.. {
        let used = if level > 0 { Use::Parent } else { used };
        if let Some(by) = writable_by(&at, &stat, used, &trusted, accounts) {
            return Ok(Some(Exposure { level, by }));
        }
        let above = climb(&at, c"..")?;
        let its = rustix::fs::fstat(&above)?;
        if (its.st_dev, its.st_ino) == (stat.st_dev, stat.st_ino) {
            break;
        }
        (at, stat) = (above, its);
    }
    Ok(None)
}

fn climb(from: impl AsFd, name: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(from, name, flags, Mode::empty())?)
}

/// Returns in words which other users can write to a directory; `None` if no other can.
fn writable_by(
    directory: &OwnedFd,
    stat: &Stat,
    used: Use,
    trusted: &[u32],
    accounts: &Accounts,
) -> Option<String> {
    if !trusted.contains(&stat.st_uid) {
        return Some(format!("belongs to user {}", stat.st_uid));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if used == Use::Parent && mode.contains(Mode::SVTX) {
        return None;
    }
    if mode.contains(Mode::WOTH) {
        return Some("can be written to by everybody".to_owned());
    }
    if !mode.contains(Mode::WGRP) {
        return None;
    }
    // With an access list the group's bits bound the rights of everybody who is named there.
    if has_access_list(directory) {
        return Some("can be written to by those in its access control list".to_owned());
    }
    let group = stat.st_gid;
    let others = !accounts.group_is_within(group, trusted);
    others.then(|| format!("can be written to by group {group}"))
}

fn has_access_list(directory: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut nothing: [u8; 0] = [];
    let asked = rustix::fs::getxattr(path, c"system.posix_acl_access", &mut nothing);
    !matches!(asked, Err(Errno::NODATA | Errno::NOTSUP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn exposed(path: &Path, accounts: &Accounts) -> Option<usize> {
        let directory = File::open(path).unwrap();
        exposure(&directory, Use::Target, accounts).unwrap().map(|exposure| exposure.level)
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_mode_of_a_directory_and_of_those_above_it_counts() {
        let top = tempfile::tempdir().unwrap();
        let (above, inside) = (top.path().join("above"), top.path().join("above/inside"));
        fs::create_dir_all(&inside).unwrap();
        for (outer, inner, level) in [
            (0o755, 0o755, None),
            (0o755, 0o777, Some(0)),
            (0o755, 0o1777, Some(0)),
            (0o755, 0o775, Some(0)),
            (0o777, 0o700, Some(1)),
            (0o770, 0o700, Some(1)),
            (0o1777, 0o700, None),
            (0o1770, 0o755, None),
        ] {
            allow(&above, outer);
            allow(&inside, inner);
            let found = exposed(&inside, &Accounts::default());
            assert_eq!(found, level, "{outer:o} {inner:o}");
            let inside = File::open(&inside).unwrap();
            let new = exposure(&inside, Use::Parent, &Accounts::default()).unwrap();
            assert_eq!(new.is_some(), level.is_some() && inner != 0o1777, "{outer:o} {inner:o}");
        }
    }

    #[test]
    fn a_group_that_only_the_owner_is_in_is_no_other() {
        let top = tempfile::tempdir().unwrap();
        allow(top.path(), 0o770);
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let (user, group) = (user.as_raw(), group.as_raw());
        let of = |members: &str| {
            let passwd = format!("me:x:{user}:{group}::/:\nanna:x:4242:4242::/:\n");
            Accounts::parse(passwd.as_bytes(), format!("own:x:{group}:{members}\n").as_bytes())
        };
        assert_eq!(exposed(top.path(), &of("")), None);
        assert_eq!(exposed(top.path(), &of("me")), None);
        assert_eq!(exposed(top.path(), &of("me,anna")), Some(0));
        assert_eq!(exposed(top.path(), &of("stranger")), Some(0));
        assert_eq!(exposed(top.path(), &Accounts::default()), Some(0));
    }
}
