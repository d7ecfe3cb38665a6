//! Verbs that look into a repository: what they tell is true, and they read no more than they need.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::cat::CatOptions;
use haulout::ops::cat::cat;
use haulout::ops::diff::Change;
use haulout::ops::diff::MemberDiff;
use haulout::ops::diff::diff;
use haulout::ops::show::matching;
use haulout::ops::stats::MemberShare;
use haulout::ops::stats::holdings;
use haulout::ops::stats::shares;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Recording;
use serde_json::Value;

use crate::support;
use crate::support::PAGE;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::file;
use crate::support::header;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;

type Watched = Arc<Recording<MemoryStore>>;

fn watched() -> (Watched, Repository) {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init(shared(&store), Protected::Encrypted, 1);
    (store, repository)
}

fn differences(repository: &Repository, earlier: &str, later: &str) -> Vec<MemberDiff> {
    let (earlier, later) =
        (repository.find_snapshot(earlier).unwrap(), repository.find_snapshot(later).unwrap());
    let mut found = Vec::new();
    let mut each = |member: MemberDiff| {
        found.push(member);
        Ok(())
    };
    diff(repository, &earlier, &later, &World::of_this_machine(), &mut each).unwrap();
    found
}

/// Packs of which there is no second copy hold data; those that were read from.
fn data_packs_read(store: &Recording<MemoryStore>) -> BTreeSet<String> {
    let objects = store.inner().objects();
    let is_meta = |pack: &str| objects.keys().any(|name| name.as_str() == format!("twins/{pack}"));
    let read =
        store.log().into_iter().filter(|call| matches!(call.verb, Verb::Get | Verb::GetRange));
    let packs = read.filter_map(|call| call.object.strip_prefix("packs/").map(str::to_owned));
    packs.filter(|pack| !is_meta(pack)).collect()
}

#[test]
fn diff_tells_the_pages_that_differ_and_reads_no_data() {
    let (store, repository) = watched();
    let mut server = Server::new(7, 4, 700);
    let before = server.clone();
    let first = back_up(&repository, &server.stream()).id.to_string();
    server.night(40);
    server.tables[4].0 = "shop/renamed.ibd".to_owned();
    let second = back_up(&repository, &server.stream()).id.to_string();

    let repository = open(shared(&store), 2).unwrap();
    store.reset();
    let found = differences(&repository, &first, &second);
    assert_eq!(data_packs_read(&store), BTreeSet::new());

    let by_path: BTreeMap<&str, &MemberDiff> =
        found.iter().map(|member| (member.path.as_str(), member)).collect();
    for ((path, _, old), (now, _, new)) in before.tables.iter().zip(&server.tables) {
        if path != now {
            assert_eq!(by_path[path.as_str()].change, Change::Removed);
            assert_eq!(by_path[now.as_str()].change, Change::Added);
            assert_eq!(
                by_path[now.as_str()].delta.new_bytes,
                u64::try_from(new.len() * PAGE).unwrap()
            );
            continue;
        }
        let changed = (0..new.len()).filter(|at| old.get(*at) != new.get(*at)).count();
        let member = by_path[path.as_str()];
        assert_eq!(member.pages(), u64::try_from(changed).unwrap(), "{path}");
        let expected = if changed == 0 { Change::Same } else { Change::Changed };
        assert_eq!(member.change, expected, "{path}");
    }
    assert_eq!(by_path["shop/db.opt"].change, Change::Same);

    store.reset();
    let none = differences(&repository, &second, &second);
    assert!(none.iter().all(|member| member.change == Change::Same));
    let reversed = differences(&repository, &second, &first);
    for (there, back) in found.iter().zip(reversed) {
        assert_eq!(there.delta.new_bytes, back.delta.gone_bytes, "{}", there.path);
        assert_eq!(there.pages(), back.pages(), "{}", there.path);
    }
}

#[test]
fn diff_of_streams_without_pages_tells_what_was_inserted() {
    let (_, repository) = watched();
    let mut random = Random(3);
    let mut noise = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| random.next().to_le_bytes()).collect()
    };
    let (head, tail, more) = (noise(100_000), noise(100_000), noise(500));
    let first = back_up(&repository, &[head.clone(), tail.clone()].concat()).id.to_string();
    let second = back_up(&repository, &[head, more, tail].concat()).id.to_string();
    let [member] = differences(&repository, &first, &second).try_into().unwrap();
    assert_eq!((member.change, member.pages()), (Change::Changed, 0));
    let new = member.delta.new_bytes;
    assert!((4000..500_000).contains(&new), "{new} bytes are told as new");
    assert_eq!(member.later_bytes - member.earlier_bytes, 4000);
    assert_eq!(member.delta.new_bytes - member.delta.gone_bytes, 4000);
}

