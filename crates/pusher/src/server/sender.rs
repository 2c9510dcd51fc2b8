//! Posting webhooks: one request at a time to each receiver, so that what it hears is in order.

use std::{sync::Arc, time::Duration};

use super::{clock::Clock, hooks::Endpoint};
use crate::proto::{
    policy::Policy,
    webhook::{Event, GIVE_UP_MS, Payload, backoff_ms},
};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for all webhooks of a process.
///
/// # Errors
/// The TLS configuration cannot be made.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Another part of the process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}

/// Serves one receiver for ever.
pub(super) async fn run(client: reqwest::Client, policy: Arc<Policy>, endpoint: Arc<Endpoint>) {
    loop {
        let arrived = endpoint.arrived.notified();
        let events = endpoint.take();
        if events.is_empty() {
            arrived.await;
        } else {
            deliver(&client, &policy, &endpoint, &events).await;
        }
    }
}

/// Tries for five minutes.
async fn deliver(client: &reqwest::Client, policy: &Policy, endpoint: &Endpoint, events: &[Event]) {
    let mut waited = 0;
    for tries in 1.. {
        let why = match post(client, policy, endpoint, events).await {
            Ok(status) if status.is_success() => return,
            Ok(status) => format!("status {status}"),
            Err(error) => error.without_url().to_string(),
        };
        let pause = backoff_ms(tries);
        waited += pause;
        let host = endpoint.settings.url.host_str();
        if waited > GIVE_UP_MS {
            return tracing::warn!(app = policy.id, host, events = events.len(), why, "webhook given up");
        }
        tracing::debug!(app = policy.id, host, tries, why, "webhook failed");
        let jitter = fastrand::u64(..=pause / 10);
        tokio::time::sleep(Duration::from_millis(pause + jitter)).await;
    }
}

async fn post(
    client: &reqwest::Client,
    policy: &Policy,
    endpoint: &Endpoint,
    events: &[Event],
) -> Result<http::StatusCode, reqwest::Error> {
    let payload = Payload::new(events, Clock::unix_ms(), &policy.secret);
    let request = client
        .post(endpoint.settings.url.clone())
        .header("Content-Type", "application/json")
        .header("X-Pusher-Key", &policy.key)
        .header("X-Pusher-Signature", payload.signature)
        .body(payload.body);
    Ok(request.send().await?.status())
}
