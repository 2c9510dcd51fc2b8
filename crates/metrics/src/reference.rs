//! The reference of all metrics, written from the catalogue.

use std::fmt::Write as _;

use ratatosk_core::stats::DropReason;

use crate::catalogue::{CATALOGUE, Kind};

const HEAD: &str = "# Metrics

<!-- Made from crates/metrics/src/catalogue.rs: RATATOSK_BLESS=1 cargo test -p ratatosk --test generated -->

The admin listener serves them at `/metrics`, in the Prometheus text format. Labels are bounded: never a channel, a client or a
message. Series of a connector exist from the start; those of an upstream from its start to its removal; `mapping_loss_total` and
`delivery_seconds` from the first message concerned. What to watch, and what to do: [operating.md](operating.md#metrics-and-what-to-do).

| metric | kind | labels | tells |
| --- | --- | --- | --- |
";

/// The reference in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    for entry in CATALOGUE {
        let kind = match entry.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(out, "| `{}` | {kind} | {} | {} |", entry.name, labels.join(", "), entry.help); // a String takes all
    }
    out.push_str("\n`reason` of `ratatosk_messages_dropped_total`:\n\n| reason | a message was dropped because |\n| --- | --- |\n");
    for reason in DropReason::ALL {
        let _ = writeln!(out, "| `{}` | {} |", reason.label(), because(reason)); // a String takes all
    }
    out.push_str(TAIL);
    out
}

const TAIL: &str = "
`limit` of `ratatosk_limited_total`: `connections` (all there may be are open), `address_connections` and `address_rate` (one address has too many, or opens them too
fast), `user_connections`, `memory` (near `limits.memory`), `publish_rate` (a session or a user publishes too fast) and `proxy_header` (a connection without a PROXY header that can be believed).

`certificate` of `ratatosk_certificate_expiry_timestamp_seconds`: the key in the configuration (`tls`, `tls.certificates[0]`, `tls.client_ca[0]`), or `upstream.NAME`.

`field` of `ratatosk_mapping_loss_total`: `event`, `properties`, `content_type`, `reply_to`, `correlation`, `expiry` or `payload`: what the
receiving protocol has no place for. A message counts once per protocol and field, however many subscribers it has.

With `[metrics] process = true` (the default) there are also `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_threads` and `process_start_time_seconds`.
";

fn because(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Slow => "its subscriber's outbox was full",
        DropReason::Expired => "its life had passed",
        DropReason::TooLarge => "it is larger than the subscriber or the upstream takes",
        DropReason::Denied => "its publisher may not publish there",
        DropReason::Unmappable => "the protocol has no name for its channel",
        DropReason::Loop => "it would have passed this gateway twice, or gone back to where it came from",
        DropReason::QueueFull => "the queue of an upstream that is away was full, or the upstream was stopped",
        DropReason::RateLimited => "its publisher, or the bridge rule that takes it, exceeded its rate",
        DropReason::Failed => "the program of a bridge rule failed on it",
        DropReason::Conflated => "a newer one took its place on a channel that carries only so many (`max_rate`)",
    }
}
