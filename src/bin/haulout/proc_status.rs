//! Facts from the kernel about this process, in `/proc/self/status`.

use std::fs;

/// Returns the value of a field, without spaces around it.
pub(crate) fn field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// Returns the maximum resident memory of this process in bytes; 0 if it is unknown.
pub(crate) fn peak_memory_bytes() -> u64 {
    let kib = field("VmHWM").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        assert!(peak_memory_bytes() > 1 << 20);
        assert_eq!(field("SigIgn").map(|mask| mask.len()), Some(16));
        assert_eq!(field("Sig"), None);
    }
}
