//! Restores that do not go as planned: interrupted ones that go on, damaged ones of which the rest
//! is wanted, and what is refused before anything is written.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::record::MemberKey;
use haulout::ops::restore::INCOMPLETE;
use haulout::ops::restore::Losses;
use haulout::ops::restore::Ownership;
use haulout::ops::restore::Purpose;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::RestoreReport;
use haulout::ops::restore::Target;
use haulout::ops::restore::Unfinished;
use haulout::ops::restore::restore;
use haulout::repo::Repository;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::file;
use crate::support::init;
use crate::support::program;
use crate::support::shared;

struct Setting {
    store: Arc<MemoryStore>,
    repository: Repository,
    id: String,
}

impl Setting {
    fn new(stream: &[u8]) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), Protected::Clear, 1);
        let id = back_up(&repository, stream).id.to_string();
        Self { store, repository, id }
    }

    fn restore(&self, target: &Path, options: &RestoreOptions) -> Result<RestoreReport> {
        let stored = self.repository.find_snapshot(&self.id)?;
        let (target, world) = (Target::Directory(target), World::of_this_machine());
        restore(&self.repository, &stored, target, options, &world)
    }

    /// A mark as an interrupted restore leaves it.
    fn mark(&self, snapshot: &str, include: &str) -> String {
        let repository = self.repository.keyring().repository();
        format!(
            "{{\"haulout-restore\":1,\"repository\":\"{repository}\",\"snapshot\":\"{snapshot}\",\
             \"include\":[{include}],\"of a later version\":true}}"
        )
    }
}

/// All files below a directory.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn resume() -> RestoreOptions {
    RestoreOptions { unfinished: Unfinished::Resume, ..RestoreOptions::default() }
}

#[test]
fn an_interrupted_restore_goes_on_with_what_is_there_and_right() {
    let setting = Setting::new(&Server::new(5, 6, 200).stream());
    for workers in [1, 2, 4] {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { workers, ..resume() };
        // Without an interrupted restore it begins.
        let whole = setting.restore(target.path(), &options).unwrap();
        let wanted = tree(target.path());
        let at = |name: &str| target.path().join(name);
        fs::write(at(INCOMPLETE), setting.mark(&setting.id, "")).unwrap();
        fs::remove_file(at("shop/table0.ibd")).unwrap();
        let change = |name: &str| fs::File::options().write(true).open(at(name)).unwrap();
        change("shop/table1.ibd").write_all_at(b"wrong", 40_000).unwrap();
        // Page 9 is all zero.
        change("shop/table2.ibd").write_all_at(b"no zeros", 9 * 16_384 + 5).unwrap();
        change("shop/table3.ibd").set_len(16_384).unwrap();
        change("shop/table4.ibd").set_len(1 << 30).unwrap();
        let refused = setting.restore(target.path(), &RestoreOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Occupied);
        let rest = setting.restore(target.path(), &options).unwrap();
        assert!(tree(target.path()) == wanted, "{workers} workers");
        let (rest, whole) = (rest.counts.fetched_bytes, whole.counts.fetched_bytes);
        assert!(rest * 2 < whole, "{rest} of {whole} bytes were fetched again");
    }
}

#[test]
fn only_the_same_restore_goes_on() {
    let setting = Setting::new(&Server::new(5, 2, 20).stream());
    let id = setting.id.clone();
    let other = "0".repeat(64);
    for (mark, words) in [
        (setting.mark(&other, ""), "is of snapshot 000000000000"),
        (setting.mark(&id, "\"shop/*\""), "was begun with --include shop/*"),
        (
            setting.mark(&id, "").replace("\"repository\":\"", "\"repository\":\"0"),
            "another repository",
        ),
        (setting.mark(&id, "").replace("restore\":1", "restore\":2"), "another version"),
        ("this restore has not finished\n".to_owned(), "does not say of what"),
    ] {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join(INCOMPLETE), &mark).unwrap();
        let error = setting.restore(target.path(), &resume()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Occupied);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(tree(target.path()).len(), 1, "nothing was written");
    }
}

#[test]
fn what_is_whole_is_restored_and_the_rest_is_named_if_that_is_asked_for() {
    let setting = Setting::new(&Server::new(5, 6, 200).stream());
    let good = tempfile::tempdir().unwrap();
    setting.restore(good.path(), &RestoreOptions::default()).unwrap();
    let good = tree(good.path());
    let objects = setting.store.objects();
    let is_pack = |name: &str| name.starts_with("packs/");
    let largest = objects.iter().filter(|(name, _)| is_pack(name.as_str()));
    let (name, pack) = largest.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    for parts in [&[5][..], &[3, 6]] {
        let mut damaged = pack.to_vec();
        for part in parts {
            damaged[pack.len() * part / 10] ^= 1;
        }
        let mut all = objects.clone();
        all.insert(name.clone(), Bytes::from(damaged));
        setting.store.set_objects(all);
        for workers in [1, 2, 4] {
            let target = tempfile::tempdir().unwrap();
            let options = RestoreOptions::new(workers);
            assert!(setting.restore(target.path(), &options).is_err());
            assert!(target.path().join(INCOMPLETE).exists(), "what is incomplete is marked");
            let target = tempfile::tempdir().unwrap();
            let options = RestoreOptions { losses: Losses::LeaveOut, ..options };
            let report = setting.restore(target.path(), &options).unwrap();
            let lost: Vec<String> = report
                .lost
                .iter()
                .map(|lost| String::from_utf8(lost.path.clone()).unwrap())
                .collect();
            assert!(!lost.is_empty() && lost.len() <= 2 * parts.len(), "{lost:?}");
            let mut wanted = good.clone();
            wanted.retain(|name, _| !lost.contains(name));
            assert!(tree(target.path()) == wanted, "without {lost:?}");
            assert_eq!(report.files, u64::try_from(wanted.len()).unwrap());
        }
    }
}

