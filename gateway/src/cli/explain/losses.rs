//! What each translation of a message loses: said by the same functions that count it (`mapping_loss_total`).

use ratatosk::{
    config::{Resolved, Upstream, UpstreamOptions},
    core::{Channel, Fields},
};
use ratatosk_mqtt::config::MqttVersion;
use ratatosk_sse::{
    client::SseClient,
    mapping::{Format, MERCURE_CARRIES, Style},
};

use super::section;

pub(super) fn describe(channel: &Channel, resolved: &Resolved) -> anyhow::Result<String> {
    let mut lines: Vec<String> = servers(resolved).map(|(name, carried)| line(name, carried)).collect();
    for upstream in resolved.upstreams.iter().filter(|upstream| upstream.outbound.apply(channel).is_some()) {
        lines.push(line(&format!("upstream {}", upstream.name), of_upstream(upstream)?));
    }
    Ok(section("What is not told of a message (mapping_loss_total)", &lines))
}

/// How subscribers may take it.
fn servers(resolved: &Resolved) -> impl Iterator<Item = (&'static str, Fields)> {
    let raw = |named| Style { format: Format::Raw, named }.carries();
    let mercure = resolved.sse.mercure.is_some().then_some(("mercure", MERCURE_CARRIES));
    [
        ("mqtt 5", ratatosk_mqtt::mapping::carries(true)),
        ("mqtt 3.1.1", ratatosk_mqtt::mapping::carries(false)),
        ("bayeux", ratatosk_bayeux::mapping::CARRIES),
        ("pusher", ratatosk_pusher::mapping::CARRIES),
        ("sse (envelope)", Style::default().carries()),
        ("sse (raw)", raw(false)),
        ("sse (raw, events=named)", raw(true)),
    ]
    .into_iter()
    .chain(mercure)
}

fn of_upstream(upstream: &Upstream) -> anyhow::Result<Fields> {
    Ok(match &upstream.options {
        UpstreamOptions::Mqtt(options) => ratatosk_mqtt::mapping::carries(options.version == MqttVersion::V5),
        UpstreamOptions::Sse(options) => SseClient::carries(&upstream.url, options)?,
        UpstreamOptions::Bayeux(_) => ratatosk_bayeux::mapping::CARRIES,
        UpstreamOptions::Pusher(_) => ratatosk_pusher::mapping::CARRIES,
    })
}

fn line(name: &str, carried: Fields) -> String {
    let told = |field| match field {
        "payload" => "payload (where it is not UTF-8, or has CR)",
        field => field,
    };
    let lost: Vec<&str> = Fields::ALL.without(carried).names().map(told).collect();
    format!("{name:<24} {}", if lost.is_empty() { "nothing is lost".to_owned() } else { lost.join(", ") })
}
