//! A bound on how often something happens: a token bucket in eight bytes (the generic cell rate algorithm).

use std::{
    num::NonZeroU32,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::TooFast;

/// What may happen at once: as much as in this time.
const BURST: u64 = 1_000_000_000;

/// Times are counted from here.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the bucket is full again, in nanoseconds. Zero is a full one.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    /// One more, if it may come now: so many per second on average, and a second's worth at once.
    pub(super) fn take(&self, per_second: NonZeroU32) -> Result<(), TooFast> {
        self.take_at(per_second, now())
    }

    /// The same, and it counts even if it came too soon: whoever cannot be refused is made to wait.
    pub(super) fn owe(&self, per_second: NonZeroU32) -> Result<(), TooFast> {
        let (now, gap) = (now(), BURST / u64::from(per_second.get()));
        let full = self.0.fetch_max(now, Ordering::Relaxed).max(now) + gap;
        self.0.fetch_add(gap, Ordering::Relaxed);
        match full.saturating_sub(now + BURST) {
            0 => Ok(()),
            early => Err(TooFast { wait: Duration::from_nanos(early) }),
        }
    }

    fn take_at(&self, per_second: NonZeroU32, now: u64) -> Result<(), TooFast> {
        let gap = BURST / u64::from(per_second.get());
        let latest = now + BURST;
        let mut early = 0;
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| {
            let full = full.max(now) + gap;
            early = full.saturating_sub(latest);
            (early == 0).then_some(full)
        });
        taken.map(drop).map_err(|_| TooFast { wait: Duration::from_nanos(early) })
    }

    /// Whether nothing would be forgotten with it.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) <= now()
    }
}

fn now() -> u64 {
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_second_holds_as_many_as_allowed_and_says_when_the_next_may_come() {
        let (meter, ten) = (Meter::default(), NonZeroU32::new(10).unwrap());
        let at = |milliseconds: u64| milliseconds * 1_000_000;
        let passed = |now| (0..20).filter(|_| meter.take_at(ten, now).is_ok()).count();
        assert_eq!(passed(at(5)), 10);
        assert_eq!(meter.take_at(ten, at(5)), Err(TooFast { wait: Duration::from_millis(100) }));
        assert_eq!(meter.take_at(ten, at(55)), Err(TooFast { wait: Duration::from_millis(50) }));
        assert_eq!(passed(at(305)), 3);
        assert_eq!(passed(at(60_000)), 10);
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let (meter, two) = (Meter::default(), NonZeroU32::new(2).unwrap());
        let waits: Vec<Duration> =
            (0..6).map(|_| meter.owe(two).map_or_else(|early| early.wait, |()| Duration::ZERO)).collect();
        assert!(waits.starts_with(&[Duration::ZERO, Duration::ZERO]));
        // Half a second each, less the time that the test itself takes.
        let last = waits.last().unwrap();
        assert!(*last > Duration::from_secs(1) && *last <= Duration::from_secs(2), "{waits:?}");
    }
}
