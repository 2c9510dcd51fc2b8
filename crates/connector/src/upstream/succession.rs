//! A bridge in the place of another: what the old one has not sent, the new one sends.

use std::sync::atomic::Ordering;

use ratatosk_core::{Filter, Message, stats::DropReason};

use super::{bridge::BridgeHandle, outbound::Outlet};

/// From which position on each filter of a bridge collects.
pub(super) type Cuts = Vec<(Filter, u64)>;

impl BridgeHandle {
    /// Takes over what another bridge leaves behind: once this one's task runs, the messages that wait there or are not acknowledged
    /// are in front of its own, and each message is in one of the two. The `out` rules of both must be the same.
    ///
    /// Call it before the other one is told to end, and run this one's task when the other one has ended.
    pub fn succeed(&self, other: &Self) {
        let cuts = self.outlet.begins.get().cloned().unwrap_or_default();
        if other.outlet.heir.set(cuts).is_ok() {
            *self.outlet.predecessor.lock() = Some(other.outlet.clone());
        }
    }
}

impl Outlet {
    /// Whether a message comes after the beginning of the bridge in this one's place, which has it too.
    pub(super) fn is_the_heirs(&self, message: &Message) -> bool {
        let Some(cuts) = self.heir.get() else { return false };
        cuts.iter().any(|(filter, cut)| message.seq > *cut && filter.matches(&message.channel))
    }

    /// Puts what the predecessor left in front of all that waits.
    pub(super) fn inherit(&self) {
        let Some(old) = self.predecessor.lock().take() else { return };
        // That one may not have run at all.
        old.inherit();
        let left = old.queue.take_all().into_iter().filter(|item| !old.is_the_heirs(&item.outbound.message));
        let dropped = self.queue.put_in_front(left.collect());
        self.count(DropReason::QueueFull, dropped);
    }

    /// Takes nothing more: an heir takes what comes from now on.
    pub(super) fn close(&self) {
        // Up to where the heir begins, messages may still be on their way here.
        if self.heir.get().is_none() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// The bridge is over: what nobody takes over is lost, and counted.
    pub(super) fn end_for_good(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let in_programs = self.workshop.as_ref().map_or(0, |workshop| workshop.open() as u64);
        let queued = if self.heir.get().is_some() { 0 } else { self.queue.take_all().len() as u64 };
        self.count(DropReason::QueueFull, queued + in_programs);
    }
}
