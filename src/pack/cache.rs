//! A least-recently-used map with a bound in bytes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Keeps values up to a number of bytes; the least recently used leave first.
#[derive(Debug)]
pub struct Cache<K, V> {
    bytes_max: usize,
    bytes: usize,
    tick: u64,
    values: HashMap<K, Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// Creates an empty cache of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, tick: 0, values: HashMap::new() }
    }

    /// Returns the value of `key`, which thereby becomes the most recently used.
    pub fn get(&mut self, key: &K) -> Option<Arc<V>> {
        self.tick += 1;
        let kept = self.values.get_mut(key)?;
        kept.used = self.tick;
        Some(Arc::clone(&kept.value))
    }

    /// Keeps a value of `bytes` bytes.
    pub fn put(&mut self, key: K, value: Arc<V>, bytes: usize) {
        self.tick += 1;
        self.bytes += bytes;
        let kept = Kept { value, bytes, used: self.tick };
        if let Some(old) = self.values.insert(key, kept) {
            self.bytes -= old.bytes;
        }
        if self.bytes > self.bytes_max {
            self.shrink();
        }
    }

    /// Drops the value of `key`, if it is kept.
    pub fn remove(&mut self, key: &K) {
        if let Some(old) = self.values.remove(key) {
            self.bytes -= old.bytes;
        }
    }

    /// Drops the older half, so that the search for victims is paid once for many puts.
    fn shrink(&mut self) {
        let mut ages: Vec<(u64, usize)> =
            self.values.values().map(|kept| (kept.used, kept.bytes)).collect();
        ages.sort_unstable();
        let mut left = self.bytes;
        let mut oldest_kept = self.tick;
        for (used, bytes) in ages {
            if left <= self.bytes_max / 2 {
                oldest_kept = used;
                break;
            }
            left -= bytes;
        }
        self.values.retain(|_, kept| kept.used >= oldest_kept);
        self.bytes = self.values.values().map(|kept| kept.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_what_was_used_last_stays() {
        let mut cache = Cache::new(100);
        for n in 0..1000 {
            cache.put(n, Arc::new(n), 10);
            assert!(cache.bytes <= 100 && cache.get(&n).is_some());
        }
        assert!(cache.get(&0).is_none());
        let before = cache.bytes;
        cache.remove(&999);
        cache.remove(&0);
        assert!(cache.get(&999).is_none() && cache.bytes == before - 10);
    }
}
