//! Facts from the kernel about this process, in `/proc/self`.

use std::fs;

use haulout::shared::entries::entries;

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

/// Returns the bytes that the children of this process have read and written so far; nothing if the
/// kernel does not say, or if there are none.
pub(crate) fn bytes_of_children() -> Option<u64> {
    let mut total = None;
    for task in entries("/proc/self/task".as_ref()).ok()?.flatten() {
        let path = format!("/proc/self/task/{}/children", task.name.to_string_lossy());
        for child in fs::read_to_string(path).ok()?.split_whitespace() {
            let counts = fs::read_to_string(format!("/proc/{child}/io")).unwrap_or_default();
            let value = |name: &str| {
                let line = counts.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u64>().ok()
            };
            if let (Some(read), Some(written)) = (value("rchar:"), value("wchar:")) {
                total = Some(total.unwrap_or(0) + read + written);
            }
        }
    }
    total
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

    #[test]
    fn what_children_read_and_write_is_counted() {
        let command = "head -c 100000 /dev/zero | cat >/dev/null; read end";
        let mut child = std::process::Command::new("sh")
            .args(["-c", command])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let count = bytes_of_children();
        drop(child.stdin.take());
        let _status = child.wait().unwrap();
        assert!(count.is_some(), "the shell has at least read its libraries");
    }
}