#[test]
fn stats_attribute_what_a_night_added_to_its_tables() {
    let (store, repository) = watched();
    let mut server = Server::new(7, 4, 300);
    back_up(&repository, &server.stream());
    server.night(60);
    let report = back_up(&repository, &server.stream());
    let repository = open(shared(&store), 2).unwrap();
    let stored = repository.find_snapshot(&report.id.to_string()).unwrap();
    store.reset();
    let mut added: Vec<MemberShare> = Vec::new();
    let mut each = |share| {
        added.push(share);
        Ok(())
    };
    let meta = shares(&repository, &stored, &World::of_this_machine(), &mut each).unwrap();
    // Directories, not blocks: far less than the packs have.
    assert!(store.bytes_under(Verb::GetRange, "packs/") < 200_000);
    let blocks: u64 = added.iter().map(|share| share.blocks).sum();
    assert_eq!(blocks, report.counts.blocks_delta + report.counts.blocks_whole);
    let bytes: u64 = added.iter().map(|share| share.stored_bytes).sum();
    let all = report.about.stored_bytes;
    assert!(meta > 0 && bytes + meta < all, "{bytes} and {meta} of {all}");
    assert!((bytes + meta) * 10 > all * 7, "{bytes} and {meta} of {all}");

    let held = holdings(&repository).unwrap();
    let objects = store.inner().objects();
    assert_eq!(held.all().count, u64::try_from(objects.len()).unwrap());
    assert_eq!(held.snapshots.count, 2);
    let stored: usize = objects.values().map(Bytes::len).sum();
    assert_eq!(held.all().bytes, u64::try_from(stored).unwrap());
    assert!(held.data_packs.bytes > held.meta_packs.bytes);
}

#[test]
fn the_latest_snapshot_of_a_source_costs_one_read() {
    let (store, repository) = watched();
    for source in ["a", "b", "c"] {
        let options = BackupOptions { source: source.to_owned(), ..options() };
        for night in 0..5_u8 {
            let stream = [night; 10_000];
            back_up_with(&repository, &stream, ProducerExit::Exited(0), &options).unwrap();
        }
    }
    let of_b = repository.find_snapshot("b@latest").unwrap();
    assert_eq!((of_b.snapshot.about.source.as_str(), of_b.name.sequence), ("b", 5));
    let id = of_b.id().to_string();
    for (wanted, reads) in [("b@latest", 1), ("c@complete", 1), (&id[..12], 1), (&id, 1)] {
        store.reset();
        repository.find_snapshot(wanted).unwrap();
        assert_eq!(store.calls(Verb::Get), reads, "{wanted}");
        // Snapshots, fences and removals.
        assert_eq!(store.calls(Verb::List), 3, "{wanted}");
        assert_eq!(store.log().len(), usize::try_from(reads).unwrap() + 3, "{wanted}");
    }
    // To name the sources, one snapshot of each is read.
    store.reset();
    repository.find_snapshot("latest").unwrap_err();
    assert_eq!((store.calls(Verb::Get), store.calls(Verb::List)), (3, 3));
}

fn change(add: &[&str], remove: &[&str]) -> TagChange {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    TagChange { add: words(add), remove: words(remove) }
}

