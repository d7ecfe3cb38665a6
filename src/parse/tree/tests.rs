//! The files that a stream makes, against a plain model: a map of names to bytes.

use proptest::prelude::*;

use super::*;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::parse::frame::Body;
use crate::parse::frame::Frame;
use crate::parse::script::ScriptReader;
use crate::parse::testing::Ingested;
use crate::parse::testing::Stream;
use crate::parse::testing::actions;
use crate::parse::testing::config;
use crate::parse::testing::ingest;
use crate::parse::testing::perform;

/// Applies the script of a stream; returns each file with its bytes, holes as zeros.
fn extract(ingested: &Ingested) -> BTreeMap<String, Vec<u8>> {
    tree(ingested)
        .into_files()
        .map(|file| (file.path.to_string(), bytes(&file, ingested)))
        .collect()
}

fn tree(ingested: &Ingested) -> Tree {
    let mut tree = Tree::new();
    let mut reader = ScriptReader::new();
    reader.feed(&ingested.script);
    while let Some(op) = reader.next_op().unwrap() {
        tree.apply(&op).unwrap();
    }
    reader.finish().unwrap();
    tree
}

fn bytes(file: &TreeFile, ingested: &Ingested) -> Vec<u8> {
    let member = &ingested.members[usize_of(file.member.get())];
    assert_eq!((&member.path, member.incarnation), (&file.member_path, file.incarnation));
    let mut bytes = vec![0; usize_of(file.length)];
    let mut end = 0;
    for extent in &file.extents {
        assert!(extent.file_at >= end && extent.len > 0, "extents are in order and apart");
        end = extent.file_end();
        let from = usize_of(extent.member_at)..usize_of(extent.member_at + extent.len);
        bytes[usize_of(extent.file_at)..usize_of(end)].copy_from_slice(&member.bytes[from]);
    }
    assert!(end <= file.length);
    bytes
}

/// A directory as a naive reader sees it: names of numbered files.
#[derive(Default)]
struct Model {
    names: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    open: BTreeMap<String, usize>,
}

/// Applies a stream frame by frame.
fn model(stream: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut model = Model::default();
    let mut at = 0;
    while at < stream.len() {
        let (frame, header) = Frame::decode(&stream[at..]).unwrap();
        at += header;
        let path = frame.path.to_string();
        match frame.body {
            Body::Payload(extent) => {
                let payload = &stream[at..at + usize_of(extent.len)];
                at += payload.len();
                model.put(&path, usize_of(extent.offset), payload);
            }
            Body::Sparse(extent, map) => {
                let mut offset = usize_of(extent.offset);
                for (skip, len) in map.entries() {
                    offset += usize_of(skip.into());
                    let len = usize_of(len.into());
                    model.put(&path, offset, &stream[at..at + len]);
                    (at, offset) = (at + len, offset + len);
                }
                let file = model.open(&path);
                file.resize(file.len().max(offset), 0);
            }
            Body::End => {
                model.open(&path);
                model.open.remove(&path);
            }
            Body::Seek(_) => {}
            Body::Rename(to) => model.rename(&path, &to.to_string()),
            Body::Remove => model.remove(&path),
        }
    }
    let Model { names, contents, .. } = model;
    names.into_iter().map(|(name, number)| (name, contents[number].clone())).collect()
}

impl Model {
    fn open(&mut self, path: &str) -> &mut Vec<u8> {
        let number = *self.open.entry(path.into()).or_insert_with(|| {
            self.contents.push(Vec::new());
            self.names.insert(path.into(), self.contents.len() - 1);
            self.contents.len() - 1
        });
        &mut self.contents[number]
    }

