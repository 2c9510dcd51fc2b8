//! A short memory of what was sent to a peer that cannot carry our mark, to know it again when it comes back.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use ratatosk_core::{Channel, Filter};

/// How long a message may be on its way back.
const MEMORY: Duration = Duration::from_secs(10);
/// The most messages remembered, which is what a broker may owe us after a burst; the oldest is forgotten first. An entry takes some
/// 60 bytes, and goes when the message has come back.
const CAPACITY: usize = 1 << 18;

/// Each message sent is recognised once: a second one with the same name and payload is somebody else's.
#[derive(Debug)]
pub(super) struct Fingerprints {
    hasher: RandomState,
    /// What the peer is asked for, in its naming: nothing else comes back.
    asked: Vec<Filter>,
    known: HashMap<u64, Sendings>,
    /// Every sending, oldest first: when, and its fingerprint.
    order: VecDeque<(Instant, u64)>,
}

/// The sendings in `order` that have one fingerprint.
#[derive(Debug, Default)]
struct Sendings {
    /// Those that have come back: the oldest.
    returned: u32,
    /// Those that have not.
    awaited: u32,
}

impl Fingerprints {
    pub(super) fn new(asked: Vec<Filter>) -> Self {
        Self { hasher: RandomState::new(), asked, known: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers what is sent under a name of theirs.
    pub(super) fn sent(&mut self, channel: &Channel, payload: &[u8], now: Instant) {
        if !self.asked.iter().any(|filter| filter.matches(channel)) {
            return;
        }
        self.forget_old(now);
        if self.order.len() >= CAPACITY {
            self.forget_front();
        }
        let print = self.hasher.hash_one((channel.as_str(), payload));
        self.known.entry(print).or_default().awaited += 1;
        self.order.push_back((now, print));
    }

    /// Whether this is one of ours coming back.
    pub(super) fn is_return(&mut self, channel: &Channel, payload: &[u8], now: Instant) -> bool {
        self.forget_old(now);
        let print = self.hasher.hash_one((channel.as_str(), payload));
        let Some(sendings) = self.known.get_mut(&print).filter(|sendings| sendings.awaited > 0) else { return false };
        sendings.awaited -= 1;
        sendings.returned += 1;
        while self.order.front().is_some_and(|(_, print)| self.known.get(print).is_some_and(|of| of.returned > 0)) {
            self.forget_front();
        }
        true
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > MEMORY) {
            self.forget_front();
        }
    }

    fn forget_front(&mut self) {
        let Some((_, print)) = self.order.pop_front() else { return };
        let Some(sendings) = self.known.get_mut(&print) else { return };
        // The oldest one of its kind, which is the first to have come back.
        let count = if sendings.returned > 0 { &mut sendings.returned } else { &mut sendings.awaited };
        *count = count.saturating_sub(1);
        if sendings.returned == 0 && sendings.awaited == 0 {
            self.known.remove(&print);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn prints() -> Fingerprints {
        Fingerprints::new(vec![Filter::new("a/#").unwrap(), Filter::new("b").unwrap()])
    }

    #[test]
    fn each_sending_is_recognised_once_and_for_a_while() {
        let (mut prints, start) = (prints(), Instant::now());
        let channel = Channel::new("a").unwrap();
        prints.sent(&channel, b"1", start);
        prints.sent(&channel, b"1", start);
        assert!(!prints.is_return(&channel, b"2", start));
        assert!(!prints.is_return(&Channel::new("b").unwrap(), b"1", start));
        assert!(prints.is_return(&channel, b"1", start));
        assert!(prints.is_return(&channel, b"1", start));
        assert!(!prints.is_return(&channel, b"1", start));
        prints.sent(&channel, b"1", start);
        assert!(!prints.is_return(&channel, b"1", start + MEMORY + Duration::from_millis(1)));
    }

    #[test]
    fn a_burst_is_recognised_when_it_comes_back_late() {
        let (mut prints, now) = (prints(), Instant::now());
        let channel = Channel::new("a").unwrap();
        for n in 0..100_000usize {
            prints.sent(&channel, &n.to_be_bytes(), now);
        }
        assert!((0..100_000usize).all(|n| prints.is_return(&channel, &n.to_be_bytes(), now + MEMORY)));
        assert_eq!((prints.order.len(), prints.known.len()), (0, 0), "what has come back takes no room");
    }

    #[test]
    fn memory_is_bounded_and_only_for_what_the_peer_is_asked_for() {
        let (mut prints, now) = (prints(), Instant::now());
        prints.sent(&Channel::new("other").unwrap(), b"1", now);
        assert_eq!(prints.order.len(), 0);
        let channel = Channel::new("a").unwrap();
        for n in 0..CAPACITY + 10 {
            prints.sent(&channel, &n.to_be_bytes(), now);
        }
        assert_eq!((prints.order.len(), prints.known.len()), (CAPACITY, CAPACITY));
        assert!(!prints.is_return(&channel, &9usize.to_be_bytes(), now));
        assert!(prints.is_return(&channel, &10usize.to_be_bytes(), now));
    }

    #[test]
    fn equal_messages_are_forgotten_one_by_one() {
        let (mut prints, start) = (prints(), Instant::now());
        let channel = Channel::new("a").unwrap();
        let later = start + MEMORY / 2;
        prints.sent(&channel, b"0", start);
        prints.sent(&channel, b"1", start);
        prints.sent(&channel, b"1", later);
        assert!(prints.is_return(&channel, b"1", later));
        // The first two are forgotten; the third has not come back.
        let end = start + MEMORY + Duration::from_millis(1);
        assert!(!prints.is_return(&channel, b"0", end));
        assert!(prints.is_return(&channel, b"1", end));
        assert!(!prints.is_return(&channel, b"1", end));
    }
}
