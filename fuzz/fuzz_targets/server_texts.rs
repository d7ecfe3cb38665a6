//! Any text where a server leaves its settings, its saved state and its messages: no text makes a
//! parser panic, and what they find stands in the text.

#![no_main]

use haulout::server::saved_state::saved_state;
use haulout::server::settings::ServerSettings;
use haulout::server::startup_log::SEEN_CHARS_MAX;
use haulout::server::startup_log::causes;
use haulout::server::startup_log::last_error;
use haulout::server::startup_log::recovered;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for position in
        saved_state(&text).map(|saved| saved.position).into_iter().chain(recovered(&text))
    {
        assert!(text.contains(&position.uuid));
        assert!(!position.is_known() || position.seqno >= 0);
    }
    let found = causes(&text);
    for (at, cause) in found.iter().enumerate() {
        assert!(text.contains(&cause.seen) && cause.seen.chars().count() <= SEEN_CHARS_MAX);
        assert!(found[..at].iter().all(|other| other.kind != cause.kind), "each kind once");
    }
    if let Some(message) = last_error(&text) {
        assert!(text.contains(&message));
    }
    let settings = ServerSettings::read(&text);
    assert!(settings.socket().is_absolute() || settings.data_directory().is_relative());
    for member in settings.members() {
        assert!(!member.is_empty() && text.contains(&member));
    }
    let (_, _, _) = (settings.client_port(), settings.group_port(), settings.error_log());
});
