//! One upstream by itself, on any bus: what `ratatosk sub` and `pub` are made of.

use ratatosk_connector::{
    backoff::BackoffConfig,
    lifecycle::Lifecycle,
    upstream::{Bridge, BridgeHandle, BridgeSpec, ClientSide, QueueLimits},
};
use ratatosk_core::{Bus, Connector};

use crate::config::{Upstream, UpstreamOptions};

/// Joins a far server: its bridge runs until it is stopped, or the handle and its clones are dropped.
///
/// # Errors
/// Options that only show to be wrong when the client is made, such as a certificate file that has gone.
pub fn join(bus: &Bus, life: &Lifecycle, upstream: &Upstream) -> anyhow::Result<BridgeHandle> {
    let (name, url) = (&upstream.name, &upstream.url);
    Ok(match &upstream.options {
        UpstreamOptions::Mqtt(options) => {
            let client = ratatosk_mqtt::client::MqttClient::new(name, url, options)?;
            bridge(bus, life, spec(upstream, QueueLimits::from(&options.buffer)), client)
        }
        UpstreamOptions::Sse(options) => {
            let client = ratatosk_sse::client::SseClient::new(url, options)?;
            bridge(bus, life, spec(upstream, QueueLimits::from(&options.buffer)), client)
        }
        UpstreamOptions::Pusher(options) => {
            let client = ratatosk_pusher::client::PusherClient::new(url, options)?;
            bridge(bus, life, spec(upstream, QueueLimits::from(&options.buffer)), client)
        }
        UpstreamOptions::Bayeux(options) => {
            let client = ratatosk_bayeux::client::BayeuxClient::new(url, options)?;
            bridge(bus, life, spec(upstream, QueueLimits::from(&options.buffer)), client)
        }
    })
}

fn bridge<C: ClientSide>(bus: &Bus, life: &Lifecycle, spec: BridgeSpec, client: C) -> BridgeHandle {
    let (handle, task) = Bridge::new(bus, spec, client);
    life.spawn("upstream", task);
    handle
}

fn spec(upstream: &Upstream, queue: QueueLimits) -> BridgeSpec {
    BridgeSpec {
        inbound: upstream.inbound.clone(),
        outbound: upstream.outbound.clone(),
        queue,
        backoff: BackoffConfig { cap: upstream.max_backoff.get(), ..BackoffConfig::default() },
        guard: upstream.guard,
        ..BridgeSpec::new(upstream.name.clone(), Connector::register(upstream.options.kind()))
    }
}
