//! Archives: the same bytes back, the same files as GNU tar makes, and nothing outside the target.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::snapshot::StreamFormat;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupReport;
use haulout::ops::restore;
use haulout::ops::restore::Losses;
use haulout::ops::restore::Method;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::restore::Target;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::memory::MemoryStore;

use crate::support;
use crate::support::Protected;
use crate::support::Random;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::options;
use crate::support::stream_of;

fn repository() -> Repository {
    init(Arc::new(MemoryStore::new()), Protected::Clear, 1)
}

fn restore(repository: &Repository, target: &Path, include: &[&str]) -> Result<RestoreReport> {
    let names = repository.snapshots()?;
    let newest = names.snapshots.last().expect("there is a snapshot");
    let include = include.iter().map(|glob| (*glob).to_owned()).collect();
    let options = RestoreOptions { include, workers: 2, ..RestoreOptions::default() };
    let (target, world) = (Target::Directory(target), World::of_this_machine());
    let report = restore::restore(repository, newest, target, &options, &world)?;
    assert_eq!(report.method, Method::Archive);
    Ok(report)
}

/// A directory like those that are backed up: files of all sizes, links, odd names, permissions,
/// times, attributes, holes.
fn make_tree(root: &Path) {
    let mut random = Random(5);
    let directory = root.join("etc/nova/deep/er");
    fs::create_dir_all(&directory).unwrap();
    for (number, size) in [0, 1, 511, 512, 513, 10_000, 300_000, 5_000_000].into_iter().enumerate()
    {
        let bytes: Vec<u8> = (0..size).map(|_| random.next().to_le_bytes()[0]).collect();
        fs::write(root.join(format!("etc/nova/file-{number}")), bytes).unwrap();
    }
    fs::write(directory.join("conf"), "[DEFAULT]\nkey = value\n").unwrap();
    fs::hard_link(directory.join("conf"), root.join("etc/conf-link")).unwrap();
    symlink("nova/deep/er/conf", root.join("etc/soft")).unwrap();
    symlink("/absolute/and/nowhere", root.join("etc/dangling")).unwrap();
    symlink("x".repeat(180), root.join("etc/long-link")).unwrap();
    let long = "a-name-of-a-good-length-".repeat(9);
    fs::write(root.join("etc").join(&long), "long").unwrap();
    fs::create_dir(root.join("etc/empty")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"etc/not-utf8-\xff\xfe \n")), "odd").unwrap();
    let holes = File::create(root.join("etc/holes")).unwrap();
    holes.set_len(40 << 20).unwrap();
    for at in [0, 3 << 20, 17 << 20, (40 << 20) - 4096] {
        holes.write_all_at(&[7; 4096], at).unwrap();
    }
    for (number, at) in (0u64..12).map(|n| (n, 1_000_000 * (n + 1))).skip(4) {
        holes.write_all_at(&number.to_le_bytes(), at).unwrap();
    }
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Without root special bits are left out; GNU tar keeps them for files of one's own.
    let special = |bits: u32| if rustix::process::geteuid().is_root() { bits } else { 0 };
    mode("etc/nova/file-1", special(0o4000) | 0o755);
    mode("etc/nova/file-2", 0o600);
    mode("etc/nova/deep", special(0o1000) | 0o777);
    mode("etc/empty", 0o500);
    let with_attribute = File::open(root.join("etc/nova/file-3")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    // Not every file system has them; both sides then have none.
    let _unsupported = rustix::fs::fsetxattr(&with_attribute, "user.note", b"a \0 note", flags);
    let _unsupported =
        rustix::fs::lsetxattr(root.join("etc/soft"), "trusted.note", b"of a link", flags);
    let list = access_list(&[(1, 6, NOBODY), (2, 4, 12_345), (4, 4, NOBODY), (16, 4, NOBODY)]);
    for (path, name) in [
        ("etc/nova/file-6", "system.posix_acl_access"),
        ("etc/nova/deep", "system.posix_acl_default"),
    ] {
        let _unsupported = rustix::fs::lsetxattr(root.join(path), name, &list, flags);
    }
    for (path, seconds) in [("etc/nova/file-4", 1), ("etc/nova", 1_600_000_000)] {
        let file = File::open(root.join(path)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, 123_456_789);
        file.set_modified(time).unwrap();
    }
}

