//! Webhooks: what their keys mean together.

use http::{HeaderMap, HeaderName, HeaderValue};
use ratatosk_connector::webhook::CourierConfig;

use super::{Faults, upstreams::check_name};
use crate::config::{
    path::KeyPath,
    raw::{EventChoice, UpstreamSection, WebhookSection},
    resolved::Webhook,
};

/// What connectors are called in events.
const CONNECTORS: [&str; 7] = ["mqtt", "bayeux", "pusher", "sse", "mercure", "http", "gateway"];
/// Those that are not told unless they are named: they come all the time.
const FREQUENT: [EventChoice; 3] =
    [EventChoice::ReceivedMessage, EventChoice::DeliveredMessage, EventChoice::UpstreamPing];

pub(super) fn webhooks(
    sections: &[WebhookSection],
    upstreams: &[UpstreamSection],
    sample: u32,
    faults: &mut Faults,
) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let at = KeyPath::keys(["webhooks"]).index(index);
        check_name(&section.name, "a webhook", &at, faults);
        if sections.iter().take(index).any(|other| other.name == section.name) {
            let problem = format!("{:?} is taken by a webhook above", section.name);
            faults.add(at.key("name"), problem, "give each webhook a name of its own");
        }
        check(section, upstreams, &at, faults);
        webhooks.extend(webhook(section, sample, &at, faults));
    }
    webhooks
}

fn check(section: &WebhookSection, upstreams: &[UpstreamSection], at: &KeyPath, faults: &mut Faults) {
    for (index, name) in section.connectors.iter().enumerate() {
        if !CONNECTORS.contains(&name.as_str()) {
            let problem = format!("{name:?} is no connector");
            faults.add(at.key("connectors").index(index), problem, format!("known are {}", CONNECTORS.join(", ")));
        }
    }
    for (index, name) in section.upstreams.iter().enumerate() {
        if !upstreams.iter().any(|upstream| upstream.name() == name) {
            let problem = format!("{name:?} is no upstream of this configuration");
            faults.add(at.key("upstreams").index(index), problem, "write the `name` of one of [[upstreams]]");
        }
    }
    for (key, zero) in [("timeout", section.timeout.is_zero()), ("queue_bytes", section.queue_bytes.bytes() == 0)] {
        if zero {
            faults.add(at.key(key), "this may not be zero", "leave it out for the default");
        }
    }
    if section.secret.as_ref().is_some_and(|secret| secret.is_empty()) {
        faults.add(at.key("secret"), "an empty secret signs nothing", "make one up, at least 20 characters long");
    }
}

fn webhook(section: &WebhookSection, sample: u32, at: &KeyPath, faults: &mut Faults) -> Option<Webhook> {
    let mut headers = HeaderMap::new();
    for (name, value) in &section.headers {
        match (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value.expose())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            (Err(_), _) => faults.add(at.key("headers").key(name), format!("{name:?} is no header"), ""),
            (_, Err(_)) => faults.add(at.key("headers").key(name), "this cannot stand in a header", ""),
        }
    }
    if !matches!(section.url.scheme(), "http" | "https") {
        let problem = format!("a webhook is not posted by {}://", section.url.scheme());
        faults.add(at.key("url"), problem, "write http:// or https://");
        return None;
    }
    let events = if section.events.is_empty() {
        EventChoice::ALL.into_iter().filter(|event| !FREQUENT.contains(event)).collect()
    } else {
        section.events.clone()
    };
    let courier = CourierConfig {
        timeout: section.timeout.get(),
        batch: section.batch,
        linger: section.linger.get(),
        retry_for: section.retry_for.get(),
        ..CourierConfig::new((*section.url).clone())
    };
    Some(Webhook { section: section.clone(), events, headers, courier, sample })
}
