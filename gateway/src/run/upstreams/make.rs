//! From a checked configuration to a bridge and its task.

use std::{future::Future, pin::Pin, sync::Arc};

use ratatosk_bayeux::client::BayeuxClient;
use ratatosk_connector::{
    backoff::BackoffConfig,
    config_types::UpstreamMode,
    upstream::{Bridge, BridgeHandle, BridgeSpec, ClientSide, Mode, QueueLimits},
};
use ratatosk_core::{Bus, Connector};
use ratatosk_mqtt::client::MqttClient;
use ratatosk_pusher::client::PusherClient;
use ratatosk_sse::client::SseClient;
use serde_json::{Value, json};

use crate::config::{Upstream, UpstreamOptions};

/// What a protocol's client side knows of its server, as JSON; `null` where it keeps nothing.
pub(super) type Facts = Arc<dyn Fn() -> Value + Send + Sync>;

/// A bridge that waits to be run.
pub(in crate::run) struct Made {
    pub(in crate::run) handle: BridgeHandle,
    pub(super) facts: Facts,
    pub(in crate::run) task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Makes a bridge. Its queue collects from now on.
///
/// # Errors
/// Options that only show to be wrong now, such as a certificate file that has gone.
pub(in crate::run) fn make(upstream: &Upstream, bus: &Bus) -> anyhow::Result<Made> {
    let nothing: Facts = Arc::new(|| Value::Null);
    Ok(match &upstream.options {
        UpstreamOptions::Mqtt(options) => {
            let client = MqttClient::new(&upstream.name, &upstream.url, options)?;
            bridge(bus, spec(upstream, "mqtt", QueueLimits::from(&options.buffer)), client, nothing)
        }
        UpstreamOptions::Sse(options) => {
            let client = SseClient::new(&upstream.url, options)?;
            let facts = client.facts();
            let facts: Facts = Arc::new(move || sse_facts(&facts.get()));
            bridge(bus, spec(upstream, "sse", QueueLimits::from(&options.buffer)), client, facts)
        }
        UpstreamOptions::Pusher(options) => {
            let client = PusherClient::new(&upstream.url, options)?;
            let facts = client.facts();
            let facts: Facts = Arc::new(move || facts.get().to_json());
            bridge(bus, spec(upstream, "pusher", QueueLimits::from(&options.buffer)), client, facts)
        }
        UpstreamOptions::Bayeux(options) => {
            let client = BayeuxClient::new(&upstream.url, options)?;
            bridge(bus, spec(upstream, "bayeux", QueueLimits::from(&options.buffer)), client, nothing)
        }
    })
}

fn bridge<C: ClientSide>(bus: &Bus, spec: BridgeSpec, client: C, facts: Facts) -> Made {
    let (handle, task) = Bridge::new(bus, spec, client);
    Made { handle, facts, task: Box::pin(task) }
}

fn spec(upstream: &Upstream, connector: &'static str, queue: QueueLimits) -> BridgeSpec {
    let mode = match upstream.mode {
        UpstreamMode::Always => Mode::Always,
        UpstreamMode::OnDemand => Mode::OnDemand { linger: upstream.linger.get() },
    };
    BridgeSpec {
        inbound: upstream.inbound.clone(),
        outbound: upstream.outbound.clone(),
        mode,
        queue,
        backoff: BackoffConfig { cap: upstream.max_backoff.get(), ..BackoffConfig::default() },
        guard: upstream.guard,
        ..BridgeSpec::new(upstream.name.clone(), Connector::register(connector))
    }
}

fn sse_facts(facts: &ratatosk_sse::client::Facts) -> Value {
    json!({
        "http_version": facts.http_version,
        "server": facts.server,
        "host": facts.host,
        "last_event_id": facts.last_event_id,
        "retry_ms": facts.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
        "events": facts.events,
        "published": facts.published,
        "publish_error": facts.publish_error,
    })
}
