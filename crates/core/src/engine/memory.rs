//! The engine in memory: quick, bounded, gone with the process.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};

use super::{
    Engine, EngineFuture, EngineUsage, MemorySessions, Replay, SessionStore, Stamp, Stored,
    shelf::{Delta, Shelf},
};
use crate::{
    channel::{Channel, Filter},
    hash::SharedMap,
    rule::ChannelRule,
};

/// Bounds of all channels together, beside the bounds of each by its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of history; past it the oldest messages of all go first.
    pub history_bytes: u64,
    /// Channels that hold something; past it those silent for longest go first, last values last.
    pub channels: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { history_bytes: 256 << 20, channels: 200_000 }
    }
}

type Shelved = Arc<Mutex<Shelf>>;

/// The default engine.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    limits: MemoryLimits,
    /// Found by name on the hot path, without a lock that other channels need.
    shelves: SharedMap<Channel, Shelved>,
    /// The same shelves in order of name, for filters.
    ordered: RwLock<BTreeMap<Channel, Shelved>>,
    sessions: MemorySessions,
    messages: AtomicI64,
    bytes: AtomicI64,
    trimmed: AtomicU64,
    retained: AtomicI64,
    /// The newest position on a shelf that was given up whole.
    given_up: AtomicU64,
    clearing: Mutex<()>,
}

impl MemoryEngine {
    /// An empty one.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn shelf(&self, channel: &Channel) -> Shelved {
        if let Some(shelf) = self.shelves.pin().get(channel) {
            return shelf.clone();
        }
        let mut ordered = self.ordered.write();
        let shelf = ordered.entry(channel.clone()).or_default().clone();
        self.shelves.pin().insert(channel.clone(), shelf.clone());
        shelf
    }

    /// Shelves whose channel the filter matches; for a prefix, without looking at the others.
    fn matching(&self, filter: &Filter) -> Vec<(Channel, Shelved)> {
        if let Some(channel) = filter.as_channel() {
            let found = self.shelves.pin().get(&channel).cloned();
            return found.map(|shelf| (channel, shelf)).into_iter().collect();
        }
        let prefix = filter.fixed_prefix();
        // `a/#` also matches `a`, which sorts before `a/`.
        let start = prefix.strip_suffix('/').unwrap_or(prefix);
        let ordered = self.ordered.read();
        ordered
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(channel, _)| channel.as_str().starts_with(start))
            .filter(|(channel, _)| filter.matches(channel))
            .map(|(channel, shelf)| (channel.clone(), shelf.clone()))
            .collect()
    }

    fn account(&self, delta: Delta) {
        self.messages.fetch_add(delta.messages, Ordering::Relaxed);
        self.bytes.fetch_add(delta.bytes, Ordering::Relaxed);
        self.trimmed.fetch_add(delta.trimmed, Ordering::Relaxed);
        self.retained.fetch_add(delta.retained, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.usage().history_bytes > self.limits.history_bytes || self.shelves.len() > self.limits.channels
    }

    /// Makes room when all channels together are over a bound: a tenth more than needed, so that it is rare.
    fn make_room(&self) {
        let Some(_only_one) = self.clearing.try_lock() else {
            return;
        };
        if !self.is_over() {
            return;
        }
        self.give_up_shelves();
        let target = i64::try_from(self.limits.history_bytes / 10 * 9).unwrap_or(i64::MAX);
        while self.bytes.load(Ordering::Relaxed) > target {
            let cut = self.median_oldest();
            let mut delta = Delta::default();
            for shelf in self.ordered.read().values() {
                let mut shelf = shelf.lock();
                while shelf.oldest().is_some_and(|seq| seq <= cut) {
                    shelf.evict(&mut delta);
                }
            }
            self.account(delta);
            if delta.trimmed == 0 {
                break;
            }
        }
    }

    /// A position that about half of all shelves' oldest messages are not newer than.
    fn median_oldest(&self) -> u64 {
        let mut oldest: Vec<u64> = self.ordered.read().values().filter_map(|shelf| shelf.lock().oldest()).collect();
        oldest.sort_unstable();
        oldest.get(oldest.len() / 2).copied().unwrap_or(0)
    }

    fn give_up_shelves(&self) {
        let excess = self.shelves.len().saturating_sub(self.limits.channels);
        if excess == 0 {
            return;
        }
        let mut ordered = self.ordered.write();
        let mut silent: Vec<(bool, u64, Channel)> = ordered
            .iter()
            .map(|(channel, shelf)| {
                let shelf = shelf.lock();
                (shelf.has_last(), shelf.newest(), channel.clone())
            })
            .collect();
        silent.sort_unstable();
        for (_, newest, channel) in silent.into_iter().take(excess + self.limits.channels / 10) {
            let Some(shelf) = ordered.remove(&channel) else {
                continue;
            };
            self.shelves.pin().remove(&channel);
            self.given_up.fetch_max(newest, Ordering::Relaxed);
            let gone = shelf.lock().contents();
            let trimmed = u64::try_from(gone.messages).unwrap_or(0);
            self.account(Delta { messages: -gone.messages, bytes: -gone.bytes, trimmed, retained: -gone.retained });
        }
    }

    fn replay_now(&self, filters: &[Filter], after: u64, up_to: u64) -> Replay {
        let now = Instant::now();
        let mut shelves: BTreeMap<Channel, Shelved> = BTreeMap::new();
        shelves.extend(filters.iter().flat_map(|filter| self.matching(filter)));
        let mut replay = Replay { missing_exact: true, ..Replay::default() };
        for shelf in shelves.values() {
            let part = shelf.lock().part(after, up_to, now);
            replay.messages.extend(part.messages);
            replay.missing += part.missing;
            replay.missing_exact &= part.exact;
            replay.oldest = replay.oldest.into_iter().chain(part.oldest).min();
        }
        replay.missing_exact &= self.given_up.load(Ordering::Relaxed) <= after;
        replay.recovered = replay.missing == 0 && replay.missing_exact;
        replay.messages.sort_unstable_by_key(|message| message.seq);
        replay
    }
}

