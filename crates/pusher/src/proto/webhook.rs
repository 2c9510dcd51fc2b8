//! Webhooks (Pusher, "Webhooks"): what is told to the application, and how it is signed.

use serde::Serialize;

use super::{debounce::Subject, sign};

/// The kinds of events, by the name the configuration and the payload use.
pub const KINDS: [&str; 7] = [
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
];

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Event {
    /// A channel got its first subscriber.
    ChannelOccupied {
        /// The channel.
        channel: String,
    },
    /// The last one left, three seconds ago.
    ChannelVacated {
        /// The channel.
        channel: String,
    },
    /// A user joined a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// Who.
        user_id: String,
    },
    /// A user left it, three seconds ago.
    MemberRemoved {
        /// The channel.
        channel: String,
        /// Who.
        user_id: String,
    },
    /// A client sent an event.
    ClientEvent {
        /// The channel.
        channel: String,
        /// Its name.
        event: String,
        /// Its data; not a string only if the client sent no string.
        data: serde_json::Value,
        /// The sending connection.
        socket_id: String,
        /// On presence channels: the sender.
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    /// Someone subscribed to a cache channel without a cached event.
    CacheMiss {
        /// The channel.
        channel: String,
    },
    /// The number of subscribers changed.
    SubscriptionCount {
        /// The channel.
        channel: String,
        /// The number.
        subscription_count: usize,
    },
}

impl Event {
    /// Its kind, as the configuration names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ChannelOccupied { .. } => "channel_occupied",
            Self::ChannelVacated { .. } => "channel_vacated",
            Self::MemberAdded { .. } => "member_added",
            Self::MemberRemoved { .. } => "member_removed",
            Self::ClientEvent { .. } => "client_event",
            Self::CacheMiss { .. } => "cache_miss",
            Self::SubscriptionCount { .. } => "subscription_count",
        }
    }

    /// The channel it is about.
    #[must_use]
    pub fn channel(&self) -> &str {
        match self {
            Self::ChannelOccupied { channel }
            | Self::ChannelVacated { channel }
            | Self::MemberAdded { channel, .. }
            | Self::MemberRemoved { channel, .. }
            | Self::ClientEvent { channel, .. }
            | Self::CacheMiss { channel }
            | Self::SubscriptionCount { channel, .. } => channel,
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const BOOKKEEPING: usize = 128;
        let said = match self {
            Self::ClientEvent { event, data, .. } => {
                event.len() + data.as_str().map_or_else(|| data.to_string().len(), str::len)
            }
            Self::MemberAdded { user_id, .. } | Self::MemberRemoved { user_id, .. } => user_id.len(),
            _ => 0,
        };
        BOOKKEEPING + self.channel().len() + said
    }

    /// Tells that a channel was occupied or a member added.
    #[must_use]
    pub fn came(subject: Subject) -> Self {
        let Subject { channel, user_id } = subject;
        match user_id {
            Some(user_id) => Self::MemberAdded { channel, user_id },
            None => Self::ChannelOccupied { channel },
        }
    }

    /// Tells that a channel was vacated or a member removed.
    #[must_use]
    pub fn left(subject: Subject) -> Self {
        let Subject { channel, user_id } = subject;
        match user_id {
            Some(user_id) => Self::MemberRemoved { channel, user_id },
            None => Self::ChannelVacated { channel },
        }
    }
}

/// The body of one request, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// JSON: `{"time_ms":..,"events":[..]}`.
    pub body: String,
    /// For `X-Pusher-Signature`.
    pub signature: String,
}

impl Payload {
    /// A request for these events, made at `time_ms` (Unix).
    #[must_use]
    pub fn new(events: &[Event], time_ms: u64, secret: &str) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            time_ms: u64,
            events: &'a [Event],
        }
        // Strings, numbers and JSON values: this cannot fail.
        let body = serde_json::to_string(&Body { time_ms, events }).unwrap_or_default();
        let signature = sign::sign(secret, body.as_bytes());
        Self { body, signature }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_payload_is_pushers() {
        let events = [
            Event::ChannelOccupied { channel: "a".into() },
            Event::MemberAdded { channel: "presence-a".into(), user_id: "7".into() },
            Event::ClientEvent {
                channel: "private-a".into(),
                event: "client-x".into(),
                data: json!({"b": 1}),
                socket_id: "1.2".into(),
                user_id: None,
            },
            Event::SubscriptionCount { channel: "a".into(), subscription_count: 2 },
        ];
        let payload = Payload::new(&events, 1_700_000_000_000, "secret");
        let body: serde_json::Value = serde_json::from_str(&payload.body).unwrap();
        let expected = json!({"time_ms": 1_700_000_000_000u64, "events": [
            {"name": "channel_occupied", "channel": "a"},
            {"name": "member_added", "channel": "presence-a", "user_id": "7"},
            {"name": "client_event", "channel": "private-a", "event": "client-x", "data": {"b": 1}, "socket_id": "1.2"},
            {"name": "subscription_count", "channel": "a", "subscription_count": 2},
        ]});
        assert_eq!(body, expected);
        assert!(sign::verify("secret", payload.body.as_bytes(), &payload.signature));
        for event in events {
            let value = serde_json::to_value(&event).unwrap();
            assert_eq!(value.get("name").unwrap(), event.kind());
            assert!(KINDS.contains(&event.kind()));
        }
    }
}
