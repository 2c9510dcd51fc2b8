//! The outbound queue of one upstream: what waits for the peer, and what the peer has not acknowledged.
//!
//! It is bounded in messages, bytes and age, keeps order over reconnects, and forgets a message only when the
//! client side says that the peer has it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ratatosk_core::{Channel, Message, Qos};
use tokio::sync::Notify;

use crate::{
    config_types::{BufferConfig, BufferPolicy},
    rules::Rule,
};

/// What a full queue does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The oldest waiting message makes room.
    #[default]
    DropOldest,
    /// The new message is not taken.
    DropNewest,
}

/// Bounds of a queue. What is in flight counts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// The most messages.
    pub messages: usize,
    /// The most bytes, by [`Message::weight`].
    pub bytes: usize,
    /// The longest that a message waits; `None` is for ever.
    pub age: Option<Duration>,
    /// What happens when one more comes.
    pub when_full: WhenFull,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { messages: 10_000, bytes: 16 << 20, age: None, when_full: WhenFull::DropOldest }
    }
}

impl From<&BufferConfig> for QueueLimits {
    fn from(config: &BufferConfig) -> Self {
        let when_full = match config.policy {
            BufferPolicy::DropOldest => WhenFull::DropOldest,
            BufferPolicy::DropNewest => WhenFull::DropNewest,
        };
        let age = config.age.map(crate::config_types::Duration::get);
        Self { messages: config.messages.max(1), bytes: config.bytes.as_usize(), age, when_full }
    }
}

/// Names a message in the queue; ascending in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub(super) u64);

/// A message on its way out, in the peer's naming.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Its name in the queue, for [`super::Port::done`].
    pub token: Token,
    /// The channel over there.
    pub channel: Channel,
    /// The message.
    pub message: Arc<Message>,
    /// The quality of service it goes out with.
    pub qos: Qos,
    /// Whether it goes out as retained.
    pub retain: bool,
    /// The response topic over there.
    pub reply_to: Option<Channel>,
    /// The rule that sends it, where the rule does more than that.
    pub(super) rule: Option<Rule>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages, waiting or in flight.
    pub messages: usize,
    /// Those of them that the peer has not acknowledged yet.
    pub in_flight: usize,
    /// Bytes of all.
    pub bytes: usize,
    /// How long the oldest has been here.
    pub oldest: Option<Duration>,
}

/// A message in the queue.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) outbound: Outbound,
    since: Instant,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Item>,
    sent: BTreeMap<Token, Item>,
    bytes: usize,
    /// The next token at the back, and the last one given at the front.
    next: u64,
    first: u64,
}

/// Tokens at the back ascend from here, those put in front descend.
const MIDDLE: u64 = 1 << 62;

impl Default for Inner {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), sent: BTreeMap::new(), bytes: 0, next: MIDDLE, first: MIDDLE }
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    inner: Mutex<Inner>,
    arrived: Notify,
    emptied: Notify,
}

