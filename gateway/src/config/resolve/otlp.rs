//! Pushing to an OpenTelemetry collector.

use http::HeaderName;
use ratatosk_otlp::OtlpConfig;

use super::Faults;
use crate::config::{path::KeyPath, raw::OtlpSection};

pub(super) fn otlp(section: &OtlpSection, faults: &mut Faults) -> OtlpConfig {
    let at = KeyPath::keys(["otlp"]);
    if !matches!(section.endpoint.scheme(), "http" | "https") {
        let problem = format!("a collector is not reached by {}://", section.endpoint.scheme());
        faults.add(at.key("endpoint"), problem, "write an address such as \"http://127.0.0.1:4318\" (OTLP over HTTP)");
    }
    if !(0.0..=1.0).contains(&section.traces_sample) {
        let problem = format!("{} is no share", section.traces_sample);
        faults.add(at.key("traces_sample"), problem, "write a number from 0 (none) to 1 (all)");
    }
    let mut headers = Vec::new();
    for (name, value) in &section.headers {
        match HeaderName::try_from(name) {
            Ok(header) if http::HeaderValue::from_str(value.expose()).is_ok() => headers.push((header, value.clone())),
            Ok(_) => faults.add(
                at.key("headers").key(name),
                "this value cannot be sent in a header",
                "use one line of ASCII",
            ),
            Err(_) => faults.add(at.key("headers").key(name), "this is no header's name", "such as `authorization`"),
        }
    }
    OtlpConfig {
        endpoint: section.endpoint.0.clone(),
        headers,
        metrics_interval: section.metrics_interval.get(),
        traces_sample: section.traces_sample,
        attributes: section.attributes.clone(),
    }
}
