//! Any index page comes back from its normal form, in rows and in columns, and no bytes that claim
//! to be one do harm.

#![no_main]

use haulout::innodb::PageSize;
use haulout::innodb::columns::gather;
use haulout::innodb::columns::spread;
use haulout::innodb::normal::Form;
use haulout::innodb::normal::normalize;
use haulout::innodb::normal::restore;
use haulout_fuzz::Input;
use haulout_fuzz::u64_of;
use libfuzzer_sys::fuzz_target;

fn put(page: &mut [u8], at: usize, value: usize) {
    let [low, high, ..] = u64_of(value).to_le_bytes();
    page[at..at + 2].copy_from_slice(&[high, low]);
}

/// A page that the input lays out: where its records are and in which order, and which own others.
fn laid_out(input: &mut Input<'_>, bytes: usize) -> Vec<u8> {
    let mut page = vec![0; bytes];
    put(&mut page, 24, 0x45BF);
    put(&mut page, 42, 0x8000 | 100);
    page[94..120].copy_from_slice(b"\x01\0\x02\0\0infimum\0\x01\0\x0b\0\0supremum");
    let (mut before, mut slots, mut found) = (99, vec![99], 0);
    let records = usize::from(input.byte()) * 4;
    let stride = usize::from(input.byte() % 64);
    for number in 0..records {
        // Most are as far behind the one before as that is behind its own.
        let at = match input.byte() {
            0 => 120 + usize::from(input.byte()) * (bytes / 256) + usize::from(input.byte()),
            near @ 1..16 => before + usize::from(near),
            _ => before.max(113) + 5 + stride,
        };
        if at < 5 || at + 2 > bytes {
            break;
        }
        put(&mut page, before - 2, at.wrapping_sub(before));
        put(&mut page, at - 4, number << 3);
        if number % 5 == 4 {
            page[at - 5] |= 5;
            slots.push(at);
        }
        before = at;
        found += 1;
    }
    put(&mut page, before - 2, 112_usize.wrapping_sub(before));
    slots.push(112);
    put(&mut page, 38, slots.len() + usize::from(input.byte() / 250));
    put(&mut page, 54, found + usize::from(input.byte() / 250));
    for (number, slot) in slots.iter().enumerate() {
        put(&mut page, bytes - 10 - 2 * number, *slot);
    }
    page
}

/// Changes a few bytes anywhere.
fn damaged(page: &mut [u8], input: &mut Input<'_>) {
    for _ in 0..input.byte() % 8 {
        let at = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let at = at % page.len();
        page[at] ^= input.byte();
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let size = PageSize::from_shift(12 + input.byte() % 5).expect("12 to 16 are shifts");
    let mut page = laid_out(&mut input, size.bytes());
    damaged(&mut page, &mut input);
    let mut out = vec![0; page.len()];
    let form = normalize(&page, size, &mut out);
    if form == Form::Normal {
        let mut back = out.clone();
        restore(&mut back, size).expect("what was made is taken back");
        assert!(page == back, "a page comes back");
        // The two directions walk the same records, so the normal form is one of one page only.
        damaged(&mut out, &mut input);
    } else {
        assert!(page == out, "other pages keep their bytes");
    }
    if restore(&mut out, size).is_ok() {
        // Whatever a reader makes of it, it can be asked for its form.
        let again = out.clone();
        normalize(&again, size, &mut out);
    }
    out.clear();
    let form = gather(&page, size, &mut out);
    if form == Form::Normal {
        let mut back = out.clone();
        spread(&mut back, size).expect("what was made is taken back");
        assert!(page == back, "a page comes back");
        damaged(&mut out, &mut input);
    } else {
        assert!(page == out, "other pages keep their bytes");
    }
    let _refused_or_another = spread(&mut out, size);
});
