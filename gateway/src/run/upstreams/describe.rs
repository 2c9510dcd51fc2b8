//! What operators and metrics see of the upstreams.

use std::time::UNIX_EPOCH;

use ratatosk_connector::{
    config_types::UpstreamMode,
    rules::{Direction, LoopGuard, Rule, RuleSet},
    tls::ServerCertificate,
    upstream::State,
};
use ratatosk_metrics::{RuleReading, UpstreamReading};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Map, Value, json};

use super::{Entry, Source, Upstreams};
use crate::config::{Upstream, UpstreamOptions};

impl Upstreams {
    /// What the exporter sets its gauges from.
    pub(crate) fn readings(&self) -> Vec<UpstreamReading> {
        let entries = self.0.entries.lock();
        let one = |entry: &Entry| {
            let status = entry.handle.status();
            UpstreamReading {
                upstream: entry.upstream.name.clone(),
                up: status.state == State::Up,
                refused: status.state == State::Refused,
                subscriptions: status.subscriptions,
                queue_messages: status.queue.messages,
                queue_bytes: status.queue.bytes,
                queue_oldest: status.queue.oldest.unwrap_or_default(),
                ack_stalls: status.ack_stalls,
                rules: readings(&entry.upstream),
            }
        };
        entries.values().map(one).collect()
    }

    /// When the certificates that far servers are shown end, in Unix seconds.
    pub(crate) fn certificates(&self) -> Vec<(String, i64)> {
        let entries = self.0.entries.lock();
        let one =
            |(name, entry): (&std::sync::Arc<str>, &Entry)| Some((format!("upstream.{name}"), entry.certificate_ends?));
        entries.iter().filter_map(one).collect()
    }

    /// All of them, as the admin API shows them.
    pub(super) fn describe_all(&self) -> Vec<Value> {
        self.0.entries.lock().values().map(describe).collect()
    }

    /// One of them.
    pub(super) fn describe(&self, name: &str) -> Option<Value> {
        self.0.entries.lock().get(name).map(describe)
    }
}

/// When the certificate ends that an upstream is shown.
pub(super) fn certificate_end(upstream: &Upstream) -> Option<i64> {
    let tls = match &upstream.options {
        UpstreamOptions::Mqtt(options) => &options.tls,
        UpstreamOptions::Sse(options) => &options.tls,
        UpstreamOptions::Bayeux(options) => &options.tls,
        UpstreamOptions::Pusher(options) => &options.tls,
    };
    let certificate = CertificateDer::from_pem_file(tls.cert.as_ref()?).ok()?;
    ServerCertificate::end_of(&certificate)
}

fn describe(entry: &Entry) -> Value {
    let (upstream, status) = (&entry.upstream, entry.handle.status());
    let since = status.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let wanted: Vec<String> = entry.handle.wanted().iter().map(ToString::to_string).collect();
    json!({
        "name": upstream.name,
        "kind": upstream.options.kind(),
        "url": upstream.url.to_string(),
        "source": match entry.source { Source::File => "file", Source::Api => "api" },
        "mode": match upstream.mode { UpstreamMode::Always => "always", UpstreamMode::OnDemand => "on_demand" },
        "loop_guard": match upstream.guard {
            LoopGuard::Mark => "mark",
            LoopGuard::Fingerprint => "fingerprint",
            LoopGuard::OwnConnection => "connection",
            LoopGuard::None => "rules",
        },
        "state": status.state.label(),
        "permanent": status.state == State::Refused,
        "reason": status.reason,
        "since_ms": u64::try_from(since).unwrap_or(u64::MAX),
        "connections": status.connections,
        "round_trip_ms": status.round_trip.map(|time| time.as_secs_f64() * 1000.0),
        "ack_stalls": status.ack_stalls,
        "subscriptions": status.subscriptions,
        "wanted": wanted,
        "queue": {
            "messages": status.queue.messages,
            "in_flight": status.queue.in_flight,
            "bytes": status.queue.bytes,
            "oldest_seconds": status.queue.oldest.map_or(0.0, |age| age.as_secs_f64()),
        },
        "in": rules(&upstream.inbound),
        "out": rules(&upstream.outbound),
        "facts": (entry.facts)(),
    })
}

fn rules(set: &RuleSet) -> Value {
    let rule = |rule: &Rule| {
        let options = rule.options();
        let mut described = json!({
            "from": rule.from().as_str(),
            "to": rule.to().as_str(),
            "qos": options.qos as u8,
            "retain": options.retain,
        });
        if let (Some(treatment), Value::Object(fields)) = (rule.treatment(), &mut described) {
            let counts = treatment.counts().read().into_iter().map(|(name, count)| (name.to_owned(), json!(count)));
            fields.insert("messages".to_owned(), counts.collect::<Map<_, _>>().into());
            fields.insert("dead_letters".to_owned(), json!(treatment.counts().dead_letters()));
            fields.insert("dead_letter".to_owned(), json!(treatment.dead_letter().map(|channel| channel.as_str())));
        }
        described
    };
    set.iter().map(rule).collect()
}

/// What the rules that do more than name have done.
fn readings(upstream: &Upstream) -> Vec<RuleReading> {
    let directions = [(Direction::In, &upstream.inbound), (Direction::Out, &upstream.outbound)];
    let mut all = Vec::new();
    for (direction, rules) in directions {
        for (index, rule) in rules.iter().enumerate() {
            let Some(treatment) = rule.treatment() else { continue };
            all.push(RuleReading {
                rule: format!("{}[{index}]", direction.key()),
                messages: treatment.counts().read(),
                dead_letters: treatment.counts().dead_letters(),
            });
        }
    }
    all
}