impl Engine for MemoryEngine {
    fn append(&self, channel: &Channel, rule: &ChannelRule, stamp: Stamp<'_>) -> Option<Stored> {
        let delta = loop {
            let shelf = self.shelf(channel);
            let mut kept = shelf.lock();
            // The shelf may have been given up between the look-up and the lock.
            if self.shelves.pin().get(channel).is_none_or(|current| !Arc::ptr_eq(current, &shelf)) {
                continue;
            }
            break kept.keep(&stamp()?, rule);
        };
        self.account(delta);
        if self.is_over() {
            self.make_room();
        }
        Some(Stored::Done)
    }

    fn replay<'a>(&'a self, filters: &'a [Filter], after: u64, up_to: u64) -> EngineFuture<'a, Replay> {
        Box::pin(std::future::ready(Ok(self.replay_now(filters, after, up_to))))
    }

    fn last_values<'a>(&'a self, filter: &'a Filter) -> EngineFuture<'a, Vec<Arc<crate::Message>>> {
        let now = Instant::now();
        let mut found: Vec<_> = self.matching(filter).iter().filter_map(|(_, shelf)| shelf.lock().last(now)).collect();
        found.sort_unstable_by_key(|message| message.seq);
        Box::pin(std::future::ready(Ok(found)))
    }

    /// A single node needs no routing between nodes.
    fn interest_changed(&self, _filter: &Filter, _wanted: bool) {}

    fn sessions(&self) -> &dyn SessionStore {
        &self.sessions
    }

    fn usage(&self) -> EngineUsage {
        let read = |counter: &AtomicI64| u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(0);
        EngineUsage {
            history_messages: read(&self.messages),
            history_bytes: read(&self.bytes),
            history_trimmed: self.trimmed.load(Ordering::Relaxed),
            retained_messages: read(&self.retained),
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let shelves: Vec<Shelved> = self.ordered.read().values().cloned().collect();
        for shelf in shelves {
            let mut delta = Delta::default();
            let mut shelf = shelf.lock();
            shelf.trim(now, &mut delta);
            shelf.expire(now, &mut delta);
            drop(shelf);
            self.account(delta);
        }
    }
}
