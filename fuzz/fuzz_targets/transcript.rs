//! Any messages of a producer: what is kept is short, harmless on a terminal, and without the
//! password that the command line told.

#![no_main]

use haulout::source::transcript::TRANSCRIPT_BYTES_MAX;
use haulout::source::transcript::Transcript;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let letters = input.array::<6>().map(|byte| char::from(b'a' + byte % 26));
    let password = String::from_iter(letters);
    let command = ["mysqldump".into(), format!("-p{password}").into()];
    let mut transcript = Transcript::new(&command, None);
    while !input.is_empty() {
        transcript.push(input.piece());
    }
    let Some(text) = transcript.text() else { return };
    assert!(text.len() <= TRANSCRIPT_BYTES_MAX);
    for line in text.lines() {
        assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
        assert!(line.starts_with("haulout: ") || !line.contains(&password), "{line:?}");
    }
});
