//! Far servers: a bridge for each, supervised.

use std::sync::Arc;

use ratatosk_connector::{
    backoff::BackoffConfig,
    config_types::{BufferConfig, BufferPolicy, UpstreamMode},
    lifecycle::Lifecycle,
    upstream::{Bridge, BridgeHandle, BridgeSpec, ClientSide, Mode, QueueLimits, WhenFull},
};
use ratatosk_core::{Bus, Connector};
use serde_json::{Value, json};

use crate::config::{Resolved, Upstream, UpstreamOptions};

/// Handles to all upstreams.
#[derive(Debug, Clone)]
pub(super) struct Upstreams(Arc<Vec<BridgeHandle>>);

/// Starts a bridge for each configured upstream.
///
/// # Errors
/// Options that only show to be wrong when the client is made, such as a certificate file that has gone.
pub(super) fn start(resolved: &Resolved, bus: &Bus, life: &Lifecycle) -> anyhow::Result<Upstreams> {
    let mut handles = Vec::new();
    for upstream in &resolved.upstreams {
        let handle = match &upstream.options {
            UpstreamOptions::Mqtt(options) => {
                let client = ratatosk_mqtt::client::MqttClient::new(&upstream.name, &upstream.url, options)?;
                let spec = BridgeSpec { queue: queue(&options.buffer), ..spec(upstream, "mqtt") };
                spawn(bus, life, spec, client)
            }
            UpstreamOptions::Sse(options) => {
                let client = ratatosk_sse::client::SseClient::new(&upstream.url, options)?;
                let spec = BridgeSpec { queue: queue(&options.buffer), ..spec(upstream, "sse") };
                spawn(bus, life, spec, client)
            }
            UpstreamOptions::Pusher(options) => {
                let client = ratatosk_pusher::client::PusherClient::new(&upstream.url, options)?;
                let spec = BridgeSpec { queue: queue(&options.buffer), ..spec(upstream, "pusher") };
                spawn(bus, life, spec, client)
            }
            UpstreamOptions::Bayeux(options) => {
                let client = ratatosk_bayeux::client::BayeuxClient::new(&upstream.url, options)?;
                let spec = BridgeSpec { queue: queue(&options.buffer), ..spec(upstream, "bayeux") };
                spawn(bus, life, spec, client)
            }
        };
        handles.push(handle);
    }
    Ok(Upstreams(Arc::new(handles)))
}

fn spawn<C: ClientSide>(bus: &Bus, life: &Lifecycle, spec: BridgeSpec, client: C) -> BridgeHandle {
    let (handle, task) = Bridge::new(bus, spec, client);
    life.spawn("upstream", task);
    handle
}

fn spec(upstream: &Upstream, connector: &'static str) -> BridgeSpec {
    let mode = match upstream.mode {
        UpstreamMode::Always => Mode::Always,
        UpstreamMode::OnDemand => Mode::OnDemand { linger: upstream.linger.get() },
    };
    BridgeSpec {
        inbound: upstream.inbound.clone(),
        outbound: upstream.outbound.clone(),
        mode,
        backoff: BackoffConfig { cap: upstream.max_backoff.get(), ..BackoffConfig::default() },
        guard: upstream.guard,
        ..BridgeSpec::new(upstream.name.clone(), Connector::register(connector))
    }
}

fn queue(buffer: &BufferConfig) -> QueueLimits {
    let when_full = match buffer.policy {
        BufferPolicy::DropOldest => WhenFull::DropOldest,
        BufferPolicy::DropNewest => WhenFull::DropNewest,
    };
    QueueLimits { messages: buffer.messages, bytes: buffer.bytes.as_usize(), when_full, ..QueueLimits::default() }
}

impl Upstreams {
    /// Ends all of them in good order.
    pub(super) fn stop(&self) {
        self.0.iter().for_each(BridgeHandle::stop);
    }

    /// What operators see.
    pub(super) fn describe(&self) -> Value {
        let one = |handle: &BridgeHandle| {
            let status = handle.status();
            json!({
                "name": handle.name(),
                "state": status.state.label(),
                "reason": status.reason,
                "connections": status.connections,
                "round_trip_ms": status.round_trip.map(|time| time.as_secs_f64() * 1000.0),
                "subscriptions": status.subscriptions,
                "queue": { "messages": status.queue.messages, "bytes": status.queue.bytes },
            })
        };
        self.0.iter().map(one).collect()
    }
}
