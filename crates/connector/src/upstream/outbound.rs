//! From the bus to a peer: what rules send, into the bounded queue.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use ratatosk_core::{Bus, Channel, Connector, Delivered, EndReason, Message, Peer, Run, stats::DropReason};

use super::{
    fingerprint::Fingerprints,
    queue::{Outbound, Queue, Token},
};
use crate::rules::{ReplyMap, Rule, RuleSet};

/// The outbound half of a bridge.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) bus: Bus,
    pub(super) connector: Connector,
    pub(super) upstream: Arc<str>,
    pub(super) rules: RuleSet,
    pub(super) replies: ReplyMap,
    pub(super) prints: Option<Arc<Mutex<Fingerprints>>>,
    pub(super) queue: Queue,
    /// Set when the bridge takes no more messages.
    pub(super) closed: std::sync::atomic::AtomicBool,
}

impl Outlet {
    /// Queues a message if a rule sends it.
    pub(super) fn offer(&self, message: &Arc<Message>, now: Instant) {
        let Some((rule, channel)) = self.rules.apply(&message.channel) else { return };
        if self.is_theirs(message) {
            self.count(DropReason::Loop, 1);
            return;
        }
        let dropped = self.queue.push(self.outbound(message, rule, channel), now);
        self.count(DropReason::QueueFull, dropped);
    }

    /// Queues messages from before the bridge began, in front of those that came since.
    pub(super) fn offer_old(&self, messages: &[Arc<Message>], now: Instant) {
        let ours = messages.iter().filter(|message| !self.is_theirs(message));
        let outbounds = ours.filter_map(|message| {
            let (rule, channel) = self.rules.apply(&message.channel)?;
            Some(self.outbound(message, rule, channel))
        });
        let dropped = self.queue.push_old(outbounds.collect(), now);
        self.count(DropReason::QueueFull, dropped);
    }

    fn is_theirs(&self, message: &Message) -> bool {
        message.origin.upstream.as_ref() == Some(&self.upstream)
    }

    fn outbound(&self, message: &Arc<Message>, rule: &Rule, channel: Channel) -> Outbound {
        let reply_to = message.extras().and_then(|extras| extras.reply_to.as_ref());
        Outbound {
            token: Token::default(),
            channel,
            message: message.clone(),
            qos: message.qos.min(rule.options().qos),
            retain: message.retain && rule.options().retain,
            reply_to: reply_to.map(|ours| self.replies.outbound(ours, rule)),
        }
    }

    /// Takes the next message in flight.
    pub(super) fn take(&self) -> Option<Outbound> {
        let now = Instant::now();
        let taken = self.queue.take(now);
        self.count(DropReason::Expired, taken.expired);
        let outbound = taken.next?;
        if let Some(prints) = &self.prints {
            prints.lock().sent(&outbound.channel, &outbound.message.payload, now);
        }
        Some(outbound)
    }

    /// The peer has it.
    pub(super) fn done(&self, token: Token) {
        if let Some(message) = self.queue.done(token) {
            self.bus.stats().delivered(self.connector, 1, message.payload.len() as u64);
        }
    }

    /// The peer will never have it.
    pub(super) fn failed(&self, token: Token, reason: DropReason) {
        if self.queue.done(token).is_some() {
            self.count(reason, 1);
        }
    }

    pub(super) fn count(&self, reason: DropReason, messages: u64) {
        self.bus.stats().dropped(self.connector, reason, messages);
    }
}

impl Peer for Outlet {
    /// Messages are counted as delivered when the peer has them, not here.
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        if !self.closed.load(std::sync::atomic::Ordering::Relaxed) {
            let now = Instant::now();
            run.iter().for_each(|(message, _)| self.offer(message, now));
        }
        Delivered::default()
    }

    fn end(&self, _reason: EndReason) {
        self.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
