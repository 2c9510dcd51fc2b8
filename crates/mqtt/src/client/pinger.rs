//! Keep-alive, and the round-trip times that it measures.

use std::time::{Duration, Instant};

use tokio::time::{Instant as Tick, Interval, MissedTickBehavior, interval_at};

/// The longest wait for an answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Keep-alive and round-trip times.
#[derive(Debug)]
pub(super) struct Pinger {
    every: Duration,
    last: Option<Instant>,
    unanswered: Option<Instant>,
    /// From when on silence counts.
    patience: Option<Instant>,
}

impl Pinger {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, last: None, unanswered: None, patience: None }
    }

    /// Whether the first ping is still to be sent. It is best sent when nothing else is on the way: a server that
    /// leaves Nagle's algorithm on holds its answer back otherwise.
    pub(super) fn is_new(&self) -> bool {
        self.is_on() && self.last.is_none()
    }

    pub(super) fn is_on(&self) -> bool {
        !self.every.is_zero()
    }

    /// How often to look at the clock.
    pub(super) fn ticks(&self) -> Interval {
        let every = if self.is_on() { (self.every / 4).min(Duration::from_secs(1)) } else { Duration::from_secs(1) };
        let every = every.max(Duration::from_millis(50));
        let mut ticks = interval_at(Tick::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    pub(super) fn asked(&mut self, now: Instant) {
        (self.last, self.unanswered, self.patience) = (Some(now), Some(now), Some(now));
    }

    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.patience = None;
        self.unanswered.take().map(|asked| now.saturating_duration_since(asked))
    }

    pub(super) fn excuse(&mut self, now: Instant) {
        if self.patience.is_some() {
            self.patience = Some(now);
        }
    }

    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        let limit = self.every.clamp(PING_TIMEOUT / 2, PING_TIMEOUT);
        self.patience.is_some_and(|since| now.saturating_duration_since(since) > limit)
    }

    /// One ping at a time; regular ones whatever else is sent, because they measure the way.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let late = |last: Instant| now.saturating_duration_since(last) + Duration::from_millis(50) >= self.every;
        self.is_on() && self.unanswered.is_none() && self.last.is_none_or(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(20);

    #[test]
    fn a_ping_is_due_at_its_time_and_measures_the_way() {
        let (mut pinger, start) = (Pinger::new(EVERY), Instant::now());
        assert!(pinger.is_due(start));
        pinger.asked(start);
        assert!(!pinger.is_due(start + EVERY), "one at a time");
        assert_eq!(pinger.answered(start + Duration::from_millis(3)), Some(Duration::from_millis(3)));
        assert_eq!(pinger.answered(start + EVERY), None, "an answer to nothing measures nothing");
        assert!(!pinger.is_due(start + EVERY / 2) && pinger.is_due(start + EVERY));
    }

    #[test]
    fn silence_counts_only_while_we_listen() {
        let (mut pinger, start) = (Pinger::new(EVERY), Instant::now());
        pinger.asked(start);
        assert!(!pinger.is_unanswered(start + PING_TIMEOUT));
        assert!(pinger.is_unanswered(start + PING_TIMEOUT * 2));
        pinger.excuse(start + PING_TIMEOUT);
        assert!(!pinger.is_unanswered(start + PING_TIMEOUT * 2));
        assert!(!Pinger::new(Duration::ZERO).is_due(start));
    }
}
