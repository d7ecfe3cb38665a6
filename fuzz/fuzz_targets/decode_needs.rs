//! Any need list: one list, one spelling but for the lengths of numbers.

#![no_main]

use haulout::format::needs::NeedList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(list) = NeedList::decode(data) else { return };
    let bytes = list.encode();
    assert!(bytes.len() <= data.len(), "numbers are written in their shortest form");
    assert_eq!(NeedList::decode(&bytes).as_ref(), Ok(&list));
    assert!(list.packs.is_sorted_by(|a, b| a.at < b.at), "each pack stands once, in order");
});
