//! What `$SYS` tells of the wire; the bus counts the rest.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted once per read or write, not per packet.
#[derive(Debug, Default)]
pub(super) struct Counters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    expired: AtomicU64,
    most: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) packets_in: u64,
    pub(super) packets_out: u64,
    pub(super) expired: u64,
    pub(super) most: u64,
}

impl Counters {
    pub(super) fn read(&self, bytes: usize, packets: u64) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packets_in.fetch_add(packets, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, bytes: u64, packets: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        self.packets_out.fetch_add(packets, Ordering::Relaxed);
    }

    pub(super) fn session_expired(&self) {
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connected(&self, clients: usize) {
        self.most.fetch_max(clients as u64, Ordering::Relaxed);
    }

    pub(super) fn reading(&self) -> Reading {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            packets_in: of(&self.packets_in),
            packets_out: of(&self.packets_out),
            expired: of(&self.expired),
            most: of(&self.most),
        }
    }
}
