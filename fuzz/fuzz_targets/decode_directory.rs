//! Any directory, and any columns that a directory may have compressed: sizes that add up.

#![no_main]

use haulout::base::ids::EntryNumber;
use haulout::base::wire::put_varint;
use haulout::format::directory::Directory;
use haulout_fuzz::Input;
use haulout_fuzz::u64_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.byte() % 2 == 0 {
        return check(input.rest());
    }
    let (frames, slots, bases) = (input.byte(), input.byte(), input.byte() % 4);
    let columns = input.rest();
    let packed = zstd::bulk::compress(columns, 1).expect("memory can be compressed");
    let mut text = vec![1, 0];
    for count in [frames.into(), slots.into(), bases.into(), u64_of(packed.len())] {
        put_varint(&mut text, count);
    }
    text.resize(text.len() + 32 * usize::from(bases), 5);
    text.extend_from_slice(&packed);
    text.resize(text.len() + 16 * usize::from(slots), 6);
    check(&text);
});

fn check(text: &[u8]) {
    let Ok(directory) = Directory::decode(text) else { return };
    let mut stored = 0;
    for frame in &directory.frames {
        assert_eq!(u64::from(frame.at), stored, "frames stand one behind the other");
        stored += u64::from(frame.stored);
    }
    assert_eq!(directory.frames_bytes(), stored);
    for number in 0..directory.slots.len() {
        let number = EntryNumber(u32::try_from(number).expect("a directory has 65536 entries"));
        let (slot, frame) = directory.slot(number).expect("every entry has its frame");
        assert!(slot.at.checked_add(slot.record).is_some_and(|end| end <= frame.raw));
    }
    let again = Directory::decode(&directory.encode());
    assert_eq!(again.as_ref(), Ok(&directory), "what was decoded can be written");
}
