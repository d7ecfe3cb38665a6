//! What a prune takes of memory: a name and a few numbers for each pack, and what one snapshot
//! needs at a time.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::ids::Class;
use haulout::base::ids::PackName;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::format::pack_table::PackRecord;
use haulout::ops::prune;
use haulout::ops::prune::NeedLists;
use haulout::ops::prune::PruneOptions;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init_as_earlier;
use crate::support::shared;

/// Bytes that a pack may take: its name and size, its marks, and its place in a plan.
const BYTES_A_PACK: u64 = 400;
/// What other things take.
const BYTES_BESIDES: u64 = 2 << 20;

/// A line of what the system says of this process, bytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_prune_takes_some_hundred_bytes_for_each_pack_at_a_thousand_and_at_ten_thousand() {
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let repository = init_as_earlier(shared(&store), Protected::Clear, features, 1);
    let stream = Server::new(5, 1, 4).stream();
    back_up(&repository, &stream);
    let source = repository.source_id("shop").unwrap();
    let mut packs = 0u64;
    for wanted in [1000, 10_000] {
        // As many packs as a snapshot names itself, then a night that fills nodes with them.
        while packs < wanted {
            let mut snapshot = repository.find_snapshot("latest").unwrap().snapshot;
            for number in packs..packs + 500 {
                let name = PackName(*blake3::hash(&number.to_le_bytes()).as_bytes());
                let record =
                    PackRecord { name, bytes: 9, tail_bytes: 1, entries: 1, class: Class::Data };
                snapshot.packs.records.push(record);
                snapshot.packs.total += 1;
                store
                    .put(&Object::Pack(name).name(), &[Bytes::from_static(b"an old pack")])
                    .unwrap();
            }
            packs += 500;
            snapshot.about.sequence += 1;
            snapshot.about.time += 1;
            repository.put_snapshot(source, &snapshot).unwrap();
            back_up(&repository, &stream);
        }
        for need_lists in [NeedLists::Believed, NeedLists::Audited] {
            // The highest is counted from here on.
            fs::write("/proc/self/clear_refs", "5").unwrap();
            let before = memory("VmRSS");
            let options = PruneOptions { need_lists, ..PruneOptions::default() };
            let plan = prune::plan(&repository, &options, &World::of_this_machine()).unwrap();
            assert_eq!(u64::try_from(plan.doomed.len()).unwrap(), packs);
            let taken = memory("VmHWM").saturating_sub(before);
            let most = BYTES_A_PACK * packs + BYTES_BESIDES;
            assert!(taken <= most, "{need_lists:?}, {packs} packs: {taken} bytes of {most}");
        }
    }
}