/// What a look at the front found.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) next: Option<Outbound>,
    /// Messages whose time had passed before their turn came.
    pub(super) expired: u64,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { limits, inner: Mutex::default(), arrived: Notify::new(), emptied: Notify::new() }
    }

    /// Adds a message (its token is set here) and says how many were dropped for it, itself included.
    pub(super) fn push(&self, outbound: Outbound, now: Instant) -> u64 {
        let weight = outbound.message.weight();
        let mut inner = self.inner.lock();
        let mut dropped = 0;
        while !inner.fits(weight, &self.limits) {
            let makes_room = self.limits.when_full == WhenFull::DropOldest && weight <= self.limits.bytes;
            let Some(oldest) = (if makes_room { inner.waiting.pop_front() } else { None }) else {
                return dropped + 1;
            };
            inner.bytes -= oldest.outbound.message.weight();
            dropped += 1;
        }
        let token = Token(inner.next);
        inner.next += 1;
        inner.bytes += weight;
        inner.waiting.push_back(Item { outbound: Outbound { token, ..outbound }, since: now });
        drop(inner);
        self.arrived.notify_one();
        dropped
    }

    /// Puts messages that are older than all that wait in front, in order, as far as there is room; says how many
    /// found none.
    pub(super) fn push_old(&self, outbounds: Vec<Outbound>, now: Instant) -> u64 {
        self.put_in_front(outbounds.into_iter().map(|outbound| Item { outbound, since: now }).collect())
    }

    /// Like [`Queue::push_old`], with messages of another queue, which have waited there.
    pub(super) fn put_in_front(&self, items: Vec<Item>) -> u64 {
        let mut inner = self.inner.lock();
        let mut dropped = 0;
        for Item { outbound, since } in items.into_iter().rev() {
            let weight = outbound.message.weight();
            if !inner.fits(weight, &self.limits) {
                dropped += 1;
                continue;
            }
            inner.first -= 1;
            inner.bytes += weight;
            let token = Token(inner.first);
            inner.waiting.push_front(Item { outbound: Outbound { token, ..outbound }, since });
        }
        drop(inner);
        self.arrived.notify_one();
        dropped
    }

    /// Takes the oldest waiting message in flight.
    pub(super) fn take(&self, now: Instant) -> Taken {
        let mut inner = self.inner.lock();
        let mut expired = 0;
        let next = loop {
            let Some(item) = inner.waiting.pop_front() else { break None };
            let too_old = self.limits.age.is_some_and(|age| now.saturating_duration_since(item.since) > age);
            if too_old || item.outbound.message.is_expired(now) {
                inner.bytes -= item.outbound.message.weight();
                expired += 1;
                continue;
            }
            let outbound = item.outbound.clone();
            inner.sent.insert(outbound.token, item);
            break Some(outbound);
        };
        let empty = inner.is_empty();
        drop(inner);
        if expired > 0 && empty {
            self.emptied.notify_waiters();
        }
        Taken { next, expired }
    }

    /// Whether a message waits to be taken.
    pub(super) fn has_waiting(&self) -> bool {
        !self.inner.lock().waiting.is_empty()
    }

    /// A message in flight.
    pub(super) fn in_flight(&self, token: Token) -> Option<Outbound> {
        self.inner.lock().sent.get(&token).map(|item| item.outbound.clone())
    }

    /// The peer has it for good, or never will: it is forgotten. Yields it the first time.
    pub(super) fn done(&self, token: Token) -> Option<Outbound> {
        let mut inner = self.inner.lock();
        let item = inner.sent.remove(&token)?;
        inner.bytes -= item.outbound.message.weight();
        let empty = inner.is_empty();
        drop(inner);
        if empty {
            self.emptied.notify_waiters();
        }
        Some(item.outbound)
    }

    /// Puts all that is in flight back to the front, in order, except what `keep` names.
    pub(super) fn rewind(&self, keep: impl Fn(Token) -> bool) {
        let mut inner = self.inner.lock();
        inner.rewind(keep);
        let any = !inner.waiting.is_empty();
        drop(inner);
        if any {
            self.arrived.notify_one();
        }
    }

    /// Takes all there is, in flight or not, in order.
    pub(super) fn take_all(&self) -> Vec<Item> {
        let mut inner = self.inner.lock();
        inner.rewind(|_| false);
        inner.bytes = 0;
        let all = inner.waiting.drain(..).collect();
        drop(inner);
        self.emptied.notify_waiters();
        all
    }

    /// Resolves when a message waits.
    pub(super) async fn ready(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.has_waiting() {
                return;
            }
            arrived.await;
        }
    }

    /// Resolves when nothing waits and nothing is in flight.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Enabled before the look, so that an emptying in between is not missed.
            emptied.as_mut().enable();
            if self.inner.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn depth(&self, now: Instant) -> QueueDepth {
        let inner = self.inner.lock();
        let first = [inner.sent.values().next(), inner.waiting.front()];
        let oldest = first.into_iter().flatten().map(|item| now.saturating_duration_since(item.since)).max();
        QueueDepth {
            messages: inner.waiting.len() + inner.sent.len(),
            in_flight: inner.sent.len(),
            bytes: inner.bytes,
            oldest,
        }
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    fn rewind(&mut self, keep: impl Fn(Token) -> bool) {
        let back: Vec<Token> = self.sent.keys().copied().filter(|token| !keep(*token)).collect();
        for token in back.into_iter().rev() {
            if let Some(item) = self.sent.remove(&token) {
                self.waiting.push_front(item);
            }
        }
    }

    fn fits(&self, weight: usize, limits: &QueueLimits) -> bool {
        self.waiting.len() + self.sent.len() < limits.messages && self.bytes + weight <= limits.bytes
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
