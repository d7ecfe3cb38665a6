//! Any configuration of HAProxy: no text makes the parser panic, and what it finds is bounded.

#![no_main]

use haulout::server::haproxy::ADDRESSES_MAX;
use haulout::server::haproxy::pools;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for pool in pools(&text) {
        assert!((1..=ADDRESSES_MAX).contains(&pool.servers.len()));
        assert!(text.contains(&pool.name));
        for address in pool.servers.iter().chain(&pool.binds) {
            // They are written to a configuration.
            assert!(address.to_string().chars().all(|c| c.is_ascii_graphic()));
        }
    }
});
