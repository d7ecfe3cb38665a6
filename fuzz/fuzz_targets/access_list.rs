//! Any accounts and any access control list: what is set is what Linux takes, one entry for each
//! that the text has, in order.

#![no_main]

use haulout::ops::restore::accounts::Accounts;
use haulout::ops::restore::accounts::Owners;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const VERSION_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let known = usize::from(input.byte());
    let rest = input.rest();
    let (accounts, text) = rest.split_at(known.min(rest.len()));
    for owners in [Owners::ByNumber, Owners::ByName(Accounts::parse(accounts, accounts))] {
        let Some(list) = owners.access_list(text) else { continue };
        let (version, entries) = list.split_at(VERSION_BYTES);
        assert_eq!(version, [2, 0, 0, 0]);
        let tags: Vec<&[u8]> = entries.chunks(ENTRY_BYTES).map(|entry| &entry[..2]).collect();
        assert!(entries.len() % ENTRY_BYTES == 0 && !tags.is_empty());
        assert!(tags.len() <= 1 + text.iter().filter(|byte| b"\n,".contains(byte)).count());
        assert!(tags.is_sorted(), "the kernel refuses another order");
    }
});