#[test]
fn a_name_that_no_file_system_takes_is_left_out_and_the_rest_is_restored() {
    let long = format!("shop/{}.ibd", "n".repeat(260));
    let stream = |with: bool| {
        let mut stream = Server::new(5, 3, 20).stream();
        if with {
            file(&mut stream, &long, b"of a host with other rules", 1 << 20);
        }
        stream
    };
    let good = tempfile::tempdir().unwrap();
    Setting::new(&stream(false)).restore(good.path(), &RestoreOptions::default()).unwrap();
    let setting = Setting::new(&stream(true));
    for workers in [1, 2, 4] {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions::new(workers);
        let report = setting.restore(target.path(), &options).unwrap();
        let lost: Vec<&[u8]> = report.lost.iter().map(|lost| &lost.path[..]).collect();
        assert_eq!(lost, [long.as_bytes()]);
        assert!(report.lost[0].why.contains("name is refused"), "{}", report.lost[0].why);
        assert!(tree(target.path()) == tree(good.path()));
        assert!(!target.path().join(INCOMPLETE).exists(), "it is finished");
    }
    // Nothing is prepared without one of its files.
    let target = good.path().join("new");
    let prepare = RestoreOptions { purpose: Purpose::Prepare, ..RestoreOptions::default() };
    let error = setting.restore(&target, &prepare).unwrap_err();
    assert!(error.to_string().contains("no file system takes the name"), "{error}");
    assert!(!target.exists());
}

/// The same by the program: the rest is there, and the exit status says that something is not.
#[test]
fn a_name_that_no_file_system_takes_is_reported_with_exit_status_3() {
    let long = format!("shop/{}.txt", "n".repeat(260));
    let place = program::Place::clear();
    let good = Server::new(5, 3, 20).stream();
    let mut bad = Vec::new();
    file(&mut bad, &long, b"of a host with other rules", 1 << 20);
    bad.extend_from_slice(&good);
    for (source, stream, status) in [("good", good, 0), ("bad", bad, 3)] {
        let backup = ["backup", "-q", "--source", source];
        place.fed(&backup, &stream).is(0);
        let target = place.path(source);
        let newest = format!("{source}@latest");
        let line = ["restore", &newest, "--to", target.to_str().unwrap()];
        let ran = place.ran(&line).is(status);
        assert_eq!(ran.err().contains(&long), status == 3, "{}", ran.err());
        let again = place.path(&format!("{source}-json"));
        let line = ["restore", &newest, "--json", "--to", again.to_str().unwrap()];
        let told = place.ran(&line).is(status).json();
        let lost = told["lost"].as_array().map_or(0, Vec::len);
        assert_eq!(lost, usize::from(status == 3), "{told}");
    }
    assert!(tree(&place.path("bad")) == tree(&place.path("good")));
    let stream = ["restore", "bad@latest", "--stdout"];
    place.ran(&stream).is(0);
}

#[test]
fn links_to_places_of_the_original_host_are_named() {
    let mut stream = Vec::new();
    file(&mut stream, "shop/t1.isl", b"/data2/shop/t1.ibd\n", 1 << 20);
    file(&mut stream, "shop/t2.frm", b"x", 1 << 20);
    let setting = Setting::new(&stream);
    let target = tempfile::tempdir().unwrap();
    let report = setting.restore(target.path(), &RestoreOptions::default()).unwrap();
    let named = report.warnings.iter().filter(|text| text.contains("isl"));
    let named: Vec<_> = named.collect();
    assert_eq!(named.len(), 1, "{:?}", report.warnings);
    assert!(named[0].contains("shop/t1.isl leads to /data2/shop/t1.ibd"), "{named:?}");
}

