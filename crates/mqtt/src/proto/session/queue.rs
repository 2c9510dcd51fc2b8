//! Deliveries that wait: for the socket, for the client's window, or for the client to come back.

use std::collections::VecDeque;

use super::outgoing::{Item, Outgoing};
use crate::proto::codec::Qos;

/// Bounds of a session's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most messages that wait.
    pub messages: usize,
    /// The most bytes that wait, by [`Outgoing::weight`].
    pub bytes: usize,
    /// What happens when one more comes.
    pub when_full: WhenFull,
}

/// What happens to a message that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The oldest waiting message makes room, QoS 0 before others.
    #[default]
    DropOldest,
    /// It is dropped.
    DropNewest,
    /// The connection ends with 0x97; what waits stays with the session.
    Disconnect,
}

/// What became of a pushed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// It or so many others were dropped.
    Dropped(u32),
    Overflow,
}

/// Items in order of arrival. QoS 0 waits apart: it may pass what waits for the client's window, but is
/// never sent before what arrived earlier and could be sent as well.
#[derive(Debug)]
pub(super) struct Queue<M> {
    bounds: Bounds,
    next: u64,
    bytes: usize,
    plain: VecDeque<(u64, Item<M>)>,
    acked: VecDeque<(u64, Item<M>)>,
}

impl<M: Outgoing> Queue<M> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, next: 0, bytes: 0, plain: VecDeque::new(), acked: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.acked.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    pub(super) fn has_acked(&self) -> bool {
        !self.acked.is_empty()
    }

    pub(super) fn push(&mut self, item: Item<M>) -> Pushed {
        let weight = item.message.weight();
        let mut dropped = 0;
        while self.len() >= self.bounds.messages || (self.len() > 0 && self.bytes + weight > self.bounds.bytes) {
            if self.bounds.when_full == WhenFull::Disconnect {
                return Pushed::Overflow;
            }
            if self.bounds.when_full == WhenFull::DropNewest || !self.drop_oldest() {
                return Pushed::Dropped(1);
            }
            dropped += 1;
        }
        self.next += 1;
        self.bytes += weight;
        let place = if item.qos == Qos::AtMostOnce { &mut self.plain } else { &mut self.acked };
        place.push_back((self.next, item));
        if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
    }

    /// The oldest item that may be sent now; those with QoS 1 and 2 only if the client's window is open.
    pub(super) fn pop(&mut self, window_open: bool) -> Option<Item<M>> {
        let plain = self.plain.front().map(|(order, _)| *order);
        let acked = self.acked.front().map(|(order, _)| *order).filter(|_| window_open);
        let take_plain = match (plain, acked) {
            (Some(plain), Some(acked)) => plain < acked,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return None,
        };
        self.take(take_plain)
    }

    /// QoS 0 does not wait for a client to come back.
    pub(super) fn forget_plain(&mut self) {
        while self.take(true).is_some() {}
    }

    /// What waits with QoS 1 and 2.
    pub(super) fn acked(&self) -> impl Iterator<Item = &Item<M>> {
        self.acked.iter().map(|(_, item)| item)
    }

    /// Takes out what `which` says, in order of arrival.
    pub(super) fn withdraw(&mut self, which: impl Fn(&M) -> bool) -> Vec<M> {
        let mut taken = Vec::new();
        for place in [&mut self.plain, &mut self.acked] {
            if place.iter().any(|(_, item)| which(&item.message)) {
                let (out, stay) = std::mem::take(place).into_iter().partition(|(_, item)| which(&item.message));
                *place = stay;
                taken.extend(Vec::from(out));
            }
        }
        taken.sort_unstable_by_key(|(order, _)| *order);
        let messages: Vec<M> = taken.into_iter().map(|(_, item): (u64, Item<M>)| item.message).collect();
        self.bytes = self.bytes.saturating_sub(messages.iter().map(Outgoing::weight).sum());
        messages
    }

    /// Gives up half of what waits, as if there were no room for it. Says how many that were.
    pub(super) fn shed(&mut self) -> u32 {
        let (before, keep) = (self.len(), self.len() / 2);
        if self.bounds.when_full == WhenFull::DropNewest {
            while self.len() > keep {
                let place = if self.plain.is_empty() { &mut self.acked } else { &mut self.plain };
                let Some((_, item)) = place.pop_back() else { break };
                self.bytes = self.bytes.saturating_sub(item.message.weight());
            }
        }
        while self.len() > keep && self.drop_oldest() {}
        self.plain.shrink_to_fit();
        self.acked.shrink_to_fit();
        u32::try_from(before - self.len()).unwrap_or(u32::MAX)
    }

    fn drop_oldest(&mut self) -> bool {
        self.take(true).or_else(|| self.take(false)).is_some()
    }

    fn take(&mut self, plain: bool) -> Option<Item<M>> {
        let place = if plain { &mut self.plain } else { &mut self.acked };
        let (_, item) = place.pop_front()?;
        // A queue that is empty holds no memory.
        if place.is_empty() {
            *place = VecDeque::new();
        }
        self.bytes = self.bytes.saturating_sub(item.message.weight());
        Some(item)
    }
}
