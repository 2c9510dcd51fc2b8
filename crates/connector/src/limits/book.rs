//! Who is known: what is counted for each address and each user.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::rate::Meter;

/// The most that are known; whoever comes when so many are busy is not counted.
const MOST: usize = 1 << 18;
/// Below this many nobody is forgotten.
const FEW: usize = 1024;

/// What is counted for one address or user.
#[derive(Debug, Default)]
pub(super) struct Standing {
    open: AtomicUsize,
    pub(super) arrivals: Meter,
    /// Sessions that need no connection of their own.
    pub(super) sessions: Meter,
    pub(super) publishes: Meter,
}

impl Standing {
    fn is_forgettable(&self) -> bool {
        self.arrivals.is_full() && self.sessions.is_full() && self.publishes.is_full()
    }
}

/// One of the connections of somebody, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Standing>);

impl Counted {
    /// One more, if there may be one more.
    pub(super) fn new(standing: Arc<Standing>, most: Option<usize>) -> Option<Self> {
        let most = most.unwrap_or(usize::MAX);
        let room = |open| (open < most).then(|| open + 1);
        standing.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self(standing))
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The standings by their keys.
#[derive(Debug)]
pub(super) struct Book<K>(Mutex<Entries<K>>);

#[derive(Debug)]
struct Entries<K> {
    known: HashMap<K, Arc<Standing>>,
    /// At so many, those of whom nothing is to be remembered are forgotten.
    sweep: usize,
}

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self(Mutex::new(Entries { known: HashMap::new(), sweep: FEW }))
    }
}

impl<K: Eq + Hash + Clone> Book<K> {
    /// The standing of a key; none when there are too many.
    pub(super) fn get(&self, key: &K) -> Option<Arc<Standing>> {
        let mut entries = self.0.lock();
        if let Some(known) = entries.known.get(key) {
            return Some(known.clone());
        }
        if entries.known.len() >= entries.sweep {
            entries.known.retain(|_, standing| Arc::strong_count(standing) > 1 || !standing.is_forgettable());
            entries.sweep = (entries.known.len() * 2).max(FEW);
            if entries.known.len() >= MOST {
                return None;
            }
        }
        let standing = Arc::<Standing>::default();
        entries.known.insert(key.clone(), standing.clone());
        Some(standing)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().known.len()
    }
}