    fn put(&mut self, path: &str, offset: usize, bytes: &[u8]) {
        let file = self.open(path);
        if !bytes.is_empty() {
            let end = offset + bytes.len();
            file.resize(file.len().max(end), 0);
            file[offset..end].copy_from_slice(bytes);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        if let Some(number) = self.names.remove(from) {
            self.names.insert(to.into(), number);
            return;
        }
        let (from, to) = (format!("{from}/"), format!("{to}/"));
        if to.starts_with(&from) {
            return;
        }
        let names: Vec<_> = self.names.keys().filter(|n| n.starts_with(&from)).cloned().collect();
        for name in names {
            let number = self.names.remove(&name).unwrap();
            self.names.insert(format!("{to}{}", &name[from.len()..]), number);
        }
    }

    fn remove(&mut self, path: &str) {
        if self.names.remove(path).is_none() {
            let inside = format!("{path}/");
            self.names.retain(|name, _| !name.starts_with(&inside));
            if let Some(stem) = path.strip_suffix('*').filter(|stem| stem.ends_with("#P#")) {
                let is_partition =
                    |name: &str| name.strip_prefix(stem).is_some_and(|rest| !rest.contains('/'));
                self.names.retain(|name, _| !is_partition(name));
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_files_are_those_of_a_naive_reader(actions in actions()) {
        let stream = perform(&actions);
        prop_assert_eq!(extract(&ingest(&stream.bytes, &[])), model(&stream.bytes));
    }

    #[test]
    fn later_writes_cover_earlier_ones(
        writes in proptest::collection::vec((0..60_u64, 1..30_u64), 1..12),
    ) {
        let mut expected = vec![None; 100];
        let (mut pieces, mut member_at) = (Vec::new(), 0);
        for (file_at, len) in writes {
            pieces.push(FileExtent { file_at, member_at, len });
            for step in 0..len {
                expected[usize_of(file_at + step)] = Some(member_at + step);
            }
            member_at += len;
        }
        let mut found = vec![None; 100];
        for extent in flatten(pieces) {
            for step in 0..extent.len {
                let place = &mut found[usize_of(extent.file_at + step)];
                prop_assert_eq!(*place, None);
                *place = Some(extent.member_at + step);
            }
        }
        prop_assert_eq!(found, expected);
    }
}

fn files(stream: Stream) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ingested = ingest(&stream.bytes, &[]);
    extract(&ingested).into_iter().map(|(path, bytes)| (path, text(bytes))).collect()
}

fn expect(stream: Stream, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    assert_eq!(files(stream), expected);
}

#[test]
fn the_head_of_an_aria_log_is_patched_after_its_tail() {
    let log = "aria_log.00000001";
    let stream = Stream::default()
        .payload(log, 0, b"0123456789")
        .payload(log, 10, b"abcdef")
        .seek(log, 3)
        .payload(log, 3, b"XY")
        .end(log);
    expect(stream, &[(log, "012XY56789abcdef")]);
}

#[test]
fn a_rewritten_file_has_only_its_last_bytes() {
    let stream = Stream::default()
        .file("app/t.frm", b"long old content")
        .flagged(2, "app/t.frm", 0, b"new")
        .end("app/t.frm");
    expect(stream, &[("app/t.frm", "new")]);
    let stream = Stream::default().file("app/t.frm", b"old").end("app/t.frm");
    expect(stream, &[("app/t.frm", "")]);
}

#[test]
fn renames_replace_and_removals_reach_directories_and_partitions() {
    let stream = Stream::default()
        .file("a/t.MYD", b"1")
        .file("a/u.MYD", b"2")
        .rename("a/t.MYD", "a/u.MYD")
        .rename("a/never.MYD", "a/u.MYD");
    expect(stream, &[("a/u.MYD", "1")]);
    let stream = Stream::default()
        .file("drop/t.MYD", b"1")
        .file("drop-not", b"2")
        .file("drop/db.opt", b"3")
        .remove("drop");
    expect(stream, &[("drop-not", "2")]);
    let stream = Stream::default()
        .file("a/m#P#p0.MYD", b"1")
        .file("a/m#P#p0.MYI", b"2")
        .file("a/m.par", b"3")
        .file("a/mm#P#p0.MYD", b"4")
        .remove("a/m#P#*.MYD")
        .remove("a/none#P#*");
    let kept = [("a/m#P#p0.MYI", "2"), ("a/m.par", "3"), ("a/mm#P#p0.MYD", "4")];
    expect(stream, &kept);
    expect(
        Stream::default().file("a/m*", b"1").file("a/mb", b"2").remove("a/m*"),
        &[("a/mb", "2")],
    );
}

#[test]
fn a_renamed_directory_takes_its_files_along() {
    let stream = Stream::default().file("a/t", b"1").file("a/u", b"2").rename("a", "b/c");
    expect(stream, &[("b/c/t", "1"), ("b/c/u", "2")]);
    let stream = Stream::default().file("a/t", b"1").rename("a", "a/b");
    expect(stream, &[("a/t", "1")]);
}

#[test]
fn a_file_renamed_or_removed_while_open_stays_the_same_file() {
    let stream =
        Stream::default().payload("a", 0, b"1").rename("a", "b").payload("a", 1, b"2").end("a");
    expect(stream, &[("b", "12")]);
    let stream = Stream::default().payload("a", 0, b"1").remove("a").payload("a", 1, b"2").end("a");
    expect(stream.file("c", b"3"), &[("c", "3")]);
}

#[test]
fn odd_spellings_are_the_same_file() {
    let stream = Stream::default().file("./a//b", b"1").file("c", b"2").remove("./c");
    expect(stream, &[("a/b", "1")]);
}

#[test]
fn holes_are_part_of_the_length() {
    let stream = Stream::default().sparse("t.ibd", 0, &[(4, 2), (3, 0)], b"xy").end("t.ibd");
    let ingested = ingest(&stream.bytes, &[]);
    let file = tree(&ingested).into_files().next().unwrap();
    assert_eq!(file.length, 9);
    assert_eq!(file.extents, [FileExtent { file_at: 4, member_at: 0, len: 2 }]);
    assert!(file.ended);
}

#[test]
fn a_cut_file_has_what_arrived_and_is_not_ended() {
    let stream = Stream::default().payload("a", 0, b"0123456789");
    let ingested = ingest(&stream.bytes[..stream.bytes.len() - 4], &[]);
    let file = tree(&ingested).into_files().next().unwrap();
    assert_eq!((file.length, file.ended), (6, false));
    let stream = Stream::default().sparse("a", 0, &[(1, 5), (1, 5)], b"0123456789");
    let ingested = ingest(&stream.bytes[..stream.bytes.len() - 4], &[]);
    assert_eq!(extract(&ingested)["a"], b"\x0001234\x005");
}

#[test]
fn a_file_that_is_a_directory_too_is_named() {
    let stream = Stream::default().file("a", b"1").file("a-b", b"2").file("a/b", b"3");
    let conflicts = tree(&ingest(&stream.bytes, &[])).conflicts();
    assert_eq!(conflicts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_storm_of_directory_renames_ends() {
    let mut stream = (0..2000).fold(Stream::default(), |s, n| s.file(&format!("a/{n}"), b""));
    for _ in 0..300 {
        stream = stream.rename("a", "b").rename("b", "a");
    }
    let mut reader = ScriptReader::new();
    reader.feed(&ingest(&stream.bytes, &[]).script);
    let mut tree = Tree::new();
    let result = loop {
        match reader.next_op().unwrap() {
            Some(op) => match tree.apply(&op) {
                Ok(()) => {}
                stopped => break stopped,
            },
            None => break Ok(()),
        }
    };
    assert_eq!(result, Err(TreeError::TooManyVisits));
    assert_eq!(u64_of(tree.into_files().count()), 2000);
}
