//! Any text as a name or an id: what is accepted stays inside the store and has one spelling.

#![no_main]

use std::path::Component;
use std::path::Path;

use haulout::base::hex;
use haulout::parse::path::StreamPath;
use haulout::store::name::ObjectName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = StreamPath::new(data) {
        let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
        assert!(stays_inside(&text), "no member leaves the directory that it is restored to");
        assert!(path.names().all(|name| !name.is_empty() && name != b".."));
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(name) = ObjectName::new(text) {
        assert!(name.as_str() == text && stays_inside(text));
    }
    if let Some(bytes) = hex::decode::<16>(text) {
        assert_eq!(hex::encode(&bytes), text);
    }
});

fn stays_inside(path: &str) -> bool {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.contains('\0') && Path::new(path).components().all(inside)
}
