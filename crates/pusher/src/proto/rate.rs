//! A token bucket on given time.

/// So many per second on average, and at most a second's worth at once.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Thousandths of a token.
    tokens: u64,
    at: u64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, now: u64) -> Self {
        Self { tokens: u64::from(per_second) * 1000, at: now }
    }

    /// Takes one token if there is one; `per_second` 0 means no limit.
    pub fn take(&mut self, per_second: u32, now: u64) -> bool {
        if per_second == 0 {
            return true;
        }
        let rate = u64::from(per_second);
        let refill = now.saturating_sub(self.at).saturating_mul(rate);
        self.tokens = self.tokens.saturating_add(refill).min(rate * 1000);
        self.at = self.at.max(now);
        let enough = self.tokens >= 1000;
        if enough {
            self.tokens -= 1000;
        }
        enough
    }

    /// Milliseconds until the next token is there; 0 when one is.
    #[must_use]
    pub fn wait(&self, per_second: u32, now: u64) -> u64 {
        if per_second == 0 {
            return 0;
        }
        let rate = u64::from(per_second);
        let tokens = self.tokens.saturating_add(now.saturating_sub(self.at).saturating_mul(rate));
        1000u64.saturating_sub(tokens).div_ceil(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_as_many_as_allowed() {
        let mut bucket = Bucket::new(10, 0);
        assert_eq!((0..20).filter(|_| bucket.take(10, 0)).count(), 10);
        assert_eq!(bucket.wait(10, 0), 100);
        assert!(!bucket.take(10, 99));
        assert!(bucket.take(10, 100));
        assert_eq!((0..50).filter(|_| bucket.take(10, 60_000)).count(), 10);
        assert!((0..50).all(|_| bucket.take(0, 60_000)));
    }
}
