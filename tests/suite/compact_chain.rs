//! An increment that goes on from a compacted one is stored as if nothing had been moved.
//!
//! The newest snapshot of a source is a full backup on some days, and the files of an increment are
//! compared with those of an earlier snapshot then, which needs other packs.

use std::sync::Arc;

use haulout::base::ids::SnapshotId;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupReport;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::repo::Repository;
use haulout::store::memory::MemoryStore;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::change_page;
use crate::support::shared;
use crate::support::stepping_world;

/// Writes new contents to every page whose number, divided by `of`, leaves nothing.
fn rewrite(server: &mut Server, of: usize) {
    let Server { random, lsn, tables } = server;
    for (_, _, pages) in tables {
        for page in pages.iter_mut().skip(1).step_by(of) {
            if page.iter().any(|byte| *byte != 0) {
                *lsn += 10;
                let bytes: Vec<u8> = (0..1500).flat_map(|_| random.next().to_le_bytes()).collect();
                change_page(page, *lsn, (200, &bytes[..11_000]));
            }
        }
    }
}

fn remove(repository: &Repository, id: SnapshotId) {
    let stored = repository.find_snapshot(&id.to_string()).unwrap();
    let removes = vec![support::removing(&stored)];
    let options = PruneOptions { removes, ..PruneOptions::default() };
    prune::prune(repository, &options, &stepping_world()).unwrap();
}

fn assert_nothing_was_lost(report: &BackupReport) {
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
}

#[test]
fn an_increment_after_a_full_backup_goes_on_from_a_compacted_one() {
    let store = shared(&Arc::new(MemoryStore::new()));
    let repository = support::init(Arc::clone(&store), Protected::Encrypted, 1);
    let mut server = Server::new(1, 1, 24);
    let back_up = |stream: &[u8]| support::back_up(&repository, stream);
    back_up(&server.stream());
    let since = server.to_lsn();
    rewrite(&mut server, 1);
    let first = back_up(&server.increment(since));
    rewrite(&mut server, 2);
    // It shares blocks with the first, of which the others are needed no more.
    assert_nothing_was_lost(&back_up(&server.increment(since)));
    rewrite(&mut server, 1);
    back_up(&server.stream());
    remove(&repository, first.id);
    let options = CompactOptions {
        max_unused: 0,
        max_rewrite: 100,
        first_time: FirstTime::SetsFeature,
        ..CompactOptions::default()
    };
    let compacted = compact(&repository, &options, &stepping_world()).unwrap();
    assert_eq!(compacted.compacted.len(), 1, "{compacted:?}");
    let since = server.to_lsn();
    server.night(3);
    // A run of another day knows that something was compacted.
    let repository = support::open(store, 2).unwrap();
    let report = support::back_up(&repository, &server.increment(since));
    assert_nothing_was_lost(&report);
    assert!(report.counts.blocks_same > 0, "{:?}", report.counts);
}
