//! Counters of the hot path. They are added to once per batch, never once per delivery, and read by the exporter.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::message::Connector;

/// Upper bounds of the latency buckets, in seconds.
pub const LATENCY_BOUNDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Why a message did not reach someone it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum DropReason {
    /// A subscriber's outbox was full.
    Slow,
    /// Its life had passed.
    Expired,
    /// It is larger than the subscriber or the upstream takes.
    TooLarge,
    /// The publisher may not.
    Denied,
    /// The protocol has no name for its channel.
    Unmappable,
    /// It would have passed this gateway twice, or gone back to where it came from.
    Loop,
    /// The queue of an upstream that is away was full.
    QueueFull,
    /// The publisher, or a bridge rule, exceeded its rate.
    RateLimited,
    /// A bridge rule's program failed on it.
    Failed,
    /// A newer one of its channel, which carries only so many, took its place.
    Conflated,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Slow,
        Self::Expired,
        Self::TooLarge,
        Self::Denied,
        Self::Unmappable,
        Self::Loop,
        Self::QueueFull,
        Self::RateLimited,
        Self::Failed,
        Self::Conflated,
    ];

    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::Denied => "denied",
            Self::Unmappable => "unmappable",
            Self::Loop => "loop",
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::Conflated => "conflated",
        }
    }
}

/// The counters of one connector.
#[derive(Debug, Default)]
pub struct ConnectorStats {
    received: AtomicU64,
    received_bytes: AtomicU64,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    outbox: AtomicI64,
}

/// A histogram of latencies between two connectors.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// What was counted for one connector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages accepted for publication.
    pub received: u64,
    /// Bytes of their payloads.
    pub received_bytes: u64,
    /// Messages written to subscribers.
    pub delivered: u64,
    /// Bytes of them on the wire.
    pub delivered_bytes: u64,
}

/// A cumulative reading of a latency histogram.
#[derive(Debug, Clone, Default)]
pub struct LatencyReading {
    /// Count per bucket of [`LATENCY_BOUNDS`], then of those above; not cumulative.
    pub buckets: Vec<u64>,
    /// Sum, in seconds.
    pub sum: f64,
}

/// All counters of the bus.
#[derive(Debug)]
pub struct Stats {
    connectors: [ConnectorStats; Connector::MAX],
    latencies: Vec<Latency>,
    losses: Mutex<BTreeMap<(&'static str, &'static str, &'static str), u64>>,
}

impl Default for Stats {
    fn default() -> Self {
        let latencies = (0..Connector::MAX * Connector::MAX).map(|_| Latency::default()).collect();
        Self { connectors: Default::default(), latencies, losses: Mutex::default() }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

impl Stats {
    fn of(&self, connector: Connector) -> Option<&ConnectorStats> {
        self.connectors.get(connector.index())
    }

    /// A message was accepted for publication.
    pub fn received(&self, connector: Connector, bytes: usize) {
        if let Some(stats) = self.of(connector) {
            add(&stats.received, 1);
            add(&stats.received_bytes, bytes as u64);
        }
    }

    /// Messages were written to subscribers.
    pub fn delivered(&self, connector: Connector, messages: u64, bytes: u64) {
        if let Some(stats) = self.of(connector) {
            add(&stats.delivered, messages);
            add(&stats.delivered_bytes, bytes);
        }
    }

    /// Messages did not reach someone they were for.
    pub fn dropped(&self, connector: Connector, reason: DropReason, messages: u64) {
        if let Some(counter) = self.of(connector).and_then(|stats| stats.dropped.get(reason as usize)) {
            add(counter, messages);
        }
    }

    /// Messages began (positive) or ceased (negative) to wait for slow subscribers.
    pub fn outbox_changed(&self, connector: Connector, change: i64) {
        if change != 0
            && let Some(stats) = self.of(connector)
        {
            stats.outbox.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// How many messages wait for slow subscribers.
    #[must_use]
    pub fn outbox(&self, connector: Connector) -> i64 {
        self.of(connector).map_or(0, |stats| stats.outbox.load(Ordering::Relaxed))
    }

    /// Deliveries took that long from arrival to socket write.
    pub fn latency(&self, from: Connector, to: Connector, took: Duration, deliveries: u64) {
        let Some(latency) = self.latencies.get(from.index() * Connector::MAX + to.index()) else {
            return;
        };
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        if let Some(counter) = latency.buckets.get(bucket) {
            add(counter, deliveries);
        }
        add(&latency.sum_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX).saturating_mul(deliveries));
    }

    /// A translation could not carry a field; once per message.
    pub fn mapping_loss(&self, from: Connector, to: Connector, field: &'static str) {
        *self.losses.lock().entry((from.name(), to.name(), field)).or_default() += 1;
    }

    /// What was counted for a connector.
    #[must_use]
    pub fn totals(&self, connector: Connector) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.of(connector).map_or_else(Totals::default, |stats| Totals {
            received: read(&stats.received),
            received_bytes: read(&stats.received_bytes),
            delivered: read(&stats.delivered),
            delivered_bytes: read(&stats.delivered_bytes),
        })
    }

    /// How many messages a connector dropped for a reason.
    #[must_use]
    pub fn drops(&self, connector: Connector, reason: DropReason) -> u64 {
        let counter = self.of(connector).and_then(|stats| stats.dropped.get(reason as usize));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// The latencies from one connector to another; `None` if there was no delivery between them.
    #[must_use]
    pub fn latency_reading(&self, from: Connector, to: Connector) -> Option<LatencyReading> {
        let latency = self.latencies.get(from.index() * Connector::MAX + to.index())?;
        let buckets: Vec<u64> = latency.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a sum of seconds for people")]
        let sum = latency.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        buckets.iter().any(|count| *count > 0).then_some(LatencyReading { buckets, sum })
    }

    /// All losses counted so far: from, to, field, count.
    #[must_use]
    pub fn losses(&self) -> Vec<(&'static str, &'static str, &'static str, u64)> {
        self.losses.lock().iter().map(|((from, to, field), count)| (*from, *to, *field, *count)).collect()
    }
}
