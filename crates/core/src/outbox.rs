//! The bounded backlog of one session: what its socket could not take yet.

use std::{collections::HashMap, sync::Arc};

use self::slots::Slots;
use crate::{channel::Channel, message::Message, peer::Grant};

mod slots;

/// What happens when an outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowPolicy {
    /// The session's connection ends; it can come back and resume by its cursor.
    #[default]
    Disconnect,
    /// The oldest waiting messages make room.
    DropOldest,
    /// Only the latest message of each channel waits; when even those are too many, the oldest make room.
    Conflate,
}

/// Bounds of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// The most messages that wait.
    pub messages: usize,
    /// The most bytes that wait, by [`Message::weight`].
    pub bytes: usize,
    /// What happens when one more comes.
    pub policy: SlowPolicy,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { messages: 4096, bytes: 4 << 20, policy: SlowPolicy::Disconnect }
    }
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and nothing was lost.
    Queued,
    /// It waits, and this many older ones were dropped for it.
    Dropped(u32),
    /// It did not fit, and the policy is to disconnect.
    Full,
}

/// A waiting message, with what the subscription grants.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The message.
    pub message: Arc<Message>,
    /// How this session takes it.
    pub grant: Grant,
}

/// The queue. It is empty, and holds no memory, while its socket keeps up.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    /// Emptied where conflation took a message out of the middle.
    queue: Slots<Waiting>,
    /// The absolute index of the front.
    front: u64,
    /// Under conflation: the absolute index of each channel's waiting message.
    latest: HashMap<Channel, u64>,
    messages: usize,
    bytes: usize,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self { limits, queue: Slots::new(), front: 0, latest: HashMap::new(), messages: 0, bytes: 0 }
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// How many bytes wait, by [`Message::weight`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the bounds; what waits is judged when the next message comes.
    pub fn set_limits(&mut self, limits: OutboxLimits) {
        self.limits = limits;
    }

    /// Adds one message under the policy.
    pub fn push(&mut self, message: Arc<Message>, grant: Grant) -> Pushed {
        let weight = message.weight();
        let mut dropped = 0;
        if self.limits.policy == SlowPolicy::Conflate {
            dropped += u32::from(self.take_out_latest(&message.channel));
        }
        while self.messages + 1 > self.limits.messages || self.bytes + weight > self.limits.bytes {
            if self.limits.policy == SlowPolicy::Disconnect {
                return Pushed::Full;
            }
            if self.pop().is_none() {
                break; // a single message over the byte bound still passes: the connector bounds message size
            }
            dropped += 1;
        }
        if self.limits.policy == SlowPolicy::Conflate {
            self.latest.insert(message.channel.clone(), self.front + self.queue.len() as u64);
        }
        self.messages += 1;
        self.bytes += weight;
        self.queue.push_back(Waiting { message, grant });
        if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Waiting> {
        while let Some(slot) = self.queue.pop_front() {
            self.front += 1;
            let Some(waiting) = slot else { continue };
            self.forget(&waiting);
            if self.queue.len() == 0 {
                self.release();
            }
            return Some(waiting);
        }
        None
    }

    /// Looks at the oldest.
    pub fn peek(&mut self) -> Option<&Waiting> {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.front += 1;
        }
        self.queue.front()?
    }

    /// Memory is short: what waits is given up by the policy, the older half of it or all. Says how many messages that were.
    pub fn relieve(&mut self) -> usize {
        if self.limits.policy == SlowPolicy::Disconnect {
            return self.clear();
        }
        let (before, keep) = (self.messages, self.messages / 2);
        while self.messages > keep && self.pop().is_some() {}
        before - self.messages
    }

    /// What happens when it is full.
    #[must_use]
    pub fn policy(&self) -> SlowPolicy {
        self.limits.policy
    }

    /// Drops all that waits and says how many messages that were.
    pub fn clear(&mut self) -> usize {
        let lost = self.messages;
        self.front += self.queue.len() as u64;
        (self.messages, self.bytes) = (0, 0);
        self.release();
        lost
    }

    fn take_out_latest(&mut self, channel: &Channel) -> bool {
        let Some(index) = self.latest.get(channel) else {
            return false;
        };
        let slot = usize::try_from(index.saturating_sub(self.front)).ok();
        let Some(waiting) = slot.and_then(|at| self.queue.take(at)) else {
            return false;
        };
        self.forget(&waiting);
        true
    }

    fn forget(&mut self, waiting: &Waiting) {
        self.messages -= 1;
        self.bytes -= waiting.message.weight();
        if self.limits.policy == SlowPolicy::Conflate {
            self.latest.remove(&waiting.message.channel);
        }
    }

    /// A subscriber that has caught up gives its memory back.
    fn release(&mut self) {
        self.queue = Slots::new();
        self.latest = HashMap::new();
    }
}
