//! Any record of what was verified: one record, one spelling but for the lengths of numbers, and
//! two of them joined say nothing later than the later of the two.

#![no_main]

use haulout::format::verified::Verified;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let split = usize::from(input.byte()) * 4;
    let rest = input.rest();
    let (first, second) = rest.split_at(split.min(rest.len()));
    let read: Vec<Verified> =
        [first, second, rest].map(Verified::decode).into_iter().flatten().collect();
    for record in &read {
        let bytes = record.encode();
        assert!(bytes.len() <= rest.len(), "numbers are written in their shortest form");
        assert_eq!(Verified::decode(&bytes).as_ref(), Ok(record));
    }
    let latest = read.iter().filter_map(|record| record.verifications.last()).max().cloned();
    let mut merged = Verified::merge(read);
    merged.tidy(&|_| false);
    assert!(merged.verifications.last() <= latest.as_ref());
    assert_eq!(Verified::decode(&merged.encode()), Ok(merged));
});
