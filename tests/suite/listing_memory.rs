//! What a listing of many snapshots takes of memory: what each says about itself, and not the way
//! to its contents.

use std::fs;
use std::sync::Arc;

use haulout::base::ids::Class;
use haulout::base::ids::PackName;
use haulout::format::pack_table::PackRecord;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::shared;

/// Bytes that a snapshot of a listing may take.
const BYTES_A_SNAPSHOT: u64 = 8 << 10;
/// What other things take.
const BYTES_BESIDES: u64 = 4 << 20;

/// The most memory that this process has had, bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_listing_takes_what_snapshots_say_about_themselves_at_a_thousand_and_at_four_thousand() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Clear, 1);
    back_up(&repository, &Server::new(5, 1, 4).stream());
    let mut model = repository.find_snapshot("latest").unwrap().snapshot;
    let source = repository.source_id("shop").unwrap();
    // As many packs as a snapshot names itself, in the middle of a lineage.
    for number in 0..400u64 {
        let name = PackName(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let record =
            PackRecord { name, bytes: 1 << 20, tail_bytes: 1, entries: 1, class: Class::Data };
        model.packs.records.push(record);
        model.packs.total += 1;
    }
    let mut put = 1;
    for all in [1000, 4000] {
        while put < all {
            model.about.sequence += 1;
            model.about.time += 1;
            repository.put_snapshot(source, &model).unwrap();
            put += 1;
        }
        let before = peak();
        let listing = repository.descriptions().unwrap();
        assert_eq!(u64::try_from(listing.snapshots.len()).unwrap(), all);
        let taken = peak() - before;
        let most = BYTES_A_SNAPSHOT * all + BYTES_BESIDES;
        assert!(taken <= most, "{all} snapshots took {taken} bytes, more than {most}");
    }
}
