//! The local store on real file systems.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use tempfile::TempDir;

use crate::store::Store;
use crate::store::conformance;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::local;
use crate::store::local::LocalStore;
use crate::store::local::Swept;
use crate::store::local::disk;
use crate::store::local::path_of;
use crate::store::name::ObjectName;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn store() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

fn bytes(length: usize) -> Bytes {
    vec![7; length].into()
}

#[track_caller]
fn refused<T>(outcome: Result<T, StoreError>) -> StoreError {
    match outcome {
        Ok(_) => panic!("it must be refused"),
        Err(error) => error,
    }
}

#[test]
fn it_conforms() {
    let (_directory, store) = store();
    conformance::check_everything(&store);
}

#[test]
fn it_conforms_in_shared_memory() {
    if let Ok(directory) = tempfile::tempdir_in("/dev/shm") {
        conformance::check_everything(&LocalStore::open(directory.path()).unwrap());
    }
}

#[test]
fn files_can_be_read_by_their_owner_only_and_written_by_nobody() {
    let (directory, store) = store();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
    store.put(&name("packs/ab/cd"), &[bytes(10)]).unwrap();
    let mode = |path: &str| {
        fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("packs/ab/cd"), 0o400);
    assert_eq!(mode("packs/ab"), 0o700);
    assert_eq!(mode("packs"), 0o700);
}

#[test]
fn what_a_group_may_read_it_may_read_of_everything_new() {
    let (directory, store) = store();
    let share = |mode| {
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(mode)).unwrap();
    };
    let seen = |path: &str| {
        let metadata = fs::metadata(directory.path().join(path)).unwrap();
        (metadata.permissions().mode() & 0o7777, metadata.gid())
    };
    let group = fs::metadata(directory.path()).unwrap().gid();
    // What everybody may do with the directory is not handed down.
    share(0o2775);
    store.put(&name("packs/ab/cd"), &[bytes(10)]).unwrap();
    for (path, mode) in [("packs", 0o2770), ("packs/ab", 0o2770), ("packs/ab/cd", 0o440)] {
        assert_eq!(seen(path), (mode, group), "{path}");
    }
    share(0o700);
    store.put(&name("runs/ab"), &[bytes(10)]).unwrap();
    assert_eq!(seen("runs"), (0o700, group));
    assert_eq!(seen("runs/ab"), (0o400, group));
    // The rights of a file are those of the directory that it is in.
    store.put(&name("packs/ab/ef"), &[bytes(10)]).unwrap();
    assert_eq!(seen("packs/ab/ef"), (0o440, group));
}

#[test]
fn creating_makes_the_last_directory_and_may_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let deeper = refused(LocalStore::create(&directory.path().join("c/b/a")));
    assert_eq!(deeper.category(), Category::NotFound, "{deeper:?}");
    assert!(!directory.path().join("c").exists());
    let path = directory.path().join("c");
    LocalStore::create(&path).unwrap().put(&name("config"), &[bytes(1)]).unwrap();
    let again = LocalStore::create(&path).unwrap();
    assert_eq!(again.size(&name("config")).unwrap(), Some(1));
    assert_eq!(again.location(), path.display().to_string());
}

#[test]
fn a_store_that_is_not_there_is_distinguished_from_an_empty_one() {
    let (directory, store) = store();
    let absent = directory.path().join("absent");
    assert_eq!(refused(LocalStore::open(&absent)).category(), Category::NotFound);
    fs::write(&absent, b"").unwrap();
    assert_eq!(refused(LocalStore::open(&absent)).category(), Category::Other);
    assert_eq!(refused(LocalStore::create(&absent)).category(), Category::Other);
    drop(directory);
    for prefix in ["", "packs/"] {
        let unmounted = refused(store.list(prefix, &mut |_| ()));
        assert_eq!(unmounted.category(), Category::NotFound, "{unmounted:?}");
    }
    let unmounted = refused(store.put(&name("config"), &[bytes(1)]));
    assert_eq!(unmounted.category(), Category::Other, "{unmounted:?}");
    let cause = std::error::Error::source(&unmounted).unwrap().to_string();
    assert_eq!(cause, "creating a temporary file failed");
}

