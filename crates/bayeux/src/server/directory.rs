//! Which sessions there are, by client id, and how many connects each browser has held.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use crate::{proto::Millis, server::live::Live};

/// Sessions, in shards so that requests of different sessions do not wait for each other.
#[derive(Debug)]
pub(crate) struct Directory {
    shards: Box<[RwLock<Shard>]>,
    count: AtomicUsize,
}

type Shard = HashMap<Arc<str>, Arc<Live>>;

const SHARDS: usize = 16;

impl Default for Directory {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), count: AtomicUsize::new(0) }
    }
}

impl Directory {
    fn shard(&self, id: &str) -> Option<&RwLock<Shard>> {
        // Ids are random, so any of their bytes spreads them well.
        let sum = id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.shards.get(sum % SHARDS)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Live>> {
        self.shard(id)?.read().get(id).cloned()
    }

    pub(crate) fn insert(&self, id: Arc<str>, live: Arc<Live>) {
        let Some(shard) = self.shard(&id) else { return };
        shard.write().insert(id, live);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, id: &str) {
        let removed = self.shard(id).and_then(|shard| shard.write().remove(id));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }
}

/// How many connects each browser has held, told by its cookie.
#[derive(Debug, Default)]
pub(crate) struct Browsers(Mutex<HashMap<Arc<str>, u32>>);

impl Browsers {
    /// Counts one more if that is within the limit.
    pub(crate) fn try_hold(&self, browser: &Arc<str>, limit: u32) -> bool {
        let mut held = self.0.lock();
        let count = held.entry(browser.clone()).or_default();
        let free = *count < limit;
        *count += u32::from(free);
        free
    }

    /// Counts one less.
    pub(crate) fn release(&self, browser: &str) {
        let mut held = self.0.lock();
        if let Some(count) = held.get_mut(browser) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(browser);
            }
        }
    }
}

/// A bound on how often something happens: a bucket that holds one second's worth, and fills again.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u64,
    /// Thousandths, and when they were counted.
    state: Mutex<(u64, Millis)>,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, state: Mutex::new((per_second * 1000, 0)) }
    }

    /// Whether one more may happen now.
    pub(crate) fn take(&self, now: Millis) -> bool {
        let mut state = self.state.lock();
        let filled = state.0 + now.saturating_sub(state.1).min(1000) * self.per_second;
        *state = (filled.min(self.per_second * 1000), now);
        let free = state.0 >= 1000;
        if free {
            state.0 -= 1000;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_one_seconds_worth_at_once() {
        let rate = Rate::new(3);
        assert_eq!([0, 0, 0, 0].map(|now| rate.take(now)), [true, true, true, false]);
        assert!(!rate.take(300));
        assert_eq!([700; 3].map(|now| rate.take(now)), [true, true, false]);
        assert_eq!([60_000; 4].map(|now| rate.take(now)), [true, true, true, false]);
    }

    #[test]
    fn a_browser_holds_no_more_than_its_limit() {
        let browsers = Browsers::default();
        let browser: Arc<str> = "b".into();
        assert!(browsers.try_hold(&browser, 1));
        assert!(!browsers.try_hold(&browser, 1));
        browsers.release("b");
        assert!(browsers.try_hold(&browser, 1));
    }
}