/// What stands in an access control list where no number belongs.
const NOBODY: u32 = u32::MAX;

/// An access control list as the kernel takes it, which gives others nothing.
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries.iter().chain(&[(32, 0, NOBODY)]) {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&rights.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

/// Everything that a tree says about itself, by path.
fn described(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        let mut entries: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let about = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let contents = if about.is_file() {
                blake3::hash(&fs::read(&path).unwrap()).to_string()
            } else if about.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::new()
            };
            if about.is_dir() {
                left.push(path.clone());
            }
            let linked = about.is_file() && about.nlink() > 1;
            let first = linked.then(|| inodes.entry(about.ino()).or_insert(name.clone()).clone());
            let attributes = [
                "user.note",
                "trusted.note",
                "system.posix_acl_access",
                "system.posix_acl_default",
            ]
            .map(|name| {
                let mut value = [0; 100];
                let length = rustix::fs::lgetxattr(&path, name, &mut value).ok();
                length.map(|length| value[..length].escape_ascii().to_string())
            });
            let text = format!(
                "{:o} {}:{} {}.{} {} bytes {contents} first {first:?} {attributes:?}",
                about.mode(),
                about.uid(),
                about.gid(),
                about.mtime(),
                about.mtime_nsec(),
                if about.is_file() { about.len() } else { 0 },
            );
            found.insert(name, text);
        }
    }
    found
}

