//! What the exporter asks for at each scrape, because nobody raises an event for it.

use std::{sync::Arc, time::Duration};

/// One look at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReading {
    /// Its name: the label.
    pub upstream: Arc<str>,
    /// Whether the far server has let us in.
    pub up: bool,
    /// Whether it refused us for good.
    pub refused: bool,
    /// Live subscriptions over there.
    pub subscriptions: usize,
    /// Messages that wait, or are not acknowledged yet.
    pub queue_messages: usize,
    /// Bytes of them.
    pub queue_bytes: usize,
    /// How long the oldest has been here; zero when there is none.
    pub queue_oldest: Duration,
    /// How often the far server stopped acknowledging.
    pub ack_stalls: u64,
    /// Its rules that do more than name messages.
    pub rules: Vec<RuleReading>,
}

/// One look at memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryReading {
    /// The ceiling, in bytes, if there is one.
    pub ceiling: Option<usize>,
    /// 0: far from it; 1: new sessions are refused; 2: publishers wait, too.
    pub pressure: u8,
}

/// One look at a bridge rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReading {
    /// Which: its direction and place, such as `in[0]`.
    pub rule: String,
    /// Messages by what became of them: `carried`, `filtered`, `rate_limited` and `failed`.
    pub messages: [(&'static str, u64); 4],
    /// Messages that went to the dead-letter channel.
    pub dead_letters: u64,
}

/// One look at a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookReading {
    /// Its name: the label.
    pub webhook: Arc<str>,
    /// Events that wait.
    pub waiting: usize,
    /// Events by what became of them: `delivered`, `dropped` and `given_up`.
    pub events: [(&'static str, u64); 3],
    /// Requests that failed.
    pub failed_requests: u64,
}

/// Where upstreams, webhooks and certificates are read from.
pub trait Source: Send + Sync + 'static {
    /// All upstreams there are now; series of others end.
    fn upstreams(&self) -> Vec<UpstreamReading>;

    /// All webhooks there are.
    fn webhooks(&self) -> Vec<WebhookReading>;

    /// All certificates in use: a name for each, and when it ends in Unix seconds.
    fn certificates(&self) -> Vec<(String, i64)>;

    /// How near memory is to its ceiling.
    fn memory(&self) -> MemoryReading {
        MemoryReading::default()
    }
}
