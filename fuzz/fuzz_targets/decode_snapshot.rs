//! Any snapshot: decoded, written again, and the same.

#![no_main]

use haulout::base::wire::put_bytes;
use haulout::format::snapshot::Snapshot;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let mut text = Vec::new();
    if mode % 2 == 0 {
        let mut description = description();
        let (number, words) = (input.number(), String::from_utf8_lossy(input.piece()));
        let fields = description.as_object_mut().expect("it is an object");
        let names: Vec<String> = fields.keys().cloned().collect();
        let name = &names[usize::from(mode / 2) % names.len()];
        fields[name] = if number % 2 == 0 { json!(number) } else { json!(words) };
        if number % 3 == 0 {
            description = self::description();
        }
        put_bytes(&mut text, description.to_string().as_bytes());
    }
    text.extend_from_slice(input.rest());
    let Ok(snapshot) = Snapshot::decode(&text) else { return };
    assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(&snapshot));
});

/// A description with everything that every description has.
fn description() -> Value {
    json!({
        "format_version": 1, "run": "00", "epoch": 0, "sequence": 1, "predecessor": null,
        "source": "host", "format": "mbstream", "kind": "full", "time": 2, "started": 1,
        "verdict": "complete", "reasons": [], "releases_complete": true, "stream_bytes": 3,
        "stored_bytes": 4, "checks": [{"name": "n", "outcome": "passed", "detail": "d"}],
        "requires": ["a"], "tags": ["t"], "host": "h", "program": "p", "counters": {},
        "positions": {"to_lsn": 5, "gtid": "0-1-2"},
    })
}
