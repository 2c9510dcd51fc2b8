//! The whole at a glance: totals since the start, from which a reader makes rates.

use axum::{Json, extract::State};
use ratatosk_core::{
    Bus, Connector,
    stats::{DropReason, LATENCY_BOUNDS, LatencyReading},
};
use serde_json::{Map, Value, json};

use super::Gateway;
use crate::{process, render};

pub(super) async fn overview(State(admin): Gateway) -> Json<Value> {
    let (config, bus) = (&admin.config, &admin.config.bus);
    let (channels, subscriptions) = bus.interest_counts();
    let usage = bus.engine().usage();
    let listeners: Map<String, Value> =
        config.listeners.iter().map(|(name, address)| ((*name).to_owned(), json!(address.to_string()))).collect();
    let upstreams: Vec<Value> = config.upstreams.list().iter().map(brief).collect();
    Json(json!({
        "version": config.version,
        "gateway_id": bus.gateway_id(),
        "position": bus.position(bus.head()).to_string(),
        "time": render::unix_ms(std::time::SystemTime::now()),
        "uptime_seconds": admin.started.elapsed().as_secs_f64(),
        "draining": config.life.is_draining(),
        "listeners": listeners,
        "process": process::usage(),
        "channels": channels,
        "subscriptions": subscriptions,
        "lane_messages": bus.waiting(),
        "history": { "messages": usage.history_messages, "bytes": usage.history_bytes, "trimmed": usage.history_trimmed },
        "retained": usage.retained_messages,
        "connectors": all(bus),
        "latencies": latencies(bus),
        "upstreams": upstreams,
    }))
}

pub(super) async fn connectors(State(admin): Gateway) -> Json<Value> {
    Json(json!({ "connectors": all(&admin.config.bus) }))
}

fn brief(upstream: &Value) -> Value {
    let part = |key: &str| upstream.get(key).cloned().unwrap_or(Value::Null);
    json!({ "name": part("name"), "kind": part("kind"), "state": part("state"), "reason": part("reason"), "queue": part("queue") })
}

fn all(bus: &Bus) -> Vec<Value> {
    Connector::all().map(|connector| one(bus, connector)).collect()
}

fn one(bus: &Bus, connector: Connector) -> Value {
    let (stats, totals) = (bus.stats(), bus.stats().totals(connector));
    let dropped: Map<String, Value> = DropReason::ALL
        .into_iter()
        .map(|reason| (reason.label().to_owned(), json!(stats.drops(connector, reason))))
        .collect();
    json!({
        "name": connector.name(),
        "sessions": bus.sessions_of(connector),
        "received": totals.received,
        "received_bytes": totals.received_bytes,
        "delivered": totals.delivered,
        "delivered_bytes": totals.delivered_bytes,
        "outbox": stats.outbox(connector),
        "dropped": dropped,
    })
}

fn latencies(bus: &Bus) -> Vec<Value> {
    let pairs = Connector::all().flat_map(|from| Connector::all().map(move |to| (from, to)));
    let reading = |(from, to): (Connector, Connector)| {
        let reading = bus.stats().latency_reading(from, to)?;
        Some(json!({
            "from": from.name(),
            "to": to.name(),
            "count": reading.buckets.iter().sum::<u64>(),
            "p50_ms": quantile(&reading, 0.5) * 1000.0,
            "p99_ms": quantile(&reading, 0.99) * 1000.0,
        }))
    };
    pairs.filter_map(reading).collect()
}

/// The upper bound of the bucket that a share of all deliveries fall within, in seconds.
#[expect(clippy::cast_precision_loss, reason = "counts of deliveries, for people")]
fn quantile(reading: &LatencyReading, share: f64) -> f64 {
    let total: u64 = reading.buckets.iter().sum();
    let mut seen = 0;
    for (bound, count) in LATENCY_BOUNDS.iter().zip(&reading.buckets) {
        seen += count;
        if seen as f64 >= total as f64 * share {
            return *bound;
        }
    }
    LATENCY_BOUNDS.last().copied().unwrap_or_default()
}