fn tar(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    let output = command.arg("-C").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn differences(ours: &Path, theirs: &Path) -> Vec<String> {
    let (ours, theirs) = (described(ours), described(theirs));
    let all: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differ = all.into_iter().filter(|path| ours.get(*path) != theirs.get(*path));
    differ
        .map(|path| {
            let (ours, theirs) = (ours.get(path), theirs.get(path));
            format!("{}\n  {ours:?}\n  {theirs:?}", path.escape_ascii())
        })
        .collect()
}

#[test]
fn every_format_of_gnu_tar_is_restored_as_gnu_tar_does() {
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let formats: [&[&str]; 7] = [
        &["--format=pax", "--acls", "--xattrs", "--xattrs-include=*"],
        &["--format=gnu"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--xattrs"],
        &["--format=pax", "--sparse", "--sparse-version=1.0", "--xattrs"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
    ];
    for format in formats {
        let archive = tar(source.path(), &[format, &["-cf", "-", "."]].concat());
        let repository = repository();
        let report = back_up(&repository, &archive);
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert_eq!(report.about.format, StreamFormat::Tar);
        assert!(stream_of(&repository, "latest").unwrap() == archive, "{format:?}");

        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = theirs.path().join("archive.tar");
        let there = theirs.path().join("tree");
        fs::create_dir(&there).unwrap();
        fs::write(&file, &archive).unwrap();
        // With --xattrs alone lists are attributes like others; --acls would not set those.
        let lists: &[&str] = if format.contains(&"--acls") { &["--acls"] } else { &[] };
        let everything = ["--xattrs", "--xattrs-include=*", "-xpf", file.to_str().unwrap()];
        tar(&there, &[lists, &everything].concat());
        let report = restore(&repository, ours.path(), &[]).unwrap();
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        let differ = differences(ours.path(), &there);
        assert!(differ.is_empty(), "{format:?}:\n{}", differ.join("\n"));
        let allocated = fs::metadata(ours.path().join("etc/holes")).unwrap().blocks() * 512;
        if format.contains(&"--sparse") {
            assert!(allocated < 8 << 20, "{format:?}: holes became {allocated} bytes");
        }
    }
}

#[test]
fn the_configuration_of_this_machine_is_restored_as_gnu_tar_does() {
    // Others than root can't read all of it, and GNU tar leaves them special bits.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut command = Command::new("tar");
    let arguments = ["--format=pax", "--acls", "--xattrs", "--xattrs-include=*", "-cf", "-"];
    // Warnings of what changed meanwhile do not make it another archive.
    let archive = command.args(arguments).args(["-C", "/", "etc"]).output().unwrap().stdout;
    let repository = repository();
    let report = back_up(&repository, &archive);
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = theirs.path().join("archive.tar");
    let there = theirs.path().join("tree");
    fs::create_dir(&there).unwrap();
    fs::write(&file, &archive).unwrap();
    let arguments = ["--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*", "-xpf"];
    tar(&there, &[&arguments[..], &[file.to_str().unwrap()]].concat());
    let report = restore(&repository, ours.path(), &[]).unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(report.files > 100, "{} files", report.files);
    let differ = differences(ours.path(), &there);
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn ustar_is_restored_as_gnu_tar_does() {
    let source = tempfile::tempdir().unwrap();
    let short = source.path().join("etc/some/directory-with-a-longish-name".repeat(3));
    fs::create_dir_all(&short).unwrap();
    fs::write(short.join("a-file-with-a-longish-name-too"), "contents").unwrap();
    let archive = tar(source.path(), &["--format=ustar", "-cf", "-", "etc"]);
    let repository = repository();
    back_up(&repository, &archive);
    let target = tempfile::tempdir().unwrap();
    restore(&repository, target.path(), &[]).unwrap();
    // Times have no parts of a second in this format.
    let name = short.strip_prefix(source.path()).unwrap().join("a-file-with-a-longish-name-too");
    assert_eq!(fs::read(target.path().join(name)).unwrap(), b"contents");
}

#[test]
fn a_second_night_of_a_real_tree_stores_what_changed() {
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let repository = repository();
    back_up(&repository, &tar(source.path(), &["--format=pax", "-cf", "-", "etc"]));
    fs::write(source.path().join("etc/nova/new"), "new").unwrap();
    let archive = tar(source.path(), &["--format=pax", "-cf", "-", "etc"]);
    let report = back_up(&repository, &archive);
    let counts = &report.counts;
    assert!(counts.stored_bytes < 60_000, "{counts:?}");
    assert!(stream_of(&repository, "latest").unwrap() == archive);
}

#[test]
fn single_files_are_restored_with_their_links() {
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let repository = repository();
    // The link comes after the file that it leads to.
    let archive = tar(source.path(), &["-cf", "-", "etc/nova", "etc/conf-link", "etc/soft"]);
    back_up(&repository, &archive);
    let target = tempfile::tempdir().unwrap();
    let report = restore(&repository, target.path(), &["etc/conf-link", "etc/soft"]).unwrap();
    assert_eq!((report.files, report.warnings.len()), (2, 0), "{:?}", report.warnings);
    let conf = fs::read(target.path().join("etc/conf-link")).unwrap();
    assert_eq!(conf, b"[DEFAULT]\nkey = value\n");
    assert_eq!(fs::read_dir(target.path().join("etc")).unwrap().count(), 2);
    let nowhere = tempfile::tempdir().unwrap();
    let error = restore(&repository, nowhere.path(), &["no/such/*"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

/// A header with a right checksum.
fn header(kind: u8, path: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0u8; 512];
    block[..path.len()].copy_from_slice(path);
    block[100..107].copy_from_slice(b"0000644");
    // Of whoever runs this, so that nothing is to be said about owners.
    let (owner, group) = (rustix::process::geteuid(), rustix::process::getegid());
    block[108..115].copy_from_slice(format!("{:07o}", owner.as_raw()).as_bytes());
    block[116..123].copy_from_slice(format!("{:07o}", group.as_raw()).as_bytes());
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"14000000000");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block
}

fn sum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn entry(kind: u8, path: &[u8], link: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut out = header(kind, path, link, u64::try_from(contents.len()).unwrap());
    out.extend_from_slice(contents);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// An entry whose name stands in a pax header.
fn pax(records: &[(&str, &[u8])], kind: u8, contents: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        text.extend_from_slice(format!("{length} {key}=").as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    [entry(b'x', b"pax", b"", &text), entry(kind, b"short", b"", contents)].concat()
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// Restores an archive; the report and the target.
fn restored(entries: &[Vec<u8>]) -> (RestoreReport, tempfile::TempDir) {
    let repository = repository();
    let stream = archive(entries);
    let report = back_up(&repository, &stream);
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    assert!(stream_of(&repository, "latest").unwrap() == stream);
    let target = tempfile::tempdir().unwrap();
    (restore(&repository, target.path(), &[]).unwrap(), target)
}

#[test]
fn nothing_gets_out_of_the_target_whatever_the_archive_says() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let away = outside.path().as_os_str().as_bytes();
    let victim_path = victim.as_os_str().as_bytes();
    let evil = b"evil";
    let hostile: Vec<Vec<Vec<u8>>> = vec![
        vec![entry(b'0', b"../escape", b"", evil)],
        vec![entry(b'0', b"a/../../escape", b"", evil)],
        vec![entry(b'5', b"..", b"", b"")],
        vec![entry(b'2', b"way", away, b""), entry(b'0', b"way/victim", b"", evil)],
        vec![entry(b'2', b"way", away, b""), entry(b'5', b"way/made", b"", b"")],
        vec![entry(b'2', b"way", away, b""), entry(b'2', b"way/link", b"x", b"")],
        vec![entry(b'2', b"way", away, b""), entry(b'1', b"mine", b"way/victim", b"")],
        vec![entry(b'1', b"mine", victim_path, b""), entry(b'0', b"mine", b"", b"fine")],
        vec![entry(b'1', b"mine", b"../victim", b"")],
        vec![entry(b'2', b"one", b"..", b""), entry(b'0', b"one/escape", b"", evil)],
        vec![
            entry(b'5', b"d", b"", b""),
            entry(b'2', b"d", away, b""),
            entry(b'0', b"d/victim", b"", evil),
        ],
        vec![pax(&[("path", b"../escape")], b'0', evil)],
        vec![pax(&[("path", b"a\0b")], b'0', evil)],
        vec![pax(&[("linkpath", victim_path)], b'1', b"")],
        vec![entry(b'2', b"way", victim_path, b""), entry(b'6', b"way/pipe", b"", b"")],
        vec![entry(b'3', b"device", b"", b"")],
        vec![entry(b'0', b".haulout-incomplete", b"", evil)],
        vec![entry(b'0', b".", b"", evil)],
    ];
    for (number, entries) in hostile.iter().enumerate() {
        let (report, target) = restored(entries);
        let out = report.warnings.iter().filter(|warning| warning.contains("left out")).count();
        assert!(out >= 1, "archive {number}: {:?}", report.warnings);
        assert_eq!(fs::read(&victim).unwrap(), b"untouched", "archive {number}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "archive {number}");
        let parent = target.path().parent().unwrap();
        assert!(!parent.join("escape").exists(), "archive {number}");
    }
}

#[test]
fn an_absolute_name_is_restored_below_the_target() {
    let (report, target) = restored(&[entry(b'0', b"/etc/absolute", b"", b"inside")]);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(fs::read(target.path().join("etc/absolute")).unwrap(), b"inside");
}

#[test]
fn of_entries_of_one_name_the_last_wins() {
    let big = vec![1; 3 << 20];
    let (report, target) = restored(&[
        entry(b'0', b"a", b"", &big),
        entry(b'1', b"b", b"a", b""),
        entry(b'0', b"a", b"", b"second"),
        entry(b'2', b"c", b"a", b""),
        entry(b'0', b"c", b"", b"a file"),
        entry(b'5', b"d", b"", b""),
        entry(b'0', b"d", b"", b"no directory"),
    ]);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(fs::read(target.path().join("a")).unwrap(), b"second");
    assert_eq!(fs::read(target.path().join("b")).unwrap(), big);
    assert_eq!(fs::read(target.path().join("c")).unwrap(), b"a file");
    assert_eq!(fs::read(target.path().join("d")).unwrap(), b"no directory");
}

#[test]
fn what_is_not_understood_is_kept_and_reported() {
    let (report, target) = restored(&[
        entry(b'Z', b"strange", b"", b"of some vendor"),
        entry(b'0', b"plain", b"", b"plain"),
        pax(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,99")], b'0', b"12345"),
    ]);
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    assert!(report.warnings[0].contains("of type 'Z'"), "{:?}", report.warnings);
    assert!(report.warnings[1].contains("map of holes"), "{:?}", report.warnings);
    assert_eq!(fs::read(target.path().join("plain")).unwrap(), b"plain");
}

fn verdict_of(stream: &[u8], exit: ProducerExit) -> BackupReport {
    back_up_with(&repository(), stream, exit, &options()).unwrap()
}

#[test]
fn a_cut_archive_is_partial_wherever_it_is_cut() {
    let contents = vec![3; 2000];
    let first = entry(b'0', b"first", b"", &contents);
    let whole = archive(&[first.clone(), entry(b'0', b"second", b"", b"2")]);
    let report = verdict_of(&whole, ProducerExit::Exited(0));
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    assert_eq!(verdict_of(&whole, ProducerExit::Unseen).about.verdict, Verdict::Unattested);
    assert_eq!(verdict_of(&whole, ProducerExit::Exited(2)).about.verdict, Verdict::Partial);
    for end in (512..whole.len()).step_by(97) {
        let report = verdict_of(&whole[..end], ProducerExit::Exited(0));
        assert_eq!(report.about.verdict, Verdict::Partial, "cut at {end}");
    }
    let cut = verdict_of(&whole[..1000], ProducerExit::Exited(0));
    let reason = &cut.about.reasons[0];
    assert!(reason.contains("'first', of which 1512 bytes are missing"), "{reason}");
    let unmarked = verdict_of(&whole[..first.len()], ProducerExit::Exited(0));
    let reason = &unmarked.about.reasons[0];
    assert!(reason.contains("ends without the two blocks of zeros"), "{reason}");
}

#[test]
fn a_flipped_header_is_partial_and_still_comes_back() {
    let mut stream =
        archive(&[entry(b'0', b"first", b"", b"1"), entry(b'0', b"second", b"", b"2")]);
    stream[1024 + 3] ^= 1;
    let repository = repository();
    let report = back_up(&repository, &stream);
    assert_eq!(report.about.verdict, Verdict::Partial);
    assert!(report.about.reasons[0].contains("wrong checksum"), "{:?}", report.about.reasons);
    let id = report.id.to_string();
    assert!(stream_of(&repository, &id).unwrap() == stream);
    let target = tempfile::tempdir().unwrap();
    restore(&repository, target.path(), &[]).unwrap();
    assert_eq!(fs::read(target.path().join("first")).unwrap(), b"1");
}

#[test]
fn huge_sizes_cost_nothing() {
    let mut block = header(b'0', b"huge", b"", 0);
    block[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    sum(&mut block);
    let report = verdict_of(&archive(&[block]), ProducerExit::Exited(0));
    assert_eq!(report.about.verdict, Verdict::Partial);
    let sparse =
        pax(&[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,1")], b'0', b"1");
    let (report, _target) = restored(&[sparse]);
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}

#[test]
fn entries_after_the_mark_of_the_end_are_restored_and_reported() {
    let first = entry(b'0', b"first", b"", b"1");
    let second = [entry(b'5', b"d/", b"", b""), entry(b'0', b"d/second", b"", b"22")].concat();
    let joined = |zeros: usize| [&first[..], &vec![0; zeros], &second, &[0; 1024]].concat();
    for zeros in [512, 1024, 1536, 10_240] {
        let stream = joined(zeros);
        let repository = repository();
        let report = back_up(&repository, &stream);
        assert_eq!(report.about.verdict, Verdict::Partial, "{zeros}");
        let reason = &report.about.reasons[0];
        assert!(reason.contains("let one command make one archive"), "{reason}");
        assert!(stream_of(&repository, &report.id.to_string()).unwrap() == stream);
        let target = tempfile::tempdir().unwrap();
        restore(&repository, target.path(), &[]).unwrap();
        assert_eq!(fs::read(target.path().join("first")).unwrap(), b"1");
        assert_eq!(fs::read(target.path().join("d/second")).unwrap(), b"22");
    }
    for junk in [&b"junk"[..], &[7; 3000]] {
        let stream = [&joined(1024)[..], junk].concat();
        let reasons = verdict_of(&stream, ProducerExit::Exited(0)).about.reasons;
        let told = |reason: &String| reason.contains("something that is no entry follows");
        assert!(reasons.iter().any(told), "{reasons:?}");
    }
}

#[test]
fn archives_of_version_7_and_with_a_label_are_taken_apart() {
    let mut old = header(b'0', b"old", b"", 3);
    old[257..265].fill(0);
    sum(&mut old);
    old.extend_from_slice(b"abc");
    old.resize(1024, 0);
    let label = entry(b'V', b"nightly", b"", b"");
    for (stream, name) in
        [(archive(&[old]), "old"), (archive(&[label, entry(b'0', b"new", b"", b"abc")]), "new")]
    {
        let repository = repository();
        let report = back_up(&repository, &stream);
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        assert_eq!(report.about.format, StreamFormat::Tar);
        let target = tempfile::tempdir().unwrap();
        let restored = restore(&repository, target.path(), &[]).unwrap();
        assert_eq!(restored.warnings, Vec::<String>::new());
        assert_eq!(fs::read(target.path().join(name)).unwrap(), b"abc");
        assert!(!target.path().join("nightly").exists());
    }
}

#[test]
fn of_a_damaged_archive_what_is_whole_is_restored_and_no_link_to_the_rest() {
    let mut random = Random(9);
    let mut entries = Vec::new();
    let mut contents = Vec::new();
    for number in 0..8 {
        let bytes: Vec<u8> = (0..50_000).flat_map(|_| random.next().to_le_bytes()).collect();
        let name = |kind: char| format!("{kind}{number}").into_bytes();
        entries.push(entry(b'0', &name('f'), b"", &bytes));
        entries.push(entry(b'1', &name('l'), &name('f'), b""));
        entries.push(entry(b'1', &name('m'), &name('l'), b""));
        contents.push(bytes);
    }
    let store = Arc::new(MemoryStore::new());
    let repository = init(support::shared(&store), Protected::Clear, 1);
    back_up(&repository, &archive(&entries));
    let objects = store.objects();
    let packs = objects.iter().filter(|(name, _)| name.as_str().starts_with("packs/"));
    let (name, pack) = packs.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut damaged = pack.to_vec();
    damaged[pack.len() / 2] ^= 1;
    let mut all = objects.clone();
    all.insert(name.clone(), damaged.into());
    store.set_objects(all);
    let stored = repository.find_snapshot("latest").unwrap();
    for workers in [1, 2, 4] {
        let options = RestoreOptions::new(workers);
        let world = World::of_this_machine();
        let target = tempfile::tempdir().unwrap();
        let to = Target::Directory(target.path());
        let error = restore::restore(&repository, &stored, to, &options, &world);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Damaged);
        let options = RestoreOptions { losses: Losses::LeaveOut, ..options };
        let target = tempfile::tempdir().unwrap();
        let to = Target::Directory(target.path());
        let report = restore::restore(&repository, &stored, to, &options, &world).unwrap();
        let lost: Vec<String> =
            report.lost.iter().map(|it| String::from_utf8_lossy(&it.path).into_owned()).collect();
        assert!((3..=6).contains(&lost.len()), "{lost:?}");
        for (number, bytes) in contents.iter().enumerate() {
            let is_lost = lost.contains(&format!("f{number}"));
            for name in ["f", "l", "m"].map(|kind| format!("{kind}{number}")) {
                assert_eq!(lost.contains(&name), is_lost, "{name}");
                let there = fs::read(target.path().join(&name)).ok();
                assert!(there.as_ref() == Some(bytes).filter(|_| !is_lost), "{name}");
            }
        }
        assert_eq!(report.files, 24 - u64::try_from(lost.len()).unwrap());
    }
}
