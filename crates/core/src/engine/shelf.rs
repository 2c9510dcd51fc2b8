//! What the memory engine keeps of one channel: a ring of messages and the last value.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use crate::{
    message::Message,
    rule::{ChannelRule, HistoryRule, LastValue},
};

/// Positions of evicted messages that are remembered, to say exactly how many a subscriber missed.
const REMEMBERED: usize = 4096;

/// One channel's keeping.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    ring: VecDeque<Arc<Message>>,
    bytes: usize,
    last: Option<Arc<Message>>,
    /// Positions let go of, the newest [`REMEMBERED`] of them.
    evicted: VecDeque<u64>,
    /// Positions let go of and forgotten: the newest.
    forgotten: u64,
    history: Option<HistoryRule>,
}

/// How much a change added and removed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delta {
    pub(super) messages: i64,
    pub(super) bytes: i64,
    pub(super) trimmed: u64,
    pub(super) retained: i64,
}

/// What a channel adds to a replay.
pub(super) struct Part {
    pub(super) messages: Vec<Arc<Message>>,
    pub(super) missing: u64,
    pub(super) exact: bool,
    pub(super) oldest: Option<u64>,
}

impl Shelf {
    pub(super) fn keep(&mut self, message: &Arc<Message>, rule: &ChannelRule) -> Delta {
        let mut delta = Delta::default();
        if rule.history.is_on() {
            self.history = Some(rule.history);
            self.ring.push_back(message.clone());
            self.bytes += message.weight();
            delta.messages += 1;
            delta.bytes += signed(message.weight());
            self.trim(message.arrived, &mut delta);
        }
        self.set_last(message, rule.last_value, &mut delta);
        delta
    }

    fn set_last(&mut self, message: &Arc<Message>, rule: LastValue, delta: &mut Delta) {
        let takes = match rule {
            LastValue::Off => false,
            LastValue::Retained => message.retain,
            LastValue::Always => true,
        };
        if takes {
            let clears = message.retain && message.payload.is_empty();
            let before = i64::from(self.last.is_some());
            self.last = (!clears).then(|| message.clone());
            delta.retained += i64::from(self.last.is_some()) - before;
        }
    }

    /// Lets go of what is over the bounds or too old.
    pub(super) fn trim(&mut self, now: Instant, delta: &mut Delta) {
        let Some(rule) = self.history else { return };
        while let Some(oldest) = self.ring.front() {
            let old = now.saturating_duration_since(oldest.arrived) > rule.age;
            if !old && self.ring.len() <= rule.messages && self.bytes <= rule.bytes {
                break;
            }
            self.evict(delta);
        }
    }

    /// Drops an expired last value.
    pub(super) fn expire(&mut self, now: Instant, delta: &mut Delta) {
        if self.last.as_ref().is_some_and(|last| last.is_expired(now)) {
            self.last = None;
            delta.retained -= 1;
        }
    }

    /// Drops the oldest message.
    pub(super) fn evict(&mut self, delta: &mut Delta) {
        let Some(oldest) = self.ring.pop_front() else {
            return;
        };
        self.bytes -= oldest.weight();
        delta.messages -= 1;
        delta.bytes -= signed(oldest.weight());
        delta.trimmed += 1;
        if self.evicted.len() == REMEMBERED {
            self.forgotten = self.evicted.pop_front().unwrap_or(self.forgotten);
        }
        self.evicted.push_back(oldest.seq);
        if self.ring.is_empty() {
            self.ring.shrink_to_fit();
        }
    }

    pub(super) fn part(&mut self, after: u64, up_to: u64, now: Instant) -> Part {
        let first = self.ring.partition_point(|message| message.seq <= after);
        let messages = self.ring.iter().skip(first).take_while(|message| message.seq <= up_to);
        let missing = self.evicted.len() - self.evicted.partition_point(|seq| *seq <= after);
        Part {
            messages: messages.filter(|message| !message.is_expired(now)).cloned().collect(),
            missing: missing as u64,
            exact: self.forgotten <= after,
            oldest: self.ring.front().map(|message| message.seq),
        }
    }

    pub(super) fn last(&self, now: Instant) -> Option<Arc<Message>> {
        self.last.clone().filter(|last| !last.is_expired(now))
    }

    pub(super) fn has_last(&self) -> bool {
        self.last.is_some()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.ring.front().map(|message| message.seq)
    }

    /// The newest position this shelf has seen; what a shelf that is given up takes along.
    pub(super) fn newest(&self) -> u64 {
        self.ring.back().map(|message| message.seq).or(self.evicted.back().copied()).unwrap_or(0)
    }

    /// How much would go with it.
    pub(super) fn contents(&self) -> Delta {
        Delta {
            messages: signed(self.ring.len()),
            bytes: signed(self.bytes),
            trimmed: 0,
            retained: i64::from(self.last.is_some()),
        }
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
