//! What the kernel says of this process.

use serde_json::{Value, json};

/// Resident memory in bytes and open file descriptors; `null` where there is no `/proc`.
pub(crate) fn usage() -> Value {
    json!({ "resident_bytes": resident(), "open_fds": descriptors() })
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}
