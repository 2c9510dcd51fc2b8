//! Every metric, once: its name, what it counts, and its labels. The exporter, the reference and the checks of
//! dashboards and alerts all read this table.

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One metric. Labels are bounded: never a channel, a client or a message.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name, with its prefix and unit.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $id: &str = concat!("ratatosk_", $name);)*

        /// All metrics, in the order of the reference.
        pub const CATALOGUE: &[Entry] = &[
            $(Entry { name: concat!("ratatosk_", $name), kind: Kind::$kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

catalogue! {
    CONNECTIONS = Gauge "connections" ["connector"] "Open connections.";
    CONNECTIONS_OPENED = Counter "connections_opened_total" ["connector"] "Connections accepted.";
    CONNECTIONS_CLOSED = Counter "connections_closed_total" ["connector", "reason"] "Connections that ended, by reason.";
    SESSIONS = Gauge "sessions" ["connector"] "Sessions, connected or waiting for their client to return.";
    SESSIONS_CREATED = Counter "sessions_created_total" ["connector"] "Sessions begun.";
    SESSIONS_DESTROYED = Counter "sessions_destroyed_total" ["connector", "reason"] "Sessions ended, by reason.";
    CHANNELS = Gauge "channels" [] "Channels and wildcard filters that have a subscriber.";
    SUBSCRIPTIONS = Gauge "subscriptions" [] "Subscriptions of all sessions.";
    MESSAGES_RECEIVED = Counter "messages_received_total" ["connector"] "Messages accepted for publication.";
    MESSAGES_DELIVERED = Counter "messages_delivered_total" ["connector"] "Messages written to subscribers.";
    RECEIVED_BYTES = Counter "received_bytes_total" ["connector"] "Payload bytes of messages accepted for publication.";
    DELIVERED_BYTES = Counter "delivered_bytes_total" ["connector"] "Bytes of messages written to subscribers.";
    MESSAGES_DROPPED = Counter "messages_dropped_total" ["connector", "reason"] "Messages that did not reach someone they were for, by reason.";
    MAPPING_LOSS = Counter "mapping_loss_total" ["from", "to", "field"] "Fields that a translation could not carry, once per message.";
    DELIVERY_SECONDS = Histogram "delivery_seconds" ["from", "to"] "Time from a message's arrival to its write to a subscriber's socket.";
    UPSTREAM_UP = Gauge "upstream_up" ["upstream"] "Whether the upstream is up: 1 or 0.";
    UPSTREAM_RECONNECTS = Counter "upstream_reconnects_total" ["upstream"] "Times the upstream came up again after it had been up.";
    UPSTREAM_DOWNS = Counter "upstream_downs_total" ["upstream"] "Times the upstream went down or an attempt to reach it failed for another reason than before.";
    UPSTREAM_RTT = Histogram "upstream_rtt_seconds" ["upstream"] "Round trips of the upstream's keep-alives.";
    UPSTREAM_LAST_MESSAGE = Gauge "upstream_last_message_timestamp_seconds" ["upstream"] "When the upstream's last message came, in Unix seconds.";
    UPSTREAM_SUBSCRIPTIONS = Gauge "upstream_subscriptions" ["upstream"] "Live subscriptions at the upstream.";
    UPSTREAM_REFUSED = Gauge "upstream_refused" ["upstream"] "Whether the upstream refused us for good, so that nothing is tried until it is resumed: 1 or 0.";
    UPSTREAM_QUEUE_MESSAGES = Gauge "upstream_queue_messages" ["upstream"] "Messages that wait for the upstream, or for its acknowledgement.";
    UPSTREAM_QUEUE_BYTES = Gauge "upstream_queue_bytes" ["upstream"] "Bytes of them.";
    UPSTREAM_QUEUE_OLDEST = Gauge "upstream_queue_oldest_seconds" ["upstream"] "How long the oldest of them has been here; 0 when the queue is empty.";
    UPSTREAM_ACK_STALLS = Counter "upstream_ack_stalls_total" ["upstream"] "Connections given up because the upstream stopped acknowledging.";
    RULE_MESSAGES = Counter "rule_messages_total" ["upstream", "rule", "result"] "Messages that a bridge rule with more than names took, by what became of them: carried, filtered, rate_limited or failed.";
    RULE_DEAD_LETTERS = Counter "rule_dead_letters_total" ["upstream", "rule"] "Messages that a bridge rule failed on and that went to its dead-letter channel.";
    WEBHOOK_EVENTS = Counter "webhook_events_total" ["webhook", "result"] "Monitor events for a webhook, by what became of them: delivered, dropped (its queue was full) or given_up (its receiver did not take them in time).";
    WEBHOOK_FAILURES = Counter "webhook_request_failures_total" ["webhook"] "Requests of a webhook that failed; each is made again for a while.";
    WEBHOOK_QUEUE = Gauge "webhook_queue_events" ["webhook"] "Events that wait for a webhook's receiver.";
    RESUMES = Counter "resume_total" ["result"] "Subscribers that resumed: complete, partial, epoch (the stream was lost) or invalid.";
    HISTORY_MESSAGES = Gauge "history_messages" [] "Messages in all histories.";
    HISTORY_BYTES = Gauge "history_bytes" [] "Bytes in all histories.";
    HISTORY_TRIMMED = Counter "history_trimmed_total" [] "Messages that histories let go of by their bounds.";
    RETAINED_MESSAGES = Gauge "retained_messages" [] "Last values kept.";
    LANE_MESSAGES = Gauge "lane_messages" [] "Published messages that wait for the fan-out.";
    OUTBOX_MESSAGES = Gauge "outbox_messages" ["connector"] "Messages that wait for subscribers whose connection does not keep up.";
    QUEUE_BYTES = Gauge "queue_bytes" [] "Bytes that wait for slow subscribers; a message counts for each that waits for it.";
    LIMITED = Counter "limited_total" ["connector", "limit"] "Connections, sessions and publications that a limit turned away.";
    MEMORY_CEILING = Gauge "memory_ceiling_bytes" [] "The memory that the process may take; 0 if it is not limited.";
    MEMORY_PRESSURE = Gauge "memory_pressure" [] "How near memory is to its ceiling: 0 far, 1 new sessions are refused and slow subscribers relieved, 2 publishers wait, too.";
    RELIEVED = Counter "relieved_sessions_total" [] "Times a slow subscriber met the policy of its outbox because memory or queue bytes were short.";
    AUTH = Counter "auth_total" ["connector", "result"] "Clients let in or turned away.";
    PROTOCOL_FAULTS = Counter "protocol_faults_total" ["connector", "fault"] "Clients that broke their protocol or asked for what is refused, by what they did.";
    CONFIG_RELOADS = Counter "config_reloads_total" ["result"] "Times configuration was read again: ok or failed.";
    EXPORTS = Counter "otlp_exports_total" ["signal", "result"] "Pushes of metrics, and spans of traces, sent to an OpenTelemetry collector, by result: ok, failed (tried again) or dropped.";
    CERTIFICATE_EXPIRY = Gauge "certificate_expiry_timestamp_seconds" ["certificate"] "When a certificate ends, in Unix seconds: of the TLS listeners, of the authorities of clients, and those shown to upstreams.";
    CERTIFICATE_RELOADS = Counter "certificate_reloads_total" ["result"] "Times changed certificates were read again: ok or failed.";
    BUILD_INFO = Gauge "build_info" ["version"] "Always 1; the label tells the version.";
}
