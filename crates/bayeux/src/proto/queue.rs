//! A session's bounded queue, with the acknowledgement extension's batches.

use std::collections::VecDeque;

use ratatosk_core::SlowPolicy;

/// What can wait in a [`Queue`].
pub trait Item: Clone {
    /// What it weighs against the bound in bytes.
    fn weight(&self) -> usize;
    /// Whether the other is on the same channel, for conflation.
    fn same_channel(&self, other: &Self) -> bool;
}

/// Bounds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most messages that wait, unacknowledged ones included.
    pub messages: usize,
    /// The most bytes that wait.
    pub bytes: usize,
    /// What happens when one more comes.
    pub policy: SlowPolicy,
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and this many others were dropped for it.
    Queued(u32),
    /// It did not fit, and the policy is to end the session.
    Full,
}

/// Messages that wait for the client. It holds no memory while it is empty.
#[derive(Debug)]
pub struct Queue<M> {
    limits: Limits,
    waiting: VecDeque<M>,
    /// Sent, with the number of the batch that took them; oldest first.
    unacked: VecDeque<(u64, M)>,
    bytes: usize,
    batch: u64,
}

impl<M: Item> Queue<M> {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, waiting: VecDeque::new(), unacked: VecDeque::new(), bytes: 0, batch: 0 }
    }

    /// How many messages wait to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many are held, unacknowledged ones included.
    #[must_use]
    pub fn held(&self) -> usize {
        self.waiting.len() + self.unacked.len()
    }

    /// Adds one message under the policy.
    pub fn push(&mut self, message: M) -> Pushed {
        let weight = message.weight();
        let mut dropped = 0;
        if self.limits.policy == SlowPolicy::Conflate
            && let Some(at) = self.waiting.iter().rposition(|old| old.same_channel(&message))
            && let Some(old) = self.waiting.remove(at)
        {
            self.bytes -= old.weight();
            dropped += 1;
        }
        while self.held() + 1 > self.limits.messages || self.bytes + weight > self.limits.bytes {
            if self.limits.policy == SlowPolicy::Disconnect && self.held() > 0 {
                return Pushed::Full;
            }
            if !self.drop_oldest() {
                break; // one message over the bound still passes: the size of a message is bounded elsewhere
            }
            dropped += 1;
        }
        self.bytes += weight;
        self.waiting.push_back(message);
        Pushed::Queued(dropped)
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.unacked.pop_front().map(|(_, message)| message).or_else(|| self.waiting.pop_front());
        self.bytes -= oldest.as_ref().map_or(0, Item::weight);
        oldest.is_some()
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory is short: gives up the older half of what is held. Says how many messages that were.
    pub fn shed(&mut self) -> u32 {
        let (before, keep) = (self.held(), self.held() / 2);
        while self.held() > keep && self.drop_oldest() {}
        self.waiting.shrink_to_fit();
        self.unacked.shrink_to_fit();
        u32::try_from(before - self.held()).unwrap_or(u32::MAX)
    }

    /// What happens when it is full.
    #[must_use]
    pub fn policy(&self) -> SlowPolicy {
        self.limits.policy
    }

    /// Takes all that waits, for a client that does not acknowledge.
    pub fn take(&mut self) -> Vec<M> {
        let taken: Vec<M> = std::mem::take(&mut self.waiting).into();
        self.bytes -= taken.iter().map(Item::weight).sum::<usize>();
        taken
    }

    /// Puts back what could not be sent, before what waits now.
    pub fn put_back(&mut self, messages: Vec<M>) {
        for message in messages.into_iter().rev() {
            self.bytes += message.weight();
            self.waiting.push_front(message);
        }
    }

    /// Ends a batch: all that waits is sent under the returned number, and kept until it is acknowledged.
    pub fn take_batch(&mut self) -> (u64, Vec<M>) {
        self.batch += 1;
        let taken: Vec<M> = std::mem::take(&mut self.waiting).into();
        self.unacked.extend(taken.iter().cloned().map(|message| (self.batch, message)));
        (self.batch, taken)
    }

    /// The client has seen all batches up to this one. What was sent later must be sent again, before what waits:
    /// true if there is such.
    pub fn acknowledge(&mut self, batch: u64) -> bool {
        while let Some((_, message)) = self.unacked.pop_front_if(|(number, _)| *number <= batch) {
            self.bytes -= message.weight();
        }
        let again = !self.unacked.is_empty();
        while let Some((_, message)) = self.unacked.pop_back() {
            self.waiting.push_front(message);
        }
        if self.unacked.is_empty() {
            self.unacked = VecDeque::new();
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Item for (u8, u32) {
        fn weight(&self) -> usize {
            10
        }
        fn same_channel(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    fn queue(messages: usize, policy: SlowPolicy) -> Queue<(u8, u32)> {
        Queue::new(Limits { messages, bytes: 10_000, policy })
    }

    #[test]
    fn policies() {
        let mut disconnect = queue(2, SlowPolicy::Disconnect);
        assert_eq!([0, 1, 2].map(|n| disconnect.push((0, n))), [Pushed::Queued(0), Pushed::Queued(0), Pushed::Full]);
        let mut oldest = queue(2, SlowPolicy::DropOldest);
        assert_eq!([0, 1, 2].map(|n| oldest.push((0, n))), [Pushed::Queued(0), Pushed::Queued(0), Pushed::Queued(1)]);
        assert_eq!(oldest.take(), [(0, 1), (0, 2)]);
        let mut conflate = queue(9, SlowPolicy::Conflate);
        for message in [(0, 0), (1, 1), (0, 2)] {
            conflate.push(message);
        }
        assert_eq!(conflate.take(), [(1, 1), (0, 2)]);
    }

    #[test]
    fn a_byte_bound_holds_too() {
        let mut queue: Queue<(u8, u32)> =
            Queue::new(Limits { messages: 100, bytes: 25, policy: SlowPolicy::DropOldest });
        assert_eq!([0, 1, 2].map(|n| queue.push((0, n))), [Pushed::Queued(0), Pushed::Queued(0), Pushed::Queued(1)]);
    }

    #[test]
    fn batches_are_sent_again_until_acknowledged() {
        let mut queue = queue(100, SlowPolicy::Disconnect);
        queue.push((0, 1));
        assert_eq!(queue.take_batch(), (1, vec![(0, 1)]));
        queue.push((0, 2));
        assert!(queue.acknowledge(0), "the client has not seen batch 1");
        assert_eq!(queue.take_batch(), (2, vec![(0, 1), (0, 2)]));
        queue.push((0, 3));
        assert!(!queue.acknowledge(2));
        assert_eq!(queue.take_batch(), (3, vec![(0, 3)]));
        assert!(!queue.acknowledge(3));
        assert_eq!(queue.held(), 0);
        assert_eq!(queue.bytes, 0);
    }

    proptest! {
        /// Against a client that loses replies at random, acknowledging honestly.
        #[test]
        fn nothing_is_lost_or_reordered_with_acks(steps in prop::collection::vec((0_u32..5, any::<bool>()), 1..40)) {
            let mut queue = queue(10_000, SlowPolicy::Disconnect);
            let (mut next, mut seen, mut acked) = (0, Vec::new(), 0);
            for (pushes, lost) in steps {
                for _ in 0..pushes {
                    queue.push((0, next));
                    next += 1;
                }
                queue.acknowledge(acked);
                let (batch, messages) = queue.take_batch();
                if !lost {
                    seen.extend(messages.into_iter().map(|(_, n)| n));
                    acked = batch;
                }
            }
            queue.acknowledge(acked);
            seen.extend(queue.take_batch().1.into_iter().map(|(_, n)| n));
            prop_assert_eq!(seen, (0..next).collect::<Vec<_>>());
        }

        #[test]
        fn bounds_hold_whatever_happens(
            steps in prop::collection::vec((0_u8..6, 0_u8..3, 0_u64..6), 0..60),
            policy in prop::sample::select(vec![SlowPolicy::Disconnect, SlowPolicy::DropOldest, SlowPolicy::Conflate]),
        ) {
            let mut queue = queue(5, policy);
            let mut out = Vec::new();
            for (what, channel, number) in steps {
                match what {
                    0..=2 => drop(queue.push((channel, 0))),
                    3 => out = queue.take(),
                    4 => drop(queue.take_batch()),
                    _ => drop(queue.acknowledge(number)),
                }
                prop_assert!(queue.held() <= 5);
                prop_assert_eq!(queue.bytes, queue.held() * 10);
            }
            let before = queue.held();
            let count = out.len();
            queue.put_back(out);
            prop_assert_eq!(queue.held(), before + count);
        }
    }
}
