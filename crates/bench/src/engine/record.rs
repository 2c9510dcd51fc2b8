//! Counts deliveries, finds gaps, and knows when a message has reached every subscriber.

use std::collections::VecDeque;

use super::latency::Latency;
use super::pool::Watcher;
use crate::proto::Happening;
use crate::stamp::Stamp;

/// What has been published and delivered since the connections were made.
pub(crate) struct Recorder {
    channels: Vec<Channel>,
    /// Per subscriber the channels it is on and the sequence it should see next.
    expected: Vec<Vec<(u16, u32)>>,
    /// Connections that finished their handshake.
    pub(crate) ready: usize,
    /// Deliveries seen.
    pub(crate) deliveries: u64,
    /// Deliveries that were not the next of their channel.
    pub(crate) disordered: u64,
    /// Confirmed publications.
    pub(crate) confirmed: u64,
    /// Latencies, recorded while `measuring`.
    pub(crate) latency: Latency,
    pub(crate) measuring: bool,
    /// Channels whose oldest message has just reached its last subscriber, once per message.
    pub(crate) completed: Vec<u16>,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    subscribers: u32,
    /// Sequence of the next publication.
    next: u32,
    /// Sequence of the first entry of `waiting`.
    oldest: u32,
    /// Per message in flight, how many subscribers have yet to see it.
    waiting: VecDeque<u32>,
}

impl Recorder {
    /// For connections `0..subscribers.len()` that subscribe to the given channels.
    pub(crate) fn new(channels: u16, subscribers: &[Vec<u16>]) -> anyhow::Result<Self> {
        let mut states = vec![Channel::default(); usize::from(channels)];
        for &channel in subscribers.iter().flatten() {
            if let Some(state) = states.get_mut(usize::from(channel)) {
                state.subscribers += 1;
            }
        }
        let expected = subscribers.iter().map(|list| list.iter().map(|&c| (c, 0)).collect()).collect();
        Ok(Self {
            channels: states,
            expected,
            ready: 0,
            deliveries: 0,
            disordered: 0,
            confirmed: 0,
            latency: Latency::new()?,
            measuring: false,
            completed: Vec::new(),
        })
    }

    /// The sequence for a new publication on `channel`.
    pub(crate) fn publish(&mut self, channel: u16) -> u32 {
        let Some(state) = self.channels.get_mut(usize::from(channel)) else { return 0 };
        let seq = state.next;
        state.next = seq.wrapping_add(1);
        state.waiting.push_back(state.subscribers);
        seq
    }

    /// Publications so far.
    pub(crate) fn published(&self) -> u64 {
        self.channels.iter().map(|c| u64::from(c.next)).sum()
    }

    /// Deliveries that should have been seen and were not.
    pub(crate) fn missing(&self) -> u64 {
        let due: u64 = self.channels.iter().map(|c| u64::from(c.next) * u64::from(c.subscribers)).sum();
        due.saturating_sub(self.deliveries)
    }

    fn delivered(&mut self, conn: usize, stamp: Stamp, now: u64) {
        self.deliveries += 1;
        if self.measuring {
            self.latency.record(now.saturating_sub(stamp.sent));
        }
        let expected = self.expected.get_mut(conn).map(Vec::as_mut_slice).unwrap_or_default();
        match expected.iter_mut().find(|(channel, _)| *channel == stamp.channel) {
            Some((_, next)) if *next == stamp.seq => *next += 1,
            Some((_, next)) => {
                self.disordered += 1;
                *next = (*next).max(stamp.seq.wrapping_add(1));
            }
            None => self.disordered += 1,
        }
        self.count_down(stamp);
    }

    fn count_down(&mut self, stamp: Stamp) {
        let Some(state) = self.channels.get_mut(usize::from(stamp.channel)) else { return };
        let Some(age) = stamp.seq.checked_sub(state.oldest) else { return };
        if let Some(waiting) = state.waiting.get_mut(age as usize) {
            *waiting = waiting.saturating_sub(1);
        }
        while state.waiting.front() == Some(&0) {
            state.waiting.pop_front();
            state.oldest += 1;
            self.completed.push(stamp.channel);
        }
    }
}

impl Watcher for Recorder {
    fn happened(&mut self, conn: usize, what: Happening, now: u64) {
        match what {
            Happening::Delivery(stamp) => self.delivered(conn, stamp, now),
            Happening::Published => self.confirmed += 1,
            Happening::Ready => self.ready += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn deliver(recorder: &mut Recorder, conn: usize, channel: u16, seq: u32) {
        recorder.happened(conn, Happening::Delivery(Stamp { channel, seq, sent: 0 }), 5_000);
    }

    #[test]
    fn a_message_is_complete_when_the_last_subscriber_has_it() {
        let mut recorder = Recorder::new(2, &[vec![0], vec![0, 1]]).unwrap();
        assert_eq!((recorder.publish(0), recorder.publish(0), recorder.publish(1)), (0, 1, 0));
        assert_eq!(recorder.missing(), 5);
        deliver(&mut recorder, 0, 0, 0);
        deliver(&mut recorder, 0, 0, 1);
        assert!(recorder.completed.is_empty());
        deliver(&mut recorder, 1, 0, 0);
        assert_eq!(recorder.completed, [0]);
        deliver(&mut recorder, 1, 1, 0);
        assert_eq!(recorder.completed, [0, 1]);
        deliver(&mut recorder, 1, 0, 1);
        assert_eq!(recorder.completed, [0, 1, 0]);
        assert_eq!((recorder.missing(), recorder.disordered), (0, 0));
    }

    #[test]
    fn gaps_and_duplicates_are_disorder() {
        let mut recorder = Recorder::new(1, &[vec![0]]).unwrap();
        for _ in 0..4 {
            recorder.publish(0);
        }
        deliver(&mut recorder, 0, 0, 0);
        deliver(&mut recorder, 0, 0, 2);
        assert_eq!((recorder.disordered, recorder.missing()), (1, 2));
        deliver(&mut recorder, 0, 0, 2);
        deliver(&mut recorder, 0, 0, 3);
        assert_eq!((recorder.disordered, recorder.missing()), (2, 0));
    }

    #[test]
    fn latency_counts_only_while_measuring() {
        let mut recorder = Recorder::new(1, &[vec![0]]).unwrap();
        recorder.publish(0);
        deliver(&mut recorder, 0, 0, 0);
        assert_eq!(recorder.latency.quantile(1.0), None);
        recorder.measuring = true;
        recorder.publish(0);
        deliver(&mut recorder, 0, 0, 1);
        assert_eq!(recorder.latency.quantile(1.0), Some(5));
    }
}