#[test]
fn what_is_no_object_is_not_listed() {
    let (directory, store) = store();
    store.put(&name("packs/ab/cd"), &[bytes(10)]).unwrap();
    for foreign in [".tmp-1-0", "packs/.tmp-1-0", "README", "packs/.nfs0001", "packs/a b"] {
        fs::write(directory.path().join(foreign), b"x").unwrap();
    }
    for foreign in ["lost+found", ".snapshot", "packs/UPPER"] {
        fs::create_dir(directory.path().join(foreign)).unwrap();
        fs::write(directory.path().join(foreign).join("inside"), b"x").unwrap();
    }
    let mut listed = Vec::new();
    store.list("", &mut |meta| listed.push((meta.name.to_string(), meta.size))).unwrap();
    assert_eq!(listed, [("packs/ab/cd".to_owned(), 10)]);
}

#[test]
fn links_and_pipes_are_refused() {
    let (directory, store) = store();
    store.put(&name("packs/ab/cd"), &[bytes(10)]).unwrap();
    let root = directory.path();
    symlink(root.join("packs/ab/cd"), root.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    for object in ["link", "pipe", "directory"] {
        let object = name(object);
        let errors = [
            refused(store.get(&object, 100)),
            refused(store.get_range(&object, 0..1)),
            refused(store.size(&object)),
            refused(store.put(&object, &[bytes(10)])),
        ];
        for error in errors {
            assert_eq!(error.category(), Category::Damaged, "{error:?}");
        }
    }
    symlink(root.join("packs/ab"), root.join("packs/cd")).unwrap();
    for prefix in ["", "packs/", "packs/cd/", "link/"] {
        let listed = refused(store.list(prefix, &mut |_| ()));
        assert_eq!(listed.category(), Category::Other, "a link is an error, not an absence");
    }
    store.list("packs/ab/", &mut |_| ()).unwrap();
    store.list("pipe/", &mut |_| panic!("nothing is below a pipe")).unwrap();
}

#[test]
fn a_file_that_shrank_while_it_was_open_is_damaged() {
    let (directory, store) = store();
    store.put(&name("object"), &[bytes(100)]).unwrap();
    store.get_range(&name("object"), 0..100).unwrap();
    let path = directory.path().join("object");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(50).unwrap();
    let error = refused(store.get_range(&name("object"), 40..60));
    assert_eq!(error.category(), Category::Damaged);
}

#[test]
fn at_most_64_files_are_kept_open_and_the_last_used_stay() {
    let (directory, store) = store();
    let object = |number: u32| name(&format!("objects/{number}"));
    for number in 0..100 {
        store.put(&object(number), &[bytes(8)]).unwrap();
        store.get_range(&object(number), 0..8).unwrap();
        store.get_range(&object(0), 0..8).unwrap();
    }
    assert_eq!(store.files.count(), 64);
    // What is open can be read without its name.
    for number in [0, 99, 98] {
        fs::remove_file(directory.path().join(object(number).as_str())).unwrap();
        store.get_range(&object(number), 0..8).unwrap();
    }
    fs::remove_file(directory.path().join(object(1).as_str())).unwrap();
    let error = refused(store.get_range(&object(1), 0..8));
    assert_eq!(error.category(), Category::NotFound);
}

#[test]
fn directories_that_were_removed_are_made_again() {
    let (directory, store) = store();
    store.put(&name("packs/ab/cd"), &[bytes(1)]).unwrap();
    store.delete(&name("packs/ab/cd")).unwrap();
    fs::remove_dir(directory.path().join("packs/ab")).unwrap();
    fs::remove_dir(directory.path().join("packs")).unwrap();
    store.put(&name("packs/ab/cd"), &[bytes(1)]).unwrap();
    store.put(&name("packs/ab/ef"), &[bytes(1)]).unwrap();
    fs::remove_dir_all(directory.path().join("packs")).unwrap();
    store.put(&name("packs/xy/cd"), &[bytes(1)]).unwrap();
}

#[test]
fn a_sweep_removes_what_the_dead_left_and_nothing_of_the_living() {
    let (directory, store) = store();
    store.put(&name("packs/ab/cd"), &[bytes(1)]).unwrap();
    let path = |file: &str| directory.path().join("packs/ab").join(file);
    fs::write(path(".tmp-1-7"), b"dead").unwrap();
    let living = File::create(path(".tmp-1-8")).unwrap();
    living.lock().unwrap();
    let swept = store.sweep_temporaries().unwrap();
    assert_eq!(swept, Swept { removed: 1, bytes: 4, kept: 1 });
    assert!(!path(".tmp-1-7").exists() && path(".tmp-1-8").exists() && path("cd").exists());
    drop(living);
    let swept = store.sweep_temporaries().unwrap();
    assert_eq!(swept, Swept { removed: 1, bytes: 0, kept: 0 });
}

#[test]
fn a_temporary_file_that_is_locked_is_an_object_being_written() {
    let (directory, store) = store();
    store.put(&name("packs/ab/cd"), &[bytes(1)]).unwrap();
    let path = |file: &str| directory.path().join("packs/ab").join(file);
    fs::write(path(".tmp-1-7"), b"dead").unwrap();
    assert_eq!(store.being_written().unwrap(), 0);
    let living = File::create(path(".tmp-1-8")).unwrap();
    living.lock().unwrap();
    assert_eq!(store.being_written().unwrap(), 1);
    drop(living);
    assert_eq!(store.being_written().unwrap(), 0);
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let (directory, store) = store();
    store.put(&name("object"), &[bytes(1)]).unwrap();
    symlink(directory.path().join("object"), directory.path().join("config")).unwrap();
    let error = refused(store.replace(&name("config"), &[bytes(2)]));
    assert_eq!((error.category(), error.verb()), (Category::Damaged, Verb::Replace));
    assert_eq!(store.size(&name("object")).unwrap(), Some(1));
}

#[test]
fn a_sweep_passes_over_what_has_vanished_and_reports_what_it_can_not_see() {
    let (directory, _store) = store();
    let mut swept = Swept::default();
    local::sweep_one(&directory.path().join("absent"), &mut swept).unwrap();
    let looped = directory.path().join("loop");
    symlink(&looped, &looped).unwrap();
    local::sweep_one(&looped.join("file"), &mut swept).unwrap_err();
    assert_eq!(swept, Swept::default());
}

#[test]
fn what_can_not_be_looked_at_is_not_taken_for_absent() {
    let (directory, store) = store();
    let looped = directory.path().join("loop");
    symlink(&looped, &looped).unwrap();
    let below = name("loop/object");
    for error in [
        refused(store.size(&below)),
        refused(store.get(&below, 1)),
        refused(store.get_range(&below, 0..1)),
        refused(store.delete(&below)),
        refused(store.put(&below, &[])),
    ] {
        assert_ne!(error.category(), Category::NotFound, "{error:?}");
    }
}

#[test]
fn nothing_is_below_an_object() {
    let (_directory, store) = store();
    store.put(&name("config"), &[bytes(1)]).unwrap();
    let below = name("config/below");
    assert_eq!(refused(store.get(&below, 1)).category(), Category::NotFound);
    assert_eq!(refused(store.get_range(&below, 0..1)).category(), Category::NotFound);
    assert_eq!(store.size(&below).unwrap(), None);
    store.delete(&below).unwrap();
    assert_eq!(refused(store.put(&below, &[bytes(1)])).category(), Category::Other);
    assert_eq!(store.size(&name("config")).unwrap(), Some(1));
}

#[test]
fn a_temporary_name_that_is_taken_is_passed_over() {
    let (directory, store) = store();
    let process = std::process::id();
    for number in 0..3 {
        fs::write(directory.path().join(format!(".tmp-{process}-{number}")), b"other").unwrap();
    }
    store.put(&name("object"), &[bytes(3)]).unwrap();
    for number in 0..3 {
        let other = fs::read(directory.path().join(format!(".tmp-{process}-{number}"))).unwrap();
        assert_eq!(other, b"other");
    }
}

#[test]
fn publishing_by_link_does_not_replace_either() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, b"new").unwrap();
    disk::publish_by_link(&from, &to).unwrap();
    assert!(!from.exists());
    fs::write(&from, b"other").unwrap();
    let taken = disk::publish_by_link(&from, &to).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&to).unwrap(), b"new");
}

