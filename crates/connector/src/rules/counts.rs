//! What became of the messages of a rule.

use std::sync::atomic::{AtomicU64, Ordering};

use super::treatment::Verdict;

/// What became of messages, counted.
#[derive(Debug, Default)]
pub struct Counts {
    carried: AtomicU64,
    filtered: AtomicU64,
    rate_limited: AtomicU64,
    failed: AtomicU64,
    dead_letters: AtomicU64,
}

impl Counts {
    /// All of them, by the name that metrics have for each.
    pub fn read(&self) -> [(&'static str, u64); 4] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("carried", read(&self.carried)),
            ("filtered", read(&self.filtered)),
            ("rate_limited", read(&self.rate_limited)),
            ("failed", read(&self.failed)),
        ]
    }

    /// Messages that went to the dead-letter channel.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// One more went there.
    pub fn count_dead_letter(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    /// One more failed, beside those of a verdict.
    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Crosses(_) => &self.carried,
            Verdict::Filtered => &self.filtered,
            Verdict::RateLimited => &self.rate_limited,
            Verdict::Failed(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
