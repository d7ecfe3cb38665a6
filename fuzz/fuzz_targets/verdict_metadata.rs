//! Any members, describing files above all: a verdict, with reasons that say what to do.

#![no_main]

use haulout::format::snapshot::Verdict;
use haulout::parse::beginning::Before;
use haulout::parse::path::PathSeed;
use haulout::source::ProducerExit;
use haulout::verdict::DeltaFiles;
use haulout::verdict::Evidence;
use haulout::verdict::Facts;
use haulout::verdict::MbstreamFacts;
use haulout::verdict::Observer;
use haulout::verdict::PageFindings;
use haulout::verdict::Producer;
use haulout::verdict::judge;
use haulout_fuzz::Event;
use haulout_fuzz::Input;
use haulout_fuzz::made_stream;
use haulout_fuzz::walk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (exit, seen) = (input.byte(), input.byte());
    let stream = made_stream(&mut input);
    let mut observer = Observer::new(PathSeed::new([3; 16]));
    let ingested = walk(&stream, &[], |event| match event {
        Event::Item(item) => {
            observer.item(&item);
        }
        Event::Bytes(member, at, bytes) => observer.bytes(member, at, bytes),
    });
    let parsed = ingested.parsed;
    let count = parsed.fault_count;
    let (faults, deltas) = (parsed.into(), DeltaFiles::default());
    let conclusion = judge(Evidence {
        facts: Facts::Mbstream(Box::new(MbstreamFacts { observer, faults, deltas })),
        asked: None,
        before: Before::Nothing,
        failure: None,
        producer: Producer {
            exit: match exit % 4 {
                0 => ProducerExit::Exited(0),
                1 => ProducerExit::Exited(exit.into()),
                2 => ProducerExit::Killed(9),
                _ => ProducerExit::Unseen,
            },
            completed_ok_seen: [Some(true), Some(false), None][usize::from(seen % 3)],
            errors: Vec::new(),
            ended_for: None,
            changed: Vec::new(),
        },
        pages: PageFindings::default(),
        accepted: Vec::new(),
    });
    let verdict = conclusion.verdict();
    let is_good = verdict == Verdict::Complete;
    assert!(!is_good || exit % 4 == 0 && seen % 3 == 0 && count == 0);
    assert!(verdict != Verdict::Partial || !conclusion.reasons.is_empty());
    for pair in conclusion.reasons.windows(2) {
        assert!(pair[0].verdict() >= pair[1].verdict(), "the heaviest reason comes first");
    }
    for reason in &conclusion.reasons {
        assert!(!reason.to_string().is_empty());
    }
    let positions = conclusion.positions;
    let words = [
        positions.backup_type,
        positions.binlog_file,
        positions.gtid,
        positions.galera,
        positions.server_version,
        positions.tool_version,
        positions.start_time,
        positions.end_time,
    ];
    for word in words.into_iter().flatten() {
        assert!(word.len() <= 256 && word.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
});
