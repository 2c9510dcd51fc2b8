//! The `[limits]` section: how much one client, and all of them, may take.

use std::num::NonZeroU32;

use ratatosk_connector::config_types::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds that hold for the whole gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Connections over all listeners but the operators'; one more is told that the gateway is busy.
    #[schemars(range(min = 1))]
    pub connections: usize,
    /// Connections from one address (of IPv6: from one /64 network). `http.trusted_proxies` are not counted, those behind them are.
    #[schemars(example = 200)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address: Option<NonZeroU32>,
    /// New connections per second from one address; as many may come at once.
    #[schemars(example = 20)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_rate_per_address: Option<NonZeroU32>,
    /// Connections of one user, over all protocols.
    #[schemars(example = 10)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_user: Option<NonZeroU32>,
    /// Subscriptions of one session.
    #[schemars(range(min = 1))]
    pub subscriptions: usize,
    /// The largest payload of a message.
    pub payload: Size,
    /// Publications per second of one session; as many may come at once. `/publish` has no sessions: there it is the user's or
    /// the address's.
    #[schemars(example = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_rate: Option<NonZeroU32>,
    /// Publications per second of one user, over all sessions.
    #[schemars(example = 200)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_rate_per_user: Option<NonZeroU32>,
    /// Bytes that wait for all slow subscribers together; past it, those with the longest queues meet the policy of their outbox.
    #[schemars(example = &"64 MiB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<Size>,
    /// The memory that the process may take. Near it new sessions are refused, and slow subscribers meet their policy.
    #[schemars(example = &"512 MiB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: None,
            connection_rate_per_address: None,
            connections_per_user: None,
            subscriptions: 1000,
            payload: Size::from_mib(1),
            publish_rate: None,
            publish_rate_per_user: None,
            queue_bytes: None,
            memory: None,
        }
    }
}

impl LimitsSection {
    /// [`LimitsSection::payload`] as a length.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.payload.as_usize()
    }
}
