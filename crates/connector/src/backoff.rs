//! Exponential backoff with full jitter.
//!
//! The n-th delay is uniform between a small floor and `min(cap, base * 2^n)`, so that many gateways that lost
//! the same server do not come back in step. A connection that stayed up for the stable period starts over;
//! one that flaps keeps backing off. Randomness is an input, so that the sequence can be tested.

use std::time::Duration;

/// Shape of the delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Upper bound of the first delay.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
    /// How long a connection must last for the next delay to be the first again.
    pub stable: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { base: Duration::from_millis(200), cap: Duration::from_secs(30), stable: Duration::from_secs(20) }
    }
}

/// No delay is shorter: a jitter of zero must not become a busy loop.
const FLOOR: Duration = Duration::from_millis(10);

/// Where in the sequence one upstream is.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    /// The start of the sequence.
    #[must_use]
    pub fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0 }
    }

    /// How many attempts in a row did not last.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Tells that a connection ended after it had been up this long.
    pub fn connected_for(&mut self, lasted: Duration) {
        if lasted >= self.config.stable {
            self.failures = 0;
        }
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next delay; `random` is uniform in `0.0..1.0`.
    pub fn delay(&mut self, random: f64) -> Duration {
        let doubled = 1u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        let ceiling = self.config.base.saturating_mul(doubled).min(self.config.cap).max(FLOOR);
        self.failures = self.failures.saturating_add(1);
        let spread = (ceiling - FLOOR).mul_f64(random.clamp(0.0, 1.0));
        FLOOR + spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: BackoffConfig =
        BackoffConfig { base: Duration::from_millis(100), cap: Duration::from_secs(2), stable: Duration::from_secs(5) };

    fn ceilings(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.delay(1.0).as_millis()).collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        assert_eq!(ceilings(&mut Backoff::new(CONFIG), 7), [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn only_a_stable_connection_starts_over() {
        let mut backoff = Backoff::new(CONFIG);
        ceilings(&mut backoff, 3);
        backoff.connected_for(Duration::from_secs(4));
        assert_eq!(ceilings(&mut backoff, 1), [800]);
        backoff.connected_for(Duration::from_secs(5));
        assert_eq!(ceilings(&mut backoff, 1), [100]);
    }

    proptest! {
        #[test]
        fn full_jitter_stays_within_bounds(random in proptest::num::f64::ANY, rounds in 1usize..200) {
            let mut backoff = Backoff::new(CONFIG);
            for _ in 0..rounds {
                let delay = backoff.delay(if random.is_nan() { 0.5 } else { random });
                prop_assert!(delay >= FLOOR && delay <= CONFIG.cap);
            }
        }
    }
}