#[test]
fn tags_come_and_go_beside_a_snapshot_that_never_changes() {
    let (store, repository) = watched();
    let options = BackupOptions { tags: vec!["nightly".to_owned()], ..options() };
    back_up_with(&repository, b"some bytes", ProducerExit::Exited(0), &options).unwrap();
    let stored = repository.find_snapshot("latest").unwrap();
    let before = store.inner().objects();
    // The second note is later, though the clock went back.
    let report = tag(
        &repository,
        &stored,
        &change(&["keep", "keep"], &["nightly"]),
        &support::world_at(1000),
    )
    .unwrap();
    assert_eq!((report.tags.as_slice(), report.added.len()), (&["keep".to_owned()][..], 1));
    let report =
        tag(&repository, &stored, &change(&["nightly"], &["keep"]), &support::world_at(10))
            .unwrap();
    assert_eq!(report.tags, ["nightly"]);
    let written = store.calls_under(Verb::Put, "notes/");
    assert_eq!(written, 2);
    tag(&repository, &stored, &change(&["nightly"], &["unknown"]), &support::world_at(2000))
        .unwrap();
    assert_eq!(store.calls_under(Verb::Put, "notes/"), written, "nothing was to be done");
    let too_many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let too_many = TagChange { add: too_many, remove: Vec::new() };
    assert_eq!(
        tag(&repository, &stored, &too_many, &support::world_at(1)).unwrap_err().kind(),
        ErrorKind::Usage
    );

    for (name, bytes) in before {
        assert!(store.inner().objects()[&name] == bytes, "{name} is as it was");
    }
    let mut objects = store.inner().objects();
    let note = objects.keys().find(|name| name.as_str().starts_with("notes/")).unwrap().clone();
    let mut damaged = objects[&note].to_vec();
    damaged[90] ^= 1;
    objects.insert(note, Bytes::from(damaged));
    store.inner().set_objects(objects);
    let notes = repository.notes(None).unwrap();
    assert_eq!(notes.damaged.len(), 1);
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 1);
}

fn file_of(repository: &Repository, path: &str) -> haulout::base::error::Result<Vec<u8>> {
    let stored = &repository.snapshots().unwrap().snapshots[0];
    let mut out = Vec::new();
    let world = World::of_this_machine();
    let bytes = cat(repository, stored, &CatOptions { path, workers: 2 }, &mut out, &world)?;
    assert_eq!(usize::try_from(bytes).unwrap(), out.len());
    Ok(out)
}

