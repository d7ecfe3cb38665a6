//! Any intent, fence, removal and list of snapshots: what is read is written again as it was.

#![no_main]

use haulout::format::fence::Fence;
use haulout::format::intent::Intent;
use haulout::format::removed::Removal;
use haulout::format::snapshot_list::SnapshotList;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => {
            let bytes = input.rest();
            let Ok(intent) = Intent::decode(bytes) else { return };
            assert_eq!(intent.encode(), bytes, "one intent, one spelling");
        }
        1 => {
            let bytes = input.rest();
            let Ok(fence) = Fence::decode(bytes) else { return };
            assert_eq!(fence.encode(), bytes, "one fence, one spelling");
        }
        2 => {
            let bytes = input.rest();
            let Ok(list) = SnapshotList::decode(bytes) else { return };
            assert_eq!(list.encode(), bytes, "one list, one spelling");
        }
        _ => {
            let Ok(removal) = Removal::decode(input.rest()) else { return };
            assert_eq!(Removal::decode(&removal.encode()), Ok(removal));
        }
    }
});
