//! What an application allows: the resolved configuration the state machines read.

use super::name::Kind;

/// Sizes and rates of an application; the defaults are Pusher's published ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a channel name.
    pub channel_name_bytes: usize,
    /// Characters of an event name.
    pub event_name_chars: usize,
    /// Bytes of an event's data.
    pub event_bytes: usize,
    /// Channels one published event may name.
    pub event_channels: usize,
    /// Events in one batch.
    pub batch_events: usize,
    /// Users in a presence channel.
    pub presence_members: usize,
    /// Bytes of a member's `user_info`.
    pub presence_info_bytes: usize,
    /// Characters of a user id.
    pub user_id_chars: usize,
    /// Users in a watchlist.
    pub watchlist_users: usize,
    /// Client events per second and connection; 0 for no limit.
    pub client_events_per_second: u32,
    /// Channels one connection may be subscribed to.
    pub connection_channels: usize,
    /// Connections at a time; 0 for no limit.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channel_name_bytes: 164,
            event_name_chars: 200,
            event_bytes: 10 * 1024,
            event_channels: 100,
            batch_events: 10,
            presence_members: 100,
            presence_info_bytes: 1024,
            user_id_chars: 128,
            watchlist_users: 100,
            client_events_per_second: 10,
            connection_channels: 1000,
            connections: 0,
        }
    }
}

/// What one application is and allows.
#[derive(Clone)]
pub struct Policy {
    /// Its id, in the paths of the HTTP API.
    pub id: String,
    /// Its key, in the path of the WebSocket and in every signature.
    pub key: String,
    /// What signatures are made with.
    pub secret: String,
    /// Whether connections and requests are taken at all.
    pub enabled: bool,
    /// Whether clients may send events to each other.
    pub client_events: bool,
    /// Whether subscribers are told how many they are.
    pub subscription_count: bool,
    /// Whether a connection has to sign in or join a private channel within [`Self::authorize_within_ms`].
    pub authorized_connections: bool,
    /// The time for that.
    pub authorize_within_ms: u64,
    /// Silence after which the client, and then the server, sends a ping, in seconds.
    pub activity_timeout_s: u64,
    /// How long the server waits for the answer, in seconds.
    pub pong_timeout_s: u64,
    /// Sizes and rates.
    pub limits: Limits,
}

impl Policy {
    /// An application with every default.
    #[must_use]
    pub fn new(id: &str, key: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            key: key.to_owned(),
            secret: secret.to_owned(),
            enabled: true,
            client_events: true,
            subscription_count: false,
            authorized_connections: false,
            authorize_within_ms: 30_000,
            activity_timeout_s: 120,
            pong_timeout_s: 30,
            limits: Limits::default(),
        }
    }

    /// Checks a channel name against the application's limit.
    ///
    /// # Errors
    /// See [`Kind::of`].
    pub fn kind(&self, name: &str) -> Result<Kind, super::name::NameFault> {
        Kind::of(name, self.limits.channel_name_bytes)
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("id", &self.id).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}