#[test]
fn locations_are_paths_or_file_urls() {
    for (location, path) in [
        ("/srv/backup", "/srv/backup"),
        ("backup", "backup"),
        ("file:///srv/backup", "/srv/backup"),
        ("file://localhost/srv/backup", "/srv/backup"),
        ("file:///srv/a%20b%2Fc", "/srv/a b/c"),
        ("a%20b", "a%20b"),
    ] {
        assert_eq!(path_of(location).unwrap(), PathBuf::from(path), "{location}");
    }
    for location in
        ["s3://bucket", "file://host/path", "file://", "file:///a%2", "file:///a%+1", "file:///%00"]
    {
        assert_eq!(refused(path_of(location)).category(), Category::Other, "{location}");
    }
}

/// A file system of its own, as small as asked for; unmounted when dropped.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "haulout-test"]).arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            skip("a tmpfs can't be mounted here (that needs root)");
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(self.path()).status().unwrap();
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run must not look like one that did")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

#[test]
fn a_full_disk_is_reported_and_left_clean() {
    let Some(mounted) = Mounted::new("size=1m") else { return };
    let store = LocalStore::open(mounted.path()).unwrap();
    let mut fitted = 0;
    let error = loop {
        match store.put(&name(&format!("packs/ab/{fitted}")), &[bytes(300_000)]) {
            Ok(()) => fitted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.category(), Category::Full, "{error:?}");
    assert_eq!(error.object(), "packs/ab/3");
    assert_eq!(fs::read_dir(mounted.path().join("packs/ab")).unwrap().count(), fitted);
    for number in 0..fitted {
        let got = store.get(&name(&format!("packs/ab/{number}")), 300_000).unwrap();
        assert!(got == bytes(300_000));
    }
    store.delete(&name("packs/ab/0")).unwrap();
    store.put(&name("packs/ab/again"), &[bytes(200_000)]).unwrap();
    conformance_again(mounted);
}

/// Checks that a store that was full is not broken.
fn conformance_again(mounted: Mounted) {
    fs::remove_dir_all(mounted.path().join("packs")).unwrap();
    let store = LocalStore::open(mounted.path()).unwrap();
    store.put(&name("packs/ab/0"), &[bytes(900_000)]).unwrap();
}

#[test]
fn a_disk_without_inodes_is_full_too() {
    let Some(mounted) = Mounted::new("size=1m,nr_inodes=8") else { return };
    let store = LocalStore::open(mounted.path()).unwrap();
    let put = |number: u32| store.put(&name(&format!("o/{number}")), &[bytes(1)]);
    let error = (0..10).find_map(|number| put(number).err()).unwrap();
    assert_eq!(error.category(), Category::Full, "{error:?}");
}

#[test]
fn a_read_only_disk_denies() {
    let Some(mounted) = Mounted::new("size=1m,ro") else { return };
    let store = LocalStore::open(mounted.path()).unwrap();
    assert_eq!(refused(store.put(&name("a/b"), &[])).category(), Category::Denied);
    assert_eq!(refused(store.replace(&name("config"), &[])).category(), Category::Denied);
    assert_eq!(store.size(&name("a/b")).unwrap(), None);
    let below = mounted.path().join("below");
    assert_eq!(refused(LocalStore::create(&below)).category(), Category::Denied);
}
