//! How often a rule lets something through: a bucket that fills as time passes.

use std::time::Instant;

use parking_lot::Mutex;

use crate::config_types::Rate;

/// Holds at most what one period brings, so that after a quiet period so many may come at once.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    left: f64,
    at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, level: Mutex::new(Level { left: f64::from(rate.count()), at: None }) }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let full = f64::from(self.rate.count());
        let mut level = self.level.lock();
        let passed = level.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        level.at = Some(now);
        level.left = (level.left + passed * full / self.rate.per().as_secs_f64()).min(full);
        // A hair's breadth, so that rounding does not cost a message.
        if level.left < 1.0 - 1e-9 {
            return false;
        }
        level.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_period_brings_what_was_said_and_no_more() {
        let (bucket, start) = (Bucket::new("10/s".parse().unwrap()), Instant::now());
        let take = |at: u64| (0..100).filter(|_| bucket.take(start + Duration::from_millis(at))).count();
        assert_eq!([take(0), take(99), take(100), take(600), take(10_000)], [10, 0, 1, 5, 10]);
    }

    #[test]
    fn a_slow_rate_is_kept_too() {
        let (bucket, start) = (Bucket::new("2/h".parse().unwrap()), Instant::now());
        let take = |at: u64| bucket.take(start + Duration::from_secs(at));
        assert_eq!([take(0), take(1), take(2), take(1799), take(1802)], [true, true, false, false, true]);
    }
}
