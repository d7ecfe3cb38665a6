//! Any bytes as `config` or as the trailer of a section: one meaning, one spelling.

#![no_main]

use haulout::format::config::CUT_SIZES;
use haulout::format::config::Config;
use haulout::format::config::Features;
use haulout::format::trailer::TRAILER_BYTES;
use haulout::format::trailer::Trailer;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use libfuzzer_sys::fuzz_target;

/// Where the checksum of a config is, as FORMAT.md says.
const CHECKSUM_AT: usize = 89;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let is_mended = input.byte() % 2 == 0;
    trailer(&mut input.clone());
    let valid = Config {
        suite: 1,
        required_features: Features::NORMAL_FORM,
        optional_features: Features::NONE,
        repository: [1; 16],
        block_log2: 14,
        cuts: CUT_SIZES,
        clear_key: [2; 32],
        tag: [3; 32],
    };
    let valid = valid.encode();
    let mut bytes = if is_mended { graft(&valid, &mut input) } else { input.rest().to_vec() };
    if is_mended && bytes.len() >= CHECKSUM_AT + 16 {
        let sum = blake3::hash(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..][..16].copy_from_slice(&sum.as_bytes()[..16]);
    }
    if let Ok(config) = Config::decode(&bytes) {
        assert_eq!(config.encode(), bytes, "one config, one spelling");
    }
});

fn trailer(input: &mut Input<'_>) {
    let mut bytes: [u8; TRAILER_BYTES] = input.array();
    if input.byte() % 2 == 0 {
        bytes[108..].copy_from_slice(b"HAULTAIL");
        bytes[104..106].copy_from_slice(&1_u16.to_le_bytes());
    }
    if let Ok(trailer) = Trailer::decode(&bytes) {
        assert_eq!(trailer.encode(), bytes, "one trailer, one spelling");
        assert!(trailer.tail_bytes() <= trailer.section_bytes());
    }
}