#[test]
fn a_file_is_written_as_a_restore_would_make_it() {
    let server = Server::new(7, 2, 300);
    let mut stream = Vec::new();
    let table = server.tables[2].2.concat();
    file(&mut stream, "shop/table.ibd", &table, 640 * PAGE);
    // A log whose head is written again behind its tail, with a hole behind both.
    let mut log = |kind: u8, at: u64, bytes: &[u8]| {
        header(&mut stream, kind, "aria_log.00000001");
        match kind {
            b'S' => stream.extend_from_slice(&at.to_le_bytes()),
            b'P' => {
                stream.extend_from_slice(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
                stream.extend_from_slice(&at.to_le_bytes());
                stream.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
                stream.extend_from_slice(bytes);
            }
            _ => {}
        }
    };
    let body = vec![7; 100_000];
    log(b'P', 0, &body);
    log(b'S', 3_000_000, b"");
    log(b'P', 3_000_000, b"far away");
    log(b'S', 37, b"");
    log(b'P', 37, b"patched");
    log(b'E', 0, b"");
    header(&mut stream, b'R', "shop/table.ibd");
    stream.extend_from_slice(&12_u32.to_le_bytes());
    stream.extend_from_slice(b"shop/new.ibd");
    file(&mut stream, "empty", b"", 1);
    let (_, repository) = watched();
    back_up_with(&repository, &stream, ProducerExit::Exited(0), &options()).unwrap();

    assert!(file_of(&repository, "shop/new.ibd").unwrap() == table);
    let mut expected = vec![0; 3_000_008];
    expected[..100_000].copy_from_slice(&body);
    expected[37..44].copy_from_slice(b"patched");
    expected[3_000_000..].copy_from_slice(b"far away");
    assert!(file_of(&repository, "aria_log.00000001").unwrap() == expected);
    assert_eq!(file_of(&repository, "empty").unwrap(), b"");
    let gone = file_of(&repository, "shop/table.ibd").unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Usage);

    let stored = &repository.snapshots().unwrap().snapshots[0];
    let list = |globs: &[&str]| {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let mut paths = Vec::new();
        let mut each = |member: haulout::ops::show::MemberLine| {
            paths.push(member.path);
            Ok(())
        };
        matching(&repository, stored, &globs, &World::of_this_machine(), &mut each).map(|()| paths)
    };
    assert_eq!(list(&["*.ibd"]).unwrap(), ["shop/table.ibd"]);
    assert_eq!(list(&[]).unwrap().len(), 3);
    assert_eq!(list(&["e*", "aria*"]).unwrap(), ["aria_log.00000001", "empty"]);
    assert_eq!(list(&["x*"]).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(list(&["[x"]).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn globs_that_begin_alike_list_what_a_walk_over_all_members_finds() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
    back_up(&repository, &Server::new(11, 400, 1).stream());
    let stored = &repository.snapshots().unwrap().snapshots[0];
    let list = |globs: &[&str]| {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let mut paths = Vec::new();
        let mut each = |member: haulout::ops::show::MemberLine| {
            paths.push(member.path);
            Ok(())
        };
        let listed = matching(&repository, stored, &globs, &World::of_this_machine(), &mut each);
        listed.map(|()| paths).unwrap_or_default()
    };
    let all = list(&[]);
    assert!(all.len() > 400 && all.is_sorted(), "{}", all.len());
    for prefix in ["shop/table3", "shop/table399", "shop/", "shop/table", "a", "zzz", "xtrabackup"]
    {
        let begins: Vec<_> = all.iter().filter(|path| path.starts_with(prefix)).cloned().collect();
        assert!(list(&[&format!("{prefix}*")]) == begins, "{prefix}");
    }
    let ends: Vec<_> = all.iter().filter(|path| path.ends_with("7.ibd")).cloned().collect();
    assert_eq!(ends.len(), 40);
    assert!(list(&["shop/*7.ibd"]) == ends && list(&["*7.ibd"]) == ends);
    for path in &all {
        assert_eq!(list(&[path]).as_slice(), std::slice::from_ref(path));
    }
}

/// The program on a repository of two nights, the first one first.
fn nights() -> (tempfile::TempDir, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::create(&directory.path().join("repo")).unwrap());
    let repository = init(store, Protected::Clear, 1);
    let mut server = Server::new(7, 2, 20);
    let first = back_up(&repository, &server.stream()).id.to_string();
    server.night(5);
    let second = back_up(&repository, &server.stream()).id.to_string();
    (directory, [first, second])
}

fn ran(directory: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haulout"));
    command.env("HAULOUT_REPO", directory.path().join("repo")).args(arguments);
    command.output().unwrap()
}

#[test]
fn with_json_every_verb_prints_one_value_with_its_fields() {
    let (directory, [first, second]) = nights();
    let json = |arguments: &[&str]| -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = ran(&directory, &all);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let has = |value: &Value, names: &[&str]| {
        for name in names {
            assert!(!value[name].is_null(), "{name}: {value}");
        }
    };
    let files = json(&["ls", &second, "shop/*"]);
    assert_eq!(files.as_array().unwrap().len(), 5, "{files}");
    has(&files[0], &["path", "incarnation", "bytes", "format", "pages", "closed"]);
    let told = json(&["diff", &first, &second]);
    has(&told, &["former", "later", "members", "tables", "totals"]);
    has(&told["members"][0], &["path", "table", "change", "pages", "new_bytes", "gone_bytes"]);
    has(&told["totals"], &["earlier_bytes", "later_bytes", "same", "changed", "added", "removed"]);
    let held = json(&["stats"]);
    has(&held, &["all", "data_packs", "meta_packs", "snapshot_objects", "other", "sources"]);
    let of_night = ["delta_bytes", "moved_bytes", "candidates_read", "whole_bytes"];
    has(&held["snapshots"][1], &[&["id", "stored_bytes", "blocks"][..], &of_night].concat());
    let added = json(&["stats", &second]);
    has(&added, &["snapshot", "source", "stream_bytes", "stored_bytes", "meta_bytes"]);
    has(&added["tables"][0], &["table", "files", "bytes", "blocks", "raw_bytes", "stored_bytes"]);
    let tagged = json(&["tag", &second, "--add", "keep"]);
    assert_eq!(tagged["tags"], serde_json::json!(["keep"]));
    for listed in [json(&["snapshots"])[1].clone(), json(&["show", &second])] {
        assert_eq!(listed["tags"], serde_json::json!(["keep"]), "{listed}");
    }
    has(&json(&["completions", "zsh"]), &["shell", "script"]);
    assert!(json(&["man"])["pages"].as_array().unwrap().len() > 10);
    let to = directory.path().join("man");
    let written = json(&["man", "--to", to.to_str().unwrap()]);
    let page = written["written"][1].as_str().unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains(".SH NAME"), "{page}");
    let refused = ran(&directory, &["cat", &second, "backup-my.cnf", "--json"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// A tar of these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("etc")).unwrap();
    for (path, text) in files {
        std::fs::write(directory.path().join(path), text).unwrap();
    }
    let mut command = Command::new("tar");
    command.arg("-C").arg(directory.path()).args(["-cf", "-", "etc"]).output().unwrap().stdout
}

#[test]
fn of_dumps_and_archives_verbs_speak_of_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::create(&directory.path().join("repo")).unwrap());
    let repository = init(store, Protected::Clear, 1);
    let keep = |source: &str, stream: &[u8]| {
        let options = BackupOptions { source: source.to_owned(), ..options() };
        let report = back_up_with(&repository, stream, ProducerExit::Exited(0), &options).unwrap();
        report.id.to_string()
    };
    let text = |arguments: &[&str]| {
        let output = ran(&directory, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut dump = include_bytes!("../dumps/full.sql").to_vec();
    let earlier = keep("dump", &dump);
    let day = dump.windows(13).rposition(|window| window == b"on 2026-11-21").unwrap();
    dump[day + 12] = b'2';
    let later = keep("dump", &dump);
    let listed = text(&["ls", &later, "nova/*"]);
    assert!(listed.starts_with("    SIZE  FILE\n"), "{listed}");
    assert!(listed.contains("  nova/instances.sql\n"), "{listed}");
    assert!(text(&["cat", &later, "nova/seq.sql"]).contains("CREATE SEQUENCE `seq`"));
    let told = text(&["diff", &earlier, &later]);
    assert!(told.contains("\nfiles\n  NEW   GONE  FILES      FILE\n"), "{told}");
    assert!(told.ends_with("  1 changed  @trailer.sql\n"), "{told}");
    let shown = text(&["show", &later]);
    assert!(shown.contains("\nfiles\n    SIZE  FILE\n"), "{shown}");
    assert!(text(&["show", &later, "-v"]).contains("\nfiles\n    SIZE  FILE\n"));
    let added = text(&["stats", &later]);
    assert!(added.contains("\nfiles\n") && added.ends_with("  @trailer.sql\n"), "{added}");

    // No two files of an archive are a table's, whatever their names end in.
    let earlier = keep("conf", &archive(&[("etc/a.new", "1"), ("etc/a.frm", "2")]));
    let later = keep("conf", &archive(&[("etc/a.new", "3"), ("etc/a.frm", "4")]));
    let told = text(&["diff", &earlier, &later]);
    assert!(told.contains("  etc/a.new\n") && told.contains("  etc/a.frm\n"), "{told}");
    assert_eq!(text(&["cat", &later, "etc/a.new"]), "3");
    assert!(text(&["stats", &later]).contains("  etc/a.frm\n"));
    assert!(text(&["ls", &later]).starts_with("    SIZE  FILE\n"));
}

#[test]
fn as_text_every_verb_tells_what_a_person_wants_to_know() {
    let (directory, [first, second]) = nights();
    let text = |arguments: &[&str]| {
        let output = ran(&directory, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = text(&["ls", "latest"]);
    assert!(listed.starts_with("    SIZE"), "{listed}");
    assert!(listed.contains("InnoDB 16 KiB, full_crc32") && listed.ends_with("xtrabackup_info\n"));
    assert!(text(&["cat", "latest", "shop/db.opt"]).starts_with("default-character-set"));
    let told = text(&["diff", &first, &second]);
    assert!(told.contains("\ntables\n") && told.contains("  shop/table"), "{told}");
    assert!(text(&["diff", &first, &second, "-v"]).contains("changed  shop/table"));
    let held = text(&["stats"]);
    assert!(held.contains("sources\n") && held.contains("CHANGED"), "{held}");
    assert!(text(&["stats", "latest"]).contains("  shop/table"));
    assert!(text(&["tag", "latest"]).ends_with("has no tags\n"));
    assert!(text(&["tag", "latest", "--add", "a", "--add", "b"]).ends_with("the tags a, b\n"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&["completions", shell]).contains("snapshots"), "{shell}");
    }
    assert!(text(&["man"]).contains("haulout\\-backup"));
    let unknown = ran(&directory, &["cat", "latest", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("hint: haulout ls latest lists its files"), "{said}");
}
