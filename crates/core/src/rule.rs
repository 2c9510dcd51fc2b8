//! What the bus keeps and how it treats slow subscribers, channel by channel.

use std::{sync::Arc, time::Duration};

use crate::{
    channel::{Channel, Filter},
    outbox::{OutboxLimits, SlowPolicy},
};

/// Bounds of a channel's history; zero messages or bytes keep nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRule {
    /// The most messages kept.
    pub messages: usize,
    /// The greatest age kept.
    pub age: Duration,
    /// The most bytes kept, by [`crate::Message::weight`].
    pub bytes: usize,
}

impl HistoryRule {
    /// Keeps nothing.
    pub const OFF: Self = Self { messages: 0, age: Duration::ZERO, bytes: 0 };

    /// Whether it keeps anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.messages > 0 && self.bytes > 0 && !self.age.is_zero()
    }
}

impl Default for HistoryRule {
    fn default() -> Self {
        Self { messages: 1000, age: Duration::from_secs(600), bytes: 1 << 20 }
    }
}

/// Which message a new subscriber is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastValue {
    /// None.
    Off,
    /// The last retained message.
    #[default]
    Retained,
    /// The last message, retained or not.
    Always,
}

/// How the bus treats the channels that a filter matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRule {
    /// Which channels.
    pub matches: Filter,
    /// What is kept for resuming.
    pub history: HistoryRule,
    /// What a new subscriber sees first.
    pub last_value: LastValue,
    /// Whether the channel has a roster.
    pub presence: bool,
    /// What happens to a subscriber whose outbox is full; `None` leaves it to the connector.
    pub slow: Option<SlowPolicy>,
    /// Bounds of an outbox that this rule decides; `None` leaves them to the connector.
    pub outbox: Option<OutboxLimits>,
    /// The least time between two messages of one channel: of those that come faster the latest wins. `None` is no bound.
    pub least_gap: Option<Duration>,
}

/// The ordered list: the first match decides.
#[derive(Debug, Clone)]
pub struct Rules {
    list: Vec<Arc<ChannelRule>>,
    fallback: Arc<ChannelRule>,
    any_presence: bool,
    any_rate: bool,
}

impl Rules {
    /// `list` in order; what none of them matches gets `fallback`.
    #[must_use]
    pub fn new(list: Vec<ChannelRule>, fallback: ChannelRule) -> Self {
        let any_presence = fallback.presence || list.iter().any(|rule| rule.presence);
        let any_rate = fallback.least_gap.is_some() || list.iter().any(|rule| rule.least_gap.is_some());
        Self { list: list.into_iter().map(Arc::new).collect(), fallback: Arc::new(fallback), any_presence, any_rate }
    }

    /// Whether any rule asks for rosters.
    #[must_use]
    pub fn any_presence(&self) -> bool {
        self.any_presence
    }

    /// Whether any rule bounds how fast a channel is.
    #[must_use]
    pub fn any_rate(&self) -> bool {
        self.any_rate
    }

    /// The rule of a channel.
    #[must_use]
    pub fn of(&self, channel: &Channel) -> Arc<ChannelRule> {
        self.list.iter().find(|rule| rule.matches.matches(channel)).unwrap_or(&self.fallback).clone()
    }

    /// The first rule that a subscriber to the filter can meet: it decides the subscriber's outbox.
    #[must_use]
    pub fn of_filter(&self, filter: &Filter) -> Arc<ChannelRule> {
        self.list.iter().find(|rule| rule.matches.overlaps(filter)).unwrap_or(&self.fallback).clone()
    }

    /// All rules in order, the fallback last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ChannelRule>> {
        self.list.iter().chain(std::iter::once(&self.fallback))
    }
}

impl Default for ChannelRule {
    /// Keeps the default history and retained messages for every channel.
    fn default() -> Self {
        Self {
            matches: everything(),
            history: HistoryRule::default(),
            last_value: LastValue::default(),
            presence: false,
            slow: None,
            outbox: None,
            least_gap: None,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Vec::new(), ChannelRule::default())
    }
}

#[expect(clippy::expect_used, reason = "the text is constant and valid")]
fn everything() -> Filter {
    Filter::new("#").expect("`#` is a filter")
}
