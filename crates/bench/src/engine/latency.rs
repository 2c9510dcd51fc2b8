//! Latencies in microseconds, from the publisher's socket to the subscriber's.

use hdrhistogram::Histogram;

/// A histogram with three significant digits between 1 µs and 100 s.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    const MAX: u64 = 100_000_000;

    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, Self::MAX, 3)?))
    }

    /// Records a time span given in nanoseconds.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record((nanoseconds / 1000).clamp(1, Self::MAX));
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The value below which this share (0 to 1) lies, in microseconds; `None` with nothing recorded.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn quantiles_are_in_microseconds() {
        let mut latency = Latency::new().unwrap();
        assert_eq!(latency.quantile(0.5), None);
        for us in 1..=1000 {
            latency.record(us * 1000);
        }
        assert_eq!(latency.quantile(0.5), Some(500));
        assert_eq!(latency.quantile(0.99), Some(990));
        latency.record(u64::MAX);
        assert!(latency.quantile(1.0).unwrap() >= Latency::MAX);
        latency.clear();
        assert_eq!(latency.quantile(0.5), None);
    }

    #[test]
    fn less_than_a_microsecond_counts_as_one() {
        let mut latency = Latency::new().unwrap();
        latency.record(0);
        assert_eq!(latency.quantile(1.0), Some(1));
    }
}