#[test]
fn what_cannot_be_prepared_is_refused_before_anything_is_written() {
    let physical = Setting::new(&Server::new(5, 2, 20).stream());
    let mut without = Vec::new();
    file(&mut without, "shop/t2.frm", b"x", 1 << 20);
    let without = Setting::new(&without);
    let mut dump = b"-- MariaDB dump 10.19\n--\n-- Current Database: `s`\n--\n".to_vec();
    dump.extend_from_slice(b"CREATE DATABASE `s`;\nUSE `s`;\n-- Dump completed on 2026-01-01\n");
    let dump = Setting::new(&dump);
    let prepare = RestoreOptions { purpose: Purpose::Prepare, ..RestoreOptions::default() };
    let part = RestoreOptions { include: vec!["shop/*".to_owned()], ..prepare.clone() };
    for (setting, options, words) in [
        (&physical, &part, "--include leaves out"),
        (&without, &prepare, "has no xtrabackup_checkpoints"),
        (&dump, &prepare, "not a physical backup"),
    ] {
        let top = tempfile::tempdir().unwrap();
        let target = top.path().join("new");
        let error = setting.restore(&target, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!target.exists());
    }
    let all = RestoreOptions { include: vec!["*".to_owned()], ..prepare };
    physical.restore(&tempfile::tempdir().unwrap().path().join("new"), &all).unwrap();
}

#[test]
fn everything_belongs_to_the_owner_who_is_named() {
    let setting = Setting::new(&Server::new(5, 2, 20).stream());
    let top = tempfile::tempdir().unwrap();
    let target = top.path().join("new");
    let owner = Some(Ownership { user: 4242, group: Some(4243) });
    let options = RestoreOptions { owner, ..RestoreOptions::default() };
    if !rustix::process::geteuid().is_root() {
        let error = setting.restore(&target, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!target.exists());
        return;
    }
    setting.restore(&target, &options).unwrap();
    for name in [".", "shop", "shop/table0.ibd", "ibdata1"] {
        let found = fs::metadata(target.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (4242, 4243), "{name}");
    }
    fs::write(target.join("ib_logfile0"), "of the preparation").unwrap();
    let other = Ownership { user: 4244, group: None };
    haulout::ops::restore::give(&target, other).unwrap();
    assert_eq!(fs::metadata(target.join("ib_logfile0")).unwrap().uid(), 4244);
    fs::hard_link(target.join("ibdata1"), top.path().join("elsewhere")).unwrap();
    assert!(haulout::ops::restore::give(&target, other).is_err(), "it has other names");
}

#[test]
fn a_target_without_room_is_refused_before_anything_is_written() {
    let top = tempfile::tempdir().unwrap();
    let mount = |option: &str| {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", option, "tmpfs"]).arg(top.path());
        mount.output().is_ok_and(|done| done.status.success())
    };
    // Only root can make a small file system.
    if !mount("size=400k,mode=700") {
        return;
    }
    let large = Setting::new(&Server::new(5, 2, 60).stream());
    let target = top.path().join("new");
    let error = large.restore(&target, &RestoreOptions::default()).unwrap_err();
    let was_made = target.exists();
    // Zeros take no room.
    let mut zeros = Vec::new();
    file(&mut zeros, "shop/t.MYD", &vec![0; 4 << 20], 1 << 20);
    let fits = Setting::new(&zeros).restore(&target, &RestoreOptions::default());
    assert!(Command::new("umount").arg(top.path()).status().unwrap().success());
    assert_eq!(error.kind(), ErrorKind::NoRoom, "{error}");
    assert!(!was_made);
    assert!(fits.is_ok(), "{fits:?}");
}

#[test]
fn neighbours_are_handed_over_together_and_each_block_once() {
    let mut server = Server::new(5, 2, 300);
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    back_up(&repository, &server.stream());
    server.night(20);
    let mut runs_of_nights = Vec::new();
    for _ in 0..2 {
        let id = back_up(&repository, &server.stream()).id.to_string();
        let stored = repository.find_snapshot(&id).unwrap();
        let contents = repository.contents(&stored, &Arc::default()).unwrap();
        let key = MemberKey { path: b"shop/table0.ibd".to_vec(), incarnation: 0 };
        let mut entries = contents.entries(contents.member(&key).unwrap());
        let mut wanted = Vec::new();
        while let Some(block) = entries.next().unwrap() {
            wanted.extend(block.wanted());
        }
        let mut runs = 0;
        let mut found: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        let mut sink = |numbers: Range<usize>, run: Result<&[u8]>| {
            runs += 1;
            let mut rest = run?;
            for number in numbers {
                let (block, tail) = rest.split_at(usize::try_from(wanted[number].length).unwrap());
                assert!(found.insert(number, block.to_vec()).is_none(), "{number} comes twice");
                rest = tail;
            }
            assert!(rest.is_empty());
            Ok(())
        };
        contents.packs().read_runs(&wanted, &mut sink).unwrap();
        let pages = &server.tables[2].2;
        let pages = pages.iter().filter(|page| page.iter().any(|byte| *byte != 0));
        assert!(found.into_values().eq(pages.cloned()));
        assert!(runs < wanted.len() / 3, "{runs} runs of {} blocks", wanted.len());
        runs_of_nights.push(runs);
        server.night(20);
    }
    assert!(runs_of_nights[0] < runs_of_nights[1], "deltas leave alone: {runs_of_nights:?}");
}
