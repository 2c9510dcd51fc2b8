//! What a gateway asks of the kernel for its process, before it starts any thread.

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// The table of file descriptors has this much room from the start.
const DESCRIPTORS: u64 = 1 << 16;

/// Makes the process fit to hold many connections. What the kernel refuses is done without.
pub(super) fn prepare() {
    // A connection is touched now and then and far apart from others. Huge pages made of such memory keep it resident, and
    // clearing two megabytes at a time holds up whatever waits behind it.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    raise_descriptor_limit();
    grow_descriptor_table();
}

/// As many connections as the administrator allows, not as many as programs that use `select` could bear.
fn raise_descriptor_limit() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

/// The kernel doubles the table when it is full, and while a process has threads it waits for all processors each time: tens
/// of milliseconds in which nothing is delivered, just when a crowd arrives. One grown beforehand costs half a megabyte.
fn grow_descriptor_table() {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    let last = i32::try_from(most.saturating_sub(1)).unwrap_or(i32::MAX);
    let _ = fcntl_dupfd_cloexec(std::io::stderr(), last);
}
