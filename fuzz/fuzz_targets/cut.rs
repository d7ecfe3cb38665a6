//! Any content, any sizes that a config may hold: cuts keep their bounds, and showing more bytes
//! changes none.

#![no_main]

use haulout::cut::Cutter;
use haulout::format::config::CutSizes;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let average = 512 << (input.byte() % 8);
    let min = 256 + u32::from(input.byte()) % (average - 256);
    let max = average + 1 + u32::from(input.byte()) * 16;
    let key = [input.byte(); 32];
    let window = usize::from(input.byte()) * 16 + 1;
    let cutter = Cutter::new(&key, CutSizes { min, average, max });
    let times = 1 + usize::from(input.byte() % 64);
    let content = input.rest().repeat(times);
    let (min, max) = (usize::try_from(min), usize::try_from(max));
    let (Ok(min), Ok(max)) = (min, max) else { return };
    let mut rest = &content[..];
    while let Some(cut) = cutter.next_cut(rest) {
        assert!(min < cut + 1 && cut <= max && cut <= rest.len());
        if let Some(sooner) = rest.get(..window).and_then(|part| cutter.next_cut(part)) {
            assert_eq!(sooner, cut, "a cut depends on nothing behind it");
        }
        assert_eq!(cutter.next_cut(&rest[..cut]), Some(cut), "a block is seen when it is whole");
        rest = &rest[cut..];
    }
    assert!(rest.len() < max, "only a last block is left");
});
