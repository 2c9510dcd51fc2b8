//! A short memory of what was sent to a peer that cannot carry our mark, to know it again when it comes back.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use ratatosk_core::Channel;

/// How long a message may be on its way back.
const MEMORY: Duration = Duration::from_secs(10);
/// The most messages remembered; the oldest is forgotten first.
const CAPACITY: usize = 8192;

/// Each message sent is recognised once: a second one with the same name and payload is somebody else's.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    hasher: RandomState,
    /// By fingerprint: which sendings have not come back, oldest first.
    awaited: HashMap<u64, VecDeque<u64>>,
    /// Every sending, oldest first: when, its fingerprint, its number.
    order: VecDeque<(Instant, u64, u64)>,
    next: u64,
}

impl Fingerprints {
    /// Remembers what is sent under a name of theirs.
    pub(super) fn sent(&mut self, channel: &Channel, payload: &[u8], now: Instant) {
        self.forget_old(now);
        if self.order.len() >= CAPACITY {
            self.forget_front();
        }
        let print = self.hasher.hash_one((channel.as_str(), payload));
        self.awaited.entry(print).or_default().push_back(self.next);
        self.order.push_back((now, print, self.next));
        self.next += 1;
    }

    /// Whether this is one of ours coming back.
    pub(super) fn is_return(&mut self, channel: &Channel, payload: &[u8], now: Instant) -> bool {
        self.forget_old(now);
        let print = self.hasher.hash_one((channel.as_str(), payload));
        let Some(sendings) = self.awaited.get_mut(&print) else { return false };
        sendings.pop_front();
        if sendings.is_empty() {
            self.awaited.remove(&print);
        }
        true
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > MEMORY) {
            self.forget_front();
        }
    }

    fn forget_front(&mut self) {
        let Some((_, print, number)) = self.order.pop_front() else { return };
        let Some(sendings) = self.awaited.get_mut(&print) else { return };
        // It is not at the front when it has come back already.
        if sendings.front() == Some(&number) {
            sendings.pop_front();
        }
        if sendings.is_empty() {
            self.awaited.remove(&print);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn each_sending_is_recognised_once_and_for_a_while() {
        let (mut prints, start) = (Fingerprints::default(), Instant::now());
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
    fn memory_is_bounded() {
        let (mut prints, now) = (Fingerprints::default(), Instant::now());
        let channel = Channel::new("a").unwrap();
        for n in 0..3 * CAPACITY {
            prints.sent(&channel, &n.to_be_bytes(), now);
        }
        assert_eq!((prints.order.len(), prints.awaited.len()), (CAPACITY, CAPACITY));
        assert!(!prints.is_return(&channel, &0usize.to_be_bytes(), now));
        assert!(prints.is_return(&channel, &(3 * CAPACITY - 1).to_be_bytes(), now));
    }
}
