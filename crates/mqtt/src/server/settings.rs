use std::time::Duration;

use crate::{
    config::{MqttConfig, Overlapping, QueueFull},
    proto::{
        codec::MAX_PACKET,
        session::{Bounds, Offer, WhenFull},
    },
};

/// The resolved form of [`MqttConfig`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// What clients are told and held to.
    pub offer: Offer,
    /// How much may wait for one client.
    pub bounds: Bounds,
    /// Connections at once, over TCP and TLS together.
    pub max_connections: usize,
    /// How long a client may take to be let in.
    pub connect_timeout: Duration,
    /// The most sessions whose client is away.
    pub max_sessions: usize,
    /// The most subscriptions of one session.
    pub max_subscriptions: usize,
    /// Whether overlapping subscriptions get a message each.
    pub each: bool,
    /// How often `$SYS/broker/...` is published; zero is never.
    pub sys_interval: Duration,
}

impl From<&MqttConfig> for Settings {
    fn from(config: &MqttConfig) -> Self {
        let when_full = match config.queue_full {
            QueueFull::DropOldest => WhenFull::DropOldest,
            QueueFull::DropNewest => WhenFull::DropNewest,
            QueueFull::Disconnect => WhenFull::Disconnect,
        };
        let max_packet = u32::try_from(config.max_packet_size.bytes()).unwrap_or(MAX_PACKET).clamp(64, MAX_PACKET);
        let offer = Offer {
            max_packet,
            receive_maximum: config.receive_maximum,
            topic_alias_maximum: config.topic_alias_maximum,
            max_inflight: config.max_inflight,
            session_expiry_max: whole_seconds(config.session_expiry_max.get()),
            keep_alive_max: u16::try_from(whole_seconds(config.max_keep_alive.get())).unwrap_or(u16::MAX),
        };
        Self {
            offer,
            bounds: Bounds {
                messages: config.max_queued_messages.max(1),
                bytes: config.max_queued_bytes.as_usize(),
                when_full,
            },
            max_connections: config.max_connections.max(1),
            connect_timeout: config.connect_timeout.get(),
            max_sessions: config.max_sessions,
            max_subscriptions: config.max_subscriptions,
            each: config.overlapping == Overlapping::Each,
            sys_interval: config.sys_interval.get(),
        }
    }
}

/// A part of a second counts as a whole one: a limit above zero must not become none.
fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_resolve() {
        let settings = Settings::from(&MqttConfig::default());
        assert_eq!(settings.offer.max_packet, 1 << 20);
        assert_eq!(settings.offer.session_expiry_max, 604_800);
        assert_eq!(settings.offer.keep_alive_max, 0);
        assert!(!settings.each);
    }

    #[test]
    fn a_limit_below_a_second_is_still_a_limit() {
        let config = MqttConfig {
            max_keep_alive: ratatosk_connector::config_types::Duration::from_millis(10),
            ..MqttConfig::default()
        };
        assert_eq!(Settings::from(&config).offer.keep_alive_max, 1);
    }
}
