//! Any frames and any script: the files that result keep the promises of the tree.

#![no_main]

use haulout::parse::script::ScriptReader;
use haulout::parse::tree::Tree;
use haulout_fuzz::Event;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use haulout_fuzz::made_stream;
use haulout_fuzz::walk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let mut tree = Tree::new();
    let mut answer = Ok(());
    let made = if mode % 2 == 0 { input.rest() } else { input.piece() };
    let ingested = walk(&made_stream(&mut Input(made)), &[], |event| {
        if let (Event::Item(item), true) = (event, answer.is_ok() && mode % 2 == 0) {
            answer = tree.apply_item(&item);
        }
    });
    if mode % 2 == 1 {
        let mut reader = ScriptReader::new();
        reader.feed(&graft(&ingested.script, &mut input));
        while let Ok(Some(op)) = reader.next_op() {
            if tree.apply(&op).is_err() {
                return;
            }
        }
    } else if ingested.parsed.fault_count == 0 {
        answer.expect("a tree takes what the parser finds no fault in");
    }
    check(tree);
});

fn check(tree: Tree) {
    let conflicts = tree.conflicts();
    let files: Vec<_> = tree.into_files().collect();
    for pair in files.windows(2) {
        assert_ne!(pair[0].path, pair[1].path, "a path is one file");
    }
    for file in &files {
        assert!(file.path.as_path().is_canonical());
        let mut end = 0;
        for extent in &file.extents {
            assert!(extent.len > 0 && extent.file_at >= end, "extents are in order and apart");
            end = extent.file_at.checked_add(extent.len).expect("within any file");
            extent.member_at.checked_add(extent.len).expect("within any member");
        }
        assert!(end <= file.length);
        let inside = |other: &[u8]| {
            let rest = other.strip_prefix(file.path.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        if files.iter().any(|other| inside(other.path.as_bytes())) {
            assert!(conflicts.contains(&file.path), "a file that is a directory too is named");
        }
    }
}
