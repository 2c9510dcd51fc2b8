//! Calls of the server's HTTP API.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use ratatosk_connector::upstream::hops;

use super::settings::{Settings, SetupError};
use crate::proto::{sign, text::clip};

/// One event to publish.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) channel: String,
    pub(super) data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket_id: Option<String>,
    /// The gateways it passed, for the header of its call.
    #[serde(skip)]
    pub(super) hops: String,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiFault {
    /// 413: too much data.
    TooLarge,
    /// It will never be taken.
    Denied(String),
    /// It may be taken later: not before this long.
    Later(Option<Duration>, String),
}

/// The HTTP client of one upstream.
pub(super) fn client(settings: &Settings) -> Result<reqwest::Client, SetupError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ratatosk/", env!("CARGO_PKG_VERSION")))
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured((*settings.tls_config).clone());
    Ok(builder.build()?)
}

/// Publishes up to ten events, which passed the same gateways, in one call.
pub(super) async fn publish(settings: &Settings, http: &reqwest::Client, events: &[Event]) -> Result<(), ApiFault> {
    #[derive(Serialize)]
    struct Batch<'a> {
        batch: &'a [Event],
    }
    let (Some(app), Some(secret)) = (&settings.app_id, &settings.secret) else {
        return Err(ApiFault::Denied("publishing by the HTTP API takes `app_id` and `secret`".into()));
    };
    let (endpoint, body) = match events {
        [event] => ("events", serde_json::to_string(event)),
        events => ("batch_events", serde_json::to_string(&Batch { batch: events })),
    };
    let body = body.unwrap_or_default();
    let path = format!("{}/apps/{app}/{endpoint}", settings.api.path().trim_end_matches('/'));
    let mut url = settings.api.clone();
    url.set_path(&path);
    url.set_query(Some(&signed_query(&settings.key, secret, &path, &body)));
    let passed = events.first().map_or("", |event| event.hops.as_str());
    let request = http.post(url).header("Content-Type", "application/json").header(hops::NAME, passed).body(body);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Err(ApiFault::Later(None, format!("HTTP API: {}", error.without_url()))),
    };
    let status = response.status().as_u16();
    if (200..300).contains(&status) {
        return Ok(());
    }
    let after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map(Duration::from_secs);
    let text = response.text().await.unwrap_or_default();
    Err(judge(status, after, clip(&text, 200)))
}

fn judge(status: u16, after: Option<Duration>, text: &str) -> ApiFault {
    match status {
        413 => ApiFault::TooLarge,
        401 if text.to_ascii_lowercase().contains("timestamp") => {
            ApiFault::Denied(format!("HTTP API: 401, the clocks differ (is this machine's clock right?): {text}"))
        }
        408 | 429 | 500..=599 => ApiFault::Later(after, format!("HTTP API: status {status}")),
        _ => ApiFault::Denied(format!("HTTP API: status {status}: {text}")),
    }
}

fn signed_query(key: &str, secret: &str, path: &str, body: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let md5 = sign::body_md5(body.as_bytes());
    let mut query = format!("auth_key={key}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
    let signature = sign::sign(secret, format!("POST\n{path}\n{query}").as_bytes());
    let _ = write!(query, "&auth_signature={signature}"); // writing to a string cannot fail
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{http::authenticate, policy::Policy};

    #[test]
    fn our_own_server_believes_the_signature() {
        let query = signed_query("k", "s", "/apps/demo/events", "{}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let policy = Policy::new("demo", "k", "s");
        assert_eq!(authenticate(&policy, "POST", "/apps/demo/events", &query, b"{}", now), Ok(()));
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(judge(413, None, ""), ApiFault::TooLarge);
        assert!(matches!(judge(401, None, "Timestamp expired"), ApiFault::Denied(text) if text.contains("clock")));
        assert!(matches!(judge(400, None, ""), ApiFault::Denied(_)));
        let wait = Some(Duration::from_secs(3));
        assert!(matches!(judge(429, wait, ""), ApiFault::Later(after, _) if after == wait));
        assert!(matches!(judge(503, None, ""), ApiFault::Later(None, _)));
    }
}
