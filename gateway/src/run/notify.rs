//! Telling the service manager how it goes (sd_notify(3)): ready, reading its configuration again, stopping.
//!
//! systemd names a datagram socket in `NOTIFY_SOCKET` and takes lines of `NAME=VALUE`. Where there is none, nothing is said.

use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    time::Duration,
};

/// The service manager, if there is one that wants to know.
#[derive(Debug, Default)]
pub(super) struct ServiceManager(Option<SocketAddr>);

impl ServiceManager {
    /// The one that the environment names. An address that begins with `@` is in the abstract namespace.
    pub(super) fn of_environment() -> Self {
        let named = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        let address = match named.strip_prefix('@') {
            Some(name) => abstract_name(name),
            None if named.is_empty() => return Self(None),
            None => SocketAddr::from_pathname(&named),
        };
        Self(address.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET names no socket")).ok())
    }

    /// Listeners take connections, at first or after a reload.
    pub(super) fn ready(&self) {
        self.say("READY=1\nSTATUS=ready");
    }

    /// The configuration is being read again; [`ServiceManager::ready`] follows, with what became of it.
    pub(super) fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
    }

    /// As [`ServiceManager::ready`], with a remark that `systemctl status` shows.
    pub(super) fn ready_with(&self, remark: &str) {
        self.say(&format!("READY=1\nSTATUS={remark}"));
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=draining");
    }

    /// A manager that does not read is no reason not to work.
    fn say(&self, lines: &str) {
        let Some(address) = &self.0 else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to_addr(lines.as_bytes(), address)
        });
        if let Err(error) = sent {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &str) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_name: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The clock that systemd compares reloads by: CLOCK_MONOTONIC.
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}
